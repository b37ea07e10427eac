"""Flags of many regions at once, shares of populations, and what is missing, briefly."""

from __future__ import annotations

from dataclasses import replace
from typing import Any

import pytest

from her2core.errors import ScoringError
from her2core.records import Overlap, Population, Region, RegionFlags, SignalIntensity
from her2core.ui.flagging import (
    QUESTIONS,
    USUAL,
    briefly,
    common,
    judged,
    next_label,
    rebalanced,
    rejected,
    summary,
    unanswered,
)

GOOD = RegionFlags(False, "A", False, SignalIntensity.GOOD, Overlap.LITTLE, True)
BAD = RegionFlags(True, "B", True, SignalIntensity.WEAK, Overlap.SEVERE, False, "out of focus")


ANSWERS = {
    "signal_intensity": SignalIntensity.GOOD,
    "overlap": Overlap.LITTLE,
    "clusters": False,
    "heterogeneous": False,
}


@pytest.mark.parametrize(
    ("answers", "populations", "expected"),
    [
        ({}, False, ["signal_intensity", "overlap", "clusters", "heterogeneous"]),
        ({"suitable": True, "clusters": False}, False, ["signal_intensity", "overlap", "heterogeneous"]),
        (ANSWERS, False, []),
        (ANSWERS, True, ["population"]),
        ({**ANSWERS, "population": "B"}, True, []),
        (USUAL, False, []),
    ],
)
def test_every_question_waits_for_an_answer(answers: dict[str, Any], populations: bool, expected: list[str]) -> None:
    assert unanswered(answers, populations=populations) == expected


@pytest.mark.parametrize(
    ("answers", "expected"),
    [
        (ANSWERS, GOOD),
        ({**ANSWERS, "suitable": True, "clusters": True}, replace(GOOD, clusters=True)),
        ({**ANSWERS, "population": "B"}, replace(GOOD, population="B")),
    ],
)
def test_flags_are_the_answers(answers: dict[str, Any], expected: RegionFlags) -> None:
    assert judged(answers, "A") == expected


@pytest.mark.parametrize("left_out", QUESTIONS)
def test_nothing_is_flagged_by_default(left_out: str) -> None:
    with pytest.raises(KeyError, match=left_out):
        judged({name: answer for name, answer in ANSWERS.items() if name != left_out}, "A")


@pytest.mark.parametrize(
    ("flags", "expected"),
    [
        (None, replace(GOOD, suitable=False, unsuitable_reason="no tumour")),
        (replace(GOOD, clusters=True), replace(GOOD, clusters=True, suitable=False, unsuitable_reason="no tumour")),
        (BAD, replace(BAD, unsuitable_reason="no tumour")),
    ],
)
def test_a_region_that_is_not_counted_keeps_what_was_said_of_it(
    flags: RegionFlags | None, expected: RegionFlags
) -> None:
    assert rejected(flags, "A", "no tumour") == expected


def test_unsuitable_without_reason_is_refused() -> None:
    with pytest.raises(ScoringError, match="why"):
        rejected(GOOD, "A", "")


@pytest.mark.parametrize(
    ("values", "expected"), [([1, 1], 1), ([1, 2], None), ([], None), ([True, None], None), (["a"], "a")]
)
def test_what_all_have_in_common(values: list[Any], expected: Any) -> None:
    assert common(values) == expected


@pytest.mark.parametrize(
    ("flags", "several", "expected"),
    [
        (None, False, "no flags yet"),
        (GOOD, False, "good signals, little overlap, no clusters, homogeneous"),
        (GOOD, True, "good signals, little overlap, no clusters, homogeneous, population A"),
        (BAD, True, "not suitable: out of focus"),
        (replace(GOOD, clusters=True, heterogeneous=True), False,
         "good signals, little overlap, clusters, heterogeneous"),
    ],
)  # fmt: skip
def test_flags_in_one_line(flags: RegionFlags | None, several: bool, expected: str) -> None:
    assert summary(flags, populations=several) == expected


@pytest.mark.parametrize(
    ("shares", "label", "share", "expected"),
    [
        ((100.0,), "A", 80.0, [80.0]),
        ((None, None), "B", 15.0, [85.0, 15.0]),
        ((85.0, 15.0), "A", 90.0, [90.0, 10.0]),
        ((85.0, 15.0), "B", None, [85.0, None]),
        ((100.0, None), "B", 10.0, [90.0, 10.0]),
        ((50.0, 30.0, None), "C", 20.0, [50.0, 30.0, 20.0]),
    ],
)
def test_of_two_populations_the_other_gets_the_rest(
    shares: tuple[float | None, ...], label: str, share: float | None, expected: list[float | None]
) -> None:
    before = [Population("ABC"[index], value) for index, value in enumerate(shares)]
    assert [p.share_percent for p in rebalanced(before, label, share)] == expected


@pytest.mark.parametrize(
    ("labels", "expected"), [(["A"], "B"), (["A", "c"], "B"), (["B"], "A"), (list("ABCDEFGHIJKLMNOPQRSTUVWXYZ"), None)]
)
def test_the_next_population_gets_the_first_free_letter(labels: list[str], expected: str | None) -> None:
    assert next_label([Population(label) for label in labels]) == expected


@pytest.mark.parametrize(
    ("unflagged", "flagged", "more", "expected"),
    [
        (0, 0, ["Add at least one region image."], ["Add at least one region image."]),
        (2, 1, [], ["Give the flags of 0.", "Give the flags of 1."]),
        (
            5,
            1,
            ["Give the share of population B."],
            ["Give the flags of 5 regions.", "Give the share of population B."],
        ),
    ],
)
def test_many_regions_without_flags_take_one_line(
    unflagged: int, flagged: int, more: list[str], expected: list[str]
) -> None:
    regions = [
        Region(number, 1, str(number), "", 9, 9, None, None if number < unflagged else GOOD)
        for number in range(unflagged + flagged)
    ]
    missing = [f"Give the flags of {region.filename}." for region in regions if region.flags is None] + more
    assert briefly(missing, regions) == expected
