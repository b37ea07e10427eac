"""Parts of a region's work side by side."""

from __future__ import annotations

import threading
from collections.abc import Iterator

import pytest
import torch

from her2core.cores import cores, side_by_side, started


@pytest.fixture(params=[1, 2])
def threads(request: pytest.FixtureRequest) -> Iterator[int]:
    before = torch.get_num_threads()
    torch.set_num_threads(request.param)
    yield request.param
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


def test_an_error_is_raised_when_all_have_ended() -> None:
    before = torch.get_num_threads()
    torch.set_num_threads(2)
    begun, ended = threading.Event(), threading.Event()

    def fails() -> None:
        begun.wait(10)
        raise ValueError("spoilt")

    def goes_on() -> None:
        begun.set()
        ended.wait(0.05)
        ended.set()

    try:
        with pytest.raises(ValueError, match="spoilt"):
            side_by_side([fails, goes_on])
        assert ended.is_set()
    finally:
        torch.set_num_threads(before)


def test_what_was_started_is_there_when_it_is_asked_for(threads: int) -> None:
    begun = threading.Event()

    def work() -> str:
        begun.set()
        return "done"

    ask = started(work)
    assert begun.wait(5 if threads > 1 else 0.01) is (threads > 1)  # on one core nothing goes on beside
    assert ask() == "done"
