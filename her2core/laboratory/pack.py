"""The validation pack as PDF: verdict, limits, confusion, counts, conditions, and who signs for it.

The look, the fonts and the signature are those of the reports; the content is about models, never about a patient.
"""

from __future__ import annotations

import io
from collections.abc import Sequence
from dataclasses import dataclass
from io import BytesIO
from typing import Any

import numpy as np
from matplotlib.backends.backend_agg import FigureCanvasAgg
from matplotlib.figure import Figure
from reportlab.lib.colors import black
from reportlab.lib.pagesizes import A4
from reportlab.lib.units import mm
from reportlab.platypus import (
    BaseDocTemplate,
    Flowable,
    Frame,
    Image,
    KeepTogether,
    PageTemplate,
    Paragraph,
    Spacer,
    Table,
    TableStyle,
)

from her2core.errors import SigningError
from her2core.laboratory.agreement import BlandAltman, kappa_words
from her2core.laboratory.validating import Made, Run
from her2core.laboratory.validation import Criterion, Sample, Validation, Verdict, advice, overall
from her2core.reporting.content import NOT_CLEARED
from her2core.reporting.fonts import BODY, BODY_BOLD, markup, register
from her2core.reporting.layout import (
    BODY_STYLE,
    BOTTOM,
    CELL,
    CELL_BOLD,
    CELL_RIGHT,
    CONTENT_WIDTH,
    FAINT,
    HEADING,
    HEADLINE,
    MARGIN,
    POINT,
    RULE,
    SMALL,
    SUBHEADLINE,
    SignatureField,
    local_time,
)
from her2core.reporting.signing import SIGNATURE_FIELDS
from her2core.scoring import with_sign

__all__ = ["MEANING", "Signer", "pack_pdf"]

MEANING = "I have examined this validation and answer for it."
_TOP = 21 * mm
_MOST_LISTED = 25
_WORD = {
    Verdict.PROVEN: "ACCEPTED: every limit is met, and the intervals lie within the limits",
    Verdict.MET: "LIMITS MET, NOT YET PROVEN: some intervals reach beyond their limits",
    Verdict.MISSED: "NOT ACCEPTED: at least one limit is not met",
    Verdict.UNKNOWN: "NOT DECIDED: at least one measure cannot be had from these cases",
}


@dataclass(frozen=True, slots=True)
class Signer:
    """Who signs, as printed beside the field."""

    name: str
    credentials: str
    role: str


def pack_pdf(
    v: Validation, made: Made, run: Run, laboratory: str, document_sha256: str, signer: Signer | None = None
) -> bytes:
    """The pack, with an empty signature field where somebody signs. `document_sha256`: of validation.json beside it.

    Raises SigningError where a text cannot be printed.
    """
    pages, _ = _build(v, made, run, laboratory, document_sha256, signer, 0)
    return _build(v, made, run, laboratory, document_sha256, signer, pages)[1]


def _build(
    v: Validation, made: Made, run: Run, laboratory: str, digest: str, signer: Signer | None, pages: int
) -> tuple[int, bytes]:
    register()
    buffer = BytesIO()
    name = laboratory or "Laboratory without a name"
    document = BaseDocTemplate(
        buffer, pagesize=A4, title=f"Validation of her2core, {made.at:%d %b %Y}", author=name, creator="her2core",
        producer="her2core", lang="en", displayDocTitle=True, invariant=1, initialFontName=BODY,
    )  # fmt: skip
    none = {"leftPadding": 0, "rightPadding": 0, "topPadding": 0, "bottomPadding": 0}
    frame = Frame(MARGIN, BOTTOM, CONTENT_WIDTH, A4[1] - _TOP - BOTTOM, id="body", **none)

    def furnish(canvas: Any, _: BaseDocTemplate) -> None:
        canvas.saveState()
        canvas.setStrokeColor(black)
        canvas.setLineWidth(0.6)
        canvas.line(MARGIN, A4[1] - 16.5 * mm, A4[0] - MARGIN, A4[1] - 16.5 * mm)
        canvas.line(MARGIN, 17.5 * mm, A4[0] - MARGIN, 17.5 * mm)
        of = f" of {pages}" if pages else ""
        lines = (
            (name, MARGIN, A4[1] - 14 * mm, CELL_BOLD),
            ("Validation of her2core", A4[0] - MARGIN - 60 * mm, A4[1] - 14 * mm, CELL_RIGHT),
            (f"validation.json {digest[:32]}…", MARGIN, 13.5 * mm, SMALL),
            (NOT_CLEARED, MARGIN, 10 * mm, SMALL),
            (f"page {canvas.getPageNumber()}{of}", A4[0] - MARGIN - 60 * mm, 13.5 * mm, CELL_RIGHT),
        )
        for text, x, y, style in lines:
            line = Paragraph(markup(text), style)
            width = 60 * mm if style is CELL_RIGHT else CONTENT_WIDTH - 30 * mm
            line.wrapOn(canvas, width, 20 * mm)
            line.drawOn(canvas, x, y)
        canvas.restoreState()

    document.addPageTemplates([PageTemplate("body", [frame], onPage=furnish)])
    try:
        document.build(_story(v, made, run, digest, signer))
    except Exception as error:  # reportlab raises plain exceptions of many kinds for what does not fit
        raise SigningError("The validation pack cannot be printed: a name in it is too long for a page.") from error
    return document.page, buffer.getvalue()


