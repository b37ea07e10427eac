"""Boxes and signals look and are called alike on the screen, in the report and in overlays; they stay apart for eyes
that confuse colours, and never by colour alone.

Colour vision without one cone is simulated after Machado, Oliveira and Fernandes 2009 (severity 1.0, in linear RGB);
differences are Euclidean in CIELAB (CIE76), in which about 2.3 is just noticeable.
"""

from __future__ import annotations

import io
import re
from collections.abc import Mapping
from dataclasses import replace
from itertools import combinations, pairwise
from pathlib import Path

import numpy as np
import numpy.typing as npt
import pytest
from PIL import Image

from her2core.exchange.overlay import OVERLAY_LEGEND, overlay_png
from her2core.marks import (
    BOX_STYLES,
    CLUSTER_SIGN,
    CLUSTER_WORDS,
    COUNTS_LEGEND,
    SIGNAL_STYLES,
    TO_COUNT,
    BoxStyle,
    NucleusState,
    box_legend,
    counts_label,
    rgb,
    state_of_nucleus,
)
from her2core.records import Channel, Exclusion, Nucleus, Signal
from her2core.reporting.figures import BOX_LEGEND, overlay_thumbnail
from her2core.reporting.fonts import is_plain
from her2core.ui.overlay import blinded_figure

Colour = npt.NDArray[np.float64]

MACHADO = {
    "protanopia": [[0.152286, 1.052583, -0.204868], [0.114503, 0.786281, 0.099216], [-0.003882, -0.048116, 1.051998]],
    "deuteranopia": [[0.367322, 0.860646, -0.227968], [0.280085, 0.672501, 0.047413], [-0.011820, 0.042940, 0.968881]],
    "tritanopia": [[1.255528, -0.076749, -0.178779], [-0.078411, 0.930809, 0.147602], [0.004733, 0.691367, 0.303900]],
}
SEEN_AS: Mapping[str, Colour] = {"all cones": np.eye(3)} | {name: np.array(rows) for name, rows in MACHADO.items()}
TO_XYZ = np.array(
    [[0.4124564, 0.3575761, 0.1804375], [0.2126729, 0.7151522, 0.0721750], [0.0193339, 0.1191920, 0.9503041]]
)
LEAST_DIFFERENCE = 12.0  # about five just noticeable ones
LEAST_CONTRAST = 3.0  # of a line on the black field, WCAG 2.2 1.4.11


def linear(hex_colour: str) -> Colour:
    """#RRGGBB in linear light, float (3,) from 0 to 1."""
    coded = np.array([int(hex_colour[at : at + 2], 16) for at in (1, 3, 5)]) / 255
    return np.where(coded <= 0.04045, coded / 12.92, ((coded + 0.055) / 1.055) ** 2.4)


def lab(light: Colour) -> Colour:
    """CIELAB of linear RGB, white D65."""
    xyz = TO_XYZ @ light / (TO_XYZ @ np.ones(3))
    f = np.where(xyz > (6 / 29) ** 3, np.cbrt(xyz), xyz / (3 * (6 / 29) ** 2) + 4 / 29)
    return np.array([116 * f[1] - 16, 500 * (f[0] - f[1]), 200 * (f[1] - f[2])])


def difference(one: str, other: str, seen_as: str) -> float:
    """How far two colours are apart for these eyes."""
    first, second = (lab(np.clip(SEEN_AS[seen_as] @ linear(colour), 0, 1)) for colour in (one, other))
    return float(np.linalg.norm(first - second))


def test_the_simulation_confuses_what_such_eyes_confuse() -> None:
    red, green = "#CC4040", "#6B7A2A"
    assert difference(red, green, "all cones") > 50
    assert difference(red, green, "deuteranopia") < 0.5 * difference(red, green, "all cones")
    for colour in ("#000000", "#FFFFFF", "#808080"):
        seen = [lab(matrix @ linear(colour)) for matrix in SEEN_AS.values()]
        assert all(np.allclose(one, seen[0], atol=0.1) for one in seen)  # grey stays grey


@pytest.mark.parametrize("seen_as", list(SEEN_AS))
@pytest.mark.parametrize(("one", "other"), list(combinations(NucleusState, 2)))
def test_boxes_of_two_states_differ_in_colour_for_all_eyes(
    one: NucleusState, other: NucleusState, seen_as: str
) -> None:
    assert difference(BOX_STYLES[one].colour, BOX_STYLES[other].colour, seen_as) >= LEAST_DIFFERENCE


@pytest.mark.parametrize("seen_as", list(SEEN_AS))
def test_signals_differ_in_colour_for_all_eyes(seen_as: str) -> None:
    assert (
        difference(SIGNAL_STYLES[Channel.HER2].colour, SIGNAL_STYLES[Channel.CEP17].colour, seen_as) >= LEAST_DIFFERENCE
    )


@pytest.mark.parametrize("seen_as", list(SEEN_AS))
def test_all_marks_stand_out_on_the_black_field(seen_as: str) -> None:
    colours = [style.colour for style in BOX_STYLES.values()] + [style.colour for style in SIGNAL_STYLES.values()]
    for colour in colours:
        luminance = float(TO_XYZ[1] @ np.clip(SEEN_AS[seen_as] @ linear(colour), 0, 1))
        assert (luminance + 0.05) / 0.05 >= LEAST_CONTRAST, colour


def test_every_state_has_a_line_a_sign_and_a_word_of_its_own() -> None:
    assert set(BOX_STYLES) == set(NucleusState)
    for cue in ("hue", "line", "pattern", "sign"):
        assert len({getattr(style, cue) for style in BOX_STYLES.values()}) == len(NucleusState), cue
    assert len({state.value for state in NucleusState}) == len(NucleusState)


