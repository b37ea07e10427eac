"""Evaluation against a truth.json: every image read once, every measure, and the figures."""

from __future__ import annotations

import json
from collections.abc import Callable, Sequence
from pathlib import Path
from typing import Any

from her2core.errors import Her2CoreError, TrainingError
from her2core.imaging import read_region
from her2core.models import write_atomically
from her2core.pipeline import Models
from her2core.training import figures
from her2core.training.readings import Pixels, Reading, TrueRegion, match_nuclei, read_regions, read_with_models
from her2core.training.summary import Read, matched_nuclei, score_bins, summarise

__all__ = ["Observer", "evaluate", "match_nuclei", "write_evaluation"]

# Is told of every image: what is true, its pixels and file, and how her2core read it.
Observer = Callable[[TrueRegion, Pixels, bytes, Reading], None]


def evaluate(
    truth_dir: Path,
    out: Path,
    models: Models,
    *,
    progress: Callable[[int, int], None] | None = None,
    observer: Observer | None = None,
    choose: Callable[[Sequence[TrueRegion]], Sequence[TrueRegion]] | None = None,
) -> dict[str, Any]:
    """Run the pipeline on every image of a truth.json folder; write evaluation.json and its figures into `out`.

    Args:
        progress: called with images done and all.
        observer: called after every image, so that peers can read the same pixels.
        choose: which of the regions are used; all where None.

    Returns what evaluation.json holds (`summary.summarise`). Group calls are per image, as in the paper, and per
    patient (all images pooled). Raises TrainingError for a folder without truth or without a readable image.
    """
    regions = read_regions(truth_dir)
    regions = list(choose(regions)) if choose is not None else regions
    reads: list[Read] = []
    failures: list[dict[str, str]] = []
    for done, region in enumerate(regions):
        try:
            data = (truth_dir / region.image).read_bytes()
            pixels = read_region(data, region.image).pixels_rgb
        except (Her2CoreError, OSError) as error:
            failures.append({"image": region.image, "error": str(error)})
            continue
        reading = read_with_models(pixels, models, region)
        reads.append(Read(region, reading))
        if observer is not None:
            observer(region, pixels, data, reading)
        if progress is not None:
            progress(done + 1, len(regions))
    return write_evaluation(reads, out, models, failures)


def write_evaluation(
    reads: Sequence[Read], out: Path, models: Models, failures: Sequence[dict[str, str]] = ()
) -> dict[str, Any]:
    """Summarise readings of her2core and write evaluation.json and the figures; returns the summary.

    Raises TrainingError without any nucleus to find.
    """
    if not any(r.region.nuclei for r in reads):
        raise TrainingError("truth.json names no readable image with a nucleus: there is nothing to evaluate.")
    error = next((m.systematic_error for m in models.used if m.systematic_error is not None), None)
    summary, curve = summarise(reads, models.detector.config.least_stated, error)
    report = {"models": models.names, "images": len(reads), "failures": list(failures), **summary}
    rows = matched_nuclei(reads)
    drawings = {
        "precision-recall": figures.precision_recall_figure(curve),
        "score-reliability": figures.score_reliability_figure(score_bins(reads)),
        "uncertainty": figures.uncertainty_figure(summary["uncertainty"]),
    }
    for channel, name in enumerate(("her2", "cep17")):
        true = [(m.truth.her2, m.truth.cep17)[channel] for m in rows]
        found = [m.ways["final"][channel] for m in rows]
        means = [
            ((r.true.her2, r.true.cep17)[channel] / r.true.n, (r.found.her2, r.found.cep17)[channel] / r.found.n)
            for r in reads
            if r.true.n and r.found.n
        ]
        drawings[f"counts-{name}"] = figures.counts_figure(name.upper(), true, found, means)
    if "groups per image" in summary:
        agreement = summary["groups per image"]
        drawings["confusion"] = figures.confusion_figure(agreement["matrix"], agreement["accuracy"])
        drawings["group-probability"] = figures.group_probability_figure(summary["intervals"])
    out.mkdir(parents=True, exist_ok=True)
    for name, png in drawings.items():
        write_atomically(out / f"{name}.png", png)
    write_atomically(out / "evaluation.json", (json.dumps(report, indent=1) + "\n").encode())
    return report
