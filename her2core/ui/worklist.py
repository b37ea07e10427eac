"""The worklist: open cases by state, what each waits for, and the button that goes on with it."""

from __future__ import annotations

from collections.abc import Sequence

import streamlit as st

from her2core import workflow
from her2core.caselog import CaseSummary
from her2core.records import CaseState, User
from her2core.ui.services import Services
from her2core.ui.session import open_case
from her2core.ui.words import STATE_COLOURS, STATE_WORDS, WAITS_FOR, age, case_title, plain

__all__ = ["draw", "page_of"]

# What can be done at once stands first, what waits for others last.
_ORDER = (
    CaseState.READY,
    CaseState.REVIEWED,
    CaseState.ANALYSED,
    CaseState.DRAFT,
    CaseState.PENDING_RECOUNT,
    CaseState.PENDING_ADJUDICATION,
    CaseState.PENDING_IHC,
)
_MOST = 200
_WIDTHS = [1.5, 2.0, 1.2, 3.4, 0.9, 1.6, 1.3]


def page_of(state: CaseState) -> str:
    """The page where a case in this state is gone on with."""
    if state is CaseState.DRAFT:
        return "pages/intake.py"
    return "pages/review.py" if state is CaseState.ANALYSED else "pages/sign_out.py"


def draw(rooms: Services, user: User) -> None:
    """Filters and the list."""
    left, middle, right = st.columns([2.2, 3, 1.2], vertical_alignment="bottom")
    text = left.text_input(
        "Find",
        key="worklist_find",
        placeholder="Accession, name or ID",
        label_visibility="collapsed",
        icon=":material/search:",
    )
    mine = middle.segmented_control(
        "Cases",
        ["All open cases", "Mine"],
        default="All open cases",
        required=True,
        key="worklist_mine",
        label_visibility="collapsed",
    )
    if right.button("New case", icon=":material/add:", type="primary", width="stretch", key="worklist_new"):
        open_case(None)
        st.switch_page("pages/intake.py")
    created_by = user.id if mine == "Mine" else None
    found = rooms.log.find_cases(text, _ORDER, limit=_MOST, created_by=created_by, oldest_first=True)
    if not found:
        st.info("No open case matches." if text or created_by else "No open case. Begin with “New case”.")
        return
    names = {person.id: person.full_name for person in rooms.log.users()}
    _heads()
    for state in _ORDER:
        _section(rooms, user, state, [case for case in found if case.state is state], names)
    if len(found) == _MOST:
        st.caption(f"The {_MOST} cases that wait longest. Search for others above.")


def _heads() -> None:
    titles = ("Case", "Patient", "State", "Waits for", "Since", "Opened by", "")
    for column, title in zip(st.columns(_WIDTHS), titles, strict=True):
        column.caption(title)


def _section(
    rooms: Services, user: User, state: CaseState, cases: Sequence[CaseSummary], names: dict[int, str]
) -> None:
    for case in cases:
        columns = st.columns(_WIDTHS, vertical_alignment="center")
        columns[0].markdown(f"**{plain(case_title(case.accession, case.block))}**")
        columns[1].markdown(f"{plain(case.patient_name)} · {plain(case.patient_id)}")
        columns[2].badge(STATE_WORDS[state], color=STATE_COLOURS[state])  # type: ignore[arg-type]
        columns[3].markdown(("Amendment open: " if case.amending else "") + WAITS_FOR[state])
        columns[4].markdown(age(case.updated_at))
        columns[5].markdown(plain(names.get(case.created_by, "")))
        recount = state is CaseState.PENDING_RECOUNT and bool(workflow.may_recount(rooms.log, case.id, user))
        label = "Recount" if recount else "Continue"
        if columns[6].button(label, key=f"open_{case.id}", width="stretch", icon=":material/arrow_forward:"):
            open_case(case.id)
            rooms.log.note("case opened", user, case.id)
            st.switch_page("pages/second_read.py" if recount else page_of(state))