def test_signals_differ_in_shape() -> None:
    assert len({style.shape for style in SIGNAL_STYLES.values()}) == len(SIGNAL_STYLES) == 2


# --- one definition ---------------------------------------------------------------------------------------------------

ROOT = Path(__file__).resolve().parent.parent
BOX = (60.0, 60.0, 260.0, 260.0)
PLAIN = Nucleus(1, BOX, 0.9, 6, 2, 6.0, 2.0, False, True, None, (Signal(Channel.HER2, 160.0, 160.0),))
LOOKS: dict[NucleusState, tuple[Nucleus, bool]] = {
    NucleusState.SCORED: (PLAIN, False),
    NucleusState.CLUSTERED: (replace(PLAIN, clustered=True), False),
    NucleusState.UNCERTAIN: (replace(PLAIN, clustered=True, uncertain=True), False),
    NucleusState.EDITED: (replace(PLAIN, uncertain=True), True),
    NucleusState.NOT_SCORED: (replace(PLAIN, scored=False, reason=Exclusion.EDGE), True),
}


def strokes(picture: npt.NDArray[np.uint8], style: BoxStyle, y: int) -> list[int]:
    """The lengths of the pieces in the colour of `style` along the lower side of BOX, those at the corners left out."""
    near = np.abs(picture[y - 3 : y + 4, 62:258].astype(int) - rgb(style)).max(axis=2).min(axis=0) < 60
    ends = np.flatnonzero(np.diff(near.astype(int)))
    return [int(b - a) for a, b in pairwise(ends) if near[(a + b + 1) // 2]]


@pytest.mark.parametrize("state", NucleusState)
def test_the_state_that_decides_the_result_comes_first(state: NucleusState) -> None:
    nucleus, edited = LOOKS[state]
    assert state_of_nucleus(nucleus, edited=edited) is state


@pytest.mark.parametrize("state", NucleusState)
def test_report_and_overlay_draw_the_line_and_colour_of_the_screen(state: NucleusState) -> None:
    (nucleus, edited), style = LOOKS[state], BOX_STYLES[state]
    ground = np.zeros((400, 400, 3), np.uint8)
    pictures = [overlay_thumbnail(ground, [nucleus], None, 400, edited_ids=[1] if edited else [])]
    if state is not NucleusState.EDITED:  # nobody edits what `analyze` finds
        pictures.append(overlay_png(ground, [nucleus]))
    for encoded in pictures:
        picture = np.asarray(Image.open(io.BytesIO(encoded)).convert("RGB"))
        found = strokes(picture, style, 260)
        lines = style.pattern[::2]
        if not lines:
            assert found == []
            continue
        assert len(found) >= 3
        assert max(found) / min(found) == pytest.approx(max(lines) / min(lines), rel=0.55), (found, lines)


def test_every_legend_says_what_the_definition_says() -> None:
    assert BOX_LEGEND.startswith(box_legend())
    for state, style in BOX_STYLES.items():
        words = f"{style.sign} {style.hue}, {style.line}: {state.value}"
        assert words in BOX_LEGEND
        assert (words in OVERLAY_LEGEND) == (state is not NucleusState.EDITED)


@pytest.mark.parametrize(
    ("her2", "cep17", "clustered", "label"),
    [(6, 2, False, "6/2"), (16, 2, True, "16✱/2"), (None, 2, False, "–/2"), (6, None, True, "6✱/–")],
)
def test_the_sign_of_a_cluster_stands_with_the_her2_count(
    her2: int | None, cep17: int | None, clustered: bool, label: str
) -> None:
    assert counts_label(her2, cep17, clustered=clustered) == label


def test_the_sign_of_a_cluster_is_that_of_its_box_and_is_explained() -> None:
    assert BOX_STYLES[NucleusState.CLUSTERED].sign == CLUSTER_SIGN
    assert f"{CLUSTER_SIGN} behind a number: {CLUSTER_WORDS}" in COUNTS_LEGEND
    assert COUNTS_LEGEND in OVERLAY_LEGEND


def test_the_guide_and_the_command_line_have_the_legend() -> None:
    guide = (ROOT / "docs/user-guide.md").read_text(encoding="utf-8")
    for state, style in BOX_STYLES.items():
        assert re.search(rf"^\| {re.escape(style.sign)} {style.hue}, {style.line} \| {state.value}\b", guide, re.M), (
            state
        )
    assert counts_label(16, 2, clustered=True) in guide
    commands = " ".join((ROOT / "docs/command-line.md").read_text(encoding="utf-8").split())
    assert OVERLAY_LEGEND in commands


def test_the_font_of_pictures_has_every_sign() -> None:
    assert all(is_plain(style.sign) for style in BOX_STYLES.values())  # of the report's body font, which is theirs


def test_what_a_blinded_observer_has_counted_is_drawn_as_scored_and_the_rest_as_no_state() -> None:
    figure = blinded_figure("data:,", 400, 400, {1: BOX, 2: (0.0, 0.0, 40.0, 40.0)}, {2})
    by_name = {trace.name: trace for trace in figure.data}
    scored = BOX_STYLES[NucleusState.SCORED]
    assert by_name["✓ counted by you (1)"].line.color == scored.colour
    assert by_name["to be counted (1)"].line.color == TO_COUNT.colour
    assert list(by_name["numbers"].text) == ["1", "2 ✓"]
    assert TO_COUNT.colour not in {style.colour for style in BOX_STYLES.values()}
