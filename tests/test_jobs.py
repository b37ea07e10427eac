"""Analyses in the background: saved by the worker, one after the other, stoppable, and honest about failure."""

# ruff: noqa: F811 (fixtures are imported, and named again where they are used)

from __future__ import annotations

import io
import threading
from collections.abc import Callable, Iterator
from datetime import UTC, datetime
from typing import Any

import numpy as np
import pytest
from PIL import Image

from her2core import workflow
from her2core.errors import ImageSizeError, PermissionDeniedError, WeightsMissingError, WrongStateError
from her2core.imaging import ImageLimits, read_region
from her2core.jobs import AnalysisJobs, JobState
from her2core.records import CaseState, Region, RegionAnalysis
from her2core.reporting.content import Laboratory
from tests.pages.conftest import lab, no_waiting_for_the_disk, template  # noqa: F401 (fixtures)
from tests.pages.lab import FLAGS, POSITIVE, StandIn, TestLaboratory, draw_region, read_drawing

Analyse = Callable[..., RegionAnalysis]


@pytest.fixture
def started() -> Iterator[list[AnalysisJobs]]:
    """The queues that a test starts; closed behind it."""
    queues: list[AnalysisJobs] = []
    yield queues
    for queue in queues:
        queue.close()


def _queue(
    lab: TestLaboratory, started: list[AnalysisJobs], analyse: Any = read_drawing, load: Any = StandIn
) -> AnalysisJobs:
    def after(case_id: int, by: Any) -> None:
        workflow.refresh_state(lab.log, case_id, by)

    queue = AnalysisJobs(lab.log, load, analyse, after)
    started.append(queue)
    return queue


def _flagged(lab: TestLaboratory, number: int = 1) -> list[Region]:
    case = lab.open_case()
    regions = [lab.add_region(case, POSITIVE, shade=120 + index) for index in range(number)]
    for region in regions:
        workflow.set_flags(lab.log, region.id, FLAGS, lab.person("berg"))
    return regions


class Held:
    """An analysis that waits until it is let go, and reports what it does."""

    def __init__(self) -> None:
        self.began, self.go_on = threading.Event(), threading.Event()
        self.calls = 0

    def __call__(self, pixels_rgb: np.ndarray, models: Any, **options: Any) -> RegionAnalysis:
        self.calls += 1
        options["progress"](0.5, "Counting signals in 20 nuclei")
        self.began.set()
        assert self.go_on.wait(20)
        return read_drawing(pixels_rgb, models, **options)


def test_the_worker_saves_each_region_and_the_state_follows(lab: TestLaboratory, started: list[AnalysisJobs]) -> None:
    regions = _flagged(lab, 2)
    case_id = regions[0].case_id
    queue = _queue(lab, started)
    queue.submit(case_id, [r.id for r in regions], lab.person("berg"))
    status = queue.wait(case_id)
    assert status is not None
    assert (status.state, status.fraction, status.finished_regions, status.failures) == (JobState.DONE, 1.0, 2, ())
    for region in regions:
        analysis = lab.log.analysis(region.id)
        assert analysis is not None
        assert len(analysis.nuclei) == 20
    assert lab.log.case(case_id).state is CaseState.ANALYSED


def test_progress_names_the_stage_and_the_share_of_the_whole(lab: TestLaboratory, started: list[AnalysisJobs]) -> None:
    regions, held = _flagged(lab, 2), Held()
    queue = _queue(lab, started, held)
    case_id = regions[0].case_id
    queue.submit(case_id, [r.id for r in regions], lab.person("berg"))
    assert held.began.wait(20)
    status = queue.status(case_id)
    held.go_on.set()
    assert status is not None
    assert status.active
    assert (status.stage, status.fraction) == ("Counting signals in 20 nuclei", 0.25)
    queue.wait(case_id)


def test_a_second_start_gives_the_running_analysis(lab: TestLaboratory, started: list[AnalysisJobs]) -> None:
    (region,), held = _flagged(lab), Held()
    queue = _queue(lab, started, held)
    queue.submit(region.case_id, [region.id], lab.person("berg"))
    assert held.began.wait(20)
    again = queue.submit(region.case_id, [region.id], lab.person("okafor"))
    held.go_on.set()
    queue.wait(region.case_id)
    assert again.active
    assert held.calls == 1
    assert len(lab.log.analyses(region.id)) == 1


def test_a_stopped_analysis_keeps_what_was_finished(lab: TestLaboratory, started: list[AnalysisJobs]) -> None:
    regions = _flagged(lab, 2)
    case_id, by = regions[0].case_id, lab.person("berg")
    queue: AnalysisJobs

    def stop_at_the_second(pixels_rgb: np.ndarray, models: Any, **options: Any) -> RegionAnalysis:
        if pixels_rgb[32, 32, 2] == 121:
            queue.cancel(case_id, by)
        return read_drawing(pixels_rgb, models, **options)

    queue = _queue(lab, started, stop_at_the_second)
    queue.submit(case_id, [r.id for r in regions], by)
    status = queue.wait(case_id)
    assert status is not None
    assert status.state is JobState.CANCELLED
    assert lab.log.analysis(regions[0].id) is not None
    assert lab.log.analysis(regions[1].id) is None


