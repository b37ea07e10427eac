"""Which regions a report shows, and what it says of those that it does not."""

from __future__ import annotations

import pytest

from her2core.workflow.picturing import Countable, pictured, pictures_note


def of(*scored: int, label: str = "A") -> list[Countable]:
    return [Countable(f"{label}{place}", label, number) for place, number in enumerate(scored, 1)]


@pytest.mark.parametrize(
    ("regions", "shown"),
    [
        ([], ()),
        (of(5), (0,)),
        (of(5, 0, 7), (0, 1, 2)),
        (of(5, 9, 7, 1, 8, 2), (1, 2, 4)),
        (of(5, 5, 5, 5), (0, 1, 2)),  # alike: the first ones
        (of(30, 20, 25, 28) + of(3, 4, label="B"), (0, 3, 5)),  # the small population is shown too
        (of(30, 29) + of(3, label="B") + of(2, label="C") + of(1, label="D"), (0, 2, 3)),
    ],
)
def test_the_regions_with_the_most_nuclei_are_shown_and_each_population(
    regions: list[Countable], shown: tuple[int, ...]
) -> None:
    assert pictured(regions) == shown


def test_regions_without_picture_are_named_with_the_reason() -> None:
    assert pictures_note(of(5, 9, 7, 1, 8, 2)) == (
        "Pictured: 3 of 6 counted regions (A2, A3, A5), those with the most scored nuclei. Not pictured: 3 (A1, A4, "
        "A6); their nuclei are counted and listed all the same."
    )
    two = pictures_note(of(30, 20, 25, 28) + of(3, label="B"))
    assert "(A1, A4, B1), those with the most scored nuclei, and of each population one." in two


@pytest.mark.parametrize("regions", [[], of(5), of(5, 0, 7)])
def test_where_all_regions_are_shown_nothing_is_said(regions: list[Countable]) -> None:
    assert pictures_note(regions) == ""


def test_no_promise_is_made_where_not_every_population_can_be_shown() -> None:
    regions = [Countable(f"{label}1", label, 20) for label in "ABCD"]
    assert "each population" not in pictures_note(regions)


def test_of_four_populations_the_fuller_regions_without_picture_are_not_denied() -> None:
    regions = of(30, 29) + of(3, label="B") + of(2, label="C") + of(1, label="D")  # A2 has more than B1 and C1
    assert pictures_note(regions) == (
        "Pictured: 3 of 5 counted regions (A1, B1, C1), each the one with the most scored nuclei of its population; 3 "
        "of the 4 populations are shown. Not pictured: 2 (A2, D1); their nuclei are counted and listed all the same."
    )
