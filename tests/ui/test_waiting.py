"""What an open case waits for, who may do it, and where one goes on."""

from __future__ import annotations

from datetime import UTC, datetime, timedelta
from typing import Any

import pytest

from her2core.caselog import OpenCase, Place
from her2core.permissions import Decision
from her2core.records import CaseState
from her2core.ui.frame import PAGES
from her2core.ui.waiting import (
    INTAKE_PAGE,
    REVIEW_PAGE,
    SECOND_READ_PAGE,
    SIGN_OUT_PAGE,
    WORK_PAGES,
    Waiting,
    counted,
    doer,
    stop,
    waiting,
)

NOW = datetime(2026, 11, 24, 9, 0, tzinfo=UTC)
RECOUNT = CaseState.PENDING_RECOUNT
YES, NO = Decision(True, "not seen"), Decision(False, "seen")


def open_case(state: CaseState, regions: tuple[int, int, int, int] = (2, 0, 2, 0), **more: Any) -> OpenCase:
    """A case with so many regions, unflagged, suitable and to analyse."""
    values: dict[str, Any] = {
        "id": 1,
        "accession": "26-1",
        "patient_name": "Muster, Erika",
        "patient_id": "P-1",
        "block": "A1",
        "state": state,
        "amending": False,
        "created_by": 1,
        "created_at": NOW,
        "updated_at": NOW + timedelta(hours=1),
        "own": True,
        "place": None,
    }
    names = ("regions", "unflagged", "suitable", "to_analyse")
    return OpenCase(**values | dict(zip(names, regions, strict=True)) | more)


def at(page: str, state: CaseState, region_id: int | None = None) -> Place:
    return Place(page, region_id, state, NOW)


@pytest.mark.parametrize(
    ("state", "regions", "kind", "words"),
    [
        (CaseState.DRAFT, (0, 0, 0, 0), Waiting.REGIONS, "the first region image"),
        (CaseState.DRAFT, (3, 3, 0, 0), Waiting.FLAGS, "the flags of 3 regions"),
        (CaseState.DRAFT, (3, 1, 2, 2), Waiting.FLAGS, "the flags of 1 region"),
        (CaseState.DRAFT, (3, 0, 2, 2), Waiting.ANALYSIS, "analysis of 2 regions"),
        (CaseState.DRAFT, (3, 0, 3, 1), Waiting.ANALYSIS, "analysis of 1 region"),
        (CaseState.DRAFT, (2, 0, 0, 0), Waiting.REGIONS, "a suitable region"),
        (CaseState.ANALYSED, (2, 0, 2, 0), Waiting.REVIEW, "review of the counts"),
        (CaseState.ANALYSED, (2, 1, 1, 0), Waiting.REVIEW, "review of the counts"),
        (CaseState.REVIEWED, (2, 0, 2, 0), Waiting.WORK_UP, "the open points of the work-up"),
        (CaseState.PENDING_IHC, (2, 0, 2, 0), Waiting.IHC, "the IHC score of the same sample"),
        (CaseState.PENDING_RECOUNT, (2, 0, 2, 0), Waiting.RECOUNT, "a blinded recount"),
        (CaseState.PENDING_ADJUDICATION, (2, 0, 2, 0), Waiting.ADJUDICATION, "adjudication of two counts"),
        (CaseState.READY, (2, 0, 2, 0), Waiting.SIGNATURE, "the signature"),
        (CaseState.SIGNED, (2, 0, 2, 0), Waiting.REVIEW, "review of the counts"),
        (CaseState.AMENDED, (2, 0, 2, 0), Waiting.REVIEW, "review of the counts"),
    ],
)
def test_each_case_waits_for_one_thing(
    state: CaseState, regions: tuple[int, int, int, int], kind: Waiting, words: str
) -> None:
    assert waiting(open_case(state, regions)) == (kind, words)


@pytest.mark.parametrize("state", list(CaseState))
def test_no_state_is_without_an_answer(state: CaseState) -> None:
    assert waiting(open_case(state))[0] in Waiting


def test_every_kind_says_who_may_do_it_and_leads_to_a_page_of_work() -> None:
    files = {file for pages in PAGES.values() for file, _, _ in pages}
    assert {kind.page for kind in Waiting} <= set(WORK_PAGES) <= files
    assert all("pathologist" in kind.who for kind in Waiting)


