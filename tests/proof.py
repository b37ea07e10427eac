"""Tests whose outcome is published: what was tried, how often, and what came of it.

`make faults` runs them all at full length and `tests.outcomes` writes their table into docs/security.md. In `make test`
the same tests run with fewer tries; those that have no short form are marked `long` and left out there.
"""

from __future__ import annotations

import os
from collections.abc import Callable
from typing import Final

__all__ = ["LONG", "PARTS", "Proof", "Record", "times"]

LONG: Final = os.environ.get("PROOF") == "long"
"""Whether this is the full length, which `make faults` asks for."""

Record = Callable[[str, object], None]
"""pytest's fixture `record_property`."""

PARTS: Final = ("Faults", "Attacks", "Fuzzing")
"""The tables of docs/security.md."""


def times(short: int, full: int) -> int:
    """How often to try: `full` in `make faults`, `short` in `make test`."""
    return full if LONG else short


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
