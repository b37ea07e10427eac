"""Evaluation against a truth.json: detection, counts and group calls, with intervals, and the paper's figures."""

from __future__ import annotations

import json
import math
from collections import defaultdict
from collections.abc import Callable, Iterable, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

from her2core.detection.metrics import ImageDetections, ImageTruth, PrecisionRecall, precision_recall
from her2core.errors import Her2CoreError, TrainingError
from her2core.imaging import read_region
from her2core.models import write_atomically
from her2core.pipeline import Models, analyse
from her2core.records import Channel, Nucleus, RegionAnalysis, Tally
from her2core.scoring import group, tally
from her2core.training.figures import confusion_figure, precision_recall_figure

__all__ = [
    "CountErrors",
    "GroupAgreement",
    "count_errors",
    "evaluate",
    "group_agreement",
    "match_nuclei",
    "wilson",
]

GROUPS = (1, 2, 3, 4, 5)
_LOW_SCORE = 0.02


@dataclass(frozen=True, slots=True)
class GroupAgreement:
    """5 x 5 confusion matrix (rows truth, columns found, groups 1-5) of `total` images; `undefined` had no call."""

    matrix: tuple[tuple[int, ...], ...]
    undefined: int
    total: int
    accuracy: float
    accuracy_95: tuple[float, float]
    kappa: float | None
    recall: dict[int, float | None]
    group1_sensitivity: float | None
    group1_specificity: float | None


@dataclass(frozen=True, slots=True)
class CountErrors:
    """Error of counts over n nuclei: mean absolute error, bias (found minus true), and the bias as a share of truth."""

    n: int
    mae: float | None
    bias: float | None
    relative_mae: float | None


def wilson(successes: int, total: int, z: float = 1.959964) -> tuple[float, float]:
    """Wilson's score interval of a proportion; (0, 1) for no trials."""
    if total == 0:
        return 0.0, 1.0
    p = successes / total
    centre = (p + z * z / (2 * total)) / (1 + z * z / total)
    half = z / (1 + z * z / total) * math.sqrt(p * (1 - p) / total + z * z / (4 * total * total))
    return max(0.0, centre - half), min(1.0, centre + half)


def group_agreement(pairs: Iterable[tuple[int, int | None]]) -> GroupAgreement:
    """Agreement of (true group, found group or None) pairs.

    An image without a call counts as wrong. Raises TrainingError without any pair.
    """
    pairs = list(pairs)
    if not pairs:
        raise TrainingError("There is no image with a known group to evaluate.")
    matrix = [[sum(p == (t, f) for p in pairs) for f in GROUPS] for t in GROUPS]
    total = len(pairs)
    right = sum(matrix[i][i] for i in range(5))
    rows, columns = [sum(t == g for t, _ in pairs) for g in GROUPS], [sum(row[i] for row in matrix) for i in range(5)]
    expected = sum(r * c for r, c in zip(rows, columns, strict=True)) / total**2
    negatives = total - rows[0]
    return GroupAgreement(
        matrix=tuple(tuple(row) for row in matrix),
        undefined=sum(f is None for _, f in pairs),
        total=total,
        accuracy=right / total,
        accuracy_95=wilson(right, total),
        kappa=(right / total - expected) / (1 - expected) if expected < 1 else None,
        recall={g: matrix[i][i] / rows[i] if rows[i] else None for i, g in enumerate(GROUPS)},
        group1_sensitivity=matrix[0][0] / rows[0] if rows[0] else None,
        group1_specificity=sum(t != 1 and f != 1 for t, f in pairs) / negatives if negatives else None,
    )


def count_errors(found: Sequence[float], true: Sequence[float]) -> CountErrors:
    """Errors of one channel over nuclei; None values where there are none."""
    if not found:
        return CountErrors(0, None, None, None)
    error = np.asarray(found, float) - np.asarray(true, float)
    mae, mean = float(np.abs(error).mean()), float(np.mean(true))
    return CountErrors(len(found), mae, float(error.mean()), mae / mean if mean else None)


