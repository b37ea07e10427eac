"""Light of the tissue without its signals: nuclei seen through their thickness, cytoplasm, debris, red cells."""

from __future__ import annotations

import numpy as np
from scipy.ndimage import gaussian_filter, zoom

from benchmarks.second_style.fields import Float, fractal_field, patch_of
from benchmarks.second_style.psf import blurred
from benchmarks.second_style.settings import Settings
from benchmarks.second_style.tissue import Cell, CellKind

__all__ = ["stain_light"]

HER2, CEP17, DAPI = 0, 1, 2


class _Canvas:
    """Planes of light float32[3, H, W] (HER2, CEP17, DAPI)."""

    def __init__(self, s: Settings) -> None:
        self.planes = np.zeros((3, s.height_px, s.width_px), np.float32)

    def add(self, plane: int, left: int, top: int, patch: Float) -> None:
        """Add a patch of light; what lies outside the image is lost."""
        height, width = self.planes.shape[1:]
        x0, y0 = max(left, 0), max(top, 0)
        x1, y1 = min(left + patch.shape[1], width), min(top + patch.shape[0], height)
        if x0 < x1 and y0 < y1:
            self.planes[plane, y0:y1, x0:x1] += patch[y0 - top : y1 - top, x0 - left : x1 - left]


class _Chromatin:
    """Random fields that the chromatin of a region is cut from."""

    def __init__(self, s: Settings, rng: np.random.Generator) -> None:
        side = int(5 * s.nucleus_px)
        fine = max(1.6, 0.02 * s.nucleus_px)
        self.web = fractal_field((side, side), s.chromatin_px, fine, 3.2, rng)
        self.grains = fractal_field((side, side), 0.09 * s.nucleus_px, max(2.0, 0.04 * s.nucleus_px), 1.5, rng)
        self.voids = fractal_field((side, side), 0.28 * s.nucleus_px, 0.1 * s.nucleus_px, 4.0, rng)

    def density(self, cell: Cell, s: Settings, rng: np.random.Generator) -> Float:
        """DNA per volume float32[h, w]; about 1."""
        shape = (cell.mask.shape[0], cell.mask.shape[1])
        tight = 1.6 if cell.kind is CellKind.LYMPHOCYTE else 1.0
        web = patch_of(self.web, shape, rng)
        density = 1 + tight * s.chromatin * np.tanh(1.3 * (web - rng.normal(0, 0.3)))
        if s.foci or cell.kind is CellKind.LYMPHOCYTE:
            above = np.maximum(patch_of(self.grains, shape, rng) - 1.55, 0)
            density += max(s.foci, 0.3 * (tight > 1)) * above
        if s.nucleoli:
            density *= 1 - s.nucleoli / (1 + np.exp(6 * (patch_of(self.voids, shape, rng) + 1.5)))
        if s.rim:
            at_rim = np.exp(-cell.depth_px / (0.06 * s.nucleus_px))
            density += s.rim * rng.uniform(0.6, 1.4) * at_rim * (0.75 + 0.35 * np.tanh(web))
        return np.asarray(np.maximum(density, 0.1), np.float32)


def _thickness(cell: Cell, section: float) -> Float:
    """Path of light through a nucleus float32[h, w], 1 in its middle: a spheroid that the section cuts flat."""
    deepest = max(float(cell.depth_px.max()), 1.0)
    dome = np.sqrt(np.clip(1 - (1 - cell.depth_px / deepest) ** 2, 0, 1))
    return np.asarray(np.minimum(dome, section) / section * cell.mask, np.float32)


def _nuclei(canvas: _Canvas, cells: list[Cell], s: Settings, rng: np.random.Generator) -> None:
    chromatin = _Chromatin(s, rng)
    brightness = {CellKind.LYMPHOCYTE: (1.05, 1.6), CellKind.STROMA: (0.7, 1.3), CellKind.GHOST: (0.15, 0.4)}
    for cell in cells:
        level = s.dapi * float(np.clip(rng.lognormal(0, s.dapi_spread), 0.4, 2.0))
        level *= float(rng.uniform(*brightness.get(cell.kind, (1.0, 1.0))))
        path = _thickness(cell, s.section)
        stain = level * path * chromatin.density(cell, s, rng)
        pad = int(cell.defocus_px + 3 * s.her2_fwhm_px) + 2
        focus = (s.her2_fwhm_px * 0.8, cell.defocus_px)
        canvas.add(DAPI, cell.left - pad, cell.top - pad, blurred(np.pad(stain, pad), *focus))
        for plane, share in enumerate(s.nuclear_glow):
            if share:
                glow = share * rng.uniform(0.6, 1.4) * (0.8 * level * path + 0.2 * stain)
                canvas.add(plane, cell.left - pad, cell.top - pad, blurred(np.pad(glow, pad), *focus))


