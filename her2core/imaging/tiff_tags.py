"""The structure of TIFF files (TIFF 6.0, BigTIFF), read strictly and written minimally.

Our own, because reading files from outside asks for what general readers do not promise: nothing outside the bytes is
followed (an OME-TIFF may name other files), only tags that matter are unpacked, and nothing is allocated on the
word of a header alone. `tests/imaging` checks it against tifffile's files.
"""

from __future__ import annotations

import struct
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Final, Protocol

from her2core.errors import UnreadableImageError
from her2core.imaging.picture import truncated

__all__ = ["MAX_PAGES", "Data", "Tag", "TiffStructure", "Values", "read_structure", "write_tiff"]

MAX_PAGES: Final = 64
_MAX_VALUES: Final = 1 << 18
_NAME: Final = "TIFF"

Values = tuple[int, ...] | bytes


class Data(Protocol):
    """The bytes of a file, in memory or read from it where they are wanted."""

    def __len__(self) -> int:
        """How many there are."""

    def __getitem__(self, part: slice, /) -> bytes:
        """Those from start to stop."""


class Tag:
    """The numbers of the tags that are read or written."""

    SUBFILE_TYPE = 254
    WIDTH = 256
    HEIGHT = 257
    BITS = 258
    COMPRESSION = 259
    PHOTOMETRIC = 262
    FILL_ORDER = 266
    DESCRIPTION = 270
    STRIP_OFFSETS = 273
    ORIENTATION = 274
    SAMPLES = 277
    ROWS_PER_STRIP = 278
    STRIP_COUNTS = 279
    X_RESOLUTION = 282
    Y_RESOLUTION = 283
    PLANAR = 284
    PAGE_NAME = 285
    RESOLUTION_UNIT = 296
    PREDICTOR = 317
    TILE_WIDTH = 322
    TILE_HEIGHT = 323
    TILE_OFFSETS = 324
    TILE_COUNTS = 325
    SUB_IFDS = 330
    EXTRA_SAMPLES = 338
    SAMPLE_FORMAT = 339
    JPEG_TABLES = 347
    YCBCR_SUBSAMPLING = 530
    IMAGEJ_COUNTS = 50838
    IMAGEJ_METADATA = 50839


_WANTED: Final = frozenset(value for name, value in vars(Tag).items() if name.isupper())
# struct code and count of numbers for each field type; bytes and text (1, 2, 7) stay bytes.
_TYPES: Final = {
    1: ("B", 1), 2: ("B", 1), 3: ("H", 1), 4: ("I", 1), 5: ("I", 2), 6: ("b", 1), 7: ("B", 1), 8: ("h", 1),
    9: ("i", 1), 10: ("i", 2), 13: ("I", 1), 16: ("Q", 1), 17: ("q", 1), 18: ("Q", 1),
}  # fmt: skip
_AS_BYTES: Final = frozenset({2, 7})
_SHORT, _LONG, _RATIONAL, _ASCII, _UNDEFINED = 3, 4, 5, 2, 7
_WRITTEN_TYPES: Final = {
    Tag.BITS: _SHORT, Tag.COMPRESSION: _SHORT, Tag.PHOTOMETRIC: _SHORT, Tag.DESCRIPTION: _ASCII,
    Tag.ORIENTATION: _SHORT, Tag.SAMPLES: _SHORT, Tag.X_RESOLUTION: _RATIONAL, Tag.Y_RESOLUTION: _RATIONAL,
    Tag.PLANAR: _SHORT, Tag.RESOLUTION_UNIT: _SHORT, Tag.PREDICTOR: _SHORT, Tag.EXTRA_SAMPLES: _SHORT,
    Tag.SAMPLE_FORMAT: _SHORT, Tag.JPEG_TABLES: _UNDEFINED, Tag.YCBCR_SUBSAMPLING: _SHORT,
}  # fmt: skip


@dataclass(frozen=True, slots=True)
class TiffStructure:
    """Byte order ("<" or ">") and, for each page, the wanted tags with their values; `below` holds, for each page, the
    pages that its SubIFDs tag names, as the levels of a pyramid are stored."""

    order: str
    pages: tuple[Mapping[int, Values], ...]
    below: tuple[tuple[Mapping[int, Values], ...], ...] = ()