def match_nuclei(found: Sequence[Nucleus], boxes: NDArray[np.floating], iou: float = 0.5) -> list[tuple[int, int]]:
    """Pairs (index in found, index of true box float[N, 4] xyxy), best score first, each used once."""
    pairs, taken = [], np.zeros(len(boxes), bool)
    for i in sorted(range(len(found)), key=lambda i: -found[i].score):
        x0, y0, x1, y1 = found[i].box
        width = np.clip(np.minimum(x1, boxes[:, 2]) - np.maximum(x0, boxes[:, 0]), 0, None)
        height = np.clip(np.minimum(y1, boxes[:, 3]) - np.maximum(y0, boxes[:, 1]), 0, None)
        areas = (boxes[:, 2] - boxes[:, 0]) * (boxes[:, 3] - boxes[:, 1])
        overlap = width * height / ((x1 - x0) * (y1 - y0) + areas - width * height)
        overlap[taken] = 0
        if len(overlap) and overlap.max() >= iou:
            best = int(overlap.argmax())
            taken[best] = True
            pairs.append((i, best))
    return pairs


@dataclass(frozen=True, slots=True)
class _Row:
    """A matched nucleus: what is true and what each way of counting says."""

    clustered: bool
    true: tuple[int, int]
    ways: dict[str, tuple[float, float]]
    uncertain: bool


def _rows(entry: dict[str, Any], analysis: RegionAnalysis) -> list[_Row]:
    truths = entry["nuclei"]
    boxes = np.array([n["box"] for n in truths], float).reshape(-1, 4)
    rows = []
    for i, j in match_nuclei(analysis.nuclei, boxes):
        nucleus, truth = analysis.nuclei[i], truths[j]
        # Nuclei that nobody would score say nothing about counting.
        if not truth.get("scorable", True) or nucleus.her2 is None or nucleus.cep17 is None:
            continue
        peaks = [float(sum(s.channel is c for s in nucleus.signals)) for c in (Channel.HER2, Channel.CEP17)]
        rows.append(
            _Row(
                bool(truth.get("cluster", False)),
                (truth["her2"], truth["cep17"]),
                {
                    "final": (nucleus.her2, nucleus.cep17),
                    "regression": (nucleus.her2_regressed, nucleus.cep17_regressed),
                    "peaks": (peaks[0], peaks[1]),
                },
                nucleus.uncertain,
            )
        )
    return rows


def _errors(rows: Sequence[_Row]) -> dict[str, Any]:
    """Errors by way of counting, channel and clustering."""
    table: dict[str, Any] = {}
    for way in ("final", "regression", "peaks"):
        for channel, name in enumerate(("her2", "cep17")):
            for kind, wanted in (("not clustered", False), ("clustered", True)):
                chosen = [r for r in rows if r.clustered is wanted]
                errors = count_errors([r.ways[way][channel] for r in chosen], [r.true[channel] for r in chosen])
                table[f"{way}, {name}, {kind}"] = _plain(errors)
    for certain in (True, False):
        chosen = [r for r in rows if r.uncertain is not certain]
        wrong = [r.ways["final"] != (float(r.true[0]), float(r.true[1])) for r in chosen]
        table["certain nuclei" if certain else "uncertain nuclei"] = {
            "n": len(chosen),
            "share with a wrong count": round(float(np.mean(wrong)), 4) if chosen else None,
        }
    return table


def _plain(value: Any) -> Any:
    """Dataclasses and tuples as JSON, floats with four decimals."""
    if hasattr(value, "__dataclass_fields__"):
        return {name: _plain(getattr(value, name)) for name in value.__dataclass_fields__}
    if isinstance(value, dict):
        return {str(k): _plain(v) for k, v in value.items()}
    if isinstance(value, tuple | list):
        return [_plain(v) for v in value]
    return round(value, 4) if isinstance(value, float) else value


def _read_truth(truth_dir: Path) -> list[dict[str, Any]]:
    try:
        entries = json.loads((truth_dir / "truth.json").read_text(encoding="utf-8"))
    except (OSError, ValueError) as error:
        raise TrainingError(f"{truth_dir.name} holds no readable truth.json.") from error
    if not isinstance(entries, list) or not entries:
        raise TrainingError("truth.json lists no images.")
    return entries


