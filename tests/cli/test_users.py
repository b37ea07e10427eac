"""`user`: accounts and signing keys from the command line."""

from __future__ import annotations

from pathlib import Path

import pytest

from her2core.accounts import Accounts
from her2core.caselog import CaseLog
from her2core.errors import SignInError, SigningError
from her2core.records import Role, User
from her2core.reporting.keys import Keyring
from tests.cli.conftest import PASSWORD, Run

NEW = "Harbour-Quartz-58"


def signed_in(folder: Path, username: str, password: str) -> User:
    with CaseLog(folder) as log:
        return Accounts(log).sign_in(username, password)


def test_first_administrator_makes_the_laboratory(run: Run, data_dir: Path) -> None:
    done = run(
        "user",
        "add",
        "root",
        "--role",
        "administrator",
        "--name",
        "Ada Root",
        "--password-stdin",
        stdin=f"{PASSWORD}\n",
    )
    assert (done.exit_code, done.stdout) == (0, "root: account made, administrator\n")
    assert signed_in(data_dir, "root", PASSWORD).role is Role.ADMINISTRATOR


def test_password_is_asked_for_twice_and_never_shown(run: Run, data_dir: Path) -> None:
    arguments = ("user", "add", "root", "--role", "administrator", "--name", "Ada Root")
    done = run(*arguments, stdin=f"{PASSWORD}\nother\n{PASSWORD}\n{PASSWORD}\n")
    assert done.exit_code == 0, done.output
    assert PASSWORD not in done.output
    assert signed_in(data_dir, "root", PASSWORD).username == "root"


def test_pathologist_gets_a_signing_key(laboratory: Path) -> None:
    keyring = Keyring(laboratory)
    berg = signed_in(laboratory, "berg", PASSWORD)
    assert keyring.has_key(berg)
    keyring.unlock(berg, PASSWORD)


def test_pathologist_without_root_passphrase_is_made_but_told_how_to_get_a_key(
    run: Run, laboratory: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    arguments = ("user", "add", "okafor", "--role", "pathologist", "--name", "Sam Okafor", "--password-stdin")
    with monkeypatch.context() as without:
        without.delenv("HER2CORE_CA_PASSPHRASE")
        done = run(*arguments, stdin=f"{PASSWORD}\n")
    assert done.exit_code == 0
    assert "HER2CORE_CA_PASSPHRASE" in done.stderr
    assert "user key okafor" in done.stderr
    okafor = signed_in(laboratory, "okafor", PASSWORD)
    assert not Keyring(laboratory).has_key(okafor)
    assert run("user", "key", "okafor", "--password-stdin", stdin=f"{PASSWORD}\n").exit_code == 0
    assert Keyring(laboratory).has_key(okafor)


def test_key_is_issued_for_the_right_password_only(run: Run, laboratory: Path) -> None:
    before = Keyring(laboratory).records()
    done = run("user", "key", "berg", "--password-stdin", stdin="Wrong-Password-1\n")
    assert done.exit_code == 1
    assert Keyring(laboratory).records() == before


def test_list_shows_roles_states_and_keys_but_no_secrets(run: Run, laboratory: Path) -> None:
    run("user", "disable", "berg")
    lines = run("user", "list").stdout.splitlines()
    assert lines == ["berg\tpathologist\tdisabled, can sign\tMiriam Berg", "root\tadministrator\tactive\tAda Root"]


def test_disabled_account_cannot_sign_in_until_enabled(run: Run, laboratory: Path) -> None:
    assert run("user", "disable", "berg").exit_code == 0
    with pytest.raises(SignInError):
        signed_in(laboratory, "berg", PASSWORD)
    assert run("user", "enable", "berg").exit_code == 0
    assert signed_in(laboratory, "berg", PASSWORD).active


def test_a_person_is_renamed_in_part_or_whole(run: Run, laboratory: Path) -> None:
    done = run("user", "rename", "berg", "--name", "Miriam Berg-Lund")
    assert done.exit_code == 0
    assert "Miriam Berg-Lund" in run("user", "list").stdout
    assert run("user", "rename", "berg", "--credentials", "PhD").stdout == "berg: Miriam Berg-Lund PhD\n"
    assert run("user", "rename", "berg").exit_code == 2
    assert run("user", "rename", "berg", "--name", " ").exit_code == 1


def test_last_administrator_cannot_be_disabled(run: Run, laboratory: Path) -> None:
    done = run("user", "disable", "root")
    assert done.exit_code == 1
    assert "last active administrator" in done.stderr


def test_forgotten_password_is_replaced_with_a_key_that_it_opens(run: Run, laboratory: Path) -> None:
    assert run("user", "password", "berg", "--password-stdin", stdin=f"{NEW}\n").exit_code == 0
    berg = signed_in(laboratory, "berg", NEW)
    Keyring(laboratory).unlock(berg, NEW)
    with pytest.raises(SigningError):
        Keyring(laboratory).unlock(berg, PASSWORD)


def test_password_of_a_signer_is_left_alone_without_the_root_passphrase(
    run: Run, laboratory: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.delenv("HER2CORE_CA_PASSPHRASE")
    done = run("user", "password", "berg", "--password-stdin", stdin=f"{NEW}\n")
    assert done.exit_code == 1
    assert "HER2CORE_CA_PASSPHRASE" in done.stderr
    assert signed_in(laboratory, "berg", PASSWORD).username == "berg"


@pytest.mark.parametrize(
    ("arguments", "stdin", "code"),
    [
        (("add", "root", "--role", "administrator", "--name", "X Y"), PASSWORD, 1),  # taken
        (("add", "weak", "--role", "administrator", "--name", "X Y"), "password1", 1),
        (("add", "nobody", "--role", "superuser", "--name", "X Y"), PASSWORD, 2),
        (("add", "", "--role", "administrator", "--name", "X Y"), PASSWORD, 1),
        (("password", "unknown"), PASSWORD, 1),
        (("key", "unknown"), PASSWORD, 1),
        (("key", "root"), PASSWORD, 1),  # not a pathologist
    ],
)
def test_what_cannot_be_is_refused_with_a_sentence(
    run: Run, laboratory: Path, arguments: tuple[str, ...], stdin: str, code: int
) -> None:
    done = run("user", *arguments, "--password-stdin", stdin=f"{stdin}\n")
    assert done.exit_code == code
    assert "Error: " in done.stderr
    assert "Traceback" not in done.output


def test_commands_of_the_laboratory_name_the_missing_folder(run: Run, data_dir: Path) -> None:
    for command in (("user", "list"), ("check",), ("backup", "x.tar"), ("verify", "x.pdf"), ("export", "--all")):
        done = run(*command)
        assert done.exit_code == 1
        assert str(data_dir) in done.stderr
    assert not data_dir.exists()
