"""What the models found: every analysis is kept, the latest of a region counts."""

from __future__ import annotations

from her2core.caselog._change import Store
from her2core.caselog._codec import stamp
from her2core.caselog._rows import Row, analysis_columns, analysis_of, one, rows
from her2core.errors import NotFoundError, WrongStateError
from her2core.permissions import Action
from her2core.records import RegionAnalysis, User, models_dict

__all__ = ["Analyses"]

LATEST = "SELECT * FROM analyses WHERE region_id = ? ORDER BY id DESC LIMIT 1"


class Analyses(Store):
    """Analyses of regions."""

    def save_analysis(
        self, region_id: int, analysis: RegionAnalysis, by: User, *, clusters_expected: bool | None = None
    ) -> int:
        """Adds an analysis, which then is the one that counts; its id.

        clusters_expected: the flag for clusters that it went by; None for the one that the region has now.

        Raises WrongStateError where the region has no flags, is not suitable, or has corrections, which the new
        analysis would set aside.
        """
        values = analysis_columns(analysis)
        with self.changing(by, Action.ANALYSE, "region analysed") as change:
            region = one(change.db, "regions", region_id, "region")
            case = change.case(region["case_id"])
            _analysable(region)
            corrected = f"SELECT 1 FROM corrections WHERE analysis_id = (SELECT id FROM ({LATEST}))"  # noqa: S608
            if list(rows(change.db, corrected, [region_id])):
                raise WrongStateError("This region has corrections, which a new analysis would set aside.")
            analysis_id = change.insert(
                "analyses",
                {"region_id": region_id, **values, "by_user_id": change.user.id, "at": stamp(change.at)},
            )
            change.touch_case(case)
            change.detail = {
                "region_id": region_id,
                "analysis_id": analysis_id,
                "models": models_dict(analysis.models),
                "nuclei": len(analysis.nuclei),
                "clusters_expected": bool(region["clusters"] if clusters_expected is None else clusters_expected),
            }
            return analysis_id

    def analysis(self, region_id: int) -> RegionAnalysis | None:
        """The latest analysis of a region; None before the first."""
        with self.reading() as db:
            one(db, "regions", region_id, "region")
            for row in rows(db, LATEST, [region_id]):
                return analysis_of(row)
        return None

    def analyses(self, region_id: int) -> list[tuple[int, RegionAnalysis]]:
        """All analyses of a region with their ids, the first one first."""
        with self.reading() as db:
            one(db, "regions", region_id, "region")
            found = rows(db, "SELECT * FROM analyses WHERE region_id = ? ORDER BY id", [region_id])
            return [(row["id"], analysis_of(row)) for row in found]


def _analysable(region: Row) -> None:
    if region["removed_at"] is not None:
        raise NotFoundError("This region was removed from the case.")
    if region["suitable"] is None:
        raise WrongStateError("Give the flags of this region before it is analysed.")
    if not region["suitable"]:
        raise WrongStateError("This region is flagged as not suitable and is not analysed.")
