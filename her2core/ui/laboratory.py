"""The laboratory's view: how many cases stand where, the mix of groups, how long a report takes."""

from __future__ import annotations

import statistics
from collections.abc import Mapping, Sequence
from datetime import date, timedelta

import plotly.graph_objects as go
import streamlit as st

from her2core import workflow
from her2core.records import CaseState, User
from her2core.ui.palette import BLUE, GREEN, GREY, ORANGE, SKY, VERMILION
from her2core.ui.services import Services
from her2core.ui.words import STATE_WORDS
from her2core.workflow import LaboratoryFigures

__all__ = ["draw"]

_SPANS = {"30 days": 30, "90 days": 90, "1 year": 365, "All": None}
_HEIGHT_PX = 250
_GROUP_COLOURS = (VERMILION, ORANGE, SKY, BLUE, GREEN)


def draw(rooms: Services, user: User) -> None:
    """The page."""
    left, right = st.columns([2, 1], vertical_alignment="bottom")
    left.header("Laboratory")
    span = right.segmented_control(
        "Cases opened within", list(_SPANS), default="All", required=True, key="laboratory_span",
        label_visibility="collapsed",
    )  # fmt: skip
    days = _SPANS[str(span)]
    since = None if days is None else date.today() - timedelta(days=days)
    figures = workflow.laboratory_figures(rooms.log, user, since)
    if not figures.cases:
        st.info("No case was opened in this time.")
        return
    _numbers(figures)
    one, two, three = st.columns(3, gap="medium")
    with one:
        states = {STATE_WORDS[state]: figures.by_state.get(state, 0) for state in CaseState}
        _bars("Cases by state", states, [SKY if "Sign" not in name else GREY for name in states])
    with two:
        groups = {f"Group {number}": figures.by_group.get(number, 0) for number in range(1, 6)}
        _bars("Signed cases by ISH group", groups, list(_GROUP_COLOURS))
    with three:
        _histogram("Turnaround to the first report (hours)", figures.turnaround_hours)
    _timeline("Cases opened a day", figures.opened_on)


def _numbers(figures: LaboratoryFigures) -> None:
    signed = len(figures.turnaround_hours)
    outcomes = figures.by_outcome
    columns = st.columns(5)
    columns[0].metric("Cases", figures.cases, border=True)
    columns[1].metric("Signed", signed, border=True)
    columns[2].metric("Positive of the signed", _share(outcomes.get("positive", 0), signed), border=True)
    columns[3].metric("Median turnaround", _hours(figures.turnaround_hours), border=True)
    columns[4].metric("Amended", figures.amended, border=True)


def _share(part: int, whole: int) -> str:
    return "–" if not whole else f"{part} ({part / whole:.0%})"


def _hours(hours: Sequence[float]) -> str:
    if not hours:
        return "–"
    middle = statistics.median(hours)
    return f"{middle:.1f} h" if middle < 48 else f"{middle / 24:.1f} days"


def _bars(title: str, values: Mapping[str, int], colours: Sequence[str]) -> None:
    figure = go.Figure(
        go.Bar(
            x=list(values.values()),
            y=list(values),
            orientation="h",
            marker={"color": list(colours)},
            text=[str(value) for value in values.values()],
            textposition="auto",
            hoverinfo="skip",
        )
    )
    figure.update_yaxes(autorange="reversed")
    figure.update_xaxes(visible=False)
    _plot(figure, title)


def _histogram(title: str, values: Sequence[float]) -> None:
    figure = go.Figure(go.Histogram(x=list(values), nbinsx=20, marker={"color": SKY}))
    figure.update_yaxes(title="reports")
    _plot(figure, title)


def _timeline(title: str, values: Mapping[date, int]) -> None:
    days = sorted(values)
    figure = go.Figure(go.Bar(x=days, y=[values[day] for day in days], marker={"color": SKY}))
    figure.update_xaxes(type="date")
    _plot(figure, title, 170)


def _plot(figure: go.Figure, title: str, height_px: int = _HEIGHT_PX) -> None:
    st.markdown(f"**{title}**")
    figure.update_layout(height=height_px, margin={"l": 4, "r": 4, "t": 4, "b": 4}, showlegend=False, bargap=0.25)
    st.plotly_chart(figure, key=title, config={"displayModeBar": False}, alt=title)
