"""Analysis in the background: jobs of a durable queue, progress by stage, cancellation, and going on after a restart.

Each process that holds an `AnalysisJobs` has one worker thread, which takes jobs from the queue of the data folder
(`job_store`). It saves each region's analysis to the case log as soon as it is there, so nothing is lost when the
browser that started it goes away, and a region that is saved is never analysed again when another worker goes on with
the job. Torch releases the interpreter lock, so pages stay responsive; where `python -m her2core worker` runs beside
the application, the application leaves all jobs to it.
"""

from __future__ import annotations

import atexit
import contextlib
import logging
import threading
import time
from collections.abc import Callable, Sequence
from dataclasses import dataclass, replace
from typing import TYPE_CHECKING, Final, Protocol

import numpy as np

from her2core.caselog import CaseLog
from her2core.errors import CancelledError, CaseLogError, Her2CoreError, WrongStateError
from her2core.imaging import ACCEPTED, read_region
from her2core.job_store import JobRecord, JobState, JobStore, RegionFailure, WorkerMark
from her2core.permissions import Action, require
from her2core.records import Region, RegionAnalysis, User

if TYPE_CHECKING:
    from her2core.pipeline import Models

__all__ = ["APPLICATION", "WORKER", "Analyse", "AnalysisJobs", "JobState", "JobStatus", "RegionFailure"]

_logger = logging.getLogger(__name__)

APPLICATION: Final = "app"
WORKER: Final = "worker"
"""Kinds of processes that work: the application leaves its jobs to workers where one lives."""

_POLL_S: Final = 1.0  # how soon what other processes did is seen
_TELL_S: Final = 0.2  # between two records of progress within a stage
_SHOWN_S: Final = 12 * 3600  # an outcome older than this is no news
_STOP_S: Final = 10.0


@dataclass(frozen=True, slots=True)
class JobStatus:
    """A snapshot of one analysis. `fraction` is of the whole job, 0 to 1; `stage` is what is done right now; `ahead`
    analyses come before it while it waits; `trouble` is why nothing can be taken up now, such as a full disk."""

    case_id: int
    region_ids: tuple[int, ...]
    state: JobState
    stage: str
    fraction: float
    finished_regions: int = 0
    failures: tuple[RegionFailure, ...] = ()
    ahead: int = 0
    stopping: bool = False
    trouble: str = ""

    @property
    def active(self) -> bool:
        """True until the job has ended, however it ended."""
        return self.state in (JobState.WAITING, JobState.RUNNING)


class Analyse(Protocol):
    """The shape of `pipeline.analyse`."""

    def __call__(
        self,
        pixels_rgb: np.ndarray,
        models: Models,
        *,
        clusters_expected: bool,
        progress: Callable[[float, str], None] | None,
        cancelled: Callable[[], bool] | None,
    ) -> RegionAnalysis: ...


@dataclass
class _Running:
    """The job that this process works on, and how it stands."""

    record: JobRecord
    by: User
    stage: str = ""
    told_at: float = 0.0
    asked_at: float = 0.0


@dataclass(frozen=True, slots=True)
class _End:
    """How a job ended that could not be recorded yet, because the disk was full."""

    record: JobRecord
    state: JobState
    failure: RegionFailure | None


