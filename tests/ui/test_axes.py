"""Axes of the laboratory's charts: whole cases, shares within 0 to 100 %, each date once."""

from __future__ import annotations

import math
from datetime import date, timedelta

import pytest

from her2core.ui.axes import of_cases, of_dates, of_hours, of_percent

MONDAY = date(2026, 11, 23)


@pytest.mark.parametrize(
    ("counts", "step"), [([], 1), ([0, 0], 1), ([1], 1), ([2, 6], 1), ([7], 2), ([25], 5), ([1234, 1], 500)]
)
def test_cases_are_whole_and_begin_at_none(counts: list[int], step: int) -> None:
    axis = of_cases(counts)
    assert axis["dtick"] == step
    low, high = axis["range"]
    assert low == 0
    assert high >= max(1, 1.1 * max(counts, default=0))


@pytest.mark.parametrize(
    ("values", "high"),
    [([], 10), ([math.nan], 10), ([0.0], 10), ([50.0, math.nan], 55), ([100.0], 100), ([96.0, 20.0], 100)],
)
def test_shares_lie_within_0_and_100_percent(values: list[float], high: float) -> None:
    assert of_percent(values)["range"] == pytest.approx([0, high])


def test_the_only_date_stands_once_in_the_middle() -> None:
    axis = of_dates([MONDAY])
    assert axis["tickvals"] == [MONDAY]
    assert axis["tickformat"] == "%-d %b %Y"
    low, high = axis["range"]
    assert low < MONDAY < high and MONDAY - low == high - MONDAY


@pytest.mark.parametrize("weeks", [2, 6, 7, 30])
def test_many_weeks_are_named_now_and_then_and_plotly_spans_them(weeks: int) -> None:
    days = [MONDAY + timedelta(weeks=i) for i in range(weeks)]
    shown = of_dates(days)["tickvals"]
    assert len(set(shown)) == len(shown) and min(weeks, 3) <= len(shown) <= 6
    assert shown[0] == MONDAY and set(shown) <= set(days)
    assert "range" not in of_dates(days)


def test_months_are_named_without_a_day() -> None:
    assert of_dates([date(2026, 1, 1), date(2026, 2, 1)])["tickformat"] == "%b %Y"
    assert of_dates([date(2026, 6, 1)])["tickformat"] == "%-d %b %Y"  # a week that begins on the first


@pytest.mark.parametrize(
    ("longest", "shown"),
    [(0.0, (1.0, "hours")), (71.9, (1.0, "hours")), (72.0, (24.0, "days")), (900.0, (24.0, "days"))],
)
def test_long_times_are_shown_in_days(longest: float, shown: tuple[float, str]) -> None:
    assert of_hours(longest) == shown
