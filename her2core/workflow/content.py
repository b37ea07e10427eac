"""Put together what a report says: a case as it was assessed, its pictures, the AI's part, who signs."""

from __future__ import annotations

import re
from collections.abc import Iterable, Iterator, Sequence
from dataclasses import asdict, dataclass, replace
from datetime import datetime
from typing import Any

from her2core import __version__
from her2core.caselog import CaseLog, ReportRecord, StatementKind
from her2core.errors import WrongStateError
from her2core.exchange.released import details_to_json
from her2core.imaging import ACCEPTED, read_region
from her2core.records import IHC, Tally, User
from her2core.reporting.content import (
    DEFAULT_LIMITATIONS,
    AiDisclosure,
    Laboratory,
    NucleusRow,
    ObserverCount,
    PopulationResult,
    Replaced,
    ReportContent,
    ReportKind,
    Signatory,
    Thumbnail,
    result_of,
)
from her2core.reporting.figures import overlay_thumbnail
from her2core.scoring import (
    MINIMUM_NUCLEI,
    CaseAssessment,
    DisagreementKind,
    Outcome,
    PopulationAssessment,
    ReviewedNucleus,
    all_signals,
    amplified_cells,
    bootstrap,
    describe_group,
    exclusions,
    group,
    interval_basis,
    low_expression_note,
    ratio,
    truncated,
)
from her2core.scoring.alerts import unread_alert
from her2core.scoring.asked import LEFT_OPEN, as_told
from her2core.scoring.scorable import MOST_OVERLAP, overlap_fractions
from her2core.scoring.wording import adjudicated_step
from her2core.settings import Settings
from her2core.workflow.assessing import CaseReview, RegionReview, models_used
from her2core.workflow.commenting import report_comment
from her2core.workflow.findings import CaseWarning
from her2core.workflow.picturing import Countable, pictured, pictures_note

__all__ = [
    "SECOND_MEANING",
    "Addendum",
    "Assay",
    "assay_of",
    "build_content",
    "laboratory_of",
    "report_number",
    "result_summary",
    "summary_of",
]

SECOND_MEANING = "I have reviewed the images, the counts and this report, and I agree with the result."
"""What a second signature says."""

_PICTURE_PX = 1100
_NO_SCALE = (
    "The scale of the image (µm per pixel) is not known, so signals closer than one signal diameter could not be told "
    "apart by size."
)
_UNCONFIRMED = "pending confirmation of the counts"
_A_GROUP = re.compile(r"\bGroup [1-5]\b")
_NOT_JUDGED = "Not judged: no region was counted."


@dataclass(frozen=True, slots=True)
class Assay:
    """What the laboratory's settings say of the test itself."""

    kind: str = ""
    section_um: float | None = None


@dataclass(frozen=True, slots=True)
class Addendum:
    """What is added to a signed report, and why now."""

    text: str
    reason: str


def assay_of(settings: Settings) -> Assay:
    """The assay as the settings describe it."""
    return Assay(settings.assay_type, settings.section_thickness_um)


def laboratory_of(settings: Settings) -> Laboratory:
    """The laboratory as its settings name it."""
    return Laboratory(
        settings.laboratory_name or "Laboratory name not set",
        settings.laboratory_address,
        settings.laboratory_accreditation,
        settings.laboratory_director,
    )


def report_number(case_id: int) -> str:
    """The laboratory's number of the report of a case, the same over all its versions."""
    return f"HER2-{case_id:06d}"


