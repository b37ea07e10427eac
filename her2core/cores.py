"""Parts of a region's work side by side on the cores of the processor.

Torch splits every operation over its threads. Those of one region are short, so its threads mostly wait for each other,
and all that is not torch's (resizing, tables) has one core anyway. Whole parts of the work, each on one core, use all.
"""

from __future__ import annotations

import os
import threading
from collections.abc import Callable, Sequence
from concurrent.futures import ThreadPoolExecutor, wait
from typing import TypeVar

import torch

__all__ = ["cores", "side_by_side", "started"]

Result = TypeVar("Result")

_guard = threading.Lock()
_pools: dict[int, ThreadPoolExecutor] = {}


def cores() -> int:
    """How many cores the calling thread may use: torch's number of threads. In a part of `side_by_side` it is 1."""
    return torch.get_num_threads()


def side_by_side(parts: Sequence[Callable[[], Result]]) -> list[Result]:
    """What the parts return, in their order. Raises what the first that fails does, when all have ended."""
    if cores() == 1:
        return [part() for part in parts]
    pool = _pool(cores())
    futures = [pool.submit(part) for part in parts]
    wait(futures)
    return [future.result() for future in futures]


def started(work: Callable[[], Result]) -> Callable[[], Result]:
    """A core begins with `work` now, if there are several; to be called, once, for what it returns or raises."""
    return work if cores() == 1 else _pool(cores()).submit(work).result


def _pool(count: int) -> ThreadPoolExecutor:
    """`count` threads that have one of torch's each; all of this process share them, so that none is crowded out."""
    with _guard:
        if count not in _pools:
            pool = ThreadPoolExecutor(count, "her2core-core", _on_one_core)
            all_there = threading.Barrier(count + 1)
            for _ in range(count):
                pool.submit(all_there.wait)
            all_there.wait()
            torch.set_num_threads(count)  # threads that come later have the number that was set last
            _pools[count] = pool
        return _pools[count]


def _on_one_core() -> None:
    torch.get_num_threads()  # a thread's first word with torch gives it the number of the process
    torch.set_num_threads(1)


os.register_at_fork(after_in_child=_pools.clear)  # threads do not pass to a child
