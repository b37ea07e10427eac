"""Eight processes write to the same case log at once."""

from __future__ import annotations

import json
import os
import shutil
import time
import traceback
from collections import Counter
from pathlib import Path

import pytest

from her2core import workflow
from her2core.caselog import CaseLog
from her2core.records import CorrectionKind
from tests.pages.lab import TestLaboratory
from tests.proof import Proof, Record, times

WRITERS = 8
EDITS = times(5, 500)


def _writer(data_dir: Path, number: int, pipe: int) -> None:
    """Child process: corrects counts of a nucleus of its own, telling ids and the longest wait at its end."""
    try:
        lab = TestLaboratory.reopen(data_dir)
        by = lab.person(("berg", "okafor")[number % 2])
        region = lab.log.regions(lab.log.case_by_accession("edit").id)[0]
        ids, longest_s = [], 0.0
        for edit in range(EDITS):
            started = time.monotonic()
            new = {"her2": edit, "cep17": number}
            ids.append(workflow.correct(lab.log, region.id, number + 1, CorrectionKind.COUNTS, new, by).id)
            longest_s = max(longest_s, time.monotonic() - started)
        told = json.dumps({"ids": ids, "longest_s": longest_s})
    except BaseException:
        told = json.dumps({"error": traceback.format_exc()})
    with os.fdopen(pipe, "w") as end:
        end.write(told)


@pytest.mark.timeout(3600)
def test_of_eight_processes_writing_at_once_no_edit_is_lost_and_none_finds_the_log_locked(
    record_property: Record, template: Path, tmp_path: Path
) -> None:
    proof = Proof(record_property, "Faults", f"{WRITERS} processes with {EDITS} edits each of one region at once")
    folder = tmp_path / "data"
    shutil.copytree(template, folder)
    started, pipes, pids = time.monotonic(), [], []
    for number in range(WRITERS):
        read, write = os.pipe()
        pid = os.fork()
        if pid == 0:
            try:
                os.close(read)
                _writer(folder, number, write)
            finally:
                os._exit(0)
        os.close(write)
        pipes.append(read)
        pids.append(pid)
    told = []
    for read, pid in zip(pipes, pids, strict=True):
        with os.fdopen(read) as end:
            told.append(json.loads(end.read()))
        os.waitpid(pid, 0)
    seconds = time.monotonic() - started
    assert [writer.get("error") for writer in told] == [None] * WRITERS

    with CaseLog(folder) as log:
        region = log.regions(log.case_by_accession("edit").id)[0]
        kept = log.corrections(region.id)
        assert sorted(number for writer in told for number in writer["ids"]) == [c.id for c in kept]
        per_writer = Counter(c.new["cep17"] for c in kept)
        assert per_writer == dict.fromkeys(range(WRITERS), EDITS)
        for number in range(WRITERS):  # in the order in which each wrote them
            assert [c.new["her2"] for c in kept if c.new["cep17"] == number] == list(range(EDITS))
        assert log.check() == []
    proof.tries = WRITERS * EDITS
    longest_s = max(writer["longest_s"] for writer in told)
    proof.holds(
        f"none lost, none refused as locked; each waited for the disk, {proof.tries / seconds:.0f} edits a second in "
        f"all, the longest took {longest_s:.1f} s; `check` clean"
    )
