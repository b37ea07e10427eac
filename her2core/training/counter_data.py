"""Crops of rendered or annotated nuclei and their signals; how a batch is varied and turned into targets."""

from __future__ import annotations

import json
from collections.abc import Callable
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any

import numpy as np
import torch
import torch.nn.functional as F
from PIL import Image
from torch import Tensor

from her2core.counting.context import region_context
from her2core.counting.crops import Crop, CropSize, as_tensors, cut
from her2core.counting.network import DENSITY_SIGMA_PX
from her2core.errors import TrainingError
from her2core.records import Channel

__all__ = ["Batch", "CropSet", "augment", "identity", "load_crops", "numbered"]

# Stored crops leave room to turn and shift the final crop without black corners.
STORED_PX = 112
_LARGEST_CROP_PX = 80
_MAX_SIGNALS = 60
_CHANNEL_INDEX = {Channel.HER2.value: 0, Channel.CEP17.value: 1}


@dataclass(frozen=True, slots=True)
class CropSet:
    """N nuclei of a folder.

    pixels: uint8[N, 3, STORED_PX, STORED_PX]; of these the counter sees `size`. half_axes: float[N, 2] px.
    counts: float[N, 2]. clustered: float[N].
    signals: float[N, 2, M, 2], (x, y) in stored crop pixels, padded with nan. known: bool[N], signals have positions.
    unmixing: float[N, 2, 3] and unit: float[N, 2], the same for all nuclei of a region (`region_context`).
    region: int64[N], which region of the folder each is from; nuclei of a region lie one after another.
    scorable: bool[N], nuclei that a reader would score.
    """

    size: CropSize
    pixels: Tensor
    half_axes: Tensor
    unmixing: Tensor
    unit: Tensor
    counts: Tensor
    clustered: Tensor
    signals: Tensor
    known: Tensor
    region: Tensor
    scorable: Tensor

    def __len__(self) -> int:
        return len(self.counts)

    def select(self, index: Tensor) -> CropSet:
        """The nuclei at `index`, int64[K] or bool[N]."""
        names = (name for name in self.__dataclass_fields__ if name != "size")
        return CropSet(self.size, *(getattr(self, name)[index] for name in names))


@dataclass(frozen=True, slots=True)
class Batch:
    """Crops of the final size and their targets; `density` float[N, 2, S, S] sums to the counts where `known`.

    region: int64[N], numbered from 0 within the batch.
    """

    pixels: Tensor
    half_axes: Tensor
    unmixing: Tensor
    unit: Tensor
    counts: Tensor
    clustered: Tensor
    density: Tensor
    known: Tensor
    region: Tensor


def _positions(nucleus: dict[str, Any], crop: Crop, width_px: int, height_px: int) -> tuple[Tensor, list[int]]:
    """Signals float[2, M, 2] in pixels of `crop`, padded with nan, and their numbers; none outside the region."""
    positions = torch.full((2, _MAX_SIGNALS, 2), float("nan"))
    used = [0, 0]
    for signal in nucleus.get("signals", ()):
        channel = _CHANNEL_INDEX[signal["channel"]]
        inside = 0 <= signal["x"] < width_px and 0 <= signal["y"] < height_px
        if inside and used[channel] < _MAX_SIGNALS:
            x, y = (signal["x"] - crop.left) * crop.scale, (signal["y"] - crop.top) * crop.scale
            positions[channel, used[channel]] = torch.tensor([x, y])
            used[channel] += 1
    return positions, used


