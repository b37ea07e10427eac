"""Complete the work-up, read what the report will say, and sign it."""

from __future__ import annotations

from her2core.records import Role
from her2core.ui import sign_out
from her2core.ui.frame import no_case
from her2core.ui.session import opened_case, require_role

rooms, user = require_role(Role.PATHOLOGIST)

case_id = opened_case()
if case_id is None:
    no_case()
else:
    sign_out.draw(rooms, user, case_id)
