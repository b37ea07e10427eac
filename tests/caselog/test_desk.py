"""The desk: what waits, whose it is, and where a user stopped."""

from __future__ import annotations

import time
from dataclasses import replace

import pytest

from her2core.errors import CaseLogError, NotFoundError
from her2core.records import CaseState
from tests.caselog.lab import FLAGS, Lab, analysis, details


def test_open_cases_come_oldest_first_and_signed_ones_not_at_all(lab: Lab) -> None:
    for accession in ("26-3", "26-1", "26-2"):
        lab.draft(accession)
        lab.clock.pass_by(hours=1)
    lab.signed("26-9")
    first = lab.log.case_by_accession("26-3")
    lab.log.update_details(first.id, details("26-3", site="breast"), first.version, lab.anna)  # work does not push back
    assert [case.accession for case in lab.log.open_cases(lab.anna)] == ["26-3", "26-1", "26-2"]


def test_a_case_open_for_amendment_is_open(lab: Lab) -> None:
    case, _ = lab.signed()
    lab.log.open_amendment(case.id, "block was mixed up", case.version, lab.anna)
    (listed,) = lab.log.open_cases(lab.anna)
    assert (listed.id, listed.amending) == (case.id, True)


def test_what_a_case_lacks_is_counted(lab: Lab) -> None:
    case = lab.draft()
    assert lab.log.open_cases(lab.anna)[0].regions == 0
    regions = [lab.region(case, f"image {number}".encode()) for number in range(5)]
    lab.log.remove_region(regions[4].id, lab.anna)
    for region in regions[:2]:
        lab.log.set_flags(region.id, FLAGS, lab.anna)
    lab.log.set_flags(regions[2].id, replace(FLAGS, suitable=False, unsuitable_reason="blurred"), lab.anna)
    lab.log.save_analysis(regions[0].id, analysis(), lab.anna)
    lab.log.save_analysis(regions[0].id, analysis(), lab.anna)  # again: still one region
    (listed,) = lab.log.open_cases(lab.anna)
    assert (listed.regions, listed.unflagged, listed.suitable, listed.to_analyse) == (4, 1, 2, 1)


@pytest.mark.parametrize(
    ("text", "found"),
    [("", 2), ("26-2", 1), ("MÜLLER 26-1", 1), ("müller", 2), ("26-1 nobody", 0), ("%", 0), ("' OR 1=1 --", 0)],
)
def test_the_list_is_searched_by_every_word(lab: Lab, text: str, found: int) -> None:
    lab.draft("26-1")
    lab.draft("26-2")
    assert len(lab.log.open_cases(lab.anna, text)) == found


def test_a_case_is_ones_own_by_opening_it_or_by_having_worked_on_it(lab: Lab) -> None:
    case = lab.draft()
    assert [c.own for c in lab.log.open_cases(lab.anna)] == [True]
    assert [c.own for c in lab.log.open_cases(lab.ben)] == [False]
    lab.log.keep_place(case.id, lab.ben, "review")
    assert [c.own for c in lab.log.open_cases(lab.ben)] == [True]


def test_a_place_is_of_one_user_and_the_last_one_counts(lab: Lab) -> None:
    case, region = lab.analysed()
    lab.log.keep_place(case.id, lab.anna, "intake")
    lab.clock.pass_by(minutes=5)
    lab.log.keep_place(case.id, lab.anna, "review", region.id)
    place = lab.log.place(case.id, lab.anna)
    assert place is not None
    assert (place.page, place.region_id, place.state, place.at) == (
        "review",
        region.id,
        CaseState.ANALYSED,
        lab.clock.time,
    )
    assert lab.log.place(case.id, lab.ben) is None
    assert lab.log.open_cases(lab.anna)[0].place == place


def test_a_page_without_region_keeps_the_region(lab: Lab) -> None:
    case, region = lab.analysed()
    lab.log.keep_place(case.id, lab.anna, "review", region.id)
    lab.log.keep_place(case.id, lab.anna, "sign_out")
    place = lab.log.place(case.id, lab.anna)
    assert place is not None
    assert (place.page, place.region_id) == ("sign_out", region.id)


def test_a_region_of_another_case_is_not_remembered(lab: Lab) -> None:
    _, foreign = lab.analysed("26-1")
    case = lab.draft("26-2")
    lab.log.keep_place(case.id, lab.anna, "review", foreign.id)
    place = lab.log.place(case.id, lab.anna)
    assert place is not None
    assert place.region_id is None


def test_places_that_cannot_be_are_refused(lab: Lab) -> None:
    case = lab.draft()
    with pytest.raises(NotFoundError):
        lab.log.keep_place(case.id + 1, lab.anna, "review")
    with pytest.raises(CaseLogError):
        lab.log.keep_place(case.id, lab.anna, " ")
    with pytest.raises(CaseLogError):
        lab.log.keep_place(case.id, lab.anna, "x" * 61)


def test_places_leave_the_audit_trail_and_the_case_alone(lab: Lab) -> None:
    case, region = lab.analysed()
    head = lab.log.audit_head()
    lab.log.keep_place(case.id, lab.anna, "review", region.id)
    assert lab.log.audit_head() == head
    assert lab.log.case(case.id) == case
    assert lab.log.check() == []


def test_two_thousand_open_cases_are_listed_in_a_moment(lab: Lab) -> None:
    template = lab.draft()
    lab.region(template)
    lab.raw("DROP TRIGGER cases_no_replace")
    columns = "patient_name, patient_id, sex, requester, specimen, site, laterality, block, fixative, probe_kit, "
    columns += "probe_lot, search, populations, state, version, created_by, created_at, updated_by, updated_at"
    lab.raw(
        f"""WITH RECURSIVE n (i) AS (VALUES (1) UNION ALL SELECT i + 1 FROM n WHERE i < 1999)
        INSERT INTO cases (accession, accession_key, {columns})
        SELECT 'N-' || i, 'n-' || i, {columns} FROM n, cases WHERE cases.id = ?""",
        template.id,
    )
    lab.raw(
        """INSERT INTO regions (case_id, filename, image_sha256, image_bytes, width_px, height_px, added_by, added_at)
        SELECT cases.id, filename, image_sha256, image_bytes, width_px, height_px, added_by, added_at
        FROM cases, regions WHERE cases.id <> ?""",
        template.id,
    )
    started = time.process_time()
    listed = lab.log.open_cases(lab.anna)
    seconds = time.process_time() - started
    assert len(listed) == 2000
    assert {case.unflagged for case in listed} == {1}
    assert seconds < 1.0
