"""Looking cases up in a long case log: more filters, sorted and paged as a list shows them."""

from __future__ import annotations

import json
from collections.abc import Sequence
from dataclasses import dataclass, fields
from datetime import UTC, date, datetime, time, timedelta
from enum import StrEnum
from typing import Any

from her2core.caselog._change import SIGNED_STATES, Store
from her2core.caselog._codec import key_of, stamp
from her2core.caselog._rows import rows
from her2core.caselog.cases import summary_of_row
from her2core.caselog.entries import CaseSummary
from her2core.records import CaseState
from her2core.scoring.suitability import SHOWN_TWICE

__all__ = ["FLAGS", "Lookup", "Query", "Sort"]

_HAS_REGION = "EXISTS (SELECT 1 FROM regions AS r WHERE r.case_id = cases.id AND r.removed_at IS NULL AND {})"
FLAGS = {
    "clusters": _HAS_REGION.format("r.clusters = 1"),
    "heterogeneous": _HAS_REGION.format("r.heterogeneous = 1"),
    "weak signals": _HAS_REGION.format("r.signal_intensity IN ('weak', 'unscorable')"),
    "overlap": _HAS_REGION.format("r.overlap IN ('moderate', 'severe')"),
    "region not suitable": _HAS_REGION.format(f"r.suitable = 0 AND r.unsuitable_reason IS NOT '{SHOWN_TWICE}'"),
}
"""Flags of a case, one of whose regions was flagged so, as conditions. A region that is left out since it shows the
cells of another is none that is not suitable: nothing is wrong with sample or slide."""

_FIRST_SIGNED = "(SELECT min(signed_at) FROM reports WHERE case_id = cases.id AND kind <> 'preliminary')"

_SIGNED_POPULATIONS = """CASE WHEN amending IS NULL THEN
    (SELECT json_extract(summary, '$.populations') FROM reports
     WHERE case_id = cases.id AND kind <> 'preliminary' ORDER BY version DESC LIMIT 1) END"""


class Sort(StrEnum):
    """What a list goes by; the values are shown."""

    CHANGED = "last changed"
    OPENED = "opened"
    SIGNED = "signed"
    ACCESSION = "accession number"
    PATIENT = "patient"
    GROUP = "group"


_ORDER = {
    Sort.CHANGED: "updated_at",
    Sort.OPENED: "created_at",
    Sort.SIGNED: _FIRST_SIGNED,
    Sort.ACCESSION: "accession_key",
    Sort.PATIENT: "patient_name COLLATE NOCASE",
    Sort.GROUP: "result_group",
}


@dataclass(frozen=True, slots=True)
class Query:
    """What is looked for; empty or None: no matter. Days are included, and those of this computer's clock, as shown.

    `text`: every word occurs in accession number, patient's name or id. `reader`: opened the case or signed a report of
    it. `flag`: one of FLAGS. `several`: more than one population was set apart. `ids`: only these cases. Raises
    ValueError for an unknown flag.
    """

    text: str = ""
    states: tuple[CaseState, ...] = ()
    group: int | None = None
    outcome: str | None = None
    since: date | None = None
    until: date | None = None
    by_signing: bool = False
    reader: int | None = None
    flag: str | None = None
    several: bool = False
    ids: tuple[int, ...] | None = None

    def __post_init__(self) -> None:
        if self.flag is not None and self.flag not in FLAGS:
            raise ValueError(f"there is no flag {self.flag!r}")

    @property
    def filters(self) -> bool:
        """Whether anything is asked for."""
        return any(getattr(self, f.name) not in ("", (), None, False) for f in fields(self) if f.name != "by_signing")


_ALL = Query()


class Lookup(Store):
    """Lists of cases."""

    def look_up(
        self,
        query: Query = _ALL,
        sort: Sort = Sort.CHANGED,
        *,
        ascending: bool = False,
        limit: int = 50,
        offset: int = 0,
    ) -> list[CaseSummary]:
        """The cases that a query finds; those without the value that is sorted by come last."""
        where, parameters = _conditions(query)
        order = _ORDER[sort]
        way = "ASC" if ascending else "DESC"
        # The page is chosen first, so that what only a page shows is not worked out for all.
        sql = f"""SELECT cases.*,
                (SELECT count(*) FROM regions WHERE case_id = cases.id AND removed_at IS NULL) AS regions,
                (SELECT max(id) FROM reports WHERE case_id = cases.id) AS latest_report_id,
                {FLAGS["heterogeneous"]} AS flagged_heterogeneous, {_SIGNED_POPULATIONS} AS signed_populations
            FROM cases JOIN (
                SELECT id AS found, row_number() OVER (ORDER BY {order} IS NULL, {order} {way}, id {way}) AS place
                FROM cases WHERE {where} ORDER BY place LIMIT ? OFFSET ?
            ) ON cases.id = found ORDER BY place"""  # noqa: S608 (conditions of ours)
        with self.reading() as db:
            return [summary_of_row(row) for row in rows(db, sql, [*parameters, max(0, limit), max(0, offset)])]

    def look_up_ids(self, query: Query = _ALL) -> tuple[int, ...]:
        """The ids of all cases that a query finds."""
        where, parameters = _conditions(query)
        with self.reading() as db:
            found = db.execute(f"SELECT id FROM cases WHERE {where} ORDER BY id", parameters)  # noqa: S608
            return tuple(int(row[0]) for row in found)

    def open_ids(self) -> frozenset[int]:
        """The ids of all cases that may be changed now: not signed, or open for amendment."""
        sql = f"SELECT id FROM cases WHERE amending IS NOT NULL OR state NOT IN ({', '.join('?' * len(SIGNED_STATES))})"  # noqa: S608
        with self.reading() as db:
            return frozenset(int(row[0]) for row in db.execute(sql, [state.value for state in SIGNED_STATES]))


def _conditions(query: Query) -> tuple[str, list[Any]]:
    day = _FIRST_SIGNED if query.by_signing else "created_at"
    terms: list[tuple[str, Sequence[Any]]] = [("instr(search, ?) > 0", [word]) for word in key_of(query.text).split()]
    if query.states:
        terms.append((f"state IN ({', '.join('?' for _ in query.states)})", [s.value for s in query.states]))
    if query.group is not None:
        terms.append(("result_group = ?", [query.group]))
    if query.outcome is not None:
        terms.append(("outcome = ?", [query.outcome]))
    if query.since is not None:
        terms.append((f"{day} >= ?", [_begin(query.since)]))
    if query.until is not None:
        terms.append((f"{day} < ?", [_begin(query.until + timedelta(days=1))]))
    if query.reader is not None:
        signed = "EXISTS (SELECT 1 FROM reports WHERE case_id = cases.id AND signed_by = ?)"
        terms.append((f"(created_by = ? OR {signed})", [query.reader, query.reader]))
    if query.flag is not None:
        terms.append((FLAGS[query.flag], []))
    if query.several:
        terms.append(("json_array_length(populations) > 1", []))
    if query.ids is not None:
        terms.append(("id IN (SELECT value FROM json_each(?))", [json.dumps(list(query.ids))]))
    return " AND ".join(term for term, _ in terms) or "1", [value for _, values in terms for value in values]


def _begin(day: date) -> str:
    """When a day begins on this computer's clock, as moments are stored.

    Where summer time begins at midnight there is none: `timestamp` then gives one o'clock, and `astimezone` would not.
    """
    return stamp(datetime.fromtimestamp(datetime.combine(day, time()).timestamp(), UTC))
