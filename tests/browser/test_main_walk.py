"""The main job in a real browser, with the real models: from sign-in to a signed report in the case log."""

from __future__ import annotations

import re
import shutil
import subprocess
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path

import pytest
from playwright.sync_api import Locator, Page, expect

from her2core import workflow
from her2core.records import CaseState, CorrectionKind
from her2core.reporting.verify import verify_report
from her2core.training.render import render_region
from tests.browser.conftest import PATIENCE_MS, Server
from tests.browser.review_page import acknowledge
from tests.pages.lab import PASSWORDS

pytestmark = [pytest.mark.browser, pytest.mark.timeout(1200)]

ACCESSION = "S26-4711"


def _sees(where: Page | Locator, text: str | re.Pattern[str]) -> None:
    expect(where.get_by_text(text).first).to_be_visible(timeout=PATIENCE_MS)


def _press(where: Page | Locator, name: str | re.Pattern[str]) -> None:
    button = where.get_by_role("button", name=name).first
    expect(button).to_be_enabled(timeout=PATIENCE_MS)
    button.click()


def _regions(folder: Path) -> list[Path]:
    """Two rendered regions of Group 1, as a microscope would have saved them."""
    paths = []
    for number in (1, 2):
        region = render_region((4711, number), 1, nucleus_px=(60, 100))
        path = folder / f"field-{number}{region.suffix}"
        path.write_bytes(region.data)
        paths.append(path)
    return paths


