"""A small laboratory for the tests of the case log: people, a clock, a case on any step of its way."""

from __future__ import annotations

import hashlib
import sqlite3
from contextlib import closing
from dataclasses import dataclass
from datetime import UTC, datetime, timedelta
from pathlib import Path
from typing import Any

from her2core.caselog import CaseLog, ReportRecord
from her2core.records import (
    IHC,
    Case,
    CaseDetails,
    CaseState,
    Channel,
    Correction,
    CorrectionKind,
    Exclusion,
    ModelUsed,
    Nucleus,
    Overlap,
    Region,
    RegionAnalysis,
    RegionFlags,
    Role,
    Signal,
    SignalIntensity,
    Tally,
    User,
)

FLAGS = RegionFlags(False, "A", False, SignalIntensity.GOOD, Overlap.LITTLE, True)
PDF = b"%PDF-1.7\nreport\n%%EOF\n"


class Clock:
    """A clock that stands still until told otherwise."""

    def __init__(self) -> None:
        self.time = datetime(2026, 11, 24, 9, 0, tzinfo=UTC)

    def __call__(self) -> datetime:
        return self.time

    def pass_by(self, **duration: float) -> None:
        self.time += timedelta(**duration)


def sha(data: bytes) -> str:
    return hashlib.sha256(data).hexdigest()


def nuclei(count: int = 3) -> tuple[Nucleus, ...]:
    """Scored nuclei 0, 1, … and a last one that is not scored."""
    scored = [
        Nucleus(
            id=i,
            box=(10.0 * i, 5.0, 10.0 * i + 8.0, 13.5),
            score=0.9,
            her2=4,
            cep17=2,
            her2_regressed=3.75,
            cep17_regressed=2.125,
            clustered=False,
            scored=True,
            signals=(Signal(Channel.HER2, 1.5, 2.25), Signal(Channel.CEP17, 3.0, 4.0)),
        )
        for i in range(count)
    ]
    edge = Nucleus(count, (0.0, 0.0, 4.0, 4.0), 0.5, None, None, 0.0, 0.0, False, False, Exclusion.EDGE)
    return (*scored, edge)


def analysis(count: int = 3) -> RegionAnalysis:
    return RegionAnalysis(
        width_px=640,
        height_px=480,
        nuclei=nuclei(count),
        models=(
            ModelUsed("detector", "yolo", "3", "0123456789abcdef" * 4),
            ModelUsed("counter", "resnet", "2.1", "fedcba9876543210" * 4, "regression"),
        ),
        quality={"focus": 12.5, "saturation": None},
        device="cpu",
        seconds=0.75,
    )


def details(accession: str = "26-1001", **more: Any) -> CaseDetails:
    return CaseDetails(accession, "Müller, Änne", "P-77", **more)


