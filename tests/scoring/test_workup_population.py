"""The work-up of one population: every path of domain.md 1.5, 1.12 and 1.13."""

from __future__ import annotations

import itertools
from dataclasses import replace

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from her2core.errors import ScoringError
from her2core.records import IHC, Tally
from her2core.scoring import (
    Adjudication,
    Outcome,
    PopulationInputs,
    Recount,
    RejectionReason,
    WorkUpInputs,
    assess_population,
    comment,
    group,
    recount_problem,
    standing_recount,
)

FIRST, SECOND, THIRD = 11, 12, 13

# A tally of each group, and for each another of the same group as a recount gives it.
OF_GROUP = {
    1: Tally(20, 143, 48),
    2: Tally(20, 79, 39),
    3: Tally(20, 120, 61),
    4: Tally(20, 80, 41),
    5: Tally(20, 79, 40),
}
RECOUNT_OF_GROUP = {
    1: Tally(22, 150, 50),
    2: Tally(24, 90, 44),
    3: Tally(21, 130, 70),
    4: Tally(30, 135, 70),
    5: Tally(20, 44, 40),
}
LETTER = {2: "A", 3: "B", 4: "C"}

WORKING = WorkUpInputs(controls_ok=True, ihc_same_sample=True, first_observer_ids=frozenset({FIRST}))
TWO_PLUS = replace(WORKING, ihc=IHC.TWO_PLUS)


def recount_to(number: int) -> Recount:
    return Recount(observer_id=SECOND, blinded=True, tally=RECOUNT_OF_GROUP[number])


def test_the_tallies_of_this_file_are_of_the_groups_that_they_stand_for() -> None:
    assert {number: group(t) for number, t in OF_GROUP.items()} == {n: n for n in range(1, 6)}
    assert {number: group(t) for number, t in RECOUNT_OF_GROUP.items()} == {n: n for n in range(1, 6)}


# group, IHC, group of the recount, outcome, comment: domain.md 1.5 in full
PATHS: list[tuple[int, IHC | None, int | None, Outcome, str | None]] = [
    *[(1, ihc, None, Outcome.POSITIVE, None) for ihc in (None, *IHC)],
    *[(5, ihc, None, Outcome.NEGATIVE, None) for ihc in (None, *IHC)],
    *[(g, None, None, Outcome.PENDING_IHC, None) for g in (2, 3, 4)],
    *[(g, IHC.THREE_PLUS, None, Outcome.POSITIVE, None) for g in (2, 3, 4)],
    *[
        (g, ihc, None, Outcome.NEGATIVE, LETTER[g])
        for g in (2, 3, 4)
        for ihc in (IHC.ZERO, IHC.ZERO_PLUS, IHC.ONE_PLUS)
    ],
    *[(g, IHC.TWO_PLUS, None, Outcome.PENDING_RECOUNT, None) for g in (2, 3, 4)],
    (2, IHC.TWO_PLUS, 2, Outcome.NEGATIVE, "A"),
    (3, IHC.TWO_PLUS, 3, Outcome.POSITIVE, None),  # the trap: only Group 3 turns positive
    (4, IHC.TWO_PLUS, 4, Outcome.NEGATIVE, "C"),
    *[
        (g, IHC.TWO_PLUS, other, Outcome.PENDING_ADJUDICATION, None)
        for g, other in itertools.product((2, 3, 4), range(1, 6))
        if other != g
    ],
]


@pytest.mark.parametrize(("number", "ihc", "recounted", "outcome", "letter"), PATHS)
def test_every_path_of_the_algorithm(
    number: int, ihc: IHC | None, recounted: int | None, outcome: Outcome, letter: str | None
) -> None:
    recount = None if recounted is None else recount_to(recounted)
    found = assess_population(PopulationInputs("A", OF_GROUP[number], recount=recount), replace(WORKING, ihc=ihc))
    assert (found.group, found.outcome, found.comment_letter) == (number, outcome, letter)
    assert found.comment == (None if letter is None else comment(letter))
    assert found.recount_group == recounted
    assert (found.next_step is not None) == outcome.pending
    assert found.reasons == ()


