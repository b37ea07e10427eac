"""The cells of a population: how many are amplified, how they lie, whether they look like two, and the cross-check."""

from __future__ import annotations

from dataclasses import replace

import streamlit as st

from her2core.scoring import (
    Heterogeneity,
    Pattern,
    PopulationAssessment,
    SpatialPattern,
    TwoPopulations,
    pattern_meaning,
    pattern_sentence,
    ratio,
    second_population_alert,
    with_sign,
)
from her2core.scoring.heterogeneity import ASHMANS_D_SEPARATED, BIMODAL_ABOVE
from her2core.ui.words import escaped, number
from her2core.workflow import CaseReview, PopulationFindings

__all__ = ["population_rows", "show"]

_STYLE = """<style>
.h2c-pop {width: 100%; border-collapse: collapse; font-size: 13.5px;}
.h2c-pop td {padding: 2.5px 0; vertical-align: top; border-bottom: 1px solid rgba(140,155,170,.22);}
.h2c-pop tr:last-child td {border-bottom: 0;}
.h2c-pop td:first-child {opacity: .75; padding-right: 12px; width: 38%;}
.h2c-pop td:last-child {font-variant-numeric: tabular-nums;}
.h2c-pop b {font-weight: 700;}
</style>"""


def show(review: CaseReview) -> None:
    """An expander for each population with scored nuclei; open where the cells do not look like one population."""
    assessment = review.assessment
    for population in assessment.populations if assessment else ():
        findings, measured = review.findings.get(population.label), population.heterogeneity
        if findings is None or measured is None or not measured.n:
            continue
        several = assessment is not None and len(assessment.populations) > 1
        mixed = second_population_alert(measured) is not None or findings.pattern.pattern is Pattern.CLUSTERED
        title = f"Cells of population {population.label}" if several else "Cells and cross-check"
        with st.expander(title, expanded=mixed, icon=":material/scatter_plot:", key=f"cells_{population.label}"):
            rows = "".join(
                f"<tr><td>{escaped(name)}</td><td>{escaped(text)}</td></tr>"
                for name, text in population_rows(population, measured, findings)
            )
            st.html(f'{_STYLE}<table class="h2c-pop">{rows}</table>')


def population_rows(
    population: PopulationAssessment, measured: Heterogeneity, findings: PopulationFindings
) -> list[tuple[str, str]]:
    """The lines of the panel: name and text."""
    meaning = pattern_meaning(findings.pattern)
    cap = "; within the 5 to 50 % of CAP 2009, for comparison only" if measured.heterogeneous_cap2009 else ""
    return [
        ("Amplified: ratio 2.0 or more, or 6 HER2, or clustered", _of(measured.amplified, measured.n)),
        ("Amplified: ratio above 2.2", _of(measured.amplified_cap2009, measured.n) + cap),
        ("Where amplified cells lie", _pattern(findings.pattern)),
        *([("What that means", meaning)] if meaning else []),
        ("Two populations by HER2", _by_her2(measured)),
        ("Two populations by ratio", _two(measured.ratio, "as ratio")),
        ("Bimodality of HER2 · ratio", _bimodality(measured)),
        ("Ratio over all signals (dots over dots)", _dots(population, findings)),
    ]


def _of(part: int, whole: int) -> str:
    return f"{part} of {whole} cells ({100 * part / whole:.0f} %)"


def _pattern(found: SpatialPattern) -> str:
    text = pattern_sentence(found)
    if found.index is None or found.p_together is None:
        return text
    return f"{text} Index {found.index:.2f} (0 by chance, 1 one nest), p = {found.p_together:.3f}"


def _by_her2(measured: Heterogeneity) -> str:
    """The parts that the alert goes by, and whether it was raised. They are fitted to square roots of the counts, whose
    spread by chance is alike at any mean; their means are shown as counts."""
    fit = measured.her2_root
    if fit is None:
        return _two(None, "")
    counts = replace(fit, low_mean=fit.low_mean**2, high_mean=fit.high_mean**2)
    raised = "raised" if second_population_alert(measured) else "none, which does not rule out a second population"
    return f"{_two(counts, 'signals', fit.ashmans_d)}. Alert: {raised}"


def _two(fit: TwoPopulations | None, unit: str, ashmans_d: float | None = None) -> str:
    if fit is None:
        return "not measured (fewer than 20 cells, or all alike)"
    distance = fit.ashmans_d if ashmans_d is None else ashmans_d
    apart = "separate" if distance > ASHMANS_D_SEPARATED else "not separate"
    low, high = f"{fit.low_mean:.1f}", f"{fit.high_mean:.1f}"
    parts = (
        f"no two parts, all about {high} {unit}"
        if low == high
        else f"{100 * (1 - fit.high_share):.0f} % with {low} and {100 * fit.high_share:.0f} % with {high} {unit}"
    )
    return f"{parts}; Ashman's D {distance:.1f}: {apart} ({ASHMANS_D_SEPARATED:.0f} parts them)"


def _bimodality(measured: Heterogeneity) -> str:
    values = (measured.her2_bimodality, measured.ratio_bimodality)
    shown = " · ".join("–" if value is None else f"{value:.2f}" for value in values)
    return f"{shown} (above {BIMODAL_ABOVE:.2f} speaks for two)"


def _dots(population: PopulationAssessment, findings: PopulationFindings) -> str:
    check = findings.cross_check
    if check.dots.ratio is None or check.difference_percent is None:
        return "no CEP17 signal"
    dots = check.dots
    return (
        f"{number(dots.ratio)} ({dots.her2} HER2 / {dots.cep17} CEP17 in {dots.nuclei} nuclei); "
        f"scored nuclei {number(ratio(population.tally))}, difference {with_sign(check.difference_percent)} %"
    )
