"""The audit trail in plain words: who did what, as people of a laboratory would say it."""

from __future__ import annotations

import json
from collections.abc import Callable, Iterable, Mapping, Sequence
from dataclasses import dataclass
from datetime import date, datetime
from textwrap import shorten
from typing import Any

from her2core.caselog import AuditEntry, Statement, StatementKind
from her2core.records import CaseState
from her2core.scoring import STATE_WORDS
from her2core.scoring.wording import with_share
from her2core.ui.words import escaped, local_day, local_time

__all__ = [
    "HISTORY_STYLE",
    "Line",
    "changes_in_words",
    "history_html",
    "history_lines",
    "in_words",
    "statements_in_words",
]

HISTORY_STYLE = """<style>
.h2c-hist {width: 100%; border-collapse: collapse; font-size: 13.5px;}
.h2c-hist th {text-align: left; font-weight: 500; opacity: .65; font-size: 12px; padding: 2px 10px 4px 0;}
.h2c-hist td {padding: 4px 10px 4px 0; vertical-align: top; border-top: 1px solid rgba(140,155,170,.18);}
.h2c-hist td:nth-child(-n+2) {white-space: nowrap;}
</style>"""

_FIELDS = {
    "accession": "accession number",
    "patient_name": "patient name",
    "patient_id": "patient ID",
    "date_of_birth": "date of birth",
    "laterality": "side",
    "cold_ischaemia_min": "cold ischaemia (min)",
    "fixation_hours": "fixation (hours)",
    "probe_expiry": "expiry of the lot",
    "ihc": "IHC",
    "ihc_same_sample": "IHC on the same sample",
    "controls_ok": "controls as expected",
    "um_per_px": "µm per pixel",
    "clusters": "clusters",
    "signal_intensity": "signals",
    "unsuitable_reason": "reason",
    "active": "active",
}
_YES_NO = frozenset(
    {"ihc_same_sample", "controls_ok", "clusters", "suitable", "heterogeneous", "active", "must_change_password"}
)
_DAYS = frozenset({"date_of_birth", "collected_on", "received_on", "probe_expiry"})
_RECOUNTED = "recount counted"
_MOST_COMMENT = 200
_KINDS = {"final": "final report", "amended": "amended report", "addendum": "addendum", "preliminary": "preliminary"}


@dataclass(frozen=True, slots=True)
class Line:
    """One line of a history."""

    at: datetime
    who: str
    what: str


@dataclass(frozen=True, slots=True)
class _Names:
    people: Mapping[int, str]
    regions: Mapping[int, str]
    stated: Mapping[int, str]

    def region(self, detail: Mapping[str, Any]) -> str:
        region_id = detail.get("region_id")
        return self.regions.get(region_id, "that was removed") if isinstance(region_id, int) else ""

    def person(self, detail: Mapping[str, Any]) -> str:
        user_id = detail.get("user_id")
        return self.people.get(user_id, "?") if isinstance(user_id, int) else "?"


def history_lines(
    entries: Sequence[AuditEntry],
    people: Mapping[int, str],
    regions: Mapping[int, str] | None = None,
    stated: Mapping[int, str] | None = None,
    *,
    together: bool = True,
) -> list[Line]:
    """The lines of `entries`, in their order. `together`: corrections that followed one another are one line, as are
    the counts of a recount.

    `people` maps user ids, `regions` region ids to the names shown, `stated` (`statements_in_words`) the ids of
    statements to what they said.
    """
    names = _Names(people, regions or {}, stated or {})
    lines: list[Line] = []
    run: list[AuditEntry] = []
    for entry in entries:
        if run and not (together and _same_run(run[-1], entry)):
            lines.append(_line(run, names))
            run = []
        run.append(entry)
    if run:
        lines.append(_line(run, names))
    return lines


def statements_in_words(statements: Iterable[Statement]) -> dict[int, str]:
    """What was declared about a case, as sentences without full stop, by the ids of the statements."""
    return {s.id: _SAID[s.kind](s) for s in statements if s.kind in _SAID}


def _acknowledged(statement: Statement) -> str:
    reason = statement.value.get("reason")
    return f"Acknowledged: {statement.value['text']}{f' Reason to go on: {reason}' if reason else ''}".rstrip(".")


def _fits(statement: Statement) -> str:
    return f"Stated that FISH {'fits' if statement.value['value'] else 'does not fit'} the histology"


def _indeterminate(statement: Statement) -> str:
    reasons = "; ".join(statement.value["reasons"])
    return f"Stated why the test gives no result: {reasons}" if reasons else "Stated that the test gives a result"


def _comment(statement: Statement) -> str:
    text = shorten(statement.value["text"], _MOST_COMMENT, placeholder=" …")
    return f"Worded the comment: {text}" if text else "Took the own wording of the comment back"


_SAID: dict[StatementKind, Callable[[Statement], str]] = {
    StatementKind.ACKNOWLEDGED: _acknowledged,
    StatementKind.NO_DISCORDANCE: _fits,
    StatementKind.INDETERMINATE: _indeterminate,
    StatementKind.COMMENT: _comment,
}


