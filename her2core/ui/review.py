"""Review: run the analysis, look through the nuclei, correct them, and see at once what the result becomes."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import pandas as pd
import streamlit as st

from her2core import workflow
from her2core.jobs import JobState, JobStatus
from her2core.records import Box, CorrectionKind, Exclusion, Nucleus, Role, User
from her2core.scoring import ReviewedNucleus, next_redo, next_undo
from her2core.ui.blinding import stays_blind
from her2core.ui.imagery import CHANNELS, nucleus_montage, png
from her2core.ui.nuclei import in_order, neighbour, table_rows
from her2core.ui.overlay import CONFIG, DRAW_CONFIG, clicked_nucleus, drawn_box, overlay_figure
from her2core.ui.pictures import picture_url
from her2core.ui.result import RESULT_STYLE, result_html
from her2core.ui.services import Services, count_box, region_image
from her2core.ui.session import flash, guarded, saved, show_flash
from her2core.ui.words import plain
from her2core.workflow import CaseReview, RegionReview

__all__ = ["draw"]

_REGION, _NUCLEUS, _ROUND = "review_region", "review_nucleus", "review_chart_round"
_CLICKED, _FRAMED = "review_clicked", "review_framed"
_LOOK, _ADD = "Select", "Add nucleus"
_FIGURE_PX = 596
_ZOOMS = {"Fit": 1.0, "2×": 2.0, "4×": 4.0}
_REASONS = (
    Exclusion.NOT_TUMOUR,
    Exclusion.OVERLAP,
    Exclusion.OUT_OF_FOCUS,
    Exclusion.DAMAGED,
    Exclusion.UNCOUNTABLE,
    Exclusion.OTHER,
)


def draw(rooms: Services, user: User, case_id: int) -> None:
    """The page: analysis where one is due or runs, then the workbench."""
    if stays_blind(rooms, user, case_id):
        return
    status = rooms.jobs.status(case_id)
    if status is not None and status.active:
        _progress(case_id)
        return
    review = workflow.assess(rooms.log, case_id)
    _analysis(rooms, user, review, status)
    if any(r.counts for r in review.regions):
        st.html(RESULT_STYLE)
        _workbench(case_id)


# --- analysis ---------------------------------------------------------------------------------------------------------


def _analysis(rooms: Services, user: User, review: CaseReview, status: JobStatus | None) -> None:
    """What the last analysis left to say, and the button that starts one."""
    if status is not None and status.state is JobState.CANCELLED:
        st.info("The analysis was stopped. What was finished is kept.", icon=":material/info:")
    if status is not None and status.failures:
        names = {r.region.id: r.region.filename for r in review.regions}
        lines = [f"{plain(names.get(f.region_id, 'Analysis'))}: {plain(f.message)}" for f in status.failures]
        st.error("  \n".join(lines), icon=":material/error:")
    waiting = review.to_analyse if review.editable else ()
    if waiting:
        left, right = st.columns([3, 1], vertical_alignment="center")
        count = len(waiting)
        left.info(
            f"{count} flagged region{'s wait' if count > 1 else ' waits'} for analysis. It runs in the background; you "
            "may leave this page meanwhile.",
            icon=":material/pending:",
        )
        right.button(
            f"Analyse {count} region{'s' if count > 1 else ''}",
            type="primary",
            icon=":material/play_arrow:",
            key="analyse",
            width="stretch",
            on_click=_start,
            args=(rooms, user, review.case.id, tuple(r.id for r in waiting)),
        )
    elif not any(r.counts for r in review.regions):
        missing = "\n".join(f"- {plain(line)}" for line in review.missing)
        st.info(f"**Nothing to review yet**\n{missing}", icon=":material/list_alt:")
        if st.button("Go to intake", type="primary", key="to_intake"):
            st.switch_page("pages/intake.py")


def _start(rooms: Services, user: User, case_id: int, region_ids: tuple[int, ...]) -> None:
    saved(rooms.jobs.submit, case_id, region_ids, user)


@st.fragment(run_every=0.5)
def _progress(case_id: int) -> None:
    """The analysis as it goes on; the whole page again once it has ended."""
    rooms, user = guarded(Role.PATHOLOGIST, by_timer=True)
    status = rooms.jobs.status(case_id)
    if status is None or not status.active:
        st.rerun(scope="app")
    left, right = st.columns([5, 1], vertical_alignment="bottom")
    total = len(status.region_ids)
    region = min(status.finished_regions + 1, total)
    left.progress(status.fraction, text=f"Region {region} of {total} · {status.stage} · {status.fraction:.0%}")
    right.button(
        "Stop", icon=":material/stop:", key="stop_analysis", width="stretch", on_click=rooms.jobs.cancel,
        args=(case_id, user),
    )  # fmt: skip
    st.caption("You may leave this page; the analysis goes on and is saved region by region.")


# --- workbench --------------------------------------------------------------------------------------------------------


@st.fragment(key="workbench")
def _workbench(case_id: int) -> None:
    """Image, result and nucleus: everything that changes with a click, and nothing else runs."""
    rooms, user = guarded(Role.PATHOLOGIST)
    review = workflow.assess(rooms.log, case_id)
    shown = [r for r in review.regions if r.analysis is not None]
    if not shown:
        st.rerun(scope="app")
    show_flash()
    left, right = st.columns([1.62, 1], gap="small")
    with left:
        region, mode, look = _toolbar(rooms, user, review, shown)
        nuclei = in_order(region.nuclei, doubtful_first=look["doubtful"])
        selected = _selected(nuclei)
    with right:  # before the image, which takes the browser longest
        _result(review, region)
        _confirm(rooms, user, review)
        nucleus_tab, table_tab = st.tabs(["Nucleus", f"All {len(nuclei)} nuclei of {region.name}"])
        with nucleus_tab:
            _nucleus(rooms, user, review, region, nuclei, selected)
        with table_tab:
            _table(region, nuclei)
    with left, st.container(key="viewer", height="stretch"):
        _image(rooms, user, review, region, selected, mode, look)


def _toolbar(
    rooms: Services, user: User, review: CaseReview, shown: list[RegionReview]
) -> tuple[RegionReview, str, dict[str, Any]]:
    """Which region is looked at and how."""
    by_name = {r.name: r for r in shown}
    with st.container(horizontal=True, vertical_alignment="center", gap="small"):
        if st.session_state.get(_REGION) not in by_name:
            st.session_state[_REGION] = next(iter(by_name))
        name = st.segmented_control(
            "Region", list(by_name), required=True, key=_REGION, label_visibility="collapsed",
            on_change=_another_region,
        )  # fmt: skip
        region = by_name[str(name)]
        mode = st.segmented_control(
            "Mode", [_LOOK, _ADD], default=_LOOK, required=True, key="review_mode", label_visibility="collapsed",
            disabled=not review.editable,
            help="Select: click a nucleus. Add nucleus: draw a box round one that was missed; it is counted at once.",
        )  # fmt: skip
        zoom = st.segmented_control(
            "Zoom", list(_ZOOMS), default="Fit", required=True, key="review_zoom", label_visibility="collapsed",
            help="2× and 4× follow the chosen nucleus. The mouse wheel zooms too.",
        )  # fmt: skip
        with st.popover("View", icon=":material/tune:"):
            channels = st.pills(
                "Channels", CHANNELS, selection_mode="multi", default=list(CHANNELS), key="review_channels"
            )
            gain = st.slider("Brightness", 0.5, 4.0, 1.0, 0.25, key="review_gain")
            boxes = st.toggle("Boxes", True, key="review_boxes")
            signals = st.toggle("Signals", True, key="review_signals")
            doubtful = st.toggle("Doubtful nuclei first", False, key="review_doubtful")
        undo, redo = next_undo(region.corrections), next_redo(region.corrections)
        st.button(
            "Undo", icon=":material/undo:", key="undo", shortcut="Z", disabled=undo is None or not review.editable,
            on_click=saved, args=(workflow.undo_last, rooms.log, region.region.id, user),
        )  # fmt: skip
        st.button(
            "Redo", icon=":material/redo:", key="redo", shortcut="Y", disabled=redo is None or not review.editable,
            on_click=saved, args=(workflow.redo_last, rooms.log, region.region.id, user),
        )  # fmt: skip
    look = {
        "channels": tuple(channels) or CHANNELS, "gain": gain, "boxes": boxes, "signals": signals, "doubtful": doubtful,
        "zoom": str(zoom),
    }  # fmt: skip
    return region, str(mode), look


def _another_region() -> None:
    st.session_state.pop(_NUCLEUS, None)


def _selected(nuclei: list[ReviewedNucleus]) -> ReviewedNucleus | None:
    """The nucleus that is looked at; the first scored one where none was chosen."""
    wanted = st.session_state.get(_NUCLEUS)
    first = next((r for r in nuclei if r.nucleus.scored), nuclei[0] if nuclei else None)
    return next((r for r in nuclei if r.nucleus.id == wanted), first)


def _image(
    rooms: Services,
    user: User,
    review: CaseReview,
    region: RegionReview,
    selected: ReviewedNucleus | None,
    mode: str,
    look: dict[str, Any],
) -> None:
    stored = region.region
    zoom = _ZOOMS[look["zoom"]]
    framed = _framed(region, mode, look, None if selected is None else selected.nucleus.id)
    figure = overlay_figure(
        picture_url(rooms, stored, look["channels"], look["gain"]),
        stored.width_px,
        stored.height_px,
        region.nuclei,
        selected=framed,
        show_boxes=look["boxes"],
        show_signals=look["signals"],
        drawing=mode == _ADD,
        figure_height_px=_FIGURE_PX,
        zoom=zoom,
    )
    key = f"overlay_{stored.id}_{mode}_{st.session_state.get(_ROUND, 0)}"
    st.plotly_chart(
        figure,
        theme=None,
        height="stretch",
        key=key,
        on_select=_chart_callback(rooms, user, review, region, key, mode),
        selection_mode="box" if mode == _ADD else "points",
        config=DRAW_CONFIG if mode == _ADD else CONFIG,
        alt=f"Region {region.name} with {len(region.nuclei)} boxed nuclei",
    )


def _framed(region: RegionReview, mode: str, look: dict[str, Any], selected: int | None) -> int | None:
    """The nucleus that the figure is drawn with as chosen. After a click the browser has framed it already: the figure
    then stays as it is, so that the user's own zoom does (see `overlay_figure`)."""
    drawn_with = (region.region.id, len(region.corrections), mode, tuple(sorted(look.items())))
    clicked = st.session_state.pop(_CLICKED, False)
    before = st.session_state.get(_FRAMED)
    if clicked and look["zoom"] == "Fit" and before is not None and before[0] == drawn_with:
        return int(before[1]) if before[1] is not None else None
    st.session_state[_FRAMED] = (drawn_with, selected)
    return selected


