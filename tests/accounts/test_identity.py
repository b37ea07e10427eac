"""Claims of an OpenID provider: read strictly, whatever they hold."""

from __future__ import annotations

from datetime import UTC, datetime, timedelta
from typing import Any

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from her2core.accounts.identity import identity_of, is_fresh
from her2core.errors import SignInError
from her2core.records import Role

CLAIMS: dict[str, Any] = {"iss": "https://idp.example", "sub": "s-1", "iat": 1_790_000_000, "exp": 1_790_003_600}


def test_who_and_until_when_are_read() -> None:
    identity = identity_of({**CLAIMS, "email": "x@example.com"})
    assert (identity.issuer, identity.subject, identity.role) == ("https://idp.example", "s-1", None)
    assert identity.expires_at == datetime.fromtimestamp(1_790_003_600, UTC)


@pytest.mark.parametrize(
    ("name", "value"),
    [
        ("iss", None), ("iss", ""), ("iss", 7), ("sub", None), ("sub", "  "), ("sub", ["s-1"]), ("sub", "x" * 300),
        ("exp", None), ("exp", "1790003600"), ("exp", True), ("exp", float("nan")), ("exp", float("inf")),
        ("exp", 10**30), ("iat", None), ("iat", {}),
    ],
)  # fmt: skip
def test_a_claim_that_is_missing_or_cannot_be_lets_nobody_in(name: str, value: Any) -> None:
    with pytest.raises(SignInError):
        identity_of({**CLAIMS, name: value})


@pytest.mark.parametrize(
    ("value", "role"),
    [
        ("pathologist", Role.PATHOLOGIST),
        (["other-program", "lab-manager"], Role.LAB_MANAGER),
        (["Lab_Manager", "lab manager"], Role.LAB_MANAGER),
        ("ADMINISTRATOR", Role.ADMINISTRATOR),
        ([], None), (None, None), ("", None), ("director", None), ({"pathologist": True}, None), (7, None),
        (["pathologist", "administrator"], None), ([["pathologist"]], None),
    ],
)  # fmt: skip
def test_the_role_claim_names_exactly_one_role(value: Any, role: Role | None) -> None:
    claims = {**CLAIMS, "roles": value}
    if role is None:
        with pytest.raises(SignInError, match="no role"):
            identity_of(claims, "roles")
    else:
        assert identity_of(claims, "roles").role is role


@pytest.mark.parametrize(
    ("age_s", "fresh"), [(-119, True), (0, True), (899, True), (900, True), (901, False), (10**7, False)]
)
def test_an_identity_is_fresh_for_a_while(age_s: int, fresh: bool) -> None:
    identity = identity_of(CLAIMS)
    assert is_fresh(identity, identity.issued_at + timedelta(seconds=age_s), timedelta(minutes=15)) is fresh


@pytest.mark.parametrize("ahead", [timedelta(seconds=121), timedelta(days=20)])
def test_a_clock_set_back_makes_no_old_token_new(ahead: timedelta) -> None:
    identity = identity_of(CLAIMS)
    with pytest.raises(SignInError, match="clock"):
        is_fresh(identity, identity.issued_at - ahead, timedelta(minutes=15))


JSON = st.recursive(
    st.none() | st.booleans() | st.integers() | st.floats() | st.text(max_size=20),
    lambda inner: st.lists(inner, max_size=3) | st.dictionaries(st.text(max_size=5), inner, max_size=3),
    max_leaves=6,
)


@settings(max_examples=300, deadline=None)
@given(st.fixed_dictionaries({}, optional=dict.fromkeys(("iss", "sub", "iat", "exp", "roles"), JSON)))
def test_any_claims_are_read_or_refused_in_words(claims: dict[str, Any]) -> None:
    try:
        identity = identity_of(claims, "roles")
    except SignInError:
        return
    assert isinstance(identity.role, Role)
