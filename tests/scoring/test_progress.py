"""The steps of the work-up say the same as its rules: what is done, what is next, who takes it and why."""

from __future__ import annotations

import itertools

import pytest

from her2core.records import IHC, Tally
from her2core.scoring.inputs import Adjudication, CaseAssessment, Outcome, PopulationInputs, Recount, WorkUpInputs
from her2core.scoring.progress import CaseFacts, Step, StepKind, StepState, next_step, work_up_steps
from her2core.scoring.workup import assess_case

FIRST, SECOND = 11, 12
G1, G2, G3, G4, G5 = (
    Tally(20, 143, 48),
    Tally(20, 79, 39),
    Tally(20, 120, 61),
    Tally(20, 80, 41),
    Tally(20, 44, 40),
)
FEW, NO_CEP17 = Tally(12, 72, 24), Tally(20, 120, 0)
DECIDED = Adjudication(FIRST, Outcome.POSITIVE, 1, "recounted together")


def case(
    tally: Tally = G1,
    *,
    ihc: IHC | None = None,
    same: bool | None = True,
    recount: Tally | None = None,
    adjudication: Adjudication | None = None,
    controls: bool | None = True,
    attested: bool | None = True,
    reviewed: bool = True,
    warnings: tuple[int, int] = (0, 0),
    signed: bool = False,
) -> tuple[CaseAssessment, tuple[Step, ...]]:
    """One population: assessment and steps. `warnings`: open, and all."""
    inputs = WorkUpInputs(controls, ihc, same, frozenset({FIRST}), (), attested)
    second = None if recount is None else Recount(SECOND, True, recount)
    assessment = assess_case([PopulationInputs("A", tally, 100.0, recount=second, adjudication=adjudication)], inputs)
    facts = CaseFacts(reviewed, controls, same, attested, *warnings, signed=signed)
    return assessment, work_up_steps(assessment, facts)


def states(steps: tuple[Step, ...], population: str = "A") -> dict[StepKind, StepState]:
    return {s.kind: s.state for s in steps if s.population in ("", population)}


@pytest.mark.parametrize(
    ("given", "kind", "action", "who"),
    [
        ({"reviewed": False}, StepKind.REVIEW, "Counts reviewed", "A pathologist"),
        ({"controls": None}, StepKind.CONTROLS, "controls hybridised", "A pathologist"),
        ({"tally": G2}, StepKind.IHC, "Enter the HER2 IHC score", "A pathologist"),
        ({"tally": G3, "ihc": IHC.TWO_PLUS, "same": None}, StepKind.IHC, "Confirm that IHC 2+", "A pathologist"),
        ({"tally": G3, "ihc": IHC.TWO_PLUS, "same": False}, StepKind.IHC, "Have IHC done", "A pathologist"),
        ({"tally": G4, "ihc": IHC.TWO_PLUS}, StepKind.RECOUNT, "at least 20 nuclei", "Another pathologist"),
        ({"tally": G4, "ihc": IHC.TWO_PLUS, "recount": G1}, StepKind.ADJUDICATION, "Decide", "procedure names"),
        ({"warnings": (1, 3)}, StepKind.WARNINGS, "acknowledge", "who signs"),
        ({"attested": None}, StepKind.HISTOLOGY, "whether it fits", "who signs"),
        ({"attested": False}, StepKind.HISTOLOGY, "Review histology", "A pathologist"),
        ({}, StepKind.SIGNATURE, "sign", "who signs"),
        ({"tally": FEW}, StepKind.SIGNATURE, "sign", "who signs"),  # indeterminate is signable
    ],
)
def test_the_next_step_says_what_to_do_who_may_do_it_and_why(
    given: dict[str, object], kind: StepKind, action: str, who: str
) -> None:
    _, steps = case(**given)  # type: ignore[arg-type]
    step = next_step(steps)
    assert step is not None
    assert step.kind is kind
    assert action in step.action
    assert who in step.who
    assert step.why


