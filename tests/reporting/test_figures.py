"""Pictures tell the state of a nucleus without colour, and a length only where it is known."""

from __future__ import annotations

import io
from dataclasses import replace
from typing import Any

import numpy as np
import numpy.typing as npt
import pytest
from PIL import Image, ImageDraw

from her2core.errors import ImageError
from her2core.records import Box, Exclusion, Nucleus
from her2core.reporting.figures import overlay_thumbnail

BOX: Box = (100.0, 100.0, 300.0, 280.0)


def nucleus(box: Box = BOX, *, scored: bool = True, clustered: bool = False, uncertain: bool = False) -> Nucleus:
    return Nucleus(
        id=1,
        box=box,
        score=0.9,
        her2=4,
        cep17=2,
        her2_regressed=4.1,
        cep17_regressed=2.0,
        clustered=clustered,
        scored=scored,
        reason=None if scored else Exclusion.EDGE,
        uncertain=uncertain,
    )


def region(width: int = 400, height: int = 400) -> npt.NDArray[np.uint8]:
    return np.full((height, width, 3), 40, np.uint8)


def read(data: bytes) -> npt.NDArray[np.uint8]:
    with Image.open(io.BytesIO(data)) as image:
        assert image.format == "JPEG"
        return np.asarray(image.convert("L"))


def strokes(picture: npt.NDArray[np.uint8], y: int) -> int:
    """How many bright pieces the horizontal line at `y` has between the corners of BOX."""
    bright = picture[y - 1 : y + 2, 120:280].max(axis=0) > 120
    return int(np.count_nonzero(np.diff(bright.astype(int)) == 1) + bright[0])


def test_a_large_region_is_scaled_to_the_asked_size() -> None:
    assert read(overlay_thumbnail(region(3000, 1000), [], None, 600)).shape == (200, 600)
    assert read(overlay_thumbnail(region(300, 1000), [], None, 600)).shape == (600, 180)


def test_a_small_region_is_blown_up_so_that_its_numbers_print_sharp() -> None:
    assert read(overlay_thumbnail(region(200, 150), [], None, 600)).shape == (450, 600)


def test_lines_differ_between_states_in_grey_too() -> None:
    def bottom(which: Nucleus) -> int:
        return strokes(read(overlay_thumbnail(region(), [which], None, 400)), 280)

    solid, long_dashes, dashes = bottom(nucleus()), bottom(nucleus(clustered=True)), bottom(nucleus(uncertain=True))
    assert solid == 1
    assert 5 < long_dashes < dashes


@pytest.mark.parametrize(
    ("which", "edited"),
    [
        (nucleus(clustered=True), False),
        (nucleus(uncertain=True), False),
        (nucleus(scored=False), False),
        (nucleus(), True),
    ],
)
def test_a_sign_stands_beside_the_number_of_all_but_the_plainly_scored(which: Nucleus, edited: bool) -> None:
    beside = (slice(104, 116), slice(112, 128))
    plain = read(overlay_thumbnail(region(), [nucleus()], None, 400, edited_ids={2}))
    signed = read(overlay_thumbnail(region(), [which], None, 400, edited_ids={1} if edited else ()))
    assert plain[beside].max() < 60
    assert signed[beside].max() > 90


def test_a_scale_bar_is_drawn_only_where_the_scale_is_known() -> None:
    without = read(overlay_thumbnail(region(), [], None, 400))
    assert without.max() < 60
    bar = read(overlay_thumbnail(region(), [], 0.25, 400))
    assert bar.max() > 200


def test_the_bar_is_as_long_as_it_says_whatever_the_size_of_the_picture() -> None:
    # 0.2 µm/px, 1000 px = 200 µm across; a quarter is 50 µm, 250 px of the region, 125 px of the picture.
    picture = read(overlay_thumbnail(region(1000, 1000), [], 0.2, 500))
    longest = max(int((row > 200).sum()) for row in picture)
    assert longest == pytest.approx(125, abs=3)


@pytest.mark.parametrize("um_per_px", [1e-9, 1e9, 0.0, -1.0])
def test_an_impossible_scale_draws_no_bar(um_per_px: float) -> None:
    assert read(overlay_thumbnail(region(), [], um_per_px, 400)).max() < 60


