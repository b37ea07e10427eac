"""The regions of a case at intake: their pictures, and the flags of the chosen ones, saved as they are set."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import replace
from typing import Any

import streamlit as st
from streamlit.delta_generator import DeltaGenerator

from her2core import workflow
from her2core.errors import Her2CoreError
from her2core.imaging import quality
from her2core.records import CaseState, Overlap, Region, RegionFlags, SignalIntensity, User
from her2core.scoring import RejectionReason, corrections_in_force, countability
from her2core.ui.flagging import (
    QUESTIONS,
    REASONS,
    UNSUITABLE,
    USUAL,
    common,
    judged,
    rejected,
    summary,
    unanswered,
)
from her2core.ui.imagery import png, thumbnail
from her2core.ui.services import Services, region_image
from her2core.ui.session import flash, saved
from her2core.ui.words import plain
from her2core.workflow import CaseReview, RegionReview

__all__ = ["draw", "measured_rows", "reason_due", "region_thumbnail"]

_SUITABLE = "suitable"
_YES, _NO = "yes", "no"
_ABREAST = 3
_REASON_DUE = "intake_reason_due"

_QUESTION = {
    "signal_intensity": "signal intensity",
    "overlap": "overlap",
    "clusters": "clusters",
    "heterogeneous": "heterogeneity",
    "population": "population",
}
_USUAL_SAID = "Good signals, little overlap, no clusters, homogeneous"

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


def reason_due(review: CaseReview) -> tuple[str, ...]:
    """The regions that were just said to be not suitable, which is saved with the reason and not before."""
    due = st.session_state.get(_REASON_DUE, ())
    return tuple(r.region.filename for r in review.regions if r.region.id in due)


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


def _called(shown: RegionReview) -> str:
    """A region's short name, where it has one, and its file."""
    name = "" if shown.region.flags is None else f"{plain(shown.name)} · "
    return f"{name}{plain(shown.region.filename)}"


def _pick(keys: Mapping[int, str], wanted: set[int]) -> None:
    for region_id, key in keys.items():
        st.session_state[key] = region_id in wanted


def _picture(rooms: Services, shown: RegionReview, key: str, several: bool) -> None:
    region = shown.region
    st.checkbox(_called(shown), key=key)
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
    """The flags that the chosen regions have in common. A change is saved at once, for all of them; of regions without
    flags the answers are kept until the last one is given."""
    regions = [r.region for r in chosen]
    ids = tuple(region.id for region in regions)
    known = [_answers(region) for region in regions]
    labels = [p.label for p in review.case.populations]
    closed = not review.editable
    due = st.session_state.get(_REASON_DUE) == ids
    suitable = None if due else common(answers.get("suitable") for answers in known)
    early = closed or suitable is not True
    one = len(regions) == 1
    said = _called(chosen[0]) if one else f"{len(regions)} regions"
    st.markdown(f"**Flags of {said}**")

    def field(name: str, value: Any) -> dict[str, Any]:
        """Key and callback of a control, which shows what is stored."""
        key = f"flag_{name}_{'_'.join(map(str, ids))}"
        st.session_state[key] = value
        return {"key": key, "on_change": _save, "args": (rooms, user, review.case.id, ids, tuple(labels), name, key)}

    def answered(name: str) -> Any:
        return common(answers.get(name) for answers in known) if suitable is True else None

    shown = {True: _SUITABLE, False: UNSUITABLE}.get(suitable) if suitable is not None else None
    st.segmented_control(
        "Suitable for counting?", [_SUITABLE, UNSUITABLE], disabled=closed,
        help="Only suitable regions are analysed. Say this first.",
        **field("suitable", UNSUITABLE if due else shown),
    )  # fmt: skip
    if due or suitable is False:
        reason = common(region.flags.unsuitable_reason if region.flags else "" for region in regions) or None
        options = list(REASONS) if reason in (None, *REASONS) else [*REASONS, reason]
        st.selectbox(
            "Why not?", options, index=None, accept_new_options=True, placeholder="Choose or type a reason",
            disabled=closed, **field("unsuitable_reason", reason),
        )  # fmt: skip
        if due:
            st.caption(":orange[:material/warning: Not saved before the reason is given.]")
    left, right = st.columns(2)
    left.segmented_control(
        "Signal intensity", [i.value for i in SignalIntensity], disabled=early,
        **field("signal_intensity", _value(answered("signal_intensity"))),
    )  # fmt: skip
    right.segmented_control(
        "Overlap of nuclei", [o.value for o in Overlap], disabled=early,
        **field("overlap", _value(answered("overlap"))),
    )  # fmt: skip
    left.segmented_control(
        "HER2 signals in clusters", [_NO, _YES], disabled=early,
        help="The models then need less evidence to count a nucleus by its cluster. They go by the flag as it stands "
        "when the region is analysed; changing it later does not change the counts.",
        **field("clusters", _yes_no(answered("clusters"))),
    )  # fmt: skip
    right.segmented_control(
        "Heterogeneous", [_NO, _YES], disabled=early,
        help="Cells with clearly more HER2 lie among others. A second, distinct population gets a letter of its own "
        "under Populations.",
        **field("heterogeneous", _yes_no(answered("heterogeneous"))),
    )  # fmt: skip
    if len(labels) > 1:
        left.segmented_control(
            "Population shown", labels, disabled=early, **field("population", answered("population"))
        )
    right.number_input(
        "Scale (µm per pixel)", 0.01, 10.0, None, step=0.01, format="%.4g", disabled=closed, placeholder="not known",
        help="Read from the file where it states one; otherwise as the microscope's software states it. Needed for the "
        "scale bar.",
        **field("um_per_px", common(region.um_per_px for region in regions)),
    )  # fmt: skip
    if not early:  # below the questions, which so stay in their places
        _ask(rooms, user, review, ids, labels, [unanswered(answers, populations=len(labels) > 1) for answers in known])
    _reflagged(rooms, user, review, chosen)
    if review.case.state is CaseState.DRAFT:
        with left.popover("Remove", icon=":material/delete:"):
            st.write("The image leaves the case; the case log keeps it." if one else "The images leave the case.")
            st.button(
                "Remove image" if one else f"Remove {len(ids)} images", key="intake_remove", type="primary",
                on_click=_remove, args=(rooms, user, ids),
            )  # fmt: skip


