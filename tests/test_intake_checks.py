"""What in the details of a case cannot be is refused; what asks for a second look is a warning, read before signing."""

# ruff: noqa: F811 (fixtures are imported, and named again where they are used)

from __future__ import annotations

from dataclasses import replace
from datetime import UTC, date, datetime, timedelta

import pytest

from her2core import workflow
from her2core.errors import CaseLogError, Her2CoreError
from her2core.records import CaseDetails, CaseState
from her2core.reporting.content import Laboratory
from her2core.scoring.asked import as_told
from her2core.workflow.content import Addendum
from her2core.workflow.intake_checks import details_warnings
from tests.pages.conftest import lab, no_waiting_for_the_disk, template  # noqa: F401 (fixtures)
from tests.pages.lab import NEGATIVE, POSITIVE, TestLaboratory

TODAY = date(2026, 11, 24)
GOOD = CaseDetails(
    "S26-1",
    "Muster, Erika",
    "MRN-77",
    date_of_birth=date(1961, 3, 9),
    collected_on=date(2026, 11, 17),
    received_on=date(2026, 11, 18),
    fixation_hours=18,
    cold_ischaemia_min=25,
    probe_lot="L-1",
    probe_expiry=date(2027, 5, 1),
)
TOMORROW = TODAY + timedelta(days=1)


def said(
    details: CaseDetails, *others: CaseDetails, opened: date = TODAY, today: date = TODAY
) -> list[tuple[str, bool]]:
    return [(w.text, w.impossible) for w in details_warnings(details, others, opened=opened, today=today)]


@pytest.mark.parametrize(
    ("changes", "expected"),
    [
        ({}, None),
        ({"collected_on": date(2026, 11, 18)}, None),  # received on the same day
        ({"collected_on": date(2026, 11, 19)}, "The specimen was collected on 19 Nov 2026, after it was received on"),
        ({"collected_on": None, "received_on": TODAY}, None),
        ({"received_on": TOMORROW}, "The day of receipt (25 Nov 2026) is in the future."),
        ({"collected_on": TOMORROW, "received_on": None}, "The day of collection (25 Nov 2026) is in the future."),
        ({"date_of_birth": date(2026, 11, 17)}, None),
        ({"date_of_birth": date(2026, 11, 18)}, "The date of birth (18 Nov 2026) is after the specimen was collected"),
        (
            {"date_of_birth": date(2026, 11, 19), "collected_on": None},
            "The date of birth (19 Nov 2026) is after the specimen was received",
        ),
        (
            {"date_of_birth": TOMORROW, "collected_on": None, "received_on": None},
            "The date of birth (25 Nov 2026) is in the future.",
        ),
        ({"date_of_birth": None, "collected_on": None, "received_on": None}, None),
    ],
)
def test_days_that_cannot_be(changes: dict[str, date | None], expected: str | None) -> None:
    found = said(replace(GOOD, **changes))  # type: ignore[arg-type]
    assert [impossible for _, impossible in found] == ([] if expected is None else [True])
    assert expected is None or found[0][0].startswith(expected)


@pytest.mark.parametrize(
    ("changes", "expected"),
    [
        ({"probe_expiry": TODAY}, None),  # good on its last day
        ({"probe_expiry": TODAY - timedelta(days=1)}, "The probe lot L-1 expired on 23 Nov 2026, before the case was"),
        ({"probe_expiry": TODAY - timedelta(days=1), "probe_lot": ""}, "The probe lot expired on"),
        ({"fixation_hours": 6}, None),
        ({"fixation_hours": 72}, None),
        ({"fixation_hours": 5.5}, "Fixation of 5.5 hours is outside the 6 to 72 hours of the guideline."),
        ({"fixation_hours": 73}, "Fixation of 73 hours is outside"),
        ({"fixation_hours": 0}, "Fixation of 0 hours is outside"),
        ({"fixation_hours": None}, None),
        ({"cold_ischaemia_min": 60}, None),
        ({"cold_ischaemia_min": 61}, "Cold ischaemia of 61 minutes is longer than the 60 minutes of the guideline."),
    ],
)
def test_assay_and_fixation(changes: dict[str, float | date | None], expected: str | None) -> None:
    found = said(replace(GOOD, **changes))  # type: ignore[arg-type]
    assert [impossible for _, impossible in found] == ([] if expected is None else [False])
    assert expected is None or found[0][0].startswith(expected)


