"""Where case log, scoring and reporting meet: the steps of a case, each one act.

`assess` reads, everything else writes and then stores the state that follows. Pages and scripts come through here, so
that no step can be taken that the work-up does not allow.
"""

from her2core.workflow.accounts import change_password, create_account_with_key, issue_key, reset_password
from her2core.workflow.assessing import AiResult, CaseReview, RegionReview, assess
from her2core.workflow.blinding import (
    BlindedRegion,
    blinded_regions,
    may_recount,
    note_counts_seen,
    saw_counts,
    who_may_recount,
)
from her2core.workflow.commenting import ReportComment, report_comment, set_comment
from her2core.workflow.content import build_content, laboratory_of, report_number, summary_of
from her2core.workflow.differences import (
    NucleusDifference,
    TotalsDifference,
    in_plain_words,
    nucleus_differences,
    totals_differences,
)
from her2core.workflow.exporting import export_csv
from her2core.workflow.findings import CaseWarning, PopulationFindings
from her2core.workflow.meanwhile import check_unchanged
from her2core.workflow.recounting import (
    MOST_SIGNALS,
    Counts,
    OpenRecount,
    blinded_recount,
    count_blinded,
    hand_in_recount,
    open_recounts,
    save_blinded_recount,
    scored_nuclei,
)
from her2core.workflow.releasing import Format, release
from her2core.workflow.signing import MEANING, draft_report, preview, sign_out, verify
from her2core.workflow.statistics import LaboratoryFigures, laboratory_figures
from her2core.workflow.steps import (
    CountBox,
    acknowledge,
    add_nucleus,
    add_region,
    adjudicate,
    amend,
    attest,
    confirm_review,
    correct,
    follow_findings,
    redo_last,
    refresh_state,
    set_details,
    set_flags,
    set_indeterminate,
    set_populations,
    undo_last,
    withdraw_amendment,
)

__all__ = [
    "MEANING",
    "MOST_SIGNALS",
    "AiResult",
    "BlindedRegion",
    "CaseReview",
    "CaseWarning",
    "CountBox",
    "Counts",
    "Format",
    "LaboratoryFigures",
    "NucleusDifference",
    "OpenRecount",
    "PopulationFindings",
    "RegionReview",
    "ReportComment",
    "TotalsDifference",
    "acknowledge",
    "add_nucleus",
    "add_region",
    "adjudicate",
    "amend",
    "assess",
    "attest",
    "blinded_recount",
    "blinded_regions",
    "build_content",
    "change_password",
    "check_unchanged",
    "confirm_review",
    "correct",
    "count_blinded",
    "create_account_with_key",
    "draft_report",
    "export_csv",
    "follow_findings",
    "hand_in_recount",
    "in_plain_words",
    "issue_key",
    "laboratory_figures",
    "laboratory_of",
    "may_recount",
    "note_counts_seen",
    "nucleus_differences",
    "open_recounts",
    "preview",
    "redo_last",
    "refresh_state",
    "release",
    "report_comment",
    "report_number",
    "reset_password",
    "save_blinded_recount",
    "saw_counts",
    "scored_nuclei",
    "set_comment",
    "set_details",
    "set_flags",
    "set_indeterminate",
    "set_populations",
    "sign_out",
    "summary_of",
    "totals_differences",
    "undo_last",
    "verify",
    "who_may_recount",
    "withdraw_amendment",
]
