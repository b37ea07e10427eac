"""Signed cases as a training set: images without metadata, nuclei as the pathologist left them, no name of anybody.

    OUT/training/truth.json, images      what models may learn from
    OUT/held-out/truth.json, images      what they are judged by: never trained on

A patient is on one side with all cases, and on the same side in every later export: what once judged a model is never
taught to the next one. Only cases go in that are signed, closed, and given to training by a lab manager (case log).
"""

from __future__ import annotations

import hashlib
import io
import json
import secrets
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Final

from PIL import Image

from her2core import workflow
from her2core.caselog import CaseLog
from her2core.errors import TrainingError
from her2core.imaging import ACCEPTED, read_region
from her2core.models import write_atomically
from her2core.permissions import Action, require
from her2core.records import Exclusion, Nucleus, User
from her2core.scoring import ReviewedNucleus
from her2core.training.annotated import TRUTH_FILE
from her2core.workflow import RegionReview

__all__ = ["HELD_OUT", "PARTS", "TRAINING", "TeachingSet", "entry_of", "export_teaching_set", "part_of"]

TRAINING: Final = "training"
HELD_OUT: Final = "held-out"
PARTS: Final = (TRAINING, HELD_OUT)
# Every how many-eth patient is held out, about.
_HELD_OUT_EVERY = 3
# Kept for a reason that leaves their counts without meaning: neither to be found nor to be left, nor to be counted.
_NOT_LEARNED: Final = frozenset(
    {
        Exclusion.NO_NUCLEUS,
        Exclusion.EDGE,
        Exclusion.OVERLAP,
        Exclusion.OUT_OF_FOCUS,
        Exclusion.UNCOUNTABLE,
        Exclusion.NOT_TUMOUR,
        Exclusion.DAMAGED,
        Exclusion.OTHER,
    }
)


@dataclass(frozen=True, slots=True)
class TeachingSet:
    """What was written: cases, regions and nuclei of each part, and how many of the nuclei a person had changed."""

    folder: Path
    cases: dict[str, int]
    regions: dict[str, int]
    nuclei: dict[str, int]
    corrected: int


def part_of(patient: str) -> str:
    """The side of the split that a patient is on, for ever: by a digest of the identifier, which is not kept."""
    digest = hashlib.sha256(f"her2core held-out {_same(patient)}".encode()).digest()
    return HELD_OUT if int.from_bytes(digest[:4], "big") % _HELD_OUT_EVERY == 0 else TRAINING


def entry_of(image: str, patient: str, case: str, nuclei: Sequence[ReviewedNucleus]) -> dict[str, Any]:
    """A region as an entry of truth.json: what a person confirmed is the truth, what nobody could count is ignored."""
    learned = [r for r in nuclei if r.nucleus.reason not in _NOT_LEARNED]
    return {
        "image": image,
        "patient": patient,
        "case": case,
        "nuclei": [_nucleus(r.nucleus, corrected=r.changed) for r in learned],
        "ignore": [_box(r.nucleus) for r in nuclei if r.nucleus.reason in _NOT_LEARNED],
    }


def _nucleus(n: Nucleus, *, corrected: bool) -> dict[str, Any]:
    her2, cep17 = n.her2 or 0, n.cep17 or 0
    value: dict[str, Any] = {
        "box": _box(n),
        "her2": her2,
        "cep17": cep17,
        "cluster": n.clustered,
        "scorable": n.scored,
        "corrected": corrected,
    }
    signals = [{"channel": s.channel.value, "x": round(s.x, 2), "y": round(s.y, 2)} for s in n.signals]
    at = [sum(s["channel"] == channel for s in signals) for channel in ("her2", "cep17")]
    if at == [her2, cep17]:  # an estimate of a cluster, or a count typed in, has no positions to learn from
        value["signals"] = signals
    return value


def _box(n: Nucleus) -> list[float]:
    return [round(float(side), 2) for side in n.box]


def export_teaching_set(
    log: CaseLog, out: Path, by: User, progress: Callable[[int, int], None] | None = None
) -> TeachingSet:
    """Write the cases that may teach into the new folder `out`, noted in the history of each.

    Raises PermissionDeniedError, TrainingError where no case may teach or `out` holds something, IntegrityError where
    an image is damaged.
    """
    require(by, Action.MANAGE_MODELS)
    chosen = log.teaching_cases()
    if not chosen:
        raise TrainingError("No signed case was given to training yet. A lab manager does that on the page Models.")
    if out.exists() and any(out.iterdir()):
        raise TrainingError(f"{out} is not empty. Choose a new folder.")
    salt = secrets.token_hex(8)
    entries: dict[str, list[dict[str, Any]]] = {part: [] for part in PARTS}
    cases = dict.fromkeys(PARTS, 0)
    for done, case_id in enumerate(chosen):
        review = workflow.assess(log, case_id)
        part = part_of(review.case.details.patient_id)
        patient, case = _pseudonym(salt, review.case.details.patient_id), _pseudonym(salt, f"case {case_id}")
        counted = [region for region in review.regions if region.counts]
        for number, region in enumerate(counted):
            name = f"{case}-{number + 1}.png"
            write_atomically(out / part / name, _png(log, region))
            entries[part].append(entry_of(name, patient, case, region.nuclei))
        cases[part] += bool(counted)
        log.note("exported", by, case_id, {"format": "training set", "part": part, "case": case})
        if progress is not None:
            progress(done + 1, len(chosen))
    for part, of_part in entries.items():
        if of_part:
            write_atomically(out / part / TRUTH_FILE, json.dumps(of_part, indent=1).encode())
    every = [n for of_part in entries.values() for entry in of_part for n in entry["nuclei"]]
    return TeachingSet(
        out,
        cases,
        {part: len(of_part) for part, of_part in entries.items()},
        {part: sum(len(e["nuclei"]) for e in of_part) for part, of_part in entries.items()},
        sum(n["corrected"] for n in every),
    )


def _pseudonym(salt: str, text: str) -> str:
    return hashlib.sha256(f"{salt} {_same(text)}".encode()).hexdigest()[:12]


def _same(text: str) -> str:
    """Identifiers that differ in case or spaces only are those of one patient."""
    return " ".join(text.casefold().split())


def _png(log: CaseLog, region: RegionReview) -> bytes:
    """The pixels that the models saw, and nothing else of the file."""
    pixels = read_region(log.image_bytes(region.region), region.region.filename, ACCEPTED).pixels_rgb
    buffer = io.BytesIO()
    Image.fromarray(pixels).save(buffer, "PNG", compress_level=4)
    return buffer.getvalue()
