"""`collect` and `model`: refusals in words, and what is in use."""

from __future__ import annotations

import json
from pathlib import Path

import pytest
import torch

from her2core.models import card_of, save_weights
from tests.cli.conftest import PASSWORD, Run, png


@pytest.fixture
def manager(run: Run, laboratory: Path) -> str:
    """A lab manager's account."""
    run(
        "user",
        "add",
        "lind",
        "--role",
        "lab manager",
        "--name",
        "Jonas Lind",
        "--password-stdin",
        stdin=f"{PASSWORD}\n",
    )
    return "lind"


def test_without_a_case_that_may_teach_the_way_to_one_is_told(run: Run, manager: str, tmp_path: Path) -> None:
    result = run("collect", tmp_path / "out", "--by", manager)
    assert result.exit_code == 1
    assert "No signed case was given to training yet" in result.output


def test_a_pathologist_exports_no_training_set(run: Run, laboratory: Path, tmp_path: Path) -> None:
    result = run("collect", tmp_path / "out", "--by", "berg")
    assert result.exit_code == 1
    assert "may not promote models" in result.output


def test_the_list_says_that_the_models_of_the_settings_are_in_use(run: Run, laboratory: Path) -> None:
    (laboratory / "candidates" / "one").mkdir(parents=True)
    result = run("model", "list")
    assert result.exit_code == 0
    assert "In use: those of the settings" in result.output
    assert "It was not compared yet" in result.output


def test_a_candidate_that_was_not_compared_is_not_promoted(run: Run, manager: str, tmp_path: Path) -> None:
    result = run("model", "promote", tmp_path, "--by", manager, "--reason", "it looks good", "--force")
    assert result.exit_code == 1
    assert "not compared yet" in result.output


def test_what_was_never_in_use_is_not_rolled_back_to(run: Run, manager: str) -> None:
    result = run("model", "rollback", "0123456789abcdef", "--by", manager, "--reason", "back")
    assert result.exit_code == 1
    assert "in use already" in result.output


def test_an_empty_candidate_is_told(run: Run, laboratory: Path, tmp_path: Path) -> None:
    folder = tmp_path / "truth"
    folder.mkdir()
    result = run("model", "compare", tmp_path, "--own", folder, "--rendered", folder)
    assert result.exit_code == 1
    assert "neither detector.safetensors nor counter.safetensors" in result.output


@pytest.mark.parametrize("stage", ["detector", "counter"])
def test_fine_tuning_needs_a_model_to_go_on_from(run: Run, tmp_path: Path, stage: str) -> None:
    result = run("train", stage, tmp_path, "--out", tmp_path / "out", "--data", tmp_path)
    assert result.exit_code == 2
    assert "--from" in result.output


@pytest.mark.parametrize("stage", ["detector", "counter"])
def test_a_fine_tuned_model_is_named_and_no_copy_of_a_case_stays(
    run: Run, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, stage: str
) -> None:
    start, out = tmp_path / f"{stage}.safetensors", tmp_path / "out"
    save_weights(start, {"w": torch.zeros(1)}, {"name": stage, "version": "3"})
    for name in ("own", "old"):
        (tmp_path / name).mkdir()
        entries = []
        for number in range(2):
            png(tmp_path / name / f"{number}.png", shade=60 + number)
            nuclei = [{"box": [0, 0, 9, 9], "her2": 2, "cep17": 2}]
            entries.append({"image": f"{number}.png", "patient": f"P{number}", "nuclei": nuclei})
        (tmp_path / name / "truth.json").write_text(json.dumps(entries))
    seen: list[int] = []

    def fit(folder: Path, target: Path, *_: object, **__: object) -> Path:
        seen.append(len(json.loads((folder / "truth.json").read_text())))
        weights = target if target.suffix else target / f"{stage}.safetensors"
        save_weights(weights, {"w": torch.ones(1)}, {"name": stage, "version": "1"})
        return weights

    monkeypatch.setattr(f"her2core.training.fit_{stage}.fit_{stage}", fit)
    result = run("train", stage, tmp_path / "old", "--out", out, "--data", tmp_path / "own", "--from", start)
    assert result.exit_code == 0, result.output
    assert seen == [4]
    assert sorted(path.name for path in out.iterdir()) == [f"{stage}.json", f"{stage}.safetensors"]
    assert card_of(out / f"{stage}.safetensors")["version"] == "3 tuned"
