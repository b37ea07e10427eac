"""Intake, change, conflict, state and search of cases."""

import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import replace
from datetime import date, datetime, timedelta

import pytest

from her2core.caselog._schema import PATIENT_KEY
from her2core.caselog.lookup import Query
from her2core.errors import (
    CaseLogError,
    ConflictError,
    DuplicateError,
    NotFoundError,
    PermissionDeniedError,
    WrongStateError,
)
from her2core.records import IHC, Case, CaseDetails, CaseState, Population, Role, User
from tests.caselog.lab import Lab, details

FULL = CaseDetails(
    accession="26-1001",
    patient_name="Müller, Änne",
    patient_id="P-77",
    date_of_birth=date(1961, 2, 28),
    sex="female",
    requester="Dr. B",
    specimen="core biopsy",
    site="breast",
    laterality="left",
    block="A1",
    fixative="formalin",
    fixation_hours=17.5,
    cold_ischaemia_min=20.0,
    collected_on=date(2026, 11, 20),
    received_on=date(2026, 11, 21),
    probe_kit="kit",
    probe_lot="L-9",
    probe_expiry=date(2027, 5, 31),
    controls_ok=True,
    ihc=IHC.ZERO_PLUS,
    ihc_same_sample=False,
)


def test_a_case_comes_back_as_it_was_entered(lab: Lab) -> None:
    case = lab.log.create_case(FULL, lab.anna)
    assert lab.log.case(case.id) == case
    assert case.details == FULL
    assert (case.state, case.version, case.created_by) == (CaseState.DRAFT, 1, lab.anna.id)
    assert case.created_at == case.updated_at == lab.clock.time
    assert case.populations == (Population("A", 100.0),)


def test_the_smallest_case_comes_back_as_it_was_entered(lab: Lab) -> None:
    assert lab.log.create_case(details(), lab.anna).details == details()


def test_texts_are_trimmed_and_composed(lab: Lab) -> None:
    case = lab.log.create_case(CaseDetails(" 26-1 ", "Mu\u0308ller ", " P1 "), lab.anna)
    assert case.details == CaseDetails("26-1", "Müller", "P1")


@pytest.mark.parametrize("field", ["accession", "patient_name", "patient_id"])
def test_what_identifies_the_case_is_required(lab: Lab, field: str) -> None:
    changes: dict[str, str] = {field: "  "}
    with pytest.raises(CaseLogError, match="fill in"):
        lab.log.create_case(replace(details(), **changes), lab.anna)  # type: ignore[arg-type]
    assert len(lab.log.look_up_ids()) == 0


def test_all_that_is_missing_is_named_at_once(lab: Lab) -> None:
    with pytest.raises(CaseLogError, match="Please fill in: accession number, patient name, patient ID"):
        lab.log.create_case(CaseDetails("", " ", ""), lab.anna)


@pytest.mark.parametrize(
    "hostile",
    ["null\0byte", "escape\x1b[2J", "bell\x07", "c1\x9b", "lone surrogate \ud800", "reversed \u202etxt", "x" * 501],
)
def test_text_that_attacks_the_next_program_is_refused(lab: Lab, hostile: str) -> None:
    with pytest.raises(CaseLogError, match="Please"):
        lab.log.create_case(details(requester=hostile), lab.anna)


@pytest.mark.parametrize("harmless", ["'; DROP TABLE cases; --", "<script>alert(1)</script>", "=1+1", "صدام", "張偉"])
def test_text_that_only_looks_dangerous_is_kept_as_it_is(lab: Lab, harmless: str) -> None:
    case = lab.log.create_case(details(requester=harmless), lab.anna)
    assert lab.log.case(case.id).details.requester == harmless
    assert lab.log.check() == []


@pytest.mark.parametrize("hours", [-1.0, float("nan"), float("inf")])
def test_a_time_that_cannot_be_is_refused(lab: Lab, hours: float) -> None:
    with pytest.raises(CaseLogError, match="fixation hours"):
        lab.log.create_case(details(fixation_hours=hours), lab.anna)


