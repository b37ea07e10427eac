"""Signals as peaks of density maps."""

from __future__ import annotations

import math
from dataclasses import dataclass
from functools import lru_cache
from typing import Self

import numpy as np
import torch
import torch.nn.functional as F
from numpy.typing import NDArray
from torch import Tensor

from her2core.counting.network import DENSITY_SIGMA_PX
from her2core.counting.planes import blur_matrix, highest

__all__ = ["PEAK_THRESHOLD", "PeakMap"]

# Signals held around a peak from which on it is one.
PEAK_THRESHOLD = 0.6
# What a square of 5 x 5 pixels holds of a Gaussian signal in its middle.
_HELD_BY_ONE = math.erf(2.5 / DENSITY_SIGMA_PX / math.sqrt(2)) ** 2


@lru_cache(maxsize=4)
def _bands(side_px: int) -> tuple[Tensor, Tensor]:
    """Matrices float[S, S] that blur a column by the bell of a signal, and that sum it over 5 pixels."""
    along = torch.arange(side_px)
    within = (along[None, :] - along[:, None]).abs() <= 2
    return blur_matrix(side_px, DENSITY_SIGMA_PX, 3, repeat_border=False), within.float()


@dataclass(frozen=True, slots=True)
class PeakMap:
    """Local maxima of density maps.

    density: float[N, S, S], signals a pixel. is_peak: bool[N, S, S], where it has a maximum. held: float[N, S, S],
    signals around each pixel: the sum around a maximum tells a signal better than its height, because where the network
    is sure of a signal but not of the pixel, the map is low and wide.
    """

    density: Tensor
    is_peak: Tensor
    held: Tensor

    @classmethod
    def of(cls, density: Tensor) -> Self:
        """The maxima of maps float[N, S, S]."""
        density = density.contiguous()
        bell, five = _bands(density.shape[-1])
        smooth = bell @ density @ bell.T
        # A signal between pixels makes equal neighbours; a slope too small to matter lets one of them win.
        along = torch.arange(density.shape[-1], dtype=density.dtype)
        ranked = smooth + 2e-8 * along + 3e-8 * along[:, None]
        return cls(density, ranked >= highest(ranked, 1), five @ density @ five.T / _HELD_BY_ONE)

    def found(self, threshold: float) -> Tensor:
        """Maxima that hold at least `threshold` signals, bool[N, S, S]."""
        return self.is_peak & (self.held >= threshold)

    def counts(self, threshold: float = PEAK_THRESHOLD) -> Tensor:
        """How many of them each map has, float[N]."""
        return self.found(threshold).sum(dim=(1, 2)).float()

    def positions(self, threshold: float = PEAK_THRESHOLD) -> list[NDArray[np.float32]]:
        """Where they lie, refined below a pixel: for each map float32[K, 2] (x, y)."""
        index, ys, xs = (part.numpy() for part in torch.nonzero(self.found(threshold), as_tuple=True))
        padded = F.pad(self.density, (1, 1, 1, 1)).numpy()
        near = np.arange(3)
        windows = padded[index[:, None, None], ys[:, None, None] + near[:, None], xs[:, None, None] + near]  # (K, 3, 3)
        weight = np.maximum(windows.sum(axis=(1, 2)), 1e-12)
        offsets = near.astype(np.float32) - 1
        dx, dy = windows.sum(axis=1) @ offsets / weight, windows.sum(axis=2) @ offsets / weight
        points = np.stack([xs + 0.5 + dx, ys + 0.5 + dy], axis=1).astype(np.float32)
        return np.split(points, np.searchsorted(index, np.arange(1, len(self.density))))
