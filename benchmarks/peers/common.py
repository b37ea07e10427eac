"""What all peers share: spots to counts, boxes to nuclei, and results that are kept for each image."""

from __future__ import annotations

import hashlib
import json
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Protocol

import numpy as np
from numpy.typing import ArrayLike, NDArray
from PIL import Image

from her2core.detection.metrics import ImageDetections
from her2core.models import write_atomically
from her2core.records import Box, Nucleus
from her2core.scoring import judge, overlap_fractions
from her2core.training.readings import Pixels, Reading

__all__ = ["Cache", "Peer", "Spots", "counts_in_boxes", "median_px", "peer_reading", "resized"]

# A spot belongs to the nucleus whose ellipse it lies in, or just beside.
REACH = 1.08
_SOURCES = Path(__file__).parent


class Peer(Protocol):
    """A method that is compared. `key` names it with its settings; `own_boxes`: it finds nuclei itself."""

    name: str
    title: str
    own_boxes: bool

    @property
    def key(self) -> str: ...

    def find(self, pixels_rgb: Pixels) -> ImageDetections:
        """Its nuclei; only asked where it has own boxes."""
        ...

    def counts(self, pixels_rgb: Pixels, boxes: Sequence[Box]) -> list[tuple[int, int]]:
        """(HER2, CEP17) of the nuclei in the boxes, in order."""
        ...


@dataclass(frozen=True, slots=True)
class Spots:
    """Candidate spots of a channel: xy float (K, 2) px of the region, and how strong each is, float (K,)."""

    xy: NDArray[np.float64]
    strength: NDArray[np.float64]

    def above(self, threshold: float) -> NDArray[np.float64]:
        """Positions of those at least this strong."""
        return self.xy[self.strength >= threshold]


def counts_in_boxes(spots_xy: ArrayLike, boxes: Sequence[Box]) -> NDArray[np.int64]:
    """Spots (K, 2) in the ellipse of each box, int64 (N,); each spot counts in the nucleus whose middle is nearest."""
    spots = np.asarray(spots_xy, float).reshape(-1, 2)
    array = np.asarray(boxes, float).reshape(-1, 4)
    if not len(spots) or not len(array):
        return np.zeros(len(array), np.int64)
    centre, radius = (array[:, :2] + array[:, 2:]) / 2, (array[:, 2:] - array[:, :2]) / 2
    depth = np.sqrt((((spots[:, None] - centre) / radius) ** 2).sum(axis=2))  # (K, N), 1 on the ellipse
    nearest = depth.argmin(axis=1)[depth.min(axis=1) <= REACH]
    return np.bincount(nearest, minlength=len(array)).astype(np.int64)


def median_px(boxes: Sequence[Box]) -> float:
    """Median width of nuclei (mean of both sides), px. Raises ValueError without any."""
    array = np.asarray(boxes, float).reshape(-1, 4)
    if not len(array):
        raise ValueError("There is no nucleus whose size could be measured.")
    return float(np.median((array[:, 2:] - array[:, :2]).mean(axis=1)))


def resized(plane: NDArray[np.uint8], scale: float) -> NDArray[np.float32]:
    """A channel uint8[H, W] scaled, float32; shrinking averages."""
    height, width = plane.shape
    size = (max(8, round(width * scale)), max(8, round(height * scale)))
    return np.asarray(Image.fromarray(plane).resize(size, Image.Resampling.BILINEAR), np.float32)


def peer_reading(peer: Peer, pixels_rgb: Pixels, ours: Reading, cache: Cache | None = None) -> Reading:
    """How a peer reads a region: in its own boxes, or counting in ours. Nuclei are judged by the rules of her2core."""
    shown = ImageDetections([n.box for n in ours.nuclei], [n.score for n in ours.nuclei])
    stored = None if cache is None else cache.get(peer, pixels_rgb, shown)
    if stored is None:
        found = peer.find(pixels_rgb) if peer.own_boxes else shown
        boxes = _as_boxes(found.boxes_xyxy)
        counts = peer.counts(pixels_rgb, boxes) if boxes else []
        if cache is not None:
            cache.put(peer, pixels_rgb, shown, found, counts)
    else:
        found, counts = stored
        boxes = _as_boxes(found.boxes_xyxy)
    nuclei = _judged(boxes, np.asarray(found.scores, float).tolist(), counts, pixels_rgb.shape)
    return Reading(found if peer.own_boxes else ours.candidates, nuclei)


def _as_boxes(boxes_xyxy: ArrayLike) -> list[Box]:
    return [(x0, y0, x1, y1) for x0, y0, x1, y1 in np.asarray(boxes_xyxy, float).reshape(-1, 4).tolist()]


def _judged(
    boxes: Sequence[Box], scores: Sequence[float], counts: Sequence[tuple[int, int]], shape: tuple[int, ...]
) -> tuple[Nucleus, ...]:
    nuclei = []
    rows = zip(boxes, scores, counts, overlap_fractions(boxes), strict=True)
    for i, (box, score, (her2, cep17), overlap) in enumerate(rows):
        reason = judge(her2, cep17, box, shape[1], shape[0], overlap)
        nuclei.append(Nucleus(i + 1, box, score, her2, cep17, float(her2), float(cep17), False, reason is None, reason))
    return tuple(nuclei)


class Cache:
    """Results of peers by image, settings and the peers' own source, so that a repeated benchmark is quick."""

    def __init__(self, folder: Path) -> None:
        self._folder = folder
        sources = b"".join(path.read_bytes() for path in sorted(_SOURCES.glob("*.py")))
        self._source = hashlib.sha256(sources).hexdigest()

    def _path(self, peer: Peer, pixels_rgb: Pixels, shown: ImageDetections) -> Path:
        digest = hashlib.sha256(f"{self._source} {peer.key} {pixels_rgb.shape}".encode())
        digest.update(pixels_rgb.tobytes())
        if not peer.own_boxes:
            digest.update(np.asarray(shown.boxes_xyxy, float).round(2).tobytes())
            digest.update(np.asarray(shown.scores, float).round(4).tobytes())
        return self._folder / f"{peer.name}-{digest.hexdigest()[:32]}.json"

    def get(
        self, peer: Peer, pixels_rgb: Pixels, shown: ImageDetections
    ) -> tuple[ImageDetections, list[tuple[int, int]]] | None:
        """What was found before; None where it was not, or cannot be read."""
        try:
            data = json.loads(self._path(peer, pixels_rgb, shown).read_text(encoding="utf-8"))
            counts = [(int(h), int(c)) for h, c in data["counts"]]
            return ImageDetections(data["boxes"], data["scores"]), counts
        except (OSError, ValueError, KeyError, TypeError):
            return None

    def put(
        self,
        peer: Peer,
        pixels_rgb: Pixels,
        shown: ImageDetections,
        found: ImageDetections,
        counts: Sequence[tuple[int, int]],
    ) -> None:
        """Keep what was found."""
        self._folder.mkdir(parents=True, exist_ok=True)
        data = {
            "boxes": np.asarray(found.boxes_xyxy, float).reshape(-1, 4).tolist(),
            "scores": np.asarray(found.scores, float).tolist(),
            "counts": [[int(h), int(c)] for h, c in counts],
        }
        write_atomically(self._path(peer, pixels_rgb, shown), json.dumps(data).encode())
