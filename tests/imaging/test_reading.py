"""What is read: the pixels of every format are exactly those that another library wrote."""

from __future__ import annotations

import hashlib
import io
import struct
import time
import warnings
import zlib
from typing import Any

import numpy as np
import numpy.typing as npt
import pytest
from PIL import Image, ImageFile, PngImagePlugin

from her2core import imaging
from her2core.imaging import DEFAULT_LIMITS, MB, ChannelMap, ImageLimits, channel_names, read_region
from her2core.imaging.quality import measure
from her2core.settings import Settings
from tests.imaging.synthetic import Pixels, fish, ome_tiff, png_16, png_chunk, with_pillow, with_tifffile

Pixels16 = npt.NDArray[np.uint16]


def test_a_jpeg_has_the_pixels_that_pillow_sees(region: Pixels) -> None:
    data = with_pillow(region, "JPEG", quality=95, subsampling=0)
    image = read_region(data, "a.jpg")
    assert np.array_equal(image.pixels_rgb, np.array(Image.open(io.BytesIO(data))))
    assert (image.source_format, image.bit_depth, image.width_px, image.height_px) == ("JPEG", 8, 480, 360)
    assert image.sha256 == hashlib.sha256(data).hexdigest()


@pytest.mark.parametrize(
    "options", [{"progressive": True}, {"optimize": True}, {"restart_marker_rows": 1}, {"keep_rgb": True}]
)
def test_other_kinds_of_jpeg_are_read(region: Pixels, options: dict[str, Any]) -> None:
    data = with_pillow(region, "JPEG", quality=90, **options)
    assert np.array_equal(read_region(data, "a.jpg").pixels_rgb, np.array(Image.open(io.BytesIO(data))))


def test_pixels_can_be_used_by_everyone(region: Pixels) -> None:
    pixels = read_region(with_pillow(region, "PNG"), "a.png").pixels_rgb
    assert pixels.dtype == np.uint8
    assert pixels.flags.c_contiguous
    assert pixels.flags.writeable  # torch warns of arrays that are not


@pytest.mark.parametrize("options", [{}, {"compress_level": 0}, {"optimize": True}])
def test_a_png_is_read_exactly(region: Pixels, options: dict[str, Any]) -> None:
    assert np.array_equal(read_region(with_pillow(region, "PNG", **options), "a.png").pixels_rgb, region)


def test_an_interlaced_png_is_read_exactly(region: Pixels) -> None:
    # Adam7 by hand: Pillow reads but does not write it.
    lines = b""
    for x0, y0, dx, dy in (
        (0, 0, 8, 8),
        (4, 0, 8, 8),
        (0, 4, 4, 8),
        (2, 0, 4, 4),
        (0, 2, 2, 4),
        (1, 0, 2, 2),
        (0, 1, 1, 2),
    ):
        for row in region[y0::dy, x0::dx]:
            lines += b"\0" + row.tobytes()
    header = struct.pack(">IIBBBBB", 480, 360, 8, 2, 0, 0, 1)
    data = b"\x89PNG\r\n\x1a\n" + png_chunk(b"IHDR", header) + png_chunk(b"IDAT", zlib.compress(lines))
    assert np.array_equal(read_region(data + png_chunk(b"IEND", b""), "a.png").pixels_rgb, region)


TIFF_OPTIONS: list[dict[str, Any]] = [
    {},
    {"compression": "zlib"},
    {"compression": "zlib", "predictor": True},
    {"tile": (64, 128)},
    {"tile": (64, 128), "compression": "zlib", "predictor": True},
    {"rowsperstrip": 7},
    {"bigtiff": True},
    {"byteorder": ">"},
    {"byteorder": ">", "bigtiff": True, "compression": "zlib"},
]


@pytest.mark.parametrize("options", TIFF_OPTIONS)
def test_an_8_bit_tiff_is_read_exactly(region: Pixels, options: dict[str, Any]) -> None:
    assert np.array_equal(read_region(with_tifffile(region, photometric="rgb", **options), "a.tif").pixels_rgb, region)


