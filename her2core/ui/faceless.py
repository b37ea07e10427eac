"""Components without a face: scripts that watch or lead the keyboard on a page, draw nothing and take no room.

A script defines a class `Faceless` with `show(data, setStateValue)`, called with every run, and `close()`; what mounts
it and takes it off is in `faceless.js`.
"""

from __future__ import annotations

from functools import cache
from pathlib import Path
from typing import Any

import streamlit as st
from streamlit.components.v2.bidi_component import ComponentResult
from streamlit.components.v2.types import ComponentRenderer

__all__ = ["mount_faceless"]

_STYLE = "<style>.st-key-{name} {{position: absolute; width: 0; height: 0; overflow: hidden;}}</style>"


@cache
def _renderer(script: Path) -> ComponentRenderer:
    parts = (script, Path(__file__).with_suffix(".js"))
    return st.components.v2.component(
        f"her2core_{script.stem}", js="\n".join(part.read_text(encoding="utf-8") for part in parts)
    )


def mount_faceless(script: Path, **options: Any) -> ComponentResult:
    """Mount a script (`.js`) on the page; `options` are Streamlit's for components: key, data, default, callbacks."""
    with st.container(key=script.stem):
        st.html(_STYLE.format(name=script.stem))
        return _renderer(script)(height=1, **options)
