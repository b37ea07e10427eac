"""Where cells lie and what outlines their nuclei have: discs that relax against one another, then warped level sets.

A level set is 1 on the outline and smaller inside. Nuclei of one layer compete for each pixel, so that pressed ones
meet along a shared border; nuclei of the second layer lie over the first.
"""

from __future__ import annotations

from dataclasses import dataclass
from enum import StrEnum

import numpy as np
from numpy.typing import NDArray
from scipy.ndimage import distance_transform_edt, label

from benchmarks.second_style.fields import Float, fractal_field
from benchmarks.second_style.settings import Settings

__all__ = ["Cell", "CellKind", "build_tissue"]

Mask = NDArray[np.bool_]
Doubles = NDArray[np.float64]


class CellKind(StrEnum):
    """What a nucleus is; only tumour nuclei are in the truth."""

    TUMOUR = "tumour"
    LYMPHOCYTE = "lymphocyte"
    STROMA = "stroma"
    GHOST = "out of focus"


@dataclass(frozen=True, slots=True)
class Cell:
    """A nucleus: its mask bool[h, w] with the top left corner at (left, top), and how it lies."""

    kind: CellKind
    left: int
    top: int
    mask: Mask
    depth_px: Float  # distance from the outline inwards, float32[h, w]
    defocus_px: float  # radius of the disc of confusion
    visible: float  # share of its area inside the image
    overlap: float  # share of its area that nuclei of the other layer share
    shared: Mask  # those pixels

    def box(self, width_px: int, height_px: int) -> tuple[int, int, int, int]:
        """Bounding box xyxy of the part inside the image."""
        rows, columns = np.nonzero(self.mask)
        x0, x1 = int(columns.min()) + self.left, int(columns.max()) + self.left + 1
        y0, y1 = int(rows.min()) + self.top, int(rows.max()) + self.top + 1
        return max(x0, 0), max(y0, 0), min(x1, width_px), min(y1, height_px)


def _seeds(s: Settings, kinds: list[CellKind], radii: Doubles, rng: np.random.Generator) -> Doubles:
    """First places (x, y) float64[N, 2]: all over, in nests, or loose."""
    size = np.array([s.width_px, s.height_px], float)
    places = rng.uniform(-0.03, 1.03, (len(kinds), 2)) * size
    if s.architecture == "nests":
        nests = rng.uniform(0.1, 0.9, (int(rng.integers(2, 5)), 2)) * size
        axes = rng.uniform(0.12, 0.3, (len(nests), 2)) * size
        which = rng.integers(len(nests), size=len(kinds))
        nested = nests[which] + rng.normal(0, 1, (len(kinds), 2)) * axes[which]
        tumour = np.array([k is CellKind.TUMOUR for k in kinds]) & (rng.random(len(kinds)) < 0.92)
        places[tumour] = nested[tumour]
    elif s.architecture == "imprint":
        for i in range(1, len(kinds)):  # pairs and short chains as cells come off the tissue
            if rng.random() < 0.35:
                j, angle = int(rng.integers(i)), rng.uniform(0, 2 * np.pi)
                places[i] = places[j] + (radii[i] + radii[j]) * np.array([np.cos(angle), np.sin(angle)])
    return np.asarray(np.clip(places, -0.25 * s.nucleus_px, size + 0.25 * s.nucleus_px), np.float64)


def _relax(places: Doubles, radii: Doubles, packing: float, s: Settings) -> Doubles:
    """Push discs apart until they are `packing` times the sum of their radii from each other, as far as they can."""
    least = packing * (radii[:, None] + radii[None, :])
    bounds = np.array([s.width_px, s.height_px]) + 0.3 * s.nucleus_px
    for _ in range(60):
        apart = places[:, None] - places[None]  # (N, N, 2)
        distance = np.hypot(apart[..., 0], apart[..., 1]) + np.eye(len(places)) * 1e9
        push = np.clip(least - distance, 0, None)
        if push.max(initial=0) < 0.01 * s.nucleus_px:
            break
        places = places + 0.42 * (apart / np.maximum(distance, 1e-3)[..., None] * push[..., None]).sum(axis=1)
        places = np.clip(places, -0.3 * s.nucleus_px, bounds)
    return places


