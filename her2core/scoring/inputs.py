"""What the work-up is told and what it answers: frozen records without rules. The rules are in `workup`."""

from __future__ import annotations

import math
from collections.abc import Mapping
from dataclasses import dataclass, field
from enum import StrEnum

from her2core.errors import ScoringError
from her2core.records import IHC, Exclusion, Tally
from her2core.scoring.confidence import Confidence
from her2core.scoring.heterogeneity import Heterogeneity

__all__ = [
    "RULE_SET",
    "Adjudication",
    "CaseAssessment",
    "Outcome",
    "PopulationAssessment",
    "PopulationInputs",
    "Recount",
    "RejectionReason",
    "WorkUpInputs",
]

RULE_SET = "ASCO_CAP_2018"  # affirmed unchanged in 2023


class Outcome(StrEnum):
    """Where the work-up stands; the first two are final results, the third may be reported with its reason."""

    POSITIVE = "positive"
    NEGATIVE = "negative"
    INDETERMINATE = "indeterminate"
    PENDING_IHC = "pending IHC"
    PENDING_RECOUNT = "pending recount"
    PENDING_ADJUDICATION = "pending adjudication"

    @property
    def pending(self) -> bool:
        """True while a further step of the work-up has to be taken."""
        return self in (Outcome.PENDING_IHC, Outcome.PENDING_RECOUNT, Outcome.PENDING_ADJUDICATION)


class RejectionReason(StrEnum):
    """Reasons to call a test indeterminate (domain.md 1.9); the values are shown; free text may stand beside them."""

    CONTROLS = "The batch or on-slide controls did not hybridise as expected."
    TOO_FEW_AREAS = "Fewer than two areas of invasive tumour can be counted."
    WEAK_SIGNALS = "More than 25 % of the signals are too weak to score."
    CYTOPLASMIC = "More than 10 % of the signals lie over cytoplasm."
    RESOLUTION = "The nuclei are not resolved well enough (over- or under-digestion)."
    AUTOFLUORESCENCE = "Autofluorescence is too strong."


@dataclass(frozen=True, slots=True)
class Recount:
    """A second observer's count of one population. `blinded`: the observer did not know the first result."""

    observer_id: int
    blinded: bool
    tally: Tally


@dataclass(frozen=True, slots=True)
class Adjudication:
    """The laboratory's decision between two counts that fall into different groups.

    `group` is the group that the adjudicator holds to be right, None where only the category was decided.
    Raises ScoringError for a category that is no final result, an unknown group, a group that contradicts the category
    (1 is positive, 5 is negative) or a missing reason.
    """

    by_user_id: int
    category: Outcome
    group: int | None
    reason: str

    def __post_init__(self) -> None:
        if self.category not in (Outcome.POSITIVE, Outcome.NEGATIVE):
            raise ScoringError("An adjudication decides between positive and negative.")
        if self.group is not None and self.group not in range(1, 6):
            raise ScoringError(f"There is no ISH group {self.group}; the groups are 1 to 5.")
        if (self.group, self.category) in ((1, Outcome.NEGATIVE), (5, Outcome.POSITIVE)):
            raise ScoringError(
                f"Group {self.group} cannot be HER2 {self.category.value}: choose another group or category."
            )
        if not self.reason.strip():
            raise ScoringError("Give the reason for the adjudication; it becomes part of the record.")


@dataclass(frozen=True, slots=True)
class WorkUpInputs:
    """What is known of the whole case beside its counts.

    `first_observer_ids`: everyone who analysed, corrected or reviewed the first count; none of them can recount it.
    `no_discordance_attested`: True if the pathologist saw no histopathologic discordance, False if there is one, None
    if not stated yet. `indeterminate_reasons`: sentences, from `RejectionReason` or free text.
    Raises ScoringError for an unknown rule set.
    """

    controls_ok: bool | None = None
    ihc: IHC | None = None
    ihc_same_sample: bool | None = None
    first_observer_ids: frozenset[int] = frozenset()
    indeterminate_reasons: tuple[str, ...] = ()
    no_discordance_attested: bool | None = None
    rule_set: str = RULE_SET

    def __post_init__(self) -> None:
        if self.rule_set != RULE_SET:
            raise ScoringError(f"The rule set {self.rule_set!r} is not known; this version applies {RULE_SET}.")


