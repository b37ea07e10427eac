"""From the head's raw maps to boxes: x, y = (sigmoid(t) + cell) * stride; w, h = anchor * exp(t)."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

import torch
from torch import Tensor

from her2core.detection.yolo import ANCHORS_PER_SCALE, OUTPUTS_PER_ANCHOR, STRIDES

__all__ = ["Predictions", "decode"]

_MAX_LOG_SIZE = 4.0  # e^4 times its anchor: no nucleus is that large, and exp stays finite in wild first steps


@dataclass(frozen=True, slots=True)
class Predictions:
    """All P positions of all scales, scale by scale, row by row, the three anchors of a cell side by side.

    boxes_xyxy: Tensor[B, P, 4], pixels of the network's input; objectness, class_logit: Tensor[B, P], logits.
    """

    boxes_xyxy: Tensor
    objectness: Tensor
    class_logit: Tensor

    def scores(self) -> Tensor:
        """Tensor[B, P]: probability of an object times probability of the class."""
        return self.objectness.sigmoid() * self.class_logit.sigmoid()


def decode(raw_maps: Sequence[Tensor], anchors_px: Tensor) -> Predictions:
    """Predictions from raw maps Tensor[B, 3*6, H/s, W/s] (s = 8, 16, 32) and anchors_px: Tensor[9, 2]."""
    boxes, objectness, classes = [], [], []
    for level, (raw, stride) in enumerate(zip(raw_maps, STRIDES, strict=True)):
        b, _, h, w = raw.shape
        t = raw.float().view(b, ANCHORS_PER_SCALE, OUTPUTS_PER_ANCHOR, h, w)
        t = t.permute(0, 3, 4, 1, 2)  # (B, h, w, 3, 6)
        rows = torch.arange(h, device=raw.device, dtype=torch.float32).view(1, h, 1, 1)
        columns = torch.arange(w, device=raw.device, dtype=torch.float32).view(1, 1, w, 1)
        cx = (t[..., 0].sigmoid() + columns) * stride  # (B, h, w, 3)
        cy = (t[..., 1].sigmoid() + rows) * stride
        own = anchors_px[level * ANCHORS_PER_SCALE : (level + 1) * ANCHORS_PER_SCALE].to(raw.device)  # (3, 2)
        half = t[..., 2:4].clamp(-_MAX_LOG_SIZE, _MAX_LOG_SIZE).exp() * own / 2  # (B, h, w, 3, 2)
        centre = torch.stack((cx, cy), dim=-1)
        boxes.append(torch.cat((centre - half, centre + half), dim=-1).reshape(b, -1, 4))
        objectness.append(t[..., 4].reshape(b, -1))
        classes.append(t[..., 5].reshape(b, -1))
    return Predictions(torch.cat(boxes, 1), torch.cat(objectness, 1), torch.cat(classes, 1))
