"""Convolutions in whole numbers of 8 bits: a quarter of the work of float32 on processors that can multiply so (VNNI).

Features are stored as one of 256 levels of a range that was observed when the model was made, weights as one of 255
levels for each output channel (Jacob et al., CVPR 2018). The ranges belong to the model: its card holds them, and
whoever loads it gets its counts on every device, for sums of whole numbers do not depend on their order: a GPU, or a
processor without such instructions, makes the same sums in float32, which takes longer. What follows a sum is now and
then rounded to the next level; where that matters, it is made exact (`Convolution`, `unit`).
"""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import dataclass
from functools import cache
from typing import Any

import torch
import torch.nn.functional as F
from torch import Tensor, nn

from her2core.errors import ModelError

__all__ = [
    "RANGES",
    "Convolution",
    "Levels",
    "Ranges",
    "multiplies_8_bits",
    "observed",
    "read_ranges",
    "without_ranges",
]

RANGES = "ranges_of_8_bits"  # where the configuration in a card has them

_LEVELS = 255
_WEIGHT_LEVELS = 127
_BEYOND = 1e-5  # share of a tensor's features at either end that its range leaves out
_SAMPLE = 2**20  # features of a tensor that are looked at
_INSTRUCTIONS = ("avx512_vnni", "avx_vnni", "amx_int8")

Ranges = dict[str, tuple[float, float]]


@cache
def multiplies_8_bits() -> bool:
    """Whether oneDNN sums products of 8 bits exactly here.

    Older instructions of x86 overflow at 16 bits, unnoticed, and better ones may be switched off: so a sum that would
    overflow is tried.
    """
    can = torch.cpu.get_capabilities()
    return any(can.get(name, False) for name in _INSTRUCTIONS) and _sums_exactly()


def _sums_exactly() -> bool:
    channels, level = 64, 250
    features = torch.full((1, channels, 8, 8), level, dtype=torch.uint8).contiguous(memory_format=torch.channels_last)
    weights = torch.full((channels, channels, 3, 3), _WEIGHT_LEVELS, dtype=torch.int8)
    scales, none = torch.ones(channels), torch.zeros(channels, dtype=torch.int64)
    how = [1, 1], [1, 1], [1, 1], 1
    try:
        packed = torch.ops.onednn.qconv_prepack(weights, scales, 1.0, 0, *how, None)
        summed: Tensor = torch.ops.onednn.qconv2d_pointwise(
            features, 1.0, 0, packed, scales, none, None, *how, 1.0, 0, torch.float32, "none", [], ""
        )
    except (AttributeError, NotImplementedError, RuntimeError):  # a build of torch without them
        return False
    return bool(torch.equal(summed, F.conv2d(features.float(), weights.float(), padding=1)))


@dataclass(frozen=True, slots=True)
class Levels:
    """256 levels of features: value = (level - zero) x step; level `zero` is exactly 0, as padding is."""

    step: float
    zero: int

    @classmethod
    def spanning(cls, low: float, high: float) -> Levels:
        """Levels from `low` to `high`; 0 is always among them. Raises ValueError where they span nothing."""
        low, high = min(low, 0.0), max(high, 0.0)
        if not 0 < high - low < float("inf"):
            raise ValueError(f"no levels lie between {low} and {high}")
        step = (high - low) / _LEVELS
        return cls(step, round(-low / step))

    def of(self, values: Tensor) -> Tensor:
        """The nearest levels uint8 of float values of any shape; those beyond the range are at its ends."""
        return self.of_steps(values * (1 / self.step))

    def of_steps(self, steps: Tensor) -> Tensor:
        """The same of values in `step`s, which are spoilt."""
        # By way of int8, with the highest bit turned over: torch makes uint8 of float32 four times as slowly.
        whole = steps.add_(self.zero - 128).round_().clamp_(-128, 127).to(torch.int8)
        return whole.view(torch.uint8).bitwise_xor_(128)

    def values(self, levels: Tensor) -> Tensor:
        """Inverse of `of`."""
        return levels.float().sub_(self.zero).mul_(self.step)


