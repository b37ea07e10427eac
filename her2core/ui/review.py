"""Review: run the analysis, look through the nuclei, correct them, and see at once what the result becomes."""

from __future__ import annotations

import uuid
from collections.abc import Sequence
from dataclasses import replace

import streamlit as st

from her2core import workflow
from her2core.errors import NotFoundError
from her2core.imaging import PixelsRGB
from her2core.jobs import JobState, JobStatus
from her2core.records import ModelUsed, Region, Role, User
from her2core.ui import disagreement
from her2core.ui.analysing import progress_words, start_words
from her2core.ui.blinding import stays_blind
from her2core.ui.editor import EditorNews, Inbox, editor_state, encoded_picture, mount_editor, mount_pictures
from her2core.ui.flagging import summary
from her2core.ui.intake_regions import region_thumbnail
from her2core.ui.nuclei import doubtful_nuclei, scored_nuclei
from her2core.ui.services import Services, count_box, region_image
from her2core.ui.session import REVIEW_REGION, guarded, saved, show_flash
from her2core.ui.words import counting_words, local_time, plain
from her2core.workflow import CaseReview, CountBox, RegionReview
from her2core.workflow.presence import Presence, Visit
from her2core.workflow.reviewing import Edit, Taken, take_edit

__all__ = ["before_confirming", "draw", "models_line"]

_INBOX, _WINDOW, _SHOWN = "review_inbox", "review_window", "review_shown_version"
_EDITOR = "review_editor"
_SIGN_OF_LIFE_S = 10
_ACROSS = 4  # regions beside each other before the analysis
# The button for the whole case lies over the end of the editor's toolbar, which leaves it room; nothing else is drawn
# of what only carries pictures.
_STYLE = """<style>
.st-key-whole_case {align-self: flex-end; width: 186px !important; position: relative; top: 8px; z-index: 3;
  margin-bottom: calc(-3rem - 0.55rem);}
.st-key-her2core_pictures {position: absolute; width: 0; height: 0; overflow: hidden;}
</style>"""


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
        st.html(_STYLE + disagreement.DISAGREEMENT_STYLE)
        st.session_state[_SHOWN] = (case_id, review.case.version)
        _company(case_id)
        _workbench(case_id)
        _send_pictures(rooms, review)


# --- analysis ---------------------------------------------------------------------------------------------------------


def _analysis(rooms: Services, user: User, review: CaseReview, status: JobStatus | None) -> None:
    """What the last analysis left to say, and the button that starts one; before the first, what is there already."""
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
            start_words(count, status),
            type="primary",
            icon=":material/play_arrow:",
            key="analyse",
            width="stretch",
            on_click=_start,
            args=(rooms, user, review.case.id, tuple(r.id for r in waiting)),
        )
    if not any(r.counts for r in review.regions):
        _before(rooms, review)


def _before(rooms: Services, review: CaseReview) -> None:
    """Before there is anything to review: what is missing, the way to it, and the regions as they stand."""
    left, right = st.columns([3, 1], vertical_alignment="center")
    if review.missing:
        missing = "\n".join(f"- {plain(line)}" for line in review.missing)
        left.warning(f"**Before the analysis**\n{missing}", icon=":material/list_alt:")
    elif review.to_analyse:
        left.caption(
            "The models box each nucleus and count its signals. Then you look through the nuclei here, correct what is "
            "wrong, and confirm the counts."
        )
    again = bool(review.regions) and not review.missing
    label = "Back to intake" if again else "Go to intake"
    if right.button(label, type="secondary" if again else "primary", key="to_intake", width="stretch"):
        st.switch_page("pages/intake.py")
    several = len(review.case.populations) > 1
    for row in range(0, len(review.regions), _ACROSS):
        for column, shown in zip(st.columns(_ACROSS), review.regions[row : row + _ACROSS], strict=False):
            stored = shown.region
            column.image(region_thumbnail(stored.image_sha256, rooms, stored), width="stretch")
            column.markdown(f"**{plain(shown.name)}** {plain(stored.filename)}")
            column.caption(plain(summary(stored.flags, populations=several)))


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
    left.progress(status.fraction, text=progress_words(status))
    right.button(
        "Stop" if status.state is JobState.RUNNING else "Leave the queue", icon=":material/stop:", key="stop_analysis",
        width="stretch", disabled=status.stopping, on_click=saved, args=(rooms.jobs.cancel, case_id, user),
    )  # fmt: skip
    st.caption("You may leave this page; the analysis goes on and is saved region by region.")


