"""Is a region good enough to count? Measures on its pixels, limits to hold them against, and advice in words.

All measures but saturation and blockiness are taken after the image has been brought to a scale at which nuclei are
about 40 pixels wide, so that they mean the same whatever the magnification. The limits were set by looking at real and
rendered regions and at the same regions blurred, dimmed, hazed and compressed; they are advice beside the
pathologist's judgement, which decides. The reasons to reject a slide are those of domain.md 1.9.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Final

import numpy as np
import numpy.typing as npt
from PIL import Image
from scipy import ndimage

from her2core.imaging.region import PixelsRGB
from her2core.scoring.inputs import RejectionReason

__all__ = ["LIMITS", "Limit", "advice", "broken", "measure", "otsu"]

MIN_FOCUS_RATIO: Final = 1.3
MIN_DAPI_CONTRAST: Final = 0.12
MIN_SIGNAL_TO_NOISE: Final = 4.5
MIN_SIGNAL_TO_BACKGROUND: Final = 1.2
MAX_BACKGROUND_PERCENT: Final = 20.0
MAX_PROBE_SATURATED_PERCENT: Final = 0.5
MAX_DAPI_SATURATED_PERCENT: Final = 10.0
MIN_NUCLEAR_AREA_PERCENT: Final = 1.5
MAX_BLOCKINESS: Final = 2.8
MIN_NUCLEI: Final = 20.0  # that a result needs; some will be cut or covered
MAX_CLUMPING: Final = 1.8
MAX_AUTOFLUORESCENT_PERCENT: Final = 2.0
MAX_OUTSIDE_SIGNALS_PERCENT: Final = 10.0  # the guideline's own limit

_NUCLEUS_PX: Final = 40
_SEARCH_SCALE: Final = 4
_SATURATED_FROM: Final = 254
_NARROWEST_NUCLEUS_PX: Final = 20.0
_LEAST_STAIN_LEVELS: Final = 3.0
_LEAST_NOISE_LEVELS: Final = 1.2  # so that a signal must rise some five grey levels to be called visible
_DARK_LEVELS: Final = 32.0
_COVERED: Final = 0.4
_SPOT_PX: Final = 1
_SURROUNDINGS_PX: Final = 4
_TINY: Final = np.float32(1e-6)
_HALO_WIDTHS: Final = 0.15  # light of a nucleus beyond its border, in nucleus widths
_GLOWING_LEVELS: Final = 25  # above the background in both probes
_SEED_PX: Final = 12  # nuclei are this wide where their centres are looked for

Float = npt.NDArray[np.float32]
Mask = npt.NDArray[np.bool_]


@dataclass(frozen=True, slots=True)
class Limit:
    """What one measure should be, and what to tell the pathologist where it is not.

    `rejects`: the guideline's reason to reject a test that the defect may amount to; None where taking the image again
    is enough.
    """

    measure: str
    label: str
    advice: str
    at_least: float | None = None
    at_most: float | None = None
    rejects: RejectionReason | None = None

    def broken_by(self, value: float | None) -> bool:
        """Whether a measured value is outside; a value that could not be measured is not."""
        if value is None:
            return False
        return (self.at_least is not None and value < self.at_least) or (
            self.at_most is not None and value > self.at_most
        )


LIMITS: Final = (
    Limit(
        "nuclear_area_percent",
        "Area of nuclei (% of the image)",
        "Hardly any stained nuclei were found. Check that DAPI is the blue channel, or choose another region.",
        at_least=MIN_NUCLEAR_AREA_PERCENT,
        rejects=RejectionReason.TOO_FEW_AREAS,
    ),
    Limit(
        "estimated_nuclei",
        "Nuclei (estimate from DAPI)",
        "The region shows fewer than 20 nuclei, and some of them will be cut or covered. Add regions until at least 20 "
        "can be scored.",
        at_least=MIN_NUCLEI,
        rejects=RejectionReason.TOO_FEW_AREAS,
    ),
    Limit(
        "focus_ratio",
        "Focus (sharpness of nuclear borders)",
        "The image is out of focus: neighbouring signals merge and weak ones vanish. Focus and take it again.",
        at_least=MIN_FOCUS_RATIO,
        rejects=RejectionReason.RESOLUTION,
    ),
    Limit(
        "dapi_contrast",
        "DAPI contrast (nuclei against background)",
        "Nuclei hardly stand out from the background in DAPI. Expose DAPI longer, or check digestion and staining.",
        at_least=MIN_DAPI_CONTRAST,
        rejects=RejectionReason.RESOLUTION,
    ),
    Limit(
        "her2_signal_to_noise",
        "HER2 signals against the texture of nuclei",
        "HER2 signals are weak: most nuclei show none that stands out. If more than a quarter cannot be scored, the "
        "region is not suitable.",
        at_least=MIN_SIGNAL_TO_NOISE,
        rejects=RejectionReason.WEAK_SIGNALS,
    ),
    Limit(
        "cep17_signal_to_noise",
        "CEP17 signals against the texture of nuclei",
        "CEP17 signals are weak: most nuclei show none that stands out. Missed CEP17 signals raise the ratio. If more "
        "than a quarter cannot be scored, the region is not suitable.",
        at_least=MIN_SIGNAL_TO_NOISE,
        rejects=RejectionReason.WEAK_SIGNALS,
    ),
    Limit(
        "her2_signal_to_background",
        "HER2 signals against the glow of nuclei",
        "HER2 signals are hardly brighter than the glow of the nuclei around them (haze, bleed-through or "
        "autofluorescence).",
        at_least=MIN_SIGNAL_TO_BACKGROUND,
        rejects=RejectionReason.AUTOFLUORESCENCE,
    ),
    Limit(
        "cep17_signal_to_background",
        "CEP17 signals against the glow of nuclei",
        "CEP17 signals are hardly brighter than the glow of the nuclei around them (haze, bleed-through or "
        "autofluorescence).",
        at_least=MIN_SIGNAL_TO_BACKGROUND,
        rejects=RejectionReason.AUTOFLUORESCENCE,
    ),
    Limit(
        "her2_background_percent",
        "Background between nuclei in HER2 (% of full scale)",
        "The background glows in the HER2 channel. Strong autofluorescence makes a region unsuitable.",
        at_most=MAX_BACKGROUND_PERCENT,
        rejects=RejectionReason.AUTOFLUORESCENCE,
    ),
    Limit(
        "cep17_background_percent",
        "Background between nuclei in CEP17 (% of full scale)",
        "The background glows in the CEP17 channel. Strong autofluorescence makes a region unsuitable.",
        at_most=MAX_BACKGROUND_PERCENT,
        rejects=RejectionReason.AUTOFLUORESCENCE,
    ),
    Limit(
        "autofluorescent_percent",
        "Glowing in both probes between nuclei (% of that area)",
        "Structures between nuclei glow in both probes (fibres, red cells, debris). Strong autofluorescence makes a "
        "region unsuitable.",
        at_most=MAX_AUTOFLUORESCENT_PERCENT,
        rejects=RejectionReason.AUTOFLUORESCENCE,
    ),
    Limit(
        "her2_outside_percent",
        "HER2 signals outside nuclei (% of all)",
        "Many HER2 signals lie outside the nuclei. If more than a tenth do, the region is not suitable.",
        at_most=MAX_OUTSIDE_SIGNALS_PERCENT,
        rejects=RejectionReason.CYTOPLASMIC,
    ),
    Limit(
        "cep17_outside_percent",
        "CEP17 signals outside nuclei (% of all)",
        "Many CEP17 signals lie outside the nuclei. If more than a tenth do, the region is not suitable.",
        at_most=MAX_OUTSIDE_SIGNALS_PERCENT,
        rejects=RejectionReason.CYTOPLASMIC,
    ),
    Limit(
        "clumping",
        "Clumping of nuclei (1 = apart)",
        "Nuclei lie in clumps: where they overlap, signals cannot be given to one of them. Prefer a region where they "
        "lie apart, or leave out what overlaps.",
        at_most=MAX_CLUMPING,
    ),
    Limit(
        "her2_saturated_percent",
        "Overexposed in HER2 (% of the image)",
        "The HER2 channel is overexposed: signals that touch cannot be told apart. Expose it shorter.",
        at_most=MAX_PROBE_SATURATED_PERCENT,
    ),
    Limit(
        "cep17_saturated_percent",
        "Overexposed in CEP17 (% of the image)",
        "The CEP17 channel is overexposed: signals that touch cannot be told apart. Expose it shorter.",
        at_most=MAX_PROBE_SATURATED_PERCENT,
    ),
    Limit(
        "dapi_saturated_percent",
        "Overexposed in DAPI (% of the image)",
        "DAPI is overexposed: the borders of touching nuclei are lost. Expose it shorter.",
        at_most=MAX_DAPI_SATURATED_PERCENT,
    ),
    Limit(
        "blockiness",
        "JPEG blocks (1 = none)",
        "JPEG compression has left blocks that can hide or imitate weak signals. Use an image saved as PNG or TIFF "
        "from the start; converting this file does not help.",
        at_most=MAX_BLOCKINESS,
    ),
)
"""Every measure that has a limit, in the order of advice."""


def measure(pixels_rgb: PixelsRGB) -> dict[str, float | None]:
    """The suitability measures of a region, pixels uint8 (H, W, 3) of red HER2, green CEP17, blue DAPI.

    Names as in LIMITS, and `nucleus_width_px`. None where there is nothing to measure on: without nuclei, no signals.
    """
    image = Image.fromarray(pixels_rgb)
    overview = np.asarray(image.reduce(_SEARCH_SCALE))
    nuclei, width_px = _nuclei(overview[:, :, 2].astype(np.float32))
    found = width_px >= _NARROWEST_NUCLEUS_PX
    measures: dict[str, float | None] = {limit.measure: None for limit in LIMITS}
    measures["nucleus_width_px"] = width_px if found else None
    measures["nuclear_area_percent"] = 100 * float(nuclei.mean()) if found else 0.0
    measures |= _saturation(image)
    measures["blockiness"] = _blockiness(pixels_rgb)
    background = [_median_level(overview[:, :, channel][~nuclei]) for channel in range(3)]
    measures["her2_background_percent"] = background[0] / 2.55
    measures["cep17_background_percent"] = background[1] / 2.55
    if found:
        measures["estimated_nuclei"], own_width_px = _centres(nuclei, width_px)
        away = _away(nuclei, width_px)
        measures["clumping"] = width_px / own_width_px if own_width_px else None
        measures["autofluorescent_percent"] = _autofluorescent_percent(overview, away, background)
        scaled = _at_common_scale(image, width_px)
        measures["dapi_contrast"] = _contrast(_median_level(overview[:, :, 2][nuclei]), background[2])
        measures["focus_ratio"] = _focus_ratio(scaled[2])
        mask = _stretched(nuclei, scaled[2].shape)
        for name, (to_noise, to_background) in zip(("her2", "cep17"), _signals(scaled[:2], mask), strict=True):
            measures[f"{name}_signal_to_noise"] = to_noise
            measures[f"{name}_signal_to_background"] = to_background
        for name, outside in zip(
            ("her2", "cep17"), _outside_percent(scaled[:2], mask, _stretched(away, mask.shape)), strict=True
        ):
            measures[f"{name}_outside_percent"] = outside
    return measures


def broken(measures: Mapping[str, float | None]) -> tuple[Limit, ...]:
    """The limits that a region does not keep, worst first as in LIMITS; empty if all is well."""
    return tuple(limit for limit in LIMITS if limit.broken_by(measures.get(limit.measure)))


def advice(measures: Mapping[str, float | None]) -> tuple[str, ...]:
    """What the pathologist should know before judging the region, worst first as in LIMITS; empty if all is well."""
    return tuple(limit.advice for limit in broken(measures))


def _nuclei(dapi: Float) -> tuple[Mask, float]:
    """Where nuclei are in a DAPI channel at the search scale, and their typical width in pixels of the image.

    The width follows from area and border: for discs, however many, it is four times area by perimeter. 0 where
    the brighter part is not brighter by more than a few levels.
    """
    smooth = _box(_box(dapi, 1), 1)
    mask = smooth > otsu(np.bincount(smooth.astype(np.uint8).ravel(), minlength=256)) + 0.5
    if not mask.any() or mask.all() or smooth[mask].mean() - smooth[~mask].mean() < _LEAST_STAIN_LEVELS:
        return np.zeros_like(mask), 0.0
    steps = np.count_nonzero(mask[1:] ^ mask[:-1]) + np.count_nonzero(mask[:, 1:] ^ mask[:, :-1])
    perimeter = steps * np.pi / 4  # a curve crosses the lines of a grid 4 / pi times its length
    return mask, float(_SEARCH_SCALE * 4 * np.count_nonzero(mask) / max(perimeter, 1.0))


def _centres(nuclei: Mask, width_px: float) -> tuple[float, float]:
    """How many centres of nuclei a mask at the search scale has, and their typical width in pixels of the image.

    A centre is where the border is farthest; in a clump each nucleus still has its own, unless it hides under others.
    """
    every = max(1, int(width_px / _SEARCH_SCALE / _SEED_PX))
    depth = ndimage.distance_transform_edt(nuclei[::every, ::every])
    smooth = ndimage.gaussian_filter(depth, 0.7)
    highest = (smooth == ndimage.maximum_filter(smooth, size=5)) & (smooth > 1.0)
    centres, number = ndimage.label(ndimage.binary_dilation(highest, np.ones((3, 3))))  # a flat top is one
    if not number:
        return 0.0, 0.0
    peaks = np.asarray(ndimage.maximum(smooth, centres, np.arange(1, number + 1)))
    peaks = peaks[peaks > 0.5 * np.quantile(peaks, 0.8)]  # the others are fragments
    return float(peaks.size), float(_SEARCH_SCALE * every * 2 * np.median(peaks))


def _away(nuclei: Mask, width_px: float) -> Mask:
    """Where neither a nucleus nor its halo is, at the search scale."""
    halo = max(1, round(_HALO_WIDTHS * width_px / _SEARCH_SCALE))
    away: Mask = ~ndimage.maximum_filter(nuclei, size=2 * halo + 1)
    return away


def _autofluorescent_percent(overview: PixelsRGB, away: Mask, background: list[float]) -> float:
    """The share of the area away from nuclei that is brighter than the background in both probes, in percent.

    A probe's own stray light shows in one channel; what glows by itself shows in both.
    """
    if not away.any():
        return 0.0
    glowing = [overview[:, :, channel][away] > background[channel] + _GLOWING_LEVELS for channel in (0, 1)]
    return 100 * float((glowing[0] & glowing[1]).mean())


def otsu(histogram: npt.NDArray[np.intp]) -> int:
    """The grey level, 0 to 254, that best parts the values of a histogram of 256 levels in two (Otsu 1979)."""
    counts = histogram.astype(np.float64)
    below, sums = np.cumsum(counts)[:-1], np.cumsum(counts * np.arange(256))
    above = counts.sum() - below
    between = (sums[-1] * below / counts.sum() - sums[:-1]) ** 2 / np.maximum(below * above, 1)
    return int(np.argmax(between))


def _median_level(levels: PixelsRGB) -> float:
    """The median of grey levels, by counting; 0 of none."""
    counts = np.cumsum(np.bincount(levels.ravel(), minlength=256))
    return float(np.searchsorted(counts, counts[-1] / 2))


def _at_common_scale(image: Image.Image, width_px: float) -> Float:
    """(3, h, w) of the image reduced until nuclei are 40 pixels wide; never enlarged."""
    factor = min(1.0, _NUCLEUS_PX / width_px)
    size = (max(1, round(image.width * factor)), max(1, round(image.height * factor)))
    reduced = np.asarray(image.resize(size, Image.Resampling.BOX))
    return np.ascontiguousarray(reduced.transpose(2, 0, 1), dtype=np.float32)


def _stretched(mask: Mask, shape: tuple[int, ...]) -> Mask:
    """The mask at another size, by nearest neighbours."""
    rows = np.arange(shape[0]) * mask.shape[0] // shape[0]
    columns = np.arange(shape[1]) * mask.shape[1] // shape[1]
    stretched: Mask = mask[rows][:, columns]
    return stretched


def _contrast(nuclei: float, background: float) -> float:
    """Michelson contrast, lowered where all is dark: 0 for none, 1 for white on black."""
    return (nuclei - background) / (nuclei + background + _DARK_LEVELS)


def _focus_ratio(dapi: Float) -> float:
    """How much the steepest edges of nuclei lose when blurred a little more: about 1 if they are blurred already."""
    fine, coarse = _steepness(_box(dapi, 1)), _steepness(_box(_box(dapi, 2), 2))
    every = (slice(None, None, 2), slice(None, None, 2))  # a quarter of the pixels give the same quantile
    return float(np.quantile(fine[every], 0.98) / max(float(np.quantile(coarse[every], 0.98)), 1e-3))


def _steepness(plane: Float) -> Float:
    """The length of the gradient at inner pixels."""
    across = plane[1:-1, 2:] - plane[1:-1, :-2]
    down = plane[2:, 1:-1] - plane[:-2, 1:-1]
    steepness: Float = np.sqrt(across * across + down * down)
    return steepness


def _signals(planes: Float, nuclei: Mask) -> list[tuple[float | None, float | None]]:
    """For each plane of (n, h, w): the typical nucleus' strongest signal over the noise and texture of nuclei, and over
    their glow.

    Strength is the local contrast of a spot against its surroundings, both within nuclei, so that their borders are
    no signals; the strongest of each square of a nucleus' size that lies on nuclei counts, and of these the median:
    half of the nuclei have at least this.
    """
    side = _NUCLEUS_PX
    rows, columns = nuclei.shape[0] // side, nuclei.shape[1] // side

    def squares(values: Float) -> Float:
        return values[: rows * side, : columns * side].reshape(rows, side, columns, side)

    weight = nuclei.astype(np.float32)
    covered = squares(weight).mean(axis=(1, 3)) > _COVERED if rows and columns else np.zeros((0, 0), np.bool_)
    if not covered.any():
        return [(None, None)] * len(planes)
    of_spot, of_surroundings = _box(weight, _SPOT_PX) + _TINY, _box(weight, _SURROUNDINGS_PX) + _TINY
    results: list[tuple[float | None, float | None]] = []
    for plane in planes:
        on_black = plane * weight
        contrast: Float = _box(on_black, _SPOT_PX) / of_spot - _box(on_black, _SURROUNDINGS_PX) / of_surroundings
        typical = float(np.median(squares(contrast * weight).max(axis=(1, 3))[covered]))
        on_nuclei = contrast[nuclei][::4]
        noise = 1.4826 * float(np.median(np.abs(on_nuclei - np.median(on_nuclei))))
        glow = _median_level(plane[nuclei].astype(np.uint8))
        results.append((typical / max(noise, _LEAST_NOISE_LEVELS), (glow + typical) / max(glow, 1.0)))
    return results


def _outside_percent(planes: Float, nuclei: Mask, away: Mask) -> list[float]:
    """For each plane of (n, h, w) at the common scale: spots that lie away from nuclei, in percent of all spots.

    A spot is a local maximum at least half as strong as the strong ones inside nuclei. The rims of nuclei count as
    inside: a signal there is seen through the border of a section.
    """
    shares = []
    for plane in planes:
        contrast = _box(plane, _SPOT_PX) - _box(plane, _SURROUNDINGS_PX)
        inside = contrast[nuclei][::4]
        strong = float(np.quantile(inside, 0.99)) if inside.size else 0.0
        rows, columns = _maxima(contrast, max(0.5 * strong, 4 * _LEAST_NOISE_LEVELS))
        shares.append(100 * float(np.count_nonzero(away[rows, columns])) / max(len(rows), 1))
    return shares


def _maxima(plane: Float, least: float) -> tuple[npt.NDArray[np.intp], npt.NDArray[np.intp]]:
    """Rows and columns of the inner pixels above `least` that no neighbour within two pixels exceeds."""
    inner = np.zeros(plane.shape, np.bool_)
    inner[2:-2, 2:-2] = plane[2:-2, 2:-2] > least
    rows, columns = np.nonzero(inner)
    steps = np.arange(-2, 3)
    around = plane[rows[:, None, None] + steps[:, None], columns[:, None, None] + steps]  # (n, 5, 5)
    highest = plane[rows, columns] >= around.max(axis=(1, 2), initial=0.0)
    return rows[highest], columns[highest]


def _saturation(image: Image.Image) -> dict[str, float]:
    """The share of pixels at the upper end of each channel, in percent."""
    histogram = image.histogram()
    pixels = image.width * image.height
    return {
        f"{name}_saturated_percent": 100
        * sum(histogram[256 * channel + _SATURATED_FROM : 256 * (channel + 1)])
        / pixels
        for channel, name in enumerate(("her2", "cep17", "dapi"))
    }


def _blockiness(pixels_rgb: PixelsRGB) -> float | None:
    """Steps at every eighth line over steps elsewhere, mean of the two probe channels; 1 without JPEG's blocks.

    Any phase counts, since a region may have been cut from a larger image. None for less than four blocks.
    """
    if min(pixels_rgb.shape[:2]) <= 32:
        return None
    values = []
    for channel in (0, 1):
        plane = pixels_rgb[:, :, channel]
        ratios = []
        for lines in (plane[::3], plane.T[::3]):
            steps = np.abs(np.diff(lines.astype(np.int16), axis=1)).mean(axis=0)
            phases = steps[: len(steps) // 8 * 8].reshape(-1, 8).mean(axis=0)
            ratios.append(float(phases.max() / max(float(np.median(phases)), 0.05)))
        values.append(max(ratios))
    return float(np.mean(values))


def _box(plane: Float, radius: int) -> Float:
    """The mean over a square of side 2 * radius + 1; edges are repeated. Sums of slices: faster than a filter here."""
    side = 2 * radius + 1
    height, width = plane.shape
    padded = np.pad(plane, radius, mode="edge")
    rows = padded[:, :width].copy()
    for shift in range(1, side):
        rows += padded[:, shift : shift + width]
    total = rows[:height].copy()
    for shift in range(1, side):
        total += rows[shift : shift + height]
    total /= side * side
    return total
