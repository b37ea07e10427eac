"""The audit chain: each row's hash covers its content and the hash of the row before."""

from __future__ import annotations

import json
from collections.abc import Mapping
from datetime import datetime, timedelta
from typing import Any

from sqlite_utils import Database

from her2core.caselog._codec import canonical, moment, sha256, stamp
from her2core.caselog.entries import AuditEntry

__all__ = ["START", "append", "chain_hash", "entry_of", "head"]

START = "her2core"  # what the first row continues
COMMAND_LINE = "command line"
_CLOCK_TOLERANCE = timedelta(seconds=2)


def head(db: Database) -> str:
    """Hash of the last row; `START` while there is none."""
    row = db.execute("SELECT hash FROM audit ORDER BY id DESC LIMIT 1").fetchone()
    return START if row is None else str(row[0])


def append(
    db: Database,
    *,
    at: datetime,
    by: tuple[int | None, str],
    action: str,
    case_id: int | None,
    detail: Mapping[str, Any],
    records: Mapping[str, str],
) -> None:
    """Adds a row to the chain, within the transaction of the act itself. `by` is user id and user name.

    Where it would be earlier than the last row, a row before it says that the clock was set back.
    """
    last = db.execute("SELECT id, at, hash FROM audit ORDER BY id DESC LIMIT 1").fetchone()
    number, previous = (0, START) if last is None else (int(last[0]), str(last[2]))
    acts = [(action, case_id, detail, records)]
    if last is not None and at < moment(last[1]) - _CLOCK_TOLERANCE:
        acts.insert(0, ("clock set back", None, {"before": last[1], "now": stamp(at)}, {}))
    for what, of_case, told, hashes in acts:
        number += 1
        row: dict[str, Any] = {
            "id": number,
            "at": stamp(at),
            "by_user_id": by[0],
            "by_username": by[1],
            "action": what,
            "case_id": of_case,
            "detail": canonical(dict(told)),
            "records": canonical(dict(hashes)),
            "previous": previous,
        }
        previous = chain_hash(row)
        db.table("audit").insert({**row, "hash": previous})


def chain_hash(row: Mapping[str, Any]) -> str:
    """SHA-256 of an audit row without its hash, as stored."""
    content = {name: value for name, value in row.items() if name != "hash"}
    return sha256(canonical(content).encode("utf-8", "surrogatepass"))


def entry_of(row: Mapping[str, Any]) -> AuditEntry:
    """An audit row as an entry."""
    return AuditEntry(
        id=row["id"],
        at=moment(row["at"]),
        by_user_id=row["by_user_id"],
        by_username=row["by_username"],
        action=row["action"],
        case_id=row["case_id"],
        detail=json.loads(row["detail"]),
        records=json.loads(row["records"]),
        previous=row["previous"],
        hash=row["hash"],
    )
