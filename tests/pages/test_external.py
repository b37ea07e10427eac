"""Sign-in through an identity provider, on the page. AppTest stands in for the provider's answer."""

from __future__ import annotations

import time
from datetime import UTC, datetime, timedelta
from typing import Any

import pytest
from streamlit.testing.v1 import AppTest

from her2core.records import Role
from tests.pages.app import ROOT, SLOW, said
from tests.pages.lab import TestLaboratory

ISSUER = "https://idp.example"


def arriving(lab: TestLaboratory, **claims: Any) -> AppTest:
    """The application as somebody sees it who has just come from the provider."""
    now = datetime.now(UTC)
    at = AppTest.from_file(str(ROOT / "app.py"), default_timeout=SLOW)
    at.secrets["auth"] = {"redirect_uri": "http://127.0.0.1/oauth2callback"}
    at.user = {
        "is_logged_in": True,
        "iss": ISSUER,
        "sub": "s-1",
        "iat": now.timestamp() - 5,
        "exp": (now + timedelta(hours=1)).timestamp(),
        **claims,
    }
    return at


def is_in(at: AppTest) -> bool:
    return not any(t.key == "sign_in_name" for t in at.text_input)


@pytest.fixture
def bound(lab: TestLaboratory) -> TestLaboratory:
    lab.accounts.link(lab.person("berg").id, ISSUER, "s-1", lab.person("nair"))
    return lab


def test_who_is_bound_to_an_account_is_in_and_it_is_recorded(bound: TestLaboratory) -> None:
    at = arriving(bound).run()
    assert not at.exception
    assert is_in(at)
    entry = bound.log.audit(limit=1, actions=("signed in",))[0]
    assert (entry.by_username, entry.detail) == ("berg", {"by": "identity provider"})


@pytest.mark.parametrize(
    ("claims", "words"),
    [
        ({"sub": "s-2"}, "no active account"),
        ({"iss": "https://evil.example"}, "no active account"),
        ({"sub": "s-2", "email": "berg@example.com"}, "no active account"),
        ({"exp": 1_000_000_000}, "expired"),
        ({"exp": None}, "rely on"),
        ({"iat": None}, "rely on"),
    ],
)
def test_anybody_else_is_not(bound: TestLaboratory, claims: dict[str, Any], words: str) -> None:
    at = arriving(bound, **claims).run()
    assert not is_in(at)
    assert said(at, words)


def test_an_old_cookie_opens_nothing(bound: TestLaboratory) -> None:
    at = arriving(bound, iat=datetime.now(UTC).timestamp() - 16 * 60).run()
    assert not is_in(at)
    assert any(b.key == "sign_in_external" for b in at.button)


def test_a_deactivated_account_stays_closed(bound: TestLaboratory) -> None:
    bound.accounts.disable(bound.person("berg").id, bound.person("nair"))
    assert not is_in(arriving(bound).run())


def test_the_session_ends_when_the_token_does(bound: TestLaboratory) -> None:
    at = arriving(bound).run()
    at.session_state["her2core_signed_in_until"] = datetime.now(UTC) - timedelta(seconds=1)
    at.user = {"is_logged_in": False}
    at.run()
    assert not is_in(at)
    assert said(at, "vouched for you until now")


def test_the_session_ends_in_time_though_the_clock_was_set_back(bound: TestLaboratory) -> None:
    at = arriving(bound).run()
    assert is_in(at)
    at.session_state["her2core_signed_in_until"] = datetime.now(UTC) + timedelta(days=1)  # what setting it back does
    at.session_state["her2core_signed_in_lasts"] = time.monotonic() - 1
    at.user = {"is_logged_in": False}
    at.run()
    assert not is_in(at)
    assert said(at, "vouched for you until now")


def test_a_token_of_the_future_is_no_sign_in(bound: TestLaboratory) -> None:
    at = arriving(bound, iat=datetime.now(UTC).timestamp() + 3600, exp=datetime.now(UTC).timestamp() + 7200).run()
    assert not is_in(at)
    assert said(at, "clock")


def test_the_claim_decides_the_role(bound: TestLaboratory, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("HER2CORE_OIDC_ROLE_CLAIM", "roles")
    assert not is_in(arriving(bound).run())
    assert not is_in(arriving(bound, roles=["pathologist", "administrator"]).run())
    at = arriving(bound, roles=["lab-manager"]).run()
    assert is_in(at)
    assert bound.person("berg").role is Role.LAB_MANAGER
    entry = bound.log.audit(limit=1, actions=("signed in",))[0]
    assert entry.detail == {"by": "identity provider", "role": ["pathologist", "lab manager"]}


def test_without_a_provider_nothing_is_offered(lab: TestLaboratory) -> None:
    at = AppTest.from_file(str(ROOT / "app.py"), default_timeout=SLOW).run()
    assert not any(b.key == "sign_in_external" for b in at.button)


def test_an_identity_is_bound_once_and_for_good(bound: TestLaboratory) -> None:
    from her2core.errors import AccountError, DuplicateError, PermissionDeniedError

    nair = bound.person("nair")
    with pytest.raises(AccountError, match="bound to an identity already"):
        bound.accounts.link(bound.person("berg").id, ISSUER, "s-9", nair)
    with pytest.raises(DuplicateError):
        bound.accounts.link(bound.person("okafor").id, ISSUER, "s-1", nair)
    with pytest.raises(PermissionDeniedError):
        bound.accounts.link(bound.person("okafor").id, ISSUER, "s-3", bound.person("berg"))
    assert bound.log.check() == []
