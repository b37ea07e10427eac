"""Each test gets a laboratory of its own, copied from one that is made once: every commit waits for the disk."""

import os
import shutil
from collections.abc import Iterator
from pathlib import Path

import pytest

from her2core.caselog import _database
from tests.caselog.lab import Lab


@pytest.fixture(scope="session")
def templates(tmp_path_factory: pytest.TempPathFactory) -> Path:
    folder = tmp_path_factory.mktemp("laboratories")
    for name in ("empty", "full"):
        made = Lab.make(folder / name)
        if name == "full":
            made.fill()
        made.log.close()
    return folder


@pytest.fixture(autouse=True)
def no_waiting_for_the_disk(request: pytest.FixtureRequest, monkeypatch: pytest.MonkeyPatch) -> None:
    """Tests do not outlive a power cut; those marked by `durable` in their name do wait."""
    if "durable" not in request.node.name:
        monkeypatch.setattr(_database, "SYNCHRONOUS", "OFF")
        monkeypatch.setattr(os, "fsync", lambda descriptor: None)


def _copied(template: Path, tmp_path: Path) -> Iterator[Lab]:
    shutil.copytree(template, tmp_path / "data")
    opened = Lab.reopen(tmp_path / "data")
    yield opened
    opened.log.close()


@pytest.fixture
def lab(templates: Path, tmp_path: Path) -> Iterator[Lab]:
    """Two pathologists, a lab manager and an administrator, no case."""
    yield from _copied(templates / "empty", tmp_path)


@pytest.fixture
def full(templates: Path, tmp_path: Path) -> Iterator[Lab]:
    """The same people with at least one row in each table (`Lab.fill`)."""
    yield from _copied(templates / "full", tmp_path)
