"""Files kept under the SHA-256 of their content: images and signed reports."""

from __future__ import annotations

import contextlib
import os
import secrets
import time
from pathlib import Path

from her2core.caselog._codec import sha256
from her2core.errors import IntegrityError

__all__ = ["ContentStore", "write_durably"]

_PART = ".part"
_ABANDONED_SECONDS = 24 * 3600


class ContentStore:
    """A folder of files named by their SHA-256. Names tell nothing of the patient; nothing is ever overwritten.

    `what` names the kind in messages ("image", "report").
    """

    def __init__(self, folder: Path, suffix: str, what: str) -> None:
        self.folder = folder
        self.suffix = suffix
        self.what = what

    def path(self, digest: str) -> Path:
        """Where the content with this SHA-256 is kept. Raises ValueError for anything but a SHA-256."""
        if len(digest) != 64 or not set(digest) <= set("0123456789abcdef"):
            raise ValueError("not a SHA-256 in lower-case hexadecimal")
        return self.folder / f"{digest}{self.suffix}"

    def put(self, data: bytes) -> str:
        """Keeps the bytes, durably before it returns; their SHA-256. A damaged copy is replaced by this sound one."""
        digest = sha256(data)
        path = self.path(digest)
        if not (path.exists() and sha256(path.read_bytes()) == digest):
            write_durably(path, data)
        return digest

    def get(self, digest: str) -> bytes:
        """The bytes. Raises IntegrityError where they are gone or are no longer those that were kept."""
        path = self.path(digest)
        try:
            data = path.read_bytes()
        except FileNotFoundError as error:
            raise IntegrityError(f"The file of this {self.what} is missing. Restore it from a backup.") from error
        if sha256(data) != digest:
            raise IntegrityError(f"The file of this {self.what} was changed or damaged. Restore it from a backup.")
        return data

    def sweep(self) -> None:
        """Removes what a killed write left behind a day ago or longer; younger parts may still be written."""
        if not self.folder.is_dir():
            return
        for part in self.folder.glob(f"*{_PART}"):
            with contextlib.suppress(OSError):
                if time.time() - part.stat().st_mtime > _ABANDONED_SECONDS:
                    part.unlink()


def write_durably(path: Path, data: bytes) -> None:
    """Writes a file so that after a crash there is either all of it or nothing: temporary name, fsync, rename, fsync.

    Readable by the owner only.
    """
    path.parent.mkdir(mode=0o700, parents=True, exist_ok=True)
    part = path.with_name(f"{path.name}.{secrets.token_hex(8)}{_PART}")
    descriptor = os.open(part, os.O_CREAT | os.O_EXCL | os.O_WRONLY, 0o600)
    try:
        with os.fdopen(descriptor, "wb") as file:
            file.write(data)
            file.flush()
            os.fsync(file.fileno())
        part.replace(path)
    except BaseException:
        part.unlink(missing_ok=True)
        raise
    folder = os.open(path.parent, os.O_RDONLY | os.O_DIRECTORY)
    try:
        os.fsync(folder)
    finally:
        os.close(folder)
