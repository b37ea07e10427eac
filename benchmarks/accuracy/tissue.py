"""Real tissue: nuclei found and signals counted against one reader's (no pathologist; see the folder's PROVENANCE)."""

from __future__ import annotations

import json
from collections import defaultdict
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import ArrayLike

from benchmarks.accuracy.words import error, interval, markdown, percent
from benchmarks.peers import Peer
from her2core.detection.metrics import box_iou
from her2core.imaging import read_region
from her2core.pipeline import Models
from her2core.records import Box
from her2core.training.measures import count_errors, wilson
from her2core.training.readings import nuclei_in
from her2core.training.summary import plain

__all__ = ["OURS", "real_tissue", "recall_at", "tissue_block"]

OURS = "her2core"
CHANNELS = ("her2", "cep17")


def recall_at(outlined: ArrayLike, found: ArrayLike, iou: float = 0.5) -> tuple[int, int]:
    """(outlined nuclei that a found box overlaps by at least `iou`, outlined nuclei)."""
    overlaps = box_iou(outlined, found)
    return (int((overlaps.max(axis=1) >= iou).sum()) if overlaps.size else 0), len(overlaps)


def real_tissue(folder: Path, models: Models, peers: Sequence[Peer]) -> dict[str, Any]:
    """Recall of outlined nuclei by field and method, and count differences from the reader by certainty and method."""
    outlined = json.loads((folder / "boxes.json").read_text(encoding="utf-8"))
    counted = json.loads((folder / "signal_counts.json").read_text(encoding="utf-8"))
    hits: dict[str, dict[str, tuple[int, int]]] = defaultdict(dict)
    rows: dict[str, list[tuple[bool, Sequence[float], Sequence[float]]]] = defaultdict(list)
    for path in sorted((folder / "images").glob("*.jpg")):
        pixels = read_region(path.read_bytes(), path.name).pixels_rgb
        truth = outlined[path.name]
        hits[OURS][path.stem] = recall_at(truth, [d.box_xyxy for d in models.detector.detect(pixels)])
        for peer in peers:
            if peer.own_boxes:
                hits[peer.name][path.stem] = recall_at(truth, peer.find(pixels).boxes_xyxy)
        readings = [r for r in counted if r["image"] == path.name]
        boxes = [_box(r["box"]) for r in readings]
        methods: dict[str, Sequence[Sequence[float]]] = {p.name: p.counts(pixels, boxes) for p in peers}
        ours = nuclei_in(pixels, models, boxes)
        methods[OURS] = [(n.her2 or 0, n.cep17 or 0) for n, _ in ours]
        methods |= {way: [ways[way] for _, ways in ours] for way in ("peaks", "integral", "regression")}
        for name, counts in methods.items():
            for r, count in zip(readings, counts, strict=True):
                rows[name].append((r["sure"], count, [float(np.mean(r[c])) for c in CHANNELS]))
    result: dict[str, Any] = plain(
        {
            "recall at IoU 0.5": {name: _recalls(fields) for name, fields in hits.items()},
            "counts": {name: _differences(rows[name]) for name in (OURS, *(n for n in rows if n != OURS))},
            "the reader's two passes": _passes(counted),
        }
    )
    return result


def _box(value: Sequence[float]) -> Box:
    x0, y0, x1, y1 = (float(side) for side in value)
    return x0, y0, x1, y1


def _recalls(fields: dict[str, tuple[int, int]]) -> dict[str, Any]:
    total = (sum(h for h, _ in fields.values()), sum(n for _, n in fields.values()))
    return {
        name: {"outlined": n, "recall": h / n if n else None, "recall_95": wilson(h, n)}
        for name, (h, n) in {**fields, "all": total}.items()
    }


def _differences(rows: Sequence[tuple[bool, Sequence[float], Sequence[float]]]) -> dict[str, Any]:
    return {
        f"{channel}, reader {'sure' if sure else 'not sure'}": count_errors(
            [found[i] for s, found, _ in rows if s is sure], [read[i] for s, _, read in rows if s is sure]
        )
        for i, channel in enumerate(CHANNELS)
        for sure in (True, False)
    }


def _passes(counted: Sequence[dict[str, Any]]) -> dict[str, Any]:
    return {
        f"{channel}, reader {'sure' if sure else 'not sure'}": count_errors(
            [r[channel][1] for r in counted if r["sure"] is sure], [r[channel][0] for r in counted if r["sure"] is sure]
        )
        for channel in CHANNELS
        for sure in (True, False)
    }


_METHODS = {
    "peaks": "peaks of the map",
    "integral": "integral of the map",
    "regression": "regression (the paper's way)",
}


def tissue_block(tissue: Mapping[str, Any], peer_titles: Mapping[str, str]) -> list[str]:
    """The lines of the page's block: recall by field and method, then differences by certainty and method."""
    titles = {**peer_titles, **_METHODS}
    recalls, counts, again = tissue["recall at IoU 0.5"], tissue["counts"], tissue["the reader's two passes"]
    fields = recalls[OURS]
    lines = [
        "",
        "## Real tissue (2 fields, never trained on)",
        "",
        "Outlined nuclei that were found at IoU 0.5; not all were outlined, so precision means nothing here.",
        "",
        *markdown(
            ["Method", *(f"{name} ({row['outlined']} nuclei)" for name, row in fields.items())],
            [
                [
                    titles.get(name, name),
                    *(f"{percent(row['recall'])} ({interval(row['recall_95'])})" for row in f.values()),
                ]
                for name, f in recalls.items()
            ],
        ),
    ]
    kinds = counts[OURS]
    rows = [[titles.get(name, name), *(error(row[kind]) for kind in kinds)] for name, row in counts.items()]
    rows.append(["the reader's second pass against the first", *(error(again[kind]) for kind in kinds)])
    return [
        *lines,
        "",
        "Difference from one reader's counts (no pathologist) in given boxes: mean absolute / bias.",
        "",
        *markdown(["Method", *(f"{_upper(kind)} ({row['n']} nuclei)" for kind, row in kinds.items())], rows),
    ]


def _upper(kind: str) -> str:
    channel, rest = kind.split(",", 1)
    return f"{channel.upper()},{rest}"
