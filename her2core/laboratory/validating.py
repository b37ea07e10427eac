"""Run the models over a laboratory's own annotated cases and judge them: what `validate` does, and what it writes."""

from __future__ import annotations

import hashlib
import json
from collections.abc import Callable, Iterable, Mapping, Sequence
from dataclasses import dataclass
from datetime import datetime
from pathlib import Path
from typing import Any

from her2core import __version__
from her2core.errors import Her2CoreError, TrainingError
from her2core.imaging import read_region
from her2core.laboratory.export import csv_text
from her2core.laboratory.validation import (
    Limits,
    NucleusCounts,
    Sample,
    Validation,
    advice,
    overall,
    validate,
)
from her2core.models import cards_of, write_atomically
from her2core.pipeline import Models
from her2core.training.detector_data import data_digest
from her2core.training.measures import count_errors
from her2core.training.readings import read_regions, read_with_models
from her2core.training.summary import Read, matched_nuclei, plain

__all__ = ["Made", "Run", "judge", "made_with", "read_cases", "rows", "validation_document", "write_results"]

# Of the conditions that renderers state, those that a pathologist could name.
_TOLD = {
    "nucleus_px": "nucleus width, px",
    "crowding": "share of nuclei against another",
    "overlap": "overlap of nuclei, radii",
    "her2_contrast": "HER2 contrast, grey levels",
    "cep17_contrast": "CEP17 contrast, grey levels",
    "noise": "noise, grey levels",
    "blur": "blur, px",
    "jpeg_quality": "JPEG quality (100: PNG)",
    "haze": "haze",
    "clustered": "share of clustered nuclei",
}


@dataclass(frozen=True, slots=True)
class Made:
    """What a validation was made with and of; `models`: stage, name, SHA-256 of the weights."""

    software: str
    models: tuple[tuple[str, str, str], ...]
    counting: str
    truth: str
    truth_sha256: str
    at: datetime


@dataclass(frozen=True, slots=True)
class Run:
    """Regions as they were read, and files that could not be read."""

    reads: tuple[Read, ...]
    failures: tuple[tuple[str, str], ...]


def made_with(truth_dir: Path, weights_dir: Path, counting: str, at: datetime, name: str = "") -> Made:
    """Software, models with their digests, and the data. Raises ModelError where a card is missing."""
    models = tuple(
        (stage, f"{card['name']} {card['version']}", str(card["sha256"]))
        for stage, card in cards_of(weights_dir).items()
    )
    return Made(f"her2core {__version__}", models, counting, name or truth_dir.name, data_digest(truth_dir), at)


def read_cases(truth_dir: Path, models: Models, progress: Callable[[int, int], None] | None = None) -> Run:
    """Every region of a truth.json folder as the models read it. Raises TrainingError for a folder without truth."""
    regions = read_regions(truth_dir)
    reads: list[Read] = []
    failures: list[tuple[str, str]] = []
    for done, region in enumerate(regions):
        try:
            path = (truth_dir / region.image).absolute()
            if not path.is_relative_to(truth_dir.absolute()) or ".." in Path(region.image).parts:
                raise TrainingError("the image lies outside the folder")
            pixels = read_region(path.read_bytes(), region.image).pixels_rgb
        except (Her2CoreError, OSError) as error:
            failures.append((region.image, str(error)))
            continue
        reads.append(Read(region, read_with_models(pixels, models)))
        if progress is not None:
            progress(done + 1, len(regions))
    return Run(tuple(reads), tuple(failures))


def judge(reads: Sequence[Read], limits: Limits | None = None) -> Validation:
    """The readings against the limits. Raises TrainingError where no case has a true group."""
    nuclei = NucleusCounts(
        true=sum(len(r.region.nuclei) for r in reads),
        found=sum(len(r.reading.nuclei) for r in reads),
        matched=sum(len(r.pairs) for r in reads),
        her2=_errors(reads, 0),
        cep17=_errors(reads, 1),
    )
    return validate([(r.region.case, _sample(r)) for r in reads], nuclei, limits)


def _errors(reads: Sequence[Read], channel: int) -> Any:
    rows = matched_nuclei(reads)
    true = [(m.truth.her2, m.truth.cep17)[channel] for m in rows]
    return count_errors([m.ways["final"][channel] for m in rows], true)


def _sample(r: Read) -> Sample:
    nuclei = r.region.nuclei
    conditions = {_TOLD[name]: value for name, value in r.region.conditions.items() if name in _TOLD}
    conditions[_TOLD["clustered"]] = sum(n.clustered for n in nuclei) / max(len(nuclei), 1)
    return Sample(r.region.image, r.region.patient, 1, r.true, r.found, conditions)


# --- what is written --------------------------------------------------------------------------------------------------

COLUMNS = (
    "name", "patient", "images", "true_group", "found_group", "concordant",
    "true_nuclei", "true_her2", "true_cep17", "nuclei", "her2", "cep17",
)  # fmt: skip


def rows(samples: Iterable[Sample], *, cases: bool) -> list[dict[str, Any]]:
    """Samples as lines of a table, by COLUMNS; a case needs enough nuclei for a group, an image alone does not."""
    return [
        {
            "name": s.name,
            "patient": s.patient,
            "images": s.images,
            "true_group": s.true_group,
            "found_group": s.call if cases else s.found_group,
            "concordant": int(s.true_group == (s.call if cases else s.found_group)),
            "true_nuclei": s.true.n,
            "true_her2": s.true.her2,
            "true_cep17": s.true.cep17,
            "nuclei": s.found.n,
            "her2": s.found.her2,
            "cep17": s.found.cep17,
        }
        for s in samples
    ]


def validation_document(v: Validation, made: Made, limits: Limits, run: Run) -> dict[str, Any]:
    """Everything as plain values for validation.json."""
    return {
        "schema": "her2core.validation/1",
        "made": {
            "software": made.software,
            "models": [dict(zip(("stage", "name", "sha256"), m, strict=True)) for m in made.models],
            "counting": made.counting,
            "truth": made.truth,
            "truth_sha256": made.truth_sha256,
            "at": made.at.isoformat(timespec="seconds"),
        },
        "limits": plain(limits),
        "verdict": overall(v.criteria).value,
        "criteria": [{**plain(c), "verdict": c.verdict.value} for c in v.criteria],
        "advice": list(advice(v.criteria)),
        "cases": {
            "n": len(v.cases),
            "left out": list(v.left_out),
            "agreement": plain(v.agreement),
            "kappa": plain(v.kappa),
            "by group": plain(v.by_group),
            "discordant": [s.name for s in v.discordant],
        },
        "images": {
            "n": len(v.images),
            "agreement": plain(v.image_agreement),
            "accuracy_95 resampled by patient": plain(v.image_interval),
            "failures": [{"image": name, "error": error} for name, error in run.failures],
        },
        "counts": {
            name: plain(getattr(v, name)) for name in ("her2", "cep17", "ratio", "her2_share", "ratio_share")
        },
        "nuclei": plain(v.nuclei),
        "parts": plain(v.parts),
    }  # fmt: skip


def write_results(out: Path, document: Mapping[str, Any], v: Validation) -> str:
    """Write validation.json, cases.csv and images.csv into `out`; the SHA-256 of validation.json, hexadecimal."""
    data = (json.dumps(document, indent=1, ensure_ascii=False) + "\n").encode()
    write_atomically(out / "validation.json", data)
    for name, samples in (("cases.csv", v.cases), ("images.csv", v.images)):
        write_atomically(out / name, csv_text(COLUMNS, rows(samples, cases=samples is v.cases)).encode())
    return hashlib.sha256(data).hexdigest()
