"""The renderer: repeatable, true to its truth, and in the mix that was asked for."""

import io
import json
from collections import Counter
from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest
from PIL import Image

from her2core.errors import TrainingError
from her2core.imaging import read_region
from her2core.records import Tally
from her2core.scoring import group
from her2core.training.render import optics, render_dataset, render_region
from her2core.training.render.biology import PAPER_MIX, group_sequence, margin, sample_counts
from her2core.training.render.optics import sample_look
from her2core.training.render.scene import sample_conditions
from her2core.training.render.shapes import tumour_outline

SMALL = (40.0, 60.0)


def test_the_same_seed_gives_the_same_bytes_and_another_seed_does_not() -> None:
    first, again, other = (render_region(seed, 5, nucleus_px=SMALL) for seed in (3, 3, 4))
    assert first.data == again.data
    assert first.truth == again.truth
    assert first.data != other.data


@pytest.mark.parametrize("target", [1, 2, 3, 4, 5])
def test_scorable_nuclei_of_the_truth_fall_into_the_wanted_group(target: int) -> None:
    truth = render_region((11, target), target, nucleus_px=SMALL).truth
    scored = [n for n in truth["nuclei"] if n["scorable"]]
    total = Tally(len(scored), sum(n["her2"] for n in scored), sum(n["cep17"] for n in scored))
    assert truth["group"] == target == group(total)
    assert total.n >= 8


def test_boxes_and_signals_lie_in_the_image_and_counts_are_those_of_the_signals() -> None:
    region = render_region(21, 1, nucleus_px=SMALL)
    height, width = region.pixels_rgb.shape[:2]
    for nucleus in region.truth["nuclei"]:
        x0, y0, x1, y1 = nucleus["box"]
        assert 0 <= x0 < x1 <= width
        assert 0 <= y0 < y1 <= height
        channels = Counter(s["channel"] for s in nucleus["signals"])
        assert (channels["her2"], channels["cep17"]) == (nucleus["her2"], nucleus["cep17"])
        assert all(0 <= s["x"] <= width and 0 <= s["y"] <= height for s in nucleus["signals"])


def test_a_scorable_nucleus_has_both_colours_and_is_whole() -> None:
    region = render_region(22, 5, nucleus_px=SMALL)
    height, width = region.pixels_rgb.shape[:2]
    scorable = [n for n in region.truth["nuclei"] if n["scorable"]]
    assert scorable
    for nucleus in scorable:
        assert nucleus["her2"] > 0
        assert nucleus["cep17"] > 0
        assert nucleus["box"][0] >= 0
        assert nucleus["box"][2] <= width
        assert nucleus["box"][3] <= height


@pytest.mark.parametrize("seed", range(4))
def test_counted_signals_can_be_seen(seed: int) -> None:
    """Around each counted signal its colour is brighter than on a ring about it, nearly always (findings.md)."""
    region = render_region((31, seed), 5, nucleus_px=SMALL)
    pixels = region.pixels_rgb.astype(float)
    height, width = pixels.shape[:2]
    seen = []
    for nucleus in region.truth["nuclei"]:
        for signal in nucleus["signals"]:
            x, y = int(signal["x"]), int(signal["y"])
            if 9 < x < width - 10 and 9 < y < height - 10:
                plane = pixels[y - 9 : y + 10, x - 9 : x + 10, 0 if signal["channel"] == "her2" else 1]
                seen.append(plane[8:11, 8:11].mean() > np.median(plane))
    assert np.mean(seen) > 0.93


@pytest.mark.parametrize("seed", range(3))
def test_no_counted_signal_drowns_in_the_finished_image(seed: int) -> None:
    """Measured apart from the renderer's own check: a signal's core against the middle of its nucleus."""
    region = render_region((35, seed), 4, nucleus_px=(60.0, 80.0))
    pixels = region.pixels_rgb.astype(float)
    drowned, asked = 0, 0
    for nucleus in region.truth["nuclei"]:
        x0, y0, x1, y1 = (int(side) for side in nucleus["box"])
        for signal in nucleus["signals"]:
            plane = 0 if signal["channel"] == "her2" else 1
            x, y = int(signal["x"]), int(signal["y"])
            core = pixels[max(y - 2, 0) : y + 3, max(x - 2, 0) : x + 3, plane].max()
            asked += 1
            drowned += bool(core <= np.median(pixels[y0:y1, x0:x1, plane]) + 3)
    assert asked > 50
    assert drowned / asked < 0.02


def test_over_nuclei_dirt_never_has_the_colour_of_a_signal() -> None:
    rng = np.random.default_rng(6)
    look = replace(sample_look(rng), debris=60, specks=300, dapi=80.0)
    painter = optics._Painter(replace(sample_conditions(rng), nucleus_px=60, width_px=600, height_px=600), look, rng)
    ys, xs = np.mgrid[:600, :600]
    painter.planes[2, np.hypot(xs - 300, ys - 300) < 200] = 80.0
    clean = painter.planes.copy()
    painter.debris()
    red, green, _ = painter.planes - clean
    inside, outside = np.hypot(xs - 300, ys - 300) < 190, np.hypot(xs - 300, ys - 300) > 260
    of_a_signal = np.maximum(red, green) > 2 * np.minimum(red, green) + 20
    assert (red[inside] > 20).mean() > 0.02
    assert of_a_signal[outside].mean() > 0.004
    assert of_a_signal[inside].mean() < 0.0005


