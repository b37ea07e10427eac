"""A whole case as one file: images, analyses, corrections, reports, audit rows, with the SHA-256 of each part.

Without names it holds what research and quality control need and nothing that a person typed: no identifiers, no free
text, no dates, no reports. Pixels are as uploaded: what is written into an image stays in it, and the file says so.
"""

from __future__ import annotations

import hashlib
import io
import json
import secrets
import zipfile
from collections.abc import Mapping
from datetime import UTC, date, datetime
from typing import Any

from her2core import __version__
from her2core.caselog import CaseLog, Finding
from her2core.errors import IntegrityError, WrongStateError
from her2core.permissions import Action, require
from her2core.records import CaseDetails, User, models_dict
from her2core.workflow.assessing import CaseReview, RegionReview, assess
from her2core.workflow.blinding import may_recount
from her2core.workflow.content import report_number
from her2core.workflow.outgoing import Outgoing

__all__ = ["SCHEMA", "archive_case", "archive_name", "archive_of", "check_archive", "past_retention"]

SCHEMA = "her2core.case/1"
_MANIFEST = "manifest.json"
_JSON_COLUMNS = frozenset(
    {"populations", "nuclei", "models", "quality", "old", "new", "value", "summary", "detail", "records", "cosigned_by"}
)
_ENDINGS = {b"\x89PNG": "png", b"\xff\xd8\xff": "jpg", b"II*\x00": "tif", b"MM\x00*": "tif", b"II+\x00": "tif"}
_OLDEST = 90  # years; a higher age tells who somebody is
_SEXES = frozenset({"female", "male", "other"})
_SIDES = frozenset({"left", "right", "bilateral"})
_LARGEST_MANIFEST = 64 * 1024 * 1024
_NOTE = "Images are as uploaded, without metadata. Text that is drawn into an image cannot be taken out."

Json = dict[str, Any]


def past_retention(log: CaseLog, years: int) -> list[int]:
    """Cases whose last report was signed longer ago than the laboratory has to keep it; none is ever deleted here."""
    now = log.now()
    try:
        limit = now.replace(year=now.year - years)
    except ValueError:  # 29 February
        limit = now.replace(year=now.year - years, day=28)
    return log.cases_reported_before(limit)


def archive_name(case_id: int, pseudonym: str = "") -> str:
    """A file name without anything of the patient."""
    return f"{pseudonym or report_number(case_id)}.zip"


def archive_case(log: CaseLog, case_id: int, by: User | None, *, deidentified: bool = False) -> tuple[str, bytes]:
    """As `archive_of`, noted as exported: its file name and bytes."""
    outgoing = archive_of(log, case_id, by, deidentified=deidentified)
    return outgoing.name, outgoing.handed_out(log)


def archive_of(log: CaseLog, case_id: int, by: User | None, *, deidentified: bool = False) -> Outgoing:
    """A case as one file. `by` None is the command line.

    Raises PermissionDeniedError, WrongStateError (`by` is still to recount the case blinded), NotFoundError,
    IntegrityError (an image or report is damaged: what is handed over is whole).
    """
    if by is not None:
        require(by, Action.EXPORT)
        if may_recount(log, case_id, by):
            raise WrongStateError("You can still recount this case blinded; its counts are not for you yet.")
    review = assess(log, case_id)
    pseudonym = f"case-{secrets.token_hex(6)}" if deidentified else ""
    parts = _without_names(log, review, pseudonym) if deidentified else _whole(log, case_id)
    head = log.audit_head()
    data = _zip(parts, pseudonym or report_number(case_id), deidentified, head, log.now())
    detail: Json = {"format": "archive", "deidentified": deidentified, "sha256": hashlib.sha256(data).hexdigest()}
    if pseudonym:
        detail["pseudonym"] = pseudonym  # only the laboratory can lead the file back to its case
    return Outgoing(data, by, ((case_id, detail),), archive_name(case_id, pseudonym))


