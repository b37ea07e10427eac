"""Proof that nothing changed unnoticed: structure, audit chain, every row, every file."""

from __future__ import annotations

import hashlib
import json
import sqlite3
from collections.abc import Iterable, Iterator, Mapping
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

from sqlite_utils import Database

from her2core.caselog import _audit
from her2core.caselog._codec import row_sha256
from her2core.caselog._database import Connections
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


def check(log: Connections, images: ContentStore, pdfs: ContentStore, heads: Iterable[str] = ()) -> list[Finding]:
    """Everything that is wrong with the case log; nothing in an intact one.

    A flipped bit in any row that is in the audit chain, in the chain itself, in the rules of the database, in an
    image or in a report is found. Counters of failed sign-ins are not looked at. A chain that was rebuilt, or cut off
    at its end, by somebody who can write the file is found by what knows its heads: signed reports, the file of heads,
    and `heads`, which were kept elsewhere.
    """
    findings: list[Finding] = []
    chain = _Chain()
    for step in (_structure, _rules, _trail, _rows_as_recorded, _report_links):
        try:
            with log.reading(lenient=True) as db:
                findings += step(db, chain)
        except (CaseLogError, sqlite3.Error) as error:
            findings.append(Finding("database", f"it cannot be read to its end ({error})"))
    try:
        with log.reading(lenient=True) as db:
            findings += _heads(db, log.heads)
    except (CaseLogError, sqlite3.Error, OSError):
        findings.append(Finding("audit trail", f"{log.heads.path.name}, which says how far it went, cannot be read"))
    findings += [
        Finding("audit trail", f"it does not hold the head {head}: it was cut, or an older database was put back")
        for head in dict.fromkeys(heads)
        if head not in chain.heads
    ]
    try:
        with log.reading(lenient=True) as db:
            findings += _files(db, images, pdfs)
    except (CaseLogError, sqlite3.Error):
        findings.append(Finding("database", "the list of its images and reports cannot be read"))
    return list(dict.fromkeys(findings))


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


def _heads(db: Database, heads: Heads) -> list[Finding]:
    """Every row that was written down as committed is there, and is that one."""
    wrong = [
        number
        for number, hashed in heads.lines()
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


def _files(db: Database, images: ContentStore, pdfs: ContentStore) -> Iterator[Finding]:
    """The image of each region and the PDF of each report are the bytes that were recorded."""
    verdicts: dict[str, str | None] = {}
    for row in rows(db, "SELECT id, case_id, image_sha256 AS digest FROM regions"):
        if row["digest"] not in verdicts:
            verdicts[row["digest"]] = _file_problem(images, row["digest"])
        problem = verdicts[row["digest"]]
        if problem is not None:
            yield Finding(f"image of region {row['id']}", problem, row["case_id"])
    for row in rows(db, "SELECT id, case_id, sha256 AS digest FROM reports"):
        problem = _file_problem(pdfs, row["digest"])
        if problem is not None:
            yield Finding(f"PDF of report {row['id']}", problem, row["case_id"])
    for row in rows(db, "SELECT id, case_id, sha256 AS digest FROM first_signatures"):
        problem = _file_problem(pdfs, row["digest"])
        if problem is not None:
            yield Finding(f"PDF of first signature {row['id']}", problem, row["case_id"])


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
