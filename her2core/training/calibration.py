"""How a trained counter is read as counts, fitted on nuclei that training has not seen, and what each way is worth."""

from __future__ import annotations

from collections import defaultdict
from dataclasses import dataclass, replace

import torch
from torch import Tensor

from her2core.counting.clusters import ClusterEstimate, Light, TypicalSignal
from her2core.counting.clusters import features as cluster_features
from her2core.counting.crops import to_input
from her2core.counting.judgement import Judgement, features, nucleus_miscounted
from her2core.counting.network import CounterNet, CounterOutput, mean_of_fields
from her2core.counting.peaks import PEAK_THRESHOLD, PeakMap
from her2core.counting.planes import joined
from her2core.counting.quick import QuickCounterNet
from her2core.counting.reading import Reading
from her2core.errors import ScoringError
from her2core.pipeline import CLUSTER_THRESHOLD, FEWEST_IN_CLUSTER
from her2core.records import SystematicError
from her2core.scoring.systematic import Compared, measured_systematic_error
from her2core.training.counter_data import Batch, CropSet, identity, numbered

__all__ = ["Answers", "answers", "as_float", "calibrate", "cluster_weights", "contributions", "counted", "planes"]


_MOST_FOR_MISSED = 1.2
_AT_ONCE = 128  # nuclei whose features are in memory together


@dataclass(frozen=True, slots=True)
class Answers:
    """What the network says of N nuclei, the maxima of both of its maps, the nuclei's HER2 light, and which region each
    is from, int64[N], numbered from 0."""

    output: CounterOutput
    maps: tuple[PeakMap, PeakMap]
    light: Light
    region: Tensor

    @property
    def integral(self) -> Tensor:
        """Sums of the maps, float[N, 2]."""
        return self.output.density.sum(dim=(2, 3))

    @property
    def regressed(self) -> Tensor:
        """Counts by regression, float[N, 2], none below 0."""
        return self.output.regressed.clamp(min=0)


def planes(batch: Batch) -> Tensor:
    """The network's input for a batch, float[N, INPUT_PLANES, S, S]."""
    x = to_input(batch.pixels, batch.half_axes, batch.unmixing, batch.unit)
    return x.contiguous(memory_format=torch.channels_last)


def as_float(output: CounterOutput, device: torch.device | None = None) -> CounterOutput:
    """The same in float32, there."""
    parts = (part.to(device, torch.float32) for part in (output.regressed, output.density, output.cluster_logit))
    return CounterOutput(*parts)


def answers(net: CounterNet | QuickCounterNet, crops: CropSet) -> Answers:
    """What the network says of crops as they are; a field is what all crops of its region show of it."""
    device = torch.device("cpu")
    if isinstance(net, CounterNet):
        device = next(net.eval().parameters()).device
    sizes = torch.unique_consecutive(crops.region, return_counts=True)[1].tolist()
    said: list[CounterOutput] = []
    her2: list[PeakMap] = []
    lit = []
    with torch.inference_mode():
        for of_region in torch.split(torch.arange(len(crops)), sizes):
            parts = torch.split(of_region, _AT_ONCE)
            described = [net.describe(planes(identity(crops.select(part))).to(device)) for part in parts]
            field = mean_of_fields(torch.cat(described), torch.zeros_like(of_region).to(device))
            for part in parts:
                x = planes(identity(crops.select(part)))
                said.append(as_float(net(x.to(device), field), x.device))
                her2.append(PeakMap.of(said[-1].density[:, 0]))
                lit.append(Light.of([x], her2[-1]))
    output = joined(said)
    return Answers(output, (joined(her2), PeakMap.of(output.density[:, 1])), joined(lit), numbered(crops.region))


