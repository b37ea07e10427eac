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
    CondPageBreak,
    Flowable,
    Image,
    KeepTogether,
    LongTable,
    Paragraph,
    Spacer,
    Table,
    TableStyle,
)

from her2core.errors import SigningError
from her2core.reporting.content import (
    Interval,
    NucleusRow,
    ObserverCount,
    PopulationResult,
    ReportContent,
    ReportKind,
    Signatory,
    Thumbnail,
)
from her2core.reporting.fonts import BODY, BODY_BOLD, is_plain, markup
from her2core.reporting.layout import (
    BODY_STYLE,
    CELL,
    CELL_BOLD,
    COLUMN_WIDTH,
    CONTENT_WIDTH,
    FAINT,
    HEADING,
    HEADLINE,
    RULE,
    SMALL,
    SUBHEADLINE,
    WHITE_ON_BLACK,
    SignatureField,
    local_time,
    report_name,
)
from her2core.reporting.signing import SIGNATURE_FIELDS
from her2core.scoring.groups import describe_group
from her2core.scoring.tally import cep17_per_nucleus, copy_number, ratio, truncated

__all__ = [
    "ai_section",
    "alerts_section",
    "banner",
    "case_section",
    "headline_box",
    "images_section",
    "limitations_section",
    "nuclei_table",
    "numbers_section",
    "signature_section",
    "statements_section",
    "work_up_section",
]

