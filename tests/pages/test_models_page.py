"""Model cards on the page: what they say, and whether the file is the one of the card."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import pytest
import torch
from PIL import Image

from her2core.models import save_weights
from her2core.records import ModelUsed
from her2core.ui import models
from her2core.ui.models import benchmark_figures, entries, model_files, where_it_fails
from her2core.ui.review import models_line
from tests.pages.app import page_alone, said, signed_in
from tests.pages.lab import TestLaboratory

CARD: dict[str, Any] = {
    "name": "detector",
    "version": "9.7",
    "architecture": "YOLOv3 *of the tests*",
    "config": {"anchors_px": [[10.0, 12.5], [20.0, 8.0]], "nms_iou": 0.45, "init": None},
    "recipe": {"steps": 1000, "seed": 1},
    "data": {"training_images": 630},
    "metrics": {"validation_ap50": 0.98765, "validation her2 mae": 0.25},
    "fails": ["Piles of nuclei.", "Signals | out of focus."],
    "regenerate": "Train again.",
}


@pytest.fixture
def folder(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """A folder with one good model, to which the settings point."""
    made = tmp_path / "weights"
    save_weights(made / "detector.safetensors", {"w": torch.ones(3)}, CARD)
    monkeypatch.setenv("HER2CORE_WEIGHTS_DIR", str(made))
    monkeypatch.setattr(models, "RESULTS_DIR", tmp_path / "results")
    return made


def test_good_file_matches_its_card(folder: Path) -> None:
    (model,) = model_files(folder)
    assert model.problem is None
    assert model.card is not None
    assert model.card["version"] == "9.7"
    assert model.size_bytes == (folder / "detector.safetensors").stat().st_size


def flip(folder: Path) -> None:
    path = folder / "detector.safetensors"
    data = bytearray(path.read_bytes())
    data[-1] ^= 1
    path.write_bytes(bytes(data))


@pytest.mark.parametrize(
    ("damage", "said_of_it", "card_is_read"),
    [
        (flip, "their SHA-256 differs", True),
        (lambda folder: (folder / "detector.safetensors").unlink(), "weights detector.safetensors are missing", True),
        (lambda folder: (folder / "detector.json").unlink(), "card detector.json is missing", False),
        (lambda folder: (folder / "detector.json").write_text("{"), "card detector.json cannot be read", False),
        (lambda folder: (folder / "detector.json").write_text("{}"), "names no SHA-256", False),
    ],
)
def test_file_that_is_not_the_one_of_its_card_is_said(
    folder: Path, lab: TestLaboratory, damage: Any, said_of_it: str, card_is_read: bool
) -> None:
    damage(folder)
    (model,) = model_files(folder)
    assert model.problem is not None
    assert said_of_it in model.problem
    assert (model.card is not None) is card_is_read
    at = page_alone("models.py", lab.person("lind"))
    assert not at.exception
    assert said_of_it in at.error[0].value
    assert said(at, "Not usable")
    assert not said(at, "File matches its card")


def test_page_shows_what_the_card_says(folder: Path, lab: TestLaboratory) -> None:
    at = signed_in("lind", "pages/models.py")
    assert not at.exception
    card = json.loads((folder / "detector.json").read_text())
    for text in ("detector 9.7", "YOLOv3 *of the tests*", card["sha256"], "File matches its card", "Train again."):
        assert said(at, text), text
    assert said(at, "- Piles of nuclei.\n- Signals | out of focus.")
    cells = "\n".join(str(cell) for table in at.table for cell in table.value.to_numpy().ravel()).replace("\\", "")
    for text in ("630", "0.9877", "average precision at IoU 0.5", "HER2 mean absolute error", "10 × 12.5; 20 × 8"):
        assert text in cells, text


def test_pathologist_may_read_the_cards(folder: Path, lab: TestLaboratory) -> None:
    assert said(page_alone("models.py", lab.person("berg")), "detector 9.7")


@pytest.mark.parametrize("name", ["nair", None])
def test_nobody_else_sees_the_cards(folder: Path, lab: TestLaboratory, name: str | None) -> None:
    at = page_alone("models.py", None if name is None else lab.person(name))
    assert not at.exception
    assert len(at.main) == 0


def test_empty_folder_is_said(lab: TestLaboratory, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("HER2CORE_WEIGHTS_DIR", str(tmp_path / "nothing"))
    at = page_alone("models.py", lab.person("lind"))
    assert not at.exception
    assert "no models" in at.error[0].value


def test_benchmark_is_shown_with_its_figures(folder: Path, lab: TestLaboratory, tmp_path: Path) -> None:
    results = tmp_path / "results"
    (results / "rendered-paper").mkdir(parents=True)
    (results / "accuracy.md").write_text("# Accuracy of the tests\n\n| Measure | Value |\n|---|---|\n| AP | 0.9 |\n")
    Image.new("RGB", (8, 8)).save(results / "rendered-paper" / "confusion.png")
    assert [title for title, _ in benchmark_figures(results)] == ["rendered paper · confusion"]
    at = page_alone("models.py", lab.person("lind"))
    at.segmented_control(key="models_view").set_value("Benchmark").run()
    assert not at.exception
    assert said(at, "# Accuracy of the tests")
    assert len(at.get("image")) == 1


def test_the_benchmark_of_each_part_is_there_and_no_link_leads_nowhere(
    folder: Path, lab: TestLaboratory, tmp_path: Path
) -> None:
    results = tmp_path / "results"
    (results / "rendered-paper").mkdir(parents=True)
    (results / "accuracy.md").write_text("# Accuracy\n\nSee [how](../../docs/accuracy.md) and [ours](https://e.org/x).")
    (results / "rendered-paper" / "parts.md").write_text(
        "# The paper's mix: every measure\n\n| Part | Images |\n| --- | --: |\n| Group 1 | 56 |\n"
    )
    at = page_alone("models.py", lab.person("lind"))
    at.segmented_control(key="models_view").set_value("Benchmark").run()
    assert not at.exception
    assert said(at, "See how and [ours](https://e.org/x).")
    assert "The paper's mix: every measure" in [expander.label for expander in at.expander]
    assert said(at, "| Group 1 | 56 |")


def test_the_page_tells_how_to_read_the_table(folder: Path, lab: TestLaboratory, tmp_path: Path) -> None:
    (tmp_path / "results").mkdir()
    (tmp_path / "results" / "accuracy.md").write_text("# Accuracy of the tests\n")
    at = page_alone("models.py", lab.person("lind"))
    at.segmented_control(key="models_view").set_value("Benchmark").run()
    (guide,) = [e for e in at.expander if e.label == "How to read this table"]
    text = guide.markdown[0].value
    assert "## Groups" in text
    assert "](../" not in text
    assert models.ACCURACY_GUIDE.read_text(encoding="utf-8").startswith("# How to read the accuracy table")


@pytest.mark.parametrize(
    ("counting", "words"),
    [
        ("density", "Counts: default (peaks; clusters estimated)"),
        ("regression", "Counts: regression (Xue et al. 2023)"),
    ],
)
def test_the_page_says_which_way_of_counting_is_in_use(
    folder: Path, lab: TestLaboratory, monkeypatch: pytest.MonkeyPatch, counting: str, words: str
) -> None:
    monkeypatch.setenv("HER2CORE_COUNTING", counting)
    assert said(page_alone("models.py", lab.person("lind")), words)


@pytest.mark.parametrize(
    ("reading", "words"),
    [
        ("density", "Counts: default (peaks; clusters estimated)."),
        ("regression", "Counts: regression (Xue et al. 2023)."),
        ("", "Counts: way not recorded."),
    ],
)
def test_the_review_says_how_a_region_was_counted(reading: str, words: str) -> None:
    used = [ModelUsed("detector", "detector", "3", "a" * 64), ModelUsed("counter", "counter", "4", "b" * 64, reading)]
    assert models_line(used) == f"Analysed with detector 3, counter 4. {words}"


def test_missing_benchmark_is_said(folder: Path, lab: TestLaboratory) -> None:
    at = page_alone("models.py", lab.person("lind"))
    at.segmented_control(key="models_view").set_value("Benchmark").run()
    assert said(at, "No benchmark result is here.")


@pytest.mark.parametrize(
    ("fails", "shown"),
    [
        ("In piles_of nuclei.", r"In piles\_of nuclei\."),
        (["one", "two"], "- one\n- two"),
        ({"Piles": "hidden"}, "- **Piles**: hidden"),
    ],
)
def test_where_it_fails_is_shown_in_each_form(fails: Any, shown: str) -> None:
    assert where_it_fails({"fails": fails}) == shown


@pytest.mark.parametrize("card", [{}, {"fails": ""}, {"fails": []}, {"fails": None}])
def test_silent_card_is_no_promise(card: dict[str, Any]) -> None:
    assert "does not say where this model fails" in where_it_fails(card)


def test_nested_parts_of_a_card_become_rows() -> None:
    part = {
        "a_px": {"inner": 1.23456, "yes": True},
        "list": [1, 2],
        "none": None,
        "pairs": [[1, 2], [3, 4]],
        "empty": [],
    }
    assert list(entries(part)) == [
        ("a px, inner", "1.235"),
        ("a px, yes", "yes"),
        ("list", "1, 2"),
        ("none", "–"),
        ("pairs", "1 × 2; 3 × 4"),
        ("empty", ""),
    ]


def test_committed_models_match_their_cards() -> None:
    found = model_files(Path(__file__).parents[2] / "models")
    assert {model.path.stem for model in found} >= {"detector", "counter"}
    assert [model.problem for model in found] == [None] * len(found)
