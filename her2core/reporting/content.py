"""Everything that a report says, as frozen records; `workflow` fills them in, `pdf.render_report` prints them.

Nothing here is computed from images or the case log: a `ReportContent` is the whole report, so the same content
always prints as the same bytes. The fields follow domain.md 3.1 to 3.4.
"""

from __future__ import annotations

import re
from dataclasses import dataclass
from datetime import datetime
from enum import StrEnum

from her2core.errors import SigningError
from her2core.records import IHC, CaseDetails, Exclusion, ModelUsed, Tally
from her2core.scoring.inputs import PopulationAssessment
from her2core.scoring.wording import certainty

__all__ = [
    "DEFAULT_LIMITATIONS",
    "NOT_CLEARED",
    "AiDisclosure",
    "Interval",
    "Laboratory",
    "NucleusRow",
    "ObserverCount",
    "PopulationResult",
    "Replaced",
    "ReportContent",
    "ReportKind",
    "Signatory",
    "Thumbnail",
    "result_of",
]

Interval = tuple[float, float]
"""Lower and upper end of a 95 % interval."""

NOT_CLEARED = "Research use / decision support; not a cleared medical device"
"""Printed on every page."""

DEFAULT_LIMITATIONS = (
    "Sections cut through nuclei, so signals of either colour can be missing. What the intervals cover stands "
    "below the counts; errors of preparation and of the choice of area are not covered.",
    "HER2 signals in clusters cannot be told apart; their number is an estimate.",
)

_SHA256 = re.compile(r"[0-9a-f]{64}")


class ReportKind(StrEnum):
    """Which document this is; the values are those of `CaseLog.store_report`."""

    FINAL = "final"
    AMENDED = "amended"
    ADDENDUM = "addendum"
    PRELIMINARY = "preliminary"


@dataclass(frozen=True, slots=True)
class Laboratory:
    """Who issues the report (42 CFR 493.1291(c): name and address of the laboratory)."""

    name: str
    address: str = ""
    accreditation: str = ""
    director: str = ""


@dataclass(frozen=True, slots=True)
class ObserverCount:
    """One reader's count of one population.

    `role` says how it was read, for example "first reader, AI-assisted" or "second reader, blinded".
    """

    observer: str
    role: str
    tally: Tally
    copy_number_95: Interval | None = None
    ratio_95: Interval | None = None
    group: int | None = None


@dataclass(frozen=True, slots=True)
class PopulationResult:
    """The result of one tumour-cell population.

    `tally` is the count that the result rests on; `observers` lists every reader's count, that one included.
    `outcome` is the value of `scoring.workup.Outcome`; `path` the plain sentences of the work-up; `counted` is false
    for a population of at most 10 %, which is described and does not bear on the result. `certainty` says how sure the
    group is. `result_of` builds it.
    """

    label: str
    share_percent: float | None
    tally: Tally
    group: int | None
    outcome: str
    copy_number_95: Interval | None = None
    ratio_95: Interval | None = None
    path: tuple[str, ...] = ()
    comment: str | None = None
    observers: tuple[ObserverCount, ...] = ()
    regions: int | None = None
    clustered: int | None = None
    counted: bool = True
    ihc: IHC | None = None
    comment_letter: str | None = None
    certainty: tuple[str, ...] = ()


@dataclass(frozen=True, slots=True)
class NucleusRow:
    """One line of the per-nucleus table: what the models counted and what was signed.

    `region` is a short name such as "A1"; `ai_*` are None where a person added the nucleus or the models could not
    count it; `her2`, `cep17` are the final counts.
    """

    region: str
    number: int
    population: str
    ai_her2: int | None
    ai_cep17: int | None
    her2: int | None
    cep17: int | None
    scored: bool
    reason: Exclusion | None = None
    clustered: bool = False
    edited: bool = False
    added: bool = False


@dataclass(frozen=True, slots=True)
class Thumbnail:
    """A picture (PNG or JPEG bytes, see `figures.overlay_thumbnail`) and the line under it."""

    image: bytes
    caption: str


def _nuclei(number: int) -> str:
    return "1 nucleus" if number == 1 else f"{number} nuclei"


@dataclass(frozen=True, slots=True)
class AiDisclosure:
    """Which models took part and how much of what they said a person changed. Counts are nuclei."""

    models: tuple[ModelUsed, ...]
    found: int
    counts_edited: int = 0
    added: int = 0
    excluded_by_reader: int = 0
    included_by_reader: int = 0
    software: str = ""
    scored: int = 0
    unsure_of: int = 0  # scored, and no person confirmed or corrected them one by one
    overlapped: int = 0  # scored by a person though another box hides more of them than the models let pass

    @property
    def doubts(self) -> str:
        """What counts although it was in doubt, in sentences; empty where nothing was."""
        said = []
        if self.unsure_of:
            said.append(
                f"Of {_nuclei(self.scored)} scored, the models were unsure of {self.unsure_of} that no person "
                "confirmed or corrected one by one."
            )
        if self.overlapped:
            nuclei = _nuclei(self.overlapped)
            said.append(f"A person scored {nuclei} in spite of more overlap than the models let pass.")
        return " ".join(said)

    @property
    def edits(self) -> str:
        """What a person changed, as a sentence. A nucleus may come to count by a new count as well as by decision."""
        done = (
            (self.counts_edited, f"changed the counts of {_nuclei(self.counts_edited)}"),
            (self.added, f"added {_nuclei(self.added)}"),
            (self.excluded_by_reader, f"left out {self.excluded_by_reader} that the models had scored"),
            (self.included_by_reader, f"scored {self.included_by_reader} that the models had left out"),
        )
        said = [words for number, words in done if number]
        if not said:
            return "No person changed any of it."
        return f"A person {' and '.join(filter(None, (', '.join(said[:-1]), said[-1])))}."


