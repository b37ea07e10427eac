"""The audit chain, the rules within the database, and what `check` finds when somebody or something got around both."""

import random
import sqlite3
from collections.abc import Callable, Iterator
from contextlib import closing
from pathlib import Path
from typing import Any

import pytest

from her2core.caselog import CaseLog, _integrity
from her2core.caselog._schema import APPEND_ONLY, TABLES
from her2core.errors import CaseLogError, Her2CoreError, IntegrityError, NotFoundError, PermissionDeniedError
from tests.caselog.lab import PDF, Lab

ALL_TABLES = (*TABLES, "audit")


def _dump(path: Path) -> list[Any]:
    """All content of a database file; as bytes, for it may be damaged."""
    with closing(sqlite3.connect(path)) as conn:
        conn.text_factory = bytes
        found = list(conn.execute("SELECT type, name, sql FROM sqlite_master ORDER BY name"))
        for table in (*ALL_TABLES, "_sqlite_migrations"):
            found += list(conn.execute(f"SELECT * FROM {table} ORDER BY id"))
    return found


# --- the trail ---------------------------------------------------------------------------------------------------


def test_each_act_is_one_entry_with_who_when_and_what(lab: Lab) -> None:
    case, region = lab.analysed()
    lab.clock.pass_by(minutes=3)
    correction = lab.correct(region, by=lab.ben)
    entry = lab.log.audit(case.id, limit=1)[0]
    assert (entry.at, entry.by_user_id, entry.by_username) == (lab.clock.time, lab.ben.id, "ben")
    assert (entry.action, entry.case_id) == ("correction added", case.id)
    assert entry.detail == {
        "region_id": region.id,
        "nucleus_id": 0,
        "correction_id": correction.id,
        "kind": "set counts",
    }
    assert set(entry.records) == {f"cases/{case.id}", f"corrections/{correction.id}"}
    actions = [e.action for e in lab.log.audit(case.id)][::-1]
    assert actions == [
        "case opened",
        "region added",
        "region flags set",
        "region analysed",
        "state changed",
        "correction added",
    ]


def test_the_entries_form_a_chain(lab: Lab) -> None:
    lab.signed()
    entries = lab.log.audit(limit=1000)[::-1]
    assert [entry.id for entry in entries] == list(range(1, len(entries) + 1))
    assert [entry.previous for entry in entries] == ["her2core", *(entry.hash for entry in entries[:-1])]
    assert lab.log.audit_head() == entries[-1].hash


def test_acts_that_change_nothing_can_be_noted(lab: Lab) -> None:
    case = lab.draft()
    lab.log.note("case viewed", lab.manager, case.id)
    lab.log.note("report downloaded", lab.manager, case.id, {"report_id": 7})
    lab.log.note("signed in", lab.admin)
    assert [(e.action, e.detail) for e in lab.log.audit(case.id)][:2] == [
        ("report downloaded", {"report_id": 7}),
        ("case viewed", {}),
    ]
    with pytest.raises(NotFoundError):
        lab.log.note("case viewed", lab.manager, 99)


def test_the_trail_is_read_in_pages_and_by_kind(lab: Lab) -> None:
    case = lab.draft()
    for number in range(5):
        lab.log.note("case viewed", lab.manager, case.id, {"number": number})
    last_two = lab.log.audit(limit=2)
    assert [e.detail["number"] for e in last_two] == [4, 3]
    assert [e.detail["number"] for e in lab.log.audit(limit=2, before_id=last_two[-1].id)] == [2, 1]
    assert {e.action for e in lab.log.audit(actions=("case opened", "account added"))} == {
        "case opened",
        "account added",
    }
    assert {e.action for e in lab.log.audit(accounts_only=True)} == {"account added", "case log migrated"}


def test_a_refused_act_leaves_neither_row_nor_entry(lab: Lab) -> None:
    case, region = lab.analysed()
    head = lab.log.audit_head()
    refused: tuple[Callable[[], object], ...] = (
        lambda: lab.correct(region, by=lab.manager),
        lambda: lab.correct(region, nucleus_id=77),
        lambda: lab.sign(case),
        lambda: lab.draft(),
    )
    for act in refused:
        with pytest.raises(Her2CoreError):
            act()
    assert lab.log.audit_head() == head
    assert lab.log.case(case.id) == case


def test_a_clock_that_was_set_back_is_on_record(lab: Lab) -> None:
    case = lab.draft()
    lab.clock.pass_by(hours=-5)
    lab.log.note("case viewed", lab.anna, case.id)
    viewed, moved = lab.log.audit(limit=2)
    assert (viewed.action, viewed.at) == ("case viewed", lab.clock.time)
    assert moved.action == "clock set back"
    assert moved.detail == {"before": "2026-11-24T09:00:00.000000+00:00", "now": "2026-11-24T04:00:00.000000+00:00"}
    lab.log.note("case viewed", lab.anna, case.id)
    assert [e.action for e in lab.log.audit(limit=2)] == ["case viewed", "case viewed"]
    assert lab.log.check() == []


