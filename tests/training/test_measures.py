"""Measures against examples worked by hand; the paper's own matrix among them."""

import numpy as np
import pytest

from her2core.errors import TrainingError
from her2core.records import Tally
from her2core.training.measures import (
    GROUPS,
    Bin,
    auroc,
    brier,
    calibration_error,
    count_errors,
    group_agreement,
    group_margin,
    reader_accuracy,
    reliability,
    spread,
    strata,
    thirds,
    wilson,
)

# Xue et al. 2023, reconstructed in domain.md 7.2.
PAPER = [[38, 6, 0, 6, 6], [0, 0, 0, 0, 2], [0, 0, 0, 0, 1], [0, 0, 0, 2, 1], [0, 2, 0, 3, 117]]


def test_the_papers_figures_come_out_of_its_matrix() -> None:
    pairs = [
        (t, f) for t, row in zip(GROUPS, PAPER, strict=True) for f, n in zip(GROUPS, row, strict=True) for _ in range(n)
    ]
    agreement = group_agreement(pairs)
    assert agreement.total == 184
    assert agreement.accuracy == pytest.approx(157 / 184)
    assert agreement.accuracy_95 == pytest.approx((0.795, 0.897), abs=0.001)
    assert agreement.kappa == pytest.approx(0.693, abs=0.001)
    assert agreement.recall[1] == pytest.approx(0.6786, abs=1e-4)
    assert agreement.recall[5] == pytest.approx(0.9590, abs=1e-4)
    assert agreement.group1_sensitivity == pytest.approx(0.6786, abs=1e-4)
    assert agreement.group1_specificity == 1.0
    assert [list(row) for row in agreement.matrix] == PAPER


def test_an_image_without_a_call_is_wrong() -> None:
    agreement = group_agreement([(1, 1), (1, None)])
    assert agreement.accuracy == 0.5
    assert agreement.undefined == 1


def test_nothing_to_evaluate_is_an_error() -> None:
    with pytest.raises(TrainingError, match="no image"):
        group_agreement([])


@pytest.mark.parametrize(
    ("k", "n", "low", "high"), [(0, 0, 0, 1), (10, 10, 0.722, 1), (0, 10, 0, 0.278), (5, 10, 0.237, 0.763)]
)
def test_wilson(k: int, n: int, low: float, high: float) -> None:
    assert wilson(k, n) == pytest.approx((low, high), abs=0.001)


def test_count_errors_by_hand() -> None:
    errors = count_errors([2, 3, 4], [2, 2, 6])
    assert errors.n == 3
    assert errors.mae == pytest.approx(1)
    assert errors.bias == pytest.approx(-1 / 3)
    assert errors.relative_mae == pytest.approx(0.3)
    assert errors.relative_bias == pytest.approx(-0.1)
    assert count_errors([], []).mae is None
    assert count_errors([1], [0]).relative_mae is None


def test_spread_by_hand() -> None:
    assert spread([1, 2, 3]).mean == 2
    assert spread([1, 2, 3]).sd == 1
    assert spread([1, 2, 3]).middle_95 == pytest.approx((1.05, 2.95))
    assert (spread([5]).mean, spread([5]).sd) == (5, None)
    assert spread([]).mean is None


@pytest.mark.parametrize(
    ("scores", "positive", "area"),
    [
        ([0.1, 0.9], [0, 1], 1.0),
        ([0.9, 0.1], [0, 1], 0.0),
        ([0.5, 0.5, 0.5], [0, 1, 1], 0.5),
        ([1, 2, 3, 4], [0, 1, 0, 1], 0.75),  # of four pairs three are in order
        ([1, 2, 2, 3], [0, 0, 1, 1], 0.875),  # one pair tied
        ([1, 2], [1, 1], None),
        ([], [], None),
    ],
)
def test_auroc(scores: list[float], positive: list[int], area: float | None) -> None:
    assert auroc(scores, positive) == area


def test_reliability_by_hand() -> None:
    bins = reliability([0.1, 0.2, 0.9, 1.0], [0, 1, 1, 1], bins=2)
    assert [(b.low, b.high, b.n, b.observed) for b in bins] == [(0, 0.5, 2, 0.5), (0.5, 1, 2, 1)]
    assert [b.stated for b in bins] == pytest.approx([0.15, 0.95])
    assert calibration_error(bins) == pytest.approx((0.35 + 0.05) / 2)


def test_a_bin_counts_by_its_size_and_none_is_no_error() -> None:
    bins = (Bin(0, 0.5, 9, 0.2, 0.2), Bin(0.5, 1, 1, 0.8, 0.3))
    assert calibration_error(bins) == pytest.approx(0.05)
    assert calibration_error(()) is None
    assert reliability([], []) == ()


