"""Changed details of an open case: kept while other pages are looked at, never over what others saved."""

from __future__ import annotations

from dataclasses import replace
from datetime import date
from typing import Any

import pytest
from streamlit.testing.v1 import AppTest

from her2core import workflow
from her2core.records import IHC, Case, CaseDetails
from her2core.ui.changed_details import changes
from tests.pages.app import on_case, said
from tests.pages.lab import GROUP_4, PASSWORDS, POSITIVE, TestLaboratory

PAGE = "pages/intake.py"
TAG = "Changed details not saved yet"


def _type(at: AppTest, case: Case, number: int = 0, **texts: str) -> AppTest:
    for name, text in texts.items():
        at.text_input(key=_key(case, name, number)).input(text)
    at.run()
    assert not at.exception
    return at


def _key(case: Case, name: str, number: int = 0) -> str:
    return f"case_{case.id}_{number}_{name}" if number else f"case_{case.id}_{name}"


def _change(lab: TestLaboratory, case: Case, by: str, **changed: Any) -> None:
    """Somebody saves other details in another window."""
    now = lab.log.case(case.id)
    workflow.set_details(lab.log, case.id, replace(now.details, **changed), now.version, lab.person(by))


@pytest.mark.parametrize(
    ("changed", "told"),
    [
        ({}, {}),
        ({"block": "B2"}, {"block": ("", "B2")}),
        (
            {"ihc": IHC.TWO_PLUS, "ihc_same_sample": False, "received_on": date(2026, 1, 2)},
            {"received_on": (None, date(2026, 1, 2)), "ihc": (None, IHC.TWO_PLUS), "ihc_same_sample": (None, False)},
        ),
    ],
)
def test_changes_name_what_differs(changed: dict[str, Any], told: dict[str, Any]) -> None:
    details = CaseDetails("S26-1", "Muster, Erika", "MRN-1")
    assert changes(details, replace(details, **changed)) == told


def test_what_was_typed_is_there_again_after_another_page_and_can_be_saved(lab: TestLaboratory) -> None:
    case = lab.open_case()
    at = on_case(case.id, page=PAGE)
    assert not said(at, TAG)
    assert at.button(key=_key(case, "discard")).disabled
    _type(at, case, block="B2", lot="L-9")
    assert said(at, "Not saved yet:** block A1 → B2, probe lot L-9.")
    for page in ("pages/review.py", "pages/worklist.py"):
        at = at.switch_page(page).run()
        assert said(at, TAG)
    at = at.switch_page(PAGE).run()
    assert at.text_input(key=_key(case, "block")).value == "B2"
    at.button(key=_key(case, "save")).click().run()
    assert not at.exception
    assert lab.log.case(case.id).details == replace(case.details, block="B2", probe_lot="L-9"), "and nothing else"
    assert [toast.value.replace("\\", "") for toast in at.toast] == ["Details saved: block A1 → B2, probe lot L-9."]
    assert not said(at, TAG)
    assert not said(at, "Not saved yet")
    assert at.text_input(key=_key(case, "block")).value == "B2"


def test_pressing_save_again_changes_nothing_and_is_no_error(lab: TestLaboratory) -> None:
    case = lab.open_case()
    at = _type(on_case(case.id, page=PAGE), case, block="B2")
    at.button(key=_key(case, "save")).click().run()
    version = lab.log.case(case.id).version
    at.button(key=_key(case, "save")).click().run()
    assert said(at, "Nothing was changed.")
    assert not at.error
    assert lab.log.case(case.id).version == version


def test_blanks_that_are_not_stored_leave_nothing_unsaved(lab: TestLaboratory) -> None:
    case = lab.open_case()
    at = _type(on_case(case.id, page=PAGE), case, block=" B2 ")
    at.button(key=_key(case, "save")).click().run()
    assert not said(at, TAG)
    assert at.text_input(key=_key(case, "block", 1)).value == "B2"


def test_discard_shows_what_is_saved(lab: TestLaboratory) -> None:
    case = lab.open_case()
    at = _type(on_case(case.id, page=PAGE), case, block="B2")
    at.button(key=_key(case, "discard")).click().run()
    assert not at.exception
    assert at.text_input(key=_key(case, "block", 1)).value == "A1"
    assert not said(at, TAG)


def test_each_case_has_its_own(lab: TestLaboratory) -> None:
    case, other = lab.open_case(), lab.open_case("S26-002")
    at = _type(on_case(case.id, page=PAGE), case, block="B2")
    at.session_state["her2core_case_id"] = other.id
    at.run()
    assert at.text_input(key=_key(other, "block")).value == "A1"
    assert not said(at, TAG)
    at.session_state["her2core_case_id"] = case.id
    at.run()
    assert at.text_input(key=_key(case, "block")).value == "B2"


