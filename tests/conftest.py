"""What all tests share: no setting of the machine reaches them, and browser tests are skipped where no browser is."""

from __future__ import annotations

import os
import shutil
import sys
import tempfile
from collections.abc import Iterator
from pathlib import Path

import pytest

# A page's thread can outlive its test by a moment; what it opens then must not lie in the working folder.
os.environ["HER2CORE_DATA"] = tempfile.mkdtemp(prefix="her2core-tests-")

CHROMIUM_NAMES = ("chromium", "chromium-browser", "google-chrome")


def chromium() -> str | None:
    """Path of the Chromium that browser tests drive: $CHROMIUM, or the first one installed; None without any."""
    return os.environ.get("CHROMIUM") or next((path for name in CHROMIUM_NAMES if (path := shutil.which(name))), None)


def pytest_collection_modifyitems(items: list[pytest.Item]) -> None:
    if chromium() is not None:
        return
    skip = pytest.mark.skip(reason="no Chromium here: install it, or set CHROMIUM to its path")
    for item in items:
        if item.get_closest_marker("browser") is not None:
            item.add_marker(skip)


@pytest.fixture(autouse=True)
def _no_settings_from_outside(monkeypatch: pytest.MonkeyPatch) -> None:
    for name in list(os.environ):
        if name.startswith("HER2CORE_"):
            monkeypatch.delenv(name)


@pytest.fixture(autouse=True)
def _main_module_stays() -> Iterator[None]:
    """AppTest puts the page in the place of `__main__`; a process that a later test spawns would run it."""
    main = sys.modules["__main__"]
    yield
    sys.modules["__main__"] = main


@pytest.fixture
def data_dir(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """An empty data folder that the settings point to; it is made on first use."""
    folder = tmp_path / "data"
    monkeypatch.setenv("HER2CORE_DATA", str(folder))
    return folder
