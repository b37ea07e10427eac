"""Proof that nothing changed unnoticed: structure, audit chain, every row, every file."""

from __future__ import annotations

import hashlib
import json
import sqlite3
from collections.abc import Iterable, Iterator, Mapping
from contextlib import contextmanager
from dataclasses import dataclass, field
from functools import partial
from pathlib import Path
from typing import Any

from sqlite_utils import Database

from her2core.caselog import _audit
from her2core.caselog._codec import row_sha256
from her2core.caselog._database import Connections, in_words
from her2core.caselog._files import ContentStore
from her2core.caselog._heads import Heads
from her2core.caselog._rows import Row, rows
from her2core.caselog._schema import MIGRATIONS, TABLES
from her2core.caselog.entries import Finding
from her2core.errors import CaseLogError

__all__ = ["HASHED", "check", "file_sha256"]

# Tables whose rows are in the audit chain, the record of migrations among them.
_MIGRATIONS = MIGRATIONS.migrations_table
HASHED = (*TABLES, _MIGRATIONS)
_CALLED = {
    "users": "account",
    "cases": "case",
    "regions": "region",
    "analyses": "analysis",
    "corrections": "correction",
    "statements": "statement",
    "recounts": "recount",
    "adjudications": "adjudication",
    "reports": "report",
    "first_signatures": "first signature",
    "training_consents": "consent to training",
    "promotions": "promotion of models",
    _MIGRATIONS: "migration",
}
_MOST_STRUCTURE_FINDINGS = 100


@dataclass
class _Chain:
    """What the audit chain says: the last hash of each record, whose case it is, and all heads there ever were."""

    latest: dict[str, str] = field(default_factory=dict)
    heads: set[str] = field(default_factory=lambda: {_audit.START})


@dataclass(frozen=True, slots=True)
class _File:
    """A file that a record names by its digest."""

    store: ContentStore
    digest: str
    record: str
    case_id: int | None


def check(log: Connections, images: ContentStore, pdfs: ContentStore, heads: Iterable[str] = ()) -> list[Finding]:
    """Everything that is wrong with the case log; nothing in an intact one.

    A flipped bit in any row that is in the audit chain, in the chain itself, in the rules of the database, in an
    image or in a report is found. Counters of failed sign-ins are not looked at. A chain that was rebuilt, or cut off
    at its end, by somebody who can write the file is found by what knows its heads: signed reports, the file of heads,
    and `heads`, which were kept elsewhere.
    """
    findings: list[Finding] = []
    chain = _Chain()
    files: list[_File] = []
    unread = partial(_told, log.path, findings)
    not_to_its_end = "database", "it cannot be read to its end ({})"
    without_heads = "audit trail", f"{log.heads.path.name}, which says how far it went, cannot be read"
    written = 0
    with unread(*without_heads):
        written = log.heads.size_bytes()  # first: the database looked at then holds every row that is named up to here
    # One transaction for all, so that what others write meanwhile looks like no change; they do not wait for it.
    with unread(*not_to_its_end), log.reading(lenient=True) as db:
        for step in (_structure, _rules, _trail, _rows_as_recorded, _report_links):
            with unread(*not_to_its_end):
                findings += step(db, chain)
        with unread(*without_heads):
            findings += _heads(db, log.heads, written)
        with unread("database", "the list of its images and reports cannot be read"):
            files += _files(db, images, pdfs)
    findings += [
        Finding("audit trail", f"it does not hold the head {head}: it was cut, or an older database was put back")
        for head in dict.fromkeys(heads)
        if head not in chain.heads
    ]
    findings += _file_findings(files)
    return list(dict.fromkeys(findings))


@contextmanager
def _told(path: Path, findings: list[Finding], record: str, problem: str) -> Iterator[None]:
    """Makes a finding of what cannot be read; `problem` may have a place for why."""
    try:
        with in_words(path):
            yield
    except (CaseLogError, sqlite3.Error) as error:
        findings.append(Finding(record, problem.format(error)))


def _structure(db: Database, chain: _Chain) -> Iterator[Finding]:
    for row in db.execute(f"PRAGMA integrity_check({_MOST_STRUCTURE_FINDINGS})").fetchall():
        if row[0] != "ok":
            yield Finding("database", f"its structure is damaged: {row[0]}")
    for row in db.execute("PRAGMA foreign_key_check").fetchall():
        yield Finding(_name(row[0], row[1]), f"refers to a record of {row[2]} that is not there")


def _rules(db: Database, chain: _Chain) -> Iterator[Finding]:
    """Tables, indexes and triggers are those that the migrations make."""
    fresh = Database(memory=True)
    MIGRATIONS.apply(fresh)
    wanted, present = _definitions(fresh), _definitions(db)
    fresh.close()
    for kind, name in sorted(wanted.keys() | present.keys()):
        key = (kind, name)
        if key not in present:
            yield Finding("database", f"its {kind} {name} is missing")
        elif key not in wanted:
            yield Finding("database", f"its {kind} {name} is not of her2core")
        elif present[key] != wanted[key]:
            yield Finding("database", f"its {kind} {name} was changed")


def _definitions(db: Database) -> dict[tuple[str, str], str | None]:
    return {(row["type"], row["name"]): row["sql"] for row in rows(db, "SELECT type, name, sql FROM sqlite_master")}