def calibrate(said: Answers, crops: CropSet) -> Reading:
    """How answers are read so that counts are right on average, from those about nuclei that training has not seen.

    Peaks: the threshold of least mean absolute error plus bias where HER2 is not clustered. Integrals: unbiased (HER2
    in clusters, CEP17 everywhere). Whether signals are clustered and whether a count is wrong: logistic regression
    (`Judgement`). Clusters: Poisson regression on nuclei that are scored and taken for clustered (`ClusterEstimate`),
    times what makes up for those that are missed; where they are few, least squares over integral and regression, on
    clustered nuclei.
    """
    clustered = crops.clustered > 0.5
    thresholds, gains = [], []
    for channel, peak_map in enumerate(said.maps):
        true = crops.counts[:, channel]

        def loss(threshold: float, peak_map: PeakMap = peak_map, true: Tensor = true) -> float:
            error = (peak_map.counts(threshold) - true)[~clustered]
            return float(error.abs().mean() + error.mean().abs())

        best = min((0.05 * i for i in range(6, 20)), key=loss) if (~clustered).any() else PEAK_THRESHOLD
        thresholds.append(best)
        chosen = clustered if channel == 0 and clustered.any() else torch.ones_like(clustered)
        gains.append(float(true[chosen].sum() / peak_map.density[chosen].sum().clamp(min=1e-6)))
    tell_tales = features(said.output, said.maps, (thresholds[0], thresholds[1]))

    def judgement(yes: Tensor) -> Judgement | None:
        return Judgement.fit(tell_tales, yes) if yes.any() and not yes.all() else None

    ways = torch.stack([said.integral[:, 0], said.regressed[:, 0]], 1)
    weights = cluster_weights(ways[clustered], crops.counts[clustered, 0])
    reading = Reading((thresholds[0], thresholds[1]), (gains[0], gains[1]), weights, judgement(clustered))
    cluster = _cluster_probability(said, reading)
    taken = (cluster >= CLUSTER_THRESHOLD) & crops.scorable
    in_clusters = ClusterEstimate.fit(_cluster_columns(said, reading, cluster)[taken], crops.counts[taken, 0])
    if in_clusters is not None:
        reading = replace(reading, in_clusters=in_clusters)
        reading = replace(reading, in_clusters=in_clusters.times(_for_missed(said, crops, reading, taken)))
    final, used = counted(said, reading)
    wrong = [
        nucleus_miscounted((her2, cep17), (true_her2, true_cep17), clustered=found)
        for (her2, cep17), (true_her2, true_cep17), found in zip(
            final["final"].tolist(), crops.counts.tolist(), used.tolist(), strict=True
        )
    ]
    return replace(
        reading, doubt=judgement(torch.tensor(wrong)), systematic_error=_in_common(crops, final["final"], used)
    )


def _for_missed(said: Answers, crops: CropSet, reading: Reading, taken: Tensor) -> float:
    """By what factor estimates of the clusters `taken` for such, bool[N], make HER2 of all scored nuclei right in sum.

    Groups come from that sum, and where clusters are some are missed and counted by their peaks, far too low.
    """
    her2 = counted(said, reading)[0]["final"][:, 0]
    short = float((crops.counts[:, 0] - her2)[crops.scorable].sum())
    return min(max(1 + short / max(float(her2[taken].sum()), 1.0), 1 / _MOST_FOR_MISSED), _MOST_FOR_MISSED)


def _cluster_probability(said: Answers, reading: Reading) -> Tensor:
    tell_tales = features(said.output, said.maps, reading.peak_threshold)
    return reading.cluster_probability(said.output.cluster_logit, tell_tales)


def _cluster_columns(said: Answers, reading: Reading, cluster: Tensor) -> Tensor:
    """`clusters.features` of all nuclei, each against the typical signal of its region, float[N, len(FEATURES)]."""
    peaks = said.maps[0].counts(reading.peak_threshold[0])
    typical = torch.empty(len(peaks), 2)
    for region in range(int(said.region.max()) + 1):
        of = said.region == region
        signal = said.light.of_some(of).typical_signal(peaks[of], cluster[of])
        typical[of] = torch.stack([signal.light, signal.area_px])
    signals = TypicalSignal(typical[:, 0], typical[:, 1])
    return cluster_features(
        said.integral[:, 0], said.regressed[:, 0], peaks, said.output.cluster_logit, said.light, signals
    )