def _story(v: Validation, made: Made, run: Run, digest: str, signer: Signer | None) -> list[Flowable]:
    return [
        *_verdict(v),
        *_made(made, v, run, digest),
        *_limits(v),
        *_groups(v),
        *_counts(v),
        *_nuclei(v),
        *_parts(v),
        *_discordant(v, run),
        *_bounds(),
        *_signature(made, signer),
    ]


# --- sections ---------------------------------------------------------------------------------------------------------


def _verdict(v: Validation) -> list[Flowable]:
    head, _, rest = _WORD[overall(v.criteria)].partition(": ")
    right = sum(v.agreement.matrix[i][i] for i in range(5))
    basis = (
        f"{right} of {len(v.cases)} cases have the true group ({_percent(v.agreement.accuracy)}, "
        f"95 % interval {_range(v.agreement.accuracy_95)}); kappa {_number(v.kappa.value)} "
        f"({kappa_words(v.kappa.value)})"
    )
    body = [
        Paragraph(markup(head), HEADLINE),
        Paragraph(markup(rest), SUBHEADLINE),
        Paragraph(markup(basis), BODY_STYLE),
    ]
    style = [("BOX", (0, 0), (-1, -1), 1.4, black), ("BACKGROUND", (0, 0), (-1, -1), FAINT)]
    style += [
        ("LEFTPADDING", (0, 0), (-1, -1), 8),
        ("TOPPADDING", (0, 0), (-1, -1), 6),
        ("BOTTOMPADDING", (0, 0), (-1, -1), 7),
    ]
    return [Table([[body]], colWidths=[CONTENT_WIDTH], style=TableStyle(style)), Spacer(1, 4)]


def _made(made: Made, v: Validation, run: Run, digest: str) -> list[Flowable]:
    lines = [
        ("Cases", f"{len(v.cases)} with a true group, {len(v.images)} images, {v.nuclei.true} annotated nuclei. "
         f"Left out for too few nuclei: {len(v.left_out)}; images not readable: {len(run.failures)}"),
        ("Truth", f"{made.truth}, truth.json SHA-256 {made.truth_sha256}"),
        *((stage.capitalize(), f"{name}, SHA-256 {sha256}") for stage, name, sha256 in made.models),
        ("Software", f"{made.software}, counting by {made.counting}"),
        ("Made", f"{local_time(made.at)}; all numbers in validation.json, SHA-256 {digest}"),
    ]  # fmt: skip
    rows = [[Paragraph(markup(a), CELL_BOLD), Paragraph(markup(b), CELL)] for a, b in lines]
    return [_heading("What was validated"), _table(rows, [22 * mm, CONTENT_WIDTH - 22 * mm], head=False)]


