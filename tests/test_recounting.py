"""The second observer in the case log: counts kept as they are made, handed in once, and what stands after changes."""

# ruff: noqa: F811 (fixtures are imported, and named again where they are used)

from __future__ import annotations

import contextlib
import csv
import io
import re
from collections.abc import Mapping
from concurrent.futures import ThreadPoolExecutor
from dataclasses import replace
from datetime import UTC, datetime
from threading import Barrier, BrokenBarrierError
from typing import Any

import pypdfium2
import pytest

from her2core import workflow
from her2core.caselog import RecountedNucleus, RecountRecord, StatementKind
from her2core.caselog.lookup import Query
from her2core.errors import ConflictError, PermissionDeniedError, ScoringError, WrongStateError
from her2core.laboratory.ledger import read_lines
from her2core.records import IHC, Case, CaseState, CorrectionKind, Exclusion, Population, Role, Tally, User
from her2core.scoring import Outcome
from her2core.settings import load_settings
from her2core.workflow import COUNT_PATTERN, MOST_SIGNALS, Counts, recounting, typed_count
from tests.pages.conftest import lab, no_waiting_for_the_disk, template  # noqa: F401 (fixtures)
from tests.pages.lab import FLAGS, GROUP_3, GROUP_4, IHC_SAME, NEGATIVE, POSITIVE, TestLaboratory, release

AT = datetime(2026, 11, 29, 9, 30, tzinfo=UTC)


def region_of(lab: TestLaboratory, case: Case) -> int:
    return lab.log.regions(case.id)[0].id


def count(
    lab: TestLaboratory, case: Case, counts: Mapping[int, tuple[int | None, int | None]], name: str = "okafor"
) -> None:
    region = region_of(lab, case)
    given = {(region, nucleus): pair for nucleus, pair in counts.items()}
    workflow.count_blinded(lab.log, case.id, given, lab.person(name))


def so_far(lab: TestLaboratory, case: Case, name: str = "okafor") -> Counts:
    return workflow.blinded_recount(lab.log, case.id, lab.person(name))[1]


def third(lab: TestLaboratory) -> User:
    """Another pathologist, who is nobody's observer yet."""
    lab.accounts.add_user("ito", "Kana Ito", "MD", Role.PATHOLOGIST, "long secret of ito 42", None)
    return lab.person("ito")


def full(pair: tuple[int, int]) -> dict[int, tuple[int, int]]:
    return dict.fromkeys(range(1, 21), pair)


def recounted(lab: TestLaboratory, case: Case, pair: tuple[int, int], name: str = "okafor") -> None:
    count(lab, case, full(pair), name)
    workflow.hand_in_recount(lab.log, case.id, "A", lab.person(name))


def with_cut_nuclei(lab: TestLaboratory, whole: int = 20) -> Case:
    """Group 3 in nuclei 1 to 22; those after `whole` are cut by the left edge. The first observer left out 20 and took
    in all cut ones but 21."""
    case = lab.analysed([*GROUP_3, (6, 4), (6, 4)], **IHC_SAME)
    region, berg = region_of(lab, case), lab.person("berg")
    analysis = lab.log.analysis(region)
    assert analysis is not None
    nuclei = tuple(
        replace(n, box=(0.0, n.box[1], 40.0, n.box[3]), scored=False, reason=Exclusion.EDGE) if n.id > whole else n
        for n in analysis.nuclei
    )
    lab.log.save_analysis(region, replace(analysis, nuclei=nuclei), berg)
    workflow.correct(lab.log, region, 20, CorrectionKind.EXCLUDE, {"reason": Exclusion.EDGE.value}, berg)
    for cut in (n.id for n in nuclei if n.reason is Exclusion.EDGE and n.id != 21):
        workflow.correct(lab.log, region, cut, CorrectionKind.INCLUDE, {}, berg)
    workflow.confirm_review(lab.log, case.id, lab.log.case(case.id).version, berg)
    return lab.log.case(case.id)


def outcome(lab: TestLaboratory, case: Case) -> Outcome:
    assessment = workflow.assess(lab.log, case.id).assessment
    assert assessment is not None
    return assessment.outcome


# --- kept as it is made -----------------------------------------------------------------------------------------------


def test_counts_are_kept_changed_and_taken_out(lab: TestLaboratory) -> None:
    case = lab.reviewed(GROUP_3, **IHC_SAME)
    region = region_of(lab, case)
    version = lab.log.case(case.id).version
    count(lab, case, {1: (6, None), 2: (5, 4)})
    count(lab, case, {1: (6, 4)})
    count(lab, case, {2: (None, None)})
    assert so_far(lab, case) == {(region, 1): (6, 4)}
    assert lab.log.recounts(case.id) == []
    assert lab.log.case(case.id).version == version  # nobody else's work is disturbed
    assert list(lab.log.check()) == []


