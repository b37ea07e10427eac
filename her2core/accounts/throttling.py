"""How long to wait after so many wrong passwords: enough against guessing, never a lock-out for good.

Two counters watch each account. One belongs to the account and the place that the attempt comes from; it pauses the
guesser. The other belongs to the account alone, for guesses from many places; places from which the person signed in
within 90 days are exempt from it, so a stranger's guessing does not keep the person out. Pauses grow to a limit, an
attempt during a pause changes nothing, and counts are forgotten after a day without any.
"""

from __future__ import annotations

import hashlib
from datetime import timedelta

__all__ = ["TRUST", "account_key", "account_pause", "place_key", "place_pause"]

TRUST = timedelta(days=90)
_FREE_FROM_A_PLACE = 5
_FREE_FOR_AN_ACCOUNT = 20
_LONGEST_FOR_A_PLACE = timedelta(minutes=5)
_LONGEST_FOR_AN_ACCOUNT = timedelta(minutes=1)


def place_key(username_key: str, source: str) -> str:
    """Key of the counter of an account and a place: that of the account, a slash, and the place.

    Hashed, for people type passwords into the name field.
    """
    place = hashlib.sha256(f"place\0{username_key}\0{source}".encode("utf-8", "surrogatepass")).hexdigest()
    return f"{account_key(username_key)}/{place}"


def account_key(username_key: str) -> str:
    """Key of the counter of an account from everywhere."""
    return hashlib.sha256(f"account\0{username_key}".encode("utf-8", "surrogatepass")).hexdigest()


def place_pause(failures: int) -> timedelta:
    """Pause after that many failures from one place: none, 1 s, 2 s, 4 s … 5 minutes."""
    return _doubling(failures - _FREE_FROM_A_PLACE, _LONGEST_FOR_A_PLACE)


def account_pause(failures: int) -> timedelta:
    """Pause after that many failures from strange places together: none, 1 s, 2 s … 1 minute."""
    return _doubling(failures - _FREE_FOR_AN_ACCOUNT, _LONGEST_FOR_AN_ACCOUNT)


def _doubling(beyond: int, longest: timedelta) -> timedelta:
    if beyond < 0:
        return timedelta(0)
    return min(longest, timedelta(seconds=2 ** min(beyond, 20)))
