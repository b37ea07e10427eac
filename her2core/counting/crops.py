"""A nucleus at one size, whatever its size in the region: what stage 2 sees.

Every crop is a square around the centre of a nucleus' box, scaled so that the longer side of the box has one length
(`CropSize`). Signals of all fields are then alike in size. A plane marks the ellipse inside the box, so that the
network knows whose signals to count where neighbours reach into the crop; two more show the probes with their contrast
turned up.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any, Self

import numpy as np
import torch
import torch.nn.functional as F
from numpy.typing import NDArray
from PIL import Image
from torch import Tensor

from her2core.counting.planes import arsinh, medians
from her2core.records import Box

__all__ = [
    "ELLIPSE_PLANE",
    "HER2_UNITS_PLANE",
    "INPUT_PLANES",
    "UNITS_SCALE",
    "Crop",
    "CropSize",
    "as_tensors",
    "cut",
    "sharpness",
    "spread_out",
    "to_input",
]

INPUT_PLANES = 8
ELLIPSE_PLANE = 3
HER2_UNITS_PLANE = 6  # HER2 in typical signals of the region, divided by:
UNITS_SCALE = 2
_MOST_UNITS = 8.0
_LEAST_NOISE = 1 / 255
_BLACK = 6 / 255
_RAYS = 48
_STEP = 5  # of the 23 radii along a ray, over which a sharp outline falls


@dataclass(frozen=True, slots=True)
class CropSize:
    """Sides of a crop and of a nucleus in it, px. The counter that learned from such crops has them in its card."""

    side_px: int = 80
    nucleus_px: int = 64

    def __post_init__(self) -> None:
        if not 16 <= self.nucleus_px <= self.side_px <= 512 or self.side_px % 4:  # what is pooled is even
            raise ValueError("a crop has 16 to 512 px in steps of 4, and a nucleus no more than its crop")

    def to_config(self) -> dict[str, int]:
        """As in the card's `config`."""
        return {"crop_px": self.side_px, "nucleus_px": self.nucleus_px}

    @classmethod
    def from_config(cls, config: Mapping[str, Any]) -> Self:
        """Inverse of `to_config`; what is missing is as it was before a card could say it. ValueError for no sizes."""
        return cls(int(config.get("crop_px", 80)), int(config.get("nucleus_px", 64)))


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


def _window(pixels_rgb: NDArray[np.uint8], left: int, top: int, side_px: int) -> NDArray[np.uint8]:
    """A square of whole pixels, black where it reaches beyond the region."""
    height_px, width_px = pixels_rgb.shape[:2]
    x0, y0, x1, y1 = max(left, 0), max(top, 0), min(left + side_px, width_px), min(top + side_px, height_px)
    window = np.zeros((side_px, side_px, 3), np.uint8)
    if x1 > x0 and y1 > y0:
        window[y0 - top : y1 - top, x0 - left : x1 - left] = pixels_rgb[y0:y1, x0:x1]
    return window


def cut(pixels_rgb: NDArray[np.uint8], boxes: Sequence[Box], size: CropSize) -> list[Crop]:
    """One crop a box; black beyond the edge of the region. Scaling down averages, so no signal is lost.

    Raises ValueError for a box without area.
    """
    crops = []
    for x0, y0, x1, y1 in boxes:
        width, height = x1 - x0, y1 - y0
        if width <= 0 or height <= 0:
            raise ValueError(f"A nucleus box needs an area, not {width} x {height} px.")
        scale = size.nucleus_px / max(width, height)
        reach = size.side_px / scale / 2
        left, top = (x0 + x1) / 2 - reach, (y0 + y1) / 2 - reach
        # Pillow wants the box inside the image: take whole pixels first (black outside), then scale the exact part.
        outer_left, outer_top = int(np.floor(left)) - 1, int(np.floor(top)) - 1
        outer_side = int(np.ceil(2 * reach)) + 3
        outer = Image.fromarray(_window(pixels_rgb, outer_left, outer_top, outer_side))
        exact = (left - outer_left, top - outer_top, left - outer_left + 2 * reach, top - outer_top + 2 * reach)
        scaled = outer.resize((size.side_px, size.side_px), Image.Resampling.BILINEAR, box=exact)
        crops.append(Crop(np.asarray(scaled), left, top, scale, (width * scale / 2, height * scale / 2)))
    return crops