def test_each_observer_has_an_own_recount(lab: TestLaboratory) -> None:
    case = lab.reviewed(GROUP_3, **IHC_SAME)
    third(lab)
    count(lab, case, {1: (6, 4)})
    count(lab, case, {1: (2, 2), 2: (3, 3)}, "ito")
    region = region_of(lab, case)
    assert so_far(lab, case) == {(region, 1): (6, 4)}
    assert so_far(lab, case, "ito") == {(region, 1): (2, 2), (region, 2): (3, 3)}
    begun = workflow.open_recounts(lab.log, case.id, {region: "A"})
    assert {(b.observer_id, b.nuclei) for b in begun} == {(lab.person("okafor").id, 1), (lab.person("ito").id, 2)}


@pytest.mark.parametrize(
    "counts",
    [{99: (6, 4)}, {1: (-1, 4)}, {1: (6, 201)}, {1: (True, 4)}, {1: (2.5, 4)}, {1: ("6", 4)}],
)
def test_what_is_no_count_of_a_boxed_nucleus_is_refused(
    lab: TestLaboratory, counts: dict[int, tuple[int, int]]
) -> None:
    case = lab.reviewed(GROUP_3, **IHC_SAME)
    with pytest.raises(ScoringError):
        count(lab, case, {2: (6, 4), **counts})
    assert so_far(lab, case) == {}


@pytest.mark.parametrize(
    ("text", "count"),
    [("0", 0), ("6", 6), (" 12 ", 12), ("006", 6), ("99", 99), ("199", 199), ("200", 200), ("", None), ("  ", None)],
)
def test_a_whole_number_that_was_typed_is_the_count(text: str, count: int | None) -> None:
    assert typed_count(text) == count


@pytest.mark.parametrize(
    "text", ["2.5", "2,5", "-5", "+5", "201", "999", "1000", "1e1", "6 4", "many", "²", "٣", "0x6", "nan"]
)
def test_of_anything_else_that_was_typed_no_count_is_made(text: str) -> None:
    with pytest.raises(ScoringError, match="is not a whole number from 0 to 200"):
        typed_count(text)


def test_the_browser_takes_for_a_count_what_the_server_takes() -> None:
    taken = [number for number in range(-5, 1200) if re.match(COUNT_PATTERN, str(number))]
    assert taken == list(range(MOST_SIGNALS + 1))


def test_nuclei_cut_by_the_image_edge_are_not_offered_whatever_the_first_observer_made_of_them(
    lab: TestLaboratory,
) -> None:
    case = with_cut_nuclei(lab)
    assert case.state is CaseState.PENDING_RECOUNT
    (region,), *_ = workflow.blinded_recount(lab.log, case.id, lab.person("okafor"))
    assert [nucleus for nucleus, _ in region.boxes] == list(range(1, 21))
    with pytest.raises(ScoringError, match="Nucleus 22 is not among those"):
        count(lab, case, {22: (6, 4)})


def test_where_too_few_nuclei_are_whole_those_cut_by_the_edge_are_offered_so_that_a_recount_can_be_handed_in(
    lab: TestLaboratory,
) -> None:
    case = with_cut_nuclei(lab, whole=19)
    assert case.state is CaseState.PENDING_RECOUNT
    (region,), *_ = workflow.blinded_recount(lab.log, case.id, lab.person("okafor"))
    assert [nucleus for nucleus, _ in region.boxes] == list(range(1, 23))
    recounted(lab, case, (6, 4))
    assert outcome(lab, case) is not Outcome.PENDING_RECOUNT


def test_those_cut_by_the_edge_are_offered_once_too_few_of_the_whole_ones_can_be_counted(lab: TestLaboratory) -> None:
    case = with_cut_nuclei(lab, whole=20)
    region, okafor = region_of(lab, case), lab.person("okafor")

    def offered() -> int:
        (shown,), *_ = workflow.blinded_recount(lab.log, case.id, okafor)
        return len(shown.boxes)

    before = offered()
    assert before == 20
    workflow.leave_out_blinded(lab.log, case.id, region, 3, okafor)
    assert offered() > 20
    workflow.count_blinded(lab.log, case.id, {(region, 3): (6, 4)}, okafor)  # none is left out any more
    assert offered() == 20
    workflow.count_blinded(lab.log, case.id, {(region, 3): (6, 0)}, okafor)  # cannot be scored either
    assert offered() > 20
    workflow.count_blinded(lab.log, case.id, {(region, 22): (6, 4)}, okafor)
    workflow.count_blinded(lab.log, case.id, {(region, 3): (6, 4)}, okafor)
    assert offered() > 20  # what is counted is not taken away
    assert so_far(lab, case)[(region, 22)] == (6, 4)
    given = {(region, n): (6, 4) for n in range(1, 21)}
    workflow.count_blinded(lab.log, case.id, given, okafor)
    assert workflow.hand_in_recount(lab.log, case.id, "A", okafor).tally == Tally(21, 126, 84)


