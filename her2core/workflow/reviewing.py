"""What the review editor asks for, one act at a time: checked against what its user had seen, then recorded.

Several people may review one case. Each act says which correction its user had seen last; where the nucleus was
corrected since by somebody else, the act is refused with a sentence that says so, and the newer value stands.
"""

from __future__ import annotations

import math
from collections.abc import Callable, Collection, Iterable, Mapping
from dataclasses import dataclass, field
from enum import StrEnum
from typing import Any

from her2core.caselog import CaseLog
from her2core.errors import ConflictError, NotFoundError, ScoringError
from her2core.imaging import PixelsRGB
from her2core.records import Box, Channel, Correction, CorrectionKind, Nucleus, Region, Signal, User
from her2core.scoring import apply_corrections, next_redo, next_undo
from her2core.workflow.steps import CountBox, add_nucleus, correct

__all__ = ["Act", "Edit", "Taken", "parse_edit", "take_edit"]

LEAST_SIDE_PX = 8.0  # of a box that can hold a nucleus
_SAME_SIGNAL_PX = 0.51  # positions travel rounded; a click within names this signal


class Act(StrEnum):
    """What a user of the editor does; an edit's `values` have the stated keys."""

    ADD_SIGNAL = "add signal"  # channel, x, y
    DELETE_SIGNAL = "delete signal"  # channel, x, y
    COUNTS = "set counts"  # her2, cep17
    CLUSTER = "set cluster"  # clustered
    EXCLUDE = "exclude"  # reason
    INCLUDE = "include"
    ADD = "add nucleus"  # box
    BOX = "move box"  # box
    UNDO = "undo"
    REDO = "redo"


_KEYS: Mapping[Act, tuple[str, ...]] = {
    Act.ADD_SIGNAL: ("channel", "x", "y"),
    Act.DELETE_SIGNAL: ("channel", "x", "y"),
    Act.COUNTS: ("her2", "cep17"),
    Act.CLUSTER: ("clustered",),
    Act.EXCLUDE: ("reason",),
    Act.ADD: ("box",),
    Act.BOX: ("box",),
}
_OF_REGION = (Act.ADD, Act.UNDO, Act.REDO)  # all others are about one nucleus


@dataclass(frozen=True, slots=True)
class Edit:
    """One act on a region. `seen` is the latest correction of the region that its user had seen, 0 for none."""

    act: Act
    region_id: int
    nucleus_id: int | None
    seen: int
    values: Mapping[str, Any] = field(default_factory=dict)


@dataclass(frozen=True, slots=True)
class Taken:
    """What came of an edit: the correction that was recorded, None where there was nothing to do."""

    correction: Correction | None
    nucleus_id: int | None


def parse_edit(given: object) -> Edit:
    """An edit as the browser sends it: {"act", "region", "nucleus", "seen", …}. ScoringError for anything else."""
    if not isinstance(given, Mapping):
        raise ScoringError("The step could not be read. Load the page again and repeat it.")
    try:
        act = Act(given["act"])
        region_id, seen = _whole(given["region"]), _whole(given["seen"])
        nucleus_id = None if act in _OF_REGION else _whole(given["nucleus"])
        values = {key: given[key] for key in _KEYS.get(act, ())}
        if "channel" in values:
            values["channel"] = Channel(values["channel"])
            values["x"], values["y"] = _finite(values["x"]), _finite(values["y"])
        if "box" in values:
            x0, y0, x1, y1 = (_finite(side) for side in values["box"])
            values["box"] = (x0, y0, x1, y1)
    except (KeyError, TypeError, ValueError) as error:
        raise ScoringError("The step could not be read. Load the page again and repeat it.") from error
    return Edit(act, region_id, nucleus_id, seen, values)


def take_edit(
    log: CaseLog,
    edit: Edit,
    by: User,
    *,
    own: Collection[int],
    pixels: Callable[[Region], PixelsRGB],
    count: Callable[[int | None], CountBox],
) -> Taken:
    """Record one edit.

    Args:
        own: the corrections that the same window made, which its user needs not to have seen come back.
        pixels: the pixels of a region; asked for only where the models count.
        count: `pipeline.count_box` for the region, leaving the nucleus with this number out of its neighbours.

    Raises ScoringError, ConflictError, WrongStateError, NotFoundError, ModelError, each with a sentence for the user.
    """
    region = log.region(edit.region_id)
    if edit.act in (Act.UNDO, Act.REDO):
        return _step_in_history(log, edit, by, own)
    if edit.act is Act.ADD:
        box = _inside(edit.values["box"], region)
        added = add_nucleus(log, region.id, pixels(region), box, by, count(None))
        made = next(c for c in reversed(log.corrections(region.id)) if c.nucleus_id == added.id)
        return Taken(made, added.id)
    nucleus_id = edit.nucleus_id if edit.nucleus_id is not None else -1
    kind, new = _correction(log, region, nucleus_id, edit, pixels, count)
    seen = _seen(log.corrections(region.id), nucleus_id, edit, own)
    return Taken(correct(log, region.id, nucleus_id, kind, new, by, seen=seen), nucleus_id)


