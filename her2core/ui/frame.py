"""What stands round every page: page set-up, the note that this is no cleared device, the open case, the account."""

from __future__ import annotations

from collections.abc import Sequence
from functools import cache

import streamlit as st
from PIL import Image, ImageDraw

from her2core import workflow
from her2core.errors import Her2CoreError
from her2core.records import Case, Role, User
from her2core.reporting.content import NOT_CLEARED
from her2core.scoring import STATE_WORDS
from her2core.settings import Settings
from her2core.ui import external
from her2core.ui.changed_details import unsaved
from her2core.ui.services import Services
from her2core.ui.session import (
    end_session,
    flash,
    guarded,
    opened_case,
    remember_user,
    show_flash,
)
from her2core.ui.words import escaped, local_day, role_words

__all__ = [
    "PAGES",
    "account_menu",
    "case_strip",
    "configure",
    "must_change_password",
    "no_case",
    "notices",
    "out_of_order",
    "sign_in",
    "watch_idle",
]

# File, title and icon of each page, by role, in the order of the work.
PAGES: dict[Role, tuple[tuple[str, str, str], ...]] = {
    Role.PATHOLOGIST: (
        ("pages/worklist.py", "Worklist", ":material/checklist:"),
        ("pages/intake.py", "Intake", ":material/add_photo_alternate:"),
        ("pages/review.py", "Review", ":material/center_focus_strong:"),
        ("pages/sign_out.py", "Work-up and sign-out", ":material/signature:"),
        ("pages/second_read.py", "Second read", ":material/visibility_off:"),
        ("pages/case_log.py", "Case log", ":material/folder_managed:"),
        ("pages/models.py", "Models", ":material/network_intelligence:"),
    ),
    Role.LAB_MANAGER: (
        ("pages/worklist.py", "Worklist", ":material/checklist:"),
        ("pages/case_log.py", "Case log", ":material/folder_managed:"),
        ("pages/laboratory.py", "Laboratory", ":material/monitoring:"),
        ("pages/models.py", "Models", ":material/network_intelligence:"),
    ),
    Role.ADMINISTRATOR: (
        ("pages/administration.py", "Administration", ":material/manage_accounts:"),
        ("pages/worklist.py", "Worklist", ":material/checklist:"),
    ),
}

# Little margin, so that image and result are seen at once on a 1366 x 768 screen; a footer that is always in view.
_STYLE = """<style>
[data-testid="stMainBlockContainer"] {padding: 3.6rem 1.1rem 2.4rem; max-width: 2200px;}
[data-testid="stVerticalBlock"] {gap: 0.55rem;}
[data-testid="stHeader"] {border-bottom: 1px solid rgba(140,155,170,.25);}
[data-testid^="stBaseButton-primary"]:not(:disabled) {color: light-dark(#FFFFFF, #0E1217);}
.h2c-foot {position: fixed; left: 0; right: 0; bottom: 0; z-index: 99; padding: 2px 14px; font-size: 11.5px;
  display: flex; justify-content: space-between; background: rgba(20,26,33,.94); color: #B9C4CE;
  border-top: 1px solid rgba(140,155,170,.25);}
[data-testid="stToastContainer"] {top: auto; bottom: 30px;}
.h2c-foot .demo {padding: 0 10px; font-weight: 700; border-radius: 3px; background: #E69F00; color: #14181d;}
.h2c-strip {display: flex; flex-wrap: wrap; gap: 4px 18px; align-items: baseline; font-size: 14px; line-height: 1.5;}
.h2c-strip b {font-size: 16px;} .h2c-strip span.k {opacity: .65; margin-right: 4px;}
.h2c-tag {border: 1px solid currentColor; border-radius: 4px; padding: 0 7px; font-size: 12.5px; font-weight: 600;}
.h2c-tag.unsaved {color: light-dark(#9A5B00, #F0B35A);}
</style>"""

