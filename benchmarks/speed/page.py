"""The page and the figure of a measurement."""

from __future__ import annotations

from pathlib import Path
from typing import Any

from matplotlib.figure import Figure

__all__ = ["figure", "page", "worse"]

MARGIN = 0.25
"""`make bench-check` fails where a peer is no longer as many times slower as before, less this share."""


def page(found: dict[str, Any]) -> str:
    """Markdown."""
    peers, limit, machine, start = found["beside peers"], found["limit"], found["machine"], found["start"]
    lines = [
        "# Speed",
        "",
        f"Written by `python -m benchmarks.speed` on {machine['date']} in {found['seconds']:.0f} s: {machine['cpu']}, "
        f"{machine['threads']} threads, torch {machine['torch']}, load {machine['load before']} before and "
        f"{machine['load after']} after. Models: {', '.join(found['models'].values())}.",
        "",
        *([f"**{notice}**", ""] if (notice := found.get("notice")) else []),
        "## Beside peers",
        "",
        f"One region of 1360 × 1024 px with {peers['nuclei']:.0f} nuclei, models loaded, from image file to tally; "
        f"medians of {peers['rounds']} rounds in which the methods take turns.",
        "",
        "| method | seconds | times ours |",
        "|---|---|---|",
        *(f"| {name} | {s:.3f} | {peers['times ours'][name]:.2f} |" for name, s in peers["seconds"].items()),
        "",
        "## By size of the region",
        "",
        "| region, px | nuclei | load, s | detect, s | count, s | tally, s | peak memory, MB |",
        "|---|---|---|---|---|---|---|",
        *(
            f"| {r['width']} × {r['height']} | {r['nuclei']} | {r['load']:.3f} | {r['detect']:.3f} | {r['count']:.3f} "
            f"| {r['tally']:.4f} | {r['peak_mb']:.0f} |"
            for r in found["by size"]
        ),
        "",
        f"A process that has only loaded the models has {found['models only mb']:.0f} MB.",
        "",
        f"From the start of a process to its loaded models it takes {start['models loaded']:.1f} s, to the tally of "
        f"its first region of 1360 × 1024 px {start['first region analysed']:.1f} s.",
        "",
        "## By number of nuclei and of regions",
        "",
        "| nuclei counted | seconds | | regions analysed | seconds |",
        "|---|---|---|---|---|",
        *_beside(found["by nuclei"], found["by regions"]),
        "",
        "## Distance to the limit",
        "",
        f"A region of 1360 × 1024 px needs {limit['gigaflop']:.1f} GFLOP in convolutions and linear layers. The "
        f"machine reaches {limit['machine gigaflop per second']:.0f} GFLOP/s in products of float32 matrices, so "
        f"these alone would take {limit['seconds at the limit']:.3f} s of the {limit['seconds']:.3f} s: "
        f"{limit['share of the limit']:.0%} of the limit.",
        "",
        "On a GPU: not measured.",
        "",
        "![Cost against size](speed.png)",
        "",
    ]
    return "\n".join(lines)


def _beside(nuclei: list[dict[str, Any]], regions: list[dict[str, Any]]) -> list[str]:
    rows = []
    for i in range(max(len(nuclei), len(regions))):
        left = f"{nuclei[i]['nuclei']} | {nuclei[i]['seconds']:.3f}" if i < len(nuclei) else " | "
        right = f"{regions[i]['regions']} | {regions[i]['seconds']:.1f}" if i < len(regions) else " | "
        rows.append(f"| {left} | | {right} |")
    return rows


def figure(found: dict[str, Any], path: Path) -> None:
    """Cost against size: stages, counting, memory."""
    drawing = Figure(figsize=(12, 3.6), layout="constrained")
    stages, counting, memory = drawing.subplots(1, 3)
    sizes = found["by size"]
    mpx = [row["width"] * row["height"] / 1e6 for row in sizes]
    for stage in ("load", "detect", "count", "tally"):
        stages.loglog(mpx, [row[stage] for row in sizes], marker="o", label=stage)
    stages.set(xlabel="region, million px", ylabel="seconds", title="Stages")
    stages.legend()
    numbers = found["by nuclei"]
    counting.loglog([row["nuclei"] for row in numbers], [row["seconds"] for row in numbers], marker="o")
    counting.set(xlabel="nuclei", ylabel="seconds", title="Counting")
    memory.semilogx(mpx, [row["peak_mb"] for row in sizes], marker="o", label="with a region")
    memory.axhline(found["models only mb"], linestyle="--", color="grey", label="models only")
    memory.set(xlabel="region, million px", ylabel="MB", title="Peak memory", ylim=(0, None))
    memory.legend()
    drawing.savefig(path, dpi=110)


def worse(now: dict[str, Any], committed: dict[str, Any], margin: float = MARGIN) -> list[str]:
    """What has become slower against the peers than the margin allows, in words; empty where nothing has."""
    before = committed["beside peers"]["times ours"]
    found = now["beside peers"]["times ours"]
    return [
        f"{name} takes {found[name]:.2f} times as long as her2core; it was {ratio:.2f}, and {ratio * (1 - margin):.2f} "
        "is the least that passes"
        for name, ratio in before.items()
        if name in found and found[name] < ratio * (1 - margin)
    ]
