"""The comment on a population as the report will carry it: the laboratory's wording, or a pathologist's own."""

from __future__ import annotations

from dataclasses import dataclass
from datetime import datetime

from her2core.caselog import CaseLog, StatementKind
from her2core.records import User
from her2core.scoring import PopulationAssessment
from her2core.workflow.assessing import CaseReview
from her2core.workflow.steps import refresh_state

__all__ = ["ReportComment", "report_comment", "set_comment"]


@dataclass(frozen=True, slots=True)
class ReportComment:
    """A comment. `standard` is the laboratory's wording; `by_user_id` and `at` are None where it stands as it is."""

    letter: str
    text: str
    standard: str
    by_user_id: int | None = None
    at: datetime | None = None

    @property
    def edited(self) -> bool:
        """True if a pathologist worded it."""
        return self.by_user_id is not None


def report_comment(review: CaseReview, population: PopulationAssessment) -> ReportComment | None:
    """The comment on a population; None where the rules ask for none.

    An own wording belongs to one letter: what was written about Group 4 is not printed under Group 2.
    """
    letter, standard = population.comment_letter, population.comment
    if letter is None or standard is None:
        return None
    statement = review.statement(StatementKind.COMMENT, _subject(population.label, letter))
    text = "" if statement is None else str(statement.value["text"]).strip()
    if statement is None or text in ("", standard):
        return ReportComment(letter, standard, standard)
    return ReportComment(letter, text, standard, statement.by_user_id, statement.at)


def set_comment(log: CaseLog, case_id: int, population: str, letter: str, text: str, by: User) -> CaseReview:
    """Record the pathologist's own wording of comment A, B or C on a population; an empty one is the laboratory's."""
    log.set_comment(case_id, _subject(population, letter), text, by)
    return refresh_state(log, case_id, by)


def _subject(population: str, letter: str) -> str:
    return f"{population} {letter}"
