"""Which nuclei would teach the models most: where they doubt, where they disagree, where the image is unlike others.

Three measures of 0 to 1, for each nucleus of regions that were analysed:
    doubt         the stated chance that a count is wrong
    disagreement  how far the regression of the counts lies from the counts taken, against their spread
    novelty       how far the region's suitability measures lie from those of the other regions
Worth is their weighted mean. No more than a few nuclei of a region are listed: ten alike teach little more than one.
"""

from __future__ import annotations

import math
from collections import Counter
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass

import numpy as np

from her2core.caselog import CaseLog
from her2core.errors import Her2CoreError
from her2core.laboratory.export import csv_text
from her2core.permissions import Action, require
from her2core.records import Nucleus, User

__all__ = ["COLUMNS", "MOST_A_REGION", "Looked", "Worth", "annotation_csv", "disagreement", "look", "novelty", "worth"]

WEIGHTS = {"doubt": 0.5, "disagreement": 0.3, "novelty": 0.2}
MOST_A_REGION = 5
# A nucleus of whom no chance is stated: doubted where it was marked, else hardly.
_MARKED, _UNMARKED = 0.5, 0.1
_FAR = 4.0  # spreads from the middle at which novelty is 1
_SPREAD = 1.4826  # of a normal distribution, in median absolute deviations
COLUMNS = (
    "case", "region", "file", "nucleus", "x0", "y0", "x1", "y1", "her2", "cep17",
    "worth", "doubt", "disagreement", "novelty", "why",
)  # fmt: skip


@dataclass(frozen=True, slots=True)
class Looked:
    """A region that was analysed: its nuclei as the models saw them, without those that a person has corrected."""

    case_id: int
    accession: str
    region_id: int
    filename: str
    nuclei: tuple[Nucleus, ...]
    quality: Mapping[str, float | None]


@dataclass(frozen=True, slots=True)
class Worth:
    """A nucleus and what it would teach, 0 to 1, with the measures behind that."""

    region: Looked
    nucleus: Nucleus
    doubt: float
    disagreement: float
    novelty: float

    @property
    def worth(self) -> float:
        """The weighted mean of the three."""
        return sum(weight * float(getattr(self, name)) for name, weight in WEIGHTS.items())

    @property
    def why(self) -> str:
        """The measure that counts most here, in words."""
        words = {
            "doubt": "a count is doubtful",
            "disagreement": "ways of counting disagree",
            "novelty": "unlike others",
        }
        return words[max(WEIGHTS, key=lambda name: WEIGHTS[name] * float(getattr(self, name)))]


def disagreement(nucleus: Nucleus) -> float:
    """0 where regression says the counts taken, 1 where it is two spreads (roots of the count) off in either probe."""
    off = 0.0
    for taken, regressed in ((nucleus.her2, nucleus.her2_regressed), (nucleus.cep17, nucleus.cep17_regressed)):
        if taken is None or not math.isfinite(regressed):
            return 1.0
        off = max(off, abs(regressed - taken) / (2 * math.sqrt(max(taken, 1))))
    return min(1.0, off)


def novelty(regions: Sequence[Mapping[str, float | None]]) -> list[float]:
    """For each region, how far its farthest measure lies from the median of all, in spreads of which `_FAR` are 1.

    Measures that fewer than five regions state, or that do not vary, say nothing.
    """
    found = [0.0] * len(regions)
    for name in sorted({name for measures in regions for name in measures}):
        values = np.array([_number(measures.get(name)) for measures in regions])
        known = values[~np.isnan(values)]
        spread = _SPREAD * float(np.median(np.abs(known - np.median(known)))) if len(known) >= 5 else 0.0
        if spread <= 0:
            continue
        far = np.abs(values - np.median(known)) / spread / _FAR
        found = [
            max(old, 0.0 if math.isnan(new) else min(1.0, float(new))) for old, new in zip(found, far, strict=True)
        ]
    return found


def _number(value: float | None) -> float:
    return math.nan if value is None else float(value)


def worth(regions: Sequence[Looked], limit: int, most_a_region: int = MOST_A_REGION) -> list[Worth]:
    """The nuclei that would teach most, first first; at most `most_a_region` of one region. Raises ValueError below 1.

    Nuclei at the edge, and those that could not be counted at all, are left to those who look at the image.
    """
    if limit < 1 or most_a_region < 1:
        raise ValueError("list at least one nucleus")
    new = novelty([region.quality for region in regions])
    every = [
        Worth(region, nucleus, _doubt(nucleus), disagreement(nucleus), of_region)
        for region, of_region in zip(regions, new, strict=True)
        for nucleus in region.nuclei
        if nucleus.scored
    ]
    every.sort(key=lambda w: (-w.worth, w.region.region_id, w.nucleus.id))
    taken: Counter[int] = Counter()
    chosen: list[Worth] = []
    for w in every:
        if len(chosen) == limit:
            break
        if taken[w.region.region_id] < most_a_region:
            taken[w.region.region_id] += 1
            chosen.append(w)
    return chosen


def _doubt(nucleus: Nucleus) -> float:
    if nucleus.uncertainty is not None:
        return min(1.0, max(0.0, nucleus.uncertainty))
    return _MARKED if nucleus.uncertain else _UNMARKED


def annotation_csv(listed: Iterable[Worth]) -> str:
    """The list as CSV, for whoever annotates: accession number, region, nucleus with its box, and why."""
    return csv_text(
        COLUMNS,
        (
            {
                "case": w.region.accession,
                "region": w.region.region_id,
                "file": w.region.filename,
                "nucleus": w.nucleus.id,
                **{name: round(side, 1) for name, side in zip(("x0", "y0", "x1", "y1"), w.nucleus.box, strict=True)},
                "her2": w.nucleus.her2,
                "cep17": w.nucleus.cep17,
                "worth": round(w.worth, 3),
                "doubt": round(w.doubt, 3),
                "disagreement": round(w.disagreement, 3),
                "novelty": round(w.novelty, 3),
                "why": w.why,
            }
            for w in listed
        ),
    )


def look(log: CaseLog, by: User, regions: int = 200) -> list[Looked]:
    """The regions that were analysed last, `regions` at most, with the nuclei that nobody has corrected yet.

    Raises PermissionDeniedError for all but lab managers: the list shows counts.
    """
    require(by, Action.MANAGE_MODELS)
    found: list[Looked] = []
    accessions: dict[int, str] = {}
    for region_id in log.last_analysed(regions):
        region, analysis = log.region(region_id), log.analysis(region_id)
        if analysis is None:
            raise Her2CoreError("The case log changed while it was read. Load the page again.")
        if region.case_id not in accessions:
            accessions[region.case_id] = log.case(region.case_id).details.accession
        corrected = {c.nucleus_id for c in log.corrections(region_id)}
        nuclei = tuple(n for n in analysis.nuclei if n.id not in corrected)
        accession = accessions[region.case_id]
        found.append(Looked(region.case_id, accession, region_id, region.filename, nuclei, analysis.quality))
    return found
