"""Stage 1 in use: find tumour nuclei of any size in an image of any size.

Nuclei span 40 to 190 px in real fields, too much for one network's anchors to serve alike. So a part of the image is
first looked at in small, the size of a nucleus is measured, and the image is then resized so that the median nucleus is
`target_nucleus_px` wide, which is what the network saw most in training.
"""

from __future__ import annotations

import math
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from functools import partial
from pathlib import Path
from typing import Any, Self

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor
from torchvision.ops import nms

from her2core.cores import cores, side_by_side
from her2core.detection.decode import decode
from her2core.detection.quick import QuickYolo
from her2core.detection.tiles import TILE_PX, Tile, clip, merge, plan, read_tile, round_up
from her2core.detection.yolo import YoloConfig, YoloV3, fused
from her2core.eight_bits import RANGES, read_ranges
from her2core.errors import CancelledError, ModelError, WeightsMismatchError
from her2core.models import load_weights, to_device
from her2core.records import Box

__all__ = ["Detection", "Detector", "DetectorConfig"]

Pixels = NDArray[np.uint8]
Progress = Callable[[float, str], None]
Cancelled = Callable[[], bool]
Network = Callable[[Tensor], Sequence[Tensor]]

PROBE_PX = 512  # longest side of the first, small look
WHOLE_PROBE_PX = 1400  # longest side up to which the first look is at the whole image
PROBE_WINDOW_PX = 1024  # side of the windows looked at in larger ones
PROBE_WINDOWS = 4
MIN_SCALE, MAX_SCALE = 0.1, 2.0
CONFIDENT = 0.4
COMFORTABLE = (0.6, 1.7)  # of the target size: nuclei that the first look judges well
RETRY_RATIO = 1.25  # how far off the size may turn out before the image is looked at once more
MAX_RETRIES = 2
ENOUGH_NUCLEI = 6  # fewer than these say little about the size
ENOUGH_IN_QUARTER = 10  # so many in a quarter of the image say as much as all
MAX_PER_TILE = 1500
CUDA_BATCH = 8
MOST_CUT_BYTES = 256 << 20  # of the image that are shrunk to tiles at once
AS_IT_IS = (1.0, 0.0)


@dataclass(frozen=True, slots=True)
class Detection:
    """A nucleus found: box (x0, y0, x1, y1) in px of the original image, score 0..1 (`DetectorConfig.stated`)."""

    box_xyxy: Box
    score: float


@dataclass(frozen=True, slots=True)
class DetectorConfig:
    """The network and how it is used; travels in the model card under "config".

    `score_threshold` and all that happens inside the detector go by the network's own score; `score_calibration`
    (slope and offset of its logit, Platt 1999) makes a chance of it: of boxes that state 0.7, seven of ten are nuclei.
    `ranges`: what spans the features of each layer in 8 bits (`quick`); None where the network works in float32.
    """

    yolo: YoloConfig
    target_nucleus_px: float = 48.0
    score_threshold: float = 0.3
    nms_iou: float = 0.45
    score_calibration: tuple[float, float] = AS_IT_IS
    ranges: Mapping[str, tuple[float, float]] | None = None

    def __post_init__(self) -> None:
        if not 8 <= self.target_nucleus_px <= 256:
            raise ValueError("target_nucleus_px must lie in 8..256")
        if not (0 < self.score_threshold < 1 and 0 < self.nms_iou < 1):
            raise ValueError("score_threshold and nms_iou must lie between 0 and 1")
        if not self.score_calibration[0] > 0:
            raise ValueError("a surer box must not state a lower score")

    def stated(self, score: float) -> float:
        """The chance that a box with this score of the network is a nucleus."""
        if self.score_calibration == AS_IT_IS:
            return score
        slope, offset = self.score_calibration
        inside = min(max(score, 1e-6), 1 - 1e-6)
        return 1 / (1 + math.exp(-(slope * math.log(inside / (1 - inside)) + offset)))

    @property
    def least_stated(self) -> float:
        """What the least sure nucleus that is shown states."""
        return self.stated(self.score_threshold)

    def to_dict(self) -> dict[str, Any]:
        """For a model card."""
        return {
            **self.yolo.to_dict(),
            "target_nucleus_px": self.target_nucleus_px,
            "score_threshold": self.score_threshold,
            "nms_iou": self.nms_iou,
            "score_calibration": list(self.score_calibration),
            **({} if self.ranges is None else {RANGES: {name: list(ends) for name, ends in self.ranges.items()}}),
        }

    @staticmethod
    def from_dict(data: dict[str, Any]) -> DetectorConfig:
        """Inverse of `to_dict`; ValueError where a key is missing, unknown or of the wrong kind."""
        rest = dict(data)
        try:
            yolo = YoloConfig.from_dict({key: rest.pop(key) for key in ("width", "anchors_px")})
            own = {k: float(rest.pop(k)) for k in ("target_nucleus_px", "score_threshold", "nms_iou")}
            slope, offset = rest.pop("score_calibration", AS_IT_IS)  # detectors before 1.3 have none
            calibration = float(slope), float(offset)
            ranges = _read_ends(rest.pop(RANGES, None))  # nor detectors before 1.4 these
        except (KeyError, TypeError) as error:
            raise ValueError(f"a detector configuration lacks or spoils {error}") from error
        if rest:
            raise ValueError(f"a detector configuration has no {sorted(rest)}")
        return DetectorConfig(yolo, **own, score_calibration=calibration, ranges=ranges)


