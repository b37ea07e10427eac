"""Signals of nuclei: regression and density, from pixels to counts, positions and doubts."""

from __future__ import annotations

import math
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor

from her2core.counting.clusters import Light, TypicalSignal
from her2core.counting.clusters import features as cluster_features
from her2core.counting.context import Context, region_context
from her2core.counting.crops import Crop, as_tensors, cut, sharpness, spread_out, to_input
from her2core.counting.judgement import features
from her2core.counting.network import CounterNet, CounterOutput, completed, fused, mean_of_fields
from her2core.counting.peaks import PeakMap
from her2core.counting.reading import Reading
from her2core.errors import CancelledError, ModelError, ScoringError
from her2core.models import load_weights, to_device
from her2core.records import Box, Channel, Signal

__all__ = ["Count", "Counter"]

_BATCH = 64
_CPU_CHUNK = 16  # crops through the network at once: the maps of more do not stay in a processor's cache
_ENOUGH_NUCLEI = 80  # show what a region looks like
_ENOUGH_FOR_LIGHT = 40  # of them, to tell what light a signal has
_CHANNELS = (Channel.HER2, Channel.CEP17)


@dataclass(frozen=True, slots=True)
class Count:
    """One nucleus counted in three ways; pairs are (HER2, CEP17).

    regressed: real-valued regression (the paper). integral: sum of the density map. signals: its peaks, in pixels of
    the region. cluster: probability that HER2 signals are clustered. in_cluster: HER2 signals if they are. sharpness:
    see `crops.sharpness`. wrong: the chance that a count is wrong, None where it was not calibrated; uncertain: whether
    that is enough to ask the pathologist to look.
    """

    regressed: tuple[float, float]
    integral: tuple[float, float]
    signals: tuple[Signal, ...]
    cluster: float
    in_cluster: float = 0.0
    sharpness: float = 1.0
    wrong: float | None = None
    uncertain: bool = True

    def peaks(self, channel: Channel) -> int:
        """Number of localised signals of a channel."""
        return sum(signal.channel is channel for signal in self.signals)


@dataclass(frozen=True, slots=True)
class _Said:
    """What the network says of N nuclei, and what follows from it without their region; float[N] unless told.

    tell_tales: float[N, len(judgement.FEATURES)]. cluster: the chance that HER2 signals are clustered.
    """

    output: CounterOutput
    maps: tuple[PeakMap, PeakMap]
    her2_peaks: Tensor
    tell_tales: Tensor
    cluster: Tensor
    light: Light

    def typical_signal(self) -> TypicalSignal:
        return self.light.typical_signal(self.her2_peaks, self.cluster)


