"""Where flags and findings disagree: each point with what to do, to be settled before the counts are confirmed."""

from __future__ import annotations

import streamlit as st

from her2core import workflow
from her2core.records import User
from her2core.ui.services import Services
from her2core.ui.session import saved
from her2core.ui.words import plain
from her2core.workflow import CaseReview, CaseWarning

__all__ = ["show"]


def show(rooms: Services, user: User, review: CaseReview) -> None:
    """The panel; nothing where flags and findings agree. Callbacks say on the next run what could not be saved."""
    points = [w for w in review.warnings if w.before_review]
    if not points:
        return
    still_open = len(review.unsettled)
    title = f"Flags and findings disagree: {still_open} of {len(points)} to settle"
    with st.expander(
        title if still_open else "Flags and findings disagree: all acknowledged",
        expanded=bool(still_open),
        icon=":material/rule:" if still_open else ":material/check:",
        key="disagreements",
    ):
        for point in points:
            _point(rooms, user, review, point)


def _point(rooms: Services, user: User, review: CaseReview, point: CaseWarning) -> None:
    if point.acknowledged:
        st.caption(f":material/check: {plain(point.text)}")
        return
    said, settled = st.columns([3.6, 1.3], vertical_alignment="center")
    said.markdown(f":orange[:material/warning:] {plain(point.text)}")
    with settled, st.container(horizontal=True, horizontal_alignment="right", gap="small"):
        st.button(
            "Acknowledge", key=f"warning_{point.key}", disabled=not review.editable,
            on_click=saved, args=(workflow.acknowledge, rooms.log, review.case.id, point, user),
            help="You have looked: your flag stands. This is kept in the case log.",
        )  # fmt: skip
        if point.changes:
            st.button(
                "Change the flag", key=f"follow_{point.key}", disabled=not review.editable,
                on_click=saved, args=(workflow.follow_findings, rooms.log, point, user),
                kwargs={"done": "Flag changed."}, help="The flag follows what was found.",
            )  # fmt: skip