def build_content(
    log: CaseLog,
    review: CaseReview,
    laboratory: Laboratory,
    signer: User | None,
    meaning: str,
    at: datetime,
    *,
    demonstration: bool = False,
    second: User | None = None,
    assay: Assay | None = None,
    addendum: Addendum | None = None,
) -> ReportContent:
    """The report of a case as it stands, for `signer` to sign at `at` (aware); None: a preliminary one, not signed.

    `second` is who signs after that. A case that is open for amendment gives an amended report; a signed one gives an
    addendum where one is given. Raises WrongStateError where nothing is analysed yet.
    """
    assessment = review.assessment
    if assessment is None:
        raise WrongStateError("Analyse the regions first; there is nothing to report yet.")
    if not review.reviewed:
        review = replace(review, warnings=tuple(w for w in review.warnings if not _tells_result(w)))
    earlier = [r for r in log.reports(review.case.id) if r.kind != ReportKind.PRELIMINARY.value]
    follows = review.amendment is not None or addendum is not None
    replaced = earlier[-1] if earlier and follows else None
    kind = ReportKind.ADDENDUM if addendum is not None else _kind(signer, replaced)
    assay = assay or Assay()
    summary = summary_of(review)
    counting = [r for r in review.regions if r.counts]
    reviewed = [n for r in counting for n in r.nuclei]
    ai, signed = _disclosure(counting), kind is not ReportKind.PRELIMINARY
    countable = [Countable(r.name, r.population or "", sum(n.nucleus.scored for n in r.nuclei)) for r in counting]
    return ReportContent(
        number=report_number(review.case.id),
        version=len(log.reports(review.case.id)) + 1,
        kind=kind,
        laboratory=laboratory,
        details=review.case.details,
        headline=review.headline,
        outcome=assessment.outcome.value if review.reviewed else _UNCONFIRMED,
        populations=tuple(_result(log, review, p) for p in assessment.populations),
        ai=ai,
        audit_head=log.audit_head(),
        reported_at=at,
        signatories=_signatories(signer, second, meaning, at),
        heterogeneous=assessment.heterogeneous,
        heterogeneity=_populations_seen(review, assessment) if counting else _NOT_JUDGED,
        single_cells=_single_cells(review, assessment),
        clusters=_clusters(reviewed) if counting else _NOT_JUDGED,
        suitability=_suitability(review),
        cross_check=_cross_checks(review),
        alerts=tuple(_points(review, ai, signed)),
        indeterminate_reasons=assessment.reasons if assessment.outcome is Outcome.INDETERMINATE else (),
        notes=_notes(review, assessment),
        exclusions=tuple(exclusions(n.nucleus for n in reviewed).items()),
        thumbnails=tuple(_thumbnail(log, counting[place]) for place in pictured(countable)),
        pictures_note=pictures_note(countable),
        nuclei=tuple(_row(r, n) for r in counting for n in r.nuclei),
        replaces=None if replaced is None else _replaced(replaced),
        reason=_reason(review, addendum),
        interpretation="" if addendum is None else addendum.text,
        changes=() if replaced is None or addendum is not None else _changes(replaced.summary, summary),
        assay_type=assay.kind,
        section_thickness_um=assay.section_um,
        demonstration=demonstration,
        limitations=_limitations(counting),
        intervals=interval_basis(r.systematic_error for r in counting),
    )


def result_summary(assessment: CaseAssessment, ihc: IHC | None) -> dict[str, Any]:
    """The result as the summary of a report keeps it: what lists and the laboratory's figures read."""
    return {
        "headline": assessment.headline,
        "outcome": assessment.outcome.value,
        "group": assessment.final_group,
        "deciding": assessment.deciding,
        "ihc": None if ihc is None else ihc.value,
        "populations": {
            p.label: {
                "share_percent": p.share_percent,
                "nuclei": p.tally.n,
                "her2": p.tally.her2,
                "cep17": p.tally.cep17,
                "ratio": truncated(ratio(p.tally)),
                "group": p.group,
                "outcome": p.outcome.value,
            }
            for p in assessment.populations
        },
    }


def summary_of(
    review: CaseReview, laboratory: Laboratory | None = None, signatories: Sequence[Signatory] = ()
) -> dict[str, Any]:
    """What the case log keeps beside the PDF: to search and to compare versions by, and under "as_signed" the rest of
    what other systems are told of the report, since the case, and the names of who signed, may change afterwards."""
    assessment = review.assessment
    if assessment is None:
        return {}
    details = review.case.details
    return {
        **result_summary(assessment, details.ihc),
        "block": details.block,
        "specimen": details.specimen,
        "patient": f"{details.patient_name}, {details.patient_id}",
        "as_signed": {
            "details": details_to_json(details),
            "laboratory": None if laboratory is None else asdict(laboratory),
            "signers": [{"full_name": s.name, "credentials": s.credentials} for s in signatories],
            "rule_set": assessment.rule_set,
            "models": [asdict(model) for model in models_used(r for r in review.regions if r.counts)],
            "intervals": {
                p.label: [p.confidence.copy_number_95, p.confidence.ratio_95]
                for p in assessment.populations
                if p.confidence
            },
        },
    }


def _kind(signer: User | None, replaced: ReportRecord | None) -> ReportKind:
    if signer is None:
        return ReportKind.PRELIMINARY
    return ReportKind.FINAL if replaced is None else ReportKind.AMENDED


