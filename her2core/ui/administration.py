"""Administration: accounts, signing keys, the laboratory's identity, check and backup, and the trail of all that.

Nothing here shows a case: an administrator sees no patient's name and no result.
"""

from __future__ import annotations

import os
from datetime import UTC, datetime
from pathlib import Path

import streamlit as st

from her2core import workflow
from her2core.caselog import Finding
from her2core.errors import Her2CoreError, SigningError
from her2core.records import Role, User
from her2core.reporting.keys import CA_YEARS, KEY_YEARS, Keyring
from her2core.reporting.registry import KeyRecord
from her2core.settings import SETTINGS_FILE, variable_of
from her2core.ui.history import HISTORY_STYLE, history_html, history_lines
from her2core.ui.services import Services
from her2core.ui.session import flash, saved
from her2core.ui.words import escaped, local_day, local_time, plain, role_words
from her2core.workflow import administration

__all__ = ["draw"]

_ACCOUNTS, _KEYS, _LABORATORY, _CHECK, _TRAIL = (
    "Accounts",
    "Signing keys",
    "Laboratory",
    "Check and backup",
    "Audit trail",
)
_WIDTHS = [2.1, 1.1, 1.25, 1.15, 1.6, 1.35, 1.0]
_CHOSEN, _FINDINGS = "administration_account", "administration_findings"
_SOON_DAYS = 60
_PAGE = 200
_TABLE_STYLE = """<style>
.h2c-tab {width: 100%; border-collapse: collapse; font-size: 13.5px;}
.h2c-tab th {text-align: left; font-weight: 500; opacity: .65; font-size: 12px; padding: 2px 12px 4px 0;}
.h2c-tab td {padding: 5px 12px 5px 0; vertical-align: top; border-top: 1px solid rgba(140,155,170,.18);}
</style>"""


def draw(rooms: Services, user: User) -> None:
    """The page."""
    view = st.segmented_control(
        "Show", [_ACCOUNTS, _KEYS, _LABORATORY, _CHECK, _TRAIL], default=_ACCOUNTS, required=True,
        key="administration_view", label_visibility="collapsed",
    )  # fmt: skip
    if view == _KEYS:
        _keys(rooms)
    elif view == _LABORATORY:
        _laboratory(rooms)
    elif view == _CHECK:
        _check_and_backup(rooms, user)
    elif view == _TRAIL:
        _trail(rooms)
    else:
        _accounts(rooms, user)


# --- accounts ---------------------------------------------------------------------------------------------------------


def _accounts(rooms: Services, user: User) -> None:
    people = rooms.accounts.users()
    last = _last_sign_ins(rooms)
    left, right = st.columns([2.5, 1], gap="medium")
    chosen = next((person for person in people if person.id == st.session_state.get(_CHOSEN)), None)
    with left:
        titles = ("Name", "User name", "Role", "Account", "Signing key", "Last sign-in", "")
        for column, title in zip(st.columns(_WIDTHS), titles, strict=True):
            column.caption(title)
        for person in people:
            _row(rooms, person, last.get(person.id), is_chosen=person == chosen)
    with right, st.container(border=True):
        if chosen is None:
            _add(rooms, user)
        else:
            _manage(rooms, user, chosen)


def _row(rooms: Services, person: User, last: datetime | None, *, is_chosen: bool) -> None:
    columns = st.columns(_WIDTHS, vertical_alignment="center")
    columns[0].markdown(f"**{plain(person.full_name)}** {plain(person.credentials)}")
    columns[1].markdown(plain(person.username))
    columns[2].markdown(role_words(person.role))
    columns[3].badge(
        "active" if person.active else "deactivated",
        icon=":material/check:" if person.active else ":material/block:",
        color="green" if person.active else "gray",
    )
    columns[4].markdown(_key_words(rooms, person))
    columns[5].markdown("never" if last is None else local_day(last.astimezone().date()))
    columns[6].button(
        "Manage", key=f"manage_{person.id}", width="stretch", type="primary" if is_chosen else "secondary",
        on_click=_choose, args=(None if is_chosen else person.id,),
    )  # fmt: skip


def _choose(user_id: int | None) -> None:
    st.session_state[_CHOSEN] = user_id


