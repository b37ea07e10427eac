"""The state that follows from the work-up of a case."""

from __future__ import annotations

from dataclasses import replace

import pytest

from her2core.records import IHC, CaseState, Tally
from her2core.scoring import (
    CaseAssessment,
    Outcome,
    PopulationInputs,
    Recount,
    ResultStatus,
    WorkUpInputs,
    assess_case,
    result_status,
    state_of,
)

INPUTS = WorkUpInputs(
    controls_ok=True, ihc_same_sample=True, first_observer_ids=frozenset({1}), no_discordance_attested=True
)
G1, G4 = Tally(20, 143, 48), Tally(20, 80, 41)


def assessed(t: Tally, inputs: WorkUpInputs, recount: Recount | None = None) -> CaseAssessment:
    return assess_case([PopulationInputs("A", t, recount=recount)], inputs)


CASES = [
    (assessed(G1, INPUTS), Outcome.POSITIVE, CaseState.READY),
    (assessed(G1, replace(INPUTS, no_discordance_attested=None)), Outcome.POSITIVE, CaseState.REVIEWED),
    (assessed(G1, replace(INPUTS, controls_ok=None)), Outcome.INDETERMINATE, CaseState.REVIEWED),
    (assessed(G1, replace(INPUTS, controls_ok=False)), Outcome.INDETERMINATE, CaseState.READY),
    (assessed(Tally(7, 20, 14), INPUTS), Outcome.INDETERMINATE, CaseState.READY),
    (assessed(G4, INPUTS), Outcome.PENDING_IHC, CaseState.PENDING_IHC),
    (assessed(G4, replace(INPUTS, ihc=IHC.TWO_PLUS)), Outcome.PENDING_RECOUNT, CaseState.PENDING_RECOUNT),
    (
        assessed(G4, replace(INPUTS, ihc=IHC.TWO_PLUS), Recount(2, True, G1)),
        Outcome.PENDING_ADJUDICATION,
        CaseState.PENDING_ADJUDICATION,
    ),
    (assessed(G4, replace(INPUTS, ihc=IHC.ZERO)), Outcome.NEGATIVE, CaseState.READY),
]


@pytest.mark.parametrize(("case", "outcome", "state"), CASES)
def test_the_state_follows_from_the_work_up(case: CaseAssessment, outcome: Outcome, state: CaseState) -> None:
    assert case.outcome is outcome
    assert state_of(case, analysed=True, reviewed=True) is state


@pytest.mark.parametrize(("case", "outcome", "state"), CASES)
def test_without_analysis_or_review_no_work_up_moves_a_case_on(
    case: CaseAssessment, outcome: Outcome, state: CaseState
) -> None:
    assert state_of(case, analysed=False, reviewed=False) is CaseState.DRAFT
    assert state_of(case, analysed=False, reviewed=True) is CaseState.DRAFT
    assert state_of(case, analysed=True, reviewed=False) is CaseState.ANALYSED


@pytest.mark.parametrize("reported", [CaseState.SIGNED, CaseState.AMENDED])
def test_a_standing_report_goes_before_everything(reported: CaseState) -> None:
    assert state_of(CASES[0][0], analysed=True, reviewed=False, reported=reported) is reported
    assert state_of(None, analysed=False, reviewed=False, reported=reported) is reported


def test_a_reviewed_case_without_an_assessment_is_only_reviewed() -> None:
    assert state_of(None, analysed=True, reviewed=True) is CaseState.REVIEWED


@pytest.mark.parametrize(("case", "outcome", "state"), CASES)
def test_nothing_is_ready_while_a_warning_is_unread(case: CaseAssessment, outcome: Outcome, state: CaseState) -> None:
    expected = CaseState.REVIEWED if state is CaseState.READY else state
    assert state_of(case, analysed=True, reviewed=True, warnings_read=False) is expected


@pytest.mark.parametrize(
    ("assessment", "reviewed", "state", "amending", "status"),
    [
        (None, False, CaseState.DRAFT, False, ResultStatus.NOT_ANALYSED),
        (assessed(G1, INPUTS), False, CaseState.ANALYSED, False, ResultStatus.NOT_CONFIRMED),
        (assessed(G4, INPUTS), False, CaseState.ANALYSED, False, ResultStatus.NOT_CONFIRMED),
        (assessed(G4, INPUTS), True, CaseState.PENDING_IHC, False, ResultStatus.WORK_UP_OPEN),
        (assessed(G1, INPUTS), True, CaseState.READY, False, ResultStatus.NOT_SIGNED),
        (assessed(G1, INPUTS), True, CaseState.SIGNED, False, ResultStatus.SIGNED),
        (assessed(G1, INPUTS), True, CaseState.AMENDED, False, ResultStatus.SIGNED),
        (assessed(G1, INPUTS), True, CaseState.SIGNED, True, ResultStatus.AMENDMENT_OPEN),
        (assessed(G1, INPUTS), False, CaseState.ANALYSED, True, ResultStatus.AMENDMENT_OPEN),
        (None, False, CaseState.DRAFT, True, ResultStatus.AMENDMENT_OPEN),
    ],
)
def test_only_a_signed_case_that_is_not_open_for_amendment_has_a_result_that_somebody_answers_for(
    assessment: CaseAssessment | None, reviewed: bool, state: CaseState, amending: bool, status: ResultStatus
) -> None:
    assert result_status(assessment, reviewed=reviewed, state=state, amending=amending) is status
