"""Parts of a region's work side by side on the cores of the processor.

Torch splits every operation over its threads. Those of one region are short, so its threads mostly wait for each other,
and all that is not torch's (resizing, tables) has one core anyway. Whole parts of the work, each on one core, use all.
"""

from __future__ import annotations

import os
import threading
from collections.abc import Callable, Iterator, Sequence
from concurrent.futures import Future, ThreadPoolExecutor, wait
from contextlib import contextmanager
from typing import TypeVar

import torch

__all__ = ["beside", "cores", "side_by_side"]

Result = TypeVar("Result")

_PATIENCE_S = 60.0
_guard = threading.Lock()
_pools: dict[int, ThreadPoolExecutor] = {}


def cores() -> int:
    """How many cores the calling thread may use: torch's number of threads. In a part of `side_by_side` it is 1."""
    return torch.get_num_threads()


def side_by_side(parts: Sequence[Callable[[], Result]]) -> list[Result]:
    """What the parts return, in their order. Raises what the first that fails does, when all have ended.

    A single part, and all where there is one core, is done by the caller.
    """
    if cores() == 1 or len(parts) <= 1:
        return [part() for part in parts]
    futures: list[Future[Result]] = []
    try:
        futures += (_pool(cores()).submit(part) for part in parts)
    except RuntimeError:  # Python ends, and takes no more: whoever asked goes on until it hears of that
        wait(futures)
        return [part() for part in parts]
    wait(futures)
    results = []
    try:
        for future in futures:
            results.append(future.result())
    finally:
        del future, futures  # else an error holds them, and they it, and what fills the memory of a GPU with them
    return results


@contextmanager
def beside(work: Callable[[], Result]) -> Iterator[Callable[[], Result]]:
    """A core begins with `work` now, if there are several; call what is yielded for what it returns or raises.

    It is not left running behind: who leaves early waits for it, unless it has not begun.
    """
    try:
        future = None if cores() == 1 else _pool(cores()).submit(work)
    except RuntimeError:  # Python ends
        future = None
    if future is None:
        yield work
        return
    try:
        yield future.result
    finally:
        if not future.cancel():
            wait([future])
        del future


def _pool(count: int) -> ThreadPoolExecutor:
    """`count` threads that have one of torch's each; all of this process share them, so that none is crowded out."""
    with _guard:
        if count not in _pools:
            pool = ThreadPoolExecutor(count, "her2core-core", _on_one_core)
            all_there = threading.Barrier(count + 1)
            for _ in range(count):
                pool.submit(all_there.wait, _PATIENCE_S)
            all_there.wait(_PATIENCE_S)
            torch.set_num_threads(count)  # threads that come later have the number that was set last
            _pools[count] = pool
        return _pools[count]


def _on_one_core() -> None:
    torch.get_num_threads()  # a thread's first word with torch gives it the number of the process
    torch.set_num_threads(1)


def _anew() -> None:
    """Threads do not pass to a child, and whoever held the lock is not there to give it back."""
    global _guard
    _guard = threading.Lock()
    _pools.clear()


os.register_at_fork(after_in_child=_anew)
