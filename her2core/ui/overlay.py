"""The region image with boxes as a plotly figure, for the second observer: zoom, pan, hover, click on a nucleus."""

from __future__ import annotations

from collections.abc import Collection, Iterable, Mapping, Sequence
from typing import Any

import plotly.graph_objects as go

from her2core.marks import BOX_STYLES, TO_COUNT, BoxStyle, NucleusState
from her2core.records import Box

__all__ = ["CONFIG", "blinded_figure", "clicked_nucleus"]

# Wheel zooms, dragging pans, double click shows all again; the buttons of the bar that mean nothing here are gone.
CONFIG: dict[str, Any] = {
    "scrollZoom": True,
    "displaylogo": False,
    "displayModeBar": "hover",
    "doubleClick": "reset",
    "modeBarButtonsToRemove": ["select2d", "lasso2d", "autoScale2d", "toImage"],
}

_HOVER_REACH_PX = 60
_HANDLE_PX = 24
_FRAME_SHARE = 0.06  # of a nucleus' width, between its box and the white frame of the chosen one
_COUNTED = "✓"  # beside the number: the second cue of what was counted
_LEFT_OUT = BOX_STYLES[NucleusState.NOT_SCORED].sign
_LEGEND_PX = 26  # under the image, so that it hides no nucleus


def blinded_figure(
    image_url: str,
    width_px: int,
    height_px: int,
    boxes: Mapping[int, Box],
    counted: Collection[int],
    left_out: Collection[int] = (),
    *,
    selected: int | None = None,
    zoom: float = 1.0,
) -> go.Figure:
    """The region for the second observer: boxes by nucleus id, and which of them that observer has counted or left out.

    It takes the height of its container.
    """
    figure = _canvas(image_url, width_px, height_px)
    signs = {key: _COUNTED if key in counted else _LEFT_OUT if key in left_out else "" for key in boxes}
    for title, style, sign in (
        ("to be counted", TO_COUNT, ""),
        (f"{_COUNTED} counted by you", BOX_STYLES[NucleusState.SCORED], _COUNTED),
        (f"{_LEFT_OUT} left out by you", BOX_STYLES[NucleusState.NOT_SCORED], _LEFT_OUT),
    ):
        figure.add_trace(_boxes(title, style, [box for key, box in boxes.items() if signs[key] == sign]))
    figure.add_trace(_numbers(boxes, signs))
    _frame(figure, width_px, height_px, boxes, selected, zoom)
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


def _selection(event: Any) -> dict[str, Any]:
    selection = event.get("selection") if hasattr(event, "get") else None
    return dict(selection) if selection else {}


def _canvas(image_url: str, width_px: int, height_px: int) -> go.Figure:
    """The image alone, in pixels of the region, y down."""
    figure = go.Figure()
    figure.add_layout_image(
        source=image_url, x=0, y=0, sizex=width_px, sizey=height_px, xref="x", yref="y", sizing="stretch", layer="below"
    )
    figure.update_layout(
        margin={"l": 0, "r": 0, "t": 0, "b": _LEGEND_PX},
        paper_bgcolor="#000000",  # black in both themes, as at the microscope; the legend stands on it
        plot_bgcolor="#000000",
        dragmode="pan",
        clickmode="event+select",
        hovermode="closest",
        hoverdistance=_HOVER_REACH_PX,
        legend={
            "orientation": "h",
            "x": 0,
            "y": 0,
            "xanchor": "left",
            "yanchor": "top",
            "bgcolor": "rgba(0,0,0,0)",
            "font": {"color": "#8E9AA6", "size": 12},
            "itemsizing": "trace",
        },
        hoverlabel={"bgcolor": "#1A2129", "font": {"color": "#E4E9EE", "size": 13}, "align": "left"},
    )
    return figure


