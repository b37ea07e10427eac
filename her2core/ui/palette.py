"""Colours and their second cue. Okabe and Ito's palette; no meaning is carried by colour alone.

Boxes differ in dash as well as in colour, signals in shape, outcomes in words.
"""

from __future__ import annotations

from dataclasses import dataclass
from enum import StrEnum
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from her2core.scoring.review import ReviewedNucleus

__all__ = ["BOX_STYLES", "SIGNAL_STYLES", "BoxStyle", "NucleusState", "SignalStyle", "state_of_nucleus"]

SKY = "#56B4E9"
ORANGE = "#E69F00"
YELLOW = "#F0E442"
PURPLE = "#CC79A7"
GREEN = "#009E73"
VERMILION = "#D55E00"
BLUE = "#0072B2"
GREY = "#66707B"  # darker than the others, since without red or green cones purple is grey, too


class NucleusState(StrEnum):
    """What the box of a nucleus says; the values are the words of the legend."""

    SCORED = "scored"
    CLUSTERED = "scored, HER2 clustered"
    UNCERTAIN = "scored, uncertain"
    EDITED = "scored, edited"
    NOT_SCORED = "not scored"


@dataclass(frozen=True, slots=True)
class BoxStyle:
    """How a box is drawn: colour, plotly dash, width in pixels, a sign, and the dash as lengths of line and gap."""

    colour: str
    dash: str
    width: float
    sign: str
    pattern: tuple[int, ...]


@dataclass(frozen=True, slots=True)
class SignalStyle:
    """How a signal is drawn: colour, plotly marker symbol, and the word for it."""

    colour: str
    symbol: str
    word: str


BOX_STYLES: dict[NucleusState, BoxStyle] = {
    NucleusState.SCORED: BoxStyle(SKY, "solid", 1.6, "■", ()),
    NucleusState.CLUSTERED: BoxStyle(ORANGE, "longdash", 2.4, "✱", (14, 4)),
    NucleusState.UNCERTAIN: BoxStyle(YELLOW, "dash", 2.0, "?", (6, 4)),
    NucleusState.EDITED: BoxStyle(PURPLE, "dashdot", 2.2, "✎", (9, 3, 2, 3)),
    NucleusState.NOT_SCORED: BoxStyle(GREY, "dot", 1.4, "×", (2, 3)),
}

# Light tints of vermilion and bluish green: they must stand out on a red or green signal.
SIGNAL_STYLES: dict[str, SignalStyle] = {
    "her2": SignalStyle("#FFB08A", "circle-open", "HER2"),
    "cep17": SignalStyle("#8CF0CF", "diamond-open", "CEP17"),
}


def state_of_nucleus(reviewed: ReviewedNucleus) -> NucleusState:
    """What to show of a nucleus. Not being scored comes first, since it decides the result; then the reader's own
    edit, then what asks the reader to look."""
    nucleus = reviewed.nucleus
    if not nucleus.scored:
        return NucleusState.NOT_SCORED
    if reviewed.edited:
        return NucleusState.EDITED
    if nucleus.uncertain:
        return NucleusState.UNCERTAIN
    if nucleus.clustered:
        return NucleusState.CLUSTERED
    return NucleusState.SCORED
