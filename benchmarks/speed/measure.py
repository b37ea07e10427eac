"""What is measured, each number in rounds whose methods take turns, so that a busy moment hits all of them alike."""

from __future__ import annotations

import json
import os
import statistics
import subprocess
import sys
import time
from collections.abc import Callable, Mapping, Sequence
from pathlib import Path
from typing import Any

import numpy as np

from benchmarks.memory import forget_peak, peak_kib
from benchmarks.peers import Classical
from benchmarks.peers.classical import ClassicalSettings
from benchmarks.speed.limit import counting_operations, machine_giga, machine_giga_in_8_bits
from benchmarks.speed.paper import PaperSetup
from her2core import pipeline
from her2core.imaging import DEFAULT_LIMITS, ImageLimits, measured, open_image, read_region
from her2core.pipeline import Models
from her2core.records import Box
from her2core.scoring import tally

__all__ = [
    "STAGES",
    "beside_peers",
    "by_nuclei",
    "by_regions",
    "by_size",
    "distance",
    "spawn_stages",
    "spawn_start",
    "stages_alone",
    "start",
    "take_turns",
]

ROOT = Path(__file__).parents[2]
STAGES = ("load", "detect", "count", "tally", "quality")
OURS, CLASSICAL = "her2core", "classical (scikit-image)"


def take_turns(methods: Mapping[str, Callable[[int], object]], rounds: int) -> dict[str, list[float]]:
    """Seconds of each method in each round. Every round runs all of them, beginning with another one each time."""
    seconds: dict[str, list[float]] = {name: [] for name in methods}
    names = list(methods)
    for number in range(rounds):
        turn = number % len(names)
        for name in names[turn:] + names[:turn]:
            started = time.perf_counter()
            methods[name](number)
            seconds[name].append(time.perf_counter() - started)
    return seconds


def beside_peers(files: Sequence[Path], models: Models, passes: int, papers: Sequence[PaperSetup]) -> dict[str, Any]:
    """From file to tally: ours, the classical peer, the paper's set-up; and how many times longer the others take.

    Every pass is a round for each file.
    """
    classical = Classical(ClassicalSettings())
    boxes = [[n.box for n in _analyse(path, models).nuclei] for path in files]  # warms us up, too

    def ours(number: int) -> None:
        tally(_analyse(files[number % len(files)], models).nuclei)

    def theirs(number: int) -> None:
        pixels = _pixels(files[number % len(files)])
        found = classical.find(pixels)
        rows = np.asarray(found.boxes_xyxy, float).reshape(-1, 4).tolist()
        nuclei: list[Box] = [(x0, y0, x1, y1) for x0, y0, x1, y1 in rows]
        if nuclei:
            classical.counts(pixels, nuclei)

    def published(paper: PaperSetup) -> Callable[[int], object]:
        return lambda number: paper.analyse(_pixels(files[number % len(files)]), boxes[number % len(files)])

    methods = {OURS: ours, CLASSICAL: theirs, **{paper.title: published(paper) for paper in papers}}
    for method in list(methods.values())[1:]:
        method(0)
    seconds = take_turns(methods, passes * len(files))
    times = {name: [a / b for a, b in zip(each, seconds[OURS], strict=True)] for name, each in seconds.items()}

    def medians(numbers: Mapping[str, Sequence[float]], of_file: slice) -> dict[str, float]:
        return {name: statistics.median(each[of_file]) for name, each in numbers.items()}

    each_file = [slice(i, None, len(files)) for i in range(len(files))]
    return {
        "seconds": medians(seconds, slice(None)),
        "times ours": medians(times, slice(None)),
        "regions": [
            {"nuclei": len(found), "seconds": medians(seconds, its), "times ours": medians(times, its)}
            for found, its in zip(boxes, each_file, strict=True)
        ],
        "rounds": passes,
    }


def by_size(files: Mapping[tuple[int, int], Path], models: Models, rounds: int) -> list[dict[str, Any]]:
    """Seconds of each of STAGES for regions of several sizes, medians of the rounds."""
    rows = []
    for (width_px, height_px), path in files.items():
        times: dict[str, list[float]] = {stage: [] for stage in STAGES}
        found = 0
        for _ in range(rounds):
            watch = _Watch()
            found = _in_stages(path, models, DEFAULT_LIMITS, watch)
            for stage, seconds in watch.seconds.items():
                times[stage].append(seconds)
        medians = {stage: statistics.median(each) for stage, each in times.items()}
        rows.append({"width": width_px, "height": height_px, "tiled": False, "nuclei": found, "seconds": medians})
    return rows


class _Watch:
    """Told the end of each stage, it keeps how long each took."""

    def __init__(self) -> None:
        self.seconds: dict[str, float] = {}
        self._began = time.perf_counter()

    def __call__(self, stage: str) -> None:
        self.seconds[stage] = time.perf_counter() - self._began
        self._began = time.perf_counter()


