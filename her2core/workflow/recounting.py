"""A blinded recount while it is made: each count is in the case log once it is given, so that it outlives the browser.

Nothing of it is kept elsewhere. The counts lie in the audit trail until the recount is handed in, which makes a record
of them; whoever opens the case at another machine goes on where the recount was left.
"""

from __future__ import annotations

import re
from collections import Counter
from collections.abc import Collection, Iterable, Mapping, Sequence
from dataclasses import dataclass
from datetime import datetime
from typing import NamedTuple

from her2core.caselog import AuditEntry, CaseLog
from her2core.caselog.entries import RecountedNucleus, RecountRecord
from her2core.errors import ConflictError, PermissionDeniedError, ScoringError, WrongStateError
from her2core.records import Tally, User
from her2core.scoring.tally import MINIMUM_NUCLEI
from her2core.workflow.blinding import BlindedRegion, blinded_regions, may_recount
from her2core.workflow.steps import refresh_state

__all__ = [
    "COUNT_PATTERN",
    "MOST_SIGNALS",
    "Counts",
    "OpenRecount",
    "OwnRecount",
    "blinded_recount",
    "count_blinded",
    "hand_in_recount",
    "leave_out_blinded",
    "open_recounts",
    "save_blinded_recount",
    "scored_nuclei",
    "typed_count",
]

MOST_SIGNALS = 200
"""In one nucleus; more is a slip of the keyboard."""

COUNT_PATTERN = r"^\s*(?:0*(?:1?[0-9]{1,2}|200))?\s*$"
"""What a field for a count may hold, for browser and server alike: nothing, or a whole number up to MOST_SIGNALS."""

Counts = dict[tuple[int, int], tuple[int | None, int | None]]
"""(region id, nucleus id) to (HER2, CEP17); None where that colour is not counted yet."""

_COUNTED, _SAVED, _ANALYSED = "recount counted", "recount saved", "region analysed"
_MOST_ENTRIES = 100_000
_TRIES = 3  # to hand in, where the case is changed by others in between
_NOTHING = (None, None)


@dataclass(frozen=True, slots=True)
class OpenRecount:
    """A recount that somebody has begun and not handed in. `nuclei` have both counts; what they are is not told."""

    observer_id: int
    nuclei: int
    last_at: datetime


class OwnRecount(NamedTuple):
    """What one observer sees and has made of a recount: the regions, the counts, and the nuclei (region id, nucleus id)
    that are left out."""

    regions: tuple[BlindedRegion, ...]
    counts: Counts
    left_out: frozenset[tuple[int, int]]


def scored_nuclei(counts: Mapping[tuple[int, int], tuple[int | None, int | None]]) -> list[RecountedNucleus]:
    """The nuclei that bear on the result: at least one signal of each colour, as for the first count."""
    return [RecountedNucleus(region, nucleus, h, c) for (region, nucleus), (h, c) in counts.items() if h and c]


def typed_count(text: str) -> int | None:
    """The count that was typed; None where nothing was.

    Raises ScoringError for what is no whole number from 0 to MOST_SIGNALS: nothing is made of it, as 2 of 2.5 would be.
    """
    if not re.match(COUNT_PATTERN, text):
        raise ScoringError(f"“{text.strip()}” is not a whole number from 0 to {MOST_SIGNALS}.")
    return int(text) if text.strip() else None


def count_blinded(
    log: CaseLog, case_id: int, given: Mapping[tuple[int, int], tuple[int | None, int | None]], by: User
) -> None:
    """Keep the counts of some nuclei; of `(None, None)` nothing is known again.

    Raises PermissionDeniedError for anyone not blinded, ScoringError for what is no count of a nucleus boxed here.
    """
    boxes = _boxes(blinded_recount(log, case_id, by).regions)
    _check(given, boxes)
    changed = [[*key, *pair] for key, pair in given.items()]
    if changed:
        log.note(_COUNTED, by, case_id, {"counts": changed})


def leave_out_blinded(log: CaseLog, case_id: int, region_id: int, nucleus_id: int, by: User) -> None:
    """Keep that a nucleus is not to be counted; a count given later takes it in again. Raises as `count_blinded`."""
    _check({(region_id, nucleus_id): _NOTHING}, _boxes(blinded_recount(log, case_id, by).regions))
    left_out = [[region_id, nucleus_id]]
    log.note(_COUNTED, by, case_id, {"counts": [[region_id, nucleus_id, None, None]], "left_out": left_out})


def blinded_recount(log: CaseLog, case_id: int, user: User) -> OwnRecount:
    """The regions that wait for a recount, and what this user has made of them and not handed in.

    Counts in a region that was analysed anew since are gone, because its nuclei are others.
    Raises PermissionDeniedError for anyone not blinded.
    """
    counts, left_out = _made(log, case_id, user)
    one_colour = {key for key, pair in counts.items() if None not in pair and 0 in pair}
    regions = blinded_regions(log, case_id, user, unusable=left_out | one_colour, used=left_out | set(counts))
    boxes = _boxes(regions)
    return OwnRecount(regions, {key: pair for key, pair in counts.items() if key in boxes}, left_out)


def open_recounts(log: CaseLog, case_id: int, regions: Mapping[int, str]) -> tuple[OpenRecount, ...]:
    """Who has begun a recount and how far each is. `regions` maps the ids of the regions to their populations."""
    entries = _entries(log, case_id)
    last: dict[int, datetime] = {}
    for entry in entries:  # latest first
        if entry.action == _COUNTED and entry.by_user_id is not None:
            last.setdefault(entry.by_user_id, entry.at)
    found = []
    for user_id, at in last.items():
        nuclei = sum(None not in pair for pair in _replayed(entries, user_id, regions)[0].values())
        if nuclei:
            found.append(OpenRecount(user_id, nuclei, at))
    return tuple(found)