def _read_ends(value: Any) -> Mapping[str, tuple[float, float]] | None:
    """Ranges of a card; TypeError for what are none."""
    if value is None:
        return None
    try:
        return {str(name): (float(low), float(high)) for name, (low, high) in value.items()}
    except (AttributeError, ValueError) as error:
        raise TypeError(str(error)) from error


def _in_use(model: YoloV3, config: DetectorConfig, device: torch.device) -> Network:
    """The network as results come from it: in 8 bits where the configuration has ranges for it, else in float32."""
    if config.ranges is None:
        return fused(model).to(device).to(memory_format=torch.channels_last).requires_grad_(False)
    return QuickYolo(model, read_ranges(config.ranges), device)


@dataclass(frozen=True, slots=True)
class _Look:
    """What one scale showed: boxes (D, 4) in original px and scores (D,), by falling score."""

    scale: float
    boxes: Tensor
    scores: Tensor

    def confident(self) -> int:
        """How many boxes are confident."""
        return int((self.scores >= CONFIDENT).sum())

    def median_px(self) -> float | None:
        """Median sqrt(area) of the confident boxes in original px, or None without any."""
        sure = self.boxes[self.scores >= CONFIDENT]
        if not len(sure):
            return None
        return float((sure[:, 2:] - sure[:, :2]).prod(1).sqrt().median())

    def covered_px2(self) -> float:
        """Score-weighted area of the confident boxes: tells whole nuclei from fragments."""
        sure = self.scores >= CONFIDENT
        return float(((self.boxes[sure, 2:] - self.boxes[sure, :2]).prod(1) * self.scores[sure]).sum())


