"""What lies in a region: nuclei of each kind, where they are, and where their signals are."""

from __future__ import annotations

from dataclasses import dataclass, field, replace
from enum import StrEnum

import numpy as np
from numpy.typing import NDArray

from her2core.records import Channel, Signal
from her2core.training.render.biology import sample_counts
from her2core.training.render.shapes import Outline, spindle, tumour_outline

__all__ = [
    "FAINT",
    "Conditions",
    "Kind",
    "Scene",
    "SceneNucleus",
    "blank",
    "brightened",
    "compose",
    "sample_conditions",
    "without",
]

# A nucleus hidden by others, or covering them, by more than this share of its area is not scored.
OVERLAP_LIMIT = 0.20
# A spot whose relative peak is below this is painted too faint to be counted and is not in the truth.
FAINT = 0.6
# Outlines softer than this (times the usual) belong to nuclei out of focus: found, but not scored.
OUT_OF_FOCUS = 3.0
# Signals of a nucleus that are nearer than this, in signal widths, count once outside clusters (domain.md section 2).
RESOLVED = 1.3


class Kind(StrEnum):
    """What a nucleus is; only TUMOUR is in the truth."""

    TUMOUR = "tumour"
    LYMPHOCYTE = "lymphocyte"
    STROMA = "stroma"
    GHOST = "out of focus"
    FRAGMENT = "fragment"


@dataclass(frozen=True, slots=True)
class Conditions:
    """How one region looks. Lengths are shares of the nucleus width unless a unit is named."""

    nucleus_px: float
    width_px: int
    height_px: int
    tumour_nuclei: int
    crowding: float  # share of nuclei placed against another one
    overlap: float  # how far those may reach into each other, in radii
    irregular: float
    lymphocytes: int
    stroma: int
    ghosts: int
    fragments: int
    her2_fwhm: float
    cep17_fwhm: float
    her2_contrast: float  # peak of a signal over the channel's background, grey levels
    cep17_contrast: float
    clustering: float  # chance that a nucleus with many HER2 signals has them in clusters
    split: float  # share of signals seen as a split pair
    faint: float  # extra signals a nucleus, too faint for anyone to count and not in the truth
    granules: float  # grains a nucleus in the probe channels, far dimmer than signals and not in the truth
    missing: float  # share of nuclei without any signal of a colour
    soft: float  # share of tumour nuclei that lie a little out of the focal plane
    blur_px: float  # what camera and compression add to the width of a signal, standard deviation


@dataclass(frozen=True, slots=True)
class SceneNucleus:
    """One nucleus of a scene. `softness`: how many times softer its outline is than one in focus.

    `spots` are what is painted: x, y, FWHM px, relative peak, channel (0 HER2, 1 CEP17; + 2 for grains, whose peak is
    relative to that of signals, while faint spots are relative to what can just be seen), and the index of the signal
    it belongs to (-1: none).
    """

    kind: Kind
    outline: Outline
    overlap: float = 0.0
    her2: int = 0
    cep17: int = 0
    clustered: bool = False
    scorable: bool = False
    softness: float = 1.0
    signals: tuple[Signal, ...] = ()
    spots: NDArray[np.float32] = field(default_factory=lambda: np.zeros((0, 6), np.float32))


@dataclass(frozen=True, slots=True)
class Scene:
    """A region before it is painted."""

    conditions: Conditions
    nuclei: tuple[SceneNucleus, ...]


