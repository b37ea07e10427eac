"""Which images lie in a folder, and which of them are the same: every file with the SHA-256 of its bytes."""

from __future__ import annotations

import hashlib
import os
from collections.abc import Callable, Iterator, Mapping
from dataclasses import dataclass
from pathlib import Path

from her2core.errors import NotFoundError

__all__ = ["IMAGE_SUFFIXES", "Found", "take_stock"]

IMAGE_SUFFIXES = frozenset({".jpg", ".jpeg", ".jpe", ".jfif", ".png", ".tif", ".tiff", ".btf", ".tf8", ".tf2"})
_BLOCK = 1 << 20


@dataclass(frozen=True, slots=True)
class Found:
    """A file: its path below the source with `/`, size and time of its last change, SHA-256, or why it has none."""

    name: str
    size: int
    mtime_ns: int
    sha256: str | None
    error: str | None = None


def take_stock(
    source: Path, known: Mapping[str, Found] | None = None, progress: Callable[[int], None] | None = None
) -> Iterator[Found]:
    """Every image file below `source`, in the order of names; hidden files and folders are passed over.

    `known`: what an earlier run found, by name: a file of the same size and time is not read again. What can not be
    read is there with its error. Raises NotFoundError where `source` is no folder.
    """
    if not source.is_dir():
        raise NotFoundError(f"There is no folder {source}. Name the folder that holds the region images.")
    for number, path in enumerate(_images(source), start=1):
        yield _found(path, path.relative_to(source).as_posix(), known or {})
        if progress is not None:
            progress(number)


def _images(source: Path) -> Iterator[Path]:
    """One folder after the other, so that an archive of millions of files needs no list of them all."""
    for folder, folders, files in os.walk(source):
        folders[:] = sorted(name for name in folders if not name.startswith("."))
        for name in sorted(files):
            if not name.startswith(".") and Path(name).suffix.lower() in IMAGE_SUFFIXES:
                yield Path(folder) / name


def _found(path: Path, name: str, known: Mapping[str, Found]) -> Found:
    try:
        status = path.stat()
        earlier = known.get(name)
        if (
            earlier is not None
            and earlier.sha256
            and (earlier.size, earlier.mtime_ns)
            == (
                status.st_size,
                status.st_mtime_ns,
            )
        ):
            return earlier
        digest = hashlib.sha256()
        with path.open("rb") as file:
            while block := file.read(_BLOCK):
                digest.update(block)
        return Found(name, status.st_size, status.st_mtime_ns, digest.hexdigest())
    except OSError as error:
        return Found(name, 0, 0, None, f"The file cannot be read: {error.strerror or error}.")
