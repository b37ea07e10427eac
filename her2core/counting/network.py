"""Stage 2's network: ResNet-18 with two ways to count.

References: Xue et al., Sci Rep 2023 (ResNet-18 regressing HER2 and CEP17 counts of a nucleus); Höfener et al. 2019
(density maps for FISH signals); Ronneberger et al. 2015 (skip connections).
"""

from __future__ import annotations

import copy
from dataclasses import dataclass
from itertools import pairwise

import torch
import torch.nn.functional as F
from torch import Tensor, nn
from torch.nn.utils.fusion import fuse_conv_bn_eval
from torchvision.models import resnet18

from her2core.counting.crops import INPUT_PLANES

__all__ = ["DENSITY_SIGMA_PX", "CounterNet", "CounterOutput", "fused"]

# Each signal is a Gaussian of this width in the density map, in crop pixels.
DENSITY_SIGMA_PX = 1.2


@dataclass(frozen=True, slots=True)
class CounterOutput:
    """What the network says of N crops of side S.

    regressed: float[N, 2], HER2 and CEP17 counts by regression.
    density: float[N, 2, S, S], signals a pixel; the sum over a map is a count.
    cluster_logit: float[N], above 0 where HER2 signals are clustered.
    """

    regressed: Tensor
    density: Tensor
    cluster_logit: Tensor


def _conv(inputs: int, outputs: int) -> nn.Sequential:
    return nn.Sequential(
        nn.Conv2d(inputs, outputs, 3, padding=1, bias=False), nn.BatchNorm2d(outputs), nn.ReLU(inplace=True)
    )


class _Up(nn.Module):
    """Double the size, join the skip connection, convolve."""

    def __init__(self, inputs: int, skip: int, outputs: int) -> None:
        super().__init__()
        self.conv = _conv(inputs + skip, outputs)

    def forward(self, x: Tensor, skip: Tensor) -> Tensor:
        x = F.interpolate(x, size=skip.shape[-2:], mode="nearest")
        return self.conv(torch.cat([x, skip], dim=1))  # type: ignore[no-any-return]


class CounterNet(nn.Module):
    """ResNet-18 on the planes of `crops.to_input`, with a regression head and a density decoder."""

    def __init__(self) -> None:
        super().__init__()
        self.backbone = resnet18(weights=None, num_classes=3)
        self.backbone.conv1 = nn.Conv2d(INPUT_PLANES, 64, 7, stride=2, padding=3, bias=False)
        self.fine = nn.Sequential(_conv(INPUT_PLANES, 16), _conv(16, 16))
        self.up3 = _Up(256, 128, 64)
        self.up2 = _Up(64, 64, 48)
        self.up1 = _Up(48, 64, 32)
        self.up0 = _Up(32, 16, 24)
        self.last = nn.Conv2d(24, 2, 1)
        # Begin with an empty map: most pixels hold no signal.
        nn.init.constant_(self.last.bias, -4.0)  # type: ignore[arg-type]

    def forward(self, x: Tensor) -> CounterOutput:
        r = self.backbone
        fine = self.fine(x)  # (N, 16, S, S)
        s2 = r.relu(r.bn1(r.conv1(x)))  # (N, 64, S/2, S/2)
        s4 = r.layer1(r.maxpool(s2))  # (N, 64, S/4, S/4)
        s8 = r.layer2(s4)  # (N, 128, S/8, S/8)
        s16 = r.layer3(s8)  # (N, 256, S/16, S/16)
        pooled = r.avgpool(r.layer4(s16)).flatten(1)  # (N, 512)
        head = r.fc(pooled).float()  # (N, 3)
        d = self.up3(s16, s8)  # (N, 64, S/8, S/8)
        d = self.up2(d, s4)  # (N, 48, S/4, S/4)
        d = self.up1(d, s2)  # (N, 32, S/2, S/2)
        d = self.up0(d, fine)  # (N, 24, S, S)
        peak = 1 / (2 * torch.pi * DENSITY_SIGMA_PX**2)
        density = F.softplus(self.last(d).float()) * peak  # (N, 2, S, S)
        return CounterOutput(regressed=head[:, :2], density=density, cluster_logit=head[:, 2])


def fused(net: CounterNet) -> CounterNet:
    """A copy in eval mode, its batch normalisations folded into the convolutions before them: the same numbers, faster.

    Every batch normalisation of this network is registered right after its convolution.
    """
    net = copy.deepcopy(net).eval()
    for parent in net.modules():
        for (name, before), (next_name, after) in pairwise(list(parent.named_children())):
            if isinstance(before, nn.Conv2d) and isinstance(after, nn.BatchNorm2d):
                setattr(parent, name, fuse_conv_bn_eval(before, after))
                setattr(parent, next_name, nn.Identity())
    return net
