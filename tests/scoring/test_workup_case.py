"""The work-up of a whole case: populations, what forbids signing, what comes next, and the headline."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import replace

import pytest

from her2core.errors import ScoringError
from her2core.records import IHC, Exclusion, Nucleus, Tally
from her2core.scoring import (
    RULE_SET,
    Adjudication,
    CaseAssessment,
    Outcome,
    PopulationInputs,
    Recount,
    WorkUpInputs,
    assess_case,
    population_inputs,
)

FIRST, SECOND, THIRD = 11, 12, 13
G1, G2, G3, G4, G5 = (
    Tally(20, 143, 48),
    Tally(20, 79, 39),
    Tally(20, 120, 61),
    Tally(20, 80, 41),
    Tally(20, 44, 40),
)
READY = WorkUpInputs(
    controls_ok=True,
    ihc_same_sample=True,
    first_observer_ids=frozenset({FIRST}),
    no_discordance_attested=True,
)


def population(
    label: str,
    t: Tally,
    share: float | None = None,
    *,
    ihc: IHC | None = None,
    recount: Recount | None = None,
    adjudication: Adjudication | None = None,
) -> PopulationInputs:
    return PopulationInputs(label, t, share, ihc=ihc, recount=recount, adjudication=adjudication)


# --- heterogeneity: above 10 %, and 10 % is not above 10 % -----------------------------------------------------------


def test_15_percent_of_group_1_makes_the_case_positive_and_heterogeneous() -> None:
    case = assess_case([population("A", G5, 85), population("B", G1, 15)], READY)
    assert (case.outcome, case.heterogeneous, case.deciding, case.group) == (Outcome.POSITIVE, True, "B", 1)
    assert [(p.label, p.group, p.outcome, p.counted) for p in case.populations] == [
        ("A", 5, Outcome.NEGATIVE, True),
        ("B", 1, Outcome.POSITIVE, True),
    ]
    assert case.headline == (
        "HER2 positive, heterogeneous: population B (15 %) ISH Group 1; population A (85 %) ISH Group 5"
    )
    assert case.signable


def test_exactly_10_percent_is_described_and_triggers_nothing() -> None:
    case = assess_case([population("A", G5, 90), population("B", G1, 10)], READY)
    assert (case.outcome, case.heterogeneous, case.group) == (Outcome.NEGATIVE, False, 5)
    assert case.headline == "HER2 negative: ISH Group 5"
    assert [p.counted for p in case.populations] == [True, False]
    assert any("Population B (10 % of the tumour cells, Group 1" in alert for alert in case.alerts)
    assert any("not above 10 %: it is described in the report" in alert for alert in case.alerts)


@pytest.mark.parametrize(
    ("share", "outcome"),
    [
        (10.0, Outcome.NEGATIVE),
        (100 * (1 - 0.9), Outcome.NEGATIVE),  # 9.999999999999998
        (10.000000000000002, Outcome.NEGATIVE),  # what a division leaves of 10
        (10.01, Outcome.POSITIVE),
        (11, Outcome.POSITIVE),
        (9.99, Outcome.NEGATIVE),
    ],
)
def test_above_ten_percent_is_strict_but_not_a_matter_of_float_dust(share: float, outcome: Outcome) -> None:
    case = assess_case([population("A", G5, 100 - share), population("B", G1, share)], READY)
    assert case.outcome is outcome


def test_a_small_population_with_too_few_nuclei_does_not_hold_up_the_case() -> None:
    case = assess_case([population("A", G5, 95), population("B", Tally(4, 40, 8), 5)], READY)
    assert (case.outcome, case.signable) == (Outcome.NEGATIVE, True)
    assert any("Group 1 by its 4 nuclei" in alert for alert in case.alerts)


def test_distinct_populations_are_never_averaged() -> None:
    together = G1 + G5
    alone = assess_case([population("A", together)], READY)
    apart = assess_case([population("A", G1, 50), population("B", G5, 50)], READY)
    assert [p.tally for p in apart.populations] == [G1, G5]
    assert alone.populations[0].tally == together


def test_two_populations_of_the_same_group_are_not_called_heterogeneous() -> None:
    case = assess_case([population("A", G5, 60), population("B", replace(G5, her2=50), 40)], READY)
    assert (case.outcome, case.heterogeneous) == (Outcome.NEGATIVE, False)


def test_a_population_made_positive_by_ihc_makes_the_case_positive() -> None:
    case = assess_case([population("A", G5, 70), population("B", G4, 30, ihc=IHC.THREE_PLUS)], READY)
    assert (case.outcome, case.deciding, case.group) == (Outcome.POSITIVE, "B", 4)
    assert "population B (30 %) ISH Group 4, IHC 3+" in case.headline


def test_one_positive_population_settles_the_case_and_the_open_one_is_named() -> None:
    case = assess_case([population("A", G4, 70), population("B", G1, 30)], READY)
    assert (case.outcome, case.signable) == (Outcome.POSITIVE, True)
    assert any("Population A (70 % of the tumour cells) is still pending IHC" in alert for alert in case.alerts)
    short = assess_case([population("A", Tally(12, 24, 24), 70), population("B", G1, 30)], READY)
    assert any("Population A (70 % of the tumour cells) could not be determined" in alert for alert in short.alerts)


def test_a_tumour_that_is_partly_undetermined_is_not_called_negative() -> None:
    case = assess_case([population("A", G5, 80), population("B", Tally(12, 24, 24), 20)], READY)
    assert (case.outcome, case.deciding) == (Outcome.INDETERMINATE, "B")
    assert case.headline.startswith("HER2 indeterminate (population B): Only 12 nuclei scored")
    assert case.signable


def test_the_least_advanced_work_up_decides_what_the_case_waits_for() -> None:
    inputs = replace(READY, ihc=IHC.TWO_PLUS)
    recount_other = Recount(SECOND, True, G5)
    adjudicate = population("A", G4, 40, recount=recount_other)
    recount = population("B", G3, 30)
    ihc = population("C", G2, 30)
    assert assess_case([adjudicate, recount, ihc], inputs).outcome is Outcome.PENDING_RECOUNT
    without_ihc = assess_case([adjudicate, recount, ihc], replace(inputs, ihc_same_sample=None))
    assert without_ihc.outcome is Outcome.PENDING_IHC
    two = assess_case([adjudicate, population("B", G5, 60)], inputs)
    assert (two.outcome, two.deciding) == (Outcome.PENDING_ADJUDICATION, "A")
    assert two.headline == (
        "No HER2 result yet: ISH Group 4, IHC 2+, recount Group 5, adjudication awaited (population A)"
    )


def test_each_open_population_is_a_blocker_of_its_own() -> None:
    case = assess_case([population("A", G4, 50), population("B", G2, 50)], READY)
    assert [b.split(":")[0] for b in case.blockers] == ["Population A", "Population B"]
    assert case.next_step == case.blockers[0]


# --- shares ----------------------------------------------------------------------------------------------------------


def test_missing_shares_are_asked_for_before_anything_is_concluded() -> None:
    case = assess_case([population("A", G5, 85), population("B", G1)], READY)
    assert (case.outcome, case.signable, case.group) == (Outcome.INDETERMINATE, False, None)
    assert "share of the tumour cells for population B" in case.next_step


def test_shares_that_do_not_add_up_are_asked_to_be_corrected() -> None:
    case = assess_case([population("A", G5, 85), population("B", G1, 40)], READY)
    assert not case.signable
    assert "they add up to 125 %" in case.next_step
    assert assess_case([population("A", G5, 66.7), population("B", G1, 33.4)], READY).signable


def test_populations_of_which_none_is_above_10_percent_give_no_result() -> None:
    case = assess_case([population(chr(65 + i), G5, 10) for i in range(10)], READY)
    assert (case.outcome, case.signable) == (Outcome.INDETERMINATE, False)
    assert "No population is above 10 %" in case.next_step


@pytest.mark.parametrize("share", [None, 100.0, 5.0])
def test_the_only_population_counts_whatever_its_share(share: float | None) -> None:
    assert assess_case([population("A", G1, share)], READY).outcome is Outcome.POSITIVE


def test_a_case_needs_a_population_and_populations_need_different_names() -> None:
    with pytest.raises(ScoringError, match="at least one"):
        assess_case([], READY)
    with pytest.raises(ScoringError, match="same label"):
        assess_case([population("A", G1, 50), population("A", G5, 50)], READY)


# --- signing ---------------------------------------------------------------------------------------------------------


@pytest.mark.parametrize(("t", "ihc"), [(G1, None), (G5, None), (G2, IHC.ONE_PLUS), (G3, IHC.THREE_PLUS)])
def test_a_final_result_is_signed_only_with_the_attestation(t: Tally, ihc: IHC | None) -> None:
    inputs = replace(READY, ihc=ihc)
    open_case = assess_case([population("A", t)], replace(inputs, no_discordance_attested=None))
    assert not open_case.signable
    assert "histopathologic discordance" in open_case.next_step
    refused = assess_case([population("A", t)], replace(inputs, no_discordance_attested=False))
    assert not refused.signable
    assert refused.next_step.startswith("Resolve the histopathologic discordance")
    done = assess_case([population("A", t)], inputs)
    assert done.signable
    assert done.next_step.startswith("Sign the case out")


@pytest.mark.parametrize(
    ("t", "ihc", "recount", "outcome"),
    [
        (G4, None, None, Outcome.PENDING_IHC),
        (G2, IHC.TWO_PLUS, None, Outcome.PENDING_RECOUNT),
        (G4, IHC.TWO_PLUS, Recount(SECOND, True, G1), Outcome.PENDING_ADJUDICATION),
        (G4, IHC.TWO_PLUS, Recount(FIRST, True, G4), Outcome.PENDING_RECOUNT),
    ],
)
def test_a_pending_case_cannot_be_signed(t: Tally, ihc: IHC | None, recount: Recount | None, outcome: Outcome) -> None:
    case = assess_case([population("A", t, recount=recount)], replace(READY, ihc=ihc))
    assert (case.outcome, case.signable) == (outcome, False)
    assert case.headline.startswith("No HER2 result yet: ISH Group")


def test_indeterminate_is_signable_with_its_reason_and_needs_no_attestation() -> None:
    inputs = replace(READY, no_discordance_attested=None, indeterminate_reasons=("Autofluorescence is too strong.",))
    case = assess_case([population("A", G1)], inputs)
    assert (case.outcome, case.signable) == (Outcome.INDETERMINATE, True)
    assert case.reasons == ("Autofluorescence is too strong.",)
    assert case.headline == "HER2 indeterminate: Autofluorescence is too strong."
    assert "sign the case as indeterminate" in case.next_step


def test_forgotten_controls_cannot_be_signed_away_as_indeterminate() -> None:
    case = assess_case([population("A", G1)], replace(READY, controls_ok=None))
    assert (case.outcome, case.signable) == (Outcome.INDETERMINATE, False)
    assert case.next_step.startswith("Record whether batch and on-slide controls")
    assert assess_case([population("A", G1)], replace(READY, controls_ok=False)).signable


# --- what the user reads ---------------------------------------------------------------------------------------------

AGREED, CHANGED = Recount(SECOND, True, G3), Recount(SECOND, True, G1)


@pytest.mark.parametrize(
    ("case_population", "ihc", "headline"),
    [
        (population("A", G1), None, "HER2 positive: ISH Group 1"),
        (population("A", G5), IHC.ZERO, "HER2 negative: ISH Group 5"),
        (population("A", G2), IHC.ZERO_PLUS, "HER2 negative: ISH Group 2, IHC 0+, comment A"),
        (population("A", G4), None, "No HER2 result yet: ISH Group 4, IHC awaited"),
        (population("A", G4), IHC.TWO_PLUS, "No HER2 result yet: ISH Group 4, IHC 2+, blinded recount awaited"),
        (
            population("A", G3, recount=AGREED),
            IHC.TWO_PLUS,
            "HER2 positive: ISH Group 3, IHC 2+, confirmed by blinded recount",
        ),
        (
            population(
                "A",
                G4,
                recount=CHANGED,
                adjudication=Adjudication(THIRD, Outcome.POSITIVE, 1, "Recount area is better"),
            ),
            IHC.TWO_PLUS,
            "HER2 positive: ISH Group 4, IHC 2+, recount Group 1, adjudicated positive",
        ),
    ],
)
def test_the_headline_says_result_and_basis_in_one_line(
    case_population: PopulationInputs, ihc: IHC | None, headline: str
) -> None:
    assert assess_case([case_population], replace(READY, ihc=ihc)).headline == headline


OPEN_CASES = [
    assess_case([population("A", G4)], READY),
    assess_case([population("A", G4)], replace(READY, ihc=IHC.ONE_PLUS, ihc_same_sample=False)),
    assess_case([population("A", G4)], replace(READY, ihc=IHC.ONE_PLUS, ihc_same_sample=None)),
    assess_case([population("A", G2)], replace(READY, ihc=IHC.TWO_PLUS)),
    assess_case([population("A", G2, recount=Recount(FIRST, True, G2))], replace(READY, ihc=IHC.TWO_PLUS)),
    assess_case([population("A", G4, recount=CHANGED)], replace(READY, ihc=IHC.TWO_PLUS)),
    assess_case([population("A", G1)], replace(READY, no_discordance_attested=None)),
    assess_case([population("A", G1)], replace(READY, no_discordance_attested=False)),
    assess_case([population("A", G1)], READY),
    assess_case([population("A", G1)], replace(READY, controls_ok=None)),
    assess_case([population("A", G1)], replace(READY, controls_ok=False)),
    assess_case([population("A", Tally(7, 30, 15))], READY),
    assess_case([population("A", G5, 85), population("B", G1)], READY),
    assess_case([population("A", G5, 85), population("B", G1, 85)], READY),
    assess_case([population(chr(65 + i), G5, 10) for i in range(10)], READY),
]


@pytest.mark.parametrize("case", OPEN_CASES, ids=lambda case: case.next_step[:40])
def test_the_next_step_says_what_who_and_why(case: CaseAssessment) -> None:
    step = case.next_step
    assert "pathologist" in step  # who
    assert ": " in step  # why
    assert step.endswith(".")
    assert "None" not in step


def test_comments_are_listed_with_their_population() -> None:
    case = assess_case(
        [population("A", G2, 60, ihc=IHC.ZERO), population("B", G4, 40, ihc=IHC.ONE_PLUS)],
        READY,
    )
    assert [(label, letter) for label, letter, _ in case.comments] == [("A", "A"), ("B", "C")]
    assert case.heterogeneous
    assert case.rule_set == RULE_SET


def test_population_inputs_pool_the_nuclei_of_all_regions(nucleus: Callable[..., Nucleus]) -> None:
    nuclei = [nucleus(6, 2, id=i, clustered=i < 3) for i in range(24)]
    cut = nucleus(30, 2, id=24, clustered=True, reason=Exclusion.EDGE)  # clustered, but not scored
    made = population_inputs("B", [*nuclei, cut], share_percent=30, ihc=IHC.TWO_PLUS)
    assert (made.label, made.share_percent, made.ihc) == ("B", 30, IHC.TWO_PLUS)
    assert (made.tally, made.clustered) == (Tally(24, 144, 48), 3)
    assert made.exclusions == {Exclusion.EDGE: 1}
    assert made.confidence is not None
    assert made.confidence.group_probability[1] == 1.0
    assert made.heterogeneity is not None
    assert made.heterogeneity.amplified == 24
