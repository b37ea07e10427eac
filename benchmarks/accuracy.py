"""`python -m benchmarks.accuracy`: how right the committed models are, on rendered and on real fields.

Rendered test sets are made anew from their seeds (training never used these). Real fields are used where their folder
is present: they may be looked at, but are not part of the project. Writes benchmarks/results/.
"""

from __future__ import annotations

import json
import sys
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np

from her2core.imaging import read_region
from her2core.models import write_atomically
from her2core.pipeline import Models, load_models
from her2core.records import Box, Channel
from her2core.training.evaluate import count_errors, evaluate
from her2core.training.render import render_dataset

ROOT = Path(__file__).parents[1]
RESULTS = ROOT / "benchmarks" / "results"
WORK = ROOT / "work"
REAL = ROOT.parent / "shared" / "data" / "real" / "her2-fish-tissue"


@dataclass(frozen=True, slots=True)
class TestSet:
    """A rendered test set, defined by its seed."""

    name: str
    title: str
    count: int
    seed: int
    mix: str


SETS = (
    TestSet("rendered-paper", "Rendered, the paper's mix of groups", 184, 2023, "paper"),
    TestSet("rendered-balanced", "Rendered, all groups alike", 150, 2018, "balanced"),
)


def _say(text: str) -> None:
    print(text, file=sys.stderr, flush=True)


def rendered(test: TestSet, models: Models) -> dict[str, Any]:
    """Evaluate on one rendered set, which is made where it is missing."""
    folder = WORK / f"test-{test.mix}-{test.count}-{test.seed}"
    if not (folder / "truth.json").exists():
        _say(f"Rendering {test.count} regions, {test.title} …")
        render_dataset(folder, test.count, test.seed, mix=test.mix, processes=2)

    def progress(done: int, total: int) -> None:
        if done % 20 == 0 or done == total:
            _say(f"{test.title}: {done} of {total}")

    return evaluate(folder, RESULTS / test.name, models, progress=progress)


def _iou(a: np.ndarray[Any, np.dtype[np.float64]], b: np.ndarray[Any, np.dtype[np.float64]]) -> Any:
    inner = np.clip(np.minimum(a[:, None, 2:], b[None, :, 2:]) - np.maximum(a[:, None, :2], b[None, :, :2]), 0, None)
    both = inner.prod(axis=2)
    area_a, area_b = (a[:, 2:] - a[:, :2]).prod(axis=1), (b[:, 2:] - b[:, :2]).prod(axis=1)
    return both / (area_a[:, None] + area_b[None, :] - both)


def real_tissue(folder: Path, models: Models) -> dict[str, Any]:
    """Recall of outlined nuclei, and counts against one reader's (no pathologist; see the folder's PROVENANCE.txt)."""
    outlined = json.loads((folder / "boxes.json").read_text(encoding="utf-8"))
    counted = json.loads((folder / "signal_counts.json").read_text(encoding="utf-8"))
    result: dict[str, Any] = {"recall at IoU 0.5": {}, "counts": {}}
    hits: list[bool] = []
    found: dict[bool, list[tuple[float, float, float, float]]] = {True: [], False: []}
    for path in sorted((folder / "images").glob("*.jpg")):
        pixels = read_region(path.read_bytes(), path.name).pixels_rgb
        boxes = next(v for k, v in outlined.items() if k.startswith(path.stem))
        truth = np.array(boxes, float)
        detected = np.array([d.box_xyxy for d in models.detector.detect(pixels)], float).reshape(-1, 4)
        hit = _iou(truth, detected).max(axis=1) >= 0.5
        hits += hit.tolist()
        result["recall at IoU 0.5"][path.stem] = {"outlined": len(truth), "recall": round(float(hit.mean()), 3)}
        rows = [r for r in counted if r["image"] == path.name]
        chosen: list[Box] = [
            (float(x0), float(y0), float(x1), float(y1)) for x0, y0, x1, y1 in (r["box"] for r in rows)
        ]
        for row, count in zip(rows, models.counter.count(pixels, chosen), strict=True):
            found[row["sure"]].append(
                (
                    count.peaks(Channel.HER2),
                    count.peaks(Channel.CEP17),
                    float(np.mean(row["her2"])),
                    float(np.mean(row["cep17"])),
                )
            )
    result["recall at IoU 0.5"]["all"] = {"outlined": len(hits), "recall": round(float(np.mean(hits)), 3)}
    for sure, name in ((True, "sure"), (False, "not sure")):
        table = np.array(found[sure], float).reshape(-1, 4)
        for channel in (0, 1):
            errors = count_errors(table[:, channel].tolist(), table[:, 2 + channel].tolist())
            result["counts"][f"{('her2', 'cep17')[channel]}, reader {name}"] = {
                "n": errors.n,
                "mae": None if errors.mae is None else round(errors.mae, 3),
                "bias": None if errors.bias is None else round(errors.bias, 3),
            }
    write_atomically(RESULTS / "real-tissue.json", (json.dumps(result, indent=1) + "\n").encode())
    return result


