"""The case log: one object for all topics of the store."""

from __future__ import annotations

from collections.abc import Callable
from datetime import datetime
from pathlib import Path

from her2core.caselog import _audit
from her2core.caselog._database import utc_now
from her2core.caselog.analyses import Analyses
from her2core.caselog.cases import Cases
from her2core.caselog.corrections import Corrections
from her2core.caselog.regions import Regions
from her2core.caselog.reports import Reports
from her2core.caselog.throttle import Throttle
from her2core.caselog.trail import Trail
from her2core.caselog.users import Users
from her2core.caselog.workup import WorkUp

__all__ = ["CaseLog"]


class CaseLog(Users, Cases, Regions, Analyses, Corrections, WorkUp, Reports, Trail, Throttle):
    """Everything that her2core remembers, in one data folder: `caselog.sqlite`, `images/`, `reports/`.

    One object may be shared by threads, and several processes may open the same folder: each method is one
    transaction on a connection of its own. Each that changes something takes `by`, checks the role stored for that
    user and the state of the case, and adds a row to the audit chain in the same transaction.
    """

    def __init__(self, data_dir: Path, now: Callable[[], datetime] = utc_now) -> None:
        super().__init__(Path(data_dir), now)

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
                    by=(None, _audit.COMMAND_LINE),
                    action="case log migrated",
                    case_id=None,
                    detail={"migrations": applied},
                    records={},
                )
        self.hold()
        self.images.sweep()
        self.pdfs.sweep()
        return self
