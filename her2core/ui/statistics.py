"""The laboratory's figures, computed from plain records of cases: pure, so that each can be tested with a table."""

from __future__ import annotations

import math
import statistics
from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from datetime import date

from her2core.records import CaseState

__all__ = [
    "CaseFigures",
    "Edits",
    "Share",
    "edits_of",
    "group_mix",
    "median",
    "opened_between",
    "outcomes",
    "positivity",
    "signed_between",
    "state_counts",
    "turnaround_days",
    "within",
]


@dataclass(frozen=True, slots=True)
class CaseFigures:
    """What the figures need to know of one case. Days are those of the laboratory's clock.

    `signed_on` is the day of the first final report. `nuclei` are those that count as they stand now or stood in the
    models' findings, `edited` those of them that the pathologist changed, added or left out. `ai_groups` and
    `final_groups` are the groups of the populations, from the models' counts alone and from the corrected ones.
    """

    accession: str
    state: CaseState
    opened_on: date
    received_on: date | None
    signed_on: date | None
    group: int | None
    outcome: str | None
    nuclei: int
    edited: int
    ai_groups: tuple[int | None, ...]
    final_groups: tuple[int | None, ...]

    @property
    def turnaround_days(self) -> int | None:
        """Calendar days from receipt to the signature; from the opening of the case where no receipt is recorded.

        None for a case that is not signed, or that was signed before the day of receipt that is recorded.
        """
        if self.signed_on is None:
            return None
        days = (self.signed_on - (self.received_on or self.opened_on)).days
        return days if days >= 0 else None

    @property
    def edited_percent(self) -> float | None:
        """Edited nuclei in percent of all; None without nuclei."""
        return None if self.nuclei == 0 else 100.0 * self.edited / self.nuclei

    @property
    def group_moved(self) -> bool:
        """True if the group from the models' counts alone is another than the one from the corrected counts."""
        return self.ai_groups != self.final_groups


@dataclass(frozen=True, slots=True)
class Share:
    """`k` of `n`, with Wilson's 95 % interval in percent; the interval is 0 to 100 where n is 0."""

    k: int
    n: int

    @property
    def percent(self) -> float | None:
        """The share in percent; None where n is 0."""
        return None if self.n == 0 else 100.0 * self.k / self.n

    @property
    def interval(self) -> tuple[float, float]:
        """Wilson's score interval of the share, in percent (Wilson 1927)."""
        if self.n == 0:
            return (0.0, 100.0)
        z = 1.959964
        p = self.k / self.n
        middle = p + z * z / (2 * self.n)
        reach = z * math.sqrt(p * (1 - p) / self.n + z * z / (4 * self.n * self.n))
        scale = 100.0 / (1 + z * z / self.n)
        return (max(0.0, scale * (middle - reach)), min(100.0, scale * (middle + reach)))


@dataclass(frozen=True, slots=True)
class Edits:
    """How much of the models' findings was changed, over several cases."""

    cases: int
    nuclei: int
    edited: int
    untouched_cases: int
    moved_cases: int

    @property
    def share(self) -> Share:
        """Edited nuclei among all."""
        return Share(self.edited, self.nuclei)


def opened_between(cases: Iterable[CaseFigures], since: date | None, until: date | None) -> list[CaseFigures]:
    """The cases opened from `since` to `until`, both days included; None: no bound."""
    return [case for case in cases if _inside(case.opened_on, since, until)]


def signed_between(cases: Iterable[CaseFigures], since: date | None, until: date | None) -> list[CaseFigures]:
    """The signed cases whose first final report is of `since` to `until`, both days included."""
    return [case for case in cases if case.signed_on is not None and _inside(case.signed_on, since, until)]


def _inside(day: date, since: date | None, until: date | None) -> bool:
    return (since is None or day >= since) and (until is None or day <= until)


def state_counts(cases: Iterable[CaseFigures]) -> dict[CaseState, int]:
    """How many cases are in each state, every state named, in the order of the work."""
    found = [case.state for case in cases]
    return {state: found.count(state) for state in CaseState}


def group_mix(signed: Iterable[CaseFigures]) -> dict[int | None, int]:
    """How many signed cases fall into each group, 1 to 5 all named; None, only where there are some: no group."""
    found = [case.group for case in signed]
    mix: dict[int | None, int] = {group: found.count(group) for group in (1, 2, 3, 4, 5)}
    if None in found:
        mix[None] = found.count(None)
    return mix


def outcomes(signed: Iterable[CaseFigures]) -> dict[str, int]:
    """How many signed cases ended how: positive and negative always named, others where there are some."""
    counts = {"positive": 0, "negative": 0}
    for case in signed:
        word = case.outcome or "not stated"
        counts[word] = counts.get(word, 0) + 1
    return counts


def positivity(signed: Iterable[CaseFigures]) -> Share:
    """Positive cases among those that are positive or negative; indeterminate ones are left out."""
    counts = outcomes(signed)
    return Share(counts["positive"], counts["positive"] + counts["negative"])


def turnaround_days(signed: Iterable[CaseFigures]) -> list[int]:
    """The turnaround of each signed case that has one, in calendar days, shortest first."""
    return sorted(days for case in signed if (days := case.turnaround_days) is not None)


def median(values: Sequence[float]) -> float | None:
    """The median; None without values."""
    return float(statistics.median(values)) if values else None


def within(days: Sequence[int], limit: int) -> Share:
    """How many turnarounds are at most `limit` days."""
    return Share(sum(day <= limit for day in days), len(days))


def edits_of(cases: Iterable[CaseFigures]) -> Edits:
    """The edits of all cases that have nuclei, together."""
    counted = [case for case in cases if case.nuclei > 0]
    return Edits(
        cases=len(counted),
        nuclei=sum(case.nuclei for case in counted),
        edited=sum(case.edited for case in counted),
        untouched_cases=sum(case.edited == 0 for case in counted),
        moved_cases=sum(case.group_moved for case in counted),
    )