_NOT_RECORDED = "not recorded"
_LABEL_WIDTH = 34 * mm
_TIGHT = [
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
    if content.indeterminate_reasons:
        lines.append(_paragraphs([f"Reason: {reason}" for reason in content.indeterminate_reasons], BODY_STYLE))
    lines.append(Spacer(1, 2))
    lines.append(Paragraph(f"Guideline: {markup(content.guideline)}", SMALL))
    return [_box(lines, fill=True, weight=1.4), Spacer(1, 5)]


def numbers_section(content: ReportContent) -> list[Flowable]:
    """N, H, C, means and ratio of every population and reader; the line that the result rests on is bold."""
    head = ["Population, reader", "Nuclei\nN", "HER2\nH", "CEP17\nC", "HER2 per\nnucleus H/N", "95 % interval"]
    head += ["CEP17 per\nnucleus C/N", "Ratio\nH/C", "95 % interval", "Group"]
    rows: list[list[object]] = [list(head)]
    style = [
        *_TIGHT,
        ("LINEBELOW", (0, 0), (-1, 0), 0.8, black),
        ("LINEBELOW", (0, 1), (-1, -1), 0.3, RULE),
        ("FONT", (0, 0), (-1, 0), BODY_BOLD, 7.4, 8.8),
        ("FONT", (0, 1), (-1, -1), BODY, 8.6, 10.4),
        ("ALIGN", (1, 0), (-1, -1), "RIGHT"),
        ("VALIGN", (0, 0), (-1, 0), "BOTTOM"),
        ("TOPPADDING", (0, 1), (-1, -1), 2.5),
        ("BOTTOMPADDING", (0, 1), (-1, -1), 2.5),
    ]
    for population in content.populations:
        style.append(("FONT", (1, len(rows)), (-1, len(rows)), BODY_BOLD, 8.6, 10.4))
        rows.append(_result_row(population))
        rows += [_observer_row(count) for count in population.observers]
    widths = [_share(0.262), *(_share(part) for part in (0.06, 0.06, 0.066, 0.092, 0.104, 0.092, 0.06, 0.104, 0.1))]
    note = (
        "Decimals are cut off, not rounded; the group is decided on the whole numbers N, H and C. The ratio is total "
        "over total. Intervals: bootstrap over nuclei."
    )
    table = Table(rows, colWidths=widths, style=TableStyle(style), repeatRows=1)
    return [_heading("Counts"), table, Spacer(1, 2), Paragraph(note, SMALL)]


def _result_row(population: PopulationResult) -> list[object]:
    share = "" if population.share_percent is None else f" ({population.share_percent:g} % of tumour cells)"
    regions = "" if population.regions is None else f", {population.regions} region{'s'[: population.regions != 1]}"
    name = f"<b>Population {markup(population.label)}</b>{share}{regions}"
    if not population.counted:
        name += "; described only"
    group = "–" if population.group is None else f"Group {population.group}"
    t = population.tally
    numbers: list[object] = [str(t.n), str(t.her2), str(t.cep17), truncated(copy_number(t))]
    numbers += [_interval(population.copy_number_95), truncated(cep17_per_nucleus(t)), truncated(ratio(t))]
    return [Paragraph(name, CELL), *numbers, _interval(population.ratio_95), group]


def _observer_row(count: ObserverCount) -> list[object]:
    t = count.tally
    name = Paragraph(f"{markup(count.observer)}<br/>{markup(count.role)}", SMALL)
    group = "–" if count.group is None else f"Group {count.group}"
    numbers: list[object] = [str(t.n), str(t.her2), str(t.cep17), truncated(copy_number(t))]
    numbers += [_interval(count.copy_number_95), truncated(cep17_per_nucleus(t)), truncated(ratio(t))]
    return [name, *numbers, _interval(count.ratio_95), group]


def _interval(ends: Interval | None) -> str:
    return "–" if ends is None else f"{truncated(Fraction(ends[0]))}–{truncated(Fraction(ends[1]))}"


def work_up_section(content: ReportContent) -> list[Flowable]:
    """For each population the steps from counts to result, and its comment."""
    several = len(content.populations) > 1
    parts: list[Flowable] = []
    for population in content.populations:
        rows: list[tuple[str, str]] = []
        if population.group is not None:
            rows.append(("ISH group", f"Group {population.group}: {describe_group(population.group)}"))
        ihc = population.ihc or content.details.ihc
        if ihc is not None:
            same = {True: ", same tissue sample", False: ", another tissue sample", None: ""}
            rows.append(("HER2 IHC", f"{ihc.value}{same[content.details.ihc_same_sample]}"))
        rows.append(("Result", population.outcome.upper()))
        rows.append(("Work-up", "\n".join(f"{i}. {step}" for i, step in enumerate(population.path, 1))))
        if population.comment:
            letter = f" {population.comment_letter}" if population.comment_letter else ""
            rows.append((f"Comment{letter}", population.comment))
        title = (
            f"How the result was reached: population {population.label}" if several else "How the result was reached"
        )
        parts += [_heading(title), _pairs(rows)]
    if content.interpretation.strip():
        parts.append(_pairs([("Interpretation", content.interpretation.strip())]))
    parts += [Paragraph(markup(note), SMALL) for note in content.notes]
    return parts


def statements_section(content: ReportContent) -> list[Flowable]:
    """Heterogeneity, clusters, suitability, and the nuclei that were left out, by reason."""
    left_out = ", ".join(f"{count} {reason.value}" for reason, count in content.exclusions)
    total = sum(count for _, count in content.exclusions)
    rows = [
        ("Heterogeneity", content.heterogeneity or _NOT_RECORDED),
        ("Clusters", content.clusters or _NOT_RECORDED),
        ("Suitability", content.suitability or _NOT_RECORDED),
        ("Nuclei left out", f"{total}: {left_out}" if total else "none"),
    ]
    return [_heading("Statements"), _pairs(rows)]


def alerts_section(content: ReportContent) -> list[Flowable]:
    """What the pathologist was warned of."""
    alerts = list(dict.fromkeys((*content.alerts, *(a for p in content.populations for a in p.alerts))))
    if not alerts:
        return []
    return [_heading("Points to note"), _box([_paragraphs([f"! {alert}" for alert in alerts], BODY_STYLE)], fill=False)]


# --- case, images, AI -------------------------------------------------------------------------------------------


def case_section(content: ReportContent) -> list[Flowable]:
    """Laboratory, patient, specimen and assay, side by side."""
    d = content.details
    lab = content.laboratory
    patient = [
        ("Name", d.patient_name),
        ("Patient ID", d.patient_id),
        ("Born", _day(d.date_of_birth)),
        ("Sex", d.sex or _NOT_RECORDED),
        ("Requester", d.requester or _NOT_RECORDED),
        ("Accession", d.accession),
        ("Collected", _day(d.collected_on)),
        ("Received", _day(d.received_on)),
        ("Reported", local_time(content.reported_at)),
    ]
    specimen = [
        ("Specimen", d.specimen or _NOT_RECORDED),
        ("Site", " ".join(filter(None, (d.laterality, d.site))) or _NOT_RECORDED),
        ("Block", d.block or _NOT_RECORDED),
        ("Fixation", _fixation(content)),
        ("Cold ischaemia", _NOT_RECORDED if d.cold_ischaemia_min is None else f"{d.cold_ischaemia_min:g} min"),
        ("Times", _times(content)),
        ("Section", "" if content.section_thickness_um is None else f"{content.section_thickness_um:g} µm"),
    ]
    controls = {True: "hybridised as expected", False: "NOT as expected", None: _NOT_RECORDED}[d.controls_ok]
    assay = [
        ("Test", "HER2 FISH, dual probe HER2/CEP17"),
        ("Assay type", content.assay_type),
        ("Probe kit", d.probe_kit or _NOT_RECORDED),
        ("Lot, expiry", f"{d.probe_lot or _NOT_RECORDED}, {_day(d.probe_expiry)}"),
        ("Controls", controls),
        ("Laboratory", lab.name),
        ("Address", lab.address),
        ("Accreditation", lab.accreditation),
        ("Director", lab.director),
    ]
    width = CONTENT_WIDTH / 3
    columns = [
        [Paragraph(title, CELL_BOLD), _pairs([r for r in rows if r[1]], width=width - 8, label=22 * mm, style=CELL)]
        for title, rows in (("Patient", patient), ("Specimen", specimen), ("Assay and laboratory", assay))
    ]
    table = Table([columns], colWidths=[width] * 3, style=TableStyle([*_TIGHT, ("RIGHTPADDING", (0, 0), (-1, -1), 8)]))
    return [table]


def images_section(content: ReportContent) -> list[Flowable]:
    """Up to three pictures a row, each with its caption."""
    if not content.thumbnails:
        return []
    width = CONTENT_WIDTH / 3
    cells: list[list[Flowable] | str] = [_picture(thumbnail, width - 8) for thumbnail in content.thumbnails]
    cells += [""] * (-len(cells) % 3)
    rows = [cells[start : start + 3] for start in range(0, len(cells), 3)]
    table = Table(rows, colWidths=[width] * 3, style=TableStyle([*_TIGHT, ("RIGHTPADDING", (0, 0), (-1, -1), 8)]))
    return [CondPageBreak(70 * mm), _heading("Images"), table]


def _picture(thumbnail: Thumbnail, width: float) -> list[Flowable]:
    try:
        with PillowImage.open(BytesIO(thumbnail.image)) as picture:
            across, down = picture.size
    except (OSError, ValueError) as error:
        raise SigningError("A picture of the report cannot be read. Build the report again.") from error
    scale = min(width / across, 58 * mm / down)
    image = Image(BytesIO(thumbnail.image), width=across * scale, height=down * scale, hAlign="LEFT")
    return [image, Spacer(1, 2), Paragraph(markup(thumbnail.caption), SMALL)]


def ai_section(content: ReportContent) -> list[Flowable]:
    """Which models took part and how much of their work a person changed."""
    ai = content.ai
    text = (
        f"Nuclei and signals were found by software ({markup(ai.software) or 'her2core'}) and reviewed by the "
        f"signatory. Nuclei found by the models: {ai.found}. Changed by a person: counts of {ai.counts_edited}, "
        f"{ai.added} added, {ai.excluded_by_reader} excluded, {ai.included_by_reader} included again. The values of "
        "the models are kept beside the final ones."
    )
    rows = [[Paragraph(cell, SMALL) for cell in ("Stage", "Model", "SHA-256 of the weights")]]
    rows += [[Paragraph(markup(cell), SMALL) for cell in (m.stage, m.name, m.sha256)] for m in ai.models]
    table = Table(
        rows,
        colWidths=[_share(0.14), _share(0.24), _share(0.62)],
        style=TableStyle([*_TIGHT, ("LINEBELOW", (0, 0), (-1, 0), 0.5, black)]),
    )
    return [
        KeepTogether([_heading("Use of artificial intelligence"), Paragraph(text, BODY_STYLE), Spacer(1, 3), table])
    ]


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
        Paragraph(f"Signed: {local_time(person.at)}", CELL),
    ]


