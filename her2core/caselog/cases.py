"""Cases: intake, change, state, search."""

from __future__ import annotations

import json
import math
from collections.abc import Sequence
from dataclasses import replace
from typing import Any

from sqlite_utils import Database

from her2core.caselog._change import SIGNED_STATES, Change, Store
from her2core.caselog._codec import canonical, clean_text, key_of, moment, stamp
from her2core.caselog._rows import DETAIL_FIELDS, Row, case_of, detail_columns, details_of, one, rows
from her2core.caselog._schema import PATIENT_KEY
from her2core.caselog.entries import Amendment, CaseSummary
from her2core.errors import CaseLogError, DuplicateError, NotFoundError, WrongStateError
from her2core.permissions import Action
from her2core.records import Case, CaseDetails, CaseState, Population, User

__all__ = ["ONE_POPULATION", "Cases", "case_columns", "signed_state", "summary_of_row"]

ONE_POPULATION = canonical([{"label": "A", "share_percent": 100.0}])
"""The column `populations` of a case as it is opened."""

_REQUIRED = {"accession": "accession number", "patient_name": "patient name", "patient_id": "patient ID"}
_LONGEST_FIELD = 500
_MOST_POPULATIONS = 26


class Cases(Store):
    """The cases of the log."""

    def create_case(self, details: CaseDetails, by: User) -> Case:
        """Opens a case in state draft, with one population A.

        Raises DuplicateError where the accession number is in use, CaseLogError for details that cannot be.
        """
        columns = case_columns(details)
        with self.changing(by, Action.CREATE_CASE, "case opened") as change:
            _accession_is_free(change, columns["accession_key"], None)
            now = stamp(change.at)
            case_id = change.insert(
                "cases",
                {
                    **columns,
                    "populations": ONE_POPULATION,
                    "state": CaseState.DRAFT.value,
                    "version": 1,
                    "created_by": change.user.id,
                    "created_at": now,
                    "updated_by": change.user.id,
                    "updated_at": now,
                },
            )
            change.case_id = case_id
            change.detail = {"new": {name: columns[name] for name in DETAIL_FIELDS if columns[name] not in (None, "")}}
            return case_of(one(change.db, "cases", case_id, "case"))

    def update_details(self, case_id: int, details: CaseDetails, version: int, by: User) -> Case:
        """Replaces what intake recorded; the audit keeps old and new value of each changed field.

        Raises ConflictError, WrongStateError, DuplicateError.
        """
        columns = case_columns(details)
        with self.changing(by, Action.EDIT_CASE, "case details changed") as change:
            row = change.case(case_id, version)
            changed = {name: [row[name], columns[name]] for name in DETAIL_FIELDS if row[name] != columns[name]}
            if not changed:
                change.nothing()
                return case_of(row)
            _accession_is_free(change, columns["accession_key"], case_id)
            change.touch_case(row, **columns)
            change.detail = {"changed": changed}
            return case_of(one(change.db, "cases", case_id, "case"))

    def set_populations(self, case_id: int, populations: Sequence[Population], version: int, by: User) -> Case:
        """Says which tumour-cell populations there are, and their shares in percent.

        Raises CaseLogError for none, equal labels or shares outside 0 to 100 or above 100 together.
        """
        wanted = _populations(populations)
        with self.changing(by, Action.EDIT_CASE, "populations changed") as change:
            row = change.case(case_id, version)
            if row["populations"] == wanted:
                change.nothing()
                return case_of(row)
            change.touch_case(row, populations=wanted)
            change.detail = {"changed": {"populations": [row["populations"], wanted]}}
            return case_of(one(change.db, "cases", case_id, "case"))

    def case(self, case_id: int) -> Case:
        """The case with this id. Raises NotFoundError."""
        with self.reading() as db:
            return case_of(one(db, "cases", case_id, "case"))

    def case_by_accession(self, accession: str) -> Case:
        """The case with this accession number, however its case and spaces are typed. Raises NotFoundError."""
        with self.reading() as db:
            for row in rows(db, "SELECT * FROM cases WHERE accession_key = ?", [key_of(accession)]):
                return case_of(row)
        raise NotFoundError("There is no case with this accession number.")

    def cases_of_patient(
        self, patient_id: str, but: int | None = None, *, unlike: CaseDetails | None = None, most: int | None = None
    ) -> list[CaseDetails]:
        """The details of the cases with this patient ID, however its case and spaces are typed, in the order they were
        opened; without the case `but`. Empty for an empty ID.

        unlike: only those that write the name or the date of birth otherwise. most: no more than that many.
        """
        key = key_of(patient_id)
        if not key:
            return []
        where, values = f"{PATIENT_KEY} = ? AND id IS NOT ?", [key, but]
        if unlike is not None:
            columns = detail_columns(unlike)
            where += " AND (patient_name IS NOT ? OR date_of_birth IS NOT ?)"
            values += [columns["patient_name"], columns["date_of_birth"]]
        sql = f"SELECT * FROM cases WHERE {where} ORDER BY id LIMIT ?"  # noqa: S608
        with self.reading() as db:
            return [details_of(row) for row in rows(db, sql, [*values, -1 if most is None else most])]

    def reviewed_of_patient(self, patient_id: str, but: int | None = None) -> list[int]:
        """The cases with this patient ID whose stored state may follow from their warnings: reviewed or ready to sign.
        Without the case `but`. Empty for an empty ID."""
        key = key_of(patient_id)
        if not key:
            return []
        sql = f"SELECT id FROM cases WHERE {PATIENT_KEY} = ? AND id IS NOT ? AND state IN (?, ?) ORDER BY id"  # noqa: S608
        with self.reading() as db:
            return [row["id"] for row in rows(db, sql, [key, but, CaseState.REVIEWED.value, CaseState.READY.value])]

    def set_state(self, case_id: int, state: CaseState, by: User, *, version: int | None = None) -> Case:
        """Records the state that the workflow derived, from the case as it was in `version`. Not a change of the case's
        content: the version stays. Raises ConflictError where the case has changed since.

        While an amendment is open the state moves like that of a new case. Raises WrongStateError for anything to do
        with signing, which `store_report` alone does.
        """
        with self.changing(by, Action.EDIT_CASE, "state changed") as change:
            row = change.case(case_id, version, signed_too=True)
            if row["state"] == state:
                change.nothing()
                return case_of(row)
            closed = row["state"] in SIGNED_STATES and row["amending"] is None
            if closed or state in SIGNED_STATES:
                raise WrongStateError("Only signing a report makes a case signed, and a signed case stays signed.")
            change.update("cases", case_id, {"state": state.value})
            change.detail = {"changed": {"state": [row["state"], state.value]}}
            return case_of(one(change.db, "cases", case_id, "case"))

    def set_result(
        self, case_id: int, group: int | None, outcome: str | None, by: User, *, version: int | None = None
    ) -> None:
        """Records group (1 to 5) and outcome of the last assessment, so that cases can be searched by them.

        Derived like the state: the version stays. Raises ConflictError where the case has changed since `version`,
        CaseLogError for another group.
        """
        if group is not None and group not in (1, 2, 3, 4, 5):
            raise CaseLogError("A group is a number from 1 to 5.")
        with self.changing(by, Action.EDIT_CASE, "result derived") as change:
            row = change.case(case_id, version, signed_too=True)
            if (row["result_group"], row["outcome"]) == (group, outcome):
                change.nothing()
                return
            change.case(case_id)
            change.update("cases", case_id, {"result_group": group, "outcome": outcome})
            change.detail = {"changed": {"group": [row["result_group"], group], "outcome": [row["outcome"], outcome]}}

    def open_amendment(self, case_id: int, reason: str, version: int, by: User) -> Case:
        """Opens a signed case for change, until an amended report or an addendum is stored.

        Raises WrongStateError where the case is not signed or is open already.
        """
        why = clean_text(reason, "reason for the amendment", required=True)
        with self.changing(by, Action.AMEND, "amendment opened") as change:
            row = change.case(case_id, version, signed_too=True)
            if row["amending"] is not None:
                raise WrongStateError("This case is open for amendment already.")
            if row["state"] not in SIGNED_STATES:
                raise WrongStateError("This case is not signed yet; it can be changed as it is.")
            now = stamp(change.at)
            change.touch_case(
                row,
                amending=why,
                amending_by=change.user.id,
                amending_since=now,
                amending_version=row["version"] + 1,
            )
            return case_of(one(change.db, "cases", case_id, "case"))

    def withdraw_amendment(self, case_id: int, version: int, by: User) -> Case:
        """Closes an amendment under which nothing was changed.

        Raises WrongStateError where something was: then an amended report or addendum must say so.
        """
        with self.changing(by, Action.AMEND, "amendment withdrawn") as change:
            row = change.case(case_id, version, signed_too=True)
            if row["amending"] is None:
                raise WrongStateError("This case is not open for amendment.")
            if row["amending_version"] != row["version"]:
                raise WrongStateError("The case was changed since it was opened; sign an amended report or addendum.")
            group, outcome = _signed_result(change.db, case_id)
            change.touch_case(
                row, state=signed_state(change.db, case_id).value, result_group=group, outcome=outcome, **CLOSED
            )
            return case_of(one(change.db, "cases", case_id, "case"))

    def amendment(self, case_id: int) -> Amendment | None:
        """Why, by whom and since when a signed case is open for change; None if it is not."""
        with self.reading() as db:
            row = one(db, "cases", case_id, "case")
        if row["amending"] is None:
            return None
        return Amendment(row["amending"], row["amending_by"], moment(row["amending_since"]))


