"""The worklist: what waits, for what and for whom, oldest first, and the button that goes on where one stopped."""

from __future__ import annotations

from collections.abc import Sequence

import streamlit as st
from streamlit.delta_generator import DeltaGenerator

from her2core import workflow
from her2core.caselog import OpenCase
from her2core.permissions import Decision
from her2core.records import CaseState, Role, User
from her2core.scoring import STATE_WORDS
from her2core.ui.analysing import brief_words
from her2core.ui.services import Services
from her2core.ui.session import guarded, open_case, read_case
from her2core.ui.waiting import Waiting, counted, doer, stop, waiting
from her2core.ui.words import STATE_COLOURS, age, case_title, plain

__all__ = ["continue_case", "draw", "draw_numbers"]

_PAGE = 10
_WIDTHS = [1.5, 2.1, 1.3, 2.3, 2.2, 0.8, 1.2]
_TITLES = ("Case", "Patient", "State", "Waits for", "Who may do it", "Open for", "")
_MINE, _ALL = "Mine", "All open cases"
_OFFSET = "worklist_offset"
_EVERYTHING = "Everything"
_FIRST_STEPS = (
    "**Nothing waits for you.** A case begins here:\n\n"
    "1. **New case**: accession number, patient and specimen.\n"
    "2. **Region images**: drop the fields that you chose at the microscope, and flag each as suitable or not.\n"
    "3. **Analyse**, look through the nuclei, complete the work-up, sign."
)
_NOTHING_OPEN = "No open case in the laboratory. Cases appear here once a pathologist has opened them."


def draw(rooms: Services, user: User) -> None:
    """The page of a pathologist or lab manager."""
    works = user.role is Role.PATHOLOGIST
    text, mine = _filters(works)
    found = rooms.log.open_cases(user, text)
    cases = [case for case in found if _concerns(case)] if mine else found
    if not cases and found:
        st.caption("None of these is yours. The laboratory's open cases:")
        cases = found
    if not cases:
        _nothing(works, text)
        return
    if works and not text:
        _last_worked_on(rooms, user, found)
    chosen = _kinds(cases)
    cases = [case for case in cases if chosen is None or waiting(case)[0] is chosen]
    shown = _pages(cases)
    for column, title in zip(st.columns(_WIDTHS), _TITLES, strict=True):
        column.caption(title)
    for case in shown:
        _row(rooms, user, case)


def draw_numbers(rooms: Services, user: User) -> None:
    """The page of an administrator: how much waits for what, and for how long; no patients."""
    cases = rooms.log.open_cases(user)
    if not cases:
        st.info(_NOTHING_OPEN, icon=":material/inbox:")
        return
    st.markdown(f"**{len(cases)} open case{'s' if len(cases) > 1 else ''} in the laboratory**")
    rows = []
    for kind, number in counted(cases).items():
        oldest = next(case for case in cases if waiting(case)[0] is kind)
        rows.append(
            {"Waits for": kind.words, "Who may do it": kind.who, "Cases": number, "Oldest": age(oldest.created_at)}
        )
    st.dataframe(rows, hide_index=True, width="content")
    st.caption("An administrator's account sees no patients and no results.")


def continue_case(rooms: Services, user: User, case_id: int) -> None:
    """Open a case and go on where the user stopped; a signed one on the page of its report."""
    listed = next((case for case in rooms.log.open_cases(user) if case.id == case_id), None)
    if listed is None:
        open_case(case_id)
        st.switch_page("pages/sign_out.py")
    place = stop(listed, _may_recount(rooms, user, listed))
    open_case(case_id, place.region_id)
    st.switch_page(place.page)


# --- what is shown ----------------------------------------------------------------------------------------------------


def _filters(works: bool) -> tuple[str, bool]:
    """What is looked for, and whether only the user's own; with the button that begins a case."""
    left, middle, right = st.columns([2.6, 2.6, 1.2], vertical_alignment="center")
    text = left.text_input(
        "Find",
        key="worklist_find",
        placeholder="Accession, patient name or ID",
        label_visibility="collapsed",
        icon=":material/search:",
        on_change=_first_page,
    )
    if not works:
        return text or "", False
    mine = middle.segmented_control(
        "Cases",
        [_MINE, _ALL],
        default=_MINE,
        required=True,
        key="worklist_mine",
        label_visibility="collapsed",
        persist_state="session",
        on_change=_first_page,
    )
    if right.button("New case", icon=":material/add:", type="primary", width="stretch", key="worklist_new"):
        open_case(None)
        st.switch_page("pages/intake.py")
    return text or "", mine == _MINE


def _concerns(case: OpenCase) -> bool:
    """Whether a case is on the user's own list: opened or worked on, or a recount that nobody has made yet."""
    return case.own or case.state is CaseState.PENDING_RECOUNT


def _nothing(works: bool, text: str) -> None:
    if text:
        st.info("No open case matches. Clear the search, or look in the case log for signed ones.")
    elif works:
        st.info(_FIRST_STEPS, icon=":material/checklist:")
        st.caption("No open case.")
    else:
        st.info(_NOTHING_OPEN, icon=":material/inbox:")


