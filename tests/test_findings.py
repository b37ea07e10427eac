"""Flags and findings that disagree bar the counts from being confirmed, until each is settled in the case log."""

# ruff: noqa: F811 (fixtures are imported, and named again where they are used)

from __future__ import annotations

import hashlib
from dataclasses import replace
from datetime import UTC, datetime

import pytest

from her2core import workflow
from her2core.caselog import StatementKind
from her2core.errors import PermissionDeniedError, ScoringError, WrongStateError
from her2core.imaging import DEFAULT_LIMITS
from her2core.records import Case, CaseState, CorrectionKind, Exclusion, Overlap, Population, SignalIntensity
from her2core.reporting.content import Laboratory
from her2core.scoring import DisagreementKind
from her2core.scoring.alerts import ONE_REGION
from her2core.scoring.asked import as_told
from her2core.workflow import CaseReview
from her2core.workflow.findings import case_warnings
from tests.pages.conftest import lab, no_waiting_for_the_disk, template  # noqa: F401 (fixtures)
from tests.pages.lab import FLAGS, NEGATIVE, POSITIVE, TestLaboratory, draw_region

CLUSTERS = replace(FLAGS, clusters=True)
MIXED = [*[(2, 2)] * 24, *[(6, 1)] * 16]  # the last two of five rows are amplified


def disagreeing(lab: TestLaboratory, flags: object = CLUSTERS) -> Case:
    """An analysed case whose flags expect what is not found."""
    case = lab.open_case()
    lab.analyse(lab.add_region(case, POSITIVE), flags)  # type: ignore[arg-type]
    return lab.log.case(case.id)


def confirm(lab: TestLaboratory, case_id: int) -> CaseReview:
    return workflow.confirm_review(lab.log, case_id, lab.log.case(case_id).version, lab.person("berg"))


def test_counts_are_not_confirmed_while_flags_and_findings_disagree(lab: TestLaboratory) -> None:
    case = disagreeing(lab, replace(CLUSTERS, overlap=Overlap.SEVERE))
    review = workflow.assess(lab.log, case.id)
    assert [w.kind for w in review.unsettled] == [DisagreementKind.CLUSTERS, DisagreementKind.OVERLAP]
    assert review.obstacles[0].startswith("Settle 2 points")
    with pytest.raises(WrongStateError, match=r"clusters \(region A1\); overlap \(region A1\)"):
        confirm(lab, case.id)
    assert lab.log.statement(case.id, StatementKind.REVIEWED) is None
    assert lab.log.case(case.id).state is CaseState.ANALYSED


def test_acknowledged_disagreements_are_in_the_case_log_and_open_the_way(lab: TestLaboratory) -> None:
    case = disagreeing(lab)
    (point,) = workflow.assess(lab.log, case.id).unsettled
    workflow.acknowledge(lab.log, case.id, point, lab.person("berg"))
    assert confirm(lab, case.id).reviewed
    stated = lab.log.statement(case.id, StatementKind.ACKNOWLEDGED, point.key)
    assert stated is not None
    assert stated.value["text"] == point.text
    assert stated.by_user_id == lab.person("berg").id


WEAK = [*POSITIVE, *[(6, 0)] * 4, *[(0, 2)] * 2, (0, 0)]  # 7 of 27 lack a colour


def weak(lab: TestLaboratory) -> Case:
    """An analysed case of one region, above the limit of signals too weak to score."""
    case = lab.open_case()
    lab.analyse(lab.add_region(case, WEAK), FLAGS)
    return lab.log.case(case.id)


def test_a_limit_of_the_guideline_is_gone_over_with_a_reason_only_which_is_kept_and_reported(
    lab: TestLaboratory,
) -> None:
    case, by = weak(lab), lab.person("berg")
    (point,) = workflow.assess(lab.log, case.id).unsettled
    said = (
        "Region A1: 7 of 27 countable nuclei lack a colour (4 without CEP17, 2 without HER2, 1 without either; the "
        "other 20 are scored): more than the limit of 25 % of signals too weak to score. The guideline asks to reject "
        "the region and to count another one. Look for missed signals first."
    )
    assert point.text == said
    for reason in ("", "  "):
        with pytest.raises(ScoringError, match="Give the reason"):
            workflow.acknowledge(lab.log, case.id, point, by, reason)
    workflow.acknowledge(lab.log, case.id, point, by, " Cut nuclei; the others are bright. ")
    stated = lab.log.statement(case.id, StatementKind.ACKNOWLEDGED, point.key)
    assert stated is not None
    assert stated.value == {"text": said, "reason": "Cut nuclei; the others are bright."}
    review = confirm(lab, case.id)
    assert review.warnings[0] == replace(point, acknowledged=True, reason="Cut nuclei; the others are bright.")
    assert [w.text for w in review.warnings[1:]] == [ONE_REGION]  # the limit is not told twice
    content = workflow.build_content(lab.log, review, Laboratory("L"), None, "", datetime.now(UTC))
    assert f"{said} Reported all the same, since: Cut nuclei; the others are bright." in content.alerts
    assert content.suitability == "1 of 1 region judged suitable by the pathologist."  # told once