def _chart_callback(
    rooms: Services, user: User, review: CaseReview, region: RegionReview, key: str, mode: str
) -> Callable[[], None]:
    def selected() -> None:
        nucleus_id = clicked_nucleus(st.session_state.get(key))
        if nucleus_id is not None:
            st.session_state[_NUCLEUS] = nucleus_id
            st.session_state[_CLICKED] = True

    def drawn() -> None:
        box = drawn_box(st.session_state.get(key), region.region.width_px, region.region.height_px)
        if box is not None and review.editable:
            st.session_state[_ROUND] = st.session_state.get(_ROUND, 0) + 1  # the drawn frame goes
            _add(rooms, user, region, box)

    return drawn if mode == _ADD else selected


def _add(rooms: Services, user: User, region: RegionReview, box: Box) -> None:
    pixels = region_image(rooms.log, region.region).pixels_rgb
    added: Nucleus | None = saved(
        workflow.add_nucleus, rooms.log, region.region.id, pixels, box, user, count_box(rooms, region)
    )
    if added is not None:
        st.session_state[_NUCLEUS] = added.id
        flash("success", f"Nucleus {added.id} added: HER2 {added.her2}, CEP17 {added.cep17}.")


# --- result -----------------------------------------------------------------------------------------------------------


def _result(review: CaseReview, region: RegionReview) -> None:
    """The card of the population that the region shows."""
    assessment = review.assessment
    if assessment is None:
        st.info("This region does not count; no suitable region is analysed yet.")
        return
    population = next((p for p in assessment.populations if p.label == region.population), assessment.populations[0])
    st.html(result_html(population, review.ai.get(population.label), several=len(assessment.populations) > 1))