def _signatories(signer: User | None, second: User | None, meaning: str, at: datetime) -> tuple[Signatory, ...]:
    if signer is None:
        return ()
    first = Signatory(signer.full_name, signer.credentials, "Pathologist", meaning, at)
    if second is None:
        return (first,)
    return (first, Signatory(second.full_name, second.credentials, "Second pathologist", SECOND_MEANING, None))


def _reason(review: CaseReview, addendum: Addendum | None) -> str:
    if addendum is not None:
        return addendum.reason
    return "" if review.amendment is None else review.amendment.reason


def _replaced(report: ReportRecord) -> Replaced:
    return Replaced(
        report_number(report.case_id),
        report.version,
        report.sha256,
        report.signed_at.astimezone(),
        str(report.summary.get("headline", "")),
    )


def _result(log: CaseLog, review: CaseReview, population: PopulationAssessment) -> PopulationResult:
    regions = sum(r.counts and r.population == population.label for r in review.regions)
    comment = report_comment(review, population)
    result = result_of(population, _observers(log, review, population), regions)
    result = replace(result, path=_path(log, review, population))
    if not review.reviewed:
        return _unconfirmed(population, result)
    if comment is None or not comment.edited:
        return result
    return replace(result, comment=comment.text, comment_letter=f"{comment.letter}, worded by the pathologist")


def _path(log: CaseLog, review: CaseReview, population: PopulationAssessment) -> tuple[str, ...]:
    """The steps of the work-up, with who adjudicated and when where somebody did."""
    if population.adjudication is None:
        return population.path
    by = _adjudicator(log, review, population)
    *before, _ = population.path
    return (*before, adjudicated_step(population.adjudication, population.comment_letter, by))


def _adjudicator(log: CaseLog, review: CaseReview, population: PopulationAssessment) -> str:
    """Name and day of the decision that stands, and whether who decided made one of the two counts."""
    decided = [a for a in review.adjudications if a.population == population.label][-1]
    recount, by = population.recount, decided.by_user_id
    part = ""
    if recount is not None and by == recount.observer_id:
        part = " (who made the blinded recount)"
    elif by in log.first_observers(review.case.id):
        part = " (who made the first count)"
    return f"{log.user(by).full_name}{part} on {decided.at.astimezone():%d %b %Y}"


def _unconfirmed(population: PopulationAssessment, result: PopulationResult) -> PopulationResult:
    """Counts that nobody has confirmed give no result: the numbers, and the group that they would make, said once."""
    path = population.path[:1]
    if population.group is not None:
        meaning = f"Group {population.group}: {describe_group(population.group)}"
        path += (f"No pathologist has confirmed these counts yet; they would make {meaning}.",)
    observers = tuple(replace(count, group=None) for count in result.observers)
    no_result = replace(result, group=None, outcome=_UNCONFIRMED, path=path, observers=observers)
    return replace(no_result, comment=None, comment_letter=None, certainty=())


def _tells_result(warning: CaseWarning) -> bool:
    """True for a warning about the group or the result that the counts would make."""
    return _A_GROUP.search(warning.text) is not None or LEFT_OPEN.prompt in warning.text


def _observers(log: CaseLog, review: CaseReview, population: PopulationAssessment) -> tuple[ObserverCount, ...]:
    """The first reader's count, and the recounts of the population; nobody where no region was counted."""
    if not any(r.counts for r in review.regions):
        return ()
    confidence = population.confidence
    first = ObserverCount(
        observer=_first_reader(log, review),
        role="first reader, AI-assisted",
        tally=population.tally,
        copy_number_95=confidence.copy_number_95 if confidence else None,
        ratio_95=confidence.ratio_95 if confidence else None,
        group=population.group,
    )
    others = []
    for recount in review.recounts:
        if recount.population != population.label:
            continue
        spread = bootstrap([(n.her2, n.cep17) for n in recount.nuclei]) if recount.nuclei else None
        others.append(
            ObserverCount(
                observer=log.user(recount.observer_id).full_name,
                role="second reader, blinded" if recount.blinded else "second reader",
                tally=recount.tally,
                copy_number_95=spread.copy_number_95 if spread else None,
                ratio_95=spread.ratio_95 if spread else None,
                group=_group_of_recount(population, recount.tally),
            )
        )
    return (first, *others)


def _group_of_recount(population: PopulationAssessment, recounted: Tally) -> int | None:
    """The group of a recount; None where it has too few nuclei for one, or no group of the population is reported."""
    if population.group is None or recounted.n < MINIMUM_NUCLEI:
        return None
    return group(recounted)


