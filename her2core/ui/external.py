"""Sign-in through an OpenID provider, where `.streamlit/secrets.toml` has a section [auth].

Streamlit keeps the identity in a cookie for 30 days and looks at no expiry, so a session begins only with a token that
was issued just now (within the idle time) and ends when it expires; who sat idle proves the identity anew.
"""

from __future__ import annotations

from datetime import UTC, datetime, timedelta
from typing import Any

import streamlit as st
from streamlit.errors import StreamlitAPIException

from her2core.accounts.identity import identity_of, is_fresh
from her2core.errors import Her2CoreError
from her2core.ui.services import Services
from her2core.ui.session import remember_user

__all__ = ["configured", "forget", "offer"]

_SECTION = "auth"


def configured() -> bool:
    """Whether the laboratory has named a provider."""
    try:
        return _SECTION in st.secrets
    except (FileNotFoundError, StreamlitAPIException):
        return False


def offer(rooms: Services) -> None:
    """On the sign-in page: begin the session of whoever has just come from the provider, or lead there."""
    if not configured():
        return
    claims = _claims()
    if claims is not None and _begin(rooms, claims):
        st.rerun()
    if st.button("Sign in with your organisation", key="sign_in_external", icon=":material/badge:", width="stretch"):
        st.login()


def forget() -> None:
    """After signing out: the identity in the cookie opens nothing any more."""
    if configured() and _claims() is not None:
        st.logout()


def _claims() -> dict[str, Any] | None:
    """What the provider said of the person at this browser; None for nobody."""
    said = dict(st.user.to_dict())
    return said if said.get("is_logged_in") is True else None


def _begin(rooms: Services, claims: dict[str, Any]) -> bool:
    """Start the session if the identity is fresh and opens an account; else say why not."""
    try:
        identity = identity_of(claims, rooms.settings.oidc_role_claim)
        if not is_fresh(identity, datetime.now(UTC), timedelta(minutes=rooms.settings.idle_minutes)):
            return False  # an old cookie: no error, but the person proves the identity again
        user = rooms.accounts.sign_in_external(identity.issuer, identity.subject, identity.expires_at, identity.role)
        since = rooms.accounts.password_since(user.username)
    except Her2CoreError as error:
        st.error(str(error), icon=":material/error:")
        return False
    remember_user(user, since, until=identity.expires_at)
    return True
