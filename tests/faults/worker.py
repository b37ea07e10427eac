"""A laboratory at work in a process of its own, with load from other users, telling of each act as it begins and ends.

The acts are those of the pages, taken through `workflow` with real signing keys; only the models are a stand-in, for
what is tried here is whether anything is lost.
"""

from __future__ import annotations

import json
import logging
import os
import random
import signal
import sqlite3
import sys
import threading
import traceback
from collections.abc import Callable
from contextlib import closing
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from her2core import workflow
from her2core.imaging import DEFAULT_LIMITS
from her2core.jobs import AnalysisJobs, JobState
from her2core.records import Case, CorrectionKind, Region
from tests.pages.lab import FLAGS, StandIn, TestLaboratory, draw_region, read_drawing

__all__ = ["ACTS", "READY", "Worker", "facts", "make_template"]

READY = 3
"""Cases of the template that only wait to be signed."""


def make_template(data_dir: Path) -> None:
    """A laboratory with an analysed case to edit and cases that are ready to be signed."""
    lab = TestLaboratory.make(data_dir)
    lab.analysed([(6, 2)] * 21, "edit")
    for number in range(READY):
        case = lab.open_case(f"ready-{number}")
        lab.analyse(lab.add_region(case, [(6, 2)] * 20 + [(number, 1)]))
        workflow.confirm_review(lab.log, case.id, lab.log.case(case.id).version, lab.person("berg"))
        _settle(lab, case)
    lab.log.close()


@dataclass
class Worker:
    """The process. Forked: it starts at once, and SIGKILL spares nobody."""

    pid: int
    pipe: int
    log: Path
    """What it logged, and tracebacks of all its threads."""

    @staticmethod
    def start(data_dir: Path, act: str, seed: int) -> Worker:
        """Repeats one act until it is killed, while two others work on cases of their own."""
        read, write = os.pipe()
        log = data_dir.with_suffix(".log")
        pid = os.fork()
        if pid == 0:
            try:
                os.close(read)
                os.dup2(os.open(log, os.O_CREAT | os.O_WRONLY | os.O_APPEND, 0o600), 2)
                sys.stderr = open(2, "w", buffering=1, closefd=False)  # noqa: SIM115 - to the end of the process
                logging.basicConfig(stream=sys.stderr, level=logging.INFO, force=True)
                _work(data_dir, act, seed, write)
            except BaseException:
                traceback.print_exc()
            finally:
                os._exit(1)
        os.close(write)
        return Worker(pid, read, log)

    def until_begun(self) -> bytes:
        """What it tells until its act begins for the first time."""
        told = b""
        while b'"begins"' not in told:
            part = os.read(self.pipe, 65536)
            if not part:
                raise RuntimeError("the process ended before it began its act")
            told += part
        return told

    def kill(self) -> bytes:
        """Ends it at once, wherever it is; the rest of what it told."""
        os.kill(self.pid, signal.SIGKILL)
        told = b""
        while part := os.read(self.pipe, 65536):
            told += part
        os.close(self.pipe)
        if os.waitstatus_to_exitcode(os.waitpid(self.pid, 0)[1]) != -signal.SIGKILL:
            raise RuntimeError("the process ended by itself")
        if "Traceback" in self.log.read_text(errors="replace"):
            raise RuntimeError("one of its users met an error")
        return told


def facts(data_dir: Path, log: Path, told: bytes) -> str:
    """All that is known of a kill that went wrong: what was told last, where cases and queue stand, what was logged."""
    said = [f"told last: {told[-1500:].decode(errors='replace')}"]
    for file, sql in (
        ("caselog.sqlite", "SELECT id, accession, state, version FROM cases ORDER BY id DESC LIMIT 8"),
        ("caselog.sqlite", "SELECT id, at, action, case_id, detail FROM audit ORDER BY id DESC LIMIT 12"),
        ("caselog.sqlite", "SELECT id, region_id, at, length(nuclei) FROM analyses ORDER BY id DESC LIMIT 6"),
        ("jobs.sqlite", "SELECT id, case_id, state, stage, finished, failures, attempts, worker FROM job ORDER BY id"),
    ):
        try:
            with closing(sqlite3.connect(data_dir / file)) as db:
                found = "\n  ".join(map(str, db.execute(sql)))
        except sqlite3.Error as error:
            found = str(error)
        said.append(f"{sql}\n  {found}")
    said.append(f"files: {sorted(p.relative_to(data_dir).as_posix() for p in data_dir.rglob('*') if p.is_file())}")
    said.append(f"its log: {log.read_text(errors='replace')[-6000:] if log.exists() else 'none'}")
    return "\n".join(said)


