"""`read_region`: the bytes of a file to a verified region image; `strip_metadata`: to the bytes that may be stored."""

from __future__ import annotations

import hashlib
from collections.abc import Callable
from typing import Final

import numpy as np

from her2core.errors import ImageSizeError
from her2core.imaging import mapping
from her2core.imaging.jpeg import JpegFile, parse_jpeg
from her2core.imaging.kinds import extension_note, kind_of
from her2core.imaging.mapping import ChannelPreview, names_tell
from her2core.imaging.picture import ChannelMap, SourceFile
from her2core.imaging.png import parse_png
from her2core.imaging.region import DEFAULT_LIMITS, MB, ImageLimits, RegionImage
from her2core.imaging.samples import hide_transparent, refuse_no_fluorescence, to_8_bits, turn_upright
from her2core.imaging.tiff import parse_tiff

__all__ = ["channel_names", "channel_previews", "exchanged_channels", "names_tell", "read_region", "strip_metadata"]

_PARSERS: Final[dict[str, Callable[[bytes], SourceFile]]] = {"JPEG": parse_jpeg, "PNG": parse_png, "TIFF": parse_tiff}

NO_SCALE_NOTE: Final = (
    "The file does not state a scale (µm per pixel) that can be trusted. Enter it if you know it: without it sizes "
    "cannot be given in µm."
)


def read_region(
    data: bytes, filename: str, limits: ImageLimits = DEFAULT_LIMITS, *, channels: ChannelMap | None = None
) -> RegionImage:
    """The region image in `data`, the bytes of a JPEG, PNG or TIFF file called `filename`.

    What the file is and how large it is gets judged by its structure before a pixel is decoded; of its name only the
    ending matters. `channels` says which channel of the file shows which probe where the file cannot, or where it is
    not red HER2, green CEP17, blue DAPI. Raises UnreadableImageError, ImageSizeError or NotFluorescenceError; the
    text says what to do and holds nothing from the file.
    """
    kind, source = _parsed(data, limits)
    if isinstance(source, JpegFile) and not limits.damaged:
        source.refuse_damage()
    picture = source.decode(channels)
    samples, notes = picture.samples, extension_note(filename, kind) + picture.notes
    if picture.alpha is not None:
        samples, more = hide_transparent(samples, picture.alpha)
        notes += more
    bit_depth = 8 * samples.dtype.itemsize
    pixels, more = to_8_bits(samples)
    notes += more
    refuse_no_fluorescence(pixels)
    if picture.um_per_px is None:
        notes += (NO_SCALE_NOTE,)
    return RegionImage(
        pixels_rgb=np.require(turn_upright(pixels, picture.orientation), requirements=["C", "W"]),
        um_per_px=picture.um_per_px,
        source_format=source.format_name,
        bit_depth=bit_depth,
        sha256=hashlib.sha256(data).hexdigest(),
        notes=notes,
    )


def strip_metadata(data: bytes, limits: ImageLimits = DEFAULT_LIMITS, *, channels: ChannelMap | None = None) -> bytes:
    """The same image without whatever else the file says: names, comments, dates, places, devices, previews.

    The coded pixels are copied, not coded again, so `read_region` makes the same pixels, scale and channels of the
    result. Stripping twice changes nothing more. With `channels` the result says by itself which channel shows which
    probe, as a TIFF stack where the file was one colour image. Raises as `read_region` does for what it cannot take
    apart.
    """
    source = _parsed(data, limits)[1]
    return source.stripped() if channels is None else mapping.with_names(source, channels)


def channel_names(data: bytes, limits: ImageLimits = DEFAULT_LIMITS) -> tuple[str, ...]:
    """The channels of the file in their order, to choose a ChannelMap from. Raises as `read_region` does."""
    return _parsed(data, limits)[1].channel_names


def channel_previews(
    data: bytes, limits: ImageLimits = DEFAULT_LIMITS, *, side_px: int = 320
) -> tuple[ChannelPreview, ...]:
    """The channels of the file as small pictures, to choose a ChannelMap by eye. Raises as `read_region` does."""
    return mapping.preview(_parsed(data, limits)[1], side_px)


def exchanged_channels(data: bytes, limits: ImageLimits = DEFAULT_LIMITS) -> ChannelMap | None:
    """The map of a file made with a probe kit whose HER2 is green and whose CEP17 is red or orange; None where the
    file names its channels by probe, or not at all. Raises as `read_region` does."""
    return mapping.exchanged(_parsed(data, limits)[1].channel_names)


def _parsed(data: bytes, limits: ImageLimits) -> tuple[str, SourceFile]:
    """The kind and the structure of a file whose declared size is within the limits."""
    if len(data) > limits.max_bytes:
        raise ImageSizeError(
            f"The file has {len(data) / MB:.0f} MB; at most {limits.max_bytes / MB:.0f} MB are taken. Export a "
            "smaller region, or ask the administrator to raise the limit."
        )
    kind = kind_of(data)
    source = _PARSERS[kind](data)
    width, height = source.width_px, source.height_px
    if min(width, height) < limits.min_side_px:
        raise ImageSizeError(
            f"The image is only {width} × {height} pixels: too small to show nuclei with their signals. Export the "
            f"region at full size, at least {limits.min_side_px} pixels each way."
        )
    if max(width, height) > limits.max_side_px or width * height > limits.max_pixels:
        raise ImageSizeError(
            f"The image is declared as {width} × {height} pixels; at most {limits.max_pixels / 1e6:.0f} million pixels "
            f"and {limits.max_side_px} on a side are read. Export a smaller region, or ask the administrator to raise "
            "the limit."
        )
    return kind, source
