"""JPEG files: their segments, what they say of quality, and the same file without metadata.

Segments follow ITU-T T.81 annex B. Only the ones that a decoder needs are kept: tables, frame, scans, and the
markers of JFIF and Adobe that say how colour is coded. Comments, EXIF, XMP, IPTC, colour profiles, previews, maker
notes and whatever follows the end of the image are not: they can name a patient, a place or a person. The one thing
worth keeping from EXIF, the orientation, is written anew.
"""

from __future__ import annotations

import re
import struct
from dataclasses import dataclass
from typing import Final

import numpy as np
import numpy.typing as npt
import simplejpeg
from PIL import JpegImagePlugin

from her2core.errors import NotFluorescenceError, UnreadableImageError
from her2core.imaging.exif import minimal_exif, orientation_of
from her2core.imaging.picture import (
    EXPORT_AGAIN,
    RED_GREEN_BLUE,
    ChannelMap,
    Picture,
    decode_with,
    take_channels,
    truncated,
    trusted_um_per_px,
)

__all__ = ["MIN_GOOD_QUALITY", "JpegFile", "parse_jpeg", "without_metadata"]

MIN_GOOD_QUALITY: Final = 85
"""JPEG quality (Independent JPEG Group's scale) below which small signals visibly lose contrast."""

_NAME: Final = "JPEG"
_SOI, _EOI, _SOS, _DQT, _COM, _APP0, _APP1, _APP14 = 0xD8, 0xD9, 0xDA, 0xDB, 0xFE, 0xE0, 0xE1, 0xEE
_APPLICATION: Final = range(0xE0, 0xF0)
_FRAMES: Final = frozenset({0xC0, 0xC1, 0xC2})
_UNSUPPORTED_FRAMES: Final = frozenset({0xC3, 0xC5, 0xC6, 0xC7, 0xC9, 0xCA, 0xCB, 0xCD, 0xCE, 0xCF})
_NEXT_MARKER: Final = re.compile(rb"\xff+[^\x00\xff\xd0-\xd7]")
_MAX_SCANS: Final = 64
_LEFT_OVER: Final = re.compile(r"(\d+) extraneous bytes before marker 0xd9")
_EXIF: Final = b"Exif\0\0"
# The mean of Annex K's luminance table, which the Independent JPEG Group's quality scales.
_MEAN_OF_STANDARD_TABLE: Final = 57.625


@dataclass(frozen=True, slots=True)
class _Segment:
    """A marker with its payload; for a scan, with the coded data that follow it."""

    marker: int
    payload: bytes
    coded: bytes = b""

    def to_bytes(self) -> bytes:
        head = struct.pack(">BBH", 0xFF, self.marker, len(self.payload) + 2)
        return head + self.payload + self.coded


@dataclass(frozen=True, slots=True)
class JpegFile:
    """A JPEG file whose structure is whole. `quality` is None where no luminance table was found."""

    segments: tuple[_Segment, ...]
    width_px: int
    height_px: int
    components: int
    colour_reduction: str
    quality: int | None
    orientation: int
    um_per_px: float | None

    @property
    def format_name(self) -> str:
        """The name of the format."""
        return _NAME

    @property
    def channel_names(self) -> tuple[str, ...]:
        """JPEG has no names but those of the colours."""
        return (
            ("red", "green", "blue")
            if self.components == 3
            else tuple(f"channel {i + 1}" for i in range(self.components))
        )

    def stripped(self) -> bytes:
        """The file without metadata; the coded pixels are the same bytes."""
        kept = list(self.segments)
        if self.orientation != 1:
            # EXIF wants to be first; readers also accept it behind JFIF, which wants the same.
            after_jfif = 1 if kept[0].marker == _APP0 else 0
            kept.insert(after_jfif, _Segment(_APP1, _EXIF + minimal_exif(self.orientation)))
        return b"\xff\xd8" + b"".join(segment.to_bytes() for segment in kept) + b"\xff\xd9"

    def refuse_damage(self) -> None:
        """Raises UnreadableImageError where the coded pixels are damaged, however whole the file looks.

        A JPEG decoder guesses on where its data make no sense, and Pillow does not pass on that it did: what follows
        is shifted or has other colours. A damage that happens to make sense is not noticed. Zeros that were filled in
        between the last pixel and the end of the image are none.
        """
        data = self.stripped()
        warned = _complaint(data, strict=True)
        if warned and not self._only_padded(warned) and not _complaint(data, strict=False):
            raise UnreadableImageError(
                "The JPEG file is damaged: some of its pixels cannot be read, and a decoder would make others up. Copy "
                f"it again from where it was made, or {EXPORT_AGAIN[0].lower()}{EXPORT_AGAIN[1:]}."
            )

    def _only_padded(self, warned: str) -> bool:
        """True where libjpeg warned of nothing but bytes left over behind the last pixel, and all of them are zero.

        Other bytes that are left over are coded pixels, behind a damage that made the decoder skip some.
        """
        left_over = _LEFT_OVER.search(warned)
        return left_over is not None and not any(self.segments[-1].coded[-int(left_over[1]) :])

    def decode(self, channels: ChannelMap | None = None) -> Picture:
        """The pixels. Raises NotFluorescenceError for greyscale and CMYK, UnreadableImageError for damage."""
        if self.components == 1:
            raise NotFluorescenceError(
                "The image is greyscale: it has no colour channels, so HER2 and CEP17 cannot be told apart. Export the "
                "region as an RGB colour image with HER2 in red, CEP17 in green and DAPI in blue."
            )
        if self.components != 3:
            raise NotFluorescenceError(
                "The image is stored in CMYK, the colours of printing, in which the fluorescence channels are mixed. "
                f"{EXPORT_AGAIN} as an RGB image, best as PNG or TIFF."
            )
        pixels = decode_with(JpegImagePlugin.JpegImageFile, self.stripped(), _NAME)
        if pixels.shape != (self.height_px, self.width_px, 3):
            raise truncated(_NAME)
        samples = take_channels(pixels, channels or RED_GREEN_BLUE)
        return Picture(samples, None, self.orientation, self.um_per_px, self._notes(pixels))

    def _notes(self, pixels: npt.NDArray[np.uint8]) -> tuple[str, ...]:
        notes = []
        if self.quality is not None and self.quality < MIN_GOOD_QUALITY:
            notes.append(
                f"The JPEG file is strongly compressed (quality about {self.quality} of 100): weak signals may be lost "
                "and false ones added. Export as PNG or TIFF if the microscope software can."
            )
        if self.colour_reduction:
            notes.append(
                f"The JPEG file stores colour at a reduced resolution ({self.colour_reduction}): red and green signals "
                "are blurred and weakened. Export as PNG, TIFF or JPEG 4:4:4 if the microscope software can."
            )
        blank = _blank_rows_at_the_end(pixels)
        if blank:
            notes.append(
                f"The last {blank} rows of the image are one flat colour, as in a file that was damaged. Compare it "
                "with the original before it is used."
            )
        return tuple(notes)


