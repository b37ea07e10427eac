"""Which nuclei that the models find are scored."""

from __future__ import annotations

import math
import random

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from her2core.errors import ScoringError
from her2core.records import Box, Exclusion
from her2core.scoring import ScorableRules, iou, judge, overlap_fractions, typical_width_px

INSIDE: Box = (100.0, 100.0, 180.0, 170.0)


def verdict(
    her2: int | None = 2,
    cep17: int | None = 2,
    box: Box = INSIDE,
    overlap: float = 0.0,
    focus: float | None = None,
) -> Exclusion | None:
    return judge(her2, cep17, box, 800, 600, overlap, focus)


@pytest.mark.parametrize(
    ("her2", "cep17", "reason"),
    [
        (1, 1, None),
        (40, 1, None),
        (0, 2, Exclusion.NO_HER2),
        (5, 0, Exclusion.NO_CEP17),
        (0, 0, Exclusion.NO_SIGNAL),
        (None, 2, Exclusion.UNCOUNTABLE),
        (2, None, Exclusion.UNCOUNTABLE),
    ],
)
def test_a_scored_nucleus_has_at_least_one_signal_of_each_colour(
    her2: int | None, cep17: int | None, reason: Exclusion | None
) -> None:
    assert verdict(her2, cep17) is reason


@pytest.mark.parametrize(
    ("stain", "her2", "box", "reason"),
    [
        (None, 2, INSIDE, None),  # not measured: the models found it
        (1.0, 2, INSIDE, None),
        (0.25, 2, INSIDE, None),
        (0.25, 0, INSIDE, Exclusion.NO_HER2),
        (0.24, 2, INSIDE, Exclusion.NO_NUCLEUS),
        (-0.1, 0, INSIDE, Exclusion.NO_NUCLEUS),  # comes before the colours: it is not among the countable nuclei
        (0.0, 2, (0.0, 100.0, 80.0, 170.0), Exclusion.NO_NUCLEUS),
    ],
)
def test_a_box_without_dapi_holds_no_nucleus(
    stain: float | None, her2: int, box: Box, reason: Exclusion | None
) -> None:
    assert judge(her2, 2, box, 800, 600, 0.0, relative_stain=stain) is reason


@pytest.mark.parametrize(
    ("box", "cut"),
    [
        ((0, 100, 80, 170), True),
        ((100, 0, 180, 70), True),
        ((720, 100, 800, 170), True),
        ((100, 530, 180, 600), True),
        ((-5, 100, 80, 170), True),
        ((1.9, 100, 80, 170), True),
        ((2, 2, 798, 598), False),
        ((100, 100, 798.1, 170), True),
    ],
)
def test_a_nucleus_at_the_image_edge_is_cut(box: Box, cut: bool) -> None:
    assert (verdict(box=box) is Exclusion.EDGE) == cut


@pytest.mark.parametrize(
    ("box", "typical_px", "cut"),
    [
        ((4.3, 185, 74.3, 345), 115.0, True),  # flat against the edge, as the half of a large nucleus is
        ((4.3, 185, 154.3, 345), 115.0, False),  # as far away, but round
        ((3.4, 185, 154.4, 345), 115.0, True),  # round, and nearer than 3 % of a nucleus
        ((4.3, 185, 74.3, 345), 50.0, False),  # farther than 8 % of a small one
        ((185, 4.3, 345, 74.3), 115.0, True),
        ((725.7, 185, 795.7, 345), 115.0, True),
        ((185, 525.7, 345, 595.7), 115.0, True),
        ((185, 4.3, 255, 164.3), 115.0, False),  # long, but not along the edge
        ((9.3, 185, 79.3, 345), 115.0, False),
    ],
)
def test_the_edge_reaches_farther_for_large_nuclei_and_those_flat_against_it(
    box: Box, typical_px: float, cut: bool
) -> None:
    assert (judge(2, 2, box, 800, 600, 0.0, typical_px=typical_px) is Exclusion.EDGE) == cut


def test_the_typical_width_is_the_median_and_unknown_without_nuclei() -> None:
    assert typical_width_px([]) == 0
    assert typical_width_px([(0, 0, 40, 90), (0, 0, 50, 50), (0, 0, 10, 10)]) == 50
    with pytest.raises(ScoringError):
        judge(2, 2, INSIDE, 800, 600, 0.0, typical_px=math.nan)


def test_overlap_beyond_use_is_left_out_and_touching_is_not() -> None:
    assert verdict(overlap=0.20) is None
    assert verdict(overlap=0.21) is Exclusion.OVERLAP


def test_focus_counts_where_it_was_measured() -> None:
    assert verdict(focus=None) is None
    assert verdict(focus=0.70) is None
    assert verdict(focus=0.69) is Exclusion.OUT_OF_FOCUS


def test_a_cut_or_covered_nucleus_says_nothing_about_a_weak_probe() -> None:
    assert verdict(5, 0, box=(0, 100, 80, 170)) is Exclusion.EDGE
    assert verdict(5, 0, overlap=0.6) is Exclusion.OVERLAP
    assert verdict(None, None, overlap=0.6) is Exclusion.OVERLAP