# The dark theme where this browser has not chosen one; Streamlit itself would follow the system. Once a browser, before
# anyone is signed in. Where a later Streamlit keeps its choice elsewhere, the system's preference holds.
_DARK_FIRST = """<script>
(() => {
  const key = `stActiveTheme-${window.location.pathname}-v2`;
  const done = `her2core-${key}`;
  if (localStorage.getItem(done) === null) {
    localStorage.setItem(done, "set");
    localStorage.setItem(key, JSON.stringify("Dark"));
    window.location.reload();
  }
})();
</script>"""


def configure() -> None:
    """Page set-up; the first Streamlit call of app.py."""
    st.set_page_config(
        page_title="her2core",
        page_icon=_icon(),
        layout="wide",
        initial_sidebar_state="collapsed",
        menu_items={"About": f"her2core: HER2 FISH scoring. {NOT_CLEARED}."},
    )
    st.html(_STYLE)


@cache
def _icon() -> Image.Image:
    """A nucleus with its signals. Drawn here, since Streamlit fetches the icons that it names from the internet."""
    icon = Image.new("RGBA", (64, 64), (0, 0, 0, 0))
    draw = ImageDraw.Draw(icon)
    draw.ellipse((4, 6, 60, 58), fill=(61, 79, 201, 255))
    for x, y, colour in ((22, 22, "#FF6B5E"), (40, 26, "#FF6B5E"), (30, 44, "#FF6B5E"), (44, 42, "#52E0A4")):
        draw.ellipse((x - 6, y - 6, x + 6, y + 6), fill=colour)
    return icon


def notices(settings: Settings) -> None:
    """On every page: not a cleared device, and whether this is the demonstration."""
    name = escaped(settings.laboratory_name or "her2core")
    demo = '<span class="demo">Demonstration laboratory: no patients, no real results</span>' if settings.demo else ""
    st.html(f'<div class="h2c-foot" role="note"><span>{escaped(NOT_CLEARED)}</span>{demo}<span>{name}</span></div>')


def out_of_order(message: str) -> None:
    """The laboratory cannot be opened: say why."""
    st.error(message, icon=":material/error:")


def case_strip(case: Case, *, unsaved: bool = False) -> None:
    """Whose case is open: two patient identifiers, specimen and state, in one line; with `unsaved`, that details were
    typed and not saved."""
    d = case.details
    parts = [
        f"<b>{escaped(d.accession)}</b>",
        f"<b>{escaped(d.patient_name)}</b>",
        f'<span><span class="k">ID</span>{escaped(d.patient_id)}</span>',
        f'<span><span class="k">born</span>{local_day(d.date_of_birth)}</span>',
    ]
    specimen = ", ".join(part for part in (d.specimen, d.laterality, d.site) if part)
    if specimen:
        parts.append(f'<span><span class="k">specimen</span>{escaped(specimen)}</span>')
    if d.block:
        parts.append(f'<span><span class="k">block</span>{escaped(d.block)}</span>')
    parts.append(f'<span class="h2c-tag">{STATE_WORDS[case.state]}</span>')
    if unsaved:
        parts.append('<span class="h2c-tag unsaved">Changed details not saved yet</span>')
    st.html(f'<div class="h2c-strip">{"".join(parts)}</div>')


def no_case() -> None:
    """On a page that is about a case, while none is open: say so, and lead to one."""
    st.info("No case is open. Choose one from the worklist, or open a new one.", icon=":material/folder_open:")
    with st.container(horizontal=True):
        if st.button("Worklist", type="primary", icon=":material/checklist:", key="no_case_worklist"):
            st.switch_page("pages/worklist.py")
        if st.button("New case", icon=":material/add:", key="no_case_new"):
            st.switch_page("pages/intake.py")


