"""The one place where the stages meet: pixels of a region to its nuclei, counted and judged."""

from __future__ import annotations

import logging
import math
import time
from collections.abc import Callable, Sequence
from contextlib import nullcontext
from dataclasses import dataclass, replace
from functools import cache, partial
from pathlib import Path
from typing import TypeVar, cast

import numpy as np
import torch
from numpy.typing import NDArray

from her2core.cores import beside
from her2core.counting import Count, Counter
from her2core.counting.crops import CropSize, cut, sharpness, spread_out
from her2core.detection import Detection, Detector
from her2core.imaging import WindowedPixels, measured
from her2core.imaging.stain import relative_stain
from her2core.models import full_precision, pick_device, used_models
from her2core.records import Box, Channel, ModelUsed, Nucleus, RegionAnalysis
from her2core.scoring import judge, overlap_fractions, typical_width_px
from her2core.settings import COUNTING

__all__ = ["CLUSTER_THRESHOLD", "Models", "analyse", "count_box", "load_models", "settle"]

_log = logging.getLogger(__name__)
Result = TypeVar("Result")
Progress = Callable[[float, str], None]
Cancelled = Callable[[], bool]

# From this probability on a nucleus' HER2 signals are taken as clustered, and estimated.
# Below one half, because a cluster counted by its peaks is missed by far more than single signals by an estimate: on
# 160 rendered regions of no test set, the highest threshold that lost no amplified region (docs/method.md).
CLUSTER_THRESHOLD = 0.4
# Where the pathologist saw clusters, less evidence is enough.
CLUSTER_THRESHOLD_EXPECTED = 0.15
# With fewer HER2 signals than this there is no cluster to speak of.
FEWEST_IN_CLUSTER = 5
# So many nuclei, taken from all over the region, say how sharp its nuclei are; a region with no more is taken whole.
_ENOUGH_FOR_FOCUS = 400
# Share of the work: detection, counting, judging.
_DETECTION_SHARE = 0.45


@dataclass(frozen=True, slots=True)
class Models:
    """Both stages, loaded once a process and shared by all threads.

    by_regression: all counts by stage 2's regression (Xue et al. 2023), not by what measures best. spare: the same
    models on the processor, for when a GPU's memory is full; None where they run on it anyway. instead_of: the GPU
    whose memory was full when they were loaded, so that they run on the processor.
    """

    detector: Detector
    counter: Counter
    used: tuple[ModelUsed, ...]
    by_regression: bool = False
    spare: Callable[[], Models] | None = None
    instead_of: str = ""

    @property
    def names(self) -> dict[str, str]:
        """By stage, for tables."""
        return {model.stage: str(model) for model in self.used}

    @property
    def device(self) -> torch.device:
        """Where they run."""
        return self.counter.device

    @property
    def place(self) -> str:
        """The same in words, as an analysis names it."""
        return f"{self.device}, as the memory of {self.instead_of} was full" if self.instead_of else str(self.device)


def load_models(weights_dir: Path, device: str = "auto", counting: str = "density") -> Models:
    """The models of a folder (`detector.safetensors`, `counter.safetensors` and their cards).

    counting: one of `settings.COUNTING`; "density" is the default because it measures best, "regression" is the
    paper's way. Where the memory of the GPU is full they are on the processor, and each analysis says so.
    Raises ValueError for another word, and WeightsMissingError, WeightsMismatchError or ModelError as
    `models.load_weights` does.
    """
    if counting not in COUNTING:
        raise ValueError(f"counting is one of {', '.join(COUNTING)}, not {counting!r}")
    by_regression = counting == "regression"
    place = pick_device(device)
    if place.type == "cuda":
        full_precision()
    try:
        detector, card = Detector.load(weights_dir / "detector.safetensors", place)
        counter = Counter.load(weights_dir / "counter.safetensors", place)
    except torch.OutOfMemoryError:
        if place.type == "cpu":
            raise
        _log.warning("The memory of %s is full: the models run on the processor.", place)
        return replace(load_models(weights_dir, "cpu", counting), instead_of=str(place))
    spare = None if place.type == "cpu" else cache(lambda: load_models(weights_dir, "cpu", counting))
    return Models(
        detector, counter, used_models({"detector": card, "counter": counter.card}, counting), by_regression, spare
    )


