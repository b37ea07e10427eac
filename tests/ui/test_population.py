"""The panel of a population's cells: its lines, and that it speaks of the same two parts as the alert."""

# ruff: noqa: F811 (fixtures are imported, and named again where they are used)

from __future__ import annotations

from dataclasses import replace
from typing import Any

import pytest
from streamlit.testing.v1 import AppTest

from her2core import workflow
from her2core.records import Nucleus, Population
from her2core.scoring import measure_heterogeneity, second_population_alert
from her2core.scoring.heterogeneity import TwoPopulations
from her2core.ui import population
from her2core.ui.population import population_rows
from tests.pages.conftest import lab, no_waiting_for_the_disk, template  # noqa: F401 (fixtures)
from tests.pages.lab import FLAGS, NEGATIVE, POSITIVE, TestLaboratory

MIXED = [*[(2, 2)] * 24, *[(6, 1)] * 16]  # the last two of five rows are amplified


def rows(lab: TestLaboratory, counts: list[tuple[int, int]]) -> dict[str, str]:
    """The panel of a case of one region with these counts."""
    review = workflow.assess(lab.log, lab.analysed(counts).id)
    assert review.assessment is not None
    (population,) = review.assessment.populations
    assert population.heterogeneity is not None
    return dict(population_rows(population, population.heterogeneity, review.findings[population.label]))


def lab_nuclei(lab: TestLaboratory) -> tuple[Nucleus, ...]:
    """Those of the only region of the laboratory."""
    analysis = lab.log.analysis(1)
    assert analysis is not None
    return analysis.nuclei


def test_two_populations_are_named_as_the_alert_names_them(lab: TestLaboratory) -> None:
    shown = rows(lab, MIXED)
    assert shown["Amplified: ratio 2.0 or more, or 6 HER2, or clustered"] == "16 of 40 cells (40 %)"
    assert shown["Amplified: ratio above 2.2"] == (
        "16 of 40 cells (40 %); within the 5 to 50 % of CAP 2009, for comparison only"
    )
    assert shown["Two populations by HER2"] == (
        "60 % with 2.0 and 40 % with 5.9 signals; Ashman's D 2.9: separate (2 parts them). Alert: raised"
    )
    assert shown["Two populations by ratio"].startswith("60 % with 1.0 and 40 % with 6.0 as ratio; Ashman's D 20.0")
    assert shown["Bimodality of HER2 · ratio"] == "0.89 · 0.89 (above 0.56 speaks for two)"
    assert shown["Ratio over all signals (dots over dots)"] == (
        "2.25 (144 HER2 / 64 CEP17 in 40 nuclei); scored nuclei 2.25, difference 0 %"
    )
    assert "lie together" in shown["Where amplified cells lie"]
    assert "What that means" in shown
    alert = second_population_alert(measure_heterogeneity(lab_nuclei(lab)))
    assert alert is not None
    assert "about 40 % with 6 and the others with 2 HER2" in alert


def test_no_alert_is_said_not_to_rule_out_a_second_population(lab: TestLaboratory) -> None:
    shown = rows(lab, [*[(2, 2)] * 12, *[(3, 2)] * 12])
    assert shown["Two populations by HER2"].endswith("Alert: none, which does not rule out a second population")
    assert ": not separate" in shown["Two populations by HER2"]


@pytest.mark.parametrize("counts", [NEGATIVE, MIXED[:10]], ids=["all alike", "fewer than 20"])
def test_what_cannot_be_measured_is_said(lab: TestLaboratory, counts: list[tuple[int, int]]) -> None:
    shown = rows(lab, counts)
    for name in ("Two populations by HER2", "Two populations by ratio"):
        assert shown[name] == "not measured (fewer than 20 cells, or all alike)"
    assert shown["Bimodality of HER2 · ratio"].startswith("– · –")


def page(data_dir: str, case_id: int) -> None:
    from pathlib import Path

    from her2core import workflow
    from her2core.caselog import CaseLog
    from her2core.ui.population import show

    with CaseLog(Path(data_dir)) as log:
        show(workflow.assess(log, case_id))


def panels(lab: TestLaboratory, case_id: int) -> list[tuple[str, bool]]:
    """Title of each panel and whether it is open."""
    arguments: Any = {"data_dir": str(lab.data_dir), "case_id": case_id}
    at = AppTest.from_function(page, kwargs=arguments, default_timeout=120).run()
    assert not at.exception
    return [(panel.label, panel.proto.expanded) for panel in at.expander]


def test_the_panel_is_open_only_where_the_cells_do_not_look_like_one_population(lab: TestLaboratory) -> None:
    assert panels(lab, lab.analysed(MIXED, "S26-001").id) == [("Cells and cross-check", True)]
    assert panels(lab, lab.analysed(NEGATIVE, "S26-002").id) == [("Cells and cross-check", False)]
    assert panels(lab, lab.open_case("S26-003").id) == []


def test_each_population_has_a_panel_of_its_own(lab: TestLaboratory) -> None:
    case, by = lab.open_case(), lab.person("berg")
    workflow.set_populations(lab.log, case.id, [Population("A", 70.0), Population("B", 30.0)], case.version, by)
    lab.analyse(lab.add_region(case, NEGATIVE, shade=120), replace(FLAGS, population="A"))
    lab.analyse(lab.add_region(case, POSITIVE, shade=130), replace(FLAGS, population="B", heterogeneous=True))
    assert panels(lab, case.id) == [("Cells of population A", False), ("Cells of population B", False)]


def test_two_parts_of_the_same_mean_are_not_called_two() -> None:
    alike = TwoPopulations(low_mean=4.61, high_mean=4.64, low_sd=0.5, high_sd=0.9, high_share=0.44)
    said = population._two(alike, "signals")
    assert said.startswith("no two parts, all about 4.6 signals; Ashman's D ")
    assert ": not separate" in said
