"""Work-up and sign-out: where the case stands, what is still open, what the report will say, and the signature."""

from __future__ import annotations

from dataclasses import replace

import streamlit as st

from her2core import workflow
from her2core.caselog import ReportRecord, StatementKind
from her2core.errors import Her2CoreError
from her2core.records import User
from her2core.scoring import Outcome, PopulationAssessment, RejectionReason, group
from her2core.ui import population as population_panel
from her2core.ui.blinding import stays_blind
from her2core.ui.details import IHC_WORDS
from her2core.ui.documents import show_pdf
from her2core.ui.result import RESULT_STYLE, result_html
from her2core.ui.services import Services
from her2core.ui.session import flash, saved
from her2core.ui.words import local_time, plain
from her2core.workflow import MEANING, CaseReview

__all__ = ["draw"]

_FITS, _DISCORDANT = "fits the histology", "discordant"
_PREVIEW_PX = 570


def draw(rooms: Services, user: User, case_id: int) -> None:
    """The page."""
    if stays_blind(rooms, user, case_id):
        return
    review = workflow.assess(rooms.log, case_id)
    assessment = review.assessment
    if assessment is None:
        lines = "\n".join(f"- {plain(line)}" for line in review.obstacles)
        st.info(f"**Nothing to sign yet**\n{lines}", icon=":material/list_alt:")
        if st.button("Go to intake", type="primary", key="to_intake"):
            st.switch_page("pages/intake.py")
        return
    st.html(RESULT_STYLE)
    _head(rooms, user, review)
    state, work_up, preview = st.columns([1.02, 1.05, 1.15], gap="medium")
    with state:
        _where_it_stands(review)
    with work_up, st.container(height=_PREVIEW_PX + 40, border=False):
        _work_up(rooms, user, review)
    with preview:
        _preview(rooms, user, review)


# --- the line with the signature --------------------------------------------------------------------------------------


def _head(rooms: Services, user: User, review: CaseReview) -> None:
    left, right = st.columns([4, 1], vertical_alignment="center")
    left.header(plain(review.assessment.headline) if review.assessment else "", anchor=False)
    if not review.editable:
        if right.button("Amend", icon=":material/edit_document:", key="amend", width="stretch"):
            _amend_dialog(rooms, user, review)
        return
    if review.amendment is not None:
        left.caption(f"Amendment open: {plain(review.amendment.reason)}")
        left.button(
            "Withdraw the amendment", key="withdraw", type="tertiary", icon=":material/undo:", on_click=saved,
            args=(workflow.withdraw_amendment, rooms.log, review.case.id, user),
            kwargs={"done": "Amendment withdrawn; the signed report stands."},
            help="Possible while nothing was changed.",
        )  # fmt: skip
    if not rooms.keyring.has_key(user):
        st.warning(
            "You have no signing key yet. An administrator issues it under Administration; you type your password.",
            icon=":material/key_off:",
        )
        return
    label = "Sign amended report" if review.amendment is not None else "Sign report"
    if right.button(
        label, type="primary", icon=":material/signature:", key="sign", width="stretch", disabled=bool(review.obstacles)
    ):
        _sign_dialog(rooms, user, review)


@st.dialog("Sign the report", width="medium")
def _sign_dialog(rooms: Services, user: User, review: CaseReview) -> None:
    assessment, details = review.assessment, review.case.details
    st.markdown(f"**{plain(assessment.headline if assessment else '')}**")
    st.markdown(
        f"{plain(details.patient_name)} · ID {plain(details.patient_id)} · {plain(details.accession)} · block "
        f"{plain(details.block or '–')}"
    )
    st.markdown(f"My signature means: *{plain(MEANING)}*")
    with st.form("sign_form", border=False):
        password = st.text_input(
            f"Password of {user.full_name}", type="password", key="sign_again", autocomplete="current-password"
        )
        pressed = st.form_submit_button("Sign", type="primary", icon=":material/signature:", key="sign_now")
    if not pressed:
        return
    try:
        with st.spinner("Signing"):
            report = workflow.sign_out(
                rooms.log, rooms.keyring, rooms.accounts, review.case.id, review.case.version, user, password or ""
            )
    except Her2CoreError as error:
        st.error(str(error), icon=":material/error:")
        return
    flash("success", f"Signed: report {workflow.report_number(report.case_id)}, version {report.version}.")
    st.rerun()


@st.dialog("Amend the signed report", width="medium")
def _amend_dialog(rooms: Services, user: User, review: CaseReview) -> None:
    st.markdown(
        "The signed report stays as it is. Your changes lead to a new version that names the old one and says why it "
        "was changed, and what."
    )
    with st.form("amend_form", border=False):
        reason = st.text_area("Reason for the amendment", key="amend_reason", max_chars=1000)
        pressed = st.form_submit_button("Open amendment", type="primary", key="amend_now")
    if not pressed:
        return
    try:
        workflow.amend(rooms.log, review.case.id, reason or "", review.case.version, user)
    except Her2CoreError as error:
        st.error(str(error), icon=":material/error:")
        return
    flash("success", "Amendment open. Make your changes, confirm the review, then sign.")
    st.rerun()


