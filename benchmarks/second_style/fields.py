"""Gaussian random fields with a chosen spectrum, and patches of them."""

from __future__ import annotations

import numpy as np
from numpy.typing import NDArray
from scipy.fft import irfft2, next_fast_len, rfft2

__all__ = ["Float", "fractal_field", "patch_of"]

Float = NDArray[np.float32]


def fractal_field(
    shape: tuple[int, int], coarsest_px: float, finest_px: float, slope: float, rng: np.random.Generator
) -> Float:
    """Random field float32[shape] of unit deviation with power ~ 1/f**slope between two wavelengths.

    Below the frequency of `coarsest_px` the spectrum is flat, above that of `finest_px` it falls off.
    """
    rows, columns = (next_fast_len(int(n), real=True) for n in shape)
    white = rng.standard_normal((rows, columns), dtype=np.float32)
    fy = np.fft.fftfreq(rows).astype(np.float32)[:, None]
    fx = np.fft.rfftfreq(columns).astype(np.float32)[None, :]
    frequency2 = fy**2 + fx**2
    amplitude = (coarsest_px**-2 + frequency2) ** np.float32(-slope / 4) * np.exp(-frequency2 * (0.6 * finest_px) ** 2)
    amplitude[0, 0] = 0
    field = irfft2(rfft2(white) * amplitude, s=(rows, columns))[: shape[0], : shape[1]]
    return np.asarray(field / (field.std() + 1e-9), np.float32)


def patch_of(field: Float, shape: tuple[int, int], rng: np.random.Generator) -> Float:
    """A patch float32[shape] from a random place of a field, turned over at random: no two nuclei share a texture."""
    top = int(rng.integers(max(field.shape[0] - shape[0], 0) + 1))
    left = int(rng.integers(max(field.shape[1] - shape[1], 0) + 1))
    patch = field[top : top + shape[0], left : left + shape[1]]
    patch = patch[:: int(rng.choice([-1, 1])), :: int(rng.choice([-1, 1]))]
    short = [max(n - m, 0) for n, m in zip(shape, patch.shape, strict=True)]
    return np.pad(patch, ((0, short[0]), (0, short[1])), mode="reflect") if any(short) else patch
