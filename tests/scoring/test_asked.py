"""What a signed report says of the prompts that were given before it was signed."""

from __future__ import annotations

import pytest

from her2core.records import IHC, Exclusion, Tally
from her2core.scoring import (
    DotsOverDots,
    Outcome,
    PopulationInputs,
    WorkUpInputs,
    assess_case,
    assess_population,
    cross_check,
    near_cut_off,
)
from her2core.scoring import asked as points
from her2core.scoring.alerts import ONE_REGION, unread_alert
from her2core.scoring.asked import Asked, as_told
from her2core.scoring.wording import left_open, recount_passed_over

FIXED = [value for name in points.__all__ if isinstance(value := getattr(points, name), Asked)]


@pytest.mark.parametrize(
    ("counted", "told"),
    [
        (20, ". At least 40 nuclei were asked for, 20 were counted: read the result with caution."),
        (39, ". At least 40 nuclei were asked for, 39 were counted: read the result with caution."),
        (40, " even with 40 nuclei: read it with caution."),
    ],
)
def test_more_nuclei_near_the_cut_off_are_told_as_asked_for_with_those_counted(counted: int, told: str) -> None:
    alert = near_cut_off(Tally(counted, 2 * counted, counted))
    assert alert is not None
    assert as_told(alert) == f"The ratio 2.00 is close to the cut-off of 2.0{told}"


@pytest.mark.parametrize("asked", FIXED)
def test_a_prompt_is_told_as_a_fact_wherever_it_stands_and_only_once(asked: Asked) -> None:
    told = as_told(f"Population A: Found. {asked.prompt} And more.")
    assert told == f"Population A: Found. {asked.told} And more."
    assert as_told(told) == told


def test_no_prompt_is_left_in_what_the_alerts_say() -> None:
    discordant = PopulationInputs("A", Tally(20, 44, 40), ihc=IHC.THREE_PLUS, clustered=3, regions=1)
    amplified = PopulationInputs("A", Tally(20, 143, 48), ihc=IHC.ZERO, regions=1)
    weak = PopulationInputs("A", Tally(20, 76, 40), exclusions={Exclusion.NO_CEP17: 19})
    alerts = [a for p in (discordant, amplified, weak) for a in assess_population(p, WorkUpInputs(True)).alerts]
    two = [PopulationInputs("A", Tally(20, 143, 48), 60), PopulationInputs("B", Tally(20, 80, 41), 40)]
    case = assess_case(two, WorkUpInputs(True))
    assert case.outcome is Outcome.POSITIVE
    alerts += [*case.alerts, left_open(case.populations[1]), recount_passed_over(5, Tally(20, 80, 41), 4), ONE_REGION]
    checked = cross_check(DotsOverDots(40, 100, 40, 0), Tally(20, 60, 40)).warning
    alerts += filter(None, [checked, unread_alert(40, 20)])
    assert len(alerts) >= 10
    for alert in map(as_told, alerts):
        for word in ("Check ", "Look ", "Confirm ", "score ", "add a ", "define ", "before signing.", "will say"):
            assert word not in alert, alert


@pytest.mark.parametrize(
    ("scored", "unsure_of", "share"),
    [
        (0, 0, None),
        (40, 0, None),
        (40, 4, None),
        (40, 5, "5 of 40 scored nuclei (12 %)"),
        (1, 1, "1 of 1"),
        (68, 55, "81"),
    ],
)
def test_counts_that_rest_on_unsure_models_are_noted_from_more_than_a_tenth_on(
    scored: int, unsure_of: int, share: str | None
) -> None:
    alert = unread_alert(scored, unsure_of)
    assert (alert is None) == (share is None)
    if alert is not None and share is not None:
        assert share in alert
        assert as_told(alert).endswith("Their counts were confirmed together with all others.")
