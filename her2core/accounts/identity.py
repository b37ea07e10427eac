"""What an OpenID provider says of a person, read with suspicion: who, until when, since when, in which role."""

from __future__ import annotations

import math
from collections.abc import Mapping
from dataclasses import dataclass
from datetime import UTC, datetime, timedelta
from typing import Any

from her2core.errors import SignInError
from her2core.records import Role

__all__ = ["Identity", "identity_of", "is_fresh"]

_LONGEST = 255  # OpenID Connect Core 2: the subject has at most 255 ASCII characters
_UNUSABLE = "The identity provider did not say who you are in a way that her2core can rely on. Ask an administrator."
_CLOCK = (
    "The clock of this machine is behind that of the identity provider, so nobody can be let in by it. Ask an "
    "administrator to set the clock right."
)
_CLOCK_SLACK = timedelta(minutes=2)  # clocks of two machines may differ a little
_NO_ROLE = "The identity provider names no role for you in her2core, or more than one. Ask an administrator."


@dataclass(frozen=True, slots=True)
class Identity:
    """A person as a provider vouches for: by issuer and subject, never by e-mail. `role` None: it names none."""

    issuer: str
    subject: str
    issued_at: datetime
    expires_at: datetime
    role: Role | None


def identity_of(claims: Mapping[str, Any], role_claim: str = "") -> Identity:
    """The identity in the claims of an ID token.

    With `role_claim` that claim must hold exactly one of her2core's roles, as a text or in a list; other entries are of
    other programs. Raises SignInError where a claim is missing or cannot be.
    """
    return Identity(
        _text(claims.get("iss")),
        _text(claims.get("sub")),
        _moment(claims.get("iat")),
        _moment(claims.get("exp")),
        _role(claims.get(role_claim)) if role_claim else None,
    )


def is_fresh(identity: Identity, now: datetime, within: timedelta) -> bool:
    """Whether the person proved the identity within that time before `now`.

    Raises SignInError where that was after `now`: were it let in, setting the clock back would make an old token new.
    """
    age = now - identity.issued_at
    if age < -_CLOCK_SLACK:
        raise SignInError(_CLOCK)
    return age <= within


def _text(value: Any) -> str:
    if not isinstance(value, str) or not value.strip() or len(value) > _LONGEST:
        raise SignInError(_UNUSABLE)
    return value


def _moment(value: Any) -> datetime:
    """A NumericDate: seconds since 1970."""
    if isinstance(value, bool) or not isinstance(value, int | float) or not math.isfinite(value):
        raise SignInError(_UNUSABLE)
    try:
        return datetime.fromtimestamp(value, UTC)
    except (OverflowError, OSError, ValueError) as error:
        raise SignInError(_UNUSABLE) from error


def _role(value: Any) -> Role:
    named = [value] if isinstance(value, str) else value if isinstance(value, list | tuple) else []
    known = {role.value: role for role in Role}
    said = {" ".join(n.casefold().replace("_", " ").replace("-", " ").split()) for n in named if isinstance(n, str)}
    found = [known[name] for name in said if name in known]
    if len(found) != 1:
        raise SignInError(_NO_ROLE)
    return found[0]