def test_a_case_from_sign_in_to_a_signed_report_in_the_case_log(server: Server, page: Page, tmp_path: Path) -> None:
    log = server.lab.log
    asked: list[str] = []
    page.context.on("request", lambda request: asked.append(request.url))
    page.goto(server.url)
    _sees(page, "Research use / decision support; not a cleared medical device")
    page.get_by_label("User name").fill("berg")
    page.get_by_label("Password", exact=True).fill(PASSWORDS["berg"])
    _press(page, "Sign in")
    _sees(page, "No open case.")

    # Intake: the case, its regions, the pathologist's judgement of both.
    _press(page, "New case")
    page.get_by_role("textbox", name="Accession number").fill(ACCESSION)
    page.get_by_role("textbox", name="Patient name").fill("Muster, Erika")
    page.get_by_role("textbox", name="Patient ID").fill("MRN-4711")
    page.get_by_role("textbox", name="Block").fill("A1")
    _choose(page, "new_controls", "as expected")
    _choose(page, "new_ihc", "3+")
    _choose(page, "new_same", "yes")
    _press(page, "Open case")
    _sees(page, "Add at least one region image.")
    case = log.case_by_accession(ACCESSION)
    page.locator("input[type=file]").set_input_files([str(path) for path in _regions(tmp_path)])
    flags = page.locator(".st-key-intake_flags")
    _sees(flags, "Flags of 2 regions")
    flags.get_by_text("suitable", exact=True).click()
    _sees(flags, "Still to say: signal intensity, overlap, clusters, heterogeneity.")
    for flag, answer in (("signal_intensity", "good"), ("overlap", "little"), ("clusters", "yes")):
        flags.locator(f"[class*=st-key-flag_{flag}]").get_by_text(answer, exact=True).click()
    _sees(flags, "Still to say: heterogeneity.")
    flags.locator("[class*=st-key-flag_heterogeneous]").get_by_text("no", exact=True).click()
    _sees(page, "2 regions are ready for analysis.")
    _sees(page, re.compile("good signals, little overlap, clusters"))
    assert [r.flags is not None and r.flags.clusters for r in log.regions(case.id)] == [True, True]

    # Review: the models run in the background, one count is corrected, the counts are confirmed.
    _press(page, "Go on to review")
    _press(page, "Analyse 2 regions")
    _sees(page, "HER2/CEP17 ratio")
    assert log.case(case.id).state is CaseState.ANALYSED
    before = _tally(page)
    review = workflow.assess(log, case.id)
    assert review.assessment is not None
    now = review.assessment.populations[0].tally
    assert before == (now.n, now.her2, now.cep17)
    scored = next(r for r in review.regions[0].nuclei if r.nucleus.scored)
    _go_to(page, scored.nucleus.id)
    counted = int(page.get_by_label("HER2", exact=True).input_value())
    page.get_by_label("HER2", exact=True).fill(str(counted + 3))
    page.get_by_label("HER2", exact=True).press("Enter")
    expect(page.locator(".h2c-res")).to_contain_text(
        f"{before[0]} · {before[1] + 3} · {before[2]}", timeout=PATIENCE_MS
    )
    (correction,) = log.corrections(review.regions[0].region.id)
    assert correction.kind is CorrectionKind.COUNTS
    assert correction.old["her2"] == counted
    assert correction.new["her2"] == counted + 3
    for point in workflow.assess(log, case.id).unsettled:  # where flags and findings disagree
        acknowledge(page, point)
    _press(page, "Counts reviewed")
    _press(page, re.compile("Work-up$"))

    # Work-up: everything that is open is dealt with, then the signature.
    page.get_by_role("radio", name="fits the histology").click()
    _acknowledge_all(page, server, case.id)
    _sees(page, "Nothing is open: the report can be signed.")
    assert log.case(case.id).state is CaseState.READY
    _press(page, "Sign report")
    dialog = page.get_by_role("dialog")
    _sees(dialog, workflow.MEANING)
    dialog.get_by_label("Password of Miriam Berg").fill(PASSWORDS["berg"])
    dialog.get_by_role("button", name="Sign", exact=True).dblclick()
    _sees(page, re.compile("Signature valid"))
    assert log.case(case.id).state is CaseState.SIGNED
    (report,) = log.reports(case.id)

    # The case log finds the report, shows it and verifies it; so do we, on the downloaded file.
    page.get_by_role("link", name="Case log").click()
    page.get_by_role("textbox", name="Accession, patient name or ID").fill("muster")
    page.get_by_role("textbox", name="Accession, patient name or ID").press("Enter")
    page.locator(f".st-key-details_{case.id} button").click()
    _press(page, "Verify")
    _sees(page, re.compile("intact report of this laboratory"))
    with page.expect_download(timeout=PATIENCE_MS) as download:
        page.get_by_role("button", name="Download").first.click()
    saved = tmp_path / "report.pdf"
    download.value.save_as(saved)
    pdf = saved.read_bytes()
    assert pdf == log.report_pdf(report.id)
    with (
        ThreadPoolExecutor() as another_thread
    ):  # Playwright keeps an event loop in this one, and pyHanko wants its own
        verdict = another_thread.submit(
            verify_report, pdf, server.lab.keyring.trust(), lambda sha256: log.report_by_sha256(sha256) is not None
        ).result()
    assert verdict.findings == ()
    assert verdict.signer == "Miriam Berg"
    assert report.summary["outcome"] == "positive"
    assert list(log.check()) == []
    if shutil.which("pdfsig"):
        told = subprocess.run(["pdfsig", str(saved)], capture_output=True, text=True, check=False).stdout
        assert "Signature is Valid" in told

    # Privacy: neither the server's log nor an address nor a file name says who the patient is.
    names = [download.value.suggested_filename, *(path.name for path in server.lab.data_dir.rglob("*"))]
    outside = "\n".join((server.log_file.read_text(encoding="utf-8"), *asked, *names, page.url))
    for secret in ("Muster", "muster", "Erika", "MRN-4711", ACCESSION, PASSWORDS["berg"]):
        assert secret not in outside, secret


def _choose(page: Page, key: str, option: str) -> None:
    """Choose from the select box with this key."""
    page.locator(f".st-key-{key} input").click()
    page.get_by_role("option", name=option, exact=True).click()


def _tally(page: Page) -> tuple[int, int, int]:
    """Nuclei, HER2 and CEP17 as the result card shows them now."""
    text = page.locator(".h2c-res td.now").last.inner_text()
    n, her2, cep17 = (int(part) for part in text.split("·"))
    return n, her2, cep17


def _go_to(page: Page, nucleus_id: int) -> None:
    """Step through the nuclei with the keyboard until this one is shown."""
    for _ in range(300):
        shown = page.get_by_text(re.compile(r"^Nr \d+$")).first
        expect(shown).to_be_visible(timeout=PATIENCE_MS)
        at = shown.inner_text()
        if at == f"Nr {nucleus_id}":
            return
        page.keyboard.press("ArrowRight")
        expect(page.get_by_text(re.compile(r"^Nr \d+$")).first).not_to_have_text(at, timeout=PATIENCE_MS)
    raise AssertionError(f"nucleus {nucleus_id} never came")


def _acknowledge_all(page: Page, server: Server, case_id: int) -> None:
    for warning in (w for w in workflow.assess(server.lab.log, case_id).warnings if not w.acknowledged):
        acknowledge(page, warning)
