"""The region image with what was found drawn over it, at full resolution, as PNG.

Boxes and signals are drawn as on the screen and in the report (`her2core.marks`). Scored nuclei have their counts
HER2/CEP17 above the box; the sign of its state stands beside them, that of clustered HER2 behind the HER2 count.
"""

from __future__ import annotations

import io
from collections.abc import Iterable
from statistics import median

import numpy as np
from numpy.typing import NDArray
from PIL import Image, ImageDraw, ImageFont

from her2core.marks import (
    BOX_STYLES,
    COUNTS_LEGEND,
    NucleusState,
    box_legend,
    counts_label,
    draw_box,
    draw_signal,
    font,
    rgb,
    state_of_nucleus,
)
from her2core.records import Nucleus

__all__ = ["OVERLAY_LEGEND", "overlay_png"]

OVERLAY_LEGEND = (
    f"{box_legend(*(state for state in NucleusState if state is not NucleusState.EDITED))} "
    f"Circles: HER2 signals; diamonds: CEP17 signals. {COUNTS_LEGEND}"
)

_UNIT = 0.65  # of the line: the pixel of the screen that the box styles are given in
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
        label = font(int(np.clip(across_px * _LABEL_SHARE, 9, 40)))
        for nucleus in found:
            _draw(drawing, nucleus, max(2.0, across_px * _SIGNAL_SHARE), line_px, label)
    buffer = io.BytesIO()
    image.save(buffer, "PNG", compress_level=4)
    return buffer.getvalue()


def _draw(
    drawing: ImageDraw.ImageDraw, nucleus: Nucleus, mark_px: float, line_px: int, label: ImageFont.FreeTypeFont
) -> None:
    state = state_of_nucleus(nucleus)
    style = BOX_STYLES[state]
    x0, y0, x1, y1 = nucleus.box
    draw_box(drawing, (x0, y0, max(x0, x1 - 1), max(y0, y1 - 1)), style, _UNIT * line_px)
    for signal in nucleus.signals:
        draw_signal(drawing, signal.channel, signal.x, signal.y, mark_px, line_px)
    text = _label(nucleus, state)
    _, top, right, bottom = drawing.textbbox((0, 0), text, font=label)
    x = min(max(0.0, x0), max(0.0, drawing.im.size[0] - right - 1))
    y = y0 - bottom - 1 if y0 - bottom - 1 >= 0 else y0 + line_px + 1
    drawing.rectangle((x - 1, y + top - 1, x + right, y + bottom), fill=(0, 0, 0))
    drawing.text((x, y), text, fill=rgb(style), font=label)


def _label(nucleus: Nucleus, state: NucleusState) -> str:
    """The counts of a scored nucleus and the sign of its state; that of a cluster stands with the HER2 count alone."""
    counts = [counts_label(nucleus.her2, nucleus.cep17, clustered=nucleus.clustered)] if nucleus.scored else []
    plain = state in (NucleusState.SCORED, NucleusState.CLUSTERED)
    return " ".join(counts if plain else [*counts, BOX_STYLES[state].sign])
