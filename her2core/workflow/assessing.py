"""Read a case whole: regions with their corrected nuclei, what the rules say of them, and what is still missing."""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass
from typing import Any

from her2core.caselog import AuditEntry, CaseLog
from her2core.caselog.entries import (
    AdjudicationRecord,
    Amendment,
    RecountRecord,
    Statement,
    StatementKind,
)
from her2core.records import (
    Case,
    CaseState,
    Correction,
    ModelUsed,
    Nucleus,
    Region,
    RegionAnalysis,
    SystematicError,
    Tally,
)
from her2core.scoring.groups import group
from her2core.scoring.review import ReviewedNucleus, apply_corrections
from her2core.scoring.states import state_of
from her2core.scoring.systematic import SharedError, shared_errors
from her2core.scoring.tally import tally
from her2core.scoring.wording import no_result_yet
from her2core.scoring.workup import (
    Adjudication,
    CaseAssessment,
    Outcome,
    PopulationInputs,
    Recount,
    WorkUpInputs,
    assess_case,
    population_inputs,
    standing_recount,
)
from her2core.workflow import standing
from her2core.workflow.findings import CaseWarning, PopulationFindings, case_warnings, population_findings
from her2core.workflow.intake_checks import warnings_of

__all__ = ["AiResult", "CaseReview", "RegionReview", "assess", "models_used"]

# Acts after which the counts have to be looked at again, and those after which they need not: a withdrawn amendment
# has changed nothing.
_REVIEWED = ("review confirmed", "amendment withdrawn")
_COUNTING = ("region analysed", "correction added")
_MOST_ENTRIES = 100_000
_CHANGING = (
    *_COUNTING,
    "region added",
    "region removed",
    "region flags set",
    "amendment opened",
)


@dataclass(frozen=True, slots=True)
class RegionReview:
    """A region as it counts now. `name` is short and unique in the case: population and number, such as "A2"."""

    region: Region
    name: str
    analysis: RegionAnalysis | None
    corrections: tuple[Correction, ...]
    nuclei: tuple[ReviewedNucleus, ...]

    @property
    def suitable(self) -> bool:
        """True if the pathologist found the region fit for counting."""
        return self.region.flags is not None and self.region.flags.suitable

    @property
    def population(self) -> str | None:
        """The population that the region was flagged to show; None before flags are given."""
        return None if self.region.flags is None else self.region.flags.population

    @property
    def counts(self) -> bool:
        """True if the nuclei of the region bear on the result."""
        return self.suitable and self.analysis is not None

    @property
    def systematic_error(self) -> SystematicError | None:
        """How far the counts of this region may be off together, as its counter's card said; None where it did not."""
        models = () if self.analysis is None else self.analysis.models
        return next((m.systematic_error for m in models if m.systematic_error is not None), None)


def models_used(regions: Iterable[RegionReview]) -> tuple[ModelUsed, ...]:
    """The models that took part in what these regions say, each once."""
    return tuple(dict.fromkeys(model for r in regions if r.analysis is not None for model in r.analysis.models))


@dataclass(frozen=True, slots=True)
class AiResult:
    """What the models alone said of a population, before any correction."""

    tally: Tally
    group: int | None


@dataclass(frozen=True, slots=True)
class CaseReview:
    """A case with all that follows from it. `state` is derived, `case.state` stored.

    `assessment` is None until a suitable region is analysed, or all are rejected and the reasons recorded. `missing`
    says what analysis still waits for. `findings` has the populations that are counted, by label. `attested`: whether
    the result was said to fit the histology; None where nobody said so of the result as it is now. `impossible`: what
    cannot be in the details, as a case of an earlier release may have it; it is corrected before signing.
    """

    case: Case
    state: CaseState
    amendment: Amendment | None
    regions: tuple[RegionReview, ...]
    assessment: CaseAssessment | None
    ai: Mapping[str, AiResult]
    reviewed: bool
    missing: tuple[str, ...]
    warnings: tuple[CaseWarning, ...]
    findings: Mapping[str, PopulationFindings]
    statements: tuple[Statement, ...]
    recounts: tuple[RecountRecord, ...]
    adjudications: tuple[AdjudicationRecord, ...]
    attested: bool | None = None
    impossible: tuple[str, ...] = ()

    @property
    def editable(self) -> bool:
        """True while the case may be changed: it is not signed, or an amendment is open."""
        return _editable(self.case, self.amendment)

    @property
    def all_rejected(self) -> bool:
        """True if there are regions and none of them is suitable: nothing can be counted."""
        return _all_rejected(self.regions)

    @property
    def has_result(self) -> bool:
        """True if the counts are confirmed and the work-up waits for nothing; the result may be indeterminate."""
        return self.reviewed and self.assessment is not None and not self.assessment.outcome.pending

    @property
    def headline(self) -> str:
        """The result in one line: none before the counts are confirmed, empty where nothing is analysed yet."""
        if self.assessment is None:
            return ""
        return self.assessment.headline if self.reviewed else no_result_yet("no pathologist has confirmed the counts")

    @property
    def to_analyse(self) -> tuple[Region, ...]:
        """The suitable regions that have no analysis yet."""
        return tuple(r.region for r in self.regions if r.suitable and r.analysis is None)

    @property
    def obstacles(self) -> tuple[str, ...]:
        """What still stands between the case and a signature, in the order in which it is best dealt with."""
        if self.assessment is None:
            return self.missing or ("Analyse the regions.",)
        found = [f"Analyse region {r.name}." for r in self.regions if r.suitable and r.analysis is None]
        if self.unsettled:
            found.append(
                f"Settle {_points(len(self.unsettled))} on which flags or counts disagree with what was found: "
                "acknowledge each, or change the flag."
            )
        if not self.reviewed:
            found.append("Confirm the review: look through the nuclei, then press “Counts reviewed”.")
        found += self.assessment.blockers
        found += [f"Correct the case details: {text}" for text in self.impossible]
        unread = sum(not warning.acknowledged and not warning.before_review for warning in self.warnings)
        if unread:
            found.append(f"Acknowledge {unread} open warning{'s' if unread > 1 else ''}.")
        return tuple(found)

    @property
    def unsettled(self) -> tuple[CaseWarning, ...]:
        """The disagreements that nobody acknowledged: the counts cannot be confirmed before."""
        return tuple(w for w in self.warnings if w.before_review and not w.acknowledged)

    def region(self, region_id: int) -> RegionReview | None:
        """The region with this id, None where the case has it no more."""
        return next((r for r in self.regions if r.region.id == region_id), None)

    def statement(self, kind: StatementKind, subject: str = "") -> Statement | None:
        """The statement of this kind in force."""
        return next((s for s in self.statements if s.kind is kind and s.subject == subject), None)


