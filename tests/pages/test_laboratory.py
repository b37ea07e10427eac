"""The laboratory's figures: each by a table, what is read from the case log, and the page itself."""

from __future__ import annotations

from datetime import UTC, date, datetime, timedelta
from typing import Any

import pytest

from her2core import workflow
from her2core.records import IHC, CaseState, CorrectionKind
from her2core.ui import laboratory
from her2core.ui.laboratory import figures_of, period
from her2core.ui.statistics import (
    CaseFigures,
    Share,
    edits_of,
    group_mix,
    median,
    opened_between,
    outcomes,
    positivity,
    signed_between,
    state_counts,
    turnaround_days,
    within,
)
from tests.pages.app import page_alone, said, signed_in
from tests.pages.lab import GROUP_4, IHC_SAME, NEGATIVE, POSITIVE, TestLaboratory

DAY = date(2026, 11, 24)


def case(**changes: Any) -> CaseFigures:
    """A signed, negative case of Group 5: opened and received on DAY, signed two days later, 3 of 20 nuclei edited."""
    values: dict[str, Any] = {
        "accession": "S26-1",
        "state": CaseState.SIGNED,
        "opened_on": DAY,
        "received_on": DAY,
        "signed_on": DAY + timedelta(days=2),
        "group": 5,
        "outcome": "negative",
        "nuclei": 20,
        "edited": 3,
        "ai_groups": (5,),
        "final_groups": (5,),
    }
    return CaseFigures(**{**values, **changes})


@pytest.mark.parametrize(
    ("opened", "received", "signed", "days"),
    [
        (0, 0, 0, 0),
        (0, 0, 2, 2),
        (0, -3, 2, 5),  # receipt counts, not the opening
        (0, None, 4, 4),  # no receipt recorded
        (0, 3, 2, None),  # signed before it was received: a slip of the pen
        (0, 0, None, None),
    ],
)
def test_turnaround_is_days_from_receipt_to_signature(
    opened: int, received: int | None, signed: int | None, days: int | None
) -> None:
    def day(offset: int | None) -> date | None:
        return None if offset is None else DAY + timedelta(days=offset)

    one = case(opened_on=day(opened), received_on=day(received), signed_on=day(signed))
    assert one.turnaround_days == days
    assert turnaround_days([one]) == ([] if days is None else [days])


def test_turnarounds_come_sorted_with_their_median() -> None:
    days = turnaround_days([case(signed_on=DAY + timedelta(days=d)) for d in (9, 1, 4, 2)])
    assert days == [1, 2, 4, 9]
    assert median(days) == 3.0
    assert median([]) is None
    assert within(days, 4) == Share(3, 4)
    assert within([], 4) == Share(0, 0)


@pytest.mark.parametrize(
    ("k", "n", "percent", "low", "high"),
    [
        (0, 0, None, 0.0, 100.0),
        # Newcombe 1998, Statistics in Medicine 17:857, table I, method 3
        (81, 263, 30.80, 25.53, 36.62),
        (15, 148, 10.14, 6.24, 16.05),
        (0, 20, 0.0, 0.0, 16.11),
        (1, 29, 3.45, 0.61, 17.18),
        (20, 20, 100.0, 83.89, 100.0),
    ],
)
def test_share_has_wilsons_interval(k: int, n: int, percent: float | None, low: float, high: float) -> None:
    share = Share(k, n)
    assert share.percent == (None if percent is None else pytest.approx(percent, abs=0.006))
    assert share.interval == pytest.approx((low, high), abs=0.006)


def test_bounds_of_a_period_are_both_inside() -> None:
    cases = [case(opened_on=DAY + timedelta(days=d), signed_on=DAY + timedelta(days=d + 1)) for d in range(4)]
    one, two = DAY + timedelta(days=1), DAY + timedelta(days=2)
    assert opened_between(cases, one, two) == cases[1:3]
    assert signed_between(cases, one, two) == cases[0:2]
    assert opened_between(cases, None, one) == cases[:2]
    assert opened_between(cases, two, None) == cases[2:]
    assert signed_between([case(signed_on=None)], None, None) == []


