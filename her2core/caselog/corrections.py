"""What people changed of the models' findings: each change a row of its own, never edited, only followed by others."""

from __future__ import annotations

import math
from collections.abc import Callable, Mapping
from typing import Any

from sqlite_utils import Database

from her2core.caselog._change import Change, Store
from her2core.caselog._codec import canonical, clean_text, stamp
from her2core.caselog._rows import Row, correction_of, one, rows
from her2core.caselog.analyses import LATEST
from her2core.errors import ConflictError, NotFoundError, ScoringError, WrongStateError
from her2core.permissions import Action
from her2core.records import Channel, Correction, CorrectionKind, Exclusion, Nucleus, User

__all__ = ["Corrections"]

_OF_LATEST = f"analysis_id = (SELECT id FROM ({LATEST}))"  # noqa: S608 (a constant of ours)


class Corrections(Store):
    """Corrections of regions."""

    def add_correction(
        self,
        region_id: int,
        nucleus_id: int,
        kind: CorrectionKind,
        old: Mapping[str, Any],
        new: Mapping[str, Any],
        reason: str,
        by: User,
        *,
        seen: int | None = None,
    ) -> Correction:
        """Adds a correction of the latest analysis of a region. Keys of `new` as CorrectionKind says.

        `seen` is the latest correction that `by` knew of when deciding on this one (0: none); None asks for no such
        check. Corrections of several people at once are all kept, in the order of their ids. Raises ScoringError
        (`new` is nothing that kind can be), NotFoundError (no such nucleus or correction), ConflictError (the number
        of an added nucleus is taken; the nucleus was corrected after `seen`), WrongStateError (not analysed, signed).
        """
        _CHECKS[kind](nucleus_id, new)
        why = clean_text(reason, "reason", longest=500)
        old_json, new_json = canonical(dict(old)), canonical(dict(new))
        with self.changing(by, Action.CORRECT, "correction added") as change:
            region = one(change.db, "regions", region_id, "region")
            case = change.case(region["case_id"])
            analysis = next(rows(change.db, LATEST, [region_id]), None)
            if analysis is None:
                raise WrongStateError("This region is not analysed yet; there is nothing to correct.")
            _refers(change.db, analysis, nucleus_id, kind, new)
            if seen is not None:
                _is_latest(change, analysis["id"], nucleus_id, seen)
            correction_id = change.insert(
                "corrections",
                {
                    "analysis_id": analysis["id"],
                    "region_id": region_id,
                    "nucleus_id": nucleus_id,
                    "kind": kind.value,
                    "old": old_json,
                    "new": new_json,
                    "reason": why,
                    "by_user_id": change.user.id,
                    "at": stamp(change.at),
                },
            )
            change.touch_case(case)
            change.detail = {
                "region_id": region_id,
                "nucleus_id": nucleus_id,
                "correction_id": correction_id,
                "kind": kind.value,
            }
            return correction_of(one(change.db, "corrections", correction_id, "correction"))

    def corrections(self, region_id: int) -> list[Correction]:
        """The corrections of a region, oldest first."""
        with self.reading() as db:
            one(db, "regions", region_id, "region")
            found = rows(db, f"SELECT * FROM corrections WHERE {_OF_LATEST} ORDER BY id", [region_id])  # noqa: S608
            return [correction_of(row) for row in found]


def _refers(db: Database, analysis: Row, nucleus_id: int, kind: CorrectionKind, new: Mapping[str, Any]) -> None:
    """That the correction is about something that is there (or, for an added nucleus, is not)."""
    known = "SELECT 1 FROM json_each(?) WHERE json_extract(value, '$.id') = ?"
    added = "SELECT 1 FROM corrections WHERE analysis_id = ? AND nucleus_id = ? AND kind = 'add nucleus'"
    exists = (
        db.execute(known, [analysis["nuclei"], nucleus_id]).fetchone()
        or db.execute(added, [analysis["id"], nucleus_id]).fetchone()
    )
    if kind is CorrectionKind.ADD:
        if exists:
            raise ConflictError("Someone else added a nucleus at the same moment. Load the region again and repeat it.")
        return
    if not exists:
        raise NotFoundError("There is no such nucleus in the latest analysis. Load the region again.")
    if kind is CorrectionKind.UNDO:
        sql = "SELECT 1 FROM corrections WHERE id = ? AND analysis_id = ? AND nucleus_id = ?"
        if db.execute(sql, [new["correction_id"], analysis["id"], nucleus_id]).fetchone() is None:
            raise NotFoundError("There is no such correction of this nucleus.")


