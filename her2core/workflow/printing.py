"""What is typed into a case must be printable on its report: better refused at entry than printed as code points."""

from __future__ import annotations

from dataclasses import fields

from her2core.errors import CaseLogError
from her2core.records import CaseDetails
from her2core.reporting.fonts import unprintable

__all__ = ["check_printable"]


def check_printable(details: CaseDetails) -> None:
    """Raises CaseLogError naming the first field that holds characters which no report font has."""
    for field in fields(details):
        value = getattr(details, field.name)
        missing = unprintable(value) if type(value) is str else ""
        if missing:
            name = field.name.replace("_", " ")
            raise CaseLogError(
                f"A report cannot print this script in the field “{name}” ({len(missing)} different characters). Enter "
                "it in Latin letters, as on the request form."
            )
