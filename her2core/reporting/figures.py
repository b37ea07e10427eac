"""Pictures for the report: a region with its nuclei boxed, small enough to print.

The state of a nucleus is told by line and sign as well as by its colour (`her2core.marks`), so a copy in black and
white loses nothing.
"""

from __future__ import annotations

import io
from collections.abc import Collection, Iterable, Iterator

import numpy as np
import numpy.typing as npt
from PIL import Image, ImageDraw

from her2core.errors import ImageError
from her2core.marks import BOX_STYLES, BoxStyle, NucleusState, box_legend, draw_box, font, rgb, state_of_nucleus
from her2core.records import Box, Nucleus

__all__ = ["BOX_LEGEND", "overlay_thumbnail"]

BOX_LEGEND = f"{box_legend()} Numbers as in the list of nuclei, where there is room for them."

_BAR_UM = (1, 2, 5, 10, 20, 50, 100, 200, 500)
_BAR_MOST, _BAR_LEAST = 0.25, 0.05  # of the width
_QUALITY = 92

_RIM = BoxStyle("#000000", "black", "whole line", (), 3.0, "")
_UNIT = 0.75  # of the line: the pixel of the screen that the box styles are given in


def overlay_thumbnail(
    pixels_rgb: npt.NDArray[np.uint8],
    nuclei: Iterable[Nucleus],
    um_per_px: float | None,
    max_px: int = 1000,
    *,
    edited_ids: Collection[int] = (),
    crop: Box | None = None,
) -> bytes:
    """JPEG of a region, its longer side `max_px`, with a box for each nucleus; number and sign where there is room.

    `pixels_rgb` is uint8 (H, W, 3); `crop` (pixels of the region) shows only a part. A scale bar is drawn only where
    `um_per_px` is known. `edited_ids` are nuclei that a person confirmed, changed or added. Raises ImageError for other
    shapes.
    """
    if pixels_rgb.ndim != 3 or pixels_rgb.shape[2] != 3 or pixels_rgb.dtype != np.uint8 or not pixels_rgb.size:
        raise ImageError("A picture for the report needs 8-bit red, green and blue.")
    if max_px < 64:
        raise ImageError("A picture for the report needs at least 64 pixels.")
    x0, y0, x1, y1 = _window(pixels_rgb.shape[1], pixels_rgb.shape[0], crop)
    part = Image.fromarray(np.ascontiguousarray(pixels_rgb[y0:y1, x0:x1]))
    scale = max_px / max(part.size)  # a small region is blown up, so that lines and numbers print sharp
    size = (max(1, round(part.width * scale)), max(1, round(part.height * scale)))
    picture = part if size == part.size else part.resize(size, Image.Resampling.LANCZOS)
    draw = ImageDraw.Draw(picture)
    line = max(1, round(max(size) / 400))
    shown: dict[int, Box] = {}
    states: dict[int, NucleusState] = {}
    taken: list[Box] = []
    for nucleus in nuclei:
        left, top, right, bottom = ((v - o) * scale for v, o in zip(nucleus.box, (x0, y0, x0, y0), strict=True))
        if right > 0 and bottom > 0 and left < size[0] and top < size[1]:
            shown[nucleus.id] = (left, top, right, bottom)
            states[nucleus.id] = state_of_nucleus(nucleus, edited=nucleus.id in edited_ids)
            # A dark line beneath keeps every box visible on bright nuclei and in print.
            draw_box(draw, shown[nucleus.id], _RIM, line)
            draw_box(draw, shown[nucleus.id], BOX_STYLES[states[nucleus.id]], _UNIT * line)
    if um_per_px is not None and um_per_px > 0:
        taken += _scale_bar(draw, size, scale / um_per_px, line)
    _number(draw, shown, states, taken, size, line)
    buffer = io.BytesIO()
    picture.save(buffer, "JPEG", quality=_QUALITY, subsampling=0)
    return buffer.getvalue()


def _window(width: int, height: int, crop: Box | None) -> tuple[int, int, int, int]:
    """The part to show, whole pixels inside the image."""
    if crop is None:
        return 0, 0, width, height
    x0, y0 = max(0, int(crop[0])), max(0, int(crop[1]))
    x1, y1 = min(width, round(crop[2])), min(height, round(crop[3]))
    if x1 <= x0 or y1 <= y0:
        raise ImageError("The part of the image to show lies outside of it.")
    return x0, y0, x1, y1


