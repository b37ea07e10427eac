"""The laboratory's figures on the page: charts of what `statistics` computes from the case log."""

from __future__ import annotations

from collections.abc import Sequence
from datetime import date, datetime, timedelta
from typing import Any

import plotly.graph_objects as go
import streamlit as st

from her2core.caselog import CaseLog, CaseSummary
from her2core.caselog.entries import ReportKind
from her2core.records import CaseState, User
from her2core.scoring import apply_corrections, describe_group, group, tally
from her2core.ui import palette
from her2core.ui.services import Services
from her2core.ui.statistics import (
    CaseFigures,
    Share,
    edits_of,
    group_mix,
    median,
    opened_between,
    outcomes,
    positivity,
    signed_between,
    state_counts,
    turnaround_days,
    within,
)
from her2core.ui.words import STATE_WORDS

__all__ = ["draw", "figures_of", "period"]

_PAGE = 500
_CHART_PX = 262
_WORKING_LIMIT_DAYS = 14
_PERIODS = {"30 days": 30, "90 days": 90, "12 months": 365, "All": None}
_OWN = "Own dates"
_MOST_BARS = 40
_CONFIG = {"displayModeBar": False}


# --- from the case log ------------------------------------------------------------------------------------------------


def figures_of(log: CaseLog, summary: CaseSummary) -> CaseFigures:
    """What the figures need of a case. Reads only."""
    case = log.case(summary.id)
    reports = [r for r in log.reports(summary.id) if r.kind in (ReportKind.FINAL, ReportKind.AMENDED)]
    # An open amendment leaves the case without a result for a while; what was reported last still holds.
    reported = reports[-1].summary if reports else {}
    nuclei = edited = 0
    ai: dict[str, list[Any]] = {}
    now: dict[str, list[Any]] = {}
    for region in log.regions(summary.id):
        analysis = log.analysis(region.id)
        if analysis is None or region.flags is None or not region.flags.suitable:
            continue
        reviewed = apply_corrections(analysis.nuclei, log.corrections(region.id))
        nuclei += len(reviewed)
        edited += sum(nucleus.changed for nucleus in reviewed)
        ai.setdefault(region.flags.population, []).extend(analysis.nuclei)
        now.setdefault(region.flags.population, []).extend(r.nucleus for r in reviewed)
    return CaseFigures(
        accession=summary.accession,
        state=summary.state,
        opened_on=_day(summary.created_at),
        received_on=case.details.received_on,
        signed_on=_day(reports[0].signed_at) if reports else None,
        group=reported.get("group", summary.group),
        outcome=reported.get("outcome", summary.outcome),
        nuclei=nuclei,
        edited=edited,
        ai_groups=tuple(group(tally(ai[label])) for label in sorted(ai)),
        final_groups=tuple(group(tally(now[label])) for label in sorted(now)),
    )


def _day(moment: datetime) -> date:
    return moment.astimezone().date()


def _all_cases(log: CaseLog) -> list[CaseFigures]:
    found: list[CaseSummary] = []
    while True:
        page = log.find_cases(limit=_PAGE, offset=len(found))
        found += page
        if len(page) < _PAGE:
            break
    return [_cached(str(log.path), (s.id, s.version, s.state.value, s.group, s.outcome), log, s) for s in found]


@st.cache_data(show_spinner=False, max_entries=20_000)
def _cached(path: str, key: tuple[Any, ...], _log: CaseLog, _summary: CaseSummary) -> CaseFigures:
    del path, key  # what the cache goes by: a case is read again once it changed
    return figures_of(_log, _summary)


def period(choice: str, own: Sequence[date], today: date) -> tuple[date | None, date | None]:
    """The first and last day of the chosen period; None: no bound. Own dates may be half chosen."""
    if choice == _OWN:
        return (own[0] if own else None, own[1] if len(own) > 1 else None)
    days = _PERIODS[choice]
    return (None if days is None else today - timedelta(days=days - 1), None if days is None else today)


# --- the page ---------------------------------------------------------------------------------------------------------


