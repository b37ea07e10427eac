"""The two components: the editor, and the carrier of a region's picture. Both run the same JavaScript module, through
which the picture reaches the editor."""

from __future__ import annotations

import json
from collections.abc import Callable, Iterable, Mapping
from functools import cache
from pathlib import Path
from typing import Any

import streamlit as st
from streamlit.components.v2.types import ComponentRenderer

__all__ = ["FRONTEND", "javascript", "mount_editor", "mount_pictures"]

FRONTEND = Path(__file__).resolve().parent / "frontend"


@cache
def javascript() -> str:
    """The editor's module: the files of `frontend/` in the order of their numbers."""
    return "\n".join(path.read_text(encoding="utf-8") for path in sorted(FRONTEND.glob("*.js")))


@cache
def _editor() -> ComponentRenderer:
    css = (FRONTEND / "editor.css").read_text(encoding="utf-8")
    return st.components.v2.component("her2core_editor", css=css, js=javascript())


@cache
def _carrier() -> ComponentRenderer:
    return st.components.v2.component("her2core_picture", js=javascript())


def mount_editor(key: str, state: Mapping[str, Any], on_message: Callable[[], None]) -> None:
    """Draw the editor with this state; `on_message` runs when it sent something: `st.session_state[key]["message"]`."""
    # As one string: Streamlit would look through every value of a nested structure for tables.
    data = {"state": json.dumps(state, ensure_ascii=False, separators=(",", ":"))}
    _editor()(key=key, data=data, on_message_change=on_message)


def mount_pictures(pictures: Iterable[tuple[str, bytes]]) -> None:
    """Send pictures (key, bytes as `pictures.encode` makes them) to the browser; nothing is seen of it."""
    with st.container(key="her2core_pictures"):
        for key, picture in pictures:
            _carrier()(key=f"picture_{key}", data=picture, height=1)
