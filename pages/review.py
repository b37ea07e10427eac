"""Analyse the regions, look through the nuclei, correct them, and see what the result becomes."""

from __future__ import annotations

from her2core.records import Role
from her2core.ui import review
from her2core.ui.frame import no_case
from her2core.ui.session import opened_case, require_role

rooms, user = require_role(Role.PATHOLOGIST)

case_id = opened_case()
if case_id is None:
    no_case()
else:
    review.draw(rooms, user, case_id)
