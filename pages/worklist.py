"""What waits for whom: every open case, oldest first, one click from where it was left."""

from __future__ import annotations

import streamlit as st

from her2core.records import Role
from her2core.ui import worklist
from her2core.ui.session import require_role

rooms, user = require_role(Role.PATHOLOGIST)

st.header("Worklist")
worklist.draw(rooms, user)