def _confirm(rooms: Services, user: User, review: CaseReview) -> None:
    """What is still missing, and the button that says that the nuclei were looked at."""
    left, right = st.columns([1.7, 1], vertical_alignment="center")
    assessment = review.assessment
    if review.reviewed:
        left.caption("Counts reviewed. " + plain(assessment.next_step if assessment else ""))
        if right.button("Work-up", type="primary", key="to_work_up", width="stretch", icon=":material/arrow_forward:"):
            st.switch_page("pages/sign_out.py")
        return
    scored = [r for region in review.regions if region.counts for r in region.nuclei if r.nucleus.scored]
    doubtful = sum(r.nucleus.uncertain and not r.edited for r in scored)
    said = f"{doubtful} of {len(scored)} scored nuclei are uncertain: look at them first." if doubtful else ""
    said = said or "Look through the nuclei, then confirm."
    left.caption(said)
    right.button(
        "Counts reviewed", type="primary", key="confirm_review", width="stretch", icon=":material/check:",
        disabled=not review.editable or bool(review.to_analyse),
        on_click=saved, args=(workflow.confirm_review, rooms.log, review.case.id, review.case.version, user),
        kwargs={"done": "Review confirmed."},
        help="Confirms that you looked at the nuclei and that the counts are yours.",
    )  # fmt: skip


