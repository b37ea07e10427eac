"""One region of the second style: its pixels, its file, and a truth that holds only what can be seen in them."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any

import numpy as np
from numpy.typing import NDArray

from benchmarks.second_style.biology import LEAST_MARGIN, draw_counts
from benchmarks.second_style.camera import Camera, SignalLight, decoded, encoded
from benchmarks.second_style.settings import Settings, draw_settings
from benchmarks.second_style.signals import PaintedSpot, furnish
from benchmarks.second_style.stain import stain_light
from benchmarks.second_style.tissue import Cell, CellKind, build_tissue
from benchmarks.second_style.visibility import LEAST_CONTRAST_TO_NOISE, LEAST_RISE, Sight, look_at
from her2core.errors import TrainingError
from her2core.records import Channel, Tally
from her2core.scoring.groups import group
from her2core.training.render import RenderedRegion
from her2core.training.render.biology import margin

__all__ = ["render_region_second"]

_TRIES = 60
_LEAST_SCORABLE = 12
_OVERLAP_LIMIT = 0.20
_IGNORED_VISIBLE, _IGNORED_OVERLAP, _IGNORED_AREA = 0.35, 0.5, 0.35
_ROUNDS = 3
_STILL_FAINT = 3.2  # contrast-to-noise up to which an unlabelled spot may stay
_CHANNELS = (Channel.HER2, Channel.CEP17)


@dataclass(frozen=True, slots=True)
class _Scene:
    settings: Settings
    cells: list[Cell]
    counted: list[bool]  # a tumour nucleus of the truth, not one to ignore
    geometric: list[bool]  # and one that may be scored
    spots: list[PaintedSpot]
    clustered: set[int]


def _compose(target: int, rng: np.random.Generator) -> _Scene | None:
    """A scene whose placed signals fall into group `target`; None where chance made none."""
    s = draw_settings(rng)
    cells = build_tissue(s, rng)
    tumour = np.array([c.kind is CellKind.TUMOUR for c in cells])
    if not tumour.any():
        return None
    area = np.array([c.mask.sum() for c in cells], float)
    counted = tumour & (area > _IGNORED_AREA * np.median(area[tumour]))
    counted &= np.array([c.visible >= _IGNORED_VISIBLE and c.overlap <= _IGNORED_OVERLAP for c in cells])
    geometric = counted & np.array([c.visible == 1 and c.overlap <= _OVERLAP_LIMIT for c in cells])
    if geometric.sum() < _LEAST_SCORABLE:
        return None
    numbers = draw_counts(target, geometric, s.missing, rng)
    if numbers is None:
        return None
    spots: list[PaintedSpot] = []
    clustered = set()
    for i, cell in enumerate(cells):
        if cell.kind is CellKind.GHOST:
            continue
        her2, cep17 = (int(n[i]) for n in numbers) if tumour[i] else (int(n) for n in rng.integers(1, 3, 2))
        found, is_cluster = furnish(i, cell, her2, cep17, s, rng)
        spots += found
        if is_cluster:
            clustered.add(i)
    for spot in spots:  # the two filters do not image onto quite the same place
        move = np.array(s.chromatic_px) * (1 if spot.channel else -1)
        spot.emitters = spot.emitters + move
        spot.x, spot.y = spot.x + float(move[0]), spot.y + float(move[1])
    spots = [spot for spot in spots if 0 <= spot.x < s.width_px and 0 <= spot.y < s.height_px]
    scene = _Scene(s, cells, counted.tolist(), geometric.tolist(), spots, clustered)
    return scene if _settled(_truth(scene), target) else None


def _tally(nuclei: list[dict[str, Any]]) -> Tally:
    scored = [n for n in nuclei if n["scorable"]]
    return Tally(len(scored), sum(n["her2"] for n in scored), sum(n["cep17"] for n in scored))


def _settled(truth: dict[str, Any], target: int) -> bool:
    """Whether a truth is of the wanted group and clear of its borders."""
    tally = _tally(truth["nuclei"])
    return group(tally) == target and tally.n >= _LEAST_SCORABLE and margin(tally) >= LEAST_MARGIN


def _truth(scene: _Scene) -> dict[str, Any]:
    """Nuclei, boxes to ignore and group, as in truth.json."""
    s = scene.settings
    labelled: dict[int, list[PaintedSpot]] = {}
    for spot in scene.spots:
        if spot.labelled and not spot.removed:
            labelled.setdefault(spot.cell, []).append(spot)
    nuclei: list[dict[str, Any]] = []
    ignore: list[list[float]] = []
    for i, cell in enumerate(scene.cells):
        box = [float(side) for side in cell.box(s.width_px, s.height_px)]
        if not scene.counted[i]:
            if cell.kind in (CellKind.TUMOUR, CellKind.GHOST):
                ignore.append(box)
            continue
        signals = labelled.get(i, [])
        her2, cep17 = (sum(spot.channel == channel for spot in signals) for channel in (0, 1))
        nuclei.append(
            {
                "box": box,
                "her2": her2,
                "cep17": cep17,
                "cluster": i in scene.clustered and her2 > 0,
                "scorable": bool(scene.geometric[i] and her2 and cep17),
                "overlap": round(cell.overlap, 3),
                "signals": [
                    {"channel": _CHANNELS[spot.channel].value, "x": round(spot.x, 1), "y": round(spot.y, 1)}
                    for spot in signals
                ],
            }
        )
    return {
        "nuclei": nuclei,
        "ignore": ignore,
        "group": group(_tally(nuclei)),
        "nucleus_px": round(s.nucleus_px, 1),
        "style": "second",
    }


def _adjust(spots: list[PaintedSpot], sights: list[Sight], *, last: bool) -> bool:
    """Brighten labelled spots nobody could see and dim unlabelled ones somebody would count.

    On the `last` round both are taken away instead. Returns whether anything changed.
    """
    changed = False
    for spot, sight in zip(spots, sights, strict=True):
        if spot.removed:
            continue
        if spot.labelled and not sight.visible:
            lack = max(
                LEAST_CONTRAST_TO_NOISE / max(sight.contrast_to_noise, 0.5), LEAST_RISE / max(sight.rise, 1.0), 1.0
            )
            spot.peak *= min(1.25 * lack, 3.0)
        elif spot.faint and sight.contrast_to_noise > _STILL_FAINT:
            spot.peak *= 0.5
        else:
            continue
        spot.removed, changed = last, True
    return changed


def _photograph(scene: _Scene, rng: np.random.Generator) -> tuple[bytes, str, NDArray[np.uint8], list[Sight]] | None:
    """The file in which every labelled signal can be seen, its pixels, and how each spot stands out.

    None where signals that cannot be made visible keep turning up.
    """
    s = scene.settings
    camera = Camera(s, stain_light(scene.cells, s, rng), rng)
    signals = SignalLight(scene.spots, s)
    for turn in range(_ROUNDS + 2):
        exposed = camera.expose(signals.planes())
        lossless = s.jpeg_quality >= 100
        pixels = exposed if lossless else decoded(encoded(exposed, s.jpeg_quality)[0])
        sights = look_at(pixels, scene.cells, scene.spots, s)
        if not _adjust(scene.spots, sights, last=turn >= _ROUNDS - 1):
            return *encoded(exposed, s.jpeg_quality), pixels, sights
    return None


def _conditions(scene: _Scene, sights: list[Sight]) -> dict[str, float]:
    """How hard the region is, under the names that the first style uses too."""
    s = scene.settings
    tumour = [c for i, c in enumerate(scene.cells) if scene.counted[i]]
    seen = [
        [k.rise for spot, k in zip(scene.spots, sights, strict=True) if spot.labelled and spot.channel == channel]
        for channel in (0, 1)
    ]
    numbers = {
        "nucleus_px": s.nucleus_px,
        "overlap": float(np.mean([c.overlap for c in tumour])),
        "crowding": {"sheet": 1.0, "nests": 0.6, "imprint": 0.3}[s.architecture],
        "packing": s.packing,
        "clustering": s.clustering,
        "her2_contrast": float(np.median(seen[0] or [0.0])),
        "cep17_contrast": float(np.median(seen[1] or [0.0])),
        "her2_fwhm": s.her2_fwhm_px / s.nucleus_px,
        "cep17_fwhm": s.cep17_fwhm_px / s.nucleus_px,
        "faint": s.faint,
        "missing": s.missing,
        "noise": (60 / s.electrons + s.read_noise**2) ** 0.5,  # grey levels, at level 60
        "blur": s.depth_px / s.nucleus_px,
        "jpeg_quality": float(s.jpeg_quality),
        "texture": s.chromatin,
        "rim": s.rim,
        "haze": s.scatter,
        "bleed": s.bleed[0] + s.bleed[1],
        "glow": sum(s.nuclear_glow),
    }
    return {name: round(float(value), 4) for name, value in numbers.items()}


def render_region_second(seed: int | tuple[int, ...], target: int | None = None) -> RenderedRegion:
    """One region whose scorable nuclei fall into group `target` (1-5; any where None), clear of the group's borders.

    The same seed and target give the same bytes. Raises TrainingError where no such region is found, ValueError for
    another target.
    """
    if target is not None and target not in range(1, 6):
        raise ValueError(f"There is no group {target}; the groups are 1 to 5.")
    rng = np.random.default_rng(seed)
    wanted = int(rng.integers(1, 6)) if target is None else target
    for _ in range(_TRIES):
        scene = _compose(wanted, rng)
        picture = None if scene is None else _photograph(scene, rng)
        if scene is None or picture is None:
            continue
        data, suffix, pixels, sights = picture
        truth = _truth(scene)
        if _settled(truth, wanted):
            truth["conditions"] = _conditions(scene, sights)
            truth["margin"] = round(margin(_tally(truth["nuclei"])), 4)
            return RenderedRegion(pixels, data, suffix, truth)
    raise TrainingError(f"No region of group {wanted} was found with seed {seed}.")
