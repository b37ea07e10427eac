"""Intake: the case, its region images, and the pathologist's judgement of each before the models run."""

from __future__ import annotations

import streamlit as st

from her2core import workflow
from her2core.errors import Her2CoreError
from her2core.records import User
from her2core.ui import intake_populations, intake_regions, intake_slides, intake_uploads
from her2core.ui.details import details_form
from her2core.ui.flagging import briefly
from her2core.ui.services import Services
from her2core.ui.session import flash, open_case, saved
from her2core.ui.words import plain
from her2core.workflow import CaseReview

__all__ = ["draw_case", "draw_new_case"]


def draw_new_case(rooms: Services, user: User) -> None:
    """The form that opens a case."""
    st.subheader("New case", anchor=False)
    details = details_form("new", None, "Open case")
    if details is None:
        return
    try:
        case = workflow.create_case(rooms.log, details, user)
    except Her2CoreError as error:
        st.error(str(error), icon=":material/error:")
        return
    open_case(case.id)
    flash("success", "Case opened. Add its region images.")
    st.rerun()


def draw_case(rooms: Services, user: User, case_id: int) -> None:
    """Regions, details and populations of the open case."""
    review = workflow.assess(rooms.log, case_id)
    if not review.editable:
        st.info(
            "The case is signed. Open an amendment under Work-up and sign-out to change it.", icon=":material/lock:"
        )
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
    if details is not None and saved(
        workflow.set_details, rooms.log, case.id, details, case.version, user, done="Details saved."
    ):
        st.rerun()