def test_the_region_can_be_rejected_instead(lab: TestLaboratory) -> None:
    case = weak(lab)
    (point,) = workflow.assess(lab.log, case.id).unsettled
    workflow.follow_findings(lab.log, point, lab.person("berg"))
    flags = lab.log.regions(case.id)[0].flags
    assert flags is not None
    assert (flags.suitable, flags.unsuitable_reason) == (False, "signals too weak to score")
    assert workflow.assess(lab.log, case.id).assessment is None


def test_above_the_limit_over_two_regions_the_whole_population_asks_for_a_reason_too(lab: TestLaboratory) -> None:
    case, by = weak(lab), lab.person("berg")
    lab.analyse(lab.add_region(case, WEAK, shade=130), FLAGS)
    for point in workflow.assess(lab.log, case.id).unsettled:
        workflow.acknowledge(lab.log, case.id, point, by, "Cut nuclei.")
    (alert,) = [w for w in workflow.assess(lab.log, case.id).warnings if not w.acknowledged]
    assert alert.needs_reason
    assert alert.text.startswith("14 of 54 countable nuclei lack a colour (8 without CEP17, 4 without HER2, 2 without")
    assert "report the test as indeterminate" in alert.text
    workflow.acknowledge(lab.log, case.id, alert, by, "As before.")
    content = workflow.build_content(
        lab.log, workflow.assess(lab.log, case.id), Laboratory("L"), None, "", datetime.now(UTC)
    )
    assert any(said.endswith("Reported all the same, since: As before.") for said in content.alerts)


def test_a_changed_flag_settles_it_too(lab: TestLaboratory) -> None:
    case = disagreeing(lab)
    (point,) = workflow.assess(lab.log, case.id).unsettled
    workflow.follow_findings(lab.log, point, lab.person("berg"))
    assert lab.log.regions(case.id)[0].flags == FLAGS
    assert workflow.assess(lab.log, case.id).unsettled == ()
    assert confirm(lab, case.id).reviewed


def test_a_correction_can_settle_it(lab: TestLaboratory) -> None:
    case = disagreeing(lab)
    region = lab.log.regions(case.id)[0]
    workflow.correct(lab.log, region.id, 3, CorrectionKind.CLUSTER, {"clustered": True}, lab.person("berg"))
    assert workflow.assess(lab.log, case.id).unsettled == ()


def test_own_corrections_leave_an_acknowledgement_standing_and_a_changed_flag_does_not(lab: TestLaboratory) -> None:
    case = disagreeing(lab, replace(FLAGS, overlap=Overlap.SEVERE))
    region, by = lab.log.regions(case.id)[0], lab.person("berg")
    (point,) = workflow.assess(lab.log, case.id).unsettled
    workflow.acknowledge(lab.log, case.id, point, by)
    workflow.correct(lab.log, region.id, 3, CorrectionKind.EXCLUDE, {"reason": "out of focus"}, by)
    assert workflow.assess(lab.log, case.id).unsettled == ()
    workflow.set_flags(lab.log, region.id, CLUSTERS, by)
    assert [w.kind for w in workflow.assess(lab.log, case.id).unsettled] == [DisagreementKind.CLUSTERS]


def test_a_flag_changed_after_the_review_asks_again(lab: TestLaboratory) -> None:
    case = lab.reviewed(POSITIVE)
    workflow.set_flags(lab.log, lab.log.regions(case.id)[0].id, CLUSTERS, lab.person("berg"))
    review = workflow.assess(lab.log, case.id)
    assert not review.reviewed
    assert len(review.unsettled) == 1


@pytest.mark.parametrize("name", ["lind", "nair"])
def test_nobody_but_a_pathologist_settles(lab: TestLaboratory, name: str) -> None:
    case = disagreeing(lab)
    (point,) = workflow.assess(lab.log, case.id).unsettled
    with pytest.raises(PermissionDeniedError):
        workflow.acknowledge(lab.log, case.id, point, lab.person(name))
    with pytest.raises(PermissionDeniedError):
        workflow.follow_findings(lab.log, point, lab.person(name))
    assert len(workflow.assess(lab.log, case.id).unsettled) == 1


