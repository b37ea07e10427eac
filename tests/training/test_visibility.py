"""What a reader could not see in the finished image is not labelled."""

from dataclasses import replace

import numpy as np
import pytest

from her2core.records import Channel, Signal
from her2core.training.render.scene import Kind, Scene, SceneNucleus, sample_conditions
from her2core.training.render.shapes import Outline
from her2core.training.render.visibility import unseen

SIDE, ACROSS, NUCLEUS_PX = 360, 4, 70.0
# Where the signals of each nucleus lie, from its centre. The last CEP17 signal is the one in question.
HER2 = ((-18, -10), (16, -14), (0, 18))
CEP17 = ((18, 8), (-16, -10))


def field(*, last_peak: float, her2_in_green: float = 0.4, clustered: bool = False) -> tuple[np.ndarray, Scene]:
    """A region of 16 nuclei as uint8[SIDE, SIDE, 3], and its scene. The last CEP17 signal of every nucleus lies 2 px
    from a HER2 signal, whose light shows in green, too."""
    rng = np.random.default_rng(2)
    c = replace(
        sample_conditions(rng), nucleus_px=NUCLEUS_PX, width_px=SIDE, height_px=SIDE, her2_fwhm=0.06, cep17_fwhm=0.06
    )
    ys, xs = np.mgrid[:SIDE, :SIDE].astype(np.float32)
    pixels = rng.normal(12, 1.0, (SIDE, SIDE, 3)).astype(np.float32)
    nuclei = []
    for n in range(ACROSS**2):
        x0, y0 = (45 + 90 * (n % ACROSS), 45 + 90 * (n // ACROSS))
        pixels[..., 2] += 90 * (np.hypot(xs - x0, ys - y0) < NUCLEUS_PX / 2)
        signals = []
        for channel, places in ((Channel.HER2, HER2), (Channel.CEP17, CEP17)):
            for k, (dx, dy) in enumerate(places):
                x, y = x0 + dx, y0 + dy
                spot = np.exp(-((xs - x) ** 2 + (ys - y) ** 2) / (2 * 1.8**2))
                if channel is Channel.HER2:
                    pixels[..., 0] += 110 * spot
                    pixels[..., 1] += 110 * her2_in_green * spot
                else:
                    pixels[..., 1] += (last_peak if k == 1 else 70) * spot
                signals.append(Signal(channel, float(x), float(y)))
        outline = Outline(float(x0), float(y0), NUCLEUS_PX / 2, 1.0, 0.0)
        nuclei.append(SceneNucleus(Kind.TUMOUR, outline, her2=3, cep17=2, clustered=clustered, signals=tuple(signals)))
    return np.clip(pixels, 0, 255).astype(np.uint8), Scene(c, tuple(nuclei))


def test_clear_signals_are_seen() -> None:
    assert unseen(*field(last_peak=70)) == [set()] * ACROSS**2


@pytest.mark.parametrize("her2_in_green", [0.0, 0.4])
def test_a_signal_without_light_of_its_own_is_not_seen_even_in_the_green_of_a_her2_signal(her2_in_green: float) -> None:
    hidden = unseen(*field(last_peak=0, her2_in_green=her2_in_green))
    assert sum(4 in signals for signals in hidden) >= 0.9 * len(hidden)
    assert all(signals <= {4} for signals in hidden)


def test_her2_signals_of_clusters_are_not_asked_one_by_one() -> None:
    pixels, scene = field(last_peak=70, clustered=True)
    pixels[..., 0] = 12
    assert unseen(pixels, scene) == [set()] * ACROSS**2
