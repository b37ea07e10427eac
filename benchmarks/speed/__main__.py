"""`python -m benchmarks.speed`: time and memory of a region by size, beside peers and the machine's limit.

Under 12 minutes on 2 idle cores. Writes speed.md, speed.json and speed.png into benchmarks/results/; with `--check`
only the comparison with the peers is run, and held against the committed speed.json (`make bench-check`): exit code 1
where a peer takes less than three quarters of its committed "times ours".
"""

from __future__ import annotations

import argparse
import json
import os
import platform
import sys
import time
from collections.abc import Sequence
from pathlib import Path
from typing import Any

import torch

from benchmarks.speed import measure
from benchmarks.speed.app import start_of_application
from benchmarks.speed.page import figure, page, worse
from benchmarks.speed.paper import AS_PUBLISHED_PX, SMALLEST_PX, PaperSetup
from benchmarks.speed.regions import fields, mosaic, write_region, write_tiled
from her2core.models import write_atomically
from her2core.pipeline import load_models

USUAL = (1360, 1024)
SIZES = (USUAL, (2040, 1536), (4080, 3072), (8000, 8000))
TILED = ((4096, 4096), (10_000, 10_000), (20_000, 20_000))
NUCLEI = (10, 30, 100, 300, 1000)
REGIONS = (1, 4, 16, 64)
PASSES, FIELDS = 3, 8
BUDGET_S = 720
QUICK_SIZES, QUICK_TILED, QUICK_NUCLEI, QUICK_REGIONS = ((340, 256), (500, 400)), ((600, 600),), (2, 5), (1, 2)


def say(text: str) -> None:
    """Progress goes to standard error."""
    print(f"[{time.strftime('%H:%M:%S')}] {text}", file=sys.stderr, flush=True)


def measured(args: argparse.Namespace) -> dict[str, Any]:
    """Everything that was asked for, as written to speed.json."""
    started, load = time.monotonic(), _load()
    quick = bool(args.quick)
    sizes, passes = (QUICK_SIZES, 1) if quick else (SIZES, PASSES)
    usual = sizes[0]
    work: Path = args.work
    work.mkdir(parents=True, exist_ok=True)
    say("rendering fields")
    number = 2 if quick else FIELDS
    pieces = fields(work / f"fields-{number}", number)
    # Each of one field, again and again mirrored: a region's nuclei and stains are of one kind.
    files = [write_region(work / f"region-{i}.jpg", mosaic([piece], *usual)) for i, piece in enumerate(pieces)]
    models = load_models(args.weights, "cpu")
    say("beside peers")
    papers = [
        PaperSetup(sides, width=0.25 if quick else 1.0)
        for sides in ((SMALLEST_PX,) if args.check else (SMALLEST_PX, AS_PUBLISHED_PX))
    ]
    found: dict[str, Any] = {
        "schema": "her2core.speed/1",
        "models": models.names,
        "beside peers": measure.beside_peers(files, models, passes, papers),
    }
    del papers
    if not args.check:
        large = {size: write_region(work / f"{size[0]}x{size[1]}.jpg", mosaic(pieces, *size)) for size in sizes}
        say("by size")
        few = {size: path for size, path in large.items() if size[0] * size[1] < 20_000_000}
        rows = measure.by_size(few, models, 2 if quick else 3)
        rows += measure.by_size({size: path for size, path in large.items() if size not in few}, models, 1)
        say("memory")
        for row in rows:
            row["peak mb"] = measure.spawn_stages(large[row["width"], row["height"]], args.weights)["peak mb"]
        for width_px, height_px in QUICK_TILED if quick else TILED:
            say(f"{width_px} x {height_px}, window by window")
            path = write_tiled(work / "tiled.tif", pieces, width_px, height_px)
            alone = measure.spawn_stages(path, args.weights, tiled=True)
            path.unlink()
            rows.append({"width": width_px, "height": height_px, "tiled": True} | alone)
        say("by nuclei, by regions, start, limit")
        found |= {
            "by size": rows,
            "models only mb": measure.spawn_stages(None, args.weights)["models mb"],
            "start": measure.spawn_start(files[0], args.weights, 1 if quick else 3),
            "start of the application": start_of_application(files[0], args.weights, 1 if quick else 3),
            "by nuclei": measure.by_nuclei(files[0], models, QUICK_NUCLEI if quick else NUCLEI, 2 if quick else 3),
            "by regions": measure.by_regions(files, models, QUICK_REGIONS if quick else REGIONS),
            "limit": measure.distance(files[0], models),
        }
    found["seconds"] = time.monotonic() - started
    found["machine"] = {
        "date": time.strftime("%Y-%m-%d"),
        "cpu": _cpu(),
        "threads": torch.get_num_threads(),
        "torch": torch.__version__,
        "load before": load,
        "load after": _load(),
    }
    notices = ["A trial at small scale; the numbers say nothing about real regions."] if quick else []
    if load > 1:
        notices.append("The machine was busy; only the ratios are worth something.")
    if notices:
        found["notice"] = " ".join(notices)
    return found


