"""A line a case, beside the case log: what the laboratory's figures need, read once and then only where a case changed.

The ledger (`laboratory.sqlite` in the data folder) is derived: it may be deleted at any time and is made anew. It holds
no name; samples are told apart by a hash. It goes by the audit trail, to which every change of a case adds a row: lines
of the cases named there since the last time are made anew, and all of them where the trail is another one (a backup was
restored).
"""

from __future__ import annotations

import hashlib
import json
import os
import sqlite3
import threading
from collections import defaultdict
from collections.abc import Callable, Iterable, Mapping, Sequence
from contextlib import closing
from dataclasses import dataclass, fields
from datetime import date
from operator import attrgetter
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray
from sqlite_utils import Database

from her2core.caselog import CaseLog
from her2core.caselog.beside import Row, analysis_of, correction_of, key_of, moment, rows
from her2core.errors import CaseLogError
from her2core.records import Overlap, SignalIntensity, Tally
from her2core.scoring import ReviewedNucleus, apply_corrections, group, tally
from her2core.scoring.suitability import SHOWN_TWICE

__all__ = ["FLAGS", "QUALITY", "CaseLine", "LineReader", "Lines", "is_made", "read_lines"]

_FILE = "laboratory.sqlite"
_SCHEMA = 3  # another number: the ledger is made anew
_CHUNK = 500
_BUSY_S = 300.0

FLAGS = ("clusters", "heterogeneous", "weak signals", "overlap", "region not suitable")
"""The flags of a case: one of its regions was flagged so. "overlap" is moderate or severe, "weak signals" weak or
unscorable. The bit of a flag in `CaseLine.flags` is its place here. A region that was left out since it shows the cells
of another is none that is not suitable: nothing is wrong with sample or slide."""

QUALITY = (
    "focus_ratio",
    "dapi_contrast",
    "her2_signal_to_noise",
    "cep17_signal_to_noise",
    "her2_background_percent",
    "cep17_background_percent",
)
"""The suitability measures that are followed over time: the mean over the analysed regions of a case."""


@dataclass(frozen=True, slots=True)
class CaseLine:
    """One case. Moments are seconds since 1970, days `date.toordinal()`; None: not there.

    `reader` is who signed first; before that who confirmed the counts, or opened the case. Groups and counts are those
    of one population: the one that decided the result, else the first. `ai_*`: from the models' counts alone;
    `counted_group`, `n`, `her2`, `cep17`: after corrections; `moved`: in any population the two groups differ.
    `unsuitable` regions, with their `region_reasons`, are without those `shown_twice`, which show another one's cells.
    `result_group` and `outcome` are as reported last. `second_*`: the recount of that population. `sample` tells
    patient and block apart without naming them.
    """

    case_id: int
    accession: str
    state: str
    reader: int
    opened: float
    opened_day: int
    received_day: int | None
    analysed: float | None
    reviewed: float | None
    signed: float | None
    signed_day: int | None
    reports: int
    amended: int
    probe_lot: str
    model: str
    um_per_px: float | None
    ihc: str
    controls_failed: int
    result_group: int | None
    outcome: str
    reasons: str
    regions: int
    unsuitable: int
    shown_twice: int
    region_reasons: str
    analysed_again: int
    flags: int
    nuclei: int
    edited: int
    moved: int
    ai_group: int | None
    counted_group: int | None
    ai_n: int
    ai_her2: int
    ai_cep17: int
    n: int
    her2: int
    cep17: int
    second_by: int | None
    second_group: int | None
    second_her2: float | None
    second_cep17: float | None
    adjudicated: int
    sample: str
    focus_ratio: float | None
    dapi_contrast: float | None
    her2_signal_to_noise: float | None
    cep17_signal_to_noise: float | None
    her2_background_percent: float | None
    cep17_background_percent: float | None


_COLUMNS = tuple(field.name for field in fields(CaseLine))
_values = attrgetter(*_COLUMNS)  # `astuple` copies each value deeply, which took a fifth of the time
_TEXTS = frozenset(field.name for field in fields(CaseLine) if field.type == "str")


