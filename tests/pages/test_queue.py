"""The queue on the review page: the place in it, leaving it, and another try."""

from __future__ import annotations

from collections.abc import Iterator

import pytest
from streamlit.testing.v1 import AppTest

from her2core import workflow
from her2core.job_store import JobState, JobStore, WorkerMark
from her2core.jobs import WORKER
from her2core.records import Region
from her2core.ui.services import services
from tests.pages.app import on_case, signed_in
from tests.pages.lab import FLAGS, POSITIVE, TestLaboratory

pytestmark = pytest.mark.usefixtures("stand_in_models")


@pytest.fixture
def worker(lab: TestLaboratory) -> Iterator[WorkerMark]:
    """A worker beside the application that is busy with something long, so that the application works on nothing."""
    mark = WorkerMark(lab.data_dir, WORKER)
    yield mark
    mark.close()


def _region(lab: TestLaboratory, number: int) -> Region:
    region = lab.add_region(lab.open_case(f"S26-{number:03}"), POSITIVE, shade=120 + number)
    return workflow.set_flags(lab.log, region.id, FLAGS, lab.person("berg"))


def _submit(lab: TestLaboratory, region: Region, by: str) -> None:
    JobStore(lab.data_dir).submit(region.case_id, [region.id], {region.id: 0}, lab.person(by).id)


def _review(region: Region) -> AppTest:
    return on_case(region.case_id, page="pages/review.py")


def _words(at: AppTest) -> list[str]:
    return [bar.proto.text for bar in at.get("progress")]


def test_the_page_says_how_many_analyses_are_before_ones_own(lab: TestLaboratory, worker: WorkerMark) -> None:
    regions = [_region(lab, number) for number in range(4)]
    for region, by in zip(regions, ("okafor", "okafor", "okafor", "berg"), strict=True):
        _submit(lab, region, by)
    JobStore(lab.data_dir).claim(worker)
    at = _review(regions[3])
    assert _words(at) == ["In the queue · 1 analysis is before this one"]  # it runs; the other two are not her turn yet


def test_one_may_leave_the_queue_and_try_again(lab: TestLaboratory, worker: WorkerMark) -> None:
    region = _region(lab, 0)
    _submit(lab, region, "berg")
    at = _review(region)
    assert at.button(key="stop_analysis").label == "Leave the queue"
    at.button(key="stop_analysis").click().run()
    record = JobStore(lab.data_dir).latest(region.case_id)
    assert record is not None
    assert record.state is JobState.CANCELLED
    at = _review(region)
    assert [info.value for info in at.info][:1] == ["The analysis was stopped. What was finished is kept."]
    assert at.button(key="analyse").label == "Try again: analyse 1 region"
    at.button(key="analyse").click().run()
    worker.close()  # nobody else works now, so the application does
    status = services().jobs.wait(region.case_id)
    assert status is not None
    assert status.state is JobState.DONE
    assert len(lab.log.analyses(region.id)) == 1


def test_the_worklist_shows_that_an_analysis_waits_or_runs_and_how_far_it_is(
    lab: TestLaboratory, worker: WorkerMark
) -> None:
    first, second = _region(lab, 0), _region(lab, 1)
    for region in (first, second):
        _submit(lab, region, "berg")
    store = JobStore(lab.data_dir)
    record = store.claim(worker)
    assert record is not None
    store.progress(record.id, worker, "Counting signals", 0.4)
    assert _words(signed_in("berg")) == ["Analysis runs, 40%", "Analysis waits, 1 analysis is before it"]


def test_before_the_analysis_the_review_shows_what_there_is_and_what_is_missing(lab: TestLaboratory) -> None:
    case = lab.open_case()
    region = lab.add_region(case, POSITIVE)
    at = _review(region)
    assert "Give the flags of" in at.warning[0].value
    assert at.button(key="to_intake").label == "Go to intake"
    assert len(at.image) == 1
    workflow.set_flags(lab.log, region.id, FLAGS, lab.person("berg"))
    at = _review(region)
    assert at.button(key="analyse").label == "Analyse 1 region"
    assert any("good signals, little overlap" in caption.value for caption in at.caption)


@pytest.mark.parametrize("page", ["pages/review.py", "pages/sign_out.py"])
def test_without_a_case_a_page_leads_to_one_and_intake_begins_one(lab: TestLaboratory, page: str) -> None:
    at = signed_in("berg", page)
    assert any("No case is open" in info.value for info in at.info)
    assert at.button(key="no_case_worklist").label == "Worklist"
    at.button(key="no_case_new").click().run()
    assert not any("No case is open" in said.value for said in (*at.info, *at.caption))
    assert [heading.value for heading in at.subheader][:1] == ["New case"]
