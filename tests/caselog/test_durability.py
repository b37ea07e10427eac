"""Many writers at once, processes killed at any moment, power lost, disks full or read-only."""

from __future__ import annotations

import errno
import json
import os
import random
import shutil
import signal
import sqlite3
import subprocess
import time
from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path
from typing import Any

import pytest
from sqlite_utils import Database

from her2core.caselog import CaseLog, _database
from her2core.errors import CaseLogError
from tests.caselog.busy import Busy
from tests.caselog.lab import FLAGS, Lab, analysis, sha
from tests.disks import mounted

KILLS = 10


def _assert_holds(log: CaseLog, told: bytes) -> None:
    """That each act which was acknowledged is in the log."""
    for line in told.split(b"\n")[:-1]:
        for kind, number in json.loads(line).items():
            if kind == "case":
                log.case(number)
            elif kind == "region":
                log.image_bytes(log.region(number))
            elif kind == "analysed":
                assert log.analysis(number) == analysis()
            elif kind == "report":
                log.report_pdf(number)
            else:
                with log.reading() as db:
                    assert db.execute("SELECT 1 FROM corrections WHERE id = ?", [number]).fetchone()


def test_of_four_threads_with_a_hundred_corrections_each_none_is_lost(lab: Lab) -> None:
    case, region = lab.analysed()

    def correct(her2: int) -> list[int]:
        user = (lab.anna, lab.ben)[her2 % 2]
        return [lab.correct(region, her2, by=user).id for _ in range(100)]

    with ThreadPoolExecutor(4) as pool:
        ids = [number for made in pool.map(correct, range(4)) for number in made]
    kept = lab.log.corrections(region.id)
    assert sorted(ids) == [c.id for c in kept]
    assert len(kept) == 400
    assert all([c.new["her2"] for c in kept].count(her2) == 100 for her2 in range(4))
    assert lab.log.case(case.id).version == case.version + 400
    assert lab.log.check() == []


def test_readers_see_whole_acts_only_while_others_write(lab: Lab) -> None:
    case, region = lab.analysed()
    with ThreadPoolExecutor(2) as pool:
        writing = pool.submit(lambda: [lab.correct(region) for _ in range(60)])
        while not writing.done():
            with lab.log.reading() as db:
                version = db.execute("SELECT version FROM cases WHERE id = ?", [case.id]).fetchone()[0]
                time.sleep(0.002)
                corrections = db.execute("SELECT count(*) FROM corrections").fetchone()[0]
            assert version - case.version == corrections
        writing.result()


def test_of_three_processes_working_at_once_none_loses_an_act(lab: Lab) -> None:
    busy = [Busy.start(lab.log.data_dir, seed, 3) for seed in ("a", "b", "c")]
    for process in busy:
        code, told = process.finish()
        assert code == 0
        assert told.count(b"report") == 3
        _assert_holds(lab.log, told)
    assert len(lab.log.look_up_ids()) == 9
    assert lab.log.check() == []


def test_a_new_log_opened_by_many_at_once_is_made_once(tmp_path: Path) -> None:
    logs = [CaseLog(tmp_path / "data") for _ in range(6)]
    with ThreadPoolExecutor(6) as pool:
        list(pool.map(CaseLog.open, logs))
    assert [entry.action for entry in logs[0].audit()] == ["case log migrated"]
    assert logs[0].check() == []
    for log in logs:
        log.close()


def test_killed_at_any_moment_a_durable_log_opens_checks_clean_and_holds_what_was_acknowledged(
    templates: Path, tmp_path: Path
) -> None:
    chance = random.Random(11)
    for number in range(KILLS):
        folder = tmp_path / str(number)
        shutil.copytree(templates / "empty", folder)
        process = Busy.start(folder, "k")
        told = process.wait_for_first()
        time.sleep(chance.uniform(0, 0.3))
        process.kill()
        code, rest = process.finish()
        assert code == -signal.SIGKILL
        with CaseLog(folder) as log:
            assert log.check() == []
            _assert_holds(log, told + rest)
        lab = Lab.reopen(folder)
        lab.draft("after")
        lab.log.close()


