"""Volumes, group mix and turnaround of the laboratory."""

from __future__ import annotations

from her2core.records import Role
from her2core.ui import laboratory
from her2core.ui.session import require_role

rooms, user = require_role(Role.LAB_MANAGER)

laboratory.draw(rooms, user)
