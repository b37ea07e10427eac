"""Open a PKCS#12 file that came from outside, in a process of its own.

A hostile file can name a key derivation of billions of rounds or crash a parser; in a child process with a time and
memory limit that costs a refused import and nothing else.
"""

from __future__ import annotations

import base64
import json
import subprocess
import sys

from cryptography import x509
from cryptography.hazmat.primitives.asymmetric import ec, rsa
from cryptography.hazmat.primitives.serialization import load_der_private_key

from her2core.errors import SigningError

__all__ = ["MAX_BYTES", "PrivateKey", "open_external_pkcs12"]

PrivateKey = ec.EllipticCurvePrivateKey | rsa.RSAPrivateKey

MAX_BYTES = 256 * 1024
"""The largest file that is looked at."""

_SECONDS = 10
_CHILD = """
import base64, json, resource, sys
resource.setrlimit(resource.RLIMIT_CPU, (10, 10))
resource.setrlimit(resource.RLIMIT_AS, (1 << 30, 1 << 30))
from cryptography.hazmat.primitives.serialization import Encoding, NoEncryption, PrivateFormat
from cryptography.hazmat.primitives.serialization.pkcs12 import load_key_and_certificates
given = json.load(sys.stdin)
key, certificate, chain = load_key_and_certificates(base64.b64decode(given["data"]), given["passphrase"].encode())
der = lambda item: base64.b64encode(item.public_bytes(Encoding.DER)).decode()
private = key.private_bytes(Encoding.DER, PrivateFormat.PKCS8, NoEncryption())
json.dump({"key": base64.b64encode(private).decode(), "certificate": der(certificate),
           "chain": [der(item) for item in chain[:8]]}, sys.stdout)
"""
_UNREADABLE = "This file cannot be opened as a PKCS#12 key with that passphrase."


def open_external_pkcs12(data: bytes, passphrase: str) -> tuple[PrivateKey, x509.Certificate, list[x509.Certificate]]:
    """Private key, its certificate and the chain in `data`.

    Raises SigningError where the file is too large, cannot be opened in time, holds no key that signs documents
    (EC, or RSA of at least 2048 bits), or a key that does not belong to the certificate.
    """
    if len(data) > MAX_BYTES:
        raise SigningError("This file is too large to be a PKCS#12 key.")
    given = json.dumps({"data": base64.b64encode(data).decode(), "passphrase": passphrase})
    try:
        child = subprocess.run(  # noqa: S603 - our own interpreter, a constant script, input through stdin only
            [sys.executable, "-I", "-W", "ignore", "-c", _CHILD],
            input=given.encode(),
            capture_output=True,
            timeout=_SECONDS,
            check=True,
        )
        found = json.loads(child.stdout)
        key = load_der_private_key(base64.b64decode(found["key"]), None)
        certificate = x509.load_der_x509_certificate(base64.b64decode(found["certificate"]))
        chain = [x509.load_der_x509_certificate(base64.b64decode(item)) for item in found["chain"]]
    except (subprocess.SubprocessError, ValueError, KeyError, TypeError) as error:
        # The child's arguments and output never reach a message: they may hold the key.
        raise SigningError(_UNREADABLE) from error
    return _usable(key, certificate), certificate, chain


def _usable(key: object, certificate: x509.Certificate) -> PrivateKey:
    if not isinstance(key, ec.EllipticCurvePrivateKey | rsa.RSAPrivateKey):
        raise SigningError("Only EC and RSA keys can sign reports.")
    if isinstance(key, rsa.RSAPrivateKey) and key.key_size < 2048:
        raise SigningError("This RSA key is too short to sign reports; it needs at least 2048 bits.")
    if key.public_key() != certificate.public_key():
        raise SigningError("The key in this file does not belong to its certificate.")
    try:
        usage = certificate.extensions.get_extension_for_class(x509.KeyUsage).value
    except x509.ExtensionNotFound:
        usage = None
    if usage is None or not usage.content_commitment:
        raise SigningError("This certificate is not meant for signing documents (no non-repudiation).")
    return key
