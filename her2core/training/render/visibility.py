"""Which labelled signals of a rendered region a reader could not see in the finished image.

findings.md: a renderer that labels what nobody can see teaches a counter to guess. What camera and compression do to
a signal is hard to foresee (a halved colour resolution can swallow red on bright blue): the finished image is measured,
without the light of other stains, or a weak CEP17 signal would pass for seen where a HER2 signal beside it shows in
green. What a signal has to stand out from is measured on the same region painted without its signals: beside them,
where a nucleus is full of them, nothing is left to tell how its background fluctuates.
"""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np
from numpy.typing import NDArray
from scipy.ndimage import gaussian_filter, maximum_filter

from her2core.counting.context import region_context
from her2core.counting.crops import CropSize, as_tensors, cut
from her2core.records import Box, Channel
from her2core.training.render.scene import Kind, Scene, SceneNucleus

__all__ = ["LEAST_CONTRAST_TO_NOISE", "LEAST_OVER_GRAINS", "unseen"]

# A signal answers a filter at its own scale this many times stronger than the nucleus around it fluctuates …
LEAST_CONTRAST_TO_NOISE = 4.0
# … and than the strongest grain of the nucleus that is no signal: else nobody could tell the two apart.
LEAST_OVER_GRAINS = 1.2
_LEAST_NOISE_LEVELS = 0.6
_FEWEST_PIXELS = 20
_CROPS = CropSize(80, 64)  # whatever the counter has, so that a seed renders the same regions
_WITHIN = 0.9  # of the outline's radii: where signals lie


def _least(band: NDArray[np.float32], nucleus: SceneNucleus) -> float:
    """The least answer of a visible signal, from the filtered channel of the region without signals."""
    height, width = band.shape
    x0, y0, x1, y1 = (int(side) for side in nucleus.outline.box())
    x0, y0, x1, y1 = max(x0, 0), max(y0, 0), min(x1 + 1, width), min(y1 + 1, height)
    values = np.zeros(0, np.float32)
    if x1 > x0 and y1 > y0:
        xs, ys = np.arange(x0, x1, dtype=np.float32)[None, :], np.arange(y0, y1, dtype=np.float32)[:, None]
        values = band[y0:y1, x0:x1][nucleus.outline.depth(xs, ys) < _WITHIN]
    if values.size < _FEWEST_PIXELS:
        return LEAST_CONTRAST_TO_NOISE * _LEAST_NOISE_LEVELS
    noise = max(1.4826 * float(np.median(np.abs(values - np.median(values)))), _LEAST_NOISE_LEVELS)
    return max(LEAST_CONTRAST_TO_NOISE * noise, LEAST_OVER_GRAINS * float(values.max()))


def _unmixing(pixels_rgb: NDArray[np.uint8], boxes: Sequence[Box]) -> NDArray[np.float32]:
    """What takes the light of other stains out of HER2 and CEP17, float32[2, 3], as the counter finds it."""
    return np.asarray(region_context(*as_tensors(cut(pixels_rgb, boxes, _CROPS))).unmixing.numpy(), np.float32)


def unseen(pixels_rgb: NDArray[np.uint8], blank_rgb: NDArray[np.uint8], scene: Scene) -> list[set[int]]:
    """For each nucleus of `scene`, the indices of its signals that do not stand out in `pixels_rgb` uint8[H, W, 3].

    `blank_rgb`: the same region, painted without its signals. HER2 signals of clusters are not asked: they are counted
    by their light, not one by one.
    """
    c = scene.conditions
    hidden: list[set[int]] = [set() for _ in scene.nuclei]
    boxes = [n.outline.box() for n in scene.nuclei if n.kind is Kind.TUMOUR]
    unmixing = _unmixing(pixels_rgb, boxes)
    for row, channel in zip(unmixing, (Channel.HER2, Channel.CEP17), strict=True):
        fwhm = c.her2_fwhm if channel is Channel.HER2 else c.cep17_fwhm
        sigma = float(np.hypot(max(fwhm * c.nucleus_px, 1.9) / 2.355, c.blur_px))
        with_signals, blank = (
            gaussian_filter(probe, sigma) - gaussian_filter(probe, 3 * sigma)
            for probe in (image.astype(np.float32) @ row for image in (pixels_rgb, blank_rgb))
        )
        highest = maximum_filter(with_signals, 3)
        for nucleus, missing in zip(scene.nuclei, hidden, strict=True):
            if channel is Channel.HER2 and nucleus.clustered:
                continue
            wanted = [i for i, s in enumerate(nucleus.signals) if s.channel is channel]
            least = _least(blank, nucleus) if wanted else 0.0
            for i in wanted:
                x, y = int(nucleus.signals[i].x), int(nucleus.signals[i].y)
                if 0 <= x < c.width_px and 0 <= y < c.height_px and highest[y, x] < least:
                    missing.add(i)
    return hidden
