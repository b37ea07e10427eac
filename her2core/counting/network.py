"""Stage 2's network: ResNet-18 with two ways to count.

References: Xue et al., Sci Rep 2023 (ResNet-18 regressing HER2 and CEP17 counts of a nucleus); Höfener et al. 2019
(density maps for FISH signals); Ronneberger et al. 2015 (skip connections); Zaheer et al. 2017 (what a set has in
common, as the mean of what its members say); Perez et al. 2018 (features scaled and shifted by a condition).
"""

from __future__ import annotations

import copy
from collections.abc import Mapping
from dataclasses import dataclass
from itertools import pairwise
from typing import cast

import torch
import torch.nn.functional as F
from torch import Tensor, nn
from torch.nn.utils.fusion import fuse_conv_bn_eval
from torchvision.models import resnet18

from her2core.counting.crops import INPUT_PLANES

__all__ = [
    "DENSITY_SIGMA_PX",
    "FIELD",
    "CounterNet",
    "CounterOutput",
    "as_density",
    "completed",
    "folded",
    "fused",
    "mean_of_fields",
]

# Each signal is a Gaussian of this width in the density map, in crop pixels.
DENSITY_SIGMA_PX = 1.2
# Numbers by which a nucleus describes its field.
FIELD = 64
# Training averages over no fewer nuclei of a field and no more.
_FIELD_NUCLEI = 4, 16


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


def _conv(inputs: int, outputs: int, stride: int = 1) -> nn.Sequential:
    return nn.Sequential(
        nn.Conv2d(inputs, outputs, 3, stride=stride, padding=1, bias=False),
        nn.BatchNorm2d(outputs),
        nn.ReLU(inplace=True),
    )


def mean_of_fields(described: Tensor, region: Tensor) -> Tensor:
    """What the nuclei of each region say together, float[R, FIELD + 1].

    `described`: float[N, FIELD]; `region`: int64[N], numbered 0 to R - 1. The last number tells how many nuclei they
    are, as the error of a mean: n ** -0.5, within what training has seen.
    """
    regions = int(region.max()) + 1
    sums = described.new_zeros(regions, described.shape[1]).index_add(0, region, described)
    n = torch.bincount(region, minlength=regions).to(described)[:, None]
    return torch.cat([sums / n, n.clamp(*_FIELD_NUCLEI) ** -0.5], dim=1)


class _Up(nn.Module):
    """Double the size, join the skip connection, convolve."""

    def __init__(self, inputs: int, skip: int, outputs: int) -> None:
        super().__init__()
        self.inputs = inputs
        self.conv = _conv(inputs + skip, outputs)

    def forward(self, x: Tensor, skip: Tensor) -> Tensor:
        x = F.interpolate(x, size=skip.shape[-2:], mode="nearest")
        return self.conv(torch.cat([x, skip], dim=1))  # type: ignore[no-any-return]


class _QuickUp(nn.Module):
    """`_Up` after its batch normalisation was folded: the same numbers from fewer products.

    A pixel of the doubled features stands for four alike, so of a kernel's nine weights those that fall on the same
    pixel are added first: four kernels of 2 x 2, one for each corner, on the features as they are. Nothing is joined.
    """

    def __init__(self, conv: nn.Conv2d, inputs: int) -> None:
        super().__init__()
        outputs = conv.out_channels
        self.low = nn.Conv2d(inputs, 4 * outputs, 2, padding=1, bias=False)
        self.skip = nn.Conv2d(conv.in_channels - inputs, outputs, 3, padding=1)
        of_up, of_skip = conv.weight[:, :inputs], conv.weight[:, inputs:]
        corners = [_added(_added(of_up, 2, down), 3, right) for down in (0, 1) for right in (0, 1)]
        self.low.weight = nn.Parameter(torch.cat(corners))
        self.skip.weight, self.skip.bias = nn.Parameter(of_skip.clone()), conv.bias

    def forward(self, x: Tensor, skip: Tensor) -> Tensor:
        height, width = x.shape[2:]
        y = self.skip(skip)
        corners = self.low(x).chunk(4, dim=1)  # (N, C, H + 1, W + 1) each
        split = y.unflatten(3, (width, 2)).unflatten(2, (height, 2))  # (N, C, H, 2, W, 2)
        for i, part in enumerate(corners):
            down, right = divmod(i, 2)
            split[:, :, :, down, :, right] += part[:, :, down : down + height, right : right + width]
        return F.relu_(y)


def _added(kernel: Tensor, dim: int, second: int) -> Tensor:
    """Three weights along `dim` as the two that fall on the pixels below the first or the second of a doubled pair."""
    one, two, three = (kernel.narrow(dim, i, 1) for i in range(3))
    return torch.cat([one + two, three] if second else [one, two + three], dim=dim)


class _ByField(nn.Module):
    """Scales and shifts of several layers' features that follow from what their field looks like; none at first."""

    def __init__(self, channels: tuple[int, ...]) -> None:
        super().__init__()
        self.channels = channels
        self.hidden = nn.Linear(FIELD + 1, FIELD)
        self.out = nn.Linear(FIELD, 2 * sum(channels))
        nn.init.zeros_(self.out.weight)
        nn.init.zeros_(self.out.bias)

    def forward(self, field: Tensor) -> list[tuple[Tensor, Tensor]]:
        """One (scale, shift) of float[N, C] a layer, from fields float[N, FIELD + 1]."""
        scales, shifts = self.out(F.relu(self.hidden(field))).chunk(2, dim=1)
        return list(zip(scales.split(self.channels, dim=1), shifts.split(self.channels, dim=1), strict=True))


