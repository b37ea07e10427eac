"""Intake: the case, its region images, and the pathologist's judgement of each before the models run."""

from __future__ import annotations

import streamlit as st

from her2core import workflow
from her2core.errors import DuplicateError, Her2CoreError
from her2core.permissions import Action, decide
from her2core.records import User
from her2core.ui import changed_details, intake_populations, intake_regions, intake_slides, intake_uploads
from her2core.ui.details import NEW_CASE, details_fields, is_begun
from her2core.ui.doubts import details_doubts
from her2core.ui.flagging import briefly
from her2core.ui.services import Services
from her2core.ui.session import flash, open_case
from her2core.ui.words import local_day, plain
from her2core.workflow import CaseReview

__all__ = ["draw_case", "draw_new_case"]

_DRAFT = "new_case_number"  # how many drafts were opened as a case or cleared


def draw_new_case(rooms: Services, user: User) -> None:
    """The fields that open a case. What is entered is kept while other pages are looked at, for this session alone."""
    number = st.session_state.get(_DRAFT, 0)
    key = f"new_{number}" if number else "new"
    title, says, clear = st.columns([1.2, 5, 1], vertical_alignment="center")
    title.subheader("New case", anchor=False)
    details, below = details_fields(key, NEW_CASE)
    begun = is_begun(details)
    kept = "This draft is kept while you look at other pages, until the case is opened, you clear it or sign out."
    says.caption(f"\\* is needed, all else may follow later. {kept if begun else ''}")
    # Always there, so that nothing moves under the pointer once the first field is filled.
    clear.button(
        "Clear", icon=":material/delete:", key="new_clear", width="stretch", disabled=not begun, on_click=_clear_draft
    )
    found = workflow.warnings_of_new(rooms.log, details)
    with below:
        impossible = any(warning.impossible for warning in found)
        pressed = st.button("Open case", type="primary", key=f"{key}_save", disabled=impossible)
        refused = st.empty()
        details_doubts(rooms, details, found, key="new")
    if not pressed:
        return
    try:
        case = workflow.create_case(rooms.log, details, user)
    except Her2CoreError as error:
        with refused.container():
            st.error(str(error), icon=":material/error:")
            if isinstance(error, DuplicateError) and decide(user, Action.VIEW_CASE):
                _offer_known(rooms, user, details.accession)
        return
    _clear_draft()
    open_case(case.id)
    flash("success", "Case opened. Add its region images.")
    st.rerun()


def _offer_known(rooms: Services, user: User, accession: str) -> None:
    """The case that has the accession number already, to be opened instead; the draft stays."""
    known = rooms.log.case_by_accession(accession)

    def go() -> None:
        rooms.log.note("case opened", user, known.id)
        open_case(known.id)

    opened = local_day(known.created_at.astimezone().date())
    st.caption(f"It is of {plain(known.details.patient_name)}, ID {plain(known.details.patient_id)}, opened {opened}.")
    st.button(f"Open {plain(known.details.accession)}", icon=":material/folder_open:", key="open_known", on_click=go)


def _clear_draft() -> None:
    """Begin another draft: fields of new names, since a browser holds on to what is in the old ones."""
    number = st.session_state.get(_DRAFT, 0)
    for key in [str(key) for key in st.session_state if str(key).startswith("new_")]:
        del st.session_state[key]
    st.session_state[_DRAFT] = number + 1


def draw_case(rooms: Services, user: User, case_id: int) -> None:
    """Regions, details and populations of the open case."""
    review = workflow.assess(rooms.log, case_id)
    if not review.editable:
        st.info(
            "The case is signed. Open an amendment under Work-up and sign-out to change it.", icon=":material/lock:"
        )
    said = st.empty()  # kept, and numbers in no name, so that the tab in front stays in front whatever is said
    found = workflow.warnings_of(rooms.log, review.case) if review.editable else ()
    if found:
        with said.container():
            details_doubts(rooms, review.case.details, found, key="saved", but=case_id)
    regions, details, populations = st.tabs(["Region images", "Case details", "Populations"])
    with regions:
        left, right = st.columns([1.25, 1], gap="medium")
        with left:
            intake_uploads.draw(rooms, user, review)
            intake_slides.draw(rooms, user, review)
        with right:
            _next_step(review)
        if review.regions:
            intake_regions.draw(rooms, user, review, left, right)
    with details:
        changed_details.draw(rooms, user, review, found)
    with populations:
        intake_populations.draw(rooms, user, review)


def _next_step(review: CaseReview) -> None:
    """What the analysis still waits for, or the way on."""
    hints = []
    if len(review.case.populations) == 1 and any(
        r.region.flags is not None and r.region.flags.heterogeneous for r in review.regions
    ):
        hints.append("Heterogeneous: does a second, distinct population exist? Then add it under Populations.")
    due = intake_regions.reason_due(review)
    if due:
        names = ", ".join(map(plain, due))
        st.warning(
            f"**Not saved yet:** say why {names} cannot be counted. Until then "
            f"{'it stays' if len(due) == 1 else 'they stay'} as flagged before.",
            icon=":material/warning:",
        )
        return
    if review.missing:
        missing = briefly(review.missing, [r.region for r in review.regions])
        lines = "\n".join(f"- {plain(line)}" for line in (*missing, *hints))
        st.info(f"**Before the analysis**\n{lines}", icon=":material/list_alt:")
        return
    count = len(review.to_analyse)
    said = (
        f"{count} region{'s are' if count > 1 else ' is'} ready for analysis."
        if count
        else ("All suitable regions are analysed.")
    )
    st.success("\n".join([f"**{said}**", *(f"- {plain(hint)}" for hint in hints)]), icon=":material/check:")
    if st.button("Go on to review", type="primary", icon=":material/arrow_forward:", key="intake_review"):
        st.switch_page("pages/review.py")
