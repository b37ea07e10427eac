"""Workers of the queue killed at random: real processes, real case log, models that a drawing can do without.

`python -m tests.job_kills --out FILE` does it with 300 regions and writes a table; `make test` with a dozen.
"""

from __future__ import annotations

import argparse
import json
import os
import random
import signal
import tempfile
import time
from collections.abc import Sequence
from pathlib import Path
from typing import Any

from her2core import workflow
from her2core.job_store import JobRecord, JobState, JobStore
from her2core.jobs import WORKER, AnalysisJobs
from her2core.records import Region
from tests.pages.lab import FLAGS, POSITIVE, StandIn, TestLaboratory, read_drawing

__all__ = ["flagged", "kill_workers"]

_WORKERS = 3


def flagged(lab: TestLaboratory, number: int) -> list[Region]:
    """One region, flagged and ready for analysis, in each of so many cases; each another image."""
    regions = []
    for index in range(number):
        case = lab.open_case(f"case-{index}")
        counts = [(2 + index % 5, 2)] * 8 + [(1 + index // 5 % 6, 1 + index // 30 % 4), (1 + index // 120, 1)]
        regions.append(lab.add_region(case, [*counts, *POSITIVE[:2]], shade=100 + index % 100))
        workflow.set_flags(lab.log, regions[-1].id, FLAGS, lab.person("berg"))
    return regions


def kill_workers(lab: TestLaboratory, number: int, seed: int) -> dict[str, object]:
    """Let three worker processes analyse so many regions, kill one every so often, and say what came of it.

    A job whose workers died too often fails, as it should; it is then started again, as its pathologist would.
    """
    regions, chance = flagged(lab, number), random.Random(seed)
    store, by, started = JobStore(lab.data_dir), lab.person("berg"), time.monotonic()
    for region in regions:
        store.submit(region.case_id, [region.id], {region.id: 0}, by.id)
    store.close()
    lab.log.close()  # nothing open may go into the processes that are forked
    killed, again, pids = 0, 0, [_forked(lab.data_dir) for _ in range(_WORKERS)]
    while True:
        time.sleep(chance.uniform(0.2, 0.6))
        unlucky = chance.randrange(_WORKERS)
        _kill(pids[unlucky])
        killed += 1
        ends = [_latest(store, region) for region in regions]
        for region, end in zip(regions, ends, strict=True):
            if end.state is JobState.FAILED:
                store.submit(region.case_id, [region.id], {region.id: 0}, by.id)
                again += 1
        store.close()
        if all(end.state is JobState.DONE for end in ends):
            break
        pids[unlucky] = _forked(lab.data_dir)
    for pid in pids[:unlucky] + pids[unlucky + 1 :]:
        _kill(pid)
    log = TestLaboratory.reopen(lab.data_dir).log
    analyses = [len(log.analyses(region.id)) for region in regions]
    findings = log.check()
    log.close()
    return {
        "regions": number, "workers at a time": _WORKERS, "workers killed": killed, "started again by hand": again,
        "regions analysed once": analyses.count(1), "not at all": analyses.count(0),
        "more than once": sum(n > 1 for n in analyses), "findings of the case log's check": len(findings),
        "seconds": round(time.monotonic() - started, 1),
    }  # fmt: skip


def _latest(store: JobStore, region: Region) -> JobRecord:
    record = store.latest(region.case_id)
    if record is None:
        raise RuntimeError(f"the job of case {region.case_id} is lost")
    return record


def _kill(pid: int) -> None:
    os.kill(pid, signal.SIGKILL)
    os.waitpid(pid, 0)


def _forked(data_dir: Path) -> int:
    """A worker process with a laboratory of its own; works until it is killed."""
    pid = os.fork()
    if pid:
        return pid
    try:
        lab = TestLaboratory.reopen(data_dir)

        def slow(*given: Any, **options: Any) -> Any:
            time.sleep(0.02)
            return read_drawing(*given, **options)

        def after(case_id: int, by: Any) -> None:
            workflow.refresh_state(lab.log, case_id, by)

        AnalysisJobs(lab.log, StandIn, slow, after, kind=WORKER).run_until_idle(1e9)  # type: ignore[arg-type]
    finally:
        os._exit(1)


def main(argv: Sequence[str] | None = None) -> None:
    """Kill, and write the table. Fails where a region was not analysed exactly once."""
    parser = argparse.ArgumentParser(prog="python -m tests.job_kills", description=__doc__)
    parser.add_argument("--out", type=Path)
    parser.add_argument("--regions", type=int, default=300)
    parser.add_argument("--seed", type=int, default=1)
    args = parser.parse_args(argv)
    with tempfile.TemporaryDirectory() as folder:
        outcome = kill_workers(TestLaboratory.make(Path(folder) / "data"), args.regions, args.seed)
    print(json.dumps(outcome, indent=1))
    if outcome["regions analysed once"] != args.regions or outcome["findings of the case log's check"]:
        raise SystemExit("not every region was analysed exactly once")
    if args.out is not None:
        table = json.loads(args.out.read_text()) if args.out.exists() else {}
        args.out.write_text(json.dumps({**table, "queue": outcome}, indent=1) + "\n")


if __name__ == "__main__":
    main()
