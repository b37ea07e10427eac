"""The laboratory's figures, each by a table of lines; and planted defects found in a seeded laboratory."""

from __future__ import annotations

import csv
import hashlib
import io
import json
from collections.abc import Iterator
from dataclasses import fields, replace
from datetime import UTC, date, datetime
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from her2core.caselog import CaseLog
from her2core.caselog.lookup import FLAGS as LOOKUP_FLAGS
from her2core.caselog.lookup import Query, Sort
from her2core.errors import CaseLogError
from her2core.laboratory import figures
from her2core.laboratory.export import COLUMNS, deidentified_csv
from her2core.laboratory.figures import Choice, choose
from her2core.laboratory.invented import Planted, stories
from her2core.laboratory.ledger import FLAGS, CaseLine, LineReader, Lines, read_lines
from her2core.laboratory.seeded import seed_laboratory
from her2core.records import CaseDetails, CaseState, Overlap, RegionFlags, Role, SignalIntensity
from her2core.scoring import ResultStatus
from her2core.scoring.suitability import SHOWN_TWICE, TOO_WEAK

DAY = date(2026, 3, 2)  # a Monday
HOUR = 3600.0


def line(**changes: Any) -> CaseLine:
    """A signed, negative case of Group 5 with 20 nuclei of 2 and 2 signals, signed six hours after it was opened."""
    values: dict[str, Any] = {field.name: "" if field.type == "str" else 0 for field in fields(CaseLine)}
    day = changes.pop("day", DAY)
    opened = datetime(day.year, day.month, day.day, 9, tzinfo=UTC).timestamp()
    values |= {
        "state": "signed", "opened": opened, "opened_day": day.toordinal(), "received_day": day.toordinal() - 1,
        "analysed": opened + HOUR, "reviewed": opened + 3 * HOUR, "signed": opened + 6 * HOUR,
        "signed_day": day.toordinal(), "result_group": 5, "outcome": "negative", "reasons": "[]",
        "region_reasons": "[]", "nuclei": 20, "ai_group": 5, "counted_group": 5, "ai_n": 20, "ai_her2": 40,
        "ai_cep17": 40, "n": 20, "her2": 40, "cep17": 40, "second_by": None, "second_group": None,
    }  # fmt: skip
    return CaseLine(**{**values, **changes})


def lines(*changes: dict[str, Any]) -> Lines:
    return Lines.of(line(case_id=number, sample=str(number), **change) for number, change in enumerate(changes, 1))


def test_cases_are_chosen_by_period_reader_lot_model_and_scale() -> None:
    found = lines(
        {"day": date(2026, 3, 1), "reader": 1, "probe_lot": "A", "model": "m1", "um_per_px": 0.1},
        {"day": date(2026, 3, 2), "reader": 2, "probe_lot": "B", "model": "m2", "um_per_px": 0.2},
        {"day": date(2026, 3, 3), "reader": 2, "probe_lot": "A", "model": "m1", "um_per_px": None, "signed_day": None},
    )
    assert choose(found, Choice()).ids() == (1, 2)
    assert choose(found, Choice(), "opened_day").ids() == (1, 2, 3)
    assert choose(found, Choice(since=date(2026, 3, 2)), "opened_day").ids() == (2, 3)
    assert choose(found, Choice(until=date(2026, 3, 1))).ids() == (1,)
    assert choose(found, Choice(readers=(2,)), "opened_day").ids() == (2, 3)
    assert choose(found, Choice(lots=("A",), models=("m1",)), "opened_day").ids() == (1, 3)
    assert choose(found, Choice(scales=(0.2,))).ids() == (2,)


def test_periods_are_weeks_without_gaps_and_months_of_long_spans() -> None:
    days = np.array([DAY.toordinal(), DAY.toordinal() + 15, np.nan, DAY.toordinal() + 6])
    weeks = figures.periods(days)
    assert [p.start for p in weeks] == [date(2026, 3, 2), date(2026, 3, 9), date(2026, 3, 16)]
    assert [p.members.tolist() for p in weeks] == [[0, 3], [], [1]]
    months = figures.periods(np.array([DAY.toordinal(), DAY.toordinal() + 300.0]))
    assert months[0].start == date(2026, 3, 1)
    assert len(months) == 10
    assert figures.periods(np.array([np.nan])) == ()


MONTH_DAYS = np.array([date(2026, 1, 5).toordinal(), date(2026, 11, 20).toordinal()], float)


