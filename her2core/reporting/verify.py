"""Is this file a report of this laboratory, exactly as it was signed?

A good signature alone is not enough: bytes appended after it, or changed inside the gap that holds it, leave it
"valid" (stack.md). A report is accepted only if every signature is intact and covers the whole file, its
certificate is in the laboratory's list and was not revoked when signing, and the SHA-256 of the file is in the log.
"""

from __future__ import annotations

import hashlib
import re
from collections.abc import Callable
from dataclasses import dataclass
from datetime import UTC, datetime
from io import BytesIO

from pyhanko.keys import load_certs_from_pemder_data
from pyhanko.pdf_utils.reader import PdfFileReader
from pyhanko.sign.diff_analysis import ModificationLevel
from pyhanko.sign.fields import enumerate_sig_fields
from pyhanko.sign.validation import SignatureCoverageLevel, validate_pdf_signature
from pyhanko.sign.validation.pdf_embedded import EmbeddedPdfSignature
from pyhanko.sign.validation.status import PdfSignatureStatus
from pyhanko_certvalidator import ValidationContext

from her2core.reporting._own_loop import with_own_loop
from her2core.reporting.registry import KeyRecord, Trust

__all__ = ["INCOMPLETE", "SignatureFound", "Verification", "verify_report"]

_BYTE_RANGE = re.compile(rb"/ByteRange ?\[ ?\d{1,12} +\d{1,12} +(\d{1,12}) +(\d{1,12})")
_MAX_BYTES = 128 * 1024 * 1024
_DAMAGED = "The file is damaged or is not a report made by her2core: it cannot be read to the end."
_CHANGED = "The content was changed after signing."
_APPENDED = "Something was appended to the file after the last signature."
_CUT = "The end of the file is missing."
_GAP = "The part of the file that holds the signature was changed."
_UNSIGNED = "The file carries no signature."
INCOMPLETE = "A signature is still missing: the file has a signature field that nobody has signed."
_NOT_CERTIFIED = "The signature does not certify the document, as a report's first signature does."
_STRANGER = "The signer is not known to this laboratory: the certificate was not issued by its root."
_UNLISTED = "The certificate is not in the laboratory's list of signing keys."
_NO_TIME = "The signature does not say when it was made."
_TIME_STAMP = "The time-stamp is not valid, or its authority is not trusted by this laboratory."
_CRYPTO = "The signature does not belong to the certificate that it names."


@dataclass(frozen=True, slots=True)
class SignatureFound:
    """One signature in the file, whether good or not. `signed_at` is what the signature, or its time-stamp, says.

    `signer` is the name in the laboratory's list of keys, else the one in the certificate.
    """

    signer: str
    meaning: str
    signed_at: datetime | None
    time_stamped: bool
    certificate_sha256: str


@dataclass(frozen=True, slots=True)
class Verification:
    """The verdict. `findings` says in plain words what is wrong (empty where `ok`); `notes` what was not checked."""

    ok: bool
    findings: tuple[str, ...]
    signatures: tuple[SignatureFound, ...]
    sha256: str
    notes: tuple[str, ...] = ()

    @property
    def signer(self) -> str | None:
        """Name of the first signer."""
        return self.signatures[0].signer if self.signatures else None

    @property
    def signed_at(self) -> datetime | None:
        """When the first signer signed."""
        return self.signatures[0].signed_at if self.signatures else None


def verify_report(pdf: bytes, trust: Trust | bytes, known_sha256: Callable[[str], bool] | None = None) -> Verification:
    """Examine `pdf`. Never raises for what the file holds, whatever it is.

    `trust` is `Keyring.trust()`; a bare root certificate (PEM) is accepted and then revocation stays unchecked.
    `known_sha256` tells whether the case log holds a report with that SHA-256.
    """
    trust = Trust(trust) if isinstance(trust, bytes) else trust
    sha256 = hashlib.sha256(pdf).hexdigest()
    found, findings = with_own_loop(_signatures, pdf, trust, known_sha256 is not None)
    notes: list[str] = []
    if known_sha256 is None:
        notes.append("The file was not compared with the case log.")
    elif not known_sha256(sha256):
        findings.append("The file is not in this laboratory's case log: it was changed after signing, or never filed.")
    if trust.keys is None:
        notes.append("Revocation was not checked: the laboratory's list of signing keys is not at hand.")
    return Verification(not findings, tuple(dict.fromkeys(findings)), found, sha256, tuple(notes))


def _signatures(pdf: bytes, trust: Trust, logged: bool) -> tuple[tuple[SignatureFound, ...], list[str]]:
    if len(pdf) > _MAX_BYTES:
        return (), ["The file is far larger than any report."]
    if not pdf.startswith(b"%PDF-"):
        return (), ["This is not a PDF file."]
    found: list[SignatureFound] = []
    findings = _extent(pdf)
    try:
        reader = PdfFileReader(BytesIO(pdf))
        signatures = list(reader.embedded_regular_signatures)
        if not signatures:
            return (), [_UNSIGNED]
        if any(value is None for _, value, _ in enumerate_sig_fields(reader)):
            findings.append(INCOMPLETE)
        for place, signature in enumerate(signatures):
            last = place == len(signatures) - 1
            one, wrong = _one(pdf, signature, trust, first=place == 0, last=last, logged=logged)
            found.append(one)
            findings += wrong
    except Exception:  # a hostile file can make a parser raise anything; whatever it is, the file is refused
        findings.append(_DAMAGED)
    return tuple(found), findings


