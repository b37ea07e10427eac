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
    save_blinded_recount,
    saw_counts,
)
from her2core.workflow.content import build_content, laboratory_of, report_number, summary_of
from her2core.workflow.exporting import export_csv
from her2core.workflow.findings import CaseWarning, PopulationFindings
from her2core.workflow.signing import MEANING, preview, sign_out, verify
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
    set_comment,
    set_details,
    set_flags,
    set_indeterminate,
    set_populations,
    undo_last,
    withdraw_amendment,
)

__all__ = [
    "MEANING",
    "AiResult",
    "BlindedRegion",
    "CaseReview",
    "CaseWarning",
    "CountBox",
    "LaboratoryFigures",
    "PopulationFindings",
    "RegionReview",
    "acknowledge",
    "add_nucleus",
    "add_region",
    "adjudicate",
    "amend",
    "assess",
    "attest",
    "blinded_regions",
    "build_content",
    "change_password",
    "confirm_review",
    "correct",
    "create_account_with_key",
    "export_csv",
    "follow_findings",
    "issue_key",
    "laboratory_figures",
    "laboratory_of",
    "may_recount",
    "note_counts_seen",
    "preview",
    "redo_last",
    "refresh_state",
    "report_number",
    "reset_password",
    "save_blinded_recount",
    "saw_counts",
    "set_comment",
    "set_details",
    "set_flags",
    "set_indeterminate",
    "set_populations",
    "sign_out",
    "summary_of",
    "undo_last",
    "verify",
    "withdraw_amendment",
]
