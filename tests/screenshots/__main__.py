"""`make screenshots`: a picture of every page in both themes, of a throw-away demonstration laboratory.

    python -m tests.screenshots [--data FOLDER] [--only NAME ...] [--out FOLDER]

`--data` starts from a copy of a demonstration laboratory that is filled already, which spares the analysis. A picture
in the dark theme is called NAME.png, in the light one NAME-light.png. They are made small enough for a repository, and
those that would not fit are refused.
"""

from __future__ import annotations

import argparse
import io
import os
import shutil
import signal
import subprocess
import sys
import tempfile
from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path

from PIL import Image
from playwright.sync_api import Browser, Page, sync_playwright
from playwright.sync_api import Error as PlaywrightError

from her2core.caselog import CaseLog
from her2core.demo import ACCOUNTS, CA_PASSPHRASE
from tests.conftest import chromium
from tests.served import free_port, wait_until_up

ROOT = Path(__file__).resolve().parent.parent.parent
IMAGES = ROOT / "docs" / "images"
THEMES = {"Dark": "", "Light": "-light"}
SMALL, LARGE = (1366, 768), (1920, 1080)
LARGEST_BYTES = 400_000
_PATIENCE_MS = 240_000
_SETTLED_MS = 1_500  # after the last rerun: charts and canvases are drawn by then
_BUSY = '[data-testid="stStatusWidget"], [data-testid="stSpinner"], [data-testid="stSkeleton"], [data-stale="true"]'
_PASSWORDS = {account.username: account.password for account in ACCOUNTS}


@dataclass(frozen=True)
class Laboratory:
    """Where the demonstration is served, and the ids of its cases by accession number."""

    url: str
    cases: dict[str, int]


@dataclass(frozen=True)
class Shot:
    """One picture: who looks, what has to be done to get there, how large the window is."""

    name: str
    user: str | None
    go: Callable[[Page, Laboratory], None]
    size: tuple[int, int] = SMALL


# --- ways to the pages ------------------------------------------------------------------------------------------------


def _settle(page: Page, path: str = "") -> None:
    """Wait until the page of this path is there, no rerun is on its way, and what it drew has been drawn."""
    if path:
        page.wait_for_url(lambda url: url.rstrip("/").endswith(path))
    page.wait_for_timeout(400)
    idle = False
    while not idle:  # quiet for a while, since one rerun may follow another
        page.wait_for_function(f"() => !document.querySelector('{_BUSY}')")
        page.wait_for_timeout(_SETTLED_MS)
        idle = page.locator(_BUSY).count() == 0


def _menu(page: Page, title: str) -> None:
    link = page.get_by_role("link", name=title, exact=True).first
    address = link.get_attribute("href") or ""
    link.click()
    _settle(page, address.rstrip("/").rpartition("/")[2])


def _case(accession: str, title: str | None = None) -> Callable[[Page, Laboratory], None]:
    """Open a case from the worklist, then a page of it."""

    def go(page: Page, laboratory: Laboratory) -> None:
        case_id = laboratory.cases[accession]
        _menu(page, "Worklist")
        page.get_by_text("All open cases").click()
        _settle(page)
        page.locator(f".st-key-open_{case_id} button").click()
        page.locator(".h2c-strip").filter(has_text=accession).wait_for()
        _settle(page)
        if title is not None:
            _menu(page, title)

    return go


def _page(title: str) -> Callable[[Page, Laboratory], None]:
    return lambda page, _: _menu(page, title)


def _stay(page: Page, _: Laboratory) -> None:
    _settle(page)


def _new_case(page: Page, _: Laboratory) -> None:
    _menu(page, "Worklist")
    page.get_by_role("button", name="New case").click()
    _settle(page, "intake")


def _logged_case(accession: str, part: str | None = None) -> Callable[[Page, Laboratory], None]:
    """A signed case in the case log."""

    def go(page: Page, laboratory: Laboratory) -> None:
        _menu(page, "Case log")
        page.locator(f".st-key-details_{laboratory.cases[accession]} button").click()
        _settle(page)
        if part is not None:
            page.get_by_text(part, exact=True).click()
            _settle(page)

    return go


def _learning(page: Page, _: Laboratory) -> None:
    _menu(page, "Models")
    page.get_by_text("Learning", exact=True).click()
    _settle(page)


SHOTS = (
    Shot("sign-in", None, _stay),
    Shot("worklist", "berg", _stay),
    Shot("new-case", "berg", _new_case),
    Shot("intake", "berg", _case("DEMO-001", "Intake")),
    Shot("analyse", "berg", _case("DEMO-002", "Review")),
    Shot("review", "berg", _case("DEMO-003", "Review")),
    Shot("review-large", "berg", _case("DEMO-003", "Review"), LARGE),
    Shot("work-up", "berg", _case("DEMO-004", "Work-up and sign-out")),
    Shot("second-read", "okafor", _case("DEMO-005", "Second read")),
    Shot("sign-out", "berg", _case("DEMO-006", "Work-up and sign-out")),
    Shot("case-log", "berg", _page("Case log")),
    Shot("case", "berg", _logged_case("DEMO-007")),
    Shot("history", "lind", _logged_case("DEMO-009", "History")),
    Shot("laboratory", "lind", _page("Laboratory")),
    Shot("models", "lind", _page("Models")),
    Shot("learning", "lind", _learning),
    Shot("administration", "nair", _stay),
)


# --- the laboratory ---------------------------------------------------------------------------------------------------


