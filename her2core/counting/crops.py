"""A nucleus at one size, whatever its size in the region: what stage 2 sees.

Every crop is a square around the centre of a nucleus' box, scaled so that the longer side of the box is
`NUCLEUS_PX`. Signals of all fields are then alike in size. A fourth plane marks the ellipse inside the box, so that the
network knows whose signals to count where neighbours reach into the crop.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np
import torch
from numpy.typing import NDArray
from PIL import Image
from torch import Tensor

from her2core.records import Box

__all__ = ["CROP_PX", "NUCLEUS_PX", "Crop", "cut", "sharpness", "to_input"]

NUCLEUS_PX = 64
CROP_PX = 80
_BLACK = (0, 0, 0)


@dataclass(frozen=True, slots=True)
class Crop:
    """Pixels uint8[S, S, 3] and how they lie in the region: region = crop / scale + (left, top).

    `half_axes_px`: half width and half height of the nucleus' box in crop pixels.
    """

    pixels_rgb: NDArray[np.uint8]
    left: float
    top: float
    scale: float
    half_axes_px: tuple[float, float]

    def to_region(self, x: float, y: float) -> tuple[float, float]:
        """A position of the crop in pixels of the region."""
        return x / self.scale + self.left, y / self.scale + self.top


def cut(pixels_rgb: NDArray[np.uint8], boxes: Sequence[Box], side_px: int = CROP_PX) -> list[Crop]:
    """One crop of `side_px` a box; black beyond the edge of the region. Scaling down averages, so no signal is lost.

    Raises ValueError for a box without area.
    """
    region = Image.fromarray(pixels_rgb)
    crops = []
    for x0, y0, x1, y1 in boxes:
        width, height = x1 - x0, y1 - y0
        if width <= 0 or height <= 0:
            raise ValueError(f"A nucleus box needs an area, not {width} x {height} px.")
        scale = NUCLEUS_PX / max(width, height)
        reach = side_px / scale / 2
        left, top = (x0 + x1) / 2 - reach, (y0 + y1) / 2 - reach
        # Pillow wants the box inside the image: crop whole pixels first (black outside), then scale the exact part.
        outer_left, outer_top = int(np.floor(left)) - 1, int(np.floor(top)) - 1
        outer_side = int(np.ceil(2 * reach)) + 3
        outer = region.crop((outer_left, outer_top, outer_left + outer_side, outer_top + outer_side))
        exact = (left - outer_left, top - outer_top, left - outer_left + 2 * reach, top - outer_top + 2 * reach)
        scaled = outer.resize((side_px, side_px), Image.Resampling.BILINEAR, box=exact)
        crops.append(Crop(np.asarray(scaled), left, top, scale, (width * scale / 2, height * scale / 2)))
    return crops


def sharpness(crops: Sequence[Crop]) -> NDArray[np.float32]:
    """How steep the DAPI edges of nuclei are against their contrast, float32[N]; falls as a nucleus leaves the focus.

    The 95th percentile of the gradient over the range from background to nucleus. It depends on magnification and
    camera: compare nuclei of one region.
    """
    dapi = np.stack([c.pixels_rgb[:, :, 2] for c in crops]).astype(np.float32)  # (N, S, S)
    along = np.arange(dapi.shape[-1], dtype=np.float32) + 0.5 - dapi.shape[-1] / 2
    values = np.empty(len(dapi), np.float32)
    for n, (plane, crop) in enumerate(zip(dapi, crops, strict=True)):
        half_x, half_y = crop.half_axes_px
        ring = (along / half_x) ** 2 + (along[:, None] / half_y) ** 2 < 1.2**2
        across = (plane[1:-1, 2:] - plane[1:-1, :-2]) / 2
        down = (plane[2:, 1:-1] - plane[:-2, 1:-1]) / 2
        steep = np.hypot(across, down)[ring[1:-1, 1:-1]]
        low, high = np.percentile(plane[ring], (2, 90))
        values[n] = np.percentile(steep, 95) / max(float(high - low), 4.0)
    return values


def to_input(pixels: Tensor, half_axes_px: Tensor) -> Tensor:
    """Network input float32[N, 4, S, S] of crops uint8 or float[N, 3, S, S] (0-255) and half axes float[N, 2] (x, y).

    Brightness is scaled by each crop: the brightest probe and DAPI levels of dim and bright fields become alike.
    """
    x = pixels.float() / 255  # (N, 3, S, S)
    level = torch.quantile(x.flatten(2), 0.995, dim=2)[:, :, None, None]  # (N, 3, 1, 1)
    x = x / (0.5 * level + 0.5 * level.amax(dim=1, keepdim=True) + 0.02)
    side = x.shape[-1]
    along = torch.arange(side, device=x.device, dtype=x.dtype) + 0.5 - side / 2  # (S,)
    dx = (along[None, :] / half_axes_px[:, :1])[:, None, :]  # (N, 1, S)
    dy = (along[None, :] / half_axes_px[:, 1:])[:, :, None]  # (N, S, 1)
    inside = torch.sigmoid((1.08 - torch.sqrt(dx**2 + dy**2)) * 14)[:, None]  # (N, 1, S, S)
    return torch.cat([x, inside], dim=1)
