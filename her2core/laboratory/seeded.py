"""A seeded laboratory: invented cases written in bulk into a new case log, by its own schema and with its audit chain.

The file is what the acts themselves would have left: rows, the audit trail with their hashes, images and report files,
so that `check` finds nothing. Only the reports are no reports: one page each that says so, unsigned.
"""

from __future__ import annotations

import heapq
import io
from collections.abc import Callable, Iterator
from dataclasses import dataclass, field, replace
from datetime import date, datetime, timedelta
from itertools import takewhile
from pathlib import Path
from typing import Any

import numpy as np
from PIL import Image

from her2core.accounts import Accounts
from her2core.caselog import CaseLog, RecountedNucleus, ReportKind, StatementKind
from her2core.caselog.bulk import Act, Bulk, Kept
from her2core.demo import ACCOUNTS
from her2core.errors import CaseLogError
from her2core.laboratory.invented import READERS, SIDE_PX, Planted, Story, stories
from her2core.models import write_atomically
from her2core.records import CaseState, Correction, CorrectionKind, RegionAnalysis, Role, Tally, User
from her2core.settings import SETTINGS_FILE
from her2core.workflow.content import result_summary

__all__ = ["seed_laboratory"]

_SETTINGS = """# Written by `python -m her2core seed`: invented cases. Never use this folder for patients.
demo = true
laboratory_name = "Seeded Laboratory"
"""
_LATEST = timedelta(days=3)  # a story may open so much before the one that follows it: weekends are moved to Monday


def seed_laboratory(
    data_dir: Path,
    count: int,
    seed: int,
    *,
    end: date | None = None,
    planted: Planted | None = None,
    progress: Callable[[int, int], None] | None = None,
) -> None:
    """Fill a new folder with `count` invented cases over the two years before `end`; what came later is still open.

    Raises CaseLogError where the folder holds a case log already.
    """
    if (data_dir / "caselog.sqlite").exists():
        raise CaseLogError(f"{data_dir} holds a case log already; a seeded laboratory needs a new folder.")
    data_dir.mkdir(mode=0o700, parents=True, exist_ok=True)
    write_atomically(data_dir / SETTINGS_FILE, _SETTINGS.encode())
    end = end or date.today()
    with CaseLog(data_dir) as log:
        readers = _people(Accounts(log))
        images = [(log.images.put(data), len(data)) for data in (_picture(0), _picture(1))]
        with log.in_bulk() as bulk:
            told = _Stories(bulk, readers, images)
            for done, story in enumerate(stories(count, seed, end, planted or Planted()), start=1):
                told.play(story.opened - _LATEST)
                told.take(story, end)
                if progress is not None and done % 500 == 0:
                    progress(done, count)
            told.play(None)


def _people(accounts: Accounts) -> list[User]:
    """The people of the demonstration, and as many pathologists more as there are readers. Returns the readers."""
    known = [accounts.add_user(a.username, a.full_name, a.credentials, a.role, a.password, None) for a in ACCOUNTS]
    readers = [user for user in known if user.role is Role.PATHOLOGIST]
    secret = next(a.password for a in ACCOUNTS if a.role is Role.PATHOLOGIST)
    for number in range(len(readers), READERS):
        name = f"reader{number + 1}"
        readers.append(accounts.add_user(name, f"Reader {number + 1}", "MD", Role.PATHOLOGIST, secret, None))
    return readers


@dataclass(order=True)
class _Event:
    """An act that waits for its time."""

    at: datetime
    number: int
    act: Act = field(compare=False)


class _Stories:
    """Plays stories, which overlap, in the order of time."""

    def __init__(self, bulk: Bulk, readers: list[User], images: list[tuple[str, int]]) -> None:
        self.bulk, self.readers, self.images = bulk, readers, images
        self._waiting: list[_Event] = []
        self._events = 0

    def take(self, story: Story, end: date) -> None:
        """Puts the acts of a story up to `end` into the queue."""
        acts = list(takewhile(lambda act: act.at.date() <= end, _acts(story, self)))
        acts[-1].rows.append(_case(story, self, _STATES[len(acts) - 1], acts[-1].at))
        for act in acts:
            self._events += 1
            heapq.heappush(self._waiting, _Event(act.at, self._events, act))

    def play(self, until: datetime | None) -> None:
        """Writes what is due before `until`; None: all."""
        while self._waiting and (until is None or self._waiting[0].at < until):
            self.bulk.write(heapq.heappop(self._waiting).act)


_STATES = (CaseState.DRAFT, CaseState.ANALYSED, CaseState.REVIEWED, CaseState.SIGNED, CaseState.AMENDED)
"""Of a case after so many acts, the first one left out."""


def _acts(story: Story, told: _Stories) -> Iterator[Act]:
    """Opened, analysed, reviewed, signed, and for some amended."""
    bulk, reader, case_id = told.bulk, told.readers[story.reader], story.number
    regions = [_region(story, told, reader, number) for number in range(2 if story.rejected else 1)]
    yield Act(story.opened, reader, "case opened", case_id, rows=regions)

    region_id = regions[0].id
    found = RegionAnalysis(SIDE_PX, SIDE_PX, story.nuclei, story.models, story.quality, "cpu", 1.0)
    analysis = bulk.analysis(region_id, found, by=reader, at=story.analysed)
    detail = {"region_id": region_id, "nuclei": len(story.nuclei)}
    yield Act(story.analysed, reader, "region analysed", case_id, detail, [analysis])

    reviewed = Act(story.reviewed, reader, "review confirmed", case_id)
    reviewed.rows += (bulk.correction(analysis.id, c) for c in _corrections(story, region_id, reader))
    said: list[tuple[StatementKind, dict[str, Any]]] = [(StatementKind.REVIEWED, {})]
    if story.reasons:
        said.append((StatementKind.INDETERMINATE, {"reasons": list(story.reasons)}))
    reviewed.rows += (bulk.statement(case_id, kind, value, by=reader, at=story.reviewed) for kind, value in said)
    yield reviewed

    signed = Act(story.signed, reader, "report stored: final", case_id, {"kind": "final", "version": 1})
    signed.rows += _second_reading(story, told, region_id)
    first = _report(story, told, ReportKind.FINAL, story.signed)
    signed.rows.append(first)
    yield signed

    if story.amended:
        at = story.signed + timedelta(days=9)
        amended = Act(at, reader, "report stored: amended", case_id, {"kind": "amended", "version": 2})
        amended.rows.append(_report(story, told, ReportKind.AMENDED, at, first))
        yield amended


