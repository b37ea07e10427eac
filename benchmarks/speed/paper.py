"""The set-up of Xue et al. 2023 as published: full-width YOLOv3, then ResNet-18 on one crop after the other.

Speed only: the weights are random, which does not change how long anything takes, and crops are cut where our detector
found the nuclei, so that both count the same ones. The paper leaves sizes open: the smallest usual ones flatter it, and
beside them stand those for which its networks were published.
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

__all__ = ["AS_PUBLISHED_PX", "SMALLEST_PX", "PaperSetup"]

# Sides of an image for YOLOv3 and of a crop for ResNet-18.
SMALLEST_PX = 416, 64
AS_PUBLISHED_PX = 608, 224  # Redmon & Farhadi 2018; He et al. 2016
_ANCHORS = ((10, 13), (16, 30), (33, 23), (30, 61), (62, 45), (59, 119), (116, 90), (156, 198), (373, 326))
_KEPT = 300


class PaperSetup:
    """Both networks in eager float32, nothing folded, nothing batched."""

    def __init__(self, sides_px: tuple[int, int] = SMALLEST_PX, width: float = 1.0) -> None:
        torch.manual_seed(0)
        self.input_px, self.crop_px = sides_px
        self.title = f"the paper's set-up, {self.input_px} px and crops of {self.crop_px} px"
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
