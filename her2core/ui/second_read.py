"""The blinded recount: image and boxes, and nothing of the first count. What is withheld never leaves the server.

Each count is in the case log once it is given; the browser's session holds none.
"""

from __future__ import annotations

import copy
from collections.abc import Iterator, Mapping, Sequence, Set
from dataclasses import dataclass, field, replace
from typing import Any

import pandas as pd
import streamlit as st

from her2core import workflow
from her2core.caselog import CaseSummary
from her2core.caselog.lookup import Query
from her2core.errors import Her2CoreError, ScoringError
from her2core.records import CaseState, Role, User
from her2core.scoring import MINIMUM_NUCLEI, STATE_WORDS
from her2core.ui.counting_keys import KEYS, mount_counting_keys
from her2core.ui.imagery import CHANNELS, nucleus_montage, png
from her2core.ui.overlay import CONFIG, blinded_figure, clicked_nucleus
from her2core.ui.pictures import picture_url
from her2core.ui.services import Services, region_image
from her2core.ui.session import flash, guarded, open_case, saved, show_flash
from her2core.ui.words import age, case_title, plain
from her2core.workflow import COUNT_PATTERN, MOST_SIGNALS, BlindedRegion, Counts, scored_nuclei, typed_count

__all__ = ["draw", "given_in_table", "missing", "no_counts", "so_far", "with_edits"]

Nuclei = Set[tuple[int, int]]
"""Region id, nucleus id."""

_FIGURE_PX = 560  # at least
# The image takes the height that the screen has; the height given to Streamlit is the least. Streamlit's "Press Enter"
# would lie over the digits in fields this narrow; the line of keys says it. What is wrong with a count is read below
# its field: Streamlit has the words for screen readers, and shows others a sign only.
_TALL = f"""<style>
[data-testid="stLayoutWrapper"]:has(> .st-key-recount_image)
{{flex: 0 0 max({_FIGURE_PX}px, calc(100vh - 184px)) !important; height: auto !important;}}
[class*="st-key-recount_"] [data-testid="InputInstructions"] {{display: none;}}
[class*="st-key-recount_"] [data-testid="stTextInput"] [role="alert"]
{{position: static !important; clip: auto !important; clip-path: none !important; margin: 0 !important;
width: auto !important; height: auto !important; white-space: normal !important;
display: block; font-size: 0.8rem; line-height: 1.3; font-weight: 600;}}
</style>"""
_NUCLEUS, _REGION, _TABLE, _SLIPS = "recount_nucleus", "recount_region", "recount_table", "recount_slips"
_MOST_SLIPS_SAID = 3
_ZOOMS = {"Fit": 1.0, "2×": 2.0, "4×": 4.0}
_WIDTHS = [1.5, 2.2, 1, 3.6, 1.2]


# --- what was counted -------------------------------------------------------------------------------------------------


def missing(counts: Mapping[tuple[int, int], tuple[int | None, int | None]]) -> tuple[str, ...]:
    """What the recount still needs, as sentences; empty where it can be handed in."""
    said = []
    half = sorted(nucleus for (_, nucleus), pair in counts.items() if None in pair and pair != (None, None))
    if half:
        numbers = ", ".join(map(str, half[:8])) + (" …" if len(half) > 8 else "")
        said.append(f"Give both counts of nucleus {numbers}, or leave it out.")
    lacking = MINIMUM_NUCLEI - len(scored_nuclei(counts))
    if lacking > 0:
        said.append(f"Count {lacking} more {'nucleus' if lacking == 1 else 'nuclei'} with signals of both colours.")
    return tuple(said)


