"""Named periods and saved searches of the case log: what is kept is the question, so that "last month" stays true."""

from __future__ import annotations

from collections.abc import Mapping
from datetime import date, timedelta
from enum import StrEnum
from typing import Any, Final

import streamlit as st

from her2core.caselog.lookup import FLAGS, Sort
from her2core.errors import Her2CoreError
from her2core.records import CaseState, User
from her2core.scoring import Outcome
from her2core.ui.services import Services
from her2core.ui.words import plain

__all__ = ["KEPT", "Period", "clear", "draw", "kept_search", "period_days", "search_state"]


class Period(StrEnum):
    """Spans of days by name; the values are shown."""

    THIS_MONTH = "this month"
    LAST_MONTH = "last month"
    LAST_90_DAYS = "last 90 days"
    THIS_YEAR = "this year"


def period_days(period: Period, today: date) -> tuple[date, date]:
    """First and last day of a period, `today` included where it lies in it."""
    first = today.replace(day=1)
    if period is Period.LAST_MONTH:
        last = first - timedelta(days=1)
        return last.replace(day=1), last
    if period is Period.LAST_90_DAYS:
        return today - timedelta(days=89), today
    return (first if period is Period.THIS_MONTH else today.replace(month=1, day=1)), today


# What of the page's state makes a search: its keys after "case_log_", with how a value is written and read back.
_WORDS: Final = ("text", "day")
_CHOICES: Final[Mapping[str, type[StrEnum]]] = {"outcome": Outcome, "period": Period, "sort": Sort}
_DEFAULTS: Final[Mapping[str, str]] = {"day": "opening", "sort": Sort.CHANGED}
_ORDER: Final = ("case_log_sort", "case_log_up")
KEPT: Final = (*_WORDS, *_CHOICES, "states", "group", "days", "reader", "flag", "several", "up")


def kept_search(state: Mapping[str, Any]) -> dict[str, Any]:
    """The search that a page's state (keys "case_log_…") asks for, as plain values, without what is not asked."""
    found = {name: state.get(f"case_log_{name}") for name in KEPT}
    kept: dict[str, Any] = {}
    for name, value in found.items():
        if value in (None, "", (), [], False) or value == _DEFAULTS.get(name):
            continue
        if name == "days":
            kept[name] = [day.isoformat() for day in value]
        elif name == "states":
            kept[name] = [str(item.value) for item in value]
        else:
            kept[name] = value.value if isinstance(value, StrEnum) else value
    return kept


def search_state(kept: Mapping[str, Any], people: Mapping[int, str]) -> dict[str, Any]:
    """The page's state for a kept search, every key of it, so that what it does not ask for is taken back.

    What is no longer there, such as a reader or a flag of an older release, is left out.
    """
    state: dict[str, Any] = {f"case_log_{name}": None for name in KEPT}
    state |= {
        "case_log_text": "",
        "case_log_states": [],
        "case_log_days": (),
        "case_log_several": False,
        "case_log_up": False,
    }
    state |= {f"case_log_{name}": value for name, value in _DEFAULTS.items()}
    for name, value in kept.items():
        read = _read(name, value, people)
        if read is not None:
            state[f"case_log_{name}"] = read
    return state


def _read(name: str, value: Any, people: Mapping[int, str]) -> Any:
    try:
        if name in _CHOICES:
            return _CHOICES[name](value)
        if name == "states":
            return [CaseState(item) for item in value]
        if name == "days":
            return tuple(date.fromisoformat(day) for day in value)
    except (ValueError, TypeError):
        return None
    known = {
        "group": value in range(1, 6),
        "reader": value in people,
        "flag": value in FLAGS,
        "several": value is True,
        "up": value is True,
    }
    return value if known.get(name, isinstance(value, str) and name in _WORDS) else None


def draw(rooms: Services, user: User, people: Mapping[int, str]) -> None:
    """A button with the user's searches: take one up, keep the present one, delete one."""
    saved = rooms.log.saved_filters(user)
    now = kept_search({str(key): value for key, value in st.session_state.items()})
    with st.popover("Searches" + (f" ({len(saved)})" if saved else ""), icon=":material/bookmark:", width="stretch"):
        for name, kept in saved.items():
            take, drop = st.columns([4, 1], vertical_alignment="center")
            take.button(
                plain(name), key=f"search_{name}", on_click=_take_up, args=(search_state(kept, people),),
                width="stretch", type="primary" if kept == now else "secondary",
            )  # fmt: skip
            drop.button(
                "Delete", key=f"search_drop_{name}", icon=":material/delete:", help="Delete this search",
                on_click=rooms.log.delete_filter, args=(name, user),
            )  # fmt: skip
        if not saved:
            st.caption("No search is kept yet. Set filters, then give them a name.")
        title = st.text_input("Keep the present search as", key="search_name", max_chars=60, placeholder="name")
        st.button(
            "Keep", key="search_keep", disabled=not (title.strip() and now), icon=":material/bookmark_add:",
            on_click=_keep, args=(rooms, user, title, now),
        )  # fmt: skip
        failed = st.session_state.pop("search_failed", None)
        if failed:
            st.error(failed, icon=":material/error:")


def clear() -> None:
    """Take back all filters; the order stays."""
    _take_up({key: value for key, value in search_state({}, {}).items() if key not in _ORDER})


def _keep(rooms: Services, user: User, title: str, now: Mapping[str, Any]) -> None:
    try:
        rooms.log.save_filter(title, now, user)
    except Her2CoreError as error:
        st.session_state["search_failed"] = str(error)
        return
    st.session_state["search_name"] = ""


def _take_up(state: Mapping[str, Any]) -> None:
    for key, value in state.items():
        st.session_state[key] = value
    st.session_state["case_log_offset"] = 0
