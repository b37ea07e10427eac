"""A signed report that somebody changed, or signed with another key: never accepted, whatever the case log knows."""

from __future__ import annotations

import random
import shutil
from dataclasses import replace
from datetime import timedelta
from pathlib import Path

import pytest

from her2core.errors import SigningError
from her2core.reporting.content import ReportKind
from her2core.reporting.keys import Keyring
from her2core.reporting.pdf import render_report
from her2core.reporting.signing import sign
from her2core.reporting.verify import verify_report
from tests.proof import LONG, Proof, Record, times
from tests.reporting import samples
from tests.reporting.conftest import MEANING, PASSWORD, make_keyring
from tests.reporting.test_keys import external_pkcs12
from tests.reporting.test_verify import (
    anything,
    flipped,
    gap_of,
    log_of,
    pdfsig,
    sign_with,
    two_signatures_report,
    with_page,
)

ANNA, AT = samples.ANNA, samples.SIGNED_AT


@pytest.mark.timeout(1800)
def test_one_changed_byte_anywhere_in_a_report_is_found_by_the_signature_alone(
    record_property: Record, laboratory: Keyring, signed: bytes
) -> None:
    proof = Proof(record_property, "Attacks", "One byte of a signed report flipped at a random place")
    assert verify_report(signed, laboratory.trust(), anything).ok
    chance = random.Random(500)
    for _ in range(times(12, 500)):
        mutant = flipped(signed, chance.randrange(len(signed)), chance.randrange(1, 256))
        verdict = verify_report(mutant, laboratory.trust(), anything)
        assert not verdict.ok
        assert verdict.findings
        proof.tries += 1
    proof.holds("every one refused by the signature alone, as if the case log knew the file")


def test_bytes_behind_a_report_are_found(record_property: Record, laboratory: Keyring, signed: bytes) -> None:
    proof = Proof(record_property, "Attacks", "Bytes appended to a signed report: 1 to 4,096, also a second PDF ending")
    chance = random.Random(7)
    tails = [b"\n", b"\0", b"%%EOF\n", b"\n%%EOF", signed[-600:], signed]
    tails += [chance.randbytes(chance.randrange(1, 4096)) for _ in range(times(4, 100))]
    for tail in tails:
        verdict = verify_report(signed + tail, laboratory.trust(), anything)
        assert any("appended" in finding for finding in verdict.findings), tail[:20]
        proof.tries += 1
    proof.holds("refused: something was appended")


def test_a_page_that_was_added_is_found(record_property: Record, laboratory: Keyring, signed: bytes) -> None:
    proof = Proof(record_property, "Attacks", "A page appended to a signed report as a new revision")
    verdict = verify_report(with_page(signed), laboratory.trust(), anything)
    assert any("appended" in finding for finding in verdict.findings)
    proof.tries += 1
    proof.holds("refused: something was appended")


def test_a_signature_of_another_report_is_found(record_property: Record, laboratory: Keyring, signed: bytes) -> None:
    proof = Proof(record_property, "Attacks", "The signature of one report put into another one")
    for group in (1, 2, 4, 5):
        other = sign(render_report(samples.group_report(group)), laboratory, ANNA, PASSWORD, MEANING, AT)
        (start, end), (from_, to) = gap_of(other), gap_of(signed)
        carried = signed[from_ : to - 1].rstrip(b"0").ljust(end - start - 1, b"0")
        swapped = other[:start] + carried + b">" + other[end:]
        assert len(swapped) == len(other)
        verdict = verify_report(swapped, laboratory.trust(), anything)
        assert any("changed after signing" in finding for finding in verdict.findings)
        proof.tries += 1
    proof.holds("refused: the content is not what was signed")


def test_keys_of_others_sign_nothing(
    record_property: Record, fresh_laboratory: Keyring, unsigned: bytes, tmp_path: Path
) -> None:
    proof = Proof(
        record_property, "Attacks", "Signature by another laboratory's CA of the same name, and by a stranger"
    )
    other = make_keyring(tmp_path / "other")
    for pdf in (sign(unsigned, other, ANNA, PASSWORD, MEANING, AT), sign_with(unsigned, external_pkcs12())):
        verdict = verify_report(pdf, fresh_laboratory.trust(), anything)
        assert any("not known to this laboratory" in finding for finding in verdict.findings)
        proof.tries += 1
    proof.holds("refused: the certificate is not of this laboratory's root, whatever name it bears")


