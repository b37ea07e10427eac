"""The laboratory's figures: what lies where, how long cases take, how they come out, and how much of the AI stands."""

from __future__ import annotations

from her2core.records import Role
from her2core.ui import laboratory
from her2core.ui.session import require_role

rooms, user = require_role(Role.LAB_MANAGER)

laboratory.draw(rooms, user)
