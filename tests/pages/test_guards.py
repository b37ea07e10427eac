"""Each page file guards itself: alone, without session and with each wrong role, it shows nothing at all."""

from __future__ import annotations

import time

import pytest

from her2core.records import Role
from her2core.ui.frame import PAGES
from tests.pages.app import ROOT, page_alone
from tests.pages.lab import PEOPLE, TestLaboratory

FILES = sorted(path.name for path in (ROOT / "pages").glob("*.py"))
ALLOWED = {
    file: {role for role, pages in PAGES.items() if f"pages/{file}" in [page for page, _, _ in pages]} for file in FILES
}
BY_ROLE = {Role.PATHOLOGIST: "berg", Role.LAB_MANAGER: "lind", Role.ADMINISTRATOR: "nair"}


def test_every_page_is_of_some_role_and_every_role_has_pages() -> None:
    assert {file for file, roles in ALLOWED.items() if not roles} == set()
    assert set(PAGES) == set(Role)


@pytest.mark.parametrize("file", FILES)
def test_a_page_shows_nothing_without_session(lab: TestLaboratory, file: str) -> None:
    at = page_alone(file)
    assert not at.exception
    assert len(at.main) == 0


@pytest.mark.parametrize(
    ("file", "role"), [(file, role) for file in FILES for role in Role if role not in ALLOWED[file]]
)
def test_a_page_shows_nothing_to_another_role(lab: TestLaboratory, file: str, role: Role) -> None:
    at = page_alone(file, lab.person(BY_ROLE[role]))
    assert not at.exception
    assert len(at.main) == 0


@pytest.mark.parametrize(("file", "role"), [(file, role) for file in FILES for role in Role if role in ALLOWED[file]])
def test_a_page_shows_something_to_its_own_role(lab: TestLaboratory, file: str, role: Role) -> None:
    at = page_alone(file, lab.person(BY_ROLE[role]))
    assert not at.exception
    assert len(at.main) > 0


@pytest.mark.parametrize("file", FILES)
def test_a_deactivated_account_sees_nothing_from_the_next_run_on(lab: TestLaboratory, file: str) -> None:
    person = lab.person("okafor" if Role.PATHOLOGIST in ALLOWED[file] else BY_ROLE[next(iter(ALLOWED[file]))])
    if person.role is Role.ADMINISTRATOR:
        spare = lab.accounts.add_user("spare", "Spare Person", "", Role.ADMINISTRATOR, "a spare password 77", None)
        lab.accounts.disable(person.id, spare)
    else:
        lab.accounts.disable(person.id, lab.person("nair"))
    at = page_alone(file, person)
    assert not at.exception
    assert len(at.main) == 0


def test_a_forged_session_of_an_unknown_user_sees_nothing(lab: TestLaboratory) -> None:
    from dataclasses import replace

    at = page_alone("worklist.py", replace(lab.person("berg"), id=9999))
    assert len(at.main) == 0


def test_a_session_left_idle_sees_nothing(lab: TestLaboratory) -> None:
    at = page_alone("worklist.py", lab.person("berg"), seen=time.monotonic() - 16 * 60)
    assert len(at.main) == 0


def test_every_role_has_an_account_in_these_tests() -> None:
    assert {role for _, role in PEOPLE.values()} == set(Role)
