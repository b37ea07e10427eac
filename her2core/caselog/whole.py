"""Everything that the case log holds of one case, row by row, to hand it over; and which cases are past retention."""

from __future__ import annotations

from datetime import datetime

from her2core.caselog._change import Store
from her2core.caselog._codec import stamp
from her2core.caselog._rows import Row, one, rows

__all__ = ["Whole"]

_OF_CASE = {
    "cases": "SELECT * FROM cases WHERE id = ?",
    "regions": "SELECT * FROM regions WHERE case_id = ?",
    "analyses": "SELECT * FROM analyses WHERE region_id IN (SELECT id FROM regions WHERE case_id = ?)",
    "corrections": "SELECT * FROM corrections WHERE region_id IN (SELECT id FROM regions WHERE case_id = ?)",
    "statements": "SELECT * FROM statements WHERE case_id = ?",
    "recounts": "SELECT * FROM recounts WHERE case_id = ?",
    "adjudications": "SELECT * FROM adjudications WHERE case_id = ?",
    "reports": "SELECT * FROM reports WHERE case_id = ?",
    "first_signatures": "SELECT * FROM first_signatures WHERE case_id = ?",
    "training_consents": "SELECT * FROM training_consents WHERE case_id = ?",
    "audit": "SELECT * FROM audit WHERE case_id = ?",
}
_PEOPLE = "SELECT id, username, full_name, credentials, role FROM users ORDER BY id"
_LAST_REPORT = "(SELECT max(signed_at) FROM reports WHERE case_id = cases.id)"


class Whole(Store):
    """Cases as a whole."""

    def case_rows(self, case_id: int) -> dict[str, list[Row]]:
        """The rows of each table that belong to a case, removed regions too, and `users`: who the ids in them are.

        All of one moment. The rows are as the audit trail hashed them, except `users`, without passwords.
        Raises NotFoundError.
        """
        with self.reading() as db:
            one(db, "cases", case_id, "case")
            found = {table: list(rows(db, f"{sql} ORDER BY id", [case_id])) for table, sql in _OF_CASE.items()}
            found["users"] = list(rows(db, _PEOPLE))
        return found

    def cases_reported_before(self, moment: datetime) -> list[int]:
        """Cases whose last report is older than `moment` and that are not open for amendment, oldest first."""
        sql = f"""SELECT id FROM cases WHERE amending IS NULL AND {_LAST_REPORT} < ?
            ORDER BY {_LAST_REPORT}, id"""  # noqa: S608 (text of ours)
        with self.reading() as db:
            return [row["id"] for row in rows(db, sql, [stamp(moment)])]
