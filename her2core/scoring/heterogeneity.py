"""How alike the cells of a population are: share of amplified cells and measures of two populations (domain.md 4).

These measures advise. The guideline's rule about a second population above 10 % rests on the pathologist's populations
and is applied in `workup`.
"""

from __future__ import annotations

import math
from collections.abc import Iterable
from dataclasses import dataclass

import numpy as np
import numpy.typing as npt

from her2core.records import Nucleus
from her2core.scoring.asked import COUNT_APART

__all__ = [
    "Heterogeneity",
    "TwoPopulations",
    "amplified_share",
    "bimodality_coefficient",
    "is_amplified",
    "measure_heterogeneity",
    "second_population_alert",
    "two_populations",
]

Values = npt.NDArray[np.float64]

ASHMANS_D_SEPARATED = 2.0  # Ashman 1994: above it, two Gaussians are cleanly separated
BIMODAL_ABOVE = 5 / 9  # the coefficient of a uniform distribution
CAP_2009_PERCENT = (5, 50)  # amplified cells, both included
FEWEST_FOR_SHAPE = 20  # below this a shape says nothing
STANDS_STILL = 1e-3  # signals, or of a ratio

# A mode of ratios cannot be narrower than what half a signal makes of one.
RATIO_SPREAD = 0.25

# The alert looks at square roots of the HER2 counts, whose spread by chance is near 0.5 at any mean, so that the long
# tail of one population is not taken for a second. Alerts of 100 simulated populations (Poisson counts, 2 copies in the
# other cells) at 20 / 40 / 100 cells; tests/scoring/test_heterogeneity.py measures a part of it again:
#     15 % with 8 copies   56 / 66 / 67      50 % with 6 copies    8 / 20 / 24
#     25 % with 6 copies   27 / 40 / 44      50 % with 8 copies   18 / 54 / 76
#     25 % with 8 copies   58 / 78 / 87      50 % with 12 copies  66 / 99 / 100
#     one population of 2 to 12 copies: 0 to 5; ragged as amplified ones are (variance m + m^2/8): 0 to 5, at most 9 in
#     very ragged ones (m + m^2/4).
# Cells whose counts are tighter than Poisson, as those of diploid cells are, part more easily. A likelihood ratio of
# two Poisson or negative binomial parts against one ragged population found more of the wide mixtures (50 % with 8:
# 28 / 64 / 91) with as few false alerts, but missed tight ones that lie plainly apart (2 and 6, no other counts), so it
# was not taken. 25 % with 6 copies differ from the likeliest ragged population by 0.007 of a natural logarithm a cell,
# 0.3 over 40 cells: no rule of HER2 counts that spares ragged populations can find most of them.
ROOT_SPREAD = 0.35
ROOT_BIMODAL_ABOVE = 0.5
SECOND_POPULATION_COPIES = 5.0


@dataclass(frozen=True, slots=True)
class TwoPopulations:
    """Two Gaussians fitted to one value per cell: means, standard deviations and the share of the higher one."""

    low_mean: float
    high_mean: float
    low_sd: float
    high_sd: float
    high_share: float

    @property
    def ashmans_d(self) -> float:
        """Distance of the means in units of the spread; above 2 the two are cleanly separated."""
        return math.sqrt(2) * (self.high_mean - self.low_mean) / math.sqrt(self.low_sd**2 + self.high_sd**2)