def test_signals_closer_than_a_signal_count_once_outside_clusters() -> None:
    region = render_region(36, 3, nucleus_px=SMALL)
    c = region.truth["conditions"]
    least_px = 1.2 * max(c["her2_fwhm"] * c["nucleus_px"], 1.9)
    single = [n for n in region.truth["nuclei"] if not n["cluster"]]
    assert single
    for nucleus in single:
        points = np.array([(s["x"], s["y"]) for s in nucleus["signals"] if s["channel"] == "her2"]).reshape(-1, 2)
        gaps = np.hypot(*(points[:, None] - points[None]).transpose(2, 0, 1)) + 1e9 * np.eye(len(points))
        assert gaps.size == 0 or gaps.min() > least_px


@pytest.mark.parametrize(
    ("tally", "expected"),
    [
        (Tally(20, 84, 40), 0.05),  # ratio 2.1 against 2.0; 4.2 copies against 4.0: both 5 %
        (Tally(20, 60, 20), 0.25),  # ratio 3.0, 3 copies: 25 % from 4.0
        (Tally(20, 118, 100), 1 - 5.9 / 6),  # ratio 1.18: 5.9 copies are near 6.0
        (Tally(20, 118, 20), 0.475),  # ratio 5.9: 6.0 copies are no border here
        (Tally(20, 0, 40), 0.0),
        (Tally(0, 0, 0), 0.0),
    ],
)
def test_margin_is_the_distance_from_the_nearest_border(tally: Tally, expected: float) -> None:
    assert margin(tally) == pytest.approx(expected)


def test_regions_of_the_borders_mix_lie_near_a_border_and_others_do_not_touch_one() -> None:
    assert render_region(51, 4, nucleus_px=SMALL, mix="borders").truth["margin"] < 0.05
    assert render_region(51, 4, nucleus_px=SMALL).truth["margin"] >= 0.015


def test_the_truth_names_style_and_conditions() -> None:
    truth = render_region(52, 5, nucleus_px=SMALL).truth
    assert truth["style"] == "first"
    assert {"overlap", "her2_contrast", "blur", "noise", "jpeg_quality"} <= set(truth["conditions"])
    assert all(isinstance(value, int | float) for value in truth["conditions"].values())


def test_region_files_are_read_by_the_app() -> None:
    region = render_region(41, 5, nucleus_px=SMALL)
    read = read_region(region.data, "region" + region.suffix)
    assert np.array_equal(read.pixels_rgb, region.pixels_rgb)


def test_the_papers_mix_is_met_exactly_by_184_regions() -> None:
    assert Counter(group_sequence(184, "paper", np.random.default_rng(0))) == PAPER_MIX


@pytest.mark.parametrize(("mix", "count"), [("paper", 40), ("balanced", 7), ("balanced", 5)])
def test_any_number_of_regions_is_shared_out(mix: str, count: int) -> None:
    groups = group_sequence(count, mix, np.random.default_rng(1))
    assert len(groups) == count
    assert set(groups) <= {1, 2, 3, 4, 5}


def test_an_unknown_mix_is_refused() -> None:
    with pytest.raises(TrainingError, match="paper, balanced or borders"):
        group_sequence(5, "random", np.random.default_rng(0))


def test_counts_that_no_nuclei_can_show_are_refused() -> None:
    with pytest.raises(TrainingError, match="group 3"):
        sample_counts(3, np.zeros(5, bool), np.random.default_rng(0))


def test_an_outline_lies_inside_its_box() -> None:
    outline = tumour_outline(100, 80, 60, 0.1, np.random.default_rng(5))
    x0, y0, x1, y1 = outline.box()
    ys, xs = np.nonzero(
        outline.depth(np.arange(200, dtype=np.float32)[None, :], np.arange(200, dtype=np.float32)[:, None]) < 1
    )
    assert x0 - 1 <= xs.min() <= x0 + 2
    assert x1 - 2 <= xs.max() <= x1 + 1
    assert y0 - 1 <= ys.min() <= y0 + 2
    assert y1 - 2 <= ys.max() <= y1 + 1


def test_a_dataset_is_the_same_with_one_and_two_processes(tmp_path: Path) -> None:
    one = render_dataset(tmp_path / "one", 2, 9, mix="paper")
    two = render_dataset(tmp_path / "two", 2, 9, mix="paper", processes=2)
    assert one.read_bytes() == two.read_bytes()
    entries = json.loads(one.read_text())
    assert [e["image"] for e in entries] == sorted(e["image"] for e in entries)
    for entry in entries:
        data = (tmp_path / "one" / entry["image"]).read_bytes()
        assert data == (tmp_path / "two" / entry["image"]).read_bytes()
        with Image.open(io.BytesIO(data)) as image:
            assert image.mode == "RGB"
