"""Words and numbers as the pages show them."""

from __future__ import annotations

import html
import re
from datetime import UTC, date, datetime
from fractions import Fraction

from her2core.caselog import CaseSummary
from her2core.records import CaseState, Role
from her2core.scoring import Outcome, ResultStatus, truncated, truncated_end
from her2core.scoring.wording import with_share

__all__ = [
    "STATE_COLOURS",
    "age",
    "case_title",
    "counting_words",
    "escaped",
    "heterogeneity_words",
    "interval",
    "kept_together",
    "local_day",
    "local_time",
    "number",
    "plain",
    "result_words",
    "role_words",
]

STATE_COLOURS: dict[CaseState, str] = {
    CaseState.DRAFT: "gray",
    CaseState.ANALYSED: "blue",
    CaseState.REVIEWED: "violet",
    CaseState.PENDING_IHC: "orange",
    CaseState.PENDING_RECOUNT: "orange",
    CaseState.PENDING_ADJUDICATION: "orange",
    CaseState.READY: "green",
    CaseState.SIGNED: "gray",
    CaseState.AMENDED: "gray",
}

_MARKDOWN = frozenset(r"\`*_{}[]()<>#+-.!|$~:")


def escaped(text: str) -> str:
    """Text for the inside of an HTML element."""
    return html.escape(text, quote=True)


def plain(text: str) -> str:
    """Text that Markdown shows as it is."""
    return "".join(f"\\{character}" if character in _MARKDOWN else character for character in text)


def kept_together(text: str) -> str:
    """The text with no line break between a number and its per cent sign."""
    return re.sub(r"(?<=\d) (?=%)", "\N{NO-BREAK SPACE}", text)


def case_title(accession: str, block: str) -> str:
    """How a case is called in lists."""
    return f"{accession} · {block}" if block else accession


def result_words(case: CaseSummary) -> tuple[str, str]:
    """Result and group of a case in a list, a dash for none; and that it is provisional, where no report states it."""
    if case.outcome is None:
        return "–", ResultStatus.AMENDMENT_OPEN if case.amending else ""
    said = f"{case.outcome}, Group {case.group}" if case.group else case.outcome
    if case.amending:
        return said, ResultStatus.AMENDMENT_OPEN
    if case.state in (CaseState.SIGNED, CaseState.AMENDED) or Outcome(case.outcome).pending:
        return said, ""
    return said, ResultStatus.NOT_SIGNED


def heterogeneity_words(case: CaseSummary) -> str:
    """What the report says of each population of a case, those that are negative only where all are; before there is
    one, which populations the case has; a dash for none."""
    if len(case.populations) == 1:
        return "flagged, one population" if case.flagged_heterogeneous else "–"
    if not case.signed_outcomes:
        return ", ".join(with_share(p.label, p.share_percent) for p in case.populations)
    named: dict[str, list[str]] = {Outcome.POSITIVE: []}  # told first
    for p in case.populations:
        outcome = case.signed_outcomes.get(p.label) or "without result"
        named.setdefault(outcome, []).append(with_share(p.label, p.share_percent))
    said = [f"{', '.join(who)} {outcome}" for outcome, who in named.items() if who and outcome != Outcome.NEGATIVE]
    return "; ".join(said) or f"{len(case.populations)} populations, none positive"


def local_time(moment: datetime) -> str:
    """A moment on the laboratory's clock."""
    return moment.astimezone().strftime("%d %b %Y %H:%M")


def local_day(day: date | None) -> str:
    """A day, or a dash."""
    return "–" if day is None else day.strftime("%d %b %Y")


def age(moment: datetime, now: datetime | None = None) -> str:
    """How long ago, in one unit."""
    seconds = max(0.0, ((now or datetime.now(UTC)) - moment).total_seconds())
    for size, word in ((86_400, "day"), (3_600, "hour"), (60, "minute")):
        if seconds >= size:
            count = int(seconds // size)
            return f"{count} {word}{'s' if count > 1 else ''}"
    return "just now"


def number(value: Fraction | None) -> str:
    """Two decimals, cut off; a dash for None."""
    return truncated(value)


def interval(ends: tuple[float, float] | None) -> str:
    """A 95 % interval with the digits of the report, or a dash."""
    return "–" if ends is None else f"{truncated_end(ends[0])} to {truncated_end(ends[1])}"


def role_words(role: Role) -> str:
    """A role as a title."""
    return role.value.capitalize()


def counting_words(counting: str) -> str:
    """Which way of counting is in use; `counting`: one of `settings.COUNTING`, or "" where it was not recorded."""
    ways = {"density": "default (peaks; clusters estimated)", "regression": "regression (Xue et al. 2023)"}
    return f"Counts: {ways.get(counting, 'way not recorded')}"
