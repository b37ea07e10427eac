"""The loss of stage 1: GIoU of the boxes + binary cross-entropy of objectness + binary cross-entropy of the class.

As Xue et al. 2023 state it. Which positions answer for which nucleus is decided by shape (`assign`): the anchor of
best shape in the cell that holds the centre, and each other anchor of a shape near enough.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

import torch
from torch import Tensor
from torch.nn import functional as F
from torchvision.ops import box_iou, generalized_box_iou_loss

from her2core.detection.decode import Predictions
from her2core.detection.yolo import ANCHORS_PER_SCALE, STRIDES

__all__ = ["Assignment", "LossParts", "assign", "box_loss", "class_loss", "detection_loss", "objectness_loss"]

SHAPE_IOU = 0.5  # an anchor this near in shape answers too
UNPUNISHED_IOU = 0.6  # a prediction this good is not called wrong because another position was assigned
BOX_WEIGHT = 2.0


@dataclass(frozen=True, slots=True)
class LossParts:
    """The three terms, each a mean over the assigned positions, and their weighted sum."""

    total: Tensor
    box: Tensor
    objectness: Tensor
    classification: Tensor


@dataclass(frozen=True, slots=True)
class Assignment:
    """Position p[i] (index into P) of one image answers for truth t[i]; no position twice. Two Tensor[A], int64."""

    positions: Tensor
    truths: Tensor


def assign(truths_xyxy: Tensor, anchors_px: Tensor, height_px: int, width_px: int) -> Assignment:
    """Positions that answer for truths_xyxy: Tensor[T, 4], pixels, centres within an input of height x width.

    Where two nuclei claim one position, the one that fits the anchor better has it.
    """
    size = (truths_xyxy[:, 2:] - truths_xyxy[:, :2]).clamp(min=1e-3)  # (T, 2)
    inner = torch.minimum(size[:, None], anchors_px[None]).prod(-1)  # (T, 9)
    iou = inner / (size.prod(-1)[:, None] + anchors_px.prod(-1)[None] - inner)
    chosen = iou > SHAPE_IOU
    if len(truths_xyxy):
        chosen[torch.arange(len(iou), device=iou.device), iou.argmax(1)] = True
    truth, anchor = chosen.nonzero(as_tuple=True)  # (A,), (A,)

    strides = torch.tensor(STRIDES, device=iou.device)
    rows, columns = height_px // strides, width_px // strides  # (3,)
    cells = rows * columns * ANCHORS_PER_SCALE
    first = cells.cumsum(0) - cells  # index at which the positions of a scale begin
    level = anchor // ANCHORS_PER_SCALE
    centre = (truths_xyxy[truth, :2] + truths_xyxy[truth, 2:]) / 2
    column = torch.minimum((centre[:, 0] / strides[level]).long().clamp(min=0), columns[level] - 1)
    row = torch.minimum((centre[:, 1] / strides[level]).long().clamp(min=0), rows[level] - 1)
    position = first[level] + (row * columns[level] + column) * ANCHORS_PER_SCALE + anchor % ANCHORS_PER_SCALE

    order = iou[truth, anchor].argsort(descending=True, stable=True)
    position, truth = position[order], truth[order]
    kept, inverse = torch.unique(position, return_inverse=True)
    rank = torch.arange(len(position), device=position.device)
    best = torch.full_like(kept, len(position)).scatter_reduce(0, inverse, rank, "amin")
    return Assignment(kept, truth[best])


def box_loss(predicted_xyxy: Tensor, truth_xyxy: Tensor) -> Tensor:
    """Mean of 1 - GIoU over pairs, both Tensor[A, 4], pixels (Rezatofighi et al. 2019); 0 without pairs."""
    if not len(predicted_xyxy):
        return predicted_xyxy.sum()
    loss: Tensor = generalized_box_iou_loss(predicted_xyxy, truth_xyxy, reduction="mean")
    return loss


def objectness_loss(logits: Tensor, is_object: Tensor, counts: Tensor) -> Tensor:
    """Binary cross-entropy summed over the positions that count, divided by the number of objects (at least 1).

    logits: Tensor[N]; is_object, counts: bool Tensor[N].
    """
    each = F.binary_cross_entropy_with_logits(logits, is_object.to(logits.dtype), reduction="none")
    return (each * counts).sum() / is_object.sum().clamp(min=1)


def class_loss(logits: Tensor) -> Tensor:
    """Binary cross-entropy of the one class at assigned positions, Tensor[A]; 0 without any."""
    if not len(logits):
        return logits.sum()
    return F.binary_cross_entropy_with_logits(logits, torch.ones_like(logits))


def _unpunished(boxes: Tensor, truths: Tensor, ignored: Tensor) -> Tensor:
    """Bool Tensor[P]: predictions that nearly hit a truth, or lie mostly within or upon an ignored box."""
    free = torch.zeros(len(boxes), dtype=torch.bool, device=boxes.device)
    if len(truths):
        free |= (box_iou(boxes, truths) > UNPUNISHED_IOU).any(1)
    if len(ignored):
        top_left = torch.maximum(boxes[:, None, :2], ignored[None, :, :2])
        bottom_right = torch.minimum(boxes[:, None, 2:], ignored[None, :, 2:])
        inner = (bottom_right - top_left).clamp(min=0).prod(-1)  # (P, I)
        own = (boxes[:, 2:] - boxes[:, :2]).prod(-1).clamp(min=1e-6)
        free |= (inner / own[:, None] > 0.5).any(1)
    return free


def detection_loss(
    predictions: Predictions,
    truths_xyxy: Sequence[Tensor],
    ignored_xyxy: Sequence[Tensor],
    anchors_px: Tensor,
    height_px: int,
    width_px: int,
) -> LossParts:
    """The loss of a batch of B images.

    truths_xyxy, ignored_xyxy: B tensors [T, 4] and [I, 4], pixels of the network's input (height_px x width_px);
    a prediction on an ignored box is neither rewarded nor punished.
    """
    is_object = torch.zeros_like(predictions.objectness, dtype=torch.bool)
    counts = torch.ones_like(is_object)
    hits, targets = [], []
    for i, (truths, ignored) in enumerate(zip(truths_xyxy, ignored_xyxy, strict=True)):
        own = assign(truths, anchors_px, height_px, width_px)
        counts[i] = ~_unpunished(predictions.boxes_xyxy[i].detach(), truths, ignored)
        counts[i, own.positions] = True
        is_object[i, own.positions] = True
        hits.append(own.positions + i * is_object.shape[1])
        targets.append(truths[own.truths])
    index = torch.cat(hits)
    box = box_loss(predictions.boxes_xyxy.reshape(-1, 4)[index], torch.cat(targets))
    objectness = objectness_loss(predictions.objectness.reshape(-1), is_object.reshape(-1), counts.reshape(-1))
    classification = class_loss(predictions.class_logit.reshape(-1)[index])
    return LossParts(BOX_WEIGHT * box + objectness + classification, box, objectness, classification)
