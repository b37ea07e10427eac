"""Both stages together, with the committed weights."""

import copy
from collections.abc import Iterator, Sequence
from concurrent.futures import ThreadPoolExecutor
from dataclasses import replace
from pathlib import Path
from typing import Any, cast

import numpy as np
import pytest
import tifffile
import torch
from scipy.ndimage import gaussian_filter

from her2core.counting import Count, Counter
from her2core.counting.crops import CropSize, cut, sharpness
from her2core.detection import Detector
from her2core.detection.detector import CUDA_BATCH
from her2core.errors import CancelledError, WeightsMissingError
from her2core.imaging import ImageLimits, WindowedPixels, open_image
from her2core.models import cards_of
from her2core.pipeline import Models, _focus, analyse, count_box, load_models, settle
from her2core.records import Channel, Exclusion, Nucleus, Signal
from her2core.scoring import group, tally
from her2core.training.evaluate import match_nuclei
from her2core.training.render import render_region
from tests.training.drawn import drawn_region

BOX = (50.0, 50.0, 120.0, 120.0)
SIZE = (400, 300)


@pytest.fixture(scope="module")
def models() -> Iterator[Models]:
    yield load_models(Path("models"), "cpu")


def signals(her2: int, cep17: int) -> tuple[Signal, ...]:
    return tuple(Signal(Channel.HER2, 60 + i, 60) for i in range(her2)) + tuple(
        Signal(Channel.CEP17, 60 + i, 80) for i in range(cep17)
    )


def test_a_rendered_region_is_found_counted_and_grouped(models: Models) -> None:
    region = render_region((77, 1), 5, nucleus_px=(60, 80))
    analysis = analyse(region.pixels_rgb, models)
    truth = region.truth["nuclei"]
    matched = match_nuclei(analysis.nuclei, [tuple(n["box"]) for n in truth])
    assert len(matched) >= 0.85 * len(truth)
    assert group(tally(analysis.nuclei)) == 5
    assert (analysis.height_px, analysis.width_px) == region.pixels_rgb.shape[:2]
    assert [(m.stage, m.version, m.sha256) for m in analysis.models] == [
        (stage, card["version"], card["sha256"]) for stage, card in cards_of(Path("models")).items()
    ]
    assert [m.reading for m in analysis.models] == ["", "density"]
    assert [n.id for n in analysis.nuclei] == list(range(1, len(analysis.nuclei) + 1))


def test_an_image_read_window_by_window_has_the_same_nuclei(models: Models, tmp_path: Path) -> None:
    pixels = np.tile(drawn_region(3, 2)[0], (2, 2, 1))
    tifffile.imwrite(tmp_path / "a.tif", pixels, photometric="rgb", tile=(64, 64), compression="zlib")
    whole = analyse(pixels, models)
    with open_image(tmp_path / "a.tif", ImageLimits(max_pixels=pixels.shape[0] * pixels.shape[1] - 1)) as image:
        assert isinstance(image.pixels_rgb, WindowedPixels)
        large = analyse(image.pixels_rgb, models)
    assert len(whole.nuclei) >= 4
    assert large.nuclei == whole.nuclei
    assert (large.width_px, large.height_px) == (whole.width_px, whole.height_px)
    assert large.quality == whole.quality


def test_threads_that_share_the_models_get_what_each_would_get_alone(models: Models) -> None:
    regions = [drawn_region(her2, cep17)[0] for her2, cep17 in ((2, 2), (4, 2), (3, 1), (1, 2))]
    alone = [analyse(pixels, models).nuclei for pixels in regions]
    assert len(set(alone)) == len(alone)
    with ThreadPoolExecutor(4) as pool:
        together = list(pool.map(lambda pixels: analyse(pixels, models).nuclei, regions * 3))
    assert together == alone * 3


def test_an_empty_region_has_no_nuclei_and_no_error(models: Models) -> None:
    analysis = analyse(np.full((200, 300, 3), 3, np.uint8), models)
    assert analysis.nuclei == ()


def test_progress_rises_to_one_and_says_what_is_done(models: Models) -> None:
    steps: list[tuple[float, str]] = []
    analyse(drawn_region(2, 2)[0], models, progress=lambda share, what: steps.append((share, what)))
    shares = [share for share, _ in steps]
    assert shares == sorted(shares)
    assert shares[-1] == 1.0
    assert any("Counting signals" in what for _, what in steps)


def test_an_analysis_stops_when_asked_to(models: Models) -> None:
    with pytest.raises(CancelledError):
        analyse(drawn_region(2, 2)[0], models, cancelled=lambda: True)


