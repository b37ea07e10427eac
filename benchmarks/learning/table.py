"""The table of the learning loop, from the comparison alone."""

from __future__ import annotations

from collections.abc import Mapping

from her2core.laboratory.candidates import FORGETTING, Comparison
from her2core.laboratory.promotion import Candidate

__all__ = ["page"]


def page(
    candidate: Candidate, seconds: Mapping[str, float], cases: int, counter_steps: int, detector_steps: int
) -> str:
    """Markdown: before and after on new and old style, and what the promotion would have said.

    Raises ValueError for a candidate that was not compared.
    """
    if candidate.own is None or candidate.rendered is None:
        raise ValueError(candidate.problem or "the candidate was not compared")
    verdict = (
        " ".join(candidate.against)
        if candidate.against
        else "Nothing speaks against a promotion: better on the new style, and within the limit on the old one."
    )
    took = "".join(
        f" Training the {stage} took {round(s / 60)} minutes by the clock, one thread." for stage, s in seconds.items()
    )
    return "\n".join(
        (
            "# Learning from corrected cases",
            "",
            f"Made by `python -m benchmarks.learning`. {cases} corrected cases of a laboratory whose images look",
            "otherwise (the second renderer, which the models never saw) fine-tune both stages:",
            f"{counter_steps} steps of stage 2, {detector_steps} of stage 1, with as many rendered regions of the old",
            "style beside them. Judged on other patients, of other seeds.",
            *((took.strip(),) if took else ()),
            f"Models of the candidate: {', '.join(candidate.models.values())}.",
            "",
            *_table("New style (the laboratory's own, held out)", candidate.own),
            *_table("Old style (rendered, held out)", candidate.rendered),
            f"**{verdict}** The limit on forgetting is {100 * FORGETTING:.0f} points of images with the true group.",
            "",
            "Intervals of single figures are Wilson's; those of differences come from drawing patients again.",
            "",
        )
    )


def _table(title: str, c: Comparison) -> list[str]:
    now, new = c.current, c.candidate
    return [
        f"## {title}",
        "",
        f"{now.regions} images of {now.patients} patients; {c.better} gained the true group, {c.worse} lost it.",
        "",
        "| | Before | After | Difference (95 % interval) |",
        "| --- | --: | --: | --: |",
        f"| Images with the true group | {_share(now.accuracy, now.accuracy_95)} "
        f"| {_share(new.accuracy, new.accuracy_95)} | {_points(*c.accuracy)} |",
        f"| HER2 a nucleus off by, mean of images | {100 * now.her2_off:.1f} % | {100 * new.her2_off:.1f} % "
        f"| {_points(*c.her2_off)} |",
        f"| CEP17 a nucleus off by, mean of images | {100 * now.cep17_off:.1f} % | {100 * new.cep17_off:.1f} % | |",
        f"| Signals off, a nucleus | {now.signals_off:.2f} | {new.signals_off:.2f} "
        f"| {c.signals_off[0]:+.2f} ({c.signals_off[1][0]:+.2f} to {c.signals_off[1][1]:+.2f}) |",
        f"| True nuclei found | {100 * now.found:.1f} % | {100 * new.found:.1f} % | |",
        "",
    ]


def _share(value: float, interval: tuple[float, float]) -> str:
    return f"{100 * value:.1f} % ({100 * interval[0]:.1f}–{100 * interval[1]:.1f})"


def _points(value: float, interval: tuple[float, float]) -> str:
    return f"{100 * value:+.1f} points ({100 * interval[0]:+.1f} to {100 * interval[1]:+.1f})"