def load_crops(
    data_dir: Path,
    size: CropSize,
    images: set[str] | None = None,
    progress: Callable[[int, int], None] | None = None,
) -> CropSet:
    """All nuclei of the regions in `data_dir` (a truth.json folder), or of those named in `images`, for a counter whose
    crops have `size`.

    Raises TrainingError where the folder has no usable truth, and for crops that are too large to be stored.
    """
    if size.side_px > _LARGEST_CROP_PX:
        raise TrainingError(f"Counters learn from crops of up to {_LARGEST_CROP_PX} px, not of {size.side_px} px.")
    try:
        entries = json.loads((data_dir / "truth.json").read_text(encoding="utf-8"))
    except (OSError, ValueError) as error:
        raise TrainingError(f"{data_dir} holds no readable truth.json.") from error
    entries = [e for e in entries if e["nuclei"] and (images is None or e["image"] in images)]
    if not entries:
        raise TrainingError(f"{data_dir} holds no annotated nuclei to learn from.")
    pixels, axes, unmixing, unit, counts, clustered, signals, known, region_of, scorable = ([] for _ in range(10))
    for done, entry in enumerate(entries):
        region = np.asarray(Image.open(data_dir / entry["image"]).convert("RGB"))
        crops = cut(region, [tuple(n["box"]) for n in entry["nuclei"]], replace(size, side_px=STORED_PX))
        stored, half_axes = as_tensors(crops)
        margin = (STORED_PX - size.side_px) // 2
        seen = stored[:, :, margin:-margin, margin:-margin]  # as the counter will
        context = region_context(seen, half_axes)
        unmixing.append(context.unmixing.expand(len(crops), 2, 3))
        unit.append(context.unit.expand(len(crops), 2))
        pixels.append(stored)
        axes.append(half_axes)
        region_of += [done] * len(crops)
        for nucleus, crop in zip(entry["nuclei"], crops, strict=True):
            positions, used = _positions(nucleus, crop, region.shape[1], region.shape[0])
            known.append("signals" in nucleus)
            counts.append(used if known[-1] else (nucleus["her2"], nucleus["cep17"]))
            clustered.append(float(bool(nucleus.get("cluster", False))))
            signals.append(positions)
            scorable.append(bool(nucleus.get("scorable", True)))
        if progress is not None:
            progress(done + 1, len(entries))
    return CropSet(
        size,
        torch.cat(pixels),
        torch.cat(axes),
        torch.cat(unmixing),
        torch.cat(unit),
        torch.tensor(counts, dtype=torch.float32),
        torch.tensor(clustered),
        torch.stack(signals),
        torch.tensor(known),
        torch.tensor(region_of),
        torch.tensor(scorable),
    )


def _density(signals: Tensor, side_px: int) -> Tensor:
    """Density maps float[N, 2, side, side] of positions float[N, 2, M, 2]; each signal inside adds one in all."""
    along = torch.arange(side_px) + 0.5
    present = ~signals[..., 0].isnan()  # (N, 2, M)
    x, y = torch.nan_to_num(signals).unbind(-1)  # (N, 2, M) each
    gx = torch.exp(-((along - x[..., None]) ** 2) / (2 * DENSITY_SIGMA_PX**2))  # (N, 2, M, S)
    gy = torch.exp(-((along - y[..., None]) ** 2) / (2 * DENSITY_SIGMA_PX**2)) * present[..., None]
    # Gaussians cut by the border keep their mass, so that the map still sums to the count.
    gx = gx / gx.sum(-1, keepdim=True).clamp(min=1e-6)
    gy = gy / gy.sum(-1, keepdim=True).clamp(min=1e-6) * present[..., None]
    return torch.einsum("ncmy,ncmx->ncyx", gy, gx)


def numbered(region: Tensor) -> Tensor:
    """Regions int64[N], numbered from 0."""
    inverse: Tensor = torch.unique(region, return_inverse=True)[1]
    return inverse


def _warp(crops: CropSet, matrix: Tensor, half_axes: Tensor) -> Batch:
    """Apply `matrix` float[N, 2, 2] and a shift in its last column [N, 2, 3] (final crop to stored crop, px)."""
    n, side = len(crops), crops.size.side_px
    along = torch.arange(side) + 0.5 - side / 2
    ys, xs = torch.meshgrid(along, along, indexing="ij")
    final = torch.stack([xs, ys, torch.ones_like(xs)], -1).reshape(1, -1, 3)  # (1, S*S, 3)
    stored = final @ matrix.transpose(1, 2)  # (N, S*S, 2), px from the centre of the stored crop
    grid = (stored / (STORED_PX / 2)).reshape(n, side, side, 2)
    pixels = F.grid_sample(crops.pixels.float(), grid, mode="bilinear", padding_mode="zeros", align_corners=False)
    inverse = torch.linalg.inv(matrix[:, :, :2])  # (N, 2, 2)
    centred = crops.signals - STORED_PX / 2 - matrix[:, None, None, :, 2]  # (N, 2, M, 2)
    signals = torch.einsum("ncmj,nij->ncmi", centred, inverse) + side / 2
    return Batch(
        pixels,
        half_axes,
        crops.unmixing,
        crops.unit,
        crops.counts,
        crops.clustered,
        _density(signals, side),
        crops.known,
        numbered(crops.region),
    )


