"""Power fails: what the disk holds then is cut anywhere, also in the middle of what was being written."""

from __future__ import annotations

import os
import random
import shutil
import sqlite3
from collections.abc import Iterator
from contextlib import closing
from pathlib import Path
from typing import Any

import pytest

from her2core.caselog import CaseLog, _database
from tests.pages.lab import TestLaboratory
from tests.proof import LONG, Proof, Record, times

HEADER_BYTES, FRAME_BYTES, PAGE_BYTES = 32, 24 + 4096, 4096


@pytest.fixture(scope="module")
def grown(template: Path, tmp_path_factory: pytest.TempPathFactory) -> Iterator[tuple[Path, bytes, bytes]]:
    """A laboratory at work whose last acts are in the WAL alone: data folder, database and WAL."""
    folder = tmp_path_factory.mktemp("grown") / "data"
    shutil.copytree(template, folder)
    lab = TestLaboratory.reopen(folder)
    lab.ready([(6, 2)] * 20, "power")
    lab.sign(lab.log.case_by_accession("power"))
    yield folder, lab.log.path.read_bytes(), Path(f"{lab.log.path}-wal").read_bytes()
    lab.log.close()


@pytest.fixture(autouse=True)
def no_waiting_for_the_disk(monkeypatch: pytest.MonkeyPatch) -> None:
    """The power failure is in the bytes; nothing here has to outlive a real one."""
    monkeypatch.setattr(_database, "SYNCHRONOUS", "OFF")


def image_of(source: Path, folder: Path, database: bytes, wal: bytes) -> CaseLog:
    """The data folder as it is found after the power came back."""
    folder.mkdir()
    for name in ("images", "reports", "keys"):
        if (source / name).exists():
            (folder / name).symlink_to(source / name)
    (folder / "caselog.sqlite").write_bytes(database)
    (folder / "caselog.sqlite-wal").write_bytes(wal)
    return CaseLog(folder)


def committed(wal: bytes) -> list[int]:
    """Positions in the WAL behind each frame that ends a transaction."""
    frames = range(HEADER_BYTES, len(wal) - FRAME_BYTES + 1, FRAME_BYTES)
    return [at + FRAME_BYTES for at in frames if wal[at + 4 : at + 8] != b"\0\0\0\0"]


def last_entry(log: CaseLog) -> int:
    entries = log.audit(limit=1)
    return entries[0].id if entries else 0


@pytest.mark.timeout(3600)
def test_a_wal_that_ends_at_any_frame_or_amid_one_opens_with_every_transaction_before(
    record_property: Record, grown: tuple[Path, bytes, bytes], tmp_path: Path
) -> None:
    proof = Proof(record_property, "Faults", "Power fails: the WAL ends at each frame boundary, and amid each frame")
    source, database, wal = grown
    chance = random.Random(1)
    boundaries = list(range(HEADER_BYTES, len(wal) + 1, FRAME_BYTES))
    amid = [at + chance.randrange(1, FRAME_BYTES) for at in boundaries[:-1]]
    torn = [(at, "zeros") for at in amid] + [(at, "noise") for at in amid]
    cuts = [(at, "end") for at in [0, 7, *boundaries, *amid]] + torn
    if not LONG:
        cuts = [*chance.sample(cuts, 24), (len(wal), "end")]
    ends = committed(wal)
    entries: dict[int, int] = {}  # audit entries by transactions that are whole
    for number, (cut, rest) in enumerate(sorted(cuts)):
        # A drive that loses power may have written the length of a file but not what is in it.
        tail = {"end": b"", "zeros": bytes(FRAME_BYTES), "noise": chance.randbytes(FRAME_BYTES)}[rest]
        log = image_of(source, tmp_path / str(number), database, wal[:cut] + tail)
        with log:
            assert log.check() == []
            whole = sum(end <= cut for end in ends)
            found = last_entry(log)
            assert entries.setdefault(whole, found) == found
        shutil.rmtree(log.data_dir)
        proof.tries += 1
    ordered = [entries[whole] for whole in sorted(entries)]
    assert ordered == sorted(ordered)
    with CaseLog(source) as log:
        assert entries[len(ends)] == last_entry(log)
    frames = len(boundaries) - 1
    proof.holds(
        f"opened and `check` clean at every cut of {frames} frames ({len(ends)} transactions), each whole transaction "
        "there and nothing of a torn one; frames of zeros and of noise as well"
    )


@pytest.mark.timeout(3600)
def test_power_that_fails_while_the_wal_is_copied_back_loses_nothing(
    record_property: Record, grown: tuple[Path, bytes, bytes], tmp_path: Path
) -> None:
    proof = Proof(record_property, "Faults", "Power fails while SQLite copies the WAL into the database (checkpoint)")
    source, database, wal = grown
    log = image_of(source, tmp_path / "after", database, wal)
    with log:
        wanted = last_entry(log)
    with closing(sqlite3.connect(log.path)) as conn:
        conn.execute("PRAGMA wal_checkpoint(TRUNCATE)")
    after = log.path.read_bytes()
    before = database.ljust(len(after), b"\0")
    assert before != after
    pages = range(0, len(after), PAGE_BYTES)
    chance = random.Random(2)
    for number in range(times(10, 200)):
        mixed = bytearray(before)
        for at in pages:
            if chance.random() < 0.5:
                # The drive wrote this page, or only the first sectors of it.
                end = at + (PAGE_BYTES if chance.random() < 0.8 else 512 * chance.randrange(1, 8))
                mixed[at:end] = after[at:end]
        log = image_of(source, tmp_path / str(number), bytes(mixed), wal)
        with log:
            assert log.check() == []
            assert last_entry(log) == wanted
        shutil.rmtree(log.data_dir)
        proof.tries += 1
    proof.holds(f"of {len(pages)} pages any mixture of old, new and torn ones: opened, `check` clean, nothing missing")


def test_a_file_is_safe_on_the_disk_before_the_row_that_names_it_is_committed(
    record_property: Record, template: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    proof = Proof(record_property, "Faults", "Order of writing to the disk: image, its folder, then the row")
    monkeypatch.undo()
    shutil.copytree(template, tmp_path / "data")
    order: list[str] = []
    fsync, replace, connect = os.fsync, Path.replace, sqlite3.connect

    def noted_fsync(descriptor: int) -> None:
        order.append("fsync " + Path(f"/proc/self/fd/{descriptor}").readlink().parent.name)
        fsync(descriptor)

    def noted_replace(self: Path, target: Path) -> Path:
        order.append("rename")
        return replace(self, target)

    class Noted(sqlite3.Connection):
        def __init__(self, *args: Any, **kwargs: Any) -> None:
            super().__init__(*args, **kwargs)
            self.set_trace_callback(lambda sql: order.append("commit") if sql == "COMMIT" else None)

    monkeypatch.setattr(os, "fsync", noted_fsync)
    monkeypatch.setattr(Path, "replace", noted_replace)
    monkeypatch.setattr(sqlite3, "connect", lambda *args, **kwargs: connect(*args, **kwargs, factory=Noted))
    lab = TestLaboratory.reopen(tmp_path / "data")
    with lab.log.reading() as db:
        assert db.execute("PRAGMA synchronous").fetchone()[0] == 2  # FULL
    case = lab.open_case("power")
    order.clear()
    lab.add_region(case, [(5, 2)] * 9)
    lab.log.close()
    assert order[:4] == ["fsync images", "rename", "fsync data", "commit"]
    proof.tries += 1
    proof.holds("the image and its folder are flushed before the row is committed, and commits flush too (FULL)")
