"""What the case log gives back beyond the shared records: entries of its own tables. Frozen; times are UTC."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field
from datetime import datetime
from enum import StrEnum
from typing import Any

from her2core.records import CaseState, Population, Tally

__all__ = [
    "AdjudicationRecord",
    "Amendment",
    "AuditEntry",
    "CaseSummary",
    "Finding",
    "FirstSignature",
    "RecountRecord",
    "RecountedNucleus",
    "ReportKind",
    "ReportRecord",
    "Statement",
    "StatementKind",
]


@dataclass(frozen=True, slots=True)
class CaseSummary:
    """A case as a list shows it. `group` and `outcome` are of the last assessment, None before one.

    `flagged_heterogeneous`: one of its regions was flagged so. `signed_outcomes`: the outcome of each population as
    the latest report states it; empty before one and while the case is open for amendment.
    """

    id: int
    accession: str
    patient_name: str
    patient_id: str
    block: str
    state: CaseState
    version: int
    group: int | None
    outcome: str | None
    regions: int
    latest_report_id: int | None
    created_by: int
    created_at: datetime
    updated_at: datetime
    amending: bool
    populations: tuple[Population, ...]
    flagged_heterogeneous: bool
    signed_outcomes: Mapping[str, str]


class StatementKind(StrEnum):
    """What a pathologist declares about a case; the latest of a kind (and subject) counts."""

    REVIEWED = "reviewed"  # {}
    NO_DISCORDANCE = "no histopathologic discordance"  # {"value": bool}
    INDETERMINATE = "indeterminate reasons"  # {"reasons": [str, ...]}
    COMMENT = "comment"  # subject = population label, {"text": str}
    ACKNOWLEDGED = "acknowledged warning"  # subject = key of the warning, {"text": str, "reason": str where it has one}


@dataclass(frozen=True, slots=True)
class Statement:
    """A declaration by a person about a case."""

    id: int
    case_id: int
    kind: StatementKind
    subject: str
    value: dict[str, Any]
    by_user_id: int
    at: datetime


@dataclass(frozen=True, slots=True)
class RecountedNucleus:
    """The second observer's count of one nucleus."""

    region_id: int
    nucleus_id: int
    her2: int
    cep17: int


@dataclass(frozen=True, slots=True)
class RecountRecord:
    """A second observer's count of a population (domain.md 1.5)."""

    id: int
    case_id: int
    population: str
    observer_id: int
    blinded: bool
    tally: Tally
    nuclei: tuple[RecountedNucleus, ...]
    at: datetime


@dataclass(frozen=True, slots=True)
class AdjudicationRecord:
    """The decision between two counts that fell into different groups; `category` is "positive" or "negative"."""

    id: int
    case_id: int
    population: str
    category: str
    group: int
    reason: str
    by_user_id: int
    at: datetime


@dataclass(frozen=True, slots=True)
class Amendment:
    """A signed case that is open for change: by whom, since when and why."""

    reason: str
    by_user_id: int
    at: datetime


class ReportKind(StrEnum):
    """What a report is to the ones before it (domain.md 3.4)."""

    PRELIMINARY = "preliminary"
    FINAL = "final"
    AMENDED = "amended"
    ADDENDUM = "addendum"


@dataclass(frozen=True, slots=True)
class ReportRecord:
    """A report as stored. `version` counts 1, 2, … within the case.

    `superseded_by` is the first later report that stands in its place: an amended one, or the final one after a
    preliminary. An addendum supersedes nothing. `audit_head` is the end of the audit chain when the report was stored.
    """

    id: int
    case_id: int
    version: int
    kind: ReportKind
    sha256: str
    size_bytes: int
    reason: str
    replaces_id: int | None
    replaces_sha256: str | None
    superseded_by: int | None
    summary: dict[str, Any]
    audit_head: str
    signed_by: int
    cosigned_by: tuple[int, ...]
    signed_at: datetime


@dataclass(frozen=True, slots=True)
class FirstSignature:
    """A report that the first of two people has signed, and who is to sign second.

    It counts while the case is at `case_version`: any change of the case takes it back.
    """

    id: int
    case_id: int
    case_version: int
    kind: ReportKind
    sha256: str
    reason: str
    replaces_id: int | None
    summary: dict[str, Any]
    signed_by: int
    second_by: int
    signed_at: datetime


@dataclass(frozen=True, slots=True)
class AuditEntry:
    """One link of the audit chain.

    `records` maps each record that the act wrote ("cases/12") to the SHA-256 of its row afterwards. `by_user_id` is
    None for the command line and where nobody proved who it is, as by a wrong password; `by_username` then says where
    that was. `hash` covers all else, with `previous`.
    """

    id: int
    at: datetime
    by_user_id: int | None
    by_username: str
    action: str
    case_id: int | None
    detail: dict[str, Any]
    records: dict[str, str]
    previous: str
    hash: str


@dataclass(frozen=True, slots=True)
class Finding:
    """Something that `check` found wrong: which record, and what, in plain words without patient data."""

    record: str
    problem: str
    case_id: int | None = field(default=None)
