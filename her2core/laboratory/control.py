"""Control charts: is a share or a measure where it was, within what chance alone does?

Points are compared with the laboratory's own past, the baseline, in standard errors of each point (z). Rules are those
of the Western Electric handbook (1956) and the exponentially weighted mean (Roberts 1959; Lucas and Saccucci 1990).
A rule that is broken asks to look, it proves nothing: with all four rules on, a steady laboratory breaks one about
once in 90 points (Champ and Woodall 1987).
"""

from __future__ import annotations

import itertools
import math
from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

__all__ = [
    "EWMA_WEIGHT",
    "EWMA_WIDTH",
    "OUT_OF_LIMITS",
    "RULES",
    "ChartPoint",
    "Control",
    "LotShift",
    "ewma",
    "lot_shifts",
    "mean_chart",
    "p_chart",
    "western_electric",
]

RULES = {
    1: "beyond three standard errors",
    2: "two of three beyond two standard errors on one side",
    3: "four of five beyond one standard error on one side",
    4: "eight in a row on one side",
    5: "the weighted mean of the last points is beyond its limit",
}
"""Rules 1 to 4 are Western Electric's, 5 is the exponentially weighted mean."""

OUT_OF_LIMITS = 1
"""The rule of a single point; the others are run rules, about several points together."""

EWMA_WEIGHT = 0.2  # of the newest point
EWMA_WIDTH = 3.0  # of the limits, in standard deviations of the weighted mean
FEWEST_BASELINE = 8  # points, before limits say anything
BASELINE_SHARE = 1 / 3  # of the points, the oldest ones
LOT_SHIFT_SD = 0.5  # a shift between lots is worth a look from half a standard deviation of cases
LOT_SHIFT_Z = 3.0
FEWEST_OF_A_LOT = 10


@dataclass(frozen=True, slots=True)
class ChartPoint:
    """A point of a control chart: over n cases, with its limits and the numbers of the rules that it breaks.

    `z` is the distance from the centre in standard errors; None where it cannot be known.
    """

    n: int
    value: float
    low: float
    high: float
    z: float | None
    broken: tuple[int, ...] = ()

    @property
    def out_of_limits(self) -> bool:
        """Whether the point itself lies beyond the control limits."""
        return OUT_OF_LIMITS in self.broken

    @property
    def in_a_run(self) -> bool:
        """Whether the point lies within the limits and yet breaks a rule, together with those before it."""
        return bool(self.broken) and not self.out_of_limits


@dataclass(frozen=True, slots=True)
class Control:
    """A control chart. `baseline`: how many of the oldest points gave the centre; 0: too few points for limits."""

    centre: float | None
    baseline: int
    points: tuple[ChartPoint, ...]

    @property
    def alarms(self) -> list[int]:
        """The indices of the points that break a rule."""
        return [index for index, point in enumerate(self.points) if point.broken]

    @property
    def beyond(self) -> list[int]:
        """The indices of the points beyond the limits."""
        return [index for index in self.alarms if self.points[index].out_of_limits]

    @property
    def runs(self) -> list[int]:
        """The indices of the points within the limits that break a run rule."""
        return [index for index in self.alarms if self.points[index].in_a_run]


@dataclass(frozen=True, slots=True)
class LotShift:
    """A lot against all cases before it: mean, difference, that in standard deviations of cases and in standard errors.

    `shifted`: both beyond their limits. The first lot, and lots or pasts of fewer than 10 cases, are compared with
    nothing (None).
    """

    n: int
    mean: float
    difference: float | None = None
    in_sd: float | None = None
    z: float | None = None
    shifted: bool = False


def western_electric(z: Sequence[float | None]) -> list[tuple[int, ...]]:
    """The rules of 1 to 4 that each point breaks, given its distance from the centre in standard errors.

    A point breaks a rule about several points only if it is itself one of those that lie out. Points that are not known
    (None) end a run.
    """
    return [_broken(z[: index + 1]) for index in range(len(z))]


def _broken(until: Sequence[float | None]) -> tuple[int, ...]:
    now = until[-1]
    if now is None or now == 0:
        return ()
    run: list[float] = []
    for value in reversed(until):
        if value is None:
            break
        run.append(math.copysign(1.0, now) * value)
        if len(run) == 8:
            break
    broken = []
    if run[0] > 3:
        broken.append(1)
    for rule, limit, wanted, of in ((2, 2.0, 2, 3), (3, 1.0, 4, 5)):
        if run[0] > limit and sum(value > limit for value in run[:of]) >= wanted:
            broken.append(rule)
    if len(run) == 8 and min(run) > 0:
        broken.append(4)
    return tuple(broken)


def ewma(z: Sequence[float | None]) -> list[tuple[float, float]]:
    """(weighted mean, its limit) after each point, in standard errors; a point that is not known changes nothing."""
    found = []
    mean, steps = 0.0, 0
    for value in z:
        if value is not None:
            mean += EWMA_WEIGHT * (value - mean)
            steps += 1
        spread = EWMA_WEIGHT / (2 - EWMA_WEIGHT) * (1 - (1 - EWMA_WEIGHT) ** (2 * steps))
        found.append((mean, EWMA_WIDTH * math.sqrt(spread)))
    return found