def with_edits(counts: Counts, region_id: int, ids: Sequence[int], edited_rows: Mapping[Any, Any]) -> Counts:
    """The counts after edits of the table, as Streamlit hands them over: row number to the texts of changed cells.

    What is not a whole number from 0 to MOST_SIGNALS, or no row of the table, is left as it was.
    """
    out = dict(counts)
    for nucleus_id, cells in _rows(ids, edited_rows):
        key = (region_id, nucleus_id)
        pair = out.get(key, (None, None))
        pair = (_edited(pair[0], cells, "HER2"), _edited(pair[1], cells, "CEP17"))
        if pair == (None, None):
            out.pop(key, None)
        else:
            out[key] = pair
    return out


def given_in_table(
    basis: Counts, region_id: int, ids: Sequence[int], seen: Mapping[Any, Any], edited_rows: Mapping[Any, Any]
) -> Counts:
    """What the latest edit of the table gives; a nucleus whose row was emptied has (None, None).

    The table was drawn from `basis`, and `seen` are the edits that were taken before: what was counted elsewhere since
    is not touched by them again.
    """
    before, after = with_edits(basis, region_id, ids, seen), with_edits(basis, region_id, ids, edited_rows)
    keys = [(region_id, nucleus_id) for nucleus_id in ids]
    nothing = (None, None)
    return {key: after.get(key, nothing) for key in keys if before.get(key, nothing) != after.get(key, nothing)}


def no_counts(ids: Sequence[int], edited_rows: Mapping[Any, Any]) -> tuple[str, ...]:
    """What was typed in the table and is no count, in a sentence each."""
    said = []
    for nucleus_id, cells in _rows(ids, edited_rows):
        for name in ("HER2", "CEP17"):
            try:
                typed_count(cells.get(name) or "")
            except ScoringError as error:
                said.append(f"{name} of nucleus {nucleus_id} stays as it was: {error}")
    return tuple(said)


def _rows(ids: Sequence[int], edited_rows: Mapping[Any, Any]) -> Iterator[tuple[int, Mapping[str, Any]]]:
    """The nuclei whose rows of the table were changed, and what was."""
    for row, cells in edited_rows.items():
        if isinstance(row, int) and 0 <= row < len(ids):
            yield ids[row], cells


def _edited(before: int | None, cells: Mapping[str, Any], name: str) -> int | None:
    if name not in cells:
        return before
    try:
        return typed_count(cells[name] or "")
    except ScoringError:
        return before


# --- which case -------------------------------------------------------------------------------------------------------


@dataclass(frozen=True, slots=True)
class _Table:
    """The table of the session: of which case and region it is (None: it is to begin anew), which one it is, what was
    counted and left out when it began, and the edits that are kept since."""

    of: tuple[int, int] | None
    number: int
    counts: Counts
    left_out: Nuclei
    edited: Mapping[Any, Any] = field(default_factory=dict)


def draw(rooms: Services, user: User, case_id: int | None) -> None:
    """The recount of the open case, or the cases that wait for one."""
    if case_id is not None:
        decision = workflow.may_recount(rooms.log, case_id, user)
        if decision:
            _recount(case_id)
            return
        st.info(f"The open case: {decision.reason}", icon=":material/visibility_off:")
    _waiting(rooms, user)


def _waiting(rooms: Services, user: User) -> None:
    st.subheader("Cases that wait for a blinded recount")
    found = rooms.log.look_up(Query(states=(CaseState.PENDING_RECOUNT,)), ascending=True, limit=200)
    if not found:
        st.write("None. A case comes here where its group asks for a recount: Groups 2, 3 and 4 with IHC 2+.")
        return
    decided = [(case, workflow.may_recount(rooms.log, case.id, user)) for case in found]
    for column, title in zip(st.columns(_WIDTHS), ("Case", "Patient", "Waits for", "", ""), strict=True):
        column.caption(title)
    for case, decision in sorted(decided, key=lambda pair: not pair[1]):
        _row(rooms, user, case, bool(decision), decision.reason)


