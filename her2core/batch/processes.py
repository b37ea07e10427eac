"""A pool of worker processes on this machine, without Ray. A worker that dies costs nothing but its image's time."""

from __future__ import annotations

import contextlib
import multiprocessing
import signal
from collections import Counter, deque
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from multiprocessing.connection import Connection, wait
from multiprocessing.context import SpawnContext, SpawnProcess

from her2core.batch.work import MAX_ATTEMPTS, Item, Recipe, analyse_file, gave_up
from her2core.errors import Her2CoreError, ModelError
from her2core.exchange.analysis import ImageResult

__all__ = ["through_processes"]

_STOP_S = 5.0
_NEVER_OPENED = (
    "The workers end before they have loaded the models: there may be too little memory for so many. Use fewer workers."
)


@dataclass(slots=True)
class _Worker:
    process: SpawnProcess
    pipe: Connection
    item: Item | None = None
    opened: bool = False


def through_processes(items: Sequence[Item], recipe: Recipe, workers: int) -> Iterator[tuple[Item, ImageResult]]:
    """Every item with its result, as they come, each once.

    The image of a worker that died is given to another; after MAX_ATTEMPTS deaths its result is an error. Processes are
    spawned, not forked: torch's threads do not survive a fork. Raises ModelError where the models cannot be loaded.
    """
    context = multiprocessing.get_context("spawn")
    waiting, deaths, unopened = deque(items), Counter[str](), 0
    pool = [_start(context, recipe) for _ in range(min(workers, len(items)))]
    try:
        while waiting or any(worker.item is not None for worker in pool):
            for worker in pool:
                if waiting and worker.opened and worker.item is None:
                    _give(worker, waiting.popleft())
            for pipe in wait([worker.pipe for worker in pool]):
                worker = next(w for w in pool if w.pipe is pipe)
                said, item = _hear(worker), worker.item
                if isinstance(said, ImageResult) and item is not None:
                    worker.item = None
                    yield item, said
                elif said is True:
                    worker.opened, unopened = True, 0
                elif isinstance(said, str):
                    raise ModelError(said)
                else:
                    unopened += not worker.opened
                    if unopened >= MAX_ATTEMPTS * workers:
                        raise ModelError(_NEVER_OPENED)
                    _end(worker, 0.0)
                    pool[pool.index(worker)] = _start(context, recipe)
                    if item is not None:
                        deaths[item.sha256] += 1
                        if deaths[item.sha256] < MAX_ATTEMPTS:
                            waiting.append(item)
                        else:
                            yield item, gave_up(item)
    finally:
        for worker in pool:
            _end(worker, _STOP_S)


def _start(context: SpawnContext, recipe: Recipe) -> _Worker:
    ours, theirs = context.Pipe()
    process = context.Process(target=_work, args=(theirs, recipe), daemon=True)
    process.start()
    theirs.close()  # so that the end of the process ends the pipe
    return _Worker(process, ours)


def _give(worker: _Worker, item: Item) -> None:
    worker.item = item
    with contextlib.suppress(OSError):  # it died meanwhile, which is heard of next
        worker.pipe.send(item)


def _hear(worker: _Worker) -> ImageResult | str | bool | None:
    """What a worker says: True once it has loaded the models, a text where it cannot, a result; None: it is dead."""
    try:
        said = worker.pipe.recv()
    except (EOFError, OSError):
        return None
    return said if isinstance(said, (ImageResult, str, bool)) else None


def _end(worker: _Worker, patience_s: float) -> None:
    worker.pipe.close()
    worker.process.join(patience_s if worker.item is None else 0.1)
    if worker.process.is_alive():
        worker.process.kill()
    worker.process.join()


def _work(pipe: Connection, recipe: Recipe) -> None:
    """The worker's side: ends when the pipe does, so it never outlives who started it by more than one image."""
    signal.signal(signal.SIGINT, signal.SIG_IGN)  # Ctrl-C is for the one who collects
    try:
        analyse = recipe.open()
    except Her2CoreError as error:
        pipe.send(str(error))
        return
    pipe.send(True)
    with contextlib.suppress(EOFError, OSError):
        while True:
            pipe.send(analyse_file(pipe.recv(), analyse, recipe.limits))
