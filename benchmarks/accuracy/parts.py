"""A set's results in parts: a row for each group, condition and renderer style, a column for each measure."""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from types import MappingProxyType
from typing import Any

from benchmarks.accuracy.words import (
    CONDITIONS,
    DASH,
    OTHER_CONDITIONS,
    error,
    interval,
    markdown,
    number,
    percent,
    span,
)

__all__ = ["parts_page"]

Part = Mapping[str, Any]

_HEADER = (
    "Part", "Images", "AP@0.5", "AP@[.5:.95]", "Precision / recall", "HER2, not clustered", "HER2, clustered",
    "CEP17, not clustered", "CEP17, clustered", "Group accuracy", "95 % (Wilson)", "Kappa",
    "Group 1: sensitivity / specificity", "Patients: accuracy",
)  # fmt: skip


def parts_page(
    title: str, report: Mapping[str, Any], peers: Mapping[str, Mapping[str, Any]] = MappingProxyType({})
) -> str:
    """The page parts.md of a set, in Markdown, from its evaluation.json and those of peers, by their titles."""
    lines = [
        f"# {title}: every measure by group, condition and renderer",
        "",
        "Made by `python -m benchmarks.accuracy`; [docs/accuracy.md](../../../docs/accuracy.md) explains the columns.",
        "Counts: mean absolute error / bias of a nucleus, in signals. A dash: nothing of the kind in this part. Within",
        "one group, kappa and one of sensitivity and specificity say nothing.",
        "",
        "## her2core",
        "",
        *_table(report),
    ]
    for name, peer in peers.items():
        lines += ["", f"## Peer: {name}", "", *_table(peer)]
    return "\n".join(lines) + "\n"


def _table(report: Mapping[str, Any]) -> list[str]:
    return markdown(_HEADER, [[name, *_cells(part, one_group)] for name, part, one_group in _rows(report)])


def _rows(report: Mapping[str, Any]) -> Iterator[tuple[str, Part, bool]]:
    """Name, part, and whether all its images are of one group."""
    for group, part in report.get("by group", {}).items():
        yield f"Group {group}", part, True
    for style, part in report.get("by style", {}).items():
        yield f"Renderer: {style}", part, False
    for part in report.get("by margin", ()):
        yield f"From the nearest border: {span(part['from'], part['below'], lambda v: f'{100 * v:.3g} %')}", part, False
    for name, parts in report.get("by condition", {}).items():
        for part in parts:
            words = CONDITIONS.get(name) or OTHER_CONDITIONS.get(name) or name.replace("_", " ")
            yield f"{words}: {span(part['from'], part['below'], '{:.3g}'.format)}", part, False


def _cells(part: Part, one_group: bool) -> list[str]:
    found, counts, patients = part["detection"], part["counts"], part["patients"]

    def both(first: float | None, second: float | None) -> str:
        return DASH if first is None and second is None else f"{percent(first)} / {percent(second)}"

    return [
        str(part["images"]),
        number(found["AP@0.5"], 3),
        number(found["AP@[.5:.95]"], 3),
        both(found["precision"], found["recall"]),
        *(error(counts[channel][kind]) for channel in ("her2", "cep17") for kind in ("not clustered", "clustered")),
        percent(part["accuracy"]),
        interval(part["accuracy_95"]),
        number(part["kappa"]),
        both(part["group1_sensitivity"], part["group1_specificity"]),
        f"{percent(patients['accuracy'])} of {patients['n']}",
    ]
