"""Share of amplified cells and the measures of two populations."""

from __future__ import annotations

from collections.abc import Callable

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from scipy import stats

from her2core.records import Exclusion, Nucleus
from her2core.scoring import (
    TwoPopulations,
    bimodality_coefficient,
    measure_heterogeneity,
    second_population_alert,
    two_populations,
)
from her2core.scoring.heterogeneity import BIMODAL_ABOVE

Build = Callable[..., Nucleus]


@pytest.mark.parametrize(
    ("her2", "cep17", "clustered", "amplified", "cap2009"),
    [
        (4, 2, False, True, False),  # 2.0 is amplified here, and not above 2.2
        (11, 5, False, True, False),  # 2.2 exactly is not above 2.2
        (9, 4, False, True, True),  # 2.25
        (3, 2, False, False, False),
        (6, 4, False, True, False),  # six copies, whatever the ratio
        (5, 3, False, False, False),
        (3, 3, True, True, True),  # a cluster is an amplification, its count an estimate
    ],
)
def test_a_cell_is_amplified_by_ratio_or_six_copies_or_cluster(
    nucleus: Build, her2: int, cep17: int, clustered: bool, amplified: bool, cap2009: bool
) -> None:
    found = measure_heterogeneity([nucleus(her2, cep17, clustered=clustered)])
    assert (found.n, found.amplified, found.amplified_cap2009) == (1, int(amplified), int(cap2009))


def test_shares_are_of_the_scored_cells_only(nucleus: Build) -> None:
    cells = [nucleus(8, 2, id=0), nucleus(2, 2, id=1), nucleus(2, 2, id=2), nucleus(2, 2, id=3)]
    left_out = [nucleus(20, 0, id=9, reason=Exclusion.NO_CEP17), nucleus(20, 2, id=10, reason=Exclusion.OVERLAP)]
    found = measure_heterogeneity([*cells, *left_out])
    assert (found.n, found.amplified_percent, found.amplified_cap2009_percent) == (4, 25.0, 25.0)


def test_nothing_scored_has_no_share_and_no_shape() -> None:
    found = measure_heterogeneity([])
    assert (found.amplified_percent, found.amplified_cap2009_percent) == (None, None)
    assert (found.her2_root, found.ratio, found.her2_bimodality, found.heterogeneous_cap2009) == (
        None,
        None,
        None,
        False,
    )
    assert second_population_alert(found) is None


@pytest.mark.parametrize(("amplified", "heterogeneous"), [(4, False), (5, True), (50, True), (51, False), (0, False)])
def test_cap_2009_calls_5_to_50_percent_heterogeneous(nucleus: Build, amplified: int, heterogeneous: bool) -> None:
    cells = [nucleus(8, 2)] * amplified + [nucleus(2, 2)] * (100 - amplified)
    assert measure_heterogeneity(cells).heterogeneous_cap2009 == heterogeneous


def test_ashmans_d_of_two_known_gaussians() -> None:
    assert TwoPopulations(2.0, 12.0, 1.0, 1.0, 0.5).ashmans_d == pytest.approx(10.0)
    assert TwoPopulations(2.0, 12.0, 3.0, 4.0, 0.5).ashmans_d == pytest.approx(2**0.5 * 10 / 5)


def test_the_fit_recovers_two_populations_and_their_share() -> None:
    rng = np.random.default_rng(4)
    values = np.concatenate([rng.normal(2, 0.7, 700), rng.normal(12, 2.0, 300)])
    fit = two_populations(values, least_sd=0.5)
    assert fit is not None
    assert (fit.low_mean, fit.high_mean) == pytest.approx((2, 12), abs=0.3)
    assert (fit.low_sd, fit.high_sd) == pytest.approx((0.7, 2.0), abs=0.2)
    assert fit.high_share == pytest.approx(0.3, abs=0.02)
    assert fit.ashmans_d == pytest.approx(2**0.5 * 10 / (0.7**2 + 2.0**2) ** 0.5, rel=0.1)


def test_counts_that_differ_by_one_signal_are_never_cleanly_separated(nucleus: Build) -> None:
    found = measure_heterogeneity([nucleus(2, 2), nucleus(3, 2)] * 20)
    assert found.her2_root is not None
    assert found.her2_root.ashmans_d <= 2.0 + 1e-9
    assert second_population_alert(found) is None


@pytest.mark.parametrize("values", [np.full(50, 2.0), np.arange(19.0), np.array([])])
def test_equal_or_too_few_values_have_no_shape(values: np.ndarray[tuple[int], np.dtype[np.float64]]) -> None:
    assert two_populations(values, 0.5) is None
    assert bimodality_coefficient(values) is None


def test_the_bimodality_coefficient_agrees_with_its_definition() -> None:
    values = np.random.default_rng(2).gamma(2.0, 3.0, 57)
    n = len(values)
    skewness, kurtosis = stats.skew(values, bias=False), stats.kurtosis(values, bias=False)
    expected = (skewness**2 + 1) / (kurtosis + 3 * (n - 1) ** 2 / ((n - 2) * (n - 3)))
    assert bimodality_coefficient(values) == pytest.approx(expected)


def test_the_bimodality_coefficient_tells_two_modes_from_one() -> None:
    rng = np.random.default_rng(8)
    one = bimodality_coefficient(rng.normal(4, 1, 500))
    two = bimodality_coefficient(np.concatenate([rng.normal(2, 0.5, 250), rng.normal(10, 0.5, 250)]))
    assert one is not None
    assert two is not None
    assert one < BIMODAL_ABOVE < two