def account_menu(rooms: Services, user: User) -> None:
    """The line above a page: the open case on the left, who is signed in on the right."""
    left, right = st.columns([6, 1], vertical_alignment="center")
    case_id = opened_case()
    with left:
        if case_id is not None and user.role is Role.PATHOLOGIST:
            case = rooms.log.case(case_id)
            case_strip(case, unsaved=unsaved(case))
    with right, st.popover(user.full_name, icon=":material/person:", width="stretch"):
        st.caption(f"{role_words(user.role)} · signed in as {user.username}")
        if st.button("Sign out", icon=":material/logout:", key="sign_out", width="stretch", type="primary"):
            end_session(rooms, user)
            external.forget()
            st.rerun()
        with st.expander("Change password"):
            _new_password(rooms, user, "own")
    show_flash()


@st.fragment(run_every=20)
def watch_idle() -> None:
    """Ends a session that was left alone, also when nobody touches the page."""
    guarded(*Role, by_timer=True)


def sign_in(rooms: Services, demonstration_accounts: Sequence[tuple[str, str, str]] = ()) -> None:
    """The sign-in form; in the demonstration with the accounts there are: role, user name, password."""
    st.html(_DARK_FIRST, unsafe_allow_javascript=True)
    _, middle, _ = st.columns([1, 1.1, 1])
    with middle:
        st.title("her2core")
        st.caption("HER2 FISH: from region image to signed report")
        show_flash()
        with st.form("sign_in", border=True):
            username = st.text_input("User name", key="sign_in_name", autocomplete="username")
            password = st.text_input(
                "Password", type="password", key="sign_in_password", autocomplete="current-password"
            )
            pressed = st.form_submit_button("Sign in", type="primary", width="stretch", key="sign_in_now")
        if pressed:
            _try_to_sign_in(rooms, username, password)
        external.offer(rooms)
        if demonstration_accounts:
            _accounts_table(demonstration_accounts)


def must_change_password(rooms: Services, user: User) -> bool:
    """True, with the form shown, while the user still has a password that an administrator chose."""
    if not rooms.accounts.must_change_password(user):
        return False
    _, middle, _ = st.columns([1, 1.1, 1])
    with middle:
        st.header("Choose your own password")
        st.write("Your password was set by an administrator. Choose one that only you know before you go on.")
        _new_password(rooms, user, "first")
    return True


def _try_to_sign_in(rooms: Services, username: str, password: str) -> None:
    try:
        since = rooms.accounts.password_since(username)
        user = rooms.accounts.sign_in(username, password, st.context.ip_address or "")
    except Her2CoreError as error:
        st.error(str(error), icon=":material/error:")
        return
    remember_user(user, since)
    st.rerun()


def _new_password(rooms: Services, user: User, key: str) -> None:
    with st.form(f"password_{key}", border=False, clear_on_submit=True):
        old = st.text_input("Present password", type="password", autocomplete="current-password")
        new = st.text_input("New password", type="password", autocomplete="new-password")
        again = st.text_input("New password again", type="password", autocomplete="new-password")
        pressed = st.form_submit_button("Change password")
    if not pressed:
        return
    if new != again:
        st.error("The new password was not typed twice alike.")
        return
    try:
        workflow.change_password(rooms.accounts, rooms.keyring, user, old, new)
    except Her2CoreError as error:
        st.error(str(error), icon=":material/error:")
        return
    remember_user(rooms.log.user(user.id), rooms.accounts.password_since(user.username))
    flash("success", "Password changed.")
    st.rerun()


def _accounts_table(rows: Sequence[tuple[str, str, str]]) -> None:
    """Role, user name and password of the accounts of the demonstration."""
    cells = "".join(
        f"<tr><td>{escaped(role)}</td><td><code>{escaped(name)}</code></td><td><code>{escaped(password)}</code></td></tr>"
        for role, name, password in rows
    )
    head = "<tr><th>Role</th><th>User name</th><th>Password</th></tr>"
    st.caption("Accounts of the demonstration laboratory")
    st.html(f'<table style="width:100%;font-size:13px;text-align:left;border-spacing:0 3px">{head}{cells}</table>')
