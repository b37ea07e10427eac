"""Every cell of the table role x action, written out a second time, by hand."""

import pytest

from her2core.errors import PermissionDeniedError
from her2core.permissions import TABLE, Action, decide, require
from her2core.records import Role, User

# pathologist, lab manager, administrator
EXPECTED = {
    Action.VIEW_CASE: "yes yes no",
    Action.CREATE_CASE: "yes no no",
    Action.EDIT_CASE: "yes no no",
    Action.ADD_REGION: "yes no no",
    Action.ANALYSE: "yes no no",
    Action.CORRECT: "yes no no",
    Action.REVIEW: "yes no no",
    Action.RECOUNT: "yes no no",
    Action.ADJUDICATE: "yes no no",
    Action.SIGN: "yes no no",
    Action.AMEND: "yes no no",
    Action.DOWNLOAD: "yes yes no",
    Action.EXPORT: "yes yes no",
    Action.VIEW_AUDIT: "yes yes no",
    Action.VIEW_STATISTICS: "no yes no",
    Action.MANAGE_MODELS: "no yes no",
    Action.MANAGE_USERS: "no no yes",
    Action.MANAGE_KEYS: "no no yes",
    Action.MANAGE_LABORATORY: "no no yes",
    Action.CHECK: "no yes yes",
    Action.BACK_UP: "no no yes",
}
CELLS = [
    (role, action, word == "yes")
    for action, words in EXPECTED.items()
    for role, word in zip(Role, words.split(), strict=True)
]


def _user(role: Role, active: bool = True) -> User:
    return User(7, "user", "A User", "MD", role, active)


@pytest.mark.parametrize(("role", "action", "allowed"), CELLS)
def test_every_cell_is_as_written(role: Role, action: Action, allowed: bool) -> None:
    user = _user(role)
    assert bool(decide(user, action)) is allowed
    assert str(action) in decide(user, action).reason
    if allowed:
        assert require(user, action) is user
    else:
        with pytest.raises(PermissionDeniedError, match="may not"):
            require(user, action)


def test_the_cells_cover_all_roles_and_actions() -> None:
    assert set(EXPECTED) == set(Action)
    assert set(TABLE) == set(Role)


@pytest.mark.parametrize("role", list(Role))
@pytest.mark.parametrize("action", list(Action))
def test_a_deactivated_account_may_nothing(role: Role, action: Action) -> None:
    with pytest.raises(PermissionDeniedError, match="deactivated"):
        require(_user(role, active=False), action)


@pytest.mark.parametrize("action", list(Action))
def test_nobody_may_nothing_without_signing_in(action: Action) -> None:
    with pytest.raises(PermissionDeniedError, match="Sign in"):
        require(None, action)


def test_the_table_cannot_be_changed_at_run_time() -> None:
    with pytest.raises(TypeError):
        TABLE[Role.LAB_MANAGER] = frozenset(Action)  # type: ignore[index]
