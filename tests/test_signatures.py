"""Signatures over a whole case: two signers, addenda, time-stamps by setting, keys from outside."""

# ruff: noqa: F811 (fixtures are imported, and named again where they are used)

from __future__ import annotations

import time
from dataclasses import replace
from typing import Any

import pypdfium2
import pytest

from her2core import workflow
from her2core.accounts import Accounts
from her2core.caselog import FirstSignature, ReportKind
from her2core.errors import (
    AccountError,
    CaseLogError,
    ConflictError,
    IntegrityError,
    PermissionDeniedError,
    SignInError,
    SigningError,
    WrongStateError,
)
from her2core.records import Case, CaseDetails, CaseState
from her2core.settings import load_settings
from her2core.workflow import Addendum, Format
from tests.pages.conftest import lab, no_waiting_for_the_disk, template  # noqa: F401 (fixtures)
from tests.pages.lab import LABORATORY, NEGATIVE, PASSWORDS, POSITIVE, TestLaboratory, release
from tests.reporting.test_keys import external_pkcs12
from tests.reporting.test_verify import authority  # noqa: F401 (fixture)


def text_of(pdf: bytes) -> str:
    document = pypdfium2.PdfDocument(pdf)
    try:
        return "\n".join(page.get_textpage().get_text_range() for page in document)
    finally:
        document.close()


@pytest.fixture
def two(lab: TestLaboratory, monkeypatch: pytest.MonkeyPatch) -> TestLaboratory:
    """A laboratory that wants two signatures."""
    monkeypatch.setenv("HER2CORE_SECOND_SIGNATURE", "yes")
    return lab


def first(lab: TestLaboratory, case: Case, who: str = "berg", second: str = "okafor") -> FirstSignature:
    version = lab.log.case(case.id).version
    people = (lab.person(who), PASSWORDS[who], lab.person(second))
    return workflow.sign_first(lab.log, lab.keyring, lab.accounts, case.id, version, *people)


def second(lab: TestLaboratory, case: Case, who: str = "okafor", password: str | None = None) -> Any:
    version = lab.log.case(case.id).version
    return workflow.sign_second(
        lab.log, lab.keyring, lab.accounts, case.id, version, lab.person(who), password or PASSWORDS[who]
    )


# --- two signers ------------------------------------------------------------------------------------------------------


def test_a_report_is_final_only_with_both_signatures(two: TestLaboratory) -> None:
    case = two.ready(POSITIVE)
    waiting = first(two, case)
    assert two.log.case(case.id).state is CaseState.READY
    assert two.log.reports(case.id) == []
    half = two.log.first_signed_pdf(waiting)
    verdict = workflow.verify(two.log, two.keyring, half)
    assert not verdict.ok
    assert any("signature is still missing" in finding for finding in verdict.findings)
    with pytest.raises(WrongStateError, match="no signed report"):
        release(two.log, case.id, Format.HL7, workflow.laboratory_of(load_settings()), None)
    report = second(two, case)
    assert two.log.case(case.id).state is CaseState.SIGNED
    assert (report.signed_by, report.cosigned_by) == (two.person("berg").id, (two.person("okafor").id,))
    pdf = two.log.report_pdf(report.id)
    assert pdf.startswith(half)  # what the first one signed stands, byte for byte
    verdict = workflow.verify(two.log, two.keyring, pdf)
    assert verdict.ok, verdict.findings
    assert [s.signer for s in verdict.signatures] == ["Miriam Berg", "Samuel Okafor"]
    assert [s.meaning for s in verdict.signatures] == [workflow.MEANING, workflow.SECOND_MEANING]
    said = text_of(pdf)
    assert "Samuel Okafor" in said
    assert "Second pathologist" in said
    assert two.log.first_signature(case.id) is None
    assert two.log.check() == []


def test_a_report_goes_out_with_the_names_that_it_prints(two: TestLaboratory) -> None:
    """The first signer, and then the second, has another name before the second one signs."""
    case = two.ready(POSITIVE)
    first(two, case)
    workflow.rename(two.accounts, two.person("berg"), "Miriam Lind", "PhD", None)
    workflow.rename(two.accounts, two.person("okafor"), "Samuel Adeyemi", "MD", None)
    time.sleep(1)  # signatures have whole seconds
    report = second(two, case)
    text = text_of(two.log.report_pdf(report.id))
    assert ("Miriam Berg" in text, "Miriam Lind" in text) == (True, False)
    assert [user.full_name for user in workflow.signers_of(two.log, report)] == ["Miriam Berg", "Samuel Okafor"]
    sent = release(two.log, case.id, Format.HL7, workflow.laboratory_of(load_settings()), None)
    assert ("Berg" in sent, "Lind" in sent) == (True, False)


