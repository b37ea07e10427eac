"""How the box of a nucleus and its signals are drawn: one definition for editor, report and `analyze --overlay`.

Okabe and Ito's palette; no meaning is carried by colour alone. A box differs in its line and has a sign beside it,
signals differ in shape. Every legend is made from here.
"""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass
from enum import StrEnum
from functools import cache
from pathlib import Path
from typing import TYPE_CHECKING

from PIL import ImageColor, ImageFont

from her2core.records import Box, Channel, Nucleus

if TYPE_CHECKING:
    from PIL import ImageDraw

__all__ = [
    "BOX_STYLES",
    "CLUSTER_SIGN",
    "CLUSTER_WORDS",
    "COUNTS_LEGEND",
    "FONT",
    "GREY",
    "ORANGE",
    "SIGNAL_STYLES",
    "SKY",
    "TO_COUNT",
    "BoxStyle",
    "NucleusState",
    "SignalStyle",
    "box_legend",
    "counts_label",
    "draw_box",
    "draw_signal",
    "font",
    "rgb",
    "state_of_nucleus",
]

SKY = "#56B4E9"
ORANGE = "#E69F00"
YELLOW = "#F0E442"
PURPLE = "#CC79A7"
GREY = "#66707B"  # darker than the others, since without red or green cones purple is grey, too

FONT = Path(__file__).parent / "reporting" / "fonts" / "DejaVuSansCondensed.ttf"  # has every sign below

Point = tuple[float, float]


class NucleusState(StrEnum):
    """What the box of a nucleus says; the values are the words of every legend."""

    SCORED = "scored"
    CLUSTERED = "scored, HER2 clustered"
    UNCERTAIN = "scored, uncertain"
    EDITED = "scored, confirmed or edited"
    NOT_SCORED = "not scored"


@dataclass(frozen=True, slots=True)
class BoxStyle:
    """How a box is drawn: its colour and line, with the words for both, and the sign beside it.

    `width` and `pattern` (lengths of line and gap in turn; none: a whole line) are in pixels of a screen; a picture of
    another size takes them times its own unit.
    """

    colour: str
    hue: str
    line: str
    pattern: tuple[int, ...]
    width: float
    sign: str


@dataclass(frozen=True, slots=True)
class SignalStyle:
    """How a signal is drawn: colour, shape and the word for it."""

    colour: str
    shape: str
    word: str


BOX_STYLES: dict[NucleusState, BoxStyle] = {
    NucleusState.SCORED: BoxStyle(SKY, "blue", "whole line", (), 1.6, "■"),
    NucleusState.CLUSTERED: BoxStyle(ORANGE, "orange", "long dashes", (14, 4), 2.4, "✱"),
    NucleusState.UNCERTAIN: BoxStyle(YELLOW, "yellow", "dashes", (6, 4), 2.0, "?"),
    NucleusState.EDITED: BoxStyle(PURPLE, "purple", "dash and dot", (9, 3, 2, 3), 2.2, "✎"),
    NucleusState.NOT_SCORED: BoxStyle(GREY, "grey", "dots", (2, 3), 1.4, "×"),
}

# Stands behind the HER2 count, whatever else is said of the nucleus: it is HER2 that clusters, never CEP17.
CLUSTER_SIGN = BOX_STYLES[NucleusState.CLUSTERED].sign
CLUSTER_WORDS = "HER2 clustered, an estimate"
COUNTS_LEGEND = f"Numbers: HER2/CEP17; {CLUSTER_SIGN} behind a number: {CLUSTER_WORDS}."

# What a blinded observer has still to count; counted, it is drawn as scored.
TO_COUNT = BoxStyle("#C9D3DC", "light grey", "thin whole line", (), 1.0, "")

