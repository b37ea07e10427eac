"""The case log: find cases; read, download and verify their reports; follow what happened; export."""

from __future__ import annotations

import io
import zipfile
from collections.abc import Callable, Mapping, Sequence
from dataclasses import replace
from datetime import date
from typing import Any

import numpy as np
import streamlit as st
from streamlit.delta_generator import DeltaGenerator

from her2core import workflow
from her2core.caselog import CaseSummary, ReportRecord
from her2core.caselog.lookup import FLAGS, Query, Sort
from her2core.errors import Her2CoreError, NotFoundError
from her2core.laboratory.export import deidentified_csv
from her2core.laboratory.ledger import read_lines
from her2core.permissions import Action, decide, require
from her2core.records import CaseState, Region, Role, User
from her2core.reporting.verify import Verification
from her2core.scoring import STATE_WORDS, Outcome
from her2core.ui import ai_differences, releases, searches
from her2core.ui.blinding import stays_blind
from her2core.ui.documents import show_pdf
from her2core.ui.frame import case_strip
from her2core.ui.history import HISTORY_STYLE, history_html, history_lines, statements_in_words
from her2core.ui.imagery import png, thumbnail
from her2core.ui.result import RESULT_STYLE, result_html
from her2core.ui.searches import Period, period_days
from her2core.ui.services import Services, region_image
from her2core.ui.session import open_case, opened_case
from her2core.ui.words import (
    STATE_COLOURS,
    case_title,
    escaped,
    heterogeneity_words,
    local_day,
    local_time,
    plain,
    result_words,
)
from her2core.ui.worklist import continue_case
from her2core.workflow import CaseReview, RegionReview

__all__ = ["bundled", "downloaded", "draw", "exported", "exported_list", "show_cases"]

_PAGE = 12
_WIDTHS = [1.25, 1.9, 1.15, 1.5, 1.4, 0.7, 1.0, 0.85]
_CHOSEN, _OFFSET, _SHOWN, _VERIFIED = "case_log_case", "case_log_offset", "case_log_report", "case_log_verified"
_CASES, _CHECK = "Cases", "Verify a file"
_RESULT, _DETAILS, _REGIONS, _HISTORY = "Result and reports", "Details", "Regions", "History"
_WHOLE = "Whole case"
_PARTS = [_RESULT, _DETAILS, _REGIONS, _HISTORY, _WHOLE]
_MOST_HISTORY = 5000
_PDF_PX = 510
_LARGEST_UPLOAD_MB = 64

_GIVEN = "case_log_given"
_OPENED, _SIGNED = "opening", "first signature"
_MOST_EXPORTED = 200
_TOO_MANY = f" Narrow the search to {_MOST_EXPORTED} cases at most first."


def draw(rooms: Services, user: User) -> None:
    """The page."""
    case_id = _chosen(user)
    if case_id is not None:
        _case(rooms, user, case_id)
        return
    view = st.segmented_control(
        "Show", [_CASES, _CHECK], default=_CASES, required=True, key="case_log_view", label_visibility="collapsed"
    )
    if view == _CHECK:
        _verify_file(rooms, user)
    else:
        _search(rooms, user)


def downloaded(rooms: Services, user: User, report: ReportRecord) -> bytes:
    """The report's PDF, verified against its digest, with the download noted. Raises Her2CoreError."""
    require(user, Action.DOWNLOAD)
    pdf = rooms.log.report_pdf(report.id)
    rooms.log.note("report downloaded", user, report.case_id, _of(report))
    return pdf


def exported(rooms: Services, user: User, query: Query, *, nuclei: bool = False) -> str:
    """The cases that a query finds as CSV, without those that the user may yet have to recount; from then on the user
    counts as having seen the counts of the others."""
    given = workflow.without_recounts_to_come(rooms.log, rooms.log.look_up_ids(query), user)
    text = workflow.export_csv(rooms.log, given, user, nuclei=nuclei)
    for case_id in given:
        workflow.note_counts_seen(rooms.log, case_id, user)
    return text


