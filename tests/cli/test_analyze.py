"""`analyze`: the contract of architecture.md, with a scripted pipeline."""

from __future__ import annotations

import io
import json
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import tifffile
import torch
from PIL import Image, ImageColor

from her2core.caselog import CaseLog
from her2core.marks import SKY
from her2core.models import cards_of, save_weights
from her2core.records import STAGES
from tests.cli.conftest import PASSWORD, Run, png

Asked = list[dict[str, Any]]


def _weights(folder: Path, version: str) -> dict[str, str]:
    """Both stages in a folder; the SHA-256 of each."""
    for stage in STAGES:
        save_weights(folder / f"{stage}.safetensors", {"w": torch.ones(1)}, {"name": stage, "version": version})
    return {stage: card["sha256"] for stage, card in cards_of(folder).items()}


def test_images_are_listed_with_their_numbers_and_pooled(run: Run, scripted_models: Asked, tmp_path: Path) -> None:
    done = run("analyze", png(tmp_path / "a.png", 90), png(tmp_path / "b.png", 120))
    assert done.exit_code == 0
    first, second, pooled, note = done.stdout.splitlines()
    assert first.startswith("a.png: 9 nuclei, HER2 54 (6.00 per nucleus), CEP17 18 (2.00), ratio 3.00, group 1")
    assert second.startswith("b.png: 12 nuclei")
    assert pooled.startswith("pooled over 2 images: 21 nuclei")
    assert note == "(per image, for comparison with the paper; not a result of a case)"


def test_json_and_overlays_are_written(run: Run, scripted_models: Asked, tmp_path: Path) -> None:
    image, report, overlays = png(tmp_path / "a.png"), tmp_path / "new" / "a.json", tmp_path / "new" / "overlays"
    assert run("analyze", image, "--json", report, "--overlay", overlays).exit_code == 0
    data = json.loads(report.read_text())
    assert data["schema"] == "her2core.analysis/1"
    assert data["images"][0]["image"] == "a.png"
    assert data["images"][0]["nuclei"][0]["box"] == [20.0, 10.0, 60.0, 50.0]
    assert data["tally"]["n"] == 9
    with Image.open(overlays / "a.png_overlay.png") as overlay:
        assert overlay.size == (200, 200)
        assert overlay.getpixel((20, 45)) == ImageColor.getrgb(SKY)


def test_json_on_stdout_is_nothing_but_json(run: Run, scripted_models: Asked, tmp_path: Path) -> None:
    done = run("analyze", png(tmp_path / "a.png"), "--json", "-")
    assert json.loads(done.stdout)["tally"]["n"] == 9
    assert "9 nuclei" in done.stderr


def test_progress_goes_to_stderr(run: Run, scripted_models: Asked, tmp_path: Path) -> None:
    done = run("analyze", png(tmp_path / "a.png"))
    assert "[1/1] a.png: done" in done.stderr
    assert "[1/1]" not in done.stdout


def test_failed_images_are_entries_and_the_others_go_on(run: Run, scripted_models: Asked, tmp_path: Path) -> None:
    text = tmp_path / "text.jpg"
    text.write_text("no image")
    crash = png(tmp_path / "crash.png", 66)
    good, report = png(tmp_path / "good.png"), tmp_path / "out.json"
    done = run("analyze", text, tmp_path / "missing.png", tmp_path, crash, good, "--json", report)
    assert done.exit_code == 1
    entries = json.loads(report.read_text())["images"]
    assert [("error" in entry) for entry in entries] == [True, True, True, True, False]
    assert "No such file" in entries[1]["error"]
    assert "out of memory" in entries[3]["error"]
    assert json.loads(report.read_text())["tally"]["n"] == 9
    assert "text.jpg: FAILED" in done.stdout


def test_same_image_given_twice_is_counted_once(run: Run, scripted_models: Asked, tmp_path: Path) -> None:
    image = png(tmp_path / "a.png")
    again = tmp_path / "again.png"
    again.write_bytes(image.read_bytes())
    done = run("analyze", image, again, "--json", "-")
    assert done.exit_code == 1
    assert "same image as a.png" in json.loads(done.stdout)["images"][1]["error"]
    assert json.loads(done.stdout)["tally"]["n"] == 9


def test_images_of_one_name_stay_apart(run: Run, scripted_models: Asked, tmp_path: Path) -> None:
    for folder, shade in (("x", 90), ("y", 120)):
        (tmp_path / folder).mkdir()
        png(tmp_path / folder / "a.png", shade)
    overlays = tmp_path / "overlays"
    done = run("analyze", tmp_path / "x" / "a.png", tmp_path / "y" / "a.png", "--json", "-", "--overlay", overlays)
    names = [entry["image"] for entry in json.loads(done.stdout)["images"]]
    assert len(set(names)) == 2
    assert len(list(overlays.iterdir())) == 2


