"""What people state on the way from counts to a result: reviewed, attested, recounted, adjudicated."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import asdict
from typing import Any

from sqlite_utils import Database

from her2core.caselog._change import Change, Store
from her2core.caselog._codec import canonical, clean_text, stamp
from her2core.caselog._rows import Row, adjudication_of, case_of, one, recount_of, rows, statement_of
from her2core.caselog.entries import (
    AdjudicationRecord,
    RecountedNucleus,
    RecountRecord,
    Statement,
    StatementKind,
)
from her2core.errors import CaseLogError, PermissionDeniedError, ScoringError, WrongStateError
from her2core.permissions import Action
from her2core.records import Case, CaseState, Tally, User

__all__ = ["WorkUp"]

_CATEGORIES = ("positive", "negative")


class WorkUp(Store):
    """Review, attestations, recounts and adjudications of cases."""

    def mark_reviewed(self, case_id: int, version: int, by: User) -> Case:
        """Records that the pathologist looked at the nuclei; an analysed case becomes reviewed.

        Raises ConflictError where the case changed since `version`, WrongStateError for a draft.
        """
        with self.changing(by, Action.REVIEW, "review confirmed") as change:
            row = change.case(case_id, version)
            if row["state"] == CaseState.DRAFT:
                raise WrongStateError("Analyse the regions of this case before the review is confirmed.")
            _state(change, row, StatementKind.REVIEWED, "", {})
            moved = {"state": CaseState.REVIEWED.value} if row["state"] == CaseState.ANALYSED else {}
            change.touch_case(row, **moved)
            return case_of(one(change.db, "cases", case_id, "case"))

    def attest_no_discordance(self, case_id: int, by: User, value: bool = True) -> Statement:
        """Records the attestation that FISH and histology do not contradict each other, or takes it back."""
        return self._declare(case_id, StatementKind.NO_DISCORDANCE, "", {"value": bool(value)}, by)

    def set_indeterminate_reasons(self, case_id: int, reasons: Sequence[str], by: User) -> Statement:
        """Records why the result cannot be determined; none: it can."""
        cleaned = [clean_text(reason, "reason", required=True, longest=500) for reason in reasons]
        return self._declare(case_id, StatementKind.INDETERMINATE, "", {"reasons": cleaned}, by)

    def set_comment(self, case_id: int, population: str, text: str, by: User) -> Statement:
        """Records the pathologist's wording of the comment on a population."""
        value = {"text": clean_text(text, "comment")}
        return self._declare(case_id, StatementKind.COMMENT, clean_text(population, "population"), value, by)

    def acknowledge(self, case_id: int, warning: str, text: str, by: User, reason: str = "") -> Statement:
        """Records that the pathologist has read a warning. `warning` identifies it, `text` is what it said, `reason`
        why the case goes on all the same."""
        value = {"text": clean_text(text, "warning")}
        if reason:
            value["reason"] = clean_text(reason, "reason", required=True, longest=500)
        key = clean_text(warning, "warning", required=True, longest=200)
        return self._declare(case_id, StatementKind.ACKNOWLEDGED, key, value, by)

    def statements(self, case_id: int) -> list[Statement]:
        """The statements in force: the latest of each kind and subject, oldest first."""
        sql = """SELECT * FROM statements WHERE id IN
            (SELECT max(id) FROM statements WHERE case_id = ? GROUP BY kind, subject) ORDER BY id"""
        with self.reading() as db:
            one(db, "cases", case_id, "case")
            return [statement_of(row) for row in rows(db, sql, [case_id])]

    def statement(self, case_id: int, kind: StatementKind, subject: str = "") -> Statement | None:
        """The statement of this kind in force; None before one was made."""
        found = (entry for entry in self.statements(case_id) if entry.kind is kind and entry.subject == subject)
        return next(found, None)

    def no_discordance_attested(self, case_id: int) -> bool:
        """Whether the attestation of no histopathologic discordance is in force."""
        statement = self.statement(case_id, StatementKind.NO_DISCORDANCE)
        return statement is not None and statement.value["value"] is True

    def indeterminate_reasons(self, case_id: int) -> tuple[str, ...]:
        """Why the result cannot be determined; empty: nobody said so."""
        statement = self.statement(case_id, StatementKind.INDETERMINATE)
        return () if statement is None else tuple(statement.value["reasons"])

    def first_observers(self, case_id: int) -> frozenset[int]:
        """Ids of all who took part in the first count: analysed, corrected or confirmed it."""
        with self.reading() as db:
            one(db, "cases", case_id, "case")
            return _first_observers(db, case_id)

    def save_recount(
        self,
        case_id: int,
        population: str,
        tally: Tally,
        by: User,
        *,
        blinded: bool = True,
        nuclei: Sequence[RecountedNucleus] = (),
        version: int | None = None,
    ) -> RecountRecord:
        """Records the count of the second observer, who is `by`. `nuclei`, if given, add up to `tally`.

        Raises WrongStateError where no recount is due, PermissionDeniedError for a first observer, ScoringError
        where the nuclei do not add up, ConflictError where the case changed since `version`.
        """
        if nuclei and _added_up(nuclei) != tally:
            raise ScoringError("The nuclei of the recount do not add up to its totals.")
        with self.changing(by, Action.RECOUNT, "recount saved") as change:
            row = change.case(case_id, version)
            _due(row, CaseState.PENDING_RECOUNT, "No recount is due for this case.")
            _has_population(row, population)
            if change.user.id in _first_observers(change.db, case_id):
                raise PermissionDeniedError("You took part in the first count; the recount needs another pathologist.")
            recount_id = change.insert(
                "recounts",
                {
                    "case_id": case_id,
                    "population": population,
                    "blinded": int(blinded),
                    "n": tally.n,
                    "her2": tally.her2,
                    "cep17": tally.cep17,
                    "nuclei": canonical([asdict(nucleus) for nucleus in nuclei]),
                    "by_user_id": change.user.id,
                    "at": stamp(change.at),
                },
            )
            change.touch_case(row)
            change.detail = {"recount_id": recount_id, "population": population, "blinded": bool(blinded)}
            return recount_of(one(change.db, "recounts", recount_id, "recount"))

    def recounts(self, case_id: int) -> list[RecountRecord]:
        """All recounts of a case, oldest first; the first valid one of a population counts (`standing_recount`)."""
        with self.reading() as db:
            one(db, "cases", case_id, "case")
            found = rows(db, "SELECT * FROM recounts WHERE case_id = ? ORDER BY id", [case_id])
            return [recount_of(row) for row in found]

    def save_adjudication(
        self,
        case_id: int,
        population: str,
        category: str,
        group: int,
        reason: str,
        by: User,
        *,
        version: int | None = None,
    ) -> AdjudicationRecord:
        """Records the decision between two counts, or a later one in its place; `category` is "positive" or "negative".

        Raises WrongStateError where none is due, CaseLogError for another category or group or a missing reason,
        ConflictError where the case changed since `version`.
        """
        if category not in _CATEGORIES:
            raise CaseLogError("An adjudication ends positive or negative.")
        if group not in (1, 2, 3, 4, 5):
            raise CaseLogError("A group is a number from 1 to 5.")
        why = clean_text(reason, "reason for the decision", required=True)
        with self.changing(by, Action.ADJUDICATE, "adjudication saved") as change:
            row = change.case(case_id, version)
            if not _decided(change.db, case_id, population):
                _due(row, CaseState.PENDING_ADJUDICATION, "No adjudication is due for this case.")
            _has_population(row, population)
            adjudication_id = change.insert(
                "adjudications",
                {
                    "case_id": case_id,
                    "population": population,
                    "category": category,
                    "result_group": group,
                    "reason": why,
                    "by_user_id": change.user.id,
                    "at": stamp(change.at),
                },
            )
            change.touch_case(row)
            change.detail = {
                "adjudication_id": adjudication_id,
                "population": population,
                "category": category,
                "group": group,
            }
            return adjudication_of(one(change.db, "adjudications", adjudication_id, "adjudication"))

    def adjudications(self, case_id: int) -> list[AdjudicationRecord]:
        """All adjudications of a case, oldest first; the latest of a population counts."""
        with self.reading() as db:
            one(db, "cases", case_id, "case")
            found = rows(db, "SELECT * FROM adjudications WHERE case_id = ? ORDER BY id", [case_id])
            return [adjudication_of(row) for row in found]

    def _declare(
        self, case_id: int, kind: StatementKind, subject: str, value: Mapping[str, Any], by: User
    ) -> Statement:
        with self.changing(by, Action.EDIT_CASE, f"stated: {kind.value}") as change:
            row = change.case(case_id)
            statement_id = _state(change, row, kind, subject, value)
            change.touch_case(row)
            return statement_of(one(change.db, "statements", statement_id, "statement"))


