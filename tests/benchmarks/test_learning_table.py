"""The table of the learning loop says what the comparison found, and what would be said of a promotion."""

from __future__ import annotations

from pathlib import Path

import pytest

from benchmarks.learning.table import page
from her2core.laboratory.candidates import Measured, compare, reasons_against
from her2core.laboratory.promotion import Candidate


def measured(right: int, off: float) -> list[Measured]:
    return [Measured(f"{i}.png", f"P{i // 2}", i < right, off, 0.1, 0.5, 20, 1.0) for i in range(20)]


def candidate(own: int, rendered: int) -> Candidate:
    new = compare("own", measured(16, 0.2), measured(own, 0.1))
    old = compare("rendered", measured(18, 0.1), measured(rendered, 0.1))
    return Candidate(Path("x"), {"counter": "counter 3.1 tuned"}, new, old, reasons_against(new, old))


def test_before_and_after_stand_side_by_side_with_their_difference() -> None:
    text = page(candidate(18, 18), {"counter": 600.0}, 30, 200, 60)
    assert "| Images with the true group | 80.0 % (58.4–91.9) | 90.0 % (69.9–97.2) | +10.0 points" in text
    assert "2 gained the true group, 0 lost it" in text
    assert "Nothing speaks against a promotion" in text
    assert "Training the counter took 10 minutes" in text


def test_a_candidate_that_is_worse_or_forgot_is_told() -> None:
    text = page(candidate(15, 16), {}, 30, 200, 60)
    assert "true group less often: 75.0 % instead of 80.0 %" in text
    assert "It forgot: on rendered regions 80.0 %" in text


def test_what_was_not_compared_makes_no_table() -> None:
    with pytest.raises(ValueError, match="not compared yet"):
        page(Candidate(Path("x"), {}, None, None, (), "It was not compared yet."), {}, 30, 200, 60)
