"""Training images of stage 1: a truth file's images, and random views of them.

The truth file is architecture.md's `truth.json`; beside `nuclei` an entry may hold "ignore": boxes of what is neither
to be found nor to be left (far out of focus, mostly hidden).
"""

from __future__ import annotations

import hashlib
import json
import math
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray
from PIL import Image

from her2core.errors import TrainingError

__all__ = [
    "Example",
    "View",
    "data_digest",
    "load_examples",
    "random_view",
    "read_truth",
    "split_by_patient",
    "target_px",
    "view_box_sizes",
]

Floats = NDArray[np.float32]
Pixels = NDArray[np.uint8]

MAX_BYTES = 8 * 2**30
STORED_NUCLEUS_PX = 115.0  # larger than any view needs: what is larger is stored shrunk
VIEW_NUCLEUS_PX = (20.0, 110.0)
VISIBLE = 0.3
MIN_SIDE_PX = 6.0


@dataclass(frozen=True, slots=True)
class Example:
    """An image and its nuclei: pixels_rgb (H, W, 3) uint8, boxes and ignored (n, 4) xyxy px; median sqrt(area) px."""

    name: str
    patient: str
    pixels_rgb: Pixels
    boxes: Floats
    ignored: Floats
    median_px: float


@dataclass(frozen=True, slots=True)
class View:
    """What the network is shown: pixels_rgb (S, S, 3) uint8, boxes and ignored (n, 4) xyxy px of the view."""

    pixels_rgb: Pixels
    boxes: Floats
    ignored: Floats


def read_truth(folder: Path) -> list[dict[str, Any]]:
    """The entries of folder/truth.json. Raises TrainingError where there are none or they cannot be read."""
    path = folder / "truth.json"
    try:
        entries = json.loads(path.read_text(encoding="utf-8"))
    except FileNotFoundError as error:
        raise TrainingError(f"There is no truth.json in {folder}. Make one with: python -m her2core render.") from error
    except (OSError, ValueError) as error:
        raise TrainingError(f"{path} cannot be read as JSON.") from error
    if not isinstance(entries, list) or not entries or not all(isinstance(entry, dict) for entry in entries):
        raise TrainingError(f"{path} must be a list of images with their nuclei.")
    return entries


def data_digest(folder: Path) -> str:
    """SHA-256 of truth.json, which names all images: identifies the training data in a model card."""
    return hashlib.sha256((folder / "truth.json").read_bytes()).hexdigest()


def _boxes(value: Sequence[Any], where: str) -> Floats:
    try:
        boxes = np.asarray(value, dtype=np.float32).reshape(len(value), 4)
    except (TypeError, ValueError) as error:
        raise TrainingError(f"{where}: a box must be four numbers x0, y0, x1, y1.") from error
    if not np.isfinite(boxes).all() or (boxes[:, 2:] <= boxes[:, :2]).any():
        raise TrainingError(f"{where}: a box must have x0 < x1 and y0 < y1.")
    return boxes


def _load(folder: Path, entry: dict[str, Any], shrink: bool) -> Example:
    try:
        name, patient, nuclei = str(entry["image"]), str(entry["patient"]), entry["nuclei"]
        boxes = _boxes([nucleus["box"] for nucleus in nuclei], name)
        ignored = _boxes(entry.get("ignore", []), name)
    except KeyError as error:
        raise TrainingError(f"An entry of truth.json lacks {error}.") from error
    except TypeError as error:
        raise TrainingError("An entry of truth.json must hold a list of nuclei, each with its box.") from error
    path = (folder / name).resolve()
    if not path.is_relative_to(folder.resolve()):
        raise TrainingError(f"truth.json names an image outside its folder: {name}.")
    sides = boxes[:, 2:] - boxes[:, :2]
    median = float(np.median(np.sqrt(sides.prod(axis=1)))) if len(boxes) else 0.0
    factor = min(1.0, STORED_NUCLEUS_PX / median) if shrink and median else 1.0
    try:
        with Image.open(path) as file:
            image = file.convert("RGB")
    except (OSError, ValueError, Image.DecompressionBombError) as error:
        raise TrainingError(f"The image {name} of truth.json cannot be read.") from error
    if factor < 1:
        size = (max(1, round(image.width * factor)), max(1, round(image.height * factor)))
        image = image.resize(size, Image.Resampling.BILINEAR)
    return Example(name, patient, np.array(image), boxes * factor, ignored * factor, median * factor)


