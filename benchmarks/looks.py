"""`python -m benchmarks.looks`: do rendered regions look like real ones? The same measures on both.

Draws regions of both renderer styles, measures how they appear (not what they mean), and writes
benchmarks/results/looks.md and .png: for each measure the range of each style and where the real fields lie. Real
fields are looked at where their folder is present; their pixels are only copied to work/looks/, which git ignores.
"""

from __future__ import annotations

import argparse
import io
import json
import sys
import textwrap
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path

import numpy as np
from matplotlib.backends.backend_agg import FigureCanvasAgg
from matplotlib.figure import Figure
from numpy.typing import NDArray
from PIL import Image
from scipy.ndimage import convolve, find_objects, gaussian_filter, label, maximum_filter
from skimage.filters import threshold_otsu

from benchmarks.second_style import render_region_second
from her2core.imaging import read_region
from her2core.imaging.quality import measure as measure_quality
from her2core.models import write_atomically
from her2core.records import Box
from her2core.training.render import RenderedRegion, render_region

__all__ = ["MEASURES", "Field", "Measure", "compare", "contact_sheet", "look_of", "nuclei_by_stain"]

ROOT = Path(__file__).parents[1]
RESULTS = ROOT / "benchmarks" / "results"
IMAGES = ROOT / "docs" / "images"
WORK = ROOT / "work" / "looks"
REAL = ROOT.parent / "shared" / "data" / "real"

Float = NDArray[np.float32]
Pixels = NDArray[np.uint8]

_SEED = 5000
_SPOT_SIGMA = 0.02  # of the nucleus width
_LEAST_CONTRAST_TO_NOISE, _LEAST_RISE = 5.0, 6.0
_LEAST_NOISE = 0.35


@dataclass(frozen=True, slots=True)
class Measure:
    """One measure of appearance: its key in a look, and what it says."""

    key: str
    title: str
    digits: int = 2


MEASURES = (
    Measure("width", "Nucleus width, px", 0),
    Measure("width_spread", "Spread of widths (quartile range / median)"),
    Measure("dapi", "DAPI of nuclei over background, grey levels", 0),
    Measure("dapi_spread", "Spread of DAPI between nuclei (quartile range / median)"),
    Measure("rim", "DAPI at the rim / in the middle"),
    Measure("texture_dapi", "DAPI texture in nuclei, % of its level", 1),
    Measure("texture_red", "Red texture in nuclei, grey levels"),
    Measure("texture_green", "Green texture in nuclei, grey levels"),
    Measure("crosstalk_red", "Correlation of red with DAPI in nuclei"),
    Measure("crosstalk_green", "Correlation of green with DAPI in nuclei"),
    Measure("glow_red", "Red glow of nuclei over background, grey levels", 0),
    Measure("glow_green", "Green glow of nuclei over background, grey levels", 0),
    Measure("spots_red", "Visible red spots a nucleus"),
    Measure("spots_green", "Visible green spots a nucleus"),
    Measure("fwhm_red", "FWHM of red spots, % of the nucleus width", 1),
    Measure("fwhm_green", "FWHM of green spots, % of the nucleus width", 1),
    Measure("peak_red", "Peak of red spots over their surroundings, grey levels", 0),
    Measure("peak_green", "Peak of green spots over their surroundings, grey levels", 0),
    Measure("contrast_red", "Contrast-to-noise of red spots", 1),
    Measure("contrast_green", "Contrast-to-noise of green spots", 1),
    Measure("background_red", "Red background, grey levels", 0),
    Measure("background_green", "Green background, grey levels", 0),
    Measure("background_blue", "Blue background, grey levels", 0),
    Measure("noise", "Pixel noise in nuclei, grey levels"),
    Measure("blockiness", "JPEG blockiness (1: none)"),
)


@dataclass(frozen=True, slots=True)
class Field:
    """An image with boxes of some of its nuclei, xyxy in pixels."""

    name: str
    pixels_rgb: Pixels
    boxes: Sequence[Box]


def _spread(values: NDArray[np.floating]) -> float:
    """Robust standard deviation."""
    return float(1.4826 * np.median(np.abs(values - np.median(values))))


