"""Keys are private, belong to one person, and the list of them cannot be changed unnoticed."""

from __future__ import annotations

import json
import stat
import threading
import unicodedata
from dataclasses import replace
from datetime import UTC, datetime, timedelta
from pathlib import Path
from typing import Literal, get_args

import pytest
from cryptography import x509
from cryptography.hazmat.primitives import hashes
from cryptography.hazmat.primitives.asymmetric import ec, ed25519, rsa
from cryptography.hazmat.primitives.serialization import BestAvailableEncryption
from cryptography.hazmat.primitives.serialization.pkcs12 import (
    load_key_and_certificates,
    serialize_key_and_certificates,
)
from cryptography.x509.oid import NameOID

from her2core.errors import IntegrityError, SigningError
from her2core.records import Role
from her2core.reporting import keys, pkcs12_guard
from her2core.reporting.keys import Keyring
from tests.reporting import samples
from tests.reporting.conftest import CA_PASSPHRASE, PASSWORD, make_keyring

ANNA, BORIS = samples.ANNA, samples.BORIS
NOW = samples.SIGNED_AT


def files_of(folder: Path) -> list[Path]:
    return [path for path in folder.rglob("*") if path.is_file()]


def external_pkcs12(
    key: ec.EllipticCurvePrivateKey | rsa.RSAPrivateKey | ed25519.Ed25519PrivateKey | None = None,
    *,
    signs: bool = True,
    until: datetime | None = None,
    passphrase: bytes = b"from outside",
) -> bytes:
    """A key that another authority might have issued."""
    key = key or ec.generate_private_key(ec.SECP256R1())
    name = x509.Name([x509.NameAttribute(NameOID.COMMON_NAME, "Anna Lindqvist (national ID)")])
    usage = x509.KeyUsage(not signs, signs, False, False, False, False, False, False, False)
    certificate = (
        x509.CertificateBuilder()
        .subject_name(name)
        .issuer_name(name)
        .public_key(key.public_key())
        .serial_number(x509.random_serial_number())
        .not_valid_before(samples.LONG_AGO)
        .not_valid_after(until or datetime(2030, 1, 1, tzinfo=UTC))
        .add_extension(usage, critical=True)
        .sign(key, None if isinstance(key, ed25519.Ed25519PrivateKey) else hashes.SHA256())
    )
    return serialize_key_and_certificates(b"x", key, certificate, None, BestAvailableEncryption(passphrase))


def test_private_keys_and_their_folder_are_private(fresh_laboratory: Keyring, tmp_path: Path) -> None:
    keys = tmp_path / "keys"
    assert stat.S_IMODE(keys.stat().st_mode) == 0o700
    assert len(list(keys.glob("*.p12"))) == 3
    assert all(stat.S_IMODE(path.stat().st_mode) == 0o600 for path in files_of(keys))
    assert fresh_laboratory.problems() == ()


def test_no_passphrase_is_stored_anywhere(fresh_laboratory: Keyring, tmp_path: Path) -> None:
    for path in files_of(tmp_path):
        data = path.read_bytes()
        assert PASSWORD.encode() not in data
        assert CA_PASSPHRASE.encode() not in data
        assert b"PRIVATE KEY" not in data


def test_a_key_file_does_not_open_with_the_bare_password(fresh_laboratory: Keyring, tmp_path: Path) -> None:
    """The password is stretched first, so guessing against the file costs a scrypt each time."""
    (path,) = (tmp_path / "keys").glob("user-1-*.p12")
    with pytest.raises(ValueError, match="password"):
        load_key_and_certificates(path.read_bytes(), PASSWORD.encode())


def test_the_right_password_opens_the_key_of_its_owner_only(laboratory: Keyring) -> None:
    signer = laboratory.unlock(ANNA, PASSWORD, NOW)
    assert signer.signing_cert is not None
    assert signer.signing_cert.subject.native["common_name"] == "Dr. Anna Lindqvist"
    with pytest.raises(SigningError, match="does not open"):
        laboratory.unlock(ANNA, PASSWORD + " ", NOW)
    with pytest.raises(SigningError, match="does not open"):
        laboratory.unlock(ANNA, "", NOW)


TYPED = "Überaus großes Geheimnis 77"
Spelling = Literal["NFC", "NFD", "NFKC", "NFKD"]
SPELLINGS: tuple[Spelling, ...] = get_args(Spelling)


