"""Keeps a case log of the present schema for the tests of later releases: `python -m tests.caselog.release`.

To be run once for each released schema; what it wrote is never changed afterwards.
"""

from __future__ import annotations

import shutil
import sqlite3
import tempfile
from contextlib import closing
from pathlib import Path

from sqlite_utils import Database

from her2core.caselog._schema import MIGRATIONS
from tests.caselog.lab import Lab

RELEASED = Path(__file__).with_name("released")


def keep() -> Path:
    """Writes a filled case log as SQL, with its files, into a folder named after the last migration."""
    with tempfile.TemporaryDirectory() as folder:
        data_dir = Path(folder) / "data"
        lab = Lab.make(data_dir)
        lab.fill()
        lab.log.close()
        with closing(sqlite3.connect(data_dir / "caselog.sqlite")) as conn:
            script = "\n".join(conn.iterdump())
            last = MIGRATIONS.applied(Database(conn))[-1].name
        target = RELEASED / last
        target.mkdir(parents=True)
        (target / "caselog.sql").write_text(script + "\n", encoding="utf-8")
        for name in ("images", "reports"):
            shutil.copytree(data_dir / name, target / name)
    return target


def revive(kept: Path, data_dir: Path) -> None:
    """A data folder as the release that `kept` was made by left it."""
    shutil.copytree(kept, data_dir, ignore=shutil.ignore_patterns("*.sql"))
    with closing(sqlite3.connect(data_dir / "caselog.sqlite")) as conn:
        conn.executescript((kept / "caselog.sql").read_text(encoding="utf-8"))


if __name__ == "__main__":
    keep()