@pytest.mark.parametrize("same_sample", [None, False])
@pytest.mark.parametrize("ihc", list(IHC))
@pytest.mark.parametrize("number", [2, 3, 4])
def test_ihc_of_another_sample_does_not_settle_groups_2_to_4(number: int, ihc: IHC, same_sample: bool | None) -> None:
    inputs = replace(WORKING, ihc=ihc, ihc_same_sample=same_sample)
    found = assess_population(PopulationInputs("A", OF_GROUP[number], recount=recount_to(number)), inputs)
    assert found.outcome is Outcome.PENDING_IHC
    assert found.next_step is not None
    assert "same tissue sample" in found.next_step


@pytest.mark.parametrize("recounted", range(1, 6))
@pytest.mark.parametrize(
    ("number", "ihc", "outcome"),
    [
        (1, IHC.TWO_PLUS, Outcome.POSITIVE),
        (5, IHC.TWO_PLUS, Outcome.NEGATIVE),
        (4, IHC.THREE_PLUS, Outcome.POSITIVE),
        (4, IHC.ONE_PLUS, Outcome.NEGATIVE),
    ],
)
def test_a_recount_in_another_group_that_the_rules_do_not_ask_for_is_told(
    number: int, ihc: IHC, outcome: Outcome, recounted: int
) -> None:
    population = PopulationInputs("A", OF_GROUP[number], recount=recount_to(recounted))
    found = assess_population(population, replace(WORKING, ihc=ihc))
    assert found.outcome is outcome
    told = [alert for alert in found.alerts if f"Group {number} now" in alert and f"is Group {recounted}," in alert]
    assert len(told) == (recounted != number)


def test_a_recount_that_decides_or_is_not_valid_is_no_discordance() -> None:
    def alerts(recount: Recount, number: int) -> str:
        found = assess_population(PopulationInputs("A", OF_GROUP[number], recount=recount), TWO_PLUS)
        return " ".join(found.alerts)

    assert "does not rest on it" not in alerts(recount_to(5), 4)  # it leads to adjudication
    for problem in ({"observer_id": FIRST}, {"blinded": False}, {"tally": Tally(19, 60, 30)}):
        assert "does not rest on it" not in alerts(replace(recount_to(5), **problem), 1)


def test_where_nothing_was_counted_what_was_stated_is_the_reason() -> None:
    inputs = replace(WORKING, indeterminate_reasons=("Autofluorescence is too strong.",))
    nothing, some = PopulationInputs("A", Tally(0, 0, 0)), PopulationInputs("A", Tally(3, 9, 6))
    assert assess_population(nothing, inputs).reasons == ("Autofluorescence is too strong.",)
    assert len(assess_population(nothing, WORKING).reasons) == 1
    assert len(assess_population(some, inputs).reasons) == 2


@pytest.mark.parametrize(("number", "outcome"), [(1, Outcome.POSITIVE), (5, Outcome.NEGATIVE)])
def test_groups_1_and_5_need_no_ihc_of_the_same_sample(number: int, outcome: Outcome) -> None:
    inputs = replace(WORKING, ihc=IHC.TWO_PLUS, ihc_same_sample=None)
    assert assess_population(PopulationInputs("A", OF_GROUP[number]), inputs).outcome is outcome


def test_the_ihc_of_a_population_goes_before_that_of_the_case() -> None:
    population = PopulationInputs("A", OF_GROUP[4], ihc=IHC.ZERO)
    found = assess_population(population, replace(WORKING, ihc=IHC.THREE_PLUS))
    assert (found.ihc, found.outcome) == (IHC.ZERO, Outcome.NEGATIVE)


# --- recount ---------------------------------------------------------------------------------------------------------

INVALID_RECOUNTS = [
    (Recount(FIRST, True, OF_GROUP[4]), "another observer"),
    (Recount(SECOND, False, OF_GROUP[4]), "has to be blinded"),
    (Recount(SECOND, True, Tally(19, 80, 41)), "19 nuclei; at least 20"),
    (Recount(SECOND, True, Tally(0, 0, 0)), "0 nuclei; at least 20"),
    (Recount(SECOND, True, Tally(20, 80, 0)), "no CEP17"),
]


