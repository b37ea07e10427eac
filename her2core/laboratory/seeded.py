"""A seeded laboratory: invented cases written in bulk into a new case log, by its own schema and with its audit chain.

The file is what the acts themselves would have left: rows, the audit trail with their hashes, images and report files,
so that `check` finds nothing. Only the reports are no reports: one page each that says so, unsigned.
"""

from __future__ import annotations

import hashlib
import heapq
import io
from collections import defaultdict
from collections.abc import Callable, Iterator
from dataclasses import dataclass, field
from datetime import date, datetime, timedelta
from itertools import takewhile
from pathlib import Path
from typing import Any

import numpy as np
from PIL import Image
from sqlite_utils import Database

from her2core.accounts import Accounts
from her2core.caselog import CaseLog
from her2core.caselog._audit import chain_hash, head
from her2core.caselog._codec import canonical, key_of, row_sha256, stamp, to_column
from her2core.caselog._rows import DETAIL_FIELDS, Row, detail_columns, flag_columns
from her2core.demo import ACCOUNTS
from her2core.errors import CaseLogError
from her2core.laboratory.invented import READERS, SIDE_PX, Planted, Story, stories
from her2core.models import write_atomically
from her2core.records import CaseState, Role, User, models_dict
from her2core.settings import SETTINGS_FILE
from her2core.workflow.content import result_summary

__all__ = ["seed_laboratory"]

_SETTINGS = """# Written by `python -m her2core seed`: invented cases. Never use this folder for patients.
demo = true
laboratory_name = "Seeded Laboratory"
"""
_WRITE_EVERY = 2000
_LATEST = timedelta(days=3)  # a story may open so much before the one that follows it: weekends are moved to Monday
_SIGNED = (CaseState.SIGNED, CaseState.AMENDED)


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
        log.pdfs.folder.mkdir(mode=0o700, exist_ok=True)
        with log.writing() as db:
            # A signed case takes no more regions, so its row comes last; what refers to it is checked at the end.
            db.execute("PRAGMA defer_foreign_keys = ON")
            writer = _Writer(db, log, readers, images)
            for done, story in enumerate(stories(count, seed, end, planted or Planted()), start=1):
                writer.play(story.opened - _LATEST)
                writer.take(story, end)
                if progress is not None and done % 500 == 0:
                    progress(done, count)
            writer.play(None)
            writer.flush()


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
    """An act that waits for its time: what it writes, and what the audit trail says of it."""

    at: datetime
    number: int
    action: str = field(compare=False)
    by: User = field(compare=False)
    case_id: int = field(compare=False)
    detail: dict[str, Any] = field(compare=False)
    rows: list[tuple[str, Row]] = field(compare=False)


