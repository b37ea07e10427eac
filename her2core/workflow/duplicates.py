"""The same image twice in a case, with its channels in another order: equal pixels in files that differ."""

from __future__ import annotations

import hashlib

import numpy as np

from her2core.caselog import CaseLog
from her2core.imaging import ACCEPTED, PixelsRGB, RegionImage, read_region

__all__ = ["shown_already"]

_TIFF = (b"II", b"MM")


def shown_already(log: CaseLog, case_id: int, image: RegionImage, *, mapped: bool) -> bool:
    """Whether a region of the case shows the channels of `image`, in whatever order.

    Only where channels can have been mapped by hand is there anything to compare: `mapped` says so of the new image,
    and a stored one is then a TIFF file. Equal files are found by their digest before.
    """
    wanted = _channels(image.pixels_rgb)
    for region in log.regions(case_id):
        if (region.width_px, region.height_px) != (image.width_px, image.height_px):
            continue
        data = log.image_bytes(region)
        if (mapped or data[:2] in _TIFF) and _channels(
            read_region(data, region.filename, ACCEPTED).pixels_rgb
        ) == wanted:
            return True
    return False


def _channels(pixels_rgb: PixelsRGB) -> list[bytes]:
    """Digests of the three channels, in an order of their own."""
    return sorted(hashlib.sha256(np.ascontiguousarray(pixels_rgb[:, :, i]).tobytes()).digest() for i in range(3))
