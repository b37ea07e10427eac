"""Small real things for the tests of stage 1: fields of ellipses and a tiny network."""

from __future__ import annotations

import json
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch
from numpy.typing import NDArray
from PIL import Image, ImageDraw

from her2core.detection.detector import DetectorConfig
from her2core.detection.yolo import YoloConfig, YoloV3

SIDES = ((16, 16), (20, 24), (28, 24), (32, 36), (40, 40), (48, 44), (56, 60), (72, 70), (96, 96))
ANCHORS = tuple((float(w), float(h)) for w, h in SIDES)
Field = tuple[NDArray[np.uint8], list[list[float]]]


@pytest.fixture(scope="session", autouse=True)
def one_thread() -> Iterator[None]:
    """Tiny networks: a second thread only waits, and on a busy machine for long."""
    before = torch.get_num_threads()
    torch.set_num_threads(1)
    yield
    torch.set_num_threads(before)


@pytest.fixture(scope="session")
def tiny_config() -> DetectorConfig:
    return DetectorConfig(YoloConfig(0.0625, ANCHORS))


@pytest.fixture
def tiny_model(tiny_config: DetectorConfig) -> YoloV3:
    torch.manual_seed(3)
    return YoloV3(tiny_config.yolo).eval()


@pytest.fixture(scope="session")
def ellipse_field() -> Callable[..., Field]:
    """field(seed, width, height, nucleus_px): blue ellipses that do not overlap, and their boxes."""

    def field(seed: int, width: int, height: int, nucleus_px: float) -> Field:
        rng = np.random.default_rng(seed)
        image = Image.new("RGB", (width, height), (4, 4, 10))
        draw = ImageDraw.Draw(image)
        boxes: list[list[float]] = []
        pitch = nucleus_px * 1.3
        for y in np.arange(2, height - pitch, pitch):
            for x in np.arange(2, width - pitch, pitch):
                if rng.random() < 0.3:
                    continue
                w, h = nucleus_px * rng.uniform(0.85, 1.15, 2)
                box = [float(x), float(y), float(x + w), float(y + h)]
                draw.ellipse(box, fill=(25, 20, int(rng.uniform(110, 220))))
                boxes.append(box)
        return np.array(image), boxes

    return field


@pytest.fixture(scope="session")
def truth_folder(tmp_path_factory: pytest.TempPathFactory, ellipse_field: Callable[..., Field]) -> Path:
    """Four images of four patients."""
    folder = tmp_path_factory.mktemp("truth")
    entries: list[dict[str, Any]] = []
    for i in range(4):
        pixels, boxes = ellipse_field(i, 400, 384, 40 + 20 * i)
        Image.fromarray(pixels).save(folder / f"{i}.png")
        entries.append({"image": f"{i}.png", "patient": f"p{i}", "group": 1, "nuclei": [{"box": b} for b in boxes]})
    (folder / "truth.json").write_text(json.dumps(entries))
    return folder