@pytest.mark.parametrize(("recount", "why"), INVALID_RECOUNTS)
@pytest.mark.parametrize("number", [2, 3, 4])
def test_an_invalid_recount_is_refused_in_plain_words_and_still_awaited(
    number: int, recount: Recount, why: str
) -> None:
    population = PopulationInputs("A", OF_GROUP[number], recount=recount)
    found = assess_population(population, replace(WORKING, ihc=IHC.TWO_PLUS))
    assert found.outcome is Outcome.PENDING_RECOUNT
    assert found.recount_group is None
    assert found.recount_problem is not None
    assert why in found.recount_problem
    assert found.next_step is not None
    assert found.recount_problem in found.next_step
    assert "another pathologist" in found.next_step


def test_a_recount_of_exactly_20_nuclei_is_enough() -> None:
    assert recount_problem(Recount(SECOND, True, Tally(20, 80, 41)), frozenset({FIRST})) is None


def test_nobody_who_took_part_in_the_first_count_can_recount() -> None:
    took_part = frozenset({FIRST, SECOND})
    assert recount_problem(recount_to(4), took_part) is not None
    assert recount_problem(replace(recount_to(4), observer_id=THIRD), took_part) is None


def test_a_recount_is_not_independent_where_the_first_observer_is_not_recorded() -> None:
    problem = recount_problem(recount_to(4), frozenset())
    assert problem is not None
    assert "not recorded who made the first count" in problem


def test_the_first_valid_recount_stands_so_that_nobody_recounts_until_it_suits() -> None:
    unblinded, valid, later = replace(recount_to(4), blinded=False), recount_to(5), recount_to(4)
    observers = frozenset({FIRST})
    assert standing_recount([unblinded, valid, later], observers) == valid
    assert standing_recount([recount_to(4), replace(unblinded, observer_id=FIRST)], observers) == recount_to(4)
    assert standing_recount([replace(valid, observer_id=FIRST), unblinded], observers) == unblinded
    assert standing_recount([], observers) is None


# --- adjudication ----------------------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("category", "decided_group", "letter"),
    [
        (Outcome.POSITIVE, 1, None),
        (Outcome.POSITIVE, 3, None),
        (Outcome.POSITIVE, None, None),
        (Outcome.NEGATIVE, 4, "C"),
        (Outcome.NEGATIVE, 2, "A"),
        (Outcome.NEGATIVE, 3, None),
        (Outcome.NEGATIVE, 5, None),
        (Outcome.NEGATIVE, None, None),
    ],
)
def test_the_adjudicated_category_is_the_result(
    category: Outcome, decided_group: int | None, letter: str | None
) -> None:
    decision = Adjudication(THIRD, category, decided_group, "Both slides reviewed; crowded area left out.")
    population = PopulationInputs("A", OF_GROUP[4], recount=recount_to(1), adjudication=decision)
    found = assess_population(population, replace(WORKING, ihc=IHC.TWO_PLUS))
    assert (found.group, found.recount_group) == (4, 1)  # both counts stay in the record
    assert (found.outcome, found.comment_letter, found.adjudication) == (category, letter, decision)
    assert any("crowded area left out" in step for step in found.path)


def test_an_adjudication_without_a_valid_recount_decides_nothing() -> None:
    decision = Adjudication(THIRD, Outcome.POSITIVE, 1, "In a hurry")
    for recount in (None, Recount(FIRST, True, RECOUNT_OF_GROUP[1])):
        population = PopulationInputs("A", OF_GROUP[4], recount=recount, adjudication=decision)
        found = assess_population(population, replace(WORKING, ihc=IHC.TWO_PLUS))
        assert found.outcome is Outcome.PENDING_RECOUNT
        assert found.adjudication is None


def test_an_adjudication_is_set_aside_and_said_so_where_the_counts_agree() -> None:
    decision = Adjudication(THIRD, Outcome.POSITIVE, 1, "Thought so")
    population = PopulationInputs("A", OF_GROUP[4], recount=recount_to(4), adjudication=decision)
    found = assess_population(population, replace(WORKING, ihc=IHC.TWO_PLUS))
    assert (found.outcome, found.adjudication) == (Outcome.NEGATIVE, None)
    assert any("adjudication is recorded but not used" in alert for alert in found.alerts)