def _first_observers(db: Database, case_id: int) -> frozenset[int]:
    sql = """SELECT by_user_id FROM statements WHERE case_id = :case AND kind = :reviewed
        UNION SELECT analyses.by_user_id FROM analyses JOIN regions ON regions.id = region_id WHERE case_id = :case
        UNION SELECT corrections.by_user_id FROM corrections JOIN regions ON regions.id = region_id
            WHERE case_id = :case"""
    found = db.execute(sql, {"case": case_id, "reviewed": StatementKind.REVIEWED.value}).fetchall()
    return frozenset(int(row[0]) for row in found)


def _state(change: Change, case: Row, kind: StatementKind, subject: str, value: Mapping[str, Any]) -> int:
    statement_id = change.insert(
        "statements",
        {
            "case_id": case["id"],
            "kind": kind.value,
            "subject": subject,
            "value": canonical(dict(value)),
            "by_user_id": change.user.id,
            "at": stamp(change.at),
        },
    )
    change.detail = {"statement_id": statement_id, "kind": kind.value, "subject": subject}
    return statement_id


def _due(case: Row, state: CaseState, message: str) -> None:
    # A case open for amendment keeps its signed state; the workflow knows what it waits for.
    if case["state"] != state and case["amending"] is None:
        raise WrongStateError(message)


def _decided(db: Database, case_id: int, population: str) -> bool:
    sql = "SELECT 1 FROM adjudications WHERE case_id = ? AND population = ?"
    return db.execute(sql, [case_id, population]).fetchone() is not None


def _has_population(case: Row, population: str) -> None:
    if population not in {entry.label for entry in case_of(case).populations}:
        raise CaseLogError("The case has no population of this name.")


def _added_up(nuclei: Sequence[RecountedNucleus]) -> Tally:
    return Tally(len(nuclei), sum(n.her2 for n in nuclei), sum(n.cep17 for n in nuclei))
