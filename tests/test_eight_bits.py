"""Levels, convolutions of them, and that every device sums them alike."""

import os
import subprocess
import sys

import pytest
import torch
import torch.nn.functional as F
from torch import nn

from benchmarks.arithmetic import without_instructions
from her2core import eight_bits
from her2core.eight_bits import Convolution, Levels, multiplies_8_bits, observed, read_ranges
from her2core.errors import ModelError

CPU = torch.device("cpu")


def levels(*shape: int) -> torch.Tensor:
    return torch.randint(0, 256, shape, dtype=torch.uint8).contiguous(memory_format=torch.channels_last)


def convolution(inputs: int = 16, outputs: int = 24, stride: int = 1) -> nn.Conv2d:
    torch.manual_seed(5)
    return nn.Conv2d(inputs, outputs, 3, stride, padding=1).requires_grad_(False)


@pytest.mark.parametrize(("low", "high"), [(-1.0, 3.0), (0.0, 20.0), (0.5, 2.0), (-4.0, -1.0)])
def test_levels_are_within_half_a_step_and_zero_is_one_of_them(low: float, high: float) -> None:
    spanned = Levels.spanning(low, high)
    values = torch.linspace(min(low, 0), max(high, 0), 1001)
    restored = spanned.values(spanned.of(values))
    assert float((restored - values).abs().max()) <= spanned.step * 0.501 + spanned.step * (
        spanned.zero not in (0, 255)
    )
    assert float(spanned.values(torch.tensor([spanned.zero], dtype=torch.uint8))) == 0
    beyond = spanned.of(torch.tensor([-1e6, 1e6]))
    assert beyond.tolist() == [0, 255]


@pytest.mark.parametrize(("low", "high"), [(0.0, 0.0), (1.0, float("inf")), (float("nan"), 1.0)])
def test_levels_that_span_nothing_are_refused(low: float, high: float) -> None:
    with pytest.raises(ValueError, match="no levels"):
        Levels.spanning(low, high)


@pytest.mark.parametrize("stride", [1, 2])
@pytest.mark.parametrize("relu", [False, True])
def test_a_convolution_of_levels_is_that_of_their_values(stride: int, relu: bool) -> None:
    came, conv, features = Levels.spanning(-1, 3), convolution(stride=stride), levels(3, 16, 12, 10)
    scale = conv.weight.abs().amax((1, 2, 3), keepdim=True) / 127
    rounded = (conv.weight / scale).round() * scale
    exact = F.conv2d(came.values(features), rounded, conv.bias, stride, 1)
    exact = exact.relu() if relu else exact
    torch.testing.assert_close(Convolution(conv, came, CPU)(features, relu=relu), exact, rtol=1e-5, atol=1e-5)
    conv.bias = None
    assert Convolution(conv, came, CPU)(features).shape == exact.shape


@pytest.mark.parametrize("relu", [False, True])
@pytest.mark.parametrize("kind", ["plain", "by", "plus"])
def test_a_device_without_the_instructions_makes_the_same_levels(kind: str, relu: bool) -> None:
    came, to, conv = Levels.spanning(-1, 3), Levels.spanning(-4, 4), convolution()
    one = Convolution(conv, came, CPU)
    with without_instructions():
        other = Convolution(conv, came, CPU)
    features, kept = levels(4, 16, 20, 20), levels(4, 24, 20, 20)
    by = (torch.linspace(-2, 1, 24)[None], torch.linspace(-1, 1, 24)[None])  # some factors are negative

    def run(convolved: Convolution) -> torch.Tensor:
        return convolved(
            features,
            to,
            relu=relu,
            by=by if kind == "by" else None,
            plus=(kept.clone(), came) if kind == "plus" else None,
        )

    off = (run(one).int() - run(other).int()).abs()
    assert int(off.max()) <= 1
    assert float((off > 0).float().mean()) < 1e-3


