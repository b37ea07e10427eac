"""Nuclei as a table, and in the order in which they are looked through."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

from her2core.scoring import ReviewedNucleus
from her2core.ui.palette import BOX_STYLES, state_of_nucleus

__all__ = ["doubt", "in_order", "neighbour", "table_rows"]


def doubt(reviewed: ReviewedNucleus) -> tuple[int, float]:
    """How much a nucleus asks to be looked at: larger is more. Edited ones were looked at already."""
    n = reviewed.nucleus
    if reviewed.edited:
        return (0, 0.0)
    apart = abs((n.her2 or 0) - n.her2_regressed) + abs((n.cep17 or 0) - n.cep17_regressed)
    return (2 * n.uncertain + n.clustered + (not n.scored and n.reason is not None), apart)


def in_order(nuclei: Sequence[ReviewedNucleus], *, doubtful_first: bool) -> list[ReviewedNucleus]:
    """As one reads a page, or the doubtful ones first."""
    return sorted(nuclei, key=doubt, reverse=True) if doubtful_first else list(nuclei)


def neighbour(nuclei: Sequence[ReviewedNucleus], selected: int | None, step: int) -> int | None:
    """The id of the next (1) or previous (-1) nucleus, round the ends; None without nuclei."""
    ids = [r.nucleus.id for r in nuclei]
    if not ids:
        return None
    if selected not in ids:
        return ids[0] if step > 0 else ids[-1]
    return ids[(ids.index(selected) + step) % len(ids)]


def table_rows(nuclei: Sequence[ReviewedNucleus]) -> list[dict[str, Any]]:
    """A row a nucleus: what counts now, what the AI said, and what is to be known of it."""
    return [_row(reviewed) for reviewed in nuclei]


def _row(reviewed: ReviewedNucleus) -> dict[str, Any]:
    n, ai = reviewed.nucleus, reviewed.ai
    state = state_of_nucleus(reviewed)
    notes = []
    if not n.scored and n.reason is not None:
        notes.append(n.reason.value)
    notes += [word for word, holds in (("clustered", n.clustered), ("uncertain", n.uncertain)) if holds]
    if ai is None:
        notes.append("added")
    elif reviewed.edited:
        notes.append("edited")
    return {
        "": BOX_STYLES[state].sign,
        "Nr": n.id,
        "HER2": n.her2,
        "CEP17": n.cep17,
        "AI HER2": None if ai is None else ai.her2,
        "AI CEP17": None if ai is None else ai.cep17,
        "Scored": n.scored,
        "Note": ", ".join(notes),
    }
