"""The laboratory's figures on the page: charts of what `her2core.laboratory` makes of the case log.

Each chart says what it shows, over how many cases, and what to do when a limit is crossed; its points lead to their
cases in the case log.
"""

from __future__ import annotations

import logging
import sqlite3
import threading
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from datetime import date, timedelta
from functools import lru_cache

import numpy as np
import plotly.graph_objects as go
import streamlit as st
from numpy.typing import NDArray

from her2core.caselog import CaseLog
from her2core.errors import Her2CoreError
from her2core.imaging.quality import LIMITS
from her2core.laboratory import figures
from her2core.laboratory.agreement import kappa_words
from her2core.laboratory.control import OUT_OF_LIMITS, RULES, ChartPoint, Control
from her2core.laboratory.figures import Choice, Counted, Indices, Period, Tallied, choose
from her2core.laboratory.ledger import QUALITY, LineReader, Lines, is_made
from her2core.laboratory.shares import Share, quartiles
from her2core.records import CaseState, User
from her2core.scoring import STATE_WORDS, describe_group, with_sign
from her2core.ui import axes, palette
from her2core.ui.case_log import show_cases
from her2core.ui.services import Services
from her2core.ui.words import plain

__all__ = ["draw", "period", "read_ahead"]

_logger = logging.getLogger(__name__)
_read_ahead: set[str] = set()
_read_ahead_lock = threading.Lock()

_CHART_PX = 236
_PALE = 0.45  # opacity of bars of periods that are not complete
_LONGEST_TITLE = 30  # characters of an upright axis
_PERIODS = {"30 days": 30, "90 days": 90, "12 months": 365, "All": None}
_OWN = "Own dates"
_CONFIG = {"displayModeBar": False}
_MOST_DOTS = 1500  # more slow the browser down; those outside the limits are always drawn
_FLOW, _RESULTS, _AI, _IMAGES, _PEOPLE = "Flow", "Results", "AI and final", "Images and lots", "Observers"

Floats = NDArray[np.float64]
# What stands behind a point of a chart: (number of the trace, number of the point) to a name and its lines.
Behind = Callable[[int, int], tuple[str, Indices] | None]


@dataclass(frozen=True)
class _View:
    """What all charts draw from: lines signed and opened from `since` to `until`, and all there are."""

    signed: Lines
    opened: Lines
    every: Lines
    people: Mapping[int, str]
    since: date | None
    until: date | None
    today: date

    def partial(self, found: Sequence[Period]) -> list[bool]:
        """Which of these periods are not over, or are cut by the dates that were chosen."""
        return [p.is_partial(self.since, self.until, self.today) for p in found]


def period(choice: str, own: Sequence[date], today: date) -> tuple[date | None, date | None]:
    """The first and last day of the chosen period; None: no bound. Own dates may be half chosen."""
    if choice == _OWN:
        return (own[0] if own else None, own[1] if len(own) > 1 else None)
    days = _PERIODS[choice]
    return (None if days is None else today - timedelta(days=days - 1), None if days is None else today)


def draw(rooms: Services, user: User) -> None:
    """The filters, and the charts of one topic."""
    del user
    every = _lines(rooms.log)
    if not len(every):
        st.info("The case log is empty. Figures appear here once cases are opened.", icon=":material/info:")
        return
    people = {person.id: person.full_name for person in rooms.log.users()}
    choice, topic = _filters(every, people)
    view = _View(
        choose(every, choice),
        choose(every, choice, "opened_day"),
        every,
        people,
        choice.since,
        choice.until,
        date.today(),
    )
    {_FLOW: _flow, _RESULTS: _results, _AI: _ai, _IMAGES: _images, _PEOPLE: _observers}[topic](view)


def read_ahead(log: CaseLog) -> None:
    """Read the lines before the page asks for them, once a process and in the background: half a second with 50,000
    cases, of which the first opening of the page is spared. Lines that were never made are left to the page, which
    shows how far it is."""
    path = str(log.path.absolute())
    with _read_ahead_lock:
        if path in _read_ahead or not is_made(log):
            return
        _read_ahead.add(path)
    threading.Thread(target=_quietly, args=(path, log), name="her2core-figures", daemon=True).start()


def _quietly(path: str, log: CaseLog) -> None:
    try:
        _reader(path).read(log)
    except (Her2CoreError, sqlite3.Error, OSError) as error:  # the page will say it, if it lasts
        _logger.info("the laboratory's figures were not read ahead: %s", error)


def _lines(log: CaseLog) -> Lines:
    """The lines of all cases as they are now."""
    bar = st.empty()

    def tell(done: int, of: int) -> None:
        if of > 1000:
            bar.progress(done / of, f"Reading the case log for the figures: {done} of {of} cases")

    try:
        return _reader(str(log.path.absolute())).read(log, tell)
    finally:
        bar.empty()


@lru_cache(maxsize=2)
def _reader(path: str) -> LineReader:
    """One a case log, for all sessions."""
    del path  # what the cache goes by
    return LineReader()


