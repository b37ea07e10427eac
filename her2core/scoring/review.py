"""What the pathologist's corrections make of the nuclei that the models found: a pure replay.

The AI's nuclei are never changed. Corrections are replayed in the order they were made; an UNDO takes one back (or, of
an UNDO, brings it back). Whether a nucleus is scored follows from the result: without a signal of each colour it is
not, whatever was said before. Counts follow the dots that are added and deleted, but for clustered HER2 signals: their
number is an estimate, which moves by as many as dots came or went. Without HER2 signals nothing is clustered, whatever
was flagged; the flag holds again once a number is typed. A moved box may carry what the models count in it.
Where no nucleus was seen in a box, an INCLUDE says that there is one; it is scored if its counts allow it.
No nucleus is left out because the box of another was drawn over it; it is marked, for the pathologist to decide.
"""

from __future__ import annotations

import math
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass, replace
from datetime import UTC, datetime
from typing import Any

from her2core.errors import ScoringError
from her2core.records import Box, Channel, Correction, CorrectionKind, Exclusion, Nucleus, Signal
from her2core.scoring.scorable import MOST_OVERLAP, missing_colour, overlap_fractions

__all__ = [
    "COLOUR_REASONS",
    "MOST_TYPED",
    "ReviewedNucleus",
    "apply_corrections",
    "check_correction",
    "corrections_in_force",
    "next_nucleus_id",
    "next_redo",
    "next_undo",
]

MOST_SIGNALS = 1000  # in one nucleus, whoever counted them
MOST_TYPED = {"her2": 300, "cep17": 100}  # more is a slip of the keyboard, which alone could make another group

# What a recount of a moved box says beside `scored` and `reason`, as in Nucleus.to_dict(); it may say the focus too.
_RECOUNTED = ("her2", "cep17", "clustered", "uncertain", "uncertainty", "signals")
_DRAWN = (CorrectionKind.ADD, CorrectionKind.BOX)
COLOUR_REASONS = (Exclusion.NO_HER2, Exclusion.NO_CEP17, Exclusion.NO_SIGNAL, Exclusion.UNCOUNTABLE)
"""Why a nucleus is not scored that would be, were its counts others."""


@dataclass(frozen=True, slots=True)
class ReviewedNucleus:
    """A nucleus as it counts now, beside what the AI said of it (None if a person added it) and what changed it.

    `covered`: it is scored, and a box that was added or moved since somebody last dealt with it hides more of it than a
    scored nucleus may have hidden. `freed`: it was left out as overlapping, and boxes were moved since then so that it
    no longer is.
    """

    nucleus: Nucleus
    ai: Nucleus | None
    corrections: tuple[Correction, ...] = ()
    covered: bool = False
    freed: bool = False

    @property
    def edited(self) -> bool:
        """True if a correction is in force, even one that confirms the AI's value."""
        return bool(self.corrections)

    @property
    def doubtful(self) -> bool:
        """True if it counts and asks to be looked at."""
        return self.nucleus.scored and (self.covered or (self.nucleus.uncertain and not self.edited))

    @property
    def read(self) -> bool:
        """True if both counts are a reader's own: typed, confirmed, or set dot by dot.

        The number of a cluster has to be typed, since dots only move its estimate. What the models count in a box that
        was moved is theirs again.
        """
        clustered, own = self.ai is not None and _settled(self.ai).clustered, False
        for c in self.corrections:
            match c.kind:
                case CorrectionKind.COUNTS:
                    own = True
                case CorrectionKind.SIGNALS:
                    own = own or not clustered
                case CorrectionKind.ADD | CorrectionKind.CLUSTER:
                    clustered = bool(c.new.get("clustered"))
                case CorrectionKind.BOX if "recount" in c.new:
                    clustered, own = bool(c.new["recount"].get("clustered")), False
                case _:
                    pass
        return own

    @property
    def changed(self) -> bool:
        """True if counts, cluster, box, or being scored differ from the AI's values."""
        if self.ai is None:
            return True
        now, before = self.nucleus, _settled(self.ai)
        return (now.her2, now.cep17, now.clustered, now.box, now.scored, now.reason) != (
            before.her2,
            before.cep17,
            before.clustered,
            before.box,
            before.scored,
            before.reason,
        )


