"""Images that are too large to be decoded whole: tiled TIFF files, read window by window while they are analysed.

Detection and counting take only windows of a region. What is handed to them here looks like the array of its pixels and
reads a window from the file when it is asked for one, so they see the same pixels and count the same, and memory
depends on the windows and not on the image.
"""

from __future__ import annotations

import hashlib
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from statistics import fmean, median
from typing import Final

import numpy as np

from her2core.errors import ImageError, NotFluorescenceError
from her2core.imaging import quality
from her2core.imaging.reading import NO_SCALE_NOTE, read_region
from her2core.imaging.region import ImageLimits, PixelsRGB, RegionImage
from her2core.imaging.samples import refuse_no_fluorescence, windows, with_windows
from her2core.imaging.slide import Slide

__all__ = ["LargeImage", "WindowedPixels", "measured", "open_image"]

_KEPT_BYTES: Final = 256 << 20  # of decoded tiles: a row of windows across an image of 40,000 px, in 16 bits
_SAMPLE_PX: Final = 512
_SAMPLES_A_SIDE: Final = 8
_FIELD_PX: Final = 2048
_FIELDS_A_SIDE: Final = 4
_MEANS: Final = frozenset(
    {"nuclear_area_percent", "her2_saturated_percent", "cep17_saturated_percent", "dapi_saturated_percent"}
)  # shares of the image, of which empty fields are a part


class WindowedPixels:
    """The pixels of a slide as uint8[H, W, 3] (red HER2, green CEP17, blue DAPI), read where they are sliced.

    Of 16 bits black and white come from windows spread over the image. Raises NotFluorescenceError as `read_region`
    does, and reading a window raises what `Slide.read` raises.
    """

    dtype = np.dtype(np.uint8)
    ndim = 3

    def __init__(self, slide: Slide) -> None:
        self._slide = slide
        self.shape = (slide.height_px, slide.width_px, 3)
        self.size = slide.height_px * slide.width_px * 3
        self._lines: tuple[tuple[int, int], ...] | None = None
        sample = np.concatenate(
            [
                slide.read(left, top, width, height)
                for left, top, width, height in self._spread(_SAMPLE_PX, _SAMPLES_A_SIDE)
            ]
        )  # (n * height, width, 3)
        if sample.dtype != np.uint8:
            self._lines = windows(sample)
        try:
            refuse_no_fluorescence(with_windows(sample, self._lines))
        except NotFluorescenceError:
            if not self._shows_fluorescence():
                raise

    def __getitem__(self, at: tuple[slice, slice]) -> PixelsRGB:
        """(h, w, 3) of rows and columns, without steps, as of an array: cut where they reach beyond the image."""
        (top, bottom, down), (left, right, across) = (s.indices(n) for s, n in zip(at, self.shape, strict=False))
        if down != 1 or across != 1:
            raise ValueError("windows of an image are read without steps")
        if bottom <= top or right <= left:
            return np.zeros((max(0, bottom - top), max(0, right - left), 3), np.uint8)
        return with_windows(self._slide.read(left, top, right - left, bottom - top), self._lines)

    def measures(self) -> dict[str, float | None]:
        """The suitability measures (`quality.measure`) from up to 16 fields of 2048 px spread over the image.

        Medians of the fields that show nuclei; shares of the image are means of all, and the number of nuclei is
        that of the fields by their part of the image.
        """
        fields = [(w * h, quality.measure(self[y : y + h, x : x + w])) for x, y, w, h in self._spread(_FIELD_PX)]
        measures = {name: _together(name, [measured for _, measured in fields]) for name in fields[0][1]}
        nuclei = sum(measured["estimated_nuclei"] or 0.0 for _, measured in fields)
        measures["estimated_nuclei"] = nuclei * self.shape[0] * self.shape[1] / sum(area for area, _ in fields)
        return measures

    def _spread(self, side_px: int, most: int = _FIELDS_A_SIDE) -> Iterator[tuple[int, int, int, int]]:
        """Up to `most` x `most` windows (left, top, width, height) at even distances."""
        height, width = min(side_px, self.shape[0]), min(side_px, self.shape[1])
        for top in _starts(self.shape[0] - height, min(most, self.shape[0] // height)):
            for left in _starts(self.shape[1] - width, min(most, self.shape[1] // width)):
                yield left, top, width, height

    def _shows_fluorescence(self) -> bool:
        """Whether any part of the image does, asked where the sample shows none: tissue may cover little of it."""
        for top in range(0, self.shape[0], _FIELD_PX):
            for left in range(0, self.shape[1], _FIELD_PX):
                try:
                    refuse_no_fluorescence(self[top : top + _FIELD_PX, left : left + _FIELD_PX])
                except NotFluorescenceError:
                    continue
                return True
        return False


def measured(pixels_rgb: PixelsRGB | WindowedPixels) -> dict[str, float | None]:
    """The suitability measures of an image, however it is read."""
    return pixels_rgb.measures() if isinstance(pixels_rgb, WindowedPixels) else quality.measure(pixels_rgb)


@dataclass(frozen=True, slots=True, eq=False)
class LargeImage:
    """A large image while its file is open; like `RegionImage`, with pixels that are read where they are sliced."""

    pixels_rgb: WindowedPixels
    um_per_px: float | None
    sha256: str
    notes: tuple[str, ...]


@contextmanager
def open_image(path: Path, limits: ImageLimits) -> Iterator[RegionImage | LargeImage]:
    """The image of a file: whole in memory as by `read_region`, or window by window where a TIFF that can be read so
    is larger than the limits of a region. Raises what `read_region` raises, and OSError."""
    slide = _beyond(path, limits)
    if slide is None:
        yield read_region(path.read_bytes(), path.name, limits)
        return
    with slide, path.open("rb") as file:
        sha256 = hashlib.file_digest(file, "sha256").hexdigest()
        notes = (
            f"The image has {slide.width_px} × {slide.height_px} pixels and was read window by window; its quality was "
            "measured in fields spread over it.",
            *slide.notes,
            *(() if slide.um_per_px is not None else (NO_SCALE_NOTE,)),
        )
        yield LargeImage(WindowedPixels(slide), slide.um_per_px, sha256, notes)


def _beyond(path: Path, limits: ImageLimits) -> Slide | None:
    """The file opened for reading windows; None where it is to be read whole, or to be refused as a region is."""
    size = path.stat().st_size
    with path.open("rb") as file:
        if file.read(2) not in (b"II", b"MM"):
            return None
    try:
        slide = Slide(path, keep_bytes=_KEPT_BYTES)
    except ImageError:
        if size > limits.max_bytes:
            raise
        return None
    pixels, side = slide.width_px * slide.height_px, max(slide.width_px, slide.height_px)
    if size > limits.max_bytes or pixels > limits.max_pixels or side > limits.max_side_px:
        return slide
    slide.close()
    return None


def _starts(room_px: int, number: int) -> list[int]:
    if number <= 1:
        return [room_px // 2]
    return [round(room_px * i / (number - 1)) for i in range(number)]


def _together(name: str, fields: list[dict[str, float | None]]) -> float | None:
    if name in _MEANS:
        return fmean(measured[name] or 0.0 for measured in fields)
    of_tissue = [measured for measured in fields if measured["nucleus_width_px"] is not None] or fields
    values = [value for measured in of_tissue if (value := measured[name]) is not None]
    return float(median(values)) if values else None
