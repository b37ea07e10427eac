"""The laboratory page: what is read from real cases, and what is shown of it. The figures: tests/laboratory."""

from __future__ import annotations

import json
import threading
from collections.abc import Callable
from datetime import UTC, date, datetime, timedelta
from typing import Any

import pytest
from streamlit.testing.v1 import AppTest

from her2core import workflow
from her2core.caselog import CaseLog
from her2core.errors import CaseLogError
from her2core.laboratory import figures
from her2core.laboratory.control import ChartPoint
from her2core.laboratory.ledger import LineReader, Lines, read_lines
from her2core.records import IHC, CorrectionKind
from her2core.ui import laboratory, palette
from her2core.ui.laboratory import period
from tests.pages.app import page_alone, said, signed_in, words
from tests.pages.lab import GROUP_4, IHC_SAME, NEGATIVE, POSITIVE, TestLaboratory

TODAY = date(2026, 11, 24)


@pytest.mark.parametrize(
    ("choice", "own", "bounds"),
    [
        ("30 days", (), (date(2026, 10, 26), TODAY)),
        ("All", (), (None, None)),
        ("Own dates", (date(2026, 1, 1), date(2026, 2, 1)), (date(2026, 1, 1), date(2026, 2, 1))),
        ("Own dates", (date(2026, 1, 1),), (date(2026, 1, 1), None)),
        ("Own dates", (), (None, None)),
    ],
)
def test_period_bounds(choice: str, own: tuple[date, ...], bounds: tuple[date | None, date | None]) -> None:
    assert period(choice, own, TODAY) == bounds


# --- read ahead -------------------------------------------------------------------------------------------------------


def test_lines_that_were_made_are_read_once_before_the_page_asks(
    lab: TestLaboratory, monkeypatch: pytest.MonkeyPatch
) -> None:
    reads: list[int] = []

    class Reader(LineReader):
        def read(self, log: CaseLog, progress: Callable[[int, int], None] | None = None) -> Lines:
            lines = super().read(log, progress)
            reads.append(len(lines))
            return lines

    reader = Reader()
    monkeypatch.setattr(laboratory, "_reader", lambda path: reader)
    lab.analysed(NEGATIVE)
    laboratory.read_ahead(lab.log)  # never made: left to the page, which shows how far it is
    assert _finished() and not reads
    read_lines(lab.log)
    for _ in range(3):
        laboratory.read_ahead(lab.log)
    assert _finished() and reads == [1]


def test_what_goes_wrong_ahead_is_left_to_the_page(lab: TestLaboratory, monkeypatch: pytest.MonkeyPatch) -> None:
    class Broken:
        def read(self, log: CaseLog) -> Lines:
            raise CaseLogError("The disk is full.")

    read_lines(lab.log)
    monkeypatch.setattr(laboratory, "_reader", lambda path: Broken())
    laboratory.read_ahead(lab.log)
    assert _finished()


@pytest.mark.parametrize(("name", "page", "ahead"), [("lind", "case_log", True), ("berg", "worklist", False)])
def test_only_a_lab_managers_first_page_reads_ahead(
    name: str, page: str, ahead: bool, lab: TestLaboratory, monkeypatch: pytest.MonkeyPatch
) -> None:
    asked: list[CaseLog] = []
    monkeypatch.setattr(laboratory, "read_ahead", asked.append)
    signed_in(name, f"pages/{page}.py")
    assert bool(asked) is ahead


def _finished() -> bool:
    for thread in threading.enumerate():
        if thread.name == "her2core-figures":
            thread.join(30)
    return True


# --- from the case log ------------------------------------------------------------------------------------------------


def corrected(lab: TestLaboratory, case_id: int, counts: tuple[int, int], nuclei: range) -> None:
    (region,) = lab.log.regions(case_id)
    for nucleus in nuclei:
        new = {"her2": counts[0], "cep17": counts[1]}
        workflow.correct(lab.log, region.id, nucleus, CorrectionKind.COUNTS, new, lab.person("berg"))


def only(found: Lines) -> dict[str, object]:
    assert len(found) == 1
    return {name: column[0] for name, column in found.columns.items()}


