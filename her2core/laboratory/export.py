"""A list of cases without anything that names a person: for figures of others' making."""

from __future__ import annotations

import csv
import io
import math
from collections.abc import Iterable, Mapping, Sequence
from datetime import date
from typing import Any

from her2core.laboratory.figures import STEPS, step_hours
from her2core.laboratory.ledger import FLAGS, Lines
from her2core.records import CaseState
from her2core.scoring import STATE_WORDS, Outcome, ResultStatus

__all__ = ["COLUMNS", "csv_text", "deidentified_csv", "safe_cell"]

COLUMNS = (
    "sample", "month_opened", "month_signed", "hours_opened_to_signed", "state", "result_status", "group", "outcome",
    "ihc", "nuclei_scored", "her2", "cep17", "ai_group", "ai_nuclei_scored", "ai_her2", "ai_cep17", "nuclei_edited",
    "recount_group", "flags", "regions", "regions_not_suitable", "reports", "amended", "probe_lot", "models", "reader",
)  # fmt: skip


def deidentified_csv(lines: Lines) -> str:
    """The lines as CSV with a byte order mark for spreadsheets.

    Days become months, patients and readers numbers that hold within this list only. Free text is left out. Outcomes
    are those of reports: a case that nobody signed has none.
    """
    buffer = io.StringIO()
    writer = csv.writer(buffer, lineterminator="\r\n")
    writer.writerow(COLUMNS)
    hours = step_hours(lines)[STEPS[-1]]
    samples: dict[str, int] = {}
    readers: dict[int, int] = {}
    names = list(lines.columns)
    for index, values in enumerate(zip(*lines.columns.values(), strict=True)):
        line = dict(zip(names, values, strict=True))
        reader = readers.setdefault(int(line["reader"]), len(readers) + 1)
        writer.writerow(
            [
                samples.setdefault(line["sample"], len(samples) + 1),
                _month(line["opened_day"]),
                _month(line["signed_day"]),
                "" if math.isnan(hours[index]) else f"{hours[index]:.1f}",
                STATE_WORDS[CaseState(line["state"])],
                _status(line),
                _whole(line["result_group"]),
                "" if math.isnan(line["signed"]) else line["outcome"],
                line["ihc"],
                *(_whole(line[name]) for name in ("n", "her2", "cep17", "ai_group", "ai_n", "ai_her2", "ai_cep17")),
                *(_whole(line[name]) for name in ("edited", "second_group")),
                "; ".join(flag for place, flag in enumerate(FLAGS) if int(line["flags"]) >> place & 1),
                *(_whole(line[name]) for name in ("regions", "unsuitable", "reports", "amended")),
                safe_cell(line["probe_lot"]),
                safe_cell(line["model"]),
                f"reader {reader}",
            ]
        )
    return "\ufeff" + buffer.getvalue()


def _status(line: Mapping[str, Any]) -> ResultStatus:
    """What stands behind the group of a case. That of a signed one is as reported last, whatever is open since."""
    if not math.isnan(line["signed"]):
        return ResultStatus.SIGNED
    if line["state"] in (CaseState.DRAFT, CaseState.ANALYSED):
        return ResultStatus.NOT_CONFIRMED if line["nuclei"] else ResultStatus.NOT_ANALYSED
    pending = line["outcome"] != "" and Outcome(line["outcome"]).pending
    return ResultStatus.WORK_UP_OPEN if pending else ResultStatus.NOT_SIGNED


def _whole(value: Any) -> str:
    return "" if math.isnan(value) else str(int(value))


def _month(day: Any) -> str:
    return "" if math.isnan(day) else date.fromordinal(int(day)).strftime("%Y-%m")


def safe_cell(text: str) -> str:
    """Text that a spreadsheet takes for no formula."""
    return f"'{text}" if text.startswith(("=", "+", "-", "@", "\t", "\r")) else text


def csv_text(columns: Sequence[str], lines: Iterable[Mapping[str, Any]]) -> str:
    """A table as CSV with a byte order mark for spreadsheets; text that they would take for a formula is quoted."""
    buffer = io.StringIO()
    writer = csv.writer(buffer, lineterminator="\r\n")
    writer.writerow(columns)
    for line in lines:
        values = (line[name] for name in columns)
        writer.writerow(["" if v is None else safe_cell(v) if isinstance(v, str) else v for v in values])
    return "\ufeff" + buffer.getvalue()
