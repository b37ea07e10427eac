"""A signed report for other systems, and a whole case as a file, to download. Made, and noted, when asked for."""

from __future__ import annotations

from collections.abc import Callable

import streamlit as st

from her2core import workflow
from her2core.records import User
from her2core.ui.services import Services
from her2core.workflow import Format

__all__ = ["draw", "made"]

_KINDS = (
    (Format.FHIR, "FHIR R4 bundle", "fhir.json", "application/fhir+json"),
    (Format.HL7, "HL7 v2.5.1 message", "hl7", "x-application/hl7-v2+er7"),
)


def draw(rooms: Services, user: User, case_id: int) -> None:
    """The downloads of the latest signed report of a case, behind one button."""
    with st.popover("For other systems", icon=":material/share:"):
        st.caption("The latest signed report with its numbers and the PDF. It holds patient data.")
        for file_format, label, ending, mime in _KINDS:
            st.download_button(
                label, _maker(rooms, user, case_id, file_format), f"{workflow.report_number(case_id)}.{ending}", mime,
                key=f"release_{file_format.value}_{case_id}", icon=":material/download:", on_click="ignore",
                width="stretch",
            )  # fmt: skip
        st.caption("The whole case: images, analyses, corrections, reports and history, with the SHA-256 of each part.")
        for deidentified, label in ((False, "Whole case"), (True, "Whole case, without names")):
            st.download_button(
                label, _archiver(rooms, user, case_id, deidentified=deidentified),
                "case.zip" if deidentified else f"{workflow.report_number(case_id)}.zip", "application/zip",
                key=f"archive_{deidentified}_{case_id}", icon=":material/folder_zip:", on_click="ignore",
                width="stretch",
            )  # fmt: skip


def made(rooms: Services, user: User, case_id: int, file_format: Format) -> bytes:
    """The bytes of the download, noted as exported. Raises Her2CoreError."""
    laboratory = workflow.laboratory_of(rooms.settings)
    return workflow.report_of(rooms.log, case_id, file_format, laboratory, user).handed_out(rooms.log)


def _maker(rooms: Services, user: User, case_id: int, file_format: Format) -> Callable[[], bytes]:
    return lambda: made(rooms, user, case_id, file_format)


def _archiver(rooms: Services, user: User, case_id: int, *, deidentified: bool) -> Callable[[], bytes]:
    return lambda: workflow.archive_case(rooms.log, case_id, user, deidentified=deidentified)[1]