def _filters(every: Lines, people: Mapping[int, str]) -> tuple[Choice, str]:
    """What is looked at: the period, who, which lots and models; and the topic."""
    top, more = st.columns([3.2, 1], vertical_alignment="center")
    with top.container(horizontal=True, vertical_alignment="center"):
        chosen = st.segmented_control(
            "Period",
            [*_PERIODS, _OWN],
            default="12 months",
            required=True,
            key="lab_period",
            label_visibility="collapsed",
            persist_state="session",
        )
        own: Sequence[date] = ()
        if chosen == _OWN:
            today = date.today()
            own = st.date_input(
                "From and to", (today.replace(day=1), today), key="lab_dates", label_visibility="collapsed", width=230
            )
        topic = st.segmented_control(
            "Topic",
            [_FLOW, _RESULTS, _AI, _IMAGES, _PEOPLE],
            default=_FLOW,
            required=True,
            key="lab_topic",
            label_visibility="collapsed",
            persist_state="session",
        )
    since, until = period(str(chosen), own, date.today())
    readers, lots, models, scales = _narrowed(every, people, more)
    return Choice(since, until, readers, lots, models, scales), str(topic)


def _narrowed(
    every: Lines, people: Mapping[int, str], place: st.delta_generator.DeltaGenerator
) -> tuple[tuple[int, ...], tuple[str, ...], tuple[str, ...], tuple[float, ...]]:
    """Pathologists, probe lots, models and image scales, behind one button that counts them."""
    number = sum(len(st.session_state.get(f"lab_by_{name}") or []) for name in ("readers", "lots", "models", "scales"))
    with place.popover(f"Filters ({number})" if number else "Filters", icon=":material/filter_alt:", width="stretch"):
        readers = st.multiselect(
            "Pathologist", sorted({int(reader) for reader in every["reader"]}), key="lab_by_readers", placeholder="any",
            format_func=lambda reader: people.get(reader, "?"), persist_state="session",
        )  # fmt: skip
        lots = st.multiselect(
            "Probe lot", sorted({str(lot) for lot in every["probe_lot"] if lot}), key="lab_by_lots", placeholder="any",
            persist_state="session",
        )  # fmt: skip
        models = st.multiselect(
            "Models", sorted({str(model) for model in every["model"] if model}), key="lab_by_models", placeholder="any",
            persist_state="session",
        )  # fmt: skip
        scales = st.multiselect(
            "Scale, µm per pixel (stands for the microscope)", _known(every["um_per_px"]), key="lab_by_scales",
            placeholder="any", format_func="{:.4g}".format, persist_state="session",
        )  # fmt: skip
    return tuple(readers), tuple(lots), tuple(models), tuple(scales)


def _known(values: Floats) -> list[float]:
    return [float(value) for value in np.unique(values[~np.isnan(values)])]


# --- flow -------------------------------------------------------------------------------------------------------------


def _flow(view: _View) -> None:
    _line(view)
    left, right = st.columns(2, gap="medium")
    with left:
        _volumes(view)
    with right:
        _turnaround(view)
    left, right = st.columns(2, gap="medium")
    with left:
        _states(view)
    with right:
        _steps_over_time(view)


def _line(view: _View) -> None:
    """The most asked-for numbers."""
    signed = view.signed
    done = np.isin(view.opened["state"], [CaseState.SIGNED.value, CaseState.AMENDED.value])
    whole = figures.turnaround(signed)[-1].hours
    outcome = signed["outcome"]
    positive = Share(int(np.sum(outcome == "positive")), int(np.isin(outcome, ("positive", "negative")).sum()))
    moved = Share(int(np.sum(signed["moved"] == 1)), int(np.sum(signed["nuclei"] > 0)))
    edited = Share(int(signed["edited"].sum()), int(signed["nuclei"].sum()))
    numbers = (
        ("Cases opened", str(len(view.opened)), f"{int((~done).sum())} still open"),
        ("Cases signed", str(len(signed)), "in the period"),
        ("Opened to signed", "–" if whole is None else _hours(whole.median), "median"),
        ("HER2 positive", _percent(positive), _of(positive)),
        ("Nuclei edited", _percent(edited), _of(edited)),
        ("Group moved by edits", _percent(moved), _of(moved)),
    )
    for column, (label, value, below) in zip(st.columns(len(numbers)), numbers, strict=True):
        column.metric(label, value, below, delta_color="off", delta_arrow="off", border=True)


def _percent(share: Share) -> str:
    return "–" if share.percent is None else f"{share.percent:.1f} %"


def _of(share: Share) -> str:
    return f"{share.k} of {share.n}"


def _hours(hours: float) -> str:
    return f"{hours:.1f} h" if hours < 48 else f"{hours / 24:.1f} d"