class _Writer:
    """Writes acts in the order of time, each with its audit row, in bulk."""

    def __init__(self, db: Database, log: CaseLog, readers: list[User], images: list[tuple[str, int]]) -> None:
        self._db, self._log, self._readers, self._images = db, log, readers, images
        self._waiting: list[_Event] = []
        self._events = 0
        self._ids: dict[str, int] = defaultdict(int)
        self._blank = {t: _defaults(db, t) for t in _TABLES}
        self._pending: dict[str, list[Row]] = defaultdict(list)
        self._files: dict[str, bytes] = {}
        self._head = head(db)
        self._audit_id = int(db.execute("SELECT count(*) FROM audit").fetchone()[0])

    def take(self, story: Story, end: date) -> None:
        """Puts the acts of a story up to `end` into the queue."""
        acts = list(takewhile(lambda act: act.at.date() <= end, _acts(story, self)))
        state = _STATES[min(len(acts), 4) - 1] if len(acts) < 5 else CaseState.AMENDED
        acts[-1].rows.append(("cases", _case(story, self, state, acts[-1].at)))
        for act in acts:
            heapq.heappush(self._waiting, act)

    def play(self, until: datetime | None) -> None:
        """Writes what is due before `until`; None: all."""
        while self._waiting and (until is None or self._waiting[0].at < until):
            self._write(heapq.heappop(self._waiting))

    def event(self, at: datetime, action: str, by: User, story: Story, **detail: Any) -> _Event:
        """A new act without rows."""
        self._events += 1
        return _Event(at, self._events, action, by, story.number, detail, [])

    def reader(self, number: int) -> User:
        """The person of a reader's number."""
        return self._readers[number]

    def row(self, table: str, **values: Any) -> tuple[str, Row]:
        """A row of a table with the next id."""
        self._ids[table] += 1
        return table, {**self._blank[table], "id": self._ids[table], **values}

    def image(self, number: int) -> dict[str, Any]:
        """The columns of regions that an image fills."""
        digest, size = self._images[number]
        return {"image_sha256": digest, "image_bytes": size, "width_px": SIDE_PX, "height_px": SIDE_PX}

    def case_row(self, values: Row) -> Row:
        """A row of cases."""
        return {**self._blank["cases"], **values}

    def report(self, at: datetime, story: Story, by: User, version: int, kind: str, reason: str) -> tuple[str, Row]:
        """A report's row; its file is written with it. `audit_head` and what it replaces follow when its time comes."""
        pdf = _page(f"{story.details.accession}, version {version}: invented case of a seeded laboratory, not signed")
        digest = hashlib.sha256(pdf).hexdigest()
        self._files[digest] = pdf
        return self.row(
            "reports",
            case_id=story.number,
            version=version,
            kind=kind,
            sha256=digest,
            size_bytes=len(pdf),
            case_version=version,
            reason=reason,
            summary=canonical(result_summary(story.assessment, story.details.ihc)),
            signed_by=by.id,
            cosigned_by="[]",
            signed_at=stamp(at),
        )

    def flush(self) -> None:
        """Writes what is collected, parents last where they are signed."""
        for table in (*_TABLES, "audit"):
            found = self._pending.pop(table, [])
            if found:
                names = list(found[0])
                marks = ", ".join("?" for _ in names)
                self._db.conn.executemany(
                    f"INSERT INTO {table} ({', '.join(names)}) VALUES ({marks})",  # noqa: S608 (names of ours)
                    [[row[name] for name in names] for row in found],
                )

    def _write(self, act: _Event) -> None:
        for table, row in act.rows:
            if table == "reports":
                row["audit_head"] = self._head
                self._log.pdfs.path(row["sha256"]).write_bytes(self._files.pop(row["sha256"]))
            self._pending[table].append(row)
        self._audit_id += 1
        entry = {
            "id": self._audit_id,
            "at": stamp(act.at),
            "by_user_id": act.by.id,
            "by_username": act.by.username,
            "action": act.action,
            "case_id": act.case_id,
            "detail": canonical(act.detail),
            "records": canonical({f"{table}/{row['id']}": row_sha256(row) for table, row in act.rows}),
            "previous": self._head,
        }
        self._head = chain_hash(entry)
        self._pending["audit"].append({**entry, "hash": self._head})
        if len(self._pending["audit"]) >= _WRITE_EVERY:
            self.flush()


_TABLES = ("regions", "analyses", "corrections", "statements", "recounts", "adjudications", "reports", "cases")
_STATES = (CaseState.DRAFT, CaseState.ANALYSED, CaseState.REVIEWED, CaseState.SIGNED)


def _defaults(db: Database, table: str) -> Row:
    """Every column of a table with its default, so that a column of a later migration is there too."""
    found: Row = {}
    for _, name, _, _, default, _ in db.execute(f"PRAGMA table_info({table})").fetchall():
        found[name] = None if default is None else db.execute(f"SELECT {default}").fetchone()[0]
    return found


