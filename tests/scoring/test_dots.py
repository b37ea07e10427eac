"""All signals of a region, each once, and their ratio beside that of the scored nuclei."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import replace
from fractions import Fraction

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from her2core.records import Channel, Exclusion, Nucleus, Signal, Tally
from her2core.scoring import DotsOverDots, all_signals, cross_check, dots_over_dots, tally

Places = Sequence[tuple[float, float]]


def holding(
    id: int,
    her2: Places,
    cep17: Places,
    *,
    at: tuple[float, float] = (0.0, 0.0),
    reason: Exclusion | None = None,
    estimate: int | None = None,
) -> Nucleus:
    """A nucleus 100 px wide at `at` with signals at places in the image; `estimate`: its HER2 count as a cluster."""
    signals = tuple(Signal(Channel.HER2, x, y) for x, y in her2) + tuple(Signal(Channel.CEP17, x, y) for x, y in cep17)
    count = len(her2) if estimate is None else estimate
    x, y = at
    return Nucleus(
        id, (x, y, x + 100, y + 100), 0.9, count, len(cep17), count, len(cep17), estimate is not None,
        reason is None, reason, signals,
    )  # fmt: skip


TWO = ((20.0, 20.0), (60.0, 60.0))


def test_scored_and_left_out_nuclei_all_count() -> None:
    cells = [
        holding(1, TWO, TWO),
        holding(2, ((220.0, 20.0),), (), at=(200.0, 0.0), reason=Exclusion.NO_CEP17),
        holding(3, ((420.0, 20.0),), ((440.0, 50.0),), at=(400.0, 0.0), reason=Exclusion.EDGE),
    ]
    assert dots_over_dots(cells) == DotsOverDots(3, 4, 3, 0)
    assert dots_over_dots(cells).ratio == Fraction(4, 3)


@pytest.mark.parametrize("reason", [Exclusion.NOT_TUMOUR, Exclusion.NO_NUCLEUS])
def test_cells_that_are_no_tumour_or_no_nucleus_do_not_count(reason: Exclusion) -> None:
    cells = [holding(1, TWO, TWO), holding(2, TWO, (), at=(500.0, 0.0), reason=reason)]
    assert dots_over_dots(cells) == DotsOverDots(1, 2, 2, 0)


def test_a_signal_in_two_boxes_counts_once_and_of_the_other_colour_it_is_another() -> None:
    cells = [
        holding(1, ((90.0, 50.0), (20.0, 20.0)), ((92.0, 52.0),)),
        holding(2, ((91.0, 50.0),), ((140.0, 50.0),), at=(80.0, 0.0)),
    ]
    assert dots_over_dots(cells) == DotsOverDots(2, 2, 2, 1)


@pytest.mark.parametrize(("apart_px", "her2"), [(5.9, 1), (6.1, 2)])
def test_one_signal_diameter_is_six_hundredths_of_a_nucleus(apart_px: float, her2: int) -> None:
    cells = [holding(1, ((50.0, 50.0),), TWO), holding(2, ((50.0 + apart_px, 50.0),), (), reason=Exclusion.NO_CEP17)]
    assert dots_over_dots(cells).her2 == her2


def test_two_signals_of_one_nucleus_are_never_made_one() -> None:
    # The neighbour's signal lies between them and can be only one of the two.
    cells = [holding(1, ((50.0, 50.0), (55.0, 50.0)), TWO), holding(2, ((52.0, 50.0),), TWO, at=(10.0, 0.0))]
    assert dots_over_dots(cells) == DotsOverDots(2, 2, 2, 3)


def test_a_signal_in_three_boxes_counts_once() -> None:
    cells = [holding(i, ((50.0 + i, 50.0),), (), reason=Exclusion.NO_CEP17) for i in range(3)]
    assert dots_over_dots(cells).her2 == 1


def test_a_cluster_counts_with_its_estimate_less_what_its_neighbour_holds_already() -> None:
    cells = [
        holding(1, ((50.0, 50.0), (60.0, 50.0)), TWO, estimate=16),
        holding(2, ((50.5, 50.0),), ((300.0, 50.0),), at=(30.0, 0.0)),
    ]
    assert dots_over_dots(cells) == DotsOverDots(2, 16, 3, 1)


def test_a_corrected_count_holds_whatever_the_positions_say() -> None:
    cells = [holding(1, ((50.0, 50.0),), TWO), holding(2, ((50.5, 50.0),), ((300.0, 10.0),), at=(30.0, 0.0))]
    less, more = replace(cells[0], her2=0, scored=False, reason=Exclusion.NO_HER2), replace(cells[0], her2=4)
    assert dots_over_dots([less, cells[1]]).her2 == 1
    assert dots_over_dots([more, cells[1]]).her2 == 4
    uncounted = replace(cells[0], her2=None, cep17=None, scored=False, reason=Exclusion.UNCOUNTABLE)
    assert dots_over_dots([uncounted]) == DotsOverDots(1, 1, 2, 0)


def test_nothing_has_no_dots_and_no_ratio() -> None:
    assert dots_over_dots([]) == DotsOverDots(0, 0, 0, 0)
    assert dots_over_dots([holding(1, TWO, (), reason=Exclusion.NO_CEP17)]).ratio is None


place = st.tuples(st.floats(0, 300), st.floats(0, 300))


@settings(deadline=None, max_examples=60)
@given(st.lists(st.tuples(st.lists(place, max_size=8), st.lists(place, max_size=5)), max_size=6))
def test_any_region_has_at_most_the_signals_of_its_nuclei_and_at_least_those_of_one(
    given_places: list[tuple[list[tuple[float, float]], list[tuple[float, float]]]],
) -> None:
    cells = [holding(i, h, c, reason=None if h and c else Exclusion.NO_SIGNAL) for i, (h, c) in enumerate(given_places)]
    found = dots_over_dots(cells)
    for total, counts in ((found.her2, [n.her2 or 0 for n in cells]), (found.cep17, [n.cep17 or 0 for n in cells])):
        assert max(counts, default=0) <= total <= sum(counts)
    assert found.shared == sum((n.her2 or 0) + (n.cep17 or 0) for n in cells) - found.her2 - found.cep17


def test_ten_thousand_signals_are_counted_quickly() -> None:
    rng = np.random.default_rng(2)
    cells = [holding(i, [(float(x), float(y)) for x, y in rng.uniform(0, 5000, (50, 2))], TWO) for i in range(200)]
    assert dots_over_dots(cells).her2 > 9000


@pytest.mark.parametrize(
    ("her2", "cep17", "scored", "said"),
    [
        (200, 100, Tally(20, 80, 40), None),
        (199, 100, Tally(20, 80, 40), "on both sides of 2.0: 1.99 over all signals and 2.00 in the scored nuclei"),
        (80, 40, Tally(20, 79, 40), "on both sides of 2.0"),
        (240, 100, Tally(20, 80, 40), None),  # 20 % exactly is usual
        (241, 100, Tally(20, 80, 40), "depends on which nuclei are scored: 2.41"),
        (79, 100, Tally(20, 40, 40), "depends on which nuclei are scored: 0.79"),
        (300, 100, Tally(19, 40, 40), None),  # no result yet
        (300, 0, Tally(20, 40, 40), None),
        (300, 100, Tally(20, 40, 0), None),
    ],
)
def test_a_warning_where_the_ratios_do_not_agree(her2: int, cep17: int, scored: Tally, said: str | None) -> None:
    warning = cross_check(DotsOverDots(30, her2, cep17, 0), scored).warning
    assert (warning is None) if said is None else (said in (warning or ""))


@pytest.mark.parametrize(
    ("her2", "cep17", "scored", "across"),
    [
        (199, 100, Tally(20, 80, 40), True),
        (80, 40, Tally(20, 79, 40), True),
        (300, 100, Tally(20, 80, 40), False),
        (79, 100, Tally(20, 40, 40), False),
        (300, 0, Tally(20, 40, 40), False),
        (300, 100, Tally(20, 40, 0), False),
    ],
)
def test_only_ratios_on_two_sides_of_the_cut_off_lie_across_it(
    her2: int, cep17: int, scored: Tally, across: bool
) -> None:
    assert cross_check(DotsOverDots(30, her2, cep17, 0), scored).across_cut_off is across


def test_the_difference_is_in_percent_of_the_scored_ratio() -> None:
    check = cross_check(DotsOverDots(30, 90, 40, 0), Tally(20, 40, 20))
    assert check.difference_percent == pytest.approx(12.5)
    assert "2.25 (90/40 in 30 nuclei), +12 % against the scored nuclei" in all_signals(check)
    assert all_signals(cross_check(DotsOverDots(0, 0, 0, 0), Tally(0, 0, 0))) == ""


def test_dots_of_regions_add_up() -> None:
    one = dots_over_dots([holding(1, TWO, TWO)])
    assert one + one == DotsOverDots(2, 4, 4, 0)
    assert cross_check(one + one, tally([holding(1, TWO, TWO)])).scored == Tally(1, 2, 2)
