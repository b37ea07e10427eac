"""The regions of a case at intake: their pictures, and the flags of the chosen ones, saved as they are set."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any

import streamlit as st
from streamlit.delta_generator import DeltaGenerator

from her2core import workflow
from her2core.errors import Her2CoreError
from her2core.imaging import quality
from her2core.records import CaseState, Overlap, Region, SignalIntensity, User
from her2core.scoring import RejectionReason, corrections_in_force, countability
from her2core.ui.flagging import REASONS, UNSUITABLE, common, summary, with_field
from her2core.ui.imagery import png, thumbnail
from her2core.ui.services import Services, region_image
from her2core.ui.session import flash, saved
from her2core.ui.words import plain
from her2core.workflow import CaseReview, RegionReview

__all__ = ["draw", "measured_rows", "region_thumbnail"]

_SUITABLE = "suitable"
_YES, _NO = "yes", "no"
_ABREAST = 3
_REASON_DUE = "intake_reason_due"

# The guideline's reasons to reject a test, as they stand behind a piece of advice.
_REJECTS = {
    RejectionReason.CONTROLS: "Reason to reject: controls.",
    RejectionReason.TOO_FEW_AREAS: "Reason to reject: too few areas or nuclei.",
    RejectionReason.WEAK_SIGNALS: "Reason to reject: more than 25 % of signals too weak.",
    RejectionReason.CYTOPLASMIC: "Reason to reject: more than 10 % of signals over cytoplasm.",
    RejectionReason.RESOLUTION: "Reason to reject: nuclei not resolved.",
    RejectionReason.AUTOFLUORESCENCE: "Reason to reject: autofluorescence.",
}


def draw(rooms: Services, user: User, review: CaseReview, pictures: DeltaGenerator, panel: DeltaGenerator) -> None:
    """Pictures to choose from, and the flags of the chosen regions."""
    with pictures:
        chosen = _pictures(rooms, review)
    with panel, st.container(border=True, key="intake_flags"):
        if chosen:
            _flags(rooms, user, review, chosen)
            _advice(rooms, chosen)
        else:
            st.info("Choose one or more regions to flag them.", icon=":material/check_box:")


# --- pictures ---------------------------------------------------------------------------------------------------------


def _pictures(rooms: Services, review: CaseReview) -> list[RegionReview]:
    """The regions as pictures with a box to tick; the ones that are chosen. At first those without flags, or the
    first one."""
    keys = {region.region.id: f"intake_pick_{region.region.id}" for region in review.regions}
    unflagged = [r.region.id for r in review.regions if r.region.flags is None]
    for region_id, key in keys.items():
        first = region_id in unflagged or (not unflagged and region_id == review.regions[0].region.id)
        st.session_state.setdefault(key, first)
    with st.container(horizontal=True, vertical_alignment="center"):
        for label, wanted in (("All", set(keys)), ("Without flags", set(unflagged)), ("None", set())):
            st.button(
                label, key=f"intake_pick_{label}", on_click=_pick, args=(keys, wanted),
                disabled=label == "Without flags" and not unflagged,
            )  # fmt: skip
    several = len(review.case.populations) > 1
    for start in range(0, len(review.regions), _ABREAST):
        for column, shown in zip(st.columns(_ABREAST), review.regions[start : start + _ABREAST], strict=False):
            with column, st.container(border=True, key=f"region_{shown.region.id}", gap="xsmall"):
                _picture(rooms, shown, keys[shown.region.id], several)
    return [r for r in review.regions if st.session_state.get(keys[r.region.id])]


def _pick(keys: Mapping[int, str], wanted: set[int]) -> None:
    for region_id, key in keys.items():
        st.session_state[key] = region_id in wanted


def _picture(rooms: Services, shown: RegionReview, key: str, several: bool) -> None:
    region = shown.region
    st.checkbox(plain(region.filename), key=key)
    try:
        st.image(region_thumbnail(region.image_sha256, rooms, region), width="stretch")
    except Her2CoreError as error:
        st.error(str(error), icon=":material/error:")
    flags = region.flags
    icon = ":material/help:" if flags is None else ":material/check:" if flags.suitable else ":material/block:"
    scale = f"{region.um_per_px:g} µm/px" if region.um_per_px else "scale not known"
    st.caption(
        f"{icon} {plain(summary(flags, populations=several))}  \n{region.width_px} × {region.height_px} px · {scale}"
    )


# --- flags ------------------------------------------------------------------------------------------------------------


def _flags(rooms: Services, user: User, review: CaseReview, chosen: Sequence[RegionReview]) -> None:
    """The flags that the chosen regions have in common; a change is saved at once, for all of them."""
    regions = [r.region for r in chosen]
    ids = tuple(region.id for region in regions)
    known = [region.flags for region in regions]
    flagged = [flags for flags in known if flags is not None]
    labels = [p.label for p in review.case.populations]
    closed = not review.editable
    early = closed or len(flagged) < len(known)
    one = len(regions) == 1
    st.markdown(f"**Flags of {plain(regions[0].filename)}**" if one else f"**Flags of {len(regions)} regions**")

    def field(name: str, value: Any) -> dict[str, Any]:
        """Key and callback of a control, which shows what is stored."""
        key = f"flag_{name}_{'_'.join(map(str, ids))}"
        st.session_state[key] = value
        return {"key": key, "on_change": _save, "args": (rooms, user, review.case.id, ids, labels[0], name, key)}

    suitable = common(None if flags is None else flags.suitable for flags in known)
    due = st.session_state.get(_REASON_DUE) == ids
    shown = {True: _SUITABLE, False: UNSUITABLE}.get(suitable) if suitable is not None and not due else None
    st.segmented_control(
        "Suitable for counting?", [_SUITABLE, UNSUITABLE], disabled=closed,
        help="Only suitable regions are analysed. Say this first; the other flags then start from good signals, little "
        "overlap, no clusters, homogeneous.",
        **field("suitable", UNSUITABLE if due else shown),
    )  # fmt: skip
    if due or suitable is False:
        reason = common(flags.unsuitable_reason for flags in flagged) or None
        options = list(REASONS) if reason in (None, *REASONS) else [*REASONS, reason]
        st.selectbox(
            "Why not?", options, index=None, accept_new_options=True, placeholder="Choose or type a reason",
            disabled=closed, **field("unsuitable_reason", reason),
        )  # fmt: skip
    left, right = st.columns(2)
    left.segmented_control(
        "Signal intensity", [i.value for i in SignalIntensity], disabled=early,
        **field("signal_intensity", _value(common(flags.signal_intensity for flags in flagged))),
    )  # fmt: skip
    right.segmented_control(
        "Overlap of nuclei", [o.value for o in Overlap], disabled=early,
        **field("overlap", _value(common(flags.overlap for flags in flagged))),
    )  # fmt: skip
    left.segmented_control(
        "HER2 signals in clusters", [_NO, _YES], disabled=early,
        help="The models then need less evidence to count a nucleus by its cluster. They go by the flag as it stands "
        "when the region is analysed; changing it later does not change the counts.",
        **field("clusters", _yes_no(common(flags.clusters for flags in flagged))),
    )  # fmt: skip
    right.segmented_control(
        "Heterogeneous", [_NO, _YES], disabled=early,
        help="Cells with clearly more HER2 lie among others. A second, distinct population gets a letter of its own "
        "under Populations.",
        **field("heterogeneous", _yes_no(common(flags.heterogeneous for flags in flagged))),
    )  # fmt: skip
    if len(labels) > 1:
        left.segmented_control(
            "Population shown", labels, disabled=early,
            **field("population", common(flags.population for flags in flagged)),
        )  # fmt: skip
    right.number_input(
        "Scale (µm per pixel)", 0.01, 10.0, None, step=0.01, format="%.4g", disabled=closed, placeholder="not known",
        help="Read from the file where it states one; otherwise as the microscope's software states it. Needed for the "
        "scale bar.",
        **field("um_per_px", common(region.um_per_px for region in regions)),
    )  # fmt: skip
    _reflagged(rooms, user, review, chosen)
    if review.case.state is CaseState.DRAFT:
        with left.popover("Remove", icon=":material/delete:"):
            st.write("The image leaves the case; the case log keeps it." if one else "The images leave the case.")
            st.button(
                "Remove image" if one else f"Remove {len(ids)} images", key="intake_remove", type="primary",
                on_click=_remove, args=(rooms, user, ids),
            )  # fmt: skip


def _reflagged(rooms: Services, user: User, review: CaseReview, chosen: Sequence[RegionReview]) -> None:
    """Which of the chosen regions were counted under another flag for clusters, and what to do about it."""
    if all(r.analysis is None for r in chosen):
        return
    then = workflow.reflagged_clusters(rooms.log, review.case.id)
    counted = [r for r in chosen if r.counts and r.region.id in then]
    if not counted or not review.editable:
        return
    under = ", ".join(f"{plain(r.region.filename)} with “{_yes_no(then[r.region.id])}”" for r in counted)
    corrected = [r for r in counted if corrections_in_force(r.corrections)]
    free = tuple(r.region.id for r in counted if r not in corrected)
    look = "look in Review at the nuclei with many HER2 signals"
    if corrected:
        of_which = f" of {', '.join(plain(r.region.filename) for r in corrected)}" if free else ""
        todo = f"A new analysis would set corrections{of_which} aside, so {look}, and mark by hand which are clustered."
    else:
        todo = f"{look[0].upper()}{look[1:]}, or analyse again."
    st.warning(
        f"Analysed under another flag for clusters: {under}. The counts stay as they were made then. {todo}",
        icon=":material/warning:",
    )
    if free:
        others = f" the other {len(free)}" if corrected else ""
        st.button(
            f"Analyse{others} again", key="intake_again", icon=":material/replay:", on_click=saved,
            args=(rooms.jobs.submit, review.case.id, free, user),
            kwargs={"done": "The analysis has begun. Review shows how far it is."},
        )  # fmt: skip


def _value(flag: SignalIntensity | Overlap | None) -> str | None:
    return None if flag is None else flag.value


def _yes_no(flag: bool | None) -> str | None:
    return None if flag is None else (_YES if flag else _NO)


_READ: dict[str, Any] = {
    "suitable": lambda shown: shown == _SUITABLE,
    "signal_intensity": SignalIntensity,
    "overlap": Overlap,
    "clusters": lambda shown: shown == _YES,
    "heterogeneous": lambda shown: shown == _YES,
}


def _save(
    rooms: Services, user: User, case_id: int, ids: tuple[int, ...], population: str, name: str, key: str
) -> None:
    """One flag as it was just set, for all the chosen regions. A control that was emptied shows its value again."""
    shown = st.session_state.get(key)
    if shown is None and name != "um_per_px":
        return
    if name == "suitable":
        if shown == UNSUITABLE:
            st.session_state[_REASON_DUE] = ids  # saved with its reason
            return
        st.session_state.pop(_REASON_DUE, None)
    values: dict[str, Any] = {name: _READ[name](shown) if name in _READ else shown}
    if name == "unsuitable_reason":
        values["suitable"] = False
        st.session_state.pop(_REASON_DUE, None)
    try:
        for region in rooms.log.regions(case_id):
            if region.id in ids and name == "um_per_px":
                rooms.log.set_scale(region.id, shown, user)
            elif region.id in ids:
                workflow.set_flags(rooms.log, region.id, with_field(region.flags, population, **values), user)
    except Her2CoreError as error:
        flash("error", str(error))


def _remove(rooms: Services, user: User, ids: tuple[int, ...]) -> None:
    try:
        for region_id in ids:
            rooms.log.remove_region(region_id, user, "removed at intake")
    except Her2CoreError as error:
        flash("error", str(error))
        return
    flash("success", "Image removed." if len(ids) == 1 else f"{len(ids)} images removed.")


# --- advice -----------------------------------------------------------------------------------------------------------


def _advice(rooms: Services, chosen: Sequence[RegionReview]) -> None:
    """What was measured on the chosen images and, once they are analysed, on their nuclei. It changes no flag."""
    st.markdown("**Suitability advice**", help="From measurements of the image; you decide.")
    for shown in chosen:
        try:
            lines, figures = _measured(rooms, shown)
        except Her2CoreError as error:
            lines, figures = [plain(str(error))], []
        name = "" if len(chosen) == 1 else f"*{plain(shown.region.filename)}*: "
        said = " ".join(lines) if lines else "nothing measured speaks against it."
        st.markdown(
            f"- {name}{said}" if len(chosen) > 1 else "\n".join(f"- {line}" for line in lines) or said.capitalize()
        )
        if len(chosen) == 1 and figures:
            st.caption(" · ".join(figures))
    for shown in chosen:
        _values(rooms, shown)


def _values(rooms: Services, shown: RegionReview) -> None:
    """All that was measured on a region's image, beside the limits, for those who want to see how near they are."""
    try:
        measures = _measures(shown.region.image_sha256, rooms, shown.region)
    except Her2CoreError:
        return  # said above
    with st.expander(f"Measured on {plain(shown.region.filename)}", key=f"measured_{shown.region.id}"):
        st.table(measured_rows(measures), border="horizontal", hide_index=True)


