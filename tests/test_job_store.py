"""The queue of analyses: fair, durable, and each job with one living worker at most."""

# ruff: noqa: F811 (fixtures are imported, and named again where they are used)

from __future__ import annotations

import os
import random
import threading
import time
from pathlib import Path
from typing import Any

import pytest

from her2core import workflow
from her2core.errors import CancelledError, CaseLogError
from her2core.job_store import MAX_ATTEMPTS, JobRecord, JobState, JobStore, RegionFailure, WorkerMark
from her2core.jobs import WORKER, AnalysisJobs
from tests.job_kills import flagged, kill_workers
from tests.pages.conftest import lab, no_waiting_for_the_disk, template  # noqa: F401 (fixtures)
from tests.pages.lab import StandIn, TestLaboratory, read_drawing


class Clock:
    """A clock that goes on by a second with each look."""

    def __init__(self) -> None:
        self.time = 1000.0

    def __call__(self) -> float:
        self.time += 1
        return self.time


@pytest.fixture
def store(tmp_path: Path) -> JobStore:
    return JobStore(tmp_path, Clock())


def _submit(store: JobStore, case_id: int, user_id: int = 1, regions: tuple[int, ...] = (7,)) -> int:
    return store.submit(case_id, regions, dict.fromkeys(regions, 0), user_id).id


def _dead(mark: WorkerMark) -> None:
    """Ends a worker as the system does with a killed process: the lock goes, the file stays."""
    os.close(mark._file)


def test_a_job_that_is_taken_up_while_somebody_looks_at_it_is_shown_as_of_one_moment(
    store: JobStore, tmp_path: Path
) -> None:
    """Whoever waits for an analysis looks fifty times a second, and the worker may come between two statements."""
    _submit(store, 1)
    worker, mark = JobStore(tmp_path), WorkerMark(tmp_path, "app")
    taken: list[JobRecord | None] = []

    def come_between(statement: str) -> None:
        if "WITH waiting" in statement and not taken:
            taken.append(worker.claim(mark))

    assert store.latest(1) is not None
    assert store._conn is not None
    store._conn.set_trace_callback(come_between)
    seen = store.latest(1)
    store._conn.set_trace_callback(None)
    assert len(taken) == 1
    assert seen is not None
    assert (seen.state, seen.ahead) == (JobState.WAITING, 0)
    after = store.latest(1)
    assert after is not None
    assert after.state is JobState.RUNNING


def test_people_take_turns_and_ones_own_jobs_keep_their_order(store: JobStore, tmp_path: Path) -> None:
    mark = WorkerMark(tmp_path, "app")
    for case_id, user_id in ((1, 1), (2, 1), (3, 1), (4, 2), (5, 2), (6, 3)):
        _submit(store, case_id, user_id)
    order = []
    while (record := store.claim(mark)) is not None:
        order.append(record.case_id)
        store.end(record.id, mark, JobState.DONE)
    assert order == [1, 4, 6, 2, 5, 3]


def test_a_case_has_one_job_at_a_time_and_then_another(store: JobStore, tmp_path: Path) -> None:
    mark = WorkerMark(tmp_path, "app")
    first = _submit(store, 1)
    assert _submit(store, 1, user_id=2) == first
    assert store.claim(mark) is not None
    assert _submit(store, 1) == first
    store.end(first, mark, JobState.DONE)
    assert _submit(store, 1) != first


def _ahead(store: JobStore, *case_ids: int) -> list[int]:
    records = [store.latest(case_id) for case_id in case_ids]
    return [record.ahead for record in records if record is not None]


def test_a_job_says_how_many_are_before_it_in_turn(store: JobStore, tmp_path: Path) -> None:
    for case_id, user_id in ((1, 1), (2, 1), (3, 1), (4, 2)):
        _submit(store, case_id, user_id)
    assert _ahead(store, 1, 2, 3, 4) == [0, 2, 3, 1]  # the second person's turn is before the first one's second
    assert store.counts() == {JobState.WAITING: 4, JobState.RUNNING: 0}
    store.claim(WorkerMark(tmp_path, "app"))
    assert _ahead(store, 1, 2, 3, 4) == [0, 2, 3, 1]  # it runs, and is still to be waited for
    assert store.counts() == {JobState.WAITING: 3, JobState.RUNNING: 1}


def test_a_place_said_in_the_queue_is_the_place_that_comes(store: JobStore, tmp_path: Path) -> None:
    chance, mark, case_id = random.Random(3), WorkerMark(tmp_path, "app"), 0
    for _ in range(20):
        for _ in range(chance.randrange(6)):
            case_id += 1
            _submit(store, case_id, chance.randrange(4))
        waiting = [n for n in range(1, case_id + 1) if store.latest(n).state is JobState.WAITING]  # type: ignore[union-attr]
        said = sorted(waiting, key=lambda n: _ahead(store, n))
        for expected in said[: chance.randrange(len(said) + 1)]:
            record = store.claim(mark)
            assert record is not None
            assert record.case_id == expected
            store.end(record.id, mark, JobState.DONE)