def _in_stages(path: Path, models: Models, limits: ImageLimits, told: Callable[[str], None]) -> int:
    """File to tally and quality, `told` after each of STAGES; how many nuclei there were."""
    with open_image(path, limits) as image:
        pixels: Any = image.pixels_rgb
        height_px, width_px = pixels.shape[:2]
        told("load")
        found = models.detector.detect(pixels)
        boxes = sorted((d.box_xyxy for d in found), key=lambda box: (round(box[1] / 50), box[0]))
        told("detect")
        counts = models.counter.count(pixels, boxes)
        told("count")
        tally(
            [
                pipeline.settle(i + 1, box, 0.9, count, 0.0, (width_px, height_px))
                for i, (box, count) in enumerate(zip(boxes, counts, strict=True))
            ]
        )
        told("tally")
        measured(pixels)
        told("quality")
        return len(boxes)


def by_nuclei(path: Path, models: Models, numbers: Sequence[int], rounds: int) -> list[dict[str, Any]]:
    """Seconds of counting so many nuclei; those of the region, again and again."""
    pixels = _pixels(path)
    boxes = [d.box_xyxy for d in models.detector.detect(pixels)]
    if not boxes:
        return []

    def counting(number: int) -> Callable[[int], object]:
        return lambda _: models.counter.count(pixels, [boxes[i % len(boxes)] for i in range(number)])

    seconds = take_turns({str(number): counting(number) for number in numbers}, rounds)
    return [{"nuclei": int(name), "seconds": statistics.median(each)} for name, each in seconds.items()]


def by_regions(files: Sequence[Path], models: Models, numbers: Sequence[int]) -> list[dict[str, Any]]:
    """Seconds until so many regions are analysed, file to tally, in one go."""
    started, rows = time.perf_counter(), []
    for number in range(1, max(numbers) + 1):
        tally(_analyse(files[number % len(files)], models).nuclei)
        if number in numbers:
            rows.append({"regions": number, "seconds": time.perf_counter() - started})
    return rows


def distance(path: Path, models: Models) -> dict[str, float]:
    """Operations of a region, what the machine does a second, and the share of the time that they alone would take."""
    pixels = _pixels(path)
    with counting_operations(models.detector, models.counter) as done:
        started = time.perf_counter()
        pipeline.analyse(pixels, models)
        seconds = time.perf_counter() - started
    limit, limit_8 = machine_giga(), machine_giga_in_8_bits()
    alone = done.in_float32 / 1e9 / limit + done.in_8_bits / 1e9 / limit_8
    return {
        "giga in float32": done.in_float32 / 1e9,
        "giga in 8 bits": done.in_8_bits / 1e9,
        "machine, giga per second in float32": limit,
        "machine, giga per second in 8 bits": limit_8,
        "seconds at the limit": alone,
        "seconds": seconds,
        "share of the limit": alone / seconds,
    }


def stages_alone(path: Path | None, weights: Path, *, tiled: bool) -> dict[str, Any]:
    """Seconds and highest memory (MB) of each of STAGES in this process, which has done nothing else but load the
    models; without a path only the memory of that. tiled: the file is read window by window, however small."""
    models = pipeline.load_models(weights, "cpu")
    alone: dict[str, Any] = {"models mb": peak_kib() / 1024, "peak mb": {}}
    if path is None:
        return alone
    forget_peak()
    watch = _Watch()

    def told(stage: str) -> None:
        watch(stage)
        alone["peak mb"][stage] = peak_kib() / 1024
        forget_peak()

    limits = ImageLimits(max_pixels=1) if tiled else DEFAULT_LIMITS
    nuclei = _in_stages(path, models, limits, told)
    return alone | {"nuclei": nuclei, "seconds": watch.seconds}


def spawn_stages(path: Path | None, weights: Path, *, tiled: bool = False) -> dict[str, Any]:
    """`stages_alone` in a process of its own, in which nothing was there before."""
    command = [sys.executable, "-m", "benchmarks.speed", "--alone", str(path or "-"), "--weights", str(weights)]
    command += ["--tiled"] * tiled
    done = subprocess.run(command, cwd=ROOT, env=os.environ, check=True, capture_output=True, text=True)  # noqa: S603
    found: dict[str, Any] = json.loads(done.stdout)
    return found


def start(path: Path, weights: Path) -> list[float]:
    """When (seconds since 1970) this process has loaded the models, and when it has analysed its first region."""
    models = pipeline.load_models(weights, "cpu")
    loaded = time.time()
    _analyse(path, models)
    return [loaded, time.time()]


def spawn_start(path: Path, weights: Path, rounds: int) -> dict[str, float]:
    """Median seconds from the start of a process to its models and to its first tally; the second time costs less."""
    command = [sys.executable, "-m", "benchmarks.speed", "--start", str(path), "--weights", str(weights)]
    found = []
    for _ in range(rounds):
        begun = time.time()
        done = subprocess.run(command, cwd=ROOT, env=os.environ, check=True, capture_output=True, text=True)  # noqa: S603
        found.append([at - begun for at in json.loads(done.stdout)])
    loaded, analysed = (statistics.median(column) for column in zip(*found, strict=True))
    return {"models loaded": loaded, "first region analysed": analysed}


def _pixels(path: Path) -> Any:
    return read_region(path.read_bytes(), path.name).pixels_rgb


def _analyse(path: Path, models: Models) -> Any:
    return pipeline.analyse(_pixels(path), models)
