"""Reports on their way to other systems: only what is signed is final, as it was signed, and each release is noted."""

# ruff: noqa: F811 (fixtures are imported, and named again where they are used)

from __future__ import annotations

import base64
import json
from dataclasses import replace
from typing import Any

import pytest

from her2core import workflow
from her2core.errors import ConflictError, PermissionDeniedError, WrongStateError
from her2core.records import IHC, Case
from her2core.reporting.content import Laboratory
from her2core.settings import load_settings
from her2core.workflow import Format
from tests.pages.conftest import lab, no_waiting_for_the_disk, template  # noqa: F401 (fixtures)
from tests.pages.lab import GROUP_3, NEGATIVE, POSITIVE, TestLaboratory, release

LABORATORY = Laboratory("Northbank", "12 Harbour Street", "4711")


def fhir(lab: TestLaboratory, case: Case, who: str = "berg", **more: Any) -> dict[str, Any]:
    text = release(lab.log, case.id, Format.FHIR, LABORATORY, lab.person(who), **more)
    bundle: dict[str, Any] = json.loads(text)
    return bundle


def diagnostic(bundle: dict[str, Any]) -> dict[str, Any]:
    found: dict[str, Any] = bundle["entry"][0]["resource"]
    return found


def test_a_signed_report_goes_out_as_final_with_the_very_pdf(lab: TestLaboratory) -> None:
    case = lab.ready(POSITIVE)
    report = lab.sign(case)
    found = diagnostic(fhir(lab, case))
    assert found["status"] == "final"
    assert base64.b64decode(found["presentedForm"][0]["data"]) == lab.log.report_pdf(report.id)
    message = release(lab.log, case.id, Format.HL7, LABORATORY, lab.person("berg"))
    assert "|her2-signals^" in message
    assert f"|model^Model that found or counted^L||stand-in 1, SHA-256 {'b' * 64}|" in message
    (device,) = [e["resource"] for e in fhir(lab, case)["entry"] if e["resource"]["resourceType"] == "Device"]
    assert [version["component"]["value"] for version in device["version"]] == ["a" * 64, "b" * 64]
    assert base64.b64encode(lab.log.report_pdf(report.id)).decode() in message


@pytest.mark.parametrize("file_format", Format)
def test_what_is_not_signed_goes_out_only_as_preliminary(lab: TestLaboratory, file_format: Format) -> None:
    case = lab.ready(POSITIVE)
    with pytest.raises(WrongStateError, match="no signed report"):
        release(lab.log, case.id, file_format, LABORATORY, lab.person("berg"))
    assert lab.log.audit(case.id, 1)[0].action != "exported"
    text = release(lab.log, case.id, file_format, LABORATORY, lab.person("berg"), preliminary=True)
    assert ('"status": "preliminary"' if file_format is Format.FHIR else "|SP|P") in text
    assert '"status": "final"' not in text


def test_counts_that_nobody_confirmed_do_not_go_out_at_all(lab: TestLaboratory) -> None:
    case = lab.analysed(POSITIVE)
    with pytest.raises(WrongStateError, match="not confirmed"):
        fhir(lab, case, preliminary=True)


def test_a_case_that_is_open_for_amendment_goes_out_as_it_was_signed(lab: TestLaboratory) -> None:
    case = lab.ready(POSITIVE, ihc=IHC.THREE_PLUS, ihc_same_sample=True)
    lab.sign(case)
    before = fhir(lab, case)
    case = lab.log.case(case.id)
    workflow.amend(lab.log, case.id, "Wrong name", case.version, lab.person("berg"))
    changed = replace(case.details, patient_name="Somebody Else", ihc=IHC.ZERO)
    workflow.set_details(lab.log, case.id, changed, lab.log.case(case.id).version, lab.person("berg"))
    after = fhir(lab, case)
    assert after == before
    assert "Somebody" not in json.dumps(after)


def test_an_amended_report_goes_out_as_amended_with_its_reason(lab: TestLaboratory) -> None:
    case = lab.ready(NEGATIVE)
    lab.sign(case)
    case = lab.log.case(case.id)
    workflow.amend(lab.log, case.id, "Controls looked at again", case.version, lab.person("berg"))
    workflow.confirm_review(lab.log, case.id, lab.log.case(case.id).version, lab.person("berg"))
    lab.sign(case)
    found = diagnostic(fhir(lab, case))
    assert found["status"] == "amended"
    assert "Controls looked at again" in found["conclusion"]
    assert len(found["presentedForm"]) == 1
    assert "|SP|C" in release(lab.log, case.id, Format.HL7, LABORATORY, lab.person("berg"))


def test_a_final_message_is_no_repeat_of_its_preliminary_and_a_second_export_of_it_is_one(lab: TestLaboratory) -> None:
    case, signs = lab.ready(POSITIVE), workflow.laboratory_of(load_settings())

    def control(**more: Any) -> str:
        text = release(lab.log, case.id, Format.HL7, signs, lab.person("berg"), **more)
        return text.split("|")[9]

    preliminary = control(preliminary=True)
    lab.sign(case)
    assert control() == control() != preliminary


def test_each_release_is_in_the_audit_trail(lab: TestLaboratory) -> None:
    case = lab.ready(POSITIVE)
    report = lab.sign(case)
    fhir(lab, case, "lind")
    entry = lab.log.audit(case.id, 1)[0]
    assert (entry.action, entry.by_username) == ("exported", "lind")
    assert entry.detail == {"format": "fhir", "status": "final", "report_version": 1, "report_sha256": report.sha256}


def test_an_administrator_gets_no_report(lab: TestLaboratory) -> None:
    case = lab.ready(POSITIVE)
    lab.sign(case)
    with pytest.raises(PermissionDeniedError):
        fhir(lab, case, "nair")


def test_who_is_still_to_recount_blinded_gets_no_report(lab: TestLaboratory) -> None:
    case = lab.reviewed(GROUP_3, ihc=IHC.TWO_PLUS, ihc_same_sample=True)
    with pytest.raises(WrongStateError, match="blinded"):
        fhir(lab, case, "okafor", preliminary=True)
    assert diagnostic(fhir(lab, case, "berg", preliminary=True))["status"] == "preliminary"


def test_a_report_of_before_the_details_were_kept_goes_out_with_those_of_the_closed_case(lab: TestLaboratory) -> None:
    case = lab.ready(POSITIVE)
    review = workflow.assess(lab.log, case.id)
    summary = workflow.summary_of(review)
    del summary["as_signed"]
    current = lab.log.case(case.id)
    lab.log.store_report(
        case.id, b"%PDF-1.7 old", "final", version=current.version, by=lab.person("berg"), summary=summary
    )
    found = fhir(lab, case)
    assert "Muster, Erika" in json.dumps(found)
    current = lab.log.case(case.id)
    workflow.amend(lab.log, case.id, "why", current.version, lab.person("berg"))
    with pytest.raises(ConflictError, match="amendment"):
        fhir(lab, case)
