"""The speed benchmark: what it works out is right, and its guard fails where it must. It measures nothing here."""

from __future__ import annotations

import json
import re
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch
from torch import nn

from benchmarks.speed.__main__ import main
from benchmarks.speed.limit import counting_operations, machine_giga, machine_giga_in_8_bits
from benchmarks.speed.measure import STAGES, stages_alone, take_turns
from benchmarks.speed.page import LIMIT_MB, figure, page, worse
from benchmarks.speed.paper import PaperSetup
from benchmarks.speed.regions import mosaic, write_tiled
from her2core.eight_bits import Convolution, Levels
from her2core.imaging import ImageLimits, open_image
from tests.training.drawn import drawn_region

ROOT = Path(__file__).resolve().parents[2]


def _found(**ratios: float) -> dict[str, Any]:
    size = {
        "width": 1360, "height": 1024, "nuclei": 20, "tiled": False,
        "seconds": dict(zip(STAGES, (0.02, 0.3, 0.1, 0.001, 0.2), strict=True)),
        "peak mb": dict(zip(STAGES, (610.0, 700.0, 690.0, 690.0, 695.0), strict=True)),
    }  # fmt: skip
    return {
        "models": {"detector": "detector 1"},
        "beside peers": {
            "seconds": {"her2core": 0.5, **ratios}, "times ours": {"her2core": 1.0, **ratios},
            "regions": [{
                "nuclei": 20, "seconds": {"her2core": 0.5, **ratios}, "times ours": {"her2core": 1.0, **ratios},
            }],
            "rounds": 5,
        },
        "by size": [size, {**size, "width": 20_000, "height": 20_000, "tiled": True, "nuclei": 14_000}],
        "models only mb": 600.0,
        "start": {"models loaded": 6.25, "first region analysed": 9.75},
        "start of the application": {"server answers": 2.5, "first page": 3.5, "first region analysed": 11.5},
        "by nuclei": [{"nuclei": 10, "seconds": 0.1}, {"nuclei": 100, "seconds": 0.9}],
        "by regions": [{"regions": 1, "seconds": 0.5}],
        "limit": {
            "giga in float32": 0.5, "giga in 8 bits": 20.0, "machine, giga per second in float32": 80.0,
            "machine, giga per second in 8 bits": 300.0, "seconds at the limit": 0.25, "seconds": 0.5,
            "share of the limit": 0.5,
        },
        "seconds": 300.0,
        "machine": {
            "date": "2026-11-24", "cpu": "2 cores", "threads": 2, "torch": "2", "load before": 0.1, "load after": 1.0,
        },
    }  # fmt: skip


def test_every_round_runs_all_methods_and_begins_with_another() -> None:
    order: list[tuple[str, int]] = []

    def method(name: str) -> Any:
        return lambda number: order.append((name, number))

    seconds = take_turns({"a": method("a"), "b": method("b")}, 3)
    assert order == [("a", 0), ("b", 0), ("b", 1), ("a", 1), ("a", 2), ("b", 2)]
    assert all(len(each) == 3 and min(each) >= 0 for each in seconds.values())


def test_operations_of_a_convolution_and_a_linear_layer() -> None:
    class Holder:
        def __init__(self) -> None:
            self.network = nn.Sequential(nn.Conv2d(3, 8, 3, padding=1), nn.Flatten(), nn.Linear(8 * 16, 5))

    holder = Holder()
    levels = Levels.spanning(0, 1)
    eight = Convolution(nn.Conv2d(3, 8, 3, padding=1), levels, torch.device("cpu"))
    image = levels.of(torch.rand(2, 3, 4, 4).contiguous(memory_format=torch.channels_last))
    with counting_operations(holder) as done, torch.inference_mode():
        holder.network(torch.rand(2, 3, 4, 4))
        eight(image, levels)
    assert done.in_float32 == 2 * 2 * (8 * 16 * 27 + 5 * 128)
    assert done.in_8_bits == 2 * 2 * 8 * 16 * 27
    holder.network(torch.rand(1, 3, 4, 4))
    eight(image)
    assert (done.in_float32, done.in_8_bits) == (2 * 2 * (8 * 16 * 27 + 5 * 128), 2 * 2 * 8 * 16 * 27)
    assert machine_giga(64, 2) > 0
    assert machine_giga_in_8_bits(64, 2) > 0


def test_the_papers_set_up_counts_one_crop_at_a_time() -> None:
    paper, seen = PaperSetup((64, 32), width=0.125), []
    paper.counter.register_forward_pre_hook(lambda _, given: seen.append(tuple(given[0].shape)))
    pixels = np.random.default_rng(1).integers(0, 255, (90, 120, 3), dtype=np.uint8)
    assert paper.analyse(pixels, [(0.0, 0.0, 30.0, 30.0), (40.4, 20.0, 80.0, 60.0)]) == 2
    assert seen == [(1, 3, 32, 32)] * 2


