"""Sign a case out: password again, everything checked again, the report rendered, signed and filed in one go."""

from __future__ import annotations

from datetime import UTC, datetime

from her2core.accounts import Accounts
from her2core.caselog import CaseLog, ReportRecord
from her2core.errors import ConflictError, WrongStateError
from her2core.permissions import Action, require
from her2core.records import CaseState, User
from her2core.reporting.content import Laboratory, ReportContent
from her2core.reporting.keys import Keyring
from her2core.reporting.pdf import render_report
from her2core.reporting.signing import sign
from her2core.reporting.verify import Verification, verify_report
from her2core.settings import load_settings
from her2core.workflow.assessing import CaseReview, assess
from her2core.workflow.content import build_content, laboratory_of, summary_of

__all__ = ["MEANING", "draft_report", "preview", "sign_out", "verify"]

MEANING = "I have reviewed the images, the counts and the work-up, and I am responsible for this result."
"""What a signature says (21 CFR 11.50); shown before signing and printed on the report."""


def draft_report(
    log: CaseLog, case_id: int, laboratory: Laboratory, user: User, *, demonstration: bool = False
) -> tuple[ReportContent, bytes]:
    """The report as it would be signed by `user` now, without signature: what it says, and the PDF.

    It is a preliminary one while something is still open.
    """
    review = assess(log, case_id)
    signer = user if not review.obstacles else None
    content = build_content(log, review, laboratory, signer, MEANING, _now(), demonstration=demonstration)
    return content, render_report(content)


def preview(log: CaseLog, case_id: int, laboratory: Laboratory, user: User, *, demonstration: bool = False) -> bytes:
    """The PDF of `draft_report`."""
    return draft_report(log, case_id, laboratory, user, demonstration=demonstration)[1]


def sign_out(
    log: CaseLog,
    keyring: Keyring,
    accounts: Accounts,
    case_id: int,
    version: int,
    user: User,
    password: str,
    meaning: str = MEANING,
    *,
    laboratory: Laboratory | None = None,
    demonstration: bool | None = None,
) -> ReportRecord:
    """Sign the report of a case as `user` and file it; the case is signed (or amended) with it.

    `version` is that of the case as the signer saw it. Signing the same version twice, as by a double click, gives the
    first report back. The laboratory is that of the settings unless given. Raises SignInError (password),
    ConflictError (changed meanwhile), WrongStateError (something is still open), SigningError (no usable key).
    """
    require(user, Action.SIGN)
    accounts.reauthenticate(user, password)
    review = assess(log, case_id)
    # Asked after the case was read: the first of two clicks may have been storing its report just then.
    done = _signed_before(log, case_id, version, user)
    if done is not None:
        return done
    settings = load_settings()
    laboratory = laboratory or laboratory_of(settings)
    demonstration = settings.demo if demonstration is None else demonstration
    _may_be_signed(review, version)
    at = _now()
    content = build_content(log, review, laboratory, user, meaning, at, demonstration=demonstration)
    pdf = sign(render_report(content), keyring, user, password, meaning, at)
    return log.store_report(
        case_id,
        pdf,
        content.kind.value,
        version=version,
        by=user,
        summary=summary_of(review, laboratory),
        reason=content.reason,
        replaces_id=_replaces(log, review),
        signed_at=at,
    )


def verify(log: CaseLog, keyring: Keyring, pdf: bytes) -> Verification:
    """Whether `pdf` is an intact report of this laboratory that its case log holds."""
    return verify_report(pdf, keyring.trust(), lambda sha256: log.report_by_sha256(sha256) is not None)


def _may_be_signed(review: CaseReview, version: int) -> None:
    if review.case.version != version:
        raise ConflictError("The case was changed after you opened it here. Read it again, then sign.")
    if not review.editable:
        raise WrongStateError("This case is signed already. Open an amendment to change it.")
    if review.obstacles:
        raise WrongStateError(f"The case cannot be signed yet. {review.obstacles[0]}")


def _signed_before(log: CaseLog, case_id: int, version: int, user: User) -> ReportRecord | None:
    """The report that this very signature made a moment ago: storing it made the next version of the case."""
    case = log.case(case_id)
    if case.state not in (CaseState.SIGNED, CaseState.AMENDED) or case.version != version + 1:
        return None
    reports = log.reports(case_id)
    return reports[-1] if reports and reports[-1].signed_by == user.id else None


def _replaces(log: CaseLog, review: CaseReview) -> int | None:
    if review.amendment is None:
        return None
    reports = [r for r in log.reports(review.case.id) if r.kind.value != "preliminary"]
    return reports[-1].id if reports else None


def _now() -> datetime:
    """The time of the laboratory, to the second and with its zone."""
    return datetime.now(UTC).astimezone().replace(microsecond=0)
