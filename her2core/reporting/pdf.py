"""Print a `ReportContent`: bytes of a PDF with an empty signature field for each signatory.

The order is that of reading: result, numbers, how it was reached, images, what the AI did, signature; nuclei last.
The same content gives the same bytes.
"""

from __future__ import annotations

from dataclasses import dataclass
from io import BytesIO

from reportlab.lib.units import mm
from reportlab.platypus import Flowable
from reportlab.platypus.doctemplate import LayoutError

from her2core.errors import SigningError
from her2core.reporting.content import ReportContent
from her2core.reporting.layout import ReportDocument
from her2core.reporting.nuclei import ROW_HEIGHT, TIGHT_ROW_HEIGHT, nuclei_section
from her2core.reporting.sections import (
    Images,
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
    """What may give way where much of a page would be empty."""

    row_height: float = ROW_HEIGHT
    images_first: bool = True


_OTHERWISE = (_Setting(TIGHT_ROW_HEIGHT), _Setting(images_first=False), _Setting(TIGHT_ROW_HEIGHT, False))
_NEARLY_EMPTY = 0.4
"""A last page that is used less is worth another setting, if it saves the page."""
_WIDE_GAP = 35 * mm
"""What pictures may leave empty before the page that they begin."""


def render_report(content: ReportContent) -> bytes:
    """The report as a PDF, not yet signed. Raises SigningError where a text or picture cannot be printed."""
    setting = _Setting()
    first = _build(content, 0, setting)
    pages = first.pages
    if pages > 1 and (first.used < _NEARLY_EMPTY or first.gap > _WIDE_GAP):
        tried = [(setting, first), *((other, _build(content, 0, other)) for other in _OTHERWISE)]
        setting, best = min(tried, key=lambda found: (found[1].pages, found[1].gap > _WIDE_GAP))
        pages = best.pages
    return _build(content, pages, setting).pdf


@dataclass(frozen=True, slots=True)
class _Built:
    """A file, its pages, how much of the last one is used (0 to 1), and what its pictures left empty (points)."""

    pdf: bytes
    pages: int
    used: float
    gap: float


def _build(content: ReportContent, pages: int, setting: _Setting) -> _Built:
    """A first build, told of 0 pages, counts them; another prints "page x of y"."""
    buffer = BytesIO()
    document = ReportDocument(buffer, content, pages)
    try:
        story = _story(content, setting, measure_only=not pages)
        gaps = [part for part in story if isinstance(part, Images)]
        document.build(story)
    except LayoutError as error:
        raise SigningError("A text of this report is too long for a page. Shorten it, then build it again.") from error
    gap = max((part.gap for part in gaps), default=0.0)
    return _Built(buffer.getvalue(), document.page, document.used, gap)


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
