"""The sentences of the work-up, as the pathologist reads them. No rule is decided here.

A next step always says what to do, who may do it, and why.
"""

from __future__ import annotations

from collections.abc import Iterable, Sequence

from her2core.records import IHC, SystematicError, Tally
from her2core.scoring.asked import LEFT_OPEN, READ_AGAIN
from her2core.scoring.confidence import MOST_NUCLEI_WORTH_COUNTING, Confidence
from her2core.scoring.groups import describe_group
from her2core.scoring.inputs import Adjudication, Outcome, PopulationAssessment
from her2core.scoring.tally import MINIMUM_NUCLEI, copy_number, ratio, truncated

CONTROLS_UNKNOWN = "It is not recorded whether the controls hybridised as expected."
NO_CEP17 = "No CEP17 signal was counted, so there is no HER2/CEP17 ratio."
GROUP_1 = "Group 1 is HER2 positive; immunohistochemistry is not needed for the result."
GROUP_5 = "Group 5 is HER2 negative; immunohistochemistry is not needed for the result."
IHC_3 = "IHC is 3+: the tumour is HER2 positive."
IHC_2 = (
    f"IHC is 2+: another observer, blinded to the first result, recounts at least {MINIMUM_NUCLEI} nuclei in the areas "
    "with 2+ staining."
)
SAME_GROUP_3 = "The recount confirms Group 3: with IHC 2+ the tumour is HER2 positive."
UNUSED_ADJUDICATION = "An adjudication is recorded but not used, because the work-up does not call for one now."
RECORD_CONTROLS = (
    "Record whether batch and on-slide controls hybridised as expected (the pathologist, in the case's intake): "
    "without working controls no ISH result may be given."
)
ATTEST = (
    "Confirm that the result fits the histology (the pathologist who signs, at sign-out): the result holds only where "
    "there is no histopathologic discordance."
)
DISCORDANCE_FOUND = (
    "Resolve the histopathologic discordance that was recorded (the pathologist): review histology, IHC and FISH "
    "together, repeat a test if needed, then confirm that the result fits or report the case as indeterminate with the "
    "reason."
)
ALL_SMALL = (
    "No population is above 10 % of the tumour cells (the pathologist, in the case's intake): check the populations "
    "and their shares, since the result is taken from those above 10 %."
)


def counted_steps(t: Tally, group: int | None) -> tuple[str, ...]:
    """What was counted, and the group; None where it may not be reported."""
    if not t.n:
        return ("No nucleus is scored yet.",)
    first = (
        f"{_nuclei(t.n)} scored with {t.her2} HER2 and {t.cep17} CEP17 signals: {truncated(copy_number(t))} HER2 "
        f"signals per cell, HER2/CEP17 ratio {truncated(ratio(t))}."
    )
    if group is None:
        return (first,)
    return (first, f"This is Group {group}: {describe_group(group)}.")


def certainty(found: Confidence | None, n: int) -> tuple[str, ...]:
    """How sure the group of `n` nuclei is, and what would settle it, in sentences; none below the least number."""
    if found is None or n < MINIMUM_NUCLEI:
        return ()
    likely = sorted(((share, g) for g, share in found.group_probability.items() if share >= 0.005), reverse=True)
    if not likely:
        return ()
    allowing = ", the counter's own error included" if found.systematic else ""
    groups = ", ".join(f"Group {g} {_chance(share)}" for share, g in likely[:3])
    return tuple(filter(None, (f"Likely with other nuclei{allowing}: {groups}.", _to_settle(found))))


def _to_settle(found: Confidence) -> str:
    """What would settle the group; empty where it is settled."""
    if found.more_nuclei is not None:
        return f"About {_nuclei(found.more_nuclei, 'more ')} would settle the group." if found.more_nuclei else ""
    if not found.systematic or found.more_if_read is None:
        return f"Not even {MOST_NUCLEI_WORTH_COUNTING} nuclei like these would settle the group."
    then = f", and in about {_nuclei(found.more_if_read, 'more ')}" if found.more_if_read else ""
    return (
        "More nuclei alone would not settle the group: the software may count all nuclei of a region a little too high "
        "or too low, which alone could make another group. Counts that a person confirmed or corrected are free of "
        f"this error; the group would be settled if a person did so in every scored nucleus{then}."
    )


