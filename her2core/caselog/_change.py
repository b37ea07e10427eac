"""A change of the case log: permission, state and version checked, rows written, one audit row, all or nothing."""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from datetime import datetime
from typing import Any

from sqlite_utils import Database

from her2core.caselog import _audit
from her2core.caselog._codec import row_sha256, stamp
from her2core.caselog._database import Connections
from her2core.caselog._rows import Row, one, user_of
from her2core.errors import ConflictError, PermissionDeniedError, WrongStateError
from her2core.permissions import Action, require
from her2core.records import CaseState, User

__all__ = ["Change", "Store"]

SIGNED_STATES = (CaseState.SIGNED, CaseState.AMENDED)


class Change:
    """What one act writes. Made by `Store.changing`, which appends the audit row and commits.

    `detail` goes into the audit row: ids and old and new values, no free text beyond the fields of the case.
    """

    def __init__(self, db: Database, at: datetime, by: User | None, action: str, case_id: int | None) -> None:
        self.db = db
        self.at = at
        self.by = by
        self.action = action
        self.case_id = case_id
        self.detail: dict[str, Any] = {}
        self.needed = True
        self._touched: dict[tuple[str, int], None] = {}

    def insert(self, table: str, values: Mapping[str, Any]) -> int:
        """Adds a row and remembers it for the audit; its id."""
        self.db.table(table).insert(dict(values))
        row_id = int(self.db.execute("SELECT last_insert_rowid()").fetchone()[0])
        self._touched[(table, row_id)] = None
        return row_id

    def update(self, table: str, row_id: int, values: Mapping[str, Any]) -> None:
        """Changes a row and remembers it for the audit."""
        self.db.table(table).update(row_id, dict(values))
        self._touched[(table, row_id)] = None

    def nothing(self) -> None:
        """Says that nothing was changed: no audit row is written."""
        self.needed = False

    def case(self, case_id: int, version: int | None = None, *, signed_too: bool = False) -> Row:
        """The row of a case that may be changed now.

        Raises NotFoundError, ConflictError (`version` is given and no longer the case's), WrongStateError (signed and
        not open for amendment, unless `signed_too`).
        """
        row = one(self.db, "cases", case_id, "case")
        self.case_id = case_id
        if version is not None and row["version"] != version:
            raise self.conflict(row)
        if not signed_too and row["state"] in SIGNED_STATES and row["amending"] is None:
            raise WrongStateError("This case is signed. Open an amendment to change it.")
        return row

    def touch_case(self, row: Row, **values: Any) -> int:
        """Writes `values` to the case, and that it changed: by whom, when and its next version, which is returned."""
        version = int(row["version"]) + 1
        who_and_when = {"updated_by": self.user.id, "updated_at": stamp(self.at)}
        self.update("cases", row["id"], {**values, "version": version, **who_and_when})
        return version

    @property
    def user(self) -> User:
        """Who acts; cases are changed by people only."""
        if self.by is None:
            raise PermissionDeniedError("Sign in first.")
        return self.by

    def conflict(self, row: Row) -> ConflictError:
        """Who changed the case meanwhile, in words."""
        other = one(self.db, "users", row["updated_by"], "user")
        at = f"{row['updated_at'][:10]} {row['updated_at'][11:16]} UTC"
        if other["id"] == self.user.id:
            who = "You changed this case yourself, perhaps in another window,"
        else:
            who = f"{other['full_name']} changed this case"
        return ConflictError(f"{who} at {at}, after it was opened here. Load it again and repeat your step.")

    def records(self) -> dict[str, str]:
        """Each row written, with the SHA-256 of what it holds now."""
        return {
            f"{table}/{row_id}": row_sha256(one(self.db, table, row_id, "row"))
            for table, row_id in sorted(self._touched)
        }


class Store(Connections):
    """What all topics of the case log stand on: reading, and changing with audit.

    `origin` is where an act without an account comes from, as the audit trail says it.
    """

    origin = _audit.COMMAND_LINE

    @contextmanager
    def changing(
        self, by: User | None, needs: Action | None, action: str, *, case_id: int | None = None
    ) -> Iterator[Change]:
        """One act: its rows and its audit row, or nothing at all.

        `needs` is checked against the role stored now, not the one `by` brings along: an account that was deactivated
        a minute ago acts no more. Raises PermissionDeniedError.
        """
        with self.writing() as db:
            at = self.now()
            actor = None if by is None else _present(db, by)
            if needs is not None:
                require(actor, needs)
            change = Change(db, at, actor, action, case_id)
            yield change
            if change.needed:
                self._record(change)

    def _record(self, change: Change) -> None:
        who = (None, self.origin) if change.by is None else (change.by.id, change.by.username)
        _audit.append(
            change.db,
            at=change.at,
            by=who,
            action=change.action,
            case_id=change.case_id,
            detail=change.detail,
            records=change.records(),
        )


def _present(db: Database, by: User) -> User:
    """The user as stored. Raises PermissionDeniedError where the account is unknown or deactivated."""
    row = db.execute("SELECT 1 FROM users WHERE id = ?", [by.id]).fetchone()
    user = None if row is None else user_of(one(db, "users", by.id, "user"))
    if user is None or user.username != by.username:
        raise PermissionDeniedError("This account is not known here. Sign in again.")
    if not user.active:
        raise PermissionDeniedError("This account is deactivated; ask an administrator.")
    return user