class Full:
    """Stands for a network on a GPU whose memory others have filled."""

    def __init__(self, real: Any) -> None:
        self.real, self.device, self.asked = real, torch.device("cuda"), 0

    def __getattr__(self, name: str) -> Any:
        return getattr(self.real, name)

    def count(self, *args: Any, **kwargs: Any) -> Any:
        self.asked += 1
        raise torch.OutOfMemoryError("CUDA out of memory")


def test_where_the_memory_of_a_gpu_is_full_the_processor_counts_and_says_so(
    models: Models, caplog: pytest.LogCaptureFixture
) -> None:
    pixels, box, _ = drawn_region(2, 2)
    full = Full(models.counter)
    on_gpu = replace(models, counter=cast(Counter, full), spare=lambda: models)
    said: list[str] = []
    analysis = analyse(pixels, on_gpu, progress=lambda share, what: said.append(what))
    assert full.asked == 1
    assert analysis.nuclei == analyse(pixels, models).nuclei
    assert analysis.device == "cpu, as the memory of cuda was full"
    assert any("memory is full" in what for what in said)
    assert "memory of cuda is full" in caplog.text
    assert count_box(pixels, box, 9, on_gpu) == count_box(pixels, box, 9, models)


def test_where_the_memory_of_a_gpu_is_full_before_the_models_are_loaded_they_run_on_the_processor(
    models: Models, monkeypatch: pytest.MonkeyPatch, caplog: pytest.LogCaptureFixture
) -> None:
    real = Detector.load

    def load(path: Path, device: torch.device) -> Any:
        if device.type == "cuda":
            raise torch.OutOfMemoryError("CUDA out of memory")
        return real(path, device)

    monkeypatch.setattr(Detector, "load", load)
    monkeypatch.setattr("her2core.pipeline.pick_device", lambda wanted: torch.device(wanted.replace("auto", "cuda")))
    loaded = load_models(Path("models"), "auto")
    assert "memory of cuda is full" in caplog.text
    pixels = drawn_region(2, 2)[0]
    analysis = analyse(pixels, loaded)
    assert analysis.device == "cpu, as the memory of cuda was full"
    assert analysis.nuclei == analyse(pixels, models).nuclei


class LikeGpu(str):
    """Where tensors go is the processor; what is asked of the kind of device says that it is a GPU."""

    type = "cuda"


def test_the_batches_of_a_gpu_find_and_count_what_the_processor_does(
    models: Models, monkeypatch: pytest.MonkeyPatch
) -> None:
    pixels = np.tile(drawn_region(3, 2)[0], (3, 3, 1))
    monkeypatch.setattr("her2core.detection.tiles.SINGLE_TILE_PX", 100_000)
    monkeypatch.setattr("her2core.detection.tiles.TILE_PX", 256)
    pinned: list[int] = []

    def pin_memory(tensor: torch.Tensor) -> torch.Tensor:
        pinned.append(len(tensor))
        return tensor

    monkeypatch.setattr(torch.Tensor, "pin_memory", pin_memory)
    alone = analyse(pixels, models)
    assert not pinned
    gpu = replace(models, detector=copy.copy(models.detector), counter=copy.copy(models.counter))
    batches: dict[str, list[int]] = {"detector": [], "counter": []}
    look, maps = gpu.detector._model, gpu.counter._net.maps

    def looked(images: torch.Tensor) -> Sequence[torch.Tensor]:
        batches["detector"].append(len(images))
        return look(images)

    def noted(x: torch.Tensor, field: torch.Tensor) -> tuple[torch.Tensor, torch.Tensor]:
        batches["counter"].append(len(x))
        return maps(x, field)

    monkeypatch.setattr(gpu.detector, "_model", looked)
    monkeypatch.setattr(gpu.counter._net, "maps", noted)
    monkeypatch.setattr(gpu.detector, "device", LikeGpu("cpu"))
    monkeypatch.setattr(gpu.counter, "device", LikeGpu("cpu"))
    boxes = [n.box for n in alone.nuclei] * 5
    batched = analyse(pixels, gpu)
    many = gpu.counter.count(pixels, boxes)
    assert max(batches["detector"]) == CUDA_BATCH
    assert len(boxes) in batches["counter"]  # 20 at a time on a processor
    assert len(boxes) in pinned
    assert len(alone.nuclei) == 9
    for a, b in zip(alone.nuclei, batched.nuclei, strict=True):
        assert (a.her2, a.cep17, a.clustered, a.scored) == (b.her2, b.cep17, b.clustered, b.scored)
        assert a.box == pytest.approx(b.box, abs=0.01)
    assert [count.peaks(Channel.HER2) for count in many] == [n.her2 for n in alone.nuclei] * 5