@pytest.mark.timeout(1800)
def test_another_reader_agrees_on_what_is_valid_and_what_is_not(
    record_property: Record, laboratory: Keyring, tmp_path: Path
) -> None:
    proof = Proof(record_property, "Attacks", "her2core (pyHanko) and poppler's pdfsig judge the same reports")
    contents = {f"Group {group}": samples.group_report(group) for group in (1, 2, 3, 4, 5)}
    contents |= {
        "heterogeneous": samples.heterogeneous_report(),
        "indeterminate": samples.indeterminate_report(),
        "adjudicated": samples.adjudicated_report(),
        "amended": samples.amended_report(),
        "addendum": replace(samples.amended_report(), kind=ReportKind.ADDENDUM),
    }
    chance, good = random.Random(21), 0
    for content in [*contents.values()] if LONG else [contents["Group 3"], contents["amended"]]:
        pdf = sign(render_report(content), laboratory, ANNA, PASSWORD, MEANING, AT)
        assert verify_report(pdf, laboratory.trust(), log_of(pdf)).ok
        assert accepted_by_pdfsig(pdf, tmp_path)
        good += 1
        start, end = gap_of(pdf)
        for _ in range(times(2, 20)):
            place = chance.choice([chance.randrange(start), chance.randrange(end, len(pdf))])
            mutant = flipped(pdf, place, chance.randrange(1, 256))
            assert not verify_report(mutant, laboratory.trust(), anything).ok
            assert not accepted_by_pdfsig(mutant, tmp_path), place
            proof.tries += 1
        for longer in (pdf + b"\n%%EOF\n", with_page(pdf)):
            assert not verify_report(longer, laboratory.trust(), anything).ok
            assert not accepted_by_pdfsig(longer, tmp_path)
            proof.tries += 1
    first = sign(two_signatures_report(), laboratory, ANNA, PASSWORD, MEANING, AT)
    both = sign(first, laboratory, samples.BORIS, PASSWORD, MEANING, AT + timedelta(minutes=9))
    assert verify_report(both, laboratory.trust(), log_of(both)).ok
    assert accepted_by_pdfsig(both, tmp_path, signatures=2)
    proof.tries += good + 1
    changed = proof.tries - good - 1
    proof.holds(f"both accept all {good + 1} signed reports and neither any of the {changed} changed ones")


def accepted_by_pdfsig(pdf: bytes, folder: Path, signatures: int = 1) -> bool:
    """Whether pdfsig calls every signature valid and the whole file signed (of two, by the last one)."""
    words = pdfsig(pdf, folder)
    whole = words.count("- Total document signed") == 1
    return words.count("Signature is Valid.") == words.count("Signature Validation:") == signatures and whole


def test_a_revoked_key_signs_nothing(
    record_property: Record, fresh_laboratory: Keyring, unsigned: bytes, tmp_path: Path
) -> None:
    what = "Signature by a revoked key, one that claims an earlier time, and a clock set back"
    proof = Proof(record_property, "Attacks", what)
    pdf = sign(unsigned, fresh_laboratory, ANNA, PASSWORD, MEANING, AT)
    shutil.copytree(fresh_laboratory._folder, tmp_path / "stolen" / "keys")
    fresh_laboratory.revoke(ANNA, "laptop stolen", AT - timedelta(hours=1))
    assert any("had been revoked" in f for f in verify_report(pdf, fresh_laboratory.trust(), anything).findings)
    with pytest.raises(SigningError, match="revoked"):  # nor does a clock that was set back revive it here
        sign_before(unsigned, fresh_laboratory)
    thief = sign_before(unsigned, Keyring(tmp_path / "stolen"))
    assert not verify_report(thief, fresh_laboratory.trust(), log_of(pdf)).ok  # signed "before", but never filed
    assert not verify_report(thief, fresh_laboratory.trust()).ok
    proof.tries += 4
    proof.holds("refused; an earlier time is believed only where the case log or a time-stamp proves it")


def sign_before(unsigned: bytes, keyring: Keyring) -> bytes:
    """What the holder of a stolen key does: signs today and writes a time before the revocation."""
    return sign(unsigned, keyring, ANNA, PASSWORD, MEANING, AT - timedelta(hours=2))
