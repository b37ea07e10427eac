"""`python -m benchmarks.learning`: fine-tune both stages on a shifted style, compare, and write the table.

The "laboratory" is the second renderer, which the models never saw: 30 patients with two regions each, whose corrected
counts are the true ones. What is judged are other patients of that style and of the old one, from other seeds. Each
step is kept in WORK and not made again, so a run that was stopped goes on.
"""

from __future__ import annotations

import argparse
import json
import shutil
import sys
import time
from collections.abc import Callable
from pathlib import Path

import torch

from benchmarks.learning.table import page
from benchmarks.second_style import render_dataset_second
from her2core.laboratory.promotion import COMPARISON, STAGES, Candidate, compare_candidate, read_candidate
from her2core.training.fine_tuning import COUNTER, DETECTOR, mark_tuned, mixed
from her2core.training.fit_counter import fit_counter
from her2core.training.fit_detector import fit_detector
from her2core.training.render import render_dataset

ROOT = Path(__file__).resolve().parents[2]
MODELS = ROOT / "models"
RESULT = ROOT / "benchmarks" / "results" / "learning.md"
CASES, REGIONS = 30, 60
OWN_SEED, HELD_OUT_SEED, OLD_SEED, REHEARSAL_SEED = 5001, 6002, 6004, 6005
HELD_OUT = 80


def _tell(text: str) -> None:
    print(f"{time.strftime('%H:%M:%S')} {text}", file=sys.stderr, flush=True)


def _made(folder: Path, what: str, make: Callable[[], object]) -> Path:
    """The folder with its truth.json, made where it is missing."""
    if not (folder / "truth.json").exists():
        _tell(what)
        make()
    return folder


def _kept(work: Path) -> dict[str, float]:
    """Seconds of the trainings that were done in this folder."""
    path = work / "seconds.json"
    return dict(json.loads(path.read_text(encoding="utf-8"))) if path.exists() else {}


def _keep(work: Path, stage: str, seconds: float) -> None:
    (work / "seconds.json").write_text(json.dumps({**_kept(work), stage: round(seconds)}), encoding="utf-8")


def run(work: Path, rehearsal: Path | None, models: Path = MODELS) -> tuple[Candidate, dict[str, float]]:
    """The candidate as compared, and seconds that each training took."""
    own = _made(
        work / "own", "rendering the corrected cases", lambda: render_dataset_second(work / "own", REGIONS, OWN_SEED)
    )
    new = _made(
        work / "new", "rendering held-out cases of the new style",
        lambda: render_dataset_second(work / "new", HELD_OUT, HELD_OUT_SEED),
    )  # fmt: skip
    old = _made(
        work / "old", "rendering held-out cases of the old style",
        lambda: render_dataset(work / "old", HELD_OUT, OLD_SEED, mix="balanced"),
    )  # fmt: skip
    remembered = rehearsal or _made(
        work / "rehearsal", "rendering regions to remember by",
        lambda: render_dataset(work / "rehearsal", REGIONS + 20, REHEARSAL_SEED, mix="balanced"),
    )  # fmt: skip
    together = _made(work / "mixed", "putting both together", lambda: mixed(own, remembered, work / "mixed"))
    candidate = work / "candidate"
    if not (candidate / "counter.safetensors").exists() or list(candidate.glob("counter.training.pt")):
        _tell("fine-tuning stage 2")
        started = time.monotonic()
        fit_counter(
            together, candidate / "counter.safetensors", COUNTER, start_from=models / "counter.safetensors", resume=True
        )
        _keep(work, "counter", time.monotonic() - started)
    if not (candidate / "detector.safetensors").exists():
        _tell("fine-tuning stage 1")
        started = time.monotonic()
        part = work / "detector"
        fit_detector(together, part, start_from=models / "detector.safetensors", resume=True, device="cpu", **DETECTOR)
        for ending in (".safetensors", ".json"):
            shutil.copyfile((part / "detector").with_suffix(ending), (candidate / "detector").with_suffix(ending))
        _keep(work, "detector", time.monotonic() - started)
    if not (candidate / COMPARISON).exists():
        for stage in STAGES:
            mark_tuned(candidate / f"{stage}.safetensors", models / f"{stage}.safetensors")
        compare_candidate(
            candidate, models, new, old, device="cpu",
            progress=lambda what, done, total: _tell(f"{what}: {done}/{total}") if done % 20 == 0 else None,
        )  # fmt: skip
    return read_candidate(candidate, models), _kept(work)


def main() -> None:
    """Parse, run, write."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--work", type=Path, default=ROOT / "work" / "learning", help="folder of what is made")
    parser.add_argument("--rehearsal", type=Path, help="regions of the old style to remember by (default: rendered)")
    parser.add_argument("--out", type=Path, default=RESULT, help="the table")
    options = parser.parse_args()
    torch.set_num_threads(1)
    candidate, seconds = run(options.work, options.rehearsal)
    options.out.write_text(page(candidate, seconds, CASES, COUNTER.steps, int(DETECTOR["steps"])), encoding="utf-8")
    shutil.copyfile(candidate.folder / COMPARISON, options.out.with_suffix(".json"))
    _tell(f"{options.out} is written")


if __name__ == "__main__":
    main()
