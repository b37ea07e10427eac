"""Each measure answers to its own defect, and its limit parts a good region from a bad one."""

from __future__ import annotations

import io
from typing import Any

import numpy as np
import pytest
from PIL import Image
from scipy.ndimage import gaussian_filter

from her2core.imaging.quality import LIMITS, advice, measure
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


DEFECTS: dict[str, tuple[dict[str, Any], set[str]]] = {
    "weak HER2 and CEP17": ({"signal": 4}, {"her2_signal_to_noise", "cep17_signal_to_noise"}),
    "glowing nuclei": ({"glow": 160, "signal": 40}, {"her2_signal_to_background", "cep17_signal_to_background"}),
    "glowing background": ({"background": 70, "dapi": 150}, {"her2_background_percent", "cep17_background_percent"}),
    "weak DAPI": ({"dapi": 5}, {"dapi_contrast"}),
    "overexposed DAPI": ({"dapi": 400}, {"dapi_saturated_percent"}),
    "overexposed probes": ({"signal": 2000}, {"her2_saturated_percent", "cep17_saturated_percent"}),
}


@pytest.mark.parametrize("name", DEFECTS)
def test_a_defect_breaks_its_limit(name: str) -> None:
    options, expected = DEFECTS[name]
    assert expected <= broken(fish(**options))


@pytest.mark.parametrize("channel", [0, 1])
def test_a_weak_probe_is_told_from_the_other(region: Pixels, channel: int) -> None:
    pixels = region.copy()
    pixels[:, :, channel] = fish(signal=4)[:, :, channel]
    assert broken(pixels) >= {("her2_signal_to_noise", "cep17_signal_to_noise")[channel]}
    assert ("cep17_signal_to_noise", "her2_signal_to_noise")[channel] not in broken(pixels)


def test_blur_lowers_focus_step_by_step_and_then_breaks_the_limit(region: Pixels) -> None:
    ratios = [measure(blurred(region, sigma))["focus_ratio"] or 0 for sigma in (0.1, 1, 2, 3, 4)]
    assert ratios == sorted(ratios, reverse=True)
    assert "focus_ratio" not in broken(blurred(region, 0.7))
    assert "focus_ratio" in broken(blurred(region, 4))


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
