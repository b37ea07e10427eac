"""How good detections are: precision-recall curve and average precision. Pure numpy."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np
from numpy.typing import ArrayLike, NDArray

__all__ = ["ImageDetections", "ImageTruth", "PrecisionRecall", "average_precision", "precision_recall"]

Floats = NDArray[np.float64]


def _boxes(boxes: ArrayLike) -> Floats:
    array = np.asarray(boxes, dtype=np.float64)
    return array.reshape(-1, 4)


@dataclass(frozen=True, slots=True)
class ImageDetections:
    """What was found in one image: boxes_xyxy (D, 4) in px, scores (D,)."""

    boxes_xyxy: ArrayLike
    scores: ArrayLike


@dataclass(frozen=True, slots=True)
class ImageTruth:
    """What is there: boxes_xyxy (T, 4) in px; a detection that finds only an `ignored_xyxy` box does not count."""

    boxes_xyxy: ArrayLike
    ignored_xyxy: ArrayLike = ()


@dataclass(frozen=True, slots=True)
class PrecisionRecall:
    """The curve, one point a counted detection by falling score, and the area under its envelope."""

    scores: Floats
    precision: Floats
    recall: Floats
    average_precision: float

    def best_f1(self) -> tuple[float, float]:
        """(F1, score threshold) where F1 is largest; (0, 1) for an empty curve."""
        if not len(self.scores):
            return 0.0, 1.0
        total = self.precision + self.recall
        f1 = np.divide(2 * self.precision * self.recall, total, out=np.zeros_like(total), where=total > 0)
        i = int(f1.argmax())
        return float(f1[i]), float(self.scores[i])

    def lenient_threshold(self, tolerance: float = 0.01, lowest: float = 0.3) -> float:
        """The lowest score, not below `lowest`, whose F1 is within `tolerance` of the best.

        A missed nucleus is lost to the count, a false box is seen by the pathologist and excluded: so of thresholds
        that serve alike the lower one.
        """
        best, threshold = self.best_f1()
        total = np.maximum(self.precision + self.recall, 1e-12)
        good = (2 * self.precision * self.recall / total >= best - tolerance) & (self.scores >= lowest)
        return float(self.scores[good].min()) if good.any() else max(min(threshold, 0.7), lowest)

    def at(self, score: float) -> tuple[float, float]:
        """(precision, recall) of the detections with at least `score`; precision is 1 when there are none."""
        n = int((self.scores >= score).sum())
        return (float(self.precision[n - 1]), float(self.recall[n - 1])) if n else (1.0, 0.0)


def _overlaps(a: Floats, b: Floats) -> tuple[Floats, Floats]:
    """IoU and the share of each box of a that lies in each box of b, both (len(a), len(b))."""
    size = np.minimum(a[:, None, 2:], b[None, :, 2:]) - np.maximum(a[:, None, :2], b[None, :, :2])
    inner = size.clip(min=0).prod(axis=2)
    area_a = (a[:, 2:] - a[:, :2]).prod(axis=1)
    area_b = (b[:, 2:] - b[:, :2]).prod(axis=1)
    outer = area_a[:, None] + area_b[None, :] - inner
    return inner / np.maximum(outer, 1e-12), inner / np.maximum(area_a[:, None], 1e-12)


def _verdicts(found: Floats, scores: Floats, truth: ImageTruth, iou: float) -> NDArray[np.int8]:
    """1 hit, 0 miss, -1 not counted, for each detection of an image (in the order given)."""
    boxes, ignored = _boxes(truth.boxes_xyxy), _boxes(truth.ignored_xyxy)
    ious, _ = _overlaps(found, boxes)
    ignored_iou, ignored_share = _overlaps(found, ignored)
    free = np.ones(len(boxes), dtype=bool)
    verdicts = np.zeros(len(found), dtype=np.int8)
    for i in np.argsort(-scores, kind="stable"):
        candidates = np.where(free, ious[i], -1.0)
        if len(candidates) and candidates.max() >= iou:
            free[candidates.argmax()] = False
            verdicts[i] = 1
        elif len(ignored) and (ignored_iou[i].max() >= iou or ignored_share[i].max() > 0.5):
            verdicts[i] = -1
    return verdicts


def precision_recall(
    detections: Sequence[ImageDetections], truths: Sequence[ImageTruth], iou: float = 0.5
) -> PrecisionRecall:
    """Precision-recall curve over images, detections[i] being judged against truths[i].

    By falling score, a detection takes the free truth with which its IoU is largest, if that is at least `iou`, and
    is a hit; any other is a false alarm, unless it matches an ignored box by `iou` or lies in one by more than half.
    Average precision is the area under the curve's envelope (precision made non-increasing in recall, all points;
    PASCAL VOC 2010 and later). Raises ValueError without any truth or if the lists differ in length.
    """
    if len(detections) != len(truths):
        raise ValueError("detections and truths must be of the same images")
    total = sum(len(_boxes(truth.boxes_xyxy)) for truth in truths)
    if not total:
        raise ValueError("average precision is not defined where there is nothing to find")
    all_scores, all_verdicts = [np.zeros(0)], [np.zeros(0, dtype=np.int8)]
    for found, truth in zip(detections, truths, strict=True):
        scores = np.asarray(found.scores, dtype=np.float64).reshape(-1)
        boxes = _boxes(found.boxes_xyxy)
        if len(scores) != len(boxes):
            raise ValueError("each box needs one score")
        all_scores.append(scores)
        all_verdicts.append(_verdicts(boxes, scores, truth, iou))
    scores, verdicts = np.concatenate(all_scores), np.concatenate(all_verdicts)
    scores, verdicts = scores[verdicts >= 0], verdicts[verdicts >= 0]
    order = np.argsort(-scores, kind="stable")
    scores, hits = scores[order], np.cumsum(verdicts[order], dtype=np.float64)
    precision = hits / np.arange(1, len(hits) + 1)
    recall = hits / total
    envelope = np.maximum.accumulate(precision[::-1])[::-1]
    steps = np.diff(recall, prepend=0.0)
    return PrecisionRecall(scores, precision, recall, float((envelope * steps).sum()))


def average_precision(detections: Sequence[ImageDetections], truths: Sequence[ImageTruth], iou: float = 0.5) -> float:
    """Area under the precision-recall curve, 0..1; see `precision_recall`."""
    return precision_recall(detections, truths, iou).average_precision
