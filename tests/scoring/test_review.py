"""Replaying corrections over the AI's nuclei."""

from __future__ import annotations

from collections.abc import Callable
from datetime import UTC, datetime
from typing import Any

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from her2core.errors import ScoringError
from her2core.records import Channel, Correction, CorrectionKind, Exclusion, Nucleus, Signal, Tally
from her2core.scoring import (
    ReviewedNucleus,
    apply_corrections,
    check_correction,
    corrections_in_force,
    next_nucleus_id,
    next_redo,
    next_undo,
    tally,
)

Build = Callable[..., Nucleus]
Kind = CorrectionKind


def made(id: int, nucleus_id: int, kind: Kind, /, **new: Any) -> Correction:
    return Correction(id, 1, nucleus_id, kind, {}, new, "seen by eye", 7, datetime(2026, 11, 24, tzinfo=UTC))


def undo(id: int, nucleus_id: int, target: int) -> Correction:
    return made(id, nucleus_id, Kind.UNDO, correction_id=target)


def only(reviewed: tuple[ReviewedNucleus, ...]) -> ReviewedNucleus:
    assert len(reviewed) == 1
    return reviewed[0]


def test_without_corrections_the_nuclei_are_the_ais_own(nucleus: Build) -> None:
    ai = [nucleus(3, 2, id=5), nucleus(4, 0, id=2, reason=Exclusion.NO_CEP17)]
    reviewed = apply_corrections(ai, [])
    assert [r.nucleus for r in reviewed] == ai
    assert [r.ai for r in reviewed] == ai
    assert not any(r.edited or r.changed for r in reviewed)


def test_a_set_count_replaces_the_ais_and_keeps_it_beside(nucleus: Build) -> None:
    ai = nucleus(3, 2, id=1, uncertain=True)
    found = only(apply_corrections([ai], [made(1, 1, Kind.COUNTS, her2=16, cep17=3)]))
    assert (found.nucleus.her2, found.nucleus.cep17, found.nucleus.scored) == (16, 3, True)
    assert not found.nucleus.uncertain  # a person has looked
    assert found.ai == ai
    assert (found.edited, found.changed) == (True, True)


def test_confirming_the_ais_count_is_an_edit_but_no_change(nucleus: Build) -> None:
    found = only(apply_corrections([nucleus(3, 2, id=1)], [made(1, 1, Kind.COUNTS, her2=3, cep17=2)]))
    assert (found.edited, found.changed) == (True, False)


@pytest.mark.parametrize(
    ("her2", "cep17", "reason"),
    [(4, 0, Exclusion.NO_CEP17), (0, 4, Exclusion.NO_HER2), (0, 0, Exclusion.NO_SIGNAL), (1, 1, None)],
)
def test_a_nucleus_that_lacks_a_colour_after_a_count_change_is_not_scored(
    nucleus: Build, her2: int, cep17: int, reason: Exclusion | None
) -> None:
    found = only(apply_corrections([nucleus(3, 2, id=1)], [made(1, 1, Kind.COUNTS, her2=her2, cep17=cep17)]))
    assert (found.nucleus.scored, found.nucleus.reason) == (reason is None, reason)


@pytest.mark.parametrize("reason", [Exclusion.NO_CEP17, Exclusion.NO_SIGNAL, Exclusion.UNCOUNTABLE])
def test_counts_of_both_colours_bring_a_nucleus_back_that_lacked_one(nucleus: Build, reason: Exclusion) -> None:
    ai = nucleus(None if reason is Exclusion.UNCOUNTABLE else 4, 0, id=1, reason=reason)
    found = only(apply_corrections([ai], [made(1, 1, Kind.COUNTS, her2=4, cep17=2)]))
    assert found.nucleus.scored


@pytest.mark.parametrize("reason", [Exclusion.EDGE, Exclusion.OVERLAP, Exclusion.OUT_OF_FOCUS])
def test_counts_do_not_bring_back_what_was_left_out_for_its_place(nucleus: Build, reason: Exclusion) -> None:
    ai = nucleus(4, 2, id=1, reason=reason)
    counted = made(1, 1, Kind.COUNTS, her2=5, cep17=2)
    assert only(apply_corrections([ai], [counted])).nucleus.reason is reason
    included = only(apply_corrections([ai], [counted, made(2, 1, Kind.INCLUDE)]))
    assert (included.nucleus.scored, included.nucleus.her2) == (True, 5)


def test_signals_give_the_counts(nucleus: Build) -> None:
    dots = [
        {"channel": "her2", "x": 20.5, "y": 30.0},
        {"channel": "cep17", "x": 40.0, "y": 50.0},
        {"channel": "her2", "x": 22.0, "y": 44.0},
    ]
    found = only(apply_corrections([nucleus(9, 9, id=1, uncertain=True)], [made(1, 1, Kind.SIGNALS, signals=dots)]))
    assert not found.nucleus.uncertain
    assert (found.nucleus.her2, found.nucleus.cep17) == (2, 1)
    assert found.nucleus.signals[1] == Signal(Channel.CEP17, 40.0, 50.0)
    emptied = only(apply_corrections([nucleus(9, 9, id=1)], [made(1, 1, Kind.SIGNALS, signals=[])]))
    assert emptied.nucleus.reason is Exclusion.NO_SIGNAL


