"""Crops bring every nucleus to one size and know the way back."""

from itertools import pairwise

import numpy as np
import pytest
import torch

from her2core.counting.crops import INPUT_PLANES, CropSize, cut, spread_out, to_input
from her2core.records import Box

SIZE = CropSize()
PLAIN = torch.tensor([[[1.0, 0.0, 0.0], [0.0, 1.0, 0.0]]])  # no stain shows in another's channel
UNIT = torch.tensor([[40.0, 40.0]])


def region_with_dot(x: int, y: int, size: int = 200) -> np.ndarray:
    pixels = np.zeros((size, size, 3), np.uint8)
    pixels[y - 2 : y + 3, x - 2 : x + 3, 0] = 255
    return pixels


@pytest.mark.parametrize(
    ("box", "dot"), [((50, 60, 130, 120), (80, 90)), ((0, 0, 40, 30), (10, 12)), ((160, 150, 200, 200), (190, 170))]
)
def test_a_position_survives_the_way_into_the_crop_and_back(
    box: tuple[int, int, int, int], dot: tuple[int, int]
) -> None:
    crop = cut(region_with_dot(*dot), [box], SIZE)[0]
    weight = crop.pixels_rgb[..., 0].astype(float)
    ys, xs = np.mgrid[: SIZE.side_px, : SIZE.side_px] + 0.5
    x, y = crop.to_region((xs * weight).sum() / weight.sum(), (ys * weight).sum() / weight.sum())
    assert (x, y) == pytest.approx((dot[0] + 0.5, dot[1] + 0.5), abs=0.3)


def test_the_longer_side_of_every_box_gets_the_same_length() -> None:
    for crop in cut(
        np.zeros((300, 300, 3), np.uint8), [(10, 10, 50, 40), (20, 20, 200, 120), (5.5, 5.5, 45.5, 95.5)], SIZE
    ):
        assert max(crop.half_axes_px) == pytest.approx(SIZE.nucleus_px / 2)
        assert crop.pixels_rgb.shape == (SIZE.side_px, SIZE.side_px, 3)


def test_what_lies_beyond_the_region_is_black() -> None:
    crop = cut(np.full((100, 100, 3), 200, np.uint8), [(0, 0, 60, 60)], SIZE)[0]
    assert crop.pixels_rgb[0, 0].max() == 0
    assert crop.pixels_rgb[-1, -1].min() == 200


def test_a_box_without_area_is_refused() -> None:
    with pytest.raises(ValueError, match="area"):
        cut(np.zeros((50, 50, 3), np.uint8), [(10, 10, 10, 20)], SIZE)


def test_the_fourth_plane_marks_the_ellipse_in_the_box() -> None:
    x = to_input(
        torch.zeros(1, 3, SIZE.side_px, SIZE.side_px, dtype=torch.uint8), torch.tensor([[26.0, 15.0]]), PLAIN, UNIT
    )
    inside = x[0, 3]
    centre = SIZE.side_px // 2
    assert inside[centre, centre] > 0.99
    assert inside[centre, centre + 24] > 0.5 > inside[centre, centre + 31]
    assert inside[centre + 14, centre] > 0.5 > inside[centre + 19, centre]


def test_a_dim_field_looks_to_the_network_as_a_bright_one() -> None:
    pixels = torch.randint(
        0, 60, (1, 3, SIZE.side_px, SIZE.side_px), dtype=torch.uint8, generator=torch.Generator().manual_seed(0)
    )
    axes = torch.tensor([[30.0, 30.0]])
    dim, bright = to_input(pixels, axes, PLAIN, UNIT), to_input(pixels * 4, axes, PLAIN, UNIT * 4)
    assert torch.allclose(dim, bright, rtol=0.15, atol=0.03)


