"""Which labelled signals of a rendered region a reader could not see in the finished image.

findings.md: a renderer that labels what nobody can see teaches a counter to guess. What camera and compression do to
a signal is hard to foresee (a halved colour resolution can swallow red on bright blue): the finished image is measured,
without the light of other stains, or a weak CEP17 signal would pass for seen where a HER2 signal beside it shows in
green.
"""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np
from numpy.typing import NDArray
from scipy.ndimage import gaussian_filter, maximum_filter

from her2core.counting.context import region_context
from her2core.counting.crops import as_tensors, cut
from her2core.records import Box, Channel
from her2core.training.render.scene import Kind, Scene, SceneNucleus

__all__ = ["LEAST_CONTRAST_TO_NOISE", "unseen"]

# A signal answers a filter at its own scale this many times stronger than the nucleus around it fluctuates.
LEAST_CONTRAST_TO_NOISE = 4.0
_LEAST_NOISE_LEVELS = 0.6
_FEWEST_PIXELS = 20


def _noise(band: NDArray[np.float32], nucleus: SceneNucleus) -> float:
    """Fluctuation of a filtered channel inside a nucleus, from its darker half: signals are bright."""
    x0, y0, x1, y1 = nucleus.outline.box()
    inset_x, inset_y = (x1 - x0) / 6, (y1 - y0) / 6
    patch = band[max(int(y0 + inset_y), 0) : int(y1 - inset_y), max(int(x0 + inset_x), 0) : int(x1 - inset_x)]
    if patch.size < _FEWEST_PIXELS:
        return _LEAST_NOISE_LEVELS
    middle = float(np.median(patch))
    below = middle - patch[patch < middle]
    return max(1.4826 * float(np.median(below)) if below.size else 0.0, _LEAST_NOISE_LEVELS)


def _probes(pixels_rgb: NDArray[np.uint8], boxes: Sequence[Box]) -> NDArray[np.float32]:
    """HER2 and CEP17 without the light of other stains, float32[2, H, W], as the counter takes it out."""
    unmixing = region_context(*as_tensors(cut(pixels_rgb, boxes))).unmixing.numpy()
    return np.asarray(np.tensordot(unmixing, pixels_rgb.astype(np.float32), axes=(1, 2)), np.float32)


def unseen(pixels_rgb: NDArray[np.uint8], scene: Scene) -> list[set[int]]:
    """For each nucleus of `scene`, the indices of its signals that do not stand out in `pixels_rgb` uint8[H, W, 3].

    HER2 signals of clusters are not asked: they are counted by their light, not one by one.
    """
    c = scene.conditions
    hidden: list[set[int]] = [set() for _ in scene.nuclei]
    boxes = [n.outline.box() for n in scene.nuclei if n.kind is Kind.TUMOUR]
    probes = _probes(pixels_rgb, boxes)
    for plane, channel in enumerate((Channel.HER2, Channel.CEP17)):
        fwhm = c.her2_fwhm if channel is Channel.HER2 else c.cep17_fwhm
        sigma = float(np.hypot(max(fwhm * c.nucleus_px, 1.9) / 2.355, c.blur_px))
        image = probes[plane]
        band = gaussian_filter(image, sigma) - gaussian_filter(image, 3 * sigma)
        highest = maximum_filter(band, 3)
        for nucleus, missing in zip(scene.nuclei, hidden, strict=True):
            if channel is Channel.HER2 and nucleus.clustered:
                continue
            wanted = [i for i, s in enumerate(nucleus.signals) if s.channel is channel]
            least = LEAST_CONTRAST_TO_NOISE * _noise(band, nucleus) if wanted else 0.0
            for i in wanted:
                x, y = int(nucleus.signals[i].x), int(nucleus.signals[i].y)
                if 0 <= x < c.width_px and 0 <= y < c.height_px and highest[y, x] < least:
                    missing.add(i)
    return hidden