def _first_reader(log: CaseLog, review: CaseReview) -> str:
    """Who confirmed the first count; before that, who made it."""
    confirmed = review.statement(StatementKind.REVIEWED)
    if confirmed is not None:
        return log.user(confirmed.by_user_id).full_name
    return ", ".join(log.user(user_id).full_name for user_id in sorted(log.first_observers(review.case.id)))


def _row(region: RegionReview, reviewed: ReviewedNucleus) -> NucleusRow:
    nucleus, ai = reviewed.nucleus, reviewed.ai
    return NucleusRow(
        region=region.name,
        number=nucleus.id,
        population=region.population or "",
        ai_her2=None if ai is None else ai.her2,
        ai_cep17=None if ai is None else ai.cep17,
        her2=nucleus.her2,
        cep17=nucleus.cep17,
        scored=nucleus.scored,
        reason=nucleus.reason,
        clustered=nucleus.clustered,
        edited=reviewed.changed,
        added=ai is None,
    )


def _disclosure(regions: Sequence[RegionReview]) -> AiDisclosure:
    nuclei = [n for r in regions for n in r.nuclei]
    scored = [n for n in nuclei if n.nucleus.scored]
    changed = [(n.nucleus, n.ai) for n in nuclei if n.ai is not None]
    return AiDisclosure(
        models=models_used(regions),
        found=sum(len(r.analysis.nuclei) for r in regions if r.analysis),
        counts_edited=sum((now.her2, now.cep17) != (ai.her2, ai.cep17) for now, ai in changed),
        added=sum(n.ai is None for n in nuclei),
        excluded_by_reader=sum(ai.scored and not now.scored for now, ai in changed),
        included_by_reader=sum(now.scored and not ai.scored for now, ai in changed),
        software=f"her2core {__version__}",
        scored=len(scored),
        unsure_of=sum(n.doubtful and not n.covered for n in scored),
        overlapped=sum(_overlapped(r.nuclei) for r in regions),
    )


def _overlapped(nuclei: Sequence[ReviewedNucleus]) -> int:
    """How many nuclei of a region are scored though more of them is hidden than the models let pass."""
    hidden = overlap_fractions([n.nucleus.box for n in nuclei])
    return sum(n.nucleus.scored and share > MOST_OVERLAP for n, share in zip(nuclei, hidden, strict=True))


def _thumbnail(log: CaseLog, region: RegionReview) -> Thumbnail:
    pixels = read_region(log.image_bytes(region.region), region.region.filename, ACCEPTED).pixels_rgb
    scored = [r.nucleus for r in region.nuclei if r.nucleus.scored]
    picture = overlay_thumbnail(
        pixels,
        [r.nucleus for r in region.nuclei],
        region.region.um_per_px,
        _PICTURE_PX,
        edited_ids={r.nucleus.id for r in region.nuclei if r.edited},
    )
    return Thumbnail(picture, f"Region {region.name}: {len(scored)} of its {len(region.nuclei)} nuclei scored")


def _single_cells(review: CaseReview, assessment: CaseAssessment) -> str:
    """How many cells of each population are amplified by themselves; apart from what is said of its populations."""
    several = len(assessment.populations) > 1
    cells = [
        f"{f'Population {p.label}: ' if several else ''}{text}"
        for p in assessment.populations
        if p.label in review.findings and (text := amplified_cells(p.heterogeneity, review.findings[p.label].pattern))
    ]
    return "\n".join(cells)


def _populations_seen(review: CaseReview, assessment: CaseAssessment) -> str:
    if len(assessment.populations) > 1:
        parts = ", ".join(
            f"{p.label} ({p.share_percent:g} % of the tumour cells)" if p.share_percent is not None else p.label
            for p in assessment.populations
        )
        number = len(assessment.populations)
        return f"The pathologist told apart {number} populations: {parts}. Each was counted by itself."
    flagged = any(r.region.flags is not None and r.region.flags.heterogeneous for r in review.regions if r.counts)
    if flagged:
        return "The tumour was flagged heterogeneous; no second population was set apart and counted by itself."
    return "No region was flagged heterogeneous, and no second population was set apart."


def _clusters(nuclei: Iterable[ReviewedNucleus]) -> str:
    scored = [n for n in nuclei if n.nucleus.scored]
    clustered = [n for n in scored if n.nucleus.clustered]
    if not clustered:
        return "No clustered HER2 signals in the scored nuclei."
    return (
        f"HER2 signals are clustered in {len(clustered)} of {len(scored)} scored nuclei; their counts are estimates, "
        f"which a person counted or confirmed one by one in {sum(n.read for n in clustered) or 'none'} of them."
    )


