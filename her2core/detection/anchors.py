"""Anchors: k-means over box shapes with the distance 1 - IoU (dimension clusters, YOLO9000, arXiv:1612.08242)."""

from __future__ import annotations

import numpy as np
from numpy.typing import NDArray

__all__ = ["kmeans_anchors", "mean_best_iou", "shape_iou"]

Floats = NDArray[np.float64]


def shape_iou(sizes: Floats, anchors: Floats) -> Floats:
    """IoU of boxes laid on one centre: sizes (N, 2) and anchors (K, 2), width and height in px -> (N, K)."""
    inner = np.minimum(sizes[:, None, :], anchors[None, :, :]).prod(axis=2)
    outer = sizes.prod(axis=1)[:, None] + anchors.prod(axis=1)[None, :] - inner
    ious: Floats = inner / outer
    return ious


def mean_best_iou(sizes: Floats, anchors: Floats) -> float:
    """How well the anchors fit: the mean over boxes of the IoU with the best anchor."""
    return float(shape_iou(sizes, anchors).max(axis=1).mean())


def kmeans_anchors(sizes: Floats, k: int = 9, seed: int = 0, max_rounds: int = 100) -> tuple[tuple[float, float], ...]:
    """k anchors (width, height) in px by rising area, from box sizes (N, 2).

    Starts at boxes spread evenly over the sorted areas; a cluster's centre is its median shape; a cluster that
    runs empty starts again at a random box. Raises ValueError for fewer than k boxes or sides that are not positive.
    """
    sizes = np.asarray(sizes, dtype=np.float64)
    if sizes.ndim != 2 or sizes.shape[1] != 2 or len(sizes) < k:
        raise ValueError(f"anchors need at least {k} boxes with width and height")
    if not (np.isfinite(sizes).all() and (sizes > 0).all()):
        raise ValueError("box sides must be positive numbers")
    rng = np.random.default_rng(seed)
    by_area = sizes[np.argsort(sizes.prod(axis=1), kind="stable")]
    anchors = by_area[((np.arange(k) + 0.5) * len(sizes) / k).astype(int)]
    for _ in range(max_rounds):
        nearest = shape_iou(sizes, anchors).argmax(axis=1)
        moved = np.stack(
            [
                np.median(sizes[nearest == i], axis=0) if (nearest == i).any() else sizes[rng.integers(len(sizes))]
                for i in range(k)
            ]
        )
        if np.allclose(moved, anchors):
            break
        anchors = moved
    anchors = anchors[np.argsort(anchors.prod(axis=1), kind="stable")]
    return tuple((round(float(w), 2), round(float(h), 2)) for w, h in anchors)
