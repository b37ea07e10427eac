"""Peers on drawn nuclei with known spots, and their tuning and cache. scikit-image is for benchmarks only."""

from collections.abc import Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import numpy as np
import pytest

pytest.importorskip("skimage")

from benchmarks.peers import Classical, ClassicalSettings, UFish, UFishSettings, peer_reading
from benchmarks.peers.classical import find_nuclei, find_spots, nucleus_width_px
from benchmarks.peers.common import Cache, Spots, counts_in_boxes, median_px
from benchmarks.peers.tuning import best_threshold, count_loss, tune_classical, tune_ufish
from her2core.detection.metrics import ImageDetections, box_iou
from her2core.records import Box, Channel, Exclusion, Nucleus
from her2core.training.readings import Pixels, Reading, TrueNucleus, TrueRegion
from tests.training.drawn import drawn_region

NETWORK = Path("/work/shared/data/pretrained/ufish-onnx/v1.0-alldata-ufish_c32.onnx")
TUNED = ClassicalSettings(0.035, 0.3, (0.12, 0.12), (0.6, 0.6))
LEFT: Box = (0, 0, 10, 10)
RIGHT: Box = (8, 0, 18, 10)


@pytest.mark.parametrize(
    ("spots", "counts"),
    [
        ([], [0, 0]),
        ([(5, 5), (5, 6), (13, 5)], [2, 1]),
        ([(0.3, 0.3)], [0, 0]),  # in the corner of the box, outside the ellipse
        ([(8.8, 5), (9.2, 5)], [1, 1]),  # where both meet, the nearer middle takes it
        ([(50, 50)], [0, 0]),
    ],
)
def test_a_spot_counts_once_in_the_nearest_ellipse(spots: list[tuple[float, float]], counts: list[int]) -> None:
    assert counts_in_boxes(spots, [LEFT, RIGHT]).tolist() == counts


def test_no_boxes_no_counts() -> None:
    assert counts_in_boxes([(5, 5)], []).tolist() == []
    with pytest.raises(ValueError, match="no nucleus"):
        median_px([])


@pytest.mark.parametrize(("her2", "cep17"), [(4, 2), (1, 1), (2, 0)])
def test_the_classical_peer_finds_and_counts_a_clear_nucleus(her2: int, cep17: int) -> None:
    pixels, box, _ = drawn_region(her2, cep17)
    peer = Classical(TUNED)
    found = peer.find(pixels)
    assert box_iou(found.boxes_xyxy, [box])[0, 0] > 0.9
    assert peer.counts(pixels, [box]) == [(her2, cep17)]


def test_the_classical_peer_parts_touching_nuclei() -> None:
    pixels, box, _ = drawn_region(3, 2, neighbour=4)
    found = find_nuclei(pixels, TUNED)
    assert (box_iou(found.boxes_xyxy, [box, (137, 80, 227, 160)]).max(axis=0) > 0.85).all()
    boxes = [(a, b, c, d) for a, b, c, d in np.asarray(found.boxes_xyxy).tolist()]
    assert Classical(TUNED).counts(pixels, boxes) == [(3, 2), (4, 0)]


def test_the_width_of_nuclei_is_measured_at_any_magnification() -> None:
    pixels, _, _ = drawn_region(2, 2)
    once = nucleus_width_px(pixels[..., 2])
    twice = nucleus_width_px(np.kron(pixels[..., 2], np.ones((2, 2), np.uint8)))
    assert once == pytest.approx(85, rel=0.15)
    assert twice == pytest.approx(170, rel=0.15)


def test_an_empty_field_holds_no_nucleus_and_no_spot() -> None:
    empty = np.zeros((60, 80, 3), np.uint8)
    assert len(np.asarray(find_nuclei(empty, TUNED).boxes_xyxy)) == 0
    assert len(find_spots(empty[..., 0], 40, 0.1).xy) == 0


def test_spots_lie_where_they_were_drawn() -> None:
    pixels, _, signals = drawn_region(3, 0)
    spots = find_spots(pixels[..., 0], 85, 0.12).above(0.6)
    for s in (s for s in signals if s.channel is Channel.HER2):
        assert np.hypot(*(spots - (s.x + 0.5, s.y + 0.5)).T).min() < 1.5


# --- readings and cache -----------------------------------------------------------------------------------------------


@dataclass
class Scripted:
    """A peer that finds one nucleus more than ours and counts what it is told; it notes how often it was asked."""

    own_boxes: bool
    name: str = "scripted"
    title: str = "Scripted"
    asked: list[str] = field(default_factory=list)

    @property
    def key(self) -> str:
        return f"scripted {self.own_boxes}"

    def find(self, pixels_rgb: Pixels) -> ImageDetections:
        self.asked.append("find")
        return ImageDetections([[10, 10, 30, 30], [50, 50, 70, 70]], [0.5, 0.4])

    def counts(self, pixels_rgb: Pixels, boxes: Sequence[Box]) -> list[tuple[int, int]]:
        self.asked.append("counts")
        return [(4, 2), (3, 0)][: len(boxes)]