def test_features_are_adapted_after_what_is_below_zero_was_cut_off() -> None:
    came, conv, features = Levels.spanning(-1, 3), convolution(), levels(2, 16, 8, 8)
    scale, shift = torch.linspace(-3, 1, 24)[None], torch.linspace(-1, 1, 24)[None]
    plain = Convolution(conv, came, CPU)(features, relu=True)
    wanted = plain * (1 + scale[0, :, None, None]) + shift[0, :, None, None]
    adapted = Convolution(conv, came, CPU)(features, relu=True, by=(scale, shift))
    torch.testing.assert_close(adapted, wanted, rtol=1e-4, atol=1e-4)
    upwards = scale.clamp(min=-0.5)
    to = Levels.spanning(float(wanted.min()), float(wanted.max()))
    wanted = plain * (1 + upwards[0, :, None, None]) + shift[0, :, None, None]
    adapted = to.values(Convolution(conv, came, CPU)(features, to, relu=True, by=(upwards, shift)))
    assert float((adapted - wanted.clamp(max=float(to.values(torch.tensor([255]))))).abs().max()) < 2 * to.step


def test_what_is_observed_is_the_input_of_convolutions_but_for_the_rarest_features() -> None:
    net = nn.Sequential(nn.Conv2d(1, 1, 1), nn.ReLU(), nn.Conv2d(1, 2, 1))
    nn.init.ones_(net[0].weight)  # type: ignore[arg-type]
    nn.init.zeros_(net[0].bias)  # type: ignore[arg-type]
    images = torch.linspace(-2, 1, 400_000).reshape(1, 1, 400, 1000)
    images[0, 0, 0, 0] = -50  # a hot pixel is beyond the range

    def run() -> None:
        with torch.inference_mode():
            net(images)

    seen = observed(net, run, ("1",))
    assert set(seen) == {"0", "2", "1 output"}
    assert seen["0"] == pytest.approx((-2, 1), abs=1e-3)
    assert seen["2"] == pytest.approx((0, 1), abs=1e-3)
    assert seen["1 output"] == seen["2"]
    assert not net[0]._forward_pre_hooks


@pytest.mark.parametrize("value", [None, [1, 2], {"a": 3}, {"a": [1]}, {"a": ["x", "y"]}, {"a": [0, 0]}])
def test_ranges_that_cannot_be_read_are_refused(value: object) -> None:
    with pytest.raises(ModelError, match="8-bit"):
        read_ranges(value)


def test_ranges_are_read_as_levels() -> None:
    assert read_ranges({"a": [-1, 3]}) == {"a": Levels.spanning(-1, 3)}


@pytest.mark.parametrize(
    ("can", "so"), [({}, False), ({"avx2": True}, False), ({"avx512_vnni": True}, True), ({"avx_vnni": True}, True)]
)
def test_only_processors_that_sum_8_bits_exactly_are_asked_to(
    can: dict[str, bool], so: bool, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(torch.cpu, "get_capabilities", lambda: can)
    monkeypatch.setattr(eight_bits, "_sums_exactly", lambda: True)
    assert multiplies_8_bits.__wrapped__() is so
    monkeypatch.setattr(eight_bits, "_sums_exactly", lambda: False)
    assert multiplies_8_bits.__wrapped__() is False


@pytest.mark.parametrize(("isa", "exact"), [("AVX2", False), ("SSE41", False)])
def test_sums_that_overflow_are_noticed_where_better_instructions_are_switched_off(isa: str, exact: bool) -> None:
    if torch.cpu.get_capabilities().get("architecture") != "x86_64":
        pytest.skip("of x86")
    ask = "from her2core.eight_bits import multiplies_8_bits; print(multiplies_8_bits())"
    told = subprocess.run(
        [sys.executable, "-c", ask],
        env=os.environ | {"ONEDNN_MAX_CPU_ISA": isa},
        capture_output=True,
        text=True,
        check=True,
    )
    assert told.stdout.strip() == str(exact)


def test_a_build_of_torch_without_the_operations_is_no_error(monkeypatch: pytest.MonkeyPatch) -> None:
    def missing(*_: object) -> None:
        raise NotImplementedError

    assert eight_bits._sums_exactly() == multiplies_8_bits()
    monkeypatch.setattr(torch.ops.onednn, "qconv_prepack", missing)
    assert eight_bits._sums_exactly() is False
