"""The laboratory's figures: from lines of cases to the numbers of each chart, and which cases stand behind each point.

Pure functions of `ledger.Lines`. Points name their cases as indices into the lines that were given.
"""

from __future__ import annotations

import itertools
import json
from collections import Counter, defaultdict
from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass
from datetime import date, timedelta

import numpy as np
from numpy.typing import NDArray

from her2core.laboratory.agreement import BlandAltman, Kappa, bland_altman, kappa
from her2core.laboratory.control import Control, LotShift, lot_shifts, mean_chart, p_chart
from her2core.laboratory.ledger import FLAGS, Lines
from her2core.laboratory.shares import Quartiles, Share, quartiles

__all__ = [
    "COUNTS",
    "STEPS",
    "Choice",
    "Counted",
    "Drift",
    "Lot",
    "Period",
    "Step",
    "Tallied",
    "agreement",
    "choose",
    "discordance",
    "discordant",
    "drift",
    "ihc_table",
    "indeterminate",
    "lots",
    "mix",
    "moved_by_flag",
    "moved_by_group",
    "periods",
    "positivity",
    "readings",
    "reasons",
    "repeated",
    "step_hours",
    "turnaround",
]

Mask = NDArray[np.bool_]
Indices = NDArray[np.intp]

GROUPS = (1, 2, 3, 4, 5)
STEPS = (
    "specimen received → case opened",
    "case opened → regions analysed",
    "regions analysed → counts confirmed",
    "counts confirmed → report signed",
    "case opened → report signed",
)
"""From which act to which; of acts that were repeated the first counts. The last one is the whole of the others but
the first."""
COUNTS = ("HER2 signals per nucleus", "CEP17 signals per nucleus", "HER2/CEP17 ratio")
_MOST_WEEKS = 30  # bars; more are shown as months
_REPEAT_DAYS = 180
_LOW_IHC = ("0", "0+", "1+")
_HOUR_S = 3600.0
_DAY_H = 24.0


@dataclass(frozen=True, slots=True)
class Choice:
    """Which cases are looked at; empty or None: no bound. `scale`: µm per pixel, which stands for a microscope."""

    since: date | None = None
    until: date | None = None
    readers: tuple[int, ...] = ()
    lots: tuple[str, ...] = ()
    models: tuple[str, ...] = ()
    scales: tuple[float, ...] = ()


@dataclass(frozen=True, slots=True)
class Period:
    """A week (from Monday) or a month, its first and last day, and the lines that fall into it."""

    start: date
    end: date
    members: Indices

    def is_partial(self, since: date | None, until: date | None, today: date) -> bool:
        """Whether the dates looked at leave out some of its days, or it is not over."""
        return (
            (since is not None and self.start < since) or (until is not None and self.end > until) or self.end >= today
        )


@dataclass(frozen=True, slots=True)
class Counted:
    """Something counted, under its name, with the lines it is made of and, where it is one, its share of others."""

    name: str
    members: Indices
    of: int

    @property
    def share(self) -> Share:
        """The share of those that it could be."""
        return Share(len(self.members), self.of)


@dataclass(frozen=True, slots=True)
class Step:
    """How long one step took, in hours, over the lines where both ends are known."""

    name: str
    hours: Quartiles | None


@dataclass(frozen=True, slots=True)
class Tallied:
    """A share over time on a control chart, a point a period, and the lines behind the share of each."""

    periods: tuple[Period, ...]
    hits: tuple[Indices, ...]
    chart: Control


@dataclass(frozen=True, slots=True)
class Drift:
    """A measure over time on a control chart, a point a period."""

    periods: tuple[Period, ...]
    chart: Control
    n: int


@dataclass(frozen=True, slots=True)
class Lot:
    """A probe lot: its lines, when it was first used, and its measure against the lots before."""

    name: str
    first: date
    members: Indices
    shift: LotShift


def choose(lines: Lines, choice: Choice, day: str = "signed_day") -> Lines:
    """The lines whose `day` ("opened_day" or "signed_day") is in the period, and that fit all else."""
    days = lines[day]
    chosen = ~np.isnan(days)
    if choice.since is not None:
        chosen &= days >= choice.since.toordinal()
    if choice.until is not None:
        chosen &= days <= choice.until.toordinal()
    wanted: tuple[tuple[str, Sequence[object]], ...] = (
        ("reader", choice.readers),
        ("probe_lot", choice.lots),
        ("model", choice.models),
        ("um_per_px", choice.scales),
    )
    for name, values in wanted:
        if values:
            chosen &= np.isin(lines[name], np.array(list(values), lines[name].dtype))
    return lines.where(chosen)


