"""The network has the published shape, takes COCO weights, and says the same after fusing."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pytest
import torch
from torch import nn

from her2core.detection.darknet import BN_EPS, ConvUnit, Darknet53, scaled_channels
from her2core.detection.pretrained import load_coco_stem
from her2core.detection.yolo import YoloConfig, YoloV3, fused
from her2core.errors import WeightsMismatchError, WeightsMissingError

from .conftest import ANCHORS

COCO = Path("/work/shared/data/pretrained/darknet53-coco-partial/darknet53_coco_conv01-26_OIHW.npz")


def convolutions(module: nn.Module) -> list[nn.Conv2d]:
    return [m for m in module.modules() if isinstance(m, nn.Conv2d)]


def coco_arrays(width: float = 1.0) -> dict[str, np.ndarray]:
    rng = np.random.default_rng(0)
    arrays: dict[str, np.ndarray] = {}
    units = [m for m in Darknet53(width).modules() if isinstance(m, ConvUnit)][:26]
    for n, unit in enumerate(units, start=1):
        arrays[f"conv{n:02d}.weight"] = rng.normal(size=unit.conv.weight.shape).astype(np.float32)
        for part in ("weight", "bias", "running_mean", "running_var"):
            arrays[f"bn{n:02d}.{part}"] = rng.uniform(0.5, 1.5, unit.conv.out_channels).astype(np.float32)
    return arrays


def test_darknet_at_width_one_is_the_published_backbone() -> None:
    backbone = Darknet53(1.0)
    assert len(convolutions(backbone)) == 52  # the 53rd layer is the classifier, which a detector does without
    assert backbone.out_channels == (256, 512, 1024)
    assert sum(p.numel() for p in backbone.parameters()) == 40_584_928  # published weights: same count


def test_yolo_at_width_one_has_seventy_five_convolutions_and_three_scales() -> None:
    with torch.device("meta"):
        model = YoloV3(YoloConfig(1.0, ANCHORS))
    assert len(convolutions(model)) == 75
    assert sum(p.numel() for p in model.parameters()) == pytest.approx(61.5e6, rel=0.01)


@pytest.mark.parametrize(("height", "width"), [(64, 96), (128, 32)])
def test_three_maps_at_strides_8_16_32(tiny_model: YoloV3, height: int, width: int) -> None:
    shapes = [tuple(m.shape) for m in tiny_model(torch.zeros(2, 3, height, width))]
    assert shapes == [(2, 18, height // s, width // s) for s in (8, 16, 32)]


@pytest.mark.parametrize(
    ("channels", "width", "expected"), [(32, 1.0, 32), (32, 0.25, 8), (64, 0.375, 24), (32, 0.01, 8)]
)
def test_scaled_channels_are_multiples_of_eight(channels: int, width: float, expected: int) -> None:
    assert scaled_channels(channels, width) == expected


def test_fused_network_gives_the_same_numbers(tiny_model: YoloV3) -> None:
    tiny_model.train()
    for _ in range(3):  # so that the statistics are not those of a fresh network
        tiny_model(torch.rand(4, 3, 64, 64))
    tiny_model.eval()
    x = torch.rand(2, 3, 64, 96)
    with torch.inference_mode():
        for plain, quick in zip(tiny_model(x), fused(tiny_model)(x), strict=True):
            torch.testing.assert_close(plain, quick, rtol=1e-4, atol=1e-4)
    assert not any(isinstance(m, nn.BatchNorm2d) for m in fused(tiny_model).modules())
    assert any(isinstance(m, nn.BatchNorm2d) for m in tiny_model.modules()), "the original must stay trainable"


def test_configuration_survives_a_card_and_refuses_unknown_keys() -> None:
    config = YoloConfig(0.5, ANCHORS)
    assert YoloConfig.from_dict(config.to_dict()) == config
    with pytest.raises(ValueError, match="width and anchors_px"):
        YoloConfig.from_dict({**config.to_dict(), "classes": 2})
    with pytest.raises(ValueError, match="nine"):
        YoloConfig(0.5, ANCHORS[:8])
    with pytest.raises(ValueError, match="rising"):
        YoloConfig(0.5, ANCHORS[::-1])
    with pytest.raises(ValueError, match="positive"):
        YoloConfig(0.5, ((-1.0, 4.0), *ANCHORS[1:]))


@pytest.mark.parametrize("width", [0.0, -1.0, 3.0])
def test_width_outside_its_range_is_refused(width: float) -> None:
    with pytest.raises(ValueError, match="width"):
        Darknet53(width)


def test_coco_weights_arrive_in_the_order_in_which_the_convolutions_run(tmp_path: Path) -> None:
    arrays = coco_arrays()
    np.savez(tmp_path / "coco.npz", **arrays)  # type: ignore[arg-type]
    backbone = Darknet53(1.0).eval()
    load_coco_stem(backbone, tmp_path / "coco.npz")
    calls: list[nn.Conv2d] = []
    for conv in convolutions(backbone):
        conv.register_forward_hook(lambda module, _i, _o: calls.append(module))
    with torch.inference_mode():
        backbone(torch.zeros(1, 3, 32, 32))
    for n, conv in enumerate(calls[:26], start=1):
        assert np.array_equal(conv.weight.detach().numpy(), arrays[f"conv{n:02d}.weight"])
    third = [m for m in backbone.modules() if isinstance(m, ConvUnit)][2]
    assert isinstance(third.bn, nn.BatchNorm2d) and third.bn.running_var is not None
    assert np.array_equal(third.bn.running_var.numpy(), arrays["bn03.running_var"])
    assert third.bn.eps == BN_EPS


def test_coco_weights_that_do_not_fit_change_nothing(tmp_path: Path) -> None:
    arrays = coco_arrays()
    del arrays["bn26.bias"]
    np.savez(tmp_path / "short.npz", **arrays)  # type: ignore[arg-type]
    backbone = Darknet53(1.0)
    before = backbone.stem.conv.weight.clone()
    with pytest.raises(WeightsMismatchError):
        load_coco_stem(backbone, tmp_path / "short.npz")
    assert torch.equal(before, backbone.stem.conv.weight)
    with pytest.raises(WeightsMissingError):
        load_coco_stem(backbone, tmp_path / "none.npz")
    (tmp_path / "text.npz").write_text("not weights")
    with pytest.raises(WeightsMismatchError):
        load_coco_stem(backbone, tmp_path / "text.npz")


def test_coco_weights_fit_width_one_only(tmp_path: Path) -> None:
    np.savez(tmp_path / "coco.npz", **coco_arrays())  # type: ignore[arg-type]
    with pytest.raises(WeightsMismatchError, match=r"width 1\.0"):
        load_coco_stem(Darknet53(0.5), tmp_path / "coco.npz")


@pytest.mark.skipif(not COCO.exists(), reason="the public weights are not on this machine")
def test_real_coco_statistics_match_what_the_network_computes_from_them() -> None:
    backbone = Darknet53(1.0).eval()
    load_coco_stem(backbone, COCO)
    seen: list[torch.Tensor] = []
    first = [m for m in backbone.modules() if isinstance(m, ConvUnit)][1]
    assert isinstance(first.bn, nn.BatchNorm2d) and first.bn.running_var is not None
    first.conv.register_forward_hook(lambda _m, _i, out: seen.append(out))
    noise = torch.nn.functional.interpolate(torch.rand(1, 3, 16, 16), size=(128, 128), mode="bicubic").clamp(0, 1)
    with torch.inference_mode():
        backbone(noise)
    ours, stored = seen[0].var(dim=(0, 2, 3)).log(), first.bn.running_var.log()
    assert torch.corrcoef(torch.stack((ours, stored)))[0, 1] > 0.4
