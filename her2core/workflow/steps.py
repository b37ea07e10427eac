"""The steps of a case between intake and signature. Each checks what the rules demand, writes, and stores the state."""

from __future__ import annotations

import contextlib
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from pathlib import PurePath
from typing import Any

from her2core.caselog import CaseLog, StatementKind
from her2core.errors import ConflictError, DuplicateError, Her2CoreError, ScoringError, WrongStateError
from her2core.imaging import ChannelMap, ImageLimits, PixelsRGB, RegionImage, read_region, strip_metadata
from her2core.records import (
    Box,
    Case,
    CaseDetails,
    CaseState,
    Correction,
    CorrectionKind,
    Nucleus,
    Population,
    Region,
    RegionFlags,
    User,
)
from her2core.scoring import (
    Adjudication,
    Outcome,
    apply_corrections,
    check_correction,
    iou,
    next_nucleus_id,
    next_redo,
    next_undo,
)
from her2core.workflow.assessing import CaseReview, assess
from her2core.workflow.duplicates import shown_already
from her2core.workflow.findings import CaseWarning
from her2core.workflow.intake_checks import check_possible
from her2core.workflow.printing import check_printable

__all__ = [
    "CountBox",
    "ExaminedImage",
    "acknowledge",
    "add_examined",
    "add_nucleus",
    "add_region",
    "adjudicate",
    "amend",
    "attest",
    "check_in_no_other_case",
    "confirm_review",
    "correct",
    "create_case",
    "examine_image",
    "follow_findings",
    "redo_last",
    "refresh_state",
    "set_details",
    "set_flags",
    "set_indeterminate",
    "set_populations",
    "undo_last",
    "withdraw_amendment",
]

CountBox = Callable[[PixelsRGB, Box, int], Nucleus]
"""`pipeline.count_box` with the models filled in: pixels, box in pixels, id of the new nucleus."""

_SAME_NUCLEUS_IOU = 0.5
_MOST_READINGS = 10


def refresh_state(log: CaseLog, case_id: int, by: User) -> CaseReview:
    """Derive the state of the case from what is known of it and store it, with the result for searching.

    A result is stored only for a reviewed case whose work-up is not waiting: a second observer must not read the group
    of a first count. Where another act comes between, the case is read again: what was derived from less must not be
    stored over what was derived from more.
    """
    for _ in range(_MOST_READINGS):
        review = assess(log, case_id)
        with contextlib.suppress(ConflictError):
            if review.editable:
                _store_derived(log, review, by)
            return review
    return review  # whoever goes on changing it derives the state after the last change


def _store_derived(log: CaseLog, review: CaseReview, by: User) -> None:
    """Raises ConflictError where the case is another one than was read."""
    case_id, version = review.case.id, review.case.version
    log.set_state(case_id, review.state, by, version=version)
    confirmed = review.assessment if review.reviewed else None
    group = confirmed.final_group if confirmed is not None and review.has_result else None
    log.set_result(case_id, group, None if confirmed is None else confirmed.outcome.value, by, version=version)


# --- intake -------------------------------------------------------------------------------------------------------


def create_case(log: CaseLog, details: CaseDetails, by: User) -> Case:
    """Open a case. Raises CaseLogError where a text cannot be printed, dates contradict each other or a time cannot
    be, and as `CaseLog.create_case`."""
    check_printable(details)
    check_possible(log, details)
    case = log.create_case(details, by)
    _refresh_cases_of(log, [details.patient_id], case.id, by)
    return case


def set_details(log: CaseLog, case_id: int, details: CaseDetails, version: int, by: User) -> Case:
    """Replace what intake recorded, such as a late IHC score.

    Raises ConflictError if the case changed meanwhile, CaseLogError where a text cannot be printed, dates that were
    entered now contradict each other or a time cannot be.
    """
    check_printable(details)
    before = log.case(case_id).details
    check_possible(log, details, before)
    case = log.update_details(case_id, details, version, by)
    refresh_state(log, case_id, by)
    if _patient(before) != _patient(case.details):
        _refresh_cases_of(log, [before.patient_id, case.details.patient_id], case_id, by)
    return case


