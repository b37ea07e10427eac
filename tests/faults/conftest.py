"""A laboratory of the case log's tests, and disks of their own: small ones that fill up and can be made read-only."""

from __future__ import annotations

import os
import subprocess
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path

import pytest

from her2core.caselog import _database
from tests.disks import mounted
from tests.faults.worker import make_template
from tests.proof import record_property

__all__ = ["Disk", "disk", "record_property", "template"]


@dataclass
class Disk:
    """A file system in memory, mounted at `path`."""

    path: Path

    def read_only(self) -> None:
        """Lets nobody write any more, the superuser neither; files that are open already stay as they are."""
        mount = ["mount", "--bind", str(self.path), str(self.path)]
        subprocess.run(mount, check=True, capture_output=True)
        subprocess.run(["mount", "-o", "remount,bind,ro", str(self.path)], check=True, capture_output=True)

    def writable(self) -> None:
        """Takes `read_only` back."""
        subprocess.run(["umount", "-l", str(self.path)], check=True, capture_output=True)


@pytest.fixture
def disk(tmp_path: Path) -> Iterator[Disk]:
    """A disk of 64 MB. Skips where mounting is not allowed."""
    with mounted(tmp_path / "disk", "64m") as path:
        yield Disk(path)


@pytest.fixture(scope="session")
def template(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A laboratory with an analysed case and cases ready to be signed (`make_template`)."""
    folder = tmp_path_factory.mktemp("template") / "data"
    with pytest.MonkeyPatch.context() as quick:  # the template need not outlive a power failure
        quick.setattr(_database, "SYNCHRONOUS", "OFF")
        quick.setattr(os, "fsync", lambda descriptor: None)
        make_template(folder)
    return folder
