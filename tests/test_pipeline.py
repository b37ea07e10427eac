"""Both stages together, with the committed weights."""

from collections.abc import Iterator
from pathlib import Path

import numpy as np
import pytest

from her2core.counting import Count
from her2core.errors import CancelledError, WeightsMissingError
from her2core.pipeline import Models, analyse, count_box, load_models, settle
from her2core.records import Channel, Exclusion, Signal
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
    matched = match_nuclei(analysis.nuclei, np.array([n["box"] for n in truth]))
    assert len(matched) >= 0.85 * len(truth)
    assert group(tally(analysis.nuclei)) == 5
    assert (analysis.height_px, analysis.width_px) == region.pixels_rgb.shape[:2]
    assert set(analysis.models) == {"detector", "counter"}
    assert [n.id for n in analysis.nuclei] == list(range(1, len(analysis.nuclei) + 1))


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


def test_a_nucleus_that_the_pathologist_adds_is_counted(models: Models) -> None:
    pixels, box, _ = drawn_region(3, 2)
    nucleus = count_box(pixels, box, 9, models)
    assert (nucleus.id, nucleus.her2, nucleus.cep17, nucleus.scored) == (9, 3, 2, True)
    covered = count_box(pixels, box, 9, models, others=[box])
    assert covered.reason is Exclusion.OVERLAP


def test_missing_weights_are_said(tmp_path: Path) -> None:
    with pytest.raises(WeightsMissingError):
        load_models(tmp_path)


def test_peaks_count_where_signals_stand_apart() -> None:
    nucleus = settle(1, BOX, 0.9, Count((2.1, 2.0), (2.2, 2.1), signals(2, 2), 0.05), 0.0, SIZE)
    assert (nucleus.her2, nucleus.cep17, nucleus.clustered, nucleus.uncertain) == (2, 2, False, False)


def test_the_integral_counts_a_cluster() -> None:
    count = Count((17.5, 2.0), (18.4, 2.1), signals(9, 2), 0.95)
    nucleus = settle(1, BOX, 0.9, count, 0.0, SIZE)
    assert (nucleus.her2, nucleus.clustered) == (18, True)


def test_a_flagged_region_needs_less_evidence_for_a_cluster() -> None:
    count = Count((11.0, 2.0), (12.0, 2.0), signals(8, 2), 0.4)
    assert not settle(1, BOX, 0.9, count, 0.0, SIZE).clustered
    assert settle(1, BOX, 0.9, count, 0.0, SIZE, clusters_expected=True).clustered


def test_few_signals_are_no_cluster_whatever_the_network_thinks() -> None:
    assert not settle(1, BOX, 0.9, Count((2.0, 2.0), (2.0, 2.0), signals(2, 2), 0.99), 0.0, SIZE).clustered


@pytest.mark.parametrize(
    ("regressed", "integral", "uncertain"),
    [
        ((2.0, 2.0), (2.0, 2.0), False),
        ((2.9, 2.0), (2.0, 2.0), False),
        ((3.2, 2.0), (2.0, 2.0), True),
        ((2.0, 2.0), (2.0, 3.5), True),
    ],
)
def test_ways_of_counting_that_disagree_ask_for_a_look(
    regressed: tuple[float, float], integral: tuple[float, float], uncertain: bool
) -> None:
    assert settle(1, BOX, 0.9, Count(regressed, integral, signals(2, 2), 0.0), 0.0, SIZE).uncertain is uncertain


@pytest.mark.parametrize(
    ("found", "box", "overlap", "reason"),
    [
        ((0, 2), BOX, 0.0, Exclusion.NO_HER2),
        ((2, 0), BOX, 0.0, Exclusion.NO_CEP17),
        ((0, 0), BOX, 0.0, Exclusion.NO_SIGNAL),
        ((2, 2), (0.0, 50.0, 60.0, 120.0), 0.0, Exclusion.EDGE),
        ((2, 2), BOX, 0.5, Exclusion.OVERLAP),
        ((2, 2), BOX, 0.0, None),
    ],
)
def test_nuclei_that_do_not_count_are_kept_with_the_reason(
    found: tuple[int, int], box: tuple[float, float, float, float], overlap: float, reason: Exclusion | None
) -> None:
    counts = (float(found[0]), float(found[1]))
    nucleus = settle(1, box, 0.9, Count(counts, counts, signals(*found), 0.0), overlap, SIZE)
    assert nucleus.reason is reason
    assert nucleus.scored is (reason is None)
