"""A ReportContent that makes no report cannot be built."""

from __future__ import annotations

from dataclasses import replace
from datetime import datetime

import pytest

from her2core.errors import SigningError
from her2core.reporting.content import AiDisclosure, Replaced, ReportKind, Signatory
from tests.reporting import samples

SIGNATORY = samples.group_report(1).signatories[0]


def test_an_amended_report_needs_the_report_it_replaces() -> None:
    with pytest.raises(SigningError, match="must name the report"):
        replace(samples.group_report(1), kind=ReportKind.AMENDED, reason="because")


@pytest.mark.parametrize("kind", [ReportKind.AMENDED, ReportKind.ADDENDUM])
def test_a_following_report_needs_a_reason(kind: ReportKind) -> None:
    with pytest.raises(SigningError, match="reason"):
        replace(samples.amended_report(), kind=kind, reason="  ")


@pytest.mark.parametrize("sha256", ["", "7B" * 32, "7b" * 31, "g" * 64, "7b" * 32 + "\n"])
def test_the_replaced_report_is_named_by_its_sha256(sha256: str) -> None:
    with pytest.raises(SigningError, match="SHA-256"):
        replace(samples.amended_report(), replaces=Replaced("26-00412", 1, sha256))


def test_only_a_preliminary_report_may_lack_a_signatory() -> None:
    assert samples.preliminary_report().signatories == ()
    with pytest.raises(SigningError, match="without signature"):
        replace(samples.group_report(1), signatories=())


def test_a_report_has_at_most_two_signatories() -> None:
    with pytest.raises(SigningError, match="one or two"):
        replace(samples.group_report(1), signatories=(SIGNATORY,) * 3)


def test_times_need_a_zone() -> None:
    with pytest.raises(SigningError, match="time zone"):
        replace(samples.group_report(1), reported_at=datetime(2026, 11, 24))
    naive = Signatory("A", "MD", "Pathologist", "reviewed", datetime(2026, 11, 24))
    with pytest.raises(SigningError, match="time zone"):
        replace(samples.group_report(1), signatories=(naive,))


def test_a_report_needs_a_population_and_a_version() -> None:
    with pytest.raises(SigningError, match="population"):
        replace(samples.group_report(1), populations=())
    with pytest.raises(SigningError, match="version"):
        replace(samples.group_report(1), version=0)


@pytest.mark.parametrize(
    ("edited", "added", "excluded", "included", "said"),
    [
        (0, 0, 0, 0, "No person changed any of it."),
        (1, 0, 0, 0, "A person changed the counts of 1 nucleus."),
        (4, 2, 0, 0, "A person changed the counts of 4 nuclei and added 2 nuclei."),
        (0, 0, 1, 3, "A person left out 1 that the models had scored and scored 3 that the models had left out."),
    ],
)
def test_what_a_person_changed_is_one_sentence(
    edited: int, added: int, excluded: int, included: int, said: str
) -> None:
    assert AiDisclosure((), 50, edited, added, excluded, included).edits == said


def test_what_counts_in_spite_of_a_doubt_is_said() -> None:
    assert AiDisclosure((), 50, scored=40).doubts == ""
    assert AiDisclosure((), 50, scored=40, unsure_of=7, overlapped=1).doubts == (
        "Of 40 nuclei scored, the models were unsure of 7 that no person confirmed or corrected one by one. "
        "A person scored 1 nucleus in spite of more overlap than the models let pass."
    )
