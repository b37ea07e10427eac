"""What both fits do alike: a slow mean of the weights, and a training state on disk from which a killed run goes on."""

from __future__ import annotations

import io
from collections.abc import Mapping
from pathlib import Path
from typing import Any

import torch
from torch import nn

from her2core.models import write_atomically

__all__ = ["follow", "save_state"]


@torch.no_grad()
def follow(averaged: nn.Module, net: nn.Module, step: int, slowest: float) -> None:
    """Move the exponential mean of weights and batch-norm statistics towards the network's after a step (0 first).

    The mean keeps the share `slowest` of what it was; less in the beginning, when that is still the random start.
    """
    kept = min(slowest, (1 + step) / (10 + step))
    for old, new in zip(averaged.state_dict().values(), net.state_dict().values(), strict=True):
        if old.is_floating_point():
            old.lerp_(new, 1 - kept)
        else:
            old.copy_(new)


def save_state(path: Path, state: Mapping[str, Any]) -> None:
    """Write a training state, so that there is the old one or the new one, whenever the run is killed."""
    buffer = io.BytesIO()
    torch.save(dict(state), buffer)
    write_atomically(path, buffer.getvalue())
