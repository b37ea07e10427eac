"""The laboratory's own certificate authority and one signing key for each pathologist.

    DATA/keys/                      mode 0700
        laboratory-ca.pem           the root certificate, public: hand it to whoever verifies reports
        laboratory-ca.p12           its key, under the CA passphrase (HER2CORE_CA_PASSPHRASE, never stored)
        registry.json               who has which certificate, revocations; signed by the root
        user-ID-SERIAL.p12          a pathologist's key, under that person's password
        tsa-roots.pem               optional: roots of the time-stamp authorities that this laboratory trusts

Every private key is an encrypted PKCS#12 file of mode 0600. Its passphrase is brought to one spelling, as the account's
password is, and stretched with scrypt first, so that a stolen file is no easier to guess than the argon2id hash of the
same password in the case log. Keys are EC P-256.
"""

from __future__ import annotations

import fcntl
import hashlib
import os
import secrets
from collections.abc import Iterator
from contextlib import contextmanager, suppress
from dataclasses import replace
from datetime import UTC, datetime, timedelta
from pathlib import Path
from typing import NamedTuple

from cryptography import x509
from cryptography.hazmat.primitives import hashes
from cryptography.hazmat.primitives.asymmetric import ec, rsa
from cryptography.hazmat.primitives.asymmetric.types import PrivateKeyTypes
from cryptography.hazmat.primitives.serialization import (
    BestAvailableEncryption,
    Encoding,
)
from cryptography.hazmat.primitives.serialization.pkcs12 import (
    load_key_and_certificates,
    serialize_key_and_certificates,
)
from cryptography.x509.oid import NameOID
from pyhanko.sign import SimpleSigner

from her2core.errors import Her2CoreError, SigningError
from her2core.passwords import normalised
from her2core.records import Role, User
from her2core.reporting.pkcs12_guard import PrivateKey, open_external_pkcs12
from her2core.reporting.registry import KeyRecord, Registry, Trust, read_registry, record_of, write_registry

__all__ = ["CA_YEARS", "KEY_YEARS", "Keyring"]

CA_YEARS = 20
KEY_YEARS = 2
_DAYS_A_YEAR = 365
_CLOCK_SLACK = timedelta(minutes=5)  # a certificate is valid from a little before, so clocks may differ a little
_SCRYPT_MEMORY = 64 * 1024 * 1024
_WRONG_PASSWORD = "The password does not open your signing key, or the key file is damaged."  # noqa: S105
_WRONG_CA = "The passphrase in HER2CORE_CA_PASSPHRASE does not open the laboratory's root key."


class _Opened(NamedTuple):
    """A person's key out of its file, and the stretched passphrase that opened it."""

    stretched: bytes
    key: PrivateKey
    certificate: x509.Certificate
    chain: list[x509.Certificate]


