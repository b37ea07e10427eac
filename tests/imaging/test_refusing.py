"""What is refused: before it is decoded where that can be known, and always with words that say what to do."""

from __future__ import annotations

import io
import random
import struct
import tracemalloc
import zlib
from collections.abc import Callable, Iterator
from typing import Any

import numpy as np
import pytest
from PIL import Image

from her2core.errors import ImageError, ImageSizeError, NotFluorescenceError, UnreadableImageError
from her2core.imaging import ACCEPTED, ChannelMap, ImageLimits, read_region, strip_metadata
from her2core.imaging.tiff_tags import Tag, Values, write_tiff
from tests.imaging.synthetic import Pixels, fish, ome_tiff, png_16, png_chunk, with_pillow, with_tifffile

SIGNATURE = b"\x89PNG\r\n\x1a\n"
SECRET = "Doe^Jane"


def refusal(data: bytes, error: type[ImageError], filename: str = f"{SECRET} 1950-01-01.jpg") -> str:
    """The text of the refusal, which never repeats anything of the name and always ends as a sentence."""
    with pytest.raises(ImageError) as caught:
        read_region(data, filename)
    assert type(caught.value) is error, caught.value
    text = str(caught.value)
    assert SECRET not in text
    assert "1950" not in text
    assert text.endswith(".")
    assert any(word in text for word in ("Export", "Copy", "Choose", "export"))
    return text


def png_header(width: int, height: int, *, bits: int = 8, colour: int = 2) -> bytes:
    return SIGNATURE + png_chunk(b"IHDR", struct.pack(">IIBBBBB", width, height, bits, colour, 0, 0, 0))


def jpeg_declaring(data: bytes, width: int, height: int) -> bytes:
    """A JPEG file whose frame header declares another size."""
    at = data.index(b"\xff\xc0") + 5
    return data[:at] + struct.pack(">HH", height, width) + data[at + 4 :]


def tiff_declaring(data: bytes, width: int, height: int) -> bytes:
    """A little-endian classic TIFF file whose first page declares another size."""
    changed = bytearray(data)
    offset = struct.unpack_from("<I", data, 4)[0]
    for entry in range(struct.unpack_from("<H", data, offset)[0]):
        at = offset + 2 + 12 * entry
        tag = struct.unpack_from("<H", data, at)[0]
        if tag in (256, 257):
            struct.pack_into("<HHII", changed, at, tag, 4, 1, width if tag == 256 else height)
    return bytes(changed)


@pytest.fixture
def nothing_is_decoded(monkeypatch: pytest.MonkeyPatch) -> Iterator[None]:
    """Fails the test if a decoder is asked for, or if much memory is."""

    def refuse(*_: Any, **__: Any) -> None:
        raise AssertionError("decoded")

    for room in ("jpeg", "png", "tiff"):
        monkeypatch.setattr(f"her2core.imaging.{room}.decode_with", refuse)
    monkeypatch.setattr("her2core.imaging.jpeg._complaint", refuse)
    monkeypatch.setattr("zlib.decompressobj", refuse)
    tracemalloc.start()
    yield
    peak = tracemalloc.get_traced_memory()[1]
    tracemalloc.stop()
    assert peak < 20 << 20


