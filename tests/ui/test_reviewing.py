"""What the editor asks for is checked against what its user had seen, then recorded once."""

from __future__ import annotations

from dataclasses import dataclass, field, replace
from typing import Any

import pytest

from her2core import workflow
from her2core.errors import ConflictError, Her2CoreError, NotFoundError, ScoringError
from her2core.imaging import PixelsRGB, read_region
from her2core.records import Box, Case, Channel, CorrectionKind, Exclusion, Nucleus, Region
from her2core.ui.editor import Inbox
from her2core.workflow import CountBox
from her2core.workflow.reviewing import Edit, Taken, parse_edit, take_edit
from tests.pages.lab import TestLaboratory, count_drawn

COUNTS = [(6, 2)] * 19 + [(0, 2)]


@dataclass
class Desk:
    """One window of one person on the first region of a case."""

    lab: TestLaboratory
    case: Case
    name: str = "berg"
    inbox: Inbox = field(default_factory=Inbox)
    seen: int | None = None
    left_out: list[int | None] = field(default_factory=list)

    @property
    def region(self) -> Region:
        return self.lab.log.regions(self.case.id)[0]

    def look(self) -> Desk:
        """See how the region is now."""
        self.seen = max((c.id for c in self.lab.log.corrections(self.region.id)), default=0)
        return self

    def take(self, edit: Edit) -> Taken:
        taken = take_edit(
            self.lab.log, edit, self.lab.person(self.name), own=self.inbox.own, pixels=self._pixels, count=self._count
        )
        if taken.correction is not None:
            self.inbox.own.add(taken.correction.id)
        return taken

    def do(self, act: str, nucleus: int | None = None, **values: Any) -> Taken:
        """One act, decided on what was seen at the last look."""
        if self.seen is None:
            self.look()
        return self.take(
            parse_edit({"act": act, "region": self.region.id, "nucleus": nucleus, "seen": self.seen, **values})
        )

    def nucleus(self, number: int) -> Nucleus:
        review = workflow.assess(self.lab.log, self.case.id).regions[0]
        return next(r.nucleus for r in review.nuclei if r.nucleus.id == number)

    def _pixels(self, region: Region) -> PixelsRGB:
        return read_region(self.lab.log.image_bytes(region), region.filename).pixels_rgb

    def _count(self, left_out: int | None) -> CountBox:
        self.left_out.append(left_out)

        def count(pixels: PixelsRGB, box: Box, number: int) -> Nucleus:
            return count_drawn(pixels, box, number)

        return count


@pytest.fixture
def desk(lab: TestLaboratory) -> Desk:
    return Desk(lab, lab.analysed(COUNTS))


def test_one_signal_is_added_and_deleted_and_the_counts_follow(desk: Desk) -> None:
    desk.do("add signal", 1, channel="cep17", x=40.25, y=32)
    assert (desk.nucleus(1).her2, desk.nucleus(1).cep17) == (6, 3)
    desk.do("delete signal", 1, channel="cep17", x=40.2, y=32.1)
    assert (desk.nucleus(1).her2, desk.nucleus(1).cep17) == (6, 2)
    desk.do("delete signal", 1, channel="her2", x=52, y=32)
    assert desk.nucleus(1).her2 == 5


def test_a_signal_outside_the_box_or_one_that_is_gone_is_refused(desk: Desk) -> None:
    with pytest.raises(ScoringError, match="outside the box"):
        desk.do("add signal", 1, channel="her2", x=300, y=32)
    with pytest.raises(ScoringError, match="not there any more"):
        desk.do("delete signal", 1, channel="cep17", x=52, y=32)  # that one is HER2
    with pytest.raises(NotFoundError, match="Nucleus 99"):
        desk.do("add signal", 99, channel="her2", x=40, y=40)


def test_the_estimate_of_a_cluster_moves_with_each_signal(desk: Desk) -> None:
    desk.do("set cluster", 1, clustered=True)
    desk.do("set counts", 1, her2=25, cep17=2)
    desk.do("add signal", 1, channel="her2", x=40, y=47)
    assert (desk.nucleus(1).her2, desk.nucleus(1).cep17, desk.nucleus(1).clustered) == (26, 2, True)
    desk.do("delete signal", 1, channel="her2", x=40, y=47)
    assert desk.nucleus(1).her2 == 25


def test_a_moved_box_is_counted_again_and_undone_as_one_step(desk: Desk) -> None:
    before = desk.nucleus(1)
    desk.do("move box", 1, box=[16, 16, 45, 70])
    moved = desk.nucleus(1)
    assert moved.box == pytest.approx((16, 16, 45, 70))
    assert moved.her2 is not None
    assert 0 < moved.her2 < 6
    assert moved.her2 == sum(s.channel is Channel.HER2 for s in moved.signals)
    assert desk.left_out == [1]  # it does not overlap itself
    (correction,) = desk.lab.log.corrections(desk.region.id)
    assert (correction.old["box"], correction.old["her2"]) == (list(before.box), 6)
    desk.do("undo")
    assert desk.nucleus(1) == before


