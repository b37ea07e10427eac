"""Figures of an evaluation as PNG: the precision-recall curve and the confusion matrix of Xue et al. 2023, figure 4."""

from __future__ import annotations

import io
from collections.abc import Sequence

import numpy as np
from matplotlib.backends.backend_agg import FigureCanvasAgg
from matplotlib.figure import Figure

from her2core.detection.metrics import PrecisionRecall

__all__ = ["confusion_figure", "precision_recall_figure"]

_BLUE = "#0072B2"


def _png(figure: Figure) -> bytes:
    buffer = io.BytesIO()
    FigureCanvasAgg(figure).print_png(buffer)  # type: ignore[no-untyped-call]
    return buffer.getvalue()


def precision_recall_figure(curve: PrecisionRecall, iou: float = 0.5) -> bytes:
    """Precision against recall of the nucleus detector, with its average precision."""
    figure = Figure(figsize=(5, 4.2), dpi=130, layout="constrained")
    axes = figure.subplots()
    axes.plot(curve.recall, curve.precision, color=_BLUE, linewidth=1.8)
    axes.axhline(0, color="none")
    axes.set(xlabel="Recall", ylabel="Precision", xlim=(0, 1.01), ylim=(0, 1.02))
    axes.set_title(f"Tumour nuclei: AP@{iou:g} = {curve.average_precision:.3f} (Xue et al. 2023: 0.735)", fontsize=10)
    axes.grid(alpha=0.25)
    return _png(figure)


def confusion_figure(matrix: Sequence[Sequence[int]], accuracy: float) -> bytes:
    """Confusion matrix of ISH groups 1-5: rows truth, columns her2core."""
    values = np.asarray(matrix, float)
    shares = values / np.maximum(values.sum(axis=1, keepdims=True), 1)
    figure = Figure(figsize=(4.8, 4.4), dpi=130, layout="constrained")
    axes = figure.subplots()
    axes.imshow(shares, cmap="Blues", vmin=0, vmax=1)
    for i in range(5):
        for j in range(5):
            axes.text(j, i, f"{values[i, j]:.0f}", ha="center", va="center", color="w" if shares[i, j] > 0.6 else "k")
    labels = [f"Group {g}" for g in range(1, 6)]
    axes.set_xticks(range(5), labels, fontsize=8)
    axes.set_yticks(range(5), labels, fontsize=8)
    axes.set(xlabel="her2core", ylabel="Truth")
    axes.set_title(f"Accuracy {100 * accuracy:.1f} % (Xue et al. 2023: 85.3 %)", fontsize=10)
    return _png(figure)
