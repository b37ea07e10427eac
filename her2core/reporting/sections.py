"""The sections of a report, each a function from content to the flowables that print it. Empty ones print nothing."""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from datetime import date
from fractions import Fraction
from io import BytesIO

from PIL import Image as PillowImage
from reportlab.lib.colors import black
from reportlab.lib.units import mm
from reportlab.platypus import (
    Flowable,
    Image,
    KeepTogether,
    Paragraph,
    Spacer,
    Table,
    TableStyle,
)

from her2core.errors import SigningError
from her2core.records import FIXATION_HOURS, LONGEST_ISCHAEMIA_MIN, ModelUsed
from her2core.reporting.content import (
    Interval,
    ObserverCount,
    PopulationResult,
    ReportContent,
    ReportKind,
    Signatory,
    Thumbnail,
)
from her2core.reporting.figures import BOX_LEGEND
from her2core.reporting.fonts import BODY, BODY_BOLD, markup
from her2core.reporting.layout import (
    BODY_STYLE,
    CELL,
    CELL_BOLD,
    CELL_LABEL,
    CELL_RIGHT,
    COLUMN_WIDTH,
    CONTENT_WIDTH,
    FAINT,
    GUTTER,
    HEADING,
    HEADLINE,
    LABEL,
    POINT,
    RESULT_RIGHT,
    RULE,
    SMALL,
    STEP,
    SUBHEADLINE,
    WHITE_ON_BLACK,
    SignatureField,
    local_time,
    report_name,
)
from her2core.reporting.signing import SIGNATURE_FIELDS
from her2core.scoring.tally import cep17_per_nucleus, copy_number, ratio, truncated, truncated_end

__all__ = [
    "Images",
    "ai_section",
    "alerts_section",
    "banner",
    "case_section",
    "headline_box",
    "images_section",
    "limitations_section",
    "numbers_section",
    "signature_section",
    "statements_section",
    "work_up_section",
]

_NOT_RECORDED = "not recorded"
_TIGHT = [
    ("FONTNAME", (0, 0), (-1, -1), BODY),
    ("VALIGN", (0, 0), (-1, -1), "TOP"),
    ("LEFTPADDING", (0, 0), (-1, -1), 0),
    ("RIGHTPADDING", (0, 0), (-1, -1), 4),
    ("TOPPADDING", (0, 0), (-1, -1), 1),
    ("BOTTOMPADDING", (0, 0), (-1, -1), 1),
]


# --- what kind of report ----------------------------------------------------------------------------------------


def banner(content: ReportContent) -> list[Flowable]:
    """White on black: amended, addendum or preliminary, with what it replaces, why and what changed."""
    if content.kind is ReportKind.PRELIMINARY:
        text = "PRELIMINARY REPORT: the work-up is not complete. Do not base treatment on it; a final report follows."
        return [_black(text), Spacer(1, 4)]
    replaced = content.replaces
    if replaced is None:
        return []
    amended = content.kind is ReportKind.AMENDED
    title = "AMENDED REPORT" if amended else "ADDENDUM"
    verb = "replaces" if amended else "adds to"
    lines = [
        f"{title} · {verb} report {replaced.number} version {replaced.version}",
        f"Reason: {content.reason.strip()}",
    ]
    signed = f", signed {local_time(replaced.signed_at)}" if replaced.signed_at else ""
    facts = [f"{'Replaced' if amended else 'Earlier'} report: {replaced.number} version {replaced.version}{signed}"]
    if replaced.headline:
        facts.append(f"It said: {replaced.headline}")
    facts.append(f"Its SHA-256: {replaced.sha256}. It stays in the case log.")
    facts += [f"Changed: {change}" for change in content.changes]
    return [_black("\n".join(lines)), _box([_paragraphs(facts, CELL)], fill=False), Spacer(1, 5)]


def _black(text: str) -> Table:
    return Table(
        [[Paragraph(markup(text), WHITE_ON_BLACK)]],
        colWidths=[CONTENT_WIDTH],
        style=TableStyle([("BACKGROUND", (0, 0), (-1, -1), black), *_padding(7, 5)]),
    )


# --- result -----------------------------------------------------------------------------------------------------