def _seen(corrections: Iterable[Correction], nucleus_id: int, edit: Edit, own: Collection[int]) -> int:
    """The latest correction of the nucleus that the user knows of: seen, or made in the same window."""
    return max((edit.seen, *(c.id for c in corrections if c.nucleus_id == nucleus_id and c.id in own)))


def _step_in_history(log: CaseLog, edit: Edit, by: User, own: Collection[int]) -> Taken:
    """Undo or redo, of what the user has seen or made only."""
    corrections = log.corrections(edit.region_id)
    target = next_undo(corrections) if edit.act is Act.UNDO else next_redo(corrections)
    if target is None:
        return Taken(None, None)
    if target.id > edit.seen and target.id not in own:
        raise ConflictError(
            f"The latest step in this region is somebody else's, on nucleus {target.nucleus_id}, and you had not seen "
            "it yet. Nothing was taken back; look at that nucleus first."
        )
    seen = _seen(corrections, target.nucleus_id, edit, own)
    made = correct(
        log, edit.region_id, target.nucleus_id, CorrectionKind.UNDO, {"correction_id": target.id}, by, seen=seen
    )
    return Taken(made, target.nucleus_id)


def _correction(
    log: CaseLog,
    region: Region,
    nucleus_id: int,
    edit: Edit,
    pixels: Callable[[Region], PixelsRGB],
    count: Callable[[int | None], CountBox],
) -> tuple[CorrectionKind, dict[str, Any]]:
    """The correction that an edit of one nucleus comes to."""
    values = edit.values
    match edit.act:
        case Act.ADD_SIGNAL | Act.DELETE_SIGNAL:
            nucleus = _nucleus(log, region.id, nucleus_id)
            signal = Signal(values["channel"], values["x"], values["y"])
            signals = _with(nucleus, signal) if edit.act is Act.ADD_SIGNAL else _without(nucleus, signal)
            return CorrectionKind.SIGNALS, {"signals": _as_json(signals)}
        case Act.BOX:
            box = _inside(values["box"], region)
            found = count(nucleus_id)(pixels(region), box, nucleus_id).to_dict()
            kept = ("her2", "cep17", "clustered", "uncertain", "uncertainty", "focus", "signals", "scored", "reason")
            return CorrectionKind.BOX, {"box": found["box"], "recount": {key: found[key] for key in kept}}
        case Act.COUNTS:
            return CorrectionKind.COUNTS, dict(values)
        case Act.CLUSTER:
            return CorrectionKind.CLUSTER, dict(values)
        case Act.EXCLUDE:
            return CorrectionKind.EXCLUDE, dict(values)
        case _:
            return CorrectionKind.INCLUDE, {}


def _nucleus(log: CaseLog, region_id: int, nucleus_id: int) -> Nucleus:
    analysis = log.analysis(region_id)
    nuclei = () if analysis is None else apply_corrections(analysis.nuclei, log.corrections(region_id))
    found = next((r.nucleus for r in nuclei if r.nucleus.id == nucleus_id), None)
    if found is None:
        raise NotFoundError(f"Nucleus {nucleus_id} is not there any more.")
    return found


def _with(nucleus: Nucleus, signal: Signal) -> tuple[Signal, ...]:
    x0, y0, x1, y1 = nucleus.box
    if not (x0 <= signal.x <= x1 and y0 <= signal.y <= y1):
        raise ScoringError(f"The signal lies outside the box of nucleus {nucleus.id}. Widen the box first.")
    return (*nucleus.signals, signal)


def _without(nucleus: Nucleus, signal: Signal) -> tuple[Signal, ...]:
    near = [
        (math.hypot(s.x - signal.x, s.y - signal.y), index)
        for index, s in enumerate(nucleus.signals)
        if s.channel is signal.channel
    ]
    distance, index = min(near, default=(math.inf, -1))
    if distance > _SAME_SIGNAL_PX:
        raise ScoringError(f"This signal of nucleus {nucleus.id} is not there any more.")
    return (*nucleus.signals[:index], *nucleus.signals[index + 1 :])


def _as_json(signals: tuple[Signal, ...]) -> list[dict[str, Any]]:
    return [{"channel": s.channel.value, "x": round(s.x, 2), "y": round(s.y, 2)} for s in signals]


def _inside(box: Box, region: Region) -> Box:
    """The part of a drawn box inside the image. Raises ScoringError where no nucleus fits."""
    x0, x1 = max(0.0, min(box[0], box[2])), min(float(region.width_px), max(box[0], box[2]))
    y0, y1 = max(0.0, min(box[1], box[3])), min(float(region.height_px), max(box[1], box[3]))
    if x1 - x0 < LEAST_SIDE_PX or y1 - y0 < LEAST_SIDE_PX:
        raise ScoringError("This box is too small to hold a nucleus. Draw it round the whole nucleus.")
    return (x0, y0, x1, y1)


def _whole(value: object) -> int:
    if not isinstance(value, int) or isinstance(value, bool):
        raise TypeError
    return value


def _finite(value: object) -> float:
    if not isinstance(value, int | float) or isinstance(value, bool) or not math.isfinite(value):
        raise TypeError
    return float(value)
