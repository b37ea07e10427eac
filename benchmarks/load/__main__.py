"""`python -m benchmarks.load`: 25 pathologists review while 50 regions wait, on one machine.

The application is served as `her2core serve` does, analyses run in `her2core worker` beside it, with the models of this
repository. Each pathologist is a WebSocket client that signs in, opens a case and edits nuclei, with pauses, and runs
the page's timers as a browser would. Measured: from sending an edit to the new tally, first while no region waits, then
while 50 do; memory of both processes throughout; and at the end, whether every acknowledged edit and every region is in
the case log, once. Writes load.md and load.json into benchmarks/results/load/, and the outcome into docs/scale.md.
"""

from __future__ import annotations

import argparse
import io
import json
import os
import platform
import statistics
import subprocess
import sys
import tempfile
import threading
import time
from collections.abc import Sequence
from pathlib import Path
from typing import Any

from argon2 import PasswordHasher
from PIL import Image

from benchmarks.document import SCALE, replaced
from benchmarks.load.visitors import Pathologist, Share
from benchmarks.speed.regions import fields, mosaic
from her2core import workflow
from her2core.accounts import Accounts
from her2core.imaging import DEFAULT_LIMITS
from her2core.job_store import JobState, JobStore
from her2core.records import Region, Role
from tests.pages.lab import CA_PASSPHRASE, FLAGS, POSITIVE, TestLaboratory
from tests.served import free_port, wait_until_up

ROOT = Path(__file__).resolve().parents[2]
RESULTS = ROOT / "benchmarks" / "results" / "load"
BEFORE, DURING = "no region waits", "regions wait"
TARGET_MS = 500
PASSWORD = "long secret of the load test 7"  # noqa: S105 (of accounts that end with the test)


def say(text: str) -> None:
    """Progress goes to standard error."""
    print(f"[{time.strftime('%H:%M:%S')}] {text}", file=sys.stderr, flush=True)