@contextmanager
def _served(filled: Path | None) -> Iterator[Laboratory]:
    """A demonstration laboratory in a folder of its own, served until the pictures are taken."""
    with tempfile.TemporaryDirectory(prefix="her2core-screenshots-") as folder:
        data = Path(folder) / "data"
        if filled is not None:
            shutil.copytree(filled, data)
        environment = {name: value for name, value in os.environ.items() if not name.startswith("HER2CORE_")}
        environment |= {
            "HER2CORE_DATA": str(data),
            "HER2CORE_DEMO": "1",
            "HER2CORE_CA_PASSPHRASE": CA_PASSPHRASE,
        }
        subprocess.run([sys.executable, "-m", "her2core", "demo"], cwd=ROOT, env=environment, check=True)
        with CaseLog(data) as log:
            cases = {case.accession: case.id for case in log.look_up(limit=100)}
        port = free_port()
        command = [sys.executable, "-m", "streamlit", "run", "app.py", "--server.port", str(port)]
        with (Path(folder) / "server.log").open("wb") as log_file:
            process = subprocess.Popen(command, cwd=ROOT, env=environment, stdout=log_file, stderr=subprocess.STDOUT)
            try:
                wait_until_up(process, port)
                yield Laboratory(f"http://127.0.0.1:{port}", cases)
            finally:
                process.terminate()
                process.wait(30)


# --- the pictures -----------------------------------------------------------------------------------------------------


def _opened(browser: Browser, theme: str) -> Page:
    """A window in which the theme is chosen already and nothing moves."""
    page = browser.new_context(
        viewport={"width": SMALL[0], "height": SMALL[1]}, reduced_motion="reduce", locale="en-GB"
    ).new_page()
    page.set_default_timeout(_PATIENCE_MS)
    page.add_init_script(
        "const key = `stActiveTheme-${location.pathname}-v2`;"
        f'localStorage.setItem(key, JSON.stringify("{theme}")); localStorage.setItem(`her2core-${{key}}`, "set");'
    )
    return page


def _sign_in(page: Page, user: str) -> None:
    page.get_by_label("User name").fill(user)
    page.get_by_label("Password", exact=True).fill(_PASSWORDS[user])
    page.get_by_role("button", name="Sign in", exact=True).click()
    page.get_by_text("Sign in", exact=True).first.wait_for(state="hidden")
    _settle(page)


def _small(picture: bytes) -> bytes:
    """The picture with a palette, which screens of few colours survive well, and smaller where it has to be."""
    image = Image.open(io.BytesIO(picture)).convert("RGB")
    for part in (1.0, 0.8, 0.65, 0.5):
        size = (round(image.width * part), round(image.height * part))
        fitting = image if part == 1.0 else image.resize(size, Image.Resampling.LANCZOS)
        buffer = io.BytesIO()
        palette = fitting.quantize(256, method=Image.Quantize.MEDIANCUT, dither=Image.Dither.NONE)
        palette.save(buffer, "PNG", optimize=True)
        if buffer.tell() < LARGEST_BYTES:
            return buffer.getvalue()
    raise RuntimeError(f"a picture still has {buffer.tell()} bytes")


def take(laboratory: Laboratory, shots: Sequence[Shot], out: Path) -> list[str]:
    """Take the pictures; returns what went wrong, a line each."""
    path = chromium()
    if path is None:
        return ["No Chromium here: install it, or set CHROMIUM to its path."]
    problems: list[str] = []
    out.mkdir(parents=True, exist_ok=True)
    with sync_playwright() as playwright:
        browser = playwright.chromium.launch(executable_path=path, args=["--no-sandbox"])
        for theme, suffix in THEMES.items():
            for user in dict.fromkeys(shot.user for shot in shots):
                page = _opened(browser, theme)
                page.goto(laboratory.url)
                page.get_by_label("User name").wait_for()
                if user is not None:
                    _sign_in(page, user)
                for shot in (shot for shot in shots if shot.user == user):
                    problems += _taken(page, laboratory, shot, out / f"{shot.name}{suffix}.png")
                page.context.close()
        browser.close()
    return problems


def _taken(page: Page, laboratory: Laboratory, shot: Shot, file: Path) -> list[str]:
    """Take one picture; a page that fails must not keep the others back, and is kept as it looked."""
    try:
        page.set_viewport_size({"width": shot.size[0], "height": shot.size[1]})
        shot.go(page, laboratory)
        if page.get_by_test_id("stException").count():
            raise RuntimeError("the page shows an error instead of its content")
        file.write_bytes(_small(page.screenshot(animations="disabled")))
    except (PlaywrightError, RuntimeError) as error:
        file.with_stem(f"failed-{file.stem}").write_bytes(page.screenshot())
        said = f"{file.name}: {str(error).splitlines()[0]}"
        print(said, flush=True)
        return [said]
    print(file.name, flush=True)
    return []


def main() -> int:
    """Fill, serve, take the pictures; 1 where one of them could not be taken."""
    parser = argparse.ArgumentParser(description=__doc__.partition("\n")[0])
    parser.add_argument("--data", type=Path, help="a filled demonstration laboratory to copy")
    parser.add_argument("--only", nargs="+", choices=[shot.name for shot in SHOTS], help="these pictures only")
    parser.add_argument("--out", type=Path, default=IMAGES)
    chosen = parser.parse_args()
    signal.signal(signal.SIGTERM, lambda *_: sys.exit(1))  # so that the server ends with it
    shots = [shot for shot in SHOTS if chosen.only is None or shot.name in chosen.only]
    with _served(chosen.data) as laboratory:
        problems = take(laboratory, shots, chosen.out)
    return 1 if problems else 0


if __name__ == "__main__":
    sys.exit(main())
