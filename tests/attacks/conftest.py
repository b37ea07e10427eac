"""Signed reports and their keys, and laboratories of the case log's tests."""

from __future__ import annotations

from tests.caselog.conftest import full, lab, templates
from tests.proof import record_property
from tests.reporting.conftest import fresh_laboratory, laboratory, signed, unsigned

__all__ = ["fresh_laboratory", "full", "lab", "laboratory", "record_property", "signed", "templates", "unsigned"]