def _quartile_range(values: NDArray[np.float64]) -> float:
    q1, q2, q3 = np.quantile(values, [0.25, 0.5, 0.75])
    return float((q3 - q1) / max(q2, 1e-6))


def _noise_map(image: Float) -> Float:
    """Second differences that smooth structure does not answer to; their deviation / 6 is that of the pixels' noise.

    After Immerkær 1996, Fast noise variance estimation.
    """
    kernel = np.array([[1, -2, 1], [-2, 4, -2], [1, -2, 1]], np.float32)
    return np.asarray(convolve(image, kernel, mode="nearest"), np.float32)


@dataclass(frozen=True, slots=True)
class _Nucleus:
    """A box in the image and the elliptic distance of its pixels from the middle: 1 on the ellipse that fills it."""

    rows: slice
    columns: slice
    radius: Float

    @staticmethod
    def of(box: Box, shape: tuple[int, ...]) -> _Nucleus:
        x0, y0, x1, y1 = box
        rows = slice(max(int(y0), 0), min(int(np.ceil(y1)), shape[0]))
        columns = slice(max(int(x0), 0), min(int(np.ceil(x1)), shape[1]))
        v = (np.arange(rows.start, rows.stop, dtype=np.float32) + 0.5 - (y0 + y1) / 2) / ((y1 - y0) / 2)
        u = (np.arange(columns.start, columns.stop, dtype=np.float32) + 0.5 - (x0 + x1) / 2) / ((x1 - x0) / 2)
        return _Nucleus(rows, columns, np.hypot(v[:, None], u[None, :]).astype(np.float32))


def _full_width(image: Float, y: int, x: int, reach: int) -> tuple[float, float]:
    """FWHM in pixels of the spot at (x, y), from the area above half its peak, and its peak over the surroundings."""
    y0, x0 = max(y - reach, 0), max(x - reach, 0)
    patch = image[y0 : y + reach + 1, x0 : x + reach + 1]
    floor = float(np.quantile(patch, 0.25))
    peak = float(image[y, x]) - floor
    pieces, _ = label(patch > floor + peak / 2)
    area = int((pieces == pieces[y - y0, x - x0]).sum()) if pieces[y - y0, x - x0] else 1
    return 2 * (area / np.pi) ** 0.5, peak


def _spots(image: Float, nuclei: Sequence[_Nucleus], width: float) -> tuple[float, float, float, float]:
    """Visible spots a nucleus, and the medians of their FWHM in px, peak and contrast-to-noise (NaN without spots)."""
    sigma = max(0.8, _SPOT_SIGMA * width)
    answer = gaussian_filter(image, sigma) - gaussian_filter(image, 2.2 * sigma)
    lightly = gaussian_filter(image, 0.5)
    highest = answer == maximum_filter(answer, size=2 * int(1.5 * sigma) + 1)
    found = []
    for nucleus in nuclei:
        place = nucleus.rows, nucleus.columns
        inside = nucleus.radius < 0.92
        values = answer[place][inside]
        if len(values) < 20:
            continue
        middle, noise = float(np.median(values)), max(_spread(values), _LEAST_NOISE)
        rise = answer[place] - middle
        seen = inside & highest[place] & (rise > max(_LEAST_CONTRAST_TO_NOISE * noise, _LEAST_RISE))
        for y, x in zip(*np.nonzero(seen), strict=True):
            row, column = int(y) + nucleus.rows.start, int(x) + nucleus.columns.start
            found.append((*_full_width(lightly, row, column, int(3.5 * sigma) + 1), float(rise[y, x]) / noise))
    if not found:
        return 0.0, np.nan, np.nan, np.nan
    fwhm, peak, contrast = np.median(np.array(found), axis=0)
    return len(found) / len(nuclei), float(fwhm), float(peak), float(contrast)


def _correlation(a: NDArray[np.floating], b: NDArray[np.floating]) -> float:
    if a.std() < 1e-3 or b.std() < 1e-3:
        return 0.0
    return float(np.corrcoef(a, b)[0, 1])