def _ask(
    rooms: Services,
    user: User,
    review: CaseReview,
    ids: tuple[int, ...],
    labels: Sequence[str],
    left_open: Sequence[Sequence[str]],
) -> None:
    """What is still to be said of the chosen regions, and all of the usual answers on one button that names them."""
    questions = list(dict.fromkeys(name for names in left_open for name in names))
    if not questions:
        return
    st.caption(f"Still to say: {', '.join(_QUESTION[name] for name in questions)}. Saved with the last answer.")
    if all(set(names) >= set(QUESTIONS) for names in left_open):
        st.button(
            _USUAL_SAID, key="flag_usual", icon=":material/done_all:",
            help="Gives these four answers at once. Press it only where all four hold.", on_click=_answer,
            args=(rooms, user, review.case.id, ids, tuple(labels), dict(USUAL)),
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


def _drafts() -> dict[int, dict[str, Any]]:
    """Answers about regions that have no flags yet, or were not suitable, until all are given."""
    drafts: dict[int, dict[str, Any]] = st.session_state.setdefault("intake_answers", {})
    return drafts


def _answers(region: Region) -> dict[str, Any]:
    """What was said of a region so far: its flags, or the answers on the way to them."""
    draft = _drafts().get(region.id)
    if draft is not None:
        return draft
    flags = region.flags
    if flags is None:
        return {}
    return {name: getattr(flags, name) for name in ("suitable", "population", *QUESTIONS)}


def _save(
    rooms: Services, user: User, case_id: int, ids: tuple[int, ...], labels: tuple[str, ...], name: str, key: str
) -> None:
    """What was just set, for all the chosen regions. A control that was emptied shows its value again."""
    shown = st.session_state.get(key)
    if shown is None and name != "um_per_px":
        return
    if name == "suitable" and shown == UNSUITABLE:
        st.session_state[_REASON_DUE] = ids  # saved with its reason
        return
    if name in ("suitable", "unsuitable_reason"):
        st.session_state.pop(_REASON_DUE, None)
    _answer(rooms, user, case_id, ids, labels, {name: _READ[name](shown) if name in _READ else shown})


def _answer(
    rooms: Services,
    user: User,
    case_id: int,
    ids: tuple[int, ...],
    labels: tuple[str, ...],
    answers: Mapping[str, Any],
) -> None:
    try:
        for region in rooms.log.regions(case_id):
            if region.id not in ids:
                continue
            if "um_per_px" in answers:
                rooms.log.set_scale(region.id, answers["um_per_px"], user)
            elif (flags := _flags_after(region, labels, answers)) is not None:
                workflow.set_flags(rooms.log, region.id, flags, user)
                _drafts().pop(region.id, None)
    except Her2CoreError as error:
        flash("error", str(error))


def _flags_after(region: Region, labels: Sequence[str], answers: Mapping[str, Any]) -> RegionFlags | None:
    """The flags of a region once these answers are given; None while a question is open, the answers being kept."""
    if "unsuitable_reason" in answers:
        return rejected(region.flags, labels[0], answers["unsuitable_reason"])
    if region.flags is not None and region.flags.suitable:
        return replace(region.flags, **answers)
    # Its flags were given, if at all, to a region that nobody was to count.
    draft = _drafts().setdefault(region.id, {})
    draft.update(answers)
    return None if unanswered(draft, populations=len(labels) > 1) else judged(draft, labels[0])


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
