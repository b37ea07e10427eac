"""What a reader could not see in the finished image is not labelled, and what he could see is."""

from dataclasses import dataclass, replace

import numpy as np
import pytest
from numpy.typing import NDArray

from her2core.records import Channel, Signal
from her2core.training.render.dataset import BRIGHTER, lighten
from her2core.training.render.scene import Kind, Scene, SceneNucleus, blank, sample_conditions, without
from her2core.training.render.shapes import Outline
from her2core.training.render.visibility import unseen

SIDE, ACROSS, NUCLEUS_PX = 360, 4, 70.0
# Where the signals of each nucleus lie, from its centre. The last CEP17 signal is the one in question.
HER2 = ((-18, -10), (16, -14), (0, 18))
CEP17 = ((18, 8), (-16, -10))


@dataclass(frozen=True)
class Field:
    """A region of 16 nuclei, the same without signals (uint8[SIDE, SIDE, 3] each), and its scene."""

    pixels_rgb: NDArray[np.uint8]
    blank_rgb: NDArray[np.uint8]
    scene: Scene

    def unseen(self) -> list[set[int]]:
        return unseen(self.pixels_rgb, self.blank_rgb, self.scene)


def field(
    *,
    last_peak: float = 70,
    her2_in_green: float = 0.4,
    clustered: bool = False,
    her2: tuple[tuple[int, int], ...] = HER2,
    her2_peak: float = 110,
    grain_peak: float = 0,
    sigma_px: float = 1.8,
) -> Field:
    """The last CEP17 signal of every nucleus lies 2 px from a HER2 signal, whose light shows in green, too. In its
    middle there is a red grain that is no signal."""
    rng = np.random.default_rng(2)
    fwhm = 2.355 * sigma_px / NUCLEUS_PX
    c = replace(
        sample_conditions(rng), nucleus_px=NUCLEUS_PX, width_px=SIDE, height_px=SIDE, her2_fwhm=fwhm, cep17_fwhm=fwhm
    )
    ys, xs = np.mgrid[:SIDE, :SIDE].astype(np.float32)
    background = rng.normal(12, 1.0, (SIDE, SIDE, 3)).astype(np.float32)
    light = np.zeros_like(background)
    nuclei = []

    def spot(x: float, y: float) -> NDArray[np.float32]:
        return np.asarray(np.exp(-((xs - x) ** 2 + (ys - y) ** 2) / (2 * sigma_px**2)), np.float32)

    for n in range(ACROSS**2):
        x0, y0 = (45 + 90 * (n % ACROSS), 45 + 90 * (n // ACROSS))
        background[..., 2] += 90 * (np.hypot(xs - x0, ys - y0) < NUCLEUS_PX / 2)
        background[..., 0] += grain_peak * spot(x0, y0)
        signals = []
        for dx, dy in her2:
            light[..., 0] += her2_peak * spot(x0 + dx, y0 + dy)
            light[..., 1] += her2_peak * her2_in_green * spot(x0 + dx, y0 + dy)
            signals.append(Signal(Channel.HER2, float(x0 + dx), float(y0 + dy)))
        for k, (dx, dy) in enumerate(CEP17):
            light[..., 1] += (last_peak if k == 1 else 70) * spot(x0 + dx, y0 + dy)
            signals.append(Signal(Channel.CEP17, float(x0 + dx), float(y0 + dy)))
        outline = Outline(float(x0), float(y0), NUCLEUS_PX / 2, 1.0, 0.0)
        nuclei.append(
            SceneNucleus(Kind.TUMOUR, outline, her2=len(her2), cep17=2, clustered=clustered, signals=tuple(signals))
        )
    with_signals, without_them = (np.clip(p, 0, 255).astype(np.uint8) for p in (background + light, background))
    return Field(with_signals, without_them, Scene(c, tuple(nuclei)))


def test_clear_signals_are_seen() -> None:
    assert field().unseen() == [set()] * ACROSS**2


@pytest.mark.parametrize("her2_in_green", [0.0, 0.4])
def test_a_signal_without_light_of_its_own_is_not_seen_even_in_the_green_of_a_her2_signal(her2_in_green: float) -> None:
    hidden = field(last_peak=0, her2_in_green=her2_in_green).unseen()
    last = len(HER2) + 1
    assert sum(last in signals for signals in hidden) >= 0.9 * len(hidden)
    assert all(signals <= {last} for signals in hidden)


def test_her2_signals_of_clusters_are_not_asked_one_by_one() -> None:
    clusters = field(clustered=True)
    clusters.pixels_rgb[..., 0] = 12
    assert clusters.unseen() == [set()] * ACROSS**2


@pytest.mark.parametrize("sigma_px", [1.8, 3.0])
def test_in_a_nucleus_full_of_signals_each_is_seen(sigma_px: float) -> None:
    """Beside many signals hardly any background is left to measure a contrast on: they are no noise."""
    step = int(4 * sigma_px)
    full = tuple(
        (dx, dy)
        for dx in range(-24, 25, step)
        for dy in range(-24, 25, step)
        if np.hypot(dx, dy) < 0.8 * NUCLEUS_PX / 2
    )
    assert len(full) >= 12
    assert field(her2=full, her2_in_green=0, her2_peak=60, sigma_px=sigma_px).unseen() == [set()] * ACROSS**2


@pytest.mark.parametrize(("grain_peak", "seen"), [(0, True), (40, True), (80, False), (120, False)])
def test_a_signal_that_a_grain_of_its_nucleus_outshines_is_not_seen(grain_peak: float, seen: bool) -> None:
    hidden = field(her2_peak=70, grain_peak=grain_peak).unseen()
    her2 = set(range(len(HER2)))
    assert all(signals == (set() if seen else her2) for signals in hidden)


def furnished() -> SceneNucleus:
    """Two HER2 signals, the first a split pair, one CEP17 signal, and a spot that is none."""
    spots = np.array(
        [[1, 1, 3, 1, 0, 0], [2, 1, 3, 1, 0, 0], [9, 9, 3, 1, 0, 1], [5, 5, 3, 1, 1, 2], [7, 7, 3, 0.2, 0, -1]]
    )
    return SceneNucleus(
        Kind.TUMOUR,
        Outline(5.0, 5.0, 10.0, 1.0, 0.0),
        her2=2,
        cep17=1,
        scorable=True,
        signals=(Signal(Channel.HER2, 1.5, 1), Signal(Channel.HER2, 9, 9), Signal(Channel.CEP17, 5, 5)),
        spots=spots.astype(np.float32),
    )


def test_what_leaves_the_truth_is_not_painted_either() -> None:
    left = without(furnished(), {0})
    assert (left.her2, left.cep17, left.scorable) == (1, 1, True)
    assert [(s.channel, s.x) for s in left.signals] == [(Channel.HER2, 9), (Channel.CEP17, 5)]
    assert left.spots[:, [0, 5]].tolist() == [[9, 0], [5, 1], [7, -1]]


def test_a_nucleus_that_loses_a_colour_is_not_scored() -> None:
    assert not without(furnished(), {2}).scorable


def test_a_blank_scene_has_only_spots_that_count_for_nothing() -> None:
    scene = blank(Scene(field().scene.conditions, (furnished(),)))
    (nucleus,) = scene.nuclei
    assert (nucleus.her2, nucleus.cep17, nucleus.signals, nucleus.spots[:, 0].tolist()) == (0, 0, (), [7])


def test_clusters_grow_as_bright_as_single_signals_do_on_average() -> None:
    """Their light tells their number only if a signal in them is as bright as one beside them."""
    single, cluster = furnished(), replace(furnished(), clustered=True)
    scene = Scene(field().scene.conditions, (single, cluster))
    lit = lighten(scene, [{1, 2}, set()])  # one HER2 signal of two, and the CEP17 signal
    assert lit.nuclei[0].spots[:, 3] == pytest.approx([1, 1, BRIGHTER, BRIGHTER, 0.2])
    assert lit.nuclei[1].spots[:, 3] == pytest.approx([BRIGHTER**0.5] * 3 + [1, 0.2])
