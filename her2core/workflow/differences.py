"""What people changed of what the AI said: nucleus by nucleus, and in the totals of each population."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass

from her2core.records import Nucleus, Tally
from her2core.scoring import ReviewedNucleus
from her2core.workflow.assessing import CaseReview

__all__ = ["NucleusDifference", "TotalsDifference", "in_plain_words", "nucleus_differences", "totals_differences"]


@dataclass(frozen=True, slots=True)
class NucleusDifference:
    """A nucleus that counts otherwise than the AI said. `ai` is None where a person added it.

    `changes` says what differs, `reasons` what was given as a reason, `by_user_ids` who corrected it.
    """

    region: str
    population: str
    ai: Nucleus | None
    final: Nucleus
    changes: tuple[str, ...]
    reasons: tuple[str, ...]
    by_user_ids: tuple[int, ...]


@dataclass(frozen=True, slots=True)
class TotalsDifference:
    """The totals of a population: what the AI counted, and what the result rests on. Groups None: no ratio."""

    population: str
    ai: Tally
    ai_group: int | None
    final: Tally
    final_group: int | None
    nuclei: int
    nuclei_changed: int


def nucleus_differences(review: CaseReview) -> tuple[NucleusDifference, ...]:
    """The nuclei of the counting regions that differ from what the AI said, in the order of regions and numbers."""
    return tuple(
        NucleusDifference(
            region.name,
            region.population or "",
            r.ai,
            r.nucleus,
            in_plain_words(r),
            tuple(dict.fromkeys(c.reason for c in r.corrections if c.reason.strip())),
            tuple(dict.fromkeys(c.by_user_id for c in r.corrections)),
        )
        for region in review.regions
        if region.counts
        for r in region.nuclei
        if r.changed
    )


def totals_differences(review: CaseReview) -> tuple[TotalsDifference, ...]:
    """A line for each population; empty before the analysis."""
    lines = []
    for p in review.assessment.populations if review.assessment is not None else ():
        own = [n for r in review.regions if r.counts and r.population == p.label for n in r.nuclei]
        ai = review.ai[p.label]
        lines.append(
            TotalsDifference(
                p.label, ai.tally, ai.group, p.tally, p.provisional_group, len(own), sum(n.changed for n in own)
            )
        )
    return tuple(lines)


def in_plain_words(reviewed: ReviewedNucleus) -> tuple[str, ...]:
    """How a nucleus differs from what the AI said, each difference in a few words; empty where it does not."""
    return tuple(_words(reviewed))


def _words(reviewed: ReviewedNucleus) -> Iterator[str]:
    now, ai = reviewed.nucleus, reviewed.ai
    if ai is None:
        yield "added by hand"
    else:
        if now.her2 != ai.her2:
            yield f"HER2 {_count(ai.her2)} → {_count(now.her2)}"
        if now.cep17 != ai.cep17:
            yield f"CEP17 {_count(ai.cep17)} → {_count(now.cep17)}"
        if now.clustered != ai.clustered and now.her2 != 0:  # without HER2 nothing is clustered
            yield "marked as cluster" if now.clustered else "no cluster"
        if now.box != ai.box:
            yield "box moved"
        if now.scored and not ai.scored:
            yield f"scored (AI: {ai.reason})"
    if not now.scored and (ai is None or ai.scored or ai.reason is not now.reason):
        yield f"not scored: {now.reason}"


def _count(value: int | None) -> str:
    return "–" if value is None else str(value)