@pytest.mark.parametrize(
    ("choice", "own", "expected"),
    [
        ("30 days", (), (date(2026, 10, 26), DAY)),
        ("All", (), (None, None)),
        ("Own dates", (), (None, None)),
        ("Own dates", (date(2026, 1, 1),), (date(2026, 1, 1), None)),
        ("Own dates", (date(2026, 1, 1), date(2026, 2, 1)), (date(2026, 1, 1), date(2026, 2, 1))),
    ],
)
def test_period_of_a_choice(choice: str, own: tuple[date, ...], expected: tuple[date | None, date | None]) -> None:
    assert period(choice, own, DAY) == expected


def test_states_groups_and_outcomes_name_what_does_not_occur() -> None:
    cases = [case(), case(group=1, outcome="positive"), case(group=None, outcome="indeterminate"), case(outcome=None)]
    counts = state_counts(cases)
    assert list(counts) == list(CaseState)
    assert (counts[CaseState.SIGNED], sum(counts.values())) == (4, 4)
    assert group_mix(cases) == {1: 1, 2: 0, 3: 0, 4: 0, 5: 2, None: 1}
    assert None not in group_mix(cases[:2])
    assert outcomes(cases) == {"positive": 1, "negative": 1, "indeterminate": 1, "not stated": 1}
    assert outcomes([]) == {"positive": 0, "negative": 0}
    assert positivity(cases) == Share(1, 2)


def test_edits_are_summed_over_cases_that_have_nuclei() -> None:
    moved = case(nuclei=30, edited=0, ai_groups=(4,), final_groups=(5,))
    edits = edits_of([case(), moved, case(nuclei=0, edited=0)])
    assert (edits.cases, edits.nuclei, edits.edited) == (2, 50, 3)
    assert (edits.untouched_cases, edits.moved_cases) == (1, 1)
    assert edits.share == Share(3, 50)
    assert edits_of([]).share.percent is None
    assert case(nuclei=0).edited_percent is None
    assert case().edited_percent == 15.0


# --- from the case log ------------------------------------------------------------------------------------------------


def figures(lab: TestLaboratory, case_id: int) -> CaseFigures:
    (summary,) = [s for s in lab.log.find_cases() if s.id == case_id]
    return figures_of(lab.log, summary)


def test_signed_case_is_read_with_its_edits(lab: TestLaboratory) -> None:
    today = datetime.now(UTC).astimezone().date()
    opened = lab.analysed(NEGATIVE, ihc=IHC.ONE_PLUS, received_on=today - timedelta(days=3))
    (region,) = lab.log.regions(opened.id)
    berg = lab.person("berg")
    for nucleus, counts in ((1, (3, 2)), (2, (2, 2))):  # the second only confirms what the models counted
        new = {"her2": counts[0], "cep17": counts[1]}
        workflow.correct(lab.log, region.id, nucleus, CorrectionKind.COUNTS, new, berg)
    before = figures(lab, opened.id)
    assert (before.signed_on, before.turnaround_days, before.edited) == (None, None, 1)
    workflow.confirm_review(lab.log, opened.id, lab.log.case(opened.id).version, berg)
    workflow.attest(lab.log, opened.id, berg, True)
    for warning in workflow.assess(lab.log, opened.id).warnings:
        workflow.acknowledge(lab.log, opened.id, warning, berg)
    lab.sign(opened)
    found = figures(lab, opened.id)
    assert (found.group, found.outcome, found.nuclei, found.edited) == (5, "negative", 20, 1)
    assert found.turnaround_days == 3
    assert not found.group_moved


def test_edits_that_move_the_group_are_seen(lab: TestLaboratory) -> None:
    opened = lab.analysed(NEGATIVE)
    (region,) = lab.log.regions(opened.id)
    for nucleus in range(1, 21):
        new = {"her2": 6, "cep17": 2}
        workflow.correct(lab.log, region.id, nucleus, CorrectionKind.COUNTS, new, lab.person("berg"))
    found = figures(lab, opened.id)
    assert (found.ai_groups, found.final_groups, found.edited) == ((5,), (1,), 20)
    assert found.group_moved


