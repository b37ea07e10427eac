"""Train stage 1: `fit_detector` makes detector.safetensors and its card from a folder of rendered regions."""

from __future__ import annotations

import copy
import math
import time
from collections.abc import Callable, Sequence
from concurrent.futures import Future, ThreadPoolExecutor
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any

import numpy as np
import torch
from torch import Tensor, nn

from her2core.detection.anchors import kmeans_anchors
from her2core.detection.decode import decode
from her2core.detection.detector import AS_IT_IS, Detector, DetectorConfig
from her2core.detection.loss import detection_loss
from her2core.detection.metrics import ImageDetections, ImageTruth, PrecisionRecall, precision_recall
from her2core.detection.pretrained import load_coco_stem
from her2core.detection.quick import detector_ranges
from her2core.detection.yolo import YoloConfig, YoloV3
from her2core.errors import TrainingError
from her2core.models import fingerprint, load_weights, pick_device, save_weights, short_name
from her2core.training.averaging import follow, save_state
from her2core.training.cards import NOT_YET_EVALUATED, REGENERATE
from her2core.training.detector_data import (
    Example,
    data_digest,
    load_examples,
    random_view,
    read_truth,
    split_by_patient,
    view_box_sizes,
)

__all__ = ["DetectorProgress", "evaluate_detector", "fit_detector", "in_8_bits", "read_detector_anew"]

WARM_UP_STEPS = 200
FINAL_RATE = 0.02  # of the learning rate, at the end of the cosine
EMA_DECAY = 0.999
MAX_GRADIENT_NORM = 20.0
_EXAMPLES_FOR_RANGES, _EXAMPLES_FOR_SCORES = 30, 120
LOWEST_SCORE = 0.02  # the tail of the precision-recall curve below this adds nothing but time


@dataclass(frozen=True, slots=True)
class DetectorProgress:
    """Where training stands.

    Losses are means since the last report; `average_precision` (at IoU 0.75) only after a validation.
    """

    step: int
    steps: int
    seconds: float
    images_per_second: float
    loss: float
    box: float
    objectness: float
    classification: float
    average_precision: float | None = None
    best: float | None = None


@dataclass(frozen=True, slots=True)
class _Batch:
    """images: uint8 Tensor[B, S, S, 3]; boxes and ignored: B tensors [n, 4], px."""

    images: Tensor
    boxes: list[Tensor]
    ignored: list[Tensor]


def _make_batch(examples: Sequence[Example], size: int, side_px: int, centre_px: float, seed: int, step: int) -> _Batch:
    """The batch of a step: a function of seed and step alone, so that a resumed run sees what an unbroken one sees."""
    rng = np.random.default_rng([seed, step])
    views = [random_view(examples, side_px, centre_px, rng) for _ in range(size)]
    return _Batch(
        torch.from_numpy(np.stack([view.pixels_rgb for view in views])),
        [torch.from_numpy(view.boxes) for view in views],
        [torch.from_numpy(view.ignored) for view in views],
    )


