"""Signals as peaks of density maps."""

from __future__ import annotations

import math

import numpy as np
import torch
import torch.nn.functional as F
from numpy.typing import NDArray
from torch import Tensor

from her2core.counting.network import DENSITY_SIGMA_PX

__all__ = ["PEAK_THRESHOLD", "count_peaks", "find_peaks", "local_maxima"]

# Signals held around a peak from which on it is one.
PEAK_THRESHOLD = 0.6
_BELL = torch.exp(-(torch.arange(-3, 4) ** 2) / (2 * DENSITY_SIGMA_PX**2))
_BELL = _BELL / _BELL.sum()
# What a square of 5 x 5 pixels holds of a Gaussian signal in its middle.
_HELD_BY_ONE = math.erf(2.5 / DENSITY_SIGMA_PX / math.sqrt(2)) ** 2


def local_maxima(density: Tensor, threshold: float) -> tuple[Tensor, Tensor]:
    """Where maps float[N, S, S] have a maximum that holds at least `threshold` signals, bool[N, S, S]; and what is held
    around each pixel, in signals.

    The sum around a maximum tells a signal better than its height: where the network is sure of a signal but not of the
    pixel, the map is low and wide.
    """
    maps = density[:, None]
    smooth = F.conv2d(
        F.conv2d(maps, _BELL[None, None, :, None], padding=(3, 0)), _BELL[None, None, None], padding=(0, 3)
    )
    # A signal between pixels makes equal neighbours; a slope too small to matter lets one of them win.
    along = torch.arange(density.shape[-1], dtype=density.dtype)
    ranked = smooth + 2e-8 * along + 3e-8 * along[:, None]
    highest = F.max_pool2d(ranked, 3, stride=1, padding=1)
    held = F.avg_pool2d(maps, 5, stride=1, padding=2)[:, 0] * 25 / _HELD_BY_ONE
    return (held >= threshold) & (ranked >= highest)[:, 0], held


def count_peaks(density: Tensor, threshold: float = PEAK_THRESHOLD) -> Tensor:
    """How many peaks `find_peaks` finds in each of the maps float[N, S, S], without their positions: float[N]."""
    is_peak, _ = local_maxima(density, threshold)
    return is_peak.sum(dim=(1, 2)).float()


def find_peaks(density: Tensor, threshold: float = PEAK_THRESHOLD) -> list[NDArray[np.float32]]:
    """Local maxima of density maps float[N, S, S]: for each map float32[K, 2] (x, y), refined below a pixel."""
    is_peak, _ = local_maxima(density, threshold)
    index, ys, xs = (part.numpy() for part in torch.nonzero(is_peak, as_tuple=True))
    padded = F.pad(density, (1, 1, 1, 1)).numpy()
    offsets = np.array([-1, 0, 1], np.float32)
    peaks: list[list[tuple[float, float]]] = [[] for _ in range(len(density))]
    for n, y, x in zip(index, ys, xs, strict=True):
        window = padded[n, y : y + 3, x : x + 3]
        weight = max(float(window.sum()), 1e-12)
        dx, dy = (window.sum(axis=0) @ offsets) / weight, (window.sum(axis=1) @ offsets) / weight
        peaks[n].append((x + 0.5 + dx, y + 0.5 + dy))
    return [np.array(p, np.float32).reshape(-1, 2) for p in peaks]