def _trail(db: Database, chain: _Chain) -> Iterator[Finding]:
    """Each audit row is as it was written and continues the one before; none is missing, the last ones neither."""
    previous, number = _audit.START, 0
    for row in rows(db, "SELECT * FROM audit ORDER BY id"):
        number += 1
        record = f"audit row {row['id']}"
        if row["id"] != number:
            yield Finding("audit trail", f"rows {number} to {row['id'] - 1} are missing")
            number = row["id"]
        elif row["previous"] != previous:
            yield Finding(record, "does not continue the row before", row["case_id"])
        if _audit.chain_hash(row) != row["hash"]:
            yield Finding(record, "was changed", row["case_id"])
        previous = row["hash"]
        chain.heads.add(row["hash"])
        chain.latest.update(_records(row))
    counted = db.execute("SELECT seq FROM sqlite_sequence WHERE name = 'audit'").fetchone()
    if counted is not None and counted[0] != number:
        yield Finding("audit trail", f"it ends with row {number} but row {counted[0]} was written")


def _heads(db: Database, heads: Heads, size_bytes: int) -> list[Finding]:
    """Every row that was written down as committed, when the file of heads had this size, is there and is that one."""
    wrong = [
        number
        for number, hashed in heads.lines(size_bytes)
        if db.execute("SELECT 1 FROM audit WHERE id = ? AND hash = ?", [number, hashed]).fetchone() is None
    ]
    if not wrong:
        return []
    first, last = min(wrong), max(wrong)
    rows_named = f"row {first}" if first == last else f"rows {first} to {last}"
    known = f"{rows_named}, of which {heads.path.name} knows, are gone or others"
    return [Finding("audit trail", f"{known}: it was cut, or an older database put back")]


def _records(row: Row) -> Mapping[str, str]:
    try:
        records = json.loads(row["records"])
    except ValueError:  # damaged; the hash of the row tells
        return {}
    return records if isinstance(records, dict) else {}


def _rows_as_recorded(db: Database, chain: _Chain) -> Iterator[Finding]:
    """Each row is what the last audit row about it says, and each row that the audit knows is there."""
    missing = dict(chain.latest)
    for table in HASHED:
        for row in rows(db, f"SELECT * FROM {table}"):  # noqa: S608 (names of ours)
            wanted = missing.pop(f"{table}/{row['id']}", None)
            if wanted is None:
                yield Finding(
                    _name(table, row["id"]), "is in no audit row: it was not written by her2core", _case(row, table)
                )
            elif _hash(row) != wanted:
                yield Finding(_name(table, row["id"]), "was changed outside her2core", _case(row, table))
    for record in missing:
        table, _, row_id = record.partition("/")
        yield Finding(_name(table, row_id), "is gone")


def _hash(row: Row) -> str:
    try:
        return row_sha256(row)
    except CaseLogError:  # a value that the tables could not have taken, such as a blob
        return ""


def _report_links(db: Database, chain: _Chain) -> Iterator[Finding]:
    """Each report names a head that the audit chain had, and the SHA-256 of the report that it follows."""
    sql = """SELECT reports.*, earlier.sha256 AS earlier_sha256 FROM reports
        LEFT JOIN reports AS earlier ON earlier.id = reports.replaces_id"""
    for row in rows(db, sql):
        if row["audit_head"] not in chain.heads:
            problem = "was signed over an audit trail that is no longer the one here"
            yield Finding(_name("reports", row["id"]), problem, row["case_id"])
        if row["replaces_sha256"] != row["earlier_sha256"]:
            yield Finding(
                _name("reports", row["id"]), "names another file than the report that it follows", row["case_id"]
            )


def _files(db: Database, images: ContentStore, pdfs: ContentStore) -> Iterator[_File]:
    """The image of each region and the PDF of each report. They are in their stores before their rows, and stay."""
    for store, record, sql in (
        (images, "image of region", "SELECT id, case_id, image_sha256 AS digest FROM regions"),
        (pdfs, "PDF of report", "SELECT id, case_id, sha256 AS digest FROM reports"),
        (pdfs, "PDF of first signature", "SELECT id, case_id, sha256 AS digest FROM first_signatures"),
    ):
        for row in rows(db, sql):
            yield _File(store, row["digest"], f"{record} {row['id']}", row["case_id"])


def _file_findings(files: Iterable[_File]) -> Iterator[Finding]:
    """Each file is the bytes that were recorded."""
    verdicts: dict[tuple[Path, str], str | None] = {}
    for file in files:
        key = file.store.folder, file.digest
        if key not in verdicts:
            verdicts[key] = _file_problem(file.store, file.digest)
        problem = verdicts[key]
        if problem is not None:
            yield Finding(file.record, problem, file.case_id)


def _file_problem(store: ContentStore, digest: str) -> str | None:
    try:
        same = file_sha256(store.path(digest)) == digest
    except FileNotFoundError:
        return "is missing"
    except OSError:
        return "cannot be read"
    except ValueError:
        return "is recorded under a name that is no SHA-256"
    return None if same else "was changed or damaged"


def file_sha256(path: Path) -> str:
    """SHA-256 of a file, whatever its size."""
    with path.open("rb") as file:
        return hashlib.file_digest(file, "sha256").hexdigest()


def _name(table: str, row_id: Any) -> str:
    return f"{_CALLED.get(table, table)} {row_id}"


def _case(row: Row, table: str) -> int | None:
    number = row["id"] if table == "cases" else row.get("case_id")
    return number if isinstance(number, int) else None