def _level(
    s: Settings,
    kind: CellKind,
    radius: float,
    dx: Float,
    dy: Float,
    rng: np.random.Generator,
) -> Float:
    """Level set float32[h, w] over offsets (warped already) from the centre."""
    angle = rng.uniform(0, np.pi)
    u, v = dx * np.cos(angle) + dy * np.sin(angle), dy * np.cos(angle) - dx * np.sin(angle)
    if kind is CellKind.STROMA:  # a bent, pointed rod
        length, thick = radius * rng.uniform(1.7, 2.6), radius * rng.uniform(0.4, 0.6)
        v = v - rng.normal(0, 0.12) * u**2 / length
        return np.asarray(np.abs(u / length) ** 1.6 + np.abs(v / thick) ** 1.8, np.float32)
    ratio = 1.04 if kind is CellKind.LYMPHOCYTE else float(1 + min(rng.gamma(1.6, 0.11), 0.75))
    a, b = radius * ratio**0.5, radius / ratio**0.5
    power = rng.uniform(1.85, 2.7)
    level = (np.abs(u / a) ** power + np.abs(v / b) ** power) ** (1 / power)
    if kind is not CellKind.LYMPHOCYTE and rng.random() < s.lobes:
        if rng.random() < 0.5:  # a second lobe, joined smoothly
            reach, size = rng.uniform(0.4, 0.65) * a, rng.uniform(0.6, 0.8) * radius
            other = np.hypot(u - reach, v - rng.normal(0, 0.2) * b) / size
            level = -np.logaddexp(-7 * level, -7 * other) / 7
        else:  # a dent
            across, deep = (u - rng.normal(0, 0.3) * a) / (0.3 * a), (v - b) / (0.4 * b)
            level = level + 0.4 * np.exp(-(across**2 + deep**2))
    return np.asarray(level, np.float32)


def _draw_levels(
    s: Settings, kinds: list[CellKind], places: Doubles, radii: Doubles, rng: np.random.Generator
) -> list[tuple[int, int, Float]]:
    """Left, top and level set of each nucleus."""
    pad = int(1.2 * s.nucleus_px)
    shape = (s.height_px + 2 * pad, s.width_px + 2 * pad)
    warp = [fractal_field(shape, 0.9 * s.nucleus_px, 0.3 * s.nucleus_px, 4.5, rng) for _ in range(2)]
    found = []
    for kind, (x, y), radius in zip(kinds, places, radii, strict=True):
        half = int(radius * (3.0 if kind is CellKind.STROMA else 1.9)) + 3
        left, top = int(x) - half, int(y) - half
        rows = np.arange(top, top + 2 * half + 1)
        columns = np.arange(left, left + 2 * half + 1)
        place = np.ix_(np.clip(rows + pad, 0, shape[0] - 1), np.clip(columns + pad, 0, shape[1] - 1))
        strength = s.wobble * min(s.nucleus_px, 2 * radius)
        dx = columns[None, :] - x + strength * warp[0][place]
        dy = rows[:, None] - y + strength * warp[1][place]
        found.append((left, top, _level(s, kind, radius, dx.astype(np.float32), dy.astype(np.float32), rng)))
    return found


class _Layer:
    """Who owns each pixel of the image and its surroundings."""

    def __init__(self, s: Settings) -> None:
        self.pad = int(2.6 * s.nucleus_px)
        shape = (s.height_px + 2 * self.pad, s.width_px + 2 * self.pad)
        self.level = np.ones(shape, np.float32)
        self.owner = np.full(shape, -1, np.int16)

    def place(self, left: int, top: int, shape: tuple[int, ...]) -> tuple[slice, slice]:
        row, column = top + self.pad, left + self.pad
        return slice(row, row + shape[0]), slice(column, column + shape[1])

    def enter(self, number: int, left: int, top: int, level: Float) -> None:
        place = self.place(left, top, level.shape)
        won = level < self.level[place]
        self.level[place] = np.where(won, level, self.level[place])
        self.owner[place] = np.where(won, number, self.owner[place])


