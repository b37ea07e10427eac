"""The case log as CSV (RFC 4180, UTF-8): one table of results, a line a population, and one of nuclei.

Spreadsheet programs take a cell that begins with = + - @ or a control character as a formula, so such text gets an
apostrophe in front. Derived numbers are cut off after two decimals, as on reports; the whole numbers beside them are
exact.

Counts that nobody confirmed have no group, and a result that nobody signed has no outcome: whoever selects lines by
outcome must not come upon them. `result_status` says why the cells are empty.
"""

from __future__ import annotations

import csv
import io
import re
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass, field
from datetime import datetime
from fractions import Fraction

from her2core.records import Case, ModelUsed, Region
from her2core.scoring import (
    STATE_WORDS,
    CaseAssessment,
    Outcome,
    PopulationAssessment,
    ResultStatus,
    ReviewedNucleus,
    cep17_per_nucleus,
    copy_number,
    ratio,
    result_status,
    truncated,
)
from her2core.scoring.wording import with_share

__all__ = ["CASE_COLUMNS", "NUCLEUS_COLUMNS", "CaseEntry", "RegionEntry", "Signed", "cases_csv", "nuclei_csv"]

_AFTER_SEPARATOR = re.compile(r"((?:\S[^\S\n]*|^)[;|]\s*|\S\s*[\t\n]\s*)(?=[=+\-@])")

Cell = str | int | float | bool | datetime | None

CASE_COLUMNS = (
    "accession",
    "patient_name",
    "patient_id",
    "date_of_birth",
    "specimen",
    "site",
    "laterality",
    "block",
    "probe_kit",
    "probe_lot",
    "controls_ok",
    "ihc",
    "ihc_same_sample",
    "state",
    "reviewed",
    "result_status",
    "opened_at",
    "updated_at",
    "outcome",
    "flagged_heterogeneous",
    "heterogeneous",
    "positive_populations",
    "population",
    "share_percent",
    "nuclei",
    "her2",
    "cep17",
    "her2_per_nucleus",
    "cep17_per_nucleus",
    "ratio",
    "group",
    "counted_group",
    "recount_group",
    "population_outcome",
    "comment",
    "rule_set",
    "report",
    "report_version",
    "report_sha256",
    "signed_by",
    "signed_at",
    "models",
)

NUCLEUS_COLUMNS = (
    "accession",
    "region",
    "region_used",
    "population",
    "nucleus",
    "x0",
    "y0",
    "x1",
    "y1",
    "ai_her2",
    "ai_cep17",
    "her2",
    "cep17",
    "clustered",
    "scored",
    "reason",
    "edited",
    "added",
)


@dataclass(frozen=True, slots=True)
class Signed:
    """The latest report of a case: kind, version in the case, SHA-256 of the PDF, and who signed it when.

    `outcome` and `populations` (group and outcome by label) are as signed; where nothing of it was kept, the rules say
    them anew. The group is that of the count.
    """

    kind: str
    version: int
    sha256: str
    by: str
    at: datetime
    outcome: str = ""
    populations: Mapping[str, tuple[int | None, str]] = field(default_factory=dict)


@dataclass(frozen=True, slots=True)
class CaseEntry:
    """A case with what the rules say of it, and the models that took part; without an assessment nothing was analysed
    yet. `flagged_heterogeneous`: a region that counts was flagged so. `amending`: the signed case is open for change.
    """

    case: Case
    assessment: CaseAssessment | None
    reviewed: bool
    report: Signed | None
    models: tuple[ModelUsed, ...] = ()
    flagged_heterogeneous: bool = False
    amending: bool = False

    @property
    def status(self) -> ResultStatus:
        """What stands behind the numbers."""
        return result_status(self.assessment, reviewed=self.reviewed, state=self.case.state, amending=self.amending)

    @property
    def confirmed(self) -> bool:
        """Whether somebody answers for the counts as they are, so that a group may stand beside them."""
        return self.reviewed or self.status is ResultStatus.SIGNED


@dataclass(frozen=True, slots=True)
class RegionEntry:
    """A region of a case with its nuclei as they count now. `name` is short, such as "A1"."""

    accession: str
    name: str
    region: Region
    nuclei: Sequence[ReviewedNucleus]

    @property
    def not_used(self) -> str:
        """Why the nuclei of the region do not bear on the result; empty where they do."""
        flags = self.region.flags
        if flags is None:
            return "not judged by a pathologist"
        return "" if flags.suitable else flags.unsuitable_reason


def cases_csv(entries: Iterable[CaseEntry]) -> str:
    """The results, a line a population; a case without an assessment has one line without numbers."""
    return _csv(CASE_COLUMNS, (row for entry in entries for row in _case_rows(entry)))


def nuclei_csv(entries: Iterable[RegionEntry]) -> str:
    """The nuclei: what the models counted (empty where a person added one), and what counts. Those `scored` sum to the
    counts of the case: none is of a region that is not used."""
    return _csv(NUCLEUS_COLUMNS, (_nucleus_row(entry, nucleus) for entry in entries for nucleus in entry.nuclei))


