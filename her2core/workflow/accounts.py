"""Accounts and signing keys together: one password opens both, so both are made and changed in one step."""

from __future__ import annotations

from her2core.accounts import Accounts
from her2core.errors import Her2CoreError, SigningError
from her2core.permissions import Action, require
from her2core.records import Role, User
from her2core.reporting.keys import Keyring

__all__ = ["change_password", "create_account_with_key", "issue_key", "reset_password"]


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
    return user, _try_to_issue(keyring, laboratory_name, user, password)


def reset_password(
    accounts: Accounts, keyring: Keyring, laboratory_name: str, user: User, password: str, by: User
) -> str | None:
    """Give a person who forgot it another password, to be changed at the next sign-in.

    The old signing key cannot be opened any more, so a pathologist gets a new one; returns why not, where it could not
    be made. Raises PermissionDeniedError, PasswordError.
    """
    accounts.reset_password(user.id, password, by)
    return _try_to_issue(keyring, laboratory_name, user, password)


def _try_to_issue(keyring: Keyring, laboratory_name: str, user: User, password: str) -> str | None:
    if user.role is not Role.PATHOLOGIST:
        return None
    try:
        keyring.ensure_laboratory_ca(laboratory_name)
        keyring.issue(user, password)
    except SigningError as error:
        return str(error)
    return None


def issue_key(accounts: Accounts, keyring: Keyring, laboratory_name: str, user: User, password: str, by: User) -> None:
    """Make a new signing key for a pathologist, who types the own password; an earlier key is revoked.

    Raises PermissionDeniedError unless `by` is an administrator, SignInError for a wrong password, SigningError.
    """
    require(by, Action.MANAGE_KEYS)
    accounts.reauthenticate(user, password)
    keyring.ensure_laboratory_ca(laboratory_name)
    keyring.issue(user, password)


def change_password(accounts: Accounts, keyring: Keyring, user: User, old: str, new: str) -> None:
    """Change the password of an account and of its signing key; if one cannot be changed, neither is."""
    if not keyring.has_key(user):
        accounts.set_password(user, old, new)
        return
    keyring.change_passphrase(user, old, new)
    try:
        accounts.set_password(user, old, new)
    except Her2CoreError:
        keyring.change_passphrase(user, new, old)
        raise