def corrections_in_force(corrections: Iterable[Correction]) -> tuple[Correction, ...]:
    """The corrections that stand after all UNDOs, in the order of their ids, without the UNDOs themselves.

    Raises ScoringError for an UNDO of a correction that is not there, came later, or belongs to another nucleus.
    """
    ordered = sorted(corrections, key=lambda c: c.id)
    undone = _taken_back(ordered)
    return tuple(c for c in ordered if c.id not in undone and c.kind is not CorrectionKind.UNDO)


def next_undo(corrections: Iterable[Correction]) -> Correction | None:
    """The correction that "undo" takes back: the latest in force; None if there is none."""
    return max(corrections_in_force(corrections), key=lambda c: c.id, default=None)


def next_redo(corrections: Iterable[Correction]) -> Correction | None:
    """The UNDO that "redo" takes back: the latest in force, unless a new correction was made after it; else None."""
    ordered = sorted(corrections, key=lambda c: c.id)
    undone = _taken_back(ordered)
    kinds = {c.id: c.kind for c in ordered}
    latest_edit = max((c.id for c in ordered if c.kind is not CorrectionKind.UNDO), default=0)
    undos = [c for c in ordered if c.kind is CorrectionKind.UNDO and c.id not in undone and c.id > latest_edit]
    # An UNDO of an UNDO is a redo itself, and what it brought back is taken back by "undo" again.
    return next((c for c in reversed(undos) if kinds[c.new["correction_id"]] is not CorrectionKind.UNDO), None)


def _taken_back(ordered: Sequence[Correction]) -> set[int]:
    """The ids that an UNDO in force names. An UNDO comes later than its target, so backwards its own fate is known."""
    by_id = {c.id: c for c in ordered}
    if len(by_id) < len(ordered):
        raise ScoringError("Two corrections have the same number.")
    undone: set[int] = set()
    for c in reversed(ordered):
        if c.kind is not CorrectionKind.UNDO:
            continue
        target = by_id.get(_whole(c.new.get("correction_id"), "The number of a correction"))
        if target is None or target.id >= c.id or target.nucleus_id != c.nucleus_id:
            raise ScoringError(f"Nucleus {c.nucleus_id}: there is no such correction to take back.")
        if c.id not in undone:
            undone.add(target.id)
    return undone


def apply_corrections(nuclei: Sequence[Nucleus], corrections: Sequence[Correction]) -> tuple[ReviewedNucleus, ...]:
    """The nuclei of a region after its corrections: the AI's in their order, then those that were added.

    Raises ScoringError for corrections that cannot be: of an unknown nucleus, with impossible values, or an INCLUDE of
    a nucleus that lacked a colour when it was made.
    """
    ai = {n.id: n for n in nuclei}
    if len(ai) < len(nuclei):
        raise ScoringError("Two nuclei have the same number.")
    _refuse_unknown(ai, corrections)
    history: dict[int, list[Correction]] = {}
    for c in sorted(corrections, key=lambda c: c.id):
        history.setdefault(c.nucleus_id, []).append(c)
    for nucleus_id, made in history.items():
        _refuse_impossible_inclusion(ai.get(nucleus_id), made)
    reviewed = (_review(ai.get(key), history.get(key, ())) for key in dict.fromkeys((*ai, *history)))
    return _beside_drawn([r for r in reviewed if r is not None])


def _beside_drawn(reviewed: Sequence[ReviewedNucleus]) -> tuple[ReviewedNucleus, ...]:
    """Mark the scored nuclei that a box drawn after anything said of them covers beyond the limit, and those left out
    as overlapping that no box covers so far any more."""
    drawn = [(max((c.id for c in r.corrections if c.kind in _DRAWN), default=0), r.nucleus.box) for r in reviewed]
    newer = [(number, box) for number, box in drawn if number]
    if not newer:
        return tuple(reviewed)
    return tuple(
        replace(r, covered=True)
        if r.nucleus.scored and _is_covered(r, newer, reviewed)
        else replace(r, freed=True)
        if _is_freed(r, newer, reviewed)
        else r
        for r in reviewed
    )