def check_archive(data: bytes) -> list[Finding]:
    """What in an archived case is not as its list says; nothing in a whole one.

    Raises IntegrityError for a file that is none.
    """
    try:
        with zipfile.ZipFile(io.BytesIO(data)) as archive:
            if archive.getinfo(_MANIFEST).file_size > _LARGEST_MANIFEST:
                raise IntegrityError("This is no archived case of her2core.")
            manifest = json.loads(archive.read(_MANIFEST))
            if manifest["schema"] != SCHEMA:
                raise IntegrityError("This archived case was written by a newer her2core.")
            wanted = {entry["name"]: (entry["bytes"], entry["sha256"]) for entry in manifest["files"]}
            present = {name for name in archive.namelist() if name != _MANIFEST}
            found = [Finding(name, "is missing") for name in sorted(wanted.keys() - present)]
            found += [Finding(name, "is not in the list") for name in sorted(present - wanted.keys())]
            for name in sorted(wanted.keys() & present):
                size, digest = wanted[name]
                if archive.getinfo(name).file_size != size or hashlib.sha256(archive.read(name)).hexdigest() != digest:
                    found.append(Finding(name, "was changed or damaged"))
            return found
    except IntegrityError:
        raise
    except Exception as error:  # a hostile file can make a reader raise anything; whatever it is, the file is refused
        raise IntegrityError("This is no archived case of her2core, or it is damaged.") from error


# --- with all that is known -------------------------------------------------------------------------------------------


def _whole(log: CaseLog, case_id: int) -> dict[str, bytes]:
    found = log.case_rows(case_id)
    parts = {f"{table}.json": _json([_opened(row) for row in rows]) for table, rows in found.items()}
    for region in found["regions"]:
        image = log.images.get(region["image_sha256"])
        parts[f"images/region-{region['id']}.{_ending(image)}"] = image
    for report in found["reports"]:
        parts[f"reports/version-{report['version']}-{report['kind']}.pdf"] = log.pdfs.get(report["sha256"])
    for signature in found["first_signatures"]:
        parts[f"reports/first-signature-{signature['id']}.pdf"] = log.pdfs.get(signature["sha256"])
    return parts


def _opened(row: Mapping[str, Any]) -> Json:
    """A row, its JSON columns as values."""
    return {
        name: json.loads(value) if name in _JSON_COLUMNS and isinstance(value, str) else value
        for name, value in row.items()
        if not name.endswith("_key") and name != "search"
    }


# --- without names ----------------------------------------------------------------------------------------------------


def _without_names(log: CaseLog, review: CaseReview, pseudonym: str) -> dict[str, bytes]:
    parts = {"case.json": _json(_case(review, pseudonym))}
    for region in review.regions:
        image = log.image_bytes(region.region)
        parts[f"images/{region.name}.{_ending(image)}"] = image
    return parts


def _case(review: CaseReview, pseudonym: str) -> Json:
    people = _People()
    return {
        "case": pseudonym,
        "details": _plain_details(review.case.details),
        "populations": [{"label": p.label, "share_percent": p.share_percent} for p in review.case.populations],
        **_results(review),
        "regions": [_region(r, people) for r in review.regions],
        "recounts": [
            {
                "population": r.population,
                "observer": people.of(r.observer_id),
                "blinded": r.blinded,
                "nuclei": r.tally.n,
                "her2": r.tally.her2,
                "cep17": r.tally.cep17,
            }
            for r in review.recounts
        ],
        "adjudications": [
            {"population": a.population, "category": a.category, "group": a.group, "by": people.of(a.by_user_id)}
            for a in review.adjudications
        ],
    }


def _results(review: CaseReview) -> Json:
    """Results and counts; no result until the counts are confirmed, since it must not teach or be counted before."""
    a = review.assessment
    if a is None:
        return {"result": None, "counts": []}

    def confirmed(value: Any) -> Any:
        return value if review.reviewed else None

    result = {
        "outcome": confirmed(a.outcome.value),
        "group": confirmed(a.final_group),
        "heterogeneous": confirmed(a.heterogeneous),
        "rule_set": a.rule_set,
        "reviewed": review.reviewed,
        "signed": not review.editable,
    }
    counts = [
        {
            "population": p.label,
            "nuclei": p.tally.n,
            "her2": p.tally.her2,
            "cep17": p.tally.cep17,
            "group": confirmed(p.group),
            "outcome": confirmed(p.outcome.value),
        }
        for p in a.populations
    ]
    return {"result": result, "counts": counts}