def test_a_moved_box_may_bring_a_nucleus_back_or_leave_it_out(desk: Desk) -> None:
    desk.do("move box", 20, box=list(desk.nucleus(19).box))
    assert desk.nucleus(20).scored
    desk.do("move box", 20, box=[200, 160, 240, 200])
    assert desk.nucleus(20).reason is not None


def test_a_moved_box_keeps_a_nucleus_out_that_is_out_of_focus_until_it_is_included(desk: Desk) -> None:
    def count(pixels: PixelsRGB, box: Box, number: int) -> Nucleus:
        found = count_drawn(pixels, box, number)
        return replace(found, scored=False, reason=Exclusion.OUT_OF_FOCUS, focus=0.5)

    box = [16, 16, 70, 70]
    edit = {"act": "move box", "region": desk.region.id, "nucleus": 1, "seen": 0, "box": box}
    taken = take_edit(
        desk.lab.log, parse_edit(edit), desk.lab.person("berg"), own=(), pixels=desk._pixels, count=lambda _: count
    )
    assert taken.correction is not None
    assert taken.correction.new["recount"]["focus"] == 0.5
    moved = desk.nucleus(1)
    assert (moved.scored, moved.reason, moved.focus) == (False, Exclusion.OUT_OF_FOCUS, 0.5)
    desk.look().do("include", 1)
    assert desk.nucleus(1).scored


@pytest.mark.parametrize("box", [[10, 10, 12, 40], [600, 10, 700, 90], [-50, -50, -10, -10]])
def test_a_box_that_holds_no_nucleus_is_refused(desk: Desk, box: list[float]) -> None:
    for act, number in (("add nucleus", None), ("move box", 1)):
        with pytest.raises(ScoringError, match="too small"):
            desk.do(act, number, box=box)


def test_a_drawn_box_is_cut_to_the_image_whichever_way_it_was_drawn(desk: Desk) -> None:
    taken = desk.do("add nucleus", box=[560, 230, 470, 150])
    assert taken.nucleus_id == 21
    assert desk.nucleus(21).box == (470, 150, 528, 208)


def test_somebody_elses_newer_step_on_the_nucleus_is_not_overwritten(desk: Desk) -> None:
    other = Desk(desk.lab, desk.case, "okafor").look()
    desk.do("set counts", 1, her2=9, cep17=2)
    with pytest.raises(ConflictError, match=r"Miriam Berg changed nucleus 1 at \d\d:\d\d UTC"):
        other.do("set counts", 1, her2=4, cep17=2)
    assert desk.nucleus(1).her2 == 9
    other.do("set counts", 2, her2=4, cep17=2)  # another nucleus is nobody's business
    other.look().do("set counts", 1, her2=4, cep17=2)
    assert desk.nucleus(1).her2 == 4


def test_the_same_person_in_another_window_is_told_too(desk: Desk) -> None:
    other = Desk(desk.lab, desk.case).look()
    desk.do("exclude", 1, reason="other")
    with pytest.raises(ConflictError, match="You changed nucleus 1 in another window"):
        other.do("set counts", 1, her2=4, cep17=2)


def test_own_steps_that_did_not_come_back_yet_are_no_conflict(desk: Desk) -> None:
    desk.look()
    for her2 in (7, 8, 9):
        desk.do("set counts", 1, her2=her2, cep17=2)
    assert desk.nucleus(1).her2 == 9


def test_an_own_step_elsewhere_does_not_hide_somebody_elses(desk: Desk) -> None:
    other = Desk(desk.lab, desk.case, "okafor").look()
    desk.do("set counts", 1, her2=9, cep17=2)
    other.do("set counts", 2, her2=4, cep17=2)  # later than the unseen step
    with pytest.raises(ConflictError):
        other.do("set counts", 1, her2=4, cep17=2)


def test_undo_takes_back_only_what_was_seen_or_made(desk: Desk) -> None:
    other = Desk(desk.lab, desk.case, "okafor").look()
    desk.do("set counts", 1, her2=9, cep17=2)
    with pytest.raises(ConflictError, match="somebody else's, on nucleus 1"):
        other.do("undo")
    assert desk.nucleus(1).her2 == 9
    other.look().do("undo")
    assert desk.nucleus(1).her2 == 6
    with pytest.raises(ConflictError):
        desk.do("redo")
    assert desk.look().do("redo").nucleus_id == 1
    assert desk.nucleus(1).her2 == 9


def test_nothing_to_undo_is_no_error(desk: Desk) -> None:
    assert desk.do("undo") == desk.do("redo") == Taken(None, None)


GOOD: dict[str, Any] = {"act": "set counts", "region": 1, "nucleus": 1, "seen": 0, "her2": 1, "cep17": 1}


