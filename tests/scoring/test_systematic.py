"""Counting errors that the nuclei of a region share: how large they are, and what they do to intervals and groups."""

from __future__ import annotations

import math
import time
from collections.abc import Callable, Sequence

import numpy as np
import pytest

from her2core.errors import ScoringError
from her2core.records import Exclusion, Nucleus, SystematicError
from her2core.scoring import (
    Compared,
    Confidence,
    SharedError,
    bootstrap,
    certainty,
    interval_basis,
    measured_systematic_error,
    more_nuclei_needed,
    shared_errors,
)

Build = Callable[..., Nucleus]


def width(found: Confidence) -> float:
    assert found.copy_number_95 is not None
    return found.copy_number_95[1] - found.copy_number_95[0]


# --- how large --------------------------------------------------------------------------------------------------------


def region_read(rng: np.random.Generator, shared_sd: float, *, clustered: bool = False, n: int = 25) -> list[Compared]:
    """A region counted with an error of each nucleus (0, one more or one fewer) and one that all its nuclei share."""
    factor = math.exp(shared_sd * rng.standard_normal())
    return [
        Compared((max(0, round(h * factor) + int(rng.integers(-1, 2))), c), (h, c), clustered)
        for h, c in zip((20 + rng.poisson(8, n)).tolist(), (2 + rng.poisson(1, n)).tolist(), strict=True)
    ]


@pytest.mark.parametrize("shared_sd", [0.0, 0.05, 0.15])
def test_what_regions_share_is_told_from_the_errors_of_single_nuclei(shared_sd: float) -> None:
    rng = np.random.default_rng(7)
    found = measured_systematic_error(
        [region_read(rng, shared_sd) + region_read(rng, 2 * shared_sd, clustered=True) for _ in range(400)]
    )
    assert found.her2 == pytest.approx(shared_sd, abs=0.012)
    assert found.her2_clustered == pytest.approx(2 * shared_sd, abs=0.03)
    assert found.cep17 == 0.0  # counted without an error here


def test_a_bias_of_all_regions_is_part_of_it() -> None:
    regions = [[Compared((9, 2), (10, 2))] * 5 + [Compared((18, 4), (20, 4), clustered=True)] * 5] * 12
    assert measured_systematic_error(regions) == SystematicError(her2=0.1, cep17=0.0, her2_clustered=0.1)