def test_a_refused_change_says_why_beside_the_button_and_is_kept(lab: TestLaboratory) -> None:
    case, other = lab.open_case(), lab.open_case("S26-002")
    at = _type(on_case(case.id, page=PAGE), case, accession=other.details.accession)
    at.button(key=_key(case, "save")).click().run()
    assert [error.value for error in at.error] == ["A case with this accession number is in the case log already."]
    assert at.text_input(key=_key(case, "accession")).value == "S26-002"
    assert said(at, TAG)
    assert lab.log.case(case.id).details == case.details


def test_what_somebody_else_saved_is_shown_and_told_not_overwritten(lab: TestLaboratory) -> None:
    case = lab.open_case()
    at = _type(on_case(case.id, page=PAGE), case, lot="L-9")
    _change(lab, case, "okafor", block="A7")
    at.button(key=_key(case, "save")).click().run()
    assert not at.exception
    assert said(
        at,
        "Samuel Okafor changed the details meanwhile: block A1 → A7. The fields show what is saved. What you had typed "
        "was not saved: probe lot L-9.",
    )
    assert at.text_input(key=_key(case, "block", 1)).value == "A7"
    assert at.text_input(key=_key(case, "lot", 1)).value == ""
    assert lab.log.case(case.id).details == replace(case.details, block="A7")
    assert not said(at, TAG)
    at.button(key="details_told").click().run()
    assert not said(at, "changed the details meanwhile")
    _type(at, case, 1, lot="L-9")
    at.button(key=_key(case, "save", 1)).click().run()
    assert lab.log.case(case.id).details == replace(case.details, block="A7", probe_lot="L-9")


def test_where_nothing_was_typed_the_change_of_another_is_shown_without_a_word(lab: TestLaboratory) -> None:
    case = lab.open_case()
    at = on_case(case.id, page=PAGE)
    _change(lab, case, "okafor", block="A7")
    at.run()
    assert at.text_input(key=_key(case, "block", 1)).value == "A7"
    assert not said(at, "meanwhile")


def test_an_ihc_score_from_the_work_up_leaves_what_was_typed(lab: TestLaboratory) -> None:
    case = lab.reviewed(GROUP_4)
    at = _type(on_case(case.id, page=PAGE), case, lot="L-9")
    at = at.switch_page("pages/sign_out.py").run()
    assert said(at, "Details changed at Intake are not saved: the report goes without them.")
    at.selectbox(key="ihc_score_None_None").select(IHC.ONE_PLUS)
    at.button(key="ihc_save").click().run()
    at = at.switch_page(PAGE).run()
    assert at.selectbox(key=_key(case, "ihc", 1)).value is IHC.ONE_PLUS
    assert at.text_input(key=_key(case, "lot", 1)).value == "L-9"
    assert said(at, "Not saved yet:** probe lot L-9.")
    at.button(key=_key(case, "save", 1)).click().run()
    assert lab.log.case(case.id).details == replace(case.details, ihc=IHC.ONE_PLUS, probe_lot="L-9")


def test_an_own_change_of_the_same_field_elsewhere_wins_and_is_told(lab: TestLaboratory) -> None:
    case = lab.open_case()
    at = _type(on_case(case.id, page=PAGE), case, block="B2")
    _change(lab, case, "berg", block="A7")
    at.run()
    assert said(at, "You, in another place, changed the details meanwhile: block A1 → A7.")
    assert said(at, "What you had typed was not saved: block A1 → B2.")


def test_what_was_lost_stays_told_whatever_else_is_saved_meanwhile(lab: TestLaboratory) -> None:
    case = lab.open_case()
    at = _type(on_case(case.id, page=PAGE), case, lot="L-9")
    for number, changed in enumerate(({"block": "A7"}, {"site": "liver"}), start=1):
        _change(lab, case, "okafor", **changed)
        at.run()
        assert said(at, "What you had typed was not saved: probe lot L-9.")
        assert at.text_input(key=_key(case, "lot", number)).value == ""
    _type(at, case, 2, kit="K-1")
    _change(lab, case, "berg", probe_kit="K-2")
    _change(lab, case, "okafor", block="A8")
    at.run()
    assert said(at, "What you had typed was not saved: probe lot L-9.")
    assert said(
        at, "You, in another place, and Samuel Okafor changed the details meanwhile: block A7 → A8, probe kit K-2."
    )
    assert said(at, "What you had typed was not saved: probe kit K-1.")
    at.button(key="details_told").click().run()
    assert not said(at, "What you had typed")


def test_what_somebody_else_saved_alike_is_not_told_as_lost(lab: TestLaboratory) -> None:
    case = lab.open_case()
    at = _type(on_case(case.id, page=PAGE), case, lot="L-9")
    _change(lab, case, "okafor", probe_lot="L-9")
    at.run()
    assert not said(at, "meanwhile")
    assert at.text_input(key=_key(case, "lot", 1)).value == "L-9"
    assert not said(at, TAG)


def test_regions_and_their_flags_take_nothing_away(lab: TestLaboratory) -> None:
    case = lab.open_case()
    at = _type(on_case(case.id, page=PAGE), case, block="B2")
    lab.analyse(lab.add_region(case, POSITIVE), by="okafor")
    at.button(key=_key(case, "save")).click().run()
    assert lab.log.case(case.id).details.block == "B2"


