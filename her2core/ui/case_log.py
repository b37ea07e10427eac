"""The case log: find cases, read and verify their reports, follow what happened, export."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from datetime import date
from typing import Any

import pandas as pd
import streamlit as st

from her2core import workflow
from her2core.caselog import AuditEntry, CaseSummary, ReportRecord
from her2core.errors import Her2CoreError
from her2core.records import CaseState, Role, User
from her2core.reporting.verify import Verification
from her2core.scoring import Outcome
from her2core.ui.documents import show_pdf
from her2core.ui.services import Services
from her2core.ui.session import open_case
from her2core.ui.words import STATE_COLOURS, STATE_WORDS, case_title, local_time, plain
from her2core.ui.worklist import page_of

__all__ = ["draw"]

_PAGE = 10
_WIDTHS = [1.25, 1.7, 1.05, 1.5, 0.55]
_CHOSEN, _OFFSET = "case_log_chosen", "case_log_offset"


def draw(rooms: Services, user: User) -> None:
    """The page."""
    cases, verify, trail = st.tabs(["Cases", "Verify a report", "Audit trail"])
    with cases:
        filters = _filters()
        left, right = st.columns([1.5, 1], gap="medium")
        with left:
            _list(rooms, user, filters)
        with right:
            _chosen(rooms, user)
    with verify:
        _verify(rooms, user)
    with trail:
        _trail(rooms, rooms.log.audit(limit=300))


# --- the list ---------------------------------------------------------------------------------------------------------


def _filters() -> dict[str, Any]:
    """What is looked for, as arguments of `find_cases`."""

    def first_page() -> None:
        st.session_state[_OFFSET] = 0

    one, two, three, four, five = st.columns([1.7, 1.6, 0.8, 1.1, 1.4])
    text = one.text_input(
        "Find", key="case_log_text", placeholder="Accession, patient name or ID", icon=":material/search:",
        on_change=first_page,
    )  # fmt: skip
    states = two.multiselect(
        "State", list(CaseState), format_func=STATE_WORDS.__getitem__, key="case_log_states", placeholder="any",
        on_change=first_page,
    )  # fmt: skip
    group = three.selectbox(
        "Group", [None, 1, 2, 3, 4, 5], format_func=lambda g: "any" if g is None else str(g), key="case_log_group",
        on_change=first_page,
    )  # fmt: skip
    outcome = four.selectbox(
        "Result", [None, *Outcome], format_func=lambda o: "any" if o is None else o.value, key="case_log_outcome",
        on_change=first_page,
    )  # fmt: skip
    days = five.date_input("Opened", [], key="case_log_days", on_change=first_page, max_value="today")
    since, until = _span(days)
    return {
        "text": text or "",
        "states": tuple(states),
        "group": group,
        "outcome": None if outcome is None else outcome.value,
        "since": since,
        "until": until,
    }


def _span(days: object) -> tuple[date | None, date | None]:
    chosen = [day for day in days if isinstance(day, date)] if isinstance(days, tuple | list) else []
    return (chosen[0], chosen[-1]) if chosen else (None, None)


def _list(rooms: Services, user: User, filters: dict[str, Any]) -> None:
    total = rooms.log.count_cases(**filters)
    offset = min(st.session_state.get(_OFFSET, 0), max(0, total - 1) // _PAGE * _PAGE)
    found = rooms.log.find_cases(**filters, limit=_PAGE, offset=offset)
    if not found:
        st.info("No case matches.", icon=":material/search_off:")
        return
    for column, title in zip(st.columns(_WIDTHS), ("Case", "Patient", "State", "Result", ""), strict=True):
        column.caption(title)
    for case in found:
        _row(case)
    _paging(total, offset)
    with st.container(horizontal=True):
        for label, nuclei, name in (
            ("Export results", False, "her2core-cases"),
            ("Export nuclei", True, "her2core-nuclei"),
        ):
            st.download_button(
                f"{label} ({total}, CSV)", _exported(rooms, user, filters, total, nuclei=nuclei), f"her2core-{name}.csv",
                "text/csv", icon=":material/download:", key=f"export_{name}", on_click="ignore",
            )  # fmt: skip


def _row(case: CaseSummary) -> None:
    columns = st.columns(_WIDTHS, vertical_alignment="center")
    columns[0].markdown(f"**{plain(case_title(case.accession, case.block))}**")
    columns[1].markdown(f"{plain(case.patient_name)} · {plain(case.patient_id)}")
    columns[2].badge(STATE_WORDS[case.state], color=STATE_COLOURS[case.state])  # type: ignore[arg-type]
    result = "–" if case.outcome is None else f"{case.outcome}{f', Group {case.group}' if case.group else ''}"
    columns[3].markdown(plain(result))
    columns[4].button(
        " ", icon=":material/chevron_right:", key=f"details_{case.id}", help=f"Details of {case.accession}",
        on_click=_choose, args=(case.id,), width="stretch",
        type="primary" if st.session_state.get(_CHOSEN) == case.id else "secondary",
    )  # fmt: skip


def _choose(case_id: int) -> None:
    st.session_state[_CHOSEN] = case_id


def _paging(total: int, offset: int) -> None:
    if total <= _PAGE:
        return

    def go(to: int) -> Callable[[], None]:
        def turned() -> None:
            st.session_state[_OFFSET] = to

        return turned

    with st.container(horizontal=True, vertical_alignment="center"):
        st.button("Newer", key="newer", disabled=offset == 0, on_click=go(max(0, offset - _PAGE)))
        st.button("Older", key="older", disabled=offset + _PAGE >= total, on_click=go(offset + _PAGE))
        st.caption(f"{offset + 1} to {min(offset + _PAGE, total)} of {total}")


def _exported(rooms: Services, user: User, filters: dict[str, Any], total: int, *, nuclei: bool) -> Callable[[], str]:
    """Makes the export when it is asked for, and only then notes it."""

    def make() -> str:
        ids = [case.id for case in rooms.log.find_cases(**filters, limit=total)]
        return workflow.export_csv(rooms.log, ids, user, nuclei=nuclei)

    return make


# --- one case ---------------------------------------------------------------------------------------------------------


def _chosen(rooms: Services, user: User) -> None:
    case_id = st.session_state.get(_CHOSEN)
    if not isinstance(case_id, int):
        st.info("Choose a case to see its reports and its history.", icon=":material/arrow_back:")
        return
    case = rooms.log.case(case_id)
    left, right = st.columns([2, 1], vertical_alignment="center")
    left.subheader(plain(f"{case.details.accession} · {case.details.patient_name}"), anchor=False)
    if user.role is Role.PATHOLOGIST and right.button(
        "Open", key="open_from_log", width="stretch", icon=":material/arrow_forward:"
    ):
        open_case(case_id)
        rooms.log.note("case opened", user, case_id)
        st.switch_page(page_of(case.state))
    reports, history = st.tabs(["Reports", "History"])
    with reports:
        found = rooms.log.reports(case_id)
        if not found:
            st.write("No report yet.")
        for report in reversed(found):
            _report(rooms, user, report)
    with history:
        _trail(rooms, rooms.log.audit(case_id, limit=300), height=400)


def _report(rooms: Services, user: User, report: ReportRecord) -> None:
    number = workflow.report_number(report.case_id)
    with st.container(border=True):
        superseded = " · superseded" if report.superseded_by is not None else ""
        st.markdown(f"**{report.kind.value.capitalize()} report, version {report.version}**{superseded}")
        st.markdown(plain(str(report.summary.get("headline", ""))))
        signer = rooms.log.user(report.signed_by).full_name
        st.caption(f"Signed by {plain(signer)} on {local_time(report.signed_at)} · SHA-256 {report.sha256[:16]}…")
        try:
            pdf = rooms.log.report_pdf(report.id)
        except Her2CoreError as error:
            st.error(str(error), icon=":material/error:")
            return
        with st.container(horizontal=True):
            if st.button("Show", key=f"show_{report.id}", icon=":material/visibility:"):
                rooms.log.note("report viewed", user, report.case_id, {"report_id": report.id})
                _show(pdf, f"{number}, version {report.version}")
            st.download_button(
                "Download", pdf, f"{number}-v{report.version}.pdf", "application/pdf", key=f"get_{report.id}",
                icon=":material/download:", on_click=rooms.log.note,
                args=("report downloaded", user, report.case_id, {"report_id": report.id}),
            )  # fmt: skip
            check = st.button("Verify", key=f"verify_{report.id}", icon=":material/verified:")
        if check:
            _verdict(workflow.verify(rooms.log, rooms.keyring, pdf))


@st.dialog("Report", width="large")
def _show(pdf: bytes, title: str) -> None:
    st.caption(title)
    show_pdf(pdf, 600)


# --- verification and audit -------------------------------------------------------------------------------------------


def _verify(rooms: Services, user: User) -> None:
    left, _ = st.columns([1.2, 1])
    with left:
        upload = st.file_uploader(
            "Report to verify (PDF): is it intact, signed by this laboratory, and in this case log?", type=["pdf"],
            key="verify_upload", max_upload_size=64,
        )  # fmt: skip
        if upload is None:
            return
        verdict = workflow.verify(rooms.log, rooms.keyring, upload.getvalue())
        rooms.log.note("report verified", user, detail={"sha256": verdict.sha256, "ok": verdict.ok})
        _verdict(verdict)


def _verdict(verdict: Verification) -> None:
    if verdict.ok:
        st.success("**Valid: an intact report of this laboratory.**", icon=":material/verified:")
    else:
        lines = "\n".join(f"- {plain(finding)}" for finding in verdict.findings)
        st.error(f"**Not valid: do not rely on this file.**\n{lines}", icon=":material/gpp_bad:")
    for signature in verdict.signatures:
        when = "at an unknown time" if signature.signed_at is None else f"on {local_time(signature.signed_at)}"
        st.caption(f"Signed by {plain(signature.signer)} {when}: {plain(signature.meaning)}")
    for note in verdict.notes:
        st.caption(plain(note))


def _trail(rooms: Services, entries: Sequence[AuditEntry], height: int = 560) -> None:
    if not entries:
        st.write("Nothing is recorded yet.")
        return
    accessions: dict[int, str] = {}
    for case_id in {entry.case_id for entry in entries if entry.case_id is not None}:
        accessions[case_id] = rooms.log.case(case_id).details.accession
    rows = [
        {
            "When": local_time(entry.at),
            "Who": entry.by_username,
            "What": entry.action,
            "Case": "" if entry.case_id is None else accessions[entry.case_id],
            "Records": ", ".join(entry.records),
        }
        for entry in entries
    ]
    st.dataframe(pd.DataFrame(rows), hide_index=True, height=height, key=f"trail_{entries[0].case_id}_{height}")