@pytest.mark.parametrize("options", TIFF_OPTIONS)
def test_a_planar_tiff_is_read_exactly(region: Pixels, options: dict[str, Any]) -> None:
    data = with_tifffile(region.transpose(2, 0, 1), photometric="rgb", planarconfig="separate", **options)
    assert np.array_equal(read_region(data, "a.tif").pixels_rgb, region)


@pytest.mark.parametrize("compression", ["tiff_lzw", "packbits", "tiff_adobe_deflate", "raw"])
def test_pillows_tiff_is_read_exactly(region: Pixels, compression: str) -> None:
    assert np.array_equal(read_region(with_pillow(region, "TIFF", compression=compression), "a.tif").pixels_rgb, region)


def test_a_tiff_with_jpeg_inside_is_read_as_pillow_reads_it(region: Pixels) -> None:
    data = with_pillow(region, "TIFF", compression="jpeg", quality=90)
    assert np.array_equal(read_region(data, "a.tif").pixels_rgb, np.array(Image.open(io.BytesIO(data))))


def _straight_lines(pixels: Pixels, original: Pixels16) -> None:
    """Each channel is a rising straight line of the original between black and white, to half a level."""
    for channel in range(3):
        levels, values = pixels[:, :, channel].ravel(), original[:, :, channel].ravel().astype(float)
        inner = (levels > 0) & (levels < 255)
        slope, offset = np.polyfit(values[inner], levels[inner].astype(float), 1)
        assert slope > 0
        assert np.abs(values[inner] * slope + offset - levels[inner]).max() < 0.75


@pytest.mark.parametrize("options", TIFF_OPTIONS)
def test_a_16_bit_tiff_is_brought_to_8_bits_by_straight_lines(region_16: Pixels16, options: dict[str, Any]) -> None:
    image = read_region(with_tifffile(region_16, photometric="rgb", **options), "a.tif")
    assert image.bit_depth == 16
    assert any("16 bits" in note and "straight line" in note for note in image.notes)
    _straight_lines(image.pixels_rgb, region_16)


def test_a_16_bit_png_is_read_with_both_bytes(region_16: Pixels16) -> None:
    image = read_region(png_16(region_16), "a.png")
    assert image.bit_depth == 16
    _straight_lines(image.pixels_rgb, region_16)
    same = read_region(with_tifffile(region_16, photometric="rgb"), "a.tif")
    assert np.array_equal(image.pixels_rgb, same.pixels_rgb)


