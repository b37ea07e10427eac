"""No patient's name, number or birth date, and no password, in logs, file names, addresses or error messages."""

from __future__ import annotations

import logging
import re
from collections.abc import Callable
from dataclasses import replace
from datetime import date
from typing import Any

import pytest
from streamlit.testing.v1 import AppTest

from her2core import workflow
from her2core.errors import Her2CoreError
from her2core.imaging import DEFAULT_LIMITS
from her2core.records import Case
from her2core.settings import load_settings
from her2core.workflow import Addendum, Format
from tests.pages.app import signed_in
from tests.pages.lab import LABORATORY, PASSWORDS, POSITIVE, TestLaboratory, release

SECRETS = ("Zwetschge", "Quirina", "MRN-4711", "S26-PRIVAT", "1961", "Klinik am See", *PASSWORDS.values())


@pytest.fixture
def case(lab: TestLaboratory) -> Case:
    case = lab.ready(POSITIVE, "S26-PRIVAT", requester="Klinik am See", date_of_birth=date(1961, 3, 9))
    named = replace(case.details, patient_name="Zwetschge, Quirina", patient_id="MRN-4711")
    workflow.set_details(lab.log, case.id, named, lab.log.case(case.id).version, lab.person("berg"))
    return lab.log.case(case.id)


def free_of_secrets(text: str) -> None:
    told = re.sub(r"[0-9a-f]{16,}", "(digest)", text.casefold())  # four digits of a year are in some digest by chance
    for secret in SECRETS:
        assert secret.casefold() not in told, secret


@pytest.mark.parametrize("pages", [("intake.py", "review.py", "sign_out.py", "case_log.py", "worklist.py")])
def test_a_walk_through_a_case_logs_nothing_of_the_patient(
    lab: TestLaboratory,
    case: Case,
    pages: tuple[str, ...],
    caplog: pytest.LogCaptureFixture,
    capfd: pytest.CaptureFixture[str],
) -> None:
    caplog.set_level(logging.DEBUG)
    at: AppTest = signed_in("berg")
    at.session_state["her2core_case_id"] = case.id
    for page in pages:
        at.switch_page(f"pages/{page}").run()
        assert not at.exception
        assert not at.query_params
    lab.sign(case)
    at.switch_page("pages/case_log.py").run()
    out, err = capfd.readouterr()
    free_of_secrets("\n".join((out, err, *(record.getMessage() for record in caplog.records))))


def failures(lab: TestLaboratory, case: Case) -> dict[str, Callable[[], Any]]:
    """Things that go wrong with a case; each raises."""
    berg, okafor, nair = (lab.person(name) for name in ("berg", "okafor", "nair"))
    log, version = lab.log, case.version
    sign = (lab.log, lab.keyring, lab.accounts, case.id)
    laboratory = workflow.laboratory_of(load_settings())
    return {
        "opened twice": lambda: workflow.create_case(log, case.details, berg),
        "script": lambda: workflow.create_case(log, replace(case.details, accession="x", patient_name="आशा"), berg),
        "changed meanwhile": lambda: workflow.set_details(log, case.id, case.details, version - 1, berg),
        "wrong password": lambda: workflow.sign_out(*sign, version, berg, PASSWORDS["okafor"]),
        "old version": lambda: workflow.sign_out(*sign, 1, okafor, PASSWORDS["okafor"]),
        "addendum": lambda: workflow.add_addendum(*sign, version, berg, PASSWORDS["berg"], Addendum("x", "y")),
        "no report": lambda: release(log, case.id, Format.FHIR, laboratory, berg),
        "not allowed": lambda: workflow.archive_case(log, case.id, nair),
        "image": lambda: workflow.add_region(log, case.id, b"x", "Zwetschge Quirina.png", berg, DEFAULT_LIMITS),
        "account": lambda: lab.accounts.sign_in("Quirina Zwetschge", PASSWORDS["berg"]),
        "weak": lambda: workflow.reset_password(lab.accounts, lab.keyring, LABORATORY, berg, "Quirina", nair),
    }


NAMES = (
    "opened twice", "script", "changed meanwhile", "wrong password", "old version", "addendum", "no report",
    "not allowed", "image", "account", "weak",
)  # fmt: skip


def test_no_error_names_the_patient_or_a_password(lab: TestLaboratory, case: Case) -> None:
    found = failures(lab, case)
    assert tuple(found) == NAMES
    for name, fails in found.items():
        with pytest.raises(Her2CoreError) as caught:
            fails()
        error: BaseException | None = caught.value
        assert str(error), name
        free_of_secrets(str(error))


def test_files_are_named_after_no_patient(lab: TestLaboratory, case: Case) -> None:
    report = lab.sign(case)
    release(lab.log, case.id, Format.FHIR, workflow.laboratory_of(load_settings()), None)
    archived, _ = workflow.archive_case(lab.log, case.id, None)
    pseudonymous, _ = workflow.archive_case(lab.log, case.id, None, deidentified=True)
    backup = lab.log.backup(lab.data_dir.parent)
    names = [path.name for path in lab.data_dir.rglob("*")]
    free_of_secrets(
        "\n".join((*names, archived, pseudonymous, backup.path.name, workflow.report_number(report.case_id)))
    )


def test_the_audit_trail_that_administrators_read_names_no_patient(lab: TestLaboratory, case: Case) -> None:
    lab.sign(case)
    entries = lab.log.audit(limit=1000, accounts_only=True)
    assert entries
    free_of_secrets("\n".join(f"{e.action} {e.detail}" for e in entries))