@pytest.mark.parametrize(
    "given",
    [
        None,
        "edit",
        [],
        {},
        GOOD | {"act": "drop table"},
        GOOD | {"region": "1"},
        GOOD | {"region": True},
        GOOD | {"nucleus": None},
        GOOD | {"seen": 1.5},
        {key: value for key, value in GOOD.items() if key != "her2"},
        GOOD | {"act": "add signal", "channel": "dapi", "x": 1, "y": 1},
        GOOD | {"act": "add signal", "channel": "her2", "x": float("nan"), "y": 1},
        GOOD | {"act": "add signal", "channel": "her2", "x": "1", "y": 1},
        GOOD | {"act": "move box", "box": [1, 2, 3]},
        GOOD | {"act": "move box", "box": "1234"},
        GOOD | {"act": "add nucleus", "box": None},
        GOOD | {"act": "add nucleus", "box": [0, 0, float("inf"), 9]},
    ],
)
def test_what_is_no_edit_is_refused_in_words(given: object) -> None:
    with pytest.raises(ScoringError, match="could not be read"):
        parse_edit(given)


def test_values_that_cannot_be_are_refused_and_nothing_is_stored(desk: Desk) -> None:
    for act, values in (
        ("set counts", {"her2": -1, "cep17": 2}),
        ("set counts", {"her2": "9", "cep17": 2}),
        ("set counts", {"her2": 5000, "cep17": 2}),
        ("set cluster", {"clustered": "yes"}),
        ("exclude", {"reason": "<b>"}),
        ("include", {}),
    ):
        with pytest.raises(Her2CoreError):
            desk.do(act, 20, **values)
    assert desk.lab.log.corrections(desk.region.id) == []


# --- messages -------------------------------------------------------------------------------------------------------


def _message(desk: Desk, *numbers: int, window: str = "w") -> dict[str, Any]:
    edits = [
        {"number": n, "act": "set counts", "region": desk.region.id, "nucleus": n, "seen": 0, "her2": n, "cep17": 1}
        for n in numbers
    ]
    return {"window": window, "region": None, "edits": edits}


def test_each_edit_is_taken_once_however_often_it_is_sent(desk: Desk) -> None:
    inbox = desk.inbox
    inbox.receive(_message(desk, 1), desk.take)
    inbox.receive(_message(desk, 1, 2), desk.take)
    inbox.receive(_message(desk, 1, 2), desk.take)
    assert inbox.upto == 2
    assert [c.nucleus_id for c in desk.lab.log.corrections(desk.region.id)] == [1, 2]


def test_a_refused_edit_is_answered_and_the_next_ones_are_taken(desk: Desk) -> None:
    message = _message(desk, 1, 2, 3)
    message["edits"][1]["her2"] = -5
    desk.inbox.receive(message, desk.take)
    assert desk.inbox.upto == 3
    assert [r.number for r in desk.inbox.refused] == [2]
    assert [c.nucleus_id for c in desk.lab.log.corrections(desk.region.id)] == [1, 3]


def test_a_new_window_starts_its_numbers_anew(desk: Desk) -> None:
    desk.inbox.receive(_message(desk, 1), desk.take)
    desk.inbox.receive(_message(desk, 2, window="another"), desk.take)
    desk.inbox.receive(_message(desk, 1, window="another"), desk.take)
    assert (desk.inbox.window, desk.inbox.upto) == ("another", 2)
    assert len(desk.lab.log.corrections(desk.region.id)) == 2


def test_an_added_nucleus_is_chosen_and_an_undone_one_too(desk: Desk) -> None:
    edit: dict[str, Any] = {"number": 1, "act": "add nucleus", "region": desk.region.id, "seen": 0}
    desk.inbox.receive({"window": "w", "edits": [edit | {"box": [330, 150, 390, 205]}]}, desk.take)
    assert (desk.inbox.select, desk.inbox.selections) == (21, 1)
    desk.inbox.receive({"window": "w", "edits": [edit | {"number": 2, "act": "undo"}]}, desk.take)
    assert desk.inbox.selections == 2
    assert desk.lab.log.corrections(desk.region.id)[-1].kind is CorrectionKind.UNDO


@pytest.mark.parametrize(
    "message",
    [
        None,
        3,
        [],
        {},
        {"window": 5},
        {"window": "w", "edits": 7},
        {"window": "w", "edits": [None, {}, {"number": True}]},
    ],
)
def test_unreadable_messages_change_nothing(desk: Desk, message: object) -> None:
    desk.inbox.receive(message, desk.take)
    assert desk.inbox.upto == 0
    assert desk.lab.log.corrections(desk.region.id) == []


def test_what_fails_for_another_reason_is_not_acknowledged(desk: Desk) -> None:
    def broken(edit: Edit) -> Taken:
        raise OSError("the disk is gone")

    with pytest.raises(OSError, match="disk"):
        desk.inbox.receive(_message(desk, 1), broken)
    assert desk.inbox.upto == 0
    desk.inbox.receive(_message(desk, 1), desk.take)
    assert len(desk.lab.log.corrections(desk.region.id)) == 1