def test_messages_hold_no_patient_data(lab: Lab) -> None:
    case, _ = lab.signed()
    acts: tuple[Callable[[], object], ...] = (
        lambda: lab.draft(),
        lambda: lab.correct(lab.log.regions(case.id)[0]),
        lambda: lab.sign(case, PDF + b"other", by=lab.ben),
        lambda: lab.log.update_details(case.id, case.details, 1, lab.ben),
        lambda: lab.log.set_result(case.id, 1, "positive", lab.manager),
    )
    for act in acts:
        with pytest.raises(Her2CoreError) as caught:
            act()
        assert not any(word in str(caught.value) for word in ("Müller", "Änne", "P-77", "26-1001", "field 1"))


# --- rules within the database ------------------------------------------------------------------------------------


@pytest.mark.parametrize("table", ALL_TABLES)
def test_no_program_deletes_a_row(full: Lab, table: str) -> None:
    with pytest.raises(sqlite3.IntegrityError, match=f"her2core: {table} are never deleted"):
        full.raw(f"DELETE FROM {table}")


@pytest.mark.parametrize("table", APPEND_ONLY)
def test_no_program_changes_a_row_that_only_grows(full: Lab, table: str) -> None:
    with pytest.raises(sqlite3.IntegrityError, match=f"her2core: {table} are never changed"):
        full.raw(f"UPDATE {table} SET id = id + 1000")


@pytest.mark.parametrize("table", ALL_TABLES)
def test_no_program_replaces_a_row(full: Lab, table: str) -> None:
    with pytest.raises(sqlite3.IntegrityError, match=r"her2core: .*(never replaced|is signed|continue the last)"):
        full.raw(f"INSERT OR REPLACE INTO {table} SELECT * FROM {table} WHERE id = 1")


@pytest.mark.parametrize(
    "sql",
    [
        "UPDATE cases SET patient_name = 'x' WHERE id = 1",
        "UPDATE cases SET ihc = '3+' WHERE id = 1",
        "UPDATE cases SET populations = '[]' WHERE id = 1",
        "UPDATE cases SET outcome = 'negative' WHERE id = 1",
        "UPDATE cases SET state = 'draft' WHERE id = 1",
        "UPDATE regions SET suitable = 0 WHERE id = 1",
        "INSERT INTO regions SELECT NULL, case_id, filename, 'f' || substr(image_sha256, 2), image_bytes, width_px,"
        " height_px, um_per_px, heterogeneous, population, clusters, signal_intensity, overlap, suitable,"
        " unsuitable_reason, added_by, added_at, removed_by, removed_at, removed_reason FROM regions WHERE id = 1",
        "INSERT INTO analyses SELECT NULL, region_id, width_px, height_px, nuclei, models, quality, device, seconds,"
        " by_user_id, at FROM analyses WHERE region_id = 1",
        "INSERT INTO corrections (analysis_id, region_id, nucleus_id, kind, old, new, reason, by_user_id, at)"
        " VALUES (1, 1, 0, 'exclude', '{}', '{}', '', 1, '')",
        "INSERT INTO statements (case_id, kind, subject, value, by_user_id, at) VALUES (1, 'x', '', '{}', 1, '')",
    ],
)
def test_no_program_changes_a_signed_case(full: Lab, sql: str) -> None:
    with pytest.raises(sqlite3.IntegrityError, match=r"her2core: .*signed"):
        full.raw(sql)


@pytest.mark.parametrize(
    "sql",
    [
        "UPDATE users SET id = 9 WHERE id = 1",
        "UPDATE users SET username = 'x' WHERE id = 1",
        "UPDATE cases SET created_by = 2 WHERE id = 2",
        "UPDATE regions SET image_sha256 = 'f' WHERE id = 2",
    ],
)
def test_no_program_changes_who_and_what_a_row_is(full: Lab, sql: str) -> None:
    with pytest.raises(sqlite3.IntegrityError, match="these columns"):
        full.raw(sql)


def test_no_program_adds_an_audit_row_beside_the_chain(full: Lab) -> None:
    with pytest.raises(sqlite3.IntegrityError, match="must continue"):
        full.raw("INSERT INTO audit SELECT NULL, at, 1, 'x', 'x', NULL, '{}', '{}', 'x', 'x' FROM audit WHERE id = 1")


def test_a_user_id_is_never_given_out_again(lab: Lab) -> None:
    lab.raw("DELETE FROM users WHERE id = 4", without_triggers=True)
    made = lab.log.insert_user("new", "New", "", lab.admin.role, None, None)
    assert made.id == 5