def _region(region: RegionReview, people: _People) -> Json:
    flags, analysis = region.region.flags, region.analysis
    return {
        "name": region.name,
        "width_px": region.region.width_px,
        "height_px": region.region.height_px,
        "um_per_px": region.region.um_per_px,
        "flags": None
        if flags is None
        else {
            "heterogeneous": flags.heterogeneous,
            "population": flags.population,
            "clusters": flags.clusters,
            "signal_intensity": flags.signal_intensity.value,
            "overlap": flags.overlap.value,
            "suitable": flags.suitable,
        },
        "models": {} if analysis is None else models_dict(analysis.models),
        "quality": {} if analysis is None else analysis.quality,
        "ai": [] if analysis is None else [n.to_dict() for n in analysis.nuclei],
        "final": [n.nucleus.to_dict() for n in region.nuclei],
        "corrections": [
            {"nucleus": c.nucleus_id, "kind": c.kind.value, "old": c.old, "new": c.new, "by": people.of(c.by_user_id)}
            for c in region.corrections
        ],
    }


def _plain_details(d: CaseDetails) -> Json:
    """What is no identifier, no date and no free text of the patient; probe kit and lot are the laboratory's."""
    return {
        "sex": d.sex if d.sex in _SEXES else None,
        "age_years": _age(d.date_of_birth, d.collected_on or d.received_on),
        "laterality": d.laterality if d.laterality in _SIDES else None,
        "fixation_hours": d.fixation_hours,
        "cold_ischaemia_min": d.cold_ischaemia_min,
        "controls_ok": d.controls_ok,
        "ihc": None if d.ihc is None else d.ihc.value,
        "ihc_same_sample": d.ihc_same_sample,
    }


def _age(born: date | None, at: date | None) -> int | None:
    """Whole years, at most 90; None where a date is missing or they contradict."""
    if born is None or at is None or at < born:
        return None
    return min(at.year - born.year - ((at.month, at.day) < (born.month, born.day)), _OLDEST)


class _People:
    """People as "reader 1", "reader 2", … in the order in which they appear."""

    def __init__(self) -> None:
        self._numbers: dict[int, int] = {}

    def of(self, user_id: int) -> str:
        return f"reader {self._numbers.setdefault(user_id, len(self._numbers) + 1)}"


# --- the file ---------------------------------------------------------------------------------------------------------


def _zip(parts: Mapping[str, bytes], name: str, deidentified: bool, head: str, at: datetime) -> bytes:
    manifest = {
        "schema": SCHEMA,
        "case": name,
        "deidentified": deidentified,
        "software": f"her2core {__version__}",
        "made_at": None if deidentified else at.astimezone(UTC).isoformat(timespec="seconds"),
        "audit_head": None if deidentified else head,
        "note": _NOTE if deidentified else "Holds patient data.",
        "files": [
            {"name": part, "bytes": len(data), "sha256": hashlib.sha256(data).hexdigest()}
            for part, data in sorted(parts.items())
        ],
    }
    buffer = io.BytesIO()
    stamped = (1980, 1, 1, 0, 0, 0)  # the earliest that a zip can say: the time is in the manifest, or is left out
    with zipfile.ZipFile(buffer, "w") as archive:
        for part, data in ((_MANIFEST, _json(manifest)), *sorted(parts.items())):
            packed = zipfile.ZIP_DEFLATED if part.endswith(".json") else zipfile.ZIP_STORED
            entry = zipfile.ZipInfo(part, stamped)
            entry.compress_type, entry.external_attr = packed, 0o600 << 16
            archive.writestr(entry, data)
    return buffer.getvalue()


def _json(value: object) -> bytes:
    return json.dumps(value, ensure_ascii=False, indent=1, sort_keys=True).encode("utf-8")


def _ending(image: bytes) -> str:
    return next((ending for magic, ending in _ENDINGS.items() if image.startswith(magic)), "bin")
