"""The rows of users. The rules of passwords and sign-in are in her2core.accounts, which alone calls the writers."""

from __future__ import annotations

from datetime import datetime, timedelta
from typing import Any

from her2core.caselog._change import Store
from her2core.caselog._codec import clean_text, key_of, moment, stamp
from her2core.caselog._rows import one, rows, user_of
from her2core.errors import AccountError, DuplicateError
from her2core.permissions import Action
from her2core.records import Role, User

__all__ = ["Users"]


class Users(Store):
    """Accounts: never deleted, ids and names never given to anyone else."""

    def users(self, *, active_only: bool = False) -> list[User]:
        """All accounts, by name."""
        with self.reading() as db:
            found = [user_of(row) for row in rows(db, "SELECT * FROM users ORDER BY username_key")]
        return [user for user in found if user.active or not active_only]

    def user(self, user_id: int) -> User:
        """The account with this id, also a deactivated one. Raises NotFoundError."""
        with self.reading() as db:
            return user_of(one(db, "users", user_id, "account"))

    def user_by_name(self, username: str) -> User | None:
        """The account with this user name, whatever its case; None if there is none."""
        with self.reading() as db:
            found = list(rows(db, "SELECT * FROM users WHERE username_key = ?", [key_of(username)]))
        return user_of(found[0]) if found else None

    def user_by_identity(self, issuer: str, subject: str) -> User | None:
        """The account bound to an identity of an OpenID provider; None if there is none."""
        sql = "SELECT * FROM users WHERE external_issuer = ? AND external_subject = ?"
        with self.reading() as db:
            found = list(rows(db, sql, [issuer, subject]))
        return user_of(found[0]) if found else None

    def credentials_of(self, user_id: int) -> tuple[str | None, datetime | None, bool]:
        """The argon2id hash of an account (None: it has no password of its own), since when, and whether the person
        must choose another one first. Raises NotFoundError."""
        with self.reading() as db:
            row = one(db, "users", user_id, "account")
        since = row["password_changed_at"]
        return row["password_hash"], None if since is None else moment(since), bool(row["must_change_password"])

    def insert_user(
        self,
        username: str,
        full_name: str,
        credentials: str,
        role: Role,
        password_hash: str | None,
        by: User | None,
        *,
        identity: tuple[str, str] | None = None,
        must_change_password: bool = False,
    ) -> User:
        """Adds an account. `by` None: the command line. `identity`: issuer and subject at an OpenID provider.

        Raises DuplicateError where the name, in any spelling, was ever used.
        """
        name = clean_text(username, "user name", required=True, longest=64)
        values: dict[str, Any] = {
            "username": name,
            "username_key": key_of(name),
            "full_name": clean_text(full_name, "full name", required=True, longest=200),
            "credentials": clean_text(credentials, "credentials", longest=200),
            "role": role.value,
            "active": 1,
            "password_hash": password_hash,
            "must_change_password": int(must_change_password),
            "external_issuer": None if identity is None else identity[0],
            "external_subject": None if identity is None else identity[1],
        }
        with self.changing(by, _managing(by), "account added") as change:
            if list(rows(change.db, "SELECT 1 FROM users WHERE username_key = ?", [values["username_key"]])):
                raise DuplicateError("This user name is taken, or was once; choose another.")
            sql = "SELECT 1 FROM users WHERE external_issuer = ? AND external_subject = ?"
            if identity is not None and list(rows(change.db, sql, identity)):
                raise DuplicateError("This person has an account already, or had one once.")
            now = stamp(change.at)
            user_id = change.insert("users", {**values, "password_changed_at": now, "created_at": now})
            change.detail = {"user_id": user_id, "username": name, "role": role.value}
            return user_of(one(change.db, "users", user_id, "account"))

    def update_user(
        self,
        user_id: int,
        by: User | None,
        *,
        full_name: str | None = None,
        credentials: str | None = None,
        role: Role | None = None,
        active: bool | None = None,
    ) -> User:
        """Changes what is given of an account. Raises AccountError where it would leave no active administrator."""
        wanted: dict[str, Any] = {
            "full_name": None if full_name is None else clean_text(full_name, "full name", required=True, longest=200),
            "credentials": None if credentials is None else clean_text(credentials, "credentials", longest=200),
            "role": None if role is None else role.value,
            "active": None if active is None else int(active),
        }
        with self.changing(by, _managing(by), "account changed") as change:
            row = one(change.db, "users", user_id, "account")
            changed = {name: value for name, value in wanted.items() if value is not None and value != row[name]}
            if not changed:
                change.nothing()
                return user_of(row)
            change.update("users", user_id, changed)
            sql = "SELECT 1 FROM users WHERE role = 'administrator' AND active = 1"
            was_one = row["role"] == Role.ADMINISTRATOR and row["active"]
            if was_one and change.db.execute(sql).fetchone() is None:
                raise AccountError("This is the last active administrator; make someone else one first.")
            change.detail = {
                "user_id": user_id,
                "changed": {name: [row[name], value] for name, value in changed.items()},
            }
            return user_of(one(change.db, "users", user_id, "account"))

    def set_identity(self, user_id: int, issuer: str, subject: str, by: User | None) -> User:
        """Binds an account to an identity of an OpenID provider, once and for good.

        Raises AccountError where the account is bound already, DuplicateError where the identity is.
        """
        names = [clean_text(text, "identity", required=True, longest=255) for text in (issuer, subject)]
        with self.changing(by, _managing(by), "account bound to an identity") as change:
            row = one(change.db, "users", user_id, "account")
            if row["external_issuer"] is not None:
                raise AccountError("This account is bound to an identity already; one person has one account for ever.")
            sql = "SELECT 1 FROM users WHERE external_issuer = ? AND external_subject = ?"
            if list(rows(change.db, sql, names)):
                raise DuplicateError("This person has an account already, or had one once.")
            change.update("users", user_id, {"external_issuer": names[0], "external_subject": names[1]})
            change.detail = {"user_id": user_id, "issuer": names[0]}
            return user_of(one(change.db, "users", user_id, "account"))

    def set_password_hash(
        self, user_id: int, password_hash: str, by: User | None, action: str, *, must_change: bool = False
    ) -> None:
        """Replaces the hash of an account's password: by the person, by an administrator, or by the command line.

        Raises NotFoundError, PermissionDeniedError.
        """
        needs = None if by is None or by.id == user_id else Action.MANAGE_USERS
        with self.changing(by, needs, action) as change:
            before = one(change.db, "users", user_id, "account")["password_changed_at"]
            # Sessions know a password by this stamp: it is never an earlier one, whatever the clock says.
            since = change.at if before is None else max(change.at, moment(before) + timedelta(microseconds=1))
            values = {
                "password_hash": password_hash,
                "password_changed_at": stamp(since),
                "must_change_password": int(must_change),
            }
            change.update("users", user_id, values)
            change.detail = {"user_id": user_id}

    def rehash_password(self, user_id: int, password_hash: str) -> None:
        """Stores the same password under stronger parameters; it counts as unchanged."""
        with self.changing(None, None, "password stored under stronger parameters") as change:
            change.update("users", user_id, {"password_hash": password_hash})
            change.detail = {"user_id": user_id}

    def administrators_exist(self) -> bool:
        """Whether anyone could make accounts."""
        with self.reading() as db:
            sql = "SELECT 1 FROM users WHERE role = 'administrator' AND active = 1"
            return db.execute(sql).fetchone() is not None


def _managing(by: User | None) -> Action | None:
    # The command line acts without an account: who can run it can write the file anyway.
    return None if by is None else Action.MANAGE_USERS
