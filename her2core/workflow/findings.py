"""What was found in the nuclei beyond the counts: pattern, cross-check, and where flags and findings disagree.

A disagreement is a warning like any other, with one difference: it is settled before the counts are confirmed. To read
it is to acknowledge it (a statement in the case log) or to change the flag; either way the same list shows it, in
review, at sign-out and in the report. The same holds where the ratio over all signals contradicts the scored nuclei,
since what to do about it (look at what was left out) is done before the counts are confirmed; no flag settles that.
"""

from __future__ import annotations

import hashlib
from collections.abc import Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass, replace
from itertools import combinations
from typing import TYPE_CHECKING

from her2core.caselog.entries import Statement, StatementKind
from her2core.imaging import quality
from her2core.records import Nucleus, RegionAnalysis, RegionFlags
from her2core.scoring import (
    CaseAssessment,
    CrossCheck,
    Disagreement,
    DisagreementKind,
    DotsOverDots,
    SpatialPattern,
    cross_check,
    dots_over_dots,
    population_disagreements,
    region_disagreements,
    second_population_alert,
    spatial_pattern,
    tally,
)
from her2core.scoring.alerts import weak_probe_alert
from her2core.scoring.asked import SAME_CELLS
from her2core.scoring.same_cells import Field, same_cells
from her2core.scoring.suitability import SHOWN_TWICE
from her2core.scoring.wording import labelled

if TYPE_CHECKING:
    from her2core.workflow.assessing import RegionReview

__all__ = ["CaseWarning", "PopulationFindings", "case_warnings", "population_findings"]

_PROBES = {"HER2": ("her2_signal_to_noise", "her2_signal_to_background"),
           "CEP17": ("cep17_signal_to_noise", "cep17_signal_to_background")}  # fmt: skip


@dataclass(frozen=True, slots=True)
class PopulationFindings:
    """How the amplified cells of a population lie, and its ratio over all signals beside that of the scored nuclei."""

    pattern: SpatialPattern
    cross_check: CrossCheck


@dataclass(frozen=True, slots=True)
class CaseWarning:
    """Something to be read and acknowledged before signing.

    `key` changes with what is said: what was acknowledged is exactly what is said now. A disagreement of flags and
    findings has a `kind`, and the `place` that it is about; it is acknowledged before the counts are confirmed, or
    settled with `changes`: (region id, flags that would agree). Its key changes with the flag and with the models'
    findings, not with the pathologist's own corrections, but for the number of cells that count twice. `contradicts`:
    all signals contradict the scored nuclei of the `place`; that is acknowledged before the counts are confirmed too,
    and its key is like theirs. `needs_reason`: a limit is exceeded above which the guideline asks to reject (domain.md
    1.9), or cells count twice, so it is acknowledged with a reason; `reason` is the one that was given. `region_id`:
    the region to look at, where it is one.
    """

    key: str
    text: str
    acknowledged: bool
    kind: DisagreementKind | None = None
    place: str = ""
    changes: tuple[tuple[int, RegionFlags], ...] = ()
    needs_reason: bool = False
    reason: str = ""
    contradicts: bool = False
    region_id: int | None = None

    @property
    def before_review(self) -> bool:
        """True if the counts cannot be confirmed before it is settled."""
        return self.kind is not None or self.contradicts

    @property
    def about(self) -> str:
        """What is to be settled, in a word or two; empty for any other warning."""
        return "cross-check" if self.contradicts else "" if self.kind is None else self.kind.value


def population_findings(regions: Iterable[RegionReview]) -> PopulationFindings:
    """The findings over the counting regions of one population."""
    nuclei = [_nuclei(r) for r in regions]
    dots = sum(map(dots_over_dots, nuclei), DotsOverDots(0, 0, 0, 0))
    scored = tally(n for region in nuclei for n in region)
    return PopulationFindings(spatial_pattern(nuclei), cross_check(dots, scored))