def test_what_is_left_out_is_known_until_it_is_counted_or_analysed_anew(lab: TestLaboratory) -> None:
    case = lab.reviewed(GROUP_3, **IHC_SAME)
    region, okafor = region_of(lab, case), lab.person("okafor")
    count(lab, case, {2: (5, 4), 3: (5, 4)})
    for nucleus in (2, 4):
        workflow.leave_out_blinded(lab.log, case.id, region, nucleus, okafor)
    assert workflow.blinded_recount(lab.log, case.id, okafor).left_out == {(region, 2), (region, 4)}
    assert so_far(lab, case) == {(region, 3): (5, 4)}
    count(lab, case, {4: (6, 4)})
    assert workflow.blinded_recount(lab.log, case.id, okafor).left_out == {(region, 2)}
    assert workflow.blinded_recount(lab.log, case.id, third(lab)).left_out == set()
    with pytest.raises(ScoringError, match="Nucleus 99 is not among those"):
        workflow.leave_out_blinded(lab.log, case.id, region, 99, okafor)
    with pytest.raises(PermissionDeniedError):
        workflow.leave_out_blinded(lab.log, case.id, region, 1, lab.person("berg"))
    lab.analyse(lab.log.regions(case.id)[0])
    workflow.confirm_review(lab.log, case.id, lab.log.case(case.id).version, lab.person("berg"))
    assert workflow.blinded_recount(lab.log, case.id, okafor).left_out == set()
    assert list(lab.log.check()) == []


def test_nobody_who_is_not_blinded_can_count_or_read_counts(lab: TestLaboratory) -> None:
    case = lab.reviewed(GROUP_3, **IHC_SAME)
    count(lab, case, {1: (6, 4)})
    for name in ("berg", "lind", "nair"):
        with pytest.raises(PermissionDeniedError):
            count(lab, case, {1: (6, 4)}, name)
        with pytest.raises(PermissionDeniedError):
            so_far(lab, case, name)


def test_a_new_analysis_of_the_region_sets_its_counts_aside(lab: TestLaboratory) -> None:
    case = lab.reviewed(GROUP_3, **IHC_SAME)
    count(lab, case, {1: (6, 4)})
    lab.analyse(lab.log.regions(case.id)[0])
    workflow.confirm_review(lab.log, case.id, lab.log.case(case.id).version, lab.person("berg"))
    assert lab.log.case(case.id).state is CaseState.PENDING_RECOUNT
    assert so_far(lab, case) == {}


def test_counts_outlive_a_correction_of_the_first_observer(lab: TestLaboratory) -> None:
    case = lab.reviewed(GROUP_3, **IHC_SAME)
    region, berg = region_of(lab, case), lab.person("berg")
    count(lab, case, {1: (6, 4)})
    workflow.correct(lab.log, region, 2, CorrectionKind.COUNTS, {"her2": 7, "cep17": 4}, berg)
    with pytest.raises(PermissionDeniedError, match="No recount is due"):
        so_far(lab, case)
    workflow.confirm_review(lab.log, case.id, lab.log.case(case.id).version, berg)
    assert so_far(lab, case) == {(region, 1): (6, 4)}


# --- handed in --------------------------------------------------------------------------------------------------------


def test_handing_in_makes_the_record_once(lab: TestLaboratory) -> None:
    case = lab.reviewed(GROUP_3, **IHC_SAME)
    count(lab, case, {**full((6, 4)), 3: (0, 4)})
    with pytest.raises(ScoringError, match="there are 19 so far"):
        workflow.hand_in_recount(lab.log, case.id, "A", lab.person("okafor"))
    count(lab, case, {3: (6, 4)})
    first, second = (workflow.hand_in_recount(lab.log, case.id, "A", lab.person("okafor")) for _ in range(2))
    assert first.id == second.id
    assert (first.tally.n, first.tally.her2, first.tally.cep17) == (20, 120, 80)
    assert outcome(lab, case) is Outcome.POSITIVE  # Group 3, IHC 2+, confirmed


def test_two_hand_ins_at_the_same_moment_store_one_recount(
    lab: TestLaboratory, monkeypatch: pytest.MonkeyPatch
) -> None:
    """The second one starts while the first has checked everything and written nothing."""
    case = lab.reviewed(GROUP_3, **IHC_SAME)
    count(lab, case, full((6, 4)))
    okafor, checked = lab.person("okafor"), Barrier(2, timeout=30)
    save = lab.log.save_recount

    def together(*args: Any, **kwargs: Any) -> RecountRecord:
        with contextlib.suppress(BrokenBarrierError):  # only the first two meet
            checked.wait()
        checked.abort()
        return save(*args, **kwargs)

    monkeypatch.setattr(lab.log, "save_recount", together)
    with ThreadPoolExecutor(2) as windows:
        handed_in = [windows.submit(workflow.hand_in_recount, lab.log, case.id, "A", okafor) for _ in range(2)]
        ids = {future.result(60).id for future in handed_in}
    assert ids == {record.id for record in lab.log.recounts(case.id)}
    assert len(ids) == 1
    assert list(lab.log.check()) == []


