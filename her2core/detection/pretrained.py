"""Start Darknet-53 from public COCO weights: its first 26 convolutions, all up to stride 8 (width 1.0 only)."""

from __future__ import annotations

import zipfile
from pathlib import Path

import numpy as np
import torch
from torch import nn

from her2core.detection.darknet import ConvUnit, Darknet53
from her2core.errors import WeightsMismatchError, WeightsMissingError

__all__ = ["COCO_CONVOLUTIONS", "load_coco_stem"]

COCO_CONVOLUTIONS = 26


def load_coco_stem(backbone: Darknet53, path: Path) -> None:
    """Copy convNN.weight and bnNN.{weight,bias,running_mean,running_var}, NN = 01..26, from an .npz into `backbone`.

    NN counts the convolutions in the order in which they run. Nothing is changed unless everything fits.

    Raises WeightsMissingError without the file, WeightsMismatchError where a key is missing or has another shape.
    """
    units = [module for module in backbone.modules() if isinstance(module, ConvUnit)][:COCO_CONVOLUTIONS]
    pairs: list[tuple[torch.Tensor, torch.Tensor]] = []
    try:
        with np.load(path, allow_pickle=False) as arrays:
            for number, unit in enumerate(units, start=1):
                if not isinstance(unit.bn, nn.BatchNorm2d):
                    raise WeightsMismatchError("Pretrained weights fit only a network that is not fused.")
                wanted = {f"conv{number:02d}.weight": unit.conv.weight.data}
                for part in ("weight", "bias", "running_mean", "running_var"):
                    wanted[f"bn{number:02d}.{part}"] = getattr(unit.bn, part).data
                for key, target in wanted.items():
                    source = torch.from_numpy(np.asarray(arrays[key], dtype=np.float32))
                    if source.shape != target.shape:
                        raise WeightsMismatchError(
                            f"{path.name}: {key} is {tuple(source.shape)}, the network needs {tuple(target.shape)}; "
                            "pretrained weights fit width 1.0 only."
                        )
                    pairs.append((target, source))
    except FileNotFoundError as error:
        raise WeightsMissingError(f"There is no file of pretrained weights {path}.") from error
    except (KeyError, ValueError, OSError, zipfile.BadZipFile) as error:
        raise WeightsMismatchError(f"{path.name} does not hold the COCO weights of Darknet-53: {error}") from error
    for target, source in pairs:
        target.copy_(source)
