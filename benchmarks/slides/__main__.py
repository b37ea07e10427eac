"""`python -m benchmarks.slides`: the search for good fields in slides of up to 40,000 x 40,000 pixels.

Each slide is written tile by tile and searched in a process of its own, whose peak memory the system tells. Writes
slides.md, slides.json and slides.png into benchmarks/results/slides/, and the outcome into docs/scale.md. One size at a
time with `--sides`; lines of sizes that are not measured now stay, so that a long measurement can be made in pieces.
"""

from __future__ import annotations

import argparse
import json
import os
import platform
import subprocess
import sys
import tempfile
import time
from collections.abc import Sequence
from pathlib import Path
from typing import Any

from matplotlib.figure import Figure

from benchmarks.document import SCALE, replaced
from benchmarks.memory import peak_kib
from her2core.imaging.fields import FIELD_PX, find_fields
from her2core.imaging.slide import Slide
from tests.imaging.slides import PATCH_PX, slide_plan, write_slide

ROOT = Path(__file__).resolve().parents[2]
RESULTS = ROOT / "benchmarks" / "results" / "slides"
SIDES = (4096, 10_240, 20_480, 40_960)
LIMIT_MB = 2000


def search(path: Path) -> dict[str, Any]:
    """Search one slide, in this process; the time, and the peak of its memory before and after."""
    before = peak_kib() / 1000
    wall, cpu = time.perf_counter(), time.process_time()
    with Slide(path) as slide:
        found = find_fields(slide)
        side, factors = slide.width_px, slide.factors
        opened = time.perf_counter()
        if not found.fields:
            raise RuntimeError("no field was found: the slide is to be drawn with another seed")
        best = found.fields[0]
        field = slide.field(best.left, best.top, best.width, best.height)
        taken_s = time.perf_counter() - opened
    return {
        "side": side, "levels": len(factors), "file MB": round(path.stat().st_size / 1e6), "fields": found.searched,
        "seconds": round(opened - wall, 1), "CPU seconds": round(time.process_time() - cpu, 1),
        "seconds to take a field": round(taken_s, 2), "field MB": round(len(field) / 1e6, 1),
        "peak MB": round(peak_kib() / 1000), "peak MB before": round(before),
        "countable in the best field": best.countable,
    }  # fmt: skip


