"""From the samples of a file to the 8-bit pixels of a region: depth, transparency, orientation, and what is no FISH."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Final

import numpy as np
import numpy.typing as npt

from her2core.errors import NotFluorescenceError, UnreadableImageError
from her2core.imaging.picture import Samples
from her2core.imaging.region import PixelsRGB

__all__ = [
    "hide_transparent",
    "refuse_no_fluorescence",
    "stretched",
    "to_8_bits",
    "turn_upright",
    "windows",
    "with_windows",
]

_CHANNELS: Final = ("HER2 (red)", "CEP17 (green)", "DAPI (blue)")
_WHITE_SHARE: Final = 1e-4
_BLACK_SHARE: Final = 1e-2
_NOISE_IN_WINDOW: Final = 32.0
_BRIGHT_FIELD_LEVEL: Final = 150
_BRIGHT_FIELD_SHARE: Final = 0.5


def to_8_bits(samples: Samples) -> tuple[PixelsRGB, tuple[str, ...]]:
    """(H, W, 3) uint8: uint8 as they are, uint16 by one straight line for each channel, with a note of the lines.

    Black is the value below which 1 % of the channel's pixels lie (the camera's offset), white the one above which
    0.01 % lie (so that single hot pixels do not darken all signals, and even the few pixels of a dozen signals get the
    full range). White is at least 32 times the pixel noise above black, so that an empty channel stays dark instead of
    having its noise drawn out into signals.
    """
    if samples.dtype == np.uint8:
        return samples.astype(np.uint8, copy=False), ()
    found = windows(samples)
    ranges = [f"{name} {black}–{white}" for name, (black, white) in zip(_CHANNELS, found, strict=True)]
    note = (
        "The file has 16 bits for each channel; they were brought to 8 by a straight line for each channel, from black "
        f"to white: {', '.join(ranges)}."
    )
    return with_windows(samples, found), (note,)


def windows(samples: Samples) -> tuple[tuple[int, int], ...]:
    """Black and white of each channel of (H, W, 3) uint16, as `to_8_bits` takes them."""
    return tuple(_window(np.ascontiguousarray(samples[:, :, channel])) for channel in range(3))


def with_windows(samples: Samples, found: Sequence[tuple[int, int]] | None) -> PixelsRGB:
    """(H, W, 3) uint8 of samples by these windows; by None, samples that are uint8 already."""
    if found is None:
        return samples.astype(np.uint8, copy=False)
    pixels = np.empty(samples.shape, np.uint8)
    for channel, (black, white) in enumerate(found):
        pixels[:, :, channel] = _line(black, white)[samples[:, :, channel]]
    return pixels


def stretched(plane: Samples) -> npt.NDArray[np.uint8]:
    """One channel (H, W) from its black to its white, by the same straight line at either depth, for looking at."""
    return _line(*_window(np.ascontiguousarray(plane)))[plane]


def hide_transparent(samples: Samples, alpha: Samples) -> tuple[Samples, tuple[str, ...]]:
    """The samples without transparency: opaque pixels as they are, fully transparent ones black, with a note.

    Raises UnreadableImageError if some pixels are half transparent: what they would look like depends on what lies
    below, and a count must not.
    """
    opaque = np.iinfo(alpha.dtype).max
    clear = alpha == 0
    if (alpha == opaque).all():
        return samples, ()
    if not (clear | (alpha == opaque)).all():
        raise UnreadableImageError(
            "Parts of the image are half transparent, so the brightness of signals there is not defined. Export the "
            "region without transparency and without drawings over it."
        )
    hidden = samples.copy()
    hidden[clear] = 0
    share = 100 * np.count_nonzero(clear) / clear.size
    return hidden, (f"{share:.1f} % of the image is transparent and was taken as black.",)


def turn_upright(pixels: PixelsRGB, orientation: int) -> PixelsRGB:
    """The pixels as EXIF's orientation, 1 to 8, says they are to be seen."""
    if orientation in (5, 6, 7, 8):
        pixels = pixels.transpose(1, 0, 2)
    if orientation in (3, 4, 7, 8):
        pixels = pixels[::-1]
    if orientation in (2, 3, 6, 7):
        pixels = pixels[:, ::-1]
    return pixels


def refuse_no_fluorescence(pixels: PixelsRGB) -> None:
    """Raise NotFluorescenceError for what is RGB but cannot be a FISH region of three channels."""
    few = pixels[::16, ::16]  # asked first, which settles it for nearly every image
    if _is_grey(few) and _is_grey(pixels):
        raise NotFluorescenceError(
            "The image is greyscale although it is stored as RGB: its three channels are the same, so HER2 and CEP17 "
            "cannot be told apart. Export the region in colour, with HER2 in red, CEP17 in green and DAPI in blue."
        )
    empty = [
        name
        for channel, name in enumerate(_CHANNELS)
        if _is_flat(few[:, :, channel]) and _is_flat(pixels[:, :, channel])
    ]
    if empty:
        raise NotFluorescenceError(
            f"The image has nothing in {' and '.join(empty)}. Export the region with all three channels switched on."
        )
    darkest = pixels[::4, ::4].min(axis=2)
    if np.count_nonzero(darkest >= _BRIGHT_FIELD_LEVEL) > _BRIGHT_FIELD_SHARE * darkest.size:
        raise NotFluorescenceError(
            "The image has a bright background, as in transmitted light (H&E or IHC). Choose the fluorescence image of "
            "the region, in which the background is dark."
        )


def _is_grey(pixels: PixelsRGB) -> bool:
    return bool((pixels == pixels[:, :, :1]).all())


def _is_flat(plane: PixelsRGB) -> bool:
    return bool((plane == plane[0, 0]).all())


def _line(black: int, white: int) -> npt.NDArray[np.uint8]:
    """The 8-bit value of each value of 16 bits."""
    return np.clip((np.arange(65536.0) - black) * (255.0 / (white - black)) + 0.5, 0, 255).astype(np.uint8)


def _window(plane: Samples) -> tuple[int, int]:
    """Black and white of a channel, white above black."""
    cumulative = np.cumsum(np.bincount(plane.ravel(), minlength=65536))
    black = int(np.searchsorted(cumulative, _BLACK_SHARE * plane.size))
    white = int(np.searchsorted(cumulative, (1 - _WHITE_SHARE) * plane.size))
    differences = np.diff(plane[::4].astype(np.int32), axis=1)
    # The median of |difference of neighbours| is 0.954 sigma for Gaussian noise (0.6745 times the square root of 2).
    noise = float(np.median(np.abs(differences))) / 0.954 if differences.size else 0.0
    return black, max(white, black + 1, round(black + _NOISE_IN_WINDOW * noise))
