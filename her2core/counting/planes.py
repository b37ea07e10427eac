"""Filters on stacks of small planes, several times quicker on a CPU than convolutions and poolings of single planes."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import fields
from typing import Any, TypeVar, cast

import numpy as np
import torch
import torch.nn.functional as F
from numpy.typing import NDArray
from torch import Tensor

__all__ = ["arsinh", "blur_matrix", "highest", "joined", "median", "medians"]

Parts = TypeVar("Parts")


def joined(parts: Sequence[Parts]) -> Parts:
    """Dataclasses of tensors float[N, ...] of several batches as one."""
    one = parts[0]
    names = (field.name for field in fields(cast(Any, one)))
    return type(one)(*(torch.cat([getattr(part, name) for part in parts]) for name in names))


def blur_matrix(side_px: int, sigma_px: float, reach_px: int, *, repeat_border: bool) -> Tensor:
    """A matrix float[S, S] that blurs columns by a Gaussian cut off at `reach_px`: `m @ planes @ m.T` blurs planes.

    Beyond the border lies nothing, or its pixels are repeated.
    """
    offsets = torch.arange(-reach_px, reach_px + 1)
    kernel = torch.exp(-(offsets**2) / (2 * sigma_px**2))
    kernel = kernel / kernel.sum()
    matrix = torch.zeros(side_px, side_px)
    rows = torch.arange(side_px)
    for offset, weight in zip(offsets.tolist(), kernel, strict=True):
        columns = rows + offset
        if repeat_border:
            matrix[rows, columns.clamp(0, side_px - 1)] += weight
        else:
            within = (columns >= 0) & (columns < side_px)
            matrix[rows[within], columns[within]] += weight
    return matrix


def highest(planes: Tensor, reach_px: int) -> Tensor:
    """The highest value in the square of `reach_px` around every pixel of planes float[N, S, S], float[N, S, S]."""
    side = planes.shape[-1]
    padded = F.pad(planes, (reach_px,) * 4, value=-torch.inf)
    for dim in (1, 2):
        best = padded.narrow(dim, 0, side)
        for offset in range(1, 2 * reach_px + 1):
            best = torch.maximum(best, padded.narrow(dim, offset, side))
        padded = best
    return padded


def _median(values: NDArray[np.float32]) -> float:
    at = (len(values) - 1) // 2
    return float(np.partition(values, at)[at]) if len(values) else 0.0


def median(values: Tensor) -> float:
    """The median of float[K], the lower one where K is even; 0 without values."""
    return _median(values.cpu().numpy())


def medians(planes: Tensor, inside: Tensor) -> Tensor:
    """Medians float[N, C] of planes float[N, C, S, S] where `inside` bool[N, C or 1, S, S]; 0 where that is nowhere."""
    flat, chosen = planes.flatten(2), inside.expand_as(planes).flatten(2)
    if planes.device.type != "cpu":
        return torch.where(chosen, flat, torch.nan).nanmedian(dim=2).values.nan_to_num(0)
    pairs = zip(flat.flatten(0, 1).numpy(), chosen.flatten(0, 1).numpy(), strict=True)
    return planes.new_tensor([_median(plane[mask]) for plane, mask in pairs]).reshape(planes.shape[:2])


def arsinh(values: Tensor) -> Tensor:
    """`torch.asinh` to 3e-7, many times quicker on a CPU."""
    size = values.abs()
    return torch.log(size + torch.sqrt(size * size + 1)).copysign(values)
