"""The state of a case, which follows from what is known of it and is never set by hand.

    draft -> analysed -> reviewed -> (pending IHC, recount or adjudication) -> ready -> signed -> amended

A step back is possible until signing: regions added lead to draft, changed counts to analysed. A signed case is left
alone until an amendment is opened; its signed reports stay as they are.
"""

from __future__ import annotations

from her2core.records import CaseState
from her2core.scoring.inputs import CaseAssessment, Outcome

__all__ = ["state_of"]

_REPORTED = (CaseState.SIGNED, CaseState.AMENDED)


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