def test_a_hand_in_between_two_checks_of_another_is_given_back_by_it(
    lab: TestLaboratory, monkeypatch: pytest.MonkeyPatch
) -> None:
    case = lab.reviewed(GROUP_3, **IHC_SAME)
    count(lab, case, full((6, 4)))
    okafor, read = lab.person("okafor"), recounting.blinded_recount
    others: list[RecountRecord] = []

    def after_the_other(*args: Any) -> Any:
        monkeypatch.setattr(recounting, "blinded_recount", read)
        others.append(workflow.hand_in_recount(lab.log, case.id, "A", okafor))
        return read(*args)

    monkeypatch.setattr(recounting, "blinded_recount", after_the_other)
    assert workflow.hand_in_recount(lab.log, case.id, "A", okafor) == others[0]
    assert [record.id for record in lab.log.recounts(case.id)] == [others[0].id]


def test_the_later_of_two_observers_is_told_that_the_recount_is_there(lab: TestLaboratory) -> None:
    """The other's record is written, and the state of the case not yet derived from it."""
    case = lab.reviewed(GROUP_3, **IHC_SAME)
    ito, region = third(lab), region_of(lab, case)
    for name in ("okafor", "ito"):
        count(lab, case, full((6, 4)), name)
    nuclei = [RecountedNucleus(region, nucleus, 6, 4) for nucleus in range(1, 21)]
    lab.log.save_recount(case.id, "A", Tally(20, 120, 80), lab.person("okafor"), nuclei=nuclei)
    with pytest.raises(WrongStateError, match="waits for no recount any more"):
        workflow.hand_in_recount(lab.log, case.id, "A", ito)
    assert [record.observer_id for record in lab.log.recounts(case.id)] == [lab.person("okafor").id]


def test_twenty_nuclei_are_twenty_different_ones_of_this_case(lab: TestLaboratory) -> None:
    case = lab.reviewed(GROUP_3, **IHC_SAME)
    region, okafor = region_of(lab, case), lab.person("okafor")
    with pytest.raises(ScoringError, match="counted twice"):
        workflow.save_blinded_recount(lab.log, case.id, "A", [RecountedNucleus(region, 1, 6, 4)] * 20, okafor)
    with pytest.raises(ScoringError, match="not among those"):
        made_up = [RecountedNucleus(region, nucleus, 6, 4) for nucleus in range(101, 121)]
        workflow.save_blinded_recount(lab.log, case.id, "A", made_up, okafor)
    assert lab.log.recounts(case.id) == []


def test_who_can_recount_is_known_and_can_be_nobody(lab: TestLaboratory) -> None:
    case = lab.reviewed(GROUP_3, **IHC_SAME)
    assert [user.username for user in workflow.who_may_recount(lab.log, case.id)] == ["okafor"]
    workflow.note_counts_seen(lab.log, case.id, lab.person("okafor"))
    assert workflow.who_may_recount(lab.log, case.id) == ()


def test_a_look_at_a_case_without_counts_leaves_one_blinded(lab: TestLaboratory) -> None:
    okafor = lab.person("okafor")
    case = lab.open_case()
    region = lab.add_region(case, GROUP_3)
    workflow.note_counts_seen(lab.log, case.id, okafor)
    assert not workflow.saw_counts(lab.log, case.id, okafor)
    lab.analyse(region)
    workflow.note_counts_seen(lab.log, case.id, okafor)
    assert workflow.saw_counts(lab.log, case.id, okafor)


# --- adjudicated ------------------------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("category", "group", "reason"),
    [(Outcome.NEGATIVE, 1, "seen together"), (Outcome.POSITIVE, 5, "seen together"), (Outcome.POSITIVE, 1, "  ")],
)
def test_an_adjudication_that_cannot_be_is_refused_and_the_case_stays_readable(
    lab: TestLaboratory, category: Outcome, group: int, reason: str
) -> None:
    case = lab.reviewed(GROUP_4, **IHC_SAME)
    recounted(lab, case, (6, 2))
    with pytest.raises(ScoringError):
        workflow.adjudicate(lab.log, case.id, "A", category, group, reason, lab.person("berg"))
    assert lab.log.adjudications(case.id) == []
    assert outcome(lab, case) is Outcome.PENDING_ADJUDICATION


def test_a_decision_between_two_counts_falls_when_a_count_changes(lab: TestLaboratory) -> None:
    case = lab.reviewed(GROUP_4, **IHC_SAME)
    berg = lab.person("berg")
    recounted(lab, case, (6, 2))
    workflow.adjudicate(lab.log, case.id, "A", Outcome.POSITIVE, 1, "recounted together", berg)
    assert outcome(lab, case) is Outcome.POSITIVE
    workflow.correct(
        lab.log, region_of(lab, case), 1, CorrectionKind.COUNTS, {"her2": 5, "cep17": 3}, berg, "seen at 100x"
    )
    workflow.confirm_review(lab.log, case.id, lab.log.case(case.id).version, berg)
    assert lab.log.case(case.id).state is CaseState.PENDING_ADJUDICATION