def test_cluster_and_box_change_nothing_else(nucleus: Build) -> None:
    ai = nucleus(9, 2, id=1)
    found = only(
        apply_corrections([ai], [made(1, 1, Kind.CLUSTER, clustered=True), made(2, 1, Kind.BOX, box=[1, 2, 90.5, 80])])
    )
    assert (found.nucleus.clustered, found.nucleus.box) == (True, (1.0, 2.0, 90.5, 80.0))
    assert (found.nucleus.her2, found.nucleus.cep17, found.nucleus.scored) == (9, 2, True)


RECOUNT: dict[str, Any] = {
    "her2": 3,
    "cep17": 1,
    "clustered": False,
    "uncertain": True,
    "uncertainty": 0.4,
    "signals": [{"channel": "her2", "x": 20.0, "y": 30.0}],
    "scored": True,
    "reason": None,
}


def test_a_recount_of_the_moved_box_takes_the_place_of_the_count_and_goes_with_an_undo(nucleus: Build) -> None:
    ai = nucleus(9, 2, id=1, reason=Exclusion.EDGE)
    moved = made(1, 1, Kind.BOX, box=[1, 2, 90.5, 80], recount=RECOUNT)
    found = only(apply_corrections([ai], [moved]))
    n = found.nucleus
    assert (n.box, n.her2, n.cep17, n.scored, n.uncertain, n.uncertainty) == ((1, 2, 90.5, 80), 3, 1, True, True, 0.4)
    assert n.her2_regressed == ai.her2_regressed
    assert found.ai == ai
    assert only(apply_corrections([ai], [moved, undo(2, 1, 1)])).nucleus == ai


@pytest.mark.parametrize(("said", "focus"), [({"focus": 0.4}, 0.4), ({}, None)])  # older recounts did not measure it
def test_a_recount_says_how_sharp_the_moved_nucleus_is(
    nucleus: Build, said: dict[str, float], focus: float | None
) -> None:
    moved = made(1, 1, Kind.BOX, box=[1, 2, 90.5, 80], recount=RECOUNT | said)
    assert only(apply_corrections([nucleus(9, 2, id=1, focus=0.9)], [moved])).nucleus.focus == focus


LEFT, RIGHT, FAR = (0.0, 0.0, 60.0, 60.0), (55.0, 0.0, 115.0, 60.0), (300.0, 0.0, 360.0, 60.0)
OVER_LEFT = [20.0, 0.0, 80.0, 60.0]


def three(nucleus: Build) -> list[Nucleus]:
    return [nucleus(4, 2, id=number, box=box) for number, box in ((1, LEFT), (2, RIGHT), (3, FAR))]


def covered(nuclei: list[Nucleus], *corrections: Correction) -> list[int]:
    return [r.nucleus.id for r in apply_corrections(nuclei, corrections) if r.covered]


@pytest.mark.parametrize("kind", [Kind.BOX, Kind.ADD])
def test_a_box_drawn_over_a_scored_nucleus_marks_it_and_leaves_it_scored(nucleus: Build, kind: Kind) -> None:
    drawn = made(1, 3, kind, box=OVER_LEFT)
    if kind is Kind.ADD:
        drawn = made(1, 4, kind, **nucleus(4, 2, id=4, box=tuple(OVER_LEFT)).to_dict())
    reviewed = apply_corrections(three(nucleus), [drawn])
    assert [r.covered for r in reviewed[:3]] == [True, True, False]
    assert all(r.nucleus.scored and r.nucleus.her2 == 4 for r in reviewed)
    assert [r.doubtful for r in reviewed[:3]] == [True, True, False]


def test_nuclei_that_only_touch_the_drawn_box_are_not_marked(nucleus: Build) -> None:
    assert covered(three(nucleus), made(1, 3, Kind.BOX, box=[0.0, 55.0, 60.0, 115.0])) == []


def test_a_covered_nucleus_is_settled_by_whoever_deals_with_it_afterwards(nucleus: Build) -> None:
    counted = made(1, 1, Kind.COUNTS, her2=4, cep17=2)
    moved = made(2, 3, Kind.BOX, box=OVER_LEFT)
    left_out = made(3, 2, Kind.EXCLUDE, reason=Exclusion.OVERLAP.value)
    confirmed = made(4, 1, Kind.COUNTS, her2=4, cep17=2)
    ai = three(nucleus)
    assert covered(ai, counted, moved) == [1, 2]  # what was said before the box was drawn does not know of it
    assert covered(ai, counted, moved, left_out) == [1]
    assert covered(ai, counted, moved, left_out, confirmed) == []
    assert covered(ai, counted, moved, undo(3, 3, 2)) == []


