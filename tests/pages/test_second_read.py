"""The blinded recount on the page: who gets in, what reaches the browser, what is stored."""

from __future__ import annotations

import shutil
from collections.abc import Mapping
from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest
import streamlit
from streamlit.testing.v1 import AppTest

from her2core import workflow
from her2core.records import Case, CaseState, CorrectionKind, Nucleus, Population, RegionAnalysis
from her2core.scoring import MINIMUM_NUCLEI
from her2core.ui import second_read
from her2core.ui.second_read import given_in_table, missing, no_counts, with_edits
from her2core.ui.services import services
from her2core.workflow import Counts, scored_nuclei
from tests.pages.app import ROOT, as_user, page_alone, said, signed_in, words
from tests.pages.lab import FLAGS, GROUP_3, GROUP_4, IHC_SAME, NEGATIVE, TestLaboratory

PAGE = "pages/second_read.py"


def protos(element: Any) -> list[str]:
    """Everything that a run sends to the browser, element by element."""
    proto = getattr(element, "proto", None)
    children = getattr(element, "children", {})
    inner = [text for child in children.values() for text in protos(child)] if isinstance(children, dict) else []
    return [str(proto), *inner]


def sent(at: AppTest) -> str:
    return "\n".join(protos(at._tree))


def opened(lab: TestLaboratory, name: str, case: Case) -> AppTest:
    """The page of somebody who opened this case, alone."""
    at = AppTest.from_file(str(ROOT / PAGE), default_timeout=60)
    at.session_state["her2core_case_id"] = case.id
    return as_user(at, lab.person(name)).run()


def count(lab: TestLaboratory, case: Case, counts: Mapping[int, tuple[int | None, int | None]]) -> None:
    """Counts by nucleus id, given by the second observer in the first region."""
    given = {(region_of(lab, case), nucleus): pair for nucleus, pair in counts.items()}
    workflow.count_blinded(lab.log, case.id, given, lab.person("okafor"))


def so_far(lab: TestLaboratory, case: Case) -> Counts:
    return workflow.blinded_recount(lab.log, case.id, lab.person("okafor"))[1]


def waiting(lab: TestLaboratory, counts: list[tuple[int, int]] = GROUP_3, accession: str = "S26-001") -> Case:
    case = lab.reviewed(counts, accession, **IHC_SAME)
    assert case.state is CaseState.PENDING_RECOUNT
    return case


def region_of(lab: TestLaboratory, case: Case) -> int:
    return lab.log.regions(case.id)[0].id


# --- who --------------------------------------------------------------------------------------------------------------


def test_second_observer_finds_the_case_and_opens_it(lab: TestLaboratory) -> None:
    case = waiting(lab)
    at = signed_in("okafor", PAGE)
    assert said(at, "S26-001")
    at.button(key=f"recount_{case.id}").click().run()
    assert not at.exception
    assert said(at, "Blinded recount, population A")
    assert any(entry.detail == {"for": "blinded recount"} for entry in lab.log.audit(case.id))


def test_first_observer_is_told_why_not(lab: TestLaboratory) -> None:
    case = waiting(lab)
    at = page_alone("second_read.py", lab.person("berg"))
    assert said(at, "You took part in the first count")
    assert at.button(key=f"recount_{case.id}").disabled
    assert said(opened(lab, "berg", case), "The open case: You took part in the first count")


def test_who_has_seen_the_counts_is_told_why_not(lab: TestLaboratory) -> None:
    case = waiting(lab)
    workflow.note_counts_seen(lab.log, case.id, lab.person("okafor"))
    at = opened(lab, "okafor", case)
    assert said(at, "You have seen the first counts")
    assert not said(at, "Blinded recount")
    assert at.button(key=f"recount_{case.id}").disabled


def test_case_without_due_recount_is_not_offered(lab: TestLaboratory) -> None:
    case = lab.reviewed(NEGATIVE, **IHC_SAME)
    at = opened(lab, "okafor", case)
    assert said(at, "No recount is due for this case.")
    assert not at.get("plotly_chart")


@pytest.mark.parametrize("name", ["lind", "nair", None])
def test_nobody_else_sees_anything(lab: TestLaboratory, name: str | None) -> None:
    waiting(lab)
    at = page_alone("second_read.py", None if name is None else lab.person(name))
    assert not at.exception
    assert len(at.main) == 0


