"""The comparison of rendered with real pictures measures what it says."""

from __future__ import annotations

import io
from pathlib import Path

import numpy as np
import pytest
from PIL import Image
from scipy.ndimage import gaussian_filter

from benchmarks import looks
from benchmarks.looks import MEASURES, Field, compare, contact_sheet, look_of, nuclei_by_stain, table
from her2core.records import Box

WIDTH = 80
CENTRES = [(x, y) for y in (70, 190, 310) for x in (70, 190, 310)]
BOXES: list[Box] = [(x - 40.0, y - 40.0, x + 40.0, y + 40.0) for x, y in CENTRES]


def _picture(
    *, noise: float = 1.5, fwhm_px: float = 5.0, spots: int = 2, bleed: float = 0.0, rim: float = 0.0
) -> looks.Pixels:
    """Nine round nuclei 80 px wide, blue 120 over 10, red spots of 90 levels on red 20 over 12, green empty."""
    rng = np.random.default_rng(3)
    ys, xs = np.mgrid[:380, :380].astype(float)
    planes = np.zeros((3, 380, 380))
    planes[0] += 12
    planes[1] += 6
    planes[2] += 10
    for x, y in CENTRES:
        radius = np.hypot(xs - x, ys - y)
        wave = np.sin(xs / 9) * np.cos(ys / 7)
        planes[2] += (radius < 40) * (110 + 15 * wave) + rim * (np.abs(radius - 35.5) < 3.5)
        planes[0] += (radius < 40) * (20 + 15 * bleed * wave)
        for k in range(spots):
            d2 = (xs - x - 16 * np.cos(2.1 * k)) ** 2 + (ys - y - 16 * np.sin(2.1 * k)) ** 2
            planes[0] += 90 * np.exp(-d2 / (2 * (fwhm_px / 2.355) ** 2))
    planes += rng.normal(0, noise, planes.shape)
    return np.asarray(np.clip(np.moveaxis(planes, 0, 2), 0, 255) + 0.5, np.uint8)


def test_known_picture_is_measured_right() -> None:
    look = look_of(Field("known", _picture(), BOXES))
    assert set(look) == {m.key for m in MEASURES}
    assert look["width"] == WIDTH and look["width_spread"] == 0
    assert look["dapi"] == pytest.approx(110, abs=4)
    assert look["glow_red"] == pytest.approx(20, abs=3)
    assert look["glow_green"] == pytest.approx(0, abs=2)
    assert look["background_red"] == pytest.approx(12, abs=2)
    assert look["background_blue"] == pytest.approx(10, abs=2)
    assert look["spots_red"] == pytest.approx(2, abs=0.15)
    assert look["spots_green"] == 0 and np.isnan(look["fwhm_green"])
    assert look["peak_red"] == pytest.approx(85, abs=12)
    assert look["noise"] == pytest.approx(1.5, rel=0.15)
    assert look["rim"] == pytest.approx(1, abs=0.1)
    assert abs(look["crosstalk_green"]) < 0.15


@pytest.mark.parametrize("fwhm_px", [3.5, 5.0, 7.0])
def test_spot_width_follows_the_spots(fwhm_px: float) -> None:
    look = look_of(Field("spots", _picture(fwhm_px=fwhm_px), BOXES))
    assert look["fwhm_red"] / 100 * WIDTH == pytest.approx(fwhm_px, rel=0.2)


@pytest.mark.parametrize(
    ("key", "plain", "changed"),
    [
        ("crosstalk_red", {"spots": 0}, {"spots": 0, "bleed": 1.0}),
        ("rim", {}, {"rim": 90.0}),
        ("noise", {}, {"noise": 5.0}),
        ("texture_red", {"spots": 0}, {"spots": 0, "bleed": 1.0}),
    ],
)
def test_measure_rises_with_what_it_measures(key: str, plain: dict[str, float], changed: dict[str, float]) -> None:
    before, after = (look_of(Field("x", _picture(**kwargs), BOXES))[key] for kwargs in (plain, changed))  # type: ignore[arg-type]
    assert after > before + 0.2


def test_weak_noise_gives_no_visible_spots() -> None:
    look = look_of(Field("empty", _picture(spots=0, noise=4), BOXES))
    assert look["spots_red"] <= 0.15 and look["spots_green"] <= 0.15


@pytest.mark.parametrize(
    "boxes", [[], [(-5.0, 0.0, 40.0, 40.0)], [(10.0, 10.0, 15.0, 80.0)], [(0.0, 0.0, 999.0, 40.0)]]
)
def test_field_without_whole_nuclei_is_refused(boxes: list[Box]) -> None:
    with pytest.raises(ValueError, match="no whole nucleus"):
        look_of(Field("nothing", _picture(), boxes))


def test_black_image_is_measured_without_complaint() -> None:
    look = look_of(Field("black", np.zeros((200, 200, 3), np.uint8), [(20.0, 20.0, 90.0, 90.0)]))
    assert look["dapi"] == 0 and look["spots_red"] == 0 and look["crosstalk_red"] == 0


def test_nuclei_are_found_by_their_stain() -> None:
    found = np.array(sorted(nuclei_by_stain(_picture())))
    assert found.shape == (9, 4)
    assert np.abs(found - np.array(sorted(BOXES))).max() <= 4


def _looks(**values: list[float]) -> list[dict[str, float]]:
    count = len(next(iter(values.values())))
    return [{m.key: values.get(m.key, [1.0] * count)[i] for m in MEASURES} for i in range(count)]


def test_values_outside_a_range_are_named() -> None:
    first = _looks(width=[50.0, 60, 70, 80, 90], fwhm_red=[np.nan] * 5)
    real = {"A": _looks(width=[120.0])[0], "B": _looks(width=[20.0])[0], "C": _looks(width=[70.0])[0]}
    rows = compare({"first": first}, real)
    width = rows[0]
    assert width.ranges["first"] == pytest.approx((52, 88))
    assert [width.outside("first", name) for name in "ABC"] == ["above", "below", ""]
    text = table(rows, {"first": 5})
    assert "**120** above" in text and "**20** below" in text and "| 70 |" in text
    assert "(A above)" in text


def test_without_real_fields_the_table_says_so(tmp_path: Path) -> None:
    assert looks.real_fields(tmp_path) == []
    text = table(compare({"first": _looks(width=[50.0, 60.0])}, {}), {"first": 2})
    assert "No real fields were at hand" in text and "Outside the range" not in text


def test_figure_is_a_png_even_where_a_style_shows_no_spots() -> None:
    first = _looks(width=[50.0, 60, 70], fwhm_red=[np.nan, 5.0, 6.0])
    data = looks.picture({"first": first}, {"A": _looks(width=[120.0])[0]})
    assert Image.open(io.BytesIO(data)).format == "PNG"


def test_contact_sheet_keeps_the_shape_of_what_it_shows() -> None:
    wide = np.zeros((100, 300, 3), np.uint8)
    wide[:, 100:200] = 255
    sheet = np.asarray(Image.open(io.BytesIO(contact_sheet([wide] * 4, tile=(120, 120), across=3))))
    assert sheet.shape == (240, 360, 3)
    assert sheet[60, 60].min() > 240 and gaussian_filter(sheet[180, 130:].astype(float), 1).max() < 15


@pytest.mark.parametrize("count", ["4", "0", "-3", "many"])
def test_senseless_numbers_of_regions_are_refused(count: str, capsys: pytest.CaptureFixture[str]) -> None:
    with pytest.raises(SystemExit):
        looks.main(["--count", count])
    assert "error" in capsys.readouterr().err
