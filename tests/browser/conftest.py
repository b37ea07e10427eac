"""A real server with the models of this repository, on a free port and a data folder of its own, and a Chromium."""

from __future__ import annotations

import os
import subprocess
import sys
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path

import pytest
from playwright.sync_api import Browser, Page, sync_playwright

from tests.conftest import chromium
from tests.pages.lab import CA_PASSPHRASE, TestLaboratory
from tests.served import free_port, wait_until_up

ROOT = Path(__file__).resolve().parent.parent.parent
PATIENCE_MS = 180_000  # for one step; the machine may be busy with training


@dataclass
class Server:
    """Where the laboratory is served, and its data folder. It can be killed and started again on the same port."""

    lab: TestLaboratory
    port: int
    log_file: Path
    process: subprocess.Popen[bytes] | None = None

    @property
    def url(self) -> str:
        """The address of the application."""
        return f"http://127.0.0.1:{self.port}"

    def start(self) -> None:
        """Serve as `python -m her2core serve` does; returns once it answers."""
        environment = {name: value for name, value in os.environ.items() if not name.startswith("HER2CORE_")}
        environment |= {"HER2CORE_DATA": str(self.lab.data_dir), "HER2CORE_CA_PASSPHRASE": CA_PASSPHRASE}
        command = [sys.executable, "-m", "streamlit", "run", str(ROOT / "app.py"), "--server.port", str(self.port)]
        with self.log_file.open("ab") as log:
            self.process = subprocess.Popen(command, cwd=ROOT, env=environment, stdout=log, stderr=subprocess.STDOUT)
        wait_until_up(self.process, self.port)

    def kill(self) -> None:
        """As `kill -9` does: nothing is finished, nothing is closed."""
        assert self.process is not None
        self.process.kill()
        self.process.wait(30)

    def stop(self) -> None:
        """End the server in order."""
        if self.process is None or self.process.poll() is not None:
            return
        self.process.terminate()
        try:
            self.process.wait(30)
        except subprocess.TimeoutExpired:
            self.kill()


@pytest.fixture
def server(tmp_path: Path) -> Iterator[Server]:
    """The laboratory of tests/pages/lab.py, served as `python -m her2core serve` does."""
    served = Server(TestLaboratory.make(tmp_path / "data"), free_port(), tmp_path / "server.log")
    try:
        served.start()
        yield served
    finally:
        served.stop()
        served.lab.log.close()


@pytest.fixture
def browser() -> Iterator[Browser]:
    """Debian's Chromium, headless.

    For one test only: while Playwright is open, its event loop runs in this thread, and pyHanko's `asyncio.run` in
    every later test would fail.
    """
    path = chromium()
    assert path is not None, "no Chromium; tests/conftest.py skips browser tests then"
    with sync_playwright() as playwright:
        launched = playwright.chromium.launch(executable_path=path, args=["--no-sandbox"])
        yield launched
        launched.close()


@pytest.fixture
def page(browser: Browser) -> Iterator[Page]:
    """A page of the smallest screen that is supported."""
    opened = dark_page(browser)
    yield opened
    opened.context.close()


def dark_page(browser: Browser, width: int = 1366, height: int = 768) -> Page:
    """A page in a browser profile of its own; the dark theme is chosen already, so nothing reloads."""
    opened = browser.new_context(viewport={"width": width, "height": height}).new_page()
    opened.set_default_timeout(PATIENCE_MS)
    opened.add_init_script(
        "const key = `stActiveTheme-${location.pathname}-v2`;"
        'localStorage.setItem(key, JSON.stringify("Dark")); localStorage.setItem(`her2core-${key}`, "set");'
    )
    return opened
