"""The test sets: rendered anew from their seeds, which training never used."""

from __future__ import annotations

import hashlib
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path

import benchmarks.second_style
import her2core.training.render
from benchmarks.second_style import render_dataset_second
from her2core.errors import TrainingError
from her2core.training.render import render_dataset

__all__ = ["SETS", "VALIDATION", "RenderedSet", "folder_of", "rendered"]

Tell = Callable[[str], None]


@dataclass(frozen=True, slots=True)
class RenderedSet:
    """A rendered set, defined by its renderer, mix, number and seed."""

    name: str
    title: str
    count: int
    seed: int
    mix: str
    second_style: bool = False


SETS = (
    RenderedSet("rendered-paper", "The paper's mix", 184, 2023, "paper"),
    RenderedSet("rendered-balanced", "All groups alike", 150, 2018, "balanced"),
    RenderedSet("rendered-borders", "Within 5 % of a border", 100, 2019, "borders"),
    RenderedSet("second-style", "Second renderer", 100, 2020, "balanced", second_style=True),
)
# Peers are tuned on these.
VALIDATION = RenderedSet("validation", "Validation of the peers", 24, 4711, "balanced")


def folder_of(test: RenderedSet, work: Path) -> Path:
    """Where a set lies; another folder as soon as its renderer is changed."""
    module = benchmarks.second_style if test.second_style else her2core.training.render
    sources = sorted(Path(str(module.__file__)).parent.glob("*.py"))
    digest = hashlib.sha256(b"".join(path.read_bytes() for path in sources)).hexdigest()[:8]
    style = "second" if test.second_style else test.mix
    return work / f"test-{style}-{test.count}-{test.seed}-{digest}"


def rendered(test: RenderedSet, work: Path, tell: Tell, *, processes: int = 1) -> Path | None:
    """The set's folder, made where it is missing; None, with a notice, where its renderer cannot make it."""
    folder = folder_of(test, work)
    if (folder / "truth.json").exists():
        return folder
    tell(f"{test.title}: rendering {test.count} regions into {folder}")
    try:
        draw = render_dataset_second if test.second_style else render_dataset
        draw(folder, test.count, test.seed, mix=test.mix, processes=processes)
    except TrainingError as error:
        tell(f"{test.title} is left out: {error}")
        return None
    return folder
