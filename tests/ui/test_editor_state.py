"""What the editor is told."""

from __future__ import annotations

import io
import json
from typing import Any

import numpy as np
import pytest
from PIL import Image

from her2core import workflow
from her2core.records import CorrectionKind, Exclusion, Population, RegionFlags
from her2core.ui.editor import EditorNews, Inbox, editor_state
from her2core.ui.editor.mount import javascript
from her2core.ui.editor.pictures import LONGEST_SIDE_PX, encode
from her2core.ui.review import before_confirming
from tests.pages.lab import FLAGS, NEGATIVE, POSITIVE, TestLaboratory


def _told(lab: TestLaboratory, case_id: int, region: int = 0, inbox: Inbox | None = None) -> dict[str, Any]:
    review = workflow.assess(lab.log, case_id)
    names = {person.id: person.full_name for person in lab.log.users()}
    state = editor_state(review, review.regions[region], EditorNews(names, inbox or Inbox()))
    again: dict[str, Any] = json.loads(json.dumps(state, allow_nan=False))
    return again


def test_each_nucleus_says_what_counts_now_and_what_the_ai_said(lab: TestLaboratory) -> None:
    case = lab.analysed(NEGATIVE)
    region = lab.log.regions(case.id)[0]
    made = workflow.correct(lab.log, region.id, 1, CorrectionKind.COUNTS, {"her2": 9, "cep17": 2}, lab.person("okafor"))
    told = _told(lab, case.id)
    first, second = told["nuclei"][:2]
    assert (first["her2"], first["ai"]["her2"], first["state"]) == (9, 2, "edited")
    assert first["edited"].startswith("counts set by Samuel Okafor, ")
    assert (second["her2"], second["edited"], second["state"]) == (2, "", "scored")
    assert len(second["signals"]) == 4
    assert told["seen"] == made.id
    assert told["undo"] == "set counts, nucleus 1"
    assert told["redo"] == ""
    workflow.undo_last(lab.log, region.id, lab.person("berg"))
    assert _told(lab, case.id)["redo"] == "set counts, nucleus 1"


def test_every_state_of_a_nucleus_has_a_style(lab: TestLaboratory) -> None:
    case = lab.analysed([*POSITIVE, (0, 2)])
    told = _told(lab, case.id)
    assert {n["state"] for n in told["nuclei"]} == {"scored", "not scored"}
    assert set(told["styles"]) == {"scored", "clustered", "uncertain", "edited", "not scored"}
    assert set(told["signals"]) == {"her2", "cep17"}


def test_a_nucleus_that_a_moved_box_covers_asks_to_be_looked_at_whatever_was_said_of_it(lab: TestLaboratory) -> None:
    case, by = lab.analysed(NEGATIVE), lab.person("berg")
    region = lab.log.regions(case.id)[0]
    workflow.correct(lab.log, region.id, 1, CorrectionKind.COUNTS, {"her2": 2, "cep17": 2}, by)
    x0, y0, x1, y1 = _told(lab, case.id)["nuclei"][0]["box"]
    over = [x0 + 10, y0, x1 + 10, y1]
    workflow.correct(lab.log, region.id, 2, CorrectionKind.BOX, {"box": over}, by)
    told = _told(lab, case.id)
    first, moved = told["nuclei"][:2]
    assert (first["covered"], first["state"], first["scored"]) == (True, "uncertain", True)
    assert (moved["covered"], moved["state"]) == (False, "edited")
    assert max(told["nuclei"], key=lambda n: n["doubt"])["id"] == 1
    assert told["regions"][0]["doubtful"] == 1
    assert before_confirming(workflow.assess(lab.log, case.id)) == "1 scored is overlapped by a new box"
    workflow.correct(lab.log, region.id, 1, CorrectionKind.EXCLUDE, {"reason": Exclusion.OVERLAP.value}, by)
    assert not any(n["covered"] for n in _told(lab, case.id)["nuclei"])