# --- who else is here -------------------------------------------------------------------------------------------------


@st.cache_resource(show_spinner=False)
def _presence() -> Presence:
    return Presence()


@st.fragment(run_every=_SIGN_OF_LIFE_S)
def _company(case_id: int) -> None:
    """Says who else has the case open, and shows what they change."""
    rooms, user = guarded(Role.PATHOLOGIST, by_timer=True)
    window = st.session_state.setdefault(_WINDOW, uuid.uuid4().hex)
    others = _presence().here(case_id, window, user.id)
    if st.session_state.get(_SHOWN) != (case_id, rooms.log.case(case_id).version):
        st.rerun(scope="app")
    for sentence in _company_words(rooms, user, others):
        st.warning(sentence, icon=":material/group:")


def _company_words(rooms: Services, user: User, others: Sequence[Visit]) -> list[str]:
    """A sentence for each person (not each window) who has the case open."""
    said = {}
    for visit in others:
        own = visit.user_id == user.id
        who = "You have" if own else f"{plain(rooms.log.user(visit.user_id).full_name)} has"
        where = " in another window" if own else ""
        said[visit.user_id] = (
            f"{who} this case open{where} since {local_time(visit.since)}. Edits of both are kept; a step on a nucleus "
            "that was changed meanwhile is refused and says so."
        )
    return list(said.values())


# --- workbench --------------------------------------------------------------------------------------------------------


@st.fragment(key="workbench")
def _workbench(case_id: int) -> None:
    """The editor and the confirmation: everything that changes with an edit, and nothing else runs."""
    rooms, user = guarded(Role.PATHOLOGIST)
    review = workflow.assess(rooms.log, case_id)
    shown = [r for r in review.regions if r.analysis is not None]
    if not shown:
        st.rerun(scope="app")
    st.session_state[_SHOWN] = (case_id, review.case.version)
    show_flash()
    region = _region(shown)
    disagreement.show(rooms, user, review, region)
    _confirm(rooms, user, review)
    names = {person.id: person.full_name for person in rooms.log.users()}
    news = EditorNews(names, _inbox(case_id), before_confirming(review))
    mount_editor(f"{_EDITOR}_{case_id}", editor_state(review, region, news), lambda: _receive(case_id))


def _region(shown: Sequence[RegionReview]) -> RegionReview:
    """The region that is looked at; the first that counts where none was chosen."""
    wanted = st.session_state.get(REVIEW_REGION)
    first = next((r for r in shown if r.counts), shown[0])
    return next((r for r in shown if r.region.id == wanted), first)


def _inbox(case_id: int) -> Inbox:
    """What this session did to the case."""
    boxes: dict[int, Inbox] = st.session_state.setdefault(_INBOX, {})
    return boxes.setdefault(case_id, Inbox())


def _receive(case_id: int) -> None:
    """What the editor sent: edits, and which region is to be shown."""
    rooms, user = guarded(Role.PATHOLOGIST)
    message = st.session_state[f"{_EDITOR}_{case_id}"].get("message")
    if isinstance(message, dict) and isinstance(message.get("region"), int):
        st.session_state[REVIEW_REGION] = message["region"]

    def take(edit: Edit) -> Taken:
        return _take(rooms, user, case_id, edit, _inbox(case_id))

    _inbox(case_id).receive(message, take)


