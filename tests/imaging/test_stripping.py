"""What is stored says nothing but the image: pixels, scale and channels stay, everything else goes."""

from __future__ import annotations

import io
from collections.abc import Callable
from typing import Any

import numpy as np
import numpy.typing as npt
import pytest
import tifffile
from PIL import Image, PngImagePlugin

from her2core.imaging import RegionImage, read_region, strip_metadata
from tests.imaging.synthetic import Pixels, ome_tiff, png_16, png_chunk, with_pillow, with_tifffile

SECRET = "Doe^Jane 19500101"
FORMS = [SECRET.encode(form) for form in ("utf-8", "utf-16-le", "utf-16-be")]


def exif(orientation: int = 1) -> Image.Exif:
    """EXIF with the name in every text field, a place, a maker note and an orientation."""
    data = Image.Exif()
    data[0x0112] = orientation
    for tag in (0x010E, 0x010F, 0x0110, 0x013B, 0x8298):  # description, make, model, artist, copyright
        data[tag] = SECRET
    data.get_ifd(0x8769)[0x927C] = SECRET.encode()
    data.get_ifd(0x8769)[0x9286] = SECRET.encode()
    data.get_ifd(0x8825)[1] = "N"
    return data


def jpeg(region: Pixels, **options: Any) -> bytes:
    """A JPEG with the name in EXIF, XMP, a comment, a profile, an unknown segment, and behind its end."""
    data = with_pillow(
        region, "JPEG", exif=exif(), comment=SECRET, icc_profile=SECRET.encode() * 9, xmp=SECRET.encode(), **options
    )
    segment = b"\xff\xed" + (len(SECRET) + 2).to_bytes(2, "big") + SECRET.encode()
    return data[:2] + segment + data[2:] + SECRET.encode()


def png(region: Pixels, **options: Any) -> bytes:
    """A PNG with the name in text of three kinds, EXIF, a profile, a private chunk, and behind its end."""
    info = PngImagePlugin.PngInfo()
    info.add_text("Author", SECRET)
    info.add_text("Comment", SECRET, zip=True)
    info.add_itxt("Title", SECRET)
    info.add(b"prVt", SECRET.encode())
    data = with_pillow(region, "PNG", pnginfo=info, exif=exif(), icc_profile=SECRET.encode() * 9, **options)
    return data + SECRET.encode()


def tiff(region: npt.NDArray[Any], **options: Any) -> bytes:
    """A TIFF with the name in its text tags and a private tag."""
    extra = [(tag, 2, 0, SECRET, True) for tag in (269, 271, 272, 285, 315, 316, 33432, 65000)]
    options = {"photometric": "rgb", "extratags": extra, "software": SECRET, "description": SECRET, **options}
    return with_tifffile(region, **options)


def ome(region: Pixels, **options: Any) -> bytes:
    """An OME-TIFF with the name in its XML."""
    data = ome_tiff(region.transpose(2, 0, 1)[[2, 0, 1]], ["DAPI", f"HER2 {SECRET}", "CEP17"], 0.1, **options)
    assert SECRET.encode() in data
    return data


FILES: dict[str, Callable[[Pixels], bytes]] = {
    "jpeg": jpeg,
    "progressive jpeg": lambda r: jpeg(r, progressive=True),
    "png": png,
    "png with scale": lambda r: png(r, dpi=(254_000, 254_000)),
    "16-bit png": lambda r: png_16(r.astype(np.uint16) * 99, png_chunk(b"tEXt", b"Author\0" + SECRET.encode())),
    "tiff": tiff,
    "tiff with scale": lambda r: tiff(r, resolution=(50_000, 50_000), resolutionunit=3),
    "tiled big-endian tiff": lambda r: tiff(r, tile=(64, 64), compression="zlib", byteorder=">", predictor=True),
    "planar bigtiff": lambda r: with_tifffile(
        r.transpose(2, 0, 1), photometric="rgb", planarconfig="separate", bigtiff=True, description=SECRET
    ),
    "16-bit tiff": lambda r: tiff(r.astype(np.uint16) * 99),
    "tiff with alpha": lambda r: tiff(np.dstack([r, np.full(r.shape[:2], 255, np.uint8)]), extrasamples=["unassalpha"]),
    "pillow's lzw tiff": lambda r: with_pillow(r, "TIFF", compression="tiff_lzw", exif=exif()),
    "jpeg in tiff": lambda r: with_pillow(r, "TIFF", compression="jpeg", exif=exif()),
    "ome-tiff": ome,
    "16-bit ome-tiff": lambda r: ome_tiff(
        r.transpose(2, 0, 1).astype(np.uint16) * 99, ["ERBB2", f"CEN17 {SECRET}", "DAPI"], tile=(128, 128)
    ),
    "ome-tiff named by dye": lambda r: ome_tiff(r.transpose(2, 0, 1), ["TRITC", "FITC", f"DAPI {SECRET}"]),
    "imagej": lambda r: with_tifffile(
        r.transpose(2, 0, 1),
        imagej=True,
        resolution=(10, 10),
        metadata={"axes": "CYX", "unit": "um", "Labels": ["HER2", "CEP17", f"DAPI {SECRET}"], "Info": SECRET},
    ),
}