def parse_jpeg(data: bytes) -> JpegFile:
    """The structure of a JPEG file, checked to its end; nothing is decoded.

    Raises UnreadableImageError for a file that is cut, damaged or of a kind that is not read.
    """
    segments: list[_Segment] = []
    frame: bytes | None = None
    luminance: bytes | None = None
    orientation, um_per_px, scans = 1, None, 0
    for segment in _walk(data, must_end=True):
        marker, payload = segment.marker, segment.payload
        if marker in _UNSUPPORTED_FRAMES:
            raise UnreadableImageError(
                "The JPEG file is of a rare kind (lossless, hierarchical or arithmetic) that is not read here. "
                "Export the region as PNG, TIFF or an ordinary JPEG."
            )
        if marker in _FRAMES:
            if frame is not None:
                raise truncated(_NAME)
            frame = payload
        elif marker == _DQT:
            luminance = luminance or _first_table(payload)
        elif marker == _SOS:
            scans += 1
            if frame is None or scans > _MAX_SCANS:
                raise truncated(_NAME)
        elif marker == _APP0 and not segments:
            um_per_px = _scale_of_jfif(payload)
        elif marker == _APP1 and payload.startswith(_EXIF) and orientation == 1:
            orientation = orientation_of(payload[len(_EXIF) :])
        kept = _kept(segment)
        if kept is not None:
            segments.append(kept)
    if frame is None or scans == 0:
        raise truncated(_NAME)
    height, width, factors = _frame(frame)
    _check_enough_coded(segments, width, height)
    return JpegFile(
        segments=tuple(segments),
        width_px=width,
        height_px=height,
        components=len(factors),
        colour_reduction=_colour_reduction(factors),
        quality=None if luminance is None else _quality(luminance),
        orientation=orientation,
        um_per_px=um_per_px,
    )


def without_metadata(data: bytes) -> bytes:
    """A JPEG stream, also an abbreviated one of a TIFF tile, without its comments and application segments."""
    kept = (_kept(segment) for segment in _walk(data, must_end=False))
    return b"\xff\xd8" + b"".join(segment.to_bytes() for segment in kept if segment is not None) + b"\xff\xd9"


def _walk(data: bytes, *, must_end: bool) -> list[_Segment]:
    """The segments between the start and the end of the image. Raises UnreadableImageError where they break off."""
    segments: list[_Segment] = []
    if data[:2] != b"\xff\xd8":
        raise truncated(_NAME)
    at = 2
    while True:
        found = _NEXT_MARKER.match(data, at)
        if found is None:
            if must_end or at < len(data):
                raise truncated(_NAME)
            return segments
        marker, at = data[found.end() - 1], found.end()
        if marker == _EOI:
            return segments
        if at + 2 > len(data):
            raise truncated(_NAME)
        length = struct.unpack_from(">H", data, at)[0]
        payload, at = data[at + 2 : at + length], at + length
        if length < 2 or at > len(data) or marker in (_SOI, 0x01):
            raise truncated(_NAME)
        coded = b""
        if marker == _SOS:
            end = _NEXT_MARKER.search(data, at)
            if end is None:
                raise truncated(_NAME)
            coded, at = data[at : end.start()], end.start()
        segments.append(_Segment(marker, payload, coded))


