"""Results of a batch as research cases of the case log: a case an image, with the analysis that the batch made.

A research case says what it is in its accession number and in the place of a patient, and no controls are recorded for
it, so it can be looked through, corrected and exported like any case, and no result can be signed for it.
"""

from __future__ import annotations

import hashlib
import json
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Final

import pyarrow.parquet as pq  # type: ignore[import-untyped]

from her2core.caselog import CaseLog
from her2core.caselog.lookup import Query
from her2core.errors import DuplicateError, ExchangeError, Her2CoreError
from her2core.imaging import ImageLimits
from her2core.permissions import Action, require
from her2core.records import (
    CaseDetails,
    ModelUsed,
    Nucleus,
    Overlap,
    RegionAnalysis,
    RegionFlags,
    SignalIntensity,
    User,
)
from her2core.workflow.steps import (
    add_examined,
    check_in_no_other_case,
    create_case,
    examine_image,
    refresh_state,
    set_flags,
)

__all__ = ["RESEARCH", "Imported", "import_batch"]

RESEARCH: Final = "RESEARCH"
"""How the accession number of a research case begins."""

_PATIENT: Final = "Research: no patient"
_DIGITS: Final = 16  # of the SHA-256: enough to tell an archive's images apart


@dataclass(frozen=True, slots=True)
class Imported:
    """What an import came to: new cases, images that had one already, and what failed, by name with the reason."""

    new: int
    present: int
    failed: tuple[tuple[str, str], ...]


def import_batch(
    log: CaseLog,
    out: Path,
    source: Path,
    by: User,
    limits: ImageLimits,
    told: Callable[[str, int], None] | None = None,
) -> Imported:
    """Every image of a folder of results `out` that was analysed, from the files below `source`, as a research case.

    May be stopped and run again: what is there is passed over, and a case that was left half made is completed. Raises
    PermissionDeniedError, ExchangeError where `out` holds no results, CaseLogError.
    """
    user = require(by, Action.CREATE_CASE)
    clusters = _identity(out).get("clusters") is True
    new, present, failed = 0, 0, []
    for number, (row, analysis) in enumerate(_analyses(out), start=1):
        name, sha256 = str(row["image"]), str(row["sha256"])
        try:
            made = _import(log, source / name, sha256, analysis, clusters, user, limits)
            new, present = new + made, present + (not made)
        except DuplicateError:
            present += 1  # a region of a case of patients
        except OSError as error:
            failed.append((name, f"The file cannot be read: {error.strerror or error}."))
        except Her2CoreError as error:
            failed.append((name, str(error)))
        if told is not None:
            told(name, number)
    return Imported(new, present, tuple(failed))


def _import(
    log: CaseLog, path: Path, sha256: str, analysis: RegionAnalysis, clusters: bool, by: User, limits: ImageLimits
) -> bool:
    """The case of one image, step by step, each unless it was done before. False where nothing was left to do."""
    accession = f"{RESEARCH}-{sha256[:_DIGITS]}"
    found = log.look_up(Query(accession), limit=1)
    regions = log.regions(found[0].id) if found else []
    if regions and log.analysis(regions[0].id) is not None:
        return False
    data = path.read_bytes()
    if hashlib.sha256(data).hexdigest() != sha256:
        raise ExchangeError("The file is not the one that was analysed. Run the batch again.")
    if regions:
        region = regions[0]
    else:
        examined = examine_image(data, path.name, limits)
        case_id = found[0].id if found else None
        check_in_no_other_case(log, examined, case_id)  # before the case is made, which could not be taken back
        if case_id is None:
            case_id = create_case(log, CaseDetails(accession, _PATIENT, sha256[:_DIGITS]), by).id
        region = add_examined(log, case_id, examined, by)
    if region.flags is None:
        flags = RegionFlags(False, "A", clusters, SignalIntensity.GOOD, Overlap.LITTLE, suitable=True)
        region = set_flags(log, region.id, flags, by)
    log.save_analysis(region.id, analysis, by)
    refresh_state(log, region.case_id, by)
    return True


def _identity(out: Path) -> dict[str, Any]:
    try:
        found = json.loads((out / "batch.json").read_text(encoding="utf-8"))
    except (OSError, ValueError):
        found = None
    if not (isinstance(found, dict) and isinstance(found.get("models"), dict)):
        raise ExchangeError(f"{out} holds no results of a batch.")
    return found


def _analyses(out: Path) -> Iterator[tuple[dict[str, Any], RegionAnalysis]]:
    """Rows of images that were analysed, part by part, with the analysis as it was."""
    models = ModelUsed.all_of(_identity(out)["models"])
    for path in sorted((out / "images").glob("part-*.parquet")):
        nuclei: dict[str, list[Nucleus]] = {}
        for row in pq.read_table(out / "nuclei" / path.name).to_pylist():
            box = [row["x0"], row["y0"], row["x1"], row["y1"]]
            nuclei.setdefault(row["sha256"], []).append(Nucleus.from_dict({**row, "box": box}))
        for row in pq.read_table(path).to_pylist():
            if row["error"] is None:
                yield (
                    row,
                    RegionAnalysis(
                        row["width"],
                        row["height"],
                        tuple(nuclei.get(row["sha256"], ())),
                        models,
                        json.loads(row["quality"]),
                        row["device"],
                        row["seconds"],
                    ),
                )