def draw(rooms: Services, user: User) -> None:
    """The period, the figures in one line, and the charts."""
    del user
    left, right = st.columns([1.5, 1], vertical_alignment="center")
    with left.container(horizontal=True, vertical_alignment="center"):
        choice = st.segmented_control(
            "Period", [*_PERIODS, _OWN], default="12 months", required=True, key="lab_period",
            label_visibility="collapsed",
        )  # fmt: skip
        own: Sequence[date] = ()
        if choice == _OWN:
            today = date.today()
            own = st.date_input(
                "From and to", (today.replace(day=1), today), key="lab_dates", label_visibility="collapsed", width=240
            )
    since, until = period(str(choice), own, date.today())
    with st.spinner("Reading the case log"):
        cases = _all_cases(rooms.log)
    opened, signed = opened_between(cases, since, until), signed_between(cases, since, until)
    right.caption("By the day a case was opened (states) and the day of its first final report (all else).")
    if not cases:
        st.info("The case log is empty. Figures appear here once cases are opened.", icon=":material/info:")
        return
    _line(opened, signed)
    for column, chart in zip(st.columns(2, gap="medium"), (_states, _turnaround), strict=True):
        with column:
            chart(opened if chart is _states else signed)
    for column, chart in zip(st.columns(2, gap="medium"), (_results, _edits), strict=True):
        with column:
            chart(signed)


def _line(opened: list[CaseFigures], signed: list[CaseFigures]) -> None:
    """The most asked-for numbers."""
    done = (CaseState.SIGNED, CaseState.AMENDED)
    days, edits, positive = turnaround_days(signed), edits_of(signed), positivity(signed)
    numbers = (
        ("Cases opened", str(len(opened)), f"{sum(case.state not in done for case in opened)} still open"),
        ("Cases signed", str(len(signed)), "in the period"),
        ("Median turnaround", "–" if not days else f"{median(days):g} d", f"n = {len(days)}"),
        ("HER2 positive", _percent(positive), _of(positive)),
        ("Nuclei edited", _percent(edits.share), _of(edits.share)),
        ("Group moved by edits", str(edits.moved_cases), f"of {edits.cases} signed cases"),
    )
    for column, (label, value, below) in zip(st.columns(len(numbers)), numbers, strict=True):
        column.metric(label, value, below, delta_color="off", delta_arrow="off", border=True)


def _percent(share: Share) -> str:
    return "–" if share.percent is None else f"{share.percent:.1f} %"


def _of(share: Share) -> str:
    return f"{share.k} of {share.n}"


def _interval(share: Share) -> str:
    low, high = share.interval
    return f"95 % interval {low:.0f} to {high:.0f} %"


def _states(opened: list[CaseFigures]) -> None:
    counts = state_counts(opened)
    words = [STATE_WORDS[state] for state in counts]
    figure = _bars(words, list(counts.values()), horizontal=True)
    figure.update_xaxes(title="cases", dtick=_tick(max(counts.values())))
    figure.update_yaxes(autorange="reversed")
    waiting = sum(counts[s] for s in (CaseState.PENDING_IHC, CaseState.PENDING_RECOUNT, CaseState.PENDING_ADJUDICATION))
    _show(
        f"Cases by state (n = {len(opened)})", figure, "lab_states",
        f"Where the cases opened in the period stand now; {waiting} wait for IHC, a recount or adjudication.",
        len(opened),
    )  # fmt: skip


def _turnaround(signed: list[CaseFigures]) -> None:
    days = turnaround_days(signed)
    figure = go.Figure(go.Histogram(x=days, xbins={"start": -0.5, "size": _bin(days)}, marker={"color": palette.SKY}))
    figure.update_xaxes(
        title="calendar days, received to signed", rangemode="tozero", dtick=_tick(max(days, default=0))
    )
    most = max((days.count(day) for day in days), default=0)
    figure.update_yaxes(title="cases", dtick=_tick(most) if _bin(days) == 1 else None)
    middle = median(days)
    if middle is not None:
        figure.add_vline(middle, line={"color": palette.ORANGE, "dash": "dash", "width": 2})
        figure.add_annotation(
            x=middle, y=1, yref="paper", yanchor="bottom", text=f"median {middle:g} d", showarrow=False,
            font={"color": palette.ORANGE},
        )  # fmt: skip
    quick = within(days, _WORKING_LIMIT_DAYS)
    left_out = len(signed) - len(days)
    text = (
        f"{_of(quick)} cases were signed within {_WORKING_LIMIT_DAYS} days. Where no day of receipt is recorded, "
        "the case counts from the day it was opened."
    )
    if left_out:
        text += f" {left_out} left out: signed before the recorded day of receipt."
    _show(f"Turnaround (n = {len(days)})", figure, "lab_turnaround", text, len(days))