@dataclass(frozen=True, slots=True)
class Signatory:
    """Who signs, in what role, with what meaning (21 CFR 11.50). `at` is aware and in the laboratory's zone.

    The first signatory is the responsible pathologist; a second one countersigns. `at` is None for a second signature
    that is still to be given when the report is printed: its time stands in the signature field.
    """

    name: str
    credentials: str
    role: str
    meaning: str
    at: datetime | None


@dataclass(frozen=True, slots=True)
class Replaced:
    """The earlier report that this one amends or adds to."""

    number: str
    version: int
    sha256: str
    signed_at: datetime | None = None
    headline: str = ""


@dataclass(frozen=True, slots=True)
class ReportContent:
    """All that one report says.

    `number` names the report in the laboratory (it stays the same over versions); `reported_at` is aware and in
    the laboratory's zone. `headline` is `CaseReview.headline`: what stands before its colon is printed largest.
    `interpretation` is the pathologist's own text, `notes` are footnotes to the result, such as
    `scoring.comments.low_expression_note`. `heterogeneity`, `clusters`, `suitability` and
    `cross_check` are whole statements; so is `single_cells`, which is no part of the one on heterogeneity.
    `intervals` says what the 95 % intervals cover (`scoring.interval_basis`).
    `pictures_note` says which regions have no picture and why; empty where all have one.
    `changes` lists, for an amended report, what differs from the replaced one. `signatories` has one or two entries,
    and none only in a preliminary report; one empty signature field is placed for each.

    Raises SigningError where the parts do not make a report: an amendment without reason, no signatory, a time
    without zone.
    """

    number: str
    version: int
    kind: ReportKind
    laboratory: Laboratory
    details: CaseDetails
    headline: str
    outcome: str
    populations: tuple[PopulationResult, ...]
    ai: AiDisclosure
    audit_head: str
    reported_at: datetime
    signatories: tuple[Signatory, ...] = ()
    heterogeneous: bool = False
    heterogeneity: str = ""
    single_cells: str = ""
    clusters: str = ""
    suitability: str = ""
    cross_check: str = ""
    alerts: tuple[str, ...] = ()
    indeterminate_reasons: tuple[str, ...] = ()
    guideline: str = "ASCO/CAP 2018 dual-probe ISH, affirmed 2023 (rule set ASCO_CAP_2018)"
    interpretation: str = ""
    notes: tuple[str, ...] = ()
    exclusions: tuple[tuple[Exclusion, int], ...] = ()
    thumbnails: tuple[Thumbnail, ...] = ()
    pictures_note: str = ""
    nuclei: tuple[NucleusRow, ...] = ()
    assay_type: str = ""
    section_thickness_um: float | None = None
    replaces: Replaced | None = None
    reason: str = ""
    changes: tuple[str, ...] = ()
    demonstration: bool = False
    limitations: tuple[str, ...] = DEFAULT_LIMITATIONS
    intervals: str = "bootstrap over nuclei"

    def __post_init__(self) -> None:
        if not self.populations:
            raise SigningError("A report needs the result of at least one population.")
        if self.version < 1:
            raise SigningError("The version of a report starts at 1.")
        self._check_kind()
        for moment in (self.reported_at, *(signatory.at for signatory in self.signatories)):
            if moment is not None and moment.utcoffset() is None:
                raise SigningError("A time in a report needs its time zone.")
        if self.signatories and self.signatories[0].at is None:
            raise SigningError("The first signature of a report says when it is given.")

    def _check_kind(self) -> None:
        follows = self.kind in (ReportKind.AMENDED, ReportKind.ADDENDUM)
        if follows and self.replaces is None:
            raise SigningError(f"An {self.kind.value} report must name the report that it follows.")
        if follows and not self.reason.strip():
            raise SigningError(f"Give the reason for the {self.kind.value} report.")
        if self.replaces is not None and not _SHA256.fullmatch(self.replaces.sha256):
            raise SigningError("The report to follow must be named with its SHA-256.")
        if len(self.signatories) > 2:
            raise SigningError("A report is signed by one or two people.")
        if not self.signatories and self.kind is not ReportKind.PRELIMINARY:
            raise SigningError("Only a preliminary report may be without signature.")


def result_of(
    assessment: PopulationAssessment, observers: tuple[ObserverCount, ...] = (), regions: int | None = None
) -> PopulationResult:
    """The printed result of a population from its assessment and the counts of its readers."""
    confidence = assessment.confidence
    return PopulationResult(
        label=assessment.label,
        share_percent=assessment.share_percent,
        tally=assessment.tally,
        group=assessment.group,
        outcome=assessment.outcome.value,
        copy_number_95=confidence.copy_number_95 if confidence else None,
        ratio_95=confidence.ratio_95 if confidence else None,
        path=assessment.path,
        comment=assessment.comment,
        observers=observers,
        regions=regions,
        clustered=assessment.clustered,
        counted=assessment.counted,
        ihc=assessment.ihc,
        comment_letter=assessment.comment_letter,
        certainty=() if assessment.group is None else certainty(assessment.confidence, assessment.tally.n),
    )
