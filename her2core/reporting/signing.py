"""Sign a report: PAdES B-B (B-T with a time-stamp authority), certified so that later changes show.

With one signature field the certification allows no change at all (DocMDP 1). With two, the first signature allows
exactly the filling in of the second field (DocMDP 2), which pyHanko and every reader check on verification.
"""

from __future__ import annotations

from datetime import datetime
from io import BytesIO
from typing import Any

from pyhanko.pdf_utils.font.basic import SimpleFontEngineFactory
from pyhanko.pdf_utils.incremental_writer import IncrementalPdfFileWriter
from pyhanko.pdf_utils.layout import AxisAlignment, Margins, SimpleBoxLayoutRule
from pyhanko.pdf_utils.misc import PdfError
from pyhanko.pdf_utils.reader import PdfFileReader
from pyhanko.pdf_utils.text import TextBoxStyle
from pyhanko.sign import PdfSignatureMetadata, PdfSigner, fields, timestamps
from pyhanko.sign.general import SigningError as PyHankoSigningError
from pyhanko.stamp import TextStampStyle

from her2core.errors import SigningError
from her2core.records import User
from her2core.reporting._own_loop import with_own_loop
from her2core.reporting.keys import Keyring
from her2core.reporting.verify import INCOMPLETE, verify_report

__all__ = ["SIGNATURE_FIELDS", "sign", "time_stamper"]

SIGNATURE_FIELDS = ("Signature1", "Signature2")
"""Names of the fields that `render_report` places, in the order of signing."""


def time_stamper(url: str, timeout_s: int = 10) -> timestamps.TimeStamper:
    """An RFC 3161 time-stamp authority at `url`, for `sign(…, timestamper=…)`."""
    return timestamps.HTTPTimeStamper(url, https=url.startswith("https:"), timeout=timeout_s)


def sign(
    pdf: bytes,
    keyring: Keyring,
    user: User,
    passphrase: str,
    meaning: str,
    at: datetime,
    *,
    timestamper: timestamps.TimeStamper | None = None,
) -> bytes:
    """`pdf` with the next empty signature field signed by `user` at `at` (aware).

    Raises SigningError where the password or key will not do, or the file has no empty signature field.
    """
    if at.utcoffset() is None:
        raise SigningError("The time of a signature needs its time zone.")
    signer = keyring.unlock(user, passphrase, at)
    record = keyring.key_of(user, at)
    details = {"serial": record.serial[:16] if record else ""}
    names, done = _fields(pdf)
    if len(done) == len(names):
        raise SigningError("This document has no signature field left to sign.")
    if done:
        _check_earlier(pdf, keyring, user)
    metadata = PdfSignatureMetadata(
        field_name=names[len(done)],
        md_algorithm="sha256",
        name=user.full_name,
        reason=meaning,
        subfilter=fields.SigSeedSubFilter.PADES,
        certify=not done,
        docmdp_permissions=fields.MDPPerm.NO_CHANGES if len(names) == 1 else fields.MDPPerm.FILL_FORMS,
    )
    pdf_signer = _SignerAt(metadata, signer, stamp_style=_stamp(), timestamper=timestamper)
    pdf_signer.at = at
    try:
        output: BytesIO = with_own_loop(
            pdf_signer.sign_pdf,
            IncrementalPdfFileWriter(BytesIO(pdf)),
            existing_fields_only=True,
            appearance_text_params=details,
        )
    except timestamps.TimestampRequestError as error:
        raise SigningError(
            "The time-stamp authority did not answer, so nothing was signed. Try again, or ask an administrator to "
            "take the setting timestamp_url back."
        ) from error
    except (PyHankoSigningError, PdfError, ValueError) as error:
        raise SigningError("This document cannot be signed: it is not a report made by her2core.") from error
    return output.getvalue()


class _SignerAt(PdfSigner):
    """A signer that writes the given time instead of reading the clock, so block and signature say the same."""

    at: datetime

    def init_signing_session(self, pdf_out: Any, existing_fields_only: bool = False) -> Any:
        session = super().init_signing_session(pdf_out, existing_fields_only)
        session.system_time = self.at
        return session


def _reader(pdf: bytes) -> PdfFileReader:
    return PdfFileReader(BytesIO(pdf))


def _fields(pdf: bytes) -> tuple[tuple[str, ...], tuple[str, ...]]:
    """Names of all signature fields in order, and of the signed ones."""
    try:
        found = list(fields.enumerate_sig_fields(_reader(pdf)))
    except (PdfError, ValueError, KeyError, TypeError) as error:
        raise SigningError("This document cannot be signed: it is not a PDF file.") from error
    names = tuple(name for name in SIGNATURE_FIELDS if name in {entry[0] for entry in found})
    done = tuple(name for name, value, _ in found if value is not None)
    if not names or done != names[: len(done)]:
        raise SigningError("This document cannot be signed: it is not a report made by her2core.")
    return names, done


def _check_earlier(pdf: bytes, keyring: Keyring, user: User) -> None:
    """A second signature is given by another person, and only to what the first one signed."""
    if verify_report(pdf, keyring.trust(), lambda _: True).findings != (INCOMPLETE,):
        raise SigningError("The earlier signature on this report is not valid, so it cannot be countersigned.")
    certificates = {signature.signer_cert.sha256.hex() for signature in _reader(pdf).embedded_regular_signatures}
    if any(key.user_id == user.id for key in keyring.records() if key.sha256 in certificates):
        raise SigningError("You have signed this report already; the second signature is given by another person.")


def _stamp() -> TextStampStyle:
    """What a reader sees inside the field. The name, in its own script, is printed beside it: here ASCII is enough."""
    return TextStampStyle(
        border_width=0,
        background=None,
        stamp_text="Digitally signed\n%(ts)s\nCertificate %(serial)s",
        timestamp_format="%d %b %Y %H:%M:%S %z",
        text_box_style=TextBoxStyle(font=SimpleFontEngineFactory("Helvetica", 0.5), font_size=8, leading=11),
        inner_content_layout=SimpleBoxLayoutRule(
            x_align=AxisAlignment.ALIGN_MIN, y_align=AxisAlignment.ALIGN_MID, margins=Margins(4, 4, 2, 2)
        ),
    )
