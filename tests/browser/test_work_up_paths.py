"""Every path of the work-up in a real browser: one server and one signed-in browser a person serve all of them.

The counts are put into the case log directly, for the models are not the point here; what people do is done in the
browser, and what it leaves is read from the case log.
"""

from __future__ import annotations

import re
from collections.abc import Iterator, Sequence
from dataclasses import dataclass, replace
from typing import Any

import pytest
from playwright.sync_api import Browser, Locator, Page, expect, sync_playwright
from playwright.sync_api import TimeoutError as PlaywrightTimeout

from her2core import workflow
from her2core.records import IHC, Case, CaseState, Population
from her2core.scoring import Outcome
from tests.browser.conftest import PATIENCE_MS, Server, dark_page
from tests.browser.review_page import acknowledge
from tests.conftest import chromium
from tests.pages.lab import (
    FLAGS,
    GROUP_3,
    GROUP_4,
    IHC_SAME,
    NEGATIVE,
    PASSWORDS,
    POSITIVE,
    TestLaboratory,
)
from tests.served import free_port

pytestmark = [pytest.mark.browser, pytest.mark.timeout(1200)]

GROUP_2 = [(2, 1)] * 20  # ratio 2.0, 2.0 copies


# --- one server, one browser a person ---------------------------------------------------------------------------------


@dataclass
class Bench:
    """The laboratory, its server, and a signed-in page of each person."""

    server: Server
    browser: Browser
    pages: dict[str, Page]
    shade: int = 60

    @property
    def lab(self) -> TestLaboratory:
        return self.server.lab

    def next_shade(self) -> int:
        """A DAPI level that no region had: the same image cannot belong to two cases."""
        self.shade += 2
        return self.shade

    def reviewed(self, accession: str, counts: Sequence[tuple[int, int]], **details: Any) -> Case:
        """A case with one region whose counts are confirmed."""
        case = self.lab.open_case(accession, **details)
        self.lab.analyse(self.lab.add_region(case, counts, self.next_shade()))
        return self.confirmed(case)

    def confirmed(self, case: Case) -> Case:
        """Disagreements of flags and findings acknowledged, counts confirmed."""
        berg = self.lab.person("berg")
        for point in workflow.assess(self.lab.log, case.id).unsettled:
            workflow.acknowledge(self.lab.log, case.id, point, berg)
        workflow.confirm_review(self.lab.log, case.id, self.lab.log.case(case.id).version, berg)
        return self.lab.log.case(case.id)

    def heterogeneous(self, accession: str, share_of_group_1: float) -> Case:
        """Population A of Group 5 and population B of Group 1 with this share."""
        case, berg = self.lab.open_case(accession), self.lab.person("berg")
        populations = [Population("A", 100.0 - share_of_group_1), Population("B", share_of_group_1)]
        workflow.set_populations(self.lab.log, case.id, populations, case.version, berg)
        for label, counts in (("A", NEGATIVE), ("B", POSITIVE)):
            region = self.lab.add_region(case, counts, self.next_shade())
            self.lab.analyse(region, replace(FLAGS, population=label, heterogeneous=True))
        return self.confirmed(case)

    def open(self, name: str, case: Case) -> Page:
        """The page of a person, on the work-up of a case."""
        page = self.page(name)
        _idle(page)
        page.get_by_role("link", name="Worklist").click()
        _idle(page)
        page.get_by_text("All open cases", exact=True).click()
        find = page.get_by_role("textbox", name="Find")
        find.fill(case.details.accession)
        find.press("Enter")
        _press(page.locator(f".st-key-open_{case.id}"), re.compile("."))
        expect(page.locator(".h2c-strip")).to_contain_text(case.details.accession, timeout=PATIENCE_MS)
        page.get_by_role("link", name="Work-up and sign-out").click()
        expect(page.locator(".st-key-work_up")).to_be_visible(timeout=PATIENCE_MS)
        return page

    def page(self, name: str) -> Page:
        """The signed-in page of a person."""
        if name not in self.pages:
            self.pages[name] = self.new_page(name)
        return self.pages[name]

    def new_page(self, name: str) -> Page:
        """Another browser of this person: nothing of an earlier one is in it."""
        page = dark_page(self.browser)
        page.goto(self.server.url)
        page.get_by_label("User name").fill(name)
        page.get_by_label("Password", exact=True).fill(PASSWORDS[name])
        _press(page, "Sign in")
        _sees(page, "New case")
        return page


