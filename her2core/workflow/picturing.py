"""Which regions a report shows as pictures, and what it says of the others."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

__all__ = ["MOST_PICTURES", "Countable", "pictured", "pictures_note"]

MOST_PICTURES = 3  # domain.md 3.3: one to three


@dataclass(frozen=True, slots=True)
class Countable:
    """A region that counts: its name in the case, its population, and how many of its nuclei are scored."""

    name: str
    population: str
    scored: int


def pictured(regions: Sequence[Countable]) -> tuple[int, ...]:
    """The places of the regions to show, in their order: those with the most scored nuclei, and of each population one
    as long as there is room."""
    ranked = sorted(range(len(regions)), key=lambda i: -regions[i].scored)
    best = {regions[i].population: i for i in reversed(ranked)}
    first = [i for i in ranked if best[regions[i].population] == i]
    return tuple(sorted(list(dict.fromkeys((*first, *ranked)))[:MOST_PICTURES]))


def pictures_note(regions: Sequence[Countable]) -> str:
    """Which of the counted regions are shown, why these, and which are not; empty where all are."""
    shown = pictured(regions)
    if len(shown) == len(regions):
        return ""
    named = ", ".join(regions[i].name for i in shown)
    left_out = ", ".join(r.name for i, r in enumerate(regions) if i not in shown)
    return (
        f"Pictured: {len(shown)} of {len(regions)} counted regions ({named}), "
        f"{_why(len({r.population for r in regions}))}. Not pictured: {len(regions) - len(shown)} ({left_out}); their "
        "nuclei are counted and listed all the same."
    )


def _why(populations: int) -> str:
    """Why these regions are shown, in words."""
    if populations > MOST_PICTURES:
        return (
            f"each the one with the most scored nuclei of its population; {MOST_PICTURES} of the {populations} "
            "populations are shown"
        )
    return f"those with the most scored nuclei{', and of each population one' if populations > 1 else ''}"
