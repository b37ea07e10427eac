"""`python -m tests.batch.prove_kills --engine ray --out FILE`: workers killed at random amid 300 regions.

A proof of minutes, not part of `make test`. Real worker processes, stand-in models (the counts follow from the image:
a lost, doubled or mixed-up result shows); every so often one worker is ended with SIGKILL, and the collecting process
twice. Writes a table of what happened; fails where any region has not exactly one, right result.
"""

from __future__ import annotations

import argparse
import json
import os
import random
import signal
import subprocess
import sys
import tempfile
import time
from collections.abc import Sequence
from pathlib import Path

from her2core.batch import read_results, run
from tests.batch.recipes import Quick, expected, png

ROOT = Path(__file__).resolve().parents[2]
ANALYSERS = {"ray": "ray::", "processes": "multiprocessing.spawn"}


def children(pid: int) -> list[int]:
    """All processes below a process."""
    below: dict[int, list[int]] = {}
    for folder in Path("/proc").glob("[0-9]*"):
        try:
            parent = int((folder / "stat").read_text().rpartition(")")[2].split()[1])
        except (OSError, ValueError, IndexError):
            continue
        below.setdefault(parent, []).append(int(folder.name))
    found, look = [], [pid]
    while look:
        more = below.get(look.pop(), [])
        found += more
        look += more
    return found


def analysers(pid: int, engine: str) -> list[int]:
    """The worker processes of a batch that may be killed: those that hold the models."""
    found = []
    for child in children(pid):
        try:
            line = Path(f"/proc/{child}/cmdline").read_bytes().replace(b"\0", b" ").decode(errors="replace")
        except OSError:
            continue
        wanted = "Analyser" in line if engine == "ray" else ANALYSERS[engine] in line and "resource_tracker" not in line
        if wanted:
            found.append(child)
    return found


def work(source: Path, out: Path, engine: str, log: Path) -> None:
    """The collecting process."""
    done = run(source, out, Quick(seconds=0.05, log=log), workers=2, engine=engine, part=16)
    print(json.dumps({"before": done.before, "done": done.done, "failed": list(done.failed)}), flush=True)


def prove(engine: str, regions: int, pause_s: tuple[float, float], seed: int, folder: Path) -> dict[str, object]:
    """Kill until all is done; what happened. Raises RuntimeError where a region is lost, doubled or wrong."""
    chance = random.Random(seed)
    source, out, log = folder / "source", folder / "out", folder / "log"
    log.mkdir()
    for number in range(regions):
        png(source / f"{number:03}.png", 300 + number)
    command = [sys.executable, "-m", "tests.batch.prove_kills", "--engine", engine, "--work", str(folder)]
    started, killed, collectors, runs, seen = time.monotonic(), 0, 0, 0, 0
    while True:
        runs += 1
        process = subprocess.Popen(
            command, cwd=ROOT, stdout=subprocess.PIPE, env={**os.environ, "PYTHONPATH": str(ROOT)}
        )
        parts_before = len(list(out.glob("images/*.parquet")))
        while process.poll() is None:
            time.sleep(chance.uniform(*pause_s))
            prey = analysers(process.pid, engine)
            begun_now = len(list(log.iterdir()))
            if prey and begun_now > seen:  # not while all of them only load their models
                seen = begun_now
                os.kill(chance.choice(prey), signal.SIGKILL)
                killed += 1
            if collectors < 2 and len(list(out.glob("images/*.parquet"))) >= parts_before + 4:
                rest = children(process.pid)
                process.kill()
                process.wait()
                collectors += 1
                for pid in rest:  # Ray's own processes outlive a collector that was shot; ours, by their parent
                    try:
                        os.kill(pid, signal.SIGKILL)
                    except ProcessLookupError:
                        continue
        if process.wait() == 0:
            break
        if runs > 50:
            raise RuntimeError("the batch does not come to its end")
    seconds = time.monotonic() - started
    images, nuclei = read_results(out)
    begun = [int(path.name.partition("-")[0]) for path in log.iterdir()]
    sums = nuclei.groupby("sha256")["her2"].sum().to_dict()
    good = images[images["error"].isna()]
    wrong = sum(
        (row["n"], row["her2"]) != expected(300 + int(str(row["image"])[:3])) or sums.get(row["sha256"]) != row["her2"]
        for row in good.to_dict("records")
    )
    outcome = {
        "engine": engine, "regions": regions, "workers killed": killed, "collecting process killed": collectors,
        "runs": runs, "analyses begun": len(begun), "regions with a result": int(images["image"].nunique()),
        "rows": len(images), "left out after three deaths": len(images) - len(good), "wrong counts": wrong,
        "seconds": round(seconds, 1), "load at the end": round(os.getloadavg()[0], 1),
    }  # fmt: skip
    if not (
        killed > 0
        and len(images) == images["image"].nunique() == regions
        and wrong == 0
        and set(nuclei["sha256"]) <= set(images["sha256"])
    ):
        raise RuntimeError(f"not exactly once: {outcome}")
    return outcome


def main(argv: Sequence[str] | None = None) -> None:
    """Prove, and write the table."""
    parser = argparse.ArgumentParser(prog="python -m tests.batch.prove_kills", description=__doc__)
    parser.add_argument("--engine", choices=sorted(ANALYSERS), required=True)
    parser.add_argument("--out", type=Path, help="the table, JSON; others' lines stay")
    parser.add_argument("--regions", type=int, default=300)
    parser.add_argument("--pause", type=float, nargs=2, default=(0.3, 1.5), help="seconds between two kills")
    parser.add_argument("--seed", type=int, default=1)
    parser.add_argument("--work", type=Path, help=argparse.SUPPRESS)
    args = parser.parse_args(argv)
    if args.work is not None:
        work(args.work / "source", args.work / "out", args.engine, args.work / "log")
        return
    with tempfile.TemporaryDirectory() as folder:
        outcome = prove(args.engine, args.regions, (args.pause[0], args.pause[1]), args.seed, Path(folder))
    print(json.dumps(outcome, indent=1))
    if args.out is not None:
        table = json.loads(args.out.read_text()) if args.out.exists() else {}
        args.out.write_text(json.dumps({**table, args.engine: outcome}, indent=1) + "\n")


if __name__ == "__main__":
    main()
