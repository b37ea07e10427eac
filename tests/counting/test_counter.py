"""Peaks, integrals and the counter as it is used, with the committed weights."""

from pathlib import Path

import numpy as np
import pytest
import torch
from torch.nn.utils.fusion import fuse_conv_bn_eval

from her2core.counting import Counter, network
from her2core.counting.counter import _BATCH
from her2core.counting.crops import INPUT_PLANES
from her2core.counting.network import DENSITY_SIGMA_PX, FIELD, CounterNet, completed, fused, mean_of_fields
from her2core.counting.peaks import PeakMap
from her2core.errors import CancelledError, ModelError
from her2core.records import Box, Channel
from tests.training.drawn import drawn_region

WEIGHTS = Path(__file__).parents[2] / "models" / "counter.safetensors"


def density(points: list[tuple[float, float]], side: int = 40) -> torch.Tensor:
    ys, xs = torch.meshgrid(torch.arange(side) + 0.5, torch.arange(side) + 0.5, indexing="ij")
    total = torch.zeros(side, side)
    for x, y in points:
        total += torch.exp(-((xs - x) ** 2 + (ys - y) ** 2) / (2 * DENSITY_SIGMA_PX**2))
    return total / (2 * torch.pi * DENSITY_SIGMA_PX**2)


def test_peaks_are_found_where_signals_lie() -> None:
    points = [(10.3, 12.7), (20.0, 12.0), (30.5, 30.5)]
    found = PeakMap.of(density(points)[None]).positions()[0]
    assert sorted(map(tuple, found.tolist())) == [pytest.approx(p, abs=0.35) for p in sorted(points)]


def test_two_equal_pixels_are_one_peak() -> None:
    flat = torch.zeros(1, 20, 20)
    flat[0, 9, 9] = flat[0, 9, 10] = 0.1
    assert len(PeakMap.of(flat).positions()[0]) <= 1


def test_an_empty_map_has_no_peaks() -> None:
    assert [found.shape for found in PeakMap.of(torch.zeros(2, 20, 20)).positions()] == [(0, 2), (0, 2)]


@pytest.mark.parametrize("threshold", [0.2, 0.6, 0.9])
def test_peaks_are_counted_as_they_are_found(threshold: float) -> None:
    maps = torch.rand(4, 40, 40, generator=torch.Generator().manual_seed(2)) / 10
    maps[0] = density([(10.3, 12.7), (20.0, 12.0), (30.5, 30.5)])
    found = PeakMap.of(maps)
    assert found.counts(threshold).tolist() == [float(len(points)) for points in found.positions(threshold)]
    assert found.counts(threshold)[0] == 3


@pytest.fixture(scope="module")
def counter() -> Counter:
    return Counter.load(WEIGHTS)


@pytest.mark.parametrize(("her2", "cep17"), [(2, 2), (1, 2), (3, 1), (4, 2), (0, 2), (2, 0)])
def test_clear_signals_are_counted_and_located(counter: Counter, her2: int, cep17: int) -> None:
    pixels, box, signals = drawn_region(her2, cep17)
    count = counter.count(pixels, [box])[0]
    assert (count.peaks(Channel.HER2), count.peaks(Channel.CEP17)) == (her2, cep17)
    for signal in signals:
        nearest = min(np.hypot(s.x - signal.x, s.y - signal.y) for s in count.signals if s.channel is signal.channel)
        assert nearest < 4  # px of a nucleus 90 px wide


SPOT_SIGMA_PX = 2.0  # of the signals that are drawn
DIAMETER_PX = 2.355 * SPOT_SIGMA_PX


def with_a_pair(channel: int, apart_px: float, angle: float) -> tuple[np.ndarray, Box]:
    """A nucleus with two signals of each colour, and a pair of one colour where no other lies."""
    pixels, box, _ = drawn_region(2, 2)
    ys, xs = np.mgrid[:240, :240].astype(float)
    glow = pixels.astype(float)
    for side in (-0.5, 0.5):
        x, y = 92 + side * apart_px * np.cos(angle), 140 + side * apart_px * np.sin(angle)
        glow[..., channel] += 150 * np.exp(-((xs - x) ** 2 + (ys - y) ** 2) / (2 * SPOT_SIGMA_PX**2))
    return np.clip(glow, 0, 255).astype(np.uint8), box


