"""The region image with boxes as a plotly figure, for the second observer: zoom, pan, hover, click on a nucleus."""

from __future__ import annotations

from collections.abc import Collection, Iterable, Mapping, Sequence
from typing import Any

import plotly.graph_objects as go

from her2core.records import Box
from her2core.ui.palette import BOX_STYLES, BoxStyle, NucleusState

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
_USUAL_WIDTH_PX = 820  # of the figure on a 1366 pixel wide screen; only the size of the frame hangs on it
_LEGEND_PX = 26  # under the image, so that it hides no nucleus


def blinded_figure(
    image_url: str,
    width_px: int,
    height_px: int,
    boxes: Mapping[int, Box],
    counted: Collection[int],
    *,
    selected: int | None = None,
    figure_height_px: int = 500,
    zoom: float = 1.0,
) -> go.Figure:
    """The region for the second observer: boxes by nucleus id, and which of them that observer has counted."""
    figure = _canvas(image_url, width_px, height_px, figure_height_px)
    for title, style, wanted in (
        ("to be counted", BOX_STYLES[NucleusState.SCORED], False),
        ("counted by you", BOX_STYLES[NucleusState.EDITED], True),
    ):
        figure.add_trace(_boxes(title, style, [box for key, box in boxes.items() if (key in counted) is wanted]))
    _frame(figure, width_px, height_px, boxes, [f"Nucleus {key}" for key in boxes], selected, zoom)
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


def _canvas(image_url: str, width_px: int, height_px: int, figure_height_px: int) -> go.Figure:
    """The image alone, in pixels of the region, y down."""
    figure = go.Figure()
    figure.add_layout_image(
        source=image_url, x=0, y=0, sizex=width_px, sizey=height_px, xref="x", yref="y", sizing="stretch", layer="below"
    )
    figure.update_layout(
        height=figure_height_px,
        margin={"l": 0, "r": 0, "t": 0, "b": _LEGEND_PX},
        paper_bgcolor="rgba(0,0,0,0)",
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
    figure: go.Figure,
    width_px: int,
    height_px: int,
    boxes: Mapping[int, Box],
    texts: Sequence[str],
    selected: int | None,
    zoom: float,
) -> None:
    """What can be clicked, and what of the image is shown."""
    room_px = figure.layout.height - _LEGEND_PX
    shown_px = min(room_px, _USUAL_WIDTH_PX * height_px / width_px)
    figure.add_trace(_handles(boxes, texts, selected, zoom * shown_px / height_px))
    x0, y0, x1, y1 = _window(width_px, height_px, boxes, selected, zoom)
    axis = {"visible": False, "showgrid": False, "zeroline": False, "constrain": "domain"}
    figure.update_xaxes(range=[x0, x1], **axis)
    figure.update_yaxes(range=[y1, y0], scaleanchor="x", scaleratio=1, **axis)


def _boxes(title: str, style: BoxStyle, boxes: Sequence[Box]) -> go.Scatter:
    x, y = _outline(boxes)
    return go.Scatter(
        x=x,
        y=y,
        mode="lines",
        name=f"{title} ({len(boxes)})",
        line={"color": style.colour, "width": style.width, "dash": style.dash},
        hoverinfo="skip",
        showlegend=bool(boxes),
    )


def _handles(
    by_id: Mapping[int, Box], texts: Sequence[str], selected: int | None, screen_per_image_px: float
) -> go.Scatter:
    """Points in the middle of the nuclei, which the pointer finds. Only the chosen one is seen, as a white frame."""
    boxes = list(by_id.values())
    chosen = [index for index, key in enumerate(by_id) if key == selected]
    return go.Scatter(
        x=[(x0 + x1) / 2 for x0, _, x1, _ in boxes],
        y=[(y0 + y1) / 2 for _, y0, _, y1 in boxes],
        mode="markers",
        marker={
            "symbol": "square-open",
            "color": "#FFFFFF",
            "line": {"width": 3},
            "size": [max(14.0, 1.12 * max(x1 - x0, y1 - y0) * screen_per_image_px) for x0, y0, x1, y1 in boxes],
        },
        selectedpoints=chosen,
        selected={"marker": {"opacity": 1.0}},
        unselected={"marker": {"opacity": 0.0}},
        customdata=list(by_id),
        text=list(texts),
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
