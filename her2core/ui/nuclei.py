"""Which nuclei ask to be looked at, and how much."""

from __future__ import annotations

from her2core.records import Nucleus
from her2core.scoring import COLOUR_REASONS, ReviewedNucleus
from her2core.workflow import CaseReview

__all__ = ["doubt", "doubtful_nuclei", "scored_nuclei"]

_MOST = 6.0
_FREED = 3
_EVEN_SIGNALS = 4.0  # a disagreement of so many signals weighs like an even chance of a wrong count


def doubt(reviewed: ReviewedNucleus) -> float:
    """Larger asks more; 0 where a person has looked already.

    First what a box that was drawn since covers, then what counts and is uncertain, then clusters, whose counts are
    estimates, then what would count if a signal was missed, then what counts and is sure, last what is left out
    whatever its counts. Within each by the chance of a wrong count, or where it was not measured by how far the
    regression is from the count.
    """
    n = reviewed.nucleus
    if reviewed.covered:
        return _MOST
    if reviewed.edited and not reviewed.freed:
        return 0.0
    chance = n.uncertainty
    if chance is None:
        apart = abs((n.her2 or 0) - n.her2_regressed) + abs((n.cep17 or 0) - n.cep17_regressed)
        chance = apart / (apart + _EVEN_SIGNALS)
    return (_FREED if reviewed.freed else _rank(n)) + min(chance, 0.99)


def scored_nuclei(review: CaseReview) -> list[ReviewedNucleus]:
    """Those that bear on the result."""
    return [r for region in review.regions if region.counts for r in region.nuclei if r.nucleus.scored]


def doubtful_nuclei(review: CaseReview) -> list[ReviewedNucleus]:
    """Those of the scored ones that are overlapped or uncertain."""
    return [r for r in scored_nuclei(review) if r.doubtful]


def _rank(n: Nucleus) -> int:
    if n.scored:
        return 5 if n.uncertain else 4 if n.clustered else 1
    return 0 if n.reason not in COLOUR_REASONS else 3 if n.uncertain else 2
