"""Files dropped on the intake page, and work that goes on after the server died, in a real browser."""

from __future__ import annotations

import base64
import re

import pytest
from playwright.sync_api import Browser, Page, expect

from tests.browser.conftest import PATIENCE_MS, Server, dark_page
from tests.browser.review_page import ReviewPage
from tests.pages.lab import NEGATIVE, PASSWORDS, POSITIVE, draw_region

pytestmark = [pytest.mark.browser, pytest.mark.timeout(1200)]

_DROP = """(zone, files) => {
    const transfer = new DataTransfer();
    for (const [name, type, data] of files) {
        const bytes = Uint8Array.from(atob(data), (c) => c.charCodeAt(0));
        transfer.items.add(new File([bytes], name, { type }));
    }
    for (const kind of ["dragenter", "dragover", "drop"])
        zone.dispatchEvent(new DragEvent(kind, { dataTransfer: transfer, bubbles: true, cancelable: true }));
}"""


def _sign_in(page: Page, server: Server, name: str = "berg") -> None:
    page.goto(server.url)
    page.get_by_label("User name").fill(name)
    page.get_by_label("Password", exact=True).fill(PASSWORDS[name])
    page.get_by_role("button", name="Sign in", exact=True).click()


def test_regions_are_dropped_at_once_flagged_at_once_and_a_bad_file_is_named(server: Server, page: Page) -> None:
    log = server.lab.log
    case = server.lab.open_case()
    _sign_in(page, server)
    page.locator(f".st-key-open_{case.id} button").click()
    files = [
        ("field-1.png", "image/png", draw_region(POSITIVE, 120)),
        ("notes.png", "image/png", b"these are words"),
        ("field-2.png", "image/png", draw_region(POSITIVE, 130)),
    ]
    coded = [(name, kind, base64.b64encode(data).decode()) for name, kind, data in files]
    page.get_by_test_id("stFileUploaderDropzone").evaluate(_DROP, coded)
    alert = page.get_by_role("alert").filter(has_text="notes.png")
    expect(alert).to_contain_text("The file is a text", timeout=PATIENCE_MS)
    expect(alert).to_contain_text("1 file was not added:")
    assert [region.filename for region in log.regions(case.id)] == ["field-1.png", "field-2.png"]
    for region in log.regions(case.id):
        expect(page.locator(f".st-key-region_{region.id} img")).to_be_visible(timeout=PATIENCE_MS)
    # Both are chosen, since neither has flags: what is said is for both, and saved.
    panel = page.locator(".st-key-intake_flags")
    panel.get_by_text("suitable", exact=True).click()
    panel.get_by_role("button", name="Good signals").click(timeout=PATIENCE_MS)
    expect(page.get_by_text("2 regions are ready for analysis.")).to_be_visible(timeout=PATIENCE_MS)
    assert [r.flags is not None and r.flags.suitable for r in log.regions(case.id)] == [True, True]
    page.get_by_role("button", name="Dismiss").click()
    expect(alert).to_be_hidden(timeout=PATIENCE_MS)


def test_after_the_server_died_one_click_goes_on_in_the_same_region(server: Server, browser: Browser) -> None:
    log, berg = server.lab.log, server.lab.person("berg")
    case = server.lab.open_case()
    for shade in (120, 130):
        server.lab.analyse(server.lab.add_region(case, NEGATIVE, shade))
    second = log.regions(case.id)[1]
    at = ReviewPage(dark_page(browser), server.lab, case).open(server)
    at.part("regions").get_by_role("button", name="A2").click()
    expect(at.part("field")).to_have_attribute("aria-label", "Region A2 with 20 boxed nuclei", timeout=PATIENCE_MS)
    page = at.page
    page.wait_for_function("() => !document.querySelector('[data-testid=\"stStatusWidget\"]')")
    place = log.place(case.id, berg)
    assert place is not None
    assert (place.page, place.region_id) == ("pages/review.py", second.id)
    page.reload()
    expect(page.get_by_label("User name")).to_be_visible(timeout=PATIENCE_MS)
    expect(page.get_by_text("Page not found")).to_have_count(0)  # nothing is lost, and nothing says so
    server.kill()
    page.context.close()

    server.start()
    elsewhere = dark_page(browser)
    _sign_in(elsewhere, server)
    elsewhere.locator(f".st-key-last_{case.id} button").click()
    again = ReviewPage(elsewhere, server.lab, case).ready()
    expect(again.part("field")).to_have_attribute("aria-label", "Region A2 with 20 boxed nuclei", timeout=PATIENCE_MS)
    elsewhere.context.close()


