"""The region image with boxes and signals as a plotly figure: zoom, pan, hover, click on a nucleus, draw a box."""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from typing import Any

import plotly.graph_objects as go

from her2core.records import Box, Channel
from her2core.scoring.review import ReviewedNucleus
from her2core.ui.palette import BOX_STYLES, SIGNAL_STYLES, NucleusState, state_of_nucleus

__all__ = ["CONFIG", "DRAW_CONFIG", "clicked_nucleus", "drawn_box", "overlay_figure"]

# Wheel zooms, dragging pans, double click shows all again; the buttons of the bar that mean nothing here are gone.
CONFIG: dict[str, Any] = {
    "scrollZoom": True,
    "displaylogo": False,
    "displayModeBar": "hover",
    "doubleClick": "reset",
    "modeBarButtonsToRemove": ["select2d", "lasso2d", "autoScale2d", "toImage"],
}
DRAW_CONFIG: dict[str, Any] = CONFIG | {"modeBarButtonsToRemove": ["lasso2d", "autoScale2d", "toImage"]}

_HOVER_REACH_PX = 60


def overlay_figure(
    image_url: str,
    width_px: int,
    height_px: int,
    nuclei: Sequence[ReviewedNucleus],
    *,
    selected: int | None = None,
    show_boxes: bool = True,
    show_signals: bool = True,
    drawing: bool = False,
    figure_height_px: int = 500,
    view: str = "",
) -> go.Figure:
    """The figure. `view` names what is looked at: zoom and pan are kept while it stays the same.

    Nuclei can be clicked through invisible points in their middle, whose customdata is the nucleus id.
    """
    figure = go.Figure()
    figure.add_layout_image(
        source=image_url, x=0, y=0, sizex=width_px, sizey=height_px, xref="x", yref="y", sizing="stretch", layer="below"
    )
    by_state = {state: [r for r in nuclei if state_of_nucleus(r) is state] for state in NucleusState}
    if show_boxes:
        for state, members in by_state.items():
            figure.add_trace(_boxes(state, members))
    if show_signals:
        for channel in Channel:
            figure.add_trace(_signals(channel, nuclei))
    chosen = next((r for r in nuclei if r.nucleus.id == selected), None)
    if chosen is not None:
        x, y = _outline([_grown(chosen.nucleus.box, 4)])
        figure.add_trace(
            go.Scatter(
                x=x, y=y, mode="lines", line={"color": "#FFFFFF", "width": 3}, hoverinfo="skip", showlegend=False
            )
        )
    figure.add_trace(_handles(nuclei))
    figure.update_layout(
        height=figure_height_px,
        margin={"l": 0, "r": 0, "t": 0, "b": 0},
        paper_bgcolor="rgba(0,0,0,0)",
        plot_bgcolor="#000000",
        dragmode="select" if drawing else "pan",
        clickmode="event+select",
        hovermode="closest",
        hoverdistance=_HOVER_REACH_PX,
        uirevision=view,
        legend={
            "orientation": "h",
            "x": 0,
            "y": 0,
            "xanchor": "left",
            "yanchor": "bottom",
            "bgcolor": "rgba(14,18,23,0.78)",
            "font": {"color": "#E4E9EE", "size": 12},
            "itemsizing": "trace",
        },
        hoverlabel={"bgcolor": "#1A2129", "font": {"color": "#E4E9EE", "size": 13}, "align": "left"},
        newselection={"line": {"color": "#FFFFFF", "dash": "dot", "width": 2}},
    )
    axis = {"visible": False, "showgrid": False, "zeroline": False, "constrain": "domain"}
    figure.update_xaxes(range=[0, width_px], **axis)
    figure.update_yaxes(range=[height_px, 0], scaleanchor="x", scaleratio=1, **axis)
    return figure


def clicked_nucleus(event: Any) -> int | None:
    """The id of the nucleus that a plotly selection names, or None."""
    for point in _selection(event).get("points", []):
        data = point.get("customdata")
        if isinstance(data, list | tuple):
            data = data[0] if data else None
        if isinstance(data, int | float):
            return int(data)
    return None


