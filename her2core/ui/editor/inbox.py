"""What one browser window sends: its edits, each with a number, until they are acknowledged. Each is taken once."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import dataclass, field
from typing import Any

from her2core.errors import Her2CoreError
from her2core.workflow.reviewing import Act, Edit, Taken, parse_edit

__all__ = ["Inbox", "Refusal"]

_MOST_REFUSALS_KEPT = 5


@dataclass(frozen=True, slots=True)
class Refusal:
    """An edit that was not taken, and why, in words for its user."""

    number: int
    message: str


@dataclass
class Inbox:
    """The edits of a session, and what came of them.

    `window` names the editor of the browser that sent last; `upto` is the last of its edits that was dealt with.
    `own` holds the corrections that this session made; `select` the nucleus that the editor should show, counted by
    `selections` so that it follows once.
    """

    window: str = ""
    upto: int = 0
    own: set[int] = field(default_factory=set)
    refused: list[Refusal] = field(default_factory=list)
    select: int | None = None
    selections: int = 0

    def receive(self, message: object, take: Callable[[Edit], Taken]) -> None:
        """Take the edits of a message that were not dealt with yet, in their order. Anything unreadable is left."""
        if not isinstance(message, Mapping) or not isinstance(message.get("window"), str):
            return
        if message["window"] != self.window:
            self.window, self.upto, self.refused = message["window"], 0, []
        edits = message.get("edits")
        for given in edits if isinstance(edits, list) else []:
            number = given.get("number") if isinstance(given, Mapping) else None
            if isinstance(number, int) and not isinstance(number, bool) and number > self.upto:
                self._take(number, given, take)

    def _take(self, number: int, given: Mapping[str, Any], take: Callable[[Edit], Taken]) -> None:
        try:
            edit = parse_edit(given)
            taken = take(edit)
        except Her2CoreError as error:
            self.refused = [*self.refused, Refusal(number, str(error))][-_MOST_REFUSALS_KEPT:]
        else:
            if taken.correction is not None:
                self.own.add(taken.correction.id)
            if edit.act in (Act.ADD, Act.UNDO, Act.REDO) and taken.nucleus_id is not None:
                self.select = taken.nucleus_id
                self.selections += 1
        self.upto = number  # after it is stored: an edit is never acknowledged that could be lost
