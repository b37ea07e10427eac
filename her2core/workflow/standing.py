"""What was stated once and still stands: after later changes of the counts not everything does.

All of it is read from the audit trail, which has the order of things: who counted before whom, and what was changed
after a decision about it. The functions are pure; they take the entries of a case, latest first, as `CaseLog.audit`
gives them.
"""

from __future__ import annotations

from collections.abc import Iterable, Sequence

from her2core.caselog import AuditEntry

__all__ = ["ACTIONS", "attested_result", "first_observers", "standing_adjudications"]

_ANALYSED, _CORRECTED, _REVIEWED = "region analysed", "correction added", "review confirmed"
_RECOUNTED, _ADJUDICATED = "recount saved", "adjudication saved"
_ATTESTED, _DERIVED = "stated: no histopathologic discordance", "result derived"
_COUNTS = (_ANALYSED, _CORRECTED, "region added", "region removed", "region flags set", _RECOUNTED)

ACTIONS = (*_COUNTS, _REVIEWED, _ADJUDICATED, _ATTESTED, _DERIVED)
"""The acts that the functions here look at."""

_FINAL = ("positive", "negative", "indeterminate")


def first_observers(entries: Sequence[AuditEntry]) -> frozenset[int]:
    """Ids of all who took part in the first count: analysed, corrected or confirmed it.

    Whoever recounted before and later only confirmed the counts of others, as to amend a report, is not among them: the
    recount was independent and has stayed so. Whoever changes a count is.
    """
    first: set[int] = set()
    independent: set[int] = set()
    for entry in _in_order(entries):
        by = entry.by_user_id
        if by is None:
            continue
        if entry.action == _RECOUNTED and by not in first:
            independent.add(by)
        elif entry.action in (_ANALYSED, _CORRECTED) or (entry.action == _REVIEWED and by not in independent):
            first.add(by)
    return frozenset(first)


def standing_adjudications(entries: Sequence[AuditEntry]) -> frozenset[int]:
    """Ids of the adjudications after which no count changed: a decision between two counts is about these counts."""
    standing: set[int] = set()
    for entry in _in_order(entries):
        if entry.action in _COUNTS:
            standing.clear()
        elif entry.action == _ADJUDICATED:
            standing.add(int(entry.detail["adjudication_id"]))
    return frozenset(standing)


def attested_result(entries: Sequence[AuditEntry]) -> tuple[int | None, str] | None:
    """Group and outcome of the result that the latest statement on the histology was about.

    None where there is no statement, or none of a final result.
    """
    result: tuple[int | None, str | None] = (None, None)
    attested: tuple[int | None, str | None] | None = None
    for entry in _in_order(entries):
        if entry.action == _DERIVED:
            changed = entry.detail["changed"]
            result = (changed["group"][1], changed["outcome"][1])
        elif entry.action == _ATTESTED:
            attested = result
    if attested is None or attested[1] not in _FINAL:
        return None
    return attested[0], str(attested[1])


def _in_order(entries: Iterable[AuditEntry]) -> list[AuditEntry]:
    return sorted(entries, key=lambda entry: entry.id)
