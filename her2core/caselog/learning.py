"""What models may learn from, and which models count: consent of signed cases, promotions and roll-backs."""

from __future__ import annotations

import json
import re
from collections.abc import Iterable, Mapping
from dataclasses import dataclass
from datetime import datetime
from typing import Any

from her2core.caselog._change import SIGNED_STATES, Store
from her2core.caselog._codec import canonical, clean_text, moment, stamp
from her2core.caselog._rows import Row, one, rows
from her2core.errors import CaseLogError, ConflictError, WrongStateError
from her2core.permissions import Action
from her2core.records import User

__all__ = ["Consent", "Learning", "PromotionRecord"]

_FOLDER = re.compile(r"[0-9a-f]{16}|")
_LONGEST_REASON = 500
_LATEST = "id IN (SELECT max(id) FROM training_consents GROUP BY case_id)"
_LAST_OF = "SELECT given FROM training_consents WHERE case_id = ? ORDER BY id DESC LIMIT 1"


@dataclass(frozen=True, slots=True)
class Consent:
    """Whether a case may teach the models: who said so last, when and why."""

    case_id: int
    given: bool
    reason: str
    by_user_id: int
    at: datetime


@dataclass(frozen=True, slots=True)
class PromotionRecord:
    """Models that were put into use, or back into use (`rolled_back`).

    `folder`: name of their folder under DATA/models, empty for those of the settings. `models`: stage to "name version
    sha256-prefix". `comparison`: what was known when they were promoted; empty for a roll-back. `forced`: against it.
    """

    id: int
    rolled_back: bool
    folder: str
    models: dict[str, str]
    comparison: dict[str, Any]
    forced: bool
    reason: str
    by_user_id: int
    at: datetime


class Learning(Store):
    """Cases that may teach, and models in use. A lab manager decides on both."""

    def state_consent(self, case_ids: Iterable[int], given: bool, reason: str, by: User) -> int:
        """Says of signed cases that they may teach the models, or may not any more; how many changed.

        Raises WrongStateError where one of them is not signed: only what a pathologist answers for is a truth.
        """
        why = clean_text(reason, "reason", required=True, longest=_LONGEST_REASON)
        changed = 0
        for case_id in case_ids:
            action = "given to training" if given else "taken back from training"
            with self.changing(by, Action.MANAGE_MODELS, action, case_id=case_id) as change:
                case = one(change.db, "cases", case_id, "case")
                if given and (case["state"] not in SIGNED_STATES or case["amending"] is not None):
                    raise WrongStateError(f"Case {case['accession']} is not signed; only signed cases teach.")
                last = next(rows(change.db, _LAST_OF, [case_id]), None)
                if bool(last and last["given"]) == given:
                    change.nothing()
                    continue
                said = {"case_id": case_id, "given": int(given), "reason": why}
                who = {"by_user_id": change.user.id, "at": stamp(change.at)}
                consent_id = change.insert("training_consents", said | who)
                change.detail = {"consent_id": consent_id, "given": given}
                changed += 1
        return changed

    def consents(self) -> dict[int, Consent]:
        """The last word on each case of which there is one, by case."""
        with self.reading() as db:
            found = rows(db, f"SELECT * FROM training_consents WHERE {_LATEST} ORDER BY case_id")  # noqa: S608
            return {row["case_id"]: _consent(row) for row in found}

    def teaching_cases(self) -> tuple[int, ...]:
        """Signed cases that may teach, oldest first; one that is open for amendment waits until it is signed again."""
        sql = f"""SELECT cases.id FROM cases JOIN training_consents AS c ON c.case_id = cases.id
            WHERE c.{_LATEST} AND c.given = 1 AND state IN ('signed', 'amended') AND amending IS NULL
            ORDER BY cases.id"""  # noqa: S608 (conditions of ours)
        with self.reading() as db:
            return tuple(int(row["id"]) for row in rows(db, sql))

    def last_analysed(self, limit: int) -> tuple[int, ...]:
        """Regions by their latest analysis, last first, removed ones left out."""
        sql = """SELECT region_id, max(analyses.id) AS latest FROM analyses JOIN regions ON regions.id = region_id
            WHERE removed_at IS NULL GROUP BY region_id ORDER BY latest DESC LIMIT ?"""
        with self.reading() as db:
            return tuple(int(row["region_id"]) for row in rows(db, sql, [max(0, limit)]))

    def promote_models(
        self,
        folder: str,
        models: Mapping[str, str],
        reason: str,
        by: User,
        *,
        after: int | None,
        comparison: Mapping[str, Any] | None = None,
        forced: bool = False,
        rolled_back: bool = False,
    ) -> PromotionRecord:
        """Puts models into use. `after`: the promotion that `by` saw as the last one, None for none.

        Raises ConflictError where another one came between, CaseLogError for a missing reason.
        """
        if not _FOLDER.fullmatch(folder):
            raise CaseLogError("A folder of promoted models is named by sixteen hexadecimal digits.")
        why = clean_text(reason, "reason", required=True, longest=_LONGEST_REASON)
        action = "models rolled back" if rolled_back else "models promoted"
        with self.changing(by, Action.MANAGE_MODELS, action) as change:
            last = next(rows(change.db, "SELECT id FROM promotions ORDER BY id DESC LIMIT 1"), None)
            if (None if last is None else last["id"]) != after:
                raise ConflictError("Other models were put into use meanwhile. Load the page again and look at them.")
            promotion_id = change.insert(
                "promotions",
                {
                    "kind": "roll-back" if rolled_back else "promotion",
                    "folder": folder,
                    "models": canonical(dict(models)),
                    "comparison": canonical(dict(comparison or {})),
                    "forced": int(forced),
                    "reason": why,
                    "by_user_id": change.user.id,
                    "at": stamp(change.at),
                },
            )
            change.detail = {"promotion_id": promotion_id, "folder": folder, "models": dict(models), "forced": forced}
            return _promotion(one(change.db, "promotions", promotion_id, "promotion"))

    def promotions(self) -> list[PromotionRecord]:
        """Every promotion and roll-back, the one in force first."""
        with self.reading() as db:
            return [_promotion(row) for row in rows(db, "SELECT * FROM promotions ORDER BY id DESC")]

    def models_folder(self) -> str:
        """The folder under DATA/models whose models are in use; empty: those of the settings."""
        with self.reading() as db:
            last = next(rows(db, "SELECT folder FROM promotions ORDER BY id DESC LIMIT 1"), None)
            return "" if last is None else str(last["folder"])


def _consent(row: Row) -> Consent:
    return Consent(row["case_id"], bool(row["given"]), row["reason"], row["by_user_id"], moment(row["at"]))


def _promotion(row: Row) -> PromotionRecord:
    return PromotionRecord(
        id=row["id"],
        rolled_back=row["kind"] == "roll-back",
        folder=row["folder"],
        models=json.loads(row["models"]),
        comparison=json.loads(row["comparison"]),
        forced=bool(row["forced"]),
        reason=row["reason"],
        by_user_id=row["by_user_id"],
        at=moment(row["at"]),
    )
