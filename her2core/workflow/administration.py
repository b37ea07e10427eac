"""What an administrator does to keys and the data folder, each one act with its audit row."""

from __future__ import annotations

import tempfile
from collections.abc import Iterable
from pathlib import Path

from her2core.caselog import BackupSummary, CaseLog, Finding
from her2core.errors import CaseLogError, Her2CoreError, IntegrityError
from her2core.permissions import Action, require
from her2core.records import User
from her2core.reporting.keys import Keyring
from her2core.reporting.verify import verify_report

__all__ = [
    "LARGEST_DOWNLOAD",
    "all_findings",
    "back_up_to",
    "backup_bytes",
    "check_all",
    "data_bytes",
    "revoke_keys",
]

LARGEST_DOWNLOAD = 1_000_000_000
"""Bytes of data folder that are handed out through a browser; more goes to a folder."""


def revoke_keys(log: CaseLog, keyring: Keyring, user: User, reason: str, by: User) -> int:
    """Revoke all keys of a person from now on; how many. Reports signed before stay valid. Raises SigningError."""
    require(by, Action.MANAGE_KEYS)
    revoked = keyring.revoke(user, reason)
    if revoked:
        log.note("signing key revoked", by, detail={"user_id": user.id, "serials": [key.serial for key in revoked]})
    return len(revoked)


def check_all(log: CaseLog, keyring: Keyring, by: User, heads: Iterable[str] = ()) -> tuple[Finding, ...]:
    """What is wrong with database, audit chain, images, reports, their signatures and the keys; empty where nothing is.

    `heads` of the audit trail were kept elsewhere. Raises PermissionDeniedError.
    """
    require(by, Action.CHECK)
    findings = all_findings(log, keyring, heads)
    try:
        log.note("case log checked", by, detail={"findings": len(findings)})
    except CaseLogError as error:
        findings.append(Finding("audit trail", f"this check could not be recorded: {error}"))
    return tuple(findings)


def all_findings(log: CaseLog, keyring: Keyring, heads: Iterable[str] = ()) -> list[Finding]:
    """As `check_all`, for nobody in particular: nothing is recorded, and a damaged case log will do.

    `heads`: hashes of audit rows that were kept elsewhere.
    """
    findings: list[Finding] = []
    try:
        findings += log.check(heads)
        findings += [Finding("signing keys", problem) for problem in keyring.problems()]
        findings += _signature_findings(log, keyring)
    except Her2CoreError as error:
        findings.append(Finding("signatures", f"they cannot be checked: {error}"))
    return findings


def back_up_to(log: CaseLog, folder: str, by: User) -> BackupSummary:
    """Write a backup into a folder of the server. Raises PermissionDeniedError, CaseLogError."""
    require(by, Action.BACK_UP)
    path = Path(folder.strip())
    try:
        usable = path.is_absolute() and path.is_dir()
        inside = usable and path.resolve().is_relative_to(log.data_dir.resolve())
    except (OSError, ValueError):
        usable = inside = False
    if not usable:
        raise CaseLogError("Give the whole path of a folder that exists on the server, such as /backups.")
    if inside:
        raise CaseLogError("Choose a folder outside the data folder, on another disk if there is one.")
    return log.backup(path, by, to="folder")


def backup_bytes(log: CaseLog, by: User) -> bytes:
    """A backup to be handed out. Raises PermissionDeniedError, CaseLogError where it is too large for that."""
    require(by, Action.BACK_UP)
    if data_bytes(log) > LARGEST_DOWNLOAD:
        raise CaseLogError("The data folder is too large to be downloaded. Write the backup to a folder instead.")
    try:
        with tempfile.TemporaryDirectory(dir=log.data_dir, prefix=".her2core-download-") as folder:
            return log.backup(Path(folder), by, to="download").path.read_bytes()
    except OSError as error:
        raise CaseLogError("The backup could not be written. Check the disk of the server.") from error


def data_bytes(log: CaseLog) -> int:
    """The size of what a backup would hold, roughly."""
    folders = (log.data_dir, *(log.data_dir / name for name in ("images", "reports", "keys")))
    return sum(path.stat().st_size for folder in folders if folder.is_dir() for path in folder.iterdir())


def _signature_findings(log: CaseLog, keyring: Keyring) -> list[Finding]:
    reports = [report for case_id in log.look_up_ids() for report in log.reports(case_id)]
    if not reports:
        return []
    findings: list[Finding] = []
    trust = keyring.trust()
    for report in reports:
        try:
            pdf = log.report_pdf(report.id)
        except IntegrityError:
            continue  # `CaseLog.check` has said so
        verdict = verify_report(pdf, trust, lambda _: True)
        findings += [Finding(f"signature of report {report.id}", text, report.case_id) for text in verdict.findings]
    return findings
