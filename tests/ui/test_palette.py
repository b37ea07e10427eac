"""States and signals stay apart for eyes that confuse colours, and never by colour alone.

Colour vision without one cone is simulated after Machado, Oliveira and Fernandes 2009 (severity 1.0, in linear RGB);
differences are Euclidean in CIELAB (CIE76), in which about 2.3 is just noticeable.
"""

from __future__ import annotations

from collections.abc import Mapping
from itertools import combinations

import numpy as np
import numpy.typing as npt
import pytest

from her2core.ui.palette import BOX_STYLES, SIGNAL_STYLES, NucleusState

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
    assert difference(SIGNAL_STYLES["her2"].colour, SIGNAL_STYLES["cep17"].colour, seen_as) >= LEAST_DIFFERENCE


@pytest.mark.parametrize("seen_as", list(SEEN_AS))
def test_all_marks_stand_out_on_the_black_field(seen_as: str) -> None:
    colours = [style.colour for style in BOX_STYLES.values()] + [style.colour for style in SIGNAL_STYLES.values()]
    for colour in colours:
        luminance = float(TO_XYZ[1] @ np.clip(SEEN_AS[seen_as] @ linear(colour), 0, 1))
        assert (luminance + 0.05) / 0.05 >= LEAST_CONTRAST, colour


def test_every_state_has_a_line_a_sign_and_a_word_of_its_own() -> None:
    assert set(BOX_STYLES) == set(NucleusState)
    for cue in ("dash", "pattern", "sign"):
        assert len({getattr(style, cue) for style in BOX_STYLES.values()}) == len(NucleusState), cue
    assert len({state.value for state in NucleusState}) == len(NucleusState)


def test_signals_differ_in_shape() -> None:
    assert len({style.symbol for style in SIGNAL_STYLES.values()}) == len(SIGNAL_STYLES) == 2
