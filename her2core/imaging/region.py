"""A region image: verified pixels and what is known of them."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
import numpy.typing as npt

__all__ = ["DEFAULT_LIMITS", "ImageLimits", "PixelsRGB", "RegionImage"]

PixelsRGB = npt.NDArray[np.uint8]


@dataclass(frozen=True, slots=True)
class ImageLimits:
    """What is refused before a pixel is decoded."""

    max_bytes: int = 200_000_000
    """The largest file, in bytes."""

    max_pixels: int = 64_000_000
    """The largest image, in pixels as its header declares them."""

    max_side_px: int = 30_000
    """The longest side, in pixels."""

    min_side_px: int = 64
    """The shortest side, in pixels: less cannot hold a whole nucleus with its surroundings."""


DEFAULT_LIMITS = ImageLimits()


@dataclass(frozen=True, slots=True, eq=False)
class RegionImage:
    """One region as it is analysed and shown.

    `pixels_rgb` is uint8 (H, W, 3), C-contiguous and read-only: red HER2, green CEP17, blue DAPI. `um_per_px` is None
    where the file states no scale that can be trusted. `bit_depth` is the file's, per channel; `sha256` is of the
    bytes given to `read_region`. `notes` are sentences of advice for the pathologist.
    """

    pixels_rgb: PixelsRGB
    um_per_px: float | None
    source_format: str
    bit_depth: int
    sha256: str
    notes: tuple[str, ...] = ()

    @property
    def width_px(self) -> int:
        """Pixels from left to right."""
        return int(self.pixels_rgb.shape[1])

    @property
    def height_px(self) -> int:
        """Pixels from top to bottom."""
        return int(self.pixels_rgb.shape[0])
