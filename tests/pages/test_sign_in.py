"""Signing in and out, and what stands round every page."""

from __future__ import annotations

import time

import pytest

from her2core.reporting.content import NOT_CLEARED
from tests.pages.app import fresh, said, signed_in
from tests.pages.lab import PASSWORDS, TestLaboratory


def test_a_stranger_sees_the_sign_in_form_and_that_this_is_no_cleared_device(lab: TestLaboratory) -> None:
    at = fresh()
    assert not at.exception
    assert at.text_input(key="sign_in_name").label == "User name"
    assert said(at, NOT_CLEARED)
    assert not said(at, "Demonstration laboratory")


def test_the_demonstration_says_so_and_shows_its_accounts(lab: TestLaboratory, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("HER2CORE_DEMO", "1")
    at = fresh()
    assert said(at, "Demonstration laboratory: no patients, no real results")
    assert said(at, "demo-pathologist-one")


def test_a_wrong_password_says_so_and_opens_nothing(lab: TestLaboratory) -> None:
    at = fresh()
    at.text_input(key="sign_in_name").input("berg")
    at.text_input(key="sign_in_password").input("wrong")
    at.button(key="sign_in_now").click().run()
    assert "do not belong together" in at.error[0].value
    assert "her2core_user_id" not in at.session_state
    entry = lab.log.audit(limit=1)[0]
    assert (entry.action, entry.by_username) == ("sign-in refused", "web application")


@pytest.mark.parametrize(
    ("name", "greeting"),
    [("berg", "Nothing waits for you."), ("lind", "No open case in the laboratory."), ("nair", "Accounts")],
)
def test_each_role_lands_on_its_first_page(lab: TestLaboratory, name: str, greeting: str) -> None:
    at = signed_in(name)
    assert not at.exception
    assert said(at, greeting)
    assert said(at, NOT_CLEARED)


def test_signing_out_leaves_nothing_in_the_session(lab: TestLaboratory) -> None:
    at = signed_in("berg")
    at.button(key="sign_out").click().run()
    assert "her2core_user_id" not in at.session_state
    assert at.text_input(key="sign_in_name").label == "User name"
    assert lab.log.audit(limit=1)[0].action == "signed out"


def test_an_idle_session_is_signed_out_and_told_why(lab: TestLaboratory) -> None:
    at = signed_in("berg")
    at.session_state["her2core_last_seen"] = time.monotonic() - 16 * 60
    at.run()
    assert said(at, "signed out because nothing happened for a while. What you did in cases is saved; what was typed")
    assert said(at, "User name")


def test_a_deactivated_user_is_out_at_the_next_click(lab: TestLaboratory) -> None:
    at = signed_in("okafor")
    lab.accounts.disable(lab.person("okafor").id, lab.person("nair"))
    at.run()
    assert said(at, "deactivated")
    assert "her2core_user_id" not in at.session_state


def test_a_password_changed_elsewhere_ends_the_session(lab: TestLaboratory) -> None:
    at = signed_in("okafor")
    lab.accounts.set_password(lab.person("okafor"), PASSWORDS["okafor"], "changed elsewhere 123")
    at.run()
    assert "her2core_user_id" not in at.session_state


def test_a_password_from_an_administrator_has_to_be_changed_first(lab: TestLaboratory) -> None:
    lab.accounts.reset_password(lab.person("okafor").id, PASSWORDS["okafor"], lab.person("nair"))
    at = signed_in("okafor")
    assert said(at, "Choose your own password")
    assert not said(at, "Nothing waits for you.")


def test_an_unknown_setting_is_said_instead_of_a_page(lab: TestLaboratory, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("HER2CORE_IDLE_MINUTS", "5")
    at = fresh()
    assert "HER2CORE_IDLE_MINUTS" in at.error[0].value