def _patient(details: CaseDetails) -> tuple[object, ...]:
    """What the warnings of other cases with the same patient ID depend on."""
    return details.patient_id, details.patient_name, details.date_of_birth


def _refresh_cases_of(log: CaseLog, patient_ids: Sequence[str], but: int, by: User) -> None:
    """Store the states of the other cases with these patient IDs anew: one of them may now wait for a warning that the
    ID has another name elsewhere, or no longer."""
    for case_id in dict.fromkeys(i for patient_id in patient_ids for i in log.reviewed_of_patient(patient_id, but)):
        with contextlib.suppress(Her2CoreError):  # a case that cannot be read is told where it is opened
            refresh_state(log, case_id, by)


def set_populations(log: CaseLog, case_id: int, populations: Sequence[Population], version: int, by: User) -> Case:
    """Say which populations the tumour has. Raises WrongStateError where a region is flagged for one that would go."""
    kept = {p.label for p in populations}
    orphaned = [r.filename for r in log.regions(case_id) if r.flags is not None and r.flags.population not in kept]
    if orphaned:
        raise WrongStateError(
            f"{len(orphaned)} region(s) are flagged for a population that would be gone: flag them anew."
        )
    case = log.set_populations(case_id, populations, version, by)
    refresh_state(log, case_id, by)
    return case


def add_region(
    log: CaseLog,
    case_id: int,
    data: bytes,
    filename: str,
    by: User,
    limits: ImageLimits,
    channels: ChannelMap | None = None,
) -> tuple[Region, RegionImage]:
    """Verify an uploaded image, strip what identifies a patient, and store it. Raises ImageError and CaseLogError.

    `channels` says which channel shows which probe where the file does not; what is stored then says it by itself.
    """
    examined = examine_image(data, filename, limits, channels)
    return add_examined(log, case_id, examined, by), examined.image


@dataclass(frozen=True, slots=True)
class ExaminedImage:
    """An image that can be a region: as it came, and the bytes of it that may be stored, with what they show.

    `mapped`: its channels were named by hand.
    """

    image: RegionImage
    data: bytes
    filename: str
    stored: RegionImage
    mapped: bool


def examine_image(data: bytes, filename: str, limits: ImageLimits, channels: ChannelMap | None = None) -> ExaminedImage:
    """Verify an image and strip what identifies a patient, before anything is recorded of it. Raises ImageError."""
    image = read_region(data, filename, limits, channels=channels)
    clean = strip_metadata(data, limits, channels=channels)
    if channels is not None and clean[:2] in (b"II", b"MM"):  # TIFF, whatever it was before
        filename = f"{PurePath(filename).stem}.tif"
    stored = image if clean == data else read_region(clean, filename, limits)
    return ExaminedImage(image, clean, filename, stored, channels is not None)


def check_in_no_other_case(log: CaseLog, examined: ExaminedImage, case_id: int | None = None) -> None:
    """Raises DuplicateError where another case than this one, which may not be there yet, has the image."""
    if any(other != case_id for other in log.cases_with_image(examined.stored.sha256)):
        raise DuplicateError("This image is a region of another case already. Check that it belongs to this patient.")


def add_examined(log: CaseLog, case_id: int, examined: ExaminedImage, by: User) -> Region:
    """Store an image as a region of the case. Raises CaseLogError, DuplicateError where a case has it already."""
    check_in_no_other_case(log, examined, case_id)
    stored = examined.stored
    if shown_already(log, case_id, stored, mapped=examined.mapped):
        raise DuplicateError("This image is a region of the case already; one nucleus must not count twice.")
    region = log.add_region(
        case_id,
        examined.data,
        examined.filename,
        stored.width_px,
        stored.height_px,
        examined.image.um_per_px,
        stored.sha256,
        by,
    )
    refresh_state(log, case_id, by)
    return region


