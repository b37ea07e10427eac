"""Sign a case out: password again, everything checked again, the report rendered, signed and filed in one go.

Where the laboratory wants two signatures, the first one is filed with the name of who signs second, and the case is
signed only with the second. Whatever changes the case in between takes the first signature back.
"""

from __future__ import annotations

from dataclasses import dataclass
from datetime import UTC, datetime
from typing import Any

from pyhanko.sign.timestamps import TimeStamper

from her2core.accounts import Accounts
from her2core.caselog import CaseLog, FirstSignature, ReportKind, ReportRecord
from her2core.errors import ConflictError, PermissionDeniedError, SigningError, WrongStateError
from her2core.permissions import Action, decide, require
from her2core.records import CaseState, User
from her2core.reporting.content import Laboratory, ReportContent
from her2core.reporting.keys import Keyring
from her2core.reporting.pdf import render_report
from her2core.reporting.signing import sign, time_stamper
from her2core.reporting.verify import Verification, verify_report
from her2core.settings import Settings, load_settings
from her2core.workflow.assessing import CaseReview, assess
from her2core.workflow.content import (
    SECOND_MEANING,
    Addendum,
    assay_of,
    build_content,
    laboratory_of,
    report_number,
    summary_of,
)
from her2core.workflow.validations import is_validation

__all__ = [
    "MEANING",
    "add_addendum",
    "draft_report",
    "open_since_first_signature",
    "preview",
    "sign_first",
    "sign_out",
    "sign_second",
    "verify",
    "what_is_signed",
    "who_may_sign_second",
    "withdraw_first_signature",
]

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
    assay = assay_of(load_settings())
    content = build_content(log, review, laboratory, signer, MEANING, _now(), demonstration=demonstration, assay=assay)
    return content, render_report(content)


def preview(log: CaseLog, case_id: int, laboratory: Laboratory, user: User, *, demonstration: bool = False) -> bytes:
    """The PDF of `draft_report`."""
    return draft_report(log, case_id, laboratory, user, demonstration=demonstration)[1]


def what_is_signed(log: CaseLog, review: CaseReview) -> tuple[str, ...]:
    """Which report a signature makes now, in sentences: its number, its version, and what an amendment replaces."""
    reports = log.reports(review.case.id)
    named = f"Report {report_number(review.case.id)}, version {len(reports) + 1}"
    replaced = _replaces(log, review)
    if review.amendment is None or replaced is None:
        return (f"{named}: final report.",)
    before = next(report.version for report in reports if report.id == replaced)
    return (
        f"{named}: amended report, which replaces version {before}.",
        f"Reason for the amendment: {review.amendment.reason.strip()}",
    )


