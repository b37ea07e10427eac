"""Model cards on the page: what they say, and whether the file is the one of the card."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import pytest
import torch
from PIL import Image
from streamlit.testing.v1 import AppTest

from her2core.eight_bits import RANGES, without_ranges
from her2core.models import save_weights
from her2core.records import ModelUsed
from her2core.ui import models
from her2core.ui.model_words import arithmetic, entries, facts, for_engineers, measures, settings
from her2core.ui.models import benchmark_figures, model_files, where_it_fails
from her2core.ui.review import models_line
from tests.pages.app import ROOT, page_alone, said, signed_in, words
from tests.pages.lab import TestLaboratory

CARD: dict[str, Any] = {
    "name": "detector",
    "version": "9.7",
    "architecture": "YOLOv3 *of the tests*",
    "config": {"anchors_px": [[10.0, 12.5], [20.0, 8.0]], "nms_iou": 0.45, "init": None},
    "recipe": {"steps": 1000, "seed": 1},
    "data": {"training_images": 630},
    "metrics": {"validation_ap50": 0.98765, "validation_recall": 0.9962, "validation her2 mae": 0.25},
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
    cells = cells_of(at)
    for text in ("Images that it learned from", "630", "AP@0.5", "0.9877", "(recall), %", "99.62", "0.25", "45"):
        assert text in cells, text
    assert "validation her2 mae" in cells  # no words are known for it


def cells_of(at: AppTest) -> str:
    return "\n".join(str(cell) for table in at.table for cell in table.value.to_numpy().ravel()).replace("\\", "")


def counter_card(folder: Path, **config: object) -> dict[str, Any]:
    """The card of the committed counter, with weights of the tests, in `folder`."""
    card: dict[str, Any] = json.loads((ROOT / "models" / "counter.json").read_text())
    card["config"] = without_ranges(card["config"]) | config
    save_weights(folder / "counter.safetensors", {"w": torch.ones(3)}, card)
    return card


@pytest.mark.parametrize(
    ("config", "line"),
    [
        ({}, "The network works in 32-bit floating point."),
        (
            {RANGES: {f"layer.{i}": [-0.125, 31.75] for i in range(35)}},
            "The network works in 8 bits: quicker than in 32-bit floating point",
        ),
    ],
)
def test_a_line_says_in_what_numbers_the_network_works(
    folder: Path, lab: TestLaboratory, config: dict[str, Any], line: str
) -> None:
    (folder / "detector.json").unlink()
    (folder / "detector.safetensors").unlink()
    counter_card(folder, **config)
    at = page_alone("models.py", lab.person("lind"))
    assert not at.exception
    assert [line.value for line in at.markdown].count(arithmetic({"config": config})) == 1
    assert said(at, line)
    everything = words(at) + cells_of(at)
    assert "layer.7" not in everything and "31.75" not in everything


def test_the_counters_page_speaks_to_a_laboratory(folder: Path, lab: TestLaboratory) -> None:
    card = counter_card(folder)
    at = page_alone("models.py", lab.person("lind"))
    assert not at.exception
    cells = cells_of(at)
    assert "HER2 in clustered nuclei, by the map's sum: mean error, signals" in cells
    assert not [name for name in (*card["metrics"], *card["config"], *card["recipe"]) if name in cells.splitlines()]
    assert "`" not in cells and "_" not in cells
    (engineers,) = [e for e in at.expander if e.label.startswith("For engineers") and "ResNet" in e.markdown[0].value]
    assert engineers.code[0].value == card["regenerate"]
    assert engineers.json[0].value and "integral her2 clustered mae" in engineers.json[0].value
    outside = words(at)
    for e in at.expander:
        if e.label.startswith("For engineers"):
            outside = outside.replace(e.code[0].value, "").replace(e.json[0].value, "")
    assert "`" not in outside.replace("\\", "")


def test_every_measure_of_the_committed_models_has_words_and_keeps_its_number() -> None:
    for stage in ("detector", "counter"):
        metrics = json.loads((ROOT / "models" / f"{stage}.json").read_text())["metrics"]
        rows = measures(metrics)
        assert len({words for words, _ in rows}) == len(rows) == len(metrics)
        assert not {words for words, _ in rows} & metrics.keys()
        shown = sorted(float(text) / (100 if words.endswith("%") else 1) for words, text in rows)
        assert shown == pytest.approx(sorted(metrics.values()), rel=1e-3)


def test_measures_that_are_not_known_stay_as_they_are() -> None:
    part = {"peaks her2 plain bias": 0.5, "old_name": 0.25, "by part": {"a b": None}, "region her2 off": "?"}
    assert measures(part) == [
        ("HER2 of a whole region: mean error, %", "?"),
        ("HER2 in nuclei without clusters, by single peaks: bias, signals", "+0.5"),
        ("old_name", "0.25"),
        ("by part, a b", "–"),
    ]


def test_settings_that_only_an_engineer_knows_are_left_to_engineers() -> None:
    assert settings({"width": 0.25, "doubt": {"threshold": 0.21, "bias": 1.0}, "peak_threshold": [0.6, 0.7]}) == [
        ("Least height of a single peak, in signals: HER2, CEP17", "0.6, 0.7"),
        ("Chance of a wrong count from which a nucleus is uncertain, %", "21"),
    ]
    assert settings(None) == []


def test_data_is_told_without_names_of_the_code() -> None:
    assert facts({"kind": "rendered by her2core.training.render", "truth_sha256": "0123456789abcdef"}) == [
        ("Kind of images", "rendered by her2core"),
        ("Fingerprint of the data (SHA-256 begins)", "0123456789ab"),
    ]


@pytest.mark.parametrize("stage", ["detector", "counter"])
def test_all_that_the_committed_models_were_made_with_has_words(stage: str) -> None:
    card = json.loads((ROOT / "models" / f"{stage}.json").read_text())
    for part in ("data", "read"):
        assert len(facts(card[part])) == len(card[part])
        assert not {words for words, _ in facts(card[part])} & card[part].keys()


def test_engineers_are_told_how_many_layers_have_ranges() -> None:
    card = {"name": "counter", "config": {"crop_px": 80, RANGES: {"a": [0, 1], "b": [0, 2]}}}
    assert for_engineers(card)["config"] == {"crop_px": 80, RANGES: "of 2 layers, in the card's file"}
    assert for_engineers({"name": "counter", "config": None}) == {"name": "counter", "config": None}


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
        ("a_px, inner", "1.235"),
        ("a_px, yes", "yes"),
        ("list", "1, 2"),
        ("none", "–"),
        ("pairs", "1 × 2; 3 × 4"),
        ("empty", ""),
    ]


def test_committed_models_match_their_cards() -> None:
    found = model_files(Path(__file__).parents[2] / "models")
    assert {model.path.stem for model in found} >= {"detector", "counter"}
    assert [model.problem for model in found] == [None] * len(found)
