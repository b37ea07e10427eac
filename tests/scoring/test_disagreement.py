"""Flags against findings: what has to be settled before counts are accepted."""

from __future__ import annotations

import re
from collections.abc import Callable
from dataclasses import replace

import pytest

from her2core.records import Exclusion, Nucleus, Overlap, RegionFlags, SignalIntensity
from her2core.scoring import (
    Disagreement,
    DisagreementKind,
    RejectionReason,
    countability,
    missing_colours,
    population_disagreements,
    region_disagreements,
    spatial_pattern,
)
from tests.scoring.test_spatial import at_random, chequered, left, sheet

Build = Callable[..., Nucleus]
FLAGS = RegionFlags(False, "A", False, SignalIntensity.GOOD, Overlap.LITTLE, True)


def kinds(found: tuple[Disagreement, ...]) -> list[DisagreementKind]:
    return [d.kind for d in found]


def mixed(nucleus: Build, scored: int, clustered: int = 0, **left_out: int) -> list[Nucleus]:
    """Scored nuclei, of which some are clustered, and left-out ones by the name of their reason."""
    cells = [nucleus(4, 2, id=i, clustered=i < clustered) for i in range(scored)]
    for name, number in left_out.items():
        cells += [nucleus(2, 2, id=len(cells) + i, reason=Exclusion[name]) for i in range(number)]
    return cells


def test_flags_that_fit_raise_nothing(nucleus: Build) -> None:
    assert region_disagreements(FLAGS, mixed(nucleus, 20)) == ()
    assert region_disagreements(replace(FLAGS, clusters=True), mixed(nucleus, 20, clustered=1)) == ()
    assert region_disagreements(FLAGS, []) == ()


@pytest.mark.parametrize(
    ("flagged", "clustered", "scored", "disagree"),
    [
        (False, 0, 20, False),
        (False, 1, 20, False),  # one alone is as often wrong as right
        (False, 2, 20, True),
        (False, 20, 20, True),
        (True, 0, 20, True),
        (True, 1, 20, False),
        (True, 0, 0, False),  # nothing is scored, nothing can be clustered
    ],
)
def test_clusters(nucleus: Build, flagged: bool, clustered: int, scored: int, disagree: bool) -> None:
    found = region_disagreements(replace(FLAGS, clusters=flagged), mixed(nucleus, scored, clustered))
    assert kinds(found) == [DisagreementKind.CLUSTERS] * disagree
    for d in found:
        assert d.flags == replace(FLAGS, clusters=not flagged)
        assert f"{scored} scored nuclei" in d.text


def test_clusters_of_nuclei_that_are_not_scored_do_not_count(nucleus: Build) -> None:
    cells = [nucleus(9, 2, id=i, clustered=True, reason=Exclusion.EDGE) for i in range(5)]
    assert region_disagreements(FLAGS, [*mixed(nucleus, 20), *(replace(n, id=n.id + 50) for n in cells)]) == ()


@pytest.mark.parametrize(
    ("flag", "weak", "without_colour", "disagree"),
    [
        (SignalIntensity.GOOD, (), 6, False),  # 6 of 24 is a quarter
        (SignalIntensity.GOOD, ("CEP17",), 0, True),
        (SignalIntensity.GOOD, ("HER2", "CEP17"), 5, True),
        (SignalIntensity.WEAK, ("HER2",), 6, False),
        (SignalIntensity.UNSCORABLE, (), 0, True),  # and yet counted
    ],
)
def test_signal_intensity(
    nucleus: Build, flag: SignalIntensity, weak: tuple[str, ...], without_colour: int, disagree: bool
) -> None:
    cells = mixed(nucleus, 18, NO_CEP17=without_colour)
    found = region_disagreements(replace(FLAGS, signal_intensity=flag), cells, weak)
    assert kinds(found) == [DisagreementKind.INTENSITY] * disagree
    for d in found:
        assert d.flags is not None
        assert d.flags.signal_intensity is SignalIntensity.WEAK
        assert all(probe in d.text for probe in weak)
        assert not d.above_limit