def _row(rooms: Services, user: User, case: CaseSummary, allowed: bool, reason: str) -> None:
    columns = st.columns(_WIDTHS, vertical_alignment="center")
    columns[0].markdown(f"**{plain(case_title(case.accession, case.block))}**")
    columns[1].markdown(f"{plain(case.patient_name)} · {plain(case.patient_id)}")
    columns[2].markdown(age(case.updated_at))
    columns[3].caption(plain(reason))
    if columns[4].button(
        "Recount", key=f"recount_{case.id}", width="stretch", icon=":material/arrow_forward:", disabled=not allowed
    ):
        open_case(case.id)
        rooms.log.note("case opened", user, case.id, {"for": "blinded recount"})
        st.rerun()


# --- the recount ------------------------------------------------------------------------------------------------------


@st.fragment(key="recount")
def _recount(case_id: int) -> None:
    """Image, nucleus and table: everything that changes with a count, and nothing else runs."""
    rooms, user = guarded(Role.PATHOLOGIST)
    try:
        regions, counts, left_out = workflow.blinded_recount(rooms.log, case_id, user)
    except Her2CoreError:  # no longer blinded, or no longer due: the page says why
        st.rerun(scope="app")
    show_flash()
    if not regions:
        st.info("The regions of this case are gone; the recount waits for the first observer.", icon=":material/info:")
        return
    st.html(_TALL)
    left, right = st.columns([1.62, 1], gap="small")
    with left:
        region, look = _toolbar(regions)
        selected = _selected(region, {*counts, *left_out})
        _image(rooms, region, selected, counts, left_out, look)
    with right:
        own = _of_population(counts, regions, region.population)
        st.markdown(
            f"**Blinded recount, population {plain(region.population)}.** Count the invasive tumour nuclei of areas "
            "with IHC 2+. You see neither the first counts nor the group. Nuclei cut by the edge have a box "
            "only if fewer than 20 others can be counted."
        )
        boxes = {(r.region.id, n) for r in regions if r.population == region.population for n, _ in r.boxes}
        _finish(rooms, user, case_id, region.population, own, boxes, left_out)
        nucleus_tab, table_tab = st.tabs(["Nucleus", f"Your counts in {region.name}"])
        with nucleus_tab:
            if selected is None:
                st.info("No whole nucleus is boxed in this region.")
            else:
                _nucleus(rooms, user, regions, region, selected, counts, left_out, case_id)
        with table_tab:
            _table(rooms, user, region, counts, left_out, case_id)
        _notes(own)


def _keep(rooms: Services, user: User, case_id: int, given: Counts) -> None:
    """Keep what was counted just now; what cannot be kept is said on the next run."""
    saved(workflow.count_blinded, rooms.log, case_id, given, user)


def _of_population(counts: Counts, regions: Sequence[BlindedRegion], population: str) -> Counts:
    own = {r.region.id for r in regions if r.population == population}
    return {key: pair for key, pair in counts.items() if key[0] in own}


def _toolbar(regions: Sequence[BlindedRegion]) -> tuple[BlindedRegion, dict[str, Any]]:
    """Which region is looked at and how."""
    by_name = {r.name: r for r in regions}
    with st.container(horizontal=True, vertical_alignment="center", gap="small"):
        if st.session_state.get(_REGION) not in by_name:
            st.session_state[_REGION] = next(iter(by_name))
        name = st.segmented_control(
            "Region", list(by_name), required=True, key=_REGION, label_visibility="collapsed",
            on_change=lambda: st.session_state.pop(_NUCLEUS, None),
        )  # fmt: skip
        zoom = st.segmented_control(
            "Zoom", list(_ZOOMS), default="Fit", required=True, key="recount_zoom", label_visibility="collapsed",
            help="2× and 4× follow the chosen nucleus. The mouse wheel zooms too.",
        )  # fmt: skip
        with st.popover("View", icon=":material/tune:"):
            channels = st.pills(
                "Channels", CHANNELS, selection_mode="multi", default=list(CHANNELS), key="recount_channels"
            )
            gain = st.slider("Brightness", 0.5, 4.0, 1.0, 0.25, key="recount_gain")
    return by_name[str(name)], {"zoom": _ZOOMS[str(zoom)], "channels": tuple(channels) or CHANNELS, "gain": gain}