def test_a_crop_shows_only_that_part_and_its_nuclei() -> None:
    pixels = region(800, 800)
    pixels[100:280, 100:300] = 200
    both = [nucleus(), nucleus((700, 700, 790, 790))]
    picture = read(overlay_thumbnail(pixels, both, None, 300, crop=(50, 50, 350, 350)))
    assert picture.shape == (300, 300)
    assert picture[140, 150] > 150
    assert picture[10:40, 10:40].max() < 60
    with pytest.raises(ImageError, match="outside"):
        overlay_thumbnail(pixels, [], None, crop=(900, 0, 1000, 100))


def test_boxes_beyond_the_edge_or_turned_over_do_no_harm() -> None:
    boxes: list[Box] = [(-50, -50, 20, 20), (390, 390, 900, 900), (200, 200, 200, 200), (300, 300, 200, 200)]
    overlay_thumbnail(region(), [nucleus(box, clustered=True) for box in boxes], 0.1, 400)
    overlay_thumbnail(region(), [nucleus(box, scored=False) for box in boxes], 0.1, 400)


@pytest.mark.parametrize(
    "pixels",
    [
        np.zeros((10, 10), np.uint8),
        np.zeros((10, 10, 4), np.uint8),
        np.zeros((10, 10, 3), np.uint16),
        np.zeros((0, 10, 3), np.uint8),
    ],
)
def test_other_arrays_are_refused(pixels: npt.NDArray[np.uint8]) -> None:
    with pytest.raises(ImageError, match="8-bit"):
        overlay_thumbnail(pixels, [], None)


def test_the_same_input_gives_the_same_bytes() -> None:
    assert overlay_thumbnail(region(), [nucleus()], 0.2, 400) == overlay_thumbnail(region(), [nucleus()], 0.2, 400)


def test_the_picture_of_a_region_is_never_changed_in_place() -> None:
    pixels = region()
    overlay_thumbnail(pixels, [nucleus()], 0.2)
    assert (pixels == 40).all()


def numbers(nuclei: list[Nucleus], monkeypatch: pytest.MonkeyPatch, max_px: int = 400) -> dict[str, Box]:
    """Where each number was written."""
    found: dict[str, Box] = {}
    write = ImageDraw.ImageDraw.text

    def noted(self: ImageDraw.ImageDraw, at: tuple[float, float], text: str, **how: Any) -> None:
        found[text] = self.textbbox(at, text, font=how["font"], stroke_width=how.get("stroke_width", 0))
        write(self, at, text, **how)

    monkeypatch.setattr(ImageDraw.ImageDraw, "text", noted)
    overlay_thumbnail(region(), nuclei, 0.1, max_px)
    return found


@pytest.mark.parametrize(("apart", "every_one"), [((17.0, 23.0), True), ((11.0, 8.0), False)])
def test_numbers_of_a_crowded_region_cover_neither_each_other_nor_the_scale(
    apart: tuple[float, float], every_one: bool, monkeypatch: pytest.MonkeyPatch
) -> None:
    corners = [(apart[0] * i, apart[1] * j) for j in range(15) for i in range(20)]
    crowd = [replace(nucleus((x, y, x + 40, y + 40)), id=i) for i, (x, y) in enumerate(corners, 101)]
    found = numbers(crowd, monkeypatch)
    assert "10 µm" in found
    assert (len(found) == len(crowd) + 1) == every_one
    assert len(found) > 100
    places = list(found.values())
    for i, a in enumerate(places):
        assert a[0] >= 0 and a[1] >= 0 and a[2] <= 400 and a[3] <= 400
        for b in places[:i]:
            assert a[2] <= b[0] or b[2] <= a[0] or a[3] <= b[1] or b[3] <= a[1], (a, b)


def test_two_boxes_that_share_a_corner_both_have_their_number(monkeypatch: pytest.MonkeyPatch) -> None:
    found = numbers([nucleus(), replace(nucleus((104.0, 102.0, 290.0, 270.0)), id=2)], monkeypatch)
    assert {"1", "2"} <= set(found)
