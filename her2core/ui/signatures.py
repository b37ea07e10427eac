"""Signatures and addenda at sign-out: what waits for whom, and the dialogs in which they are given."""

from __future__ import annotations

from collections.abc import Callable
from datetime import UTC, datetime

import streamlit as st

from her2core import workflow
from her2core.caselog import FirstSignature
from her2core.errors import Her2CoreError
from her2core.records import User
from her2core.ui.services import Services
from her2core.ui.session import flash, saved
from her2core.ui.words import local_day, local_time, plain
from her2core.workflow import MEANING, SECOND_MEANING, Addendum, CaseReview

__all__ = ["add_dialog", "expiry_note", "first_dialog", "sign_dialog", "waiting"]

_SOON_DAYS = 30


def waiting(rooms: Services, user: User, review: CaseReview, first: FirstSignature) -> None:
    """Where a report is signed once: by whom, who is to sign now, and the way back."""
    signer, second = rooms.log.user(first.signed_by), rooms.log.user(first.second_by)
    left, right = st.columns([4.6, 1], vertical_alignment="center")
    left.info(
        f"Signed by {plain(signer.full_name)} on {local_time(first.signed_at)}. The report becomes final with the "
        f"signature of {plain(second.full_name)}. Any change of the case takes the first signature back.",
        icon=":material/draw:",
    )
    came_up = workflow.open_since_first_signature(review)
    if came_up:
        left.warning(plain(came_up), icon=":material/warning:")
    with right:
        if user.id == second.id and st.button(
            "Sign second",
            type="primary",
            icon=":material/signature:",
            key="sign_second",
            width="stretch",
            disabled=bool(came_up),
        ):
            _second_dialog(rooms, user, review)
        st.button(
            "Take it back", key="withdraw_first", icon=":material/undo:", width="stretch", on_click=saved,
            args=(workflow.withdraw_first_signature, rooms.log, review.case.id, review.case.version, user),
            kwargs={"done": "The first signature is taken back. The case can be changed and signed anew."},
        )  # fmt: skip


def expiry_note(rooms: Services, user: User) -> str:
    """A sentence where the key of the signer expires soon; empty otherwise."""
    record = rooms.keyring.key_of(user)
    if record is None or (record.expires_at - datetime.now(UTC)).days >= _SOON_DAYS:
        return ""
    day = local_day(record.expires_at.astimezone().date())
    return f"Your signing key expires on {day}. Ask an administrator to issue a new one before."


@st.dialog("Sign the report", width="medium")
def sign_dialog(rooms: Services, user: User, review: CaseReview) -> None:
    """The only signature."""
    _what(rooms, review, MEANING)
    with st.form("sign_form", border=False):
        password = _password(user, "sign_again")
        pressed = st.form_submit_button("Sign", type="primary", icon=":material/signature:", key="sign_now")
    if not pressed:
        return

    def act() -> str:
        report = workflow.sign_out(
            rooms.log, rooms.keyring, rooms.accounts, review.case.id, review.case.version, user, password
        )
        return f"Signed: report {workflow.report_number(report.case_id)}, version {report.version}."

    _signing(act)


@st.dialog("Sign first of two", width="medium")
def first_dialog(rooms: Services, user: User, review: CaseReview) -> None:
    """The first signature, and who signs second."""
    others = workflow.who_may_sign_second(rooms.log, rooms.keyring, user)
    _what(rooms, review, MEANING)
    if not others:
        st.warning("Nobody else has a signing key, so nobody can sign second.", icon=":material/key_off:")
        return
    with st.form("first_form", border=False):
        second = st.selectbox(
            "Second signature by", others, format_func=lambda person: person.full_name, key="second_signer"
        )
        password = _password(user, "first_again")
        pressed = st.form_submit_button("Sign", type="primary", icon=":material/signature:", key="first_now")
    if not pressed or second is None:
        return

    def act() -> str:
        workflow.sign_first(
            rooms.log, rooms.keyring, rooms.accounts, review.case.id, review.case.version, user, password, second
        )
        return f"Signed. The report is final once {second.full_name} has signed it too."

    _signing(act)


@st.dialog("Sign second", width="medium")
def _second_dialog(rooms: Services, user: User, review: CaseReview) -> None:
    _what(rooms, review, SECOND_MEANING)
    with st.form("second_form", border=False):
        password = _password(user, "second_again")
        pressed = st.form_submit_button("Sign", type="primary", icon=":material/signature:", key="second_now")
    if not pressed:
        return

    def act() -> str:
        report = workflow.sign_second(
            rooms.log, rooms.keyring, rooms.accounts, review.case.id, review.case.version, user, password
        )
        return f"Signed by both: report {workflow.report_number(report.case_id)}, version {report.version}."

    _signing(act)


@st.dialog("Addendum to the signed report", width="medium")
def add_dialog(rooms: Services, user: User, review: CaseReview) -> None:
    """A text that is added to the signed report."""
    st.markdown(
        "An addendum adds information and changes no number and no result; the report stays in force. If something in "
        "the report is wrong, amend it instead."
    )
    with st.form("addendum_form", border=False):
        text = st.text_area("What is added", key="addendum_text", max_chars=4000)
        reason = st.text_input("Why now", key="addendum_reason", max_chars=500)
        password = _password(user, "addendum_again")
        pressed = st.form_submit_button(
            "Sign addendum", type="primary", icon=":material/signature:", key="addendum_now"
        )
    if not pressed:
        return

    def act() -> str:
        report = workflow.add_addendum(
            rooms.log, rooms.keyring, rooms.accounts, review.case.id, review.case.version, user, password,
            Addendum(text or "", reason or ""),
        )  # fmt: skip
        return f"Addendum signed: version {report.version} of {workflow.report_number(report.case_id)}."

    _signing(act)


def _signing(act: Callable[[], str]) -> None:
    """Sign by `act`; the sentence that it returns is shown on the page, drawn anew, and a refusal in the dialog."""
    try:
        with st.spinner("Signing"):
            told = act()
    except Her2CoreError as error:
        st.error(str(error), icon=":material/error:")
        return
    flash("success", told)
    st.rerun()


def _what(rooms: Services, review: CaseReview, meaning: str) -> None:
    details = review.case.details
    st.markdown(f"**{plain(review.headline)}**")
    st.markdown(
        f"{plain(details.patient_name)} · ID {plain(details.patient_id)} · {plain(details.accession)} · block "
        f"{plain(details.block or '–')}"
    )
    for sentence in workflow.what_is_signed(rooms.log, review):
        st.markdown(plain(sentence))
    st.markdown(f"My signature means: *{plain(meaning)}*")


def _password(user: User, key: str) -> str:
    typed = st.text_input(f"Password of {user.full_name}", type="password", key=key, autocomplete="current-password")
    return typed or ""