def case_warnings(
    assessment: CaseAssessment | None,
    regions: Sequence[RegionReview],
    findings: Mapping[str, PopulationFindings],
    statements: Sequence[Statement],
    of_details: Sequence[str] = (),
    *,
    editable: bool = True,
) -> tuple[CaseWarning, ...]:
    """All warnings of a case: what is settled before the counts are confirmed, the alerts of the work-up, and what the
    details of the case ask to be compared (`of_details`). `editable`: the case may still be changed."""
    if assessment is None:
        return ()
    counting = [r for r in regions if r.counts]
    several = len(assessment.populations) > 1
    shared = editable or _told_of_same_cells(statements)
    found = [
        *(_of_same_cells(counting) if shared else ()),  # first: a region that is rejected for it settles the rest
        *_of_regions(counting),
        *_of_populations(counting, findings, several=several),
        *_of_cross_checks(counting, findings, several=several),
    ]
    texts = list(assessment.alerts)
    if any(w.kind is DisagreementKind.SECOND_POPULATION for w in found):
        told = [second_population_alert(p.heterogeneity) for p in assessment.populations if p.heterogeneity is not None]
        texts = [text for text in texts if text not in told]
    limits = _limits(assessment)
    if any(w.needs_reason for w in found) and len(counting) == 1:  # of one region it is the same finding once more
        texts = [text for text in texts if text not in limits]
    found += [CaseWarning(_key(text), text, False, needs_reason=text in limits) for text in (*texts, *of_details)]
    read = {s.subject: str(s.value.get("reason", "")) for s in statements if s.kind is StatementKind.ACKNOWLEDGED}
    # Before it was settled in review, a cross-check was acknowledged by what it said; that holds on.
    return tuple(_as_read(w, read.get(w.key, read.get(_key(w.text)) if w.contradicts else None)) for w in found)


def _as_read(warning: CaseWarning, reason: str | None) -> CaseWarning:
    """The warning as it was acknowledged; `reason` is None where it was not."""
    acknowledged = reason is not None and (bool(reason) or not warning.needs_reason)
    return replace(warning, acknowledged=acknowledged, reason=reason or "")


def _limits(assessment: CaseAssessment) -> frozenset[str]:
    """The alerts that tell of a limit above which the guideline asks to reject."""
    several = len(assessment.populations) > 1
    scored = [p for p in assessment.populations if p.tally.n]  # nothing is counted of the others
    found = ((p.label, weak_probe_alert(p.tally, p.exclusions)) for p in scored)
    return frozenset(labelled(label, text, several) for label, text in found if text is not None)


def _of_regions(counting: Iterable[RegionReview]) -> Iterator[CaseWarning]:
    for r in counting:
        if r.region.flags is None:
            continue
        for d in region_disagreements(r.region.flags, _nuclei(r), _weak_channels(r)):
            yield _warning(d, f"region {r.name}", [r])


def _of_populations(
    counting: Sequence[RegionReview], findings: Mapping[str, PopulationFindings], *, several: bool
) -> Iterator[CaseWarning]:
    for label, finding in findings.items():
        own = [r for r in counting if r.population == label and r.region.flags is not None]
        flagged = any(r.region.flags is not None and r.region.flags.heterogeneous for r in own)
        for d in population_disagreements(flagged, [_nuclei(r) for r in own], finding.pattern, only_one=not several):
            yield _warning(d, _place(label, several), own)


def _of_cross_checks(
    counting: Sequence[RegionReview], findings: Mapping[str, PopulationFindings], *, several: bool
) -> Iterator[CaseWarning]:
    for label, finding in findings.items():
        check = finding.cross_check
        if check.warning is None:
            continue
        own = [r for r in counting if r.population == label]
        found = [f"{r.region.id} {_found(r.analysis)}" for r in own if r.analysis is not None]
        parts = ["cross-check", label, "across 2.0" if check.across_cut_off else "apart", *found]
        place = _place(label, several)
        said = f"Population {label}: {check.warning}" if several else check.warning
        yield CaseWarning(_key("\n".join(parts)), said, False, place=place, contradicts=True)


_SAME_CELLS = "show the same cells"


def _told_of_same_cells(statements: Iterable[Statement]) -> bool:
    """Whether somebody acknowledged such a point. Of a case that nobody can change, others are of no use, and looking
    for them would take most of the time of a long export."""
    return any(_SAME_CELLS in str(s.value.get("text", "")) for s in statements)


