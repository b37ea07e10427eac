"""The region image with what was found drawn over it, at full resolution, as PNG.

Shape says the same as colour, for whoever cannot tell the colours apart: scored nuclei have a whole frame and their
counts HER2/CEP17 above it, the others a dashed frame and no counts; HER2 signals are ringed, CEP17 signals squared.
A "?" marks counts that need a look, a "c" clustered HER2.
"""

from __future__ import annotations

import io
from collections.abc import Iterable
from statistics import median

import numpy as np
from numpy.typing import NDArray
from PIL import Image, ImageDraw, ImageFont

from her2core.records import Channel, Nucleus

__all__ = ["overlay_png"]

_SCORED = (255, 255, 255)
_UNCERTAIN = (255, 193, 7)
_NOT_SCORED = (150, 160, 175)
_SIGNAL = {Channel.HER2: (255, 120, 90), Channel.CEP17: (110, 255, 170)}
_SIGNAL_SHARE = 0.07  # half the width of a mark, as a share of the median nucleus
_LABEL_SHARE = 0.17  # height of a label, likewise


def overlay_png(pixels_rgb: NDArray[np.uint8], nuclei: Iterable[Nucleus]) -> bytes:
    """PNG of `pixels_rgb` (H, W, 3) with the boxes, counts and signals of `nuclei`; same size as the image."""
    image = Image.fromarray(np.ascontiguousarray(pixels_rgb))
    drawing = ImageDraw.Draw(image)
    found = sorted(nuclei, key=lambda n: n.scored)  # the scored ones last, on top
    if found:
        across_px = median(max(n.box[2] - n.box[0], n.box[3] - n.box[1]) for n in found)
        line_px = max(1, round(across_px / 60))
        font = ImageFont.load_default(size=float(np.clip(across_px * _LABEL_SHARE, 9, 40)))
        for nucleus in found:
            _draw(drawing, nucleus, max(2.0, across_px * _SIGNAL_SHARE), line_px, font)
    buffer = io.BytesIO()
    image.save(buffer, "PNG", compress_level=4)
    return buffer.getvalue()


def _draw(
    drawing: ImageDraw.ImageDraw,
    nucleus: Nucleus,
    mark_px: float,
    line_px: int,
    font: ImageFont.FreeTypeFont | ImageFont.ImageFont,
) -> None:
    colour = _NOT_SCORED if not nucleus.scored else _UNCERTAIN if nucleus.uncertain else _SCORED
    x0, y0, x1, y1 = nucleus.box
    frame = (x0, y0, max(x0, x1 - 1), max(y0, y1 - 1))
    if nucleus.scored:
        drawing.rectangle(frame, outline=colour, width=line_px)
    else:
        _dashed(drawing, frame, colour, line_px)
    for signal in nucleus.signals:
        around = (signal.x - mark_px, signal.y - mark_px, signal.x + mark_px, signal.y + mark_px)
        if signal.channel is Channel.HER2:
            drawing.ellipse(around, outline=_SIGNAL[signal.channel], width=line_px)
        else:
            drawing.rectangle(around, outline=_SIGNAL[signal.channel], width=line_px)
    if nucleus.scored:
        marks = ("c" if nucleus.clustered else "") + ("?" if nucleus.uncertain else "")
        text = f"{nucleus.her2}/{nucleus.cep17}{marks}"
        _, top, right, bottom = drawing.textbbox((0, 0), text, font=font)
        x = min(max(0.0, x0), max(0.0, drawing.im.size[0] - right - 1))
        y = y0 - bottom - 1 if y0 - bottom - 1 >= 0 else y0 + line_px + 1
        drawing.rectangle((x - 1, y + top - 1, x + right, y + bottom), fill=(0, 0, 0))
        drawing.text((x, y), text, fill=colour, font=font)


def _dashed(
    drawing: ImageDraw.ImageDraw, box: tuple[float, float, float, float], colour: tuple[int, int, int], line_px: int
) -> None:
    x0, y0, x1, y1 = box
    dash = 4.0 * line_px + 2
    for start in np.arange(x0, x1, 2 * dash):
        for y in (y0, y1):
            drawing.line((start, y, min(start + dash, x1), y), fill=colour, width=line_px)
    for start in np.arange(y0, y1, 2 * dash):
        for x in (x0, x1):
            drawing.line((x, start, x, min(start + dash, y1)), fill=colour, width=line_px)
