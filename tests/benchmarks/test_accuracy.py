"""The benchmark of accuracy: sets, the table and its words, real tissue, and a small run with the committed models."""

import json
import os
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch
from PIL import Image

pytest.importorskip("skimage")

from benchmarks.accuracy import __main__ as command
from benchmarks.accuracy import sets
from benchmarks.accuracy.paper import PAPER_AP, paper_agreement
from benchmarks.accuracy.parts import parts_page
from benchmarks.accuracy.sets import SETS, VALIDATION, RenderedSet, folder_of, rendered
from benchmarks.accuracy.table import Column, page
from benchmarks.accuracy.tissue import OURS, real_tissue, recall_at, tissue_block
from benchmarks.accuracy.words import (
    CONDITIONS,
    OTHER_CONDITIONS,
    error,
    interval,
    markdown,
    number,
    percent,
    relative_spread,
    share_of,
)
from benchmarks.peers import Classical, ClassicalSettings
from benchmarks.second_style import render_region_second
from her2core.errors import TrainingError
from her2core.pipeline import Models, load_models
from her2core.training.render import render_region
from her2core.training.summary import summarise
from tests.training.drawn import drawn_region
from tests.training.test_evaluate import world

CLASSICAL = Classical(ClassicalSettings(0.035, 0.3, (0.12, 0.12), (0.6, 0.6)))


@pytest.fixture(scope="module")
def models() -> Models:
    return load_models(Path("models"), "cpu")


@pytest.fixture(scope="module", autouse=True)
def one_thread() -> Any:
    before = torch.get_num_threads()
    torch.set_num_threads(1)
    yield
    torch.set_num_threads(before)


def test_the_papers_column_is_its_printed_result() -> None:
    agreement = paper_agreement()
    assert (agreement.total, round(agreement.accuracy, 4)) == (184, 0.8533)
    assert PAPER_AP == 0.735


@pytest.mark.parametrize(
    ("said", "words"),
    [
        (percent(0.9734), "97.3 %"),
        (percent(0.5, 0), "50 %"),
        (percent(0.012, sign=True), "+1.2 %"),
        (percent(None), "–"),
        (number(0.12345, 3), "0.123"),
        (number(None), "–"),
        (interval((0.5, 0.8)), "50.0–80.0 %"),
        (error({"mae": 0.5, "bias": -0.04}), "0.50 / -0.04"),
        (error({"mae": None, "bias": None}), "–"),
        (relative_spread({"mean": 0.01, "sd": 0.05}), "+1.0 % ± 5.0 %"),
        (share_of({"accuracy": 0.75, "n": 4}), "75 % of 4"),
    ],
)
def test_numbers_are_written_for_reading(said: str, words: str) -> None:
    assert said == words


def test_a_table_is_markdown() -> None:
    assert markdown(["A", "B"], [["x", "1"]]) == ["| A | B |", "| --- | --: |", "| x | 1 |"]


# --- sets -------------------------------------------------------------------------------------------------------------


def test_no_set_shares_its_seed_with_another() -> None:
    assert len({s.seed for s in (*SETS, VALIDATION)}) == len(SETS) + 1
    assert len({s.name for s in SETS}) == len(SETS)


