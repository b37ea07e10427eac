"""Whole slides: windows as they are in the file, whatever its layout, and fields in the order of their worth."""

from __future__ import annotations

import time
import tracemalloc
from pathlib import Path
from typing import Any

import numpy as np
import numpy.typing as npt
import pytest
import tifffile
from PIL import Image

from her2core.errors import CancelledError, Her2CoreError, ImageSizeError, NotFluorescenceError, UnreadableImageError
from her2core.imaging import ChannelMap, read_region
from her2core.imaging.fields import Field, find_fields, signal_quality
from her2core.imaging.slide import Slide
from tests.imaging.slides import PATCH_PX, UM_PER_PX, patch, write_slide
from tests.imaging.synthetic import Pixels, fish

PLAN = [
    ["empty", "sparse", "weak", "empty"],
    ["small", "good", "crowded", "empty"],
    ["blurred", "empty", "empty", "good"],
    ["empty", "empty", "weak", "small"],
]
WINDOWS = [(0, 0, 300, 200), (255, 57, 130, 300), (383, 0, 97, 360), (479, 359, 1, 1), (0, 0, 480, 360)]


@pytest.fixture(scope="module")
def slide_4096(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return write_slide(tmp_path_factory.mktemp("slide") / "slide.tif", PLAN, levels=2)


@pytest.fixture(scope="module")
def picture() -> Pixels:
    return fish(seed=4)


@pytest.mark.parametrize(
    "options",
    [
        {"tile": (128, 128)},
        {"tile": (128, 64), "compression": "zlib"},
        {"tile": (128, 128), "compression": "zlib", "predictor": True},
        {"tile": (64, 64), "byteorder": ">", "bigtiff": True},
        {"tile": (64, 64), "planarconfig": "separate", "compression": "zlib"},
        {"rowsperstrip": 16},
        {"rowsperstrip": 50, "compression": "zlib"},
    ],
    ids=str,
)
@pytest.mark.parametrize("depth", [np.uint8, np.uint16])
def test_every_window_is_what_the_file_holds(tmp_path: Path, picture: Pixels, options: Any, depth: type) -> None:
    pixels: npt.NDArray[Any] = picture.astype(depth) * (257 if depth is np.uint16 else 1)
    stored = np.ascontiguousarray(pixels.transpose(2, 0, 1)) if "planarconfig" in options else pixels
    tifffile.imwrite(tmp_path / "slide.tif", stored, photometric="rgb", **options)
    with Slide(tmp_path / "slide.tif") as slide:
        assert (slide.width_px, slide.height_px, slide.factors) == (480, 360, (1.0,))
        for left, top, width, height in WINDOWS:
            found = slide.read(left, top, width, height)
            assert found.dtype == depth
            assert np.array_equal(found, pixels[top : top + height, left : left + width])


def test_tiles_in_jpeg_are_read(tmp_path: Path, picture: Pixels) -> None:
    Image.fromarray(picture).save(tmp_path / "slide.tif", compression="jpeg", quality=95, tile=(128, 128))
    with Image.open(tmp_path / "slide.tif") as image:
        whole = np.asarray(image)
    with Slide(tmp_path / "slide.tif") as slide:
        part = slide.read(100, 90, 200, 150)
    assert np.abs(part.astype(int) - whole[90:240, 100:300].astype(int)).max() <= 3


def test_channels_go_by_their_names_and_levels_are_found(tmp_path: Path) -> None:
    path = write_slide(tmp_path / "s.ome.tif", [["good", "weak"], ["small", "good"]], levels=2, sixteen=True, ome=True)
    with Slide(path) as slide:
        assert slide.factors == (1.0, 2.0, 4.0)
        assert slide.bit_depth == 16
        assert slide.um_per_px == pytest.approx(UM_PER_PX)
        full = slide.read(0, 0, 1024, 1024)
        assert np.array_equal(full, patch("good", 0).astype(np.uint16) * 14 + 200)
        coarse = slide.read(0, 0, 256, 256, level=2)
        mean = full.reshape(256, 4, 256, 4, 3).mean(axis=(1, 3))
        assert np.abs(coarse - mean).max() < 15  # rounded down in 8 bits
    with Slide(path, ChannelMap(her2=2, cep17=1, dapi=0)) as slide:
        assert np.array_equal(slide.read(0, 0, 8, 8), full[:8, :8, [1, 0, 2]])


@pytest.mark.parametrize("sixteen", [False, True])
def test_a_field_is_a_region_file_with_the_pixels_of_the_slide(tmp_path: Path, sixteen: bool) -> None:
    path = write_slide(tmp_path / "slide.tif", [["good", "small"], ["good", "weak"]], sixteen=sixteen)
    with Slide(path) as slide:
        window, data = slide.read(700, 500, 900, 800), slide.field(700, 500, 900, 800)
        assert data == slide.field(700, 500, 900, 800)
    region = read_region(data, "field.tif")
    assert (region.width_px, region.height_px, region.bit_depth) == (900, 800, 16 if sixteen else 8)
    assert region.um_per_px == pytest.approx(UM_PER_PX)
    if not sixteen:
        assert np.array_equal(region.pixels_rgb, window)


def test_good_fields_come_first_and_poor_ones_later(slide_4096: Path) -> None:
    said: list[float] = []
    with Slide(slide_4096) as slide:
        found = find_fields(slide, 8, PATCH_PX, told=lambda fraction, stage: said.append(fraction))
    kinds = [PLAN[field.top // PATCH_PX][field.left // PATCH_PX] for field in found.fields]
    assert kinds[:2] == ["good", "good"]
    assert "empty" not in kinds
    assert set(kinds[2:]).isdisjoint({"good"})
    best = {kind: max(f.score for f, k in zip(found.fields, kinds, strict=True) if k == kind) for kind in set(kinds)}
    assert all(best["good"] > 1.5 * best[kind] for kind in best if kind != "good")
    assert found.searched == 16
    assert said == sorted(said)
    assert said[-1] == pytest.approx(1.0)


def test_what_counts_are_large_nuclei_that_lie_apart(slide_4096: Path) -> None:
    with Slide(slide_4096) as slide:
        found = find_fields(slide, 16, PATCH_PX)
    by_kind = {PLAN[f.top // PATCH_PX][f.left // PATCH_PX]: f.countable for f in found.fields}
    there = 12 * 12  # a grid of 84 pixels
    assert 0.7 * there <= by_kind["good"] <= there
    assert by_kind.get("small", 0) < 10
    assert by_kind.get("crowded", 0) < 0.3 * by_kind["good"]
    assert by_kind["sparse"] < by_kind["good"] / 3


def test_without_levels_and_with_16_bits_the_same_fields_are_found(slide_4096: Path, tmp_path: Path) -> None:
    plain = write_slide(tmp_path / "plain.tif", PLAN, sixteen=True)
    found = []
    for path in (slide_4096, plain):
        with Slide(path) as slide:
            found.append(find_fields(slide, 2, PATCH_PX))
    assert {(f.left, f.top) for f in found[0].fields} == {(f.left, f.top) for f in found[1].fields}
    assert found[0].overview_rgb.shape == found[1].overview_rgb.shape == (1400, 1400, 3)
    assert found[0].overview_factor == pytest.approx(4096 / 1400)


def test_the_overview_shows_the_slide(slide_4096: Path) -> None:
    with Slide(slide_4096) as slide:
        overview = find_fields(slide, 1, PATCH_PX).overview_rgb
    side = 1400 // 4
    dapi = [
        [overview[r * side : (r + 1) * side, c * side : (c + 1) * side, 2].mean() for c in range(4)] for r in range(4)
    ]
    assert dapi[1][1] > dapi[0][1] > dapi[0][0]
    assert dapi[3][3] > 2 * dapi[0][0]


def test_a_search_can_be_stopped(slide_4096: Path) -> None:
    with Slide(slide_4096) as slide, pytest.raises(CancelledError):
        find_fields(slide, cancelled=lambda: True)


def test_fields_lie_side_by_side_and_within_the_slide(tmp_path: Path) -> None:
    path = write_slide(tmp_path / "slide.tif", [["good"] * 3] * 3)
    with Slide(path) as slide:
        fields = find_fields(slide, 50, 1000).fields
    covered = np.zeros((3072, 3072), np.uint8)
    for field in fields:
        assert field.left + field.width <= 3072
        assert field.top + field.height <= 3072
        covered[field.top : field.top + field.height, field.left : field.left + field.width] += 1
    assert covered.max() == 1
    assert covered.mean() > 0.95  # all but slivers of glass


@pytest.mark.parametrize(
    ("measures", "left"),
    [
        ({}, 1.0),
        ({"focus_ratio": 1.5, "her2_signal_to_noise": 9.0}, 1.0),
        ({"focus_ratio": 0.65}, 0.5),
        ({"focus_ratio": 0.65, "clumping": 3.6}, 0.25),
        ({"her2_signal_to_noise": -1.0}, 0.0),
        ({"her2_signal_to_noise": None, "estimated_nuclei": 0.0}, 1.0),
    ],
)
def test_what_misses_its_limit_takes_its_share_of_the_quality(measures: dict[str, float | None], left: float) -> None:
    assert signal_quality(measures) == pytest.approx(left)
    assert Field(0, 0, 1, 1, 40, measures, left).score == 40 * left


def test_memory_does_not_grow_with_the_slide(tmp_path: Path) -> None:
    peaks = []
    for side in (2, 6):
        path = write_slide(tmp_path / f"{side}.tif", [["sparse"] * side] * side, tile_px=512)
        tracemalloc.start()
        with Slide(path) as slide:
            find_fields(slide, 1, PATCH_PX)
        peaks.append(tracemalloc.get_traced_memory()[1])
        tracemalloc.stop()
    assert peaks[1] < 1.3 * peaks[0] + (4 << 20)  # nine times the area


# --- hostile and unfit files ------------------------------------------------------------------------------------------


def test_what_is_no_slide_is_refused_in_words(tmp_path: Path, picture: Pixels) -> None:
    def opened(name: str, match: str, error: type[Her2CoreError]) -> None:
        with pytest.raises(error, match=match):
            Slide(tmp_path / name).close()

    opened("nowhere.tif", "cannot be opened", UnreadableImageError)
    (tmp_path / "text.tif").write_text("not an image")
    opened("text.tif", "no TIFF", UnreadableImageError)
    (tmp_path / "empty.tif").touch()
    opened("empty.tif", "no TIFF", UnreadableImageError)
    tifffile.imwrite(tmp_path / "grey.tif", picture[:, :, 0], tile=(64, 64))
    opened("grey.tif", "greyscale", NotFluorescenceError)
    big = np.zeros((3000, 9000, 3), np.uint8)
    tifffile.imwrite(tmp_path / "whole.tif", big, photometric="rgb", rowsperstrip=3000)
    opened("whole.tif", "tiled", ImageSizeError)
    tifffile.imwrite(
        tmp_path / "turned.tif", picture, photometric="rgb", tile=(64, 64), extratags=[(274, 3, 1, 6, True)]
    )
    opened("turned.tif", "upright", UnreadableImageError)


def test_windows_outside_are_refused(slide_4096: Path) -> None:
    with Slide(slide_4096) as slide:
        for window in ((-1, 0, 10, 10), (0, 0, 0, 10), (4000, 0, 97, 10), (0, 4090, 10, 7)):
            with pytest.raises(ValueError, match="window"):
                slide.read(*window)


def test_damaged_slides_end_in_words_and_at_once(tmp_path: Path, picture: Pixels) -> None:
    with tifffile.TiffWriter(tmp_path / "s.tif") as file:
        file.write(picture, photometric="rgb", tile=(64, 64), compression="zlib", subifds=1)
        file.write(picture[::2, ::2], photometric="rgb", tile=(64, 64), compression="zlib", subfiletype=1)
    whole = (tmp_path / "s.tif").read_bytes()
    chance, started = np.random.default_rng(5), time.monotonic()
    for _ in range(120):
        data = bytearray(whole)
        for _ in range(chance.integers(1, 6)):
            data[chance.integers(8, len(data))] = chance.integers(256)
        (tmp_path / "d.tif").write_bytes(data[: chance.integers(len(data) // 2, len(data) + 1)])
        try:
            with Slide(tmp_path / "d.tif") as slide:
                side = min(slide.width_px, slide.height_px, 300)
                slide.read(0, 0, side, side)
        except Her2CoreError:
            continue
    assert time.monotonic() - started < 60
