"""The result card: what the counts say now, beside what the AI alone said, for one population."""

from __future__ import annotations

from her2core.records import Tally
from her2core.scoring import (
    MINIMUM_NUCLEI,
    CrossCheck,
    PopulationAssessment,
    cep17_per_nucleus,
    certainty,
    copy_number,
    describe_group,
    near_cut_off,
    ratio,
)
from her2core.ui.words import escaped, interval, kept_together, number
from her2core.workflow import AiResult

__all__ = ["RESULT_STYLE", "result_html"]

RESULT_STYLE = """<style>
.h2c-res {border: 1px solid rgba(140,155,170,.35); border-radius: 6px; padding: 8px 12px 6px;}
.h2c-res .top {display: flex; justify-content: space-between; align-items: baseline; gap: 10px;}
.h2c-res .group {font-size: 24px; font-weight: 700; white-space: nowrap;}
.h2c-res .what {font-size: 12.5px; opacity: .8; text-align: right;}
.h2c-res table {width: 100%; border-collapse: collapse; font-size: 13.5px; margin-top: 4px;}
.h2c-res th {font-weight: 500; opacity: .65; text-align: right; padding: 1px 0 1px 8px; font-size: 12px;
  white-space: nowrap;}
.h2c-res td {text-align: right; padding: 1.5px 0 1.5px 8px; font-variant-numeric: tabular-nums; white-space: nowrap;}
.h2c-res td:first-child, .h2c-res th:first-child {text-align: left; padding-left: 0;}
.h2c-res td.now {font-weight: 700; font-size: 15px;}
.h2c-res td.ai {opacity: .75;}
.h2c-res .under {font-size: 12.5px; margin-top: 4px; opacity: .9;}
.h2c-res .look {font-size: 12.5px; margin-top: 4px; border-left: 3px solid #E69F00; padding-left: 7px;}
</style>"""

_COVERS = {
    True: "Had other nuclei been counted, and had the counter been off in all nuclei of a region alike. "
    "Counts that a person made, corrected or confirmed are free of the second error.",
    False: "Had other nuclei been counted. "
    "What the counter may get wrong in all nuclei of a region alike is not in it.",
}


_ALL_SIGNALS = (
    "All HER2 over all CEP17 signals (dots over dots), whichever nucleus they lie in and whether or not it is scored: "
    "a cross-check that leans neither on the borders of the nuclei nor on which of them were left out."
)


def result_html(
    population: PopulationAssessment, ai: AiResult | None, *, several: bool, check: CrossCheck | None = None
) -> str:
    """The card of one population as HTML, with the cross-check where it is to be looked at. All text is escaped.

    The group of counts that give no result is named as that of the counts.
    """
    t = population.tally
    name = f"Population {population.label}" if several else ""
    if several and population.share_percent is not None:
        name += f" ({population.share_percent:g} %)"
    called = population.provisional_group
    enough = t.n >= MINIMUM_NUCLEI
    title = "No group yet" if called is None else f"Group {called}"
    if called is not None and not enough:
        title += " so far"
    meaning = "a ratio needs CEP17 signals" if called is None else describe_group(called)
    if called is not None and enough and population.group is None:
        meaning = "by the counts alone; the result is indeterminate"
    head = (
        f'<div class="top"><span class="group">{escaped(title)}</span>'
        f'<span class="what">{escaped(name)}{"<br>" if name else ""}{escaped(meaning)}</span></div>'
    )
    confidence = population.confidence
    rows = [
        ("HER2/CEP17 ratio", ratio, interval(confidence.ratio_95 if confidence else None)),
        ("HER2 signals per cell", copy_number, interval(confidence.copy_number_95 if confidence else None)),
        ("CEP17 signals per cell", cep17_per_nucleus, ""),
    ]
    other = ai.tally if ai is not None else Tally(0, 0, 0)
    body = "".join(
        f'<tr><td>{label}</td><td class="now">{number(value(t))}</td><td>{escaped(ends)}</td>'
        f'<td class="ai">{number(value(other))}</td></tr>'
        for label, value, ends in rows
    )
    body += (
        f'<tr><td>Nuclei · HER2 · CEP17</td><td class="now">{t.n} · {t.her2} · {t.cep17}</td><td></td>'
        f'<td class="ai">{other.n} · {other.her2} · {other.cep17}</td></tr>'
    )
    ai_group = "–" if ai is None or ai.group is None else f"Group {ai.group}"
    covers = escaped(_COVERS[confidence is not None and confidence.systematic])
    table = f'<table><tr><th></th><th>now</th><th title="{covers}">95 %</th><th>AI: {ai_group}</th></tr>{body}</table>'
    return kept_together(f'<div class="h2c-res">{head}{table}{_foot(population, check)}{_look(population)}</div>')


def _all_signals(check: CrossCheck) -> str:
    """Their ratio in a few words, since the card has to leave room for the nuclei; the whole is said on hovering."""
    said = f"Ratio of all signals {number(check.dots.ratio)}"
    if check.warning is None:
        return f'<span title="{escaped(_ALL_SIGNALS)}">{said}.</span>'
    return f'<b title="{escaped(check.warning)}">{said}: contradicts the scored nuclei.</b>'


def _look(population: PopulationAssessment) -> str:
    """What asks for more nuclei before the counts are accepted."""
    near = near_cut_off(population.tally)
    return "" if near is None else f'<div class="look">{escaped(near)}</div>'


def _foot(population: PopulationAssessment, check: CrossCheck | None) -> str:
    t = population.tally
    said: list[str] = []
    if t.n < MINIMUM_NUCLEI:
        missing = MINIMUM_NUCLEI - t.n
        more = "1 more nucleus</b> is" if missing == 1 else f"{missing} more nuclei</b> are"
        said.append(f"<b>{more} needed for a result (at least {MINIMUM_NUCLEI}).")
    said += certainty(population.confidence, t.n)
    left_out = sum(population.exclusions.values())
    if left_out:
        said.append(f"{left_out} of {t.n + left_out} nuclei are not scored.")
    if population.clustered:
        said.append(f"{population.clustered} of the {t.n} scored have clustered HER2 (estimated).")
    said += [] if check is None or check.dots.ratio is None else [_all_signals(check)]
    return f'<div class="under">{" ".join(said)}</div>' if said else ""
