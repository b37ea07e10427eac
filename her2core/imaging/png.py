"""PNG files: their chunks, checked by checksum, and the same file without metadata.

Chunks follow the PNG specification (ISO/IEC 15948). Kept are the header, the image data, the scale and, written
anew, the orientation. Text, time, profiles and private chunks are not.
"""

from __future__ import annotations

import struct
import zlib
from dataclasses import dataclass
from typing import Final

import numpy as np
from PIL import PngImagePlugin

from her2core.errors import NotFluorescenceError, UnreadableImageError
from her2core.imaging.exif import minimal_exif, orientation_of
from her2core.imaging.picture import (
    RED_GREEN_BLUE,
    ChannelMap,
    Picture,
    Samples,
    decode_with,
    take_channels,
    truncated,
    trusted_um_per_px,
)

__all__ = ["PNG_SIGNATURE", "PngFile", "parse_png"]

PNG_SIGNATURE: Final = b"\x89PNG\r\n\x1a\n"

_NAME: Final = "PNG"
_GREY, _RGB, _PALETTE, _GREY_ALPHA, _RGBA = 0, 2, 3, 4, 6
_CHANNELS: Final = {_GREY: 1, _RGB: 3, _PALETTE: 1, _GREY_ALPHA: 2, _RGBA: 4}
_BIT_DEPTHS: Final = {
    _GREY: (1, 2, 4, 8, 16),
    _RGB: (8, 16),
    _PALETTE: (1, 2, 4, 8),
    _GREY_ALPHA: (8, 16),
    _RGBA: (8, 16),
}
# Adam7: first column, first row, column step, row step of each pass.
_PASSES: Final = ((0, 0, 8, 8), (4, 0, 8, 8), (0, 4, 4, 8), (2, 0, 4, 4), (0, 2, 2, 4), (1, 0, 2, 2), (0, 1, 1, 2))
# Deflate cannot expand more than this many times.
_MAX_EXPANSION: Final = 1032


