"""Where the signals of a nucleus lie: apart, in a homogeneously staining region, or scattered as double minutes."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from benchmarks.second_style.settings import Settings
from benchmarks.second_style.tissue import Cell, CellKind

__all__ = ["PaintedSpot", "furnish"]

Points = NDArray[np.float64]

# Centres of separate signals lie at least this many FWHM apart, halves of one split signal at most `_SPLIT`: between
# the two a reader would hesitate (domain.md section 2: one signal diameter).
_APART = 2.0
_SPLIT = 0.85
_CLUSTER_FROM = 6


@dataclass(slots=True)
class PaintedSpot:
    """One spot of light. Emitters float64[K, 2] (x, y) share its peak; `x, y` is where it is seen."""

    cell: int
    channel: int  # 0 HER2, 1 CEP17
    x: float
    y: float
    emitters: Points
    fwhm_px: float
    disc_px: float
    peak: float
    labelled: bool  # in the truth, and so to be visible; otherwise too faint to count, or of no tumour nucleus
    faint: bool = False
    clustered: bool = False
    removed: bool = False


def _room(cell: Cell, s: Settings, rim_px: float) -> Points:
    """Pixels (x, y) where signals may lie: inside the nucleus, in no other nucleus, not on the image's edge."""
    inside = (cell.depth_px > rim_px) & ~cell.shared
    rows, columns = np.nonzero(inside)
    points = np.stack([columns + cell.left, rows + cell.top], axis=1).astype(float)
    outside = (points < -3 * rim_px) | (points > np.array([s.width_px, s.height_px]) + 3 * rim_px)
    near_edge = (np.abs(points) < 1.5 * rim_px) | (np.abs(points - [s.width_px, s.height_px]) < 1.5 * rim_px)
    return np.asarray(points[~(outside | near_edge).any(axis=1)])


def _apart(room: Points, count: int, gap_px: float, rng: np.random.Generator) -> Points | None:
    """`count` points of `room` at least `gap_px` apart, or None where chance finds no room for them."""
    if count == 0:
        return np.zeros((0, 2))
    order = rng.permutation(len(room))[: 60 * count + 100]
    chosen: list[NDArray[np.float64]] = []
    for point in room[order] + rng.uniform(-0.5, 0.5, (len(order), 2)):
        if all(np.hypot(*(point - other)) >= gap_px for other in chosen):
            chosen.append(point)
            if len(chosen) == count:
                return np.array(chosen)
    return None


def _blob(room: Points, count: int, fwhm_px: float, rng: np.random.Generator) -> Points:
    """A homogeneously staining region: `count` signals side by side in one compact, ragged territory of `room`.

    Its area is in proportion to the copies, so that a reader can estimate them.
    """
    step = fwhm_px * rng.uniform(0.75, 1.0)
    stretch = rng.uniform(1.0, 1.7)
    centre = room[rng.integers(len(room))]
    angle = rng.uniform(0, np.pi)
    d = room - centre
    u, v = d[:, 0] * np.cos(angle) + d[:, 1] * np.sin(angle), d[:, 1] * np.cos(angle) - d[:, 0] * np.sin(angle)
    nearest = room[np.argsort(np.hypot(u / stretch, v * stretch) + rng.uniform(0, 0.6 * step, len(room)))]
    chosen: list[NDArray[np.float64]] = []
    for point in nearest:
        if all(np.hypot(*(point - other)) >= step for other in chosen):
            chosen.append(point)
            if len(chosen) == count:
                break
    return np.array(chosen).reshape(-1, 2)


def _minutes(room: Points, count: int, fwhm_px: float, rng: np.random.Generator) -> Points:
    """Double minutes: dots all over the nucleus, some of which touch."""
    for gap in (1.1, 0.8, 0.6):
        points = _apart(room, count, gap * fwhm_px, rng)
        if points is not None:
            return points
    return room[rng.permutation(len(room))[:count]]