def _volumes(view: _View) -> None:
    both = view.opened["opened_day"], view.signed["signed_day"]
    opened, signed = figures.periods(*both), figures.periods(*reversed(both))
    figure = go.Figure()
    for name, found, colour in (("opened", opened, palette.SKY), ("signed", signed, palette.ORANGE)):
        days, counts = [p.start for p in found], [len(p.members) for p in found]
        pale = [_PALE if part else 1.0 for part in view.partial(found)]
        figure.add_bar(x=days, y=counts, name=name, marker={"color": colour, "opacity": pale})
    if len(_dates(figure)) == 1:  # plotly would make the bars of a single date a millisecond wide
        for bar, offset in zip(figure.data, (-axes.BAR_MS, 0), strict=True):
            bar.update(width=axes.BAR_MS, offset=offset)
    figure.update_layout(barmode="group")
    figure.update_yaxes(title="cases", **axes.of_cases([len(p.members) for p in (*opened, *signed)]))
    _show(
        "Volume",
        len(view.opened),
        figure,
        "lab_volume",
        view.opened,
        f"Cases opened and cases signed, by {_unit(opened)}.{_partly(view, opened, 'Pale')}",
        "Signed below opened for several bars in a row: work piles up; see where under Cases by state.",
        lambda trace, point: (f"opened, {_named(view, opened, point)}", opened[point].members) if trace == 0 else None,
        legend=True,
    )


def _unit(found: Sequence[Period]) -> str:
    monthly = len(found) > 1 and all(p.start.day == 1 for p in found)
    return "month" if monthly else "week (from Monday)"


def _named(view: _View, found: Sequence[Period], point: int) -> str:
    """A period by its name; of one that is not over or only partly looked at, that too."""
    name = found[point].start.strftime("%b %Y" if _unit(found) == "month" else "week of %d %b %Y")
    if not view.partial(found)[point]:
        return name
    return f"{name}, so far" if found[point].end >= view.today else f"{name}, in part"


def _partly(view: _View, found: Sequence[Period], mark: str) -> str:
    """What the mark of incomplete periods means, where there is one."""
    return f" {mark}: not over yet, or only partly within the dates." if any(view.partial(found)) else ""


def _turnaround(view: _View) -> None:
    steps = [step for step in figures.turnaround(view.signed) if step.hours is not None]
    per, unit = axes.of_hours(max((s.hours.ninth_tenth for s in steps if s.hours is not None), default=0.0))
    figure = go.Figure()
    for step in steps:
        hours = step.hours
        if hours is None:
            continue
        figure.add_bar(
            y=[f"{step.name}: {_hours(hours.median)}"],  # at the end of the bar the orange line would cross it
            x=[hours.median / per],
            orientation="h",
            marker={"color": palette.SKY},
            error_x={
                "type": "data",
                "symmetric": False,
                "arrayminus": [0],
                "array": [(hours.ninth_tenth - hours.median) / per],
                "color": palette.ORANGE,
            },
            hovertemplate=f"{step.name}: median {_hours(hours.median)}, 9 of 10 within {_hours(hours.ninth_tenth)}"
            f"<br>n = {hours.n}<extra></extra>",
        )
    figure.update_xaxes(title=f"{unit}, median", rangemode="tozero")
    figure.update_yaxes(autorange="reversed")
    every = figures.step_hours(view.signed)
    _show(
        "Turnaround by step",
        len(view.signed),
        figure,
        "lab_turnaround",
        view.signed,
        "From one act to the next (of repeated acts the first), nights and week-ends included: the median; nine of ten "
        "cases were done by the end of the orange line. Receipt has a day and no hour, so its step is in whole days. "
        "The last bar is the whole of the steps from opening on.",
        "A long step: select its bar for its slowest tenth.",
        lambda trace, _: (f"slowest tenth, {steps[trace].name}", _slowest(every[steps[trace].name])),
    )