# --- where it stands --------------------------------------------------------------------------------------------------


def _where_it_stands(review: CaseReview) -> None:
    assessment = review.assessment
    if assessment is None:
        return
    if review.obstacles and review.editable:
        lines = "\n".join(f"{index}. {plain(line)}" for index, line in enumerate(review.obstacles, start=1))
        st.warning(f"**Still open**\n\n{lines}", icon=":material/pending_actions:")
    elif review.editable:
        st.success("**Nothing is open: the report can be signed.**", icon=":material/check:")
    several = len(assessment.populations) > 1
    for population in assessment.populations:
        st.html(result_html(population, review.ai.get(population.label), several=several))
        with st.expander(
            f"How the result was reached{f' ({population.label})' if several else ''}", expanded=not review.obstacles
        ):
            st.markdown("\n".join(f"{i}. {plain(step)}" for i, step in enumerate(population.path, start=1)))
    population_panel.show(review)
    changed = sum(n.changed for r in review.regions for n in r.nuclei)
    total = sum(len(r.nuclei) for r in review.regions)
    st.caption(f"{changed} of {total} nuclei differ from what the AI said. Rule set {assessment.rule_set}.")


# --- work-up ----------------------------------------------------------------------------------------------------------


def _work_up(rooms: Services, user: User, review: CaseReview) -> None:
    _ihc(rooms, user, review)
    _adjudication(rooms, user, review)
    _attestation(rooms, user, review)
    _warnings(rooms, user, review)
    _comments(rooms, user, review)
    _indeterminate(rooms, user, review)


def _ihc(rooms: Services, user: User, review: CaseReview) -> None:
    case, details = review.case, review.case.details
    st.markdown("**Immunohistochemistry**")
    with st.form(f"ihc_{case.version}", border=False):
        one, two, three = st.columns([1, 1.3, 0.8], vertical_alignment="bottom")
        ihc = one.selectbox(
            "HER2 IHC score", list(IHC_WORDS), index=list(IHC_WORDS).index(details.ihc),
            format_func=IHC_WORDS.__getitem__, key=f"ihc_score_{case.version}", disabled=not review.editable,
        )  # fmt: skip
        same = two.toggle(
            "on the same sample", bool(details.ihc_same_sample), key=f"ihc_same_{case.version}",
            disabled=not review.editable,
            help="Groups 2 to 4 are decided with IHC of the tissue sample that FISH was done on.",
        )  # fmt: skip
        if three.form_submit_button("Save", key="ihc_save", width="stretch", disabled=not review.editable):
            changed = replace(details, ihc=ihc, ihc_same_sample=None if ihc is None else same)
            saved(workflow.set_details, rooms.log, case.id, changed, case.version, user, done="IHC saved.")
            st.rerun()


def _attestation(rooms: Services, user: User, review: CaseReview) -> None:
    statement = review.statement(StatementKind.NO_DISCORDANCE)
    present = None if statement is None else (_FITS if statement.value["value"] else _DISCORDANT)
    key = f"attest_{review.case.version}"

    def attested() -> None:
        value = st.session_state[key]
        if value is not None:
            saved(workflow.attest, rooms.log, review.case.id, user, value == _FITS)

    st.segmented_control(
        "**The FISH result and the histology**", [_FITS, _DISCORDANT], default=present, key=key, on_change=attested,
        disabled=not review.editable,
        help="The result holds only where there is no apparent histopathologic discordance.",
    )  # fmt: skip


def _warnings(rooms: Services, user: User, review: CaseReview) -> None:
    if not review.warnings:
        return
    st.markdown(f"**Warnings ({len(review.warnings)})**")
    for warning in review.warnings:
        left, right = st.columns([3.1, 1], vertical_alignment="center")
        if warning.acknowledged:
            left.caption(f":material/check: {plain(warning.text)}")
            right.caption("acknowledged")
        else:
            left.markdown(f":orange[:material/warning:] {plain(warning.text)}")
            right.button(
                "Acknowledge", key=f"warning_{warning.key}", width="stretch", disabled=not review.editable,
                on_click=saved, args=(workflow.acknowledge, rooms.log, review.case.id, warning, user),
            )  # fmt: skip


def _comments(rooms: Services, user: User, review: CaseReview) -> None:
    for label, letter, text in review.assessment.comments if review.assessment else ():
        statement = review.statement(StatementKind.COMMENT, label)
        present = statement.value["text"] if statement is not None and statement.value["text"] else text
        with st.form(f"comment_{label}_{review.case.version}", border=False):
            wording = st.text_area(
                f"**Comment {letter} on the report** (population {label})", present, height=150,
                disabled=not review.editable,
            )  # fmt: skip
            if st.form_submit_button("Save comment", disabled=not review.editable):
                saved(
                    workflow.set_comment, rooms.log, review.case.id, label, wording or "", user, done="Comment saved."
                )
                st.rerun()


