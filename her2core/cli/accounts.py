"""`user`: accounts and signing keys."""

from __future__ import annotations

import sys
from pathlib import Path

import click

from her2core.cli._shared import open_case_log, open_keyring, person_named
from her2core.errors import SettingsError
from her2core.records import Role
from her2core.settings import load_settings

__all__ = ["user"]


@click.group()
def user() -> None:
    """Accounts: who may sign in, and in which role."""


_ROLES = [role.value for role in Role]
_password_stdin = click.option("--password-stdin", is_flag=True, help="Read the password from stdin, for scripts.")


def _password(from_stdin: bool, prompt: str, *, confirm: bool) -> str:
    if from_stdin:
        return sys.stdin.readline().rstrip("\r\n")
    return str(click.prompt(prompt, hide_input=True, confirmation_prompt=confirm, err=True))


@user.command("add")
@click.argument("username")
@click.option("--role", type=click.Choice(_ROLES), required=True)
@click.option("--name", "full_name", required=True, help="The person's name as it is printed on reports.")
@click.option("--credentials", default="", help="Such as MD, FRCPath; printed behind the name.")
@_password_stdin
def user_add(username: str, role: str, full_name: str, credentials: str, password_stdin: bool) -> None:
    """Make an account. A pathologist also gets a signing key, locked with the same password."""
    from her2core import workflow
    from her2core.accounts import Accounts

    settings = load_settings()
    log = open_case_log(settings, create=True)
    password = _password(password_stdin, f"Password for {username}", confirm=True)
    person, no_key = workflow.create_account_with_key(
        Accounts(log),
        open_keyring(settings),
        settings.laboratory_name,
        username,
        full_name,
        credentials,
        Role(role),
        password,
        None,
    )
    click.echo(f"{person.username}: account made, {person.role}")
    if no_key is not None:
        click.echo(
            f"{person.username} cannot sign reports yet: {no_key}\n"
            f"Then run: python -m her2core user key {person.username}",
            err=True,
        )


@user.command("rename")
@click.argument("username")
@click.option("--name", "full_name", help="The person's name as it is printed on reports from now on.")
@click.option("--credentials", help="Such as MD, FRCPath; an empty text takes them away.")
def user_rename(username: str, full_name: str | None, credentials: str | None) -> None:
    """Change the name or credentials of the same person; reports signed before keep those they were signed with."""
    from her2core import workflow
    from her2core.accounts import Accounts

    if full_name is None and credentials is None:
        raise click.UsageError("Give --name, --credentials, or both.")
    log = open_case_log(load_settings())
    person = person_named(log, username)
    changed = workflow.rename(
        Accounts(log),
        person,
        person.full_name if full_name is None else full_name,
        person.credentials if credentials is None else credentials,
        None,
    )
    click.echo(f"{changed.username}: {changed.full_name} {changed.credentials}".rstrip())


@user.command("list")
def user_list() -> None:
    """List all accounts."""
    settings = load_settings()
    keyring = open_keyring(settings)
    for person in open_case_log(settings).users():
        state = "active" if person.active else "disabled"
        key = "" if person.role is not Role.PATHOLOGIST else ", can sign" if keyring.has_key(person) else ", no key"
        click.echo(f"{person.username}\t{person.role}\t{state}{key}\t{person.full_name} {person.credentials}".rstrip())


@user.command("disable")
@click.argument("username")
def user_disable(username: str) -> None:
    """Deactivate an account; what the person did and signed stays."""
    _set_active(username, False)


@user.command("enable")
@click.argument("username")
def user_enable(username: str) -> None:
    """Take a deactivation back, for the same person only."""
    _set_active(username, True)


def _set_active(username: str, active: bool) -> None:
    from her2core.accounts import Accounts

    log = open_case_log(load_settings())
    person = person_named(log, username)
    accounts = Accounts(log)
    (accounts.enable if active else accounts.disable)(person.id, None)
    click.echo(f"{person.username}: {'active' if active else 'disabled'}")


@user.command("password")
@click.argument("username")
@_password_stdin
def user_password(username: str, password_stdin: bool) -> None:
    """Give a person who forgot it a new password, to be changed at the next sign-in.

    A pathologist's signing key cannot be opened without the old password, so a new key is issued.
    """
    from her2core import workflow
    from her2core.accounts import Accounts

    settings = load_settings()
    log = open_case_log(settings)
    person = person_named(log, username)
    keyring = open_keyring(settings)
    password = _password(password_stdin, f"New password for {person.username}", confirm=True)
    has_key = keyring.has_key(person)
    if has_key and not settings.ca_passphrase:
        raise SettingsError(
            f"{person.username} has a signing key, which must be issued anew with the password. Set "
            "HER2CORE_CA_PASSPHRASE to the passphrase of the laboratory's root key."
        )
    if has_key:
        workflow.reset_password(Accounts(log), keyring, settings.laboratory_name, person, password, None)
    else:
        Accounts(log).reset_password(person.id, password, None)
    click.echo(f"{person.username}: password set{', new signing key issued' if has_key else ''}")
    if person.role is Role.PATHOLOGIST and not has_key:
        click.echo(f"{person.username} has no signing key and cannot sign: issue one with `user key`.", err=True)


@user.command("link")
@click.argument("username")
@click.option("--issuer", required=True, help="The provider's issuer, as in its tokens (iss).")
@click.option("--subject", required=True, help="The person's subject at the provider (sub); not the e-mail address.")
def user_link(username: str, issuer: str, subject: str) -> None:
    """Bind an account to a person at an OpenID provider, for sign-in. Signing still asks for the account's password."""
    from her2core.accounts import Accounts

    log = open_case_log(load_settings())
    person = person_named(log, username)
    Accounts(log).link(person.id, issuer, subject, None)
    click.echo(f"{person.username}: bound to the identity")


@user.command("key")
@click.argument("username")
@_password_stdin
@click.option(
    "--import",
    "pkcs12",
    type=click.Path(path_type=Path, exists=True, dir_okay=False),
    help="Take over the PKCS#12 key in this file, which another authority issued; its passphrase is asked for.",
)
def user_key(username: str, password_stdin: bool, pkcs12: Path | None) -> None:
    """Issue a signing key to a pathologist, who types the password; an earlier key is revoked.

    With --password-stdin and --import the passphrase of the file is the second line of stdin.
    """
    from her2core import workflow
    from her2core.accounts import Accounts
    from her2core.reporting.pkcs12_guard import MAX_BYTES

    settings = load_settings()
    log = open_case_log(settings)
    person = person_named(log, username)
    keyring = open_keyring(settings)
    password = _password(password_stdin, f"Password of {person.username}", confirm=False)
    name, accounts, place = settings.laboratory_name, Accounts(log), "command line"
    if pkcs12 is None:
        workflow.issue_key(accounts, keyring, name, person, password, None, place)
        click.echo(f"{person.username}: signing key issued")
        return
    of_file = _password(password_stdin, f"Passphrase of {pkcs12.name}", confirm=False)
    with pkcs12.open("rb") as file:
        data = file.read(MAX_BYTES + 1)  # more than that is refused, whatever it is
    workflow.import_key(accounts, keyring, name, person, data, of_file, password, None, place)
    click.echo(f"{person.username}: signing key imported")
