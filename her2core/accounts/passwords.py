"""Which passwords may be chosen. Needs no network: the list of common ones lies beside this file.

`common_passwords.txt.gz` (lower case, one a line, four characters and more) merges the lists that Django 5.2
(BSD-3-Clause; from breached passwords, compiled by Royce Williams) and zxcvbn 4.5 (MIT, Dropbox) carry.
"""

from __future__ import annotations

import gzip
import unicodedata
from functools import cache
from pathlib import Path

from her2core.errors import PasswordError
from her2core.passwords import normalised

__all__ = ["LONGEST", "SHORTEST", "check_password"]

SHORTEST = 10
LONGEST = 200  # argon2 would take more; a megabyte of password is an attack on the processor
_FEWEST_CHARACTERS = 5
_LIST = Path(__file__).with_name("common_passwords.txt.gz")
_DISGUISES = str.maketrans({"@": "a", "4": "a", "3": "e", "1": "i", "!": "i", "0": "o", "$": "s", "5": "s", "7": "t"})
_RUNS = (
    "abcdefghijklmnopqrstuvwxyz",
    "01234567890123456789",
    "qwertzuiopasdfghjklyxcvbnm",
    "qwertyuiopasdfghjklzxcvbnm",
)


def check_password(password: str, *personal: str) -> None:
    """Accepts a new password or says what is wrong with it.

    `personal`: user name, full name and the like, which it must not consist of. Raises PasswordError.
    """
    text = normalised(password)
    if len(text) < SHORTEST:
        raise PasswordError(
            f"Choose a longer password: at least {SHORTEST} characters. A few unrelated words are good."
        )
    if len(text) > LONGEST:
        raise PasswordError(f"Choose a shorter password: at most {LONGEST} characters.")
    if not text.isprintable():
        raise PasswordError("Choose a password of characters that can be typed.")
    lower = text.casefold()
    if len(set(lower)) < _FEWEST_CHARACTERS or _is_repetition(lower) or _is_run(lower):
        raise PasswordError("Choose another password: this one is a simple pattern.")
    if any(core in _common() for core in _cores(lower)):
        raise PasswordError(
            "Choose another password: this one, or what is left without its digits and signs, is common."
        )
    words = {word for part in personal for word in _words(part)}
    left = lower
    for word in sorted(words, key=len, reverse=True):
        left = left.replace(word, "")
    if words and len(left) < max(6, len(lower) // 2):
        raise PasswordError("Choose another password: this one is mostly your name.")


@cache
def _common() -> frozenset[str]:
    return frozenset(gzip.decompress(_LIST.read_bytes()).decode("utf-8").split("\n"))


def _cores(lower: str) -> set[str]:
    """The password and its core: without digits and signs at either end, with look-alikes turned into letters.

    A core much shorter than the password is not looked at: “9-sun-7301-xk” is more than “sun”.
    """
    stripped = lower.strip("0123456789!\"#$%&'()*+,-./:;<=>?@[\\]^_`{|}~ ")
    plain = lower.translate(_DISGUISES)
    plain_stripped = stripped.translate(_DISGUISES)
    ends = lower.rstrip("0123456789!?.*#+-_ ").translate(_DISGUISES)
    letters = "".join(character for character in lower if character.isalpha())
    return {core for core in (lower, stripped, plain, plain_stripped, ends, letters) if 2 * len(core) >= len(lower)}


def _is_repetition(lower: str) -> bool:
    return any(lower == (lower[:n] * len(lower))[: len(lower)] for n in range(1, len(lower) // 2 + 1))


def _is_run(lower: str) -> bool:
    return any(lower in run or lower in run[::-1] for run in _RUNS)


def _words(text: str) -> list[str]:
    lower = unicodedata.normalize("NFKC", text).casefold()
    return [word for word in "".join(c if c.isalnum() else " " for c in lower).split() if len(word) >= 3]
