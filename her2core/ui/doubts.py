"""What is wrong with the details of a case, or doubtful."""

from __future__ import annotations

from collections.abc import Sequence

import streamlit as st

from her2core import workflow
from her2core.records import CaseDetails
from her2core.ui.services import Services
from her2core.ui.words import plain
from her2core.workflow import DetailsWarning

__all__ = ["details_doubts"]

_MOST_OTHERS = 5
_MOST_OPEN = 2


def details_doubts(
    rooms: Services, details: CaseDetails, found: Sequence[DetailsWarning], *, key: str, but: int | None = None
) -> None:
    """Says what was `found`. Which other cases have the patient ID is said here and in no report.

    What cannot be, and that the case may belong to another patient, is always in sight; of more than two doubts the
    others are folded under their number.
    """
    _box([plain(warning.text) for warning in found if warning.impossible], impossible=True)
    patient = [plain(warning.text) for warning in found if warning.of_patient]
    rest = [plain(warning.text) for warning in found if not (warning.impossible or warning.of_patient)]
    fold = len(patient) + len(rest) > _MOST_OPEN
    others = workflow.other_accessions(rooms.log, details, but) if patient else ()
    if others:
        more = f" and {len(others) - _MOST_OTHERS} more" if len(others) > _MOST_OTHERS else ""
        patient.append(f"Other cases with this patient ID: {plain(', '.join(others[:_MOST_OTHERS]))}{more}.")
    _box(patient if fold else [*patient, *rest])
    if fold and rest:
        title = f":orange[**{len(rest)} doubtful detail{'s' if len(rest) > 1 else ''}**], to be compared"
        with st.expander(title, icon=":material/warning:", key=f"doubts_{key}"):
            _box(rest)


def _box(texts: Sequence[str], *, impossible: bool = False) -> None:
    if not texts:
        return
    show, icon = (st.error, ":material/event_busy:") if impossible else (st.warning, ":material/warning:")
    show(texts[0] if len(texts) == 1 else "\n".join(f"- {text}" for text in texts), icon=icon)
