"""Tiling covers any image and gives one box a nucleus."""

from __future__ import annotations

from itertools import pairwise

import numpy as np
import pytest
import torch
from PIL import Image

from her2core.detection.detector import Detector, DetectorConfig, _Look, _Watch
from her2core.detection.tiles import OVERLAP_PX, TILE_PX, Tile, merge, plan, read_tile, round_up
from her2core.detection.yolo import YoloV3


@pytest.mark.parametrize(("width", "height"), [(1, 1), (1360, 1024), (1600, 1000), (32, 50_000)])
def test_up_to_the_limit_one_tile_is_the_whole_image(width: int, height: int) -> None:
    assert plan(width, height) == [Tile(0, 0, width, height, (False,) * 4)]


@pytest.mark.parametrize(("width", "height"), [(2000, 1500), (1601, 1000), (300, 9000), (641, 2600)])
def test_tiles_cover_all_and_overlap_enough(width: int, height: int) -> None:
    tiles = plan(width, height)
    covered = np.zeros((height, width), dtype=bool)
    for tile in tiles:
        assert tile.x1 - tile.x0 <= TILE_PX and tile.y1 - tile.y0 <= TILE_PX
        assert tile.inner == (tile.x0 > 0, tile.y0 > 0, tile.x1 < width, tile.y1 < height)
        covered[tile.y0 : tile.y1, tile.x0 : tile.x1] = True
    assert covered.all()
    for sides in ({(t.x0, t.x1) for t in tiles}, {(t.y0, t.y1) for t in tiles}):
        assert all(end - start >= OVERLAP_PX for (_, end), (start, _) in pairwise(sorted(sides)))


def test_tiles_are_no_larger_than_they_have_to_be() -> None:
    tiles = plan(1496, 1126)
    assert len(tiles) == 6
    assert sum((t.x1 - t.x0) * (t.y1 - t.y0) for t in tiles) < 1.4 * 1496 * 1126  # 6 of 640 px would be 1.46 times it
    assert {t.x1 - t.x0 for t in tiles} == {608}
    assert {t.y1 - t.y0 for t in tiles} == {640}


@pytest.mark.parametrize("scale", [0.37, 1.0, 1.6])
def test_a_tile_holds_the_pixels_of_the_whole_resized_image(scale: float) -> None:
    rng = np.random.default_rng(0)
    pixels = rng.integers(0, 255, size=(200, 300, 3), dtype=np.uint8)
    size = (round(300 * scale), round(200 * scale))
    whole = np.asarray(Image.fromarray(pixels).resize(size, Image.Resampling.BILINEAR))
    tile = Tile(20, 4, 90, 72, (True,) * 4)
    cut = read_tile(pixels, tile, scale)
    assert cut.shape == (68, 70, 3)
    assert np.abs(cut.astype(int) - whole[4:72, 20:90].astype(int)).max() <= 2


def test_round_up() -> None:
    assert [round_up(v) for v in (0, 1, 32, 33)] == [32, 32, 32, 64]


LEFT = Tile(0, 0, 640, 640, (False, False, True, False))
RIGHT = Tile(512, 0, 1152, 640, (True, False, False, False))


def boxes(*rows: list[float]) -> torch.Tensor:
    return torch.tensor(rows, dtype=torch.float32).reshape(-1, 4)


def test_a_nucleus_seen_in_two_tiles_is_kept_once_as_the_tile_that_sees_it_better_has_it() -> None:
    inside, outside = [590.0, 10.0, 630.0, 50.0], [588.0, 10.0, 632.0, 50.0]
    found = [(LEFT, boxes(outside), torch.tensor([0.95])), (RIGHT, boxes(inside), torch.tensor([0.8]))]
    kept, scores = merge(found, 0.45)
    assert kept.tolist() == [inside]
    assert scores.tolist() == pytest.approx([0.8])


def test_a_fragment_at_an_inner_border_gives_way_to_the_whole_nucleus() -> None:
    fragment, whole = [620.0, 10.0, 640.0, 70.0], [620.0, 10.0, 680.0, 70.0]
    found = [(LEFT, boxes(fragment), torch.tensor([0.9])), (RIGHT, boxes(whole), torch.tensor([0.7]))]
    assert merge(found, 0.45)[0].tolist() == [whole]


def test_a_fragment_that_nothing_else_covers_stays() -> None:
    fragment = [620.0, 10.0, 640.0, 70.0]
    found = [(LEFT, boxes(fragment), torch.tensor([0.9])), (RIGHT, boxes(), torch.zeros(0))]
    assert merge(found, 0.45)[0].tolist() == [fragment]


def test_touching_neighbours_both_stay_and_come_by_falling_score() -> None:
    a, b = [10.0, 10.0, 50.0, 50.0], [40.0, 10.0, 80.0, 50.0]
    kept, scores = merge([(LEFT, boxes(a, b), torch.tensor([0.6, 0.9]))], 0.45)
    assert kept.tolist() == [b, a]
    assert scores.tolist() == pytest.approx([0.9, 0.6])


def test_nothing_found_is_an_empty_list() -> None:
    assert len(merge([], 0.45)[0]) == 0


@pytest.mark.parametrize(
    ("nuclei_in_part", "nucleus_px", "quarters", "whole"), [(12, 100.0, 1, 0), (4, 100.0, 1, 1), (12, 40.0, 2, 0)]
)
def test_a_quarter_with_enough_nuclei_tells_their_size(
    tiny_model: YoloV3,
    tiny_config: DetectorConfig,
    monkeypatch: pytest.MonkeyPatch,
    nuclei_in_part: int,
    nucleus_px: float,
    quarters: int,
    whole: int,
) -> None:
    pixels = np.zeros((800, 1000, 3), np.uint8)
    pixels[:300, 600:, 2] = np.random.default_rng(0).integers(0, 200, (300, 400), np.uint8)  # nuclei are up there
    seen: list[np.ndarray] = []

    def look(self: Detector, part: np.ndarray, scale: float, *rest: object) -> _Look:
        seen.append(part)
        count = nuclei_in_part if part.shape[0] < 800 else 20
        count = count if nucleus_px * scale > 25 else 10
        return _Look(scale, torch.tensor([[0.0, 0.0, nucleus_px, nucleus_px]] * count), torch.ones(count))

    monkeypatch.setattr(Detector, "_look", look)
    detector = Detector(tiny_model, tiny_config)
    assert detector._nucleus_px(pixels, _Watch(None, None)) == pytest.approx(nucleus_px)
    assert seen[0].shape == (400, 500, 3)
    assert np.shares_memory(seen[0], pixels[:400, 500:])  # the quarter with the most contrast
    assert [part.shape == pixels.shape for part in seen] == [False] * quarters + [True] * whole
