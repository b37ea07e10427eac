"""The work-up of a HER2 FISH result after ASCO/CAP 2018 (affirmed 2023): domain.md 1.5, 1.8, 1.9 and 1.12.

A population goes through: fit for a result? -> group -> IHC -> blinded recount -> adjudication. A case takes the
result of its populations above 10 %. Two traps: with IHC 2+ and an unchanged recount, Group 3 is positive while Groups
2 and 4 are negative; and exactly 10 % is not above 10 %.
"""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from dataclasses import dataclass

from her2core.errors import ScoringError
from her2core.records import IHC, Nucleus
from her2core.scoring import wording
from her2core.scoring.alerts import population_alerts
from her2core.scoring.comments import comment, comment_letter
from her2core.scoring.confidence import bootstrap
from her2core.scoring.groups import group
from her2core.scoring.heterogeneity import measure_heterogeneity
from her2core.scoring.inputs import (
    RULE_SET,
    Adjudication,
    CaseAssessment,
    Outcome,
    PopulationAssessment,
    PopulationInputs,
    Recount,
    RejectionReason,
    WorkUpInputs,
)
from her2core.scoring.systematic import SharedError
from her2core.scoring.tally import MINIMUM_NUCLEI, exclusions, scored_counts, tally

__all__ = [
    "RULE_SET",
    "Adjudication",
    "CaseAssessment",
    "Outcome",
    "PopulationAssessment",
    "PopulationInputs",
    "Recount",
    "RejectionReason",
    "WorkUpInputs",
    "assess_case",
    "assess_population",
    "population_inputs",
    "recount_problem",
    "standing_recount",
]

POPULATION_ABOVE_PERCENT = 10.0
SHARE_TOLERANCE_PERCENT = 1.0

# What decides the case among the populations that count: a positive one, else the one whose work-up is least advanced,
# else an indeterminate one (a tumour that is only partly determined cannot be called negative), else negative.
_DECISIVE = (
    Outcome.POSITIVE,
    Outcome.PENDING_IHC,
    Outcome.PENDING_RECOUNT,
    Outcome.PENDING_ADJUDICATION,
    Outcome.INDETERMINATE,
    Outcome.NEGATIVE,
)


def population_inputs(
    label: str,
    nuclei: Iterable[Nucleus],
    *,
    share_percent: float | None = None,
    ihc: IHC | None = None,
    recount: Recount | None = None,
    adjudication: Adjudication | None = None,
    indeterminate_reasons: tuple[str, ...] = (),
    shared: Sequence[SharedError] = (),
    regions: int | None = None,
) -> PopulationInputs:
    """The inputs of a population from its nuclei, pooled over all its regions, with interval and heterogeneity.

    shared: of each scored nucleus, in order, how far its counts may be off together with others'. regions: how many of
    them hold scored nuclei, None where that is not known.
    """
    pooled = tuple(nuclei)
    return PopulationInputs(
        label=label,
        tally=tally(pooled),
        share_percent=share_percent,
        ihc=ihc,
        recount=recount,
        adjudication=adjudication,
        indeterminate_reasons=indeterminate_reasons,
        exclusions=exclusions(pooled),
        clustered=sum(n.scored and n.clustered for n in pooled),
        confidence=bootstrap(scored_counts(pooled), shared=shared),
        heterogeneity=measure_heterogeneity(pooled),
        regions=regions,
    )


def recount_problem(recount: Recount, first_observer_ids: frozenset[int]) -> str | None:
    """Why a recount cannot be used, in plain words; None if it is valid."""
    if not first_observer_ids:
        return "It is not recorded who made the first count, so the recount cannot be shown to be independent."
    if recount.observer_id in first_observer_ids:
        return "The recount was made by someone who took part in the first count; it needs another observer."
    if not recount.blinded:
        return "The observer knew the first result; the recount has to be blinded."
    if recount.tally.n < MINIMUM_NUCLEI:
        return f"The recount has {recount.tally.n} nuclei; at least {MINIMUM_NUCLEI} are needed."
    if group(recount.tally) is None:
        return "The recount has no CEP17 signal, so it has no ratio."
    return None


def standing_recount(recounts: Sequence[Recount], first_observer_ids: frozenset[int]) -> Recount | None:
    """The recount that counts, from all of one population in the order they were made; None if there is none.

    The first valid one stands, so that nobody can recount until the result suits. Without a valid one it is the last,
    whose problem is then shown.
    """
    for recount in recounts:
        if recount_problem(recount, first_observer_ids) is None:
            return recount
    return recounts[-1] if recounts else None