def test_a_damaged_queue_is_said_in_words_and_hides_no_case(lab: TestLaboratory) -> None:
    (region,) = flagged(lab, 1)
    (lab.data_dir / "jobs.sqlite").write_bytes(b"no database, and longer than a header of a hundred bytes" * 4)
    jobs = _jobs(lab)
    with pytest.raises(CaseLogError, match=r"jobs\.sqlite"):
        jobs.submit(region.case_id, [region.id], lab.person("berg"))
    assert jobs.status(region.case_id) is None
    jobs.close()


def test_a_worker_whose_mark_was_taken_away_starts_again_with_the_next_job(lab: TestLaboratory) -> None:
    first, second = flagged(lab, 2)
    jobs = _jobs(lab)
    jobs.submit(first.case_id, [first.id], lab.person("berg"))
    jobs.wait(first.case_id)
    (mark,) = (lab.data_dir / "workers").iterdir()
    mark.unlink()
    patience = time.monotonic() + 20
    while (thread := jobs._thread) is not None and thread.is_alive() and time.monotonic() < patience:
        time.sleep(0.05)
    jobs.submit(second.case_id, [second.id], lab.person("berg"))
    status = jobs.wait(second.case_id)
    jobs.close()
    assert status is not None
    assert status.state is JobState.DONE


def test_another_process_can_stop_what_runs_amid_a_region(lab: TestLaboratory) -> None:
    (region,) = flagged(lab, 1)
    began = threading.Event()

    def long(pixels_rgb: Any, models: Any, **options: Any) -> Any:
        for step in range(400):  # says often how far it is, as the models do
            options["progress"](step / 400, "Counting")
            began.set()
            if options["cancelled"]():
                raise CancelledError("stopped")
            time.sleep(0.05)
        return read_drawing(pixels_rgb, models, **options)

    jobs = _jobs(lab, long)
    jobs.submit(region.case_id, [region.id], lab.person("berg"))
    assert began.wait(20)
    JobStore(lab.data_dir).stop(region.case_id)
    status = jobs.wait(region.case_id, timeout_s=10)
    jobs.close()
    assert status is not None
    assert status.state is JobState.CANCELLED
    assert lab.log.analysis(region.id) is None


def test_jobs_survive_a_restart(store: JobStore, tmp_path: Path) -> None:
    _submit(store, 1, regions=(7, 8))
    store.close()
    again = JobStore(tmp_path)
    record = again.latest(1)
    assert record is not None
    assert (record.state, record.region_ids, record.analyses_before) == (JobState.WAITING, (7, 8), {7: 0, 8: 0})


def test_the_job_of_a_living_worker_is_never_taken_and_that_of_a_dead_one_at_once(
    store: JobStore, tmp_path: Path
) -> None:
    first, second = WorkerMark(tmp_path, "app"), WorkerMark(tmp_path, "app")
    job = _submit(store, 1, regions=(7, 8))
    assert store.claim(first) is not None
    with store.saving(job, first, 7):
        pass
    assert store.claim(second) is None
    _dead(first)
    record = store.claim(second)
    assert record is not None
    assert (record.id, record.finished, record.attempts) == (job, (7,), 2)
    with pytest.raises(CancelledError), store.saving(job, first, 8):
        pytest.fail("a worker that was given up must not save")
    store.end(job, first, JobState.DONE)
    assert store.latest(1).state is JobState.RUNNING  # type: ignore[union-attr]
    assert store.is_to_stop(job, first)
    assert not store.is_to_stop(job, second)


def test_what_fails_to_be_saved_is_not_through(store: JobStore, tmp_path: Path) -> None:
    mark = WorkerMark(tmp_path, "app")
    job = _submit(store, 1)
    store.claim(mark)
    with pytest.raises(CaseLogError), store.saving(job, mark, 7):
        raise CaseLogError("The disk is full.")
    record = store.latest(1)
    assert record is not None
    assert record.finished == ()
    store.through(job, mark, 7, RegionFailure(7, "The disk is full."))
    store.end(job, mark, JobState.DONE)
    record = store.latest(1)
    assert record is not None
    assert (record.state, record.failures) == (JobState.FAILED, (RegionFailure(7, "The disk is full."),))


def test_a_job_that_ends_its_workers_is_given_up_in_words(store: JobStore, tmp_path: Path) -> None:
    _submit(store, 1)
    for _ in range(MAX_ATTEMPTS):
        mark = WorkerMark(tmp_path, "app")
        assert store.claim(mark) is not None
        _dead(mark)
    assert store.claim(WorkerMark(tmp_path, "app")) is None
    record = store.latest(1)
    assert record is not None
    assert record.state is JobState.FAILED
    assert "more memory" in record.failures[0].message