def headline_box(content: ReportContent) -> list[Flowable]:
    """The result, in the largest type, with what it rests on."""
    result, _, basis = content.headline.partition(":")
    lines: list[Flowable] = [Paragraph(markup(result.strip()), HEADLINE)]
    if basis.strip():
        lines.append(Paragraph(markup(basis.strip()), SUBHEADLINE))
    reasons = [f"Reason: {reason}" for reason in content.indeterminate_reasons if reason not in content.headline]
    if reasons:
        lines.append(_paragraphs(reasons, BODY_STYLE))
    lines.append(Spacer(1, 2))
    lines.append(Paragraph(f"Guideline: {markup(content.guideline)}", SMALL))
    return [_box(lines, fill=True, weight=1.4), Spacer(1, 9)]


def numbers_section(content: ReportContent) -> list[Flowable]:
    """N, H, C, means and ratio of every population and reader; the line that the result rests on is bold."""
    head = ["Population, reader", "Nuclei\nN", "HER2\nsignals H", "CEP17\nsignals C", "HER2 per\nnucleus H/N"]
    head += ["CEP17 per\nnucleus C/N", "HER2/CEP17\nratio H/C", "ISH\ngroup"]
    rows: list[list[object]] = [list(head)]
    style = [
        *_TIGHT,
        ("LINEBELOW", (0, 0), (-1, 0), 0.8, black),
        ("LINEBELOW", (0, 1), (-1, -1), 0.3, RULE),
        ("FONT", (0, 0), (-1, 0), BODY_BOLD, 7.2, 9),
        ("FONT", (0, 1), (-1, -1), BODY, 8.6, 10.4),
        ("ALIGN", (1, 0), (-1, -1), "RIGHT"),
        ("VALIGN", (0, 0), (-1, 0), "BOTTOM"),
        ("RIGHTPADDING", (-1, 0), (-1, -1), 1),
        ("TOPPADDING", (0, 1), (-1, -1), 2.5),
        ("BOTTOMPADDING", (0, 1), (-1, -1), 2.5),
    ]
    for population in content.populations:
        style.append(("FONT", (1, len(rows)), (-1, len(rows)), BODY_BOLD, 9.4, 10.8))
        first, others = _readers(population)
        rows.append([Paragraph(_population_name(population, first), CELL), *_numbers(_as_count(population), bold=True)])
        rows += [[Paragraph(f"{_reader(count)}", CELL), *_numbers(count)] for count in others]
    widths = [_share(part) for part in (0.31, 0.065, 0.085, 0.085, 0.12, 0.12, 0.125, 0.09)]
    observers = {count.observer for population in content.populations for count in population.observers}
    note = (
        f"In brackets: 95 % interval, {markup(content.intervals)}. Decimals are cut off, not rounded; the group is "
        "decided on the whole numbers N, H and C; the ratio is total over total. "
        f"Number of observers: {len(observers) or _NOT_RECORDED}."
    )
    if not observers and not any(p.tally.n for p in content.populations):
        note = "No region was counted."
    table = Table(rows, colWidths=widths, style=TableStyle(style), repeatRows=1)
    several = len(content.populations) > 1
    sure = [
        Paragraph(markup(f"{f'Population {p.label}: ' if several else ''}{' '.join(p.certainty)}"), SMALL)
        for p in content.populations
        if p.certainty
    ]
    return [_heading("Counts"), table, Spacer(1, 2), *sure, Paragraph(note, SMALL)]


def _readers(population: PopulationResult) -> tuple[ObserverCount | None, list[ObserverCount]]:
    """The reader whose count is the population's, and all others."""
    first = next((count for count in population.observers if count.tally == population.tally), None)
    return first, [count for count in population.observers if count is not first]


def _as_count(population: PopulationResult) -> ObserverCount:
    p = population
    return ObserverCount("", "", p.tally, p.copy_number_95, p.ratio_95, p.group)


def _population_name(population: PopulationResult, first: ObserverCount | None) -> str:
    share = "" if population.share_percent in (None, 100) else f", {population.share_percent:g} % of tumour cells"
    regions = (
        "" if population.regions is None else f", {population.regions}\u00a0region{'s'[: population.regions != 1]}"
    )
    described = "" if population.counted else ", described only"
    name = f"<b>Population {markup(population.label)}</b>{share}{regions}{described}"
    return name if first is None else f"{name}<br/>{_reader(first)}"