def identity(crops: CropSet) -> Batch:
    """The crops as stage 2 sees them when it counts."""
    matrix = torch.tensor([[1.0, 0, 0], [0, 1.0, 0]]).repeat(len(crops), 1, 1)
    return _warp(crops, matrix, crops.half_axes)


def _colours(batch: Batch, generator: torch.Generator) -> Batch:
    """Vary brightness, contrast, gamma, offset, crosstalk, sharpness and noise of crops, of one region all alike.

    Their context follows, nearly: it is an estimate where it is used.
    """
    pixels, region = batch.pixels, batch.region
    n = int(region.max()) + 1  # regions

    def uniform(low: float, high: float, *shape: int) -> Tensor:
        return (torch.rand(shape, generator=generator) * (high - low) + low)[region]

    def normal(spread: float, *shape: int) -> Tensor:
        return (torch.randn(shape, generator=generator) * spread)[region]

    gain = torch.exp(uniform(-0.35, 0.35, n, 3, 1, 1))
    mixing = torch.eye(3) + uniform(0, 0.12, n, 3, 3) * (uniform(0, 1, n, 3, 3) < 0.3)
    x = torch.einsum("nchw,ndc->ndhw", pixels * gain, mixing)
    unmixing = batch.unmixing @ torch.linalg.inv(mixing * gain[:, None, :, 0, 0])
    own = torch.diagonal(unmixing, dim1=1, dim2=2)[:, :, None]  # (N, 2, 1): each probe as bright as its channel
    unmixing = unmixing / own + normal(0.03, n, 2, 3)
    gamma = uniform(0.8, 1.25, n, 1, 1, 1)
    dark = x[:, :2].flatten(2).median(dim=2).values  # (N, 2)
    bright = dark + batch.unit * gain[:, :2, 0, 0]
    unit = 255 * ((bright / 255) ** gamma[:, :, 0, 0] - (dark / 255).clamp(min=0) ** gamma[:, :, 0, 0])
    unit = unit.clamp(min=1) * torch.exp(normal(0.12, n, 2))
    x = 255 * (x.clamp(0, 400) / 255) ** gamma
    x = x + uniform(-4, 14, n, 3, 1, 1) * (uniform(0, 1, n, 1, 1, 1) < 0.4)
    soft = F.avg_pool2d(x, 3, stride=1, padding=1, count_include_pad=False)
    # Little: the renderer saw to it that each labelled signal stands out; it has to stay so.
    x = x + (soft - x) * uniform(-0.4, 0.3, n, 1, 1, 1)
    noise = torch.randn(x.shape, generator=generator) * uniform(0, 2.5, n, 1, 1, 1)
    return replace(batch, pixels=(x + noise).clamp(0, 255), unmixing=unmixing, unit=unit)


def augment(crops: CropSet, generator: torch.Generator) -> Batch:
    """Turned, flipped, shifted, scaled and recoloured: the augmentation of the paper, widened."""
    n, size = len(crops), crops.size
    margin_px = (size.side_px - size.nucleus_px) / 2  # a nucleus stays within its crop
    most_px, most_log = 0.5 + 0.375 * margin_px, 0.04 + 0.01 * margin_px

    def uniform(low: float, high: float) -> Tensor:
        return torch.rand(n, generator=generator) * (high - low) + low

    quarter = torch.randint(0, 4, (n,), generator=generator) * (torch.pi / 2)
    tilt = uniform(-0.35, 0.35)
    scale = torch.exp(uniform(-most_log, most_log))
    flip = torch.where(torch.rand(n, generator=generator) < 0.5, -1.0, 1.0)
    angle = quarter + tilt
    cos, sin = torch.cos(angle) / scale, torch.sin(angle) / scale
    shift = torch.stack([uniform(-most_px, most_px), uniform(-most_px, most_px)], -1)
    matrix = torch.stack([torch.stack([cos * flip, -sin], -1), torch.stack([sin * flip, cos], -1)], 1)  # (N, 2, 2)
    # The box of a turned nucleus: exact for quarter turns, and close enough for the tilt of an ellipse.
    a, b = crops.half_axes.unbind(-1)
    half = torch.stack(
        [
            torch.hypot(a * torch.cos(angle), b * torch.sin(angle)),
            torch.hypot(a * torch.sin(angle), b * torch.cos(angle)),
        ],
        -1,
    )
    half = half * scale[:, None] * torch.exp(torch.rand(n, 2, generator=generator) * 0.14 - 0.07)
    batch = _warp(crops, torch.cat([matrix, shift[..., None]], -1), half)
    return _colours(batch, generator)