@dataclass(frozen=True, slots=True)
class Heterogeneity:
    """The measures of one population of `n` scored cells.

    `amplified`: cells with a ratio of 2.0 or more or with 6 or more HER2 signals; `amplified_cap2009`: ratio above 2.2.
    Clustered cells are amplified by both. `her2_root` is of the square roots of the HER2 counts: the alert goes by it,
    and the panel shows it, so that the two never speak of different parts. Fits and coefficients are None below 20
    cells or where all cells are equal.
    """

    n: int
    amplified: int
    amplified_cap2009: int
    ratio: TwoPopulations | None
    her2_root: TwoPopulations | None
    her2_bimodality: float | None
    ratio_bimodality: float | None
    her2_root_bimodality: float | None

    @property
    def amplified_percent(self) -> float | None:
        """Amplified cells in percent of the scored ones; None without cells."""
        return 100 * self.amplified / self.n if self.n else None

    @property
    def amplified_cap2009_percent(self) -> float | None:
        """Cells with a ratio above 2.2 in percent of the scored ones; None without cells."""
        return 100 * self.amplified_cap2009 / self.n if self.n else None

    @property
    def heterogeneous_cap2009(self) -> bool:
        """CAP 2009: 5 to 50 % amplified cells. It over-calls (a third of all cases), so it is shown, not alerted."""
        low, high = CAP_2009_PERCENT
        return self.n > 0 and low * self.n <= 100 * self.amplified_cap2009 <= high * self.n


def is_amplified(her2: int | None, cep17: int | None, clustered: bool) -> bool:
    """Whether a cell counts as amplified: a ratio of 2.0 or more, six or more HER2 signals, or clustered HER2."""
    h, c = her2 or 0, cep17 or 0
    return clustered or h >= 6 or (c > 0 and h >= 2 * c)


def measure_heterogeneity(nuclei: Iterable[Nucleus]) -> Heterogeneity:
    """The measures over the scored nuclei of one population."""
    cells = [(n.her2, n.cep17, n.clustered) for n in nuclei if n.scored and n.her2 is not None and n.cep17 is not None]
    her2 = np.array([h for h, _, _ in cells], dtype=np.float64)
    cep17 = np.array([c for _, c, _ in cells], dtype=np.float64)
    ratios = her2[cep17 > 0] / cep17[cep17 > 0]
    return Heterogeneity(
        n=len(cells),
        amplified=sum(is_amplified(*cell) for cell in cells),
        amplified_cap2009=sum(clustered or (c > 0 and 10 * h > 22 * c) for h, c, clustered in cells),
        ratio=two_populations(ratios, RATIO_SPREAD),
        her2_root=two_populations(np.sqrt(her2), ROOT_SPREAD),
        her2_bimodality=bimodality_coefficient(her2),
        ratio_bimodality=bimodality_coefficient(ratios),
        her2_root_bimodality=bimodality_coefficient(np.sqrt(her2)),
    )


def second_population_alert(found: Heterogeneity) -> str | None:
    """A sentence where a population that was taken for one looks like two of which each is above 10 %; else None.

    Asked of all: amplified cells between 10 and 90 % (both excluded), a cleanly separated fit with both parts above
    10 %, a bimodal distribution, and a higher part of at least five copies, below which chance alone makes two.

    None does not rule out a second population: of those with 6 copies, or of 20 cells, most are missed (figures at
    `ROOT_SPREAD`).
    """
    fit, bimodality = found.her2_root, found.her2_root_bimodality
    if fit is None or bimodality is None:
        return None
    low, high = fit.low_mean**2, fit.high_mean**2
    mixed = found.n < 10 * found.amplified < 9 * found.n
    separated = fit.ashmans_d > ASHMANS_D_SEPARATED and 0.1 < fit.high_share < 0.9 and high >= SECOND_POPULATION_COPIES
    if not (mixed and separated and bimodality > ROOT_BIMODAL_ABOVE):
        return None
    return (
        f"The cells look like two populations: about {100 * fit.high_share:.0f} % with {high:.0f} and the others "
        f"with {low:.0f} HER2 signals on average. {COUNT_APART.prompt}"
    )


def amplified_share(found: Heterogeneity) -> str | None:
    """Both common counts of amplified cells in a sentence; None without cells."""
    if not found.n:
        return None
    cap = (
        ", for comparison with CAP 2009 only: its range of 5 to 50 % holds about a third of all tumours"
        if found.heterogeneous_cap2009
        else ""
    )
    return (
        f"Taken one by one, {found.amplified} of {found.n} scored cells ({found.amplified_percent:.0f} %) count as "
        f"amplified (ratio 2.0 or more, 6 or more HER2 signals, or clustered); {found.amplified_cap2009} "
        f"({found.amplified_cap2009_percent:.0f} %) by a ratio above 2.2{cap}."
    )


