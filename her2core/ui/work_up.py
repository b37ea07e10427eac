"""The work-up on the page: the steps done, the one to take now with its controls, and those ahead."""

from __future__ import annotations

from collections.abc import Callable, Iterable, Sequence
from dataclasses import replace

import streamlit as st

from her2core import workflow
from her2core.caselog import StatementKind
from her2core.records import User
from her2core.scoring import (
    Outcome,
    PopulationAssessment,
    RejectionReason,
    copy_number,
    group,
    ratio,
)
from her2core.scoring.progress import CaseFacts, Step, StepKind, StepState, work_up_steps
from her2core.ui.acknowledging import acknowledge_button
from her2core.ui.details import IHC_WORDS
from her2core.ui.services import Services
from her2core.ui.session import flash, saved
from her2core.ui.words import escaped, local_time, number, plain
from her2core.workflow import CaseReview, CaseWarning, ReportComment

__all__ = ["WORK_UP_STYLE", "draw", "facts_of", "indeterminate", "step_html"]

WORK_UP_STYLE = """<style>
.h2c-step {display: grid; grid-template-columns: 22px 1fr; column-gap: 8px; font-size: 13.5px; line-height: 1.4;
  padding: 1.5px 0;}
.st-key-work_up {gap: 0.3rem;}
.h2c-step .mark {width: 20px; height: 20px; line-height: 18px; text-align: center; border-radius: 50%; font-size: 12px;
  font-weight: 700; border: 1.5px solid currentColor; box-sizing: border-box;}
.h2c-step.done .mark {color: #009E73;} .h2c-step.failed .mark {color: #D55E00; border-radius: 3px;}
.h2c-step.now .mark {color: #14181d; background: #E69F00; border-color: #E69F00; border-radius: 3px;}
.h2c-step.ahead .mark {border-style: dashed; opacity: .6;}
.h2c-step.none .mark {border-color: transparent; opacity: .6;}
.h2c-step.ahead, .h2c-step.none {opacity: .72;}
.h2c-step b {font-weight: 600;} .h2c-step .says {opacity: .85;}
.h2c-step .todo {margin-top: 3px;} .h2c-step .who {font-size: 12.5px; opacity: .85;}
[class*="st-key-step_"] {padding-left: 30px;} [class*="st-key-step_"] p {font-size: 13.5px;}
[class*="st-key-step_warnings"] {gap: 0.2rem;} [class*="st-key-step_warnings"] p {font-size: 12.5px; line-height: 1.3;}
[class*="st-key-step_warnings"] button {min-height: 30px; padding: 2px 8px;}
[class*="st-key-step_warnings"] summary {min-height: 0; padding: 2px 10px; font-size: 12.5px;}
.h2c-pop-head {font-size: 12.5px; font-weight: 600; opacity: .7; margin: 4px 0 0 30px;}
.h2c-two {width: 100%; border-collapse: collapse; font-size: 13px; font-variant-numeric: tabular-nums;}
.h2c-two th, .h2c-two td {text-align: right; padding: 1.5px 0 1.5px 8px; font-weight: 500;}
.h2c-two th:first-child, .h2c-two td:first-child {text-align: left; padding-left: 0;}
.h2c-two th {opacity: .65; font-size: 12px;}
</style>"""

_FITS, _DISCORDANT = "fits the histology", "discordant"
_SAMPLE = {True: "same sample", False: "another sample"}
_CONTROLS = {True: "as expected", False: "not as expected"}
# State to class of the step, mark and what a screen reader says of it: shape and mark tell it without colour.
_MARKS = {
    StepState.DONE: ("done", "✓", "done"),
    StepState.NOW: ("now", "▶", "now"),
    StepState.AHEAD: ("ahead", "", "ahead"),
    StepState.NOT_NEEDED: ("none", "–", "not needed"),
    StepState.FAILED: ("failed", "!", "not met"),
}


