"""How much each nucleus asks to be looked at."""

from __future__ import annotations

from her2core.scoring import ReviewedNucleus

__all__ = ["doubt"]

_LEFT_OUT, _CLUSTERED, _UNCERTAIN = 1, 2, 4
_EVEN_SIGNALS = 4.0  # a disagreement of so many signals weighs like an even chance of a wrong count


def doubt(reviewed: ReviewedNucleus) -> float:
    """Larger asks more; 0 where a person has looked already.

    First those that are marked as uncertain, then clustered ones, then those that were left out; among these by the
    chance of a wrong count, or where it was not measured by how far the regression is from the count.
    """
    n = reviewed.nucleus
    if reviewed.edited:
        return 0.0
    chance = n.uncertainty
    if chance is None:
        apart = abs((n.her2 or 0) - n.her2_regressed) + abs((n.cep17 or 0) - n.cep17_regressed)
        chance = apart / (apart + _EVEN_SIGNALS)
    return (
        _UNCERTAIN * n.uncertain
        + _CLUSTERED * (n.clustered and n.scored)
        + _LEFT_OUT * (not n.scored)
        + min(chance, 0.99)
    )
