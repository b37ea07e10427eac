"""Recipes that stand in for the models: quick, and if wanted deadly. The workers are real processes."""

from __future__ import annotations

import io
import os
import signal
import time
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path

import numpy as np
from PIL import Image

from her2core.errors import WeightsMissingError
from her2core.imaging import DEFAULT_LIMITS, ImageLimits, PixelsRGB, WindowedPixels
from her2core.records import Channel, ModelUsed, Nucleus, RegionAnalysis, Signal, models_dict

__all__ = ["DEADLY", "MODELS", "Missing", "Quick", "expected", "png"]

MODELS = (
    ModelUsed("detector", "stand-in", "1", "a" * 64),
    ModelUsed("counter", "stand-in", "1", "b" * 64, "density"),
)
DEADLY = 251
"""The number of the image that ends every process which analyses it."""


def png(path: Path, number: int, side: int = 64) -> Path:
    """An image with separate channels; its first pixels are the number, so that each is another image."""
    y, x = np.mgrid[:side, :side]
    pixels = np.stack([x % 97, y % 83, 90 + 60 * ((x // 20 + y // 20) % 2)], axis=2).astype(np.uint8)
    pixels[0, 0] = (number % 250, number // 250, 120)
    buffer = io.BytesIO()
    Image.fromarray(pixels).save(buffer, "PNG")
    path.parent.mkdir(parents=True, exist_ok=True)
    path.write_bytes(buffer.getvalue())
    return path


def expected(number: int) -> tuple[int, int]:
    """Nuclei and HER2 signals that `Quick` finds in the image of a number."""
    nuclei = 1 + number % 5
    return nuclei, nuclei * (2 + number % 7)


@dataclass(frozen=True)
class Quick:
    """Finds what `expected` says. `seconds`: how long it takes; `log`: a folder where each analysis leaves a file."""

    seconds: float = 0.0
    log: Path | None = None
    models: tuple[ModelUsed, ...] = MODELS
    limits: ImageLimits = DEFAULT_LIMITS

    def identity(self) -> dict[str, object]:
        return {"models": models_dict(MODELS), "clusters": False}

    def open(self) -> Callable[[PixelsRGB | WindowedPixels], RegionAnalysis]:
        return self.analyse

    def analyse(self, pixels_rgb: PixelsRGB | WindowedPixels) -> RegionAnalysis:
        first = pixels_rgb[:1, :1][0, 0]
        number = int(first[0]) + 250 * int(first[1])
        if self.log is not None:
            (self.log / f"{number}-{time.monotonic_ns()}").touch()
        time.sleep(self.seconds)
        if number == DEADLY:
            os.kill(os.getpid(), signal.SIGKILL)
        if number == 66:
            raise RuntimeError("out of memory")
        found, her2 = expected(number)
        box = (20.0, 10.0, 60.0, 50.0)
        signals = (Signal(Channel.HER2, 30.0, 30.5),)
        nuclei = tuple(
            Nucleus(i + 1, box, 0.9, her2 // found, 2, 6.1, 2.2, False, True, None, signals) for i in range(found)
        )
        return RegionAnalysis(64, 64, nuclei, self.models, {"focus": 0.7, "snr": None}, "cpu", 0.1)


@dataclass(frozen=True)
class Missing(Quick):
    """The weights are not there."""

    def open(self) -> Callable[[PixelsRGB | WindowedPixels], RegionAnalysis]:
        raise WeightsMissingError("Restore the folder 'models' from the release.")