def test_missing_weights_fail_the_job_with_what_to_do_and_are_tried_again(
    lab: TestLaboratory, started: list[AnalysisJobs]
) -> None:
    (region,) = _flagged(lab)
    there = threading.Event()

    def load() -> StandIn:
        if not there.is_set():
            raise WeightsMissingError("Restore the folder 'models' from the release.")
        return StandIn()

    queue = _queue(lab, started, load=load)
    queue.submit(region.case_id, [region.id], lab.person("berg"))
    status = queue.wait(region.case_id)
    assert status is not None
    assert status.state is JobState.FAILED
    assert status.failures[0].message == "Restore the folder 'models' from the release."
    there.set()
    queue.submit(region.case_id, [region.id], lab.person("berg"))
    again = queue.wait(region.case_id)
    assert again is not None
    assert again.state is JobState.DONE


def test_one_damaged_image_does_not_stop_the_others(lab: TestLaboratory, started: list[AnalysisJobs]) -> None:
    regions = _flagged(lab, 2)
    case_id = regions[0].case_id
    image = next((lab.data_dir / "images").rglob(f"*{regions[0].image_sha256}*"))
    image.chmod(0o600)
    image.write_bytes(b"damaged")
    queue = _queue(lab, started)
    queue.submit(case_id, [r.id for r in regions], lab.person("berg"))
    status = queue.wait(case_id)
    assert status is not None
    assert status.state is JobState.FAILED
    assert [f.region_id for f in status.failures] == [regions[0].id]
    assert lab.log.analysis(regions[1].id) is not None


def test_a_foreign_error_is_logged_and_its_text_not_shown(
    lab: TestLaboratory, started: list[AnalysisJobs], caplog: pytest.LogCaptureFixture
) -> None:
    (region,) = _flagged(lab)

    def broken(*_: Any, **__: Any) -> RegionAnalysis:
        raise RuntimeError("Muster, Erika")

    queue = _queue(lab, started, broken)
    queue.submit(region.case_id, [region.id], lab.person("berg"))
    status = queue.wait(region.case_id)
    assert status is not None
    assert status.state is JobState.FAILED
    assert "Muster" not in status.failures[0].message
    assert "analysis of case" in caplog.text


def test_a_region_without_flags_is_not_taken(lab: TestLaboratory, started: list[AnalysisJobs]) -> None:
    case = lab.open_case()
    region = lab.add_region(case, POSITIVE)
    queue = _queue(lab, started)
    with pytest.raises(WrongStateError, match="flags"):
        queue.submit(case.id, [region.id], lab.person("berg"))
    with pytest.raises(WrongStateError, match="No region"):
        queue.submit(case.id, [], lab.person("berg"))
    assert queue.status(case.id) is None


def test_a_region_of_another_case_is_not_taken(lab: TestLaboratory, started: list[AnalysisJobs]) -> None:
    (region,) = _flagged(lab)
    with pytest.raises(WrongStateError, match="another case"):
        _queue(lab, started).submit(region.case_id + 1, [region.id], lab.person("berg"))


@pytest.mark.parametrize("name", ["lind", "nair"])
def test_only_a_pathologist_starts_and_stops(lab: TestLaboratory, started: list[AnalysisJobs], name: str) -> None:
    (region,) = _flagged(lab)
    queue = _queue(lab, started)
    with pytest.raises(PermissionDeniedError):
        queue.submit(region.case_id, [region.id], lab.person(name))
    with pytest.raises(PermissionDeniedError):
        queue.cancel(region.case_id, lab.person(name))


def test_an_account_deactivated_meanwhile_saves_nothing(lab: TestLaboratory, started: list[AnalysisJobs]) -> None:
    (region,), held = _flagged(lab), Held()
    queue = _queue(lab, started, held)
    queue.submit(region.case_id, [region.id], lab.person("okafor"))
    assert held.began.wait(20)
    lab.accounts.disable(lab.person("okafor").id, lab.person("nair"))
    held.go_on.set()
    status = queue.wait(region.case_id)
    assert status is not None
    assert status.state is JobState.FAILED
    assert lab.log.analysis(region.id) is None


def test_a_region_is_analysed_whatever_the_limits_for_new_ones_are_by_now(
    lab: TestLaboratory, started: list[AnalysisJobs]
) -> None:
    low = io.BytesIO()
    Image.open(io.BytesIO(draw_region([(2, 2)] * 8))).crop((0, 10, 528, 70)).save(low, "PNG")
    with pytest.raises(ImageSizeError):
        read_region(low.getvalue(), "low.png")
    before = ImageLimits(min_side_px=1)
    region, _ = workflow.add_region(lab.log, lab.open_case().id, low.getvalue(), "low.png", lab.person("berg"), before)
    workflow.set_flags(lab.log, region.id, FLAGS, lab.person("berg"))
    queue = _queue(lab, started)
    queue.submit(region.case_id, [region.id], lab.person("berg"))
    status = queue.wait(region.case_id)
    assert status is not None
    assert (status.state, status.failures) == (JobState.DONE, ())
    review = workflow.assess(lab.log, region.case_id)
    content = workflow.build_content(lab.log, review, Laboratory("L"), None, "", datetime.now(UTC))
    assert len(content.thumbnails) == 1  # the report shows it, too