@pytest.mark.parametrize(
    ("given", "ihc", "recount", "adjudication", "result", "says"),
    [
        ({"tally": G1}, "not needed", "not needed", "not needed", "done", "HER2 positive"),
        ({"tally": G5}, "not needed", "not needed", "not needed", "done", "HER2 negative"),
        ({"tally": G2, "ihc": IHC.ONE_PLUS}, "done", "not needed", "not needed", "done", "negative, comment A"),
        ({"tally": G3, "ihc": IHC.THREE_PLUS}, "done", "not needed", "not needed", "done", "HER2 positive"),
        ({"tally": G4}, "now", "ahead", "ahead", "ahead", "open"),
        ({"tally": G3, "ihc": IHC.TWO_PLUS}, "done", "now", "ahead", "ahead", "open"),
        ({"tally": G3, "ihc": IHC.TWO_PLUS, "recount": G3}, "done", "done", "not needed", "done", "HER2 positive"),
        ({"tally": G2, "ihc": IHC.TWO_PLUS, "recount": G2}, "done", "done", "not needed", "done", "comment A"),
        ({"tally": G4, "ihc": IHC.TWO_PLUS, "recount": G1}, "done", "done", "now", "ahead", "open"),
        (
            {"tally": G4, "ihc": IHC.TWO_PLUS, "recount": G1, "adjudication": DECIDED},
            "done", "done", "done", "done", "HER2 positive",
        ),
        ({"tally": FEW}, "not needed", "not needed", "not needed", "not met", "indeterminate"),
        ({"tally": NO_CEP17}, "not needed", "not needed", "not needed", "not met", "indeterminate"),
    ],
)  # fmt: skip
def test_steps_of_each_path(
    given: dict[str, object], ihc: str, recount: str, adjudication: str, result: str, says: str
) -> None:
    _, steps = case(**given)  # type: ignore[arg-type]
    found = states(steps)
    assert [str(found[kind]) for kind in (StepKind.IHC, StepKind.RECOUNT, StepKind.ADJUDICATION, StepKind.RESULT)] == [
        ihc,
        recount,
        adjudication,
        result,
    ]
    assert says in next(s.says for s in steps if s.kind is StepKind.RESULT)


def test_the_signature_is_next_exactly_where_the_rules_allow_it() -> None:
    """Over all paths: steps and blockers never disagree, and at most one step is the one to take now."""
    seen = set()
    for tally, ihc, same, recount, decided, controls, attested in itertools.product(
        (G1, G2, G3, G4, G5, FEW, NO_CEP17),
        (None, IHC.ZERO_PLUS, IHC.TWO_PLUS, IHC.THREE_PLUS),
        (None, True, False),
        (None, G1, G3, FEW),
        (None, DECIDED),
        (None, True, False),
        (None, True, False),
    ):
        assessment, steps = case(
            tally, ihc=ihc, same=same, recount=recount, adjudication=decided, controls=controls, attested=attested
        )
        step = next_step(steps)
        assert step is not None
        assert (step.kind is StepKind.SIGNATURE) == assessment.signable, (tally, ihc, same, recount, steps)
        assert sum(s.state is StepState.NOW for s in steps) == 1
        assert all(bool(s.action) == bool(s.who) for s in steps)
        seen.add(step.kind)
    assert {StepKind.CONTROLS, StepKind.IHC, StepKind.RECOUNT, StepKind.ADJUDICATION, StepKind.HISTOLOGY} < seen


def test_what_was_signed_has_no_next_step() -> None:
    assert next_step(case(signed=True)[1]) is None


def test_fewer_than_20_nuclei_is_not_met_and_says_how_many_lack() -> None:
    nuclei = next(s for s in case(FEW)[1] if s.kind is StepKind.NUCLEI)
    assert (nuclei.state, nuclei.says) == (StepState.FAILED, "12 scored")
    assert nuclei.action.startswith("Score 8 more")


def several(*populations: PopulationInputs) -> tuple[CaseAssessment, tuple[Step, ...]]:
    inputs = WorkUpInputs(True, None, None, frozenset({FIRST}), (), True)
    assessment = assess_case(populations, inputs)
    return assessment, work_up_steps(assessment, CaseFacts(True, True, None, True, 0, 0))


def test_a_positive_population_leaves_the_open_steps_of_others_unneeded() -> None:
    assessment, steps = several(PopulationInputs("A", G4, 85.0), PopulationInputs("B", G1, 15.0))
    assert assessment.outcome is Outcome.POSITIVE
    step = next_step(steps)
    assert step is not None
    assert step.kind is StepKind.SIGNATURE
    ihc = next(s for s in steps if s.kind is StepKind.IHC and s.population == "A")
    assert (ihc.state, ihc.says) == (StepState.NOT_NEEDED, "open; population B makes the case positive")


def test_a_population_of_exactly_10_percent_asks_for_nothing() -> None:
    _, steps = several(PopulationInputs("A", G5, 90.0), PopulationInputs("B", G4, 10.0))
    ihc = next(s for s in steps if s.kind is StepKind.IHC and s.population == "B")
    assert (ihc.state, ihc.says) == (StepState.NOT_NEEDED, "not above 10 % of the tumour cells")


def test_shares_that_do_not_add_up_come_before_everything_of_the_populations() -> None:
    assessment, steps = several(PopulationInputs("A", G4, 50.0), PopulationInputs("B", G1, None))
    step = next_step(steps)
    assert step is not None
    assert step.kind is StepKind.SHARES
    assert assessment.reasons[0] in step.action
