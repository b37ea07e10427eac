"""Control charts: the rules by their textbook patterns, limits worked by hand, shifts between lots."""

from __future__ import annotations

import math

import numpy as np
import pytest

from her2core.laboratory.control import RULES, ewma, lot_shifts, mean_chart, p_chart, western_electric


@pytest.mark.parametrize(
    ("z", "last"),
    [
        ([0.0], ()),
        ([3.01], (1,)),
        ([-3.01], (1,)),
        ([3.0], ()),
        ([2.1, 0.0, 2.1], (2,)),
        ([2.1, 0.0, -2.1], ()),  # on two sides
        ([2.1, 2.1, 0.5], ()),  # the last one itself lies in
        ([1.1, 1.1, 0.0, 1.1, 1.1], (3,)),
        ([-1.1, -1.1, 0.3, -1.1, -1.1], (3,)),
        ([1.1, 1.1, 1.1, 0.9], ()),
        ([0.1] * 7, ()),
        ([0.1] * 8, (4,)),
        ([-0.1] * 8, (4,)),
        ([0.1] * 4 + [None] + [0.1] * 4, ()),  # a gap ends the run
        ([2.1, 3.5], (1, 2)),
        ([None], ()),
    ],
)
def test_western_electric_rules_mark_the_last_point(z: list[float | None], last: tuple[int, ...]) -> None:
    assert western_electric(z)[-1] == last
    assert all(rule in RULES for rule in last)


def test_ewma_follows_its_recurrence_and_limits() -> None:
    (first, limit), (second, wider) = ewma([1.0, 1.0])
    assert first == pytest.approx(0.2)
    assert second == pytest.approx(0.36)
    # lambda / (2 - lambda) = 1/9; 1 - 0.8^2 = 0.36, 1 - 0.8^4 = 0.5904
    assert limit == pytest.approx(3 * math.sqrt(0.36 / 9))
    assert wider == pytest.approx(3 * math.sqrt(0.5904 / 9))
    assert ewma([1.0, None])[1][0] == pytest.approx(0.2)


def test_ewma_finds_a_small_lasting_shift_that_single_points_hide() -> None:
    z = [0.4, -0.4] * 6 + [1.3] * 12
    assert all(1 not in broken for broken in western_electric(z))
    assert abs(ewma(z)[-1][0]) > ewma(z)[-1][1]


def test_a_p_chart_has_the_limits_of_each_size() -> None:
    chart = p_chart([(20, 100)] * 8 + [(5, 25), (40, 100)])
    assert chart.centre == pytest.approx(20.0)
    assert chart.baseline == 8
    assert chart.points[0].high == pytest.approx(32.0)  # 0.2 + 3 * sqrt(0.2 * 0.8 / 100)
    assert chart.points[8].high == pytest.approx(44.0)
    assert chart.points[9].z == pytest.approx(5.0)
    assert chart.alarms == [9]
    assert 1 in chart.points[9].broken
    assert (chart.beyond, chart.runs) == ([9], [])


def test_a_run_within_the_limits_is_not_out_of_limits() -> None:
    above = [(26, 100)] * 8  # each within 32, all on one side
    chart = p_chart([(20, 100)] * 16 + above + [(40, 100)])
    assert chart.beyond == [24]
    assert chart.runs and 24 not in chart.runs
    assert all(chart.points[i].low <= chart.points[i].value <= chart.points[i].high for i in chart.runs)
    assert sorted((*chart.beyond, *chart.runs)) == chart.alarms


@pytest.mark.parametrize("parts", [[], [(1, 2)] * 7, [(0, 0)] * 9])
def test_too_few_points_have_no_limits_and_no_alarm(parts: list[tuple[int, int]]) -> None:
    chart = p_chart(parts)
    assert (chart.centre, chart.baseline, chart.alarms) == (None, 0, [])
    assert len(chart.points) == len(parts)


def test_what_never_happened_in_the_baseline_is_marked_when_it_does() -> None:
    chart = p_chart([(0, 30)] * 8 + [(5, 30)])
    assert chart.centre == 0.0
    assert chart.alarms == [8]


def test_a_share_of_more_than_all_is_refused() -> None:
    with pytest.raises(ValueError, match="at most as many"):
        p_chart([(3, 2)])


def test_a_mean_chart_measures_in_standard_errors_of_each_point() -> None:
    chart = mean_chart([(25, 10.0)] * 8 + [(25, 13.1), (100, 10.0), (0, math.nan)], sd=5.0)
    assert chart.centre == pytest.approx(10.0)
    assert chart.points[0].high == pytest.approx(13.0)
    assert chart.points[9].high == pytest.approx(11.5)
    assert chart.points[8].broken == (1, 5) or chart.points[8].broken == (1,)
    assert chart.points[10].z is None


def test_days_that_differ_by_more_than_their_cases_explain_widen_the_limits() -> None:
    restless = [(100, 10.0 + (1 if i % 2 else -1)) for i in range(12)]
    chart = mean_chart(restless, sd=1.0)  # alone, the cases would give limits of 0.3
    assert chart.alarms == []
    assert chart.points[0].high > 11.0


def test_a_lot_is_marked_only_for_a_shift_that_is_large_and_beyond_chance() -> None:
    rng = np.random.default_rng(5)
    usual = [rng.normal(10, 2, 200).tolist() for _ in range(3)]
    small = rng.normal(10.6, 2, 200).tolist()  # beyond chance, but small beside how cases differ
    large = rng.normal(7.5, 2, 200).tolist()
    few = rng.normal(4, 2, 5).tolist()
    found = lot_shifts([*usual, small, large, few])
    assert [lot.shifted for lot in found] == [False, False, False, False, True, False]
    assert found[0].difference is None
    assert found[4].in_sd is not None
    assert found[4].in_sd < -1
    assert found[5].in_sd is None
    assert abs(found[3].z or 0) > 3
