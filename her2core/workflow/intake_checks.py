"""What in the details of a case cannot be, or asks for a second look: dates, the probe lot, the times of fixation, and
a patient ID that is used with another name.

What cannot be is refused as it is entered. The rest are warnings: they are shown at intake and, like the alerts of the
work-up, acknowledged before signing. They end up in the report, so none of them says anything of another patient.
"""

from __future__ import annotations

import re
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from datetime import date

from her2core.caselog import CaseLog
from her2core.caselog.beside import key_of
from her2core.errors import CaseLogError
from her2core.records import FIXATION_HOURS, LONGEST_ISCHAEMIA_MIN, Case, CaseDetails
from her2core.scoring.asked import EXPIRED, FIXATION, SAME_BIRTH, SAME_PATIENT

__all__ = ["DetailsWarning", "check_possible", "details_warnings", "other_accessions", "warnings_of", "warnings_of_new"]

_NOT_A_LETTER = re.compile(r"[\W_]+")
_MOST_FIXATION_HOURS = 1000
_MOST_ISCHAEMIA_MIN = 10_000
_MOST_COMPARED = 100
"""Other cases that a patient ID is compared in: a stand-in for an ID, such as "unknown", may have thousands."""


@dataclass(frozen=True, slots=True)
class DetailsWarning:
    """Something about the details, in words that a report may print. `impossible`: it cannot be as it is entered.
    `of_patient`: the case may belong to another patient."""

    text: str
    impossible: bool = False
    of_patient: bool = False


def details_warnings(
    details: CaseDetails, others: Sequence[CaseDetails], *, opened: date, today: date
) -> tuple[DetailsWarning, ...]:
    """All that is wrong with the details, the gravest first.

    others: the other cases with the same patient ID, at most `_MOST_COMPARED` of them. opened: when the case was; a lot
    that expired later may well have been good when it was used.
    """
    return (
        *(DetailsWarning(text, impossible=True) for text in _impossible(details, today)),
        *(DetailsWarning(text, of_patient=True) for text in _of_patient(details, others)),
        *map(DetailsWarning, _of_assay(details, opened)),
    )


def warnings_of(log: CaseLog, case: Case) -> tuple[DetailsWarning, ...]:
    """The warnings about a case as it is stored."""
    others = log.cases_of_patient(case.details.patient_id, but=case.id, unlike=case.details, most=_MOST_COMPARED)
    opened = case.created_at.astimezone().date()
    return details_warnings(case.details, others, opened=opened, today=_today(log))


def warnings_of_new(log: CaseLog, details: CaseDetails) -> tuple[DetailsWarning, ...]:
    """The warnings about a case that is being entered, as far as it is."""
    today = _today(log)
    others = log.cases_of_patient(details.patient_id, unlike=details, most=_MOST_COMPARED)
    return details_warnings(details, others, opened=today, today=today)


def other_accessions(log: CaseLog, details: CaseDetails, but: int | None = None) -> tuple[str, ...]:
    """The accession numbers of cases in which the patient ID has another name or date of birth: for the screen only."""
    others = log.cases_of_patient(details.patient_id, but=but, unlike=details, most=_MOST_COMPARED)
    return tuple(o.accession for o in others if _other_name(o, details) or _other_birth(o, details))


def check_possible(log: CaseLog, details: CaseDetails, before: CaseDetails | None = None) -> None:
    """Raises CaseLogError for what cannot be, unless it was so `before`: another change must not wait for it."""
    today = _today(log)
    known = () if before is None else tuple(_impossible(before, today))
    found = [text for text in _impossible(details, today) if text not in known]
    if found:
        raise CaseLogError(" ".join(found))


def _today(log: CaseLog) -> date:
    return log.now().astimezone().date()