def test_what_a_case_waits_for_tells_nothing_of_its_counts_or_group() -> None:
    """A second observer reads the worklist, too."""
    for kind in Waiting:
        assert not any(
            word in f"{kind.label} {kind.words} {kind.who}".lower() for word in ("group", "ratio", "positive")
        )


@pytest.mark.parametrize(
    ("case", "may_recount", "page", "region_id"),
    [
        # Never opened: where the next step is taken.
        (open_case(CaseState.DRAFT, (0, 0, 0, 0)), None, INTAKE_PAGE, None),
        (open_case(CaseState.DRAFT, (2, 0, 2, 2)), None, REVIEW_PAGE, None),
        (open_case(CaseState.ANALYSED), None, REVIEW_PAGE, None),
        (open_case(CaseState.READY), None, SIGN_OUT_PAGE, None),
        # As it was left: where the user stopped, in the region that was looked at.
        (open_case(CaseState.ANALYSED, place=at(REVIEW_PAGE, CaseState.ANALYSED, 7)), None, REVIEW_PAGE, 7),
        (open_case(CaseState.READY, place=at(REVIEW_PAGE, CaseState.READY, 7)), None, REVIEW_PAGE, 7),
        (open_case(CaseState.READY, place=at(REVIEW_PAGE, CaseState.READY, 7), second_by=2), None, SIGN_OUT_PAGE, 7),
        (open_case(CaseState.DRAFT, place=at(REVIEW_PAGE, CaseState.DRAFT)), None, REVIEW_PAGE, None),
        # It went on meanwhile: to the step that is next, with the region still known.
        (open_case(CaseState.READY, place=at(REVIEW_PAGE, CaseState.ANALYSED, 7)), None, SIGN_OUT_PAGE, 7),
        (open_case(CaseState.ANALYSED, place=at(INTAKE_PAGE, CaseState.DRAFT, 7)), None, REVIEW_PAGE, 7),
        # A recount is for those who may make it, wherever they were before.
        (open_case(RECOUNT), YES, SECOND_READ_PAGE, None),
        (open_case(RECOUNT, place=at(INTAKE_PAGE, RECOUNT)), YES, SECOND_READ_PAGE, None),
        (open_case(RECOUNT), NO, SIGN_OUT_PAGE, None),
        (open_case(RECOUNT, place=at(SECOND_READ_PAGE, RECOUNT)), NO, SIGN_OUT_PAGE, None),
        # A page that a later her2core does not have any more.
        (open_case(CaseState.ANALYSED, place=at("pages/gone.py", CaseState.ANALYSED)), None, REVIEW_PAGE, None),
    ],
)
def test_one_goes_on_where_one_stopped(
    case: OpenCase, may_recount: Decision | None, page: str, region_id: int | None
) -> None:
    found = stop(case, may_recount)
    assert (found.page, found.region_id) == (page, region_id)
    assert found.button == ("Recount" if page == SECOND_READ_PAGE else "Continue")


@pytest.mark.parametrize(
    ("case", "user_id", "may_recount", "who"),
    [
        (open_case(CaseState.READY), 1, None, Waiting.SIGNATURE.who),
        (open_case(CaseState.READY, second_by=2, second_name="Samuel Okafor"), 1, None, "Samuel Okafor"),
        (open_case(CaseState.READY, second_by=2, second_name="Samuel Okafor"), 2, None, "you"),
        (open_case(RECOUNT), 1, YES, "you"),
        (open_case(RECOUNT), 1, NO, Waiting.RECOUNT.who),
    ],
)
def test_it_is_said_who_may_do_it(case: OpenCase, user_id: int, may_recount: Decision | None, who: str) -> None:
    assert doer(case, user_id, may_recount) == who


@pytest.mark.parametrize("amending", [True, False])
def test_a_report_signed_once_waits_for_its_second_signature(amending: bool) -> None:
    case = open_case(CaseState.READY, second_by=2, second_name="Samuel Okafor", amending=amending)
    assert waiting(case) == (Waiting.SECOND_SIGNATURE, "the second signature")


def test_kinds_are_counted_in_the_order_of_the_work() -> None:
    cases = [
        open_case(state) for state in (CaseState.PENDING_IHC, CaseState.READY, CaseState.ANALYSED, CaseState.READY)
    ]
    assert list(counted(cases).items()) == [(Waiting.SIGNATURE, 2), (Waiting.REVIEW, 1), (Waiting.IHC, 1)]
    assert counted([]) == {}