@pytest.mark.parametrize("channel", [Channel.HER2, Channel.CEP17])
@pytest.mark.parametrize(("diameters", "signals"), [(0.5, 1), (0.8, 1), (1.0, 1), (2.0, 2), (2.5, 2)])
def test_a_split_signal_counts_once_and_two_that_lie_apart_count_twice(
    counter: Counter, channel: Channel, diameters: float, signals: int
) -> None:
    """Two of one colour at most one diameter apart are one signal (domain.md section 2, rule 3)."""
    right = 0
    for angle in np.linspace(0, np.pi, 6, endpoint=False):
        pixels, box = with_a_pair(list(Channel).index(channel), diameters * DIAMETER_PX, float(angle))
        count = counter.count(pixels, [box])[0]
        right += count.peaks(channel) == 2 + signals
    assert right >= 5  # of six directions


def test_signals_of_a_touching_neighbour_are_not_counted(counter: Counter) -> None:
    pixels, box, _ = drawn_region(2, 2, neighbour=6)
    count = counter.count(pixels, [box])[0]
    assert (count.peaks(Channel.HER2), count.peaks(Channel.CEP17)) == (2, 2)


def test_a_nucleus_is_counted_alike_alone_and_among_others(counter: Counter) -> None:
    """The others show how the region's stains mix; whether they are counted, too, is no matter."""
    pixels, box, _ = drawn_region(3, 2)
    others = [(0, 0, 50, 50), (20, 20, 60, 60)]
    alone = counter.count(pixels, [box], others=others)[0]
    among = counter.count(pixels, [others[0], box, others[1]])[1]
    assert alone.regressed == pytest.approx(among.regressed, abs=1e-3)
    assert [s.channel for s in alone.signals] == [s.channel for s in among.signals]
    for one, other in zip(alone.signals, among.signals, strict=True):  # sums of other batches, in another order
        assert (one.x, one.y) == pytest.approx((other.x, other.y), abs=1e-3)


