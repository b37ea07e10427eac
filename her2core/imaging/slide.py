"""Whole slides and large fields: tiled TIFF files of which only the window that is asked for is decoded.

The file stays on disk: its structure is read as strictly as that of any region image (`tiff_tags`), and of its pixels
the tiles under a window are read and decoded, so memory depends on the window and not on the slide. Coarser levels are
used where the file has them: as SubIFDs (OME-TIFF) or as reduced pages (TIFF 6.0, NewSubfileType 1).
"""

from __future__ import annotations

import os
import threading
from collections import OrderedDict
from collections.abc import Mapping
from dataclasses import dataclass, replace
from pathlib import Path
from types import TracebackType
from typing import Final

import numpy as np

from her2core.errors import ImageSizeError, NotFluorescenceError, UnreadableImageError
from her2core.imaging.mapping import as_stack
from her2core.imaging.picture import ChannelMap, Picture, Samples
from her2core.imaging.tiff import TiffFile, TiffPage, page_of, parse_tiff
from her2core.imaging.tiff_tags import Tag, TiffStructure, Values, read_structure

__all__ = ["MAX_SIDE_PX", "Slide"]

MAX_SIDE_PX: Final = 65_536
_MAX_PART_BYTES: Final = 64 << 20  # of one decoded strip or tile
_TILED: Final = (
    "The slide is stored in one piece or in very large strips, so parts of it cannot be read alone. Save it as a tiled "
    "TIFF or OME-TIFF (tiles of 256 to 1024 pixels)."
)


class _FileBytes:
    """A file as bytes that are read where they are wanted. Reads of several threads do not disturb each other."""

    def __init__(self, path: Path) -> None:
        self._file = os.open(path, os.O_RDONLY | os.O_CLOEXEC)
        self._size = os.fstat(self._file).st_size

    def __len__(self) -> int:
        return self._size

    def __getitem__(self, part: slice) -> bytes:
        start, stop, _ = part.indices(self._size)
        return os.pread(self._file, max(0, stop - start), start)

    def close(self) -> None:
        if self._file >= 0:
            os.close(self._file)
            self._file = -1


@dataclass(frozen=True, slots=True)
class _Level:
    """One size of the slide: a page for each channel, or one for all of them; `factor` is the slide's width by its."""

    pages: tuple[TiffPage, ...]
    factor: float

    @property
    def width(self) -> int:
        return self.pages[0].width

    @property
    def height(self) -> int:
        return self.pages[0].height