@pytest.mark.parametrize("again", ["26-1001", " 26-1001", "２６-1001"])
def test_an_accession_number_is_used_once(lab: Lab, again: str) -> None:
    lab.draft("26-1001")
    with pytest.raises(DuplicateError, match="accession number"):
        lab.draft(again)
    other = lab.draft("26-1002")
    with pytest.raises(DuplicateError):
        lab.log.update_details(other.id, replace(other.details, accession=again), other.version, lab.anna)


def test_the_audit_keeps_old_and_new_value_of_each_changed_field(lab: Lab) -> None:
    case = lab.log.create_case(FULL, lab.anna)
    lab.log.update_details(case.id, replace(FULL, block="A2", controls_ok=None), 1, lab.ben)
    entry = lab.log.audit(case.id, limit=1)[0]
    assert (entry.action, entry.by_username) == ("case details changed", "ben")
    assert entry.detail == {"changed": {"block": ["A1", "A2"], "controls_ok": [1, None]}}


def test_saving_without_a_change_leaves_no_trace(lab: Lab) -> None:
    case = lab.log.create_case(FULL, lab.anna)
    head = lab.log.audit_head()
    assert lab.log.update_details(case.id, FULL, 1, lab.anna) == case
    assert lab.log.set_populations(case.id, case.populations, 1, lab.anna) == case
    assert lab.log.audit_head() == head


def test_a_stale_version_is_refused_with_the_name_of_who_changed_it(lab: Lab) -> None:
    case = lab.draft()
    lab.clock.pass_by(minutes=5)
    lab.log.update_details(case.id, replace(case.details, block="B"), case.version, lab.ben)
    changes: tuple[Callable[[], Case], ...] = (
        lambda: lab.log.update_details(case.id, replace(case.details, block="C"), case.version, lab.anna),
        lambda: lab.log.set_populations(case.id, [Population("B")], case.version, lab.anna),
        lambda: lab.log.mark_reviewed(case.id, case.version, lab.anna),
    )
    for change in changes:
        with pytest.raises(ConflictError, match="Ben Berg changed this case at 2026-11-24 09:05 UTC"):
            change()
    assert lab.log.case(case.id).details.block == "B"


def test_ones_own_second_window_is_told_so(lab: Lab) -> None:
    case = lab.draft()
    lab.log.update_details(case.id, replace(case.details, block="B"), case.version, lab.anna)
    with pytest.raises(ConflictError, match="You changed this case yourself"):
        lab.log.update_details(case.id, replace(case.details, block="C"), case.version, lab.anna)


def test_every_change_raises_the_version(lab: Lab) -> None:
    case, region = lab.analysed()
    versions = [case.version]
    lab.correct(region)
    versions.append(lab.log.case(case.id).version)
    lab.log.attest_no_discordance(case.id, lab.anna, True)
    versions.append(lab.log.case(case.id).version)
    lab.region(case, b"another image")
    versions.append(lab.log.case(case.id).version)
    assert versions == sorted(set(versions))


def test_what_is_derived_does_not_raise_the_version(lab: Lab) -> None:
    case, _ = lab.analysed()
    lab.log.set_state(case.id, CaseState.REVIEWED, lab.anna)
    lab.log.set_result(case.id, 1, "positive", lab.anna)
    assert lab.log.case(case.id).version == case.version


@pytest.mark.parametrize(
    "populations",
    [
        [],
        [Population("A"), Population("a ")],
        [Population("")],
        [Population("A", 101.0)],
        [Population("A", -1.0)],
        [Population("A", float("nan"))],
        [Population("A", 60.0), Population("B", 41.0)],
        [Population(str(i)) for i in range(27)],
    ],
)
def test_populations_that_cannot_be_are_refused(lab: Lab, populations: list[Population]) -> None:
    case = lab.draft()
    with pytest.raises(CaseLogError):
        lab.log.set_populations(case.id, populations, case.version, lab.anna)


def test_populations_come_back_in_their_order(lab: Lab) -> None:
    case = lab.draft()
    wanted = [Population("B", 15.0), Population("A", 85.0), Population("rest")]
    assert lab.log.set_populations(case.id, wanted, case.version, lab.anna).populations == tuple(wanted)


