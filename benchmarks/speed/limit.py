"""The distance to the machine's limit: multiplications that the networks need against what the machine can do."""

from __future__ import annotations

import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from typing import Any
from unittest import mock

import torch
from torch import Tensor, nn

from her2core.eight_bits import Convolution, Levels

__all__ = ["Operations", "counting_operations", "machine_giga", "machine_giga_in_8_bits"]

_SIDE = 2048
_TRIES = 5


class Operations:
    """Operations so far, a multiplication and an addition being two: in float32, and with factors of 8 bits."""

    def __init__(self) -> None:
        self.in_float32 = 0.0
        self.in_8_bits = 0.0


@contextmanager
def counting_operations(*holders: object) -> Iterator[Operations]:
    """Count the convolutions and linear layers of all networks that the objects hold, and all convolutions in 8 bits,
    while in the `with`."""
    done, hooks = Operations(), []

    def convolution(module: Any, _: Any, output: Tensor) -> None:
        kernel = module.kernel_size[0] * module.kernel_size[1] * module.in_channels / module.groups
        done.in_float32 += 2 * output.numel() * kernel

    def linear(module: Any, _: Any, output: Tensor) -> None:
        done.in_float32 += 2 * output.numel() * module.in_features

    plain = Convolution.__call__

    def eight_bits(convolved: Convolution, *args: Any, **how: Any) -> Tensor:
        output = plain(convolved, *args, **how)
        done.in_8_bits += 2 * output.numel() * convolved.products
        return output

    for network in (n for holder in holders for n in _networks(holder)):
        for layer in network.modules():
            if isinstance(layer, nn.Conv2d):
                hooks.append(layer.register_forward_hook(convolution))
            elif isinstance(layer, nn.Linear):
                hooks.append(layer.register_forward_hook(linear))
    try:
        with mock.patch.object(Convolution, "__call__", eight_bits):
            yield done
    finally:
        for hook in hooks:
            hook.remove()


def machine_giga_in_8_bits(side: int = _SIDE, tries: int = _TRIES) -> float:
    """As `machine_giga` of a wide convolution with factors of 8 bits."""
    channels, places = max(side // 8, 8), max(side // 32, 8)
    levels = Levels.spanning(0, 1)
    wide = Convolution(nn.Conv2d(channels, channels, 3, padding=1), levels, torch.device("cpu"))
    x = levels.of(torch.rand(4, channels, places, places).contiguous(memory_format=torch.channels_last))
    with torch.inference_mode():
        return 2 * wide.products * channels * 4 * places**2 / _shortest(lambda: wide(x, levels), tries) / 1e9


def machine_giga(side: int = _SIDE, tries: int = _TRIES) -> float:
    """Thousands of millions of operations a second in float32, the best of some tries: the product of two matrices or a
    wide convolution, for which other libraries are used and either may be the quicker."""
    a, b = torch.rand(side, side), torch.rand(side, side)
    channels, places = max(side // 8, 8), max(side // 32, 8)
    wide = nn.Conv2d(channels, channels, 3, padding=1).to(memory_format=torch.channels_last)
    x = torch.rand(4, channels, places, places).contiguous(memory_format=torch.channels_last)
    with torch.inference_mode():
        return max(
            2 * side**3 / _shortest(lambda: torch.mm(a, b), tries) / 1e9,
            2 * 9 * channels**2 * 4 * places**2 / _shortest(lambda: wide(x), tries) / 1e9,
        )


def _shortest(work: Callable[[], Tensor], tries: int) -> float:
    """Seconds that the quickest try took, after one that does not count."""
    work()
    best = float("inf")
    for _ in range(tries):
        started = time.perf_counter()
        work()
        best = min(best, time.perf_counter() - started)
    return best


def _networks(holder: object) -> list[nn.Module]:
    return [holder] if isinstance(holder, nn.Module) else [v for v in vars(holder).values() if isinstance(v, nn.Module)]