class Detector:
    """Finds tumour nuclei. Holds the network as it is used on `device`; safe to share between threads."""

    def __init__(self, model: YoloV3, config: DetectorConfig, device: torch.device | str = "cpu") -> None:
        if model.config != config.yolo:
            raise ValueError("the network is not the one of the configuration")
        self._use(_in_use(model, config, torch.device(device)), config, torch.device(device))

    @classmethod
    def running(cls, network: Network, config: DetectorConfig, device: torch.device) -> Self:
        """A detector with a network that is there already, whatever the configuration says of how it works."""
        detector = cls.__new__(cls)
        detector._use(network, config, device)
        return detector

    def _use(self, network: Network, config: DetectorConfig, device: torch.device) -> None:
        self.config, self.device, self._model = config, device, network
        self._anchors = torch.tensor(config.yolo.anchors_px, dtype=torch.float32, device=device)

    @staticmethod
    def load(path: Path, device: torch.device | str = "cpu") -> tuple[Detector, dict[str, Any]]:
        """The detector of a weights file, and its card.

        Raises WeightsMissingError, WeightsMismatchError (also where the weights do not fit the card's configuration)
        and ModelError.
        """
        state, card = load_weights(path)
        try:
            config = DetectorConfig.from_dict(card["config"])
        except (KeyError, TypeError, ValueError) as error:
            raise ModelError(f"The model card of {path.name} describes no detector: {error}.") from error
        model = YoloV3(config.yolo)
        try:
            model.load_state_dict(state)
        except RuntimeError as error:
            raise WeightsMismatchError(
                f"The weights {path.name} do not fit the network that their card describes. "
                "Restore both files from the same release."
            ) from error
        return Detector(model, config, device), card

    def detect(
        self,
        pixels_rgb: Pixels,
        progress: Progress | None = None,
        cancelled: Cancelled | None = None,
        *,
        min_score: float | None = None,
    ) -> list[Detection]:
        """Nuclei in pixels_rgb (H, W, 3) uint8, by falling score, boxes in its pixels.

        `progress(fraction, what)` is called as work goes on; `cancelled()` is asked between tiles. `min_score` stands
        in for the configured threshold (a low one for a precision-recall curve); both are the network's own score.
        Raises ValueError for another array, CancelledError.
        """
        if pixels_rgb.ndim != 3 or pixels_rgb.shape[2] != 3 or pixels_rgb.dtype != np.uint8 or not pixels_rgb.size:
            raise ValueError("pixels must be uint8 of shape (height, width, 3)")
        height, width = pixels_rgb.shape[:2]
        threshold = self.config.score_threshold if min_score is None else min_score
        watch = _Watch(progress, cancelled)
        watch.tell(0.0, "Measuring the size of nuclei")
        median = self._nucleus_px(pixels_rgb, watch)
        look = self._look(pixels_rgb, self._scale_for(median, width, height), threshold, watch, (0.1, 0.8))
        for retry in range(MAX_RETRIES):
            scale = self._scale_for(look.median_px(), width, height)
            if not look.confident() or max(scale / look.scale, look.scale / scale) < RETRY_RATIO:
                break
            span = (0.8 + 0.1 * retry, 0.9 + 0.1 * retry)
            look = self._look(pixels_rgb, scale, threshold, watch, span)
        watch.tell(1.0, "Nuclei found")
        detections = [
            Detection(clip((box[0], box[1], box[2], box[3]), width, height), self.config.stated(score))
            for box, score in zip(look.boxes.tolist(), look.scores.tolist(), strict=True)
        ]
        return [d for d in detections if d.box_xyxy[2] > d.box_xyxy[0] and d.box_xyxy[3] > d.box_xyxy[1]]

    def _scale_for(self, median_px: float | None, width: int, height: int) -> float:
        """The scale at which the median nucleus has its target size; that of the first look if nothing was seen."""
        if median_px is None:
            return min(max(PROBE_PX / max(width, height), MIN_SCALE), 1.0)
        return min(max(self.config.target_nucleus_px / median_px, MIN_SCALE), MAX_SCALE)

    def _nucleus_px(self, pixels: Pixels, watch: _Watch) -> float | None:
        """Median nucleus in original px from small looks: at a quarter of the image if that shows enough of them."""
        windows = _probe_windows(pixels)
        if len(windows) == 1:
            quarter = _clearest(pixels, math.ceil(pixels.shape[0] / 2), math.ceil(pixels.shape[1] / 2), 1)
            best = self._probe(quarter, max(pixels.shape[:2]), watch, ENOUGH_IN_QUARTER, if_few=False)
            if best.confident() >= ENOUGH_IN_QUARTER and self._is_comfortable(best):
                return best.median_px()
        longest_px = max(max(window.shape[:2]) for window in windows)
        return self._probe(windows, longest_px, watch, ENOUGH_NUCLEI).median_px()

    def _probe(
        self, windows: Sequence[Pixels], longest_px: int, watch: _Watch, enough: int, *, if_few: bool = True
    ) -> _Look:
        """A look at windows of an image shrunk to `PROBE_PX`, or a coarser or finer one where that seems better: the
        nuclei look small or large or, `if_few`, there are not enough."""

        def look(side_px: float) -> _Look:
            scale = min(max(side_px / longest_px, MIN_SCALE), MAX_SCALE)
            parts = [partial(self._look, window, scale, CONFIDENT, watch, None) for window in windows]
            looks = side_by_side(parts) if self.device.type == "cpu" else [part() for part in parts]
            return _Look(scale, torch.cat([x.boxes for x in looks]), torch.cat([x.scores for x in looks]))

        first = look(min(PROBE_PX, longest_px))
        seen, few = first.median_px(), first.confident() < enough
        if (few and not if_few) or (not few and self._is_comfortable(first)):
            return first
        low, high = self._comfortable_px
        others = []
        if few or seen is None or seen * first.scale > high:
            others.append(look(first.scale * longest_px / 2))
        if few or seen is None or seen * first.scale < low:
            others.append(look(first.scale * longest_px * 2))
        return max([first, *others], key=_Look.covered_px2)

    @property
    def _comfortable_px(self) -> tuple[float, float]:
        """From how large to how large nuclei are judged well by a first look, in its pixels."""
        low, high = (factor * self.config.target_nucleus_px for factor in COMFORTABLE)
        return low, high

    def _is_comfortable(self, look: _Look) -> bool:
        (low, high), seen = self._comfortable_px, look.median_px()
        return seen is not None and low <= seen * look.scale <= high

    def _look(
        self, pixels: Pixels, scale: float, threshold: float, watch: _Watch, span: tuple[float, float] | None
    ) -> _Look:
        """Detections at one scale, tile by tile; `span` is the part of the progress bar that this fills."""
        height, width = pixels.shape[:2]
        tiles = plan(max(1, round(width * scale)), max(1, round(height * scale)))
        on_processor = self.device.type == "cpu"
        window_bytes = 3 * (TILE_PX / scale) ** 2  # of what a tile is shrunk from
        batch = max(1, min(cores(), int(MOST_CUT_BYTES / window_bytes))) if on_processor else CUDA_BATCH
        found: list[tuple[Tile, Tensor, Tensor]] = []
        for start in range(0, len(tiles), batch):
            watch.check()
            some = tiles[start : start + batch]
            if on_processor:
                results = side_by_side([partial(self._see, pixels, tile, scale, threshold) for tile in some])
            else:
                results = self._run([read_tile(pixels, tile, scale) for tile in some], threshold)
            for tile, (boxes, scores) in zip(some, results, strict=True):
                offset = torch.tensor([tile.x0, tile.y0, tile.x0, tile.y0], dtype=torch.float32)
                found.append((tile, boxes + offset, scores))
            if span is not None:
                done = (start + len(some)) / len(tiles)
                watch.tell(span[0] + (span[1] - span[0]) * done, "Finding nuclei")
        boxes, scores = merge(found, self.config.nms_iou)
        return _Look(scale, boxes / scale, scores)

    def _see(self, pixels: Pixels, tile: Tile, scale: float, threshold: float) -> tuple[Tensor, Tensor]:
        (seen,) = self._run([read_tile(pixels, tile, scale)], threshold)
        return seen

    def _run(self, cuts: Sequence[Pixels], threshold: float) -> list[tuple[Tensor, Tensor]]:
        """Boxes (D, 4) in px of each cut and scores (D,), on the CPU, after suppression within the cut."""
        height = round_up(max(cut.shape[0] for cut in cuts))
        width = round_up(max(cut.shape[1] for cut in cuts))
        images = torch.zeros((len(cuts), height, width, 3), dtype=torch.uint8)
        for image, cut in zip(images, cuts, strict=True):
            image[: cut.shape[0], : cut.shape[1]] = torch.from_numpy(cut.copy())
        x = to_device(images, self.device).permute(0, 3, 1, 2).float().div(255)  # (B, 3, H, W), channels last in memory
        with torch.inference_mode():
            predictions = decode(self._model(x), self._anchors)
        all_scores = predictions.scores()
        results = []
        for boxes, scores, cut in zip(predictions.boxes_xyxy, all_scores, cuts, strict=True):
            scores, index = scores.topk(min(MAX_PER_TILE, len(scores)))
            keep = scores >= threshold
            scores, boxes = scores[keep], boxes[index[keep]]
            limit = torch.tensor([cut.shape[1], cut.shape[0]] * 2, dtype=torch.float32, device=boxes.device)
            boxes = torch.minimum(boxes.clamp(min=0), limit)
            kept = nms(boxes, scores, self.config.nms_iou)
            results.append((boxes[kept].cpu(), scores[kept].cpu()))
        return results


