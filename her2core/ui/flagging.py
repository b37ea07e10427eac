"""Flags of one or many regions at once, shares of populations, and what is missing, briefly: pure."""

from __future__ import annotations

from collections.abc import Hashable, Iterable, Sequence
from dataclasses import replace
from typing import Any, TypeVar

from her2core.records import Overlap, Population, Region, RegionFlags, SignalIntensity
from her2core.scoring import TOO_WEAK

__all__ = ["REASONS", "UNSUITABLE", "briefly", "common", "next_label", "rebalanced", "summary", "with_field"]

UNSUITABLE = "not suitable"

REASONS = (
    TOO_WEAK,
    "strong autofluorescence or background",
    "out of focus",
    "nuclei not resolved (over- or under-digestion)",
    "signals over cytoplasm",
    "too few invasive tumour nuclei",
    "no invasive tumour",
)
"""The usual reasons for not counting a region (domain.md 1.9)."""

T = TypeVar("T", bound=Hashable)

_LETTERS = "ABCDEFGHIJKLMNOPQRSTUVWXYZ"
_MOST_LINES = 3


def with_field(flags: RegionFlags | None, population: str, /, **values: Any) -> RegionFlags:
    """The flags of a region with some of them changed.

    A region without flags starts as suitable, with good signals, little overlap, no clusters, homogeneous, showing
    `population`. A reason is kept only as long as the region is not suitable. Raises ScoringError for a region that is
    not suitable without a reason.
    """
    start = flags or RegionFlags(
        heterogeneous=False,
        population=population,
        clusters=False,
        signal_intensity=SignalIntensity.GOOD,
        overlap=Overlap.LITTLE,
        suitable=True,
    )
    if values.get("suitable"):
        values["unsuitable_reason"] = ""
    return replace(start, **values)


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
    # What was not touched is stated, too: it goes into the report as judged.
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