def assess(log: CaseLog, case_id: int) -> CaseReview:
    """The case as it stands. Reads only. Raises NotFoundError."""
    case = log.case(case_id)
    regions = _regions(log, case_id)
    statements = tuple(log.statements(case_id))
    recounts = tuple(log.recounts(case_id))
    adjudications = tuple(log.adjudications(case_id))
    amendment = log.amendment(case_id)
    counting = [r for r in regions if r.counts]
    uncountable = _uncountable(regions, statements)
    reviewed = uncountable or (bool(counting) and _reviewed(log, case_id))
    attested = _value(statements, StatementKind.NO_DISCORDANCE, "value")
    assessment = None
    if counting or uncountable:
        stated = bool(recounts or adjudications) or attested is not None
        entries = log.audit(case_id, _MOST_ENTRIES, actions=standing.ACTIONS) if stated else []
        populations = _populations(case, counting, recounts, adjudications, entries)
        assessment = assess_case(populations, _inputs(case, statements, entries, attested))
        if attested is not None and reviewed and _about_another_result(assessment, entries):
            attested = None
            assessment = assess_case(populations, _inputs(case, statements, entries, None))
    analysed = uncountable or (bool(counting) and all(r.counts for r in regions if r.suitable))
    editable = _editable(case, amendment)
    labels = [p.label for p in case.populations]
    findings = {
        label: population_findings(own) for label in labels if (own := [r for r in counting if r.population == label])
    }
    of_details = () if assessment is None else warnings_of(log, case)
    asking = [warning.text for warning in of_details if not warning.impossible]
    impossible = tuple(warning.text for warning in of_details if warning.impossible)
    warnings = case_warnings(assessment, regions, findings, statements, asking, editable=editable)
    read = not impossible and all(warning.acknowledged for warning in warnings)
    return CaseReview(
        case=case,
        state=state_of(
            assessment,
            analysed=analysed,
            reviewed=reviewed,
            warnings_read=read,
            reported=None if editable else case.state,
        ),
        amendment=amendment,
        regions=regions,
        assessment=assessment,
        ai={p.label: _ai_result(counting, p.label) for p in case.populations},
        reviewed=reviewed,
        missing=_missing(case, regions),
        warnings=warnings,
        findings=findings,
        statements=statements,
        recounts=recounts,
        adjudications=adjudications,
        attested=attested if isinstance(attested, bool) else None,
        impossible=impossible,
    )


def _editable(case: Case, amendment: Amendment | None) -> bool:
    return amendment is not None or case.state not in (CaseState.SIGNED, CaseState.AMENDED)


def _regions(log: CaseLog, case_id: int) -> tuple[RegionReview, ...]:
    found: list[RegionReview] = []
    numbers: dict[str, int] = {}
    for region in log.regions(case_id):
        label = region.flags.population if region.flags is not None else "?"
        numbers[label] = numbers.get(label, 0) + 1
        analysis = log.analysis(region.id)
        corrections = tuple(log.corrections(region.id)) if analysis is not None else ()
        nuclei = apply_corrections(analysis.nuclei, corrections) if analysis is not None else ()
        found.append(RegionReview(region, f"{label}{numbers[label]}", analysis, corrections, nuclei))
    return tuple(found)


