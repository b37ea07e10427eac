"""Calibrated judgements on a nucleus: is its count wrong, are its HER2 signals clustered?

Tell-tales of the network's output are weighed by logistic regression: peaks near the height that decides whether they
are signals; a map whose integral says another number than its peaks; a regression that disagrees; many signals; the
network's own word on clusters. The weights are fitted on held-out nuclei (`training.fit_counter.calibrate`), so that
"0.3" means that three of ten such nuclei are counted wrong.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any, Self

import torch
from torch import Tensor

from her2core.counting.network import CounterOutput
from her2core.counting.peaks import PeakMap
from her2core.counting.regression import fitted, logistic

__all__ = [
    "FEATURES",
    "WRONG_SHARE",
    "WRONG_SHARE_IN_CLUSTER",
    "Judgement",
    "features",
    "miscounted",
    "nucleus_miscounted",
]

FEATURES = (
    "HER2 peaks near the threshold",
    "CEP17 peaks near the threshold",
    "HER2 integral against peaks",
    "CEP17 integral against peaks",
    "HER2 regression against peaks",
    "CEP17 regression against peaks",
    "HER2 peaks",
    "CEP17 peaks",
    "HER2 integral above peaks, share",
    "network's cluster score",
)
Pair = tuple[float, float]
# A count is wrong from this share of the truth on (and from one signal): one in ten changes no group, and the number
# of a cluster, an estimate at best, none by a fifth. If less were wrong, all of an amplified region would be doubtful,
# and doubt would no longer tell where to look.
WRONG_SHARE = 0.15
WRONG_SHARE_IN_CLUSTER = 0.25
# Peaks that hold within about this much of the threshold are doubtful.
_NEAR = 0.15
_LOWEST_PEAK = 0.1


def miscounted(counted: float, true: float, *, clustered: bool) -> bool:
    """Whether a count is wrong: by one signal and by `WRONG_SHARE`, or by `WRONG_SHARE_IN_CLUSTER` where signals were
    `clustered`."""
    share = WRONG_SHARE_IN_CLUSTER if clustered else WRONG_SHARE
    return abs(counted - true) >= max(1.0, share * true)


def nucleus_miscounted(counted: Pair, true: Pair, *, clustered: bool) -> bool:
    """Whether the HER2 or the CEP17 count of a nucleus is wrong (`miscounted`); only HER2 signals can be clustered."""
    return miscounted(counted[0], true[0], clustered=clustered) or miscounted(counted[1], true[1], clustered=False)


def features(output: CounterOutput, maps: Sequence[PeakMap], thresholds: tuple[float, float]) -> Tensor:
    """Tell-tales of N nuclei, float[N, len(FEATURES)]; `maps`: the maxima of both of its maps."""
    near, off, regression, peaks, above = [], [], [], [], []
    for channel, (peak_map, threshold) in enumerate(zip(maps, thresholds, strict=True)):
        closeness = torch.exp(-(peak_map.held - threshold).abs() / _NEAR) * peak_map.found(_LOWEST_PEAK)
        near.append(closeness.sum(dim=(1, 2)))
        found = peak_map.counts(threshold)
        integral = peak_map.density.sum(dim=(1, 2))
        off.append((integral - found).abs())
        above.append(((integral - found) / (1 + integral)).clamp(-1, 1))
        regression.append((output.regressed[:, channel].float() - found).abs())
        peaks.append(found)
    columns = [*near, *off, *regression, *peaks]
    score = output.cluster_logit.float().clamp(-8, 8)
    return torch.stack([*(torch.log1p(c) for c in columns), above[0], score], dim=1)


@dataclass(frozen=True, slots=True)
class Judgement:
    """Weights of the tell-tales; `threshold`: the probability from which on the answer is taken as yes."""

    weights: tuple[float, ...]
    bias: float
    threshold: float

    def __post_init__(self) -> None:
        if len(self.weights) != len(FEATURES) or not 0 < self.threshold < 1:
            raise ValueError(f"a judgement has {len(FEATURES)} weights and a threshold between 0 and 1")

    def probability(self, tell_tales: Tensor) -> Tensor:
        """Chance of a yes, float[N], from tell-tales float[N, len(FEATURES)]."""
        return torch.sigmoid(tell_tales @ torch.tensor(self.weights) + self.bias)

    def to_dict(self) -> dict[str, Any]:
        """As in the card."""
        return {
            "features": list(FEATURES),
            "weights": [round(w, 5) for w in self.weights],
            "bias": round(self.bias, 5),
            "threshold": round(self.threshold, 3),
        }

    @classmethod
    def from_dict(cls, data: dict[str, Any]) -> Self:
        """Inverse of `to_dict`. Raises ValueError where the features are others than these."""
        if tuple(data["features"]) != FEATURES:
            raise ValueError("the judgement was fitted to other features")
        return cls(tuple(float(w) for w in data["weights"]), float(data["bias"]), float(data["threshold"]))

    @classmethod
    def fit(cls, tell_tales: Tensor, yes: Tensor, *, ridge: float = 1e-3) -> Self:
        """Logistic regression of `yes` bool[N] on tell-tales; the threshold is where the two kinds part best.

        (Youden's J: hit rate minus false alarm rate.) Raises ValueError where all answers are alike.
        """
        if not (yes.any() and (~yes).any()):
            raise ValueError("a judgement cannot be fitted where all answers are alike")
        weights, bias = fitted(tell_tales, yes, logistic, ridge=ridge * len(tell_tales))
        found = cls(tuple(weights.tolist()), bias, 0.5)
        p = found.probability(tell_tales.float())
        cuts = torch.linspace(0.05, 0.9, 86)
        gains = torch.stack([(p[yes] >= c).float().mean() - (p[~yes] >= c).float().mean() for c in cuts])
        return cls(found.weights, found.bias, float(cuts[int(gains.argmax())]))