def exported_list(rooms: Services, user: User, query: Query) -> str:
    """The cases that a query finds as a de-identified CSV, without those that the user may yet have to recount."""
    require(user, Action.EXPORT)
    lines = read_lines(rooms.log)
    given = workflow.without_recounts_to_come(rooms.log, rooms.log.look_up_ids(query), user)
    chosen = np.isin(lines["case_id"], given)
    rooms.log.note("list exported", user, detail={"cases": int(chosen.sum()), "de-identified": True})
    return deidentified_csv(lines.where(chosen))


def bundled(rooms: Services, user: User, query: Query) -> bytes:
    """The reports in force of the cases that a query finds, as a ZIP; each counts as downloaded, its counts as seen.
    Cases that are open for amendment and that the user may yet have to recount are left out.

    Raises NotFoundError where none of them has a report.
    """
    require(user, Action.DOWNLOAD)
    buffer = io.BytesIO()
    with zipfile.ZipFile(buffer, "w", zipfile.ZIP_STORED) as archive:
        for case_id in workflow.without_recounts_to_come(rooms.log, rooms.log.look_up_ids(query), user):
            in_force = [report for report in rooms.log.reports(case_id) if report.superseded_by is None]
            if not in_force:
                continue
            for report in in_force:
                name = f"{workflow.report_number(case_id)}-v{report.version}.pdf"
                archive.writestr(name, downloaded(rooms, user, report))
            workflow.note_counts_seen(rooms.log, case_id, user)
        if not archive.namelist():
            raise NotFoundError("None of these cases has a report yet.")
    return buffer.getvalue()


def show_cases(title: str, case_ids: Sequence[int]) -> None:
    """Open the case log with these cases alone, under a title; all other filters are taken back."""
    for key in [str(key) for key in st.session_state if str(key).startswith("case_log_")]:
        del st.session_state[key]
    st.session_state[_GIVEN] = (title, tuple(case_ids))
    st.switch_page("pages/case_log.py")


def _chosen(user: User) -> int | None:
    """The case whose details are shown. For a pathologist it is the one that is open on all pages, or none."""
    case_id = st.session_state.get(_CHOSEN)
    if not isinstance(case_id, int) or (user.role is Role.PATHOLOGIST and case_id != opened_case()):
        return None
    return case_id


def _of(report: ReportRecord) -> dict[str, Any]:
    return {"report_id": report.id, "version": report.version}


# --- search -----------------------------------------------------------------------------------------------------------


