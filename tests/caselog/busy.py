"""A laboratory at work in a process of its own, telling of each act as soon as it is acknowledged."""

from __future__ import annotations

import json
import os
import signal
from dataclasses import dataclass
from pathlib import Path

from her2core.records import CaseState
from tests.caselog.lab import FLAGS, PDF, Lab, analysis, details, sha


@dataclass
class Busy:
    """A child process at work. Forked: it starts at once, and SIGKILL spares nobody."""

    pid: int
    pipe: int

    @staticmethod
    def start(data_dir: Path, seed: str, cases: int = 10_000) -> Busy:
        """Takes that many cases from intake to signature, unless it is killed before."""
        read, write = os.pipe()
        pid = os.fork()
        if pid == 0:
            code = 1
            try:
                os.close(read)
                _work(data_dir, seed, cases, write)
                code = 0
            finally:
                os._exit(code)
        os.close(write)
        return Busy(pid, read)

    def wait_for_first(self) -> bytes:
        """The first bytes that it tells."""
        return os.read(self.pipe, 1)

    def kill(self) -> None:
        """Ends it at once, wherever it is."""
        os.kill(self.pid, signal.SIGKILL)

    def finish(self) -> tuple[int, bytes]:
        """Waits for its end: exit code (negative: the signal), and the rest of what it told."""
        told = b""
        while part := os.read(self.pipe, 65536):
            told += part
        os.close(self.pipe)
        return os.waitstatus_to_exitcode(os.waitpid(self.pid, 0)[1]), told


def _work(data_dir: Path, seed: str, cases: int, pipe: int) -> None:
    def say(**act: int) -> None:
        os.write(pipe, json.dumps(act).encode() + b"\n")

    lab = Lab.reopen(data_dir)
    for number in range(cases):
        accession = f"{seed}-{number}"
        case = lab.log.create_case(details(accession), lab.anna)
        say(case=case.id)
        image = accession.encode() * 5000
        region = lab.log.add_region(case.id, image, "f.png", 10, 10, None, sha(image), lab.anna)
        say(region=region.id)
        lab.log.set_flags(region.id, FLAGS, lab.anna)
        lab.log.save_analysis(region.id, analysis(), lab.anna)
        say(analysed=region.id)
        lab.log.set_state(case.id, CaseState.ANALYSED, lab.anna)
        for her2 in range(5):
            say(correction=lab.correct(region, her2).id)
        case = lab.log.mark_reviewed(case.id, lab.log.case(case.id).version, lab.anna)
        case = lab.log.set_state(case.id, CaseState.READY, lab.anna)
        say(report=lab.sign(case, PDF + image).id)
