"""Whether there is a nucleus in a box that a person drew."""

from __future__ import annotations

import numpy as np
import pytest

from her2core.imaging.stain import relative_stain
from her2core.records import Box
from her2core.scoring.scorable import LEAST_STAIN

NUCLEI: list[Box] = [(20.0 + 80 * i, 20.0, 80.0 + 80 * i, 80.0) for i in range(5)]


def region(background: int = 10, nuclei: int = 90, dim: float = 1.0) -> np.ndarray:
    """Five discs in DAPI in a row; the last is dimmer by `dim`. Below them nothing."""
    ys, xs = np.mgrid[:240, :440]
    pixels = np.full((240, 440, 3), background, np.uint8)
    for index, (x0, y0, x1, y1) in enumerate(NUCLEI):
        inside = ((2 * xs - x0 - x1) / (x1 - x0)) ** 2 + ((2 * ys - y0 - y1) / (y1 - y0)) ** 2 <= 1
        pixels[inside, 2] = round(background + (dim if index == 4 else 1.0) * (nuclei - background))
    return pixels


@pytest.mark.parametrize(
    ("box", "dim", "seen"),
    [
        (NUCLEI[4], 1.0, 1.0),
        (NUCLEI[4], 0.5, 0.5),  # a pale nucleus
        ((330.0, 10.0, 410.0, 90.0), 1.0, 1.0),  # drawn wide
        ((200.0, 150.0, 260.0, 210.0), 1.0, 0.0),  # plain background
        ((200.0, 60.0, 260.0, 120.0), 1.0, 0.0),  # background that a nucleus reaches into
        ((400.0, 200.0, 500.0, 300.0), 1.0, 0.0),  # half outside of the image
        ((600.0, 300.0, 660.0, 360.0), 1.0, -0.125),  # all outside
    ],
)
def test_dapi_of_a_box_is_held_against_the_other_nuclei(box: Box, dim: float, seen: float) -> None:
    stain = relative_stain(region(dim=dim), box, NUCLEI[:4])
    assert stain is not None
    assert stain == pytest.approx(seen, abs=0.01)
    assert (stain < LEAST_STAIN) is (seen < LEAST_STAIN)


@pytest.mark.parametrize(
    ("pixels", "others"),
    [
        (region(), NUCLEI[:2]),  # too few nuclei to hold it against
        (region(), []),
        (region(nuclei=15), NUCLEI[:4]),  # they hardly stand out themselves
        (np.zeros((240, 440, 3), np.uint8), NUCLEI[:4]),  # no DAPI at all
    ],
)
def test_where_it_cannot_be_told_nothing_is_said(pixels: np.ndarray, others: list[Box]) -> None:
    assert relative_stain(pixels, (200.0, 150.0, 260.0, 210.0), others) is None
