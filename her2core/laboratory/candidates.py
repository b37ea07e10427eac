"""Is a candidate better than the models in use? Both read the same held-out regions, own and rendered; pairs decide.

Own regions say whether it learned; rendered ones what it forgot. Differences have intervals from drawing patients
again, each with all its regions as both read them.
"""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np
from numpy.typing import NDArray

from her2core.errors import TrainingError
from her2core.scoring import group
from her2core.training.measures import wilson
from her2core.training.summary import Read, plain

__all__ = ["FORGETTING", "Comparison", "Figures", "Measured", "compare", "comparison_of", "measure", "reasons_against"]

FORGETTING = 0.05
"""What a candidate may lose of the rendered regions' true groups, at most, as a share, unless said otherwise."""
_RESAMPLES = 2000
_GAPS = ("accuracy", "her2_off", "signals_off")
Interval = tuple[float, float]


@dataclass(frozen=True, slots=True)
class Measured:
    """One region as one pair of models reads it.

    `right`: the true group. `her2_off`, `cep17_off`: |found/true - 1| of the signals a nucleus, 1 where nothing was
    found. `signals_off`: mean error of a nucleus, both probes, of `nuclei` matched ones. `found`: share of true nuclei.
    """

    image: str
    patient: str
    right: bool
    her2_off: float
    cep17_off: float
    signals_off: float
    nuclei: int
    found: float


@dataclass(frozen=True, slots=True)
class Figures:
    """What regions come to: means over regions, but `signals_off` over nuclei."""

    regions: int
    patients: int
    accuracy: float
    accuracy_95: Interval
    her2_off: float
    cep17_off: float
    signals_off: float
    found: float


@dataclass(frozen=True, slots=True)
class Comparison:
    """The models in use and the candidate on one set, and candidate minus current with 95 % intervals."""

    name: str
    current: Figures
    candidate: Figures
    accuracy: tuple[float, Interval]
    her2_off: tuple[float, Interval]
    signals_off: tuple[float, Interval]
    better: int
    worse: int

    def to_dict(self) -> dict[str, Any]:
        """Plain values."""
        values: dict[str, Any] = plain(self)
        return values


def measure(reads: Sequence[Read]) -> tuple[Measured, ...]:
    """Readings as they are compared; regions without a true group are left out, for they have nothing to miss."""
    rows = []
    for r in reads:
        truth = group(r.true)
        if truth is None or not r.true.her2:
            continue
        errors = [m.error() for m in r.matched]
        rows.append(
            Measured(
                image=r.region.image,
                patient=r.region.patient,
                right=group(r.found) == truth,
                her2_off=_off(r.found.her2, r.found.n, r.true.her2, r.true.n),
                cep17_off=_off(r.found.cep17, r.found.n, r.true.cep17, r.true.n),
                signals_off=float(np.mean(errors)) if errors else 0.0,
                nuclei=len(errors),
                found=len(r.pairs) / len(r.region.nuclei),
            )
        )
    return tuple(rows)


def _off(found: int, found_n: int, true: int, true_n: int) -> float:
    return abs(found / found_n / (true / true_n) - 1) if found_n else 1.0


def compare(name: str, current: Sequence[Measured], candidate: Sequence[Measured], seed: int = 0) -> Comparison:
    """Both on the same regions. Raises TrainingError where they are not the same, or none."""
    if [m.image for m in current] != [m.image for m in candidate] or not current:
        raise TrainingError(f"{name}: the models in use and the candidate must read the same regions, at least one.")
    index: dict[str, list[int]] = defaultdict(list)
    for i, m in enumerate(current):
        index[m.patient].append(i)
    groups = list(index.values())
    drawn = np.random.default_rng(seed).integers(len(groups), size=(_RESAMPLES, len(groups)))
    samples = [np.concatenate([groups[g] for g in row]) for row in drawn]

    def difference(of: str, weight: str | None = None) -> tuple[float, Interval]:
        now, new = _values(current, of), _values(candidate, of)
        weights = (np.ones(len(now)), np.ones(len(new)))
        if weight is not None:
            weights = (_values(current, weight), _values(candidate, weight))

        def gap(chosen: NDArray[np.int64]) -> float:
            return _mean(new[chosen], weights[1][chosen]) - _mean(now[chosen], weights[0][chosen])

        low, high = np.quantile([gap(chosen) for chosen in samples], (0.025, 0.975))
        return gap(np.arange(len(now))), (float(low), float(high))

    gained = sum(b.right and not a.right for a, b in zip(current, candidate, strict=True))
    lost = sum(a.right and not b.right for a, b in zip(current, candidate, strict=True))
    return Comparison(
        name,
        _figures(current),
        _figures(candidate),
        difference("right"),
        difference("her2_off"),
        difference("signals_off", "nuclei"),
        gained,
        lost,
    )


