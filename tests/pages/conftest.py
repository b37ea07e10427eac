"""Each test gets a laboratory of its own, copied from one that is made once, and the settings point to it."""

from __future__ import annotations

import os
import shutil
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from streamlit.runtime.pages_manager import PagesManager

from her2core.caselog import _database
from her2core.records import Box, Nucleus
from tests.pages.lab import CA_PASSPHRASE, StandIn, TestLaboratory, count_drawn, read_drawing


@pytest.fixture(scope="session")
def template(tmp_path_factory: pytest.TempPathFactory) -> Path:
    folder = tmp_path_factory.mktemp("laboratory") / "data"
    TestLaboratory.make(folder).log.close()
    return folder


@pytest.fixture(autouse=True)
def no_waiting_for_the_disk(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(_database, "SYNCHRONOUS", "OFF")
    monkeypatch.setattr(os, "fsync", lambda descriptor: None)


@pytest.fixture(autouse=True)
def navigation_ran_before(monkeypatch: pytest.MonkeyPatch) -> None:
    """As on a server where app.py has run once: a run begins with app.py.

    Otherwise AppTest takes each run for the first one of the server and, as there is a folder pages/, runs a page file
    by itself, which is what test_guards.py is about.
    """
    made = PagesManager.__init__

    def begin(self: PagesManager, *args: Any, **kwargs: Any) -> None:
        PagesManager.uses_pages_directory = False
        made(self, *args, **kwargs)

    monkeypatch.setattr(PagesManager, "__init__", begin)


@pytest.fixture
def lab(template: Path, data_dir: Path, monkeypatch: pytest.MonkeyPatch) -> Iterator[TestLaboratory]:
    shutil.copytree(template, data_dir)
    monkeypatch.setenv("HER2CORE_CA_PASSPHRASE", CA_PASSPHRASE)
    opened = TestLaboratory.reopen(data_dir)
    yield opened
    opened.log.close()


@pytest.fixture
def stand_in_models(monkeypatch: pytest.MonkeyPatch) -> None:
    """The pages analyse drawn regions with what reads drawings (see lab.py)."""

    def count_box(pixels: np.ndarray, box: Box, nucleus_id: int, models: Any, **_: Any) -> Nucleus:
        return count_drawn(pixels, box, nucleus_id)

    monkeypatch.setattr("her2core.pipeline.load_models", lambda *_: StandIn())
    monkeypatch.setattr("her2core.pipeline.analyse", read_drawing)
    monkeypatch.setattr("her2core.pipeline.count_box", count_box)