def in_words(
    entry: AuditEntry,
    people: Mapping[int, str],
    regions: Mapping[int, str] | None = None,
    stated: Mapping[int, str] | None = None,
) -> str:
    """What was done, as a sentence without full stop."""
    names = _Names(people, regions or {}, stated or {})
    if entry.action.startswith("report stored: "):
        return f"Signed the {_KINDS.get(str(entry.detail.get('kind')), 'report')}, version {entry.detail['version']}"
    if entry.action.startswith("stated: "):
        return names.stated.get(int(entry.detail.get("statement_id", 0)), entry.action.capitalize())
    if entry.action.endswith(" refused"):
        return _refused(entry, names)
    say = _ACTS.get(entry.action)
    return entry.action[:1].upper() + entry.action[1:] if say is None else say(entry.detail, names)


def history_html(lines: Sequence[Line]) -> str:
    """The lines as an HTML table. All text is escaped."""
    rows = "".join(
        f"<tr><td>{local_time(line.at)}</td><td>{escaped(line.who)}</td><td>{escaped(line.what)}</td></tr>"
        for line in lines
    )
    return f'<table class="h2c-hist"><tr><th>When</th><th>Who</th><th>What</th></tr>{rows}</table>'


def _same_run(a: AuditEntry, b: AuditEntry) -> bool:
    return (
        a.action == b.action
        and a.action in ("correction added", _RECOUNTED)
        and a.by_user_id == b.by_user_id
        and a.detail.get("region_id") == b.detail.get("region_id")
    )


def _line(run: Sequence[AuditEntry], names: _Names) -> Line:
    first = run[0]
    who = first.by_username if first.by_user_id is None else names.people.get(first.by_user_id, first.by_username)
    if len(run) == 1:
        return Line(first.at, who, in_words(first, names.people, names.regions, names.stated))
    if first.action == _RECOUNTED:
        return Line(first.at, who, _counted([pair for entry in run for pair in _nuclei_of(entry.detail)]))
    nuclei = len({entry.detail.get("nucleus_id") for entry in run})
    which = "1 nucleus" if nuclei == 1 else f"{nuclei} nuclei"
    return Line(first.at, who, f"{len(run)} corrections to {which} of region {names.region(first.detail)}")


def _nuclei_of(detail: Mapping[str, Any]) -> list[tuple[int, int]]:
    """Region and nucleus of each count that was given; the counts themselves are not told before the hand-in."""
    return [(region_id, nucleus_id) for region_id, nucleus_id, _, _ in detail.get("counts", [])]


def _counted(nuclei: Sequence[tuple[int, int]]) -> str:
    number = len(set(nuclei))
    return f"Counted {'1 nucleus' if number == 1 else f'{number} nuclei'} for the blinded recount"


def changes_in_words(changed: Mapping[str, Sequence[Any]]) -> str:
    """`{field: [old, new]}` in words."""
    said = []
    for name, (old, new) in changed.items():
        if (old, new) in ((None, ""), ("", "")):
            continue
        called = _FIELDS.get(name, name.replace("_", " "))
        after = _value(name, new)
        said.append(f"{called} {after}" if old in (None, "") else f"{called} {_value(name, old)} → {after}")
    return ", ".join(said)


def _changes(detail: Mapping[str, Any]) -> str:
    return changes_in_words(detail.get("changed", {}))


def _value(name: str, value: Any) -> str:
    if value is None or value == "":
        return "not given"
    if name in _YES_NO:
        return "yes" if value else "no"
    if name in _DAYS:
        return local_day(date.fromisoformat(str(value)))
    if name == "populations":
        return _populations(value)
    return f"{value:g}" if isinstance(value, float) else str(value)


def _populations(stored: str) -> str:
    return " and ".join(with_share(p["label"], p.get("share_percent")) for p in json.loads(stored))


def _state(detail: Mapping[str, Any]) -> str:
    old, new = (STATE_WORDS[CaseState(state)] for state in detail["changed"]["state"])
    return f"State: {old} → {new}"


def _result(detail: Mapping[str, Any]) -> str:
    changed = detail["changed"]
    group, outcome = changed["group"][1], changed["outcome"][1]
    if group is None and outcome is None:
        return "Provisional result withdrawn, since something changed"
    return "Provisional result: " + ", ".join(
        [*([f"Group {group}"] if group else []), *([str(outcome)] if outcome else [])]
    )


def _opened(detail: Mapping[str, Any]) -> str:
    if "new" in detail:
        return "Entered the case at intake"
    purpose = detail.get("for")
    return f"Opened the case for: {purpose}" if purpose else "Opened the case on screen"


def _analysed(detail: Mapping[str, Any], region: str) -> str:
    return f"Analysed region {region}: {detail.get('nuclei', 0)} nuclei found"


