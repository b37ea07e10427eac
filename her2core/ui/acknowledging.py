"""The button that acknowledges a warning; above a limit of the guideline, and where cells count twice, it asks for the
reason first."""

from __future__ import annotations

from typing import Literal

import streamlit as st

from her2core import workflow
from her2core.records import User
from her2core.ui.services import Services
from her2core.ui.session import saved
from her2core.workflow import CaseReview, CaseWarning

__all__ = ["acknowledge_button"]


def acknowledge_button(
    rooms: Services, user: User, review: CaseReview, warning: CaseWarning, width: Literal["content", "stretch"]
) -> None:
    """Draw it. The callback says on the next run what could not be saved."""
    if not warning.needs_reason:
        st.button(
            "Acknowledge", key=f"warning_{warning.key}", disabled=not review.editable, width=width,
            on_click=saved, args=(workflow.acknowledge, rooms.log, review.case.id, warning, user),
        )  # fmt: skip
        return
    field = f"reason_text_{warning.key}"

    def go_on() -> None:
        saved(workflow.acknowledge, rooms.log, review.case.id, warning, user, st.session_state[field] or "")

    with (
        st.popover("Go on all the same", disabled=not review.editable, width=width, key=f"reason_{warning.key}"),
        st.form(f"reason_form_{warning.key}", border=False),
    ):
        st.text_area(
            "Why the case goes on all the same (becomes part of the report)",
            key=field, max_chars=500, height=90,
        )  # fmt: skip
        st.form_submit_button("Acknowledge with this reason", key=f"warning_{warning.key}", on_click=go_on)