@pytest.mark.parametrize(
    ("since", "until", "today", "partial"),
    [
        (None, None, date(2026, 12, 24), []),
        (None, None, date(2026, 11, 30), [10]),  # the last day is not over either
        (None, None, date(2026, 12, 1), []),
        (date(2026, 1, 1), None, date(2026, 12, 1), []),
        (date(2026, 1, 2), date(2026, 11, 29), date(2026, 12, 24), [0, 10]),
        (date(2026, 1, 1), date(2026, 11, 30), date(2026, 12, 24), []),
    ],
)
def test_periods_that_are_not_over_or_cut_by_the_dates_are_partial(
    since: date | None, until: date | None, today: date, partial: list[int]
) -> None:
    months = figures.periods(MONTH_DAYS)
    assert (months[0].end, months[1].end, months[-1].end) == (
        date(2026, 1, 31), date(2026, 2, 28), date(2026, 11, 30),
    )  # fmt: skip
    assert [i for i, p in enumerate(months) if p.is_partial(since, until, today)] == partial


def test_a_week_ends_on_sunday() -> None:
    (week,) = figures.periods(np.array([float(DAY.toordinal())]))
    assert (week.start, week.end) == (DAY, date(2026, 3, 8))


def test_what_is_shown_together_has_the_same_periods() -> None:
    opened = np.array([DAY.toordinal(), DAY.toordinal() + 100.0])
    signed = np.array([DAY.toordinal() + 30.0, np.nan, DAY.toordinal() + 300.0])
    of_opened, of_signed = figures.periods(opened, signed), figures.periods(signed, opened)
    assert [p.start for p in of_opened] == [p.start for p in of_signed]
    assert len(of_opened) == 10  # months, for both
    assert sum(len(p.members) for p in of_opened) == sum(len(p.members) for p in of_signed) == 2
    assert len(figures.periods(np.array([np.nan]), opened)) == len(figures.periods(opened))


def test_steps_are_hours_and_impossible_ones_are_left_out() -> None:
    found = figures.turnaround(lines({}, {"received_day": DAY.toordinal() + 4}, {"analysed": None}))
    assert [step.name for step in found] == list(figures.STEPS)
    assert [step.hours.median if step.hours else None for step in found] == [24.0, 1.0, 2.0, 3.0, 6.0]
    assert [step.hours.n if step.hours else 0 for step in found] == [2, 2, 2, 3, 3]


def test_mix_names_all_groups_and_those_without() -> None:
    found = figures.mix(lines({"result_group": 1}, {"result_group": None}, {}))
    assert [(c.name, len(c.members)) for c in found if len(c.members)] == [
        ("Group 1", 1), ("Group 5", 1), ("no group", 1)
    ]  # fmt: skip


@pytest.mark.parametrize(
    ("group", "ihc", "is_discordant"),
    [(1, "0", True), (1, "0+", True), (1, "1+", True), (1, "2+", False), (1, "3+", False), (1, "", False),
     (5, "3+", True), (5, "2+", False), (4, "0", False), (None, "3+", False)],
)  # fmt: skip
def test_discordance_is_group_1_without_and_group_5_with_overexpression(
    group: int | None, ihc: str, is_discordant: bool
) -> None:
    assert figures.discordant(lines({"result_group": group, "ihc": ihc})).tolist() == [is_discordant]


def test_rates_count_only_cases_that_could_be() -> None:
    found = lines({"outcome": "positive"}, {}, {"outcome": "indeterminate"})
    assert [(p.n, p.value) for p in figures.positivity(found).chart.points] == [(2, 50.0)]
    assert [h.tolist() for h in figures.positivity(found).hits] == [[0]]
    assert [p.n for p in figures.indeterminate(found).chart.points] == [3]


def test_moved_groups_by_the_ais_group_and_by_flag() -> None:
    found = lines(
        {"ai_group": 5, "moved": 1, "counted_group": 1, "flags": 1},
        {"ai_group": 5, "flags": 1 | 4},
        {"ai_group": 1},
        {"ai_group": None, "nuclei": 0},
    )
    by_group = {c.name: (len(c.members), c.of) for c in figures.moved_by_group(found)}
    assert by_group["Group 5"] == (1, 2)
    assert by_group["Group 1"] == (0, 1)
    by_flag = {c.name: (len(c.members), c.of) for c in figures.moved_by_flag(found)}
    assert by_flag["clusters"] == (1, 2)
    assert by_flag["weak signals"] == (0, 1)
    assert by_flag["no flag"] == (0, 1)


