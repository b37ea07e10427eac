"""A typed day that does not exist is told for as long as the field holds the day that was taken instead."""

from __future__ import annotations

from datetime import date
from typing import Any

import pytest

from her2core.ui.date_guard import taken_instead


@pytest.mark.parametrize(
    ("typed", "now", "said"),
    [
        ([2026, 2, 31], date(2026, 2, 28), "31 Feb 2026 does not exist: 28 Feb 2026 was taken."),
        ([2028, 2, 30], date(2028, 2, 29), "30 Feb 2028 does not exist: 29 Feb 2028 was taken."),
        ([2026, 4, 31], date(2026, 4, 30), "31 Apr 2026 does not exist: 30 Apr 2026 was taken."),
        ([2028, 2, 29], date(2028, 2, 29), ""),
        ([2026, 2, 31], date(2026, 2, 27), ""),  # corrected since
        ([2026, 2, 31], None, ""),
        (None, date(2026, 2, 28), ""),
        ([2026, 13, 1], date(2026, 2, 28), ""),
        ([0, 2, 31], date(2026, 2, 28), ""),
        ([2026, "2", 31], date(2026, 2, 28), ""),
        ([2026, 2], date(2026, 2, 28), ""),
    ],
)
def test_a_day_that_does_not_exist_is_told_until_it_is_corrected(typed: Any, now: date | None, said: str) -> None:
    found = taken_instead(typed, now)
    assert found.startswith(said)
    assert bool(found) is bool(said)
