"""Regions counted under another flag for clusters than they have now, read from the case log."""

# ruff: noqa: F811 (fixtures are imported, and named again where they are used)

from __future__ import annotations

from dataclasses import replace
from typing import Any

from her2core import workflow
from her2core.jobs import AnalysisJobs
from her2core.records import Overlap, RegionAnalysis
from tests.pages.conftest import lab, no_waiting_for_the_disk, template  # noqa: F401 (fixtures)
from tests.pages.lab import FLAGS, POSITIVE, StandIn, TestLaboratory, read_drawing

CLUSTERS = replace(FLAGS, clusters=True)


def test_only_a_flag_for_clusters_that_changed_after_the_analysis_is_told(lab: TestLaboratory) -> None:
    case, by = lab.open_case(), lab.person("berg")
    first, second, third = (lab.add_region(case, POSITIVE, shade=shade) for shade in (120, 130, 140))
    workflow.set_flags(lab.log, first.id, CLUSTERS, by)  # changed before the analysis
    lab.analyse(first, FLAGS)
    lab.analyse(second, CLUSTERS)
    workflow.set_flags(lab.log, third.id, CLUSTERS, by)  # never analysed
    assert workflow.reflagged_clusters(lab.log, case.id) == {}
    workflow.set_flags(lab.log, first.id, replace(FLAGS, overlap=Overlap.SEVERE), by)
    assert workflow.reflagged_clusters(lab.log, case.id) == {}
    workflow.set_flags(lab.log, first.id, CLUSTERS, by)
    workflow.set_flags(lab.log, second.id, FLAGS, by)
    assert workflow.reflagged_clusters(lab.log, case.id) == {first.id: False, second.id: True}
    workflow.set_flags(lab.log, second.id, CLUSTERS, by)  # back again
    assert workflow.reflagged_clusters(lab.log, case.id) == {first.id: False}
    lab.analyse(first, CLUSTERS)
    assert workflow.reflagged_clusters(lab.log, case.id) == {}


def test_a_flag_that_changes_while_the_analysis_runs_is_told(lab: TestLaboratory) -> None:
    case, by = lab.open_case(), lab.person("berg")
    region = lab.add_region(case, POSITIVE)
    workflow.set_flags(lab.log, region.id, FLAGS, by)

    def meanwhile(*args: Any, **options: Any) -> RegionAnalysis:
        workflow.set_flags(lab.log, region.id, CLUSTERS, by)
        return read_drawing(*args, **options)

    load: Any = StandIn
    jobs = AnalysisJobs(lab.log, load, meanwhile, lambda case_id, user: None)
    jobs.submit(case.id, [region.id], by)
    jobs.wait(case.id)
    jobs.close()
    assert workflow.reflagged_clusters(lab.log, case.id) == {region.id: False}