def sample_conditions(
    rng: np.random.Generator, *, nucleus_px: tuple[float, float] = (40, 190), blur_px: float = 0.6
) -> Conditions:
    """Draw how a region looks, over the range seen in real fields (nuclei 40-190 px wide)."""
    nucleus = float(np.exp(rng.uniform(*np.log(nucleus_px))))
    across = rng.uniform(7.5, 13.0)
    width = int(np.clip(across * nucleus, 480, 1600))
    height = int(width * rng.choice([0.75, 0.75, 0.8, 1.0]))
    places = width * height / nucleus**2
    tumour = int(np.clip(places * rng.uniform(0.28, 0.75), 14, 75))
    hard = rng.random() < 0.4
    piled = hard and rng.random() < 0.5
    sharp = rng.random() < 0.7
    contrast = np.exp(rng.uniform(np.log(28), np.log(210)))
    return Conditions(
        nucleus_px=nucleus,
        width_px=width,
        height_px=height,
        tumour_nuclei=tumour,
        crowding=rng.uniform(0.75, 0.97) if piled else rng.uniform(0.1, 0.75),
        overlap=rng.uniform(0.15, 0.5) if hard else rng.uniform(0.0, 0.12),
        irregular=rng.uniform(0.0, 0.10),
        lymphocytes=int(rng.poisson(rng.choice([0, 2, 8]))),
        stroma=int(rng.poisson(rng.choice([0, 1, 5]))),
        ghosts=int(rng.poisson(rng.choice([0, 1, 6]))),
        fragments=int(rng.poisson(rng.choice([0, 1, 8]))),
        her2_fwhm=rng.uniform(0.028, 0.06) if sharp else rng.uniform(0.05, 0.1),
        cep17_fwhm=rng.uniform(0.03, 0.07) if sharp else rng.uniform(0.05, 0.13),
        her2_contrast=float(np.clip(contrast * rng.uniform(0.7, 1.4), 24, 220)),
        cep17_contrast=float(np.clip(contrast * rng.uniform(0.6, 1.5), 22, 220)),
        clustering=rng.choice([0.0, 0.3, 0.9], p=[0.35, 0.3, 0.35]),
        split=rng.choice([0.0, 0.04, 0.12]),
        faint=rng.choice([0.0, 0.15, 0.6]),
        granules=rng.choice([0.0, 1.0, 5.0], p=[0.5, 0.3, 0.2]),
        missing=rng.choice([0.0, 0.03, 0.15], p=[0.4, 0.45, 0.15]),
        soft=rng.choice([0.0, 0.08, 0.3], p=[0.4, 0.35, 0.25]),
        blur_px=blur_px,
    )


def _place(c: Conditions, rng: np.random.Generator) -> list[tuple[Kind, Outline]]:
    """Positions of all nuclei: some free, some against another one, none reaching in farther than allowed."""
    wanted = (
        [Kind.TUMOUR] * c.tumour_nuclei
        + [Kind.LYMPHOCYTE] * c.lymphocytes
        + [Kind.STROMA] * c.stroma
        + [Kind.GHOST] * c.ghosts
        + [Kind.FRAGMENT] * c.fragments
    )
    placed: list[tuple[Kind, Outline]] = []
    centres = np.zeros((len(wanted), 3))  # x, y, radius
    spread = float(rng.uniform(0.06, 0.2))
    for kind in wanted:
        for _ in range(60):
            size = c.nucleus_px * float(np.clip(rng.lognormal(0, spread), 0.6, 1.6))
            if kind is Kind.LYMPHOCYTE:
                size = c.nucleus_px * float(rng.uniform(0.36, 0.55))
            elif kind is Kind.STROMA:
                size = c.nucleus_px * float(rng.uniform(0.45, 0.75))
            elif kind is Kind.FRAGMENT:
                size = c.nucleus_px * float(rng.uniform(0.12, 0.45))
            radius = size / 2
            x, y = rng.uniform(-0.02, 1.02) * c.width_px, rng.uniform(-0.02, 1.02) * c.height_px
            against = bool(placed) and rng.random() < c.crowding
            if against:
                other = centres[rng.integers(len(placed))]
                angle = rng.uniform(0, 2 * np.pi)
                distance = (other[2] + radius) * (1.04 - rng.uniform(0, 1) * c.overlap)
                x, y = other[0] + distance * np.cos(angle), other[1] + distance * np.sin(angle)
            if not (-0.2 * radius < x < c.width_px + 0.2 * radius and -0.2 * radius < y < c.height_px + 0.2 * radius):
                continue
            others = centres[: len(placed)]
            gaps = np.hypot(others[:, 0] - x, others[:, 1] - y) - (others[:, 2] + radius) * (1.02 - c.overlap)
            if kind is Kind.GHOST or not len(others) or gaps.min() > 0:
                break
        else:
            continue
        irregular = 0.3 if kind is Kind.FRAGMENT else c.irregular
        outline = spindle(x, y, size, rng) if kind is Kind.STROMA else tumour_outline(x, y, size, irregular, rng)
        if kind is Kind.LYMPHOCYTE:
            outline = replace(outline, aspect=min(outline.aspect, 1.15))
        centres[len(placed)] = x, y, radius if kind is not Kind.GHOST else 0.0
        placed.append((kind, outline))
    return placed


