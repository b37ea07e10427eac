"""Who is signed in, and which case is open: the only things that live in the browser's session.

Every page file begins with `require_role`: with a folder `pages/` a page can be reached without app.py having run
(stack.md), so each guards itself. The account is read anew at each run; whoever was deactivated is out at once.
"""

from __future__ import annotations

import time
from collections.abc import Sequence

import streamlit as st

from her2core.errors import Her2CoreError, NotFoundError
from her2core.records import Role, User
from her2core.ui.services import Services, services

__all__ = [
    "current_user",
    "flash",
    "forget_session",
    "open_case",
    "opened_case",
    "remember_user",
    "require_role",
    "show_flash",
    "touch",
]

_USER = "her2core_user_id"
_SEEN = "her2core_last_seen"
_CASE = "her2core_case_id"
_FLASH = "her2core_flash"


def remember_user(user: User) -> None:
    """Start the session of a user who has just proved the password. Nothing of an earlier session is left."""
    forget_session()
    st.session_state[_USER] = user.id
    touch()


def forget_session() -> None:
    """End the session: everything that it held is gone."""
    for key in list(st.session_state.keys()):
        del st.session_state[key]


def touch() -> None:
    """The user did something just now; called by each run that a person caused, not by timers."""
    st.session_state[_SEEN] = time.monotonic()


def current_user(rooms: Services) -> User | None:
    """Who is signed in, as the account is stored now; None if nobody is, the account is deactivated, or the session was
    idle for longer than the laboratory allows."""
    user_id = st.session_state.get(_USER)
    if not isinstance(user_id, int):
        return None
    seen = st.session_state.get(_SEEN)
    if not isinstance(seen, float) or time.monotonic() - seen > rooms.settings.idle_minutes * 60:
        forget_session()
        st.session_state[_FLASH] = ("info", "You were signed out because nothing happened for a while.")
        return None
    try:
        user = rooms.log.user(user_id)
    except NotFoundError:
        user = None
    if user is None or not user.active:
        forget_session()
        return None
    return user


def require_role(*roles: Role) -> tuple[Services, User]:
    """The guard of a page: stops it, with nothing shown, unless a user with one of `roles` is signed in."""
    try:
        rooms = services()
        user = current_user(rooms)
    except Her2CoreError:
        st.stop()
    if user is None or user.role not in roles:
        st.stop()
    touch()
    return rooms, user


def open_case(case_id: int | None) -> None:
    """Remember which case the pages are about."""
    st.session_state[_CASE] = case_id


def opened_case() -> int | None:
    """The id of the case that is open, or None."""
    case_id = st.session_state.get(_CASE)
    return case_id if isinstance(case_id, int) else None


def flash(kind: str, message: str) -> None:
    """Say something on the next run: "error", "info" or "success". For callbacks, which draw nothing themselves."""
    st.session_state[_FLASH] = (kind, message)


def show_flash(kinds: Sequence[str] = ("error", "info", "success")) -> None:
    """Show what `flash` left, once."""
    left = st.session_state.get(_FLASH)
    if left is None or left[0] not in kinds:
        return
    del st.session_state[_FLASH]
    kind, message = left
    if kind == "error":
        st.error(message, icon=":material/error:")
    elif kind == "success":
        st.success(message, icon=":material/check:")
    else:
        st.info(message, icon=":material/info:")
