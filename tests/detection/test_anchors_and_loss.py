"""Anchors, decoding, assignment and the three terms of the loss."""

from __future__ import annotations

import math

import numpy as np
import pytest
import torch

from her2core.detection.anchors import kmeans_anchors, mean_best_iou, shape_iou
from her2core.detection.decode import Predictions, decode
from her2core.detection.loss import assign, box_loss, class_loss, detection_loss, objectness_loss
from her2core.detection.yolo import YoloV3

from .conftest import ANCHORS

ANCHORS_PX = torch.tensor(ANCHORS)


def test_shape_iou_of_hand_worked_shapes() -> None:
    ious = shape_iou(np.array([[10.0, 20.0]]), np.array([[10.0, 20.0], [20.0, 10.0], [5.0, 20.0]]))
    assert ious[0] == pytest.approx([1.0, 100 / 300, 0.5])


def test_kmeans_finds_the_shapes_that_boxes_cluster_round() -> None:
    rng = np.random.default_rng(1)
    centres = np.array([(12, 10), (20, 30), (30, 20), (45, 45), (60, 80), (80, 60), (100, 100), (140, 120), (120, 160)])
    sizes = np.concatenate([rng.normal(c, 0.5, size=(40, 2)) for c in centres])
    anchors = np.array(kmeans_anchors(sizes, seed=0))
    assert shape_iou(centres.astype(float), anchors).max(axis=1).min() > 0.95
    assert (np.diff(anchors.prod(axis=1)) >= 0).all()
    assert mean_best_iou(sizes, anchors) > mean_best_iou(sizes, anchors[:5])


@pytest.mark.parametrize("sizes", [np.ones((5, 2)), np.zeros((20, 2)), np.full((20, 2), np.nan), np.ones((20, 3))])
def test_kmeans_refuses_what_cannot_be_boxes(sizes: np.ndarray) -> None:
    with pytest.raises(ValueError, match=r"box|sides"):
        kmeans_anchors(sizes)


def test_kmeans_survives_boxes_that_are_all_alike() -> None:
    assert kmeans_anchors(np.full((30, 2), 40.0)) == ((40.0, 40.0),) * 9