# --- one nucleus ------------------------------------------------------------------------------------------------------


def _nucleus(
    rooms: Services,
    user: User,
    review: CaseReview,
    region: RegionReview,
    nuclei: list[ReviewedNucleus],
    selected: ReviewedNucleus | None,
) -> None:
    if selected is None:
        st.info("No nucleus was found in this region. Add those that you see with “Add nucleus”.")
        return
    n, ai = selected.nucleus, selected.ai
    picture, controls = st.columns([1.75, 1], gap="small")
    with picture:
        pixels = region_image(rooms.log, region.region).pixels_rgb
        st.image(png(nucleus_montage(pixels, n.box, n.signals)), width="stretch")
    with controls:
        with st.container(horizontal=True, gap="xsmall"):
            for label, icon, step, shortcut in (
                ("Previous nucleus", ":material/chevron_left:", -1, "Left"),
                ("Next nucleus", ":material/chevron_right:", 1, "Right"),
            ):
                st.button(
                    " ", icon=icon, key=f"step_{step}", help=label, shortcut=shortcut, on_click=_go_to,
                    args=(neighbour(nuclei, n.id, step),),
                )  # fmt: skip
            st.markdown(f"**Nr {n.id}**")
        _counts(rooms, user, review, region, selected)
    said = "scored" if n.scored else f"not scored: {n.reason.value if n.reason else ''}"
    said += ", HER2 clustered (estimate)" if n.clustered else ""
    said += ", uncertain: the ways of counting disagree" if n.uncertain and not selected.edited else ""
    ai_said = "added by hand" if ai is None else f"AI: HER2 {_shown(ai.her2)}, CEP17 {_shown(ai.cep17)}"
    st.caption(f"{said} · {ai_said}" + (" · edited" if selected.edited else ""))
    _judgement(rooms, user, review, region, selected)


def _go_to(nucleus_id: int | None) -> None:
    st.session_state[_NUCLEUS] = nucleus_id


def _shown(count: int | None) -> str:
    return "–" if count is None else str(count)