def _region(story: Story, told: _Stories, by: User, number: int) -> Kept:
    flags = story.flags
    if number:
        flags = replace(flags, suitable=False, unsuitable_reason=story.rejected)
    return told.bulk.region(
        story.number, f"region-{number + 1}.png", told.images[number], (SIDE_PX, SIDE_PX), 0.12, flags,
        by=by, at=story.opened,
    )  # fmt: skip


def _corrections(story: Story, region_id: int, by: User) -> Iterator[Correction]:
    before = {nucleus.id: nucleus for nucleus in story.nuclei}
    for nucleus_id, her2, cep17 in story.corrected:
        was = before[nucleus_id]
        yield Correction(
            0, region_id, nucleus_id, CorrectionKind.COUNTS, {"her2": was.her2, "cep17": was.cep17},
            {"her2": her2, "cep17": cep17}, "", by.id, story.reviewed,
        )  # fmt: skip


def _second_reading(story: Story, told: _Stories, region_id: int) -> Iterator[Kept]:
    bulk, at = told.bulk, story.signed - timedelta(minutes=30)
    if story.recount:
        counted = [RecountedNucleus(region_id, *nucleus) for nucleus in story.recount]
        sums = Tally(len(counted), sum(c.her2 for c in counted), sum(c.cep17 for c in counted))
        yield bulk.recount(story.number, "A", counted, sums, by=told.readers[story.second], at=at)
    if story.adjudication is not None:
        said = story.adjudication
        by = told.readers[said.by_user_id]
        yield bulk.adjudication(story.number, "A", said.category.value, said.group, said.reason, by=by, at=at)


def _report(story: Story, told: _Stories, kind: ReportKind, at: datetime, before: Kept | None = None) -> Kept:
    version = 1 if before is None else 2
    pdf = _page(f"{story.details.accession}, version {version}: invented case of a seeded laboratory, not signed")
    summary = result_summary(story.assessment, story.details.ihc)
    return told.bulk.report(
        story.number, version, kind, pdf, summary, by=told.readers[story.reader], at=at, case_version=version,
        reason="" if before is None else story.amended, replaces=before,
    )  # fmt: skip


def _case(story: Story, told: _Stories, state: CaseState, at: datetime) -> Kept:
    counted = state not in (CaseState.DRAFT, CaseState.ANALYSED)
    return told.bulk.case(
        story.number,
        story.details,
        state,
        by=told.readers[story.reader],
        opened=story.opened,
        changed=at,
        version=5,
        result=(story.assessment.final_group, story.assessment.outcome.value) if counted else None,
    )


def _picture(shade: int) -> bytes:
    """A dark field with discs where the invented nuclei lie, two signals of each probe in each."""
    pixels = np.zeros((SIDE_PX, SIDE_PX, 3), np.uint8)
    y, x = np.mgrid[:64, :64]
    disc = np.hypot(x - 32, y - 32) < 30
    for i in range(28):
        left, top = 40 + 90 * (i % 12), 40 + 90 * (i // 12)
        nucleus = pixels[top : top + 64, left : left + 64]
        nucleus[..., 2][disc] = 130 - 30 * shade
        for channel, row in ((0, 24), (1, 40)):  # two signals of each probe, so that it is a picture of FISH
            for column in (24, 40):
                nucleus[row - 2 : row + 2, column - 2 : column + 2, channel] = 220 - 40 * shade
    buffer = io.BytesIO()
    Image.fromarray(pixels).save(buffer, "PNG")
    return buffer.getvalue()


def _page(text: str) -> bytes:
    """A PDF of one page with one line of ASCII text."""
    content = f"BT /F1 12 Tf 60 780 Td ({text}) Tj ET".encode("ascii")
    objects = (
        b"<</Type/Catalog/Pages 2 0 R>>",
        b"<</Type/Pages/Kids[3 0 R]/Count 1>>",
        b"<</Type/Page/Parent 2 0 R/MediaBox[0 0 595 842]/Contents 4 0 R/Resources<</Font<</F1 5 0 R>>>>>>",
        b"<</Length %d>>stream\n%s\nendstream" % (len(content), content),
        b"<</Type/Font/Subtype/Type1/BaseFont/Helvetica>>",
    )
    file = io.BytesIO(b"%PDF-1.4\n")
    file.seek(0, io.SEEK_END)
    offsets = []
    for number, body in enumerate(objects, start=1):
        offsets.append(file.tell())
        file.write(b"%d 0 obj%s endobj\n" % (number, body))
    start = file.tell()
    file.write(b"xref\n0 6\n0000000000 65535 f \n" + b"".join(b"%010d 00000 n \n" % offset for offset in offsets))
    file.write(b"trailer<</Size 6/Root 1 0 R>>\nstartxref\n%d\n%%%%EOF\n" % start)
    return file.getvalue()
