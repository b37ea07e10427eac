"""Whole cases written at once into a case log without any: for laboratories of invented cases, never for patients.

What the acts themselves would have left is written: rows, the audit chain with their hashes, report files. Permissions
and states are not looked at, so whoever writes answers for the order of the acts; the database's own rules still hold.
"""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Iterator, Mapping, Sequence
from contextlib import contextmanager
from dataclasses import asdict, dataclass, field
from datetime import datetime
from typing import Any

from sqlite_utils import Database

from her2core.caselog._audit import chain_hash, head
from her2core.caselog._codec import canonical, row_sha256, sha256, stamp
from her2core.caselog._files import ContentStore
from her2core.caselog._rows import Row, analysis_columns, flag_columns
from her2core.caselog.cases import ONE_POPULATION, case_columns
from her2core.caselog.entries import RecountedNucleus, ReportKind, StatementKind
from her2core.caselog.reports import Reports
from her2core.errors import CaseLogError
from her2core.records import CaseDetails, CaseState, Correction, RegionAnalysis, RegionFlags, Tally, User

__all__ = ["Act", "Bulk", "InBulk", "Kept"]

_FLUSH_AT = 2000  # audit rows
# Parents last where they are signed: a signed case takes no more rows. What refers to them is checked at the end.
_TABLES = ("regions", "analyses", "corrections", "statements", "recounts", "adjudications", "reports", "cases")


@dataclass(frozen=True, slots=True)
class Kept:
    """A row to be written: its table and columns, the id among them."""

    table: str
    row: Row

    @property
    def id(self) -> int:
        """The row's id."""
        return int(self.row["id"])


@dataclass(slots=True)
class Act:
    """One act: who did what to which case and when, and the rows it leaves."""

    at: datetime
    by: User
    action: str
    case_id: int
    detail: dict[str, Any] = field(default_factory=dict)
    rows: list[Kept] = field(default_factory=list)


