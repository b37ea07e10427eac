"""Images of any size in bounded memory: tiles with overlap, and one list of boxes out of many tiles'."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
import torch
from numpy.typing import NDArray
from PIL import Image
from torch import Tensor
from torchvision.ops import nms

from her2core.records import Box

__all__ = ["Tile", "clip", "merge", "plan", "read_tile", "round_up"]

SINGLE_TILE_PX = 1_600_000
TILE_PX = 640
OVERLAP_PX = 128
_TOUCHING_PX = 2.0
_OFF_CORE_RANK = 0.5  # of two sightings of one nucleus the one further inside its tile is kept


@dataclass(frozen=True, slots=True)
class Tile:
    """A window of the scaled image, in its pixels; `inner` = which of its sides (left, top, right, bottom) lie inside
    the image, so that a nucleus may be cut there."""

    x0: int
    y0: int
    x1: int
    y1: int
    inner: tuple[bool, bool, bool, bool]


def round_up(value: int, multiple: int = 32) -> int:
    """The smallest multiple that is at least `value` (and at least one multiple)."""
    return max(1, -(-value // multiple)) * multiple


def _spans(length: int) -> list[tuple[int, int]]:
    """Starts and ends of as few tiles as cover the length, none longer than they have to be."""
    count = max(1, -(-(length - OVERLAP_PX) // (TILE_PX - OVERLAP_PX)))
    side = min(round_up(-(-(length + (count - 1) * OVERLAP_PX) // count)), length)
    starts = [round(i * (length - side) / max(count - 1, 1)) for i in range(count)]
    return [(start, start + side) for start in starts]


def plan(width_px: int, height_px: int) -> list[Tile]:
    """Tiles that cover width x height: one for at most 1.6 Mpx, else of up to 640 px that overlap by 128 px or more."""
    if width_px * height_px <= SINGLE_TILE_PX:
        return [Tile(0, 0, width_px, height_px, (False, False, False, False))]
    return [
        Tile(x0, y0, x1, y1, (x0 > 0, y0 > 0, x1 < width_px, y1 < height_px))
        for y0, y1 in _spans(height_px)
        for x0, x1 in _spans(width_px)
    ]


def read_tile(pixels_rgb: NDArray[np.uint8], tile: Tile, scale: float) -> NDArray[np.uint8]:
    """The tile's pixels (h, w, 3) uint8, of the image resized by `scale`, without resizing the whole image.

    Shrinking averages over the pixels that fall together.
    """
    height, width = pixels_rgb.shape[:2]
    x0, y0 = tile.x0 / scale, tile.y0 / scale
    x1, y1 = min(tile.x1 / scale, width), min(tile.y1 / scale, height)
    # some pixels more on each side, so that the resampling filter sees the same neighbours as in the whole image
    margin = 2 + round(2 / scale)
    left, top = max(int(x0) - margin, 0), max(int(y0) - margin, 0)
    cut = pixels_rgb[top : min(int(y1) + margin, height), left : min(int(x1) + margin, width)]
    box = (max(x0 - left, 0.0), max(y0 - top, 0.0), min(x1 - left, cut.shape[1]), min(y1 - top, cut.shape[0]))
    size = (tile.x1 - tile.x0, tile.y1 - tile.y0)
    resized = Image.fromarray(np.ascontiguousarray(cut)).resize(size, Image.Resampling.BILINEAR, box=box)
    return np.asarray(resized)


def _touches(boxes: Tensor, tile: Tile) -> Tensor:
    """Bool Tensor[D]: boxes_xyxy (scaled px) that reach a side of the tile that cuts through the image."""
    left, top, right, bottom = tile.inner
    touching = torch.zeros(len(boxes), dtype=torch.bool)
    if left:
        touching |= boxes[:, 0] <= tile.x0 + _TOUCHING_PX
    if top:
        touching |= boxes[:, 1] <= tile.y0 + _TOUCHING_PX
    if right:
        touching |= boxes[:, 2] >= tile.x1 - _TOUCHING_PX
    if bottom:
        touching |= boxes[:, 3] >= tile.y1 - _TOUCHING_PX
    return touching


def _off_core(boxes: Tensor, tile: Tile) -> Tensor:
    """Bool Tensor[D]: boxes whose centre lies in the outer half of the overlap, where the next tile sees better."""
    edge = OVERLAP_PX / 2
    cx, cy = (boxes[:, 0] + boxes[:, 2]) / 2, (boxes[:, 1] + boxes[:, 3]) / 2
    left, top, right, bottom = tile.inner
    return (
        ((cx < tile.x0 + edge) & left)
        | ((cy < tile.y0 + edge) & top)
        | ((cx > tile.x1 - edge) & right)
        | ((cy > tile.y1 - edge) & bottom)
    )


def merge(found: list[tuple[Tile, Tensor, Tensor]], nms_iou: float) -> tuple[Tensor, Tensor]:
    """One list out of (tile, boxes_xyxy Tensor[D, 4] in scaled px of the image, scores Tensor[D]) of all tiles.

    Non-maximum suppression at `nms_iou` over all tiles. In the overlap, the detection further from its tile's inner
    border wins; a box cut by an inner border stays only where no whole one covers more than half of it.
    Returns boxes and scores by falling score.
    """
    if not found:
        return torch.zeros((0, 4)), torch.zeros(0)
    boxes = torch.cat([b for _, b, _ in found])
    scores = torch.cat([s for _, _, s in found])
    cut = torch.cat([_touches(b, tile) for tile, b, _ in found])
    off = torch.cat([_off_core(b, tile) for tile, b, _ in found])
    kept = nms(boxes, scores * torch.where(off | cut, _OFF_CORE_RANK, 1.0), nms_iou)
    whole = boxes[kept[~cut[kept]]]
    fragment = torch.zeros(len(kept), dtype=torch.bool)
    for i in cut[kept].nonzero().flatten().tolist():
        fragment[i] = _covered(boxes[kept[i]], whole) > 0.5
    kept = kept[~fragment]
    order = scores[kept].argsort(descending=True, stable=True)
    return boxes[kept][order], scores[kept][order]


def _covered(box: Tensor, others: Tensor) -> float:
    """The largest share of `box` that one of `others` covers."""
    if not len(others):
        return 0.0
    size = torch.minimum(box[2:], others[:, 2:]) - torch.maximum(box[:2], others[:, :2])
    own = (box[2:] - box[:2]).prod().clamp(min=1e-6)
    return float((size.clamp(min=0).prod(1) / own).max())


def clip(box: Box, width_px: int, height_px: int) -> Box:
    """The box cut to the image."""
    x0, y0, x1, y1 = box
    return (max(x0, 0.0), max(y0, 0.0), min(x1, float(width_px)), min(y1, float(height_px)))