def test_an_overlap_that_the_models_let_pass_is_not_marked_for_a_box_elsewhere(nucleus: Build) -> None:
    ai = [nucleus(4, 2, id=1, box=LEFT), nucleus(4, 2, id=2, box=tuple(OVER_LEFT)), nucleus(4, 2, id=3, box=FAR)]
    assert covered(ai, made(1, 3, Kind.BOX, box=[310.0, 0.0, 360.0, 60.0])) == []


def freed(nuclei: list[Nucleus], *corrections: Correction) -> list[int]:
    return [r.nucleus.id for r in apply_corrections(nuclei, corrections) if r.freed]


def test_a_nucleus_left_out_as_overlapping_is_marked_when_the_box_over_it_moves_away(nucleus: Build) -> None:
    ai = [
        nucleus(4, 2, id=1, box=LEFT, reason=Exclusion.OVERLAP),
        nucleus(4, 2, id=2, box=tuple(OVER_LEFT), reason=Exclusion.OVERLAP),
        nucleus(4, 2, id=3, box=FAR, reason=Exclusion.EDGE),
    ]
    away = made(1, 2, Kind.BOX, box=[300.0, 300.0, 360.0, 360.0])
    a_little = made(1, 2, Kind.BOX, box=[side + 1 for side in OVER_LEFT])
    left_out = made(2, 1, Kind.EXCLUDE, reason=Exclusion.OVERLAP.value)
    assert freed(ai) == []
    assert freed(ai, away) == [1]
    assert freed(ai, a_little) == []
    assert freed(ai, away, left_out) == []  # whoever left it out saw the boxes as they are
    assert freed(ai, away, undo(2, 2, 1)) == []
    assert not any(r.nucleus.scored for r in apply_corrections(ai, [away])[::2])  # a person decides


def test_a_person_who_left_a_nucleus_out_is_not_overruled_by_a_recount(nucleus: Build) -> None:
    left_out = made(1, 1, Kind.EXCLUDE, reason=Exclusion.NOT_TUMOUR.value)
    moved = made(2, 1, Kind.BOX, box=[1, 2, 90.5, 80], recount=RECOUNT)
    found = only(apply_corrections([nucleus(9, 2, id=1)], [left_out, moved]))
    assert found.nucleus.reason is Exclusion.NOT_TUMOUR


@pytest.mark.parametrize(
    "recount",
    [
        None,
        {},
        {key: value for key, value in RECOUNT.items() if key != "signals"},
        RECOUNT | {"her2": -1},
        RECOUNT | {"her2": 2000},
        RECOUNT | {"scored": False},
        RECOUNT | {"reason": "no idea"},
        RECOUNT | {"signals": [{"channel": "her2", "x": float("inf"), "y": 1}]},
    ],
)
def test_an_impossible_recount_is_refused(nucleus: Build, recount: Any) -> None:
    with pytest.raises(ScoringError):
        check_correction([nucleus(9, 2, id=1)], [], 1, Kind.BOX, {"box": [1, 2, 90.5, 80], "recount": recount})


def test_what_stood_before_a_recount_is_kept_with_it(nucleus: Build) -> None:
    old = check_correction([nucleus(9, 2, id=1)], [], 1, Kind.BOX, {"box": [1, 1, 9, 9], "recount": RECOUNT})
    assert (old["box"], old["her2"], old["cep17"], old["scored"]) == ([10.0, 10.0, 70.0, 80.0], 9, 2, True)


def test_dots_move_the_estimate_of_a_cluster_by_as_many(nucleus: Build) -> None:
    ai = nucleus(20, 2, id=1, clustered=True, signals=(Signal(Channel.HER2, 20, 20), Signal(Channel.CEP17, 30, 30)))
    dots = [{"channel": "her2", "x": x, "y": 20.0} for x in (20.0, 24.0, 28.0)]
    found = only(apply_corrections([ai], [made(1, 1, Kind.SIGNALS, signals=dots)]))
    assert (found.nucleus.her2, found.nucleus.cep17) == (22, 0)


def her2_dots(number: int) -> dict[str, Any]:
    return {"signals": [{"channel": "her2", "x": 20.0 + 5 * i, "y": 20.0} for i in range(number)]}


