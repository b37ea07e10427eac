"""How right counts, groups and stated doubts are: pure functions of numbers, each with a hand-worked test."""

from __future__ import annotations

import math
from collections.abc import Iterable, Sequence
from dataclasses import dataclass

import numpy as np
from numpy.typing import ArrayLike, NDArray

from her2core.errors import TrainingError
from her2core.records import Tally
from her2core.scoring import group

__all__ = [
    "GROUPS",
    "Bin",
    "CountErrors",
    "GroupAgreement",
    "Spread",
    "auroc",
    "brier",
    "calibration_error",
    "count_errors",
    "group_agreement",
    "group_margin",
    "reader_accuracy",
    "reliability",
    "spread",
    "strata",
    "thirds",
    "wilson",
]

GROUPS = (1, 2, 3, 4, 5)
Floats = NDArray[np.float64]


@dataclass(frozen=True, slots=True)
class GroupAgreement:
    """5 x 5 confusion matrix (rows truth, columns found, groups 1-5) of `total` images; `undefined` had no call."""

    matrix: tuple[tuple[int, ...], ...]
    undefined: int
    total: int
    accuracy: float
    accuracy_95: tuple[float, float]
    kappa: float | None
    recall: dict[int, float | None]
    group1_sensitivity: float | None
    group1_specificity: float | None


@dataclass(frozen=True, slots=True)
class CountErrors:
    """Error of counts over n nuclei: mean absolute error and bias (found minus true), and both as a share of truth."""

    n: int
    mae: float | None
    bias: float | None
    relative_mae: float | None
    relative_bias: float | None


@dataclass(frozen=True, slots=True)
class Spread:
    """Mean and standard deviation (over n - 1) of n values, and the range that holds the middle 95 % of them."""

    n: int
    mean: float | None
    sd: float | None
    middle_95: tuple[float, float] | None


@dataclass(frozen=True, slots=True)
class Bin:
    """Of `n` things whose stated probability lies in low..high: what was stated on average, and how many it was of."""

    low: float
    high: float
    n: int
    stated: float
    observed: float


def wilson(successes: int, total: int, z: float = 1.959964) -> tuple[float, float]:
    """Wilson's score interval of a proportion; (0, 1) for no trials."""
    if total == 0:
        return 0.0, 1.0
    p = successes / total
    centre = (p + z * z / (2 * total)) / (1 + z * z / total)
    half = z / (1 + z * z / total) * math.sqrt(p * (1 - p) / total + z * z / (4 * total * total))
    return max(0.0, centre - half), min(1.0, centre + half)


def group_agreement(pairs: Iterable[tuple[int, int | None]]) -> GroupAgreement:
    """Agreement of (true group, found group or None) pairs.

    An image without a call counts as wrong. Kappa is None where all true groups are one: nothing is told apart there.
    Raises TrainingError without any pair.
    """
    pairs = list(pairs)
    if not pairs:
        raise TrainingError("There is no image with a known group to evaluate.")
    matrix = [[sum(p == (t, f) for p in pairs) for f in GROUPS] for t in GROUPS]
    total = len(pairs)
    right = sum(matrix[i][i] for i in range(5))
    rows, columns = [sum(t == g for t, _ in pairs) for g in GROUPS], [sum(row[i] for row in matrix) for i in range(5)]
    expected = sum(r * c for r, c in zip(rows, columns, strict=True)) / total**2
    negatives = total - rows[0]
    return GroupAgreement(
        matrix=tuple(tuple(row) for row in matrix),
        undefined=sum(f is None for _, f in pairs),
        total=total,
        accuracy=right / total,
        accuracy_95=wilson(right, total),
        kappa=(right / total - expected) / (1 - expected) if max(rows) < total else None,
        recall={g: matrix[i][i] / rows[i] if rows[i] else None for i, g in enumerate(GROUPS)},
        group1_sensitivity=matrix[0][0] / rows[0] if rows[0] else None,
        group1_specificity=sum(t != 1 and f != 1 for t, f in pairs) / negatives if negatives else None,
    )


def count_errors(found: Sequence[float], true: Sequence[float]) -> CountErrors:
    """Errors of one channel over nuclei; None values where there are none."""
    if not len(found):
        return CountErrors(0, None, None, None, None)
    error = np.asarray(found, float) - np.asarray(true, float)
    mae, bias, mean = float(np.abs(error).mean()), float(error.mean()), float(np.mean(true))
    return CountErrors(len(found), mae, bias, mae / mean if mean else None, bias / mean if mean else None)


def spread(values: Sequence[float]) -> Spread:
    """Where values lie; None fields where there are too few."""
    array = np.asarray(values, float)
    if not len(array):
        return Spread(0, None, None, None)
    low, high = np.quantile(array, (0.025, 0.975))
    sd = float(array.std(ddof=1)) if len(array) > 1 else None
    return Spread(len(array), float(array.mean()), sd, (float(low), float(high)))


def auroc(scores: ArrayLike, positive: ArrayLike) -> float | None:
    """Chance that a positive has a higher score than a negative, ties counting half; None without both kinds."""
    values, is_positive = np.asarray(scores, float), np.asarray(positive, bool)
    n, rest = int(is_positive.sum()), int((~is_positive).sum())
    if not n or not rest:
        return None
    _, inverse, counts = np.unique(values, return_inverse=True, return_counts=True)
    ranks = (np.cumsum(counts) - (counts - 1) / 2)[inverse]  # mean rank of ties, from 1
    return float((ranks[is_positive].sum() - n * (n + 1) / 2) / (n * rest))