def test_case_open_for_amendment_keeps_what_was_reported(lab: TestLaboratory) -> None:
    ready = lab.ready(NEGATIVE, ihc=IHC.ONE_PLUS)
    lab.sign(ready)
    workflow.amend(lab.log, ready.id, "another block", lab.log.case(ready.id).version, lab.person("berg"))
    found = figures(lab, ready.id)
    assert (found.group, found.outcome) == (5, "negative")
    assert found.signed_on is not None


def test_draft_without_regions_is_read(lab: TestLaboratory) -> None:
    found = figures(lab, lab.open_case().id)
    assert (found.nuclei, found.edited, found.ai_groups, found.outcome) == (0, 0, (), None)


# --- the page ---------------------------------------------------------------------------------------------------------


def test_empty_log_is_said(lab: TestLaboratory) -> None:
    at = signed_in("lind", "pages/laboratory.py")
    assert not at.exception
    assert said(at, "The case log is empty.")
    assert not at.get("plotly_chart")


def test_unsigned_cases_give_figures_without_numbers_that_are_not_there(lab: TestLaboratory) -> None:
    lab.reviewed(GROUP_4, **IHC_SAME)
    at = signed_in("lind", "pages/laboratory.py")
    assert not at.exception
    values = {metric.label: (metric.value, metric.delta) for metric in at.metric}
    assert values["Cases opened"] == ("1", "1 still open")
    assert values["Median turnaround"] == ("–", "n = 0")
    assert values["HER2 positive"] == ("–", "0 of 0")
    assert said(at, "1 wait for IHC, a recount or adjudication.")
    assert said(at, "Nothing in this period.")
    assert len(at.get("plotly_chart")) == 1


def test_signed_cases_are_counted_and_drawn(lab: TestLaboratory) -> None:
    lab.sign(lab.ready(NEGATIVE, "S26-1", ihc=IHC.ONE_PLUS))
    lab.sign(lab.ready(POSITIVE, "S26-2", ihc=IHC.THREE_PLUS))
    lab.open_case("S26-3")
    at = signed_in("lind", "pages/laboratory.py")
    assert not at.exception
    values = {metric.label: (metric.value, metric.delta) for metric in at.metric}
    assert values["Cases opened"] == ("3", "1 still open")
    assert values["Cases signed"][0] == "2"
    assert values["HER2 positive"] == ("50.0 %", "1 of 2")
    assert values["Nuclei edited"] == ("0.0 %", "0 of 40")
    assert len(at.get("plotly_chart")) == 4
    for title in ("Cases by state (n = 3)", "Turnaround (n = 2)", "ISH groups of signed cases (n = 2)"):
        assert said(at, title)


def test_page_follows_a_case_that_changes(lab: TestLaboratory) -> None:
    ready = lab.ready(NEGATIVE, ihc=IHC.ONE_PLUS)
    at = page_alone("laboratory.py", lab.person("lind"))
    assert {m.label: m.value for m in at.metric}["Cases signed"] == "0"
    lab.sign(ready)
    at.run()
    assert {m.label: m.value for m in at.metric}["Cases signed"] == "1"


def test_period_leaves_older_cases_out(lab: TestLaboratory) -> None:
    lab.open_case()
    at = page_alone("laboratory.py", lab.person("lind"))
    at.segmented_control(key="lab_period").set_value("Own dates").run()
    at.date_input(key="lab_dates").set_value((date(2020, 1, 1), date(2020, 2, 1))).run()
    assert not at.exception
    assert {m.label: m.value for m in at.metric}["Cases opened"] == "0"
    assert not at.get("plotly_chart")


def test_log_longer_than_a_page_is_read_whole(lab: TestLaboratory, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(laboratory, "_PAGE", 2)
    for number in range(4):
        lab.open_case(f"S26-{number}")
    assert sorted(one.accession for one in laboratory._all_cases(lab.log)) == [f"S26-{n}" for n in range(4)]


@pytest.mark.parametrize("name", ["berg", "nair", None])
def test_nobody_else_sees_the_figures(lab: TestLaboratory, name: str | None) -> None:
    lab.open_case()
    at = page_alone("laboratory.py", None if name is None else lab.person(name))
    assert not at.exception
    assert len(at.main) == 0
