"""Who has which case open now, so that a second person is told. Kept in memory: it is true of this moment only."""

from __future__ import annotations

import time
from collections.abc import Callable
from dataclasses import dataclass, replace
from datetime import UTC, datetime
from threading import Lock

__all__ = ["GONE_AFTER_S", "Presence", "Visit"]

GONE_AFTER_S = 40.0  # without a sign of life; an open page gives one every ten seconds


@dataclass(frozen=True, slots=True)
class Visit:
    """One window of a user on a case."""

    user_id: int
    since: datetime
    last_seen_s: float  # of a clock that is never set


class Presence:
    """The windows in which cases are open, for all sessions of the process."""

    def __init__(self, clock: Callable[[], float] = time.monotonic) -> None:
        self._clock = clock
        self._visits: dict[tuple[int, str], Visit] = {}
        self._lock = Lock()

    def here(self, case_id: int, window: str, user_id: int) -> tuple[Visit, ...]:
        """A sign of life from a window; returns the visits of all others to the case, the longest first."""
        now = self._clock()
        with self._lock:
            self._visits = {k: v for k, v in self._visits.items() if now - v.last_seen_s <= GONE_AFTER_S}
            # Whoever turns to another case has left this one.
            for key in [k for k in self._visits if k[1] == window and k[0] != case_id]:
                del self._visits[key]
            known = self._visits.get((case_id, window))
            if known is None or known.user_id != user_id:
                known = Visit(user_id, datetime.now(UTC), now)
            self._visits[(case_id, window)] = replace(known, last_seen_s=now)
            others = [v for (case, other), v in self._visits.items() if case == case_id and other != window]
        return tuple(sorted(others, key=lambda v: v.since))