@pytest.fixture(scope="module")
def bench(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Bench]:
    path = chromium()
    assert path is not None, "no Chromium; tests/conftest.py skips browser tests then"
    folder = tmp_path_factory.mktemp("work-up")
    server = Server(TestLaboratory.make(folder / "data"), free_port(), folder / "server.log")
    try:
        server.start()
        with sync_playwright() as playwright:
            browser = playwright.chromium.launch(executable_path=path, args=["--no-sandbox"])
            yield Bench(server, browser, {})
            browser.close()
    finally:
        server.stop()
        server.lab.log.close()


# --- what is looked for -----------------------------------------------------------------------------------------------


def _sees(where: Page | Locator, text: str | re.Pattern[str]) -> None:
    expect(where.get_by_text(text).first).to_be_visible(timeout=PATIENCE_MS)


def _idle(where: Page | Locator) -> None:
    """Wait until the page is drawn to its end: what is drawn anew under a click loses it."""
    page = where if isinstance(where, Page) else where.page
    app = page.locator('[data-testid="stApp"]')
    expect(app).to_have_attribute("data-test-script-state", "notRunning", timeout=PATIENCE_MS)


def _press(where: Page | Locator, name: str | re.Pattern[str]) -> None:
    _idle(where)
    button = where.get_by_role("button", name=name).first
    expect(button).to_be_enabled(timeout=PATIENCE_MS)
    button.click(delay=30)  # as long as a finger is down: a press of no time is lost where a field is left by it


def _choose(page: Page, field: Locator, option: str) -> None:
    """Choose from a select box. Its list closes when the page is drawn anew just then: it is opened again."""
    wanted = page.get_by_role("option", name=option, exact=True)
    for _ in range(20):
        _idle(page)
        field.click()
        try:
            wanted.click(timeout=3_000)
        except PlaywrightTimeout:
            page.keyboard.press("Escape")
        else:
            return
    raise AssertionError(f"“{option}” is never offered")


def _step(page: Page, title: str) -> Locator:
    """The line of a step, by its title; the last of them where each population has one."""
    return page.locator(".h2c-step").filter(has=page.get_by_text(title, exact=True)).last


def _stands(page: Page, title: str, state: str, says: str) -> None:
    """A step is in this state ("done", "now", "ahead", "none", "failed") and says this."""
    step = _step(page, title)
    expect(step).to_contain_text(says, timeout=PATIENCE_MS)
    expect(step).to_have_class(re.compile(rf"\b{state}\b"), timeout=PATIENCE_MS)


def _headline(page: Page, text: str) -> None:
    expect(page.get_by_role("heading").filter(has_text=text).first).to_be_visible(timeout=PATIENCE_MS)


def _finish(bench: Bench, page: Page, case: Case) -> None:
    """Acknowledge what is open, one by one, and say that the result fits."""
    for warning in workflow.assess(bench.lab.log, case.id).warnings:
        if not warning.acknowledged:
            _idle(page)
            acknowledge(page, warning)
    assessment = workflow.assess(bench.lab.log, case.id).assessment
    if assessment is not None and assessment.outcome is not Outcome.INDETERMINATE:
        _idle(page)
        page.get_by_role("radio", name="fits the histology").click()
    _sees(page, "Nothing is open: the report can be signed.")


def _recounted(bench: Bench, case: Case, her2: int, cep17: int) -> None:
    """The blinded recount of the second observer, put into the case log."""
    okafor = bench.lab.person("okafor")
    regions, *_ = workflow.blinded_recount(bench.lab.log, case.id, okafor)
    given = {(r.region.id, nucleus): (her2, cep17) for r in regions for nucleus, _ in r.boxes}
    workflow.count_blinded(bench.lab.log, case.id, given, okafor)
    workflow.hand_in_recount(bench.lab.log, case.id, "A", okafor)


_NAME = """(at) => (at.getAttribute("aria-label") || at.textContent || "").trim()"""
_LOOKS = """(at) => {
    const around = [];
    for (let e = at; e && around.length < 4; e = e.parentElement) around.push(e);
    return around.map((e) => getComputedStyle(e)).map((s) => [s.outline, s.boxShadow, s.borderColor]).join();
}"""


def _tab_to(page: Page, name: str) -> None:
    """Press Tab until this has the focus, which it must show."""
    for _ in range(120):
        at = page.evaluate_handle("document.activeElement").as_element()
        assert at is not None
        called = at.evaluate(_NAME)
        if name in called and len(called) < len(name) + 30:
            focused = at.evaluate(_LOOKS)
            at.evaluate("(at) => at.blur()")
            page.wait_for_timeout(400)
            assert at.evaluate(_LOOKS) != focused, f"“{name}” does not show that it has the focus"
            at.focus()
            return
        page.keyboard.press("Tab")
    raise AssertionError(f"Tab never comes to “{name}”")


