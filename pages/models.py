"""The models in use: cards, training, figures, and whether the weights are the ones described."""

from __future__ import annotations

from her2core.records import Role
from her2core.ui import model_cards
from her2core.ui.session import require_role

rooms, user = require_role(Role.LAB_MANAGER)

model_cards.draw(rooms)
