"""Which nuclei that the models found are scored (domain.md section 2), and why the others are not.

Geometry comes before colour: a nucleus that is cut or covered may lack a signal for that reason alone, and only a whole
one without CEP17 speaks of a weak probe.
"""

from __future__ import annotations

import math
from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np
import numpy.typing as npt

from her2core.errors import ScoringError
from her2core.records import Box, Exclusion

__all__ = ["ScorableRules", "iou", "is_cut", "judge", "missing_colour", "overlap_fractions", "typical_width_px"]

# A box that ends this close to the image edge belongs to a nucleus that is cut: so many pixels, or that share of the
# region's typical nucleus, as boxes of large nuclei end farther from the truth; farther out if it is pressed flat
# against the edge. On rendered regions (125) this finds 98 % of the cut nuclei (2 px alone: 93 %) and takes 7 % of the
# whole ones that lie near an edge for cut (5 %).
EDGE_MARGIN_PX = 2.0
EDGE_MARGIN = 0.03
FLAT_MARGIN = 0.08
FLAT = 0.65  # extent towards the edge over extent along it
MOST_OVERLAP = 0.20  # share of a nucleus under others; touching nuclei stay below it, as boxes are a little wide
# Sharpness against the median nucleus of the region. On rendered nuclei (24 regions) this finds 73 % of those out of
# focus and loses 2 % of the others.
LEAST_FOCUS = 0.70
# Of a box that a person drew: its DAPI above the background against the median nucleus of the region
# (`imaging.stain.relative_stain`). On 10 rendered regions none of 367 nuclei is below, and 86 % of the boxes beside all
# nuclei are; the others lie on haze or on what is stained and no nucleus.
LEAST_STAIN = 0.25


@dataclass(frozen=True, slots=True)
class ScorableRules:
    """The thresholds of `judge`. Raises ScoringError outside their range."""

    edge_margin_px: float = EDGE_MARGIN_PX
    edge_margin: float = EDGE_MARGIN
    flat_margin: float = FLAT_MARGIN
    most_overlap: float = MOST_OVERLAP
    least_focus: float = LEAST_FOCUS
    least_stain: float = LEAST_STAIN

    def __post_init__(self) -> None:
        margins = self.edge_margin_px, self.edge_margin, self.flat_margin
        at_least = self.least_focus, self.least_stain
        if not (all(m >= 0 for m in (*margins, *at_least)) and 0 <= self.most_overlap <= 1):
            raise ScoringError("The thresholds for scorable nuclei are out of range.")


DEFAULT_RULES = ScorableRules()


def missing_colour(her2: int | None, cep17: int | None) -> Exclusion | None:
    """Why these counts cannot be scored; None if there is at least one signal of each colour."""
    if her2 is None or cep17 is None:
        return Exclusion.UNCOUNTABLE
    if her2 < 1 and cep17 < 1:
        return Exclusion.NO_SIGNAL
    if her2 < 1:
        return Exclusion.NO_HER2
    return Exclusion.NO_CEP17 if cep17 < 1 else None


def judge(
    her2: int | None,
    cep17: int | None,
    box: Box,
    width_px: int,
    height_px: int,
    overlap_fraction: float,
    relative_focus: float | None = None,
    rules: ScorableRules = DEFAULT_RULES,
    *,
    typical_px: float = 0.0,
    relative_stain: float | None = None,
) -> Exclusion | None:
    """Why a nucleus found by the models, or boxed by a person, is not scored; None if it is.

    box: xyxy, pixels of the region image of width_px x height_px. overlap_fraction: share of the nucleus that lies
    under others, 0..1 (`overlap_fractions`). relative_focus: its sharpness divided by the median of the region's
    nuclei; None where it was not measured. typical_px: how wide the region's nuclei are (`typical_width_px`); 0 where
    that is not known. relative_stain: its DAPI above the background divided by that of the region's median nucleus;
    None where it was not measured. Raises ScoringError for a box without area or fractions that are none.
    """
    x0, y0, x1, y1 = box
    if not (all(math.isfinite(side) for side in box) and x0 < x1 and y0 < y1):
        raise ScoringError("A nucleus has a box without area.")
    if not 0 <= overlap_fraction <= 1 or (relative_focus is not None and not relative_focus >= 0):
        raise ScoringError("Overlap has to lie between 0 and 1 and focus may not be negative.")
    if not typical_px >= 0:
        raise ScoringError("The typical width of a nucleus may not be negative.")
    if relative_stain is not None and relative_stain < rules.least_stain:
        return Exclusion.NO_NUCLEUS
    if is_cut(box, width_px, height_px, typical_px, rules):
        return Exclusion.EDGE
    if overlap_fraction > rules.most_overlap:
        return Exclusion.OVERLAP
    if relative_focus is not None and relative_focus < rules.least_focus:
        return Exclusion.OUT_OF_FOCUS
    return missing_colour(her2, cep17)