def _is_covered(r: ReviewedNucleus, drawn: Iterable[tuple[int, Box]], reviewed: Iterable[ReviewedNucleus]) -> bool:
    """drawn: boxes and the corrections that drew them."""
    own = r.nucleus.box
    since = [box for number, box in drawn if number > _known(r) and _meet(own, box)]
    return bool(since) and overlap_fractions([own, *since])[0] > 0 and _hidden(r, reviewed) > MOST_OVERLAP


def _is_freed(r: ReviewedNucleus, drawn: Iterable[tuple[int, Box]], reviewed: Iterable[ReviewedNucleus]) -> bool:
    """drawn: boxes and the corrections that drew them."""
    if r.nucleus.reason is not Exclusion.OVERLAP or all(number <= _known(r) for number, _ in drawn):
        return False
    return _hidden(r, reviewed) <= MOST_OVERLAP


def _known(r: ReviewedNucleus) -> int:
    """The last correction of a nucleus: what was drawn before was seen by whoever made it."""
    return max((c.id for c in r.corrections), default=0)


def _hidden(r: ReviewedNucleus, reviewed: Iterable[ReviewedNucleus]) -> float:
    """How much of a nucleus lies under the boxes as they are now, 0..1."""
    own = r.nucleus.box
    around = [o.nucleus.box for o in reviewed if o is not r and _meet(own, o.nucleus.box)]
    return overlap_fractions([own, *around])[0]


def _meet(a: Box, b: Box) -> bool:
    return a[0] < b[2] and b[0] < a[2] and a[1] < b[3] and b[1] < a[3]


def check_correction(
    nuclei: Sequence[Nucleus],
    corrections: Sequence[Correction],
    nucleus_id: int,
    kind: CorrectionKind,
    new: dict[str, Any],
) -> dict[str, Any]:
    """Try a correction before it is stored: returns the `old` value to store with it.

    Raises ScoringError, with a sentence for the pathologist, if it cannot be made.
    """
    before = {r.nucleus.id: r.nucleus for r in apply_corrections(nuclei, corrections)}
    if kind not in (CorrectionKind.ADD, CorrectionKind.UNDO) and nucleus_id not in before:
        raise ScoringError(f"Nucleus {nucleus_id} is not there.")
    if kind is CorrectionKind.UNDO and new.get("correction_id") in _taken_back(sorted(corrections, key=lambda c: c.id)):
        raise ScoringError("This correction has been taken back already.")
    if kind is CorrectionKind.COUNTS:
        _refuse_slips(nucleus_id, new)
    latest = max((c.id for c in corrections), default=0)
    trial = Correction(latest + 1, 0, nucleus_id, kind, {}, new, "", 0, datetime.now(UTC))
    apply_corrections(nuclei, (*corrections, trial))
    current = before.get(nucleus_id)
    return {} if current is None else _value_before(current, kind, new.get("recount"))


def _refuse_slips(nucleus_id: int, new: Mapping[str, Any]) -> None:
    for name, most in MOST_TYPED.items():
        count = new.get(name)
        if isinstance(count, int) and count > most:
            raise ScoringError(
                f"Nucleus {nucleus_id}: {count} {name.upper()} signals are more than a nucleus can show "
                f"(at most {most}). Type the count again."
            )


def next_nucleus_id(nuclei: Sequence[Nucleus], corrections: Sequence[Correction]) -> int:
    """The number for a nucleus to be added: never one that was used, not even by an addition that was taken back."""
    return 1 + max((*(n.id for n in nuclei), *(c.nucleus_id for c in corrections)), default=-1)


def _value_before(nucleus: Nucleus, kind: CorrectionKind, recount: Any) -> dict[str, Any]:
    whole = nucleus.to_dict()
    keys = {
        CorrectionKind.COUNTS: ("her2", "cep17"),
        CorrectionKind.SIGNALS: ("signals", "her2", "cep17"),
        CorrectionKind.CLUSTER: ("clustered",),
        CorrectionKind.BOX: ("box",) if recount is None else ("box", *_RECOUNTED, "scored", "reason"),
        CorrectionKind.EXCLUDE: ("scored", "reason"),
        CorrectionKind.INCLUDE: ("scored", "reason"),
    }.get(kind, ("her2", "cep17", "clustered", "scored", "reason", "box"))
    return {key: whole[key] for key in keys}


