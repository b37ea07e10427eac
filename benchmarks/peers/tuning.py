"""Peers are tuned on rendered validation regions before they are compared, as a fair user would."""

from __future__ import annotations

from collections.abc import Callable, Iterable, Sequence
from dataclasses import replace
from itertools import product

import numpy as np
from numpy.typing import NDArray

from benchmarks.peers.classical import ClassicalSettings, find_nuclei, find_spots
from benchmarks.peers.common import Spots, counts_in_boxes, median_px
from benchmarks.peers.ufish import UFish, UFishSettings
from her2core.detection.metrics import average_precision
from her2core.records import Box
from her2core.training.readings import Pixels, TrueRegion

__all__ = ["best_threshold", "count_loss", "tune_classical", "tune_ufish"]

Validation = Sequence[tuple[TrueRegion, Pixels]]
Progress = Callable[[str], None]

_SMOOTHING = (0.01, 0.02, 0.04)
_SEPARATION = (0.2, 0.3, 0.45)
_TOP_HAT = (0.05, 0.08, 0.12)
_CLASSICAL_THRESHOLDS = tuple(np.round(np.arange(0.2, 3.01, 0.1), 2).tolist())
_NUCLEUS_PX = (32.0, 48.0, 64.0)
_UFISH_THRESHOLDS = (*np.round(np.arange(0.1, 0.96, 0.05), 2).tolist(), 0.97, 0.98, 0.99)


def count_loss(found: NDArray[np.int64], true: NDArray[np.int64]) -> float:
    """How far the signals of a region's nuclei are off: half the error of their mean, half that of each, as shares."""
    mean = max(float(true.mean()), 1e-6)
    return float(0.5 * abs(found.mean() - mean) / mean + 0.5 * np.abs(found - true).mean() / mean)


def best_threshold(
    seen: Sequence[tuple[Spots, Sequence[Box], NDArray[np.int64]]], thresholds: Iterable[float]
) -> tuple[float, float]:
    """(loss, threshold) with the least mean loss over regions given as (spots, boxes, true counts)."""
    return min(
        (float(np.mean([count_loss(counts_in_boxes(s.above(t), boxes), true) for s, boxes, true in seen])), t)
        for t in thresholds
    )


def _truth(region: TrueRegion, channel: int) -> tuple[list[Box], NDArray[np.int64]]:
    nuclei = region.scorable()
    return [n.box for n in nuclei], np.array([(n.her2, n.cep17)[channel] for n in nuclei], np.int64)


def _tune_spots(
    validation: Validation,
    choices: Sequence[float],
    thresholds: Sequence[float],
    spots_of: Callable[[NDArray[np.uint8], float, float], Spots],
    tell: Progress,
    name: str,
) -> tuple[tuple[float, float], tuple[float, float]]:
    """The best (choice, choice) and (threshold, threshold) of both channels."""
    best: list[tuple[float, float, float]] = []
    for channel in (0, 1):
        tried = []
        for choice in choices:
            seen = []
            for region, pixels in validation:
                boxes, true = _truth(region, channel)
                if boxes:
                    seen.append((spots_of(pixels[..., channel], median_px(boxes), choice), boxes, true))
            tried.append((*best_threshold(seen, thresholds), choice))
        best.append(min(tried))
        loss, threshold, choice = best[-1]
        tell(f"{name}, {('HER2', 'CEP17')[channel]}: {choice:g} with threshold {threshold:g}, loss {loss:.3f}")
    return (best[0][2], best[1][2]), (best[0][1], best[1][1])


def tune_classical(validation: Validation, tell: Progress = lambda text: None) -> ClassicalSettings:
    """Settings with the best average precision of nuclei, then the least count loss in true boxes."""
    settings = ClassicalSettings()
    truths = [region.boxes() for region, _ in validation]
    tried = []
    for smoothing, separation in product(_SMOOTHING, _SEPARATION):
        attempt = replace(settings, smoothing=smoothing, separation=separation)
        precision = average_precision([find_nuclei(pixels, attempt) for _, pixels in validation], truths)
        tried.append((precision, smoothing, separation))
    precision, smoothing, separation = max(tried)
    tell(f"classical nuclei: smoothing {smoothing:g}, separation {separation:g}, AP {precision:.3f}")
    top_hat, threshold = _tune_spots(validation, _TOP_HAT, _CLASSICAL_THRESHOLDS, find_spots, tell, "classical spots")
    return ClassicalSettings(smoothing, separation, top_hat, threshold)


def tune_ufish(validation: Validation, peer: UFish, tell: Progress = lambda text: None) -> UFish:
    """The network with the size of nuclei and the threshold of each channel that count best in true boxes."""
    nucleus_px, threshold = _tune_spots(validation, _NUCLEUS_PX, _UFISH_THRESHOLDS, peer.spots, tell, "U-FISH")
    return peer.tuned(UFishSettings(nucleus_px, threshold))