class Slide:
    """A slide opened for reading windows; use it in a `with`. Windows are as the file stores them: a slide that says
    it is to be turned is refused, since fields would not lie where they are shown. `keep_bytes`: so much of what was
    decoded last is kept, for readers whose windows overlap.

    Raises UnreadableImageError, NotFluorescenceError and ImageSizeError, as `read_region` does for its files.
    """

    def __init__(self, path: Path, channels: ChannelMap | None = None, *, keep_bytes: int = 0) -> None:
        self._keep_bytes, self._kept_bytes = keep_bytes, 0
        self._kept: OrderedDict[tuple[int, int], Samples] = OrderedDict()
        self._lock = threading.Lock()
        try:
            self._data = _FileBytes(path)
        except OSError as error:
            raise UnreadableImageError(f"The slide cannot be opened: {error.strerror or error}.") from error
        try:
            structure = _structure(self._data)
            self._file = parse_tiff(self._data, structure)
            self._channels, self.notes = self._file.chosen_channels(channels)
            self._levels = _levels(self._file, structure, len(self._data))
            _refuse(self._file, self._levels)
        except BaseException:
            self._data.close()
            raise

    def __enter__(self) -> Slide:
        return self

    def __exit__(self, kind: type[BaseException] | None, error: object, trace: TracebackType | None) -> None:
        self.close()

    def close(self) -> None:
        """Let go of the file."""
        self._data.close()

    @property
    def width_px(self) -> int:
        """Pixels from left to right."""
        return self._file.width_px

    @property
    def height_px(self) -> int:
        """Pixels from top to bottom."""
        return self._file.height_px

    @property
    def um_per_px(self) -> float | None:
        """The scale, where the file states one that can be trusted."""
        return self._file.um_per_px

    @property
    def bit_depth(self) -> int:
        """Bits of a channel."""
        return self._file.pages[0].bits

    @property
    def factors(self) -> tuple[float, ...]:
        """How much smaller each level is than the slide; 1 first."""
        return tuple(level.factor for level in self._levels)

    def read(self, left: int, top: int, width: int, height: int, level: int = 0) -> Samples:
        """(height, width, 3) of a level, in the order HER2, CEP17, DAPI and the file's depth; left and top in the
        level's own pixels. Raises ValueError for a window that does not lie within it."""
        chosen = self._levels[level]
        if left < 0 or top < 0 or width <= 0 or height <= 0:
            raise ValueError("a window has a place and a size")
        if left + width > chosen.width or top + height > chosen.height:
            raise ValueError("the window does not lie within the level")
        window = (left, top, left + width, top + height)
        if len(chosen.pages) == 1:
            return np.ascontiguousarray(self._window(chosen.pages[0], window)[:, :, list(self._channels.rgb)])
        return np.stack([self._window(chosen.pages[page], window)[:, :, 0] for page in self._channels.rgb], axis=2)

    def field(self, left: int, top: int, width: int, height: int) -> bytes:
        """A window at full resolution and depth as a region file of its own, without loss: a TIFF that names its
        channels and states the scale, and says nothing else."""
        return as_stack(Picture(self.read(left, top, width, height), um_per_px=self.um_per_px))

    def _window(self, page: TiffPage, window: tuple[int, int, int, int]) -> Samples:
        """(h, w, samples) of a page between (left, top) and (right, bottom)."""
        left, top, right, bottom = window
        part_width, part_height = page.tile or (page.width, page.rows_per_strip)
        across = -(-page.width // part_width)
        samples = np.zeros((bottom - top, right - left, page.samples), np.uint8 if page.bits == 8 else np.uint16)
        for row in range(top // part_height, -(-bottom // part_height)):
            for column in range(left // part_width, -(-right // part_width)):
                part = self._part(page, row, column, row * across + column)
                y0, x0 = row * part_height, column * part_width
                rows = slice(max(top, y0), min(bottom, y0 + part.shape[0]))
                columns = slice(max(left, x0), min(right, x0 + part.shape[1]))
                samples[rows.start - top : rows.stop - top, columns.start - left : columns.stop - left] = part[
                    rows.start - y0 : rows.stop - y0, columns.start - x0 : columns.stop - x0
                ]
        return samples

    def _part(self, page: TiffPage, row: int, column: int, number: int) -> Samples:
        """(h, w, samples) of one strip or tile; read-only, since it may be kept for the next window."""
        key = (id(page), number)
        with self._lock:
            if key in self._kept:
                self._kept.move_to_end(key)
                return self._kept[key]
        part = self._decoded(page, row, column, number)
        if part.nbytes <= self._keep_bytes:
            part.flags.writeable = False
            with self._lock:
                if key not in self._kept:
                    self._kept[key] = part
                    self._kept_bytes += part.nbytes
                while self._kept_bytes > self._keep_bytes:
                    self._kept_bytes -= self._kept.popitem(last=False)[1].nbytes
        return part

    def _decoded(self, page: TiffPage, row: int, column: int, number: int) -> Samples:
        """(h, w, samples) of one strip or tile, decoded as a small page of its own."""
        if page.tile is None:
            width, height = page.width, min(page.rows_per_strip, page.height - row * page.rows_per_strip)
        else:
            width, height = page.tile
        each = len(page.segments) // page.planes
        segments = tuple(page.segments[plane * each + number] for plane in range(page.planes))
        # A tile alone is a strip of its width, and is stored like one.
        small = replace(page, width=width, height=height, tile=None, rows_per_strip=height, segments=segments)
        return self._file.decode_page(small)


def _structure(data: _FileBytes) -> TiffStructure:
    if data[:2] not in (b"II", b"MM"):
        raise UnreadableImageError(
            "This is no TIFF file. Save the slide as a tiled TIFF or OME-TIFF; single regions can be dropped as JPEG "
            "or PNG on the intake page."
        )
    return read_structure(data, levels=True)


def _levels(file: TiffFile, structure: TiffStructure, size: int) -> tuple[_Level, ...]:
    """The slide itself, and what is the same picture made smaller; what cannot be read of that is passed over."""
    full = _Level(file.pages, 1.0)
    number_of = {id(tags): number for number, tags in enumerate(structure.pages)}
    below = [structure.below[number_of[id(page.tags)]] for page in file.pages]
    found = list(zip(*below, strict=True)) if len({len(tags) for tags in below}) == 1 else []
    if len(full.pages) == 1:
        found += [(tags,) for tags in structure.pages if _is_reduced(tags)]
    levels = [full]
    for of_channels in found:
        try:
            pages = tuple(page_of(tags, size) for tags in of_channels)
        except (UnreadableImageError, NotFluorescenceError):
            continue
        level = _Level(pages, file.width_px / pages[0].width)
        if _same_picture(full, level):
            levels.append(level)
    return tuple(sorted(levels, key=lambda level: level.factor))


def _is_reduced(tags: Mapping[int, Values]) -> bool:
    values = tags.get(Tag.SUBFILE_TYPE, ())
    return bool(len(values) and values[0] & 1)


def _same_picture(full: _Level, level: _Level) -> bool:
    """Whether a level is smaller, in the same proportions and stored alike."""
    first, own = full.pages[0], level.pages[0]
    wanted = (own.width, own.height, first.bits, first.samples)
    alike = all((p.width, p.height, p.bits, p.samples) == wanted for p in level.pages)
    return alike and own.width < first.width and abs(first.height / level.factor - own.height) <= 2


def _refuse(file: TiffFile, levels: tuple[_Level, ...]) -> None:
    if max(file.width_px, file.height_px) > MAX_SIDE_PX:
        raise ImageSizeError(
            f"The slide is declared as {file.width_px} × {file.height_px} pixels; at most {MAX_SIDE_PX} on a side are "
            "read. Export the part of it that holds the tumour."
        )
    if file.orientation != 1:
        raise UnreadableImageError("The slide says that it is to be turned. Save it upright.")
    if file.is_rgb and file.pages[0].extra:
        raise UnreadableImageError("Parts of the slide may be transparent. Save it without transparency.")
    for level in levels:
        for page in level.pages:
            width, height = page.tile or (page.width, page.rows_per_strip)
            if width * height * page.samples * page.bits // 8 > _MAX_PART_BYTES:
                raise ImageSizeError(_TILED)