@dataclass(frozen=True, slots=True)
class _Watch:
    """Progress to whoever listens, and the wish to stop."""

    progress: Progress | None
    cancelled: Cancelled | None

    def tell(self, fraction: float, what: str) -> None:
        if self.progress is not None:
            self.progress(fraction, what)

    def check(self) -> None:
        if self.cancelled is not None and self.cancelled():
            raise CancelledError("The analysis was stopped.")


def _probe_windows(pixels: Pixels) -> list[Pixels]:
    """The whole image, or of a large one the windows with the most DAPI contrast."""
    height, width = pixels.shape[:2]
    if max(height, width) <= WHOLE_PROBE_PX:
        return [pixels]
    return _clearest(pixels, min(height, PROBE_WINDOW_PX), min(width, PROBE_WINDOW_PX), PROBE_WINDOWS)


def _clearest(pixels: Pixels, side_y: int, side_x: int, most: int) -> list[Pixels]:
    """The windows of this size with the most DAPI contrast."""
    height, width = pixels.shape[:2]
    windows: list[tuple[float, int, Pixels]] = []
    for y in sorted({round(f * (height - side_y)) for f in (0.0, 0.25, 0.5, 0.75, 1.0)}):
        for x in sorted({round(f * (width - side_x)) for f in (0.0, 0.25, 0.5, 0.75, 1.0)}):
            window = pixels[y : y + side_y, x : x + side_x]
            windows.append((float(window[::8, ::8, 2].std()), -len(windows), window))
    windows.sort(key=lambda w: w[:2], reverse=True)
    return [window for _, _, window in windows[:most]]