@dataclass(frozen=True)
class Lines:
    """The lines of many cases, a column an array: text as objects, all else as float64 with NaN for what is not there.

    In the order of `case_id`.
    """

    columns: Mapping[str, NDArray[Any]]

    def __len__(self) -> int:
        return len(self.columns["case_id"])

    def __getitem__(self, name: str) -> NDArray[Any]:
        return self.columns[name]

    def where(self, chosen: NDArray[np.bool_] | NDArray[np.intp]) -> Lines:
        """The lines that a mask or a list of indices chooses."""
        return Lines({name: column[chosen] for name, column in self.columns.items()})

    def ids(self, chosen: NDArray[np.bool_] | NDArray[np.intp] | None = None) -> tuple[int, ...]:
        """The ids of the cases, or of those chosen."""
        ids = self["case_id"] if chosen is None else self["case_id"][chosen]
        return tuple(int(i) for i in ids)

    @staticmethod
    def of(lines: Iterable[CaseLine]) -> Lines:
        """From single lines."""
        return _arrays([_values(line) for line in lines])


def _arrays(found: Sequence[tuple[Any, ...]]) -> Lines:
    by_column = list(zip(*found, strict=True)) if found else [()] * len(_COLUMNS)
    return Lines(
        {
            name: np.array(values, object if name in _TEXTS else np.float64)
            for name, values in zip(_COLUMNS, by_column, strict=True)
        }
    )


def is_made(log: CaseLog) -> bool:
    """Whether lines were made before, so that only those of cases that changed are to be made."""
    return (log.data_dir / _FILE).exists()


def read_lines(log: CaseLog, progress: Callable[[int, int], None] | None = None) -> Lines:
    """The lines of all cases, those that changed made anew first; `progress` is told how many of how many are.

    Raises CaseLogError where the ledger cannot be written.
    """
    return _reading(log, progress, None).lines


class LineReader:
    """Reads the lines again and again, for many threads: all of them once, then those that changed. A line a case is
    half a second's work with 50,000 cases, and every act of anybody changes one."""

    def __init__(self) -> None:
        self._lock = threading.Lock()
        self._before: _Reading | None = None

    def read(self, log: CaseLog, progress: Callable[[int, int], None] | None = None) -> Lines:
        """As `read_lines`, of the same case log each time."""
        with self._lock:
            self._before = _reading(log, progress, self._before)
            return self._before.lines


@dataclass(frozen=True, slots=True)
class _Reading:
    """Lines, and the row of the audit trail up to which they go."""

    head: tuple[int, str]
    lines: Lines


def _reading(log: CaseLog, progress: Callable[[int, int], None] | None, before: _Reading | None) -> _Reading:
    path = log.data_dir / _FILE
    try:
        return _read(path, log, progress, before)
    except sqlite3.DatabaseError as error:
        if "locked" in str(error) or "full" in str(error) or "readonly" in str(error):
            raise CaseLogError(
                "The laboratory's figures cannot be stored now. Free some space in the data folder, or wait until "
                "another window has read them, and try again."
            ) from error
        path.unlink(missing_ok=True)  # damaged: it is derived, so it is made anew
        return _read(path, log, progress, before)


def _read(path: Path, log: CaseLog, progress: Callable[[int, int], None] | None, before: _Reading | None) -> _Reading:
    if not path.exists():
        os.close(os.open(path, os.O_CREAT | os.O_WRONLY, 0o600))
    with closing(sqlite3.connect(path, timeout=_BUSY_S, isolation_level=None)) as ledger:
        ledger.execute("PRAGMA synchronous = OFF")  # derived
        ledger.execute("BEGIN IMMEDIATE")
        try:
            _refresh(ledger, log, progress)
            ledger.execute("COMMIT")
        except BaseException:
            if ledger.in_transaction:
                ledger.execute("ROLLBACK")
            raise
        head = _known(ledger) or (0, "")
        if before is not None and before.head == head:
            return before
        since = 0
        if before is not None:
            with log.reading() as db:
                since = before.head[0] if _continues(db, before.head) else 0
        sql = f"SELECT {', '.join(_COLUMNS)} FROM lines WHERE made > ? ORDER BY case_id"  # noqa: S608
        found = _arrays(ledger.execute(sql, [since]).fetchall())
        return _Reading(head, found if before is None or since == 0 else _renewed(before.lines, found))


