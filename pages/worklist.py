"""What waits for whom: every open case, oldest first, one click from where it was left."""

from __future__ import annotations

from her2core.records import Role
from her2core.ui import worklist
from her2core.ui.session import require_role

rooms, user = require_role(Role.PATHOLOGIST, Role.LAB_MANAGER, Role.ADMINISTRATOR)

if user.role is Role.ADMINISTRATOR:
    worklist.draw_numbers(rooms, user)
else:
    worklist.draw(rooms, user)
