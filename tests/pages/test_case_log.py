"""The case log page: search, one case whole, reports and their verification, export."""

from __future__ import annotations

import csv
import io
import shutil
import time
import zipfile
from collections.abc import Iterator
from dataclasses import replace
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

import pytest
from streamlit.testing.v1 import AppTest

from her2core import workflow
from her2core.caselog import CaseSummary, ReportRecord
from her2core.caselog.lookup import Query, Sort
from her2core.errors import IntegrityError, NotFoundError, PermissionDeniedError
from her2core.records import IHC, CaseDetails, CaseState, Population
from her2core.ui import case_log, releases
from her2core.ui.searches import Period
from her2core.ui.services import Services, services
from her2core.ui.words import heterogeneity_words, result_words
from her2core.workflow import Format
from tests.pages.lab import CA_PASSPHRASE, FLAGS, GROUP_3, GROUP_4, IHC_SAME, NEGATIVE, POSITIVE, TestLaboratory

ROOT = Path(__file__).resolve().parent.parent.parent
PAGE = str(ROOT / "pages" / "case_log.py")


def page(lab: TestLaboratory, name: str | None, **state: Any) -> AppTest:
    """The page alone, as it is reached without app.py, for a user who has just signed in."""
    at = AppTest.from_file(PAGE, default_timeout=30)
    if name is not None:
        at.session_state["her2core_user_id"] = lab.person(name).id
        at.session_state["her2core_password_since"] = lab.accounts.password_since(name)
        at.session_state["her2core_last_seen"] = time.monotonic()
    for key, value in state.items():
        at.session_state[key] = value
    return at.run()


def shown(at: AppTest) -> str:
    """All text on the page."""
    assert not at.exception
    elements: list[Any] = [*at.markdown, *at.caption, *at.error, *at.info, *at.success, *at.warning, *at.code]
    bodies = [str(element.proto.body) for element in at.get("html")]
    return "\n".join([*(str(element.value) for element in elements), *bodies]).replace("\\", "")


def opened(lab: TestLaboratory, name: str, case_id: int, part: str | None = None) -> AppTest:
    at = page(lab, name)
    at.button(key=f"details_{case_id}").click().run()
    return at if part is None else at.segmented_control(key="case_log_part").set_value(part).run()


def acts(lab: TestLaboratory, case_id: int | None = None) -> list[str]:
    return [entry.action for entry in lab.log.audit(case_id, 1000)]


def amended(lab: TestLaboratory, report: ReportRecord) -> Any:
    berg, case_id = lab.person("berg"), report.case_id
    workflow.amend(lab.log, case_id, "block was wrong", lab.log.case(case_id).version, berg)
    details = lab.log.case(case_id).details
    changed = CaseDetails(details.accession, details.patient_name, details.patient_id, block="A2", controls_ok=True)
    workflow.set_details(lab.log, case_id, changed, lab.log.case(case_id).version, berg)
    workflow.confirm_review(lab.log, case_id, lab.log.case(case_id).version, berg)
    workflow.attest(lab.log, case_id, berg, True)
    for warning in workflow.assess(lab.log, case_id).warnings:
        workflow.acknowledge(lab.log, case_id, warning, berg)
    return lab.sign(lab.log.case(case_id))