def bimodality_coefficient(values: Values) -> float | None:
    """Sarle's coefficient with sample corrections, (skewness^2 + 1) / (excess kurtosis + 3(n-1)^2 / ((n-2)(n-3))).

    values: float (n,). Above 5/9 speaks for two modes. None below 20 values or without spread.
    """
    n = len(values)
    if n < FEWEST_FOR_SHAPE or np.ptp(values) == 0:
        return None
    z = (values - values.mean()) / values.std()
    skewness = float(np.mean(z**3)) * math.sqrt(n * (n - 1)) / (n - 2)
    kurtosis = (n - 1) / ((n - 2) * (n - 3)) * ((n + 1) * (float(np.mean(z**4)) - 3) + 6)
    return (skewness**2 + 1) / (kurtosis + 3 * (n - 1) ** 2 / ((n - 2) * (n - 3)))


def two_populations(values: Values, least_sd: float, most_steps: int = 60) -> TwoPopulations | None:
    """Two Gaussians by expectation-maximisation, started at the split with the least spread within both parts.

    values: float (n,); least_sd: neither Gaussian gets narrower. Ends when the means stand still or after `most_steps`.
    None below 20 values or without spread.
    """
    if len(values) < FEWEST_FOR_SHAPE or np.ptp(values) == 0:
        return None
    squares = values**2
    high = (values > _best_split(values)).astype(np.float64)  # (n,) membership in the higher Gaussian
    fit = _gaussians(values, squares, high, least_sd)
    for _ in range(most_steps):
        high = _membership(values, fit)
        if not 0 < high.sum() < len(values):
            break
        before, fit = fit, _gaussians(values, squares, high, least_sd)
        if abs(fit.low_mean - before.low_mean) + abs(fit.high_mean - before.high_mean) < STANDS_STILL:
            break
    if fit.low_mean > fit.high_mean:
        return TwoPopulations(fit.high_mean, fit.low_mean, fit.high_sd, fit.low_sd, 1 - fit.high_share)
    return fit


def _best_split(values: Values) -> float:
    """The value after which to split, so that the squared distances to both means are least (Otsu on raw values)."""
    ordered = np.sort(values)
    n = len(ordered)
    sums = np.cumsum(ordered)[:-1]  # (n-1,) of the lower part
    sizes = np.arange(1, n)
    between = sums**2 / sizes + (ordered.sum() - sums) ** 2 / (n - sizes)
    between[ordered[:-1] == ordered[1:]] = -np.inf  # equal values stay together
    return float(ordered[int(np.argmax(between))])


def _gaussians(values: Values, squares: Values, high: Values, least_sd: float) -> TwoPopulations:
    """The Gaussians of both parts, weighted by membership; values, squares and high: float (n,)."""
    n, weight = len(values), float(high.sum())
    high_sum, high_squares = float(high @ values), float(high @ squares)
    low_mean = (float(values.sum()) - high_sum) / (n - weight)
    high_mean = high_sum / weight
    low_variance = (float(squares.sum()) - high_squares) / (n - weight) - low_mean**2
    high_variance = high_squares / weight - high_mean**2
    low_sd, high_sd = (math.sqrt(max(variance, least_sd**2)) for variance in (low_variance, high_variance))
    return TwoPopulations(low_mean, high_mean, low_sd, high_sd, weight / n)


def _membership(values: Values, fit: TwoPopulations) -> Values:
    """The probability that each value belongs to the higher Gaussian: float (n,)."""
    odds_of_low = math.log((1 - fit.high_share) * fit.high_sd / (fit.high_share * fit.low_sd))
    low_z, high_z = (values - fit.low_mean) / fit.low_sd, (values - fit.high_mean) / fit.high_sd
    log_odds = odds_of_low + 0.5 * (high_z**2 - low_z**2)
    membership: Values = 1 / (1 + np.exp(np.clip(log_odds, -50, 50)))
    return membership