@pytest.mark.parametrize(
    ("her2", "clustered", "steps", "seen"),
    [
        (0, True, [], (0, False)),  # as older analyses by regression say
        (0, True, [(Kind.SIGNALS, her2_dots(1))], (1, False)),  # one single signal, not an estimate of one
        (0, True, [(Kind.COUNTS, {"her2": 12, "cep17": 2})], (12, True)),  # the flag holds again
        (0, True, [(Kind.SIGNALS, her2_dots(0)), (Kind.COUNTS, {"her2": 12, "cep17": 2})], (12, True)),
        (0, True, [(Kind.SIGNALS, her2_dots(1)), (Kind.COUNTS, {"her2": 3, "cep17": 2})], (3, False)),
        (20, True, [(Kind.COUNTS, {"her2": 0, "cep17": 2})], (0, False)),
        (20, True, [(Kind.COUNTS, {"her2": 0, "cep17": 2}), (Kind.COUNTS, {"her2": 16, "cep17": 2})], (16, True)),
        (20, True, [(Kind.COUNTS, {"her2": 0, "cep17": 2}), (Kind.SIGNALS, her2_dots(1))], (1, False)),
        (0, False, [(Kind.CLUSTER, {"clustered": True})], (0, False)),
        (0, False, [(Kind.CLUSTER, {"clustered": True}), (Kind.COUNTS, {"her2": 16, "cep17": 2})], (16, True)),
        (
            9,
            False,
            [(Kind.BOX, {"box": [0, 0, 9, 9], "recount": RECOUNT | {"her2": 0, "clustered": True}})],
            (0, False),
        ),
        (
            9,
            False,
            [
                (Kind.BOX, {"box": [0, 0, 9, 9], "recount": RECOUNT | {"her2": 0, "clustered": True}}),
                (Kind.COUNTS, {"her2": 12, "cep17": 2}),
            ],
            (12, True),
        ),
    ],
)
def test_without_her2_signals_nothing_is_clustered(
    nucleus: Build, her2: int, clustered: bool, steps: list[tuple[Kind, dict[str, Any]]], seen: tuple[int, bool]
) -> None:
    ai = nucleus(her2, 2, id=1, clustered=clustered, **({} if her2 else {"reason": Exclusion.NO_HER2}))
    found = only(apply_corrections([ai], [made(i, 1, kind, **new) for i, (kind, new) in enumerate(steps, 1)]))
    assert (found.nucleus.her2, found.nucleus.clustered) == seen
    assert found.ai == ai  # as it is stored
    assert found.changed == ((her2, clustered and her2 > 0) != seen)


def test_an_excluded_nucleus_stays_out_until_it_is_included(nucleus: Build) -> None:
    ai = nucleus(9, 2, id=1)
    excluded = made(1, 1, Kind.EXCLUDE, reason=Exclusion.NOT_TUMOUR.value)
    recounted = made(2, 1, Kind.COUNTS, her2=10, cep17=2)
    out = only(apply_corrections([ai], [excluded, recounted]))
    assert (out.nucleus.scored, out.nucleus.reason) == (False, Exclusion.NOT_TUMOUR)
    back = only(apply_corrections([ai], [excluded, recounted, made(3, 1, Kind.INCLUDE)]))
    assert (back.nucleus.scored, back.nucleus.her2) == (True, 10)
    again = only(
        apply_corrections([ai], [excluded, made(3, 1, Kind.INCLUDE), made(4, 1, Kind.EXCLUDE, reason="other")])
    )
    assert again.nucleus.reason is Exclusion.OTHER


@pytest.mark.parametrize(
    ("her2", "cep17", "reason"),
    [
        (4, 0, Exclusion.NO_CEP17),
        (0, 2, Exclusion.NO_HER2),
        (None, None, Exclusion.UNCOUNTABLE),
        (None, None, Exclusion.EDGE),
    ],
)
def test_including_a_nucleus_without_both_colours_is_refused(
    nucleus: Build, her2: int | None, cep17: int | None, reason: Exclusion
) -> None:
    ai = [nucleus(her2, cep17, id=1, reason=reason)]
    with pytest.raises(ScoringError, match="Correct its counts first"):
        apply_corrections(ai, [made(1, 1, Kind.INCLUDE)])
    with pytest.raises(ScoringError, match="Correct its counts first"):
        check_correction(ai, [], 1, Kind.INCLUDE, {})


@pytest.mark.parametrize(
    ("her2", "cep17", "included"), [(0, 0, Exclusion.NO_SIGNAL), (3, 0, Exclusion.NO_CEP17), (4, 2, None)]
)
def test_where_no_nucleus_was_seen_a_person_can_say_that_there_is_one(
    nucleus: Build, her2: int, cep17: int, included: Exclusion | None
) -> None:
    drawn = nucleus(her2, cep17, id=7, reason=Exclusion.NO_NUCLEUS).to_dict()
    added = made(1, 7, Kind.ADD, **drawn)
    typed = made(2, 7, Kind.COUNTS, her2=her2, cep17=cep17)
    for corrections in ([added], [added, typed]):  # counts alone do not say it
        assert only(apply_corrections([], corrections)).nucleus.reason is Exclusion.NO_NUCLEUS
    check_correction([], [added], 7, Kind.INCLUDE, {})
    found = only(apply_corrections([], [added, made(3, 7, Kind.INCLUDE)])).nucleus
    assert (found.scored, found.reason) == (included is None, included)
    back = only(apply_corrections([], [added, made(3, 7, Kind.INCLUDE), undo(4, 7, 3)])).nucleus
    assert back.reason is Exclusion.NO_NUCLEUS


