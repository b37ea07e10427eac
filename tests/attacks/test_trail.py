"""Somebody who can write the database file edits, deletes and reorders rows; `check` tells."""

from __future__ import annotations

import json
import random
import shutil
import sqlite3
from contextlib import closing
from pathlib import Path

import pytest

from her2core.caselog import CaseLog, _audit
from tests.caselog.lab import Lab
from tests.proof import Proof, Record, times

COLUMNS = ("at", "by_user_id", "by_username", "action", "case_id", "detail", "records", "previous", "hash")


KNOWN_BY = {
    "file of heads": "",
    "kept head": "; `audit-heads.txt` cut as well, a head kept elsewhere",
    "records alone": "; `audit-heads.txt` cut as well, no head kept",
}


def tampered(full: Lab, folder: Path, *statements: tuple[str, tuple[object, ...]]) -> CaseLog:
    """A copy of the log in which somebody ran these statements with all triggers out of the way, then put them back."""
    shutil.copytree(full.log.data_dir, folder)
    with closing(sqlite3.connect(folder / "caselog.sqlite")) as conn, conn:
        triggers = conn.execute("SELECT name, sql FROM sqlite_master WHERE type = 'trigger'").fetchall()
        for name, _ in triggers:
            conn.execute(f"DROP TRIGGER {name}")
        for sql, values in statements:
            conn.execute(sql, values)
        for _, sql in triggers:
            conn.execute(sql)
    return CaseLog(folder)


@pytest.mark.timeout(1800)
@pytest.mark.parametrize("attack", ["edited", "deleted", "reordered"])
def test_any_change_of_the_audit_trail_is_found(
    record_property: Record, full: Lab, tmp_path: Path, attack: str
) -> None:
    proof = Proof(record_property, "Attacks", f"Audit rows {attack} in the database file, triggers removed meanwhile")
    last = full.log.audit(limit=1)[0].id
    chance = random.Random(attack)
    for number in range(times(4, 100)):
        one, other = chance.sample(range(1, last + 1), 2)
        steps: list[tuple[str, tuple[int | str, ...]]]
        if attack == "edited":
            column = chance.choice(COLUMNS)
            value = chance.choice([1, 2]) if column in ("by_user_id", "case_id") else f"x{number}"
            steps = [(f"UPDATE audit SET {column} = ? WHERE id = ? AND {column} IS NOT ?", (value, one, value))]
        elif attack == "deleted":
            steps = [("DELETE FROM audit WHERE id BETWEEN ? AND ?", (min(one, other), max(one, other)))]
            if chance.random() < 0.5:  # and the gap closed
                shift = max(one, other) - min(one, other) + 1
                steps.append(("UPDATE audit SET id = id - ? WHERE id > ?", (shift, max(one, other))))
                steps.append(("UPDATE sqlite_sequence SET seq = seq - ? WHERE name = 'audit'", (shift,)))
        else:
            steps = [("UPDATE audit SET id = -1 WHERE id = ?", (one,))]
            steps += [("UPDATE audit SET id = ? WHERE id = ?", (one, other))]
            steps += [("UPDATE audit SET id = ? WHERE id = -1", (other,))]
        log = tampered(full, tmp_path / str(number), *steps)
        unchanged = rows(full.log.path) == rows(log.path)
        assert bool(log.check()) is not unchanged, steps
        log.close()
        proof.tries += not unchanged
        shutil.rmtree(log.data_dir)
    proof.holds("`check` told each time which rows")


@pytest.mark.timeout(1800)
@pytest.mark.parametrize("known_by", KNOWN_BY)
def test_a_trail_that_is_cut_at_its_end_is_found(
    record_property: Record, full: Lab, tmp_path: Path, known_by: str
) -> None:
    """With SQLite's counter set back, a trail that ends earlier is as her2core would have written it until then.

    Only what knows how far it went can tell: the file of heads, or, where that was cut as well, a head that was kept
    elsewhere. Without both, the rows back to the last one that a record or report rests on can go unnoticed.
    """
    what = "The last audit rows deleted and SQLite's counter set back, 1 row to all"
    proof = Proof(record_property, "Attacks", what + KNOWN_BY[known_by])
    for name in ("one", "two", "three"):
        full.log.note("case viewed", full.anna, detail={"window": name})  # nothing rests on these
    found = full.log.audit(limit=10_000)
    views = next(place for place, entry in enumerate(found) if entry.records)
    assert views >= 3
    last = found[0].id
    kept = [full.log.audit_head()] if known_by == "kept head" else []
    for gone in range(1, last, times(9, 1)):
        left = last - gone
        log = tampered(
            full,
            tmp_path / str(gone),
            ("DELETE FROM audit WHERE id > ?", (left,)),
            ("UPDATE sqlite_sequence SET seq = ? WHERE name = 'audit'", (left,)),
        )
        if known_by != "file of heads":
            cut = log.heads.path.read_text().splitlines(keepends=True)
            log.heads.path.write_text("".join(line for line in cut if int(line.split()[0]) <= left))
        assert bool(log.check(kept)) is (gone > views or known_by != "records alone")
        log.close()
        shutil.rmtree(log.data_dir)
        proof.tries += 1
    proof.holds(
        f"`check` told once a row was missing that a record or a report rests on; {views} rows of views after the "
        "last one can go unnoticed (see What is not defended)"
        if known_by == "records alone"
        else "`check` told each time, of views alone too"
    )