def test_one_signature_is_refused_where_two_are_wanted(two: TestLaboratory) -> None:
    case = two.ready(POSITIVE)
    with pytest.raises(WrongStateError, match="two signatures"):
        two.sign(case)


@pytest.mark.parametrize("who", ["berg", "lind", "nair"])
def test_only_another_pathologist_can_be_named_second(two: TestLaboratory, who: str) -> None:
    case = two.ready(POSITIVE)
    with pytest.raises(SigningError, match="cannot sign second"):
        first(two, case, second=who)
    assert two.log.first_signature(case.id) is None


def test_a_person_without_a_key_in_force_cannot_be_named(two: TestLaboratory) -> None:
    two.keyring.revoke(two.person("okafor"), "left")
    assert workflow.who_may_sign_second(two.log, two.keyring, two.person("berg")) == ()
    with pytest.raises(SigningError, match="cannot sign second"):
        first(two, two.ready(POSITIVE))


def test_nobody_but_the_person_named_signs_second(two: TestLaboratory) -> None:
    case = two.ready(POSITIVE)
    first(two, case)
    with pytest.raises(PermissionDeniedError, match="Samuel Okafor"):
        second(two, case, "berg")
    with pytest.raises(PermissionDeniedError):
        second(two, case, "lind")
    with pytest.raises(SignInError):
        second(two, case, password="not the password 1")
    assert two.log.reports(case.id) == []


def test_a_change_of_the_case_takes_the_first_signature_back(two: TestLaboratory) -> None:
    case = two.ready(POSITIVE)
    waiting = first(two, case)
    current = two.log.case(case.id)
    changed = replace(current.details, block="B7")
    workflow.set_details(two.log, case.id, changed, current.version, two.person("berg"))
    assert two.log.first_signature(case.id) is None
    with pytest.raises(WrongStateError, match="No first signature waits"):
        second(two, case)
    with pytest.raises(WrongStateError, match="No first signature waits"):
        workflow.sign_second(
            two.log, two.keyring, two.accounts, case.id, waiting.case_version, two.person("okafor"), PASSWORDS["okafor"]
        )
    assert first(two, case).id != waiting.id
    assert second(two, case).kind is ReportKind.FINAL


def test_what_came_up_after_the_first_signature_is_read_before_the_second(two: TestLaboratory) -> None:
    case, berg = two.ready(POSITIVE), two.person("berg")
    first(two, case)
    workflow.create_case(two.log, CaseDetails("S26-009", "Fremd, Frida", "MRN-77"), two.person("okafor"))
    assert two.log.first_signature(case.id) is not None
    with pytest.raises(WrongStateError, match=r"with another name in one other case\..* Take the first signature back"):
        second(two, case)
    assert two.log.reports(case.id) == []
    workflow.withdraw_first_signature(two.log, case.id, two.log.case(case.id).version, two.person("okafor"))
    for warning in workflow.assess(two.log, case.id).warnings:
        workflow.acknowledge(two.log, case.id, warning, berg)
    first(two, case)
    report = second(two, case)
    assert "with another name in one other case" in " ".join(text_of(two.log.report_pdf(report.id)).split())


def test_a_first_signature_can_be_taken_back_and_another_person_sign_first(two: TestLaboratory) -> None:
    case = two.ready(POSITIVE)
    first(two, case)
    with pytest.raises(WrongStateError, match="waits for its second"):
        first(two, case, "okafor", "berg")
    version = two.log.case(case.id).version
    workflow.withdraw_first_signature(two.log, case.id, version, two.person("berg"))
    assert two.log.first_signature(case.id) is None
    with pytest.raises(ConflictError):
        workflow.withdraw_first_signature(two.log, case.id, version, two.person("berg"))
    first(two, case, "okafor", "berg")
    assert second(two, case, "berg").cosigned_by == (two.person("berg").id,)
    actions = [e.action for e in two.log.audit(case.id)]
    assert actions.count("first signature given") == 2
    assert actions.count("first signature withdrawn") == 1


