"""Pictures for the screen: the region with chosen channels and brightness, and a nucleus large with its channels apart.

Arrays are uint8 (H, W, 3), red HER2, green CEP17, blue DAPI. Nothing here changes a number of the result.
"""

from __future__ import annotations

import base64
import io
from collections.abc import Collection, Sequence

import numpy as np
import numpy.typing as npt
from PIL import Image, ImageDraw, ImageFont

from her2core.marks import TO_COUNT, draw_box, draw_signal
from her2core.records import Box, Signal

__all__ = ["CHANNELS", "compose", "data_url", "nucleus_montage", "png", "thumbnail"]

Pixels = npt.NDArray[np.uint8]

CHANNELS = ("HER2", "CEP17", "DAPI")  # in the order of R, G, B

_MARGIN = 0.22  # of the box, so that the surroundings are seen
_GAP_PX = 4
_LABEL = (228, 233, 238)


def compose(pixels_rgb: Pixels, channels: Collection[str] = CHANNELS, gain: float = 1.0) -> Pixels:
    """The region with the chosen channels only, brightened by `gain`. One channel alone is drawn in grey, where the eye
    resolves most."""
    chosen = [index for index, name in enumerate(CHANNELS) if name in channels]
    if len(chosen) == 1:
        one = _brighten(pixels_rgb[:, :, chosen[0]], gain)
        return np.repeat(one[:, :, None], 3, axis=2)
    out = np.zeros_like(pixels_rgb)
    out[:, :, chosen] = _brighten(pixels_rgb[:, :, chosen], gain)
    return out


def data_url(pixels_rgb: Pixels, quality: int = 90) -> str:
    """The picture as a JPEG data URL, for plotly."""
    buffer = io.BytesIO()
    Image.fromarray(pixels_rgb).save(buffer, "JPEG", quality=quality, subsampling=0)
    return "data:image/jpeg;base64," + base64.b64encode(buffer.getvalue()).decode("ascii")


def png(pixels_rgb: Pixels) -> bytes:
    """The picture as PNG bytes."""
    buffer = io.BytesIO()
    Image.fromarray(pixels_rgb).save(buffer, "PNG")
    return buffer.getvalue()


def thumbnail(pixels_rgb: Pixels, width_px: int = 320) -> Pixels:
    """The region with its longer side at most `width_px`, in its own proportions."""
    if max(pixels_rgb.shape[:2]) <= width_px:
        return pixels_rgb
    image = Image.fromarray(pixels_rgb)
    image.thumbnail((width_px, width_px))
    return np.asarray(image)


def nucleus_montage(pixels_rgb: Pixels, box: Box, signals: Sequence[Signal], height_px: int = 252) -> Pixels:
    """One nucleus large with its signals marked, beside it the three channels apart, each stretched to its own maximum.

    Returns (height_px, about 1.33 x height_px, 3).
    """
    cut, origin = _cut_square(pixels_rgb, box)
    scale = height_px / cut.shape[0]
    large = Image.fromarray(cut).resize((height_px, height_px), Image.Resampling.BICUBIC)
    _mark(large, box, signals, origin, scale)
    small_px = (height_px - 2 * _GAP_PX) // 3
    sheet = Image.new("RGB", (height_px + _GAP_PX + small_px, height_px), (14, 18, 23))
    sheet.paste(large, (0, 0))
    draw = ImageDraw.Draw(sheet)
    font = ImageFont.load_default(size=12)
    for index, name in enumerate(CHANNELS):
        channel = cut[:, :, index]
        peak = max(int(channel.max()), 1)
        grey = Image.fromarray(_brighten(channel, 255.0 / peak)).resize((small_px, small_px), Image.Resampling.BICUBIC)
        corner = (height_px + _GAP_PX, index * (small_px + _GAP_PX))
        sheet.paste(Image.merge("RGB", (grey, grey, grey)), corner)
        draw.text((corner[0] + 4, corner[1] + 2), name, fill=_LABEL, font=font, stroke_width=2, stroke_fill=(0, 0, 0))
    return np.asarray(sheet)


def _brighten(values: Pixels, gain: float) -> Pixels:
    if gain == 1.0:
        return values
    table: Pixels = np.clip(np.arange(256) * gain, 0, 255).astype(np.uint8)
    brighter: Pixels = table[values]
    return brighter


def _cut_square(pixels_rgb: Pixels, box: Box) -> tuple[Pixels, tuple[int, int]]:
    """The square round a box with margin, black beyond the image edge, and its top left corner (x, y) in the image."""
    x0, y0, x1, y1 = box
    side = max(8, round(max(x1 - x0, y1 - y0) * (1 + 2 * _MARGIN)))
    left, top = round((x0 + x1) / 2 - side / 2), round((y0 + y1) / 2 - side / 2)
    out = np.zeros((side, side, 3), dtype=np.uint8)
    height, width = pixels_rgb.shape[:2]
    from_x, to_x = max(left, 0), min(left + side, width)
    from_y, to_y = max(top, 0), min(top + side, height)
    if from_x < to_x and from_y < to_y:
        out[from_y - top : to_y - top, from_x - left : to_x - left] = pixels_rgb[from_y:to_y, from_x:to_x]
    return out, (left, top)


def _mark(image: Image.Image, box: Box, signals: Sequence[Signal], origin: tuple[int, int], scale: float) -> None:
    """The box, circles round HER2 and diamonds round CEP17 signals."""
    draw = ImageDraw.Draw(image)
    x0, y0, x1, y1 = ((side - origin[index % 2]) * scale for index, side in enumerate(box))
    draw_box(draw, (x0, y0, x1, y1), TO_COUNT, 1.0)
    for signal in signals:
        draw_signal(draw, signal.channel, (signal.x - origin[0]) * scale, (signal.y - origin[1]) * scale, 9.0, 2)
