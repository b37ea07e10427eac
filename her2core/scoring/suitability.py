"""How countable a region turned out to be: shares of nuclei that could not be scored, with limits and advice.

What the pixels alone say before the analysis is measured in `imaging.quality`; this is what the models, and corrections
laid over them, found. Advice beside the pathologist's flags; it changes none of them (domain.md 1.9).
"""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import dataclass

from her2core.records import Exclusion, Nucleus
from her2core.scoring.inputs import RejectionReason
from her2core.scoring.tally import MINIMUM_NUCLEI

__all__ = ["MAX_MISSING_PERCENT", "MAX_OVERLAPPING_PERCENT", "Countability", "CountabilityAdvice", "countability"]

MAX_OVERLAPPING_PERCENT = 40.0
MAX_MISSING_PERCENT = 25.0  # the guideline's share of signals too weak to score, read nucleus by nucleus
MAX_OUT_OF_FOCUS_PERCENT = 25.0
_MISSING_COLOUR = (Exclusion.NO_HER2, Exclusion.NO_CEP17, Exclusion.NO_SIGNAL)
_NOT_THEIRS = (Exclusion.NOT_TUMOUR, Exclusion.EDGE)  # says nothing about preparation or optics


@dataclass(frozen=True, slots=True)
class CountabilityAdvice:
    """A sentence, and the guideline's reason to reject a test that it may amount to."""

    text: str
    rejects: RejectionReason | None = None


@dataclass(frozen=True, slots=True)
class Countability:
    """The nuclei of a region by what came of them.

    `whole`: tumour nuclei that lie wholly in the image; `overlapping`, `out_of_focus` and `without_colour` of these
    were not scored for that reason.
    """

    found: int
    whole: int
    scored: int
    overlapping: int
    out_of_focus: int
    without_colour: int

    @property
    def overlapping_percent(self) -> float | None:
        """Of the whole nuclei; None without any."""
        return _percent(self.overlapping, self.whole)

    @property
    def out_of_focus_percent(self) -> float | None:
        """Of the whole nuclei that lie free; None without any."""
        return _percent(self.out_of_focus, self.whole - self.overlapping)

    @property
    def without_colour_percent(self) -> float | None:
        """Of the nuclei that are scored or lack only a colour; None without any."""
        return _percent(self.without_colour, self.scored + self.without_colour)

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
            text = f"{self.overlapping} of {self.whole} nuclei overlap others and are not scored."
            found.append(CountabilityAdvice(f"{text} Prefer a region where nuclei lie apart."))
        if _above(self.out_of_focus_percent, MAX_OUT_OF_FOCUS_PERCENT):
            text = f"{self.out_of_focus} of {self.whole} nuclei are out of focus. Focus and take the image again."
            found.append(CountabilityAdvice(text, RejectionReason.RESOLUTION))
        if _above(self.without_colour_percent, MAX_MISSING_PERCENT):
            text = (
                f"{self.without_colour} of {self.scored + self.without_colour} nuclei lack a colour: the hybridisation "
                "may be too weak to score."
            )
            found.append(CountabilityAdvice(text, RejectionReason.WEAK_SIGNALS))
        return tuple(found)


def countability(nuclei: Iterable[Nucleus]) -> Countability:
    """Count what came of the nuclei of a region, as found or as corrected."""
    every = tuple(nuclei)
    return Countability(
        found=len(every),
        whole=sum(n.reason not in _NOT_THEIRS for n in every),
        scored=sum(n.scored for n in every),
        overlapping=sum(n.reason is Exclusion.OVERLAP for n in every),
        out_of_focus=sum(n.reason is Exclusion.OUT_OF_FOCUS for n in every),
        without_colour=sum(n.reason in _MISSING_COLOUR for n in every),
    )


def _percent(part: int, whole: int) -> float | None:
    return 100 * part / whole if whole else None


def _above(value: float | None, limit: float) -> bool:
    return value is not None and value > limit