def drawn_box(event: Any, width_px: int, height_px: int) -> Box | None:
    """The box that was drawn, in image pixels and cut to the image; None where none was drawn or it is too small to
    hold a nucleus (less than 8 pixels a side)."""
    boxes = _selection(event).get("box", [])
    if not boxes:
        return None
    xs, ys = boxes[-1].get("x", []), boxes[-1].get("y", [])
    if len(xs) < 2 or len(ys) < 2:
        return None
    x0, x1 = max(0.0, float(min(xs))), min(float(width_px), float(max(xs)))
    y0, y1 = max(0.0, float(min(ys))), min(float(height_px), float(max(ys)))
    return (x0, y0, x1, y1) if x1 - x0 >= 8 and y1 - y0 >= 8 else None


def _selection(event: Any) -> dict[str, Any]:
    selection = event.get("selection") if hasattr(event, "get") else None
    return dict(selection) if selection else {}


def _boxes(state: NucleusState, members: Sequence[ReviewedNucleus]) -> go.Scatter:
    style = BOX_STYLES[state]
    x, y = _outline(r.nucleus.box for r in members)
    return go.Scatter(
        x=x,
        y=y,
        mode="lines",
        name=f"{state.value} ({len(members)})",
        line={"color": style.colour, "width": style.width, "dash": style.dash},
        hoverinfo="skip",
        showlegend=bool(members),
    )


def _signals(channel: Channel, nuclei: Sequence[ReviewedNucleus]) -> go.Scatter:
    style = SIGNAL_STYLES[channel.value]
    spots = [s for r in nuclei for s in r.nucleus.signals if s.channel is channel]
    return go.Scatter(
        x=[s.x for s in spots],
        y=[s.y for s in spots],
        mode="markers",
        name=style.word,
        marker={"symbol": style.symbol, "size": 8, "color": style.colour, "line": {"width": 1.5}},
        hoverinfo="skip",
        showlegend=bool(spots),
    )


def _handles(nuclei: Sequence[ReviewedNucleus]) -> go.Scatter:
    """Invisible points in the middle of the nuclei: what the pointer finds."""
    keep = {"marker": {"opacity": 0.0}}
    return go.Scatter(
        x=[(r.nucleus.box[0] + r.nucleus.box[2]) / 2 for r in nuclei],
        y=[(r.nucleus.box[1] + r.nucleus.box[3]) / 2 for r in nuclei],
        mode="markers",
        marker={"size": 18, "opacity": 0.0},
        selected=keep,
        unselected=keep,
        customdata=[r.nucleus.id for r in nuclei],
        text=[_hover(r) for r in nuclei],
        hovertemplate="%{text}<extra></extra>",
        showlegend=False,
        name="nuclei",
    )


def _hover(reviewed: ReviewedNucleus) -> str:
    nucleus, ai = reviewed.nucleus, reviewed.ai
    lines = [f"<b>Nucleus {nucleus.id}</b>", f"HER2 {_count(nucleus.her2)} · CEP17 {_count(nucleus.cep17)}"]
    if ai is not None and (ai.her2, ai.cep17) != (nucleus.her2, nucleus.cep17):
        lines.append(f"AI: HER2 {_count(ai.her2)} · CEP17 {_count(ai.cep17)}")
    if ai is None:
        lines.append("added by the reader")
    lines.append("scored" if nucleus.scored else f"not scored: {nucleus.reason.value if nucleus.reason else ''}")
    lines += [word for word, holds in (("clustered", nucleus.clustered), ("uncertain", nucleus.uncertain)) if holds]
    return "<br>".join(lines)


def _count(value: int | None) -> str:
    return "–" if value is None else str(value)


def _grown(box: Box, by_px: float) -> Box:
    x0, y0, x1, y1 = box
    return (x0 - by_px, y0 - by_px, x1 + by_px, y1 + by_px)


def _outline(boxes: Iterable[Box]) -> tuple[list[float | None], list[float | None]]:
    """The outlines of boxes as one line each, parted by None."""
    x: list[float | None] = []
    y: list[float | None] = []
    for x0, y0, x1, y1 in boxes:
        x += [x0, x1, x1, x0, x0, None]
        y += [y0, y0, y1, y1, y0, None]
    return x, y