def test_where_the_memory_of_the_processor_is_full_the_error_is_not_hidden(models: Models) -> None:
    with pytest.raises(torch.OutOfMemoryError):
        analyse(drawn_region(2, 2)[0], replace(models, counter=cast(Counter, Full(models.counter))))


def test_a_nucleus_that_the_pathologist_adds_is_counted(models: Models) -> None:
    pixels, box, _ = drawn_region(3, 2)
    nucleus = count_box(pixels, box, 9, models)
    assert (nucleus.id, nucleus.her2, nucleus.cep17, nucleus.scored) == (9, 3, 2, True)
    covered = count_box(pixels, box, 9, models, others=[box])
    assert covered.reason is Exclusion.OVERLAP


@pytest.mark.parametrize(
    ("at", "reason"), [((45.0, 80.0), None), ((800.0, 10.0), Exclusion.NO_NUCLEUS)], ids=["nucleus", "background"]
)
def test_a_box_that_is_drawn_where_no_nucleus_is_does_not_count(
    models: Models, at: tuple[float, float], reason: Exclusion | None
) -> None:
    pixels, (x0, y0, x1, y1), _ = drawn_region(3, 2)
    wide = np.tile(pixels, (1, 4, 1))
    others = [(x0 + shift, y0, x1 + shift, y1) for shift in (240, 480, 720)]
    nucleus = count_box(wide, (*at, at[0] + x1 - x0, at[1] + 60), 9, models, others=others)
    assert nucleus.reason is reason


@pytest.fixture(scope="module")
def one_blurred(models: Models) -> tuple[np.ndarray, tuple[Nucleus, ...]]:
    """Three drawn nuclei beside each other, the last out of focus, and what an analysis says of them."""
    pixels = np.tile(drawn_region(2, 2)[0], (1, 3, 1))
    pixels[:, 480:, 2] = gaussian_filter(pixels[:, 480:, 2], 9)  # the signals stay
    nuclei = analyse(pixels, models).nuclei
    assert [n.reason for n in nuclei] == [None, None, Exclusion.OUT_OF_FOCUS]
    return pixels, nuclei


@pytest.mark.parametrize("by_px", [0.0, 1.0, 4.0, -6.0])
def test_a_nucleus_out_of_focus_does_not_count_because_its_box_was_moved(
    models: Models, one_blurred: tuple[np.ndarray, tuple[Nucleus, ...]], by_px: float
) -> None:
    pixels, nuclei = one_blurred
    x0, y0, x1, y1 = nuclei[2].box
    moved = count_box(pixels, (x0 + by_px, y0, x1 + by_px, y1), 3, models, others=[n.box for n in nuclei[:2]])
    assert (moved.her2, moved.cep17) == (nuclei[2].her2, nuclei[2].cep17)
    assert (moved.scored, moved.reason) == (False, Exclusion.OUT_OF_FOCUS)
    if not by_px:
        assert moved.focus == pytest.approx(nuclei[2].focus)


def test_a_box_moved_on_to_a_sharp_nucleus_counts(
    models: Models, one_blurred: tuple[np.ndarray, tuple[Nucleus, ...]]
) -> None:
    pixels, nuclei = one_blurred
    moved = count_box(pixels, nuclei[1].box, 3, models, others=[nuclei[0].box])
    assert moved.scored
    assert moved.focus == pytest.approx(1.0, abs=0.1)


def test_how_sharp_a_region_is_does_not_hang_on_all_of_its_nuclei(monkeypatch: pytest.MonkeyPatch) -> None:
    pixels, box, _ = drawn_region(2, 2)
    size = CropSize()
    looked_at: list[int] = []

    def cut_and_tell(pixels_rgb: Any, boxes: Any, size: CropSize) -> Any:
        looked_at.append(len(boxes))
        return cut(pixels_rgb, boxes, size)

    monkeypatch.setattr("her2core.pipeline.cut", cut_and_tell)
    own = float(sharpness(cut(pixels, [box], size))[0])
    assert _focus(pixels, own, [box] * 600, size) == pytest.approx(1.0)
    assert _focus(pixels, own / 2, [box] * 3, size) == pytest.approx(0.5)
    assert looked_at == [400, 3]
    assert _focus(pixels, own, [], size) is None  # nothing to compare with


def test_missing_weights_are_said(tmp_path: Path) -> None:
    with pytest.raises(WeightsMissingError):
        load_models(tmp_path)


def counted(
    her2: int,
    cep17: int,
    *,
    cluster: float = 0.05,
    in_cluster: float = 0.0,
    wrong: float | None = 0.1,
    uncertain: bool = False,
) -> Count:
    ways = (float(her2), float(cep17))
    return Count(ways, ways, signals(her2, cep17), cluster, in_cluster, 0.2, wrong, uncertain)


