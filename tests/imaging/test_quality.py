"""Each measure answers to its own defect, and its limit parts a good region from a bad one."""

from __future__ import annotations

import io
from typing import Any

import numpy as np
import pytest
from PIL import Image
from scipy.ndimage import gaussian_filter

from her2core.imaging import quality
from her2core.imaging.quality import LIMITS, advice, measure
from her2core.scoring import RejectionReason
from her2core.training.render import render_region
from tests.imaging.synthetic import Pixels, fish, with_pillow


def blurred(pixels: Pixels, sigma_px: float) -> Pixels:
    """Out of focus, with the camera's noise after the lens."""
    rng = np.random.default_rng(5)
    soft = gaussian_filter(pixels.astype(float), (sigma_px, sigma_px, 0)) + rng.normal(0, 1.5, pixels.shape)
    levels: Pixels = np.clip(np.rint(soft), 0, 255).astype(np.uint8)
    return levels


def through_jpeg(pixels: Pixels, quality: int) -> Pixels:
    """The pixels after a JPEG file."""
    with Image.open(io.BytesIO(with_pillow(pixels, "JPEG", quality=quality))) as image:
        decoded: Pixels = np.array(image)
        return decoded


def broken(pixels: Pixels) -> set[str]:
    """The measures that are outside their limits."""
    measures = measure(pixels)
    names = {limit.measure for limit in LIMITS if limit.broken_by(measures[limit.measure])}
    assert len(advice(measures)) == len(names)
    return names


def test_a_good_region_calls_for_no_advice(region: Pixels) -> None:
    assert advice(measure(region)) == ()


@pytest.mark.parametrize("nucleus_px", [40, 70, 120, 190])
def test_a_good_region_is_good_at_every_magnification(nucleus_px: int) -> None:
    pixels = fish(width=10 * nucleus_px, height=8 * nucleus_px, nucleus_px=nucleus_px, signal_sigma_px=nucleus_px / 30)
    measures = measure(pixels)
    assert advice(measures) == ()
    assert measures["nucleus_width_px"] == pytest.approx(nucleus_px, rel=0.25)


def test_every_limited_measure_is_measured(region: Pixels) -> None:
    measures = measure(region)
    assert set(measures) == {limit.measure for limit in LIMITS} | {"nucleus_width_px"}
    assert all(isinstance(value, float) for value in measures.values())


PROBES: dict[str, tuple[dict[str, Any], set[str]]] = {
    "weak": ({"signal": 4}, {"signal_to_noise", "signal_to_background"}),
    "glowing nuclei": ({"glow": 160, "signal": 40}, {"signal_to_background"}),
    "glowing background": ({"background": 70}, {"background_percent"}),
    "overexposed": ({"signal": 2000}, {"saturated_percent"}),
}


@pytest.mark.parametrize("channel", [0, 1])
@pytest.mark.parametrize("name", PROBES)
def test_a_defect_of_one_probe_breaks_the_limits_of_that_probe_only(region: Pixels, name: str, channel: int) -> None:
    options, expected = PROBES[name]
    pixels = region.copy()
    pixels[:, :, channel] = fish(**options)[:, :, channel]
    assert broken(pixels) == {f"{('her2', 'cep17')[channel]}_{measure}" for measure in expected}


@pytest.mark.parametrize("name", PROBES)
def test_a_defect_of_both_probes_breaks_the_limits_of_both(region: Pixels, name: str) -> None:
    options, expected = PROBES[name]
    pixels = region.copy()
    pixels[:, :, :2] = fish(**options)[:, :, :2]
    assert broken(pixels) == {f"{probe}_{measure}" for probe in ("her2", "cep17") for measure in expected}


@pytest.mark.parametrize(
    ("dapi", "expected"), [(5, {"dapi_contrast"}), (8, set()), (240, set()), (246, {"dapi_saturated_percent"})]
)
def test_dapi_too_weak_or_too_bright_breaks_its_own_limit_only(dapi: float, expected: set[str]) -> None:
    assert broken(fish(dapi=dapi)) == expected


