"""Days that were typed and do not exist, such as 31 February: a date field takes the last day of the month for them and
tells nobody. A component without a face reads what was typed; see `date_guard.js`.
"""

from __future__ import annotations

import calendar
from collections.abc import Mapping, Sequence
from datetime import date
from pathlib import Path

from her2core.ui.faceless import mount_faceless
from her2core.ui.words import local_day

__all__ = ["mount_date_guard", "taken_instead"]

_SCRIPT = Path(__file__).with_suffix(".js")


def mount_date_guard() -> Mapping[str, Sequence[int] | None]:
    """Watch the date fields of the page: what was typed last into each (year, month, day), by the field's key, where
    that day did not exist."""
    result = mount_faceless(_SCRIPT, key="typed_days", default={"typed": {}}, on_typed_change=lambda: None)
    return result.get("typed") or {}


def taken_instead(typed: Sequence[int] | None, now: date | None) -> str:
    """Says that a typed day (year, month, day) does not exist and which one the field holds instead; empty where it
    holds another one since, or nothing was typed."""
    try:
        year, month, day = typed or ()
        last = date(year, month, calendar.monthrange(year, month)[1])
    except (TypeError, ValueError):  # nothing typed, or what no field of ours sends
        return ""
    if day <= last.day or now != last:
        return ""
    return f"{day} {last:%b %Y} does not exist: {local_day(last)} was taken. Correct it if that is wrong."
