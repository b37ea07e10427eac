"""Do two readings agree? Kappa of calls, Bland and Altman's limits of counts."""

from __future__ import annotations

import math
from collections.abc import Hashable, Iterable, Sequence
from dataclasses import dataclass

import numpy as np
from scipy.special import stdtrit

__all__ = ["BlandAltman", "Kappa", "bland_altman", "kappa", "kappa_words"]

_Z = 1.959964


@dataclass(frozen=True, slots=True)
class Kappa:
    """Cohen's kappa of n pairs of calls with its 95 % interval, and how many pairs are equal.

    `value` is None without pairs, or where both readings have but one and the same call: chance then explains all.
    """

    n: int
    equal: int
    value: float | None
    interval: tuple[float, float] | None


@dataclass(frozen=True, slots=True)
class BlandAltman:
    """Differences (second minus first) of n pairs: their mean with its 95 % interval, and the limits of agreement.

    The limits hold 95 % of the differences if these are about normal; `low` and `high` have intervals of their own
    (Bland and Altman 1999). None where there are too few pairs.
    """

    n: int
    bias: float | None
    bias_95: tuple[float, float] | None
    sd: float | None
    low: float | None
    low_95: tuple[float, float] | None
    high: float | None
    high_95: tuple[float, float] | None


def kappa(pairs: Iterable[tuple[Hashable, Hashable]]) -> Kappa:
    """Cohen's kappa (1960) with the large-sample error of Fleiss, Cohen and Everitt (1969)."""
    listed = list(pairs)
    n = len(listed)
    equal = sum(a == b for a, b in listed)
    labels = list(dict.fromkeys(label for pair in listed for label in pair))
    if n == 0 or len(labels) < 2:
        return Kappa(n, equal, None, None)
    index = {label: i for i, label in enumerate(labels)}
    p = np.zeros((len(labels), len(labels)))
    for a, b in listed:
        p[index[a], index[b]] += 1 / n
    rows, columns = p.sum(axis=1), p.sum(axis=0)
    observed, expected = float(np.trace(p)), float(rows @ columns)
    value = (observed - expected) / (1 - expected)
    diagonal = sum(p[i, i] * (1 - (rows[i] + columns[i]) * (1 - value)) ** 2 for i in range(len(labels)))
    off = sum(
        p[i, j] * (columns[i] + rows[j]) ** 2 for i in range(len(labels)) for j in range(len(labels)) if i != j
    ) * (1 - value) ** 2  # fmt: skip
    variance = (diagonal + off - (value - expected * (1 - value)) ** 2) / (n * (1 - expected) ** 2)
    half = _Z * math.sqrt(max(0.0, float(variance)))
    return Kappa(n, equal, value, (max(-1.0, value - half), min(1.0, value + half)))


def kappa_words(value: float | None) -> str:
    """How good an agreement is, in the words of Landis and Koch (1977)."""
    if value is None:
        return "not defined"
    for limit, word in ((0.0, "poor"), (0.2, "slight"), (0.4, "fair"), (0.6, "moderate"), (0.8, "substantial")):
        if value <= limit:
            return word
    return "almost perfect"


def bland_altman(first: Sequence[float], second: Sequence[float]) -> BlandAltman:
    """The agreement of paired measures; pairs of which one is not known (NaN) are left out.

    Raises ValueError for lists of different length.
    """
    a, b = np.asarray(first, float), np.asarray(second, float)
    if a.shape != b.shape:
        raise ValueError("measures are compared in pairs")
    difference = (b - a)[~(np.isnan(a) | np.isnan(b))]
    n = len(difference)
    if n < 2:
        bias = float(difference[0]) if n else None
        return BlandAltman(n, bias, None, None, None, None, None, None)
    bias, sd = float(difference.mean()), float(difference.std(ddof=1))
    t = _t_quantile(n - 1)
    half, reach = t * sd / math.sqrt(n), _Z * sd
    half_limit = t * sd * math.sqrt(1 / n + _Z * _Z / (2 * (n - 1)))
    low, high = bias - reach, bias + reach
    return BlandAltman(
        n, bias, (bias - half, bias + half), sd,
        low, (low - half_limit, low + half_limit), high, (high - half_limit, high + half_limit),
    )  # fmt: skip


def _t_quantile(freedom: int) -> float:
    """Student's t for a two-sided 95 % interval."""
    return float(stdtrit(freedom, 0.975))
