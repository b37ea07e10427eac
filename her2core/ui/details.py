"""The fields of what intake records about patient, specimen and assay."""

from __future__ import annotations

from dataclasses import replace
from datetime import date
from typing import Any

import streamlit as st
from streamlit.delta_generator import DeltaGenerator

from her2core.records import FIXATION_HOURS, IHC, LONGEST_ISCHAEMIA_MIN, CaseDetails
from her2core.ui.date_guard import mount_date_guard, taken_instead

__all__ = [
    "IHC_WORDS",
    "NEW_CASE",
    "details_fields",
    "entered",
    "is_begun",
]

_UNKNOWN = "not recorded"
_YES_NO = {None: _UNKNOWN, True: "yes", False: "no"}
_CONTROLS = {None: _UNKNOWN, True: "as expected", False: "not as expected"}
_SEX = ("", "F", "M", "other")
_LATERALITY = ("", "left", "right", "midline")
_SPECIMENS = ("", "core biopsy", "resection", "metastasis", "cytology block")
# A field keeps what is beyond its limits to itself: the page would go on with what was there before, or with nothing.
# So every day comes through, and every number, whose fields have no limits; what cannot be is refused by the workflow,
# which says why.
_ANY_DAY: dict[str, Any] = {"min_value": date(1850, 1, 1), "max_value": date(2199, 12, 31)}
_EMPTY = CaseDetails("", "", "")

NEW_CASE = replace(_EMPTY, site="breast", fixative="10 % neutral buffered formalin")
"""What the fields of a case that is being entered begin with."""

IHC_WORDS: dict[IHC | None, str] = {None: "not done"} | {score: score.value for score in IHC}
"""IHC scores as they are offered; 0+ is faint, incomplete staining in at most 10 % of the cells."""

# What the keys of the fields end in.
_ENDS = {
    "accession": "accession",
    "patient_name": "name",
    "patient_id": "patient_id",
    "date_of_birth": "born",
    "sex": "sex",
    "requester": "requester",
    "specimen": "kind",
    "site": "site",
    "laterality": "side",
    "block": "block",
    "fixative": "fixative",
    "fixation_hours": "hours",
    "cold_ischaemia_min": "ischaemia",
    "collected_on": "collected",
    "received_on": "received",
    "probe_kit": "kit",
    "probe_lot": "lot",
    "probe_expiry": "expiry",
    "controls_ok": "controls",
    "ihc": "ihc",
    "ihc_same_sample": "same",
}


def entered(key: str, first: CaseDetails) -> CaseDetails:
    """What is in the fields of these keys, on whatever page one is; they began with `first`."""
    typed: dict[str, Any] = {}
    for name, end in _ENDS.items():
        if (field := f"{key}_{end}") in st.session_state:
            value = st.session_state[field]
            typed[name] = getattr(_EMPTY, name) if value is None else value
    return replace(first, **typed)


def is_begun(details: CaseDetails) -> bool:
    """Whether anything was entered into the fields of a new case."""
    return details != NEW_CASE


