"""Rows of the database as records."""

from __future__ import annotations

import json
from collections.abc import Iterator, Sequence
from dataclasses import fields
from datetime import date
from functools import lru_cache
from typing import Any

from sqlite_utils import Database

from her2core.caselog._codec import canonical, moment, to_column
from her2core.caselog.entries import (
    AdjudicationRecord,
    FirstSignature,
    RecountedNucleus,
    RecountRecord,
    ReportKind,
    ReportRecord,
    Statement,
    StatementKind,
)
from her2core.errors import NotFoundError
from her2core.records import (
    IHC,
    Case,
    CaseDetails,
    CaseState,
    Correction,
    CorrectionKind,
    ModelUsed,
    Nucleus,
    Overlap,
    Population,
    Region,
    RegionAnalysis,
    RegionFlags,
    Role,
    SignalIntensity,
    Tally,
    User,
    models_dict,
)

Row = dict[str, Any]

DETAIL_FIELDS = tuple(field.name for field in fields(CaseDetails))
FLAG_FIELDS = tuple(field.name for field in fields(RegionFlags))
_DATES = ("date_of_birth", "collected_on", "received_on", "probe_expiry")
_BOOLEANS = ("controls_ok", "ihc_same_sample")


def rows(db: Database, sql: str, parameters: Sequence[Any] = ()) -> Iterator[Row]:
    """The rows of a query as dictionaries."""
    cursor = db.execute(sql, list(parameters))
    names = [column[0] for column in cursor.description]
    for values in cursor:
        yield dict(zip(names, values, strict=True))


def one(db: Database, table: str, row_id: int, what: str) -> Row:
    """The row with this id. Raises NotFoundError, calling it `what`."""
    for row in rows(db, f"SELECT * FROM {table} WHERE id = ?", [row_id]):  # noqa: S608 (table names are ours)
        return row
    raise NotFoundError(f"There is no such {what}.")


def user_of(row: Row) -> User:
    """A row of users."""
    return User(
        id=row["id"],
        username=row["username"],
        full_name=row["full_name"],
        credentials=row["credentials"],
        role=Role(row["role"]),
        active=bool(row["active"]),
    )


def details_of(row: Row) -> CaseDetails:
    """The columns of a case that intake fills."""
    values: dict[str, Any] = {name: row[name] for name in DETAIL_FIELDS}
    for name in _DATES:
        values[name] = None if row[name] is None else date.fromisoformat(row[name])
    for name in _BOOLEANS:
        values[name] = None if row[name] is None else bool(row[name])
    values["ihc"] = None if row["ihc"] is None else IHC(row["ihc"])
    return CaseDetails(**values)


def detail_columns(details: CaseDetails) -> Row:
    """Inverse of `details_of`."""
    return {name: to_column(getattr(details, name)) for name in DETAIL_FIELDS}


def case_of(row: Row) -> Case:
    """A row of cases."""
    populations = tuple(Population(entry["label"], entry["share_percent"]) for entry in json.loads(row["populations"]))
    return Case(
        id=row["id"],
        details=details_of(row),
        state=CaseState(row["state"]),
        version=row["version"],
        created_by=row["created_by"],
        created_at=moment(row["created_at"]),
        updated_at=moment(row["updated_at"]),
        populations=populations,
    )


def region_of(row: Row) -> Region:
    """A row of regions."""
    flags = None
    if row["suitable"] is not None:
        flags = RegionFlags(
            heterogeneous=bool(row["heterogeneous"]),
            population=row["population"],
            clusters=bool(row["clusters"]),
            signal_intensity=SignalIntensity(row["signal_intensity"]),
            overlap=Overlap(row["overlap"]),
            suitable=bool(row["suitable"]),
            unsuitable_reason=row["unsuitable_reason"],
        )
    return Region(
        id=row["id"],
        case_id=row["case_id"],
        filename=row["filename"],
        image_sha256=row["image_sha256"],
        width_px=row["width_px"],
        height_px=row["height_px"],
        um_per_px=row["um_per_px"],
        flags=flags,
    )


