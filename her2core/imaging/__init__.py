"""Bytes to verified pixels: formats, limits, scale, suitability measures."""

from her2core.imaging.reading import read_region
from her2core.imaging.region import DEFAULT_LIMITS, ImageLimits, PixelsRGB, RegionImage

__all__ = ["DEFAULT_LIMITS", "ImageLimits", "PixelsRGB", "RegionImage", "read_region"]