def _renewed(lines: Lines, changed: Lines) -> Lines:
    """The lines with those that changed in their places, and new ones after them: a later case has a higher id."""
    ids = changed["case_id"]
    known = ids <= lines["case_id"][-1] if len(lines) else np.zeros(len(ids), bool)
    places = np.searchsorted(lines["case_id"], ids[known])
    columns = {}
    for name, column in lines.columns.items():
        columns[name] = np.concatenate((column, changed[name][~known]))  # a copy: others are drawing from the old ones
        columns[name][places] = changed[name][known]
    return Lines(columns)


def _refresh(ledger: sqlite3.Connection, log: CaseLog, progress: Callable[[int, int], None] | None) -> None:
    known = _known(ledger)
    with log.reading() as db:
        head = db.execute("SELECT id, hash FROM audit ORDER BY id DESC LIMIT 1").fetchone() or (0, "")
        if known == tuple(head):
            return
        if known is None or not _continues(db, known):
            _begin(ledger)
            known = (0, "")
        changed = [
            row[0]
            for row in db.execute(
                "SELECT DISTINCT case_id FROM audit WHERE id > ? AND case_id IS NOT NULL ORDER BY case_id", [known[0]]
            )
        ]
        marks = ", ".join("?" for _ in (*_COLUMNS, "made"))
        for start in range(0, len(changed), _CHUNK):
            made = [(*_values(line), head[0]) for line in _lines(db, changed[start : start + _CHUNK])]
            ledger.executemany(f"INSERT OR REPLACE INTO lines VALUES ({marks})", made)  # noqa: S608
            if progress is not None:
                progress(min(start + _CHUNK, len(changed)), len(changed))
    ledger.execute("DELETE FROM heads")
    ledger.execute("INSERT INTO heads VALUES (?, ?, ?)", [_SCHEMA, *head])


def _known(ledger: sqlite3.Connection) -> tuple[int, str] | None:
    """Up to which row of the audit trail the ledger goes; None: there is none, or of another make."""
    if ledger.execute("SELECT 1 FROM sqlite_master WHERE name = 'heads'").fetchone() is None:
        return None
    found = ledger.execute("SELECT schema, id, hash FROM heads").fetchone()
    return None if found is None or found[0] != _SCHEMA else (int(found[1]), str(found[2]))


def _continues(db: Database, known: tuple[int, str]) -> bool:
    found = db.execute("SELECT hash FROM audit WHERE id = ?", [known[0]]).fetchone()
    return found is not None and found[0] == known[1]


def _begin(ledger: sqlite3.Connection) -> None:
    for table in ("lines", "heads"):
        ledger.execute(f"DROP TABLE IF EXISTS {table}")
    # `made`: the row of the audit trail up to which the line goes.
    ledger.execute(f"CREATE TABLE lines ({', '.join(_COLUMNS)}, made INTEGER, PRIMARY KEY (case_id))")
    ledger.execute("CREATE INDEX lines_made ON lines (made)")
    ledger.execute("CREATE TABLE heads (schema INTEGER, id INTEGER, hash TEXT)")


# --- from the case log ------------------------------------------------------------------------------------------------