def _refuse_unknown(ai: dict[int, Nucleus], corrections: Sequence[Correction]) -> None:
    added: set[int] = set()
    for c in sorted(corrections, key=lambda c: c.id):
        if c.kind is CorrectionKind.ADD:
            if c.nucleus_id in ai or c.nucleus_id in added:
                raise ScoringError(f"Nucleus {c.nucleus_id} is there already and cannot be added again.")
            added.add(c.nucleus_id)
        elif c.nucleus_id not in ai and c.nucleus_id not in added:
            raise ScoringError(f"There is no nucleus {c.nucleus_id} to correct.")


def _refuse_impossible_inclusion(ai: Nucleus | None, made: list[Correction]) -> None:
    """An INCLUDE is judged by what was known when it was made: a later UNDO may not turn the past into an error."""
    for index, c in enumerate(made):
        if c.kind is not CorrectionKind.INCLUDE:
            continue
        before, then = _review(ai, made[:index]), _review(ai, made[: index + 1])
        if before is not None and before.nucleus.reason is Exclusion.NO_NUCLEUS:
            continue  # said to be a nucleus all the same, of whatever counts
        if then is not None and not then.nucleus.scored:
            raise ScoringError(
                f"Nucleus {c.nucleus_id} cannot be scored: {(then.nucleus.reason or Exclusion.OTHER).value}. "
                "Correct its counts first if you see the signals."
            )


@dataclass(slots=True)
class _Draft:
    """A nucleus during replay: its values, and what was said about scoring it."""

    nucleus: Nucleus
    found_reason: Exclusion | None
    excluded_as: Exclusion | None = None
    included: bool = False

    def finished(self) -> Nucleus:
        unseen = self.found_reason is Exclusion.NO_NUCLEUS and not self.included  # whatever is counted in it
        reason = self.excluded_as or (self.found_reason if unseen else None)
        reason = reason or missing_colour(self.nucleus.her2, self.nucleus.cep17)
        if reason is None and not self.included and self.found_reason not in COLOUR_REASONS:
            reason = self.found_reason
        return replace(_settled(self.nucleus), scored=reason is None, reason=reason)


def _review(ai: Nucleus | None, made: Sequence[Correction]) -> ReviewedNucleus | None:
    """Replay the corrections of one nucleus; None if it was added and the addition was taken back."""
    if not made:
        return None if ai is None else ReviewedNucleus(_settled(ai), ai)
    in_force = corrections_in_force(made)
    draft = None if ai is None else _Draft(ai, ai.reason)  # a flag without signals is kept for when some are typed
    for c in in_force:
        if c.kind is CorrectionKind.ADD:
            added = _added(c)
            draft = _Draft(added, added.reason)
        elif draft is not None:
            _apply(draft, c)
    if draft is None:
        return None
    return ReviewedNucleus(draft.finished() if in_force else _settled(draft.nucleus), ai, in_force)


def _settled(nucleus: Nucleus) -> Nucleus:
    """The nucleus as it is shown and scored: without HER2 signals nothing is clustered."""
    return replace(nucleus, clustered=False) if nucleus.clustered and nucleus.her2 == 0 else nucleus


def _apply(draft: _Draft, c: Correction) -> None:
    match c.kind:
        case CorrectionKind.COUNTS:
            her2, cep17 = (_count(c.new.get(key), c.nucleus_id) for key in ("her2", "cep17"))
            draft.nucleus = replace(draft.nucleus, her2=her2, cep17=cep17, uncertain=False)
        case CorrectionKind.SIGNALS:
            draft.nucleus = _with_signals(draft.nucleus, c.new.get("signals"))
        case CorrectionKind.CLUSTER:
            draft.nucleus = replace(draft.nucleus, clustered=_flag(c.new.get("clustered"), c.nucleus_id))
        case CorrectionKind.BOX:
            draft.nucleus = replace(draft.nucleus, box=_box(c.new.get("box"), c.nucleus_id))
            if "recount" in c.new:
                _recount(draft, c.new["recount"])
        case CorrectionKind.EXCLUDE:
            draft.excluded_as = _exclusion(c.new.get("reason"), c.nucleus_id)
        case CorrectionKind.INCLUDE:
            draft.excluded_as, draft.included = None, True
        case _:  # ADD and UNDO are dealt with before
            raise ScoringError(f"Nucleus {c.nucleus_id}: this correction cannot be applied.")