# --- nuclei -----------------------------------------------------------------------------------------------------


def nuclei_table(content: ReportContent) -> list[Flowable]:
    """Every nucleus: the models' counts and the final ones; set in two columns."""
    head = ["Region", "No.", "AI\nHER2", "AI\nCEP17", "Final\nHER2", "Final\nCEP17", "Remarks"]
    rows = [head, *(_nucleus(row) for row in content.nuclei)]
    widths = [COLUMN_WIDTH * part for part in (0.15, 0.09, 0.09, 0.1, 0.09, 0.1, 0.38)]
    style = [
        *_TIGHT,
        ("FONT", (0, 0), (-1, 0), BODY_BOLD, 7, 8.2),
        ("FONT", (0, 1), (-1, -1), BODY, 7.4, 8.6),
        ("FONT", (4, 1), (5, -1), BODY_BOLD, 7.4, 8.6),
        ("ALIGN", (1, 0), (5, -1), "RIGHT"),
        ("LEFTPADDING", (6, 0), (6, -1), 6),
        ("VALIGN", (0, 0), (-1, 0), "BOTTOM"),
        ("LINEBELOW", (0, 0), (-1, 0), 0.8, black),
        ("LINEBELOW", (0, 1), (-1, -1), 0.2, RULE),
        ("TOPPADDING", (0, 1), (-1, -1), 0.6),
        ("BOTTOMPADDING", (0, 1), (-1, -1), 1.2),
    ]
    scored = sum(row.scored for row in content.nuclei)
    text = f"Nuclei: {len(content.nuclei)}, of which {scored} scored. “–”: not counted."
    return [Paragraph(text, BODY_STYLE), Spacer(1, 4), LongTable(rows, colWidths=widths, style=style, repeatRows=1)]


