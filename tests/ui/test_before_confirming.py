"""What stands beside the button that confirms the counts."""

# ruff: noqa: F811 (fixtures are imported, and named again where they are used)

from __future__ import annotations

from dataclasses import replace

import pytest

from her2core import workflow
from her2core.records import Case, CorrectionKind
from her2core.ui.review import before_confirming
from tests.pages.conftest import lab, no_waiting_for_the_disk, template  # noqa: F401 (fixtures)
from tests.pages.lab import FLAGS, POSITIVE, TestLaboratory


def _said(lab: TestLaboratory, case: Case) -> str:
    return before_confirming(workflow.assess(lab.log, case.id))


def test_it_says_what_the_button_waits_for_then_what_to_look_at(lab: TestLaboratory) -> None:
    case, by = lab.open_case(), lab.person("berg")
    lab.analyse(lab.add_region(case, POSITIVE), replace(FLAGS, clusters=True))
    assert _said(lab, case) == "First settle 1 point above"
    second = lab.add_region(case, POSITIVE, shade=130)
    workflow.set_flags(lab.log, second.id, FLAGS, by)
    assert _said(lab, case) == "First analyse 1 region"
    lab.analyse(second, FLAGS)
    workflow.acknowledge(lab.log, case.id, workflow.assess(lab.log, case.id).unsettled[0], by)
    assert _said(lab, case) == ""
    analysis = lab.log.analysis(second.id)
    assert analysis is not None
    doubtful = tuple(replace(n, uncertain=n.id <= 3) for n in analysis.nuclei)
    lab.log.save_analysis(second.id, replace(analysis, nuclei=doubtful), by)
    assert _said(lab, case) == "3 of 40 scored are uncertain"
    workflow.confirm_review(lab.log, case.id, lab.log.case(case.id).version, by)
    assert _said(lab, case) == "Counts are confirmed"


@pytest.mark.parametrize(
    ("uncertain", "moved", "said"),
    [
        ((), 1, "1 scored is overlapped by a new box"),
        ((5,), 1, "1 scored is overlapped by a new box, 1 other is uncertain"),
        ((1, 5, 6), 1, "1 scored is overlapped by a new box, 2 others are uncertain"),  # the first is told once
        ((5, 6), 2, "2 scored are overlapped by a new box, 2 others are uncertain"),
        ((5,), 0, "1 of 20 scored is uncertain"),
    ],
)
def test_what_a_new_box_overlaps_and_what_is_uncertain_are_both_said(
    lab: TestLaboratory, uncertain: tuple[int, ...], moved: int, said: str
) -> None:
    case, by = lab.analysed(POSITIVE), lab.person("berg")
    region = lab.log.regions(case.id)[0]
    analysis = lab.log.analysis(region.id)
    assert analysis is not None
    doubtful = tuple(replace(n, uncertain=n.id in uncertain) for n in analysis.nuclei)
    lab.log.save_analysis(region.id, replace(analysis, nuclei=doubtful), by)
    for number in (1, 3)[:moved]:  # the box of the next one is drawn over it
        x0, y0, x1, y1 = analysis.nuclei[number - 1].box
        over = [x0 + 10, y0, x1 + 10, y1]
        workflow.correct(lab.log, region.id, number + 1, CorrectionKind.BOX, {"box": over}, by)
    assert _said(lab, case) == said
