"""The work-up as steps: which are done, which one is next, who takes it and by which rule. Drawn by pages; no rule is
decided here, all of them are in `workup`.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, replace
from enum import StrEnum

from her2core.scoring.groups import describe_group, group
from her2core.scoring.inputs import CaseAssessment, Outcome, PopulationAssessment
from her2core.scoring.tally import MINIMUM_NUCLEI, copy_number, ratio, truncated
from her2core.scoring.wording import with_share

__all__ = ["CaseFacts", "Step", "StepKind", "StepState", "next_step", "work_up_steps"]


class StepKind(StrEnum):
    """The steps in their order; the values are their titles."""

    REVIEW = "Counts reviewed"
    CONTROLS = "Controls"
    SHARES = "Populations and their shares"
    NUCLEI = "At least 20 nuclei"
    GROUP = "ISH group"
    IHC = "IHC on the same sample"
    RECOUNT = "Blinded recount"
    ADJUDICATION = "Adjudication"
    RESULT = "Result"
    WARNINGS = "Warnings read"
    HISTOLOGY = "Fits the histology"
    SIGNATURE = "Signature"


class StepState(StrEnum):
    """How a step stands. Of the open steps the first one is NOW, all others are AHEAD."""

    DONE = "done"
    NOW = "now"
    AHEAD = "ahead"
    NOT_NEEDED = "not needed"
    FAILED = "not met"


@dataclass(frozen=True, slots=True)
class Step:
    """One step. `says` is what stands; `action`, `who` and `why` tell what to do, who may do it and which rule asks for
    it, and are empty where nothing is to be done. `population` is its label, empty for steps of the whole case.
    """

    kind: StepKind
    state: StepState
    says: str = ""
    action: str = ""
    who: str = ""
    why: str = ""
    population: str = ""


@dataclass(frozen=True, slots=True)
class CaseFacts:
    """What the steps depend on beside the assessment.

    `settled` tells whether all was settled that flags or counts and findings disagree on; `attested` is as in
    `WorkUpInputs`.
    """

    reviewed: bool
    controls_ok: bool | None
    ihc_same_sample: bool | None
    attested: bool | None
    warnings_open: int
    warnings: int
    settled: bool = True
    signed: bool = False


_RULE = "ASCO/CAP 2018, affirmed 2023"
_PATHOLOGIST = "A pathologist"
_SIGNER = "The pathologist who signs"
_SECOND = "Another pathologist, who took no part in the first count and has not seen it"
_ADJUDICATOR = "The pathologist whom the laboratory's procedure names"


def work_up_steps(assessment: CaseAssessment, facts: CaseFacts) -> tuple[Step, ...]:
    """All steps of a case in their order: those of the case before the groups, of each population, and to the end."""
    steps = [_review(facts), _controls(facts)]
    if len(assessment.populations) > 1:
        steps.append(_shares(assessment))
    for population in assessment.populations:
        steps += _of_population(population, assessment, facts)
    steps += [_warnings(facts), _histology(assessment, facts), _signature(facts)]
    return tuple(_with_now(steps))


def next_step(steps: Sequence[Step]) -> Step | None:
    """The step that is to be taken now; None once all are done."""
    return next((step for step in steps if step.state is StepState.NOW), None)


def _with_now(steps: Sequence[Step]) -> list[Step]:
    """The first open step is the one to take now."""
    out, found = [], False
    for step in steps:
        if step.state is StepState.NOW and found:
            step = replace(step, state=StepState.AHEAD)
        found = found or step.state is StepState.NOW
        out.append(step)
    return out


# --- steps of the whole case ------------------------------------------------------------------------------------------


def _review(facts: CaseFacts) -> Step:
    if facts.reviewed:
        return Step(StepKind.REVIEW, StepState.DONE, "confirmed")
    action = "Look through the nuclei and press “Counts reviewed” in Review."
    if not facts.settled:
        action = "Settle where flags or counts and findings disagree, then press “Counts reviewed” in Review."
    why = "The counts of the models become a result only once a pathologist has confirmed them."
    return Step(StepKind.REVIEW, StepState.NOW, "not confirmed yet", action, _PATHOLOGIST, why)


def _controls(facts: CaseFacts) -> Step:
    why = f"{_RULE}: no ISH result without batch and on-slide controls that hybridised as expected."
    if facts.controls_ok is None:
        action = "Record whether the controls hybridised as expected."
        return Step(StepKind.CONTROLS, StepState.NOW, "not recorded", action, _PATHOLOGIST, why)
    if facts.controls_ok:
        return Step(StepKind.CONTROLS, StepState.DONE, "as expected")
    action = "Repeat FISH, or sign the case as indeterminate."
    return Step(StepKind.CONTROLS, StepState.FAILED, "not as expected", action, _PATHOLOGIST, why)


def _shares(assessment: CaseAssessment) -> Step:
    said = ", ".join(with_share(p.label, p.share_percent) for p in assessment.populations)
    if assessment.deciding is not None:
        return Step(StepKind.SHARES, StepState.DONE, said)
    why = f"{_RULE}: each population above 10 % of the tumour cells bears on the result, and is counted by itself."
    action = "Correct the populations and their shares at intake: " + assessment.reasons[0]
    return Step(StepKind.SHARES, StepState.NOW, said, action, _PATHOLOGIST, why)


def _warnings(facts: CaseFacts) -> Step:
    if not facts.warnings:
        return Step(StepKind.WARNINGS, StepState.NOT_NEEDED, "none")
    if not facts.warnings_open:
        return Step(StepKind.WARNINGS, StepState.DONE, f"all {facts.warnings} acknowledged")
    action = "Read each open warning and acknowledge it."
    says = f"{facts.warnings_open} of {facts.warnings} open"
    return Step(
        StepKind.WARNINGS, StepState.NOW, says, action, _SIGNER, "A warning that nobody read must not be signed over."
    )


def _histology(assessment: CaseAssessment, facts: CaseFacts) -> Step:
    if assessment.outcome is Outcome.INDETERMINATE:  # also while the shares are not settled
        return Step(StepKind.HISTOLOGY, StepState.NOT_NEEDED, "there is no result to compare")
    why = f"{_RULE}: the result holds only where there is no histopathologic discordance."
    if facts.attested:
        return Step(StepKind.HISTOLOGY, StepState.DONE, "no histopathologic discordance")
    if facts.attested is None:
        action = "Compare the result with the histology and say whether it fits."
        return Step(StepKind.HISTOLOGY, StepState.NOW, "not stated yet", action, _SIGNER, why)
    action = "Review histology, IHC and FISH together; then say that it fits, or report the case as indeterminate."
    return Step(StepKind.HISTOLOGY, StepState.NOW, "discordant", action, _PATHOLOGIST, why)


def _signature(facts: CaseFacts) -> Step:
    if facts.signed:
        return Step(StepKind.SIGNATURE, StepState.DONE, "signed")
    return Step(
        StepKind.SIGNATURE, StepState.NOW, "not signed", "Read the report and sign it.", _SIGNER,
        "Nothing is open any more.",
    )  # fmt: skip


# --- steps of one population ------------------------------------------------------------------------------------------


def _of_population(p: PopulationAssessment, assessment: CaseAssessment, facts: CaseFacts) -> list[Step]:
    steps = [make(p, facts) for make in (_nuclei, _group, _ihc, _recount, _adjudication, _result)]
    why_not = _bears_nothing(p, assessment)
    if why_not:
        steps = [
            replace(s, state=StepState.NOT_NEEDED, says=why_not, action="", who="", why="")
            if s.state is StepState.NOW
            else s
            for s in steps
        ]
    return [replace(step, population=p.label) for step in steps]


def _bears_nothing(p: PopulationAssessment, assessment: CaseAssessment) -> str:
    """Why the open steps of a population need not be taken; empty where they must."""
    if assessment.deciding is None:
        return "after the shares are settled"
    if not p.counted:
        return "not above 10 % of the tumour cells"
    if p.outcome.pending and assessment.outcome is Outcome.POSITIVE:
        return f"open; population {assessment.deciding} makes the case positive"
    return ""


def _nuclei(p: PopulationAssessment, _: CaseFacts) -> Step:
    counted = f"{p.tally.n} scored"
    why = f"{_RULE}: at least {MINIMUM_NUCLEI} invasive tumour nuclei, and a ratio needs CEP17 signals."
    if p.tally.n < MINIMUM_NUCLEI:
        action = f"Score {MINIMUM_NUCLEI - p.tally.n} more, or sign the case as indeterminate."
        return Step(StepKind.NUCLEI, StepState.FAILED, counted, action, _PATHOLOGIST, why)
    if p.tally.cep17 == 0:
        action = "Repeat FISH, or sign the case as indeterminate."
        return Step(StepKind.NUCLEI, StepState.FAILED, f"{counted}, no CEP17 signal", action, _PATHOLOGIST, why)
    return Step(StepKind.NUCLEI, StepState.DONE, counted)


def _group(p: PopulationAssessment, _: CaseFacts) -> Step:
    if p.group is None:
        return Step(StepKind.GROUP, StepState.NOT_NEEDED, "none while indeterminate")
    numbers = f"ratio {truncated(ratio(p.tally))}, {truncated(copy_number(p.tally))} HER2 per cell"
    return Step(StepKind.GROUP, StepState.DONE, f"Group {p.group}: {numbers}", why=describe_group(p.group))


def _ihc(p: PopulationAssessment, facts: CaseFacts) -> Step:
    if p.group is None:
        return Step(StepKind.IHC, StepState.NOT_NEEDED, "no group to decide")
    if p.group in (1, 5):
        known = "" if p.ihc is None else f"; it is {p.ihc.value}"
        return Step(StepKind.IHC, StepState.NOT_NEEDED, f"Group {p.group} is decided by ISH alone{known}")
    why = f"{_RULE}: Group {p.group} is decided together with IHC of the same tissue sample."
    if p.ihc is None:
        return Step(StepKind.IHC, StepState.NOW, "not given", "Enter the HER2 IHC score.", _PATHOLOGIST, why)
    if facts.ihc_same_sample is True:
        return Step(StepKind.IHC, StepState.DONE, f"{p.ihc.value}, same sample")
    if facts.ihc_same_sample is None:
        action = f"Confirm that IHC {p.ihc.value} was done on the sample that FISH was done on."
        return Step(StepKind.IHC, StepState.NOW, f"{p.ihc.value}, sample not stated", action, _PATHOLOGIST, why)
    action = "Have IHC done on the sample that FISH was done on, and enter its score."
    return Step(StepKind.IHC, StepState.NOW, f"{p.ihc.value}, of another sample", action, _PATHOLOGIST, why)


def _recount(p: PopulationAssessment, _: CaseFacts) -> Step:
    if p.outcome is Outcome.PENDING_RECOUNT:
        says = "not made yet" if p.recount_problem is None else p.recount_problem
        action = f"Recount at least {MINIMUM_NUCLEI} nuclei in the areas with IHC 2+, under Second read."
        why = f"{_RULE}: Group {p.group} with IHC 2+ is recounted by an observer blinded to the first result."
        return Step(StepKind.RECOUNT, StepState.NOW, says, action, _SECOND, why)
    if p.recount_group is not None and p.recount is not None:
        t = p.recount.tally
        same = "confirms" if p.recount_group == p.group else "differs:"
        return Step(
            StepKind.RECOUNT, StepState.DONE,
            f"{same} Group {group(t)}: {t.her2} HER2, {t.cep17} CEP17 in {t.n} nuclei",
        )  # fmt: skip
    if p.outcome is Outcome.PENDING_IHC:
        return Step(StepKind.RECOUNT, StepState.AHEAD, "only with IHC 2+")
    return Step(StepKind.RECOUNT, StepState.NOT_NEEDED, _not_recounted(p))


def _not_recounted(p: PopulationAssessment) -> str:
    if p.group in (2, 3, 4) and p.ihc is not None:
        return f"IHC {p.ihc.value} decides"
    return "only for Groups 2 to 4 with IHC 2+"


def _adjudication(p: PopulationAssessment, _: CaseFacts) -> Step:
    if p.outcome is Outcome.PENDING_ADJUDICATION:
        why = f"{_RULE}: where the recount falls into another group, the laboratory's procedure decides."
        return Step(
            StepKind.ADJUDICATION, StepState.NOW, f"Group {p.group} or Group {p.recount_group}",
            "Decide between the two counts and give the reason.", _ADJUDICATOR, why,
        )  # fmt: skip
    if p.adjudication is not None:
        held = "" if p.adjudication.group is None else f" as Group {p.adjudication.group}"
        return Step(StepKind.ADJUDICATION, StepState.DONE, f"{p.adjudication.category.value}{held}")
    if p.outcome in (Outcome.PENDING_IHC, Outcome.PENDING_RECOUNT):
        return Step(StepKind.ADJUDICATION, StepState.AHEAD, "only if the recount differs")
    same = p.recount_group is not None
    return Step(StepKind.ADJUDICATION, StepState.NOT_NEEDED, "the counts agree" if same else "no second count")


def _result(p: PopulationAssessment, _: CaseFacts) -> Step:
    if p.outcome.pending:
        return Step(StepKind.RESULT, StepState.AHEAD, "open")
    if p.outcome is Outcome.INDETERMINATE:
        return Step(StepKind.RESULT, StepState.FAILED, "indeterminate: " + " ".join(p.reasons))
    comment = "" if p.comment_letter is None else f", comment {p.comment_letter}"
    return Step(StepKind.RESULT, StepState.DONE, f"HER2 {p.outcome.value}{comment}")
