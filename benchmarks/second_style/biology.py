"""How many signals the nuclei of a region have, so that it is of a wanted group and clear of the group's borders."""

from __future__ import annotations

import numpy as np
from numpy.typing import NDArray

from her2core.records import Tally
from her2core.scoring.groups import group
from her2core.training.render.biology import margin

__all__ = ["LEAST_MARGIN", "WIDE_MARGIN", "draw_counts"]

Ints = NDArray[np.int64]

LEAST_MARGIN = 0.02
WIDE_MARGIN = 0.06
_WIDE_SHARE = 0.67
_TRIES = 300

# Mean HER2 copies a nucleus and HER2/CEP17 ratio from which a region of each group is drawn.
_COPIES = {1: (4.1, 24.0), 2: (2.6, 3.95), 3: (6.1, 9.5), 4: (4.1, 5.9), 5: (1.7, 3.9)}
_RATIO = {1: (2.04, 9.0), 2: (2.04, 2.9), 3: (1.1, 1.95), 4: (1.1, 1.95), 5: (0.8, 1.95)}
_CEP17_MEAN = (1.15, 6.5)


def _means(target: int, rng: np.random.Generator) -> tuple[float, float]:
    """Mean HER2 and CEP17 signals a nucleus of a region of one group."""
    while True:
        low, high = _COPIES[target]
        copies = float(np.exp(rng.uniform(np.log(low), np.log(high))))
        low, high = _RATIO[target]
        cep17 = copies / float(np.exp(rng.uniform(np.log(low), np.log(high))))
        if _CEP17_MEAN[0] <= cep17 <= _CEP17_MEAN[1]:
            return copies, cep17


def draw_counts(
    target: int, scorable: NDArray[np.bool_], missing: float, rng: np.random.Generator
) -> tuple[Ints, Ints] | None:
    """HER2 and CEP17 counts int64[N] whose scorable nuclei fall into group `target`, clear of the borders.

    Two thirds of the regions keep `WIDE_MARGIN` from every border, the others at least `LEAST_MARGIN`. None where
    these nuclei cannot show it.
    """
    n = len(scorable)
    wanted = WIDE_MARGIN if rng.random() < _WIDE_SHARE else LEAST_MARGIN
    for _ in range(_TRIES):
        her2_mean, cep17_mean = _means(target, rng)
        # amplified tumours differ from cell to cell far more than the Poisson-like spread of sectioned normal ones
        shape = rng.uniform(3.0, 8.0) if her2_mean > 5 else rng.uniform(12.0, 40.0)
        her2 = 1 + rng.poisson(rng.gamma(shape, max(her2_mean - 1, 0.05) / shape, n) * 0.8 + 0.2 * (her2_mean - 1))
        cep17 = 1 + rng.binomial(max(2, round(2 * (cep17_mean - 1) + 1)), 0.5, n)
        cep17 = np.where(rng.random(n) < 0.75, np.rint(rng.normal(cep17_mean, 0.22 * cep17_mean, n)), cep17)
        her2 = np.clip(her2, 1, 50).astype(np.int64)
        cep17 = np.clip(cep17, 1, 9).astype(np.int64)
        her2[rng.random(n) < missing / 3] = 0
        cep17[rng.random(n) < missing] = 0
        counted = scorable & (her2 > 0) & (cep17 > 0)
        if not counted.any():
            continue
        tally = Tally(int(counted.sum()), int(her2[counted].sum()), int(cep17[counted].sum()))
        if group(tally) == target and margin(tally) >= wanted:
            return her2, cep17
    return None
