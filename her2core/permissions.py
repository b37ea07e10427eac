"""Who may do what: one table of role by action (architecture.md, decision 11), and nothing else.

Pages ask to decide what to show; the case log and the accounts ask again, with the role that is stored now.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from enum import StrEnum
from types import MappingProxyType

from her2core.errors import PermissionDeniedError
from her2core.records import Role, User

__all__ = ["TABLE", "Action", "Decision", "decide", "require"]


class Action(StrEnum):
    """What can be asked of her2core; the values complete the sentence "may …"."""

    VIEW_CASE = "look at cases"
    CREATE_CASE = "open a case"
    EDIT_CASE = "change what a case says"
    ADD_REGION = "add or remove region images"
    ANALYSE = "analyse regions"
    CORRECT = "correct counts"
    REVIEW = "confirm the review"
    RECOUNT = "recount as second observer"
    ADJUDICATE = "adjudicate two counts"
    SIGN = "sign reports"
    AMEND = "amend signed reports"
    DOWNLOAD = "download reports"
    EXPORT = "export cases"
    VIEW_AUDIT = "read the audit trail"
    VIEW_STATISTICS = "see the laboratory's figures"
    MANAGE_MODELS = "promote models"
    MANAGE_USERS = "manage accounts"
    MANAGE_KEYS = "manage signing keys"
    MANAGE_LABORATORY = "change the laboratory's identity"
    CHECK = "check the case log"
    BACK_UP = "back up the case log"


_READING = frozenset({Action.VIEW_CASE, Action.DOWNLOAD, Action.EXPORT, Action.VIEW_AUDIT})

TABLE: Mapping[Role, frozenset[Action]] = MappingProxyType(
    {
        Role.PATHOLOGIST: _READING
        | {
            Action.CREATE_CASE,
            Action.EDIT_CASE,
            Action.ADD_REGION,
            Action.ANALYSE,
            Action.CORRECT,
            Action.REVIEW,
            Action.RECOUNT,
            Action.ADJUDICATE,
            Action.SIGN,
            Action.AMEND,
        },
        Role.LAB_MANAGER: _READING | {Action.VIEW_STATISTICS, Action.MANAGE_MODELS, Action.CHECK},
        Role.ADMINISTRATOR: frozenset(
            {
                Action.MANAGE_USERS,
                Action.MANAGE_KEYS,
                Action.MANAGE_LABORATORY,
                Action.CHECK,
                Action.BACK_UP,
            }
        ),
    }
)

_WHY_NOT: Mapping[Role, str] = MappingProxyType(
    {
        Role.PATHOLOGIST: "A pathologist's account works on cases; ask a lab manager or an administrator.",
        Role.LAB_MANAGER: "A lab manager's account reads cases, changes none; ask a pathologist or an administrator.",
        Role.ADMINISTRATOR: "An administrator's account looks after accounts and keys, not after cases.",
    }
)


@dataclass(frozen=True, slots=True)
class Decision:
    """An answer with its reason, a sentence for the user. Refused decisions are false."""

    allowed: bool
    reason: str

    def __bool__(self) -> bool:
        return self.allowed


def decide(user: User | None, action: Action) -> Decision:
    """Whether this user may do this, and why (not)."""
    if user is None:
        return Decision(False, "Sign in first.")
    if not user.active:
        return Decision(False, "This account is deactivated; ask an administrator.")
    if action in TABLE[user.role]:
        return Decision(True, f"The role {user.role} may {action}.")
    return Decision(False, f"This account may not {action}. {_WHY_NOT[user.role]}")


def require(user: User | None, action: Action) -> User:
    """The user, if the action is allowed.

    Raises PermissionDeniedError with the reason.
    """
    decision = decide(user, action)
    if user is None or not decision.allowed:
        raise PermissionDeniedError(decision.reason)
    return user