class Counter:
    """Counts signals with trained weights; one object serves all threads of a process.

    How maps are read (`Reading`) comes from the card, where training calibrated it.
    """

    def __init__(self, state: dict[str, Tensor], card: dict[str, Any], device: torch.device | None = None) -> None:
        self.card = card
        self.device = device or torch.device("cpu")
        net = CounterNet()
        try:
            self.reading = Reading.from_config(card.get("config", {}))
            net.load_state_dict(completed(state, net))
        except (RuntimeError, ValueError, KeyError, TypeError, ScoringError) as error:
            raise ModelError(
                "The counter's weights do not fit its network. Restore both from the same release."
            ) from error
        self._net = fused(net).requires_grad_(False).to(self.device, memory_format=torch.channels_last)  # type: ignore[call-overload]

    @classmethod
    def load(cls, path: Path, device: torch.device | None = None) -> Counter:
        """The counter stored at `path`; raises ModelError (see `models.load_weights`)."""
        return cls(*load_weights(path), device)

    def _planes(self, crops: Sequence[Crop], context: Context) -> Sequence[Tensor]:
        """The network's input for crops, in as many at once as the device reads best."""
        n = len(crops)
        unmixing, unit = context.unmixing.expand(n, 2, 3), context.unit.expand(n, 2)
        on_device = (to_device(tensor, self.device) for tensor in (*as_tensors(crops), unmixing, unit))
        x = to_input(*on_device).contiguous(memory_format=torch.channels_last)
        return torch.split(x, n if self.device.type == "cuda" else _CPU_CHUNK)

    def _field(self, planes: Sequence[Tensor]) -> Tensor:
        """How the nuclei of a region, by their planes, say that it looks: float[1, FIELD + 1]."""
        with torch.inference_mode():
            # Summed on the processor: a GPU adds in no fixed order, and the same nuclei would count a hair otherwise.
            described = torch.cat([self._net.describe(part) for part in planes]).cpu()
            return mean_of_fields(described, torch.zeros(len(described), dtype=torch.int64)).to(self.device)

    def _few(self, planes: Sequence[Tensor]) -> Sequence[Tensor]:
        """Of the nuclei by which a region is known as many as tell what light a signal has."""
        x = torch.cat(list(planes))
        return torch.split(x[:: math.ceil(len(x) / _ENOUGH_FOR_LIGHT)], len(planes[0]))

    def _ask(self, planes: Sequence[Tensor], field: Tensor) -> _Said:
        with torch.inference_mode():
            outputs: list[CounterOutput] = [self._net(part, field.expand(len(part), -1)) for part in planes]
        output = CounterOutput(
            torch.cat([o.regressed for o in outputs]).cpu(),
            torch.cat([o.density for o in outputs]).float().cpu(),
            torch.cat([o.cluster_logit for o in outputs]).cpu(),
        )
        maps = PeakMap.of(output.density[:, 0]), PeakMap.of(output.density[:, 1])
        tell_tales = features(output, maps, self.reading.peak_threshold)
        return _Said(
            output,
            maps,
            maps[0].counts(self.reading.peak_threshold[0]),
            tell_tales,
            self.reading.cluster_probability(output.cluster_logit, tell_tales),
            Light.of(planes, maps[0]),
        )

    def count(
        self,
        pixels_rgb: NDArray[np.uint8],
        boxes: Sequence[Box],
        progress: Callable[[float], None] | None = None,
        cancelled: Callable[[], bool] | None = None,
        *,
        others: Sequence[Box] = (),
    ) -> list[Count]:
        """Count the nuclei in `boxes` (xyxy, px) of a region uint8[H, W, 3]; one Count a box, in order.

        `others`: further nuclei of the region. They are not counted, but show what the region looks like.
        Raises CancelledError when `cancelled()` says so, ValueError for a box without area.
        """
        counts: list[Count] = []
        if not boxes:
            return counts
        at_once = len(boxes) <= _BATCH and not others
        crops = cut(pixels_rgb, boxes if at_once else spread_out([*boxes, *others], _ENOUGH_NUCLEI))
        context = region_context(*as_tensors(crops))
        planes = self._planes(crops, context)
        field = self._field(planes)
        said = self._ask(planes if at_once else self._few(planes), field)
        signal = said.typical_signal()
        for start in range(0, len(boxes), _BATCH):
            if cancelled is not None and cancelled():
                raise CancelledError("The analysis was stopped.")
            if not at_once:
                crops = cut(pixels_rgb, boxes[start : start + _BATCH])
                said = self._ask(self._planes(crops, context), field)
            counts += self._read(said, signal, crops)
            if progress is not None:
                progress(len(counts) / len(boxes))
        return counts

    def _read(self, said: _Said, signal: TypicalSignal, crops: Sequence[Crop]) -> list[Count]:
        reading = self.reading
        raw = said.output.density.sum(dim=(2, 3))
        integral = (raw * torch.tensor(reading.integral_gain)).tolist()
        regressed = said.output.regressed.clamp(min=0)
        peaks = [
            peak_map.positions(threshold) for peak_map, threshold in zip(said.maps, reading.peak_threshold, strict=True)
        ]
        columns = cluster_features(
            raw[:, 0], regressed[:, 0], said.her2_peaks, said.output.cluster_logit, said.light, signal
        )
        in_cluster = reading.in_cluster(raw[:, 0], regressed[:, 0], said.her2_peaks, columns).tolist()
        doubt = reading.doubt
        wrong = None if doubt is None else doubt.probability(said.tell_tales).tolist()
        sharp = sharpness(crops)
        counts = []
        for n, crop in enumerate(crops):
            signals = tuple(
                Signal(channel, *crop.to_region(float(x), float(y)))
                for channel, found in zip(_CHANNELS, peaks, strict=True)
                for x, y in found[n]
            )
            her2, cep17 = regressed[n].tolist()
            counts.append(
                Count(
                    (her2, cep17),
                    (integral[n][0], integral[n][1]),
                    signals,
                    float(said.cluster[n]),
                    in_cluster[n],
                    float(sharp[n]),
                    None if wrong is None else wrong[n],
                    doubt is None or wrong is None or wrong[n] >= doubt.threshold,
                )
            )
        return counts
