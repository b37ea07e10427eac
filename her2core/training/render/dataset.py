"""Rendered regions one by one, and folders of them with their truth.json."""

from __future__ import annotations

import io
import json
from collections.abc import Callable
from concurrent.futures import ProcessPoolExecutor
from dataclasses import dataclass
from functools import partial
from multiprocessing import get_context
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray
from PIL import Image

from her2core.errors import TrainingError
from her2core.models import write_atomically
from her2core.records import Channel, Tally
from her2core.scoring.groups import group
from her2core.training.render.biology import group_sequence
from her2core.training.render.optics import paint, sample_look, through_jpeg
from her2core.training.render.scene import Kind, Scene, compose, sample_conditions

__all__ = ["RenderedRegion", "render_dataset", "render_region"]

_TRIES = 30
# Less than this share of a nucleus inside the image, or more of it under others: neither wanted nor wrong to find.
_VISIBLE = 0.35
_HIDDEN = 0.5
REGIONS_PER_PATIENT = 2


@dataclass(frozen=True, slots=True)
class RenderedRegion:
    """A region, its file as a microscope would have saved it, and its truth (one entry of truth.json)."""

    pixels_rgb: NDArray[np.uint8]
    data: bytes
    suffix: str
    truth: dict[str, Any]


def _clipped(box: tuple[float, float, float, float], width_px: int, height_px: int) -> tuple[list[float], float]:
    """A box cut to the image and the share of its area that is left."""
    x0, y0, x1, y1 = box
    cx0, cy0, cx1, cy1 = max(x0, 0.0), max(y0, 0.0), min(x1, float(width_px)), min(y1, float(height_px))
    share = max(cx1 - cx0, 0.0) * max(cy1 - cy0, 0.0) / ((x1 - x0) * (y1 - y0))
    return [round(side, 1) for side in (cx0, cy0, cx1, cy1)], share


def _truth(scene: Scene) -> dict[str, Any]:
    """The truth of a scene: tumour nuclei, boxes to ignore, and the group of its scorable nuclei."""
    c = scene.conditions
    nuclei: list[dict[str, Any]] = []
    ignore: list[list[float]] = []
    for n in scene.nuclei:
        box, visible = _clipped(n.outline.box(), c.width_px, c.height_px)
        if visible <= 0.02:
            continue
        if n.kind is Kind.GHOST or (n.kind is Kind.TUMOUR and (visible < _VISIBLE or n.overlap > _HIDDEN)):
            ignore.append(box)
        elif n.kind is Kind.TUMOUR:
            seen = [s for s in n.signals if 0 <= s.x < c.width_px and 0 <= s.y < c.height_px]
            nuclei.append(
                {
                    "box": box,
                    "her2": sum(s.channel is Channel.HER2 for s in seen),
                    "cep17": sum(s.channel is Channel.CEP17 for s in seen),
                    "cluster": n.clustered,
                    "scorable": n.scorable,
                    "overlap": round(n.overlap, 3),
                    "signals": [{"channel": s.channel.value, "x": round(s.x, 1), "y": round(s.y, 1)} for s in seen],
                }
            )
    scored = [n for n in nuclei if n["scorable"]]
    total = Tally(len(scored), sum(n["her2"] for n in scored), sum(n["cep17"] for n in scored))
    return {"nuclei": nuclei, "ignore": ignore, "group": group(total), "nucleus_px": round(c.nucleus_px, 1)}


def render_region(
    seed: int | tuple[int, ...], target: int | None = None, *, nucleus_px: tuple[float, float] = (40, 190)
) -> RenderedRegion:
    """One region whose scorable nuclei fall into group `target` (1-5; any where None).

    The same seed and target give the same bytes. Raises TrainingError where no such region is found.
    """
    rng = np.random.default_rng(seed)
    wanted = int(rng.integers(1, 6)) if target is None else target
    for _ in range(_TRIES):
        try:
            scene = compose(sample_conditions(rng, nucleus_px=nucleus_px), wanted, rng)
        except TrainingError:
            continue  # these nuclei cannot show that group; draw others
        truth = _truth(scene)
        if truth["group"] == wanted and sum(n["scorable"] for n in truth["nuclei"]) >= 8:
            break
    else:
        raise TrainingError(f"No region of group {wanted} was found with seed {seed}.")
    look = sample_look(rng)
    pixels = paint(scene, look, rng)
    if look.jpeg_quality is None:
        buffer = io.BytesIO()
        Image.fromarray(pixels).save(buffer, "PNG", compress_level=1)
        return RenderedRegion(pixels, buffer.getvalue(), ".png", truth)
    data = through_jpeg(pixels, look.jpeg_quality)
    decoded = np.asarray(Image.open(io.BytesIO(data)).convert("RGB"))
    return RenderedRegion(decoded, data, ".jpg", truth)


def _render_to(out: Path, seed: int, numbered: tuple[int, int]) -> dict[str, Any]:
    index, target = numbered
    region = render_region((seed, index), target)
    name = f"region-{index:05d}{region.suffix}"
    write_atomically(out / name, region.data)
    return {"image": name, "patient": f"P{index // REGIONS_PER_PATIENT:05d}", **region.truth}


def render_dataset(
    out: Path,
    count: int,
    seed: int,
    *,
    mix: str = "balanced",
    processes: int = 1,
    progress: Callable[[int, int], None] | None = None,
) -> Path:
    """Write `count` regions and their truth.json into `out`; returns the path of truth.json.

    Two regions in a row come from one patient, who has one group. `mix`: see `group_sequence`.
    """
    groups = sorted(group_sequence(count, mix, np.random.default_rng((seed, 0))))  # neighbours share a patient
    out.mkdir(parents=True, exist_ok=True)
    work = partial(_render_to, out, seed)
    entries: list[dict[str, Any]] = []
    with ProcessPoolExecutor(processes, mp_context=get_context("spawn")) as pool:
        results = pool.map(work, enumerate(groups), chunksize=4) if processes > 1 else map(work, enumerate(groups))
        for entry in results:
            entries.append(entry)
            if progress is not None:
                progress(len(entries), count)
    path = out / "truth.json"
    write_atomically(path, json.dumps(entries, separators=(",", ":")).encode())
    return path
