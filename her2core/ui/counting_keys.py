"""The keys of the second read: a component without a face, since Streamlit gives the focus to no field.

Each nucleus has fields of its own, and with every count they are drawn anew; what is in `counting_keys.js` leads the
keyboard on to the next one. It presses the buttons of the page and stores nothing itself.
"""

from __future__ import annotations

from pathlib import Path

from her2core.ui.faceless import mount_faceless

__all__ = ["KEYS", "mount_counting_keys"]

_SCRIPT = Path(__file__).with_suffix(".js")
KEYS = "Keys: type HER2, Tab, CEP17, Enter; N and P go on and back, X leaves out."


def mount_counting_keys(fields: str, her2: int | None, cep17: int | None, pattern: str) -> None:
    """Lead the keyboard through the two fields whose keys begin with `fields`, and which hold these counts; it stays
    where the text is not what `pattern`, a regular expression, says of a count."""
    data = {"fields": fields, "counts": {"her2": her2, "cep17": cep17}, "pattern": pattern}
    mount_faceless(_SCRIPT, key="recount_keys", data=data)
