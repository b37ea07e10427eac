"""pyHanko drives an event loop of its own, which cannot be done in a thread where one runs already."""

from __future__ import annotations

import asyncio
from collections.abc import Callable
from concurrent.futures import ThreadPoolExecutor
from typing import ParamSpec, TypeVar

__all__ = ["with_own_loop"]

_P = ParamSpec("_P")
_T = TypeVar("_T")


def with_own_loop(work: Callable[_P, _T], *args: _P.args, **kwargs: _P.kwargs) -> _T:
    """Call `work`: here, or in a thread of its own where an event loop runs in this one. Raises what it raises."""
    try:
        asyncio.get_running_loop()
    except RuntimeError:
        return work(*args, **kwargs)
    with ThreadPoolExecutor(1, thread_name_prefix="her2core-pyhanko") as pool:
        return pool.submit(work, *args, **kwargs).result()
