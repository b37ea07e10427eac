"""A case walked through the pages with AppTest; what each step leaves is read from the case log."""

from __future__ import annotations

from dataclasses import replace

import pytest
from streamlit.testing.v1 import AppTest

from her2core import workflow
from her2core.caselog import StatementKind
from her2core.imaging import DEFAULT_LIMITS
from her2core.records import IHC, CaseState, CorrectionKind
from her2core.ui.services import services
from her2core.ui.session import REVIEW_REGION
from tests.pages.app import on_case, page_alone, said, signed_in
from tests.pages.lab import (
    FLAGS,
    GROUP_3,
    GROUP_4,
    IHC_SAME,
    POSITIVE,
    TestLaboratory,
    draw_region,
)


def _open(at: AppTest, case_id: int, page: str) -> AppTest:
    at.session_state["her2core_case_id"] = case_id
    return at.switch_page(page).run()


def _on(lab: TestLaboratory, case_id: int, page: str, name: str = "berg") -> AppTest:
    return on_case(case_id, name, page=f"pages/{page}")


# --- intake ------------------------------------------------------------------------------------------------------


def test_a_new_case_is_opened_from_the_form(lab: TestLaboratory) -> None:
    at = signed_in("berg", "pages/intake.py")
    at.text_input(key="new_accession").input("S26-100")
    at.text_input(key="new_name").input("Beispiel, Anna")
    at.text_input(key="new_patient_id").input("MRN-100")
    at.text_input(key="new_block").input("B2")
    at.selectbox(key="new_ihc").select(IHC.TWO_PLUS)
    at.button(key="new_save").click().run()
    case = lab.log.case_by_accession("S26-100")
    assert (case.details.patient_name, case.details.block, case.details.ihc) == ("Beispiel, Anna", "B2", IHC.TWO_PLUS)
    assert at.session_state["her2core_case_id"] == case.id


def test_a_case_without_a_second_identifier_is_refused(lab: TestLaboratory) -> None:
    at = signed_in("berg", "pages/intake.py")
    at.text_input(key="new_accession").input("S26-100")
    at.text_input(key="new_name").input("Beispiel, Anna")
    at.button(key="new_save").click().run()
    assert "patient ID" in at.error[0].value
    assert len(lab.log.look_up_ids()) == 0


# --- review ---------------------------------------------------------------------------------------------------------


def test_the_analysis_runs_in_the_background_and_the_page_shows_its_result(
    lab: TestLaboratory, stand_in_models: None
) -> None:
    case = lab.open_case()
    region = lab.add_region(case, POSITIVE)
    workflow.set_flags(lab.log, region.id, FLAGS, lab.person("berg"))
    at = _on(lab, case.id, "review.py")
    assert said(at, "1 flagged region waits for analysis")
    at.button(key="analyse").click().run()
    services().jobs.wait(case.id)
    at.run()
    assert not at.exception
    assert said(at, "Group 1")
    assert lab.log.case(case.id).state is CaseState.ANALYSED


def test_the_review_is_confirmed_with_one_button(lab: TestLaboratory) -> None:
    case = lab.analysed(POSITIVE)
    at = _on(lab, case.id, "review.py")
    at.button(key="confirm_review").click().run()
    assert not at.exception
    assert lab.log.case(case.id).state is CaseState.REVIEWED
    assert lab.log.statement(case.id, StatementKind.REVIEWED) is not None


def test_nothing_is_left_to_settle_only_when_no_scored_nucleus_asks_to_be_looked_at(lab: TestLaboratory) -> None:
    case, by = lab.open_case(), lab.person("berg")
    region = lab.add_region(case, POSITIVE)
    lab.analyse(region, replace(FLAGS, clusters=True))
    analysis = lab.log.analysis(region.id)
    assert analysis is not None
    doubtful = tuple(replace(n, uncertain=n.id == 3) for n in analysis.nuclei)
    lab.log.save_analysis(region.id, replace(analysis, nuclei=doubtful), by)
    at = _on(lab, case.id, "review.py")
    (point,) = workflow.assess(lab.log, case.id).unsettled
    at.button(key=f"warning_{point.key}").click().run()
    assert not at.exception
    assert said(at, "Every point is settled.** Look through the nuclei, 1 of them in doubt, then")
    assert not said(at, "Nothing is left to settle")
    workflow.correct(lab.log, region.id, 3, CorrectionKind.COUNTS, {"her2": 6, "cep17": 2}, by)
    at.run()
    assert said(at, "Nothing is left to settle")


