"""Whole cases as files: complete with names, empty of them without, and every change of the file is found."""

# ruff: noqa: F811 (fixtures are imported, and named again where they are used)

from __future__ import annotations

import hashlib
import io
import json
import zipfile
from dataclasses import replace
from datetime import date, timedelta
from typing import Any

import pytest

from her2core import workflow
from her2core.caselog import CaseLog
from her2core.errors import IntegrityError, PermissionDeniedError, WrongStateError
from her2core.records import IHC, Case, CorrectionKind
from tests.pages.conftest import lab, no_waiting_for_the_disk, template  # noqa: F401 (fixtures)
from tests.pages.lab import GROUP_3, POSITIVE, TestLaboratory

SECRETS = ("Zwetschge", "Quirina", "MRN-4711", "S26-PRIVAT", "1961", "1958-02", "Klinik am See", "BLOCK-9X", "geheim")
DETAILS: dict[str, Any] = {
    "requester": "Klinik am See",
    "date_of_birth": date(1961, 3, 9),
    "collected_on": date(2026, 3, 8),
    "sex": "female",
    "laterality": "left",
    "site": "breast geheim",
    "ihc": IHC.THREE_PLUS,
    "ihc_same_sample": True,
    "fixation_hours": 18.0,
}


def entries(data: bytes) -> dict[str, bytes]:
    with zipfile.ZipFile(io.BytesIO(data)) as archive:
        return {name: archive.read(name) for name in archive.namelist()}


@pytest.fixture
def private(lab: TestLaboratory) -> Case:
    """A signed and amended case full of what nobody else may read, corrections with reasons included."""
    case = lab.ready(POSITIVE, "S26-PRIVAT", **DETAILS)
    named = replace(case.details, patient_name="Zwetschge, Quirina", patient_id="MRN-4711", block="BLOCK-9X")
    workflow.set_details(lab.log, case.id, named, lab.log.case(case.id).version, lab.person("berg"))
    region = lab.log.regions(case.id)[0]
    workflow.correct(
        lab.log, region.id, 1, CorrectionKind.COUNTS, {"her2": 7, "cep17": 2}, lab.person("berg"),
        "geheim: seen by Quirina",
    )  # fmt: skip
    workflow.confirm_review(lab.log, case.id, lab.log.case(case.id).version, lab.person("berg"))
    for warning in workflow.assess(lab.log, case.id).warnings:
        workflow.acknowledge(lab.log, case.id, warning, lab.person("berg"))
    if workflow.assess(lab.log, case.id).attested is None:
        workflow.attest(lab.log, case.id, lab.person("berg"), True)
    lab.sign(case)
    return lab.log.case(case.id)


def test_a_whole_case_holds_everything_of_it_byte_for_byte(lab: TestLaboratory, private: Case) -> None:
    name, data = workflow.archive_case(lab.log, private.id, lab.person("lind"))
    assert name == "HER2-000001.zip"
    found = entries(data)
    region, (report,) = lab.log.regions(private.id)[0], lab.log.reports(private.id)
    assert found[f"images/region-{region.id}.png"] == lab.log.image_bytes(region)
    assert found["reports/version-1-final.pdf"] == lab.log.report_pdf(report.id)
    assert json.loads(found["cases.json"])[0]["patient_name"] == "Zwetschge, Quirina"
    assert len(json.loads(found["analyses.json"])[0]["nuclei"]) == 20
    assert json.loads(found["corrections.json"])[0]["reason"] == "geheim: seen by Quirina"
    audit = json.loads(found["audit.json"])
    assert [row["hash"] for row in audit] == [e.hash for e in reversed(lab.log.audit(private.id, 1000))][:-1]
    assert "password" not in str(found["users.json"])
    manifest = json.loads(found["manifest.json"])
    assert {e["name"]: e["sha256"] for e in manifest["files"]} == {
        part: hashlib.sha256(content).hexdigest() for part, content in found.items() if part != "manifest.json"
    }
    assert workflow.check_archive(data) == []


def test_counts_that_nobody_confirmed_are_archived_without_group_and_outcome(lab: TestLaboratory) -> None:
    case = lab.analysed(POSITIVE)
    _, data = workflow.archive_case(lab.log, case.id, None, deidentified=True)
    said = json.loads(entries(data)["case.json"])
    assert said["result"] == {
        "outcome": None, "group": None, "heterogeneous": None, "rule_set": "ASCO_CAP_2018", "reviewed": False,
        "signed": False,
    }  # fmt: skip
    assert [(c["nuclei"], c["group"], c["outcome"]) for c in said["counts"]] == [(20, None, None)]


