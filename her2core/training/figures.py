"""Figures of an evaluation as PNG: boxes, counts, groups, and how far stated doubts can be believed."""

from __future__ import annotations

import io
from collections import Counter
from collections.abc import Mapping, Sequence
from typing import Any

import numpy as np
from matplotlib.axes import Axes
from matplotlib.backends.backend_agg import FigureCanvasAgg
from matplotlib.figure import Figure

from her2core.detection.metrics import PrecisionRecall
from her2core.training.measures import Bin

__all__ = [
    "confusion_figure",
    "counts_figure",
    "group_probability_figure",
    "precision_recall_figure",
    "score_reliability_figure",
    "uncertainty_figure",
]

_BLUE = "#0072B2"
_ORANGE = "#D55E00"
_GREY = "#767676"
_FONT = 9
# Counts of one nucleus beyond this are drawn on the border of the scatter.
_MOST_SHOWN = 40


def _figure(width: float = 5.0, height: float = 4.2) -> Figure:
    return Figure(figsize=(width, height), dpi=130, layout="constrained")


def _png(figure: Figure) -> bytes:
    buffer = io.BytesIO()
    FigureCanvasAgg(figure).print_png(buffer)  # type: ignore[no-untyped-call]
    return buffer.getvalue()


def _dress(axes: Axes, title: str, xlabel: str, ylabel: str) -> None:
    axes.set_title(title, fontsize=_FONT + 1)
    axes.set_xlabel(xlabel, fontsize=_FONT)
    axes.set_ylabel(ylabel, fontsize=_FONT)
    axes.tick_params(labelsize=_FONT - 1)
    axes.grid(alpha=0.25)


def precision_recall_figure(curve: PrecisionRecall, iou: float = 0.5) -> bytes:
    """Precision against recall of the nucleus detector, with its average precision."""
    figure = _figure()
    axes = figure.subplots()
    axes.plot(curve.recall, curve.precision, color=_BLUE, linewidth=1.8)
    axes.set(xlim=(0, 1.01), ylim=(0, 1.02))
    title = f"Tumour nuclei: AP@{iou:g} = {curve.average_precision:.3f} (Xue et al. 2023: 0.735)"
    _dress(axes, title, "Recall: share of the true nuclei found", "Precision: share of the boxes that are nuclei")
    return _png(figure)


def confusion_figure(matrix: Sequence[Sequence[int]], accuracy: float) -> bytes:
    """Confusion matrix of ISH groups 1-5: rows truth, columns her2core."""
    values = np.asarray(matrix, float)
    shares = values / np.maximum(values.sum(axis=1, keepdims=True), 1)
    figure = _figure(4.8, 4.4)
    axes = figure.subplots()
    axes.imshow(shares, cmap="Blues", vmin=0, vmax=1)
    for i in range(5):
        for j in range(5):
            axes.text(j, i, f"{values[i, j]:.0f}", ha="center", va="center", color="w" if shares[i, j] > 0.6 else "k")
    labels = [f"Group {g}" for g in range(1, 6)]
    _dress(axes, f"Accuracy {100 * accuracy:.1f} % (Xue et al. 2023: 85.3 %)", "her2core", "Truth")
    axes.grid(visible=False)
    axes.set_xticks(range(5), labels, fontsize=_FONT - 1)
    axes.set_yticks(range(5), labels, fontsize=_FONT - 1)
    return _png(figure)


def _diagonal(axes: Axes, stated: Sequence[float], observed: Sequence[float], n: Sequence[int]) -> None:
    """Stated against observed, dots growing with their number, beside the line of perfect agreement."""
    axes.plot([0, 1], [0, 1], color=_GREY, linewidth=1, linestyle="--", label="as stated")
    axes.plot(stated, observed, color=_BLUE, linewidth=1.2, alpha=0.6)
    sizes = 15 + 180 * np.asarray(n, float) / max(max(n, default=1), 1)
    axes.scatter(stated, observed, s=sizes, color=_BLUE, label="measured (size: how many)", zorder=3)
    axes.set(xlim=(-0.02, 1.02), ylim=(-0.02, 1.02))
    axes.legend(fontsize=_FONT - 1, loc="lower right", markerscale=0.6)


def score_reliability_figure(bins: Sequence[Bin]) -> bytes:
    """Of the boxes with a score, the share that is a true nucleus; and how many boxes have it."""
    figure = _figure(5.0, 5.0)
    above, below = figure.subplots(2, 1, height_ratios=(3, 1), sharex=True)
    _diagonal(above, [b.stated for b in bins], [b.observed for b in bins], [b.n for b in bins])
    _dress(above, "What a detection score means", "", "Share that is a true nucleus")
    below.bar([(b.low + b.high) / 2 for b in bins], [b.n for b in bins], width=0.085, color=_BLUE, alpha=0.7)
    below.set_yscale("symlog")
    _dress(below, "", "Score of the box", "Boxes")
    return _png(figure)