def _rate(done: float, step: int, steps: int) -> float:
    """Share of the learning rate after `done` (0..1) of the training: a short linear rise, then a cosine fall."""
    return min(1.0, (step + 1) / min(WARM_UP_STEPS, max(1, steps // 10))) * (
        FINAL_RATE + (1 - FINAL_RATE) * (1 + math.cos(math.pi * min(done, 1.0))) / 2
    )


def _train_step(
    model: YoloV3,
    optimizer: torch.optim.Optimizer,
    batch: _Batch,
    anchors: Tensor,
    device: torch.device,
    step: int,
) -> tuple[float, float, float, float]:
    """One step; (total, box, objectness, classification). Raises TrainingError on a loss that is not finite."""
    images = batch.images.to(device).permute(0, 3, 1, 2).float().div(255)  # (B, 3, S, S), channels last in memory
    with torch.autocast(device.type, dtype=torch.bfloat16):
        raw = model(images)
    loss = detection_loss(
        decode(raw, anchors),
        [boxes.to(device) for boxes in batch.boxes],
        [boxes.to(device) for boxes in batch.ignored],
        anchors,
        images.shape[2],
        images.shape[3],
    )
    total, box, objectness, classification = (
        float(part.detach()) for part in (loss.total, loss.box, loss.objectness, loss.classification)
    )
    values = (total, box, objectness, classification)
    if not all(math.isfinite(value) for value in values):
        raise TrainingError(f"The loss is not finite at step {step}; lower the learning rate or look at the data.")
    optimizer.zero_grad(set_to_none=True)
    loss.total.backward()  # type: ignore[no-untyped-call]
    torch.nn.utils.clip_grad_norm_(model.parameters(), MAX_GRADIENT_NORM)
    optimizer.step()
    return values


def evaluate_detector(
    detector: Detector, examples: Sequence[Example], ious: Sequence[float] = (0.5,)
) -> tuple[PrecisionRecall, ...]:
    """The detector as it is used, scale step included, judged on `examples` at each IoU."""
    detections, truths = [], []
    for example in examples:
        found = detector.detect(example.pixels_rgb, min_score=LOWEST_SCORE)
        detections.append(ImageDetections([d.box_xyxy for d in found], [d.score for d in found]))
        truths.append(ImageTruth(example.boxes, example.ignored))
    return tuple(precision_recall(detections, truths, iou) for iou in ious)


def in_8_bits(
    model: YoloV3, config: DetectorConfig, examples: Sequence[Example], device: torch.device
) -> DetectorConfig:
    """The configuration with the ranges that the network's features have on some of the examples."""

    def look(plain: nn.Module) -> None:
        detector = Detector.running(plain, config, device)
        for example in examples[:: max(len(examples) // _EXAMPLES_FOR_RANGES, 1)]:
            detector.detect(example.pixels_rgb)

    return replace(config, ranges=detector_ranges(model, look))


def read_detector_anew(weights: Path, data_dir: Path, out: Path, *, float32: bool = False) -> Path:
    """Observe in what ranges a detector works, unless it is to work in `float32`, and calibrate what its scores state,
    on regions of `data_dir` that no training knows.

    The weights and the threshold stay as they are; the card written with them to `out` has a version of its own.
    Raises TrainingError on unreadable data, ModelError as `load_weights`.
    """
    state, card = load_weights(weights)
    config = replace(DetectorConfig.from_dict(card["config"]), ranges=None, score_calibration=AS_IT_IS)
    model = YoloV3(config.yolo)
    model.load_state_dict(state)
    entries = read_truth(data_dir)
    every = max(len(entries) // _EXAMPLES_FOR_SCORES, 1)
    examples = load_examples(data_dir, entries[::every], shrink=False)
    used = config if float32 else in_8_bits(model, config, examples, torch.device("cpu"))
    loose, strict = evaluate_detector(Detector(model, used), examples, (0.5, 0.75))
    calibrated = replace(used, score_calibration=loose.score_calibration())
    card["config"] = calibrated.to_dict()
    card["read"] = {
        "truth_sha256": data_digest(data_dir),
        "images": len(examples),
        "ap50": round(loose.average_precision, 4),
        "ap75": round(strict.average_precision, 4),
    }
    card["version"] = f"{card['version'].partition('+')[0]}+{fingerprint(card)[:6]}"
    save_weights(out, state, card)
    return out


def _card(
    config: DetectorConfig,
    curves: tuple[PrecisionRecall, ...],
    recipe: dict[str, Any],
    images: int,
    validation: int,
    data: str,
) -> dict[str, Any]:
    loose, strict = curves
    precision, recall = loose.at(config.score_threshold)
    return {
        "name": "detector",
        "version": "1.0",
        "architecture": "YOLOv3 (Darknet-53 1-2-8-8-4, three scales, nine anchors), one class: tumour nucleus",
        "config": config.to_dict(),
        "recipe": recipe,
        "data": {"truth_sha256": data, "training_images": images, "validation_images": validation},
        "metrics": {
            "validation_ap50": round(loose.average_precision, 4),
            "validation_ap75": round(strict.average_precision, 4),
            "validation_precision": round(precision, 4),
            "validation_recall": round(recall, 4),
        },
        "regenerate": REGENERATE,
        "fails": NOT_YET_EVALUATED,
    }


@dataclass(slots=True)
class _Run:
    """All that a training run changes; stored whole, so that a killed run goes on."""

    model: YoloV3
    average: YoloV3
    optimizer: torch.optim.Optimizer
    step: int = 0
    seconds: float = 0.0
    best: float = -1.0

    def save(self, path: Path, recipe: dict[str, Any]) -> None:
        save_state(
            path,
            {
                "model": self.model.state_dict(),
                "average": self.average.state_dict(),
                "optimizer": self.optimizer.state_dict(),
                "step": self.step,
                "seconds": self.seconds,
                "best": self.best,
                "recipe": recipe,
            },
        )

    def load(self, path: Path, recipe: dict[str, Any]) -> None:
        try:
            state = torch.load(path, map_location="cpu", weights_only=True)
            if state["recipe"] != recipe:
                changed = sorted(k for k in recipe if state["recipe"].get(k) != recipe[k])
                raise TrainingError(f"{path} is of a run with other settings ({', '.join(changed)}); it can't go on.")
            self.model.load_state_dict(state["model"])
            self.average.load_state_dict(state["average"])
            self.optimizer.load_state_dict(state["optimizer"])
            self.step, self.seconds, self.best = int(state["step"]), float(state["seconds"]), float(state["best"])
        except TrainingError:
            raise
        except Exception as error:  # torch.load raises almost anything on a spoiled file
            raise TrainingError(f"{path} cannot be read, so training cannot go on from it.") from error


def fit_detector(
    data_dir: Path,
    out_dir: Path,
    *,
    width: float = 0.375,
    steps: int = 6000,
    batch: int = 16,
    seed: int = 0,
    resume: bool = False,
    init: Path | None = None,
    start_from: Path | None = None,
    progress: Callable[[DetectorProgress], None] | None = None,
    rate: float = 1e-3,
    side_px: int = 416,
    target_nucleus_px: float = 48.0,
    validate_every: int = 500,
    validation_fraction: float = 0.1,
    max_validation_images: int = 60,
    report_every: int = 20,
    time_limit_s: float | None = None,
    device: str = "auto",
) -> Path:
    """Train on data_dir (truth.json and its images) and return the weights of best validation AP@0.75 in out_dir.

    Adam at `rate` with warm-up and cosine decay, bfloat16 autocast, an exponential mean of the weights, validation of
    that mean on held-out patients with the detector as it is used. out_dir receives detector.safetensors, its card,
    and state.pt, from which `resume` goes on (it starts anew where there is no state.pt). `time_limit_s` bounds the
    training time over all resumed parts; the decay then follows time, which makes a run depend on the machine.
    `init`: COCO weights (.npz) for the first 26 convolutions, width 1.0 only. `start_from`: a detector's weights to go
    on from; its width and anchors hold.

    Raises TrainingError on unreadable data, on a non-finite loss, and where state.pt is of other settings.
    """
    entries = read_truth(data_dir)
    digest = data_digest(data_dir)
    training, validation = split_by_patient(entries, validation_fraction, seed)
    examples = [e for e in load_examples(data_dir, training, shrink=True) if len(e.boxes)]
    held_out = load_examples(data_dir, validation[:max_validation_images], shrink=False)
    if not examples or not any(len(e.boxes) for e in held_out):
        raise TrainingError("The truth file names no nuclei to train on, or none to validate on.")

    sizes = view_box_sizes(examples, side_px, target_nucleus_px, 200, seed)
    if len(sizes) < 9:
        raise TrainingError("The truth file names too few nuclei to train on.")
    before = None if start_from is None else Detector.load(start_from)
    yolo = YoloConfig(width, kmeans_anchors(sizes, seed=seed)) if before is None else before[0].config.yolo
    recipe: dict[str, Any] = {
        "width": yolo.width,
        "steps": steps,
        "batch": batch,
        "seed": seed,
        "rate": rate,
        "side_px": side_px,
        "target_nucleus_px": target_nucleus_px,
        "init": None if init is None else init.name,
        "start_from": None if before is None else short_name(before[1]),
        "data_sha256": digest,
        "anchors_px": [list(anchor) for anchor in yolo.anchors_px],
        "time_limit_s": time_limit_s,
    }
    chosen = pick_device(device)
    torch.manual_seed(seed)
    model = YoloV3(yolo)
    if init is not None:
        load_coco_stem(model.backbone, init)
    if start_from is not None:
        model.load_state_dict(load_weights(start_from)[0])
    model = model.to(chosen).to(memory_format=torch.channels_last)
    run = _Run(model, copy.deepcopy(model).eval(), torch.optim.Adam(model.parameters(), lr=rate))
    state_path, weights_path = out_dir / "state.pt", out_dir / "detector.safetensors"
    if resume and state_path.exists():
        run.load(state_path, recipe)

    anchors = torch.tensor(yolo.anchors_px, dtype=torch.float32, device=chosen)
    config = DetectorConfig(yolo, target_nucleus_px)

    def validate() -> float:
        # AP@0.5 is soon saturated on rendered images; how well boxes fit still tells checkpoints apart.
        eight = in_8_bits(run.average, config, held_out, chosen)
        loose, strict = evaluate_detector(Detector(run.average, eight, chosen), held_out, (0.5, 0.75))
        if strict.average_precision > run.best or not weights_path.exists():
            run.best = strict.average_precision
            used = replace(
                eight, score_threshold=loose.lenient_threshold(), score_calibration=loose.score_calibration()
            )
            card = _card(used, (loose, strict), {**recipe, "step": run.step}, len(examples), len(held_out), digest)
            save_weights(weights_path, run.average.state_dict(), card)
        return strict.average_precision

    model.train()
    sums, since, shown = np.zeros(4), time.monotonic(), 0
    with ThreadPoolExecutor(max_workers=1) as pool:

        def batch_of(step: int) -> Future[_Batch]:
            return pool.submit(_make_batch, examples, batch, side_px, target_nucleus_px, seed, step)

        coming = batch_of(run.step)
        while run.step < steps:
            started = time.monotonic()
            ready, coming = coming.result(), batch_of(run.step + 1)
            done = run.step / steps
            if time_limit_s is not None:
                done = max(done, run.seconds / time_limit_s)
            for group in run.optimizer.param_groups:
                group["lr"] = rate * _rate(done, run.step, steps)
            sums += _train_step(model, run.optimizer, ready, anchors, chosen, run.step)
            follow(run.average, model, run.step, EMA_DECAY)
            run.step += 1
            shown += 1
            run.seconds += time.monotonic() - started
            last = run.step >= steps or (time_limit_s is not None and run.seconds >= time_limit_s)
            validated = validate() if last or run.step % validate_every == 0 else None
            if validated is not None:
                run.save(state_path, recipe)
            if progress is not None and (validated is not None or run.step % report_every == 0):
                loss, box, objectness, classification = (float(v) for v in sums / shown)
                pace = batch * shown / max(time.monotonic() - since, 1e-9)
                progress(
                    DetectorProgress(
                        run.step, steps, run.seconds, pace, loss, box, objectness, classification, validated, run.best
                    )
                )
                sums, since, shown = np.zeros(4), time.monotonic(), 0
            if last:
                break
    return weights_path