def test_signed_case_is_read_with_its_edits(lab: TestLaboratory) -> None:
    today = datetime.now(UTC).astimezone().date()
    opened = lab.analysed(NEGATIVE, ihc=IHC.ONE_PLUS, received_on=today - timedelta(days=3), probe_lot="L1")
    corrected(lab, opened.id, (3, 2), range(1, 2))
    corrected(lab, opened.id, (2, 2), range(2, 3))  # only confirms what the models counted
    before = only(read_lines(lab.log))
    assert before["signed"] != before["signed"]
    assert before["edited"] == 1
    berg = lab.person("berg")
    workflow.confirm_review(lab.log, opened.id, lab.log.case(opened.id).version, berg)
    workflow.attest(lab.log, opened.id, berg, True)
    for warning in workflow.assess(lab.log, opened.id).warnings:
        workflow.acknowledge(lab.log, opened.id, warning, berg)
    lab.sign(opened)
    found = only(read_lines(lab.log))
    assert (found["result_group"], found["outcome"], found["nuclei"], found["edited"]) == (5, "negative", 20, 1)
    assert (found["ai_her2"], found["her2"], found["cep17"], found["moved"]) == (40, 41, 40, 0)
    assert found["received_day"] == found["signed_day"] - 3  # type: ignore[operator]
    assert (found["ihc"], found["probe_lot"], found["reader"]) == ("1+", "L1", berg.id)


def test_edits_that_move_the_group_are_seen(lab: TestLaboratory) -> None:
    opened = lab.analysed(NEGATIVE)
    corrected(lab, opened.id, (6, 2), range(1, 21))
    found = only(read_lines(lab.log))
    assert (found["ai_group"], found["counted_group"], found["edited"], found["moved"]) == (5, 1, 20, 1)


def test_case_open_for_amendment_keeps_what_was_reported(lab: TestLaboratory) -> None:
    ready = lab.ready(NEGATIVE, ihc=IHC.ONE_PLUS)
    lab.sign(ready)
    workflow.amend(lab.log, ready.id, "another block", lab.log.case(ready.id).version, lab.person("berg"))
    found = only(read_lines(lab.log))
    assert (found["result_group"], found["outcome"], found["reports"]) == (5, "negative", 1)


def test_draft_without_regions_is_read(lab: TestLaboratory) -> None:
    lab.open_case()
    found = only(read_lines(lab.log))
    assert (found["nuclei"], found["regions"], found["outcome"], found["model"]) == (0, 0, "", "")


# --- the page ---------------------------------------------------------------------------------------------------------


def test_empty_log_is_said(lab: TestLaboratory) -> None:
    at = signed_in("lind", "pages/laboratory.py")
    assert not at.exception
    assert said(at, "The case log is empty.")
    assert not at.get("plotly_chart")


def test_unsigned_cases_give_figures_without_numbers_that_are_not_there(lab: TestLaboratory) -> None:
    lab.reviewed(GROUP_4, **IHC_SAME)
    at = page_alone("laboratory.py", lab.person("lind"))
    assert not at.exception
    values = {metric.label: (metric.value, metric.delta) for metric in at.metric}
    assert values["Cases opened"] == ("1", "1 still open")
    assert values["Opened to signed"] == ("–", "median")
    assert values["HER2 positive"] == ("–", "0 of 0")
    assert said(at, "Nothing in this period.")


def test_every_topic_is_drawn_for_signed_cases(lab: TestLaboratory) -> None:
    lab.sign(lab.ready(NEGATIVE, "S26-1", ihc=IHC.ONE_PLUS, probe_lot="L1"))
    lab.sign(lab.ready(POSITIVE, "S26-2", ihc=IHC.THREE_PLUS, probe_lot="L1"))
    lab.open_case("S26-3")
    at = page_alone("laboratory.py", lab.person("lind"))
    values = {metric.label: (metric.value, metric.delta) for metric in at.metric}
    assert values["Cases opened"] == ("3", "1 still open")
    assert values["Cases signed"][0] == "2"
    assert values["HER2 positive"] == ("50.0 %", "1 of 2")
    assert values["Nuclei edited"] == ("0.0 %", "0 of 40")
    titles = {
        "Flow": "Turnaround by step** (n = 2)",
        "Results": "Positivity rate** (n = 2)",
        "AI and final": "HER2 signals per nucleus** (n = 2)",
        "Images and lots": "By probe lot, in the order of first use** (n = 2)",
        "Observers": "Positive, by pathologist** (n = 2)",
    }
    at.session_state["lab_measure"] = "focus_ratio"  # the one that the stand-in measures
    for topic, title in titles.items():
        at.segmented_control(key="lab_topic").set_value(topic).run()
        assert not at.exception, topic
        assert said(at, title), (topic, words(at)[-900:])


