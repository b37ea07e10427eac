"""Signed reports: the PDF as a file under its SHA-256, the row that names it, and the case that is signed by it."""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from datetime import datetime
from pathlib import Path
from typing import Any

from sqlite_utils import Database

from her2core.caselog import _audit
from her2core.caselog._change import SIGNED_STATES, Store
from her2core.caselog._codec import canonical, clean_text, sha256, stamp
from her2core.caselog._database import utc_now
from her2core.caselog._files import ContentStore
from her2core.caselog._rows import Row, first_signature_of, one, report_of, rows, user_of
from her2core.caselog.cases import CLOSED, signed_state
from her2core.caselog.entries import FirstSignature, ReportKind, ReportRecord
from her2core.errors import CaseLogError, DuplicateError, NotFoundError, PermissionDeniedError, WrongStateError
from her2core.permissions import Action, require
from her2core.records import CaseState, User

__all__ = ["Reports"]

_SELECT = """SELECT reports.*,
    (SELECT min(later.id) FROM reports AS later WHERE later.case_id = reports.case_id AND later.id > reports.id
        AND (later.kind = 'amended' OR later.kind = 'final')) AS superseded_by FROM reports"""
_FOLLOWS = (ReportKind.AMENDED, ReportKind.ADDENDUM)


class Reports(Store):
    """The reports of cases. None is ever changed; a later one names the one that it follows, by id and SHA-256."""

    def __init__(self, data_dir: Path, now: Callable[[], datetime] = utc_now) -> None:
        super().__init__(data_dir, now)
        self.pdfs = ContentStore(data_dir / "reports", ".pdf", "report")

    def store_report(
        self,
        case_id: int,
        pdf: bytes,
        kind: ReportKind | str,
        *,
        version: int,
        by: User,
        summary: Mapping[str, Any],
        reason: str = "",
        replaces_id: int | None = None,
        signed_at: datetime | None = None,
        cosigners: Sequence[User] = (),
        first_signer: User | None = None,
    ) -> ReportRecord:
        """Stores a report that `by` signed; in the same transaction the case becomes signed (or amended).

        Where `by` signed second, `first_signer` is the responsible pathologist who signed before.

        `version` is the version of the case that the report describes. The same person storing a report of the same
        kind for the same version again, as by a double click, gets the first one back and nothing is stored.

        | kind        | case                               | reason, replaces_id | state afterwards             |
        |-------------|------------------------------------|---------------------|------------------------------|
        | preliminary | never signed                       | –                   | as it was                    |
        | final       | never signed, ready                | –                   | signed                       |
        | amended     | signed; or an amendment is open    | both needed         | amended, amendment closed    |
        | addendum    | signed; or an amendment is open    | both needed         | as signed, amendment closed  |

        Raises ConflictError (changed since `version`), WrongStateError, NotFoundError or CaseLogError.
        """
        kind = ReportKind(kind)
        if not pdf.startswith(b"%PDF-"):
            raise CaseLogError("This is not a PDF; no report was stored.")
        why = clean_text(reason, "reason")
        action = Action.AMEND if kind in _FOLLOWS else Action.SIGN
        with self.changing(by, action, f"report stored: {kind}") as change:
            row = one(change.db, "cases", case_id, "case")
            change.case_id = case_id
            responsible = change.user if first_signer is None else first_signer
            again = _stored_before(change.db, case_id, version, kind, responsible)
            if again is not None:
                change.nothing()
                return again
            change.case(case_id, version, signed_too=True)
            replaced = _check_kind(change.db, row, kind, why, replaces_id)
            digest = sha256(pdf)
            if list(rows(change.db, "SELECT 1 FROM reports WHERE sha256 = ?", [digest])):
                raise DuplicateError("This very file is in the case log already.")
            seconds = list(cosigners) if first_signer is None else [change.user, *cosigners]
            _check_signers(change.db, responsible, seconds)
            self.pdfs.put(pdf)
            number = change.db.execute("SELECT count(*) FROM reports WHERE case_id = ?", [case_id]).fetchone()[0] + 1
            report_id = change.insert(
                "reports",
                {
                    "case_id": case_id,
                    "version": number,
                    "kind": kind.value,
                    "sha256": digest,
                    "size_bytes": len(pdf),
                    "case_version": version,
                    "reason": why,
                    "replaces_id": None if replaced is None else replaced["id"],
                    "replaces_sha256": None if replaced is None else replaced["sha256"],
                    "summary": canonical(dict(summary)),
                    "audit_head": _audit.head(change.db),
                    "signed_by": responsible.id,
                    "cosigned_by": canonical([user.id for user in seconds]),
                    "signed_at": stamp(signed_at or change.at),
                },
            )
            change.touch_case(row, **_case_after(change.db, case_id, kind))
            change.detail = {"report_id": report_id, "version": number, "kind": kind.value, "sha256": digest}
            return _report(change.db, report_id)

    def store_first_signature(
        self,
        case_id: int,
        pdf: bytes,
        kind: ReportKind | str,
        *,
        version: int,
        by: User,
        second: User,
        summary: Mapping[str, Any],
        reason: str = "",
        replaces_id: int | None = None,
        signed_at: datetime | None = None,
    ) -> FirstSignature:
        """Stores a report that `by` signed and `second` is to sign too; the case stays as it is until then.

        The rules are those of `store_report`; a second first signature on the same version gives the one there is.
        Raises PermissionDeniedError where `second` may not sign or is `by`.
        """
        kind = ReportKind(kind)
        if kind is ReportKind.PRELIMINARY:
            raise CaseLogError("A preliminary report has no second signature.")
        if not pdf.startswith(b"%PDF-"):
            raise CaseLogError("This is not a PDF; no report was stored.")
        why = clean_text(reason, "reason")
        action = Action.AMEND if kind in _FOLLOWS else Action.SIGN
        with self.changing(by, action, "first signature given") as change:
            row = one(change.db, "cases", case_id, "case")
            change.case_id = case_id
            again = _pending(change.db, row)
            if again is not None:
                change.nothing()
                return again
            change.case(case_id, version)
            _check_kind(change.db, row, kind, why, replaces_id)
            _check_signers(change.db, change.user, [second])
            self.pdfs.put(pdf)
            digest = sha256(pdf)
            row_id = change.insert(
                "first_signatures",
                {
                    "case_id": case_id,
                    "case_version": version,
                    "kind": kind.value,
                    "sha256": digest,
                    "size_bytes": len(pdf),
                    "reason": why,
                    "replaces_id": replaces_id,
                    "summary": canonical(dict(summary)),
                    "audit_head": _audit.head(change.db),
                    "signed_by": change.user.id,
                    "second_by": second.id,
                    "signed_at": stamp(signed_at or change.at),
                },
            )
            change.detail = {"first_signature_id": row_id, "sha256": digest, "second_by": second.id}
            return first_signature_of(one(change.db, "first_signatures", row_id, "signature"))

    def first_signature(self, case_id: int) -> FirstSignature | None:
        """The first signature that waits for the second one; None where there is none, or the case was changed."""
        with self.reading() as db:
            return _pending(db, one(db, "cases", case_id, "case"))

    def first_signed_pdf(self, signature: FirstSignature) -> bytes:
        """The PDF with the first signature. Raises IntegrityError where the file is not that any more."""
        return self.pdfs.get(signature.sha256)

    def withdraw_first_signature(self, case_id: int, version: int, by: User) -> None:
        """Takes a first signature back: the case is at its next version, and is signed anew.

        Raises WrongStateError where none waits.
        """
        with self.changing(by, Action.SIGN, "first signature withdrawn") as change:
            row = change.case(case_id, version)
            waiting = _pending(change.db, row)
            if waiting is None:
                raise WrongStateError("No signature waits for a second one.")
            change.touch_case(row)
            change.detail = {"first_signature_id": waiting.id}

    def reports(self, case_id: int) -> list[ReportRecord]:
        """The reports of a case, first version first."""
        with self.reading() as db:
            one(db, "cases", case_id, "case")
            found = rows(db, f"{_SELECT} WHERE case_id = ? ORDER BY version", [case_id])
            return [report_of(row) for row in found]

    def report(self, report_id: int) -> ReportRecord:
        """The report with this id. Raises NotFoundError."""
        with self.reading() as db:
            return _report(db, report_id)

    def report_pdf(self, report_id: int) -> bytes:
        """The PDF as it was signed. Raises NotFoundError, or IntegrityError where the file is not that any more."""
        return self.pdfs.get(self.report(report_id).sha256)

    def report_by_sha256(self, digest: str) -> ReportRecord | None:
        """The report whose file has this SHA-256; None: it is not of this case log."""
        with self.reading() as db:
            for row in rows(db, f"{_SELECT} WHERE sha256 = ?", [digest.lower()]):
                return report_of(row)
        return None


