"""How good detections are: overlap and matching of boxes, precision-recall curve, average precision. Pure numpy."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np
from numpy.typing import ArrayLike, NDArray
from scipy.optimize import minimize
from scipy.special import expit

__all__ = [
    "ImageDetections",
    "ImageTruth",
    "PrecisionRecall",
    "average_precision",
    "box_iou",
    "curve_of",
    "match_boxes",
    "precision_recall",
    "verdicts",
]

Floats = NDArray[np.float64]


def _boxes(boxes: ArrayLike) -> Floats:
    array = np.asarray(boxes, dtype=np.float64)
    return array.reshape(-1, 4)


_FEWEST_OF_A_KIND = 20


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

    def score_calibration(self) -> tuple[float, float]:
        """Slope and offset that make the chance of a hit of a score's logit (Platt 1999); (1, 0) where hits and false
        alarms are too few to tell."""
        n = np.arange(1, len(self.scores) + 1)
        hit = np.diff(np.rint(self.precision * n), prepend=0.0)
        if min(hit.sum(), len(hit) - hit.sum()) < _FEWEST_OF_A_KIND:
            return 1.0, 0.0
        inside = np.clip(self.scores, 1e-6, 1 - 1e-6)
        x = np.stack([np.log(inside / (1 - inside)), np.ones(len(inside))], axis=1)

        def loss(beta: Floats) -> tuple[float, Floats]:
            z = x @ beta
            return float((np.logaddexp(0, z) - hit * z).mean()), x.T @ (expit(z) - hit) / len(hit)

        beta = minimize(loss, np.array([1.0, 0.0]), jac=True, method="L-BFGS-B").x
        return (float(beta[0]), float(beta[1])) if beta[0] > 0 else (1.0, 0.0)


def box_iou(a: ArrayLike, b: ArrayLike) -> Floats:
    """Intersection over union of each box of a with each of b, xyxy px: float (len(a), len(b)); 0 for empty boxes."""
    a, b = _boxes(a), _boxes(b)
    inner = _inner(a, b)
    return inner / np.maximum(_areas(a)[:, None] + _areas(b)[None, :] - inner, 1e-12)


def _areas(boxes: Floats) -> Floats:
    areas: Floats = (boxes[:, 2:] - boxes[:, :2]).prod(axis=1)
    return areas


def _inner(a: Floats, b: Floats) -> Floats:
    """Area that each box of a shares with each of b."""
    size = np.minimum(a[:, None, 2:], b[None, :, 2:]) - np.maximum(a[:, None, :2], b[None, :, :2])
    inner: Floats = size.clip(min=0).prod(axis=2)
    return inner


def match_boxes(found_xyxy: ArrayLike, scores: ArrayLike, truth_xyxy: ArrayLike, iou: float = 0.5) -> NDArray[np.intp]:
    """Index of the true box that each found one takes, -1 for none: intp (D,), in the order given.

    By falling score a box takes the free true one with which its IoU is largest, if that is at least `iou`.
    """
    return _match(box_iou(found_xyxy, truth_xyxy), np.asarray(scores, np.float64), iou)


def _match(ious: Floats, scores: Floats, iou: float) -> NDArray[np.intp]:
    taken = np.full(len(ious), -1, dtype=np.intp)
    if not ious.size:
        return taken
    free = np.ones(ious.shape[1], dtype=bool)
    for i in np.argsort(-scores, kind="stable"):
        candidates = np.where(free, ious[i], -1.0)
        best = int(candidates.argmax())
        if candidates[best] >= iou:
            free[best] = False
            taken[i] = best
    return taken


def verdicts(found: ImageDetections, truth: ImageTruth, iou: float = 0.5) -> NDArray[np.int8]:
    """1 hit, 0 false alarm, -1 not counted, for each detection of an image (in the order given).

    A hit takes a true box (`match_boxes`); what matches an ignored box by `iou`, or lies in one by more than half, is
    not counted. Raises ValueError unless each box has one score.
    """
    boxes, scores = _boxes(found.boxes_xyxy), np.asarray(found.scores, dtype=np.float64).reshape(-1)
    if len(scores) != len(boxes):
        raise ValueError("each box needs one score")
    result = (_match(box_iou(boxes, truth.boxes_xyxy), scores, iou) >= 0).astype(np.int8)
    ignored = _boxes(truth.ignored_xyxy)
    if len(ignored) and len(boxes):
        within = _inner(boxes, ignored) / np.maximum(_areas(boxes)[:, None], 1e-12)
        excused = (box_iou(boxes, ignored).max(axis=1) >= iou) | (within.max(axis=1) > 0.5)
        result[(result == 0) & excused] = -1
    return result


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
    all_scores, all_verdicts = [np.zeros(0)], [np.zeros(0, dtype=np.int8)]
    for found, truth in zip(detections, truths, strict=True):
        all_scores.append(np.asarray(found.scores, dtype=np.float64).reshape(-1))
        all_verdicts.append(verdicts(found, truth, iou))
    total = sum(len(_boxes(truth.boxes_xyxy)) for truth in truths)
    return curve_of(np.concatenate(all_scores), np.concatenate(all_verdicts), total)


def curve_of(scores: Floats, judged: NDArray[np.int8], total: int) -> PrecisionRecall:
    """The curve of detections with these scores and `verdicts`, where `total` are to be found.

    Raises ValueError where there are none.
    """
    if not total:
        raise ValueError("average precision is not defined where there is nothing to find")
    scores, judged = scores[judged >= 0], judged[judged >= 0]
    order = np.argsort(-scores, kind="stable")
    scores, hits = scores[order], np.cumsum(judged[order], dtype=np.float64)
    precision = hits / np.arange(1, len(hits) + 1)
    recall = hits / total
    envelope = np.maximum.accumulate(precision[::-1])[::-1]
    steps = np.diff(recall, prepend=0.0)
    return PrecisionRecall(scores, precision, recall, float((envelope * steps).sum()))


def average_precision(detections: Sequence[ImageDetections], truths: Sequence[ImageTruth], iou: float = 0.5) -> float:
    """Area under the precision-recall curve, 0..1; see `precision_recall`."""
    return precision_recall(detections, truths, iou).average_precision