@dataclass(frozen=True, slots=True)
class PopulationInputs:
    """What is known of one tumour-cell population, pooled over its regions.

    `share_percent`: of the tumour cells, needed where a case has several populations. `ihc` stands for the case's score
    where the population was scored by itself. `exclusions`, `clustered` (scored nuclei with clustered HER2) and
    `regions` (that hold scored nuclei; None where that is not known) serve the alerts. Raises ScoringError for an empty
    label or an impossible share.
    """

    label: str
    tally: Tally
    share_percent: float | None = None
    ihc: IHC | None = None
    recount: Recount | None = None
    adjudication: Adjudication | None = None
    indeterminate_reasons: tuple[str, ...] = ()
    exclusions: Mapping[Exclusion, int] = field(default_factory=dict)
    clustered: int = 0
    confidence: Confidence | None = None
    heterogeneity: Heterogeneity | None = None
    regions: int | None = None

    def __post_init__(self) -> None:
        if not self.label.strip():
            raise ScoringError("Name the population, for example A.")
        share = self.share_percent
        if share is not None and not (math.isfinite(share) and 0 < share <= 100):
            raise ScoringError(f"The share of population {self.label} must be above 0 and at most 100 %.")


@dataclass(frozen=True, slots=True)
class PopulationAssessment:
    """What the rules say of one population.

    `group` is the group that may be reported, None while indeterminate; `provisional_group` is the bare arithmetic, for
    display while counting. `counted` says whether the population bears on the case's result (it is the only one, or
    above 10 % of the tumour cells). `path` holds the steps taken as sentences, `reasons` why it is indeterminate,
    `recount_problem` why a recount was not accepted. `next_step` is None once the result is final.
    """

    label: str
    share_percent: float | None
    counted: bool
    tally: Tally
    group: int | None
    provisional_group: int | None
    outcome: Outcome
    path: tuple[str, ...]
    reasons: tuple[str, ...] = ()
    comment_letter: str | None = None
    comment: str | None = None
    alerts: tuple[str, ...] = ()
    next_step: str | None = None
    ihc: IHC | None = None
    recount: Recount | None = None
    recount_group: int | None = None
    recount_problem: str | None = None
    adjudication: Adjudication | None = None
    exclusions: Mapping[Exclusion, int] = field(default_factory=dict)
    clustered: int = 0
    confidence: Confidence | None = None
    heterogeneity: Heterogeneity | None = None


@dataclass(frozen=True, slots=True)
class CaseAssessment:
    """What the rules say of a case.

    `group` and `deciding` (a label) belong to the population that gave the outcome. `blockers` are the sentences that
    forbid signing; each says what to do, who may do it and why. `next_step` is the first of them, or that the case can
    be signed.
    """

    outcome: Outcome
    heterogeneous: bool
    populations: tuple[PopulationAssessment, ...]
    alerts: tuple[str, ...]
    next_step: str
    headline: str
    group: int | None
    deciding: str | None
    reasons: tuple[str, ...]
    blockers: tuple[str, ...]
    rule_set: str = RULE_SET

    @property
    def final_group(self) -> int | None:
        """The group that stands: `group`, or where two counts fell into different groups the one that the adjudicator
        holds to be right, None if only the category was decided."""
        for population in self.populations:
            if population.label == self.deciding and population.adjudication is not None:
                return population.adjudication.group
        return self.group

    @property
    def signable(self) -> bool:
        """True if the rules allow a final report now."""
        return not self.blockers

    @property
    def comments(self) -> tuple[tuple[str, str, str], ...]:
        """(population label, letter, text) of each comment that the report has to carry."""
        return tuple(
            (p.label, p.comment_letter, p.comment)
            for p in self.populations
            if p.comment_letter is not None and p.comment is not None
        )