def test_a_trail_that_was_cut_and_went_on_is_found(record_property: Record, full: Lab, tmp_path: Path) -> None:
    """The cut rows' numbers are taken by new ones, as many as wanted, all written by her2core itself."""
    proof = Proof(record_property, "Attacks", "The last audit rows deleted, and the laboratory goes on working")
    full.log.note("case viewed", full.anna)
    full.log.note("exported", full.anna)
    last = full.log.audit(limit=1)[0].id
    log = tampered(
        full,
        tmp_path / "cut",
        ("DELETE FROM audit WHERE id > ?", (last - 2,)),
        ("UPDATE sqlite_sequence SET seq = ? WHERE name = 'audit'", (last - 2,)),
    )
    for _ in range(5):
        log.note("case viewed", full.anna)
    (finding,) = log.check()
    assert finding.record == "audit trail"
    assert f"rows {last - 1} to {last}, of which audit-heads.txt knows" in finding.problem
    log.close()
    proof.tries += 1
    proof.holds("`check` told which rows, whatever was written after them")


def test_an_older_database_that_was_put_back_is_found(record_property: Record, full: Lab, tmp_path: Path) -> None:
    proof = Proof(record_property, "Attacks", "The database file replaced by an older copy of itself")
    shutil.copytree(full.log.data_dir, tmp_path / "now")
    with closing(sqlite3.connect(full.log.path)) as source, closing(sqlite3.connect(tmp_path / "older")) as older:
        source.backup(older)
    log = CaseLog(tmp_path / "now")
    log.note("case viewed", full.anna)
    log.close()
    assert log.check() == []
    for suffix in ("", "-wal", "-shm"):
        log.path.with_name(log.path.name + suffix).unlink(missing_ok=True)
    shutil.copy(tmp_path / "older", log.path)
    (finding,) = log.check()
    assert "an older database put back" in finding.problem
    proof.tries += 1
    proof.holds("`check` told that the trail had gone further")


def rows(path: Path) -> list[object]:
    with closing(sqlite3.connect(path)) as conn:
        return conn.execute("SELECT * FROM audit ORDER BY id").fetchall()


def test_a_trail_that_was_rebuilt_with_right_hashes_is_found_by_the_reports(
    record_property: Record, full: Lab, tmp_path: Path
) -> None:
    """The strongest attack: a row is rewritten and every hash behind it computed anew, as her2core would."""
    proof = Proof(record_property, "Attacks", "An audit row rewritten and the whole chain behind it computed anew")
    names = ["id", *COLUMNS]
    with closing(sqlite3.connect(full.log.path)) as conn:
        found = conn.execute(f"SELECT {', '.join(names)} FROM audit ORDER BY id").fetchall()
    trail = [dict(zip(names, row, strict=True)) for row in found]
    signed_at = next(number for number, row in enumerate(trail) if row["action"] == "report stored: final")
    for place in range(1, signed_at, max(1, signed_at // times(4, 20))):
        previous, steps = trail[place - 1]["hash"], []
        for row in trail[place:]:
            changed = {**row, "previous": previous}
            if row is trail[place]:
                changed["detail"] = json.dumps({"nothing": "happened"})
            changed["hash"] = previous = _audit.chain_hash(changed)
            sql = "UPDATE audit SET detail = ?, previous = ?, hash = ? WHERE id = ?"
            steps.append((sql, (changed["detail"], changed["previous"], changed["hash"], row["id"])))
        log = tampered(full, tmp_path / str(place), *steps)
        problems = [finding.problem for finding in log.check()]
        assert any("audit trail that is no longer the one here" in problem for problem in problems)
        log.close()
        proof.tries += 1
    proof.holds("`check` told that the signed report rests on another trail")
