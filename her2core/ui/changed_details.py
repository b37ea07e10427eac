"""Case details that are being changed: what is typed outlives the page, is shown as not saved yet, and is saved or
discarded as a whole.

It lives in the session alone, so it is gone after signing out. What somebody else saved meanwhile is never overwritten:
the fields then show it, and what was typed is told in words.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, fields, replace
from datetime import datetime
from typing import Any

import streamlit as st

from her2core import workflow
from her2core.errors import Her2CoreError
from her2core.records import Case, CaseDetails, User
from her2core.ui.details import details_fields, entered
from her2core.ui.doubts import details_doubts
from her2core.ui.history import changes_in_words
from her2core.ui.services import Services
from her2core.ui.session import flash
from her2core.ui.words import plain
from her2core.workflow import CaseReview, DetailsWarning

__all__ = ["Changes", "changes", "draw", "unsaved"]

_DRAFTS = "changed_details"
_MOST_TOLD = 6
_SIGNED = "The case is signed now."

Changes = Mapping[str, tuple[Any, Any]]
"""Names of details, each with its value before and after."""


@dataclass(frozen=True, slots=True)
class _Draft:
    """The fields of a case in this session. They began with `first`, and differ from what is `stored`, as it was at
    `since`, where something is not saved. `number`: of the fields, part of their names, since a browser holds on to
    what is in the old ones. `told`: what became of what was typed before."""

    stored: CaseDetails
    since: datetime
    first: CaseDetails
    number: int = 0
    told: str = ""

    def key(self, case_id: int) -> str:
        return f"case_{case_id}_{self.number}" if self.number else f"case_{case_id}"


def changes(before: CaseDetails, after: CaseDetails) -> Changes:
    """What differs between two versions of the details."""
    pairs = {field.name: (getattr(before, field.name), getattr(after, field.name)) for field in fields(CaseDetails)}
    return {name: (old, new) for name, (old, new) in pairs.items() if old != new}


def unsaved(case: Case) -> bool:
    """Whether something was typed over the details of a case and not saved, on whatever page one is."""
    draft = _drafts().get(case.id)
    return draft is not None and entered(draft.key(case.id), draft.first) != draft.stored


def draw(rooms: Services, user: User, review: CaseReview, known: Sequence[DetailsWarning]) -> None:
    """The fields, whether something in them is not saved yet, and the buttons that save or discard it. `known`: what is
    wrong with the details that are saved, which is said already."""
    case = review.case
    was_unsaved, draft = unsaved(case), _up_to_date(rooms, user, review)
    _drafts()[case.id] = draft
    if was_unsaved and not unsaved(case):
        st.rerun()  # the line above the page was drawn with what was typed
    told = st.empty()  # kept, so that nothing moves
    if draft.told:
        with told.container():
            st.warning(plain(draft.told), icon=":material/warning:")
            st.button("Understood", key="details_told", on_click=_understood, args=(case.id,))
    key = draft.key(case.id)
    details, below = details_fields(key, draft.first, disabled=not review.editable)
    changed = changes(draft.stored, details)
    with below:
        with st.container(horizontal=True):
            # Not disabled while nothing is changed: it is pressed before what was typed last has come through.
            pressed = st.button("Save details", type="primary", key=f"{key}_save", disabled=not review.editable)
            st.button(
                "Discard", icon=":material/undo:", key=f"{key}_discard", disabled=not changed, on_click=_discard,
                args=(case,), help="Shows again what is saved.",
            )  # fmt: skip
        if changed:
            st.markdown(f":orange[:material/warning: **Not saved yet:** {plain(_briefly(changed))}.]")
            st.caption("Kept while you look at other pages, until you save or discard it or sign out.")
        impossible = bool(changed) and _doubts(rooms, case, details, known)
        if pressed and not changed:
            st.caption("Nothing was changed.")
        elif pressed and not impossible:
            _save(rooms, user, case, draft, details)


def _doubts(rooms: Services, case: Case, details: CaseDetails, known: Sequence[DetailsWarning]) -> bool:
    """Says what is wrong with the details as they would be saved and is not with those that are; whether any of it
    cannot be."""
    found = [w for w in workflow.warnings_of(rooms.log, replace(case, details=details)) if w not in known]
    details_doubts(rooms, details, found, but=case.id, key="typed")
    return any(warning.impossible for warning in found)


def _save(rooms: Services, user: User, case: Case, draft: _Draft, details: CaseDetails) -> None:
    try:
        now = workflow.set_details(rooms.log, case.id, details, case.version, user)
    except Her2CoreError as error:
        st.error(str(error), icon=":material/error:")
        return
    saved = changes(draft.stored, now.details)
    same = now.details == details  # else blanks were taken off, and other fields must show it
    _drafts()[case.id] = (
        replace(draft, stored=now.details, since=now.updated_at, told="") if same else _fresh(now, draft.number + 1)
    )
    flash("success", f"Details saved: {plain(_briefly(saved))}." if saved else "Nothing was changed.")
    st.rerun()  # what the page says elsewhere of the details


def _discard(case: Case) -> None:
    draft = _drafts()[case.id]
    _drafts()[case.id] = _fresh(case, draft.number + 1, draft.told)


def _understood(case_id: int) -> None:
    _drafts()[case_id] = replace(_drafts()[case_id], told="")


def _up_to_date(rooms: Services, user: User, review: CaseReview) -> _Draft:
    """The fields of a case, after what was saved elsewhere meanwhile."""
    case = review.case
    draft = _drafts().get(case.id)
    if draft is None:
        return _fresh(case)
    typed = entered(draft.key(case.id), draft.first)
    mine, theirs = changes(draft.stored, typed), changes(draft.stored, case.details)
    if not theirs and (review.editable or not mine):
        return draft
    mine = {name: mine[name] for name in mine if name in changes(case.details, typed)}  # typed as saved is not lost
    fresh = _fresh(case, draft.number + 1, draft.told)
    if not mine:
        return fresh
    who = _who_changed(rooms, case.id, draft.since)
    if review.editable and who == {user.id} and not mine.keys() & theirs.keys():
        # An own step, such as an IHC score entered in the work-up: what was typed stays beside it.
        return replace(fresh, first=replace(case.details, **{name: new for name, (_, new) in mine.items()}))
    return replace(fresh, told=f"{draft.told} {_told(rooms, user, mine, theirs, who)}".lstrip())


def _who_changed(rooms: Services, case_id: int, since: datetime) -> set[int | None]:
    """Whoever changed the details since then; None: somebody without an account."""
    entries = rooms.log.audit(case_id, actions=("case details changed",))
    return {entry.by_user_id for entry in entries if entry.at > since}


def _told(rooms: Services, user: User, mine: Changes, theirs: Changes, who: set[int | None]) -> str:
    """What was changed elsewhere, and what was typed and is shown no more."""
    begins = _SIGNED
    if theirs:
        names = ["You, in another place,"] if user.id in who else []
        names += sorted(rooms.log.user(i).full_name for i in who if i is not None and i != user.id)
        begins = f"{' and '.join(names) or 'Somebody'} changed the details meanwhile: {changes_in_words(theirs)}."
    return f"{begins} The fields show what is saved. What you had typed was not saved: {changes_in_words(mine)}."


def _fresh(case: Case, number: int = 0, told: str = "") -> _Draft:
    return _Draft(case.details, case.updated_at, case.details, number, told)


def _drafts() -> dict[int, _Draft]:
    drafts: dict[int, _Draft] = st.session_state.setdefault(_DRAFTS, {})
    return drafts


def _briefly(changed: Changes) -> str:
    first = dict(list(changed.items())[:_MOST_TOLD])
    more = len(changed) - len(first)
    return changes_in_words(first) + (f" and {more} more" if more else "")
