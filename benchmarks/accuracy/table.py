"""All results as one readable page: a column a set, a block a topic, the paper's printed figures beside them."""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from itertools import pairwise
from typing import Any

from benchmarks.accuracy.paper import PAPER_AP, paper_agreement
from benchmarks.accuracy.words import CONDITIONS as CONDITION_WORDS
from benchmarks.accuracy.words import (
    DASH,
    error,
    interval,
    markdown,
    number,
    percent,
    relative_spread,
    share_of,
    span,
)
from her2core.training.summary import CONDITION_CUTS, MARGIN_CUTS, plain

__all__ = ["Column", "page"]

Report = Mapping[str, Any]
Rows = list[list[str]]
Show = Callable[[Any], str]

_PAPER = "Xue et al. 2023"
_WAYS = {
    "final": "as her2core counts",
    "peaks": "peaks",
    "integral": "integral",
    "regression": "regression",
    "cluster estimate": "cluster estimate",
}
_CHANNELS = {"her2": "HER2", "cep17": "CEP17"}
_KINDS = ("not clustered", "clustered")
_PARTS = ("images", "patients")


@dataclass(frozen=True, slots=True)
class Column:
    """A set's results: of her2core, and of each peer by name. `folder`: where its own pages lie; empty: nowhere."""

    title: str
    ours: Report
    peers: Mapping[str, Report]
    folder: str = ""


def page(
    models: Mapping[str, str],
    columns: Sequence[Column],
    peer_titles: Mapping[str, str],
    tissue: Sequence[str],
    notices: Sequence[str],
) -> str:
    """The page accuracy.md, in Markdown. `tissue`: the lines of its block, none where it was left out."""
    lines = [
        "# Accuracy",
        "",
        f"Models: {', '.join(models.values())}. Made by `python -m benchmarks.accuracy`; what each line means is in",
        "[docs/accuracy.md](../../docs/accuracy.md). Rendered images are easier than slides: read these figures beside",
        "real tissue (last block), never instead of it. Numbers and figures of each set lie in its folder.",
        *(f"\n> {notice}" for notice in notices),
    ]
    blocks = (
        ("Groups of images and patients", "", _groups(columns)),
        (
            "Peers on the same images",
            "Boxes and counts of each peer go through the same rules into a tally. Peers were tuned on other rendered "
            "regions (seed 4711). Regression alone is our network's second way, not a network trained for it alone. "
            "By group, condition and renderer they stand in each set's parts.md.",
            _peers(columns, peer_titles),
        ),
        ("Finding nuclei", "", _detection(columns)),
        ("Counting signals", "Error of a nucleus: mean absolute / bias.", _counts(columns)),
        (
            "Error of an image's mean",
            "Signals a nucleus and ratio, counted against true: mean ± 1 SD over images. This, more than the "
            "error of a nucleus, is what flips groups.",
            _relative(columns),
        ),
        ("Where errors come from", "Group accuracy if one step were perfect.", _sources(columns)),
        ("How sure it is", "", _doubts(columns)),
        (
            "By distance from a border",
            "Share of images with the right group, by how far the true tally is from the nearest group border.",
            _parts(columns, ("by margin",), MARGIN_CUTS, "", lambda cut: f"{100 * cut:g} %"),
        ),
        (
            "By condition",
            "Share of images with the right group, of how many. Every measure by group, condition and renderer: "
            + (", ".join(f"[{c.title}]({c.folder}/parts.md)" for c in columns if c.folder) or "in evaluation.json")
            + ".",
            _conditions(columns),
        ),
    )
    header = ["Measure", *(c.title for c in columns), _PAPER]
    for title, note, rows in blocks:
        said = [row for row in rows if any(cell != DASH for cell in row[1:])]
        if said:
            quiet = all(row[-1] == DASH for row in said)  # the paper says nothing of this
            table = markdown(header[:-1], [row[:-1] for row in said]) if quiet else markdown(header, said)
            lines += ["", f"## {title}", *(["", note] if note else []), "", *table]
    return "\n".join([*lines, *tissue]) + "\n"


def _shown(report: Report, path: Sequence[str], show: Show) -> str:
    """What a report says at a path; a dash where it says nothing."""
    value: Any = report
    for key in path:
        if not isinstance(value, Mapping) or value.get(key) is None:
            return DASH
        value = value[key]
    return show(value)


def _row(columns: Sequence[Column], name: str, path: Sequence[str], show: Show, paper: str = DASH) -> list[str]:
    return [name, *(_shown(c.ours, path, show) for c in columns), paper]


# --- blocks -----------------------------------------------------------------------------------------------------------


