"""Go on training both stages on a laboratory's own corrected cases, with rendered regions beside them to remember by.

Few own cases and a large step would make a model that knows these cases and nothing else; so: few steps, at a small
rate, on own and rendered regions in equal parts ("rehearsal", Robins 1995), and a reading that is calibrated on
patients of both that the steps did not see. Whether that made the model better is asked in laboratory/candidates.
"""

from __future__ import annotations

import json
import shutil
from pathlib import Path
from typing import Any

import numpy as np

from her2core.errors import TrainingError
from her2core.models import card_of, write_atomically
from her2core.training.annotated import TRUTH_FILE
from her2core.training.detector_data import read_truth
from her2core.training.fit_counter import CounterRecipe

__all__ = ["COUNTER", "DETECTOR", "mark_tuned", "mixed"]

_TUNED = " tuned"

COUNTER = CounterRecipe(steps=200, batch=48, learning_rate=2e-4, validate_every=100, validation_share=0.25, ema=0.98)
"""Recipe of stage 2: a fifteenth of a whole training."""
DETECTOR: dict[str, Any] = {
    "steps": 60,
    "batch": 6,
    "rate": 5e-5,
    "validate_every": 30,
    "validation_fraction": 0.25,
    "max_validation_images": 16,
}
"""Recipe of stage 1."""


def mixed(own: Path, rehearsal: Path, out: Path, *, share: float = 0.5, seed: int = 1) -> Path:
    """A truth.json folder of all regions of `own` and as many of `rehearsal` that own ones are about `share` of them.

    Whole patients are drawn from the rehearsal, by `seed`; patients of the two never mix. Returns `out`. Raises
    TrainingError where a folder has no truth or lacks an image, or where fewer than two patients are its own.
    """
    if not 0 < share < 1:
        raise ValueError("the share of own regions lies between 0 and 1")
    entries = _marked(own, "own")
    if len({entry["patient"] for entry in entries}) < 2:
        raise TrainingError("Fine-tuning needs corrected cases of at least two patients: one is held out.")
    wanted = round(len(entries) * (1 - share) / share)
    by_patient: dict[str, list[dict[str, Any]]] = {}
    for entry in _marked(rehearsal, "rehearsal"):
        by_patient.setdefault(entry["patient"], []).append(entry)
    patients = sorted(by_patient)
    chosen: list[dict[str, Any]] = []
    for i in np.random.default_rng(seed).permutation(len(patients)):
        if len(chosen) >= wanted:
            break
        chosen += by_patient[patients[i]]
    out.mkdir(parents=True, exist_ok=True)
    for entry in entries + chosen:
        source = Path(entry.pop("source"))
        try:
            shutil.copyfile(source, out / entry["image"])
        except FileNotFoundError as error:
            raise TrainingError(f"The image {source.name} of {source.parent}/{TRUTH_FILE} is missing.") from error
    (out / TRUTH_FILE).write_text(json.dumps(entries + chosen), encoding="utf-8")
    return out


def _marked(folder: Path, kind: str) -> list[dict[str, Any]]:
    """Entries of a folder with image and patient named after where they come from, and the file they mean."""
    marked = []
    for number, entry in enumerate(read_truth(folder)):
        image = Path(str(entry.get("image", "")))
        source = (folder / image).absolute()
        if not str(image) or image.is_absolute() or ".." in image.parts:
            raise TrainingError(f"truth.json names an image outside its folder: {image}.")
        name = f"{kind}-{number:05d}{image.suffix}"
        patient = f"{kind}-{entry.get('patient', image)}"
        marked.append({**entry, "image": name, "patient": patient, "source": str(source)})
    return marked


def mark_tuned(weights: Path, start_from: Path) -> Path:
    """Name fine-tuned weights after the model they come from ("3.1 tuned"), in their card; returns `weights`."""
    card, before = card_of(weights), card_of(start_from)
    version = str(before.get("version", "")).removesuffix(_TUNED) + _TUNED
    text = json.dumps({**card, "version": version}, indent=2, sort_keys=True, ensure_ascii=False)
    write_atomically(weights.with_suffix(".json"), (text + "\n").encode())
    return weights