@pytest.mark.parametrize(
    ("category", "number", "reason", "why"),
    [
        (Outcome.POSITIVE, 5, "x", "Group 5 cannot be HER2 positive"),
        (Outcome.NEGATIVE, 1, "x", "Group 1 cannot be HER2 negative"),
        (Outcome.NEGATIVE, 6, "x", "no ISH group 6"),
        (Outcome.INDETERMINATE, None, "x", "between positive and negative"),
        (Outcome.PENDING_RECOUNT, 2, "x", "between positive and negative"),
        (Outcome.POSITIVE, 1, "  \n", "reason"),
    ],
)
def test_an_adjudication_that_cannot_be_is_refused(
    category: Outcome, number: int | None, reason: str, why: str
) -> None:
    with pytest.raises(ScoringError, match=why):
        Adjudication(THIRD, category, number, reason)


# --- indeterminate ---------------------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("t", "why"),
    [
        (Tally(19, 79, 39), "Only 19 nuclei scored; at least 20"),
        (Tally(1, 20, 2), "Only 1 nucleus scored; at least 20"),
        (Tally(0, 0, 0), "No nucleus is scored; at least 20"),
        (Tally(20, 120, 0), "No CEP17 signal was counted"),
    ],
)
def test_too_few_nuclei_or_no_cep17_is_indeterminate_and_never_negative(t: Tally, why: str) -> None:
    found = assess_population(PopulationInputs("A", t), replace(WORKING, ihc=IHC.ZERO))
    assert (found.outcome, found.group) == (Outcome.INDETERMINATE, None)
    assert any(why in reason for reason in found.reasons)
    assert found.provisional_group == group(t)


def test_nineteen_nuclei_are_too_few_and_twenty_are_enough_even_where_the_group_is_clear() -> None:
    assert assess_population(PopulationInputs("A", Tally(19, 200, 38)), WORKING).outcome is Outcome.INDETERMINATE
    assert assess_population(PopulationInputs("A", Tally(20, 210, 40)), WORKING).outcome is Outcome.POSITIVE


def test_too_few_nuclei_says_how_many_are_missing() -> None:
    step = assess_population(PopulationInputs("A", Tally(13, 60, 30)), WORKING).next_step
    assert step is not None
    assert step.startswith("Score 7 more or add a region")


@pytest.mark.parametrize("number", range(1, 6))
@pytest.mark.parametrize("reason", [*RejectionReason, "The slide was scratched."])
def test_each_rejection_reason_makes_any_group_indeterminate(number: int, reason: str) -> None:
    of_case = replace(WORKING, ihc=IHC.THREE_PLUS, indeterminate_reasons=(str(reason),))
    of_population = PopulationInputs("A", OF_GROUP[number], indeterminate_reasons=(str(reason),))
    for found in (
        assess_population(PopulationInputs("A", OF_GROUP[number]), of_case),
        assess_population(of_population, replace(WORKING, ihc=IHC.THREE_PLUS)),
    ):
        assert (found.outcome, found.group, found.provisional_group) == (Outcome.INDETERMINATE, None, number)
        assert found.reasons == (str(reason),)
        assert found.comment is None
        assert not any("This is Group" in step for step in found.path)  # no group is reported
        assert found.next_step is not None
        assert "not a negative one" in found.next_step


@pytest.mark.parametrize(
    ("controls_ok", "why"), [(False, "did not hybridise"), (None, "not recorded whether the controls")]
)
def test_without_working_controls_there_is_no_result(controls_ok: bool | None, why: str) -> None:
    found = assess_population(PopulationInputs("A", OF_GROUP[1]), replace(WORKING, controls_ok=controls_ok))
    assert found.outcome is Outcome.INDETERMINATE
    assert why in found.reasons[0]


def test_a_reason_given_twice_is_stated_once() -> None:
    inputs = replace(
        WORKING, controls_ok=False, indeterminate_reasons=(RejectionReason.CONTROLS.value, "Slide broken.")
    )
    found = assess_population(PopulationInputs("A", OF_GROUP[1]), inputs)
    assert found.reasons == (RejectionReason.CONTROLS.value, "Slide broken.")