def periods(days: NDArray[np.float64], beside: NDArray[np.float64] | None = None) -> tuple[Period, ...]:
    """The weeks of these days (ordinals), or the months where there are more than 30 weeks, without gaps.

    The members are indices into `days`; unknown days (NaN) are in none. beside: days that are shown with them; the
    periods are those of both.
    """
    known = np.flatnonzero(~np.isnan(days))
    every = days if beside is None else np.concatenate([days, beside])
    every = every[~np.isnan(every)]
    if not len(every):
        return ()
    first, last = (date.fromordinal(int(pick(every))) for pick in (np.min, np.max))
    weekly = (last - first).days < 7 * _MOST_WEEKS
    starts = list(_weeks(first, last) if weekly else _months(first, last))
    edges = np.array([start.toordinal() for start in starts], float)
    places = np.searchsorted(edges, days[known], side="right") - 1
    order = np.argsort(places, kind="stable")
    cuts = np.searchsorted(places[order], np.arange(len(starts) + 1))
    last_day = _last_of_week if weekly else _last_of_month
    return tuple(
        Period(start, last_day(start), known[order[cuts[i] : cuts[i + 1]]].astype(np.intp))
        for i, start in enumerate(starts)
    )


def _weeks(first: date, last: date) -> Iterator[date]:
    day = first - timedelta(days=first.weekday())
    while day <= last:
        yield day
        day += timedelta(days=7)


def _months(first: date, last: date) -> Iterator[date]:
    day = first.replace(day=1)
    while day <= last:
        yield day
        day = (day + timedelta(days=32)).replace(day=1)


def _last_of_week(first: date) -> date:
    return first + timedelta(days=6)


def _last_of_month(first: date) -> date:
    return (first + timedelta(days=31)).replace(day=1) - timedelta(days=1)


# --- volumes and turnaround -------------------------------------------------------------------------------------------


def step_hours(lines: Lines) -> dict[str, NDArray[np.float64]]:
    """Hours of each step of each line; NaN where an end is not known or lies before the other."""
    received = (lines["opened_day"] - lines["received_day"]) * _DAY_H
    moments = [lines[name] for name in ("opened", "analysed", "reviewed", "signed")]
    between = [(b - a) / _HOUR_S for a, b in itertools.pairwise(moments)]
    whole = (moments[-1] - moments[0]) / _HOUR_S
    found = dict(zip(STEPS, (received, *between, whole), strict=True))
    return {name: np.where(hours >= 0, hours, np.nan) for name, hours in found.items()}


def turnaround(lines: Lines) -> tuple[Step, ...]:
    """Where the hours of each step lie. Receipt is known to the day only."""
    return tuple(Step(name, quartiles(hours)) for name, hours in step_hours(lines).items())


# --- results ----------------------------------------------------------------------------------------------------------


def mix(lines: Lines) -> tuple[Counted, ...]:
    """How many lines are of each group; the last, only where there are some: without group."""
    n, groups = len(lines), lines["result_group"]
    found = [Counted(f"Group {g}", np.flatnonzero(groups == g), n) for g in GROUPS]
    none = np.flatnonzero(np.isnan(groups))
    return (*found, Counted("no group", none, n)) if len(none) else tuple(found)


def positivity(lines: Lines) -> Tallied:
    """HER2 positive among positive and negative, by the day of signing."""
    outcome = lines["outcome"]
    return _share_over_time(lines, outcome == "positive", np.isin(outcome, ("positive", "negative")))


def indeterminate(lines: Lines) -> Tallied:
    """Signed as indeterminate among all, by the day of signing."""
    return _share_over_time(lines, lines["outcome"] == "indeterminate", np.ones(len(lines), bool))


def discordance(lines: Lines) -> Tallied:
    """FISH and IHC discordant among those with group and IHC, by the day of signing."""
    known = (lines["ihc"] != "") & ~np.isnan(lines["result_group"])
    return _share_over_time(lines, discordant(lines), known)


