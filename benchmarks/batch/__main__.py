"""`python -m benchmarks.batch --engine processes`: throughput of a batch with 1 and 2 workers, models and all.

The same rendered regions of 1360 x 1024 pixels through one worker, then through two, in turns; the counts of all runs
must be the same, and those of `analyze`. Writes batch.md and batch.json into benchmarks/results/batch/; lines of the
other engine stay. The plan for a million regions in docs/scale.md is worked out anew from them. Ray is measured in an
environment with requirements-batch.txt.
"""

from __future__ import annotations

import argparse
import json
import os
import platform
import statistics
import sys
import tempfile
import time
from collections.abc import Callable, Sequence
from pathlib import Path
from typing import Any

import pandas as pd

from benchmarks.document import SCALE, replaced
from benchmarks.speed.regions import fields, mosaic, write_region
from her2core import pipeline
from her2core.batch import ModelRecipe, read_results, run
from her2core.imaging import read_region

ROOT = Path(__file__).resolve().parents[2]
RESULTS = ROOT / "benchmarks" / "results" / "batch"
PLAN = "A million regions"
MILLION = 1_000_000
_TOGETHER_S = 0.2
_DAY_S = 86_400
_DISK_MB_S = 100
_TIFF_MB = 4.2  # 1360 x 1024 px, three channels, 8 bits, without compression


def say(text: str) -> None:
    """Progress goes to standard error."""
    print(f"[{time.strftime('%H:%M:%S')}] {text}", file=sys.stderr, flush=True)


