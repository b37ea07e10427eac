"""Print a `ReportContent`: bytes of a PDF with an empty signature field for each signatory.

The order is that of reading: result, numbers, how it was reached, images, what the AI did, signature; nuclei last.
The same content gives the same bytes.
"""

from __future__ import annotations

from dataclasses import dataclass
from io import BytesIO

from reportlab.platypus import Flowable
from reportlab.platypus.doctemplate import LayoutError

from her2core.errors import SigningError
from her2core.reporting.content import ReportContent
from her2core.reporting.layout import ReportDocument
from her2core.reporting.nuclei import ROW_HEIGHT, TIGHT_ROW_HEIGHT, nuclei_section
from her2core.reporting.sections import (
    ai_section,
    alerts_section,
    banner,
    case_section,
    headline_box,
    images_section,
    limitations_section,
    numbers_section,
    signature_section,
    statements_section,
    work_up_section,
)

__all__ = ["render_report"]


@dataclass(frozen=True, slots=True)
class _Setting:
    """What may give way where the last page would be nearly empty."""

    row_height: float = ROW_HEIGHT
    images_first: bool = True


_OTHERWISE = (_Setting(TIGHT_ROW_HEIGHT), _Setting(images_first=False), _Setting(TIGHT_ROW_HEIGHT, False))
_NEARLY_EMPTY = 0.4
"""A last page that is used less is worth another setting, if it saves the page."""


def render_report(content: ReportContent) -> bytes:
    """The report as a PDF, not yet signed. Raises SigningError where a text or picture cannot be printed."""
    setting = _Setting()
    pages, used, _ = _build(content, 0, setting)
    if pages > 1 and used < _NEARLY_EMPTY:
        tried = ((other, _build(content, 0, other)[0]) for other in _OTHERWISE)
        setting, pages = next((found for found in tried if found[1] < pages), (setting, pages))
    return _build(content, pages, setting)[2]


def _build(content: ReportContent, pages: int, setting: _Setting) -> tuple[int, float, bytes]:
    """Number of pages, how much of the last one is used, and the file.

    A first build, told of 0 pages, counts them; another prints "page x of y".
    """
    buffer = BytesIO()
    document = ReportDocument(buffer, content, pages)
    try:
        document.build(_story(content, setting, measure_only=not pages))
    except LayoutError as error:
        raise SigningError("A text of this report is too long for a page. Shorten it, then build it again.") from error
    return document.page, document.used, buffer.getvalue()


def _story(content: ReportContent, setting: _Setting, *, measure_only: bool) -> list[Flowable]:
    images = images_section(content)
    said = [*ai_section(content), *limitations_section(content)]
    return [
        *banner(content),
        *headline_box(content),
        *case_section(content),
        *numbers_section(content),
        *work_up_section(content),
        *statements_section(content),
        *alerts_section(content),
        *([*images, *said] if setting.images_first else [*said, *images]),
        *signature_section(content),
        *nuclei_section(content, measure_only=measure_only, row_height=setting.row_height),
    ]
