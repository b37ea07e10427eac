"""The disk is full, or may only be read: whoever works is told so, and nothing is half-written."""

from __future__ import annotations

import random
import resource
import shutil
import time
from collections.abc import Callable
from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest
from click.testing import CliRunner

from her2core import workflow
from her2core.cli import main
from her2core.errors import Her2CoreError, SigningError
from her2core.imaging import DEFAULT_LIMITS
from her2core.jobs import AnalysisJobs, JobState
from her2core.records import CorrectionKind, Role
from tests.faults.conftest import Disk
from tests.pages.app import fresh, said
from tests.pages.lab import CA_PASSPHRASE, FLAGS, PASSWORDS, StandIn, TestLaboratory, draw_region, read_drawing
from tests.proof import LONG, Proof, Record, times

Act = Callable[[TestLaboratory], object]
CLEAR = ("disk is full", "cannot be written", "cannot be opened", "reports an error", "could not be read or written")


def upload(lab: TestLaboratory) -> None:
    case = lab.log.case_by_accession("edit")
    counts = [(random.randrange(1, 7), random.randrange(1, 5)) for _ in range(24)]
    data = draw_region(counts, random.randrange(80, 200))
    workflow.add_region(lab.log, case.id, data, "field.png", lab.person("berg"), DEFAULT_LIMITS)


def flag(lab: TestLaboratory) -> None:
    region = lab.log.regions(lab.log.case_by_accession("edit").id)[-1]
    other = FLAGS if region.flags != FLAGS else replace(FLAGS, clusters=True)
    workflow.set_flags(lab.log, region.id, other, lab.person("berg"))


def analyse(lab: TestLaboratory) -> None:
    """Raises what the job reports to the page."""
    case = lab.log.case_by_accession("edit")
    region = lab.log.regions(case.id)[0]

    def after(case_id: int, by: Any) -> None:
        workflow.refresh_state(lab.log, case_id, by)

    jobs = AnalysisJobs(lab.log, lambda: StandIn(), read_drawing, after)  # type: ignore[arg-type, return-value]
    try:
        jobs.submit(case.id, [region.id], lab.person("berg"))
        while (status := jobs.status(case.id)) is not None and status.active:
            if status.trouble:  # the page says it beside the job, which waits until there is room
                raise Her2CoreError(status.trouble)
            time.sleep(0.02)
    finally:
        jobs.close()
    assert status is not None
    if status.state is not JobState.DONE:
        raise Her2CoreError(status.failures[0].message)


def edit(lab: TestLaboratory) -> None:
    region = lab.log.regions(lab.log.case_by_accession("edit").id)[0]
    new = {"her2": random.randrange(99), "cep17": 2}
    workflow.correct(lab.log, region.id, 3, CorrectionKind.COUNTS, new, lab.person("berg"))


def sign(lab: TestLaboratory) -> None:
    for number in range(3):
        case = lab.log.case_by_accession(f"ready-{number}")
        if case.state == "ready":
            lab.sign(case)
            return


def account(lab: TestLaboratory) -> None:
    name = f"person{random.randrange(10**9)}"
    made = workflow.create_account_with_key(
        lab.accounts, lab.keyring, "Laboratory", name, "Some Person", "", Role.PATHOLOGIST, "a long new secret 81", None
    )
    if made[1] is not None:
        raise Her2CoreError(made[1])


def password(lab: TestLaboratory) -> None:
    """Account and signing key get another one, and both open with it; where it fails, both with the old one."""
    okafor, old, new = lab.person("okafor"), PASSWORDS["okafor"], PASSWORDS["okafor"] + " again"
    try:
        lab.keyring.unlock(okafor, old)
    except SigningError:  # changed by this act before
        old, new = new, old
    try:
        workflow.change_password(lab.accounts, lab.keyring, okafor, old, new)
    except Her2CoreError:
        lab.keyring.unlock(okafor, old)
        raise
    lab.keyring.unlock(okafor, new)


def backup(lab: TestLaboratory) -> None:
    target = lab.data_dir.parent / "backup.tar"
    target.unlink(missing_ok=True)
    lab.log.backup(target)


ACTS: dict[str, Act] = {
    "upload": upload,
    "flags": flag,
    "analysis": analyse,
    "edit": edit,
    "signing": sign,
    "account and key": account,
    "password": password,
    "backup": backup,
}


QUICK = ("edit", "signing")
BY_NAME = [name if name in QUICK else pytest.param(name, marks=pytest.mark.long) for name in ACTS]


def rubbish(folder: Path) -> list[str]:
    """Names of what a write left behind half done."""
    hidden = [path.name for path in folder.rglob(".*") if path.name != ".lock"]
    return hidden + [path.name for path in folder.rglob("*.part")]