@pytest.mark.parametrize("chosen", SPELLINGS)
def test_a_password_opens_the_key_however_its_letters_are_composed(fresh_laboratory: Keyring, chosen: Spelling) -> None:
    """One keyboard sends Ü as one character, another as U and two dots."""
    change(fresh_laboratory, PASSWORD, unicodedata.normalize(chosen, TYPED))
    for typed in SPELLINGS:
        fresh_laboratory.unlock(ANNA, unicodedata.normalize(typed, TYPED), NOW)
    with pytest.raises(SigningError, match="does not open"):
        fresh_laboratory.unlock(ANNA, TYPED.replace("Ü", "U"), NOW)


@pytest.mark.parametrize("spelling", SPELLINGS)
def test_keys_locked_by_0_1_still_open_as_typed(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, spelling: Spelling
) -> None:
    """It locked the root's key and a person's with whatever spelling was typed."""
    typed = unicodedata.normalize(spelling, TYPED)
    with monkeypatch.context() as of_0_1:
        of_0_1.setattr(keys, "normalised", str)
        old = Keyring(tmp_path, typed)
        old.ensure_laboratory_ca("Northbank Molecular Pathology", samples.LONG_AGO)
        old.issue(ANNA, typed, samples.LONG_AGO)
    keyring = Keyring(tmp_path, typed)
    keyring.issue(BORIS, PASSWORD, samples.LONG_AGO)
    assert keyring.unlock(ANNA, typed, NOW).signing_cert is not None
    change(keyring, typed, typed)
    keyring.unlock(ANNA, unicodedata.normalize("NFD", TYPED), NOW)
    keyring.unlock(ANNA, unicodedata.normalize("NFC", TYPED), NOW)