def _case_rows(entry: CaseEntry) -> list[dict[str, Cell]]:
    details, case, report = entry.case.details, entry.case, entry.report
    of_case: dict[str, Cell] = {
        "accession": details.accession,
        "patient_name": details.patient_name,
        "patient_id": details.patient_id,
        "date_of_birth": None if details.date_of_birth is None else details.date_of_birth.isoformat(),
        "specimen": details.specimen,
        "site": details.site,
        "laterality": details.laterality,
        "block": details.block,
        "probe_kit": details.probe_kit,
        "probe_lot": details.probe_lot,
        "controls_ok": details.controls_ok,
        "ihc": None if details.ihc is None else details.ihc.value,
        "ihc_same_sample": details.ihc_same_sample,
        "state": STATE_WORDS[case.state],
        "reviewed": entry.reviewed,
        "result_status": entry.status.value,
        "opened_at": case.created_at,
        "updated_at": case.updated_at,
    }
    if report is not None:
        of_case |= {
            "report": report.kind,
            "report_version": report.version,
            "report_sha256": report.sha256,
            "signed_by": report.by,
            "signed_at": report.at,
        }
    if entry.assessment is None:
        return [of_case]
    of_case |= {
        "outcome": _outcome(entry, entry.assessment),
        "flagged_heterogeneous": entry.flagged_heterogeneous,
        "heterogeneous": entry.assessment.heterogeneous if entry.confirmed else None,
        "positive_populations": _positive(entry, entry.assessment),
        "rule_set": entry.assessment.rule_set,
        "models": "; ".join(f"{model.called}, SHA-256 {model.digest}" for model in entry.models),
    }
    return [of_case | _population(entry, population) for population in entry.assessment.populations]


def _outcome(entry: CaseEntry, assessment: CaseAssessment) -> str | None:
    if entry.status is not ResultStatus.SIGNED:
        return None
    return (entry.report.outcome if entry.report is not None else "") or assessment.outcome.value


def _positive(entry: CaseEntry, assessment: CaseAssessment) -> str | None:
    """The populations that were signed as positive, such as "B 15 %", where the tumour has several."""
    if entry.status is not ResultStatus.SIGNED or len(assessment.populations) < 2:
        return None
    positive = [p for p in assessment.populations if _group_and_outcome(entry, p)[1] == Outcome.POSITIVE]
    return "; ".join(with_share(p.label, p.share_percent) for p in positive)


def _group_and_outcome(entry: CaseEntry, population: PopulationAssessment) -> tuple[int | None, str]:
    """Those that were signed, where the case is."""
    is_signed = entry.status is ResultStatus.SIGNED
    signed = entry.report.populations if is_signed and entry.report is not None else {}
    return signed.get(population.label, (population.group, population.outcome.value))


def _standing_group(population: PopulationAssessment, counted: int | None) -> int | None:
    """The group that the case log shows: where two counts differ the one held to be right, None before that."""
    if population.outcome is Outcome.PENDING_ADJUDICATION:
        return None
    return counted if population.adjudication is None else population.adjudication.group


def _population(entry: CaseEntry, population: PopulationAssessment) -> dict[str, Cell]:
    counted = population.tally
    is_signed = entry.status is ResultStatus.SIGNED
    group, outcome = _group_and_outcome(entry, population)
    return {
        "population": population.label,
        "share_percent": population.share_percent,
        "nuclei": counted.n,
        "her2": counted.her2,
        "cep17": counted.cep17,
        "her2_per_nucleus": _shown(copy_number(counted)),
        "cep17_per_nucleus": _shown(cep17_per_nucleus(counted)),
        "ratio": _shown(ratio(counted)),
        "group": _standing_group(population, group) if entry.confirmed else None,
        "counted_group": group if entry.confirmed else None,
        "recount_group": population.recount_group if entry.confirmed else None,
        "population_outcome": outcome if is_signed else None,
        "comment": population.comment_letter if is_signed else None,
    }


def _nucleus_row(entry: RegionEntry, reviewed: ReviewedNucleus) -> dict[str, Cell]:
    nucleus, ai = reviewed.nucleus, reviewed.ai
    x0, y0, x1, y1 = (round(side, 1) for side in nucleus.box)
    reason = None if nucleus.reason is None else nucleus.reason.value
    if entry.not_used:
        reason = reason or f"region not used: {entry.not_used}"
    return {
        "accession": entry.accession,
        "region": entry.name,
        "region_used": not entry.not_used,
        "population": None if entry.region.flags is None else entry.region.flags.population,
        "nucleus": nucleus.id,
        "x0": x0,
        "y0": y0,
        "x1": x1,
        "y1": y1,
        "ai_her2": None if ai is None else ai.her2,
        "ai_cep17": None if ai is None else ai.cep17,
        "her2": nucleus.her2,
        "cep17": nucleus.cep17,
        "clustered": nucleus.clustered,
        "scored": nucleus.scored and not entry.not_used,
        "reason": reason,
        "edited": reviewed.edited,
        "added": ai is None,
    }


def _shown(value: Fraction | None) -> str | None:
    return None if value is None else truncated(value)


def _csv(columns: Sequence[str], rows: Iterable[Mapping[str, Cell]]) -> str:
    text = io.StringIO(newline="")
    writer = csv.writer(text)
    writer.writerow(columns)
    for row in rows:
        writer.writerow([_cell(row.get(column)) for column in columns])
    return text.getvalue()


def _cell(value: Cell) -> str:
    if value is None:
        return ""
    if isinstance(value, bool):
        return "yes" if value else "no"
    if isinstance(value, datetime):
        return value.isoformat(timespec="seconds")
    if isinstance(value, str):
        return _harmless(value)
    return f"{value:g}" if isinstance(value, float) else str(value)


def _harmless(text: str) -> str:
    """The text, with an apostrophe wherever a spreadsheet would find a formula, also one that splits at ; or tabs."""
    inside = _AFTER_SEPARATOR.sub(r"\1'", text)
    return f"'{inside}" if text.lstrip(" ").startswith(("=", "+", "-", "@", "\t", "\r", "\n", "\0")) else inside
