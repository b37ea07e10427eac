"""Stage 1 learns from a truth folder, goes on after a kill, refuses what it cannot use; the detector it makes works."""

from __future__ import annotations

import copy
import json
import math
import shutil
from collections.abc import Callable
from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch
from PIL import Image

from her2core.detection.detector import Detection, Detector, DetectorConfig
from her2core.detection.metrics import ImageDetections, ImageTruth, precision_recall
from her2core.detection.yolo import YoloV3
from her2core.errors import CancelledError, ModelError, TrainingError, WeightsMismatchError, WeightsMissingError
from her2core.models import load_weights, save_weights
from her2core.training.detector_data import load_examples, random_view, read_truth, split_by_patient
from her2core.training.fit_detector import DetectorProgress, evaluate_detector, fit_detector
from her2core.training.render import render_region

from .conftest import Field

MODELS = Path(__file__).parents[2] / "models"

TINY: dict[str, Any] = {"width": 0.0625, "batch": 2, "side_px": 96, "target_nucleus_px": 32.0, "device": "cpu"}


@pytest.fixture(scope="session")
def trained(truth_folder: Path, tmp_path_factory: pytest.TempPathFactory) -> Path:
    out = tmp_path_factory.mktemp("fit")
    return fit_detector(
        truth_folder, out, width=0.125, steps=250, batch=4, side_px=128, target_nucleus_px=32.0, rate=4e-3,
        validate_every=125, device="cpu",
    )  # fmt: skip


def recall(found: list[Detection], boxes: list[list[float]]) -> float:
    detections = ImageDetections([d.box_xyxy for d in found], [d.score for d in found])
    return float(precision_recall([detections], [ImageTruth(boxes)]).recall[-1]) if found else 0.0


def test_it_overfits_four_tiny_images(trained: Path, truth_folder: Path) -> None:
    detector, card = Detector.load(trained)
    examples = load_examples(truth_folder, read_truth(truth_folder), shrink=False)
    assert evaluate_detector(detector, examples)[0].average_precision > 0.9
    assert card["metrics"]["validation_ap50"] > 0.8
    assert card["data"]["training_images"] == 3


@pytest.fixture(scope="session")
def committed() -> Detector:
    return Detector.load(MODELS / "detector.safetensors")[0]


@pytest.mark.parametrize("nucleus_px", [42, 90, 180])
def test_nuclei_of_any_size_are_found_in_an_image_never_seen(committed: Detector, nucleus_px: int) -> None:
    region = render_region((506, nucleus_px), 5, nucleus_px=(nucleus_px, nucleus_px + 1))
    boxes = [n["box"] for n in region.truth["nuclei"]]
    found = committed.detect(region.pixels_rgb)
    assert recall(found, boxes) > 0.85
    assert len(found) < 1.3 * (len(boxes) + len(region.truth["ignore"]))
    assert [d.score for d in found] == sorted((d.score for d in found), reverse=True)


def test_an_image_in_many_tiles_is_read_like_a_small_one(committed: Detector) -> None:
    region = render_region((506, 7), 5, nucleus_px=(42, 43))
    height, width = region.pixels_rgb.shape[:2]
    boxes = [
        [x0 + column * width, y0 + row * height, x1 + column * width, y1 + row * height]
        for x0, y0, x1, y1 in (n["box"] for n in region.truth["nuclei"])
        for row in range(4)
        for column in range(4)
    ]
    steps: list[float] = []
    found = committed.detect(
        np.tile(region.pixels_rgb, (4, 4, 1)), progress=lambda fraction, _what: steps.append(fraction)
    )
    assert recall(found, boxes) > 0.85
    assert len(found) < 1.4 * 16 * (len(region.truth["nuclei"]) + len(region.truth["ignore"]))
    assert steps == sorted(steps) and steps[0] == 0.0 and steps[-1] == 1.0 and len(steps) > 5


def test_a_black_image_and_a_single_pixel_hold_no_nuclei(trained: Path) -> None:
    detector, _ = Detector.load(trained)
    assert detector.detect(np.zeros((300, 400, 3), dtype=np.uint8)) == []
    assert detector.detect(np.zeros((1, 1, 3), dtype=np.uint8)) == []


