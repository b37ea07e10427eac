"""Ten thousand guesses at a password, from one place and from many."""

from __future__ import annotations

import random
from collections.abc import Iterator
from pathlib import Path

import pytest

from her2core.caselog import _database
from her2core.errors import SignInError
from tests.accounts.test_accounts import GOOD, House
from tests.proof import Proof, Record, times

GUESSES = times(300, 10_000)


@pytest.fixture
def house(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Iterator[House]:
    monkeypatch.setattr(_database, "SYNCHRONOUS", "OFF")
    made = House(tmp_path / "data")
    yield made
    made.log.close()


@pytest.mark.timeout(1800)
@pytest.mark.parametrize("places", [1, 1000], ids=["one place", "a thousand places"])
def test_ten_thousand_guesses_are_slowed_to_a_few_and_lock_nobody_out(
    record_property: Record, house: House, places: int
) -> None:
    where = "from one address" if places == 1 else "from a thousand addresses"
    proof = Proof(record_property, "Attacks", f"{GUESSES:,} password guesses {where}, one a second")
    house.accounts.sign_in("anna", GOOD, "10.0.0.1")  # her own desk
    entries, looked_at = len(house.log.audit(limit=100_000)), 0
    chance = random.Random(places)
    for _ in range(GUESSES):
        looked_at += house.guess("anna", 1, f"192.0.2.{chance.randrange(places)}")
        house.clock.pass_by(seconds=1)
        proof.tries += 1
    hours = GUESSES / 3600
    # From one place the longest pause is five minutes, twelve an hour; from many together it is one minute, since the
    # owner may sit at a new place herself.
    assert looked_at <= 30 + (13 if places == 1 else 61) * hours
    grown = len(house.log.audit(limit=100_000)) - entries
    assert grown <= looked_at + 2
    house.accounts.sign_in("anna", GOOD, "10.0.0.1")  # she works on while they knock
    with pytest.raises(SignInError, match="Wait"):
        for _ in range(3):
            house.accounts.sign_in("anna", "wrong guess", "192.0.2.0")
    proof.holds(
        f"{looked_at} of them were looked at, the others turned away to wait; the owner signed in from her own desk; "
        f"the audit trail grew by {grown} rows"
    )