# --- the paths --------------------------------------------------------------------------------------------------------


def test_group_1_needs_no_ihc_and_a_double_click_signs_once(bench: Bench) -> None:
    case = bench.reviewed("S26-101", POSITIVE)
    page = bench.open("berg", case)
    _headline(page, "HER2 positive: ISH Group 1")
    _stands(page, "IHC on the same sample", "none", "Group 1 is decided by ISH alone")
    _stands(page, "Warnings read", "now", "1 of 1 open")  # all nuclei are from one region
    _stands(page, "Fits the histology", "ahead", "not stated yet")
    expect(page.get_by_role("button", name="Sign report")).to_be_disabled(timeout=PATIENCE_MS)
    _finish(bench, page, case)
    _sees(page.locator(".st-key-report_says"), "What the report will say")
    expect(page.get_by_alt_text("Page 1 of").first).to_be_visible(timeout=PATIENCE_MS)
    _press(page, "Sign report")
    dialog = page.get_by_role("dialog")
    dialog.get_by_label("Password of Miriam Berg").fill(PASSWORDS["berg"])
    dialog.get_by_role("button", name="Sign", exact=True).dblclick()
    _sees(page, re.compile("Signature valid"))
    assert bench.lab.log.case(case.id).state is CaseState.SIGNED
    assert len(bench.lab.log.reports(case.id)) == 1


def test_group_1_with_ihc_0_is_an_alert_to_be_acknowledged(bench: Bench) -> None:
    case = bench.reviewed("S26-102", POSITIVE, ihc=IHC.ZERO, ihc_same_sample=True)
    page = bench.open("berg", case)
    _headline(page, "HER2 positive")
    _sees(page.locator(".st-key-work_up"), re.compile("IHC.*0"))
    warnings = workflow.assess(bench.lab.log, case.id).warnings
    assert any("IHC" in warning.text for warning in warnings)
    _finish(bench, page, case)


def test_group_5_is_negative_without_ihc(bench: Bench) -> None:
    page = bench.open("berg", bench.reviewed("S26-103", NEGATIVE))
    _headline(page, "HER2 negative: ISH Group 5")
    _stands(page, "Blinded recount", "none", "only for Groups 2 to 4")


def test_group_2_with_late_ihc_is_negative_with_a_comment_that_can_be_worded(bench: Bench) -> None:
    case = bench.reviewed("S26-104", GROUP_2)
    page = bench.open("berg", case)
    _stands(page, "IHC on the same sample", "now", "Enter the HER2 IHC score.")
    _choose(page, page.locator(".st-key-work_up").get_by_label("HER2 IHC score"), "1+")
    page.locator(".st-key-work_up").get_by_text("same sample", exact=True).click()
    _press(page.locator(".st-key-ihc_save"), "Save")
    _headline(page, "comment A")
    box = page.locator(".st-key-comment_box_A")
    _idle(page)
    box.get_by_text("Comment A", exact=True).click()
    box.get_by_role("textbox").fill("Worded by us for this patient.")
    _press(box, "Save comment")
    _sees(page.locator(".st-key-comment_box_A"), "Comment A, edited")
    _sees(page.locator(".h2c-rep"), "Worded by us for this patient.")
    _sees(page.locator(".h2c-rep"), "Comment A, worded by the pathologist")


def test_group_3_with_ihc_2_and_an_unchanged_recount_is_positive(bench: Bench) -> None:
    """The recount begins in one browser, goes on in another after a reload, and is handed in there."""
    case = bench.reviewed("S26-105", GROUP_3, **IHC_SAME)
    page = bench.open("berg", case)
    _stands(page, "Blinded recount", "now", "Another pathologist")
    _sees(page, "Able to: Samuel Okafor.")
    region = bench.lab.log.regions(case.id)[0].id
    second = bench.page("okafor")
    second.get_by_role("link", name="Second read").click()
    _press(second.locator(f".st-key-recount_{case.id}"), "Recount")
    _sees(second, "Blinded recount, population A.")
    expect(second.get_by_text("Group 3")).to_have_count(0)
    second.get_by_label("HER2", exact=True).fill("6")
    second.get_by_label("CEP17", exact=True).fill("4")
    _press(second, "Count, next")
    _sees(second, "1 of at least 20 nuclei counted")
    other = bench.new_page("okafor")  # another machine: signed in anew
    other.get_by_role("link", name="Second read").click()
    _press(other.locator(f".st-key-recount_{case.id}"), "Recount")
    _sees(other, "1 of at least 20 nuclei counted")
    rest = {(region, nucleus): (6, 4) for nucleus in range(2, 21)}
    workflow.count_blinded(bench.lab.log, case.id, rest, bench.lab.person("okafor"))
    other.get_by_role("button", name="Next nucleus").or_(other.locator(".st-key-recount_step_1 button")).first.click()
    _sees(other, "20 of at least 20 nuclei counted")
    _idle(other)
    other.get_by_role("button", name="Hand in").dblclick()
    _sees(other, "No recount is due for this case.")
    assert len(bench.lab.log.recounts(case.id)) == 1
    other.context.close()
    page = bench.open("berg", case)
    _headline(page, "HER2 positive: ISH Group 3, IHC 2+, confirmed by blinded recount")
    _stands(page, "Blinded recount", "done", "confirms Group 3")
    _stands(page, "Adjudication", "none", "the counts agree")


