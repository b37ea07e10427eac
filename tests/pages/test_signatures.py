"""Two signatures and addenda on the page. What is done in their dialogs is shown in tests/test_signatures.py."""

from __future__ import annotations

from dataclasses import replace

import pytest
from streamlit.testing.v1 import AppTest

from her2core import workflow
from her2core.caselog import FirstSignature
from her2core.records import CaseDetails
from her2core.reporting.content import ReportContent
from her2core.ui import sign_out
from tests.pages.app import on_case, said, signed_in
from tests.pages.lab import PASSWORDS, POSITIVE, TestLaboratory


@pytest.fixture
def waiting(lab: TestLaboratory, monkeypatch: pytest.MonkeyPatch) -> FirstSignature:
    """A report that Berg has signed and Okafor is to sign."""
    monkeypatch.setenv("HER2CORE_SECOND_SIGNATURE", "yes")
    case = lab.ready(POSITIVE)
    people = (lab.person("berg"), PASSWORDS["berg"], lab.person("okafor"))
    return workflow.sign_first(lab.log, lab.keyring, lab.accounts, case.id, case.version, *people)


def sign_out_page(case_id: int, who: str) -> AppTest:
    return on_case(case_id, who, page="pages/sign_out.py")


def keys(at: AppTest) -> set[str]:
    return {str(button.key) for button in at.button}


@pytest.mark.parametrize(("who", "signs"), [("okafor", True), ("berg", False)])
def test_the_page_says_who_signed_and_who_is_to_sign(
    lab: TestLaboratory, waiting: FirstSignature, who: str, signs: bool
) -> None:
    at = sign_out_page(waiting.case_id, who)
    assert not at.exception
    assert said(at, "Signed by Miriam Berg")
    assert said(at, "final with the signature of Samuel Okafor")
    assert ("sign_second" in keys(at)) is signs
    assert "sign" not in keys(at)
    if signs:
        at.button(key="sign_second").click().run()
        assert said(at, workflow.SECOND_MEANING)
    else:
        at.button(key="withdraw_first").click().run()
        assert lab.log.first_signature(waiting.case_id) is None
        assert "sign" in keys(at)


def test_the_page_says_what_came_up_after_the_first_signature(lab: TestLaboratory, waiting: FirstSignature) -> None:
    workflow.create_case(lab.log, CaseDetails("S26-009", "Fremd, Frida", "MRN-77"), lab.person("okafor"))
    at = sign_out_page(waiting.case_id, "okafor")
    assert said(at, "Something came up after the first signature")
    assert at.button(key="sign_second").disabled
    at.button(key="withdraw_first").click().run()
    assert not at.exception
    assert not said(at, "Something came up after the first signature")
    assert lab.log.first_signature(waiting.case_id) is None


def test_where_two_sign_the_dialog_asks_who_signs_second(lab: TestLaboratory, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("HER2CORE_SECOND_SIGNATURE", "yes")
    case = lab.ready(POSITIVE)
    at = sign_out_page(case.id, "berg")
    at.button(key="sign").click().run()
    assert not at.exception
    assert said(at, "Second signature by")
    assert at.selectbox(key="second_signer").options == ["Samuel Okafor"]


def test_the_dialog_of_an_amendment_names_its_version_and_its_reason(lab: TestLaboratory) -> None:
    ready = lab.ready(POSITIVE)
    at = sign_out_page(ready.id, "berg")
    at.button(key="sign").click().run()
    assert said(at, f"Report {workflow.report_number(ready.id)}, version 1: final report.")
    report, by = lab.sign(ready), lab.person("berg")
    case = workflow.amend(lab.log, report.case_id, "wrong *block*", lab.log.case(report.case_id).version, by)
    workflow.confirm_review(lab.log, case.id, lab.log.case(case.id).version, by)
    at = sign_out_page(case.id, "berg")
    at.button(key="sign").click().run()
    assert not at.exception
    assert said(at, "version 2: amended report, which replaces version 1.")
    assert said(at, "Reason for the amendment: wrong *block*")


def test_the_draft_follows_what_another_case_and_the_signers_name_change_in_it(
    lab: TestLaboratory, monkeypatch: pytest.MonkeyPatch
) -> None:
    shown: list[ReportContent] = []

    def kept(content: ReportContent) -> str:
        shown.append(content)
        return "<p>the report</p>"

    monkeypatch.setattr(sign_out, "report_html", kept)
    case = lab.ready(POSITIVE)
    sign_out_page(case.id, "berg")
    assert [s.name for s in shown[-1].signatories] == ["Miriam Berg"]
    assert not any("used with another name" in alert for alert in shown[-1].alerts)
    workflow.rename(lab.accounts, lab.person("berg"), "Miriam Lind", "MD", None)
    at = sign_out_page(case.id, "berg")
    assert [s.name for s in shown[-1].signatories] == ["Miriam Lind"]
    stranger = workflow.create_case(lab.log, CaseDetails("S26-009", "Fremd, Frida", "MRN-77"), lab.person("okafor"))
    at.run()
    assert any("used with another name in one other case" in alert for alert in shown[-1].alerts)
    workflow.create_case(lab.log, replace(stranger.details, accession="S26-010"), lab.person("okafor"))
    at.run()  # the state is the same as before
    assert any("used with another name in 2 other cases" in alert for alert in shown[-1].alerts)


def test_a_signed_case_offers_an_addendum_that_says_what_it_is(lab: TestLaboratory) -> None:
    report = lab.sign(lab.ready(POSITIVE))
    at = sign_out_page(report.case_id, "berg")
    at.button(key="addendum").click().run()
    assert not at.exception
    assert said(at, "changes no number and no result")


def test_the_worklist_says_whose_second_signature_a_case_waits_for(
    lab: TestLaboratory, waiting: FirstSignature
) -> None:
    for who, says in (("berg", "Samuel Okafor"), ("okafor", "you"), ("lind", "Samuel Okafor")):
        at = signed_in(who)
        assert not at.exception
        assert said(at, "the second signature"), who  # Okafor, too, though the case is Berg's: it is his turn
        assert says in [line.value for line in at.markdown], who
        assert not said(at, "None of these is yours."), who
    berg = lab.person("berg")
    workflow.withdraw_first_signature(lab.log, waiting.case_id, lab.log.case(waiting.case_id).version, berg)
    assert not said(signed_in("berg"), "the second signature")
    assert said(signed_in("okafor"), "None of these is yours.")