def _frame(
    figure: go.Figure, width_px: int, height_px: int, boxes: Mapping[int, Box], selected: int | None, zoom: float
) -> None:
    """What can be clicked, the frame round the chosen nucleus, and what of the image is shown."""
    chosen = None if selected is None else boxes.get(selected)
    if chosen is not None:
        apart = _FRAME_SHARE * max(chosen[2] - chosen[0], chosen[3] - chosen[1])
        around = (chosen[0] - apart, chosen[1] - apart, chosen[2] + apart, chosen[3] + apart)
        figure.add_trace(_lines("chosen", [around], {"color": "#FFFFFF", "width": 3}, shown=False))
    figure.add_trace(_handles(boxes))
    x0, y0, x1, y1 = _window(width_px, height_px, boxes, selected, zoom)
    axis = {"visible": False, "showgrid": False, "zeroline": False, "constrain": "domain"}
    figure.update_xaxes(range=[x0, x1], **axis)
    figure.update_yaxes(range=[y1, y0], scaleanchor="x", scaleratio=1, **axis)


def _boxes(title: str, style: BoxStyle, boxes: Sequence[Box]) -> go.Scatter:
    dash = ",".join(f"{length}px" for length in style.pattern) or "solid"
    line = {"color": style.colour, "width": style.width, "dash": dash}
    return _lines(f"{title} ({len(boxes)})", boxes, line, shown=bool(boxes))


def _lines(name: str, boxes: Sequence[Box], line: dict[str, Any], *, shown: bool) -> go.Scatter:
    x, y = _outline(boxes)
    return go.Scatter(x=x, y=y, mode="lines", name=name, line=line, hoverinfo="skip", showlegend=shown)


def _numbers(boxes: Mapping[int, Box], signs: Mapping[int, str]) -> go.Scatter:
    """The numbers of the nuclei inside their boxes, by which image and table are matched, and the sign of each."""
    grey = {"color": "#D7DEE5", "size": 11}
    return go.Scatter(
        x=[box[0] for box in boxes.values()],
        y=[box[1] for box in boxes.values()],
        text=[f"{key} {signs[key]}".rstrip() for key in boxes],
        mode="text",
        textposition="bottom right",
        textfont=grey,
        selected={"textfont": {"color": grey["color"]}},
        unselected={"textfont": {"color": grey["color"]}},
        hoverinfo="skip",
        showlegend=False,
        name="numbers",
    )


def _handles(by_id: Mapping[int, Box]) -> go.Scatter:
    """Unseen points in the middle of the nuclei, which the pointer finds."""
    unseen = {"marker": {"opacity": 0.0}}
    return go.Scatter(
        x=[(x0 + x1) / 2 for x0, _, x1, _ in by_id.values()],
        y=[(y0 + y1) / 2 for _, y0, _, y1 in by_id.values()],
        mode="markers",
        marker={"opacity": 0.0, "size": _HANDLE_PX},
        selected=unseen,
        unselected=unseen,
        customdata=list(by_id),
        text=[f"Nucleus {key}" for key in by_id],
        hovertemplate="%{text}<extra></extra>",
        showlegend=False,
        name="nuclei",
    )


def _window(width_px: int, height_px: int, boxes: Mapping[int, Box], selected: int | None, zoom: float) -> Box:
    """What of the image to show: all of it, or the surroundings of the chosen nucleus, kept inside the image."""
    chosen = None if selected is None else boxes.get(selected)
    if chosen is None or zoom <= 1:
        return (0.0, 0.0, float(width_px), float(height_px))
    width, height = width_px / zoom, height_px / zoom
    x0 = min(max((chosen[0] + chosen[2] - width) / 2, 0.0), width_px - width)
    y0 = min(max((chosen[1] + chosen[3] - height) / 2, 0.0), height_px - height)
    return (x0, y0, x0 + width, y0 + height)


def _outline(boxes: Iterable[Box]) -> tuple[list[float | None], list[float | None]]:
    """The outlines of boxes as one line each, parted by None."""
    x: list[float | None] = []
    y: list[float | None] = []
    for x0, y0, x1, y1 in boxes:
        x += [x0, x1, x1, x0, x0, None]
        y += [y0, y0, y1, y1, y0, None]
    return x, y
