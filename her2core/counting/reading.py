"""How the network's output is read as counts: numbers that training calibrates on held-out nuclei, kept in the card."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any, Self

import torch
from torch import Tensor

from her2core.counting.clusters import ClusterEstimate
from her2core.counting.judgement import Judgement
from her2core.counting.peaks import PEAK_THRESHOLD
from her2core.records import SystematicError

__all__ = ["Reading"]


@dataclass(frozen=True, slots=True)
class Reading:
    """peak_threshold: HER2 and CEP17, from how many signals held around it a peak is one. integral_gain: factors on the
    integrals. in_clusters: HER2 signals of a cluster; where it is None (too few were seen to fit it, or the counter is
    older than it), cluster_weights: they are so much of integral (before its gain) and regression.
    cluster: whether HER2 signals are clustered; None: the network's own word. doubt: whether a count is wrong; None
    where it was not fitted, and all nuclei are uncertain. systematic_error: by how much the nuclei of a
    region are off in common; None where it was not measured.
    """

    peak_threshold: tuple[float, float] = (PEAK_THRESHOLD, PEAK_THRESHOLD)
    integral_gain: tuple[float, float] = (1.0, 1.0)
    cluster_weights: tuple[float, float] = (1.0, 0.0)
    cluster: Judgement | None = None
    doubt: Judgement | None = None
    systematic_error: SystematicError | None = None
    in_clusters: ClusterEstimate | None = None

    def cluster_probability(self, cluster_logit: Tensor, tell_tales: Tensor) -> Tensor:
        """The chance that HER2 signals are clustered, float[N]; `tell_tales` as of `judgement.features`."""
        return torch.sigmoid(cluster_logit) if self.cluster is None else self.cluster.probability(tell_tales)

    def in_cluster(self, integral: Tensor, regressed: Tensor, peaks: Tensor, columns: Tensor) -> Tensor:
        """HER2 signals of clustered nuclei, float[N], from the ways of counting float[N] and `clusters.features`; never
        fewer than peaks."""
        a, b = self.cluster_weights
        estimate = a * integral + b * regressed if self.in_clusters is None else self.in_clusters.signals(columns)
        return estimate.maximum(peaks)

    def to_config(self) -> dict[str, Any]:
        """As in the card's `config`."""
        return {
            "peak_threshold": [round(t, 3) for t in self.peak_threshold],
            "integral_gain": [round(g, 4) for g in self.integral_gain],
            "cluster_weights": [round(w, 4) for w in self.cluster_weights],
            "in_clusters": None if self.in_clusters is None else self.in_clusters.to_dict(),
            "cluster": None if self.cluster is None else self.cluster.to_dict(),
            "doubt": None if self.doubt is None else self.doubt.to_dict(),
        } | ({} if self.systematic_error is None else {"systematic_error": self.systematic_error.to_dict()})

    @classmethod
    def from_config(cls, config: Mapping[str, Any]) -> Self:
        """Inverse of `to_config`; what is missing has its default.

        Raises ValueError for a judgement or estimate that does not fit.
        """
        default = cls()
        her2, cep17 = config.get("peak_threshold", default.peak_threshold)
        gain_her2, gain_cep17 = config.get("integral_gain", default.integral_gain)
        a, b = config.get("cluster_weights") or (gain_her2, 0.0)
        cluster, doubt = (
            None if config.get(name) is None else Judgement.from_dict(config[name]) for name in ("cluster", "doubt")
        )
        in_clusters = config.get("in_clusters")
        systematic = config.get("systematic_error")
        return cls(
            (float(her2), float(cep17)),
            (float(gain_her2), float(gain_cep17)),
            (float(a), float(b)),
            cluster,
            doubt,
            None if systematic is None else SystematicError.from_dict(systematic),
            None if in_clusters is None else ClusterEstimate.from_dict(in_clusters),
        )