def test_readings_are_per_nucleus_and_final_minus_ai() -> None:
    found = lines({"ai_her2": 40, "her2": 60}, {"ai_her2": 40, "her2": 40}, {"ai_n": 0})
    ai, final, limits = figures.readings(found, figures.COUNTS[0])
    assert ai.tolist()[:2] == [2.0, 2.0]
    assert final.tolist()[:2] == [3.0, 2.0]
    assert limits.n == 2
    assert limits.bias == pytest.approx(0.5)
    assert figures.readings(found, figures.COUNTS[2])[0][0] == pytest.approx(1.0)


def test_agreement_tells_pairs_of_readers_apart() -> None:
    found = lines(
        {"reader": 1, "second_by": 2, "second_group": 5},
        {"reader": 2, "second_by": 1, "second_group": 4},
        {"reader": 1, "second_by": 3, "second_group": 1, "counted_group": 1},
        {"ai_group": 1},
    )
    result = figures.agreement(found, lambda reader: f"reader {reader}")
    assert result["first reader and blinded recount"][0].n == 3
    assert result["first reader and blinded recount"][1].tolist() == [1]
    assert result["reader 1 and reader 2"][0].n == 2
    assert result["AI and final"][1].tolist() == [2, 3]


def test_reasons_are_counted_once_a_case() -> None:
    found = figures.reasons(lines({"reasons": '["weak","weak","glow"]'}, {"reasons": '["weak"]'}, {}), "reasons")
    assert [(c.name, len(c.members), c.of) for c in found] == [("weak", 2, 3), ("glow", 1, 3)]


def test_a_sample_tested_again_is_found_even_if_its_first_test_is_outside_the_period() -> None:
    first = line(case_id=1, sample="x", day=date(2026, 1, 1))
    again = line(case_id=2, sample="x", day=date(2026, 3, 1))
    late = line(case_id=3, sample="x", day=date(2026, 12, 1))
    every = Lines.of([first, again, late])
    period = choose(every, Choice(since=date(2026, 2, 1)))
    assert period.ids(figures.repeated(period, every)[0].members) == (2,)


def test_the_list_for_others_names_nobody_and_no_day() -> None:
    text = deidentified_csv(lines({"accession": "S26-1", "probe_lot": "=lot", "flags": 5, "reader": 77}))
    row = next(csv.DictReader(io.StringIO(text.removeprefix("\ufeff"))))
    assert tuple(row) == COLUMNS
    assert row["month_signed"] == "2026-03"
    assert row["flags"] == "clusters; weak signals"
    assert row["probe_lot"] == "'=lot"
    assert row["reader"] == "reader 1"
    assert "S26-1" not in text
    assert "77" not in text


def test_the_list_for_others_has_no_outcome_that_nobody_signed() -> None:
    unsigned = {"state": "ready", "signed": None, "signed_day": None}
    text = deidentified_csv(lines({}, unsigned))
    rows = list(csv.DictReader(io.StringIO(text.removeprefix("\ufeff"))))
    assert [(row["state"], row["outcome"]) for row in rows] == [("Signed", "negative"), ("Ready to sign", "")]


@pytest.mark.parametrize(
    ("changes", "status"),
    [
        ({}, ResultStatus.SIGNED),
        ({"state": "reviewed", "reports": 1}, ResultStatus.SIGNED),  # an amendment is open: the group is as reported
        ({"state": "draft", "signed": None, "nuclei": 0, "outcome": ""}, ResultStatus.NOT_ANALYSED),
        ({"state": "draft", "signed": None, "outcome": ""}, ResultStatus.NOT_CONFIRMED),
        ({"state": "analysed", "signed": None, "outcome": ""}, ResultStatus.NOT_CONFIRMED),
        ({"state": "pending IHC", "signed": None, "outcome": "pending IHC"}, ResultStatus.WORK_UP_OPEN),
        ({"state": "reviewed", "signed": None}, ResultStatus.NOT_SIGNED),
        ({"state": "ready", "signed": None}, ResultStatus.NOT_SIGNED),
    ],
)
def test_the_list_for_others_says_what_stands_behind_a_group(changes: dict[str, Any], status: ResultStatus) -> None:
    (row,) = csv.DictReader(io.StringIO(deidentified_csv(lines(changes)).removeprefix("\ufeff")))
    assert row["result_status"] == status


def test_empty_lines_make_every_figure() -> None:
    none = Lines.of([])
    assert len(none) == 0
    assert figures.positivity(none).periods == ()
    assert figures.drift(none, "focus_ratio").n == 0
    assert figures.lots(none, "focus_ratio") == ()
    assert figures.agreement(none, str)["AI and final"][0].value is None
    assert [len(c.members) for c in figures.repeated(none, none)] == [0] * 7
    assert deidentified_csv(none).count("\n") == 1


def test_the_flags_of_figures_and_of_the_search_are_the_same() -> None:
    assert tuple(LOOKUP_FLAGS) == FLAGS


