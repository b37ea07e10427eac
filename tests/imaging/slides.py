"""Whole slides for tests and benchmarks: tiles of synthetic tissue of known kinds, written one after the other."""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from functools import cache
from pathlib import Path
from typing import Any, Final

import numpy as np
import numpy.typing as npt
import tifffile
from scipy import ndimage

from tests.imaging.synthetic import Pixels, fish

__all__ = ["KINDS", "PATCH_PX", "UM_PER_PX", "patch", "slide_plan", "write_slide"]

PATCH_PX: Final = 1024
UM_PER_PX: Final = 0.2

KINDS: Final[Mapping[str, Mapping[str, Any]]] = {
    "good": {"nucleus_px": 56, "spacing": 1.5},
    "sparse": {"nucleus_px": 56, "spacing": 4.0},
    "weak": {"nucleus_px": 56, "spacing": 1.5, "signal": 5},
    "small": {"nucleus_px": 26, "spacing": 1.6},
    "crowded": {"nucleus_px": 56, "spacing": 0.62},
    "blurred": {"nucleus_px": 56, "spacing": 1.5},
    "empty": {"nucleus_px": 56, "spacing": 100.0},
}
"""Good: large nuclei apart. The others are less: few, without visible signals, too small, on each other, out of focus,
or nothing."""


@cache
def patch(kind: str, seed: int = 0) -> Pixels:
    """1024 x 1024 pixels of one kind of tissue."""
    pixels = fish(width=PATCH_PX, height=PATCH_PX, seed=seed, **KINDS[kind])
    if kind == "blurred":
        blurred = ndimage.gaussian_filter(pixels.astype(np.float32), (5, 5, 0))
        noise = np.random.default_rng(seed).normal(0, 1.5, blurred.shape)
        pixels = np.clip(np.rint(blurred + noise), 0, 255).astype(np.uint8)
    return pixels


def slide_plan(patches: int, seed: int = 0) -> list[list[str]]:
    """A kind for each of `patches` x `patches`: mostly empty glass and poor tissue, here and there good."""
    chance = np.random.default_rng(seed)
    names = ["empty", "sparse", "weak", "small", "crowded", "blurred", "good"]
    drawn = chance.choice(len(names), size=(patches, patches), p=[0.4, 0.1, 0.1, 0.1, 0.1, 0.1, 0.1])
    return [[names[number] for number in row] for row in drawn]


def write_slide(
    path: Path, plan: list[list[str]], *, tile_px: int = 512, levels: int = 0, sixteen: bool = False, ome: bool = False
) -> Path:
    """A tiled TIFF of the patches of a plan, with so many levels below it, each half as large. Deflate, 0.2 µm/px.

    `ome`: OME-TIFF of three named 16- or 8-bit channels in the order DAPI, HER2, CEP17; otherwise one RGB image.
    Tiles are made as they are written: memory does not depend on the size of the slide.
    """
    side = PATCH_PX * len(plan)
    dtype = np.uint16 if sixteen else np.uint8
    scale: dict[str, Any] = {"resolution": (1e4 / UM_PER_PX, 1e4 / UM_PER_PX), "resolutionunit": "CENTIMETER"}
    metadata: dict[str, Any] | None = None
    if ome:
        metadata = {
            "axes": "CYX", "Channel": {"Name": ["DAPI", "HER2", "CEP17"]},
            "PhysicalSizeX": UM_PER_PX, "PhysicalSizeXUnit": "µm",
            "PhysicalSizeY": UM_PER_PX, "PhysicalSizeYUnit": "µm",
        }  # fmt: skip
    with tifffile.TiffWriter(path, bigtiff=True, ome=ome) as file:
        for level in range(levels + 1):
            size = side >> level
            file.write(
                _tiles(plan, size, level, tile_px, dtype, planes=ome),
                shape=(3, size, size) if ome else (size, size, 3), dtype=dtype, tile=(tile_px, tile_px),
                photometric="minisblack" if ome else "rgb", compression="zlib", compressionargs={"level": 1},
                subifds=levels if level == 0 and levels else None, subfiletype=1 if level else 0,
                metadata=metadata if level == 0 else None, **scale,
            )  # fmt: skip
    return path


def _tiles(
    plan: list[list[str]], size: int, level: int, tile_px: int, dtype: type, *, planes: bool
) -> Iterator[npt.NDArray[Any]]:
    across = -(-size // tile_px)
    for channel in (2, 0, 1) if planes else (None,):
        for row in range(across):
            for column in range(across):
                window = _window(plan, column * tile_px, row * tile_px, tile_px, size, level)
                pixels: npt.NDArray[Any] = window.astype(dtype)
                if dtype is np.uint16:
                    pixels = pixels * np.uint16(14) + np.uint16(200)
                yield pixels if channel is None else np.ascontiguousarray(pixels[:, :, channel])


def _window(plan: list[list[str]], left: int, top: int, tile_px: int, size: int, level: int) -> Pixels:
    """(tile, tile, 3) of a level; black beyond the slide."""
    side = PATCH_PX >> level
    out = np.zeros((tile_px, tile_px, 3), np.uint8)
    for row in range(top // side, -(-min(top + tile_px, size) // side)):
        for column in range(left // side, -(-min(left + tile_px, size) // side)):
            small = _small(plan[row][column], (3 * row + 7 * column) % 4, level)
            y0, x0 = max(top, row * side), max(left, column * side)
            y1, x1 = min(top + tile_px, (row + 1) * side), min(left + tile_px, (column + 1) * side)
            out[y0 - top : y1 - top, x0 - left : x1 - left] = small[
                y0 - row * side : y1 - row * side, x0 - column * side : x1 - column * side
            ]
    return out


@cache
def _small(kind: str, seed: int, level: int) -> Pixels:
    factor = 1 << level
    pixels = patch(kind, seed).astype(np.uint16)
    side = PATCH_PX // factor
    small: Pixels = pixels.reshape(side, factor, side, factor, 3).mean(axis=(1, 3)).astype(np.uint8)
    return small
