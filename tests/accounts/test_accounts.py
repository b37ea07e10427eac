"""Accounts: made, signed in to, guessed at, changed, deactivated."""

from __future__ import annotations

import statistics
import time
from collections.abc import Callable, Iterator
from concurrent.futures import ThreadPoolExecutor
from datetime import UTC, datetime, timedelta
from pathlib import Path

import pytest
from argon2 import PasswordHasher

from her2core.accounts import Accounts
from her2core.caselog import CaseLog, _database
from her2core.errors import (
    AccountError,
    CaseLogError,
    DuplicateError,
    PasswordError,
    PermissionDeniedError,
    SignInError,
)
from her2core.records import Role, User

GOOD = "copper lantern drifts"
OTHER = "seven green umbrellas"
CHEAP = PasswordHasher(time_cost=1, memory_cost=64, parallelism=1)


class Clock:
    """A clock that stands still until told otherwise."""

    def __init__(self) -> None:
        self.time = datetime(2026, 11, 24, 9, 0, tzinfo=UTC)

    def __call__(self) -> datetime:
        return self.time

    def pass_by(self, **duration: float) -> None:
        self.time += timedelta(**duration)


class House:
    """A case log with an administrator, a pathologist and the rules of accounts."""

    def __init__(self, data_dir: Path, hasher: PasswordHasher = CHEAP) -> None:
        self.clock = Clock()
        self.log = CaseLog(data_dir, self.clock).open()
        self.accounts = Accounts(self.log, hasher)
        self.admin = self.accounts.add_user("adam", "Adam Acker", "", Role.ADMINISTRATOR, GOOD, None)
        self.anna = self.accounts.add_user("anna", "Anna Arendt", "MD", Role.PATHOLOGIST, GOOD, self.admin)

    def guess(self, username: str = "anna", times: int = 1, source: str = "", every: float = 0.0) -> int:
        """Wrong guesses; how many of them were looked at, not turned away to wait."""
        looked_at = 0
        for _ in range(times):
            try:
                self.accounts.sign_in(username, "wrong guess", source)
            except SignInError as refused:
                looked_at += "do not belong together" in str(refused)
            self.clock.pass_by(seconds=every)
        return looked_at

    def reasons(self) -> list[object]:
        return [entry.detail.get("reason") for entry in self.log.audit(actions=("sign-in refused",))][::-1]


