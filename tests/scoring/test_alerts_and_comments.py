"""Alerts that ask for a second look, and the comments of the report."""

from __future__ import annotations

from collections.abc import Callable

import pytest

from her2core.errors import ScoringError
from her2core.records import IHC, Exclusion, Nucleus, Tally
from her2core.scoring import (
    Outcome,
    PopulationInputs,
    WorkUpInputs,
    assess_case,
    assess_population,
    comment,
    comment_letter,
    low_expression_note,
    measure_heterogeneity,
)

READY = WorkUpInputs(
    controls_ok=True, ihc_same_sample=True, first_observer_ids=frozenset({1}), no_discordance_attested=True
)
G1, G4, G5 = Tally(20, 143, 48), Tally(20, 80, 41), Tally(20, 44, 40)


def alerts_of(t: Tally, ihc: IHC | None = None, **more: object) -> tuple[str, ...]:
    inputs = WorkUpInputs(controls_ok=True, ihc_same_sample=True, ihc=ihc)
    return assess_population(PopulationInputs("A", t, **more), inputs).alerts  # type: ignore[arg-type]


@pytest.mark.parametrize(
    ("t", "ihc", "discordant"),
    [
        (G1, IHC.ZERO, True),
        (G1, IHC.ZERO_PLUS, True),
        (G1, IHC.ONE_PLUS, False),
        (G1, IHC.THREE_PLUS, False),
        (G1, None, False),
        (G5, IHC.THREE_PLUS, True),
        (G5, IHC.TWO_PLUS, False),
        (G5, IHC.ZERO, False),
        (G4, IHC.ZERO, False),
        (G4, IHC.THREE_PLUS, False),
    ],
)
def test_fish_and_ihc_that_contradict_each_other_raise_an_alert(t: Tally, ihc: IHC | None, discordant: bool) -> None:
    assert any(alert.startswith("Discordance: ISH Group") for alert in alerts_of(t, ihc)) == discordant


@pytest.mark.parametrize(
    ("t", "ihc", "outcome"), [(G1, IHC.ZERO, Outcome.POSITIVE), (G5, IHC.THREE_PLUS, Outcome.NEGATIVE)]
)
def test_a_discordance_alerts_but_does_not_change_the_result(t: Tally, ihc: IHC, outcome: Outcome) -> None:
    inputs = WorkUpInputs(controls_ok=True, ihc=ihc)
    found = assess_population(PopulationInputs("A", t), inputs)
    assert found.outcome is outcome
    assert found.alerts


@pytest.mark.parametrize(
    ("t", "alerted"), [(Tally(20, 60, 59), False), (Tally(20, 60, 60), True), (Tally(20, 200, 61), True)]
)
def test_many_cep17_signals_are_pointed_out_from_three_on_average(t: Tally, alerted: bool) -> None:
    assert any("CEP17 signals on average" in alert for alert in alerts_of(t)) == alerted


@pytest.mark.parametrize(("t", "alerted"), [(G1, False), (G4, True), (G5, True), (Tally(12, 200, 20), True)])
def test_clusters_are_to_be_confirmed_unless_the_case_is_group_1_already(t: Tally, alerted: bool) -> None:
    found = any("Clustered HER2 signals in 3 of" in alert for alert in alerts_of(t, clustered=3))
    assert found == alerted
    assert not any("Clustered" in alert for alert in alerts_of(t, clustered=0))


@pytest.mark.parametrize(
    ("left_out", "alerted"),
    [
        ({}, False),
        ({Exclusion.NO_CEP17: 6}, False),  # 6 of 26
        ({Exclusion.NO_CEP17: 7}, True),  # 7 of 27
        ({Exclusion.NO_CEP17: 3, Exclusion.NO_HER2: 2, Exclusion.NO_SIGNAL: 2}, True),
        ({Exclusion.EDGE: 30, Exclusion.OVERLAP: 30}, False),  # says nothing about the probe
    ],
)
def test_many_nuclei_without_a_colour_point_to_a_weak_probe(left_out: dict[Exclusion, int], alerted: bool) -> None:
    assert any("too weak to score" in alert for alert in alerts_of(G5, exclusions=left_out)) == alerted


@pytest.mark.parametrize(
    ("t", "regions", "alerted"),
    [
        (G1, 1, True),
        (G5, 1, True),
        (G1, 2, False),
        (G5, 5, False),
        (G5, None, False),  # counts that came without their regions
        (Tally(19, 40, 38), 1, False),  # too few nuclei comes first
        (Tally(20, 40, 0), 1, True),
        (Tally(0, 0, 0), 0, False),
    ],
)
def test_counts_from_one_region_only_ask_for_a_second_area(t: Tally, regions: int | None, alerted: bool) -> None:
    found = any("in one region" in alert for alert in alerts_of(t, regions=regions))
    assert found == alerted