def test_a_region_of_any_size_is_made_of_fields() -> None:
    pieces = [np.full((10, 12, 3), shade, np.uint8) for shade in (1, 2, 3)]
    region = mosaic(pieces, 30, 25)
    assert region.shape == (25, 30, 3)
    assert region[0, ::12, 0].tolist() == [1, 2, 3]
    assert mosaic(pieces, 12, 10, first=2)[0, 0, 0] == 3


@pytest.mark.parametrize(("now", "slower"), [(8.0, False), (6.1, False), (5.9, True), (20.0, False)])
def test_the_guard_fails_beyond_its_margin(now: float, slower: bool) -> None:
    assert bool(worse(_found(peer=now), _found(peer=8.0))) is slower
    assert worse(_found(), _found(peer=8.0)) == []


def test_the_page_names_every_number_and_the_figure_is_drawn(tmp_path: Path) -> None:
    text = page(_found(peer=4.25) | {"notice": "The machine was busy."})
    for part in (
        "| nuclei | her2core, s | peer, s |",
        "| 20 | 0.500 (1.00 ×) | 4.250 (4.25 ×) |",
        "| all: median, times ours | 1.00 | 4.25 |",
        "1360 × 1024",
        "| 1360 × 1024 | JPEG, whole | 20 | 0.020 | 0.300 | 0.100 | 0.0010 | 0.200 |",
        "| 20000 × 20000 | tiled TIFF, by windows | 610 | 700 | 690 | 690 | 695 |",
        "takes less than 75%",
        "| a region of 1360 × 1024 px that waited for it is analysed and saved | 11.5 |",
        "50% of the limit",
        "**The machine was busy.**",
        "| models loaded (`analyze`) | 6.2 |",
    ):
        assert part in text
    figure(_found(peer=4.25), tmp_path / "speed.png")
    assert (tmp_path / "speed.png").stat().st_size > 5000


@pytest.mark.parametrize(("now", "code", "verdict"), [(7.0, 0, "as fast as before"), (5.0, 1, "SLOWER")])
def test_bench_check_ends_with_1_on_a_build_that_is_slower_than_its_margin(
    now: float, code: int, verdict: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch,
    capsys: pytest.CaptureFixture[str],
) -> None:  # fmt: skip
    (tmp_path / "speed.json").write_text(json.dumps(_found(peer=8.0)))
    monkeypatch.setattr("benchmarks.speed.__main__.measured", lambda args: _found(peer=now))
    assert main(["--check", "--results", str(tmp_path)]) == code
    said = capsys.readouterr().err
    assert "other models" not in said
    assert verdict in said
    assert ("6.00 is the least that passes" in said) is bool(code)
    assert [path.name for path in tmp_path.iterdir()] == ["speed.json"]


def test_bench_check_says_so_where_the_table_is_of_other_models(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    (tmp_path / "speed.json").write_text(json.dumps(_found(peer=8.0) | {"models": {"detector": "detector 0"}}))
    monkeypatch.setattr("benchmarks.speed.__main__.measured", lambda args: _found(peer=8.0))
    assert main(["--check", "--results", str(tmp_path)]) == 0
    assert "The committed table is of other models: detector 0." in capsys.readouterr().err


def test_make_bench_check_runs_the_check_and_make_test_does_not() -> None:
    makefile = (ROOT / "Makefile").read_text(encoding="utf-8")
    rules = dict(re.findall(r"^([\w-]+):[^\n]*\n((?:\t[^\n]*\n)+)", makefile, re.MULTILINE))
    assert "benchmarks.speed --check" in rules["bench-check"]
    assert "benchmarks" not in rules["test"]
    assert "bench-check" not in re.search(r"^test:.*$", makefile, re.MULTILINE)[0]  # type: ignore[index]


def test_a_tiled_region_is_measured_stage_by_stage(tmp_path: Path) -> None:
    pieces = [np.tile(drawn_region(3, 2)[0], (2, 2, 1))]
    path = write_tiled(tmp_path / "t.tif", pieces, 700, 600)
    patch = mosaic(pieces, 4096, 4096)
    with open_image(path, ImageLimits(max_pixels=1)) as image:
        assert np.array_equal(image.pixels_rgb[:600, :700], patch[:600, :700])
    found = stages_alone(path, ROOT / "models", tiled=True)
    assert found["nuclei"] >= 4
    assert tuple(found["seconds"]) == tuple(found["peak mb"]) == STAGES
    assert min(found["seconds"].values()) > 0
    assert 100 < min(found["peak mb"].values()) <= max(found["peak mb"].values()) < LIMIT_MB


def test_the_guard_says_so_where_there_is_no_table(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    assert main(["--check", "--results", str(tmp_path)]) == 1
    assert "run python -m benchmarks.speed first" in capsys.readouterr().err