def _groups(columns: Sequence[Column]) -> Rows:
    paper: dict[str, Any] = plain(paper_agreement())
    image, patient = "groups per image", "groups per patient"

    def row(name: str, show: Show, part: str = image) -> list[str]:
        return _row(columns, name, [part], show, show(paper) if part == image else DASH)

    def recall(i: int) -> Show:
        return lambda g: f"{percent(g['recall'][str(i + 1)])} ({g['matrix'][i][i]} of {sum(g['matrix'][i])})"

    return [
        row("Images", lambda g: str(g["total"])),
        row("Group accuracy", lambda g: f"**{percent(g['accuracy'])}**"),
        row("… 95 % interval (Wilson)", lambda g: interval(g["accuracy_95"])),
        row("Cohen's kappa", lambda g: number(g["kappa"])),
        *(row(f"Recall of Group {i + 1}", recall(i)) for i in range(5)),
        row("Group 1: sensitivity", lambda g: percent(g["group1_sensitivity"])),
        row("Group 1: specificity", lambda g: percent(g["group1_specificity"])),
        row("Images without a call", lambda g: str(g["undefined"])),
        row("Patients: accuracy", lambda g: f"{percent(g['accuracy'])} of {g['total']}", patient),
        row("… 95 % interval (Wilson)", lambda g: interval(g["accuracy_95"]), patient),
        row("… kappa", lambda g: number(g["kappa"]), patient),
        row("… Group 1: sensitivity", lambda g: percent(g["group1_sensitivity"]), patient),
        row("… Group 1: specificity", lambda g: percent(g["group1_specificity"]), patient),
        *(
            _row(columns, f"Accuracy if every nucleus were counted by {words}", [_BY_WAY, way, "accuracy"], percent)
            for way, words in _WAYS.items()
            if way != "final"
        ),
        *(
            _row(columns, f"Ceiling: a careful reader (simulated), {words}", ["reader", kind, "mean"], percent)
            for kind, words in _READERS.items()
        ),
    ]


_BY_WAY = "groups by way of counting"
_READERS = {
    "errors at random": "slips either way",
    "errors all one way in a region": "slips all one way in an image",
}


def _peers(columns: Sequence[Column], titles: Mapping[str, str]) -> Rows:
    agreement: list[tuple[str, str, Show]] = [
        ("Group accuracy", "accuracy", percent),
        ("Group accuracy, 95 % interval (Wilson)", "accuracy_95", interval),
        ("Cohen's kappa", "kappa", number),
        ("Group 1 sensitivity", "group1_sensitivity", percent),
        ("Group 1 specificity", "group1_specificity", percent),
    ]
    measures: list[tuple[str, list[str], Show]] = [
        *(
            (f"{prefix}{name}", [part, key], show)
            for prefix, part in (("", "groups per image"), ("Patients: ", "groups per patient"))
            for name, key, show in agreement
        ),
        ("AP@0.5 of nuclei", ["detection", "AP@0.5"], _three),
        ("AP@[.5:.95] of nuclei", ["detection", "AP@[.5:.95]"], _three),
        ("Precision of nuclei", ["detection", "precision"], percent),
        ("Recall of nuclei", ["detection", "recall"], percent),
        *(
            (f"{words}, {kind}: error / bias", ["counts", "final", channel, kind], error)
            for channel, words in _CHANNELS.items()
            for kind in _KINDS
        ),
        *(
            (f"{words} error of an image's mean", ["error over images", channel], relative_spread)
            for channel, words in _CHANNELS.items()
        ),
    ]
    rows: Rows = []
    for name, path, show in measures:
        rows.append(_row(columns, f"{name}: **her2core**", path, show))
        for peer, title in titles.items():
            rows.append([f"… {title}", *(_shown(c.peers.get(peer, {}), path, show) for c in columns), DASH])
    return rows


def _detection(columns: Sequence[Column]) -> Rows:
    def both(d: Report) -> str:
        return f"{percent(d['precision'])} / {percent(d['recall'])}"

    return [
        _row(columns, "AP@0.5", ["detection", "AP@0.5"], lambda v: number(v, 3), str(PAPER_AP)),
        _row(columns, "AP@[.5:.95]", ["detection", "AP@[.5:.95]"], lambda v: number(v, 3)),
        _row(columns, "Precision / recall", ["detection"], both),
        *(_row(columns, f"… mean over {parts}", ["detection", f"mean over {parts}"], both) for parts in _PARTS),
        *(
            _row(columns, f"AP@0.5, mean over {parts}", ["detection", f"mean over {parts}", "AP@0.5"], _three)
            for parts in _PARTS
        ),
        _row(columns, "Score: calibration error", ["score reliability", "expected calibration error"], _three),
    ]


def _three(value: float) -> str:
    return number(value, 3)


