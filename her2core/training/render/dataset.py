"""Rendered regions one by one, and folders of them with their truth.json."""

from __future__ import annotations

import io
import json
from collections.abc import Callable
from concurrent.futures import ProcessPoolExecutor
from dataclasses import asdict, dataclass, replace
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
from her2core.training.render.biology import group_sequence, margin, sample_margin
from her2core.training.render.optics import Look, encode, paint, prepare, sample_look
from her2core.training.render.scene import Kind, Scene, blank, brightened, compose, sample_conditions, without
from her2core.training.render.visibility import unseen

__all__ = ["BRIGHTER", "RenderedRegion", "lighten", "render_dataset", "render_region"]

_TRIES = 60
# Less than this share of a nucleus inside the image, or more of it under others: neither wanted nor wrong to find.
_VISIBLE = 0.35
_HIDDEN = 0.5
_FEWEST_SCORABLE = 8
BRIGHTER = 1.7
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


def _conditions(scene: Scene, look: Look) -> dict[str, float]:
    """How the region was made, by name: what results can be broken down by."""
    numbers = {name: value for part in (scene.conditions, look) for name, value in asdict(part).items()}
    numbers["jpeg_quality"] = 100 if look.jpeg_quality is None else look.jpeg_quality
    return {name: round(float(v), 4) for name, v in numbers.items() if isinstance(v, int | float)}


def _truth(scene: Scene, look: Look) -> dict[str, Any]:
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
    return {
        "nuclei": nuclei,
        "ignore": ignore,
        "group": group(total),
        "margin": round(margin(total), 4),
        "nucleus_px": round(c.nucleus_px, 1),
        "style": "first",
        "conditions": _conditions(scene, look),
    }


def render_region(
    seed: int | tuple[int, ...],
    target: int | None = None,
    *,
    nucleus_px: tuple[float, float] = (40, 190),
    mix: str = "balanced",
) -> RenderedRegion:
    """One region whose scorable nuclei fall into group `target` (1-5; any where None).

    mix: how near to a border of groups it may lie ("borders": within 5 %). The same arguments give the same bytes.
    Raises TrainingError where no such region is found.
    """
    rng = np.random.default_rng(seed)
    wanted = int(rng.integers(1, 6)) if target is None else target
    low, high = sample_margin(mix, rng)
    for _ in range(_TRIES):
        look = sample_look(rng)
        try:
            scene = compose(
                sample_conditions(rng, nucleus_px=nucleus_px, blur_px=look.spread_px), wanted, rng, (low, high)
            )
        except TrainingError:
            continue  # these nuclei cannot show that group; draw others
        if not _as_wanted(_truth(scene, look), wanted, low, high):
            continue
        scene, data, suffix, pixels = _visible(scene, look, rng)
        truth = _truth(scene, look)
        if _as_wanted(truth, wanted, low, high):
            return RenderedRegion(pixels, data, suffix, truth)
    raise TrainingError(f"No region of group {wanted} was found with seed {seed}.")


def _as_wanted(truth: dict[str, Any], group_wanted: int, low: float, high: float) -> bool:
    enough = sum(n["scorable"] for n in truth["nuclei"]) >= _FEWEST_SCORABLE
    return bool(enough and truth["group"] == group_wanted and low <= truth["margin"] < high)


def _visible(scene: Scene, look: Look, rng: np.random.Generator) -> tuple[Scene, bytes, str, NDArray[np.uint8]]:
    """Paint the scene, brighten signals that drown and paint again; those that still drown are left out."""
    background = prepare(scene, look, rng)
    before = rng.bit_generator.state

    def painted(scene: Scene) -> tuple[bytes, str, NDArray[np.uint8]]:
        rng.bit_generator.state = before  # the same picture but for its signals
        data, suffix = encode(paint(scene, look, background, rng), look)
        return data, suffix, np.asarray(Image.open(io.BytesIO(data)).convert("RGB"))

    *_, blank_rgb = painted(blank(scene))
    data, suffix, pixels = painted(scene)
    for mended in (lighten, lighten, _stripped):
        hidden = unseen(pixels, blank_rgb, scene)
        if not any(hidden):
            break
        scene = mended(scene, hidden)
        data, suffix, pixels = painted(scene)
    return scene, data, suffix, pixels


def lighten(scene: Scene, hidden: list[set[int]]) -> Scene:
    """The scene with its hidden signals brighter. Those of clusters are not asked one by one, and follow in the mean:
    else their light would be that of fewer signals than elsewhere in the region."""
    single = [(n, h) for n, h in zip(scene.nuclei, hidden, strict=True) if n.her2 and not n.clustered]
    drowned = sum(i < n.her2 for n, h in single for i in h)
    all_of_cluster = BRIGHTER ** (drowned / max(sum(n.her2 for n, _ in single), 1))
    nuclei = (brightened(n, h, BRIGHTER) for n, h in zip(scene.nuclei, hidden, strict=True))
    lit = (brightened(n, set(range(n.her2)), all_of_cluster) if n.clustered else n for n in nuclei)
    return replace(scene, nuclei=tuple(lit))


def _stripped(scene: Scene, hidden: list[set[int]]) -> Scene:
    nuclei = (without(n, h) for n, h in zip(scene.nuclei, hidden, strict=True))
    return replace(scene, nuclei=tuple(nuclei))


def _render_to(out: Path, seed: int, mix: str, numbered: tuple[int, int]) -> dict[str, Any]:
    index, target = numbered
    region = render_region((seed, index), target, mix=mix)
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
    work = partial(_render_to, out, seed, mix)
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