def _selected(region: BlindedRegion, done: Nuclei) -> int | None:
    """The nucleus that is shown: the one gone to, else the first that is neither counted nor left out yet."""
    ids = [nucleus_id for nucleus_id, _ in region.boxes]
    wanted = st.session_state.get(_NUCLEUS)
    if wanted in ids:
        return int(wanted)
    return next((n for n in ids if (region.region.id, n) not in done), ids[0] if ids else None)


def _image(
    rooms: Services, region: BlindedRegion, selected: int | None, counts: Counts, left_out: Nuclei,
    look: Mapping[str, Any],
) -> None:  # fmt: skip
    stored = region.region
    key = f"blinded_{stored.id}"

    def clicked() -> None:
        nucleus_id = clicked_nucleus(st.session_state.get(key))
        if nucleus_id is not None:
            st.session_state[_NUCLEUS] = nucleus_id

    figure = blinded_figure(
        picture_url(rooms, stored, look["channels"], look["gain"]),
        stored.width_px,
        stored.height_px,
        dict(region.boxes),
        {nucleus for (region_id, nucleus), pair in counts.items() if region_id == stored.id and None not in pair},
        {nucleus for region_id, nucleus in left_out if region_id == stored.id},
        selected=selected,
        zoom=look["zoom"],
    )
    with st.container(height=_FIGURE_PX, border=False, key="recount_image"):
        st.plotly_chart(
            figure, theme=None, key=key, on_select=clicked, selection_mode="points", config=CONFIG, height="stretch",
            alt=f"Region {region.name} with {len(region.boxes)} boxes",
        )  # fmt: skip


def _nucleus(
    rooms: Services, user: User, regions: Sequence[BlindedRegion], region: BlindedRegion, nucleus_id: int,
    counts: Counts, left_out: Nuclei, case_id: int,
) -> None:  # fmt: skip
    """One nucleus large, and its two counts."""
    box = dict(region.boxes)[nucleus_id]
    picture, controls = st.columns([1.75, 1], gap="small")
    pixels = region_image(rooms.log, region.region).pixels_rgb
    picture.image(png(nucleus_montage(pixels, box, ())), width="stretch")
    made = (region.region.id, nucleus_id)
    her2, cep17 = counts.get(made, (None, None))
    # The counts are in the key, so that the fields follow the table.
    key = f"recount_{region.region.id}_{nucleus_id}_{her2}_{cep17}"

    def save() -> None:
        try:
            given = (typed_count(st.session_state[f"{key}_her2"]), typed_count(st.session_state[f"{key}_cep17"]))
        except ScoringError as error:  # the browser lets none through
            flash("error", str(error))
            return
        _keep(rooms, user, case_id, {made: given})
        _new_table()
        if None in given:  # stays at hand until it is complete or left out
            flash("info", _half(nucleus_id, given))
            st.session_state[_NUCLEUS] = nucleus_id
        else:
            _go_on(regions, region, nucleus_id)

    def leave_out() -> None:
        saved(workflow.leave_out_blinded, rooms.log, case_id, *made, user)
        _go_on(regions, region, nucleus_id)
        _new_table()

    with controls:
        with st.container(horizontal=True, gap="xsmall"):
            for label, icon, step, shortcut in (
                ("Previous nucleus", ":material/chevron_left:", -1, "Left"),
                ("Next nucleus", ":material/chevron_right:", 1, "Right"),
            ):
                st.button(
                    " ", icon=icon, key=f"recount_step_{step}", help=label, shortcut=shortcut, on_click=_go,
                    args=(region, nucleus_id, step),
                )  # fmt: skip
            st.markdown(f"**Nr {nucleus_id}**")
        if made in left_out:
            st.caption(":material/block: Left out by you. A count takes it in again.")
        with st.form(key, border=False):
            _count_field("HER2", her2, f"{key}_her2")
            _count_field("CEP17", cep17, f"{key}_cep17")
            st.form_submit_button("Count, next", type="primary", width="stretch", key=f"{key}_save", on_click=save)
        st.button(
            "Leave out", key=f"recount_skip_{made}", width="stretch", on_click=leave_out, shortcut="X",
            help="Not an invasive tumour nucleus, overlapped, out of focus, or damaged.",
        )  # fmt: skip
        mount_counting_keys(key, her2, cep17, COUNT_PATTERN)


