"""Stage 2's network in 8 bits (`her2core.eight_bits`): the layers of `network.CounterNet`, a fraction of the time."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from typing import Any

import torch
import torch.nn.functional as F
from torch import Tensor, nn
from torchvision.models.resnet import BasicBlock

from her2core.counting.crops import CropSize
from her2core.counting.network import CounterNet, CounterOutput, as_density, folded, fused
from her2core.eight_bits import RANGES, Convolution, Levels, Ranges, observed, read_ranges

__all__ = ["QuickCounterNet", "counter_ranges", "in_use"]

_SHORTCUTS = tuple(f"backbone.layer{i}.0.downsample" for i in (2, 3, 4))


def counter_ranges(net: CounterNet, run: Callable[[CounterNet], object]) -> Ranges:
    """What spans the features of `net` while `run` has a copy of it look at nuclei, by layer."""
    plain = folded(net)
    return observed(plain, lambda: run(plain), _SHORTCUTS)


def in_use(net: CounterNet, card: Mapping[str, Any], device: torch.device) -> CounterNet | QuickCounterNet:
    """The network as results come from it: in 8 bits where the card has ranges for it, else in float32.

    Raises ModelError where a layer has no range.
    """
    config = card.get("config", {})
    ranges = config.get(RANGES)
    if ranges is None:
        plain = fused(net, CropSize.from_config(config).side_px).requires_grad_(False)
        return plain.to(device, memory_format=torch.channels_last)  # type: ignore[call-overload,no-any-return]
    return QuickCounterNet(net, read_ranges(ranges), device)


class QuickCounterNet:
    """`CounterNet` with features and weights of 8 bits. One field at a time; safe to share between threads."""

    def __init__(self, net: CounterNet, levels: Mapping[str, Levels], device: torch.device) -> None:
        plain = folded(net).requires_grad_(False).to(device)
        names = {module: name for name, module in plain.named_modules()}
        r = plain.backbone

        def conv(module: nn.Module, came: Levels | None = None) -> Convolution:
            return Convolution(module, came or levels[names[module]], device)  # type: ignore[arg-type]

        def blocks(layer: nn.Sequential, came: Levels, last: Levels | None) -> list[_Block]:
            first, second = (block for block in layer if isinstance(block, BasicBlock))
            between = levels[names[second.conv1]]
            return [
                _Block(first, conv, names, levels, came, between),
                _Block(second, conv, names, levels, between, last),
            ]

        # What is joined in the decoder has one range.
        self._planes = levels["backbone.conv1"]
        self._full, self._half, self._quarter, self._eighth = (levels[f"up{i}.conv.0"] for i in range(4))
        self._by_field = plain.by_field
        self._fine = conv(plain.get_submodule("fine.0.0"), self._planes), conv(plain.get_submodule("fine.1.0"))
        self._first = conv(r.conv1)
        self._layer1 = blocks(r.layer1, self._half, self._quarter)
        self._layer2 = blocks(r.layer2, self._quarter, self._eighth)
        self._layer3 = blocks(r.layer3, self._eighth, self._eighth)
        self._layer4 = blocks(r.layer4, self._eighth, None)
        self._up = [conv(getattr(plain, f"up{i}").conv[0]) for i in range(4)]
        self._last = conv(plain.last)
        self._fc = r.fc
        self._describe = [conv(plain.get_submodule(f"field.{i}.0"), None if i else self._planes) for i in range(3)]

    def describe(self, x: Tensor) -> Tensor:
        """As `CounterNet.describe`."""
        features = self._planes.of(x)
        first, second, third = self._describe
        features = second(first(features, second.came, relu=True), third.came, relu=True)
        return third(features, relu=True).mean(dim=(2, 3))

    def maps(self, x: Tensor, field: Tensor) -> tuple[Tensor, Tensor]:
        """As `CounterNet.maps`, of one field float[1, FIELD + 1]; the deep features are levels."""
        to_fine, to_s2, _, to_d4, to_d2, to_d1 = self._by_field(field)
        planes = self._planes.of(x)
        one, two = self._fine
        fine = two(one(planes, two.came, relu=True), self._full, relu=True, by=to_fine)
        s2 = self._first(planes, self._half, relu=True, by=to_s2)
        s4 = _through(self._layer1, _pooled(_pooled(s2, 2), 3))
        s8 = _through(self._layer2, s4)
        s16 = _through(self._layer3, s8)
        up0, up1, up2, up3 = self._up
        d = up3(_joined(s16, s8), self._quarter, relu=True)
        d = up2(_joined(d, s4), self._half, relu=True, by=to_d4)
        d = up1(_joined(d, s2), self._full, relu=True, by=to_d2)
        d = up0(_joined(d, fine), self._last.came, relu=True, by=to_d1)
        return as_density(self._last(d)), s16

    def with_head(self, density: Tensor, deep: Tensor, field: Tensor) -> CounterOutput:
        """As `CounterNet.with_head`."""
        scale, shift = self._by_field(field)[2]
        pooled = _through(self._layer4, deep).mean(dim=(2, 3)) * (1 + scale) + shift
        head = self._fc(pooled)
        return CounterOutput(regressed=head[:, :2], density=density, cluster_logit=head[:, 2])

    def __call__(self, x: Tensor, field: Tensor) -> CounterOutput:
        """As `CounterNet.forward`, of one field float[1, FIELD + 1]."""
        density, deep = self.maps(x, field)
        return self.with_head(density, deep, field)


class _Block:
    """`BasicBlock` (He et al. 2016) of levels; its result is float where it has none `to` go to."""

    def __init__(
        self,
        block: BasicBlock,
        conv: Callable[[nn.Module, Levels], Convolution],
        names: Mapping[nn.Module, str],
        levels: Mapping[str, Levels],
        came: Levels,
        to: Levels | None,
    ) -> None:
        self._inner = levels[names[block.conv2]]
        self._one, self._two = conv(block.conv1, came), conv(block.conv2, self._inner)
        self._short = None if block.downsample is None else conv(block.downsample[0], came)
        self._kept = came if block.downsample is None else levels[f"{names[block.downsample]} output"]
        self._to = to

    def __call__(self, features: Tensor) -> Tensor:
        kept = features if self._short is None else self._short(features, self._kept)
        inner = self._one(features, self._inner, relu=True)
        if self._to is not None:
            return self._two(inner, self._to, relu=True, plus=(kept, self._kept))
        return self._two(inner).add_(self._kept.values(kept)).relu_()


def _through(blocks: list[_Block], features: Tensor) -> Tensor:
    for block in blocks:
        features = block(features)
    return features


def _joined(deep: Tensor, skip: Tensor) -> Tensor:
    """Levels of twice the size and the skip connection's, channels last in memory."""
    return torch.cat([F.interpolate(deep, size=skip.shape[-2:], mode="nearest"), skip], dim=1)


def _pooled(levels: Tensor, dim: int) -> Tensor:
    """The highest of three levels around every second place along a dimension of even size (torch pools no levels)."""
    halves = levels.unflatten(dim, (-1, 2))  # type: ignore[no-untyped-call]
    even, odd = halves.unbind(dim + 1)
    highest = torch.maximum(even, odd)
    later = highest.narrow(dim, 1, highest.shape[dim] - 1)
    torch.maximum(later, odd.narrow(dim, 0, odd.shape[dim] - 1), out=later)
    return highest
