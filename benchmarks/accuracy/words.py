"""How numbers and conditions are written in the table."""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from typing import Any

__all__ = [
    "CONDITIONS",
    "DASH",
    "OTHER_CONDITIONS",
    "error",
    "interval",
    "markdown",
    "number",
    "percent",
    "relative_spread",
    "share_of",
    "span",
]

DASH = "–"

# Conditions of the truth in the order and words of the table.
CONDITIONS = {
    "nucleus_px": "Nucleus width, px",
    "true nuclei to score": "Nuclei to score",
    "crowding": "Nuclei that touch another, share",
    "overlap": "Reach of overlaps, radii",
    "clustering": "Chance that a nucleus shows clusters",
    "share of clustered nuclei": "Nuclei with clusters, share",
    "her2_contrast": "HER2 signal, grey levels",
    "cep17_contrast": "CEP17 signal, grey levels",
    "her2_fwhm": "HER2 signal width, of the nucleus",
    "cep17_fwhm": "CEP17 signal width, of the nucleus",
    "faint": "Spots too faint to count, a nucleus",
    "noise": "Noise, grey levels",
    "blur": "Blur, px",
    "jpeg_quality": "JPEG quality (100: PNG)",
    "texture": "Texture of chromatin",
    "rim": "Bright rims",
    "haze": "Haze",
    "glow": "Glow from out of focus",
}

# Of parts.md beside those: what else the renderers draw.
OTHER_CONDITIONS = {
    "bleed": "Light of one probe in the other channel",
    "blend": "Overlap: 1 adds light up, more hides the lower",
    "blur_px": "Camera and compression widen signals by, px",
    "dapi": "DAPI, grey levels",
    "dapi_spread": "DAPI, spread between nuclei",
    "debris": "Shreds of DNA, an image",
    "edge": "Softness of outlines, of the nucleus width",
    "first_jpeg_quality": "JPEG quality when first saved, where saved twice",
    "fragments": "Fragments of nuclei, an image",
    "gamma": "Gamma",
    "ghosts": "Nuclei out of focus, not tumour, an image",
    "glow_reach": "Reach of the glow, of the nucleus width",
    "grain": "Bright grains of DAPI",
    "granules": "Grains in the probe channels, a nucleus",
    "height_px": "Image height, px",
    "irregular": "Irregularity of outlines",
    "lymphocytes": "Lymphocytes, an image",
    "missing": "Nuclei without one colour, share",
    "packing": "Density of packing",
    "soft": "Tumour nuclei out of focus, share",
    "specks": "Specks of dye, an image",
    "split": "Signals that are split pairs, share",
    "stroma": "Stroma nuclei, an image",
    "tumour_nuclei": "Tumour nuclei drawn",
    "vignette": "Darker corners",
    "width_px": "Image width, px",
}


def percent(value: float | None, digits: int = 1, *, sign: bool = False) -> str:
    """A share as a percentage."""
    return DASH if value is None else f"{100 * value:{'+' if sign else ''}.{digits}f} %"


def number(value: float | None, digits: int = 2) -> str:
    """A plain number."""
    return DASH if value is None else f"{value:.{digits}f}"


def interval(pair: Sequence[float]) -> str:
    """An interval of shares."""
    return f"{100 * pair[0]:.1f}–{100 * pair[1]:.1f} %"


def error(e: Mapping[str, Any]) -> str:
    """Mean absolute error / bias."""
    return DASH if e["mae"] is None or e["bias"] is None else f"{e['mae']:.2f} / {e['bias']:+.2f}"


def relative_spread(s: Mapping[str, Any]) -> str:
    """Mean and spread of relative errors."""
    return DASH if s["mean"] is None else f"{percent(s['mean'], sign=True)} ± {percent(s['sd'])}"


def share_of(part: Mapping[str, Any]) -> str:
    """Group accuracy of a part and its size."""
    return f"{percent(part['accuracy'], 0)} of {part['n']}"


def span(low: float | None, high: float | None, shown: Callable[[float], str]) -> str:
    """From where to where a part reaches; None: without end."""
    if low is None:
        return "all" if high is None else f"below {shown(high)}"
    return f"{shown(low)} and more" if high is None else f"{shown(low)} to {shown(high)}"


def markdown(header: Sequence[str], rows: Sequence[Sequence[str]]) -> list[str]:
    """The lines of a table, words to the left and numbers to the right."""
    lines = [header, ["---", *["--:"] * (len(header) - 1)], *rows]
    return ["| " + " | ".join(line) + " |" for line in lines]