def _count_field(name: str, before: int | None, key: str) -> None:
    """A field for one count. As text, since a field for numbers makes 2 of 2.5 without a word."""
    stays = "" if before is None else f" {before} stays."
    st.text_input(
        name, "" if before is None else str(before), key=key, placeholder="signals", autocomplete="off",
        validate=(COUNT_PATTERN, f"Not a whole number from 0 to {MOST_SIGNALS}.{stays}"),
    )  # fmt: skip


def _half(nucleus_id: int, given: tuple[int | None, int | None]) -> str:
    """What is to be done about a nucleus of which one count, or none, was given."""
    if given == (None, None):
        return f"Nucleus {nucleus_id} has no counts yet. Give both (0 where you see no signal), or press “Leave out”."
    name = "HER2" if given[0] is None else "CEP17"
    return f"{name} of nucleus {nucleus_id} is missing. Give it (0 where you see no signal), or press “Leave out”."


def _go(region: BlindedRegion, nucleus_id: int, step: int) -> None:
    ids = [key for key, _ in region.boxes]
    st.session_state[_NUCLEUS] = ids[(ids.index(nucleus_id) + step) % len(ids)]


def _go_on(regions: Sequence[BlindedRegion], region: BlindedRegion, nucleus_id: int) -> None:
    """To the next nucleus, after the last one of a region to the next region; never back to what was counted, where
    the next digit would replace a count."""
    if nucleus_id != region.boxes[-1][0]:
        _go(region, nucleus_id, 1)
        return
    names = [r.name for r in regions if r.boxes]
    following = names[names.index(region.name) + 1 :]
    if following:
        st.session_state[_REGION] = following[0]
        st.session_state.pop(_NUCLEUS, None)
        flash("info", f"Region {plain(region.name)} is at its end. This is region {plain(following[0])}.")
    else:
        st.session_state[_NUCLEUS] = nucleus_id
        flash("info", "That was the last nucleus of the last region.")


def _table(rooms: Services, user: User, region: BlindedRegion, counts: Counts, left_out: Nuclei, case_id: int) -> None:
    """The counts of the region to type one after the other."""
    ids = [nucleus_id for nucleus_id, _ in region.boxes]
    # The editor is given what was counted when it was first drawn: with other data it would begin anew at each cell.
    kept: _Table | None = st.session_state.get(_TABLE)
    place = (case_id, region.region.id)
    if kept is not None and kept.of == place:
        table = kept
    else:
        table = _Table(place, 0 if kept is None else kept.number + 1, dict(counts), left_out)
        st.session_state[_TABLE] = table
    key = f"recount_table_{table.number}"

    def changed() -> None:
        edited = copy.deepcopy(dict(st.session_state[key]["edited_rows"]))
        _keep(rooms, user, case_id, given_in_table(table.counts, region.region.id, ids, table.edited, edited))
        st.session_state[_TABLE] = replace(table, edited=edited)
        st.session_state[_SLIPS] = slips = no_counts(ids, edited)
        if slips:
            _new_table()

    _say_slips()
    pairs = [table.counts.get((region.region.id, nucleus_id), (None, None)) for nucleus_id in ids]
    # As text: a column for numbers makes 25 of 2.5, and 200 of whatever is more.
    frame = pd.DataFrame(
        {
            "Nr": ids,
            "HER2": ["" if pair[0] is None else str(pair[0]) for pair in pairs],
            "CEP17": ["" if pair[1] is None else str(pair[1]) for pair in pairs],
            "": ["left out" if (region.region.id, nucleus_id) in table.left_out else "" for nucleus_id in ids],
        }
    )
    counts_column = {
        name: st.column_config.TextColumn(f"{name} signals", alignment="right") for name in ("HER2", "CEP17")
    }
    st.data_editor(
        frame, key=key, hide_index=True, height=296, num_rows="fixed", disabled=["Nr", ""], on_change=changed,
        column_config={"Nr": st.column_config.NumberColumn("Nr", width="small"), **counts_column},
    )  # fmt: skip


