"""What is true of a region and how a method reads it: the two things that an evaluation compares."""

from __future__ import annotations

import math
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, field, replace
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import ArrayLike, NDArray

from her2core.counting import Count, Counter
from her2core.detection import Detection, Detector
from her2core.detection.metrics import ImageDetections, ImageTruth, match_boxes
from her2core.errors import TrainingError
from her2core.pipeline import Models, analyse
from her2core.records import Box, Channel, Exclusion, Nucleus, Tally
from her2core.scoring.scorable import missing_colour
from her2core.training.detector_data import read_truth

__all__ = [
    "LOW_SCORE",
    "WAYS",
    "Reading",
    "TrueNucleus",
    "TrueRegion",
    "count_in",
    "match_nuclei",
    "nuclei_in",
    "read_regions",
    "read_with_models",
    "recounted",
    "regression_only",
    "true_tally",
    "ways_of",
]

Pair = tuple[float, float]
Pixels = NDArray[np.uint8]

# Candidates down to this score make the precision-recall curve.
LOW_SCORE = 0.02
# Ways of counting a nucleus that a reading may tell apart; "final" is what the pipeline takes of them.
WAYS = ("final", "peaks", "integral", "regression", "cluster estimate")
_COLOUR_REASONS = (Exclusion.NO_HER2, Exclusion.NO_CEP17, Exclusion.NO_SIGNAL)


@dataclass(frozen=True, slots=True)
class TrueNucleus:
    """A nucleus as annotated: box xyxy px, signals, whether its HER2 signals cluster, whether one would score it."""

    box: Box
    her2: int
    cep17: int
    clustered: bool
    scorable: bool


@dataclass(frozen=True, slots=True)
class TrueRegion:
    """An entry of truth.json. `conditions`: how the region looks, by name; empty where that is not known.

    `case`: what a result belongs to; the patient where the file names none.
    """

    image: str
    patient: str
    group: int | None
    nuclei: tuple[TrueNucleus, ...]
    ignored: tuple[Box, ...] = ()
    conditions: Mapping[str, float] = field(default_factory=dict)
    style: str | None = None
    case: str = ""

    def scorable(self) -> list[TrueNucleus]:
        """The nuclei that make the tally."""
        return [n for n in self.nuclei if n.scorable]

    def boxes(self) -> ImageTruth:
        """Its boxes, for `detection.metrics`."""
        return ImageTruth([n.box for n in self.nuclei], list(self.ignored))


@dataclass(frozen=True, slots=True)
class Reading:
    """How a method reads a region.

    candidates: every box with its score. nuclei: those it shows, counted and judged. ways: for each of these the
    (HER2, CEP17) of each way of counting but the final one; empty for a method that has one way. on_true_boxes: its
    counts of the scorable nuclei where it is given their boxes, in the order of `TrueRegion.scorable`; None if untried.
    """

    candidates: ImageDetections
    nuclei: tuple[Nucleus, ...]
    ways: tuple[Mapping[str, Pair], ...] = ()
    on_true_boxes: tuple[tuple[int, int], ...] | None = None


def read_regions(folder: Path) -> list[TrueRegion]:
    """The regions of folder/truth.json. Raises TrainingError where it is missing, broken or lacks counts."""
    return [_region(entry) for entry in read_truth(folder)]


def _region(entry: Mapping[str, Any]) -> TrueRegion:
    try:
        image = str(entry["image"])
        conditions = dict(entry.get("conditions") or {})
        if "nucleus_px" in entry:
            conditions.setdefault("nucleus_px", entry["nucleus_px"])
        return TrueRegion(
            image=image,
            patient=str(entry.get("patient", image)),
            group=None if entry.get("group") is None else int(entry["group"]),
            nuclei=tuple(_nucleus(n) for n in entry["nuclei"]),
            ignored=tuple(_box(b) for b in entry.get("ignore", ())),
            conditions={k: float(v) for k, v in conditions.items() if isinstance(v, int | float)},
            style=entry.get("style"),
            case=str(entry.get("case") or entry.get("patient", image)),
        )
    except (KeyError, TypeError, ValueError, AttributeError) as error:
        name = entry.get("image", "an image")
        raise TrainingError(
            f"truth.json: {name} needs an image name and nuclei, each with a box, her2 and cep17 ({error})."
        ) from error


def _box(value: Sequence[Any]) -> Box:
    x0, y0, x1, y1 = (float(side) for side in value)
    if not (all(math.isfinite(side) for side in (x0, y0, x1, y1)) and x0 < x1 and y0 < y1):
        raise ValueError("a box has no area")
    return x0, y0, x1, y1


def _nucleus(n: Mapping[str, Any]) -> TrueNucleus:
    her2, cep17 = int(n["her2"]), int(n["cep17"])
    if her2 < 0 or cep17 < 0:
        raise ValueError("a count is negative")
    scorable = bool(n.get("scorable", her2 > 0 and cep17 > 0))
    return TrueNucleus(_box(n["box"]), her2, cep17, bool(n.get("cluster", False)), scorable)


def true_tally(region: TrueRegion) -> Tally:
    """N, H and C of the scorable nuclei."""
    scored = region.scorable()
    return Tally(len(scored), sum(n.her2 for n in scored), sum(n.cep17 for n in scored))


