"""Stage 1 in 8 bits: boxes as in float32, nearly, and to the last bit alike on every device."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest
import torch

from benchmarks.arithmetic import without_instructions
from her2core.detection.detector import Detector, DetectorConfig
from her2core.detection.quick import QuickYolo, detector_ranges
from her2core.detection.yolo import YoloV3, fused
from her2core.eight_bits import RANGES, Convolution, Levels, read_ranges, without_ranges
from her2core.errors import ModelError
from her2core.models import load_weights, save_weights

from .conftest import Field

WEIGHTS = Path(__file__).parents[2] / "models" / "detector.safetensors"
CPU = torch.device("cpu")


@pytest.fixture(scope="module")
def detector() -> Detector:
    return Detector.load(WEIGHTS)[0]


@pytest.fixture(scope="module")
def in_float32(tmp_path_factory: pytest.TempPathFactory) -> Detector:
    state, card = load_weights(WEIGHTS)
    card["config"] = without_ranges(card["config"])
    path = tmp_path_factory.mktemp("plain") / "detector.safetensors"
    save_weights(path, state, card)
    return Detector.load(path)[0]


def images(height: int = 64, width: int = 96) -> torch.Tensor:
    torch.manual_seed(7)
    return torch.rand(2, 3, height, width).contiguous(memory_format=torch.channels_last)


def levels_of(model: YoloV3) -> Mapping[str, Levels]:
    with torch.inference_mode():
        return read_ranges(detector_ranges(model, lambda plain: plain(images())))


def test_the_committed_detector_works_in_8_bits(detector: Detector) -> None:
    assert isinstance(detector._model, QuickYolo)


def test_its_maps_are_those_of_the_network_within_what_8_bits_resolve(tiny_model: YoloV3) -> None:
    quick = QuickYolo(tiny_model, levels_of(tiny_model), CPU)
    with torch.inference_mode():
        for plain, found in zip(tiny_model(images()), quick(images()), strict=True):
            assert found.shape == plain.shape
            assert float((found - plain).abs().mean()) < 0.2 * float((plain - plain.mean((0, 2, 3), True)).std()) + 1e-3


def test_a_device_without_the_instructions_makes_the_same_maps_to_the_last_bit(tiny_model: YoloV3) -> None:
    levels = levels_of(tiny_model)
    here = QuickYolo(tiny_model, levels, CPU)
    with without_instructions():
        there = QuickYolo(tiny_model, levels, CPU)
    with torch.inference_mode():
        assert all(torch.equal(a, b) for a, b in zip(here(images()), there(images()), strict=True))


@pytest.mark.parametrize("unit", [1.0, 0.037])
def test_an_exact_convolution_is_near_the_true_one_and_the_same_everywhere(unit: float) -> None:
    torch.manual_seed(1)
    conv = torch.nn.Conv2d(8, 16, 3, padding=1).requires_grad_(False)
    came = Levels.spanning(-0.3, 2.1)
    features = torch.randint(0, 256, (2, 8, 12, 12), dtype=torch.uint8).contiguous(memory_format=torch.channels_last)
    exact = Convolution(conv, came, CPU, unit)(features)
    plain = torch.nn.functional.conv2d(came.values(features), conv.weight, conv.bias, padding=1) / unit
    assert float((exact - plain).abs().max()) < 0.03 * float(plain.std())
    with without_instructions():
        assert torch.equal(Convolution(conv, came, CPU, unit)(features), exact)
    used = Convolution(conv, came, CPU, unit)  # nothing is rounded: powers of two times whole numbers
    assert set(torch.frexp(used._scales).mantissa.tolist()) == {0.5}
    assert torch.equal((used._bias / used._scales).round() * used._scales, used._bias)


def test_nuclei_are_found_where_float32_finds_them(
    detector: Detector, in_float32: Detector, ellipse_field: Callable[..., Field]
) -> None:
    pixels, boxes = ellipse_field(2, 500, 400, 60)
    eight, plain = (
        np.array(sorted(d.box_xyxy for d in chosen.detect(pixels) if d.score > 0.5))
        for chosen in (detector, in_float32)
    )
    assert len(eight) == len(plain) > 0.8 * len(boxes)
    near = np.abs(eight[:, None] - plain[None]).max(2).min(1)  # px of nuclei 60 px wide
    assert np.median(near) < 2
    assert near.max() < 8


def test_ranges_survive_a_card_and_a_layer_without_is_refused(tiny_model: YoloV3, tiny_config: DetectorConfig) -> None:
    assert DetectorConfig.from_dict(tiny_config.to_dict()).ranges is None
    with torch.inference_mode():
        ranges = detector_ranges(tiny_model, lambda plain: plain(images()))
    assert ranges["backbone.stem.conv"] == (0.0, 1.0)  # the 256 levels of an image, whatever those that were seen
    config = replace(tiny_config, ranges=ranges)
    assert DetectorConfig.from_dict(config.to_dict()) == config
    assert set(ranges) == {name for name, m in fused(tiny_model).named_modules() if isinstance(m, torch.nn.Conv2d)}
    few = {name: ends for name, ends in ranges.items() if name != "lateral8.conv"}
    with pytest.raises(ModelError, match=r"no range .*lateral8"):
        Detector(tiny_model, replace(config, ranges=few))
    for spoilt in ({"a": 1}, {"a": [1]}, "wide"):
        with pytest.raises(ValueError, match="detector configuration"):
            DetectorConfig.from_dict(tiny_config.to_dict() | {RANGES: spoilt})