def load_examples(folder: Path, entries: Sequence[dict[str, Any]], *, shrink: bool) -> list[Example]:
    """Images and boxes of `entries`, all in memory as uint8; `shrink` stores images with large nuclei smaller.

    Raises TrainingError where an entry or image cannot be read or all together would take more than 8 GiB.
    """
    examples, size = [], 0
    for entry in entries:
        example = _load(folder, entry, shrink)
        size += example.pixels_rgb.nbytes
        if size > MAX_BYTES:
            raise TrainingError("The training images do not fit into 8 GiB of memory. Use fewer or smaller ones.")
        examples.append(example)
    return examples


def split_by_patient(
    entries: Sequence[dict[str, Any]], fraction: float, seed: int
) -> tuple[list[dict[str, Any]], list[dict[str, Any]]]:
    """(training, validation): about `fraction` of the patients, at least one, are held out with all their images.

    Raises TrainingError for fewer than two patients.
    """
    patients = sorted({str(entry.get("patient")) for entry in entries})
    if len(patients) < 2:
        raise TrainingError("Training needs images of at least two patients, to hold one out for validation.")
    order = np.random.default_rng(seed).permutation(len(patients))
    count = min(max(1, round(fraction * len(patients))), len(patients) - 1)
    held_out = {patients[i] for i in order[:count]}
    training = [entry for entry in entries if str(entry.get("patient")) not in held_out]
    return training, [entry for entry in entries if str(entry.get("patient")) in held_out]


def target_px(rng: np.random.Generator, centre_px: float) -> float:
    """How large the median nucleus of a view shall be: mostly within a factor 1.35 of `centre_px`, else anywhere.

    The rest (3 in 10) is log-uniform over 20 to 110 px, because the detector's first look meets all of these.
    """
    if rng.random() < 0.7:
        return float(centre_px * math.exp(rng.uniform(-0.3, 0.3)))
    low, high = VIEW_NUCLEUS_PX
    return float(math.exp(rng.uniform(math.log(low), math.log(high))))


def _scale(rng: np.random.Generator, example: Example, side_px: int, centre_px: float) -> float:
    """Factor by which `example` is resized: to the wished nucleus, but so that two by two fill the view."""
    height, width = example.pixels_rgb.shape[:2]
    wished = target_px(rng, centre_px) / example.median_px if example.median_px else side_px / min(height, width)
    smallest = side_px / 2 / min(height, width)
    return float(min(max(wished, smallest), 2.5))


def _place(
    view: View, region: tuple[int, int, int, int], example: Example, scale: float, rng: np.random.Generator
) -> View:
    """Fill region (x0, y0, x1, y1) of the view's pixels from a random part of the resized example; add its boxes."""
    x0, y0, x1, y1 = region
    height, width = example.pixels_rgb.shape[:2]
    shown_w, shown_h = min(x1 - x0, int(width * scale)), min(y1 - y0, int(height * scale))
    if shown_w < 8 or shown_h < 8:
        return view
    # where the region starts in the resized example, and where the example starts in the region if it is smaller
    off_x, off_y = rng.uniform(0, width * scale - shown_w), rng.uniform(0, height * scale - shown_h)
    at_x, at_y = x0 + int(rng.integers(0, x1 - x0 - shown_w + 1)), y0 + int(rng.integers(0, y1 - y0 - shown_h + 1))
    left, top = int(off_x / scale), int(off_y / scale)
    right, bottom = math.ceil((off_x + shown_w) / scale), math.ceil((off_y + shown_h) / scale)
    cut = example.pixels_rgb[top:bottom, left:right]
    box = (
        off_x / scale - left,
        off_y / scale - top,
        min((off_x + shown_w) / scale - left, cut.shape[1]),
        min((off_y + shown_h) / scale - top, cut.shape[0]),
    )
    image = Image.fromarray(np.ascontiguousarray(cut))
    resized = image.resize((shown_w, shown_h), Image.Resampling.BILINEAR, box=box)
    view.pixels_rgb[at_y : at_y + shown_h, at_x : at_x + shown_w] = np.asarray(resized)

    shift = np.array([at_x - off_x, at_y - off_y] * 2, dtype=np.float32)
    window = (at_x, at_y, at_x + shown_w, at_y + shown_h)
    seen, cut_off = _clip(example.boxes * np.float32(scale) + shift, window)
    hidden, hidden_cut = _clip(example.ignored * np.float32(scale) + shift, window)
    return View(
        view.pixels_rgb,
        np.concatenate([view.boxes, seen]),
        np.concatenate([view.ignored, cut_off, hidden, hidden_cut]),
    )


