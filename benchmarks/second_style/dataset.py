"""Folders of regions of the second style, in the format of `her2core.training.render`."""

from __future__ import annotations

import json
from concurrent.futures import ProcessPoolExecutor
from functools import partial
from multiprocessing import get_context
from pathlib import Path
from typing import Any

import numpy as np

from benchmarks.second_style.region import render_region_second
from her2core.errors import TrainingError
from her2core.models import write_atomically
from her2core.training.render.biology import group_sequence

__all__ = ["render_dataset_second"]

_REGIONS_PER_PATIENT = 2


def _render_to(out: Path, seed: int, numbered: tuple[int, int]) -> dict[str, Any]:
    index, target = numbered
    region = render_region_second((seed, 2, index), target)
    name = f"second-{index:05d}{region.suffix}"
    write_atomically(out / name, region.data)
    return {"image": name, "patient": f"S{index // _REGIONS_PER_PATIENT:05d}", **region.truth}


def render_dataset_second(out: Path, count: int, seed: int, *, mix: str = "balanced", processes: int = 1) -> Path:
    """Write `count` regions and their truth.json into `out`; returns the path of truth.json.

    Two regions in a row come from one patient, who has one group. Raises TrainingError for an unknown mix.
    """
    if mix == "borders":
        raise TrainingError("The second style keeps clear of the borders between groups: choose paper or balanced.")
    numbered = list(enumerate(sorted(group_sequence(count, mix, np.random.default_rng((seed, 2))))))
    out.mkdir(parents=True, exist_ok=True)
    work = partial(_render_to, out, seed)
    if processes > 1:
        with ProcessPoolExecutor(processes, mp_context=get_context("spawn")) as pool:
            entries = list(pool.map(work, numbered, chunksize=4))
    else:
        entries = [work(item) for item in numbered]
    path = out / "truth.json"
    write_atomically(path, json.dumps(entries, separators=(",", ":")).encode())
    return path
