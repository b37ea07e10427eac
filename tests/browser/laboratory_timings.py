"""`python -m tests.browser.laboratory_timings DATA OUT.md`: how long a lab manager waits with very many cases.

DATA is a folder that `python -m her2core seed` made. Each step is taken several times in Chromium, from the click until
its content is there and Streamlit is at rest; the table has the median and the slowest.
"""

from __future__ import annotations

import argparse
import contextlib
import os
import subprocess
import sys
import time
from collections.abc import Callable
from functools import partial
from pathlib import Path
from statistics import median

from playwright.sync_api import Page, sync_playwright
from playwright.sync_api import TimeoutError as PlaywrightTimeout

from her2core.caselog import CaseLog
from her2core.demo import ACCOUNTS
from tests.conftest import chromium
from tests.served import free_port, wait_until_up

ROOT = Path(__file__).resolve().parents[2]
LIMIT_S = 2.0
_BEGUN_MS = 300
_MANAGER = next(account for account in ACCOUNTS if account.username == "lind")
_STATE = "document.querySelector('[data-testid=stApp]').dataset.testScriptState"
_AT_REST = f"{_STATE} === 'notRunning'"


_OPEN = '[class*="st-key-details_"] button'


def _sign_in(page: Page, url: str) -> None:
    page.goto(url)
    page.get_by_label("User name").fill(_MANAGER.username)
    page.get_by_role("textbox", name="Password").fill(_MANAGER.password)
    page.get_by_role("button", name="Sign in", exact=True).click()
    page.get_by_role("link", name="Case log").wait_for()


def _timed(page: Page, act: Callable[[], object], there: str) -> float:
    """Seconds from the act until the text or element `there` is shown and the page is at rest."""
    started = time.perf_counter()
    act()
    with contextlib.suppress(PlaywrightTimeout):  # a run may begin and end between two looks
        page.wait_for_function(f"{_STATE} !== 'notRunning'", timeout=_BEGUN_MS)
    page.locator(there).first.wait_for()
    page.wait_for_function(_AT_REST)
    return time.perf_counter() - started


def _choose(page: Page, name: str) -> None:
    page.get_by_role("radio", name=name, exact=True).or_(
        page.get_by_role("button", name=name, exact=True)
    ).first.click()


def measure(page: Page, url: str, rounds: int) -> dict[str, list[float]]:
    """Seconds of every step, by what is done."""
    found: dict[str, list[float]] = {}

    def note(what: str, seconds: float) -> None:
        found.setdefault(what, []).append(seconds)

    _sign_in(page, url)
    search = page.get_by_label("Accession, patient name or ID")
    for turn in range(rounds):
        note("Open the case log", _timed(page, page.get_by_role("link", name="Case log").click, "text=/1 to 12 shown/"))
        note(
            "Next page of the list",
            _timed(page, page.get_by_role("button", name="Next").click, "text=/13 to 24 shown/"),
        )

        def look_for(text: str) -> None:
            search.fill(text)
            search.press("Enter")

        wanted = f"INV-00012{turn}"
        note("Find by patient ID", _timed(page, partial(look_for, wanted), f"text=/{wanted}/"))

        opened = _timed(page, page.locator(_OPEN).first.click, "text=/All cases/")
        note("Open a case", opened)
        note("All cases again", _timed(page, page.get_by_role("button", name="All cases").click, f"text=/{wanted}/"))
        note("Take the search back", _timed(page, partial(look_for, ""), "text=/1 to 12 shown/"))
        laboratory = page.get_by_role("link", name="Laboratory").click
        note("Open the laboratory page", _timed(page, laboratory, ".js-plotly-plot"))
        for name in ("Results", "AI and final", "Images and lots", "Observers", "Flow"):
            note(f"Laboratory: {name}", _timed(page, partial(_choose, page, name), ".js-plotly-plot"))
    return found


def _page(found: dict[str, list[float]], cases: int, rounds: int, note: str) -> str:
    rows = [f"| {what} | {median(s):.2f} | {max(s):.2f} |" for what, s in found.items()]
    slow = [what for what, s in found.items() if median(s) >= LIMIT_S]
    verdict = (
        f"At or above {LIMIT_S:.0f} s: {', '.join(slow)}."
        if slow
        else f"The median of every step is below {LIMIT_S:.0f} s."
    )
    return "\n".join(
        (
            f"# A lab manager's pages with {cases} cases",
            "",
            f"Made by `python -m tests.browser.laboratory_timings`: {rounds} rounds in Chromium, from the click until",
            f"the content is there and Streamlit is at rest. {os.cpu_count()} cores, load {os.getloadavg()[0]:.1f}.",
            *((note,) if note else ()),
            "",
            "| Step | Median, s | Slowest, s |",
            "| --- | --: | --: |",
            *rows,
            "",
            verdict,
            "",
        )
    )


def main() -> None:
    """Serve, measure, write."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("data", type=Path)
    parser.add_argument("out", type=Path)
    parser.add_argument("--rounds", type=int, default=5)
    parser.add_argument("--note", default="", help="what is to be known of DATA")
    options = parser.parse_args()
    with CaseLog(options.data) as log:
        cases = len(log.look_up_ids())
    port = free_port()
    environment = os.environ | {"HER2CORE_DATA": str(options.data), "HER2CORE_DEMO": "1"}
    command = [sys.executable, "-m", "streamlit", "run", str(ROOT / "app.py"), "--server.port", str(port)]
    server = subprocess.Popen(command, cwd=ROOT, env=environment, stdout=subprocess.DEVNULL, stderr=subprocess.DEVNULL)
    try:
        wait_until_up(server, port)
        with sync_playwright() as play:
            browser = play.chromium.launch(executable_path=chromium(), args=["--no-sandbox"])
            page = browser.new_context(viewport={"width": 1366, "height": 768}).new_page()
            page.set_default_timeout(120_000)
            found = measure(page, f"http://127.0.0.1:{port}/", options.rounds)
            browser.close()
    finally:
        server.terminate()
        server.wait(30)
    options.out.write_text(_page(found, cases, options.rounds, options.note), encoding="utf-8")


if __name__ == "__main__":
    main()
