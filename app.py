"""The application: page set-up, sign-in, and the pages of whoever signed in. Each page guards itself besides."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path

import streamlit as st

from her2core.errors import Her2CoreError
from her2core.records import Role
from her2core.ui import frame
from her2core.ui.services import Services, image_limits, services
from her2core.ui.session import USER_KEY, at_page, current_user
from her2core.ui.upload_guard import guard_uploads
from her2core.ui.waiting import WORK_PAGES
from her2core.ui.words import role_words


def main() -> None:
    """Draw one run of the application."""
    frame.configure()
    try:
        rooms = services()
        guard_uploads(USER_KEY, image_limits(rooms.settings).max_bytes)
        user = current_user(rooms)
        frame.notices(rooms.settings)
        if user is None or frame.must_change_password(rooms, user):
            _signed_out(lambda: None if user else _sign_in(rooms))
            return
        own = frame.PAGES[user.role]
        page = st.navigation([st.Page(file, title=title, icon=icon) for file, title, icon in own], position="top")
        at_page(next((file for file, title, _ in own if title == page.title and file in WORK_PAGES), None))
        frame.account_menu(rooms, user)
        frame.watch_idle()
        if user.role is Role.LAB_MANAGER:
            from her2core.ui import laboratory  # charts that nobody else needs

            laboratory.read_ahead(rooms.log)
        page.run()
    except Her2CoreError as error:
        frame.out_of_order(str(error))


def _signed_out(show: Callable[[], None]) -> None:
    """The sign-in form wherever a page was loaded anew: no page is missing because nobody is signed in."""
    here = sorted({Path(file).stem for pages in frame.PAGES.values() for file, _, _ in pages})
    pages = [st.Page(show, title="Sign in", url_path=path) for path in here]
    st.navigation([st.Page(show, title="Sign in", url_path="sign-in", default=True), *pages], position="hidden").run()


def _sign_in(rooms: Services) -> None:
    accounts: list[tuple[str, str, str]] = []
    if rooms.settings.demo:
        from her2core.demo import ACCOUNTS

        accounts = [(role_words(account.role), account.username, account.password) for account in ACCOUNTS]
    frame.sign_in(rooms, accounts)


main()