def signed_state(db: Database, case_id: int) -> CaseState:
    """Signed, or amended where an amended report was stored."""
    sql = "SELECT 1 FROM reports WHERE case_id = ? AND kind = 'amended'"
    return CaseState.SIGNED if db.execute(sql, [case_id]).fetchone() is None else CaseState.AMENDED


def _signed_result(db: Database, case_id: int) -> tuple[int | None, str | None]:
    """Group and outcome as the latest final report states them: what is searched by once no amendment is open."""
    sql = "SELECT summary FROM reports WHERE case_id = ? AND kind != 'preliminary' ORDER BY version DESC LIMIT 1"
    for (summary,) in db.execute(sql, [case_id]).fetchall():
        said = json.loads(summary)
        return said.get("group"), said.get("outcome")
    return None, None


CLOSED: Row = {"amending": None, "amending_by": None, "amending_since": None, "amending_version": None}


def case_columns(details: CaseDetails) -> Row:
    """The details, cleaned, as columns, with their keys for comparing and searching."""
    texts = {
        name: clean_text(value, _REQUIRED.get(name, name.replace("_", " ")), longest=_LONGEST_FIELD)
        for name in DETAIL_FIELDS
        if isinstance(value := getattr(details, name), str) and name != "ihc"
    }
    if missing := [label for name, label in _REQUIRED.items() if not texts[name]]:
        raise CaseLogError(f"Please fill in: {', '.join(missing)}.")
    for name in ("fixation_hours", "cold_ischaemia_min"):
        value = getattr(details, name)
        if value is not None and not (math.isfinite(value) and value >= 0):
            raise CaseLogError(f"Please enter a time that is not negative: {name.replace('_', ' ')}.")
    changes: dict[str, Any] = dict(texts)
    columns = detail_columns(replace(details, **changes))
    columns["accession_key"] = key_of(texts["accession"])
    columns["search"] = "\n".join(key_of(texts[name]) for name in _REQUIRED)
    return columns