# --- what reaches the browser -----------------------------------------------------------------------------------------


def other_counts(nucleus: Nucleus, her2: int, cep17: int, **more: Any) -> Nucleus:
    return replace(nucleus, her2=her2, cep17=cep17, her2_regressed=her2 + 0.4, cep17_regressed=cep17 + 0.3, **more)


def with_first_counts(lab: TestLaboratory, her2: int, cep17: int, edited: int, **more: Any) -> Case:
    """A case that waits for a recount whose image and boxes are always the same and whose first counts are these; the
    first observer changed the first nucleus to `edited` HER2 signals."""
    case = lab.analysed(GROUP_4, **IHC_SAME)
    region = lab.log.regions(case.id)[0]
    analysis = lab.log.analysis(region.id)
    assert isinstance(analysis, RegionAnalysis)
    nuclei = tuple(other_counts(nucleus, her2, cep17, **more) for nucleus in analysis.nuclei)
    berg = lab.person("berg")
    lab.log.save_analysis(region.id, replace(analysis, nuclei=nuclei), berg)
    counts = {"her2": edited, "cep17": cep17}
    workflow.correct(lab.log, region.id, 1, CorrectionKind.COUNTS, counts, berg)
    for point in workflow.refresh_state(lab.log, case.id, berg).unsettled:
        workflow.acknowledge(lab.log, case.id, point, berg)
    workflow.confirm_review(lab.log, case.id, lab.log.case(case.id).version, berg)
    return lab.log.case(case.id)


@pytest.fixture
def two(template: Path, tmp_path: Path) -> tuple[TestLaboratory, TestLaboratory]:
    """Two laboratories that differ in nothing."""
    folders = [tmp_path / name for name in ("one", "other")]
    for folder in folders:
        shutil.copytree(template, folder)
    return TestLaboratory.reopen(folders[0]), TestLaboratory.reopen(folders[1])


@pytest.mark.parametrize("step", ["first look", "after a count"])
def test_page_is_the_same_whatever_the_first_observer_and_the_models_counted(
    two: tuple[TestLaboratory, TestLaboratory], monkeypatch: pytest.MonkeyPatch, step: str
) -> None:
    """Cases of Group 3 and of Group 4, with other counts of the models and other corrections, but the same image and
    boxes: what is sent to the second observer is the same to the last character."""
    pages, groups = [], []
    firsts: tuple[tuple[int, int, int, dict[str, Any]], ...] = (
        (137, 91, 143, {}),
        (5, 4, 8, {"clustered": True, "uncertain": True}),
    )
    for lab, (her2, cep17, edited, more) in zip(two, firsts, strict=True):
        case = with_first_counts(lab, her2, cep17, edited, **more)
        assert case.state is CaseState.PENDING_RECOUNT
        assessment = workflow.assess(lab.log, case.id).assessment
        assert assessment is not None
        groups.append(assessment.populations[0].provisional_group)
        monkeypatch.setenv("HER2CORE_DATA", str(lab.data_dir))
        at = opened(lab, "okafor", case)
        if step == "after a count":
            at.text_input(key=f"recount_{region_of(lab, case)}_1_None_None_her2").set_value("6")
            at.text_input(key=f"recount_{region_of(lab, case)}_1_None_None_cep17").set_value("4")
            at.button(key=f"recount_{region_of(lab, case)}_1_None_None_save").click().run()
            assert f"1 of at least {MINIMUM_NUCLEI}" in sent(at)
        assert not at.exception
        assert said(at, "Nr 2" if step == "after a count" else "Nr 1")
        pages.append(sent(at))
        lab.log.close()
    assert groups == [3, 4]
    assert len(pages[0]) > 5_000  # the figure with its boxes is among it
    assert pages[0] == pages[1]
    assert "137" not in words(at)


def test_the_same_comparison_finds_the_counts_where_they_are_shown(
    two: tuple[TestLaboratory, TestLaboratory], monkeypatch: pytest.MonkeyPatch
) -> None:
    pages = []
    for lab, counts in zip(two, ((137, 91, 143), (5, 4, 8)), strict=True):
        case = with_first_counts(lab, *counts)
        monkeypatch.setenv("HER2CORE_DATA", str(lab.data_dir))
        at = AppTest.from_file(str(ROOT / "pages" / "review.py"), default_timeout=60)
        at.session_state["her2core_case_id"] = case.id
        pages.append(sent(as_user(at, lab.person("berg")).run()))
        lab.log.close()
    assert pages[0] != pages[1]
    assert "137" in pages[0]