def _overlaps(placed: list[tuple[Kind, Outline]], width_px: int, height_px: int) -> NDArray[np.float64]:
    """Share of each nucleus that other nuclei in focus cover, float[N], measured on a grid."""
    step = max(1.0, float(np.median([o.radius_px for _, o in placed])) / 16)
    cover = np.zeros((int(height_px / step) + 1, int(width_px / step) + 1), np.uint8)
    masks = []
    for kind, outline in placed:
        x0, y0, x1, y1 = (int(side / step) for side in outline.box())
        x0, y0, x1, y1 = max(x0, 0), max(y0, 0), min(x1 + 2, cover.shape[1]), min(y1 + 2, cover.shape[0])
        xs = (np.arange(x0, x1, dtype=np.float32) * step)[None, :]
        ys = (np.arange(y0, y1, dtype=np.float32) * step)[:, None]
        mask = outline.depth(xs, ys) < 1 if x1 > x0 and y1 > y0 else np.zeros((0, 0), bool)
        masks.append((slice(y0, max(y1, y0)), slice(x0, max(x1, x0)), mask))
        if kind is not Kind.GHOST and mask.size:
            cover[masks[-1][:2]] += mask
    return np.array([float((cover[r, s][m] > 1).mean()) if m.any() else 1.0 for r, s, m in masks])


def _inside(outline: Outline, count: int, rng: np.random.Generator, *, rim: bool) -> NDArray[np.floating]:
    """Random points float[count, 2] inside an outline, nearer to the rim where `rim`."""
    depth = np.sqrt(rng.uniform(0, 1, count)) * 0.9
    if rim:
        depth = np.maximum(depth, rng.uniform(0.3, 0.9, count))
    return outline.points(rng.uniform(0, 2 * np.pi, count), depth)


def _apart(outline: Outline, count: int, gap_px: float, rng: np.random.Generator) -> NDArray[np.floating] | None:
    """`count` points at least `gap_px` from one another, or None if they were not found."""
    rim = bool(rng.random() < 0.4)
    points = np.zeros((0, 2))
    for candidate in _inside(outline, 40 * count + 40, rng, rim=rim):
        if len(points) == count:
            break
        if not len(points) or np.hypot(*(points - candidate).T).min() > gap_px:
            points = np.vstack([points, candidate])
    return points if len(points) == count else None


def _clustered(outline: Outline, count: int, fwhm_px: float, rng: np.random.Generator) -> NDArray[np.floating]:
    """`count` points in one to four clumps, loose to so compact that single signals merge into one patch of light."""
    clumps = _inside(outline, int(rng.integers(1, 5)), rng, rim=False) * 0.75 + np.array([outline.x, outline.y]) * 0.25
    spread = fwhm_px * rng.uniform(0.35, 1.6) * max(1.0, count / len(clumps) / 6) ** 0.5
    loose = rng.random(count) < rng.uniform(0, 0.35)
    points = clumps[rng.integers(len(clumps), size=count)] + rng.normal(0, spread, (count, 2))
    points[loose] = _inside(outline, int(loose.sum()), rng, rim=False)
    depth = outline.depth(points[:, 0].astype(np.float32), points[:, 1].astype(np.float32))
    centre = np.array([outline.x, outline.y])
    inward = np.minimum(1.0, 0.92 / np.maximum(depth, 1e-6))[:, None]
    return np.asarray(centre + (points - centre) * inward)


def _is_cluster(points: NDArray[np.floating], fwhm_px: float) -> bool:
    """Whether enough signals run into each other that single ones cannot be told apart."""
    if len(points) < 6:
        return False
    distance = np.hypot(points[:, None, 0] - points[None, :, 0], points[:, None, 1] - points[None, :, 1])
    np.fill_diagonal(distance, np.inf)
    return bool((distance.min(axis=1) < 1.3 * fwhm_px).mean() >= 0.4)


def _resolved(points: NDArray[np.floating], gap_px: float) -> NDArray[np.floating]:
    """The points without those that lie nearer than `gap_px` to an earlier one."""
    kept: list[NDArray[np.floating]] = []
    for point in points:
        if all(np.hypot(*(point - other)) >= gap_px for other in kept):
            kept.append(point)
    return np.array(kept).reshape(-1, 2)


