"""How many HER2 signals a cluster has, from its light and from what the network says."""

import numpy as np
import pytest
import torch

from her2core.counting.clusters import FEATURES, ClusterEstimate, Light, TypicalSignal, features
from her2core.counting.context import region_context
from her2core.counting.crops import INPUT_PLANES, CropSize, as_tensors, cut, to_input
from her2core.counting.peaks import PeakMap
from her2core.counting.reading import Reading

SIDE = 80


def maps_of(*signals: list[tuple[float, float]]) -> PeakMap:
    """HER2 maps with a signal at each place (x, y)."""
    along = torch.arange(SIDE) + 0.5
    maps = torch.zeros(len(signals), SIDE, SIDE)
    for n, places in enumerate(signals):
        for x, y in places:
            bell = torch.exp(-((along - y)[:, None] ** 2 + (along - x)[None, :] ** 2) / (2 * 1.2**2))
            maps[n] += bell / bell.sum()
    return PeakMap.of(maps)


def painted(places: list[tuple[float, float]], peak: float, seed: int = 0) -> np.ndarray:
    """A nucleus of 64 px on black with HER2 signals of `peak` grey levels at places of the crop."""
    ys, xs = np.mgrid[:SIDE, :SIDE] + 0.5
    pixels = np.random.default_rng(seed).normal(8, 1.5, (SIDE, SIDE, 3))
    pixels[..., 2] += 120 * (np.hypot(xs - 40, ys - 40) < 32)
    for x, y in places:
        pixels[..., 0] += peak * np.exp(-((xs - x) ** 2 + (ys - y) ** 2) / (2 * 1.5**2))
    return np.clip(pixels, 0, 255).astype(np.uint8)


APART = [(20.0, 40.0), (40.0, 20.0), (60.0, 40.0), (40.0, 60.0)]


def region_light(peak: float) -> tuple[Light, TypicalSignal]:
    """The light of three nuclei with four signals apart and one with eight in a heap, and of their signal."""
    heap = [(36.0 + 3 * (i % 3), 36.0 + 3 * (i // 3)) for i in range(8)]
    signals = [APART, APART, APART, heap]
    crops = [
        cut(painted(places, peak, seed), [(8.0, 8.0, 72.0, 72.0)], CropSize(SIDE, 64))[0]
        for seed, places in enumerate(signals)
    ]
    tensors = as_tensors(crops)
    context = region_context(*tensors)
    planes = to_input(*tensors, context.unmixing.expand(4, 2, 3), context.unit.expand(4, 2))
    light = Light.of([planes[:2], planes[2:]], maps_of(*signals))
    return light, light.typical_signal(torch.tensor([4.0, 4, 4, 3]), torch.tensor([0.0, 0, 0, 1]))


@pytest.mark.parametrize("peak", [40, 90])
def test_a_heap_of_eight_signals_is_as_bright_as_eight_signals_of_its_region(peak: float) -> None:
    light, signal = region_light(peak)
    in_signals = light.total / signal.light
    assert in_signals[:3].tolist() == pytest.approx([4.0] * 3, rel=0.12)
    assert in_signals[3] == pytest.approx(8.0, rel=0.2)
    assert light.area_px[3] < 2 * light.area_px[0]
    assert light.brightest[3] > 1.3 * light.brightest[0]


def test_nothing_outside_the_nucleus_or_away_from_signals_is_light_of_signals() -> None:
    planes = torch.zeros(1, INPUT_PLANES, SIDE, SIDE)
    planes[:, 3, 10:70, 10:70] = 1  # the ellipse
    planes[:, 6] = 0.5  # one typical signal everywhere
    dark = Light.of([planes], maps_of([]))
    assert (dark.total.item(), dark.area_px.item(), dark.brightest.item()) == (0.0, 0.0, 0.0)
    inside, outside = Light.of([planes], maps_of([(40.0, 40.0)])), Light.of([planes], maps_of([(4.0, 4.0)]))
    assert inside.total == inside.area_px > 0
    assert inside.brightest == 1
    assert outside.total == 0


def test_a_region_without_a_single_signal_has_the_usual_one() -> None:
    none = torch.zeros(3)
    signal = Light(none, none, none).typical_signal(none, none)
    everything_clustered = Light(none + 500, none + 200, none + 9).typical_signal(none + 30, none + 1)
    assert signal == everything_clustered == TypicalSignal(torch.tensor(30.0), torch.tensor(25.0))


def planted(n: int = 600) -> tuple[torch.Tensor, torch.Tensor]:
    """Features of clusters whose light and whose integral each tell their signals with an error of its own."""
    generator = torch.Generator().manual_seed(4)
    true = torch.randint(6, 40, (n,), generator=generator).float()
    error = torch.exp(0.3 * torch.randn(n, 2, generator=generator))
    light = Light(30 * true * error[:, 0], 20 * true, torch.full((n,), 3.0))
    signal = TypicalSignal(torch.tensor(30.0), torch.tensor(25.0))
    return features(0.7 * true * error[:, 1], torch.zeros(n), torch.ones(n), torch.zeros(n), light, signal), true


def test_clusters_are_estimated_right_in_sum_and_better_than_by_one_way_alone() -> None:
    columns, true = planted()
    columns[:, FEATURES.index("area, in typical signals")] = 0
    fitted = ClusterEstimate.fit(columns, true)
    assert fitted is not None
    found = fitted.signals(columns)
    assert float(found.sum() / true.sum()) == pytest.approx(1.0, abs=1e-3)
    by_light = torch.exp(columns[:, FEATURES.index("light, in typical signals")])
    by_light = by_light * true.sum() / by_light.sum()
    assert float((found - true).abs().mean()) < 0.8 * float((by_light - true).abs().mean())


def test_few_clusters_fit_no_estimate_and_a_number_beyond_all_reason_is_not_given() -> None:
    columns, true = planted(40)
    assert ClusterEstimate.fit(columns, true) is None
    assert ClusterEstimate.fit(*(part[:0] for part in planted())) is None
    fitted = ClusterEstimate.fit(*planted())
    assert fitted is not None
    assert float(fitted.signals(torch.full((1, len(FEATURES)), 1e4)).max()) < 150


def test_an_estimate_survives_its_card_and_one_of_other_features_is_refused() -> None:
    fitted = ClusterEstimate.fit(*planted())
    assert fitted is not None
    reading = Reading(in_clusters=fitted)
    again = Reading.from_config(reading.to_config())
    assert again.in_clusters is not None
    columns, _ = planted()
    assert torch.allclose(again.in_clusters.signals(columns), fitted.signals(columns), rtol=1e-3)
    with pytest.raises(ValueError, match="other features"):
        Reading.from_config({"in_clusters": {"features": ["mood"], "weights": [1.0], "bias": 0.0}})
    with pytest.raises(ValueError, match="weights"):
        ClusterEstimate((1.0,), 0.0)


def test_a_cluster_never_has_fewer_signals_than_peaks() -> None:
    ways = torch.tensor([20.0, 4.0]), torch.tensor([10.0, 4.0]), torch.tensor([9.0, 7.0])
    none = torch.zeros(2, len(FEATURES))
    assert Reading(cluster_weights=(0.5, 0.5)).in_cluster(*ways, none).tolist() == [15.0, 7.0]
    eight = ClusterEstimate((0.0,) * len(FEATURES), float(np.log(8)))
    assert Reading(in_clusters=eight).in_cluster(*ways, none).tolist() == pytest.approx([9.0, 8.0])
