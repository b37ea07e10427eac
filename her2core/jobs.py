"""Analysis in the background: one worker thread a process, progress by stage, cancellation.

The worker saves each region's analysis to the case log as soon as it is there, so nothing is lost
when the browser that started it goes away. Torch releases the interpreter lock, so pages stay responsive.
"""

from __future__ import annotations

import logging
import threading
from collections.abc import Callable, Sequence
from concurrent.futures import Future, ThreadPoolExecutor
from dataclasses import dataclass, replace
from enum import StrEnum
from typing import TYPE_CHECKING, Protocol

import numpy as np

from her2core.caselog import CaseLog
from her2core.errors import CancelledError, Her2CoreError, WrongStateError
from her2core.imaging import read_region
from her2core.permissions import Action, require
from her2core.records import Region, RegionAnalysis, User

if TYPE_CHECKING:
    from her2core.pipeline import Models

__all__ = ["Analyse", "AnalysisJobs", "JobState", "JobStatus", "RegionFailure"]

_logger = logging.getLogger(__name__)

_KEPT = 200  # finished jobs whose outcome can still be asked for


class JobState(StrEnum):
    """Where an analysis stands."""

    WAITING = "waiting"
    RUNNING = "running"
    DONE = "done"
    FAILED = "failed"
    CANCELLED = "cancelled"


@dataclass(frozen=True, slots=True)
class RegionFailure:
    """A region that could not be analysed, and why, in words for the pathologist."""

    region_id: int
    message: str


@dataclass(frozen=True, slots=True)
class JobStatus:
    """A snapshot of one analysis. `fraction` is of the whole job, 0 to 1; `stage` is what is done right now."""

    case_id: int
    region_ids: tuple[int, ...]
    state: JobState
    stage: str
    fraction: float
    finished_regions: int = 0
    failures: tuple[RegionFailure, ...] = ()

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
class _Job:
    status: JobStatus
    by: User
    supersede_corrections: bool
    stop: threading.Event
    future: Future[None] | None = None


