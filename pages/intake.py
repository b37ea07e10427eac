"""Open a case, add its region images, and judge each of them before the models run."""

from __future__ import annotations

from her2core.records import Role
from her2core.ui import intake
from her2core.ui.session import opened_case, require_role

rooms, user = require_role(Role.PATHOLOGIST)

case_id = opened_case()
if case_id is None:
    intake.draw_new_case(rooms, user)
else:
    intake.draw_case(rooms, user, case_id)