def _lines(db: Database, case_ids: Sequence[int]) -> list[CaseLine]:
    """The lines of some cases, each table asked once."""
    within = "IN (SELECT value FROM json_each(?))"
    ids = json.dumps(list(case_ids))

    def by_case(sql: str) -> dict[int, list[Row]]:
        found: dict[int, list[Row]] = defaultdict(list)
        for row in rows(db, sql, [ids]):
            found[row["case_id"]].append(row)
        return found

    regions = by_case(f"SELECT * FROM regions WHERE removed_at IS NULL AND case_id {within} ORDER BY id")  # noqa: S608
    reports = by_case(
        "SELECT case_id, kind, summary, signed_by, signed_at FROM reports "  # noqa: S608
        f"WHERE kind <> 'preliminary' AND case_id {within} ORDER BY id"
    )
    statements = by_case(
        "SELECT case_id, kind, value, by_user_id, at FROM statements "  # noqa: S608
        f"WHERE kind IN ('reviewed', 'indeterminate reasons') AND case_id {within} ORDER BY id"
    )
    recounts = by_case(f"SELECT * FROM recounts WHERE case_id {within} ORDER BY id")  # noqa: S608
    adjudications = by_case(f"SELECT case_id, population FROM adjudications WHERE case_id {within}")  # noqa: S608
    analyses: dict[int, list[Row]] = defaultdict(list)
    region_ids = json.dumps([region["id"] for found in regions.values() for region in found])
    for row in rows(db, f"SELECT * FROM analyses WHERE region_id {within} ORDER BY id", [region_ids]):  # noqa: S608
        analyses[row["region_id"]].append(row)
    corrections: dict[int, list[Row]] = defaultdict(list)
    latest = json.dumps([found[-1]["id"] for found in analyses.values()])
    for row in rows(db, f"SELECT * FROM corrections WHERE analysis_id {within} ORDER BY id", [latest]):  # noqa: S608
        corrections[row["analysis_id"]].append(row)
    return [
        _line(
            case,
            [(r, analyses.get(r["id"], []), corrections) for r in regions.get(case["id"], [])],
            reports.get(case["id"], []),
            statements.get(case["id"], []),
            recounts.get(case["id"], []),
            len(adjudications.get(case["id"], [])),
        )
        for case in rows(db, f"SELECT * FROM cases WHERE id {within}", [ids])  # noqa: S608
    ]


_RegionRows = tuple[Row, list[Row], Mapping[int, list[Row]]]


def _line(
    case: Row,
    regions: Sequence[_RegionRows],
    reports: Sequence[Row],
    statements: Sequence[Row],
    recounts: Sequence[Row],
    adjudicated: int,
) -> CaseLine:
    reviewed = [s for s in statements if s["kind"] == "reviewed"]
    stated = [s for s in statements if s["kind"] == "indeterminate reasons"]
    reported = json.loads(reports[-1]["summary"]) if reports else {}
    counts = _Counts.of(regions)
    result = reported.get("group", case["result_group"])
    label = counts.deciding(reported, result)
    ai, now = counts.ai.get(label, _NONE), counts.now.get(label, _NONE)
    second = next((r for r in reversed(recounts) if r["population"] == label and r["blinded"]), None)
    seconds = None if second is None else Tally(second["n"], second["her2"], second["cep17"])
    unsuitable = [r for r, _, _ in regions if _is_unsuitable(r)]
    found = [a for _, analyses, _ in regions for a in analyses]
    signed = moment(reports[0]["signed_at"]) if reports else None
    opened = moment(case["created_at"])
    scales = [r["um_per_px"] for r, _, _ in regions if r["um_per_px"] is not None]
    return CaseLine(
        case_id=case["id"],
        accession=case["accession"],
        state=case["state"],
        reader=reports[0]["signed_by"] if reports else reviewed[-1]["by_user_id"] if reviewed else case["created_by"],
        opened=opened.timestamp(),
        opened_day=opened.astimezone().toordinal(),
        received_day=None if case["received_on"] is None else date.fromisoformat(case["received_on"]).toordinal(),
        analysed=moment(found[0]["at"]).timestamp() if found else None,
        reviewed=moment(reviewed[0]["at"]).timestamp() if reviewed else None,
        signed=None if signed is None else signed.timestamp(),
        signed_day=None if signed is None else signed.astimezone().toordinal(),
        reports=len(reports),
        amended=sum(report["kind"] == "amended" for report in reports),
        probe_lot=case["probe_lot"],
        model=counts.model,
        um_per_px=scales[0] if scales else None,
        ihc=case["ihc"] or "",
        controls_failed=int(case["controls_ok"] == 0),
        result_group=result,
        outcome=reported.get("outcome", case["outcome"]) or "",
        reasons=json.dumps(json.loads(stated[-1]["value"]).get("reasons", [])) if stated else "[]",
        regions=len(regions),
        unsuitable=len(unsuitable),
        shown_twice=sum(r["suitable"] == 0 for r, _, _ in regions) - len(unsuitable),
        region_reasons=json.dumps([r["unsuitable_reason"] for r in unsuitable]),
        analysed_again=sum(max(0, len(analyses) - 1) for _, analyses, _ in regions),
        flags=_flags([r for r, _, _ in regions]),
        nuclei=counts.nuclei,
        edited=counts.edited,
        moved=int(any(group(counts.ai[key]) != group(counts.now[key]) for key in counts.ai)),
        ai_group=group(ai),
        counted_group=group(now),
        ai_n=ai.n,
        ai_her2=ai.her2,
        ai_cep17=ai.cep17,
        n=now.n,
        her2=now.her2,
        cep17=now.cep17,
        second_by=None if second is None else second["by_user_id"],
        second_group=None if seconds is None else group(seconds),
        second_her2=seconds.her2 / seconds.n if seconds is not None and seconds.n else None,
        second_cep17=seconds.cep17 / seconds.n if seconds is not None and seconds.n else None,
        adjudicated=adjudicated,
        sample=_sample(case),
        **counts.quality,
    )


