"""Accounts, roles and signing keys, the laboratory's identity, and the state of the case log."""

from __future__ import annotations

from her2core.records import Role
from her2core.ui import administration
from her2core.ui.session import require_role

rooms, user = require_role(Role.ADMINISTRATOR)

administration.draw(rooms, user)
