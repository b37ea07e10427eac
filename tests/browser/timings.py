"""How long the workbench lets one wait, measured in Chromium over the served application.

    python -m tests.browser.timings [--clicks N] [--openings N] [--out FILE]

Writes benchmarks/results/workbench.md. Run it on a machine that does nothing else: the table says how busy it was.
"""

from __future__ import annotations

import argparse
import io
import os
import platform
import statistics
import sys
import tempfile
import time
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass
from datetime import UTC, datetime
from pathlib import Path

import numpy as np
from PIL import Image
from playwright.sync_api import expect, sync_playwright

from her2core import workflow
from her2core.imaging import DEFAULT_LIMITS
from her2core.records import Case, Region
from tests.browser.conftest import PATIENCE_MS, ROOT, Server, dark_page
from tests.browser.review_page import ReviewPage
from tests.conftest import chromium
from tests.pages.lab import POSITIVE, TestLaboratory, draw_region
from tests.served import free_port

__all__ = ["CLICK_TO_TALLY_MS", "OPENING_S", "case_of_six_large_regions", "click_to_tally", "open_again", "slowness"]

CLICK_TO_TALLY_MS = 300
"""The aim for the median, from a click that changes a count to the tally on the screen, with 200 nuclei."""
OPENING_S = 2.0
"""The aim from the click in the worklist until image, boxes and nuclei of six regions can be worked with."""

RESULTS = ROOT / "benchmarks" / "results" / "workbench.md"

_CLICKS = """async (editor, times) => {
    const took = [];
    for (let i = 0; i < times; i++) {
        const shown = () => [...editor.querySelectorAll(".h2c-res td.now")].at(-1).textContent;
        const before = shown();
        const start = performance.now();
        editor.querySelector('[data-part="more-her2"]').click();
        while (shown() === before) await new Promise(requestAnimationFrame);
        took.push(performance.now() - start);
    }
    return took;
}"""


def slowness() -> float:
    """How many times longer than undisturbed a program takes here now: 1 on a machine that does nothing else."""
    started, used = time.perf_counter(), time.process_time()
    while time.process_time() - used < 0.2:
        pass
    return (time.perf_counter() - started) / 0.2


def click_to_tally(at: ReviewPage, clicks: int) -> list[float]:
    """Milliseconds of each of so many clicks on + of the chosen nucleus, until the tally has followed."""
    took: list[float] = at.page.locator(".editor").evaluate(_CLICKS, clicks)
    return took


def case_of_six_large_regions(lab: TestLaboratory) -> Case:
    """Six regions of 2040 x 1536 pixels, twenty nuclei in each."""
    case = lab.open_case("S26-SIX")
    for shade in range(120, 126):
        lab.analyse(_large_region(lab, case.id, shade))
    return case


def open_again(at: ReviewPage) -> float:
    """Seconds from the click in the worklist until the case can be worked with. The page must be signed in."""
    page = at.page
    page.get_by_role("link", name="Worklist").click()
    expect(page.locator(f".st-key-open_{at.case.id} button")).to_be_visible(timeout=PATIENCE_MS)
    started = time.perf_counter()
    at.from_worklist()
    return time.perf_counter() - started


def _large_region(lab: TestLaboratory, case_id: int, shade: int) -> Region:
    """A region with noise, as a camera gives it, and nuclei in its corner."""
    pixels = np.random.default_rng(shade).integers(0, 12, (1536, 2040, 3), dtype=np.uint8)
    with Image.open(io.BytesIO(draw_region(POSITIVE, shade))) as drawn:
        small = np.asarray(drawn)
    pixels[: small.shape[0], : small.shape[1]] = np.maximum(pixels[: small.shape[0], : small.shape[1]], small)
    buffer = io.BytesIO()
    Image.fromarray(pixels).save(buffer, "PNG", compress_level=1)
    by = lab.person("berg")
    region, _ = workflow.add_region(lab.log, case_id, buffer.getvalue(), f"large-{shade}.png", by, DEFAULT_LIMITS)
    return region


# --- the table --------------------------------------------------------------------------------------------------------


