"""How often sign-in failed lately. No record of anybody's work, so neither hashed nor audited: it may be lost."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from datetime import datetime, timedelta

from sqlite_utils import Database

from her2core.caselog._change import Store
from her2core.caselog._codec import moment, stamp
from her2core.caselog._rows import rows

__all__ = ["Throttle"]

_FORGET_AFTER = timedelta(hours=24)


class Throttle(Store):
    """Counters of failed attempts under keys that the caller derives (hashes: names are not kept here)."""

    def reserve_attempt(self, waits: Mapping[str, Callable[[int], timedelta]]) -> tuple[timedelta, int]:
        """Takes the right to one attempt, counted as failed until `attempt_succeeded`: (0, attempts refused since the
        last one); or says how long to wait: (pause, attempts refused so far).

        `waits` gives, for each key, the pause that so many failures demand. An attempt that must wait does not count
        as a failure, so that nobody can prolong a pause by knocking. The count comes before the attempt, so that many
        attempts at once cannot share one. A clock that was set back cannot make a pause longer than it is.
        """
        now = self.now()
        with self.writing() as db:
            stale = "DELETE FROM throttle WHERE last_failure_at < ? AND trusted_at IS NULL"
            db.execute(stale, [stamp(now - _FORGET_AFTER)])
            counts = {key: _recent(db, key, now) for key in waits}
            pauses = [last + waits[key](failures) - now for key, (failures, _, last) in counts.items()]
            pause = max(timedelta(0), *pauses)
            refused = max(refused for _, refused, _ in counts.values())
            if pause > timedelta(0):
                for key in waits:
                    db.execute("UPDATE throttle SET refused = refused + 1 WHERE key = ?", [key])
                return pause, refused + 1
            for key, (failures, _, _) in counts.items():
                db.execute(
                    """INSERT INTO throttle (key, failures, last_failure_at) VALUES (?, ?, ?)
                    ON CONFLICT (key) DO UPDATE SET failures = excluded.failures, refused = 0,
                        last_failure_at = excluded.last_failure_at""",
                    [key, failures + 1, stamp(now)],
                )
            return timedelta(0), refused

    def attempt_succeeded(self, key: str, also: tuple[str, ...] = ()) -> None:
        """Forgets the failures of a key and remembers that it succeeded; takes the reserved attempt of `also` back."""
        with self.writing() as db:
            db.execute(
                "UPDATE throttle SET failures = 0, last_failure_at = NULL, trusted_at = ? WHERE key = ?",
                [stamp(self.now()), key],
            )
            for other in also:
                db.execute("UPDATE throttle SET failures = max(0, failures - 1) WHERE key = ?", [other])

    def succeeded_within(self, key: str, age: timedelta) -> bool:
        """Whether an attempt under this key succeeded not longer ago than `age`."""
        with self.reading() as db:
            row = next(rows(db, "SELECT trusted_at FROM throttle WHERE key = ?", [key]), None)
        return row is not None and row["trusted_at"] is not None and self.now() - moment(row["trusted_at"]) <= age

    def clear_attempts(self, account_key: str) -> None:
        """Forgets the failures under a key and under all that begin with it and a slash, as an administrator may wish.

        The keys under one account's are those of its places.
        """
        sql = """UPDATE throttle SET failures = 0, refused = 0, last_failure_at = NULL
            WHERE key = :key OR substr(key, 1, length(:key) + 1) = :key || '/'"""
        with self.writing() as db:
            db.execute(sql, {"key": account_key})


def _recent(db: Database, key: str, now: datetime) -> tuple[int, int, datetime]:
    """Failures under a key, attempts refused since the last one, and when that was: `now` if there was none lately."""
    row = next(rows(db, "SELECT * FROM throttle WHERE key = ?", [key]), None)
    last = None if row is None or row["last_failure_at"] is None else moment(row["last_failure_at"])
    if row is None or last is None or now - last > _FORGET_AFTER:
        return 0, 0, now
    if last > now:  # the clock was set back: the pause starts again, once
        db.execute("UPDATE throttle SET last_failure_at = ? WHERE key = ?", [stamp(now), key])
        last = now
    return row["failures"], row["refused"], last