def _number(
    draw: ImageDraw.ImageDraw,
    shown: dict[int, Box],
    states: dict[int, NucleusState],
    taken: list[Box],
    size: tuple[int, int],
    line: int,
) -> None:
    """Writes each number, with the sign of its state, at the first place in or at its box where they cover no other;
    none where there is no place."""
    others = np.array([*shown.values()], dtype=np.float64).reshape(-1, 4)
    filled = np.array(taken, dtype=np.float64).reshape(-1, 4)
    for number, box in shown.items():
        style, plain = BOX_STYLES[states[number]], states[number] is NucleusState.SCORED
        digits = f"{number}" if plain else f"{number} "
        text = digits if plain else digits + style.sign
        for height in (11 * line, 8 * line):
            written = font(height)
            left, top, right, bottom = draw.textbbox((0, 0), text, font=written, stroke_width=line)
            places = _places(box, right - left, bottom - top, 2 * line)
            free = [p for p in places if _inside(p, size) and not _overlaps(p, filled).any()]
            if free:
                at = min(free, key=lambda place: _ambiguity(place, box, others))
                # White in a black rim: readable on DAPI blue and on the black ground alike.
                where, white, black = (at[0] - left, at[1] - top), (255, 255, 255), (0, 0, 0)
                draw.text(where, digits, fill=white, font=written, stroke_width=line, stroke_fill=black)
                if not plain:
                    beside = (where[0] + draw.textlength(digits, font=written), where[1])
                    draw.text(beside, style.sign, fill=rgb(style), font=written, stroke_width=line, stroke_fill=black)
                filled = np.vstack([filled, at])
                break


def _places(box: Box, width: float, height: float, gap: int) -> Iterator[Box]:
    """Where the number of a box may stand, best first: in a corner of it, amid it, outside above, below and beside."""
    x0, y0, x1, y1 = box
    inside = ((x, y) for y in (y0 + gap, y1 - gap - height) for x in (x0 + gap, x1 - gap - width))
    amid = (((x0 + x1 - width) / 2, (y0 + y1 - height) / 2),)
    above = ((x0, y0 - gap - height), (x1 - width, y0 - gap - height))
    below = ((x0, y1 + gap), (x1 - width, y1 + gap))
    beside = ((x0 - gap - width, y0), (x1 + gap, y0))
    for x, y in (*inside, *amid, *above, *below, *beside):
        yield x, y, x + width, y + height


def _inside(place: Box, size: tuple[int, int]) -> bool:
    return place[0] >= 0 and place[1] >= 0 and place[2] <= size[0] and place[3] <= size[1]


def _ambiguity(place: Box, box: Box, boxes: npt.NDArray[np.float64]) -> int:
    """How easily a number there is read as another nucleus': boxes that it lies in, and whether it leaves its own."""
    leaves = place[0] < box[0] or place[1] < box[1] or place[2] > box[2] or place[3] > box[3]
    return int(_overlaps(place, boxes).sum()) + 3 * leaves


def _overlaps(place: Box, boxes: npt.NDArray[np.float64]) -> npt.NDArray[np.bool_]:
    """Which of `boxes` (N, 4) the place has a part of."""
    x0, y0, x1, y1 = place
    apart = (boxes[:, 2] <= x0) | (boxes[:, 0] >= x1) | (boxes[:, 3] <= y0) | (boxes[:, 1] >= y1)
    return np.asarray(~apart, dtype=np.bool_)


def _scale_bar(draw: ImageDraw.ImageDraw, size: tuple[int, int], px_per_um: float, line: int) -> list[Box]:
    """The longest round length that stays within a quarter of the width, bottom right; the place that it takes."""
    fitting = [um for um in _BAR_UM if _BAR_LEAST * size[0] <= um * px_per_um <= _BAR_MOST * size[0]]
    if not fitting:
        return []
    um = fitting[-1]
    length, height, margin = um * px_per_um, 3 * line, 8 * line
    x1, y1 = size[0] - margin, size[1] - margin
    written = font(11 * line)
    label = f"{um} µm"
    width = draw.textlength(label, font=written)
    ground = (min(x1 - length, x1 - width) - 4 * line, y1 - height - 16 * line, x1 + 4 * line, y1 + 4 * line)
    draw.rectangle(ground, fill=(0, 0, 0))
    draw.rectangle((x1 - length, y1 - height, x1, y1), fill=(255, 255, 255))
    draw.text((x1 - (length + width) / 2, y1 - height - 15 * line), label, fill=(255, 255, 255), font=written)
    return [ground]