# --- one signature ----------------------------------------------------------------------------------------------------


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
    ConflictError (changed meanwhile), WrongStateError (something is still open, or the laboratory wants two
    signatures), SigningError (no usable key).
    """
    require(user, Action.SIGN)
    accounts.reauthenticate(user, password)
    review = assess(log, case_id)
    # Asked after the case was read: the first of two clicks may have been storing its report just then.
    done = _signed_before(log, case_id, version, user)
    if done is not None:
        return done
    settings = load_settings()
    if settings.second_signature:
        raise WrongStateError("This laboratory wants two signatures. Name the pathologist who signs second.")
    _may_be_signed(review, version)
    made = _signed_pdf(log, keyring, review, user, password, meaning, settings, laboratory, demonstration)
    return log.store_report(
        case_id,
        made.pdf,
        made.content.kind.value,
        version=version,
        by=user,
        summary=made.summary,
        reason=made.content.reason,
        replaces_id=_replaces(log, review),
        signed_at=made.at,
    )


def add_addendum(
    log: CaseLog,
    keyring: Keyring,
    accounts: Accounts,
    case_id: int,
    version: int,
    user: User,
    password: str,
    addendum: Addendum,
    *,
    laboratory: Laboratory | None = None,
    demonstration: bool | None = None,
) -> ReportRecord:
    """Sign an addendum to the latest report of a signed case: it adds a text and changes no number and no result.

    Raises as `sign_out`; WrongStateError where the case is not signed, is open for amendment, or the laboratory wants
    two signatures (then an amendment says it).
    """
    require(user, Action.AMEND)
    accounts.reauthenticate(user, password)
    settings = load_settings()
    if settings.second_signature:
        raise WrongStateError("This laboratory wants two signatures: open an amendment, which both sign.")
    review = assess(log, case_id)
    done = _stored(log, case_id, version, user, ReportKind.ADDENDUM)
    if done is not None:
        return done
    _unchanged(review, version)
    if review.editable:
        raise WrongStateError("An addendum follows a signed report. Sign the case, or the open amendment, first.")
    if not addendum.text.strip() or not addendum.reason.strip():
        raise WrongStateError("Write what the addendum adds, and why it is added now.")
    made = _signed_pdf(
        log, keyring, review, user, password, MEANING, settings, laboratory, demonstration, addendum=addendum
    )
    return log.store_report(
        case_id,
        made.pdf,
        ReportKind.ADDENDUM,
        version=version,
        by=user,
        summary={**made.summary, "addendum": addendum.text.strip()},
        reason=addendum.reason,
        replaces_id=_latest(log, case_id),
        signed_at=made.at,
    )


# --- two signatures ---------------------------------------------------------------------------------------------------


def who_may_sign_second(log: CaseLog, keyring: Keyring, first: User) -> tuple[User, ...]:
    """The other people who can sign now: active, allowed to, and with a key in force."""
    return tuple(
        person
        for person in log.users(active_only=True)
        if person.id != first.id and decide(person, Action.SIGN) and keyring.has_key(person)
    )


def sign_first(
    log: CaseLog,
    keyring: Keyring,
    accounts: Accounts,
    case_id: int,
    version: int,
    user: User,
    password: str,
    second: User,
    *,
    laboratory: Laboratory | None = None,
    demonstration: bool | None = None,
) -> FirstSignature:
    """Sign as the responsible pathologist a report that `second` is to sign too. Nothing is final yet.

    Raises as `sign_out`; SigningError where `second` cannot sign.
    """
    require(user, Action.SIGN)
    accounts.reauthenticate(user, password)
    review = assess(log, case_id)
    waiting = log.first_signature(case_id)
    if waiting is not None and waiting.case_version == version and waiting.signed_by == user.id:
        return waiting
    _may_be_signed(review, version)
    if waiting is not None:
        raise WrongStateError("This report is signed already and waits for its second signature.")
    if second.id not in {person.id for person in who_may_sign_second(log, keyring, user)}:
        raise SigningError("The person named cannot sign second: another pathologist with a signing key is needed.")
    made = _signed_pdf(
        log, keyring, review, user, password, MEANING, load_settings(), laboratory, demonstration, second=second
    )
    return log.store_first_signature(
        case_id,
        made.pdf,
        made.content.kind.value,
        version=version,
        by=user,
        second=second,
        summary=made.summary,
        reason=made.content.reason,
        replaces_id=_replaces(log, review),
        signed_at=made.at,
    )


def sign_second(
    log: CaseLog, keyring: Keyring, accounts: Accounts, case_id: int, version: int, user: User, password: str
) -> ReportRecord:
    """Sign second what another pathologist signed first, and file it: with that the case is signed (or amended).

    Raises SignInError, WrongStateError (no signature waits: the case may have been changed; or something came up that
    the report does not tell, see `open_since_first_signature`), PermissionDeniedError (somebody else is named),
    SigningError.
    """
    require(user, Action.SIGN)
    accounts.reauthenticate(user, password)
    waiting = log.first_signature(case_id)
    if waiting is None or waiting.case_version != version:
        done = _countersigned_before(log, case_id, version, user)
        if done is not None:
            return done
        raise WrongStateError("No first signature waits here: the case was changed, or the signature was taken back.")
    if waiting.second_by != user.id:
        raise PermissionDeniedError(f"The second signature is to be given by {log.user(waiting.second_by).full_name}.")
    came_up = open_since_first_signature(assess(log, case_id))
    if came_up:
        raise WrongStateError(came_up)
    at = _now()
    stamper = _stamper(load_settings())
    pdf = sign(log.first_signed_pdf(waiting), keyring, user, password, SECOND_MEANING, at, timestamper=stamper)
    return log.store_report(
        case_id,
        pdf,
        waiting.kind,
        version=version,
        by=user,
        first_signer=log.user(waiting.signed_by),
        summary=waiting.summary,
        reason=waiting.reason,
        replaces_id=waiting.replaces_id,
        signed_at=at,
    )


def open_since_first_signature(review: CaseReview) -> str:
    """What came up after a report was signed first, with what to do; empty where nothing did.

    The case itself is unchanged then, but another case may use the patient's ID for another name now.
    """
    if not review.obstacles:
        return ""
    unread = [warning.text for warning in review.warnings if not warning.acknowledged]
    return (
        f"Something came up after the first signature, and the report that was signed does not tell it: "
        f"{' '.join(unread or review.obstacles)} Take the first signature back, deal with it under work-up, and sign "
        "the report anew."
    )


def withdraw_first_signature(log: CaseLog, case_id: int, version: int, by: User) -> None:
    """Take a first signature back, so that the case can be changed or another person named."""
    log.withdraw_first_signature(case_id, version, by)


def verify(log: CaseLog, keyring: Keyring, pdf: bytes) -> Verification:
    """Whether `pdf` is an intact report of this laboratory that its case log holds."""
    return verify_report(
        pdf,
        keyring.trust(),
        lambda sha256: log.report_by_sha256(sha256) is not None or is_validation(log, sha256),
    )


# --- inside -----------------------------------------------------------------------------------------------------------


@dataclass(frozen=True, slots=True)
class _Made:
    content: ReportContent
    pdf: bytes
    at: datetime
    summary: dict[str, Any]


def _signed_pdf(
    log: CaseLog,
    keyring: Keyring,
    review: CaseReview,
    user: User,
    password: str,
    meaning: str,
    settings: Settings,
    laboratory: Laboratory | None,
    demonstration: bool | None,
    *,
    second: User | None = None,
    addendum: Addendum | None = None,
) -> _Made:
    """The report, rendered and signed by `user` now."""
    at = _now()
    content = build_content(
        log,
        review,
        laboratory or laboratory_of(settings),
        user,
        meaning,
        at,
        demonstration=settings.demo if demonstration is None else demonstration,
        second=second,
        assay=assay_of(settings),
        addendum=addendum,
    )
    pdf = sign(render_report(content), keyring, user, password, meaning, at, timestamper=_stamper(settings))
    return _Made(content, pdf, at, summary_of(review, content.laboratory, content.signatories))


def _stamper(settings: Settings) -> TimeStamper | None:
    return time_stamper(settings.timestamp_url) if settings.timestamp_url else None


def _unchanged(review: CaseReview, version: int) -> None:
    if review.case.version != version:
        raise ConflictError("The case was changed after you opened it here. Read it again, then sign.")


def _may_be_signed(review: CaseReview, version: int) -> None:
    _unchanged(review, version)
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


def _stored(log: CaseLog, case_id: int, version: int, user: User, kind: ReportKind) -> ReportRecord | None:
    """`_signed_before`, of one kind only."""
    done = _signed_before(log, case_id, version, user)
    return done if done is not None and done.kind is kind else None


def _countersigned_before(log: CaseLog, case_id: int, version: int, user: User) -> ReportRecord | None:
    """The report that this second signature made a moment ago."""
    reports = log.reports(case_id)
    if not reports or log.case(case_id).version != version + 1:
        return None
    return reports[-1] if user.id in reports[-1].cosigned_by else None


def _replaces(log: CaseLog, review: CaseReview) -> int | None:
    return None if review.amendment is None else _latest(log, review.case.id)


def _latest(log: CaseLog, case_id: int) -> int | None:
    reports = [r for r in log.reports(case_id) if r.kind is not ReportKind.PRELIMINARY]
    return reports[-1].id if reports else None


def _now() -> datetime:
    """The time of the laboratory, to the second and with its zone."""
    return datetime.now(UTC).astimezone().replace(microsecond=0)
