"""The states of a case: every cell of the table, and the state that follows from a work-up."""

from __future__ import annotations

import itertools
from dataclasses import replace

import pytest

from her2core.errors import WrongStateError
from her2core.records import IHC, CaseState, Tally
from her2core.scoring import (
    CaseAssessment,
    Event,
    Outcome,
    PopulationInputs,
    Recount,
    WorkUpInputs,
    assess_case,
    is_allowed,
    next_state,
    state_of,
)

# One line a state, one column an event, in the order of `Event`; "-" is refused.
#   DRA draft, ANA analysed, REV reviewed, IHC / REC / ADJ pending, REA ready, SIG signed, AME amended
COLUMNS = [
    Event.REGIONS_CHANGED,
    Event.ANALYSIS_COMPLETE,
    Event.COUNTS_CHANGED,
    Event.REVIEW_CONFIRMED,
    Event.WORK_UP_OPEN,
    Event.IHC_NEEDED,
    Event.RECOUNT_NEEDED,
    Event.ADJUDICATION_NEEDED,
    Event.WORK_UP_COMPLETE,
    Event.PRELIMINARY_SIGNED,
    Event.REPORT_SIGNED,
    Event.AMENDMENT_OPENED,
    Event.AMENDMENT_SIGNED,
    Event.ADDENDUM_SIGNED,
]
TABLE = """
DRA  DRA ANA -   -   -   -   -   -   -   -   -   -   -   -
ANA  DRA ANA ANA REV -   -   -   -   -   -   -   -   -   -
REV  DRA ANA ANA REV REV IHC REC ADJ REA REV -   -   -   -
IHC  DRA ANA ANA IHC REV IHC REC ADJ REA IHC -   -   -   -
REC  DRA ANA ANA REC REV IHC REC ADJ REA REC -   -   -   -
ADJ  DRA ANA ANA ADJ REV IHC REC ADJ REA ADJ -   -   -   -
REA  DRA ANA ANA REA REV IHC REC ADJ REA -   SIG -   AME -
SIG  -   -   -   -   -   -   -   -   -   -   -   ANA AME SIG
AME  -   -   -   -   -   -   -   -   -   -   -   ANA AME AME
"""
SHORT = {
    "DRA": CaseState.DRAFT,
    "ANA": CaseState.ANALYSED,
    "REV": CaseState.REVIEWED,
    "IHC": CaseState.PENDING_IHC,
    "REC": CaseState.PENDING_RECOUNT,
    "ADJ": CaseState.PENDING_ADJUDICATION,
    "REA": CaseState.READY,
    "SIG": CaseState.SIGNED,
    "AME": CaseState.AMENDED,
}
CELLS = [
    (SHORT[line.split()[0]], event, SHORT.get(cell))
    for line in TABLE.strip().splitlines()
    for event, cell in zip(COLUMNS, line.split()[1:], strict=True)
]


def test_the_table_of_this_test_has_every_cell() -> None:
    assert {(state, event) for state, event, _ in CELLS} == set(itertools.product(CaseState, Event))


@pytest.mark.parametrize(("state", "event", "leads_to"), CELLS)
def test_every_cell_of_the_transition_table(state: CaseState, event: Event, leads_to: CaseState | None) -> None:
    assert is_allowed(state, event) == (leads_to is not None)
    if leads_to is None:
        with pytest.raises(WrongStateError, match=f"not possible while the case is {state.value}"):
            next_state(state, event)
    else:
        assert next_state(state, event) is leads_to


def test_a_refused_step_is_explained_in_words() -> None:
    with pytest.raises(WrongStateError) as caught:
        next_state(CaseState.PENDING_IHC, Event.REPORT_SIGNED)
    assert str(caught.value) == "Signing the report is not possible while the case is pending IHC."


def test_a_signed_case_cannot_be_changed_without_an_amendment() -> None:
    changing = (Event.REGIONS_CHANGED, Event.ANALYSIS_COMPLETE, Event.COUNTS_CHANGED, Event.REVIEW_CONFIRMED)
    for state, event in itertools.product((CaseState.SIGNED, CaseState.AMENDED), changing):
        assert not is_allowed(state, event)


def test_only_a_ready_case_is_signed() -> None:
    assert [state for state in CaseState if is_allowed(state, Event.REPORT_SIGNED)] == [CaseState.READY]


# --- from the work-up to the state -----------------------------------------------------------------------------------

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
def test_every_derived_state_can_be_reached_through_the_table(
    case: CaseAssessment, outcome: Outcome, state: CaseState
) -> None:
    reached = {CaseState.REVIEWED}
    reached |= {next_state(CaseState.REVIEWED, event) for event in Event if is_allowed(CaseState.REVIEWED, event)}
    assert state in reached