# --- what the user reads ---------------------------------------------------------------------------------------------


@pytest.mark.parametrize(("number", "ihc", "recounted", "outcome", "letter"), PATHS)
def test_the_path_tells_the_numbers_the_group_and_where_it_ended(
    number: int, ihc: IHC | None, recounted: int | None, outcome: Outcome, letter: str | None
) -> None:
    recount = None if recounted is None else recount_to(recounted)
    path = assess_population(PopulationInputs("A", OF_GROUP[number], recount=recount), replace(WORKING, ihc=ihc)).path
    t = OF_GROUP[number]
    assert f"{t.n} nuclei scored with {t.her2} HER2 and {t.cep17} CEP17 signals" in path[0]
    assert f"Group {number}" in path[1]
    if not outcome.pending:
        assert f"HER2 {outcome.value}" in path[-1]
    if letter is not None:
        assert f"comment {letter}" in path[-1]
    if recounted is not None:
        assert any(f"{RECOUNT_OF_GROUP[recounted].n} nuclei" in step and "blinded recount" in step for step in path)


def test_an_unknown_rule_set_is_refused() -> None:
    with pytest.raises(ScoringError, match="ASCO_CAP_2018"):
        WorkUpInputs(rule_set="ASCO_CAP_2013")


@pytest.mark.parametrize("share", [0, -1, 100.5, float("nan"), float("inf")])
def test_an_impossible_share_is_refused(share: float) -> None:
    with pytest.raises(ScoringError, match="share"):
        PopulationInputs("A", OF_GROUP[1], share_percent=share)


def test_a_population_without_a_name_is_refused() -> None:
    with pytest.raises(ScoringError, match="Name the population"):
        PopulationInputs("  ", OF_GROUP[1])


# --- properties ------------------------------------------------------------------------------------------------------

tallies = st.builds(Tally, n=st.integers(0, 120), her2=st.integers(0, 1500), cep17=st.integers(0, 500))
recounts = st.none() | st.builds(
    Recount, observer_id=st.sampled_from([FIRST, SECOND]), blinded=st.booleans(), tally=tallies
)
adjudications = st.none() | st.sampled_from(
    [Adjudication(THIRD, Outcome.POSITIVE, 1, "r"), Adjudication(THIRD, Outcome.NEGATIVE, 4, "r")]
)
inputs_of_any_kind = st.builds(
    WorkUpInputs,
    controls_ok=st.sampled_from([True, True, True, False, None]),
    ihc=st.none() | st.sampled_from(IHC),
    ihc_same_sample=st.sampled_from([True, True, False, None]),
    first_observer_ids=st.just(frozenset({FIRST})),
    indeterminate_reasons=st.sampled_from([(), (), ("Scratched.",)]),
)


@settings(deadline=None)  # the machine may be busy
@given(tallies, recounts, adjudications, inputs_of_any_kind)
def test_whatever_is_entered_the_result_obeys_the_rules(
    t: Tally, recount: Recount | None, decision: Adjudication | None, inputs: WorkUpInputs
) -> None:
    found = assess_population(PopulationInputs("A", t, recount=recount, adjudication=decision), inputs)
    fit = t.n >= 20 and t.cep17 > 0 and inputs.controls_ok is True and not inputs.indeterminate_reasons
    assert (found.outcome is Outcome.INDETERMINATE) == (not fit)
    assert (found.group is None) == (not fit)
    assert bool(found.reasons) == (not fit)
    if found.group == 1:
        assert found.outcome is Outcome.POSITIVE
    if found.group == 5:
        assert found.outcome is Outcome.NEGATIVE
    if found.outcome.pending:
        assert found.group in (2, 3, 4)
    if found.comment_letter is not None:
        assert found.outcome is Outcome.NEGATIVE
        assert found.comment
    if found.outcome in (Outcome.POSITIVE, Outcome.NEGATIVE):
        assert found.next_step is None
    else:
        assert found.next_step
    assert all(sentence.strip() for sentence in (*found.path, *found.alerts, *found.reasons))