class Keyring:
    """The keys of one laboratory, in `data_dir`/keys.

    `ca_passphrase` (from the environment) is needed to set up, issue, import and revoke; signing and verifying work
    without it. All methods that fail raise SigningError, or IntegrityError where the list of keys was tampered with.
    """

    def __init__(self, data_dir: Path, ca_passphrase: str | None = None) -> None:
        self._folder = data_dir / "keys"
        self._ca_passphrase = ca_passphrase

    # --- the root -----------------------------------------------------------------------------------------------

    def has_laboratory_ca(self) -> bool:
        """True once `ensure_laboratory_ca` has run in this data folder."""
        return self._ca_pem.exists()

    def ensure_laboratory_ca(self, name: str, at: datetime | None = None) -> bytes:
        """The root certificate (PEM) of the laboratory called `name`, made now where there is none."""
        passphrase = self._need_ca_passphrase()
        with self._locked():
            if not self.has_laboratory_ca():
                self._make_ca(name, passphrase, at or datetime.now(UTC))
        return self.ca_pem()

    def ca_pem(self) -> bytes:
        """The laboratory's root certificate, PEM."""
        try:
            return self._ca_pem.read_bytes()
        except FileNotFoundError as error:
            raise SigningError("This laboratory has no signing keys yet. An administrator sets them up.") from error

    def trust(self) -> Trust:
        """What `verify_report` needs: the root, the list of keys, and keys/tsa-roots.pem where there is one."""
        tsa = self._folder / "tsa-roots.pem"
        return Trust(self.ca_pem(), self.records(), tsa.read_bytes() if tsa.exists() else b"")

    # --- the list -----------------------------------------------------------------------------------------------

    def records(self) -> tuple[KeyRecord, ...]:
        """Every certificate ever given out, oldest first."""
        return self._registry().keys

    def key_of(self, user: User, at: datetime | None = None) -> KeyRecord | None:
        """The certificate that `user` can sign with at `at` (now), None where there is none.

        What is revoked signs no more, whatever `at` is: else setting the clock back would revive it.
        """
        moment = at or datetime.now(UTC)
        own = [
            key for key in self.records() if key.user_id == user.id and key.revoked_at is None and key.usable_at(moment)
        ]
        return own[-1] if own else None

    def has_key(self, user: User) -> bool:
        """True where `user` has a key that is neither revoked nor expired."""
        return self.has_laboratory_ca() and self.key_of(user) is not None

    def issue(self, user: User, passphrase: str, at: datetime | None = None) -> KeyRecord:
        """Make a key for a pathologist, locked with that person's password. An earlier key is revoked (rotation)."""
        moment = _whole_seconds(at)
        self._check_may_sign(user, passphrase)
        with self._locked():
            ca_key, ca = self._open_ca()
            key = ec.generate_private_key(ec.SECP256R1())
            certificate = _signer_certificate(user, key, ca_key, ca, moment)
            record = record_of(certificate, user.id, user.full_name, issued_at=moment)
            return self._adopt(record, key, certificate, [ca], passphrase, ca_key)

    def import_key(
        self, user: User, pkcs12: bytes, pkcs12_passphrase: str, passphrase: str, at: datetime | None = None
    ) -> KeyRecord:
        """Take over a PKCS#12 key that another authority issued to `user`; it replaces the key issued here.

        The file is opened with `pkcs12_passphrase` and kept under the person's password. From then on the
        laboratory's list vouches for this one certificate; its issuer is not trusted for anything else.
        """
        moment = _whole_seconds(at)
        self._check_may_sign(user, passphrase)
        key, certificate, chain = open_external_pkcs12(pkcs12, pkcs12_passphrase)
        if not certificate.not_valid_before_utc <= moment <= certificate.not_valid_after_utc:
            raise SigningError("This certificate is not valid today.")
        with self._locked():
            ca_key, _ = self._open_ca()
            record = record_of(certificate, user.id, user.full_name, external=True, issued_at=moment)
            if any(known.sha256 == record.sha256 for known in self.records()):
                raise SigningError("This certificate is in the laboratory's list already.")
            return self._adopt(record, key, certificate, chain, passphrase, ca_key)

    def revoke(self, user: User, reason: str, at: datetime | None = None) -> tuple[KeyRecord, ...]:
        """Revoke all keys of `user` from `at` (now) on; reports signed before stay valid. Returns the revoked ones."""
        if not reason.strip():
            raise SigningError("Say why the key is revoked.")
        moment = _whole_seconds(at)
        with self._locked():
            ca_key, _ = self._open_ca()
            before = self.records()
            after = tuple(_revoked(key, moment, reason) if key.user_id == user.id else key for key in before)
            self._save(after, ca_key)
        return tuple(new for old, new in zip(before, after, strict=True) if new is not old)

    def problems(self) -> tuple[str, ...]:
        """What is wrong with the keys folder, in plain words: for `check`. Empty where all is well."""
        if not self.has_laboratory_ca():
            return ()
        found = [
            f"{path.name} in the keys folder can be read by other users of this machine; set its mode to 0600."
            for path in sorted(self._folder.glob("*.p12"))
            if path.stat().st_mode & 0o077
        ]
        try:
            missing = [key for key in self.records() if key.revoked_at is None and not self._key_file(key).exists()]
        except Her2CoreError as error:
            return (*found, str(error))
        return (*found, *(f"The key file of user {key.user_id} is missing; issue a new key." for key in missing))

    # --- a person's key -----------------------------------------------------------------------------------------

    def unlock(self, user: User, passphrase: str, at: datetime | None = None) -> SimpleSigner:
        """The key of `user`, ready to sign at `at` (now). Never keep the result longer than one signature."""
        record = self._need_key(user, at)
        opened = self._open_own(record, passphrase)  # says what is wrong; pyHanko would only answer None
        data = self._key_file(record).read_bytes()
        signer: SimpleSigner | None = SimpleSigner.load_pkcs12_data(data, [], passphrase=opened.stretched)
        if signer is None:
            raise SigningError(_WRONG_PASSWORD)
        return signer

    @contextmanager
    def changing_passphrase(self, user: User, old: str, new: str) -> Iterator[None]:
        """Lock the key of `user` with a new password, if the body (which changes the account's) goes well.

        The key under the new password is safe on the disk before the body begins, so that a disk that fills up cannot
        part the two; and where the process ends between them, the next `unlock` takes whichever the password opens.
        """
        self._check_may_sign(user, new)
        with self._locked():
            record = self._need_key(user, None)
            _, key, certificate, chain = self._open_own(record, old)
            coming = self._coming(record)
            self._write(coming, _pkcs12(key, certificate, chain, _stretched(new, record.serial)))
            try:
                yield
            except BaseException:
                coming.unlink(missing_ok=True)
                raise
            self._take_over(coming, record)

    # --- inside -------------------------------------------------------------------------------------------------

    @property
    def _ca_pem(self) -> Path:
        return self._folder / "laboratory-ca.pem"

    @property
    def _registry_file(self) -> Path:
        return self._folder / "registry.json"

    def _key_file(self, record: KeyRecord) -> Path:
        return self._folder / f"user-{record.user_id}-{record.serial}.p12"

    def _coming(self, record: KeyRecord) -> Path:
        """The key under a new password, until the account has that password too."""
        return self._folder / f"{self._key_file(record).name}.coming"

    def _take_over(self, coming: Path, record: KeyRecord) -> None:
        with suppress(OSError):  # where it cannot be renamed, the next `unlock` does it
            coming.replace(self._key_file(record))

    def _need_ca_passphrase(self) -> str:
        if not self._ca_passphrase:
            raise SigningError("Set HER2CORE_CA_PASSPHRASE to the passphrase of the laboratory's root key.")
        return self._ca_passphrase

    def _need_key(self, user: User, at: datetime | None) -> KeyRecord:
        record = self.key_of(user, at)
        if record is None:
            raise SigningError(f"{self._why_none(user, at)} Ask an administrator to issue a new one.")
        return record

    def _why_none(self, user: User, at: datetime | None) -> str:
        """Why the last key of `user` does not sign at `at`."""
        moment = at or datetime.now(UTC)
        own = [key for key in self.records() if key.user_id == user.id]
        if not own:
            return "You have no signing key."
        last = own[-1]
        if last.revoked_at is not None:
            return f"Your signing key was revoked on {last.revoked_at:%d %b %Y} ({last.revoked_reason})."
        if last.expires_at < moment:
            return f"Your signing key expired on {last.expires_at:%d %b %Y}."
        return f"Your signing key is valid only from {last.issued_at:%d %b %Y}; the clock of this machine may be wrong."

    @staticmethod
    def _check_may_sign(user: User, passphrase: str) -> None:
        if user.role is not Role.PATHOLOGIST or not user.active:
            raise SigningError("Only an active pathologist has a signing key.")
        if not passphrase:
            raise SigningError("A signing key needs a password.")

    def _make_ca(self, name: str, passphrase: str, at: datetime) -> None:
        key = ec.generate_private_key(ec.SECP256R1())
        certificate = _ca_certificate(name, key, _whole_seconds(at))
        stretched = _stretched(passphrase, f"{certificate.serial_number:x}")
        self._write(self._folder / "laboratory-ca.p12", _pkcs12(key, certificate, [], stretched))
        self._write(self._registry_file, write_registry(Registry(0), key))
        self._write(self._ca_pem, certificate.public_bytes(Encoding.PEM))  # last: its presence means "set up"

    def _ca(self) -> x509.Certificate:
        return x509.load_pem_x509_certificate(self.ca_pem())

    def _open_ca(self) -> tuple[ec.EllipticCurvePrivateKey, x509.Certificate]:
        passphrase = self._need_ca_passphrase()
        ca = self._ca()
        try:
            data = (self._folder / "laboratory-ca.p12").read_bytes()
            _, key, certificate, _ = _open_pkcs12(data, passphrase, f"{ca.serial_number:x}")
        except (ValueError, FileNotFoundError) as error:
            raise SigningError(_WRONG_CA) from error
        if not isinstance(key, ec.EllipticCurvePrivateKey) or certificate != ca:
            raise SigningError("The laboratory's root key does not belong to its root certificate.")
        return key, ca

    def _registry(self) -> Registry:
        ca = self._ca()
        try:
            data = self._registry_file.read_bytes()
        except FileNotFoundError as error:
            raise SigningError("The list of signing keys is missing. Restore the keys folder from backup.") from error
        return read_registry(data, ca)

    def _adopt(
        self,
        record: KeyRecord,
        key: PrivateKey,
        certificate: x509.Certificate,
        chain: list[x509.Certificate],
        passphrase: str,
        ca_key: ec.EllipticCurvePrivateKey,
    ) -> KeyRecord:
        """Store a new key, then list it and retire the earlier ones of the same person."""
        self._write(self._key_file(record), _pkcs12(key, certificate, chain, _stretched(passphrase, record.serial)))
        earlier = tuple(
            _revoked(known, record.issued_at, "replaced by a new key") if known.user_id == record.user_id else known
            for known in self.records()
        )
        self._save((*earlier, record), ca_key)
        return record

    def _save(self, keys: tuple[KeyRecord, ...], ca_key: ec.EllipticCurvePrivateKey) -> None:
        registry = Registry(self._registry().sequence + 1, keys)
        self._write(self._registry_file, write_registry(registry, ca_key))

    def _open_own(self, record: KeyRecord, passphrase: str) -> _Opened:
        """The key, also where a change of its password was cut off once the account's was changed."""
        coming = self._coming(record)
        try:
            return self._open_key(record, passphrase)
        except SigningError:
            if not coming.exists():
                raise
            found = self._open_key(record, passphrase, coming)
            self._take_over(coming, record)
            return found

    def _open_key(self, record: KeyRecord, passphrase: str, file: Path | None = None) -> _Opened:
        try:
            data = (file or self._key_file(record)).read_bytes()
            stretched, key, certificate, chain = _open_pkcs12(data, passphrase, record.serial)
        except FileNotFoundError as error:
            raise SigningError("Your key file is missing. Ask an administrator to issue a new key.") from error
        except ValueError as error:
            raise SigningError(_WRONG_PASSWORD) from error
        if not isinstance(key, ec.EllipticCurvePrivateKey | rsa.RSAPrivateKey) or certificate is None:
            raise SigningError(_WRONG_PASSWORD)
        if certificate.public_bytes(Encoding.PEM).decode() != record.certificate_pem:
            raise SigningError("Your key file is not the one in the laboratory's list. Ask an administrator.")
        return _Opened(stretched, key, certificate, chain)

    def _write(self, path: Path, data: bytes) -> None:
        """Atomic and private: a temporary file of mode 0600, fsynced, then renamed."""
        temporary = path.with_name(f".{path.name}.{secrets.token_hex(6)}")
        try:
            descriptor = os.open(temporary, os.O_WRONLY | os.O_CREAT | os.O_EXCL, 0o600)
            with os.fdopen(descriptor, "wb") as file:
                file.write(data)
                file.flush()
                os.fsync(file.fileno())
            temporary.replace(path)
            folder = os.open(self._folder, os.O_RDONLY)
            try:
                os.fsync(folder)
            finally:
                os.close(folder)
        except OSError as error:
            temporary.unlink(missing_ok=True)
            raise SigningError("The keys folder cannot be written. Check the disk and its permissions.") from error

    @contextmanager
    def _locked(self) -> Iterator[None]:
        """One writer at a time, over threads and processes."""
        try:
            self._folder.mkdir(mode=0o700, parents=True, exist_ok=True)
            descriptor = os.open(self._folder / ".lock", os.O_RDWR | os.O_CREAT, 0o600)
        except OSError as error:
            raise SigningError("The keys folder cannot be written. Check the disk and its permissions.") from error
        try:
            fcntl.flock(descriptor, fcntl.LOCK_EX)
            yield
        finally:
            os.close(descriptor)