def _spots(
    points: NDArray[np.floating],
    first: int,
    fwhm_px: float,
    seen_px: float,
    channel: int,
    c: Conditions,
    rng: np.random.Generator,
) -> NDArray[np.float32]:
    """Painted spots of counted signals: size and brightness vary, some are blurred, some are split pairs.

    `fwhm_px`: width before the camera, `seen_px`: after it; `first`: index of the first signal.
    """
    rows = []
    for i, (x, y) in enumerate(points, first):
        fwhm = fwhm_px * rng.uniform(0.85, 1.2)
        peak = float(np.clip(rng.lognormal(0.15, 0.3), 0.8, 2.2))
        if rng.random() < 0.12:  # a little out of the focal plane
            blur = rng.uniform(1.2, 1.8)
            fwhm, peak = fwhm * blur, max(0.75, peak / blur)
        if rng.random() < c.split:
            angle, half = rng.uniform(0, 2 * np.pi), seen_px * rng.uniform(0.35, 0.52)
            dx, dy = half * np.cos(angle), half * np.sin(angle)
            rows += [(x + dx, y + dy, fwhm * 0.85, peak, channel, i), (x - dx, y - dy, fwhm * 0.85, peak, channel, i)]
        else:
            rows.append((x, y, fwhm, peak, channel, i))
    return np.array(rows, np.float32).reshape(-1, 6)


def _distractors(
    outline: Outline, fwhm_px: NDArray[np.floating], c: Conditions, rng: np.random.Generator
) -> list[NDArray[np.float32]]:
    """Spots that are painted but count for nothing: too faint to be seen, or grains that signals outshine."""
    rows = []
    for number, grain in ((rng.poisson(c.faint), False), (rng.poisson(c.granules), True)):
        spots = np.full((number, 6), -1, np.float32)
        spots[:, :2] = _inside(outline, number, rng, rim=grain)
        channel = rng.integers(0, 2, number)
        spots[:, 2] = fwhm_px[channel] * (rng.uniform(0.6, 1.6, number) if grain else rng.uniform(0.9, 2.2, number))
        spots[:, 3] = rng.uniform(0.1, 0.3, number) if grain else rng.uniform(0.15, 0.45, number)
        spots[:, 4] = channel + 2 * grain
        rows.append(spots)
    return rows


def _furnish(
    kind: Kind, outline: Outline, her2: int, cep17: int, softness: float, c: Conditions, rng: np.random.Generator
) -> SceneNucleus:
    """A nucleus with its signals placed; HER2 signals that cannot lie apart form clusters or count once."""
    blur = 1 + 0.25 * (softness - 1)
    fwhm = np.maximum(np.array([c.her2_fwhm, c.cep17_fwhm]) * c.nucleus_px, 1.9) * min(blur, 1.6)
    seen = np.hypot(fwhm, 2.355 * c.blur_px)  # as wide as the camera shows them
    gap = 2.05 * seen  # closer pairs would count as one (domain.md section 2, rule 3)
    her2_points = None if her2 >= 6 and rng.random() < c.clustering else _apart(outline, her2, gap[0], rng)
    if her2_points is None:
        her2_points = _clustered(outline, her2, seen[0], rng)
    clustered = _is_cluster(her2_points, float(seen[0]))
    if not clustered:
        her2_points = _resolved(her2_points, RESOLVED * float(seen[0]))
    cep17_points = _apart(outline, cep17, gap[1], rng)
    if cep17_points is None:  # many in a small nucleus: as far apart as they fit
        cep17_points = _apart(outline, cep17, RESOLVED * seen[1], rng)
    if cep17_points is None:
        cep17_points = _resolved(_inside(outline, cep17, rng, rim=False), RESOLVED * float(seen[1]))
    rows = [
        _spots(her2_points, 0, fwhm[0], float(seen[0]), 0, c, rng),
        _spots(cep17_points, len(her2_points), fwhm[1], float(seen[1]), 1, c, rng),
        *_distractors(outline, fwhm, c, rng),
    ]
    return SceneNucleus(
        kind=kind,
        outline=outline,
        her2=len(her2_points),
        cep17=len(cep17_points),
        clustered=clustered,
        softness=softness,
        signals=tuple(Signal(Channel.HER2, float(x), float(y)) for x, y in her2_points)
        + tuple(Signal(Channel.CEP17, float(x), float(y)) for x, y in cep17_points),
        spots=np.vstack(rows),
    )


