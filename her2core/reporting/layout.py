"""The look of a report page: paper, type, the lines that stand on every page, and the place of a signature.

Everything is black and greys, so that a fax or a copy loses nothing; no meaning is carried by colour.
"""

from __future__ import annotations

from datetime import UTC, datetime
from io import BytesIO
from typing import Any

from reportlab.lib.colors import Color, black, white
from reportlab.lib.enums import TA_CENTER, TA_RIGHT
from reportlab.lib.pagesizes import A4
from reportlab.lib.styles import ParagraphStyle
from reportlab.lib.units import mm
from reportlab.pdfbase.pdfdoc import PDFArray, PDFDictionary, PDFName, PDFString
from reportlab.pdfgen.canvas import Canvas
from reportlab.platypus import BaseDocTemplate, Flowable, Frame, KeepInFrame, PageTemplate, Paragraph, Spacer

from her2core.records import CaseDetails
from her2core.reporting.content import NOT_CLEARED, ReportContent, ReportKind
from her2core.reporting.fonts import BODY, BODY_BOLD, markup, register

__all__ = [
    "BODY_STYLE",
    "CELL",
    "CELL_BOLD",
    "CELL_LABEL",
    "CELL_RIGHT",
    "COLUMN_WIDTH",
    "CONTENT_WIDTH",
    "FAINT",
    "GREY",
    "GUTTER",
    "HEADING",
    "HEADLINE",
    "LABEL",
    "MARGIN",
    "POINT",
    "RESULT_RIGHT",
    "RULE",
    "SMALL",
    "STEP",
    "SUBHEADLINE",
    "WHITE_ON_BLACK",
    "ReportDocument",
    "SignatureField",
    "local_time",
    "report_name",
]

MARGIN = 16 * mm
TOP = 21 * mm
TOP_FIRST = 33 * mm
BOTTOM = 21 * mm
GUTTER = 6 * mm
CONTENT_WIDTH = A4[0] - 2 * MARGIN
COLUMN_WIDTH = (CONTENT_WIDTH - GUTTER) / 2

GREY = Color(0.35, 0.35, 0.35)
RULE = Color(0.62, 0.62, 0.62)
FAINT = Color(0.945, 0.945, 0.945)
_WATERMARK = Color(0.925, 0.925, 0.925)


def _style(name: str, size: float, leading: float, **more: Any) -> ParagraphStyle:
    settings = {"fontName": BODY, "shaping": 1, "splitLongWords": 1, "allowWidows": 0, "allowOrphans": 0, **more}
    return ParagraphStyle(name, fontSize=size, leading=leading, **settings)


BODY_STYLE = _style("body", 8.6, 11.4)
SMALL = _style("small", 7, 9, textColor=GREY)
LABEL = _style("label", 7.4, 11.4, textColor=GREY)  # beside body text, on its lines
CELL_LABEL = _style("cell label", 7.2, 10, textColor=GREY)  # beside cell text
STEP = _style("step", 8.6, 11.4, leftIndent=11, firstLineIndent=-11)
POINT = _style("point", 8.6, 11.4, leftIndent=7, firstLineIndent=-7)
RESULT_RIGHT = _style("result", 9.4, 10.8, fontName=BODY_BOLD, alignment=TA_RIGHT)
LETTERHEAD = _style("letterhead", 13.5, 16, fontName=BODY_BOLD)
LETTERHEAD_RIGHT = _style("letterhead right", 13.5, 16, fontName=BODY_BOLD, alignment=TA_RIGHT)
SMALL_RIGHT = _style("small right", 7, 9, textColor=GREY, alignment=TA_RIGHT)
CELL = _style("cell", 8.2, 10)
CELL_BOLD = _style("cell bold", 8.2, 10, fontName=BODY_BOLD)
CELL_RIGHT = _style("cell right", 8.2, 10, alignment=TA_RIGHT)
HEADING = _style("heading", 8.6, 11, fontName=BODY_BOLD, spaceBefore=9, spaceAfter=3, keepWithNext=1)
HEADLINE = _style("headline", 17, 20.5, fontName=BODY_BOLD)
SUBHEADLINE = _style("subheadline", 10.2, 13.2)
WHITE_ON_BLACK = _style("banner", 9.6, 12.4, fontName=BODY_BOLD, textColor=white)
_CENTRED = _style("centred", 7, 9, alignment=TA_CENTER, textColor=GREY)