# --- check --------------------------------------------------------------------------------------------------------


def test_check_finds_nothing_in_an_intact_log(full: Lab) -> None:
    assert full.log.check() == []
    full.log.open()
    assert full.log.check() == []


STEPS = ("_structure", "_rules", "_trail", "_rows_as_recorded", "_report_links", "_heads", "_files")


@pytest.mark.parametrize("step", STEPS)
def test_what_is_written_during_a_check_is_no_finding(lab: Lab, monkeypatch: pytest.MonkeyPatch, step: str) -> None:
    """A correction, a region and a report; the writers do not wait for the check either."""
    _, region = lab.analysed("26-1")
    ready = lab.ready("26-2")
    looks = getattr(_integrity, step)

    def looks_while_others_work(*given: Any) -> Iterator[Any]:
        yield from looks(*given)
        lab.correct(region)
        lab.draft("26-3")
        lab.sign(ready, PDF)

    monkeypatch.setattr(_integrity, step, looks_while_others_work)
    assert lab.log.check() == []
    monkeypatch.undo()
    assert lab.log.check() == []


def test_files_are_read_when_the_database_is_let_go(full: Lab, monkeypatch: pytest.MonkeyPatch) -> None:
    """Images take long; a read transaction as long as that would let the database's WAL grow."""
    looks = _integrity._file_problem

    def looks_and_empties_the_wal(*given: Any) -> str | None:
        with closing(sqlite3.connect(full.log.path, timeout=0)) as conn:
            assert conn.execute("PRAGMA wal_checkpoint(TRUNCATE)").fetchone()[0] == 0
        return looks(*given)

    monkeypatch.setattr(_integrity, "_file_problem", looks_and_empties_the_wal)
    full.log.note("case viewed", full.anna)
    assert full.log.check() == []


COLUMNS = [
    ("users", "role", "'administrator'", "account 1"),
    ("users", "password_hash", "'mine'", "account 1"),
    ("cases", "patient_name", "'Other'", "case 1"),
    ("cases", "state", "'draft'", "case 1"),
    ("cases", "version", "version + 1", "case 1"),
    ("regions", "um_per_px", "um_per_px * 2", "region 1"),
    ("regions", "filename", "'other'", "region 1"),
    ("analyses", "nuclei", "replace(nuclei, '4', '9')", "analysis 1"),
    ("analyses", "seconds", "0.750001", "analysis 1"),
    ("corrections", "new", "'{}'", "correction 1"),
    ("statements", "by_user_id", "2", "statement 1"),
    ("recounts", "her2", "her2 + 1", "recount 1"),
    ("adjudications", "category", "'negative'", "adjudication 1"),
    ("reports", "summary", "'{}'", "report 1"),
    ("reports", "sha256", "'f' || substr(sha256, 2)", "report 1"),
    ("_sqlite_migrations", "applied_at", "'never'", "migration 1"),
]


@pytest.mark.parametrize(("table", "column", "value", "record"), COLUMNS)
def test_check_names_the_record_that_was_changed(full: Lab, table: str, column: str, value: str, record: str) -> None:
    full.raw(f"UPDATE {table} SET {column} = {value} WHERE id = 1", without_triggers=True)
    assert (record, "was changed outside her2core") in full.problems()


@pytest.mark.parametrize("table", [t for t in TABLES if t != "users"])
def test_check_names_a_record_that_is_gone(full: Lab, table: str) -> None:
    full.raw(f"DELETE FROM {table} WHERE id = 1", without_triggers=True)
    assert any(problem == "is gone" for _, problem in full.problems())


def test_check_names_a_record_that_her2core_did_not_write(full: Lab) -> None:
    full.raw("INSERT INTO statements (case_id, kind, subject, value, by_user_id, at) VALUES (2, 'x', '', '{}', 1, '')")
    assert any(problem.startswith("is in no audit row") for _, problem in full.problems())


@pytest.mark.parametrize(
    "column", ["at", "by_user_id", "by_username", "action", "case_id", "detail", "records", "previous", "hash"]
)
def test_check_finds_any_edit_of_the_audit_trail(full: Lab, column: str) -> None:
    value = "2" if column in ("by_user_id", "case_id") else "'{\"x\":1}'"
    full.raw(f"UPDATE audit SET {column} = {value} WHERE id = 12", without_triggers=True)
    assert any(record == "audit row 12" for record, _ in full.problems())


@pytest.mark.parametrize(
    ("sql", "finding"),
    [
        ("DELETE FROM audit WHERE id = 1", ("audit trail", "rows 1 to 1 are missing")),
        ("DELETE FROM audit WHERE id BETWEEN 10 AND 12", ("audit trail", "rows 10 to 12 are missing")),
        ("DELETE FROM audit WHERE id > 20", ("audit trail", "it ends with row 20 but row {last} was written")),
    ],
)
def test_check_finds_missing_audit_rows(full: Lab, sql: str, finding: tuple[str, str]) -> None:
    last = full.log.audit(limit=1)[0].id
    full.raw(sql, without_triggers=True)
    assert (finding[0], finding[1].format(last=last)) in full.problems()


