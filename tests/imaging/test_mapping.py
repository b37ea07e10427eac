"""Channels mapped by hand: told where names tell, previewed, and written into the file that is stored."""

from __future__ import annotations

import io
from collections.abc import Callable

import numpy as np
import pytest
import tifffile

from her2core.errors import NotFluorescenceError
from her2core.imaging import (
    ChannelMap,
    channel_names,
    channel_previews,
    exchanged_channels,
    names_tell,
    read_region,
    strip_metadata,
)
from tests.imaging.synthetic import Pixels, ome_tiff, png_16, with_pillow, with_tifffile

UNNAMED = ["Channel:0", "Channel:1", "Channel:2"]
BY_HAND = ChannelMap(her2=1, cep17=2, dapi=0)
GREEN_KIT = ChannelMap(her2=1, cep17=0, dapi=2)


def stack(region: Pixels, names: list[str], *, deep: bool = False, more: int = 0) -> bytes:
    """DAPI, HER2, CEP17 and `more` copies of CEP17 as an OME-TIFF."""
    channels = region.transpose(2, 0, 1)[[2, 0, 1] + [1] * more]
    return ome_tiff(channels.astype(np.uint16) * 199 if deep else channels, names)


@pytest.mark.parametrize(
    ("names", "tell"),
    [
        (("red", "green", "blue"), True),
        (("DAPI", "HER2", "CEP17"), True),
        (("blue dye", "red dye", "green dye"), True),
        (("channel 1", "channel 2", "channel 3"), False),
        (("DAPI", "channel 2", "channel 3"), False),
        (("DAPI", "HER2", "HER2", "CEP17"), False),
        (("channel 1",), False),
        ((), False),
    ],
)
def test_names_tell_or_somebody_has_to(names: tuple[str, ...], tell: bool) -> None:
    assert names_tell(names) is tell


@pytest.mark.parametrize("deep", [False, True])
def test_a_map_chosen_by_hand_is_in_the_stored_file(region: Pixels, deep: bool) -> None:
    data = stack(region, UNNAMED, deep=deep)
    with pytest.raises(NotFluorescenceError):
        read_region(data, "a.tif")
    stored = strip_metadata(data, channels=BY_HAND)
    again, by_hand = read_region(stored, "a.tif"), read_region(data, "a.tif", channels=BY_HAND)
    assert np.array_equal(again.pixels_rgb, by_hand.pixels_rgb)
    assert (again.um_per_px, again.bit_depth) == (by_hand.um_per_px, 16 if deep else 8)
    assert channel_names(stored) == ("DAPI", "HER2", "CEP17")
    assert strip_metadata(stored) == stored


def test_names_that_were_wrong_are_replaced(region: Pixels) -> None:
    data = stack(region, ["HER2", "CEP17", "DAPI", "HER2 again"], more=1)
    stored = strip_metadata(data, channels=BY_HAND)
    assert channel_names(stored) == ("DAPI", "HER2", "CEP17", "channel 4")
    assert np.array_equal(read_region(stored, "a.tif").pixels_rgb, region)


COLOUR: dict[str, Callable[[Pixels], bytes]] = {
    "png": lambda r: with_pillow(r, "PNG", dpi=(254_000, 254_000)),
    "jpeg": lambda r: with_pillow(r, "JPEG", quality=95),
    "tiff": lambda r: with_tifffile(r, photometric="rgb", resolution=(50_000, 50_000), resolutionunit=3),
    "16-bit tiff": lambda r: with_tifffile(r.astype(np.uint16) * 199, photometric="rgb"),
    "16-bit png": lambda r: png_16(r.astype(np.uint16) * 199),
    "transparent png": lambda r: with_pillow(np.dstack([r, np.where(r[:, :, 2] > 9, 255, 0).astype(np.uint8)]), "PNG"),
}


@pytest.mark.parametrize("kind", COLOUR)
def test_a_colour_image_with_exchanged_probes_is_stored_as_named_channels(region: Pixels, kind: str) -> None:
    data = COLOUR[kind](np.ascontiguousarray(region[:, :, [1, 0, 2]]))
    assert exchanged_channels(data) == GREEN_KIT
    by_hand = read_region(data, "a", channels=GREEN_KIT)
    stored = strip_metadata(data, channels=GREEN_KIT)
    again = read_region(stored, "a.tif")
    assert np.array_equal(again.pixels_rgb, by_hand.pixels_rgb)
    assert (again.um_per_px, again.bit_depth) == (by_hand.um_per_px, by_hand.bit_depth)
    assert channel_names(stored) == ("HER2", "CEP17", "DAPI")
    assert strip_metadata(stored) == stored
    assert strip_metadata(data, channels=GREEN_KIT) == stored  # so that the same image is known again
    with tifffile.TiffFile(io.BytesIO(stored)) as other:
        assert other.series[0].shape == (3, *region.shape[:2])


def test_the_usual_map_leaves_a_colour_image_as_it_is(region: Pixels) -> None:
    data = with_pillow(region, "PNG")
    assert strip_metadata(data, channels=ChannelMap(0, 1, 2)) == strip_metadata(data)


def test_a_kit_with_green_her2_matters_for_dyes_and_not_for_probes(region: Pixels) -> None:
    assert exchanged_channels(stack(region, ["DAPI", "HER2", "CEP17"])) is None
    assert exchanged_channels(stack(region, UNNAMED)) is None
    assert exchanged_channels(stack(region, ["DAPI", "SpectrumOrange", "FITC"])) == ChannelMap(her2=2, cep17=1, dapi=0)


@pytest.mark.parametrize("channels", [(0, 0, 1), (0, 1, 3), (-1, 0, 1), (2, 1, 1), (0, 1, 64)])
def test_a_map_that_cannot_be_is_refused(region: Pixels, channels: tuple[int, int, int]) -> None:
    for data in (stack(region, UNNAMED), with_pillow(region, "PNG")):
        with pytest.raises(NotFluorescenceError, match="three different channels"):
            strip_metadata(data, channels=ChannelMap(*channels))


@pytest.mark.parametrize("deep", [False, True])
def test_previews_show_each_channel_small_and_bright(region: Pixels, deep: bool) -> None:
    weak = (region // 4).astype(np.uint8)
    previews = channel_previews(stack(weak, ["DAPI", "", "something else", ""], deep=deep, more=1), side_px=120)
    assert [p.name for p in previews] == ["DAPI", "channel 2", "channel 3", "channel 4"]
    for shown in previews:
        assert shown.pixels.dtype == np.uint8
        assert max(shown.pixels.shape) <= 120
        assert int(shown.pixels.max()) - int(shown.pixels.min()) > 200
    assert not np.array_equal(previews[1].pixels, previews[2].pixels)


def test_a_preview_of_a_signal_of_one_pixel_shows_it(region: Pixels) -> None:
    pixels = np.zeros_like(region)
    pixels[200, 301, 0] = 255
    assert int(channel_previews(with_pillow(pixels, "PNG"), side_px=60)[0].pixels.max()) == 255


def test_what_cannot_be_read_has_no_preview() -> None:
    with pytest.raises(NotFluorescenceError):
        channel_previews(with_pillow(np.zeros((100, 100), np.uint8), "PNG"))
