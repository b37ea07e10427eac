"""Numbers from nuclei and groups from numbers: the vectors of domain.md 1.13, and properties for all counts."""

from __future__ import annotations

from collections.abc import Callable
from fractions import Fraction

import pytest
from hypothesis import given
from hypothesis import strategies as st

from her2core.errors import ScoringError
from her2core.records import Exclusion, Nucleus, Tally
from her2core.scoring import (
    cep17_per_nucleus,
    copy_number,
    describe_group,
    exclusions,
    group,
    ratio,
    scored_counts,
    tally,
    truncated,
)

# H, C, N, ratio and copies as printed (cut off), group
VECTORS = [
    (80, 40, 20, "2.00", "4.00", 1),  # both limits belong to the higher side
    (79, 39, 20, "2.02", "3.95", 2),
    (79, 40, 20, "1.97", "3.95", 5),
    (80, 41, 20, "1.95", "4.00", 4),
    (119, 60, 20, "1.98", "5.95", 4),
    (120, 61, 20, "1.96", "6.00", 3),
    (120, 60, 20, "2.00", "6.00", 1),  # the ratio goes first
    (159, 80, 40, "1.98", "3.97", 5),  # one decimal, rounded, would say Group 1
    (239, 120, 40, "1.99", "5.97", 4),  # one decimal, rounded, would say Group 1
    (399, 200, 100, "1.99", "3.99", 5),  # two decimals, rounded, would print 2.00
    (79, 39, 19, "2.02", "4.15", 1),  # arithmetic only: too few nuclei is for the work-up to say
    (120, 0, 20, "–", "6.00", None),
    (143, 48, 20, "2.97", "7.15", 1),  # the kit guide's example
    (1380, 260, 100, "5.30", "13.80", 1),  # Xue et al. 2023, figure 5a
    (408, 275, 100, "1.48", "4.08", 4),  # figure 5b
    (320, 221, 100, "1.44", "3.20", 5),  # figure 5c, whose printed 1.33 is not what its counts give
    (0, 40, 20, "0.00", "0.00", 5),
    (0, 0, 0, "–", "–", None),
]


@pytest.mark.parametrize(("her2", "cep17", "n", "shown_ratio", "shown_copies", "expected"), VECTORS)
def test_the_numbers_of_a_tally_and_its_group(
    her2: int, cep17: int, n: int, shown_ratio: str, shown_copies: str, expected: int | None
) -> None:
    t = Tally(n, her2, cep17)
    assert group(t) == expected
    assert truncated(ratio(t)) == shown_ratio
    assert truncated(copy_number(t)) == shown_copies


@pytest.mark.parametrize(
    ("her2", "cep17", "n", "paper_ratio"),
    [(1380, 260, 100, 5.31), (408, 275, 100, 1.48), (320, 221, 100, 1.45), (143, 48, 20, 2.98)],
)
def test_published_ratios_are_reproduced_when_rounded_as_their_authors_did(
    her2: int, cep17: int, n: int, paper_ratio: float
) -> None:
    exact = ratio(Tally(n, her2, cep17))
    assert exact is not None
    assert round(float(exact), 2) == paper_ratio


def test_the_ratio_is_total_over_total_and_not_the_mean_of_ratios(nucleus: Callable[..., Nucleus]) -> None:
    t = tally([nucleus(2, 1, id=1), nucleus(2, 2, id=2)])
    assert ratio(t) == Fraction(4, 3)
    assert truncated(ratio(t)) == "1.33"


def test_only_scored_nuclei_enter_the_tally(nucleus: Callable[..., Nucleus]) -> None:
    nuclei = [
        nucleus(6, 2, id=1),
        nucleus(9, 0, id=2, reason=Exclusion.NO_CEP17),
        nucleus(4, 3, id=3),
        nucleus(None, None, id=4, reason=Exclusion.UNCOUNTABLE),
        nucleus(3, 2, id=5, reason=Exclusion.EDGE),
        nucleus(5, 0, id=6, reason=Exclusion.NO_CEP17),
    ]
    assert tally(nuclei) == Tally(n=2, her2=10, cep17=5)
    assert scored_counts(nuclei) == [(6, 2), (4, 3)]
    assert cep17_per_nucleus(tally(nuclei)) == Fraction(5, 2)
    assert exclusions(nuclei) == {Exclusion.NO_CEP17: 2, Exclusion.EDGE: 1, Exclusion.UNCOUNTABLE: 1}