def test_peaks_count_where_signals_stand_apart() -> None:
    nucleus = settle(1, BOX, 0.9, counted(2, 2, in_cluster=7.0), 0.0, SIZE)
    assert (nucleus.her2, nucleus.cep17, nucleus.clustered) == (2, 2, False)


def test_the_estimate_counts_a_cluster_and_never_less_than_its_peaks() -> None:
    nucleus = settle(1, BOX, 0.9, counted(9, 2, cluster=0.95, in_cluster=18.4), 0.0, SIZE)
    assert (nucleus.her2, nucleus.clustered) == (18, True)
    assert settle(1, BOX, 0.9, counted(9, 2, cluster=0.95, in_cluster=6.2), 0.0, SIZE).her2 == 9


def test_a_flagged_region_needs_less_evidence_for_a_cluster() -> None:
    count = counted(8, 2, cluster=0.2, in_cluster=12.0)
    assert not settle(1, BOX, 0.9, count, 0.0, SIZE).clustered
    assert settle(1, BOX, 0.9, count, 0.0, SIZE, clusters_expected=True).clustered


def test_few_signals_are_no_cluster_whatever_the_network_thinks() -> None:
    assert not settle(1, BOX, 0.9, counted(2, 2, cluster=0.99, in_cluster=3.0), 0.0, SIZE).clustered


def test_regression_can_be_chosen_and_then_marks_no_signal_and_asks_for_a_look() -> None:
    count = Count((3.6, 1.4), (2.0, 2.0), signals(2, 2), 0.05, 0.0, 0.2, 0.1, False)
    nucleus = settle(1, BOX, 0.9, count, 0.0, SIZE, by_regression=True)
    assert (nucleus.her2, nucleus.cep17, nucleus.signals) == (4, 1, ())
    assert (nucleus.uncertain, nucleus.uncertainty) == (True, None)


@pytest.mark.parametrize(("regressed", "clustered"), [(0.4, False), (0.6, True)])
def test_without_her2_signals_nothing_is_clustered(regressed: float, clustered: bool) -> None:
    count = Count((regressed, 2.0), (0.0, 2.0), signals(0, 2), 0.9, 12.0, 0.2, 0.1, False)
    nucleus = settle(1, BOX, 0.9, count, 0.0, SIZE, by_regression=True)
    assert (nucleus.her2, nucleus.clustered) == (int(clustered), clustered)


def test_the_way_of_counting_is_named_with_the_model(models: Models) -> None:
    assert (
        load_models(Path("models"), "cpu", "regression").names["counter"] == f"{models.names['counter']} by regression"
    )
    with pytest.raises(ValueError, match="density, regression"):
        load_models(Path("models"), "cpu", "guess")


@pytest.mark.parametrize(("wrong", "uncertain"), [(0.12, False), (0.7, True), (None, True)])
def test_a_nucleus_carries_how_doubtful_its_counts_are(wrong: float | None, uncertain: bool) -> None:
    nucleus = settle(1, BOX, 0.9, counted(2, 2, wrong=wrong, uncertain=uncertain), 0.0, SIZE)
    assert (nucleus.uncertainty, nucleus.uncertain) == (wrong, uncertain)


@pytest.mark.parametrize(
    ("found", "box", "overlap", "focus", "reason"),
    [
        ((0, 2), BOX, 0.0, 1.0, Exclusion.NO_HER2),
        ((2, 0), BOX, 0.0, 1.0, Exclusion.NO_CEP17),
        ((0, 0), BOX, 0.0, 1.0, Exclusion.NO_SIGNAL),
        ((2, 2), (0.0, 50.0, 60.0, 120.0), 0.0, 1.0, Exclusion.EDGE),
        ((2, 2), BOX, 0.5, 1.0, Exclusion.OVERLAP),
        ((2, 2), BOX, 0.0, 0.1, Exclusion.OUT_OF_FOCUS),
        ((2, 2), BOX, 0.0, None, None),
        ((2, 2), BOX, 0.0, 1.0, None),
    ],
)
def test_nuclei_that_do_not_count_are_kept_with_the_reason(
    found: tuple[int, int],
    box: tuple[float, float, float, float],
    overlap: float,
    focus: float | None,
    reason: Exclusion | None,
) -> None:
    nucleus = settle(1, box, 0.9, counted(*found), overlap, SIZE, focus=focus)
    assert nucleus.reason is reason
    assert nucleus.scored is (reason is None)
    assert nucleus.focus == focus
