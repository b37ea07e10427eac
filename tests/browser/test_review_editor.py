"""The review editor in a real browser, without a server: look, correct, undo; the case log tells what each act left."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import replace
from pathlib import Path

import pytest
from playwright.sync_api import Page, expect

from her2core import workflow
from her2core.records import CorrectionKind, Exclusion, Nucleus
from her2core.scoring import countability
from tests.browser.conftest import PATIENCE_MS
from tests.browser.review_page import ReviewPage
from tests.pages.lab import TestLaboratory

pytestmark = [pytest.mark.browser, pytest.mark.timeout(1200)]

# Twenty drawn nuclei, eight in a row; the first lies at (16, 16) to (64, 64). Six HER2 and two CEP17 signals each.
COUNTS = [(6, 2)] * 19 + [(0, 2)]
BOX_1 = (16.0, 16.0, 65.0, 65.0)

_FOCUSED = """() => {
    const at = document.querySelector("#host").shadowRoot.activeElement;
    if (!at) return { part: "the page", outline: true };
    const style = getComputedStyle(at);
    const outline = style.outlineStyle !== "none" && parseFloat(style.outlineWidth) >= 2;
    return { part: at.dataset.part ?? at.textContent, outline };
}"""


@pytest.fixture
def lab(tmp_path: Path) -> Iterator[TestLaboratory]:
    made = TestLaboratory.make(tmp_path / "data")
    yield made
    made.log.close()


def test_signals_counts_and_judgement_are_saved_as_they_are_made_and_undone(lab: TestLaboratory, page: Page) -> None:
    case = lab.analysed(COUNTS)
    at = ReviewPage(page, lab, case).alone()
    at.expect_tally(19, 114, 38)

    # A click in the field chooses; keys go on and back in the order of the gallery.
    at.click_field(40, 40)
    at.expect_nucleus(1)
    at.press("n")
    at.press("ArrowLeft")
    at.expect_nucleus(1)

    # A click beside the signals adds one of the marked channel, a click on it deletes it again.
    at.press("2")
    at.click_large(BOX_1, 40, 32)
    at.expect_tally(19, 114, 39)
    at.press("1")
    at.click_large(BOX_1, 40, 47)
    at.expect_tally(19, 115, 39)
    at.click_large(BOX_1, 40, 47)
    at.expect_tally(19, 114, 39)
    kinds = [c.kind for c in at.corrections()]
    assert kinds == [CorrectionKind.SIGNALS] * 3
    added = [s for s in at.corrections()[0].new["signals"] if s not in at.corrections()[0].old["signals"]]
    assert [s["channel"] for s in added] == ["cep17"]
    assert (added[0]["x"], added[0]["y"]) == pytest.approx((40, 32), abs=1)

    # In the field, with the tool for it.
    at.press("s")
    at.click_field(104, 32)  # the second nucleus, where no signal is
    at.expect_tally(19, 115, 39)
    at.expect_nucleus(2)
    at.press("Escape")

    # Counts are typed; the AI's own stay beside them.
    at.choose(3)
    at.set_counts(9, 3)
    at.expect_tally(19, 118, 40)
    expect(at.part("ai-her2")).to_have_text("AI 6")
    at.part("more-her2").click()
    at.expect_tally(19, 119, 40)

    # A cluster is marked, and its estimate typed at once.
    at.choose(4)
    at.press("k")
    expect(at.part("said")).to_contain_text("HER2 clustered", timeout=PATIENCE_MS)
    page.keyboard.type("25")
    page.keyboard.press("Enter")
    at.expect_tally(19, 138, 40)
    expect(page.locator('.editor .tile[data-nucleus="4"] .counts')).to_have_text("25✱/2")
    expect(at.part("legend")).to_contain_text("6✱/2: HER2 clustered, an estimate")

    # Left out with a reason, and counted again.
    at.choose(5)
    at.part("reason").select_option("out of focus")
    at.press("x")
    at.expect_tally(18, 132, 38)
    assert at.corrections()[-1].new == {"reason": "out of focus"}
    expect(at.part("said")).to_contain_text("not scored: out of focus")
    at.part("exclude").click()
    at.expect_tally(19, 138, 40)

    # What cannot be is refused in words, and nothing else happens.
    before = len(at.corrections())
    at.choose(20)
    at.part("exclude").click()
    expect(at.part("refused")).to_contain_text("no HER2 signal", timeout=PATIENCE_MS)
    at.part("dismiss").click()
    assert len(at.corrections()) == before

    # Everything back to what the models said, and forth again.
    steps = 0
    while at.part("undo").is_enabled():
        at.part("undo").click()
        at.expect_saved()
        steps += 1
    at.expect_tally(19, 114, 38)
    assert steps == 11  # leaving the first of two fields saves it too
    for _ in range(steps):
        at.press("y")
        at.expect_saved()
    at.expect_tally(19, 138, 40)
    review = workflow.assess(lab.log, case.id)
    assert review.assessment is not None
    tally = review.assessment.populations[0].tally
    assert (tally.n, tally.her2, tally.cep17) == (19, 138, 40)
    assert review.ai["A"].tally.her2 == 114


def test_a_reader_confirms_counts_without_changing_them(lab: TestLaboratory, page: Page) -> None:
    case = lab.analysed(COUNTS)
    at = ReviewPage(page, lab, case).alone()
    at.choose(3)
    at.press("c")
    at.expect_saved()
    assert [(c.nucleus_id, c.kind, c.new) for c in at.corrections()] == [
        (3, CorrectionKind.COUNTS, {"her2": 6, "cep17": 2})
    ]
    second = int(at.part("title").inner_text().removeprefix("Nr "))
    assert second != 3, "the next one is shown"
    at.part("confirm").click()
    at.expect_saved()
    assert [c.nucleus_id for c in at.corrections()] == [3, second]
    at.choose(3)
    expect(at.part("said")).to_contain_text("counts confirmed by")
    at.press("c")  # they are theirs already
    at.expect_saved()
    assert len(at.corrections()) == 2
    at.expect_tally(19, 114, 38)


def test_boxes_are_drawn_moved_and_counted_by_the_models(lab: TestLaboratory, page: Page) -> None:
    case = lab.analysed(COUNTS)
    at = ReviewPage(page, lab, case).alone()
    at.press("b")
    at.drag_field((330, 150), (390, 205))  # below the last row: nothing is there
    at.expect_nucleus(21)
    at.expect_saved()
    (added,) = at.corrections()
    assert added.kind is CorrectionKind.ADD
    assert added.new["box"] == pytest.approx([330, 150, 390, 205], abs=2)
    assert added.new["scored"] is False

    at.press("Escape")
    at.click_field(40, 40)
    at.expect_nucleus(1)
    at.press("b")
    at.drag_field((65, 65), (70, 69))  # its lower right corner
    at.expect_saved()
    moved = at.corrections()[-1]
    assert moved.kind is CorrectionKind.BOX
    assert moved.new["box"] == pytest.approx([16, 16, 70, 69], abs=2)
    review = workflow.assess(lab.log, case.id).regions[0]
    first = next(r for r in review.nuclei if r.nucleus.id == 1)
    assert first.ai is not None
    assert (first.ai.her2, first.ai.box[2]) == (6, 65.0)
    assert first.nucleus.her2 == moved.new["recount"]["her2"]
    assert first.nucleus.box == pytest.approx((16, 16, 70, 69), abs=2)

    at.drag_field((300, 20), (303, 22))  # too small for a nucleus
    expect(at.part("refused")).to_contain_text("too small", timeout=PATIENCE_MS)
    assert at.corrections()[-1] == moved


def test_what_a_new_box_overlaps_is_left_out_for_that_and_anything_else_for_the_usual_reason(
    lab: TestLaboratory, page: Page
) -> None:
    case, by = lab.analysed(COUNTS), lab.person("berg")
    region = lab.log.regions(case.id)[0]
    x0, y0, x1, y1 = BOX_1
    workflow.correct(lab.log, region.id, 2, CorrectionKind.BOX, {"box": [x0 + 10, y0, x1 + 10, y1]}, by)
    at = ReviewPage(page, lab, case).alone()
    at.choose(1)
    expect(at.part("said")).to_contain_text("overlapped by a box drawn since")
    at.press("x")
    expect(at.part("said")).to_contain_text("not scored: overlaps another nucleus", timeout=PATIENCE_MS)
    at.choose(5)
    at.press("x")
    expect(at.part("said")).to_contain_text("not scored: not an invasive tumour nucleus", timeout=PATIENCE_MS)


def test_what_a_new_box_overlaps_comes_first_at_once_and_the_others_stay(lab: TestLaboratory, page: Page) -> None:
    case, by = lab.analysed(COUNTS), lab.person("okafor")
    region = lab.log.regions(case.id)[0]
    at = ReviewPage(page, lab, case).alone()
    before = at.gallery()
    at.choose(11)
    at.press("b")
    at.drag_field((168, 104), (132, 104))
    expect(page.locator(".editor .tile").first).to_have_attribute("data-nucleus", "10", timeout=PATIENCE_MS)
    assert at.gallery() == [10, *(n for n in before if n != 10)]
    at.expect_nucleus(11)  # which is still the one that is looked at

    # Another reader's box, which this one is told of; what is dealt with keeps its place.
    x0, y0, x1, y1 = at.box(5)
    workflow.correct(lab.log, region.id, 6, CorrectionKind.BOX, {"box": [x0 + 20, y0, x1 + 20, y1]}, by)
    at.draw()
    first = [5, 10, *(n for n in before if n not in (5, 10))]
    assert at.gallery() == first
    at.choose(5)
    at.press("x")
    expect(at.part("said")).to_contain_text("overlaps another nucleus", timeout=PATIENCE_MS)
    at.expect_saved()
    assert at.gallery() == first
    at.press("n")
    at.expect_nucleus(10)

    # Also what somebody overlapped while the reader was on another page.
    x0, y0, x1, y1 = at.box(17)
    workflow.correct(lab.log, region.id, 18, CorrectionKind.BOX, {"box": [x0 + 20, y0, x1 + 20, y1]}, by)
    at.leave_and_return()
    assert at.gallery() == [17, *(n for n in first if n != 17)]


def test_looking_changes_nothing_and_stays_over_edits(lab: TestLaboratory, page: Page) -> None:
    case = lab.analysed(COUNTS)
    at = ReviewPage(page, lab, case).alone()
    at.choose(1)
    at.press("h")  # without marks, only pixels are in sight
    assert at.pixel("large")[2] > 80  # DAPI
    at.press("e")
    page.wait_for_function("""() => { const c = document.querySelectorAll("*"); return true; }""")
    expect(at.part("show-dapi")).to_have_attribute("aria-pressed", "false")
    page.wait_for_timeout(300)
    assert at.pixel("large", 0.3, 0.5)[2] < 20
    at.press("w")
    page.wait_for_timeout(300)
    red, green, blue = at.pixel("large", 0.3, 0.5)
    assert red == green == blue  # one channel alone is grey
    at.press("w")
    at.press("e")
    at.press("h")

    # Zoom and pan stay while an edit goes to the server and comes back.
    page.mouse.move(*at.at(200, 80))
    page.mouse.wheel(0, -600)
    page.wait_for_timeout(300)
    before = at.part("field").screenshot()
    at.press("h")
    page.wait_for_timeout(300)
    zoomed = at.part("field").screenshot()
    assert zoomed != before
    at.choose(9)
    at.press("x")
    expect(at.part("said")).to_contain_text("not scored", timeout=PATIENCE_MS)
    at.press("x")
    at.expect_tally(19, 114, 38)
    at.choose(1)
    page.wait_for_timeout(300)
    assert len(at.corrections()) == 2


def test_the_keyboard_reaches_everything_and_shows_where_it_is(lab: TestLaboratory, page: Page) -> None:
    case = lab.analysed(COUNTS)
    at = ReviewPage(page, lab, case).alone()
    unnamed = page.locator(".editor").evaluate(
        """(editor) => [...editor.querySelectorAll("button, input, select, canvas[role]")].filter(
            (e) => !(e.getAttribute("aria-label") || e.textContent.trim())).map((e) => e.outerHTML)"""
    )
    assert unnamed == []
    at.press("?")
    expect(at.part("help")).to_be_visible()
    at.press("Escape")
    expect(at.part("help")).to_be_hidden()
    at.part("count-her2").focus()
    page.keyboard.press("Tab")
    outline = at.part("more-her2").evaluate("(e) => getComputedStyle(e).outlineStyle")
    assert outline == "solid"
    page.evaluate("() => document.body.append(document.createElement('textarea'))")
    page.locator("body > textarea").focus()
    page.keyboard.type("xkznc")  # a key in a text is a character, not an act
    page.wait_for_timeout(300)
    expect(page.locator("body > textarea")).to_have_value("xkznc")
    assert at.corrections() == []


def test_letters_are_keys_in_a_count_field_after_what_was_typed(lab: TestLaboratory, page: Page) -> None:
    case = lab.analysed(COUNTS)
    at = ReviewPage(page, lab, case).alone()
    her2, cep17 = at.part("count-her2"), at.part("count-cep17")
    done: list[tuple[int, CorrectionKind]] = []

    def expect_done(*steps: tuple[int, CorrectionKind]) -> None:
        at.expect_saved()
        done.extend(steps)
        assert [(c.nucleus_id, c.kind) for c in at.corrections()] == done

    def type_her2(count: str) -> None:
        her2.focus()
        her2.select_text()
        page.keyboard.type(count)

    at.part("order").select_option("id")
    at.expect_nucleus(1)
    type_her2("9")
    at.press("n")  # saves as Enter does, and goes on
    at.expect_nucleus(2)
    at.expect_tally(19, 117, 38)
    expect_done((1, CorrectionKind.COUNTS))
    type_her2("8")
    at.press("c")  # the typed count is confirmed with it, once
    at.expect_nucleus(3)
    at.expect_tally(19, 119, 38)
    expect_done((2, CorrectionKind.COUNTS))
    type_her2("7")
    at.press("z")  # at once, before the count has come back
    expect_done((3, CorrectionKind.COUNTS), (3, CorrectionKind.UNDO))
    expect(her2).to_have_value("6")
    at.expect_tally(19, 119, 38)
    type_her2("20")
    at.press("k")
    expect(her2).to_be_focused()  # for the estimate
    at.press("x")
    expect_done(*((3, kind) for kind in (CorrectionKind.COUNTS, CorrectionKind.CLUSTER, CorrectionKind.EXCLUDE)))
    at.expect_tally(18, 113, 36)

    # What moves in a field does so still, and what belongs to the browser stays its own.
    at.choose(4)
    type_her2("15")
    for key in ("ArrowLeft", "Backspace", "2", "n", "p"):
        at.press(key)
    expect(her2).to_have_value("25")
    her2.focus()
    at.press("e")  # nothing is typed that it could be the exponent of: it turns DAPI off
    expect(at.part("show-dapi")).to_have_attribute("aria-pressed", "false")
    expect_done((4, CorrectionKind.COUNTS))
    her2.focus()
    at.press("ArrowUp")
    expect(her2).to_have_value("26")
    at.press("Tab")
    expect(at.part("more-her2")).to_be_focused()
    expect_done((4, CorrectionKind.COUNTS))
    cep17.focus()
    page.keyboard.press("Control+A")
    page.keyboard.press("Control+Z")
    page.keyboard.press("Control+C")
    expect(cep17).to_be_focused()
    page.keyboard.type("3")
    at.press("Enter")
    at.expect_nucleus(4)
    expect_done((4, CorrectionKind.COUNTS))
    assert at.corrections()[-1].new == {"her2": 26, "cep17": 3}


def test_what_is_no_count_is_said_beside_its_field_and_not_saved(lab: TestLaboratory, page: Page) -> None:
    case = lab.analysed(COUNTS)
    at = ReviewPage(page, lab, case).alone()
    at.part("order").select_option("id")
    at.expect_nucleus(1)
    her2, cep17 = at.part("count-her2"), at.part("count-cep17")
    for field, slip, typed, most, stays in (
        (her2, "slip-her2", "2.5", 300, "HER2 of nucleus 1 stays 6."),
        (her2, "slip-her2", "-5", 300, "HER2 of nucleus 1 stays 6."),
        (her2, "slip-her2", "301", 300, "HER2 of nucleus 1 stays 6."),
        (her2, "slip-her2", "", 300, "HER2 of nucleus 1 stays 6."),
        (cep17, "slip-cep17", "101", 100, "CEP17 of nucleus 1 stays 2."),
        (cep17, "slip-cep17", "1-2", 100, "CEP17 of nucleus 1 stays 2."),
    ):
        field.focus()
        page.keyboard.press("Control+A")
        page.keyboard.press("Delete")
        page.keyboard.type(typed)
        expect(at.part(slip)).to_be_hidden()
        at.press("Enter")
        expect(at.part(slip)).to_contain_text(f"not a whole number from 0 to {most}. {stays}")
        expect(field).to_have_value("6" if field is her2 else "2")
        expect(field).to_be_focused()
        for key in ("n", "c", "n"):  # it is read before anything goes on
            field.select_text()
            page.keyboard.type("7.5")
            at.press(key)
            at.expect_nucleus(1)
        expect(at.part(slip)).to_contain_text("“7.5” is not a whole number")

    # By mouse: what is wrong is still said at the nucleus that is looked at next, and no longer.
    her2.select_text()
    page.keyboard.type("0.5")
    at.choose(2)
    expect(at.part("slip-her2")).to_contain_text("HER2 of nucleus 1 stays 6.")
    at.choose(3)
    expect(at.part("slip-her2")).to_be_hidden()
    at.choose(1)
    expect(her2).to_have_value("6")
    assert at.corrections() == []
    assert not any(message["edits"] for message in at.sent)

    # Typed anew in the place of it, a count is taken.
    her2.select_text()
    page.keyboard.type("8.5")
    at.press("Enter")
    page.keyboard.type("8")
    expect(at.part("slip-her2")).to_be_hidden()
    at.press("n")
    at.expect_nucleus(2)
    at.expect_saved()
    assert [(c.nucleus_id, c.new) for c in at.corrections()] == [(1, {"her2": 8, "cep17": 2})]


@pytest.mark.parametrize("typed", ["abc", "1e2", "7abc", "axn"])
def test_a_text_in_a_count_field_is_refused_as_it_was_typed_and_does_nothing(
    lab: TestLaboratory, page: Page, typed: str
) -> None:
    at = ReviewPage(page, lab, lab.analysed(COUNTS)).alone()
    at.part("order").select_option("id")
    for name, slip, before in (("count-her2", "slip-her2", "6"), ("count-cep17", "slip-cep17", "2")):
        field = at.part(name)
        field.focus()
        field.select_text()
        page.keyboard.type(typed)
        expect(field).to_have_value(typed)
        at.press("Enter")
        expect(at.part(slip)).to_contain_text(f"“{typed}” is not a whole number from 0 to ")
        expect(field).to_have_value(before)
        page.keyboard.type("c")  # of what is typed in its place, no act either
        expect(field).to_have_value("c")
        at.press("Escape")  # taken back
        expect(field).to_have_value(before)
    # An emptied field is refused by a letter, and the next letter does nothing.
    her2 = at.part("count-her2")
    her2.fill("")
    page.keyboard.type("bc")
    expect(her2).to_have_value("c")
    at.expect_nucleus(1)
    for part in ("show-her2", "show-cep17", "show-dapi", "tool-select", "mark-her2"):
        expect(at.part(part)).to_have_attribute("aria-pressed", "true")
    assert at.corrections() == []
    assert not any(message["edits"] for message in at.sent)


def test_a_region_is_reviewed_by_keyboard_alone(lab: TestLaboratory, page: Page) -> None:
    """Tab, Space, Enter and the named keys; every stop of Tab shows that it has the focus."""
    case = lab.analysed(COUNTS)
    at = ReviewPage(page, lab, case).alone()

    def tab_to(part: str) -> None:
        for _ in range(80):
            at.press("Tab")
            focused = page.evaluate(_FOCUSED)
            assert focused["outline"], f"{focused['part']} does not show that it has the focus"
            if focused["part"] == part:
                return
        raise AssertionError(f"Tab never comes to {part}")

    at.press("n")
    number = int(at.part("title").inner_text().removeprefix("Nr "))
    tab_to("tool-signal")
    at.press("Space")
    expect(at.part("tool-signal")).to_have_attribute("aria-pressed", "true")
    at.press("Escape")
    tab_to("more-her2")
    at.press("Enter")
    at.expect_tally(19, 115, 38)
    tab_to("count-cep17")
    page.keyboard.press("Control+A")
    page.keyboard.type("4")
    at.press("Enter")
    at.expect_tally(19, 115, 40)
    tab_to("reason")
    at.press("ArrowDown")
    at.press("Escape")
    at.press("x")
    at.expect_tally(18, 108, 36)
    at.press("x")
    at.expect_tally(19, 115, 40)
    at.press("k")
    expect(at.part("count-her2")).to_be_focused()
    page.keyboard.type("15")
    at.press("Enter")
    at.expect_tally(19, 123, 40)
    at.press("z")
    at.press("z")
    at.expect_tally(19, 115, 40)
    at.press("y")
    at.expect_saved()
    tab_to("field")
    at.press("g")
    at.press("f")
    at.press("p")
    assert {c.nucleus_id for c in at.corrections()} == {number}


def test_what_lacks_a_colour_can_be_no_tumour_nucleus_at_all(lab: TestLaboratory, page: Page) -> None:
    case = lab.analysed(COUNTS)
    at = ReviewPage(page, lab, case).alone()
    at.choose(20)
    expect(at.part("reason")).to_have_value("no HER2 signal")
    at.part("reason").select_option("not an invasive tumour nucleus")
    expect(at.part("said")).to_contain_text("not scored: not an invasive tumour nucleus", timeout=PATIENCE_MS)
    at.expect_saved()
    assert at.corrections()[-1].new == {"reason": "not an invasive tumour nucleus"}
    expect(at.part("reason")).to_have_value("not an invasive tumour nucleus")
    expect(at.part("reason").locator("option", has_text="no HER2 signal")).to_have_count(0)
    at.choose(7)
    expect(at.part("reason")).not_to_have_value("no HER2 signal")
    at.press("x")
    at.expect_tally(18, 108, 36)


def test_a_box_in_which_no_nucleus_was_seen_says_so_and_a_person_can_know_better(
    lab: TestLaboratory, page: Page
) -> None:
    case = lab.analysed(COUNTS)
    region = lab.log.regions(case.id)[0]
    none = Exclusion.NO_NUCLEUS
    empty = Nucleus(21, (300.0, 180.0, 348.0, 228.0), 1.0, 0, 0, 0.0, 0.0, False, False, none)
    drawn = empty.to_dict()
    workflow.correct(lab.log, region.id, 21, CorrectionKind.ADD, drawn, lab.person("berg"))
    at = ReviewPage(page, lab, case).alone()
    at.choose(21)
    expect(at.part("said")).to_contain_text(
        "not scored: no nucleus seen in DAPI · include it if it is a nucleus all the same"
    )
    found = workflow.assess(lab.log, case.id).regions[0].nuclei
    assert countability(r.nucleus for r in found).missing.countable == 20
    at.part("exclude").click()
    expect(at.part("said")).to_contain_text("not scored: no signal", timeout=PATIENCE_MS)
    at.expect_saved()
    found = workflow.assess(lab.log, case.id).regions[0].nuclei
    assert countability(r.nucleus for r in found).missing.countable == 21


def test_the_gallery_is_sorted_by_what_asks_to_be_looked_at(lab: TestLaboratory, page: Page) -> None:
    case = lab.analysed(COUNTS)
    at = ReviewPage(page, lab, case).alone()
    first = page.locator(".editor .tile").first
    expect(first).to_have_attribute("data-nucleus", "20")  # left out, so doubtful
    at.choose(7)
    at.press("x")
    at.expect_tally(18, 108, 36)
    expect(first).to_have_attribute("data-nucleus", "20")  # the order stays while one works
    for order, number in (("edited", "7"), ("id", "1"), ("left", "7")):
        at.part("order").select_option(order)
        expect(first).to_have_attribute("data-nucleus", number)


def test_uncertain_nuclei_that_count_come_first_and_the_gallery_follows(lab: TestLaboratory, page: Page) -> None:
    case = lab.analysed([(0, 0)] * 14 + [(6, 2)] * 26)
    region = lab.log.regions(case.id)[0]
    analysis = lab.log.analysis(region.id)
    assert analysis is not None
    doubtful = tuple(replace(n, uncertain=n.id in (3, 30, 31), uncertainty=0.9) for n in analysis.nuclei)
    lab.log.save_analysis(region.id, replace(analysis, nuclei=doubtful), lab.person("berg"))
    page.set_viewport_size({"width": 1366, "height": 620})  # a gallery of one row or two
    at = ReviewPage(page, lab, case).alone()
    order = page.locator(".editor .tile").evaluate_all("(tiles) => tiles.map((tile) => Number(tile.dataset.nucleus))")
    assert order[:2] == [30, 31]  # they count; 3, which no signal was found in, comes after
    assert order[2] == 3
    inside = """(tile) => {
        const gallery = tile.closest(".tiles").getBoundingClientRect(), at = tile.getBoundingClientRect();
        return at.top >= gallery.top - 1 && at.bottom <= gallery.bottom + 1;
    }"""
    for number in order[1:]:
        at.press("n")
        at.expect_nucleus(number)
        tile = page.locator(f'.editor .tile[data-nucleus="{number}"]')
        expect(tile).to_have_attribute("aria-current", "true")
        assert tile.evaluate(inside), number


def test_an_edit_that_came_too_late_is_refused_and_the_newer_one_is_shown(lab: TestLaboratory, page: Page) -> None:
    case = lab.analysed(COUNTS)
    region = lab.log.regions(case.id)[0]
    at = ReviewPage(page, lab, case).alone()
    at.choose(1)
    workflow.correct(
        lab.log, region.id, 1, CorrectionKind.COUNTS, {"her2": 9, "cep17": 2}, lab.person("okafor"), "in another window"
    )
    at.press("x")
    expect(at.part("refused")).to_contain_text("Samuel Okafor changed nucleus 1", timeout=PATIENCE_MS)
    at.expect_tally(19, 117, 38)
    expect(at.part("count-her2")).to_have_value("9")
    expect(at.part("said")).to_contain_text("by Samuel Okafor")
    assert len(at.corrections()) == 1
    at.press("x")  # now it was seen
    at.expect_tally(18, 108, 36)
    expect(at.part("refused")).to_be_hidden()


def test_a_dismissed_refusal_stays_dismissed_and_a_new_one_is_shown(lab: TestLaboratory, page: Page) -> None:
    case = lab.analysed(COUNTS)
    at = ReviewPage(page, lab, case).alone()
    at.choose(1)
    at.press("x")
    at.expect_tally(18, 108, 36)
    at.press("x")
    at.expect_tally(19, 114, 38)
    at.choose(20)
    at.press("x")
    expect(at.part("refused")).to_contain_text("no HER2 signal", timeout=PATIENCE_MS)
    at.leave_and_return()
    expect(at.part("refused")).to_be_visible()  # nobody said that it was understood
    at.part("dismiss").click()
    at.leave_and_return()
    expect(at.part("refused")).to_be_hidden()
    at.press("x")  # the first edit since the return
    expect(at.part("refused")).to_contain_text("no HER2 signal", timeout=PATIENCE_MS)
    at.part("dismiss").click()
    at.press("x")
    expect(at.part("refused")).to_be_visible(timeout=PATIENCE_MS)
    at.press("n")
    at.press("x")  # going on says as much as the button
    at.expect_saved()
    at.leave_and_return()
    expect(at.part("refused")).to_be_hidden()


def test_edits_wait_while_nothing_answers_and_each_is_taken_once(lab: TestLaboratory, page: Page) -> None:
    case = lab.analysed(COUNTS)
    at = ReviewPage(page, lab, case).alone()
    at.offline = True
    for number in (1, 2, 3):
        at.choose(number)
        at.press("x")
    expect(at.part("status")).to_have_text("Saving …")
    assert at.corrections() == []
    at.offline = False
    at.press("n")
    at.expect_tally(16, 96, 32)  # sent again without being asked
    assert [c.nucleus_id for c in at.corrections()] == [1, 2, 3]


def test_another_region_is_shown_as_it_was_left(lab: TestLaboratory, page: Page) -> None:
    case = lab.open_case()
    for shade in (120, 140):
        lab.analyse(lab.add_region(case, COUNTS, shade=shade))
    at = ReviewPage(page, lab, case).alone()
    at.expect_tally(38, 228, 76)
    at.part("order").select_option("id")
    at.choose(5)
    page.get_by_role("button", name="A2").click()
    expect(page.get_by_role("button", name="A2")).to_have_attribute("aria-pressed", "true", timeout=PATIENCE_MS)
    expect(at.part("loading")).to_be_hidden(timeout=PATIENCE_MS)
    at.part("order").select_option("edited")
    at.choose(7)
    at.press("x")
    at.expect_tally(37, 222, 74)
    assert at.corrections() == []  # of the first region
    page.get_by_role("button", name="A1").click()
    at.expect_nucleus(5)
    expect(at.part("order")).to_have_value("id")  # the order that its pictures are in


def test_a_region_that_the_page_opens_stays_open(lab: TestLaboratory, page: Page) -> None:
    """As by the button of a point to settle, after another region was chosen in the editor."""
    case = lab.open_case()
    for shade in (120, 140):
        lab.analyse(lab.add_region(case, COUNTS, shade=shade))
    first, second = lab.log.regions(case.id)
    at = ReviewPage(page, lab, case).alone()
    page.get_by_role("button", name="A2").click()
    expect(page.get_by_role("button", name="A2")).to_have_attribute("aria-pressed", "true", timeout=PATIENCE_MS)
    assert at.shown == second.id
    at.shown = first.id
    at.draw()
    expect(page.get_by_role("button", name="A1")).to_have_attribute("aria-pressed", "true", timeout=PATIENCE_MS)
    at.choose(7)
    at.press("x")
    at.expect_tally(37, 222, 74)
    assert at.shown == first.id
    expect(page.get_by_role("button", name="A1")).to_have_attribute("aria-pressed", "true")
