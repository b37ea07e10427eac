"""Is this file a report of this laboratory, exactly as it was signed?

A good signature alone is not enough: bytes appended after it, or changed inside the gap that holds it, leave it
"valid" (stack.md). A report is accepted only if every signature is intact and covers the whole file, its
certificate is in the laboratory's list and was not revoked when signing, and the SHA-256 of the file is in the log.
"""

from __future__ import annotations

import hashlib
import logging
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from datetime import datetime
from io import BytesIO
from typing import Any

from asn1crypto import pem
from asn1crypto import x509 as asn1_x509
from pyhanko.pdf_utils.reader import PdfFileReader
from pyhanko.sign.diff_analysis import ModificationLevel
from pyhanko.sign.fields import MDPPerm
from pyhanko.sign.validation import SignatureCoverageLevel, validate_pdf_signature
from pyhanko_certvalidator import ValidationContext

from her2core.reporting.registry import KeyRecord, Trust

__all__ = ["SignatureFound", "Verification", "verify_report"]

_MAX_BYTES = 256 * 1024 * 1024


@dataclass(frozen=True, slots=True)
class SignatureFound:
    """One signature in the file, whether good or not. `signed_at` is what the signature claims."""

    signer: str
    meaning: str
    signed_at: datetime | None
    time_stamped: bool


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
        """Name of the (first) signer as in the certificate."""
        return self.signatures[0].signer if self.signatures else None

    @property
    def signed_at(self) -> datetime | None:
        """When the (first) signer signed."""
        return self.signatures[0].signed_at if self.signatures else None


def verify_report(pdf: bytes, trust: Trust | bytes, known_sha256: Callable[[str], bool] | None = None) -> Verification:
    """Examine `pdf`. Never raises for what the file holds, whatever it is.

    `trust` is `Keyring.trust()`; a bare root certificate (PEM) is accepted and then revocation stays unchecked.
    `known_sha256` tells whether the case log holds a report with that SHA-256.
    """
    if isinstance(trust, bytes):
        trust = Trust(trust)
    sha256 = hashlib.sha256(pdf).hexdigest()
    findings: list[str] = []
    notes: list[str] = []
    signatures: list[SignatureFound] = []
    if len(pdf) > _MAX_BYTES:
        findings.append("The file is far larger than any report.")
    elif not pdf.startswith(b"%PDF-"):
        findings.append("This is not a PDF file.")
    else:
        with _quiet():
            _examine(pdf, trust, known_sha256 is not None, findings, signatures)
    if known_sha256 is None:
        notes.append("The file was not compared with the case log.")
    elif not known_sha256(sha256):
        findings.append(
            "This file is not in the case log of this laboratory: it was changed after signing or never filed."
        )
    if trust.keys is None:
        notes.append("Revocation of keys was not checked: the laboratory's list of keys is not at hand.")
    return Verification(not findings, tuple(dict.fromkeys(findings)), tuple(signatures), sha256, tuple(notes))
