"""Channels mapped by hand: what there is to choose from, and the file that then says itself which channel is which.

A stored image speaks for itself, since it is read again wherever it is analysed, shown, checked or exported. So a map
that a person chose is written into the file: as channel names where it is a stack, as a stack of named channels, coded
anew without loss, where it was one colour image.
"""

from __future__ import annotations

import zlib
from collections.abc import Sequence
from dataclasses import dataclass, replace
from typing import Final

import numpy as np
import numpy.typing as npt

from her2core.errors import NotFluorescenceError
from her2core.imaging.channels import map_by_name
from her2core.imaging.ome import ome_xml
from her2core.imaging.picture import RED_GREEN_BLUE, ChannelMap, Picture, SourceFile
from her2core.imaging.samples import hide_transparent, stretched
from her2core.imaging.tiff import TiffFile, parse_tiff
from her2core.imaging.tiff_tags import Tag, Values, write_tiff

__all__ = ["ChannelPreview", "as_stack", "exchanged", "names_tell", "preview", "with_names"]

COLOUR_IMAGE: Final = ("red", "green", "blue")
_PROBES: Final = ("HER2", "CEP17", "DAPI")
_DEFLATE: Final = 8
_BLACK_IS_ZERO: Final = 1


@dataclass(frozen=True, slots=True, eq=False)
class ChannelPreview:
    """One channel of a file for choosing: its name and its pixels, (h, w) uint8, made small and stretched from black
    to white."""

    name: str
    pixels: npt.NDArray[np.uint8]


def names_tell(names: Sequence[str]) -> bool:
    """Whether channels so named need nobody to say which probe each shows."""
    return tuple(names[:3]) == COLOUR_IMAGE or map_by_name(names)[0] is not None


def exchanged(names: Sequence[str]) -> ChannelMap | None:
    """The map for a probe kit with HER2 in green and CEP17 in red or orange; None where the channels are named by
    probe, so that the colours do not matter, or not named."""
    if tuple(names[:3]) == COLOUR_IMAGE:
        return ChannelMap(her2=1, cep17=0, dapi=2)
    found, by_dye = map_by_name(names)
    return ChannelMap(her2=found.cep17, cep17=found.her2, dapi=found.dapi) if found is not None and by_dye else None


def with_names(source: SourceFile, channels: ChannelMap) -> bytes:
    """The file without metadata, saying by itself what `channels` says. Raises NotFluorescenceError for a map that
    names a channel twice or one that is not there."""
    count = len(source.channel_names)
    if len(set(channels.rgb)) != len(_PROBES) or not all(0 <= channel < count for channel in channels.rgb):
        raise NotFluorescenceError("Choose three different channels of the file, one for each of HER2, CEP17 and DAPI.")
    if source.channel_names == COLOUR_IMAGE and channels == RED_GREEN_BLUE:
        return source.stripped()
    if isinstance(source, TiffFile) and not source.is_rgb:
        names = [f"channel {number + 1}" for number in range(count)]
        for channel, probe in zip(channels.rgb, _PROBES, strict=True):
            names[channel] = probe
        return replace(source, channel_names=tuple(names)).stripped()
    return as_stack(source.decode(channels))


def preview(source: SourceFile, side_px: int) -> tuple[ChannelPreview, ...]:
    """Each channel of a file, at most about `side_px` on its longer side; signals stay visible, since each pixel is
    the brightest of those it stands for. Raises as `SourceFile.decode` does."""
    found = []
    step = max(1, -(-max(source.width_px, source.height_px) // side_px))
    for number, name in enumerate(source.channel_names):
        plane = source.decode(ChannelMap(number, number, number)).samples[:, :, 0]
        height, width = (size // step * step for size in plane.shape)
        blocks = plane[:height, :width].reshape(height // step, step, width // step, step)
        found.append(ChannelPreview(name, stretched(blocks.max(axis=(1, 3)))))
    return tuple(found)


def as_stack(picture: Picture) -> bytes:
    """A TIFF of three named channels of the samples of a picture."""
    samples = picture.samples
    if picture.alpha is not None:
        samples, _ = hide_transparent(samples, picture.alpha)
    height, width, _ = samples.shape
    bits = 8 * samples.dtype.itemsize
    pages = []
    for number in range(len(_PROBES)):
        tags: dict[int, Values] = {
            Tag.WIDTH: (width,),
            Tag.HEIGHT: (height,),
            Tag.BITS: (bits,),
            Tag.COMPRESSION: (_DEFLATE,),
            Tag.PHOTOMETRIC: (_BLACK_IS_ZERO,),
            Tag.SAMPLES: (1,),
            Tag.ROWS_PER_STRIP: (height,),
        }
        if number == 0:
            tags[Tag.ORIENTATION] = (picture.orientation,)
            tags[Tag.DESCRIPTION] = ome_xml(_PROBES, width, height, bits, picture.um_per_px, rgb=False)
        plane = np.ascontiguousarray(samples[:, :, number], dtype=f"<u{samples.dtype.itemsize}")
        pages.append((tags, [zlib.compress(plane.tobytes(), level=6)]))
    return parse_tiff(write_tiff("<", pages)).stripped()  # as any stored file, so that stripping again changes nothing
