"""Average precision against examples worked by hand."""

from __future__ import annotations

import numpy as np
import pytest

from her2core.detection.metrics import (
    ImageDetections,
    ImageTruth,
    average_precision,
    box_iou,
    curve_of,
    match_boxes,
    precision_recall,
    verdicts,
)

A, B, C = [0, 0, 10, 10], [20, 0, 30, 10], [40, 0, 50, 10]
NOWHERE = [80, 80, 90, 90]


def test_all_found_and_nothing_else_is_one() -> None:
    assert average_precision([ImageDetections([A, B], [0.9, 0.8])], [ImageTruth([A, B])]) == 1.0


def test_nothing_found_is_zero() -> None:
    assert average_precision([ImageDetections([], [])], [ImageTruth([A])]) == 0.0


def test_hand_worked_curve() -> None:
    # hit, miss, hit, of three truths: recall 1/3, 1/3, 2/3; precision 1, 1/2, 2/3 -> 1/3 * 1 + 1/3 * 2/3
    found = ImageDetections([A, NOWHERE, B], [0.9, 0.8, 0.7])
    curve = precision_recall([found], [ImageTruth([A, B, C])])
    assert curve.average_precision == pytest.approx(1 / 3 + 2 / 9)
    assert curve.precision.tolist() == pytest.approx([1, 1 / 2, 2 / 3])
    assert curve.recall.tolist() == pytest.approx([1 / 3, 1 / 3, 2 / 3])
    assert curve.at(0.75) == pytest.approx((1 / 2, 1 / 3))
    assert curve.at(0.95) == (1.0, 0.0)
    assert curve.best_f1() == pytest.approx((2 / 3, 0.7))


def test_the_envelope_lets_later_precision_stand_for_earlier_recall() -> None:
    # miss, hit, hit of two truths: precision 0, 1/2, 2/3; envelope 2/3 throughout
    found = ImageDetections([NOWHERE, A, B], [0.9, 0.8, 0.7])
    assert average_precision([found], [ImageTruth([A, B])]) == pytest.approx(2 / 3)


def test_scores_order_detections_over_all_images() -> None:
    found = [ImageDetections([NOWHERE], [0.9]), ImageDetections([A], [0.5])]
    assert average_precision(found, [ImageTruth([]), ImageTruth([A])]) == pytest.approx(0.5)


def test_a_second_detection_of_one_nucleus_is_a_false_alarm() -> None:
    curve = precision_recall([ImageDetections([A, A], [0.9, 0.8])], [ImageTruth([A])])
    assert curve.precision.tolist() == [1.0, 0.5]


def test_iou_of_exactly_the_threshold_is_a_hit() -> None:
    half = [[0, 0, 10, 5]]
    assert average_precision([ImageDetections(half, [0.9])], [ImageTruth([A])], iou=0.5) == 1.0
    assert average_precision([ImageDetections(half, [0.9])], [ImageTruth([A])], iou=0.51) == 0.0


def test_detections_on_ignored_boxes_neither_help_nor_harm() -> None:
    part_of_ignored = [41, 1, 47, 9]
    found = ImageDetections([C, A, part_of_ignored], [0.99, 0.5, 0.4])
    curve = precision_recall([found], [ImageTruth([A], ignored_xyxy=[C])])
    assert curve.average_precision == 1.0
    assert len(curve.scores) == 1


def test_a_truth_beneath_an_ignored_box_can_still_be_found() -> None:
    assert average_precision([ImageDetections([A], [0.5])], [ImageTruth([A], ignored_xyxy=[A])]) == 1.0


def test_what_cannot_be_judged_is_refused() -> None:
    with pytest.raises(ValueError, match="nothing to find"):
        average_precision([ImageDetections([A], [0.5])], [ImageTruth([])])
    with pytest.raises(ValueError, match="same images"):
        average_precision([], [ImageTruth([A])])
    with pytest.raises(ValueError, match="one score"):
        average_precision([ImageDetections([A, B], [0.5])], [ImageTruth([A])])


@pytest.mark.parametrize(
    ("a", "b", "iou"),
    [
        (A, A, 1.0),
        (A, B, 0.0),
        (A, [5, 0, 15, 10], 1 / 3),  # 50 of 150 px
        (A, [2, 2, 8, 8], 0.36),  # one inside the other
        (A, [10, 0, 20, 10], 0.0),  # touching
        ([3, 3, 3, 3], [3, 3, 3, 3], 0.0),  # no area
    ],
)
def test_overlap_of_two_boxes(a: list[float], b: list[float], iou: float) -> None:
    assert box_iou([a], [b])[0, 0] == pytest.approx(iou)
    assert box_iou([b], [a])[0, 0] == pytest.approx(iou)


def test_overlaps_come_as_found_times_true_also_where_there_is_none() -> None:
    assert box_iou([A, B, C], [A, B]).shape == (3, 2)
    assert box_iou([], [A]).shape == (0, 1)
    assert box_iou([A], []).shape == (1, 0)


def test_each_true_box_is_taken_once_by_the_surest() -> None:
    near = [1, 0, 11, 10]
    assert match_boxes([A, near, C], [0.5, 0.9, 0.8], [near, [40, 2, 50, 12], NOWHERE]).tolist() == [-1, 0, 1]
    assert match_boxes([A, B], [0.5, 0.9], []).tolist() == [-1, -1]
    assert match_boxes([], [], [A]).tolist() == []


def test_verdicts_of_one_image() -> None:
    inside_c = [41, 1, 47, 9]
    found = ImageDetections([A, A, NOWHERE, inside_c], [0.9, 0.8, 0.7, 0.6])
    assert verdicts(found, ImageTruth([A, B], ignored_xyxy=[C])).tolist() == [1, 0, 0, -1]
    assert verdicts(ImageDetections([], []), ImageTruth([A])).dtype == np.int8


def test_scores_are_calibrated_to_what_happened() -> None:
    """Hits follow the logit of the score with a slope of 0.5 and an offset of -1."""
    rng = np.random.default_rng(4)
    logit = rng.uniform(-4, 6, 20000)
    happened = rng.random(len(logit)) < 1 / (1 + np.exp(-(0.5 * logit - 1)))
    curve = curve_of(1 / (1 + np.exp(-logit)), happened.astype(np.int8), int(happened.sum()))
    assert curve.score_calibration() == pytest.approx((0.5, -1.0), abs=0.05)


@pytest.mark.parametrize("hits", [0, 12, 400])
def test_too_few_of_a_kind_calibrate_nothing(hits: int) -> None:
    judged = np.zeros(412, np.int8)
    judged[:hits] = 1
    curve = curve_of(np.linspace(0.9, 0.1, 412), judged, 412)
    assert curve.score_calibration() == (1.0, 0.0)


def test_scores_that_say_the_opposite_are_not_turned_round() -> None:
    judged = np.repeat(np.array([0, 1], np.int8), 100)
    assert curve_of(np.linspace(0.9, 0.1, 200), judged, 100).score_calibration() == (1.0, 0.0)
