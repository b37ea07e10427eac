"""Regressions that training fits to held-out nuclei: logistic and Poisson, by Newton's method with a ridge penalty.

Reference: Nelder and Wedderburn 1972 (both are generalised linear models with their canonical link).
"""

from __future__ import annotations

from collections.abc import Callable

import torch
from torch import Tensor

__all__ = ["HIGHEST_LOG", "fitted", "logistic", "poisson"]

HIGHEST_LOG = 5.0
"""No count above its exponential is told."""

# Linear predictors float64[N] to means and variances float64[N].
Link = Callable[[Tensor], tuple[Tensor, Tensor]]


def logistic(predictor: Tensor) -> tuple[Tensor, Tensor]:
    """Chances of a yes."""
    p = torch.sigmoid(predictor)
    return p, (p * (1 - p)).clamp(min=1e-6)


def poisson(predictor: Tensor) -> tuple[Tensor, Tensor]:
    """Counts."""
    mean = torch.exp(predictor.clamp(max=HIGHEST_LOG))
    return mean, mean


def fitted(columns: Tensor, y: Tensor, link: Link, *, ridge: float, start: float = 0.0) -> tuple[Tensor, float]:
    """Weights float64[K] and bias by which `columns` float[N, K] tell `y` float[N] best.

    `ridge` penalises weights of columns in units of their spread; `start`: where the bias is looked for first.
    """
    x, y = columns.double(), y.double()
    centre, spread = x.mean(0), x.std(0).clamp(min=1e-6)
    scaled = torch.cat([(x - centre) / spread, torch.ones(len(x), 1, dtype=torch.float64)], dim=1)
    beta = torch.zeros(scaled.shape[1], dtype=torch.float64)
    beta[-1] = start
    penalty = ridge * torch.eye(len(beta), dtype=torch.float64)
    penalty[-1, -1] = 0
    for _ in range(50):
        mean, variance = link(scaled @ beta)
        gradient = scaled.T @ (mean - y) + penalty @ beta
        step = torch.linalg.solve(scaled.T @ (scaled * variance[:, None]) + penalty, gradient)
        beta = beta - step
        if float(step.abs().max()) < 1e-8:
            break
    weights = beta[:-1] / spread
    return weights, float(beta[-1] - (weights * centre).sum())
