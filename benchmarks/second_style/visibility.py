"""Could a reader see each signal in the final image? Its answer to a matched filter against that of its nucleus."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray
from scipy.ndimage import gaussian_filter

from benchmarks.second_style.fields import Float
from benchmarks.second_style.settings import Settings
from benchmarks.second_style.signals import PaintedSpot
from benchmarks.second_style.tissue import Cell

__all__ = ["LEAST_CONTRAST_TO_NOISE", "LEAST_RISE", "Sight", "look_at"]

LEAST_CONTRAST_TO_NOISE = 5.0
LEAST_RISE = 6.0  # grey levels, after smoothing with nearly the spot's own width
_LEAST_NOISE = 0.35  # grey levels: the rounding to 8 bit
_ENOUGH_PX = 40


@dataclass(frozen=True, slots=True)
class Sight:
    """How far a spot stands out in its channel: contrast-to-noise, and its rise in grey levels."""

    contrast_to_noise: float
    rise: float

    @property
    def visible(self) -> bool:
        return self.contrast_to_noise >= LEAST_CONTRAST_TO_NOISE and self.rise >= LEAST_RISE


def _spread(values: Float) -> float:
    """Robust standard deviation."""
    return float(1.4826 * np.median(np.abs(values - np.median(values))))


class _Background:
    """Median and noise of one channel in each nucleus, away from its spots; the region's where too little is left."""

    def __init__(self, image: Float, cells: list[Cell], spots: list[PaintedSpot], fwhm_px: float, s: Settings) -> None:
        free = np.ones(image.shape, bool)
        reach = 1.6 * fwhm_px
        for spot in spots:
            x0, y0 = max(int(spot.x - reach), 0), max(int(spot.y - reach), 0)
            free[y0 : max(int(spot.y + reach) + 2, 0), x0 : max(int(spot.x + reach) + 2, 0)] = False
        self.of: dict[int, tuple[float, float]] = {}
        for number in {spot.cell for spot in spots}:
            cell = cells[number]
            x0, y0, x1, y1 = cell.box(s.width_px, s.height_px)
            part = (slice(y0 - cell.top, y1 - cell.top), slice(x0 - cell.left, x1 - cell.left))
            inner = cell.depth_px[part] > min(fwhm_px, 0.3 * float(cell.depth_px.max()))
            values = image[y0:y1, x0:x1][inner & free[y0:y1, x0:x1]]
            if len(values) >= _ENOUGH_PX:
                self.of[number] = float(np.median(values)), max(_spread(values), _LEAST_NOISE)
        known = np.array(list(self.of.values())) if self.of else np.array([[0.0, _LEAST_NOISE]])
        self.usual = float(np.median(known[:, 0])), float(np.median(known[:, 1]))

    def __getitem__(self, number: int) -> tuple[float, float]:
        return self.of.get(number, self.usual)


def _peak(image: Float, spot: PaintedSpot, reach_px: float) -> float:
    """Largest value near a spot."""
    height, width = image.shape
    x0, x1 = int(max(round(spot.x - reach_px), 0)), int(min(round(spot.x + reach_px) + 1, width))
    y0, y1 = int(max(round(spot.y - reach_px), 0)), int(min(round(spot.y + reach_px) + 1, height))
    return float(image[y0:y1, x0:x1].max(initial=0.0)) if x0 < x1 and y0 < y1 else 0.0


def look_at(pixels_rgb: NDArray[np.uint8], cells: list[Cell], spots: list[PaintedSpot], s: Settings) -> list[Sight]:
    """How each spot stands out in red (HER2) or green (CEP17) of the final image.

    A single signal must rise over its own surroundings (difference of two Gaussians); one of a cluster, whose
    neighbours glow, over the rest of its nucleus.
    """
    sights = [Sight(0.0, 0.0)] * len(spots)
    for channel, fwhm in ((0, s.her2_fwhm_px), (1, s.cep17_fwhm_px)):
        numbers = [i for i, spot in enumerate(spots) if spot.channel == channel]
        here = [spots[i] for i in numbers]
        image = pixels_rgb[..., channel].astype(np.float32)
        sigma = max(0.8, 0.36 * fwhm)
        smooth = gaussian_filter(image, sigma)
        answer = smooth - gaussian_filter(image, 2.2 * sigma)
        level, noise = _Background(smooth, cells, here, fwhm, s), _Background(answer, cells, here, fwhm, s)
        for i, spot in zip(numbers, here, strict=True):
            median, deviation = level[spot.cell]
            if spot.clustered:
                rise = _peak(smooth, spot, 0.4 * fwhm) - median
                sights[i] = Sight(rise / deviation, rise)
            else:
                middle, deviation = noise[spot.cell]
                rise = _peak(answer, spot, 0.4 * fwhm) - middle
                sights[i] = Sight(rise / deviation, rise)
    return sights