def test_decode_puts_a_zero_output_in_the_middle_of_its_cell_at_its_anchor() -> None:
    raw = [torch.zeros(1, 18, 64 // s, 96 // s) for s in (8, 16, 32)]
    predictions = decode(raw, ANCHORS_PX)
    assert predictions.boxes_xyxy.shape == (1, 3 * (8 * 12 + 4 * 6 + 2 * 3), 4)
    # scale 8, row 2, column 5, second anchor (20 x 24)
    box = predictions.boxes_xyxy[0, (2 * 12 + 5) * 3 + 1]
    assert box.tolist() == [44 - 10, 20 - 12, 44 + 10, 20 + 12]
    assert predictions.scores()[0, 0].item() == pytest.approx(0.25)


def test_assigned_positions_can_express_their_truth() -> None:
    truths = torch.tensor([[30.0, 10.0, 70.0, 52.0], [3.0, 3.0, 19.0, 18.0], [0.0, 0.0, 96.0, 64.0]])
    own = assign(truths, ANCHORS_PX, 64, 96)
    assert set(own.truths.tolist()) == {0, 1, 2}
    assert len(set(own.positions.tolist())) == len(own.positions)
    boxes = decode([torch.zeros(1, 18, 64 // s, 96 // s) for s in (8, 16, 32)], ANCHORS_PX).boxes_xyxy[0]
    centres, wanted = (boxes[:, :2] + boxes[:, 2:]) / 2, (truths[:, :2] + truths[:, 2:]) / 2
    distance = (centres[own.positions] - wanted[own.truths]).abs().max(dim=1).values
    assert (distance <= 16).all()  # half of the coarsest cell


def test_of_two_nuclei_at_one_position_the_better_fitting_has_it() -> None:
    worse, better = [24.0, 24.0, 40.0, 46.0], [24.0, 23.0, 40.0, 39.5]
    own = assign(torch.tensor([worse, better]), ANCHORS_PX, 64, 64)
    anchor_16 = (3 * 8 + 4) * 3  # scale 8, cell (row 3, column 4), first anchor: claimed by both
    assert own.truths[own.positions == anchor_16].tolist() == [1]


def test_assign_takes_an_image_without_nuclei() -> None:
    assert len(assign(torch.zeros(0, 4), ANCHORS_PX, 64, 64).positions) == 0


def test_box_loss_is_one_minus_giou() -> None:
    a, b = torch.tensor([[0.0, 0.0, 2.0, 2.0]]), torch.tensor([[1.0, 0.0, 3.0, 2.0]])
    assert box_loss(a, a).item() == pytest.approx(0, abs=1e-5)
    assert box_loss(a, b).item() == pytest.approx(1 - 1 / 3, abs=1e-5)  # hull equals union here
    far = torch.tensor([[8.0, 0.0, 10.0, 2.0]])
    assert box_loss(a, far).item() == pytest.approx(1 + 12 / 20, abs=1e-5)
    assert box_loss(a[:0], a[:0]).item() == 0


def test_objectness_counts_only_what_counts_and_divides_by_objects() -> None:
    logits = torch.tensor([0.0, 0.0, 50.0])
    loss = objectness_loss(logits, torch.tensor([True, False, False]), torch.tensor([True, True, False]))
    assert loss.item() == pytest.approx(2 * math.log(2))


def test_class_loss_of_even_odds_is_log_two() -> None:
    assert class_loss(torch.zeros(4)).item() == pytest.approx(math.log(2))
    assert class_loss(torch.zeros(0)).item() == 0


def perfect(truths: torch.Tensor, side: int) -> Predictions:
    """Predictions that place each truth exactly where it is assigned, and nothing elsewhere."""
    own = assign(truths, ANCHORS_PX, side, side)
    count = 3 * sum((side // s) ** 2 for s in (8, 16, 32))
    boxes = torch.tensor([0.0, 0.0, 1.0, 1.0]).repeat(count, 1)
    objectness = torch.full((count,), -20.0)
    boxes[own.positions], objectness[own.positions] = truths[own.truths], 20.0
    return Predictions(boxes[None], objectness[None], torch.full((1, count), 20.0))


def test_the_loss_vanishes_for_a_perfect_answer_only() -> None:
    truths = torch.tensor([[30.0, 10.0, 70.0, 52.0], [3.0, 3.0, 19.0, 18.0]])
    none = torch.zeros(0, 4)
    assert detection_loss(perfect(truths, 96), [truths], [none], ANCHORS_PX, 96, 96).total.item() < 1e-3
    shifted = truths + torch.tensor([4.0, 0.0, 4.0, 0.0])
    parts = detection_loss(perfect(shifted, 96), [truths], [none], ANCHORS_PX, 96, 96)
    assert parts.total.item() > 0.05


def test_a_false_alarm_costs_unless_it_lies_on_an_ignored_box() -> None:
    truths, extra = torch.tensor([[30.0, 10.0, 70.0, 52.0]]), torch.tensor([[60.0, 60.0, 90.0, 92.0]])
    both = perfect(torch.cat((truths, extra)), 96)
    none = torch.zeros(0, 4)
    punished = detection_loss(both, [truths], [none], ANCHORS_PX, 96, 96).objectness.item()
    ignored = detection_loss(both, [truths], [extra], ANCHORS_PX, 96, 96).objectness.item()
    assert punished > 1
    assert ignored < 1e-3


def test_a_near_hit_of_an_unassigned_position_is_not_punished() -> None:
    truths = torch.tensor([[30.0, 10.0, 70.0, 52.0]])
    predictions = perfect(truths, 96)
    elsewhere = 7
    boxes, objectness = predictions.boxes_xyxy.clone(), predictions.objectness.clone()
    boxes[0, elsewhere], objectness[0, elsewhere] = torch.tensor([31.0, 12.0, 70.0, 53.0]), 20.0
    near = Predictions(boxes, objectness, predictions.class_logit)
    assert detection_loss(near, [truths], [truths[:0]], ANCHORS_PX, 96, 96).objectness.item() < 1e-3


def test_loss_has_finite_gradients_for_a_batch_with_an_empty_image(tiny_model: YoloV3) -> None:
    tiny_model.train()
    truths = [torch.tensor([[30.0, 10.0, 70.0, 52.0]]), torch.zeros(0, 4)]
    raw = tiny_model(torch.rand(2, 3, 96, 96))
    parts = detection_loss(decode(raw, ANCHORS_PX), truths, [torch.zeros(0, 4)] * 2, ANCHORS_PX, 96, 96)
    parts.total.backward()  # type: ignore[no-untyped-call]
    assert all(p.grad is not None and bool(p.grad.isfinite().all()) for p in tiny_model.parameters())
