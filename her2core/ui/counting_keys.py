"""The keys of the second read: a component without a face, since Streamlit gives the focus to no field.

Each nucleus has fields of its own, and with every count they are drawn anew; what is in `counting_keys.js` leads the
keyboard on to the next one. It presses the buttons of the page and stores nothing itself.
"""

from __future__ import annotations

from functools import cache
from pathlib import Path

import streamlit as st
from streamlit.components.v2.types import ComponentRenderer

__all__ = ["KEYS", "mount_counting_keys"]

KEYS = "Keys: type HER2, Tab, CEP17, Enter; N and P go on and back, X leaves out."


@cache
def _keys() -> ComponentRenderer:
    script = Path(__file__).with_suffix(".js").read_text(encoding="utf-8")
    return st.components.v2.component("her2core_counting_keys", js=script)


def mount_counting_keys(fields: str, her2: int | None, cep17: int | None, pattern: str) -> None:
    """Lead the keyboard through the two fields whose keys begin with `fields`, and which hold these counts; it stays
    where the text is not what `pattern`, a regular expression, says of a count."""
    data = {"fields": fields, "counts": {"her2": her2, "cep17": cep17}, "pattern": pattern}
    with st.container(key="counting_keys"):
        _keys()(key="recount_keys", data=data, height=1)