def hand_in_recount(log: CaseLog, case_id: int, population: str, by: User) -> RecountRecord:
    """Make a record of what was counted in a population. Handing in twice, as by a double click, gives it back.

    Of two hand-ins at the same moment one is stored. Raises as `save_blinded_recount`.
    """
    for _ in range(_TRIES - 1):
        try:
            return _hand_in(log, case_id, population, by)
        except (ConflictError, PermissionDeniedError, WrongStateError):
            continue  # whoever changed the case meanwhile may have handed in this very recount
    return _hand_in(log, case_id, population, by)


def _hand_in(log: CaseLog, case_id: int, population: str, by: User) -> RecountRecord:
    own = [r for r in log.recounts(case_id) if (r.population, r.observer_id) == (population, by.id)]
    if own and not may_recount(log, case_id, by):
        return own[-1]
    made = blinded_recount(log, case_id, by)
    due = {r.region.id for r in made.regions if r.population == population}
    if own and not due:
        return own[-1]
    counted = {key: pair for key, pair in made.counts.items() if key[0] in due}
    return save_blinded_recount(log, case_id, population, scored_nuclei(counted), by)


def save_blinded_recount(
    log: CaseLog, case_id: int, population: str, counts: Sequence[RecountedNucleus], by: User
) -> RecountRecord:
    """Record the second observer's count. Only nuclei with at least one signal of each colour are scored.

    Raises ScoringError for fewer than 20 of them, for one counted twice or not of this population,
    PermissionDeniedError for anyone not blinded, WrongStateError where this population waits for no recount, and
    ConflictError where somebody changed the case in this moment.
    """
    version = log.case(case_id).version  # what is checked now is still true when the record is written
    due = [r for r in blinded_recount(log, case_id, by).regions if r.population == population]
    if not due:
        raise WrongStateError(
            f"Population {population} waits for no recount any more: another pathologist has handed one in. Yours was "
            "not needed and is not stored."
        )
    _check({(c.region_id, c.nucleus_id): (c.her2, c.cep17) for c in counts}, _boxes(due))
    twice = [key for key, times in Counter((c.region_id, c.nucleus_id) for c in counts).items() if times > 1]
    if twice:
        raise ScoringError(f"Nucleus {twice[0][1]} is counted twice; count each nucleus once.")
    scored = tuple(c for c in counts if c.her2 > 0 and c.cep17 > 0)
    if len(scored) < MINIMUM_NUCLEI:
        raise ScoringError(
            f"Count at least {MINIMUM_NUCLEI} nuclei with one or more signals of each colour; "
            f"there are {len(scored)} so far."
        )
    tally = Tally(len(scored), sum(c.her2 for c in scored), sum(c.cep17 for c in scored))
    record = log.save_recount(case_id, population, tally, by, blinded=True, nuclei=scored, version=version)
    refresh_state(log, case_id, by)
    return record


def _entries(log: CaseLog, case_id: int) -> list[AuditEntry]:
    return log.audit(case_id, _MOST_ENTRIES, actions=(_COUNTED, _SAVED, _ANALYSED))


def _made(log: CaseLog, case_id: int, user: User) -> tuple[Counts, frozenset[tuple[int, int]]]:
    """What this user has counted and left out, and not handed in."""
    populations = {r.id: r.flags.population for r in log.regions(case_id) if r.flags is not None}
    return _replayed(_entries(log, case_id), user.id, populations)


def _replayed(
    entries: Sequence[AuditEntry], user_id: int, regions: Mapping[int, str]
) -> tuple[Counts, frozenset[tuple[int, int]]]:
    """The counts of a user from `entries`, latest first, and the nuclei left out; `regions` are the ids that matter,
    with their populations."""
    counts: Counts = {}
    left_out: Counts = {}
    for entry in reversed(entries):
        if entry.action == _ANALYSED:
            gone: set[object] = {entry.detail.get("region_id")}
        elif entry.by_user_id != user_id:
            continue
        elif entry.action == _SAVED:
            gone = {r for r, label in regions.items() if label == entry.detail.get("population")}
        else:
            gone = set()
            for region_id, nucleus_id, her2, cep17 in entry.detail["counts"]:
                counts[(region_id, nucleus_id)] = (her2, cep17)
                left_out.pop((region_id, nucleus_id), None)
            for region_id, nucleus_id in entry.detail.get("left_out", ()):
                left_out[(region_id, nucleus_id)] = _NOTHING
        _forget(counts, gone)
        _forget(left_out, gone)
    known = {key: pair for key, pair in counts.items() if pair != _NOTHING and key[0] in regions}
    return known, frozenset(key for key in left_out if key[0] in regions)


def _forget(counts: Counts, region_ids: Collection[object]) -> None:
    for key in [key for key in counts if key[0] in region_ids]:
        del counts[key]


def _boxes(regions: Iterable[BlindedRegion]) -> frozenset[tuple[int, int]]:
    return frozenset((r.region.id, nucleus_id) for r in regions for nucleus_id, _ in r.boxes)


def _check(given: Mapping[tuple[int, int], tuple[int | None, int | None]], boxes: Collection[tuple[int, int]]) -> None:
    for key, pair in given.items():
        if key not in boxes:
            raise ScoringError(f"Nucleus {key[1]} is not among those to be recounted.")
        for count in pair:
            if count is not None and (isinstance(count, bool) or not isinstance(count, int)):
                raise ScoringError(f"Nucleus {key[1]}: a count is a whole number.")
            if count is not None and not 0 <= count <= MOST_SIGNALS:
                raise ScoringError(f"Nucleus {key[1]}: a count lies between 0 and {MOST_SIGNALS}.")