def test_a_case_that_was_signed_meanwhile_tells_what_was_not_saved(lab: TestLaboratory) -> None:
    case = lab.ready(POSITIVE)
    at = _type(on_case(case.id, page=PAGE), case, block="B2")
    lab.sign(case)
    at.run()
    assert said(at, "The case is signed now. The fields show what is saved. What you had typed was not saved: block")
    assert at.text_input(key=_key(case, "block", 1)).value == "A1"
    assert at.text_input(key=_key(case, "block", 1)).disabled
    assert not said(at, TAG)


def test_the_next_user_of_the_browser_finds_nothing_of_it(lab: TestLaboratory) -> None:
    case = lab.open_case()
    at = _type(on_case(case.id, page=PAGE), case, block="B2")
    at.button(key="sign_out").click().run()
    assert _key(case, "block") not in at.session_state
    at.text_input(key="sign_in_name").input("okafor")
    at.text_input(key="sign_in_password").input(PASSWORDS["okafor"])
    at.button(key="sign_in_now").click().run()
    at.session_state["her2core_case_id"] = case.id
    at = at.switch_page(PAGE).run()
    assert at.text_input(key=_key(case, "block")).value == "A1"
    assert not said(at, TAG)


def test_doubts_of_what_is_typed_are_said_before_it_is_saved(lab: TestLaboratory) -> None:
    case = lab.open_case()
    at = on_case(case.id, page=PAGE)
    at.number_input(key=_key(case, "hours")).set_value(3.0).run()
    assert [w.value.split(" hours")[0] for w in at.warning] == ["Fixation of 3"]
    at.button(key=_key(case, "save")).click().run()
    assert [w.value.split(" hours")[0] for w in at.warning] == ["Fixation of 3"], "now of the case, once"


def test_a_time_that_cannot_be_is_refused_and_the_one_before_is_not_saved_in_its_place(lab: TestLaboratory) -> None:
    case = lab.open_case(fixation_hours=24.5)
    at = on_case(case.id, page=PAGE)
    minutes = at.number_input(key=_key(case, "ischaemia"))
    assert (minutes.proto.has_min, minutes.proto.has_max) == (False, False), "a field keeps what is beyond to itself"
    at.number_input(key=_key(case, "hours")).set_value(2000.0)
    minutes.set_value(20.0)
    at.button(key=_key(case, "save")).click().run()
    assert ["Fixation of 2000 hours is longer than can be" in e.value for e in at.error] == [True]
    assert not at.warning, "said once"
    assert lab.log.case(case.id).details == case.details
    at.number_input(key=_key(case, "hours")).set_value(20.0)
    at.button(key=_key(case, "save")).click().run()
    assert (lab.log.case(case.id).details.fixation_hours, lab.log.case(case.id).details.cold_ischaemia_min) == (20, 20)


def test_more_than_two_doubts_are_folded_under_their_number(lab: TestLaboratory) -> None:
    case = lab.open_case(fixation_hours=3.0, cold_ischaemia_min=300.0)
    at = on_case(case.id, page=PAGE)
    assert not [e for e in at.expander if "doubtful" in e.label]
    assert len(at.warning) == 1
    _change(lab, case, "berg", probe_expiry=date(2020, 1, 1))
    at.run()
    (folded,) = [e for e in at.expander if "doubtful" in e.label]
    assert "3 doubtful details" in folded.label
    assert not folded.proto.expanded
    assert len(folded.warning[0].value.split("\n")) == 3


def test_that_the_case_may_be_of_another_patient_is_never_folded(lab: TestLaboratory) -> None:
    lab.log.create_case(CaseDetails("S26-002", "Other, Ada", "MRN-77"), lab.person("okafor"))
    case = lab.open_case(fixation_hours=1.0, cold_ischaemia_min=300.0)
    at = on_case(case.id, page=PAGE)
    (folded,) = [e for e in at.expander if "doubtful" in e.label]
    assert "2 doubtful details" in folded.label
    assert ["Fixation of 1 hour is" in w.value for w in folded.warning] == [True]
    assert not any("patient ID" in w.value for w in folded.warning)
    (in_sight,) = [w.value for w in at.warning if "patient ID" in w.value]
    assert "used with another name in one other case" in in_sight
    assert "Other cases with this patient ID: S26\\-002." in in_sight


def test_the_patient_of_other_cases_is_not_named_again_with_each_doubt_that_is_typed(lab: TestLaboratory) -> None:
    lab.log.create_case(CaseDetails("S26-002", "Other, Ada", "MRN-77"), lab.person("okafor"))
    case = lab.open_case()
    at = on_case(case.id, page=PAGE)
    at.number_input(key=_key(case, "hours")).set_value(3.0).run()
    assert [w.value.count("Other cases with this patient ID") for w in at.warning] == [1, 0]
