"""`train` and `evaluate`: what was given reaches the training, and what it tells is shown."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import pytest

from her2core.errors import TrainingError
from her2core.training import fit_counter as counting
from her2core.training import fit_detector as detecting
from tests.cli.conftest import Run


@pytest.fixture
def asked(monkeypatch: pytest.MonkeyPatch) -> dict[str, Any]:
    """The trainings replaced by ones that note what they were asked, and report one step and one validation."""
    seen: dict[str, Any] = {}

    def fit_detector(data_dir: Path, out: Path, *, progress: Any, **options: Any) -> Path:
        seen.update(options, data=data_dir, out=out)
        progress(detecting.DetectorProgress(20, 40, 9.0, 3.0, 5.0, 1.0, 3.0, 1.0))
        progress(detecting.DetectorProgress(40, 40, 18.0, 3.0, 4.0, 1.0, 2.0, 1.0, 0.51, 0.52))
        return out / "detector.safetensors"

    def fit_counter(data_dir: Path, out: Path, recipe: Any, *, progress: Any, **options: Any) -> Path:
        seen.update(options, data=data_dir, out=out, recipe=recipe)
        progress(20, 40, {"total": 2.0})
        progress(40, 40, {"score": 0.5})
        return out

    monkeypatch.setattr(detecting, "fit_detector", fit_detector)
    monkeypatch.setattr(counting, "fit_counter", fit_counter)
    return seen


def test_detector_options_reach_the_training(run: Run, asked: dict[str, Any], tmp_path: Path) -> None:
    words = (
        "--width",
        0.25,
        "--steps",
        40,
        "--batch",
        4,
        "--seed",
        7,
        "--resume",
        "--time-limit",
        60,
        "--device",
        "cpu",
    )
    done = run("train", "detector", tmp_path, "--out", tmp_path / "out", *words)
    assert done.exit_code == 0, done.output
    assert done.stdout.strip() == str(tmp_path / "out" / "detector.safetensors")
    assert "AP" in done.stderr
    wanted = {"width": 0.25, "steps": 40, "batch": 4, "seed": 7, "resume": True, "time_limit_s": 60.0, "device": "cpu"}
    assert {name: asked[name] for name in wanted} == wanted


def test_counter_options_reach_the_training(run: Run, asked: dict[str, Any], tmp_path: Path) -> None:
    words = ("--steps", 40, "--batch", 8, "--seed", 7, "--resume", "--device", "cpu")
    done = run("train", "counter", tmp_path, "--out", tmp_path / "out", *words)
    assert done.exit_code == 0, done.output
    assert done.stdout.strip() == str(tmp_path / "out" / "counter.safetensors")
    assert (asked["recipe"].steps, asked["recipe"].batch, asked["recipe"].seed, asked["resume"]) == (40, 8, 7, True)
    assert "step 40/40" in done.stderr


def test_what_is_not_given_is_left_to_the_recipe(run: Run, asked: dict[str, Any], tmp_path: Path) -> None:
    run("train", "counter", tmp_path, "--out", tmp_path / "out")
    assert asked["recipe"] == counting.CounterRecipe()
    asked.clear()
    run("train", "detector", tmp_path, "--out", tmp_path / "out")
    assert set(asked) == {"data", "out", "resume", "device"}


@pytest.mark.parametrize(
    ("command", "module", "function"),
    [
        ("reading", counting, "read_anew"),
        ("scores", detecting, "read_detector_anew"),
    ],
)
@pytest.mark.parametrize("float32", [False, True])
def test_what_a_model_reads_anew_is_asked_for_in_8_bits_or_float32(
    run: Run, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, command: str, module: Any, function: str, float32: bool
) -> None:
    seen: list[tuple[Any, Any]] = []

    def read(source: Path, data: Path, out: Path, **how: Any) -> Path:
        seen.append(((source.parent, data, out.parent), how["float32"]))
        return out

    monkeypatch.setattr(module, function, read)
    words = ["--weights", tmp_path / "from", *(["--float32"] if float32 else [])]
    for file in (Path(__file__).parents[2] / "models").iterdir():
        (tmp_path / "from").mkdir(exist_ok=True)
        (tmp_path / "from" / file.name).write_bytes(file.read_bytes())
    done = run("train", command, tmp_path, "--out", tmp_path / "out", *words)
    assert done.exit_code == 0, done.output
    assert seen == [((tmp_path / "from", tmp_path, tmp_path / "out"), float32)]


@pytest.mark.parametrize("stage", ["detector", "counter"])
def test_folder_without_truth_is_said_in_words(run: Run, tmp_path: Path, stage: str) -> None:
    done = run("train", stage, tmp_path, "--out", tmp_path / "out", "--device", "cpu")
    assert done.exit_code == 1
    assert done.stderr.startswith("Error: ")
    assert run("train", stage, tmp_path / "missing", "--out", tmp_path / "out").exit_code == 2


def test_training_that_fails_says_why(
    run: Run, asked: dict[str, Any], tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    def fails(*_: Any, **__: Any) -> Path:
        raise TrainingError("The loss is not finite at step 3.")

    monkeypatch.setattr(detecting, "fit_detector", fails)
    done = run("train", "detector", tmp_path, "--out", tmp_path / "out")
    assert (done.exit_code, done.stderr) == (1, "Error: The loss is not finite at step 3.\n")


def test_evaluation_shows_its_numbers_and_its_failures(
    run: Run, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    report = {
        "images": 3,
        "failures": [{"image": "x.png", "error": "broken"}],
        "detection": {"AP@0.5": 0.91, "precision": 0.9, "recall": 0.8},
        "groups per image": {"accuracy": 0.9, "accuracy_95": [0.7, 0.97], "total": 3},
    }
    monkeypatch.setattr("her2core.pipeline.load_models", lambda *_: None)
    monkeypatch.setattr("her2core.training.evaluate.evaluate", lambda *_, **__: json.loads(json.dumps(report)))
    done = run("evaluate", tmp_path, "--out", tmp_path / "out")
    assert done.exit_code == 1
    assert "AP@0.5 0.91" in done.stdout
    assert "accuracy 0.9 (95 % interval 0.7 to 0.97) of 3" in done.stdout
    assert "x.png: FAILED: broken" in done.stderr


def test_evaluation_of_a_folder_without_truth_is_said_in_words(
    run: Run, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("her2core.pipeline.load_models", lambda *_: None)
    done = run("evaluate", tmp_path, "--out", tmp_path / "out")
    assert done.exit_code == 1
    assert "truth.json" in done.stderr