@pytest.mark.parametrize(
    ("changes", "expected"),
    [
        ({"fixation_hours": -5}, "Fixation of -5 hours cannot be: enter 0 to 1000 hours, or leave the field empty."),
        ({"fixation_hours": -0.5}, "Fixation of -0.5 hours cannot be"),
        ({"fixation_hours": 1000.5}, "Fixation of 1000.5 hours is longer than can be: enter 0 to 1000 hours"),
        ({"fixation_hours": 2_000_000}, "Fixation of 2000000 hours is longer than can be"),
        ({"fixation_hours": float("nan")}, "Fixation of nan hours cannot be"),
        ({"fixation_hours": float("inf")}, "Fixation of inf hours is longer than can be"),
        ({"cold_ischaemia_min": -1}, "Cold ischaemia of -1 minutes cannot be: enter 0 to 10000 minutes"),
        ({"cold_ischaemia_min": 10_001}, "Cold ischaemia of 10001 minutes is longer than can be: enter 0 to 10000"),
    ],
)
def test_times_that_cannot_be(changes: dict[str, float], expected: str) -> None:
    ((text, impossible),) = said(replace(GOOD, **changes))  # type: ignore[arg-type]
    assert impossible
    assert text.startswith(expected)


@pytest.mark.parametrize(
    ("changes", "doubtful"),
    [
        ({"fixation_hours": 1000}, True),
        ({"cold_ischaemia_min": 10_000}, True),
        ({"cold_ischaemia_min": 0}, False),
    ],
)
def test_times_at_their_limits_can_be(changes: dict[str, float], doubtful: bool) -> None:
    assert [impossible for _, impossible in said(replace(GOOD, **changes))] == [False] * doubtful  # type: ignore[arg-type]


def test_a_lot_that_expires_while_the_case_is_open_was_good_when_the_case_began() -> None:
    expired = replace(GOOD, probe_expiry=TODAY - timedelta(days=3))
    assert said(expired, opened=TODAY - timedelta(days=5)) == []


@pytest.mark.parametrize(
    ("name", "same"),
    [
        ("Muster, Erika", True),
        ("MUSTER, ERIKA", True),
        ("Erika  Muster", True),
        ("Muster,Erika", True),
        ("Muster, Erich", False),
        ("Muster", False),
        ("", True),  # not entered yet
    ],
)
def test_a_name_is_another_one_only_by_its_words(name: str, same: bool) -> None:
    other = replace(GOOD, accession="S26-2", patient_name="Muster, Erika")
    found = said(replace(GOOD, patient_name=name), other)
    assert (found == []) is same
    assert same or found[0][0].startswith("The patient ID MRN-77 is used with another name in one other case.")


def test_no_warning_tells_anything_of_the_other_patient() -> None:
    stranger = replace(GOOD, accession="S26-2", patient_name="Fremd, Frida", date_of_birth=date(1950, 1, 2))
    twin = replace(GOOD, accession="S26-3", date_of_birth=date(1950, 1, 2))
    texts = " ".join(text for text, _ in said(GOOD, stranger, stranger, twin))
    assert "with another name in 2 other cases" in texts
    assert "with another date of birth in one other case" in texts
    for secret in ("Fremd", "Frida", "1950", "S26-2", "S26-3"):
        assert secret not in texts


# --- in the case log --------------------------------------------------------------------------------------------------


def test_what_cannot_be_is_not_stored(lab: TestLaboratory) -> None:
    berg = lab.person("berg")
    with pytest.raises(CaseLogError, match="after it was received"):
        workflow.create_case(lab.log, replace(GOOD, collected_on=date(2026, 11, 20)), berg)
    with pytest.raises(CaseLogError, match="Fixation of -5 hours cannot be"):
        workflow.create_case(lab.log, replace(GOOD, fixation_hours=-5), berg)
    assert lab.log.look_up_ids() == ()
    case = workflow.create_case(lab.log, GOOD, berg)
    with pytest.raises(CaseLogError, match="is after the specimen"):
        workflow.set_details(lab.log, case.id, replace(GOOD, date_of_birth=date(2026, 11, 20)), case.version, berg)
    assert lab.log.case(case.id).details == GOOD


def test_what_was_wrong_before_does_not_bar_another_change(lab: TestLaboratory) -> None:
    wrong = replace(GOOD, collected_on=date(2026, 11, 20), probe_expiry=None)
    case = lab.log.create_case(wrong, lab.person("berg"))  # as it came from an earlier release
    later = replace(wrong, block="B")
    assert workflow.set_details(lab.log, case.id, later, case.version, lab.person("berg")).details == later
    assert [w.impossible for w in workflow.warnings_of(lab.log, lab.log.case(case.id))] == [True]


def test_other_cases_of_a_patient_are_found_however_the_id_is_typed(lab: TestLaboratory) -> None:
    first = lab.open_case("S26-001")
    assert [d.accession for d in lab.log.cases_of_patient(" mrn-77 ")] == ["S26-001"]
    for other in ("RN-77", "MRN-7", "MRN-771", "", "Erika\nMRN-77", "S26-001"):
        assert lab.log.cases_of_patient(other) == [], other
    assert lab.log.cases_of_patient("MRN-77", but=first.id) == []