def facts_of(review: CaseReview) -> CaseFacts:
    """What the steps of a case depend on beside its assessment. Once it is signed, only what was read then counts."""
    unread = sum(not w.acknowledged for w in review.warnings)
    return CaseFacts(
        reviewed=review.reviewed,
        controls_ok=review.case.details.controls_ok,
        ihc_same_sample=review.case.details.ihc_same_sample,
        attested=review.attested,
        warnings_open=unread if review.editable else 0,
        warnings=len(review.warnings) if review.editable else len(review.warnings) - unread,
        settled=not review.unsettled,
        signed=not review.editable,
    )


def step_html(step: Step) -> str:
    """One step as HTML: mark, title and what stands; what to do, who and why where something is to be done."""
    css, mark, spoken = _MARKS[step.state]
    todo = ""
    if step.state in (StepState.NOW, StepState.FAILED) and step.action:
        todo = (
            f'<div class="todo">{escaped(step.action)}</div>'
            f'<div class="who"><b>{escaped(step.who)}.</b> {escaped(step.why)}</div>'
        )
    says = f' <span class="says">{escaped(step.says)}</span>' if step.says else ""
    return (
        f'<div class="h2c-step {css}"><span class="mark" role="img" aria-label="{spoken}">{mark}</span>'
        f"<div><b>{escaped(step.kind.value)}</b>{says}{todo}</div></div>"
    )


def draw(rooms: Services, user: User, review: CaseReview) -> None:
    """The steps, each with the controls that belong to it."""
    if review.assessment is None:
        return
    st.html(WORK_UP_STYLE)
    steps = work_up_steps(review.assessment, facts_of(review))
    several = len(review.assessment.populations) > 1
    pending: list[str] = []
    at = ""
    for step in steps:
        if several and step.population and step.population != at:
            pending.append(f'<div class="h2c-pop-head">Population {escaped(step.population)}</div>')
        at = step.population
        pending.append(step_html(step))
        if _has_controls(review, step):
            st.html("".join(pending))
            pending = []
            with st.container(key=f"step_{step.kind.name.lower()}_{step.population}"):
                _controls(rooms, user, review, step)
    if pending:
        st.html("".join(pending))
    indeterminate(rooms, user, review)


# --- the controls of each step ----------------------------------------------------------------------------------------


def _population(review: CaseReview, label: str) -> PopulationAssessment | None:
    populations = review.assessment.populations if review.assessment is not None else ()
    return next((p for p in populations if p.label == label), None)


def _is_last_ihc(review: CaseReview, step: Step) -> bool:
    """IHC is one score of the case: its controls stand once, under the population that waits for it, else the last."""
    steps = [
        s for s in work_up_steps(review.assessment, facts_of(review)) if s.kind is StepKind.IHC
    ] if review.assessment is not None else []  # fmt: skip
    waiting = [s for s in steps if s.state is StepState.NOW]
    return (waiting or steps)[-1].population == step.population if steps else False


def _has_controls(review: CaseReview, step: Step) -> bool:
    now, population = step.state is StepState.NOW, _population(review, step.population)
    if step.kind is StepKind.REVIEW:
        return now
    if step.kind in (StepKind.CONTROLS, StepKind.SHARES):
        return now and review.editable
    if step.kind is StepKind.NUCLEI:
        return step.state is StepState.FAILED and review.editable
    if step.kind is StepKind.IHC:
        return review.editable and _is_last_ihc(review, step)
    if step.kind is StepKind.RECOUNT:
        return now or (population is not None and population.recount_group is not None)
    if step.kind is StepKind.ADJUDICATION:
        return population is not None and (
            population.outcome is Outcome.PENDING_ADJUDICATION
            or (review.editable and population.adjudication is not None)
        )
    if step.kind is StepKind.RESULT:
        return population is not None and population.comment_letter is not None
    if step.kind is StepKind.WARNINGS:
        return bool(review.warnings)
    return step.kind is StepKind.HISTOLOGY and step.state is not StepState.NOT_NEEDED and review.has_result


