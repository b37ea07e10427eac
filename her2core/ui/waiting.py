"""What an open case waits for, who may do it, and where work on it goes on: pure, from what the case log lists."""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterable
from dataclasses import dataclass
from enum import Enum

from her2core.caselog import OpenCase
from her2core.permissions import Decision
from her2core.records import CaseState

__all__ = [
    "INTAKE_PAGE",
    "REVIEW_PAGE",
    "SECOND_READ_PAGE",
    "SIGN_OUT_PAGE",
    "WORK_PAGES",
    "Stop",
    "Waiting",
    "counted",
    "doer",
    "stop",
    "waiting",
]

INTAKE_PAGE, REVIEW_PAGE, SIGN_OUT_PAGE = "pages/intake.py", "pages/review.py", "pages/sign_out.py"
SECOND_READ_PAGE = "pages/second_read.py"
WORK_PAGES = (INTAKE_PAGE, REVIEW_PAGE, SIGN_OUT_PAGE, SECOND_READ_PAGE)
"""The pages on which a case is worked on; a place is remembered on these."""

_ANY = "any pathologist"


class Waiting(Enum):
    """What an open case waits for: short name, whole words, who may do it, and the page where it is done.

    In the order in which a pathologist best goes through them: what is nearest to its report first, what others have
    to do last.
    """

    SECOND_SIGNATURE = ("Second signature", "the second signature", "the pathologist named second", SIGN_OUT_PAGE)
    SIGNATURE = ("Signature", "the signature", "a pathologist with a signing key", SIGN_OUT_PAGE)
    ADJUDICATION = ("Adjudication", "adjudication of two counts", _ANY, SIGN_OUT_PAGE)
    WORK_UP = ("Work-up", "the open points of the work-up", _ANY, SIGN_OUT_PAGE)
    REVIEW = ("Review", "review of the counts", _ANY, REVIEW_PAGE)
    ANALYSIS = ("Analysis", "analysis", _ANY, REVIEW_PAGE)
    FLAGS = ("Flags", "flags", _ANY, INTAKE_PAGE)
    REGIONS = ("Region images", "region images", _ANY, INTAKE_PAGE)
    RECOUNT = ("Recount", "a blinded recount", "another pathologist, blinded", SIGN_OUT_PAGE)
    IHC = ("IHC", "the IHC score of the same sample", "any pathologist, once it is read", SIGN_OUT_PAGE)

    def __init__(self, label: str, words: str, who: str, page: str) -> None:
        self.label, self.words, self.who, self.page = label, words, who, page


_BY_STATE = {
    CaseState.ANALYSED: Waiting.REVIEW,
    CaseState.REVIEWED: Waiting.WORK_UP,
    CaseState.PENDING_IHC: Waiting.IHC,
    CaseState.PENDING_RECOUNT: Waiting.RECOUNT,
    CaseState.PENDING_ADJUDICATION: Waiting.ADJUDICATION,
    CaseState.READY: Waiting.SIGNATURE,
    # Only for the moment between the opening of an amendment and its first step.
    CaseState.SIGNED: Waiting.REVIEW,
    CaseState.AMENDED: Waiting.REVIEW,
}


@dataclass(frozen=True, slots=True)
class Stop:
    """Where work on a case goes on: the page file, the region to be looked at, and what the button says."""

    page: str
    region_id: int | None
    button: str


def waiting(case: OpenCase) -> tuple[Waiting, str]:
    """What a case waits for, and the same in words with the numbers that matter."""
    if case.second_by is not None:
        return Waiting.SECOND_SIGNATURE, Waiting.SECOND_SIGNATURE.words
    if case.state is not CaseState.DRAFT:
        kind = _BY_STATE[case.state]
        return kind, kind.words
    if case.regions == 0:
        return Waiting.REGIONS, "the first region image"
    if case.unflagged:
        return Waiting.FLAGS, f"the flags of {_regions(case.unflagged)}"
    if case.to_analyse:
        return Waiting.ANALYSIS, f"analysis of {_regions(case.to_analyse)}"
    return Waiting.REGIONS, "a suitable region"


def stop(case: OpenCase, may_recount: Decision | None = None) -> Stop:
    """Where this user goes on: at the recount that only others than the first observers may make, where the user
    stopped if the case still stands as it did then, otherwise where its next step is taken."""
    region_id = None if case.place is None else case.place.region_id
    if may_recount:
        return Stop(SECOND_READ_PAGE, region_id, "Recount")
    place = case.place
    signed_once = case.second_by is not None  # a change now would take that signature back
    if (
        not signed_once
        and place is not None
        and place.state is case.state
        and place.page in (INTAKE_PAGE, REVIEW_PAGE, SIGN_OUT_PAGE)
    ):
        return Stop(place.page, region_id, "Continue")
    return Stop(waiting(case)[0].page, region_id, "Continue")


def doer(case: OpenCase, user_id: int, may_recount: Decision | None = None) -> str:
    """Who may do what a case waits for, in words for this user."""
    if case.second_by is not None:
        return "you" if case.second_by == user_id else case.second_name
    return "you" if may_recount else waiting(case)[0].who


def counted(cases: Iterable[OpenCase]) -> dict[Waiting, int]:
    """How many cases wait for what, in the order of `Waiting`, without zeros."""
    found = Counter(waiting(case)[0] for case in cases)
    return {kind: found[kind] for kind in Waiting if found[kind]}


def _regions(number: int) -> str:
    return "1 region" if number == 1 else f"{number} regions"