class AnalysisJobs:
    """The queue of analyses of a data folder, and this process' worker. Safe to call from every Streamlit session.

    `load_models` and `analyse` come from `pipeline`; `after` is called with (case id, user) once a job has
    saved at least one analysis, so that the caller can derive the new state of the case.
    """

    def __init__(
        self,
        log: CaseLog,
        load_models: Callable[[], Models],
        analyse: Analyse,
        after: Callable[[int, User], None] | None = None,
        *,
        kind: str = APPLICATION,
    ) -> None:
        self._log = log
        self._load_models = load_models
        self._analyse = analyse
        self._after = after
        self._kind = kind
        self._store = JobStore(log.data_dir)
        self._lock = threading.RLock()
        self._model_lock = threading.Lock()
        self._models: Models | None = None
        self._models_folder = ""
        self._mark: WorkerMark | None = None
        self._thread: threading.Thread | None = None
        self._running: _Running | None = None
        self._unrecorded: dict[int, _End] = {}
        self._trouble = ""  # why no job can be taken up just now
        self._wake, self._stop, self._closing = threading.Event(), threading.Event(), threading.Event()
        if self._store.exists() or kind == WORKER:  # what an earlier process left may wait there
            with contextlib.suppress(CaseLogError):
                self._start()

    def models(self) -> Models:
        """The models in use, loaded on first use and after a promotion, then shared.

        Raises ModelError where weights are missing or altered.
        """
        with self._model_lock:
            folder = self._log.models_folder()
            if self._models is None or folder != self._models_folder:
                self._models, self._models_folder = self._load_models(), folder
            return self._models

    def submit(self, case_id: int, region_ids: Sequence[int], by: User) -> JobStatus:
        """Queue the analysis of flagged, suitable regions. While one waits or runs for the case, that one is returned.

        Raises PermissionDeniedError, NotFoundError, WrongStateError where a region has no flags or is not suitable,
        and CaseLogError where the disk is full.
        """
        user = require(by, Action.ANALYSE)
        for region_id in region_ids:
            _analysable(self._log.region(region_id), case_id)
        if not region_ids:
            raise WrongStateError("No region is ready for analysis: flag at least one as suitable first.")
        before = {region_id: len(self._log.analyses(region_id)) for region_id in region_ids}
        try:
            self._record_ends()
            record = self._store.submit(case_id, region_ids, before, user.id)
            self._start()
        except CaseLogError:
            if self._thread is None:  # nobody would come for it
                with contextlib.suppress(CaseLogError):
                    self._store.stop(case_id)
                self._store.close()
            raise
        self._wake.set()
        return _status(record)

    def status(self, case_id: int) -> JobStatus | None:
        """The latest analysis of a case, whichever process does it; None where there is none, it ended long ago, or
        the queue cannot be read, which is no reason not to show the case."""
        try:
            record = self._store.latest(case_id)
        except CaseLogError as error:
            _logger.warning("the queue of analyses cannot be read: %s", error)
            return None
        if record is None or (record.ended_at is not None and time.time() - record.ended_at > _SHOWN_S):
            return None
        with self._lock:
            end = self._unrecorded.get(case_id)
        status = _status(record)
        if status.state is JobState.WAITING:
            status = replace(status, trouble=self._trouble)
        if end is None or end.record.id != record.id:
            return status
        failures = status.failures if end.failure is None else (*status.failures, end.failure)
        return replace(status, state=end.state, stage="Failed", failures=failures)

    def cancel(self, case_id: int, by: User) -> None:
        """Ask the analysis of a case to stop; regions that are done stay. Does nothing where none runs."""
        require(by, Action.ANALYSE)
        self._store.stop(case_id)
        with self._lock:
            if self._running is not None and self._running.record.case_id == case_id:
                self._stop.set()

    def wait(self, case_id: int, timeout_s: float = 60.0) -> JobStatus | None:
        """Block until the latest analysis of the case has ended, and return how. For scripts and tests."""
        patience = time.monotonic() + timeout_s
        while (status := self.status(case_id)) is not None and status.active:
            if time.monotonic() > patience:
                raise TimeoutError(f"the analysis of case {case_id} goes on")
            time.sleep(0.02)
        return status

    def close(self) -> None:
        """Take no more jobs. The one that runs goes back to the queue, where a worker takes it up again."""
        atexit.unregister(self.close)
        self._closing.set()
        self._wake.set()
        with self._lock:
            thread, self._thread = self._thread, None
        if thread is not None and thread is not threading.current_thread():
            thread.join(_STOP_S)
        with self._lock:
            mark, self._mark = self._mark, None
        if mark is not None and (thread is None or not thread.is_alive()):
            mark.close()
            self._store.close()

    def run_until_idle(self, idle_s: float) -> None:
        """Block until nothing has been worked on for `idle_s`, or `close` was called."""
        quiet = time.monotonic()
        while not self._closing.wait(0.1) and time.monotonic() - quiet < idle_s:
            if self._running is not None:
                quiet = time.monotonic()

    # --- the worker's side --------------------------------------------------------------------------------------------

    def _start(self) -> None:
        with self._lock:
            if self._closing.is_set() or (self._thread is not None and self._thread.is_alive()):
                return
            self._mark = WorkerMark(self._log.data_dir, self._kind)
            self._thread = threading.Thread(
                target=self._loop, args=(self._mark,), name="her2core-analysis", daemon=True
            )
            self._thread.start()
            atexit.register(self.close)

    def _loop(self, mark: WorkerMark) -> None:
        while not (self._closing.is_set() or mark.is_gone()):
            record = None
            try:
                self._record_ends()
                if self._kind == WORKER or not self._store.has_worker(WORKER):
                    record = self._store.claim(mark)
                self._trouble = ""
            except Her2CoreError as error:
                self._trouble = str(error)
                _logger.warning("the queue of analyses cannot be used: %s", error)
            if record is None:
                self._wake.wait(_POLL_S)
                self._wake.clear()
            else:
                self._run(record, mark)

    def _run(self, record: JobRecord, mark: WorkerMark) -> None:
        """One job. Never raises: how it ended is on record."""
        state, failure = JobState.DONE, None
        try:
            self._work(record, mark)
        except CancelledError:
            state = JobState.CANCELLED
        except Her2CoreError as error:
            state, failure = JobState.FAILED, RegionFailure(0, str(error))
        except Exception:
            # The text of a foreign exception may quote anything, so it goes nowhere but the server's own log.
            _logger.exception("analysis of case %d failed", record.case_id)
            words = "The analysis stopped unexpectedly. Try again; if it fails again, tell the administrator."
            state, failure = JobState.FAILED, RegionFailure(0, words)
        with self._lock:
            self._running = None
        try:
            if state is JobState.CANCELLED and self._closing.is_set() and not self._stop.is_set():
                self._store.release(record.id, mark)
            else:
                self._store.end(record.id, mark, state, failure)
        except CaseLogError as error:
            _logger.warning("how an analysis ended cannot be recorded yet: %s", error)
            with self._lock:
                self._unrecorded[record.case_id] = _End(
                    record, _not_done(state), failure or RegionFailure(0, str(error))
                )

    def _work(self, record: JobRecord, mark: WorkerMark) -> None:
        running = _Running(record, self._log.user(record.user_id))
        with self._lock:
            self._stop.clear()
            self._running = running
        self._check(record, mark)
        self._tell(running, mark, "Loading the models", record.fraction)
        models = self.models()
        done = len(record.finished)
        try:
            for region_id in record.region_ids:
                if region_id in record.finished:
                    continue
                self._check(record, mark)
                if self._is_saved(record, region_id):  # by a worker that died before it could say so
                    self._store.through(record.id, mark, region_id)
                else:
                    self._one_region(running, mark, region_id, done, models)
                done += 1
        finally:
            if self._after is not None and any(self._is_saved(record, region_id) for region_id in record.region_ids):
                self._after(record.case_id, running.by)

    def _one_region(self, running: _Running, mark: WorkerMark, region_id: int, done: int, models: Models) -> None:
        """Analyse and save; what goes wrong with this region is on record, and the others go on."""
        record = running.record

        def progress(fraction: float, stage: str) -> None:
            total = len(record.region_ids)
            self._tell(running, mark, stage, (done + min(max(fraction, 0.0), 1.0)) / total)

        try:
            region = self._log.region(region_id)
            flags = _analysable(region, record.case_id).flags
            clusters_expected = flags is not None and flags.clusters
            progress(0.0, "Reading the image")
            image = read_region(self._log.image_bytes(region), region.filename, ACCEPTED)
            analysis = self._analyse(
                image.pixels_rgb,
                models,
                clusters_expected=clusters_expected,
                progress=progress,
                cancelled=lambda: self._is_to_stop(record, mark, running),
            )
            progress(1.0, "Saving")
            self._check(record, mark)
            with self._store.saving(record.id, mark, region_id):
                self._log.save_analysis(region_id, analysis, running.by, clusters_expected=clusters_expected)
        except CancelledError:
            raise
        except Her2CoreError as error:
            self._store.through(record.id, mark, region_id, RegionFailure(region_id, str(error)))

    def _is_saved(self, record: JobRecord, region_id: int) -> bool:
        """Whether this job has saved its analysis of a region. A region that is gone has none."""
        try:
            return len(self._log.analyses(region_id)) > record.analyses_before.get(region_id, 0)
        except Her2CoreError:
            return False

    def _tell(self, running: _Running, mark: WorkerMark, stage: str, fraction: float) -> None:
        """Record progress: a new stage at once, the rest now and then. It is no reason to fail."""
        now = time.monotonic()
        if stage == running.stage and now - running.told_at < _TELL_S:
            return
        running.stage, running.told_at = stage, now
        with contextlib.suppress(CaseLogError):
            self._store.progress(running.record.id, mark, stage, fraction)

    def _is_to_stop(self, record: JobRecord, mark: WorkerMark, running: _Running) -> bool:
        if self._stop.is_set() or self._closing.is_set():
            return True
        now = time.monotonic()
        if now - running.asked_at < _TELL_S:
            return False
        running.asked_at = now
        with contextlib.suppress(CaseLogError):
            return self._store.is_to_stop(record.id, mark)
        return False

    def _check(self, record: JobRecord, mark: WorkerMark) -> None:
        if self._stop.is_set() or self._closing.is_set() or self._store.is_to_stop(record.id, mark):
            raise CancelledError("The analysis was stopped.")

    def _record_ends(self) -> None:
        """Record the ends that a full disk had refused. Raises CaseLogError while it still does."""
        with self._lock:
            ends, mark = list(self._unrecorded.values()), self._mark
        for end in ends:
            if mark is not None:
                self._store.end(end.record.id, mark, end.state, end.failure)
            with self._lock:
                self._unrecorded.pop(end.record.case_id, None)


def _not_done(state: JobState) -> JobState:
    return JobState.FAILED if state is JobState.DONE else state


def _status(record: JobRecord) -> JobStatus:
    return JobStatus(
        record.case_id,
        record.region_ids,
        record.state,
        record.stage,
        record.fraction,
        len(record.finished),
        record.failures,
        record.ahead,
        record.stop,
    )


def _analysable(region: Region, case_id: int) -> Region:
    """The region, if it belongs to the case and the pathologist has found it suitable."""
    if region.case_id != case_id:
        raise WrongStateError("This region belongs to another case.")
    if region.flags is None:
        raise WrongStateError("Give the flags of every region before it is analysed.")
    if not region.flags.suitable:
        raise WrongStateError("A region that was flagged as not suitable is not analysed.")
    return region