def _extent(pdf: bytes) -> list[str]:
    """Does the file end where its last signature says? Asked before parsing, which what is appended can break."""
    ends = [int(match[1]) + int(match[2]) for match in _BYTE_RANGE.finditer(pdf)]
    if not ends or max(ends) == len(pdf):
        return []
    return [_APPENDED if max(ends) < len(pdf) else _CUT]


def _one(
    pdf: bytes, signature: EmbeddedPdfSignature, trust: Trust, *, first: bool, last: bool, logged: bool
) -> tuple[SignatureFound, list[str]]:
    """One signature: what it says, and what is wrong with it."""
    certificate = signature.signer_cert
    record = trust.record(certificate.sha256.hex())
    claimed = signature.self_reported_timestamp
    status = validate_pdf_signature(signature, _context(trust, record, claimed), _tsa_context(trust))
    stamped = status.timestamp_validity is not None and status.bottom_line
    signed_at = status.timestamp_validity.timestamp if stamped and status.timestamp_validity else claimed
    found = SignatureFound(
        signer=record.full_name if record else str(certificate.subject.native.get("common_name", "")),
        meaning=str(signature.sig_object.get("/Reason", "")),
        signed_at=signed_at,
        time_stamped=stamped,
        certificate_sha256=certificate.sha256.hex(),
    )
    findings = _integrity(status, first=first, last=last, certified=signature.docmdp_level is not None)
    if not _gap_is_clean(pdf, signature):
        findings.append(_GAP)
    findings += _key(trust, record, status, found, logged)
    return found, findings


def _context(trust: Trust, record: KeyRecord | None, moment: datetime | None) -> ValidationContext:
    """Trust the laboratory's root, and of imported certificates exactly the listed one; judge at signing time."""
    roots = list(load_certs_from_pemder_data(trust.ca_pem))
    if record is not None and record.external:
        roots += load_certs_from_pemder_data(record.certificate_pem.encode())
    return ValidationContext(trust_roots=roots, allow_fetching=False, moment=moment or datetime.now(UTC))


def _tsa_context(trust: Trust) -> ValidationContext:
    roots = list(load_certs_from_pemder_data(trust.tsa_pem)) if trust.tsa_pem else []
    return ValidationContext(trust_roots=roots, allow_fetching=False)


def _integrity(status: PdfSignatureStatus, *, first: bool, last: bool, certified: bool) -> list[str]:
    findings: list[str] = []
    if not status.intact:
        findings.append(_CHANGED)
    elif not status.valid:
        findings.append(_CRYPTO)
    if last and status.coverage is not SignatureCoverageLevel.ENTIRE_FILE:
        findings.append(_APPENDED)
    if not last and status.modification_level not in (ModificationLevel.NONE, ModificationLevel.FORM_FILLING):
        findings.append(_APPENDED)
    if status.docmdp_ok is False:
        findings.append(_CHANGED)
    if first and not certified:
        findings.append(_NOT_CERTIFIED)
    return findings


def _key(
    trust: Trust, record: KeyRecord | None, status: PdfSignatureStatus, found: SignatureFound, logged: bool
) -> list[str]:
    """Was the certificate this laboratory's, and good when the signature was made?"""
    findings: list[str] = []
    if not status.trusted:
        findings.append(_STRANGER)
    if status.timestamp_validity is not None and not found.time_stamped and status.trusted and status.intact:
        findings.append(_TIME_STAMP)
    if found.signed_at is None:
        return [*findings, _NO_TIME]
    if trust.keys is None:
        return findings
    if record is None:
        return [*findings, _UNLISTED] if status.trusted else findings
    revoked = record.revoked_at
    if revoked is not None and found.signed_at >= revoked:
        findings.append(f"The signer's key had been revoked on {revoked:%d %b %Y} ({record.revoked_reason}).")
    elif revoked is not None and not logged and not found.time_stamped:
        # Whoever holds a stolen key can write any time into a signature; only the log or a time-stamp proves it.
        findings.append(
            f"The signer's key was revoked on {revoked:%d %b %Y}; without the case log it cannot be shown that the "
            "report was signed before."
        )
    elif not record.usable_at(found.signed_at):
        findings.append("The signer's certificate was not valid at the time of signing.")
    return findings


def _gap_is_clean(pdf: bytes, signature: EmbeddedPdfSignature) -> bool:
    """The signed ranges leave a gap for the signature; it must hold one DER structure, then zeros."""
    start, length, resume, _ = (int(number) for number in signature.byte_range)
    gap = pdf[start + length : resume]
    if gap[:1] != b"<" or gap[-1:] != b">":
        return False
    data = bytes.fromhex(gap[1:-1].decode("ascii"))
    if gap[1:-1] != data.hex().upper().encode() or data[:1] != b"\x30":
        return False
    return not any(data[_der_length(data) :])


def _der_length(data: bytes) -> int:
    """Length of the DER structure at the start of `data`, header included."""
    first = data[1]
    if first < 0x80:
        return 2 + first
    octets = first & 0x7F
    return 2 + octets + int.from_bytes(data[2 : 2 + octets], "big")