def _last_sign_ins(rooms: Services) -> dict[int, datetime]:
    found: dict[int, datetime] = {}
    for entry in rooms.log.audit(limit=2000, actions=("signed in",), accounts_only=True):
        if entry.by_user_id is not None:
            found.setdefault(entry.by_user_id, entry.at)
    return found


def _key_words(rooms: Services, person: User) -> str:
    if person.role is not Role.PATHOLOGIST:
        return "–"
    try:
        record = rooms.keyring.key_of(person) if rooms.keyring.has_laboratory_ca() else None
    except Her2CoreError:
        return ":orange[list damaged]"
    if record is None:
        return ":orange[none: cannot sign]"
    return f"until {local_day(record.expires_at.astimezone().date())}"


def _passphrase(rooms: Services, key: str) -> Keyring:
    """The keyring; where the environment does not open the laboratory's root key, with a field for its passphrase."""
    if rooms.settings.ca_passphrase:
        return rooms.keyring
    typed = st.text_input(
        "Passphrase of the laboratory's root key", type="password", key=f"{key}_passphrase", autocomplete="off",
        help=f"Needed to make or revoke signing keys, since {variable_of('ca_passphrase')} is not set. Not stored. "
        "Where there is no root key yet, this becomes its passphrase: keep it in a safe place.",
    )  # fmt: skip
    return Keyring(rooms.settings.data_dir, typed or None)


def _add(rooms: Services, user: User) -> None:
    st.markdown("**Add an account**")
    with st.form("add_account", border=False):
        username = st.text_input("User name", key="add_username", help="Never given to anybody else, not even later.")
        full_name = st.text_input("Full name, as it is printed on reports", key="add_full_name")
        one, two = st.columns(2)
        credentials = one.text_input("Credentials", key="add_credentials", placeholder="MD, FRCPath")
        role = two.selectbox(
            "Role", list(Role), format_func=role_words, key="add_role",
            help="Pathologist: works on cases and signs. Lab manager: reads cases and figures, changes nothing. "
            "Administrator: accounts, keys and the laboratory; sees no cases.",
        )  # fmt: skip
        password = st.text_input(
            "First password", type="password", key="add_password", autocomplete="new-password",
            help="At least 10 characters. It has to be changed at the first sign-in.",
        )  # fmt: skip
        keyring = _passphrase(rooms, "add")
        pressed = st.form_submit_button("Add account", type="primary", key="add_save", width="stretch")
    if pressed:
        _added(
            rooms, keyring, user, username or "", full_name or "", credentials or "", Role(str(role)), password or ""
        )
    st.caption(
        "A pathologist also gets a signing key, locked with the same password. An account is never deleted: what "
        "someone did and signed stays theirs."
    )


def _added(
    rooms: Services, keyring: Keyring, user: User, username: str, full_name: str, credentials: str, role: Role,
    password: str,
) -> None:  # fmt: skip
    try:
        person, no_key = workflow.create_account_with_key(
            rooms.accounts, keyring, rooms.settings.laboratory_name, username, full_name, credentials, role, password,
            user,
        )  # fmt: skip
    except Her2CoreError as error:
        st.error(str(error), icon=":material/error:")
        return
    if no_key is not None:
        flash("error", f"{person.full_name} has an account but cannot sign yet. {no_key}")
        _choose(person.id)
    else:
        flash("success", f"Account of {person.full_name} added.")
    for field in ("add_username", "add_full_name", "add_credentials", "add_role", "add_password"):
        del st.session_state[field]
    st.rerun()


def _manage(rooms: Services, user: User, person: User) -> None:
    head, close = st.columns([3, 1], vertical_alignment="center")
    head.markdown(f"**{plain(person.full_name)}**")
    close.button("Close", key="manage_close", on_click=_choose, args=(None,), width="stretch")
    st.caption(f"{role_words(person.role)} · {plain(person.username)}")
    with st.expander("Name and credentials"):
        _rename(rooms, user, person)
    _activity(rooms, user, person)
    st.button(
        "End sign-in pause", key="manage_unlock", width="stretch", icon=":material/lock_open:", on_click=saved,
        args=(rooms.accounts.unlock, person.id, user), kwargs={"done": "The pause of the account is ended."},
        help="Wrong passwords pause an account for up to five minutes. This ends the pause everywhere, at the "
        "person's own computer too.",
    )  # fmt: skip
    with st.expander("Reset the password"):
        _reset(rooms, user, person)
    if person.role is Role.PATHOLOGIST:
        with st.expander("New signing key"):
            _new_key(rooms, user, person)
        with st.expander("Take over a key of another authority"):
            _import_key(rooms, user, person)
        with st.expander("Revoke the signing key"):
            _revoke(rooms, user, person)


