"""A candidate against the models in use: paired figures, intervals, and what speaks against a promotion."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import replace

import pytest

from her2core.detection.metrics import ImageDetections
from her2core.errors import TrainingError
from her2core.laboratory.candidates import Comparison, Measured, compare, comparison_of, measure, reasons_against
from her2core.records import Nucleus
from her2core.training.readings import Reading, TrueNucleus, TrueRegion
from her2core.training.summary import Read


def region(number: int, right: bool, her2_off: float = 0.1, signals_off: float = 0.5) -> Measured:
    return Measured(f"{number}.png", f"P{number // 2}", right, her2_off, 0.05, signals_off, 20, 1.0)


def comparison(
    name: str, now: Sequence[bool], new: Sequence[bool], now_off: float = 0.2, new_off: float = 0.1
) -> Comparison:
    current = [region(i, right, now_off) for i, right in enumerate(now)]
    return compare(name, current, [region(i, right, new_off) for i, right in enumerate(new)])


def test_pairs_tell_what_was_gained_and_what_was_lost() -> None:
    c = comparison("own", [True, True, False, False], [True, False, True, True])
    assert (c.current.accuracy, c.candidate.accuracy) == (0.5, 0.75)
    assert (c.better, c.worse) == (2, 1)
    assert c.accuracy[0] == pytest.approx(0.25)
    assert c.accuracy[1][0] <= 0.25 <= c.accuracy[1][1]
    assert c.her2_off[0] == pytest.approx(-0.1)
    assert c.her2_off[1] == pytest.approx((-0.1, -0.1))
    assert (c.current.regions, c.current.patients) == (4, 2)


def test_errors_of_nuclei_are_weighed_by_how_many_there_are() -> None:
    now = [replace(region(0, True), nuclei=10, signals_off=1.0), replace(region(2, True), nuclei=30, signals_off=0.0)]
    c = compare("own", now, now)
    assert c.current.signals_off == pytest.approx(0.25)
    assert c.signals_off == (0.0, (0.0, 0.0))


def test_models_that_read_other_regions_are_not_compared() -> None:
    with pytest.raises(TrainingError, match="same regions"):
        compare("own", [region(0, True)], [region(1, True)])
    with pytest.raises(TrainingError, match="at least one"):
        compare("own", [], [])


@pytest.mark.parametrize(
    ("own", "rendered", "words"),
    [
        (([False, True], [True, True]), ([True, True], [True, True]), ()),
        (([True, True], [False, True]), ([True, True], [True, True]), ("true group less often",)),
        (([False, True], [True, True]), ([True, True], [True, False]), ("It forgot",)),
        (([True, True], [False, True]), ([True, True], [False, False]), ("true group less often", "It forgot")),
    ],
)
def test_a_candidate_that_is_worse_or_forgot_is_told_apart(
    own: tuple[list[bool], list[bool]], rendered: tuple[list[bool], list[bool]], words: tuple[str, ...]
) -> None:
    against = reasons_against(comparison("own", *own), comparison("rendered", *rendered))
    assert len(against) == len(words)
    assert all(word in text for word, text in zip(words, against, strict=True))


def test_more_groups_at_the_price_of_counts_is_no_gain() -> None:
    own = comparison("own", [False, True], [True, True], now_off=0.1, new_off=0.2)
    assert "further off: 20.0 % instead of 10.0 %" in reasons_against(own, comparison("rendered", [True], [True]))[0]


def test_a_candidate_that_reads_just_the_same_is_no_better() -> None:
    own = comparison("own", [True], [True], now_off=0.1, new_off=0.1)
    assert "no better" in reasons_against(own, own)[0]


def test_what_may_be_forgotten_is_the_laboratorys_to_say() -> None:
    own, rendered = comparison("own", [False], [True]), comparison("rendered", [True] * 10, [True] * 9 + [False])
    assert reasons_against(own, rendered, 0.05)
    assert reasons_against(own, rendered, 0.2) == ()
    with pytest.raises(ValueError, match="share"):
        reasons_against(own, rendered, 5)


def test_a_comparison_is_kept_and_read_back() -> None:
    c = comparison("own", [True, True, False, False], [True, False, True, True])
    assert comparison_of(c.to_dict()).to_dict() == c.to_dict()


@pytest.mark.parametrize("value", [{}, {"name": "own"}, {"name": "own", "current": 3, "candidate": {}}])
def test_what_is_no_comparison_is_refused(value: dict[str, object]) -> None:
    with pytest.raises(TrainingError, match="make it again"):
        comparison_of(value)


def read(true: list[tuple[int, int]], found: list[tuple[int, int]]) -> Read:
    boxes = [(20.0 * i, 0.0, 20.0 * i + 15, 15.0) for i in range(max(len(true), len(found)))]
    nuclei = tuple(TrueNucleus(boxes[i], h, c, False, True) for i, (h, c) in enumerate(true))
    seen = tuple(Nucleus(i, boxes[i], 0.9, h, c, 0.0, 0.0, False, True) for i, (h, c) in enumerate(found))
    return Read(TrueRegion("a.png", "P", None, nuclei), Reading(ImageDetections([], []), seen))


def test_a_region_is_measured_against_its_true_tally() -> None:
    (m,) = measure([read([(8, 2)] * 4, [(6, 2)] * 3)])
    assert (m.right, m.nuclei, m.found) == (True, 3, 0.75)
    assert m.her2_off == pytest.approx(0.25)
    assert m.cep17_off == 0.0
    assert m.signals_off == 2.0


def test_a_region_where_nothing_is_found_is_wholly_off_and_one_without_truth_is_left_out() -> None:
    (m,) = measure([read([(8, 2)] * 4, []), read([], [(8, 2)])])
    assert (m.right, m.her2_off, m.signals_off, m.found) == (False, 1.0, 0.0, 0.0)
