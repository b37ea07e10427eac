"""Whatever is done to a file, reading it gives a region or an ImageError, never anything else."""

from __future__ import annotations

import warnings
from typing import Any, Literal

import numpy as np
import pytest
from hypothesis import strategies as st

from her2core.errors import ImageError
from her2core.imaging import channel_names, read_region, strip_metadata
from tests.imaging.synthetic import fish, ome_tiff, png_16, with_pillow, with_tifffile
from tests.proof import Proof, Record, fuzzed, record_property, times

__all__ = ["record_property"]

SMALL = fish(width=72, height=66, nucleus_px=30, signal_sigma_px=1)
RGBA = np.dstack([SMALL, np.full(SMALL.shape[:2], 255, np.uint8)])
CHANNELS = SMALL.transpose(2, 0, 1)
FILES = [
    with_pillow(SMALL, "JPEG"),
    with_pillow(SMALL, "JPEG", progressive=True, comment="text"),
    with_pillow(SMALL, "PNG", dpi=(254_000, 254_000)),
    with_pillow(RGBA, "PNG"),
    png_16(SMALL.astype(np.uint16) * 100),
    with_pillow(SMALL, "TIFF", compression="tiff_lzw"),
    with_pillow(SMALL, "TIFF", compression="jpeg"),
    with_pillow(SMALL, "TIFF", compression="packbits"),
    with_tifffile(SMALL, photometric="rgb", compression="zlib", tile=(32, 32), predictor=True),
    with_tifffile(CHANNELS, photometric="rgb", planarconfig="separate", bigtiff=True, byteorder=">"),
    ome_tiff(CHANNELS.astype(np.uint16) * 50, ["HER2", "CEP17", "DAPI"], rowsperstrip=20),
    with_tifffile(CHANNELS, imagej=True, metadata={"axes": "CYX", "Labels": ["HER2", "CEP17", "DAPI"]}),
]
OUTCOME = "a region, the same again once stripped of metadata, or an ImageError in words; never anything else"
Change = tuple[str, Any] | tuple[str, Any, Any]
CHANGES: st.SearchStrategy[Change] = st.one_of(
    st.tuples(st.just("set"), st.floats(0, 1), st.binary(min_size=1, max_size=8)),
    st.tuples(st.just("flip"), st.integers(0, 2000), st.integers(0, 7)),
    st.tuples(st.just("cut"), st.floats(0, 1)),
    st.tuples(st.just("drop"), st.floats(0, 1), st.integers(1, 40)),
    st.tuples(st.just("insert"), st.floats(0, 1), st.binary(min_size=1, max_size=40)),
    st.tuples(st.just("repeat"), st.floats(0, 1), st.integers(1, 400)),
)


def changed(data: bytes, change: Any) -> bytes:
    """The bytes after one change."""
    if change[0] == "flip":
        at = change[1] % max(len(data), 1)  # low numbers: headers are where structure is
        return data[:at] + bytes(byte ^ 1 << change[2] for byte in data[at : at + 1]) + data[at + 1 :]
    at = round(change[1] * len(data))
    if change[0] == "cut":
        return data[:at]
    if change[0] == "drop":
        return data[:at] + data[at + change[2] :]
    if change[0] == "repeat":
        return data[: at + change[2]] + data[at:]
    put: bytes = change[2]
    return data[:at] + put + data[at + len(put) if change[0] == "set" else at :]


def read_or_refuse(data: bytes) -> None:
    """Read in every way; only an ImageError may come of it, and a warning is an error too."""
    with warnings.catch_warnings():
        warnings.simplefilter("error")
        try:
            image = read_region(data, "x.tif")
            assert image.pixels_rgb.dtype == np.uint8
            stripped = strip_metadata(data)
            assert np.array_equal(read_region(stripped, "x.tif").pixels_rgb, image.pixels_rgb)
            assert strip_metadata(stripped) == stripped
        except ImageError as error:
            assert str(error).endswith(".")
        for read in (strip_metadata, channel_names):
            try:
                read(data)
            except ImageError as error:
                assert str(error).endswith(".")


@pytest.mark.timeout(3600)
def test_changed_files_are_read_or_refused(record_property: Record) -> None:
    proof = Proof(record_property, "Fuzzing", "Image reading: bytes of JPEG, PNG, TIFF set, flipped, cut, doubled")

    @fuzzed(times(400, 20_000), data=st.sampled_from(FILES), changes=st.lists(CHANGES, min_size=1, max_size=4))
    def take(data: bytes, changes: list[Change]) -> None:
        for change in changes:
            data = changed(data, change)
        read_or_refuse(data)
        proof.tries += 1

    take()
    proof.holds(OUTCOME)


@pytest.mark.timeout(3600)
def test_any_bytes_behind_a_known_beginning_are_refused(record_property: Record) -> None:
    proof = Proof(record_property, "Fuzzing", "Image reading: any bytes behind the beginning of each format")
    starts = [b"\xff\xd8\xff", b"\x89PNG\r\n\x1a\n", b"II*\0", b"MM\0*", b"II+\0\x08\0\0\0", b""]

    @fuzzed(times(200, 20_000), start=st.sampled_from(starts), rest=st.binary())
    def take(start: bytes, rest: bytes) -> None:
        read_or_refuse(start + rest)
        proof.tries += 1

    take()
    proof.holds(OUTCOME)


@pytest.mark.timeout(3600)
def test_changed_numbers_in_tiff_tags_are_read_or_refused(record_property: Record) -> None:
    # The tags lie within the bytes that are not pixels: change whole numbers there, not only bits.
    proof = Proof(record_property, "Fuzzing", "Image reading: whole numbers changed in the tags of a TIFF")
    numbers = st.sampled_from([0, 1, 2, 7, 8, 16, 255, 65535, 2**16, 2**31 - 1, 2**32 - 1])

    @fuzzed(
        times(300, 20_000),
        data=st.sampled_from(FILES[5:]),
        at=st.integers(4, 1200),
        number=numbers,
        order=st.sampled_from(["little", "big"]),
    )
    def take(data: bytes, at: int, number: int, order: Literal["little", "big"]) -> None:
        at = min(at, len(data) - 8)
        read_or_refuse(data[:at] + number.to_bytes(4, order) + data[at + 4 :])
        proof.tries += 1

    take()
    proof.holds(OUTCOME)


def test_the_files_are_read_when_nothing_is_changed() -> None:
    for data in FILES:
        assert read_region(data, "x").width_px == 72
