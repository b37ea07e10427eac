"""How many HER2 signals a cluster holds, from what the network says and from the cluster's light.

Signals that run into each other cannot be counted one by one, but their light adds up: a cluster as bright as seven
typical signals of its region has about seven. So a reader estimates (domain.md section 2), and so does this module.
The network's own numbers, the light, how far it reaches and how bright it gets are weighed by a log-linear (Poisson)
regression (Nelder and Wedderburn 1972), fitted on held-out nuclei that were taken for clustered; such a fit is right
in sum, and groups come from sums. The light of a typical signal is that of the region's nuclei without clusters,
divided by their peaks.
"""

from __future__ import annotations

import math
from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any, Self

import torch
from torch import Tensor

from her2core.counting.crops import ELLIPSE_PLANE, HER2_UNITS_PLANE, UNITS_SCALE
from her2core.counting.peaks import PeakMap
from her2core.counting.regression import HIGHEST_LOG, fitted, poisson

__all__ = ["FEATURES", "ClusterEstimate", "Light", "TypicalSignal", "features"]

FEATURES = (
    "HER2 integral",
    "HER2 regression",
    "HER2 peaks",
    "light, in typical signals",
    "area, in typical signals",
    "brightest pixel",
    "network's cluster score",
)
# Signals are where the density map holds this much of one within a few pixels.
_LEAST_HELD = 0.3
# What is known of signals before a region is looked at, and as how many of its signals that counts.
_USUAL_LIGHT, _USUAL_AREA, _USUAL_SIGNALS = 30.0, 25.0, 8.0
_FEWEST_TO_FIT = 60


@dataclass(frozen=True, slots=True)
class TypicalSignal:
    """A HER2 signal of a region: its light (as `Light.total`) and area, scalars, or float[N] for N nuclei."""

    light: Tensor
    area_px: Tensor


@dataclass(frozen=True, slots=True)
class Light:
    """HER2 light of N nuclei where the density map shows signals, float[N] each.

    total: above the nucleus' median, in the region's unit of brightness, summed over crop pixels. area_px: how many
    these are. brightest: the highest of them.
    """

    total: Tensor
    area_px: Tensor
    brightest: Tensor

    @classmethod
    def of(cls, parts: Sequence[Tensor], her2: PeakMap) -> Self:
        """The light of nuclei, from parts of the network's input, float[K, INPUT_PLANES, S, S] each, and the maxima of
        their HER2 maps, float[N, S, S]."""
        units = torch.cat([part[:, HER2_UNITS_PLANE] for part in parts]).cpu() * UNITS_SCALE
        ellipse = torch.cat([part[:, ELLIPSE_PLANE] for part in parts]).cpu()
        signals = (her2.held > _LEAST_HELD) & (ellipse > 0.5)
        lit = torch.where(signals, units.clamp(min=0), 0)
        return cls(lit.sum(dim=(1, 2)), signals.sum(dim=(1, 2)).float(), lit.amax(dim=(1, 2)))

    def of_some(self, chosen: Tensor) -> Self:
        """The light of nuclei at `chosen`, bool[N] or int64[K]."""
        return type(self)(self.total[chosen], self.area_px[chosen], self.brightest[chosen])

    def typical_signal(self, peaks: Tensor, cluster: Tensor) -> TypicalSignal:
        """A signal of the region that the nuclei are from, by their `peaks` and chance of a `cluster`, float[N] each.

        Nuclei count by the chance that their peaks are all their signals.
        """
        single = 1 - cluster
        signals = (single * peaks).sum() + _USUAL_SIGNALS
        return TypicalSignal(
            ((single * self.total).sum() + _USUAL_SIGNALS * _USUAL_LIGHT) / signals,
            ((single * self.area_px).sum() + _USUAL_SIGNALS * _USUAL_AREA) / signals,
        )


def features(
    integral: Tensor, regressed: Tensor, peaks: Tensor, cluster_logit: Tensor, light: Light, typical: TypicalSignal
) -> Tensor:
    """What tells the HER2 signals of N nuclei, float[N, len(FEATURES)], from numbers float[N] of each.

    `typical` holds numbers of the region, or of each nucleus' own.
    """

    def log(numbers: Tensor) -> Tensor:
        return torch.log(numbers.clamp(min=0) + 0.5)

    columns = (
        log(integral),
        log(regressed),
        log(peaks),
        log(light.total / typical.light),
        log(light.area_px / typical.area_px),
        log(light.brightest),
        cluster_logit.clamp(-5, 5),
    )
    return torch.stack(columns, dim=1)


@dataclass(frozen=True, slots=True)
class ClusterEstimate:
    """Weights of the features; the estimate is the exponential of their weighed sum."""

    weights: tuple[float, ...]
    bias: float

    def __post_init__(self) -> None:
        if len(self.weights) != len(FEATURES):
            raise ValueError(f"a cluster estimate has {len(FEATURES)} weights")

    def signals(self, columns: Tensor) -> Tensor:
        """HER2 signals float[N] of nuclei with clusters, from `features`."""
        return torch.exp((columns @ torch.tensor(self.weights) + self.bias).clamp(max=HIGHEST_LOG))

    def times(self, factor: float) -> Self:
        """The estimate that says `factor` as many."""
        return type(self)(self.weights, self.bias + math.log(factor))

    def to_dict(self) -> dict[str, Any]:
        """As in the card."""
        return {
            "features": list(FEATURES),
            "weights": [round(w, 5) for w in self.weights],
            "bias": round(self.bias, 5),
        }

    @classmethod
    def from_dict(cls, data: dict[str, Any]) -> Self:
        """Inverse of `to_dict`. Raises ValueError where the features are others than these."""
        if tuple(data["features"]) != FEATURES:
            raise ValueError("the cluster estimate was fitted to other features")
        return cls(tuple(float(w) for w in data["weights"]), float(data["bias"]))

    @classmethod
    def fit(cls, columns: Tensor, true: Tensor, *, ridge: float = 10.0) -> Self | None:
        """Poisson regression of true counts float[N] on `features`; None of too few nuclei."""
        if len(true) < _FEWEST_TO_FIT or not true.any():
            return None
        start = float(true.double().mean().log())
        weights, bias = fitted(columns, true, poisson, ridge=ridge, start=start)
        return cls(tuple(weights.tolist()), bias)