def test_boxes_stay_within_the_image(trained: Path, ellipse_field: Callable[..., Field]) -> None:
    pixels, _ = ellipse_field(8, 301, 199, 50)
    cut = np.ascontiguousarray(pixels[20:, 20:])  # nuclei cut by the edge
    for detection in Detector.load(trained)[0].detect(cut, min_score=0.01):
        x0, y0, x1, y1 = detection.box_xyxy
        assert 0 <= x0 < x1 <= cut.shape[1] and 0 <= y0 < y1 <= cut.shape[0]


def test_a_wish_to_stop_is_heard(tiny_model: YoloV3, tiny_config: DetectorConfig) -> None:
    with pytest.raises(CancelledError):
        Detector(tiny_model, tiny_config).detect(np.zeros((64, 64, 3), dtype=np.uint8), cancelled=lambda: True)


@pytest.mark.parametrize("shape", [(64, 64), (64, 64, 4), (0, 64, 3)])
def test_other_arrays_are_refused(tiny_model: YoloV3, tiny_config: DetectorConfig, shape: tuple[int, ...]) -> None:
    with pytest.raises(ValueError, match="uint8"):
        Detector(tiny_model, tiny_config).detect(np.zeros(shape, dtype=np.uint8))
    with pytest.raises(ValueError, match="uint8"):
        Detector(tiny_model, tiny_config).detect(np.zeros((64, 64, 3), dtype=np.float32))


def test_detector_refuses_weights_that_are_not_its_card(
    tmp_path: Path, tiny_model: YoloV3, tiny_config: DetectorConfig
) -> None:
    path = tmp_path / "detector.safetensors"
    with pytest.raises(WeightsMissingError):
        Detector.load(path)
    save_weights(path, tiny_model.state_dict(), {"config": {**tiny_config.to_dict(), "width": 0.5}})
    with pytest.raises(WeightsMismatchError):
        Detector.load(path)
    save_weights(path, tiny_model.state_dict(), {"config": {**tiny_config.to_dict(), "colour": "red"}})
    with pytest.raises(ModelError, match="no detector"):
        Detector.load(path)


def test_training_can_go_on_from_weights_whose_width_and_anchors_hold(
    trained: Path, truth_folder: Path, tmp_path: Path
) -> None:
    first, first_card = Detector.load(trained)
    settings = {**TINY, "width": 0.5, "rate": 1e-9}
    again, card = Detector.load(
        fit_detector(truth_folder, tmp_path, steps=1, validate_every=1, start_from=trained, **settings)
    )
    assert again.config.yolo == first.config.yolo
    assert card["recipe"]["start_from"].endswith(first_card["sha256"][:12])
    before, after = load_weights(trained)[0], load_weights(tmp_path / "detector.safetensors")[0]
    assert all(torch.allclose(before[k], after[k], atol=1e-2) for k in before if k.endswith("conv.weight"))


def test_a_killed_run_that_resumes_ends_where_an_unbroken_one_ends(truth_folder: Path, tmp_path: Path) -> None:
    whole = fit_detector(truth_folder, tmp_path / "whole", steps=6, validate_every=3, **TINY)

    def kill(progress: DetectorProgress) -> None:
        if progress.step == 3:
            raise KeyboardInterrupt

    with pytest.raises(KeyboardInterrupt):
        fit_detector(truth_folder, tmp_path / "parts", steps=6, validate_every=3, progress=kill, **TINY)
    parts = fit_detector(truth_folder, tmp_path / "parts", steps=6, validate_every=3, resume=True, **TINY)
    a, b = (torch.load(p.parent / "state.pt", weights_only=True) for p in (whole, parts))
    assert b["step"] == 6
    for key, value in a["model"].items():
        torch.testing.assert_close(value, b["model"][key], rtol=1e-3, atol=1e-4)


