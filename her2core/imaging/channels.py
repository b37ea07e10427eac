"""Which channel shows which probe, by the names that microscope software gives them."""

from __future__ import annotations

import itertools
import re
from collections.abc import Sequence
from typing import Final

from her2core.imaging.picture import ChannelMap

__all__ = ["DYE_NOTE", "canonical_name", "map_by_name"]

_PROBES: Final = {
    "DAPI": ("dapi", "hoechst"),
    "HER2": ("her2", "erbb2"),
    "CEP17": ("cep17", "cen17", "d17z1", "centromere17", "chromosome17", "chr17"),
}
# Beyond the probes' own names: the dyes of the usual kits, HER2 in orange or red and CEP17 in green. Whole words.
_DYES: Final = {
    "HER2": frozenset({"orange", "spectrumorange", "red", "spectrumred", "texasred", "tritc", "rhodamine", "cy3"}),
    "CEP17": frozenset({"green", "spectrumgreen", "fitc", "gfp", "alexa488", "af488"}),
    "DAPI": frozenset({"blue", "spectrumblue", "uv"}),
}
_DYE_NAMES: Final = {"HER2": "red dye", "CEP17": "green dye", "DAPI": "blue dye"}

DYE_NOTE: Final = (
    "The file names its channels by dye, not by probe: the orange or red one was read as HER2 and the green one as "
    "CEP17. If your kit is labelled the other way round, name the channels DAPI, HER2 and CEP17 and export again."
)


def canonical_name(name: str) -> str:
    """The probe ("DAPI", "HER2", "CEP17") or dye ("red dye", …) that a channel's name means; "" if neither.

    Nothing else of a name is kept, since names are free text.
    """
    words = re.findall(r"[a-z0-9]+", name.casefold())
    plain = "".join(words)
    probes = [probe for probe, marks in _PROBES.items() if any(mark in plain for mark in marks)]
    if probes:
        return probes[0] if len(probes) == 1 else ""
    pairs = {first + second for first, second in itertools.pairwise(words)}
    dyes = [probe for probe, marks in _DYES.items() if marks & (pairs | set(words))]
    far_red = "far" in words or "infra" in words or "near" in words
    return _DYE_NAMES[dyes[0]] if len(dyes) == 1 and not far_red else ""


def map_by_name(names: Sequence[str]) -> tuple[ChannelMap | None, bool]:
    """The channels as their names say, and whether a dye had to stand for a probe.

    None unless each of the three is named exactly once.
    """
    canonical = [canonical_name(name) for name in names]
    chosen: dict[str, int] = {}
    by_dye = False
    for probe in _PROBES:
        found = [i for i, name in enumerate(canonical) if name == probe]
        if not found:
            found = [i for i, name in enumerate(canonical) if name == _DYE_NAMES[probe]]
            by_dye = by_dye or bool(found)
        if len(found) != 1:
            return None, False
        chosen[probe] = found[0]
    return ChannelMap(her2=chosen["HER2"], cep17=chosen["CEP17"], dapi=chosen["DAPI"]), by_dye
