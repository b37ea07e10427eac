"""Commands in processes of their own, with the committed models: from a rendered region to its analysis."""

from __future__ import annotations

import json
import os
import subprocess
import sys
from pathlib import Path
from typing import Any

import pytest
from PIL import Image

from her2core.scoring import iou

ROOT = Path(__file__).resolve().parent.parent.parent


def her2core(*arguments: object, cwd: Path = ROOT) -> subprocess.CompletedProcess[str]:
    environment = {name: value for name, value in os.environ.items() if not name.startswith("HER2CORE_")}
    environment["PYTHONPATH"] = str(ROOT)
    return subprocess.run(
        [sys.executable, "-m", "her2core", *(str(argument) for argument in arguments)],
        cwd=cwd, env=environment, capture_output=True, text=True, check=False, timeout=280,
    )  # fmt: skip


@pytest.fixture(scope="module")
def rendered(tmp_path_factory: pytest.TempPathFactory) -> Path:
    folder = tmp_path_factory.mktemp("rendered")
    done = her2core("render", folder, "--count", 2, "--seed", 11)
    assert done.returncode == 0, done.stderr
    return folder


def test_rendered_region_is_analysed_as_its_truth_says(rendered: Path, tmp_path: Path) -> None:
    truth: dict[str, Any] = json.loads((rendered / "truth.json").read_text())[0]
    broken = tmp_path / "broken.jpg"
    broken.write_bytes((rendered / truth["image"]).read_bytes()[:2000])
    out = tmp_path / "out.json"
    done = her2core(
        "analyze", rendered / truth["image"], broken, "--json", out, "--overlay", tmp_path / "o", "--device", "cpu",
        cwd=tmp_path,
    )  # fmt: skip
    assert done.returncode == 1, done.stderr  # the broken one
    assert "Traceback" not in done.stderr
    good, bad = json.loads(out.read_text())["images"]
    assert "error" in bad
    with Image.open(tmp_path / "o" / f"{truth['image']}_overlay.png") as overlay:
        assert overlay.size == (good["width"], good["height"])
    scorable = [nucleus for nucleus in truth["nuclei"] if nucleus["scorable"]]
    found = [max(iou(true["box"], nucleus["box"]) for nucleus in good["nuclei"]) > 0.5 for true in scorable]
    assert sum(found) >= 0.7 * len(found)
    assert good["tally"]["n"] >= 0.5 * len(scorable)
    for nucleus in good["nuclei"]:
        assert nucleus["scored"] == (nucleus["reason"] is None)
        for signal in nucleus["signals"]:
            assert 0 <= signal["x"] < good["width"]
            assert 0 <= signal["y"] < good["height"]


def test_evaluation_writes_numbers_and_figures(rendered: Path, tmp_path: Path) -> None:
    done = her2core("evaluate", rendered, "--out", tmp_path / "e", "--device", "cpu")
    assert done.returncode == 0, done.stderr
    report = json.loads((tmp_path / "e" / "evaluation.json").read_text())
    assert report["images"] == 2
    assert report["detection"]["AP@0.5"] > 0.5
    for figure in ("precision-recall.png", "confusion.png"):
        with Image.open(tmp_path / "e" / figure) as picture:
            assert picture.format == "PNG"


def test_weights_that_are_missing_are_said_in_words(rendered: Path, tmp_path: Path) -> None:
    (image, *_) = sorted(rendered.glob("region-*"))
    done = her2core("analyze", image, "--weights", tmp_path)
    assert done.returncode == 1
    assert done.stderr.startswith("Error: ")
    assert "missing" in done.stderr
    assert "Traceback" not in done.stderr