@dataclass(frozen=True, slots=True)
class PngFile:
    """A PNG file whose chunks are whole."""

    width_px: int
    height_px: int
    bit_depth: int
    colour_type: int
    interlaced: bool
    coded: bytes
    has_colour_key: bool
    physical: bytes | None
    orientation: int

    @property
    def format_name(self) -> str:
        """The name of the format."""
        return _NAME

    @property
    def channel_names(self) -> tuple[str, ...]:
        """PNG has no names but those of the colours."""
        return ("red", "green", "blue") if self.colour_type in (_RGB, _RGBA) else ("grey",)

    @property
    def um_per_px(self) -> float | None:
        """Micrometres per pixel, if the file states them and they can be a microscope's."""
        if self.physical is None:
            return None
        x, y, unit = struct.unpack(">IIB", self.physical)
        return trusted_um_per_px(1e6 / x, 1e6 / y) if unit == 1 and x and y else None

    def stripped(self) -> bytes:
        """The file without metadata; the coded pixels are the same bytes. Only for colour images without palette."""
        self._refuse_what_has_no_channels()
        return self._with_coded(self.coded)

    def decode(self, channels: ChannelMap | None = None) -> Picture:
        """The pixels. Raises NotFluorescenceError for greyscale and palettes, UnreadableImageError for damage."""
        self._refuse_what_has_no_channels()
        # Stored, not compressed: so Pillow undoes the line filters only, and twice costs little (16 bits below).
        plain = self._with_coded(zlib.compress(self._inflated(), level=0))
        mode = "RGB" if self.colour_type == _RGB else "RGBA"
        samples: Samples
        if self.bit_depth == 8:
            samples = decode_with(PngImagePlugin.PngImageFile, plain, _NAME)
        else:
            # Pillow unpacks one byte of the two; the names say which, for samples whose first byte is the high one.
            high = decode_with(PngImagePlugin.PngImageFile, plain, _NAME, rawmode=f"{mode};16B")
            low = decode_with(PngImagePlugin.PngImageFile, plain, _NAME, rawmode=f"{mode};16L")
            samples = high.astype(np.uint16) * np.uint16(256) + low
        if samples.shape != (self.height_px, self.width_px, len(mode)):
            raise truncated(_NAME)
        alpha = samples[:, :, 3] if self.colour_type == _RGBA else None
        samples = take_channels(samples, channels or RED_GREEN_BLUE)
        return Picture(samples, alpha, self.orientation, self.um_per_px)

    def _refuse_what_has_no_channels(self) -> None:
        if self.colour_type in (_GREY, _GREY_ALPHA):
            raise NotFluorescenceError(
                "The image is greyscale: it has no colour channels, so HER2 and CEP17 cannot be told apart. Export the "
                "region as an RGB colour image with HER2 in red, CEP17 in green and DAPI in blue."
            )
        if self.colour_type == _PALETTE:
            raise NotFluorescenceError(
                "The image has been reduced to a palette of at most 256 colours, in which weak signals are lost. "
                "Export the region in full colour (RGB, 24 or 48 bits)."
            )
        if self.has_colour_key:
            raise UnreadableImageError(
                "One colour of the image is marked as transparent, so the signals under it cannot be seen. Export the "
                "region without transparency."
            )

    def _with_coded(self, coded: bytes) -> bytes:
        """A PNG file of the same header, scale and orientation around coded pixels."""
        header = struct.pack(
            ">IIBBBBB", self.width_px, self.height_px, self.bit_depth, self.colour_type, 0, 0, self.interlaced
        )
        parts = [PNG_SIGNATURE, _chunk(b"IHDR", header)]
        if self.physical is not None:
            parts.append(_chunk(b"pHYs", self.physical))
        if self.orientation != 1:
            parts.append(_chunk(b"eXIf", minimal_exif(self.orientation)))
        return b"".join([*parts, _chunk(b"IDAT", coded), _chunk(b"IEND", b"")])

    def _inflated(self) -> bytes:
        """The filtered lines, exactly as many as the header declares: no more is ever inflated."""
        size = self._lines_size()
        if size > len(self.coded) * _MAX_EXPANSION:
            raise truncated(_NAME)
        inflater = zlib.decompressobj()
        try:
            lines = inflater.decompress(self.coded, size)
            # Runs the checksum over what was inflated; more than a byte of surplus is not asked for.
            surplus = inflater.decompress(inflater.unconsumed_tail, 1)
        except zlib.error as error:
            raise truncated(_NAME) from error
        if len(lines) != size or surplus or not inflater.eof:
            raise truncated(_NAME)
        return lines

    def _lines_size(self) -> int:
        """Bytes of all lines, each with its filter byte."""
        bits = self.bit_depth * _CHANNELS[self.colour_type]
        if not self.interlaced:
            return self.height_px * (1 + (self.width_px * bits + 7) // 8)
        total = 0
        for x0, y0, dx, dy in _PASSES:
            width, height = -(-(self.width_px - x0) // dx), -(-(self.height_px - y0) // dy)
            if width > 0 and height > 0:
                total += height * (1 + (width * bits + 7) // 8)
        return total


def parse_png(data: bytes) -> PngFile:
    """The structure of a PNG file, each chunk checked; nothing is decoded.

    Raises UnreadableImageError for a file that is cut, damaged, or an animation.
    """
    header: bytes | None = None
    coded: list[bytes] = []
    has_colour_key, physical, orientation, at, ended = False, None, 1, len(PNG_SIGNATURE), False
    while not ended:
        if at + 12 > len(data):
            raise truncated(_NAME)
        length, kind = struct.unpack_from(">I4s", data, at)
        end = at + 12 + length
        if end > len(data) or (header is None) != (kind == b"IHDR"):
            raise truncated(_NAME)
        body = data[at + 8 : end - 4]
        if zlib.crc32(body, zlib.crc32(kind)) != struct.unpack_from(">I", data, end - 4)[0]:
            raise truncated(_NAME)
        at = end
        if kind == b"IHDR":
            header = body
        elif kind == b"IDAT":
            coded.append(body)
        elif kind == b"acTL":
            raise UnreadableImageError(
                "The PNG file is an animation of several images. Export one still image for each region."
            )
        elif kind == b"tRNS":
            has_colour_key = True
        elif kind == b"pHYs" and length == 9:
            physical = body
        elif kind == b"eXIf":
            orientation = orientation_of(body)
        ended = kind == b"IEND"
    if header is None or len(header) != 13 or not coded:
        raise truncated(_NAME)
    width, height, bit_depth, colour_type, compression, filtering, interlace = struct.unpack(">IIBBBBB", header)
    if (
        width == 0
        or height == 0
        or bit_depth not in _BIT_DEPTHS.get(colour_type, ())
        or (compression, filtering) != (0, 0)
        or interlace > 1
    ):
        raise truncated(_NAME)
    return PngFile(
        width_px=width,
        height_px=height,
        bit_depth=bit_depth,
        colour_type=colour_type,
        interlaced=interlace == 1,
        coded=b"".join(coded),
        has_colour_key=has_colour_key,
        physical=physical,
        orientation=orientation,
    )


def _chunk(kind: bytes, body: bytes) -> bytes:
    return struct.pack(">I", len(body)) + kind + body + struct.pack(">I", zlib.crc32(body, zlib.crc32(kind)))
