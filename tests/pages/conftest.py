"""Each test gets a laboratory of its own, copied from one that is made once, and the settings point to it."""

from __future__ import annotations

import os
import shutil
from collections.abc import Iterator
from pathlib import Path

import pytest

from her2core.caselog import _database
from tests.pages.lab import CA_PASSPHRASE, TestLaboratory


@pytest.fixture(scope="session")
def template(tmp_path_factory: pytest.TempPathFactory) -> Path:
    folder = tmp_path_factory.mktemp("laboratory") / "data"
    TestLaboratory.make(folder).log.close()
    return folder


@pytest.fixture(autouse=True)
def no_waiting_for_the_disk(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(_database, "SYNCHRONOUS", "OFF")
    monkeypatch.setattr(os, "fsync", lambda descriptor: None)


@pytest.fixture
def lab(template: Path, data_dir: Path, monkeypatch: pytest.MonkeyPatch) -> Iterator[TestLaboratory]:
    shutil.copytree(template, data_dir)
    monkeypatch.setenv("HER2CORE_CA_PASSPHRASE", CA_PASSPHRASE)
    opened = TestLaboratory.reopen(data_dir)
    yield opened
    opened.log.close()
