"""The laboratory's figures: how many cases stand where, what came out, how long it took."""

from __future__ import annotations

from collections import Counter
from collections.abc import Mapping
from dataclasses import dataclass
from datetime import date

from her2core.caselog import CaseLog
from her2core.permissions import Action, require
from her2core.records import CaseState, User

__all__ = ["LaboratoryFigures", "laboratory_figures"]

_HOUR_S = 3600.0


@dataclass(frozen=True, slots=True)
class LaboratoryFigures:
    """Counts of cases opened in a span of days. Turnaround: hours from opening a case to its first signed report."""

    cases: int
    by_state: Mapping[CaseState, int]
    by_group: Mapping[int, int]
    by_outcome: Mapping[str, int]
    opened_on: Mapping[date, int]
    turnaround_hours: tuple[float, ...]
    amended: int


def laboratory_figures(
    log: CaseLog, by: User, since: date | None = None, until: date | None = None
) -> LaboratoryFigures:
    """The figures of the cases opened from `since` to `until`, both included. Raises PermissionDeniedError."""
    require(by, Action.VIEW_STATISTICS)
    found = log.find_cases(since=since, until=until, limit=log.count_cases(since=since, until=until))
    signed = [case for case in found if case.latest_report_id is not None]
    hours = []
    for case in signed:
        reports = [r for r in log.reports(case.id) if r.kind.value != "preliminary"]
        if reports:
            hours.append((reports[0].signed_at - case.created_at).total_seconds() / _HOUR_S)
    return LaboratoryFigures(
        cases=len(found),
        by_state=Counter(case.state for case in found),
        by_group=Counter(case.group for case in signed if case.group is not None),
        by_outcome=Counter(case.outcome for case in signed if case.outcome is not None),
        opened_on=Counter(case.created_at.astimezone().date() for case in found),
        turnaround_hours=tuple(sorted(hours)),
        amended=sum(case.state is CaseState.AMENDED for case in found),
    )