def test_resuming_with_other_settings_or_a_spoiled_state_is_refused(truth_folder: Path, tmp_path: Path) -> None:
    fit_detector(truth_folder, tmp_path, steps=1, **TINY)
    with pytest.raises(TrainingError, match="seed"):
        fit_detector(truth_folder, tmp_path, steps=1, seed=9, resume=True, **TINY)
    (tmp_path / "state.pt").write_bytes(b"spoiled")
    with pytest.raises(TrainingError, match="cannot be read"):
        fit_detector(truth_folder, tmp_path, steps=1, resume=True, **TINY)


def test_a_loss_that_is_not_finite_stops_training(truth_folder: Path, tmp_path: Path) -> None:
    with pytest.raises(TrainingError, match="not finite"):
        fit_detector(truth_folder, tmp_path, steps=40, rate=1e30, **TINY)


def test_the_time_limit_ends_training_with_weights(truth_folder: Path, tmp_path: Path) -> None:
    path = fit_detector(truth_folder, tmp_path, steps=10_000, time_limit_s=0.2, **TINY)
    assert path.exists()
    assert torch.load(tmp_path / "state.pt", weights_only=True)["step"] < 10_000


def test_patients_are_never_on_both_sides_of_the_split() -> None:
    entries = [{"patient": f"p{i % 7}", "image": str(i)} for i in range(40)]
    training, validation = split_by_patient(entries, 0.3, seed=1)
    assert {e["patient"] for e in training}.isdisjoint(e["patient"] for e in validation)
    assert len(training) + len(validation) == 40 and validation
    assert split_by_patient(entries, 0.3, seed=1) == (training, validation)
    with pytest.raises(TrainingError, match="two patients"):
        split_by_patient(entries[:1], 0.3, seed=1)


def test_views_keep_boxes_on_their_nuclei(truth_folder: Path) -> None:
    examples = load_examples(truth_folder, read_truth(truth_folder), shrink=True)
    rng = np.random.default_rng(4)
    inside, all_blue, seen = [], [], 0
    for _ in range(40):
        view = random_view(examples, 160, 40.0, rng, jitter=False)
        blue = view.pixels_rgb[..., 2] > 60
        mask = np.zeros_like(blue)
        assert (view.boxes >= 0).all() and (view.boxes <= 160).all()
        for x0, y0, x1, y1 in np.concatenate([view.boxes, view.ignored]):
            mask[int(y0) : int(np.ceil(y1)) + 1, int(x0) : int(np.ceil(x1)) + 1] = True
        for x0, y0, x1, y1 in view.boxes:
            inside.append(blue[round(float(y0)) : round(float(y1)), round(float(x0)) : round(float(x1))].mean())
        all_blue.append((blue & ~mask).sum() / max(blue.sum(), 1))
        seen += len(view.boxes)
    assert seen > 100
    assert np.mean(inside) == pytest.approx(np.pi / 4, abs=0.08)  # an ellipse fills this share of its box
    assert np.mean(all_blue) < 0.01


def test_a_view_is_the_same_for_the_same_generator(truth_folder: Path) -> None:
    examples = load_examples(truth_folder, read_truth(truth_folder), shrink=True)
    a, b = (random_view(examples, 96, 32.0, np.random.default_rng(6)) for _ in range(2))
    assert np.array_equal(a.pixels_rgb, b.pixels_rgb) and np.array_equal(a.boxes, b.boxes)


def test_ignored_boxes_reach_the_view(tmp_path: Path, ellipse_field: Callable[..., Field]) -> None:
    pixels, boxes = ellipse_field(1, 160, 160, 40)
    Image.fromarray(pixels).save(tmp_path / "a.png")
    entry = {"image": "a.png", "patient": "p", "nuclei": [{"box": b} for b in boxes[1:]], "ignore": boxes[:1]}
    (tmp_path / "truth.json").write_text(json.dumps([entry]))
    examples = load_examples(tmp_path, read_truth(tmp_path), shrink=False)
    assert examples[0].ignored.tolist() == pytest.approx(np.array(boxes[:1]))
    rng = np.random.default_rng(0)
    assert any(len(random_view(examples, 96, 40.0, rng).ignored) for _ in range(5))


