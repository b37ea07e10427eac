"""The whole data folder as one file, taken while people work; and back again, proved."""

from __future__ import annotations

import fcntl
import hashlib
import io
import json
import os
import re
import shutil
import sqlite3
import tarfile
import tempfile
from collections.abc import Iterator
from contextlib import closing, contextmanager, suppress
from dataclasses import dataclass
from datetime import datetime
from pathlib import Path
from typing import Any, BinaryIO

from her2core.caselog._codec import canonical, stamp
from her2core.caselog._database import Connections
from her2core.caselog._files import ContentStore
from her2core.caselog._integrity import file_sha256
from her2core.caselog.entries import Finding
from her2core.errors import CaseLogError, IntegrityError

__all__ = ["BackupSummary", "back_up", "place", "unpack"]

SCHEMA = "her2core.backup/1"
_DATABASE = "caselog.sqlite"
_MANIFEST = "manifest.json"
# What else of the data folder a laboratory cannot do without; the first three change while people work.
_CHANGING = ("settings.toml", "acceptance.toml", "keys")
_MODELS = "models"
# What a backup may hold. Those of 0.1 hold the keyring's lock too.
_ALLOWED = re.compile(
    r"caselog\.sqlite|(settings|acceptance)\.toml|images/[0-9a-f]{64}|reports/[0-9a-f]{64}\.pdf|keys/[\w.@+-]{1,128}"
    r"|models/[0-9a-f]{16}/(detector|counter)\.(json|safetensors)"
)
_LARGEST_MANIFEST = 256 * 1024 * 1024


@dataclass(frozen=True, slots=True)
class BackupSummary:
    """What a backup holds. `findings`: files that were damaged or missing already and are so in the backup too."""

    path: Path
    images: int
    reports: int
    size_bytes: int
    audit_head: str
    findings: tuple[Finding, ...]


def back_up(log: Connections, images: ContentStore, pdfs: ContentStore, dest: Path) -> BackupSummary:
    """Writes a backup to `dest` (a new file, or a folder in which a file is made).

    The database is copied by SQLite's own backup within one read transaction, so it is one moment of the log even
    while others write; keys and settings are copied beside it, the keys of the same moment as the accounts. Images and
    reports are on disk before their rows and are never removed, so all that the copy names is there. Raises
    CaseLogError where the file exists, the disk refuses, or a file turned into another one meanwhile.
    """
    at = log.now()
    target = dest / f"her2core-{at:%Y%m%dT%H%M%SZ}.tar" if dest.is_dir() else dest
    if target.exists():
        raise CaseLogError("There is a file of this name already; a backup overwrites nothing.")
    target.parent.mkdir(parents=True, exist_ok=True)
    with tempfile.TemporaryDirectory(dir=target.parent, prefix=".her2core-backup-") as folder:
        snapshot = Path(folder) / _DATABASE
        with _keys_at_rest(log.data_dir):
            log.copy_database(snapshot)
            changing = _copied(log.data_dir, Path(folder) / "beside")
        head, image_digests, report_digests = _contents(snapshot)
        part = Path(folder) / "backup.tar"
        members = [
            (_DATABASE, snapshot, file_sha256(snapshot)),
            *((f"images/{digest}", images.path(digest), digest) for digest in image_digests),
            *((f"reports/{digest}.pdf", pdfs.path(digest), digest) for digest in report_digests),
            *((name, copy, file_sha256(copy)) for name, copy in changing),
            *((name, file, file_sha256(file)) for name, file in _beside(log.data_dir, _MODELS)),
        ]
        findings = _write_tar(part, members, at, head)
        part.replace(target)
    descriptor = os.open(target.parent, os.O_RDONLY | os.O_DIRECTORY)
    try:
        os.fsync(descriptor)
    finally:
        os.close(descriptor)
    return BackupSummary(target, len(image_digests), len(report_digests), target.stat().st_size, head, tuple(findings))


