"""Search all cases; read, download and verify their reports; follow what happened; export."""

from __future__ import annotations

from her2core.records import Role
from her2core.ui import case_log
from her2core.ui.session import require_role

rooms, user = require_role(Role.PATHOLOGIST, Role.LAB_MANAGER)

case_log.draw(rooms, user)
