"""Parts of a region's work side by side."""

from __future__ import annotations

import gc
import subprocess
import sys
import threading
import time
import weakref
from collections.abc import Iterator
from contextlib import suppress

import pytest
import torch

from her2core.cores import beside, cores, side_by_side


@pytest.fixture(params=[1, 2])
def threads(request: pytest.FixtureRequest) -> Iterator[int]:
    before = torch.get_num_threads()
    torch.set_num_threads(request.param)
    yield request.param
    torch.set_num_threads(before)


@pytest.fixture
def two() -> Iterator[None]:
    before = torch.get_num_threads()
    torch.set_num_threads(2)
    yield
    torch.set_num_threads(before)


def test_parts_come_back_in_their_order(threads: int) -> None:
    assert side_by_side([lambda n=n: n * n for n in range(7)]) == [n * n for n in range(7)]  # type: ignore[misc]


def test_a_part_has_one_core_and_does_its_own_parts_there(threads: int) -> None:
    def part() -> tuple[int, str, list[str]]:
        return cores(), threading.current_thread().name, side_by_side([lambda: threading.current_thread().name] * 2)

    for seen, name, inner in side_by_side([part, part]):
        assert seen == 1
        assert inner == [name] * 2  # waiting for a core from one would be waiting for ever
    assert cores() == threads


def test_threads_that_come_later_have_all_cores(threads: int) -> None:
    side_by_side([lambda: None] * 2)
    seen: list[int] = []
    later = threading.Thread(target=lambda: seen.append(cores()))
    later.start()
    later.join()
    assert seen == [threads]


def test_an_error_is_raised_when_all_have_ended(two: None) -> None:
    begun, ended = threading.Event(), threading.Event()

    def fails() -> None:
        begun.wait(10)
        raise ValueError("spoilt")

    def goes_on() -> None:
        begun.set()
        ended.wait(0.05)
        ended.set()

    with pytest.raises(ValueError, match="spoilt"):
        side_by_side([fails, goes_on])
    assert ended.is_set()


def test_a_single_part_is_the_callers(threads: int) -> None:
    assert side_by_side([lambda: (cores(), threading.current_thread())]) == [(threads, threading.current_thread())]


def test_what_goes_on_beside_is_there_when_it_is_asked_for(threads: int) -> None:
    begun = threading.Event()

    def work() -> str:
        begun.set()
        return "done"

    with beside(work) as result:
        assert begun.wait(5 if threads > 1 else 0.01) is (threads > 1)  # on one core nothing goes on beside
        assert result() == "done"


def test_nothing_is_left_running_behind_an_error(two: None) -> None:
    begun, ended = threading.Event(), threading.Event()

    def work() -> None:
        begun.set()
        ended.wait(0.05)
        ended.set()

    with pytest.raises(ValueError, match="spoilt"), beside(work):
        begun.wait(10)
        raise ValueError("spoilt")
    assert ended.is_set()


def test_an_error_lets_go_of_what_failed_with_it(two: None) -> None:
    """The memory of a GPU that was full is asked for again right after the error."""
    kept: list[weakref.ref[torch.Tensor]] = []

    def fails() -> None:
        large = torch.zeros(3)
        kept.append(weakref.ref(large))
        raise ValueError("spoilt")

    gc.collect()
    gc.disable()
    try:
        with suppress(ValueError):
            side_by_side([fails, lambda: None])
        time.sleep(0.05)  # the thread that did it lets go a moment later
        assert kept[0]() is None
    finally:
        gc.enable()


ENDING = """
import atexit, threading, time
import torch
torch.set_num_threads(2)
from her2core.cores import beside, side_by_side
said = []
def job():
    side_by_side([lambda: None] * 2)
    begun.set()
    while not stop.is_set():
        assert side_by_side([lambda: 1, lambda: 2]) == [1, 2]
        with beside(lambda: 3) as result:
            assert result() == 3
    said.append("heard that it ends")
def close():
    stop.set()
    thread.join(10)
    print(said)
begun, stop = threading.Event(), threading.Event()
thread = threading.Thread(target=job, daemon=True)
atexit.register(close)
thread.start()
begun.wait(10)
"""


def test_a_job_goes_on_until_it_hears_that_the_process_ends() -> None:
    done = subprocess.run([sys.executable, "-c", ENDING], capture_output=True, text=True, timeout=60, check=True)
    assert done.stdout.strip() == "['heard that it ends']"
