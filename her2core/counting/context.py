"""What all nuclei of a region tell about each: how the stains mix in its channels, and how bright a signal is.

A HER2 signal shows in green too, a CEP17 signal in red, and grains of DAPI in both; how much is the same all over a
region, and a single nucleus often has too few signals to tell. So it is with brightness: whether a dim dot is a signal,
and how many signals a cluster's light makes, a reader judges by the other signals of the field. The mixing is taken out
linearly, as in fluorescence microscopy (Zimmermann, Adv Biochem Eng Biotechnol 2005), with shares measured on the
signals themselves rather than on controls.
"""

from __future__ import annotations

from dataclasses import dataclass
from functools import lru_cache

import torch
from torch import Tensor

from her2core.counting.planes import blur_matrix, highest, median

__all__ = ["Context", "region_context"]

_SIGNAL_PX, _AROUND_PX = 1.1, 3.5  # crop pixels: a signal, and what it stands out from
_LEAST = 4.0  # grey levels above its surroundings from which on a peak is looked at
_CLEAR = 5.0  # times the fluctuation of its channel
_BRIGHTEST = 400  # peaks a channel that are looked at; the strongest tell most
_MOST_SHARE, _LEAST_SHARE = 0.6, -0.2
_PRIOR_PEAKS = 6.0  # the usual share weighs as much as so many peaks
_USUAL_PROBE, _USUAL_DAPI = 0.15, 0.15
_LEAST_OF_STRONGEST = 0.6  # a second signal is hardly ever dimmer than this share of the first


@lru_cache(maxsize=8)
def _bell(side_px: int, sigma_px: float) -> Tensor:
    return blur_matrix(side_px, sigma_px, int(3 * sigma_px + 0.5), repeat_border=True)


def _gaussian(pixels: Tensor, sigma_px: float) -> Tensor:
    """Planes float[N, C, S, S], blurred; the border is repeated."""
    bell = _bell(pixels.shape[-1], sigma_px)
    return bell @ pixels @ bell.T


def _share(own: Tensor, other: Tensor, usual: float) -> float:
    """Median share of `other` at peaks of `own`, float[K] each, drawn to the usual share where there are few."""
    count = len(own)
    median = float((other / own).median()) if count else 0.0
    share = (count * median + _PRIOR_PEAKS * usual) / (count + _PRIOR_PEAKS)
    return min(max(share, _LEAST_SHARE), _MOST_SHARE)


def _peaks(plane: Tensor, inside: Tensor) -> Tensor:
    """Where a plane float[N, S, S] has clear peaks inside nuclei bool[N, S, S], strongest first: indices int64[K] of
    its flat pixels."""
    noise = 1.4826 * median(plane[inside].abs())
    clear = inside & (plane == highest(plane, 1)) & (plane > max(_LEAST, _CLEAR * noise))
    where = torch.nonzero(clear.flatten()).flatten()
    return where[plane.flatten()[where].argsort(descending=True)[:_BRIGHTEST]]


@dataclass(frozen=True, slots=True)
class Context:
    """What a region tells about its nuclei; rows or places are HER2 and CEP17.

    unmixing: float[2, 3], takes the light of other stains out: probes = unmixing @ RGB. unit: float[2], grey levels by
    which a typical signal of a probe stands out from its surroundings.
    """

    unmixing: Tensor
    unit: Tensor


def region_context(pixels: Tensor, half_axes_px: Tensor) -> Context:
    """The context of a region.

    Args:
        pixels: crops of all nuclei of one region, uint8 or float[N, 3, S, S] (0-255).
        half_axes_px: half width and height of their boxes, float[N, 2]: only what lies in nuclei is looked at.
    """
    pixels = pixels.float().contiguous()
    band = _gaussian(pixels, _SIGNAL_PX) - _gaussian(pixels, _AROUND_PX)  # (N, 3, S, S)
    side = pixels.shape[-1]
    along = torch.arange(side) + 0.5 - side / 2
    dx = (along[None, :] / half_axes_px[:, :1])[:, None, :]
    dy = (along[None, :] / half_axes_px[:, 1:])[:, :, None]
    inside = dx**2 + dy**2 < 1  # (N, S, S)
    red, green, blue = band.unbind(1)

    at = _peaks(blue, inside)
    r, g, b = (plane.flatten()[at] for plane in (red, green, blue))
    dapi = (r < 0.8 * b) & (g < 0.8 * b)  # grains of the stain, not signals
    red_of_dapi, green_of_dapi = _share(b[dapi], r[dapi], _USUAL_DAPI), _share(b[dapi], g[dapi], _USUAL_DAPI)
    red, green = red - red_of_dapi * blue, green - green_of_dapi * blue

    at = _peaks(red, inside)
    r, g = red.flatten()[at], green.flatten()[at]
    green_of_her2 = _share(r[r > 1.4 * g], g[r > 1.4 * g], _USUAL_PROBE)
    at = _peaks(green, inside)
    r, g = red.flatten()[at], green.flatten()[at]
    red_of_cep17 = _share(g[g > 1.4 * r], r[g > 1.4 * r], _USUAL_PROBE)

    without_dapi = torch.tensor([[1.0, 0.0, -red_of_dapi], [0.0, 1.0, -green_of_dapi]])
    mixed = torch.tensor([[1.0, red_of_cep17], [green_of_her2, 1.0]])
    unmixing = torch.linalg.inv(mixed) @ without_dapi
    unmixing = unmixing / torch.diagonal(unmixing)[:, None]
    probes = torch.where(inside[:, None], torch.einsum("pc,nchw->nphw", unmixing, band), 0)
    return Context(unmixing, torch.stack([_typical(probes[:, i]) for i in range(2)]))


def _typical(plane: Tensor) -> Tensor:
    """How far the second strongest peak of a nucleus stands out, the median over nuclei: a scalar tensor.

    The second, because nearly every nucleus has two signals, and the strongest may be a speck of dye. Where it is far
    from the strongest, the nucleus may have one signal only, and the second is noise.
    """
    peaks = torch.where(plane == highest(plane, 2), plane, 0).flatten(1).topk(2, dim=1).values  # (N, 2)
    return peaks[:, 1].maximum(_LEAST_OF_STRONGEST * peaks[:, 0]).median().clamp(min=_LEAST)
