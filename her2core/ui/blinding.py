"""Before counts are shown: whoever could still make a blinded recount is asked first."""

from __future__ import annotations

import streamlit as st

from her2core import workflow
from her2core.records import User
from her2core.ui.services import Services

__all__ = ["stays_blind"]


def stays_blind(rooms: Services, user: User, case_id: int) -> bool:
    """True, with a question on the page, where the user could make the blinded recount of this case.

    Otherwise it is noted that the user sees the counts.
    """
    if not workflow.may_recount(rooms.log, case_id, user):
        workflow.note_counts_seen(rooms.log, case_id, user)
        return False
    st.warning(
        "This case waits for a blinded recount, which you could make. Once you look at the counts you cannot any more.",
        icon=":material/visibility_off:",
    )
    with st.container(horizontal=True):
        if st.button("Make the recount", type="primary", key="keep_blind"):
            st.switch_page("pages/second_read.py")
        if st.button("Show me the counts", key="give_up_blind"):
            workflow.note_counts_seen(rooms.log, case_id, user)
            st.rerun()
    return True
