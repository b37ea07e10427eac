"""The words for an analysis in the queue, at work, and to be started again."""

from __future__ import annotations

from typing import Any

import pytest

from her2core.jobs import JobState, JobStatus
from her2core.ui.analysing import brief_words, progress_words, start_words


def _status(state: JobState, **changes: Any) -> JobStatus:
    given: dict[str, Any] = {"region_ids": (4, 5), "stage": "Finding nuclei", "fraction": 0.25, **changes}
    return JobStatus(1, state=state, **given)


@pytest.mark.parametrize(
    ("status", "words"),
    [
        (_status(JobState.WAITING), "In the queue · next in turn"),
        (_status(JobState.WAITING, ahead=1), "In the queue · 1 analysis is before this one"),
        (_status(JobState.WAITING, ahead=7), "In the queue · 7 analyses are before this one"),
        (_status(JobState.RUNNING), "Region 1 of 2 · Finding nuclei · 25%"),
        (_status(JobState.RUNNING, finished_regions=2, fraction=1.0), "Region 2 of 2 · Finding nuclei · 100%"),
        (_status(JobState.RUNNING, stopping=True), "Region 1 of 2 · Stopping · 25%"),
    ],
)
def test_progress_says_the_place_in_the_queue_or_what_is_done(status: JobStatus, words: str) -> None:
    assert progress_words(status) == words


@pytest.mark.parametrize(
    ("regions", "ended", "words"),
    [
        (1, None, "Analyse 1 region"),
        (3, JobState.DONE, "Analyse 3 regions"),
        (2, JobState.FAILED, "Try again: analyse 2 regions"),
        (1, JobState.CANCELLED, "Try again: analyse 1 region"),
    ],
)
def test_the_button_offers_another_try_where_the_last_one_did_not_end_well(
    regions: int, ended: JobState | None, words: str
) -> None:
    assert start_words(regions, None if ended is None else _status(ended)) == words


@pytest.mark.parametrize(
    ("status", "words"),
    [
        (_status(JobState.WAITING), "Analysis waits"),
        (_status(JobState.WAITING, ahead=2), "Analysis waits, 2 analyses are before it"),
        (_status(JobState.RUNNING), "Analysis runs, 25%"),
        (_status(JobState.RUNNING, stopping=True), "Analysis stops, 25%"),
    ],
)
def test_the_worklist_says_how_far_an_analysis_is(status: JobStatus, words: str) -> None:
    assert brief_words(status) == words
