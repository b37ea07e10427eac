"""The worklist: whose cases, waiting for what, and one click to where one stopped."""

from __future__ import annotations

import time

import pytest
from streamlit.testing.v1 import AppTest

from her2core import workflow
from her2core.records import CaseState
from her2core.ui.waiting import REVIEW_PAGE, SECOND_READ_PAGE, SIGN_OUT_PAGE, Waiting
from tests.pages.app import page_alone, said, signed_in
from tests.pages.lab import GROUP_3, IHC_SAME, NEGATIVE, POSITIVE, TestLaboratory


def _buttons(at: AppTest, prefix: str) -> list[str]:
    return [button.key for button in at.button if button.key is not None and button.key.startswith(prefix)]


def _place(lab: TestLaboratory, case_id: int, name: str = "berg") -> tuple[str, int | None]:
    place = lab.log.place(case_id, lab.person(name))
    assert place is not None
    return place.page, place.region_id


def test_an_empty_laboratory_says_what_to_do_first(lab: TestLaboratory) -> None:
    at = signed_in("berg")
    assert said(at, "**Nothing waits for you.** A case begins here")
    assert said(at, "No open case.")
    at.button(key="worklist_new").click().run()
    assert said(at, "New case")


def test_each_case_says_what_it_waits_for_and_who_may_do_it(lab: TestLaboratory) -> None:
    lab.open_case("S26-001")
    lab.analysed(POSITIVE, "S26-002")
    at = signed_in("berg")
    assert not at.exception
    for words in ("S26-001 · A1", "the first region image", "S26-002 · A1", "review of the counts", "any pathologist"):
        assert said(at, words), words


def test_cases_of_others_are_there_for_whoever_looks_for_them(lab: TestLaboratory) -> None:
    theirs = lab.open_case("S26-001", by="okafor")
    own = lab.open_case("S26-002")
    at = signed_in("berg")
    assert _buttons(at, "open_") == [f"open_{own.id}"]
    at.segmented_control(key="worklist_mine").select("All open cases").run()
    assert _buttons(at, "open_") == [f"open_{theirs.id}", f"open_{own.id}"]  # the oldest first


def test_whoever_has_no_case_sees_the_laboratorys(lab: TestLaboratory) -> None:
    theirs = lab.open_case("S26-001", by="okafor")
    at = signed_in("berg")
    assert said(at, "None of these is yours.")
    assert _buttons(at, "open_") == [f"open_{theirs.id}"]


def test_one_kind_of_waiting_is_shown_alone(lab: TestLaboratory) -> None:
    lab.open_case("S26-001")
    case = lab.analysed(POSITIVE, "S26-002")
    at = signed_in("berg")
    at.segmented_control(key="worklist_kind").select(Waiting.REVIEW).run()
    assert not at.exception
    assert _buttons(at, "open_") == [f"open_{case.id}"]


def test_continue_leads_to_the_page_and_region_where_one_stopped_in_a_new_session(lab: TestLaboratory) -> None:
    case = lab.open_case()
    for shade in (120, 130):
        lab.analyse(lab.add_region(case, NEGATIVE, shade))
    second = lab.log.regions(case.id)[1]
    at = signed_in("berg")
    at = at.button(key=f"open_{case.id}").click().run()
    assert "case opened" in [entry.action for entry in lab.log.audit(case.id, 3)]
    assert _place(lab, case.id) == (REVIEW_PAGE, None)
    at.session_state["review_region"] = second.id  # what the editor sends when another region is chosen
    at.run()
    assert _place(lab, case.id) == (REVIEW_PAGE, second.id)
    # The server or the browser died; another machine.
    again = signed_in("berg")
    assert said(again, "You stopped at **S26-001 · A1**")
    again = again.button(key=f"last_{case.id}").click().run()
    assert not again.exception
    assert again.session_state["her2core_case_id"] == case.id
    assert again.session_state["review_region"] == second.id
    assert said(again, "Counts reviewed")