@dataclass(frozen=True)
class Measured:
    """Durations of one kind, in the unit of the table, and how slow the machine was meanwhile."""

    what: str
    aim: str
    took: Sequence[float]
    slow: float
    unit: str

    def line(self) -> str:
        """The line of the table."""
        digits = 0 if self.unit == "ms" else 2
        ordered = sorted(self.took)
        ninth = ordered[min(len(ordered) - 1, round(0.9 * (len(ordered) - 1)))]
        numbers = (f"{value:.{digits}f} {self.unit}" for value in (statistics.median(ordered), ninth, ordered[-1]))
        return f"| {self.what} | {self.aim} | {' | '.join(numbers)} | {len(ordered)} | {self.slow:.1f} |"


def table(lines: Sequence[Measured], day: str) -> str:
    """The file, as Markdown."""
    cores = len(os.sched_getaffinity(0))
    return "\n".join(
        (
            "# Waiting at the workbench",
            "",
            f"Made by `python -m tests.browser.timings` on {day}: the served application and Chromium together on",
            f"{cores} cores ({platform.machine()}), Python {platform.python_version()}. The last column says how many",
            "times longer than on an idle machine a program took meanwhile (1.0: idle); nothing is divided by it.",
            "",
            "| from … to … | aim | median | 9 of 10 within | longest | times | slowed |",
            "|---|---|---|---|---|---|---|",
            *(measured.line() for measured in lines),
            "",
        )
    )


@contextmanager
def _served(folder: Path) -> Iterator[Server]:
    server = Server(TestLaboratory.make(folder / "data"), free_port(), folder / "server.log")
    try:
        server.start()
        yield server
    finally:
        server.stop()
        server.lab.log.close()


def measure(folder: Path, clicks: int, openings: int) -> tuple[Measured, ...]:
    """Both, on one server; the first clicks and the first opening, which import and decode, are not counted."""
    path = chromium()
    if path is None:
        raise SystemExit("No Chromium here: install it, or set CHROMIUM to its path.")
    with _served(folder) as server, sync_playwright() as playwright:
        browser = playwright.chromium.launch(executable_path=path, args=["--no-sandbox"])
        many = server.lab.analysed([(6, 2)] * 200)
        at = ReviewPage(dark_page(browser), server.lab, many).open(server)
        at.choose(1)
        click_to_tally(at, 5)
        slow = [slowness()]
        took: list[float] = []
        while len(took) < clicks:
            took += click_to_tally(at, 10)
            slow.append(slowness())
        at.page.get_by_role("link", name="Worklist").click()

        six = ReviewPage(at.page, server.lab, case_of_six_large_regions(server.lab))
        open_again(six)
        waited, slow_then = [], []
        for _ in range(openings):
            slow_then.append(slowness())
            waited.append(open_again(six))
        browser.close()
    return (
        Measured(
            "a click that changes a count, to the tally on the screen (200 nuclei)",
            f"median under {CLICK_TO_TALLY_MS} ms", took, statistics.median(slow), "ms",
        ),
        Measured(
            "**Continue** in the worklist, to image, boxes and nuclei (six regions of 2040 x 1536)",
            f"under {OPENING_S:g} s", waited, statistics.median(slow_then), "s",
        ),
    )  # fmt: skip


def main(arguments: Sequence[str] | None = None) -> int:
    """Measure and write the table. 1 where an aim was missed."""
    parser = argparse.ArgumentParser(prog="python -m tests.browser.timings", description=__doc__)
    parser.add_argument("--clicks", type=int, default=100)
    parser.add_argument("--openings", type=int, default=10)
    parser.add_argument("--out", type=Path, default=RESULTS)
    wanted = parser.parse_args(arguments)
    with tempfile.TemporaryDirectory(prefix="her2core-timings-") as folder:
        clicks, openings = measure(Path(folder), wanted.clicks, wanted.openings)
    wanted.out.write_text(table((clicks, openings), f"{datetime.now(UTC):%Y-%m-%d}"), encoding="utf-8")
    missed = statistics.median(clicks.took) >= CLICK_TO_TALLY_MS or statistics.median(openings.took) >= OPENING_S
    return int(missed)


if __name__ == "__main__":
    sys.exit(main())
