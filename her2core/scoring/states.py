"""The state of a case, which follows from what is known of it and is never set by hand.

    draft -> analysed -> reviewed -> (pending IHC, recount or adjudication) -> ready -> signed -> amended

A step back is possible until signing: regions added lead to draft, changed counts to analysed. A signed case is left
alone until an amendment is opened; its signed reports stay as they are.
"""

from __future__ import annotations

from enum import StrEnum

from her2core.records import CaseState
from her2core.scoring.inputs import CaseAssessment, Outcome

__all__ = ["STATE_WORDS", "ResultStatus", "result_status", "state_of"]

STATE_WORDS: dict[CaseState, str] = {
    CaseState.DRAFT: "Intake",
    CaseState.ANALYSED: "In review",
    CaseState.REVIEWED: "Work-up",
    CaseState.PENDING_IHC: "Pending IHC",
    CaseState.PENDING_RECOUNT: "Pending recount",
    CaseState.PENDING_ADJUDICATION: "Pending adjudication",
    CaseState.READY: "Ready to sign",
    CaseState.SIGNED: "Signed",
    CaseState.AMENDED: "Amended",
}
"""The states as pages and tables name them."""

_REPORTED = (CaseState.SIGNED, CaseState.AMENDED)


class ResultStatus(StrEnum):
    """What stands behind the numbers of a case in lists and tables; the values are shown. A result is provisional until
    somebody signs it."""

    NOT_ANALYSED = "not analysed"
    NOT_CONFIRMED = "counts not confirmed"
    WORK_UP_OPEN = "provisional, work-up open"
    NOT_SIGNED = "provisional, not signed"
    AMENDMENT_OPEN = "provisional, amendment open"
    SIGNED = "signed"


def result_status(
    assessment: CaseAssessment | None, *, reviewed: bool, state: CaseState, amending: bool
) -> ResultStatus:
    """What stands behind a result. Only SIGNED is one that somebody answers for: while an amendment is open, the report
    in force holds and the numbers of the case may be others.

    `reviewed`: the counts are confirmed as they are now; `state`: as stored; `amending`: an amendment is open.
    """
    if amending:
        return ResultStatus.AMENDMENT_OPEN
    if state in _REPORTED:
        return ResultStatus.SIGNED
    if assessment is None:
        return ResultStatus.NOT_ANALYSED
    if not reviewed:
        return ResultStatus.NOT_CONFIRMED
    return ResultStatus.WORK_UP_OPEN if assessment.outcome.pending else ResultStatus.NOT_SIGNED


def state_of(
    assessment: CaseAssessment | None,
    *,
    analysed: bool,
    reviewed: bool,
    warnings_read: bool = True,
    reported: CaseState | None = None,
) -> CaseState:
    """The state that follows from what is known of a case.

    `analysed`: there is a suitable region and each has its analysis; `reviewed`: the pathologist confirmed the counts
    as they are now; `warnings_read`: no warning is left that nobody acknowledged; `reported`: SIGNED or AMENDED where a
    final report stands and no amendment is open. Without an assessment nothing can be ready.
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
    return CaseState.READY if assessment.signable and warnings_read else CaseState.REVIEWED


_STATE_OF_PENDING = {
    Outcome.PENDING_IHC: CaseState.PENDING_IHC,
    Outcome.PENDING_RECOUNT: CaseState.PENDING_RECOUNT,
    Outcome.PENDING_ADJUDICATION: CaseState.PENDING_ADJUDICATION,
}
