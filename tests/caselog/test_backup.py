"""One file that holds everything, taken while people work, and put back only when it proves whole."""

from __future__ import annotations

import fcntl
import io
import json
import random
import sqlite3
import tarfile
from collections.abc import Callable, Iterator
from concurrent.futures import ThreadPoolExecutor
from contextlib import closing
from pathlib import Path
from typing import Any

import pytest

from her2core.caselog import CaseLog, _backup
from her2core.errors import CaseLogError, Her2CoreError, IntegrityError
from tests.caselog.lab import PDF, Lab


def _restored(archive: Path, folder: Path) -> CaseLog:
    assert CaseLog.restore(archive, folder) == []
    return CaseLog(folder)


def test_a_restored_log_holds_what_was_backed_up(full: Lab, tmp_path: Path) -> None:
    keys = full.log.data_dir / "keys"
    keys.mkdir()
    (keys / "user-1-ab.p12").write_bytes(b"a key")
    (full.log.data_dir / "settings.toml").write_text("laboratory_name = 'x'\n")
    head = full.log.audit_head()
    summary = full.log.backup(tmp_path / "backup.tar")
    assert (summary.images, summary.reports, summary.findings) == (3, 2, ())
    assert summary.audit_head == head
    assert summary.path.stat().st_mode & 0o777 == 0o600
    assert summary.size_bytes == summary.path.stat().st_size
    with _restored(summary.path, tmp_path / "new") as log:
        assert log.check() == []
        assert log.look_up() == full.log.look_up()
        assert log.report_pdf(1) == full.log.report_pdf(1)
        assert log.image_bytes(log.region(1)) == full.log.image_bytes(full.log.region(1))
        assert log.corrections(2) == full.log.corrections(2)
        assert log.users() == full.log.users()
        assert log.audit(limit=1)[0].action == "restored from a backup"
        assert log.audit(limit=2)[1].hash == head
    assert (tmp_path / "new" / "keys" / "user-1-ab.p12").read_bytes() == b"a key"
    assert (tmp_path / "new" / "settings.toml").exists()
    assert full.log.audit(limit=1)[0].action == "backed up"
    assert full.log.check() == []


def test_a_backup_into_a_folder_names_itself_after_the_time(full: Lab, tmp_path: Path) -> None:
    folder = tmp_path / "backups"
    folder.mkdir()
    assert full.log.backup(folder).path == folder / "her2core-20261124T090000Z.tar"
    with pytest.raises(CaseLogError, match="overwrites nothing"):
        full.log.backup(folder)
    assert [file.name for file in folder.iterdir()] == ["her2core-20261124T090000Z.tar"]


def test_a_backup_taken_while_people_work_is_one_moment_of_the_log(lab: Lab, tmp_path: Path) -> None:
    def work(seed: int) -> None:
        for number in range(6):
            case = lab.ready(f"{seed}-{number}")
            lab.sign(case, PDF + f"{seed} {number}".encode())

    with ThreadPoolExecutor(3) as pool:
        working = [pool.submit(work, seed) for seed in range(3)]
        archives: list[Path] = []
        while not all(done.done() for done in working) or not archives:
            archives.append(lab.log.backup(tmp_path / f"{len(archives)}.tar").path)
        for done in working:
            done.result()
    sizes = []
    for number, archive in enumerate(archives):
        with _restored(archive, tmp_path / f"restored {number}") as log:
            sizes.append(log.audit(limit=1)[0].id)
    assert sizes == sorted(set(sizes))


def _before_the_tar_is_written(monkeypatch: pytest.MonkeyPatch, act: Callable[[], object]) -> None:
    """`act` happens once all is hashed and nothing is in the tar file yet."""
    add = _backup._add

    def acting(tar: tarfile.TarFile, name: str, *rest: Any) -> None:
        if name == "manifest.json":
            act()
        add(tar, name, *rest)

    monkeypatch.setattr(_backup, "_add", acting)