def _slowest(hours: Floats) -> Indices:
    known = np.flatnonzero(~np.isnan(hours))
    keep = max(1, len(known) // 10)
    return known[np.argsort(-hours[known], kind="stable")[:keep]]


def _steps_over_time(view: _View) -> None:
    hours = figures.step_hours(view.signed)[figures.STEPS[-1]]
    found = figures.periods(view.signed["signed_day"])
    spots = [quartiles(hours[p.members]) for p in found]
    per, unit = axes.of_hours(max((q.ninth_tenth for q in spots if q is not None), default=0.0))
    symbols = ["circle-open" if part else "circle" for part in view.partial(found)]
    figure = go.Figure()
    for name, colour, value in (
        ("median", palette.SKY, [np.nan if q is None else q.median / per for q in spots]),
        ("nine of ten within", palette.ORANGE, [np.nan if q is None else q.ninth_tenth / per for q in spots]),
    ):
        figure.add_scatter(
            x=[p.start for p in found], y=value, name=name, mode="lines+markers", line={"color": colour},
            marker={"symbol": symbols, "size": 7},
        )  # fmt: skip
    figure.update_yaxes(title=unit, rangemode="tozero")
    _show(
        "Case opened to report signed, over time",
        len(view.signed),
        figure,
        "lab_hours",
        view.signed,
        f"By {_unit(found)} of signing.{_partly(view, found, 'Hollow')}",
        "A rise of the orange line alone: few cases wait long, mostly for IHC or a recount.",
        lambda _, point: (
            f"slowest tenth, {_named(view, found, point)}",
            found[point].members[_slowest(hours[found[point].members])],
        ),
        legend=True,
    )


def _states(view: _View) -> None:
    state = view.opened["state"]
    members = [np.flatnonzero(state == s.value) for s in CaseState]
    words = [STATE_WORDS[s] for s in CaseState]
    figure = _bars(words, [len(m) for m in members], horizontal=True)
    figure.update_xaxes(title="cases")
    figure.update_yaxes(autorange="reversed")
    _show(
        "Cases by state",
        len(view.opened),
        figure,
        "lab_states",
        view.opened,
        "Where the cases opened in the period stand now.",
        "Many in one pending state: ask for the IHC, the second reader or the adjudicator.",
        lambda _, point: (words[point], members[point]),
    )


# --- results ----------------------------------------------------------------------------------------------------------


def _results(view: _View) -> None:
    left, right = st.columns(2, gap="medium")
    with left:
        _tallied(
            "Positivity rate",
            figures.positivity(view.signed),
            "lab_positive",
            view,
            "HER2 positive among positive and negative, in percent.",
            "Check referral mix and lots first; then re-read a sample of the cases behind the point.",
        )
    with right:
        _mix(view)
    left, right = st.columns(2, gap="medium")
    with left:
        _tallied(
            "FISH/IHC discordance",
            figures.discordance(view.signed),
            "lab_discordant",
            view,
            "Group 1 with IHC 0, 0+ or 1+, and Group 5 with IHC 3+, in percent of cases with both.",
            "Compare both slides of the cases behind the point; ask the IHC laboratory for its run.",
        )
    with right:
        _ihc(view)
    left, right = st.columns(2, gap="medium")
    with left:
        _tallied(
            "Indeterminate",
            figures.indeterminate(view.signed),
            "lab_indeterminate",
            view,
            "Signed as indeterminate, in percent of all.",
            "See the reasons beside; controls or weak signals in one lot point to the assay.",
        )
    with right:
        _counted(
            "Why indeterminate",
            figures.reasons(view.signed, "reasons"),
            "lab_reasons",
            view.signed,
            "Reasons that were stated; a case may have several. Too few nuclei need no stated reason.",
            "A leading reason: act on its cause.",
        )


def _mix(view: _View) -> None:
    mix = figures.mix(view.signed)
    figure = _bars([c.name for c in mix], [len(c.members) for c in mix])
    figure.update_traces(
        customdata=[
            f"{_percent(c.share)}<br>{describe_group(i + 1) if i < 5 else 'no ISH group'}" for i, c in enumerate(mix)
        ],
        hovertemplate="%{x}: %{y} (%{customdata})<extra></extra>",
    )
    figure.update_yaxes(title="signed cases")
    _show(
        "ISH groups as reported",
        len(view.signed),
        figure,
        "lab_groups",
        view.signed,
        "Groups 2 to 4 are about one in twenty in published series; they need IHC.",
        "Many in Groups 2 to 4: look for missed CEP17 or clusters counted too low.",
        lambda _, point: (mix[point].name, mix[point].members),
    )


def _ihc(view: _View) -> None:
    table = figures.ihc_table(view.signed)
    scores = list(dict.fromkeys(score for score, _ in table))
    counts = [[len(table[(score, g)]) for g in figures.GROUPS] for score in scores]
    figure = go.Figure(
        go.Heatmap(
            x=[f"Group {g}" for g in figures.GROUPS],
            y=[f"IHC {score}" for score in scores],
            z=[[c / max(1, sum(row)) for c in row] for row in counts],
            text=counts,
            texttemplate="%{text}",
            colorscale="Blues",
            showscale=False,
            hovertemplate="%{y}, %{x}: %{text} cases<extra></extra>",
        )
    )
    mask = figures.discordant(view.signed)
    cells = {
        f"{'Group 1 with IHC 0 or 1+' if g == 1 else 'Group 5 with IHC 3+'}": np.flatnonzero(
            mask & (view.signed["result_group"] == g)
        )
        for g in (1, 5)
    }
    _show(
        "IHC and group",
        sum(map(sum, counts)),
        figure,
        "lab_ihc",
        view.signed,
        "Signed cases with IHC, shaded within each IHC score.",
        "Cells at odds (Group 1 with 0 or 1+, Group 5 with 3+) are the discordant cases:",
        None,
    )
    with st.container(horizontal=True):
        for number, (name, members) in enumerate(cells.items()):
            _lead(f"lab_ihc_{number}", name, view.signed, members)


# --- AI against final -------------------------------------------------------------------------------------------------


def _ai(view: _View) -> None:
    left, right = st.columns(2, gap="medium")
    with left:
        _counted(
            "Group moved by the reader, by the AI's group",
            figures.moved_by_group(view.signed),
            "lab_moved_group",
            view.signed,
            "Cases whose group the corrections moved, in percent of those that the AI put there.",
            "Above what you accepted at validation: validate again on recent cases before relying on the models.",
            percent=True,
        )
    with right:
        _counted(
            "Group moved by the reader, by flag",
            figures.moved_by_flag(view.signed),
            "lab_moved_flag",
            view.signed,
            "The same by the flags of the regions; lines are 95 % intervals.",
            "A flag with many moved groups: read such cases without the AI first.",
            percent=True,
            cases=int((view.signed["nuclei"] > 0).sum()),  # one with two flags is in two bars
        )
    for place, what in zip(st.columns(2, gap="medium"), figures.COUNTS[:2], strict=True):
        with place:
            _differences(view, what)
    left, right = st.columns(2, gap="medium")
    with left:
        _differences(view, figures.COUNTS[2])
    with right:
        _kappas(view, only_ai=True)


def _differences(view: _View, what: str) -> None:
    ai, final, found = figures.readings(view.signed, what)
    key = f"lab_ba_{figures.COUNTS.index(what)}"
    mean, difference = (ai + final) / 2, final - ai
    shown = _dots(mean, difference, (found.low, found.high))
    figure = go.Figure(
        go.Scattergl(
            x=mean[shown],
            y=difference[shown],
            mode="markers",
            marker={"size": 5, "color": palette.SKY, "opacity": 0.6},
            text=view.signed["accession"][shown],
            hovertemplate="%{text}<br>mean %{x:.2f}, difference %{y:+.2f}<extra></extra>",
        )
    )
    figure.update_xaxes(title="mean of AI and final", rangemode="nonnegative")
    figure.update_yaxes(title="final minus AI")
    says = "Too few cases for limits."
    if found.bias is not None and found.low is not None and found.high is not None and found.bias_95 is not None:
        for level, dash in ((found.bias, "solid"), (found.low, "dash"), (found.high, "dash")):
            figure.add_hline(level, line={"color": palette.ORANGE, "dash": dash, "width": 1.5})
        says = (
            f"Bias {with_sign(found.bias, 3)} (95 % interval {with_sign(found.bias_95[0], 3)} to "
            f"{with_sign(found.bias_95[1], 3)}); 95 % of the differences between {with_sign(found.low, 2)} and "
            f"{with_sign(found.high, 2)}."
        )
        if len(shown) < found.n:
            says += f" {len(shown)} dots are drawn, all outside the limits among them."
    _show(
        what,
        found.n,
        figure,
        key,
        view.signed,
        says,
        "A bias whose interval leaves out 0 and that grows: the models or the images changed. Dots far out are cases "
        "to look at.",
        lambda trace, point: (
            (str(view.signed["accession"][shown[point]]), shown[point : point + 1]) if trace == 0 else None
        ),
    )


def _dots(
    mean: Floats,
    difference: Floats,
    limits: tuple[float | None, float | None],
) -> Indices:
    """Which points are drawn: all outside the limits, up to the most that can be, and of the others evenly many."""
    known = np.flatnonzero(~np.isnan(mean) & ~np.isnan(difference))
    low, high = limits
    if len(known) <= _MOST_DOTS or low is None or high is None:
        return known
    out = known[(difference[known] < low) | (difference[known] > high)]
    out = out[np.argsort(-np.abs(difference[out]), kind="stable")[:_MOST_DOTS]]
    rest = np.setdiff1d(known, out)
    step = max(1, len(rest) // max(1, _MOST_DOTS - len(out)))
    return np.sort(np.concatenate((out, rest[::step] if len(out) < _MOST_DOTS else rest[:0])))


# --- images and lots --------------------------------------------------------------------------------------------------


def _images(view: _View) -> None:
    labels = {limit.measure: limit.label for limit in LIMITS}
    measure = str(
        st.selectbox(
            "Measure",
            QUALITY,
            format_func=lambda name: labels.get(name, name),
            key="lab_measure",
            width=420,
            index=QUALITY.index("her2_signal_to_noise"),
            persist_state="session",
        )
    )
    limit = next((limit for limit in LIMITS if limit.measure == measure), None)
    bound = None if limit is None else limit.at_least if limit.at_least is not None else limit.at_most
    left, right = st.columns(2, gap="medium")
    with left:
        found = figures.drift(view.signed, measure)
        _control(
            "Over time",
            found.n,
            found.periods,
            [p.members for p in found.periods],
            found.chart,
            "lab_drift",
            view,
            f"Mean of the signed cases by {_unit(found.periods)}; dotted: the limit of a single region.",
            "Look at stain, lamp and exposure of that time; run the control slide on the microscope.",
            bound=bound,
            axis=labels.get(measure, measure),
        )
    with right:
        _lots(view, measure, bound, labels.get(measure, measure))
    left, right = st.columns(2, gap="medium")
    with left:
        _counted(
            "Done again",
            figures.repeated(view.signed, view.every),
            "lab_repeats",
            view.signed,
            "In percent of the signed cases.",
            "A rise: see the reasons beside, and the lot.",
            percent=True,
        )
    with right:
        _counted(
            "Why regions were not used",
            figures.reasons(view.signed, "region_reasons"),
            "lab_unsuitable",
            view.signed,
            "Cases with such a region. Those with a field taken twice are told beside.",
            "A leading reason: change how regions are taken or stained.",
        )


def _lots(view: _View, measure: str, bound: float | None, axis: str) -> None:
    found = figures.lots(view.signed, measure)
    names = [lot.name for lot in found]
    figure = go.Figure()
    for wanted, label, colour, symbol in (
        (False, "as before", palette.SKY, "circle"),
        (True, "another level", palette.VERMILION, "diamond"),
    ):
        chosen = [lot for lot in found if lot.shift.shifted is wanted]
        figure.add_scatter(
            x=[lot.name for lot in chosen],
            y=[lot.shift.mean for lot in chosen],
            mode="markers",
            name=label,
            marker={"color": colour, "symbol": symbol, "size": 10},
            customdata=[[lot.shift.n, lot.first.isoformat(), _shift_words(lot.shift.in_sd)] for lot in chosen],
            hovertemplate="%{x}: %{y:.2f}, n = %{customdata[0]}<br>%{customdata[2]}<extra></extra>",
        )
    if bound is not None:
        figure.add_hline(bound, line={"color": palette.GREY, "dash": "dot", "width": 1.2})
    figure.update_xaxes(title="probe lot", type="category", categoryorder="array", categoryarray=names)
    figure.update_yaxes(title=_broken_up(axis))
    by_name = {lot.name: lot for lot in found}
    split = [[lot for lot in found if lot.shift.shifted is wanted] for wanted in (False, True)]
    _show(
        "By probe lot, in the order of first use",
        sum(lot.shift.n for lot in found),
        figure,
        "lab_lots",
        view.signed,
        "Marked: over half a standard deviation of cases from all lots before, and beyond three standard errors.",
        "Hold the lot, repeat its controls, compare with the lot before; re-read the cases signed with it.",
        lambda trace, point: (
            (split[trace][point].name, by_name[split[trace][point].name].members)
            if trace < 2 and point < len(split[trace])
            else None
        ),
        marked={"◆ Another level": [f"{lot.name} ({_shift_words(lot.shift.in_sd)})" for lot in split[1]]},
        legend=True,
    )


def _shift_words(in_sd: float | None) -> str:
    return "not compared" if in_sd is None else f"{with_sign(in_sd, 1)} standard deviations"


# --- observers --------------------------------------------------------------------------------------------------------


def _observers(view: _View) -> None:
    left, right = st.columns(2, gap="medium")
    with left:
        _kappas(view, only_ai=False)
    with right:
        ids = sorted({int(r) for r in view.signed["reader"]})
        names = [view.people.get(i, "?") for i in ids]
        positive = [
            Counted(
                name,
                np.flatnonzero((view.signed["reader"] == i) & (view.signed["outcome"] == "positive")),
                int(((view.signed["reader"] == i) & np.isin(view.signed["outcome"], ("positive", "negative"))).sum()),
            )
            for i, name in zip(ids, names, strict=True)
        ]
        _counted(
            "Positive, by pathologist",
            positive,
            "lab_reader_positive",
            view.signed,
            "In percent of the positive and negative cases each signed; lines are 95 % intervals.",
            "Intervals that do not meet: compare the mix of cases first, then read a set together.",
            percent=True,
        )
        moved = [
            Counted(
                name,
                np.flatnonzero((view.signed["reader"] == i) & (view.signed["moved"] == 1)),
                int(((view.signed["reader"] == i) & (view.signed["nuclei"] > 0)).sum()),
            )
            for i, name in zip(ids, names, strict=True)
        ]
        _counted(
            "Group moved by corrections, by pathologist",
            moved,
            "lab_reader_moved",
            view.signed,
            "How often each pathologist's corrections moved the group.",
            "None at all over many cases: is the AI's count still looked at?",
            percent=True,
        )


def _kappas(view: _View, *, only_ai: bool) -> None:
    found = figures.agreement(view.signed, lambda i: view.people.get(i, "?"))
    wanted = {name: pair for name, pair in found.items() if not only_ai or name == "AI and final"}
    names = [name for name, (k, _) in wanted.items() if k.value is not None]
    alike = [f"{name} (n = {k.n})" for name, (k, _) in wanted.items() if k.n and k.value is None]
    figure = go.Figure()
    for name in names:
        k, _ = wanted[name]
        if k.value is None or k.interval is None:
            continue
        figure.add_scatter(
            x=[k.value],
            y=[f"{name} (n = {k.n})"],
            mode="markers+text",
            text=[f"{k.value:.2f}"],
            textposition="top center",
            marker={"color": palette.SKY, "size": 10},
            error_x={
                "type": "data",
                "symmetric": False,
                "array": [k.interval[1] - k.value],
                "arrayminus": [k.value - k.interval[0]],
                "color": palette.SKY,
            },
            hovertemplate=f"{name}: {kappa_words(k.value)}, {k.equal} of {k.n} equal<extra></extra>",
        )
    low = min((k.interval[0] for k, _ in wanted.values() if k.interval is not None), default=0.0)
    figure.update_xaxes(title="kappa of the groups, with 95 % interval", range=[min(0.0, low) - 0.05, 1.05])
    figure.update_yaxes(autorange="reversed")
    _show(
        "Agreement on the group",
        max((k.n for k, _ in wanted.values()), default=0),
        figure,
        f"lab_kappa_{int(only_ai)}",
        view.signed,
        "Groups of the AI's and the corrected counts"
        + ("." if only_ai else "; first reader and blinded recount, all and by pair; n: cases that both counted.")
        + (f" Without kappa, since all were in one group: {'; '.join(alike)}." if alike else ""),
        "Below 0.8, or falling: read the differing cases together; select a point for them.",
        lambda trace, _: (f"different groups: {names[trace]}", wanted[names[trace]][1]),
        height=_CHART_PX if only_ai else _CHART_PX + 22 * len(names),
    )


# --- how charts are drawn ---------------------------------------------------------------------------------------------


def _tallied(title: str, found: Tallied, key: str, view: _View, says: str, todo: str) -> None:
    n = sum(point.n for point in found.chart.points)
    _control(title, n, found.periods, found.hits, found.chart, key, view, says, todo, unit="%", axis="%")


def _control(
    title: str,
    n: int,
    found: Sequence[Period],
    members: Sequence[Indices],
    chart: Control,
    key: str,
    view: _View,
    says: str,
    todo: str,
    *,
    axis: str,
    unit: str = "",
    bound: float | None = None,
) -> None:
    """A control chart: points, centre, limits; what lies beyond the limits, and what breaks a run rule within them,
    each in a shape and colour of its own; hollow what is not complete."""
    days = [p.start for p in found]
    figure = go.Figure()
    if chart.centre is not None:
        for low in (False, True):
            figure.add_scatter(
                x=days,
                y=[p.low if low else p.high for p in chart.points],
                mode="lines",
                hoverinfo="skip",
                line={"color": palette.ORANGE, "width": 1, "dash": "dash", "shape": "hvh"},
            )
        figure.add_hline(chart.centre, line={"color": palette.ORANGE, "width": 1})
    if bound is not None:
        figure.add_hline(bound, line={"color": palette.GREY, "dash": "dot", "width": 1.2})
    marks = [_mark(point, partial) for point, partial in zip(chart.points, view.partial(found), strict=True)]
    figure.add_scatter(
        x=days,
        y=[p.value for p in chart.points],
        mode="lines+markers",
        cliponaxis=False,  # points at 0 and 100 % are whole
        line={"color": palette.SKY, "width": 1.4},
        marker={
            "color": [colour for colour, _, _ in marks],
            "size": [size for _, size, _ in marks],
            "symbol": [symbol for _, _, symbol in marks],
        },
        customdata=[[p.n, "; ".join(RULES[r] for r in p.broken)] for p in chart.points],
        hovertemplate="%{x|%d %b %Y}: %{y:.2f} " + unit + "<br>n = %{customdata[0]}<br>%{customdata[1]}<extra></extra>",
    )
    figure.update_yaxes(title=_broken_up(axis))
    if unit == "%":
        highs = [p.high for p in chart.points] if chart.centre is not None else []
        figure.update_yaxes(**axes.of_percent([*highs, *(p.value for p in chart.points)]))
    if chart.baseline:
        says += f" Centre and limits from the first {chart.baseline} of {len(found)} points."
    else:
        says += " Limits need 8 points."
    says += _partly(view, found, "Hollow")
    at = 2 if chart.centre is not None else 0
    _show(
        title,
        n,
        figure,
        key,
        view.signed,
        says,
        todo,
        lambda trace, point: (_named(view, found, point), members[point]) if trace == at else None,
        marked={
            "◆ Out of limits": [f"{_named(view, found, i)} ({RULES[OUT_OF_LIMITS]})" for i in chart.beyond],
            "▲ Run or drift within the limits": [
                f"{_named(view, found, i)} ({RULES[chart.points[i].broken[0]]})" for i in chart.runs
            ],
        },
    )


def _mark(point: ChartPoint, partial: bool) -> tuple[str, int, str]:
    """Colour, size and symbol of a point on a control chart."""
    colour, size, symbol = palette.SKY, 7, "circle"
    if point.out_of_limits:
        colour, size, symbol = palette.VERMILION, 10, "diamond"
    elif point.in_a_run:
        colour, size, symbol = palette.ORANGE, 10, "triangle-up"
    return colour, size, f"{symbol}-open" if partial else symbol


def _broken_up(title: str) -> str:
    """A long title of an upright axis on two lines, the second from a bracket or the middle on."""
    if len(title) <= _LONGEST_TITLE:
        return title
    head, bracket, tail = title.partition(" (")
    if bracket:
        return f"{head}<br>({tail}"
    words = title.split()
    return f"{' '.join(words[: len(words) // 2])}<br>{' '.join(words[len(words) // 2 :])}"


def _counted(
    title: str,
    counted: Sequence[Counted],
    key: str,
    lines: Lines,
    says: str,
    todo: str,
    *,
    percent: bool = False,
    cases: int | None = None,
) -> None:
    """Bars of counts, or of shares with their intervals. cases: how many there are, where bars share some."""
    names = [c.name for c in counted]
    if percent:
        values = [c.share.percent or 0.0 for c in counted]
        figure = go.Figure(
            go.Bar(
                y=names,
                x=values,
                orientation="h",
                marker={"color": palette.SKY},
                error_x={
                    "type": "data",
                    "symmetric": False,
                    "color": palette.ORANGE,
                    "array": [c.share.interval[1] - v if c.of else 0 for c, v in zip(counted, values, strict=True)],
                    "arrayminus": [
                        v - c.share.interval[0] if c.of else 0 for c, v in zip(counted, values, strict=True)
                    ],
                },
                customdata=[_of(c.share) for c in counted],
                hovertemplate="%{y}: %{x:.1f} % (%{customdata})<extra></extra>",
            )
        )
        ends = [c.share.interval[1] for c in counted if c.of]
        figure.update_xaxes(title="%", **axes.of_percent([*ends, *values]))
    else:
        figure = _bars(names, [len(c.members) for c in counted], horizontal=True)
        figure.update_xaxes(title="cases")
    figure.update_yaxes(autorange="reversed")
    n = max((c.of for c in counted), default=0) if not percent else sum(c.of for c in counted)
    if percent and len({c.of for c in counted}) == 1:
        n = counted[0].of
    _show(
        title,
        (n if cases is None else cases) if counted else 0,
        figure,
        key,
        lines,
        says,
        todo,
        lambda _, point: (counted[point].name, counted[point].members),
        height=max(_CHART_PX, 40 + 26 * len(names)),
    )


def _bars(labels: Sequence[str], values: Sequence[int], *, horizontal: bool = False) -> go.Figure:
    across, along = (list(values), list(labels)) if horizontal else (list(labels), list(values))
    figure = go.Figure(
        go.Bar(
            x=across,
            y=along,
            orientation="h" if horizontal else "v",
            text=[str(value) for value in values],
            textposition="outside",
            cliponaxis=False,
            marker={"color": palette.SKY},
            hovertemplate="%{y}: %{x}<extra></extra>" if horizontal else "%{x}: %{y}<extra></extra>",
        )
    )
    axis = axes.of_cases(values)
    return figure.update_xaxes(**axis) if horizontal else figure.update_yaxes(**axis)


def _dates(figure: go.Figure) -> list[date]:
    return sorted({x for trace in figure.data for x in (() if trace.x is None else trace.x) if isinstance(x, date)})


def _show(
    title: str,
    n: int,
    figure: go.Figure,
    key: str,
    lines: Lines,
    says: str,
    todo: str,
    behind: Behind | None,
    *,
    marked: Mapping[str, Sequence[str]] | None = None,
    legend: bool = False,
    height: int = _CHART_PX,
) -> None:
    """A chart under its title, what it says and what to do; a selected point leads to its cases. `marked`: points under
    the name of their mark, oldest first; the latest are named."""
    number = f"{n:,}".replace(",", "\u202f")  # a narrow space between thousands
    st.markdown(f"**{title}** (n = {number})")
    if n == 0 or not any(trace.x is not None and len(trace.x) for trace in figure.data):
        st.caption("Too few cases to say anything." if n else "Nothing in this period.")
        return
    figure.update_layout(
        height=height,
        margin={"l": 4, "r": 28, "t": 20, "b": 4},
        bargap=0.25,
        showlegend=legend,
        legend={"orientation": "h", "y": 1.14, "x": 0},
        clickmode="event+select",
        dragmode=False,
    )
    figure.update_xaxes(automargin=True, fixedrange=True)
    if days := _dates(figure):
        figure.update_xaxes(**axes.of_dates(days))
    figure.update_yaxes(automargin=True, fixedrange=True)
    event = st.plotly_chart(
        figure,
        key=key,
        config=_CONFIG,
        width="stretch",
        alt=title,
        on_select="rerun" if behind is not None else "ignore",
        selection_mode="points",
    )
    for mark, names in (marked or {}).items():
        if names:
            shown = "; ".join(names[:-4:-1]) + (f"; and {len(names) - 3} earlier" if len(names) > 3 else "")
            st.markdown(f":orange[**{mark}**] {plain(shown)}")
    st.caption(f"{says} {todo}")
    if behind is not None:
        _selected(event, key, lines, behind)


def _selected(event: object, key: str, lines: Lines, behind: Behind) -> None:
    selection = event.get("selection") if isinstance(event, Mapping) else None
    points = selection.get("points", []) if isinstance(selection, Mapping) else []
    for point in points[:1]:
        trace, index = int(point.get("curve_number", 0)), int(point.get("point_index", point.get("point_number", 0)))
        found = behind(trace, index)
        if found is not None:
            _lead(key, found[0], lines, found[1])


def _lead(key: str, name: str, lines: Lines, members: Indices) -> None:
    """A button that opens the cases in the case log."""
    number = len(members)
    label = f"{name}: {number} case{'s' if number != 1 else ''} in the case log"
    if st.button(label, key=f"{key}_cases", icon=":material/folder_open:", disabled=number == 0):
        show_cases(name, lines.ids(members))