def test_a_warning_of_the_details_is_acknowledged_before_signing_and_printed_without_the_other_name(
    lab: TestLaboratory,
) -> None:
    stranger = CaseDetails("S26-009", "Fremd, Frida", "MRN-77")
    lab.log.create_case(stranger, lab.person("okafor"))
    case = lab.reviewed(POSITIVE, fixation_hours=2.0)
    workflow.attest(lab.log, case.id, lab.person("berg"), True)
    review = workflow.assess(lab.log, case.id)
    texts = [w.text for w in review.warnings]
    assert any(t.startswith("The patient ID MRN-77 is used with another name in one other case.") for t in texts)
    assert any(t.startswith("Fixation of 2 hours") for t in texts)
    assert review.obstacles == (f"Acknowledge {len(texts)} open warnings.",)
    for warning in review.warnings:
        workflow.acknowledge(lab.log, case.id, warning, lab.person("berg"))
    review = workflow.assess(lab.log, case.id)
    assert review.obstacles == ()
    laboratory = Laboratory("Laboratory of the tests")
    content = workflow.build_content(lab.log, review, laboratory, lab.person("berg"), "", lab.log.now())
    assert {as_told(text) for text in texts} <= set(content.alerts)
    assert "Fremd" not in str(content)
    assert workflow.other_accessions(lab.log, review.case.details, case.id) == ("S26-009",)


def test_an_addendum_tells_nothing_that_came_up_after_the_signature(lab: TestLaboratory) -> None:
    """Another case of the same patient ID, opened later, changes no report: nobody was asked about it."""
    case = lab.ready(NEGATIVE)
    lab.sign(case)
    details = replace(case.details, accession="S26-900", patient_name="Someone, Else")
    workflow.create_case(lab.log, details, lab.person("okafor"))
    review = workflow.assess(lab.log, case.id)
    assert any("another name" in w.text and not w.acknowledged for w in review.warnings)
    more, by = Addendum("A word more.", "asked for"), lab.person("berg")
    content = workflow.build_content(lab.log, review, Laboratory("L"), by, "", datetime.now(UTC), addendum=more)
    assert content.alerts
    assert not [alert for alert in content.alerts if "another name" in alert]


def test_a_case_with_days_that_cannot_be_is_corrected_before_it_is_signed(lab: TestLaboratory) -> None:
    """As an earlier release may have stored it: such days are refused today."""
    case = lab.ready(NEGATIVE, collected_on=date(2026, 3, 5))
    lab.log.update_details(
        case.id, replace(case.details, received_on=date(2026, 3, 2)), case.version, lab.person("berg")
    )
    workflow.confirm_review(lab.log, case.id, lab.log.case(case.id).version, lab.person("berg"))
    review = workflow.assess(lab.log, case.id)
    (obstacle,) = review.obstacles
    assert obstacle.startswith("Correct the case details: The specimen was collected on 05 Mar 2026, after it was")
    assert review.state is not CaseState.READY
    with pytest.raises(Her2CoreError, match="Correct the case details"):
        lab.sign(case)


def test_a_case_goes_back_to_reviewed_while_another_one_uses_its_patient_id_for_another_name(
    lab: TestLaboratory,
) -> None:
    case, berg = lab.ready(POSITIVE), lab.person("berg")
    stranger = workflow.create_case(lab.log, CaseDetails("S26-009", "Fremd, Frida", "mrn-77"), lab.person("okafor"))
    assert lab.log.case(case.id).state is CaseState.REVIEWED
    elsewhere = replace(stranger.details, patient_id="MRN-78")
    stranger = workflow.set_details(lab.log, stranger.id, elsewhere, stranger.version, berg)
    assert lab.log.case(case.id).state is CaseState.READY
    back = replace(elsewhere, patient_id="MRN-77")
    stranger = workflow.set_details(lab.log, stranger.id, back, stranger.version, berg)
    assert lab.log.case(case.id).state is CaseState.REVIEWED
    renamed = replace(back, patient_name=case.details.patient_name, date_of_birth=case.details.date_of_birth)
    workflow.set_details(lab.log, stranger.id, renamed, stranger.version, berg)
    assert lab.log.case(case.id).state is CaseState.READY


def test_a_stand_in_for_an_id_is_compared_in_a_bounded_number_of_cases(
    lab: TestLaboratory, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("her2core.workflow.intake_checks._MOST_COMPARED", 3)
    berg = lab.person("berg")
    for number in range(3):  # of the patient: they use up nothing of what is compared
        lab.log.create_case(CaseDetails(f"S26-1{number}", "Muster, Erika", "unknown"), berg)
    for number in range(5):
        lab.log.create_case(CaseDetails(f"S26-2{number}", f"Fremd, {number}", "unknown"), berg)
    found = workflow.warnings_of_new(lab.log, CaseDetails("S26-3", "Muster, Erika", "unknown"))
    assert [w.text.split(" with ")[1].split(".")[0] for w in found] == ["another name in 3 or more other cases"]
    assert len(lab.log.cases_of_patient("unknown")) == 8
