"""The blinded recount by another pathologist."""

from __future__ import annotations

from her2core.records import Role
from her2core.ui import second_read
from her2core.ui.session import opened_case, require_role

rooms, user = require_role(Role.PATHOLOGIST)

second_read.draw(rooms, user, opened_case())
