"""The clock of the machine is set back: nobody stays in, nothing revoked comes back, and the trail tells of it."""

from __future__ import annotations

import shutil
from datetime import UTC, datetime, timedelta
from pathlib import Path

import pytest

from her2core.accounts.identity import identity_of, is_fresh
from her2core.caselog import CaseLog, _audit
from her2core.errors import SignInError, SigningError
from tests.accounts.test_accounts import GOOD, OTHER, Clock, House
from tests.pages.lab import PASSWORDS, TestLaboratory
from tests.proof import Proof, Record, times

BACK = [timedelta(seconds=s) for s in (3, 60, 3600, 86_400, 30 * 86_400, 400 * 86_400)]
IDLE = timedelta(minutes=15)


@pytest.mark.parametrize("back", BACK[:: times(2, 1)], ids=str)
def test_a_clock_set_back_lets_nobody_stay_and_is_on_record(
    record_property: Record, template: Path, tmp_path: Path, back: timedelta
) -> None:
    proof = Proof(record_property, "Faults", f"Clock set back by {back}: passwords, pauses, tokens, keys, audit trail")
    house = House(tmp_path / "accounts")
    house.clock.pass_by(hours=1)
    since = house.accounts.password_since("anna")
    assert since is not None
    house.log.note("anything", None)
    house.clock.pass_by(seconds=-back.total_seconds())
    house.accounts.reset_password(house.anna.id, OTHER, house.admin)
    with pytest.raises(SignInError, match="was changed"):  # a session that began before
        house.accounts.session_user(house.anna.id, since)
    moved = house.log.audit(limit=50, actions=("clock set back",))
    assert [datetime.fromisoformat(entry.detail["before"]) - entry.at for entry in moved] == [back]

    assert house.guess(times=6) == 5  # pauses hold, and are no longer than they are
    house.clock.pass_by(seconds=-back.total_seconds())
    with pytest.raises(SignInError, match=r"Wait [12] seconds"):
        house.accounts.sign_in("anna", OTHER)
    house.clock.pass_by(seconds=5)
    house.accounts.sign_in("anna", OTHER)

    issued = datetime.now(UTC)
    claims = {"iss": "https://idp.example", "sub": "s", "iat": issued.timestamp(), "exp": issued.timestamp() + 3600}
    if back > IDLE:  # the token was too old, and is not made new
        with pytest.raises(SignInError, match="clock"):
            is_fresh(identity_of(claims), issued - back, IDLE)
    assert house.log.check() == []
    house.log.close()

    shutil.copytree(template, tmp_path / "data")
    lab = TestLaboratory.reopen(tmp_path / "data")
    lab.keyring.revoke(lab.person("berg"), "lost")
    with pytest.raises(SigningError, match="was revoked"):
        lab.keyring.unlock(lab.person("berg"), PASSWORDS["berg"], datetime.now(UTC) - back)
    lab.log.close()
    proof.tries += 5
    proof.holds("sessions ended, pauses held, old token and revoked key refused; the trail says from when to when")


def test_a_clock_set_back_before_an_update_is_on_record_too(tmp_path: Path) -> None:
    """The first row after it is then not of a person's act but of the migration."""
    clock = Clock()
    with CaseLog(tmp_path, clock) as log:
        log.note("anything", None)
        clock.pass_by(hours=-5)
        with log.writing() as db:
            by = (None, _audit.COMMAND_LINE)
            _audit.append(db, at=clock(), by=by, action="case log migrated", case_id=None, detail={}, records={})
        assert [entry.action for entry in log.audit(limit=2)] == ["case log migrated", "clock set back"]
        assert log.check() == []


def test_passwords_are_told_apart_though_set_at_the_same_moment(tmp_path: Path) -> None:
    house = House(tmp_path / "data")
    seen = set()
    for password in (OTHER, GOOD, OTHER):
        house.accounts.reset_password(house.anna.id, password, house.admin)
        seen.add(house.accounts.password_since("anna"))
    assert len(seen) == 3
    house.log.close()