def read_structure(data: Data, *, levels: bool = False) -> TiffStructure:
    """All pages of a TIFF or BigTIFF file, with `levels` also those below them. Raises UnreadableImageError where the
    structure breaks."""
    order = {b"II": "<", b"MM": ">"}.get(data[:2], "")
    version = _unpack(f"{order}H", data, 2)[0] if order else 0
    if version == 42:
        big, offset = False, _unpack(f"{order}I", data, 4)[0]
    elif version == 43 and _unpack(f"{order}HH", data, 4) == (8, 0):
        big, offset = True, _unpack(f"{order}Q", data, 8)[0]
    else:
        raise truncated(_NAME)
    pages: list[Mapping[int, Values]] = []
    seen: set[int] = set()
    while offset:
        if offset in seen:
            raise truncated(_NAME)
        if len(pages) == MAX_PAGES:
            raise UnreadableImageError(
                f"The TIFF file holds more than {MAX_PAGES} images. Export each region as a file of its own: one RGB "
                "image, or one image for each of the channels DAPI, HER2 and CEP17."
            )
        seen.add(offset)
        tags, offset = _read_page(data, offset, order, big=big)
        pages.append(tags)
    if not pages:
        raise truncated(_NAME)
    below = tuple(_below(data, tags, order, big=big) if levels else () for tags in pages)
    return TiffStructure(order, tuple(pages), below)


def write_tiff(order: str, pages: Sequence[tuple[Mapping[int, Values], Sequence[bytes]]]) -> bytes:
    """A classic TIFF file of `pages`: tags in, beside the coded strips or tiles they describe.

    The offsets and byte counts of the segments are added: as tiles where the tags have a tile width, else as strips.
    """
    parts: list[bytes] = [struct.pack(f"{order}2sHI", b"II" if order == "<" else b"MM", 42, 0)]
    size = 8
    links = [(0, 4)]  # (index of part, position in it) of the offset that must point at the next page

    def append(part: bytes) -> int:
        nonlocal size
        at = size
        part += b"\0" * (len(part) % 2)  # values begin at even offsets
        parts.append(part)
        size += len(part)
        return at

    for tags, segments in pages:
        tiled = Tag.TILE_WIDTH in tags
        offsets = tuple(append(segment) for segment in segments)
        counts = tuple(len(segment) for segment in segments)
        full = dict(tags)
        full[Tag.TILE_OFFSETS if tiled else Tag.STRIP_OFFSETS] = offsets
        full[Tag.TILE_COUNTS if tiled else Tag.STRIP_COUNTS] = counts
        entries = []
        for tag, values in sorted(full.items()):
            kind = _WRITTEN_TYPES.get(tag, _LONG)
            code, numbers = _TYPES[kind]
            packed = values if isinstance(values, bytes) else struct.pack(f"{order}{len(values)}{code}", *values)
            count = len(values) // numbers
            value = packed.ljust(4, b"\0") if len(packed) <= 4 else struct.pack(f"{order}I", append(packed))
            entries.append(struct.pack(f"{order}HHI", tag, kind, count) + value)
        at = append(struct.pack(f"{order}H", len(entries)) + b"".join(entries) + b"\0\0\0\0")
        index, position = links[-1]
        parts[index] = parts[index][:position] + struct.pack(f"{order}I", at) + parts[index][position + 4 :]
        links.append((len(parts) - 1, 2 + 12 * len(entries)))
    return b"".join(parts)


def _below(data: Data, tags: Mapping[int, Values], order: str, *, big: bool) -> tuple[Mapping[int, Values], ...]:
    offsets = tags.get(Tag.SUB_IFDS, ())
    if isinstance(offsets, bytes) or len(offsets) > MAX_PAGES:
        raise truncated(_NAME)
    return tuple(_read_page(data, offset, order, big=big)[0] for offset in offsets)


def _read_page(data: Data, offset: int, order: str, *, big: bool) -> tuple[Mapping[int, Values], int]:
    """The wanted tags of the page at `offset`, and the offset of the next page (0 after the last)."""
    count_code, entry_code, entry_size, inline = ("Q", "HHQ", 20, 8) if big else ("H", "HHI", 12, 4)
    offset_code = "Q" if big else "I"
    count = _unpack(f"{order}{count_code}", data, offset)[0]
    first = offset + struct.calcsize(count_code)
    if first + count * entry_size > len(data):
        raise truncated(_NAME)
    tags: dict[int, Values] = {}
    for at in range(first, first + count * entry_size, entry_size):
        tag, kind, number = _unpack(f"{order}{entry_code}", data, at)
        if tag not in _WANTED or kind not in _TYPES:
            continue
        code, numbers = _TYPES[kind]
        size = number * numbers * struct.calcsize(code)
        value_at = at + entry_size - inline
        if size > inline:
            value_at = _unpack(f"{order}{offset_code}", data, value_at)[0]
        if value_at + size > len(data):
            raise truncated(_NAME)
        if kind in _AS_BYTES:
            tags[tag] = data[value_at : value_at + size]
        elif number > _MAX_VALUES:
            raise truncated(_NAME)
        else:
            tags[tag] = _unpack(f"{order}{number * numbers}{code}", data, value_at)
    return tags, _unpack(f"{order}{offset_code}", data, first + count * entry_size)[0]


def _unpack(code: str, data: Data, at: int) -> tuple[int, ...]:
    """struct.unpack_from within the data. Raises UnreadableImageError beyond its end."""
    end = at + struct.calcsize(code)
    if at < 0 or end > len(data):
        raise truncated(_NAME)
    return struct.unpack(code, data[at:end])
