"""Point spread of a fluorescence objective: an Airy pattern, widened by the disc of defocus."""

from __future__ import annotations

from functools import lru_cache

import numpy as np
from scipy.fft import fft2, ifft2
from scipy.signal import fftconvolve
from scipy.special import j1

from benchmarks.second_style.fields import Float

__all__ = ["blurred", "spot_profile", "spot_radius_px"]

_STEPS_PER_PX = 4
_AIRY_HALF = 3.2327  # argument of (2 J1(v)/v)**2 at half its peak, times two, per FWHM
_SIZES_PER_OCTAVE = 8  # sizes are rounded to these and blurs to fifths of them, so that few kernels are made


def _rounded(fwhm_px: float, disc_px: float) -> tuple[float, float]:
    fwhm = float(2 ** (round(np.log2(max(fwhm_px, 0.5)) * _SIZES_PER_OCTAVE) / _SIZES_PER_OCTAVE))
    return fwhm, round(disc_px / (0.2 * fwhm)) * 0.2 * fwhm


@lru_cache(maxsize=512)
def _kernel(fwhm: float, disc: float, half: int) -> Float:
    """Airy pattern of `fwhm` convolved with a disc of radius `disc`, float32[2 half + 1]**2, sum 1. One length unit."""
    axis = np.arange(-half, half + 1, dtype=np.float64)
    radius = np.hypot(axis[:, None], axis[None, :])
    v = np.maximum(_AIRY_HALF * radius / fwhm, 1e-6)
    airy = (2 * j1(v) / v) ** 2
    if disc > 0.3:
        aperture = np.clip(disc + 0.5 - radius, 0, 1)
        airy = np.fft.fftshift(np.abs(ifft2(fft2(airy) * fft2(aperture))))
    return np.asarray(airy / airy.sum(), np.float32)


def blurred(light: Float, fwhm_px: float, disc_px: float) -> Float:
    """A patch of light as the objective images it `disc_px` out of focus; its rim must be dark."""
    fwhm, disc = _rounded(fwhm_px, disc_px)
    kernel = _kernel(fwhm, disc, int(np.ceil(2 * fwhm + disc)) + 1)
    return np.asarray(np.maximum(fftconvolve(light, kernel, mode="same"), 0), np.float32)


def spot_radius_px(fwhm_px: float, disc_px: float) -> float:
    """Beyond this distance a spot has no light."""
    return 2.4 * fwhm_px + disc_px + 1


@lru_cache(maxsize=512)
def _profile(fwhm_px: float, disc_px: float) -> Float:
    scale = _STEPS_PER_PX
    half = int(np.ceil(scale * spot_radius_px(fwhm_px, disc_px))) + 2
    kernel = _kernel(fwhm_px * scale, disc_px * scale, half)
    sharp = _kernel(fwhm_px * scale, 0.0, half)
    row = kernel[half, half:] / sharp[half, half]
    fade = np.clip((len(row) - 1 - np.arange(len(row))) / (0.25 * len(row)), 0, 1)  # no visible border of the patch
    return np.asarray(row * fade, np.float32)


def spot_profile(distance_px: Float, fwhm_px: float, disc_px: float) -> Float:
    """Light of a point at `distance_px`, relative to the peak that it has in focus: defocus dims as it widens."""
    profile = _profile(*_rounded(fwhm_px, disc_px))
    steps = np.arange(len(profile)) / _STEPS_PER_PX
    return np.asarray(np.interp(distance_px, steps, profile, right=0.0), np.float32)