def test_a_double_click_signs_once(two: TestLaboratory) -> None:
    case = two.ready(POSITIVE)
    version = two.log.case(case.id).version
    assert first(two, case) == first(two, case)
    people = (two.person("okafor"), PASSWORDS["okafor"])
    one, again = (workflow.sign_second(two.log, two.keyring, two.accounts, case.id, version, *people) for _ in range(2))
    assert one == again
    assert len(two.log.reports(case.id)) == 1


def test_an_amended_report_is_signed_by_two_as_well(two: TestLaboratory) -> None:
    case = two.ready(NEGATIVE)
    first(two, case)
    original = second(two, case)
    workflow.amend(two.log, case.id, "Block mistaken", two.log.case(case.id).version, two.person("berg"))
    workflow.confirm_review(two.log, case.id, two.log.case(case.id).version, two.person("berg"))
    first(two, case)
    amended = second(two, case)
    assert (amended.kind, amended.replaces_sha256) == (ReportKind.AMENDED, original.sha256)
    assert two.log.case(case.id).state is CaseState.AMENDED
    assert workflow.verify(two.log, two.keyring, two.log.report_pdf(amended.id)).ok


def test_a_damaged_half_signed_file_is_found_and_not_countersigned(two: TestLaboratory) -> None:
    case = two.ready(POSITIVE)
    waiting = first(two, case)
    path = two.log.pdfs.path(waiting.sha256)
    data = bytearray(path.read_bytes())
    data[2000] ^= 1
    path.chmod(0o600)
    path.write_bytes(data)
    assert [f.record for f in two.log.check()] == [f"PDF of first signature {waiting.id}"]
    with pytest.raises(IntegrityError):
        second(two, case)


def test_half_signed_reports_survive_backup_and_restore(two: TestLaboratory) -> None:
    case = two.ready(POSITIVE)
    first(two, case)
    archive = two.log.backup(two.data_dir.parent / "b.tar").path
    restored = two.data_dir.parent / "restored"
    assert two.log.restore(archive, restored) == []
    again = TestLaboratory.reopen(restored)
    assert second(again, case).kind is ReportKind.FINAL
    again.log.close()


def test_a_stored_first_signature_cannot_be_changed_by_any_program(two: TestLaboratory) -> None:
    case = two.ready(POSITIVE)
    first(two, case)
    for sql in ("UPDATE first_signatures SET second_by = 1", "DELETE FROM first_signatures"):
        with pytest.raises(CaseLogError), two.log.writing() as db:
            db.execute(sql)


# --- addenda ----------------------------------------------------------------------------------------------------------


def add(lab: TestLaboratory, case: Case, text: str = "The resection shows IHC 3+.", reason: str = "Late result") -> Any:
    version = lab.log.case(case.id).version
    return workflow.add_addendum(
        lab.log, lab.keyring, lab.accounts, case.id, version, lab.person("berg"), PASSWORDS["berg"],
        Addendum(text, reason),
    )  # fmt: skip


def test_an_addendum_adds_a_text_and_leaves_the_report_in_force(lab: TestLaboratory) -> None:
    case = lab.ready(POSITIVE)
    original = lab.sign(case)
    added = add(lab, case)
    assert (added.kind, added.version, added.replaces_sha256) == (ReportKind.ADDENDUM, 2, original.sha256)
    assert lab.log.report(original.id).superseded_by is None
    assert lab.log.case(case.id).state is CaseState.SIGNED
    pdf = lab.log.report_pdf(added.id)
    said = text_of(pdf)
    for words in ("ADDENDUM", "adds to report", "The resection shows IHC 3+.", "Late result", original.sha256[:16]):
        assert words in said, words
    assert workflow.verify(lab.log, lab.keyring, pdf).ok
    text = release(lab.log, case.id, Format.FHIR, workflow.laboratory_of(load_settings()), None)
    assert '"status": "appended"' in text
    assert text.count('"contentType": "application/pdf"') == 2


