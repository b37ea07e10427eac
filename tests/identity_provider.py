"""`python -m tests.identity_provider PORT`: an OpenID provider in a process of its own, for tests of the sign-in.

Discovery, JWKS, authorisation code with PKCE (S256, demanded), ID tokens signed with RS256. Whoever is sent to it
presses a button and is the person whom the test has named before by `POST /next`: a JSON object of claims, which
replace the right ones (null leaves one out), and `_how`, one of HOW, for a token that is made in a wrong way.
"""

from __future__ import annotations

import base64
import hashlib
import hmac
import json
import secrets
import sys
import time
from dataclasses import dataclass, field
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from typing import Any
from urllib.parse import parse_qs, urlencode, urlsplit

from cryptography.hazmat.primitives import hashes
from cryptography.hazmat.primitives.asymmetric import padding, rsa
from cryptography.hazmat.primitives.serialization import Encoding, PublicFormat

__all__ = ["CLIENT_ID", "CLIENT_SECRET", "HOW"]

CLIENT_ID, CLIENT_SECRET = "her2core", "secret of her2core at its provider"
HOW = ("another key", "no signature", "HS256 with the public key", "signature cut", "no ID token")
LIFE_S = 3600


def _b64(data: bytes) -> str:
    return base64.urlsafe_b64encode(data).rstrip(b"=").decode()