def _reader(count: ObserverCount) -> str:
    return f'<font size="7.2">{markup(count.observer)}, {markup(count.role)}</font>'


def _numbers(count: ObserverCount, *, bold: bool = False) -> list[object]:
    t = count.tally
    group = "–" if count.group is None else f"Group {count.group}"
    means = [(copy_number(t), count.copy_number_95), (cep17_per_nucleus(t), None), (ratio(t), count.ratio_95)]
    shown = [_with_interval(value, ends, bold=bold) for value, ends in means]
    return [str(t.n), str(t.her2), str(t.cep17), *shown, group]


def _with_interval(value: Fraction | None, ends: Interval | None, *, bold: bool) -> Paragraph:
    text = truncated(value)
    if ends is not None:
        low, high = (truncated_end(end) for end in ends)
        between = f"{low}–{high}"
        text += f'<br/><font name="{BODY}" size="7.2">({between})</font>'
    return Paragraph(text, RESULT_RIGHT if bold else CELL_RIGHT)


def work_up_section(content: ReportContent) -> list[Flowable]:
    """For each population the steps from counts to result, and its comment."""
    several = len(content.populations) > 1
    parts: list[Flowable] = []
    for population in content.populations:
        of_population = f": population {population.label}" if several else ""
        parts += [_heading(f"How the result was reached{of_population}"), _pairs(_work_up(population, content))]
    if content.interpretation.strip():
        parts.append(_pairs([("Interpretation", content.interpretation.strip())]))
    if content.notes:
        parts.append(_pairs([("Note", "\n".join(content.notes))]))
    return parts


def _outcome(outcome: str) -> str:
    return f"not final: {outcome}" if outcome.startswith("pending") else f"HER2 {outcome.upper()}"


def _work_up(population: PopulationResult, content: ReportContent) -> list[tuple[str, str | list[Flowable]]]:
    rows: list[tuple[str, str | list[Flowable]]] = [("Result", _outcome(population.outcome))]
    ihc = population.ihc or content.details.ihc
    if ihc is None:
        rows.append(("HER2 IHC", "not done"))
    else:
        same = {True: ", on the same tissue sample", False: ", on another tissue sample", None: ""}
        rows.append(("HER2 IHC", f"{ihc.value}{same[content.details.ihc_same_sample]}"))
    steps = [Paragraph(f"{place}. {markup(step)}", STEP) for place, step in enumerate(population.path, 1)]
    if steps:
        rows.append(("Work-up", list(steps)))
    if population.comment:
        letter = f" {population.comment_letter}" if population.comment_letter else ""
        rows.append((f"Comment{letter}", population.comment))
    return rows


def statements_section(content: ReportContent) -> list[Flowable]:
    """Heterogeneity, single cells, clusters, suitability, ratio over all signals, and nuclei left out, by reason."""
    left_out = ", ".join(f"{reason.value} {count}" for reason, count in content.exclusions)
    total = sum(count for _, count in content.exclusions)
    rows = [
        ("Heterogeneity", content.heterogeneity or _NOT_RECORDED),
        *([("Single cells", content.single_cells)] if content.single_cells else []),
        ("Clusters", content.clusters or _NOT_RECORDED),
        ("Suitability", content.suitability or _NOT_RECORDED),
        ("Nuclei left out", f"{total} ({left_out})" if total else "none"),
    ]
    if content.cross_check:
        rows.append(("Cross-check", content.cross_check))
    return [_heading("Statements"), _pairs(rows)]


def alerts_section(content: ReportContent) -> list[Flowable]:
    """What the pathologist was warned of."""
    if not content.alerts:
        return []
    points: list[Flowable] = [Paragraph(f"• {markup(alert)}", POINT) for alert in content.alerts]
    return [KeepTogether([_heading("Points to note"), _box(points, fill=False)])]


# --- case, images, AI -------------------------------------------------------------------------------------------


