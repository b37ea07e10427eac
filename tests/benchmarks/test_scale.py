"""The pages of the load, slide and batch measurements: what they say, from tables small enough to check by eye."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import pytest

from benchmarks import batch, load, slides
from benchmarks.batch.__main__ import PLAN, _a_region, million
from benchmarks.batch.__main__ import page as batch_page
from benchmarks.document import SCALE, replaced
from benchmarks.load.__main__ import BEFORE, DURING, Memory
from benchmarks.load.__main__ import page as load_page
from benchmarks.load.__main__ import sentence as load_sentence
from benchmarks.slides.__main__ import figure, measured
from benchmarks.slides.__main__ import page as slides_page
from benchmarks.slides.__main__ import sentence as slides_sentence

ROOT = Path(__file__).resolve().parents[2]
CLICKS = {"number": 20, "median ms": 120, "95 % within ms": 300, "longest ms": 900}


def test_each_benchmark_says_what_it_is() -> None:
    assert all(module.__doc__ for module in (batch, load, slides))


def test_the_load_page_sets_clicks_side_by_side_and_lists_what_was_lost() -> None:
    found: dict[str, Any] = {
        "people": 25, "regions": 50, "nice": 0, "pause s": [4.0, 10.0], "load": [1.0, 2.0, 2.1], "date": "2026-11-24",
        "machine": "x86_64, 2 cores", "clicks": {BEFORE: CLICKS, DURING: CLICKS | {"median ms": 240}},
        "memory MB": {DURING: {"worker": {"first": 900, "highest": 1100, "last": 1000}}},
        "seconds until all were analysed": 200, "lost": {"edits acknowledged": 40, "edits recorded": 40},
    }  # fmt: skip
    text = load_page(found)
    assert "| no region waits | 20 | 120 | 300 | 900 |" in text
    assert "| regions wait | 20 | 240 | 300 | 900 |" in text
    assert "| worker, regions wait | 900 | 1100 | 1000 |" in text
    assert "| edits recorded | 40 |" in text
    assert "Not all regions" in load_page(found | {"seconds until all were analysed": None})


def test_memory_of_a_process_that_is_gone_is_left_out() -> None:
    memory = Memory({"gone": 2**22 + 1})
    memory.stop.set()
    memory.run()
    assert memory.table() == {}


@pytest.mark.timeout(200)
def test_a_small_slide_is_measured_in_a_child_and_drawn(tmp_path: Path) -> None:
    row = measured(2048, 0, tmp_path, [["good", "empty"], ["sparse", "empty"]])
    assert (row["side"], row["levels"], row["fields"]) == (2048, 1, 1)
    assert 50 < row["peak MB before"] <= row["peak MB"] < 2000
    assert list(tmp_path.iterdir()) == []
    figure([row], tmp_path / "slides.png")
    assert (tmp_path / "slides.png").read_bytes()[:4] == b"\x89PNG"
    assert f"| 2048 × 2048 | 1 | {row['file MB']} | 1 |" in slides_page([row], "a machine")


@pytest.mark.parametrize(
    ("moments", "seconds"),
    [([5.0, 6.0, 7.0, 8.0], 1.0), ([5.0, 5.01, 5.02, 8.0, 8.01, 8.02], 1.0067)],
)
def test_a_region_takes_what_passes_between_results_that_do_not_come_together(
    moments: list[float], seconds: float
) -> None:
    assert _a_region(moments) == pytest.approx(seconds, abs=1e-3)


PROCESSES = {
    "engine": "processes", "date": "2026-11-24", "machine": "x86_64, 2 cores", "regions": 16, "rounds": 3,
    "nuclei a region": 62.2, "seconds a region": {"1 worker": 1.08, "2 workers": 0.6}, "efficiency of 2": 0.9,
    "load": 2.0, "seconds to the first result": {"1": 5.2, "2": 9.0}, "bytes of tables a region": 6367,
    "bytes of a file": 191_460, "nice": 0,
}  # fmt: skip


def test_the_plan_for_a_million_regions_follows_from_what_was_measured() -> None:
    ray = PROCESSES | {"engine": "ray", "seconds to the first result": {"1": 18.8, "2": 20.0}}
    plan = million([PROCESSES, ray], 1304)
    assert "| 2 | 1,000,000 · 0.60 s | 6.9 |" in plan  # 600,000 s
    assert "| 32 | 1,000,000 · 1.08 s / (32 · 0.90) | 0.43 (10.4 hours) |" in plan  # 37,500 s
    assert "| 128 | 1,000,000 · 1.08 s / (128 · 0.90) | 0.11 (2.6 hours) |" in plan
    assert "that is 0.38 TB in all, 1.1 hours" in plan
    assert "6.4 kB a region, measured: 6.4 GB" in plan
    assert "32 of them 42 GB" in plan
    assert "5 s, with Ray 19 s" in plan
    with pytest.raises(ValueError, match="processes"):
        million([ray], 1304)


def test_the_figures_in_the_document_are_those_of_the_committed_measurements() -> None:
    rows, found, searches = (
        json.loads((ROOT / "benchmarks" / "results" / name / f"{name}.json").read_text())
        for name in ("batch", "load", "slides")
    )
    document = SCALE.read_text(encoding="utf-8")
    plan = million(rows, found["memory MB"][DURING]["worker"]["highest"])
    for name, text in ((PLAN, plan), ("Load", load_sentence(found)), ("Slides", slides_sentence(searches))):
        assert replaced(document, name, text) == document
    with pytest.raises(ValueError, match="no place for Load"):
        replaced("", "Load", "text")


def test_the_sentence_on_load_says_so_where_anything_was_lost() -> None:
    found = json.loads((ROOT / "benchmarks" / "results" / "load" / "load.json").read_text())
    assert "every edit and every region was in the case log, once" in load_sentence(found)
    found["lost"]["edits recorded"] -= 1
    assert "NOT ALL" in load_sentence(found)


def test_the_batch_page_has_a_line_for_each_engine_and_the_kills() -> None:
    row = {
        "engine": "processes", "date": "2026-11-24", "machine": "x86_64, 2 cores", "regions": 16, "rounds": 3,
        "nuclei a region": 30.0, "seconds a region": {"1 worker": 2.0, "2 workers": 1.1}, "efficiency of 2": 0.91,
        "load": 2.0, "seconds to the first result": {"1": 9.0, "2": 10.0}, "bytes of tables a region": 4200,
        "nice": 0, "note": "A note",
    }  # fmt: skip
    text = batch_page([row], {"queue": {"regions": 300, "workers killed": 56}})
    assert "| processes | 2026-11-24, x86_64, 2 cores | 16 × 3 | 30.0 | 2.0 | 1.1 | 0.91 | 2.0 |" in text
    assert "\nA note.\n" in text
    assert "**queue**: regions 300, workers killed 56." in text
