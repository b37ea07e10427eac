"""The list of nuclei in a report: what the models counted and what was signed, in two columns that flow over pages."""

from __future__ import annotations

import math
from collections.abc import Sequence

from reportlab.lib.colors import black
from reportlab.lib.units import mm
from reportlab.pdfgen.canvas import Canvas
from reportlab.platypus import CondPageBreak, Flowable, Paragraph, Spacer, Table, TableStyle

from her2core.reporting.content import NucleusRow, ReportContent
from her2core.reporting.fonts import BODY, BODY_BOLD, is_plain, markup
from her2core.reporting.layout import COLUMN_WIDTH, CONTENT_WIDTH, GUTTER, HEADING, RULE, SMALL

__all__ = ["nuclei_section"]

_HEAD = ("Region", "No.", "AI\nHER2", "AI\nCEP17", "HER2", "CEP17", "", "Not scored because")
_PARTS = (0.12, 0.07, 0.095, 0.105, 0.1, 0.105, 0.065, 0.34)
_HEAD_HEIGHT = 21.0
_ROW_HEIGHT = 10.4
_FEWEST_ROWS = 6  # a page that has less room than this is left to the next one
_LONGEST_REGION = 10
_KEY = (
    "AI: counted by the models; HER2, CEP17: final. In brackets: not scored. –: not counted. "
    "C: clustered HER2. E: changed by a person. N: added by a person."
)
_STYLE = TableStyle(
    [
        ("LEFTPADDING", (0, 0), (-1, -1), 0),
        ("RIGHTPADDING", (0, 0), (-1, -1), 2),
        ("LEFTPADDING", (6, 0), (6, -1), 4),
        ("TOPPADDING", (0, 0), (-1, -1), 0),
        ("BOTTOMPADDING", (0, 0), (-1, -1), 2),
        ("VALIGN", (0, 0), (-1, -1), "BOTTOM"),
        ("ALIGN", (1, 0), (5, -1), "RIGHT"),
        ("FONT", (0, 0), (-1, 0), BODY_BOLD, 6.6, 8),
        ("FONT", (0, 1), (-1, -1), BODY, 7.4, 8.4),
        ("FONT", (4, 1), (6, -1), BODY_BOLD, 7.4, 8.4),
        ("LINEBELOW", (0, 0), (-1, 0), 0.8, black),
        ("LINEBELOW", (0, 1), (-1, -1), 0.2, RULE),
    ]
)


def nuclei_section(content: ReportContent) -> list[Flowable]:
    """Every nucleus of the case, in the order given."""
    if not content.nuclei:
        return []
    scored = sum(row.scored for row in content.nuclei)
    title = Paragraph("List of nuclei", HEADING)
    note = Paragraph(f"{len(content.nuclei)} nuclei, {scored} of them scored. {_KEY}", SMALL)
    rows = [_cells(row) for row in content.nuclei]
    return [CondPageBreak(40 * mm), title, note, Spacer(1, 3), _TwoColumns(rows)]


def _cells(row: NucleusRow) -> tuple[object, ...]:
    region = row.region if len(row.region) <= _LONGEST_REGION else f"{row.region[: _LONGEST_REGION - 1]}…"
    # Plain strings print much faster than paragraphs; only what needs another font becomes one.
    name = region if is_plain(region) else Paragraph(markup(region), SMALL)
    marks = "".join(mark for mark, set_ in (("C", row.clustered), ("E", row.edited), ("N", row.added)) if set_)
    reason = "" if row.reason is None else row.reason.value
    final = (_count(row.her2, row.scored), _count(row.cep17, row.scored))
    return (name, str(row.number), _count(row.ai_her2), _count(row.ai_cep17), *final, marks, reason)


def _count(value: int | None, scored: bool = True) -> str:
    if value is None:
        return "–"
    return str(value) if scored else f"({value})"


class _TwoColumns(Flowable):
    """Rows set down the left half, then the right; splits over pages. All rows have one height, so this is fast."""

    def __init__(self, rows: Sequence[tuple[object, ...]]) -> None:
        super().__init__()
        self._rows = rows

    def wrap(self, *_: float) -> tuple[float, float]:
        return CONTENT_WIDTH, _HEAD_HEIGHT + math.ceil(len(self._rows) / 2) * _ROW_HEIGHT

    def split(self, _: float, height: float) -> list[Flowable]:
        fitting = int((height - _HEAD_HEIGHT) // _ROW_HEIGHT)
        if fitting < _FEWEST_ROWS:
            return []
        return [_TwoColumns(self._rows[: 2 * fitting]), _TwoColumns(self._rows[2 * fitting :])]

    def draw(self) -> None:
        left = math.ceil(len(self._rows) / 2)
        _, top = self.wrap()
        self._column(self.canv, self._rows[:left], 0, top)
        if self._rows[left:]:
            self._column(self.canv, self._rows[left:], COLUMN_WIDTH + GUTTER, top)

    @staticmethod
    def _column(canvas: Canvas, rows: Sequence[tuple[object, ...]], x: float, top: float) -> None:
        widths = [COLUMN_WIDTH * part for part in _PARTS]
        heights = [_HEAD_HEIGHT, *[_ROW_HEIGHT] * len(rows)]
        table = Table([_HEAD, *rows], colWidths=widths, rowHeights=heights, style=_STYLE)
        _, height = table.wrap(COLUMN_WIDTH, top)
        table.drawOn(canvas, x, top - height)
