"""Searches of the case log that a user gave a name. A convenience, no record: not audited, and free to be lost."""

from __future__ import annotations

import json
from collections.abc import Mapping
from typing import Any

from her2core.caselog._change import Store
from her2core.caselog._codec import canonical, clean_text, stamp
from her2core.caselog._rows import rows
from her2core.errors import CaseLogError
from her2core.records import User

__all__ = ["MOST_SAVED", "Saved"]

MOST_SAVED = 30
"""Searches that a user may keep."""
_LONGEST_NAME = 60


class Saved(Store):
    """The searches of users."""

    def save_filter(self, name: str, query: Mapping[str, Any], by: User) -> None:
        """Keeps a search under a name; one of that name is replaced.

        Raises CaseLogError for a missing or overlong name, and where there are too many already.
        """
        title = clean_text(name, "name of the search", required=True, longest=_LONGEST_NAME)
        text = canonical(dict(query))
        with self.writing() as db:
            others = db.execute(
                "SELECT count(*) FROM saved_filters WHERE user_id = ? AND name <> ?", [by.id, title]
            ).fetchone()[0]
            if others >= MOST_SAVED:
                raise CaseLogError(f"There are {MOST_SAVED} saved searches already; delete one first.")
            db.execute(
                """INSERT INTO saved_filters (user_id, name, query, at) VALUES (?, ?, ?, ?)
                ON CONFLICT (user_id, name) DO UPDATE SET query = excluded.query, at = excluded.at""",
                [by.id, title, text, stamp(self.now())],
            )

    def saved_filters(self, user: User) -> dict[str, dict[str, Any]]:
        """A user's searches by name, in the order of the names."""
        with self.reading() as db:
            found = rows(db, "SELECT name, query FROM saved_filters WHERE user_id = ? ORDER BY name", [user.id])
            return {row["name"]: json.loads(row["query"]) for row in found}

    def delete_filter(self, name: str, by: User) -> None:
        """Forgets a search; nothing happens where there is none of that name."""
        with self.writing() as db:
            db.execute("DELETE FROM saved_filters WHERE user_id = ? AND name = ?", [by.id, name])