def test_more_nuclei_than_are_read_at_once_are_counted_in_order(counter: Counter) -> None:
    pixels, box, _ = drawn_region(3, 2)
    shifted = [(box[0] + dx, box[1], box[2] + dx, box[3]) for dx in (0.0, 0.5)]
    told: list[float] = []
    counts = counter.count(pixels, [*shifted * (_BATCH // 2 + 5)], told.append)  # in batches, shown by half of them
    assert len(counts) == _BATCH + 10
    assert told[-1] == 1.0
    for i, count in enumerate(counts):
        assert count.regressed == pytest.approx(counts[i % 2].regressed, abs=1e-3)
        assert len(count.signals) == len(counts[i % 2].signals)


def test_counts_are_the_same_whatever_the_number_of_cores(counter: Counter, monkeypatch: pytest.MonkeyPatch) -> None:
    pixels, box, _ = drawn_region(3, 2)
    boxes = [(box[0] + i % 7, box[1], box[2] + i % 7, box[3]) for i in range(_BATCH + 40)]
    counted = []
    for number in (1, 2, 5):
        monkeypatch.setattr("her2core.counting.counter.cores", lambda number=number: number)
        counted.append(counter.count(pixels, boxes))
    assert counted[0] == counted[1] == counted[2]


def test_no_box_is_no_count(counter: Counter) -> None:
    assert counter.count(np.zeros((50, 50, 3), np.uint8), []) == []


def test_counting_stops_when_asked_to(counter: Counter) -> None:
    with pytest.raises(CancelledError):
        counter.count(np.zeros((50, 50, 3), np.uint8), [(0, 0, 20, 20)], cancelled=lambda: True)


def test_weights_of_another_network_are_refused() -> None:
    with pytest.raises(ModelError, match="do not fit"):
        Counter({"a": torch.zeros(1)}, {"name": "counter", "version": "1", "sha256": "0" * 64})


def test_a_card_whose_systematic_error_cannot_be_read_is_refused(counter: Counter) -> None:
    card = counter.card | {"config": counter.card["config"] | {"systematic_error": {"her2": 7.0}}}
    with pytest.raises(ModelError, match="Restore both"):
        Counter(CounterNet().state_dict(), card)


def test_the_network_keeps_the_size_of_the_crop() -> None:
    output = CounterNet().eval()(torch.zeros(2, INPUT_PLANES, 80, 80), torch.zeros(2, FIELD + 1))
    assert output.density.shape == (2, 2, 80, 80)
    assert output.regressed.shape == (2, 2)
    assert output.cluster_logit.shape == (2,)


@pytest.mark.parametrize("side", [72, 80])
def test_folding_the_batch_normalisations_changes_no_number(side: int) -> None:
    torch.manual_seed(3)
    net = CounterNet().train()
    x, field = torch.randn(8, INPUT_PLANES, side, side), torch.randn(8, FIELD + 1)
    net.describe(x)  # their statistics are not those of the start any more
    net(x, field)
    x, field = x[:2] * 0.9, field[:2]
    whole, folded = net.eval()(x, field), fused(net, side)(x, field)
    assert torch.allclose(net.describe(x), fused(net, side).describe(x), rtol=1e-3, atol=1e-5)
    assert not any(isinstance(module, torch.nn.BatchNorm2d) for module in fused(net, side).modules())
    for name in ("regressed", "density", "cluster_logit"):
        assert torch.allclose(getattr(whole, name), getattr(folded, name), rtol=1e-3, atol=1e-5)


def test_a_decoder_without_idle_products_makes_the_same_features_up_to_the_border() -> None:
    torch.manual_seed(4)
    up = network._Up(6, 4, 5)
    conv, norm = up.conv[0], up.conv[1]
    assert isinstance(conv, torch.nn.Conv2d)
    assert isinstance(norm, torch.nn.BatchNorm2d)
    torch.nn.init.normal_(norm.weight)
    x, skip = torch.randn(3, 6, 5, 7), torch.randn(3, 4, 10, 14)
    up(x, skip)  # statistics of its own
    up.eval()
    quick = network._QuickUp(fuse_conv_bn_eval(conv, norm), 6)
    torch.testing.assert_close(quick(x, skip), up(x, skip), rtol=1e-5, atol=1e-5)
    assert quick(x, skip).min() == 0
    assert quick(x, skip)[:, :, 0].std() > 0.1


def test_a_field_is_the_mean_of_what_its_nuclei_say_and_how_many_they_are() -> None:
    described = torch.arange(5.0)[:, None].expand(5, FIELD)
    field = mean_of_fields(described, torch.tensor([0, 1, 0, 1, 1]))
    assert field[:, 0].tolist() == [1, pytest.approx(8 / 3)]
    for nuclei, seen in ((1, 4), (4, 4), (9, 9), (400, 16)):
        field = mean_of_fields(torch.zeros(nuclei, FIELD), torch.zeros(nuclei, dtype=torch.int64))
        assert float(field[0, -1]) == pytest.approx(seen**-0.5)


def test_the_others_of_a_field_show_how_a_nucleus_is_counted() -> None:
    torch.manual_seed(5)
    net = CounterNet().eval()
    x, fields = torch.rand(1, INPUT_PLANES, 80, 80), torch.rand(2, 1, FIELD + 1)
    alike = [net(x, field) for field in fields]
    assert torch.equal(alike[0].density, alike[1].density)  # an untrained one does not listen
    torch.nn.init.normal_(net.by_field.out.weight, std=0.1)
    other = [net(x, field) for field in fields]
    assert not torch.allclose(other[0].density, other[1].density)
    assert not torch.allclose(other[0].regressed, other[1].regressed)


def test_a_counter_that_knew_no_fields_counts_as_before(counter: Counter) -> None:
    torch.manual_seed(6)
    net = CounterNet()
    torch.nn.init.normal_(net.by_field.out.weight, std=0.1)
    old = {name: part for name, part in net.state_dict().items() if not name.startswith(("field.", "by_field."))}
    net.load_state_dict(completed(old, net))
    x, fields = torch.rand(1, INPUT_PLANES, 80, 80), torch.rand(2, 1, FIELD + 1)
    one, two = (net.eval()(x, field) for field in fields)
    assert torch.equal(one.density, two.density)
    Counter(old, counter.card)