def as_density(raw: Tensor) -> Tensor:
    """Signals a pixel from the last layer's numbers, float32 of the same shape."""
    raw = raw.float()
    softplus = F.relu(raw) + (1 + (-raw.abs()).exp()).log()  # torch's own takes ten times as long
    return softplus / (2 * torch.pi * DENSITY_SIGMA_PX**2)


def _adapted(x: Tensor, by: tuple[Tensor, Tensor]) -> Tensor:
    """Features float[N, C, H, W] or float[N, C], scaled and shifted."""
    scale, shift = (part.reshape(*part.shape, *(1,) * (x.dim() - 2)) for part in by)
    return (x * (1 + scale)).add_(shift)


class CounterNet(nn.Module):
    """ResNet-18 on the planes of `crops.to_input`, with a regression head and a density decoder.

    How wide and bright signals are, how much is dust or grain, how noisy the image is: a field has that in common, and
    a single nucleus shows too little of it. So each nucleus describes its field (`describe`), and the mean of all
    (`mean_of_fields`) adapts the features by which each of them is counted, as a reader's eye adapts to a field.
    """

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
        self.field = nn.Sequential(
            _conv(INPUT_PLANES, 24, 2),
            _conv(24, 48, 2),
            _conv(48, FIELD, 2),
            nn.AdaptiveAvgPool2d(1),
            nn.Flatten(),
        )
        self.by_field = _ByField((16, 64, 512, 48, 32, 24))
        # Begin with an empty map: most pixels hold no signal.
        nn.init.constant_(self.last.bias, -4.0)  # type: ignore[arg-type]

    def describe(self, x: Tensor) -> Tensor:
        """What each nucleus tells about its field, float[N, FIELD], from planes float[N, INPUT_PLANES, S, S]."""
        return self.field(x)  # type: ignore[no-any-return]

    def forward(self, x: Tensor, field: Tensor) -> CounterOutput:
        """Counts of nuclei from their planes float[N, INPUT_PLANES, S, S] and fields float[N or 1, FIELD + 1]."""
        density, deep = self.maps(x, field)
        return self.with_head(density, deep, field)

    def maps(self, x: Tensor, field: Tensor) -> tuple[Tensor, Tensor]:
        """Density maps float[N, 2, S, S], and the deep features float[N, 256, S/16, S/16] that the head goes by."""
        r = self.backbone
        to_fine, to_s2, _, to_d4, to_d2, to_d1 = self.by_field(field)
        fine = _adapted(self.fine(x), to_fine)  # (N, 16, S, S)
        s2 = _adapted(r.relu(r.bn1(r.conv1(x))), to_s2)  # (N, 64, S/2, S/2)
        s4 = r.layer1(r.maxpool(s2))  # (N, 64, S/4, S/4)
        s8 = r.layer2(s4)  # (N, 128, S/8, S/8)
        s16 = r.layer3(s8)  # (N, 256, S/16, S/16)
        d = self.up3(s16, s8)  # (N, 64, S/8, S/8)
        d = _adapted(self.up2(d, s4), to_d4)  # (N, 48, S/4, S/4)
        d = _adapted(self.up1(d, s2), to_d2)  # (N, 32, S/2, S/2)
        d = _adapted(self.up0(d, fine), to_d1)  # (N, 24, S, S)
        return as_density(self.last(d)), s16

    def with_head(self, density: Tensor, deep: Tensor, field: Tensor) -> CounterOutput:
        """What `maps` says, with the regression and the cluster judgement: the widest layers, for which many nuclei at
        once are quicker than for the maps."""
        r = self.backbone
        pooled = _adapted(r.avgpool(r.layer4(deep)).flatten(1), self.by_field(field)[2])  # (N, 512)
        head = r.fc(pooled).float()  # (N, 3)
        return CounterOutput(regressed=head[:, :2], density=density, cluster_logit=head[:, 2])


def completed(state: Mapping[str, Tensor], net: CounterNet) -> dict[str, Tensor]:
    """The weights of a counter, those of one that knew no fields (before counter 5) with parts that change nothing."""
    if any(name.startswith("by_field.") for name in state):
        return dict(state)
    new = {name: part for name, part in net.state_dict().items() if name.partition(".")[0] in ("field", "by_field")}
    return {**new, **state, "by_field.out.weight": torch.zeros_like(new["by_field.out.weight"])}


def folded(net: CounterNet) -> CounterNet:
    """A copy in eval mode, its batch normalisations folded into the convolutions before them: the same numbers.

    Every batch normalisation of this network is registered right after its convolution.
    """
    net = copy.deepcopy(net).eval()
    for parent in net.modules():
        for (name, before), (next_name, after) in pairwise(list(parent.named_children())):
            if isinstance(before, nn.Conv2d) and isinstance(after, nn.BatchNorm2d):
                setattr(parent, name, fuse_conv_bn_eval(before, after))
                setattr(parent, next_name, nn.Identity())
    return net


def fused(net: CounterNet, side_px: int) -> CounterNet:
    """`folded`, for crops of `side_px`, and where that can be halved four times the decoder without idle products: the
    same numbers, faster."""
    net = folded(net)
    if side_px % 16:
        return net
    for name, up in list(net.named_children()):
        if isinstance(up, _Up):
            setattr(net, name, _QuickUp(cast(nn.Conv2d, up.conv[0]), up.inputs))
    return net
