"""Only the file that was signed is accepted; each attack is refused, and the finding says what is wrong."""

from __future__ import annotations

import asyncio
import hashlib
import importlib
import io
import random
import re
import shutil
import subprocess
from collections.abc import Callable, Iterator
from dataclasses import replace
from datetime import UTC, datetime, timedelta
from http.server import BaseHTTPRequestHandler, HTTPServer
from pathlib import Path
from threading import Thread
from typing import Any

import pytest
from cryptography import x509
from cryptography.hazmat.primitives import hashes
from cryptography.hazmat.primitives.asymmetric import rsa
from cryptography.hazmat.primitives.serialization import Encoding, NoEncryption, PrivateFormat
from cryptography.x509.oid import ExtendedKeyUsageOID, NameOID
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st
from pyhanko.keys import load_certs_from_pemder_data, load_private_key_from_pemder_data
from pyhanko.pdf_utils import generic as pyhanko_generic
from pyhanko.pdf_utils.incremental_writer import IncrementalPdfFileWriter
from pyhanko.pdf_utils.reader import PdfFileReader
from pyhanko.sign import PdfSignatureMetadata, PdfSigner, SimpleSigner, fields
from pyhanko.sign.timestamps import DummyTimeStamper

from her2core.errors import SigningError
from her2core.reporting.keys import Keyring
from her2core.reporting.pdf import render_report
from her2core.reporting.signing import sign, time_stamper
from her2core.reporting.verify import Verification, verify_report
from tests.reporting import samples
from tests.reporting.conftest import MEANING, PASSWORD, make_keyring
from tests.reporting.test_keys import external_pkcs12

generic: Any = pyhanko_generic
ANNA, BORIS, AT = samples.ANNA, samples.BORIS, samples.SIGNED_AT


def anything(_: str) -> bool:
    """A case log that knows every file: what is refused then is refused by the signature alone."""
    return True


def log_of(*pdfs: bytes) -> Callable[[str], bool]:
    known = {hashlib.sha256(pdf).hexdigest() for pdf in pdfs}
    return known.__contains__


def said(verification: Verification) -> str:
    assert not verification.ok
    return " ".join(verification.findings)


def gap_of(pdf: bytes) -> tuple[int, int]:
    """Where the first signature's own bytes lie."""
    match = re.search(rb"/ByteRange \[(\d+) (\d+) (\d+) (\d+)", pdf)
    assert match is not None
    return int(match[2]), int(match[3])


def flipped(pdf: bytes, at: int, mask: int = 1) -> bytes:
    return pdf[:at] + bytes([pdf[at] ^ mask]) + pdf[at + 1 :]


def two_signatures_report() -> bytes:
    content = samples.group_report(3)
    second = replace(content.signatories[0], name=BORIS.full_name, credentials="MD", at=AT + timedelta(minutes=9))
    return render_report(replace(content, signatories=(content.signatories[0], second)))


# --- good


def test_signing_and_verifying_work_where_an_event_loop_runs(laboratory: Keyring) -> None:
    async def in_a_loop() -> tuple[Verification, Verification]:
        pdf = sign(render_report(samples.group_report(3)), laboratory, ANNA, PASSWORD, MEANING, AT)
        at = gap_of(pdf)[0] - 40
        return (
            verify_report(pdf, laboratory.trust(), log_of(pdf)),
            verify_report(flipped(pdf, at), laboratory.trust(), anything),
        )

    good, bad = asyncio.run(in_a_loop())
    assert good.ok
    assert "changed after signing" in said(bad)


def test_a_signed_report_is_accepted(laboratory: Keyring, signed: bytes) -> None:
    verification = verify_report(signed, laboratory.trust(), log_of(signed))
    assert verification.ok
    assert verification.findings == verification.notes == ()
    assert verification.signer == ANNA.full_name
    assert verification.signed_at == AT
    assert verification.sha256 == hashlib.sha256(signed).hexdigest()
    (signature,) = verification.signatures
    assert signature.meaning == MEANING
    assert not signature.time_stamped


def test_the_unsigned_report_is_the_beginning_of_the_signed_one(unsigned: bytes, signed: bytes) -> None:
    assert signed.startswith(unsigned)


