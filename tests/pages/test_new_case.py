"""The new-case page: a draft outlives the page and nothing else, and what looks wrong is said as it is entered."""

from __future__ import annotations

from datetime import date, timedelta

from streamlit.testing.v1 import AppTest

from her2core.records import CaseDetails
from tests.pages.app import on_case, said, signed_in
from tests.pages.lab import PASSWORDS, POSITIVE, TestLaboratory

PAGE = "pages/intake.py"
KEPT = "This draft is kept while you look at other pages"


def _fill(at: AppTest, key: str = "new", **texts: str) -> AppTest:
    for name, text in texts.items():
        at.text_input(key=f"{key}_{name}").input(text)
    return at.run()


def _begun(lab: TestLaboratory) -> AppTest:
    at = _fill(signed_in("berg", PAGE), accession="S26-100", name="Beispiel, Anna", block="B2")
    at.date_input(key="new_received").set_value(date(2026, 1, 2)).run()
    assert not at.exception
    return at


def test_a_half_filled_case_is_there_again_after_another_page(lab: TestLaboratory) -> None:
    at = signed_in("berg", PAGE)
    assert not said(at, KEPT)
    assert at.button(key="new_clear").disabled
    at = _begun(lab)
    at = at.switch_page("pages/worklist.py").run()
    at = at.switch_page(PAGE).run()
    assert said(at, KEPT)
    assert [at.text_input(key=f"new_{name}").value for name in ("accession", "name", "block", "site")] == [
        "S26-100",
        "Beispiel, Anna",
        "B2",
        "breast",
    ]
    assert at.date_input(key="new_received").value == date(2026, 1, 2)
    _fill(at, patient_id="MRN-100")
    at.button(key="new_save").click().run()
    details = lab.log.case_by_accession("S26-100").details
    assert (details.block, details.received_on, details.patient_id) == ("B2", date(2026, 1, 2), "MRN-100")


def test_another_case_does_not_take_the_draft_away(lab: TestLaboratory) -> None:
    case = lab.open_case()
    at = _begun(lab)
    at.session_state["her2core_case_id"] = case.id
    at.run()
    assert not said(at, "New case")
    at.session_state["her2core_case_id"] = None
    at.run()
    assert at.text_input(key="new_accession").value == "S26-100"


def test_a_draft_is_gone_once_it_is_cleared(lab: TestLaboratory) -> None:
    at = _begun(lab)
    at.button(key="new_clear").click().run()
    assert not at.exception
    assert not said(at, KEPT)
    assert at.text_input(key="new_1_accession").value == ""
    assert at.text_input(key="new_1_site").value == "breast"
    assert at.date_input(key="new_1_received").value is None
    assert "new_accession" not in at.session_state


def test_a_draft_is_gone_once_its_case_is_open_and_after_signing_out(lab: TestLaboratory) -> None:
    at = _fill(_begun(lab), patient_id="MRN-100")
    at.button(key="new_save").click().run()
    assert not at.exception
    at.session_state["her2core_case_id"] = None
    at.run()
    assert at.text_input(key="new_1_accession").value == ""
    _fill(at, "new_1", accession="S26-200")
    at.button(key="sign_out").click().run()
    assert "new_1_accession" not in at.session_state


def test_the_next_user_of_the_browser_finds_no_draft(lab: TestLaboratory) -> None:
    at = _begun(lab)
    at.button(key="sign_out").click().run()
    at.text_input(key="sign_in_name").input("okafor")
    at.text_input(key="sign_in_password").input(PASSWORDS["okafor"])
    at.button(key="sign_in_now").click().run()
    at = at.switch_page(PAGE).run()
    assert not said(at, KEPT)
    assert at.text_input(key="new_accession").value == ""
    assert at.date_input(key="new_received").value is None


