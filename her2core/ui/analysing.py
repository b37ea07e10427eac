"""What the review page says of an analysis that waits, runs or ended; pure, from its status."""

from __future__ import annotations

from her2core.jobs import JobState, JobStatus

__all__ = ["brief_words", "progress_words", "start_words"]


def progress_words(status: JobStatus) -> str:
    """Beside the progress bar: the place in the queue, or the region and the stage that it is at."""
    if status.state is JobState.WAITING:
        if status.trouble:
            return f"In the queue · {status.trouble}"
        if status.ahead == 0:
            return "In the queue · next in turn"
        return f"In the queue · {_analyses(status.ahead)} before this one"
    total = len(status.region_ids)
    region = min(status.finished_regions + 1, total)
    stage = "Stopping" if status.stopping else status.stage
    return f"Region {region} of {total} · {stage} · {status.fraction:.0%}"


def brief_words(status: JobStatus) -> str:
    """In the worklist, of an analysis that has not ended."""
    if status.state is JobState.WAITING:
        return "Analysis waits" + (f", {_analyses(status.ahead)} before it" if status.ahead else "")
    return f"Analysis {'stops' if status.stopping else 'runs'}, {status.fraction:.0%}"


def start_words(regions: int, status: JobStatus | None) -> str:
    """On the button that starts the analysis of so many regions; `status` is how the last one of the case ended."""
    what = f"nalyse {regions} region{'s' if regions > 1 else ''}"
    return f"A{what}" if status is None or status.state is JobState.DONE else f"Try again: a{what}"


def _analyses(number: int) -> str:
    return "1 analysis is" if number == 1 else f"{number} analyses are"
