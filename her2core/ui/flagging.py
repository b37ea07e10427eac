"""Flags of one or many regions at once, shares of populations, and what is missing, briefly: pure."""

from __future__ import annotations

from collections.abc import Hashable, Iterable, Mapping, Sequence
from dataclasses import replace
from types import MappingProxyType
from typing import Any, TypeVar

from her2core.records import Overlap, Population, Region, RegionFlags, SignalIntensity
from her2core.scoring.suitability import SHOWN_TWICE, TOO_WEAK

__all__ = [
    "QUESTIONS",
    "REASONS",
    "UNSUITABLE",
    "USUAL",
    "briefly",
    "common",
    "judged",
    "next_label",
    "rebalanced",
    "rejected",
    "summary",
    "unanswered",
]

UNSUITABLE = "not suitable"

REASONS = (
    TOO_WEAK,
    "strong autofluorescence or background",
    "out of focus",
    "nuclei not resolved (over- or under-digestion)",
    "signals over cytoplasm",
    "too few invasive tumour nuclei",
    "no invasive tumour",
    SHOWN_TWICE,
)
"""The usual reasons for not counting a region (domain.md 1.9, and cells that would count twice)."""

QUESTIONS = ("signal_intensity", "overlap", "clusters", "heterogeneous")
"""What a pathologist judges of a suitable region before the models count (Xue et al. 2023, discussion)."""

USUAL: Mapping[str, Any] = MappingProxyType(
    {
        "signal_intensity": SignalIntensity.GOOD,
        "overlap": Overlap.LITTLE,
        "clusters": False,
        "heterogeneous": False,
    }
)
"""The answers that most regions get. One press gives them all, and the button says which."""

T = TypeVar("T", bound=Hashable)

_LETTERS = "ABCDEFGHIJKLMNOPQRSTUVWXYZ"
_MOST_LINES = 3


def unanswered(answers: Mapping[str, Any], *, populations: bool) -> list[str]:
    """The questions about a suitable region that have no answer yet; which population only where there are several."""
    return [name for name in (*QUESTIONS, *(["population"] if populations else [])) if answers.get(name) is None]


def judged(answers: Mapping[str, Any], population: str) -> RegionFlags:
    """The flags of a suitable region by the answer to each question; `population` where there is one only.

    Raises KeyError while a question is open: nothing is flagged by default.
    """
    return RegionFlags(
        suitable=True, population=answers.get("population") or population, **{name: answers[name] for name in QUESTIONS}
    )


def rejected(flags: RegionFlags | None, population: str, reason: str) -> RegionFlags:
    """The flags of a region that is not counted; what was not asked stands as usual and is not shown.

    Raises ScoringError without a reason.
    """
    start = flags or judged(USUAL, population)
    return replace(start, suitable=False, unsuitable_reason=reason)


def common(values: Iterable[T]) -> T | None:
    """What all have in common; None where they differ, and for none at all."""
    found = set(values)
    return found.pop() if len(found) == 1 else None


def summary(flags: RegionFlags | None, *, populations: bool) -> str:
    """The flags of a region in one line below its picture; which population only where there are several."""
    if flags is None:
        return "no flags yet"
    if not flags.suitable:
        return f"{UNSUITABLE}: {flags.unsuitable_reason}"
    parts = [f"{flags.signal_intensity} signals", f"{flags.overlap} overlap"]
    parts += ["clusters" if flags.clusters else "no clusters"]
    parts += ["heterogeneous" if flags.heterogeneous else "homogeneous"]
    parts += [f"population {flags.population}"] if populations else []
    return ", ".join(parts)


def rebalanced(populations: Sequence[Population], label: str, share_percent: float | None) -> list[Population]:
    """The populations with the share of one changed; of two the other one gets the rest."""
    changed = [replace(p, share_percent=share_percent) if p.label == label else p for p in populations]
    if len(changed) == 2 and share_percent is not None:
        changed = [p if p.label == label else replace(p, share_percent=100.0 - share_percent) for p in changed]
    return changed


def next_label(populations: Sequence[Population]) -> str | None:
    """The first letter that no population has; None where all are in use."""
    taken = {p.label.upper() for p in populations}
    return next((letter for letter in _LETTERS if letter not in taken), None)


def briefly(missing: Sequence[str], regions: Sequence[Region]) -> list[str]:
    """What is missing before the analysis; many regions without flags in one line."""
    unflagged = sum(region.flags is None for region in regions)
    if unflagged <= _MOST_LINES:
        return list(missing)
    return [f"Give the flags of {unflagged} regions.", *missing[unflagged:]]
