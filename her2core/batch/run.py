"""A batch from folder to folder: take stock, leave out what was analysed, analyse the rest, write it down."""

from __future__ import annotations

import importlib.util
import time
from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Final

from her2core.batch.inventory import Found, take_stock
from her2core.batch.processes import through_processes
from her2core.batch.results import ResultFolder
from her2core.batch.work import Item, Recipe
from her2core.errors import ExchangeError
from her2core.exchange.analysis import ImageResult

__all__ = ["ENGINES", "Summary", "ray_is_installed", "run"]

ENGINES: Final = ("auto", "ray", "processes")

Told = Callable[[str, int, int], None]
"""What is done now, and how many of how many."""


@dataclass(frozen=True, slots=True)
class Summary:
    """What a run came to.

    files: image files found. images: different images among them. before: those that were analysed already. done: those
    that got a result now, of which `failed` is an error, be it that of an earlier run again. unread: files that could
    not even be read, by name with the reason. seconds: of the analysis, taking stock left out.
    """

    files: int
    images: int
    before: int
    done: int
    failed: tuple[tuple[str, str], ...]
    unread: tuple[tuple[str, str], ...]
    seconds: float

    @property
    def duplicates(self) -> int:
        """Files whose bytes are those of another file."""
        return self.files - self.images - len(self.unread)


def ray_is_installed() -> bool:
    """Whether `requirements-batch.txt` was installed."""
    return importlib.util.find_spec("ray") is not None


def run(
    source: Path,
    out: Path,
    recipe: Recipe,
    *,
    workers: int = 1,
    engine: str = "auto",
    address: str | None = None,
    told: Told | None = None,
    part: int = 256,
) -> Summary:
    """Analyse every image below `source` that was not analysed into `out` yet; one that failed is tried again. May be
    killed and run again at any time.

    engine: "ray" streams through Ray Data (on the cluster at `address`, else on this machine), "processes" does without
    Ray, "auto" takes Ray where it is installed. part: so many results are written at a time; a run that is killed
    loses at most these. Raises NotFoundError for `source`, ExchangeError for `out` or where Ray is wanted and missing,
    ModelError.
    """
    through = _engine(engine, address)
    tell = told or (lambda what, done, total: None)
    with ResultFolder(out, recipe.identity(), part) as results:
        files = list(take_stock(source, results.known(), lambda number: tell("Looking through the files", number, 0)))
        results.write_files(files)
        images = _images(source, files)
        waiting = [item for item in images if item.sha256 not in results.done]
        started, done, failed = time.monotonic(), 0, []
        for item, result in through(waiting, recipe, workers) if waiting else ():
            if results.add(item, result):
                done += 1
                if result.error is not None:
                    failed.append((item.name, result.error))
                tell(item.name, done, len(waiting))
        unread = tuple((file.name, file.error) for file in files if file.error is not None)
        seconds = time.monotonic() - started
        return Summary(
            len(files), len(images), len(images) - len(waiting), done, tuple(failed), unread, round(seconds, 3)
        )


Through = Callable[[Sequence[Item], Recipe, int], Iterator[tuple[Item, ImageResult]]]


def _engine(engine: str, address: str | None) -> Through:
    if engine not in ENGINES:
        raise ValueError(f"the engine is one of {', '.join(ENGINES)}, not {engine!r}")
    wants_ray = engine == "ray" or address is not None
    if wants_ray and not ray_is_installed():
        raise ExchangeError("Ray is not installed here. Install it: pip install -r requirements-batch.txt")
    if engine == "processes" and address is not None:
        raise ExchangeError("A cluster needs Ray: leave --engine processes away.")
    if wants_ray or (engine == "auto" and ray_is_installed()):
        from her2core.batch.through_ray import through_ray

        return lambda items, recipe, workers: through_ray(items, recipe, workers, address)
    return through_processes


def _images(source: Path, files: Sequence[Found]) -> list[Item]:
    """Each image once: of files with the same bytes the first in the order of names."""
    first: dict[str, Item] = {}
    for file in files:
        if file.sha256 is not None and file.sha256 not in first:
            first[file.sha256] = Item(str((source / file.name).absolute()), file.name, file.sha256)
    return list(first.values())
