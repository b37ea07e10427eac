"""Analyses that wait, run or ran, as durable records: `jobs.sqlite` in the data folder.

Several processes may add jobs and take them up. A worker proves that it lives by a lock on a file of its own, which the
system lets go of the moment the process ends, however it ends: so a dead worker's job can be taken up at once, and that
of one that is merely slow never is. The results themselves are in the case log; what is lost with this file is the
waiting.
"""

from __future__ import annotations

import fcntl
import json
import os
import sqlite3
import threading
import time
import uuid
from collections.abc import Callable, Iterator, Mapping, Sequence
from contextlib import contextmanager, suppress
from dataclasses import dataclass
from enum import StrEnum
from pathlib import Path
from typing import Any, Final

from her2core.caselog.beside import in_words
from her2core.errors import CancelledError, CaseLogError, IntegrityError

__all__ = ["MAX_ATTEMPTS", "JobRecord", "JobState", "JobStore", "RegionFailure", "WorkerMark"]

MAX_ATTEMPTS: Final = 3
"""A job whose worker died so often is not given to another."""

_KEEP_S: Final = 30 * 86_400
_WAIT_S: Final = 30.0
_OLD_MARK_S: Final = 3600.0
_ENDED_TOO_OFTEN: Final = (
    "The analysis ended its process several times. The region may need more memory than there is: export a smaller "
    "one, or tell the administrator."
)

_DAMAGED: Final = (
    "The queue of analyses is damaged. No case is harmed: ask the administrator to stop her2core, delete the files "
    "jobs.sqlite* in the data folder, and start it again."
)

_SCHEMA: Final = """
CREATE TABLE IF NOT EXISTS job (
    id INTEGER PRIMARY KEY,
    case_id INTEGER NOT NULL,
    user_id INTEGER NOT NULL,
    region_ids TEXT NOT NULL,
    analyses_before TEXT NOT NULL,
    supersede INTEGER NOT NULL,  -- always 0 and read by nobody: queues made before have the column
    state TEXT NOT NULL CHECK (state IN ('waiting', 'running', 'done', 'failed', 'cancelled')),
    stage TEXT NOT NULL,
    fraction REAL NOT NULL,
    finished TEXT NOT NULL DEFAULT '[]',
    failures TEXT NOT NULL DEFAULT '[]',
    stop INTEGER NOT NULL DEFAULT 0,
    attempts INTEGER NOT NULL DEFAULT 0,
    worker TEXT,
    submitted_at REAL NOT NULL,
    started_at REAL,
    ended_at REAL
) STRICT;
CREATE UNIQUE INDEX IF NOT EXISTS one_active_job_a_case ON job (case_id) WHERE state IN ('waiting', 'running');
CREATE INDEX IF NOT EXISTS latest_job_of_a_user ON job (user_id, started_at);
CREATE INDEX IF NOT EXISTS latest_job_of_a_case ON job (case_id, id);
CREATE INDEX IF NOT EXISTS jobs_in_a_state ON job (state);
"""
# People take turns: whoever was served longest ago is next, and of one person's jobs the first, so that a long list of
# one holds up nobody else. As nobody is served twice in a round, the whole order follows from who was served when.
_IN_TURN: Final = """
WITH waiting AS (
    SELECT id, user_id, row_number() OVER (PARTITION BY user_id ORDER BY id) AS round,
        min(id) OVER (PARTITION BY user_id) AS first_id
    FROM job WHERE state = 'waiting'
), served AS (
    SELECT user_id, max(started_at) AS last FROM job WHERE user_id IN (SELECT user_id FROM waiting) GROUP BY user_id
)
SELECT waiting.id FROM waiting JOIN served USING (user_id) ORDER BY round, coalesce(served.last, 0), first_id
"""


class JobState(StrEnum):
    """Where an analysis stands."""

    WAITING = "waiting"
    RUNNING = "running"
    DONE = "done"
    FAILED = "failed"
    CANCELLED = "cancelled"


@dataclass(frozen=True, slots=True)
class RegionFailure:
    """A region that could not be analysed, and why, in words for the pathologist. Region 0: the whole analysis."""

    region_id: int
    message: str


@dataclass(frozen=True, slots=True)
class JobRecord:
    """A row. `analyses_before`: how many analyses each region had when the job was submitted; `finished`: regions that
    are through, analysed or failed; `ahead`: jobs that run, and waiting ones whose turn is before its own."""

    id: int
    case_id: int
    user_id: int
    region_ids: tuple[int, ...]
    analyses_before: Mapping[int, int]
    state: JobState
    stage: str
    fraction: float
    finished: tuple[int, ...]
    failures: tuple[RegionFailure, ...]
    stop: bool
    attempts: int
    ended_at: float | None
    ahead: int = 0


