"""YOLOv3 with one class, *tumour nucleus*: Darknet-53 and a head with feature pyramid at three scales.

Redmon & Farhadi 2018, arXiv:1804.02767, section 2.3: nine anchors, three a scale; for each anchor the head
predicts four box coordinates, objectness and the class.
"""

from __future__ import annotations

import copy
import math
from dataclasses import dataclass
from itertools import pairwise
from typing import Any

import torch
from torch import Tensor, nn
from torch.nn import functional as F
from torch.nn.utils.fusion import fuse_conv_bn_eval

from her2core.detection.darknet import ConvUnit, Darknet53, scaled_channels

__all__ = ["ANCHORS_PER_SCALE", "OUTPUTS_PER_ANCHOR", "STRIDES", "YoloConfig", "YoloV3", "fused"]

STRIDES = (8, 16, 32)
ANCHORS_PER_SCALE = 3
OUTPUTS_PER_ANCHOR = 6  # x, y, w, h, objectness, class
PRIOR_OBJECTNESS = 0.01  # at the start, so that the thousands of empty positions do not drown the first steps


@dataclass(frozen=True, slots=True)
class YoloConfig:
    """What it takes to build the network that a weights file fits.

    `anchors_px`: nine (width, height) by rising area, pixels of the network's input; the first three belong to
    stride 8, the last three to stride 32.
    """

    width: float
    anchors_px: tuple[tuple[float, float], ...]

    def __post_init__(self) -> None:
        if len(self.anchors_px) != ANCHORS_PER_SCALE * len(STRIDES):
            raise ValueError(f"YOLOv3 has nine anchors, not {len(self.anchors_px)}")
        if any(not (math.isfinite(side) and side > 0) for anchor in self.anchors_px for side in anchor):
            raise ValueError("an anchor has two positive sides")
        areas = [w * h for w, h in self.anchors_px]
        if any(a > b for a, b in pairwise(areas)):
            raise ValueError("anchors go by rising area")

    def to_dict(self) -> dict[str, Any]:
        """For a model card."""
        return {"width": self.width, "anchors_px": [list(anchor) for anchor in self.anchors_px]}

    @staticmethod
    def from_dict(data: dict[str, Any]) -> YoloConfig:
        """Inverse of `to_dict`; ValueError where a key is missing, unknown or of the wrong kind."""
        if set(data) != {"width", "anchors_px"}:
            raise ValueError(f"a YOLOv3 configuration has width and anchors_px, not {sorted(data)}")
        try:
            anchors = tuple((float(w), float(h)) for w, h in data["anchors_px"])
            return YoloConfig(float(data["width"]), anchors)
        except TypeError as error:
            raise ValueError(f"a YOLOv3 configuration cannot be read: {error}") from error


class _Neck(nn.Module):
    """Five alternating 1x1 and 3x3 convolutions of one scale, then its 3x3 and the predicting 1x1."""

    def __init__(self, c_in: int, c: int) -> None:
        super().__init__()
        self.body = nn.Sequential(
            ConvUnit(c_in, c, 1),
            ConvUnit(c, 2 * c, 3),
            ConvUnit(2 * c, c, 1),
            ConvUnit(c, 2 * c, 3),
            ConvUnit(2 * c, c, 1),
        )
        self.widen = ConvUnit(c, 2 * c, 3)
        self.predict = nn.Conv2d(2 * c, ANCHORS_PER_SCALE * OUTPUTS_PER_ANCHOR, 1)

    def forward(self, x: Tensor) -> tuple[Tensor, Tensor]:
        route: Tensor = self.body(x)  # (B, c, H, W)
        raw: Tensor = self.predict(self.widen(route))  # (B, 3*6, H, W)
        return route, raw


class YoloV3(nn.Module):
    """The whole network; `forward` returns raw maps, `decode.decode` makes boxes of them."""

    def __init__(self, config: YoloConfig) -> None:
        super().__init__()
        self.config = config
        self.backbone = Darknet53(config.width)
        c8, c16, c32 = self.backbone.out_channels
        n8, n16, n32 = (scaled_channels(c, config.width) for c in (128, 256, 512))
        self.neck32 = _Neck(c32, n32)
        self.lateral16 = ConvUnit(n32, n16, 1)
        self.neck16 = _Neck(n16 + c16, n16)
        self.lateral8 = ConvUnit(n16, n8, 1)
        self.neck8 = _Neck(n8 + c8, n8)
        self._initialise()

    def _initialise(self) -> None:
        for module in self.modules():
            if isinstance(module, nn.Conv2d):
                nn.init.kaiming_normal_(module.weight, a=0.1, nonlinearity="leaky_relu")
        for neck in (self.neck8, self.neck16, self.neck32):
            nn.init.normal_(neck.predict.weight, std=0.01)
            bias = neck.predict.bias
            if bias is None:
                raise ValueError("the predicting convolution has a bias")
            with torch.no_grad():
                bias.zero_()
                bias.view(ANCHORS_PER_SCALE, OUTPUTS_PER_ANCHOR)[:, 4] = -math.log(1 / PRIOR_OBJECTNESS - 1)

    def forward(self, images: Tensor) -> tuple[Tensor, Tensor, Tensor]:
        """Raw maps Tensor[B, 3*6, H/s, W/s] for s = 8, 16, 32 of images: Tensor[B, 3, H, W] in 0..1."""
        x8, x16, x32 = self.backbone(images)
        route, raw32 = self.neck32(x32)  # (B, n32, H/32, W/32)
        up = F.interpolate(self.lateral16(route), scale_factor=2.0, mode="nearest")  # (B, n16, H/16, W/16)
        route, raw16 = self.neck16(torch.cat((up, x16), dim=1))
        up = F.interpolate(self.lateral8(route), scale_factor=2.0, mode="nearest")  # (B, n8, H/8, W/8)
        _, raw8 = self.neck8(torch.cat((up, x8), dim=1))
        return raw8, raw16, raw32


def fused(model: YoloV3) -> YoloV3:
    """A copy in eval mode, its batch normalisations folded into the convolutions: the same numbers, faster."""
    model = copy.deepcopy(model).eval()
    for module in model.modules():
        if isinstance(module, ConvUnit) and isinstance(module.bn, nn.BatchNorm2d):
            module.conv = fuse_conv_bn_eval(module.conv, module.bn)
            module.bn = nn.Identity()
    return model