def test_taking_back_counts_after_an_inclusion_leaves_the_case_readable(nucleus: Build) -> None:
    ai = [nucleus(4, 0, id=1, reason=Exclusion.NO_CEP17)]
    corrections = [made(1, 1, Kind.COUNTS, her2=4, cep17=2), made(2, 1, Kind.INCLUDE), undo(3, 1, 1)]
    found = only(apply_corrections(ai, corrections))
    assert (found.nucleus.scored, found.nucleus.reason) == (False, Exclusion.NO_CEP17)


# --- undo and redo ---------------------------------------------------------------------------------------------------


def test_undo_takes_one_correction_back_and_leaves_later_ones(nucleus: Build) -> None:
    ai = nucleus(3, 2, id=1)
    corrections = [
        made(1, 1, Kind.COUNTS, her2=5, cep17=2),
        made(2, 1, Kind.CLUSTER, clustered=True),
        undo(3, 1, 1),
    ]
    found = only(apply_corrections([ai], corrections))
    assert (found.nucleus.her2, found.nucleus.clustered) == (3, True)
    assert [c.id for c in found.corrections] == [2]


def test_all_taken_back_is_the_ais_nucleus_unedited(nucleus: Build) -> None:
    ai = nucleus(3, 2, id=1, uncertain=True)
    found = only(apply_corrections([ai], [made(1, 1, Kind.COUNTS, her2=5, cep17=2), undo(2, 1, 1)]))
    assert found == ReviewedNucleus(ai, ai)


def test_undoing_an_undo_brings_the_correction_back_and_so_on(nucleus: Build) -> None:
    ai = nucleus(3, 2, id=1)
    chain = [made(1, 1, Kind.COUNTS, her2=5, cep17=2), undo(2, 1, 1), undo(3, 1, 2), undo(4, 1, 3), undo(5, 1, 4)]
    seen = [only(apply_corrections([ai], chain[:k])).nucleus.her2 for k in range(1, 6)]
    assert seen == [5, 3, 5, 3, 5]


def test_the_order_of_the_list_does_not_matter(nucleus: Build) -> None:
    ai = [nucleus(3, 2, id=1)]
    chain = [made(1, 1, Kind.COUNTS, her2=5, cep17=2), made(2, 1, Kind.COUNTS, her2=6, cep17=2), undo(3, 1, 2)]
    assert apply_corrections(ai, chain[::-1]) == apply_corrections(ai, chain)


@pytest.mark.parametrize(
    "wrong",
    [
        [undo(1, 1, 99)],
        [undo(1, 1, 1)],
        [undo(1, 1, 2), made(2, 1, Kind.COUNTS, her2=1, cep17=1)],  # cannot take back what comes later
        [made(1, 2, Kind.COUNTS, her2=1, cep17=1), undo(2, 1, 1)],  # of another nucleus
        [made(1, 1, Kind.UNDO)],
        [made(1, 1, Kind.UNDO, correction_id=True)],
        [made(1, 1, Kind.COUNTS, her2=1, cep17=1), made(1, 1, Kind.INCLUDE)],  # one number twice
    ],
)
def test_an_undo_that_points_nowhere_is_refused(nucleus: Build, wrong: list[Correction]) -> None:
    with pytest.raises(ScoringError):
        apply_corrections([nucleus(id=1), nucleus(id=2)], wrong)


def test_an_undo_of_one_nucleus_cannot_take_back_a_correction_of_another() -> None:
    with pytest.raises(ScoringError, match="no such correction"):
        corrections_in_force([made(1, 2, Kind.COUNTS, her2=1, cep17=1), undo(2, 1, 1)])


def test_undo_and_redo_walk_back_and_forth_through_the_corrections() -> None:
    corrections = [made(i, 1, Kind.COUNTS, her2=i, cep17=2) for i in (1, 2, 3)]

    def press_undo() -> None:
        target = next_undo(corrections)
        assert target is not None
        corrections.append(undo(corrections[-1].id + 1, target.nucleus_id, target.id))

    def press_redo() -> None:
        target = next_redo(corrections)
        assert target is not None
        corrections.append(undo(corrections[-1].id + 1, target.nucleus_id, target.id))

    def standing() -> list[int]:
        return [c.id for c in corrections_in_force(corrections)]

    assert next_redo(corrections) is None
    press_undo()
    press_undo()
    assert standing() == [1]
    press_redo()
    assert standing() == [1, 2]
    press_redo()
    assert standing() == [1, 2, 3]
    assert next_redo(corrections) is None
    for expected in ([1, 2], [1], []):
        press_undo()
        assert standing() == expected
    assert next_undo(corrections) is None
    press_redo()
    assert standing() == [1]
    corrections.append(made(corrections[-1].id + 1, 1, Kind.COUNTS, her2=9, cep17=2))
    assert next_redo(corrections) is None  # a new correction ends the way forward
    press_undo()
    assert standing() == [1]
    press_undo()
    assert standing() == []


