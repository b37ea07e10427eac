"""The five groups of dual-probe ISH (domain.md 1.1), decided with whole numbers.

ratio >= 2.0 is H >= 2C, copies >= 4.0 is H >= 4N and copies >= 6.0 is H >= 6N: no rounding can move a case.
"""

from __future__ import annotations

from her2core.errors import ScoringError
from her2core.records import Tally

__all__ = ["describe_group", "group"]

_MEANING = {
    1: "ratio 2.0 or more, 4.0 or more HER2 signals per cell",
    2: "ratio 2.0 or more, fewer than 4.0 HER2 signals per cell",
    3: "ratio below 2.0, 6.0 or more HER2 signals per cell",
    4: "ratio below 2.0, 4.0 or more but fewer than 6.0 HER2 signals per cell",
    5: "ratio below 2.0, fewer than 4.0 HER2 signals per cell",
}


def group(t: Tally) -> int | None:
    """The group 1..5 that the numbers give; None where no ratio exists (N = 0 or C = 0).

    This is arithmetic only: whether N is enough for a result is decided in `workup`.
    """
    if t.n == 0 or t.cep17 == 0:
        return None
    if t.her2 >= 2 * t.cep17:
        return 1 if t.her2 >= 4 * t.n else 2
    if t.her2 >= 6 * t.n:
        return 3
    return 4 if t.her2 >= 4 * t.n else 5


def describe_group(number: int) -> str:
    """What a group means, in words. Raises ScoringError for a number outside 1..5."""
    if number not in _MEANING:
        raise ScoringError(f"There is no ISH group {number}; the groups are 1 to 5.")
    return _MEANING[number]
