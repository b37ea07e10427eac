"""The desk: every open case with what it lacks, and where each pathologist stopped in it."""

from __future__ import annotations

from dataclasses import dataclass
from datetime import datetime

from her2core.caselog._change import Store
from her2core.caselog._codec import clean_text, key_of, moment, stamp
from her2core.caselog._rows import one, rows
from her2core.records import CaseState, User

__all__ = ["Desk", "OpenCase", "Place"]

_LONGEST_PAGE = 60


@dataclass(frozen=True, slots=True)
class Place:
    """Where a user stopped in a case: the page, the region that was looked at, and the state the case was in then."""

    page: str
    region_id: int | None
    state: CaseState
    at: datetime


@dataclass(frozen=True, slots=True)
class OpenCase:
    """A case that is not signed, or is open for amendment, as the worklist shows it to one user.

    `regions` counts all its region images, `unflagged` those without flags, `suitable` those fit for counting and
    `to_analyse` the suitable ones without analysis. `own` is true where the user opened the case or has worked on it,
    or is to sign its report second. `second_by` and `second_name` say who that is; None and "" where nobody signed yet.
    """

    id: int
    accession: str
    patient_name: str
    patient_id: str
    block: str
    state: CaseState
    amending: bool
    regions: int
    unflagged: int
    suitable: int
    to_analyse: int
    created_by: int
    created_at: datetime
    updated_at: datetime
    own: bool
    place: Place | None
    second_by: int | None = None
    second_name: str = ""


_OPEN = """
SELECT c.id, c.accession, c.patient_name, c.patient_id, c.block, c.state, c.amending IS NOT NULL AS amending,
    c.created_by, c.created_at, c.updated_at, p.page, p.region_id, p.state AS place_state, p.at AS place_at,
    f.second_by, s.full_name AS second_name,
    count(r.id) AS regions,
    total(r.id IS NOT NULL AND r.suitable IS NULL) AS unflagged,
    total(r.suitable = 1) AS suitable,
    total(r.suitable = 1 AND NOT EXISTS (SELECT 1 FROM analyses WHERE region_id = r.id)) AS to_analyse
FROM cases AS c
LEFT JOIN regions AS r ON r.case_id = c.id AND r.removed_at IS NULL
LEFT JOIN places AS p ON p.case_id = c.id AND p.user_id = ?
LEFT JOIN first_signatures AS f ON f.case_id = c.id AND f.case_version = c.version
LEFT JOIN users AS s ON s.id = f.second_by
WHERE (c.state NOT IN ('signed', 'amended') OR c.amending IS NOT NULL){words}
GROUP BY c.id ORDER BY c.created_at, c.id
"""


class Desk(Store):
    """What waits, and where work on it goes on. Places are no record of the case: not hashed, and free to be lost."""

    def open_cases(self, user: User, text: str = "") -> list[OpenCase]:
        """Every open case in which each word of `text` occurs in accession number, patient's name or id, the one that
        was opened first first; `own` and `place` are those of `user`."""
        words = key_of(text).split()
        sql = _OPEN.format(words=" AND instr(c.search, ?) > 0" * len(words))
        with self.reading() as db:
            return [
                OpenCase(
                    id=row["id"],
                    accession=row["accession"],
                    patient_name=row["patient_name"],
                    patient_id=row["patient_id"],
                    block=row["block"],
                    state=CaseState(row["state"]),
                    amending=bool(row["amending"]),
                    regions=row["regions"],
                    unflagged=int(row["unflagged"]),
                    suitable=int(row["suitable"]),
                    to_analyse=int(row["to_analyse"]),
                    created_by=row["created_by"],
                    created_at=moment(row["created_at"]),
                    updated_at=moment(row["updated_at"]),
                    own=user.id in (row["created_by"], row["second_by"]) or row["page"] is not None,
                    place=_place(row["page"], row["region_id"], row["place_state"], row["place_at"]),
                    second_by=row["second_by"],
                    second_name=row["second_name"] or "",
                )
                for row in rows(db, sql, [user.id, *words])
            ]

    def keep_place(self, case_id: int, user: User, page: str, region_id: int | None = None) -> None:
        """Remembers where a user is in a case; without a region the one known before stays.

        Raises NotFoundError for a case that is not there, CaseLogError for a name that no page can have.
        """
        name = clean_text(page, "page", required=True, longest=_LONGEST_PAGE)
        with self.writing() as db:
            case = one(db, "cases", case_id, "case")
            db.execute(
                """INSERT INTO places (user_id, case_id, page, region_id, state, at)
                VALUES (?, ?, ?, (SELECT id FROM regions WHERE id = ? AND case_id = ?), ?, ?)
                ON CONFLICT (user_id, case_id) DO UPDATE SET page = excluded.page, state = excluded.state,
                    at = excluded.at, region_id = coalesce(excluded.region_id, region_id)""",
                [user.id, case_id, name, region_id, case_id, case["state"], stamp(self.now())],
            )

    def place(self, case_id: int, user: User) -> Place | None:
        """Where a user stopped in a case; None for one who was never there."""
        sql = "SELECT page, region_id, state, at FROM places WHERE case_id = ? AND user_id = ?"
        with self.reading() as db:
            row = next(rows(db, sql, [case_id, user.id]), None)
        return None if row is None else _place(row["page"], row["region_id"], row["state"], row["at"])


def _place(page: str | None, region_id: int | None, state: str | None, at: str | None) -> Place | None:
    return None if page is None or state is None or at is None else Place(page, region_id, CaseState(state), moment(at))
