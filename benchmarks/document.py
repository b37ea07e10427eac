"""Figures in docs/scale.md, written there by the benchmark that measures them: they cannot part from its table."""

from __future__ import annotations

import re
from pathlib import Path

__all__ = ["SCALE", "replaced"]

SCALE = Path(__file__).resolve().parents[1] / "docs" / "scale.md"


def replaced(document: str, name: str, text: str) -> str:
    """The document with `text` between `<!-- name -->` and `<!-- end -->`. Raises ValueError without such a place."""
    pattern = re.compile(rf"(<!-- {name} -->\n).*?(<!-- end -->)", re.DOTALL)
    if len(pattern.findall(document)) != 1:
        raise ValueError(f"the document has no place for {name}")
    return pattern.sub(lambda match: f"{match[1]}\n{text}\n\n{match[2]}", document)