def _rename(rooms: Services, user: User, person: User) -> None:
    text = (
        "Printed on reports that are signed from now on. Reports signed before keep the name that they were signed "
        "with, and the audit trail has both. For the same person only: an account never passes to somebody else."
    )
    if person.role is Role.PATHOLOGIST:
        text += " The signing key keeps the earlier name in its certificate until a new key is made below."
    st.caption(text)
    # Named after what is stored, so that a change made elsewhere is shown and not overwritten.
    key = f"rename_{person.id}_{person.full_name}_{person.credentials}"
    with st.form("rename", border=False):
        full_name = st.text_input("Full name", person.full_name, key=f"{key}_name", max_chars=200)
        credentials = st.text_input("Credentials", person.credentials, key=f"{key}_credentials", max_chars=200)
        pressed = st.form_submit_button("Save", key="rename_save", width="stretch")
    if pressed:
        done = f"Name saved: {plain(' '.join(filter(None, (full_name, credentials))))}."
        saved(workflow.rename, rooms.accounts, person, full_name or "", credentials or "", user, done=done)
        st.rerun()


def _activity(rooms: Services, user: User, person: User) -> None:
    if person.active:
        st.button(
            "Deactivate", key="manage_disable", width="stretch", icon=":material/block:",
            disabled=person.id == user.id, on_click=saved, args=(rooms.accounts.disable, person.id, user),
            kwargs={"done": "Account deactivated."},
            help="Signs the person out at once and lets nobody sign in or sign reports with this account. What was "
            "done and signed stays."
            + (" Not your own account: another administrator has to do that." if person.id == user.id else ""),
        )  # fmt: skip
    else:
        st.button(
            "Reactivate", key="manage_enable", width="stretch", icon=":material/undo:", on_click=saved,
            args=(rooms.accounts.enable, person.id, user), kwargs={"done": "Account is active again."},
            help="For the same person only.",
        )  # fmt: skip


def _reset(rooms: Services, user: User, person: User) -> None:
    signs = person.role is Role.PATHOLOGIST
    text = "The person has to choose another one at the next sign-in, and is signed out everywhere now."
    if signs:
        text += (
            " The signing key opens with the old password only: it is revoked, and a new one is made. Reports signed "
            "before stay valid."
        )
    st.caption(text)
    with st.form("reset_password", border=False):
        password = st.text_input(
            "New password", type="password", key="manage_password", autocomplete="new-password",
            help="At least 10 characters.",
        )  # fmt: skip
        keyring = _passphrase(rooms, "reset") if signs else rooms.keyring
        pressed = st.form_submit_button("Reset password", key="manage_reset", width="stretch")
    if not pressed:
        return
    try:
        workflow.reset_password(rooms.accounts, keyring, rooms.settings.laboratory_name, person, password or "", user)
    except SigningError as error:
        st.error(f"No new signing key can be made, so the password stays as it was. {error}", icon=":material/error:")
        return
    except Her2CoreError as error:
        st.error(str(error), icon=":material/error:")
        return
    flash("success", f"Password of {person.full_name} reset.")
    del st.session_state["manage_password"]
    st.rerun()


def _new_key(rooms: Services, user: User, person: User) -> None:
    if not person.active:
        st.caption("The account is deactivated. Reactivate it first.")
        return
    st.caption("Replaces the present key, which is revoked. Reports signed before stay valid.")
    with st.form("new_key", border=False):
        own = st.text_input(
            f"Password of {person.full_name}, who types it", type="password", key="key_password", autocomplete="off"
        )
        keyring = _passphrase(rooms, "key")
        pressed = st.form_submit_button("Make a new key", key="key_issue", width="stretch")
    if not pressed:
        return
    try:
        workflow.issue_key(rooms.accounts, keyring, rooms.settings.laboratory_name, person, own or "", user)
    except Her2CoreError as error:
        st.error(str(error), icon=":material/error:")
        return
    flash("success", f"Signing key of {person.full_name} made.")
    del st.session_state["key_password"]
    st.rerun()


