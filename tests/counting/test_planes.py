"""Filters on planes do what torch's convolutions and poolings do."""

import pytest
import torch
import torch.nn.functional as F
from torch import Tensor

from her2core.counting.planes import arsinh, blur_matrix, highest, median, medians


def convolved(planes: Tensor, sigma_px: float, reach_px: int, mode: str) -> Tensor:
    along = torch.arange(-reach_px, reach_px + 1, dtype=torch.float32)
    kernel = torch.exp(-(along**2) / (2 * sigma_px**2))
    kernel = kernel / kernel.sum()
    padded = F.pad(planes[:, None], (reach_px,) * 4, mode=mode)
    return F.conv2d(F.conv2d(padded, kernel[None, None, :, None]), kernel[None, None, None])[:, 0]


@pytest.mark.parametrize(("repeat_border", "mode"), [(True, "replicate"), (False, "constant")])
@pytest.mark.parametrize(("sigma_px", "reach_px"), [(1.2, 3), (3.5, 11)])
def test_a_blur_is_the_convolution_with_a_gaussian(
    repeat_border: bool, mode: str, sigma_px: float, reach_px: int
) -> None:
    planes = torch.rand(3, 24, 24, generator=torch.Generator().manual_seed(1))
    m = blur_matrix(24, sigma_px, reach_px, repeat_border=repeat_border)
    torch.testing.assert_close(m @ planes @ m.T, convolved(planes, sigma_px, reach_px, mode), atol=1e-6, rtol=1e-5)


@pytest.mark.parametrize("reach_px", [1, 2])
def test_the_highest_around_a_pixel_is_the_pooled_maximum(reach_px: int) -> None:
    planes = torch.randn(3, 17, 17, generator=torch.Generator().manual_seed(2))
    pooled = F.max_pool2d(planes[:, None], 2 * reach_px + 1, stride=1, padding=reach_px)[:, 0]
    assert torch.equal(highest(planes, reach_px), pooled)


def test_a_median_is_that_of_torch() -> None:
    values = torch.randn(200, generator=torch.Generator().manual_seed(3))
    for count in (1, 2, 3, 199, 200):
        assert median(values[:count]) == float(values[:count].median())
    assert median(values[:0]) == 0.0


def test_medians_inside_are_those_without_what_is_outside() -> None:
    generator = torch.Generator().manual_seed(4)
    planes = torch.randn(3, 2, 9, 9, generator=generator)
    inside = torch.rand(3, 1, 9, 9, generator=generator) < 0.4
    inside[1] = False
    wanted = torch.where(inside, planes, torch.nan).flatten(2).nanmedian(dim=2).values.nan_to_num(0)
    assert torch.equal(medians(planes, inside), wanted)
    assert wanted[1].tolist() == [0, 0]
    own = torch.rand(3, 2, 9, 9, generator=generator) < 0.4
    wanted = torch.where(own, planes, torch.nan).flatten(2).nanmedian(dim=2).values
    assert torch.equal(medians(planes, own), wanted)


def test_the_inverse_hyperbolic_sine_is_that_of_torch() -> None:
    values = torch.cat([torch.linspace(-60, 60, 4001), torch.tensor([-1e-7, 0.0, 1e-7, 1e6])])
    torch.testing.assert_close(arsinh(values), torch.asinh(values), atol=3e-7, rtol=3e-7)