def test_a_disagreement_is_one_warning_and_not_two(lab: TestLaboratory) -> None:
    """The alert of the work-up says the same as the disagreement: it is shown once, before the counts are accepted."""
    case = lab.analysed(MIXED)
    review = workflow.assess(lab.log, case.id)
    assert [w.kind for w in review.unsettled] == [DisagreementKind.SECOND_POPULATION]
    assert sum("look like two populations" in w.text for w in review.warnings) == 1
    assert len({w.key for w in review.warnings}) == len(review.warnings)


def test_a_tumour_flagged_heterogeneous_keeps_the_alert_for_sign_out(lab: TestLaboratory) -> None:
    case = lab.analysed(MIXED)
    (point,) = workflow.assess(lab.log, case.id).unsettled
    workflow.follow_findings(lab.log, point, lab.person("berg"))
    review = workflow.assess(lab.log, case.id)
    assert review.unsettled == ()
    assert sum("look like two populations" in w.text for w in review.warnings) == 1
    assert any("Acknowledge" in obstacle for obstacle in confirm(lab, case.id).obstacles)


CONTRADICTED = [*[(3, 2)] * 20, *[(6, 0)] * 6]  # 1.50 in the scored nuclei, 2.40 over all signals


def test_counts_that_all_signals_contradict_are_not_confirmed_before_that_was_read(lab: TestLaboratory) -> None:
    case = lab.analysed(CONTRADICTED)
    review = workflow.assess(lab.log, case.id)
    (point,) = review.unsettled
    assert (point.about, point.place, point.changes) == ("cross-check", "tumour", ())
    assert "on both sides of 2.0: 2.40 over all signals and 1.50 in the scored nuclei" in point.text
    assert review.obstacles[0].startswith("Settle 1 point")
    with pytest.raises(WrongStateError, match=r"cross-check \(tumour\)"):
        confirm(lab, case.id)
    with pytest.raises(WrongStateError, match="No flag settles"):
        workflow.follow_findings(lab.log, point, lab.person("berg"))
    workflow.acknowledge(lab.log, case.id, point, lab.person("berg"))
    stated = lab.log.statement(case.id, StatementKind.ACKNOWLEDGED, point.key)
    assert stated is not None
    assert stated.value["text"] == point.text
    review = confirm(lab, case.id)
    assert review.reviewed
    content = workflow.build_content(lab.log, review, Laboratory("L"), None, "", datetime.now(UTC))
    assert content.alerts.count(point.text) == 1


def test_a_contradiction_is_asked_again_only_where_it_grows_graver(lab: TestLaboratory) -> None:
    case, by = lab.analysed([*[(2, 2)] * 20, *[(6, 0)] * 6]), lab.person("berg")  # 1.00 and 1.90
    region = lab.log.regions(case.id)[0]
    (point,) = workflow.assess(lab.log, case.id).unsettled
    assert "depends on which nuclei are scored" in point.text
    workflow.acknowledge(lab.log, case.id, point, by)
    workflow.correct(lab.log, region.id, 1, CorrectionKind.COUNTS, {"her2": 3, "cep17": 2}, by)
    assert workflow.assess(lab.log, case.id).unsettled == ()
    workflow.correct(lab.log, region.id, 1, CorrectionKind.COUNTS, {"her2": 6, "cep17": 2}, by)  # 1.10 and 2.00
    (graver,) = workflow.assess(lab.log, case.id).unsettled
    assert "on both sides of 2.0" in graver.text


def test_a_contradiction_that_was_acknowledged_at_sign_out_by_an_earlier_version_stays_so(lab: TestLaboratory) -> None:
    case, by = lab.analysed(CONTRADICTED), lab.person("berg")
    (point,) = workflow.assess(lab.log, case.id).unsettled
    key = hashlib.sha256(point.text.encode()).hexdigest()[:16]
    lab.log.acknowledge(case.id, key, point.text, by, "")
    review = workflow.assess(lab.log, case.id)
    assert review.unsettled == ()
    assert [w.acknowledged for w in review.warnings if w.contradicts] == [True]


