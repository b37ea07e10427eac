"""Who is signed in, and which case is open: the only things that live in the browser's session.

Where in a case somebody is goes to the case log as it changes, so that the worklist can go on there from any machine.

Every page file begins with `require_role`: with a folder `pages/` a page can be reached without app.py having run
(stack.md), so each guards itself. The account is read anew at each run; whoever was deactivated is out at once.
"""

from __future__ import annotations

import time
from collections.abc import Callable
from datetime import UTC, datetime
from typing import Any

import streamlit as st
from streamlit.web.server.starlette.starlette_app_utils import decode_xsrf_token_string

from her2core.errors import AccountError, Her2CoreError, NotFoundError
from her2core.records import Role, User
from her2core.ui.services import Services, services

__all__ = [
    "REVIEW_REGION",
    "USER_KEY",
    "at_page",
    "current_user",
    "end_session",
    "flash",
    "guarded",
    "open_case",
    "opened_case",
    "read_case",
    "remember_user",
    "require_role",
    "saved",
    "show_flash",
]

USER_KEY = "her2core_user_id"
_SAVED = (
    "What you did in cases is saved; what was typed and not saved, such as a case that was not opened yet or details, "
    "has to be entered again."
)
_SINCE = "her2core_password_since"
_SEEN = "her2core_last_seen"
_BROWSER = "her2core_browser"
_UNTIL = "her2core_signed_in_until"
_LASTS = "her2core_signed_in_lasts"
_CASE = "her2core_case_id"
REVIEW_REGION = "review_region"  # the one that the review page shows
_READ = "case_log_case"  # the one that the case log shows
_PAGE = "her2core_page"
_KEPT = "her2core_place_kept"
_FLASH = "her2core_flash"


def remember_user(user: User, password_since: datetime | None, until: datetime | None = None) -> None:
    """Start the session of a user who has just proved who it is. Nothing of an earlier session is left.

    `password_since` is `Accounts.password_since` as it was before; `until` is when the identity that a provider
    vouched for expires.
    """
    _forget()
    if until is not None:
        st.session_state[_UNTIL] = until
        # A clock that is set back afterwards prolongs nothing.
        st.session_state[_LASTS] = time.monotonic() + (until - datetime.now(UTC)).total_seconds()
    st.session_state[USER_KEY] = user.id
    st.session_state[_SINCE] = password_since
    st.session_state[_BROWSER] = _browser()
    _touch()


def end_session(rooms: Services, user: User | None, why: str = "by the user") -> None:
    """Sign out: everything that the session held is gone."""
    _forget()
    if user is not None:
        rooms.accounts.sign_out(user, why)


def current_user(rooms: Services) -> User | None:
    """Who is signed in, as the account is stored now; None if nobody is, the account is deactivated, its password was
    changed elsewhere, or the session was idle for longer than the laboratory allows."""
    user_id, since = st.session_state.get(USER_KEY), st.session_state.get(_SINCE)
    if not isinstance(user_id, int) or not isinstance(since, datetime):
        return None
    try:
        user = rooms.accounts.session_user(user_id, since)
    except (AccountError, NotFoundError) as error:
        _forget()
        flash("info", str(error))
        return None
    until = st.session_state.get(_UNTIL)
    if isinstance(until, datetime) and (
        datetime.now(UTC) >= until or time.monotonic() >= st.session_state.get(_LASTS, 0.0)
    ):
        end_session(rooms, user, "identity expired")
        flash("info", f"Your organisation vouched for you until now. Sign in again. {_SAVED}")
        return None
    if st.context.headers and st.session_state.get(_BROWSER) != _browser():  # no headers: nobody is connected just now
        # Streamlit lets whoever names the id of a session go on with it, and such ids stand in logs of proxies.
        end_session(rooms, user, "used from another browser")
        return None
    seen = st.session_state.get(_SEEN)
    if not isinstance(seen, float) or time.monotonic() - seen > rooms.settings.idle_minutes * 60:
        end_session(rooms, user, "idle")
        flash("info", f"You were signed out because nothing happened for a while. {_SAVED}")
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
    _touch()
    _keep_place(rooms, user)
    return rooms, user


def guarded(*roles: Role, by_timer: bool = False) -> tuple[Services, User]:
    """The guard of a fragment, which runs without its page: leads to the sign-in page where the session has ended.

    A run `by_timer` is not the user's doing and keeps no session alive.
    """
    rooms = services()
    user = current_user(rooms)
    if user is None or user.role not in roles:
        st.rerun(scope="app")
    if not by_timer:
        _touch()
        _keep_place(rooms, user)
    return rooms, user


def open_case(case_id: int | None, region_id: int | None = None) -> None:
    """Remember which case the pages are about, and which of its regions is looked at first."""
    st.session_state[_CASE] = case_id
    st.session_state[REVIEW_REGION] = region_id


def read_case(case_id: int) -> None:
    """Let the case log show a case."""
    st.session_state[_READ] = case_id


def at_page(page: str | None) -> None:
    """The page of work on a case that is about to run; None for another one."""
    st.session_state[_PAGE] = page


def opened_case() -> int | None:
    """The id of the case that is open, or None."""
    case_id = st.session_state.get(_CASE)
    return case_id if isinstance(case_id, int) else None


def flash(kind: str, message: str) -> None:
    """Say something on the next run: "error", "info" or "success". For callbacks, which draw nothing themselves."""
    st.session_state[_FLASH] = (kind, message)


def show_flash() -> None:
    """Show what `flash` left, once.

    Its place is kept while there is nothing to say: what stands below would otherwise be drawn as something new, with
    tabs and expanders as they were at first.
    """
    kind, message = st.session_state.pop(_FLASH, (None, ""))
    place = st.empty()
    if kind == "error":
        place.error(message, icon=":material/error:")
    elif kind == "success":
        st.toast(message, icon=":material/check:")
    elif kind == "info":
        place.info(message, icon=":material/info:")


def saved(step: Callable[..., Any], *args: Any, done: str = "", **kwargs: Any) -> Any:
    """Take a step of the workflow from a callback: what goes wrong is said on the page, and `done` where it went well.

    Returns what the step returns, None where it failed.
    """
    try:
        result = step(*args, **kwargs)
    except Her2CoreError as error:
        flash("error", str(error))
        return None
    if done:
        flash("success", done)
    return result


def _forget() -> None:
    for key in list(st.session_state.keys()):
        del st.session_state[key]


def _browser() -> str | None:
    """What only the browser that signed in knows: the token in its cookie, which Streamlit masks anew each time."""
    token, _ = decode_xsrf_token_string(st.context.cookies.get("_streamlit_xsrf", ""))
    return None if token is None else token.hex()


def _touch() -> None:
    """The user did something just now."""
    st.session_state[_SEEN] = time.monotonic()


def _keep_place(rooms: Services, user: User) -> None:
    """Remember in the case log where the user is, when that changed."""
    page, case_id = st.session_state.get(_PAGE), opened_case()
    region_id = st.session_state.get(REVIEW_REGION)
    if not isinstance(page, str) or case_id is None or user.role is not Role.PATHOLOGIST:
        return
    place = (case_id, page, region_id if isinstance(region_id, int) else None)
    if st.session_state.get(_KEPT) == place:
        return
    try:
        rooms.log.keep_place(case_id, user, page, place[2])
    except Her2CoreError:
        return  # a lost place costs a click; the page itself says what is wrong with the case or the disk
    st.session_state[_KEPT] = place