def case_section(content: ReportContent) -> list[Flowable]:
    """Patient, specimen and assay, side by side."""
    d = content.details
    patient = [
        ("Name", d.patient_name),
        ("Patient ID", d.patient_id),
        ("Born", _day(d.date_of_birth)),
        ("Sex", d.sex or _NOT_RECORDED),
        ("Requester", d.requester or _NOT_RECORDED),
        ("Accession", d.accession),
        ("Collected", _day(d.collected_on)),
        ("Received", _day(d.received_on)),
    ]
    specimen = [
        ("Specimen", d.specimen or _NOT_RECORDED),
        ("Site", " ".join(filter(None, (d.laterality, d.site))) or _NOT_RECORDED),
        ("Block", d.block or _NOT_RECORDED),
        ("Fixation", _fixation(content)),
        ("Cold ischaemia", _NOT_RECORDED if d.cold_ischaemia_min is None else f"{d.cold_ischaemia_min:g} min"),
        ("Pre-analytics", _times(content)),
        ("Section", "" if content.section_thickness_um is None else f"{content.section_thickness_um:g} µm"),
    ]
    controls = {True: "hybridised as expected", False: "NOT as expected", None: _NOT_RECORDED}[d.controls_ok]
    assay = [
        ("Test", "HER2 FISH, dual probe HER2/CEP17"),
        ("Assay type", content.assay_type),
        ("Probe kit", d.probe_kit or _NOT_RECORDED),
        ("Lot, expiry", f"{d.probe_lot or _NOT_RECORDED}, {_day(d.probe_expiry)}"),
        ("Controls", controls),
    ]
    width = CONTENT_WIDTH / 3
    columns = [
        [Paragraph(title, CELL_BOLD), _pairs([row for row in rows if row[1]], width=width - 8, narrow=True)]
        for title, rows in (("Patient", patient), ("Specimen", specimen), ("Assay", assay))
    ]
    table = Table([columns], colWidths=[width] * 3, style=TableStyle([*_TIGHT, ("RIGHTPADDING", (0, 0), (-1, -1), 8)]))
    return [table]


def images_section(content: ReportContent) -> list[Flowable]:
    """The pictures of regions, each with its caption, what the boxes mean, and which regions are not shown."""
    return [Images(content.thumbnails, content.pictures_note)] if content.thumbnails else []


class Images(Flowable):
    """One large picture with its text beside it, or two a row: as large as what is left of the page allows.

    `gap` is what they left empty of a page, in points, where they had to begin the next one.
    """

    _ALONE = (88.0, 64.0)  # height of a picture in mm: most, and least before the next page is begun
    _IN_ROWS = (62.0, 46.0)
    _STEP = 3.0

    def __init__(self, thumbnails: Sequence[Thumbnail], note: str = "") -> None:
        super().__init__()
        self._note = note
        self.spaceBefore = HEADING.spaceBefore
        self.gap = 0.0
        self._thumbnails = thumbnails

    def wrap(self, width: float, height: float) -> tuple[float, float]:
        most, least = self._ALONE if len(self._thumbnails) == 1 else self._IN_ROWS
        tall = most
        while (size := self._set(tall, width))[1] > height and tall - self._STEP >= least:
            tall -= self._STEP
        if size[1] <= height:
            return size
        self.gap = height
        return self._set(most, width)

    def _set(self, tall: float, width: float) -> tuple[float, float]:
        """Sets the pictures in this height (mm), and gives the size of all."""
        made = _beside(self._thumbnails[0], tall * mm) if len(self._thumbnails) == 1 else self._rows(tall * mm)
        noted = [Paragraph(markup(self._note), SMALL)] if self._note else []
        self._all = Table([[[_heading("Images"), *made, *noted]]], colWidths=[width], style=TableStyle(_padding(0, 0)))
        found: tuple[float, float] = self._all.wrapOn(self.canv, width, 1e6)
        return found

    def _rows(self, tall: float) -> list[Flowable]:
        cells: list[list[Flowable] | str] = [
            list(_picture(thumbnail, COLUMN_WIDTH, tall)) for thumbnail in self._thumbnails
        ]
        cells += [""] * (len(cells) % 2)
        rows = [cells[start : start + 2] for start in range(0, len(cells), 2)]
        style = TableStyle([*_TIGHT, ("RIGHTPADDING", (0, 0), (-1, -1), 0), ("BOTTOMPADDING", (0, 0), (-1, -1), 5)])
        return [Table(rows, colWidths=[COLUMN_WIDTH + GUTTER, COLUMN_WIDTH], style=style), Paragraph(BOX_LEGEND, SMALL)]

    def draw(self) -> None:
        self._all.drawOn(self.canv, 0, 0)


