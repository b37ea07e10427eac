"""Images too large to be decoded whole: the same pixels window by window, in memory that does not grow with them."""

from __future__ import annotations

import hashlib
import tracemalloc
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import tifffile
from PIL import Image

from her2core.errors import ImageSizeError, NotFluorescenceError, UnreadableImageError
from her2core.imaging import ImageLimits, LargeImage, RegionImage, WindowedPixels, open_image, quality, read_region
from her2core.imaging.slide import Slide
from her2core.imaging.tiff import TiffFile
from tests.imaging.slides import PATCH_PX, write_slide
from tests.imaging.synthetic import Pixels, fish

SMALL = ImageLimits(max_pixels=100_000)
TILED: dict[str, Any] = {"photometric": "rgb", "tile": (64, 64), "compression": "zlib"}


@pytest.fixture(scope="module")
def picture() -> Pixels:
    return fish(seed=4)


@pytest.fixture
def tiled(tmp_path: Path, picture: Pixels) -> Path:
    tifffile.imwrite(tmp_path / "large.tif", picture, **TILED)
    return tmp_path / "large.tif"


def test_a_tiled_file_beyond_the_limits_is_read_as_it_is_sliced(tiled: Path, picture: Pixels) -> None:
    with open_image(tiled, SMALL) as image:
        assert isinstance(image, LargeImage)
        pixels = image.pixels_rgb
        assert (pixels.shape, pixels.size, pixels.ndim, pixels.dtype) == (picture.shape, picture.size, 3, picture.dtype)
        for rows, columns in (
            (slice(0, 360), slice(0, 480)), (slice(50, 70), slice(100, 300)), (slice(300, 999), slice(470, 999)),
            (slice(-20, None), slice(None, 30)), (slice(7, 7), slice(0, 5)),
        ):  # fmt: skip
            assert np.array_equal(pixels[rows, columns], picture[rows, columns])
        with pytest.raises(ValueError, match="steps"):
            pixels[::2, :]
        assert image.sha256 == hashlib.sha256(tiled.read_bytes()).hexdigest()
        assert "480 × 360 pixels and was read window by window" in image.notes[0]


def test_within_the_limits_an_image_is_what_read_region_makes_of_it(tiled: Path, tmp_path: Path) -> None:
    png = tmp_path / "a.png"
    Image.fromarray(fish(seed=2)).save(png)
    for path in (tiled, png):
        whole = read_region(path.read_bytes(), path.name)
        with open_image(path, ImageLimits()) as image:
            assert isinstance(image, RegionImage)
            assert np.array_equal(image.pixels_rgb, whole.pixels_rgb)
            assert (image.sha256, image.notes) == (whole.sha256, whole.notes)


def test_what_cannot_be_read_in_windows_is_refused_as_a_region_is(tmp_path: Path, picture: Pixels) -> None:
    Image.fromarray(picture).save(tmp_path / "a.png")
    tifffile.imwrite(tmp_path / "turned.tif", picture, **TILED, extratags=[("Orientation", "H", 1, 6, True)])
    for name in ("a.png", "turned.tif"):
        with pytest.raises(ImageSizeError, match="declared as"), open_image(tmp_path / name, SMALL):
            pass
    (tmp_path / "cut.tif").write_bytes((tmp_path / "turned.tif").read_bytes()[:500])
    for limits in (ImageLimits(), ImageLimits(max_bytes=100)):  # with the small one nothing reads it whole
        with pytest.raises(UnreadableImageError), open_image(tmp_path / "cut.tif", limits):
            pass


def test_16_bits_have_one_line_for_the_whole_image(tmp_path: Path) -> None:
    path = write_slide(tmp_path / "s.ome.tif", [["good", "sparse"]] * 2, sixteen=True, ome=True)
    whole = read_region(path.read_bytes(), path.name)
    with open_image(path, SMALL) as image:
        found = image.pixels_rgb[0:2048, 0:2048]
        assert np.array_equal(image.pixels_rgb[1000:1100, 500:600], found[1000:1100, 500:600])
    # Black and white come from a sample that here is the whole image, so the line is the one of a region.
    assert np.abs(found.astype(int) - whole.pixels_rgb.astype(int)).max() <= 1


def test_what_is_no_fluorescence_is_refused_and_little_tissue_is_not(tmp_path: Path, picture: Pixels) -> None:
    grey = np.repeat(picture[:, :, 2:], 3, axis=2)
    tifffile.imwrite(tmp_path / "grey.tif", grey, **TILED)
    with pytest.raises(NotFluorescenceError, match="greyscale"), open_image(tmp_path / "grey.tif", SMALL):
        pass
    corner = np.zeros((9000, 3000, 3), np.uint8)
    corner[700:1060, 600:1080] = picture  # no window of the sample meets it
    tifffile.imwrite(tmp_path / "corner.tif", corner, **TILED | {"tile": (512, 512)})
    with open_image(tmp_path / "corner.tif", SMALL) as image:
        assert np.array_equal(image.pixels_rgb[700:1060, 600:1080], picture)


def test_the_quality_of_a_large_image_is_that_of_fields_spread_over_it(tmp_path: Path) -> None:
    path = write_slide(tmp_path / "one.tif", [["good", "good"]] * 2)
    with open_image(path, SMALL) as image:
        assert isinstance(image.pixels_rgb, WindowedPixels)
        assert image.pixels_rgb.measures() == quality.measure(image.pixels_rgb[:2048, :2048])
    path = write_slide(tmp_path / "four.tif", [["good", "good", "empty", "empty"]] * 2 + [["empty"] * 4] * 2)
    with open_image(path, SMALL) as image:
        assert isinstance(image.pixels_rgb, WindowedPixels)
        left, found = quality.measure(image.pixels_rgb[:2048, :2048]), image.pixels_rgb.measures()
    assert found["focus_ratio"] == left["focus_ratio"]  # of the field that shows nuclei
    assert found["estimated_nuclei"] == left["estimated_nuclei"]
    assert found["nuclear_area_percent"] == pytest.approx((left["nuclear_area_percent"] or 0) / 4)


def test_windows_that_overlap_decode_a_tile_once(tiled: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    decoded: list[Any] = []
    real = TiffFile.decode_page

    def decode_page(self: TiffFile, page: Any) -> Any:
        decoded.append(page)
        return real(self, page)

    monkeypatch.setattr(TiffFile, "decode_page", decode_page)
    with Slide(tiled, keep_bytes=10**6) as slide:
        for left in range(0, 200, 20):
            slide.read(left, 0, 100, 60)
    assert len(decoded) == 5  # of 64 px, below 280 px
    decoded.clear()
    with Slide(tiled) as slide:
        for left in range(0, 200, 20):
            slide.read(left, 0, 100, 60)
    assert len(decoded) > 15


def test_memory_does_not_grow_with_the_image(tmp_path: Path) -> None:
    peaks = []
    for side in (2, 6):
        path = write_slide(tmp_path / f"{side}.tif", [["sparse"] * side] * side, tile_px=256)
        tracemalloc.start()
        with Slide(path, keep_bytes=4 << 20) as slide:
            for top in range(0, side * PATCH_PX, 200):
                for left in range(0, side * PATCH_PX, 200):
                    slide.read(left, top, min(300, side * PATCH_PX - left), min(300, side * PATCH_PX - top))
        peaks.append(tracemalloc.get_traced_memory()[1])
        tracemalloc.stop()
    assert peaks[1] < 1.2 * peaks[0] + (1 << 20)  # nine times the area
    assert peaks[1] < 10 << 20