def test_group_4_recounted_as_group_1_is_adjudicated_with_reason(bench: Bench) -> None:
    case = bench.reviewed("S26-106", GROUP_4, **IHC_SAME)
    _recounted(bench, case, 6, 2)
    page = bench.open("berg", case)
    _stands(page, "Adjudication", "now", "Group 4 or Group 1")
    form = page.locator(".st-key-step_adjudication_A")
    _choose(page, form.get_by_label("Final category"), "positive")
    _choose(page, form.get_by_label("Group held to be right"), "Group 1")
    _press(form, "Save adjudication")
    _sees(page, "Give the reason for the adjudication")
    form.get_by_label("Reason (becomes part of the report)").fill("Recounted together at the microscope.")
    _press(form, "Save adjudication")
    _headline(page, "HER2 positive: ISH Group 4, IHC 2+, recount Group 1, adjudicated positive")
    _sees(page.locator(".h2c-rep"), re.compile("Recounted together at the microscope"))

    # A slip is mended before the signature; the case log keeps both decisions.
    _press(form, "Change the decision")
    panel = page.get_by_test_id("stPopoverBody")
    _choose(page, panel.get_by_label("Final category"), "negative")
    _choose(page, panel.get_by_label("Group held to be right"), "Group 4")
    _press(panel, "Save adjudication")
    _headline(page, "adjudicated negative")
    assert [(a.category, a.group) for a in bench.lab.log.adjudications(case.id)] == [("positive", 1), ("negative", 4)]


def test_a_report_is_signed_by_keyboard_alone(bench: Bench) -> None:
    case = bench.reviewed("S26-113", NEGATIVE)
    for warning in workflow.assess(bench.lab.log, case.id).warnings:  # all counts are from one region
        workflow.acknowledge(bench.lab.log, case.id, warning, bench.lab.person("berg"))
    page = bench.open("berg", case)
    _idle(page)
    _tab_to(page, "fits the histology")
    page.keyboard.press("Space")
    _sees(page, "Nothing is open: the report can be signed.")
    _idle(page)
    _tab_to(page, "Sign report")
    page.keyboard.press("Enter")
    password = page.get_by_role("dialog").get_by_label("Password of Miriam Berg")
    expect(password).to_be_visible(timeout=PATIENCE_MS)
    _tab_to(page, "Password of Miriam Berg")
    page.keyboard.type(PASSWORDS["berg"])
    page.keyboard.press("Enter")
    _sees(page, re.compile("Signature valid"))
    assert bench.lab.log.case(case.id).state is CaseState.SIGNED


def test_15_percent_of_group_1_makes_the_case_positive_and_both_are_reported(bench: Bench) -> None:
    page = bench.open("berg", bench.heterogeneous("S26-107", 15.0))
    _headline(page, "HER2 positive, heterogeneous")
    report = page.locator(".h2c-rep")
    _sees(report, re.compile("Group 1, positive, 15 % of the tumour cells"))
    _sees(report, re.compile("Group 5, negative, 85 % of the tumour cells"))


def test_exactly_10_percent_is_described_and_changes_nothing(bench: Bench) -> None:
    page = bench.open("berg", bench.heterogeneous("S26-108", 10.0))
    _headline(page, "HER2 negative: ISH Group 5")
    _sees(page.locator(".h2c-rep"), re.compile("described only, not above 10 %"))


@pytest.mark.parametrize(
    ("accession", "counts", "says", "reason"),
    [
        ("S26-109", POSITIVE[:12], "12 scored", "at least 20 invasive tumour nuclei are needed"),
        ("S26-110", [(6, 0)] * 20, "0 scored", "at least 20 invasive tumour nuclei are needed"),  # no CEP17 at all
    ],
)
def test_what_cannot_be_determined_is_signed_as_indeterminate_with_its_reason(
    bench: Bench, accession: str, counts: Sequence[tuple[int, int]], says: str, reason: str
) -> None:
    case = bench.reviewed(accession, counts)
    page = bench.open("berg", case)
    _headline(page, "HER2 indeterminate")
    _stands(page, "At least 20 nuclei", "failed", says)
    _stands(page, "Result", "failed", reason)
    _stands(page, "Fits the histology", "none", "no result to compare")
    _finish(bench, page, case)
    expect(page.get_by_role("button", name="Sign report")).to_be_enabled(timeout=PATIENCE_MS)