def measured_rows(measures: Mapping[str, float | None]) -> list[dict[str, str]]:
    """A row for each measure that has a limit: name with unit, value (bold where it breaks the limit), limit."""
    rows = []
    for limit in quality.LIMITS:
        value = measures.get(limit.measure)
        said = "not measurable" if value is None else f"{value:.3g}"
        bound = f"at least {limit.at_least:g}" if limit.at_least is not None else f"at most {limit.at_most:g}"
        broken = limit.broken_by(value)
        rows.append({"Measure": limit.label, "Value": f"**{said}**" if broken else said, "Limit": bound})
    return rows


def _measured(rooms: Services, shown: RegionReview) -> tuple[list[str], list[str]]:
    """The points against a region, and how many nuclei there are: as found or, before the analysis, as estimated."""
    image = region_image(rooms.log, shown.region)
    measures = _measures(shown.region.image_sha256, rooms, shown.region)
    points = [(limit.advice, limit.rejects) for limit in quality.broken(measures)]
    if shown.analysis is None:
        estimate = measures.get("estimated_nuclei")
        figures = [] if estimate is None else [f"About {estimate:.0f} nuclei in DAPI"]
    else:
        seen = countability(r.nucleus for r in shown.nuclei)
        points += [(point.text, point.rejects) for point in seen.advice]
        figures = [f"{seen.scored} of {seen.found} nuclei can be scored"]
        if seen.overlapping_percent is not None:
            figures.append(f"{seen.overlapping_percent:.0f} % overlap")
    lines = [plain(text) + (f" *{_REJECTS[reason]}*" if reason else "") for text, reason in points]
    return lines + [plain(note) for note in image.notes], figures


@st.cache_data(show_spinner=False, max_entries=200)
def region_thumbnail(sha256: str, _rooms: Services, _region: Region) -> bytes:
    """A region small, as PNG."""
    del sha256
    return png(thumbnail(region_image(_rooms.log, _region).pixels_rgb))


@st.cache_data(show_spinner="Measuring suitability", max_entries=500)
def _measures(sha256: str, _rooms: Services, _region: Region) -> dict[str, float | None]:
    del sha256
    return quality.measure(region_image(_rooms.log, _region).pixels_rgb)
