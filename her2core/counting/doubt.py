"""How likely a count is wrong: a few tell-tales of the network's output, weighed by logistic regression.

Tell-tales: peaks near the height that decides whether they are signals; a map whose integral says another number than
its peaks; a regression that disagrees; many or clustered signals. The weights are fitted on held-out nuclei
(`training.fit_counter.calibrate`), so that "0.3" means that three of ten such nuclei are counted wrong.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any, Self

import torch
from torch import Tensor

from her2core.counting.network import CounterOutput
from her2core.counting.peaks import local_maxima

__all__ = ["FEATURES", "Doubt", "features"]

FEATURES = (
    "HER2 peaks near the threshold",
    "CEP17 peaks near the threshold",
    "HER2 integral against peaks",
    "CEP17 integral against peaks",
    "HER2 regression against peaks",
    "CEP17 regression against peaks",
    "HER2 peaks",
    "CEP17 peaks",
    "cluster probability",
)
# Peaks within about this relative height of the threshold are doubtful.
_NEAR = 0.15
_LOWEST_PEAK = 0.1


def features(output: CounterOutput, thresholds: tuple[float, float]) -> Tensor:
    """Tell-tales of N nuclei, float[N, len(FEATURES)], all at least 0."""
    near, off, regression, peaks = [], [], [], []
    for channel, threshold in enumerate(thresholds):
        density = output.density[:, channel].float()
        is_peak, relative = local_maxima(density, _LOWEST_PEAK)
        closeness = torch.exp(-(relative - threshold).abs() / _NEAR) * is_peak
        near.append(closeness.sum(dim=(1, 2)))
        found = (is_peak & (relative >= threshold)).sum(dim=(1, 2)).float()
        off.append((density.sum(dim=(1, 2)) - found).abs())
        regression.append((output.regressed[:, channel].float() - found).abs())
        peaks.append(found)
    columns = [*near, *off, *regression, *peaks]
    return torch.stack([*(torch.log1p(c) for c in columns), torch.sigmoid(output.cluster_logit.float())], dim=1)


@dataclass(frozen=True, slots=True)
class Doubt:
    """Weights of the tell-tales; `threshold`: from this probability on a nucleus is shown as uncertain."""

    weights: tuple[float, ...]
    bias: float
    threshold: float

    def __post_init__(self) -> None:
        if len(self.weights) != len(FEATURES) or not 0 < self.threshold < 1:
            raise ValueError(f"a doubt has {len(FEATURES)} weights and a threshold between 0 and 1")

    def probability(self, tell_tales: Tensor) -> Tensor:
        """Chance that a count is wrong, float[N], of tell-tales float[N, len(FEATURES)]."""
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
            raise ValueError("the doubt was fitted to other features")
        return cls(tuple(float(w) for w in data["weights"]), float(data["bias"]), float(data["threshold"]))

    @classmethod
    def fit(cls, tell_tales: Tensor, wrong: Tensor, *, ridge: float = 1e-3) -> Self:
        """Logistic regression of `wrong` bool[N] on tell-tales; the threshold is where the two kinds part best.

        (Youden's J: hit rate minus false alarm rate.) Raises ValueError where all counts are right, or all wrong.
        """
        if not (wrong.any() and (~wrong).any()):
            raise ValueError("doubt cannot be fitted where all counts are right or all are wrong")
        x, y = tell_tales.double(), wrong.double()
        centre, spread = x.mean(0), x.std(0).clamp(min=1e-6)
        scaled = torch.cat([(x - centre) / spread, torch.ones(len(x), 1, dtype=torch.float64)], dim=1)
        beta = torch.zeros(scaled.shape[1], dtype=torch.float64)
        penalty = ridge * len(x) * torch.eye(len(beta), dtype=torch.float64)
        penalty[-1, -1] = 0
        for _ in range(50):  # Newton's method
            p = torch.sigmoid(scaled @ beta)
            gradient = scaled.T @ (p - y) + penalty @ beta
            curvature = scaled.T @ (scaled * (p * (1 - p)).clamp(min=1e-6)[:, None]) + penalty
            step = torch.linalg.solve(curvature, gradient)
            beta = beta - step
            if float(step.abs().max()) < 1e-8:
                break
        weights = beta[:-1] / spread
        doubt = cls(tuple(weights.tolist()), float(beta[-1] - (weights * centre).sum()), 0.5)
        p = doubt.probability(tell_tales.float())
        cuts = torch.linspace(0.05, 0.9, 86)
        gains = torch.stack([(p[wrong] >= c).float().mean() - (p[~wrong] >= c).float().mean() for c in cuts])
        return cls(doubt.weights, doubt.bias, float(cuts[int(gains.argmax())]))