def test_a_case_is_found_by_its_accession_number_however_it_is_typed(lab: Lab) -> None:
    case = lab.draft("H26/17 b")
    assert lab.log.case_by_accession("  h26/17  B") == case
    with pytest.raises(NotFoundError):
        lab.log.case_by_accession("H26/18")
    with pytest.raises(NotFoundError):
        lab.log.case(99)


def test_search_finds_every_word_in_number_name_or_id(lab: Lab) -> None:
    lab.log.create_case(CaseDetails("26-1", "Müller, Änne", "P-77"), lab.anna)
    lab.log.create_case(CaseDetails("26-2", "Straße 100%_", "Q-78"), lab.anna)

    def found(text: str) -> list[str]:
        return sorted(summary.accession for summary in lab.log.look_up(Query(text)))

    assert found("") == found("26-") == ["26-1", "26-2"]
    assert found("MÜLLER") == found("änne müll") == found("77 26-1") == ["26-1"]
    assert found("strasse") == found("100%_") == ["26-2"]
    assert found("%") == ["26-2"]
    assert found("müller 78") == found("' OR 1=1 --") == found("\ud800") == []


def test_search_narrows_by_state_result_date_and_person(lab: Lab) -> None:
    first, _ = lab.analysed("26-1")
    lab.log.set_result(first.id, 3, "positive", lab.anna)
    lab.clock.pass_by(days=1)
    second = lab.log.create_case(details("26-2"), lab.ben)

    def found(**terms: object) -> list[int]:
        cases = [summary.id for summary in lab.log.look_up(Query(**terms))]  # type: ignore[arg-type]
        assert lab.log.look_up_ids(Query(**terms)) == tuple(sorted(cases))  # type: ignore[arg-type]
        return cases

    assert found() == [second.id, first.id]
    assert found(states=(CaseState.ANALYSED,)) == [first.id]
    assert found(states=(CaseState.ANALYSED, CaseState.DRAFT)) == [second.id, first.id]
    assert found(states=(CaseState.SIGNED,)) == []
    assert found(group=3) == found(outcome="positive") == [first.id]
    assert found(group=1) == []
    assert found(since=date(2026, 11, 25)) == found(reader=lab.ben.id) == [second.id]
    assert found(until=date(2026, 11, 24)) == [first.id]
    assert found(since=date(2026, 11, 24), until=date(2026, 11, 25)) == [second.id, first.id]


BERLIN = "CET-1CEST,M3.5.0,M10.5.0/3"
AUCKLAND = "NZST-12NZDT,M9.5.0,M4.1.0/3"
NO_MIDNIGHT = "BRT3BRST,M10.1.0/0,M2.3.0/0"  # summer time begins at midnight, which becomes one o'clock


@pytest.mark.parametrize(
    ("zone", "moment", "day"),
    [
        ("UTC", "2026-11-24T00:00", date(2026, 11, 24)),
        ("UTC", "2026-11-24T23:59", date(2026, 11, 24)),
        (AUCKLAND, "2026-11-23T20:00", date(2026, 11, 24)),
        ("PST8", "2026-11-25T02:00", date(2026, 11, 24)),
        (BERLIN, "2026-03-28T23:00", date(2026, 3, 29)),  # a day of 23 hours
        (BERLIN, "2026-03-29T21:59", date(2026, 3, 29)),
        (BERLIN, "2026-10-24T22:00", date(2026, 10, 25)),  # one of 25
        (BERLIN, "2026-10-25T22:59", date(2026, 10, 25)),
        (NO_MIDNIGHT, "2026-10-04T02:59", date(2026, 10, 3)),
        (NO_MIDNIGHT, "2026-10-04T03:00", date(2026, 10, 4)),
    ],
)
def test_cases_are_found_on_the_day_that_the_list_shows(lab: Lab, zone: str, moment: str, day: date) -> None:
    lab.clock.time = datetime.fromisoformat(f"{moment}+00:00")
    case, _ = lab.signed()
    with _local_time(zone):
        assert case.created_at.astimezone().date() == day
        for by_signing in (False, True):
            for days, found in ((-1, ()), (0, (case.id,)), (1, ())):
                on = day + timedelta(days=days)
                assert lab.log.look_up_ids(Query(since=on, until=on, by_signing=by_signing)) == found


