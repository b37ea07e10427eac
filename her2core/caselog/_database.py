"""Connections to the case log: one for each operation, set up alike, with SQLite's errors put into words."""

from __future__ import annotations

import errno
import os
import sqlite3
import threading
import weakref
from collections.abc import Callable, Iterator
from contextlib import closing, contextmanager
from datetime import UTC, datetime
from functools import cache
from pathlib import Path

from sqlite_utils import Database

from her2core.caselog._heads import Heads
from her2core.caselog._schema import MIGRATIONS
from her2core.errors import CaseLogError, IntegrityError

__all__ = ["Connections", "disk_trouble", "in_words", "utc_now"]

BUSY_SECONDS = 60.0
SYNCHRONOUS = "FULL"  # what was acknowledged outlives a power cut; tests that need no power cut turn it off
_WRITERS: dict[Path, threading.Lock] = {}
_WRITERS_GUARD = threading.Lock()


def utc_now() -> datetime:
    """The time of this computer, in UTC."""
    return datetime.now(UTC)


class Connections:
    """Opens the case log's database for one operation at a time; shared by all topics of the store.

    A sqlite3 connection belongs to its thread and Streamlit runs each page in another one, so none is kept.
    """

    def __init__(self, data_dir: Path, now: Callable[[], datetime] = utc_now) -> None:
        self.data_dir = data_dir
        self.path = data_dir / "caselog.sqlite"
        self.now = now
        self.heads = Heads(data_dir / "audit-heads.txt")
        with _WRITERS_GUARD:
            # SQLite's own waiting polls and is not fair; within a process a lock spares writers the polling.
            self._writer = _WRITERS.setdefault(self.path.absolute(), threading.Lock())
        self._release: Callable[[], object] | None = None

    @contextmanager
    def reading(self, *, lenient: bool = False) -> Iterator[Database]:
        """A connection that sees one state of the database throughout and refuses to write.

        `lenient` replaces bytes that are no UTF-8, for looking at a damaged file.
        """
        with in_words(self.path), self._connected() as db:
            if lenient:
                db.conn.text_factory = lambda raw: raw.decode("utf-8", "replace")
            db.execute("PRAGMA query_only = ON")
            db.execute("BEGIN")
            yield db
            db.rollback()

    @contextmanager
    def writing(self) -> Iterator[Database]:
        """A connection in a transaction that holds the only write lock; commits at the end, rolls back on an error."""
        with in_words(self.path), self._writer, self._connected() as db:
            db.execute("BEGIN IMMEDIATE")
            try:
                yield db
                db.commit()
                self.heads.follow(db)
            except BaseException:
                db.rollback()
                raise

    def prepare(self) -> None:
        """Makes the data folder and an empty database file, readable by their owner only, and switches to WAL."""
        with in_words(self.path):
            self.data_dir.mkdir(mode=0o700, parents=True, exist_ok=True)
            if not self.path.exists():
                # SQLite gives WAL and shared memory the same mode as the database.
                os.close(os.open(self.path, os.O_CREAT | os.O_WRONLY, 0o600))
            with self._connected() as db:
                db.execute("PRAGMA journal_mode = WAL").fetchone()

    def copy_database(self, target: Path) -> None:
        """Copies the database as it is at one moment into a new single file, while others go on writing."""
        with in_words(self.path), self._connected() as db, closing(sqlite3.connect(target)) as copy:
            db.conn.backup(copy)
            copy.execute("PRAGMA journal_mode = DELETE").fetchone()

    def hold(self) -> None:
        """Keeps one idle connection open. Without it each operation would be the last to close the database, which
        makes SQLite copy the whole WAL back every time and doubles the time of a write. It is never used otherwise.
        """
        if self._release is None:
            conn = sqlite3.connect(self.path, check_same_thread=False)
            conn.execute("SELECT count(*) FROM sqlite_master").fetchone()
            self._release = weakref.finalize(self, _close_in, os.getpid(), conn)

    def close(self) -> None:
        """Lets go of the database files; the next `open` takes them up again."""
        if self._release is not None:
            self._release()
            self._release = None

    def migrate(self, db: Database) -> list[str]:
        """Runs what is missing of the migrations within the open transaction; returns their names.

        Raises CaseLogError for a file of a newer her2core.
        """
        ours = _all_migrations()
        applied = {migration.name for migration in MIGRATIONS.applied(db)}
        if not applied <= set(ours):
            raise CaseLogError("This case log was written by a newer her2core; install that one to open it.")
        MIGRATIONS.apply(db)
        return [name for name in ours if name not in applied]

    @contextmanager
    def _connected(self) -> Iterator[Database]:
        uri = f"{self.path.absolute().as_uri()}?mode=rw"
        conn = sqlite3.connect(uri, uri=True, timeout=BUSY_SECONDS, cached_statements=64)
        try:
            conn.execute("PRAGMA foreign_keys = ON")
            conn.execute(f"PRAGMA synchronous = {SYNCHRONOUS}")
            conn.execute("PRAGMA trusted_schema = OFF")
            yield Database(conn, execute_plugins=False)
        finally:
            conn.close()


@cache
def _all_migrations() -> tuple[str, ...]:
    nothing = Database(memory=True)
    try:
        return tuple(migration.name for migration in MIGRATIONS.pending(nothing))
    finally:
        nothing.close()


def _close_in(pid: int, conn: sqlite3.Connection) -> None:
    if os.getpid() == pid:  # a forked child must leave its parent's connection alone
        conn.close()


@contextmanager
def in_words(path: Path) -> Iterator[None]:
    """Turns errors of SQLite and of the disk into CaseLogError with what to do; leaves constraints to the caller."""
    try:
        yield
    except sqlite3.IntegrityError as error:
        if str(error).startswith("her2core: "):
            raise CaseLogError(f"The case log refused this: {str(error).removeprefix('her2core: ')}.") from error
        raise CaseLogError("The case log refused this: it contradicts what is recorded already.") from error
    except sqlite3.OperationalError as error:
        raise CaseLogError(_operational(error, path)) from error
    except (sqlite3.DatabaseError, UnicodeDecodeError) as error:
        raise IntegrityError(
            "The case log's database is damaged. Stop work, keep the file as it is, and restore the last backup."
        ) from error
    except OSError as error:
        raise CaseLogError(disk_trouble(error)) from error


def _operational(error: sqlite3.OperationalError, path: Path) -> str:
    text = str(error)
    if "full" in text:
        return "The disk is full; nothing was recorded. Free some space and repeat the step."
    if "readonly" in text:
        return "The data folder cannot be written to; nothing was recorded. Ask an administrator to allow it."
    if "unable to open" in text:
        if not path.exists():
            return "There is no case log in the data folder yet; start her2core once to make it."
        return "The case log cannot be opened; ask an administrator to check the data folder and its permissions."
    if "locked" in text or "busy" in text:
        return "The case log is busy with something that takes very long; try again in a minute."
    if "disk I/O" in text:
        return "The disk reports an error; nothing was recorded. Ask an administrator to check it."
    return "The case log's database could not be used; run “python -m her2core check”."


def disk_trouble(error: OSError) -> str:
    """What to tell a user about a failed write of a file; names no file, for names may tell of a patient."""
    if error.errno in (errno.ENOSPC, errno.EDQUOT, errno.EFBIG):
        return "The disk is full; nothing was recorded. Free some space and repeat the step."
    if error.errno in (errno.EROFS, errno.EACCES, errno.EPERM):
        return "The data folder cannot be written to; nothing was recorded. Ask an administrator to allow it."
    return "A file of the data folder could not be read or written; ask an administrator to check the disk."