class AnalysisJobs:
    """The queue of analyses of this process. Safe to call from every Streamlit session.

    `load_models` and `analyse` come from `pipeline`; `after` is called with (case id, user) once a job has
    saved at least one analysis, so that the caller can derive the new state of the case.
    """

    def __init__(
        self,
        log: CaseLog,
        load_models: Callable[[], Models],
        analyse: Analyse,
        after: Callable[[int, User], None] | None = None,
    ) -> None:
        self._log = log
        self._load_models = load_models
        self._analyse = analyse
        self._after = after
        self._lock = threading.Lock()
        self._model_lock = threading.Lock()
        self._models: Models | None = None
        self._jobs: dict[int, _Job] = {}
        self._pool = ThreadPoolExecutor(max_workers=1, thread_name_prefix="her2core-analysis")

    def models(self) -> Models:
        """The models, loaded on first use and then shared. Raises ModelError where weights are missing or altered."""
        with self._model_lock:
            if self._models is None:
                self._models = self._load_models()
            return self._models

    def submit(
        self, case_id: int, region_ids: Sequence[int], by: User, supersede_corrections: bool = False
    ) -> JobStatus:
        """Queue the analysis of flagged, suitable regions. While one runs for the case, that one is returned.

        Raises PermissionDeniedError, NotFoundError, and WrongStateError where a region has no flags or is not suitable.
        """
        user = require(by, Action.ANALYSE)
        for region_id in region_ids:
            _analysable(self._log.region(region_id), case_id)
        if not region_ids:
            raise WrongStateError("No region is ready for analysis: flag at least one as suitable first.")
        with self._lock:
            known = self._jobs.get(case_id)
            if known is not None and known.status.active:
                return known.status
            status = JobStatus(case_id, tuple(region_ids), JobState.WAITING, "Waiting for the analyser", 0.0)
            job = _Job(status, user, supersede_corrections, threading.Event())
            self._jobs.pop(case_id, None)  # to the end: the dict is in order of submission
            self._jobs[case_id] = job
            self._forget_old()
            job.future = self._pool.submit(self._run, job)
            return status

    def status(self, case_id: int) -> JobStatus | None:
        """The latest analysis of a case in this process, or None."""
        with self._lock:
            job = self._jobs.get(case_id)
            return None if job is None else job.status

    def cancel(self, case_id: int, by: User) -> None:
        """Ask the analysis of a case to stop; regions that are done stay. Does nothing where none runs."""
        require(by, Action.ANALYSE)
        with self._lock:
            job = self._jobs.get(case_id)
            if job is not None:
                job.stop.set()

    def wait(self, case_id: int, timeout_s: float = 60.0) -> JobStatus | None:
        """Block until the latest analysis of the case has ended, and return how. For scripts and tests."""
        with self._lock:
            job = self._jobs.get(case_id)
        if job is None:
            return None
        if job.future is not None:
            job.future.result(timeout=timeout_s)
        return job.status

    def close(self) -> None:
        """Stop what runs and take no more."""
        with self._lock:
            for job in self._jobs.values():
                job.stop.set()
        self._pool.shutdown(wait=True, cancel_futures=True)

    def _run(self, job: _Job) -> None:
        """The worker's side of one job. Never raises: how it ended is in the status."""
        try:
            self._work(job)
        except CancelledError:
            self._set(job, state=JobState.CANCELLED, stage="Stopped")
        except Her2CoreError as error:
            self._fail(job, str(error))
        except Exception:
            # The text of a foreign exception may quote anything, so it goes nowhere but the server's own log.
            _logger.exception("analysis of case %d failed", job.status.case_id)
            self._fail(job, "The analysis stopped unexpectedly. Try again; if it fails again, tell the administrator.")

    def _work(self, job: _Job) -> None:
        self._check(job)
        self._set(job, state=JobState.RUNNING, stage="Loading the models")
        models = self.models()
        saved = 0
        for region_id in job.status.region_ids:
            self._check(job)
            try:
                self._one_region(job, region_id, models)
                saved += 1
            except CancelledError:
                self._finish(job, saved)
                raise
            except Her2CoreError as error:
                failures = (*job.status.failures, RegionFailure(region_id, str(error)))
                self._set(job, failures=failures)
            self._set(job, finished_regions=job.status.finished_regions + 1)
        self._finish(job, saved)
        state = JobState.FAILED if job.status.failures else JobState.DONE
        self._set(job, state=state, stage="Finished", fraction=1.0)

    def _one_region(self, job: _Job, region_id: int, models: Models) -> None:
        region = self._log.region(region_id)
        flags = _analysable(region, job.status.case_id).flags
        done, total = job.status.finished_regions, len(job.status.region_ids)

        def progress(fraction: float, stage: str) -> None:
            self._set(job, stage=stage, fraction=(done + min(max(fraction, 0.0), 1.0)) / total)

        progress(0.0, "Reading the image")
        image = read_region(self._log.image_bytes(region), region.filename)
        analysis = self._analyse(
            image.pixels_rgb,
            models,
            clusters_expected=flags is not None and flags.clusters,
            progress=progress,
            cancelled=job.stop.is_set,
        )
        self._check(job)
        progress(1.0, "Saving")
        self._log.save_analysis(region_id, analysis, job.by, supersede_corrections=job.supersede_corrections)

    def _finish(self, job: _Job, saved: int) -> None:
        if saved and self._after is not None:
            self._after(job.status.case_id, job.by)

    def _check(self, job: _Job) -> None:
        if job.stop.is_set():
            raise CancelledError("The analysis was stopped.")

    def _fail(self, job: _Job, message: str) -> None:
        failures = (*job.status.failures, RegionFailure(0, message))
        self._set(job, state=JobState.FAILED, stage="Failed", failures=failures)

    def _set(self, job: _Job, **changes: object) -> None:
        with self._lock:
            job.status = replace(job.status, **changes)  # type: ignore[arg-type]

    def _forget_old(self) -> None:
        finished = [case_id for case_id, job in self._jobs.items() if not job.status.active]
        for case_id in finished[: max(0, len(self._jobs) - _KEPT)]:
            del self._jobs[case_id]


def _analysable(region: Region, case_id: int) -> Region:
    """The region, if it belongs to the case and the pathologist has found it suitable."""
    if region.case_id != case_id:
        raise WrongStateError("This region belongs to another case.")
    if region.flags is None:
        raise WrongStateError("Give the flags of every region before it is analysed.")
    if not region.flags.suitable:
        raise WrongStateError("A region that was flagged as not suitable is not analysed.")
    return region