def uncertainty_figure(table: Mapping[str, Any]) -> bytes:
    """Wrong counts and mean error against the stated uncertainty; of the flag alone where no chance is stated.

    `table`: the part "uncertainty" of `summary.summarise`.
    """
    bins = table.get("bins", [])
    figure = _figure(9.0, 4.0) if bins else _figure(4.6, 4.0)
    if bins:
        left, middle, right = figure.subplots(1, 3, width_ratios=(4, 3, 2))
        _diagonal(left, [b["stated"] for b in bins], [b["observed"] for b in bins], [b["n"] for b in bins])
        area = table["AUROC of the chance that a count is wrong"]
        shown = "" if area is None else f"AUROC {area:.2f}"
        _dress(left, f"Wrong counts as stated {shown}", "Stated chance that a count is wrong", "Share that is wrong")
        middle.bar(
            [(b["low"] + b["high"]) / 2 for b in bins], [b["mean error"] for b in bins], width=0.085, color=_BLUE
        )
        _dress(middle, "Size of the error", "Stated chance", "Signals off, both probes")
    else:
        right = figure.subplots()
    parts = [table["certain nuclei"], table["uncertain nuclei"]]
    bars = right.bar([0, 1], [p["share with a wrong count"] or 0.0 for p in parts], color=[_BLUE, _ORANGE], width=0.6)
    right.bar_label(bars, [f"n = {p['n']}" for p in parts], fontsize=_FONT - 1, padding=2)
    _dress(right, "By the flag", "", "Share with a wrong count")
    right.set_xticks([0, 1], ["certain", "uncertain"])
    right.margins(y=0.12)
    return _png(figure)


def group_probability_figure(intervals: Mapping[str, Any]) -> bytes:
    """How often the likeliest group is the true one, against the probability that the bootstrap gives it.

    `intervals`: the part "intervals" of `summary.summarise`.
    """
    bins = intervals["likeliest group"]["bins"]
    figure = _figure(4.6, 4.4)
    axes = figure.subplots()
    _diagonal(axes, [b["stated"] for b in bins], [b["observed"] for b in bins], [b["n"] for b in bins])
    _dress(axes, "Probability of the likeliest group", "Stated by resampling the nuclei", "Share of images it is right")
    axes.set_xlim(0.18, 1.02)
    return _png(figure)


def counts_figure(
    channel: str, true: Sequence[float], found: Sequence[float], means: Sequence[tuple[float, float]]
) -> bytes:
    """Counts of nuclei, found against true, and of images the difference against the mean (Bland and Altman 1986).

    true, found: signals of the same nuclei. means: (true, found) mean signals a nucleus, one pair an image.
    """
    figure = _figure(9.0, 4.2)
    left, right = figure.subplots(1, 2)
    pairs = Counter((min(round(t), _MOST_SHOWN), min(round(f), _MOST_SHOWN)) for t, f in zip(true, found, strict=True))
    top = max([5, *(max(p) for p in pairs)]) + 1
    left.plot([0, top], [0, top], color=_GREY, linewidth=1, linestyle="--")
    if pairs:
        number = np.array(list(pairs.values()), float)
        places = np.array(list(pairs))
        left.scatter(places[:, 0], places[:, 1], s=6 + 250 * np.sqrt(number / number.max()), color=_BLUE, alpha=0.45)
    _dress(left, f"{channel}: {len(true)} nuclei", "True signals of a nucleus", "Counted (size: how many nuclei)")
    left.set(xlim=(-0.5, top), ylim=(-0.5, top))
    if means:
        array = np.asarray(means, float)
        middle, difference = array.mean(axis=1), array[:, 1] - array[:, 0]
        bias, sd = float(difference.mean()), float(difference.std(ddof=1)) if len(difference) > 1 else 0.0
        right.scatter(middle, difference, s=12, color=_BLUE, alpha=0.6)
        for level, style in ((bias, "-"), (bias - 1.96 * sd, "--"), (bias + 1.96 * sd, "--")):
            right.axhline(level, color=_ORANGE, linewidth=1, linestyle=style)
        title = f"{len(means)} images: bias {bias:+.2f}, 95 % of them within {1.96 * sd:.2f} of it"
    else:
        title = "No image was counted"
    _dress(right, title, f"Mean {channel} signals a nucleus", "Counted minus true")
    return _png(figure)
