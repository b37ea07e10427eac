"""A real field of tissue from upload to signature, with the models of this repository.

The image may be looked at and tested with, not copied into this repository: without ../shared the test is skipped.
"""

from __future__ import annotations

import re

import pytest
from playwright.sync_api import Page, expect

from her2core import workflow
from her2core.records import IHC, CaseState
from tests.browser.conftest import PATIENCE_MS, ROOT, Server
from tests.browser.review_page import ReviewPage, acknowledge
from tests.pages.lab import PASSWORDS

IMAGE = ROOT.parent / "shared" / "data" / "real" / "her2-fish-tissue" / "images" / "FISH5.jpg"

pytestmark = [
    pytest.mark.browser,
    pytest.mark.long,
    pytest.mark.timeout(1200),
    pytest.mark.skipif(not IMAGE.exists(), reason=f"the real image is not here: {IMAGE}"),
]


def test_a_real_image_is_analysed_reviewed_and_signed(server: Server, page: Page) -> None:
    lab = server.lab
    case = lab.open_case(ihc=IHC.THREE_PLUS, ihc_same_sample=True)
    page.goto(server.url)
    page.get_by_label("User name").fill("berg")
    page.get_by_label("Password", exact=True).fill(PASSWORDS["berg"])
    page.get_by_role("button", name="Sign in", exact=True).click()
    page.locator(f".st-key-open_{case.id} button").click(timeout=PATIENCE_MS)
    page.locator("input[type=file]").set_input_files(str(IMAGE))
    flags = page.locator(".st-key-intake_flags")
    expect(flags).to_contain_text("Flags of FISH5.jpg", timeout=PATIENCE_MS)
    expect(flags).to_contain_text("reduced resolution")  # of its colours: the advice of the file's own measures
    flags.get_by_text("suitable", exact=True).click()
    flags.get_by_role("button", name="Good signals").click(timeout=PATIENCE_MS)
    expect(page.get_by_text("1 region is ready for analysis.")).to_be_visible(timeout=PATIENCE_MS)
    page.get_by_role("button", name="Go on to review").click()
    page.get_by_role("button", name="Analyse 1 region").click(timeout=PATIENCE_MS)

    at = ReviewPage(page, lab, case).ready()
    n, her2, cep17 = at.tally()
    assert n >= 20  # about 90 nuclei are outlined by hand, and the outlining is incomplete
    review = workflow.assess(lab.log, case.id)
    chosen = next(r.nucleus for r in review.regions[0].nuclei if r.nucleus.scored)
    at.choose(chosen.id)
    at.set_counts((chosen.her2 or 0) + 1, chosen.cep17 or 0)
    at.expect_tally(n, her2 + 1, cep17)
    while points := workflow.assess(lab.log, case.id).unsettled:
        acknowledge(page, points[0])
    page.get_by_role("button", name="Counts reviewed").click(timeout=PATIENCE_MS)
    page.get_by_role("button", name="Work-up").last.click(timeout=PATIENCE_MS)

    # Whatever the group, IHC 3+ of the same sample decides: nothing is left but to look, to say so, and to sign.
    expect(page.locator(".st-key-work_up")).to_be_visible(timeout=PATIENCE_MS)
    for warning in (w for w in workflow.assess(lab.log, case.id).warnings if not w.acknowledged):
        acknowledge(page, warning)
    page.get_by_role("radio", name="fits the histology").click()
    sign = page.get_by_role("button", name="Sign report")
    expect(sign).to_be_enabled(timeout=PATIENCE_MS)
    sign.click()
    dialog = page.get_by_role("dialog")
    dialog.get_by_label("Password of Miriam Berg").fill(PASSWORDS["berg"])
    dialog.get_by_role("button", name="Sign", exact=True).click()
    expect(page.get_by_text(re.compile("Signature valid")).first).to_be_visible(timeout=PATIENCE_MS)
    assert lab.log.case(case.id).state is CaseState.SIGNED
    assert list(lab.log.check()) == []