def _whole_seconds(at: datetime | None) -> datetime:
    """X.509 times have whole seconds; UTC."""
    return (at or datetime.now(UTC)).astimezone(UTC).replace(microsecond=0)


def _stretched(passphrase: str, serial: str) -> bytes:
    """The PKCS#12 passphrase made from a person's: one spelling of it, through scrypt."""
    return _derived(normalised(passphrase), serial)


def _derived(passphrase: str, serial: str) -> bytes:
    """scrypt, salted with the serial of the certificate."""
    salt = f"her2core signing key {serial}".encode()
    derived = hashlib.scrypt(passphrase.encode(), salt=salt, n=2**15, r=8, p=1, maxmem=_SCRYPT_MEMORY, dklen=32)
    return derived.hex().encode()


def _open_pkcs12(
    data: bytes, passphrase: str, serial: str
) -> tuple[bytes, PrivateKeyTypes | None, x509.Certificate | None, list[x509.Certificate]]:
    """What opens a key file, its key, certificate and chain. Raises ValueError where nothing does.

    Keys of 0.1 are locked with the passphrase as it was typed, in whatever spelling.
    """
    stretched = _stretched(passphrase, serial)
    try:
        return stretched, *load_key_and_certificates(data, stretched)
    except ValueError:
        if normalised(passphrase) == passphrase:
            raise
    as_typed = _derived(passphrase, serial)
    return as_typed, *load_key_and_certificates(data, as_typed)


