"""The case log: one object for all topics of the store."""

from __future__ import annotations

import tempfile
from collections.abc import Callable, Iterable
from datetime import datetime
from pathlib import Path

from sqlite_utils import Database

from her2core.caselog import _audit, _backup, _integrity
from her2core.caselog._backup import BackupSummary
from her2core.caselog._codec import row_sha256
from her2core.caselog._database import in_words, utc_now
from her2core.caselog._rows import rows
from her2core.caselog._schema import MIGRATIONS
from her2core.caselog.analyses import Analyses
from her2core.caselog.bulk import InBulk
from her2core.caselog.cases import Cases
from her2core.caselog.corrections import Corrections
from her2core.caselog.desk import Desk
from her2core.caselog.entries import Finding
from her2core.caselog.learning import Learning
from her2core.caselog.lookup import Lookup
from her2core.caselog.regions import Regions
from her2core.caselog.reports import Reports
from her2core.caselog.saved import Saved
from her2core.caselog.throttle import Throttle
from her2core.caselog.trail import Trail
from her2core.caselog.users import Users
from her2core.caselog.whole import Whole
from her2core.caselog.workup import WorkUp
from her2core.errors import IntegrityError
from her2core.records import User

__all__ = ["CaseLog"]


class CaseLog(
    Users,
    Cases,
    Regions,
    Analyses,
    Corrections,
    WorkUp,
    InBulk,
    Reports,
    Trail,
    Throttle,
    Desk,
    Lookup,
    Saved,
    Learning,
    Whole,
):
    """Everything that her2core remembers, in one data folder: `caselog.sqlite`, `images/`, `reports/`.

    One object may be shared by threads, and several processes may open the same folder: each method is one
    transaction on a connection of its own. Each that changes something takes `by`, checks the role stored for that
    user and the state of the case, and adds a row to the audit chain in the same transaction.
    """

    def __init__(
        self, data_dir: Path, now: Callable[[], datetime] = utc_now, origin: str = _audit.COMMAND_LINE
    ) -> None:
        super().__init__(Path(data_dir), now)
        self.origin = origin

    def __enter__(self) -> CaseLog:
        return self.open()

    def __exit__(self, *error: object) -> None:
        self.close()

    def open(self) -> CaseLog:
        """Makes or migrates the database and returns the log itself; harmless when repeated.

        Raises CaseLogError where the folder cannot be used or the file is of a newer her2core, IntegrityError where
        it is no database.
        """
        self.prepare()
        with self.writing() as db:
            applied = self.migrate(db)
            if applied:
                _audit.append(
                    db,
                    at=self.now(),
                    by=(None, self.origin),
                    action="case log migrated",
                    case_id=None,
                    detail={"migrations": applied},
                    records=_migration_records(db),
                )
        self.hold()
        self.images.sweep()
        self.pdfs.sweep()
        return self

    def check(self, heads: Iterable[str] = ()) -> list[Finding]:
        """Everything that is wrong with database, audit chain, images and reports; nothing in an intact log.

        `heads`: hashes of audit rows that were kept elsewhere; each must still be in the trail.
        """
        return _integrity.check(self, self.images, self.pdfs, heads)

    def backup(self, dest: Path, by: User | None = None, to: str = "") -> BackupSummary:
        """Writes database, images, reports, keys and settings to one file, consistent while others work.

        `dest` is a new file, or a folder in which one is made. `by` None is the command line; `to` says in the audit
        trail where the file goes. Raises CaseLogError where it exists or the disk is full.
        """
        with in_words(self.path):
            summary = _backup.back_up(self, self.images, self.pdfs, Path(dest))
        detail = {"audit_head": summary.audit_head, "findings": len(summary.findings)}
        self.note("backed up", by, detail={**detail, "to": to} if to else detail)
        return summary

    @classmethod
    def restore(cls, archive: Path, data_dir: Path, *, even_if_damaged: bool = False) -> list[Finding]:
        """Puts a backup into a new or empty data folder, once `check` finds nothing wrong with it.

        Returns the findings, which there are only with `even_if_damaged`. Raises CaseLogError where the folder holds
        a case log already or the file is no backup, IntegrityError where it is damaged. Nothing is restored then.
        """
        data_dir = Path(data_dir)
        with in_words(data_dir / "caselog.sqlite"):
            data_dir.parent.mkdir(parents=True, exist_ok=True)
            with tempfile.TemporaryDirectory(dir=data_dir.parent, prefix=".her2core-restore-") as folder:
                unpacked = Path(folder) / "data"
                unpacked.mkdir(mode=0o700)
                head = _backup.unpack(Path(archive), unpacked)
                with cls(unpacked) as log:
                    findings = log.check()
                    if findings and not even_if_damaged:
                        raise IntegrityError(
                            f"The case log in this backup is damaged: {findings[0].record} {findings[0].problem}"
                            f" ({len(findings)} findings). Use an older backup."
                        )
                    log.note("restored from a backup", None, detail={"audit_head": head, "findings": len(findings)})
                _backup.place(unpacked, data_dir)
        return findings


def _migration_records(db: Database) -> dict[str, str]:
    table = MIGRATIONS.migrations_table
    return {f"{table}/{row['id']}": row_sha256(row) for row in rows(db, f"SELECT * FROM {table}")}  # noqa: S608