def _or_on_processor(work: Callable[[Models], Result], models: Models, tell: Progress) -> tuple[Result, str]:
    """What `work` makes of the models, and where they ran: on the processor if the GPU's memory is full.

    Others may use the same GPU; a slower result is better than none, and its counts are the same.
    """
    try:
        return work(models), models.place
    except torch.OutOfMemoryError:
        if models.spare is None:
            raise
    # Outside of `except`, because the error holds on to what fills the memory.
    _log.warning("The memory of %s is full: going on with the processor.", models.device)
    tell(0.0, "The graphics card's memory is full: going on with the processor, which takes longer")
    spare = models.spare()
    return work(spare), replace(spare, instead_of=str(models.device)).place


def analyse(
    pixels_rgb: NDArray[np.uint8] | WindowedPixels,
    models: Models,
    *,
    clusters_expected: bool = False,
    progress: Progress | None = None,
    cancelled: Cancelled | None = None,
) -> RegionAnalysis:
    """Find, count and judge the nuclei of a region uint8[H, W, 3] (red HER2, green CEP17, blue DAPI).

    Memory depends on the tiles and crops that are worked on; a region that does not fit it comes as `WindowedPixels`.

    Args:
        clusters_expected: the pathologist flagged clustered HER2 signals; the models then need less evidence for one.
        progress: called with a share 0-1 and what is being done.
        cancelled: asked between steps.

    Raises CancelledError where `cancelled()` says so.
    """
    began = time.perf_counter()
    tell = progress or (lambda share, what: None)
    height_px, width_px = pixels_rgb.shape[:2]
    sliced = cast(NDArray[np.uint8], pixels_rgb)  # all that both stages do with it
    measuring = partial(measured, pixels_rgb)
    # Of windows of a file, quality is measured afterwards: reading it is what takes the time.
    with beside(measuring) if isinstance(pixels_rgb, np.ndarray) else nullcontext(measuring) as quality:
        (found, counts), device = _or_on_processor(
            lambda chosen: _found_and_counted(sliced, chosen, tell, cancelled), models, tell
        )
        tell(0.97, "Measuring image quality")
        measures = quality()
    boxes = [d.box_xyxy for d in found]
    overlaps, typical_px = overlap_fractions(boxes), typical_width_px(boxes)
    typical = float(np.median([count.sharpness for count in counts])) if counts else 0.0
    nuclei = tuple(
        settle(
            i + 1,
            d.box_xyxy,
            d.score,
            count,
            overlap,
            (width_px, height_px),
            typical_px=typical_px,
            focus=_against(count.sharpness, typical),
            clusters_expected=clusters_expected,
            by_regression=models.by_regression,
        )
        for i, (d, count, overlap) in enumerate(zip(found, counts, overlaps, strict=True))
    )
    tell(1.0, "Done")
    return RegionAnalysis(
        width_px=width_px,
        height_px=height_px,
        nuclei=nuclei,
        models=models.used,
        quality=measures,
        device=device,
        seconds=round(time.perf_counter() - began, 3),
    )


def _found_and_counted(
    pixels_rgb: NDArray[np.uint8], models: Models, tell: Progress, cancelled: Cancelled | None
) -> tuple[list[Detection], list[Count]]:
    found = models.detector.detect(
        pixels_rgb, progress=lambda share, what: tell(share * _DETECTION_SHARE, what), cancelled=cancelled
    )
    found = sorted(found, key=lambda d: (round(d.box_xyxy[1] / 50), d.box_xyxy[0]))  # as one reads a page
    boxes = [d.box_xyxy for d in found]

    def counting(share: float) -> None:
        tell(_DETECTION_SHARE + share * (0.95 - _DETECTION_SHARE), f"Counting signals in {len(boxes)} nuclei")

    counting(0.0)
    return found, models.counter.count(pixels_rgb, boxes, counting, cancelled)


