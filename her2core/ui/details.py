"""The form of what intake records about patient, specimen and assay."""

from __future__ import annotations

from datetime import date

import streamlit as st

from her2core.records import IHC, CaseDetails

__all__ = [
    "IHC_WORDS",
    "details_form",
]

_UNKNOWN = "not recorded"
_YES_NO = {None: _UNKNOWN, True: "yes", False: "no"}
_CONTROLS = {None: _UNKNOWN, True: "as expected", False: "not as expected"}
_SEX = ("", "F", "M", "other")
_LATERALITY = ("", "left", "right", "midline")
_SPECIMENS = ("", "core biopsy", "resection", "metastasis", "cytology block")
_FIRST_DAY = date(1900, 1, 1)

IHC_WORDS: dict[IHC | None, str] = {None: "not done"} | {score: score.value for score in IHC}
"""IHC scores as they are offered; 0+ is faint, incomplete staining in at most 10 % of the cells."""


def details_form(key: str, known: CaseDetails | None, button: str, *, disabled: bool = False) -> CaseDetails | None:
    """Draw the form, filled with `known`; the details once the button is pressed, else None."""
    d = known or CaseDetails("", "", "")
    with st.form(f"details_{key}", border=False):
        patient, specimen, assay = st.columns(3, gap="medium")
        with patient:
            st.markdown("**Patient**")
            accession = st.text_input("Accession number *", d.accession, key=f"{key}_accession", max_chars=60)
            name = st.text_input("Patient name *", d.patient_name, key=f"{key}_name", placeholder="Surname, first name")
            patient_id = st.text_input(
                "Patient ID *", d.patient_id, key=f"{key}_patient_id", help="The second identifier on every page."
            )
            one, two = st.columns(2)
            born = one.date_input(
                "Date of birth", d.date_of_birth, min_value=_FIRST_DAY, max_value="today", key=f"{key}_born"
            )
            sex = two.selectbox("Sex", _choices(_SEX, d.sex), index=_index(_SEX, d.sex), key=f"{key}_sex")
            requester = st.text_input("Requested by", d.requester, key=f"{key}_requester")
        with specimen:
            st.markdown("**Specimen**")
            one, two = st.columns(2)
            kind = one.selectbox(
                "Specimen", _choices(_SPECIMENS, d.specimen), index=_index(_SPECIMENS, d.specimen), key=f"{key}_kind"
            )
            block = two.text_input("Block", d.block, key=f"{key}_block")
            site = one.text_input("Site", d.site or "breast", key=f"{key}_site")
            side = two.selectbox(
                "Side", _choices(_LATERALITY, d.laterality), index=_index(_LATERALITY, d.laterality), key=f"{key}_side"
            )
            collected = one.date_input("Collected", d.collected_on, max_value="today", key=f"{key}_collected")
            received = two.date_input("Received", d.received_on, max_value="today", key=f"{key}_received")
            fixative = st.text_input("Fixative", d.fixative or "10 % neutral buffered formalin", key=f"{key}_fixative")
            one, two = st.columns(2)
            hours = one.number_input(
                "Fixation (hours)", 0.0, 1000.0, d.fixation_hours, step=1.0, format="%g", key=f"{key}_hours",
                help="ASCO/CAP asks for 6 to 72 hours.",
            )  # fmt: skip
            ischaemia = two.number_input(
                "Cold ischaemia (min)", 0.0, 10_000.0, d.cold_ischaemia_min, step=5.0, format="%g",
                key=f"{key}_ischaemia", help="ASCO/CAP asks for at most 60 minutes.",
            )  # fmt: skip
        with assay:
            st.markdown("**Assay**")
            kit = st.text_input("Probe kit", d.probe_kit, key=f"{key}_kit")
            one, two = st.columns(2)
            lot = one.text_input("Lot", d.probe_lot, key=f"{key}_lot")
            expiry = two.date_input("Expires", d.probe_expiry, key=f"{key}_expiry")
            controls = st.selectbox(
                "Batch and on-slide controls", list(_CONTROLS), index=list(_CONTROLS).index(d.controls_ok),
                format_func=_CONTROLS.__getitem__, key=f"{key}_controls",
                help="Without controls that hybridised as expected no ISH result may be given.",
            )  # fmt: skip
            ihc = st.selectbox(
                "HER2 IHC score", list(IHC_WORDS), index=list(IHC_WORDS).index(d.ihc),
                format_func=IHC_WORDS.__getitem__, key=f"{key}_ihc",
                help="0+: faint, incomplete staining in at most 10 % of the cells; it is treated as 0.",
            )  # fmt: skip
            same = st.selectbox(
                "IHC on the same tissue sample", list(_YES_NO), index=list(_YES_NO).index(d.ihc_same_sample),
                format_func=_YES_NO.__getitem__, key=f"{key}_same",
                help="Groups 2 to 4 are decided with IHC of the sample that FISH was done on.",
            )  # fmt: skip
        pressed = st.form_submit_button(button, type="primary", disabled=disabled, key=f"{key}_save")
    if not pressed:
        return None
    return CaseDetails(
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


def _choices(known: tuple[str, ...], present: str) -> list[str]:
    """The usual answers, with the present one even where it is none of them."""
    return [*known, present] if present not in known else list(known)


def _index(known: tuple[str, ...], present: str) -> int:
    return _choices(known, present).index(present)