@pytest.mark.parametrize(
    ("stated", "happened"), [([1.2], [1]), ([-0.1], [0]), ([float("nan")], [0]), ([0.5, 0.5], [1])]
)
def test_what_is_no_probability_is_refused(stated: list[float], happened: list[int]) -> None:
    with pytest.raises(ValueError, match="probability"):
        reliability(stated, happened)


@pytest.mark.parametrize(
    ("probabilities", "true", "score"),
    [
        ({1: 1.0}, 1, 0.0),
        ({1: 1.0}, 5, 2.0),
        (dict.fromkeys(GROUPS, 0.2), 3, 0.8),
        ({4: 0.5, 5: 0.5}, 5, 0.5),
        ({}, 5, 1.0),
    ],
)
def test_brier(probabilities: dict[int, float], true: int, score: float) -> None:
    assert brier([probabilities], [true]) == pytest.approx(score)
    assert brier([], []) is None


@pytest.mark.parametrize(
    ("tally", "margin"),
    [
        (Tally(20, 80, 40), 0.0),  # on both borders
        (Tally(20, 88, 40), 0.1),  # ratio 2.2, 4.4 copies
        (Tally(20, 160, 40), 1.0),  # ratio 4.0 and 8.0 copies: twice as much as either border
        (Tally(20, 114, 80), 0.05),  # 5.7 copies, ratio 1.425: nearest is 6.0
        (Tally(20, 126, 60), 0.05),  # ratio 2.1: six copies are no border here
        (Tally(20, 40, 40), 0.5),
        (Tally(20, 40, 0), None),
        (Tally(0, 0, 0), None),
    ],
)
def test_distance_from_the_nearest_border(tally: Tally, margin: float | None) -> None:
    assert group_margin(tally) == pytest.approx(margin)


@pytest.mark.parametrize(
    ("values", "cuts", "parts"),
    [
        ([0.1, 0.2, 0.5], [0.2], [(0, [0]), (1, [1, 2])]),
        ([100, 70, 100, 90], [85, 100], [(0, [1]), (1, [3]), (2, [0, 2])]),
        ([9, 1], [2, 5], [(0, [1]), (2, [0])]),  # nothing in the middle
        ([], [2], []),
        ([1, 2], [], [(0, [0, 1])]),
    ],
)
def test_strata(values: list[float], cuts: list[float], parts: list[tuple[int, list[int]]]) -> None:
    assert strata(values, cuts) == parts


def test_thirds_hold_about_equal_numbers_and_never_part_equal_values() -> None:
    values = [6, 1, 5, 2, 4, 3]
    assert [i for _, i in strata(values, thirds(values))] == [[1, 3], [4, 5], [0, 2]]
    assert thirds([0, 0.3, 0.9, 0.3]) == [0.3, 0.9]
    assert thirds([7, 7]) == []
    skewed = [0.0] * 6 + [1, 2, 3, 4]
    assert [len(i) for _, i in strata(skewed, thirds(skewed))] == [6, 4]


FAR = (5, [(2, 2, False)] * 30)
NEAR = (1, [(4, 2, False)] * 30)


def test_a_reader_without_errors_is_always_right() -> None:
    sure = reader_accuracy([FAR, NEAR], off=0, cluster_share=0, one_way=False, repeats=5)
    assert (sure.mean, sure.sd) == (1.0, 0.0)


def test_small_errors_move_only_what_lies_near_a_border() -> None:
    assert reader_accuracy([FAR], off=0.1, cluster_share=0.1, one_way=True).mean == 1.0
    near = reader_accuracy([NEAR], off=0.1, cluster_share=0.1, one_way=True)
    # one way: Group 1 stays only with HER2 read high (or without an error) and CEP17 read low
    assert near.mean == pytest.approx(0.25, abs=0.12)


def test_clusters_are_estimated() -> None:
    clustered = (1, [(8, 4, True)] * 30)
    exact = reader_accuracy([clustered], off=0, cluster_share=0, one_way=False)
    rough = reader_accuracy([clustered], off=0, cluster_share=0.2, one_way=False)
    assert exact.mean == 1.0
    assert rough.mean is not None
    assert 0.3 < rough.mean < 0.8
    assert np.isclose(rough.mean, reader_accuracy([clustered], off=0, cluster_share=0.2, one_way=False).mean or 0)


def test_a_reader_of_nothing_and_an_impossible_one() -> None:
    assert reader_accuracy([], off=0.1, cluster_share=0.1, one_way=False).mean is None
    with pytest.raises(ValueError, match="chance"):
        reader_accuracy([FAR], off=1.5, cluster_share=0.1, one_way=False)