def prepared(lab: TestLaboratory, people: int, regions: int, work: Path) -> tuple[list[Share], list[Region]]:
    """A case with an analysed region for each pathologist, and cases with a flagged region that waits."""
    accounts, admin = Accounts(lab.log, PasswordHasher(time_cost=1, memory_cost=8, parallelism=1)), lab.person("nair")
    shares, waiting = [], []
    for number in range(people):
        name = f"reader{number}"
        user = accounts.add_user(name, f"Reader {number}", "MD", Role.PATHOLOGIST, PASSWORD, admin)
        case = lab.open_case(f"L26-{number:03}")
        region = lab.add_region(case, [*POSITIVE, (1 + number % 5, 1 + number // 5 % 4)], shade=100 + number)
        lab.analyse(region)
        lab.log.keep_place(case.id, user, "pages/review.py", region.id)
        shares.append(Share(name, PASSWORD, case.id, region.id))
    pieces = fields(work / "fields", 4)
    for number in range(regions):
        case = lab.open_case(f"W26-{number:03}")
        pixels = mosaic(pieces, 1360, 1024, first=number).copy()
        pixels[0, 0] = (number, number, 255 - number)  # each another image
        buffer = io.BytesIO()
        Image.fromarray(pixels).save(buffer, "PNG")
        by = lab.person("berg")
        region, _ = workflow.add_region(lab.log, case.id, buffer.getvalue(), f"w{number}.png", by, DEFAULT_LIMITS)
        waiting.append(workflow.set_flags(lab.log, region.id, FLAGS, by))
    return shares, waiting


class Memory(threading.Thread):
    """Resident memory of processes in MB, once a second: first, highest and last."""

    def __init__(self, pids: dict[str, int]) -> None:
        super().__init__(daemon=True)
        self.seen: dict[str, list[float]] = {name: [] for name in pids}
        self.stop = threading.Event()
        self._pids = pids

    def run(self) -> None:
        while not self.stop.wait(1.0):
            for name, pid in self._pids.items():
                try:
                    pages = int(Path(f"/proc/{pid}/statm").read_text().split()[1])
                except (OSError, IndexError):
                    continue
                self.seen[name].append(pages * os.sysconf("SC_PAGE_SIZE") / 1e6)

    def table(self) -> dict[str, dict[str, int]]:
        """Rounded."""
        return {
            name: {"first": round(mb[0]), "highest": round(max(mb)), "last": round(mb[-1])}
            for name, mb in self.seen.items()
            if mb
        }


def measured(args: argparse.Namespace, folder: Path) -> dict[str, Any]:
    """The whole of it. Raises RuntimeError where a pathologist could not work, or anything was lost."""
    lab = TestLaboratory.make(folder / "data")
    say("preparing cases")
    shares, waiting = prepared(lab, args.people, args.regions, args.work or folder)
    environment = {name: value for name, value in os.environ.items() if not name.startswith("HER2CORE_")}
    environment |= {"HER2CORE_DATA": str(lab.data_dir), "HER2CORE_CA_PASSPHRASE": CA_PASSPHRASE}
    port, log = free_port(), (folder / "server.log").open("wb")
    serve = [sys.executable, "-m", "streamlit", "run", str(ROOT / "app.py"), "--server.port", str(port)]
    server = subprocess.Popen(serve, cwd=ROOT, env=environment, stdout=log, stderr=subprocess.STDOUT)  # noqa: S603
    work = [sys.executable, "-m", "her2core", "worker", "--device", "cpu"]
    workers: list[subprocess.Popen[bytes]] = []
    phase: list[str | None] = [None]
    readers = [Pathologist(port, share, tuple(args.pause), phase, n) for n, share in enumerate(shares)]
    try:
        wait_until_up(server, port)
        say("signing in")
        for reader in readers:
            reader.start()
            reader.ready.wait(args.patience)
            if reader.share.problem or not reader.ready.is_set():
                raise RuntimeError(f"{reader.name}: {reader.share.problem or 'not signed in in time'}")
        load = [os.getloadavg()[0]]
        say("reviewing, no region waits")
        memory = Memory({"application": server.pid})
        memory.start()
        phase[0] = BEFORE
        time.sleep(args.seconds)
        phase[0] = None
        memory.stop.set()
        workers = [subprocess.Popen(work, cwd=ROOT, env=environment, stdout=log, stderr=log)]  # noqa: S603
        store = JobStore(lab.data_dir)
        while not store.has_worker("worker"):
            time.sleep(0.2)
        load.append(os.getloadavg()[0])
        for region in waiting:
            store.submit(region.case_id, [region.id], {region.id: 0}, lab.person("berg").id)
        say("reviewing, regions wait")
        during = Memory({"application": server.pid, "worker": workers[0].pid})
        during.start()
        started, analysed_s = time.monotonic(), None
        phase[0] = DURING
        while time.monotonic() - started < args.patience:
            time.sleep(1.0)
            left = sum(store.counts().values())
            if left == 0:
                analysed_s = time.monotonic() - started
            if time.monotonic() - started >= args.seconds:
                phase[0] = None
            if left == 0 and phase[0] is None:
                break
        during.stop.set()
        load.append(os.getloadavg()[0])
    finally:
        for reader in readers:
            reader.stop.set()
        for reader in readers:
            if reader.is_alive():
                reader.join(60)
        for process in (*workers, server):
            process.terminate()
        for process in (*workers, server):
            process.wait(60)
        log.close()
    say("looking for what was lost")
    return {
        "people": args.people, "regions": args.regions, "seconds a phase": args.seconds, "pause s": list(args.pause),
        "clicks": {name: _clicks(shares, name) for name in (BEFORE, DURING)},
        "memory MB": {BEFORE: memory.table(), DURING: during.table()},
        "seconds until all were analysed": None if analysed_s is None else round(analysed_s),
        "load": [round(value, 1) for value in load], "lost": _lost(lab, shares, waiting, store),
        "date": time.strftime("%Y-%m-%d"), "machine": f"{platform.machine()}, {os.cpu_count()} cores",
        "nice": os.nice(0),
    }  # fmt: skip


def _clicks(shares: Sequence[Share], name: str) -> dict[str, float]:
    times = sorted(t for share in shares for t in share.clicks_s.get(name, ()))
    if len(times) < 2:
        raise RuntimeError(f"hardly any clicks while {name}: {[share.problem for share in shares if share.problem]}")
    return {
        "number": len(times), "median ms": round(1000 * statistics.median(times)),
        "95 % within ms": round(1000 * times[int(0.95 * (len(times) - 1))]), "longest ms": round(1000 * times[-1]),
    }  # fmt: skip


def _lost(lab: TestLaboratory, shares: Sequence[Share], waiting: Sequence[Region], store: JobStore) -> dict[str, int]:
    """Edits that were acknowledged and are not recorded, or twice; regions without exactly one analysis."""
    recorded = {share.name: len(lab.log.corrections(share.region_id)) for share in shares}
    jobs = [store.latest(region.case_id) for region in waiting]
    analyses = [len(lab.log.analyses(region.id)) for region in waiting]
    return {
        "edits acknowledged": sum(share.acknowledged for share in shares),
        "edits recorded": sum(recorded.values()),
        "pathologists who could not go on": sum(share.problem is not None for share in shares),
        "regions analysed once": analyses.count(1),
        "regions analysed twice": sum(n > 1 for n in analyses),
        "regions that failed": sum(job is not None and job.state is JobState.FAILED for job in jobs),
        "regions that still wait": sum(job is not None and job.ended_at is None for job in jobs),
        "findings of the case log's check": len(lab.log.check()),
    }


def page(found: dict[str, Any]) -> str:
    """Markdown."""
    rows = [(name, found["clicks"][name]) for name in (BEFORE, DURING)]
    lines = [
        "# Many users at once",
        "",
        f"Written by `python -m benchmarks.load` on {found['date']} ({found['machine']}). {found['people']} "
        "pathologists, each a WebSocket client that edits a nucleus every "
        f"{found['pause s'][0]:g} to {found['pause s'][1]:g} s and runs the page's timers; {found['regions']} regions "
        "of 1360 × 1024 px wait for one worker with the committed models. Load average at sign-in, before and "
        f"after the regions: {found['load']}; other work ran beside it where it is well above 2. The test ran at nice "
        f"{found['nice']}, the worker 10 above, as it does.",
        "",
        "| while | clicks | median, ms | 95 % within, ms | longest, ms |",
        "|---|---|---|---|---|",
        *(
            f"| {name} | {c['number']} | {c['median ms']} | {c['95 % within ms']} | {c['longest ms']} |"
            for name, c in rows
        ),
        "",
        "From sending an edit to the arrival of the state with its tally; the edit is in the case log by then. A "
        "browser adds the drawing of the editor.",
        "",
        "| resident memory, MB | first | highest | last |",
        "|---|---|---|---|",
        *(
            f"| {process}, {name} | {mb['first']} | {mb['highest']} | {mb['last']} |"
            for name, processes in found["memory MB"].items()
            for process, mb in processes.items()
        ),
        "",
        f"All regions were analysed after {found['seconds until all were analysed']} s."
        if found["seconds until all were analysed"] is not None
        else "Not all regions were analysed by the end of the test.",
        "",
        "| nothing lost | |",
        "|---|---|",
        *(f"| {what} | {number} |" for what, number in found["lost"].items()),
        "",
    ]
    return "\n".join(lines)


def sentence(found: dict[str, Any]) -> str:
    """The outcome in a sentence, for docs/scale.md."""
    memory, lost = found["memory MB"][DURING], found["lost"]
    application = max(found["memory MB"][BEFORE]["application"]["highest"], memory["application"]["highest"])
    intact = (
        lost["edits recorded"] == lost["edits acknowledged"]
        and lost["regions analysed once"] == found["regions"]
        and not lost["findings of the case log's check"]
    )
    return (
        f"On {found['date']} a click had its tally after {found['clicks'][DURING]['median ms']} ms (median) while "
        f"regions were analysed; the application needed {application} MB and the worker "
        f"{memory['worker']['highest']} MB at most; "
        + ("every edit and every region was in the case log, once." if intact else "NOT ALL was in the case log, once.")
    )


def main(argv: Sequence[str] | None = None) -> None:
    """Measure and write the page. Fails where anything was lost; the time of a click is told, since the machine may be
    busy with other work."""
    parser = argparse.ArgumentParser(prog="python -m benchmarks.load", description=__doc__)
    parser.add_argument("--people", type=int, default=25)
    parser.add_argument("--regions", type=int, default=50)
    parser.add_argument("--seconds", type=float, default=60.0, help="of each phase")
    parser.add_argument("--pause", type=float, nargs=2, default=(4.0, 10.0), help="seconds between edits of a person")
    parser.add_argument("--patience", type=float, default=420.0, help="seconds until all must be analysed")
    parser.add_argument("--results", type=Path, default=RESULTS)
    parser.add_argument("--work", type=Path, help="where rendered fields are kept between runs")
    args = parser.parse_args(argv)
    with tempfile.TemporaryDirectory() as folder:
        found = measured(args, Path(folder))
    args.results.mkdir(parents=True, exist_ok=True)
    (args.results / "load.json").write_text(json.dumps(found, indent=1) + "\n")
    (args.results / "load.md").write_text(page(found))
    if args.results == RESULTS:
        SCALE.write_text(replaced(SCALE.read_text(), "Load", sentence(found)))
    print(json.dumps(found, indent=1))
    lost = found["lost"]
    if (
        lost["edits recorded"] != lost["edits acknowledged"]
        or lost["regions analysed twice"]
        or lost["regions that failed"]
        or lost["pathologists who could not go on"]
        or lost["findings of the case log's check"]
    ):
        raise SystemExit("something was lost; see above")
    if found["clicks"][DURING]["median ms"] > TARGET_MS:
        say(f"the median click took more than {TARGET_MS} ms (load {found['load']})")


if __name__ == "__main__":
    main()