def arguments(argv: Sequence[str] | None = None) -> argparse.Namespace:
    """The command line."""
    parser = argparse.ArgumentParser(prog="python -m benchmarks.speed", description=__doc__)
    parser.add_argument("--check", action="store_true", help="compare with the committed table; exit code 1 if slower")
    parser.add_argument("--quick", action="store_true", help="small regions, few rounds: does everything work?")
    parser.add_argument("--results", type=Path, default=measure.ROOT / "benchmarks" / "results")
    parser.add_argument("--work", type=Path, default=measure.ROOT / "work" / "speed", help="where regions lie")
    parser.add_argument("--weights", type=Path, default=measure.ROOT / "models", help="folder of the models")
    parser.add_argument("--alone", help=argparse.SUPPRESS)
    parser.add_argument("--tiled", action="store_true", help=argparse.SUPPRESS)
    parser.add_argument("--start", type=Path, help=argparse.SUPPRESS)
    return parser.parse_args(argv)


def main(argv: Sequence[str] | None = None) -> int:
    """Measure and write, or measure and check."""
    args = arguments(argv)
    if args.alone is not None:
        path = None if args.alone == "-" else Path(args.alone)
        print(json.dumps(measure.stages_alone(path, args.weights, tiled=args.tiled)))
        return 0
    if args.start is not None:
        print(json.dumps(measure.start(args.start, args.weights)))
        return 0
    table = args.results / "speed.json"
    if args.check and not table.exists():
        say(f"There is no {table} to compare with: run python -m benchmarks.speed first.")
        return 1
    found = measured(args)
    if args.check:
        committed = json.loads(table.read_text(encoding="utf-8"))
        if committed["models"] != found["models"]:
            say(f"The committed table is of other models: {', '.join(committed['models'].values())}.")
        slower = worse(found, committed)
        for sentence in slower:
            say(sentence)
        say(f"times ours: {found['beside peers']['times ours']}; {'SLOWER' if slower else 'as fast as before'}")
        return int(bool(slower))
    args.results.mkdir(parents=True, exist_ok=True)
    write_atomically(table, (json.dumps(found, indent=1) + "\n").encode())
    write_atomically(args.results / "speed.md", page(found).encode())
    figure(found, args.results / "speed.png")
    late = f", longer than the {BUDGET_S} s it should take" if found["seconds"] > BUDGET_S else ""
    say(f"written: {args.results / 'speed.md'}, in {found['seconds']:.0f} s{late}")
    return 0


def _load() -> float:
    return round(os.getloadavg()[0], 2)


def _cpu() -> str:
    try:
        lines = Path("/proc/cpuinfo").read_text(encoding="utf-8").splitlines()
    except OSError:
        lines = []
    names = [line.partition(":")[2].strip() for line in lines if line.startswith("model name")]
    return f"{os.cpu_count()} cores of {names[0] if names else platform.processor() or 'an unnamed processor'}"


if __name__ == "__main__":
    raise SystemExit(main())