def measured(side: int, levels: int, folder: Path, plan: list[list[str]] | None = None) -> dict[str, Any]:
    """One slide written here and searched in a child. Raises RuntimeError where that fails."""
    plan = plan or slide_plan(side // PATCH_PX, seed=side)
    path = write_slide(folder / f"{side}.tif", plan, levels=levels, tile_px=512)
    command = [sys.executable, "-m", "benchmarks.slides", "--search", str(path)]
    done = subprocess.run(command, cwd=ROOT, capture_output=True, text=True, check=False)  # noqa: S603 (ourselves)
    path.unlink()
    if done.returncode:
        raise RuntimeError(done.stderr)
    row: dict[str, Any] = json.loads(done.stdout)
    return row | {"load": round(os.getloadavg()[0], 1)}


def page(rows: Sequence[dict[str, Any]], machine: str) -> str:
    """Markdown."""
    lines = [
        "# Whole slides",
        "",
        f"Written by `python -m benchmarks.slides` on {machine}. Synthetic tissue, 0.2 µm/px, deflated tiles of "
        f"512 px, 8-bit RGB; fields of {FIELD_PX} px. Peak memory is that of the whole process, which has "
        f"{max(r['peak MB before'] for r in rows)} MB before it opens the slide. CPU seconds are what to compare: "
        "other work ran beside it (load average in the last column, 2 cores).",
        "",
        "| slide, px | levels | file, MB | fields | seconds | CPU s | peak memory, MB | to take a field, s | load |",
        "|---|---|---|---|---|---|---|---|---|",
        *(
            f"| {r['side']} × {r['side']} | {r['levels']} | {r['file MB']} | {r['fields']} | {r['seconds']} | "
            f"{r['CPU seconds']} | {r['peak MB']} | {r['seconds to take a field']} | {r['load']} |"
            for r in rows
        ),
        "",
        "![Peak memory and CPU time by area](slides.png)",
        "",
    ]
    return "\n".join(lines)


def sentence(rows: Sequence[dict[str, Any]]) -> str:
    """The outcome in a sentence, for docs/scale.md. The two largest measured are with levels and without."""
    peaks = [row["peak MB"] for row in rows]
    side = max(row["side"] for row in rows)
    seconds = {row["levels"] > 1: row["CPU seconds"] for row in rows if row["side"] == side}
    return (
        f"The search needed {min(peaks)} to {max(peaks)} MB whatever the size of the slide, and for {side} × {side} px "
        + " and ".join(
            f"{seconds[kind]:.0f} seconds of one core {'with' if kind else 'without'} levels in the file"
            for kind in sorted(seconds)
        )
        + "."
    )


def figure(rows: Sequence[dict[str, Any]], path: Path) -> None:
    """Peak memory and CPU time against the area of the slide."""
    shown = Figure(figsize=(9, 3.6), layout="constrained")
    left, right = shown.subplots(1, 2)
    for levels, style, label in ((1, "o-", "no levels in the file"), (3, "s--", "levels of 1/2 and 1/4")):
        of_kind = [r for r in rows if r["levels"] == levels]
        area = [r["side"] ** 2 / 1e6 for r in of_kind]
        left.plot(area, [r["peak MB"] for r in of_kind], style, label=label)
        right.plot(area, [r["CPU seconds"] for r in of_kind], style, label=label)
    left.axhline(LIMIT_MB, color="0.5", lw=1, ls=":")
    left.set(xlabel="area, megapixels", ylabel="peak memory, MB", ylim=(0, LIMIT_MB * 1.1), xscale="log")
    right.set(xlabel="area, megapixels", ylabel="CPU seconds", xscale="log", yscale="log")
    left.legend()
    shown.savefig(path, dpi=120)


def main(argv: Sequence[str] | None = None) -> None:
    """Measure, and write the page. Fails where a search needed more than 2 GB."""
    parser = argparse.ArgumentParser(prog="python -m benchmarks.slides", description=__doc__)
    parser.add_argument("--sides", type=int, nargs="+", default=SIDES)
    parser.add_argument("--levels", type=int, nargs="+", default=(0, 2), help="levels below the slide in the file")
    parser.add_argument("--results", type=Path, default=RESULTS)
    parser.add_argument("--work", type=Path, help="where the slides are written; they are taken away again")
    parser.add_argument("--search", type=Path, help=argparse.SUPPRESS)
    args = parser.parse_args(argv)
    if args.search is not None:
        json.dump(search(args.search), sys.stdout)
        return
    table = args.results / "slides.json"
    rows = {(r["side"], r["levels"]): r for r in (json.loads(table.read_text()) if table.exists() else [])}
    args.results.mkdir(parents=True, exist_ok=True)
    with tempfile.TemporaryDirectory(dir=args.work) as folder:
        for side in args.sides:
            for levels in args.levels:
                row = measured(side, levels, Path(folder))
                rows[row["side"], row["levels"]] = row
                ordered = [rows[key] for key in sorted(rows)]
                table.write_text(json.dumps(ordered, indent=1) + "\n")
                machine = f"{time.strftime('%Y-%m-%d')} ({platform.machine()}, {os.cpu_count()} cores)"
                (args.results / "slides.md").write_text(page(ordered, machine))
                figure(ordered, args.results / "slides.png")
                if args.results == RESULTS:
                    SCALE.write_text(replaced(SCALE.read_text(), "Slides", sentence(ordered)))
    worst = max(row["peak MB"] for row in rows.values())
    if worst > LIMIT_MB:
        raise SystemExit(f"a search needed {worst} MB, more than {LIMIT_MB}")


if __name__ == "__main__":
    main()