def flag_columns(flags: RegionFlags) -> Row:
    """The pathologist's judgement as columns of regions."""
    return {name: to_column(getattr(flags, name)) for name in FLAG_FIELDS}


def analysis_of(row: Row) -> RegionAnalysis:
    """A row of analyses."""
    return RegionAnalysis(
        width_px=row["width_px"],
        height_px=row["height_px"],
        nuclei=_nuclei(row["nuclei"]),
        models=ModelUsed.all_of(json.loads(row["models"])),
        quality=json.loads(row["quality"]),
        device=row["device"],
        seconds=row["seconds"],
    )


def analysis_columns(analysis: RegionAnalysis) -> Row:
    """Inverse of `analysis_of`."""
    return {
        "width_px": analysis.width_px,
        "height_px": analysis.height_px,
        "nuclei": canonical([nucleus.to_dict() for nucleus in analysis.nuclei]),
        "models": canonical(models_dict(analysis.models)),
        "quality": canonical(analysis.quality),
        "device": analysis.device,
        "seconds": float(analysis.seconds),
    }


@lru_cache(maxsize=32)
def _nuclei(text: str) -> tuple[Nucleus, ...]:
    """The nuclei of an analysis, which never change once they are stored; each edit of a review reads them anew."""
    return tuple(Nucleus.from_dict(entry) for entry in json.loads(text))


def correction_of(row: Row) -> Correction:
    """A row of corrections."""
    return Correction(
        id=row["id"],
        region_id=row["region_id"],
        nucleus_id=row["nucleus_id"],
        kind=CorrectionKind(row["kind"]),
        old=json.loads(row["old"]),
        new=json.loads(row["new"]),
        reason=row["reason"],
        by_user_id=row["by_user_id"],
        at=moment(row["at"]),
    )


def statement_of(row: Row) -> Statement:
    """A row of statements."""
    return Statement(
        id=row["id"],
        case_id=row["case_id"],
        kind=StatementKind(row["kind"]),
        subject=row["subject"],
        value=json.loads(row["value"]),
        by_user_id=row["by_user_id"],
        at=moment(row["at"]),
    )


def recount_of(row: Row) -> RecountRecord:
    """A row of recounts."""
    return RecountRecord(
        id=row["id"],
        case_id=row["case_id"],
        population=row["population"],
        observer_id=row["by_user_id"],
        blinded=bool(row["blinded"]),
        tally=Tally(row["n"], row["her2"], row["cep17"]),
        nuclei=tuple(RecountedNucleus(**entry) for entry in json.loads(row["nuclei"])),
        at=moment(row["at"]),
    )


def adjudication_of(row: Row) -> AdjudicationRecord:
    """A row of adjudications."""
    return AdjudicationRecord(
        id=row["id"],
        case_id=row["case_id"],
        population=row["population"],
        category=row["category"],
        group=row["result_group"],
        reason=row["reason"],
        by_user_id=row["by_user_id"],
        at=moment(row["at"]),
    )


def report_of(row: Row) -> ReportRecord:
    """A row of reports with the column `superseded_by` of the query."""
    return ReportRecord(
        id=row["id"],
        case_id=row["case_id"],
        version=row["version"],
        kind=ReportKind(row["kind"]),
        sha256=row["sha256"],
        size_bytes=row["size_bytes"],
        reason=row["reason"],
        replaces_id=row["replaces_id"],
        replaces_sha256=row["replaces_sha256"],
        superseded_by=row["superseded_by"],
        summary=json.loads(row["summary"]),
        audit_head=row["audit_head"],
        signed_by=row["signed_by"],
        cosigned_by=tuple(json.loads(row["cosigned_by"])),
        signed_at=moment(row["signed_at"]),
    )


def first_signature_of(row: Row) -> FirstSignature:
    """A row of first_signatures."""
    return FirstSignature(
        id=row["id"],
        case_id=row["case_id"],
        case_version=row["case_version"],
        kind=ReportKind(row["kind"]),
        sha256=row["sha256"],
        reason=row["reason"],
        replaces_id=row["replaces_id"],
        summary=json.loads(row["summary"]),
        signed_by=row["signed_by"],
        second_by=row["second_by"],
        signed_at=moment(row["signed_at"]),
    )