@pytest.mark.parametrize("flag", SignalIntensity)
def test_more_than_a_quarter_without_a_colour_is_above_the_limit_whatever_the_flag(
    nucleus: Build, flag: SignalIntensity
) -> None:
    flags = replace(FLAGS, signal_intensity=flag)
    (d,) = region_disagreements(flags, mixed(nucleus, 18, NO_CEP17=7), ("HER2",))
    assert d.kind is DisagreementKind.INTENSITY
    assert d.above_limit
    assert d.text.startswith(
        "7 of 25 countable nuclei lack a colour (7 without CEP17; the other 18 are scored): more than"
    )
    assert "limit of 25 %" in d.text
    assert "guideline asks to reject the region" in d.advice
    assert d.flags is not None
    assert (d.flags.suitable, d.flags.unsuitable_reason) == (False, "signals too weak to score")


@pytest.mark.parametrize(
    ("flag", "overlapping", "proposed"),
    [
        (Overlap.LITTLE, 4, None),  # 4 of 20 is a fifth
        (Overlap.LITTLE, 5, Overlap.MODERATE),
        (Overlap.LITTLE, 11, Overlap.SEVERE),
        (Overlap.MODERATE, 0, None),
        (Overlap.MODERATE, 10, None),
        (Overlap.MODERATE, 11, Overlap.SEVERE),
        (Overlap.SEVERE, 2, None),  # a tenth
        (Overlap.SEVERE, 1, Overlap.LITTLE),
    ],
)
def test_overlap(nucleus: Build, flag: Overlap, overlapping: int, proposed: Overlap | None) -> None:
    cells = mixed(nucleus, 20 - overlapping, OVERLAP=overlapping, EDGE=8)  # those at the edge do not count
    found = region_disagreements(replace(FLAGS, overlap=flag), cells)
    assert kinds(found) == [DisagreementKind.OVERLAP] * (proposed is not None)
    assert [d.flags.overlap for d in found if d.flags is not None] == [proposed] * len(found)


def test_a_handful_of_nuclei_says_nothing_of_overlap(nucleus: Build) -> None:
    assert region_disagreements(FLAGS, mixed(nucleus, 4, OVERLAP=5)) == ()


def population(regions: list[list[Nucleus]], flagged: bool, only_one: bool = True) -> tuple[Disagreement, ...]:
    return population_disagreements(flagged, regions, spatial_pattern(regions), only_one=only_one)


def test_a_second_population_in_a_tumour_flagged_homogeneous() -> None:
    (found,) = population([sheet(5, 8, left(3))], flagged=False)
    assert found.kind is DisagreementKind.SECOND_POPULATION
    assert "% with 10 and the others with 2 HER2 signals" in found.text
    assert population([sheet(5, 8, left(3))], flagged=True) == ()


def test_a_second_population_of_one_region_is_not_hidden_by_the_others() -> None:
    nest, plain = sheet(5, 8, left(2)), sheet(10, 16, lambda *_: False, first=100)
    (found,) = population([nest, plain], flagged=False)
    assert found.kind is DisagreementKind.SECOND_POPULATION


def test_amplified_cells_that_lie_together_without_two_modes() -> None:
    # Four and three signals to two: amplified or not by ratio, never two modes.
    cells = [replace(n, her2=4 if n.her2 == 10 else 3, cep17=2) for n in sheet(6, 8, left(3))]
    (found,) = population([cells], flagged=False)
    assert found.kind is DisagreementKind.PATTERN
    assert "38 % of 48, lie together" in found.text
    scattered = [replace(n, her2=4 if n.her2 == 10 else 3, cep17=2) for n in sheet(6, 8, chequered)]
    assert population([scattered], flagged=False) == ()


@pytest.mark.parametrize(
    ("amplified", "only_one", "disagree"),
    [
        (lambda *_: False, True, True),
        (lambda *_: True, True, True),
        (lambda *_: False, False, False),  # the other cells may be the other population
        (at_random(1, 0.4, 5, 8), True, False),
    ],
)
def test_flagged_heterogeneous_with_cells_of_one_kind(amplified: object, only_one: bool, disagree: bool) -> None:
    found = population([sheet(5, 8, amplified)], flagged=True, only_one=only_one)  # type: ignore[arg-type]
    assert kinds(found) == [DisagreementKind.HETEROGENEITY] * disagree


def test_too_few_cells_of_one_kind_are_no_proof_against_heterogeneity() -> None:
    assert population([sheet(1, 19, lambda *_: False)], flagged=True) == ()
    assert population([], flagged=True) == ()
    assert population([], flagged=False) == ()