def test_a_point_leads_to_its_cases(lab: TestLaboratory) -> None:
    lab.sign(lab.ready(POSITIVE, "S26-2", ihc=IHC.THREE_PLUS))
    at = page_alone("laboratory.py", lab.person("lind"))
    at.segmented_control(key="lab_topic").set_value("Results")
    at.session_state["lab_groups"] = {
        "selection": {"points": [{"curve_number": 0, "point_index": 0}], "point_indices": [0], "box": [], "lasso": []}
    }
    at.run()
    assert not at.exception
    assert at.button(key="lab_groups_cases").label == "Group 1: 1 case in the case log"


def figures_of(at: AppTest) -> dict[str, dict[str, Any]]:
    """The charts of the page as the browser gets them, by what they are called for those who cannot see them."""
    return {chart.proto.alt: json.loads(chart.proto.spec) for chart in at.get("plotly_chart")}


def every_figure(at: AppTest) -> dict[str, dict[str, Any]]:
    found: dict[str, dict[str, Any]] = {}
    for topic in ("Flow", "Results", "AI and final", "Images and lots", "Observers"):
        at.segmented_control(key="lab_topic").set_value(topic).run()
        assert not at.exception, topic
        found |= figures_of(at)
    return found


@pytest.mark.parametrize("cases", [1, 2])
def test_axes_of_a_single_week_are_true(lab: TestLaboratory, cases: int) -> None:
    lab.sign(lab.ready(NEGATIVE, "S26-1", ihc=IHC.ONE_PLUS, probe_lot="L1"))
    if cases == 2:
        lab.sign(lab.ready(POSITIVE, "S26-2", ihc=IHC.THREE_PLUS, probe_lot="L1"))
    at = page_alone("laboratory.py", lab.person("lind"))
    at.session_state["lab_measure"] = "focus_ratio"
    charts = every_figure(at)
    monday = date.today() - timedelta(days=date.today().weekday())
    dated = ("Volume", "Case opened to report signed, over time", "Positivity rate", "Indeterminate", "Over time")
    for title in dated:
        assert charts[title]["layout"]["xaxis"]["tickvals"] == [monday.isoformat()], title
    axes = [axis for chart in charts.values() for axis in (chart["layout"]["xaxis"], chart["layout"]["yaxis"])]
    of = {unit: [axis for axis in axes if axis.get("title", {}).get("text") == unit] for unit in ("%", "cases")}
    assert len(of["%"]) >= 7 and len(of["cases"]) >= 2
    assert all(axis["range"][0] == 0 and axis["range"][1] <= 100 for axis in of["%"])
    whole = [*of["cases"], charts["ISH groups as reported"]["layout"]["yaxis"]]
    assert all(axis["range"][0] == 0 and axis["dtick"] == 1 for axis in whole)


def test_every_axis_of_numbers_says_what_it_shows(lab: TestLaboratory) -> None:
    lab.sign(lab.ready(NEGATIVE, "S26-1", ihc=IHC.ONE_PLUS, probe_lot="L1"))
    lab.sign(lab.ready(POSITIVE, "S26-2", ihc=IHC.THREE_PLUS, probe_lot="L1"))
    at = page_alone("laboratory.py", lab.person("lind"))
    at.session_state["lab_measure"] = "focus_ratio"
    untitled = []
    for title, chart in every_figure(at).items():
        for name in ("x", "y"):
            values = [value for trace in chart["data"] for value in _values(trace, name)]
            numbers = bool(values) and all(isinstance(value, int | float) for value in values)
            if numbers and not chart["layout"][f"{name}axis"].get("title", {}).get("text"):
                untitled.append((title, name))
    assert untitled == []


def _values(trace: dict[str, Any], axis: str) -> list[Any]:
    """Of a trace as the browser gets it; numbers may come packed."""
    values = trace.get(axis, [])
    return [0.0] if isinstance(values, dict) else [value for value in values if value is not None]


def test_a_period_that_is_not_over_is_marked_and_named_so(lab: TestLaboratory) -> None:
    lab.sign(lab.ready(NEGATIVE, ihc=IHC.ONE_PLUS))
    at = page_alone("laboratory.py", lab.person("lind"))
    charts = every_figure(at)
    assert charts["Volume"]["data"][0]["marker"]["opacity"] == [0.45]
    assert charts["Case opened to report signed, over time"]["data"][0]["marker"]["symbol"] == ["circle-open"]
    assert charts["Indeterminate"]["data"][-1]["marker"]["symbol"] == ["circle-open"]
    at.segmented_control(key="lab_topic").set_value("Flow").run()
    assert said(at, "Pale: not over yet, or only partly within the dates.")


