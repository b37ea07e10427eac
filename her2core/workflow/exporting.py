"""Cases as CSV."""

from __future__ import annotations

from collections.abc import Sequence

from her2core.caselog import CaseLog
from her2core.exchange.tables import CaseEntry, RegionEntry, Signed, cases_csv, nuclei_csv
from her2core.permissions import Action, require
from her2core.records import User
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
        text = cases_csv(_entry(log, review) for review in reviews)
    return Outgoing(text.encode(), by, tuple((r.case.id, {"format": "csv", "nuclei": nuclei}) for r in reviews))


def _entry(log: CaseLog, review: CaseReview) -> CaseEntry:
    reports = log.reports(review.case.id)
    signed = None
    if reports:
        last = reports[-1]
        signed = Signed(last.kind.value, last.version, last.sha256, log.user(last.signed_by).full_name, last.signed_at)
    return CaseEntry(
        review.case, review.assessment, review.reviewed, signed, models_used(r for r in review.regions if r.counts)
    )
