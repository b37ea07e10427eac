"""Accounts and signing keys together: one password opens both, so both are made and changed in one step.

A name may change (marriage, another degree). Reports are told by the names that are printed on them; where an earlier
release did not keep those, by the name that their signers had when they signed: the audit trail keeps both.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import replace
from datetime import datetime

from her2core.accounts import Accounts, check_password
from her2core.caselog import AuditEntry, CaseLog, ReportRecord
from her2core.errors import AccountError, Her2CoreError, SigningError
from her2core.permissions import Action, require
from her2core.records import Role, User
from her2core.reporting.fonts import unprintable
from her2core.reporting.keys import Keyring

__all__ = [
    "account_changes",
    "as_of",
    "change_password",
    "create_account_with_key",
    "import_key",
    "issue_key",
    "rename",
    "reset_password",
    "signers_of",
]

_CHANGED = "account changed"
_MOST_CHANGES = 100_000


def create_account_with_key(
    accounts: Accounts,
    keyring: Keyring,
    laboratory_name: str,
    username: str,
    full_name: str,
    credentials: str,
    role: Role,
    password: str,
    by: User | None,
) -> tuple[User, str | None]:
    """Add an account; a pathologist gets a signing key locked with the same password.

    Returns the user and, where the key could not be made, why: the account is there all the same, and an
    administrator can issue the key later. A password that an administrator chose has to be changed at the first
    sign-in. `by` is None for the command line only.
    """
    user = accounts.add_user(username, full_name, credentials, role, password, by, must_change_password=by is not None)
    if user.role is not Role.PATHOLOGIST:
        return user, None
    try:
        _issue(accounts, keyring, laboratory_name, user, password, by)
    except SigningError as error:
        return user, str(error)
    return user, None


def reset_password(
    accounts: Accounts, keyring: Keyring, laboratory_name: str, user: User, password: str, by: User | None
) -> None:
    """Give a person who forgot it another password, to be changed at the next sign-in.

    The old signing key cannot be opened any more, so a pathologist gets a new one. It is made first: where it cannot
    be made, the password stays as it was and nobody is left without a key. `by` None is the command line.
    Raises PermissionDeniedError, PasswordError, SigningError; nothing is changed then. AccountError says where the key
    was made and the password could not be stored.
    """
    if by is not None:
        require(by, Action.MANAGE_USERS)
    check_password(password, user.username, user.full_name)
    if user.role is Role.PATHOLOGIST and user.active:
        _issue(accounts, keyring, laboratory_name, user, password, by)
    try:
        accounts.reset_password(user.id, password, by)
    except Her2CoreError as error:
        if user.role is not Role.PATHOLOGIST or not user.active:
            raise
        raise AccountError(
            f"{user.full_name} has a new signing key that opens with the new password, but the password itself could "
            f"not be stored: until it is reset again, the person signs in with the old one and cannot sign. {error}"
        ) from error


def issue_key(
    accounts: Accounts,
    keyring: Keyring,
    laboratory_name: str,
    user: User,
    password: str,
    by: User | None,
    source: str = "",
) -> None:
    """Make a new signing key for a pathologist, who types the own password; an earlier key is revoked.

    `by` None is the command line; `source` is where the password was typed. Raises PermissionDeniedError unless `by` is
    an administrator, SignInError for a wrong password, SigningError.
    """
    if by is not None:
        require(by, Action.MANAGE_KEYS)
    accounts.reauthenticate(user, password, source)
    _issue(accounts, keyring, laboratory_name, user, password, by)


def import_key(
    accounts: Accounts,
    keyring: Keyring,
    laboratory_name: str,
    user: User,
    pkcs12: bytes,
    pkcs12_passphrase: str,
    password: str,
    by: User | None,
    source: str = "",
) -> None:
    """Take over a PKCS#12 key that another authority issued to a pathologist, who types the own password.

    The earlier key is revoked. Raises as `issue_key`.
    """
    if by is not None:
        require(by, Action.MANAGE_KEYS)
    accounts.reauthenticate(user, password, source)
    keyring.ensure_laboratory_ca(laboratory_name)
    keyring.import_key(user, pkcs12, pkcs12_passphrase, password)
    accounts.note_key_issued(user.id, by, imported=True)


def _issue(
    accounts: Accounts, keyring: Keyring, laboratory_name: str, user: User, password: str, by: User | None
) -> None:
    keyring.ensure_laboratory_ca(laboratory_name)
    keyring.issue(user, password)
    accounts.note_key_issued(user.id, by)


def change_password(accounts: Accounts, keyring: Keyring, user: User, old: str, new: str) -> None:
    """Change the password of an account and of its signing key; if one cannot be changed, neither is."""
    if not keyring.has_key(user):
        accounts.set_password(user, old, new)
        return
    with keyring.changing_passphrase(user, old, new):
        accounts.set_password(user, old, new)


def rename(accounts: Accounts, user: User, full_name: str, credentials: str, by: User | None) -> User:
    """Change the name and credentials of an account, as reports print them from now on.

    A signing key that the person has keeps the earlier name in its certificate. `by` None is the command line. Raises
    PermissionDeniedError, AccountError where a report could not print them, CaseLogError for a missing name.
    """
    if by is not None:
        require(by, Action.MANAGE_USERS)
    if unprintable(full_name + credentials):
        raise AccountError("A report cannot print this script. Enter name and credentials in Latin letters.")
    return accounts.change_user(user.id, by, full_name=full_name, credentials=credentials)


def account_changes(log: CaseLog) -> list[AuditEntry]:
    """Every change of an account in the audit trail, latest first, for `as_of`."""
    return log.audit(limit=_MOST_CHANGES, actions=(_CHANGED,), accounts_only=True)


def as_of(user: User, changes: Sequence[AuditEntry], at: datetime) -> User:
    """The account with the name and credentials that it had at a moment. changes: latest first."""
    for entry in changes:
        if entry.at <= at:
            break
        changed = entry.detail.get("changed", {})
        if entry.detail.get("user_id") == user.id:
            user = replace(user, **{name: changed[name][0] for name in ("full_name", "credentials") if name in changed})
    return user


def signers_of(log: CaseLog, report: ReportRecord, changes: Sequence[AuditEntry] | None = None) -> tuple[User, ...]:
    """Who signed a report, by the names that it prints. changes: `account_changes`, where it was read before."""
    users = [log.user(i) for i in (report.signed_by, *report.cosigned_by)]
    printed = (report.summary.get("as_signed") or {}).get("signers") or []
    if len(printed) == len(users):
        return tuple(
            replace(user, full_name=said["full_name"], credentials=said["credentials"])
            for user, said in zip(users, printed, strict=True)
        )
    known = account_changes(log) if changes is None else changes
    return tuple(as_of(user, known, report.signed_at) for user in users)