@pytest.fixture(scope="module")
def signed_template(template: Path, tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A laboratory with one signed case, made once."""
    folder = tmp_path_factory.mktemp("signed") / "data"
    shutil.copytree(template, folder)
    with pytest.MonkeyPatch.context() as patch:
        patch.setenv("HER2CORE_DATA", str(folder))
        made = TestLaboratory.reopen(folder)
        made.sign(made.ready(POSITIVE))
        made.log.close()
    return folder


@pytest.fixture
def signed(signed_template: Path, data_dir: Path, monkeypatch: pytest.MonkeyPatch) -> Iterator[TestLaboratory]:
    shutil.copytree(signed_template, data_dir)
    monkeypatch.setenv("HER2CORE_CA_PASSPHRASE", CA_PASSPHRASE)
    made = TestLaboratory.reopen(data_dir)
    yield made
    made.log.close()


@pytest.fixture
def rooms() -> Services:
    return services()


# --- who sees it ------------------------------------------------------------------------------------------------------


@pytest.mark.parametrize("name", [None, "nair"])
def test_nothing_is_shown_without_a_session_or_to_an_administrator(lab: TestLaboratory, name: str | None) -> None:
    lab.open_case()
    at = page(lab, name, case_log_case=1)
    assert list(at.main)[1:] == []  # the block itself comes first
    assert "case opened" not in [e.action for e in lab.log.audit() if e.by_username == name]


@pytest.mark.parametrize("name", ["berg", "lind"])
def test_pathologist_and_lab_manager_see_the_cases(lab: TestLaboratory, name: str) -> None:
    lab.open_case()
    assert "Muster, Erika" in shown(page(lab, name))


def test_a_deactivated_account_sees_nothing(lab: TestLaboratory) -> None:
    lab.open_case()
    at = page(lab, "lind")
    lab.accounts.disable(lab.person("lind").id, lab.person("nair"))
    at.run()
    assert list(at.main)[1:] == []  # the block itself comes first


# --- search -----------------------------------------------------------------------------------------------------------


def test_an_empty_case_log_says_so(lab: TestLaboratory) -> None:
    assert "The case log is empty" in shown(page(lab, "lind"))


def test_search_finds_by_text_state_group_and_outcome(lab: TestLaboratory) -> None:
    lab.open_case("S26-100")
    lab.reviewed(NEGATIVE, "S26-200")
    lab.analysed(POSITIVE, "S26-300")
    at = page(lab, "lind")
    assert "3 cases" in shown(at)

    at.text_input(key="case_log_text").set_value("s26-2").run()
    assert "S26-200" in shown(at)
    assert "1 case" in shown(at)
    assert "S26-100" not in shown(at)

    at.text_input(key="case_log_text").set_value("erika mrn-77").run()
    assert "3 cases" in shown(at)
    at.selectbox(key="case_log_group").set_value(5).run()
    assert "S26-200" in shown(at)
    assert "S26-300" not in shown(at)
    at.selectbox(key="case_log_outcome").set_value("positive").run()
    assert "No case matches" in shown(at)
    at.selectbox(key="case_log_outcome").set_value(None).run()
    at.selectbox(key="case_log_group").set_value(None).run()
    at.multiselect(key="case_log_states").set_value(["draft"]).run()
    assert "S26-100" in shown(at)
    assert "S26-200" not in shown(at)


def test_search_finds_by_the_day_of_opening(lab: TestLaboratory) -> None:
    lab.open_case()
    today = datetime.now(UTC).date()
    at = page(lab, "lind", case_log_days=(today, today))
    assert "1 case" in shown(at)
    past = today.replace(year=today.year - 1, day=1)
    assert "No case matches" in shown(page(lab, "lind", case_log_days=(past, past)))


def test_many_cases_are_shown_in_pages_and_a_filter_starts_at_the_first(lab: TestLaboratory) -> None:
    for number in range(14):
        lab.open_case(f"S26-{number:03}")
    at = page(lab, "lind")
    assert "14 cases**, 1 to 12 shown" in shown(at)
    assert "S26-013" in shown(at)
    at.button(key="case_log_older").click().run()
    assert "13 to 14 shown" in shown(at)
    assert "S26-000" in shown(at)
    assert "S26-013" not in shown(at)
    at.text_input(key="case_log_text").set_value("S26-013").run()
    assert "S26-013" in shown(at)


def test_filters_are_kept_while_a_case_is_looked_at(lab: TestLaboratory) -> None:
    lab.open_case("S26-100")
    case = lab.open_case("S26-200")
    at = page(lab, "lind")
    at.text_input(key="case_log_text").set_value("200").run()
    at.button(key=f"details_{case.id}").click().run()
    at.button(key="case_log_back").click().run()
    assert at.text_input(key="case_log_text").value == "200"
    assert "S26-100" not in shown(at)


def test_what_a_patient_is_called_is_shown_as_it_is(lab: TestLaboratory) -> None:
    name = "<b>*O'Neil*</b> & [x](y) :red[z]"
    case = lab.log.create_case(CaseDetails("S-1", name, "P"), lab.person("berg"))
    at = opened(lab, "lind", case.id, "Details")
    assert "&lt;b&gt;*O&#x27;Neil*&lt;/b&gt; &amp; [x](y) :red[z]" in shown(at)
    assert "<b>*O" not in shown(at)


# --- one case ---------------------------------------------------------------------------------------------------------


def test_an_opened_case_shows_result_details_regions_and_history(signed: TestLaboratory) -> None:
    report = signed.log.report(1)
    at = opened(signed, "lind", report.case_id)
    assert "Group 1" in shown(at)
    assert "Signed by Miriam Berg" in shown(at)
    assert report.sha256 in shown(at)
    at.segmented_control(key="case_log_part").set_value("Details").run()
    assert "core biopsy" in shown(at)
    at.segmented_control(key="case_log_part").set_value("Regions").run()
    assert "20 nuclei, 20 scored, 0 corrected by hand" in shown(at)
    assert len(at.image) == 1
    at.segmented_control(key="case_log_part").set_value("History").run()
    text = shown(at)
    assert "Entered the case at intake" in text
    assert "Analysed region A1: 20 nuclei found" in text
    assert "State: Work-up → Ready to sign" in text
    assert "Signed the final report, version 1" in text
    assert "Jonas Lind</td><td>Opened the case for: reading in the case log" in text


def test_a_case_without_regions_says_what_is_not_there(lab: TestLaboratory) -> None:
    case = lab.open_case()
    at = opened(lab, "lind", case.id)
    assert "No report is signed yet" in shown(at)
    assert "No result yet" in shown(at)
    at.segmented_control(key="case_log_part").set_value("Regions").run()
    assert "No region image was added yet" in shown(at)


def test_a_lab_manager_cannot_go_on_with_a_case(lab: TestLaboratory) -> None:
    case = lab.open_case()
    keys = [button.key for button in opened(lab, "lind", case.id).button]
    assert "case_log_back" in keys
    assert "case_log_work" not in keys


def test_a_pathologist_opens_the_case_on_all_pages(lab: TestLaboratory) -> None:
    case, other = lab.open_case("S26-1"), lab.open_case("S26-2")
    at = opened(lab, "okafor", case.id)
    assert at.session_state["her2core_case_id"] == case.id
    at.session_state["her2core_case_id"] = other.id  # another one, chosen in the worklist
    assert "2 cases" in shown(at.run())


def test_who_could_still_recount_is_asked_before_any_count_is_shown(lab: TestLaboratory) -> None:
    case = lab.reviewed(GROUP_4, **IHC_SAME)
    at = opened(lab, "okafor", case.id)
    for part in ("Result and reports", "Regions", "History"):
        at.segmented_control(key="case_log_part").set_value(part).run()
        assert "waits for a blinded recount" in shown(at)
        assert "1.33" not in shown(at)
        assert "scored" not in shown(at)
    assert workflow.may_recount(lab.log, case.id, lab.person("okafor"))
    at.button(key="give_up_blind").click().run()
    assert not workflow.may_recount(lab.log, case.id, lab.person("okafor"))
    at.segmented_control(key="case_log_part").set_value("Result and reports").run()
    assert "1.33" in shown(at)


# --- reports ----------------------------------------------------------------------------------------------------------


def test_an_amended_report_supersedes_and_both_stay(signed: TestLaboratory) -> None:
    first = signed.log.report(1)
    second = amended(signed, first)
    text = shown(opened(signed, "lind", first.case_id))
    assert "superseded by version 2" in text
    assert "in force" in text
    assert first.sha256 in text
    assert second.sha256 in text
    assert "block was wrong" in text


def test_a_report_is_shown_as_pictures_and_that_is_recorded(signed: TestLaboratory) -> None:
    report = signed.log.report(1)
    at = opened(signed, "lind", report.case_id)
    assert len(at.image) == 0
    at.button(key=f"show_{report.id}").click().run()
    assert not at.exception
    assert len(at.image) >= 1
    assert "report viewed" in acts(signed, report.case_id)
    at.button(key=f"show_{report.id}").click().run()
    assert len(at.image) == 0


def test_a_download_gives_the_signed_file_and_is_recorded(signed: TestLaboratory, rooms: Services) -> None:
    report = signed.log.report(1)
    at = opened(signed, "lind", report.case_id)
    assert [b.label for b in at.download_button] == [
        "FHIR R4 bundle",
        "HL7 v2.5.1 message",
        "Whole case",
        "Whole case, without names",
        "Download",
    ]
    assert "report downloaded" not in acts(signed, report.case_id)
    pdf = case_log.downloaded(rooms, signed.person("lind"), report)
    assert pdf == signed.log.report_pdf(report.id)
    assert acts(signed, report.case_id)[0] == "report downloaded"


def test_a_damaged_report_is_not_handed_out(signed: TestLaboratory, rooms: Services) -> None:
    report = signed.log.report(1)
    path = signed.log.pdfs.path(report.sha256)
    path.chmod(0o600)
    path.write_bytes(path.read_bytes().replace(b"HER2", b"HER3", 1) + b" ")
    with pytest.raises(IntegrityError):
        case_log.downloaded(rooms, signed.person("lind"), report)
    assert "report downloaded" not in acts(signed, report.case_id)
    at = opened(signed, "lind", report.case_id)
    at.button(key=f"verify_{report.id}").click().run()
    assert "Not valid: do not rely on this file" in shown(at)


def test_an_administrator_downloads_no_report(signed: TestLaboratory, rooms: Services) -> None:
    report = signed.log.report(1)
    with pytest.raises(PermissionDeniedError):
        case_log.downloaded(rooms, signed.person("nair"), report)
    with pytest.raises(PermissionDeniedError):
        case_log.exported(rooms, signed.person("nair"), Query())


def test_verify_says_of_a_stored_report_that_it_is_intact(signed: TestLaboratory) -> None:
    report = signed.log.report(1)
    at = opened(signed, "lind", report.case_id)
    at.button(key=f"verify_{report.id}").click().run()
    assert "Valid: an intact report of this laboratory" in shown(at)
    assert "Signature of Miriam Berg" in shown(at)
    entry = signed.log.audit(report.case_id, 1, actions=("report verified",))[0]
    assert entry.detail == {"report_id": report.id, "version": 1, "ok": True}


def uploaded(lab: TestLaboratory, pdf: bytes) -> AppTest:
    at = page(lab, "lind")
    at.segmented_control(key="case_log_view").set_value("Verify a file").run()
    at.file_uploader(key="verify_upload").upload("report.pdf", pdf, "application/pdf").run()
    return at


def test_an_uploaded_report_is_verified_and_found_in_the_log(signed: TestLaboratory) -> None:
    report = signed.log.report(1)
    at = uploaded(signed, signed.log.report_pdf(report.id))
    text = shown(at)
    assert "Valid: an intact report" in text
    assert report.sha256 in text
    assert "case S26-001, final report, version 1" in text
    at.run()
    assert acts(signed).count("report verified") == 1


def test_an_uploaded_report_that_was_superseded_says_so(signed: TestLaboratory) -> None:
    first = signed.log.report(1)
    amended(signed, first)
    text = shown(uploaded(signed, signed.log.report_pdf(first.id)))
    assert "Valid" in text
    assert "version 2 stands in its place" in text


@pytest.mark.parametrize(
    ("change", "said"),
    [
        (lambda pdf: pdf + b"\n%more\n", "Something was appended"),
        (lambda pdf: pdf[:200] + bytes([pdf[200] ^ 1]) + pdf[201:], "not in this laboratory's case log"),
        (lambda pdf: b"%PDF-1.7 nonsense", "carries no signature"),
        (lambda pdf: b"not a pdf", "This is not a PDF file"),
    ],
)
def test_an_uploaded_file_that_is_not_the_report_is_refused(signed: TestLaboratory, change: Any, said: str) -> None:
    report = signed.log.report(1)
    text = shown(uploaded(signed, change(signed.log.report_pdf(report.id))))
    assert "Not valid: do not rely on this file" in text
    assert said in text or "damaged" in text
    assert "The case log holds no report with this SHA-256" in text
    assert "Valid: an intact" not in text
    entry = signed.log.audit(None, 1, actions=("report verified",))[0]
    assert entry.case_id is None
    assert entry.detail["ok"] is False


def test_all_filters_are_taken_back_at_once_and_the_order_stays(lab: TestLaboratory) -> None:
    lab.open_case("S26-200")
    lab.open_case("S26-300")
    at = page(lab, "lind")
    assert not [b for b in at.button if b.key == "case_log_clear"]
    at.selectbox(key="case_log_sort").select(Sort.ACCESSION)
    at.selectbox(key="case_log_flag").select("overlap").run()
    assert "No case matches" in shown(at)
    at.text_input(key="case_log_text").input("S26-300").run()
    at.button(key="case_log_clear").click().run()
    assert not at.exception
    assert "**2 cases**" in shown(at)
    assert (at.text_input(key="case_log_text").value, at.selectbox(key="case_log_flag").value) == ("", None)
    assert at.selectbox(key="case_log_sort").value is Sort.ACCESSION
    assert not [b for b in at.button if b.key == "case_log_clear"]


def test_cases_that_the_laboratory_page_sent_are_no_filter_to_be_cleared(lab: TestLaboratory) -> None:
    first = lab.open_case("S26-200")
    at = page(lab, "lind", case_log_given=("Group 4", (first.id,)))
    assert not [b for b in at.button if b.key == "case_log_clear"]
    at.text_input(key="case_log_text").input("S26-2").run()
    at.button(key="case_log_clear").click().run()
    assert "Only the cases behind **Group 4** (1)" in shown(at)


# --- heterogeneity ----------------------------------------------------------------------------------------------------


def _summary(populations: list[Population], *, flagged: bool, outcomes: dict[str, str]) -> CaseSummary:
    at = datetime(2026, 3, 1, tzinfo=UTC)
    return CaseSummary(
        1, "S26-1", "Muster, Erika", "MRN-77", "", CaseState.SIGNED, 1, 1, "positive", 2, None, 1, at, at, False,
        tuple(populations), flagged, outcomes,
    )  # fmt: skip


TWO = [Population("A", 85.0), Population("B", 15.0)]


@pytest.mark.parametrize(
    ("populations", "flagged", "outcomes", "words"),
    [
        ([Population("A", 100.0)], False, {"A": "positive"}, "–"),
        ([Population("A", 100.0)], True, {"A": "positive"}, "flagged, one population"),
        (TWO, True, {}, "A 85 %, B 15 %"),
        (TWO, True, {"A": "negative", "B": "positive"}, "B 15 % positive"),
        (TWO, True, {"A": "positive", "B": "positive"}, "A 85 %, B 15 % positive"),
        (TWO, False, {"A": "negative", "B": "negative"}, "2 populations, none positive"),
        ([Population("A"), Population("B")], False, {"A": "negative", "B": "positive"}, "B positive"),
        (TWO, True, {"A": "negative", "B": "indeterminate"}, "B 15 % indeterminate"),
        (TWO, True, {"A": "indeterminate", "B": "positive"}, "B 15 % positive; A 85 % indeterminate"),
        (TWO, True, {"A": "negative"}, "B 15 % without result"),  # as its report says nothing of it
    ],
)
def test_the_list_names_the_populations_and_once_signed_the_positive_and_undetermined_ones(
    populations: list[Population], flagged: bool, outcomes: dict[str, str], words: str
) -> None:
    assert heterogeneity_words(_summary(populations, flagged=flagged, outcomes=outcomes)) == words


@pytest.mark.parametrize(
    ("state", "outcome", "group", "amending", "words"),
    [
        (CaseState.ANALYSED, None, None, False, ("–", "")),
        (CaseState.PENDING_IHC, "pending IHC", None, False, ("pending IHC", "")),
        (CaseState.REVIEWED, "positive", 1, False, ("positive, Group 1", "provisional, not signed")),
        (CaseState.READY, "indeterminate", None, False, ("indeterminate", "provisional, not signed")),
        (CaseState.SIGNED, "negative", 5, False, ("negative, Group 5", "")),
        (CaseState.AMENDED, "negative", 5, False, ("negative, Group 5", "")),
        (CaseState.READY, "negative", 5, True, ("negative, Group 5", "provisional, amendment open")),
        (CaseState.ANALYSED, None, None, True, ("–", "provisional, amendment open")),
    ],
)
def test_the_list_says_which_results_are_provisional(
    state: CaseState, outcome: str | None, group: int | None, amending: bool, words: tuple[str, str]
) -> None:
    case = replace(_summary(TWO, flagged=False, outcomes={}), state=state, outcome=outcome, group=group)
    assert result_words(replace(case, amending=amending)) == words


def test_a_result_that_is_not_signed_is_marked_in_the_list_and_in_the_case(lab: TestLaboratory) -> None:
    case = lab.ready(NEGATIVE, "S26-200")
    at = page(lab, "lind")
    assert "negative, Group 5" in shown(at)
    assert ":small[provisional, not signed]" in shown(at)
    at.button(key=f"details_{case.id}").click().run()
    assert "No report is signed: this is provisional." in shown(at)
    lab.sign(case)
    at.run()
    assert "provisional" not in shown(at)


@pytest.mark.parametrize(
    ("second", "details"),
    [(POSITIVE, {}), (GROUP_3, {"ihc": IHC.THREE_PLUS, "ihc_same_sample": True})],  # positive by ISH; by ISH with IHC
)
def test_heterogeneous_cases_are_told_apart_in_list_search_and_export(
    lab: TestLaboratory, rooms: Services, second: list[tuple[int, int]], details: dict[str, Any]
) -> None:
    lab.ready(NEGATIVE, "S26-100")
    case = lab.open_case("S26-200", **details)
    berg = lab.person("berg")
    workflow.set_populations(lab.log, case.id, TWO, case.version, berg)
    for counts, shade, flags in ((NEGATIVE, 125, replace(FLAGS, heterogeneous=True)),
                                 (second, 130, replace(FLAGS, heterogeneous=True, population="B"))):  # fmt: skip
        lab.analyse(lab.add_region(case, counts, shade), flags)
    at = page(lab, "lind")
    assert "A 85 %, B 15 %" in shown(at).replace("\\", "")
    workflow.confirm_review(lab.log, case.id, lab.log.case(case.id).version, berg)
    workflow.attest(lab.log, case.id, berg, True)
    for warning in workflow.assess(lab.log, case.id).warnings:
        workflow.acknowledge(lab.log, case.id, warning, berg)
    lab.sign(lab.log.case(case.id))
    at = page(lab, "lind")
    assert "B 15 % positive" in shown(at).replace("\\", "")
    at.toggle(key="case_log_several").set_value(True).run()
    assert "S26-200" in shown(at)
    assert "S26-100" not in shown(at)
    rows = list(csv.DictReader(io.StringIO(case_log.exported(rooms, lab.person("lind"), Query()))))
    found = {(r["accession"], r["flagged_heterogeneous"], r["heterogeneous"], r["positive_populations"]) for r in rows}
    assert found == {("S26-100", "no", "no", ""), ("S26-200", "yes", "yes", "B 15 %")}


def test_outcomes_of_populations_are_not_listed_while_an_amendment_is_open(lab: TestLaboratory) -> None:
    lab.sign(lab.ready(POSITIVE, "S26-100"))
    (case,) = lab.log.look_up()
    assert case.signed_outcomes == {"A": "positive"}
    workflow.amend(lab.log, case.id, "a late finding", lab.log.case(case.id).version, lab.person("berg"))
    (case,) = lab.log.look_up()
    assert case.signed_outcomes == {}


# --- export -----------------------------------------------------------------------------------------------------------


def test_the_filtered_list_is_exported_and_that_is_recorded(lab: TestLaboratory, rooms: Services) -> None:
    given = lab.reviewed(NEGATIVE, "S26-200")
    other = lab.reviewed(POSITIVE, "S26-300", ihc=IHC.ZERO)
    text = case_log.exported(rooms, lab.person("lind"), Query(group=5))
    rows = list(csv.DictReader(io.StringIO(text)))
    assert [(row["accession"], row["group"]) for row in rows] == [("S26-200", "5")]
    assert "exported" in acts(lab, given.id)
    assert "exported" not in acts(lab, other.id)
    nuclei = list(csv.DictReader(io.StringIO(case_log.exported(rooms, lab.person("lind"), Query(), nuclei=True))))
    assert len(nuclei) == 40


def test_a_case_says_what_stands_behind_its_numbers_on_the_page_and_on_the_command_line(
    lab: TestLaboratory, rooms: Services
) -> None:
    found = []
    case = lab.analysed(POSITIVE, "S26-200")

    def exported() -> None:
        text = case_log.exported(rooms, lab.person("lind"), Query())
        assert text == workflow.csv_of(lab.log, [case.id], None).data.decode()
        (row,) = csv.DictReader(io.StringIO(text))
        found.append((row["result_status"], row["group"], row["outcome"], row["population_outcome"]))

    exported()
    workflow.confirm_review(lab.log, case.id, case.version, lab.person("berg"))
    exported()
    workflow.attest(lab.log, case.id, lab.person("berg"), True)
    for warning in workflow.assess(lab.log, case.id).warnings:
        workflow.acknowledge(lab.log, case.id, warning, lab.person("berg"))
    lab.sign(case)
    exported()
    workflow.amend(lab.log, case.id, "a late finding", lab.log.case(case.id).version, lab.person("berg"))
    exported()
    assert found == [
        ("counts not confirmed", "", "", ""),
        ("provisional, not signed", "1", "", ""),
        ("signed", "1", "positive", "positive"),
        ("provisional, amendment open", found[3][1], "", ""),
    ]


def test_an_export_leaves_out_what_the_user_could_recount_and_ends_blindness_for_the_rest(
    lab: TestLaboratory, rooms: Services
) -> None:
    due = lab.reviewed(GROUP_4, "S26-400", **IHC_SAME)
    later = lab.analysed([*GROUP_4, (4, 3)], "S26-500", **IHC_SAME)  # a recount may become due
    closed = lab.ready([*POSITIVE, (6, 2)], "S26-600")
    lab.sign(closed)
    okafor = lab.person("okafor")
    text = case_log.exported(rooms, okafor, Query())
    assert [accession in text for accession in ("S26-400", "S26-500", "S26-600")] == [False, False, True]
    assert workflow.may_recount(lab.log, due.id, okafor)
    assert not workflow.saw_counts(lab.log, later.id, okafor)
    assert workflow.saw_counts(lab.log, closed.id, okafor)


@pytest.mark.parametrize("file_format", Format)
def test_a_signed_report_is_made_for_other_systems_and_recorded(
    signed: TestLaboratory, rooms: Services, file_format: Format
) -> None:
    report = signed.log.report(1)
    data = releases.made(rooms, signed.person("lind"), report.case_id, file_format)
    assert data.startswith(b'{"resourceType": "Bundle"' if file_format is Format.FHIR else b"MSH|")
    entry = signed.log.audit(report.case_id, 1)[0]
    assert (entry.action, entry.by_username, entry.detail["format"]) == ("exported", "lind", file_format.value)


# --- lists of many cases ----------------------------------------------------------------------------------------------


def test_the_cases_behind_a_point_of_a_chart_are_shown_alone_until_all_are_asked_for(lab: TestLaboratory) -> None:
    first = lab.open_case("S26-100")
    lab.open_case("S26-200")
    at = page(lab, "lind", case_log_given=("Group 4", (first.id,)))
    assert "Only the cases behind **Group 4** (1)" in shown(at)
    assert "S26-200" not in shown(at)
    at.button(key="case_log_given_back").click().run()
    assert "S26-200" in shown(at)


def test_more_filters_and_the_order(lab: TestLaboratory) -> None:
    lab.open_case("S26-100", by="berg")
    lab.open_case("S26-200", by="okafor")
    at = page(lab, "lind")
    at.selectbox(key="case_log_reader").set_value(lab.person("okafor").id).run()
    assert "S26-200" in shown(at)
    assert "S26-100" not in shown(at)
    at.selectbox(key="case_log_reader").set_value(None)
    at.selectbox(key="case_log_sort").set_value("accession number")
    at.toggle(key="case_log_up").set_value(True).run()
    assert shown(at).index("S26-100") < shown(at).index("S26-200")


def test_the_whole_case_stands_on_one_page(signed: TestLaboratory) -> None:
    at = opened(signed, "lind", 1, "Whole case")
    for part in ("Version 1: final report", "AI and final counts", "Images", "Accession number", "History"):
        assert part in shown(at), part


def test_a_deidentified_list_is_noted_and_leaves_out_a_recount_that_is_due(
    lab: TestLaboratory, rooms: Services
) -> None:
    lab.reviewed(GROUP_4, "S26-100", **IHC_SAME)
    for name, cases in (("lind", 1), ("okafor", 0)):
        text = case_log.exported_list(rooms, lab.person(name), Query())
        assert len(list(csv.reader(io.StringIO(text)))) == 1 + cases
        assert "S26-100" not in text
        assert "Muster" not in text
    assert acts(lab).count("list exported") == 2
    with pytest.raises(PermissionDeniedError):
        case_log.exported_list(rooms, lab.person("nair"), Query())


def test_no_list_shows_a_pathologist_the_counts_of_a_case_that_may_need_a_blinded_recount(
    lab: TestLaboratory, rooms: Services
) -> None:
    case = lab.reviewed(GROUP_4, "S26-100")  # IHC may come later, and be 2+
    for name, cases in (("lind", 1), ("berg", 1), ("okafor", 0)):
        text = case_log.exported_list(rooms, lab.person(name), Query())
        assert len(list(csv.reader(io.StringIO(text)))) == 1 + cases
    workflow.note_counts_seen(lab.log, case.id, lab.person("okafor"))
    assert len(list(csv.reader(io.StringIO(case_log.exported_list(rooms, lab.person("okafor"), Query()))))) == 2


def test_reports_that_would_unblind_a_second_observer_are_not_in_the_zip(lab: TestLaboratory, rooms: Services) -> None:
    case = lab.ready(GROUP_4, ihc=IHC.ONE_PLUS, ihc_same_sample=True)
    lab.sign(case)
    berg, okafor = lab.person("berg"), lab.person("okafor")
    workflow.amend(lab.log, case.id, "IHC was 2+", lab.log.case(case.id).version, berg)
    with pytest.raises(NotFoundError):
        case_log.bundled(rooms, okafor, Query())
    current = lab.log.case(case.id)
    workflow.set_details(lab.log, case.id, replace(current.details, ihc=IHC.TWO_PLUS), current.version, berg)
    workflow.confirm_review(lab.log, case.id, lab.log.case(case.id).version, berg)
    assert workflow.may_recount(lab.log, case.id, okafor)
    with pytest.raises(NotFoundError):
        case_log.bundled(rooms, okafor, Query())
    assert case_log.bundled(rooms, berg, Query())


def test_whoever_downloads_reports_has_seen_their_counts(signed: TestLaboratory, rooms: Services) -> None:
    okafor = signed.person("okafor")
    case_log.bundled(rooms, okafor, Query())
    assert workflow.saw_counts(signed.log, 1, okafor)


def test_reports_in_force_come_as_one_zip_each_noted(signed: TestLaboratory, rooms: Services) -> None:
    data = case_log.bundled(rooms, signed.person("lind"), Query())
    with zipfile.ZipFile(io.BytesIO(data)) as archive:
        (name,) = archive.namelist()
        assert archive.read(name) == signed.log.report_pdf(signed.log.reports(1)[0].id)
    assert "report downloaded" in acts(signed, 1)
    with pytest.raises(NotFoundError, match="has a report"):
        case_log.bundled(rooms, signed.person("lind"), Query(text="nobody"))


def test_a_search_is_kept_taken_up_again_and_deleted(lab: TestLaboratory) -> None:
    lab.open_case("S26-101")
    lab.open_case("S26-102")
    at = page(lab, "lind")
    at.text_input(key="case_log_text").set_value("S26-102").run()
    at.text_input(key="search_name").set_value("the second").run()
    at.button(key="search_keep").click().run()
    assert lab.log.saved_filters(lab.person("lind"))["the second"]["text"] == "S26-102"
    at = page(lab, "lind")
    assert "**2 cases**" in shown(at)
    at.button(key="search_the second").click().run()
    assert "**1 case**" in shown(at)
    assert at.text_input(key="case_log_text").value == "S26-102"
    assert "search_the second" not in [b.key for b in page(lab, "berg").button]
    at.button(key="search_drop_the second").click().run()
    assert lab.log.saved_filters(lab.person("lind")) == {}


def test_cases_of_last_month_are_found_by_its_name(lab: TestLaboratory) -> None:
    lab.open_case("S26-101")
    at = page(lab, "lind")
    at.selectbox(key="case_log_period").set_value(Period.LAST_MONTH).run()
    assert "No case matches" in shown(at)
    at.selectbox(key="case_log_period").set_value(Period.THIS_MONTH).run()
    assert "**1 case**" in shown(at)


@pytest.mark.parametrize(("name", "told"), [("berg", True), ("lind", False)])
def test_only_who_could_recount_is_told_that_cases_are_left_out_of_exports(
    lab: TestLaboratory, name: str, told: bool
) -> None:
    lab.ready(POSITIVE)
    said = shown(page(lab, name))
    assert ("recount blinded are left out" in said) is told
    assert "The list is de-identified" in said