def _last_worked_on(rooms: Services, user: User, cases: Sequence[OpenCase]) -> None:
    """The case that the user was in last, whatever the list shows."""
    been = [case for case in cases if case.place is not None]
    if not been:
        return
    last = max(been, key=lambda case: case.place.at if case.place is not None else case.created_at)
    left, right = st.columns([5.2, 1.2], vertical_alignment="center")
    left.markdown(
        f"You stopped at **{plain(case_title(last.accession, last.block))}** · {plain(last.patient_name)}, which waits "
        f"for {waiting(last)[1]}."
    )
    _button(rooms, user, last, right, "last")


def _kinds(cases: Sequence[OpenCase]) -> Waiting | None:
    """How many wait for what; the kind that the list is narrowed to, None for all."""
    numbers = counted(cases)
    options: list[Waiting | str] = [_EVERYTHING, *numbers]
    chosen = st.segmented_control(
        "Waits for",
        options,
        default=_EVERYTHING,
        required=True,
        key="worklist_kind",
        format_func=lambda kind: (
            f"{kind.label} **{numbers.get(kind, 0)}**" if isinstance(kind, Waiting) else f"{kind} **{len(cases)}**"
        ),
        label_visibility="collapsed",
        on_change=_first_page,
    )
    return chosen if isinstance(chosen, Waiting) else None


def _pages(cases: Sequence[OpenCase]) -> Sequence[OpenCase]:
    """The part of the list that is shown, with the buttons that turn it."""
    last_start = max(0, (len(cases) - 1) // _PAGE * _PAGE)
    start = min(st.session_state.get(_OFFSET, 0), last_start)
    if last_start:
        count, buttons = st.columns([3, 1.6], vertical_alignment="center")
        count.caption(f"{start + 1} to {min(start + _PAGE, len(cases))} of {len(cases)}, the oldest first")
        with buttons.container(horizontal=True, horizontal_alignment="right"):
            st.button(
                "Older", key="worklist_older", disabled=start == 0, on_click=_turn, args=(start - _PAGE,),
                icon=":material/arrow_upward:",
            )  # fmt: skip
            st.button(
                "Newer", key="worklist_newer", disabled=start == last_start, on_click=_turn, args=(start + _PAGE,),
                icon=":material/arrow_downward:",
            )  # fmt: skip
    return cases[start : start + _PAGE]


def _turn(offset: int) -> None:
    st.session_state[_OFFSET] = max(0, offset)


def _first_page() -> None:
    st.session_state[_OFFSET] = 0


def _row(rooms: Services, user: User, case: OpenCase) -> None:
    columns = st.columns(_WIDTHS, vertical_alignment="center")
    words = waiting(case)[1]
    may_recount = _may_recount(rooms, user, case)
    columns[0].markdown(f"**{plain(case_title(case.accession, case.block))}**")
    columns[1].markdown(f"{plain(case.patient_name)} · {plain(case.patient_id)}")
    columns[2].badge(STATE_WORDS[case.state], color=STATE_COLOURS[case.state])  # type: ignore[arg-type]
    status = rooms.jobs.status(case.id)
    with columns[3]:
        if status is not None and status.active:
            _analysis(case.id)
        else:
            st.markdown(("Amendment open: " if case.amending else "") + words)
    columns[4].markdown(
        plain(doer(case, user.id, may_recount)), help=None if may_recount is None else may_recount.reason
    )
    columns[5].markdown(age(case.created_at))
    _button(rooms, user, case, columns[6], "open")


@st.fragment(run_every=2)
def _analysis(case_id: int) -> None:
    """How far the analysis of a case is; the whole list again once it has ended."""
    rooms, _ = guarded(Role.PATHOLOGIST, Role.LAB_MANAGER, by_timer=True)
    status = rooms.jobs.status(case_id)
    if status is None or not status.active:
        st.rerun(scope="app")
    st.progress(status.fraction, text=brief_words(status))


def _button(rooms: Services, user: User, case: OpenCase, where: DeltaGenerator, key: str) -> None:
    """The one click: a pathologist goes on, a lab manager reads."""
    if user.role is not Role.PATHOLOGIST:
        if where.button("Read", key=f"{key}_{case.id}", width="stretch", icon=":material/folder_open:"):
            rooms.log.note("case opened", user, case.id, {"for": "reading in the case log"})
            read_case(case.id)
            st.switch_page("pages/case_log.py")
        return
    place = stop(case, _may_recount(rooms, user, case))
    if where.button(
        place.button, key=f"{key}_{case.id}", width="stretch", icon=":material/arrow_forward:",
        type="primary" if key == "last" else "secondary",
    ):  # fmt: skip
        rooms.log.note("case opened", user, case.id)
        open_case(case.id, place.region_id)
        st.switch_page(place.page)


def _may_recount(rooms: Services, user: User, case: OpenCase) -> Decision | None:
    """Whether the user may make the recount that a case waits for; None where none is due."""
    if case.state is not CaseState.PENDING_RECOUNT or user.role is not Role.PATHOLOGIST:
        return None
    return workflow.may_recount(rooms.log, case.id, user)