# Light tints of vermilion and bluish green: they must stand out on a red or green signal.
SIGNAL_STYLES: dict[Channel, SignalStyle] = {
    Channel.HER2: SignalStyle("#FFB08A", "circle", "HER2"),
    Channel.CEP17: SignalStyle("#8CF0CF", "diamond", "CEP17"),
}


def state_of_nucleus(nucleus: Nucleus, *, edited: bool = False) -> NucleusState:
    """What to show of a nucleus. Not being scored comes first, since it decides the result; then the reader's own
    edit, then what asks the reader to look."""
    if not nucleus.scored:
        return NucleusState.NOT_SCORED
    if edited:
        return NucleusState.EDITED
    if nucleus.uncertain:
        return NucleusState.UNCERTAIN
    return NucleusState.CLUSTERED if nucleus.clustered else NucleusState.SCORED


def box_legend(*states: NucleusState) -> str:
    """What the boxes mean, in a sentence; of all states, or of those that are given."""
    parts = (
        f"{style.sign} {style.hue}, {style.line}: {state.value}"
        for state, style in BOX_STYLES.items()
        if not states or state in states
    )
    return f"Boxes: {'; '.join(parts)}."


def counts_label(her2: int | None, cep17: int | None, *, clustered: bool) -> str:
    """Both counts of a nucleus as pictures have them: HER2/CEP17."""
    first, second = ("–" if count is None else str(count) for count in (her2, cep17))
    return f"{first}{CLUSTER_SIGN if clustered else ''}/{second}"


def rgb(style: BoxStyle | SignalStyle) -> tuple[int, int, int]:
    """The colour as red, green, blue."""
    red, green, blue = ImageColor.getrgb(style.colour)[:3]
    return red, green, blue


@cache
def font(size_px: int) -> ImageFont.FreeTypeFont:
    """The font that has every sign."""
    return ImageFont.truetype(str(FONT), size_px)


def draw_box(
    draw: ImageDraw.ImageDraw, box: Box, style: BoxStyle, unit_px: float, colour: tuple[int, int, int] | None = None
) -> None:
    """Draw a box (xyxy) with the line of its style; `unit_px` stands for one pixel of the screen. A side along which
    less than one turn of the pattern fits is still seen."""
    x0, y0, x1, y1 = box
    fill, width = colour or rgb(style), max(1, round(style.width * unit_px))
    pattern = [length * unit_px for length in style.pattern]
    for start, end in (((x0, y0), (x1, y0)), ((x1, y0), (x1, y1)), ((x1, y1), (x0, y1)), ((x0, y1), (x0, y0))):
        for a, b in _strokes(start, end, pattern):
            draw.line([a, b], fill=fill, width=width)


def draw_signal(draw: ImageDraw.ImageDraw, channel: Channel, x: float, y: float, reach_px: float, width: int) -> None:
    """Draw the circle or diamond of a signal round (x, y)."""
    colour = SIGNAL_STYLES[channel].colour
    if channel is Channel.HER2:
        draw.ellipse((x - reach_px, y - reach_px, x + reach_px, y + reach_px), outline=colour, width=width)
        return
    tip = 1.25 * reach_px
    corners = [(x, y - tip), (x + tip, y), (x, y + tip), (x - tip, y)]
    draw.line([*corners, corners[0]], fill=colour, width=width)


def _strokes(start: Point, end: Point, pattern: list[float]) -> Iterator[tuple[Point, Point]]:
    """The pieces of a side of a box, which runs along an axis."""
    length = abs(end[0] - start[0]) + abs(end[1] - start[1])
    if not pattern or not length:
        yield start, end
        return
    at, turn = 0.0, 0
    while at < length:
        stop = min(length, at + pattern[turn % len(pattern)])
        if turn % 2 == 0:
            yield _between(start, end, at / length), _between(start, end, stop / length)
        at, turn = stop, turn + 1


def _between(start: Point, end: Point, part: float) -> Point:
    return start[0] + (end[0] - start[0]) * part, start[1] + (end[1] - start[1]) * part