def _impossible(d: CaseDetails, today: date) -> Iterator[str]:
    for name, day in (("date of birth", d.date_of_birth), ("day of collection", d.collected_on),
                      ("day of receipt", d.received_on)):  # fmt: skip
        if day is not None and day > today:
            yield f"The {name} ({_day(day)}) is in the future. Correct it."
    if d.collected_on is not None and d.received_on is not None and d.collected_on > d.received_on:
        yield (
            f"The specimen was collected on {_day(d.collected_on)}, after it was received on {_day(d.received_on)}. "
            "Correct one of the two."
        )
    first = min((day for day in (d.collected_on, d.received_on) if day is not None), default=None)
    if d.date_of_birth is not None and first is not None and d.date_of_birth > first:
        yield (
            f"The date of birth ({_day(d.date_of_birth)}) is after the specimen was "
            f"{'collected' if first == d.collected_on else 'received'} ({_day(first)}). Correct one of the two."
        )
    yield from _impossible_time("Fixation", d.fixation_hours, "hour", _MOST_FIXATION_HOURS)
    yield from _impossible_time("Cold ischaemia", d.cold_ischaemia_min, "minute", _MOST_ISCHAEMIA_MIN)


def _impossible_time(name: str, given: float | None, unit: str, most: int) -> Iterator[str]:
    if given is not None and not 0 <= given <= most:
        fault = "is longer than can be" if given > most else "cannot be"
        yield f"{name} of {_times(given, unit)} {fault}: enter 0 to {most} {unit}s, or leave the field empty."


def _times(number: float, unit: str) -> str:
    return f"{number:.12g} {unit}{'' if number == 1 else 's'}"


def _of_patient(d: CaseDetails, others: Sequence[CaseDetails]) -> Iterator[str]:
    renamed = sum(_other_name(other, d) for other in others)
    if renamed:
        cases = _cases(renamed, others)
        yield f"The patient ID {d.patient_id} is used with another name in {cases}. {SAME_PATIENT.prompt}"
    reborn = sum(_other_birth(other, d) and not _other_name(other, d) for other in others)
    if reborn:
        cases = _cases(reborn, others)
        yield f"The patient ID {d.patient_id} is used with another date of birth in {cases}. {SAME_BIRTH.prompt}"


def _of_assay(d: CaseDetails, opened: date) -> Iterator[str]:
    if d.probe_expiry is not None and d.probe_expiry < opened:
        lot = f"The probe lot {d.probe_lot}" if d.probe_lot else "The probe lot"
        yield (
            f"{lot} expired on {_day(d.probe_expiry)}, before the case was opened on {_day(opened)}. {EXPIRED.prompt}"
        )
    low, high = FIXATION_HOURS
    hours, minutes = d.fixation_hours, d.cold_ischaemia_min
    if hours is not None and (0 <= hours < low or high < hours <= _MOST_FIXATION_HOURS):
        given = _times(hours, "hour")
        yield f"Fixation of {given} is outside the {low} to {high} hours of the guideline. {FIXATION.prompt}"
    if minutes is not None and LONGEST_ISCHAEMIA_MIN < minutes <= _MOST_ISCHAEMIA_MIN:
        yield (
            f"Cold ischaemia of {_times(minutes, 'minute')} is longer than the {LONGEST_ISCHAEMIA_MIN} minutes of "
            "the guideline. Signals may be weak or missing."
        )


def _other_name(one: CaseDetails, other: CaseDetails) -> bool:
    """True if two names differ in more than the order of their words, case and punctuation."""
    return bool(one.patient_name and other.patient_name) and _words(one.patient_name) != _words(other.patient_name)


def _other_birth(one: CaseDetails, other: CaseDetails) -> bool:
    return None not in (one.date_of_birth, other.date_of_birth) and one.date_of_birth != other.date_of_birth


def _words(name: str) -> list[str]:
    return sorted(filter(None, _NOT_A_LETTER.split(key_of(name))))


def _cases(number: int, compared: Sequence[CaseDetails]) -> str:
    if len(compared) >= _MOST_COMPARED:
        return f"{number} or more other cases"
    return "one other case" if number == 1 else f"{number} other cases"


def _day(day: date) -> str:
    return f"{day:%d %b %Y}"
