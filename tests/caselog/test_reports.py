"""Signed reports: stored once, never changed, followed by amended ones and addenda."""

from concurrent.futures import ThreadPoolExecutor
from dataclasses import replace
from datetime import UTC, datetime

import pytest

from her2core.caselog import ReportKind
from her2core.errors import (
    CaseLogError,
    ConflictError,
    DuplicateError,
    IntegrityError,
    NotFoundError,
    PermissionDeniedError,
    WrongStateError,
)
from her2core.records import CaseState
from tests.caselog.lab import PDF, Lab, sha


def test_a_report_comes_back_byte_for_byte_and_its_case_is_signed(lab: Lab) -> None:
    case = lab.ready()
    head = lab.log.audit_head()
    at = datetime(2026, 11, 24, 8, 59, 58, tzinfo=UTC)
    report = lab.log.store_report(
        case.id, PDF, "final", version=case.version, by=lab.anna, summary={"group": 1}, signed_at=at
    )
    assert lab.log.report_pdf(report.id) == PDF
    assert lab.log.report(report.id) == report == lab.log.report_by_sha256(sha(PDF).upper())
    assert lab.log.reports(case.id) == [report]
    assert (report.version, report.kind, report.sha256) == (1, ReportKind.FINAL, sha(PDF))
    assert (report.signed_by, report.signed_at, report.summary) == (lab.anna.id, at, {"group": 1})
    assert report.audit_head == head
    assert lab.log.case(case.id).state is CaseState.SIGNED


def test_an_unknown_report_is_told_as_such(lab: Lab) -> None:
    assert lab.log.report_by_sha256(sha(b"elsewhere")) is None
    with pytest.raises(NotFoundError):
        lab.log.report(1)
    with pytest.raises(NotFoundError):
        lab.log.report_pdf(1)


def test_a_double_click_signs_once(lab: Lab) -> None:
    case = lab.ready()
    first = lab.sign(case, PDF + b"1")
    head = lab.log.audit_head()
    again = lab.sign(case, PDF + b"2")
    assert again == first
    assert lab.log.reports(case.id) == [first]
    assert lab.log.audit_head() == head


def test_two_clicks_at_the_same_moment_sign_once(lab: Lab) -> None:
    case = lab.ready()
    with ThreadPoolExecutor(4) as pool:
        made = list(pool.map(lambda n: lab.sign(case, PDF + str(n).encode()), range(4)))
    assert len({report.id for report in made}) == 1
    assert len(lab.log.reports(case.id)) == 1
    assert len(list((lab.log.data_dir / "reports").iterdir())) == 1
    assert lab.log.check() == []


def test_a_report_of_a_case_that_changed_meanwhile_is_refused(lab: Lab) -> None:
    case = lab.ready()
    lab.correct(lab.log.regions(case.id)[0], by=lab.ben)
    with pytest.raises(ConflictError, match="Ben Berg"):
        lab.sign(case)
    assert lab.log.reports(case.id) == []
    assert not (lab.log.data_dir / "reports").exists()


def test_a_second_person_does_not_sign_over_the_first(lab: Lab) -> None:
    case = lab.ready()
    lab.sign(case)
    with pytest.raises(ConflictError, match="Anna Arendt"):
        lab.sign(case, PDF + b"other", by=lab.ben)


@pytest.mark.parametrize("state", [s for s in CaseState if s not in ("ready", "signed", "amended")])
def test_only_a_ready_case_is_signed(lab: Lab, state: CaseState) -> None:
    case = lab.ready()
    lab.log.set_state(case.id, state, lab.anna)
    with pytest.raises(WrongStateError, match="not ready"):
        lab.sign(lab.log.case(case.id))


def test_only_pathologists_sign(lab: Lab) -> None:
    case = lab.ready()
    for user in (lab.manager, lab.admin):
        with pytest.raises(PermissionDeniedError):
            lab.sign(case, by=user)


def test_only_a_pdf_is_a_report(lab: Lab) -> None:
    case = lab.ready()
    with pytest.raises(CaseLogError, match="not a PDF"):
        lab.sign(case, b"<html>")
    with pytest.raises(ValueError, match="draft"):
        lab.sign(case, kind="draft")


def test_the_same_file_is_the_report_of_one_case(lab: Lab) -> None:
    lab.sign(lab.ready("26-1"), PDF)
    with pytest.raises(DuplicateError):
        lab.sign(lab.ready("26-2"), PDF)


def test_a_preliminary_report_leaves_the_case_open(lab: Lab) -> None:
    case = lab.ready()
    preliminary = lab.sign(case, PDF + b"p", kind="preliminary")
    case = lab.log.case(case.id)
    assert case.state is CaseState.READY
    final = lab.sign(case)
    assert [(r.version, r.kind) for r in lab.log.reports(case.id)] == [
        (1, ReportKind.PRELIMINARY),
        (2, ReportKind.FINAL),
    ]
    assert lab.log.report(preliminary.id).superseded_by == final.id
    assert final.replaces_id is None
    with pytest.raises(WrongStateError, match="signed already"):
        lab.sign(lab.log.case(case.id), PDF + b"q", kind="preliminary")
    with pytest.raises(WrongStateError, match="signed already"):
        lab.sign(lab.log.case(case.id), PDF + b"q")


