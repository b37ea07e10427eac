"""The page and the figure of a measurement."""

from __future__ import annotations

from pathlib import Path
from typing import Any

from matplotlib.axes import Axes
from matplotlib.figure import Figure
from matplotlib.ticker import LogFormatterSciNotation, NullFormatter

from benchmarks.speed.measure import STAGES

__all__ = ["figure", "page", "worse"]

MARGIN = 0.25
"""`make bench-check` fails where a peer is no longer as many times slower as before, less this share."""

LIMIT_MB = 2000
"""The most memory that a region of any size may need."""

_WHOLE, _TILED = "JPEG, whole", "tiled TIFF, by windows"


def page(found: dict[str, Any]) -> str:
    """Markdown."""
    peers, limit, machine, start = found["beside peers"], found["limit"], found["machine"], found["start"]
    app, sizes = found["start of the application"], found["by size"]
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
        f"Regions of 1360 × 1024 px, models loaded, from image file to tally: medians of {peers['rounds']} rounds for "
        "each, in which the methods take turns. A classical method's time goes by the pixels, ours by the nuclei.",
        "",
        f"| nuclei | {' | '.join(f'{name}, s' for name in peers['seconds'])} |",
        f"|---|{'---|' * len(peers['seconds'])}",
        *(_region(row) for row in sorted(peers["regions"], key=lambda row: row["nuclei"])),
        f"| all: median | {' | '.join(f'{s:.3f}' for s in peers['seconds'].values())} |",
        f"| all: median, times ours | {' | '.join(f'{t:.2f}' for t in peers['times ours'].values())} |",
        "",
        "`make bench-check` measures this again, and fails where a peer takes less than "
        f'{1 - MARGIN:.0%} of its "times ours" here.',
        "",
        "## By size of the region",
        "",
        f"| region, px | read as | nuclei | {' | '.join(f'{stage}, s' for stage in STAGES)} |",
        f"|---|---|---|{'---|' * len(STAGES)}",
        *(
            f"| {r['width']} × {r['height']} | {_TILED if r['tiled'] else _WHOLE} | {r['nuclei']} | "
            f"{' | '.join(_seconds(r['seconds'][stage]) for stage in STAGES)} |"
            for r in sizes
        ),
        "",
        "Read by windows, the file is decoded while nuclei are found and counted, so those take its time, too.",
        "",
        f"| highest memory in, MB | read as | {' | '.join(STAGES)} |",
        f"|---|---|{'---|' * len(STAGES)}",
        *(
            f"| {r['width']} × {r['height']} | {_TILED if r['tiled'] else _WHOLE} | "
            f"{' | '.join(format(r['peak mb'][stage], '.0f') for stage in STAGES)} |"
            for r in sizes
        ),
        "",
        f"Of the whole process, each region in one of its own; one that has only loaded the models has had "
        f"{found['models only mb']:.0f} MB. An image is decoded whole up to the limit of a region (64 million pixels "
        "unless the laboratory sets another) and read by windows beyond it.",
        "",
        "## Starting",
        "",
        "| seconds from the start of the process to | |",
        "|---|---|",
        f"| models loaded (`analyze`) | {start['models loaded']:.1f} |",
        f"| tally of a first region of 1360 × 1024 px (`analyze`) | {start['first region analysed']:.1f} |",
        f"| the application answers | {app['server answers']:.1f} |",
        f"| its first page is there | {app['first page']:.1f} |",
        f"| a region of 1360 × 1024 px that waited for it is analysed and saved | {app['first region analysed']:.1f} |",
        "",
        "## By number of nuclei and of regions",
        "",
        "| nuclei counted | seconds | | regions analysed | seconds |",
        "|---|---|---|---|---|",
        *_beside(found["by nuclei"], found["by regions"]),
        "",
        "## Distance to the limit",
        "",
        f"Of a region of 1360 × 1024 px, {limit['giga in 8 bits']:.1f} thousand million operations have "
        f"factors of 8 bits, and {limit['giga in float32']:.2f} thousand million are in float32. The machine does "
        f"{limit['machine, giga per second in 8 bits']:.0f} of the ones and "
        f"{limit['machine, giga per second in float32']:.0f} of the others a second at best, so they alone would take "
        f"{limit['seconds at the limit']:.3f} s of the {limit['seconds']:.3f} s: "
        f"{limit['share of the limit']:.0%} of the limit.",
        "",
        "On a GPU: not measured.",
        "",
        "![Cost against size](speed.png)",
        "",
    ]
    return "\n".join(lines)


def _region(row: dict[str, Any]) -> str:
    cells = (f"{s:.3f} ({row['times ours'][name]:.2f} ×)" for name, s in row["seconds"].items())
    return f"| {row['nuclei']} | {' | '.join(cells)} |"


def _beside(nuclei: list[dict[str, Any]], regions: list[dict[str, Any]]) -> list[str]:
    rows = []
    for i in range(max(len(nuclei), len(regions))):
        left = f"{nuclei[i]['nuclei']} | {nuclei[i]['seconds']:.3f}" if i < len(nuclei) else " | "
        right = f"{regions[i]['regions']} | {regions[i]['seconds']:.1f}" if i < len(regions) else " | "
        rows.append(f"| {left} | | {right} |")
    return rows


def figure(found: dict[str, Any], path: Path) -> None:
    """Cost against size: stages, nuclei, regions, memory."""
    drawing = Figure(figsize=(15, 3.8), layout="constrained")
    stages, counting, regions, memory = drawing.subplots(1, 4)
    whole, tiled = ([row for row in found["by size"] if row["tiled"] is kind] for kind in (False, True))
    for number, stage in enumerate(STAGES):
        for rows, line in ((whole, "o-"), (tiled, "s--")):
            seconds = [row["seconds"][stage] for row in rows]
            stages.loglog(_mpx(rows), seconds, line, color=f"C{number}", ms=4, label=stage if rows is whole else None)
    stages.set(xlabel="region, million px", ylabel="seconds", title="Stages (dashed: by windows)")
    stages.legend(fontsize="small")
    for axes, rows, what in (
        (counting, found["by nuclei"], "nuclei"),
        (regions, found["by regions"], "regions"),
    ):
        axes.loglog([row[what] for row in rows], [row["seconds"] for row in rows], marker="o")
        axes.set(xlabel=what, ylabel="seconds", title=f"By number of {what}")
    for rows, line, label in ((whole, "o-", _WHOLE), (tiled, "s--", _TILED)):
        memory.semilogx(_mpx(rows), [max(row["peak mb"].values()) for row in rows], line, label=label)
    memory.axhline(found["models only mb"], linestyle="--", color="grey", label="models only")
    memory.axhline(LIMIT_MB, linestyle=":", color="grey", label="limit")
    memory.set(xlabel="region, million px", ylabel="MB", title="Peak memory", ylim=(0, 1.1 * LIMIT_MB))
    memory.legend(fontsize="small")
    for axes in (stages, counting, regions, memory):
        _decades(axes)
    drawing.savefig(path, dpi=110)


def _mpx(rows: list[dict[str, Any]]) -> list[float]:
    return [row["width"] * row["height"] / 1e6 for row in rows]


def _decades(axes: Axes) -> None:
    """Numbers at powers of ten only: those between would cover each other."""
    axes.xaxis.set_major_formatter(LogFormatterSciNotation())
    axes.xaxis.set_minor_formatter(NullFormatter())


def _seconds(value: float) -> str:
    return f"{value:.4f}" if value < 0.01 else f"{value:.3f}" if value < 10 else f"{value:.1f}"


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
