"""Intake: the case, its region images, and the pathologist's judgement of each before the models run."""

from __future__ import annotations

from collections.abc import Sequence

import streamlit as st

from her2core import workflow
from her2core.errors import Her2CoreError
from her2core.records import CaseDetails, User
from her2core.ui import intake_populations, intake_regions, intake_slides, intake_uploads
from her2core.ui.details import details_draft, details_form, is_begun
from her2core.ui.flagging import briefly
from her2core.ui.services import Services
from her2core.ui.session import flash, open_case, saved
from her2core.ui.words import plain
from her2core.workflow import CaseReview, DetailsWarning

__all__ = ["draw_case", "draw_new_case"]

_DRAFT = "new_case_number"  # how many drafts were opened as a case or cleared
_MOST_OTHERS = 5


def draw_new_case(rooms: Services, user: User) -> None:
    """The fields that open a case. What is entered is kept while other pages are looked at, for this session alone."""
    number = st.session_state.get(_DRAFT, 0)
    key = f"new_{number}" if number else "new"
    title, says, clear = st.columns([1.2, 5, 1], vertical_alignment="center")
    title.subheader("New case", anchor=False)
    details, below = details_draft(key)
    begun = is_begun(details)
    if begun:
        says.caption(
            "This draft is kept while you look at other pages, until the case is opened, you clear it or sign out."
        )
    # Always there, so that nothing moves under the pointer once the first field is filled.
    clear.button(
        "Clear", icon=":material/delete:", key="new_clear", width="stretch", disabled=not begun, on_click=_clear_draft
    )
    found = workflow.warnings_of_new(rooms.log, details)
    with below:
        impossible = any(warning.impossible for warning in found)
        pressed = st.button("Open case", type="primary", key=f"{key}_save", disabled=impossible)
        _details_warnings(rooms, details, found)
    if not pressed:
        return
    try:
        case = workflow.create_case(rooms.log, details, user)
    except Her2CoreError as error:
        st.error(str(error), icon=":material/error:")
        return
    _clear_draft()
    open_case(case.id)
    flash("success", "Case opened. Add its region images.")
    st.rerun()


def _clear_draft() -> None:
    """Begin another draft: fields of new names, since a browser holds on to what is in the old ones."""
    number = st.session_state.get(_DRAFT, 0)
    for key in [str(key) for key in st.session_state if str(key).startswith("new_")]:
        del st.session_state[key]
    st.session_state[_DRAFT] = number + 1


def _details_warnings(
    rooms: Services, details: CaseDetails, found: Sequence[DetailsWarning], but: int | None = None
) -> None:
    """What is wrong with the details, in two boxes at most; which other cases have the patient ID is said here and in
    no report."""
    lines = [plain(warning.text) for warning in found if not warning.impossible]
    others = workflow.other_accessions(rooms.log, details, but) if lines else ()
    if others:
        more = f" and {len(others) - _MOST_OTHERS} more" if len(others) > _MOST_OTHERS else ""
        lines.append(f"Other cases with this patient ID: {plain(', '.join(others[:_MOST_OTHERS]))}{more}.")
    for show, texts, icon in (
        (st.error, [plain(warning.text) for warning in found if warning.impossible], ":material/event_busy:"),
        (st.warning, lines, ":material/warning:"),
    ):
        if texts:
            show(texts[0] if len(texts) == 1 else "\n".join(f"- {text}" for text in texts), icon=icon)


def draw_case(rooms: Services, user: User, case_id: int) -> None:
    """Regions, details and populations of the open case."""
    review = workflow.assess(rooms.log, case_id)
    if not review.editable:
        st.info(
            "The case is signed. Open an amendment under Work-up and sign-out to change it.", icon=":material/lock:"
        )
    if review.editable:
        _details_warnings(rooms, review.case.details, workflow.warnings_of(rooms.log, review.case), case_id)
    # Without numbers in their names, so that the tab in front stays in front when a number changes.
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
        _details(rooms, user, review)
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


def _details(rooms: Services, user: User, review: CaseReview) -> None:
    case = review.case
    details = details_form(f"case_{case.id}", case.details, "Save details", disabled=not review.editable)
    if details is not None:
        saved(workflow.set_details, rooms.log, case.id, details, case.version, user, done="Details saved.")
        st.rerun()  # so that a refusal is said, too