def _search(rooms: Services, user: User) -> None:
    people = {person.id: person.full_name for person in rooms.log.users() if person.role is Role.PATHOLOGIST}
    _given_cases()
    query, sort, ascending = _filters(rooms, user, people)
    total = len(rooms.log.look_up_ids(query))
    if total == 0:
        if query.filters:
            st.info("No case matches. Take back a filter.", icon=":material/search_off:")
            _clear_button(query)
        else:
            st.info("The case log is empty. Cases appear here once a pathologist has opened them.")
        return
    offset = min(st.session_state.get(_OFFSET, 0), (total - 1) // _PAGE * _PAGE)
    _above(rooms, user, query, total, offset)
    titles = ("Case", "Patient", "State", "Result", "Heterogeneity", "Regions", "Opened", "")
    for column, title in zip(st.columns(_WIDTHS), titles, strict=True):
        column.caption(title)
    for case in rooms.log.look_up(query, sort, ascending=ascending, limit=_PAGE, offset=offset):
        _row(rooms, user, case)


def _given_cases() -> None:
    """Says which cases the laboratory page sent, and takes them back."""
    given = st.session_state.get(_GIVEN)
    if not given:
        return
    says, back = st.columns([4.2, 1], vertical_alignment="center")
    says.info(f"Only the cases behind **{plain(given[0])}** ({len(given[1])}).", icon=":material/monitoring:")
    if back.button("All cases", key="case_log_given_back", icon=":material/close:", width="stretch"):
        del st.session_state[_GIVEN]
        st.rerun()


def _filters(rooms: Services, user: User, people: Mapping[int, str]) -> tuple[Query, Sort, bool]:
    """What is looked for, and the order. It is kept while a case is looked at."""
    one, two, three, four, five, six = st.columns([1.7, 1.3, 0.9, 1.1, 1.2, 1.1], vertical_alignment="bottom")
    with six:
        searches.draw(rooms, user, people)
    text = one.text_input(
        "Accession, patient name or ID", key="case_log_text", icon=":material/search:", on_change=_first_page,
        persist_state="session",
    )  # fmt: skip
    states = two.multiselect(
        "State", list(CaseState), format_func=STATE_WORDS.__getitem__, key="case_log_states", placeholder="any",
        on_change=_first_page, persist_state="session",
    )  # fmt: skip
    group = three.selectbox(
        "Group", [None, 1, 2, 3, 4, 5], format_func=lambda g: "any" if g is None else f"Group {g}",
        key="case_log_group", placeholder="any", on_change=_first_page, persist_state="session",
    )  # fmt: skip
    outcome = four.selectbox(
        "Result", [None, *Outcome], format_func=lambda o: "any" if o is None else o.value, key="case_log_outcome",
        placeholder="any", on_change=_first_page, persist_state="session",
    )  # fmt: skip
    more = _more_filters(people, five)
    given = st.session_state.get(_GIVEN)
    query = Query(
        text=text or "",
        states=tuple(states),
        group=group,
        outcome=None if outcome is None else outcome.value,
        ids=None if not given else given[1],
        **more[0],
    )
    return query, more[1], more[2]


def _more_filters(people: Mapping[int, str], place: DeltaGenerator) -> tuple[dict[str, Any], Sort, bool]:
    """Days, pathologist, flag and order, behind one button that counts them."""
    set_now = sum(
        bool(st.session_state.get(f"case_log_{name}")) for name in ("period", "days", "reader", "flag", "several")
    )
    with place.popover(
        f"More, order ({set_now})" if set_now else "More, order", icon=":material/tune:", width="stretch"
    ):
        kind = st.radio("Day of", [_OPENED, _SIGNED], key="case_log_day", horizontal=True, persist_state="session")
        period = st.selectbox(
            "Period", [None, *Period], format_func=lambda p: "any, or the days below" if p is None else p.value,
            key="case_log_period", placeholder="any", on_change=_first_page, persist_state="session",
        )  # fmt: skip
        days = st.date_input(
            "First and last day", [], key="case_log_days", on_change=_first_page, max_value="today",
            persist_state="session", disabled=period is not None,
        )  # fmt: skip
        reader = st.selectbox(
            "Pathologist (opened or signed)", [None, *people], format_func=lambda i: people.get(i, "any"),
            key="case_log_reader", placeholder="any", on_change=_first_page, persist_state="session",
        )  # fmt: skip
        flag = st.selectbox(
            "Flag of a region", [None, *FLAGS], format_func=lambda f: f or "any", key="case_log_flag",
            placeholder="any", on_change=_first_page, persist_state="session",
        )  # fmt: skip
        several = st.toggle(
            "More than one population", key="case_log_several", on_change=_first_page, persist_state="session"
        )
        sort = st.selectbox(
            "Sort by", list(Sort), format_func=lambda s: s.value, key="case_log_sort", on_change=_first_page,
            persist_state="session",
        )  # fmt: skip
        ascending = st.toggle(
            "First, oldest or lowest on top", key="case_log_up", on_change=_first_page, persist_state="session"
        )
    since, until = _span(days) if period is None else period_days(period, date.today())
    by_signing = kind == _SIGNED
    asked = {
        "since": since,
        "until": until,
        "by_signing": by_signing,
        "reader": reader,
        "flag": flag,
        "several": several,
    }
    return asked, sort or Sort.CHANGED, ascending


def _first_page() -> None:
    st.session_state[_OFFSET] = 0


def _span(days: object) -> tuple[date | None, date | None]:
    chosen = [day for day in days if isinstance(day, date)] if isinstance(days, tuple | list) else []
    return (chosen[0], chosen[-1]) if chosen else (None, None)


def _above(rooms: Services, user: User, query: Query, total: int, offset: int) -> None:
    """How many there are, the pages, and the export."""
    count, pages, export = st.columns([2.2, 1.9, 1.1], vertical_alignment="center")
    cases = f"{total} case{'s' if total > 1 else ''}"
    last = min(offset + _PAGE, total)
    shown = f", {offset + 1} to {last} shown" if total > _PAGE else ""
    with count.container(horizontal=True, vertical_alignment="center"):
        st.markdown(f"**{cases}**{shown}{_days_in_words(query)}", width="content")
        _clear_button(query)
    if total > _PAGE:
        with pages.container(horizontal=True, horizontal_alignment="center"):
            end = (total - 1) // _PAGE * _PAGE
            for label, name, to, off in (
                ("First", "first", 0, offset == 0), ("Previous", "newer", offset - _PAGE, offset == 0),
                ("Next", "older", offset + _PAGE, last >= total), ("Last", "last", end, last >= total),
            ):  # fmt: skip
                st.button(label, key=f"case_log_{name}", disabled=off, on_click=_turn, args=(to,))
    with export.popover(f"Export {cases}", icon=":material/download:", width="stretch"):
        _exports(rooms, user, query, total)


def _clear_button(query: Query) -> None:
    """Takes back all filters at once, those behind a button too; the cases that another page sent stay chosen."""
    if replace(query, ids=None).filters:
        st.button(
            "Clear filters", key="case_log_clear", icon=":material/filter_alt_off:", type="tertiary",
            on_click=searches.clear,
        )  # fmt: skip


def _exports(rooms: Services, user: User, query: Query, total: int) -> None:
    recounts = "Unsigned cases that you might have to recount blinded are left out of all of these. "
    st.caption(
        (recounts if decide(user, Action.RECOUNT) else "")
        + "The list is de-identified: no name, number or day; samples are told apart by a number of the list."
    )
    st.download_button(
        "List, de-identified", lambda: exported_list(rooms, user, query), "her2core-list.csv", "text/csv",
        key="export_list", icon=":material/download:", on_click="ignore", width="stretch",
    )  # fmt: skip
    st.caption(
        "These hold patient data: keep them accordingly. Each export is in the case's history."
        + ("" if total <= _MOST_EXPORTED else _TOO_MANY)
    )
    for label, nuclei, name in (
        ("Results, a line a population", False, "her2core-cases.csv"),
        ("Nuclei, a line a nucleus", True, "her2core-nuclei.csv"),
    ):
        st.download_button(
            label, _exporter(rooms, user, query, nuclei=nuclei), name, "text/csv", key=f"export_{name}",
            icon=":material/download:", on_click="ignore", width="stretch", disabled=total > _MOST_EXPORTED,
        )  # fmt: skip
    st.download_button(
        "Reports in force, one ZIP", lambda: bundled(rooms, user, query), "her2core-reports.zip", "application/zip",
        key="export_reports", icon=":material/folder_zip:", on_click="ignore", width="stretch",
        disabled=total > _MOST_EXPORTED,
    )  # fmt: skip


def _days_in_words(query: Query) -> str:
    """Of which days the cases are, since the list has the day of opening alone."""
    if query.since is None or query.until is None:
        return ""
    return f", {'first signed' if query.by_signing else 'opened'} {local_day(query.since)} to {local_day(query.until)}"


def _turn(offset: int) -> None:
    st.session_state[_OFFSET] = max(0, offset)


def _exporter(rooms: Services, user: User, query: Query, *, nuclei: bool) -> Callable[[], str]:
    """Makes the export when it is asked for, and only then notes it."""
    return lambda: exported(rooms, user, query, nuclei=nuclei)


def _row(rooms: Services, user: User, case: CaseSummary) -> None:
    columns = st.columns(_WIDTHS, vertical_alignment="center")
    columns[0].markdown(f"**{plain(case_title(case.accession, case.block))}**")
    columns[1].markdown(f"{plain(case.patient_name)} · {plain(case.patient_id)}")
    columns[2].badge(STATE_WORDS[case.state], color=STATE_COLOURS[case.state])  # type: ignore[arg-type]
    result, provisional = result_words(case)
    columns[3].markdown(plain(result) + (f"  \n:small[{plain(provisional)}]" if provisional else ""))
    columns[4].markdown(plain(heterogeneity_words(case)))
    columns[5].markdown(str(case.regions))
    columns[6].markdown(local_day(case.created_at.astimezone().date()))
    if columns[7].button("Open", key=f"details_{case.id}", width="stretch", icon=":material/folder_open:"):
        st.session_state[_CHOSEN] = case.id
        st.session_state.pop(_SHOWN, None)
        st.session_state.pop(_VERIFIED, None)
        if user.role is Role.PATHOLOGIST:
            open_case(case.id)
        rooms.log.note("case opened", user, case.id, {"for": "reading in the case log"})
        st.rerun()


# --- one case ---------------------------------------------------------------------------------------------------------


def _case(rooms: Services, user: User, case_id: int) -> None:
    case = rooms.log.case(case_id)
    if user.role is not Role.PATHOLOGIST:  # a pathologist has the strip above every page
        case_strip(case)
    left, middle, right = st.columns([1.1, 4, 1.5], vertical_alignment="center")
    if left.button("All cases", icon=":material/arrow_back:", key="case_log_back", width="stretch"):
        st.session_state.pop(_CHOSEN, None)
        st.rerun()
    if user.role is Role.PATHOLOGIST and right.button(
        "Work on this case", icon=":material/arrow_forward:", key="case_log_work", width="stretch"
    ):
        continue_case(rooms, user, case_id)
    with middle:
        view = st.segmented_control(
            "Show", _PARTS, default=_RESULT, required=True, key="case_log_part",
            label_visibility="collapsed", persist_state="page",
        )  # fmt: skip
    if view == _DETAILS:
        _details(rooms, workflow.assess(rooms.log, case_id))
        return
    if stays_blind(rooms, user, case_id):
        return
    review = workflow.assess(rooms.log, case_id)
    if view == _WHOLE:
        _whole(rooms, user, review)
    elif view == _REGIONS:
        _regions(rooms, review)
    elif view == _HISTORY:
        _history(rooms, review)
    else:
        _result_and_reports(rooms, user, review)


def _result_and_reports(rooms: Services, user: User, review: CaseReview) -> None:
    reports = list(reversed(rooms.log.reports(review.case.id)))
    shown = next((report for report in reports if report.id == st.session_state.get(_SHOWN)), None)
    left, right = st.columns([1, 1.25] if shown is None else [1.6, 1.25], gap="medium")
    with right:
        st.markdown("**Reports**")
        if not reports:
            st.info("No report is signed yet.", icon=":material/draft:")
        else:
            releases.draw(rooms, user, review.case.id)
        for report in reports:
            _report(rooms, user, report, reports)
    with left:
        if shown is None:
            _result(review)
        else:
            _pdf(rooms, shown)


def _whole(rooms: Services, user: User, review: CaseReview) -> None:
    """Everything about a case, one below the other: result and reports, AI and final, images, details, audit trail."""
    _result_and_reports(rooms, user, review)
    st.markdown("**AI and final counts, and each edit**")
    if review.assessment is None:
        st.caption("Nothing is counted yet.")
    else:
        ai_differences.show(rooms, review)
    st.markdown("**Images**")
    _regions(rooms, review)
    st.markdown("**Details**")
    _details(rooms, review)
    st.markdown("**History**")
    _history(rooms, review)


def _result(review: CaseReview) -> None:
    assessment = review.assessment
    if assessment is None:
        st.info("No result yet: no suitable region is analysed.", icon=":material/hourglass_empty:")
        return
    st.markdown(f"**{plain(review.headline)}**")
    if review.amendment is not None:
        st.warning(
            f"An amendment is open: {plain(review.amendment.reason)}. What follows is as the case stands now; the "
            "signed report says what was signed.",
            icon=":material/edit_document:",
        )
    elif review.editable and not review.reviewed:
        st.caption("The counts are not confirmed yet: this is no result.")
    elif review.editable:
        st.caption(
            f"{'Work-up is open' if assessment.outcome.pending else 'No report is signed'}: this is provisional."
        )
    st.html(RESULT_STYLE)
    for population in assessment.populations:
        several = len(assessment.populations) > 1
        st.html(result_html(population, review.ai.get(population.label), several=several))
        with st.expander("How this was reached"):
            st.markdown("\n".join(f"{index}. {plain(step)}" for index, step in enumerate(population.path, start=1)))
            if population.comment:
                st.markdown(f"Comment: {plain(population.comment)}")


# --- reports ----------------------------------------------------------------------------------------------------------


def _report(rooms: Services, user: User, report: ReportRecord, reports: Sequence[ReportRecord]) -> None:
    name = f"{workflow.report_number(report.case_id)}-v{report.version}.pdf"
    with st.container(border=True):
        head, badge = st.columns([2.4, 1.6], vertical_alignment="center")
        head.markdown(f"**Version {report.version}: {report.kind.value} report**")
        later = next((r.version for r in reports if r.id == report.superseded_by), None)
        if later is None:
            badge.badge("in force", icon=":material/check:", color="green")
        else:
            badge.badge(f"superseded by version {later}", icon=":material/history:", color="orange")
        headline = str(report.summary.get("headline", ""))
        if headline:
            st.markdown(plain(headline))
        if report.reason:
            st.markdown(f"Reason: {plain(report.reason)}")
        signers = " and ".join(signer.full_name for signer in workflow.signers_of(rooms.log, report))
        st.caption(f"Signed by {plain(signers)} on {local_time(report.signed_at)}")
        _report_buttons(rooms, user, report, name)


def _report_buttons(rooms: Services, user: User, report: ReportRecord, name: str) -> None:
    is_shown = st.session_state.get(_SHOWN) == report.id
    with st.container(horizontal=True):
        if st.button(
            "Hide" if is_shown else "Show",
            key=f"show_{report.id}",
            icon=":material/visibility_off:" if is_shown else ":material/visibility:",
        ):
            st.session_state[_SHOWN] = None if is_shown else report.id
            if not is_shown:
                rooms.log.note("report viewed", user, report.case_id, _of(report))
            st.rerun()
        st.download_button(
            "Download", lambda: downloaded(rooms, user, report), name, "application/pdf", key=f"get_{report.id}",
            icon=":material/download:", on_click="ignore",
        )  # fmt: skip
        if st.button("Verify", key=f"verify_{report.id}", icon=":material/verified:"):
            _verify_stored(rooms, user, report)
            st.rerun()
        with st.popover(f"SHA-256 {report.sha256[:8]}…", icon=":material/fingerprint:"):
            st.caption("The fingerprint of the signed file. A copy with another one is not this report.")
            st.code(report.sha256, language=None, wrap_lines=True)
    kept = st.session_state.get(_VERIFIED)
    if isinstance(kept, tuple) and kept[0] == report.id:
        _verdict(kept[1])


def _verify_stored(rooms: Services, user: User, report: ReportRecord) -> None:
    """Verify a report as it is stored, and keep the outcome for the next run."""
    try:
        verdict = workflow.verify(rooms.log, rooms.keyring, rooms.log.report_pdf(report.id))
        rooms.log.note("report verified", user, report.case_id, {**_of(report), "ok": verdict.ok})
    except Her2CoreError as error:
        verdict = Verification(False, (str(error),), (), "")
    st.session_state[_VERIFIED] = (report.id, verdict)


def _pdf(rooms: Services, report: ReportRecord) -> None:
    try:
        pdf = rooms.log.report_pdf(report.id)
    except Her2CoreError as error:
        st.error(str(error), icon=":material/error:")
        return
    st.markdown(f"**{workflow.report_number(report.case_id)}, version {report.version}**")
    if report.superseded_by is not None:
        st.warning("This version is superseded: a later report stands in its place.", icon=":material/history:")
    show_pdf(pdf, _PDF_PX)


def _verify_file(rooms: Services, user: User) -> None:
    left, right = st.columns([1.1, 1], gap="large")
    with left:
        upload = st.file_uploader(
            "Report to verify (PDF)", type=["pdf"], key="verify_upload", max_upload_size=_LARGEST_UPLOAD_MB
        )
        if upload is not None:
            _verify_upload(rooms, user, upload.getvalue(), str(upload.file_id))
    with right:
        st.markdown(
            "**What is examined**\n"
            "- whether anything in the file was changed or appended after signing\n"
            "- whether a key of this laboratory signed it, and was valid then\n"
            "- whether the case log holds exactly this file (SHA-256)\n"
        )
        st.caption("The file is not stored. That it was examined, and with which outcome, is recorded.")


def _verify_upload(rooms: Services, user: User, pdf: bytes, file_id: str) -> None:
    try:
        verdict = workflow.verify(rooms.log, rooms.keyring, pdf)
        known = rooms.log.report_by_sha256(verdict.sha256)
        if st.session_state.get("case_log_examined") != file_id:
            st.session_state["case_log_examined"] = file_id
            detail = {"sha256": verdict.sha256, "ok": verdict.ok, "uploaded": True}
            rooms.log.note("report verified", user, None if known is None else known.case_id, detail)
    except Her2CoreError as error:
        st.error(str(error), icon=":material/error:")
        return
    _verdict(verdict)
    st.markdown("SHA-256 of the file")
    st.code(verdict.sha256, language=None, wrap_lines=True)
    if known is None:
        st.caption("The case log holds no report with this SHA-256.")
        return
    case = rooms.log.case(known.case_id)
    st.caption(
        f"In the case log: case {plain(case.details.accession)}, {known.kind.value} report, version {known.version}."
    )
    if known.superseded_by is not None:
        later = rooms.log.report(known.superseded_by)
        st.warning(f"The file is genuine, but version {later.version} stands in its place.", icon=":material/history:")


def _verdict(verdict: Verification) -> None:
    if verdict.ok:
        st.success(
            "**Valid: an intact report of this laboratory**, signed with its key and the same as in the case log.",
            icon=":material/verified:",
        )
    else:
        lines = "\n".join(f"- {plain(finding)}" for finding in verdict.findings)
        st.error(f"**Not valid: do not rely on this file.**\n{lines}", icon=":material/gpp_bad:")
    for signature in verdict.signatures:
        when = "at an unknown time" if signature.signed_at is None else f"on {local_time(signature.signed_at)}"
        st.caption(f"Signature of {plain(signature.signer)} {when}: “{plain(signature.meaning)}”")
    for note in verdict.notes:
        st.caption(plain(note))


# --- details, regions, history ----------------------------------------------------------------------------------------


def _details(rooms: Services, review: CaseReview) -> None:
    d, case = review.case.details, review.case
    blocks: dict[str, dict[str, str]] = {
        "Patient": {
            "Accession number": d.accession,
            "Name": d.patient_name,
            "ID": d.patient_id,
            "Date of birth": local_day(d.date_of_birth),
            "Sex": d.sex,
            "Requested by": d.requester,
        },
        "Specimen": {
            "Specimen": d.specimen,
            "Site": ", ".join(part for part in (d.laterality, d.site) if part),
            "Block": d.block,
            "Collected": local_day(d.collected_on),
            "Received": local_day(d.received_on),
            "Fixative": d.fixative,
            "Fixation": "" if d.fixation_hours is None else f"{d.fixation_hours:g} hours",
            "Cold ischaemia": "" if d.cold_ischaemia_min is None else f"{d.cold_ischaemia_min:g} min",
        },
        "Assay": {
            "Probe kit": d.probe_kit,
            "Lot": d.probe_lot,
            "Expires": local_day(d.probe_expiry),
            "Controls": {None: "", True: "as expected", False: "not as expected"}[d.controls_ok],
            "HER2 IHC": "" if d.ihc is None else d.ihc.value,
            "IHC on the same sample": _yes_no(d.ihc_same_sample),
        },
        "Case": {
            "State": STATE_WORDS[case.state],
            "Report number": workflow.report_number(case.id),
            "Opened by": rooms.log.user(case.created_by).full_name,
            "Opened": local_time(case.created_at),
            "Last changed": local_time(case.updated_at),
            "Populations": ", ".join(
                p.label if p.share_percent is None else f"{p.label} ({p.share_percent:g} %)" for p in case.populations
            ),
        },
    }
    for column, (title, rows) in zip(st.columns(4, gap="medium"), blocks.items(), strict=True):
        with column:
            st.markdown(f"**{title}**")
            st.html(_pairs(rows))


def _yes_no(value: bool | None) -> str:
    return "" if value is None else "yes" if value else "no"


def _pairs(rows: Mapping[str, str]) -> str:
    cells = "".join(
        f'<tr><td style="opacity:.65;padding:3px 12px 3px 0;vertical-align:top;white-space:nowrap">{escaped(key)}</td>'
        f'<td style="padding:3px 0">{escaped(value) or "–"}</td></tr>'
        for key, value in rows.items()
    )
    return f'<table style="font-size:13.5px;border-collapse:collapse">{cells}</table>'


def _regions(rooms: Services, review: CaseReview) -> None:
    if not review.regions:
        st.info("No region image was added yet.", icon=":material/image_not_supported:")
        return
    for start in range(0, len(review.regions), 4):
        for column, region in zip(st.columns(4, gap="medium"), review.regions[start : start + 4], strict=False):
            with column:
                _region(rooms, region)


def _region(rooms: Services, r: RegionReview) -> None:
    stored, flags = r.region, r.region.flags
    try:
        st.image(_thumbnail(stored.image_sha256, rooms, stored), width="stretch", alt=f"Region {r.name}")
    except Her2CoreError as error:
        st.error(str(error), icon=":material/error:")
    scale = "scale not known" if stored.um_per_px is None else f"{stored.um_per_px:.3g} µm per pixel"
    st.markdown(f"**{plain(r.name)}** {plain(stored.filename)}")
    st.caption(f"{stored.width_px} × {stored.height_px} pixels, {scale}")
    if flags is None:
        st.markdown("Not judged yet.")
    else:
        suitable = "Suitable" if flags.suitable else f"Not suitable: {plain(flags.unsuitable_reason)}"
        clusters = ", clusters expected" if flags.clusters else ""
        st.markdown(
            f"{suitable}. Signals {flags.signal_intensity.value}, overlap {flags.overlap.value}{clusters}; "
            f"population {plain(flags.population)}."
        )
    if r.analysis is not None:
        scored = sum(reviewed.nucleus.scored for reviewed in r.nuclei)
        edited = sum(reviewed.edited for reviewed in r.nuclei)
        st.markdown(f"{len(r.nuclei)} nuclei, {scored} scored, {edited} corrected by hand.")
        st.caption("Models: " + plain(", ".join(map(str, r.analysis.models))))


@st.cache_data(show_spinner=False, max_entries=64)
def _thumbnail(sha256: str, _rooms: Services, _region: Region) -> bytes:
    del sha256
    return png(thumbnail(np.asarray(region_image(_rooms.log, _region).pixels_rgb), 420))


def _history(rooms: Services, review: CaseReview) -> None:
    every = st.toggle("Every single correction", key="case_log_every")
    entries = rooms.log.audit(review.case.id, _MOST_HISTORY)
    people = {person.id: person.full_name for person in rooms.log.users()}
    regions = {r.region.id: r.name for r in review.regions}
    lines = history_lines(entries, people, regions, statements_in_words(review.statements), together=not every)
    st.caption("Latest first. Entries cannot be changed or removed; each is chained to the one before.")
    with st.container(height=_PDF_PX - 40, border=True):
        st.html(HISTORY_STYLE + history_html(lines))
    if len(entries) == _MOST_HISTORY:
        st.caption(f"Only the last {_MOST_HISTORY} entries are shown.")