def _kinds(s: Settings) -> list[CellKind]:
    return (
        [CellKind.TUMOUR] * s.tumour_nuclei
        + [CellKind.LYMPHOCYTE] * s.lymphocytes
        + [CellKind.STROMA] * s.stroma
        + [CellKind.GHOST] * s.ghosts
    )


def _defocus_px(s: Settings, kind: CellKind, rng: np.random.Generator) -> float:
    """Radius of the disc of confusion of a nucleus, for the nearest of the projected focal planes."""
    if kind is CellKind.GHOST:
        return float(rng.uniform(0.12, 0.3)) * s.nucleus_px
    depth = rng.normal(0, 0.7)
    planes = np.linspace(-1, 1, s.planes) if s.planes > 1 else np.zeros(1)
    return float(np.abs(depth - planes).min()) * s.depth_px


def build_tissue(s: Settings, rng: np.random.Generator) -> list[Cell]:
    """All nuclei of a region, those wholly outside left out."""
    kinds = _kinds(s)
    scale = np.array(
        [
            {CellKind.LYMPHOCYTE: rng.uniform(0.4, 0.54), CellKind.STROMA: rng.uniform(0.55, 0.75)}.get(
                kind, float(np.clip(rng.lognormal(0, s.size_spread), 0.65, 1.5))
            )
            for kind in kinds
        ]
    )
    radii = 0.5 * s.nucleus_px * scale
    ghost = np.array([kind is CellKind.GHOST for kind in kinds])
    second = (rng.random(len(kinds)) < s.layered) & ~ghost
    places = _seeds(s, kinds, radii, rng)
    for layer in (~second & ~ghost, second):
        places[layer] = _relax(places[layer], radii[layer], s.packing, s)
    levels = _draw_levels(s, kinds, places, radii, rng)
    layers = [_Layer(s), _Layer(s)]
    for i, (left, top, level) in enumerate(levels):
        if not ghost[i]:
            layers[int(second[i])].enter(i, left, top, level)
    cells = []
    for i, (left, top, level) in enumerate(levels):
        mask = level < 1
        if not ghost[i]:
            mask &= layers[int(second[i])].owner[layers[0].place(left, top, level.shape)] == i
        cell = _cell(s, kinds[i], left, top, mask, layers[1 - int(second[i])], ghost[i], rng)
        if cell is not None:
            cells.append(cell)
    return cells


def _cell(
    s: Settings,
    kind: CellKind,
    left: int,
    top: int,
    mask: Mask,
    other: _Layer,
    ghost: bool,
    rng: np.random.Generator,
) -> Cell | None:
    """A nucleus from its mask; None where nothing of it lies in the image or its neighbours left too little of it."""
    pieces, number = label(mask)
    if number > 1:  # neighbours cut it apart: the largest piece is the nucleus
        mask = pieces == 1 + int(np.argmax(np.bincount(pieces.ravel())[1:]))
    area = int(mask.sum())
    inside = np.zeros_like(mask)
    height, width = mask.shape
    bottom, right = min(s.height_px - top, height), min(s.width_px - left, width)
    inside[max(-top, 0) : max(bottom, 0), max(-left, 0) : max(right, 0)] = True
    shown = int((mask & inside).sum())
    if shown < 12 or area < 0.05 * s.nucleus_px**2:
        return None
    shared = np.zeros_like(mask) if ghost else mask & (other.owner[other.place(left, top, mask.shape)] >= 0)
    return Cell(
        kind,
        left,
        top,
        mask,
        distance_transform_edt(np.pad(mask, 1))[1:-1, 1:-1].astype(np.float32),
        _defocus_px(s, kind, rng),
        shown / area,
        float(shared.sum()) / area,
        shared,
    )
