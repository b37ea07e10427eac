"""The list of signing keys: who was given which certificate, when, and whether it was revoked.

The list is a small JSON file signed with the key of the laboratory's certificate authority, so a change made
outside her2core shows. It replaces a certificate revocation list: a report needs no network to be verified.
"""

from __future__ import annotations

import base64
import json
from collections.abc import Callable
from dataclasses import asdict, dataclass
from datetime import datetime
from typing import Any

from cryptography import x509
from cryptography.exceptions import InvalidSignature
from cryptography.hazmat.primitives import hashes
from cryptography.hazmat.primitives.asymmetric import ec
from cryptography.hazmat.primitives.serialization import Encoding

from her2core.errors import IntegrityError

__all__ = ["KeyRecord", "Registry", "Trust", "fingerprint", "read_registry", "record_of", "write_registry"]

_SCHEMA = "her2core.signing-keys/1"
_CHANGED = (
    "The list of signing keys was changed outside her2core or is damaged. "
    "Restore the keys folder from the backup before signing or verifying."
)


@dataclass(frozen=True, slots=True)
class KeyRecord:
    """One certificate of one person. `serial` and `sha256` (of the DER certificate) are lower-case hexadecimal.

    `external` keys were imported: another authority issued them, and this list is what the laboratory vouches by.
    """

    serial: str
    sha256: str
    user_id: int
    full_name: str
    certificate_pem: str
    issued_at: datetime
    expires_at: datetime
    external: bool = False
    revoked_at: datetime | None = None
    revoked_reason: str = ""

    def usable_at(self, moment: datetime) -> bool:
        """True where a signature of `moment` may rest on this certificate."""
        within = self.issued_at <= moment <= self.expires_at
        return within and (self.revoked_at is None or moment < self.revoked_at)


@dataclass(frozen=True, slots=True)
class Registry:
    """All certificates ever given out; `sequence` rises with each change."""

    sequence: int
    keys: tuple[KeyRecord, ...] = ()


@dataclass(frozen=True, slots=True)
class Trust:
    """What `verify_report` trusts: the laboratory's root and its list of keys.

    `keys` is None where only the root is at hand: then revocation cannot be checked. `tsa_pem` holds the roots of
    time-stamp authorities, PEM, one after the other.
    """

    ca_pem: bytes
    keys: tuple[KeyRecord, ...] | None = None
    tsa_pem: bytes = b""

    def record(self, certificate_sha256: str) -> KeyRecord | None:
        """The entry of a certificate, None where it is not in the list."""
        return next((key for key in self.keys or () if key.sha256 == certificate_sha256), None)


def fingerprint(certificate: x509.Certificate) -> str:
    """SHA-256 of the DER certificate, 64 lower-case hexadecimal digits."""
    return certificate.fingerprint(hashes.SHA256()).hex()


def write_registry(registry: Registry, ca_key: ec.EllipticCurvePrivateKey) -> bytes:
    """The signed file for `registry`."""
    body = {"schema": _SCHEMA, "sequence": registry.sequence, "keys": [_to_json(key) for key in registry.keys]}
    text = json.dumps(body, sort_keys=True, ensure_ascii=False)
    signature = ca_key.sign(text.encode(), ec.ECDSA(hashes.SHA256()))
    return json.dumps({"body": text, "signature": base64.b64encode(signature).decode()}, indent=1).encode()


def read_registry(data: bytes, ca: x509.Certificate) -> Registry:
    """Inverse of `write_registry`. Raises IntegrityError unless `ca`'s key signed exactly this list."""
    try:
        outer = json.loads(data)
        text: str = outer["body"]
        public_key = ca.public_key()
        if not isinstance(public_key, ec.EllipticCurvePublicKey):
            raise IntegrityError(_CHANGED)
        public_key.verify(base64.b64decode(outer["signature"]), text.encode(), ec.ECDSA(hashes.SHA256()))
        body = json.loads(text)
        if body["schema"] != _SCHEMA:
            raise IntegrityError("The list of signing keys was written by a newer her2core. Update her2core.")
        return Registry(int(body["sequence"]), tuple(_from_json(entry) for entry in body["keys"]))
    except (InvalidSignature, ValueError, KeyError, TypeError, AttributeError, RecursionError) as error:
        raise IntegrityError(_CHANGED) from error


def record_of(
    certificate: x509.Certificate, user_id: int, full_name: str, *, external: bool = False, issued_at: datetime
) -> KeyRecord:
    """The entry for a certificate that is given to a user at `issued_at`."""
    return KeyRecord(
        serial=f"{certificate.serial_number:x}",
        sha256=fingerprint(certificate),
        user_id=user_id,
        full_name=full_name,
        certificate_pem=certificate.public_bytes(Encoding.PEM).decode(),
        issued_at=issued_at,
        expires_at=certificate.not_valid_after_utc,
        external=external,
    )


def _to_json(key: KeyRecord) -> dict[str, Any]:
    entry = asdict(key)
    for name in ("issued_at", "expires_at", "revoked_at"):
        entry[name] = None if entry[name] is None else entry[name].isoformat()
    return entry


def _from_json(entry: dict[str, Any]) -> KeyRecord:
    moment: Callable[[str], datetime] = datetime.fromisoformat
    revoked = entry["revoked_at"]
    return KeyRecord(
        **{
            **entry,
            "issued_at": moment(entry["issued_at"]),
            "expires_at": moment(entry["expires_at"]),
            "revoked_at": None if revoked is None else moment(revoked),
        }
    )