def test_a_case_that_went_on_meanwhile_opens_where_its_next_step_is(lab: TestLaboratory) -> None:
    case = lab.analysed(POSITIVE)
    lab.log.keep_place(case.id, lab.person("berg"), REVIEW_PAGE)
    workflow.confirm_review(lab.log, case.id, lab.log.case(case.id).version, lab.person("berg"))
    at = signed_in("berg")
    at.button(key=f"open_{case.id}").click().run()
    assert not at.exception
    assert _place(lab, case.id)[0] == SIGN_OUT_PAGE


def test_the_recount_is_offered_to_whoever_may_make_it_and_to_nobody_else(lab: TestLaboratory) -> None:
    case = lab.reviewed(GROUP_3, **IHC_SAME)
    assert lab.log.case(case.id).state is CaseState.PENDING_RECOUNT
    first = signed_in("berg")
    assert first.button(key=f"open_{case.id}").label == "Continue"
    second = signed_in("okafor")
    assert second.button(key=f"open_{case.id}").label == "Recount"
    assert said(second, "a blinded recount")
    second.button(key=f"open_{case.id}").click().run()
    assert _place(lab, case.id, "okafor")[0] == SECOND_READ_PAGE


def test_a_lab_manager_reads_the_laboratorys_cases_and_works_on_none(lab: TestLaboratory) -> None:
    case = lab.analysed(POSITIVE)
    at = signed_in("lind", "pages/worklist.py")
    assert said(at, "review of the counts")
    assert [b.key for b in at.button if b.key == "worklist_new"] == []
    at.button(key=f"open_{case.id}").click().run()
    assert not at.exception
    assert lab.log.place(case.id, lab.person("lind")) is None
    assert "case opened" in [entry.action for entry in lab.log.audit(case.id, 2)]


def test_an_administrator_sees_how_much_waits_and_no_patient(lab: TestLaboratory) -> None:
    lab.analysed(POSITIVE)
    at = page_alone("worklist.py", lab.person("nair"))
    assert said(at, "**1 open case in the laboratory**")
    table = at.dataframe[0].value
    assert list(table["Waits for"]) == ["review of the counts"]
    for secret in ("Muster", "MRN-77", "S26-001"):
        assert not said(at, secret)
        assert secret not in table.to_csv()


def test_the_search_finds_and_says_when_there_is_nothing(lab: TestLaboratory) -> None:
    lab.open_case("S26-001")
    case = lab.open_case("S26-002")
    at = signed_in("berg")
    at.text_input(key="worklist_find").input("muster 002").run()
    assert _buttons(at, "open_") == [f"open_{case.id}"]
    at.text_input(key="worklist_find").input("nobody").run()
    assert said(at, "No open case matches")
    assert not at.exception


def test_a_long_list_is_turned_page_by_page_and_is_quick(lab: TestLaboratory) -> None:
    cases = [lab.open_case(f"S26-{number:03}") for number in range(23)]
    at = signed_in("berg")
    assert _buttons(at, "open_") == [f"open_{case.id}" for case in cases[:10]]
    for _ in range(2):
        at.button(key="worklist_newer").click().run()
    assert _buttons(at, "open_") == [f"open_{case.id}" for case in cases[20:]]
    at.button(key="worklist_older").click().run()
    assert _buttons(at, "open_") == [f"open_{case.id}" for case in cases[10:20]]


@pytest.mark.parametrize("many", [2000])
def test_two_thousand_open_cases_are_drawn_in_a_moment(lab: TestLaboratory, many: int) -> None:
    template = lab.open_case()
    with lab.log.writing() as db:
        db.execute("DROP TRIGGER cases_no_replace")
        columns = [row[1] for row in db.execute("PRAGMA table_info(cases)") if row[1] not in ("id", "accession")]
        kept = ", ".join(column for column in columns if column != "accession_key")
        db.execute(
            f"""WITH RECURSIVE n (i) AS (VALUES (1) UNION ALL SELECT i + 1 FROM n WHERE i < {many - 1})
            INSERT INTO cases (accession, accession_key, {kept})
            SELECT 'N-' || i, 'n-' || i, {kept} FROM n, cases WHERE cases.id = ?""",
            [template.id],
        )
    at = signed_in("berg")
    started = time.process_time()
    at.run()
    assert time.process_time() - started < 3.0
    assert not at.exception
    assert said(at, f"1 to 10 of {many}")