def _limits(v: Validation) -> list[Flowable]:
    head = ["Measure", "n", "Measured", "95 % interval", "Limit", "Verdict"]
    rows = [[c.what, str(c.n), _value(c, c.value), _of(c), _limit(c), c.verdict.value] for c in v.criteria]
    widths = [52 * mm, 14 * mm, 20 * mm, 30 * mm, 18 * mm]
    body: list[Flowable] = [_heading("Against the laboratory's limits"), _text_table(head, rows, widths)]
    points = [Paragraph("• " + markup(text), POINT) for text in advice(v.criteria)]
    if points:
        body += [_heading("How many cases"), *points]
    return body


def _groups(v: Validation) -> list[Flowable]:
    labels = [f"Group {g}" for g in range(1, 6)]
    calls = [sum(row) for row in v.agreement.matrix]
    head = ["True", *labels, "no call", "Sensitivity (95 %)", "Specificity (95 %)"]
    rows = []
    for i, shares in enumerate(v.by_group):
        rows.append(
            [
                labels[i],
                *(str(n) if n else "·" for n in v.agreement.matrix[i]),
                str(shares.of_it - calls[i]) if shares.of_it > calls[i] else "·",
                "–"
                if shares.sensitivity is None
                else f"{_percent(shares.sensitivity)} ({_range(shares.sensitivity_95)})",
                "–"
                if shares.specificity is None
                else f"{_percent(shares.specificity)} ({_range(shares.specificity_95)})",
            ]
        )
    widths = [17 * mm, *[14 * mm] * 5, 14 * mm, 39 * mm]
    images = (
        f"Images alone: {_percent(v.image_agreement.accuracy)} of {v.image_agreement.total} have the true group, 95 % "
        f"interval {_range(v.image_interval)} when patients are drawn again (kappa {_number(v.image_agreement.kappa)})."
    )
    note = "Rows: truth; columns: her2core. A case of which fewer than 20 nuclei were scored has no call."
    return [KeepTogether([_heading("Groups of cases"), _text_table(head, rows, widths), _small(note), _small(images)])]


def _counts(v: Validation) -> list[Flowable]:
    head = ["Counted minus true, of cases", "n", "Mean (95 % interval)", "95 % of cases lie within", "Mean as a share"]
    rows = []
    shares = {"HER2 a nucleus": v.her2_share, "HER2/CEP17": v.ratio_share}
    for name, b in (("HER2 a nucleus", v.her2), ("CEP17 a nucleus", v.cep17), ("HER2/CEP17", v.ratio)):
        share = shares.get(name)
        rows.append([name, str(b.n), _with(b), _within(b), "–" if share is None else _with(share, percent=True)])
    picture = Image(BytesIO(_bland_altman_png(v.cases)), CONTENT_WIDTH, CONTENT_WIDTH * 0.36)
    text = (
        "Bland and Altman: the difference against the mean of both. A slope means that large values are read otherwise."
    )
    widths = [46 * mm, 12 * mm, 42 * mm, 40 * mm]
    return [
        KeepTogether(
            [_heading("Counts of cases"), _text_table(head, rows, widths), Spacer(1, 3), picture, _small(text)]
        )
    ]


def _nuclei(v: Validation) -> list[Flowable]:
    n = v.nuclei
    found = n.matched / n.true if n.true else None
    right = n.matched / n.found if n.found else None
    lines = [
        f"Found: {_percent(found)} of {n.true} annotated nuclei (boxes that overlap by half); {_percent(right)} of the "
        f"{n.found} nuclei found are annotated ones.",
        f"HER2: {_number(n.her2.mae)} signals off on average (bias {_number(n.her2.bias, sign=True)}) "
        f"in {n.her2.n} nuclei; "
        f"CEP17: {_number(n.cep17.mae)} (bias {_number(n.cep17.bias, sign=True)}).",
    ]
    return [KeepTogether([_heading("Single nuclei"), *(Paragraph(markup(line), BODY_STYLE) for line in lines)])]


def _parts(v: Validation) -> list[Flowable]:
    if not v.parts:
        return []
    head = ["Condition of the image", "from", "below", "Images", "True group (95 %)", "HER2 off by"]
    rows, last = [], ""
    for p in v.parts:
        rows.append(
            [
                "" if p.condition == last else p.condition,
                "" if p.low is None else f"{p.low:.3g}",
                "" if p.high is None else f"{p.high:.3g}",
                str(p.n),
                f"{_percent(p.right / p.n)} ({_range(p.concordance_95)})",
                "–" if p.her2_off is None else _percent(p.her2_off, sign=True),
            ]
        )
        last = p.condition
    widths = [62 * mm, 17 * mm, 17 * mm, 16 * mm, 42 * mm]
    note = (
        "Thirds of the images by each condition. Where the last third is worse, keep such images out or validate more."
    )
    return [_heading("Where it is better or worse"), _text_table(head, rows, widths), _small(note)]