class Convolution:
    """A convolution of levels uint8[N, C, H, W], channels last in memory, with weights of 8 bits; safe to share."""

    def __init__(self, conv: nn.Conv2d, came: Levels, device: torch.device, unit: float | None = None) -> None:
        """unit: the result is float in units of it, and to the last bit the same on every device, because a step of
        weights times a step of features is a power of two of it; that costs weights half a bit. Without, it is not."""
        weights = conv.weight.detach()
        self.products = weights[0].numel()  # for each number of the result
        scales = (weights.abs().amax(dim=(1, 2, 3)) / _WEIGHT_LEVELS).clamp(min=1e-12)
        bias = torch.zeros_like(scales) if conv.bias is None else conv.bias.detach().clone()
        self._step = came.step
        if unit is not None:
            to_unit = came.step / unit
            exact = torch.exp2(torch.ceil(torch.log2(scales * to_unit)))
            scales, bias = exact / to_unit, (bias / unit / exact).round() * exact
        whole = (weights / scales[:, None, None, None]).round().to(torch.int8)
        if unit is not None:
            self._step, scales = 1.0, exact
        self.came = came
        self._scales, self._bias = scales.to(device), bias.to(device)
        self._how = int(conv.stride[0]), int(conv.padding[0]), int(conv.dilation[0])  # alike both ways
        self._native = device.type == "cpu" and multiplies_8_bits()
        if self._native:
            self._weights: Tensor = torch.ops.onednn.qconv_prepack(
                whole, scales, self._step, came.zero, *self._twice(), 1, None
            )
            self._zeros = torch.zeros(len(scales), dtype=torch.int64)
        else:
            self._weights = whole.float().to(device, memory_format=torch.channels_last)

    def __call__(
        self,
        features: Tensor,
        to: Levels | None = None,
        *,
        relu: bool = False,
        by: tuple[Tensor, Tensor] | None = None,
        plus: tuple[Tensor, Levels] | None = None,
    ) -> Tensor:
        """The convolution of `features`, levels `self.came`: float, or levels `to`.

        relu: nothing below 0. by: then each channel times (1 + the first) plus the second, float[1, C] each. plus:
        levels that are added before `relu`, and spoilt; needs `to`, and goes with no `by`.
        """
        scales, bias = self._scales, self._bias
        if by is None:
            return self._sum(features, scales, bias, to, relu, plus)
        factor, shift = 1 + by[0][0], by[1][0]
        # max(v, 0) f + s is max(v f + s, s), or the least of both where f is negative.
        adapted = self._sum(features, scales * factor, bias * factor + shift, to, False, None)
        return _bounded(adapted, factor, shift, to) if relu else adapted

    def _twice(self) -> list[list[int]]:
        """Stride, padding and dilation as oneDNN's operation wants them."""
        return [[part, part] for part in self._how]

    def _sum(
        self,
        features: Tensor,
        scales: Tensor,
        bias: Tensor,
        to: Levels | None,
        relu: bool,
        plus: tuple[Tensor, Levels] | None,
    ) -> Tensor:
        came, unary = self.came, "relu" if relu else "none"
        step, zero, kind = (1.0, 0, torch.float32) if to is None else (to.step, to.zero, torch.uint8)
        if self._native:
            start = features, self._step, came.zero, self._weights, scales, self._zeros
            end = step, zero, kind
            result: Tensor
            if plus is None:
                result = torch.ops.onednn.qconv2d_pointwise(*start, bias, *self._twice(), 1, *end, unary, [], "")
            else:
                other, levels = plus
                result = torch.ops.onednn.qconv2d_pointwise.binary(
                    *start, other, bias, *self._twice(), 1, *end, levels.step, levels.zero, "sum", 1.0, unary, [], ""
                )
            return result
        # Float32 sums whole numbers exactly up to 2^24, and those of the networks stay below an eighth of that; what
        # another way to convolve adds to them is rounded off.
        summed = F.conv2d(features.float().sub_(came.zero), self._weights, None, *self._how).round_()
        summed = summed.mul_((scales * self._step)[:, None, None]).add_(bias[:, None, None])
        if plus is not None:
            summed += plus[1].values(plus[0])
        if relu:
            summed = summed.relu_()
        return summed if to is None else to.of(summed)


def _bounded(features: Tensor, factor: Tensor, shift: Tensor, levels: Levels | None) -> Tensor:
    """Features of channels, none on the other side of its `shift`, float[C], than its `factor` says."""
    bound = shift[:, None, None] if levels is None else levels.of(shift)[:, None, None]
    upwards = (factor >= 0)[:, None, None]
    if bool(upwards.all()):
        return torch.maximum(features, bound, out=features)
    return torch.where(upwards, torch.maximum(features, bound), torch.minimum(features, bound))


def observed(net: nn.Module, run: Callable[[], object], outputs: tuple[str, ...] = ()) -> Ranges:
    """What spans the input of every convolution of `net`, by its name, while `run()` makes it work; of each tensor that
    passes, all but the rarest at either end: finer steps for all others are worth more than these.

    outputs: names of modules whose output is observed, too.
    """
    seen: Ranges = {}

    def note(name: str, values: Tensor) -> None:
        low, high = seen.get(name, (0.0, 0.0))
        flat = values.flatten()[:: max(values.numel() // _SAMPLE, 1)]
        beyond = max(round(flat.numel() * _BEYOND), 1)
        seen[name] = min(low, -float((-flat).topk(beyond).values[-1])), max(high, float(flat.topk(beyond).values[-1]))

    def before(name: str) -> Callable[[nn.Module, tuple[Any, ...]], None]:
        return lambda module, inputs: note(name, inputs[0])

    def after(name: str) -> Callable[[nn.Module, tuple[Any, ...], Tensor], None]:
        return lambda module, inputs, output: note(f"{name} output", output)

    handles = [
        module.register_forward_pre_hook(before(name))
        for name, module in net.named_modules()
        if isinstance(module, nn.Conv2d)
    ]
    handles += [net.get_submodule(name).register_forward_hook(after(name)) for name in outputs]
    try:
        run()
    finally:
        for handle in handles:
            handle.remove()
    return {name: (float(f"{low:.5g}"), float(f"{high:.5g}")) for name, (low, high) in seen.items()}


class _ByLayer(dict[str, Levels]):
    """Levels by the name of their layer."""

    def __missing__(self, layer: str) -> Levels:
        raise ModelError(f"The model card has no range of 8-bit features for its layer {layer!r}.")


def without_ranges(config: Mapping[str, Any]) -> dict[str, Any]:
    """A card's configuration for a network that works in float32."""
    return {name: value for name, value in config.items() if name != RANGES}


def read_ranges(value: object) -> Mapping[str, Levels]:
    """Levels by the name of their layer, from the ranges of a model card.

    Raises ModelError where they are none, and when a layer is asked for that has no range.
    """
    try:
        if not isinstance(value, Mapping):
            raise TypeError(type(value).__name__)
        return _ByLayer({str(name): Levels.spanning(*(float(end) for end in ends)) for name, ends in value.items()})
    except (TypeError, ValueError) as error:
        raise ModelError(f"The ranges of 8-bit features in the model card cannot be read ({error}).") from error