# Just inside and just outside: where a limit moves, one of the two turns.
TURNS: dict[str, tuple[dict[str, Any], dict[str, Any]]] = {
    "signal_to_noise": ({"signal": 12}, {"signal": 9}),
    "signal_to_background": ({"signal": 12}, {"signal": 9}),
    "background_percent": ({"background": 50}, {"background": 52}),
    "saturated_percent": ({"signal": 400}, {"signal": 600}),
}


@pytest.mark.parametrize("channel", [0, 1])
@pytest.mark.parametrize("name", TURNS)
def test_the_limit_of_a_probe_turns_between_close_values(region: Pixels, name: str, channel: int) -> None:
    seen = []
    for options in TURNS[name]:
        pixels = region.copy()
        pixels[:, :, channel] = fish(**options)[:, :, channel]
        seen.append(f"{('her2', 'cep17')[channel]}_{name}" in broken(pixels))
    assert seen == [False, True]


def test_blur_lowers_focus_step_by_step_and_then_breaks_the_limit(region: Pixels) -> None:
    ratios = [measure(blurred(region, sigma))["focus_ratio"] or 0 for sigma in (0.1, 1, 2, 3, 4)]
    assert ratios == sorted(ratios, reverse=True)
    assert broken(blurred(region, 2)) == set()


def test_focus_turns_before_any_measure_of_signals_does(region: Pixels) -> None:
    """Nuclei are 48 pixels wide: the limit is a blur of 1/18 of a nucleus, at which signals still stand out."""
    assert broken(blurred(region, 2.4)) == set()
    assert broken(blurred(region, 2.8)) == {"focus_ratio"}
    assert broken(blurred(region, 3.4)) == {"focus_ratio"}
    assert {"focus_ratio", "her2_signal_to_noise", "cep17_signal_to_noise"} <= broken(blurred(region, 4))


def test_blur_weakens_signals(region: Pixels) -> None:
    sharp, soft = measure(region), measure(blurred(region, 4))
    for name in ("her2_signal_to_background", "cep17_signal_to_background"):
        assert (soft[name] or 0) < 0.7 * (sharp[name] or 0)


def test_jpeg_damage_is_seen_also_after_conversion(region: Pixels) -> None:
    values = [measure(through_jpeg(region, quality))["blockiness"] or 0 for quality in (100, 60, 30, 10)]
    assert values == sorted(values)
    assert "blockiness" not in broken(through_jpeg(region, 95))
    assert "blockiness" in broken(through_jpeg(region, 15))
    assert "blockiness" in broken(through_jpeg(region, 15)[3:-3, 5:-5])  # the blocks no longer begin at the corner


def test_an_image_without_nuclei_is_said_to_have_none() -> None:
    rng = np.random.default_rng(0)
    noise = np.clip(rng.normal(10, 2, (300, 400, 3)), 0, 255).astype(np.uint8)
    measures = measure(noise)
    assert measures["nuclear_area_percent"] == 0
    assert measures["her2_signal_to_noise"] is None
    assert any("Hardly any stained nuclei" in sentence for sentence in advice(measures))


@pytest.mark.parametrize("value", [0, 255])
@pytest.mark.parametrize("side", [1, 3, 7, 64])
def test_flat_and_tiny_images_are_measured_without_failing(value: int, side: int) -> None:
    measures = measure(np.full((side, side + 1, 3), value, np.uint8))
    assert measures["nuclear_area_percent"] == 0
    assert all(value is None or np.isfinite(value) for value in measures.values())


def test_measuring_leaves_the_pixels_alone(region: Pixels) -> None:
    pixels = region.copy()
    measure(pixels)
    assert np.array_equal(pixels, region)


def test_measures_that_are_missing_call_for_nothing() -> None:
    assert advice({}) == ()
    assert advice({limit.measure: None for limit in LIMITS}) == ()