def test_a_few_regions_that_went_quite_wrong_do_not_set_the_size_for_all() -> None:
    rng = np.random.default_rng(3)
    regions = [region_read(rng, 0.05) + region_read(rng, 0.05, clustered=True) for _ in range(200)]
    missed = [[Compared((n.found[0] // 3, n.found[1]), n.true, n.clustered) for n in region] for region in regions[:10]]
    found = measured_systematic_error([*missed, *regions[10:]])
    assert 0.03 < found.her2 < 0.08


def test_too_few_regions_to_compare_say_so() -> None:
    region = [Compared((5, 2), (5, 2))] * 5
    with pytest.raises(ScoringError, match="Only 0 regions"):  # none has clustered nuclei
        measured_systematic_error([region] * 50)
    with pytest.raises(ScoringError, match="Only 9 regions"):
        measured_systematic_error([region] * 9)


# --- whose counts share it --------------------------------------------------------------------------------------------


def test_each_scored_nucleus_has_the_error_of_its_kind_and_what_a_reader_counted_has_none(nucleus: Build) -> None:
    nuclei = [
        nucleus(4, 2, id=1),
        nucleus(15, 2, id=2, clustered=True),
        nucleus(4, 2, id=3, reason=Exclusion.EDGE),
        nucleus(4, 2, id=4),
    ]
    assert shared_errors(nuclei, SystematicError(0.05, 0.03, 0.2), 8, {4}) == [
        SharedError(8, False, 0.05, 0.03),
        SharedError(8, True, 0.2, 0.03),
        SharedError(8),
    ]


@pytest.mark.parametrize(
    "said", [{"her2": 1.5}, {"her2": -0.1}, {"cep17": math.nan}, {"her2": "much"}, {"hers2": 0.1}, {"her2": None}]
)
def test_a_card_with_an_impossible_error_is_refused(said: dict[str, object]) -> None:
    with pytest.raises(ScoringError):
        SystematicError.from_dict(said)


def test_what_a_card_leaves_out_is_zero() -> None:
    assert SystematicError.from_dict({"cep17": 0.03}) == SystematicError(0.0, 0.03, 0.0)
    error = SystematicError(0.05, 0.03, 0.2)
    assert SystematicError.from_dict(error.to_dict()) == error


# --- what it does -----------------------------------------------------------------------------------------------------


def test_without_a_shared_error_nothing_changes() -> None:
    nuclei = [(4, 2), (5, 2), (3, 2), (7, 3)] * 6
    assert bootstrap(nuclei, shared=[SharedError(i % 3, i % 2 == 0) for i in range(24)]) == bootstrap(nuclei)


@pytest.mark.parametrize(
    ("sd_her2", "sd_cep17", "copies", "ratio"),
    [
        (0.0, 0.0, 0.0, 0.0),
        (0.1, 0.0, 0.1, 0.1),
        (0.0, 0.1, 0.0, 0.1),
        (0.1, 0.1, 0.1, 0.1 * math.sqrt(2)),
    ],
)
def test_equal_nuclei_are_as_unsure_as_what_they_share(
    sd_her2: float, sd_cep17: float, copies: float, ratio: float
) -> None:
    found = bootstrap([(6, 2)] * 30, shared=[SharedError(1, False, sd_her2, sd_cep17)] * 30)
    assert found.copy_number_95 is not None
    assert found.ratio_95 is not None
    for (low, high), value, sd in ((found.copy_number_95, 6.0, copies), (found.ratio_95, 3.0, ratio)):
        assert low == pytest.approx(value * math.exp(-1.96 * sd), rel=0.03)
        assert high == pytest.approx(value * math.exp(1.96 * sd), rel=0.03)


def test_errors_of_several_regions_partly_cancel_and_clusters_err_by_themselves() -> None:
    nuclei = [(6, 2)] * 40
    one = width(bootstrap(nuclei, shared=[SharedError(1, False, 0.1)] * 40))
    four = width(bootstrap(nuclei, shared=[SharedError(i % 4, False, 0.1) for i in range(40)]))
    kinds = width(bootstrap(nuclei, shared=[SharedError(1, i % 2 == 0, 0.1) for i in range(40)]))
    assert four == pytest.approx(one / 2, rel=0.1)
    assert kinds == pytest.approx(one / math.sqrt(2), rel=0.1)


def test_counts_that_a_reader_confirmed_take_the_error_away_one_by_one() -> None:
    nuclei = [(6, 2)] * 40
    widths = [
        width(bootstrap(nuclei, shared=[SharedError(1, False, 0.0 if i < read else 0.1) for i in range(40)]))
        for read in (0, 20, 40)
    ]
    assert widths[1] == pytest.approx(widths[0] / 2, rel=0.05)
    assert widths[2] == 0.0


def test_a_group_close_to_a_border_is_less_sure_and_one_far_from_it_is_not() -> None:
    shared = [SharedError(1, False, 0.08, 0.05)] * 100
    close = [(4, 2), (5, 2)] * 50  # 4.5 copies, ratio 2.25
    assert bootstrap(close).group_probability[1] > 0.999
    assert 0.7 < bootstrap(close, shared=shared).group_probability[1] < 0.97
    assert bootstrap([(15, 2)] * 100, shared=shared).group_probability[1] == 1.0


def test_widened_intervals_hold_the_truth_where_counts_of_a_region_err_together() -> None:
    """The counts of the true nuclei are all off by one factor, drawn anew for each region."""
    rng = np.random.default_rng(5)
    held = {True: 0, False: 0}
    for _ in range(200):
        true = 3 + rng.poisson(30, 40)
        counted = np.rint(true * math.exp(0.12 * rng.standard_normal())).astype(int)
        nuclei = [(int(h), 2) for h in counted]
        for widened in held:
            shared = [SharedError(1, False, 0.12)] * 40 if widened else []
            low, high = bootstrap(nuclei, resamples=500, shared=shared).copy_number_95 or (0, 0)
            held[widened] += low <= true.mean() <= high
    assert held[False] / 200 < 0.6
    assert held[True] / 200 > 0.93


def test_as_many_shared_errors_as_nuclei_are_asked_for() -> None:
    with pytest.raises(ScoringError, match="each of the scored nuclei"):
        bootstrap([(4, 2)] * 20, shared=[SharedError()] * 19)


# --- how many more nuclei ---------------------------------------------------------------------------------------------

CLOSE = [(3, 2), (4, 2), (2, 2), (3, 2)] * 5  # 3.0 copies, ratio 1.5: Group 5


@pytest.mark.parametrize(
    ("nuclei", "sd", "expected"),
    [
        (CLOSE, 0.0, 0),
        (CLOSE, 0.1, 0),
        (CLOSE, 0.2, None),  # one copy from 4.0, of which 1.96 * 0.2 * 3.0 copies are not certain
        ([(6, 2), (4, 2)] * 10, 0.02, 0),
        ([(6, 2), (4, 2)] * 10, 0.11, None),
    ],
)
def test_more_nuclei_settle_a_group_only_where_the_shared_error_stays_off_its_borders(
    nuclei: list[tuple[int, int]], sd: float, expected: int | None
) -> None:
    assert more_nuclei_needed(nuclei, shared=[SharedError(1, False, sd)] * len(nuclei)) == expected


def test_a_shared_error_asks_for_more_nuclei_before_it_asks_for_a_reader() -> None:
    nuclei = [(1, 2), (6, 2), (1, 2), (5, 2)] * 6
    asked = [more_nuclei_needed(nuclei, shared=[SharedError(1, False, sd)] * 24) for sd in (0.0, 0.05, 0.1)]
    none, little, much = (a or 0 for a in asked)
    assert 0 < none < little < much
    found = bootstrap(nuclei, shared=[SharedError(1, False, 0.3)] * 24)
    assert (found.more_nuclei, found.more_if_read, found.systematic) == (None, asked[0], True)


# --- in words ---------------------------------------------------------------------------------------------------------


def sure(
    probability: dict[int, float], more: int | None, read: int | None = None, *, systematic: bool = False
) -> Confidence:
    return Confidence((1.0, 2.0), (1.0, 2.0), probability, more, more if not systematic else read, systematic)


@pytest.mark.parametrize(
    ("found", "said"),
    [
        (sure({1: 1.0}, 0), ("Likely with other nuclei: Group 1 over 99 %.",)),
        (
            sure({1: 0.62, 2: 0.001, 4: 0.38}, 1),
            ("Likely with other nuclei: Group 1 62 %, Group 4 38 %.", "About 1 more nucleus would settle the group."),
        ),
        (sure({5: 1.0}, 12, 0, systematic=True), ("counter's own error included", "About 12 more nuclei")),
        (sure({5: 0.6, 4: 0.4}, None), ("Group 5 60 %", "Not even 500 nuclei like these")),
        (sure({5: 0.6, 4: 0.4}, None, None, systematic=True), ("Group 5 60 %", "Not even 500 nuclei like these")),
        (
            sure({5: 0.6, 4: 0.4}, None, 0, systematic=True),
            ("Group 5 60 %", "if a person did so in every scored nucleus."),
        ),
        (
            sure({5: 0.6, 4: 0.4}, None, 9, systematic=True),
            ("Group 5 60 %", "in every scored nucleus, and in about 9 more nuclei."),
        ),
    ],
)
def test_how_sure_the_group_is_is_said_with_what_would_settle_it(found: Confidence, said: Sequence[str]) -> None:
    sentences = certainty(found, 20)
    assert len(sentences) == len(said)
    assert all(part in sentence for part, sentence in zip(said, sentences, strict=True))


def test_below_twenty_nuclei_and_without_a_ratio_nothing_is_said() -> None:
    assert certainty(sure({1: 1.0}, 0), 19) == ()
    assert certainty(None, 20) == ()
    assert certainty(bootstrap([(6, 0)] * 25), 25) == ()


def test_what_the_intervals_cover_is_said() -> None:
    stated = SystematicError(0.041, 0.032, 0.217)
    assert "not covered" in interval_basis([None, None])
    known = interval_basis([stated, stated])
    assert "HER2 4 %, HER2 in clusters 22 %, CEP17 3 %; none in nuclei that a person counted" in known
    assert "not covered" not in known
    assert "in the regions whose counter states them" in interval_basis([stated, None])


# --- speed ------------------------------------------------------------------------------------------------------------


def test_200_nuclei_of_six_regions_are_quick_enough_for_each_edit() -> None:
    nuclei = [(2 + i % 5, 1 + i % 3) for i in range(200)]
    shared = [SharedError(i % 6, i % 7 == 0, 0.2 if i % 7 == 0 else 0.05, 0.03) for i in range(200)]
    taken = []
    for _ in range(7):
        start = time.process_time()
        bootstrap(nuclei, shared=shared)
        taken.append(time.process_time() - start)
    assert min(taken) < 0.04
