"""Case logs of every released schema open, are whole and can be worked with; the schema grows by migrations only."""

from __future__ import annotations

from pathlib import Path

import pytest
from sqlite_utils import Database

from her2core.caselog import CaseLog
from her2core.caselog._schema import APPEND_ONLY, MIGRATIONS, TABLES
from her2core.errors import CaseLogError
from her2core.records import CaseState
from tests.caselog.lab import Lab
from tests.caselog.release import RELEASED, revive

MODELS = {"yolo": "0123456789ab", "density": "ba9876543210", "resnet": "fedcba987654"}
"""The models of the kept logs and the first digits of their digests; up to m0004_learning no more were stored."""
KEPT = sorted(folder.name for folder in RELEASED.iterdir())


@pytest.mark.parametrize("name", KEPT)
def test_a_log_of_an_earlier_release_opens_whole_and_goes_on(name: str, tmp_path: Path) -> None:
    revive(RELEASED / name, tmp_path / "data")
    lab = Lab.reopen(tmp_path / "data")
    assert lab.log.check() == []
    first, second = (lab.log.case_by_accession(number) for number in ("26-1", "26-2"))
    assert first.state is CaseState.SIGNED
    assert lab.log.report_pdf(lab.log.reports(first.id)[0].id).startswith(b"%PDF")
    assert len(lab.log.recounts(second.id)) == len(lab.log.adjudications(second.id)) == 1
    for model in lab.log.analyses(lab.log.regions(second.id)[0].id)[0][1].models:
        assert model.sha256[:12] == MODELS[model.name]
        assert len(model.sha256) == (12 if name <= "m0004_learning" else 64), "no digit is guessed"
    lab.correct(lab.log.regions(second.id)[0])
    lab.signed("26-9")
    assert lab.log.check() == []
    lab.log.close()


def test_every_released_schema_is_kept() -> None:
    nothing = Database(memory=True)
    names = [migration.name for migration in MIGRATIONS.pending(nothing)]
    nothing.close()
    assert set(KEPT) <= set(names)
    assert names[-1] in KEPT, "run “python -m tests.caselog.release” when the schema is released"


@pytest.mark.parametrize("name", KEPT)
def test_a_migrated_log_has_the_schema_of_a_new_one(name: str, tmp_path: Path) -> None:
    revive(RELEASED / name, tmp_path / "old")
    with CaseLog(tmp_path / "old") as old, CaseLog(tmp_path / "new") as new:
        schemas = []
        for log in (old, new):
            with log.reading() as db:
                schemas.append(db.execute("SELECT type, name, sql FROM sqlite_master ORDER BY type, name").fetchall())
    assert schemas[0] == schemas[1]


def test_tables_are_strict_and_refer_to_each_other(lab: Lab) -> None:
    with lab.log.reading() as db:
        for table in (*TABLES, "audit", "throttle", "places", "saved_filters"):
            assert db.table(table).strict, table
        assert {key.other_table for table in TABLES for key in db.table(table).foreign_keys} == {
            "users",
            "cases",
            "regions",
            "analyses",
            "reports",
        }
        assert set(APPEND_ONLY) <= {*TABLES, "audit"}
        assert db.execute("PRAGMA journal_mode").fetchone()[0] == "wal"
        assert db.execute("PRAGMA foreign_keys").fetchone()[0] == 1


def test_durable_connections_wait_for_the_disk(lab: Lab) -> None:
    with lab.log.reading() as db:
        assert db.execute("PRAGMA synchronous").fetchone()[0] == 2


def test_a_reference_to_nothing_is_refused(lab: Lab) -> None:
    with pytest.raises(CaseLogError, match="contradicts"), lab.log.writing() as db:
        db.table("statements").insert(
            {"case_id": 99, "kind": "x", "subject": "", "value": "{}", "by_user_id": 1, "at": ""}
        )


def test_opening_again_changes_nothing(lab: Lab) -> None:
    head = lab.log.audit_head()
    lab.log.open()
    assert lab.log.audit_head() == head