def _tick(most: int) -> int | None:
    """Steps of a short axis, so that no half case or day is written at it; None: as plotly likes."""
    return 1 if most < 8 else None


def _bin(days: Sequence[int]) -> int:
    """Width of a bar in days: one day, until there would be more bars than are read."""
    return 1 if not days else max(1, -(-(max(days) + 1) // _MOST_BARS))


def _results(signed: list[CaseFigures]) -> None:
    mix = group_mix(signed)
    labels = ["no group" if key is None else f"Group {key}" for key in mix]
    figure = _bars(labels, list(mix.values()))
    figure.update_yaxes(title="signed cases", dtick=_tick(max(mix.values())))
    figure.update_traces(
        customdata=["no ISH group" if key is None else describe_group(key) for key in mix],
        hovertemplate="%{x}: %{y}<br>%{customdata}<extra></extra>",
    )
    ended = ", ".join(f"{count} {word}" for word, count in outcomes(signed).items())
    _show(
        f"ISH groups of signed cases (n = {len(signed)})", figure, "lab_groups",
        f"{ended}. Positive among positive and negative: {_interval(positivity(signed))}. Groups as reported, after "
        "work-up.",
        len(signed),
    )  # fmt: skip


def _edits(signed: list[CaseFigures]) -> None:
    counted = sorted(
        (case for case in signed if case.edited_percent is not None),
        key=lambda case: (case.signed_on or date.min, case.accession),
    )
    shown = counted[-_MOST_BARS:]
    figure = _bars([case.accession for case in shown], [case.edited for case in shown])
    figure.update_traces(
        customdata=[[case.nuclei, case.edited_percent, "moved" if case.group_moved else "same"] for case in shown],
        hovertemplate="%{x}: %{y} of %{customdata[0]} nuclei (%{customdata[1]:.0f} %)<br>group after edits: "
        "%{customdata[2]}<extra></extra>",
    )
    figure.update_yaxes(title="nuclei edited")
    figure.update_xaxes(type="category", showticklabels=len(shown) <= 14)
    edits = edits_of(signed)
    latest = f" The latest {len(shown)} are drawn." if len(shown) < len(counted) else ""
    _show(
        f"AI against final, per case (n = {edits.cases})", figure, "lab_edits",
        f"Nuclei whose count, box or place in the result the pathologist changed, or added; oldest case left. "
        f"{edits.untouched_cases} cases were signed as the models counted them; in {edits.moved_cases} the edits moved "
        f"the group.{latest}",
        edits.cases,
    )  # fmt: skip


def _bars(labels: Sequence[str], values: Sequence[int], *, horizontal: bool = False) -> go.Figure:
    across, along = (list(values), list(labels)) if horizontal else (list(labels), list(values))
    return go.Figure(
        go.Bar(
            x=across,
            y=along,
            orientation="h" if horizontal else "v",
            text=[str(value) for value in values],
            textposition="outside",
            cliponaxis=False,
            marker={"color": palette.SKY},
            hovertemplate="%{y}: %{x}<extra></extra>" if horizontal else "%{x}: %{y}<extra></extra>",
        )
    )


def _show(title: str, figure: go.Figure, key: str, says: str, n: int) -> None:
    """A chart under its title, and what it says; without data only that."""
    st.markdown(f"**{title}**")
    if n == 0:
        st.caption("Nothing in this period.")
        return
    figure.update_layout(height=_CHART_PX, margin={"l": 4, "r": 24, "t": 18, "b": 4}, bargap=0.25, showlegend=False)
    figure.update_xaxes(automargin=True, fixedrange=True)
    figure.update_yaxes(automargin=True, fixedrange=True)
    st.plotly_chart(figure, key=key, config=_CONFIG, width="stretch", alt=title)
    st.caption(says)
