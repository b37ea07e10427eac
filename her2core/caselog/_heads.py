"""The heads of the audit trail outside the database: a line for each row that was committed, in a file beside it.

The chain of hashes tells of any change but one: rows taken off its end, or an older database put back. For that
somebody must have written down how far the trail went. This file does, and it can be put where the database's keeper
cannot rewrite it: a symbolic link to another machine, or a file that may only grow (`chattr +a`).
"""

from __future__ import annotations

import logging
import os
import re
import sqlite3
from collections.abc import Iterator
from pathlib import Path

from sqlite_utils import Database

__all__ = ["Heads"]

_logger = logging.getLogger(__name__)
_LINE = re.compile(rb"(\d{1,18}) ([0-9a-f]{64})\n")


class Heads:
    """The file of heads of one data folder. Lines may be missing, doubled or out of order; none is ahead of the trail.

    A line is written after its row is durable, and in one piece. A process that is killed in between leaves its line
    out, and the next act's line vouches for that row too, through the chain.
    """

    def __init__(self, path: Path) -> None:
        self.path = path
        self._last = ""

    def follow(self, db: Database) -> None:
        """Writes down how far the trail goes now. No trouble of database or disk is raised: what is committed stays."""
        try:
            row = db.execute("SELECT id, hash FROM audit ORDER BY id DESC LIMIT 1").fetchone()
            if row is None or row[1] == self._last:
                return
            file = os.open(self.path, os.O_WRONLY | os.O_APPEND | os.O_CREAT, 0o600)
            try:
                os.write(file, f"{row[0]} {row[1]}\n".encode())
            finally:
                os.close(file)
        except (OSError, sqlite3.Error) as error:
            _logger.warning("The head of the audit trail could not be written down (%s).", type(error).__name__)
        else:
            self._last = row[1]

    def size_bytes(self) -> int:
        """How much was written down by now; 0 where there is no file. Raises OSError."""
        return self.path.stat().st_size if self.path.exists() else 0

    def lines(self, size_bytes: int) -> Iterator[tuple[int, str]]:
        """Numbers and hashes of rows that were committed when the file had this size. Raises OSError."""
        if not size_bytes:
            return
        with self.path.open("rb") as file:
            for line in file:
                size_bytes -= len(line)
                if size_bytes < 0:
                    return
                found = _LINE.fullmatch(line)
                if found is not None:  # a line that a full disk cut off says nothing
                    yield int(found[1]), found[2].decode()
