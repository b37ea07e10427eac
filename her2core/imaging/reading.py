"""`read_region`: the bytes of a file to a verified region image."""

from __future__ import annotations

import hashlib
import io

import numpy as np
from PIL import Image

from her2core.errors import ImageSizeError, NotFluorescenceError, UnreadableImageError
from her2core.imaging.region import DEFAULT_LIMITS, ImageLimits, RegionImage

__all__ = ["read_region"]


def read_region(data: bytes, filename: str, limits: ImageLimits = DEFAULT_LIMITS) -> RegionImage:
    """The region image in `data`, the bytes of a JPEG, PNG or TIFF file called `filename`.

    Raises UnreadableImageError, ImageSizeError or NotFluorescenceError; the text says what to do.
    """
    try:
        image = Image.open(io.BytesIO(data), formats=["JPEG", "PNG", "TIFF"])
        width, height = image.size
        if width * height > limits.max_pixels or min(width, height) < limits.min_side_px:
            raise ImageSizeError("The image is too small or too large.")
        if image.mode != "RGB":
            raise NotFluorescenceError("The image is not an RGB colour image.")
        pixels = np.array(image)
    except (OSError, SyntaxError, ValueError, Image.DecompressionBombError) as error:
        raise UnreadableImageError("The file is not an image that can be read to the end. Export it again.") from error
    pixels.setflags(write=False)
    return RegionImage(pixels, None, image.format or "", 8, hashlib.sha256(data).hexdigest())