def test_no_nuclei_make_an_empty_tally_without_numbers() -> None:
    empty = tally([])
    assert empty == Tally(0, 0, 0)
    assert (copy_number(empty), cep17_per_nucleus(empty), ratio(empty), group(empty)) == (None, None, None, None)
    assert exclusions([]) == {}


@pytest.mark.parametrize(
    ("value", "digits", "shown"),
    [
        (Fraction(1999, 1000), 2, "1.99"),
        (Fraction(1999, 1000), 0, "1"),
        (Fraction(1999, 1000), 1, "1.9"),
        (Fraction(2), 2, "2.00"),
        (Fraction(1, 200), 2, "0.00"),
        (Fraction(-1, 200), 2, "0.00"),  # no minus before nothing
        (Fraction(-151, 100), 1, "-1.5"),  # toward zero
        (Fraction(7, 100), 2, "0.07"),
        (None, 2, "–"),
    ],
)
def test_numbers_are_cut_off_and_never_rounded_up(value: Fraction | None, digits: int, shown: str) -> None:
    assert truncated(value, digits) == shown


def test_a_negative_number_of_decimals_is_refused() -> None:
    with pytest.raises(ScoringError):
        truncated(Fraction(1), -1)


@pytest.mark.parametrize("number", [0, 6, -1])
def test_groups_outside_one_to_five_have_no_meaning(number: int) -> None:
    with pytest.raises(ScoringError, match="1 to 5"):
        describe_group(number)


def test_each_group_has_its_own_meaning() -> None:
    assert len({describe_group(number) for number in range(1, 6)}) == 5


tallies = st.builds(
    Tally,
    n=st.integers(1, 400),
    her2=st.integers(0, 20_000),
    cep17=st.one_of(st.integers(1, 60), st.integers(1, 5_000)),
)


def _near_the_borders() -> st.SearchStrategy[Tally]:
    """Tallies at most two signals away from a border of ratio and copies."""

    def build(n: int, copies: int, off_her2: int, off_cep17: int) -> Tally:
        her2 = max(0, copies * n + off_her2)
        return Tally(n, her2, max(1, her2 // 2 + off_cep17))

    return st.builds(build, st.integers(1, 200), st.sampled_from([4, 6]), st.integers(-2, 2), st.integers(-2, 2))


@given(st.one_of(tallies, _near_the_borders()))
def test_exactly_one_group_holds_and_whole_numbers_agree_with_exact_fractions(t: Tally) -> None:
    copies, quotient = Fraction(t.her2, t.n), Fraction(t.her2, t.cep17)
    holds = {
        1: quotient >= 2 and copies >= 4,
        2: quotient >= 2 and copies < 4,
        3: quotient < 2 and copies >= 6,
        4: quotient < 2 and 4 <= copies < 6,
        5: quotient < 2 and copies < 4,
    }
    assert [number for number, true in holds.items() if true] == [group(t)]


@given(st.integers(1, 300), st.integers(0, 3000))
def test_without_cep17_there_is_no_group_however_many_her2_signals(n: int, her2: int) -> None:
    assert group(Tally(n, her2, 0)) is None


@given(st.one_of(tallies, _near_the_borders()), st.integers(2, 9))
def test_counting_the_same_again_does_not_move_the_group(t: Tally, times: int) -> None:
    assert group(Tally(t.n * times, t.her2 * times, t.cep17 * times)) == group(t)


@given(st.one_of(tallies, _near_the_borders()))
def test_what_is_printed_never_contradicts_the_group(t: Tally) -> None:
    called = group(t)
    assert (float(truncated(ratio(t))) >= 2.0) == (called in (1, 2))
    assert (float(truncated(copy_number(t))) >= 4.0) == (called in (1, 3, 4))
    assert called != 3 or float(truncated(copy_number(t))) >= 6.0


@given(st.fractions(min_value=0, max_value=10_000), st.integers(0, 6))
def test_the_printed_number_is_at_most_one_unit_of_the_last_place_below(value: Fraction, digits: int) -> None:
    assert 0 <= value - Fraction(truncated(value, digits)) < Fraction(1, 10**digits)