def set_flags(log: CaseLog, region_id: int, flags: RegionFlags, by: User) -> Region:
    """Record the pathologist's judgement of a region."""
    region = log.set_flags(region_id, flags, by)
    refresh_state(log, region.case_id, by)
    return region


def follow_findings(log: CaseLog, warning: CaseWarning, by: User) -> tuple[Region, ...]:
    """Settle a disagreement by changing the flags to what was found; the regions with their new flags. Raises
    WrongStateError where no flag would."""
    if not warning.changes:
        raise WrongStateError("No flag settles this point: acknowledge it once you have looked.")
    return tuple(set_flags(log, region_id, flags, by) for region_id, flags in warning.changes)


# --- review -------------------------------------------------------------------------------------------------------


def correct(
    log: CaseLog,
    region_id: int,
    nucleus_id: int,
    kind: CorrectionKind,
    new: Mapping[str, Any],
    by: User,
    reason: str = "",
    *,
    seen: int | None = None,
) -> Correction:
    """Record one correction. Raises ScoringError, with a sentence for the pathologist, where it cannot be made, and
    ConflictError where the nucleus was corrected after the correction `seen` (None: whatever came before)."""
    region = log.region(region_id)
    analysis = log.analysis(region_id)
    if analysis is None:
        raise WrongStateError("This region is not analysed yet; there is nothing to correct.")
    old = check_correction(analysis.nuclei, log.corrections(region_id), nucleus_id, kind, dict(new))
    correction = log.add_correction(region_id, nucleus_id, kind, old, new, reason, by, seen=seen)
    refresh_state(log, region.case_id, by)
    return correction


def add_nucleus(log: CaseLog, region_id: int, pixels_rgb: PixelsRGB, box: Box, by: User, count: CountBox) -> Nucleus:
    """Count a nucleus that the models missed, in the box that the pathologist drew, and record it.

    Raises ScoringError where a nucleus is there already, ModelError where the models cannot be used.
    """
    analysis = log.analysis(region_id)
    if analysis is None:
        raise WrongStateError("Analyse this region first, then add what was missed.")
    corrections = log.corrections(region_id)
    for reviewed in apply_corrections(analysis.nuclei, corrections):
        if iou(reviewed.nucleus.box, box) > _SAME_NUCLEUS_IOU:
            raise ScoringError(
                f"Nucleus {reviewed.nucleus.id} is there already. Correct it instead of adding it again."
            )
    nucleus = count(pixels_rgb, box, next_nucleus_id(analysis.nuclei, corrections))
    correct(log, region_id, nucleus.id, CorrectionKind.ADD, nucleus.to_dict(), by)
    return nucleus


def undo_last(log: CaseLog, region_id: int, by: User) -> Correction | None:
    """Take back the latest correction in force of a region; None where there is none."""
    last = next_undo(log.corrections(region_id))
    return None if last is None else _take_back(log, last, by)


def redo_last(log: CaseLog, region_id: int, by: User) -> Correction | None:
    """Take back the latest undo of a region, unless something was corrected since; None where there is none."""
    last = next_redo(log.corrections(region_id))
    return None if last is None else _take_back(log, last, by)


def _take_back(log: CaseLog, last: Correction, by: User) -> Correction:
    return correct(log, last.region_id, last.nucleus_id, CorrectionKind.UNDO, {"correction_id": last.id}, by)