# --- added nuclei ----------------------------------------------------------------------------------------------------


def added(id: int, nucleus: Nucleus) -> Correction:
    return made(id, nucleus.id, Kind.ADD, **nucleus.to_dict())


def test_an_added_nucleus_counts_and_has_no_ai_values(nucleus: Build) -> None:
    ai, own = nucleus(3, 2, id=0), nucleus(7, 2, id=1)
    reviewed = apply_corrections([ai], [added(1, own), made(2, 1, Kind.COUNTS, her2=8, cep17=2)])
    assert [r.nucleus.id for r in reviewed] == [0, 1]
    assert (reviewed[1].ai, reviewed[1].nucleus.her2) == (None, 8)
    assert (reviewed[1].edited, reviewed[1].changed) == (True, True)
    assert tally(r.nucleus for r in reviewed) == Tally(2, 11, 4)


def test_taking_back_an_addition_removes_the_nucleus_and_what_was_done_to_it(nucleus: Build) -> None:
    ai, own = nucleus(3, 2, id=0), nucleus(7, 2, id=1)
    corrections = [added(1, own), made(2, 1, Kind.COUNTS, her2=8, cep17=2), undo(3, 1, 1)]
    assert [r.nucleus.id for r in apply_corrections([ai], corrections)] == [0]
    with pytest.raises(ScoringError, match="Nucleus 1 is not there"):
        check_correction([ai], corrections, 1, Kind.COUNTS, {"her2": 2, "cep17": 2})
    brought_back = [*corrections, undo(4, 1, 3)]
    assert [r.nucleus.her2 for r in apply_corrections([ai], brought_back)] == [3, 8]


def test_a_number_once_given_is_never_given_again(nucleus: Build) -> None:
    assert next_nucleus_id([], []) == 0
    ai, own = nucleus(id=4), nucleus(id=9)
    assert next_nucleus_id([ai], []) == 5
    assert next_nucleus_id([ai], [added(1, own), undo(2, 9, 1)]) == 10


@pytest.mark.parametrize("of", ["ai", "added"])
def test_adding_under_a_number_in_use_is_refused(nucleus: Build, of: str) -> None:
    own = nucleus(id=1)
    before = ([own], []) if of == "ai" else ([], [added(1, own)])
    with pytest.raises(ScoringError, match="there already"):
        apply_corrections(before[0], [*before[1], added(2, own)])


# --- what cannot be --------------------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("kind", "new"),
    [
        (Kind.COUNTS, {"her2": -1, "cep17": 2}),
        (Kind.COUNTS, {"her2": 2}),
        (Kind.COUNTS, {"her2": 2.5, "cep17": 2}),
        (Kind.COUNTS, {"her2": "4", "cep17": 2}),
        (Kind.COUNTS, {"her2": True, "cep17": 2}),
        (Kind.COUNTS, {"her2": 10**6, "cep17": 2}),
        (Kind.SIGNALS, {}),
        (Kind.SIGNALS, {"signals": [{"channel": "dapi", "x": 1, "y": 1}]}),
        (Kind.SIGNALS, {"signals": [{"channel": "her2", "x": 1}]}),
        (Kind.SIGNALS, {"signals": [{"channel": "her2", "x": float("nan"), "y": 1}]}),
        (Kind.SIGNALS, {"signals": "her2"}),
        (Kind.SIGNALS, {"signals": [{"channel": "her2", "x": 1, "y": 1}] * 1001}),
        (Kind.CLUSTER, {"clustered": "yes"}),
        (Kind.CLUSTER, {}),
        (Kind.BOX, {"box": [1, 2, 3]}),
        (Kind.BOX, {"box": [10, 10, 5, 20]}),
        (Kind.BOX, {"box": [0, 0, float("inf"), 20]}),
        (Kind.BOX, {"box": None}),
        (Kind.EXCLUDE, {"reason": "did not like it"}),
        (Kind.EXCLUDE, {}),
        (Kind.ADD, {"id": 1}),
        (Kind.UNDO, {"correction_id": 3}),
    ],
)
def test_impossible_values_are_refused(nucleus: Build, kind: Kind, new: dict[str, Any]) -> None:
    nucleus_id = 2 if kind is Kind.ADD else 1
    with pytest.raises(ScoringError):
        apply_corrections([nucleus(id=1)], [made(1, nucleus_id, kind, **new)])
    with pytest.raises(ScoringError):
        check_correction([nucleus(id=1)], [], nucleus_id, kind, new)


