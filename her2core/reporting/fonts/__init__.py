"""Fonts that are embedded in reports, shipped with her2core so that every machine prints the same bytes.

DejaVu Sans Condensed (Bitstream Vera licence; the DejaVu changes are in the public domain) has Latin, Greek, Cyrillic,
Armenian, Georgian, Hebrew and Arabic; Droid Sans Fallback (Apache 2.0) has Chinese and Japanese; NanumSquare (SIL Open
Font Licence 1.1) has Korean, Noto Sans Thai (same licence) has Thai, whose marks are stacked by shaping. Licence texts
lie beside the files. A character that none of them has is printed as its code point, "⟨U+0905⟩", never as an empty box:
in a name, a missing letter must be seen. Scripts that need conjuncts (Devanagari and its kin) are not set right by
reportlab's shaping and are therefore not offered; `unprintable` lets entry refuse them in words.
"""

from __future__ import annotations

import unicodedata
from functools import cache
from itertools import groupby
from pathlib import Path
from xml.sax.saxutils import escape

from reportlab.pdfbase import pdfmetrics
from reportlab.pdfbase.ttfonts import TTFont

from her2core.marks import FONT
from her2core.reporting.fonts.rtl import visual_order

__all__ = ["BODY", "BODY_BOLD", "is_plain", "markup", "register", "unprintable"]

_HERE = Path(__file__).parent
_FILES = {
    "her2core": FONT,
    "her2core-bold": _HERE / "DejaVuSansCondensed-Bold.ttf",
    "her2core-cjk": _HERE / "DroidSansFallbackFull.ttf",
    "her2core-hangul": _HERE / "NanumSquareR.ttf",
    "her2core-thai": _HERE / "NotoSansThai-Regular.ttf",
}
_SHAPED = frozenset({"her2core-thai"})
BODY, BODY_BOLD, *_FALLBACKS = _FILES


def register() -> None:
    """Make the fonts known to reportlab, once a process. `<b>` switches to bold; there are no italics."""
    if BODY in pdfmetrics.getRegisteredFontNames():
        return
    for name, path in _FILES.items():
        pdfmetrics.registerFont(TTFont(name, str(path), shapable=name in _SHAPED))
    pdfmetrics.registerFontFamily(BODY, normal=BODY, bold=BODY_BOLD, italic=BODY, boldItalic=BODY_BOLD)
    for font in _FALLBACKS:
        pdfmetrics.registerFontFamily(font, normal=font, bold=font, italic=font, boldItalic=font)


def is_plain(text: str) -> bool:
    """True where the body font prints `text` from left to right as it is."""
    return text == visual_order(text) and all(character in _covered(BODY) for character in map(ord, text))


def unprintable(text: str) -> str:
    """The characters of `text` that no font has, each once; empty where all of it prints."""
    shown = visual_order(unicodedata.normalize("NFC", text))
    return "".join(dict.fromkeys(c for c in shown if not _font_of(c) and unicodedata.category(c)[0] != "C"))


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
        if font == BODY:
            parts.append(escape(piece))
        elif font:
            parts.append(f'<font name="{font}">{escape(piece)}</font>')
        else:
            parts.append("".join(f"⟨U+{ord(character):04X}⟩" for character in piece))
    return "".join(parts)


def _font_of(character: str) -> str:
    return next((font for font in (BODY, *_FALLBACKS) if ord(character) in _covered(font)), "")


@cache
def _covered(font: str) -> frozenset[int]:
    register()
    return frozenset(pdfmetrics.getFont(font).face.charToGlyph)