def spread_out(boxes: Sequence[Box], most: int) -> Sequence[Box]:
    """At most `most` of the boxes, taken evenly from all over the region whatever their order."""
    ordered = sorted(boxes)
    return [ordered[i * len(ordered) // most] for i in range(most)] if len(ordered) > most else ordered


def as_tensors(crops: Sequence[Crop]) -> tuple[Tensor, Tensor]:
    """Pixels uint8[N, 3, S, S] and half axes float[N, 2] (x, y, px) of crops."""
    pixels = torch.from_numpy(np.stack([c.pixels_rgb for c in crops])).permute(0, 3, 1, 2)
    return pixels, torch.tensor([c.half_axes_px for c in crops])


def sharpness(crops: Sequence[Crop]) -> NDArray[np.float32]:
    """How steeply DAPI falls at the outline of nuclei, against its contrast there, float32[N]; 1 falls at once.

    Measured along rays from the centre; neighbours hide the outline on some, so only rays with contrast count, and of
    these the lower quarter. It depends on magnification and camera: compare nuclei of one region. On rendered nuclei it
    tells those out of focus from the others with an area under the curve of 0.98.
    """
    dapi = torch.from_numpy(np.stack([c.pixels_rgb[:, :, 2] for c in crops])).float()[:, None]  # (N, 1, S, S)
    half = torch.tensor([c.half_axes_px for c in crops])[:, :, None, None] / (dapi.shape[-1] / 2)  # (N, 2, 1, 1)
    angles = torch.arange(_RAYS)[None, :, None] * (2 * torch.pi / _RAYS)
    radii = torch.linspace(0.7, 1.2, 23)[None, None, :]  # of the box' half axes
    rays = torch.stack([half[:, 0] * torch.cos(angles) * radii, half[:, 1] * torch.sin(angles) * radii], dim=-1)
    # Rays that leave the crop go on as it ends: black there would be the sharpest outline of all.
    along = F.grid_sample(dapi, rays, padding_mode="border", align_corners=False)[:, 0]  # (N, rays, radii)
    steepest = (along[..., :-_STEP] - along[..., _STEP:]).amax(dim=-1).clamp(min=0)  # 0: brighter outside
    contrast = along.amax(dim=-1) - along.amin(dim=-1)
    clear = contrast >= 0.6 * contrast.quantile(0.8, dim=1, keepdim=True)
    relative = torch.where(clear, steepest / contrast.clamp(min=4), torch.nan)
    return np.asarray(relative.nanquantile(0.25, dim=1).numpy(), np.float32)


def _stretched(above: Tensor, inside: Tensor) -> Tensor:
    """Probes above their median, float[N, 2, S, S], as multiples of their fluctuation in the nucleus, compressed: faint
    and bright signals become alike, as when a reader turns up the contrast. inside: bool[N, 1, S, S]."""
    below = medians(-above, inside & (above < 0))  # signals are above
    noise = 1.4826 * below[:, :, None, None] + _LEAST_NOISE
    return arsinh(above / (3 * noise)) / 3


def _quantile_995(planes: Tensor) -> Tensor:
    """The 0.995 quantile of planes float[N, C, S, S], float[N, C, 1, 1], without sorting all of their pixels."""
    flat = planes.flatten(2)
    at = 0.995 * (flat.shape[2] - 1)
    largest = flat.topk(flat.shape[2] - int(at), dim=2).values
    return torch.lerp(largest[..., -1], largest[..., -2], at - int(at))[:, :, None, None]


def to_input(pixels: Tensor, half_axes_px: Tensor, unmixing: Tensor, unit: Tensor) -> Tensor:
    """Network input float32[N, INPUT_PLANES, S, S] of crops uint8 or float[N, 3, S, S] (0-255), half axes float[N, 2]
    (x, y), unmixing float[N, 2, 3] and unit float[N, 2] of their regions (`region_context`).

    Planes: RGB, scaled by the brightness of each crop, so that dim and bright fields become alike; the ellipse of the
    nucleus; HER2 and CEP17 without the light of other stains, against their fluctuation inside it (`_stretched`) and as
    multiples of a typical signal of the region.
    """
    raw = pixels.float() / 255  # (N, 3, S, S)
    level = _quantile_995(raw)  # (N, 3, 1, 1)
    x = raw / (0.5 * level + 0.5 * level.amax(dim=1, keepdim=True) + 0.02)
    side = x.shape[-1]
    along = torch.arange(side, device=x.device, dtype=x.dtype) + 0.5 - side / 2  # (S,)
    dx = (along[None, :] / half_axes_px[:, :1])[:, None, :]  # (N, 1, S)
    dy = (along[None, :] / half_axes_px[:, 1:])[:, :, None]  # (N, S, 1)
    ellipse = torch.sigmoid((1.08 - torch.sqrt(dx**2 + dy**2)) * 14)[:, None]  # (N, 1, S, S)
    seen = (ellipse > 0.5) & (raw.amax(dim=1, keepdim=True) > _BLACK)  # black is beyond the image
    probes = torch.einsum("npc,nchw->nphw", unmixing.to(raw), raw)
    above = probes - medians(probes, seen)[:, :, None, None]
    against_unit = above / (unit.to(raw)[:, :, None, None] / 255)
    return torch.cat([x, ellipse, _stretched(above, seen), against_unit.clamp(-1, _MOST_UNITS) / UNITS_SCALE], dim=1)