def test_a_nucleus_that_a_box_moved_away_from_asks_to_be_scored_before_what_is_left_out_for_good(
    lab: TestLaboratory,
) -> None:
    case, by = lab.analysed(NEGATIVE), lab.person("berg")
    region = lab.log.regions(case.id)[0]
    x0, y0, x1, y1 = _told(lab, case.id)["nuclei"][1]["box"]
    away = [x0, y0, x1, y1]
    x0, y0, x1, y1 = _told(lab, case.id)["nuclei"][0]["box"]
    workflow.correct(lab.log, region.id, 2, CorrectionKind.BOX, {"box": [x0 + 10, y0, x1 + 10, y1]}, by)
    workflow.correct(lab.log, region.id, 1, CorrectionKind.EXCLUDE, {"reason": Exclusion.OVERLAP.value}, by)
    assert not any(n["freed"] for n in _told(lab, case.id)["nuclei"])
    workflow.correct(lab.log, region.id, 2, CorrectionKind.BOX, {"box": away}, by)
    first = _told(lab, case.id)["nuclei"][0]
    assert (first["freed"], first["scored"], first["state"]) == (True, False, "not scored")
    assert 3 <= first["doubt"] < 4
    workflow.correct(lab.log, region.id, 1, CorrectionKind.INCLUDE, {}, by)
    assert not any(n["freed"] for n in _told(lab, case.id)["nuclei"])


def test_distinct_populations_are_told_apart(lab: TestLaboratory) -> None:
    case = lab.open_case()
    workflow.set_populations(
        lab.log, case.id, [Population("A", 85.0), Population("<B>", 15.0)], case.version, lab.person("berg")
    )
    lab.analyse(lab.add_region(case, NEGATIVE))
    flags = RegionFlags(True, "<B>", False, FLAGS.signal_intensity, FLAGS.overlap, True)
    lab.analyse(lab.add_region(case, POSITIVE, shade=130), flags)
    told = _told(lab, case.id)
    card, others = told["cards"].split('<div class="others">')
    assert "Group 5" in card
    assert "20 · 40 · 40" in card
    assert "Group 1" in others
    assert "&lt;B&gt;" in others
    assert "<B>" not in told["cards"]
    assert "20 · 120 · 40" in _told(lab, case.id, 1)["cards"]
    assert [r["name"] for r in told["regions"]] == ["A1", "<B>1"]  # written as text by the editor


def test_acknowledgement_and_refusal_come_with_the_state(lab: TestLaboratory) -> None:
    case = lab.analysed(NEGATIVE)
    inbox = Inbox()
    edits = [{"number": 4, "act": "nonsense"}]
    inbox.receive({"window": "w", "edits": edits}, lambda edit: pytest.fail("not an edit"))
    told = _told(lab, case.id, inbox=inbox)
    assert told["acknowledged"] == {"window": "w", "upto": 4}
    assert [r["number"] for r in told["refused"]] == [4]


def test_a_signed_case_is_read_only(lab: TestLaboratory) -> None:
    report = lab.sign(lab.ready(POSITIVE))
    assert _told(lab, report.case_id)["editable"] is False


@pytest.mark.parametrize(("size", "shown"), [((40, 60), (60, 40)), ((10, LONGEST_SIDE_PX * 2), (LONGEST_SIDE_PX, 5))])
def test_a_picture_carries_its_hash_and_is_made_smaller_only_where_it_must(
    size: tuple[int, int], shown: tuple[int, int]
) -> None:
    pixels = np.zeros((*size, 3), dtype=np.uint8)
    pixels[..., 0] = 200
    packed = encode(pixels, "f" * 64)
    assert packed[:64] == b"f" * 64
    with Image.open(io.BytesIO(packed[64:])) as picture:
        assert picture.size == shown
        red, green, blue = np.asarray(picture)[2, 5]
    assert (abs(int(red) - 200) <= 2, green <= 2, blue <= 2) == (True, True, True)


def test_the_editor_comes_with_the_package_and_fetches_nothing() -> None:
    script = javascript()
    assert "export default function" in script
    for foreign in ("http://", "https://", "import ", "eval(", "fetch("):
        assert foreign not in script, foreign