def _acts(story: Story, writer: _Writer) -> Iterator[_Event]:
    """Opened, analysed, reviewed, signed, and for some amended."""
    reader, second = writer.reader(story.reader), writer.reader(story.second)
    opened = writer.event(story.opened, "case opened", reader, story)
    opened.rows.append(_region(writer, story, reader, 0))
    if story.rejected:
        opened.rows.append(_region(writer, story, reader, 1))
    yield opened
    region_id = opened.rows[0][1]["id"]
    analysed = writer.event(
        story.analysed, "region analysed", reader, story, region_id=region_id, nuclei=len(story.nuclei)
    )
    analysed.rows.append(_analysis(writer, story, reader, region_id))
    yield analysed
    reviewed = writer.event(story.reviewed, "review confirmed", reader, story)
    analysis_id = analysed.rows[0][1]["id"]
    before = {nucleus.id: nucleus for nucleus in story.nuclei}
    for nucleus_id, her2, cep17 in story.corrected:
        was = before[nucleus_id]
        reviewed.rows.append(
            writer.row(
                "corrections",
                analysis_id=analysis_id,
                region_id=region_id,
                nucleus_id=nucleus_id,
                kind="set counts",
                old=canonical({"her2": was.her2, "cep17": was.cep17}),
                new=canonical({"her2": her2, "cep17": cep17}),
                reason="",
                by_user_id=reader.id,
                at=stamp(story.reviewed),
            )
        )
    said: list[tuple[str, dict[str, Any]]] = [("reviewed", {})]
    if story.reasons:
        said.append(("indeterminate reasons", {"reasons": list(story.reasons)}))
    for kind, value in said:
        statement = {"kind": kind, "subject": "", "value": canonical(value), "at": stamp(story.reviewed)}
        reviewed.rows.append(writer.row("statements", case_id=story.number, by_user_id=reader.id, **statement))
    yield reviewed
    signed = writer.event(story.signed, "report stored: final", reader, story, kind="final", version=1)
    signed.rows += _second_reading(writer, story, second, region_id)
    signed.rows.append(writer.report(story.signed, story, reader, 1, "final", ""))
    yield signed
    if story.amended:
        at = story.signed + timedelta(days=9)
        amended = writer.event(at, "report stored: amended", reader, story, kind="amended", version=2)
        table, row = writer.report(at, story, reader, 2, "amended", story.amended)
        earlier = signed.rows[-1][1]
        row |= {"replaces_id": earlier["id"], "replaces_sha256": earlier["sha256"]}
        amended.rows.append((table, row))
        yield amended


def _region(writer: _Writer, story: Story, by: User, number: int) -> tuple[str, Row]:
    flags: Row = flag_columns(story.flags)
    if number:
        flags |= {"suitable": 0, "unsuitable_reason": story.rejected}
    return writer.row(
        "regions",
        case_id=story.number,
        filename=f"region-{number + 1}.png",
        **writer.image(number),
        um_per_px=0.12,
        **flags,
        added_by=by.id,
        added_at=stamp(story.opened),
    )


def _analysis(writer: _Writer, story: Story, by: User, region_id: int) -> tuple[str, Row]:
    return writer.row(
        "analyses",
        region_id=region_id,
        width_px=SIDE_PX,
        height_px=SIDE_PX,
        nuclei=canonical([nucleus.to_dict() for nucleus in story.nuclei]),
        models=canonical(models_dict(story.models)),
        quality=canonical(story.quality),
        device="cpu",
        seconds=1.0,
        by_user_id=by.id,
        at=stamp(story.analysed),
    )


def _second_reading(writer: _Writer, story: Story, second: User, region_id: int) -> Iterator[tuple[str, Row]]:
    at = stamp(story.signed - timedelta(minutes=30))
    if story.recount:
        counted = [{"region_id": region_id, "nucleus_id": i, "her2": h, "cep17": c} for i, h, c in story.recount]
        yield writer.row(
            "recounts",
            case_id=story.number,
            population="A",
            blinded=1,
            n=len(counted),
            her2=sum(nucleus["her2"] for nucleus in counted),
            cep17=sum(nucleus["cep17"] for nucleus in counted),
            nuclei=canonical(counted),
            by_user_id=second.id,
            at=at,
        )
    if story.adjudication is not None:
        decision = story.adjudication
        yield writer.row(
            "adjudications",
            case_id=story.number,
            population="A",
            category=decision.category.value,
            result_group=decision.group,
            reason=decision.reason,
            by_user_id=writer.reader(decision.by_user_id).id,
            at=at,
        )


def _case(story: Story, writer: _Writer, state: CaseState, at: datetime) -> Row:
    details, reader = story.details, writer.reader(story.reader)
    counted = state not in (CaseState.DRAFT, CaseState.ANALYSED)
    return writer.case_row(
        {
            **{name: to_column(value) for name, value in detail_columns(details).items()},
            "id": story.number,
            "accession_key": key_of(details.accession),
            "search": "\n".join(key_of(getattr(details, name)) for name in DETAIL_FIELDS[:3]),
            "populations": canonical([{"label": "A", "share_percent": 100.0}]),
            "state": state.value,
            "version": 5,
            "result_group": story.assessment.group if counted else None,
            "outcome": story.assessment.outcome.value if counted else None,
            "created_by": reader.id,
            "created_at": stamp(story.opened),
            "updated_by": reader.id,
            "updated_at": stamp(at),
        }
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
