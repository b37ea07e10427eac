"""The classical peer: Otsu and watershed for nuclei, white top-hat and local maxima for signals (scikit-image).

The recipe of textbooks and of many published FISH counters. It measures the size of nuclei first, so that its few
settings are shares of the nucleus width and hold for every magnification.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray
from scipy import ndimage
from skimage.feature import peak_local_max
from skimage.filters import threshold_otsu
from skimage.measure import regionprops
from skimage.morphology import disk, white_tophat
from skimage.segmentation import watershed

from benchmarks.peers.common import Spots, counts_in_boxes, median_px, resized
from her2core.detection.metrics import ImageDetections
from her2core.records import Box
from her2core.training.readings import Pixels

__all__ = ["Classical", "ClassicalSettings", "find_nuclei", "find_spots", "nucleus_width_px"]

Plane = NDArray[np.float32]

_NUCLEUS_PX = 64.0  # nuclei are brought to this width where they are wider
_SIZING_PX = 400  # longest side of the image on which nuclei are sized
_AREA = (0.15, 2.5)  # of a round nucleus: what is smaller is debris, what is larger is a clump
_LEAST_STRENGTH = 3.0  # grey levels over the surroundings that a spot needs


@dataclass(frozen=True, slots=True)
class ClassicalSettings:
    """Lengths as shares of the nucleus width; pairs are (HER2, CEP17).

    smoothing: of DAPI before Otsu. separation: least distance of the middles of two nuclei. top_hat: radius of the
    largest thing that is a spot. threshold: strength of a spot, relative to Otsu's cut between weak and strong ones.
    """

    smoothing: float = 0.05
    separation: float = 0.4
    top_hat: tuple[float, float] = (0.08, 0.08)
    threshold: tuple[float, float] = (1.0, 1.0)


def _otsu(values: Plane | NDArray[np.float64]) -> float:
    """Otsu's cut; the value itself where all are alike."""
    return (
        float(threshold_otsu(values)) if values.size and values.min() < values.max() else float(values.max(initial=0))  # type: ignore[no-untyped-call]
    )


def nucleus_width_px(dapi: NDArray[np.uint8]) -> float | None:
    """Width of a typical nucleus of a DAPI channel uint8[H, W], from the depth of Otsu's mask; None without any."""
    scale = min(1.0, _SIZING_PX / max(dapi.shape))
    small = ndimage.gaussian_filter(resized(dapi, scale), 1.5)
    depth = ndimage.distance_transform_edt(small > _otsu(small))
    middles = peak_local_max(depth, min_distance=4, exclude_border=False)  # type: ignore[no-untyped-call]
    radii = depth[middles[:, 0], middles[:, 1]]
    radii = radii[radii >= 0.5 * np.quantile(radii, 0.9)] if len(radii) else radii
    # The depth is half the shorter axis of a nucleus; its box is about a seventh wider on average.
    return float(np.median(radii) * 2 * 1.15 / scale) if len(radii) else None


def find_nuclei(pixels_rgb: Pixels, settings: ClassicalSettings) -> ImageDetections:
    """Nuclei of a region uint8[H, W, 3] with their solidity as score."""
    dapi = pixels_rgb[..., 2]
    width = nucleus_width_px(dapi)
    if width is None:
        return ImageDetections(np.zeros((0, 4)), np.zeros(0))
    scale = min(1.0, _NUCLEUS_PX / width)
    width *= scale
    smooth = ndimage.gaussian_filter(resized(dapi, scale), settings.smoothing * width)
    mask = ndimage.binary_fill_holes(smooth > _otsu(smooth))
    depth = ndimage.gaussian_filter(ndimage.distance_transform_edt(mask), 0.03 * width)
    distance = max(1, round(settings.separation * width))
    middles = peak_local_max(depth, min_distance=distance, labels=mask.astype(np.int32), exclude_border=False)  # type: ignore[no-untyped-call]
    markers = np.zeros(mask.shape, np.int32)
    markers[middles[:, 0], middles[:, 1]] = np.arange(1, len(middles) + 1)
    usual = np.pi / 4 * width**2
    kept = [
        (part.bbox, part.solidity)
        for part in regionprops(watershed(-depth, markers, mask=mask))  # type: ignore[no-untyped-call]
        if _AREA[0] * usual <= part.area <= _AREA[1] * usual
    ]
    ratio = np.array([pixels_rgb.shape[1] / mask.shape[1], pixels_rgb.shape[0] / mask.shape[0]] * 2)
    boxes = np.array([(x0, y0, x1, y1) for (y0, x0, y1, x1), _ in kept], float).reshape(-1, 4) * ratio
    return ImageDetections(boxes, np.clip([score for _, score in kept], 0, 1))


def find_spots(plane: NDArray[np.uint8], nucleus_px: float, top_hat: float) -> Spots:
    """Candidate spots of a probe channel; strength relative to Otsu's cut of all candidates' strengths."""
    scale = min(1.0, _NUCLEUS_PX / nucleus_px)
    small = ndimage.gaussian_filter(resized(plane, scale), 0.7)
    radius = max(1, round(top_hat * nucleus_px * scale))
    hat = white_tophat(small, disk(radius))  # type: ignore[no-untyped-call]
    places = peak_local_max(hat, min_distance=1, threshold_abs=_LEAST_STRENGTH, exclude_border=False)  # type: ignore[no-untyped-call]
    strength = hat[places[:, 0], places[:, 1]].astype(np.float64)
    ratio = np.array([plane.shape[1] / small.shape[1], plane.shape[0] / small.shape[0]])
    xy = (places[:, ::-1] + 0.5) * ratio
    return Spots(xy, strength / max(_otsu(strength), 1e-6))


class Classical:
    """The peer: own boxes, own counts."""

    name = "classical"
    title = "Otsu, watershed, top-hat (scikit-image)"
    own_boxes = True

    def __init__(self, settings: ClassicalSettings) -> None:
        self.settings = settings

    @property
    def key(self) -> str:
        """Name and settings."""
        return f"{self.name} {self.settings}"

    def find(self, pixels_rgb: Pixels) -> ImageDetections:
        """Its nuclei."""
        return find_nuclei(pixels_rgb, self.settings)

    def counts(self, pixels_rgb: Pixels, boxes: Sequence[Box]) -> list[tuple[int, int]]:
        """(HER2, CEP17) of the nuclei in the boxes."""
        width = median_px(boxes)
        her2, cep17 = (
            counts_in_boxes(
                find_spots(pixels_rgb[..., i], width, self.settings.top_hat[i]).above(self.settings.threshold[i]), boxes
            )
            for i in (0, 1)
        )
        return list(zip(her2.tolist(), cep17.tolist(), strict=True))
