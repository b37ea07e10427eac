"""Agreement of readings, by published and hand-worked examples."""

from __future__ import annotations

import math

import pytest

from her2core.laboratory.agreement import bland_altman, kappa, kappa_words
from her2core.laboratory.shares import Quartiles, Share, quartiles


def test_kappa_of_a_hand_worked_table() -> None:
    # 20 and 15 equal, 5 and 10 not: observed 0.7, by chance 0.5
    pairs = [("y", "y")] * 20 + [("y", "n")] * 5 + [("n", "y")] * 10 + [("n", "n")] * 15
    found = kappa(pairs)
    assert (found.n, found.equal) == (50, 35)
    assert found.value == pytest.approx(0.4)
    assert found.interval is not None
    # Fleiss, Cohen and Everitt 1969: variance 0.01627 -> 0.40 -/+ 0.25
    assert found.interval[0] == pytest.approx(0.15, abs=0.01)
    assert found.interval[1] == pytest.approx(0.65, abs=0.01)


@pytest.mark.parametrize(
    ("pairs", "value"),
    [
        ([], None),
        ([(1, 1)] * 9, None),  # one and the same call: chance explains all
        ([(1, 1), (5, 5)] * 4, 1.0),
        ([(1, 5), (5, 1)] * 4, -1.0),
        ([(1, 1), (1, 5), (5, 1), (5, 5)], 0.0),
    ],
)
def test_kappa_at_its_ends(pairs: list[tuple[int, int]], value: float | None) -> None:
    assert kappa(pairs).value == (None if value is None else pytest.approx(value))


def test_kappa_in_words() -> None:
    values = (None, -0.1, 0.1, 0.3, 0.5, 0.7, 0.9)
    words = ["not defined", "poor", "slight", "fair", "moderate", "substantial", "almost perfect"]
    assert [kappa_words(value) for value in values] == words


def test_limits_of_agreement_of_a_hand_worked_example() -> None:
    found = bland_altman([10.0, 12.0, 9.0, 11.0, math.nan], [11.0, 12.0, 11.0, 12.0, 5.0])
    assert found.n == 4
    assert found.bias == pytest.approx(1.0)
    assert found.sd == pytest.approx(math.sqrt(2 / 3))
    assert found.high == pytest.approx(1 + 1.959964 * math.sqrt(2 / 3))
    assert found.bias_95 is not None
    assert found.bias_95[1] - 1 == pytest.approx(3.182446 * math.sqrt(2 / 3) / 2, rel=1e-5)
    assert found.high_95 is not None
    assert found.high is not None
    assert found.high_95[0] < found.high < found.high_95[1]


def test_too_few_pairs_have_no_limits() -> None:
    assert bland_altman([], []).bias is None
    assert bland_altman([1.0], [2.0]).bias == 1.0
    assert bland_altman([1.0], [2.0]).sd is None
    with pytest.raises(ValueError, match="pairs"):
        bland_altman([1.0], [])


@pytest.mark.parametrize(
    ("k", "n", "percent", "low", "high"),
    [
        (0, 0, None, 0.0, 100.0),
        # Newcombe 1998, Statistics in Medicine 17:857, table I, method 3
        (81, 263, 30.80, 25.53, 36.62),
        (15, 148, 10.14, 6.24, 16.05),
        (0, 20, 0.0, 0.0, 16.11),
        (1, 29, 3.45, 0.61, 17.18),
        (20, 20, 100.0, 83.89, 100.0),
    ],
)
def test_shares_carry_wilsons_interval(k: int, n: int, percent: float | None, low: float, high: float) -> None:
    share = Share(k, n)
    assert share.percent == (None if percent is None else pytest.approx(percent, abs=0.01))
    assert share.interval == pytest.approx((low, high), abs=0.01)


@pytest.mark.parametrize(("k", "n"), [(2, 1), (-1, 3)])
def test_an_impossible_share_is_refused(k: int, n: int) -> None:
    with pytest.raises(ValueError, match="no share"):
        Share(k, n)


def test_quartiles_leave_out_what_is_not_known() -> None:
    assert quartiles([math.nan]) is None
    assert quartiles([1, 2, 3, 4, 5, math.nan]) == Quartiles(5, 2.0, 3.0, 4.0, pytest.approx(4.6))  # type: ignore[arg-type]
