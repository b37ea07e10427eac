"""Training of stage 2 (`train counter`): regression by mean-square error (the paper) and density maps beside it."""

from __future__ import annotations

import copy
import json
import math
from collections.abc import Callable
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import Any

import torch
import torch.nn.functional as F
from torch import Tensor, nn

from her2core.counting.crops import CropSize
from her2core.counting.network import DENSITY_SIGMA_PX, CounterNet, CounterOutput, completed, mean_of_fields
from her2core.counting.quick import counter_ranges, in_use
from her2core.counting.reading import Reading
from her2core.eight_bits import RANGES, without_ranges
from her2core.errors import TrainingError
from her2core.models import fingerprint, load_weights, save_weights, short_name
from her2core.training.averaging import follow, save_state
from her2core.training.calibration import answers, as_float, calibrate, contributions, planes
from her2core.training.cards import NOT_YET_EVALUATED, REGENERATE
from her2core.training.counter_data import Batch, CropSet, augment, load_crops, numbered
from her2core.training.detector_data import data_digest

__all__ = [
    "CounterRecipe",
    "counter_loss",
    "fit_counter",
    "read_anew",
    "split_images",
    "validate",
]

CHANNEL_WEIGHTS = (1.0, 2.5)  # HER2, CEP17, in the loss of the density map
_REGIONS_FOR_RANGES = 60
_PEAK = 1 / (2 * math.pi * DENSITY_SIGMA_PX**2)


@dataclass(frozen=True, slots=True)
class CounterRecipe:
    """Everything that decides what training yields, beside the data. crops: None for those of the counter it starts
    from, or the usual ones."""

    steps: int = 3000
    crops: CropSize | None = None
    batch: int = 64
    learning_rate: float = 1e-3
    weight_decay: float = 1e-4
    seed: int = 1
    validate_every: int = 300
    validation_share: float = 0.08
    validation_nuclei: int = 1500
    regression_weight: float = 0.008
    density_weight: float = 1.0
    integral_weight: float = 0.12
    cluster_weight: float = 0.05
    region_weight: float = 0.3
    ema: float = 0.995


def counter_loss(output: CounterOutput, batch: Batch, recipe: CounterRecipe) -> dict[str, Tensor]:
    """The five parts of the loss and their weighted sum, scalars by name.

    regression: mean-square error of the counts (Xue et al. 2023). density: weighted mean-square error of the map
    in units of a single signal's peak. integral: relative error of the map's sum. cluster: binary cross-entropy.
    region: relative error of the sums of a region, by which errors that go together cost more than those that cancel.
    """
    regression = F.mse_loss(output.regressed, batch.counts)
    target = batch.density / _PEAK  # (N, 2, S, S), 1 at the top of a single signal
    # Signals cover few pixels, CEP17 the fewest: without weights an empty map is a good answer for long.
    weight = (1 + 4 * target.clamp(max=2)) * target.new_tensor(CHANNEL_WEIGHTS)[:, None, None]
    squares = (output.density / _PEAK - target) ** 2 * weight
    density = squares.mean(dim=(1, 2, 3))[batch.known].sum() * 40 / len(batch.counts)
    integral = output.density.sum(dim=(2, 3))  # (N, 2)
    off = ((integral - batch.counts) / (1 + batch.counts).sqrt()).abs().mean()
    cluster = F.binary_cross_entropy_with_logits(output.cluster_logit, batch.clustered)
    region = _region_error(integral, batch) + _region_error(output.regressed, batch) / 3
    total = (
        recipe.regression_weight * regression
        + recipe.density_weight * density
        + recipe.integral_weight * off
        + recipe.cluster_weight * cluster
        + recipe.region_weight * region
    )
    return {
        "total": total,
        "regression": regression,
        "density": density,
        "integral": off,
        "cluster": cluster,
        "region": region,
    }


def _sums(counts: Tensor, region: Tensor) -> Tensor:
    """Sums float[R, 2] of counts float[N, 2] over the nuclei of each region int64[N], numbered from 0."""
    return counts.new_zeros(int(region.max()) + 1, 2).index_add(0, region, counts)