def test_the_signature_is_pades_certified_against_any_change_and_stands_in_the_block(signed: bytes) -> None:
    reader = PdfFileReader(io.BytesIO(signed))
    (signature,) = reader.embedded_regular_signatures
    assert signature.sig_object["/SubFilter"] == "/ETSI.CAdES.detached"
    assert signature.docmdp_level is fields.MDPPerm.NO_CHANGES
    x0, y0, x1, y1 = (float(side) for side in signature.sig_field["/Rect"])
    assert (x1 - x0, y1 - y0) == pytest.approx((74 / 25.4 * 72, 20 / 25.4 * 72), abs=0.02)
    assert 0 < x0 < x1 < 595
    assert signature.sig_field["/AP"]["/N"] is not None


def test_without_log_or_list_the_verdict_says_what_was_not_checked(laboratory: Keyring, signed: bytes) -> None:
    verification = verify_report(signed, laboratory.ca_pem())
    assert verification.ok
    assert len(verification.notes) == 2
    assert "not compared with the case log" in verification.notes[0]
    assert "Revocation was not checked" in verification.notes[1]


def test_a_report_stays_valid_after_its_signers_certificate_expired_or_was_replaced(fresh_laboratory: Keyring) -> None:
    pdf = sign(render_report(samples.group_report(1)), fresh_laboratory, ANNA, PASSWORD, MEANING, AT)
    fresh_laboratory.issue(ANNA, "new password", AT + timedelta(days=1))
    assert verify_report(pdf, fresh_laboratory.trust(), log_of(pdf)).ok


def test_a_laboratory_can_verify_without_any_passphrase(laboratory: Keyring, signed: bytes, tmp_path: Path) -> None:
    shutil.copytree(laboratory._folder, tmp_path / "keys")
    assert verify_report(signed, Keyring(tmp_path).trust(), log_of(signed)).ok


# --- changed files


def test_one_byte_flipped_anywhere_in_the_signed_part_is_refused_even_without_log(
    laboratory: Keyring, signed: bytes
) -> None:
    start, end = gap_of(signed)
    random_places = random.Random(5)
    places = [
        random_places.choice((random_places.randrange(start), random_places.randrange(end, len(signed))))
        for _ in range(100)
    ]
    trust = laboratory.trust()
    for place in places:
        verification = verify_report(flipped(signed, place, 1 << random_places.randrange(8)), trust, anything)
        assert not verification.ok, place
        assert verification.findings


def test_one_byte_flipped_anywhere_in_the_file_is_refused_with_the_log(laboratory: Keyring, signed: bytes) -> None:
    """Most of the gap is noticed by its form; what the form cannot show, the SHA-256 in the log does."""
    random_places = random.Random(6)
    start, end = gap_of(signed)
    places = [random_places.randrange(len(signed)) for _ in range(30)]
    places += [random_places.randrange(start, end) for _ in range(30)]
    trust, log = laboratory.trust(), log_of(signed)
    for place in places:
        assert "not in this laboratory's case log" in said(verify_report(flipped(signed, place), trust, log)), place


def test_the_padding_of_the_signature_cannot_carry_anything(laboratory: Keyring, signed: bytes) -> None:
    _, end = gap_of(signed)
    hidden = signed[: end - 9] + b"DEADBEEF" + signed[end - 1 :]
    assert len(hidden) == len(signed)
    assert "part of the file that holds the signature" in said(verify_report(hidden, laboratory.trust(), anything))


def test_the_case_of_the_hexadecimal_digits_cannot_carry_anything(laboratory: Keyring, signed: bytes) -> None:
    start, end = gap_of(signed)
    lower = signed[:start] + signed[start:end].lower() + signed[end:]
    assert "part of the file that holds the signature" in said(verify_report(lower, laboratory.trust(), anything))


@pytest.mark.parametrize("extra", [b"\n", b"x", b"%%EOF\n", b"\x00" * 4096])
def test_appended_bytes_are_refused(laboratory: Keyring, signed: bytes, extra: bytes) -> None:
    assert "appended" in said(verify_report(signed + extra, laboratory.trust(), anything))


def with_page(pdf: bytes) -> bytes:
    writer: Any = IncrementalPdfFileWriter(io.BytesIO(pdf))
    page = generic.DictionaryObject(
        {
            generic.pdf_name("/Type"): generic.pdf_name("/Page"),
            generic.pdf_name("/MediaBox"): generic.ArrayObject(map(generic.NumberObject, (0, 0, 595, 842))),
            generic.pdf_name("/Resources"): generic.DictionaryObject(),
        }
    )
    writer.insert_page(page)
    output = io.BytesIO()
    writer.write(output)
    return output.getvalue()


