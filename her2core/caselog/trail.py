"""The audit trail: reading it, and noting acts that change nothing, such as signing in, looking and downloading."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any

from her2core.caselog import _audit
from her2core.caselog._change import Store
from her2core.caselog._rows import one, rows
from her2core.caselog.entries import AuditEntry
from her2core.records import User

__all__ = ["Trail"]


class Trail(Store):
    """The audit chain of the case log."""

    def note(
        self, action: str, by: User | None, case_id: int | None = None, detail: Mapping[str, Any] | None = None
    ) -> None:
        """Adds an act to the audit trail. `detail` holds ids and kinds, never a patient's data or a password.

        Raises NotFoundError for an unknown case.
        """
        with self.changing(by, None, action, case_id=case_id) as change:
            if case_id is not None:
                one(change.db, "cases", case_id, "case")
            change.detail = dict(detail or {})

    def audit(
        self,
        case_id: int | None = None,
        limit: int = 200,
        before_id: int | None = None,
        *,
        actions: Sequence[str] = (),
        accounts_only: bool = False,
    ) -> list[AuditEntry]:
        """Entries, latest first, of one case or of all. `before_id` continues a list; `accounts_only` leaves out all
        that concern a case, for administrators."""
        terms = ["1"]
        parameters: list[Any] = []
        if case_id is not None:
            terms.append("case_id = ?")
            parameters.append(case_id)
        if before_id is not None:
            terms.append("id < ?")
            parameters.append(before_id)
        if accounts_only:
            terms.append("case_id IS NULL")
        if actions:
            terms.append(f"action IN ({', '.join('?' for _ in actions)})")
            parameters += list(actions)
        sql = f"SELECT * FROM audit WHERE {' AND '.join(terms)} ORDER BY id DESC LIMIT ?"  # noqa: S608
        with self.reading() as db:
            return [_audit.entry_of(row) for row in rows(db, sql, [*parameters, max(0, limit)])]

    def audit_head(self) -> str:
        """Hash of the last audit row, which stands for the whole trail; every report carries it."""
        with self.reading() as db:
            return _audit.head(db)