def test_clustered_nuclei_are_warned_of_and_reported_as_estimates(bench: Bench) -> None:
    lab, berg = bench.lab, bench.lab.person("berg")
    case = lab.open_case("S26-111")
    region = lab.add_region(case, POSITIVE, bench.next_shade())
    lab.analyse(region, replace(FLAGS, clusters=True))
    analysis = lab.log.analysis(region.id)
    assert analysis is not None
    lab.log.save_analysis(
        region.id, replace(analysis, nuclei=tuple(replace(n, clustered=True) for n in analysis.nuclei)), berg
    )
    workflow.refresh_state(lab.log, case.id, berg)
    page = bench.open("berg", bench.confirmed(case))
    _sees(page.locator(".h2c-res"), re.compile("20 of the 20 scored have clustered HER2"))
    _sees(page.locator(".h2c-rep"), re.compile("clustered in 20 of 20 scored nuclei; their counts are estimates"))
    expect(page.get_by_role("button", name="Sign report")).to_be_disabled(timeout=PATIENCE_MS)
    _finish(bench, page, case)


def test_of_two_people_with_the_same_case_the_later_is_told_and_nothing_is_overwritten(bench: Bench) -> None:
    case = bench.reviewed("S26-112", GROUP_4)
    first, second = bench.open("berg", case), bench.open("okafor", case)
    for page, score in ((second, "3+"), (first, "1+")):
        work_up = page.locator(".st-key-work_up")
        _choose(page, work_up.get_by_label("HER2 IHC score"), score)
        work_up.get_by_text("same sample", exact=True).click()
        _press(page.locator(".st-key-ihc_save"), "Save")
        if page is second:
            _headline(page, "HER2 positive: ISH Group 4, IHC 3+")
    _sees(first, re.compile("Samuel Okafor changed this case"))
    assert bench.lab.log.case(case.id).details.ihc is IHC.THREE_PLUS


def test_where_two_sign_the_second_finds_the_report_on_the_worklist_and_makes_it_final(bench: Bench) -> None:
    settings = bench.lab.data_dir / "settings.toml"
    one_signs = settings.read_text()
    settings.write_text(one_signs + "second_signature = true\n")
    try:
        _signed_by_two(bench, bench.reviewed("S26-114", POSITIVE))
    finally:
        settings.write_text(one_signs)


def _signed_by_two(bench: Bench, case: Case) -> None:
    page = bench.open("berg", case)
    _finish(bench, page, case)
    _press(page, "Sign report")
    dialog = page.get_by_role("dialog")
    _sees(dialog, workflow.MEANING)
    expect(dialog.get_by_label("Second signature by")).to_have_value("Samuel Okafor", timeout=PATIENCE_MS)
    dialog.get_by_label("Password of Miriam Berg").fill(PASSWORDS["berg"])
    dialog.get_by_role("button", name="Sign", exact=True).dblclick()
    _sees(page, re.compile("becomes final with the signature of Samuel Okafor"))
    expect(page.get_by_role("button", name="Sign second")).to_have_count(0)
    assert bench.lab.log.reports(case.id) == []

    # It is on his own list, though he never had the case.
    second = bench.page("okafor")
    _idle(second)
    second.get_by_role("link", name="Worklist").click()
    _idle(second)
    second.get_by_text("Mine", exact=True).click()
    _sees(second, "the second signature")
    _press(second.locator(f".st-key-open_{case.id}"), "Continue")
    _sees(second, "Signed once. Not final before the second signature.")
    _press(second, "Sign second")
    dialog = second.get_by_role("dialog")
    _sees(dialog, workflow.SECOND_MEANING)
    dialog.get_by_label("Password of Samuel Okafor").fill(PASSWORDS["okafor"])
    dialog.get_by_role("button", name="Sign", exact=True).dblclick()
    _sees(second, re.compile("Signature valid"))
    (report,) = bench.lab.log.reports(case.id)
    assert (report.signed_by, report.cosigned_by) == (
        bench.lab.person("berg").id, (bench.lab.person("okafor").id,),
    )  # fmt: skip
    assert bench.lab.log.case(case.id).state is CaseState.SIGNED
