"""The states of a case and what moves it between them: one table, and how the state follows from the work-up.

    draft -> analysed -> reviewed -> (pending IHC, recount or adjudication) -> ready -> signed -> amended

A step back is possible until signing: changed regions lead to draft, changed counts to analysed. A signed case
is left alone until an amendment is opened; its signed reports stay as they are.
"""

from __future__ import annotations

from enum import StrEnum

from her2core.errors import WrongStateError
from her2core.records import CaseState
from her2core.scoring.inputs import CaseAssessment, Outcome

__all__ = ["TRANSITIONS", "Event", "is_allowed", "next_state", "state_of"]


class Event(StrEnum):
    """What can happen to a case; the values complete the sentence "… is not possible"."""

    REGIONS_CHANGED = "changing the regions or their flags"
    ANALYSIS_COMPLETE = "analysing the regions"
    COUNTS_CHANGED = "correcting counts"
    REVIEW_CONFIRMED = "confirming the review"
    WORK_UP_OPEN = "leaving the case to be completed"
    IHC_NEEDED = "waiting for IHC"
    RECOUNT_NEEDED = "waiting for a blinded recount"
    ADJUDICATION_NEEDED = "waiting for adjudication"
    WORK_UP_COMPLETE = "completing the work-up"
    PRELIMINARY_SIGNED = "signing a preliminary report"
    REPORT_SIGNED = "signing the report"
    AMENDMENT_OPENED = "opening an amendment"
    AMENDMENT_SIGNED = "signing an amended report"
    ADDENDUM_SIGNED = "signing an addendum"


_BEFORE_REVIEW = (CaseState.DRAFT, CaseState.ANALYSED)
_PENDING = (CaseState.PENDING_IHC, CaseState.PENDING_RECOUNT, CaseState.PENDING_ADJUDICATION)
_WORK_UP = (CaseState.REVIEWED, *_PENDING, CaseState.READY)
_REPORTED = (CaseState.SIGNED, CaseState.AMENDED)

# What each state lets happen, and where it leads. A pair that is not here is refused.
TRANSITIONS: dict[tuple[CaseState, Event], CaseState] = {
    **{(state, Event.REGIONS_CHANGED): CaseState.DRAFT for state in (*_BEFORE_REVIEW, *_WORK_UP)},
    **{(state, Event.ANALYSIS_COMPLETE): CaseState.ANALYSED for state in (*_BEFORE_REVIEW, *_WORK_UP)},
    **{(state, Event.COUNTS_CHANGED): CaseState.ANALYSED for state in (CaseState.ANALYSED, *_WORK_UP)},
    (CaseState.ANALYSED, Event.REVIEW_CONFIRMED): CaseState.REVIEWED,
    **{(state, Event.REVIEW_CONFIRMED): state for state in _WORK_UP},  # a double click changes nothing
    **{(state, Event.WORK_UP_OPEN): CaseState.REVIEWED for state in _WORK_UP},
    **{(state, Event.IHC_NEEDED): CaseState.PENDING_IHC for state in _WORK_UP},
    **{(state, Event.RECOUNT_NEEDED): CaseState.PENDING_RECOUNT for state in _WORK_UP},
    **{(state, Event.ADJUDICATION_NEEDED): CaseState.PENDING_ADJUDICATION for state in _WORK_UP},
    **{(state, Event.WORK_UP_COMPLETE): CaseState.READY for state in _WORK_UP},
    **{(state, Event.PRELIMINARY_SIGNED): state for state in (CaseState.REVIEWED, *_PENDING)},
    (CaseState.READY, Event.REPORT_SIGNED): CaseState.SIGNED,
    **{(state, Event.AMENDMENT_OPENED): CaseState.ANALYSED for state in _REPORTED},
    **{(state, Event.AMENDMENT_SIGNED): CaseState.AMENDED for state in (CaseState.READY, *_REPORTED)},
    **{(state, Event.ADDENDUM_SIGNED): state for state in _REPORTED},
}


def is_allowed(state: CaseState, event: Event) -> bool:
    """True if the event may happen to a case in this state."""
    return (state, event) in TRANSITIONS


def next_state(state: CaseState, event: Event) -> CaseState:
    """Where the event leads. Raises WrongStateError, with a sentence for the user, if the state does not allow it."""
    try:
        return TRANSITIONS[state, event]
    except KeyError:
        raise WrongStateError(f"{event.value.capitalize()} is not possible while the case is {state.value}.") from None


def state_of(
    assessment: CaseAssessment | None,
    *,
    analysed: bool,
    reviewed: bool,
    reported: CaseState | None = None,
) -> CaseState:
    """The state that follows from what is known of a case.

    `analysed`: there is a suitable region and each has its analysis; `reviewed`: the pathologist confirmed the counts
    as they are now; `reported`: SIGNED or AMENDED where a final report stands and no amendment is open. Without an
    assessment nothing can be ready.
    """
    if reported in _REPORTED:
        return reported
    if not analysed:
        return CaseState.DRAFT
    if not reviewed:
        return CaseState.ANALYSED
    if assessment is None:
        return CaseState.REVIEWED
    pending = _STATE_OF_PENDING.get(assessment.outcome)
    if pending is not None:
        return pending
    return CaseState.READY if assessment.signable else CaseState.REVIEWED


_STATE_OF_PENDING = {
    Outcome.PENDING_IHC: CaseState.PENDING_IHC,
    Outcome.PENDING_RECOUNT: CaseState.PENDING_RECOUNT,
    Outcome.PENDING_ADJUDICATION: CaseState.PENDING_ADJUDICATION,
}
