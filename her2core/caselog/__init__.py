"""The case log: what her2core remembers, and proves unchanged."""

from her2core.caselog._backup import BackupSummary
from her2core.caselog.desk import OpenCase, Place
from her2core.caselog.entries import (
    AdjudicationRecord,
    Amendment,
    AuditEntry,
    CaseSummary,
    Finding,
    FirstSignature,
    RecountedNucleus,
    RecountRecord,
    ReportKind,
    ReportRecord,
    Statement,
    StatementKind,
)
from her2core.caselog.log import CaseLog

__all__ = [
    "AdjudicationRecord",
    "Amendment",
    "AuditEntry",
    "BackupSummary",
    "CaseLog",
    "CaseSummary",
    "Finding",
    "FirstSignature",
    "OpenCase",
    "Place",
    "RecountRecord",
    "RecountedNucleus",
    "ReportKind",
    "ReportRecord",
    "Statement",
    "StatementKind",
]
