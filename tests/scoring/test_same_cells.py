"""Cells that two regions show are found by how they lie, and different fields are not taken for one."""

from __future__ import annotations

import tracemalloc
from time import process_time

import numpy as np
import pytest

from her2core.records import Box
from her2core.scoring.same_cells import Field, same_cells

SIZE = (1360, 1024)


def field(seed: int, nuclei: int = 60, size: tuple[int, int] = SIZE, width_px: float = 60) -> Field:
    """Nuclei of various sizes, hardly any over another one."""
    rng = np.random.default_rng(seed)
    centres: list[np.ndarray] = []
    while len(centres) < nuclei:
        centre = rng.uniform((0, 0), size)
        if all(np.hypot(*(centre - c)) > 0.7 * width_px for c in centres):
            centres.append(centre)
    sides = rng.normal(width_px, 0.12 * width_px, (nuclei, 2))
    corners = np.array(centres).reshape(-1, 2)
    return Field(_boxes(np.hstack([corners - sides / 2, corners + sides / 2])), *size)


def _boxes(rows: np.ndarray) -> tuple[Box, ...]:
    return tuple((float(a), float(b), float(c), float(d)) for a, b, c, d in rows)


def crop(whole: Field, x0: int, y0: int, x1: int, y1: int, jitter_px: float = 1.5, keep: float = 0.93) -> Field:
    """What is found in a part of the field: boxes a little elsewhere, some nuclei not found, in another order."""
    rng = np.random.default_rng(x0 + y0 + x1)
    rows = np.array(whole.boxes_xyxy)
    middle = (rows[:, :2] + rows[:, 2:]) / 2
    held = ((middle > (x0, y0)) & (middle < (x1, y1))).all(axis=1) & (rng.random(len(rows)) < keep)
    moved = rows[held] - (x0, y0, x0, y0) + rng.normal(0, jitter_px, (held.sum(), 4))
    return Field(_boxes(rng.permutation(moved)), x1 - x0, y1 - y0)


@pytest.mark.parametrize(
    ("window", "least"),
    [((0, 0, 1360, 1024), 45), ((200, 100, 1200, 900), 25), ((700, 0, 1360, 1024), 20)],
    ids=["saved again", "crop", "half"],
)
def test_a_field_is_found_again_in_a_part_of_it(window: tuple[int, int, int, int], least: int) -> None:
    whole = field(1)
    part = crop(whole, *window)
    pairs = same_cells(whole, part)
    assert len(pairs) >= least
    for mine, other in pairs:
        moved = np.array(part.boxes_xyxy[other]) + np.array(window)[[0, 1, 0, 1]]
        assert np.abs(moved - whole.boxes_xyxy[mine]).max() < 10
    assert sorted((i, j) for j, i in same_cells(part, whole)) == sorted(pairs)


def test_fields_that_overlap_share_what_lies_in_both() -> None:
    whole = field(2, nuclei=90)
    left, right = crop(whole, 0, 0, 800, 1024), crop(whole, 560, 0, 1360, 1024)
    pairs = same_cells(left, right)
    in_both = sum((x0 + x1) / 2 > 560 for x0, _, x1, _ in left.boxes_xyxy)
    assert 0.7 * in_both <= len(pairs) <= in_both + 1


@pytest.mark.parametrize("nuclei", [5, 20, 60, 200])
def test_different_fields_share_nothing(nuclei: int) -> None:
    width_px = 60 if nuclei < 200 else 45
    fields = [field(seed, nuclei, width_px=width_px) for seed in range(10, 20)]
    assert [same_cells(a, b) for i, a in enumerate(fields) for b in fields[:i]] == [()] * 45


def test_many_nuclei_of_a_large_field_are_found_and_not_mistaken() -> None:
    one, other = (field(seed, 700, (4500, 3600), 60) for seed in (30, 31))
    assert same_cells(one, other) == ()
    assert len(same_cells(one, crop(one, 1500, 1000, 4000, 3500))) > 150


@pytest.mark.parametrize("nuclei", [0, 1, 5])
def test_fewer_than_six_nuclei_say_nothing(nuclei: int) -> None:
    few = field(3, nuclei)
    assert same_cells(few, few) == ()


def turned(part: Field, degrees: float = 0, scale: float = 1, mirrored: bool = False) -> Field:
    """The part on a larger canvas, turned about its middle, scaled and mirrored; boxes round the moved nuclei."""
    rows = np.array(part.boxes_xyxy)
    x, y = (rows[:, :2] + rows[:, 2:]).T / 2
    away = (x - part.width_px / 2) + 1j * (y - part.height_px / 2)
    side = int(1.5 * scale * max(part.width_px, part.height_px))
    moved = (away.conj() if mirrored else away) * scale * np.exp(1j * np.radians(degrees)) + (1 + 1j) * side / 2
    sides = (rows[:, 2:] - rows[:, :2]) * scale
    if degrees % 180 == 90:
        sides = sides[:, ::-1]
    corners = np.stack([moved.real, moved.imag], axis=1)
    return Field(_boxes(np.hstack([corners - sides / 2, corners + sides / 2])), side, side)


@pytest.mark.parametrize(
    ("degrees", "scale", "mirrored"),
    [(180, 1, False), (90, 1, False), (17, 1, False), (-3, 1, False), (0, 0.6, False), (0, 2, False), (0, 1, True),
     (180, 1, True), (200, 1.5, False)],
    ids=str,
)  # fmt: skip
def test_cells_are_found_again_turned_scaled_and_mirrored(degrees: float, scale: float, mirrored: bool) -> None:
    whole = field(4)
    part = crop(whole, 100, 100, 1250, 1000)
    pairs = same_cells(whole, turned(part, degrees, scale, mirrored))
    assert len(pairs) >= 0.8 * len(part.boxes_xyxy)
    expected = dict(same_cells(part, whole))  # turned nuclei keep their order
    assert all(expected.get(there, here) == here for here, there in pairs)


def test_a_box_without_area_is_no_cell_and_hides_none() -> None:
    whole = field(5)
    longer = Field(((10, 10, 10, 20), *whole.boxes_xyxy), *SIZE)
    assert same_cells(whole, longer) == tuple((i, i + 1) for i in range(60))
    assert len(same_cells(whole, turned(longer, 90))) == 60


def scattered(seed: int, nuclei: int, side_px: int, width_px: float) -> Field:
    """Nuclei anywhere, quickly made."""
    rng = np.random.default_rng(seed)
    corners = rng.uniform(0, side_px - width_px, (nuclei, 2))
    sides = rng.normal(width_px, 0.1 * width_px, (nuclei, 2))
    return Field(_boxes(np.hstack([corners, corners + sides])), side_px, side_px)


def test_two_regions_of_thousands_of_nuclei_keep_nobody_waiting() -> None:
    one, other = (scattered(seed, 5000, 7000, 60) for seed in (1, 2))
    began = process_time()
    assert same_cells(one, other) == ()
    assert process_time() - began < 1.5, "0.3 s where nothing else runs"
    assert len(same_cells(one, crop(one, 4000, 3000, 7000, 7000))) > 1000


def test_specks_in_a_wide_field_take_no_memory_by_its_area() -> None:
    one, other = (scattered(seed, 400, 20_000, 3) for seed in (3, 4))
    tracemalloc.start()
    try:
        same_cells(one, other)
        assert tracemalloc.get_traced_memory()[1] < 100e6
    finally:
        tracemalloc.stop()