def test_giving_a_job_back_costs_no_attempt(store: JobStore, tmp_path: Path) -> None:
    job = _submit(store, 1)
    for _ in range(MAX_ATTEMPTS + 2):
        mark = WorkerMark(tmp_path, "app")
        record = store.claim(mark)
        assert record is not None
        assert record.attempts == 1
        store.release(job, mark)
        mark.close()


def test_stopping_ends_what_waits_and_asks_what_runs(store: JobStore, tmp_path: Path) -> None:
    mark = WorkerMark(tmp_path, "app")
    store.stop(99)
    running = _submit(store, 1)
    store.claim(mark)
    _submit(store, 2)
    store.stop(1)
    store.stop(2)
    assert store.latest(2).state is JobState.CANCELLED  # type: ignore[union-attr]
    assert store.is_to_stop(running, mark)
    _dead(mark)
    store.stop(1)  # nobody is left to do it
    assert store.latest(1).state is JobState.CANCELLED  # type: ignore[union-attr]


def test_threads_that_claim_at_once_get_different_jobs(store: JobStore, tmp_path: Path) -> None:
    for case_id in range(30):
        _submit(store, case_id, user_id=case_id % 4)
    claimed: list[int] = []

    def work() -> None:
        own, mark = JobStore(tmp_path), WorkerMark(tmp_path, "app")
        while (record := own.claim(mark)) is not None:
            claimed.append(record.case_id)
            own.end(record.id, mark, JobState.DONE)
        own.close()

    threads = [threading.Thread(target=work) for _ in range(4)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    assert sorted(claimed) == list(range(30))


def test_nothing_is_made_by_looking(tmp_path: Path) -> None:
    store = JobStore(tmp_path)
    assert store.latest(1) is None
    store.stop(1)
    assert list(tmp_path.iterdir()) == []


# --- with the case log ------------------------------------------------------------------------------------------------


def _jobs(lab: TestLaboratory, analyse: Any = read_drawing, **options: Any) -> AnalysisJobs:
    def after(case_id: int, by: Any) -> None:
        workflow.refresh_state(lab.log, case_id, by)

    return AnalysisJobs(lab.log, StandIn, analyse, after, **options)  # type: ignore[arg-type]


def test_closing_gives_the_job_back_and_the_next_process_goes_on_with_it(lab: TestLaboratory) -> None:
    (region,) = flagged(lab, 1)
    began = threading.Event()

    def slow(pixels_rgb: Any, models: Any, **options: Any) -> Any:
        began.set()
        while not options["cancelled"]():
            time.sleep(0.01)
        raise CancelledError("stopped")

    first = _jobs(lab, slow)
    first.submit(region.case_id, [region.id], lab.person("berg"))
    assert began.wait(20)
    first.close()
    assert lab.log.analysis(region.id) is None
    second = _jobs(lab)  # takes up what waits, without being asked
    status = second.wait(region.case_id)
    second.close()
    assert status is not None
    assert status.state is JobState.DONE
    assert len(lab.log.analyses(region.id)) == 1


def test_the_application_leaves_its_jobs_to_a_worker_while_there_is_one(lab: TestLaboratory) -> None:
    (region,) = flagged(lab, 1)

    def never(*_: Any, **__: Any) -> Any:
        raise AssertionError("the application worked")

    worker, application = _jobs(lab, kind=WORKER), _jobs(lab, never)
    application.submit(region.case_id, [region.id], lab.person("berg"))
    status = application.wait(region.case_id)
    worker.close()
    application.close()
    assert status is not None
    assert (status.state, status.failures) == (JobState.DONE, ())


def test_a_region_that_a_dead_worker_had_saved_is_not_analysed_again(lab: TestLaboratory) -> None:
    (region,) = flagged(lab, 1)
    store, mark = JobStore(lab.data_dir), WorkerMark(lab.data_dir, "app")
    store.submit(region.case_id, [region.id], {region.id: 0}, lab.person("berg").id)
    assert store.claim(mark) is not None
    lab.analyse(region)  # saved, and then killed before it could say so
    os.close(mark._file)
    jobs = _jobs(lab)
    status = jobs.wait(region.case_id)
    jobs.close()
    assert status is not None
    assert (status.state, status.finished_regions) == (JobState.DONE, 1)
    assert len(lab.log.analyses(region.id)) == 1


@pytest.mark.timeout(300)
def test_workers_killed_at_random_analyse_every_region_exactly_once(lab: TestLaboratory) -> None:
    outcome = kill_workers(lab, 12, seed=6)
    assert outcome["regions analysed once"] == outcome["regions"] == 12
    assert outcome["workers killed"] != 0
