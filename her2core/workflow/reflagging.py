"""Regions whose flag for clusters was changed after they were analysed: their counts were made under the other one.

With the flag the models take a nucleus for clustered on less evidence (`pipeline.CLUSTER_THRESHOLD_EXPECTED`). That is
decided at the analysis, and no later change of the flag decides it again; whoever changes it has to know.
"""

from __future__ import annotations

from collections.abc import Iterable

from her2core.caselog import AuditEntry, CaseLog

__all__ = ["flag_at_analysis", "reflagged_clusters"]

_ANALYSED, _FLAGGED = "region analysed", "region flags set"
_MOST_ENTRIES = 100_000


def reflagged_clusters(log: CaseLog, case_id: int) -> dict[int, bool]:
    """By region whose flag for clusters is another than at its analysis: the flag that it was analysed under."""
    return flag_at_analysis(log.audit(case_id, _MOST_ENTRIES, actions=(_ANALYSED, _FLAGGED)))


def flag_at_analysis(entries: Iterable[AuditEntry]) -> dict[int, bool]:
    """The same from the entries of a case, in any order."""
    flag: dict[int, bool] = {}
    analysed: dict[int, bool] = {}
    for entry in sorted(entries, key=lambda entry: entry.id):
        region_id = int(entry.detail["region_id"])
        if entry.action == _ANALYSED:
            # The analysis says what it went by: the flag may have changed while it ran.
            analysed[region_id] = bool(entry.detail.get("clusters_expected", flag.get(region_id, False)))
        elif "clusters" in entry.detail.get("changed", {}):
            flag[region_id] = bool(entry.detail["changed"]["clusters"][1])
    return {region_id: then for region_id, then in analysed.items() if flag.get(region_id, False) is not then}