def test_what_looks_wrong_is_said_and_bars_nothing(lab: TestLaboratory) -> None:
    lab.log.create_case(CaseDetails("S26-009", "Fremd, Frida", "MRN-100"), lab.person("okafor"))
    at = _fill(_begun(lab), patient_id="MRN-100", lot="L-9")
    at.number_input(key="new_hours").set_value(3.0)
    at.date_input(key="new_expiry").set_value(date.today() - timedelta(days=1)).run()
    told = [w.value.replace("\\", "") for w in at.warning]
    whose, others = told[0].split("\n")
    assert whose.startswith("- The patient ID MRN-100 is used with another name in one other case.")
    assert others == "- Other cases with this patient ID: S26-009."
    (folded,) = [e for e in at.expander if "2 doubtful details" in e.label]
    assert [w.value.replace("\\", "") for w in folded.warning] == told[1:], "whose case it is stays in sight"
    lot, fixation = told[1].split("\n")
    assert lot.startswith("- The probe lot L-9 expired on ")
    assert fixation.startswith("- Fixation of 3 hours is outside the 6 to 72 hours of the guideline.")
    assert not said(at, "Fremd")
    at.button(key="new_save").click().run()
    case = lab.log.case_by_accession("S26-100")
    assert at.session_state["her2core_case_id"] == case.id
    assert [w.value.replace("\\", "") for w in at.warning][:2] == told, "and again in the case"


def test_what_cannot_be_is_said_and_bars_the_case(lab: TestLaboratory) -> None:
    at = _fill(_begun(lab), patient_id="MRN-100")
    at.date_input(key="new_collected").set_value(date(2026, 1, 3)).run()
    assert [e.value.replace("\\", "").split(",")[0] for e in at.error] == ["The specimen was collected on 03 Jan 2026"]
    assert at.button(key="new_save").disabled
    at.date_input(key="new_collected").set_value(date(2026, 1, 1)).run()
    assert not at.error
    assert not at.button(key="new_save").disabled


def test_a_time_that_cannot_be_comes_through_and_is_said(lab: TestLaboratory) -> None:
    at = _fill(_begun(lab), patient_id="MRN-100")
    hours = at.number_input(key="new_hours")
    assert (hours.proto.has_min, hours.proto.has_max) == (False, False), "a field keeps what is beyond to itself"
    hours.set_value(-5.0).run()
    (said_now,) = [e.value.replace("\\", "") for e in at.error]
    assert said_now == "Fixation of -5 hours cannot be: enter 0 to 1000 hours, or leave the field empty."
    assert at.button(key="new_save").disabled
    at.number_input(key="new_hours").set_value(5.0).run()
    assert not at.error
    assert not at.button(key="new_save").disabled


def test_an_accession_number_that_is_in_use_leads_to_its_case_and_keeps_the_draft(lab: TestLaboratory) -> None:
    known = lab.open_case("s26-100", by="okafor")
    at = _fill(_begun(lab), patient_id="MRN-100")
    at.button(key="new_save").click().run()
    assert [e.value for e in at.error] == ["A case with this accession number is in the case log already."]
    assert said(at, "It is of Muster, Erika, ID MRN-77, opened ")
    at.button(key="open_known").click().run()
    assert not at.exception
    assert at.session_state["her2core_case_id"] == known.id
    assert lab.log.audit(known.id, 1)[0].action == "case opened"
    at.session_state["her2core_case_id"] = None
    at.run()
    assert at.text_input(key="new_accession").value == "S26-100"


def test_details_that_cannot_be_are_refused_where_they_are_saved(lab: TestLaboratory) -> None:
    case = lab.open_case(received_on=date(2026, 1, 2))
    at = on_case(case.id, page=PAGE)
    at.date_input(key=f"case_{case.id}_collected").set_value(date(2026, 1, 3))
    at.button(key=f"case_{case.id}_save").click().run()
    assert [e.value.split(",")[0] for e in at.error] == ["The specimen was collected on 03 Jan 2026"]
    assert lab.log.case(case.id).details.collected_on is None
    assert at.date_input(key=f"case_{case.id}_collected").value == date(2026, 1, 3), "to be corrected"


def test_a_case_with_nothing_wrong_says_nothing(lab: TestLaboratory) -> None:
    at = on_case(lab.analysed(POSITIVE).id, page=PAGE)
    assert not any("patient ID" in w.value or "ixation" in w.value for w in at.warning)
