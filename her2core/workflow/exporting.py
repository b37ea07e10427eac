"""Cases as CSV."""

from __future__ import annotations

from collections.abc import Sequence

from her2core.caselog import AuditEntry, CaseLog, ReportKind, ReportRecord
from her2core.exchange.tables import CaseEntry, RegionEntry, Signed, cases_csv, nuclei_csv
from her2core.permissions import Action, require
from her2core.records import User
from her2core.workflow.accounts import account_changes, signers_of
from her2core.workflow.assessing import CaseReview, assess, models_used
from her2core.workflow.blinding import may_recount
from her2core.workflow.outgoing import Outgoing

__all__ = ["csv_of", "export_csv"]


def export_csv(log: CaseLog, case_ids: Sequence[int], by: User, *, nuclei: bool = False) -> str:
    """As `csv_of`, noted as exported."""
    return csv_of(log, case_ids, by, nuclei=nuclei).handed_out(log).decode()


def csv_of(log: CaseLog, case_ids: Sequence[int], by: User | None, *, nuclei: bool = False) -> Outgoing:
    """The cases as CSV: a line a population, or with `nuclei` a line a nucleus. `by` None is the command line.

    Cases that `by` could still recount blinded are left out. Raises PermissionDeniedError.
    """
    if by is not None:
        require(by, Action.EXPORT)
        case_ids = [case_id for case_id in case_ids if not may_recount(log, case_id, by)]
    reviews = [assess(log, case_id) for case_id in case_ids]
    if nuclei:
        text = nuclei_csv(
            RegionEntry(review.case.details.accession, r.name, r.region, r.nuclei)
            for review in reviews
            for r in review.regions
        )
    else:
        changes = account_changes(log)
        text = cases_csv(_entry(log, review, changes) for review in reviews)
    return Outgoing(text.encode(), by, tuple((r.case.id, {"format": "csv", "nuclei": nuclei}) for r in reviews))


def _entry(log: CaseLog, review: CaseReview, changes: Sequence[AuditEntry]) -> CaseEntry:
    reports = [report for report in log.reports(review.case.id) if report.kind is not ReportKind.PRELIMINARY]
    return CaseEntry(
        review.case,
        review.assessment,
        review.reviewed,
        _signed(log, reports[-1], changes) if reports else None,
        models_used(r for r in review.regions if r.counts),
        flagged_heterogeneous=any(
            r.counts and r.region.flags is not None and r.region.flags.heterogeneous for r in review.regions
        ),
        amending=review.amendment is not None,
    )


def _signed(log: CaseLog, report: ReportRecord, changes: Sequence[AuditEntry]) -> Signed:
    said = report.summary
    return Signed(
        report.kind.value,
        report.version,
        report.sha256,
        signers_of(log, report, changes)[0].full_name,
        report.signed_at,
        str(said.get("outcome", "")),
        {label: (p.get("group"), str(p.get("outcome", ""))) for label, p in said.get("populations", {}).items()},
    )