def reliability(stated: ArrayLike, happened: ArrayLike, bins: int = 10) -> tuple[Bin, ...]:
    """Stated probabilities 0-1 against how often it happened, in equal bins; empty ones are left out.

    Raises ValueError for probabilities outside 0..1 or lists of different length.
    """
    p, y = np.asarray(stated, float).reshape(-1), np.asarray(happened, float).reshape(-1)
    if len(p) != len(y):
        raise ValueError("each stated probability needs one outcome")
    if len(p) and not (np.isfinite(p).all() and p.min() >= 0 and p.max() <= 1):
        raise ValueError("a probability lies between 0 and 1")
    index = np.minimum((p * bins).astype(int), bins - 1)
    found = []
    for i in range(bins):
        chosen = index == i
        if chosen.any():
            n = int(chosen.sum())
            found.append(Bin(i / bins, (i + 1) / bins, n, float(p[chosen].mean()), float(y[chosen].mean())))
    return tuple(found)


def calibration_error(bins: Sequence[Bin]) -> float | None:
    """Expected calibration error: |stated - observed|, averaged with the size of the bins; None without any."""
    total = sum(b.n for b in bins)
    return sum(b.n * abs(b.stated - b.observed) for b in bins) / total if total else None


def brier(probabilities: Sequence[dict[int, float]], true_groups: Sequence[int]) -> float | None:
    """Mean squared distance of group probabilities (keys 1-5) from the truth: 0 perfect, 0.8 for five equal chances."""
    if not probabilities:
        return None
    rows = [
        sum((p.get(g, 0.0) - (g == true)) ** 2 for g in GROUPS)
        for p, true in zip(probabilities, true_groups, strict=True)
    ]
    return float(np.mean(rows))


def group_margin(t: Tally) -> float | None:
    """Relative distance of a tally from the nearest border of its group; None where it has no group.

    Borders: ratio 2.0, 4.0 copies and, where the ratio is below 2.0, 6.0 copies.
    """
    if group(t) is None:
        return None
    distances = [abs(t.her2 / (2 * t.cep17) - 1), abs(t.her2 / (4 * t.n) - 1)]
    if t.her2 < 2 * t.cep17:
        distances.append(abs(t.her2 / (6 * t.n) - 1))
    return min(distances)


def strata(values: Sequence[float], cuts: Sequence[float]) -> list[tuple[int, list[int]]]:
    """Things by a value: (number of the stratum from 0, indices) for each that is not empty, in rising order.

    A value equal to a cut belongs above it.
    """
    index = np.searchsorted(np.asarray(cuts, float), np.asarray(values, float), side="right")
    return [(i, found.tolist()) for i in range(len(cuts) + 1) if len(found := np.flatnonzero(index == i))]


def thirds(values: Sequence[float]) -> list[float]:
    """Cuts that part values into three about equal strata; between all of them where they are three at most."""
    levels = np.unique(np.asarray(values, float))
    if len(levels) <= 3:
        return [float(level) for level in levels[1:]]
    cuts = np.unique(np.quantile(np.asarray(values, float), (1 / 3, 2 / 3)))
    return [float(cut) for cut in cuts if cut > levels[0]]


def reader_accuracy(
    regions: Sequence[tuple[int, Sequence[tuple[int, int, bool]]]],
    *,
    off: float,
    cluster_share: float,
    one_way: bool,
    repeats: int = 200,
    seed: int = 0,
) -> Spread:
    """Group accuracy of a simulated reader who misses no nucleus, over repeated readings of all regions.

    Args:
        regions: (true group, its scorable nuclei as (HER2, CEP17, clustered)).
        off: chance that a count is one signal off.
        cluster_share: standard deviation of the HER2 estimate of a clustered nucleus, as a share of the truth.
        one_way: a region's errors all go one way (drawn anew for each region and channel), else either way at random.

    Raises ValueError for a chance outside 0..1.
    """
    if not 0 <= off <= 1 or cluster_share < 0:
        raise ValueError("off is a chance between 0 and 1, and cluster_share is not negative")
    rng = np.random.default_rng(seed)
    right = np.zeros((repeats, len(regions)))
    for r, (true_group, nuclei) in enumerate(regions):
        counts = np.array([(h, c) for h, c, _ in nuclei], float).reshape(-1, 2)
        clustered = np.array([k for *_, k in nuclei], bool)
        for i in range(repeats):
            sign = rng.choice((-1.0, 1.0), 2) if one_way else rng.choice((-1.0, 1.0), counts.shape)
            error = (rng.random(counts.shape) < off) * sign
            estimate = np.abs(rng.standard_normal(len(counts))) * np.broadcast_to(sign, counts.shape)[:, 0]
            error[clustered, 0] = np.rint(estimate * cluster_share * counts[:, 0])[clustered]
            read = np.maximum(counts + error, 0).sum(axis=0)
            right[i, r] = group(Tally(len(counts), int(read[0]), int(read[1]))) == true_group
    return spread(right.mean(axis=1).tolist() if len(regions) else [])