def _percent(value: float | None) -> str:
    return "–" if value is None else f"{100 * value:.1f} %"


def _number(value: float | None) -> str:
    return "–" if value is None else f"{value:.2f}"


def table(models: Models, results: dict[str, dict[str, Any]], real: dict[str, Any] | None) -> str:
    """All results as one Markdown table beside the paper's printed figures."""
    lines = [
        "# Accuracy of the committed models",
        "",
        "Made by `python -m benchmarks.accuracy`; models: " + ", ".join(models.names.values()) + ".",
        "Rendered images are easier than slides: read these figures beside the real tissue below, never instead of it.",
        "",
        "| Measure | " + " | ".join(s.title for s in SETS) + " | Xue et al. 2023 |",
        "|---|" + "---|" * (len(SETS) + 1),
    ]

    def row(name: str, cells: list[str], paper: str) -> None:
        lines.append(f"| {name} | " + " | ".join(cells) + f" | {paper} |")

    all_results = [results[s.name] for s in SETS]
    groups = [r["groups per image"] for r in all_results]
    row("Images", [str(r["images"]) for r in all_results], "184")
    row("Nucleus detection AP@0.5", [f"{r['detection']['AP@0.5']:.3f}" for r in all_results], "0.735")
    row("AP@[.5:.95]", [f"{r['detection']['AP@[.5:.95]']:.3f}" for r in all_results], "–")
    row(
        "Precision / recall",
        [f"{r['detection']['precision']:.3f} / {r['detection']['recall']:.3f}" for r in all_results],
        "–",
    )
    row("Group accuracy", [_percent(g["accuracy"]) for g in groups], "85.3 %")
    row(
        "… 95 % interval (Wilson)",
        [f"{_percent(g['accuracy_95'][0])} to {_percent(g['accuracy_95'][1])}" for g in groups],
        "79.5 to 89.7 %",
    )
    row("Cohen's kappa", [_number(g["kappa"]) for g in groups], "0.69")
    paper_recall = {"1": "67.9 %", "2": "0 of 2", "3": "0 of 1", "4": "2 of 3", "5": "95.9 %"}
    for g in "12345":
        row(f"Recall of Group {g}", [_percent(v["recall"][g]) for v in groups], paper_recall[g])
    row("Group 1 specificity", [_percent(g["group1_specificity"]) for g in groups], "100 %")
    for way in ("final", "regression"):
        for channel, name in (("her2", "HER2"), ("cep17", "CEP17")):
            for kind in ("not clustered", "clustered"):
                cells = [r["counts"][f"{way}, {channel}, {kind}"] for r in all_results]
                label = "" if way == "final" else ", regression alone (the paper's way)"
                row(
                    f"{name} error a nucleus, {kind}{label}: mean absolute / bias",
                    [f"{_number(c['mae'])} / {_number(c['bias'])}" for c in cells],
                    "–",
                )
    if real is not None:
        lines += ["", "## Real tissue (2 fields, never trained on)", "", "| Measure | Value |", "|---|---|"]
        for field, value in real["recall at IoU 0.5"].items():
            lines.append(
                f"| Recall of {value['outlined']} outlined nuclei at IoU 0.5, {field} | {_percent(value['recall'])} |"
            )
        for name, value in real["counts"].items():
            error = f"{_number(value['mae'])} / {_number(value['bias'])}"
            lines.append(f"| {name} ({value['n']} nuclei): mean absolute difference / bias | {error} |")
    return "\n".join(lines) + "\n"


def main() -> None:
    """Run everything and write the table."""
    models = load_models(ROOT / "models")
    results = {test.name: rendered(test, models) for test in SETS}
    if REAL.exists():
        real = real_tissue(REAL, models)
    else:
        real = None
        _say(f"{REAL} is not here: real tissue is left out.")
    write_atomically(RESULTS / "accuracy.md", table(models, results, real).encode())
    _say(f"Written: {RESULTS / 'accuracy.md'}")


if __name__ == "__main__":
    main()