def test_check_finds_audit_rows_that_changed_places(full: Lab) -> None:
    full.raw("UPDATE audit SET id = CASE id WHEN 8 THEN -9 ELSE -8 END WHERE id IN (8, 9)", without_triggers=True)
    full.raw("UPDATE audit SET id = -id WHERE id < 0", without_triggers=True)
    assert {"audit row 8", "audit row 9"} <= {record for record, _ in full.problems()}


def test_check_finds_a_chain_that_was_rebuilt_under_a_signed_report(full: Lab) -> None:
    full.raw("UPDATE reports SET audit_head = 'f' WHERE id = 1", without_triggers=True)
    assert any("no longer the one here" in problem for _, problem in full.problems())


@pytest.mark.parametrize(
    ("sql", "problem"),
    [
        ("DROP TRIGGER audit_no_update", "its trigger audit_no_update is missing"),
        ("CREATE TABLE mine (x)", "its table mine is not of her2core"),
        ("DROP INDEX regions_image", "its index regions_image is missing"),
        ("CREATE TRIGGER t AFTER INSERT ON cases BEGIN SELECT 1; END", "its trigger t is not of her2core"),
    ],
)
def test_check_finds_changed_rules(full: Lab, sql: str, problem: str) -> None:
    full.raw(sql)
    assert ("database", problem) in full.problems()


def test_check_names_the_image_or_report_with_one_flipped_bit(full: Lab) -> None:
    chance = random.Random(3)
    for folder, record in (("images", "image of region 1"), ("reports", "PDF of report 1")):
        digest = full.log.region(1).image_sha256 if folder == "images" else f"{full.log.report(1).sha256}.pdf"
        file = full.log.data_dir / folder / digest
        sound = file.read_bytes()
        for _ in range(20):
            flipped = bytearray(sound)
            flipped[chance.randrange(len(sound))] ^= 1 << chance.randrange(8)
            file.write_bytes(flipped)
            assert full.problems() == [(record, "was changed or damaged")]
        file.write_bytes(sound + b"\n")
        assert full.problems() == [(record, "was changed or damaged")]
        file.unlink()
        assert full.problems() == [(record, "is missing")]
        file.write_bytes(sound)
    assert full.log.check() == []


def test_check_finds_every_flipped_bit_that_changes_what_the_database_says(full: Lab) -> None:
    full.log.close()
    path = full.log.path
    with closing(sqlite3.connect(path)) as conn:
        conn.execute("PRAGMA wal_checkpoint(TRUNCATE)")
    sound, content = path.read_bytes(), _dump(path)
    used = [position for position, byte in enumerate(sound) if byte]  # most zeros are free space
    chance = random.Random(5)
    changed = 0
    for _ in range(100):
        flipped = bytearray(sound)
        flipped[chance.choice(used)] ^= 1 << chance.randrange(8)
        for beside in path.parent.glob("caselog.sqlite-*"):
            beside.unlink()
        path.write_bytes(flipped)
        try:
            same = _dump(path) == content
        except (sqlite3.Error, UnicodeDecodeError):
            same = False
        if not same:
            changed += 1
            assert full.log.check() != []
    assert changed > 25


def test_a_file_that_is_no_database_is_told_as_such(lab: Lab) -> None:
    lab.log.close()
    lab.log.path.write_bytes(b"no database" * 1000)
    for beside in lab.log.path.parent.glob("caselog.sqlite-*"):
        beside.unlink()
    with pytest.raises(IntegrityError, match="damaged"):
        lab.log.open()
    with pytest.raises(IntegrityError, match="damaged"):
        lab.log.users()
    ((record, problem),) = lab.problems()
    assert (record, problem[:45]) == ("database", "it cannot be read to its end (The case log's ")


def test_a_log_that_was_never_made_is_told_as_such(tmp_path: Path) -> None:
    log = CaseLog(tmp_path / "nothing")
    with pytest.raises(CaseLogError, match="no case log in the data folder"):
        log.users()
    assert not (tmp_path / "nothing").exists()


def test_reading_never_writes(lab: Lab) -> None:
    with pytest.raises(CaseLogError, match="cannot be written"), lab.log.reading() as db:
        db.execute("UPDATE cases SET version = 9")


def test_wrong_roles_are_refused_before_anything_is_written(lab: Lab) -> None:
    with pytest.raises(PermissionDeniedError):
        lab.log.insert_user("x", "X", "", lab.admin.role, None, lab.anna)
    assert lab.log.user_by_name("x") is None
