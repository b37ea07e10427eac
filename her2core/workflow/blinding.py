"""The blinded recount: what the second observer is given, and what is withheld (domain.md 1.4 and 1.5).

The server never hands the first counts, the group or the AI's signals to a second observer; whoever has once looked at
them cannot recount the case any more.
"""

from __future__ import annotations

from collections import Counter
from collections.abc import Collection, Iterable
from dataclasses import dataclass

from her2core.caselog import CaseLog
from her2core.errors import PermissionDeniedError
from her2core.permissions import Action, Decision, decide
from her2core.records import Box, CaseState, Region, User
from her2core.scoring import MINIMUM_NUCLEI, is_cut, typical_width_px
from her2core.scoring.workup import Outcome
from her2core.workflow.assessing import RegionReview, assess

__all__ = [
    "BlindedRegion",
    "blinded_regions",
    "may_recount",
    "note_counts_seen",
    "saw_counts",
    "who_may_recount",
    "without_recounts_to_come",
]

_SEEN = "counts viewed"


@dataclass(frozen=True, slots=True)
class BlindedRegion:
    """A region for the second observer: image and boxes, nothing of what was counted in them.

    Nuclei that the image edge cuts have no box here, unless their population has too few whole ones for a recount:
    the first observer may have taken some of them in. That is told by the boxes, and by what the second observer made
    of them: what the first observer left out or took in is not to be seen.
    """

    region: Region
    name: str
    population: str
    boxes: tuple[tuple[int, Box], ...]


def note_counts_seen(log: CaseLog, case_id: int, by: User) -> None:
    """Record that a user looked at the counts of a case; from then on that user is not blinded to them. Where nothing
    is counted yet there is nothing to see."""
    if not saw_counts(log, case_id, by) and any(log.analysis(r.id) is not None for r in log.regions(case_id)):
        log.note(_SEEN, by, case_id)


def saw_counts(log: CaseLog, case_id: int, user: User) -> bool:
    """True if the user has looked at the counts of this case."""
    return any(entry.by_user_id == user.id for entry in log.audit(case_id, 10_000, actions=(_SEEN,)))


def may_recount(log: CaseLog, case_id: int, user: User) -> Decision:
    """Whether this user can make the blinded recount of this case, and why (not)."""
    allowed = decide(user, Action.RECOUNT)
    if not allowed:
        return allowed
    if log.case(case_id).state is not CaseState.PENDING_RECOUNT:
        return Decision(False, "No recount is due for this case.")
    unfit = _not_blinded(log, case_id, user)
    return Decision(not unfit, unfit or "You have seen neither the first counts nor the group.")


def _not_blinded(log: CaseLog, case_id: int, user: User) -> str:
    """Why this user knows the first counts, in words; empty where the user does not."""
    if user.id in log.first_observers(case_id):
        return "You took part in the first count; the recount needs another pathologist."
    if saw_counts(log, case_id, user):
        return "You have seen the first counts; the recount needs a pathologist who has not."
    return ""


def without_recounts_to_come(log: CaseLog, case_ids: Iterable[int], user: User) -> list[int]:
    """Those of the cases of which no recount by this user is due, or may become due before they are signed, as after a
    late IHC score: the counts of the others must not be shown to the user in passing."""
    if not decide(user, Action.RECOUNT):
        return list(case_ids)
    open_ids = log.open_ids()  # few: signed cases are not looked at one by one
    return [i for i in case_ids if i not in open_ids or _not_blinded(log, i, user)]


def who_may_recount(log: CaseLog, case_id: int) -> tuple[User, ...]:
    """Everyone with an account who can make the blinded recount that is due; empty where none is, or nobody can."""
    return tuple(user for user in log.users(active_only=True) if may_recount(log, case_id, user))


def blinded_regions(
    log: CaseLog,
    case_id: int,
    user: User,
    *,
    unusable: Collection[tuple[int, int]] = (),
    used: Collection[tuple[int, int]] = (),
) -> tuple[BlindedRegion, ...]:
    """The regions of the populations that wait for a recount. Raises PermissionDeniedError for anyone not blinded.

    unusable: nuclei (region id, nucleus id) that this user cannot score; used: those that the user has dealt with. Both
    keep nuclei that the edge cuts at hand once they are needed.
    """
    decision = may_recount(log, case_id, user)
    if not decision:
        raise PermissionDeniedError(decision.reason)
    review = assess(log, case_id)
    due = {
        p.label
        for p in (review.assessment.populations if review.assessment is not None else ())
        if p.outcome is Outcome.PENDING_RECOUNT
    }
    shown = [(r, r.population) for r in review.regions if r.counts and r.population is not None and r.population in due]
    whole = {r.region.id: _whole_nuclei(r) for r, _ in shown}
    whole_nuclei: Counter[str] = Counter()
    cut_ones_used: set[str] = set()
    for r, population in shown:
        region_id = r.region.id
        keys = {(region_id, nucleus_id) for nucleus_id, _ in whole[region_id]}
        whole_nuclei[population] += len(keys.difference(unusable))
        if any(key[0] == region_id and key not in keys for key in used):
            cut_ones_used.add(population)
    whole_only = {p for p in due if whole_nuclei[p] >= MINIMUM_NUCLEI} - cut_ones_used
    return tuple(
        BlindedRegion(
            r.region,
            r.name,
            population,
            whole[r.region.id] if population in whole_only else _all_nuclei(r),
        )
        for r, population in shown
    )


def _all_nuclei(region: RegionReview) -> tuple[tuple[int, Box], ...]:
    """The ids and boxes of the nuclei."""
    return tuple((n.nucleus.id, n.nucleus.box) for n in region.nuclei)


def _whole_nuclei(region: RegionReview) -> tuple[tuple[int, Box], ...]:
    """The ids and boxes of the nuclei that the image edge does not cut."""
    size_px = (region.region.width_px, region.region.height_px)
    boxes = _all_nuclei(region)
    typical_px = typical_width_px([box for _, box in boxes])
    return tuple((nucleus_id, box) for nucleus_id, box in boxes if not is_cut(box, *size_px, typical_px))