def test_every_disagreement_says_what_to_do(nucleus: Build) -> None:
    flags = replace(FLAGS, clusters=True, signal_intensity=SignalIntensity.UNSCORABLE)
    found = region_disagreements(flags, mixed(nucleus, 10, OVERLAP=9))
    assert len(found) == 3
    assert all(d.text.endswith(".") and d.advice.endswith(".") for d in found)


# --- countability -----------------------------------------------------------------------------------------------------


def test_countability_counts_what_came_of_the_nuclei(nucleus: Build) -> None:
    cells = mixed(nucleus, 12, OVERLAP=5, EDGE=4, OUT_OF_FOCUS=2, NO_CEP17=3, NO_SIGNAL=1, NOT_TUMOUR=4, NO_NUCLEUS=2)
    seen = countability(cells)
    assert (seen.found, seen.whole, seen.scored) == (33, 23, 12)
    assert (seen.overlapping, seen.out_of_focus) == (5, 2)
    assert seen.overlapping_percent == pytest.approx(100 * 5 / 23)
    assert seen.out_of_focus_percent == pytest.approx(100 * 2 / 18)
    assert (seen.missing.number, seen.missing.countable, seen.missing.above_limit) == (4, 16, False)


@pytest.mark.parametrize(
    ("scored", "left_out", "words", "above"),
    [
        (
            20,
            {Exclusion.NO_CEP17: 1, Exclusion.NO_HER2: 4, Exclusion.NO_SIGNAL: 2},
            "7 of 27 countable nuclei lack a colour (1 without CEP17, 4 without HER2, 2 without either; the other 20 "
            "are scored)",
            True,
        ),
        (
            3,
            {Exclusion.NO_CEP17: 1, Exclusion.EDGE: 9},
            "1 of 4 countable nuclei lacks a colour (1 without CEP17; the other 3 are scored)",
            False,
        ),
        (
            0,
            {Exclusion.NO_SIGNAL: 2},
            "2 of 2 countable nuclei lack a colour (2 without either; the other 0 are scored)",
            True,
        ),
    ],
)
def test_the_parts_of_the_sentence_add_up_to_the_whole(
    scored: int, left_out: dict[Exclusion, int], words: str, above: bool
) -> None:
    missing = missing_colours(scored, left_out)
    assert (missing.words, missing.above_limit) == (words, above)
    part, whole, *parts = (int(number) for number in re.findall(r"\b\d+\b", missing.words.replace("CEP17", "")))
    assert sum(parts) == whole == missing.countable
    assert sum(parts[:-1]) == part == missing.number


@pytest.mark.parametrize(
    ("counts", "said"),
    [
        ({"scored": 29, "OVERLAP": 20}, "20 of 49 nuclei that lie wholly in the image overlap and are not scored."),
        ({"scored": 20, "OVERLAP": 5, "OUT_OF_FOCUS": 10}, "10 of 30 nuclei that lie whole and free are out of focus."),
        ({"scored": 29, "NO_HER2": 10, "OVERLAP": 3}, "10 of 39 countable nuclei lack a colour"),
    ],
)
def test_advice_names_what_its_share_is_of(nucleus: Build, counts: dict[str, int], said: str) -> None:
    (point,) = countability(mixed(nucleus, **counts)).advice
    assert said in point.text


@pytest.mark.parametrize(
    ("counts", "reasons"),
    [
        ({"scored": 20}, []),
        ({"scored": 19}, [RejectionReason.TOO_FEW_AREAS]),
        ({"scored": 30, "OVERLAP": 20}, []),  # 40 % exactly
        ({"scored": 29, "OVERLAP": 20}, [None]),
        ({"scored": 30, "OUT_OF_FOCUS": 10}, []),
        ({"scored": 29, "OUT_OF_FOCUS": 10}, [RejectionReason.RESOLUTION]),
        ({"scored": 30, "NO_CEP17": 10}, []),
        ({"scored": 29, "NO_HER2": 10}, [RejectionReason.WEAK_SIGNALS]),
        ({"scored": 0}, [RejectionReason.TOO_FEW_AREAS]),
    ],
)
def test_advice_on_both_sides_of_each_limit(
    nucleus: Build, counts: dict[str, int], reasons: list[RejectionReason | None]
) -> None:
    found = countability(mixed(nucleus, **counts)).advice
    assert [point.rejects for point in found] == reasons
    assert all(point.text.endswith(".") for point in found)