def _kept(segment: _Segment) -> _Segment | None:
    """The segment as a stripped file has it, or None."""
    if segment.marker == _APP0 and segment.payload.startswith(b"JFIF\0") and len(segment.payload) >= 14:
        return _Segment(_APP0, segment.payload[:12] + b"\0\0")  # without its thumbnail
    if segment.marker == _APP14 and segment.payload.startswith(b"Adobe") and len(segment.payload) >= 12:
        return _Segment(_APP14, segment.payload[:12])
    if segment.marker in _APPLICATION or segment.marker == _COM:
        return None
    return segment


def _frame(payload: bytes) -> tuple[int, int, tuple[tuple[int, int], ...]]:
    """Height, width and the sampling factors (horizontal, vertical) of each component of a frame header."""
    if len(payload) < 6:
        raise truncated(_NAME)
    precision, height, width, count = struct.unpack_from(">BHHB", payload)
    if precision != 8:
        raise UnreadableImageError(
            f"The JPEG file has {precision} bits per colour; only 8 are read here. Export the region as TIFF to keep "
            "more, or as an ordinary JPEG."
        )
    if len(payload) < 6 + 3 * count or height == 0 or width == 0 or count == 0:
        raise truncated(_NAME)
    factors = tuple((payload[7 + 3 * i] >> 4, payload[7 + 3 * i] & 15) for i in range(count))
    if any(not (1 <= h <= 4 and 1 <= v <= 4) for h, v in factors):
        raise truncated(_NAME)
    return height, width, factors


def _check_enough_coded(segments: list[_Segment], width: int, height: int) -> None:
    """Refuse a header that declares more than its scans can hold: each 8 x 8 block takes at least one bit."""
    coded = sum(len(segment.coded) for segment in segments)
    if coded * 8 < (width * height) // 64:
        raise truncated(_NAME)


def _colour_reduction(factors: tuple[tuple[int, int], ...]) -> str:
    """How the two colour components are reduced: "4:2:0", "4:2:2", other factors as text, or "" if they are not."""
    if len(factors) != 3 or len(set(factors)) == 1:
        return ""
    (h, v), (ch, cv) = factors[0], factors[1]
    return {(2, 2): "4:2:0", (2, 1): "4:2:2", (1, 2): "4:4:0", (4, 1): "4:1:1"}.get(
        (h // ch, v // cv), f"{h / ch:g} × {v / cv:g}"
    )


def _first_table(payload: bytes) -> bytes | None:
    """Quantisation table 0 of a DQT segment as 64 bytes (16-bit tables are cut at 255), or None."""
    at = 0
    while at < len(payload):
        wide, number = payload[at] >> 4, payload[at] & 15
        size = 128 if wide else 64
        table = payload[at + 1 : at + 1 + size]
        if number == 0 and len(table) == size:
            return bytes(min(255, v) for v in struct.unpack(">64H", table)) if wide else table
        at += 1 + size
    return None


def _quality(table: bytes) -> int:
    """The Independent JPEG Group's quality, 1 to 100, of a luminance table, by its mean."""
    percent = 100 * (sum(table) / 64) / _MEAN_OF_STANDARD_TABLE
    quality = (200 - percent) / 2 if percent <= 100 else 5000 / percent
    return max(1, min(100, round(quality)))


def _scale_of_jfif(payload: bytes) -> float | None:
    """Micrometres per pixel from a JFIF header, if it can be a microscope's."""
    if not payload.startswith(b"JFIF\0") or len(payload) < 14:
        return None
    unit, x, y = struct.unpack_from(">BHH", payload, 7)
    um_per_unit = {1: 25_400.0, 2: 10_000.0}.get(unit)
    if um_per_unit is None or x == 0 or y == 0:
        return None
    return trusted_um_per_px(um_per_unit / x, um_per_unit / y)


def _complaint(data: bytes, *, strict: bool) -> str:
    """Why libjpeg does not decode the file, `strict`: or what it warns of first; empty where it decodes it. At an
    eighth of the size: all is read, and less computed."""
    try:
        space = "GRAY" if simplejpeg.decode_jpeg_header(data)[2] == "YCbCr" else "RGB"
        simplejpeg.decode_jpeg(data, space, min_height=1, min_width=1, min_factor=8, strict=strict)
    except ValueError as error:
        return str(error) or "not decoded"
    return ""


def _blank_rows_at_the_end(pixels: npt.NDArray[np.uint8]) -> int:
    """How many whole rows at the end have one flat colour other than black: what a decoder makes of missing data."""
    last = pixels[-1, -1]
    if not last.any() or not (pixels[-16:] == last).all():
        return 0
    differing = np.flatnonzero((pixels != last).any(axis=(1, 2)))
    return int(len(pixels) - (differing[-1] + 1 if len(differing) else 0))
