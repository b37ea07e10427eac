"""The list of nuclei in a report: what the models counted and what was signed, in two columns that flow over pages."""

from __future__ import annotations

import math
from collections.abc import Sequence

from reportlab.lib.colors import black
from reportlab.lib.units import mm
from reportlab.pdfgen.canvas import Canvas
from reportlab.platypus import CondPageBreak, Flowable, Paragraph, Spacer

from her2core.marks import CLUSTER_SIGN
from her2core.reporting.content import NucleusRow, ReportContent
from her2core.reporting.fonts import BODY, BODY_BOLD, is_plain, markup
from her2core.reporting.layout import COLUMN_WIDTH, CONTENT_WIDTH, GUTTER, HEADING, RULE, SMALL

__all__ = ["ROW_HEIGHT", "TIGHT_ROW_HEIGHT", "nuclei_section"]

# Heading, where the column ends (starts, for those set left) in points, set right?, font of the cells, its size.
_COLUMNS = (
    ("Region", 0, False, BODY, 7.4),
    ("No.", 44, True, BODY, 7.4),
    ("AI\nHER2", 62.5, True, BODY, 7.4),
    ("AI\nCEP17", 84, True, BODY, 7.4),
    ("Final\nHER2", 107.5, True, BODY_BOLD, 7.4),
    ("", 107.9, False, BODY, 5.2),
    ("Final\nCEP17", 131, True, BODY_BOLD, 7.4),
    ("", 136, False, BODY_BOLD, 6.2),
    ("Not scored because", 148, False, BODY, 6.7),
)
_HEAD_HEIGHT = 21.0
ROW_HEIGHT = 10.4
TIGHT_ROW_HEIGHT = 8.9
"""In points; rows are set tight where this saves a page."""
_FEWEST_ROWS = 6  # a page that has less room than this is left to the next one
_LONGEST_REGION = 4
_HEAD_SIZE = 6.2
_KEY = (
    "AI: counted by the models; Final: as reported. In brackets: not scored. –: not counted. "
    f"{CLUSTER_SIGN} behind a HER2 count: clustered, an estimate. E: changed by a person. N: added by a person."
)


def nuclei_section(
    content: ReportContent, *, measure_only: bool = False, row_height: float = ROW_HEIGHT
) -> list[Flowable]:
    """Every nucleus of the case, in the order given; `measure_only` takes the room without drawing."""
    if not content.nuclei:
        return []
    scored = sum(row.scored for row in content.nuclei)
    title = Paragraph("List of nuclei", HEADING)
    note = Paragraph(f"{len(content.nuclei)} nuclei, {scored} of them scored. {_KEY}", SMALL)
    rows = [_cells(row) for row in content.nuclei]
    return [CondPageBreak(40 * mm), title, note, Spacer(1, 3), _TwoColumns(rows, row_height, measure_only)]


def _cells(row: NucleusRow) -> tuple[str, ...]:
    region = row.region if len(row.region) <= _LONGEST_REGION else f"{row.region[: _LONGEST_REGION - 1]}…"
    marks = "".join(mark for mark, applies in (("E", row.edited), ("N", row.added)) if applies)
    reason = "" if row.reason is None else row.reason.value
    cluster = CLUSTER_SIGN if row.clustered else ""
    final = (_count(row.her2, row.scored), cluster, _count(row.cep17, row.scored))
    return (region, str(row.number), _count(row.ai_her2), _count(row.ai_cep17), *final, marks, reason)


def _count(value: int | None, scored: bool = True) -> str:
    if value is None:
        return "–"
    return str(value) if scored else f"({value})"


class _TwoColumns(Flowable):
    """Rows set down the left half, then the right; splits over pages. All rows have one height, so this is fast."""

    def __init__(self, rows: Sequence[tuple[str, ...]], row_height: float, measure_only: bool) -> None:
        super().__init__()
        self._rows = rows
        self._row_height = row_height
        self._measure_only = measure_only

    def wrap(self, *_: float) -> tuple[float, float]:
        return CONTENT_WIDTH, _HEAD_HEIGHT + math.ceil(len(self._rows) / 2) * self._row_height

    def split(self, _: float, height: float) -> list[Flowable]:
        fitting = int((height - _HEAD_HEIGHT) // self._row_height)
        if fitting < _FEWEST_ROWS:
            return []
        parts = (self._rows[: 2 * fitting], self._rows[2 * fitting :])
        return [_TwoColumns(part, self._row_height, self._measure_only) for part in parts]

    def draw(self) -> None:
        if self._measure_only:
            return
        left = math.ceil(len(self._rows) / 2)
        _, top = self.wrap()
        _column(self.canv, self._rows[:left], 0, top, self._row_height)
        if self._rows[left:]:
            _column(self.canv, self._rows[left:], COLUMN_WIDTH + GUTTER, top, self._row_height)


def _column(canvas: Canvas, rows: Sequence[tuple[str, ...]], x: float, top: float, row_height: float) -> None:
    """Drawn straight onto the page: a reportlab table of thousands of rows takes many times as long."""
    canvas.setStrokeColor(black)
    canvas.setLineWidth(0.8)
    y = top - _HEAD_HEIGHT
    canvas.line(x, y, x + COLUMN_WIDTH, y)
    canvas.setFont(BODY_BOLD, _HEAD_SIZE)
    for heading, at, right, _, _ in _COLUMNS:
        for place, line in enumerate(reversed(heading.split("\n"))):
            _set(canvas, line, x + at, y + 2.6 + place * 8, right=right)
    canvas.setStrokeColor(RULE)
    canvas.setLineWidth(0.2)
    for row in rows:
        y -= row_height
        canvas.line(x, y, x + COLUMN_WIDTH, y)
        for cell, (_, at, right, font, size) in zip(row, _COLUMNS, strict=True):
            canvas.setFont(font, size)
            _set(canvas, cell, x + at, y + 0.23 * row_height, right=right)


def _set(canvas: Canvas, text: str, x: float, y: float, *, right: bool) -> None:
    if not text:
        return
    if right:
        canvas.drawRightString(x, y, text)
    elif is_plain(text):
        canvas.drawString(x, y, text)
    else:
        paragraph = Paragraph(markup(text), SMALL)
        paragraph.wrapOn(canvas, COLUMN_WIDTH, ROW_HEIGHT)
        paragraph.drawOn(canvas, x, y - 2)
