"""Intake: the case, its region images, and the pathologist's judgement of each before the models run."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any

import streamlit as st

from her2core import workflow
from her2core.errors import Her2CoreError
from her2core.imaging import quality
from her2core.records import CaseState, Overlap, Population, Region, RegionFlags, SignalIntensity, User
from her2core.scoring import RejectionReason, countability
from her2core.ui.details import details_form
from her2core.ui.imagery import png, thumbnail
from her2core.ui.services import Services, image_limits, region_image
from her2core.ui.session import flash, open_case, saved
from her2core.ui.words import plain
from her2core.workflow import CaseReview, RegionReview

__all__ = ["draw_case", "draw_new_case"]

_ROUND = "intake_upload_round"
_SUITABLE, _UNSUITABLE = "suitable", "not suitable"
_TYPES = ["jpg", "jpeg", "png", "tif", "tiff"]
_REASONS = (
    "signals too weak to score",
    "strong autofluorescence or background",
    "out of focus",
    "nuclei not resolved (over- or under-digestion)",
    "signals over cytoplasm",
    "too few invasive tumour nuclei",
    "no invasive tumour",
)

# The guideline's reasons to reject a test, as they stand behind a piece of advice.
_REJECTS = {
    RejectionReason.CONTROLS: "Reason to reject: controls.",
    RejectionReason.TOO_FEW_AREAS: "Reason to reject: too few areas or nuclei.",
    RejectionReason.WEAK_SIGNALS: "Reason to reject: more than 25 % of signals too weak.",
    RejectionReason.CYTOPLASMIC: "Reason to reject: more than 10 % of signals over cytoplasm.",
    RejectionReason.RESOLUTION: "Reason to reject: nuclei not resolved.",
    RejectionReason.AUTOFLUORESCENCE: "Reason to reject: autofluorescence.",
}


def draw_new_case(rooms: Services, user: User) -> None:
    """The form that opens a case."""
    st.subheader("New case")
    details = details_form("new", None, "Open case")
    if details is None:
        return
    try:
        case = rooms.log.create_case(details, user)
    except Her2CoreError as error:
        st.error(str(error), icon=":material/error:")
        return
    open_case(case.id)
    flash("success", "Case opened. Add its region images.")
    st.rerun()


def draw_case(rooms: Services, user: User, case_id: int) -> None:
    """Regions, details and populations of the open case."""
    review = workflow.assess(rooms.log, case_id)
    regions, details, populations = st.tabs(
        [f"Region images ({len(review.regions)})", "Case details", f"Populations ({len(review.case.populations)})"]
    )
    with regions:
        _regions(rooms, user, review)
    with details:
        _details(rooms, user, review)
    with populations:
        _populations(rooms, user, review)


# --- regions ----------------------------------------------------------------------------------------------------------


def _regions(rooms: Services, user: User, review: CaseReview) -> None:
    left, right = st.columns([1.5, 1], gap="medium")
    with left:
        _uploader(rooms, user, review)
    with right:
        _next_step(review)
    for region in review.regions:
        with st.container(border=True, key=f"region_{region.region.id}"):
            _region(rooms, user, review, region)


def _uploader(rooms: Services, user: User, review: CaseReview) -> None:
    key = f"intake_upload_{st.session_state.get(_ROUND, 0)}"
    st.file_uploader(
        "Add region images (JPEG, PNG, TIFF or OME-TIFF; red HER2, green CEP17, blue DAPI)",
        type=_TYPES,
        accept_multiple_files=True,
        key=key,
        max_upload_size=rooms.settings.max_upload_mb,
        disabled=not review.editable,
        on_change=_store_uploads,
        args=(rooms, user, review.case.id, key),
    )


def _store_uploads(rooms: Services, user: User, case_id: int, key: str) -> None:
    """Verify and keep each file that was dropped; what cannot be used is said for each."""
    stored, problems = 0, []
    for upload in st.session_state.get(key) or []:
        try:
            workflow.add_region(rooms.log, case_id, upload.getvalue(), upload.name, user, image_limits(rooms.settings))
            stored += 1
        except Her2CoreError as error:
            problems.append(f"{plain(upload.name)}: {plain(str(error))}")
    st.session_state[_ROUND] = st.session_state.get(_ROUND, 0) + 1  # an empty uploader for the next ones
    if problems:
        flash("error", "  \n".join(problems))
    elif stored:
        flash("success", f"{stored} region image{'s' if stored > 1 else ''} added.")


def _next_step(review: CaseReview) -> None:
    if review.missing:
        lines = "\n".join(f"- {plain(line)}" for line in review.missing)
        st.info(f"**Before the analysis**\n{lines}", icon=":material/list_alt:")
        return
    if review.to_analyse:
        count = len(review.to_analyse)
        st.success(f"**{count} region{'s are' if count > 1 else ' is'} ready for analysis.**", icon=":material/check:")
    else:
        st.success("**All suitable regions are analysed.**", icon=":material/check:")
    if st.button("Go on to review", type="primary", icon=":material/arrow_forward:", key="intake_review"):
        st.switch_page("pages/review.py")


def _region(rooms: Services, user: User, review: CaseReview, shown: RegionReview) -> None:
    region = shown.region
    picture, flags, advice = st.columns([1, 2.1, 1.35], gap="medium")
    try:
        image = region_image(rooms.log, region)
    except Her2CoreError as error:
        st.error(str(error), icon=":material/error:")
        return
    with picture:
        st.image(_thumbnail(region.image_sha256, rooms, region), width="stretch")
        scale = f"{region.um_per_px:g} µm/px" if region.um_per_px else "scale not known"
        st.caption(f"{plain(region.filename)} · {region.width_px} × {region.height_px} · {scale}")
    with flags:
        _flags(rooms, user, review, shown)
    with advice:
        _suitability(rooms, shown, image.notes)


def _suitability(rooms: Services, shown: RegionReview, notes: Sequence[str]) -> None:
    """What was measured on the image and, once it is analysed, on its nuclei. It changes no flag."""
    st.markdown("**Suitability advice**")
    measures = _measures(shown.region.image_sha256, rooms, shown.region)
    points = [(limit.advice, limit.rejects) for limit in quality.broken(measures)]
    if shown.analysis is not None:
        points += [(point.text, point.rejects) for point in countability(r.nucleus for r in shown.nuclei).advice]
    lines = [f"- {plain(text)}" + (f" *{_REJECTS[reason]}*" if reason else "") for text, reason in points]
    lines += [f"- {plain(note)}" for note in notes]
    st.markdown("\n".join(lines) if lines else "Nothing measured speaks against this region.")
    st.caption(" · ".join([*_figures(shown, measures), "Advice only: you decide."]))


def _figures(shown: RegionReview, measures: Mapping[str, float | None]) -> list[str]:
    """How many nuclei there are: as found or, before the analysis, as estimated."""
    if shown.analysis is not None:
        seen = countability(r.nucleus for r in shown.nuclei)
        overlapping = seen.overlapping_percent
        said = [f"{seen.scored} of {seen.found} nuclei can be scored"]
        return said if overlapping is None else [*said, f"{overlapping:.0f} % overlap"]
    estimate = measures.get("estimated_nuclei")
    return [] if estimate is None else [f"About {estimate:.0f} nuclei in DAPI"]


def _flags(rooms: Services, user: User, review: CaseReview, shown: RegionReview) -> None:
    region, known = shown.region, shown.region.flags
    key = f"flags_{region.id}"
    labels = [p.label for p in review.case.populations]
    with st.form(key, border=False):
        title = f"Region {shown.name}" if known is not None else "Not flagged yet"
        st.markdown(f"**{plain(title)}**")
        one, two = st.columns(2)
        suitable = one.segmented_control(
            "Suitable for counting?", [_SUITABLE, _UNSUITABLE], key=f"{key}_suitable",
            default=None if known is None else (_SUITABLE if known.suitable else _UNSUITABLE),
            help="Only suitable regions are analysed.",
        )  # fmt: skip
        reason = two.selectbox(
            "If not: why", _REASONS, index=_reason_index(known), key=f"{key}_reason", accept_new_options=True,
            placeholder="Choose or type a reason",
        )  # fmt: skip
        intensity = one.segmented_control(
            "Signal intensity", [i.value for i in SignalIntensity], key=f"{key}_intensity", required=True,
            default=(known.signal_intensity if known else SignalIntensity.GOOD).value,
        )  # fmt: skip
        overlap = two.segmented_control(
            "Overlap of nuclei", [o.value for o in Overlap], key=f"{key}_overlap", required=True,
            default=(known.overlap if known else Overlap.LITTLE).value,
        )  # fmt: skip
        clusters = one.toggle(
            "HER2 signals in clusters", known.clusters if known else False, key=f"{key}_clusters",
            help="The models then need less evidence to count a nucleus by its cluster.",
        )  # fmt: skip
        heterogeneous = two.toggle("Heterogeneous", known.heterogeneous if known else False, key=f"{key}_hetero")
        population = one.selectbox(
            "Population shown", labels, key=f"{key}_population",
            index=labels.index(known.population) if known and known.population in labels else 0,
        )  # fmt: skip
        scale = two.number_input(
            "Scale (µm per pixel)", 0.01, 10.0, region.um_per_px, step=0.01, format="%.4g", key=f"{key}_scale",
            help="As the microscope's software states it; needed for the scale bar.",
        )  # fmt: skip
        buttons = st.container(horizontal=True)
        save = buttons.form_submit_button("Save flags", type="primary", key=f"{key}_save", disabled=not review.editable)
        unflagged = [r.region for r in review.regions if r.region.flags is None and r.region.id != region.id]
        for_all = bool(unflagged) and buttons.form_submit_button(
            f"Save for this and {len(unflagged)} unflagged", key=f"{key}_all", disabled=not review.editable
        )
        remove = review.case.state is CaseState.DRAFT and buttons.form_submit_button(
            "Remove image", key=f"{key}_remove"
        )
    if remove:
        saved(rooms.log.remove_region, region.id, user, "removed at intake", done="Image removed.")
        st.rerun()
    if save or for_all:
        if suitable is None:
            st.error("Say whether the region is suitable for counting.")
            return
        _save_flags(
            rooms,
            user,
            [region, *(unflagged if for_all else [])],
            scale if scale != region.um_per_px else None,
            heterogeneous=heterogeneous,
            population=population,
            clusters=clusters,
            signal_intensity=SignalIntensity(intensity),
            overlap=Overlap(overlap),
            suitable=suitable == _SUITABLE,
            unsuitable_reason="" if suitable == _SUITABLE else (reason or ""),
        )


def _save_flags(rooms: Services, user: User, regions: Sequence[Region], scale: float | None, **values: object) -> None:
    try:
        flags = RegionFlags(**values)  # type: ignore[arg-type]
        if scale is not None:
            rooms.log.set_scale(regions[0].id, scale, user)
        for region in regions:
            workflow.set_flags(rooms.log, region.id, flags, user)
    except Her2CoreError as error:
        st.error(str(error), icon=":material/error:")
        return
    flash("success", "Flags saved.")
    st.rerun()


def _reason_index(known: RegionFlags | None) -> int | None:
    return _REASONS.index(known.unsuitable_reason) if known and known.unsuitable_reason in _REASONS else None


@st.cache_data(show_spinner=False, max_entries=200)
def _thumbnail(sha256: str, _rooms: Services, _region: Region) -> bytes:
    del sha256
    return png(thumbnail(region_image(_rooms.log, _region).pixels_rgb))


@st.cache_data(show_spinner="Measuring suitability", max_entries=500)
def _measures(sha256: str, _rooms: Services, _region: Region) -> dict[str, float | None]:
    del sha256
    return quality.measure(region_image(_rooms.log, _region).pixels_rgb)


# --- details and populations ------------------------------------------------------------------------------------------


def _details(rooms: Services, user: User, review: CaseReview) -> None:
    if not review.editable:
        st.info("The case is signed. Open an amendment under Work-up and sign-out to change it.")
    case = review.case
    details = details_form(f"case_{case.id}", case.details, "Save details", disabled=not review.editable)
    if details is not None and saved(
        workflow.set_details, rooms.log, case.id, details, case.version, user, done="Details saved."
    ):
        st.rerun()


def _populations(rooms: Services, user: User, review: CaseReview) -> None:
    case = review.case
    st.markdown(
        "One population for a homogeneous tumour. Where a second, distinct population has clearly more HER2 signals, "
        "add it with its share of the tumour cells: each is counted and reported by itself, and above 10 % it bears on "
        "the result."
    )
    left, _ = st.columns([1, 1.4])
    with left:
        rows: list[dict[str, Any]] = [
            {"Population": p.label, "Share of tumour cells (%)": p.share_percent} for p in case.populations
        ]
        edited = st.data_editor(
            rows, num_rows="dynamic", key=f"populations_{case.id}_{case.version}", disabled=not review.editable,
            column_config={
                "Population": st.column_config.TextColumn(required=True, max_chars=20),
                "Share of tumour cells (%)": st.column_config.NumberColumn(min_value=0, max_value=100, format="%g"),
            },
        )  # fmt: skip
        if st.button("Save populations", type="primary", key="populations_save", disabled=not review.editable):
            wanted = [
                Population(str(row.get("Population") or "").strip(), row.get("Share of tumour cells (%)"))
                for row in edited
                if str(row.get("Population") or "").strip()
            ]
            saved(workflow.set_populations, rooms.log, case.id, wanted, case.version, user, done="Populations saved.")
            st.rerun()