def test_a_damaged_key_file_is_refused_in_words(fresh_laboratory: Keyring, tmp_path: Path) -> None:
    (path,) = (tmp_path / "keys").glob("user-1-*.p12")
    whole = path.read_bytes()
    for damaged in (whole[: len(whole) // 2], b"", b"not a key", whole[:-40] + bytes(40)):
        path.write_bytes(damaged)
        with pytest.raises(SigningError, match="or the key file is damaged"):
            fresh_laboratory.unlock(ANNA, PASSWORD, NOW)


def test_a_key_file_put_in_place_of_another_is_refused(fresh_laboratory: Keyring, tmp_path: Path) -> None:
    (annas,) = (tmp_path / "keys").glob("user-1-*.p12")
    (boriss,) = (tmp_path / "keys").glob("user-2-*.p12")
    annas.write_bytes(boriss.read_bytes())
    with pytest.raises(SigningError):
        fresh_laboratory.unlock(ANNA, PASSWORD, NOW)


def test_a_lost_key_file_is_named_by_check_and_at_signing(fresh_laboratory: Keyring, tmp_path: Path) -> None:
    (path,) = (tmp_path / "keys").glob("user-1-*.p12")
    path.unlink()
    assert fresh_laboratory.problems() == ("The key file of user 1 is missing; issue a new key.",)
    with pytest.raises(SigningError, match="missing"):
        fresh_laboratory.unlock(ANNA, PASSWORD, NOW)


def test_check_names_a_key_that_others_can_read(fresh_laboratory: Keyring, tmp_path: Path) -> None:
    (tmp_path / "keys" / "laboratory-ca.p12").chmod(0o640)
    assert fresh_laboratory.problems() == (
        "laboratory-ca.p12 in the keys folder can be read by other users of this machine; set its mode to 0600.",
    )


def test_signing_needs_no_ca_passphrase_but_issuing_and_revoking_do(fresh_laboratory: Keyring, tmp_path: Path) -> None:
    without = Keyring(tmp_path)
    assert without.has_key(ANNA)
    without.unlock(ANNA, PASSWORD, NOW)
    with pytest.raises(SigningError, match="HER2CORE_CA_PASSPHRASE"):
        without.issue(ANNA, PASSWORD)
    with pytest.raises(SigningError, match="HER2CORE_CA_PASSPHRASE"):
        without.revoke(ANNA, "lost")
    wrong = Keyring(tmp_path, "wrong")
    with pytest.raises(SigningError, match="does not open the laboratory's root key"):
        wrong.issue(ANNA, PASSWORD)


def test_the_root_is_made_once(fresh_laboratory: Keyring) -> None:
    before = fresh_laboratory.ca_pem()
    assert fresh_laboratory.ensure_laboratory_ca("Another name") == before


def test_a_laboratory_without_keys_says_so(tmp_path: Path) -> None:
    keyring = Keyring(tmp_path, CA_PASSPHRASE)
    assert not keyring.has_laboratory_ca()
    assert not keyring.has_key(ANNA)
    assert keyring.problems() == ()
    with pytest.raises(SigningError, match="no signing keys yet"):
        keyring.trust()
    with pytest.raises(SigningError, match="name"):
        keyring.ensure_laboratory_ca("  ")
    assert not keyring.has_laboratory_ca()


@pytest.mark.parametrize("role", [Role.LAB_MANAGER, Role.ADMINISTRATOR])
def test_only_active_pathologists_get_keys(fresh_laboratory: Keyring, role: Role) -> None:
    with pytest.raises(SigningError, match="active pathologist"):
        fresh_laboratory.issue(replace(ANNA, id=9, role=role), PASSWORD)
    with pytest.raises(SigningError, match="active pathologist"):
        fresh_laboratory.issue(replace(ANNA, id=9, active=False), PASSWORD)
    with pytest.raises(SigningError, match="password"):
        fresh_laboratory.issue(replace(ANNA, id=9), "")


def test_a_new_key_retires_the_one_before(fresh_laboratory: Keyring) -> None:
    old = fresh_laboratory.key_of(ANNA, NOW)
    new = fresh_laboratory.issue(ANNA, "another password", NOW)
    records = {record.serial: record for record in fresh_laboratory.records()}
    assert old is not None
    assert records[old.serial].revoked_at == NOW
    assert records[old.serial].revoked_reason == "replaced by a new key"
    assert fresh_laboratory.key_of(ANNA, NOW + timedelta(seconds=1)) == new
    assert fresh_laboratory.key_of(BORIS, NOW) is not None
    with pytest.raises(SigningError, match="does not open"):
        fresh_laboratory.unlock(ANNA, PASSWORD, NOW + timedelta(seconds=1))


def test_a_revoked_or_expired_key_cannot_sign(fresh_laboratory: Keyring) -> None:
    (revoked,) = fresh_laboratory.revoke(ANNA, "left the laboratory", NOW)
    assert revoked.revoked_reason == "left the laboratory"
    assert not fresh_laboratory.has_key(ANNA)
    with pytest.raises(SigningError, match=r"was revoked on .* \(left the laboratory\)"):
        fresh_laboratory.unlock(ANNA, PASSWORD, NOW)
    with pytest.raises(SigningError, match="expired on"):
        fresh_laboratory.unlock(BORIS, PASSWORD, samples.LONG_AGO + timedelta(days=3 * 365))
    with pytest.raises(SigningError, match="valid only from"):
        fresh_laboratory.unlock(BORIS, PASSWORD, samples.LONG_AGO - timedelta(days=1))


@pytest.mark.parametrize("back", [timedelta(seconds=1), timedelta(days=90)])
def test_a_clock_set_back_revives_no_revoked_key(fresh_laboratory: Keyring, back: timedelta) -> None:
    fresh_laboratory.revoke(ANNA, "lost", NOW)
    assert fresh_laboratory.key_of(ANNA, NOW - back) is None
    with pytest.raises(SigningError, match=r"was revoked on .* \(lost\)"):
        fresh_laboratory.unlock(ANNA, PASSWORD, NOW - back)


def test_the_first_revocation_stands(fresh_laboratory: Keyring) -> None:
    fresh_laboratory.revoke(ANNA, "lost", NOW)
    assert fresh_laboratory.revoke(ANNA, "again", NOW + timedelta(days=1)) == ()
    with pytest.raises(SigningError, match="why"):
        fresh_laboratory.revoke(BORIS, " ")


def change(keyring: Keyring, old: str, new: str) -> None:
    with keyring.changing_passphrase(ANNA, old, new):
        pass


def test_a_change_that_the_account_does_not_follow_leaves_the_key_as_it_was(fresh_laboratory: Keyring) -> None:
    with (
        pytest.raises(RuntimeError, match="disk"),
        fresh_laboratory.changing_passphrase(ANNA, PASSWORD, "new password"),
    ):
        raise RuntimeError("the disk is full")
    fresh_laboratory.unlock(ANNA, PASSWORD, NOW)
    with pytest.raises(SigningError, match="does not open"):
        fresh_laboratory.unlock(ANNA, "new password", NOW)
    assert not list(fresh_laboratory._folder.glob("*.coming"))


@pytest.mark.parametrize("by_another_change", [False, True])
def test_a_change_that_was_cut_off_is_made_good(fresh_laboratory: Keyring, by_another_change: bool) -> None:
    """kill -9 between the account's password and the key's: whichever password the account has opens the key."""
    with pytest.raises(RuntimeError), fresh_laboratory.changing_passphrase(ANNA, PASSWORD, "new password"):
        (coming,) = fresh_laboratory._folder.glob("*.coming")
        left = coming.read_bytes()
        raise RuntimeError
    coming.write_bytes(left)
    fresh_laboratory.unlock(ANNA, PASSWORD, NOW)  # the account was not reached
    if by_another_change:
        change(fresh_laboratory, "new password", "a third password")
        fresh_laboratory.unlock(ANNA, "a third password", NOW)
    else:
        fresh_laboratory.unlock(ANNA, "new password", NOW)
    assert not coming.exists()
    with pytest.raises(SigningError, match="does not open"):
        fresh_laboratory.unlock(ANNA, PASSWORD, NOW)


def test_a_changed_password_opens_the_same_key(fresh_laboratory: Keyring) -> None:
    before = fresh_laboratory.key_of(ANNA, NOW)
    with pytest.raises(SigningError, match="does not open"):
        change(fresh_laboratory, "wrong", "new password")
    change(fresh_laboratory, PASSWORD, "new password")
    fresh_laboratory.unlock(ANNA, "new password", NOW)
    assert fresh_laboratory.key_of(ANNA, NOW) == before
    with pytest.raises(SigningError, match="does not open"):
        fresh_laboratory.unlock(ANNA, PASSWORD, NOW)


@pytest.mark.parametrize(
    "tamper",
    [
        lambda outer: outer["body"].replace('"revoked_at": "2026-11-24T09:03:05+00:00"', '"revoked_at": null'),
        lambda outer: outer["body"].replace('"user_id": 2', '"user_id": 1'),
        lambda outer: outer["body"] + " ",
        lambda outer: 7,
    ],
)
def test_a_list_of_keys_changed_by_hand_is_noticed(fresh_laboratory: Keyring, tmp_path: Path, tamper: object) -> None:
    fresh_laboratory.revoke(ANNA, "lost", NOW)
    path = tmp_path / "keys" / "registry.json"
    outer = json.loads(path.read_bytes())
    changed = {**outer, "body": tamper(outer)}  # type: ignore[operator]
    assert changed != outer
    path.write_text(json.dumps(changed))
    with pytest.raises(IntegrityError, match="changed outside her2core"):
        fresh_laboratory.records()
    with pytest.raises(IntegrityError):
        fresh_laboratory.unlock(BORIS, PASSWORD, NOW)
    assert any("changed outside her2core" in problem for problem in fresh_laboratory.problems())


@pytest.mark.parametrize("data", [b"", b"{}", b"[]", b"null", b"\xff\xfe", b'{"body": "{}", "signature": "AA=="}'])
def test_a_broken_list_of_keys_is_noticed(fresh_laboratory: Keyring, tmp_path: Path, data: bytes) -> None:
    (tmp_path / "keys" / "registry.json").write_bytes(data)
    with pytest.raises(IntegrityError):
        fresh_laboratory.records()


def test_a_list_of_another_laboratory_is_noticed(fresh_laboratory: Keyring, tmp_path: Path) -> None:
    make_keyring(tmp_path / "other")
    (tmp_path / "keys" / "registry.json").write_bytes((tmp_path / "other" / "keys" / "registry.json").read_bytes())
    with pytest.raises(IntegrityError):
        fresh_laboratory.records()


def test_a_missing_list_stops_signing(fresh_laboratory: Keyring, tmp_path: Path) -> None:
    (tmp_path / "keys" / "registry.json").unlink()
    with pytest.raises(SigningError, match="Restore"):
        fresh_laboratory.unlock(ANNA, PASSWORD, NOW)


def test_keys_issued_at_the_same_time_are_all_listed(fresh_laboratory: Keyring) -> None:
    people = [replace(ANNA, id=10 + i, full_name=f"Reader {i}") for i in range(3)]
    threads = [threading.Thread(target=fresh_laboratory.issue, args=(person, PASSWORD)) for person in people]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    assert {record.user_id for record in fresh_laboratory.records()} == {1, 2, 10, 11, 12}


def test_a_folder_that_cannot_be_written_is_said(tmp_path: Path) -> None:
    (tmp_path / "keys").write_text("a file where the folder should be")
    with pytest.raises(SigningError, match="cannot be written"):
        Keyring(tmp_path, CA_PASSPHRASE).ensure_laboratory_ca("Northbank")


def test_names_longer_than_a_certificate_allows_are_cut_there(fresh_laboratory: Keyring) -> None:
    record = fresh_laboratory.issue(replace(ANNA, id=9, full_name="Đ" * 90), PASSWORD, NOW)
    assert record.full_name == "Đ" * 90
    certificate = x509.load_pem_x509_certificate(record.certificate_pem.encode())
    assert certificate.subject.get_attributes_for_oid(NameOID.COMMON_NAME)[0].value == "Đ" * 32


# --- keys from outside


@pytest.mark.parametrize("kind", ["ec", "rsa"])
def test_an_external_key_is_taken_over_under_the_persons_password(fresh_laboratory: Keyring, kind: str) -> None:
    key = rsa.generate_private_key(65537, 2048) if kind == "rsa" else ec.generate_private_key(ec.SECP384R1())
    record = fresh_laboratory.import_key(ANNA, external_pkcs12(key), "from outside", PASSWORD, NOW)
    assert record.external
    assert fresh_laboratory.key_of(ANNA, NOW) == record
    signer = fresh_laboratory.unlock(ANNA, PASSWORD, NOW)
    assert signer.signing_cert is not None
    assert signer.signing_cert.subject.native["common_name"] == "Anna Lindqvist (national ID)"


def test_unusable_external_keys_are_refused(fresh_laboratory: Keyring) -> None:
    cases = {
        "with that passphrase": (external_pkcs12(), "wrong"),
        "too short": (external_pkcs12(rsa.generate_private_key(65537, 1024)), "from outside"),
        "Only EC and RSA": (external_pkcs12(ed25519.Ed25519PrivateKey.generate()), "from outside"),
        "not meant for signing": (external_pkcs12(signs=False), "from outside"),
        "not valid today": (external_pkcs12(until=datetime(2026, 3, 1, tzinfo=UTC)), "from outside"),
        "cannot be opened": (b"\x30\x82" + b"A" * 500, "from outside"),
        "too large": (bytes(pkcs12_guard.MAX_BYTES + 1), "from outside"),
    }
    for words, (data, passphrase) in cases.items():
        with pytest.raises(SigningError, match=words):
            fresh_laboratory.import_key(ANNA, data, passphrase, PASSWORD, NOW)
    assert len(fresh_laboratory.records()) == 2


def test_the_same_external_key_is_not_taken_twice(fresh_laboratory: Keyring) -> None:
    data = external_pkcs12()
    fresh_laboratory.import_key(ANNA, data, "from outside", PASSWORD, NOW)
    with pytest.raises(SigningError, match="already"):
        fresh_laboratory.import_key(BORIS, data, "from outside", PASSWORD, NOW)


def test_a_pkcs12_that_asks_for_billions_of_rounds_is_given_up(
    fresh_laboratory: Keyring, monkeypatch: pytest.MonkeyPatch
) -> None:
    """The number of rounds of the file's checksum is raised to 2^31 - 1: hours of work for whoever opens it."""
    monkeypatch.setattr(pkcs12_guard, "_SECONDS", 2)
    data = external_pkcs12()
    at = data.rindex(b"\x02\x02\x08\x00")  # INTEGER 2048, the last field of the file
    hostile = bytearray(data[:at] + b"\x02\x04\x7f\xff\xff\xff")
    lengthen(hostile, at, 2)
    with pytest.raises(SigningError, match="cannot be opened"):
        fresh_laboratory.import_key(ANNA, bytes(hostile), "from outside", PASSWORD, NOW)


def lengthen(data: bytearray, end: int, by: int) -> None:
    """Add `by` to the lengths of the outer sequence and of the last element in it (MacData)."""
    outer = int.from_bytes(data[2:4], "big") + by
    data[2:4] = outer.to_bytes(2, "big")
    start = next(i for i in range(end - 1, 0, -1) if data[i] == 0x30 and i + 2 + data[i + 1] == end + 4)
    data[start + 1] += by
