"""Candidate fields of a whole slide, best first: where many large nuclei lie apart and signals are good.

The slide is walked through once, field by field, on a level coarse enough to be quick and fine enough to see nuclei.
DAPI tells nuclei; of these, what is large, roundish and apart from others is *countable*: most lymphocytes are smaller,
most stroma is longer, and what overlaps cannot be scored. Whether such a nucleus is of the tumour only the pathologist
can say. The best fields by that number are then read at full resolution and measured as any region is (`quality`).

Fields lie side by side and never overlap, so no nucleus is whole in two of them.
"""

from __future__ import annotations

import math
from collections.abc import Callable, Iterator, Mapping
from dataclasses import dataclass
from typing import Final

import numpy as np
import numpy.typing as npt
from scipy import ndimage

from her2core.errors import CancelledError
from her2core.imaging import quality
from her2core.imaging.picture import Samples
from her2core.imaging.region import PixelsRGB
from her2core.imaging.samples import to_8_bits, windows, with_windows
from her2core.imaging.slide import Slide

__all__ = ["FIELD_PX", "Field", "Findings", "countable_nuclei", "find_fields", "signal_quality"]

FIELD_PX: Final = 2048
"""The side of a field, in pixels of the slide."""

_SEARCH_UM: Final = 0.65  # per pixel, where nuclei are looked for: they are then some 15 pixels wide
_SEARCH_FACTOR: Final = 4.0  # without a scale
_SAMPLED_FIELDS: Final = 24
_OVERVIEW_PX: Final = 1400
_THUMBNAIL_PX: Final = 512
_MEASURED: Final = 3  # so many times the wanted fields are read at full resolution
_LEAST_NUCLEI: Final = 5
_LEAST_UM: Final = 6.5  # tumour nuclei are wider than this, small lymphocytes about as wide
_LEAST_PX: Final = 5.0
_LEAST_SHARE: Final = 0.75  # of the slide's typical width, where it has no scale
_LONGEST: Final = 1.9  # length by width
_FULLEST: Final = (0.85, 1.1)  # area by that of the box's ellipse
_STAIN_LEVELS: Final = 10.0
_IGNORED: Final = frozenset({"estimated_nuclei", "nuclear_area_percent", "blockiness"})  # ranked by otherwise, or not

Told = Callable[[float, str], None]
Float = npt.NDArray[np.float32]


@dataclass(frozen=True, slots=True)
class Field:
    """A candidate: its place in pixels of the slide, how many nuclei look countable, its measures (`quality.measure`;
    empty where it was not read at full resolution), and what of the signals' quality they leave, 0 to 1."""

    left: int
    top: int
    width: int
    height: int
    countable: int
    measures: Mapping[str, float | None]
    signal_quality: float

    @property
    def score(self) -> float:
        """Countable nuclei, discounted by quality: what the fields are ranked by."""
        return self.countable * self.signal_quality


@dataclass(frozen=True, slots=True, eq=False)
class Findings:
    """What the search came to: the best fields, best first, each with a small picture; a picture of the whole slide and
    how many pixels of the slide one of its pixels is; how many fields were looked at."""

    fields: tuple[Field, ...]
    thumbnails_rgb: tuple[PixelsRGB, ...]
    overview_rgb: PixelsRGB
    overview_factor: float
    searched: int


def find_fields(
    slide: Slide,
    wanted: int = 12,
    field_px: int = FIELD_PX,
    told: Told | None = None,
    cancelled: Callable[[], bool] | None = None,
) -> Findings:
    """The `wanted` best fields of a slide, each `field_px` on a side or what its edge leaves.

    Memory depends on `field_px`, not on the slide. Raises CancelledError, and what `Slide.read` raises.
    """
    tell = told or (lambda fraction, stage: None)
    search = _Search(slide, field_px)
    rough = []
    for done, (place, shape) in enumerate(search.each()):
        if cancelled is not None and cancelled():
            raise CancelledError("The search was stopped.")
        rough.append((place, shape))
        tell(0.8 * (done + 1) / search.total, "Looking for nuclei")
    least_px = _least_px(slide, search.factor, rough)
    counted = sorted(
        ((countable_nuclei(shape, least_px), place) for place, shape in rough), key=lambda item: (-item[0], item[1])
    )
    short = [(number, place) for number, place in counted if number >= _LEAST_NUCLEI][: _MEASURED * wanted]
    found = []
    for done, (number, (left, top, width, height)) in enumerate(short):
        if cancelled is not None and cancelled():
            raise CancelledError("The search was stopped.")
        pixels = to_8_bits(slide.read(left, top, width, height))[0]
        measures = quality.measure(pixels)
        found.append((Field(left, top, width, height, number, measures, signal_quality(measures)), _small(pixels)))
        tell(0.8 + 0.2 * (done + 1) / len(short), "Measuring signals in the best fields")
    found.sort(key=lambda one: (-one[0].score, one[0].top, one[0].left))
    best = found[:wanted]
    return Findings(
        tuple(field for field, _ in best), tuple(picture for _, picture in best), search.overview,
        search.overview_factor, search.total,
    )  # fmt: skip


