"""How countable a region turned out to be: shares of nuclei that could not be scored, with limits and advice.

What the pixels alone say before the analysis is measured in `imaging.quality`; this is what the models, and corrections
laid over them, found. Advice beside the pathologist's flags; it changes none of them (domain.md 1.9).
"""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterable, Mapping
from dataclasses import dataclass

from her2core.records import Exclusion, Nucleus
from her2core.scoring.inputs import RejectionReason
from her2core.scoring.tally import MINIMUM_NUCLEI

__all__ = [
    "MAX_MISSING_PERCENT",
    "MAX_OVERLAPPING_PERCENT",
    "SHOWN_TWICE",
    "TOO_WEAK",
    "Countability",
    "CountabilityAdvice",
    "MissingColours",
    "countability",
    "missing_colours",
]

MAX_OVERLAPPING_PERCENT = 40.0
MAX_MISSING_PERCENT = 25.0  # the guideline's share of signals too weak to score, read nucleus by nucleus
MAX_OUT_OF_FOCUS_PERCENT = 25.0
# Reasons not to use a region:
TOO_WEAK = "signals too weak to score"
SHOWN_TWICE = "shows the same cells as another region"
_NOT_THEIRS = (Exclusion.NOT_TUMOUR, Exclusion.NO_NUCLEUS, Exclusion.EDGE)  # says nothing about preparation or optics


@dataclass(frozen=True, slots=True)
class CountabilityAdvice:
    """A sentence, and the guideline's reason to reject a test that it may amount to."""

    text: str
    rejects: RejectionReason | None = None


@dataclass(frozen=True, slots=True)
class MissingColours:
    """The countable nuclei: those that are scored, and those that lack nothing but a colour."""

    scored: int
    no_cep17: int
    no_her2: int
    neither: int

    @property
    def number(self) -> int:
        """How many lack a colour."""
        return self.no_cep17 + self.no_her2 + self.neither

    @property
    def countable(self) -> int:
        """All of them, which every share is of."""
        return self.scored + self.number

    @property
    def above_limit(self) -> bool:
        """True where the guideline asks to reject: more than a quarter."""
        return 100 * self.number > MAX_MISSING_PERCENT * self.countable

    @property
    def words(self) -> str:
        """How many lack which colour; the parts add up to the countable nuclei."""
        parts = ((self.no_cep17, "without CEP17"), (self.no_her2, "without HER2"), (self.neither, "without either"))
        listed = ", ".join(f"{number} {what}" for number, what in parts if number)
        return (
            f"{self.number} of {self.countable} countable nuclei {'lacks' if self.number == 1 else 'lack'} a colour "
            f"({listed}; the other {self.scored} are scored)"
        )


def missing_colours(scored: int, left_out: Mapping[Exclusion, int]) -> MissingColours:
    """The countable nuclei from how many are scored and how many are left out for which reason."""
    reasons = (Exclusion.NO_CEP17, Exclusion.NO_HER2, Exclusion.NO_SIGNAL)
    return MissingColours(scored, *(left_out.get(reason, 0) for reason in reasons))


@dataclass(frozen=True, slots=True)
class Countability:
    """The nuclei of a region by what came of them.

    `whole`: tumour nuclei that lie wholly in the image; `overlapping`, `out_of_focus` and those in `missing` are the
    ones of these that were not scored for that reason.
    """

    found: int
    whole: int
    scored: int
    overlapping: int
    out_of_focus: int
    missing: MissingColours

    @property
    def overlapping_percent(self) -> float | None:
        """Of the whole nuclei; None without any."""
        return _percent(self.overlapping, self.whole)

    @property
    def out_of_focus_percent(self) -> float | None:
        """Of the whole nuclei that lie free; None without any."""
        return _percent(self.out_of_focus, self.whole - self.overlapping)

    @property
    def advice(self) -> tuple[CountabilityAdvice, ...]:
        """What to know before the region is relied on; empty if all is well."""
        found: list[CountabilityAdvice] = []
        if self.scored < MINIMUM_NUCLEI:
            text = (
                f"{self.scored} nuclei can be scored here; a result needs at least {MINIMUM_NUCLEI} over all regions "
                "of the population, from two areas or more."
            )
            found.append(CountabilityAdvice(text, RejectionReason.TOO_FEW_AREAS))
        if _above(self.overlapping_percent, MAX_OVERLAPPING_PERCENT):
            text = f"{self.overlapping} of {self.whole} nuclei that lie wholly in the image overlap and are not scored."
            found.append(CountabilityAdvice(f"{text} Prefer a region where nuclei lie apart."))
        if _above(self.out_of_focus_percent, MAX_OUT_OF_FOCUS_PERCENT):
            free = self.whole - self.overlapping
            text = f"{self.out_of_focus} of {free} nuclei that lie whole and free are out of focus."
            found.append(CountabilityAdvice(f"{text} Focus and take the image again.", RejectionReason.RESOLUTION))
        if self.missing.above_limit:
            text = f"{self.missing.words}: the hybridisation may be too weak to score."
            found.append(CountabilityAdvice(text, RejectionReason.WEAK_SIGNALS))
        return tuple(found)


def countability(nuclei: Iterable[Nucleus]) -> Countability:
    """Count what came of the nuclei of a region, as found or as corrected."""
    every = tuple(nuclei)
    left_out = Counter(n.reason for n in every if n.reason is not None)
    scored = sum(n.scored for n in every)
    return Countability(
        found=len(every),
        whole=sum(n.reason not in _NOT_THEIRS for n in every),
        scored=scored,
        overlapping=left_out[Exclusion.OVERLAP],
        out_of_focus=left_out[Exclusion.OUT_OF_FOCUS],
        missing=missing_colours(scored, left_out),
    )


def _percent(part: int, whole: int) -> float | None:
    return 100 * part / whole if whole else None


def _above(value: float | None, limit: float) -> bool:
    return value is not None and value > limit
