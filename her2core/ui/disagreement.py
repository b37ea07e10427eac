"""Where flags or counts and findings disagree: point after point, to be settled before the counts are confirmed."""

from __future__ import annotations

import streamlit as st

from her2core import workflow
from her2core.records import User
from her2core.scoring import DisagreementKind
from her2core.ui.acknowledging import acknowledge_button
from her2core.ui.nuclei import doubtful_nuclei
from her2core.ui.services import Services
from her2core.ui.session import REVIEW_REGION, saved
from her2core.ui.words import plain
from her2core.workflow import CaseReview, CaseWarning, RegionReview

__all__ = ["DISAGREEMENT_STYLE", "show"]

# Low, so that the image keeps the height of the screen; of one height with and without a point, so that it stays where
# it is when the last one is settled.
DISAGREEMENT_STYLE = """<style>
.st-key-disagreements, .st-key-settled {border: 1px solid #E69F00; border-left-width: 5px; border-radius: 5px;
  padding: 3px 8px 3px 11px; background: rgba(230,159,0,.09); min-height: 46px; justify-content: center;}
.st-key-settled {border-color: rgba(140,155,170,.35); background: none;}
.st-key-disagreements p, .st-key-settled p {font-size: 13px; line-height: 1.35;}
.st-key-disagreements button {min-height: 30px; padding: 2px 10px;}
</style>"""
_REJECTED = "Region rejected: its nuclei do not count. Under Intake it can be flagged as suitable again."
_STAYS = "Flag changed; the counts stay as they are."
_ROOM = "disagreements_shown"  # the case that had a point to settle in this session


def show(rooms: Services, user: User, review: CaseReview, looked_at: RegionReview) -> None:
    """The first point that is not settled yet; nothing where flags and findings agreed from the first. Callbacks say on
    the next run what could not be saved."""
    if review.unsettled:
        st.session_state[_ROOM] = review.case.id
        _point(rooms, user, review, review.unsettled[0], looked_at)
    elif st.session_state.get(_ROOM) == review.case.id:
        with st.container(key="settled"):
            st.markdown(f":green[:material/check_circle:] {_settled(review)}")


def _settled(review: CaseReview) -> str:
    """What is left once no point is: nuclei may still be in doubt."""
    doubtful = len(doubtful_nuclei(review))
    said = "**Every point is settled.**" if doubtful else "**Nothing is left to settle.**"
    if review.reviewed:
        return said
    which = f", {doubtful} of them in doubt" if doubtful else ""
    return f"{said} Look through the nuclei{which}, then confirm the counts."


def _elsewhere(review: CaseReview, point: CaseWarning, looked_at: RegionReview) -> RegionReview | None:
    """The region that a point is about, where another one is looked at."""
    about = None if point.region_id is None else review.region(point.region_id)
    return None if about is None or about.region.id == looked_at.region.id else about


def _open(region_id: int) -> None:
    st.session_state[REVIEW_REGION] = region_id


def _point(rooms: Services, user: User, review: CaseReview, point: CaseWarning, looked_at: RegionReview) -> None:
    points = [w for w in review.warnings if w.before_review]
    which = f"{len(points) - len(review.unsettled) + 1} of {len(points)}"
    with st.container(key="disagreements"):
        elsewhere = _elsewhere(review, point, looked_at)
        said, settled = st.columns([3.9, 1.3] if elsewhere is None else [3.5, 1.7], vertical_alignment="center")
        said.markdown(f":orange[:material/warning:] **{_title(point)}, {which}.** {plain(point.text)}")
        with settled, st.container(horizontal=True, horizontal_alignment="right", gap="small"):
            if elsewhere is not None:
                st.button(
                    f"Open {plain(elsewhere.name)}", key=f"open_region_{point.key}", icon=":material/image_search:",
                    help="Shows the region that this is about.", on_click=_open, args=(elsewhere.region.id,),
                )  # fmt: skip
            acknowledge_button(rooms, user, review, point, "content")
            if point.changes:
                st.button(
                    _follow(review, point), key=f"follow_{point.key}",
                    disabled=not review.editable, on_click=_settle, args=(rooms, user, review, point, looked_at),
                )  # fmt: skip


def _settle(rooms: Services, user: User, review: CaseReview, point: CaseWarning, looked_at: RegionReview) -> None:
    """Do as the point says; who looks at a region that is rejected by it is led to one that counts."""
    done = _REJECTED if _rejected(point) else _STAYS
    if not saved(workflow.follow_findings, rooms.log, point, user, done=done):
        return
    rejected = _rejected(point)
    left = [r.region.id for r in review.regions if r.counts and r.region.id not in rejected]
    if looked_at.region.id in rejected and left:
        _open(left[0])


def _title(point: CaseWarning) -> str:
    if point.contradicts:
        return "All signals contradict the scored nuclei"
    if point.kind is DisagreementKind.SAME_CELLS:
        return "Cells count twice"
    return "Above the guideline's limit" if _rejected(point) else "Flags and findings disagree"


def _rejected(point: CaseWarning) -> list[int]:
    """The regions that are rejected to settle a point."""
    return [region_id for region_id, flags in point.changes if not flags.suitable]


def _follow(review: CaseReview, point: CaseWarning) -> str:
    """What the button does that settles the point: the region that it rejects by name, since two may be meant."""
    rejected = map(review.region, _rejected(point))
    names = [region.name for region in rejected if region is not None]
    return f"Reject {', '.join(names)}" if names else "Change the flag"