def _cytoplasm(canvas: _Canvas, cells: list[Cell], s: Settings, rng: np.random.Generator) -> None:
    """Autofluorescence around the nuclei, streaked as by fibres, on a coarse grid."""
    if not any(s.cytoplasm):
        return
    step = 4
    height, width = canvas.planes.shape[1:]
    near = np.zeros((height // step + 1, width // step + 1), np.float32)
    for cell in cells:
        x, y = cell.left + cell.mask.shape[1] / 2, cell.top + cell.mask.shape[0] / 2
        row, column = (int(np.clip(v / step, 0, n - 1)) for v, n in zip((y, x), near.shape, strict=True))
        near[row, column] += 1
    near = gaussian_filter(near, 0.75 * s.nucleus_px / step)
    near /= max(float(near.max()), 1e-6)
    streaks = fractal_field(near.shape, 0.5 * s.nucleus_px / step, 1.5, 2.2, rng)
    veil = near * np.clip(1 + 0.5 * streaks, 0, None)
    smooth = zoom(veil, step, order=1)[:height, :width]
    for plane, level in enumerate(s.cytoplasm):
        canvas.planes[plane] += np.float32(level) * smooth


def _odd_things(canvas: _Canvas, cells: list[Cell], s: Settings, rng: np.random.Generator) -> None:
    """Shreds of nuclei, red blood cells and loose dye; dye never lies in a nucleus, where it would be a signal."""
    occupied = np.zeros((s.height_px, s.width_px), bool)
    for cell in cells:
        x0, y0, x1, y1 = cell.box(s.width_px, s.height_px)
        occupied[y0:y1, x0:x1] |= cell.mask[y0 - cell.top : y1 - cell.top, x0 - cell.left : x1 - cell.left]
    for _ in range(s.debris):
        side = int(s.nucleus_px * rng.uniform(0.35, 0.8))
        grid = np.hypot(*np.meshgrid(np.linspace(-1, 1, side), np.linspace(-1, 1, side)))
        shape = fractal_field((side, side), 0.5 * side, 2.0, 3.0, rng) - 3.2 * grid + 0.9
        shred = blurred(np.pad(np.clip(shape, 0, 0.8).astype(np.float32), 8), 2.5, rng.uniform(0, 3))
        left, top = int(rng.uniform(0, s.width_px)), int(rng.uniform(0, s.height_px))
        for plane, tone in enumerate(rng.dirichlet([0.4, 0.4, 1.6])):
            canvas.add(plane, left, top, (s.dapi * tone * rng.uniform(0.5, 1.2) * shred).astype(np.float32))
    for _ in range(s.red_cells):  # discs with a pale middle, glowing in green and orange
        radius = s.nucleus_px * rng.uniform(0.3, 0.42)
        half = int(radius) + 8
        axis = np.arange(-half, half + 1)
        distance = np.hypot(axis[:, None], axis[None, :] * rng.uniform(1.0, 1.4)) / radius
        disc = np.where(distance < 1, 0.35 + 0.65 * distance**2, 0).astype(np.float32)
        disc = blurred(np.pad(disc, 6), 2.5, rng.uniform(1, 4))
        left, top = int(rng.uniform(-half, s.width_px)), int(rng.uniform(-half, s.height_px))
        canvas.add(HER2, left, top, np.float32(rng.uniform(4, 22)) * disc)
        canvas.add(CEP17, left, top, np.float32(rng.uniform(6, 26)) * disc)
    for _ in range(s.specks):
        x, y = int(rng.integers(s.width_px)), int(rng.integers(s.height_px))
        dot = np.zeros((25, 25), np.float32)
        dot[12, 12] = rng.uniform(20, 90) * s.her2_fwhm_px**2
        patch = occupied[max(y - 6, 0) : y + 7, max(x - 6, 0) : x + 7]
        if not patch.any():
            canvas.add(int(rng.integers(2)), x - 12, y - 12, blurred(dot, s.her2_fwhm_px, rng.uniform(0, 1.5)))


def _scattered(planes: Float, s: Settings) -> Float:
    """Light that optics and tissue spread widely, on a coarse grid: two reaches stand for its long tail."""
    step = max(2, int(s.nucleus_px / 12))
    height, width = planes.shape[1:]
    for plane in planes:
        rows, columns = -(-height // step), -(-width // step)
        padded = np.pad(plane, ((0, rows * step - height), (0, columns * step - width)), mode="edge")
        coarse = padded.reshape(rows, step, columns, step).mean(axis=(1, 3))
        wide = 0.6 * gaussian_filter(coarse, 0.35 * s.nucleus_px / step)
        wide += 0.4 * gaussian_filter(coarse, 1.6 * s.nucleus_px / step)
        spread = zoom(wide, step, order=1, grid_mode=True, mode="nearest")[:height, :width]
        plane *= np.float32(1 - s.scatter)
        plane += np.float32(s.scatter) * spread
    return planes


def stain_light(cells: list[Cell], s: Settings, rng: np.random.Generator) -> Float:
    """Light of everything but the signals, float32[3, H, W] (HER2, CEP17, DAPI), in grey levels."""
    canvas = _Canvas(s)
    _nuclei(canvas, cells, s, rng)
    _cytoplasm(canvas, cells, s, rng)
    _odd_things(canvas, cells, s, rng)
    return _scattered(canvas.planes, s)