def _clip(boxes: Floats, window: tuple[int, int, int, int]) -> tuple[Floats, Floats]:
    """Boxes cut to the window: those still to be found (30 % visible, not tiny), and remains that are ignored."""
    x0, y0, x1, y1 = window
    low, high = np.array([x0, y0] * 2, dtype=np.float32), np.array([x1, y1] * 2, dtype=np.float32)
    cut = np.clip(boxes, low, high)
    sides = cut[:, 2:] - cut[:, :2]
    share = sides.prod(axis=1) / np.maximum((boxes[:, 2:] - boxes[:, :2]).prod(axis=1), 1e-6)
    there = sides.min(axis=1, initial=np.inf) > 1
    good = there & (share >= VISIBLE) & (sides.min(axis=1, initial=np.inf) >= MIN_SIDE_PX)
    return cut[good], cut[there & ~good]


def _compose(examples: Sequence[Example], side_px: int, centre_px: float, rng: np.random.Generator) -> View:
    """One example, or where it would not fill the view, four."""
    empty = np.zeros((0, 4), dtype=np.float32)
    view = View(np.zeros((side_px, side_px, 3), dtype=np.uint8), empty, empty)
    example = examples[int(rng.integers(len(examples)))]
    scale = _scale(rng, example, side_px, centre_px)
    height, width = example.pixels_rgb.shape[:2]
    if min(height, width) * scale >= side_px:
        return _place(view, (0, 0, side_px, side_px), example, scale, rng)
    x, y = (int(v) for v in rng.integers(int(0.45 * side_px), int(0.55 * side_px) + 1, size=2))
    for region in ((0, 0, x, y), (x, 0, side_px, y), (0, y, x, side_px), (x, y, side_px, side_px)):
        view = _place(view, region, example, scale, rng)
        example = examples[int(rng.integers(len(examples)))]
        scale = _scale(rng, example, side_px, centre_px)
    return view


def _turn(view: View, rng: np.random.Generator) -> View:
    """One of the eight flips and quarter turns."""
    side = view.pixels_rgb.shape[0]
    pixels, groups = view.pixels_rgb, [view.boxes, view.ignored]
    transpose, flip_x, flip_y = rng.random(3) < 0.5
    if transpose:
        pixels, groups = pixels.transpose(1, 0, 2), [g[:, [1, 0, 3, 2]] for g in groups]
    if flip_x:
        pixels, groups = pixels[:, ::-1], [_mirrored(g, side, 0) for g in groups]
    if flip_y:
        pixels, groups = pixels[::-1], [_mirrored(g, side, 1) for g in groups]
    return View(np.ascontiguousarray(pixels), groups[0], groups[1])


def _mirrored(boxes: Floats, side: int, axis: int) -> Floats:
    out = boxes.copy()
    out[:, axis], out[:, axis + 2] = side - boxes[:, axis + 2], side - boxes[:, axis]
    return out


def _recolour(pixels: Pixels, rng: np.random.Generator) -> Pixels:
    """Brightness, gamma, a little tint for each channel, and sometimes noise."""
    levels = np.linspace(0.0, 1.0, 256)
    brightness, gamma = math.exp(rng.uniform(-0.4, 0.4)), math.exp(rng.uniform(-0.3, 0.3))
    out = np.empty_like(pixels)
    for channel in range(3):
        gain, floor = brightness * math.exp(rng.uniform(-0.25, 0.25)), rng.uniform(-0.02, 0.06)
        curve = (gain * levels**gamma + floor).clip(0, 1)
        out[..., channel] = (curve * 255 + 0.5).astype(np.uint8)[pixels[..., channel]]
    if rng.random() < 0.2:
        noise = rng.standard_normal(out.shape, dtype=np.float32) * np.float32(rng.uniform(2, 10))
        out = (out + noise).clip(0, 255).astype(np.uint8)
    return out


def random_view(
    examples: Sequence[Example], side_px: int, centre_px: float, rng: np.random.Generator, *, jitter: bool = True
) -> View:
    """A random view of side_px x side_px: rescaled, cropped, turned, recoloured; the same for the same `rng`."""
    view = _turn(_compose(examples, side_px, centre_px, rng), rng)
    return View(_recolour(view.pixels_rgb, rng), view.boxes, view.ignored) if jitter else view


def view_box_sizes(
    examples: Sequence[Example], side_px: int, centre_px: float, count: int, seed: int
) -> NDArray[np.float64]:
    """Widths and heights (N, 2) in px of the boxes of `count` random views: what the anchors must fit."""
    rng = np.random.default_rng(seed)
    boxes = [_compose(examples, side_px, centre_px, rng).boxes for _ in range(count)]
    stacked = np.concatenate(boxes).astype(np.float64)
    return stacked[:, 2:] - stacked[:, :2]