def _beside(thumbnail: Thumbnail, tall: float) -> list[Flowable]:
    image, _, caption = _picture(thumbnail, 0.66 * CONTENT_WIDTH, tall)
    wide = image.drawWidth + GUTTER
    text = [caption, Spacer(1, 5), Paragraph(BOX_LEGEND, SMALL)]
    style = TableStyle([*_TIGHT, ("RIGHTPADDING", (0, 0), (-1, -1), 0)])
    return [Table([[image, text]], colWidths=[wide, CONTENT_WIDTH - wide], style=style)]


def _picture(thumbnail: Thumbnail, width: float, height: float) -> tuple[Image, Spacer, Paragraph]:
    """The picture within width and height, and its caption."""
    try:
        with PillowImage.open(BytesIO(thumbnail.image)) as picture:
            across, down = picture.size
    except (OSError, ValueError) as error:
        raise SigningError("A picture of the report cannot be read. Build the report again.") from error
    scale = min(width / across, height / down)
    image = Image(BytesIO(thumbnail.image), width=across * scale, height=down * scale, hAlign="LEFT")
    return image, Spacer(1, 2), Paragraph(markup(thumbnail.caption), SMALL)


def ai_section(content: ReportContent) -> list[Flowable]:
    """Which models took part and how much of their work a person changed."""
    ai = content.ai
    title = "Use of artificial intelligence"
    if not ai.models:
        text = f"No region was counted, and no model took part ({markup(ai.software) or 'her2core'})."
        return [KeepTogether([_heading(title), Paragraph(text, BODY_STYLE)])]
    review = " and reviewed by the signatory" if content.signatories else "; the report is not signed yet"
    text = (
        f"Nuclei and signals were found by software ({markup(ai.software) or 'her2core'}){review}. "
        f"Nuclei found by the models: {ai.found}. {' '.join(filter(None, (ai.edits, ai.doubts)))} The values of the "
        "models are kept beside the final ones."
    )
    rows = [[Paragraph(cell, SMALL) for cell in ("Model", "Version", "Task", "SHA-256 of the weights")]]
    rows += [[Paragraph(markup(cell), SMALL) for cell in (m.name, m.version, _task(m), m.digest)] for m in ai.models]
    table = Table(
        rows,
        colWidths=[_share(part) for part in (0.12, 0.12, 0.2, 0.56)],
        style=TableStyle([*_TIGHT, ("LINEBELOW", (0, 0), (-1, 0), 0.5, black)]),
    )
    return [KeepTogether([_heading(title), Paragraph(text, BODY_STYLE), Spacer(1, 3), table])]


def _task(model: ModelUsed) -> str:
    task = {"detector": "finds nuclei", "counter": "counts signals"}.get(model.stage, model.stage)
    return f"{task} by {model.reading}" if model.reading else task


def limitations_section(content: ReportContent) -> list[Flowable]:
    """What the reader should bear in mind."""
    if not content.limitations:
        return []
    return [_heading("Limitations"), *(Paragraph(markup(line), SMALL) for line in content.limitations)]


# --- signature --------------------------------------------------------------------------------------------------


def signature_section(content: ReportContent) -> list[Flowable]:
    """Name, role, meaning and time beside each signature field; then what ties the report to the audit trail."""
    body: list[Flowable] = [_heading("Signature" if len(content.signatories) < 2 else "Signatures")]
    if content.signatories:
        rows = [
            [_signatory(person), SignatureField(name, f"Signature of {person.name}", 74 * mm, 20 * mm)]
            for person, name in zip(content.signatories, SIGNATURE_FIELDS, strict=False)
        ]
        style = [*_TIGHT, ("LINEABOVE", (0, 0), (-1, -1), 0.6, black), ("TOPPADDING", (0, 0), (-1, -1), 5)]
        style += [("BOTTOMPADDING", (0, 0), (-1, -1), 6), ("ALIGN", (1, 0), (1, -1), "RIGHT")]
        body.append(Table(rows, colWidths=[CONTENT_WIDTH - 78 * mm, 78 * mm], style=TableStyle(style)))
    else:
        body.append(Paragraph("Not signed: this is a preliminary report.", BODY_STYLE))
    body.append(Paragraph(f"{markup(report_name(content))}. Audit trail up to {markup(content.audit_head)}.", SMALL))
    if content.signatories:
        body.append(
            Paragraph(
                "The electronic signature covers the whole file. Check it in her2core (case log, verify): any later "
                "change, and a file that is not in the case log, are refused.",
                SMALL,
            )
        )
    return [KeepTogether(body)]


