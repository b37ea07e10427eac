"""The models as their cards describe them, whether the files are those of the cards, and how right they are."""

from __future__ import annotations

from her2core.records import Role
from her2core.ui import models
from her2core.ui.session import require_role

rooms, user = require_role(Role.LAB_MANAGER, Role.PATHOLOGIST)

models.draw(rooms, user)
