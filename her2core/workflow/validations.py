"""Signed validation packs: no reports of cases, but the audit trail knows each by its SHA-256."""

from __future__ import annotations

import hashlib

from her2core.caselog import CaseLog
from her2core.permissions import Action, require
from her2core.records import User

__all__ = ["is_validation", "note_validation"]

_ACTION = "validation signed"
_MOST = 10_000


def note_validation(log: CaseLog, by: User, pdf: bytes, document_sha256: str, verdict: str) -> str:
    """Note that `by` signed this pack; its SHA-256. Raises PermissionDeniedError for who may sign no report."""
    require(by, Action.SIGN)
    digest = hashlib.sha256(pdf).hexdigest()
    log.note(_ACTION, by, detail={"sha256": digest, "validation_json": document_sha256, "verdict": verdict})
    return digest


def is_validation(log: CaseLog, sha256: str) -> bool:
    """Whether a pack with this SHA-256 was signed here."""
    return any(entry.detail.get("sha256") == sha256 for entry in log.audit(limit=_MOST, actions=(_ACTION,)))