def test_a_set_is_rendered_once(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    calls: list[tuple[int, int, str]] = []

    def draw(out: Path, count: int, seed: int, *, mix: str, processes: int) -> None:
        calls.append((count, seed, mix))
        out.mkdir(parents=True)
        (out / "truth.json").write_text("[]")

    monkeypatch.setattr(sets, "render_dataset", draw)
    test = RenderedSet("x", "X", 3, 7, "paper")
    folder = rendered(test, tmp_path, print)
    assert folder == rendered(test, tmp_path, print) == folder_of(test, tmp_path)
    assert calls == [(3, 7, "paper")]


def test_styles_lie_in_folders_of_their_own(tmp_path: Path) -> None:
    plain_set, second = (
        RenderedSet("x", "X", 3, 7, "balanced"),
        RenderedSet("x", "X", 3, 7, "balanced", second_style=True),
    )
    assert folder_of(plain_set, tmp_path) != folder_of(second, tmp_path)


def test_a_mix_that_the_renderer_does_not_know_is_left_out_with_a_notice(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    def refuse(*args: Any, **more: Any) -> None:
        raise TrainingError("Unknown mix.")

    monkeypatch.setattr(sets, "render_dataset", refuse)
    said: list[str] = []
    assert rendered(RenderedSet("x", "X", 3, 7, "odd"), tmp_path, said.append) is None
    assert "Unknown mix." in said[-1]


# --- the page ---------------------------------------------------------------------------------------------------------


def small_page() -> str:
    report, _ = summarise(world(), 0.5)
    # a second set whose peer was left out and which states no conditions
    bare = {k: v for k, v in report.items() if k not in ("by condition", "intervals")}
    columns = [Column("First", report, {"other": report}), Column("Second", bare, {})]
    return page({"detector": "d 1", "counter": "c 2"}, columns, {"other": "Other"}, [], ["Left out: a thing."])


def test_the_page_has_a_column_for_each_set_and_the_paper_where_it_printed_something() -> None:
    lines = small_page().splitlines()
    assert "| Measure | First | Second | Xue et al. 2023 |" in lines
    assert "| Measure | First | Second |" in lines
    assert any(line.startswith("| Group accuracy | **100.0 %** | **100.0 %** | **85.3 %**") for line in lines)
    assert "| AP@0.5 | 1.000 | 1.000 | 0.735 |" in lines
    assert "> Left out: a thing." in lines


def test_what_a_set_does_not_state_is_a_dash_and_empty_rows_are_left_out() -> None:
    lines = small_page().splitlines()
    assert "| Nucleus width, px: below 60 | 100 % of 1 | – |" in lines
    assert "| Nucleus width, px: 60 to 100 | – | – |" not in lines
    assert "| … Other | 100.0 % | – |" in lines
    assert any(line.startswith("| 95 % interval of the ratio holds the truth | 100.0 %") for line in lines)
    widths = {line.count("|") for line in lines if line.startswith("| Recall of Group")}
    assert widths == {5}


def test_conditions_without_words_stay_in_the_numbers() -> None:
    report, _ = summarise(world(), 0.5)
    parts = [{"from": None, "below": 1.0, "accuracy": 1.0, "n": 2}]
    odd = {**report, "by condition": {"vignette": parts, "blur": [{**parts[0], "below": 0.4}]}}
    text = page({}, [Column("First", odd, {})], {}, [], [])
    assert "Blur, px: below 0.4 | 100 % of 2" in text
    assert "ignette" not in text


def test_every_part_of_a_set_has_a_row_with_every_measure() -> None:
    report, _ = summarise(world(), 0.5)
    lines = parts_page("The paper's mix", report).splitlines()
    header = next(line for line in lines if line.startswith("| Part"))
    rows = [line for line in lines if line.startswith("| ") and line.count("|") == header.count("|")][1:]
    names = [row.split("|")[1].strip() for row in rows if "---" not in row]
    assert names[:4] == ["Group 1", "Group 5", "Renderer: first", "Renderer: not stated"]
    assert "From the nearest border: 10 % and more" in names
    assert "Nucleus width, px: below 60" in names
    assert all(row.split("|")[12].strip() == "–" for row in rows if row.startswith("| Group "))  # no kappa in one
    whole = next(row for row in rows if "nearest border" in row)
    for said in (f"{report['detection']['AP@0.5']:.3f}", "100.0 % | 34.2–100.0 % | 1.00 | 100.0 % / 100.0 %"):
        assert said in whole


def test_parts_of_peers_stand_below_ours_in_the_same_columns() -> None:
    report, _ = summarise(world(), 0.5)
    text = parts_page("The paper's mix", report, {"Another way": report})
    ours, peer = text.split("## Peer: Another way\n")
    assert peer.strip() == ours.split("## her2core\n")[1].strip()


def test_each_condition_that_a_renderer_draws_has_words() -> None:
    known = {*CONDITIONS, *OTHER_CONDITIONS}
    for seed, draw in ((1, render_region), (1, render_region_second)):
        assert set(draw(seed, 5).truth["conditions"]) <= known


def test_peers_are_told_by_every_measure_of_groups_and_nuclei() -> None:
    rows = [line.split("|")[1].strip() for line in small_page().splitlines() if line.startswith("| ")]
    ours = [name.removesuffix(": **her2core**") for name in rows if name.endswith("**her2core**")]
    for name in ("Patients: Group accuracy", "Cohen's kappa", "Group accuracy, 95 % interval (Wilson)",
                 "AP@[.5:.95] of nuclei", "Precision of nuclei"):  # fmt: skip
        assert name in ours
    assert rows.count("… Other") == len(ours)


def test_the_page_links_the_parts_of_each_set() -> None:
    report, _ = summarise(world(), 0.5)
    text = page({}, [Column("First", report, {}, "rendered-first")], {}, [], [])
    assert "[First](rendered-first/parts.md)" in text
    assert "| … without the counter's own error | 100.0 %" in text


def test_margins_are_named_as_shares() -> None:
    assert "| 10 % and more | 100 % of 2 | 100 % of 2 |" in small_page().splitlines()


# --- real tissue ------------------------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("outlined", "found", "hits"),
    [
        ([[0, 0, 10, 10], [50, 50, 60, 60]], [[0, 0, 10, 9]], (1, 2)),
        ([[0, 0, 10, 10]], [], (0, 1)),
        ([], [[0, 0, 10, 10]], (0, 0)),
    ],
)
def test_recall_counts_outlined_nuclei(outlined: list[Any], found: list[Any], hits: tuple[int, int]) -> None:
    assert recall_at(outlined, found) == hits


def test_tissue_is_read_by_every_method_and_told_by_field_and_certainty(tmp_path: Path, models: Models) -> None:
    """A drawn field stands for the real ones, which are not part of the project."""
    pixels, box, _ = drawn_region(4, 2)
    (tmp_path / "images").mkdir()
    Image.fromarray(pixels).save(tmp_path / "images" / "F1.jpg", quality=100, subsampling=0)
    (tmp_path / "boxes.json").write_text(json.dumps({"F1.jpg": [list(box)]}))
    row = {"image": "F1.jpg", "box": list(box), "her2": [4, 3], "cep17": [2, 2], "sure": True}
    (tmp_path / "signal_counts.json").write_text(json.dumps([row]))
    result = real_tissue(tmp_path, models, [CLASSICAL])
    assert result["recall at IoU 0.5"]["classical"]["F1"]["recall"] == 1.0
    assert set(result["counts"]) == {OURS, "classical", "peaks", "integral", "regression"}
    assert result["counts"]["classical"]["her2, reader sure"] == {
        "n": 1,
        "mae": 0.5,
        "bias": 0.5,
        "relative_mae": 0.1429,
        "relative_bias": 0.1429,
    }
    assert result["counts"][OURS]["cep17, reader not sure"]["n"] == 0
    assert result["the reader's two passes"]["her2, reader sure"]["bias"] == -1
    lines = tissue_block(result, {"classical": "Top-hat"})
    assert "| Method | F1 (1 nuclei) | all (1 nuclei) |" in lines
    assert any(line.startswith("| Top-hat | 0.50 / +0.50 | – |") for line in lines)


# --- the command ------------------------------------------------------------------------------------------------------


@pytest.mark.parametrize("argv", [["--only", "nothing"], ["--folder", "nothing=x"], ["--limit", "0"]])
def test_what_the_command_does_not_know_is_refused(argv: list[str], capsys: pytest.CaptureFixture[str]) -> None:
    with pytest.raises(SystemExit):
        command.arguments(argv)
    assert "error" in capsys.readouterr().err


def test_files_that_are_no_longer_written_go_and_others_stay(tmp_path: Path) -> None:
    for name, age in (("old.png", 100), ("old.json", 100), ("notes.md", 100), ("new.png", 0)):
        path = tmp_path / name
        path.write_text("x")
        os.utime(path, (1000 - age, 1000 - age))
    assert [p.name for p in command.tidy(tmp_path, 950)] == ["old.json", "old.png"]
    assert sorted(p.name for p in tmp_path.iterdir()) == ["new.png", "notes.md"]


def test_a_small_run_writes_the_page_and_each_sets_folder(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    truth = tmp_path / "truth"
    truth.mkdir()
    entries = []
    for i, (her2, cep17, group) in enumerate(((4, 2, 1), (2, 2, 5))):
        pixels, box, _ = drawn_region(her2, cep17)
        Image.fromarray(pixels).save(truth / f"{i}.png")
        nuclei = [{"box": list(box), "her2": her2, "cep17": cep17, "cluster": False}]
        entries.append({"image": f"{i}.png", "patient": f"P{i}", "group": group, "nuclei": nuclei})
    (truth / "truth.json").write_text(json.dumps(entries))
    monkeypatch.setattr(command, "tuned_peers", lambda *args, **more: [CLASSICAL])
    results = tmp_path / "results"
    stale = results / "second-style" / "gone.png"
    stale.parent.mkdir(parents=True)
    stale.write_bytes(b"")
    os.utime(stale, (1000, 1000))
    options = ["--results", str(results), "--work", str(tmp_path / "work"), "--no-tissue"]
    command.main(["--only", "second-style", "--folder", f"second-style={truth}", *options])
    text = (results / "accuracy.md").read_text()
    assert "| Images | 2 | 184 |" in text
    assert f"… {CLASSICAL.title}" in text
    assert "Real tissue is left out" in text
    beside = json.loads((results / "second-style" / "peers.json").read_text())
    assert beside["classical"]["groups per image"]["accuracy"] == 1.0
    assert beside["classical"]["counts"]["final"]["her2"]["all"]["mae"] == 0
    assert set(beside) == {"settings", "classical", "regression-only"}
    assert json.loads((results / "second-style" / "evaluation.json").read_text())["images"] == 2
    assert not stale.exists()
    with Image.open(results / "second-style" / "counts-her2.png") as figure:
        assert np.asarray(figure).std() > 1
