"""Fonts that are embedded in reports, shipped with her2core so that every machine prints the same bytes.

DejaVu Sans Condensed (Bitstream Vera licence, public-domain changes): Latin, Greek, Cyrillic, Armenian, Georgian,
Hebrew and Arabic. Licence texts lie beside the files.
"""

from __future__ import annotations

from pathlib import Path

__all__ = ["BOLD", "REGULAR"]

_HERE = Path(__file__).parent
REGULAR = _HERE / "DejaVuSansCondensed.ttf"
BOLD = _HERE / "DejaVuSansCondensed-Bold.ttf"
