"""What one region of the second style is like, drawn at random."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np

__all__ = ["Settings", "draw_settings"]

_MOST_PIXELS = 1_250_000


def _log_uniform(low: float, high: float, rng: np.random.Generator) -> float:
    return float(np.exp(rng.uniform(np.log(low), np.log(high))))


@dataclass(frozen=True, slots=True)
class Settings:
    """Tissue, stain, optics and camera of a region. Light in grey levels of 0-255 before the tone curve."""

    nucleus_px: float
    width_px: int
    height_px: int
    architecture: str  # "sheet", "nests" or "imprint"
    tumour_nuclei: int
    lymphocytes: int
    stroma: int
    ghosts: int  # nuclei far out of focus
    red_cells: int
    debris: int
    specks: int  # loose dye between the nuclei
    packing: float  # distance of neighbours, shares of the sum of their radii; below 1 they press on one another
    layered: float  # share of nuclei in a second layer, over the first
    wobble: float  # displacement of outlines, share of the nucleus width
    lobes: float  # share of nuclei with two lobes or a dent
    size_spread: float
    clustering: float
    split: float
    faint: float  # spots a nucleus that nobody could count
    missing: float
    her2_fwhm_px: float
    cep17_fwhm_px: float
    her2_peak: float
    cep17_peak: float
    dapi: float
    dapi_spread: float
    section: float  # thickness of the section, share of a nucleus; a thin one flattens the dome
    chromatin: float
    chromatin_px: float
    foci: float
    rim: float
    nucleoli: float
    nuclear_glow: tuple[float, float]  # HER2 and CEP17 stain in nuclei, shares of the DAPI light
    cytoplasm: tuple[float, float, float]
    background: tuple[float, float, float]
    bleed: tuple[float, float, float, float]  # DAPI into HER2 and CEP17 filters, CEP17 into HER2, HER2 into CEP17
    scatter: float  # share of the light that leaves its place
    depth_px: float  # defocus of a nucleus half a section off the focal plane: radius of the disc
    planes: int  # focal planes that are projected
    illumination: float
    electrons: float  # a grey level is this many
    read_noise: float
    chromatic_px: tuple[float, float]
    sharpen: float
    gamma: float
    palette: tuple[tuple[float, float, float], tuple[float, float, float], tuple[float, float, float]]
    jpeg_quality: int  # 100: PNG


def _some(low: float, high: float, chance: float, rng: np.random.Generator) -> float:
    """A number between two, or 0."""
    return float(rng.uniform(low, high)) if rng.random() < chance else 0.0


def draw_settings(rng: np.random.Generator) -> Settings:
    """Draw the settings of one region: 25-60 tumour nuclei, 50-170 px wide."""
    nucleus = _log_uniform(52, 165, rng)
    architecture = str(rng.choice(["sheet", "nests", "imprint"], p=[0.35, 0.35, 0.3]))
    room = {"sheet": (1.15, 1.7), "nests": (1.5, 2.6), "imprint": (1.9, 3.2)}[architecture]
    area = rng.uniform(*room) * nucleus**2
    tumour = int(np.clip(rng.integers(27, 61), 27, max(27, _MOST_PIXELS / area)))
    height = (area * tumour / rng.choice([1.25, 1.333, 1.5])) ** 0.5
    width = area * tumour / height
    colour_camera = bool(rng.random() < 0.45)
    sharp_px = nucleus * rng.uniform(0.036, 0.065)
    dapi = _log_uniform(35, 190, rng)
    peak = _log_uniform(45, 170, rng)
    dim = (float(rng.uniform(0, 14)), float(rng.uniform(0, 12)), float(rng.uniform(0, 16)))
    return Settings(
        nucleus_px=nucleus,
        width_px=int(width),
        height_px=int(height),
        architecture=architecture,
        tumour_nuclei=tumour,
        lymphocytes=int(rng.poisson(rng.choice([1, 4, 9]))),
        stroma=int(rng.poisson(rng.choice([0, 2, 5]))),
        ghosts=int(rng.poisson(rng.choice([0, 1, 3]))),
        red_cells=int(rng.poisson(rng.choice([0, 0, 4]))),
        debris=int(rng.poisson(rng.choice([0, 2, 6]))),
        specks=int(rng.poisson(rng.choice([0, 4, 15]))),
        packing=float(rng.uniform(0.86, 1.12)),
        layered=float(rng.choice([0.0, 0.06, 0.2], p=[0.4, 0.35, 0.25])),
        wobble=float(rng.uniform(0.01, 0.055)),
        lobes=float(rng.choice([0.05, 0.2, 0.4])),
        size_spread=float(rng.uniform(0.06, 0.2)),
        clustering=float(rng.choice([0.0, 0.35, 0.85], p=[0.35, 0.3, 0.35])),
        split=float(rng.choice([0.0, 0.05, 0.12])),
        faint=float(rng.choice([0.0, 0.2, 0.6])),
        missing=float(rng.choice([0.0, 0.03, 0.12], p=[0.4, 0.4, 0.2])),
        her2_fwhm_px=max(2.1, sharp_px),
        cep17_fwhm_px=max(2.3, sharp_px * float(rng.uniform(1.0, 1.55))),
        her2_peak=peak * float(rng.uniform(0.8, 1.3)),
        cep17_peak=peak * float(rng.uniform(0.75, 1.4)),
        dapi=dapi,
        dapi_spread=float(rng.uniform(0.08, 0.3)),
        section=float(rng.uniform(0.25, 1.0)),
        chromatin=float(rng.uniform(0.08, 0.38)),
        chromatin_px=nucleus * float(rng.uniform(0.07, 0.2)),
        foci=_some(0.15, 0.7, 0.5, rng),
        rim=_some(0.3, 2.4, 0.55, rng),
        nucleoli=_some(0.2, 0.6, 0.6, rng),
        nuclear_glow=(_some(0.03, 0.45, 0.7, rng), _some(0.03, 0.35, 0.6, rng)),
        cytoplasm=(_some(2, 18, 0.5, rng), _some(2, 22, 0.5, rng), float(rng.uniform(0, 6))),
        background=dim,
        bleed=(
            float(rng.uniform(0, 0.3 if colour_camera else 0.06)),
            float(rng.uniform(0, 0.25 if colour_camera else 0.06)),
            float(rng.uniform(0, 0.06)),
            float(rng.uniform(0, 0.1)),
        ),
        scatter=float(rng.uniform(0.02, 0.35)),
        depth_px=nucleus * float(rng.uniform(0.005, 0.04)),
        planes=int(rng.choice([1, 1, 3, 5])),
        illumination=float(rng.uniform(0.0, 0.35)),
        electrons=_log_uniform(2.5, 60, rng),
        read_noise=float(rng.uniform(0.2, 2.0)),
        chromatic_px=(float(rng.normal(0, 0.5)), float(rng.normal(0, 0.5))),
        sharpen=_some(0.2, 0.9, 0.3, rng),
        gamma=float(rng.uniform(0.7, 1.2)),
        palette=(
            (1.0, float(rng.uniform(0, 0.22)), float(rng.uniform(0, 0.15))),
            (float(rng.uniform(0, 0.15)), 1.0, float(rng.uniform(0, 0.35))),
            (float(rng.uniform(0, 0.35)), float(rng.uniform(0, 0.35)), 1.0),
        ),
        jpeg_quality=100 if rng.random() < 0.3 else int(rng.integers(70, 97)),
    )