def _discordant(v: Validation, run: Run) -> list[Flowable]:
    body: list[Flowable] = [_heading(f"Cases with another group ({len(v.discordant)})")]
    if v.discordant:
        rows = [
            [s.name, f"{s.true_group}", f"{s.call or '–'}", _tally(s, true=True), _tally(s, true=False)]
            for s in v.discordant[:_MOST_LISTED]
        ]
        head = ["Case", "True group", "Found", "True: nuclei, HER2, CEP17, ratio", "Found: nuclei, HER2, CEP17, ratio"]
        body.append(_text_table(head, rows, [32 * mm, 18 * mm, 14 * mm, 57 * mm]))
        if len(v.discordant) > _MOST_LISTED:
            body.append(_small(f"And {len(v.discordant) - _MOST_LISTED} more, in cases.csv."))
    else:
        body.append(Paragraph("None.", BODY_STYLE))
    body += [_small(f"Not read: {name}: {error}") for name, error in run.failures[:_MOST_LISTED]]
    return body


def _bounds() -> list[Flowable]:
    lines = (
        "It compares the models alone with the truth given. In use a pathologist sees and corrects every nucleus.",
        "It holds for images as these: microscope, camera, probes and preparation. Validate anew when one changes.",
        "Rendered images are easier than slides. A laboratory's own signed-out cases count for more, at any number.",
    )
    return [KeepTogether([_heading("What it does not say"), *(Paragraph("• " + markup(t), POINT) for t in lines)])]


def _signature(made: Made, signer: Signer | None) -> list[Flowable]:
    if signer is None:
        return [_heading("Signature"), Paragraph("Not signed.", BODY_STYLE)]
    who = [
        Paragraph(f"<b>{markup(', '.join(filter(None, (signer.name, signer.credentials))))}</b>", BODY_STYLE),
        Paragraph(markup(signer.role), CELL),
        Paragraph(f"Meaning: {markup(MEANING)}", CELL),
        Paragraph(f"Signed: {local_time(made.at)}", CELL),
    ]
    field = SignatureField(SIGNATURE_FIELDS[0], f"Signature of {signer.name}", 74 * mm, 20 * mm)
    style = TableStyle([("LINEABOVE", (0, 0), (-1, -1), 0.6, black), ("VALIGN", (0, 0), (-1, -1), "TOP")])
    table = Table([[who, field]], colWidths=[CONTENT_WIDTH - 78 * mm, 78 * mm], style=style)
    return [KeepTogether([_heading("Signature"), table])]


# --- pieces -----------------------------------------------------------------------------------------------------------


def _heading(text: str) -> Paragraph:
    return Paragraph(markup(text), HEADING)


def _small(text: str) -> Paragraph:
    return Paragraph(markup(text), SMALL)


def _text_table(head: Sequence[str], rows: Sequence[Sequence[str]], widths: Sequence[float]) -> Table:
    cells = [[Paragraph(markup(text), CELL_BOLD) for text in head]]
    cells += [[Paragraph(markup(text), CELL) for text in row] for row in rows]
    return _table(
        cells, [*widths, *[(CONTENT_WIDTH - sum(widths)) / (len(head) - len(widths))] * (len(head) - len(widths))]
    )


def _table(cells: Sequence[Sequence[Any]], widths: Sequence[float], *, head: bool = True) -> Table:
    style = [
        ("FONTNAME", (0, 0), (-1, -1), BODY),
        ("VALIGN", (0, 0), (-1, -1), "TOP"),
        ("LEFTPADDING", (0, 0), (-1, -1), 0),
        ("RIGHTPADDING", (0, 0), (-1, -1), 4),
        ("TOPPADDING", (0, 0), (-1, -1), 1),
        ("BOTTOMPADDING", (0, 0), (-1, -1), 1),
        ("LINEBELOW", (0, 0), (-1, -1), 0.3, RULE),
    ]
    if head:
        style += [("LINEBELOW", (0, 0), (-1, 0), 0.8, black), ("FONTNAME", (0, 0), (-1, 0), BODY_BOLD)]
    return Table(cells, colWidths=list(widths), style=TableStyle(style), repeatRows=1 if head else 0, hAlign="LEFT")