def look_of(field: Field) -> dict[str, float]:
    """The measures of `MEASURES` on one image; NaN where there is nothing to measure.

    Each is the median over the nuclei that lie wholly inside. Raises ValueError without such nuclei.
    """
    height, width_px = field.pixels_rgb.shape[:2]
    boxes = [b for b in field.boxes if b[0] >= 0 and b[1] >= 0 and b[2] <= width_px and b[3] <= height]
    boxes = [b for b in boxes if min(b[2] - b[0], b[3] - b[1]) >= 12]
    if not boxes:
        raise ValueError(f"{field.name}: there is no whole nucleus to measure.")
    planes = [field.pixels_rgb[..., i].astype(np.float32) for i in range(3)]
    nuclei = [_Nucleus.of(b, (height, width_px)) for b in boxes]
    widths = np.array([((b[2] - b[0]) * (b[3] - b[1])) ** 0.5 for b in boxes])
    width = float(np.median(widths))
    free = np.ones((height, width_px), bool)
    for x0, y0, x1, y1 in field.boxes:
        free[max(int(y0) - 3, 0) : int(y1) + 4, max(int(x0) - 3, 0) : int(x1) + 4] = False
    # nuclei without a box lie there too: the darker part is background
    ground = [float(np.quantile(p[free], 0.2)) if free.any() else float(np.quantile(p, 0.02)) for p in planes]
    smooth = [gaussian_filter(p, max(0.7, 0.02 * width)) for p in planes]
    band = [s - gaussian_filter(p, 0.08 * width) for s, p in zip(smooth, planes, strict=True)]
    rows: dict[str, list[float]] = {}

    def add(key: str, value: float) -> None:
        rows.setdefault(key, []).append(value)

    rough = _noise_map(planes[1])
    for nucleus in nuclei:
        place, r = (nucleus.rows, nucleus.columns), nucleus.radius
        body, centre, rim = r < 0.75, r < 0.55, (r > 0.82) & (r < 0.96)
        level = [float(np.median(p[place][body])) - g for p, g in zip(planes, ground, strict=True)]
        add("dapi", level[2])
        add(
            "rim",
            float(smooth[2][place][rim].mean() - ground[2])
            / max(float(smooth[2][place][centre].mean()) - ground[2], 1),
        )
        add("texture_dapi", 100 * _spread(band[2][place][body]) / max(level[2], 1.0))
        for i, colour in ((0, "red"), (1, "green")):
            add(f"texture_{colour}", _spread(band[i][place][body]))
            add(f"crosstalk_{colour}", _correlation(smooth[i][place][r < 0.9], smooth[2][place][r < 0.9]))
            add(f"glow_{colour}", level[i])
        add("noise", _spread(rough[place][body]) / 6)
    look = {key: float(np.median(values)) for key, values in rows.items()}
    look["width"], look["width_spread"] = width, _quartile_range(widths)
    look["dapi_spread"] = _quartile_range(np.array(rows["dapi"]))
    for i, colour in ((0, "red"), (1, "green")):
        number, fwhm, peak, contrast = _spots(planes[i], nuclei, width)
        look[f"spots_{colour}"], look[f"fwhm_{colour}"] = number, 100 * fwhm / width
        look[f"peak_{colour}"], look[f"contrast_{colour}"] = peak, contrast
    for value, colour in zip(ground, ("red", "green", "blue"), strict=True):
        look[f"background_{colour}"] = value
    blockiness = measure_quality(field.pixels_rgb).get("blockiness")
    look["blockiness"] = float("nan") if blockiness is None else blockiness
    return look


def nuclei_by_stain(pixels_rgb: Pixels) -> list[Box]:
    """Boxes of single-looking nuclei by Otsu's threshold of the blue channel, for fields that nobody outlined."""
    blue = gaussian_filter(pixels_rgb[..., 2].astype(np.float32), 2)
    pieces, _ = label(blue > float(threshold_otsu(blue)))  # type: ignore[no-untyped-call]
    found: list[Box] = []
    for number, place in enumerate(find_objects(pieces), start=1):
        tall, wide = (s.stop - s.start for s in place)
        filled = float((pieces[place] == number).mean())
        if min(tall, wide) >= 25 and max(tall, wide) < 1.6 * min(tall, wide) and filled > 0.68:
            found.append((float(place[1].start), float(place[0].start), float(place[1].stop), float(place[0].stop)))
    return found