def local_time(moment: datetime) -> str:
    """A moment as it is printed: local time with its zone, for example "24 Nov 2026, 10:03:05 +01:00"."""
    offset = moment.strftime("%z")
    return f"{moment:%d %b %Y, %H:%M:%S} {offset[:3]}:{offset[3:5]}"


def report_name(content: ReportContent) -> str:
    """Number, version and kind in one line, for example "Report 26-00412 · version 2 · AMENDED"."""
    kind = content.kind.value if content.kind is ReportKind.FINAL else content.kind.value.upper()
    return f"Report {content.number} · version {content.version} · {kind}"


class SignatureField(Flowable):
    """An empty PDF signature field of the given size (points), for `signing.sign` to fill."""

    def __init__(self, name: str, tooltip: str, width: float, height: float) -> None:
        super().__init__()
        self.name, self.tooltip, self.width, self.height = name, tooltip, width, height

    def wrap(self, *_: float) -> tuple[float, float]:
        return self.width, self.height

    def draw(self) -> None:
        canvas = self.canv
        canvas.setStrokeColor(RULE)
        canvas.setLineWidth(0.5)
        canvas.setDash(2, 2)
        canvas.rect(0, 0, self.width, self.height)
        canvas.setDash()
        x, y = canvas.absolutePosition(0, 0)
        widget = PDFDictionary(
            {
                "Type": PDFName("Annot"),
                "Subtype": PDFName("Widget"),
                "FT": PDFName("Sig"),
                "T": PDFString(self.name),
                "TU": PDFString(self.tooltip),
                "F": 132,  # print, locked
                "Rect": PDFArray([round(side, 2) for side in (x, y, x + self.width, y + self.height)]),
            }
        )
        canvas._addAnnotation(widget, self.name)
        document = canvas._doc
        form = getattr(document.Catalog, "AcroForm", None)
        if form is None:
            form = document.Catalog.AcroForm = PDFDictionary({"Fields": PDFArray([]), "SigFlags": 0})
        form.dict["Fields"].sequence.append(document.refAnnotation(self.name))


class ReportDocument(BaseDocTemplate):
    """A4 pages: the first has the letterhead, the others a slim head.

    `pages` is the number of pages, 0 while it is not known.
    """

    def __init__(self, buffer: BytesIO, content: ReportContent, pages: int) -> None:
        register()
        details = content.details
        super().__init__(
            buffer,
            pagesize=A4,
            title=f"HER2 FISH report {content.number} version {content.version} ({content.kind.value})",
            author=content.laboratory.name,
            subject=f"HER2 FISH, accession {details.accession}",
            creator="her2core",
            producer="her2core",
            lang="en",
            displayDocTitle=True,
            invariant=1,
            initialFontName=BODY,
        )
        self.content = content
        self.pages = pages
        first = _frame("first", MARGIN, CONTENT_WIDTH, TOP_FIRST)
        whole = _frame("body", MARGIN, CONTENT_WIDTH, TOP)
        self.addPageTemplates(
            [
                PageTemplate("first", [first], onPage=self._furnish_first, autoNextPageTemplate="body"),
                PageTemplate("body", [whole], onPage=self._furnish_later),
            ]
        )

    @property
    def used(self) -> float:
        """How much of the height of the page that was set last is used, 0 to 1."""
        frame = self.frame
        return float(1 - (frame._y - frame._y1p) / (frame._y2 - frame._y1p))

    def _startBuild(self, filename: Any = None, canvasmaker: Any = Canvas) -> None:  # noqa: N802 - reportlab's name
        super()._startBuild(filename, canvasmaker)
        _date(self.canv, self.content.reported_at)

    def _furnish_first(self, canvas: Canvas, _: BaseDocTemplate) -> None:
        """The letterhead: who reports, and which report this is."""
        canvas.saveState()
        self._watermark(canvas)
        laboratory = self.content.laboratory
        accreditation = f"Accreditation {laboratory.accreditation}" if laboratory.accreditation else ""
        director = f"Director {laboratory.director}" if laboratory.director else ""
        lines = [laboratory.address, " · ".join(filter(None, (accreditation, director)))]
        reported = f"{report_name(self.content)}\nReported {local_time(self.content.reported_at)}"
        half, top, height = CONTENT_WIDTH / 2 - 2 * mm, A4[1] - 10 * mm, TOP_FIRST - 15 * mm
        who = [Paragraph(markup(laboratory.name), LETTERHEAD), Spacer(1, 2)]
        who.append(Paragraph(markup("\n".join(filter(None, lines))), SMALL))
        which = [Paragraph("HER2 FISH report", LETTERHEAD_RIGHT), Spacer(1, 2)]
        which.append(Paragraph(markup(reported), SMALL_RIGHT))
        _draw(canvas, who, MARGIN, top, half, height)
        _draw(canvas, which, A4[0] - MARGIN - half, top, half, height)
        _rule(canvas, A4[1] - TOP_FIRST + 4 * mm)
        self._foot(canvas)
        canvas.restoreState()

    def _furnish_later(self, canvas: Canvas, _: BaseDocTemplate) -> None:
        """A slim head: laboratory and report."""
        canvas.saveState()
        self._watermark(canvas)
        half, top, height = CONTENT_WIDTH / 2 - 2 * mm, A4[1] - 10 * mm, 6 * mm
        name = Paragraph(f"HER2 FISH report · {markup(report_name(self.content))}", SMALL_RIGHT)
        _draw(canvas, [Paragraph(markup(self.content.laboratory.name), CELL_BOLD)], MARGIN, top, half, height)
        _draw(canvas, [name], A4[0] - MARGIN - half, top, half, height)
        _rule(canvas, A4[1] - TOP + 4.5 * mm)
        self._foot(canvas)
        canvas.restoreState()

    def _foot(self, canvas: Canvas) -> None:
        """Patient by two identifiers, accession, page x of y, and what the report is not: on every page."""
        _rule(canvas, 17.5 * mm)
        top, height = 16.6 * mm, 6.6 * mm
        who = [Paragraph(_identity(self.content.details), CELL)]
        _draw(canvas, who, MARGIN, top, CONTENT_WIDTH - 28 * mm, height)
        of = f" of {self.pages}" if self.pages else ""
        page = [Paragraph(f"page {canvas.getPageNumber()}{of}", CELL_RIGHT)]
        _draw(canvas, page, A4[0] - MARGIN - 26 * mm, top, 26 * mm, height)
        invented = " Demonstration: an invented patient." if self.content.demonstration else ""
        note = [Paragraph(f"{NOT_CLEARED}.{invented}", _CENTRED)]
        _draw(canvas, note, MARGIN, 9.6 * mm, CONTENT_WIDTH, 5 * mm)

    def _watermark(self, canvas: Canvas) -> None:
        if self.content.kind is ReportKind.PRELIMINARY:
            _word_across(canvas, "PRELIMINARY")
        elif self.content.demonstration:
            _word_across(canvas, "DEMONSTRATION")


