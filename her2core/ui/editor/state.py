"""What the editor is told after each run: the nuclei of the region as they count now, and the result that follows."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any

from her2core.marks import BOX_STYLES, CLUSTER_SIGN, CLUSTER_WORDS, SIGNAL_STYLES, NucleusState, state_of_nucleus
from her2core.records import Correction, CorrectionKind, Exclusion
from her2core.scoring import (
    MOST_TYPED,
    PopulationAssessment,
    ReviewedNucleus,
    cep17_per_nucleus,
    copy_number,
    next_redo,
    next_undo,
    ratio,
)
from her2core.ui.editor.inbox import Inbox
from her2core.ui.nuclei import doubt
from her2core.ui.result import RESULT_STYLE, result_html
from her2core.ui.words import escaped, number
from her2core.workflow import CaseReview, RegionReview

__all__ = ["REASONS", "EditorNews", "editor_state"]

REASONS = (
    Exclusion.NOT_TUMOUR,
    Exclusion.OVERLAP,
    Exclusion.EDGE,
    Exclusion.OUT_OF_FOCUS,
    Exclusion.DAMAGED,
    Exclusion.UNCOUNTABLE,
    Exclusion.OTHER,
)
"""Why a pathologist leaves a nucleus out; the other reasons follow from its counts."""

_DONE: Mapping[CorrectionKind, str] = {
    CorrectionKind.COUNTS: "counts set",
    CorrectionKind.EXCLUDE: "excluded",
    CorrectionKind.INCLUDE: "included",
    CorrectionKind.CLUSTER: "cluster set",
    CorrectionKind.ADD: "added",
    CorrectionKind.SIGNALS: "signals marked",
    CorrectionKind.BOX: "box moved",
}  # an UNDO is never in force by itself


@dataclass(frozen=True, slots=True)
class EditorNews:
    """What is not in the case: who is who, what came of the edits of this session, and what stands beside the button
    that confirms the counts."""

    names: Mapping[int, str]
    inbox: Inbox
    note: str = ""


def editor_state(review: CaseReview, region: RegionReview, news: EditorNews) -> dict[str, Any]:
    """The whole state for `region`, of JSON values only."""
    undo, redo = next_undo(region.corrections), next_redo(region.corrections)
    inbox = news.inbox
    return {
        "region": {
            "id": region.region.id,
            "name": region.name,
            "width": region.region.width_px,
            "height": region.region.height_px,
            "picture": region.region.image_sha256,
        },
        "regions": [_region(r) for r in review.regions if r.analysis is not None],
        "nuclei": [_nucleus(r, news.names) for r in region.nuclei],
        "seen": max((c.id for c in region.corrections), default=0),
        "editable": review.editable,
        "note": news.note,
        "undo": "" if undo is None else f"{undo.kind.value}, nucleus {undo.nucleus_id}",
        "redo": "" if redo is None else _redone(redo, region.corrections),
        "cards": _cards(review, region),
        "reasons": [reason.value for reason in REASONS],
        "limits": MOST_TYPED,
        "overlap": Exclusion.OVERLAP.value,
        "styles": {state.name.lower().replace("_", " "): _style(state) for state in NucleusState},
        "signals": {channel.value: style.colour for channel, style in SIGNAL_STYLES.items()},
        "cluster": {"sign": CLUSTER_SIGN, "words": CLUSTER_WORDS},
        "acknowledged": {"window": inbox.window, "upto": inbox.upto},
        "refused": [{"number": r.number, "message": r.message} for r in inbox.refused],
        "select": {"nucleus": inbox.select, "number": inbox.selections},
    }


def _redone(undo: Correction, corrections: tuple[Correction, ...]) -> str:
    target = next(c for c in corrections if c.id == undo.new["correction_id"])
    return f"{target.kind.value}, nucleus {target.nucleus_id}"


def _region(region: RegionReview) -> dict[str, Any]:
    scored = [r for r in region.nuclei if r.nucleus.scored]
    return {
        "id": region.region.id,
        "name": region.name,
        "scored": len(scored),
        "doubtful": sum(r.doubtful for r in scored),
        "counts": region.counts,
    }


def _style(state: NucleusState) -> dict[str, Any]:
    style = BOX_STYLES[state]
    return {
        "colour": style.colour,
        "pattern": list(style.pattern),
        "width": style.width,
        "sign": style.sign,
        "word": state.value,
    }


def _nucleus(reviewed: ReviewedNucleus, names: Mapping[int, str]) -> dict[str, Any]:
    n, ai = reviewed.nucleus, reviewed.ai
    state = state_of_nucleus(n, edited=reviewed.edited)
    if reviewed.covered:  # whatever a person said of it before
        state = NucleusState.UNCERTAIN
    return {
        "id": n.id,
        "box": [round(side, 2) for side in n.box],
        "her2": n.her2,
        "cep17": n.cep17,
        "clustered": n.clustered,
        "scored": n.scored,
        "reason": None if n.reason is None else n.reason.value,
        "uncertain": n.uncertain,
        "uncertainty": n.uncertainty,
        "unseen": n.reason is Exclusion.NO_NUCLEUS,
        "covered": reviewed.covered,
        "freed": reviewed.freed,
        "state": state.name.lower().replace("_", " "),
        "doubt": round(doubt(reviewed), 4),
        "edited": _edited(reviewed, names),
        "read": reviewed.read,
        "signals": [[s.channel.value, round(s.x, 2), round(s.y, 2)] for s in n.signals],
        "ai": None if ai is None else {"her2": ai.her2, "cep17": ai.cep17},
    }


def _edited(reviewed: ReviewedNucleus, names: Mapping[int, str]) -> str:
    """Who changed the nucleus last, what and when; empty where nobody did."""
    if not reviewed.corrections:
        return ""
    last = reviewed.corrections[-1]
    confirmed = last.kind is CorrectionKind.COUNTS and not reviewed.changed
    what = "counts confirmed" if confirmed else _DONE[last.kind]
    return f"{what} by {names.get(last.by_user_id, 'somebody')}, {last.at.astimezone():%H:%M}"


def _cards(review: CaseReview, region: RegionReview) -> str:
    """The result of the population that the region shows, and the others in a line each. Escaped."""
    assessment = review.assessment
    if assessment is None:
        return "<p>This region does not count; no suitable region is analysed yet.</p>"
    populations = assessment.populations
    shown = next((p for p in populations if p.label == region.population), populations[0])
    found = review.findings.get(shown.label)
    check = None if found is None else found.cross_check
    card = result_html(shown, review.ai.get(shown.label), several=len(populations) > 1, check=check)
    note = "" if region.counts else "<p>This region was flagged as unsuitable: its nuclei do not count.</p>"
    others = "".join(_line(p) for p in populations if p is not shown)
    return RESULT_STYLE + card + note + others


def _line(population: PopulationAssessment) -> str:
    t = population.tally
    called = population.provisional_group
    share = "" if population.share_percent is None else f" ({population.share_percent:g} %)"
    said = "no group yet" if called is None else f"Group {called}"
    return (
        f'<div class="others">Population {escaped(population.label)}{share}: <b>{said}</b> · ratio {number(ratio(t))}'
        f" · {number(copy_number(t))} HER2 and {number(cep17_per_nucleus(t))} CEP17 per cell · {t.n} nuclei</div>"
    )
