"""Tests whose outcome is published: what was tried, how often, and what came of it.

`make faults` runs them all at full length and `tests.outcomes` writes their table into docs/security.md. In `make test`
the same tests run with fewer tries; those that have no short form are marked `long` and left out there.
"""

from __future__ import annotations

import os
from collections.abc import Callable
from typing import Any, Final

import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

__all__ = ["LONG", "PARTS", "Proof", "Record", "fuzzed", "record_property", "times"]

LONG: Final = os.environ.get("PROOF") == "long"
"""Whether this is the full length, which `make faults` asks for."""

Record = Callable[[str, object], None]
"""The fixture `record_property`."""

PARTS: Final = ("Faults", "Attacks", "Fuzzing")
"""The tables of docs/security.md."""


@pytest.fixture
def record_property(request: pytest.FixtureRequest) -> Record:
    """pytest's own, without its warning about the schema of JUnit files, which nothing here reads the file by."""
    kept = request.node.user_properties

    def record(name: str, value: object) -> None:
        kept.append((name, value))

    return record


def times(short: int, full: int) -> int:
    """How often to try: `full` in `make faults`, `short` in `make test`."""
    return full if LONG else short


_EXAMPLES = settings(deadline=None, database=None, suppress_health_check=list(HealthCheck))


def fuzzed(examples: int, **strategies: st.SearchStrategy[Any]) -> Callable[[Callable[..., None]], Callable[[], None]]:
    """Runs a function on that many inputs that Hypothesis makes."""

    def decorate(test: Callable[..., None]) -> Callable[[], None]:
        wrapped: Callable[[], None] = settings(_EXAMPLES, max_examples=examples)(given(**strategies)(test))
        return wrapped

    return decorate


class Proof:
    """What a test publishes. Made at its beginning, so that a failure is published too; `holds` ends it.

    `part` is one of PARTS, `what` the line of the table. Add to `tries` as you try.
    """

    def __init__(self, record_property: Record, part: str, what: str) -> None:
        if part not in PARTS:
            raise ValueError(f"no such part: {part}")
        self._record = record_property
        self.tries = 0
        record_property("part", part)
        record_property("what", what)

    def holds(self, outcome: str) -> None:
        """Everything was as it should be; `outcome` says what that was."""
        if self.tries == 0:
            raise ValueError("nothing was tried")
        self._record("tries", self.tries)
        self._record("outcome", outcome)