def test_weak_signals_of_16_bits_survive(region: Pixels) -> None:
    # A dim exposure: all within the lowest 400 of 65,536 levels, where cutting to the high byte leaves two levels.
    dim = (region.astype(np.uint16) * 3 // 2).astype(np.uint16)
    pixels = read_region(with_tifffile(dim, photometric="rgb"), "a.tif").pixels_rgb
    assert len(np.unique(pixels[:, :, 0])) > 100
    assert measure(pixels)["her2_signal_to_noise"] == pytest.approx(measure(region)["her2_signal_to_noise"], rel=0.1)


def test_a_hot_pixel_of_16_bits_does_not_darken_the_signals(region: Pixels) -> None:
    hot = region.astype(np.uint16) * 10
    hot[5, 5] = 65535
    pixels = read_region(with_tifffile(hot, photometric="rgb"), "a.tif").pixels_rgb
    assert np.quantile(pixels[:, :, 0], 0.999) > 150


def test_the_noise_of_an_empty_16_bit_channel_is_not_drawn_out_into_signals(region_16: Pixels16) -> None:
    rng = np.random.default_rng(3)
    empty = region_16.copy()
    empty[:, :, 1] = 400 + rng.normal(0, 6, empty.shape[:2])
    pixels = read_region(with_tifffile(empty, photometric="rgb"), "a.tif").pixels_rgb
    assert pixels[:, :, 1].max() < 80


@pytest.mark.parametrize("options", [{}, {"compression": "zlib", "tile": (64, 64)}, {"bigtiff": True}])
def test_ome_channels_are_mapped_by_name_in_any_order(region: Pixels, options: dict[str, Any]) -> None:
    channels = region.transpose(2, 0, 1)[[2, 0, 1]]
    image = read_region(ome_tiff(channels, ["DAPI", "HER-2/neu", "CEP 17"], 0.102, **options), "a.ome.tif")
    assert np.array_equal(image.pixels_rgb, region)
    assert (image.source_format, image.um_per_px, image.notes) == ("OME-TIFF", 0.102, ())


def test_16_bit_ome_channels_are_read(region_16: Pixels16) -> None:
    channels = region_16.transpose(2, 0, 1)[[1, 2, 0]]
    image = read_region(ome_tiff(channels, ["CEN17 (green)", "Hoechst 33342", "ERBB2"], compression="zlib"), "a.tif")
    assert np.array_equal(image.pixels_rgb, read_region(png_16(region_16), "a.png").pixels_rgb)


def test_channels_named_by_dye_are_read_with_a_warning(region: Pixels) -> None:
    data = ome_tiff(region.transpose(2, 0, 1)[[2, 1, 0]], ["DAPI", "FITC", "Spectrum Orange"])
    image = read_region(data, "a.tif")
    assert np.array_equal(image.pixels_rgb, region)
    assert any("by dye" in note for note in image.notes)


def test_probe_names_win_over_dyes(region: Pixels) -> None:
    # ZytoLight's colours: HER2 green, CEN 17 orange.
    data = ome_tiff(region.transpose(2, 0, 1)[[2, 1, 0]], ["DAPI", "CEN 17 orange", "ERBB2 green"])
    image = read_region(data, "a.tif")
    assert np.array_equal(image.pixels_rgb, region)
    assert not any("by dye" in note for note in image.notes)


def test_further_channels_are_left_out_with_a_note(region: Pixels) -> None:
    channels = np.concatenate([region.transpose(2, 0, 1), region[None, :, :, 0] // 2])
    image = read_region(ome_tiff(channels, ["HER2", "CEP17", "DAPI", "Cy5"]), "a.tif")
    assert np.array_equal(image.pixels_rgb, region)
    assert any("1 further channel that" in note for note in image.notes)


def test_imagej_labels_and_scale_are_read(region: Pixels) -> None:
    data = with_tifffile(
        region.transpose(2, 0, 1)[[2, 1, 0]],
        imagej=True,
        resolution=(1 / 0.1613, 1 / 0.1613),
        metadata={"axes": "CYX", "unit": "um", "Labels": ["c:1/3 DAPI", "c:2/3 CEP17", "c:3/3 HER2"]},
    )
    image = read_region(data, "a.tif")
    assert np.array_equal(image.pixels_rgb, region)
    assert image.um_per_px == pytest.approx(0.1613, rel=1e-4)


def test_channels_can_be_chosen_by_hand(region: Pixels) -> None:
    data = ome_tiff(region.transpose(2, 0, 1)[[2, 0, 1]], ["a", "b", "c"])
    assert channel_names(data) == ("channel 1", "channel 2", "channel 3")
    image = read_region(data, "a.tif", channels=ChannelMap(her2=1, cep17=2, dapi=0))
    assert np.array_equal(image.pixels_rgb, region)


@pytest.mark.parametrize("kind", ["PNG", "TIFF"])
def test_red_and_green_can_be_exchanged_by_hand(region: Pixels, kind: str) -> None:
    data = with_pillow(np.ascontiguousarray(region[:, :, [1, 0, 2]]), kind)
    image = read_region(data, "a", channels=ChannelMap(her2=1, cep17=0, dapi=2))
    assert np.array_equal(image.pixels_rgb, region)


@pytest.mark.parametrize("orientation", range(1, 9))
@pytest.mark.parametrize("kind", ["JPEG", "PNG", "TIFF"])
def test_the_orientation_is_honoured(region: Pixels, kind: str, orientation: int) -> None:
    exif = Image.Exif()
    exif[0x0112] = orientation
    data = with_pillow(region, kind, exif=exif)
    plain = read_region(with_pillow(region, kind), "a").pixels_rgb
    expected = {
        1: plain,
        2: plain[:, ::-1],
        3: plain[::-1, ::-1],
        4: plain[::-1],
        5: plain.transpose(1, 0, 2),
        6: np.rot90(plain, -1),
        7: plain[::-1, ::-1].transpose(1, 0, 2),
        8: np.rot90(plain, 1),
    }[orientation]
    assert np.array_equal(read_region(data, "a").pixels_rgb, expected)


def test_opaque_alpha_is_dropped(region: Pixels) -> None:
    rgba = np.dstack([region, np.full(region.shape[:2], 255, np.uint8)])
    for kind in ("PNG", "TIFF"):
        image = read_region(with_pillow(rgba, kind), "a")
        assert np.array_equal(image.pixels_rgb, region)
        assert not any("transparent" in note for note in image.notes)


def test_fully_transparent_parts_become_black_with_a_note(region: Pixels) -> None:
    rgba = np.dstack([region, np.full(region.shape[:2], 255, np.uint8)])
    rgba[:36, :, 3] = 0
    image = read_region(with_pillow(rgba, "PNG"), "a.png")
    assert not image.pixels_rgb[:36].any()
    assert np.array_equal(image.pixels_rgb[36:], region[36:])
    assert any("10.0 % of the image is transparent" in note for note in image.notes)


def test_a_name_that_contradicts_the_content_is_noted(region: Pixels) -> None:
    image = read_region(with_pillow(region, "PNG"), "region.jpg")
    assert image.source_format == "PNG"
    assert any("says JPEG, but it is a PNG" in note for note in image.notes)
    assert any("does not end like" in note for note in read_region(with_pillow(region, "PNG"), "region").notes)
    assert not any("name of the file" in note for note in read_region(with_pillow(region, "PNG"), "REGION.PNG").notes)


def test_notes_say_what_jpeg_does_to_signals(region: Pixels) -> None:
    notes = " ".join(read_region(with_pillow(region, "JPEG", quality=60, subsampling=2), "a.jpg").notes)
    assert "quality about 60 of 100" in notes
    assert "4:2:0" in notes
    fine = " ".join(read_region(with_pillow(region, "JPEG", quality=95, subsampling=0), "a.jpg").notes)
    assert "quality" not in fine
    assert "4:" not in fine


def test_a_flat_end_of_a_jpeg_is_noted(region: Pixels) -> None:
    cut = region.copy()
    cut[-64:] = (40, 50, 60)
    assert any("64 rows" in note for note in read_region(with_pillow(cut, "JPEG", subsampling=0), "a.jpg").notes)
    assert not any("rows" in note for note in read_region(with_pillow(region, "JPEG"), "a.jpg").notes)


class TestScale:
    """A scale is taken only where it can be a microscope's."""

    def test_of_png(self, region: Pixels) -> None:
        # Pillow writes pixels per metre: 0.1 µm is 254,000 dpi.
        assert read_region(with_pillow(region, "PNG", dpi=(254_000, 254_000)), "a.png").um_per_px == pytest.approx(0.1)

    @pytest.mark.parametrize("unit", [2, 3])
    def test_of_tiff_tags(self, region: Pixels, unit: int) -> None:
        per_unit = {2: 25_400, 3: 10_000}[unit] / 0.2
        data = with_tifffile(region, photometric="rgb", resolution=(per_unit, per_unit), resolutionunit=unit)
        assert read_region(data, "a.tif").um_per_px == pytest.approx(0.2)

    def test_of_jpeg(self, region: Pixels) -> None:
        data = bytearray(with_pillow(region, "JPEG", dpi=(300, 300)))
        at = data.index(b"JFIF\0") + 7
        data[at : at + 5] = struct.pack(">BHH", 2, 40_000, 40_000)  # per cm
        assert read_region(bytes(data), "a.jpg").um_per_px == pytest.approx(0.25)

    @pytest.mark.parametrize(("unit", "size"), [("nm", 120.0), ("mm", 1.2e-4), ("µm", 0.12)])
    def test_of_ome_in_other_units(self, region: Pixels, unit: str, size: float) -> None:
        metadata = {"axes": "YXS", "PhysicalSizeX": size, "PhysicalSizeXUnit": unit}
        metadata |= {"PhysicalSizeY": size, "PhysicalSizeYUnit": unit}
        data = with_tifffile(region, photometric="rgb", ome=True, metadata=metadata)
        assert read_region(data, "a.tif").um_per_px == pytest.approx(0.12)

    @pytest.mark.parametrize("kind", ["JPEG", "PNG", "TIFF"])
    @pytest.mark.parametrize("dpi", [72, 96, 300])
    def test_is_not_a_printers(self, region: Pixels, kind: str, dpi: int) -> None:
        image = read_region(with_pillow(region, kind, dpi=(dpi, dpi)), "a")
        assert image.um_per_px is None
        assert any("scale" in note for note in image.notes)

    def test_is_not_taken_from_oblong_pixels(self, region: Pixels) -> None:
        data = with_tifffile(region, photometric="rgb", resolution=(50_000, 100_000), resolutionunit=3)
        assert read_region(data, "a.tif").um_per_px is None


def test_limits_follow_the_settings() -> None:
    limits = ImageLimits.of(Settings(max_upload_mb=3, max_image_mpx=2))
    assert (limits.max_bytes, limits.max_pixels) == (3 * MB, 2_000_000)
    assert ImageLimits.of(Settings()).max_pixels == DEFAULT_LIMITS.max_pixels
    assert ImageLimits.of(Settings()).max_bytes == DEFAULT_LIMITS.max_bytes


def test_pillows_own_size_limit_neither_warns_nor_refuses(region: Pixels, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(Image, "MAX_IMAGE_PIXELS", 1000)
    with warnings.catch_warnings():
        warnings.simplefilter("error")
        for kind in ("JPEG", "PNG", "TIFF"):
            assert read_region(with_pillow(region, kind), "a").width_px == 480


def test_truncated_images_stay_refused_everywhere() -> None:
    assert ImageFile.LOAD_TRUNCATED_IMAGES is False


def test_text_chunks_and_profiles_are_never_opened(region: Pixels) -> None:
    # A text chunk that inflates to 20 MB: Pillow would raise its own error; we do not look at it.
    info = PngImagePlugin.PngInfo()
    info.add_text("Comment", "x" * 20_000_000, zip=True)
    data = with_pillow(region, "PNG", pnginfo=info)
    assert np.array_equal(read_region(data, "a.png").pixels_rgb, region)


@pytest.mark.parametrize("kind", ["JPEG", "PNG"])
def test_reading_and_measuring_a_camera_image_is_fast(kind: str) -> None:
    # 50 ms (JPEG) and 85 ms (PNG) of one idle core in November 2026; a busy machine doubles it.
    pixels = np.tile(fish(width=340, height=256), (4, 4, 1))
    data = with_pillow(pixels, kind, None, quality=95, compress_level=1)  # each takes no notice of the other's
    times = []
    for _ in range(3):
        start = time.process_time()
        image = read_region(data, "a")
        measure(image.pixels_rgb)
        times.append(time.process_time() - start)
    assert (image.width_px, image.height_px) == (1360, 1024)
    assert min(times) < 0.2


def test_the_package_exports_what_others_need() -> None:
    assert sorted(imaging.__all__, key=str.casefold) == sorted(set(imaging.__all__), key=str.casefold)
    assert all(getattr(imaging, name) is not None for name in imaging.__all__)
    assert {"read_region", "strip_metadata", "RegionImage", "ImageLimits", "ChannelMap"} <= set(imaging.__all__)
