"""Signals of nuclei: regression and density, from pixels to counts, positions and doubts."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass, replace
from functools import partial
from pathlib import Path
from typing import Any

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor

from her2core.cores import cores, side_by_side
from her2core.counting.clusters import Light, TypicalSignal
from her2core.counting.clusters import features as cluster_features
from her2core.counting.context import Context, region_context
from her2core.counting.crops import Crop, CropSize, as_tensors, cut, sharpness, spread_out, to_input
from her2core.counting.judgement import features
from her2core.counting.network import CounterNet, CounterOutput, completed, mean_of_fields
from her2core.counting.peaks import PeakMap
from her2core.counting.quick import in_use
from her2core.counting.reading import Reading
from her2core.errors import CancelledError, ModelError, ScoringError
from her2core.models import load_weights, to_device
from her2core.records import Box, Channel, Signal

__all__ = ["Count", "Counter"]

_BATCH = 128  # nuclei that are worked on at once
_PART = 80  # of more nuclei than that; so many show what their region looks like
_CPU_CHUNK = 20  # crops mapped at once: the maps of more do not stay in a processor's cache
_ENOUGH_FOR_LIGHT = 40  # nuclei tell what light a signal has
_SAID = 8  # numbers a nucleus that are kept until all are counted
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
    """What is kept of the network's answers about N nuclei until all of their region are known, float[N] each: what
    `clusters.features` asks for, and `cluster`, the chance that HER2 signals are clustered."""

    integral: Tensor
    regressed: Tensor
    peaks: Tensor
    cluster_logit: Tensor
    cluster: Tensor
    light: Light

    @property
    def table(self) -> Tensor:
        """All of it as float[N, 8]."""
        light = self.light.total, self.light.area_px, self.light.brightest
        ways = self.integral, self.regressed, self.peaks, self.cluster_logit, self.cluster
        return torch.stack([*ways, *light], dim=1)

    @classmethod
    def of_table(cls, table: Tensor) -> _Said:
        """Inverse of `table`."""
        integral, regressed, peaks, cluster_logit, cluster, total, area_px, brightest = table.unbind(1)
        return cls(integral, regressed, peaks, cluster_logit, cluster, Light(total, area_px, brightest))

    def typical_signal(self, shown: Tensor) -> TypicalSignal:
        """A HER2 signal of the region, by the nuclei that are `shown`, bool[N]."""
        return self.light.of_some(shown).typical_signal(self.peaks[shown], self.cluster[shown])


class Counter:
    """Counts signals with trained weights; one object serves all threads of a process.

    How large crops are (`CropSize`) and how maps are read (`Reading`) comes from the card: training chose the one and
    calibrated the other.
    """

    def __init__(self, state: dict[str, Tensor], card: dict[str, Any], device: torch.device | None = None) -> None:
        self.card = card
        self.device = device or torch.device("cpu")
        net = CounterNet()
        try:
            config = card.get("config", {})
            self.reading, self.size = Reading.from_config(config), CropSize.from_config(config)
            net.load_state_dict(completed(state, net))
        except (RuntimeError, ValueError, KeyError, TypeError, ScoringError) as error:
            raise ModelError(
                "The counter's weights do not fit its network. Restore both from the same release."
            ) from error
        self._net = in_use(net, card, self.device)

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

    def _ask(self, planes: Sequence[Tensor], field: Tensor) -> CounterOutput:
        with torch.inference_mode():
            parts = [self._net.maps(part, field) for part in planes]
            density, deep = (torch.cat(tensors) for tensors in zip(*parts, strict=True))
            said = self._net.with_head(density, deep, field)
        return CounterOutput(said.regressed.cpu(), said.density.cpu(), said.cluster_logit.cpu())

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
        if not boxes:
            return []
        every = [*boxes, *others]
        shown = every if len(every) <= _BATCH else spread_out(every, _PART)
        at_once = len(every) <= _BATCH and not others
        crops = cut(pixels_rgb, shown, self.size)
        context = region_context(*as_tensors(crops))
        planes = self._planes(crops, context)
        field = self._field(planes)
        counts: list[Count] = []
        # Kept in one piece: small pieces between large, short-lived maps would bar their memory from being used again.
        table = torch.empty(len(boxes), _SAID)
        # A few nuclei share the cores at each step; of many, each core has a part. What is in a part never goes by how
        # many cores there are: sums of other parts differ by a hair.
        together = cores() if self.device.type == "cpu" else 1
        parts = [boxes[start : start + _PART] for start in range(0, len(boxes), _PART)]
        work = [partial(self._count, pixels_rgb, part, context, field) for part in parts]
        if at_once:
            work = [partial(self._read, planes, field, crops)]
        for start in range(0, len(work), together):
            if cancelled is not None and cancelled():
                raise CancelledError("The analysis was stopped.")
            for read, said in side_by_side(work[start : start + together]):
                table[len(counts) : len(counts) + len(read)] = said.table
                counts += read
            if progress is not None:
                progress(len(counts) / len(boxes))
        said = _Said.of_table(table)
        few = shown if at_once else spread_out(shown, _ENOUGH_FOR_LIGHT)
        if others:
            _, of_few = self._count(pixels_rgb, few, context, field)
            signal = of_few.typical_signal(torch.ones(len(few), dtype=torch.bool))
        else:
            chosen = set(few)
            signal = said.typical_signal(torch.tensor([box in chosen for box in boxes]))
        return self._with_clusters(counts, said, signal)

    def _count(
        self, pixels_rgb: NDArray[np.uint8], boxes: Sequence[Box], context: Context, field: Tensor
    ) -> tuple[list[Count], _Said]:
        """`_read` from pixels."""
        crops = cut(pixels_rgb, boxes, self.size)
        return self._read(self._planes(crops, context), field, crops)

    def _with_clusters(self, counts: Sequence[Count], said: _Said, signal: TypicalSignal) -> list[Count]:
        """The counts with HER2 signals as they are if they cluster, which takes a typical signal of the region."""
        columns = cluster_features(said.integral, said.regressed, said.peaks, said.cluster_logit, said.light, signal)
        in_cluster = self.reading.in_cluster(said.integral, said.regressed, said.peaks, columns).tolist()
        return [replace(count, in_cluster=signals) for count, signals in zip(counts, in_cluster, strict=True)]

    def _read(self, planes: Sequence[Tensor], field: Tensor, crops: Sequence[Crop]) -> tuple[list[Count], _Said]:
        """Counts without what they are in clusters, and what that takes."""
        output, reading = self._ask(planes, field), self.reading
        raw = output.density.sum(dim=(2, 3))
        integral = (raw * torch.tensor(reading.integral_gain)).tolist()
        regressed = output.regressed.clamp(min=0)
        maps = PeakMap.of(output.density[:, 0]), PeakMap.of(output.density[:, 1])
        tell_tales = features(output, maps, reading.peak_threshold)
        cluster = reading.cluster_probability(output.cluster_logit, tell_tales)
        peaks = [
            peak_map.positions(threshold) for peak_map, threshold in zip(maps, reading.peak_threshold, strict=True)
        ]
        doubt = reading.doubt
        wrong = None if doubt is None else doubt.probability(tell_tales).tolist()
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
                    float(cluster[n]),
                    sharpness=float(sharp[n]),
                    wrong=None if wrong is None else wrong[n],
                    uncertain=doubt is None or wrong is None or wrong[n] >= doubt.threshold,
                )
            )
        her2_peaks = torch.tensor([float(len(found)) for found in peaks[0]])
        light = Light.of(planes, maps[0])
        return counts, _Said(raw[:, 0], regressed[:, 0], her2_peaks, output.cluster_logit, cluster, light)
