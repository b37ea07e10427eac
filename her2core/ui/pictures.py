"""Pictures of stored regions, made once and kept for all sessions."""

from __future__ import annotations

import numpy as np
import streamlit as st

from her2core.records import Region
from her2core.ui.imagery import compose, data_url, thumbnail
from her2core.ui.services import Services, region_image

__all__ = ["picture_url"]


_LONGEST_SIDE_PX = 4096
"""What a browser is given of a larger image; boxes and signals keep the pixels of the original."""


def picture_url(rooms: Services, region: Region, channels: tuple[str, ...], gain: float) -> str:
    """A region as a data URL, with the chosen channels and brightness."""
    return _picture(region.image_sha256, channels, gain, rooms, region)


@st.cache_data(show_spinner=False, max_entries=24)
def _picture(sha256: str, channels: tuple[str, ...], gain: float, _rooms: Services, _region: Region) -> str:
    del sha256
    pixels = thumbnail(np.asarray(region_image(_rooms.log, _region).pixels_rgb), _LONGEST_SIDE_PX)
    return data_url(compose(pixels, channels, gain))
