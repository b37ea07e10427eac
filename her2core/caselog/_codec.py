"""Plain values to rows of the case log and back; the canonical JSON that is hashed."""

from __future__ import annotations

import hashlib
import json
import unicodedata
from collections.abc import Mapping
from datetime import UTC, date, datetime
from enum import Enum
from typing import Any

from her2core.errors import CaseLogError

__all__ = ["canonical", "clean_text", "key_of", "moment", "row_sha256", "sha256", "stamp", "to_column"]

LONGEST_TEXT = 4_000
# Embedding and isolating controls of writing direction, with which a text can show as another than it is.
_DIRECTIONS = frozenset("\u202a\u202b\u202c\u202d\u202e\u2066\u2067\u2068\u2069")


def canonical(value: Any) -> str:
    """JSON with one spelling only: sorted keys, no spaces, no NaN.

    Raises CaseLogError for what JSON cannot hold, such as NaN.
    """
    try:
        return json.dumps(value, sort_keys=True, separators=(",", ":"), ensure_ascii=False, allow_nan=False)
    except (TypeError, ValueError) as error:
        raise CaseLogError("This cannot be recorded: it holds a value that is no finite number or text.") from error


def sha256(data: bytes) -> str:
    """Hexadecimal SHA-256."""
    return hashlib.sha256(data).hexdigest()


def row_sha256(row: Mapping[str, Any]) -> str:
    """SHA-256 of a database row, whatever the order of its columns."""
    return sha256(canonical(dict(row)).encode("utf-8", "surrogatepass"))


def stamp(at: datetime) -> str:
    """A time as the case log writes it: ISO 8601, UTC, microseconds, so that text order is time order.

    Raises CaseLogError for a time without zone.
    """
    if at.tzinfo is None:
        raise CaseLogError("A time without its zone cannot be recorded.")
    return at.astimezone(UTC).isoformat(timespec="microseconds")


def moment(text: str) -> datetime:
    """Inverse of `stamp`."""
    return datetime.fromisoformat(text)


def to_column(value: Any) -> str | int | float | None:
    """A field of a record as SQLite's STRICT tables take it."""
    if isinstance(value, Enum):
        return str(value.value)
    if isinstance(value, datetime):
        return stamp(value)
    if isinstance(value, date):
        return value.isoformat()
    if isinstance(value, bool):
        return int(value)
    if value is None or isinstance(value, str | int | float):
        return value
    raise TypeError(f"a {type(value).__name__} has no column form")


def clean_text(text: str, what: str, *, required: bool = False, longest: int = LONGEST_TEXT) -> str:
    """Text of a user, trimmed and in Unicode normal form C. `what` names the field in messages.

    Raises CaseLogError for missing or overlong text and for control characters, which belong to no name or
    comment but to attacks on terminals, PDF and HL7.
    """
    cleaned = unicodedata.normalize("NFC", text.replace("\r\n", "\n")).strip()
    if required and not cleaned:
        raise CaseLogError(f"Please fill in: {what}.")
    if len(cleaned) > longest:
        raise CaseLogError(f"Please shorten to {longest} characters: {what}.")
    if any(_is_control(character) for character in cleaned):
        raise CaseLogError(f"Please remove the control characters: {what}.")
    return cleaned


def _is_control(character: str) -> bool:
    if character in _DIRECTIONS:
        return True
    return unicodedata.category(character) in ("Cc", "Cs") and character not in "\n\t"


def key_of(text: str) -> str:
    """The form in which names and accession numbers are compared: case, width and spaces do not tell two apart."""
    writable = text.encode("utf-8", "replace").decode("utf-8")  # lone surrogates cannot be looked up
    return " ".join(unicodedata.normalize("NFKC", writable).casefold().split())