def counted(said: Answers, reading: Reading) -> tuple[dict[str, Tensor], Tensor]:
    """Counts float[N, 2] by each way as `reading` takes them, and which nuclei are taken for clustered, bool[N].

    The ways are those of `readings.WAYS`; "final" is the one that her2core gives, as `pipeline.settle` does.
    """
    peaks = torch.stack([m.counts(t) for m, t in zip(said.maps, reading.peak_threshold, strict=True)], 1)  # (N, 2)
    cluster = _cluster_probability(said, reading)
    her2 = reading.in_cluster(
        said.integral[:, 0], said.regressed[:, 0], peaks[:, 0], _cluster_columns(said, reading, cluster)
    )
    estimate = torch.stack([her2, peaks[:, 1]], 1)
    used = (cluster >= CLUSTER_THRESHOLD) & (her2.maximum(peaks[:, 0]) >= FEWEST_IN_CLUSTER)
    ways = {
        "final": torch.where(used[:, None], estimate.round(), peaks),
        "peaks": peaks,
        "integral": said.integral * torch.tensor(reading.integral_gain),
        "regression": said.regressed,
        "cluster estimate": estimate,
    }
    return ways, used


def contributions(said: Answers, crops: CropSet, reading: Reading) -> dict[str, str]:
    """For the card: what each part adds to the counts, with the error and bias of each way on these nuclei."""
    ways, used = counted(said, reading)
    clustered = crops.clustered > 0.5

    def off(way: str) -> str:
        said = []
        for name, channel, chosen in (
            ("HER2 not clustered", 0, ~clustered),
            ("HER2 clustered", 0, clustered),
            ("CEP17", 1, torch.ones_like(clustered)),
        ):
            if chosen.any():
                error = (ways[way] - crops.counts)[chosen, channel]
                said.append(f"{name} {float(error.abs().mean()):.2f} / {float(error.mean()):+.2f}")
        return f" Error / bias on {len(crops)} held-out nuclei: {', '.join(said)}."

    hit, taken = int((used & clustered).sum()), int(used.sum())
    found = f" It finds {hit} of {int(clustered.sum())}; {taken - hit} of {taken} are none."
    measured = {**{way: off(way) for way in ways}, "cluster": found}
    return {name: words + measured.get(name, "") for name, words in _PARTS.items()}


_PARTS = {
    "final": "What her2core gives: peaks, and the cluster estimate where HER2 signals are taken for clustered.",
    "peaks": "Maxima of the density map: every signal has its place.",
    "integral": "The density map's sum: signals that run into each other count, too.",
    "regression": "The way of Xue et al. 2023. Selectable; a tell-tale for doubts, and part of the cluster estimate.",
    "cluster estimate": "HER2 in clusters: a log-linear mean of integral, regression, peaks and the cluster's light in "
    "typical signals of its region (`in_clusters`); peaks at least.",
    "cluster": "Whether HER2 signals are clustered, by logistic regression on tell-tales of all ways.",
    "context": "How the stains of the region mix and how bright a typical signal is, measured on all its nuclei.",
    "field": "What the nuclei of a region say together about how it looks scales and shifts the features by which each "
    "is counted.",
    "doubt": "The chance that a count is wrong, fitted on held-out nuclei.",
}


def _in_common(crops: CropSet, counted: Tensor, clustered: Tensor) -> SystematicError | None:
    """By how much the nuclei of a region are off in common, of counts float[N, 2]; None of too few regions."""
    regions = defaultdict(list)
    for i in torch.nonzero(crops.scorable).flatten().tolist():
        found, true = ((int(of[i, 0]), int(of[i, 1])) for of in (counted, crops.counts))
        regions[int(crops.region[i])].append(Compared(found, true, bool(clustered[i])))
    try:
        return measured_systematic_error(regions.values())
    except ScoringError:
        return None


def cluster_weights(ways: Tensor, true: Tensor) -> tuple[float, float]:
    """Weights of integral and regression float[N, 2] that miss `true` float[N] least and are right in sum; the integral
    alone where there are too few clusters to tell. Misses are weighed by the root of the count, as its spread is. Right
    in sum, because groups come from totals, and least squares alone shrinks large counts."""
    if len(true) < 30:
        return 1.0, 0.0
    ways, true = ways[true > 0], true[true > 0]  # a cluster may lie beyond the image
    root = true.sqrt().double()
    scaled = ways.double() / root[:, None]
    # A little ridge towards equal weights keeps ways that say the same from being played off against each other.
    ridge = 0.02 * float(true.sum()) * torch.eye(2, dtype=torch.float64)
    right = scaled.T @ root + ridge @ torch.full((2,), 1 / 2).double()
    weights = torch.linalg.solve(scaled.T @ scaled + ridge, right)
    a, b = (weights * true.double().sum() / (ways.double() @ weights).sum()).tolist()
    return a, b