def test_overlay_never_overwrites_an_image_given(run: Run, scripted_models: Asked, tmp_path: Path) -> None:
    image = png(tmp_path / "a.png")
    before = image.read_bytes()
    assert run("analyze", image, "--overlay", tmp_path).exit_code == 0
    assert image.read_bytes() == before


def test_options_reach_the_pipeline(run: Run, scripted_models: Asked, tmp_path: Path) -> None:
    _weights(tmp_path / "w", "1")
    run(
        "analyze",
        png(tmp_path / "a.png"),
        "--clusters",
        "--device",
        "cpu",
        "--weights",
        tmp_path / "w",
        "--counting",
        "regression",
    )
    assert scripted_models[0] == {"weights": tmp_path / "w", "device": "cpu", "counting": "regression"}
    assert scripted_models[1]["clusters"] is True


def test_settings_limit_the_size_of_an_image(
    run: Run, scripted_models: Asked, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    buffer = io.BytesIO()
    Image.new("RGB", (1200, 1000), (9, 80, 160)).save(buffer, "PNG")
    (tmp_path / "large.png").write_bytes(buffer.getvalue())
    monkeypatch.setenv("HER2CORE_MAX_IMAGE_MPX", "1")
    assert run("analyze", tmp_path / "large.png").exit_code == 1


def test_a_tiled_image_beyond_the_limit_is_read_window_by_window(
    run: Run, scripted_models: Asked, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    with Image.open(png(tmp_path / "a.png", 90, side=1200)) as image:
        tifffile.imwrite(tmp_path / "a.tif", np.asarray(image), photometric="rgb", tile=(512, 512))
    monkeypatch.setenv("HER2CORE_MAX_IMAGE_MPX", "1")
    done = run("analyze", tmp_path / "a.tif", tmp_path / "a.tif", "--overlay", tmp_path / "overlays", "--json", "-")
    first, again = json.loads(done.stdout)["images"]
    assert (first["width"], first["tally"]["n"]) == (1200, 9)
    assert "window by window" in first["notes"][0]
    assert first["notes"][-1] == "An image of this size gets no overlay."
    assert not list((tmp_path / "overlays").iterdir())
    assert "same image as" in again["error"]


def test_missing_weights_are_said_in_words(run: Run, scripted_models: Asked, tmp_path: Path) -> None:
    done = run("analyze", png(tmp_path / "a.png"), "--weights", tmp_path)
    assert done.exit_code == 1
    assert done.stderr.splitlines()[-1].startswith("Error: The model card detector.json is missing. Restore the folder")
    assert scripted_models == []


def test_command_without_images_or_with_an_unknown_device_is_a_usage_error(run: Run, tmp_path: Path) -> None:
    assert run("analyze").exit_code == 2
    assert run("analyze", png(tmp_path / "a.png"), "--device", "tpu").exit_code == 2


def test_json_that_cannot_be_written_is_said_before_the_analysis(
    run: Run, scripted_models: Asked, tmp_path: Path
) -> None:
    (tmp_path / "file").write_text("")
    done = run("analyze", png(tmp_path / "a.png"), "--json", tmp_path / "file" / "out.json")
    assert done.exit_code == 1
    assert "Error: " in done.stderr
    assert scripted_models == []


def test_the_models_in_use_are_taken_and_named_with_where_they_come_from(
    run: Run, scripted_models: Asked, laboratory: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    image, shipped, named = png(tmp_path / "a.png"), tmp_path / "shipped", tmp_path / "named"
    own = laboratory / "models" / "0123456789abcdef"
    _weights(shipped, "7")
    promoted, other = _weights(own, "9"), _weights(named, "5")
    monkeypatch.setenv("HER2CORE_WEIGHTS_DIR", str(shipped))

    def told(*more: object) -> tuple[Path, str]:
        done = run("analyze", image, *more)
        assert done.exit_code == 0, done.output
        return scripted_models[-2]["weights"], done.stderr

    taken, words = told()
    assert taken == shipped
    assert f"in use in the laboratory in {laboratory}, which has promoted none of its own" in words

    with CaseLog(laboratory) as log:
        run("user", "add", "lind", "--role", "lab manager", "--name", "Jonas Lind", "--password-stdin", stdin=PASSWORD)
        manager = log.user_by_name("lind")
        assert manager is not None
        log.promote_models(
            own.name, {"detector": "d", "counter": "c"}, "better here", manager, after=None, comparison={}
        )
    taken, words = told()
    assert taken == own
    assert f"Models: promoted in the laboratory in {laboratory}" in words
    assert f"counter: counter 9, SHA-256 {promoted['counter']}" in words

    taken, words = told("--weights", named)
    assert (taken, "Models: named by --weights" in words) == (named, True)
    assert f"detector: detector 5, SHA-256 {other['detector']}" in words

    monkeypatch.setenv("HER2CORE_DATA", str(tmp_path / "elsewhere"))
    taken, words = told()
    assert taken == shipped
    assert f"those of the settings; no case log in {tmp_path / 'elsewhere'} says otherwise" in words