def typical_width_px(boxes_xyxy: Sequence[Box] | npt.NDArray[np.float64]) -> float:
    """The median width of a region's nuclei, that of a square of the same area, in pixels; 0 where there are none."""
    boxes = np.asarray(boxes_xyxy, dtype=np.float64).reshape(-1, 4)  # (n, 4)
    sides = np.maximum(boxes[:, 2:] - boxes[:, :2], 0)  # (n, 2)
    return float(np.median(np.sqrt(sides.prod(axis=1)))) if len(boxes) else 0.0


def is_cut(box: Box, width_px: int, height_px: int, typical_px: float, rules: ScorableRules = DEFAULT_RULES) -> bool:
    """Whether the nucleus of a box is cut by the image edge (`EDGE_MARGIN_PX` says how that is told).

    As `judge`, but by the box alone: it says nothing of what was counted in it.
    """
    x0, y0, x1, y1 = box
    across, down = x1 - x0, y1 - y0
    near_px = max(rules.edge_margin_px, rules.edge_margin * typical_px)
    flat_px = max(near_px, rules.flat_margin * typical_px)
    return any(
        gap_px < (flat_px if towards < FLAT * along else near_px)
        for gap_px, towards, along in (
            (x0, across, down),
            (width_px - x1, across, down),
            (y0, down, across),
            (height_px - y1, down, across),
        )
    )


def iou(a: Sequence[float], b: Sequence[float]) -> float:
    """Intersection over union of two boxes, xyxy; 0 where they do not meet."""
    width, height = min(a[2], b[2]) - max(a[0], b[0]), min(a[3], b[3]) - max(a[1], b[1])
    if width <= 0 or height <= 0:
        return 0.0
    both = width * height
    return float(both / ((a[2] - a[0]) * (a[3] - a[1]) + (b[2] - b[0]) * (b[3] - b[1]) - both))


def overlap_fractions(boxes_xyxy: Sequence[Box]) -> list[float]:
    """The share of each nucleus that lies under any other, taking the ellipse in each box for the nucleus.

    boxes: xyxy, pixels. Two round nuclei whose boxes meet at a corner do not overlap. Sampled at some 300 points a
    nucleus, so exact to about 0.01.
    """
    boxes = np.asarray(list(boxes_xyxy), dtype=np.float64).reshape(-1, 4)  # (n, 4)
    if not np.isfinite(boxes).all() or (boxes[:, 2:] <= boxes[:, :2]).any():
        raise ScoringError("A nucleus has a box without area.")
    centre, radius = (boxes[:, :2] + boxes[:, 2:]) / 2, (boxes[:, 2:] - boxes[:, :2]) / 2  # (n, 2) each
    fractions: list[float] = []
    for index in range(len(boxes)):
        meets = (boxes[:, :2] < boxes[index, 2:]) & (boxes[:, 2:] > boxes[index, :2])  # (n, 2)
        near = meets.all(axis=1) & (np.arange(len(boxes)) != index)  # (n,)
        if not near.any():
            fractions.append(0.0)
            continue
        points = centre[index] + radius[index] * _DISC  # (p, 2)
        scaled = (points[:, None, :] - centre[near]) / radius[near]  # (p, m, 2)
        fractions.append(float(((scaled**2).sum(axis=2) < 1).any(axis=1).mean()))
    return fractions


def _disc_points(per_side: int = 20) -> npt.NDArray[np.float64]:
    """Points of an even grid inside the unit disc: float (p, 2)."""
    steps = (np.arange(per_side) + 0.5) / per_side * 2 - 1
    grid = np.stack(np.meshgrid(steps, steps), axis=-1).reshape(-1, 2)
    inside: npt.NDArray[np.float64] = grid[(grid**2).sum(axis=1) < 1]
    return inside


_DISC = _disc_points()
