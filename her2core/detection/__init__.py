"""Stage 1: YOLOv3 on Darknet-53 finds tumour nuclei."""

from her2core.detection.detector import Detection, Detector

__all__ = ["Detection", "Detector"]
