"""Whether somebody else changed a case since it was looked at: what was typed over an older state is not taken."""

from __future__ import annotations

from her2core.caselog import CaseLog
from her2core.errors import ConflictError
from her2core.records import User

__all__ = ["check_unchanged"]

_LATEST = 50  # entries; one act of a person writes a few of them


def check_unchanged(log: CaseLog, case_id: int, version: int, user: User) -> None:
    """Raises ConflictError, with who it was, where another person changed the case after this version."""
    if log.case(case_id).version == version:
        return
    record = f"cases/{case_id}"
    last = next((entry for entry in log.audit(case_id, _LATEST) if record in entry.records), None)
    if last is None or last.by_user_id is None or last.by_user_id == user.id:
        return
    name = log.user(last.by_user_id).full_name
    raise ConflictError(
        f"{name} changed this case after you opened it here, so your step was not taken. The page shows the case as it "
        "is now: look at it, then repeat your step."
    )