def _counts(rooms: Services, user: User, review: CaseReview, region: RegionReview, selected: ReviewedNucleus) -> None:
    n = selected.nucleus
    # The number of corrections is in the key, so that the fields follow an undo.
    key = f"counts_{region.region.id}_{n.id}_{len(region.corrections)}"
    with st.form(key, border=False):
        st.number_input("HER2", 0, 200, n.her2 or 0, key=f"{key}_her2", disabled=not review.editable)
        st.number_input("CEP17", 0, 200, n.cep17 or 0, key=f"{key}_cep17", disabled=not review.editable)
        st.form_submit_button(
            "Save counts", type="primary", width="stretch", key=f"{key}_save", disabled=not review.editable,
            on_click=_save_counts, args=(rooms, user, region.region.id, n, key),
        )  # fmt: skip


def _save_counts(rooms: Services, user: User, region_id: int, nucleus: Nucleus, key: str) -> None:
    st.session_state[_NUCLEUS] = nucleus.id  # the one that was edited stays in view
    her2, cep17 = int(st.session_state[f"{key}_her2"]), int(st.session_state[f"{key}_cep17"])
    saved(
        workflow.correct, rooms.log, region_id, nucleus.id, CorrectionKind.COUNTS, {"her2": her2, "cep17": cep17}, user
    )


def _judgement(
    rooms: Services, user: User, review: CaseReview, region: RegionReview, selected: ReviewedNucleus
) -> None:
    """Exclude with a reason or include again; clustered or not."""
    n = selected.nucleus
    key = f"judge_{region.region.id}_{n.id}_{len(region.corrections)}"

    one, two, three = st.columns([1.5, 0.9, 1.1], vertical_alignment="bottom")
    if n.scored:
        one.selectbox(
            "Exclude because", _REASONS, format_func=lambda r: r.value, key=f"{key}_reason",
            label_visibility="collapsed", disabled=not review.editable,
        )  # fmt: skip
        two.button(
            "Exclude", key=f"{key}_exclude", width="stretch", disabled=not review.editable, shortcut="X",
            on_click=_exclude, args=(rooms, user, region.region.id, n.id, f"{key}_reason"),
        )  # fmt: skip
    else:
        one.caption("Not in the result")
        two.button(
            "Include", key=f"{key}_include", width="stretch", disabled=not review.editable, shortcut="X",
            on_click=_judge, args=(rooms, user, region.region.id, n.id, CorrectionKind.INCLUDE, {}),
        )  # fmt: skip
    three.button(
        "Not clustered" if n.clustered else "Clustered", key=f"{key}_cluster", width="stretch",
        disabled=not review.editable, shortcut="K", help="HER2 signals in a cluster: the count is an estimate.",
        on_click=_judge,
        args=(rooms, user, region.region.id, n.id, CorrectionKind.CLUSTER, {"clustered": not n.clustered}),
    )  # fmt: skip


def _exclude(rooms: Services, user: User, region_id: int, nucleus_id: int, key: str) -> None:
    """The reason is read now: whoever clicks fast has chosen another one since the page was drawn."""
    reason = Exclusion(st.session_state[key])
    _judge(rooms, user, region_id, nucleus_id, CorrectionKind.EXCLUDE, {"reason": reason.value})


def _judge(
    rooms: Services, user: User, region_id: int, nucleus_id: int, kind: CorrectionKind, new: dict[str, Any]
) -> None:
    st.session_state[_NUCLEUS] = nucleus_id  # the one that was judged stays in view
    saved(workflow.correct, rooms.log, region_id, nucleus_id, kind, new, user)


def _table(region: RegionReview, nuclei: list[ReviewedNucleus]) -> None:
    key = f"table_{region.region.id}"

    def chosen() -> None:
        rows = st.session_state[key]["selection"]["rows"]
        if rows:
            st.session_state[_NUCLEUS] = nuclei[rows[0]].nucleus.id

    st.dataframe(
        pd.DataFrame(table_rows(nuclei)),
        key=key,
        hide_index=True,
        height=300,
        on_select=chosen,
        selection_mode="single-row",
        column_config={"": st.column_config.TextColumn(width=25), "Note": st.column_config.TextColumn(width="medium")},
    )