def test_images_with_large_nuclei_are_stored_smaller(tmp_path: Path, ellipse_field: Callable[..., Field]) -> None:
    pixels, boxes = ellipse_field(1, 600, 600, 190)
    Image.fromarray(pixels).save(tmp_path / "a.png")
    (tmp_path / "truth.json").write_text(
        json.dumps([{"image": "a.png", "patient": "p", "nuclei": [{"box": b} for b in boxes]}])
    )
    example = load_examples(tmp_path, read_truth(tmp_path), shrink=True)[0]
    assert example.median_px == pytest.approx(115, abs=1)
    assert example.pixels_rgb.shape[0] < 400


def _entry(**changes: Any) -> dict[str, Any]:
    return {"image": "0.png", "patient": "a", "nuclei": [], **changes}


@pytest.mark.parametrize(
    ("content", "message"),
    [
        (None, "no truth.json"),
        ("{", "JSON"),
        ([], "list of images"),
        ([{"image": "0.png", "patient": "a"}, {"image": "0.png", "patient": "b"}], "lacks"),
        ([_entry(image="no.png"), _entry(image="no.png", patient="b")], "cannot be read"),
        ([_entry(image="../x.png"), _entry(image="../x.png", patient="b")], "outside"),
        ([_entry(nuclei=[{"box": [5, 5, 5, 9]}]), _entry(patient="b", nuclei=[{"box": [5, 5, 5, 9]}])], "x0 < x1"),
        ([_entry(nuclei=[{"box": [1, 2]}]), _entry(patient="b", nuclei=[{"box": [1, 2]}])], "four numbers"),
        ([_entry(nuclei=3), _entry(patient="b", nuclei=3)], "list"),
        ([_entry(), _entry(patient="b")], "no nuclei"),
        ([_entry()], "two patients"),
    ],
)
def test_truth_files_that_cannot_be_used_say_why(
    truth_folder: Path, tmp_path: Path, content: Any, message: str
) -> None:
    shutil.copy(truth_folder / "0.png", tmp_path / "0.png")
    if content is not None:
        (tmp_path / "truth.json").write_text(content if isinstance(content, str) else json.dumps(content))
    with pytest.raises(TrainingError, match=message):
        fit_detector(tmp_path, tmp_path / "out", steps=1, **TINY)


def test_calibration_states_another_chance_and_finds_the_same_nuclei(
    committed: Detector, ellipse_field: Callable[..., Field]
) -> None:
    pixels, _ = ellipse_field(7, 500, 400, 60)
    raw = replace(committed.config, score_calibration=(1.0, 0.0))
    other = replace(committed.config, score_calibration=(0.5, -1.0))
    plain, calibrated = copy.copy(committed), copy.copy(committed)
    plain.config, calibrated.config = raw, other
    found, stated = plain.detect(pixels), calibrated.detect(pixels)
    assert found
    assert [d.box_xyxy for d in found] == [d.box_xyxy for d in stated]
    assert [d.score for d in stated] == [other.stated(d.score) for d in found]
    assert min(d.score for d in stated) >= other.least_stated == other.stated(raw.score_threshold)


@pytest.mark.parametrize(("score", "stated"), [(0.5, 1 / (1 + math.e)), (0.0, 0.0), (1.0, 1.0)])
def test_a_calibrated_score_is_a_chance(tiny_config: DetectorConfig, score: float, stated: float) -> None:
    calibrated = replace(tiny_config, score_calibration=(2.0, -1.0))
    assert calibrated.stated(score) == pytest.approx(stated, abs=1e-6)
    assert tiny_config.stated(score) == score
    assert DetectorConfig.from_dict(calibrated.to_dict()) == calibrated


def test_a_card_of_before_states_the_networks_own_score(tiny_config: DetectorConfig) -> None:
    old = tiny_config.to_dict()
    del old["score_calibration"]
    assert DetectorConfig.from_dict(old) == tiny_config


@pytest.mark.parametrize("calibration", [(0.0, 0.0), (-1.0, 0.0)])
def test_a_surer_box_never_states_less(tiny_config: DetectorConfig, calibration: tuple[float, float]) -> None:
    with pytest.raises(ValueError, match="surer"):
        replace(tiny_config, score_calibration=calibration)
