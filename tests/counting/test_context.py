"""What a region tells about each of its nuclei: how stains mix, how bright a signal is."""

import numpy as np
import pytest
import torch
from torch import Tensor

from her2core.counting.context import region_context

Mixing = tuple[float, float, float, float]  # green of HER2, red of CEP17, red of DAPI, green of DAPI


SIDE_PX = 80


def nuclei(
    mixing: Mixing, *, unit: tuple[float, float] = (80.0, 50.0), count: int = 20, seed: int = 1, her2: int = 3
) -> Tensor:
    """Crops float[count, 3, S, S] of nuclei with `her2` HER2 and two CEP17 signals and grains of DAPI."""
    rng = np.random.default_rng(seed)
    ys, xs = np.mgrid[:SIDE_PX, :SIDE_PX].astype(np.float32)
    centre = SIDE_PX / 2
    green_of_her2, red_of_cep17, red_of_dapi, green_of_dapi = mixing
    colours = np.array([[1, red_of_cep17, red_of_dapi], [green_of_her2, 1, green_of_dapi], [0, 0, 1]], np.float32)
    crops = []
    for _ in range(count):
        stains = np.zeros((3, SIDE_PX, SIDE_PX), np.float32)
        stains[2] = 60 * (np.hypot(xs - centre, ys - centre) < 30)
        angles = rng.permutation(12) * (2 * np.pi / 12)
        for spot, (stain, peak) in enumerate([(0, unit[0])] * her2 + [(1, unit[1])] * 2 + [(2, 40.0)] * 5):
            x, y = centre + 18 * np.cos(angles[spot]), centre + 18 * np.sin(angles[spot])
            stains[stain] += peak * np.exp(-((xs - x) ** 2 + (ys - y) ** 2) / (2 * 1.5**2))
        pixels = np.tensordot(colours, stains, axes=1) + rng.normal(10, 0.8, stains.shape)
        crops.append(np.clip(pixels, 0, 255))
    return torch.tensor(np.array(crops), dtype=torch.float32)


AXES = torch.full((20, 2), 32.0)


@pytest.mark.parametrize(
    "mixing", [(0.0, 0.0, 0.0, 0.0), (0.35, 0.0, 0.0, 0.0), (0.0, 0.3, 0.0, 0.0), (0.2, 0.25, 0.4, 0.3)]
)
def test_the_light_of_other_stains_is_measured_and_taken_out(mixing: Mixing) -> None:
    green_of_her2, red_of_cep17, red_of_dapi, green_of_dapi = mixing
    colours = torch.tensor([[1.0, red_of_cep17, red_of_dapi], [green_of_her2, 1.0, green_of_dapi], [0.0, 0.0, 1.0]])
    left = region_context(nuclei(mixing), AXES).unmixing @ colours  # of each stain in each probe
    own = torch.diagonal(left)
    assert float((left / own[:, None] - torch.eye(2, 3)).abs().max()) < 0.06


def test_a_typical_signal_is_as_bright_as_signals_are() -> None:
    dim, bright = (region_context(nuclei((0.1, 0.1, 0.1, 0.1), unit=u), AXES).unit for u in ((20, 30), (60, 90)))
    assert float(bright[0] / dim[0]) == pytest.approx(3, rel=0.15)
    assert float(bright[1] / dim[1]) == pytest.approx(3, rel=0.15)
    assert float(bright[1] / bright[0]) == pytest.approx(1.5, rel=0.15)


def test_single_signals_are_typical_where_nuclei_have_one_each() -> None:
    """The second strongest peak is noise there; single signals were taken for clusters by it."""
    three, one = (region_context(nuclei((0.1, 0.1, 0.1, 0.1), her2=n), AXES).unit for n in (3, 1))
    assert 0.5 < float(one[0] / three[0]) < 1.1


def test_neither_depends_on_the_order_of_the_nuclei() -> None:
    crops = nuclei((0.2, 0.1, 0.3, 0.1))
    one, other = region_context(crops, AXES), region_context(crops.flip(0), AXES)
    assert torch.allclose(one.unmixing, other.unmixing, atol=1e-5)
    assert torch.allclose(one.unit, other.unit)


@pytest.mark.parametrize("level", [0, 7, 255])
def test_without_any_signal_the_context_is_the_usual_one(level: int) -> None:
    context = region_context(torch.full((3, 3, SIDE_PX, SIDE_PX), level, dtype=torch.uint8), AXES[:3])
    assert torch.isfinite(context.unmixing).all()
    assert torch.allclose(torch.diagonal(context.unmixing), torch.ones(2))
    assert float(context.unit.min()) > 0
    assert float(context.unmixing.abs().max()) == 1
