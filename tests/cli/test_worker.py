"""`worker`: a process beside the application that empties its queue, and gives back what it cannot finish."""

# ruff: noqa: F811 (fixtures are imported, and named again where they are used)

from __future__ import annotations

import os
import signal
import subprocess
import sys
import time
from pathlib import Path

import pytest

from her2core.job_store import JobState, JobStore
from tests.job_kills import flagged
from tests.pages.conftest import lab, no_waiting_for_the_disk, template  # noqa: F401 (fixtures)
from tests.pages.lab import TestLaboratory

ROOT = Path(__file__).resolve().parents[2]


def _worker(lab: TestLaboratory, *arguments: str) -> subprocess.Popen[str]:
    environment = {name: value for name, value in os.environ.items() if not name.startswith("HER2CORE_")}
    environment |= {"PYTHONPATH": str(ROOT), "HER2CORE_DATA": str(lab.data_dir)}
    return subprocess.Popen(
        [sys.executable, "-m", "her2core", "worker", "--device", "cpu", *arguments],
        cwd=ROOT, env=environment, stderr=subprocess.PIPE, text=True,
    )  # fmt: skip


@pytest.mark.timeout(280)
def test_a_worker_empties_the_queue_and_another_one_stops_when_it_is_told_to(lab: TestLaboratory) -> None:
    (region,) = flagged(lab, 1)
    store = JobStore(lab.data_dir)
    store.submit(region.case_id, [region.id], {region.id: 0}, lab.person("berg").id)
    first = _worker(lab, "--until-idle")
    _, said = first.communicate(timeout=200)
    assert first.returncode == 0, said
    record = store.latest(region.case_id)
    assert record is not None
    assert (record.state, record.failures) == (JobState.DONE, ())
    assert len(lab.log.analyses(region.id)) == 1
    second = _worker(lab)
    patience = time.monotonic() + 100
    while not store.has_worker("worker") and time.monotonic() < patience:
        time.sleep(0.1)
    second.send_signal(signal.SIGTERM)
    _, said = second.communicate(timeout=60)
    assert second.returncode == 0, said
    assert "Stopped." in said
    assert not store.has_worker("worker")


def test_a_worker_can_be_stopped_from_the_moment_it_can_be_seen(lab: TestLaboratory) -> None:
    """SIGTERM between the sign of life and its handler killed the worker, and its sign of life stayed."""
    store = JobStore(lab.data_dir)
    worker = _worker(lab)
    patience = time.monotonic() + 100
    while not store.has_worker("worker") and time.monotonic() < patience:
        pass  # at once
    worker.send_signal(signal.SIGTERM)
    _, said = worker.communicate(timeout=60)
    assert (worker.returncode, store.has_worker("worker")) == (0, False), said
