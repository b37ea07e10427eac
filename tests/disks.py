"""Disks of their own for tests: small ones that fill up."""

from __future__ import annotations

import subprocess
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

import pytest


@contextmanager
def mounted(path: Path, size: str) -> Iterator[Path]:
    """A file system in memory at `path`, of `size` as mount says it ("2m"). Skips where mounting is not allowed."""
    path.mkdir()
    try:
        made = subprocess.run(["mount", "-t", "tmpfs", "-o", f"size={size}", "tmpfs", str(path)], capture_output=True)
    except OSError:
        pytest.skip("there is no mount here")
    if made.returncode:
        pytest.skip("mounting a small disk needs the superuser")
    yield path
    subprocess.run(["umount", "-l", str(path)], check=True)
