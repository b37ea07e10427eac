"""What models learn from and which ones count: cases given to training, candidates, promotions, a list to annotate."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

import streamlit as st

from her2core.caselog.learning import PromotionRecord
from her2core.caselog.lookup import Query, Sort
from her2core.errors import Her2CoreError
from her2core.records import CaseState, User
from her2core.scoring import with_sign
from her2core.ui.services import Services
from her2core.ui.words import local_time, plain

if TYPE_CHECKING:
    from her2core.laboratory.candidates import Comparison
    from her2core.laboratory.promotion import Candidate
    from her2core.laboratory.worth import Worth

__all__ = ["draw", "draw_list"]

_LONGEST_LIST = 40
_SHOWN = 200
_NOTE = "models_note"


def draw(rooms: Services, user: User) -> None:
    """The models in use and earlier ones, candidates, and the cases that may teach."""
    note = st.session_state.pop(_NOTE, None)
    if note:
        st.success(note, icon=":material/check:")
    left, right = st.columns([1.15, 1], gap="large")
    with left:
        _in_use(rooms, user)
        _candidates(rooms, user)
    with right:
        _cases(rooms, user)


# --- models in use ----------------------------------------------------------------------------------------------------


def _in_use(rooms: Services, user: User) -> None:
    st.subheader("Models in use", anchor=False)
    history = rooms.log.promotions()
    if not history:
        st.markdown("Those of the release. Nothing was promoted here yet.")
        return
    now = history[0]
    st.markdown(f"**{plain(_names(now))}**")
    st.caption(f"{_what(now)} by {plain(rooms.log.user(now.by_user_id).full_name)}, {local_time(now.at)}.")
    st.markdown(f"Reason: {plain(now.reason)}")
    st.caption("Signed and stored results keep the models that made them; nothing is counted again.")
    earlier = {"": "the models of the settings", **{r.folder: _names(r) for r in reversed(history) if r.folder}}
    earlier.pop(now.folder, None)
    with st.popover("Roll back", icon=":material/undo:"):
        folder = st.selectbox("Back to", list(earlier), format_func=lambda f: earlier[f], key="roll_back_to")
        reason = st.text_input("Reason", key="roll_back_reason", max_chars=500)
        if st.button("Put back into use", key="roll_back", type="primary", disabled=not reason.strip()):
            _roll_back(rooms, user, str(folder), reason)
    with st.expander(f"All promotions and roll-backs ({len(history)})"):
        st.table(
            [
                {
                    "When": local_time(r.at),
                    "Who": plain(rooms.log.user(r.by_user_id).full_name),
                    "What": _what(r),
                    "Models": plain(_names(r)),
                    "Reason": plain(r.reason),
                }
                for r in history
            ],
            border="horizontal",
            hide_index=True,
        )


def _names(record: PromotionRecord) -> str:
    return ", ".join(record.models[stage] for stage in sorted(record.models, reverse=True))  # detector first


def _what(record: PromotionRecord) -> str:
    if record.rolled_back:
        return "Roll-back"
    return "Promotion, forced although worse" if record.forced else "Promotion"


def _roll_back(rooms: Services, user: User, folder: str, reason: str) -> None:
    from her2core.laboratory.promotion import roll_back

    try:
        record = roll_back(rooms.log, rooms.settings.weights_dir, folder, reason, user)
    except Her2CoreError as error:
        st.error(str(error), icon=":material/error:")
        return
    st.session_state[_NOTE] = f"In use from now on: {_names(record)}."
    st.rerun()


# --- candidates -------------------------------------------------------------------------------------------------------


def _candidates(rooms: Services, user: User) -> None:
    from her2core.laboratory.promotion import CANDIDATES, candidates  # torch; only this page waits for it

    st.subheader("Candidates", anchor=False)
    found = candidates(rooms.log, rooms.settings.weights_dir)
    if not found:
        st.caption(
            f"None. A candidate is a folder in {CANDIDATES}/ of the data folder, made with `train` and compared with "
            "`model compare`; the laboratory guide says how."
        )
    for candidate in found:
        with st.container(border=True):
            _candidate(rooms, user, candidate)


def _candidate(rooms: Services, user: User, candidate: Candidate) -> None:
    name = candidate.folder.name
    st.markdown(f"**{plain(name)}** · {plain(', '.join(candidate.models.values()) or 'cards not readable')}")
    for title, comparison in (("Own cases, held out", candidate.own), ("Rendered, old style", candidate.rendered)):
        if comparison is not None:
            st.markdown(f"{title}: {_line(comparison)}")
    if candidate.problem is not None:
        st.info(plain(candidate.problem), icon=":material/info:")
        return
    if candidate.against:
        st.warning(plain(" ".join(candidate.against)), icon=":material/trending_down:")
    with st.popover("Promote", icon=":material/publish:"):
        reason = st.text_input("Reason", key=f"promote_reason_{name}", max_chars=500)
        force = bool(candidate.against) and st.checkbox("Although it is worse", key=f"promote_force_{name}")
        ready = bool(reason.strip()) and (force or not candidate.against)
        if st.button("Put into use", key=f"promote_{name}", type="primary", disabled=not ready):
            _promote(rooms, user, candidate, reason, force=force)


def _line(c: Comparison) -> str:
    (change, (low, high)) = c.accuracy
    return (
        f"true group {100 * c.current.accuracy:.1f} → **{100 * c.candidate.accuracy:.1f} %** of {c.current.regions} "
        f"({with_sign(100 * change, 1)} points, 95 % interval {with_sign(100 * low, 1)} to {with_sign(100 * high, 1)})"
        f"; HER2 off by {100 * c.current.her2_off:.1f} → **{100 * c.candidate.her2_off:.1f}\u00a0%**"
    )


def _promote(rooms: Services, user: User, candidate: Candidate, reason: str, *, force: bool) -> None:
    from her2core.laboratory.promotion import promote

    try:
        record = promote(rooms.log, rooms.settings.weights_dir, candidate.folder, reason, user, force=force)
    except Her2CoreError as error:
        st.error(str(error), icon=":material/error:")
        return
    st.session_state[_NOTE] = f"In use from now on: {_names(record)}."
    st.rerun()


# --- cases that may teach ---------------------------------------------------------------------------------------------


def _cases(rooms: Services, user: User) -> None:
    st.subheader("Cases that may teach", anchor=False)
    teaching = set(rooms.log.teaching_cases())
    st.markdown(
        f"**{len(teaching)}** signed case{'s' if len(teaching) != 1 else ''} may teach. Only what is ticked here goes "
        "into a training set, without name, number or date."
    )
    text = st.text_input("Accession, patient name or ID", key="teach_text", icon=":material/search:")
    signed = (CaseState.SIGNED, CaseState.AMENDED)
    found = rooms.log.look_up(Query(text=text or "", states=signed), Sort.SIGNED, limit=_SHOWN)
    if not found:
        st.info("No signed case matches.", icon=":material/search_off:")
        return
    rows = [
        {
            "May teach": case.id in teaching,
            "Case": case.accession,
            "Patient": case.patient_name,
            "Result": f"{case.outcome or '–'}{f', Group {case.group}' if case.group else ''}",
        }
        for case in found
    ]
    edited: Any = st.data_editor(
        rows, hide_index=True, height=300, key="teach_rows", disabled=["Case", "Patient", "Result"], width="stretch"
    )
    wanted = {case.id for case, row in zip(found, edited, strict=True) if row["May teach"]}
    shown = {case.id for case in found}
    more, fewer = sorted(wanted - teaching), sorted(shown & teaching - wanted)
    if more or fewer:
        reason = st.text_input("Reason, such as “informed consent on file”", key="teach_reason", max_chars=500)
        say = " and ".join(
            text
            for text, cases in ((f"give {len(more)} to training", more), (f"take {len(fewer)} back", fewer))
            if cases
        )
        if st.button(say.capitalize(), key="teach_save", type="primary", disabled=not reason.strip()):
            _state(rooms, user, more, fewer, reason)


def _state(rooms: Services, user: User, more: list[int], fewer: list[int], reason: str) -> None:
    try:
        changed = rooms.log.state_consent(more, True, reason, user)
        changed += rooms.log.state_consent(fewer, False, reason, user)
    except Her2CoreError as error:
        st.error(str(error), icon=":material/error:")
        return
    del st.session_state["teach_rows"]
    st.session_state[_NOTE] = f"{changed} case{'s' if changed != 1 else ''} changed."
    st.rerun()


# --- what to annotate next --------------------------------------------------------------------------------------------


def draw_list(rooms: Services, user: User) -> None:
    """The nuclei that would teach most, and the list as CSV."""
    from her2core.laboratory.worth import MOST_A_REGION, look, worth

    st.markdown(
        "The nuclei from which the models would learn most, of the 200 regions analysed last: a count is doubtful, "
        f"the ways of counting disagree, or the image is unlike the others. At most {MOST_A_REGION} of a region; what "
        "a person has corrected already is left out."
    )
    with st.spinner("Reading the analyses"):
        regions = look(rooms.log, user)
    if not regions:
        st.info("No region is analysed yet.", icon=":material/hourglass_empty:")
        return
    listed = worth(regions, _LONGEST_LIST)
    st.download_button(
        "List for annotation (CSV)", lambda: _listed(rooms, user, listed), "her2core-annotate.csv", "text/csv",
        key="annotate_csv", icon=":material/download:", on_click="ignore",
    )  # fmt: skip
    st.dataframe(
        [
            {
                "Case": w.region.accession,
                "File": w.region.filename,
                "Nucleus": w.nucleus.id,
                "HER2": w.nucleus.her2,
                "CEP17": w.nucleus.cep17,
                "Worth": w.worth,
                "Doubt": w.doubt,
                "Disagreement": w.disagreement,
                "Novelty": w.novelty,
                "Why": w.why,
            }
            for w in listed
        ],
        hide_index=True,
        height=520,
        column_config={
            name: st.column_config.ProgressColumn(name, min_value=0.0, max_value=1.0, format="%.2f")
            for name in ("Worth", "Doubt", "Disagreement", "Novelty")
        },
    )
    st.caption(
        "Correct them in the review of their cases while these are open; each correction is kept with its author."
    )


def _listed(rooms: Services, user: User, listed: list[Worth]) -> str:
    """The list as a file, noted as exported: it names cases."""
    from her2core.laboratory.worth import annotation_csv

    rooms.log.note("list exported", user, detail={"nuclei": len(listed), "for": "annotation"})
    return annotation_csv(listed)