def confirm_review(log: CaseLog, case_id: int, version: int, by: User) -> CaseReview:
    """Record that the pathologist looked through the nuclei.

    Raises WrongStateError while a region waits for analysis or a point is to be settled (flags and findings disagree,
    or all signals contradict the scored nuclei), ConflictError where somebody changed the case meanwhile.
    """
    review = assess(log, case_id)
    waiting = [r.name for r in review.regions if r.suitable and r.analysis is None]
    if review.assessment is None or waiting:
        raise WrongStateError("Analyse all suitable regions before the counts are confirmed.")
    if review.unsettled:
        raise WrongStateError(
            "Before the counts are confirmed, acknowledge each point on which flags or counts disagree with what was "
            f"found, or change the flag: {'; '.join(f'{w.about} ({w.place})' for w in review.unsettled)}."
        )
    log.mark_reviewed(case_id, version, by)
    return refresh_state(log, case_id, by)


# --- work-up ------------------------------------------------------------------------------------------------------


def attest(log: CaseLog, case_id: int, by: User, value: bool) -> CaseReview:
    """Record whether FISH fits the histology. Raises WrongStateError while there is no result that it could be about.

    Said again by the same person while it holds, it is no new statement: a field on a page may report its value twice,
    and a second statement would make the case another one than the signer is looking at.
    """
    review = assess(log, case_id)
    if not review.has_result:
        raise WrongStateError(
            "There is no result yet that could fit the histology: confirm the counts and complete the work-up first."
        )
    said = review.statement(StatementKind.NO_DISCORDANCE)
    if said is not None and said.by_user_id == by.id and review.attested is value:
        return review
    log.attest_no_discordance(case_id, by, value)
    return refresh_state(log, case_id, by)


def set_indeterminate(log: CaseLog, case_id: int, reasons: Sequence[str], by: User) -> CaseReview:
    """Record why the test cannot give a result; no reasons: it can."""
    log.set_indeterminate_reasons(case_id, tuple(reasons), by)
    return refresh_state(log, case_id, by)


def acknowledge(log: CaseLog, case_id: int, warning: CaseWarning, by: User, reason: str = "") -> CaseReview:
    """Record that a warning was read, and why the case goes on where that needs a reason.

    Raises ScoringError where that reason is missing.
    """
    if warning.needs_reason and not reason.strip():
        raise ScoringError(
            "Give the reason why the case goes on all the same, although a limit is exceeded or cells count twice; it "
            "becomes part of the report."
        )
    log.acknowledge(case_id, warning.key, warning.text, by, reason.strip())
    return refresh_state(log, case_id, by)


def adjudicate(
    log: CaseLog, case_id: int, population: str, category: Outcome, group: int, reason: str, by: User
) -> CaseReview:
    """Record the decision between two counts that fall into different groups, or another one in its place.

    Until the case is signed a decision can be mended; the earlier one stays in the case log. Raises ScoringError for a
    group that contradicts the category or a missing reason, WrongStateError where the two counts leave nothing to
    decide, ConflictError where somebody changed the case in this moment.
    """
    Adjudication(by.id, category, group, reason)  # what it refuses must not get into the case log
    review = assess(log, case_id)
    assessed = review.assessment.populations if review.assessment is not None else ()
    due = any(
        p.label == population and (p.outcome is Outcome.PENDING_ADJUDICATION or p.adjudication is not None)
        for p in assessed
    )
    if not due:
        raise WrongStateError("No adjudication is due: the two counts of this population leave nothing to decide.")
    log.save_adjudication(case_id, population, category.value, group, reason, by, version=review.case.version)
    return refresh_state(log, case_id, by)


def amend(log: CaseLog, case_id: int, reason: str, version: int, by: User) -> Case:
    """Open a signed case for change: what follows ends in a new version of the report that names the old one."""
    case = log.case(case_id)
    if case.state not in (CaseState.SIGNED, CaseState.AMENDED):
        raise WrongStateError("Only a signed case is amended.")
    log.open_amendment(case_id, reason, version, by)
    refresh_state(log, case_id, by)
    return log.case(case_id)


def withdraw_amendment(log: CaseLog, case_id: int, by: User) -> Case:
    """Close an amendment under which nothing was changed. Raises WrongStateError where something was."""
    return log.withdraw_amendment(case_id, log.case(case_id).version, by)