def unpack(archive: Path, folder: Path) -> str:
    """Unpacks a backup into an empty folder and compares every file with the backup's list; the audit head it names.

    Only names that a backup can hold are written. Raises CaseLogError where the file is no backup, IntegrityError
    where a file in it is missing, surplus or damaged.
    """
    try:
        with tarfile.open(archive, "r:") as tar:
            first = tar.next()
            manifest = _manifest(tar, first)
            found: dict[str, str] = {}
            for member in tar:
                if member is first or member.name == _MANIFEST:
                    continue
                if not (member.isreg() and not member.issparse() and _ALLOWED.fullmatch(member.name)):
                    raise CaseLogError("This file holds what no backup of her2core holds; nothing was restored.")
                found[member.name] = _unpack_member(tar, member, folder)
    except (tarfile.TarError, EOFError) as error:
        raise CaseLogError("This is no backup of her2core, or its end is missing.") from error
    wanted = {entry["name"]: entry["sha256"] for entry in manifest["files"]}
    if found != wanted:
        wrong = sorted(name for name in wanted.keys() | found.keys() if wanted.get(name) != found.get(name))
        raise IntegrityError(f"The backup is damaged: {len(wrong)} of its files, first {wrong[0]}.")
    return str(manifest["audit_head"])


def place(folder: Path, data_dir: Path) -> None:
    """Moves what was unpacked into the data folder, the database last, so that it is there only when all is."""
    data_dir.mkdir(mode=0o700, parents=True, exist_ok=True)
    names = sorted(entry.name for entry in folder.iterdir())
    taken = [name for name in names if (data_dir / name).exists()]
    if taken:
        raise CaseLogError(
            "The data folder is not empty. Restore into a new folder, or move the old one away first; "
            "a restore overwrites nothing."
        )
    for name in sorted(names, key=lambda entry: entry == _DATABASE):
        shutil.move(folder / name, data_dir / name)


def _contents(snapshot: Path) -> tuple[str, list[str], list[str]]:
    with closing(sqlite3.connect(snapshot)) as conn:
        head = conn.execute("SELECT hash FROM audit ORDER BY id DESC LIMIT 1").fetchone()
        images = conn.execute("SELECT DISTINCT image_sha256 FROM regions ORDER BY 1").fetchall()
        signed = "SELECT sha256 FROM reports UNION SELECT sha256 FROM first_signatures ORDER BY 1"
        reports = conn.execute(signed).fetchall()
    return ("" if head is None else str(head[0])), [row[0] for row in images], [row[0] for row in reports]


@contextmanager
def _keys_at_rest(data_dir: Path) -> Iterator[None]:
    """Nobody issues, revokes or locks a key anew meanwhile: the keyring's own lock, where there are keys.

    Else a password could be the new one in the accounts and the old one for the key.
    """
    if not (data_dir / "keys").is_dir():
        yield
        return
    descriptor = os.open(data_dir / "keys" / ".lock", os.O_RDONLY | os.O_CREAT, 0o600)
    try:
        fcntl.flock(descriptor, fcntl.LOCK_SH)
        yield
    finally:
        os.close(descriptor)


def _copied(data_dir: Path, folder: Path) -> list[tuple[str, Path]]:
    """Names and copies of what changes while people work: what is hashed is then what is written."""
    copies: list[tuple[str, Path]] = []
    for part in _CHANGING:
        # Backwards, so that `KEY.p12.coming` comes before the `KEY.p12` that signing may turn it into just now.
        for name, file in sorted(_beside(data_dir, part), reverse=True):
            copy = folder / name
            copy.parent.mkdir(parents=True, exist_ok=True)
            with suppress(FileNotFoundError):
                shutil.copyfile(file, copy)
                copies.append((name, copy))
    return copies


def _beside(data_dir: Path, part: str) -> Iterator[tuple[str, Path]]:
    """Names and files of one part of the data folder, without locks and what is still being written."""
    path = data_dir / part
    for file in sorted(path.rglob("*")) if path.is_dir() else [path]:
        name = file.relative_to(data_dir).as_posix()
        hidden = file.name.startswith(".")
        if not hidden and file.is_file() and not file.is_symlink() and _ALLOWED.fullmatch(name):
            yield name, file