def discordant(lines: Lines) -> Mask:
    """Group 1 with IHC 0, 0+ or 1+, and Group 5 with IHC 3+."""
    groups, ihc = lines["result_group"], lines["ihc"]
    found: Mask = ((groups == 1) & np.isin(ihc, _LOW_IHC)) | ((groups == 5) & (ihc == "3+"))
    return found


def _share_over_time(lines: Lines, hit: Mask, possible: Mask) -> Tallied:
    found = periods(lines["signed_day"])
    hits = tuple(p.members[hit[p.members] & possible[p.members]] for p in found)
    sizes = [int(possible[p.members].sum()) for p in found]
    return Tallied(found, hits, p_chart([(len(h), n) for h, n in zip(hits, sizes, strict=True)]))


def ihc_table(lines: Lines) -> dict[tuple[str, int], Indices]:
    """The lines of each (IHC score, group)."""
    scores = [s for s in ("0", "0+", "1+", "2+", "3+") if np.any(lines["ihc"] == s)]
    return {(s, g): np.flatnonzero((lines["ihc"] == s) & (lines["result_group"] == g)) for s in scores for g in GROUPS}


# --- AI against final -------------------------------------------------------------------------------------------------


def moved_by_group(lines: Lines) -> tuple[Counted, ...]:
    """For each group that the models' counts alone gave: where the reader's corrections moved the group."""
    return tuple(
        Counted(f"Group {g}", np.flatnonzero((lines["ai_group"] == g) & (lines["moved"] == 1)), int(n))
        for g in GROUPS
        for n in [np.sum(lines["ai_group"] == g)]
    )


def moved_by_flag(lines: Lines) -> tuple[Counted, ...]:
    """For each flag that a region of the case carries, and for none: where the corrections moved the group."""
    flags = lines["flags"].astype(int)
    counted = lines["nuclei"] > 0
    raised = [((flags >> place) & 1).astype(bool) for place in range(len(FLAGS))]
    sets = [*zip(FLAGS, raised, strict=True), ("no flag", flags == 0)]
    return tuple(
        Counted(name, np.flatnonzero(has & counted & (lines["moved"] == 1)), int((has & counted).sum()))
        for name, has in sets
    )


def readings(lines: Lines, what: str) -> tuple[NDArray[np.float64], NDArray[np.float64], BlandAltman]:
    """The AI's and the final measure of each line, and how they agree (final minus AI). `what` is one of COUNTS."""
    over, under = {COUNTS[0]: ("her2", "n"), COUNTS[1]: ("cep17", "n"), COUNTS[2]: ("her2", "cep17")}[what]
    ai, final = (_divided(lines[f"{prefix}{over}"], lines[f"{prefix}{under}"]) for prefix in ("ai_", ""))
    return ai, final, bland_altman(ai.tolist(), final.tolist())


def _divided(a: NDArray[np.float64], b: NDArray[np.float64]) -> NDArray[np.float64]:
    found: NDArray[np.float64] = np.divide(a, b, out=np.full(len(a), np.nan), where=b > 0)
    return found


def agreement(lines: Lines, name: Callable[[int], str]) -> dict[str, tuple[Kappa, Indices]]:
    """Kappa of the groups, and the lines on which they differ: AI against final, first reader against the blinded
    recount, and each pair of readers apart. `name` is that of a reader."""
    found = {"AI and final": _kappa(lines, "ai_group", "counted_group", np.ones(len(lines), bool))}
    second = ~np.isnan(lines["second_group"])
    found["first reader and blinded recount"] = _kappa(lines, "counted_group", "second_group", second)
    pairs: dict[tuple[int, int], list[int]] = defaultdict(list)
    for index in np.flatnonzero(second):
        a, b = sorted((int(lines["reader"][index]), int(lines["second_by"][index])))
        pairs[(a, b)].append(int(index))
    for (a, b), members in sorted(pairs.items(), key=lambda pair: -len(pair[1])):
        mask = np.zeros(len(lines), bool)
        mask[members] = True
        found[f"{name(a)} and {name(b)}"] = _kappa(lines, "counted_group", "second_group", mask)
    return found