def test_a_backup_taken_while_keys_and_settings_change_can_be_restored(
    lab: Lab, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    data = lab.log.data_dir
    names = ("settings.toml", "acceptance.toml", "keys/registry.json", "keys/user-1-ab.p12")
    (data / "keys").mkdir()
    for name in names:
        (data / name).write_text("before")

    def change() -> None:
        for name in names:
            (data / name).write_text("changed to something longer")
        (data / "keys" / "user-1-ab.p12").unlink()

    _before_the_tar_is_written(monkeypatch, change)
    archive = lab.log.backup(tmp_path / "backup.tar").path
    with _restored(archive, tmp_path / "new"):
        assert {(tmp_path / "new" / name).read_text() for name in names} == {"before"}


def test_a_backup_holds_no_lock_and_nothing_half_written(lab: Lab, tmp_path: Path) -> None:
    keys = lab.log.data_dir / "keys"
    keys.mkdir()
    for name in (".lock", ".registry.json.0a1b2c3d4e5f", "registry.json", "user-1-ab.p12", "user-1-ab.p12.coming"):
        (keys / name).write_text(name)
    with tarfile.open(lab.log.backup(tmp_path / "backup.tar").path) as tar:
        held = {name for name in tar.getnames() if name.startswith("keys/")}
    assert held == {"keys/registry.json", "keys/user-1-ab.p12", "keys/user-1-ab.p12.coming"}


def test_a_backup_of_0_1_with_the_lock_in_it_is_still_restored(
    lab: Lab, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    (lab.log.data_dir / "keys").mkdir()
    beside = _backup._beside

    def as_before(data_dir: Path, part: str) -> Iterator[tuple[str, Path]]:
        yield from beside(data_dir, part)
        if part == "keys":
            yield "keys/.lock", data_dir / "keys" / ".lock"

    monkeypatch.setattr(_backup, "_beside", as_before)
    with _restored(lab.log.backup(tmp_path / "backup.tar").path, tmp_path / "new"):
        assert (tmp_path / "new" / "keys" / ".lock").exists()


def test_a_backup_waits_for_a_key_that_is_being_changed(lab: Lab, tmp_path: Path) -> None:
    keys = lab.log.data_dir / "keys"
    keys.mkdir()
    key = keys / "user-1-ab.p12"
    key.write_text("old password")
    with ThreadPoolExecutor(1) as pool, (keys / ".lock").open("w") as lock:
        fcntl.flock(lock, fcntl.LOCK_EX)  # as `Keyring` does
        backing_up = pool.submit(lab.log.backup, tmp_path / "backup.tar")
        lab.log.note("password changed", lab.anna)
        head = lab.log.audit_head()
        with pytest.raises(TimeoutError):
            backing_up.result(0.3)
        key.write_text("new password")
        fcntl.flock(lock, fcntl.LOCK_UN)
        assert backing_up.result().audit_head == head
    with _restored(tmp_path / "backup.tar", tmp_path / "new"):
        assert (tmp_path / "new" / "keys" / "user-1-ab.p12").read_text() == "new password"


def test_an_image_that_changes_while_the_backup_is_written_is_told(
    full: Lab, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    image = full.log.images.path(full.log.region(1).image_sha256)
    _before_the_tar_is_written(monkeypatch, lambda: image.write_bytes(bytes(image.stat().st_size)))
    with pytest.raises(CaseLogError, match="Take the backup again"):
        full.log.backup(tmp_path / "backup.tar")
    assert list(tmp_path.glob("*.tar")) == []


def test_a_backup_of_a_damaged_log_is_made_and_says_so(full: Lab, tmp_path: Path) -> None:
    image = full.log.data_dir / "images" / full.log.region(1).image_sha256
    report = full.log.data_dir / "reports" / f"{full.log.report(1).sha256}.pdf"
    image.write_bytes(b"broken")
    report.unlink()
    summary = full.log.backup(tmp_path / "backup.tar")
    assert {finding.problem for finding in summary.findings} == {
        "was damaged before the backup",
        "is missing and therefore not in the backup",
    }
    with pytest.raises(IntegrityError, match="image of region 1"):
        CaseLog.restore(summary.path, tmp_path / "new")
    assert not (tmp_path / "new").exists()
    findings = CaseLog.restore(summary.path, tmp_path / "new", even_if_damaged=True)
    assert {finding.record for finding in findings} == {"image of region 1", "PDF of report 1"}
    with CaseLog(tmp_path / "new") as log:
        assert len(log.look_up_ids()) == 3


def test_a_restore_overwrites_nothing(full: Lab, tmp_path: Path) -> None:
    archive = full.log.backup(tmp_path / "backup.tar").path
    with pytest.raises(CaseLogError, match="not empty"):
        CaseLog.restore(archive, full.log.data_dir)
    assert full.log.check() == []
    half = tmp_path / "half"
    (half / "images").mkdir(parents=True)
    with pytest.raises(CaseLogError, match="not empty"):
        CaseLog.restore(archive, half)
    assert [entry.name for entry in half.iterdir()] == ["images"]
    empty = tmp_path / "empty"
    empty.mkdir()
    assert CaseLog.restore(archive, empty) == []


def test_any_flipped_bit_of_a_backup_is_found_or_changes_nothing(full: Lab, tmp_path: Path) -> None:
    archive = full.log.backup(tmp_path / "backup.tar").path
    sound = archive.read_bytes()
    chance = random.Random(8)
    used = [position for position, byte in enumerate(sound) if byte]
    refused = 0
    for number in range(60):
        flipped = bytearray(sound)
        flipped[chance.choice(used)] ^= 1 << chance.randrange(8)
        archive.write_bytes(flipped)
        target = tmp_path / f"restored {number}"
        try:
            assert CaseLog.restore(archive, target) == []
        except Her2CoreError:
            refused += 1
            assert not target.exists()
        else:
            with CaseLog(target) as log:
                assert log.look_up() == full.log.look_up()
    assert refused > 40


@pytest.mark.parametrize("share", [0.0, 0.1, 0.5, 0.9])
def test_a_backup_without_its_end_is_refused(full: Lab, tmp_path: Path, share: float) -> None:
    archive = full.log.backup(tmp_path / "backup.tar").path
    data = archive.read_bytes()
    archive.write_bytes(data[: int(len(data) * share)])
    with pytest.raises(CaseLogError):
        CaseLog.restore(archive, tmp_path / "new")
    assert not (tmp_path / "new").exists()


def _hostile(tmp_path: Path, change: Callable[[tarfile.TarFile], None], manifest: object) -> Path:
    archive = tmp_path / "hostile.tar"
    with tarfile.open(archive, "w") as tar:
        data = json.dumps(manifest).encode()
        member = tarfile.TarInfo("manifest.json")
        member.size = len(data)
        tar.addfile(member, io.BytesIO(data))
        change(tar)
    return archive


def _file(name: str, kind: bytes = tarfile.REGTYPE, target: str = "") -> Callable[[tarfile.TarFile], None]:
    def add(tar: tarfile.TarFile) -> None:
        member = tarfile.TarInfo(name)
        member.type, member.linkname = kind, target
        tar.addfile(member)

    return add


GOOD_MANIFEST = {
    "schema": "her2core.backup/1",
    "audit_head": "",
    "files": [{"name": "caselog.sqlite", "sha256": "0" * 64, "size": 1}],
}


@pytest.mark.parametrize(
    "change",
    [
        _file("../escaped"),
        _file("/tmp/escaped"),
        _file("images/../../escaped"),
        _file("keys/../../escaped"),
        _file("keys/sub/dir"),
        _file("images/short"),
        _file("settings.toml", tarfile.SYMTYPE, "/etc/passwd"),
        _file("settings.toml", tarfile.LNKTYPE, "/etc/passwd"),
        _file("settings.toml", tarfile.CHRTYPE),
        _file("keys", tarfile.DIRTYPE),
    ],
)
def test_a_hostile_archive_writes_nothing(tmp_path: Path, change: Callable[[tarfile.TarFile], None]) -> None:
    archive = _hostile(tmp_path, change, GOOD_MANIFEST)
    with pytest.raises(CaseLogError):
        CaseLog.restore(archive, tmp_path / "new")
    assert sorted(entry.name for entry in tmp_path.iterdir()) == ["hostile.tar"]


@pytest.mark.parametrize(
    "manifest",
    [
        [],
        {},
        {"schema": "her2core.backup/2", "audit_head": "", "files": []},
        {"schema": "her2core.backup/1", "files": []},
        {"schema": "her2core.backup/1", "audit_head": "", "files": [{"name": 1, "sha256": "x"}]},
        {"schema": "her2core.backup/1", "audit_head": "", "files": 7},
        {"schema": "her2core.backup/1", "audit_head": "", "files": []},
        GOOD_MANIFEST,
    ],
)
def test_a_manifest_that_is_none_is_refused(tmp_path: Path, manifest: object) -> None:
    archive = _hostile(tmp_path, lambda tar: None, manifest)
    with pytest.raises(CaseLogError):
        CaseLog.restore(archive, tmp_path / "new")
    assert not (tmp_path / "new").exists()


@pytest.mark.parametrize("data", [b"", b"not a tar", b"\x1f\x8b\x08\x00compressed"])
def test_a_file_that_is_no_backup_is_told_as_such(tmp_path: Path, data: bytes) -> None:
    archive = tmp_path / "x.tar"
    archive.write_bytes(data)
    with pytest.raises(CaseLogError, match="no backup"):
        CaseLog.restore(archive, tmp_path / "new")


def test_a_missing_backup_is_told_in_words(tmp_path: Path) -> None:
    with pytest.raises(CaseLogError):
        CaseLog.restore(tmp_path / "nowhere.tar", tmp_path / "new")


def test_a_log_of_a_newer_her2core_is_left_alone(lab: Lab) -> None:
    lab.log.close()
    with closing(sqlite3.connect(lab.log.path)) as conn, conn:
        conn.execute(
            "INSERT INTO _sqlite_migrations (migration_set, name, applied_at) VALUES ('her2core.caselog', 'm9999', '')"
        )
    with pytest.raises(CaseLogError, match="newer her2core"):
        lab.log.open()