def real_fields(folder: Path) -> list[Field]:
    """The real fields that are present, none where the folder is not."""
    fields = []
    tissue = folder / "her2-fish-tissue"
    if (tissue / "boxes.json").exists():
        for name, boxes in sorted(json.loads((tissue / "boxes.json").read_text(encoding="utf-8")).items()):
            path = next(iter((tissue / "images").glob(Path(name).stem + ".*")))
            fields.append(
                Field(path.stem, read_region(path.read_bytes(), path.name).pixels_rgb, [tuple(b) for b in boxes])
            )
    sample = folder / "fishalyser-sample" / "SampleFISH.jpg"
    if sample.exists():
        pixels = read_region(sample.read_bytes(), sample.name).pixels_rgb
        fields.append(Field("SampleFISH", pixels, nuclei_by_stain(pixels)))
    return fields


def rendered_fields(draw: Callable[[tuple[int, ...], int], RenderedRegion], count: int) -> list[Field]:
    """Regions of one style, all groups alike, with the boxes of their truth."""
    fields = []
    for i in range(count):
        region = draw((_SEED, i), i % 5 + 1)
        fields.append(Field(f"{i}", region.pixels_rgb, [tuple(n["box"]) for n in region.truth["nuclei"]]))
    return fields


@dataclass(frozen=True, slots=True)
class Row:
    """One measure: 5 % and 95 % quantiles of each style, and the value of each real field."""

    measure: Measure
    ranges: Mapping[str, tuple[float, float]]
    real: Mapping[str, float]

    def outside(self, style: str, field: str) -> str:
        """Where a real field lies against a style's range: "", "below" or "above"."""
        low, high = self.ranges[style]
        value = self.real[field]
        return "below" if value < low else "above" if value > high else ""


def compare(styles: Mapping[str, Sequence[Mapping[str, float]]], real: Mapping[str, Mapping[str, float]]) -> list[Row]:
    """Ranges of the looks of each style beside the looks of real fields, one row a measure."""
    rows = []
    for m in MEASURES:
        ranges = {}
        for style, looks in styles.items():
            values = np.array([look[m.key] for look in looks])
            known = values[np.isfinite(values)]
            low, high = np.quantile(known, [0.05, 0.95]) if len(known) else (np.nan, np.nan)
            ranges[style] = float(low), float(high)
        rows.append(Row(m, ranges, {name: look[m.key] for name, look in real.items()}))
    return rows


def table(rows: Sequence[Row], counts: Mapping[str, int]) -> str:
    """The comparison as Markdown."""
    styles, real = list(rows[0].ranges), list(rows[0].real)
    lines = [
        "# How rendered and real regions look",
        "",
        "Made by `python -m benchmarks.looks`: the same measures on "
        + " and ".join(f"{n} regions of the {style} style" for style, n in counts.items())
        + ". Ranges hold 90 % of the regions; each region counts by the median of its nuclei. "
        + ("Values in bold lie outside the first style's range." if real else "No real fields were at hand."),
        "",
        "| Measure | " + " | ".join([f"{s} style, 5–95 %" for s in styles] + real) + " |",
        "|---|" + "---|" * (len(styles) + len(real)),
    ]
    for row in rows:
        d = row.measure.digits
        cells = [f"{low:.{d}f} – {high:.{d}f}" for low, high in row.ranges.values()]
        for name in real:
            where = row.outside(styles[0], name)
            value = f"{row.real[name]:.{d}f}" if np.isfinite(row.real[name]) else "–"
            cells.append(f"**{value}** {where}" if where else value)
        lines.append(f"| {row.measure.title} | " + " | ".join(cells) + " |")
    if real:
        lines += ["", "Outside the range:", ""]
        for style in styles:
            out = [f"{r.measure.title} ({n} {r.outside(style, n)})" for r in rows for n in real if r.outside(style, n)]
            lines.append(f"- {style} style: " + ("; ".join(out) or "nothing") + ".")
    return "\n".join(lines) + "\n"