def _number(value: int) -> str:
    return _b64(value.to_bytes((value.bit_length() + 7) // 8, "big"))


@dataclass
class Provider:
    """What the provider knows: its key, who comes next, and which codes it gave out."""

    issuer: str
    key: rsa.RSAPrivateKey = field(default_factory=lambda: rsa.generate_private_key(65537, 2048))
    coming: dict[str, Any] = field(default_factory=dict)
    codes: dict[str, dict[str, str]] = field(default_factory=dict)

    def discovery(self) -> dict[str, Any]:
        """The metadata of OpenID Connect Discovery 1.0."""
        return {
            "issuer": self.issuer,
            "authorization_endpoint": f"{self.issuer}/authorize",
            "token_endpoint": f"{self.issuer}/token",
            "jwks_uri": f"{self.issuer}/jwks",
            "end_session_endpoint": f"{self.issuer}/end",
            "response_types_supported": ["code"],
            "subject_types_supported": ["public"],
            "id_token_signing_alg_values_supported": ["RS256"],
            "code_challenge_methods_supported": ["S256"],
        }

    def jwks(self) -> dict[str, Any]:
        """The public key (RFC 7517)."""
        numbers = self.key.public_key().public_numbers()
        entry = {
            "kty": "RSA",
            "use": "sig",
            "alg": "RS256",
            "kid": "1",
            "n": _number(numbers.n),
            "e": _number(numbers.e),
        }
        return {"keys": [entry]}

    def code_for(self, asked: dict[str, str]) -> str:
        """A code for one token. Raises ValueError unless it was asked for with PKCE."""
        if asked.get("client_id") != CLIENT_ID or asked.get("response_type") != "code":
            raise ValueError("unknown client or response type")
        if asked.get("code_challenge_method") != "S256" or not asked.get("code_challenge"):
            raise ValueError("PKCE with S256 is needed")
        code = secrets.token_urlsafe(24)
        self.codes[code] = asked
        return code

    def token_for(self, asked: dict[str, str], authorization: str) -> dict[str, Any]:
        """The tokens for a code, once. Raises ValueError for anybody but the client that asked for it."""
        basic = base64.b64encode(f"{CLIENT_ID}:{CLIENT_SECRET}".encode()).decode()
        if not hmac.compare_digest(authorization, f"Basic {basic}"):
            raise ValueError("wrong client secret")
        request = self.codes.pop(asked.get("code", ""), None)
        if request is None:
            raise ValueError("unknown or used code")
        challenge = _b64(hashlib.sha256(asked.get("code_verifier", "").encode()).digest())
        if challenge != request["code_challenge"] or asked.get("redirect_uri") != request["redirect_uri"]:
            raise ValueError("this code was given to somebody else")
        tokens = {"access_token": secrets.token_urlsafe(24), "token_type": "Bearer", "expires_in": LIFE_S}
        if self.coming.get("_how") != "no ID token":
            tokens["id_token"] = self._id_token(request.get("nonce", ""))
        return tokens

    def _id_token(self, nonce: str) -> str:
        now = int(time.time())
        right = {"iss": self.issuer, "sub": "s-1", "aud": CLIENT_ID, "iat": now, "exp": now + LIFE_S, "nonce": nonce}
        claims = {
            name: value for name, value in {**right, **self.coming}.items() if value is not None and name != "_how"
        }
        how = self.coming.get("_how")
        algorithm = {"no signature": "none", "HS256 with the public key": "HS256"}.get(str(how), "RS256")
        header = {"alg": algorithm, "typ": "JWT", "kid": "1"}
        signed = ".".join(_b64(json.dumps(part).encode()) for part in (header, claims))
        if how == "no signature":
            return f"{signed}."
        if how == "HS256 with the public key":
            public = self.key.public_key().public_bytes(Encoding.PEM, PublicFormat.SubjectPublicKeyInfo)
            return f"{signed}.{_b64(hmac.digest(public, signed.encode(), 'sha256'))}"
        key = rsa.generate_private_key(65537, 2048) if how == "another key" else self.key
        signature = key.sign(signed.encode(), padding.PKCS1v15(), hashes.SHA256())
        return f"{signed}.{_b64(signature[:-1] if how == 'signature cut' else signature)}"


class _Handler(BaseHTTPRequestHandler):
    provider: Provider

    def do_GET(self) -> None:
        url = urlsplit(self.path)
        asked = {name: values[0] for name, values in parse_qs(url.query).items()}
        if url.path == "/.well-known/openid-configuration":
            self._json(self.provider.discovery())
        elif url.path == "/jwks":
            self._json(self.provider.jwks())
        elif url.path == "/authorize":
            button = '<form method="post"><button id="go">Go on as the person named</button></form>'
            self._answer(200, "text/html", f"<!doctype html><title>Provider</title>{button}".encode())
        elif url.path == "/end":
            self._redirect(asked.get("post_logout_redirect_uri", "/"))
        else:
            self._answer(404, "text/plain", b"")

    def do_POST(self) -> None:
        body = self.rfile.read(int(self.headers.get("Content-Length") or 0)).decode()
        url = urlsplit(self.path)
        try:
            if url.path == "/next":
                self.provider.coming = json.loads(body)
                self._json({})
            elif url.path == "/authorize":
                asked = {name: values[0] for name, values in parse_qs(url.query).items()}
                back = {"code": self.provider.code_for(asked), "state": asked["state"]}
                self._redirect(f"{asked['redirect_uri']}?{urlencode(back)}")
            elif url.path == "/token":
                form = {name: values[0] for name, values in parse_qs(body).items()}
                self._json(self.provider.token_for(form, self.headers.get("Authorization", "")))
            else:
                self._answer(404, "text/plain", b"")
        except ValueError as error:
            self._answer(400, "application/json", json.dumps({"error": "invalid_request", "why": str(error)}).encode())

    def _json(self, value: dict[str, Any]) -> None:
        self._answer(200, "application/json", json.dumps(value).encode())

    def _redirect(self, to: str) -> None:
        self.send_response(302)
        self.send_header("Location", to)
        self.send_header("Content-Length", "0")
        self.end_headers()

    def _answer(self, status: int, kind: str, body: bytes) -> None:
        self.send_response(status)
        self.send_header("Content-Type", kind)
        self.send_header("Content-Length", str(len(body)))
        self.end_headers()
        self.wfile.write(body)

    def log_message(self, format: str, *args: Any) -> None:
        """Says nothing."""


def main(port: int) -> None:
    """Serves until it is ended."""
    _Handler.provider = Provider(f"http://127.0.0.1:{port}")
    ThreadingHTTPServer(("127.0.0.1", port), _Handler).serve_forever()


if __name__ == "__main__":
    main(int(sys.argv[1]))