@contextmanager
def _local_time(zone: str) -> Iterator[None]:
    try:
        with pytest.MonkeyPatch.context() as patch:
            patch.setenv("TZ", zone)
            time.tzset()
            yield
    finally:
        time.tzset()


def test_lists_are_cut_into_pages(lab: Lab) -> None:
    for number in range(5):
        lab.clock.pass_by(minutes=1)
        lab.draft(f"26-{number}")
    assert [s.accession for s in lab.log.look_up(limit=2)] == ["26-4", "26-3"]
    assert [s.accession for s in lab.log.look_up(limit=2, offset=4)] == ["26-0"]
    assert [s.accession for s in lab.log.look_up(limit=2, ascending=True)] == ["26-0", "26-1"]
    assert lab.log.look_up(limit=-1) == []
    assert len(lab.log.look_up_ids()) == 5


def test_a_summary_says_what_a_list_shows(lab: Lab) -> None:
    case, report = lab.signed()
    summary = lab.log.look_up()[0]
    assert (summary.id, summary.accession, summary.block) == (case.id, "26-1001", "A1")
    assert (summary.state, summary.version) == (CaseState.SIGNED, case.version)
    assert (summary.regions, summary.latest_report_id, summary.amending) == (1, report.id, False)


@pytest.mark.parametrize("state", [CaseState.SIGNED, CaseState.AMENDED])
def test_only_a_report_makes_a_case_signed(lab: Lab, state: CaseState) -> None:
    case = lab.ready()
    with pytest.raises(WrongStateError):
        lab.log.set_state(case.id, state, lab.anna)


def test_a_group_is_one_of_five(lab: Lab) -> None:
    case = lab.draft()
    with pytest.raises(CaseLogError):
        lab.log.set_result(case.id, 6, "positive", lab.anna)


def test_wrong_roles_change_no_case(lab: Lab) -> None:
    case = lab.draft()
    for user in (lab.manager, lab.admin):
        with pytest.raises(PermissionDeniedError):
            lab.log.create_case(details("26-2"), user)
        with pytest.raises(PermissionDeniedError):
            lab.log.update_details(case.id, replace(case.details, block="X"), case.version, user)
        with pytest.raises(PermissionDeniedError):
            lab.log.set_state(case.id, CaseState.ANALYSED, user)
    assert lab.log.case(case.id) == case


def test_a_role_that_somebody_made_up_does_not_help(lab: Lab) -> None:
    forged = replace(lab.manager, role=Role.PATHOLOGIST)
    with pytest.raises(PermissionDeniedError, match="may not open a case"):
        lab.log.create_case(details(), forged)
    unknown = User(99, "ghost", "Ghost", "MD", Role.PATHOLOGIST)
    with pytest.raises(PermissionDeniedError, match="not known"):
        lab.log.create_case(details(), unknown)
    other_name = replace(lab.anna, username="ben")
    with pytest.raises(PermissionDeniedError, match="not known"):
        lab.log.create_case(details(), other_name)


def test_an_account_deactivated_a_moment_ago_changes_nothing(lab: Lab) -> None:
    case = lab.draft()
    lab.log.update_user(lab.anna.id, lab.admin, active=False)
    with pytest.raises(PermissionDeniedError, match="deactivated"):
        lab.log.update_details(case.id, replace(case.details, block="X"), case.version, lab.anna)
    with pytest.raises(PermissionDeniedError, match="deactivated"):
        lab.log.note("case viewed", lab.anna, case.id)


def test_the_cases_of_a_patient_are_found_without_looking_at_all_cases(lab: Lab) -> None:
    with lab.log.reading() as db:
        plan = db.execute(f"EXPLAIN QUERY PLAN SELECT * FROM cases WHERE {PATIENT_KEY} = ?", ["mrn-1"]).fetchall()
    assert any("USING INDEX cases_patient" in step[-1] for step in plan), plan