def _small(pixels: PixelsRGB) -> PixelsRGB:
    """For looking at: each pixel is the brightest of those that it stands for, so that signals stay visible."""
    step = max(1, max(pixels.shape[:2]) // _THUMBNAIL_PX)
    height, width = (max(step, side // step * step) for side in pixels.shape[:2])
    if height > pixels.shape[0] or width > pixels.shape[1]:
        return pixels
    small: PixelsRGB = pixels[:height, :width].reshape(height // step, step, width // step, step, 3).max(axis=(1, 3))
    return small


def signal_quality(measures: Mapping[str, float | None]) -> float:
    """What is left of 1 when each measure that misses its limit takes its share: half the limit takes half."""
    left = 1.0
    for limit in quality.LIMITS:
        value = measures.get(limit.measure)
        if limit.measure in _IGNORED or value is None:
            continue
        if limit.at_least is not None and value < limit.at_least:
            left *= max(value, 0.0) / limit.at_least
        if limit.at_most is not None and value > limit.at_most:
            left *= limit.at_most / value
    return left


@dataclass(frozen=True, slots=True)
class _Nuclei:
    """The nuclei of a field as ellipses, in pixels of the level: short and long axis, area by that of the ellipse, and
    which are whole."""

    short: Float
    long: Float
    fill: Float
    whole: npt.NDArray[np.bool_]


def countable_nuclei(nuclei: _Nuclei, least_px: float) -> int:
    """How many are large, roundish, alone and whole; what lies in a clump is none of these."""
    roundish = nuclei.long <= _LONGEST * nuclei.short
    alone = (nuclei.fill >= _FULLEST[0]) & (nuclei.fill <= _FULLEST[1])
    return int(np.count_nonzero(nuclei.whole & roundish & alone & (nuclei.short >= least_px)))


def _least_px(slide: Slide, factor: float, fields: list[tuple[tuple[int, int, int, int], _Nuclei]]) -> float:
    """The width below which a nucleus is taken for a small one, in pixels of the level."""
    if slide.um_per_px is not None:
        return max(_LEAST_PX, _LEAST_UM / (slide.um_per_px * factor))
    widths = np.concatenate([shape.short[shape.whole] for _, shape in fields] or [np.zeros(0, np.float32)])
    return max(_LEAST_PX, _LEAST_SHARE * float(np.median(widths)) if widths.size else 0.0)


class _Search:
    """One walk through a slide: the nuclei of each field, and on the way a picture of the whole."""

    def __init__(self, slide: Slide, field_px: int) -> None:
        self._slide = slide
        self._field_px = field_px
        wished = _SEARCH_FACTOR if slide.um_per_px is None else max(1.0, _SEARCH_UM / slide.um_per_px)
        self._level = max((n for n, f in enumerate(slide.factors) if f <= wished * 1.01), default=0)
        self._step = max(1, round(wished / slide.factors[self._level]))
        self.factor = slide.factors[self._level] * self._step
        self._across, self._down = -(-slide.width_px // field_px), -(-slide.height_px // field_px)
        self.total = self._across * self._down
        self.overview_factor = max(1.0, max(slide.width_px, slide.height_px) / _OVERVIEW_PX)
        height, width = (math.ceil(side / self.overview_factor) for side in (slide.height_px, slide.width_px))
        self.overview: PixelsRGB = np.zeros((height, width, 3), np.uint8)
        self._windows, self._stained = self._levels_of_grey()

    def each(self) -> Iterator[tuple[tuple[int, int, int, int], _Nuclei]]:
        """Each field's place in the slide, with its nuclei."""
        for row in range(self._down):
            for column in range(self._across):
                place = self._place(row, column)
                pixels = with_windows(self._read(place), self._windows)
                self._draw(place, pixels)
                yield place, _nuclei(_reduced(pixels, self._step)[:, :, 2], self._stained)

    def _place(self, row: int, column: int) -> tuple[int, int, int, int]:
        left, top = column * self._field_px, row * self._field_px
        width, height = self._slide.width_px - left, self._slide.height_px - top
        return left, top, min(self._field_px, width), min(self._field_px, height)

    def _read(self, place: tuple[int, int, int, int]) -> Samples:
        """The window of a field on the level that is searched."""
        factor = self._slide.factors[self._level]
        width = math.floor(self._slide.width_px / factor)
        height = math.floor(self._slide.height_px / factor)
        left, top = min(int(place[0] / factor), width - 1), min(int(place[1] / factor), height - 1)
        return self._slide.read(
            left, top, max(1, min(round(place[2] / factor), width - left)),
            max(1, min(round(place[3] / factor), height - top)), self._level,
        )  # fmt: skip

    def _draw(self, place: tuple[int, int, int, int], pixels: PixelsRGB) -> None:
        """The field into the picture of the whole; each pixel is the brightest of those that it stands for, nearly."""
        top, left = int(place[1] / self.overview_factor), int(place[0] / self.overview_factor)
        bottom = min(self.overview.shape[0], max(top + 1, int((place[1] + place[3]) / self.overview_factor)))
        right = min(self.overview.shape[1], max(left + 1, int((place[0] + place[2]) / self.overview_factor)))
        rows = np.arange(bottom - top) * pixels.shape[0] // (bottom - top)
        columns = np.arange(right - left) * pixels.shape[1] // (right - left)
        step = max(1, pixels.shape[0] // (bottom - top) // 2)
        small = np.maximum(pixels, np.roll(pixels, (-step, -step), (0, 1)))
        self.overview[top:bottom, left:right] = small[rows][:, columns]

    def _levels_of_grey(self) -> tuple[tuple[tuple[int, int], ...] | None, float]:
        """Black and white of each channel of a 16-bit slide, and the DAPI level above which something is stained: from
        fields spread over the slide."""
        every = max(1, self.total // _SAMPLED_FIELDS)
        sample = []
        for number in range(every // 2, self.total, every):
            pixels = self._read(self._place(number // self._across, number % self._across))
            sample.append(pixels[:: 2 * self._step, :: 2 * self._step].reshape(-1, 3))
        values = np.concatenate(sample)
        found = windows(values[None]) if values.dtype != np.uint8 else None
        dapi = with_windows(values[None], found)[0, :, 2]
        counts = np.bincount(dapi, minlength=256)
        return found, float(quality.otsu(counts))


def _reduced(pixels: PixelsRGB, step: int) -> PixelsRGB:
    """The mean of squares of `step` pixels."""
    if step == 1:
        return pixels
    height, width = (max(1, side // step) for side in pixels.shape[:2])
    if min(pixels.shape[:2]) < step:
        return pixels[:1, :1]
    total = np.zeros((height, width, 3), np.uint16)
    for y in range(step):
        for x in range(step):
            total += pixels[y : height * step : step, x : width * step : step]
    reduced: PixelsRGB = (total // (step * step)).astype(np.uint8)
    return reduced


def _nuclei(dapi: npt.NDArray[np.uint8], stained: float) -> _Nuclei:
    """What is stained in a field, piece by piece, by second moments. `stained`: the slide's own threshold; a field's
    may lie above it, and somewhat below where all of it is dim."""
    smooth = ndimage.uniform_filter(dapi.astype(np.float32), 3)
    own = float(quality.otsu(np.bincount(smooth.astype(np.uint8).ravel(), minlength=256)))
    threshold = max(own, 0.6 * stained)
    mask = smooth > threshold + 0.5
    nothing = np.zeros(0, np.float32)
    if not mask.any() or mask.all() or smooth[mask].mean() - smooth[~mask].mean() < _STAIN_LEVELS:
        return _Nuclei(nothing, nothing, nothing, np.zeros(0, np.bool_))
    pieces, number = ndimage.label(mask)
    rows, columns = np.nonzero(pieces)
    label = pieces[rows, columns]
    area = np.bincount(label, minlength=number + 1).astype(np.float64)[1:]

    def mean(values: npt.NDArray[np.float64]) -> npt.NDArray[np.float64]:
        return np.bincount(label, values, minlength=number + 1)[1:] / area

    y, x = rows.astype(np.float64), columns.astype(np.float64)
    my, mx = mean(y), mean(x)
    vy, vx, vxy = mean(y * y) - my * my + 1 / 12, mean(x * x) - mx * mx + 1 / 12, mean(x * y) - mx * my
    middle, spread = (vx + vy) / 2, np.sqrt(((vx - vy) / 2) ** 2 + vxy * vxy)
    long, short = 4 * np.sqrt(middle + spread), 4 * np.sqrt(np.maximum(middle - spread, 1e-6))
    edge = np.unique(np.concatenate([pieces[0], pieces[-1], pieces[:, 0], pieces[:, -1]]))
    whole = np.ones(number + 1, np.bool_)
    whole[edge] = False
    fill = area / (math.pi / 4 * long * short)
    return _Nuclei(short.astype(np.float32), long.astype(np.float32), fill.astype(np.float32), whole[1:])