def _accession_is_free(change: Change, accession_key: str, case_id: int | None) -> None:
    sql = "SELECT 1 FROM cases WHERE accession_key = ? AND id IS NOT ?"
    if list(rows(change.db, sql, [accession_key, case_id])):
        raise DuplicateError("A case with this accession number is in the case log already.")


def _populations(populations: Sequence[Population]) -> str:
    cleaned = [
        Population(clean_text(population.label, "population", required=True, longest=20), population.share_percent)
        for population in populations
    ]
    if not 1 <= len(cleaned) <= _MOST_POPULATIONS:
        raise CaseLogError("A case has at least one population.")
    if len({key_of(population.label) for population in cleaned}) != len(cleaned):
        raise CaseLogError("Two populations cannot have the same name.")
    shares = [population.share_percent for population in cleaned if population.share_percent is not None]
    if not all(math.isfinite(share) and 0 <= share <= 100 for share in shares) or sum(shares) > 100.0 + 1e-6:
        raise CaseLogError("The shares of the populations are percents, 100 together at most.")
    return canonical(
        [
            {
                "label": population.label,
                "share_percent": None if population.share_percent is None else float(population.share_percent),
            }
            for population in cleaned
        ]
    )


def summary_of_row(row: Row) -> CaseSummary:
    """A row of cases with the columns that the query of a list adds."""
    details = details_of(row)
    signed = json.loads(row["signed_populations"] or "{}")
    return CaseSummary(
        id=row["id"],
        accession=details.accession,
        patient_name=details.patient_name,
        patient_id=details.patient_id,
        block=details.block,
        state=CaseState(row["state"]),
        version=row["version"],
        group=row["result_group"],
        outcome=row["outcome"],
        regions=row["regions"],
        latest_report_id=row["latest_report_id"],
        created_by=row["created_by"],
        created_at=moment(row["created_at"]),
        updated_at=moment(row["updated_at"]),
        amending=row["amending"] is not None,
        populations=case_of(row).populations,
        flagged_heterogeneous=bool(row["flagged_heterogeneous"]),
        signed_outcomes={label: said.get("outcome", "") for label, said in signed.items()},
    )