def test_faint_and_bright_signals_look_alike_with_their_contrast_turned_up() -> None:
    """One signal of 12 and one of 120 grey levels: ten times apart in the image, far less in the stretched planes."""
    rng = np.random.default_rng(4)
    ys, xs = np.mgrid[: SIZE.side_px, : SIZE.side_px]
    spot = np.exp(-((xs - 40) ** 2 + (ys - 40) ** 2) / (2 * 2.0**2))
    planes = []
    for levels in (12.0, 120.0):
        pixels = (
            rng.normal(30, 1.0, (SIZE.side_px, SIZE.side_px, 3))
            + np.array([1.0, 0.0, 0.0]) * (levels * spot)[..., None]
        )
        tensor = torch.from_numpy(np.clip(pixels, 0, 255).astype(np.uint8)).permute(2, 0, 1)[None]
        planes.append(to_input(tensor, torch.tensor([[30.0, 30.0]]), PLAIN, UNIT)[0])
    faint, bright = (float(p[4, 40, 40]) for p in planes)
    assert 0.2 < faint < bright < 3.5 * faint
    assert abs(float(planes[1][5, 40, 40])) < 0.3  # nothing in the other colour
    assert all(torch.isfinite(p).all() for p in planes)


def test_a_crop_beyond_the_image_is_no_background() -> None:
    pixels = torch.full((1, 3, SIZE.side_px, SIZE.side_px), 40, dtype=torch.uint8)
    pixels[..., 44:] = 0
    x = to_input(pixels, torch.tensor([[30.0, 30.0]]), PLAIN, UNIT)
    assert torch.isfinite(x).all()
    assert float(x[0, 4, 40, 20].abs()) < 0.05


def test_signals_are_measured_against_a_typical_one_of_the_region() -> None:
    """A dot of 10 grey levels is a signal where signals have 10, and a tenth of one where they have 100."""
    pixels = torch.full((1, 3, SIZE.side_px, SIZE.side_px), 20, dtype=torch.uint8)
    pixels[0, 0, 39:42, 39:42] = 30
    axes = torch.tensor([[30.0, 30.0]])
    own, tenth = (to_input(pixels, axes, PLAIN, torch.tensor([[unit, 40.0]])) for unit in (10.0, 100.0))
    assert own.shape == (1, INPUT_PLANES, SIZE.side_px, SIZE.side_px)
    assert float(own[0, 6, 40, 40]) == pytest.approx(0.5, abs=0.01)
    assert float(tenth[0, 6, 40, 40]) == pytest.approx(0.05, abs=0.01)
    assert float(own[0, 7].abs().max()) < 0.01


def test_light_of_another_stain_is_taken_out_of_a_probe() -> None:
    pixels = torch.full((1, 3, SIZE.side_px, SIZE.side_px), 20, dtype=torch.uint8)
    pixels[0, 0, 39:42, 39:42] = 120  # a HER2 signal …
    pixels[0, 1, 39:42, 39:42] = 60  # … that shows in green, too
    mixed = torch.tensor([[[1.0, 0.0, 0.0], [-0.4, 1.0, 0.0]]])
    axes = torch.tensor([[30.0, 30.0]])
    plain, unmixed = to_input(pixels, axes, PLAIN, UNIT), to_input(pixels, axes, mixed, UNIT)
    assert float(plain[0, 7, 40, 40]) == pytest.approx(0.5, abs=0.01)
    assert abs(float(unmixed[0, 7, 40, 40])) < 0.01
    assert abs(float(unmixed[0, 5, 40, 40])) < 0.01
    assert torch.equal(plain[0, :4], unmixed[0, :4])


def test_a_card_says_how_large_crops_are() -> None:
    assert CropSize.from_config(CropSize(80, 64).to_config()) == CropSize(80, 64)
    with pytest.raises(ValueError, match="no more than its crop"):
        CropSize.from_config({"crop_px": 64, "nucleus_px": 80})
    assert CropSize.from_config({}) == CropSize(80, 64)  # before it could


@pytest.mark.parametrize(("number", "shown"), [(0, 0), (1, 1), (40, 40), (41, 40), (80, 40), (81, 40), (1000, 40)])
def test_as_many_boxes_show_a_region_as_may_from_all_over_it(number: int, shown: int) -> None:
    boxes: list[Box] = [(float(i), 0.0, i + 5.0, 5.0) for i in range(number)]
    some = spread_out(boxes[::-1], 40)
    assert len(set(some)) == len(some) == shown
    gaps = {round(b[0] - a[0]) for a, b in pairwise(some)}
    assert not gaps or max(gaps) - min(gaps) <= 1