def test_of_two_populations_the_one_that_is_contradicted_is_named(lab: TestLaboratory) -> None:
    case, by = lab.open_case(), lab.person("berg")
    workflow.set_populations(lab.log, case.id, [Population("A", 70.0), Population("B", 30.0)], case.version, by)
    lab.analyse(lab.add_region(case, NEGATIVE, shade=120), replace(FLAGS, population="A"))
    lab.analyse(lab.add_region(case, CONTRADICTED, shade=130), replace(FLAGS, population="B"))
    review = workflow.assess(lab.log, case.id)
    found = case_warnings(review.assessment, review.regions, review.findings, ())
    told = [(w.place, w.text.split(":")[0]) for w in found if w.contradicts]
    assert told == [("population B", "Population B")]


def test_a_second_region_with_scored_nuclei_is_a_second_area_and_the_hint_stops_no_signature(
    lab: TestLaboratory,
) -> None:
    def hinted(case: Case) -> list[bool]:
        return [w.acknowledged for w in workflow.assess(lab.log, case.id).warnings if w.text == ONE_REGION]

    case = lab.ready(POSITIVE)
    assert hinted(case) == [True]  # acknowledged with the others, and no more is asked
    assert lab.sign(case).version == 1
    other = lab.open_case("S26-002")
    lab.analyse(lab.add_region(other, POSITIVE, shade=150))
    assert hinted(other) == [False]
    assert workflow.assess(lab.log, other.id).unsettled == ()
    second = lab.add_region(other, [(2, 0)] * 8, shade=130)
    lab.analyse(second, replace(FLAGS, signal_intensity=SignalIntensity.WEAK))
    assert hinted(other) == [False]  # nothing is scored there
    lab.analyse(lab.add_region(other, POSITIVE, shade=140))
    assert hinted(other) == []


def test_the_report_names_kept_flags_cells_pattern_and_cross_check(lab: TestLaboratory) -> None:
    case = lab.open_case()
    lab.analyse(lab.add_region(case, MIXED), CLUSTERS)
    by = lab.person("berg")
    for point in workflow.assess(lab.log, case.id).unsettled:
        workflow.acknowledge(lab.log, case.id, point, by)
    confirm(lab, case.id)
    review = workflow.assess(lab.log, case.id)
    content = workflow.build_content(lab.log, review, Laboratory("L"), None, "", datetime.now(UTC))
    assert "Flags that the pathologist kept although the findings differ: clusters of region A1." in content.suitability
    assert "16 of 40 scored cells (40 %) count as amplified" in content.single_cells
    assert "lie together (clustered)" in content.single_cells
    assert "amplified" not in content.heterogeneity
    assert "(144/64 in 40 nuclei), 0 % against the scored nuclei" in content.cross_check
    assert any("look like two populations" in alert for alert in content.alerts)
    assert not any("lagged for clusters" in alert for alert in content.alerts)


def test_findings_are_kept_by_population(lab: TestLaboratory) -> None:
    case, by = lab.open_case(), lab.person("berg")
    workflow.set_populations(lab.log, case.id, [Population("A", 70.0), Population("B", 30.0)], case.version, by)
    lab.analyse(lab.add_region(case, NEGATIVE, shade=120), replace(FLAGS, population="A"))
    lab.analyse(lab.add_region(case, POSITIVE, shade=130), replace(FLAGS, population="B", heterogeneous=True))
    review = workflow.assess(lab.log, case.id)
    assert {label: f.cross_check.dots.her2 for label, f in review.findings.items()} == {"A": 40, "B": 120}
    assert review.unsettled == ()
    workflow.set_flags(lab.log, lab.log.regions(case.id)[1].id, replace(FLAGS, population="A"), by)
    assert list(workflow.assess(lab.log, case.id).findings) == ["A"]


def test_where_nothing_is_scored_nothing_is_gone_over_and_no_reason_is_asked_for(lab: TestLaboratory) -> None:
    case = lab.open_case()
    lab.analyse(lab.add_region(case, [(6, 0)] * 20), FLAGS)
    warnings = workflow.assess(lab.log, case.id).warnings
    assert any("20 of 20 countable nuclei lack a colour" in w.text for w in warnings)
    assert not any(w.needs_reason for w in warnings)