def _say_slips() -> None:
    """What was typed in the table just before and is no count, once."""
    slips: tuple[str, ...] = st.session_state.pop(_SLIPS, ())
    if slips:
        more = " …" if len(slips) > _MOST_SLIPS_SAID else ""
        st.error(plain(" ".join(slips[:_MOST_SLIPS_SAID])) + more, icon=":material/error:")


def _new_table() -> None:
    """Counts were given beside the table: it begins anew with them."""
    kept: _Table | None = st.session_state.get(_TABLE)
    if kept is not None:
        st.session_state[_TABLE] = replace(kept, of=None)


def so_far(counts: Counts, left_out: Nuclei, boxes: Nuclei) -> tuple[int, int, int]:
    """How many of the boxed nuclei are counted with signals of both colours, left out, and still to do."""
    done = {key for key, pair in counts.items() if None not in pair} | left_out
    return len(scored_nuclei(counts)), len(boxes & left_out), len(boxes - done)


def _finish(
    rooms: Services, user: User, case_id: int, population: str, own: Counts, boxes: Nuclei, left_out: Nuclei
) -> None:
    """How far the recount is, and the button that hands it in."""
    made, out, to_do = so_far(own, left_out, boxes)
    lacking = missing(own)
    if lacking and not to_do:
        lacking = (*lacking, "No nucleus is left to count: the first observer has to add a region.")
    left, right = st.columns([1.9, 1], vertical_alignment="center")
    text = f"{made} of at least {MINIMUM_NUCLEI} nuclei counted · {out} left out · {to_do} to do"
    left.progress(min(1.0, made / MINIMUM_NUCLEI), text=text)
    right.button(
        "Hand in", type="primary", icon=":material/check:", key="hand_in", width="stretch", disabled=bool(lacking),
        on_click=_hand_in, args=(rooms, user, case_id, population),
        help=" ".join(lacking) or "Makes the recount a record of the case. It cannot be changed afterwards.",
    )  # fmt: skip
    if lacking:
        left.markdown(f":orange[:material/pending_actions:] **Before you hand in:** {plain(' '.join(lacking))}")


def _notes(own: Counts) -> None:
    """Under all else: how many nuclei cannot be scored, that nothing needs saving, and the keys."""
    one_colour = sum(None not in pair for pair in own.values()) - len(scored_nuclei(own))
    notes = [f"{one_colour} without signals of both colours, not scored."] if one_colour else []
    st.caption(" ".join([*notes, "Each count is kept as you give it.", KEYS]))


def _hand_in(rooms: Services, user: User, case_id: int, population: str) -> None:
    """Make a record of the recount, once: a second click finds it made."""
    try:
        workflow.hand_in_recount(rooms.log, case_id, population, user)
        state = rooms.log.case(case_id).state
    except Her2CoreError as error:
        flash("error", str(error))
        return
    _new_table()
    flash("success", f"Your recount of population {plain(population)} is on record. {_after(state)}")


def _after(state: CaseState) -> str:
    """What becomes of a case after a recount."""
    if state is CaseState.PENDING_ADJUDICATION:
        return "It falls into another group than the first count: the case waits for an adjudication."
    if state is CaseState.PENDING_RECOUNT:
        return "Another population of the case still waits for its recount."
    return f"Nothing more is asked of you; the case is now: {STATE_WORDS[state]}."