def interval_basis(errors: Iterable[SystematicError | None]) -> str:
    """What the 95 % intervals cover, from what the counters of all regions say of their own error (None: nothing)."""
    stated = set(errors)
    known = {e for e in stated if e is not None}
    alike = "errors that the counter makes in all nuclei of a region alike"
    if not known:
        return f"bootstrap over nuclei; {alike} are not covered, as its model card does not state them"
    sizes = "; or ".join(
        f"HER2 {_share(e.her2)}, HER2 in clusters {_share(e.her2_clustered)}, CEP17 {_share(e.cep17)}"
        for e in sorted(known, key=lambda e: (e.her2, e.cep17, e.her2_clustered))
    )
    but = ", in the regions whose counter states them" if None in stated else ""
    return (
        f"bootstrap over nuclei, and over {alike}{but} (one standard deviation, measured on rendered regions: {sizes}; "
        "none in nuclei that a person counted)"
    )


def _chance(value: float) -> str:
    """Nothing that is estimated is certain."""
    return "over 99 %" if value > 0.99 else _share(value)


def _share(value: float) -> str:
    return "under 1 %" if value < 0.01 else f"{100 * value:.0f} %"


def too_few(n: int) -> str:
    if n == 0:
        return f"No nucleus is scored; at least {MINIMUM_NUCLEI} invasive tumour nuclei are needed."
    return f"Only {_nuclei(n)} scored; at least {MINIMUM_NUCLEI} invasive tumour nuclei are needed."


def indeterminate_step(reasons: Sequence[str]) -> str:
    return "The result is indeterminate: " + " ".join(reasons)


def indeterminate_next(t: Tally, controls_ok: bool | None, reasons: int) -> str:
    if controls_ok is None:
        return RECORD_CONTROLS
    if t.n < MINIMUM_NUCLEI and reasons == 1:
        return (
            f"Score {MINIMUM_NUCLEI - t.n} more or add a region of this population (the pathologist): a result needs "
            f"at least {MINIMUM_NUCLEI} nuclei. Where the tumour has no more, sign the case as indeterminate."
        )
    return (
        "Repeat FISH on this or another block or use IHC, or sign the case as indeterminate with its reason (the "
        "pathologist): a test that failed is not a negative one."
    )


def needs_ihc(group: int) -> str:
    return (
        f"Group {group} is neither positive nor negative by ISH alone; it is decided together with IHC on the same "
        "tissue sample."
    )


def ihc_next(group: int, ihc: IHC | None, same_sample: bool | None) -> str:
    why = f"Group {group} is decided together with IHC on the same tissue sample, both slides reviewed side by side."
    if ihc is None:
        return f"Enter the HER2 IHC score (the pathologist, in the case's work-up): {why}"
    if same_sample is None:
        return f"Confirm that IHC {ihc.value} was done on the same tissue sample as ISH (the pathologist): {why}"
    return f"Have IHC done on the tissue sample used for ISH and enter its score (the pathologist): {why}"


def ihc_low(ihc: IHC, letter: str | None) -> str:
    return f"IHC is {ihc.value}: the tumour is HER2 negative, with comment {letter}."


def recount_next(group: int) -> str:
    return (
        f"Recount at least {MINIMUM_NUCLEI} nuclei in the areas with IHC 2+ (another pathologist who took no part in "
        f"the first count and does not know its result): Group {group} with IHC 2+ is decided by a blinded recount."
    )


def recount_refused(problem: str) -> str:
    return f"The recount is not accepted. {problem}"


def recount_step(t: Tally, group: int | None) -> str:
    return (
        f"The blinded recount has {_nuclei(t.n)} with {t.her2} HER2 and {t.cep17} CEP17 signals: "
        f"{truncated(copy_number(t))} HER2 signals per cell, ratio {truncated(ratio(t))}, Group {group}."
    )


def recount_passed_over(called: int, t: Tally, second: int | None) -> str:
    return (
        f"Discordance: the first count is Group {called} now, the blinded recount ({_nuclei(t.n)}, {t.her2} HER2 and "
        f"{t.cep17} CEP17 signals) is Group {second}, and the result does not rest on it. {READ_AGAIN.prompt}"
    )


def same_group_negative(group: int, letter: str | None) -> str:
    return f"The recount confirms Group {group}: with IHC 2+ the tumour is HER2 negative, with comment {letter}."


def adjudication_next(first: int, second: int | None) -> str:
    return (
        f"Adjudicate between Group {first} and Group {second} and give the reason (the pathologist whom the "
        "laboratory's procedure names): the first count and the blinded recount fall into different groups."
    )


def adjudicated_step(decision: Adjudication, letter: str | None, by: str = "") -> str:
    """`by`: who decided and when, for a report."""
    as_group = "" if decision.group is None else f" as Group {decision.group}"
    with_comment = "" if letter is None else f", with comment {letter}"
    return (
        f"The two counts fall into different groups; adjudicated{as_group}{by and f' by {by}'}: the tumour is HER2 "
        f"{decision.category.value}{with_comment}. Reason: {decision.reason.strip()}"
    )