def test_a_discordant_recount_that_was_counted_away_is_read_before_signing_and_printed(lab: TestLaboratory) -> None:
    case = lab.reviewed(GROUP_4, **IHC_SAME)
    berg = lab.person("berg")
    recounted(lab, case, (6, 2))
    assert outcome(lab, case) is Outcome.PENDING_ADJUDICATION
    workflow.correct(lab.log, region_of(lab, case), 1, CorrectionKind.COUNTS, {"her2": 3, "cep17": 3}, berg)
    workflow.confirm_review(lab.log, case.id, lab.log.case(case.id).version, berg)
    review = workflow.assess(lab.log, case.id)
    assert review.assessment is not None
    assert (review.assessment.group, review.assessment.outcome) == (5, Outcome.NEGATIVE)  # by the guideline's rule
    workflow.attest(lab.log, case.id, berg, True)
    passed_over = "the blinded recount (20 nuclei, 120 HER2 and 40 CEP17 signals) is Group 1"
    (warning,) = [w for w in workflow.assess(lab.log, case.id).warnings if passed_over in w.text]
    for other in workflow.assess(lab.log, case.id).warnings:
        if other != warning:
            workflow.acknowledge(lab.log, case.id, other, berg)
    with pytest.raises(WrongStateError, match="warning"):
        lab.sign(case)
    workflow.acknowledge(lab.log, case.id, warning, berg)
    document = pypdfium2.PdfDocument(lab.log.report_pdf(lab.sign(case).id))
    said = " ".join(" ".join(page.get_textpage().get_text_bounded() for page in document).split())
    document.close()
    assert passed_over in said


def test_an_adjudicated_group_is_that_of_lists_and_of_what_other_systems_are_told(lab: TestLaboratory) -> None:
    case, berg = lab.reviewed(GROUP_4, **IHC_SAME), lab.person("berg")
    recounted(lab, case, (6, 2))
    workflow.adjudicate(lab.log, case.id, "A", Outcome.POSITIVE, 1, "read together", berg)
    workflow.attest(lab.log, case.id, berg, True)
    read_warnings(lab, case)
    report = lab.sign(case)
    assert (report.summary["group"], report.summary["deciding"]) == (1, "A")
    assert report.summary["populations"]["A"]["group"] == 4  # of the first count, whose numbers stand beside it
    assert lab.log.look_up(Query("S26-001"))[0].group == 1
    message = release(lab.log, case.id, workflow.Format.HL7, workflow.laboratory_of(load_settings()), None)
    groups = [line.split("|")[4:6] for line in message.split("\r") if "ish-group" in line]
    assert groups == [["", "1"], ["A", "4"]]
    (row,) = csv.DictReader(io.StringIO(workflow.csv_of(lab.log, [case.id], berg).data.decode()))
    assert (row["group"], row["counted_group"], row["recount_group"]) == ("1", "4", "1")


@pytest.mark.parametrize(
    ("name", "by"),
    [
        ("berg", "Miriam Berg (who made the first count)"),
        ("okafor", "Samuel Okafor (who made the blinded recount)"),
        ("ito", "Kana Ito"),
    ],
)
def test_a_report_names_who_adjudicated_when_and_the_group_held_right(lab: TestLaboratory, name: str, by: str) -> None:
    case, berg = lab.reviewed(GROUP_4, **IHC_SAME), lab.person("berg")
    recounted(lab, case, (6, 2))
    third(lab)
    workflow.adjudicate(lab.log, case.id, "A", Outcome.POSITIVE, 1, "read together", lab.person(name))
    review = workflow.assess(lab.log, case.id)
    content = workflow.build_content(lab.log, review, workflow.laboratory_of(load_settings()), berg, "", AT)
    day = f"{review.adjudications[-1].at.astimezone():%d %b %Y}"
    assert content.populations[0].path[-1] == (
        f"The two counts fall into different groups; adjudicated as Group 1 by {by} on {day}: the tumour is HER2 "
        "positive. Reason: read together"
    )


def test_a_decision_can_be_mended_until_the_report_is_signed(lab: TestLaboratory) -> None:
    case, berg = lab.reviewed(GROUP_4, **IHC_SAME), lab.person("berg")
    with pytest.raises(WrongStateError, match="leave nothing to decide"):
        workflow.adjudicate(lab.log, case.id, "A", Outcome.POSITIVE, 1, "too early", berg)
    recounted(lab, case, (6, 2))
    workflow.adjudicate(lab.log, case.id, "A", Outcome.POSITIVE, 1, "recounted together", berg)
    workflow.attest(lab.log, case.id, berg, True)
    workflow.adjudicate(lab.log, case.id, "A", Outcome.NEGATIVE, 4, "the wrong group was chosen", berg)
    review = workflow.assess(lab.log, case.id)
    assert outcome(lab, case) is Outcome.NEGATIVE
    assert review.attested is None  # that was said of the positive result
    assert [(a.category, a.group) for a in lab.log.adjudications(case.id)] == [("positive", 1), ("negative", 4)]
    workflow.attest(lab.log, case.id, berg, True)
    read_warnings(lab, case)
    lab.sign(case)
    with pytest.raises(WrongStateError, match="signed"):
        workflow.adjudicate(lab.log, case.id, "A", Outcome.POSITIVE, 1, "after the signature", berg)
    assert len(lab.log.adjudications(case.id)) == 2


