"""U-FISH, a public deep spot enhancer (github.com/UFISH-Team/U-FISH, MIT), through onnxruntime.

It sees one channel at a time and knows no nuclei: its spots are counted inside the boxes of our detector. How wide
nuclei are made for it and from which value a spot counts is tuned on rendered validation regions.
"""

from __future__ import annotations

import hashlib
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path

import numpy as np
from numpy.typing import NDArray
from skimage.feature import peak_local_max

from benchmarks.peers.common import Spots, counts_in_boxes, median_px, resized
from her2core.detection.metrics import ImageDetections
from her2core.records import Box
from her2core.training.readings import Pixels

__all__ = ["UFish", "UFishSettings"]

_MULTIPLE = 16  # sides that the network takes
_LEAST = 0.05  # values below are no candidates
_MAX_SCALE = 2.0


@dataclass(frozen=True, slots=True)
class UFishSettings:
    """nucleus_px: width to which nuclei are brought; threshold: value of a spot; pairs are (HER2, CEP17)."""

    nucleus_px: tuple[float, float] = (64.0, 64.0)
    threshold: tuple[float, float] = (0.5, 0.5)


class UFish:
    """The peer. Raises ImportError without onnxruntime and FileNotFoundError without the network's file."""

    name = "ufish"
    title = "U-FISH spots in our boxes"
    own_boxes = False

    def __init__(self, path: Path, settings: UFishSettings | None = None, *, threads: int = 0) -> None:
        import onnxruntime  # not a requirement of the project

        if not path.is_file():
            raise FileNotFoundError(f"U-FISH's network is not at {path}.")
        self.settings = settings or UFishSettings()
        self._digest = hashlib.sha256(path.read_bytes()).hexdigest()
        options = onnxruntime.SessionOptions()
        options.intra_op_num_threads = threads
        options.log_severity_level = 3
        self._session = onnxruntime.InferenceSession(str(path), options, providers=["CPUExecutionProvider"])
        self._input = self._session.get_inputs()[0].name

    @property
    def key(self) -> str:
        """Name, network and settings."""
        return f"{self.name} {self._digest} {self.settings}"

    def tuned(self, settings: UFishSettings) -> UFish:
        """The same network with other settings."""
        other = object.__new__(UFish)
        other.__dict__.update(self.__dict__, settings=settings)
        return other

    def spots(self, plane: NDArray[np.uint8], nucleus_px: float, target_px: float) -> Spots:
        """Candidate spots of a channel whose nuclei are nucleus_px wide, seen with nuclei target_px wide."""
        small = resized(plane, min(_MAX_SCALE, target_px / nucleus_px))
        low, high = float(small.min()), float(small.max())
        scaled = (small - low) * (255 / max(high - low, 1e-6))
        height, width = small.shape
        padding = [(0, -height % _MULTIPLE), (0, -width % _MULTIPLE)]
        padded = np.pad(scaled, padding, mode="reflect")[None, None].astype(np.float32)  # (1, 1, y, x)
        answer = self._session.run(None, {self._input: padded})[0][0, 0, :height, :width]
        places = peak_local_max(answer, min_distance=1, threshold_abs=_LEAST, exclude_border=False)  # type: ignore[no-untyped-call]
        ratio = np.array([plane.shape[1] / width, plane.shape[0] / height])
        return Spots((places[:, ::-1] + 0.5) * ratio, answer[places[:, 0], places[:, 1]].astype(np.float64))

    def find(self, pixels_rgb: Pixels) -> ImageDetections:
        """U-FISH knows no nuclei. Raises NotImplementedError."""
        raise NotImplementedError("U-FISH counts in the boxes of another method.")

    def counts(self, pixels_rgb: Pixels, boxes: Sequence[Box]) -> list[tuple[int, int]]:
        """(HER2, CEP17) of the nuclei in the boxes."""
        width, s = median_px(boxes), self.settings
        her2, cep17 = (
            counts_in_boxes(self.spots(pixels_rgb[..., i], width, s.nucleus_px[i]).above(s.threshold[i]), boxes)
            for i in (0, 1)
        )
        return list(zip(her2.tolist(), cep17.tolist(), strict=True))