def _region_error(counts: Tensor, batch: Batch) -> Tensor:
    """Mean over regions and channels of the relative error of the sum of counts float[N, 2]."""
    found, true = (_sums(part, batch.region) for part in (counts, batch.counts))
    return ((found - true).abs() / (1 + true)).mean()


def _forward(net: CounterNet, batch: Batch) -> CounterOutput:
    """A training step's output, in mixed precision; a field is what the nuclei of the batch show of it."""
    x = planes(batch)
    with torch.autocast(x.device.type, dtype=torch.bfloat16):
        described = net.describe(x).float()
        output = net(x, mean_of_fields(described, batch.region)[batch.region])
    return as_float(output)


def validate(net: CounterNet, crops: CropSet) -> dict[str, float]:
    """Errors of counts on crops as they are: mean absolute error (mae) and bias by method, channel and clustering."""
    said = answers(net, crops)
    rows = {
        "regressed": said.output.regressed,
        "integral": said.integral,
        "peaks": torch.stack([peak_map.counts() for peak_map in said.maps], dim=1),
    }
    clustered = crops.clustered > 0.5
    metrics = {}
    for method, counts in rows.items():
        error = counts - crops.counts  # (N, 2)
        for channel, name in enumerate(("her2", "cep17")):
            for kind, chosen in (("plain", ~clustered), ("clustered", clustered)):
                if chosen.any():
                    metrics[f"{method} {name} {kind} mae"] = float(error[chosen, channel].abs().mean())
                    metrics[f"{method} {name} {kind} bias"] = float(error[chosen, channel].mean())
    used = rows["peaks"].clone()
    used[clustered, 0] = rows["integral"][clustered, 0]
    found, true = (_sums(part, numbered(crops.region)) for part in (used, crops.counts))
    off = (found / true.clamp(min=1) - 1).abs().mean(dim=0)  # (2,)
    metrics |= {"region her2 off": float(off[0]), "region cep17 off": float(off[1])}
    # What decides which epoch is best: nearly the counts as they will be used, before their reading is calibrated.
    metrics["score"] = (
        metrics.get("peaks her2 plain mae", 0.0)
        + metrics.get("peaks cep17 plain mae", 0.0)
        + metrics.get("integral her2 clustered mae", 0.0) / 10
        + metrics["region her2 off"]
        + metrics["region cep17 off"]
    )
    return metrics