def test_no_decision_is_taken_where_the_recount_agrees(lab: TestLaboratory) -> None:
    case = lab.reviewed(GROUP_3, **IHC_SAME)
    recounted(lab, case, (6, 4))
    with pytest.raises(WrongStateError, match="leave nothing to decide"):
        workflow.adjudicate(lab.log, case.id, "A", Outcome.NEGATIVE, 4, "why not", lab.person("berg"))


# --- under an open amendment ------------------------------------------------------------------------------------------


def amended(lab: TestLaboratory, case: Case, name: str, reason: str = "wrong block number") -> None:
    person = lab.person(name)
    workflow.amend(lab.log, case.id, reason, lab.log.case(case.id).version, person)


def confirmed(lab: TestLaboratory, case: Case, name: str) -> None:
    workflow.confirm_review(lab.log, case.id, lab.log.case(case.id).version, lab.person(name))


def read_warnings(lab: TestLaboratory, case: Case, name: str = "berg") -> None:
    for warning in workflow.assess(lab.log, case.id).warnings:
        if not warning.acknowledged:
            workflow.acknowledge(lab.log, case.id, warning, lab.person(name))


def test_late_ihc_2_under_an_amendment_leads_through_a_recount_to_an_amended_report(lab: TestLaboratory) -> None:
    case = lab.ready(GROUP_3, ihc=IHC.ONE_PLUS, ihc_same_sample=True)
    first = lab.sign(case)
    amended(lab, case, "berg", "IHC read again: 2+")
    changed = replace(lab.log.case(case.id).details, ihc=IHC.TWO_PLUS)
    workflow.set_details(lab.log, case.id, changed, lab.log.case(case.id).version, lab.person("berg"))
    confirmed(lab, case, "berg")
    assert lab.log.case(case.id).state is CaseState.PENDING_RECOUNT
    summary = lab.log.look_up(Query("S26-001"))[0]
    assert (summary.group, summary.outcome, summary.amending) == (None, "pending recount", True)
    count(lab, case, full((6, 4)))
    assert len(so_far(lab, case)) == 20
    with pytest.raises(WrongStateError):
        lab.sign(case)
    workflow.hand_in_recount(lab.log, case.id, "A", lab.person("okafor"))
    assert outcome(lab, case) is Outcome.POSITIVE
    workflow.attest(lab.log, case.id, lab.person("berg"), True)  # the result is another one than was attested before
    read_warnings(lab, case)
    second = lab.sign(case)
    assert (second.kind.value, second.replaces_id) == ("amended", first.id)
    assert second.summary["headline"] == "HER2 positive: ISH Group 3, IHC 2+, confirmed by blinded recount"
    assert list(lab.log.check()) == []


def test_whoever_saw_the_signed_counts_cannot_recount_under_the_amendment(lab: TestLaboratory) -> None:
    case = lab.ready(GROUP_3, ihc=IHC.ONE_PLUS, ihc_same_sample=True)
    lab.sign(case)
    workflow.note_counts_seen(lab.log, case.id, lab.person("okafor"))
    amended(lab, case, "berg")
    changed = replace(lab.log.case(case.id).details, ihc=IHC.TWO_PLUS)
    workflow.set_details(lab.log, case.id, changed, lab.log.case(case.id).version, lab.person("berg"))
    confirmed(lab, case, "berg")
    with pytest.raises(PermissionDeniedError, match="seen the first counts"):
        count(lab, case, {1: (6, 4)})


def signed_after_recount(lab: TestLaboratory) -> Case:
    case = lab.reviewed(GROUP_3, **IHC_SAME)
    recounted(lab, case, (6, 4))
    workflow.attest(lab.log, case.id, lab.person("berg"), True)
    read_warnings(lab, case)
    lab.sign(case)
    return lab.log.case(case.id)


def test_the_second_observer_may_amend_and_confirm_without_undoing_the_own_recount(lab: TestLaboratory) -> None:
    """Otherwise a laboratory with two pathologists could not amend such a report while one of them is away."""
    case = signed_after_recount(lab)
    amended(lab, case, "okafor")
    confirmed(lab, case, "okafor")
    assert outcome(lab, case) is Outcome.POSITIVE
    read_warnings(lab, case, "okafor")
    report = lab.sign(case, "okafor")
    assert report.kind.value == "amended"


