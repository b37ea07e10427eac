"""Work-up and sign-out: where the case stands, what is still open, what the report will say, and the signature."""

from __future__ import annotations

import streamlit as st

from her2core import workflow
from her2core.caselog import FirstSignature, ReportRecord
from her2core.errors import Her2CoreError
from her2core.records import User
from her2core.reporting.content import ReportContent
from her2core.ui import ai_differences, signatures, work_up
from her2core.ui import population as population_panel
from her2core.ui.blinding import stays_blind
from her2core.ui.changed_details import unsaved
from her2core.ui.documents import show_pdf
from her2core.ui.report_text import REPORT_STYLE, report_html
from her2core.ui.result import RESULT_STYLE, result_html
from her2core.ui.services import Services
from her2core.ui.session import flash, saved
from her2core.ui.words import local_time, plain
from her2core.workflow import CaseReview

__all__ = ["draw"]

_PREVIEW_PX = 540
# The three columns take the height of the screen; each scrolls by itself. The heights given to Streamlit are the least.
_TALL = """<style>
.st-key-work_up, .st-key-report_says, [data-testid="stLayoutWrapper"]:has(> .st-key-work_up),
[data-testid="stLayoutWrapper"]:has(> .st-key-report_says) {height: max(584px, calc(100vh - 184px)) !important;}
.st-key-ai_differences, [data-testid="stLayoutWrapper"]:has(> .st-key-ai_differences)
{height: max(540px, calc(100vh - 228px)) !important;}
.st-key-report_pdf > [data-testid="stLayoutWrapper"],
.st-key-report_pdf > [data-testid="stLayoutWrapper"] > [data-testid="stVerticalBlock"]
{height: max(506px, calc(100vh - 262px)) !important;}
.st-key-signed_pdf > [data-testid="stLayoutWrapper"],
.st-key-signed_pdf > [data-testid="stLayoutWrapper"] > [data-testid="stVerticalBlock"]
{height: max(482px, calc(100vh - 286px)) !important;}
</style>"""
_PDF, _DIFFERENCES = "Report (PDF)", "AI to final"


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
        if review.all_rejected:
            work_up.indeterminate(rooms, user, review)
        return
    st.html(RESULT_STYLE + REPORT_STYLE + _TALL)
    _head(rooms, user, review)
    steps, said, preview = st.columns([1.02, 1.05, 1.15], gap="medium")
    drafted = _drafted(rooms, user, review)
    with steps, st.container(height=_PREVIEW_PX + 44, border=False, key="work_up"):
        _still_open(review)
        work_up.draw(rooms, user, review)
    with said, st.container(height=_PREVIEW_PX + 44, border=False, key="report_says"):
        _what_it_says(review, drafted)
    with preview:
        _preview(rooms, user, review, drafted)


# --- the line with the signature --------------------------------------------------------------------------------------


def _head(rooms: Services, user: User, review: CaseReview) -> None:
    left, right = st.columns([4.6, 1], vertical_alignment="center")
    left.subheader(plain(review.headline), anchor=False)
    if not review.editable:
        if right.button("Amend", icon=":material/edit_document:", key="amend", width="stretch"):
            _amend_dialog(rooms, user, review)
        if right.button("Addendum", icon=":material/note_add:", key="addendum", width="stretch"):
            signatures.add_dialog(rooms, user, review)
        return
    first = rooms.log.first_signature(review.case.id)
    if first is not None:
        signatures.waiting(rooms, user, review, first)
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
    if unsaved(review.case):
        left.caption(
            ":orange[:material/warning: Details changed at Intake are not saved: the report goes without them.]"
        )
    note = signatures.expiry_note(rooms, user)
    if note:
        left.caption(f":material/schedule: {note}")
    label = "Sign amended report" if review.amendment is not None else "Sign report"
    if right.button(
        label, type="primary", icon=":material/signature:", key="sign", width="stretch", disabled=bool(review.obstacles)
    ):
        (signatures.first_dialog if rooms.settings.second_signature else signatures.sign_dialog)(rooms, user, review)


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


# --- what the report says ---------------------------------------------------------------------------------------------

Drafted = tuple[ReportContent, bytes]
"""What the report would say if it were signed now, and its PDF."""