def mixture(nucleus: Build, rng: np.random.Generator, low: int, high: int, copies: float) -> list[Nucleus]:
    means = [(2.0, 2.0)] * low + [(copies, 2.0)] * high
    return [nucleus(max(1, int(rng.poisson(h))), max(1, int(rng.poisson(c))), id=i) for i, (h, c) in enumerate(means)]


def test_a_second_population_of_15_to_85_percent_is_noticed(nucleus: Build) -> None:
    rng = np.random.default_rng(21)
    for low, high in ((85, 15), (60, 40), (20, 80)):
        noticed = sum(
            second_population_alert(measure_heterogeneity(mixture(nucleus, rng, low, high, 15))) is not None
            for _ in range(20)
        )
        assert noticed >= 18, (low, high)


@pytest.mark.parametrize("copies", [2.0, 4.0, 5.0, 12.0])
def test_one_population_is_rarely_taken_for_two(nucleus: Build, copies: float) -> None:
    rng = np.random.default_rng(22)
    alarms = sum(
        second_population_alert(measure_heterogeneity(mixture(nucleus, rng, 0, 60, copies))) is not None
        for _ in range(50)
    )
    assert alarms <= 2


def drawn_counts(rng: np.random.Generator, n: int, copies: float, size: float | None) -> list[tuple[int, int]]:
    """HER2 and CEP17 of n scored cells; size: of a negative binomial (variance m + m^2 / size), None is Poisson."""
    more = 4 * n + 20  # cells without a colour are not scored
    ragged = np.ones(more) if size is None else rng.gamma(size, 1 / size, more)
    pairs = zip(rng.poisson(copies * ragged), rng.poisson(2.0, more), strict=True)
    return [(int(h), int(c)) for h, c in pairs if h and c][:n]


# Of 100 populations whose other cells have 2 copies, as measured; the margin is three standard errors. The user guide
# prints these figures.
@pytest.mark.parametrize(
    ("n", "percent", "copies", "found"),
    [(20, 25, 8, 58), (40, 25, 6, 40), (40, 50, 6, 20), (40, 50, 8, 54), (100, 50, 8, 76), (20, 50, 12, 66)],
)
def test_how_often_a_second_population_is_found(n: int, percent: int, copies: int, found: int) -> None:
    rng = np.random.default_rng((n, percent, copies))
    second = round(percent * n / 100)
    alerts = 0
    for _ in range(100):
        counts = [*drawn_counts(rng, n - second, 2, None), *drawn_counts(rng, second, copies, None)]
        cells = [Nucleus(i, (0, 0, 9, 9), 0.9, h, c, h, c, False, True) for i, (h, c) in enumerate(counts)]
        alerts += second_population_alert(measure_heterogeneity(cells)) is not None
    assert abs(alerts - found) <= 3 * (found * (100 - found) / 100) ** 0.5


@pytest.mark.parametrize("copies", [6.0, 12.0])
def test_a_ragged_population_is_rarely_taken_for_two(copies: float) -> None:
    rng = np.random.default_rng(22)
    alarms = 0
    for _ in range(50):
        counts = drawn_counts(rng, 40, copies, 8.0)
        cells = [Nucleus(i, (0, 0, 9, 9), 0.9, h, c, h, c, False, True) for i, (h, c) in enumerate(counts)]
        alarms += second_population_alert(measure_heterogeneity(cells)) is not None
    assert alarms <= 5


def test_tight_counts_that_lie_plainly_apart_are_two(nucleus: Build) -> None:
    alert = second_population_alert(measure_heterogeneity([nucleus(2, 2)] * 12 + [nucleus(6, 2)] * 8))
    assert alert is not None
    assert "about 40 % with 6 and the others with 2" in alert


def test_amplified_cells_of_at_most_ten_percent_raise_no_alert(nucleus: Build) -> None:
    cells = [nucleus(2, 2, id=i) for i in range(90)] + [nucleus(20, 2, id=90 + i) for i in range(10)]
    assert second_population_alert(measure_heterogeneity(cells)) is None
    eleven = [nucleus(2, 2, id=i) for i in range(89)] + [nucleus(20, 2, id=89 + i) for i in range(11)]
    alert = second_population_alert(measure_heterogeneity(eleven))
    assert alert is not None
    assert "about 11 % with 20 and the others with 2 HER2 signals" in alert


def test_ninety_percent_of_amplified_cells_is_one_population_whatever_their_counts(nucleus: Build) -> None:
    # Cells with (2, 1) are amplified by their ratio but lie with the low counts, so the fit sees 80 % high.
    def cells(not_amplified: int) -> list[Nucleus]:
        counts = [(2, 2)] * not_amplified + [(2, 1)] * (20 - not_amplified) + [(20, 2)] * 80
        return [nucleus(h, c, id=i) for i, (h, c) in enumerate(counts)]

    assert second_population_alert(measure_heterogeneity(cells(10))) is None
    assert second_population_alert(measure_heterogeneity(cells(11))) is not None


@settings(deadline=None)  # the machine may be busy
@given(st.lists(st.tuples(st.integers(1, 60), st.integers(1, 15)), max_size=80))
def test_any_counts_can_be_measured(counts: list[tuple[int, int]]) -> None:
    cells = [Nucleus(i, (0, 0, 9, 9), 0.9, h, c, h, c, False, True) for i, (h, c) in enumerate(counts)]
    found = measure_heterogeneity(cells)
    assert 0 <= found.amplified_cap2009 <= found.amplified <= found.n == len(counts)
    for fit in (found.ratio, found.her2_root):
        if fit is not None:
            assert fit.low_mean <= fit.high_mean
            assert 0 < fit.high_share < 1
            assert np.isfinite(fit.ashmans_d)