def _write_tar(part: Path, members: list[tuple[str, Path, str]], at: datetime, head: str) -> list[Finding]:
    findings: list[Finding] = []
    listed: list[dict[str, Any]] = []
    present: list[tuple[str, Path, str]] = []
    for name, path, digest in members:
        try:
            actual = file_sha256(path)
        except FileNotFoundError:
            findings.append(Finding(name, "is missing and therefore not in the backup"))
            continue
        if actual != digest:
            findings.append(Finding(name, "was damaged before the backup"))
        listed.append({"name": name, "sha256": actual, "size": path.stat().st_size})
        present.append((name, path, actual))
    manifest = canonical({"schema": SCHEMA, "made_at": stamp(at), "audit_head": head, "files": listed}).encode()
    descriptor = os.open(part, os.O_CREAT | os.O_EXCL | os.O_WRONLY, 0o600)
    with os.fdopen(descriptor, "wb") as file:
        with tarfile.open(fileobj=file, mode="w", format=tarfile.PAX_FORMAT) as tar:
            _add(tar, _MANIFEST, io.BytesIO(manifest), len(manifest), at)
            for name, path, digest in present:
                with path.open("rb") as opened:
                    source = _Hashed(opened)
                    _add(tar, name, source, path.stat().st_size, at)
                if source.hexdigest() != digest:
                    raise CaseLogError("A file changed while the backup was written. Take the backup again.")
        file.flush()
        os.fsync(file.fileno())
    return findings


class _Hashed:
    """A file that is hashed while it is read."""

    def __init__(self, file: BinaryIO) -> None:
        self._file = file
        self._hash = hashlib.sha256()

    def read(self, size: int = -1) -> bytes:
        data = self._file.read(size)
        self._hash.update(data)
        return data

    def hexdigest(self) -> str:
        return self._hash.hexdigest()


def _add(tar: tarfile.TarFile, name: str, source: Any, size: int, at: datetime) -> None:
    member = tarfile.TarInfo(name)
    member.size, member.mode, member.mtime = size, 0o600, at.timestamp()
    tar.addfile(member, source)


def _manifest(tar: tarfile.TarFile, member: tarfile.TarInfo | None) -> dict[str, Any]:
    no_backup = "This is no backup of her2core."
    if member is None or member.name != _MANIFEST or not member.isreg() or member.size > _LARGEST_MANIFEST:
        raise CaseLogError(no_backup)
    source = tar.extractfile(member)
    try:
        manifest = json.loads(source.read() if source is not None else b"")
        if manifest["schema"] != SCHEMA:
            raise CaseLogError("This backup was made by another version of her2core.")
        for entry in manifest["files"]:
            if not (isinstance(entry["name"], str) and isinstance(entry["sha256"], str)):
                raise CaseLogError(no_backup)
        if _DATABASE not in {entry["name"] for entry in manifest["files"]}:
            raise CaseLogError("This backup holds no case log.")
        manifest["audit_head"]
    except (ValueError, KeyError, TypeError, RecursionError) as error:
        raise CaseLogError(no_backup) from error
    return dict(manifest)


def _unpack_member(tar: tarfile.TarFile, member: tarfile.TarInfo, folder: Path) -> str:
    target = folder / member.name
    target.parent.mkdir(mode=0o700, parents=True, exist_ok=True)
    source = tar.extractfile(member)
    if source is None:
        raise CaseLogError("This is no backup of her2core.")
    descriptor = os.open(target, os.O_CREAT | os.O_EXCL | os.O_WRONLY, 0o600)
    with os.fdopen(descriptor, "wb") as file:
        shutil.copyfileobj(source, file, 1024 * 1024)
        file.flush()
        os.fsync(file.fileno())
    return file_sha256(target)