def measured(engine: str, regions: int, rounds: int, work: Path, folder: Path) -> dict[str, Any]:
    """Seconds of runs by one and by two workers. Raises RuntimeError where two runs do not count the same."""
    pieces = fields(work / "fields", 4)
    source = folder / "source"
    source.mkdir()
    for number in range(regions):
        pixels = mosaic(pieces, 1360, 1024, first=number).copy()
        pixels[:8, :8] = (number % 250, number // 250, 40)  # each another image, through JPEG too
        write_region(source / f"{number:03}.jpg", pixels)
    seconds: dict[int, list[float]] = {1: [], 2: []}
    starts: dict[int, list[float]] = {1: [], 2: []}
    counts: list[pd.DataFrame] = []
    for turn in range(rounds):
        for workers in (1, 2):
            say(f"{engine}, {workers} worker(s), round {turn + 1}")
            out = folder / f"out-{turn}-{workers}"
            recipe = ModelRecipe(ROOT / "models", "cpu", threads=1)
            began: list[float] = []
            started = time.monotonic()
            run(
                source, out, recipe, workers=workers, engine=engine,
                told=_moments(began),
            )  # fmt: skip
            starts[workers].append(began[0] - started)
            seconds[workers].append(_a_region(began))
            images, nuclei = read_results(out)
            if len(images) != regions or images["error"].notna().any():
                raise RuntimeError(f"{len(images)} of {regions} regions, {images['error'].notna().sum()} errors")
            keys = images.set_index("sha256")["image"]
            table = nuclei.assign(image=nuclei["sha256"].map(keys))[["image", "id", "her2", "cep17", "scored"]]
            counts.append(table.sort_values(["image", "id"]).reset_index(drop=True))
            size = sum(path.stat().st_size for path in out.rglob("*.parquet"))
    if not all(table.equals(counts[0]) for table in counts):
        raise RuntimeError("two runs did not count the same")
    if _alone(source / "000.jpg") != counts[0][counts[0]["image"] == "000.jpg"][["her2", "cep17"]].values.tolist():
        raise RuntimeError("the batch did not count as analyze does")
    one, two = (statistics.median(seconds[workers]) for workers in (1, 2))
    return {
        "engine": engine, "regions": regions, "rounds": rounds, "nuclei a region": round(len(counts[0]) / regions, 1),
        "seconds a region": {"1 worker": round(one, 3), "2 workers": round(two, 3)},
        "efficiency of 2": round(one / two / 2, 2),
        "seconds to the first result": {
            f"{workers}": round(statistics.median(starts[workers]), 1) for workers in (1, 2)
        },
        "bytes of tables a region": round(size / regions),
        "bytes of a file": round(statistics.mean(path.stat().st_size for path in source.iterdir())),
        "load": round(os.getloadavg()[0], 1), "date": time.strftime("%Y-%m-%d"),
        "machine": f"{platform.machine()}, {os.cpu_count()} cores", "nice": os.nice(0),
    }  # fmt: skip


def _a_region(moments: Sequence[float]) -> float:
    """Seconds a region between the first results and the last: models are loaded by then, which an archive no longer
    feels. What came with the first result, as Ray hands over whole blocks, took its time before it."""
    first = sum(moment - moments[0] < _TOGETHER_S for moment in moments)
    return (moments[-1] - moments[0]) / (len(moments) - first)


def _moments(began: list[float]) -> Callable[[str, int, int], None]:
    """Notes when each result comes."""

    def told(what: str, number: int, total: int) -> None:
        if total:
            began.append(time.monotonic())

    return told


def _alone(path: Path) -> list[list[int | None]]:
    """HER2 and CEP17 of each nucleus as `analyze` counts them."""
    models = pipeline.load_models(ROOT / "models", "cpu")
    analysis = pipeline.analyse(read_region(path.read_bytes(), path.name).pixels_rgb, models)
    return [[n.her2, n.cep17] for n in analysis.nuclei]


def page(rows: Sequence[dict[str, Any]], kills: dict[str, dict[str, Any]]) -> str:
    """Markdown."""
    lines = [
        "# Archives",
        "",
        "Written by `python -m benchmarks.batch`: rendered regions of 1360 × 1024 px, committed models, one thread a "
        "worker, medians of rounds in which 1 and 2 workers take turns; from the first result to the last. All runs "
        "counted the same, nucleus by nucleus, and as `analyze` does. Other work ran beside it where the load is well "
        "above 2.",
        "",
        "| engine | date, machine | regions × rounds | nuclei a region | 1 worker, s a region | 2 workers, s a region "
        "| efficiency of 2 | load |",
        "|---|---|---|---|---|---|---|---|",
        *(
            f"| {r['engine']} | {r['date']}, {r['machine']} | {r['regions']} × {r['rounds']} | {r['nuclei a region']} "
            f"| {r['seconds a region']['1 worker']} | {r['seconds a region']['2 workers']} | {r['efficiency of 2']} "
            f"| {r['load']} |"
            for r in rows
        ),
        "",
        "Until the first result, models loaded: "
        + "; ".join(f"{r['engine']} {r['seconds to the first result']['1']} s" for r in rows)
        + ". Tables take "
        + "; ".join(f"{r['bytes of tables a region'] / 1000:.1f} kB" for r in rows)
        + " a region. Run at nice "
        + "; ".join(f"{r['nice']}" for r in rows)
        + ".",
        "",
        *(line for r in rows if "note" in r for line in (f"{r['note']}.", "")),
        "## Killed at random",
        "",
        "From `python -m tests.batch.prove_kills` and `python -m tests.job_kills`: workers ended with SIGKILL every so "
        "often, and the collecting process of a batch twice.",
        "",
    ]
    for name, outcome in kills.items():
        lines += [f"**{name}**: " + ", ".join(f"{what} {value}" for what, value in outcome.items()) + ".", ""]
    return "\n".join(lines)


def million(rows: Sequence[dict[str, Any]], worker_mb: float) -> str:
    """The plan for a million regions from what was measured, Markdown. worker_mb: of one worker under load.

    Raises ValueError where processes were not measured.
    """
    by_engine = {row["engine"]: row for row in rows}
    if "processes" not in by_engine:
        raise ValueError("the plan is made from a measurement of the engine 'processes'")
    row = by_engine["processes"]
    one, two = row["seconds a region"]["1 worker"], row["seconds a region"]["2 workers"]
    share, kb = row["efficiency of 2"], row["bytes of tables a region"] / 1000
    mb = row["bytes of a file"] / 1e6
    starting = f"{row['seconds to the first result']['1']:.0f} s"
    if "ray" in by_engine:
        starting += f", with Ray {by_engine['ray']['seconds to the first result']['1']:.0f} s to the first result"

    def line(what: str, workers: int) -> str:
        days = MILLION * one / (workers * share) / _DAY_S
        return f"| {what} | {workers} | 1,000,000 · {one:.2f} s / ({workers} · {share:.2f}) | {_days(days)} |"

    lines = [
        f"Measured on {row['date']} ({row['machine']}, load {row['load']}, nice {row['nice']}), processes of one "
        f"thread each, regions of 1360 × 1024 px with {row['nuclei a region']:.0f} nuclei: `t` = {one:.2f} s with one "
        f"worker, {two:.2f} s a region with two, so `e` = {share:.2f}.",
        "",
        "| machine | workers | arithmetic | days |",
        "|---|---|---|---|",
        f"| laptop, 2 cores, as measured | 2 | 1,000,000 · {two:.2f} s | {_days(MILLION * two / _DAY_S)} |",
        line("server, 32 cores, `e` as measured", 32),
        line("four such servers with Ray", 128),
        "",
        "The lines below the first are estimates: `e` may fall where memory or disks are shared by more workers than "
        "two. Beside it stand:",
        "",
        f"- *Reading.* Files are read twice, once to find copies and once to analyse. At {mb:.2f} MB a JPEG, as "
        f"measured, that is {2 * mb:.2f} TB in all, {_hours(2 * mb)} from a disk of {_DISK_MB_S} MB/s; as "
        f"uncompressed TIFF of {_TIFF_MB} MB it is {2 * _TIFF_MB:.1f} TB and {_hours(2 * _TIFF_MB)}.",
        f"- *Tables.* {kb:.1f} kB a region, measured: {kb:.1f} GB.",
        f"- *Memory.* A worker has about {worker_mb / 1000:.1f} GB (as measured under load), so 32 of them "
        f"{32 * worker_mb / 1000:.0f} GB.",
        f"- *Starting.* Models are loaded once a worker: {starting}. Over a million regions that is nothing.",
    ]
    return "\n".join(lines)


def _days(days: float) -> str:
    return f"{days:.1f}" if days >= 1 else f"{days:.2f} ({24 * days:.1f} hours)"


def _hours(terabytes: float) -> str:
    return f"{terabytes * 1e6 / _DISK_MB_S / 3600:.1f} hours"


def main(argv: Sequence[str] | None = None) -> None:
    """Measure one engine and write the page; with `--page` only write the page."""
    parser = argparse.ArgumentParser(prog="python -m benchmarks.batch", description=__doc__)
    parser.add_argument("--engine", choices=("processes", "ray"), default="processes")
    parser.add_argument("--regions", type=int, default=24)
    parser.add_argument("--rounds", type=int, default=3)
    parser.add_argument("--results", type=Path, default=RESULTS)
    parser.add_argument("--work", type=Path, help="where rendered fields are kept between runs")
    parser.add_argument("--page", action="store_true", help="measure nothing; write the page from what is there")
    args = parser.parse_args(argv)
    args.results.mkdir(parents=True, exist_ok=True)
    table, kills = args.results / "batch.json", args.results / "kills.json"
    rows = {r["engine"]: r for r in (json.loads(table.read_text()) if table.exists() else [])}
    if not args.page:
        with tempfile.TemporaryDirectory() as folder:
            row = measured(args.engine, args.regions, args.rounds, args.work or Path(folder), Path(folder))
        rows[args.engine] = row
        table.write_text(json.dumps([rows[name] for name in sorted(rows)], indent=1) + "\n")
    known = json.loads(kills.read_text()) if kills.exists() else {}
    (args.results / "batch.md").write_text(page([rows[name] for name in sorted(rows)], known))
    if "processes" in rows and args.results == RESULTS:
        load = json.loads((RESULTS.parent / "load" / "load.json").read_text())
        plan = million(list(rows.values()), load["memory MB"]["regions wait"]["worker"]["highest"])
        SCALE.write_text(replaced(SCALE.read_text(), PLAN, plan))


if __name__ == "__main__":
    main()