def _of_same_cells(counting: Sequence[RegionReview]) -> Iterator[CaseWarning]:
    """Cells that two regions show, in whichever populations: counted twice, they weigh twice."""
    for one, other in combinations(counting, 2):
        pairs = same_cells(_field(one), _field(other))
        twice = sum(one.nuclei[i].nucleus.scored and other.nuclei[j].nucleus.scored for i, j in pairs)
        if not twice:
            continue
        fewer = min((other, one), key=lambda r: sum(n.nucleus.scored for n in r.nuclei))
        are_counted = "nuclei are scored in both and count" if twice > 1 else "nucleus is scored in both and counts"
        said = f"Regions {one.name} and {other.name} {_SAME_CELLS}: {twice} {are_counted} twice. {SAME_CELLS.prompt}"
        found = [f"{r.region.id} {_found(r.analysis)}" for r in (one, other) if r.analysis is not None]
        key = _key("\n".join([DisagreementKind.SAME_CELLS.value, str(twice), *found]))
        yield CaseWarning(
            key, said, False, DisagreementKind.SAME_CELLS,
            f"regions {one.name} and {other.name}", _rejected(fewer),
            needs_reason=True, region_id=fewer.region.id,
        )  # fmt: skip


def _rejected(region: RegionReview) -> tuple[tuple[int, RegionFlags], ...]:
    """The change that takes a region out of the count."""
    flags = region.region.flags
    if flags is None:
        return ()
    return ((region.region.id, replace(flags, suitable=False, unsuitable_reason=SHOWN_TWICE)),)


def _field(region: RegionReview) -> Field:
    return Field(tuple(n.nucleus.box for n in region.nuclei), region.region.width_px, region.region.height_px)


def _place(label: str, several: bool) -> str:
    return f"population {label}" if several else "tumour"


def _found(analysis: RegionAnalysis) -> list[tuple[int | None, int | None, bool, bool]]:
    """What the models found in a region, for a key that the pathologist's own corrections leave as it is."""
    return [(n.her2, n.cep17, n.clustered, n.scored) for n in analysis.nuclei]


def _warning(d: Disagreement, place: str, regions: Sequence[RegionReview]) -> CaseWarning:
    """A disagreement as a warning. Those of a population are settled by flagging all of its regions alike."""
    changes = []
    for r in regions:
        flags = r.region.flags
        if flags is None:
            continue
        wanted = d.flags
        if d.kind in _OF_POPULATIONS:
            wanted = replace(flags, heterogeneous=d.kind is not DisagreementKind.HETEROGENEITY)
        if wanted is not None and wanted != flags:
            changes.append((r.region.id, wanted))
    said = " ".join(filter(None, (f"{place[0].upper()}{place[1:]}:", d.text, d.advice)))
    return CaseWarning(
        _disagreement_key(d, regions), said, False, d.kind, place, tuple(changes), d.above_limit,
        region_id=None if d.kind in _OF_POPULATIONS else regions[0].region.id,
    )  # fmt: skip


_OF_POPULATIONS = (DisagreementKind.SECOND_POPULATION, DisagreementKind.PATTERN, DisagreementKind.HETEROGENEITY)


def _disagreement_key(d: Disagreement, regions: Iterable[RegionReview]) -> str:
    parts = [d.kind.value, *(["above limit"] if d.above_limit else [])]
    for r in regions:
        flags, analysis = r.region.flags, r.analysis
        if flags is None or analysis is None:
            continue
        flag = {
            DisagreementKind.CLUSTERS: flags.clusters,
            DisagreementKind.INTENSITY: flags.signal_intensity.value,
            DisagreementKind.OVERLAP: flags.overlap.value,
        }.get(d.kind, flags.heterogeneous)
        parts.append(f"{r.region.id} {flag} {_found(analysis)}")
    return _key("\n".join(parts))


def _key(text: str) -> str:
    return hashlib.sha256(text.encode()).hexdigest()[:16]


def _nuclei(region: RegionReview) -> tuple[Nucleus, ...]:
    return tuple(r.nucleus for r in region.nuclei)


def _weak_channels(region: RegionReview) -> tuple[str, ...]:
    below = {limit.measure for limit in quality.broken(region.analysis.quality if region.analysis else {})}
    return tuple(probe for probe, measures in _PROBES.items() if below.intersection(measures))