def _values(rows: Sequence[Measured], of: str) -> NDArray[np.float64]:
    return np.array([float(getattr(m, of)) for m in rows])


def _mean(values: NDArray[np.float64], weights: NDArray[np.float64]) -> float:
    total = float(weights.sum())
    return float((values * weights).sum() / total) if total else 0.0


def _figures(rows: Sequence[Measured]) -> Figures:
    right = sum(m.right for m in rows)
    return Figures(
        regions=len(rows),
        patients=len({m.patient for m in rows}),
        accuracy=right / len(rows),
        accuracy_95=wilson(right, len(rows)),
        her2_off=float(_values(rows, "her2_off").mean()),
        cep17_off=float(_values(rows, "cep17_off").mean()),
        signals_off=_mean(_values(rows, "signals_off"), _values(rows, "nuclei")),
        found=float(_values(rows, "found").mean()),
    )


def reasons_against(own: Comparison, rendered: Comparison, forgetting: float = FORGETTING) -> tuple[str, ...]:
    """Why a candidate is not to be promoted, sentences; empty where it may be.

    It must not lose on own regions, neither groups nor counts, must gain in one of them, and must not lose more than
    `forgetting` of the rendered regions. Raises ValueError for a share that is none.
    """
    if not 0 <= forgetting <= 1:
        raise ValueError("what may be forgotten is a share, 0 to 1")
    found = []
    change, counts = own.accuracy[0], own.her2_off[0]
    if change < 0:
        found.append(
            f"On own regions it has the true group less often: {100 * own.candidate.accuracy:.1f} % instead of "
            f"{100 * own.current.accuracy:.1f} %."
        )
    elif counts > 0:
        found.append(
            f"On own regions its HER2 counts are further off: {100 * own.candidate.her2_off:.1f} % instead of "
            f"{100 * own.current.her2_off:.1f} %."
        )
    elif change == 0 and counts == 0:
        found.append("On own regions it is no better than the models in use.")
    if rendered.accuracy[0] < -forgetting:
        found.append(
            f"It forgot: on rendered regions {100 * rendered.candidate.accuracy:.1f} % have the true group instead of "
            f"{100 * rendered.current.accuracy:.1f} %; at most {100 * forgetting:.4g} points may be lost."
        )
    return tuple(found)


def comparison_of(value: dict[str, Any]) -> Comparison:
    """Inverse of `Comparison.to_dict` up to its rounding. Raises TrainingError for anything else."""
    try:
        sides = [_figures_of(value[name]) for name in ("current", "candidate")]
        gaps = [(float(v[0]), (float(v[1][0]), float(v[1][1]))) for v in (value[n] for n in _GAPS)]
        return Comparison(str(value["name"]), *sides, *gaps, better=int(value["better"]), worse=int(value["worse"]))  # type: ignore[arg-type,misc]
    except (KeyError, TypeError, ValueError, IndexError, AttributeError) as error:
        raise TrainingError("The comparison beside the candidate cannot be read; make it again.") from error


def _figures_of(value: dict[str, Any]) -> Figures:
    low, high = value["accuracy_95"]
    return Figures(
        regions=int(value["regions"]),
        patients=int(value["patients"]),
        accuracy=float(value["accuracy"]),
        accuracy_95=(float(low), float(high)),
        her2_off=float(value["her2_off"]),
        cep17_off=float(value["cep17_off"]),
        signals_off=float(value["signals_off"]),
        found=float(value["found"]),
    )