@pytest.mark.parametrize(
    ("new", "said"), [({"her2": 990, "cep17": 2}, "990 HER2"), ({"her2": 9, "cep17": 199}, "199 CEP17")]
)
def test_a_count_that_only_a_slip_can_make_is_refused_but_read_where_it_is_stored(
    nucleus: Build, new: dict[str, Any], said: str
) -> None:
    nuclei = [nucleus(id=1)]
    with pytest.raises(ScoringError, match=f"{said} signals are more than a nucleus can show"):
        check_correction(nuclei, [], 1, Kind.COUNTS, new)
    stored = Correction(1, 0, 1, Kind.COUNTS, {}, new, "", 0, datetime.now(UTC))
    (reviewed,) = apply_corrections(nuclei, [stored])
    assert (reviewed.nucleus.her2, reviewed.nucleus.cep17) == (new["her2"], new["cep17"])


def test_an_added_nucleus_with_impossible_values_is_refused(nucleus: Build) -> None:
    whole = nucleus(id=2).to_dict()
    changes: list[dict[str, Any]] = [
        {"box": [5, 5, 5, 9]},
        {"her2": -4},
        {"her2": 2.5},
        {"cep17": "2"},
        {"her2": 10**6},
        {"scored": True, "reason": "other"},
        {"id": 3},
    ]
    for change in changes:
        with pytest.raises(ScoringError):
            apply_corrections([nucleus(id=1)], [made(1, 2, Kind.ADD, **{**whole, **change})])


def test_corrections_of_an_unknown_nucleus_are_refused(nucleus: Build) -> None:
    with pytest.raises(ScoringError, match="no nucleus 8"):
        apply_corrections([nucleus(id=1)], [made(1, 8, Kind.COUNTS, her2=1, cep17=1)])


def test_two_nuclei_of_one_number_are_refused(nucleus: Build) -> None:
    with pytest.raises(ScoringError, match="same number"):
        apply_corrections([nucleus(id=1), nucleus(id=1)], [])


# --- before storing --------------------------------------------------------------------------------------------------


def test_checking_a_correction_returns_the_value_that_it_replaces(nucleus: Build) -> None:
    ai = [nucleus(3, 2, id=1, signals=(Signal(Channel.HER2, 20.0, 21.0),))]
    earlier = [made(1, 1, Kind.COUNTS, her2=5, cep17=2)]
    assert check_correction(ai, earlier, 1, Kind.COUNTS, {"her2": 6, "cep17": 2}) == {"her2": 5, "cep17": 2}
    assert check_correction(ai, [], 1, Kind.CLUSTER, {"clustered": True}) == {"clustered": False}
    assert check_correction(ai, [], 1, Kind.EXCLUDE, {"reason": "other"}) == {"scored": True, "reason": None}
    assert check_correction(ai, [], 1, Kind.BOX, {"box": [1, 1, 9, 9]}) == {"box": [10.0, 10.0, 70.0, 80.0]}
    assert check_correction(ai, [], 1, Kind.SIGNALS, {"signals": []}) == {
        "signals": [{"channel": "her2", "x": 20.0, "y": 21.0}],
        "her2": 3,
        "cep17": 2,
    }
    assert check_correction(ai, [], 2, Kind.ADD, nucleus(id=2).to_dict()) == {}
    assert check_correction(ai, earlier, 1, Kind.UNDO, {"correction_id": 1})["her2"] == 5


def test_taking_back_twice_is_refused(nucleus: Build) -> None:
    ai = [nucleus(3, 2, id=1)]
    corrections = [made(1, 1, Kind.COUNTS, her2=5, cep17=2), undo(2, 1, 1)]
    with pytest.raises(ScoringError, match="taken back already"):
        check_correction(ai, corrections, 1, Kind.UNDO, {"correction_id": 1})
    assert check_correction(ai, corrections, 1, Kind.UNDO, {"correction_id": 2})["her2"] == 3


# --- properties ------------------------------------------------------------------------------------------------------


@st.composite
def histories(draw: st.DrawFn) -> list[Correction]:
    """Corrections as `check_correction` would let them through, over the nuclei 0, 1 (scored) and 2 (without CEP17)."""
    found: list[Correction] = []
    for number in range(1, draw(st.integers(0, 12)) + 1):
        nucleus_id = draw(st.integers(0, 2))
        kind = draw(st.sampled_from([Kind.COUNTS, Kind.EXCLUDE, Kind.INCLUDE, Kind.CLUSTER, Kind.UNDO, Kind.UNDO]))
        new: dict[str, Any] = {
            Kind.COUNTS: {"her2": draw(st.integers(0, 9)), "cep17": draw(st.integers(0, 4))},
            Kind.EXCLUDE: {"reason": draw(st.sampled_from(Exclusion)).value},
            Kind.INCLUDE: {},
            Kind.CLUSTER: {"clustered": draw(st.booleans())},
            Kind.UNDO: {"correction_id": draw(st.integers(1, max(1, number - 1)))},
        }[kind]
        candidate = made(number, nucleus_id, kind, **new)
        try:
            check_correction(base_nuclei(), found, nucleus_id, kind, new)
        except ScoringError:
            continue
        found.append(candidate)
    return found


