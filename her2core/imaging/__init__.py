"""Bytes to verified pixels: formats, limits, scale, suitability measures."""

from her2core.imaging.large import LargeImage, WindowedPixels, measured, open_image
from her2core.imaging.mapping import ChannelPreview
from her2core.imaging.picture import ChannelMap
from her2core.imaging.reading import (
    channel_names,
    channel_previews,
    exchanged_channels,
    names_tell,
    read_region,
    strip_metadata,
)
from her2core.imaging.region import ACCEPTED, DEFAULT_LIMITS, MB, ImageLimits, PixelsRGB, RegionImage

__all__ = [
    "ACCEPTED",
    "DEFAULT_LIMITS",
    "MB",
    "ChannelMap",
    "ChannelPreview",
    "ImageLimits",
    "LargeImage",
    "PixelsRGB",
    "RegionImage",
    "WindowedPixels",
    "channel_names",
    "channel_previews",
    "exchanged_channels",
    "measured",
    "names_tell",
    "open_image",
    "read_region",
    "strip_metadata",
]