@pytest.mark.parametrize(
    ("rejected", "unsuitable", "twice", "reasons", "is_flagged"),
    [
        ([], 0, 0, "[]", False),
        ([SHOWN_TWICE], 0, 1, "[]", False),
        ([TOO_WEAK], 1, 0, json.dumps([TOO_WEAK]), True),
        ([TOO_WEAK, SHOWN_TWICE, SHOWN_TWICE], 1, 2, json.dumps([TOO_WEAK]), True),
    ],
)
def test_a_region_left_out_since_it_shows_the_cells_of_another_is_no_fault_of_sample_or_slide(
    data_dir: Path, rejected: list[str], unsuitable: int, twice: int, reasons: str, is_flagged: bool
) -> None:
    with CaseLog(data_dir) as log:
        anna = log.insert_user("anna", "Anna Arendt", "MD", Role.PATHOLOGIST, None, None)
        case = log.create_case(CaseDetails("S26-1", "Muster, Erika", "MRN-1"), anna)
        flags = RegionFlags(False, "A", False, SignalIntensity.GOOD, Overlap.LITTLE, True)
        for number, reason in enumerate([None, *rejected]):
            data = bytes([number])
            region = log.add_region(case.id, data, f"{number}.png", 9, 9, None, hashlib.sha256(data).hexdigest(), anna)
            told = flags if reason is None else replace(flags, suitable=False, unsuitable_reason=reason)
            log.set_flags(region.id, told, anna)
        found = read_lines(log)
        assert [found[name].tolist() for name in ("unsuitable", "shown_twice", "region_reasons")] == [
            [unsuitable],
            [twice],
            [reasons],
        ]
        assert bool(int(found["flags"][0]) >> FLAGS.index("region not suitable") & 1) is is_flagged
        assert bool(log.look_up_ids(Query(flag="region not suitable"))) is is_flagged
        counts = {counted.name: len(counted.members) for counted in figures.repeated(found, found)}
        assert counts["Region replaced: one was not suitable"] == int(is_flagged)
        assert counts["Region left out: same cells as another"] == int(twice > 0)
        assert sum(len(counted.members) for counted in figures.reasons(found, "region_reasons")) == int(is_flagged)


# --- a seeded laboratory ----------------------------------------------------------------------------------------------

END = date(2026, 11, 20)


@pytest.fixture(scope="module")
def seeded(tmp_path_factory: pytest.TempPathFactory) -> Iterator[CaseLog]:
    folder = tmp_path_factory.mktemp("seeded") / "data"
    seed_laboratory(folder, 700, 3, end=END)
    with CaseLog(folder) as log:
        yield log


@pytest.mark.parametrize("end", [date(2026, 11, 27), date(2026, 11, 28), date(2026, 11, 29), date(2026, 11, 30)])
def test_no_invented_case_is_opened_at_a_weekend_or_after_the_end(end: date) -> None:
    opened = [story.opened.date() for story in stories(400, 3, end, Planted())]
    assert len(opened) == 400
    assert max(opened) <= end
    assert all(day.weekday() < 5 for day in opened)


def test_a_seeded_case_log_is_intact_and_is_not_filled_twice(seeded: CaseLog) -> None:
    assert seeded.check() == []
    with pytest.raises(CaseLogError, match="new folder"):
        seed_laboratory(seeded.data_dir, 1, 1)


