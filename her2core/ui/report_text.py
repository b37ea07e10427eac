"""All that a report will say, on one screen: drawn from the very content that the PDF is made of."""

from __future__ import annotations

from collections.abc import Iterable

from her2core.reporting.content import AiDisclosure, ObserverCount, PopulationResult, ReportContent, ReportKind
from her2core.scoring import cep17_per_nucleus, copy_number, ratio
from her2core.ui.words import escaped, interval, local_day, number

__all__ = ["REPORT_STYLE", "report_html", "report_rows"]

REPORT_STYLE = """<style>
.h2c-rep {width: 100%; border-collapse: collapse; font-size: 13px; line-height: 1.4;}
.h2c-rep td {padding: 3px 0; vertical-align: top; border-top: 1px solid rgba(140,155,170,.2);}
.h2c-rep tr:first-child td {border-top: 0;}
.h2c-rep td:first-child {width: 96px; padding-right: 10px; opacity: .7;}
.h2c-rep td:last-child {font-variant-numeric: tabular-nums; overflow-wrap: anywhere;}
.h2c-rep b {font-weight: 650;}
</style>"""

_CONTROLS = {None: "not recorded", True: "as expected", False: "not as expected"}


def report_html(content: ReportContent) -> str:
    """The report as a table of what and says. All text is escaped."""
    rows = "".join(
        f"<tr><td>{escaped(name)}</td><td>{'<br>'.join(escaped(line) for line in lines)}</td></tr>"
        for name, lines in report_rows(content)
    )
    return f'<table class="h2c-rep">{rows}</table>'


def report_rows(content: ReportContent) -> list[tuple[str, tuple[str, ...]]]:
    """What the report says, in its order: a name and its lines. What it leaves out is left out."""
    rows: list[tuple[str, Iterable[str]]] = [("Report", _kind(content)), ("Result", (content.headline,))]
    if content.indeterminate_reasons:
        rows.append(("Because", content.indeterminate_reasons))
    several = len(content.populations) > 1
    for population in content.populations:
        rows += _population(population, several=several)
    rows += [
        ("95 % intervals", (content.intervals,)),
        ("Heterogeneity", content.heterogeneity.splitlines()),
        ("Single cells", content.single_cells.splitlines()),
        ("Clusters", (content.clusters,)),
        ("All signals", content.cross_check.splitlines()),
        ("Suitability", (content.suitability,)),
        ("Not scored", (_exclusions(content),)),
        ("Points to note", content.alerts),
        ("Notes", (*content.notes, content.interpretation)),
        ("Patient", _patient(content)),
        ("Specimen", _specimen(content)),
        ("Assay", _assay(content)),
        ("AI", _ai(content.ai)),
        ("Pictures", (_pictures(content),)),
        ("Limitations", content.limitations),
        ("Guideline", (content.guideline,)),
        ("Signed by", tuple(f"{s.name}, {s.credentials or s.role}: {s.meaning}" for s in content.signatories)),
    ]
    kept = [(name, tuple(line for line in lines if line)) for name, lines in rows]
    return [(name, lines) for name, lines in kept if lines]


def _kind(content: ReportContent) -> tuple[str, ...]:
    said = [f"{content.number}, version {content.version}, {content.kind.value}"]
    if content.kind is ReportKind.PRELIMINARY:
        said[0] += ": something is still open"
    if content.replaces is not None:
        said.append(f"Replaces version {content.replaces.version}: {content.replaces.headline}")
        said.append(f"Reason: {content.reason}")
        said += [f"Changed: {change}" for change in content.changes]
    return tuple(said)


def _population(p: PopulationResult, *, several: bool) -> list[tuple[str, Iterable[str]]]:
    share = "" if p.share_percent is None or not several else f", {p.share_percent:g} % of the tumour cells"
    title = f"Population {p.label}" if several else "Counts"
    group = "" if p.group is None else f"Group {p.group}, "
    head = f"{group}{p.outcome}{share}" + ("" if p.counted else "; described only, not above 10 %")
    readers = [_reader(count) for count in p.observers]
    ihc = () if p.ihc is None else (f"IHC {p.ihc.value}",)
    rows: list[tuple[str, Iterable[str]]] = [(title, (head, *readers, *ihc)), ("How reached", p.path)]
    rows.append(("Certainty", p.certainty))
    if p.comment:
        rows.append((f"Comment {p.comment_letter or ''}".strip(), (p.comment,)))
    return rows


def _reader(count: ObserverCount) -> str:
    t = count.tally
    return (
        f"{count.observer} ({count.role}): {t.n} nuclei, {t.her2} HER2, {t.cep17} CEP17; ratio {number(ratio(t))} "
        f"(95 % {interval(count.ratio_95)}), HER2 {number(copy_number(t))} ({interval(count.copy_number_95)}), "
        f"CEP17 {number(cep17_per_nucleus(t))} per cell"
        + ("" if count.group is None else f"; Group {count.group}")
    )  # fmt: skip


def _exclusions(content: ReportContent) -> str:
    return ", ".join(f"{number_of} {reason.value}" for reason, number_of in content.exclusions if number_of)


def _pictures(content: ReportContent) -> str:
    pictures = len(content.thumbnails)
    said = f"{pictures} region{'s'[: pictures != 1]}, {len(content.nuclei)} nuclei in the table"
    return f"{said}. {content.pictures_note}" if content.pictures_note else said


def _patient(content: ReportContent) -> tuple[str, ...]:
    d = content.details
    born = f", born {local_day(d.date_of_birth)}" if d.date_of_birth else ""
    return (f"{d.patient_name}, ID {d.patient_id}{born}", f"Requested by {d.requester}" if d.requester else "")


def _specimen(content: ReportContent) -> tuple[str, ...]:
    d = content.details
    what = ", ".join(part for part in (d.specimen, d.laterality, d.site) if part)
    block = f", block {d.block}" if d.block else ""
    return (f"{d.accession}{block}", what)


def _assay(content: ReportContent) -> tuple[str, ...]:
    d = content.details
    kit = ", ".join(part for part in (d.probe_kit, f"lot {d.probe_lot}" if d.probe_lot else "") if part)
    return (kit, f"Controls {_CONTROLS[d.controls_ok]}")


def _ai(ai: AiDisclosure) -> tuple[str, ...]:
    if not ai.models:
        return (f"{ai.software}: no region was counted, and no model took part",)
    models = "; ".join(f"{m.called}, SHA-256 {m.digest}" for m in ai.models)
    return (
        f"{ai.software}: {models}",
        f"Nuclei found by the models: {ai.found}. {ai.edits}",
    )
