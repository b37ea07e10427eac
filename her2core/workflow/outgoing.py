"""What leaves the laboratory: made whole, then noted in the history of its cases, then handed out.

In this order nothing is out that the audit trail does not know, and what failed to be made is not said to be out.
"""

from __future__ import annotations

import os
import tempfile
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from her2core.caselog import CaseLog
from her2core.errors import ExchangeError
from her2core.records import User

__all__ = ["Outgoing", "check_free"]


@dataclass(frozen=True, slots=True)
class Outgoing:
    """A file that nobody has yet. `by` None is the command line; `noted`: what is to be said of which case."""

    data: bytes
    by: User | None
    noted: tuple[tuple[int, Mapping[str, Any]], ...]
    name: str = ""

    @classmethod
    def together(cls, parts: Sequence[Outgoing], end: bytes = b"") -> Outgoing:
        """One file of the command line's of several, one after the other, with `end` behind each."""
        return cls(b"".join(part.data + end for part in parts), None, tuple(n for part in parts for n in part.noted))

    def handed_out(self, log: CaseLog) -> bytes:
        """The bytes, once they are noted as exported."""
        for case_id, detail in self.noted:
            log.note("exported", self.by, case_id, detail)
        return self.data

    def write(self, log: CaseLog, path: Path) -> None:
        """Write the new file `path`. All of it is on disk before it is noted, and bears its name only afterwards.

        Raises OSError, FileExistsError where there is a file of this name; then nothing is noted.
        """
        path.touch(exist_ok=False)  # holds the name until then
        try:
            with tempfile.TemporaryDirectory(dir=path.parent, prefix=".her2core-export-") as folder:
                part = Path(folder) / "part"
                with part.open("wb") as file:
                    file.write(self.data)
                    file.flush()
                    os.fsync(file.fileno())
                self.handed_out(log)
                part.replace(path)
        except BaseException:
            path.unlink(missing_ok=True)
            raise


def check_free(*paths: Path) -> None:
    """Raises ExchangeError where there is a file of one of these names, before anything is made for it."""
    for path in paths:
        if path.exists():
            raise ExchangeError(f"{path} is there already, and nothing is overwritten. Name another one.")