def _indeterminate(rooms: Services, user: User, review: CaseReview) -> None:
    statement = review.statement(StatementKind.INDETERMINATE)
    present = list(statement.value["reasons"]) if statement is not None else []
    known = [reason.value for reason in RejectionReason]
    with (
        st.expander("The test cannot give a result (indeterminate)", expanded=bool(present)),
        st.form(f"indeterminate_{review.case.version}", border=False),
    ):
        reasons = st.multiselect(
            "Reasons", [*known, *(r for r in present if r not in known)], default=present, accept_new_options=True,
            disabled=not review.editable, placeholder="Choose or type reasons", key=f"reasons_{review.case.version}",
        )  # fmt: skip
        if st.form_submit_button("Save reasons", disabled=not review.editable, key="indeterminate_save"):
            saved(workflow.set_indeterminate, rooms.log, review.case.id, tuple(reasons), user, done="Reasons saved.")
            st.rerun()


def _adjudication(rooms: Services, user: User, review: CaseReview) -> None:
    for population in review.assessment.populations if review.assessment else ():
        if population.recount is not None:
            _two_counts(rooms, population)
        if population.outcome is Outcome.PENDING_ADJUDICATION:
            _adjudicate(rooms, user, review, population)


def _two_counts(rooms: Services, population: PopulationAssessment) -> None:
    recount = population.recount
    if recount is None:
        return
    observer = rooms.log.user(recount.observer_id).full_name
    first, second = population.tally, recount.tally
    st.markdown(
        f"**Recount of population {plain(population.label)}** by {plain(observer)}: "
        f"{second.her2} HER2 and {second.cep17} CEP17 in {second.n} nuclei, Group {group(second) or '–'}; first count "
        f"{first.her2} and {first.cep17} in {first.n}, Group {population.provisional_group or '–'}."
    )


def _adjudicate(rooms: Services, user: User, review: CaseReview, population: PopulationAssessment) -> None:
    with st.form(f"adjudicate_{population.label}_{review.case.version}"):
        st.markdown("**Adjudication**: the two counts fall into different groups.")
        one, two = st.columns(2)
        category = one.selectbox("Final category", [Outcome.NEGATIVE, Outcome.POSITIVE], format_func=lambda o: o.value)
        groups = [g for g in (population.provisional_group, population.recount_group) if g is not None]
        called = two.selectbox("Group held to be right", list(dict.fromkeys([*groups, 1, 2, 3, 4, 5])))
        reason = st.text_area("Reason (becomes part of the report)", height=70)
        if st.form_submit_button("Save adjudication", type="primary", disabled=not review.editable):
            saved(
                workflow.adjudicate, rooms.log, review.case.id, population.label, category, called, reason or "", user,
                done="Adjudication saved.",
            )  # fmt: skip
            st.rerun()


# --- what the report says ---------------------------------------------------------------------------------------------


def _preview(rooms: Services, user: User, review: CaseReview) -> None:
    reports = rooms.log.reports(review.case.id)
    if not review.editable and reports:
        _signed_report(rooms, user, reports[-1])
        return
    draft = bool(review.obstacles)
    st.caption("Preview" + (": preliminary, because something is still open" if draft else " of what you sign"))
    try:
        pdf = _rendered(review.case.id, review.case.version, user.id, rooms, user)
    except Her2CoreError as error:
        st.error(str(error), icon=":material/error:")
        return
    show_pdf(pdf, _PREVIEW_PX)


def _signed_report(rooms: Services, user: User, report: ReportRecord) -> None:
    try:
        pdf = rooms.log.report_pdf(report.id)
        verdict = workflow.verify(rooms.log, rooms.keyring, pdf)
    except Her2CoreError as error:
        st.error(str(error), icon=":material/error:")
        return
    signer = rooms.log.user(report.signed_by)
    left, right = st.columns([2.2, 1], vertical_alignment="center")
    left.caption(
        f"{report.kind.value.capitalize()} report, version {report.version}, signed by {plain(signer.full_name)} on "
        f"{local_time(report.signed_at)}. " + ("Signature valid." if verdict.ok else "**Signature not valid.**")
    )
    right.download_button(
        "Download", pdf, f"{workflow.report_number(report.case_id)}-v{report.version}.pdf", "application/pdf",
        icon=":material/download:", key=f"download_{report.id}", width="stretch", on_click=rooms.log.note,
        args=("report downloaded", user, report.case_id, {"report_id": report.id}),
    )  # fmt: skip
    show_pdf(pdf, _PREVIEW_PX)


@st.cache_data(show_spinner="Preparing the preview", max_entries=8)
def _rendered(case_id: int, version: int, user_id: int, _rooms: Services, _user: User) -> bytes:
    del version, user_id
    return workflow.preview(
        _rooms.log,
        case_id,
        workflow.laboratory_of(_rooms.settings),
        _user,
        demonstration=_rooms.settings.demo,
    )
