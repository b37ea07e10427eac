"""The form of what intake records about patient, specimen and assay."""

from __future__ import annotations

from dataclasses import replace
from datetime import date
from typing import Any

import streamlit as st
from streamlit.delta_generator import DeltaGenerator

from her2core.records import FIXATION_HOURS, IHC, LONGEST_ISCHAEMIA_MIN, CaseDetails

__all__ = [
    "IHC_WORDS",
    "details_draft",
    "details_form",
    "is_begun",
]

_UNKNOWN = "not recorded"
_YES_NO = {None: _UNKNOWN, True: "yes", False: "no"}
_CONTROLS = {None: _UNKNOWN, True: "as expected", False: "not as expected"}
_SEX = ("", "F", "M", "other")
_LATERALITY = ("", "left", "right", "midline")
_SPECIMENS = ("", "core biopsy", "resection", "metastasis", "cytology block")
# A field keeps a day beyond its limits to itself: the page would go on with the day before it, or with none. So every
# day comes through, and what cannot be is refused by the workflow, which says why.
_ANY_DAY: dict[str, Any] = {"min_value": date(1850, 1, 1), "max_value": date(2199, 12, 31)}
_SITE, _FIXATIVE = "breast", "10 % neutral buffered formalin"
_EMPTY = CaseDetails("", "", "")

IHC_WORDS: dict[IHC | None, str] = {None: "not done"} | {score: score.value for score in IHC}
"""IHC scores as they are offered; 0+ is faint, incomplete staining in at most 10 % of the cells."""


def details_form(key: str, known: CaseDetails, button: str, *, disabled: bool = False) -> CaseDetails | None:
    """Draw the form, filled with `known`; the details once the button is pressed, else None."""
    with st.form(f"details_{key}", border=False):
        details, below = _fields(key, known)
        with below:
            pressed = st.form_submit_button(button, type="primary", disabled=disabled, key=f"{key}_save")
    return details if pressed else None


def details_draft(key: str) -> tuple[CaseDetails, DeltaGenerator]:
    """Draw empty fields whose values outlive the page for as long as the session lasts; what is in them now, and the
    place for the button."""
    return _fields(key, _EMPTY, persist_state="session")


def is_begun(details: CaseDetails) -> bool:
    """Whether anything was entered into fields that began empty."""
    return details != replace(_EMPTY, site=_SITE, fixative=_FIXATIVE)