def _added(c: Correction) -> Nucleus:
    try:
        nucleus = Nucleus.from_dict(c.new)
    except (KeyError, TypeError, ValueError) as error:
        raise ScoringError(f"Nucleus {c.nucleus_id} cannot be added: its values are incomplete.") from error
    if nucleus.id != c.nucleus_id:
        raise ScoringError(f"Nucleus {c.nucleus_id} cannot be added under another number.")
    _box(c.new["box"], c.nucleus_id)
    for count in (nucleus.her2, nucleus.cep17):
        if count is not None:
            _count(count, c.nucleus_id)
    return nucleus


def _with_signals(nucleus: Nucleus, given: Any) -> Nucleus:
    signals = _signals(given, nucleus.id)
    her2 = _dots(signals)
    if her2:
        nucleus = _settled(nucleus)  # dots that are set where there was none are single signals
    counted = her2
    if nucleus.clustered and nucleus.her2 is not None:
        counted = min(MOST_SIGNALS, max(0, nucleus.her2 + her2 - _dots(nucleus.signals)))
    return replace(nucleus, signals=signals, her2=counted, cep17=len(signals) - her2, uncertain=False)


def _signals(given: Any, nucleus_id: int) -> tuple[Signal, ...]:
    try:
        signals = tuple(Signal(Channel(s["channel"]), float(s["x"]), float(s["y"])) for s in given)
    except (KeyError, TypeError, ValueError) as error:
        raise ScoringError(f"Nucleus {nucleus_id}: the signals are incomplete.") from error
    if len(signals) > MOST_SIGNALS or not all(math.isfinite(s.x) and math.isfinite(s.y) for s in signals):
        raise ScoringError(f"Nucleus {nucleus_id}: the signals have no usable positions, or are too many.")
    return signals


def _dots(signals: Sequence[Signal]) -> int:
    """How many of them are HER2."""
    return sum(s.channel is Channel.HER2 for s in signals)


def _recount(draft: _Draft, given: Any) -> None:
    """What the models count in a box that was moved takes the place of what they counted in the old one."""
    nucleus = draft.nucleus
    try:
        values = {key: given[key] for key in (*_RECOUNTED, "scored", "reason")} | {"focus": given.get("focus")}
        found = Nucleus.from_dict(nucleus.to_dict() | values)
    except (KeyError, TypeError, ValueError) as error:
        raise ScoringError(f"Nucleus {nucleus.id}: the recount of the moved box is incomplete.") from error
    for count in (found.her2, found.cep17):
        if count is not None:
            _count(count, found.id)
    draft.nucleus = replace(found, box=nucleus.box, signals=_signals(values["signals"], nucleus.id))
    draft.found_reason = found.reason


def _whole(value: Any, what: str) -> int:
    if not isinstance(value, int) or isinstance(value, bool):
        raise ScoringError(f"{what} has to be a whole number.")
    return value


def _count(value: Any, nucleus_id: int) -> int:
    count = _whole(value, f"Nucleus {nucleus_id}: a signal count")
    if not 0 <= count <= MOST_SIGNALS:
        raise ScoringError(f"Nucleus {nucleus_id}: a signal count has to lie between 0 and {MOST_SIGNALS}.")
    return count


def _flag(value: Any, nucleus_id: int) -> bool:
    if not isinstance(value, bool):
        raise ScoringError(f"Nucleus {nucleus_id}: a nucleus is clustered or not.")
    return value


def _exclusion(value: Any, nucleus_id: int) -> Exclusion:
    try:
        return Exclusion(value)
    except ValueError:
        raise ScoringError(f"Nucleus {nucleus_id}: choose one of the listed reasons to exclude it.") from None


def _box(value: Any, nucleus_id: int) -> Box:
    try:
        x0, y0, x1, y1 = (float(side) for side in value)
    except (TypeError, ValueError):
        raise ScoringError(f"Nucleus {nucleus_id}: the box needs four sides.") from None
    if not (all(map(math.isfinite, (x0, y0, x1, y1))) and x0 < x1 and y0 < y1):
        raise ScoringError(f"Nucleus {nucleus_id}: the box has no area. Draw it again.")
    return (x0, y0, x1, y1)