def evaluate(
    truth_dir: Path,
    out: Path,
    models: Models,
    *,
    progress: Callable[[int, int], None] | None = None,
) -> dict[str, Any]:
    """Run the pipeline on every image of a truth.json folder; write evaluation.json and two figures into `out`.

    Returns what evaluation.json holds. Group calls are per image, as in the paper, and per patient (all images of a
    patient pooled). Raises TrainingError for a folder without truth.
    """
    entries = _read_truth(truth_dir)
    detections: list[ImageDetections] = []
    truths: list[ImageTruth] = []
    rows: list[_Row] = []
    groups: list[tuple[int, int | None]] = []
    patients: dict[str, list[tuple[Tally, Tally]]] = defaultdict(list)
    images, failures = [], []
    for done, entry in enumerate(entries):
        try:
            region = read_region((truth_dir / entry["image"]).read_bytes(), entry["image"])
        except (Her2CoreError, OSError) as error:
            failures.append({"image": entry["image"], "error": str(error)})
            continue
        analysis = analyse(region.pixels_rgb, models)
        candidates = models.detector.detect(region.pixels_rgb, min_score=_LOW_SCORE)
        detections.append(ImageDetections([d.box_xyxy for d in candidates], [d.score for d in candidates]))
        truths.append(ImageTruth([n["box"] for n in entry["nuclei"]], entry.get("ignore", ())))
        rows += _rows(entry, analysis)
        found = tally(analysis.nuclei)
        if entry.get("group") is not None:
            groups.append((entry["group"], group(found)))
            patients[str(entry.get("patient", entry["image"]))].append((_true_tally(entry), found))
        images.append({"image": entry["image"], "group": entry.get("group"), "found": group(found), **_plain(found)})
        if progress is not None:
            progress(done + 1, len(entries))
    curve = precision_recall(detections, truths)
    report: dict[str, Any] = {
        "models": models.names,
        "images": len(images),
        "failures": failures,
        "detection": _detection(curve, detections, truths, models.detector.config.score_threshold),
        "counts": _errors(rows),
    }
    out.mkdir(parents=True, exist_ok=True)
    write_atomically(out / "precision-recall.png", precision_recall_figure(curve))
    if groups:
        agreement = group_agreement(groups)
        report["groups per image"] = _plain(agreement)
        report["groups per patient"] = _plain(group_agreement(_pooled(patients)))
        write_atomically(out / "confusion.png", confusion_figure(agreement.matrix, agreement.accuracy))
    report["per image"] = images
    write_atomically(out / "evaluation.json", (json.dumps(report, indent=1) + "\n").encode())
    return report


def _true_tally(entry: dict[str, Any]) -> Tally:
    scored = [n for n in entry["nuclei"] if n.get("scorable", n["her2"] > 0 and n["cep17"] > 0)]
    return Tally(len(scored), sum(n["her2"] for n in scored), sum(n["cep17"] for n in scored))


def _pooled(patients: dict[str, list[tuple[Tally, Tally]]]) -> list[tuple[int, int | None]]:
    pairs = []
    for tallies in patients.values():
        true = group(sum((t for t, _ in tallies), Tally(0, 0, 0)))
        if true is not None:
            pairs.append((true, group(sum((f for _, f in tallies), Tally(0, 0, 0)))))
    return pairs


def _detection(
    curve: PrecisionRecall, detections: Sequence[ImageDetections], truths: Sequence[ImageTruth], threshold: float
) -> dict[str, Any]:
    precision, recall = curve.at(threshold)
    steps = [precision_recall(detections, truths, iou).average_precision for iou in np.arange(0.5, 0.96, 0.05)]
    return _plain(  # type: ignore[no-any-return]
        {
            "AP@0.5": curve.average_precision,
            "AP@[.5:.95]": float(np.mean(steps)),
            "score threshold": threshold,
            "precision": precision,
            "recall": recall,
        }
    )