def test_a_point_leads_to_the_region_that_it_is_about(lab: TestLaboratory) -> None:
    case = lab.open_case()
    lab.analyse(lab.add_region(case, POSITIVE, shade=120), FLAGS)
    second = lab.add_region(case, POSITIVE, shade=130)
    lab.analyse(second, replace(FLAGS, clusters=True))
    at = _on(lab, case.id, "review.py")
    (point,) = workflow.assess(lab.log, case.id).unsettled
    assert point.region_id == second.id
    leads = at.button(key=f"open_region_{point.key}")
    assert leads.label == "Open A2"
    leads.click().run()
    assert not at.exception
    assert at.session_state[REVIEW_REGION] == second.id
    assert not [b for b in at.button if b.key == f"open_region_{point.key}"]  # it is looked at
    assert at.button(key=f"warning_{point.key}")


def test_who_rejects_the_region_that_is_looked_at_goes_on_in_one_that_counts(lab: TestLaboratory) -> None:
    case = lab.open_case()
    first = lab.add_region(case, POSITIVE)
    lab.analyse(first, FLAGS)
    again, _ = workflow.add_region(
        lab.log, case.id, draw_region(POSITIVE[:16]), "again.png", lab.person("berg"), DEFAULT_LIMITS
    )
    lab.analyse(again, FLAGS)
    at = _on(lab, case.id, "review.py")
    (point,) = [w for w in workflow.assess(lab.log, case.id).unsettled if w.region_id == again.id]
    at.button(key=f"open_region_{point.key}").click().run()
    assert at.session_state[REVIEW_REGION] == again.id
    rejects = at.button(key=f"follow_{point.key}")
    assert rejects.label == "Reject A2"
    rejects.click().run()
    assert not at.exception
    assert at.session_state[REVIEW_REGION] == first.id
    assert [r.suitable for r in workflow.assess(lab.log, case.id).regions] == [True, False]


# --- work-up and signature ------------------------------------------------------------------------------------------


def test_the_sign_button_waits_until_nothing_is_open(lab: TestLaboratory) -> None:
    case = lab.reviewed(POSITIVE)
    at = _on(lab, case.id, "sign_out.py")
    assert at.button(key="sign").disabled
    assert said(at, "not stated yet")
    (key,) = [c.key for c in at.segmented_control if c.key is not None and c.key.startswith("attest_")]
    at.segmented_control(key=key).select("fits the histology").run()
    assert not at.exception
    for warning in workflow.assess(lab.log, case.id).warnings:
        at.button(key=f"warning_{warning.key}").click().run()
    assert not at.button(key="sign").disabled
    assert said(at, "Nothing is open")
    assert lab.log.case(case.id).state is CaseState.READY


def test_a_case_without_a_suitable_region_is_made_ready_where_its_reasons_are_given(lab: TestLaboratory) -> None:
    case = lab.open_case()
    region = lab.add_region(case, POSITIVE)
    rejected = replace(FLAGS, suitable=False, unsuitable_reason="autofluorescence")
    workflow.set_flags(lab.log, region.id, rejected, lab.person("berg"))
    at = _on(lab, case.id, "sign_out.py")
    at.multiselect(key="reasons_0").set_value(["Autofluorescence is too strong."])
    at.button(key="indeterminate_save").click().run()
    assert not at.exception
    assert said(at, "HER2 indeterminate: Autofluorescence is too strong.")
    assert not at.button(key="sign").disabled


@pytest.mark.parametrize("reasons", [(), ("Autofluorescence is too strong.",)], ids=["a result", "none"])
def test_a_signed_case_tells_why_it_has_no_result_and_offers_no_reasons(
    lab: TestLaboratory, reasons: tuple[str, ...]
) -> None:
    case = lab.ready(POSITIVE)
    if reasons:
        workflow.set_indeterminate(lab.log, case.id, reasons, lab.person("berg"))
        for warning in workflow.assess(lab.log, case.id).unsettled:
            workflow.acknowledge(lab.log, case.id, warning, lab.person("berg"))
    report = lab.sign(lab.log.case(case.id))
    at = _on(lab, report.case_id, "sign_out.py")
    assert not [button for button in at.button if button.key == "indeterminate_save"]
    assert said(at, "**No result, since:** Autofluorescence is too strong.") == bool(reasons)