def _her2_points(
    room: Points, count: int, gap_px: float, fwhm_px: float, s: Settings, rng: np.random.Generator
) -> tuple[Points, bool]:
    """Places of HER2 signals and whether they are a cluster."""
    if count >= _CLUSTER_FROM and rng.random() < s.clustering:
        if rng.random() < 0.55:
            return _blob(room, count, fwhm_px, rng), True
        if rng.random() < 0.3:  # both forms in one nucleus
            part = count // 2
            both = np.vstack([_blob(room, part, fwhm_px, rng), _minutes(room, count - part, fwhm_px, rng)])
            return both, True
        return _minutes(room, count, fwhm_px, rng), True
    points = _apart(room, count, gap_px, rng)
    if points is not None:
        return points, False
    return _minutes(room, count, fwhm_px, rng), True


def _spot(
    number: int,
    cell: Cell,
    channel: int,
    point: NDArray[np.float64],
    s: Settings,
    rng: np.random.Generator,
    *,
    labelled: bool,
    clustered: bool = False,
) -> PaintedSpot:
    fwhm = s.cep17_fwhm_px if channel else s.her2_fwhm_px
    peak = (s.cep17_peak if channel else s.her2_peak) * float(rng.gamma(14, 1 / 14))
    # a locus is a short, folded chain of emitters, that of the satellite more compact
    reach = fwhm * (0.16 if channel else 0.24)
    chain = np.cumsum(rng.normal(0, reach / 1.7, (int(rng.integers(2, 5)), 2)), axis=0)
    chain = np.clip(chain - chain.mean(axis=0), -0.35 * fwhm, 0.35 * fwhm)
    if not clustered and rng.random() < s.split:
        angle, half = rng.uniform(0, 2 * np.pi), 0.5 * fwhm * rng.uniform(0.5, _SPLIT)
        offset = half * np.array([np.cos(angle), np.sin(angle)])
        chain = np.array([offset, -offset])
        peak *= 1.35
    near = abs(float(rng.normal(0, 0.5))) * s.depth_px / (1 + 0.5 * (s.planes - 1))
    return PaintedSpot(
        number,
        channel,
        float(point[0]),
        float(point[1]),
        point + chain,
        fwhm * float(rng.uniform(0.92, 1.1)),
        min(float(np.hypot(near, 0.7 * min(cell.defocus_px, 0.1 * s.nucleus_px))), 0.9 * fwhm),
        peak,
        labelled,
        clustered=clustered,
    )


def furnish(
    number: int, cell: Cell, her2: int, cep17: int, s: Settings, rng: np.random.Generator
) -> tuple[list[PaintedSpot], bool]:
    """Spots of one nucleus and whether its HER2 signals are clustered.

    Fewer than asked for are placed where the nucleus has no room for more that a reader could tell apart.
    """
    room = _room(cell, s, 0.6 * max(s.her2_fwhm_px, s.cep17_fwhm_px))
    if len(room) < 8:
        return [], False
    labelled = cell.kind is CellKind.TUMOUR
    softened = 0.8 * min(s.depth_px, s.her2_fwhm_px)
    points, clustered = _her2_points(room, her2, _APART * s.her2_fwhm_px + softened, s.her2_fwhm_px, s, rng)
    spots = [_spot(number, cell, 0, p, s, rng, labelled=labelled, clustered=clustered) for p in points]
    for wanted in range(cep17, 0, -1):
        placed = _apart(room, wanted, _APART * s.cep17_fwhm_px + softened, rng)
        if placed is not None:
            spots += [_spot(number, cell, 1, p, s, rng, labelled=labelled) for p in placed]
            break
    for point in room[rng.integers(len(room), size=int(rng.poisson(s.faint)))]:
        spot = _spot(number, cell, int(rng.integers(2)), point, s, rng, labelled=False)
        spot.faint, spot.peak = True, spot.peak * float(rng.uniform(0.1, 0.3))
        spots.append(spot)
    return spots, clustered