def _report(db: Database, report_id: int) -> ReportRecord:
    for row in rows(db, f"{_SELECT} WHERE id = ?", [report_id]):
        return report_of(row)
    raise NotFoundError("There is no such report.")


def _stored_before(db: Database, case_id: int, version: int, kind: ReportKind, signer: User) -> ReportRecord | None:
    sql = f"{_SELECT} WHERE case_id = ? AND case_version = ? AND kind = ? AND signed_by = ?"
    for row in rows(db, sql, [case_id, version, kind.value, signer.id]):
        return report_of(row)
    return None


def _pending(db: Database, case: Row) -> FirstSignature | None:
    """The first signature on the case as it is now."""
    if case["state"] in SIGNED_STATES and case["amending"] is None:
        return None
    sql = "SELECT * FROM first_signatures WHERE case_id = ? AND case_version = ?"
    for row in rows(db, sql, [case["id"], case["version"]]):
        return first_signature_of(row)
    return None


def _check_kind(db: Database, case: Row, kind: ReportKind, reason: str, replaces_id: int | None) -> Row | None:
    """That a report of this kind may be stored now; the row of the report that it follows."""
    signed = case["state"] in SIGNED_STATES or case["amending"] is not None
    if kind in _FOLLOWS:
        if not signed:
            raise WrongStateError("Only a signed case is amended; sign this one first.")
        if not reason:
            raise CaseLogError("Please fill in: reason of the amendment or addendum.")
        latest = next(
            rows(
                db,
                "SELECT * FROM reports WHERE case_id = ? AND kind <> 'preliminary' ORDER BY id DESC LIMIT 1",
                [case["id"]],
            )
        )
        if replaces_id != latest["id"]:
            raise WrongStateError("An amended report or addendum follows the latest report of the case.")
        return latest
    if signed:
        raise WrongStateError("This case is signed already. What follows is an amended report or an addendum.")
    if replaces_id is not None:
        raise CaseLogError("Only an amended report or an addendum follows another report.")
    if kind is ReportKind.FINAL and case["state"] != CaseState.READY:
        raise WrongStateError("This case is not ready to be signed; the work-up says what is missing.")
    return None


def _check_signers(db: Database, first: User, others: Sequence[User]) -> None:
    ids = [first.id, *(user.id for user in others)]
    if len(set(ids)) != len(ids):
        raise PermissionDeniedError("Nobody signs the same report twice.")
    for user_id in ids:
        require(user_of(one(db, "users", user_id, "account")), Action.SIGN)


def _case_after(db: Database, case_id: int, kind: ReportKind) -> dict[str, Any]:
    if kind is ReportKind.PRELIMINARY:
        return {}
    # The report is stored already, so the state that its kind leads to follows from the reports there are.
    return {"state": signed_state(db, case_id).value, **CLOSED}
