"""A small synthetic region, and files of every kind made of it by other libraries than ours: Pillow and tifffile."""

from __future__ import annotations

import io
import itertools
import struct
import zlib
from typing import Any

import numpy as np
import numpy.typing as npt
import tifffile
from PIL import Image

Pixels = npt.NDArray[np.uint8]


def fish(
    *,
    width: int = 480,
    height: int = 360,
    nucleus_px: float = 48,
    dapi: float = 120,
    signal: float = 90,
    signal_sigma_px: float = 1.6,
    glow: float = 20,
    background: float = 8,
    noise: float = 1.5,
    spacing: float = 1.3,
    seed: int = 0,
) -> Pixels:
    """Round nuclei on a grid, each with two HER2 and two CEP17 signals; levels are grey levels above `background`.

    `spacing` of the grid is in nucleus widths: below 1 nuclei overlap.
    """
    rng = np.random.default_rng(seed)
    picture = np.full((height, width, 3), background, np.float64)
    step, reach = spacing * nucleus_px, round(0.7 * nucleus_px)
    for y in np.arange(step * 0.6, height - step * 0.4, step):
        for x in np.arange(step * 0.6, width - step * 0.4, step):
            cx, cy = x + rng.uniform(-3, 3), y + rng.uniform(-3, 3)
            left, top = max(0, round(cx) - reach), max(0, round(cy) - reach)
            patch = picture[top : top + 2 * reach, left : left + 2 * reach]
            yy, xx = np.mgrid[top : top + patch.shape[0], left : left + patch.shape[1]]
            disc = np.clip(0.5 + (nucleus_px / 2 - np.hypot(xx - cx, yy - cy)) / 2, 0, 1)
            patch += disc[:, :, None] * np.array([glow, glow, dapi])
            for channel in (0, 0, 1, 1):
                angle, radius = rng.uniform(0, 2 * np.pi), rng.uniform(0.1, 0.33) * nucleus_px
                sx, sy = cx + radius * np.cos(angle), cy + radius * np.sin(angle)
                spot = np.exp(-((xx - sx) ** 2 + (yy - sy) ** 2) / (2 * signal_sigma_px**2))
                patch[:, :, channel] += signal * spot
    picture += rng.normal(0, noise, picture.shape)
    return np.clip(np.rint(picture), 0, 255).astype(np.uint8)


def with_pillow(pixels: npt.NDArray[Any], kind: str, mode: str | None = None, **options: Any) -> bytes:
    """The pixels in a file that Pillow writes."""
    image = Image.fromarray(pixels)
    buffer = io.BytesIO()
    (image if mode is None else image.convert(mode)).save(buffer, kind, **options)
    return buffer.getvalue()


def with_tifffile(pixels: npt.NDArray[Any], **options: Any) -> bytes:
    """The pixels in a file that tifffile writes."""
    buffer = io.BytesIO()
    tifffile.imwrite(buffer, pixels, **options)
    return buffer.getvalue()


def ome_tiff(channels: npt.NDArray[Any], names: list[str], um_per_px: float | None = 0.1, **options: Any) -> bytes:
    """(C, H, W) as an OME-TIFF with channel names."""
    metadata: dict[str, Any] = {"axes": "CYX", "Channel": {"Name": names}}
    if um_per_px is not None:
        metadata |= {"PhysicalSizeX": um_per_px, "PhysicalSizeXUnit": "µm"}
        metadata |= {"PhysicalSizeY": um_per_px, "PhysicalSizeYUnit": "µm"}
    return with_tifffile(channels, photometric="minisblack", ome=True, metadata=metadata, **options)


def png_chunk(kind: bytes, body: bytes) -> bytes:
    """A PNG chunk with its checksum."""
    return struct.pack(">I", len(body)) + kind + body + struct.pack(">I", zlib.crc32(kind + body))


def png_16(pixels: npt.NDArray[np.uint16], *extra_chunks: bytes) -> bytes:
    """A 16-bit RGB or RGBA PNG, which Pillow cannot write; each kind of line filter is left out but none and up."""
    height, width, bands = pixels.shape
    lines = [b"\0" + pixels[0].astype(">u2").tobytes()]
    for above, line in itertools.pairwise(pixels):
        a, b = (np.frombuffer(row.astype(">u2").tobytes(), np.uint8) for row in (above, line))
        lines.append(b"\2" + (b - a).tobytes())
    header = struct.pack(">IIBBBBB", width, height, 16, {3: 2, 4: 6}[bands], 0, 0, 0)
    chunks = [png_chunk(b"IHDR", header), *extra_chunks, png_chunk(b"IDAT", zlib.compress(b"".join(lines)))]
    return b"\x89PNG\r\n\x1a\n" + b"".join(chunks) + png_chunk(b"IEND", b"")