PIXELS = np.zeros((100, 100, 3), np.uint8)
OURS = Reading(
    ImageDetections([[40, 40, 60, 60], [1, 1, 9, 9]], [0.9, 0.1]),
    (Nucleus(1, (40, 40, 60, 60), 0.9, 2, 2, 2.0, 2.0, False, True),),
)


def test_a_peer_with_own_boxes_is_judged_by_them() -> None:
    reading = peer_reading(Scripted(own_boxes=True), PIXELS, OURS)
    assert [(n.her2, n.cep17, n.scored, n.reason) for n in reading.nuclei] == [
        (4, 2, True, None),
        (3, 0, False, Exclusion.NO_CEP17),
    ]
    assert np.asarray(reading.candidates.scores).tolist() == [0.5, 0.4]


def test_a_peer_without_boxes_counts_in_ours() -> None:
    reading = peer_reading(Scripted(own_boxes=False), PIXELS, OURS)
    assert [(n.box, n.score, n.her2) for n in reading.nuclei] == [((40, 40, 60, 60), 0.9, 4)]
    assert reading.candidates is OURS.candidates


@pytest.mark.parametrize("own_boxes", [True, False])
def test_what_a_peer_found_is_kept_for_the_same_image_only(tmp_path: Path, own_boxes: bool) -> None:
    peer, cache = Scripted(own_boxes), Cache(tmp_path / "cache")
    first = peer_reading(peer, PIXELS, OURS, cache)
    asked = list(peer.asked)
    again = peer_reading(peer, PIXELS, OURS, cache)
    assert again.nuclei == first.nuclei
    assert peer.asked == asked
    peer_reading(peer, PIXELS + 1, OURS, cache)
    assert len(peer.asked) == 2 * len(asked)


def test_a_spoilt_cache_is_made_anew(tmp_path: Path) -> None:
    peer, cache = Scripted(own_boxes=True), Cache(tmp_path)
    peer_reading(peer, PIXELS, OURS, cache)
    (kept,) = tmp_path.glob("*.json")
    kept.write_text("{")
    assert len(peer_reading(peer, PIXELS, OURS, cache).nuclei) == 2
    assert peer.asked == ["find", "counts"] * 2


def test_an_image_without_nuclei_is_read_as_empty() -> None:
    nothing = Reading(ImageDetections([], []), ())
    peer = Scripted(own_boxes=False)
    assert peer_reading(peer, PIXELS, nothing).nuclei == ()
    assert peer.asked == []


# --- tuning -----------------------------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("found", "true", "loss"), [([2, 2], [2, 2], 0.0), ([3, 1], [2, 2], 0.25), ([3, 3], [2, 2], 0.5)]
)
def test_loss_weighs_the_mean_and_each_nucleus(found: list[int], true: list[int], loss: float) -> None:
    assert count_loss(np.array(found), np.array(true)) == loss


def test_the_threshold_that_counts_best_is_chosen() -> None:
    spots = Spots(np.array([[5.0, 5.0], [3.0, 5.0], [5.0, 3.0]]), np.array([0.9, 0.6, 0.2]))
    assert best_threshold([(spots, [LEFT], np.array([2]))], (0.1, 0.4, 0.7)) == (0.0, 0.4)


def validation() -> list[tuple[TrueRegion, Pixels]]:
    pixels, box, _ = drawn_region(4, 2)
    return [(TrueRegion("drawn", "P", 1, (TrueNucleus(box, 4, 2, False, True),)), pixels)]


def test_tuning_the_classical_peer_makes_it_right_on_what_it_was_tuned_on() -> None:
    said: list[str] = []
    settings = tune_classical(validation(), said.append)
    region, pixels = validation()[0]
    assert Classical(settings).counts(pixels, [region.nuclei[0].box]) == [(4, 2)]
    assert len(said) == 3


def ufish() -> UFish:
    pytest.importorskip("onnxruntime")
    if not NETWORK.is_file():
        pytest.skip("the network of U-FISH is not here")
    return UFish(NETWORK, threads=1)


def test_ufish_counts_clear_spots_and_is_tuned() -> None:
    region, pixels = validation()[0]
    tuned = tune_ufish([(region, pixels)], ufish())
    assert tuned.counts(pixels, [region.nuclei[0].box]) == [(4, 2)]
    assert "threshold" in tuned.key


def test_ufish_without_its_network_says_so(tmp_path: Path) -> None:
    pytest.importorskip("onnxruntime")
    with pytest.raises(FileNotFoundError, match="U-FISH"):
        UFish(tmp_path / "nothing.onnx")


def test_ufish_takes_images_of_any_size() -> None:
    peer = ufish()
    rng: Any = np.random.default_rng(0)
    for shape in ((17, 33), (8, 8)):
        spots = peer.spots(rng.integers(0, 50, shape).astype(np.uint8), 20, 20)
        assert (spots.xy >= 0).all()
        assert (spots.xy <= np.array(shape[::-1]) + 0.5).all()
    assert peer.tuned(UFishSettings(threshold=(0.9, 0.9))).key != peer.key