def settle(
    nucleus_id: int,
    box: Box,
    score: float,
    count: Count,
    overlap: float,
    size_px: tuple[int, int],
    *,
    typical_px: float = 0.0,
    focus: float | None = None,
    stain: float | None = None,
    clusters_expected: bool = False,
    by_regression: bool = False,
) -> Nucleus:
    """One nucleus from what both stages say: which count holds, whether it is scored, whether to look at it.

    Peaks count, because a pathologist can see each of them; where HER2 signals cluster, the calibrated estimate does
    (domain.md section 2: clusters are estimated). typical_px: how wide the region's nuclei are (`typical_width_px`).
    focus: sharpness against the median nucleus of the region; stain: its DAPI against theirs (`relative_stain`).
    """
    threshold = CLUSTER_THRESHOLD_EXPECTED if clusters_expected else CLUSTER_THRESHOLD
    her2_peaks, cep17 = count.peaks(Channel.HER2), count.peaks(Channel.CEP17)
    clustered = count.cluster >= threshold and max(count.in_cluster, her2_peaks) >= FEWEST_IN_CLUSTER
    her2 = max(round(count.in_cluster), her2_peaks) if clustered else her2_peaks
    if by_regression:
        her2, cep17 = (max(math.floor(value + 0.5), 0) for value in count.regressed)
        clustered = clustered and her2 > 0  # without signals nothing is
    reason = judge(
        her2, cep17, box, size_px[0], size_px[1], overlap, focus, typical_px=typical_px, relative_stain=stain
    )
    return Nucleus(
        id=nucleus_id,
        box=box,
        score=score,
        her2=her2,
        cep17=cep17,
        her2_regressed=count.regressed[0],
        cep17_regressed=count.regressed[1],
        clustered=clustered,
        scored=reason is None,
        reason=reason,
        # The doubt was calibrated for peaks and clusters; of regression it knows nothing, nor has that positions.
        signals=() if by_regression else count.signals,
        uncertain=by_regression or count.uncertain,
        uncertainty=None if by_regression else count.wrong,
        focus=focus,
    )


def count_box(
    pixels_rgb: NDArray[np.uint8],
    box: Box,
    nucleus_id: int,
    models: Models,
    *,
    others: Sequence[Box] = (),
    clusters_expected: bool = False,
) -> Nucleus:
    """Count a nucleus that the pathologist added, or whose box was moved; `others` are the boxes of the other nuclei.

    It is judged as `analyse` judged those, its sharpness too: a nucleus that was left out as out of focus must not
    count because its box was drawn anew. And since nobody but a person says that a nucleus is there, DAPI has to show
    one. Raises ValueError for a box without area.
    """
    (count,), _ = _or_on_processor(
        lambda chosen: chosen.counter.count(pixels_rgb, [box], others=others), models, lambda share, what: None
    )
    overlap = overlap_fractions([box, *others])[0]
    size_px = (pixels_rgb.shape[1], pixels_rgb.shape[0])
    return settle(
        nucleus_id,
        box,
        1.0,
        count,
        overlap,
        size_px,
        typical_px=typical_width_px([box, *others]),
        focus=_focus(pixels_rgb, count.sharpness, others, models.counter.size),
        stain=relative_stain(pixels_rgb, box, others),
        clusters_expected=clusters_expected,
        by_regression=models.by_regression,
    )


def _focus(pixels_rgb: NDArray[np.uint8], own: float, others: Sequence[Box], size: CropSize) -> float | None:
    """A sharpness against the median nucleus of the region, itself among them; None in a region of one nucleus."""
    if not others:
        return None
    some = spread_out(others, _ENOUGH_FOR_FOCUS)
    return _against(own, float(np.median([own, *sharpness(cut(pixels_rgb, some, size)).tolist()])))


def _against(own: float, typical: float) -> float | None:
    return own / typical if typical > 0 else None
