"""Where the pathologist's flags and what was found in the nuclei disagree: to be settled before counts are accepted.

A disagreement says what does not agree and what to do; neither side is taken to be right. Flags that are merely more
cautious than the finding ("weak" where signals measure well) are left alone.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, replace
from enum import StrEnum

from her2core.records import Nucleus, Overlap, RegionFlags, SignalIntensity
from her2core.scoring.asked import LOOK_APART, MISSED_SIGNALS, SHOW_BOTH
from her2core.scoring.heterogeneity import measure_heterogeneity, second_population_alert
from her2core.scoring.spatial import Pattern, SpatialPattern
from her2core.scoring.suitability import MAX_MISSING_PERCENT, TOO_WEAK, Countability, countability
from her2core.scoring.tally import MINIMUM_NUCLEI

__all__ = [
    "Disagreement",
    "DisagreementKind",
    "population_disagreements",
    "region_disagreements",
]

# In 50 rendered regions the models saw one cluster in two regions that had none, and two or more in no such region;
# where two or more nuclei were clustered they missed all of them in three regions of nineteen.
FEWEST_CLUSTERED = 2
# Share of nuclei that are not scored because they overlap. In the same regions it was at most 12 % where no nucleus was
# drawn overlapping, and 15 % or more where a sixth of them or more were, but for one region with 8 %.
MOST_OVERLAPPING_PERCENT = {Overlap.LITTLE: 20.0, Overlap.MODERATE: 50.0}
SEVERE_FROM_PERCENT = 10.0
FEWEST_FOR_OVERLAP = 10
MIXED_PERCENT = (10.0, 90.0)  # amplified cells, both excluded: the guideline's second population


class DisagreementKind(StrEnum):
    """What is not agreed on; the values are shown."""

    CLUSTERS = "clusters"
    SECOND_POPULATION = "second population"
    PATTERN = "pattern of amplified cells"
    HETEROGENEITY = "heterogeneity"
    INTENSITY = "signal intensity"
    OVERLAP = "overlap"
    SAME_CELLS = "same cells"


@dataclass(frozen=True, slots=True)
class Disagreement:
    """What does not agree, what to do, and the flags that would agree; None where no flag alone settles it.

    `above_limit`: the guideline asks to reject the region, and whoever counts it all the same says why; not so where
    nothing is scored, since then nothing is counted.
    """

    kind: DisagreementKind
    text: str
    advice: str
    flags: RegionFlags | None = None
    above_limit: bool = False


def region_disagreements(
    flags: RegionFlags, nuclei: Sequence[Nucleus], weak_channels: Sequence[str] = ()
) -> tuple[Disagreement, ...]:
    """Clusters, signal intensity and overlap of one region.

    nuclei: as corrected so far, so that a correction can settle a disagreement. weak_channels: probes whose measures on
    the image are below their limits, such as "HER2".
    """
    seen = countability(nuclei)
    found = (_clusters(flags, nuclei), _intensity(flags, seen, weak_channels), _overlap(flags, seen))
    return tuple(d for d in found if d is not None)


def population_disagreements(
    flagged_heterogeneous: bool, regions: Sequence[Sequence[Nucleus]], pattern: SpatialPattern, *, only_one: bool
) -> tuple[Disagreement, ...]:
    """Heterogeneity of one population over the nuclei of its regions.

    flagged_heterogeneous: any of its regions was flagged so. only_one: the case has no other population, in which the
    second kind of cells could be.
    """
    pooled = [nucleus for region in regions for nucleus in region]
    measured = measure_heterogeneity(pooled)
    share = measured.amplified_percent
    if flagged_heterogeneous:
        uniform = share is not None and not MIXED_PERCENT[0] < share < MIXED_PERCENT[1]
        if only_one and uniform and measured.n >= MINIMUM_NUCLEI:
            text = f"Flagged as heterogeneous, but {measured.amplified} of {measured.n} scored cells are amplified."
            return (Disagreement(DisagreementKind.HETEROGENEITY, text, SHOW_BOTH.prompt),)
        return ()
    second = second_population_alert(measured) or next(
        (alert for region in regions if (alert := second_population_alert(measure_heterogeneity(region)))), None
    )
    if second is not None:
        return (Disagreement(DisagreementKind.SECOND_POPULATION, f"Flagged as homogeneous. {second}", ""),)
    if pattern.pattern is Pattern.CLUSTERED and share is not None and MIXED_PERCENT[0] < share < MIXED_PERCENT[1]:
        text = (
            f"Flagged as homogeneous, but the amplified cells, {share:.0f} % of {pattern.n}, lie together (clustered)."
        )
        return (Disagreement(DisagreementKind.PATTERN, text, LOOK_APART.prompt),)
    return ()


_COUNTED_ALREADY = "Changing the flag does not change these counts; only a new analysis goes by it."


def _clusters(flags: RegionFlags, nuclei: Sequence[Nucleus]) -> Disagreement | None:
    scored = [n for n in nuclei if n.scored]
    clustered = sum(n.clustered for n in scored)
    changed = replace(flags, clusters=not flags.clusters)
    if flags.clusters and scored and not clustered:
        text = f"Flagged for clusters, but none of {len(scored)} scored nuclei is marked as clustered."
        advice = "Look at nuclei with many or large HER2 signals: a cluster read as one signal hides an amplification."
    elif not flags.clusters and clustered >= FEWEST_CLUSTERED:
        text = f"Not flagged for clusters, but {clustered} of {len(scored)} scored nuclei are marked as clustered."
        advice = "Look at them: their counts are estimates. Mark those that are none as not clustered."
    else:
        return None
    return Disagreement(DisagreementKind.CLUSTERS, text, f"{advice} {_COUNTED_ALREADY}", changed)


def _intensity(flags: RegionFlags, seen: Countability, weak_channels: Sequence[str]) -> Disagreement | None:
    weak = replace(flags, signal_intensity=SignalIntensity.WEAK)
    if seen.missing.above_limit:
        text = f"{seen.missing.words}: more than the limit of {MAX_MISSING_PERCENT:.0f} % of signals too weak to score."
        advice = f"The guideline asks to reject the region and to count another one. {MISSED_SIGNALS.prompt}"
        rejected = replace(flags, suitable=False, unsuitable_reason=TOO_WEAK)
        return Disagreement(DisagreementKind.INTENSITY, text, advice, rejected, above_limit=seen.scored > 0)
    if flags.signal_intensity is SignalIntensity.UNSCORABLE and flags.suitable:
        text = f"The signals were flagged as unscorable, yet {seen.scored} nuclei of the region are counted."
        advice = "Flag the region as not suitable at intake, or the signals as weak if they can be counted."
        return Disagreement(DisagreementKind.INTENSITY, text, advice, weak)
    if flags.signal_intensity is not SignalIntensity.GOOD or not weak_channels:
        return None
    text = f"The signals were flagged as good, but {' and '.join(weak_channels)} hardly stand out in the image."
    advice = "Look for missed signals. If more than a quarter cannot be scored, the region is not suitable."
    return Disagreement(DisagreementKind.INTENSITY, text, advice, weak)


def _overlap(flags: RegionFlags, seen: Countability) -> Disagreement | None:
    share = seen.overlapping_percent
    if share is None or seen.whole < FEWEST_FOR_OVERLAP:
        return None
    whole = f"of {seen.whole} nuclei that lie wholly in the image"
    counts = f"{seen.overlapping} {whole} are left out as overlapping"
    if flags.overlap is Overlap.SEVERE:
        if share >= SEVERE_FROM_PERCENT:
            return None
        few = f"only {counts}" if seen.overlapping else f"none {whole} is left out as overlapping"
        text = f"Overlap was flagged as severe, but {few}."
        advice = "Look at large boxes: nuclei that touch may have been taken for one."
        return Disagreement(DisagreementKind.OVERLAP, text, advice, replace(flags, overlap=Overlap.LITTLE))
    if share <= MOST_OVERLAPPING_PERCENT[flags.overlap]:
        return None
    text = f"Overlap was flagged as {flags.overlap.value}, but {counts}."
    advice = "Look whether those left out can be counted, and whether enough nuclei of this region lie free."
    more = Overlap.SEVERE if share > MOST_OVERLAPPING_PERCENT[Overlap.MODERATE] else Overlap.MODERATE
    return Disagreement(DisagreementKind.OVERLAP, text, advice, replace(flags, overlap=more))
