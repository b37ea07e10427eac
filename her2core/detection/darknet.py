"""Darknet-53, the backbone of YOLOv3 (Redmon & Farhadi 2018, arXiv:1804.02767, table 1), with a width factor."""

from __future__ import annotations

from torch import Tensor, nn

__all__ = ["BN_EPS", "LEAKY_SLOPE", "RESIDUAL_STAGES", "ConvUnit", "Darknet53", "Residual", "scaled_channels"]

RESIDUAL_STAGES = (1, 2, 8, 8, 4)
LEAKY_SLOPE = 0.1
BN_EPS = 1e-3  # that of the COCO weights in Keras layout; a smaller value would change what they compute


def scaled_channels(channels: int, width: float) -> int:
    """Channels of the paper times `width`, as the nearest multiple of 8, at least 8."""
    return max(8, round(channels * width / 8) * 8)


class ConvUnit(nn.Module):
    """Convolution without bias, batch normalisation, leaky ReLU 0.1: the brick of Darknet and of the head."""

    def __init__(self, c_in: int, c_out: int, kernel: int, stride: int = 1) -> None:
        super().__init__()
        self.conv = nn.Conv2d(c_in, c_out, kernel, stride, padding=kernel // 2, bias=False)
        self.bn: nn.Module = nn.BatchNorm2d(c_out, eps=BN_EPS)
        self.act = nn.LeakyReLU(LEAKY_SLOPE, inplace=True)

    def forward(self, x: Tensor) -> Tensor:
        out: Tensor = self.act(self.bn(self.conv(x)))  # (B, c_out, H/stride, W/stride)
        return out


class Residual(nn.Module):
    """1x1 to half the channels, 3x3 back, added to the input."""

    def __init__(self, channels: int) -> None:
        super().__init__()
        self.reduce = ConvUnit(channels, max(8, channels // 2), 1)
        self.expand = ConvUnit(max(8, channels // 2), channels, 3)

    def forward(self, x: Tensor) -> Tensor:
        out: Tensor = x + self.expand(self.reduce(x))  # (B, C, H, W)
        return out


class Darknet53(nn.Module):
    """Stem and five stages (1-2-8-8-4 residual blocks), each stage begun by a stride-2 convolution.

    `out_channels` are those of the maps at strides 8, 16 and 32 that `forward` returns. `width` 1.0 is the paper.
    """

    def __init__(self, width: float = 1.0) -> None:
        super().__init__()
        if not 0 < width <= 2:
            raise ValueError(f"width must lie in (0, 2], not {width}")
        channels = [scaled_channels(c, width) for c in (32, 64, 128, 256, 512, 1024)]
        self.stem = ConvUnit(3, channels[0], 3)
        self.stages = nn.ModuleList(
            nn.Sequential(ConvUnit(c_in, c_out, 3, stride=2), *(Residual(c_out) for _ in range(blocks)))
            for c_in, c_out, blocks in zip(channels, channels[1:], RESIDUAL_STAGES, strict=False)
        )
        self.out_channels = (channels[3], channels[4], channels[5])

    def forward(self, x: Tensor) -> tuple[Tensor, Tensor, Tensor]:
        """Maps at strides 8, 16, 32 of images: Tensor[B, 3, H, W] in 0..1, H and W multiples of 32."""
        x = self.stem(x)  # (B, C0, H, W)
        maps = []
        for stage in self.stages:
            x = stage(x)  # (B, C, H/2^k, W/2^k)
            maps.append(x)
        return maps[2], maps[3], maps[4]
