"""The history names what was acknowledged, and why the case went on."""

from __future__ import annotations

from datetime import UTC, datetime

import pytest

from her2core.caselog import AuditEntry, Statement, StatementKind
from her2core.ui.history import acknowledged_warnings, in_words

NOW = datetime(2026, 11, 28, 4, tzinfo=UTC)


def _stated(subject: str) -> AuditEntry:
    detail = {"statement_id": 3, "kind": "acknowledged warning", "subject": subject}
    return AuditEntry(1, NOW, 2, "berg", "stated: acknowledged warning", 1, detail, {}, "", "")


def _statement(subject: str, **value: str) -> Statement:
    return Statement(3, 1, StatementKind.ACKNOWLEDGED, subject, value, 2, NOW)


@pytest.mark.parametrize(
    ("value", "said"),
    [
        ({"text": "The ratio is near 2."}, "Acknowledged: The ratio is near 2"),
        (
            {"text": "7 of 27 lack a colour.", "reason": "Cut nuclei."},
            "Acknowledged: 7 of 27 lack a colour. Reason to go on: Cut nuclei",
        ),
    ],
)
def test_an_acknowledged_warning_is_named(value: dict[str, str], said: str) -> None:
    warnings = acknowledged_warnings([_statement("k1", **value), _statement("k2", text="Another one.")])
    assert in_words(_stated("k1"), {2: "Miriam Berg"}, {}, warnings) == said


def test_what_another_kind_of_statement_said_is_no_warning() -> None:
    other = Statement(3, 1, StatementKind.COMMENT, "A", {"text": "Comment."}, 2, NOW)
    assert acknowledged_warnings([other]) == {}
    assert in_words(_stated("gone"), {}) == "Acknowledged a warning"