def test_the_second_observer_who_changes_a_first_count_is_independent_no_more(lab: TestLaboratory) -> None:
    case = signed_after_recount(lab)
    amended(lab, case, "okafor")
    values = {"her2": 7, "cep17": 4}
    workflow.correct(lab.log, region_of(lab, case), 1, CorrectionKind.COUNTS, values, lab.person("okafor"), "seen")
    confirmed(lab, case, "okafor")
    assessment = workflow.assess(lab.log, case.id).assessment
    assert assessment is not None
    assert assessment.outcome is Outcome.PENDING_RECOUNT
    assert "took part in the first count" in (assessment.populations[0].recount_problem or "")


def test_whoever_confirmed_first_and_recounts_then_is_no_second_observer(lab: TestLaboratory) -> None:
    case = lab.analysed(GROUP_3, **IHC_SAME)
    confirmed(lab, case, "okafor")
    with pytest.raises(PermissionDeniedError, match="took part in the first count"):
        count(lab, case, {1: (6, 4)})


# --- what was attested ------------------------------------------------------------------------------------------------


def test_the_attestation_is_about_the_result_it_was_made_of(lab: TestLaboratory) -> None:
    case = lab.ready(POSITIVE)
    berg, region = lab.person("berg"), region_of(lab, case)
    assert workflow.assess(lab.log, case.id).attested is True
    for nucleus in range(1, 21):
        workflow.correct(lab.log, region, nucleus, CorrectionKind.COUNTS, {"her2": 2, "cep17": 2}, berg)
    confirmed(lab, case, "berg")
    review = workflow.assess(lab.log, case.id)
    assert review.attested is None
    assert any("fits the histology" in line for line in review.obstacles)
    workflow.attest(lab.log, case.id, berg, True)
    read_warnings(lab, case)
    assert lab.sign(case).summary["outcome"] == "negative"


def test_the_attestation_outlives_a_change_that_leaves_the_result(lab: TestLaboratory) -> None:
    case = lab.ready(POSITIVE)
    values = {"her2": 6, "cep17": 3}
    workflow.correct(lab.log, region_of(lab, case), 1, CorrectionKind.COUNTS, values, lab.person("berg"))
    assert workflow.assess(lab.log, case.id).state is CaseState.ANALYSED
    confirmed(lab, case, "berg")
    assert workflow.assess(lab.log, case.id).attested is True


# --- two people at one case -------------------------------------------------------------------------------------------


def test_a_step_on_an_older_state_is_refused_where_another_person_changed_the_case(lab: TestLaboratory) -> None:
    case = lab.reviewed(GROUP_4)
    berg, okafor = lab.person("berg"), lab.person("okafor")
    workflow.check_unchanged(lab.log, case.id, case.version, berg)
    workflow.set_details(lab.log, case.id, replace(case.details, ihc=IHC.THREE_PLUS), case.version, okafor)
    with pytest.raises(ConflictError, match="Samuel Okafor changed this case"):
        workflow.check_unchanged(lab.log, case.id, case.version, berg)
    workflow.check_unchanged(lab.log, case.id, case.version, okafor)  # the own change is no conflict
    workflow.check_unchanged(lab.log, case.id, lab.log.case(case.id).version, berg)


def test_a_change_of_another_person_is_told_although_own_ones_followed(lab: TestLaboratory) -> None:
    case = lab.reviewed(GROUP_4)
    berg, okafor = lab.person("berg"), lab.person("okafor")
    workflow.set_details(lab.log, case.id, replace(case.details, ihc=IHC.THREE_PLUS), case.version, okafor)
    theirs = lab.log.case(case.id).version
    workflow.correct(lab.log, region_of(lab, case), 1, CorrectionKind.COUNTS, {"her2": 3, "cep17": 2}, berg)
    confirmed(lab, case, "berg")  # state and result follow, which are no versions
    for _ in range(60):
        lab.log.note("case opened", berg, case.id)
    with pytest.raises(ConflictError, match="Samuel Okafor changed this case"):
        workflow.check_unchanged(lab.log, case.id, case.version, berg)
    workflow.check_unchanged(lab.log, case.id, theirs, berg)
    with pytest.raises(ConflictError, match="Miriam Berg changed this case"):
        workflow.check_unchanged(lab.log, case.id, theirs, okafor)


# --- comments ---------------------------------------------------------------------------------------------------------


def comment_of(lab: TestLaboratory, case: Case) -> workflow.ReportComment:
    review = workflow.assess(lab.log, case.id)
    assert review.assessment is not None
    comment = workflow.report_comment(review, review.assessment.populations[0])
    assert comment is not None
    return comment


