"""The second renderer style: an honest truth, and no way into training."""

from __future__ import annotations

import ast
import io
import json
from collections.abc import Iterator
from pathlib import Path

import numpy as np
import pytest
from PIL import Image
from scipy.ndimage import gaussian_filter

from benchmarks.second_style import render_dataset_second, render_region_second
from benchmarks.second_style.biology import LEAST_MARGIN, WIDE_MARGIN, draw_counts
from benchmarks.second_style.psf import spot_profile
from her2core.errors import TrainingError
from her2core.records import Tally
from her2core.scoring.groups import group
from her2core.training.render import RenderedRegion
from her2core.training.render.biology import margin

ROOT = Path(__file__).parents[2]


def _imports(path: Path) -> Iterator[tuple[str, str]]:
    """Module and name of everything that a file imports; the name is empty where a whole module is."""
    for node in ast.walk(ast.parse(path.read_text(encoding="utf-8"))):
        if isinstance(node, ast.Import):
            yield from ((alias.name, "") for alias in node.names)
        elif isinstance(node, ast.ImportFrom):
            yield from ((node.module or "", alias.name) for alias in node.names)


@pytest.fixture(scope="module", params=[1, 2, 3, 4, 5])
def drawn(request: pytest.FixtureRequest) -> tuple[int, RenderedRegion]:
    """A region of each group."""
    return request.param, render_region_second((31, request.param), request.param)


def test_product_and_training_never_import_benchmarks() -> None:
    files = [ROOT / "app.py", *(ROOT / "pages").glob("*.py"), *(ROOT / "her2core").rglob("*.py")]
    assert len(files) > 50
    guilty = [str(f) for f in files for module, _ in _imports(f) if module.split(".")[0] == "benchmarks"]
    assert guilty == []


def test_second_style_takes_no_drawing_code_from_the_first() -> None:
    files = list((ROOT / "benchmarks" / "second_style").glob("*.py"))
    taken = {name for f in files for module, name in _imports(f) if module.startswith("her2core.training")}
    assert taken == {"RenderedRegion", "group_sequence", "margin"}


def test_truth_is_of_the_wanted_group_and_clear_of_its_borders(drawn: tuple[int, RenderedRegion]) -> None:
    wanted, region = drawn
    scored = [n for n in region.truth["nuclei"] if n["scorable"]]
    tally = Tally(len(scored), sum(n["her2"] for n in scored), sum(n["cep17"] for n in scored))
    assert region.truth["group"] == wanted == group(tally)
    assert region.truth["margin"] == pytest.approx(margin(tally), abs=1e-4)
    assert region.truth["margin"] >= LEAST_MARGIN
    assert region.truth["style"] == "second"
    assert region.truth["conditions"]["jpeg_quality"] == 100 or region.suffix == ".jpg"
    assert all(np.isfinite(v) for v in region.truth["conditions"].values())


def test_counts_are_the_signals_and_lie_in_their_boxes(drawn: tuple[int, RenderedRegion]) -> None:
    _, region = drawn
    height, width = region.pixels_rgb.shape[:2]
    for n in region.truth["nuclei"]:
        x0, y0, x1, y1 = n["box"]
        assert 0 <= x0 < x1 <= width and 0 <= y0 < y1 <= height
        for channel in ("her2", "cep17"):
            assert n[channel] == sum(s["channel"] == channel for s in n["signals"])
        assert all(x0 - 3 <= s["x"] <= x1 + 3 and y0 - 3 <= s["y"] <= y1 + 3 for s in n["signals"])
        assert not n["scorable"] or (n["her2"] and n["cep17"] and n["overlap"] <= 0.2)


def test_file_holds_the_pixels(drawn: tuple[int, RenderedRegion]) -> None:
    _, region = drawn
    decoded = np.asarray(Image.open(io.BytesIO(region.data)).convert("RGB"))
    np.testing.assert_array_equal(decoded, region.pixels_rgb)