def _baseline(points: int) -> int:
    """How many of the oldest points make the baseline; 0: too few to speak of limits."""
    return 0 if points < FEWEST_BASELINE else max(FEWEST_BASELINE, math.ceil(points * BASELINE_SHARE))


def p_chart(parts: Sequence[tuple[int, int]]) -> Control:
    """Shares (k of n), in percent, oldest first, against the share of the baseline; limits at three standard errors.

    Raises ValueError for more than all.
    """
    if any(not 0 <= k <= n for k, n in parts):
        raise ValueError("a share has at most as many as there are")
    base = _baseline(len(parts))
    k, n = (sum(part[i] for part in parts[:base]) for i in (0, 1))
    if base == 0 or n == 0:
        values = [100.0 * k / n if n else math.nan for k, n in parts]
        points = (ChartPoint(n, v, 0.0, 100.0, None) for v, (_, n) in zip(values, parts, strict=True))
        return Control(None, 0, tuple(points))
    centre = k / n
    # A baseline without a single hit (or miss) does not make every later one impossible.
    spread = centre if 0 < k < n else (k + 0.5) / (n + 1)
    errors = [math.sqrt(spread * (1 - spread) / size) if size else 0.0 for _, size in parts]
    values = [hits / size if size else math.nan for hits, size in parts]
    return _charted(100 * centre, base, [p[1] for p in parts], [100 * v for v in values], [100 * e for e in errors],
                    bounds=(0.0, 100.0))  # fmt: skip


def mean_chart(parts: Sequence[tuple[int, float]], sd: float) -> Control:
    """Means over n cases, oldest first, against the mean of the baseline; `sd` is that of single cases.

    Between-point variation beyond what `sd` explains (days, runs, operators) widens the limits: it is taken from the
    moving range of the baseline. Points without cases (n = 0) are gaps.
    """
    base = _baseline(len(parts))
    known = [(n, mean) for n, mean in parts[:base] if n]
    if base == 0 or len(known) < 2 or not sd > 0:
        return Control(None, 0, tuple(ChartPoint(n, mean, -math.inf, math.inf, None) for n, mean in parts))
    total = sum(n for n, _ in known)
    centre = sum(n * mean for n, mean in known) / total
    between = _between_variance(known, sd)
    errors = [math.sqrt(between + sd * sd / n) if n else 0.0 for n, _ in parts]
    return _charted(centre, base, [n for n, _ in parts], [mean for _, mean in parts], errors)


def _between_variance(known: Sequence[tuple[int, float]], sd: float) -> float:
    """Variance between points beyond chance: mean squared difference of neighbours, less what the cases explain."""
    pairs = list(itertools.pairwise(known))
    observed = sum((b[1] - a[1]) ** 2 for a, b in pairs) / (2 * len(pairs))
    expected = sum(sd * sd / a[0] + sd * sd / b[0] for a, b in pairs) / (2 * len(pairs))
    return max(0.0, observed - expected)


def _charted(
    centre: float,
    base: int,
    sizes: Sequence[int],
    values: Sequence[float],
    errors: Sequence[float],
    bounds: tuple[float, float] = (-math.inf, math.inf),
) -> Control:
    z = [
        (value - centre) / error if n and error > 0 else None
        for n, value, error in zip(sizes, values, errors, strict=True)
    ]
    single = western_electric(z)
    weighted = ewma(z)
    points = []
    for n, value, error, distance, broken, (mean, limit) in zip(
        sizes, values, errors, z, single, weighted, strict=True
    ):
        rules = (*broken, 5) if distance is not None and abs(mean) > limit else broken
        low, high = max(bounds[0], centre - 3 * error), min(bounds[1], centre + 3 * error)
        points.append(ChartPoint(n, value, low, high, distance, rules))
    return Control(centre, base, tuple(points))


def lot_shifts(lots: Sequence[Sequence[float]]) -> list[LotShift]:
    """Each lot, in the order of first use, against all values of the lots before it.

    With many cases every difference is beyond chance, so a shift must also be large beside how cases differ anyway.
    """
    before = np.zeros(0)
    found = []
    for lot in lots:
        values = np.asarray(lot, float)
        values = values[~np.isnan(values)]
        mean = float(values.mean()) if len(values) else math.nan
        if min(len(values), len(before)) < FEWEST_OF_A_LOT:
            found.append(LotShift(len(values), mean))
        else:
            found.append(_shift(values, before, mean))
        before = np.concatenate((before, values))
    return found


def _shift(values: NDArray[np.float64], before: NDArray[np.float64], mean: float) -> LotShift:
    difference = mean - float(before.mean())
    sd = float(before.std(ddof=1))
    error = math.sqrt(float(values.var(ddof=1)) / len(values) + sd * sd / len(before))
    if sd == 0 or error == 0:
        return LotShift(len(values), mean, difference)
    in_sd, z = difference / sd, difference / error
    shifted = abs(in_sd) >= LOT_SHIFT_SD and abs(z) >= LOT_SHIFT_Z
    return LotShift(len(values), mean, difference, in_sd, z, shifted)