def test_planted_drift_lot_and_discordance_are_found(seeded: CaseLog) -> None:
    found = choose(read_lines(seeded), Choice())
    fading = figures.drift(found, "her2_signal_to_noise")
    steady = figures.drift(found, "dapi_contrast")
    last_fifth = set(range(len(fading.periods) * 4 // 5, len(fading.periods)))
    assert last_fifth & set(fading.chart.alarms)
    assert min(fading.chart.alarms) > len(fading.periods) // 2
    assert not any(1 in point.broken for point in steady.chart.points)

    assert [lot.name for lot in figures.lots(found, "cep17_signal_to_noise") if lot.shift.shifted] == ["LOT-12"]
    assert [lot.name for lot in figures.lots(found, "dapi_contrast") if lot.shift.shifted] == []

    at_odds = figures.discordance(found)
    worst = max(range(len(at_odds.periods)), key=lambda i: at_odds.chart.points[i].value)
    assert at_odds.chart.points[worst].broken
    assert 0.7 < worst / len(at_odds.periods) < 0.9


def test_nothing_planted_raises_no_drift_and_at_most_a_chance_mark_of_a_lot(tmp_path: Path) -> None:
    seed_laboratory(tmp_path / "steady", 350, 4, end=END, planted=Planted(drift=False, lot=False, discordance=False))
    with CaseLog(tmp_path / "steady") as log:
        found = choose(read_lines(log), Choice())
    # Small lots: by chance one in some 25 such laboratories has a mark, but none is as far out as the planted one.
    marked = [lot.shift.in_sd or 0.0 for lot in figures.lots(found, "cep17_signal_to_noise") if lot.shift.shifted]
    assert len(marked) <= 1
    assert all(abs(shift) < 1 for shift in marked)
    assert not any(1 in point.broken for point in figures.drift(found, "her2_signal_to_noise").chart.points)


def test_the_ledger_follows_changes_and_is_made_anew_when_it_is_lost_or_damaged(seeded: CaseLog) -> None:
    before = read_lines(seeded)
    told: list[tuple[int, int]] = []
    reader = next(user for user in seeded.users() if user.username == "berg")
    draft = seeded.look_up(Query(states=(CaseState.SIGNED,)), Sort.OPENED, limit=1)[0]
    seeded.open_amendment(draft.id, "block", draft.version, reader)
    after = read_lines(seeded, lambda done, of: told.append((done, of)))
    assert told == [(1, 1)]
    assert len(after) == len(before)
    ledger = seeded.data_dir / "laboratory.sqlite"
    ledger.write_bytes(b"no database" * 200)
    again = read_lines(seeded)
    assert same(after, again)
    assert ledger.stat().st_mode & 0o077 == 0


def same(a: Lines, b: Lines) -> bool:
    """Every value of every column is the same, NaN for NaN."""
    return all(np.all((a[name] == b[name]) | ((a[name] != a[name]) & (b[name] != b[name]))) for name in a.columns)


def test_a_reader_goes_on_from_what_it_read_and_begins_anew_where_the_trail_is_another_one(tmp_path: Path) -> None:
    folder, reader = tmp_path / "data", LineReader()
    seed_laboratory(folder, 30, 5, end=END)
    with CaseLog(folder) as log:
        log.backup(tmp_path / "early.her2core-backup")
        before = reader.read(log)
        assert reader.read(log) is before
        berg = log.user_by_name("berg")
        assert berg is not None
        signed = log.look_up(Query(states=(CaseState.SIGNED,)), Sort.OPENED, limit=1)[0]
        log.open_amendment(signed.id, "block", signed.version, berg)
        new = log.create_case(CaseDetails("S26-NEW", "Invented, New", "INV-NEW"), berg)
        log.note("signed in", berg)  # concerns no case
        after = reader.read(log)
        assert same(after, read_lines(log))
        assert (len(before), after.ids()[-1]) == (30, new.id)
        whole = read_lines(log)
        (folder / "laboratory.sqlite").unlink()
        log.note("signed in", berg)
        assert same(reader.read(log), whole)
    CaseLog.restore(tmp_path / "early.her2core-backup", tmp_path / "restored")
    with CaseLog(tmp_path / "restored") as log:
        assert same(reader.read(log), before)


@pytest.mark.parametrize("sort", list(Sort))
def test_lists_are_paged_without_gap_or_repeat(seeded: CaseLog, sort: Sort) -> None:
    whole = [case.id for case in seeded.look_up(Query(), sort, limit=1000)]
    paged = [
        case.id for offset in range(0, 700, 300) for case in seeded.look_up(Query(), sort, limit=300, offset=offset)
    ]
    assert paged == whole
    assert sorted(whole) == list(seeded.look_up_ids(Query()))


def test_cases_are_looked_up_by_everything_that_the_page_offers(seeded: CaseLog) -> None:
    every = read_lines(seeded)
    group_4 = Query(group=4, since=date(2026, 1, 1), until=date(2026, 6, 30), by_signing=True)
    days = every["signed_day"]
    wanted = (every["result_group"] == 4) & (days >= group_4.since.toordinal()) & (days <= group_4.until.toordinal())  # type: ignore[union-attr]
    assert set(seeded.look_up_ids(group_4)) == set(every.ids(wanted))
    for place, flag in enumerate(FLAGS):
        has = ((every["flags"].astype(int) >> place) & 1).astype(bool)
        assert seeded.look_up_ids(Query(flag=flag)) == every.ids(has)
    reader = int(every["reader"][0])
    assert set(every.ids(every["reader"] == reader)) <= set(seeded.look_up_ids(Query(reader=reader)))
    assert seeded.look_up_ids(Query(ids=(3, 5), text="INV-000005")) == (5,)
    with pytest.raises(ValueError, match="no flag"):
        Query(flag="1=1")