def _is_latest(change: Change, analysis_id: int, nucleus_id: int, seen: int) -> None:
    """That nobody corrected the nucleus after the correction `seen`. Raises ConflictError: who did, and when."""
    sql = """SELECT by_user_id, at, full_name FROM corrections JOIN users ON users.id = by_user_id
        WHERE analysis_id = ? AND nucleus_id = ? AND corrections.id > ? ORDER BY corrections.id DESC LIMIT 1"""
    for newer in rows(change.db, sql, [analysis_id, nucleus_id, seen]):
        own = newer["by_user_id"] == change.user.id
        who = "You changed" if own else f"{newer['full_name']} changed"
        where = " in another window" if own else ""
        raise ConflictError(
            f"{who} nucleus {nucleus_id}{where} at {newer['at'][11:16]} UTC, which you had not seen yet. Your step was "
            "not taken: look at the nucleus as it is now, and repeat the step if it still holds."
        )


def _is_count(value: object) -> bool:
    return isinstance(value, int) and not isinstance(value, bool) and value >= 0


def _keys(new: Mapping[str, Any], *names: str) -> None:
    if set(new) != set(names):
        raise ScoringError(f"This correction needs exactly: {', '.join(names) or 'no value'}.")


def _counts(nucleus_id: int, new: Mapping[str, Any]) -> None:
    _keys(new, "her2", "cep17")
    if not (_is_count(new["her2"]) and _is_count(new["cep17"])):
        raise ScoringError("A count of signals is a whole number from 0 upwards.")


def _exclude(nucleus_id: int, new: Mapping[str, Any]) -> None:
    _keys(new, "reason")
    if new["reason"] not in {reason.value for reason in Exclusion}:
        raise ScoringError("Choose one of the reasons for leaving a nucleus out.")


def _include(nucleus_id: int, new: Mapping[str, Any]) -> None:
    _keys(new)


def _cluster(nucleus_id: int, new: Mapping[str, Any]) -> None:
    _keys(new, "clustered")
    if not isinstance(new["clustered"], bool):
        raise ScoringError("A nucleus has clustered signals or has not.")


def _add(nucleus_id: int, new: Mapping[str, Any]) -> None:
    try:
        nucleus = Nucleus.from_dict(dict(new))
    except (KeyError, TypeError, ValueError) as error:
        raise ScoringError("The added nucleus is incomplete.") from error
    if nucleus.id != nucleus_id:
        raise ScoringError("The added nucleus carries another number than the correction.")
    _is_box(list(nucleus.box))


def _signals(nucleus_id: int, new: Mapping[str, Any]) -> None:
    _keys(new, "signals")
    try:
        positions = [(Channel(s["channel"]), float(s["x"]), float(s["y"])) for s in new["signals"]]
    except (KeyError, TypeError, ValueError) as error:
        raise ScoringError("A signal has a channel and a position.") from error
    if not all(math.isfinite(x) and math.isfinite(y) for _, x, y in positions):
        raise ScoringError("The position of a signal is a number.")


def _box(nucleus_id: int, new: Mapping[str, Any]) -> None:
    _keys(new, "box", *(("recount",) if "recount" in new else ()))
    _is_box(new["box"])
    if "recount" in new:
        _recounted(nucleus_id, new)


def _recounted(nucleus_id: int, new: Mapping[str, Any]) -> None:
    """What the models count in the moved box: a whole nucleus but for number and box, as in Nucleus.to_dict()."""
    given = new["recount"]
    try:
        Nucleus.from_dict(
            {"score": 1.0, "her2_regressed": 0.0, "cep17_regressed": 0.0, **given, "id": nucleus_id, "box": new["box"]}
        )
    except (KeyError, TypeError, ValueError) as error:
        raise ScoringError("The recount of the moved box is incomplete.") from error


def _is_box(box: Any) -> None:
    try:
        x0, y0, x1, y1 = (float(side) for side in box)
    except (TypeError, ValueError) as error:
        raise ScoringError("A box has four sides.") from error
    if not all(math.isfinite(side) for side in (x0, y0, x1, y1)) or x0 >= x1 or y0 >= y1:
        raise ScoringError("A box has a width and a height.")


def _undo(nucleus_id: int, new: Mapping[str, Any]) -> None:
    _keys(new, "correction_id")
    if not _is_count(new["correction_id"]):
        raise ScoringError("Say which correction to undo.")


_CHECKS: Mapping[CorrectionKind, Callable[[int, Mapping[str, Any]], None]] = {
    CorrectionKind.COUNTS: _counts,
    CorrectionKind.EXCLUDE: _exclude,
    CorrectionKind.INCLUDE: _include,
    CorrectionKind.CLUSTER: _cluster,
    CorrectionKind.ADD: _add,
    CorrectionKind.SIGNALS: _signals,
    CorrectionKind.BOX: _box,
    CorrectionKind.UNDO: _undo,
}
