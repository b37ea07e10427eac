"""One spelling of a password: the account and the signing key must both open with what a person types."""

from __future__ import annotations

import unicodedata

__all__ = ["normalised"]


def normalised(password: str) -> str:
    """The password as it is hashed: Unicode NFKC, so that every keyboard and system gives the same bytes."""
    return unicodedata.normalize("NFKC", password)
