"""Shares and their intervals, and what lies in the middle of values: the plain numbers of a laboratory."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
from numpy.typing import ArrayLike

from her2core.training.measures import wilson

__all__ = ["Quartiles", "Share", "quartiles"]


@dataclass(frozen=True, slots=True)
class Share:
    """`k` of `n`, with Wilson's 95 % interval in percent; the interval is 0 to 100 where n is 0.

    Raises ValueError for more than all or less than none.
    """

    k: int
    n: int

    def __post_init__(self) -> None:
        if not 0 <= self.k <= self.n:
            raise ValueError(f"{self.k} of {self.n} is no share")

    @property
    def percent(self) -> float | None:
        """The share in percent; None where n is 0."""
        return None if self.n == 0 else 100.0 * self.k / self.n

    @property
    def interval(self) -> tuple[float, float]:
        """Wilson's score interval of the share, in percent (Wilson 1927)."""
        low, high = wilson(self.k, self.n)
        return 100.0 * low, 100.0 * high


@dataclass(frozen=True, slots=True)
class Quartiles:
    """Where n values lie: the middle one, the middle half of them, and the one that nine of ten stay below."""

    n: int
    low: float
    median: float
    high: float
    ninth_tenth: float


def quartiles(values: ArrayLike) -> Quartiles | None:
    """Of the values that are known (not NaN); None without any."""
    every = np.asarray(values, float)
    known = every[~np.isnan(every)]
    if not len(known):
        return None
    low, median, high, ninth = (float(q) for q in np.quantile(known, (0.25, 0.5, 0.75, 0.9)))
    return Quartiles(len(known), low, median, high, ninth)