@pytest.fixture
def house(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Iterator[House]:
    monkeypatch.setattr(_database, "SYNCHRONOUS", "OFF")
    made = House(tmp_path / "data")
    yield made
    made.log.close()


# --- making accounts ----------------------------------------------------------------------------------------------


def test_the_first_administrator_is_made_without_one(tmp_path: Path) -> None:
    with CaseLog(tmp_path) as log:
        accounts = Accounts(log, CHEAP)
        assert not accounts.administrators_exist()
        user = accounts.add_user("adam", "Adam Acker", "", Role.ADMINISTRATOR, GOOD, None)
        assert accounts.administrators_exist()
        assert user == User(1, "adam", "Adam Acker", "", Role.ADMINISTRATOR)
        assert log.audit(limit=1)[0].by_username == "command line"


def test_only_administrators_make_and_change_accounts(house: House) -> None:
    acts: tuple[Callable[[], object], ...] = (
        lambda: house.accounts.add_user("x", "X", "", Role.ADMINISTRATOR, GOOD, house.anna),
        lambda: house.accounts.add_external_user("x", "X", "", Role.ADMINISTRATOR, "iss", "sub", house.anna),
        lambda: house.accounts.disable(house.admin.id, house.anna),
        lambda: house.accounts.change_user(house.anna.id, house.anna, role=Role.ADMINISTRATOR),
        lambda: house.accounts.reset_password(house.admin.id, OTHER, house.anna),
        lambda: house.accounts.unlock(house.admin.id, house.anna),
    )
    for act in acts:
        with pytest.raises(PermissionDeniedError):
            act()
    assert house.accounts.users() == [house.admin, house.anna]


@pytest.mark.parametrize("again", ["anna", "ANNA", " anna ", "ａｎｎａ"])
def test_a_name_belongs_to_one_person_for_ever(house: House, again: str) -> None:
    house.accounts.disable(house.anna.id, house.admin)
    with pytest.raises(DuplicateError, match="was once"):
        house.accounts.add_user(again, "Anna Other", "", Role.PATHOLOGIST, GOOD, house.admin)


@pytest.mark.parametrize(("username", "full_name"), [("", "X"), ("x", " "), ("x\0", "X"), ("x" * 65, "X")])
def test_a_person_has_a_name_that_can_be_shown(house: House, username: str, full_name: str) -> None:
    with pytest.raises(CaseLogError):
        house.accounts.add_user(username, full_name, "", Role.PATHOLOGIST, GOOD, house.admin)


def test_a_weak_password_makes_no_account(house: House) -> None:
    with pytest.raises(PasswordError):
        house.accounts.add_user("ben", "Ben Berg", "", Role.PATHOLOGIST, "password123", house.admin)
    assert house.log.user_by_name("ben") is None


def test_passwords_are_kept_as_argon2id_only(tmp_path: Path) -> None:
    with CaseLog(tmp_path) as log:
        user = Accounts(log).add_user("adam", "Adam Acker", "", Role.ADMINISTRATOR, GOOD, None)
        stored = log.credentials_of(user.id)[0]
        assert stored is not None
        assert stored.startswith("$argon2id$v=19$m=65536,t=3,p=4$")
    for file in tmp_path.rglob("*"):
        assert not file.is_file() or GOOD.encode() not in file.read_bytes()


# --- signing in ---------------------------------------------------------------------------------------------------


def test_name_and_password_open_the_account(house: House) -> None:
    assert house.accounts.sign_in("Anna ", GOOD) == house.anna
    entry = house.log.audit(limit=1)[0]
    assert (entry.action, entry.by_user_id) == ("signed in", house.anna.id)


def test_a_password_is_the_same_from_every_keyboard(house: House) -> None:
    user = house.accounts.add_user("ben", "Ben Berg", "", Role.PATHOLOGIST, "fünf grüne schirme", house.admin)
    assert house.accounts.sign_in("ben", "fu\u0308nf gru\u0308ne schirme") == user


@pytest.mark.parametrize(
    ("username", "password"),
    [
        ("anna", "wrong"),
        ("anna", ""),
        ("anna", GOOD.upper()),
        ("anna", GOOD + " "),
        ("anna", "x" * 1_000_000),
        ("anna", "\ud800"),
        ("nobody", GOOD),
        ("", ""),
        ("' OR 1=1 --", GOOD),
        ("\ud800\0", GOOD),
    ],
)
def test_wrong_names_and_passwords_are_refused_in_the_same_words(house: House, username: str, password: str) -> None:
    with pytest.raises(SignInError) as refused:
        house.accounts.sign_in(username, password)
    assert str(refused.value) == "User name and password do not belong together. Check both and try again."


def test_refusals_are_audited_without_what_was_typed(house: House) -> None:
    house.guess("anna")
    house.guess("my secret password")
    house.accounts.disable(house.anna.id, house.admin)
    with pytest.raises(SignInError, match="do not belong together"):
        house.accounts.sign_in("anna", GOOD)
    assert house.reasons() == ["wrong password", "unknown user name", "deactivated"]
    assert "secret" not in str(house.log.audit(limit=1000))


def test_an_unknown_name_takes_as_long_as_a_wrong_password(tmp_path: Path) -> None:
    house = House(tmp_path / "data", PasswordHasher(time_cost=8, memory_cost=8192, parallelism=1))

    def seconds(username: str) -> float:
        taken = []
        for number in range(8):
            begin = time.process_time()
            house.guess(username, source=f"place {number}")
            taken.append(time.process_time() - begin)
        return statistics.median(taken)

    known, unknown = seconds("anna"), seconds("nobody")
    assert 0.7 < unknown / known < 1.4
    house.log.close()


def test_an_account_without_password_opens_by_none(house: House) -> None:
    house.accounts.add_external_user("eva", "Eva Ek", "MD", Role.PATHOLOGIST, "https://idp", "s-1", house.admin)
    for password in ("", "decoy of nobody"):
        with pytest.raises(SignInError):
            house.accounts.sign_in("eva", password)


def test_stronger_parameters_are_taken_up_at_the_next_sign_in(house: House) -> None:
    strong = PasswordHasher(time_cost=2, memory_cost=128, parallelism=1)
    Accounts(house.log, strong).sign_in("anna", GOOD)
    stored, since, _ = house.log.credentials_of(house.anna.id)
    assert stored is not None
    assert "m=128,t=2" in stored
    assert since == house.clock.time
    assert house.accounts.sign_in("anna", GOOD) == house.anna


# --- guessing -----------------------------------------------------------------------------------------------------


def test_pauses_grow_and_end(house: House) -> None:
    assert house.guess(times=5) == 5
    with pytest.raises(SignInError, match="Wait 1 seconds"):
        house.accounts.sign_in("anna", GOOD)
    house.clock.pass_by(seconds=1)
    assert house.guess() == 1
    with pytest.raises(SignInError, match="Wait 2 seconds"):
        house.accounts.sign_in("anna", GOOD)
    house.clock.pass_by(seconds=2)
    assert house.accounts.sign_in("anna", GOOD) == house.anna
    assert house.guess(times=5) == 5


def test_hundreds_of_guesses_one_a_second_get_nowhere(house: House) -> None:
    looked_at = house.guess(times=400, every=1)
    assert looked_at <= 14
    assert len(house.reasons()) == looked_at
    house.clock.pass_by(minutes=6)
    assert house.guess() == 1
    last = house.log.audit(actions=("sign-in refused",), limit=1)[0]
    assert last.detail["paused_before"] > 100


def test_guesses_at_an_unknown_name_are_slowed_alike(house: House) -> None:
    assert house.guess("nobody", times=50) == 5


def test_knocking_during_a_pause_does_not_prolong_it(house: House) -> None:
    house.guess(times=5)
    house.guess(times=100, every=0.005)
    house.clock.pass_by(seconds=0.6)
    assert house.accounts.sign_in("anna", GOOD) == house.anna


def test_a_pause_is_never_longer_than_five_minutes(house: House) -> None:
    house.guess(times=40, every=300)
    house.clock.pass_by(minutes=5)
    assert house.accounts.sign_in("anna", GOOD) == house.anna


def test_strangers_do_not_keep_a_person_out_of_a_known_place(house: House) -> None:
    assert house.accounts.sign_in("anna", GOOD, "desk") == house.anna
    for place in range(60):
        house.guess(times=1, source=f"stranger {place}")
    with pytest.raises(SignInError, match="Too many"):
        house.accounts.sign_in("anna", GOOD, "another new place")
    assert house.accounts.sign_in("anna", GOOD, "desk") == house.anna


def test_guesses_from_many_places_are_slowed_together(house: House) -> None:
    looked_at = sum(house.guess(source=f"place {number}") for number in range(60))
    assert looked_at == 20


def test_an_administrator_can_end_a_pause(house: House) -> None:
    house.guess(times=30, every=60)
    house.accounts.unlock(house.anna.id, house.admin)
    assert house.accounts.sign_in("anna", GOOD) == house.anna


def test_an_administrator_ends_the_pause_of_every_place_and_of_no_other_account(house: House) -> None:
    for source in ("desk", "ward", ""):
        house.guess(times=12, every=60, source=source)
    house.guess("nobody", times=12)
    house.accounts.unlock(house.anna.id, house.admin)
    for source in ("desk", "ward", ""):
        assert house.accounts.sign_in("anna", GOOD, source) == house.anna
    with pytest.raises(SignInError, match="Too many"):
        house.accounts.sign_in("nobody", GOOD)


def test_failures_are_forgotten_after_a_day(house: House) -> None:
    house.guess(times=30, every=60)
    house.clock.pass_by(hours=25)
    assert house.guess(times=5) == 5


@pytest.mark.parametrize("days", [-400, 400])
def test_a_clock_that_was_set_wrong_locks_nobody_out(house: House, days: int) -> None:
    house.guess(times=12, every=300)
    house.clock.pass_by(days=days)
    house.guess()
    house.clock.pass_by(minutes=5)
    assert house.accounts.sign_in("anna", GOOD) == house.anna


def test_guesses_at_the_same_moment_do_not_share_one_try(house: House) -> None:
    with ThreadPoolExecutor(8) as pool:
        looked_at = sum(pool.map(lambda _: house.guess(), range(40)))
    assert looked_at == 5


# --- sessions and changes -----------------------------------------------------------------------------------------


def test_signing_asks_for_the_password_again(house: House) -> None:
    house.accounts.reauthenticate(house.anna, GOOD)
    assert house.log.audit(limit=1)[0].action == "password confirmed"
    with pytest.raises(SignInError):
        house.accounts.reauthenticate(house.anna, OTHER)
    assert house.log.audit(limit=1)[0].action == "confirmation refused"
    house.accounts.disable(house.anna.id, house.admin)
    with pytest.raises(SignInError):
        house.accounts.reauthenticate(house.anna, GOOD)


def test_a_wrong_password_typed_again_says_whose_is_wanted_and_no_user_name(house: House) -> None:
    acts: tuple[Callable[[], object], ...] = (
        lambda: house.accounts.reauthenticate(house.anna, OTHER),
        lambda: house.accounts.set_password(house.anna, OTHER, "another lantern drifts"),
    )
    for act in acts:
        with pytest.raises(SignInError, match="not the password that Anna Arendt signs in with") as refused:
            act()
        assert "user name" not in str(refused.value).lower()
        assert "Type it again" in str(refused.value)


@pytest.mark.parametrize("password", [GOOD, OTHER])
def test_a_deactivated_account_is_not_told_whether_the_password_was_right(house: House, password: str) -> None:
    house.accounts.disable(house.anna.id, house.admin)
    acts: tuple[Callable[[], object], ...] = (
        lambda: house.accounts.reauthenticate(house.anna, password),
        lambda: house.accounts.set_password(house.anna, password, "another lantern drifts"),
    )
    for act in acts:
        with pytest.raises(SignInError, match="account of Anna Arendt is not active") as refused:
            act()
        assert "password" not in str(refused.value)


def test_the_audit_trail_says_where_a_wrong_password_was_typed(tmp_path: Path) -> None:
    House(tmp_path).log.close()
    with CaseLog(tmp_path, origin="web application") as log:
        accounts = Accounts(log, CHEAP)
        with pytest.raises(SignInError):
            accounts.reauthenticate(log.user(2), OTHER)
        with pytest.raises(SignInError):
            accounts.sign_in("nobody", OTHER)
        entries = log.audit(limit=2)
        assert {(entry.by_user_id, entry.by_username) for entry in entries} == {(None, "web application")}
        assert entries[1].detail["user_id"] == 2
        assert log.check() == []


def test_guessing_at_the_screen_of_another_is_slowed_too(house: House) -> None:
    for _ in range(5):
        with pytest.raises(SignInError, match="not the password"):
            house.accounts.reauthenticate(house.anna, OTHER)
    with pytest.raises(SignInError, match="Too many"):
        house.accounts.reauthenticate(house.anna, GOOD)


def test_a_session_ends_with_the_account_or_a_new_password(house: House) -> None:
    begin = since(house)
    assert house.accounts.session_user(house.anna.id, begin) == house.anna
    house.clock.pass_by(minutes=1)
    house.accounts.set_password(house.anna, GOOD, OTHER)
    with pytest.raises(SignInError, match="password of this account was changed"):
        house.accounts.session_user(house.anna.id, begin)
    assert house.accounts.session_user(house.anna.id, since(house)) == house.anna
    house.accounts.disable(house.anna.id, house.admin)
    with pytest.raises(SignInError, match="deactivated"):
        house.accounts.session_user(house.anna.id, since(house))


def since(house: House) -> datetime:
    found = house.accounts.password_since("anna")
    assert found is not None
    return found


@pytest.mark.parametrize("back", [timedelta(0), timedelta(minutes=1), timedelta(days=400)])
def test_a_new_password_ends_sessions_whatever_the_clock_says(house: House, back: timedelta) -> None:
    house.clock.pass_by(minutes=1)
    begin = since(house)
    house.clock.pass_by(seconds=-back.total_seconds())
    house.accounts.reset_password(house.anna.id, OTHER, house.admin)
    with pytest.raises(SignInError, match="password of this account was changed"):
        house.accounts.session_user(house.anna.id, begin)
    house.accounts.reset_password(house.anna.id, GOOD, house.admin)  # at the same moment again
    with pytest.raises(SignInError, match="password of this account was changed"):
        house.accounts.session_user(house.anna.id, begin)


def test_a_name_that_nobody_has_has_no_password(house: House) -> None:
    assert house.accounts.password_since("nobody") is None


def test_the_end_of_a_session_is_on_record(house: House) -> None:
    house.accounts.sign_out(house.anna, "idle")
    house.accounts.disable(house.anna.id, house.admin)
    house.accounts.sign_out(house.anna)
    entries = house.log.audit(actions=("signed out",))
    assert [(entry.by_user_id, entry.detail["why"]) for entry in entries] == [
        (None, "by the user"),
        (house.anna.id, "idle"),
    ]
    assert {entry.detail["user_id"] for entry in entries} == {house.anna.id}


def test_a_new_password_replaces_the_old_one(house: House) -> None:
    with pytest.raises(SignInError):
        house.accounts.set_password(house.anna, OTHER, OTHER)
    with pytest.raises(PasswordError):
        house.accounts.set_password(house.anna, GOOD, "short")
    house.accounts.set_password(house.anna, GOOD, OTHER)
    assert house.accounts.sign_in("anna", OTHER) == house.anna
    with pytest.raises(SignInError):
        house.accounts.sign_in("anna", GOOD)


def test_a_reset_password_is_to_be_changed(house: House) -> None:
    assert not house.accounts.must_change_password(house.anna)
    house.accounts.reset_password(house.anna.id, OTHER, house.admin)
    assert house.accounts.must_change_password(house.accounts.sign_in("anna", OTHER))
    house.accounts.set_password(house.anna, OTHER, GOOD)
    assert not house.accounts.must_change_password(house.anna)


def test_a_deactivated_account_stays_and_can_come_back(house: House) -> None:
    gone = house.accounts.disable(house.anna.id, house.admin)
    assert not gone.active
    assert house.accounts.users() == [house.admin, gone]
    assert house.log.users(active_only=True) == [house.admin]
    assert house.accounts.enable(house.anna.id, house.admin) == house.anna
    assert house.accounts.sign_in("anna", GOOD) == house.anna


def test_the_last_administrator_cannot_go(house: House) -> None:
    with pytest.raises(AccountError, match="last active administrator"):
        house.accounts.disable(house.admin.id, house.admin)
    with pytest.raises(AccountError, match="last active administrator"):
        house.accounts.change_user(house.admin.id, house.admin, role=Role.LAB_MANAGER)
    assert house.accounts.users()[0] == house.admin
    second = house.accounts.add_user("eva", "Eva Ek", "", Role.ADMINISTRATOR, GOOD, house.admin)
    assert not house.accounts.disable(house.admin.id, second).active


def test_name_credentials_and_role_can_change(house: House) -> None:
    changed = house.accounts.change_user(
        house.anna.id, house.admin, full_name="Anna Berg", credentials="MD PhD", role=Role.LAB_MANAGER
    )
    assert changed == User(house.anna.id, "anna", "Anna Berg", "MD PhD", Role.LAB_MANAGER)
    assert house.log.audit(limit=1)[0].detail == {
        "user_id": house.anna.id,
        "changed": {
            "full_name": ["Anna Arendt", "Anna Berg"],
            "credentials": ["MD", "MD PhD"],
            "role": ["pathologist", "lab manager"],
        },
    }
    head = house.log.audit_head()
    house.accounts.change_user(house.anna.id, house.admin, full_name="Anna Berg")
    assert house.log.audit_head() == head


# --- identity providers -------------------------------------------------------------------------------------------


def test_an_external_identity_opens_its_account_until_it_expires(house: House) -> None:
    eva = house.accounts.add_external_user("eva", "Eva Ek", "MD", Role.PATHOLOGIST, "https://idp", "s-1", house.admin)
    soon = house.clock.time + timedelta(minutes=5)
    assert house.accounts.sign_in_external("https://idp", "s-1", soon) == eva
    for issuer, subject in (("https://evil", "s-1"), ("https://idp", "s-2")):
        with pytest.raises(SignInError, match="no active account"):
            house.accounts.sign_in_external(issuer, subject, soon)
    house.clock.pass_by(minutes=5)
    with pytest.raises(SignInError, match="expired"):
        house.accounts.sign_in_external("https://idp", "s-1", soon)
    house.accounts.disable(eva.id, house.admin)
    with pytest.raises(SignInError, match="no active account"):
        house.accounts.sign_in_external("https://idp", "s-1", soon + timedelta(hours=1))
    with pytest.raises(DuplicateError):
        house.accounts.add_external_user("eve", "Eve", "", Role.PATHOLOGIST, "https://idp", "s-1", house.admin)


def test_the_role_follows_the_identity_provider_where_it_tells_one(house: House) -> None:
    house.accounts.add_external_user("eva", "Eva Ek", "MD", Role.PATHOLOGIST, "https://idp", "s-1", house.admin)
    soon = house.clock.time + timedelta(minutes=5)
    assert house.accounts.sign_in_external("https://idp", "s-1", soon, Role.LAB_MANAGER).role is Role.LAB_MANAGER
    assert house.accounts.sign_in_external("https://idp", "s-1", soon).role is Role.LAB_MANAGER