def _pkcs12(key: PrivateKey, certificate: x509.Certificate, chain: list[x509.Certificate], stretched: bytes) -> bytes:
    return serialize_key_and_certificates(
        b"her2core", key, certificate, chain or None, BestAvailableEncryption(stretched)
    )


def _revoked(key: KeyRecord, at: datetime, reason: str) -> KeyRecord:
    """`key` revoked at `at`; the first revocation stands."""
    return key if key.revoked_at is not None else replace(key, revoked_at=at, revoked_reason=reason)


def _name(**parts: str) -> x509.Name:
    oids = {"common_name": NameOID.COMMON_NAME, "organization": NameOID.ORGANIZATION_NAME}
    return x509.Name([x509.NameAttribute(oids[part], _within_x520(value.strip())) for part, value in parts.items()])


def _within_x520(text: str) -> str:
    """The beginning of `text` that a certificate has room for: 64 bytes. The list of keys holds the whole name."""
    return text.encode()[:64].decode(errors="ignore")


def _ca_certificate(name: str, key: ec.EllipticCurvePrivateKey, at: datetime) -> x509.Certificate:
    if not name.strip():
        raise SigningError("Give the laboratory a name before its signing keys are made.")
    subject = _name(organization=name, common_name=f"Report signing, {name.strip()}")
    return (
        x509.CertificateBuilder()
        .subject_name(subject)
        .issuer_name(subject)
        .public_key(key.public_key())
        .serial_number(x509.random_serial_number())
        .not_valid_before(at - _CLOCK_SLACK)
        .not_valid_after(at + timedelta(days=CA_YEARS * _DAYS_A_YEAR))
        .add_extension(x509.BasicConstraints(ca=True, path_length=0), critical=True)
        .add_extension(_usage(certificates=True), critical=True)
        .add_extension(x509.SubjectKeyIdentifier.from_public_key(key.public_key()), critical=False)
        .sign(key, hashes.SHA256())
    )