class _Desk:
    """One user at work; `say` writes one whole line to the pipe, which other threads write to as well."""

    def __init__(self, lab: TestLaboratory, seed: str, say: Callable[..., None]) -> None:
        self.lab, self.seed, self.say = lab, seed, say
        self.by = lab.person("berg")
        self.chance = random.Random(seed)
        self.number = 0
        self.jobs = AnalysisJobs(lab.log, lambda: StandIn(), read_drawing, self._after)  # type: ignore[arg-type, return-value]
        self.case, self.region = self._case_of("edit")
        self.ready = [self._case_of(f"ready-{number}")[0] for number in range(READY)]

    def upload(self) -> Region:
        self.number += 1
        case = self.lab.open_case(f"{self.seed}-{self.number}")
        self.say(case=case.id)
        # Every picture is another one, for the same image is refused.
        counts = [(self.chance.randrange(1, 7), self.chance.randrange(1, 5)) for _ in range(24)]
        data, limits = draw_region(counts), DEFAULT_LIMITS
        region, image = workflow.add_region(self.lab.log, case.id, data, "field.png", self.by, limits)
        self.say(region=region.id, sha256=image.sha256)
        return region

    def analysis(self) -> None:
        region = self.upload()
        workflow.set_flags(self.lab.log, region.id, FLAGS, self.by)
        self.say(flags=region.id)
        self.jobs.submit(region.case_id, [region.id], self.by)
        status = self.jobs.wait(region.case_id)
        if status is None or status.state is not JobState.DONE:
            raise RuntimeError(f"the analysis ended as {status}")
        self.say(analysed=region.id)

    def edit(self) -> None:
        nucleus = self.chance.randrange(1, 22)
        new = {"her2": self.chance.randrange(30), "cep17": self.chance.randrange(9)}
        kind = CorrectionKind.COUNTS
        correction = workflow.correct(self.lab.log, self.region.id, nucleus, kind, new, self.by)
        self.say(correction=correction.id, region=self.region.id, nucleus=nucleus, new=new)

    def signing(self) -> None:
        if not self.ready:
            region = self.upload()
            workflow.set_flags(self.lab.log, region.id, FLAGS, self.by)
            self.jobs.submit(region.case_id, [region.id], self.by)
            self.jobs.wait(region.case_id)
            case = self.lab.log.case(region.case_id)
            workflow.confirm_review(self.lab.log, case.id, case.version, self.by)
            _settle(self.lab, case)
            self.ready.append(case)
        report = self.lab.sign(self.ready.pop())
        self.say(report=report.id, sha256=report.sha256)

    def _after(self, case_id: int, by: Any) -> None:
        workflow.refresh_state(self.lab.log, case_id, by)

    def _case_of(self, accession: str) -> tuple[Case, Region]:
        case = self.lab.log.case_by_accession(accession)
        return case, self.lab.log.regions(case.id)[0]


ACTS: tuple[str, ...] = ("upload", "analysis", "edit", "signing")


def _settle(lab: TestLaboratory, case: Case) -> None:
    """What stands between a reviewed case and its signature."""
    workflow.attest(lab.log, case.id, lab.person("berg"), True)
    for warning in workflow.assess(lab.log, case.id).warnings:
        workflow.acknowledge(lab.log, case.id, warning, lab.person("berg"))


def _work(data_dir: Path, act: str, seed: int, pipe: int) -> None:
    def say(**told: Any) -> None:
        os.write(pipe, json.dumps(told).encode() + b"\n")  # below PIPE_BUF: lines of threads do not mix

    lab = TestLaboratory.reopen(data_dir)
    desks = [_Desk(lab, f"{seed}-{name}", say) for name in ("first", "second", "third")]
    for desk, other in zip(desks[1:], ("edit", "analysis"), strict=True):
        threading.Thread(target=_repeat, args=(desk, other), daemon=True).start()
    while True:
        say(begins=act)
        getattr(desks[0], act)()
        say(ends=act)


def _repeat(desk: _Desk, act: str) -> None:
    while True:
        getattr(desk, act)()