def _take(rooms: Services, user: User, case_id: int, edit: Edit, inbox: Inbox) -> Taken:
    """One edit of the editor of this case, and of no other."""
    if rooms.log.region(edit.region_id).case_id != case_id:
        raise NotFoundError("This region belongs to another case. Load the page again.")

    def pixels(region: Region) -> PixelsRGB:
        return region_image(rooms.log, region).pixels_rgb

    def count(nucleus_id: int | None) -> CountBox:
        region = workflow.assess(rooms.log, case_id).region(edit.region_id)
        if region is None:
            raise NotFoundError("This region was removed. Load the page again.")
        return count_box(rooms, replace(region, nuclei=tuple(r for r in region.nuclei if r.nucleus.id != nucleus_id)))

    return take_edit(rooms.log, edit, user, own=inbox.own, pixels=pixels, count=count)


def _send_pictures(rooms: Services, review: CaseReview) -> None:
    """The pixels of all regions, first the one that is looked at; outside of the workbench, whose edits leave them."""
    shown = [r for r in review.regions if r.analysis is not None]
    first = _region(shown)
    ordered = [first, *(r for r in shown if r is not first)]
    mount_pictures((str(r.region.id), encoded_picture(rooms, r.region)) for r in ordered)


def _confirm(rooms: Services, user: User, review: CaseReview) -> None:
    """The button that says that the nuclei were looked at, then the one that leads on; over the end of the toolbar."""
    models = dict.fromkeys(m for r in review.regions if r.analysis is not None for m in r.analysis.models)
    made_by = plain(models_line(tuple(models)))  # as a tooltip, since the workbench leaves no line free
    with st.container(key="whole_case"):
        if review.reviewed:
            if st.button(
                "Work-up", type="primary", key="to_work_up", width="stretch", icon=":material/arrow_forward:",
                help=made_by,
            ):  # fmt: skip
                st.switch_page("pages/sign_out.py")
            return
        st.button(
            "Counts reviewed", type="primary", key="confirm_review", width="stretch", icon=":material/check:",
            disabled=not review.editable or bool(review.to_analyse or review.unsettled),
            on_click=saved, args=(workflow.confirm_review, rooms.log, review.case.id, review.case.version, user),
            kwargs={"done": "Review confirmed."}, help=made_by,
        )  # fmt: skip


def models_line(models: Sequence[ModelUsed]) -> str:
    """Which models analysed the regions, and how they counted then, which need not be how the settings count now."""
    ways = dict.fromkeys(counting_words(m.reading) for m in models if m.stage == "counter")
    return f"Analysed with {', '.join(dict.fromkeys(m.called for m in models))}. {'; '.join(ways)}."


def before_confirming(review: CaseReview) -> str:
    """What stands beside the button that confirms the counts: why it waits, or what to look at first."""
    if review.reviewed:
        return "Counts are confirmed"
    if not review.editable:
        return "Signed: an amendment opens it"
    if review.to_analyse:
        return f"First analyse {_number(len(review.to_analyse), 'region')}"
    if review.unsettled:
        return f"First settle {_number(len(review.unsettled), 'point')} above"
    return _to_look_at(review)


def _to_look_at(review: CaseReview) -> str:
    """How many are overlapped, and how many others uncertain: a nucleus that is both is settled with its overlap."""
    doubtful = doubtful_nuclei(review)
    covered = sum(r.covered for r in doubtful)
    uncertain = len(doubtful) - covered
    are = "is" if uncertain == 1 else "are"
    if not covered:
        return f"{uncertain} of {len(scored_nuclei(review))} scored {are} uncertain" if uncertain else ""
    overlapped = f"{covered} scored {'is' if covered == 1 else 'are'} overlapped by a new box"
    return f"{overlapped}, {_number(uncertain, 'other')} {are} uncertain" if uncertain else overlapped


def _number(count: int, what: str) -> str:
    return f"{count} {what}{'' if count == 1 else 's'}"