@dataclass
class Lab:
    """Two pathologists, a manager, an administrator and their case log."""

    log: CaseLog
    clock: Clock
    anna: User
    ben: User
    manager: User
    admin: User

    @staticmethod
    def make(data_dir: Path) -> Lab:
        clock = Clock()
        log = CaseLog(data_dir, clock).open()

        def person(username: str, full_name: str, role: Role) -> User:
            return log.insert_user(username, full_name, "MD", role, f"hash of {username}", None)

        return Lab(
            log=log,
            clock=clock,
            anna=person("anna", "Anna Arendt", Role.PATHOLOGIST),
            ben=person("ben", "Ben Berg", Role.PATHOLOGIST),
            manager=person("mia", "Mia Maler", Role.LAB_MANAGER),
            admin=person("adam", "Adam Acker", Role.ADMINISTRATOR),
        )

    @staticmethod
    def reopen(data_dir: Path) -> Lab:
        """The laboratory over a copy of a data folder that `make` made."""
        clock = Clock()
        log = CaseLog(data_dir, clock).open()
        return Lab(log, clock, *(log.user(user_id) for user_id in (1, 2, 3, 4)))

    def fill(self) -> None:
        """At least one row in each table: a signed case, one that waits for a second signature, one recounted and
        adjudicated."""
        self.signed("26-1")
        waiting = self.ready("26-3")
        self.log.store_first_signature(
            waiting.id,
            PDF + b"% signed once",
            "final",
            version=waiting.version,
            by=self.anna,
            second=self.ben,
            summary={"group": 1},
        )
        case, region = self.analysed("26-2")
        self.correct(region)
        case = self.log.case(case.id)
        self.log.mark_reviewed(case.id, case.version, self.anna)
        self.log.set_state(case.id, CaseState.PENDING_RECOUNT, self.anna)
        self.log.save_recount(case.id, "A", Tally(20, 80, 30), self.ben)
        self.log.set_state(case.id, CaseState.PENDING_ADJUDICATION, self.anna)
        self.log.save_adjudication(case.id, "A", "positive", 1, "both slides reviewed", self.ben)
        self.log.keep_place(case.id, self.ben, "review", region.id)
        signed = self.log.case_by_accession("26-1")
        self.log.state_consent([signed.id], True, "the patients of the study agreed", self.manager)
        self.log.promote_models("0123456789abcdef", {"counter": "counter 4"}, "better here", self.manager, after=None)
        self.log.save_filter("positive", {"group": 1}, self.manager)

    def draft(self, accession: str = "26-1001") -> Case:
        return self.log.create_case(details(accession, block="A1", ihc=IHC.TWO_PLUS), self.anna)

    def region(self, case: Case, data: bytes = b"an image", by: User | None = None) -> Region:
        return self.log.add_region(case.id, data, "field 1.png", 640, 480, 0.1, sha(data), by or self.anna)

    def analysed(self, accession: str = "26-1001") -> tuple[Case, Region]:
        """A case with one flagged, analysed region."""
        case = self.draft(accession)
        region = self.region(case, f"image of {accession}".encode())
        region = self.log.set_flags(region.id, FLAGS, self.anna)
        self.log.save_analysis(region.id, analysis(), self.anna)
        self.log.set_state(case.id, CaseState.ANALYSED, self.anna)
        return self.log.case(case.id), region

    def ready(self, accession: str = "26-1001") -> Case:
        case, _ = self.analysed(accession)
        self.log.mark_reviewed(case.id, case.version, self.anna)
        return self.log.set_state(case.id, CaseState.READY, self.anna)

    def signed(self, accession: str = "26-1001") -> tuple[Case, ReportRecord]:
        case = self.ready(accession)
        report = self.sign(case)
        return self.log.case(case.id), report

    def sign(self, case: Case, pdf: bytes | None = None, **more: Any) -> ReportRecord:
        data = pdf or PDF + f"% {case.details.accession} v{case.version}".encode()
        arguments: dict[str, Any] = {"kind": "final", "version": case.version, "by": self.anna, "summary": {"group": 1}}
        return self.log.store_report(case.id, data, **{**arguments, **more})

    def correct(self, region: Region, her2: int = 6, nucleus_id: int = 0, by: User | None = None) -> Correction:
        return self.log.add_correction(
            region.id,
            nucleus_id,
            CorrectionKind.COUNTS,
            {"her2": 4, "cep17": 2},
            {"her2": her2, "cep17": 2},
            "",
            by or self.anna,
        )

    def raw(self, sql: str, *parameters: Any, without_triggers: bool = False) -> None:
        """What somebody does who opens the file with another program."""
        with closing(sqlite3.connect(self.log.path)) as conn, conn:
            triggers = conn.execute("SELECT name, sql FROM sqlite_master WHERE type = 'trigger'").fetchall()
            if without_triggers:
                for name, _ in triggers:
                    conn.execute(f"DROP TRIGGER {name}")
            conn.execute(sql, parameters)
            if without_triggers:
                for _, definition in triggers:
                    conn.execute(definition)

    def problems(self) -> list[tuple[str, str]]:
        return [(finding.record, finding.problem) for finding in self.log.check()]
