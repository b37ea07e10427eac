"""Hostile text in every field and file name, on pages in a real browser: nothing of it runs."""

from __future__ import annotations

import pytest
from playwright.sync_api import Dialog, Page, expect

from her2core import workflow
from her2core.imaging import DEFAULT_LIMITS
from her2core.records import Role
from her2core.ui.frame import PAGES
from tests.attacks.test_texts import SCRIPTS, with_everywhere
from tests.browser.conftest import PATIENCE_MS, Server, browser, page, server
from tests.pages.lab import PASSWORDS, POSITIVE, draw_region
from tests.proof import Proof, Record

__all__ = ["browser", "page", "server"]

# What a page would hold if a text had become part of it: a handler, an address that is a script, a script, the image.
_LIVE = """() => [...document.querySelectorAll("*")].filter((e) =>
    [...e.attributes].some((a) => /^on/i.test(a.name) || /^\\s*javascript:/i.test(a.value)) ||
    (e.tagName === "SCRIPT" && e.textContent.includes("alert(1)")) ||
    (e.tagName === "IMG" && e.getAttribute("src") === "x")).map((e) => e.outerHTML.slice(0, 200))"""


@pytest.mark.long
@pytest.mark.browser
@pytest.mark.timeout(1800)
def test_no_text_of_a_case_runs_in_a_browser(record_property: Record, server: Server, page: Page) -> None:
    proof = Proof(record_property, "Attacks", "Script in every text field and file name, each page opened in Chromium")
    lab = server.lab
    asked: list[str] = []

    def note(dialog: Dialog) -> None:
        asked.append(dialog.message)
        dialog.dismiss()

    page.on("dialog", note)
    by = lab.person("berg")
    cases = [lab.log.create_case(with_everywhere(text, number), by) for number, text in enumerate(SCRIPTS)]
    for number, (text, case) in enumerate(zip(SCRIPTS, cases, strict=True)):
        image = draw_region(POSITIVE, 100 + number)
        region, _ = workflow.add_region(lab.log, case.id, image, f"{text}.png", by, DEFAULT_LIMITS)
        lab.analyse(region)
    page.goto(server.url)
    page.get_by_label("User name").fill("berg")
    page.get_by_label("Password", exact=True).fill(PASSWORDS["berg"])
    page.get_by_role("button", name="Sign in", exact=True).click()
    expect(page.get_by_text(SCRIPTS[0]).first).to_be_visible(timeout=PATIENCE_MS)
    worklist, *others = [title for _, title, _ in PAGES[Role.PATHOLOGIST]]
    for case in cases:
        page.get_by_role("link", name=worklist).first.click()
        page.locator(f".st-key-open_{case.id} button").click()
        for title in (worklist, *others):
            page.get_by_role("link", name=title).first.click()
            page.wait_for_timeout(2500)
            assert page.evaluate(_LIVE) == [], title
            proof.tries += 1
    assert asked == []
    proof.holds("no element, address or dialog came of it: each is shown as the text that it is")
