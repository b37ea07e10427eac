"""Drive the application with Streamlit's AppTest: sign in, open pages, find what is said."""

from __future__ import annotations

import time
from datetime import UTC, datetime
from pathlib import Path

from streamlit.testing.v1 import AppTest

from her2core.caselog import CaseLog
from her2core.errors import NotFoundError
from her2core.records import User
from her2core.settings import load_settings
from tests.pages.lab import PASSWORDS

__all__ = ["ROOT", "SLOW", "as_user", "fresh", "on_case", "page_alone", "password_since", "said", "signed_in", "words"]

ROOT = Path(__file__).resolve().parent.parent.parent
SLOW = 120.0  # seconds; the machine may be busy with training


def fresh() -> AppTest:
    """The application as somebody sees it who just opened it."""
    return AppTest.from_file(str(ROOT / "app.py"), default_timeout=SLOW).run()


def signed_in(name: str, page: str | None = None) -> AppTest:
    """The application after signing in as one of PEOPLE, on `page` ("pages/review.py")."""
    at = fresh()
    at.text_input(key="sign_in_name").input(name)
    at.text_input(key="sign_in_password").input(PASSWORDS[name])
    at.button(key="sign_in_now").click()
    at.run()
    return at if page is None else at.switch_page(page).run()


def on_case(case_id: int, name: str = "berg", *, page: str) -> AppTest:
    """A page ("pages/review.py") of one of PEOPLE who signed in and opened this case."""
    at = signed_in(name)
    at.session_state["her2core_case_id"] = case_id
    at = at.switch_page(page).run()
    assert not at.exception
    return at


def page_alone(page: str, user: User | None = None, *, seen: float | None = None) -> AppTest:
    """A page file run by itself, as a direct visit before app.py ran does (stack.md), with a session of `user`."""
    at = AppTest.from_file(str(ROOT / "pages" / page), default_timeout=SLOW)
    return as_user(at, user, seen=seen).run()


def as_user(at: AppTest, user: User | None, *, seen: float | None = None) -> AppTest:
    """Give a session to a test that has not run yet."""
    if user is not None:
        at.session_state["her2core_user_id"] = user.id
        at.session_state["her2core_password_since"] = password_since(user)
        at.session_state["her2core_last_seen"] = time.monotonic() if seen is None else seen
    return at


def password_since(user: User) -> datetime | None:
    """The stamp of the user's password, by which a session knows it; now for a user who has no account."""
    with CaseLog(load_settings().data_dir) as log:
        try:
            return log.credentials_of(user.id)[1]
        except NotFoundError:
            return datetime.now(UTC)


def words(at: AppTest) -> str:
    """All that the page says in text, markdown, captions, messages, headings, labels and HTML."""
    # Dialogs stand beside the main block, in one that AppTest has no public name for.
    return "\n".join(text for block in at._tree.children.values() for text in _texts(block))


def said(at: AppTest, text: str) -> bool:
    """Whether the page says this; the backslashes before Markdown's own signs do not count."""
    return text in words(at).replace("\\", "")


def _texts(element: object) -> list[str]:
    texts = [
        str(getattr(element, name))
        for name in ("value", "label", "body")
        if isinstance(getattr(element, name, None), str)
    ]
    proto = getattr(element, "proto", None)
    body = getattr(proto, "body", None)
    if isinstance(body, str):
        texts.append(body)
    if getattr(element, "type", "") == "bidi_component" and proto is not None:
        texts.append(proto.json or proto.mixed.json)
    children = getattr(element, "children", {})
    for child in children.values() if isinstance(children, dict) else ():
        texts += _texts(child)
    return texts