def assess_population(
    population: PopulationInputs, inputs: WorkUpInputs, *, counted: bool = True, only_one: bool = True
) -> PopulationAssessment:
    """Apply the rules to one population. `counted` and `only_one` are set by `assess_case`."""
    provisional = group(population.tally)
    ihc = inputs.ihc if population.ihc is None else population.ihc
    reasons = _reasons(population, inputs)
    if reasons or provisional is None:
        verdict = _Verdict(
            Outcome.INDETERMINATE,
            (wording.indeterminate_step(reasons),),
            next_step=wording.indeterminate_next(population.tally, inputs.controls_ok, len(reasons)),
        )
        called = None
    else:
        verdict = _work_up(provisional, population, inputs, ihc)
        called = provisional
    alerts = population_alerts(population, called, ihc, only_one)
    if population.adjudication is not None and verdict.adjudication is None and called is not None:
        alerts += (wording.UNUSED_ADJUDICATION,)
    alerts += _unused_recount(called, population, inputs, verdict)
    return PopulationAssessment(
        label=population.label,
        share_percent=population.share_percent,
        counted=counted,
        tally=population.tally,
        group=called,
        provisional_group=provisional,
        outcome=verdict.outcome,
        path=(*wording.counted_steps(population.tally, called), *verdict.path),
        reasons=reasons,
        comment_letter=verdict.letter,
        comment=None if verdict.letter is None else comment(verdict.letter),
        alerts=alerts,
        next_step=verdict.next_step,
        ihc=ihc,
        recount=population.recount,
        recount_group=verdict.recount_group,
        recount_problem=verdict.recount_problem,
        adjudication=verdict.adjudication,
        exclusions=population.exclusions,
        clustered=population.clustered,
        confidence=population.confidence,
        heterogeneity=population.heterogeneity,
    )


def assess_case(populations: Sequence[PopulationInputs], inputs: WorkUpInputs) -> CaseAssessment:
    """Apply the rules to a case: each population by itself, never pooled, then the case.

    Raises ScoringError without populations or with two of the same label.
    """
    if not populations:
        raise ScoringError("A case needs at least one tumour-cell population.")
    if len({p.label for p in populations}) < len(populations):
        raise ScoringError("Two populations have the same label; give each its own.")
    only_one = len(populations) == 1
    assessed = tuple(
        assess_population(p, inputs, counted=only_one or _above_ten_percent(p.share_percent), only_one=only_one)
        for p in populations
    )
    return _conclude(assessed, inputs)


@dataclass(frozen=True, slots=True)
class _Verdict:
    outcome: Outcome
    path: tuple[str, ...]
    letter: str | None = None
    next_step: str | None = None
    recount_group: int | None = None
    recount_problem: str | None = None
    adjudication: Adjudication | None = None


def _reasons(population: PopulationInputs, inputs: WorkUpInputs) -> tuple[str, ...]:
    """Why the population cannot have a result, as sentences; empty if it can."""
    t = population.tally
    found: list[str] = []
    if inputs.controls_ok is None:
        found.append(wording.CONTROLS_UNKNOWN)
    elif not inputs.controls_ok:
        found.append(RejectionReason.CONTROLS.value)
    stated = (*inputs.indeterminate_reasons, *population.indeterminate_reasons)
    if t.n < MINIMUM_NUCLEI and (t.n or not stated):  # where nothing was counted, what was stated is why
        found.append(wording.too_few(t.n))
    if t.n and t.cep17 == 0:
        found.append(wording.NO_CEP17)
    found.extend(stated)
    return tuple(dict.fromkeys(found))


def _work_up(g: int, population: PopulationInputs, inputs: WorkUpInputs, ihc: IHC | None) -> _Verdict:
    if g == 1:
        return _Verdict(Outcome.POSITIVE, (wording.GROUP_1,))
    if g == 5:
        return _Verdict(Outcome.NEGATIVE, (wording.GROUP_5,))
    needs_ihc = wording.needs_ihc(g)
    if ihc is None or inputs.ihc_same_sample is not True:
        return _Verdict(Outcome.PENDING_IHC, (needs_ihc,), next_step=wording.ihc_next(g, ihc, inputs.ihc_same_sample))
    if ihc is IHC.THREE_PLUS:
        return _Verdict(Outcome.POSITIVE, (needs_ihc, wording.IHC_3))
    if ihc is not IHC.TWO_PLUS:
        letter = comment_letter(g)
        return _Verdict(Outcome.NEGATIVE, (needs_ihc, wording.ihc_low(ihc, letter)), letter)
    return _recounted(g, population, inputs, (needs_ihc, wording.IHC_2))


def _recounted(g: int, population: PopulationInputs, inputs: WorkUpInputs, path: tuple[str, ...]) -> _Verdict:
    """Groups 2 to 4 with IHC 2+: another observer recounts, blinded."""
    recount = population.recount
    if recount is None:
        return _Verdict(Outcome.PENDING_RECOUNT, path, next_step=wording.recount_next(g))
    problem = recount_problem(recount, inputs.first_observer_ids)
    if problem is not None:
        refused = wording.recount_refused(problem)
        return _Verdict(
            Outcome.PENDING_RECOUNT,
            (*path, refused),
            next_step=f"{refused} {wording.recount_next(g)}",
            recount_problem=problem,
        )
    second = group(recount.tally)
    path = (*path, wording.recount_step(recount.tally, second))
    if second == g:
        if g == 3:
            return _Verdict(Outcome.POSITIVE, (*path, wording.SAME_GROUP_3), recount_group=second)
        letter = comment_letter(g)
        return _Verdict(Outcome.NEGATIVE, (*path, wording.same_group_negative(g, letter)), letter, recount_group=second)
    decision = population.adjudication
    if decision is None:
        return _Verdict(
            Outcome.PENDING_ADJUDICATION, path, next_step=wording.adjudication_next(g, second), recount_group=second
        )
    return _adjudicated(decision, second, path)