def _signer_certificate(
    user: User,
    key: ec.EllipticCurvePrivateKey,
    ca_key: ec.EllipticCurvePrivateKey,
    ca: x509.Certificate,
    at: datetime,
) -> x509.Certificate:
    organization = ca.subject.get_attributes_for_oid(NameOID.ORGANIZATION_NAME)[0].value
    not_after = min(at + timedelta(days=KEY_YEARS * _DAYS_A_YEAR), ca.not_valid_after_utc)
    if not_after <= at:
        raise SigningError("The laboratory's root certificate has expired.")
    return (
        x509.CertificateBuilder()
        .subject_name(_name(organization=str(organization), common_name=user.full_name or user.username))
        .issuer_name(ca.subject)
        .public_key(key.public_key())
        .serial_number(x509.random_serial_number())
        .not_valid_before(at - _CLOCK_SLACK)
        .not_valid_after(not_after)
        .add_extension(x509.BasicConstraints(ca=False, path_length=None), critical=True)
        .add_extension(_usage(certificates=False), critical=True)
        .add_extension(x509.SubjectKeyIdentifier.from_public_key(key.public_key()), critical=False)
        .add_extension(x509.AuthorityKeyIdentifier.from_issuer_public_key(ca_key.public_key()), critical=False)
        .sign(ca_key, hashes.SHA256())
    )


def _usage(*, certificates: bool) -> x509.KeyUsage:
    """A root signs certificates; a person signs documents (digital signature and non-repudiation)."""
    return x509.KeyUsage(
        digital_signature=not certificates,
        content_commitment=not certificates,
        key_encipherment=False,
        data_encipherment=False,
        key_agreement=False,
        key_cert_sign=certificates,
        crl_sign=certificates,
        encipher_only=False,
        decipher_only=False,
    )