def _frame(name: str, x: float, width: float, top: float) -> Frame:
    none = {"leftPadding": 0, "rightPadding": 0, "topPadding": 0, "bottomPadding": 0}
    return Frame(x, BOTTOM, width, A4[1] - top - BOTTOM, id=name, **none)


def _identity(details: CaseDetails) -> str:
    """Two patient identifiers and the accession number, as markup."""
    born = f" · born {details.date_of_birth:%d %b %Y}" if details.date_of_birth else ""
    return (
        f"<b>{markup(details.patient_name)}</b> · ID {markup(details.patient_id)}{born} · "
        f"accession {markup(details.accession)}"
    )


def _draw(canvas: Canvas, content: list[Flowable], x: float, top: float, width: float, height: float) -> None:
    """Draw below `top`; what is too long for its room is shrunk, never cut: a name must be there to its end."""
    room = KeepInFrame(width, height, content, mode="shrink")
    _, used = room.wrapOn(canvas, width, height)
    room.drawOn(canvas, x, top - used)


def _rule(canvas: Canvas, y: float) -> None:
    canvas.setStrokeColor(black)
    canvas.setLineWidth(0.6)
    canvas.line(MARGIN, y, A4[0] - MARGIN, y)


def _word_across(canvas: Canvas, word: str) -> None:
    canvas.saveState()
    canvas.translate(A4[0] / 2, A4[1] / 2)
    canvas.rotate(52)
    canvas.setFillColor(_WATERMARK)
    canvas.setFont(BODY_BOLD, 74)
    canvas.drawCentredString(0, -26, word)
    canvas.restoreState()


def _date(canvas: Canvas, moment: datetime) -> None:
    """Date the file with the time of the report, so that the bytes depend on the content alone."""
    stamp = canvas._doc._timeStamp
    moment = moment.astimezone(UTC)
    stamp.t, stamp.lt, stamp.dhh, stamp.dmm = moment.timestamp(), moment.timetuple(), 0, 0
    stamp.YMDhms, stamp.tzname = tuple(stamp.lt)[:6], "UTC"
