"""Whether somebody else changed a case since it was looked at: what was typed over an older state is not taken."""

from __future__ import annotations

from collections.abc import Iterator
from itertools import islice

from her2core.caselog import AuditEntry, CaseLog
from her2core.errors import ConflictError
from her2core.records import User

__all__ = ["check_unchanged"]

_PAGE = 50  # entries; one act of a person writes a few of them
_DERIVED = ("state changed", "result derived")  # they follow from a change, and leave the version as it is


def check_unchanged(log: CaseLog, case_id: int, version: int, user: User) -> None:
    """Raises ConflictError, with who it was, where another person changed the case after this version, also where
    own changes followed."""
    since = max(0, log.case(case_id).version - version)  # a case log put back from a backup is behind the page
    for entry in islice(_changes(log, case_id), since):
        if entry.by_user_id is not None and entry.by_user_id != user.id:
            raise ConflictError(
                f"{log.user(entry.by_user_id).full_name} changed this case after you opened it here, so your step was "
                "not taken. The page shows the case as it is now: look at it, then repeat your step."
            )


def _changes(log: CaseLog, case_id: int) -> Iterator[AuditEntry]:
    """The acts of which each made a new version of the case, latest first."""
    record, before_id = f"cases/{case_id}", None
    while page := log.audit(case_id, _PAGE, before_id):
        yield from (entry for entry in page if record in entry.records and entry.action not in _DERIVED)
        before_id = page[-1].id