def _controls(rooms: Services, user: User, review: CaseReview, step: Step) -> None:
    population = _population(review, step.population)
    if step.kind in (StepKind.REVIEW, StepKind.NUCLEI):
        if st.button("Go to review", key=f"to_review_{step.kind.name}_{step.population}", icon=":material/arrow_back:"):
            st.switch_page("pages/review.py")
    elif step.kind is StepKind.SHARES:
        if st.button("Go to intake", key="to_shares", icon=":material/arrow_back:"):
            st.switch_page("pages/intake.py")
    elif step.kind is StepKind.CONTROLS:
        _hybridised(rooms, user, review)
    elif step.kind is StepKind.IHC:
        _ihc(rooms, user, review, step)
    elif step.kind is StepKind.WARNINGS:
        _warnings(rooms, user, review)
    elif step.kind is StepKind.HISTOLOGY:
        _attestation(rooms, user, review)
    elif population is None:
        return
    elif step.kind is StepKind.RECOUNT:
        _recount(rooms, review, population)
    elif step.kind is StepKind.ADJUDICATION:
        _adjudication(rooms, user, review, population)
    elif step.kind is StepKind.RESULT:
        _comment(rooms, user, review, population)


def _take(
    rooms: Services, user: User, review: CaseReview, step: Callable[..., object], *args: object, done: str = ""
) -> None:
    """Take a step from a callback, unless somebody else changed the case since it was drawn: that is said then.

    All steps are taken in callbacks. They run before the page is drawn anew, so that what was typed over an older state
    of the case is refused in words and never dropped. The keys of the fields change with what they show and with
    nothing else: a click that follows another one quickly still finds its field.
    """

    def act() -> object:
        workflow.check_unchanged(rooms.log, review.case.id, review.case.version, user)
        return step(*args)

    saved(act, done=done)


def _hybridised(rooms: Services, user: User, review: CaseReview) -> None:
    key = "controls_hybridised"

    def given() -> None:
        value = st.session_state[key]
        if value is not None:
            changed = replace(review.case.details, controls_ok=value)
            _take(
                rooms, user, review, workflow.set_details, rooms.log, review.case.id, changed, review.case.version, user
            )

    st.segmented_control(
        "Batch and on-slide controls", list(_CONTROLS), format_func=_CONTROLS.__getitem__, key=key, on_change=given,
        label_visibility="collapsed",
    )  # fmt: skip


def _ihc(rooms: Services, user: User, review: CaseReview, step: Step) -> None:
    if step.state is StepState.NOW:
        _ihc_form(rooms, user, review)
        return
    known = review.case.details.ihc
    with st.popover("Enter IHC" if known is None else "Change IHC", icon=":material/edit:"):
        _ihc_form(rooms, user, review)


def _ihc_form(rooms: Services, user: User, review: CaseReview) -> None:
    case, details = review.case, review.case.details
    shown = f"{details.ihc}_{details.ihc_same_sample}"
    score_key, same_key = f"ihc_score_{shown}", f"ihc_same_{shown}"

    def save() -> None:
        ihc = st.session_state[score_key]
        if ihc is None and details.ihc is None:
            flash("error", "Choose an IHC score first.")
            return
        same = None if ihc is None else st.session_state[same_key]
        changed = replace(details, ihc=ihc, ihc_same_sample=same)
        _take(
            rooms, user, review, workflow.set_details, rooms.log, case.id, changed, case.version, user,
            done="IHC saved.",
        )  # fmt: skip

    with st.form(f"ihc_{shown}", border=False):
        left, right = st.columns([2.6, 0.9], vertical_alignment="center")
        left.selectbox(
            "HER2 IHC score", list(IHC_WORDS), index=list(IHC_WORDS).index(details.ihc),
            format_func=IHC_WORDS.__getitem__, key=score_key, label_visibility="collapsed",
        )  # fmt: skip
        st.segmented_control(
            "IHC on the tissue sample that FISH was done on", list(_SAMPLE), default=details.ihc_same_sample,
            format_func=_SAMPLE.__getitem__, key=same_key, label_visibility="collapsed",
        )  # fmt: skip
        right.form_submit_button("Save", key="ihc_save", width="stretch", on_click=save)