def test_one_region_is_a_hint_that_changes_no_result() -> None:
    one, two = (assess_population(PopulationInputs("A", G1, regions=n), READY) for n in (1, 2))
    assert (one.outcome, one.group, one.next_step) == (two.outcome, two.group, two.next_step)


def test_a_quarter_exactly_is_not_more_than_a_quarter() -> None:
    t = Tally(21, 44, 42)
    assert not any("too weak" in alert for alert in alerts_of(t, exclusions={Exclusion.NO_CEP17: 7}))
    assert any("too weak" in alert for alert in alerts_of(t, exclusions={Exclusion.NO_CEP17: 8}))


def test_a_second_population_shows_in_a_case_taken_for_homogeneous_only(nucleus: Callable[..., Nucleus]) -> None:
    cells = [(2, 2), (2, 2), (3, 2), (2, 2), (1, 2), (2, 3), (3, 2)] * 5 + [(15, 2), (18, 3), (13, 2)] * 5
    found = measure_heterogeneity([nucleus(h, c, id=i) for i, (h, c) in enumerate(cells)])
    t = Tally(len(cells), sum(h for h, _ in cells), sum(c for _, c in cells))
    one = assess_case([PopulationInputs("A", t, heterogeneity=found)], READY)
    assert any("look like two populations: about 30 %" in alert for alert in one.alerts)
    two = assess_case(
        [PopulationInputs("A", t, 70, heterogeneity=found), PopulationInputs("B", G5, 30, heterogeneity=found)], READY
    )
    assert not any("look like two populations" in alert for alert in two.alerts)


def test_alerts_of_a_case_name_the_population_where_there_are_several() -> None:
    case = assess_case([PopulationInputs("A", G1, 50, ihc=IHC.ZERO), PopulationInputs("B", G5, 50)], READY)
    assert [alert for alert in case.alerts if alert.startswith("Population A: Discordance")]
    assert not any(
        alert.startswith("Population") for alert in assess_case([PopulationInputs("A", G1, ihc=IHC.ZERO)], READY).alerts
    )


@pytest.mark.parametrize(
    ("t", "said"),
    [
        (Tally(20, 72, 40), "score 20 more nuclei"),  # 1.80
        (Tally(20, 88, 40), "score 20 more nuclei"),  # 2.20
        (Tally(33, 66, 33), "score 7 more nuclei"),
        (Tally(40, 80, 40), "even with 40 nuclei"),
        (Tally(20, 71, 40), None),
        (Tally(20, 89, 40), None),
        (Tally(200, 1799, 1000), None),  # 1.799
        (Tally(19, 76, 38), None),  # 20 nuclei come first
    ],
)
def test_a_ratio_near_two_asks_for_twenty_more_nuclei(t: Tally, said: str | None) -> None:
    near = [alert for alert in alerts_of(t) if "close to the cut-off" in alert]
    assert (near == []) if said is None else (said in near[0])


# --- comments --------------------------------------------------------------------------------------------------------


def test_comments_belong_to_groups_2_3_and_4() -> None:
    assert [comment_letter(number) for number in range(1, 6)] == [None, "A", "B", "C", None]


@pytest.mark.parametrize(
    ("letter", "gist"),
    [
        ("A", ("2.0 or more", "fewer than 4.0", "too small", "HER2 negative")),
        ("B", ("6.0 or more", "below 2.0", "could not enter", "HER2 negative")),
        ("C", ("between 4.0 and 6.0", "by chance", "not 3+", "HER2 negative")),
    ],
)
def test_each_comment_conveys_its_meaning(letter: str, gist: tuple[str, ...]) -> None:
    assert all(phrase in comment(letter) for phrase in gist)


def test_unknown_comments_and_groups_are_refused() -> None:
    with pytest.raises(ScoringError):
        comment("D")
    with pytest.raises(ScoringError):
        comment_letter(0)


def test_the_note_on_low_expression_is_for_1_plus_and_2_plus() -> None:
    assert {ihc: low_expression_note(ihc) is not None for ihc in (None, *IHC)} == {
        None: False,
        IHC.ZERO: False,
        IHC.ZERO_PLUS: False,
        IHC.ONE_PLUS: True,
        IHC.TWO_PLUS: True,
        IHC.THREE_PLUS: False,
    }
    assert "IHC 1+" in (low_expression_note(IHC.ONE_PLUS) or "")