_NONE = Tally(0, 0, 0)


@dataclass(frozen=True, slots=True)
class _Counts:
    """What models and people counted in a case, by population, and the measures of its regions."""

    ai: dict[str, Tally]
    now: dict[str, Tally]
    nuclei: int
    edited: int
    model: str
    quality: dict[str, float | None]

    @staticmethod
    def of(regions: Sequence[_RegionRows]) -> _Counts:
        ai: dict[str, Tally] = {}
        now: dict[str, Tally] = {}
        nuclei: list[ReviewedNucleus] = []
        measures: dict[str, list[float]] = defaultdict(list)
        model = ""
        for region, analyses, corrections in regions:
            if not analyses or not region["suitable"]:
                continue
            analysis = analysis_of(analyses[-1])
            reviewed = apply_corrections(
                analysis.nuclei, [correction_of(row) for row in corrections.get(analyses[-1]["id"], [])]
            )
            label = region["population"]
            ai[label] = ai.get(label, _NONE) + tally(analysis.nuclei)
            now[label] = now.get(label, _NONE) + tally(r.nucleus for r in reviewed)
            nuclei += reviewed
            model = ", ".join(map(str, analysis.models))
            for name in QUALITY:
                value = analysis.quality.get(name)
                if value is not None:
                    measures[name].append(value)
        quality = {name: sum(measures[name]) / len(measures[name]) if measures[name] else None for name in QUALITY}
        return _Counts(ai, now, len(nuclei), sum(n.changed for n in nuclei), model, quality)

    def deciding(self, reported: Mapping[str, Any], result: int | None) -> str:
        """The population that the case's group comes from, as reported or as counted; else the first one."""
        if reported.get("deciding") in self.now:
            return str(reported["deciding"])
        for label, said in reported.get("populations", {}).items():
            if label in self.now and said.get("group") == result:
                return str(label)
        labels = sorted(self.now)
        return next((label for label in labels if group(self.now[label]) == result), labels[0] if labels else "")


def _is_unsuitable(region: Row) -> bool:
    """Whether a region was rejected for what it shows, and not since another one shows the same cells."""
    return bool(region["suitable"] == 0 and region["unsuitable_reason"] != SHOWN_TWICE)


def _flags(regions: Sequence[Row]) -> int:
    raised = (
        any(r["clusters"] for r in regions),
        any(r["heterogeneous"] for r in regions),
        any(r["signal_intensity"] in (SignalIntensity.WEAK, SignalIntensity.UNSCORABLE) for r in regions),
        any(r["overlap"] in (Overlap.MODERATE, Overlap.SEVERE) for r in regions),
        any(_is_unsuitable(r) for r in regions),
    )
    return sum(1 << place for place, is_raised in enumerate(raised) if is_raised)


def _sample(case: Row) -> str:
    """Patient and block as a hash: told apart, not named."""
    named = f"{key_of(case['patient_id'])}\n{key_of(case['block'])}\n{key_of(case['specimen'])}"
    return hashlib.sha256(named.encode()).hexdigest()[:16]