def assert_sound(data_dir: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("HER2CORE_DATA", str(data_dir))
    monkeypatch.setenv("HER2CORE_CA_PASSPHRASE", CA_PASSPHRASE)
    checked = CliRunner().invoke(main, ["check"])
    assert checked.exit_code == 0, checked.output
    assert rubbish(data_dir) == []


@pytest.mark.timeout(1800)
@pytest.mark.parametrize("name", BY_NAME)
def test_a_disk_that_fills_up_at_any_moment_of_an_act_is_told_and_leaves_nothing_half_written(
    record_property: Record, disk: Disk, template: Path, monkeypatch: pytest.MonkeyPatch, name: str
) -> None:
    proof = Proof(record_property, "Faults", f"Disk full, with a little more room each time: {name}")
    chance = random.Random(name)
    data = disk.path / "data"
    refused = done = room_kb = 0
    while done < times(1, 3):
        shutil.copytree(template, data)
        lab = TestLaboratory.reopen(data)
        (disk.path / "ballast").write_bytes(b"")
        fill(disk.path / "ballast", disk.path, room_kb)
        head = lab.log.audit_head()
        try:
            ACTS[name](lab)
            done += 1
        except Her2CoreError as error:
            refused += 1
            assert any(words in str(error) for words in CLEAR), str(error)
            (disk.path / "ballast").unlink()
            if name == "edit":
                assert lab.log.audit_head() == head
            ACTS[name](lab)  # with room again the same step is taken
        lab.log.close()
        (disk.path / "ballast").unlink(missing_ok=True)
        assert_sound(data, monkeypatch)
        shutil.rmtree(data)
        for rest in disk.path.iterdir():
            assert rest.name == "backup.tar", rest
            rest.unlink()
        proof.tries += 1
        room_kb += 4 * chance.randrange(*((1, 12) if LONG else (20, 60)))
    assert refused
    proof.holds(
        f"{refused} times refused in words, {done} times there was room enough; after each nothing half-written, "
        "`check` clean, and the same step worked once there was room"
    )


def fill(ballast: Path, disk: Path, room_kb: int) -> None:
    """Takes all of the disk but `room_kb`."""
    free = shutil.disk_usage(disk).free - 1024 * room_kb
    with ballast.open("wb") as file:
        for _ in range(max(0, free) >> 12):
            file.write(bytes(4096))


@pytest.mark.long
@pytest.mark.parametrize("name", [name for name in ACTS if name != "backup"])
def test_on_a_disk_that_may_only_be_read_the_act_is_refused_in_words_and_works_again_afterwards(
    record_property: Record, disk: Disk, template: Path, monkeypatch: pytest.MonkeyPatch, name: str
) -> None:
    proof = Proof(record_property, "Faults", f"Data folder read-only: {name}")
    data = disk.path / "data"
    shutil.copytree(template, data)
    for opened_before in (True, False):
        lab = TestLaboratory.reopen(data)
        if not opened_before:
            lab.log.close()
        disk.read_only()
        try:
            with pytest.raises(Her2CoreError) as refused:
                ACTS[name](lab)
        finally:
            disk.writable()
        assert any(words in str(refused.value) for words in CLEAR), str(refused.value)
        lab.log.close()
        assert_sound(data, monkeypatch)
        lab = TestLaboratory.reopen(data)
        ACTS[name](lab)
        lab.log.close()
        proof.tries += 1
    proof.holds("refused in words, nothing half-written, `check` clean, and the step worked once writing was allowed")


def test_the_application_on_a_disk_that_may_only_be_read_says_so_and_recovers(
    record_property: Record, disk: Disk, template: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    proof = Proof(record_property, "Faults", "Data folder read-only: the application is opened")
    data = disk.path / "data"
    shutil.copytree(template, data)
    monkeypatch.setenv("HER2CORE_DATA", str(data))
    disk.read_only()
    try:
        at = fresh()
        assert not at.exception
        at.text_input(key="sign_in_name").input("berg") if at.text_input else None
        told = any(said(at, words) for words in CLEAR)
        if not told:
            at.text_input(key="sign_in_password").input(PASSWORDS["berg"])
            at.button(key="sign_in_now").click()
            at.run()
            assert not at.exception
            told = any(said(at, words) for words in CLEAR)
        assert told
    finally:
        disk.writable()
    at = fresh()
    at.text_input(key="sign_in_name").input("berg")
    at.text_input(key="sign_in_password").input(PASSWORDS["berg"])
    at.button(key="sign_in_now").click()
    at.run()
    assert said(at, "ready-0")
    proof.tries += 1
    proof.holds("the page says that the folder cannot be written, and works once it can")


@pytest.mark.long
@pytest.mark.timeout(1800)
def test_a_limit_on_the_size_of_files_is_told_like_a_full_disk(
    record_property: Record, template: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    proof = Proof(
        record_property, "Faults", "A file may not grow any more (quota, RLIMIT_FSIZE): upload, edit, signing"
    )
    soft, hard = resource.getrlimit(resource.RLIMIT_FSIZE)
    for name in ("upload", "edit", "signing"):
        for limit_kb in (1, 8, 40, 80):
            data = tmp_path / f"{name} {limit_kb}"
            shutil.copytree(template, data)
            lab = TestLaboratory.reopen(data)
            resource.setrlimit(resource.RLIMIT_FSIZE, (1024 * limit_kb, hard))
            try:
                for _ in range(400):
                    ACTS[name](lab)
                    if name == "signing":
                        break
            except Her2CoreError as error:
                assert any(words in str(error) for words in CLEAR), str(error)
            finally:
                resource.setrlimit(resource.RLIMIT_FSIZE, (soft, hard))
            lab.log.close()
            assert_sound(data, monkeypatch)
            proof.tries += 1
    proof.holds("refused in words, nothing half-written, `check` clean")