def _unused_recount(
    called: int | None, population: PopulationInputs, inputs: WorkUpInputs, verdict: _Verdict
) -> tuple[str, ...]:
    """An alert where a valid recount fell into another group and the work-up does not ask for it, as where the first
    count has become Group 1 or 5 since. The rules decide without it; that it was passed over must not go unsaid."""
    recount = population.recount
    if called is None or recount is None or verdict.outcome.pending or verdict.recount_group is not None:
        return ()
    second = group(recount.tally)
    if recount_problem(recount, inputs.first_observer_ids) is not None or second == called:
        return ()
    return (wording.recount_passed_over(called, recount.tally, second),)


def _adjudicated(decision: Adjudication, second: int | None, path: tuple[str, ...]) -> _Verdict:
    # Group 3 has no comment here: with IHC 2+ comment B does not describe it.
    negative = decision.category is Outcome.NEGATIVE
    letter = comment_letter(decision.group) if negative and decision.group in (2, 4) else None
    step = wording.adjudicated_step(decision, letter)
    return _Verdict(decision.category, (*path, step), letter, recount_group=second, adjudication=decision)


def _above_ten_percent(share_percent: float | None) -> bool:
    # Rounded far below any share that is entered, so that 10.000000000000002 from a division is still exactly 10.
    return share_percent is not None and round(share_percent, 6) > POPULATION_ABOVE_PERCENT


def _conclude(assessed: tuple[PopulationAssessment, ...], inputs: WorkUpInputs) -> CaseAssessment:
    problem = _share_problem(assessed)
    counted = [p for p in assessed if p.counted]
    if problem is not None or not counted:
        problem = problem or wording.ALL_SMALL
        return CaseAssessment(
            outcome=Outcome.INDETERMINATE,
            heterogeneous=False,
            populations=assessed,
            alerts=_case_alerts(assessed, None),
            next_step=problem,
            headline=wording.no_result_yet("the shares of the populations are not settled"),
            group=None,
            deciding=None,
            reasons=(problem,),
            blockers=(problem,),
        )
    deciding = min(counted, key=lambda p: _DECISIVE.index(p.outcome))
    heterogeneous = len({p.group for p in counted if p.group is not None}) > 1
    blockers = _blockers(deciding, counted, inputs)
    return CaseAssessment(
        outcome=deciding.outcome,
        heterogeneous=heterogeneous,
        populations=assessed,
        alerts=_case_alerts(assessed, deciding.outcome),
        next_step=blockers[0] if blockers else wording.sign_next(deciding),
        headline=wording.headline(deciding, counted, heterogeneous),
        group=deciding.group,
        deciding=deciding.label,
        reasons=deciding.reasons if deciding.outcome is Outcome.INDETERMINATE else (),
        blockers=blockers,
    )


def _share_problem(assessed: tuple[PopulationAssessment, ...]) -> str | None:
    if len(assessed) == 1:
        return None
    missing = [p.label for p in assessed if p.share_percent is None]
    if missing:
        return wording.share_missing(missing)
    total = sum(p.share_percent or 0.0 for p in assessed)
    return None if abs(total - 100) <= SHARE_TOLERANCE_PERCENT else wording.shares_do_not_add_up(total)


def _blockers(
    deciding: PopulationAssessment, counted: list[PopulationAssessment], inputs: WorkUpInputs
) -> tuple[str, ...]:
    """What forbids signing; once one population makes the case positive, the others' open steps no longer do."""
    several = len(counted) > 1
    if deciding.outcome.pending:
        return tuple(
            wording.labelled(p.label, p.next_step, several)
            for p in counted
            if p.outcome.pending and p.next_step is not None
        )
    if deciding.outcome is Outcome.INDETERMINATE:
        return (wording.RECORD_CONTROLS,) if inputs.controls_ok is None else ()
    if inputs.no_discordance_attested is True:
        return ()
    return (wording.DISCORDANCE_FOUND if inputs.no_discordance_attested is False else wording.ATTEST,)


def _case_alerts(assessed: tuple[PopulationAssessment, ...], outcome: Outcome | None) -> tuple[str, ...]:
    several = len(assessed) > 1
    alerts = [wording.labelled(p.label, alert, several) for p in assessed for alert in p.alerts]
    if outcome is not None:
        alerts.extend(wording.small_population(p) for p in assessed if not p.counted)
    if outcome is Outcome.POSITIVE:
        alerts.extend(
            wording.left_open(p)
            for p in assessed
            if p.counted and (p.outcome.pending or p.outcome is Outcome.INDETERMINATE)
        )
    return tuple(alerts)