def test_every_separate_signal_stands_out_in_the_saved_image(drawn: tuple[int, RenderedRegion]) -> None:
    """Measured otherwise than the renderer does: against all of the box, with another filter."""
    _, region = drawn
    c = region.truth["conditions"]
    weak, seen = 0, 0
    for plane, channel in enumerate(("her2", "cep17")):
        sigma = max(0.8, c[f"{channel}_fwhm"] * c["nucleus_px"] / 2.6)
        image = region.pixels_rgb[..., plane].astype(float)
        answer = gaussian_filter(image, sigma) - gaussian_filter(image, 2 * sigma)
        for n in region.truth["nuclei"]:
            if n["cluster"] and channel == "her2":
                continue
            x0, y0, x1, y1 = (int(side) for side in n["box"])
            inner = answer[y0:y1, x0:x1]
            noise = 1.4826 * np.median(np.abs(inner - np.median(inner)))
            for s in (s for s in n["signals"] if s["channel"] == channel):
                x, y = round(s["x"]), round(s["y"])
                peak = answer[max(y - 2, 0) : y + 3, max(x - 2, 0) : x + 3].max()
                seen += 1
                weak += peak < 3.5 * noise or peak < 3
    assert seen > 40
    assert weak <= 0.02 * seen


def test_separate_signals_of_a_colour_lie_more_than_a_diameter_apart(drawn: tuple[int, RenderedRegion]) -> None:
    _, region = drawn
    c = region.truth["conditions"]
    for n in region.truth["nuclei"]:
        for channel in ("her2", "cep17"):
            if n["cluster"] and channel == "her2":
                continue
            places = np.array([(s["x"], s["y"]) for s in n["signals"] if s["channel"] == channel]).reshape(-1, 2)
            gaps = np.hypot(*(places[:, None] - places[None]).transpose(2, 0, 1)) + 1e9 * np.eye(len(places))
            assert gaps.min(initial=1e9) >= 1.8 * c[f"{channel}_fwhm"] * c["nucleus_px"]


@pytest.mark.parametrize("drawn", [2], indirect=True)
def test_same_seed_gives_the_same_bytes(drawn: tuple[int, RenderedRegion]) -> None:
    wanted, region = drawn
    again = render_region_second((31, wanted), wanted)
    assert again.data == region.data and again.truth == region.truth
    assert again.data != render_region_second((32, wanted), wanted).data


@pytest.mark.parametrize("target", [0, 6, -1])
def test_unknown_group_is_refused(target: int) -> None:
    with pytest.raises(ValueError, match="no group"):
        render_region_second(1, target)


def test_folder_holds_images_and_their_truth(tmp_path: Path) -> None:
    path = render_dataset_second(tmp_path / "set", 2, 4, mix="paper")
    entries = json.loads(path.read_text(encoding="utf-8"))
    assert [e["patient"] for e in entries] == ["S00000", "S00000"]
    assert all((path.parent / e["image"]).is_file() for e in entries)
    assert {p.name for p in path.parent.iterdir()} == {"truth.json"} | {e["image"] for e in entries}


@pytest.mark.parametrize("mix", ["borders", "no such mix"])
def test_unknown_mix_is_refused_before_anything_is_written(tmp_path: Path, mix: str) -> None:
    with pytest.raises(TrainingError):
        render_dataset_second(tmp_path / "set", 2, 4, mix=mix)
    assert not (tmp_path / "set").exists()


@pytest.mark.parametrize("target", [1, 2, 3, 4, 5])
def test_two_thirds_of_tallies_are_well_clear_of_borders(target: int) -> None:
    rng = np.random.default_rng(target)
    scorable = np.arange(40) < 30
    margins = []
    for _ in range(60):
        counts = draw_counts(target, scorable, 0.03, rng)
        assert counts is not None
        her2, cep17 = counts
        counted = scorable & (her2 > 0) & (cep17 > 0)
        tally = Tally(int(counted.sum()), int(her2[counted].sum()), int(cep17[counted].sum()))
        assert group(tally) == target
        margins.append(margin(tally))
    assert min(margins) >= LEAST_MARGIN
    assert np.mean(np.array(margins) >= WIDE_MARGIN) >= 0.6


def test_impossible_nuclei_give_no_counts() -> None:
    assert draw_counts(3, np.zeros(5, bool), 0.0, np.random.default_rng(0)) is None


@pytest.mark.parametrize("fwhm_px", [2.0, 4.0, 8.0])
def test_point_spread_has_its_width_and_defocus_dims_and_widens_it(fwhm_px: float) -> None:
    distances = np.linspace(0, 3 * fwhm_px, 200, dtype=np.float32)
    sharp, soft = spot_profile(distances, fwhm_px, 0.0), spot_profile(distances, fwhm_px, fwhm_px)
    half = 2 * distances[np.argmax(sharp < 0.5)]
    assert sharp[0] == pytest.approx(1.0, abs=0.01)
    assert half == pytest.approx(fwhm_px, rel=0.08)
    assert soft[0] < 0.75
    assert 2 * distances[np.argmax(soft < soft[0] / 2)] > 1.25 * half