def test_the_report_says_what_counts_in_spite_of_a_doubt(lab: TestLaboratory) -> None:
    case, by = lab.analysed([(6, 2)] * 24), lab.person("berg")
    region = lab.log.regions(case.id)[0]
    analysis = lab.log.analysis(region.id)
    assert analysis is not None
    unsure = tuple(replace(n, uncertain=n.id <= 5) for n in analysis.nuclei)
    lab.log.save_analysis(region.id, replace(analysis, nuclei=unsure), by)
    workflow.correct(lab.log, region.id, 1, CorrectionKind.COUNTS, {"her2": 6, "cep17": 2}, by)  # confirmed
    workflow.correct(lab.log, region.id, 2, CorrectionKind.EXCLUDE, {"reason": Exclusion.NOT_TUMOUR.value}, by)
    x0, y0, x1, y1 = unsure[9].box
    third = (x1 - x0) / 3
    added = replace(unsure[9], id=25, box=(x0 + third, y0, x1 + third, y1), uncertain=False, signals=())
    workflow.correct(lab.log, region.id, 25, CorrectionKind.ADD, added.to_dict(), by)
    workflow.correct(lab.log, region.id, 10, CorrectionKind.COUNTS, {"her2": 6, "cep17": 2}, by)  # dealt with
    content = workflow.build_content(
        lab.log, workflow.assess(lab.log, case.id), Laboratory("L"), None, "", datetime.now(UTC)
    )
    assert (content.ai.scored, content.ai.unsure_of, content.ai.overlapped) == (24, 3, 2)


def twice(lab: TestLaboratory, population: str = "A") -> Case:
    """An analysed case of two regions that are one field, in files that are not equal."""
    case = lab.open_case()
    if population != "A":
        both = [Population("A", 60.0), Population("B", 40.0)]
        workflow.set_populations(lab.log, case.id, both, case.version, lab.person("berg"))
    lab.analyse(lab.add_region(case, NEGATIVE, shade=120), FLAGS)
    again, _ = workflow.add_region(
        lab.log, case.id, draw_region(NEGATIVE[:16], 120), "again.png", lab.person("berg"), DEFAULT_LIMITS
    )
    lab.analyse(again, replace(FLAGS, population=population))
    return lab.log.case(case.id)


@pytest.mark.parametrize("population", ["A", "B"])
def test_cells_that_count_twice_bar_the_way_until_one_region_is_rejected(lab: TestLaboratory, population: str) -> None:
    case = twice(lab, population)
    (point,) = [w for w in workflow.assess(lab.log, case.id).unsettled if w.kind is DisagreementKind.SAME_CELLS]
    second = "A2" if population == "A" else "B1"
    assert point.text == (
        f"Regions A1 and {second} show the same cells: 16 nuclei are scored in both and count twice. Reject one of the "
        "two, or leave these nuclei out of one of them."
    )
    with pytest.raises(WrongStateError, match=f"same cells .regions A1 and {second}."):
        confirm(lab, case.id)
    workflow.follow_findings(lab.log, point, lab.person("berg"))
    review = workflow.assess(lab.log, case.id)
    assert [r.suitable for r in review.regions] == [True, False]
    assert review.regions[1].region.flags is not None
    assert review.regions[1].region.flags.unsuitable_reason == "shows the same cells as another region"
    assert review.unsettled == ()


def test_cells_that_count_twice_are_left_out_of_one_region_or_reported_with_a_reason(lab: TestLaboratory) -> None:
    case, by = twice(lab), lab.person("berg")
    region = lab.log.regions(case.id)[1]
    for nucleus_id in range(1, 16):
        workflow.correct(lab.log, region.id, nucleus_id, CorrectionKind.EXCLUDE, {"reason": "other"}, by)
    (point,) = workflow.assess(lab.log, case.id).unsettled
    assert "1 nucleus is scored in both and counts twice." in point.text
    with pytest.raises(ScoringError, match="Give the reason"):
        workflow.acknowledge(lab.log, case.id, point, by)
    workflow.acknowledge(lab.log, case.id, point, by, "They only look alike.")
    review = workflow.assess(lab.log, case.id)
    assert review.unsettled == ()
    for signer, said in ((None, point.text), (by, as_told(point.text))):
        content = workflow.build_content(lab.log, review, Laboratory("L"), signer, "", datetime.now(UTC))
        assert f"{said} Reported all the same, since: They only look alike." in content.alerts
    workflow.correct(lab.log, region.id, 16, CorrectionKind.EXCLUDE, {"reason": "other"}, by)
    assert not [w for w in workflow.assess(lab.log, case.id).warnings if w.kind is DisagreementKind.SAME_CELLS]


def test_regions_of_different_fields_count_as_they_are(lab: TestLaboratory) -> None:
    case = lab.open_case()
    for shade in (120, 130, 140):
        lab.analyse(lab.add_region(case, NEGATIVE, shade=shade), FLAGS)
    assert workflow.assess(lab.log, case.id).unsettled == ()
