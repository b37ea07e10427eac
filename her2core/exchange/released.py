"""A report as other systems receive it: what was signed, and nothing that was changed in the case afterwards.

`workflow.releasing` makes these records from the case log; `fhir` and `hl7` write them.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, fields
from datetime import date, datetime
from enum import StrEnum
from typing import Any

from her2core.errors import IntegrityError
from her2core.records import IHC, CaseDetails, ModelUsed, Tally

__all__ = [
    "Document",
    "Issuer",
    "ReleaseStatus",
    "ReleasedPopulation",
    "ReleasedReport",
    "Signer",
    "details_from_json",
    "details_to_json",
]

_DATES = ("date_of_birth", "collected_on", "received_on", "probe_expiry")


class ReleaseStatus(StrEnum):
    """What a report is to its receiver; the values are those of FHIR's DiagnosticReport.status (domain.md 3.4)."""

    PRELIMINARY = "preliminary"
    FINAL = "final"
    AMENDED = "amended"
    APPENDED = "appended"


@dataclass(frozen=True, slots=True)
class Issuer:
    """The laboratory."""

    name: str
    address: str = ""
    accreditation: str = ""


@dataclass(frozen=True, slots=True)
class Signer:
    """A person who signed. `key` tells people of one laboratory apart."""

    key: str
    name: str
    credentials: str = ""


@dataclass(frozen=True, slots=True)
class Document:
    """A PDF of the report as it was signed; `at` is aware."""

    title: str
    pdf: bytes
    sha256: str
    at: datetime


@dataclass(frozen=True, slots=True)
class ReleasedPopulation:
    """The numbers of one population. Intervals are of 95 %, None where none was calculated."""

    label: str
    share_percent: float | None
    tally: Tally
    group: int | None
    outcome: str
    copy_number_95: tuple[float, float] | None = None
    ratio_95: tuple[float, float] | None = None


@dataclass(frozen=True, slots=True)
class ReleasedReport:
    """One report of one case. `issued` is aware; `documents` are in force, the first is the report itself.

    `outcome` is positive, negative or indeterminate, or what the work-up waits for in a preliminary report. `models`
    are those that found and counted; none where the report was signed before they were kept.
    """

    number: str
    version: int
    status: ReleaseStatus
    issuer: Issuer
    details: CaseDetails
    headline: str
    outcome: str
    group: int | None
    populations: tuple[ReleasedPopulation, ...]
    signers: tuple[Signer, ...]
    issued: datetime
    documents: tuple[Document, ...]
    reason: str = ""
    rule_set: str = ""
    models: tuple[ModelUsed, ...] = ()

    @property
    def identity(self) -> str:
        """What no other release has, and what a signed report has each time that it goes out.

        A preliminary report is another one each time: receivers that drop what they have already must take the later
        one, and the final one after it.
        """
        report = (self.issuer.name, self.number, str(self.version), self.status.value, self.issued.isoformat())
        return "\n".join((*report, *(document.sha256 for document in self.documents)))


def details_to_json(details: CaseDetails) -> dict[str, Any]:
    """The details as plain JSON values, to be kept beside a signed report."""
    values: dict[str, Any] = {}
    for field in fields(details):
        value = getattr(details, field.name)
        values[field.name] = (
            value.isoformat() if isinstance(value, date) else str(value) if isinstance(value, IHC) else value
        )
    return values


def details_from_json(values: Mapping[str, Any]) -> CaseDetails:
    """Inverse of `details_to_json`. Raises IntegrityError where the values are none of a case."""
    try:
        read = dict(values)
        for name in _DATES:
            read[name] = None if read[name] is None else date.fromisoformat(read[name])
        read["ihc"] = None if read["ihc"] is None else IHC(read["ihc"])
        return CaseDetails(**read)
    except (KeyError, TypeError, ValueError) as error:
        raise IntegrityError(
            "What was stored beside this report cannot be read. Run the check of the case log."
        ) from error
