"""Builders of small, real records for the tests of `scoring`."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import pytest

from her2core.records import Exclusion, Nucleus, Signal

NucleusBuilder = Callable[..., Nucleus]


@pytest.fixture
def nucleus() -> NucleusBuilder:
    """Build a nucleus with the given counts; scored unless a reason is given."""

    def build(
        her2: int | None = 2,
        cep17: int | None = 2,
        *,
        id: int = 0,
        reason: Exclusion | None = None,
        clustered: bool = False,
        uncertain: bool = False,
        signals: tuple[Signal, ...] = (),
        **changes: Any,
    ) -> Nucleus:
        return Nucleus(
            id=id,
            box=changes.pop("box", (10.0, 10.0, 70.0, 80.0)),
            score=0.9,
            her2=her2,
            cep17=cep17,
            her2_regressed=float(her2 or 0),
            cep17_regressed=float(cep17 or 0),
            clustered=clustered,
            scored=reason is None,
            reason=reason,
            signals=signals,
            uncertain=uncertain,
            **changes,
        )

    return build