def _kappa(lines: Lines, first: str, second: str, chosen: Mask) -> tuple[Kappa, Indices]:
    a, b = lines[first], lines[second]
    known = np.flatnonzero(chosen & ~np.isnan(a) & ~np.isnan(b))
    pairs = [(int(x), int(y)) for x, y in zip(a[known], b[known], strict=True)]
    return kappa(pairs), known[a[known] != b[known]]


# --- assay and images -------------------------------------------------------------------------------------------------


def reasons(lines: Lines, column: str) -> tuple[Counted, ...]:
    """The reasons of a column ("reasons": indeterminate; "region_reasons": regions not used), most frequent first."""
    members: dict[str, list[int]] = defaultdict(list)
    for index, text in enumerate(lines[column]):
        if text != "[]":
            for reason in dict.fromkeys(json.loads(text)):
                members[reason].append(index)
    ordered = sorted(members.items(), key=lambda pair: (-len(pair[1]), pair[0]))
    return tuple(Counted(reason, np.array(found, np.intp), len(lines)) for reason, found in ordered)


def repeated(lines: Lines, every: Lines) -> tuple[Counted, ...]:
    """What was done again: a test of the same sample within half a year, an analysis, a count, a report.

    `every`: all lines, among which the earlier test of a sample may be.
    """
    n = len(lines)
    return (
        Counted("Sample tested again within half a year", _tested_again(lines, every), n),
        Counted("Region analysed again", np.flatnonzero(lines["analysed_again"] > 0), n),
        Counted("Region replaced: one was not suitable", np.flatnonzero(lines["unsuitable"] > 0), n),
        Counted("Region left out: same cells as another", np.flatnonzero(lines["shown_twice"] > 0), n),
        Counted("Blinded recount", np.flatnonzero(~np.isnan(lines["second_group"])), n),
        Counted("Adjudicated", np.flatnonzero(lines["adjudicated"] > 0), n),
        Counted("Report amended", np.flatnonzero(lines["amended"] > 0), n),
    )


def _tested_again(lines: Lines, every: Lines) -> Indices:
    several = {sample for sample, count in Counter(every["sample"]).items() if count > 1}
    if not several:
        return np.zeros(0, np.intp)
    opened: dict[str, list[float]] = defaultdict(list)
    for sample, day in zip(every["sample"], every["opened_day"], strict=True):
        if sample in several:
            opened[sample].append(day)
    again = [
        index
        for index, (sample, day) in enumerate(zip(lines["sample"], lines["opened_day"], strict=True))
        if sample in several and any(0 < day - earlier <= _REPEAT_DAYS for earlier in opened[sample])
    ]
    return np.array(again, np.intp)


def drift(lines: Lines, measure: str) -> Drift:
    """A suitability measure by the day of signing."""
    values = lines[measure]
    found = periods(lines["signed_day"])
    known = [values[p.members][~np.isnan(values[p.members])] for p in found]
    within = _sd_within(known)
    parts = [(len(v), float(v.mean()) if len(v) else np.nan) for v in known]
    return Drift(found, mean_chart(parts, within), sum(len(v) for v in known))


def _sd_within(parts: Sequence[NDArray[np.float64]]) -> float:
    """Standard deviation of cases within their periods, pooled."""
    squares = sum(float(((part - part.mean()) ** 2).sum()) for part in parts if len(part) > 1)
    freedom = sum(len(part) - 1 for part in parts if len(part) > 1)
    return float(np.sqrt(squares / freedom)) if freedom else 0.0


def lots(lines: Lines, measure: str) -> tuple[Lot, ...]:
    """The probe lots in the order of first use, each against all lots before; cases without a lot are left out."""
    named: dict[str, list[int]] = defaultdict(list)
    for index, lot in enumerate(lines["probe_lot"]):
        if lot:
            named[lot].append(index)
    members = {name: np.array(found, np.intp) for name, found in named.items()}
    order = sorted(members, key=lambda name: (float(np.min(lines["opened"][members[name]])), name))
    values = lines[measure]
    shifts = lot_shifts([values[members[name]].tolist() for name in order])
    return tuple(
        Lot(name, date.fromordinal(int(np.min(lines["opened_day"][members[name]]))), members[name], shift)
        for name, shift in zip(order, shifts, strict=True)
    )
