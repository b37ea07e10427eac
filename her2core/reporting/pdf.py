"""Print a `ReportContent`: bytes of a PDF with an empty signature field for each signatory.

The order is that of reading: result, numbers, how it was reached, images, what the AI did, signature; nuclei last.
The same content gives the same bytes.
"""

from __future__ import annotations

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


def render_report(content: ReportContent) -> bytes:
    """The report as a PDF, not yet signed. Raises SigningError where a text or picture cannot be printed."""
    pages, row_height = min((_build(content, 0, height)[0], -height) for height in (ROW_HEIGHT, TIGHT_ROW_HEIGHT))
    return _build(content, pages, -row_height)[1]


def _build(content: ReportContent, pages: int, row_height: float) -> tuple[int, bytes]:
    """Number of pages and the file; a first build counts the pages, a second prints "page x of y"."""
    buffer = BytesIO()
    document = ReportDocument(buffer, content, pages)
    try:
        document.build(_story(content, row_height, measure_only=not pages))
    except LayoutError as error:
        raise SigningError("A text of this report is too long for a page. Shorten it, then build it again.") from error
    return document.page, buffer.getvalue()


def _story(content: ReportContent, row_height: float, *, measure_only: bool) -> list[Flowable]:
    return [
        *banner(content),
        *headline_box(content),
        *case_section(content),
        *numbers_section(content),
        *work_up_section(content),
        *statements_section(content),
        *alerts_section(content),
        *images_section(content),
        *ai_section(content),
        *limitations_section(content),
        *signature_section(content),
        *nuclei_section(content, measure_only=measure_only, row_height=row_height),
    ]
