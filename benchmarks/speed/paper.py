"""The set-up of Xue et al. 2023 as published: full-width YOLOv3, then ResNet-18 on one crop after the other.

Speed only: the weights are random, which does not change how long anything takes, and crops are cut where our detector
found the nuclei, so that both count the same ones. Where the paper leaves a size open, the smaller usual one is taken,
which flatters the paper: YOLOv3's 416 px, and crops of 64 px.
"""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np
import torch
from PIL import Image
from torchvision.models import resnet18
from torchvision.ops import nms

from her2core.detection.decode import decode
from her2core.detection.yolo import YoloConfig, YoloV3
from her2core.imaging import PixelsRGB
from her2core.records import Box

__all__ = ["CROP_PX", "INPUT_PX", "PaperSetup"]

INPUT_PX = 416
CROP_PX = 64
_ANCHORS = ((10, 13), (16, 30), (33, 23), (30, 61), (62, 45), (59, 119), (116, 90), (156, 198), (373, 326))
_KEPT = 300


class PaperSetup:
    """Both networks in eager float32, nothing folded, nothing batched."""

    def __init__(self, input_px: int = INPUT_PX, crop_px: int = CROP_PX, width: float = 1.0) -> None:
        torch.manual_seed(0)
        self.input_px, self.crop_px = input_px, crop_px
        self.detector = YoloV3(YoloConfig(width, tuple((float(w), float(h)) for w, h in _ANCHORS))).eval()
        self.counter = resnet18(weights=None, num_classes=2).eval()
        self._anchors = torch.tensor(_ANCHORS, dtype=torch.float32)

    def analyse(self, pixels_rgb: PixelsRGB, boxes: Sequence[Box]) -> int:
        """Everything from pixels to counts; returns how many nuclei were counted."""
        image = Image.fromarray(pixels_rgb)
        small = np.array(image.resize((self.input_px, self.input_px), Image.Resampling.BILINEAR))
        with torch.no_grad():
            found = decode(self.detector(_tensor(small)), self._anchors)
            scores = found.scores()[0]
            scores, best = scores.topk(min(_KEPT, len(scores)))
            nms(found.boxes_xyxy[0][best], scores, 0.45)
            counted = 0
            for box in boxes:
                crop = image.crop(box).resize((self.crop_px, self.crop_px), Image.Resampling.BILINEAR)
                self.counter(_tensor(np.array(crop)))
                counted += 1
        return counted


def _tensor(pixels_rgb: PixelsRGB) -> torch.Tensor:
    return torch.from_numpy(pixels_rgb).permute(2, 0, 1)[None].float() / 255  # (1, 3, H, W)