def test_steps_say_from_which_act_to_which(lab: TestLaboratory) -> None:
    lab.sign(lab.ready(NEGATIVE, ihc=IHC.ONE_PLUS, received_on=date.today() - timedelta(days=5)))
    at = page_alone("laboratory.py", lab.person("lind"))
    chart = figures_of(at)["Turnaround by step"]
    # A signature has whole seconds, so it may lie before what was done in the same second; that step is left out.
    assert {trace["y"][0].partition(": ")[0] for trace in chart["data"]} <= set(figures.STEPS)
    assert chart["data"][0]["y"] == ["specimen received → case opened: 5.0 d"]
    assert chart["layout"]["xaxis"]["title"]["text"] == "days, median"  # five days are the longest


def test_agreement_names_the_cases_of_each_pair(lab: TestLaboratory) -> None:
    lab.sign(lab.ready(NEGATIVE, "S26-1", ihc=IHC.ONE_PLUS))
    lab.sign(lab.ready(POSITIVE, "S26-2", ihc=IHC.THREE_PLUS))
    at = page_alone("laboratory.py", lab.person("lind"))
    at.segmented_control(key="lab_topic").set_value("Observers").run()
    chart = figures_of(at)["Agreement on the group"]
    assert [trace["y"] for trace in chart["data"]] == [["AI and final (n = 2)"]]


@pytest.mark.parametrize(
    ("point", "partial", "mark"),
    [
        (ChartPoint(9, 1.0, 0.0, 2.0, 0.1), False, (palette.SKY, 7, "circle")),
        (ChartPoint(9, 1.0, 0.0, 2.0, 0.1), True, (palette.SKY, 7, "circle-open")),
        (ChartPoint(9, 3.0, 0.0, 2.0, 4.0, (1,)), False, (palette.VERMILION, 10, "diamond")),
        (ChartPoint(9, 3.0, 0.0, 2.0, 4.0, (1, 2, 5)), True, (palette.VERMILION, 10, "diamond-open")),
        (ChartPoint(9, 1.9, 0.0, 2.0, 2.1, (2,)), False, (palette.ORANGE, 10, "triangle-up")),
        (ChartPoint(9, 1.1, 0.0, 2.0, 0.2, (5,)), False, (palette.ORANGE, 10, "triangle-up")),
    ],
)
def test_out_of_limits_and_a_run_within_them_look_different(
    point: ChartPoint, partial: bool, mark: tuple[str, int, str]
) -> None:
    assert laboratory._mark(point, partial) == mark


@pytest.mark.parametrize(
    ("title", "lines"),
    [
        ("%", "%"),
        ("Focus (sharpness of nuclear borders)", "Focus<br>(sharpness of nuclear borders)"),
        ("HER2 signals against the texture of nuclei", "HER2 signals against<br>the texture of nuclei"),
    ],
)
def test_a_long_title_of_an_upright_axis_stands_on_two_lines(title: str, lines: str) -> None:
    assert laboratory._broken_up(title) == lines


def test_bars_of_a_single_week_can_be_seen_side_by_side(lab: TestLaboratory) -> None:
    lab.sign(lab.ready(NEGATIVE, ihc=IHC.ONE_PLUS))
    at = page_alone("laboratory.py", lab.person("lind"))
    opened, signed = figures_of(at)["Volume"]["data"]
    hour_ms = 3_600_000
    assert opened["width"] == signed["width"] > hour_ms
    assert opened["offset"] + opened["width"] == signed["offset"] == 0


def test_a_chart_without_any_point_says_so(lab: TestLaboratory) -> None:
    lab.sign(lab.ready(NEGATIVE, ihc=IHC.ONE_PLUS))
    at = page_alone("laboratory.py", lab.person("lind"))
    at.segmented_control(key="lab_topic").set_value("AI and final").run()
    assert "Agreement on the group" not in figures_of(at)  # one case has no kappa
    assert said(at, "Too few cases to say anything.")


def test_page_follows_a_case_that_changes(lab: TestLaboratory) -> None:
    ready = lab.ready(NEGATIVE, ihc=IHC.ONE_PLUS)
    at = page_alone("laboratory.py", lab.person("lind"))
    assert {m.label: m.value for m in at.metric}["Cases signed"] == "0"
    lab.sign(ready)
    at.run()
    assert {m.label: m.value for m in at.metric}["Cases signed"] == "1"


@pytest.mark.parametrize("name", ["berg", "nair", None])
def test_nobody_else_sees_the_figures(lab: TestLaboratory, name: str | None) -> None:
    lab.open_case()
    at = page_alone("laboratory.py", None if name is None else lab.person(name))
    assert not at.exception
    assert len(at.main) == 0