def _signatory(person: Signatory) -> list[Flowable]:
    name = ", ".join(filter(None, (person.name, person.credentials)))
    return [
        Paragraph(f"<b>{markup(name)}</b>", BODY_STYLE),
        Paragraph(markup(person.role), CELL),
        Paragraph(f"Meaning: {markup(person.meaning)}", CELL),
        Paragraph(
            "Signed: see the time in the field" if person.at is None else f"Signed: {local_time(person.at)}", CELL
        ),
    ]


# --- building blocks --------------------------------------------------------------------------------------------


def _heading(text: str) -> Paragraph:
    return Paragraph(markup(text), HEADING)


def _paragraphs(lines: Iterable[str], style: object) -> Paragraph:
    return Paragraph(markup("\n".join(lines)), style)


def _pairs(
    rows: Sequence[tuple[str, str | list[Flowable]]], *, width: float = CONTENT_WIDTH, narrow: bool = False
) -> Table:
    """Names and texts in two columns; `narrow` is for a third of the page."""
    label, style, room = (CELL_LABEL, CELL, 20 * mm) if narrow else (LABEL, BODY_STYLE, 26 * mm)
    cells = [
        [Paragraph(markup(name), label), Paragraph(markup(text), style) if isinstance(text, str) else text]
        for name, text in rows
    ]
    tight = [*_TIGHT, ("TOPPADDING", (0, 0), (-1, -1), 0.3), ("BOTTOMPADDING", (0, 0), (-1, -1), 0.7)]
    return Table(cells, colWidths=[room, width - room], style=TableStyle(tight), hAlign="LEFT", splitInRow=1)


def _box(flowables: list[Flowable], *, fill: bool, weight: float = 0.7) -> Table:
    style = [("BOX", (0, 0), (-1, -1), weight, black), *_padding(8, 6)]
    if fill:
        style.append(("BACKGROUND", (0, 0), (-1, -1), FAINT))
    return Table([[flowables]], colWidths=[CONTENT_WIDTH], style=TableStyle(style))


def _padding(side: float, above: float) -> list[tuple[object, ...]]:
    whole = ((0, 0), (-1, -1))
    names = {"LEFTPADDING": side, "RIGHTPADDING": side, "TOPPADDING": above, "BOTTOMPADDING": above}
    return [("FONTNAME", *whole, BODY), *((name, *whole, value) for name, value in names.items())]


def _share(part: float) -> float:
    return float(CONTENT_WIDTH) * part


def _day(day: date | None) -> str:
    return _NOT_RECORDED if day is None else f"{day:%d %b %Y}"


def _fixation(content: ReportContent) -> str:
    d = content.details
    if not d.fixative and d.fixation_hours is None:
        return _NOT_RECORDED
    hours = "" if d.fixation_hours is None else f"{d.fixation_hours:g} h"
    return ", ".join(filter(None, (d.fixative, hours)))


def _times(content: ReportContent) -> str:
    """Whether fixation (6 to 72 h) and cold ischaemia (at most 1 h) are within the guideline."""
    hours, minutes = content.details.fixation_hours, content.details.cold_ischaemia_min
    outside = []
    if hours is not None and not FIXATION_HOURS[0] <= hours <= FIXATION_HOURS[1]:
        outside.append("fixation outside 6–72 h")
    if minutes is not None and minutes > LONGEST_ISCHAEMIA_MIN:
        outside.append("cold ischaemia above 1 h")
    if outside:
        return "; ".join(outside)
    return "not fully recorded" if hours is None or minutes is None else "within the guideline"