def _recount(rooms: Services, review: CaseReview, population: PopulationAssessment) -> None:
    if population.recount_group is not None:
        st.html(_two_counts(rooms, population))
        return
    able = workflow.who_may_recount(rooms.log, review.case.id)
    if able:
        st.caption(f"Able to: {plain(', '.join(person.full_name for person in able))}.")
    else:
        st.warning(
            "Every pathologist with an account took part in the first count or has seen it. Ask an administrator for "
            "an account for another one.",
            icon=":material/person_off:",
        )
    regions = {r.region.id: population.label for r in review.regions if r.counts and r.population == population.label}
    for begun in workflow.open_recounts(rooms.log, review.case.id, regions):
        name = rooms.log.user(begun.observer_id).full_name
        st.caption(
            f":material/pending: {plain(name)} has counted {begun.nuclei} "
            f"{'nucleus' if begun.nuclei == 1 else 'nuclei'} so far, last on {local_time(begun.last_at)}."
        )


def _two_counts(rooms: Services, population: PopulationAssessment) -> str:
    """First count and recount side by side."""
    if population.recount is None:
        return ""
    second = rooms.log.user(population.recount.observer_id).full_name
    rows = "".join(
        f"<tr><td>{escaped(name)}</td><td>{t.n}</td><td>{t.her2}</td><td>{t.cep17}</td>"
        f"<td>{number(copy_number(t))}</td><td>{number(ratio(t))}</td><td>{group(t) or '–'}</td></tr>"
        for name, t in (("First count", population.tally), (second, population.recount.tally))
    )
    head = "<tr><th></th><th>nuclei</th><th>HER2</th><th>CEP17</th><th>per cell</th><th>ratio</th><th>Group</th></tr>"
    return f'<table class="h2c-two">{head}{rows}</table>'


def _adjudication(rooms: Services, user: User, review: CaseReview, population: PopulationAssessment) -> None:
    if population.adjudication is None:
        _adjudicate(rooms, user, review, population)
        return
    with st.popover("Change the decision", icon=":material/edit:"):
        st.caption("What you save takes the place of the decision; the case log keeps both.")
        _adjudicate(rooms, user, review, population)


def _adjudicate(rooms: Services, user: User, review: CaseReview, population: PopulationAssessment) -> None:
    label, decided = population.label, population.adjudication
    categories = [Outcome.NEGATIVE, Outcome.POSITIVE]
    seen = [g for g in (population.provisional_group, population.recount_group) if g is not None]
    groups = list(dict.fromkeys([*seen, 1, 2, 3, 4, 5]))
    shown = "" if decided is None else f"_{decided.category.value}_{decided.group}_{hash(decided.reason)}"
    category_key, group_key, reason_key = (
        f"adjudicate_{name}_{label}{shown}" for name in ("category", "group", "reason")
    )

    def save() -> None:
        category, called = st.session_state[category_key], st.session_state[group_key]
        if category is None or called is None:
            flash("error", "Choose the final category and the group held to be right.")
            return
        _take(
            rooms, user, review, workflow.adjudicate, rooms.log, review.case.id, label, category, called,
            st.session_state[reason_key] or "", user, done="Adjudication saved.",
        )  # fmt: skip

    with st.form(f"adjudicate_form_{label}", border=decided is None):
        one, two = st.columns(2)
        one.selectbox(
            "Final category", categories, format_func=lambda o: o.value, placeholder="Choose", key=category_key,
            index=None if decided is None else categories.index(decided.category),
        )  # fmt: skip
        two.selectbox(
            "Group held to be right", groups, placeholder="Choose", format_func=lambda g: f"Group {g}", key=group_key,
            index=None if decided is None or decided.group is None else groups.index(decided.group),
        )  # fmt: skip
        st.text_area(
            "Reason (becomes part of the report)", "" if decided is None else decided.reason, height=70, key=reason_key
        )
        st.form_submit_button(
            "Save adjudication", type="primary", disabled=not review.editable, key=f"adjudicate_{label}", on_click=save
        )


