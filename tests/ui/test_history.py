"""The history tells what was declared: which warning, why the case went on, and what fits or does not."""

from __future__ import annotations

from collections.abc import Callable
from datetime import UTC, date, datetime
from typing import Any

import pytest

from her2core.caselog import AuditEntry, Statement, StatementKind
from her2core.ui.history import changes_in_words, in_words, statements_in_words

NOW = datetime(2026, 11, 28, 4, tzinfo=UTC)


def _stated(kind: StatementKind, statement_id: int = 3) -> AuditEntry:
    detail = {"statement_id": statement_id, "kind": kind.value, "subject": ""}
    return AuditEntry(1, NOW, 2, "berg", f"stated: {kind.value}", 1, detail, {}, "", "")


def _statement(kind: StatementKind, value: dict[str, Any], statement_id: int = 3) -> Statement:
    return Statement(statement_id, 1, kind, "", value, 2, NOW)


@pytest.mark.parametrize(
    ("kind", "value", "said"),
    [
        (StatementKind.ACKNOWLEDGED, {"text": "The ratio is near 2."}, "Acknowledged: The ratio is near 2"),
        (
            StatementKind.ACKNOWLEDGED,
            {"text": "7 of 27 lack a colour.", "reason": "Cut nuclei."},
            "Acknowledged: 7 of 27 lack a colour. Reason to go on: Cut nuclei",
        ),
        (StatementKind.NO_DISCORDANCE, {"value": True}, "Stated that FISH fits the histology"),
        (StatementKind.NO_DISCORDANCE, {"value": False}, "Stated that FISH does not fit the histology"),
        (
            StatementKind.INDETERMINATE,
            {"reasons": ["no controls", "crushed cells"]},
            "Stated why the test gives no result: no controls; crushed cells",
        ),
        (StatementKind.INDETERMINATE, {"reasons": []}, "Stated that the test gives a result"),
        (StatementKind.COMMENT, {"text": "Seen with Dr. Weiss."}, "Worded the comment: Seen with Dr. Weiss."),
        (StatementKind.COMMENT, {"text": ""}, "Took the own wording of the comment back"),
    ],
)
def test_a_declaration_is_told_with_what_it_said(kind: StatementKind, value: dict[str, Any], said: str) -> None:
    earlier = _statement(kind, {"text": "Other.", "value": not value.get("value"), "reasons": ["other"]}, 2)
    stated = statements_in_words([_statement(kind, value), earlier])
    assert in_words(_stated(kind), {2: "Miriam Berg"}, {}, stated) == said
    assert in_words(_stated(kind, 2), {2: "Miriam Berg"}, {}, stated) == stated[2] != said


def test_a_long_comment_is_told_by_its_beginning() -> None:
    told = statements_in_words([_statement(StatementKind.COMMENT, {"text": "word " * 200})])[3]
    assert len(told) < 240
    assert told.endswith(" …")


def test_a_declaration_whose_text_is_not_at_hand_is_named() -> None:
    assert in_words(_stated(StatementKind.ACKNOWLEDGED), {}) == "Stated: acknowledged warning"


@pytest.mark.parametrize("stored", [str, lambda day: day], ids=["in the audit trail", "in the fields"])
def test_days_are_written_as_on_the_rest_of_the_page(stored: Callable[[date], Any]) -> None:
    changed = {"received_on": [None, stored(date(2026, 3, 1))], "probe_expiry": [stored(date(2026, 5, 31)), None]}
    assert changes_in_words(changed) == "received on 01 Mar 2026, expiry of the lot 31 May 2026 → not given"