def details_fields(key: str, d: CaseDetails, *, disabled: bool = False) -> tuple[CaseDetails, DeltaGenerator]:
    """Draw the fields, filled with `d`; their values outlive the page for as long as the session lasts. What is in them
    now, and the column that has room below."""
    kept: dict[str, Any] = {"persist_state": "session", "disabled": disabled}
    typed = mount_date_guard()

    def day(place: DeltaGenerator, label: str, value: date | None, end: str) -> None:
        now = place.date_input(label, value, **_ANY_DAY, key=f"{key}_{end}", **kept)
        said = taken_instead(typed.get(f"{key}_{end}"), now)
        if said:
            place.markdown(f":orange[:material/warning: {said}]")

    patient, specimen, assay = st.columns(3, gap="medium")
    with patient:
        st.markdown("**Patient**")
        st.text_input("Accession number *", d.accession, key=f"{key}_accession", **kept, max_chars=60)
        st.text_input("Patient name *", d.patient_name, key=f"{key}_name", **kept, placeholder="Surname, first name")
        st.text_input(
            "Patient ID *", d.patient_id, key=f"{key}_patient_id", **kept, help="The second identifier on every page."
        )
        one, two = st.columns(2)
        day(one, "Date of birth", d.date_of_birth, "born")
        two.selectbox("Sex", _choices(_SEX, d.sex), index=_index(_SEX, d.sex), key=f"{key}_sex", **kept)
        st.text_input("Requested by", d.requester, key=f"{key}_requester", **kept)
    with specimen:
        st.markdown("**Specimen**")
        one, two = st.columns(2)
        one.selectbox(
            "Specimen",
            _choices(_SPECIMENS, d.specimen),
            index=_index(_SPECIMENS, d.specimen),
            key=f"{key}_kind",
            **kept,
        )
        two.text_input("Block", d.block, key=f"{key}_block", **kept)
        one.text_input("Site", d.site, key=f"{key}_site", **kept)
        two.selectbox(
            "Side",
            _choices(_LATERALITY, d.laterality),
            index=_index(_LATERALITY, d.laterality),
            key=f"{key}_side",
            **kept,
        )
        day(one, "Collected", d.collected_on, "collected")
        day(two, "Received", d.received_on, "received")
        st.text_input("Fixative", d.fixative, key=f"{key}_fixative", **kept)
        one, two = st.columns(2)
        one.number_input(
            "Fixation (hours)", value=d.fixation_hours, step=1.0, format="%g", key=f"{key}_hours", **kept,
            help=f"ASCO/CAP asks for {FIXATION_HOURS[0]} to {FIXATION_HOURS[1]} hours.",
        )  # fmt: skip
        two.number_input(
            "Cold ischaemia (min)", value=d.cold_ischaemia_min, step=5.0, format="%g",
            key=f"{key}_ischaemia", **kept, help=f"ASCO/CAP asks for at most {LONGEST_ISCHAEMIA_MIN} minutes.",
        )  # fmt: skip
    with assay:
        st.markdown("**Assay**")
        st.text_input("Probe kit", d.probe_kit, key=f"{key}_kit", **kept)
        one, two = st.columns(2)
        one.text_input("Lot", d.probe_lot, key=f"{key}_lot", **kept)
        day(two, "Expires", d.probe_expiry, "expiry")
        st.selectbox(
            "Batch and on-slide controls", list(_CONTROLS), index=list(_CONTROLS).index(d.controls_ok),
            format_func=_CONTROLS.__getitem__, placeholder=_CONTROLS[None], key=f"{key}_controls", **kept,
            help="Without controls that hybridised as expected no ISH result may be given.",
        )  # fmt: skip
        st.selectbox(
            "HER2 IHC score", list(IHC_WORDS), index=list(IHC_WORDS).index(d.ihc),
            format_func=IHC_WORDS.__getitem__, placeholder=IHC_WORDS[None], key=f"{key}_ihc", **kept,
            help="0+: faint, incomplete staining in at most 10 % of the cells; it is treated as 0.",
        )  # fmt: skip
        st.selectbox(
            "IHC on the same tissue sample", list(_YES_NO), index=list(_YES_NO).index(d.ihc_same_sample),
            format_func=_YES_NO.__getitem__, placeholder=_YES_NO[None], key=f"{key}_same", **kept,
            help="Groups 2 to 4 are decided with IHC of the sample that FISH was done on.",
        )  # fmt: skip
    return entered(key, d), assay


def _choices(known: tuple[str, ...], present: str) -> list[str]:
    """The usual answers, with the present one even where it is none of them."""
    return [*known, present] if present not in known else list(known)


def _index(known: tuple[str, ...], present: str) -> int:
    return _choices(known, present).index(present)
