"""Axes of charts as plotly is told them, where its own choice misleads with few cases."""

from __future__ import annotations

import itertools
import math
from collections.abc import Sequence
from datetime import date, timedelta
from typing import Any

__all__ = ["BAR_MS", "of_cases", "of_dates", "of_hours", "of_percent"]

_TICKS = 6  # dates, or steps of whole cases, that an axis has at most
_LEAST_PERCENT = 10.0  # that an axis of shares spans
_DAYS_FROM_H = 72.0
_DAY_H = 24.0
BAR_MS = 0.4 * 86_400_000
"""Width of each of two bars that stand on the only date of an axis."""


def of_cases(counts: Sequence[int]) -> dict[str, Any]:
    """From 0 on with whole cases only, and room for the number at the end of a bar."""
    most = max(counts, default=0)
    steps = (digit * 10**zeros for zeros in itertools.count() for digit in (1, 2, 5))
    step = next(step for step in steps if most <= _TICKS * step)
    return {"range": [0, max(1.0, 1.15 * most)], "dtick": step, "tickformat": ",d"}


def of_percent(values: Sequence[float]) -> dict[str, Any]:
    """From 0 to beyond the largest value that is known (not NaN), 100 % at most."""
    most = max((value for value in values if not math.isnan(value)), default=0.0)
    return {"range": [0, min(100.0, max(_LEAST_PERCENT, 1.1 * most))]}


def of_hours(longest: float) -> tuple[float, str]:
    """By what hours are divided on an axis that reaches to `longest` of them, and what the axis then shows."""
    return (_DAY_H, "days") if longest >= _DAYS_FROM_H else (1.0, "hours")


def of_dates(days: Sequence[date]) -> dict[str, Any]:
    """Each of these days (one at least, in their order) once at most; plotly would name one again by its hours."""
    monthly = len(days) > 1 and all(day.day == 1 for day in days)
    axis: dict[str, Any] = {
        "tickvals": list(days[:: math.ceil(len(days) / _TICKS)]),
        "tickformat": "%b %Y" if monthly else "%-d %b %Y",
    }
    if len(days) == 1:
        axis["range"] = [days[0] - timedelta(days=1), days[0] + timedelta(days=1)]
    return axis