def test_saving_details_leaves_the_user_where_the_fields_are(server: Server, page: Page) -> None:
    log = server.lab.log
    case = server.lab.open_case()
    _sign_in(page, server)
    page.locator(f".st-key-open_{case.id} button").click()
    tab = page.get_by_role("tab", name="Case details")
    tab.click()
    hours = page.get_by_role("spinbutton", name="Fixation (hours)")
    for typed, doubt in (("3", 1), ("24", 0)):  # a doubt appears above the page, and goes again
        hours.fill(typed)
        page.get_by_role("button", name="Save details").click()  # at once, before what was typed has come through
        expect(page.get_by_text(re.compile(f"^Details saved: .*{typed}"))).to_be_visible(timeout=PATIENCE_MS)
        expect(page.get_by_role("alert").filter(has_text="Fixation of 3 hours")).to_have_count(doubt)
        expect(tab).to_have_attribute("aria-selected", "true")
        expect(hours).to_have_value(typed)
        assert log.case(case.id).details.fixation_hours == float(typed)


def test_a_typed_day_that_does_not_exist_is_told_until_it_is_corrected(server: Server, page: Page) -> None:
    _sign_in(page, server)
    page.get_by_role("button", name="New case").click()
    day = page.locator(".st-key-new_received").get_by_role("spinbutton")
    elsewhere = page.get_by_role("textbox", name="Block")
    day.nth(0).click()
    page.keyboard.type("20260231")
    elsewhere.click()
    said = page.get_by_text("31 Feb 2026 does not exist: 28 Feb 2026 was taken.")
    expect(said).to_be_visible(timeout=PATIENCE_MS)
    elsewhere.fill("B2")
    elsewhere.press("Enter")
    expect(page.get_by_text("This draft is kept")).to_be_visible(timeout=PATIENCE_MS)
    expect(said).to_be_visible()
    day.nth(2).click()
    page.keyboard.type("27")
    elsewhere.click()
    expect(said).to_have_count(0, timeout=PATIENCE_MS)


def test_a_day_that_cannot_be_is_corrected_with_enter(server: Server, page: Page) -> None:
    _sign_in(page, server)
    page.get_by_role("button", name="New case").click()
    year = page.locator(".st-key-new_born").get_by_role("spinbutton").first
    said, save = page.get_by_text("is in the future"), page.get_by_role("button", name="Open case")
    for typed, times in (("21000203", 1), ("19610203", 0)):
        year.click()
        page.keyboard.type(typed)
        page.keyboard.press("Enter")
        expect(said).to_have_count(times, timeout=PATIENCE_MS)
        expect(save).to_be_enabled(enabled=not times, timeout=PATIENCE_MS)


@pytest.mark.parametrize("signed_out_at", ["Intake", "Worklist"])
def test_the_next_user_of_the_browser_finds_nothing_that_was_typed_and_not_saved(
    server: Server, page: Page, signed_out_at: str
) -> None:
    case = server.lab.open_case()
    opened = page.locator(f".st-key-open_{case.id} button")
    block = page.get_by_role("textbox", name="Block")
    worklist = page.get_by_role("link", name="Worklist")
    _sign_in(page, server)
    page.get_by_role("link", name="Intake").click()
    block.fill("D9")
    block.press("Enter")
    expect(page.get_by_text("This draft is kept")).to_be_visible(timeout=PATIENCE_MS)
    worklist.click()
    opened.click()
    page.get_by_role("tab", name="Case details").click()
    block.fill("B2")
    block.press("Enter")
    expect(page.get_by_text("Changed details not saved yet")).to_be_visible(timeout=PATIENCE_MS)
    page.get_by_role("link", name=signed_out_at).click()
    page.get_by_role("button", name="Miriam Berg").click()
    page.get_by_role("button", name="Sign out").click()
    page.get_by_label("User name").fill("okafor")
    page.get_by_label("Password", exact=True).fill(PASSWORDS["okafor"])
    page.get_by_role("button", name="Sign in", exact=True).click()
    expect(page.get_by_role("button", name="Samuel Okafor")).to_be_visible(timeout=PATIENCE_MS)
    page.get_by_role("link", name="Intake").click()
    expect(page.get_by_role("button", name="Open case")).to_be_visible(timeout=PATIENCE_MS)
    expect(block).to_have_value("")
    worklist.click()
    opened.click()
    page.get_by_role("tab", name="Case details").click()
    expect(block).to_have_value("A1")
    block.fill("A2")  # whatever the browser still holds comes with the next change
    block.press("Enter")
    expect(page.get_by_text("Not saved yet: block A1 → A2.")).to_be_visible(timeout=PATIENCE_MS)
    page.get_by_role("button", name="Discard").click()
    expect(block).to_have_value("A1")
    expect(page.get_by_text("not saved yet")).to_have_count(0)
