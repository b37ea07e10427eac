"""Stage 1's network in 8 bits (`her2core.eight_bits`): the layers of `yolo.YoloV3`, half the time.

What residual blocks add up stays in float32, and so does what the last layer of each scale says about boxes. The
network is deep, and what is rounded to another level in one layer comes out as another pixel of a box; so every
convolution's result is exact.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping
from itertools import pairwise
from typing import cast

import torch
import torch.nn.functional as F
from torch import Tensor, nn

from her2core.detection.darknet import LEAKY_SLOPE, ConvUnit, Residual
from her2core.detection.yolo import YoloV3, fused
from her2core.eight_bits import Convolution, Levels, Ranges, observed

__all__ = ["QuickYolo", "detector_ranges"]

_STEM = "backbone.stem.conv"


def detector_ranges(model: YoloV3, run: Callable[[nn.Module], object]) -> Ranges:
    """What spans the features of the network while `run` has a copy of it look at images, by layer."""
    plain = fused(model)
    return observed(plain, lambda: run(plain)) | {_STEM: (0.0, 1.0)}  # the 256 levels of an image


class QuickYolo:
    """`YoloV3` with features and weights of 8 bits; safe to share between threads."""

    def __init__(self, model: YoloV3, levels: Mapping[str, Levels], device: torch.device) -> None:
        plain = fused(model).requires_grad_(False).to(device)
        names = {module: name for name, module in plain.named_modules()}

        def unit(module: nn.Module, then: nn.Module | None = None) -> _Unit:
            conv, after = cast(ConvUnit, module).conv, None if then is None else levels[names[then]]
            return _Unit(conv, levels[names[conv]], after, device)

        def block(module: nn.Module) -> tuple[_Unit, _Unit]:
            residual = cast(Residual, module)
            return unit(residual.reduce, residual.expand.conv), unit(residual.expand)

        self._stem = unit(plain.backbone.stem)
        self._stages = [
            (unit(stage[0]), [block(module) for module in list(stage)[1:]])
            for stage in cast(list[nn.Sequential], plain.backbone.stages)
        ]
        necks = plain.neck32, plain.neck16, plain.neck8
        self._necks = [
            _QuickNeck(
                [unit(now, then.conv) for now, then in pairwise(cast(list[ConvUnit], list(neck.body)))],
                unit(neck.body[4]),
                unit(neck.widen, neck.predict),
                Convolution(neck.predict, levels[names[neck.predict]], device, 1.0),
            )
            for neck in necks
        ]
        firsts = [cast(ConvUnit, neck.body[0]).conv for neck in necks]
        self._laterals = [unit(plain.lateral16, firsts[1]), unit(plain.lateral8, firsts[2])]

    def __call__(self, images: Tensor) -> tuple[Tensor, Tensor, Tensor]:
        """As `YoloV3.forward`."""
        x = self._stem(self._stem.came.of(images))
        maps = []
        for down, blocks in self._stages:
            x = down(down.came.of(x))
            for reduce, expand in blocks:
                x += expand(reduce(reduce.came.of(x)))
            maps.append(x)
        raw = []
        coming: Tensor | None = None  # of the scale before, twice as large
        for i, neck in enumerate(self._necks):
            features = neck.came.of(maps[4 - i])
            if coming is not None:
                features = torch.cat((coming, features), dim=1)
            route, predicted = neck(features)
            raw.append(predicted)
            if i < len(self._laterals):
                lateral = self._laterals[i]
                coming = F.interpolate(lateral(lateral.came.of(route)), scale_factor=2.0, mode="nearest")
        return raw[2], raw[1], raw[0]


class _Unit:
    """`ConvUnit` of levels, to levels of what comes `then`, or to float."""

    def __init__(self, conv: nn.Conv2d, came: Levels, then: Levels | None, device: torch.device) -> None:
        self.came, self._then = came, then
        self._conv = Convolution(conv, came, device, 1.0 if then is None else then.step)

    def __call__(self, features: Tensor) -> Tensor:
        active = F.leaky_relu_(self._conv(features), LEAKY_SLOPE)
        return active if self._then is None else self._then.of_steps(active)


class _QuickNeck:
    """`yolo._Neck` of levels; `last` of its body and the raw map are float."""

    def __init__(self, body: list[_Unit], last: _Unit, widen: _Unit, predict: Convolution) -> None:
        self.came = body[0].came
        self._body, self._last, self._widen, self._predict = body, last, widen, predict

    def __call__(self, features: Tensor) -> tuple[Tensor, Tensor]:
        """The route and the raw map."""
        for unit in self._body:
            features = unit(features)
        route = self._last(features)
        return route, self._predict(self._widen(self._widen.came.of(route)))
