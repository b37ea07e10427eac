"""What a format room hands over after decoding, and the guard around the decoder."""

from __future__ import annotations

import io
from dataclasses import dataclass
from typing import Any, Final, Protocol

import numpy as np
import numpy.typing as npt
from PIL import ImageFile

from her2core.errors import UnreadableImageError

__all__ = [
    "EXPORT_AGAIN",
    "RED_GREEN_BLUE",
    "ChannelMap",
    "Picture",
    "Samples",
    "SourceFile",
    "decode_with",
    "take_channels",
    "truncated",
    "trusted_um_per_px",
]

Samples = npt.NDArray[np.unsignedinteger[Any]]

EXPORT_AGAIN: Final = "Export the region again from the microscope software"

# A camera pixel of a FISH microscope (20x to 100x, binned or not) covers about 0.05 to 0.7 µm. What lies outside this
# wider range is a printer's or a screen's resolution (72, 96, 300 dpi) that some program wrote for want of a better.
_FINEST_UM_PER_PX: Final = 0.01
_COARSEST_UM_PER_PX: Final = 2.0
_ASPECT_TOLERANCE: Final = 0.01


@dataclass(frozen=True, slots=True)
class ChannelMap:
    """Which channel of the file, counted from 0, shows which probe."""

    her2: int
    cep17: int
    dapi: int

    @property
    def rgb(self) -> tuple[int, int, int]:
        """The channels in the order red, green, blue of a region image."""
        return (self.her2, self.cep17, self.dapi)


RED_GREEN_BLUE: Final = ChannelMap(her2=0, cep17=1, dapi=2)


@dataclass(frozen=True, slots=True, eq=False)
class Picture:
    """Samples as the file has them: (H, W, 3) uint8 or uint16 in the order HER2, CEP17, DAPI.

    `alpha` is (H, W) of the same type where the file has transparency, `orientation` is EXIF's 1 to 8.
    """

    samples: Samples
    alpha: Samples | None = None
    orientation: int = 1
    um_per_px: float | None = None
    notes: tuple[str, ...] = ()


class SourceFile(Protocol):
    """A file whose header and structure have been read, and nothing decoded yet."""

    @property
    def format_name(self) -> str:
        """For people: "JPEG", "PNG", "TIFF", "OME-TIFF"."""

    @property
    def width_px(self) -> int:
        """The declared width."""

    @property
    def height_px(self) -> int:
        """The declared height."""

    @property
    def channel_names(self) -> tuple[str, ...]:
        """The channels one can choose from, in the order of the file."""

    def stripped(self) -> bytes:
        """The same file with the same coded pixels, without anything that is not needed to read it."""

    def decode(self, channels: ChannelMap | None) -> Picture:
        """The pixels; `channels` says which are which where the file does not, or says it wrongly."""


def truncated(format_name: str) -> UnreadableImageError:
    """The error for a file that stops before its image does."""
    return UnreadableImageError(
        f"The {format_name} file is incomplete or damaged: its end is missing or does not fit its beginning. "
        f"Copy it again from where it was made, or {EXPORT_AGAIN[0].lower()}{EXPORT_AGAIN[1:]}."
    )


def trusted_um_per_px(x_um_per_px: float, y_um_per_px: float) -> float | None:
    """The scale if it can be a microscope's, with square pixels; otherwise None."""
    if not (_FINEST_UM_PER_PX <= x_um_per_px <= _COARSEST_UM_PER_PX):
        return None
    if abs(x_um_per_px - y_um_per_px) > _ASPECT_TOLERANCE * x_um_per_px:
        return None
    return float(x_um_per_px)


def take_channels(samples: Samples, channels: ChannelMap) -> Samples:
    """(H, W, 3) in the order HER2, CEP17, DAPI of samples (H, W, n); the same array where that is their order."""
    if samples.shape[2] == 3 and channels == RED_GREEN_BLUE:
        return samples
    return np.stack([samples[:, :, channel] for channel in channels.rgb], axis=2)


def decode_with(
    plugin: type[ImageFile.ImageFile], data: bytes, format_name: str, rawmode: str | None = None
) -> npt.NDArray[np.uint8]:
    """All pixels that a Pillow plugin decodes from `data`, (H, W) or (H, W, bands).

    `rawmode` overrides how samples are unpacked: for 16-bit samples Pillow keeps one of the two bytes, and the mode
    names which. The plugin is called directly: `Image.open` would try others, and it judges sizes by a global that
    is not ours, where the size has been judged already. Raises UnreadableImageError whatever goes wrong, since any
    exception of a decoder on bytes from outside means that they are damaged.
    """
    try:
        with plugin(io.BytesIO(data)) as image:
            if rawmode is not None:
                image.tile = [tile._replace(args=_with_rawmode(tile.args, rawmode)) for tile in image.tile]
            return np.array(image)
    except Exception as error:
        raise truncated(format_name) from error


def _with_rawmode(args: Any, rawmode: str) -> Any:
    """A decoder's arguments with another raw mode, which comes first where there are several."""
    return (rawmode, *args[1:]) if isinstance(args, tuple) else rawmode
