"""Regions of any size for timing: rendered fields, laid side by side and mirrored, as JPEG files and tiled TIFFs."""

from __future__ import annotations

import io
import zlib
from collections.abc import Iterator
from pathlib import Path

import numpy as np
import tifffile
from PIL import Image

from her2core.imaging import PixelsRGB
from her2core.training.render import render_dataset

__all__ = ["fields", "mosaic", "write_region", "write_tiled"]

_TILE_PX = 512
_PATCH_TILES = 8


def fields(folder: Path, count: int, seed: int = 20261124) -> list[PixelsRGB]:
    """Rendered fields uint8[H, W, 3]; the same for the same seed."""
    if not (folder / "truth.json").exists():
        render_dataset(folder, count, seed, mix="balanced", processes=2)
    paths = sorted(path for path in folder.rglob("*") if path.suffix in {".jpg", ".png", ".tif"})
    images = []
    for path in paths[:count]:
        with Image.open(path) as image:
            images.append(np.asarray(image.convert("RGB")))
    return images


def mosaic(pieces: list[PixelsRGB], width_px: int, height_px: int, first: int = 0) -> PixelsRGB:
    """A region of a size from fields in turn, from number `first` on, every other one mirrored."""
    rows, number, height = [], first, 0
    while height < height_px:
        row: list[PixelsRGB] = []
        while sum(piece.shape[1] for piece in row) < width_px:
            piece = pieces[number % len(pieces)]
            row.append(piece[:, ::-1] if number // len(pieces) % 2 else piece)
            number += 1
        tall = min(piece.shape[0] for piece in row)
        rows.append(np.concatenate([piece[:tall] for piece in row], axis=1)[:, :width_px])
        height += tall
    return np.ascontiguousarray(np.concatenate(rows)[:height_px])


def write_region(path: Path, pixels_rgb: PixelsRGB) -> Path:
    """As a JPEG file, as microscopes export them."""
    buffer = io.BytesIO()
    Image.fromarray(pixels_rgb).save(buffer, "JPEG", quality=95)
    path.write_bytes(buffer.getvalue())
    return path


def write_tiled(path: Path, pieces: list[PixelsRGB], width_px: int, height_px: int) -> Path:
    """As a tiled TIFF, as scanners export them: a mosaic of 4096 px again and again, tile by tile."""
    side = _TILE_PX * _PATCH_TILES
    patch = mosaic(pieces, side, side)
    coded = [
        [
            zlib.compress(np.ascontiguousarray(patch[y : y + _TILE_PX, x : x + _TILE_PX]).tobytes(), 1)
            for x in range(0, side, _TILE_PX)
        ]
        for y in range(0, side, _TILE_PX)
    ]

    def tiles() -> Iterator[bytes]:
        for row in range(-(-height_px // _TILE_PX)):
            for column in range(-(-width_px // _TILE_PX)):
                yield coded[row % _PATCH_TILES][column % _PATCH_TILES]

    tifffile.imwrite(
        path, tiles(), shape=(height_px, width_px, 3), dtype=np.uint8, tile=(_TILE_PX, _TILE_PX), photometric="rgb",
        compression="zlib", bigtiff=True, metadata=None,
    )  # fmt: skip
    return path