class WorkerMark:
    """A worker's sign of life: a locked file `workers/KIND-….lock`. `name` is what its jobs say."""

    def __init__(self, data_dir: Path, kind: str) -> None:
        self.name = f"{kind}-{uuid.uuid4().hex}"
        self._path = _mark(data_dir, self.name)
        with in_words(self._path):
            self._path.parent.mkdir(mode=0o700, parents=True, exist_ok=True)
            _sweep(data_dir)
            self._file = os.open(self._path, os.O_CREAT | os.O_RDWR, 0o600)
            fcntl.flock(self._file, fcntl.LOCK_EX)  # another may hold it for the moment in which it looks who lives

    def is_gone(self) -> bool:
        """Whether the file was taken away, as with the whole data folder: nobody would see that this worker lives."""
        return self._file < 0 or os.fstat(self._file).st_nlink == 0

    def close(self) -> None:
        """The worker works no more. A second time does nothing."""
        if self._file >= 0:
            self._path.unlink(missing_ok=True)
            os.close(self._file)
            self._file = -1


class JobStore:
    """The queue in a data folder. One object serves all threads of a process; made without touching the disk.

    Every method raises CaseLogError where the disk does not let it be read or written.
    """

    def __init__(self, data_dir: Path, now: Callable[[], float] = time.time) -> None:
        self.data_dir = data_dir
        self.path = data_dir / "jobs.sqlite"
        self._now = now
        self._lock = threading.RLock()
        self._conn: sqlite3.Connection | None = None

    def exists(self) -> bool:
        """Whether anything was ever submitted in this data folder."""
        return self.path.exists()

    def submit(
        self, case_id: int, region_ids: Sequence[int], analyses_before: Mapping[int, int], user_id: int
    ) -> JobRecord:
        """Queue a job, or return the one that waits or runs for the case already."""
        with self._writing() as db:
            row = _one(db, "SELECT * FROM job WHERE case_id = ? AND state IN ('waiting', 'running')", case_id)
            if row is None:
                now = self._now()
                db.execute("DELETE FROM job WHERE ended_at < ?", (now - _KEEP_S,))
                values = (case_id, user_id, json.dumps(list(region_ids)), json.dumps(dict(analyses_before)), now)
                made = db.execute(
                    "INSERT INTO job (case_id, user_id, region_ids, analyses_before, supersede, submitted_at, state, "
                    "stage, fraction) VALUES (?, ?, ?, ?, 0, ?, 'waiting', 'Waiting for the analyser', 0)",
                    values,
                )
                row = _one(db, "SELECT * FROM job WHERE id = ?", made.lastrowid)
            return _record(db, row)

    def latest(self, case_id: int) -> JobRecord | None:
        """The last job of a case, or None."""
        if not self.exists():
            return None
        with self._reading() as db:
            row = _one(db, "SELECT * FROM job WHERE case_id = ? ORDER BY id DESC LIMIT 1", case_id)
            return None if row is None else _record(db, row)

    def claim(self, mark: WorkerMark) -> JobRecord | None:
        """The next job, which is then this worker's, or None. Jobs of dead workers wait again first."""
        if not self.exists():
            return None
        with self._writing() as db:
            self._free_the_dead(db)
            row = db.execute(_IN_TURN).fetchone()
            if row is None:
                return None
            db.execute(
                "UPDATE job SET state = 'running', worker = ?, started_at = ?, attempts = attempts + 1 WHERE id = ?",
                (mark.name, self._now(), row["id"]),
            )
            return _record(db, _one(db, "SELECT * FROM job WHERE id = ?", row["id"]))

    def progress(self, job_id: int, mark: WorkerMark, stage: str, fraction: float) -> None:
        """What is done now, for whoever looks on."""
        with self._writing() as db:
            db.execute(
                "UPDATE job SET stage = ?, fraction = ? WHERE id = ? AND worker = ? AND state = 'running'",
                (stage, fraction, job_id, mark.name),
            )

    @contextmanager
    def saving(self, job_id: int, mark: WorkerMark, region_id: int) -> Iterator[None]:
        """Around the saving of a region's analysis: nobody can take the job meanwhile, and then the region is through.

        Raises CancelledError, and nothing is to be saved, where the job is no longer this worker's or is to be stopped.
        """
        with self._writing() as db:
            row = _one(db, "SELECT * FROM job WHERE id = ? AND worker = ? AND state = 'running'", job_id, mark.name)
            if row is None or row["stop"]:
                raise CancelledError("The analysis was stopped.")
            yield
            self._through(db, row, region_id)

    def through(self, job_id: int, mark: WorkerMark, region_id: int, failure: RegionFailure | None = None) -> None:
        """A region is through without being saved: it failed, or another worker had saved it before it died."""
        with self._writing() as db:
            row = _one(db, "SELECT * FROM job WHERE id = ? AND worker = ? AND state = 'running'", job_id, mark.name)
            if row is not None:
                self._through(db, row, region_id, failure)

    def end(self, job_id: int, mark: WorkerMark, state: JobState, failure: RegionFailure | None = None) -> None:
        """The job is over. Does nothing where it is another worker's by now."""
        stage = {JobState.DONE: "Finished", JobState.CANCELLED: "Stopped"}.get(state, "Failed")
        with self._writing() as db:
            row = _one(db, "SELECT * FROM job WHERE id = ? AND worker = ? AND state = 'running'", job_id, mark.name)
            if row is not None:
                self._end(db, row, state, stage, failure)

    def release(self, job_id: int, mark: WorkerMark) -> None:
        """Give a job back unfinished, because this worker stops in good order: another goes on with it."""
        with self._writing() as db:
            db.execute(
                "UPDATE job SET state = 'waiting', stage = 'Waiting for the analyser', worker = NULL, "
                "attempts = attempts - 1 WHERE id = ? AND worker = ? AND state = 'running'",
                (job_id, mark.name),
            )

    def stop(self, case_id: int) -> None:
        """Ask the job of a case to stop. One that waits is over at once, and so is one whose worker is dead."""
        if not self.exists():
            return
        with self._writing() as db:
            self._free_the_dead(db)
            row = _one(db, "SELECT * FROM job WHERE case_id = ? AND state = 'waiting'", case_id)
            if row is not None:
                self._end(db, row, JobState.CANCELLED, "Stopped")
            db.execute("UPDATE job SET stop = 1 WHERE case_id = ? AND state = 'running'", (case_id,))

    def is_to_stop(self, job_id: int, mark: WorkerMark) -> bool:
        """Whether the worker is to give up the job."""
        with self._reading() as db:
            row = _one(db, "SELECT * FROM job WHERE id = ?", job_id)
        return row is None or bool(row["stop"]) or row["worker"] != mark.name or row["state"] != JobState.RUNNING

    def counts(self) -> dict[JobState, int]:
        """How many jobs wait and how many run."""
        found = {JobState.WAITING: 0, JobState.RUNNING: 0}
        if self.exists():
            with self._reading() as db:
                rows = db.execute("SELECT state, count(*) AS n FROM job WHERE state IN (?, ?) GROUP BY state", [*found])
                found |= {JobState(row["state"]): row["n"] for row in rows}
        return found

    def has_worker(self, kind: str) -> bool:
        """Whether a worker of the kind lives."""
        marks = (self.data_dir / "workers").glob(f"{kind}-*.lock")
        return any(_lives(self.data_dir, path.stem) for path in marks)

    def close(self) -> None:
        """Let go of the file; the next call opens it again."""
        with self._lock:
            if self._conn is not None:
                self._conn.close()
                self._conn = None

    def _free_the_dead(self, db: sqlite3.Connection) -> None:
        for row in db.execute("SELECT * FROM job WHERE state = 'running'").fetchall():
            if _lives(self.data_dir, row["worker"]):
                continue
            _mark(self.data_dir, row["worker"]).unlink(missing_ok=True)
            if row["stop"]:
                self._end(db, row, JobState.CANCELLED, "Stopped")
            elif row["attempts"] >= MAX_ATTEMPTS:
                self._end(db, row, JobState.FAILED, "Failed", RegionFailure(0, _ENDED_TOO_OFTEN))
            else:
                stage = "Taken up again"
                db.execute("UPDATE job SET state = 'waiting', stage = ? WHERE id = ?", (stage, row["id"]))

    def _end(
        self, db: sqlite3.Connection, row: Any, state: JobState, stage: str, failure: RegionFailure | None = None
    ) -> None:
        failures = _with(row["failures"], failure)
        if state is JobState.DONE and json.loads(failures):
            state = JobState.FAILED
        fraction = 1.0 if stage == "Finished" else row["fraction"]
        db.execute(
            "UPDATE job SET state = ?, stage = ?, fraction = ?, failures = ?, ended_at = ? WHERE id = ?",
            (state.value, stage, fraction, failures, self._now(), row["id"]),
        )

    def _through(self, db: sqlite3.Connection, row: Any, region_id: int, failure: RegionFailure | None = None) -> None:
        finished = [*json.loads(row["finished"]), region_id]
        db.execute(
            "UPDATE job SET finished = ?, failures = ?, fraction = ? WHERE id = ?",
            (
                json.dumps(finished), _with(row["failures"], failure),
                len(finished) / len(json.loads(row["region_ids"])), row["id"],
            ),
        )  # fmt: skip

    @contextmanager
    def _reading(self) -> Iterator[sqlite3.Connection]:
        """One moment of the queue throughout: a job is not waiting in one statement and taken up in the next."""
        with self._lock, _in_words(self.path):
            db = self._open()
            db.execute("BEGIN")
            try:
                yield db
            finally:
                if db.in_transaction:
                    db.execute("ROLLBACK")

    @contextmanager
    def _writing(self) -> Iterator[sqlite3.Connection]:
        with self._lock, _in_words(self.path):
            db = self._open()
            db.execute("BEGIN IMMEDIATE")
            try:
                yield db
                db.execute("COMMIT")
            except BaseException:
                if db.in_transaction:
                    db.execute("ROLLBACK")
                raise

    def _open(self) -> sqlite3.Connection:
        if self._conn is None:
            if not self.path.exists():
                os.close(os.open(self.path, os.O_CREAT | os.O_WRONLY, 0o600))
            conn = sqlite3.connect(self.path, timeout=_WAIT_S, isolation_level=None, check_same_thread=False)
            conn.row_factory = sqlite3.Row
            try:
                conn.execute("PRAGMA journal_mode = WAL").fetchone()
                conn.execute("PRAGMA synchronous = NORMAL")
                conn.execute("PRAGMA trusted_schema = OFF")
                conn.executescript(_SCHEMA)
            except BaseException:
                conn.close()
                raise
            self._conn = conn
        return self._conn