def test_other_thresholds_can_be_set_within_reason() -> None:
    strict = ScorableRules(edge_margin_px=10, most_overlap=0.0, least_focus=0.9)
    assert judge(2, 2, (9, 50, 60, 99), 800, 600, 0.0, None, strict) is Exclusion.EDGE
    assert judge(2, 2, INSIDE, 800, 600, 0.01, None, strict) is Exclusion.OVERLAP
    assert judge(2, 2, INSIDE, 800, 600, 0.0, 0.8, strict) is Exclusion.OUT_OF_FOCUS
    for bad in (
        {"edge_margin_px": -1.0},
        {"flat_margin": -0.1},
        {"edge_margin": math.nan},
        {"most_overlap": 1.5},
        {"least_focus": float("nan")},
    ):
        with pytest.raises(ScoringError):
            ScorableRules(**bad)


@pytest.mark.parametrize(
    ("box", "overlap", "focus"),
    [
        ((50, 50, 50, 90), 0.0, None),
        ((90, 50, 50, 90), 0.0, None),
        ((math.nan, 50, 90, 90), 0.0, None),
        (INSIDE, 1.1, None),
        (INSIDE, -0.1, None),
        (INSIDE, math.nan, None),
        (INSIDE, 0.0, -1.0),
        (INSIDE, 0.0, math.nan),
    ],
)
def test_measures_that_cannot_be_are_refused(box: Box, overlap: float, focus: float | None) -> None:
    with pytest.raises(ScoringError):
        verdict(box=box, overlap=overlap, focus=focus)


# --- overlap ---------------------------------------------------------------------------------------------------------


def test_nuclei_apart_or_meeting_at_box_corners_do_not_overlap() -> None:
    assert overlap_fractions([]) == []
    assert overlap_fractions([(0, 0, 50, 50)]) == [0.0]
    assert overlap_fractions([(0, 0, 50, 50), (150, 0, 200, 50), (45, 45, 95, 95)]) == [0.0, 0.0, 0.0]


def test_two_equal_circles_overlap_as_geometry_says() -> None:
    radius, distance = 50.0, 60.0
    lens = 2 * radius**2 * math.acos(distance / (2 * radius)) - distance / 2 * math.sqrt(4 * radius**2 - distance**2)
    first, second = overlap_fractions([(0, 0, 100, 100), (60, 0, 160, 100)])
    assert first == pytest.approx(lens / (math.pi * radius**2), abs=0.02)
    assert first == pytest.approx(second, abs=0.02)


def test_a_small_nucleus_on_a_large_one_is_wholly_covered() -> None:
    large, small = overlap_fractions([(0, 0, 200, 200), (90, 90, 130, 120)])
    assert small == 1.0
    assert large == pytest.approx(40 * 30 / 200**2, abs=0.02)


def test_what_two_neighbours_cover_is_counted_once() -> None:
    one = overlap_fractions([(0, 0, 100, 100), (50, 0, 150, 100)])[0]
    twice = overlap_fractions([(0, 0, 100, 100), (50, 0, 150, 100), (50, 0, 150, 100)])[0]
    assert twice == one


def test_boxes_without_area_are_refused() -> None:
    with pytest.raises(ScoringError):
        overlap_fractions([(0, 0, 10, 10), (5, 5, 5, 9)])
    with pytest.raises(ScoringError):
        overlap_fractions([(0, 0, math.inf, 10)])


@settings(deadline=None)  # the machine may be busy
@given(st.integers(0, 10_000), st.integers(2, 25))
def test_overlap_is_a_share_and_does_not_depend_on_order_or_scale(seed: int, n: int) -> None:
    rng = random.Random(seed)
    corners = [(rng.uniform(0, 500), rng.uniform(0, 500)) for _ in range(n)]
    boxes: list[Box] = [(x, y, x + rng.uniform(20, 150), y + rng.uniform(20, 150)) for x, y in corners]
    found = overlap_fractions(boxes)
    assert all(0.0 <= share <= 1.0 for share in found)
    assert overlap_fractions(boxes[::-1]) == found[::-1]
    doubled: list[Box] = [(2 * x0, 2 * y0, 2 * x1, 2 * y1) for x0, y0, x1, y1 in boxes]
    assert overlap_fractions(doubled) == pytest.approx(found, abs=0.01)


@pytest.mark.parametrize(
    ("other", "share"),
    [
        ((0, 0, 10, 10), 1.0),
        ((5, 0, 15, 10), 1 / 3),
        ((2, 2, 7, 7), 0.25),
        ((10, 0, 20, 10), 0.0),
        ((30, 30, 40, 40), 0.0),
    ],
)
def test_iou_is_the_shared_part_of_two_boxes(other: Box, share: float) -> None:
    assert iou((0, 0, 10, 10), other) == iou(other, (0, 0, 10, 10)) == pytest.approx(share)
