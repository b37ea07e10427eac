"""How many HER2 and CEP17 signals the nuclei of a region have, for each group of the 2018 ASCO/CAP guideline."""

from __future__ import annotations

import numpy as np
from numpy.typing import NDArray

from her2core.errors import TrainingError
from her2core.records import Tally
from her2core.scoring.groups import group

__all__ = ["MIXES", "PAPER_MIX", "group_sequence", "margin", "sample_counts", "sample_margin"]

# Test set of Xue et al. 2023: 184 images, groups 1-5 (domain.md 7.2).
PAPER_MIX = {1: 56, 2: 2, 3: 1, 4: 3, 5: 122}
MIXES = ("paper", "balanced", "borders")
_TRIES = 2000
# Relative distances from the nearest border between groups: a quarter of the regions lies near one, on either side.
_NEAR, _CLEAR, _AT_BORDER = (0.015, 0.06), (0.06, np.inf), (0.0, 0.05)


def group_sequence(count: int, mix: str, rng: np.random.Generator) -> list[int]:
    """Groups of `count` regions in the proportions of `mix`, one of MIXES, shuffled; "borders" is balanced.

    Every group of the paper's mix is met exactly where `count` is a multiple of 184; otherwise the largest remainders
    decide. Raises TrainingError for another mix.
    """
    if mix == "paper":
        weights = PAPER_MIX
    elif mix in MIXES:
        weights = dict.fromkeys(PAPER_MIX, 1)
    else:
        raise TrainingError(f"Unknown mix {mix!r}: choose paper, balanced or borders.")
    total = sum(weights.values())
    quotas = {g: count * w / total for g, w in weights.items()}
    numbers = {g: int(q) for g, q in quotas.items()}
    for g in sorted(quotas, key=lambda g: (numbers[g] - quotas[g], g))[: count - sum(numbers.values())]:
        numbers[g] += 1
    groups = [g for g, n in numbers.items() for _ in range(n)]
    rng.shuffle(groups)
    return groups


def margin(tally: Tally) -> float:
    """Relative distance of a tally from the nearest border at which its group would change; 0 without signals.

    A ratio of 2.1 and 3 copies is 5 % away from 2.0 and 25 % from 4.0: 0.05. Borders: guideline table (domain.md 1.3).
    """
    if not (tally.n and tally.her2 and tally.cep17):
        return 0.0
    copies, ratio = tally.her2 / tally.n, tally.her2 / tally.cep17
    borders = [(ratio, 2.0), (copies, 4.0)] + ([(copies, 6.0)] if ratio < 2 else [])
    return min(abs(value / border - 1) for value, border in borders)


def sample_margin(mix: str, rng: np.random.Generator) -> tuple[float, float]:
    """From where to where the margin of a region may lie."""
    if mix == "borders":
        return _AT_BORDER
    return _NEAR if rng.random() < 0.25 else _CLEAR


def _means(target: int, rng: np.random.Generator) -> tuple[float, float, float]:
    """Mean HER2 and CEP17 signals a nucleus and the spread of HER2 between nuclei, for one region of a group."""
    if target == 1:
        cep17 = rng.uniform(1.4, 3.0)
        low = rng.random() < 0.4
        her2 = rng.uniform(4.0, 8.5) if low else rng.uniform(8.0, 26.0)
        return max(her2, cep17 * rng.uniform(2.0, 2.4)), cep17, 0.32 if low else 0.45
    if target == 2:
        cep17 = rng.uniform(1.05, 1.8)
        return min(3.95, cep17 * rng.uniform(2.0, 3.0)), cep17, 0.28
    if target == 3:
        cep17 = rng.uniform(3.2, 6.0)
        return max(6.05, cep17 * rng.uniform(1.2, 1.98)), cep17, 0.28
    if target == 4:
        cep17 = rng.uniform(2.1, 3.9)
        return float(np.clip(cep17 * rng.uniform(1.15, 1.98), 4.05, 5.95)), cep17, 0.28
    cep17 = rng.uniform(1.5, 2.9)
    return min(3.97, cep17 * float(np.clip(rng.normal(1.2, 0.25), 0.75, 1.97))), cep17, 0.26


def sample_counts(
    target: int,
    scorable: NDArray[np.bool_],
    rng: np.random.Generator,
    *,
    missing: float = 0.03,
    margins: tuple[float, float] = (0.0, np.inf),
) -> tuple[NDArray[np.int64], NDArray[np.int64]]:
    """HER2 and CEP17 counts of nuclei whose scorable ones fall into group `target`.

    Args:
        scorable: bool[N], the nuclei that would be scored if they show both colours.
        missing: share of nuclei that lost all signals of a colour (thin sections, weak CEP17).
        margins: from where to where (excluded) `margin` may lie.

    Raises TrainingError where no such counts are found, which a reasonable number of nuclei never shows.
    """
    n = len(scorable)
    for _ in range(_TRIES):
        her2_mean, cep17_mean, spread = _means(target, rng)
        if target == 1 and her2_mean > 4:
            her2 = her2_mean * np.exp(rng.normal(-(spread**2) / 2, spread, n))
        else:
            her2 = rng.normal(her2_mean, spread * her2_mean + 0.15, n)
        cep17 = rng.normal(cep17_mean, 0.26 * cep17_mean + 0.15, n)
        her2_counts = np.clip(np.rint(her2), 1, 60).astype(np.int64)
        cep17_counts = np.clip(np.rint(cep17), 1, 9).astype(np.int64)
        her2_counts[rng.random(n) < missing / 3] = 0
        cep17_counts[rng.random(n) < missing] = 0
        counted = scorable & (her2_counts > 0) & (cep17_counts > 0)
        total = Tally(int(counted.sum()), int(her2_counts[counted].sum()), int(cep17_counts[counted].sum()))
        if group(total) == target and margins[0] <= margin(total) < margins[1]:
            return her2_counts, cep17_counts
    raise TrainingError(f"No counts of group {target} were found for {int(scorable.sum())} nuclei.")