class Bulk:
    """Makes rows, and writes acts with their audit rows in the order in which they are given. From `InBulk.in_bulk`."""

    def __init__(self, db: Database, pdfs: ContentStore) -> None:
        self._db, self._pdfs = db, pdfs
        self._ids: dict[str, int] = defaultdict(int)
        self._blank = {table: _defaults(db, table) for table in _TABLES}
        self._pending: dict[str, list[Row]] = defaultdict(list)
        self._files: dict[str, bytes] = {}
        self._head = head(db)
        self._audit_id = int(db.execute("SELECT count(*) FROM audit").fetchone()[0])

    def write(self, act: Act) -> None:
        """The act's rows, and its audit row. Acts must come in the order of time."""
        for kept in act.rows:
            if kept.table == "reports":
                kept.row["audit_head"] = self._head
                digest = kept.row["sha256"]
                self._pdfs.path(digest).write_bytes(self._files.pop(digest))
            self._pending[kept.table].append(kept.row)
        self._audit_id += 1
        entry = {
            "id": self._audit_id,
            "at": stamp(act.at),
            "by_user_id": act.by.id,
            "by_username": act.by.username,
            "action": act.action,
            "case_id": act.case_id,
            "detail": canonical(act.detail),
            "records": canonical({f"{kept.table}/{kept.id}": row_sha256(kept.row) for kept in act.rows}),
            "previous": self._head,
        }
        self._head = chain_hash(entry)
        self._pending["audit"].append({**entry, "hash": self._head})
        if len(self._pending["audit"]) >= _FLUSH_AT:
            self.flush()

    def flush(self) -> None:
        """Hands what is collected to the database."""
        for table in (*_TABLES, "audit"):
            found = self._pending.pop(table, [])
            if found:
                names = list(found[0])
                marks = ", ".join("?" for _ in names)
                self._db.conn.executemany(
                    f"INSERT INTO {table} ({', '.join(names)}) VALUES ({marks})",  # noqa: S608 (names of ours)
                    [[row[name] for name in names] for row in found],
                )

    # --- rows ---------------------------------------------------------------------------------------------------------

    def case(
        self,
        case_id: int,
        details: CaseDetails,
        state: CaseState,
        *,
        by: User,
        opened: datetime,
        changed: datetime,
        version: int,
        result: tuple[int | None, str] | None = None,
    ) -> Kept:
        """A case as it is at the end, written with its last act. `result`: ISH group and outcome, once assessed."""
        group, outcome = result or (None, None)
        return self._row(
            "cases",
            **case_columns(details),
            id=case_id,
            populations=ONE_POPULATION,
            state=state.value,
            version=version,
            result_group=group,
            outcome=outcome,
            created_by=by.id,
            created_at=stamp(opened),
            updated_by=by.id,
            updated_at=stamp(changed),
        )

    def region(
        self,
        case_id: int,
        filename: str,
        image: tuple[str, int],
        size_px: tuple[int, int],
        um_per_px: float,
        flags: RegionFlags,
        *,
        by: User,
        at: datetime,
    ) -> Kept:
        """A region with its flags; `image`: SHA-256 and bytes of a file that is kept already."""
        return self._row(
            "regions",
            case_id=case_id,
            filename=filename,
            image_sha256=image[0],
            image_bytes=image[1],
            width_px=size_px[0],
            height_px=size_px[1],
            um_per_px=um_per_px,
            **flag_columns(flags),
            added_by=by.id,
            added_at=stamp(at),
        )

    def analysis(self, region_id: int, analysis: RegionAnalysis, *, by: User, at: datetime) -> Kept:
        """An analysis of a region."""
        return self._row("analyses", region_id=region_id, **analysis_columns(analysis), by_user_id=by.id, at=stamp(at))

    def correction(self, analysis_id: int, correction: Correction) -> Kept:
        """A correction of an analysis; its id is given here."""
        return self._row(
            "corrections",
            analysis_id=analysis_id,
            region_id=correction.region_id,
            nucleus_id=correction.nucleus_id,
            kind=correction.kind.value,
            old=canonical(correction.old),
            new=canonical(correction.new),
            reason=correction.reason,
            by_user_id=correction.by_user_id,
            at=stamp(correction.at),
        )

    def statement(self, case_id: int, kind: StatementKind, value: Mapping[str, Any], *, by: User, at: datetime) -> Kept:
        """A declaration about the whole case."""
        text = canonical(dict(value))
        return self._row(
            "statements", case_id=case_id, kind=kind.value, subject="", value=text, by_user_id=by.id, at=stamp(at)
        )

    def recount(
        self, case_id: int, population: str, nuclei: Sequence[RecountedNucleus], tally: Tally, *, by: User, at: datetime
    ) -> Kept:
        """A blinded recount; `tally` is that of the nuclei."""
        return self._row(
            "recounts",
            case_id=case_id,
            population=population,
            blinded=1,
            n=tally.n,
            her2=tally.her2,
            cep17=tally.cep17,
            nuclei=canonical([asdict(nucleus) for nucleus in nuclei]),
            by_user_id=by.id,
            at=stamp(at),
        )

    def adjudication(
        self, case_id: int, population: str, category: str, group: int | None, reason: str, *, by: User, at: datetime
    ) -> Kept:
        """A decision between two counts."""
        return self._row(
            "adjudications",
            case_id=case_id,
            population=population,
            category=category,
            result_group=group,
            reason=reason,
            by_user_id=by.id,
            at=stamp(at),
        )

    def report(
        self,
        case_id: int,
        version: int,
        kind: ReportKind,
        pdf: bytes,
        summary: Mapping[str, Any],
        *,
        by: User,
        at: datetime,
        case_version: int,
        reason: str = "",
        replaces: Kept | None = None,
    ) -> Kept:
        """A report; its file is written with it."""
        digest = sha256(pdf)
        self._files[digest] = pdf
        return self._row(
            "reports",
            case_id=case_id,
            version=version,
            kind=kind.value,
            sha256=digest,
            size_bytes=len(pdf),
            case_version=case_version,
            reason=reason,
            replaces_id=None if replaces is None else replaces.id,
            replaces_sha256=None if replaces is None else replaces.row["sha256"],
            summary=canonical(dict(summary)),
            signed_by=by.id,
            cosigned_by="[]",
            signed_at=stamp(at),
        )

    def _row(self, table: str, **values: Any) -> Kept:
        self._ids[table] += 1
        return Kept(table, {**self._blank[table], "id": self._ids[table], **values})


class InBulk(Reports):
    """Many acts in one transaction."""

    @contextmanager
    def in_bulk(self) -> Iterator[Bulk]:
        """All that is written within, or nothing. Raises CaseLogError where the case log holds a case already."""
        self.pdfs.folder.mkdir(mode=0o700, exist_ok=True)
        with self.writing() as db:
            if db.execute("SELECT 1 FROM cases LIMIT 1").fetchone() is not None:
                raise CaseLogError("This case log holds cases already; invented ones are never put beside them.")
            db.execute("PRAGMA defer_foreign_keys = ON")
            bulk = Bulk(db, self.pdfs)
            yield bulk
            bulk.flush()


def _defaults(db: Database, table: str) -> Row:
    """Every column of a table with its default, so that a column of a later migration is there too."""
    found: Row = {}
    for _, name, _, _, default, _ in db.execute(f"PRAGMA table_info({table})").fetchall():
        found[name] = None if default is None else db.execute(f"SELECT {default}").fetchone()[0]
    return found
