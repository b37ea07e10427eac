"""A laboratory of drawn regions for each test."""

from __future__ import annotations

import os
from collections.abc import Iterator
from pathlib import Path

import pytest

from her2core.caselog import _database
from tests.pages.lab import TestLaboratory


@pytest.fixture(autouse=True)
def no_waiting_for_the_disk(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(_database, "SYNCHRONOUS", "OFF")
    monkeypatch.setattr(os, "fsync", lambda descriptor: None)


@pytest.fixture
def lab(tmp_path: Path) -> Iterator[TestLaboratory]:
    made = TestLaboratory.make(tmp_path / "data")
    yield made
    made.log.close()