def same(first: RegionImage, second: RegionImage) -> bool:
    """Whether two readings agree in everything that is analysed or shown."""
    return (
        np.array_equal(first.pixels_rgb, second.pixels_rgb)
        and first.um_per_px == second.um_per_px
        and first.bit_depth == second.bit_depth
        and first.notes == second.notes
    )


@pytest.mark.parametrize("name", FILES)
def test_the_name_is_gone_and_the_image_is_the_same(region: Pixels, name: str) -> None:
    data = FILES[name](region)
    assert any(form in data for form in FORMS)  # so that the test can fail
    stripped = strip_metadata(data)
    assert not any(form in stripped for form in FORMS)
    assert b"Doe" not in stripped
    assert same(read_region(stripped, "a"), read_region(data, "a"))


@pytest.mark.parametrize("name", FILES)
def test_stripping_twice_changes_nothing_more(region: Pixels, name: str) -> None:
    once = strip_metadata(FILES[name](region))
    assert strip_metadata(once) == once


@pytest.mark.parametrize("name", FILES)
def test_a_stripped_file_opens_elsewhere(region: Pixels, name: str) -> None:
    stripped = strip_metadata(FILES[name](region))
    if "tiff" in name or name == "imagej":
        with tifffile.TiffFile(io.BytesIO(stripped)) as file:
            assert file.pages[0].shape[-2:] == (360, 480) or file.pages[0].shape[:2] == (360, 480)
            assert file.is_ome == ("ome" in name or name in ("imagej", "tiff with scale"))
            if file.pages[0].compression == 1:  # others need a package that is not installed
                file.asarray()
    else:
        with Image.open(io.BytesIO(stripped)) as image:
            assert image.size == (480, 360)
            image.load()
            assert not set(image.info) - {"jfif", "jfif_version", "jfif_unit", "jfif_density", "dpi", "progressive",
                                          "progression"}  # fmt: skip


def test_ome_channels_and_scale_survive_for_others(region: Pixels) -> None:
    with tifffile.TiffFile(io.BytesIO(strip_metadata(ome(region)))) as file:
        assert file.series[0].axes == "CYX"
        assert np.array_equal(file.asarray(), region.transpose(2, 0, 1)[[2, 0, 1]])
        pixels = tifffile.xml2dict(file.ome_metadata or "")["OME"]["Image"]["Pixels"]
    assert [channel["Name"] for channel in pixels["Channel"]] == ["DAPI", "HER2", "CEP17"]
    assert (pixels["PhysicalSizeX"], pixels["PhysicalSizeXUnit"]) == (0.1, "µm")


@pytest.mark.parametrize("orientation", [2, 6, 8])
@pytest.mark.parametrize("kind", ["JPEG", "PNG", "TIFF"])
def test_the_orientation_survives_alone(region: Pixels, kind: str, orientation: int) -> None:
    data = with_pillow(region, kind, exif=exif(orientation))
    assert SECRET.encode() in data
    stripped = strip_metadata(data)
    assert SECRET.encode() not in stripped
    assert same(read_region(stripped, "a"), read_region(data, "a"))
    with Image.open(io.BytesIO(stripped)) as image:
        assert image.getexif()[0x0112] == orientation
        if kind != "TIFF":
            assert set(image.getexif()) == {0x0112}


def test_the_coded_pixels_of_a_jpeg_are_the_same_bytes(region: Pixels) -> None:
    data = jpeg(region)
    scan = data[data.rindex(b"\xff\xda") : -len(SECRET)]
    assert scan in strip_metadata(data)


def test_a_preview_within_jfif_is_dropped(region: Pixels) -> None:
    data = with_pillow(region, "JPEG")
    preview = b"\xff\xe0" + (16 + 3 * 4).to_bytes(2, "big") + data[6:18] + b"\2\2" + b"preview-face"
    stripped = strip_metadata(data[:2] + preview + data[20:])
    assert b"preview-face" not in stripped
    assert stripped == strip_metadata(data)


def test_preview_pages_of_a_tiff_are_dropped(region: Pixels) -> None:
    buffer = io.BytesIO()
    with tifffile.TiffWriter(buffer) as writer:
        writer.write(region, photometric="rgb", metadata=None)
        writer.write(region[::8, ::8], photometric="rgb", subfiletype=1, metadata=None)
    stripped = strip_metadata(buffer.getvalue())
    assert np.array_equal(read_region(stripped, "a").pixels_rgb, region)
    with tifffile.TiffFile(io.BytesIO(stripped)) as file:
        assert len(file.pages) == 1
