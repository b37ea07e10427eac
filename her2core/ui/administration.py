"""Administration: accounts with their roles and signing keys, the laboratory's identity, the state of the case log."""

from __future__ import annotations

import streamlit as st

from her2core import workflow
from her2core.errors import Her2CoreError
from her2core.records import Role, User
from her2core.settings import SETTINGS_FILE
from her2core.ui.services import Services
from her2core.ui.session import flash, saved
from her2core.ui.words import local_day, plain, role_words

__all__ = ["draw"]

_WIDTHS = [1.6, 1.2, 1.1, 0.9, 1.7, 1.1]


def draw(rooms: Services, user: User) -> None:
    """The page."""
    accounts, add, laboratory, check = st.tabs(["Accounts", "Add an account", "Laboratory", "Case log"])
    with accounts:
        _accounts(rooms, user)
    with add:
        _add(rooms, user)
    with laboratory:
        _laboratory(rooms)
    with check:
        _check(rooms, user)


def _accounts(rooms: Services, user: User) -> None:
    titles = ("Name", "User name", "Role", "Account", "Signing key", "")
    for column, title in zip(st.columns(_WIDTHS), titles, strict=True):
        column.caption(title)
    for person in rooms.accounts.users():
        columns = st.columns(_WIDTHS, vertical_alignment="center")
        columns[0].markdown(f"**{plain(person.full_name)}** {plain(person.credentials)}")
        columns[1].markdown(plain(person.username))
        columns[2].markdown(role_words(person.role))
        columns[3].badge("active" if person.active else "deactivated", color="green" if person.active else "gray")
        columns[4].markdown(_key(rooms, person))
        with columns[5].popover("Change", width="stretch", key=f"change_{person.id}"):
            _change(rooms, user, person)


def _key(rooms: Services, person: User) -> str:
    if person.role is not Role.PATHOLOGIST:
        return "–"
    try:
        record = rooms.keyring.key_of(person) if rooms.keyring.has_laboratory_ca() else None
    except Her2CoreError as error:
        return plain(str(error))
    return ":orange[none: cannot sign]" if record is None else f"valid until {local_day(record.expires_at.date())}"


def _change(rooms: Services, user: User, person: User) -> None:
    if person.active:
        st.button(
            "Deactivate", key=f"disable_{person.id}", width="stretch", icon=":material/block:",
            disabled=person.id == user.id, on_click=saved, args=(rooms.accounts.disable, person.id, user),
            kwargs={"done": "Account deactivated."},
            help="The person is signed out at once; what was done and signed stays.",
        )  # fmt: skip
    else:
        st.button(
            "Activate again", key=f"enable_{person.id}", width="stretch", on_click=saved,
            args=(rooms.accounts.enable, person.id, user), kwargs={"done": "Account is active again."},
        )  # fmt: skip
    st.button(
        "End sign-in pause", key=f"unlock_{person.id}", width="stretch", on_click=saved,
        args=(rooms.accounts.unlock, person.id, user), kwargs={"done": "The person can try again."},
        help="After too many wrong passwords an account pauses for a while.",
    )  # fmt: skip
    with st.form(f"reset_{person.id}", border=False, clear_on_submit=True):
        password = st.text_input("New password", type="password", key=f"reset_password_{person.id}")
        if st.form_submit_button("Reset password", width="stretch"):
            _reset(rooms, user, person, password or "")
    if person.role is Role.PATHOLOGIST and person.active:
        with st.form(f"key_{person.id}", border=False, clear_on_submit=True):
            own = st.text_input(
                f"Password, typed by {person.full_name}", type="password", key=f"key_password_{person.id}"
            )
            if st.form_submit_button("Issue signing key", width="stretch"):
                laboratory = rooms.settings.laboratory_name
                saved(
                    workflow.issue_key, rooms.accounts, rooms.keyring, laboratory, person, own or "", user,
                    done="Signing key issued.",
                )  # fmt: skip
                st.rerun()


