"""Signals of nuclei: regression and density, from pixels to counts, positions and doubts."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
import torch
import torch.nn.functional as F
from numpy.typing import NDArray
from torch import Tensor

from her2core.counting.crops import Crop, cut, to_input
from her2core.counting.network import DENSITY_SIGMA_PX, CounterNet, CounterOutput
from her2core.errors import CancelledError, ModelError
from her2core.models import load_weights, short_name
from her2core.records import Box, Channel, Signal

__all__ = ["Count", "Counter", "find_peaks"]

# A map's peak, relative to that of a single sharp signal, from which on it is one.
PEAK_THRESHOLD = 0.35
_BATCH = 64
_CHANNELS = (Channel.HER2, Channel.CEP17)


@dataclass(frozen=True, slots=True)
class Count:
    """One nucleus counted in three ways; pairs are (HER2, CEP17).

    regressed: real-valued regression (the paper). integral: sum of the density map. signals: its peaks, in pixels of
    the region. cluster: probability that HER2 signals are clustered.
    """

    regressed: tuple[float, float]
    integral: tuple[float, float]
    signals: tuple[Signal, ...]
    cluster: float

    def peaks(self, channel: Channel) -> int:
        """Number of localised signals of a channel."""
        return sum(signal.channel is channel for signal in self.signals)


def find_peaks(density: Tensor, threshold: float = PEAK_THRESHOLD) -> list[NDArray[np.float32]]:
    """Local maxima of density maps float[N, S, S]: for each map float32[K, 2] (x, y), refined below a pixel."""
    relative = density * (2 * torch.pi * DENSITY_SIGMA_PX**2)
    # A signal between pixels makes equal neighbours; a slope too small to matter lets one of them win.
    along = torch.arange(density.shape[-1], dtype=density.dtype)
    ranked = relative + 2e-6 * along + 3e-6 * along[:, None]
    highest = F.max_pool2d(ranked[:, None], 3, stride=1, padding=1)[:, 0]
    is_peak = (relative >= threshold) & (ranked >= highest)
    index, ys, xs = (part.numpy() for part in torch.nonzero(is_peak, as_tuple=True))
    padded = F.pad(relative, (1, 1, 1, 1)).numpy()
    offsets = np.array([-1, 0, 1], np.float32)
    peaks: list[list[tuple[float, float]]] = [[] for _ in range(len(density))]
    for n, y, x in zip(index, ys, xs, strict=True):
        window = padded[n, y : y + 3, x : x + 3]
        weight = window.sum()
        dx, dy = (window.sum(axis=0) @ offsets) / weight, (window.sum(axis=1) @ offsets) / weight
        peaks[n].append((x + 0.5 + dx, y + 0.5 + dy))
    return [np.array(p, np.float32).reshape(-1, 2) for p in peaks]


class Counter:
    """Counts signals with trained weights; one object serves all threads of a process.

    How maps are read ("peak_threshold", "integral_gain") comes from the card, where training calibrated it.
    """

    def __init__(self, state: dict[str, Tensor], card: dict[str, Any], device: torch.device | None = None) -> None:
        self.card = card
        self.name = short_name(card)
        self.device = device or torch.device("cpu")
        config = card.get("config", {})
        self._thresholds = [float(t) for t in config.get("peak_threshold", (PEAK_THRESHOLD, PEAK_THRESHOLD))]
        self._gains = torch.tensor([float(g) for g in config.get("integral_gain", (1.0, 1.0))])
        net = CounterNet()
        try:
            net.load_state_dict(state)
        except RuntimeError as error:
            raise ModelError(
                "The counter's weights do not fit its network. Restore both from the same release."
            ) from error
        self._net = net.eval().to(self.device, memory_format=torch.channels_last)  # type: ignore[call-overload]

    @classmethod
    def load(cls, path: Path, device: torch.device | None = None) -> Counter:
        """The counter stored at `path`; raises ModelError (see `models.load_weights`)."""
        return cls(*load_weights(path), device)

    def _run(self, crops: Sequence[Crop]) -> CounterOutput:
        pixels = torch.from_numpy(np.stack([c.pixels_rgb for c in crops])).permute(0, 3, 1, 2)
        axes = torch.tensor([c.half_axes_px for c in crops])
        x = to_input(pixels.to(self.device), axes.to(self.device)).contiguous(memory_format=torch.channels_last)
        with torch.inference_mode(), torch.autocast(self.device.type, enabled=self.device.type == "cuda"):
            output: CounterOutput = self._net(x)
        return CounterOutput(output.regressed.cpu(), output.density.float().cpu(), output.cluster_logit.cpu())

    def count(
        self,
        pixels_rgb: NDArray[np.uint8],
        boxes: Sequence[Box],
        progress: Callable[[float], None] | None = None,
        cancelled: Callable[[], bool] | None = None,
    ) -> list[Count]:
        """Count the nuclei in `boxes` (xyxy, px) of a region uint8[H, W, 3]; one Count a box, in order.

        Raises CancelledError when `cancelled()` says so, ValueError for a box without area.
        """
        counts: list[Count] = []
        for start in range(0, len(boxes), _BATCH):
            if cancelled is not None and cancelled():
                raise CancelledError("The analysis was stopped.")
            crops = cut(pixels_rgb, boxes[start : start + _BATCH])
            counts += self._read(self._run(crops), crops)
            if progress is not None:
                progress(len(counts) / len(boxes))
        return counts

    def _read(self, output: CounterOutput, crops: Sequence[Crop]) -> list[Count]:
        integral = (output.density.sum(dim=(2, 3)) * self._gains).tolist()
        regressed = output.regressed.clamp(min=0).tolist()
        cluster = torch.sigmoid(output.cluster_logit).tolist()
        peaks = [find_peaks(output.density[:, i], threshold) for i, threshold in enumerate(self._thresholds)]
        counts = []
        for n, crop in enumerate(crops):
            signals = tuple(
                Signal(channel, *crop.to_region(float(x), float(y)))
                for channel, found in zip(_CHANNELS, peaks, strict=True)
                for x, y in found[n]
            )
            counts.append(
                Count((regressed[n][0], regressed[n][1]), (integral[n][0], integral[n][1]), signals, cluster[n])
            )
        return counts