def test_a_log_whose_wal_ends_anywhere_opens_at_an_earlier_moment(lab: Lab, tmp_path: Path) -> None:
    lab.fill()
    head = lab.log.audit_head()
    database, wal = lab.log.path.read_bytes(), Path(f"{lab.log.path}-wal").read_bytes()
    page_bytes, header_bytes = 4096, 32
    frame_bytes = page_bytes + 24
    frames = (len(wal) - header_bytes) // frame_bytes
    assert frames > 20
    chance = random.Random(2)
    cuts = [header_bytes + frame_bytes * number for number in range(0, frames + 1, 6)]
    cuts += [chance.randrange(len(wal)) for _ in range(10)]
    seen = set()
    for number, cut in enumerate(cuts):
        folder = tmp_path / f"cut {number}"
        shutil.copytree(lab.log.data_dir, folder, ignore=shutil.ignore_patterns("caselog.*"))
        (folder / "caselog.sqlite").write_bytes(database)
        (folder / "caselog.sqlite-wal").write_bytes(wal[:cut])
        with CaseLog(folder) as log:
            seen.add(log.audit(limit=1)[0].id)
            # What was flushed is gone, as on a drive that lies about it: the rest is whole, and the heads tell of it.
            found = [finding.record for finding in log.check()]
            assert found == ([] if log.audit_head() == head else ["audit trail"])
            log.heads.path.unlink()
            assert log.check() == []
    assert len(seen) > 5


@pytest.fixture
def small_disk(tmp_path: Path) -> Iterator[Path]:
    """A disk of two megabytes of its own."""
    with mounted(tmp_path / "disk", "2m") as disk:
        yield disk


def test_on_a_full_disk_nothing_is_half_written_and_the_user_is_told(small_disk: Path) -> None:
    lab = Lab.make(small_disk / "data")
    case, region = lab.analysed()
    (small_disk / "ballast").write_bytes(b"x" * 300_000)
    with pytest.raises(CaseLogError, match="disk is full; nothing was recorded"):
        lab.region(case, b"i" * 3_000_000)
    done = 0
    with pytest.raises(CaseLogError, match="disk"):
        for _ in range(10_000):
            lab.correct(region)
            done += 1
    assert done > 0
    (small_disk / "ballast").unlink()
    assert len(lab.log.corrections(region.id)) == done
    assert lab.log.check() == []
    lab.correct(region)
    assert [part.name for part in (lab.log.data_dir / "images").iterdir()] == [region.image_sha256]
    lab.log.close()


def test_on_a_read_only_disk_reading_works_and_writing_is_refused_in_words(small_disk: Path) -> None:
    lab = Lab.make(small_disk / "data")
    case, region = lab.analysed()
    lab.log.close()
    subprocess.run(["mount", "-o", "remount,ro", str(small_disk)], check=True)
    with pytest.raises(CaseLogError, match=r"cannot be (written|opened)"):
        lab.correct(region)
    subprocess.run(["mount", "-o", "remount,rw", str(small_disk)], check=True)
    lab.log.open()
    lab.correct(region)
    assert lab.log.case(case.id).version == case.version + 1
    lab.log.close()


@pytest.mark.parametrize(
    ("number", "words"),
    [(errno.ENOSPC, "disk is full"), (errno.EROFS, "cannot be written"), (errno.EIO, "check the disk")],
)
def test_an_image_that_cannot_be_written_leaves_no_row(
    lab: Lab, monkeypatch: pytest.MonkeyPatch, number: int, words: str
) -> None:
    case = lab.draft()
    head = lab.log.audit_head()

    def fail(descriptor: int) -> None:
        raise OSError(number, "no")

    monkeypatch.setattr(os, "fsync", fail)
    with pytest.raises(CaseLogError, match=words):
        lab.region(case)
    assert lab.log.regions(case.id) == []
    assert lab.log.audit_head() == head
    assert list((lab.log.data_dir / "images").iterdir()) == []


def test_an_act_whose_head_cannot_be_read_after_its_commit_is_told_as_done(
    lab: Lab, monkeypatch: pytest.MonkeyPatch
) -> None:
    execute = Database.execute

    def fail(db: Database, sql: str, *rest: Any) -> Any:
        if sql.startswith("SELECT id, hash FROM audit"):
            raise sqlite3.OperationalError("disk I/O error")
        return execute(db, sql, *rest)

    with monkeypatch.context() as broken:
        broken.setattr(Database, "execute", fail)
        case = lab.draft()
    assert lab.log.case(case.id) == case
    lab.log.note("case viewed", lab.anna, case.id)  # its line vouches for the row before
    assert lab.log.check() == []


def test_a_writer_that_holds_the_log_too_long_is_told_to_the_others(lab: Lab, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(_database, "BUSY_SECONDS", 0.05)
    other = sqlite3.connect(lab.log.path)
    other.execute("BEGIN IMMEDIATE")
    with pytest.raises(CaseLogError, match="busy"):
        lab.draft()
    other.rollback()
    other.close()
    lab.draft()


def test_a_case_log_in_use_by_threads_can_be_closed_and_goes_on(lab: Lab) -> None:
    case = lab.draft()
    lab.log.close()
    lab.log.close()
    region = lab.region(case)
    lab.log.set_flags(region.id, FLAGS, lab.anna)
    assert lab.log.image_bytes(region) == b"an image"
    assert region.image_sha256 == sha(b"an image")