def picture(styles: Mapping[str, Sequence[Mapping[str, float]]], real: Mapping[str, Mapping[str, float]]) -> bytes:
    """Distributions of every measure as PNG, real fields as lines."""
    across = 5
    down = -(-len(MEASURES) // across)
    figure = Figure(figsize=(15, 2.35 * down), layout="constrained")
    FigureCanvasAgg(figure)
    axes = figure.subplots(down, across).ravel()
    colours = ("#4477aa", "#ee8866")
    lines = ("-", "--", ":", "-.")
    for ax, m in zip(axes, MEASURES, strict=False):
        values = {s: np.array([k[m.key] for k in looks]) for s, looks in styles.items()}
        everything = np.concatenate([*values.values(), np.array([k[m.key] for k in real.values()])])
        everything = everything[np.isfinite(everything)]
        bins = np.linspace(everything.min(), everything.max() + 1e-6, 16)
        for colour, (style, numbers) in zip(colours, values.items(), strict=False):
            ax.hist(numbers[np.isfinite(numbers)], bins, density=True, alpha=0.55, color=colour, label=f"{style} style")
        for line, (name, look) in zip(lines, real.items(), strict=False):
            if np.isfinite(look[m.key]):
                ax.axvline(look[m.key], color="black", linestyle=line, linewidth=1.3, label=name)
        ax.set_title(textwrap.fill(m.title, 40), fontsize=8)
        ax.set_yticks([])
        ax.tick_params(labelsize=7)
    for ax in axes[len(MEASURES) :]:
        ax.set_axis_off()
    handles, labels = axes[0].get_legend_handles_labels()
    figure.legend(handles, labels, loc="outside lower center", ncols=5, fontsize=9)
    buffer = io.BytesIO()
    figure.savefig(buffer, format="png", dpi=80)
    return buffer.getvalue()


def contact_sheet(images: Sequence[Pixels], tile: tuple[int, int] = (480, 360), across: int = 3) -> bytes:
    """Images side by side, each cut to the shape of a tile, as JPEG."""
    sheet = Image.new("RGB", (across * tile[0], -(-len(images) // across) * tile[1]))
    for i, pixels in enumerate(images):
        image = Image.fromarray(pixels)
        scale = max(tile[0] / image.width, tile[1] / image.height)
        cut = tile[0] / scale, tile[1] / scale
        left, top = (image.width - cut[0]) / 2, (image.height - cut[1]) / 2
        small = image.resize(tile, Image.Resampling.LANCZOS, box=(left, top, left + cut[0], top + cut[1]))
        sheet.paste(small, (i % across * tile[0], i // across * tile[1]))
    buffer = io.BytesIO()
    sheet.save(buffer, "JPEG", quality=88)
    return buffer.getvalue()


def _say(text: str) -> None:
    print(text, file=sys.stderr, flush=True)


def main(arguments: Sequence[str] | None = None) -> int:
    """Run the comparison; returns the exit code."""
    parser = argparse.ArgumentParser(prog="python -m benchmarks.looks", description=__doc__)
    parser.add_argument("--count", type=int, default=60, help="regions drawn of each style")
    count: int = parser.parse_args(arguments).count
    if count < 5:
        parser.error("Draw at least 5 regions of each style.")
    styles, examples = {}, []
    for style, draw in (("first", render_region), ("second", render_region_second)):
        _say(f"Drawing {count} regions of the {style} style …")
        fields = rendered_fields(draw, count)
        write_atomically(IMAGES / f"rendered-{style}.jpg", contact_sheet([f.pixels_rgb for f in fields[:6]]))
        styles[style] = [look_of(f) for f in fields]
        examples += [f.pixels_rgb for f in fields[:3]]
    fields = real_fields(REAL)
    if not fields:
        _say(f"No real fields in {REAL}: only rendered ones are measured.")
    else:
        write_atomically(WORK / "side-by-side.jpg", contact_sheet(examples + [f.pixels_rgb for f in fields]))
    real = {f.name: look_of(f) for f in fields}
    rows = compare(styles, real)
    text = table(rows, {style: len(looks) for style, looks in styles.items()})
    write_atomically(RESULTS / "looks.md", text.encode())
    write_atomically(RESULTS / "looks.png", picture(styles, real))
    _say(text)
    return 0


if __name__ == "__main__":
    sys.exit(main())