def _nucleus(row: NucleusRow) -> list[object]:
    remarks = [] if row.reason is None else [f"not scored: {row.reason.value}"]
    remarks += [
        word for word, said in (("cluster", row.clustered), ("edited", row.edited), ("added", row.added)) if said
    ]
    counts = [row.ai_her2, row.ai_cep17, row.her2, row.cep17]
    return [_cell(row.region), str(row.number), *("–" if c is None else str(c) for c in counts), "; ".join(remarks)]


# --- building blocks --------------------------------------------------------------------------------------------


def _heading(text: str) -> Paragraph:
    return Paragraph(markup(text), HEADING)


def _paragraphs(lines: Iterable[str], style: object) -> Paragraph:
    return Paragraph(markup("\n".join(lines)), style)


def _cell(text: str) -> object:
    """Plain strings print much faster than paragraphs; only what needs another font becomes one."""
    return text if is_plain(text) else Paragraph(markup(text), CELL)


def _pairs(
    rows: Sequence[tuple[str, str]],
    *,
    width: float = CONTENT_WIDTH,
    label: float = _LABEL_WIDTH,
    style: object = BODY_STYLE,
) -> Table:
    cells = [[Paragraph(markup(name), SMALL), Paragraph(markup(text), style)] for name, text in rows]
    return Table(cells, colWidths=[label, width - label], style=TableStyle(_TIGHT), hAlign="LEFT")


def _box(flowables: list[Flowable], *, fill: bool, weight: float = 0.7) -> Table:
    style = [("BOX", (0, 0), (-1, -1), weight, black), *_padding(8, 6)]
    if fill:
        style.append(("BACKGROUND", (0, 0), (-1, -1), FAINT))
    return Table([[flowables]], colWidths=[CONTENT_WIDTH], style=TableStyle(style))


def _padding(side: float, above: float) -> list[tuple[object, ...]]:
    whole = ((0, 0), (-1, -1))
    names = {"LEFTPADDING": side, "RIGHTPADDING": side, "TOPPADDING": above, "BOTTOMPADDING": above}
    return [(name, *whole, value) for name, value in names.items()]


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
    if hours is not None and not 6 <= hours <= 72:
        outside.append("fixation outside 6–72 h")
    if minutes is not None and minutes > 60:
        outside.append("cold ischaemia above 1 h")
    if outside:
        return "; ".join(outside)
    return "not fully recorded" if hours is None or minutes is None else "within the guideline"
