"""Bootstrap intervals, group probabilities, and how many more nuclei would settle a group."""

from __future__ import annotations

import time
from collections.abc import Sequence

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from her2core.errors import ScoringError
from her2core.records import Tally
from her2core.scoring import bootstrap, group, more_nuclei_needed

Counts = list[tuple[int, int]]


def drawn(n: int, her2: float, cep17: float, seed: int) -> Counts:
    """n nuclei with Poisson counts, of those that have at least one signal of each colour."""
    rng = np.random.default_rng(seed)
    pairs = np.stack([rng.poisson(her2, 3 * n + 50), rng.poisson(cep17, 3 * n + 50)], axis=1)
    scored = pairs[(pairs > 0).all(axis=1)][:n]
    return [(int(h), int(c)) for h, c in scored]


def totals(nuclei: Sequence[tuple[int, int]]) -> Tally:
    return Tally(len(nuclei), sum(h for h, _ in nuclei), sum(c for _, c in nuclei))


def test_equal_nuclei_leave_no_doubt() -> None:
    found = bootstrap([(6, 2)] * 30)
    assert found.copy_number_95 == (6.0, 6.0)
    assert found.ratio_95 == (3.0, 3.0)
    assert found.group_probability == {1: 1.0, 2: 0.0, 3: 0.0, 4: 0.0, 5: 0.0}
    assert found.more_nuclei == 0


def test_the_same_nuclei_and_seed_give_the_same_answer_and_another_seed_nearly_so() -> None:
    nuclei = drawn(60, 4.4, 2.0, seed=1)
    first, second, other = bootstrap(nuclei), bootstrap(nuclei), bootstrap(nuclei, seed=5)
    assert first == second
    assert first != other
    for a, b in ((first.ratio_95, other.ratio_95), (first.copy_number_95, other.copy_number_95)):
        assert a is not None
        assert b is not None
        assert a == pytest.approx(b, abs=0.1)


def test_twenty_cells_near_the_cut_off_are_as_unsure_as_domain_md_says() -> None:
    # domain.md 4: with means near (4.4, 2.0), 20 cells span about 1.41-2.65, 100 cells 1.68-2.21
    few: list[float] = []
    many: list[float] = []
    for seed in range(20):
        for widths, n in ((few, 20), (many, 100)):
            interval = bootstrap(drawn(n, 4.4, 2.0, seed)).ratio_95
            assert interval is not None
            widths.append(interval[1] - interval[0])
    assert 0.9 < float(np.mean(few)) < 1.4
    assert 0.4 < float(np.mean(many)) < 0.65


def test_intervals_hold_the_truth_about_as_often_as_they_claim() -> None:
    population = drawn(100_000, 4.4, 2.0, seed=99)
    truth = totals(population)
    held = 0
    for seed in range(200):
        interval = bootstrap(drawn(40, 4.4, 2.0, seed), resamples=500).ratio_95
        assert interval is not None
        held += interval[0] <= truth.her2 / truth.cep17 <= interval[1]
    assert 0.88 <= held / 200 <= 0.99


def test_probability_goes_to_both_sides_of_a_border() -> None:
    nuclei = [(4, 2), (5, 2), (3, 2), (4, 2)] * 10  # copies exactly 4.0, ratio exactly 2.0
    probability = bootstrap(nuclei).group_probability
    assert sum(probability.values()) == pytest.approx(1.0)
    assert 0.4 < probability[1] < 0.7
    assert 0.3 < probability[5] < 0.6


def test_group_calls_inside_the_resamples_include_the_limits() -> None:
    assert bootstrap([(4, 2)] * 20).group_probability[1] == 1.0  # 2.00 and 4.00
    assert bootstrap([(6, 4)] * 20).group_probability[3] == 1.0  # 6.00
    assert bootstrap([(4, 3)] * 20).group_probability[4] == 1.0
    assert bootstrap([(3, 1)] * 20).group_probability[2] == 1.0
    assert bootstrap([(3, 2)] * 20).group_probability[5] == 1.0