def test_an_appended_page_is_refused(laboratory: Keyring, signed: bytes) -> None:
    words = said(verify_report(with_page(signed), laboratory.trust(), anything))
    assert "appended" in words
    assert "changed after signing" in words


def test_a_changed_title_in_a_new_revision_is_refused(laboratory: Keyring, signed: bytes) -> None:
    writer: Any = IncrementalPdfFileWriter(io.BytesIO(signed))
    writer.root["/Lang"] = generic.TextStringObject("xx")
    writer.update_root()
    output = io.BytesIO()
    writer.write(output)
    assert "appended" in said(verify_report(output.getvalue(), laboratory.trust(), anything))


def test_a_number_changed_in_the_text_is_refused(laboratory: Keyring) -> None:
    content = samples.group_report(5)
    one, other = (
        sign(render_report(c), laboratory, ANNA, PASSWORD, MEANING, AT)
        for c in (content, replace(content, headline="HER2 positive: ISH Group 1"))
    )
    start, end = gap_of(one)
    start_other, end_other = gap_of(other)
    signature = one[start : end - 1].rstrip(b"0").ljust(end_other - start_other - 1, b"0")
    swapped = other[:start_other] + signature + b">" + other[end_other:]
    assert len(swapped) == len(other)
    assert "content was changed after signing" in said(verify_report(swapped, laboratory.trust(), anything))