def _percent(value: float | None, *, sign: bool = False) -> str:
    if value is None:
        return "–"
    return f"{with_sign(100 * value, 1) if sign else f'{100 * value:.1f}'} %"


def _number(value: float | None, *, sign: bool = False) -> str:
    if value is None:
        return "–"
    return with_sign(value, 2) if sign else f"{value:.2f}"


def _share(value: float | None, interval: tuple[float, float]) -> str:
    return "–" if value is None else f"{_percent(value)} ({_range(interval)})"


def _range(interval: tuple[float, float]) -> str:
    return f"{100 * interval[0]:.1f} to {100 * interval[1]:.1f} %"


def _value(c: Criterion, value: float | None) -> str:
    if value is None:
        return "–"
    if c.name == "cases":
        return f"{value:.0f}"
    return f"{value:.2f}" if c.name == "kappa" else _percent(value, sign=not c.at_least)


def _of(c: Criterion) -> str:
    if c.interval is None:
        return "–"
    return f"{c.interval[0]:.2f} to {c.interval[1]:.2f}" if c.name == "kappa" else _range(c.interval)


def _limit(c: Criterion) -> str:
    return ("≥ " if c.at_least else "± ") + _value(c, c.limit).lstrip("+")


def _with(b: BlandAltman, *, percent: bool = False) -> str:
    if b.bias is None or b.bias_95 is None:
        return "–"
    factor, unit = (100, " %") if percent else (1, "")
    low, high = b.bias_95
    digits = 1 if percent else 2
    bias, start, end = (with_sign(factor * value, digits) for value in (b.bias, low, high))
    return f"{bias}{unit} ({start} to {end})"


def _within(b: BlandAltman) -> str:
    return "–" if b.low is None or b.high is None else f"{with_sign(b.low, 2)} to {with_sign(b.high, 2)}"


def _tally(s: Sample, *, true: bool) -> str:
    t = s.true if true else s.found
    ratio = f"{t.her2 / t.cep17:.2f}" if t.cep17 else "–"
    return f"{t.n}, {t.her2}, {t.cep17}, {ratio}"


def _bland_altman_png(cases: Sequence[Sample]) -> bytes:
    """Three panels in greys: HER2 and CEP17 a nucleus, and the ratio."""
    figure = Figure(figsize=(10, 3.6), dpi=110, layout="constrained")
    shown = [s for s in cases if s.true.n and s.found.n and s.true.cep17 and s.found.cep17]
    panels = (
        ("HER2 a nucleus", [(s.true.her2 / s.true.n, s.found.her2 / s.found.n) for s in shown]),
        ("CEP17 a nucleus", [(s.true.cep17 / s.true.n, s.found.cep17 / s.found.n) for s in shown]),
        ("HER2/CEP17", [(s.true.her2 / s.true.cep17, s.found.her2 / s.found.cep17) for s in shown]),
    )
    for axes, (title, pairs) in zip(figure.subplots(1, 3), panels, strict=True):
        values = np.asarray(pairs, float).reshape(-1, 2)
        difference = values[:, 1] - values[:, 0]
        axes.scatter(values.mean(axis=1), difference, s=14, color="0.25", alpha=0.7)
        if len(values) > 1:
            bias, reach = float(difference.mean()), 1.959964 * float(difference.std(ddof=1))
            for level, style in ((bias, "-"), (bias - reach, "--"), (bias + reach, "--")):
                axes.axhline(level, color="0", linewidth=0.9, linestyle=style)
        axes.set_title(title, fontsize=10)
        axes.set_xlabel("mean of both", fontsize=9)
        axes.set_ylabel("counted minus true", fontsize=9)
        axes.grid(alpha=0.25)
    buffer = io.BytesIO()
    FigureCanvasAgg(figure).print_png(buffer)  # type: ignore[no-untyped-call]
    return buffer.getvalue()
