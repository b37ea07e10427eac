"""Drawn nuclei through the whole analysis with the committed weights: one out of focus, and two that touch."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path

import numpy as np
import pytest
from numpy.typing import NDArray
from scipy.ndimage import gaussian_filter

from her2core.pipeline import Models, analyse, load_models
from her2core.records import Box, Exclusion
from her2core.scoring import tally
from her2core.training.readings import match_nuclei

Pixels = NDArray[np.uint8]
Centres = Sequence[tuple[float, float]]

WIDTH_PX, HEIGHT_PX = 72, 62  # of a nucleus
SIGNALS = ((-14, -10, 0), (14, 10, 0), (-12, 12, 1), (13, -11, 1))  # x, y, channel: two HER2, two CEP17
BLUR_PX = 4.0  # standard deviation: its signals can still be seen


@pytest.fixture(scope="module")
def models() -> Models:
    return load_models(Path("models"), "cpu")


def drawn(centres: Centres, width: int, height: int, blurred: int | None = None) -> Pixels:
    """Oval nuclei with two signals of each colour, by no renderer that trained the models; `blurred` out of focus."""
    light = np.zeros((height, width, 3))
    ys, xs = np.mgrid[:height, :width].astype(float)
    for index, (cx, cy) in enumerate(centres):
        one = np.zeros_like(light)
        depth = np.hypot((xs - cx) / (WIDTH_PX / 2), (ys - cy) / (HEIGHT_PX / 2))
        one[..., 2] = 120 / (1 + np.exp((depth - 1) * 40))
        for dx, dy, channel in SIGNALS:
            one[..., channel] += 150 * np.exp(-((xs - cx - dx) ** 2 + (ys - cy - dy) ** 2) / (2 * 2.0**2))
        light = np.maximum(light, gaussian_filter(one, (BLUR_PX, BLUR_PX, 0)) if index == blurred else one)
    light += np.random.default_rng(7).normal(6, 1.5, light.shape)
    pixels: Pixels = np.clip(light, 0, 255).astype(np.uint8)
    return pixels


def boxes(centres: Centres) -> list[Box]:
    return [(x - WIDTH_PX / 2, y - HEIGHT_PX / 2, x + WIDTH_PX / 2, y + HEIGHT_PX / 2) for x, y in centres]


def test_a_nucleus_out_of_focus_is_found_and_kept_and_not_scored(models: Models) -> None:
    centres = [(60 + 95 * (i % 4), 55 + 90 * (i // 4)) for i in range(8)]
    nuclei = analyse(drawn(centres, 420, 200, blurred=5), models).nuclei
    place = {true: nuclei[found] for found, true in match_nuclei(nuclei, boxes(centres))}
    assert len(nuclei) == len(place) == 8
    soft = place.pop(5)
    assert (soft.scored, soft.reason) == (False, Exclusion.OUT_OF_FOCUS)
    assert all(n.scored and (n.her2, n.cep17) == (2, 2) for n in place.values())
    assert (tally(nuclei).n, tally(nuclei).her2, tally(nuclei).cep17) == (7, 14, 14)
    sharp = analyse(drawn(centres, 420, 200), models).nuclei  # it is the blur that leaves it out
    assert [n.reason for n in sharp] == [None] * 8


@pytest.mark.parametrize(
    ("dx", "dy"), [(WIDTH_PX, 0), (0, HEIGHT_PX), (WIDTH_PX - 5, 0)], ids=["beside", "below", "pressed together"]
)
def test_nuclei_that_touch_are_two_boxes_each_with_its_own_signals(models: Models, dx: int, dy: int) -> None:
    centres = [(60.0, 60.0), (60.0 + dx, 60.0 + dy), (210.0, 60.0)]
    nuclei = analyse(drawn(centres, 290, 190), models).nuclei
    assert sorted(true for _, true in match_nuclei(nuclei, boxes(centres), iou=0.8)) == [0, 1, 2]
    assert len(nuclei) == 3
    assert all(n.scored and (n.her2, n.cep17) == (2, 2) for n in nuclei)
