"""Clustered, mosaic, or no pattern: the join count of amplified cells."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import replace

import numpy as np
import pytest

from her2core.records import Exclusion, Nucleus
from her2core.scoring import Pattern, measure_heterogeneity, pattern_sentence, spatial_pattern
from her2core.scoring.spatial import FEWEST_NUCLEI, amplified_cells

Where = Callable[[int, int], bool]


def sheet(rows: int, columns: int, amplified: Where, width_px: float = 70.0, first: int = 0) -> list[Nucleus]:
    """Nuclei a little off a grid, with gaps between; `amplified(row, column)` says which have ten HER2 signals."""
    step = 1.2 * width_px
    off = np.random.default_rng(7).uniform(-0.1, 0.1, (rows * columns, 2)) * width_px  # so that no distances are equal
    cells = []
    for index in range(rows * columns):
        row, column = divmod(index, columns)
        x, y = column * step + off[index, 0], row * step + off[index, 1]
        her2 = 10 if amplified(row, column) else 2
        box = (x, y, x + width_px, y + width_px)
        cells.append(Nucleus(first + index, box, 0.9, her2, 2, her2, 2, False, True))
    return cells


def left(share: int) -> Where:
    return lambda row, column: column < share


def chequered(row: int, column: int) -> bool:
    return (row + column) % 2 == 0


def at_random(seed: int, share: float, rows: int, columns: int) -> Where:
    labels = np.random.default_rng(seed).permutation(rows * columns) < share * rows * columns
    return lambda row, column: bool(labels[row * columns + column])


@pytest.mark.parametrize("share", [2, 3, 5])
def test_cells_on_one_side_lie_together(share: int) -> None:
    found = spatial_pattern([sheet(6, 8, left(share))])
    assert found.pattern is Pattern.CLUSTERED
    assert found.index is not None
    assert found.index > 0.6
    assert found.p_together is not None
    assert found.p_together <= 0.002


def test_a_chessboard_is_a_mosaic_with_a_negative_index() -> None:
    found = spatial_pattern([sheet(6, 8, chequered)])
    assert found.pattern is Pattern.MOSAIC
    assert found.index is not None
    assert found.index < 0


def test_random_cells_are_seldom_called_clustered() -> None:
    patterns = [spatial_pattern([sheet(6, 8, at_random(seed, 0.35, 6, 8))]).pattern for seed in range(100)]
    assert patterns.count(Pattern.CLUSTERED) <= 7  # 2.5 % are to be expected
    assert patterns.count(Pattern.MOSAIC) >= 85


@pytest.mark.parametrize("width_px", [7.0, 40.0, 190.0, 4000.0])
def test_the_magnification_changes_nothing(width_px: float) -> None:
    assert spatial_pattern([sheet(5, 8, left(3), width_px)]) == spatial_pattern([sheet(5, 8, left(3))])


def test_the_order_of_regions_and_a_shift_in_the_image_change_no_call() -> None:
    one, other = sheet(4, 6, left(2)), sheet(4, 6, left(3), first=100)
    moved = [replace(n, box=(n.box[0] + 500, n.box[1] + 90, n.box[2] + 500, n.box[3] + 90)) for n in other]
    first, second = spatial_pattern([one, other]), spatial_pattern([moved, one])
    assert first.pattern is second.pattern is Pattern.CLUSTERED
    assert (first.links, first.amplified) == (second.links, second.amplified)
    assert first.index == pytest.approx(second.index, abs=0.1)  # other permutations


def test_nuclei_of_different_regions_are_no_neighbours() -> None:
    # At the same pixels in both images: all amplified in one, none in the other.
    amplified, others = sheet(4, 6, lambda *_: True), sheet(4, 6, lambda *_: False)
    found = spatial_pattern([amplified, others])
    assert found.pattern is None
    assert found.reason == "amplified and other cells do not lie in the same regions"


def test_nuclei_far_apart_are_no_neighbours() -> None:
    cells = []
    for n in sheet(5, 6, left(3)):
        x, y = 30 * n.box[0], 30 * n.box[1]
        cells.append(replace(n, box=(x, y, x + 70, y + 70)))
    assert spatial_pattern([cells]).reason == "the nuclei lie too far apart"


@pytest.mark.parametrize(
    ("regions", "reason"),
    [
        ([], "0 scored nuclei are too few"),
        ([[]], "0 scored nuclei are too few"),
        ([sheet(1, FEWEST_NUCLEI - 1, left(8))], "19 scored nuclei are too few; a pattern needs at least 20"),
        ([sheet(4, 6, left(1))], "only 4 of 24 cells are amplified"),
        ([sheet(4, 6, lambda *_: False)], "only 0 of 24 cells are amplified"),
        ([sheet(4, 6, left(5))], "all but 4 of 24 cells are amplified"),
    ],
)
def test_without_enough_cells_of_each_kind_the_reason_is_said(regions: Sequence[list[Nucleus]], reason: str) -> None:
    found = spatial_pattern(regions)
    assert (found.pattern, found.index, found.p_together, found.links) == (None, None, None, None)
    assert (found.reason or "").startswith(reason)
    assert pattern_sentence(found).startswith(f"Pattern not examined: {reason}")


def test_only_scored_nuclei_count() -> None:
    cells = sheet(5, 6, left(3))
    out = [replace(n, scored=False, reason=Exclusion.OVERLAP) if n.id % 2 else n for n in cells]
    found = spatial_pattern([out])
    assert found.n == 15
    assert found.pattern is None


def test_nuclei_at_one_place_are_measured_without_failing() -> None:
    cells = [replace(n, box=(5.0, 5.0, 75.0, 75.0)) for n in sheet(5, 6, left(3))]
    found = spatial_pattern([cells])
    assert found.n == 30
    assert found.pattern is not Pattern.CLUSTERED


def test_a_clustered_nucleus_is_amplified_whatever_its_count() -> None:
    cells = [replace(n, her2=2, clustered=True) if n.her2 == 10 else n for n in sheet(5, 6, left(3))]
    assert spatial_pattern([cells]).pattern is Pattern.CLUSTERED


def test_two_thousand_nuclei_take_no_minute() -> None:
    found = spatial_pattern([sheet(40, 50, at_random(3, 0.2, 40, 50))])
    assert found.n == 2000
    assert found.pattern is Pattern.MOSAIC


def test_the_sentences_of_the_report_give_both_cut_offs_and_the_pattern() -> None:
    cells = sheet(5, 8, left(2))
    cells += [replace(cells[39], id=50, her2=4, cep17=2, box=(2000.0, 0.0, 2070.0, 70.0))]  # 2.0, not above 2.2
    said = amplified_cells(measure_heterogeneity(cells), spatial_pattern([cells]))
    assert "Taken one by one, 11 of 41 scored cells (27 %) count as amplified" in said
    assert "10 (24 %) by a ratio above 2.2, for comparison with CAP 2009 only" in said
    assert "Amplified cells lie together (clustered). They may be a population of their own" in said
    assert "The share of single cells is not its size." in said
    assert "heterogeneous" not in said  # nothing that a clinician could take for the result
    assert amplified_cells(measure_heterogeneity([]), spatial_pattern([])) == ""


def test_single_cells_are_said_not_to_change_the_group_and_when_they_would_matter() -> None:
    cells = sheet(5, 8, chequered)
    said = amplified_cells(measure_heterogeneity(cells), spatial_pattern([cells]))
    assert "Amplified cells lie scattered (mosaic). Single cells do not change the group" in said
    assert "a population above 10 % of the tumour cells is counted and reported by itself" in said
    assert "Their share is no result on heterogeneity" in said
    for alike in (sheet(5, 8, lambda *_: False), sheet(5, 8, lambda x, y: (x + y) % 9 > 0)):  # none, and nearly all
        said = amplified_cells(measure_heterogeneity(alike), spatial_pattern([alike]))
        assert "Single cells" not in said
        assert ("not from this share" in said) is any(n.her2 == 10 for n in alike)
