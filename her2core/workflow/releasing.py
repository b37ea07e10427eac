"""Reports for other systems: FHIR and HL7 of what was signed, each release noted in the audit trail.

What goes out as final, amended or appended is a signed report that is in force, with the numbers and the patient as
they were signed, whatever has been changed in the case since. A case that nobody has signed goes out only where that
is asked for, as preliminary.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import asdict
from datetime import UTC, datetime
from enum import StrEnum
from hashlib import sha256
from typing import Any

from her2core.caselog import CaseLog, ReportKind, ReportRecord
from her2core.errors import ConflictError, IntegrityError, WrongStateError
from her2core.exchange.fhir import fhir_json
from her2core.exchange.hl7 import hl7_message
from her2core.exchange.released import (
    Document,
    Issuer,
    ReleasedPopulation,
    ReleasedReport,
    ReleaseStatus,
    Signer,
    details_from_json,
)
from her2core.permissions import Action, require
from her2core.records import CaseDetails, ModelUsed, Tally, User
from her2core.reporting.content import Laboratory
from her2core.reporting.pdf import render_report
from her2core.workflow.accounts import signers_of
from her2core.workflow.assessing import CaseReview, assess
from her2core.workflow.blinding import may_recount
from her2core.workflow.content import build_content, report_number, summary_of
from her2core.workflow.outgoing import Outgoing

__all__ = ["Format", "can_be_released", "released", "report_of"]

_STATUS = {
    ReportKind.PRELIMINARY: ReleaseStatus.PRELIMINARY,
    ReportKind.FINAL: ReleaseStatus.FINAL,
    ReportKind.AMENDED: ReleaseStatus.AMENDED,
    ReportKind.ADDENDUM: ReleaseStatus.APPENDED,
}


class Format(StrEnum):
    """The formats of a release."""

    FHIR = "fhir"
    HL7 = "hl7"


def report_of(
    log: CaseLog,
    case_id: int,
    file_format: Format,
    laboratory: Laboratory,
    by: User | None,
    *,
    preliminary: bool = False,
    demonstration: bool = False,
) -> Outgoing:
    """The report of a case in a format. `by` None is the command line.

    Without `preliminary` only a signed report goes out. Raises PermissionDeniedError, WrongStateError (not signed, or
    `by` is still to recount it blinded), ConflictError, ExchangeError.
    """
    if by is not None:
        require(by, Action.EXPORT)
        if may_recount(log, case_id, by):
            raise WrongStateError("You can still recount this case blinded; its report is not for you yet.")
    report = released(log, case_id, laboratory, preliminary=preliminary, demonstration=demonstration)
    text = fhir_json(report) if file_format is Format.FHIR else hl7_message(report)
    detail = {"format": file_format.value, "status": report.status.value, "report_version": report.version}
    return Outgoing(text.encode(), by, ((case_id, {**detail, "report_sha256": report.documents[0].sha256}),))


def released(
    log: CaseLog, case_id: int, laboratory: Laboratory, *, preliminary: bool = False, demonstration: bool = False
) -> ReleasedReport:
    """What other systems are told of a case. `laboratory` is used where the report was signed before it was kept."""
    if signed := _signed_reports(log, case_id):
        return _signed(log, signed, laboratory)
    if not preliminary:
        raise WrongStateError("This case has no signed report. Sign it first, or export it as preliminary.")
    return _preliminary(log, case_id, laboratory, demonstration)


def can_be_released(log: CaseLog, case_id: int, *, preliminary: bool = False) -> bool:
    """Whether there is something to tell other systems: a signed report, or with `preliminary` confirmed counts."""
    return bool(_signed_reports(log, case_id)) or (preliminary and _is_confirmed(assess(log, case_id)))


def _signed_reports(log: CaseLog, case_id: int) -> list[ReportRecord]:
    return [report for report in log.reports(case_id) if report.kind is not ReportKind.PRELIMINARY]


def _signed(log: CaseLog, reports: list[ReportRecord], laboratory: Laboratory) -> ReleasedReport:
    """The latest report, with the PDF that it adds to where it is an addendum."""
    last = reports[-1]
    documents = [_document(log, last)]
    if last.kind is ReportKind.ADDENDUM:
        documents += [_document(log, r) for r in reversed(reports[:-1]) if r.superseded_by is None]
    summary = last.summary
    kept = summary.get("as_signed") or {}
    issuer = kept.get("laboratory") or asdict(laboratory)
    return ReleasedReport(
        number=report_number(last.case_id),
        version=last.version,
        status=_STATUS[last.kind],
        issuer=Issuer(issuer["name"], issuer["address"], issuer["accreditation"]),
        details=_details(log, last, kept),
        headline=str(summary["headline"]),
        outcome=str(summary["outcome"]),
        group=summary["group"],
        populations=_populations(summary, kept),
        signers=tuple(Signer(str(user.id), user.full_name, user.credentials) for user in signers_of(log, last)),
        issued=last.signed_at.astimezone(UTC),
        documents=tuple(documents),
        reason=last.reason,
        rule_set=str(kept.get("rule_set", "")),
        models=tuple(ModelUsed.from_dict(model) for model in kept.get("models", ())),
    )


def _document(log: CaseLog, report: ReportRecord) -> Document:
    title = f"{report_number(report.case_id)} version {report.version} ({report.kind.value})"
    return Document(title, log.report_pdf(report.id), report.sha256, report.signed_at.astimezone(UTC))


def _details(log: CaseLog, report: ReportRecord, kept: Mapping[str, Any]) -> CaseDetails:
    """The patient and specimen as signed. Older reports kept none: then the case must be closed."""
    if "details" in kept:
        return details_from_json(kept["details"])
    if log.amendment(report.case_id) is not None:
        raise ConflictError("An amendment of this case is open. Sign or withdraw it, then export the report.")
    return log.case(report.case_id).details


def _populations(summary: Mapping[str, Any], kept: Mapping[str, Any]) -> tuple[ReleasedPopulation, ...]:
    try:
        intervals = kept.get("intervals", {})
        return tuple(
            ReleasedPopulation(
                label,
                p["share_percent"],
                Tally(p["nuclei"], p["her2"], p["cep17"]),
                p["group"],
                p["outcome"],
                *(_ends(ends) for ends in intervals.get(label, (None, None))),
            )
            for label, p in summary["populations"].items()
        )
    except (KeyError, TypeError, ValueError, AttributeError) as error:
        raise IntegrityError(
            "What was stored beside this report cannot be read. Run the check of the case log."
        ) from error


def _ends(ends: Any) -> tuple[float, float] | None:
    return None if ends is None else (float(ends[0]), float(ends[1]))


def _preliminary(log: CaseLog, case_id: int, laboratory: Laboratory, demonstration: bool) -> ReleasedReport:
    """The case as it stands, with an unsigned report that says so on every page."""
    review = assess(log, case_id)
    if not _is_confirmed(review):
        raise WrongStateError("The counts of this case are not confirmed yet: there is nothing to export.")
    at = datetime.now(UTC).replace(microsecond=0)
    content = build_content(log, review, laboratory, None, "", at, demonstration=demonstration)
    pdf = render_report(content)
    summary = summary_of(review, laboratory)
    return ReleasedReport(
        number=content.number,
        version=content.version,
        status=ReleaseStatus.PRELIMINARY,
        issuer=Issuer(laboratory.name, laboratory.address, laboratory.accreditation),
        details=review.case.details,
        headline=content.headline,
        outcome=content.outcome,
        group=summary["group"],
        populations=_populations(summary, summary["as_signed"]),
        signers=(),
        issued=at,
        documents=(Document(f"{content.number} (preliminary, not signed)", pdf, sha256(pdf).hexdigest(), at),),
        rule_set=str(summary["as_signed"]["rule_set"]),
        models=tuple(ModelUsed.from_dict(model) for model in summary["as_signed"]["models"]),
    )


def _is_confirmed(review: CaseReview) -> bool:
    return review.assessment is not None and review.reviewed