def _import_key(rooms: Services, user: User, person: User) -> None:
    if not person.active:
        st.caption("The account is deactivated. Reactivate it first.")
        return
    st.caption(
        "A PKCS#12 file (.p12, .pfx) with an EC or RSA key that a public authority or a card issued. It replaces the "
        "present key. The laboratory then vouches for this one certificate, not for its issuer."
    )
    with st.form("import_key", border=False):
        file = st.file_uploader("Key file", type=["p12", "pfx"], key="import_file", max_upload_size=1)
        of_file = st.text_input(
            "Passphrase of the file", type="password", key="import_file_passphrase", autocomplete="off"
        )
        own = st.text_input(
            f"Password of {person.full_name}, who types it", type="password", key="import_password", autocomplete="off"
        )
        keyring = _passphrase(rooms, "import")
        pressed = st.form_submit_button("Take over", key="import_now", width="stretch")
    if not pressed:
        return
    if file is None:
        st.error("Choose the key file first.", icon=":material/error:")
        return
    try:
        workflow.import_key(
            rooms.accounts, keyring, rooms.settings.laboratory_name, person, file.getvalue(), of_file or "", own or "",
            user,
        )  # fmt: skip
    except Her2CoreError as error:
        st.error(str(error), icon=":material/error:")
        return
    flash("success", f"{person.full_name} signs with the key from the file now.")
    del st.session_state["import_password"], st.session_state["import_file_passphrase"]
    st.rerun()


def _revoke(rooms: Services, user: User, person: User) -> None:
    st.caption(
        "For a key that somebody else may know, or a person who left. Nothing can be signed with it from now on; "
        "reports signed before stay valid. It cannot be taken back."
    )
    with st.form("revoke_key", border=False):
        reason = st.text_input("Reason", key="revoke_reason")
        keyring = _passphrase(rooms, "revoke")
        pressed = st.form_submit_button("Revoke the key", key="revoke_now", width="stretch")
    if not pressed:
        return
    try:
        count = administration.revoke_keys(rooms.log, keyring, person, reason or "", user)
    except Her2CoreError as error:
        st.error(str(error), icon=":material/error:")
        return
    flash("success", "Signing key revoked." if count else "There was no key in force.")
    st.rerun()


# --- keys and laboratory ----------------------------------------------------------------------------------------------


def _keys(rooms: Services) -> None:
    if not rooms.keyring.has_laboratory_ca():
        st.info(
            "There are no signing keys yet. They are made with the first pathologist's account; the laboratory needs a "
            f"name and a passphrase for its root key ({variable_of('ca_passphrase')}) first.",
            icon=":material/key_off:",
        )
        return
    try:
        records = rooms.keyring.records()
        root = rooms.keyring.ca_pem()
    except Her2CoreError as error:
        st.error(str(error), icon=":material/error:")
        return
    left, right = st.columns([2.5, 1], gap="medium")
    with left:
        people = {person.id: person for person in rooms.accounts.users()}
        rows = "".join(_key_row(record, people.get(record.user_id)) for record in reversed(records))
        head = "".join(f"<th>{title}</th>" for title in ("Person", "State", "Issued", "Valid until", "Fingerprint"))
        st.html(f'{_TABLE_STYLE}<table class="h2c-tab"><tr>{head}</tr>{rows}</table>')
        if not records:
            st.info("No key was given to anybody yet.")
        st.caption(
            f"A key is valid for {KEY_YEARS} years. Reports signed with it stay valid afterwards, and also after it is "
            "revoked, if they were signed before. New keys: Accounts, Manage."
        )
    with right, st.container(border=True):
        st.markdown("**Root certificate**")
        st.caption(
            f"Public, valid for {CA_YEARS} years. Hand it to whoever verifies your reports with another program, which "
            "otherwise shows the signer as unknown."
        )
        st.download_button(
            "Download certificate", root, "laboratory-ca.pem", "application/x-pem-file", key="get_root",
            icon=":material/download:", width="stretch", on_click="ignore",
        )  # fmt: skip
        present = bool(rooms.settings.ca_passphrase)
        st.caption(
            f"The passphrase of the root key is {'set' if present else 'not set'} in the environment"
            + ("." if present else ": it is asked for when keys are made or revoked.")
        )


