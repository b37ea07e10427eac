"""Imports are set aside from the collector once, and garbage still goes."""

from __future__ import annotations

import gc
import sys
import weakref
from collections.abc import Iterator
from types import ModuleType

import pytest

from her2core.ui.collecting import spare_imports


class Node:
    """Something that can hold itself."""

    def __init__(self) -> None:
        self.other = self


@pytest.fixture(autouse=True)
def _as_before() -> Iterator[None]:
    yield
    gc.unfreeze()


def test_what_was_imported_is_set_aside_once(monkeypatch: pytest.MonkeyPatch) -> None:
    spare_imports()
    assert gc.get_freeze_count() > 1000
    assert not spare_imports()
    monkeypatch.setitem(sys.modules, "her2core_tests_new", ModuleType("her2core_tests_new"))
    assert spare_imports()
    assert not spare_imports()


def test_garbage_is_neither_set_aside_nor_kept_afterwards(monkeypatch: pytest.MonkeyPatch) -> None:
    spare_imports()
    before = weakref.ref(Node())
    assert before() is not None
    monkeypatch.setitem(sys.modules, "her2core_tests_other", ModuleType("her2core_tests_other"))
    assert spare_imports()
    assert before() is None
    after = weakref.ref(Node())
    gc.collect()
    assert after() is None
