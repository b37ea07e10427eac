"""How likely a count is wrong, and how output is read as counts."""

from dataclasses import replace

import numpy as np
import pytest
import torch

from her2core.counting.crops import Crop, CropSize, cut, sharpness
from her2core.counting.judgement import FEATURES, Judgement, features, miscounted
from her2core.counting.network import CounterOutput
from her2core.counting.peaks import PeakMap
from her2core.counting.reading import Reading
from tests.counting.test_counter import density


def output(*heights: float, regressed: float | None = None) -> CounterOutput:
    """One nucleus with a HER2 peak of each height and two sure CEP17 signals."""
    her2 = torch.zeros(40, 40)
    for i, height in enumerate(heights):
        her2 += height * density([(8.5 + 8 * (i % 4), 8.5 + 8 * (i // 4))])
    maps = torch.stack([her2, density([(10.5, 30.5), (30.5, 30.5)])])[None]
    said = float(len(heights)) if regressed is None else regressed
    return CounterOutput(torch.tensor([[said, 2.0]]), maps, torch.tensor([-4.0]))


def tell_tale(name: str, said: CounterOutput) -> float:
    maps = [PeakMap.of(said.density[:, i]) for i in range(2)]
    return float(features(said, maps, (0.4, 0.4))[0, FEATURES.index(name)])


def test_peaks_near_the_threshold_raise_doubt_and_sure_ones_do_not() -> None:
    name = "HER2 peaks near the threshold"
    sure, doubtful = tell_tale(name, output(1.0, 1.0)), tell_tale(name, output(1.0, 0.42))
    assert sure < 0.1 < 0.5 < doubtful


def test_ways_of_counting_that_differ_raise_doubt() -> None:
    name = "HER2 regression against peaks"
    assert tell_tale(name, output(1.0, 1.0)) == pytest.approx(0.0)
    assert tell_tale(name, output(1.0, 1.0, regressed=5.0)) == pytest.approx(np.log(4.0), abs=1e-5)
    assert tell_tale("HER2 integral against peaks", output(1.0, 0.3)) == pytest.approx(np.log(1.3), abs=0.02)


def planted(n: int = 4000) -> tuple[torch.Tensor, torch.Tensor]:
    """Tell-tales of which one decides, by a known law, how often a count is wrong."""
    generator = torch.Generator().manual_seed(3)
    tell_tales = torch.rand(n, len(FEATURES), generator=generator)
    wrong = torch.rand(n, generator=generator) < torch.sigmoid(6 * tell_tales[:, 0] - 4)
    return tell_tales, wrong


def test_a_fitted_doubt_says_how_often_counts_are_wrong() -> None:
    tell_tales, wrong = planted()
    doubt = Judgement.fit(tell_tales, wrong)
    p = doubt.probability(tell_tales)
    for low, high in ((0.0, 0.1), (0.1, 0.4), (0.4, 0.8), (0.8, 1.0)):
        chosen = (p >= low) & (p < high)
        assert chosen.sum() > 50
        assert float(wrong[chosen].float().mean()) == pytest.approx(float(p[chosen].mean()), abs=0.06)
    flagged = p >= doubt.threshold
    assert wrong[flagged].float().mean() > 2 * wrong[~flagged].float().mean()


@pytest.mark.parametrize("all_wrong", [True, False])
def test_doubt_cannot_be_fitted_where_nothing_differs(all_wrong: bool) -> None:
    with pytest.raises(ValueError, match="cannot be fitted"):
        Judgement.fit(torch.rand(20, len(FEATURES)), torch.full((20,), all_wrong))


def test_a_reading_survives_its_card() -> None:
    reading = Reading((0.35, 0.5), (1.1, 0.9), (0.6, 0.3), None, Judgement.fit(*planted()))
    again = Reading.from_config(reading.to_config())
    assert again.doubt is not None and reading.doubt is not None
    assert again.doubt.weights == pytest.approx(reading.doubt.weights, abs=1e-4)
    assert replace(again, doubt=None) == replace(reading, doubt=None)


def test_a_card_of_before_counts_clusters_by_the_integral_and_knows_no_doubt() -> None:
    reading = Reading.from_config({"peak_threshold": [0.3, 0.4], "integral_gain": [1.2, 1.0]})
    assert reading.cluster_weights == (1.2, 0.0)
    assert reading.doubt is None


def test_doubt_of_other_tell_tales_is_refused() -> None:
    with pytest.raises(ValueError, match="other features"):
        Reading.from_config({"doubt": {"features": ["mood"], "weights": [1.0], "bias": 0.0, "threshold": 0.5}})


def test_where_the_map_holds_more_than_its_peaks_a_cluster_is_told() -> None:
    name = "HER2 integral above peaks, share"
    assert tell_tale(name, output(1.0, 1.0)) == pytest.approx(0.0, abs=0.01)
    assert tell_tale(name, output(3.0, 3.0)) > 0.4


def crop_of_disc(edge_px: float) -> Crop:
    ys, xs = np.mgrid[:120, :120]
    depth = 30 - np.hypot(xs - 60, ys - 60)
    pixels = np.zeros((120, 120, 3), np.uint8)
    pixels[..., 2] = 180 / (1 + np.exp(-depth / edge_px))
    return cut(pixels, [(30.0, 30.0, 90.0, 90.0)], CropSize())[0]


def test_a_nucleus_out_of_focus_is_less_sharp() -> None:
    sharp, soft, blurred = sharpness([crop_of_disc(0.7), crop_of_disc(2.0), crop_of_disc(6.0)])
    assert sharp > 1.3 * soft
    assert soft > 1.4 * blurred


def test_what_is_brighter_outside_or_black_has_no_sharpness() -> None:
    ys, xs = np.mgrid[:120, :120]
    pixels = np.zeros((120, 120, 3), np.uint8)
    pixels[..., 2] = np.clip(3 * np.hypot(xs - 60, ys - 60), 0, 255)
    box = (30.0, 30.0, 90.0, 90.0)
    found = sharpness([*cut(pixels, [box], CropSize()), *cut(np.zeros_like(pixels), [box], CropSize())])
    assert found.tolist() == [0.0, 0.0]


@pytest.mark.parametrize(
    ("counted", "true", "clustered", "wrong"),
    [
        (4, 4, False, False),
        (5, 4, False, True),
        (3, 4, True, True),  # one signal of few is one too many in a cluster, too
        (7, 6, False, True),
        (8, 7, False, False),  # one of seven is less than 15 %
        (17, 20, False, True),  # just 15 %
        (18, 20, False, False),
        (12, 10, True, False),  # an estimate within a quarter
        (13, 10, True, True),
        (15, 20, True, True),  # just a quarter
        (16, 20, True, False),
    ],
)
def test_a_count_is_wrong_by_a_signal_and_a_share(counted: float, true: float, clustered: bool, wrong: bool) -> None:
    assert miscounted(counted, true, clustered=clustered) is wrong