def _key_row(record: KeyRecord, person: User | None) -> str:
    now = datetime.now(UTC)
    days = (record.expires_at - now).days
    if record.revoked_at is not None:
        state = f"✕ revoked {local_day(record.revoked_at.astimezone().date())}: {record.revoked_reason}"
    elif record.expires_at <= now:
        state = "✕ expired"
    elif person is not None and not person.active:
        state = "○ account deactivated"
    elif days < _SOON_DAYS:
        state = f"! expires in {days} days"
    else:
        state = "✓ in force"
    issuer = " (imported)" if record.external else ""
    cells = (
        record.full_name + issuer,
        state,
        local_day(record.issued_at.astimezone().date()),
        local_day(record.expires_at.astimezone().date()),
        f"{record.sha256[:16]}…",
    )
    return "<tr>" + "".join(f"<td>{escaped(cell)}</td>" for cell in cells) + "</tr>"


def _laboratory(rooms: Services) -> None:
    s = rooms.settings
    printed = {
        "laboratory_name": ("Name", s.laboratory_name),
        "laboratory_address": ("Address", s.laboratory_address),
        "laboratory_director": ("Director", s.laboratory_director),
        "laboratory_accreditation": ("Accreditation", s.laboratory_accreditation),
    }
    other = {
        "assay_type": ("Assay type, on reports", s.assay_type),
        "section_thickness_um": (
            "Section thickness, on reports",
            "" if s.section_thickness_um is None else f"{s.section_thickness_um:g} µm",
        ),
        "second_signature": ("Reports are signed by", "two people" if s.second_signature else "one person"),
        "timestamp_url": ("Time-stamp authority", s.timestamp_url),
        "retention_years": ("Cases are kept for", f"{s.retention_years} years"),
        "idle_minutes": ("Signed out when idle for", f"{s.idle_minutes} minutes"),
        "max_upload_mb": ("Largest region file", f"{s.max_upload_mb} MB"),
        "max_image_mpx": ("Largest region image", f"{s.max_image_mpx} million pixels"),
        "device": ("Models run on", s.device),
        "data_dir": ("Data folder", str(Path(s.data_dir).absolute())),
    }
    left, right = st.columns([1.9, 1], gap="large")
    with left:
        for title, rows in (("Printed on every report", printed), ("Other settings", other)):
            st.markdown(f"**{title}**")
            body = "".join(_setting_row(name, label, value) for name, (label, value) in rows.items())
            st.html(
                f'{_TABLE_STYLE}<table class="h2c-tab"><tr><th></th><th>Now</th><th>Set by</th><th>Setting</th></tr>'
                f"{body}</table>"
            )
    with right, st.container(border=True):
        st.markdown("**Where to change it**")
        st.markdown(
            f"In the file `{SETTINGS_FILE}` of the data folder, a line a setting, for example\n\n"
            '`laboratory_name = "Northbank Pathology"`\n\n'
            "or by a variable in the environment of the server, which wins. A change of the file holds at once. "
            "Reports that are signed already keep what was printed on them."
        )
        if not s.laboratory_name:
            st.warning("Give the laboratory a name: no signing key can be made without.", icon=":material/warning:")


def _setting_row(name: str, label: str, value: str) -> str:
    variable = variable_of(name)
    source = "environment" if os.environ.get(variable) else "file or default"
    shown = escaped(value).replace("\n", "<br>") if value else "not set"
    keyed = variable if source == "environment" or name == "data_dir" else name
    return f"<tr><td>{escaped(label)}</td><td>{shown}</td><td>{source}</td><td><code>{keyed}</code></td></tr>"


# --- check, backup, trail ---------------------------------------------------------------------------------------------


def _check_and_backup(rooms: Services, user: User) -> None:
    left, right = st.columns(2, gap="medium")
    with left, st.container(border=True):
        _check(rooms, user)
    with right, st.container(border=True):
        _backup(rooms, user)