def _cross_checks(review: CaseReview) -> str:
    """The ratio over all signals of each population, where there is one."""
    several = len(review.case.populations) > 1
    return "\n".join(
        f"{f'Population {label}: ' if several else ''}{text}"
        for label, finding in review.findings.items()
        if (text := all_signals(finding.cross_check))
    )


def _of_a_flag(warning: CaseWarning) -> bool:
    """True for a disagreement about one region's flag: it is named under suitability, not among the points to note,
    unless a reason is told with it, as where a region is counted above a limit of the guideline."""
    of_a_flag = warning.kind in (DisagreementKind.CLUSTERS, DisagreementKind.INTENSITY, DisagreementKind.OVERLAP)
    return of_a_flag and not (warning.needs_reason or warning.reason)


def _suitability(review: CaseReview) -> str:
    regions = review.regions
    suitable = [r for r in regions if r.suitable]
    rejected: dict[str, list[str]] = {}
    for r in regions:
        if r.region.flags is not None and not r.suitable:
            rejected.setdefault(r.region.flags.unsuitable_reason, []).append(r.name)
    not_used = "; ".join(f"{', '.join(names)} ({reason})" for reason, names in rejected.items())
    text = (
        f"{len(suitable)} of {len(regions)} region{'s' if len(regions) > 1 else ''} judged suitable by the pathologist"
    )
    text = f"{text}; not used: {not_used}." if not_used else f"{text}."
    kept = [f"{w.kind} of {w.place}" for w in review.warnings if _of_a_flag(w) and w.acknowledged]
    if kept:
        text += f" Flags that the pathologist kept although the findings differ: {', '.join(kept)}."
    return text


def _points(review: CaseReview, ai: AiDisclosure, signed: bool) -> Iterator[str]:
    """What is to be noted; in a signed report as it was asked of the pathologist and acknowledged, and nothing that
    came up since: an addendum, too, tells of what was signed."""
    yield from (_point(w, signed) for w in review.warnings if not _of_a_flag(w) and (w.acknowledged or not signed))
    unread = unread_alert(ai.scored, ai.unsure_of)
    if unread is not None:
        yield as_told(unread) if signed else unread


def _point(warning: CaseWarning, signed: bool) -> str:
    """A warning, and where a limit is exceeded or cells count twice, why the pathologist reports all the same, in the
    pathologist's own words."""
    text = as_told(warning.text) if signed else warning.text
    return f"{text} Reported all the same, since: {warning.reason.rstrip('.')}." if warning.reason else text


def _notes(review: CaseReview, assessment: CaseAssessment) -> tuple[str, ...]:
    if assessment.outcome is not Outcome.NEGATIVE or not review.reviewed:
        return ()
    note = low_expression_note(review.case.details.ihc)
    return () if note is None else (note,)


def _limitations(regions: Sequence[RegionReview]) -> tuple[str, ...]:
    unknown = any(r.region.um_per_px is None for r in regions)
    return (*DEFAULT_LIMITATIONS, _NO_SCALE) if unknown else DEFAULT_LIMITATIONS


def _changes(before: dict[str, Any], after: dict[str, Any]) -> tuple[str, ...]:
    """What an amended report says differently, a line each."""
    words = {"headline": "Result", "ihc": "IHC", "block": "Block", "specimen": "Specimen", "patient": "Patient"}
    found = [
        f"{word}: {_said(before.get(key))} → {_said(after.get(key))}"
        for key, word in words.items()
        if before.get(key) != after.get(key)
    ]
    old, new = before.get("populations", {}), after.get("populations", {})
    for label in dict.fromkeys((*old, *new)):
        was, now = old.get(label), new.get(label)
        if was != now:
            found.append(f"Population {label}: {_numbers(was)} → {_numbers(now)}")
    return tuple(found) or ("No number or result differs.",)


def _said(value: object) -> str:
    return "not given" if value in (None, "") else str(value)


def _numbers(population: dict[str, Any] | None) -> str:
    if population is None:
        return "not there"
    p = population
    called = f"Group {p['group']}" if p["group"] is not None else p["outcome"]
    return f"{p['her2']} HER2 and {p['cep17']} CEP17 in {p['nuclei']} nuclei, ratio {p['ratio']}, {called}"
