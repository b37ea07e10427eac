"""A region image: verified pixels and what is known of them."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Final

import numpy as np
import numpy.typing as npt

from her2core.settings import Settings

__all__ = ["ACCEPTED", "DEFAULT_LIMITS", "MB", "ImageLimits", "PixelsRGB", "RegionImage"]

PixelsRGB = npt.NDArray[np.uint8]

MB: Final = 1 << 20
"""Bytes of a megabyte of the settings, as browsers and Streamlit's uploader count them."""


@dataclass(frozen=True, slots=True)
class ImageLimits:
    """What is refused before a pixel is decoded."""

    max_bytes: int = 200 * MB
    """The largest file, in bytes."""

    max_pixels: int = 64_000_000
    """The largest image, in pixels as its header declares them."""

    max_side_px: int = 30_000
    """The longest side, in pixels."""

    min_side_px: int = 64
    """The shortest side, in pixels: less cannot hold a whole nucleus with its surroundings."""

    damaged: bool = False
    """Whether a JPEG file is read although its coded pixels do not decode without errors."""

    @staticmethod
    def of(settings: Settings) -> ImageLimits:
        """The limits that the laboratory has set."""
        return ImageLimits(max_bytes=settings.max_upload_mb * MB, max_pixels=settings.max_image_mpx * 1_000_000)


DEFAULT_LIMITS = ImageLimits()

ACCEPTED = ImageLimits(max_bytes=2**40, max_pixels=2**31, max_side_px=2**31, min_side_px=1, damaged=True)
"""For the region of a case: it was accepted once, and is read whatever the laboratory's limits are today."""


@dataclass(frozen=True, slots=True, eq=False)
class RegionImage:
    """One region as it is analysed and shown.

    `pixels_rgb` is uint8 (H, W, 3), C-contiguous: red HER2, green CEP17, blue DAPI. `um_per_px` is None
    where the file states no scale that can be trusted. `bit_depth` is the file's, per channel; `sha256` is of the
    bytes given to `read_region`. `notes` are sentences of advice for the pathologist.
    """

    pixels_rgb: PixelsRGB
    um_per_px: float | None
    source_format: str
    bit_depth: int
    sha256: str
    notes: tuple[str, ...] = ()

    def __post_init__(self) -> None:
        shape, contiguous = self.pixels_rgb.shape, self.pixels_rgb.flags.c_contiguous
        if self.pixels_rgb.dtype != np.uint8 or len(shape) != 3 or shape[2] != 3 or not contiguous:
            raise ValueError("a region image is uint8 (H, W, 3), contiguous")

    @property
    def width_px(self) -> int:
        """Pixels from left to right."""
        return int(self.pixels_rgb.shape[1])

    @property
    def height_px(self) -> int:
        """Pixels from top to bottom."""
        return int(self.pixels_rgb.shape[0])
