"""Named periods, and searches that are kept as questions."""

from __future__ import annotations

from datetime import date
from typing import Any

import pytest

from her2core.caselog.lookup import Sort
from her2core.records import CaseState
from her2core.scoring import Outcome
from her2core.ui.searches import KEPT, Period, kept_search, period_days, search_state

PEOPLE = {3: "Miriam Berg"}


@pytest.mark.parametrize(
    ("period", "today", "first", "last"),
    [
        (Period.THIS_MONTH, date(2026, 11, 24), date(2026, 11, 1), date(2026, 11, 24)),
        (Period.LAST_MONTH, date(2026, 11, 24), date(2026, 10, 1), date(2026, 10, 31)),
        (Period.LAST_MONTH, date(2026, 1, 1), date(2025, 12, 1), date(2025, 12, 31)),
        (Period.LAST_MONTH, date(2028, 3, 31), date(2028, 2, 1), date(2028, 2, 29)),
        (Period.LAST_90_DAYS, date(2026, 3, 31), date(2026, 1, 1), date(2026, 3, 31)),
        (Period.THIS_YEAR, date(2026, 1, 1), date(2026, 1, 1), date(2026, 1, 1)),
    ],
)
def test_a_period_has_its_days(period: Period, today: date, first: date, last: date) -> None:
    assert period_days(period, today) == (first, last)


STATE: dict[str, Any] = {
    "case_log_text": "inv-1", "case_log_states": [CaseState.SIGNED], "case_log_group": 4,
    "case_log_outcome": Outcome.NEGATIVE, "case_log_day": "first signature", "case_log_period": Period.LAST_MONTH,
    "case_log_days": (date(2026, 3, 1), date(2026, 3, 2)), "case_log_reader": 3, "case_log_flag": "clusters",
    "case_log_several": True, "case_log_sort": Sort.SIGNED, "case_log_up": True,
}  # fmt: skip


def test_a_search_is_kept_and_taken_up_again_with_every_filter() -> None:
    assert search_state(kept_search(STATE), PEOPLE) == STATE


def test_the_name_of_a_period_is_kept_and_not_its_days() -> None:
    assert kept_search({"case_log_period": Period.LAST_MONTH}) == {"period": "last month"}


def test_what_a_search_does_not_ask_for_is_taken_back() -> None:
    state = search_state({"group": 4}, PEOPLE)
    assert set(state) == {f"case_log_{name}" for name in KEPT}
    assert (state["case_log_group"], state["case_log_text"], state["case_log_reader"]) == (4, "", None)
    assert kept_search(state) == {"group": 4}


@pytest.mark.parametrize(
    "kept",
    [
        {"reader": 99}, {"flag": "gone"}, {"group": 9}, {"period": "next month"}, {"states": ["lost"]},
        {"days": ["yesterday"]}, {"text": 7}, {"unknown": "x"}, {"up": "yes"}, {"several": 1}, {"days": 3},
    ],
)  # fmt: skip
def test_what_is_no_longer_there_is_left_out(kept: dict[str, Any]) -> None:
    assert search_state(kept, PEOPLE) == search_state({}, PEOPLE)