@pytest.mark.usefixtures("nothing_is_decoded")
class TestSize:
    """Sizes are judged by the header alone."""

    @pytest.mark.parametrize("kind", ["PNG", "JPEG", "TIFF"])
    @pytest.mark.parametrize(("width", "height"), [(50_000, 50_000), (60_000, 100), (100, 60_000), (9000, 9000)])
    def test_too_large_as_declared(self, kind: str, width: int, height: int) -> None:
        pixels = np.zeros((100, 100, 3), np.uint8)
        pixels[50:, 50:] = 90
        data = with_pillow(pixels, kind)
        if kind == "PNG":
            data = png_header(width, height) + png_chunk(b"IDAT", zlib.compress(bytes(100))) + png_chunk(b"IEND", b"")
            text = refusal(data, ImageSizeError)
        elif kind == "JPEG":
            # A JPEG that declares more than its scan can hold is found out as that, a little earlier.
            with pytest.raises((ImageSizeError, UnreadableImageError)):
                read_region(jpeg_declaring(data, width, height), "a.jpg")
            padded = jpeg_declaring(data[:-2], width, height) + b"\0" * (width * height // 500) + b"\xff\xd9"
            text = refusal(padded, ImageSizeError)
        else:
            with pytest.raises((ImageSizeError, UnreadableImageError)):
                read_region(tiff_declaring(data, width, height), "a.tif")
            return
        assert f"{width} × {height}" in text
        assert "smaller region" in text

    def test_too_large_as_a_tiff_that_could_hold_it_declares(self) -> None:
        tags: dict[int, Values] = {Tag.WIDTH: (50_000,), Tag.HEIGHT: (50_000,), Tag.BITS: (8, 8, 8), Tag.SAMPLES: (3,)}
        tags |= {Tag.COMPRESSION: (8,), Tag.PHOTOMETRIC: (2,), Tag.ROWS_PER_STRIP: (50_000,)}
        text = refusal(write_tiff("<", [(tags, [bytes(2 << 20)])]), ImageSizeError)
        assert "50000 × 50000" in text

    @pytest.mark.parametrize("kind", ["PNG", "JPEG", "TIFF"])
    @pytest.mark.parametrize("size", [(1, 1), (63, 500), (500, 63)])
    def test_too_small(self, kind: str, size: tuple[int, int]) -> None:
        text = refusal(with_pillow(np.zeros((size[1], size[0], 3), np.uint8), kind), ImageSizeError)
        assert f"{size[0]} × {size[1]}" in text
        assert "too small" in text

    def test_too_many_bytes(self, region: Pixels) -> None:
        with pytest.raises(ImageSizeError, match="at most 1 MB"):
            read_region(b"x" * (3 << 20), "a.png", ImageLimits(max_bytes=1 << 20))

    def test_stripping_judges_sizes_too(self) -> None:
        with pytest.raises(ImageSizeError):
            strip_metadata(png_header(50_000, 50_000) + png_chunk(b"IDAT", b"x") + png_chunk(b"IEND", b""))


class TestBombs:
    """Within the declared limits, nothing inflates to more than is declared."""

    def test_a_png_that_declares_more_than_it_can_hold(self) -> None:
        data = png_header(7000, 7000) + png_chunk(b"IDAT", zlib.compress(bytes(1000))) + png_chunk(b"IEND", b"")
        tracemalloc.start()
        assert "incomplete or damaged" in refusal(data, UnreadableImageError)
        assert tracemalloc.get_traced_memory()[1] < 5 << 20
        tracemalloc.stop()

    def test_a_png_that_inflates_to_more_than_it_declares(self) -> None:
        bomb = zlib.compress(bytes(50_000_000), 1)
        data = png_header(100, 100) + png_chunk(b"IDAT", bomb) + png_chunk(b"IEND", b"")
        tracemalloc.start()
        assert "incomplete or damaged" in refusal(data, UnreadableImageError)
        assert tracemalloc.get_traced_memory()[1] < 5 << 20
        tracemalloc.stop()

    def test_a_tiff_that_declares_more_than_it_can_hold(self, region: Pixels) -> None:
        data = with_tifffile(np.zeros((64, 64, 3), np.uint8), photometric="rgb", compression="zlib", rowsperstrip=64)
        for size in ((7000, 7000), (64, 30_000)):
            assert "incomplete or damaged" in refusal(tiff_declaring(data, *size), UnreadableImageError)

    def test_a_tiff_whose_pages_share_their_data(self, region: Pixels) -> None:
        data = bytearray(ome_tiff(np.stack([region[:, :, 0]] * 3), ["DAPI", "HER2", "CEP17"]))
        offset, offsets = struct.unpack_from("<I", data, 4)[0], []
        while offset:
            count = struct.unpack_from("<H", data, offset)[0]
            for at in range(offset + 2, offset + 2 + 12 * count, 12):
                if struct.unpack_from("<H", data, at)[0] == 273:
                    offsets.append(at + 8)
                if struct.unpack_from("<H", data, at)[0] == 279:
                    struct.pack_into("<I", data, at + 8, len(data) // 2)
            offset = struct.unpack_from("<I", data, offset + 2 + 12 * count)[0]
        for at in offsets:
            struct.pack_into("<I", data, at, 8)
        refusal(bytes(data), UnreadableImageError)

    def test_a_tiff_whose_pages_form_a_ring(self, region: Pixels) -> None:
        data = bytearray(with_tifffile(region, photometric="rgb"))
        offset = struct.unpack_from("<I", data, 4)[0]
        struct.pack_into("<I", data, offset + 2 + 12 * struct.unpack_from("<H", data, offset)[0], offset)
        refusal(bytes(data), UnreadableImageError)

    def test_a_tiff_of_a_thousand_pages(self) -> None:
        page = struct.pack("<HHHII", 1, 256, 4, 1, 5)
        size = len(page) + 4
        data = struct.pack("<2sHI", b"II", 42, 8)
        for number in range(1000):
            data += page + struct.pack("<I", 8 + (number + 1) * size if number < 999 else 0)
        assert "more than 64 images" in refusal(data, UnreadableImageError)

    def test_a_jpeg_of_a_thousand_scans(self, region: Pixels) -> None:
        data = with_pillow(region, "JPEG", progressive=True)
        last = data.rindex(b"\xff\xda")
        refusal(data[:-2] + data[last:-2] * 1000 + b"\xff\xd9", UnreadableImageError)

    def test_entities_in_ome_xml_are_not_expanded(self, region: Pixels) -> None:
        data = ome_tiff(region.transpose(2, 0, 1), ["HER2", "CEP17", "DAPI"])
        document = data[data.index(b"<?xml") : data.index(b"</OME>") + 6]
        evil = b'<?xml version="1.0"?><!DOCTYPE OME [<!ENTITY a "HER2">]><OME><Image><Pixels SizeC="3">'
        evil += b'<Channel Name="&a;"/><Channel Name="CEP17"/><Channel Name="DAPI"/></Pixels></Image></OME>'
        assert len(evil) < len(document)
        data = data.replace(document, evil.ljust(len(document)))
        assert "do not say which" in refusal(data, NotFluorescenceError)


class TestDamage:
    """Files that were cut or changed on their way."""

    def test_an_empty_file(self) -> None:
        assert "empty" in refusal(b"", UnreadableImageError)

    def test_a_text_named_jpg(self) -> None:
        text = refusal(f"Patient: {SECRET}\nHER2 FISH: siehe Bild, größer\n".encode(), UnreadableImageError)
        assert "a text, which is not read here" in text

    @pytest.mark.parametrize("kind", ["JPEG", "PNG", "TIFF"])
    def test_a_cut_file(self, region: Pixels, kind: str) -> None:
        data = with_pillow(region, kind)
        for share in (0.02, 0.3, 0.6, 0.95, 0.999):
            cut = data[: int(len(data) * share)]
            assert "incomplete or damaged" in refusal(cut, UnreadableImageError), share
        if kind != "TIFF":  # a TIFF file may end in bytes that nothing refers to
            assert "incomplete or damaged" in refusal(data[:-1], UnreadableImageError)

    @pytest.mark.parametrize("options", [{"compression": "zlib"}, {"bigtiff": True}, {"tile": (64, 64)}])
    def test_a_cut_tiff_of_other_kinds(self, region: Pixels, options: dict[str, Any]) -> None:
        data = with_tifffile(region, photometric="rgb", **options)
        for share in (0.02, 0.3, 0.6, 0.99):
            assert "incomplete or damaged" in refusal(data[: int(len(data) * share)], UnreadableImageError)

    @pytest.mark.parametrize("kind", ["JPEG", "PNG", "TIFF"])
    def test_a_cut_beginning(self, region: Pixels, kind: str) -> None:
        data = with_pillow(region, kind)
        for kept in (1, 2, 3, 4, 8, 12, 20, 33):
            refusal(data[:kept], UnreadableImageError)

    def test_a_changed_byte_in_a_png(self, region: Pixels) -> None:
        data = bytearray(with_pillow(region, "PNG"))
        random.seed(1)
        for _ in range(50):
            at = random.randrange(8, len(data))
            changed = bytearray(data)
            changed[at] ^= 1 << random.randrange(8)
            refusal(bytes(changed), UnreadableImageError)

    @pytest.mark.parametrize("options", [{}, {"progressive": True}, {"subsampling": 2}, {"keep_rgb": True}])
    def test_what_a_jpeg_decoder_would_make_up(self, options: dict[str, Any]) -> None:
        """Pillow reads on through data that make no sense; half of the image is then shifted or of other colours."""
        image = Image.fromarray(fish(height=400, width=500))
        buffer = io.BytesIO()
        image.save(buffer, "JPEG", quality=90, **options)
        data = buffer.getvalue()
        whole = read_region(data, "a.jpg").pixels_rgb
        middle = len(data) // 2
        damaged = data[:middle] + b"\x00" * 300 + data[middle + 300 :]
        assert "damaged" in refusal(damaged, UnreadableImageError)
        accepted_before = read_region(damaged, "a.jpg", ACCEPTED).pixels_rgb
        assert accepted_before.shape == whole.shape
        assert (accepted_before != whole).any()

    @pytest.mark.parametrize("options", [{}, {"progressive": True}, {"keep_rgb": True}])
    def test_only_padding_before_the_end_of_a_jpeg_passes(self, options: dict[str, Any]) -> None:
        """Some cameras fill the file up with zeros: all pixels are there. Other bytes left over are skipped pixels."""
        buffer = io.BytesIO()
        Image.fromarray(fish(height=400, width=500)).save(buffer, "JPEG", quality=90, **options)
        data = buffer.getvalue()
        padded = data[:-2] + bytes(16) + data[-2:]
        assert (read_region(padded, "a.jpg").pixels_rgb == read_region(data, "a.jpg").pixels_rgb).all()
        left_over = data[:-2] + b"\x5a" * 16 + data[-2:]
        assert "damaged" in refusal(left_over, UnreadableImageError)

    def test_a_changed_byte_in_a_compressed_tiff(self, region: Pixels) -> None:
        data = bytearray(with_tifffile(region, photometric="rgb", compression="zlib"))
        changed = bytearray(data)
        middle = len(data) // 2
        changed[middle : middle + 40] = bytes(40)
        refusal(bytes(changed), UnreadableImageError)

    def test_a_png_with_too_few_lines(self, region: Pixels) -> None:
        lines = b"".join(b"\0" + row.tobytes() for row in region[:300])
        data = png_header(480, 360) + png_chunk(b"IDAT", zlib.compress(lines)) + png_chunk(b"IEND", b"")
        refusal(data, UnreadableImageError)

    @pytest.mark.parametrize("tag", [273, 279])
    def test_a_tiff_with_a_missing_strip(self, region: Pixels, tag: int) -> None:
        data = bytearray(with_tifffile(region, photometric="rgb", rowsperstrip=360))
        offset = struct.unpack_from("<I", data, 4)[0]
        for at in range(offset + 2, offset + 2 + 12 * struct.unpack_from("<H", data, offset)[0], 12):
            if struct.unpack_from("<H", data, at)[0] == tag:
                struct.pack_into("<I", data, at + 8, 0)
        refusal(bytes(data), UnreadableImageError)


FOREIGN: dict[str, Callable[[Pixels], bytes]] = {
    "a GIF image": lambda p: with_pillow(p, "GIF"),
    "a BMP image": lambda p: with_pillow(p, "BMP"),
    "a WebP image": lambda p: with_pillow(p, "WEBP"),
    "a JPEG 2000 image": lambda p: with_pillow(p, "JPEG2000"),
    "a PDF document": lambda p: with_pillow(p, "PDF"),
    "a Zeiss CZI file": lambda _: b"ZISRAWFILE" + bytes(100),
    "a Nikon ND2 file": lambda _: b"\xda\xce\xbe\x0a" + bytes(100),
    "a ZIP archive": lambda _: b"PK\x03\x04" + bytes(100),
    "a DICOM file": lambda _: bytes(128) + b"DICM" + bytes(100),
    "a HEIC photograph": lambda _: b"\0\0\0\x18ftypheic" + bytes(100),
}


@pytest.mark.parametrize("name", FOREIGN)
def test_other_kinds_of_file_are_named(region: Pixels, name: str) -> None:
    text = refusal(FOREIGN[name](region), UnreadableImageError)
    assert name in text
    assert "TIFF, PNG or JPEG" in text


def test_bytes_that_are_nothing_are_said_to_be_no_image() -> None:
    assert "not an image" in refusal(bytes(range(256)) * 4, UnreadableImageError)


class TestChannels:
    """Images in which HER2, CEP17 and DAPI are not separate."""

    @pytest.mark.parametrize("kind", ["JPEG", "PNG", "TIFF"])
    def test_greyscale(self, region: Pixels, kind: str) -> None:
        assert "greyscale" in refusal(with_pillow(region[:, :, 0], kind), NotFluorescenceError)

    @pytest.mark.parametrize("kind", ["JPEG", "PNG", "TIFF"])
    def test_greyscale_stored_as_rgb(self, region: Pixels, kind: str) -> None:
        assert "greyscale although" in refusal(with_pillow(region[:, :, [0, 0, 0]], kind), NotFluorescenceError)

    def test_16_bit_greyscale(self, region: Pixels) -> None:
        grey = region[:, :, 0].astype(np.uint16) * 200
        assert "greyscale" in refusal(with_pillow(grey, "PNG"), NotFluorescenceError)
        assert "greyscale" in refusal(with_tifffile(grey), NotFluorescenceError)

    @pytest.mark.parametrize("mode", ["1", "LA"])
    def test_black_and_white_and_grey_with_alpha(self, region: Pixels, mode: str) -> None:
        assert "greyscale" in refusal(with_pillow(region, "PNG", mode), NotFluorescenceError)

    @pytest.mark.parametrize("kind", ["JPEG", "TIFF"])
    def test_cmyk(self, region: Pixels, kind: str) -> None:
        text = refusal(with_pillow(region, kind, "CMYK"), NotFluorescenceError)
        assert "CMYK" in text
        assert "RGB" in text

    @pytest.mark.parametrize("kind", ["PNG", "TIFF"])
    def test_palette(self, region: Pixels, kind: str) -> None:
        assert "palette" in refusal(with_pillow(region, kind, "P"), NotFluorescenceError)

    def test_lab(self, region: Pixels) -> None:
        buffer = io.BytesIO()
        Image.new("LAB", (100, 100)).save(buffer, "TIFF")
        refusal(buffer.getvalue(), NotFluorescenceError)

    @pytest.mark.parametrize(("channel", "name"), [(0, "HER2"), (1, "CEP17"), (2, "DAPI")])
    def test_an_empty_channel(self, region: Pixels, channel: int, name: str) -> None:
        pixels = region.copy()
        pixels[:, :, channel] = 0
        assert f"nothing in {name}" in refusal(with_pillow(pixels, "PNG"), NotFluorescenceError)

    def test_bright_field(self) -> None:
        rng = np.random.default_rng(0)
        slide = np.clip(rng.normal((235, 225, 240), 6, (200, 200, 3)), 0, 255).astype(np.uint8)
        slide[50:90, 50:120] = (120, 80, 160)
        assert "bright background" in refusal(with_pillow(slide, "PNG"), NotFluorescenceError)

    @pytest.mark.parametrize(
        "names", [["a", "b", "c"], ["DAPI", "HER2", "HER2"], ["DAPI", "FITC", "Cy5"], ["", "", ""]]
    )
    def test_channels_whose_names_do_not_say(self, region: Pixels, names: list[str]) -> None:
        text = refusal(ome_tiff(region.transpose(2, 0, 1), names), NotFluorescenceError)
        assert "named DAPI, HER2 and CEP17" in text

    def test_two_channels(self, region: Pixels) -> None:
        refusal(ome_tiff(region.transpose(2, 0, 1)[:2], ["HER2", "CEP17"]), NotFluorescenceError)

    def test_a_focus_stack(self, region: Pixels) -> None:
        stack = np.stack([region.transpose(2, 0, 1)] * 2, axis=1)
        metadata = {"axes": "CZYX", "Channel": {"Name": ["HER2", "CEP17", "DAPI"]}}
        data = with_tifffile(stack, photometric="minisblack", ome=True, metadata=metadata)
        assert "maximum projection" in refusal(data, NotFluorescenceError)

    def test_several_regions_in_one_tiff(self, region: Pixels) -> None:
        buffer = io.BytesIO()
        image = Image.fromarray(region)
        image.save(buffer, "TIFF", save_all=True, append_images=[image])
        assert "several images" in refusal(buffer.getvalue(), NotFluorescenceError)

    def test_a_channel_map_beyond_the_file(self, region: Pixels) -> None:
        data = ome_tiff(region.transpose(2, 0, 1), ["a", "b", "c"])
        with pytest.raises(NotFluorescenceError, match="only 3 channels"):
            read_region(data, "a.tif", channels=ChannelMap(her2=0, cep17=1, dapi=3))


class TestOther:
    """Kinds of a format that are not read."""

    def test_an_animated_png(self, region: Pixels) -> None:
        buffer = io.BytesIO()
        image = Image.fromarray(region)
        image.save(buffer, "PNG", save_all=True, append_images=[Image.fromarray(region[::-1])])
        assert "animation" in refusal(buffer.getvalue(), UnreadableImageError)

    def test_half_transparent_parts(self, region: Pixels) -> None:
        rgba = np.dstack([region, np.full(region.shape[:2], 128, np.uint8)])
        assert "half transparent" in refusal(with_pillow(rgba, "PNG"), UnreadableImageError)

    def test_half_transparent_parts_of_16_bits(self, region: Pixels) -> None:
        rgba = np.dstack([region, np.full(region.shape[:2], 255, np.uint8)]).astype(np.uint16) * 257
        assert read_region(png_16(rgba), "a.png").bit_depth == 16
        rgba[3, 3, 3] = 255
        assert "half transparent" in refusal(png_16(rgba), UnreadableImageError)

    def test_a_colour_that_stands_for_transparent(self, region: Pixels) -> None:
        data = with_pillow(region, "PNG", transparency=(0, 0, 0))
        assert "without transparency" in refusal(data, UnreadableImageError)

    @pytest.mark.parametrize("dtype", [np.float32, np.uint32, np.int16])
    def test_other_numbers_in_tiff(self, region: Pixels, dtype: Any) -> None:
        data = with_tifffile(region.astype(dtype), photometric="rgb")
        assert "8 or 16 bits" in refusal(data, UnreadableImageError)

    def test_other_compression_in_tiff(self, region: Pixels) -> None:
        data = with_tifffile(region, photometric="rgb", compression="lzma")
        assert "LZW or Deflate" in refusal(data, UnreadableImageError)

    def test_an_arithmetic_jpeg(self, region: Pixels) -> None:
        data = with_pillow(region, "JPEG").replace(b"\xff\xc0", b"\xff\xc9", 1)
        assert "rare kind" in refusal(data, UnreadableImageError)

    def test_a_12_bit_jpeg(self, region: Pixels) -> None:
        data = bytearray(with_pillow(region, "JPEG"))
        data[data.index(b"\xff\xc0") + 4] = 12
        assert "12 bits" in refusal(bytes(data), UnreadableImageError)


def test_other_regions_are_still_read() -> None:
    """The refusals above are not because the builder makes what is always refused."""
    assert read_region(with_pillow(fish(), "PNG"), "a.png").width_px == 480
