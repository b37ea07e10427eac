"""`render`: folders of synthetic regions."""

from __future__ import annotations

import json
from pathlib import Path

from her2core.imaging import read_region
from tests.cli.conftest import Run


def test_rendered_folder_has_images_that_can_be_read_and_their_truth(run: Run, tmp_path: Path) -> None:
    done = run("render", tmp_path / "a", "--count", 2, "--seed", 5, "--mix", "paper")
    assert done.exit_code == 0, done.output
    entries = json.loads((tmp_path / "a" / "truth.json").read_text())
    assert len(entries) == 2
    for entry in entries:
        region = read_region((tmp_path / "a" / entry["image"]).read_bytes(), entry["image"])
        assert entry["group"] in (1, 2, 3, 4, 5)
        for nucleus in entry["nuclei"]:
            x0, y0, x1, y1 = nucleus["box"]
            assert 0 <= x0 < x1 <= region.width_px
            assert 0 <= y0 < y1 <= region.height_px


def test_truth_that_is_there_is_not_overwritten(run: Run, tmp_path: Path) -> None:
    (tmp_path / "truth.json").write_text("annotated by hand")
    done = run("render", tmp_path, "--count", 1, "--seed", 1)
    assert done.exit_code == 1
    assert "not overwritten" in done.stderr
    assert (tmp_path / "truth.json").read_text() == "annotated by hand"


def test_count_and_seed_are_needed_and_checked(run: Run, tmp_path: Path) -> None:
    assert run("render", tmp_path / "a", "--seed", 1).exit_code == 2
    assert run("render", tmp_path / "a", "--count", 0, "--seed", 1).exit_code == 2
    assert run("render", tmp_path / "a", "--count", 1, "--seed", 1, "--mix", "odd").exit_code == 2