def _counts(columns: Sequence[Column]) -> Rows:
    def mean(e: Report) -> str:
        return error({"mae": e["mae"], "bias": e["bias"]["mean"]})

    rows = [
        _row(columns, f"{words}, {kind}, {way_words}", ["counts", way, channel, kind], error)
        for way, way_words in _WAYS.items()
        for channel, words in _CHANNELS.items()
        for kind in _KINDS
    ]
    found = ["clusters found"]
    rows[2:2] = [
        _row(
            columns,
            "… as a share of the true count",
            ["counts", "final", "her2", "clustered"],
            lambda e: f"{percent(e['relative_mae'])} / {percent(e['relative_bias'], sign=True)}",
        ),
        _row(columns, "… nuclei with clusters that were taken for such", found, _of_clusters("recall", "n")),
        _row(columns, "… nuclei taken for clustered that are", found, _of_clusters("precision", "found")),
    ]
    return rows + [
        _row(columns, f"{words}, all nuclei, mean over {parts}", ["counts", f"mean over {parts}", channel], mean)
        for parts in _PARTS
        for channel, words in _CHANNELS.items()
    ]


def _of_clusters(share: str, total: str) -> Show:
    return lambda c: f"{percent(c[share])} of {c[total]}"


def _relative(columns: Sequence[Column]) -> Rows:
    names = {"her2": "HER2 a nucleus", "cep17": "CEP17 a nucleus", "ratio": "Ratio"}
    return [
        _row(columns, f"{words}, {parts}", [f"error over {parts}", key], relative_spread)
        for parts in _PARTS
        for key, words in names.items()
    ]


def _sources(columns: Sequence[Column]) -> Rows:
    part = "where errors come from"
    perfect = {
        "Our choice of nuclei, true counts (selection alone)": "selection alone (true counts of the nuclei scored)",
        "True nuclei, our counts (counting alone)": "counting alone (our counts in the true boxes)",
        "Without boxes that are no nucleus": "without false nuclei",
    }
    shares = {
        "Scored nuclei that are none": "share of scored nuclei that are none",
        "Scored nuclei that one would not score": "share of scored nuclei that one would not score",
        "Scorable nuclei that were not scored": "share of scorable nuclei that were not scored",
    }
    return [
        _row(columns, "As it is", ["groups per image", "accuracy"], percent),
        *(_row(columns, name, [part, key, "accuracy"], percent) for name, key in perfect.items()),
        *(_row(columns, name, [part, key], percent) for name, key in shares.items()),
    ]


_ALONE = "intervals over nuclei alone"


def _doubts(columns: Sequence[Column]) -> Rows:
    def flagged(u: Report) -> str:
        return f"{percent(u['share with a wrong count'])}, {number(u['mean error'])} (n = {u['n']})"

    def held(i: Report) -> str:
        return f"{percent(i['coverage'])} (width {number(i['mean width'])})"

    doubt, intervals = "uncertainty", "intervals"
    return [
        _row(columns, "Certain nuclei: wrong counts, signals off", [doubt, "certain nuclei"], flagged),
        _row(columns, "Uncertain nuclei: wrong counts, signals off", [doubt, "uncertain nuclei"], flagged),
        _row(columns, "Flag against wrong counts: AUROC", [doubt, "AUROC of the flag"], number),
        _row(
            columns,
            "Stated chance of a wrong count: AUROC",
            [doubt, "AUROC of the chance that a count is wrong"],
            number,
        ),
        _row(columns, "… calibration error", [doubt, "expected calibration error"], _three),
        _row(columns, "95 % interval of copies holds the truth", [intervals, "copy number"], held),
        _row(columns, "… without the counter's own error", [_ALONE, "copy number"], held),
        _row(columns, "95 % interval of the ratio holds the truth", [intervals, "ratio"], held),
        _row(columns, "… without the counter's own error", [_ALONE, "ratio"], held),
        _row(columns, "Group probabilities: Brier score", [intervals, "Brier score of group probabilities"], _three),
        _row(columns, "… calibration error", [intervals, "likeliest group", "expected calibration error"], _three),
    ]


def _conditions(columns: Sequence[Column]) -> Rows:
    def conditions(c: Column) -> Mapping[str, Sequence[Report]]:
        found: Mapping[str, Sequence[Report]] = c.ours.get("by condition", {})
        return found

    rows: Rows = []
    for name, words in CONDITION_WORDS.items():
        found = {part[k] for c in columns for part in conditions(c).get(name, []) for k in ("from", "below")}
        cuts = CONDITION_CUTS.get(name) or sorted(found - {None})
        rows += _parts(columns, ("by condition", name), cuts, f"{words}: ", "{:.3g}".format)
    styles = sorted({style for c in columns for style in c.ours.get("by style", {})} - {"not stated"})
    return rows + [_row(columns, f"Renderer: {s}", ["by style", s], share_of) for s in styles]


def _parts(
    columns: Sequence[Column], path: Sequence[str], cuts: Sequence[float], prefix: str, shown: Callable[[float], str]
) -> Rows:
    """A row for each stratum between two cuts."""
    rows: Rows = []
    for low, high in pairwise([None, *cuts, None]):
        rows.append(_row(columns, prefix + span(low, high, shown), path, _stratum(low, high)))
    return rows


def _stratum(low: float | None, high: float | None) -> Show:
    def show(parts: Sequence[Report]) -> str:
        return next((share_of(p) for p in parts if (p["from"], p["below"]) == (low, high)), DASH)

    return show