def _sample(crops: CropSet, batch: int, generator: torch.Generator) -> Tensor:
    """Indices int64[batch] of nuclei, several from each of some regions: few or many, for a field may show either."""
    together = min(batch, 4 << int(torch.randint(3, (), generator=generator)))  # 4, 8 or 16
    one = torch.randint(len(crops), (max(batch // together, 1),), generator=generator)
    sizes: Tensor = torch.unique_consecutive(crops.region, return_counts=True)[1]
    starts = (sizes.cumsum(0) - sizes).repeat_interleave(sizes)[one]
    size = sizes.repeat_interleave(sizes)[one]
    offsets = (torch.rand(together, len(one), generator=generator) * size).long()
    return (starts + torch.minimum(offsets, size - 1)).flatten()


def split_images(data_dir: Path, share: float) -> tuple[set[str], set[str]]:
    """Names of training and validation images; all images of a patient are on one side.

    At least one patient is held out. Raises TrainingError where there are fewer than two.
    """
    entries = json.loads((data_dir / "truth.json").read_text(encoding="utf-8"))
    patients = sorted({str(e["patient"]) for e in entries})
    if len(patients) < 2:
        raise TrainingError("Training needs regions of at least two patients: one is held out to judge the others.")
    every = min(max(2, round(1 / share)), len(patients))
    held_out = set(patients[every - 1 :: every])
    return (
        {e["image"] for e in entries if str(e["patient"]) not in held_out},
        {e["image"] for e in entries if str(e["patient"]) in held_out},
    )


def fit_counter(
    data_dir: Path,
    out: Path,
    recipe: CounterRecipe,
    *,
    start_from: Path | None = None,
    resume: bool = False,
    device: torch.device | None = None,
    progress: Callable[[int, int, dict[str, float]], None] | None = None,
) -> Path:
    """Train on the regions in `data_dir`; the best weights by validation and their card are written to `out`.

    Args:
        out: path of the weights (`.safetensors`); training state lies beside it until the end, for `resume`.
        start_from: weights to begin with (fine-tuning); input planes and layers that they do not know begin without
            effect.
        progress: called with step, steps and the latest losses or validation errors.

    Raises TrainingError on a loss that is not finite and on data without annotated nuclei.
    """
    device = device or torch.device("cpu")
    torch.manual_seed(recipe.seed)
    generator = torch.Generator().manual_seed(recipe.seed)
    before = None
    net = CounterNet()
    if start_from is not None:
        state, before = load_weights(start_from)
        net.load_state_dict(_widened(state, net))
    net = net.to(device, memory_format=torch.channels_last)  # type: ignore[call-overload]
    size = recipe.crops or (CropSize() if before is None else CropSize.from_config(before["config"]))
    state_path = out.with_suffix(".training.pt")
    saved = torch.load(state_path, weights_only=True) if resume and state_path.exists() else None
    if saved is not None:  # as it began, whatever is usual by now
        size = CropSize.from_config(saved.get("crops", {}))
    training_images, validation_images = split_images(data_dir, recipe.validation_share)
    training = load_crops(data_dir, size, training_images)
    held_out = load_crops(data_dir, size, validation_images)
    chosen = torch.randperm(len(held_out), generator=torch.Generator().manual_seed(recipe.seed))
    held_out = held_out.select(chosen[: recipe.validation_nuclei].sort().values)
    averaged = copy.deepcopy(net)
    optimiser = torch.optim.AdamW(net.parameters(), lr=recipe.learning_rate, weight_decay=recipe.weight_decay)
    schedule = torch.optim.lr_scheduler.OneCycleLR(
        optimiser, recipe.learning_rate, total_steps=recipe.steps + 1, pct_start=0.08
    )
    first, best, best_state = 0, math.inf, copy.deepcopy(averaged.state_dict())
    best_metrics: dict[str, float] = {}
    if saved is not None:
        net.load_state_dict(saved["net"])
        averaged.load_state_dict(saved["averaged"])
        optimiser.load_state_dict(saved["optimiser"])
        schedule.load_state_dict(saved["schedule"])
        generator.set_state(saved["generator"])
        first, best, best_state, best_metrics = saved["step"], saved["best"], saved["best_state"], saved["metrics"]
    for step in range(first, recipe.steps):
        net.train()
        batch = augment(training.select(_sample(training, recipe.batch, generator)), generator)
        batch = Batch(*(getattr(batch, name).to(device) for name in Batch.__dataclass_fields__))
        losses = counter_loss(_forward(net, batch), batch, recipe)
        if not torch.isfinite(losses["total"]):
            raise TrainingError(f"The loss is no longer finite at step {step}; lower the learning rate.")
        optimiser.zero_grad(set_to_none=True)
        losses["total"].backward()  # type: ignore[no-untyped-call]
        nn.utils.clip_grad_norm_(net.parameters(), 5.0)
        optimiser.step()
        schedule.step()
        follow(averaged, net, step, recipe.ema)
        if progress is not None and (step + 1) % 20 == 0:
            progress(step + 1, recipe.steps, {k: float(v.detach()) for k, v in losses.items()})
        if (step + 1) % recipe.validate_every == 0 or step + 1 == recipe.steps:
            metrics = validate(averaged, held_out)
            if progress is not None:
                progress(step + 1, recipe.steps, metrics)
            if metrics["score"] < best:
                best, best_metrics, best_state = metrics["score"], metrics, copy.deepcopy(averaged.state_dict())
            save_state(
                state_path,
                {
                    "crops": size.to_config(),
                    "net": net.state_dict(),
                    "averaged": averaged.state_dict(),
                    "optimiser": optimiser.state_dict(),
                    "schedule": schedule.state_dict(),
                    "generator": generator.get_state(),
                    "step": step + 1,
                    "best": best,
                    "best_state": best_state,
                    "metrics": best_metrics,
                },
            )
            save_weights(
                out,
                best_state,
                _card(recipe, size, len(training), len(held_out), best_metrics, data_dir, Reading(), before, {}),
            )
    card = _card(recipe, size, len(training), len(held_out), best_metrics, data_dir, Reading(), before, {})
    save_weights(out, best_state, card)
    net.load_state_dict(load_weights(out)[0])  # as they are stored, rounded
    save_weights(out, best_state, _read(net, card, held_out))
    state_path.unlink(missing_ok=True)
    return out


def _read(net: CounterNet, card: dict[str, Any], nuclei: CropSet, *, float32: bool = False) -> dict[str, Any]:
    """The card with what the nuclei show: the ranges by which the network works in 8 bits, unless it is to work in
    `float32`, and how its output, as it then is, is read."""
    config = without_ranges(card["config"])
    if not float32:
        regions = numbered(nuclei.region)
        some = nuclei.select(regions % (int(regions.max()) // _REGIONS_FOR_RANGES + 1) == 0)
        config[RANGES] = counter_ranges(net, lambda plain: answers(plain, some))
    said = answers(in_use(net, {"config": config}, torch.device("cpu")), nuclei)
    reading = calibrate(said, nuclei)
    return card | {
        "config": config | reading.to_config(),
        "contributes": contributions(said, nuclei, reading),
    }


def read_anew(weights: Path, data_dir: Path, out: Path, *, unseen: bool = False, float32: bool = False) -> Path:
    """Calibrate in what ranges a counter works and how its output is read, on all nuclei of the regions that training
    holds out of `data_dir`, or of all its regions where they are `unseen`: no training knows them.

    float32: it is to work without ranges, in float32.

    The weights stay as they are; the card written with them to `out` has the new reading, says what it is from, and
    has a version of its own, because other readings make other counts.
    Raises TrainingError as `fit_counter` does, ModelError as `load_weights`.
    """
    state, card = load_weights(weights)
    net = CounterNet()
    net.load_state_dict(state)
    share = card["recipe"]["validation_share"]
    size = CropSize.from_config(card["config"])
    held_out = load_crops(data_dir, size, None if unseen else split_images(data_dir, share)[1])
    card = _read(net, card, held_out, float32=float32)
    card["read"] = {"truth_sha256": data_digest(data_dir), "nuclei": len(held_out)}
    card["version"] = f"{card['version'].partition('+')[0]}+{fingerprint(card)[:6]}"
    save_weights(out, state, card)
    return out


def _widened(state: dict[str, Tensor], net: CounterNet) -> dict[str, Tensor]:
    """Weights for `net` from those of a network with fewer input planes, whose new ones begin with weight zero, or
    without fields, which begin without effect.
    """
    wide, state = {}, completed(state, net)
    for name, wanted in net.state_dict().items():
        weights = state[name]
        if weights.shape != wanted.shape and weights.shape[2:] == wanted.shape[2:]:
            known = weights
            weights = torch.zeros_like(wanted)
            weights[:, : known.shape[1]] = known
        wide[name] = weights
    return wide


def _card(
    recipe: CounterRecipe,
    size: CropSize,
    training: int,
    held_out: int,
    metrics: dict[str, float],
    data_dir: Path,
    reading: Reading,
    before: dict[str, Any] | None,
    parts: dict[str, str],
) -> dict[str, Any]:
    return {
        "name": "counter",
        "version": "1",
        "stage": "counting",
        "architecture": "ResNet-18 with a count regression head (Xue et al. 2023), a density decoder, and features "
        "adapted to the field",
        "config": {
            **size.to_config(),
            "density_sigma_px": DENSITY_SIGMA_PX,
            **reading.to_config(),
        },
        "recipe": asdict(recipe),
        "start_from": None if before is None else short_name(before),
        "data": {
            "truth_sha256": data_digest(data_dir),
            "training_nuclei": training,
            "validation_nuclei": held_out,
        },
        "metrics": {name: round(value, 4) for name, value in metrics.items()},
        "contributes": parts,
        "regenerate": REGENERATE,
        "fails": NOT_YET_EVALUATED,
    }