def test_without_names_nothing_leads_to_the_patient_or_the_readers(lab: TestLaboratory, private: Case) -> None:
    name, data = workflow.archive_case(lab.log, private.id, lab.person("lind"), deidentified=True)
    assert name.startswith("case-")
    found = entries(data)
    assert set(found) == {"manifest.json", "case.json", "images/A1.png"}
    everything = (name + "".join(found)).encode() + b"".join(found.values())
    for secret in (*SECRETS, "Berg", "berg", "HER2-000001", "region-120", "2026-"):
        assert secret.encode() not in everything, secret
    case = json.loads(found["case.json"])
    assert case["details"] == {
        "sex": "female", "age_years": 64, "laterality": "left", "fixation_hours": 18.0, "cold_ischaemia_min": None,
        "controls_ok": True, "ihc": "3+", "ihc_same_sample": True,
    }  # fmt: skip
    assert (case["result"]["group"], case["result"]["outcome"]) == (1, "positive")
    assert case["counts"][0]["her2"] == 121
    (region,) = case["regions"]
    assert (region["ai"][0]["her2"], region["final"][0]["her2"]) == (6, 7)
    assert region["corrections"][0] == {
        "nucleus": 1, "kind": "set counts", "old": {"her2": 6, "cep17": 2}, "new": {"her2": 7, "cep17": 2},
        "by": "reader 1",
    }  # fmt: skip
    assert workflow.check_archive(data) == []


def test_the_laboratory_can_lead_a_pseudonym_back(lab: TestLaboratory, private: Case) -> None:
    name, data = workflow.archive_case(lab.log, private.id, lab.person("lind"), deidentified=True)
    entry = lab.log.audit(private.id, 1)[0]
    assert entry.detail == {
        "format": "archive",
        "deidentified": True,
        "sha256": hashlib.sha256(data).hexdigest(),
        "pseudonym": name.removesuffix(".zip"),
    }
    again, _ = workflow.archive_case(lab.log, private.id, None, deidentified=True)
    assert again != name  # two files of one case cannot be joined by their names


def test_a_changed_byte_is_found(lab: TestLaboratory) -> None:
    case = lab.analysed(POSITIVE)
    _, data = workflow.archive_case(lab.log, case.id, None)
    parts = entries(data)
    found = 0
    for place in range(40, len(data), len(data) // 60):
        changed = bytearray(data)
        changed[place] ^= 1
        try:
            findings = workflow.check_archive(bytes(changed))
        except IntegrityError:
            found += 1
            continue
        # What is left are bytes that no content depends on, such as the time of an entry.
        assert findings or entries(bytes(changed)) == parts
        found += bool(findings)
    assert found > 30


@pytest.mark.parametrize("data", [b"", b"PK\x03\x04", b"%PDF-1.7", b"PK\x05\x06" + bytes(18)])
def test_another_file_is_refused_in_words(data: bytes) -> None:
    with pytest.raises(IntegrityError, match="no archived case"):
        workflow.check_archive(data)


def test_files_added_or_taken_are_named(lab: TestLaboratory) -> None:
    case = lab.analysed(POSITIVE)
    _, data = workflow.archive_case(lab.log, case.id, None)
    parts = entries(data)
    del parts["audit.json"]
    parts["surplus.json"] = b"{}"
    buffer = io.BytesIO()
    with zipfile.ZipFile(buffer, "w") as archive:
        for name, content in parts.items():
            archive.writestr(name, content)
    assert {(f.record, f.problem) for f in workflow.check_archive(buffer.getvalue())} == {
        ("audit.json", "is missing"),
        ("surplus.json", "is not in the list"),
    }


def test_a_damaged_image_is_not_handed_over(lab: TestLaboratory) -> None:
    case = lab.analysed(POSITIVE)
    path = lab.log.images.path(lab.log.regions(case.id)[0].image_sha256)
    path.chmod(0o600)
    path.write_bytes(path.read_bytes()[:-1])
    with pytest.raises(IntegrityError):
        workflow.archive_case(lab.log, case.id, None)


def test_only_who_may_gets_a_case(lab: TestLaboratory) -> None:
    case = lab.reviewed(GROUP_3, ihc=IHC.TWO_PLUS, ihc_same_sample=True)
    with pytest.raises(PermissionDeniedError):
        workflow.archive_case(lab.log, case.id, lab.person("nair"))
    for deidentified in (False, True):
        with pytest.raises(WrongStateError, match="blinded"):
            workflow.archive_case(lab.log, case.id, lab.person("okafor"), deidentified=deidentified)


@pytest.mark.parametrize(
    ("years", "days_later", "past"), [(10, 3651, False), (10, 3654, True), (1, 364, False), (1, 367, True)]
)
def test_cases_are_past_retention_from_their_last_report(
    lab: TestLaboratory, years: int, days_later: int, past: bool
) -> None:
    case = lab.ready(POSITIVE)
    report = lab.sign(case)
    later = CaseLog(lab.data_dir, lambda: report.signed_at + timedelta(days=days_later)).open()
    try:
        assert workflow.past_retention(later, years) == ([case.id] if past else [])
    finally:
        later.close()
    assert workflow.past_retention(lab.log, years) == []