def match_nuclei(found: Sequence[Nucleus], boxes: ArrayLike, iou: float = 0.5) -> list[tuple[int, int]]:
    """Pairs (index in found, index of true box xyxy), each used once, surest nucleus first (`match_boxes`)."""
    taken = match_boxes([n.box for n in found], [n.score for n in found], boxes, iou)
    return [(i, int(j)) for i, j in enumerate(taken) if j >= 0]


def recounted(nucleus: Nucleus, her2: float, cep17: float) -> Nucleus:
    """The nucleus with other counts, rounded half up, and scored or not as these say; geometry is as it was."""
    h, c = math.floor(max(her2, 0) + 0.5), math.floor(max(cep17, 0) + 0.5)
    geometry = None if nucleus.reason in _COLOUR_REASONS else nucleus.reason
    reason = geometry or missing_colour(h, c)
    return replace(nucleus, her2=h, cep17=c, scored=reason is None, reason=reason)


def regression_only(reading: Reading) -> Reading:
    """The same reading with every count by regression: the pipeline of Xue et al. 2023."""
    nuclei = [recounted(n, n.her2_regressed, n.cep17_regressed) for n in reading.nuclei]
    plain = (replace(n, clustered=False, uncertain=False, uncertainty=None, signals=()) for n in nuclei)
    return Reading(reading.candidates, tuple(plain))


# --- our own models ---------------------------------------------------------------------------------------------------


class _OnePass(Detector):
    """The detector with one pass at a low score: what it was asked for is handed on, the rest is kept for the curve.

    Suppression goes by falling score, so boxes below the threshold move none above it.
    """

    def __init__(self, inner: Detector) -> None:
        self._inner, self.config, self.device = inner, inner.config, inner.device
        self.candidates: list[Detection] = []

    def detect(
        self,
        pixels_rgb: Pixels,
        progress: Callable[[float, str], None] | None = None,
        cancelled: Callable[[], bool] | None = None,
        *,
        min_score: float | None = None,
    ) -> list[Detection]:
        threshold = self.config.score_threshold if min_score is None else min_score
        self.candidates = self._inner.detect(pixels_rgb, progress, cancelled, min_score=min(LOW_SCORE, threshold))
        return [d for d in self.candidates if d.score >= self.config.stated(threshold)]


class _GivenBoxes(_OnePass):
    """A detector that finds exactly the boxes it was given."""

    def __init__(self, inner: Detector, boxes: Sequence[Box]) -> None:
        super().__init__(inner)
        self.candidates = [Detection(box, 1.0) for box in boxes]

    def detect(self, *_: Any, **__: Any) -> list[Detection]:
        return list(self.candidates)


class _Noting(Counter):
    """The counter, keeping what each way of counting said."""

    def __init__(self, inner: Counter) -> None:
        self._inner = inner
        self.counts: list[Count] = []

    def __getattr__(self, name: str) -> Any:
        return getattr(self._inner, name)

    def count(self, *args: Any, **kwargs: Any) -> list[Count]:
        self.counts = self._inner.count(*args, **kwargs)
        return self.counts


def read_with_models(pixels_rgb: Pixels, models: Models, region: TrueRegion | None = None) -> Reading:
    """What `analyse` makes of a region uint8[H, W, 3], with the candidates and ways of counting behind it.

    Where the true region is given, its scorable nuclei are also counted in their true boxes.
    """
    detector, counter = _OnePass(models.detector), _Noting(models.counter)
    analysis = analyse(pixels_rgb, replace(models, detector=detector, counter=counter))
    ways = tuple(ways_of(count) for count in counter.counts)
    candidates = ImageDetections([d.box_xyxy for d in detector.candidates], [d.score for d in detector.candidates])
    on_true = None if region is None else count_in(pixels_rgb, models, [n.box for n in region.scorable()])
    return Reading(candidates, analysis.nuclei, ways, on_true)


def ways_of(count: Count) -> dict[str, Pair]:
    """The ways of counting behind a final count."""
    peaks = (float(count.peaks(Channel.HER2)), float(count.peaks(Channel.CEP17)))
    return {
        "peaks": peaks,
        "integral": count.integral,
        "regression": count.regressed,
        "cluster estimate": (count.in_cluster, peaks[1]),  # CEP17 has none
    }


def nuclei_in(pixels_rgb: Pixels, models: Models, boxes: Sequence[Box]) -> list[tuple[Nucleus, dict[str, Pair]]]:
    """The given boxes (xyxy px) counted and judged as `analyse` would, in order, each with its ways of counting."""
    if not boxes:
        return []
    counter = _Noting(models.counter)
    analysis = analyse(pixels_rgb, replace(models, detector=_GivenBoxes(models.detector, boxes), counter=counter))
    pairs = zip(analysis.nuclei, counter.counts, strict=True)
    found = {nucleus.box: (nucleus, ways_of(count)) for nucleus, count in pairs}
    return [found[box] for box in boxes]


def count_in(pixels_rgb: Pixels, models: Models, boxes: Sequence[Box]) -> tuple[tuple[int, int], ...]:
    """Final (HER2, CEP17) of the given boxes, in order; 0 where a nucleus could not be counted."""
    return tuple((n.her2 or 0, n.cep17 or 0) for n, _ in nuclei_in(pixels_rgb, models, boxes))