def _pooled(regions: Iterable[RegionReview], label: str) -> list[Nucleus]:
    return [r.nucleus for region in regions if region.population == label for r in region.nuclei]


def _with_scored(regions: Iterable[RegionReview], label: str) -> int:
    return sum(r.population == label and any(n.nucleus.scored for n in r.nuclei) for r in regions)


def _shared(regions: Iterable[RegionReview], label: str) -> list[SharedError]:
    """What the counts of each scored nucleus have in common with others of its region, in the order of `_pooled`."""
    return [
        error
        for r in regions
        if r.population == label
        for error in shared_errors(
            [n.nucleus for n in r.nuclei],
            r.systematic_error or SystematicError(),
            r.region.id,
            {n.nucleus.id for n in r.nuclei if n.read},
        )
    ]


def _ai_result(regions: Iterable[RegionReview], label: str) -> AiResult:
    nuclei = [n for r in regions if r.population == label and r.analysis is not None for n in r.analysis.nuclei]
    numbers = tally(nuclei)
    return AiResult(numbers, group(numbers))


def _populations(
    case: Case,
    regions: Sequence[RegionReview],
    recounts: Sequence[RecountRecord],
    adjudications: Sequence[AdjudicationRecord],
    entries: Sequence[AuditEntry],
) -> list[PopulationInputs]:
    """Each population pooled over its regions, with the recount and the decision that stand."""
    observers = standing.first_observers(entries)
    decided = standing.standing_adjudications(entries)
    return [
        population_inputs(
            population.label,
            _pooled(regions, population.label),
            shared=_shared(regions, population.label),
            regions=_with_scored(regions, population.label),
            share_percent=population.share_percent or None,
            recount=standing_recount(
                [Recount(r.observer_id, r.blinded, r.tally) for r in recounts if r.population == population.label],
                observers,
            ),
            adjudication=_adjudication([a for a in adjudications if a.id in decided], population.label),
        )
        for population in case.populations
    ]


def _inputs(
    case: Case, statements: Sequence[Statement], entries: Sequence[AuditEntry], attested: object
) -> WorkUpInputs:
    reasons = _value(statements, StatementKind.INDETERMINATE, "reasons") or []
    return WorkUpInputs(
        controls_ok=case.details.controls_ok,
        ihc=case.details.ihc,
        ihc_same_sample=case.details.ihc_same_sample,
        first_observer_ids=standing.first_observers(entries),
        indeterminate_reasons=tuple(str(reason) for reason in reasons),
        no_discordance_attested=attested if isinstance(attested, bool) else None,
    )


def _about_another_result(assessment: CaseAssessment, entries: Sequence[AuditEntry]) -> bool:
    """True if the statement on the histology was about another result than that of the case, or about none."""
    if assessment.outcome.pending:
        return False
    return standing.attested_result(entries) != (assessment.final_group, assessment.outcome.value)


def _adjudication(records: Sequence[AdjudicationRecord], label: str) -> Adjudication | None:
    own = [r for r in records if r.population == label]
    if not own:
        return None
    last = own[-1]
    return Adjudication(last.by_user_id, Outcome(last.category), last.group, last.reason)


def _value(statements: Iterable[Statement], kind: StatementKind, key: str) -> Any:
    return next((s.value.get(key) for s in statements if s.kind is kind), None)


def _points(number: int) -> str:
    return "1 point" if number == 1 else f"{number} points"


def _reviewed(log: CaseLog, case_id: int) -> bool:
    """True if the review was confirmed after the last change of the counts."""
    last = log.audit(case_id, 1, actions=(*_CHANGING, *_REVIEWED))
    return bool(last) and last[0].action in _REVIEWED


def _uncountable(regions: Sequence[RegionReview], statements: Iterable[Statement]) -> bool:
    """True where no region is suitable and a pathologist said why the test gives no result: there is nothing to count,
    and the case is reported as indeterminate (domain.md 1.9)."""
    return _all_rejected(regions) and bool(_value(statements, StatementKind.INDETERMINATE, "reasons"))


def _all_rejected(regions: Sequence[RegionReview]) -> bool:
    return bool(regions) and all(r.region.flags is not None and not r.suitable for r in regions)


def _missing(case: Case, regions: Sequence[RegionReview]) -> tuple[str, ...]:
    """What has to be given before the regions can be analysed."""
    if not regions:
        return ("Add at least one region image.",)
    found = [f"Give the flags of {r.region.filename}." for r in regions if r.region.flags is None]
    if _all_rejected(regions):
        found.append(
            "No region is suitable: add another one, or say under Work-up and sign-out why the test gives no result, "
            "and sign the case as indeterminate."
        )
    if len(case.populations) > 1:
        found += [
            f"Give the share of population {p.label} in the tumour." for p in case.populations if not p.share_percent
        ]
        shown = {r.population for r in regions if r.suitable}
        found += [f"No suitable region shows population {p.label}." for p in case.populations if p.label not in shown]
    return tuple(found)