# --- what is stored ---------------------------------------------------------------------------------------------------


def full(pair: tuple[int, int]) -> dict[int, tuple[int, int]]:
    return dict.fromkeys(range(1, MINIMUM_NUCLEI + 1), pair)


def test_hand_in_waits_for_twenty_nuclei_with_both_colours(lab: TestLaboratory) -> None:
    case = waiting(lab)
    count(lab, case, {**full((6, 4)), 3: (0, 4)})
    at = opened(lab, "okafor", case)
    assert at.button(key="hand_in").disabled
    assert said(at, "Count 1 more nucleus with signals of both colours.")
    assert said(at, "1 without signals of both colours, not scored.")
    assert lab.log.recounts(case.id) == []


def test_half_a_count_is_kept_and_asked_for_and_the_nucleus_stays(lab: TestLaboratory) -> None:
    case = waiting(lab)
    at = opened(lab, "okafor", case)
    region = region_of(lab, case)
    at.text_input(key=f"recount_{region}_1_None_None_her2").set_value("6")
    at.button(key=f"recount_{region}_1_None_None_save").click().run()
    assert said(at, "Nr 1")
    assert any("CEP17 of nucleus 1 is missing" in info.value for info in at.info)
    assert said(at, "Before you hand in:")
    assert said(at, "Give both counts of nucleus 1, or leave it out.")
    at.text_input(key=f"recount_{region}_1_6_None_cep17").set_value("0")
    at.button(key=f"recount_{region}_1_6_None_save").click().run()
    assert said(at, "Nr 2")
    assert not said(at, "Give both counts of nucleus 1")


def test_what_is_no_count_is_not_kept_and_its_nucleus_stays(lab: TestLaboratory) -> None:
    """As a browser sends it that does not check the fields itself."""
    case = waiting(lab)
    at = opened(lab, "okafor", case)
    region = region_of(lab, case)
    at.text_input(key=f"recount_{region}_1_None_None_her2").set_value("2.5")
    at.text_input(key=f"recount_{region}_1_None_None_cep17").set_value("2")
    at.button(key=f"recount_{region}_1_None_None_save").click().run()
    assert [error.value for error in at.error] == ["“2.5” is not a whole number from 0 to 200."]
    assert said(at, "Nr 1")
    assert so_far(lab, case) == {}


def test_recount_in_the_same_group_settles_the_outcome(lab: TestLaboratory) -> None:
    case = waiting(lab)
    count(lab, case, full((6, 4)))
    at = opened(lab, "okafor", case)
    at.button(key="hand_in").click().run()
    assert not at.exception
    (record,) = lab.log.recounts(case.id)
    assert (record.observer_id, record.blinded, record.population) == (lab.person("okafor").id, True, "A")
    assert (record.tally.n, record.tally.her2, record.tally.cep17) == (20, 120, 80)
    assert lab.log.case(case.id).state not in (CaseState.PENDING_RECOUNT, CaseState.PENDING_ADJUDICATION)
    assert said(at, "No recount is due for this case.")


def test_recount_in_another_group_leads_to_adjudication(lab: TestLaboratory) -> None:
    case = waiting(lab)
    at = signed_in("okafor", PAGE)
    at.button(key=f"recount_{case.id}").click().run()
    count(lab, case, full((2, 2)))
    at.run()
    at.button(key="hand_in").click().run()
    assert lab.log.case(case.id).state is CaseState.PENDING_ADJUDICATION
    assert any("waits for an adjudication" in toast.value for toast in at.toast)


def test_second_click_stores_nothing_more(lab: TestLaboratory, monkeypatch: pytest.MonkeyPatch) -> None:
    """A click that was on its way when the first was answered; AppTest itself cannot press a button that is gone."""
    case = waiting(lab)
    monkeypatch.setenv("HER2CORE_DATA", str(lab.data_dir))
    count(lab, case, full((6, 4)))
    session: dict[str, Any] = {}
    monkeypatch.setattr(streamlit, "session_state", session)
    for _ in range(2):
        second_read._hand_in(services(), lab.person("okafor"), case.id, "A")
    assert len(lab.log.recounts(case.id)) == 1
    assert session["her2core_flash"][0] == "success"


