"""Hebrew and Arabic for a printer that sets glyphs from left to right.

Letters of Arabic are replaced by their contextual forms (Unicode's presentation forms, so no shaping engine is needed)
and each right-to-left run is turned around, digits inside it kept. That is enough for names and short phrases; the
full bidirectional algorithm (brackets, nested directions, several lines) is not attempted: brackets end a run.
"""

from __future__ import annotations

import re
import unicodedata
from functools import cache

__all__ = ["visual_order"]

_RTL = "\u0590-\u05ff\u0600-\u06ff\u0750-\u077f\ufb1d-\ufdff\ufe70-\ufefc"
_RUN = re.compile(f"[{_RTL}](?:[{_RTL}0-9 \u00a0.,'’\"/:\\-\u200c\u200d]*[{_RTL}])?")
_INVISIBLE = re.compile("[\u200b-\u200f\u202a-\u202e\u2066-\u2069\ufeff]")
_DIGITS = re.compile("[0-9\u0660-\u0669\u06f0-\u06f9]+(?:[.,/:\\-][0-9\u0660-\u0669\u06f0-\u06f9]+)*")
_LAM = "\u0644"
_FORM = {  # joined to the letter before, to the letter after
    (False, False): "isolated",
    (False, True): "initial",
    (True, False): "final",
    (True, True): "medial",
}


def visual_order(text: str) -> str:
    """`text` with right-to-left runs shaped and turned; other text is unchanged but for invisible direction marks.

    Direction marks are dropped everywhere: in a report they could only make a name read differently from its letters.
    """
    if text.isascii():
        return text
    return _RUN.sub(lambda match: _turned(match.group()), _INVISIBLE.sub("", text))


def _turned(run: str) -> str:
    """A run from right to left: shaped, reversed by letter with its marks, digits left in their order."""
    shaped = unicodedata.normalize("NFC", _shaped(run))
    tokens: list[str] = []
    position = 0
    while position < len(shaped):
        digits = _DIGITS.match(shaped, position)
        end = digits.end() if digits else position + 1
        while not digits and end < len(shaped) and unicodedata.combining(shaped[end]):
            end += 1
        tokens.append(shaped[position:end])
        position = end
    # No break inside: a run that is turned as a whole must stay on one line.
    return "".join(reversed(tokens)).replace(" ", "\u00a0")


def _shaped(run: str) -> str:
    """Arabic letters in the form that their neighbours call for; lam-alef becomes one glyph."""
    forms = _forms()
    letters = list(run)
    out: list[str] = []
    place = 0
    joined = False  # does the letter before join to this one?
    while place < len(letters):
        letter = letters[place]
        after = place + 1
        if letter == _LAM and after < len(letters) and (_LAM + letters[after]) in forms:
            letter += letters[after]
            after += 1
        known = forms.get(letter)
        if known is None:
            joined = joined and bool(unicodedata.combining(letter))
            out.append(letter)
        else:
            onward = "initial" in known and _joins_back(letters, after)
            out.append(known.get(_FORM[joined and "final" in known, onward], letter))
            joined = onward
        place = after
    return "".join(out)


def _joins_back(letters: list[str], place: int) -> bool:
    """Does the next letter, marks skipped, take a connection from the one before?"""
    while place < len(letters) and unicodedata.combining(letters[place]):
        place += 1
    return place < len(letters) and "final" in _forms().get(letters[place], {})


@cache
def _forms() -> dict[str, dict[str, str]]:
    """Letter (or lam-alef pair) to its presentation forms by name, read from Unicode's own decompositions."""
    forms: dict[str, dict[str, str]] = {}
    for code in (*range(0xFB50, 0xFBB2), *range(0xFBD3, 0xFC00), *range(0xFE80, 0xFEFD)):
        kind, _, letters = unicodedata.decomposition(chr(code)).partition(" ")
        base = "".join(chr(int(part, 16)) for part in letters.split())
        if len(base) == 1 or (len(base) == 2 and base[0] == _LAM):
            forms.setdefault(base, {})[kind.strip("<>")] = chr(code)
    return forms