def _drafted(rooms: Services, user: User, review: CaseReview) -> Drafted | None:
    """The report as it stands; None for a signed case, whose report is there already, or where none can be made."""
    if not review.editable:
        return None
    try:
        settings = rooms.settings
        # A warning of the patient's ID depends on other cases, and a name may change: the version stays the same.
        said = tuple((w.text, w.acknowledged, w.reason) for w in review.warnings)
        signer = (user.full_name, user.credentials)
        printed = (workflow.laboratory_of(settings), workflow.assay_of(settings), settings.demo, said, signer)
        return _rendered(review.case.id, review.case.version, user.id, review.state.value, repr(printed), rooms, user)
    except Her2CoreError as error:
        st.error(str(error), icon=":material/error:")
        return None


def _still_open(review: CaseReview) -> None:
    """Over the steps: whether the report can be signed; what no step below says is said here."""
    if not review.editable:
        return
    if not review.obstacles:
        st.markdown(":green[:material/check_circle:] **Nothing is open: the report can be signed.**")
        return
    next_one = "the step marked ▶ comes next."
    if review.to_analyse:
        next_one = plain(review.obstacles[0])
    st.markdown(f":orange[:material/pending_actions:] **Not ready to sign:** {next_one}")


def _what_it_says(review: CaseReview, drafted: Drafted | None) -> None:
    """The result beside what the AI alone said, then everything that the report will say."""
    assessment = review.assessment
    if assessment is None:
        return
    several = len(assessment.populations) > 1
    for population in assessment.populations:
        st.html(result_html(population, review.ai.get(population.label), several=several))
    population_panel.show(review)
    if drafted is not None:
        st.markdown("**What the report will say**")
        st.html(report_html(drafted[0]))
        return
    for population in assessment.populations:
        st.markdown("**How the result was reached**" + (f", population {plain(population.label)}" if several else ""))
        st.markdown("\n".join(f"{i}. {plain(step)}" for i, step in enumerate(population.path, start=1)))


def _preview(rooms: Services, user: User, review: CaseReview, drafted: Drafted | None) -> None:
    changed = sum(line.nuclei_changed for line in workflow.totals_differences(review))
    labels = {_PDF: _PDF, _DIFFERENCES: f"{_DIFFERENCES}: {changed} differ"}
    view = st.segmented_control(
        "Show", list(labels), default=_PDF, required=True, key="sign_out_view", format_func=labels.__getitem__,
        label_visibility="collapsed", persist_state="page",
    )  # fmt: skip
    if view == _DIFFERENCES:
        with st.container(height=_PREVIEW_PX, border=True, key="ai_differences"):
            ai_differences.show(rooms, review)
        return
    reports = rooms.log.reports(review.case.id)
    if not review.editable and reports:
        _signed_report(rooms, user, reports[-1])
        return
    first = rooms.log.first_signature(review.case.id)
    if first is not None:
        _half_signed(rooms, first)
        return
    if drafted is None:
        return
    st.caption("Preliminary, because something is still open" if review.obstacles else "This is what you sign")
    with st.container(key="report_pdf"):
        show_pdf(drafted[1], _PREVIEW_PX - 34)


def _half_signed(rooms: Services, first: FirstSignature) -> None:
    """The very file that waits for its second signature."""
    try:
        pdf = rooms.log.first_signed_pdf(first)
    except Her2CoreError as error:
        st.error(str(error), icon=":material/error:")
        return
    st.caption("Signed once. Not final before the second signature.")
    with st.container(key="report_pdf"):
        show_pdf(pdf, _PREVIEW_PX - 34)


def _signed_report(rooms: Services, user: User, report: ReportRecord) -> None:
    try:
        pdf = rooms.log.report_pdf(report.id)
        verdict = workflow.verify(rooms.log, rooms.keyring, pdf)
    except Her2CoreError as error:
        st.error(str(error), icon=":material/error:")
        return
    signer = workflow.signers_of(rooms.log, report)[0]
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
    with st.container(key="signed_pdf"):
        show_pdf(pdf, _PREVIEW_PX - 58)


@st.cache_data(show_spinner="Preparing the report", max_entries=8)
def _rendered(
    case_id: int, version: int, user_id: int, state: str, printed: str, _rooms: Services, _user: User
) -> Drafted:
    del version, user_id, state, printed  # what the draft depends on
    return workflow.draft_report(
        _rooms.log,
        case_id,
        workflow.laboratory_of(_rooms.settings),
        _user,
        demonstration=_rooms.settings.demo,
    )
