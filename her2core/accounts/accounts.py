"""Accounts: who may sign in, with which password, and how fast somebody may guess."""

from __future__ import annotations

import math
import unicodedata
from datetime import datetime, timedelta
from functools import cache

from argon2 import PasswordHasher
from argon2.exceptions import InvalidHashError, VerificationError

from her2core.accounts import throttling
from her2core.accounts.passwords import LONGEST, check_password
from her2core.accounts.store import AccountStore
from her2core.errors import SignInError
from her2core.passwords import normalised
from her2core.permissions import Action, require
from her2core.records import Role, User

__all__ = ["Accounts"]

_WRONG = "User name and password do not belong together. Check both and try again."


class Accounts:
    """The rules of accounts over the rows of the case log.

    `hasher` sets the cost of a password (argon2id; the default is argon2-cffi's, RFC 9106 with little memory).
    """

    def __init__(self, store: AccountStore, hasher: PasswordHasher | None = None) -> None:
        self._store = store
        self._hasher = hasher or PasswordHasher()
        _decoy(self._hasher)

    def add_user(
        self,
        username: str,
        full_name: str,
        credentials: str,
        role: Role,
        password: str,
        by: User | None,
        *,
        must_change_password: bool = False,
    ) -> User:
        """Makes an account. `by` None is the command line, or the very first administrator.

        Raises PasswordError, DuplicateError (a name is never given twice), PermissionDeniedError.
        """
        if by is not None:
            require(by, Action.MANAGE_USERS)
        check_password(password, username, full_name)
        return self._store.insert_user(
            username,
            full_name,
            credentials,
            role,
            self._hash(password),
            by,
            must_change_password=must_change_password,
        )

    def add_external_user(
        self, username: str, full_name: str, credentials: str, role: Role, issuer: str, subject: str, by: User | None
    ) -> User:
        """Makes an account without password for an identity of an OpenID provider."""
        return self._store.insert_user(username, full_name, credentials, role, None, by, identity=(issuer, subject))

    def link(self, user_id: int, issuer: str, subject: str, by: User | None) -> User:
        """Binds an account to an identity of an OpenID provider. Its password stays what reports are signed with.

        Raises PermissionDeniedError, AccountError (bound already), DuplicateError (the identity has another account).
        """
        if by is not None:
            require(by, Action.MANAGE_USERS)
        return self._store.set_identity(user_id, issuer, subject, by)

    def sign_in(self, username: str, password: str, source: str = "") -> User:
        """The account that name and password open. `source`: where the attempt comes from, such as an address.

        Each attempt is in the audit trail. Raises SignInError, with the same words and after the same work whether
        the name is unknown, the account deactivated or the password wrong; or with how long to wait.
        """
        user = self._store.user_by_name(username)
        self._attempt(user, username, password, source, "sign-in", _WRONG)
        if user is None:  # _attempt refused it; said again for the type checker
            raise SignInError(_WRONG)
        self._store.note("signed in", user)
        return self._store.user(user.id)

    def sign_in_external(self, issuer: str, subject: str, expires_at: datetime, role: Role | None = None) -> User:
        """The account bound to an identity that an OpenID provider vouches for until `expires_at`.

        `role`, if the provider tells it, replaces the stored one. Raises SignInError.
        """
        user = self._store.user_by_identity(issuer, subject)
        if expires_at <= self._store.now():
            self._store.note("sign-in refused", None, detail={"reason": "expired token"})
            raise SignInError("The sign-in has expired; sign in again.")
        if user is None or not user.active:
            reason = "unknown identity" if user is None else "deactivated"
            self._store.note("sign-in refused", None, detail={"reason": reason})
            raise SignInError("There is no active account for this identity; ask an administrator.")
        detail: dict[str, object] = {"by": "identity provider"}
        if role is not None and role is not user.role:
            detail["role"] = [user.role.value, role.value]
            user = self._store.update_user(user.id, None, role=role)
        self._store.note("signed in", user, detail=detail)
        return user

    def reauthenticate(self, user: User, password: str, source: str = "") -> None:
        """Confirms that the person at the screen is still this user. Raises SignInError; throttled like sign-in."""
        stored = self._store.user(user.id)
        self._attempt(stored, user.username, password, source, "confirmation", _not_own(stored))
        self._store.note("password confirmed", user)

    def sign_out(self, user: User, why: str = "by the user") -> None:
        """Notes the end of a session: "by the user", "idle"; also of an account that was deactivated meanwhile."""
        stored = self._store.user(user.id)
        self._store.note("signed out", stored if stored.active else None, detail={"user_id": user.id, "why": why})

    def password_since(self, username: str) -> datetime | None:
        """Since when the account has its password: the mark by which a session knows it again. None: no such account.

        Read it before `sign_in`, so that a password changed meanwhile ends the session.
        """
        user = self._store.user_by_name(username)
        return None if user is None else self._store.credentials_of(user.id)[1]

    def session_user(self, user_id: int, password_since: datetime) -> User:
        """The user of a session as stored now. Pages call it on each run, so that a session ends at once when the
        account is deactivated or its password is another one than at sign-in (`password_since`), whatever the clock
        of the machine says.

        Raises SignInError.
        """
        user = self._store.user(user_id)
        if not user.active:
            raise SignInError("This account was deactivated; ask an administrator.")
        if self._store.credentials_of(user_id)[1] != password_since:
            raise SignInError("The password of this account was changed; sign in again.")
        return user

    def must_change_password(self, user: User) -> bool:
        """Whether the person signs in with a password that an administrator chose."""
        return self._store.credentials_of(user.id)[2]

    def set_password(self, user: User, old: str, new: str, source: str = "") -> None:
        """Changes one's own password. Raises SignInError for a wrong old one, PasswordError for a weak new one."""
        stored = self._store.user(user.id)
        self._attempt(stored, user.username, old, source, "password change", _not_own(stored))
        check_password(new, user.username, user.full_name)
        self._store.set_password_hash(user.id, self._hash(new), user, "password changed")

    def reset_password(self, user_id: int, new: str, by: User | None) -> None:
        """Gives an account another password, to be changed at the next sign-in. It does not open the person's signing
        key, which has its own. `by` None is the command line.
        """
        if by is not None:
            require(by, Action.MANAGE_USERS)
        user = self._store.user(user_id)
        check_password(new, user.username, user.full_name)
        self._store.set_password_hash(user_id, self._hash(new), by, "password reset", must_change=True)
        self.unlock(user_id, by)

    def unlock(self, user_id: int, by: User | None) -> None:
        """Ends the pauses after wrong passwords for an account, wherever they were typed."""
        if by is not None:
            require(by, Action.MANAGE_USERS)
        self._store.clear_attempts(throttling.account_key(_key(self._store.user(user_id).username)))
        self._store.note("sign-in pause ended", by, detail={"user_id": user_id})

    def note_key_issued(self, user_id: int, by: User | None, *, imported: bool = False) -> None:
        """Notes in the audit trail that a person was given a signing key. `by` None is the command line."""
        self._store.note("signing key imported" if imported else "signing key issued", by, detail={"user_id": user_id})

    def change_user(
        self,
        user_id: int,
        by: User | None,
        *,
        full_name: str | None = None,
        credentials: str | None = None,
        role: Role | None = None,
    ) -> User:
        """Changes name, credentials or role. Raises AccountError where no active administrator would be left."""
        return self._store.update_user(user_id, by, full_name=full_name, credentials=credentials, role=role)

    def disable(self, user_id: int, by: User | None) -> User:
        """Deactivates an account for good or until `enable`; what the person did and signed stays theirs.

        Raises AccountError for the last active administrator.
        """
        return self._store.update_user(user_id, by, active=False)

    def enable(self, user_id: int, by: User | None) -> User:
        """Takes a deactivation back: for the same person only."""
        return self._store.update_user(user_id, by, active=True)

    def users(self) -> list[User]:
        """All accounts, by user name."""
        return self._store.users()

    def administrators_exist(self) -> bool:
        """Whether there is an active administrator."""
        return self._store.administrators_exist()

    def _attempt(self, user: User | None, username: str, password: str, source: str, purpose: str, wrong: str) -> None:
        """One guess at a password, throttled and audited. Raises SignInError, with `wrong`, unless it is right."""
        name = _key(username if user is None else user.username)
        place, everywhere = throttling.place_key(name, source), throttling.account_key(name)
        waits = {place: throttling.place_pause}
        if not self._store.succeeded_within(place, throttling.TRUST):
            waits[everywhere] = throttling.account_pause
        pause, refused = self._store.reserve_attempt(waits)
        if pause > timedelta(0):
            raise SignInError(f"Too many wrong passwords. Wait {_in_words(pause)} and try again.")
        stored = None if user is None else self._store.credentials_of(user.id)[0]
        right = self._verify(stored, password)
        if user is None or not right or not user.active:
            self._store.note(f"{purpose} refused", None, detail={**_refusal(user, right), "paused_before": refused})
            raise SignInError(wrong)
        self._store.attempt_succeeded(place, tuple(key for key in waits if key != place))
        if stored is not None and self._hasher.check_needs_rehash(stored):
            self._store.rehash_password(user.id, self._hash(password))

    def _hash(self, password: str) -> str:
        return self._hasher.hash(normalised(password))

    def _verify(self, stored: str | None, password: str) -> bool:
        """Whether the password fits. Without a stored hash the same work is done against a decoy."""
        against = stored or _decoy(self._hasher)
        candidate = normalised(password[: 4 * LONGEST]).encode("utf-8", "surrogatepass")
        try:
            self._hasher.verify(against, candidate)
        except (VerificationError, InvalidHashError):
            return False
        return stored is not None


def _refusal(user: User | None, right: bool) -> dict[str, object]:
    """Why, for the audit trail. The name typed is not noted: people type passwords there."""
    if user is None:
        return {"reason": "unknown user name"}
    return {"user_id": user.id, "reason": "wrong password" if not right else "deactivated"}


def _not_own(user: User) -> str:
    """What is said where only the password was asked for; of a deactivated account not whether it was right."""
    if not user.active:
        return f"The account of {user.full_name} is not active, so nothing was done. Ask an administrator."
    return (
        f"This is not the password that {user.full_name} signs in with, so nothing was done. Type it again. If it is "
        "forgotten, an administrator can give another one."
    )


def _key(username: str) -> str:
    """The name whose failures are counted together."""
    return " ".join(unicodedata.normalize("NFKC", username).casefold().split())


def _in_words(pause: timedelta) -> str:
    seconds = math.ceil(pause.total_seconds())
    return f"{seconds} seconds" if seconds < 120 else f"{math.ceil(seconds / 60)} minutes"


@cache
def _decoy(hasher: PasswordHasher) -> str:
    """A hash of nobody's password, of the same cost as everybody's."""
    return hasher.hash("decoy of nobody")