def test_too_few_nuclei_have_no_interval() -> None:
    nothing = bootstrap([])
    assert (nothing.copy_number_95, nothing.ratio_95, nothing.more_nuclei) == (None, None, None)
    assert set(nothing.group_probability.values()) == {0.0}
    one = bootstrap([(8, 2)])
    assert (one.copy_number_95, one.ratio_95, one.group_probability[1]) == (None, None, 1.0)


def test_without_cep17_there_is_an_interval_of_copies_only() -> None:
    found = bootstrap([(6, 0)] * 25)
    assert found.copy_number_95 == (6.0, 6.0)
    assert found.ratio_95 is None
    assert set(found.group_probability.values()) == {0.0}


@pytest.mark.parametrize("bad", [[(-1, 2)], [(2, -1), (2, 2)], [(10**9, 2)]])
def test_counts_that_cannot_be_are_refused(bad: Counts) -> None:
    with pytest.raises(ScoringError):
        bootstrap(bad)
    with pytest.raises(ScoringError):
        more_nuclei_needed(bad)


def test_too_few_resamples_are_refused() -> None:
    with pytest.raises(ScoringError, match="100 resamples"):
        bootstrap([(2, 2)] * 20, resamples=10)


def test_the_nuclei_asked_for_settle_the_group() -> None:
    # Ratio 1.7 and 3.4 copies, and uneven: 20 nuclei are not enough.
    start = [(3, 2), (6, 2), (1, 2), (5, 2), (2, 2)] * 4
    more = more_nuclei_needed(start)
    assert more is not None
    assert more > 0
    settled = start * ((len(start) + more) // len(start) + 1)
    assert more_nuclei_needed(settled) == 0
    assert bootstrap(settled).group_probability[5] > 0.95
    assert bootstrap(start).group_probability[5] < bootstrap(settled).group_probability[5]


def test_on_a_border_no_number_of_nuclei_would_settle_it() -> None:
    assert more_nuclei_needed([(4, 2), (5, 2), (3, 2)] * 10) is None
    assert more_nuclei_needed([(4, 2)] * 1) is None
    assert more_nuclei_needed([]) is None


def test_six_copies_matter_only_below_a_ratio_of_two() -> None:
    # Both have 6.0 copies on average; with ratio 3 that border separates no groups.
    assert more_nuclei_needed([(5, 2), (7, 2)] * 15) == 0
    assert more_nuclei_needed([(5, 4), (7, 4)] * 15) is None


def test_large_counts_and_many_nuclei_do_not_overflow() -> None:
    found = bootstrap([(1000, 900)] * 3000, resamples=200)
    assert found.copy_number_95 == (1000.0, 1000.0)
    assert found.ratio_95 == pytest.approx((1000 / 900, 1000 / 900))


@settings(deadline=None)  # the machine may be busy
@given(st.lists(st.tuples(st.integers(1, 30), st.integers(1, 12)), min_size=2, max_size=60))
def test_intervals_are_ordered_surround_the_estimate_and_probabilities_sum_to_one(nuclei: Counts) -> None:
    found = bootstrap(nuclei, resamples=200)
    assert found.copy_number_95 is not None
    assert found.ratio_95 is not None
    for low, high in (found.copy_number_95, found.ratio_95):
        assert 0 < low <= high
    assert min(h for h, _ in nuclei) <= found.copy_number_95[0]
    assert found.copy_number_95[1] <= max(h for h, _ in nuclei)
    assert sum(found.group_probability.values()) == pytest.approx(1.0)
    if max(found.group_probability.values()) == 1.0 and len(set(nuclei)) == 1:
        assert found.group_probability[group(totals(nuclei)) or 0] == 1.0


@pytest.mark.parametrize(("her2", "cep17"), [(2, 2), (15, 2.5), (40, 6)])
def test_the_bootstrap_of_200_nuclei_is_quick_enough_to_run_at_each_edit(her2: float, cep17: float) -> None:
    nuclei = drawn(200, her2, cep17, seed=3)
    taken = []
    for _ in range(7):
        start = time.process_time()
        bootstrap(nuclei)
        taken.append(time.process_time() - start)
    assert min(taken) < 0.02