def test_an_amended_report_names_what_it_replaces(lab: Lab) -> None:
    case, final = lab.signed()
    case = lab.log.open_amendment(case.id, "IHC came in", case.version, lab.ben)
    amendment = lab.log.amendment(case.id)
    assert amendment is not None
    assert (amendment.reason, amendment.by_user_id) == ("IHC came in", lab.ben.id)
    assert lab.log.look_up()[0].amending
    case = lab.log.update_details(case.id, replace(case.details, block="B"), case.version, lab.ben)
    amended = lab.sign(case, kind="amended", reason="IHC came in", replaces_id=final.id, by=lab.ben)
    assert (amended.replaces_id, amended.replaces_sha256) == (final.id, final.sha256)
    assert (amended.version, amended.reason) == (2, "IHC came in")
    assert lab.log.report(final.id).superseded_by == amended.id
    assert lab.log.report_pdf(final.id) != lab.log.report_pdf(amended.id)
    case = lab.log.case(case.id)
    assert case.state is CaseState.AMENDED
    assert lab.log.amendment(case.id) is None
    with pytest.raises(WrongStateError, match="signed"):
        lab.log.update_details(case.id, replace(case.details, block="C"), case.version, lab.anna)
    assert lab.log.check() == []


def test_an_addendum_adds_and_supersedes_nothing(lab: Lab) -> None:
    case, final = lab.signed()
    addendum = lab.sign(case, kind="addendum", reason="block number added", replaces_id=final.id)
    assert lab.log.case(case.id).state is CaseState.SIGNED
    assert lab.log.report(final.id).superseded_by is None
    case = lab.log.case(case.id)
    amended = lab.sign(case, kind="amended", reason="recounted", replaces_id=addendum.id)
    assert [r.superseded_by for r in lab.log.reports(case.id)] == [amended.id, amended.id, None]
    case = lab.log.case(case.id)
    lab.sign(case, kind="addendum", reason="more", replaces_id=amended.id)
    assert lab.log.case(case.id).state is CaseState.AMENDED


def test_the_state_of_a_case_moves_while_it_is_amended(lab: Lab) -> None:
    case, final = lab.signed()
    with pytest.raises(WrongStateError):
        lab.log.set_state(case.id, CaseState.ANALYSED, lab.anna)
    case = lab.log.open_amendment(case.id, "recount", case.version, lab.anna)
    lab.log.set_state(case.id, CaseState.PENDING_RECOUNT, lab.anna)
    with pytest.raises(WrongStateError):
        lab.log.set_state(case.id, CaseState.SIGNED, lab.anna)
    lab.log.set_state(case.id, CaseState.READY, lab.anna)
    with pytest.raises(WrongStateError, match="signed already"):
        lab.sign(case)
    lab.sign(case, kind="addendum", reason="recounted, same group", replaces_id=final.id)
    assert lab.log.case(case.id).state is CaseState.SIGNED


def test_amended_reports_and_addenda_need_a_signed_case_a_reason_and_the_latest_report(lab: Lab) -> None:
    case = lab.ready()
    with pytest.raises(WrongStateError, match="sign this one first"):
        lab.sign(case, kind="amended", reason="why", replaces_id=1)
    with pytest.raises(CaseLogError, match="follows another"):
        lab.sign(case, replaces_id=1)
    final = lab.sign(case)
    case = lab.log.case(case.id)
    with pytest.raises(CaseLogError, match="reason"):
        lab.sign(case, kind="amended", replaces_id=final.id)
    for wrong in (None, final.id + 1):
        with pytest.raises(WrongStateError, match="latest report"):
            lab.sign(case, kind="addendum", reason="why", replaces_id=wrong)


def test_an_amendment_under_which_nothing_changed_can_be_withdrawn(lab: Lab) -> None:
    case, _ = lab.signed()
    with pytest.raises(WrongStateError, match="not open"):
        lab.log.withdraw_amendment(case.id, case.version, lab.anna)
    case = lab.log.open_amendment(case.id, "mistake", case.version, lab.anna)
    with pytest.raises(WrongStateError, match="open for amendment already"):
        lab.log.open_amendment(case.id, "again", case.version, lab.anna)
    lab.log.set_state(case.id, CaseState.REVIEWED, lab.anna)
    case = lab.log.withdraw_amendment(case.id, case.version, lab.anna)
    assert case.state is CaseState.SIGNED
    case = lab.log.open_amendment(case.id, "real", case.version, lab.anna)
    case = lab.log.update_details(case.id, replace(case.details, block="B"), case.version, lab.anna)
    with pytest.raises(WrongStateError, match="was changed"):
        lab.log.withdraw_amendment(case.id, case.version, lab.anna)


def test_an_unsigned_case_needs_no_amendment(lab: Lab) -> None:
    case = lab.draft()
    with pytest.raises(WrongStateError, match="not signed yet"):
        lab.log.open_amendment(case.id, "why", case.version, lab.anna)
    assert lab.log.amendment(case.id) is None


def test_a_second_signer_is_another_pathologist(lab: Lab) -> None:
    case = lab.ready()
    for wrong in (lab.anna, lab.manager):
        with pytest.raises(PermissionDeniedError):
            lab.sign(case, cosigners=[wrong])
    assert lab.sign(case, cosigners=[lab.ben]).cosigned_by == (lab.ben.id,)


def test_a_damaged_report_is_never_given_out(lab: Lab) -> None:
    _, report = lab.signed()
    file = lab.log.data_dir / "reports" / f"{report.sha256}.pdf"
    data = bytearray(file.read_bytes())
    data[-1] ^= 1
    file.write_bytes(data)
    with pytest.raises(IntegrityError, match="report was changed"):
        lab.log.report_pdf(report.id)
