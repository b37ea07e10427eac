"""How strongly a box is stained by DAPI, against the nuclei of its region: whether there is a nucleus at all."""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np
import numpy.typing as npt

from her2core.imaging.region import PixelsRGB
from her2core.records import Box

__all__ = ["relative_stain"]

_DAPI = 2  # blue
_FEWEST_NUCLEI = 3  # to hold a box against
_MOST_NUCLEI = 400  # taken evenly from all of them
_MOST_PIXELS = 1_000_000  # for the background
_BACKGROUND_PERCENT = 10  # of the pixels: even between crowded nuclei so many show none
_LEAST_CONTRAST_LEVELS = 6.0


def relative_stain(pixels_rgb: PixelsRGB, box: Box, others: Sequence[Box]) -> float | None:
    """How far DAPI rises above the background in a box, against the median of the region's other nuclei.

    pixels: uint8 (H, W, 3) of red HER2, green CEP17, blue DAPI; boxes xyxy in its pixels. About 1 for a nucleus like
    the others, about 0 for background. In a box the brightest quarter counts, so that a nucleus is seen in one that was
    drawn too wide. None where that cannot be told: fewer than 3 other nuclei, or nuclei that hardly stand out.
    """
    if len(others) < _FEWEST_NUCLEI:
        return None
    dapi = pixels_rgb[:, :, _DAPI]
    every = max(1, int(np.sqrt(dapi.size / _MOST_PIXELS)))
    background = float(np.percentile(dapi[::every, ::every], _BACKGROUND_PERCENT))
    some = others[:: max(1, len(others) // _MOST_NUCLEI)]
    contrast = float(np.median([_level(dapi, other) for other in some])) - background
    return (_level(dapi, box) - background) / contrast if contrast >= _LEAST_CONTRAST_LEVELS else None


def _level(dapi: npt.NDArray[np.uint8], box: Box) -> float:
    """The grey level that a quarter of the ellipse in a box reaches; 0 outside the image."""
    x0, y0, x1, y1 = box
    left, top = max(0, int(x0)), max(0, int(y0))
    inside = dapi[top : max(top, int(np.ceil(y1))), left : max(left, int(np.ceil(x1)))]
    y, x = np.ogrid[top : top + inside.shape[0], left : left + inside.shape[1]]
    ellipse = ((2 * x + 1 - x0 - x1) / (x1 - x0)) ** 2 + ((2 * y + 1 - y0 - y1) / (y1 - y0)) ** 2 <= 1
    held = inside[ellipse]
    return float(np.percentile(held, 75)) if held.size else 0.0