def _reset(rooms: Services, user: User, person: User, password: str) -> None:
    try:
        problem = workflow.reset_password(
            rooms.accounts, rooms.keyring, rooms.settings.laboratory_name, person, password, user
        )
    except Her2CoreError as error:
        flash("error", str(error))
    else:
        done = "Password reset; it has to be changed at the next sign-in."
        flash("success" if problem is None else "error", done if problem is None else f"{done} No key: {problem}")
    st.rerun()


def _add(rooms: Services, user: User) -> None:
    left, right = st.columns([1, 1.2], gap="large")
    with left, st.form("add_account", border=False):
        username = st.text_input("User name", key="add_username", help="Never given to anybody else, not even later.")
        full_name = st.text_input("Full name, as it is printed on reports", key="add_full_name")
        credentials = st.text_input("Credentials", key="add_credentials", placeholder="MD, FRCPath")
        role = st.selectbox("Role", list(Role), format_func=role_words, key="add_role")
        password = st.text_input("First password", type="password", key="add_password", autocomplete="new-password")
        if st.form_submit_button("Add account", type="primary", key="add_save"):
            _added(rooms, user, username or "", full_name or "", credentials or "", Role(role), password or "")
    with right:
        st.markdown(
            "- **Pathologist**: opens, analyses, corrects and signs cases; makes blinded recounts.\n"
            "- **Lab manager**: reads all cases and the laboratory's figures; changes and signs nothing.\n"
            "- **Administrator**: accounts, keys and the laboratory; sees no patient's result.\n\n"
            "A pathologist's account comes with a signing key, locked with the same password. The first password has "
            "to be changed at the first sign-in."
        )


def _added(
    rooms: Services, user: User, username: str, full_name: str, credentials: str, role: Role, password: str
) -> None:
    try:
        person, no_key = workflow.create_account_with_key(
            rooms.accounts, rooms.keyring, rooms.settings.laboratory_name, username, full_name, credentials, role,
            password, user,
        )  # fmt: skip
    except Her2CoreError as error:
        st.error(str(error), icon=":material/error:")
        return
    if no_key is not None:
        flash("error", f"{person.full_name} has an account but cannot sign yet: {no_key}")
    else:
        flash("success", f"Account of {person.full_name} added.")
    st.rerun()


def _laboratory(rooms: Services) -> None:
    s = rooms.settings
    rows = {
        "Name": s.laboratory_name,
        "Address": s.laboratory_address,
        "Director": s.laboratory_director,
        "Accreditation": s.laboratory_accreditation,
        "Signing keys": "set up" if rooms.keyring.has_laboratory_ca() else "not set up yet",
        "Sign-out when idle": f"{s.idle_minutes} minutes",
        "Largest upload": f"{s.max_upload_mb} MB, {s.max_image_mpx} million pixels",
        "Models run on": s.device,
    }
    lines = "\n".join(f"| {key} | {plain(value) or ':orange[not set]'} |" for key, value in rows.items())
    st.markdown(f"| Printed on every report | |\n|---|---|\n{lines}")
    st.caption(f"Set in {SETTINGS_FILE} of the data folder, or by HER2CORE_ variables; see the documentation.")


def _check(rooms: Services, user: User) -> None:
    st.markdown("Checks the database, the audit chain, and every stored image and report against what was recorded.")
    if not st.button("Check the case log", type="primary", icon=":material/fact_check:", key="check_log"):
        return
    with st.spinner("Checking"):
        findings = rooms.log.check()
    rooms.log.note("case log checked", user, detail={"findings": len(findings)})
    if not findings:
        st.success("The case log is sound.", icon=":material/verified:")
        return
    lines = "\n".join(f"- {plain(finding.record)}: {plain(finding.problem)}" for finding in findings)
    st.error(f"**{len(findings)} findings. Keep the data folder as it is.**\n{lines}", icon=":material/gpp_bad:")