def test_every_advice_is_a_sentence_of_its_own() -> None:
    assert len({limit.advice for limit in LIMITS}) == len(LIMITS)
    assert all(limit.advice.endswith(".") for limit in LIMITS)
    assert all((limit.at_least is None) != (limit.at_most is None) for limit in LIMITS)


# --- nuclei, autofluorescence, signals outside nuclei: on drawn and on rendered regions ------------------------------


def with_fibres(pixels: Pixels, share: float, level: int = 60) -> Pixels:
    """Stripes that glow in both probes, over a share of the height."""
    glowing = pixels.astype(int)
    thickness = 12
    for y in range(0, pixels.shape[0], round(thickness / share)) if share else ():
        glowing[y : y + thickness, :, :2] += level
    levels: Pixels = np.clip(glowing, 0, 255).astype(np.uint8)
    return levels


def with_dots_outside(pixels: Pixels, channel: int, number: int, sigma_px: float, level: float = 150) -> Pixels:
    """Signals at random places between nuclei."""
    rng = np.random.default_rng(3)
    dark = gaussian_filter(pixels[:, :, 2].astype(float), 6) < np.quantile(pixels[:, :, 2], 0.3)
    ys, xs = np.nonzero(dark)
    chosen = rng.choice(len(ys), number)
    dots = np.zeros(pixels.shape[:2])
    dots[ys[chosen], xs[chosen]] = level * 2 * np.pi * sigma_px**2
    glowing = pixels.astype(float)
    glowing[:, :, channel] += gaussian_filter(dots, sigma_px)
    levels: Pixels = np.clip(glowing, 0, 255).astype(np.uint8)
    return levels


@pytest.fixture(scope="module")
def rendered() -> Pixels:
    """The first rendered region of plain looks that nothing measured speaks against."""
    for attempt in range(40):
        pixels = render_region((77, attempt), 5, nucleus_px=(55, 80)).pixels_rgb
        if not advice(measure(pixels)):
            return pixels
    raise AssertionError("no plain region was rendered")


def test_nuclei_are_estimated_before_the_analysis() -> None:
    assert measure(fish())["estimated_nuclei"] == pytest.approx(7 * 5, abs=3)
    assert measure(fish(width=1400, height=1000, nucleus_px=140))["estimated_nuclei"] == pytest.approx(7 * 5, abs=3)


def test_fewer_than_twenty_nuclei_call_for_more_regions(rendered: Pixels) -> None:
    assert "estimated_nuclei" in broken(fish(width=230, height=230))
    assert "estimated_nuclei" in broken(rendered[: rendered.shape[0] // 3, : rendered.shape[1] // 3])
    assert "estimated_nuclei" not in broken(rendered)


def test_clumped_nuclei_are_told_from_free_ones() -> None:
    free, clumped = (measure(fish(spacing=spacing))["clumping"] or 0 for spacing in (1.3, 0.9))
    assert free < 1.3 < quality.MAX_CLUMPING < clumped


@pytest.mark.parametrize(("share", "breaks"), [(0.0, False), (0.1, True)])
def test_fibres_that_glow_in_both_probes_are_autofluorescence(rendered: Pixels, share: float, breaks: bool) -> None:
    assert ("autofluorescent_percent" in broken(with_fibres(rendered, share))) == breaks


def test_what_glows_in_one_probe_only_is_no_autofluorescence(rendered: Pixels) -> None:
    pixels = with_fibres(rendered, 0.1)
    pixels[:, :, 1] = rendered[:, :, 1]
    assert "autofluorescent_percent" not in broken(pixels)


@pytest.mark.parametrize("channel", [0, 1])
def test_signals_over_cytoplasm_are_told_from_those_in_nuclei(rendered: Pixels, channel: int) -> None:
    name = ("her2_outside_percent", "cep17_outside_percent")[channel]
    assert name not in broken(rendered)
    assert name in broken(with_dots_outside(rendered, channel, 80, 2.5))


def test_every_reason_that_pixels_can_show_is_mapped() -> None:
    mapped = {limit.rejects for limit in LIMITS}
    assert mapped == {None, *RejectionReason} - {RejectionReason.CONTROLS}
