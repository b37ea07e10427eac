"""The pixels that the editor shows: encoded once for all sessions, sent once a page."""

from __future__ import annotations

import io

import numpy as np
import streamlit as st
from PIL import Image

from her2core.imaging import PixelsRGB
from her2core.records import Region
from her2core.ui.imagery import thumbnail
from her2core.ui.services import Services, region_image

__all__ = ["LONGEST_SIDE_PX", "encode", "encoded_picture"]

LONGEST_SIDE_PX = 4096
"""What a browser is given of a larger image; boxes and signals keep the pixels of the original."""

_QUALITY = 93  # with full colour resolution: a signal is a few pixels of one colour


def encode(pixels_rgb: PixelsRGB, sha256: str) -> bytes:
    """uint8 (H, W, 3) as the editor takes it: the 64 characters of the region's hash, then JPEG."""
    buffer = io.BytesIO()
    picture = Image.fromarray(thumbnail(np.asarray(pixels_rgb), LONGEST_SIDE_PX))
    picture.save(buffer, "JPEG", quality=_QUALITY, subsampling=0)
    return sha256.encode("ascii") + buffer.getvalue()


def encoded_picture(rooms: Services, region: Region) -> bytes:
    """A stored region, encoded; kept for all sessions."""
    return _encoded(region.image_sha256, rooms, region)


@st.cache_resource(show_spinner=False, max_entries=48)
def _encoded(sha256: str, _rooms: Services, _region: Region) -> bytes:
    return encode(region_image(_rooms.log, _region).pixels_rgb, sha256)
