"""Where flags and findings disagree: one point after the other, to be settled before the counts are confirmed."""

from __future__ import annotations

import streamlit as st

from her2core import workflow
from her2core.records import User
from her2core.ui.services import Services
from her2core.ui.session import saved
from her2core.ui.words import plain
from her2core.workflow import CaseReview

__all__ = ["DISAGREEMENT_STYLE", "show"]

# Low, so that the image keeps the height of the screen.
DISAGREEMENT_STYLE = """<style>
.st-key-disagreements {border: 1px solid #E69F00; border-left-width: 5px; border-radius: 5px; padding: 3px 8px 3px 11px;
  background: rgba(230,159,0,.09);}
.st-key-disagreements p {font-size: 13px; line-height: 1.35;}
.st-key-disagreements button {min-height: 30px; padding: 2px 10px;}
</style>"""


def show(rooms: Services, user: User, review: CaseReview) -> None:
    """The first point that is not settled yet; nothing where flags and findings agree. Callbacks say on the next run
    what could not be saved."""
    if not review.unsettled:
        return
    point = review.unsettled[0]
    points = [w for w in review.warnings if w.before_review]
    which = f"{len(points) - len(review.unsettled) + 1} of {len(points)}"
    with st.container(key="disagreements"):
        said, settled = st.columns([3.9, 1.15], vertical_alignment="center")
        said.markdown(f":orange[:material/warning:] **Flags and findings disagree, {which}.** {plain(point.text)}")
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