def test_an_addendum_needs_a_signed_case_a_text_and_a_reason(lab: TestLaboratory) -> None:
    case = lab.ready(POSITIVE)
    with pytest.raises(WrongStateError, match="follows a signed report"):
        add(lab, case)
    lab.sign(case)
    for text, reason in (("", "why"), ("text", " ")):
        with pytest.raises(WrongStateError, match="Write what"):
            add(lab, case, text, reason)
    workflow.amend(lab.log, case.id, "why", lab.log.case(case.id).version, lab.person("berg"))
    with pytest.raises(WrongStateError, match="open amendment"):
        add(lab, case)


def test_an_amended_report_stands_in_place_of_report_and_addendum(lab: TestLaboratory) -> None:
    case = lab.ready(POSITIVE)
    original = lab.sign(case)
    added = add(lab, case)
    workflow.amend(lab.log, case.id, "Block mistaken", lab.log.case(case.id).version, lab.person("berg"))
    workflow.confirm_review(lab.log, case.id, lab.log.case(case.id).version, lab.person("berg"))
    amended = lab.sign(case)
    assert [r.superseded_by for r in lab.log.reports(case.id)] == [amended.id, amended.id, None]
    assert amended.replaces_id == added.id
    assert lab.log.report_pdf(original.id).startswith(b"%PDF")


# --- what the settings say --------------------------------------------------------------------------------------------


def test_assay_and_section_are_printed_as_the_settings_say(
    lab: TestLaboratory, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("HER2CORE_ASSAY_TYPE", "laboratory-developed test")
    monkeypatch.setenv("HER2CORE_SECTION_THICKNESS_UM", "4")
    said = text_of(lab.log.report_pdf(lab.sign(lab.ready(POSITIVE)).id))
    assert "laboratory-developed test" in said.replace("\r\n", " ")
    assert "4 µm" in said


def test_a_signature_is_time_stamped_where_the_setting_names_an_authority(
    lab: TestLaboratory, monkeypatch: pytest.MonkeyPatch, authority: tuple[str, bytes]
) -> None:
    url, root = authority
    monkeypatch.setenv("HER2CORE_TIMESTAMP_URL", url)
    (lab.data_dir / "keys" / "tsa-roots.pem").write_bytes(root)
    verdict = workflow.verify(lab.log, lab.keyring, lab.log.report_pdf(lab.sign(lab.ready(POSITIVE)).id))
    assert [s.time_stamped for s in verdict.signatures] == [True]


def test_without_an_answer_of_the_authority_nothing_is_signed(
    lab: TestLaboratory, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("HER2CORE_TIMESTAMP_URL", "http://127.0.0.1:9/")
    case = lab.ready(POSITIVE)
    with pytest.raises(SigningError, match="nothing was signed"):
        lab.sign(case)
    assert lab.log.reports(case.id) == []


# --- keys -------------------------------------------------------------------------------------------------------------


def test_a_key_from_outside_is_taken_over_and_signs(lab: TestLaboratory) -> None:
    berg, nair = lab.person("berg"), lab.person("nair")
    data = external_pkcs12()
    more = (LABORATORY, berg, data, "from outside", PASSWORDS["berg"])
    with pytest.raises(PermissionDeniedError):
        workflow.import_key(lab.accounts, lab.keyring, *more, berg)
    workflow.import_key(lab.accounts, lab.keyring, *more, nair)
    assert lab.log.audit(limit=1)[0].action == "signing key imported"
    report = lab.sign(lab.ready(POSITIVE))
    assert workflow.verify(lab.log, lab.keyring, lab.log.report_pdf(report.id)).ok


def test_who_has_no_key_any_more_is_told_why(lab: TestLaboratory) -> None:
    case = lab.ready(POSITIVE)
    lab.keyring.revoke(lab.person("berg"), "lost laptop")
    with pytest.raises(SigningError, match=r"revoked on .*lost laptop"):
        lab.sign(case)


def test_a_reset_that_cannot_be_finished_says_that_the_person_cannot_sign(
    lab: TestLaboratory, monkeypatch: pytest.MonkeyPatch
) -> None:
    def full(*_: object, **__: object) -> None:
        raise CaseLogError("The disk is full.")

    monkeypatch.setattr(Accounts, "reset_password", full)
    with pytest.raises(AccountError, match="cannot sign"):
        workflow.reset_password(
            lab.accounts, lab.keyring, LABORATORY, lab.person("berg"), "another secret 99", lab.person("nair")
        )
