"""Signals as peaks of density maps."""

from __future__ import annotations

import numpy as np
import torch
import torch.nn.functional as F
from numpy.typing import NDArray
from torch import Tensor

from her2core.counting.network import DENSITY_SIGMA_PX

__all__ = ["PEAK_THRESHOLD", "find_peaks", "local_maxima"]

# A map's peak, relative to that of a single sharp signal, from which on it is one.
PEAK_THRESHOLD = 0.35


def local_maxima(density: Tensor, threshold: float) -> tuple[Tensor, Tensor]:
    """Where maps float[N, S, S] have a maximum of at least `threshold`, bool[N, S, S], and the maps relative to the
    peak of a single sharp signal."""
    relative = density * (2 * torch.pi * DENSITY_SIGMA_PX**2)
    # A signal between pixels makes equal neighbours; a slope too small to matter lets one of them win.
    along = torch.arange(density.shape[-1], dtype=density.dtype)
    ranked = relative + 2e-6 * along + 3e-6 * along[:, None]
    highest = F.max_pool2d(ranked[:, None], 3, stride=1, padding=1)[:, 0]
    return (relative >= threshold) & (ranked >= highest), relative


def find_peaks(density: Tensor, threshold: float = PEAK_THRESHOLD) -> list[NDArray[np.float32]]:
    """Local maxima of density maps float[N, S, S]: for each map float32[K, 2] (x, y), refined below a pixel."""
    is_peak, relative = local_maxima(density, threshold)
    index, ys, xs = (part.numpy() for part in torch.nonzero(is_peak, as_tuple=True))
    padded = F.pad(relative, (1, 1, 1, 1)).numpy()
    offsets = np.array([-1, 0, 1], np.float32)
    peaks: list[list[tuple[float, float]]] = [[] for _ in range(len(density))]
    for n, y, x in zip(index, ys, xs, strict=True):
        window = padded[n, y : y + 3, x : x + 3]
        weight = window.sum()
        dx, dy = (window.sum(axis=0) @ offsets) / weight, (window.sum(axis=1) @ offsets) / weight
        peaks[n].append((x + 0.5 + dx, y + 0.5 + dy))
    return [np.array(p, np.float32).reshape(-1, 2) for p in peaks]