def _fields(key: str, d: CaseDetails, **kept: Any) -> tuple[CaseDetails, DeltaGenerator]:
    """The fields, filled with `d`: what is in them, and the column that has room below. `kept`: how long their values
    are, as the widgets take it."""
    patient, specimen, assay = st.columns(3, gap="medium")
    with patient:
        st.markdown("**Patient**")
        accession = st.text_input("Accession number *", d.accession, key=f"{key}_accession", **kept, max_chars=60)
        name = st.text_input(
            "Patient name *", d.patient_name, key=f"{key}_name", **kept, placeholder="Surname, first name"
        )
        patient_id = st.text_input(
            "Patient ID *", d.patient_id, key=f"{key}_patient_id", **kept, help="The second identifier on every page."
        )
        one, two = st.columns(2)
        born = one.date_input("Date of birth", d.date_of_birth, **_ANY_DAY, key=f"{key}_born", **kept)
        sex = two.selectbox("Sex", _choices(_SEX, d.sex), index=_index(_SEX, d.sex), key=f"{key}_sex", **kept)
        requester = st.text_input("Requested by", d.requester, key=f"{key}_requester", **kept)
    with specimen:
        st.markdown("**Specimen**")
        one, two = st.columns(2)
        kind = one.selectbox(
            "Specimen",
            _choices(_SPECIMENS, d.specimen),
            index=_index(_SPECIMENS, d.specimen),
            key=f"{key}_kind",
            **kept,
        )
        block = two.text_input("Block", d.block, key=f"{key}_block", **kept)
        site = one.text_input("Site", d.site or _SITE, key=f"{key}_site", **kept)
        side = two.selectbox(
            "Side",
            _choices(_LATERALITY, d.laterality),
            index=_index(_LATERALITY, d.laterality),
            key=f"{key}_side",
            **kept,
        )
        collected = one.date_input("Collected", d.collected_on, **_ANY_DAY, key=f"{key}_collected", **kept)
        received = two.date_input("Received", d.received_on, **_ANY_DAY, key=f"{key}_received", **kept)
        fixative = st.text_input("Fixative", d.fixative or _FIXATIVE, key=f"{key}_fixative", **kept)
        one, two = st.columns(2)
        hours = one.number_input(
            "Fixation (hours)", 0.0, 1000.0, d.fixation_hours, step=1.0, format="%g", key=f"{key}_hours", **kept,
            help=f"ASCO/CAP asks for {FIXATION_HOURS[0]} to {FIXATION_HOURS[1]} hours.",
        )  # fmt: skip
        ischaemia = two.number_input(
            "Cold ischaemia (min)", 0.0, 10_000.0, d.cold_ischaemia_min, step=5.0, format="%g",
            key=f"{key}_ischaemia", **kept, help=f"ASCO/CAP asks for at most {LONGEST_ISCHAEMIA_MIN} minutes.",
        )  # fmt: skip
    with assay:
        st.markdown("**Assay**")
        kit = st.text_input("Probe kit", d.probe_kit, key=f"{key}_kit", **kept)
        one, two = st.columns(2)
        lot = one.text_input("Lot", d.probe_lot, key=f"{key}_lot", **kept)
        expiry = two.date_input("Expires", d.probe_expiry, **_ANY_DAY, key=f"{key}_expiry", **kept)
        controls = st.selectbox(
            "Batch and on-slide controls", list(_CONTROLS), index=list(_CONTROLS).index(d.controls_ok),
            format_func=_CONTROLS.__getitem__, placeholder=_CONTROLS[None], key=f"{key}_controls", **kept,
            help="Without controls that hybridised as expected no ISH result may be given.",
        )  # fmt: skip
        ihc = st.selectbox(
            "HER2 IHC score", list(IHC_WORDS), index=list(IHC_WORDS).index(d.ihc),
            format_func=IHC_WORDS.__getitem__, placeholder=IHC_WORDS[None], key=f"{key}_ihc", **kept,
            help="0+: faint, incomplete staining in at most 10 % of the cells; it is treated as 0.",
        )  # fmt: skip
        same = st.selectbox(
            "IHC on the same tissue sample", list(_YES_NO), index=list(_YES_NO).index(d.ihc_same_sample),
            format_func=_YES_NO.__getitem__, placeholder=_YES_NO[None], key=f"{key}_same", **kept,
            help="Groups 2 to 4 are decided with IHC of the sample that FISH was done on.",
        )  # fmt: skip
    entered = CaseDetails(
        accession=accession or "",
        patient_name=name or "",
        patient_id=patient_id or "",
        date_of_birth=born,
        sex=sex or "",
        requester=requester or "",
        specimen=kind or "",
        site=site or "",
        laterality=side or "",
        block=block or "",
        fixative=fixative or "",
        fixation_hours=hours,
        cold_ischaemia_min=ischaemia,
        collected_on=collected,
        received_on=received,
        probe_kit=kit or "",
        probe_lot=lot or "",
        probe_expiry=expiry,
        controls_ok=controls,
        ihc=ihc,
        ihc_same_sample=same,
    )
    return entered, assay


def _choices(known: tuple[str, ...], present: str) -> list[str]:
    """The usual answers, with the present one even where it is none of them."""
    return [*known, present] if present not in known else list(known)


def _index(known: tuple[str, ...], present: str) -> int:
    return _choices(known, present).index(present)