@contextmanager
def _in_words(path: Path) -> Iterator[None]:
    """As for the case log, but that nothing of it is at stake."""
    try:
        with in_words(path):
            yield
    except IntegrityError as error:
        raise CaseLogError(_DAMAGED) from error


def _mark(data_dir: Path, name: str) -> Path:
    return data_dir / "workers" / f"{name}.lock"


def _sweep(data_dir: Path) -> None:
    """Take away marks of workers that are long dead; a young one may be about to be locked."""
    for path in (data_dir / "workers").glob("*.lock"):
        with suppress(FileNotFoundError):
            if time.time() - path.stat().st_mtime > _OLD_MARK_S and not _lives(data_dir, path.stem):
                path.unlink()


def _lives(data_dir: Path, name: str) -> bool:
    """Whether somebody holds the lock of a mark."""
    try:
        descriptor = os.open(_mark(data_dir, name), os.O_RDWR)
    except FileNotFoundError:
        return False
    try:
        fcntl.flock(descriptor, fcntl.LOCK_EX | fcntl.LOCK_NB)
    except BlockingIOError:
        return True
    finally:
        os.close(descriptor)
    return False


def _one(db: sqlite3.Connection, sql: str, *values: Any) -> Any:
    return db.execute(sql, values).fetchone()


def _with(failures: str, failure: RegionFailure | None) -> str:
    return failures if failure is None else json.dumps([*json.loads(failures), [failure.region_id, failure.message]])


def _record(db: sqlite3.Connection, row: Any) -> JobRecord:
    state = JobState(row["state"])
    ahead = 0
    if state is JobState.WAITING:
        in_turn = [waiting["id"] for waiting in db.execute(_IN_TURN)]
        ahead = in_turn.index(row["id"]) + _one(db, "SELECT count(*) FROM job WHERE state = 'running'")[0]
    return JobRecord(
        id=row["id"],
        case_id=row["case_id"],
        user_id=row["user_id"],
        region_ids=tuple(json.loads(row["region_ids"])),
        analyses_before={int(region): number for region, number in json.loads(row["analyses_before"]).items()},
        state=state,
        stage=row["stage"],
        fraction=row["fraction"],
        finished=tuple(json.loads(row["finished"])),
        failures=tuple(RegionFailure(region, message) for region, message in json.loads(row["failures"])),
        stop=bool(row["stop"]),
        attempts=row["attempts"],
        ended_at=row["ended_at"],
        ahead=ahead,
    )