def base_nuclei() -> list[Nucleus]:
    box = (1.0, 1.0, 60.0, 60.0)
    return [
        Nucleus(0, box, 0.9, 3, 2, 3.1, 2.0, False, True),
        Nucleus(1, box, 0.9, 12, 2, 9.5, 2.2, True, True, uncertain=True),
        Nucleus(2, box, 0.9, 4, 0, 4.0, 0.2, False, False, Exclusion.NO_CEP17),
    ]


@settings(deadline=None)  # the machine may be busy
@given(histories())
def test_any_history_that_was_accepted_can_be_replayed_and_keeps_the_rules(corrections: list[Correction]) -> None:
    reviewed = apply_corrections(base_nuclei(), corrections)
    assert [r.ai for r in reviewed] == base_nuclei()
    for r in reviewed:
        n = r.nucleus
        assert not n.scored or (n.her2 or 0) >= 1 <= (n.cep17 or 0)
        assert r.edited or n == r.ai
        assert (n.her2_regressed, n.cep17_regressed, n.score) == (
            r.ai.her2_regressed if r.ai else None,
            r.ai.cep17_regressed if r.ai else None,
            r.ai.score if r.ai else None,
        )


@settings(deadline=None)  # the machine may be busy
@given(histories())
def test_undoing_all_the_way_gives_the_ais_nuclei_and_redoing_gives_the_result_back(
    corrections: list[Correction],
) -> None:
    before = apply_corrections(base_nuclei(), corrections)
    walked, number = list(corrections), 100
    steps = 0
    while (target := next_undo(walked)) is not None:
        walked.append(undo(number, target.nucleus_id, target.id))
        number, steps = number + 1, steps + 1
    assert [r.nucleus for r in apply_corrections(base_nuclei(), walked)] == base_nuclei()
    for _ in range(steps):
        back = next_redo(walked)
        assert back is not None
        walked.append(undo(number, back.nucleus_id, back.id))
        number += 1
    assert [r.nucleus for r in apply_corrections(base_nuclei(), walked)] == [r.nucleus for r in before]


@pytest.mark.parametrize(
    ("clustered", "steps", "read"),
    [
        (False, [], False),
        (False, [(Kind.COUNTS, {"her2": 4, "cep17": 2})], True),  # confirmed
        (False, [(Kind.SIGNALS, {"signals": []})], True),
        (True, [(Kind.SIGNALS, {"signals": []})], False),  # the estimate of a cluster moved by a dot is one still
        (True, [(Kind.SIGNALS, {"signals": []}), (Kind.CLUSTER, {"clustered": False})], False),
        (True, [(Kind.CLUSTER, {"clustered": False}), (Kind.SIGNALS, {"signals": []})], True),
        (True, [(Kind.COUNTS, {"her2": 14, "cep17": 2})], True),
        (False, [(Kind.CLUSTER, {"clustered": True})], False),
        (False, [(Kind.EXCLUDE, {"reason": "other"}), (Kind.INCLUDE, {})], False),
        (False, [(Kind.BOX, {"box": [0, 0, 9, 9]}), (Kind.COUNTS, {"her2": 4, "cep17": 2})], True),
    ],
)
def test_counts_are_a_readers_own_once_typed_or_set_dot_by_dot(
    nucleus: Build, clustered: bool, steps: list[tuple[Kind, dict[str, Any]]], read: bool
) -> None:
    ai = nucleus(4, 2, id=1, clustered=clustered)
    corrections = [made(i, 1, kind, **new) for i, (kind, new) in enumerate(steps, 1)]
    assert only(apply_corrections([ai], corrections)).read is read


def test_the_models_own_count_in_a_moved_or_added_box_is_theirs(nucleus: Build) -> None:
    ai = nucleus(4, 2, id=1)
    counted = made(1, 1, Kind.COUNTS, her2=4, cep17=2)
    found = nucleus(6, 2, id=1).to_dict()
    moved = made(2, 1, Kind.BOX, box=[0.0, 0.0, 9.0, 9.0], recount=found)
    assert only(apply_corrections([ai], [counted])).read
    assert not only(apply_corrections([ai], [counted, moved])).read
    added = made(1, 2, Kind.ADD, **nucleus(6, 2, id=2).to_dict())
    assert not apply_corrections([ai], [added])[1].read
    assert apply_corrections([ai], [added, made(2, 2, Kind.COUNTS, her2=6, cep17=2)])[1].read
