"""Fonts that are embedded in reports, shipped with her2core so that every machine prints the same bytes.

DejaVu Sans Condensed (Bitstream Vera licence; the DejaVu changes are in the public domain) has Latin, Greek, Cyrillic,
Armenian, Georgian, Hebrew and Arabic; Droid Sans Fallback (Apache 2.0) has Chinese and Japanese. Licence texts lie
beside the files. A character that neither has is printed as its code point, "⟨U+0E01⟩", never as an empty box: in a
name, a missing letter must be seen.
"""

from __future__ import annotations

import unicodedata
from functools import cache
from itertools import groupby
from pathlib import Path
from xml.sax.saxutils import escape

from reportlab.pdfbase import pdfmetrics
from reportlab.pdfbase.ttfonts import TTFont

from her2core.reporting.fonts.rtl import visual_order

__all__ = ["BODY", "BODY_BOLD", "FALLBACK", "REGULAR", "is_plain", "markup", "register"]

_HERE = Path(__file__).parent
REGULAR = _HERE / "DejaVuSansCondensed.ttf"
_FILES = {
    "her2core": REGULAR,
    "her2core-bold": _HERE / "DejaVuSansCondensed-Bold.ttf",
    "her2core-fallback": _HERE / "DroidSansFallbackFull.ttf",
}
BODY, BODY_BOLD, FALLBACK = _FILES


def register() -> None:
    """Make the fonts known to reportlab, once a process. `<b>` switches to bold; there are no italics."""
    if BODY in pdfmetrics.getRegisteredFontNames():
        return
    for name, path in _FILES.items():
        pdfmetrics.registerFont(TTFont(name, str(path), shapable=False))
    pdfmetrics.registerFontFamily(BODY, normal=BODY, bold=BODY_BOLD, italic=BODY, boldItalic=BODY_BOLD)
    pdfmetrics.registerFontFamily(FALLBACK, normal=FALLBACK, bold=FALLBACK, italic=FALLBACK, boldItalic=FALLBACK)


def is_plain(text: str) -> bool:
    """True where the body font prints `text` from left to right as it is."""
    return text == visual_order(text) and all(character in _covered(BODY) for character in map(ord, text))


def markup(text: str) -> str:
    """`text` as reportlab Paragraph markup: escaped, each run in a font that has it, right-to-left runs turned.

    Control characters become spaces; a line break becomes `<br/>`.
    """
    lines = text.replace("\r\n", "\n").replace("\r", "\n").split("\n")
    return "<br/>".join(_line(line) for line in lines)


def _line(text: str) -> str:
    text = unicodedata.normalize("NFC", text)
    clean = "".join(" " if ord(character) < 32 or 127 <= ord(character) < 160 else character for character in text)
    parts: list[str] = []
    for font, run in groupby(visual_order(clean), key=_font_of):
        piece = "".join(run)
        if font == FALLBACK:
            parts.append(f'<font name="{FALLBACK}">{escape(piece)}</font>')
        elif font == BODY:
            parts.append(escape(piece))
        else:
            parts.append("".join(f"⟨U+{ord(character):04X}⟩" for character in piece))
    return "".join(parts)


def _font_of(character: str) -> str:
    return next((font for font in (BODY, FALLBACK) if ord(character) in _covered(font)), "")


@cache
def _covered(font: str) -> frozenset[int]:
    register()
    return frozenset(pdfmetrics.getFont(font).face.charToGlyph)
