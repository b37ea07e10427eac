"""The comparison of 8 bits with float32 writes what it counts."""

from __future__ import annotations

import shutil
from pathlib import Path

import pytest

from benchmarks import arithmetic
from benchmarks.accuracy.sets import RenderedSet
from benchmarks.arithmetic import Compared, in_float32, main, table
from her2core.eight_bits import RANGES
from her2core.models import load_weights, save_weights
from her2core.pipeline import load_models

MODELS = Path(__file__).parents[2] / "models"


def test_a_table_names_shares_of_nuclei_and_of_regions() -> None:
    row = Compared("A set", nuclei=200, her2=3, clusters=10, cep17=1, regions=4, groups=1, right=(3, 2))
    assert table([row], ("8 bits", "float32"))[2:] == [
        "| A set: 4 | 200 | 3 (1.50 %) | 10 (5.00 %) | 1 (0.50 %) | 1 | 3 (75.0 %) | 2 (50.0 %) |"
    ]


def test_regions_are_counted_both_ways_and_without_the_instructions(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(arithmetic, "SETS", (RenderedSet("one", "One region", 1, 5, "balanced"),))
    assert main(["--work", str(tmp_path), "--out", str(tmp_path / "out"), "--weights", str(MODELS)]) == 0
    written = (tmp_path / "out" / "arithmetic.md").read_text(encoding="utf-8")
    rows = [line for line in written.splitlines() if line.startswith(("| One region: 1 |", "| All: 1 |"))]
    assert len(rows) == 2
    assert rows[0].split("|")[2:] == rows[1].split("|")[2:]
    nuclei, *others = (int(cell.split()[0]) for cell in rows[0].split("|")[2:6])
    assert nuclei >= 10
    assert max(others) <= 0.1 * nuclei
    older = next((line for line in written.splitlines() if line.startswith("| One of ten: 1 |")), None)
    if older is not None:
        assert [int(cell.split()[0]) for cell in older.split("|")[2:6]] == [nuclei, 0, 0, 0]


def test_a_counter_in_float32_has_nothing_to_be_compared_with(
    tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    for file in MODELS.iterdir():
        shutil.copy(file, tmp_path)
    counter = in_float32(load_models(MODELS, "cpu"), MODELS).counter
    save_weights(tmp_path / "counter.safetensors", load_weights(MODELS / "counter.safetensors")[0], counter.card)
    assert RANGES not in counter.card["config"]
    assert main(["--weights", str(tmp_path), "--out", str(tmp_path / "out")]) == 1
    assert "nothing to compare" in capsys.readouterr().err
    assert not (tmp_path / "out").exists()