def _check(rooms: Services, user: User) -> None:
    st.markdown("**Check the whole case log**")
    st.caption(
        "Compares database, audit trail, every image and every report with what was recorded, and examines the "
        "signature of each report and the signing keys."
    )
    kept_head = st.text_input(
        "Head of the audit trail that was kept elsewhere", key="check_head", placeholder="64 digits; may stay empty",
        help="From an earlier check, a backup or a report: proves that nothing before it was taken off the trail.",
    )  # fmt: skip
    if st.button("Check now", type="primary", icon=":material/fact_check:", key="check_log"):
        with st.spinner("Checking"):
            try:
                head = rooms.log.audit_head()
                found = administration.check_all(rooms.log, rooms.keyring, user, (kept_head or "").split())
            except Her2CoreError as error:
                st.error(str(error), icon=":material/error:")
                return
        st.session_state[_FINDINGS] = (datetime.now(UTC), found, head)
    kept = st.session_state.get(_FINDINGS)
    if kept is not None:
        _findings(*kept)


def _findings(at: datetime, findings: tuple[Finding, ...], head: str) -> None:
    if not findings:
        st.success(
            "The case log is sound: database, audit trail, images, reports, signatures and keys are as recorded.",
            icon=":material/verified:",
        )
    else:
        lines = "\n".join(f"- {plain(finding.record)}: {plain(finding.problem)}" for finding in findings)
        problems = f"{len(findings)} problem{'s' if len(findings) > 1 else ''} found"
        st.error(
            f"**{problems}. Stop work, keep the data folder as it is, and restore the last sound backup into another "
            f"folder.**\n{lines}",
            icon=":material/gpp_bad:",
        )
    st.caption(f"Checked on {local_time(at)}. Head of the audit trail, to be kept by somebody outside:")
    st.code(head, language=None, wrap_lines=True)


def _backup(rooms: Services, user: User) -> None:
    st.markdown("**Backup**")
    st.caption(
        "One file with database, images, reports, keys and settings, of one moment, made while others work. It holds "
        "patient data: keep it as you keep patient files, and the passphrase of the root key somewhere else."
    )
    with st.form("backup_folder", border=False):
        folder = st.text_input("Folder on the server", key="backup_to", placeholder="/backups")
        pressed = st.form_submit_button("Write a backup there", key="backup_write", icon=":material/save:")
    if pressed:
        try:
            with st.spinner("Writing"):
                summary = administration.back_up_to(rooms.log, folder or "", user)
        except Her2CoreError as error:
            st.error(str(error), icon=":material/error:")
            return
        st.success(
            f"{plain(str(summary.path))}: {summary.images} images, {summary.reports} reports, "
            f"{summary.size_bytes / 1e6:,.1f} MB.",
            icon=":material/check:",
        )
        if summary.findings:
            lines = "\n".join(f"- {plain(f.record)} {plain(f.problem)}" for f in summary.findings)
            st.error(f"**Not all of it is sound: check the case log.**\n{lines}", icon=":material/gpp_bad:")
    size = administration.data_bytes(rooms.log)
    fits = size <= administration.LARGEST_DOWNLOAD
    st.download_button(
        f"Download a backup (about {size / 1e6:,.0f} MB)", lambda: administration.backup_bytes(rooms.log, user),
        f"her2core-{datetime.now(UTC):%Y%m%d}.tar", "application/x-tar", key="backup_get", icon=":material/download:",
        on_click="ignore", disabled=not fits,
        help=None if fits else "Too large to be downloaded; write it to a folder.",
    )  # fmt: skip
    st.caption("To restore: `python -m her2core restore FILE`, into a new data folder.")


def _trail(rooms: Services) -> None:
    st.caption("Accounts, keys, sign-ins, checks and backups; latest first. What was done to cases is not shown here.")
    limit = int(st.session_state.get("administration_trail", _PAGE))
    entries = rooms.log.audit(limit=limit + 1, accounts_only=True)
    people = {person.id: person.full_name for person in rooms.accounts.users()}
    with st.container(height=530, border=True):
        st.html(HISTORY_STYLE + history_html(history_lines(entries[:limit], people)))
    if len(entries) > limit and st.button("Show older entries", key="trail_older"):
        st.session_state["administration_trail"] = limit + _PAGE
        st.rerun()
