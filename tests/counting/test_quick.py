"""Stage 2 in 8 bits: the same counts as in float32, nearly, and on every device."""

from pathlib import Path

import pytest
import torch

from benchmarks.arithmetic import Compared, in_float32, without_instructions
from her2core import eight_bits
from her2core.counting import Counter, quick
from her2core.counting.crops import INPUT_PLANES
from her2core.counting.network import FIELD, CounterNet, fused
from her2core.counting.quick import QuickCounterNet, counter_ranges, in_use
from her2core.eight_bits import RANGES, read_ranges, without_ranges
from her2core.errors import ModelError
from her2core.models import load_weights
from her2core.pipeline import load_models
from her2core.records import Channel, Nucleus
from tests.training.drawn import drawn_region

MODELS = Path(__file__).parents[2] / "models"
CPU = torch.device("cpu")


@pytest.fixture(scope="module")
def net() -> CounterNet:
    net = CounterNet()
    net.load_state_dict(load_weights(MODELS / "counter.safetensors")[0])
    return net.eval()


@pytest.fixture(scope="module")
def planes() -> torch.Tensor:
    torch.manual_seed(2)
    return torch.rand(6, INPUT_PLANES, 80, 80).contiguous(memory_format=torch.channels_last)


def test_the_committed_counter_works_in_8_bits() -> None:
    assert isinstance(load_models(MODELS, "cpu").counter._net, QuickCounterNet)


@pytest.mark.parametrize("fields", ["of the nuclei", "random"])
def test_its_output_is_that_of_the_network_within_what_8_bits_resolve(
    net: CounterNet, planes: torch.Tensor, fields: str
) -> None:
    torch.manual_seed(4)
    with torch.inference_mode():
        field = torch.rand(1, FIELD + 1)
        levels = read_ranges(counter_ranges(net, lambda plain: (plain.describe(planes), plain(planes, field))))
        eight = QuickCounterNet(net, levels, CPU)
        if fields == "of the nuclei":
            described = eight.describe(planes)
            assert float((described - net.describe(planes)).abs().mean()) < 0.02 * float(net.describe(planes).std())
            field = torch.cat([described.mean(0, keepdim=True), torch.full((1, 1), 0.3)], dim=1)
        plain, quick_one = net(planes, field), eight(planes, field)
    for name in ("regressed", "density", "cluster_logit"):
        wanted, found = getattr(plain, name), getattr(quick_one, name)
        assert found.shape == wanted.shape
        assert float((found - wanted).abs().mean()) < 0.15 * float(wanted.std())


@pytest.mark.parametrize(("her2", "cep17"), [(2, 2), (1, 2), (3, 1), (0, 2), (2, 0), (12, 2)])
def test_a_nucleus_is_counted_as_in_float32(her2: int, cep17: int) -> None:
    models = load_models(MODELS, "cpu")
    pixels, box, _ = drawn_region(her2, cep17)
    eight, plain = (m.counter.count(pixels, [box])[0] for m in (models, in_float32(models, MODELS)))
    for channel in Channel:
        assert eight.peaks(channel) == plain.peaks(channel)
    assert eight.regressed == pytest.approx(plain.regressed, abs=0.3)
    assert eight.integral == pytest.approx(plain.integral, abs=0.3)


def test_a_processor_without_the_instructions_counts_the_same() -> None:
    pixels, box, _ = drawn_region(5, 2)
    here = load_models(MODELS, "cpu").counter.count(pixels, [box])[0]
    with without_instructions():
        assert not eight_bits.multiplies_8_bits()
        there = load_models(MODELS, "cpu").counter.count(pixels, [box])[0]
    assert there.integral == pytest.approx(here.integral, abs=0.02)
    assert there.regressed == pytest.approx(here.regressed, abs=0.02)
    assert [s.channel for s in there.signals] == [s.channel for s in here.signals]


def test_a_card_without_ranges_asks_for_float32_and_one_that_lacks_a_layer_is_refused(net: CounterNet) -> None:
    state, card = load_weights(MODELS / "counter.safetensors")
    config = without_ranges(card["config"])
    assert isinstance(in_use(net, {"config": config}, CPU), CounterNet)
    few = {name: ends for name, ends in card["config"][RANGES].items() if name != "up1.conv.0"}
    with pytest.raises(ModelError, match=r"no range .*up1\.conv\.0"):
        Counter(state, card | {"config": config | {RANGES: few}})
    with pytest.raises(ModelError, match="8-bit"):
        Counter(state, card | {"config": config | {RANGES: "wide"}})


@pytest.mark.parametrize("side", [8, 40])
def test_levels_are_pooled_as_torch_pools_numbers(side: int) -> None:
    levels = torch.randint(0, 256, (2, 3, side, side), dtype=torch.uint8)
    pooled = quick._pooled(quick._pooled(levels, 2), 3)
    assert torch.equal(pooled.float(), torch.nn.functional.max_pool2d(levels.float(), 3, 2, 1))


def test_what_one_field_shows_counts_for_all_of_its_nuclei(net: CounterNet, planes: torch.Tensor) -> None:
    """A field of one row counts as one that is repeated for each nucleus."""
    with torch.inference_mode():
        field = torch.rand(1, FIELD + 1)
        one, each = (fused(net, planes.shape[-1])(planes, f) for f in (field, field.expand(6, -1)))
    assert torch.allclose(one.density, each.density, atol=1e-6)
    assert torch.allclose(one.regressed, each.regressed, atol=1e-4)


def _nucleus(her2: int, cep17: int, *, clustered: bool = False) -> Nucleus:
    return Nucleus(
        id=1, box=(0, 0, 9, 9), score=1.0, her2=her2, cep17=cep17, her2_regressed=her2, cep17_regressed=cep17,
        clustered=clustered, scored=True,
    )  # fmt: skip


def test_the_comparison_counts_what_differs() -> None:
    alike = [_nucleus(2, 2)] * 20
    other = [_nucleus(9, 2), *alike[1:15], *[_nucleus(2, 1)] * 5]
    amplified = [_nucleus(n, 2, clustered=True) for n in (20,) * 20]
    estimated = [_nucleus(n, 2, clustered=n > 17) for n in (*(20, 22, 18, 23, 17), *(20,) * 15)]
    found = Compared("a set")
    found.add(alike, other, 5)
    found.add(amplified, estimated, 1)
    assert (found.nuclei, found.her2, found.clusters, found.cep17) == (40, 1, 2, 5)  # 23 is far, 17 was not clustered
    assert (found.regions, found.groups, found.right) == (2, 0, (2, 2))
    found.add(alike, [_nucleus(9, 2)] * 20, 1)
    assert (found.regions, found.groups, found.right) == (3, 1, (2, 3))
    twice = Compared.of_all([found, found], "both")
    assert (twice.title, twice.nuclei, twice.groups, twice.right) == ("both", 120, 2, (4, 6))