def brightened(nucleus: SceneNucleus, signals: set[int], factor: float) -> SceneNucleus:
    """The nucleus with some of its signals, by index, `factor` times as bright."""
    spots = nucleus.spots.copy()
    spots[np.isin(spots[:, 5], list(signals)), 3] *= factor
    return replace(nucleus, spots=spots)


def without(nucleus: SceneNucleus, signals: set[int]) -> SceneNucleus:
    """The nucleus without some of its signals, by index: neither painted nor in the truth."""
    if not signals:
        return nucleus
    left = [i for i in range(len(nucleus.signals)) if i not in signals]
    kept = tuple(nucleus.signals[i] for i in left)
    spots = nucleus.spots[~np.isin(nucleus.spots[:, 5], list(signals))]
    spots[:, 5] = [left.index(int(i)) if i >= 0 else -1 for i in spots[:, 5]]
    her2 = sum(s.channel is Channel.HER2 for s in kept)
    cep17 = len(kept) - her2
    scorable = nucleus.scorable and her2 > 0 and cep17 > 0
    return replace(nucleus, signals=kept, her2=her2, cep17=cep17, scorable=scorable, spots=spots)


def blank(scene: Scene) -> Scene:
    """The scene without any signal; spots that count for nothing stay."""
    nuclei = (without(n, set(range(len(n.signals)))) for n in scene.nuclei)
    return replace(scene, nuclei=tuple(nuclei))


def _softness(tumour: NDArray[np.bool_], c: Conditions, rng: np.random.Generator) -> NDArray[np.float64]:
    """How much softer than in focus each outline is, float[N]: a little, or so much that it is out of focus."""
    n = len(tumour)
    little, much = rng.uniform(1.2, 2.2, n), rng.uniform(OUT_OF_FOCUS + 0.6, OUT_OF_FOCUS + 2.5, n)
    soft = np.where(rng.random(n) < 0.55, little, much)
    return np.where(tumour & (rng.random(n) < c.soft), soft, 1.0)


def compose(
    conditions: Conditions, target: int, rng: np.random.Generator, margin: tuple[float, float] = (0.0, np.inf)
) -> Scene:
    """A scene under `conditions` whose scorable nuclei fall into group `target`.

    margin: how far from the nearest border of groups (`biology.margin`) it has to be; signals that count once may
    move it by a little. Raises TrainingError where the nuclei cannot show that.
    """
    c = conditions
    placed = _place(c, rng)
    overlaps = _overlaps(placed, c.width_px, c.height_px)
    inside = np.array(
        [
            x0 >= 0 and y0 >= 0 and x1 <= c.width_px and y1 <= c.height_px
            for x0, y0, x1, y1 in (o.box() for _, o in placed)
        ]
    )
    tumour = np.array([kind is Kind.TUMOUR for kind, _ in placed])
    softness = _softness(tumour, c, rng)
    whole = inside & (overlaps <= OVERLAP_LIMIT) & (softness < OUT_OF_FOCUS)
    her2, cep17 = np.full(len(placed), 2), np.full(len(placed), 2)
    her2[tumour], cep17[tumour] = sample_counts(target, whole[tumour], rng, missing=c.missing, margins=margin)
    nuclei = []
    for i, (kind, outline) in enumerate(placed):
        if kind in (Kind.GHOST, Kind.FRAGMENT):
            nuclei.append(SceneNucleus(kind, outline))
            continue
        h, n17 = int(her2[i]), int(cep17[i])
        if kind is not Kind.TUMOUR:
            h, n17 = int(rng.integers(1, 3)), int(rng.integers(1, 3))
        nucleus = _furnish(kind, outline, h, n17, float(softness[i]), c, rng)
        scorable = bool(tumour[i] and whole[i] and nucleus.her2 and nucleus.cep17)
        nuclei.append(replace(nucleus, overlap=float(overlaps[i]), scorable=scorable))
    return Scene(c, tuple(nuclei))