def test_case_that_moved_on_meanwhile_takes_no_recount(lab: TestLaboratory) -> None:
    case = waiting(lab)
    count(lab, case, full((6, 4)))
    at = opened(lab, "okafor", case)
    workflow.note_counts_seen(lab.log, case.id, lab.person("okafor"))
    at.button(key="hand_in").click().run()
    assert not at.exception
    assert said(at, "You have seen the first counts")
    assert lab.log.recounts(case.id) == []


def test_counts_of_another_population_outlive_the_hand_in(lab: TestLaboratory) -> None:
    case = lab.open_case(**IHC_SAME)
    berg = lab.person("berg")
    workflow.set_populations(
        lab.log, case.id, (Population("A", 60.0), Population("B", 40.0)), lab.log.case(case.id).version, berg
    )
    regions = {}
    for label, shade in (("A", 120), ("B", 130)):
        regions[label] = lab.add_region(case, GROUP_4, shade)
        lab.analyse(regions[label], replace(FLAGS, heterogeneous=True, population=label))
    workflow.confirm_review(lab.log, case.id, lab.log.case(case.id).version, berg)
    kept: Counts = {(regions["B"].id, 1): (6, 4)}
    workflow.count_blinded(lab.log, case.id, kept, lab.person("okafor"))
    count(lab, case, full((4, 3)))
    at = opened(lab, "okafor", lab.log.case(case.id))
    at.button(key="hand_in").click().run()
    assert [record.population for record in lab.log.recounts(case.id)] == ["A"]
    assert so_far(lab, case) == kept
    assert said(at, "Blinded recount, population B")


def test_leaving_out_forgets_the_count_and_goes_on(lab: TestLaboratory) -> None:
    case = waiting(lab)
    count(lab, case, {2: (6, 4)})
    at = opened(lab, "okafor", case)
    at.button(key="recount_step_1").click().run()
    assert said(at, "Nr 2")
    at.button(key=f"recount_skip_{(region_of(lab, case), 2)}").click().run()
    assert so_far(lab, case) == {}
    assert said(at, "Nr 3")
    assert f"0 of at least {MINIMUM_NUCLEI} nuclei counted · 1 left out · {len(GROUP_3) - 1} to do" in sent(at)
    assert "left out by you (1)" in sent(at)  # in the picture
    at.button(key="recount_step_-1").click().run()
    assert said(at, "Left out by you.")


def test_a_recount_that_has_run_out_of_nuclei_says_what_helps(lab: TestLaboratory) -> None:
    case = waiting(lab)
    count(lab, case, dict.fromkeys(range(2, len(GROUP_3) + 1), (6, 4)))
    while len(scored_nuclei(so_far(lab, case))) >= MINIMUM_NUCLEI:
        count(lab, case, {len(so_far(lab, case)) + 1: (None, None)})
    done = so_far(lab, case)
    region = region_of(lab, case)
    for nucleus in range(1, len(GROUP_3) + 1):
        if (region, nucleus) not in done:
            workflow.leave_out_blinded(lab.log, case.id, region, nucleus, lab.person("okafor"))
    at = opened(lab, "okafor", case)
    assert said(at, "No nucleus is left to count: the first observer has to add a region.")


def test_a_half_done_recount_is_there_again_for_a_new_session(lab: TestLaboratory) -> None:
    """As after a reload, at another machine, or after the server ended: nothing of it was in the session."""
    case = waiting(lab)
    region = region_of(lab, case)
    at = opened(lab, "okafor", case)
    at.text_input(key=f"recount_{region}_1_None_None_her2").set_value("6")
    at.text_input(key=f"recount_{region}_1_None_None_cep17").set_value("4")
    at.button(key=f"recount_{region}_1_None_None_save").click().run()
    lab.log.close()
    again = TestLaboratory.reopen(lab.data_dir)
    assert so_far(again, case) == {(region, 1): (6, 4)}
    other = opened(again, "okafor", case)
    assert f"1 of at least {MINIMUM_NUCLEI}" in sent(other)
    assert said(other, "Nr 2")  # where it goes on
    again.log.close()


# --- the table --------------------------------------------------------------------------------------------------------