def test_a_report_that_is_cut_short_is_refused(laboratory: Keyring, signed: bytes) -> None:
    for length in (0, 4, 100, len(signed) // 2):
        assert not verify_report(signed[:length], laboratory.trust(), anything).ok
    assert "end of the file is missing" in said(verify_report(signed[:-1], laboratory.trust(), anything))


# --- files that are no reports


@pytest.mark.parametrize("data", [b"", b"hello", b"PK\x03\x04", b"\x89PNG\r\n\x1a\n", b" %PDF-1.4"])
def test_what_is_no_pdf_is_called_so(laboratory: Keyring, data: bytes) -> None:
    assert said(verify_report(data, laboratory.trust(), anything)) == "This is not a PDF file."


def test_an_unsigned_report_is_refused(laboratory: Keyring, unsigned: bytes) -> None:
    assert said(verify_report(unsigned, laboratory.trust(), anything)) == "The file carries no signature."


def test_a_preliminary_report_cannot_be_signed_or_accepted(laboratory: Keyring) -> None:
    pdf = render_report(samples.preliminary_report())
    assert not verify_report(pdf, laboratory.trust(), anything).ok
    with pytest.raises(SigningError, match="not a report"):
        sign(pdf, laboratory, ANNA, PASSWORD, MEANING, AT)


def test_a_good_file_that_the_log_does_not_know_is_refused(laboratory: Keyring, signed: bytes) -> None:
    words = said(verify_report(signed, laboratory.trust(), lambda _: False))
    assert words == "The file is not in this laboratory's case log: it was changed after signing, or never filed."


def test_a_file_beyond_all_size_is_refused_unread(
    laboratory: Keyring, signed: bytes, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("her2core.reporting.verify._MAX_BYTES", len(signed) - 1)
    assert "larger than any report" in said(verify_report(signed, laboratory.trust(), anything))


@settings(max_examples=40, deadline=None, suppress_health_check=[HealthCheck.function_scoped_fixture])
@given(st.data())
def test_no_file_makes_verification_fail_other_than_by_refusing(
    laboratory: Keyring, signed: bytes, data: st.DataObject
) -> None:
    """Slices cut out, doubled or replaced at random: never an exception, never accepted."""
    start = data.draw(st.integers(0, len(signed)))
    length = data.draw(st.integers(1, 4000))
    filling = data.draw(st.binary(max_size=60))
    mutant = signed[:start] + filling + signed[start + length :]
    if mutant != signed:
        assert not verify_report(mutant, laboratory.trust(), log_of(signed)).ok


@settings(max_examples=40, deadline=None, suppress_health_check=[HealthCheck.function_scoped_fixture])
@given(st.binary(max_size=3000))
def test_arbitrary_bytes_after_a_pdf_header_are_refused(laboratory: Keyring, tail: bytes) -> None:
    assert not verify_report(b"%PDF-1.4\n" + tail, laboratory.trust(), anything).ok


# --- wrong keys


def test_a_report_of_another_laboratory_is_refused(laboratory: Keyring, unsigned: bytes, tmp_path: Path) -> None:
    other = make_keyring(tmp_path)
    pdf = sign(unsigned, other, ANNA, PASSWORD, MEANING, AT)
    assert verify_report(pdf, other.trust(), anything).ok
    assert "not known to this laboratory" in said(verify_report(pdf, laboratory.trust(), anything))
    assert "not known to this laboratory" in said(verify_report(pdf, laboratory.ca_pem(), anything))


def test_a_certificate_of_the_root_that_is_not_in_the_list_is_refused(laboratory: Keyring, signed: bytes) -> None:
    trust = laboratory.trust()
    assert trust.keys is not None
    unlisted = replace(trust, keys=tuple(key for key in trust.keys if key.user_id != ANNA.id))
    assert "not in the laboratory's list" in said(verify_report(signed, unlisted, anything))


def test_a_report_signed_after_revocation_is_refused(fresh_laboratory: Keyring, unsigned: bytes) -> None:
    pdf = sign(unsigned, fresh_laboratory, ANNA, PASSWORD, MEANING, AT)
    fresh_laboratory.revoke(ANNA, "laptop stolen", AT - timedelta(hours=1))
    words = said(verify_report(pdf, fresh_laboratory.trust(), anything))
    assert "had been revoked on 24 Nov 2026 (laptop stolen)" in words


def test_a_report_signed_before_revocation_stays_valid_if_the_log_has_it(
    fresh_laboratory: Keyring, unsigned: bytes
) -> None:
    pdf = sign(unsigned, fresh_laboratory, ANNA, PASSWORD, MEANING, AT)
    fresh_laboratory.revoke(ANNA, "left", AT + timedelta(hours=1))
    assert verify_report(pdf, fresh_laboratory.trust(), log_of(pdf)).ok


def test_without_log_a_revoked_keys_claim_of_an_early_time_is_not_believed(
    fresh_laboratory: Keyring, unsigned: bytes
) -> None:
    pdf = sign(unsigned, fresh_laboratory, ANNA, PASSWORD, MEANING, AT)
    fresh_laboratory.revoke(ANNA, "laptop stolen", AT + timedelta(hours=1))
    assert "without the case log" in said(verify_report(pdf, fresh_laboratory.trust()))


def test_a_signature_dated_before_the_certificate_is_refused(
    laboratory: Keyring, unsigned: bytes, monkeypatch: pytest.MonkeyPatch
) -> None:
    early = samples.LONG_AGO - timedelta(days=30)
    signer = laboratory.unlock(ANNA, PASSWORD, AT)
    monkeypatch.setattr(Keyring, "unlock", lambda *_: signer)
    monkeypatch.setattr(Keyring, "key_of", lambda *_: None)
    pdf = sign(unsigned, laboratory, ANNA, PASSWORD, MEANING, early)
    monkeypatch.undo()
    assert not verify_report(pdf, laboratory.trust(), anything).ok


def test_a_signature_that_does_not_certify_is_refused(laboratory: Keyring, unsigned: bytes) -> None:
    pdf = sign_with_signer(unsigned, laboratory.unlock(ANNA, PASSWORD, AT), "Signature1", certify=False)
    assert "does not certify" in said(verify_report(pdf, laboratory.trust(), anything))


def test_an_imported_certificate_is_trusted_alone_and_not_its_issuer(
    fresh_laboratory: Keyring, unsigned: bytes
) -> None:
    fresh_laboratory.import_key(ANNA, external_pkcs12(), "from outside", PASSWORD, AT - timedelta(days=1))
    pdf = sign(unsigned, fresh_laboratory, ANNA, PASSWORD, MEANING, AT)
    verification = verify_report(pdf, fresh_laboratory.trust(), log_of(pdf))
    assert verification.ok, verification.findings
    assert verification.signer == ANNA.full_name
    stranger = sign_with(unsigned, external_pkcs12())
    assert "not known to this laboratory" in said(verify_report(stranger, fresh_laboratory.trust(), anything))


def sign_with(pdf: bytes, pkcs12: bytes) -> bytes:
    signer = SimpleSigner.load_pkcs12_data(pkcs12, [], passphrase=b"from outside")
    return sign_with_signer(pdf, signer, "Signature1", certify=True)


def sign_with_signer(pdf: bytes, signer: SimpleSigner, field: str, *, certify: bool) -> bytes:
    metadata = PdfSignatureMetadata(
        field,
        md_algorithm="sha256",
        subfilter=fields.SigSeedSubFilter.PADES,
        certify=certify,
        docmdp_permissions=fields.MDPPerm.NO_CHANGES,
    )
    output: io.BytesIO = PdfSigner(metadata, signer).sign_pdf(IncrementalPdfFileWriter(io.BytesIO(pdf)))
    return output.getvalue()


# --- signing


def test_a_wrong_password_signs_nothing(laboratory: Keyring, unsigned: bytes) -> None:
    with pytest.raises(SigningError, match="does not open your signing key"):
        sign(unsigned, laboratory, ANNA, "wrong", MEANING, AT)


@pytest.mark.parametrize("data", [b"", b"hello", b"%PDF-1.4\nnothing"])
def test_what_is_no_report_is_not_signed(laboratory: Keyring, data: bytes) -> None:
    with pytest.raises(SigningError, match="not a"):
        sign(data, laboratory, ANNA, PASSWORD, MEANING, AT)


def test_a_signed_report_takes_no_further_signature(laboratory: Keyring, signed: bytes) -> None:
    with pytest.raises(SigningError, match="no signature field left"):
        sign(signed, laboratory, BORIS, PASSWORD, MEANING, AT)


def test_a_time_without_zone_is_refused(laboratory: Keyring, unsigned: bytes) -> None:
    with pytest.raises(SigningError, match="time zone"):
        sign(unsigned, laboratory, ANNA, PASSWORD, MEANING, datetime(2026, 11, 24))


def test_two_people_sign_in_turn(laboratory: Keyring) -> None:
    first = sign(two_signatures_report(), laboratory, ANNA, PASSWORD, MEANING, AT)
    assert "A signature is still missing" in said(verify_report(first, laboratory.trust(), anything))
    both = sign(first, laboratory, BORIS, PASSWORD, "I agree.", AT + timedelta(minutes=9))
    verification = verify_report(both, laboratory.trust(), log_of(both))
    assert verification.ok, verification.findings
    assert [s.signer for s in verification.signatures] == [ANNA.full_name, BORIS.full_name]
    assert [s.meaning for s in verification.signatures] == [MEANING, "I agree."]
    assert both.startswith(first)


def test_between_two_signatures_nothing_else_can_be_slipped_in(laboratory: Keyring) -> None:
    first = sign(two_signatures_report(), laboratory, ANNA, PASSWORD, MEANING, AT)
    with pytest.raises(SigningError, match="earlier signature on this report is not valid"):
        sign(with_page(first), laboratory, BORIS, PASSWORD, MEANING, AT)
    pdf = sign_with_signer(with_page(first), laboratory.unlock(BORIS, PASSWORD, AT), "Signature2", certify=False)
    assert "appended" in said(verify_report(pdf, laboratory.trust(), anything))


def test_the_same_person_cannot_sign_twice(laboratory: Keyring) -> None:
    first = sign(two_signatures_report(), laboratory, ANNA, PASSWORD, MEANING, AT)
    with pytest.raises(SigningError, match="another person"):
        sign(first, laboratory, ANNA, PASSWORD, MEANING, AT)


# --- time-stamps


def tsa_key_pair() -> tuple[bytes, bytes]:
    key = rsa.generate_private_key(65537, 2048)
    name = x509.Name([x509.NameAttribute(NameOID.COMMON_NAME, "Test time-stamp authority")])
    certificate = (
        x509.CertificateBuilder()
        .subject_name(name)
        .issuer_name(name)
        .public_key(key.public_key())
        .serial_number(x509.random_serial_number())
        .not_valid_before(samples.LONG_AGO)
        .not_valid_after(datetime(2099, 1, 1, tzinfo=UTC))
        .add_extension(x509.KeyUsage(True, False, False, False, False, False, False, False, False), critical=True)
        .add_extension(x509.ExtendedKeyUsage([ExtendedKeyUsageOID.TIME_STAMPING]), critical=True)
        .sign(key, hashes.SHA256())
    )
    private = key.private_bytes(Encoding.DER, PrivateFormat.PKCS8, NoEncryption())
    return private, certificate.public_bytes(Encoding.PEM)


@pytest.fixture
def authority() -> Iterator[tuple[str, bytes]]:
    """A time-stamp authority on this machine that says it is AT; its address and root."""
    private, pem = tsa_key_pair()
    (certificate,) = load_certs_from_pemder_data(pem)
    dummy = DummyTimeStamper(certificate, load_private_key_from_pemder_data(private, None), fixed_dt=AT)

    class Answer(BaseHTTPRequestHandler):
        def do_POST(self) -> None:
            asked = self.rfile.read(int(self.headers["Content-Length"]))
            request = importlib.import_module("asn1crypto.tsp").TimeStampReq.load(asked)
            body = dummy.request_tsa_response(request).dump()
            self.send_response(200)
            self.send_header("Content-Type", "application/timestamp-reply")
            self.end_headers()
            self.wfile.write(body)

        def log_message(self, *_: object) -> None:
            pass

    with HTTPServer(("127.0.0.1", 0), Answer) as server:
        thread = Thread(target=server.serve_forever)
        thread.start()
        yield f"http://127.0.0.1:{server.server_port}/", pem
        server.shutdown()
        thread.join()


def test_a_time_stamp_is_shown_and_proves_signing_before_revocation(
    fresh_laboratory: Keyring, unsigned: bytes, tmp_path: Path, authority: tuple[str, bytes]
) -> None:
    url, root = authority
    pdf = sign(unsigned, fresh_laboratory, ANNA, PASSWORD, MEANING, AT, timestamper=time_stamper(url))
    words = said(verify_report(pdf, fresh_laboratory.trust(), anything))
    assert "time-stamp is not valid, or its authority is not trusted" in words
    (tmp_path / "keys" / "tsa-roots.pem").write_bytes(root)
    fresh_laboratory.revoke(ANNA, "left", AT + timedelta(hours=1))
    verification = verify_report(pdf, fresh_laboratory.trust())
    assert verification.ok, verification.findings
    assert verification.signatures[0].time_stamped


def test_an_authority_that_does_not_answer_is_said(laboratory: Keyring, unsigned: bytes) -> None:
    with pytest.raises(SigningError, match="time-stamp authority did not answer"):
        sign(unsigned, laboratory, ANNA, PASSWORD, MEANING, AT, timestamper=time_stamper("http://127.0.0.1:9/", 2))


# --- another reader's opinion


def pdfsig(pdf: bytes, folder: Path) -> str:
    if shutil.which("pdfsig") is None:
        pytest.skip("pdfsig is not installed (Debian: poppler-utils); agreement with it was not tested")
    path = folder / "report.pdf"
    path.write_bytes(pdf)
    return subprocess.run(["pdfsig", str(path)], capture_output=True, text=True, check=False).stdout


def test_pdfsig_agrees_on_a_good_report(signed: bytes, tmp_path: Path) -> None:
    words = pdfsig(signed, tmp_path)
    assert "Signature is Valid" in words
    assert "Total document signed" in words
    assert "Signer Certificate Common Name: Dr. Anna Lindqvist" in words
    assert "ETSI.CAdES.detached" in words


def test_pdfsig_agrees_on_two_signatures(laboratory: Keyring, tmp_path: Path) -> None:
    first = sign(two_signatures_report(), laboratory, ANNA, PASSWORD, MEANING, AT)
    both = sign(first, laboratory, BORIS, PASSWORD, "I agree.", AT + timedelta(minutes=9))
    words = pdfsig(both, tmp_path)
    assert words.count("Signature is Valid") == 2


def test_pdfsig_agrees_on_changed_reports(signed: bytes, tmp_path: Path) -> None:
    start, end = gap_of(signed)
    stream = signed.index(b"stream", 2000) + 40
    for place in (stream, (end + len(signed)) // 2):
        assert not start <= place < end
        assert "Signature is Valid" not in pdfsig(flipped(signed, place), tmp_path)
    assert "Not total document signed" in pdfsig(with_page(signed), tmp_path)