def test_the_draft_follows_the_settings(lab: TestLaboratory) -> None:
    case = lab.ready(POSITIVE)
    at = _on(lab, case.id, "sign_out.py")
    (lab.data_dir / "settings.toml").write_text('laboratory_name = "Renamed Laboratory"\nassay_type = "Probe kit X"\n')
    assert not said(at, "Renamed Laboratory")
    at.run()
    assert said(at, "Renamed Laboratory") or "Renamed Laboratory" in str(at.main)


def test_the_sign_dialog_says_what_the_signature_means_and_asks_for_the_password(lab: TestLaboratory) -> None:
    """AppTest runs no dialog's own fragment: that it signs is shown in tests/browser and in tests/test_workflow.py."""
    case = lab.ready(POSITIVE)
    at = _on(lab, case.id, "sign_out.py")
    at.button(key="sign").click().run()
    assert said(at, workflow.MEANING)
    assert said(at, "Muster, Erika · ID MRN-77")
    assert said(at, "Password of Miriam Berg")
    assert lab.log.reports(case.id) == []


def test_a_signed_case_shows_its_report_and_that_the_signature_holds(lab: TestLaboratory) -> None:
    report = lab.sign(lab.ready(POSITIVE))
    at = _on(lab, report.case_id, "sign_out.py")
    assert said(at, "Final report, version 1, signed by Miriam Berg")
    assert said(at, "Signature valid.")
    assert [b for b in at.button if b.key == "sign"] == []


def test_late_ihc_moves_the_case_on(lab: TestLaboratory) -> None:
    case = lab.reviewed(GROUP_4)
    at = _on(lab, case.id, "sign_out.py")
    assert said(at, "Enter the HER2 IHC score")
    at.selectbox(key="ihc_score_None_None").select(IHC.ONE_PLUS)
    at.segmented_control(key="ihc_same_None_None").select("same sample")
    at.button(key="ihc_save").click().run()
    assert not at.exception
    assert said(at, "comment C")
    assert lab.log.case(case.id).details.ihc is IHC.ONE_PLUS


def test_a_pathologist_without_key_is_told_who_issues_one(lab: TestLaboratory) -> None:
    case = lab.ready(POSITIVE)
    lab.keyring.revoke(lab.person("berg"), "lost")
    at = _on(lab, case.id, "sign_out.py")
    assert said(at, "You have no signing key yet")
    assert [b for b in at.button if b.key == "sign"] == []


def test_an_open_amendment_says_why_and_can_be_withdrawn(lab: TestLaboratory) -> None:
    report = lab.sign(lab.ready(POSITIVE))
    version = lab.log.case(report.case_id).version
    workflow.amend(lab.log, report.case_id, "block was mixed up", version, lab.person("berg"))
    at = _on(lab, report.case_id, "sign_out.py")
    assert said(at, "Amendment open: block was mixed up")
    at.button(key="withdraw").click().run()
    assert not at.exception
    assert lab.log.case(report.case_id).state is CaseState.SIGNED


# --- second read ----------------------------------------------------------------------------------------------------


@pytest.mark.parametrize("page", ["review.py", "sign_out.py"])
def test_whoever_could_recount_is_asked_before_counts_are_shown(lab: TestLaboratory, page: str) -> None:
    case = lab.reviewed(GROUP_3, **IHC_SAME)
    at = _on(lab, case.id, page, "okafor")
    assert said(at, "waits for a blinded recount")
    assert not said(at, "Group 3")
    assert not workflow.saw_counts(lab.log, case.id, lab.person("okafor"))
    at.button(key="give_up_blind").click().run()
    assert workflow.saw_counts(lab.log, case.id, lab.person("okafor"))
    assert said(at, "Group 3")


# --- pages without a case -------------------------------------------------------------------------------------------


@pytest.mark.parametrize("page", ["review.py", "sign_out.py"])
def test_a_page_without_case_leads_to_the_worklist(lab: TestLaboratory, page: str) -> None:
    at = page_alone(page, lab.person("berg"))
    assert said(at, "Choose one from the worklist")


def test_a_case_id_that_does_not_exist_is_said(lab: TestLaboratory) -> None:
    at = signed_in("berg")
    at.session_state["her2core_case_id"] = 4711
    at.run()
    assert "There is no such case" in at.error[0].value