def test_an_edit_of_the_table_leaves_alone_what_was_counted_elsewhere_since() -> None:
    basis: Counts = {(7, 11): (4, 2)}
    first = {0: {"HER2": "5"}}
    assert given_in_table(basis, 7, [11, 12], {}, first) == {(7, 11): (5, 2)}
    # The same rows come again with each further edit; only what is new is given.
    second = {0: {"HER2": "5"}, 1: {"HER2": "3"}}
    assert given_in_table(basis, 7, [11, 12], first, second) == {(7, 12): (3, None)}
    emptied = {0: {"HER2": None, "CEP17": ""}, 1: {"HER2": "3"}}
    assert given_in_table(basis, 7, [11, 12], second, emptied) == {(7, 11): (None, None)}


@pytest.mark.parametrize(
    ("before", "edits", "after"),
    [
        ({}, {0: {"HER2": "4"}}, {(7, 11): (4, None)}),
        ({(7, 11): (4, None)}, {0: {"CEP17": "2"}}, {(7, 11): (4, 2)}),
        ({(7, 11): (4, 2)}, {0: {"HER2": None}}, {(7, 11): (None, 2)}),
        ({(7, 11): (4, 2)}, {0: {"HER2": None, "CEP17": " "}}, {}),
        ({(7, 11): (4, 2)}, {0: {"HER2": "-1"}, 1: {"CEP17": "201"}}, {(7, 11): (4, 2)}),
        ({(7, 11): (4, 2)}, {0: {"HER2": "many"}}, {(7, 11): (4, 2)}),
        ({(7, 11): (4, 2)}, {0: {"HER2": "2.5"}}, {(7, 11): (4, 2)}),
        ({(7, 11): (4, 2)}, {0: {"HER2": "1e1", "CEP17": "3"}}, {(7, 11): (4, 3)}),
        ({}, {5: {"HER2": "4"}, -1: {"HER2": "4"}, "0": {"HER2": "4"}}, {}),
        ({(8, 11): (3, 3)}, {1: {"HER2": "0", "CEP17": " 2 "}}, {(8, 11): (3, 3), (7, 12): (0, 2)}),
    ],
)
def test_table_takes_whole_counts_and_nothing_else(before: Counts, edits: dict[Any, Any], after: Counts) -> None:
    kept = dict(before)
    assert with_edits(before, 7, [11, 12], edits) == after
    assert before == kept


def test_what_is_no_count_in_the_table_is_said() -> None:
    edits = {0: {"HER2": "2.5", "CEP17": "4"}, 1: {"CEP17": "-5"}, 2: {"HER2": None}, 9: {"HER2": "many"}}
    assert no_counts([11, 12, 13], edits) == (
        "HER2 of nucleus 11 stays as it was: “2.5” is not a whole number from 0 to 200.",
        "CEP17 of nucleus 12 stays as it was: “-5” is not a whole number from 0 to 200.",
    )


@pytest.mark.parametrize(
    ("counts", "left_out", "expected"),
    [
        ({}, set(), (0, 0, 3)),
        ({(1, 1): (2, 2)}, {(1, 2)}, (1, 1, 1)),
        ({(1, 1): (2, None)}, set(), (0, 0, 3)),  # half counted: still to do
        ({(1, 1): (0, 2)}, {(1, 2), (1, 3)}, (0, 2, 0)),  # counted, not scored
        ({(1, 1): (2, 2)}, {(9, 9)}, (1, 0, 2)),  # of another population
    ],
)
def test_counted_left_out_and_to_do_are_told_apart(
    counts: Counts, left_out: set[tuple[int, int]], expected: tuple[int, int, int]
) -> None:
    assert second_read.so_far(counts, left_out, {(1, 1), (1, 2), (1, 3)}) == expected


def test_missing_names_half_counted_nuclei_and_how_many_lack() -> None:
    counts: Counts = {(1, 4): (3, None), (1, 2): (2, 2), (1, 3): (0, 2)}
    assert missing(counts) == (
        "Give both counts of nucleus 4, or leave it out.",
        f"Count {MINIMUM_NUCLEI - 1} more nuclei with signals of both colours.",
    )
    assert [nucleus.nucleus_id for nucleus in scored_nuclei(counts)] == [2]
    assert missing({(1, n): (2, 1) for n in range(MINIMUM_NUCLEI)}) == ()