def _comment(rooms: Services, user: User, review: CaseReview, population: PopulationAssessment) -> None:
    comment = workflow.report_comment(review, population)
    if comment is None:
        return
    label, letter = population.label, comment.letter
    shown = f"{label}_{letter}_{0 if comment.at is None else comment.at.timestamp()}"
    key = f"comment_text_{shown}"

    def save(*, restore: bool) -> None:
        text = "" if restore else (st.session_state[key] or "")
        _take(
            rooms, user, review, workflow.set_comment, rooms.log, review.case.id, label, letter, text, user,
            done="Comment saved.",
        )  # fmt: skip

    title = f"Comment {letter}, edited" if comment.edited else f"Comment {letter}"
    with st.expander(title, icon=":material/edit_note:", key=f"comment_box_{label}"):
        if comment.edited:
            st.caption(_edited_by(rooms, comment))
        with st.form(f"comment_{shown}", border=False):
            st.text_area(
                f"Comment {letter} as the report prints it", comment.text, height=190, disabled=not review.editable,
                key=key,
            )  # fmt: skip
            with st.container(horizontal=True):
                st.form_submit_button(
                    "Save comment", disabled=not review.editable, key=f"comment_save_{label}", on_click=save,
                    kwargs={"restore": False},
                )  # fmt: skip
                st.form_submit_button(
                    "Laboratory's wording", disabled=not (review.editable and comment.edited),
                    key=f"comment_restore_{label}", on_click=save, kwargs={"restore": True},
                    help="Takes the own wording back.",
                )  # fmt: skip


def _edited_by(rooms: Services, comment: ReportComment) -> str:
    if comment.by_user_id is None or comment.at is None:
        return ""
    return f"Worded by {plain(rooms.log.user(comment.by_user_id).full_name)}, {local_time(comment.at)}."


def _warnings(rooms: Services, user: User, review: CaseReview) -> None:
    unread = [w for w in review.warnings if not w.acknowledged] if review.editable else []
    for warning in unread:
        left, right = st.columns([2.4, 1], vertical_alignment="center")
        left.markdown(f":orange[:material/warning:] {plain(warning.text)}")
        with right:
            acknowledge_button(rooms, user, review, warning, "stretch")
    _acknowledged([w for w in review.warnings if w.acknowledged])


def _acknowledged(warnings: Sequence[CaseWarning]) -> None:
    if not warnings:
        return
    with st.expander(f"{len(warnings)} acknowledged", icon=":material/check:", key="warnings_read"):
        for warning in warnings:
            why = f" **Reason to go on:** {plain(warning.reason)}" if warning.reason else ""
            st.caption(plain(warning.text) + why)


def _attestation(rooms: Services, user: User, review: CaseReview) -> None:
    present = None if review.attested is None else (_FITS if review.attested else _DISCORDANT)
    key = f"attest_{present}"

    def attested() -> None:
        value = st.session_state[key]
        if value is not None:
            _take(rooms, user, review, workflow.attest, rooms.log, review.case.id, user, value == _FITS)

    st.segmented_control(
        "The FISH result and the histology", [_FITS, _DISCORDANT], default=present, key=key, on_change=attested,
        disabled=not review.editable, label_visibility="collapsed",
        help="The result holds only where there is no apparent histopathologic discordance.",
    )  # fmt: skip


def indeterminate(rooms: Services, user: User, review: CaseReview) -> None:
    """The reasons why the test cannot give a result, to choose or to type; of a signed case those that were given."""
    statement = review.statement(StatementKind.INDETERMINATE)
    present = list(statement.value["reasons"]) if statement is not None else []
    if not review.editable:
        if present:
            st.markdown(f"**No result, since:** {plain(' '.join(present))}")
        return
    shown = 0 if statement is None else statement.id
    key = f"reasons_{shown}"

    def save() -> None:
        reasons = tuple(st.session_state[key])
        _take(
            rooms, user, review, workflow.set_indeterminate, rooms.log, review.case.id, reasons, user,
            done="Reasons saved.",
        )  # fmt: skip

    with (
        st.expander("The test cannot give a result (indeterminate)", expanded=bool(present), key="indeterminate_box"),
        st.form(f"indeterminate_{shown}", border=False),
    ):
        st.multiselect(
            "Reasons", _choices(present), default=present, accept_new_options=True,
            placeholder="Choose or type reasons", key=key,
        )  # fmt: skip
        st.form_submit_button("Save reasons", key="indeterminate_save", on_click=save)


def _choices(present: Iterable[str]) -> list[str]:
    known = [reason.value for reason in RejectionReason]
    return [*known, *(reason for reason in present if reason not in known)]