def share_missing(labels: Sequence[str]) -> str:
    named = "population " + labels[0] if len(labels) == 1 else "populations " + ", ".join(labels)
    return (
        f"Enter the share of the tumour cells for {named} (the pathologist, in the case's intake): a population bears "
        "on the result if it is above 10 %."
    )


def shares_do_not_add_up(total: float) -> str:
    return (
        "Correct the shares of the populations (the pathologist, in the case's intake): they add up to "
        f"{_percent(total)} and not to 100 %, and a population bears on the result if it is above 10 %."
    )


def with_share(label: str, share_percent: float | None) -> str:
    """A population by label and share of the tumour cells, such as "B 15 %"; the label alone where none is known."""
    return label if share_percent is None else f"{label} {share_percent:g} %"


def labelled(label: str, sentence: str, several: bool) -> str:
    return f"Population {label}: {sentence}" if several else sentence


def small_population(p: PopulationAssessment) -> str:
    found = "no group" if p.provisional_group is None else f"Group {p.provisional_group}"
    return (
        f"Population {p.label} ({_percent(p.share_percent)} of the tumour cells, {found} by its {_nuclei(p.tally.n)}) "
        "is not above 10 %: it is described in the report and does not change the result."
    )


def left_open(p: PopulationAssessment) -> str:
    state = "could not be determined" if p.outcome is Outcome.INDETERMINATE else f"is still {p.outcome.value}"
    return (
        f"Population {p.label} ({_percent(p.share_percent)} of the tumour cells) {state}. The case is positive "
        f"{LEFT_OPEN.prompt}"
    )


def no_result_yet(why: str) -> str:
    return f"No HER2 result yet: {why}"


def sign_next(deciding: PopulationAssessment) -> str:
    if deciding.outcome is Outcome.INDETERMINATE and deciding.next_step is not None:
        return deciding.next_step
    return "Sign the case out (the pathologist, at sign-out): the HER2 result is settled."


def headline(deciding: PopulationAssessment, counted: Sequence[PopulationAssessment], heterogeneous: bool) -> str:
    """The result in one line, as it stands at the top of page and report."""
    if heterogeneous and not deciding.outcome.pending and deciding.outcome is not Outcome.INDETERMINATE:
        ordered = [deciding, *(p for p in counted if p is not deciding)]
        parts = "; ".join(f"population {p.label} ({_percent(p.share_percent)}) {basis(p)}" for p in ordered)
        return f"HER2 {deciding.outcome.value}, heterogeneous: {parts}"
    of_population = f" (population {deciding.label})" if len(counted) > 1 else ""
    if deciding.outcome.pending:
        return f"{no_result_yet(basis(deciding))}{of_population}"
    if deciding.outcome is Outcome.INDETERMINATE:
        return f"HER2 indeterminate{of_population}: {deciding.reasons[0]}"
    return f"HER2 {deciding.outcome.value}: {basis(deciding)}"


def basis(p: PopulationAssessment) -> str:
    """What the result of a population rests on, for example "ISH Group 3, IHC 2+, confirmed by blinded recount"."""
    if p.group is None:
        return "indeterminate"
    parts = [f"ISH Group {p.group}"]
    if p.group in (2, 3, 4) and p.ihc is not None and p.outcome is not Outcome.PENDING_IHC:
        parts.append(f"IHC {p.ihc.value}")
    if p.adjudication is not None:
        parts.append(f"recount Group {p.recount_group}, adjudicated {p.outcome.value}")
    elif p.outcome is Outcome.PENDING_ADJUDICATION:
        parts.append(f"recount Group {p.recount_group}")
    elif p.recount_group is not None:
        parts.append("confirmed by blinded recount")
    if p.comment_letter is not None:
        parts.append(f"comment {p.comment_letter}")
    if p.outcome.pending:
        parts.append(_AWAITED[p.outcome])
    return ", ".join(parts)


_AWAITED = {
    Outcome.PENDING_IHC: "IHC awaited",
    Outcome.PENDING_RECOUNT: "blinded recount awaited",
    Outcome.PENDING_ADJUDICATION: "adjudication awaited",
}


def _nuclei(n: int, more: str = "") -> str:
    return f"1 {more}nucleus" if n == 1 else f"{n} {more}nuclei"


def _percent(share: float | None) -> str:
    return "share not given" if share is None else f"{share:g} %"