def test_an_own_wording_is_stored_shown_as_edited_and_printed(lab: TestLaboratory) -> None:
    case = lab.reviewed(GROUP_4, ihc=IHC.ONE_PLUS, ihc_same_sample=True)
    assert (comment_of(lab, case).letter, comment_of(lab, case).edited) == ("C", False)
    workflow.set_comment(lab.log, case.id, "A", "C", "Our own words about this tumour.", lab.person("berg"))
    comment = comment_of(lab, case)
    assert (comment.text, comment.edited, comment.by_user_id) == (
        "Our own words about this tumour.", True, lab.person("berg").id,
    )  # fmt: skip
    content, pdf = workflow.draft_report(lab.log, case.id, workflow.laboratory_of(load_settings()), lab.person("berg"))
    assert content.populations[0].comment == "Our own words about this tumour."
    assert content.populations[0].comment_letter == "C, worded by the pathologist"
    assert "Our own words about this tumour." in text_of(pdf)
    workflow.set_comment(lab.log, case.id, "A", "C", "", lab.person("berg"))
    assert (comment_of(lab, case).edited, comment_of(lab, case).text) == (False, comment.standard)


def test_a_wording_of_one_comment_is_not_printed_under_another(lab: TestLaboratory) -> None:
    case = lab.reviewed(GROUP_4, ihc=IHC.ONE_PLUS, ihc_same_sample=True)
    berg = lab.person("berg")
    workflow.set_comment(lab.log, case.id, "A", "C", "About Group 4.", berg)
    for nucleus in range(1, 21):
        workflow.correct(lab.log, region_of(lab, case), nucleus, CorrectionKind.COUNTS, {"her2": 2, "cep17": 1}, berg)
    confirmed(lab, case, "berg")
    assert (comment_of(lab, case).letter, comment_of(lab, case).edited) == ("A", False)
    assert lab.log.statement(case.id, StatementKind.COMMENT, "A C") is not None  # kept all the same


# --- what was changed of what the AI said -----------------------------------------------------------------------------


def test_the_differences_name_each_changed_nucleus_and_both_totals(lab: TestLaboratory) -> None:
    case = lab.analysed(POSITIVE)
    berg, region = lab.person("berg"), region_of(lab, case)
    assert workflow.nucleus_differences(workflow.assess(lab.log, case.id)) == ()
    workflow.correct(lab.log, region, 3, CorrectionKind.COUNTS, {"her2": 9, "cep17": 2}, berg, "seen at 100x")
    workflow.correct(lab.log, region, 5, CorrectionKind.EXCLUDE, {"reason": "out of focus"}, berg)
    workflow.correct(lab.log, region, 7, CorrectionKind.CLUSTER, {"clustered": True}, berg)
    review = workflow.assess(lab.log, case.id)
    found = workflow.nucleus_differences(review)
    assert [(d.region, d.final.id, d.changes, d.reasons) for d in found] == [
        ("A1", 3, ("HER2 6 → 9",), ("seen at 100x",)),
        ("A1", 5, ("not scored: out of focus",), ()),
        ("A1", 7, ("marked as cluster",), ()),
    ]
    assert {d.by_user_ids for d in found} == {(berg.id,)}
    (totals,) = workflow.totals_differences(review)
    assert (totals.ai.n, totals.ai.her2, totals.final.n, totals.final.her2) == (20, 120, 19, 117)
    assert (totals.nuclei, totals.nuclei_changed, totals.final_group) == (20, 3, 1)


def text_of(pdf: bytes) -> str:
    document = pypdfium2.PdfDocument(pdf)
    try:
        return " ".join(" ".join(page.get_textpage().get_text_bounded().split()) for page in document)
    finally:
        document.close()


def test_the_figures_of_an_adjudicated_case_are_of_the_population_that_decided_it(lab: TestLaboratory) -> None:
    """Its group is then that of no count, so it cannot be told by the group."""
    berg, case = lab.person("berg"), lab.open_case(**IHC_SAME)
    both = [Population("A", 60.0), Population("B", 40.0)]
    workflow.set_populations(lab.log, case.id, both, case.version, berg)
    lab.analyse(lab.add_region(case, NEGATIVE), replace(FLAGS, heterogeneous=True))
    lab.analyse(lab.add_region(case, GROUP_4, shade=130), replace(FLAGS, heterogeneous=True, population="B"))
    for warning in workflow.assess(lab.log, case.id).unsettled:
        workflow.acknowledge(lab.log, case.id, warning, berg)
    workflow.confirm_review(lab.log, case.id, lab.log.case(case.id).version, berg)
    second = lab.log.regions(case.id)[1].id
    given: dict[tuple[int, int], tuple[int | None, int | None]] = {(second, n): (6, 2) for n in range(1, 21)}
    workflow.count_blinded(lab.log, case.id, given, lab.person("okafor"))
    workflow.hand_in_recount(lab.log, case.id, "B", lab.person("okafor"))
    workflow.adjudicate(lab.log, case.id, "B", Outcome.POSITIVE, 1, "recounted together", berg)
    workflow.attest(lab.log, case.id, berg, True)
    for warning in workflow.assess(lab.log, case.id).warnings:
        workflow.acknowledge(lab.log, case.id, warning, berg)
    lab.sign(lab.log.case(case.id))
    found = read_lines(lab.log)
    numbers = ("result_group", "counted_group", "n", "her2", "cep17")
    assert [found[name].tolist() for name in numbers] == [[1], [4], [20], [80], [60]]
