"""The region that the tests of `imaging` put into files."""

from __future__ import annotations

import numpy as np
import pytest

from tests.imaging.synthetic import Pixels, fish


@pytest.fixture(scope="session")
def region() -> Pixels:
    """A synthetic FISH region of 480 x 360 pixels, not to be written to."""
    pixels = fish()
    pixels.setflags(write=False)
    return pixels


@pytest.fixture(scope="session")
def region_16(region: Pixels) -> np.ndarray[tuple[int, ...], np.dtype[np.uint16]]:
    """The same region as a 12-bit camera sees it, offset included."""
    rng = np.random.default_rng(1)
    return (region.astype(np.uint16) * 14 + 200 + rng.integers(0, 14, region.shape)).astype(np.uint16)