def _about(detail: Mapping[str, Any], key: str = "version") -> str:
    return f", version {detail[key]}" if key in detail else ""


def _refused(entry: AuditEntry, names: _Names) -> str:
    what = entry.action.removesuffix(" refused").capitalize()
    about = f" for {names.person(entry.detail)}" if "user_id" in entry.detail else ""
    before = entry.detail.get("paused_before")
    knocks = f"; {before} more attempts during the pause before" if before else ""
    return f"{what} refused{about}: {entry.detail.get('reason', 'unknown reason')}{knocks}"


def _backed_up(d: Mapping[str, Any]) -> str:
    return "Downloaded a backup" if d.get("to") == "download" else "Wrote a backup"


def _verified(detail: Mapping[str, Any]) -> str:
    verdict = "intact" if detail.get("ok") else "not valid"
    return f"Verified {'an uploaded file' if detail.get('uploaded') else 'the report'}{_about(detail)}: {verdict}"


def _exported(detail: Mapping[str, Any]) -> str:
    kind = str(detail.get("format", "csv"))
    if kind == "csv":
        return "Exported the nuclei as CSV" if detail.get("nuclei") else "Exported the result as CSV"
    if kind == "archive":
        return "Wrote the whole case to a file" + (", without names" if detail.get("deidentified") else "")
    return f"Exported the {detail.get('status', '')} report as {kind.upper()}{_about(detail, 'report_version')}"


def _clock(detail: Mapping[str, Any]) -> str:
    before, now = (datetime.fromisoformat(str(detail.get(name))) for name in ("before", "now"))
    return f"from {local_time(before)} to {local_time(now)}"


_ACTS: dict[str, Callable[[Mapping[str, Any], _Names], str]] = {
    "case opened": lambda d, _: _opened(d),
    "counts viewed": lambda _d, _: "Saw the counts for the first time",
    "case details changed": lambda d, _: f"Changed the details: {_changes(d)}",
    "populations changed": lambda d, _: f"Changed the {_changes(d)}",
    "region added": lambda d, n: f"Added region {n.region(d)}",
    "region removed": lambda d, n: f"Removed region {n.region(d)}",
    "region flags set": lambda d, n: f"Judged region {n.region(d)}: {_changes(d)}",
    "region scale set": lambda d, n: f"Set the scale of region {n.region(d)}: {_changes(d)}",
    "region analysed": lambda d, n: _analysed(d, n.region(d)),
    "correction added": lambda d, n: f"Nucleus {d.get('nucleus_id')} of region {n.region(d)}: {d.get('kind')}",
    "review confirmed": lambda _d, _: "Confirmed the counts as reviewed",
    "state changed": lambda d, _: _state(d),
    "result derived": lambda d, _: _result(d),
    _RECOUNTED: lambda d, _: _counted(_nuclei_of(d)),
    "recount saved": lambda _d, _: "Handed in a recount",
    "adjudication saved": lambda _d, _: "Adjudicated the two counts",
    "amendment opened": lambda _d, _: "Opened the signed case for an amendment",
    "amendment withdrawn": lambda _d, _: "Closed the amendment without a change",
    "report viewed": lambda d, _: f"Looked at the report{_about(d)}",
    "report downloaded": lambda d, _: f"Downloaded the report{_about(d)}",
    "report verified": lambda d, _: _verified(d),
    "exported": lambda d, _: _exported(d),
    "list exported": lambda d, _: f"Exported a de-identified list of {d.get('cases')} cases",
    "account added": lambda d, _: f"Added the account {d.get('username')}, {d.get('role')}",
    "account changed": lambda d, n: f"Changed the account of {n.person(d)}: {_changes(d)}",
    "account bound to an identity": lambda d, n: f"Bound the account of {n.person(d)} to {d.get('issuer')}",
    "first signature given": lambda d, n: f"Signed first of two; second: {n.person({'user_id': d.get('second_by')})}",
    "first signature withdrawn": lambda _d, _: "Took the first signature back",
    "password changed": lambda _d, _: "Changed the own password",
    "password reset": lambda d, n: f"Reset the password of {n.person(d)}",
    "password confirmed": lambda _d, _: "Typed the password again, to confirm",
    "sign-in pause ended": lambda d, n: f"Ended the sign-in pause of {n.person(d)}",
    "signed out": lambda d, n: f"Signed out: {n.person(d)}, {d.get('why', '')}",
    "signing key issued": lambda d, n: f"Issued a signing key to {n.person(d)}",
    "signing key imported": lambda d, n: f"Took over a signing key of another authority for {n.person(d)}",
    "signing key revoked": lambda d, n: f"Revoked the signing key of {n.person(d)}",
    "backed up": lambda d, _: _backed_up(d),
    "backup taken": lambda d, _: _backed_up(d),  # noted by 0.1, beside the other
    "clock set back": lambda d, _: f"Worked on after the clock of the machine was set back: {_clock(d)}",
    "case log checked": lambda d, _: f"Checked the whole case log: {d.get('findings') or 'no'} findings",
}
