"""From light to the file a camera saves: bleed of filters, uneven light, photons, tone, 8 bit, compression."""

from __future__ import annotations

import io
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray
from PIL import Image
from scipy.ndimage import gaussian_filter

from benchmarks.second_style.fields import Float
from benchmarks.second_style.psf import spot_profile, spot_radius_px
from benchmarks.second_style.settings import Settings
from benchmarks.second_style.signals import PaintedSpot

__all__ = ["Camera", "SignalLight", "decoded", "encoded"]

_MOST_GLOW = 105.0  # grey levels of red and green in nuclei; more would leave no room for signals
_EXACT_BELOW = 20.0  # electrons; above, a Poisson count is as good as normal


@dataclass(frozen=True, slots=True)
class _UnitSpot:
    """Light of a spot of peak 1 and where it falls in the image."""

    rows: slice
    columns: slice
    light: Float


def _unit_spot(spot: PaintedSpot, s: Settings) -> _UnitSpot | None:
    """A spot as it would be seen at peak 1; None where it lies outside the image."""
    reach = spot_radius_px(spot.fwhm_px, spot.disc_px) + 0.8 * spot.fwhm_px
    x0, x1 = max(int(spot.x - reach), 0), min(int(spot.x + reach) + 2, s.width_px)
    y0, y1 = max(int(spot.y - reach), 0), min(int(spot.y + reach) + 2, s.height_px)
    if x0 >= x1 or y0 >= y1:
        return None
    xs, ys = np.arange(x0, x1, dtype=np.float32), np.arange(y0, y1, dtype=np.float32)[:, None]
    ex, ey = (spot.emitters[:, axis, None, None].astype(np.float32) for axis in (0, 1))
    distance = np.hypot(xs - ex, ys - ey).astype(np.float32)  # (emitters, rows, columns)
    light = spot_profile(distance, spot.fwhm_px, spot.disc_px).mean(axis=0)
    return _UnitSpot(slice(y0, y1), slice(x0, x1), np.asarray(light, np.float32))


class SignalLight:
    """Light of a region's signals. Shapes are computed once, so that changing a peak is cheap."""

    def __init__(self, spots: list[PaintedSpot], s: Settings) -> None:
        self.shape = (2, s.height_px, s.width_px)
        self.spots = [(spot, _unit_spot(spot, s)) for spot in spots]

    def planes(self) -> Float:
        """HER2 and CEP17 float32[2, H, W] in grey levels, with the spots' present peaks."""
        planes = np.zeros(self.shape, np.float32)
        for spot, unit in self.spots:
            if unit is not None and not spot.removed:
                planes[spot.channel, unit.rows, unit.columns] += np.float32(spot.peak) * unit.light
        return planes


def _counted(expected: Float, rng: np.random.Generator) -> Float:
    """Photo-electrons float32[...] where `expected` are expected."""
    counts = expected + np.sqrt(expected) * rng.standard_normal(expected.shape, dtype=np.float32)
    few = expected < _EXACT_BELOW
    counts[few] = rng.poisson(expected[few])
    return np.asarray(counts, np.float32)


def _illumination(s: Settings, rng: np.random.Generator) -> Float:
    """Relative lamp light of the three filters float32[3, H, W], at most 1; its middle is not that of the image."""
    fields = []
    for _ in range(3):
        x0, y0 = rng.normal(0, 0.35, 2)
        xs = np.linspace(-1, 1, s.width_px, dtype=np.float32)[None, :] - x0
        ys = np.linspace(-1, 1, s.height_px, dtype=np.float32)[:, None] - y0
        fields.append(1 - s.illumination * (1 - np.exp(-(xs**2 + ys**2) * rng.uniform(0.4, 0.9))))
    return np.asarray(fields, np.float32)


class Camera:
    """One exposure of a region. Photons of the stain are drawn once: brighter signals change nothing else."""

    def __init__(self, s: Settings, stain: Float, rng: np.random.Generator) -> None:
        self.s = s
        dapi_her2, dapi_cep17, cep17_her2, her2_cep17 = s.bleed
        mixing = np.array([[1, cep17_her2, dapi_her2], [her2_cep17, 1, dapi_cep17], [0, 0.05, 1]], np.float32)
        self.signal_mixing = mixing[:, :2]
        self.illumination = _illumination(s, rng)
        seen = np.tensordot(mixing, stain, axes=(1, 0)).astype(np.float32)
        for channel in (0, 1):
            bright = float(np.quantile(seen[channel, ::4, ::4], 0.995))
            seen[channel] *= min(1.0, _MOST_GLOW / max(bright, 1.0))
        seen = seen * self.illumination + np.array(s.background, np.float32)[:, None, None]
        light = _counted(seen * np.float32(s.electrons), rng) / np.float32(s.electrons)
        self.light = light + np.float32(s.read_noise) * rng.standard_normal(seen.shape, dtype=np.float32)
        if s.sharpen:
            self.light = self._sharpened(self.light)
        self.without_signals = self._developed(self.light)
        self.signal_seed = int(rng.integers(2**31))

    def _sharpened(self, light: Float) -> Float:
        soft = gaussian_filter(light, (0, 1.2, 1.2), truncate=3)
        return np.asarray(light + np.float32(self.s.sharpen) * (light - soft), np.float32)

    def _developed(self, light: Float) -> NDArray[np.uint8]:
        """Filters' light float32[3, ...] in display colours, through the tone curve, uint8[..., 3]."""
        rgb = np.tensordot(np.array(self.s.palette, np.float32).T, light, axes=(1, 0))
        toned = 255 * (np.clip(rgb, 0, 255) / 255) ** np.float32(self.s.gamma)
        return np.ascontiguousarray(np.moveaxis(np.asarray(toned + 0.5, np.uint8), 0, -1))

    def expose(self, signals: Float) -> NDArray[np.uint8]:
        """RGB uint8[H, W, 3] with the light of signals float32[2, H, W] over the stain."""
        s = self.s
        rng = np.random.default_rng(self.signal_seed)
        rows, columns = np.nonzero(signals.max(axis=0) > 0.02)
        extra = (self.signal_mixing @ signals[:, rows, columns]) * self.illumination[:, rows, columns]
        extra = _counted((extra * s.electrons).astype(np.float32), rng) / np.float32(s.electrons)
        if s.sharpen:
            added = np.zeros_like(self.light)
            added[:, rows, columns] = extra
            return self._developed(self.light + self._sharpened(added))
        picture = self.without_signals.copy()
        picture[rows, columns] = self._developed(self.light[:, rows, columns] + extra)
        return picture


def encoded(pixels_rgb: NDArray[np.uint8], quality: int) -> tuple[bytes, str]:
    """The file and its suffix: PNG at quality 100, else JPEG, with full colour resolution only at high quality."""
    buffer = io.BytesIO()
    image = Image.fromarray(pixels_rgb)
    if quality >= 100:
        image.save(buffer, "PNG", compress_level=1)
        return buffer.getvalue(), ".png"
    image.save(buffer, "JPEG", quality=quality, subsampling="4:4:4" if quality >= 88 else "4:2:0")
    return buffer.getvalue(), ".jpg"


def decoded(data: bytes) -> NDArray[np.uint8]:
    """Pixels RGB uint8[H, W, 3] of a file."""
    return np.asarray(Image.open(io.BytesIO(data)).convert("RGB"))
