"""`user key --import`: good files, wrong ones, hostile ones."""

from __future__ import annotations

from pathlib import Path

import pytest

from her2core.caselog import CaseLog
from her2core.records import User
from her2core.reporting.keys import Keyring
from tests.cli.conftest import PASSWORD, Run
from tests.reporting.test_keys import external_pkcs12


def berg(folder: Path) -> User:
    with CaseLog(folder) as log:
        user = log.user_by_name("berg")
    assert user is not None
    return user


def test_a_key_of_another_authority_is_taken_over(run: Run, laboratory: Path, tmp_path: Path) -> None:
    file = tmp_path / "key.p12"
    file.write_bytes(external_pkcs12())
    done = run("user", "key", "berg", "--import", file, "--password-stdin", stdin=f"{PASSWORD}\nfrom outside\n")
    assert (done.exit_code, done.stdout) == (0, "berg: signing key imported\n")
    record = Keyring(laboratory).key_of(berg(laboratory))
    assert record is not None
    assert record.external
    Keyring(laboratory).unlock(berg(laboratory), PASSWORD)
    with CaseLog(laboratory) as log:
        assert log.check() == []
        assert log.audit(limit=9, actions=("signing key imported",))[0].by_username == "command line"


@pytest.mark.parametrize(
    ("data", "typed", "said"),
    [
        (external_pkcs12(), f"{PASSWORD}\nwrong\n", "with that passphrase"),
        (external_pkcs12(), f"{PASSWORD}\n", "with that passphrase"),
        (external_pkcs12(), "wrong\nfrom outside\n", "not the password"),
        (external_pkcs12(signs=False), f"{PASSWORD}\nfrom outside\n", "not meant for signing"),
        (b"", f"{PASSWORD}\nfrom outside\n", "cannot be opened"),
        (b"\x30" * 100_000, f"{PASSWORD}\nfrom outside\n", "cannot be opened"),
        (bytes(300_000), f"{PASSWORD}\nfrom outside\n", "too large"),
    ],
)  # fmt: skip
def test_what_will_not_do_is_refused_in_words(
    run: Run, laboratory: Path, tmp_path: Path, data: bytes, typed: str, said: str
) -> None:
    file = tmp_path / "key.p12"
    file.write_bytes(data)
    before = Keyring(laboratory).records()
    done = run("user", "key", "berg", "--import", file, "--password-stdin", stdin=typed)
    assert done.exit_code == 1
    assert said in done.stderr
    assert "from outside" not in done.output
    assert "Traceback" not in done.output
    assert Keyring(laboratory).records() == before


def test_a_file_that_is_not_there_is_said(run: Run, laboratory: Path, tmp_path: Path) -> None:
    done = run("user", "key", "berg", "--import", tmp_path / "no.p12", "--password-stdin", stdin=f"{PASSWORD}\n")
    assert done.exit_code == 2
    assert "does not exist" in done.stderr
