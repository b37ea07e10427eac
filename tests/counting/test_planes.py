"""Filters on planes do what torch's convolutions and poolings do."""

import pytest
import torch
import torch.nn.functional as F
from torch import Tensor

from her2core.counting.planes import blur_matrix, highest


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
