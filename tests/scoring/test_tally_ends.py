"""Ends of intervals are shown as the numbers between them."""

import pytest

from her2core.scoring import truncated_end


@pytest.mark.parametrize(
    ("end", "shown"), [(0.8499, "0.84"), (1.72, "1.72"), (1.2459, "1.24"), (2.0, "2.00"), (1.9999996, "2.00")]
)
def test_an_end_of_an_interval_is_cut_off_as_the_number_between_is(end: float, shown: str) -> None:
    assert truncated_end(end) == shown
