"""Invented cases of a laboratory: whole stories from opening to report, with defects planted where they are asked for.

Nothing here is a patient. Counts are drawn nucleus by nucleus, groups and outcomes follow by the rules of
`her2core.scoring`; so the figures of the laboratory page can be shown, timed and tested on as many cases as wanted.
"""

from __future__ import annotations

import hashlib
from collections.abc import Iterator
from dataclasses import dataclass, replace
from datetime import UTC, date, datetime, timedelta

import numpy as np

from her2core.records import (
    IHC,
    CaseDetails,
    ModelUsed,
    Nucleus,
    Overlap,
    RegionFlags,
    SignalIntensity,
    Tally,
)
from her2core.scoring import (
    Adjudication,
    CaseAssessment,
    Outcome,
    PopulationInputs,
    Recount,
    RejectionReason,
    WorkUpInputs,
    assess_case,
    group,
    judge,
)

__all__ = ["MODELS", "READERS", "Planted", "Story", "stories"]


def _model(stage: str, version: str, reading: str = "") -> ModelUsed:
    return ModelUsed(stage, stage, version, hashlib.sha256(f"{stage} {version}".encode()).hexdigest(), reading)


READERS = 6
MODELS = (
    (_model("detector", "1.0"), _model("counter", "1.0", "density")),
    (_model("detector", "1.1"), _model("counter", "2.0", "density")),
)
LOTS = 17
SPAN_DAYS = 730
SIDE_PX = 1600

_MIX = {1: 0.18, 2: 0.015, 3: 0.012, 4: 0.06, 5: 0.733}
# Mean HER2 and CEP17 signals of a nucleus, and how far the mean of a case lies from them (standard deviation).
_MEANS = {1: (9.0, 2.3, 2.4), 2: (3.3, 1.45, 0.15), 3: (6.7, 3.7, 0.2), 4: (4.7, 2.9, 0.2), 5: (2.3, 2.0, 0.3)}
_IHC_SHARES = {  # of 0, 1+, 2+, 3+
    1: (0.01, 0.02, 0.17, 0.80),
    2: (0.05, 0.10, 0.75, 0.10),
    3: (0.02, 0.05, 0.80, 0.13),
    4: (0.05, 0.10, 0.78, 0.07),
    5: (0.30, 0.36, 0.335, 0.005),
}
_DISCORDANT_IHC = {1: (0.12, 0.18, 0.20, 0.50), 5: (0.28, 0.32, 0.32, 0.08)}
_SCORES = (IHC.ZERO, IHC.ONE_PLUS, IHC.TWO_PLUS, IHC.THREE_PLUS)
_QUALITY = {  # mean and standard deviation
    "focus_ratio": (2.1, 0.25),
    "dapi_contrast": (0.34, 0.05),
    "her2_signal_to_noise": (12.0, 2.5),
    "cep17_signal_to_noise": (10.0, 2.2),
    "her2_background_percent": (6.0, 1.2),
    "cep17_background_percent": (7.0, 1.4),
}
_DRIFT_FROM, _DRIFT_FALL = 0.6, 4.0  # share of the span; fall of the measure until its end
_BAD_LOT, _BAD_LOT_FALL = 11, 3.2
_DISCORDANT = (0.74, 0.86)  # share of the span
_REASONS = (RejectionReason.CONTROLS, RejectionReason.WEAK_SIGNALS, RejectionReason.RESOLUTION)
_UNSUITABLE = ("out of focus", "nuclei overlap too much", "autofluorescence", "no invasive tumour")
_AMENDED = ("IHC of the excision came in", "block number corrected", "referring hospital corrected")


@dataclass(frozen=True, slots=True)
class Planted:
    """What is wrong with the laboratory: fading HER2 signals, a lot with weak CEP17, weeks of FISH/IHC discordance."""

    drift: bool = True
    lot: bool = True
    discordance: bool = True


@dataclass(frozen=True, slots=True)
class Story:
    """One case from opening to report. `reader` and `second` are numbers of readers; moments may lie in the future.

    `corrected`: (nucleus id, HER2, CEP17) as the reader set them. `rejected`: why a second region was not used.
    """

    number: int
    details: CaseDetails
    opened: datetime
    analysed: datetime
    reviewed: datetime
    signed: datetime
    reader: int
    second: int
    flags: RegionFlags
    rejected: str
    quality: dict[str, float | None]
    models: tuple[ModelUsed, ...]
    nuclei: tuple[Nucleus, ...]
    corrected: tuple[tuple[int, int, int], ...]
    recount: tuple[tuple[int, int, int], ...]
    adjudication: Adjudication | None
    reasons: tuple[str, ...]
    assessment: CaseAssessment
    amended: str


def stories(count: int, seed: int, end: date, planted: Planted) -> Iterator[Story]:
    """`count` cases over the two years before `end`, in the order in which they were opened."""
    rng = np.random.default_rng(seed)
    places = np.sort(rng.random(count))
    for number, place in enumerate(places, start=1):
        yield _story(number, float(place), rng, end, planted)


def _story(number: int, place: float, rng: np.random.Generator, end: date, planted: Planted) -> Story:
    first = datetime(end.year, end.month, end.day, tzinfo=UTC) - timedelta(days=SPAN_DAYS)
    opened = _working(first + timedelta(days=place * SPAN_DAYS), end, rng)
    wanted = int(rng.choice(list(_MIX), p=np.array(list(_MIX.values())) / sum(_MIX.values())))
    clusters = wanted == 1 and rng.random() < 0.35
    missed = clusters and rng.random() < 0.12  # the models take clusters for single signals
    lot = min(LOTS - 1, int(place * LOTS))
    weak_lot = planted.lot and lot == _BAD_LOT
    found, truth = _nuclei(wanted, clusters=clusters, missed=missed, weak_lot=weak_lot, rng=rng)
    reader = int(rng.integers(READERS))
    corrected = _corrected(found, truth, 1.0 if missed else 0.55, rng)
    now = _recorded(found, corrected)
    tally = Tally(len(now), sum(h for h, _ in now), sum(c for _, c in now))
    called = group(tally)
    discordant = planted.discordance and _DISCORDANT[0] <= place < _DISCORDANT[1]
    ihc = _ihc(called or 5, discordant, rng)
    second = (reader + int(rng.integers(1, READERS))) % READERS
    reasons = (str(rng.choice(_REASONS)),) if rng.random() < 0.015 else ()
    recount = _recount(truth, rng) if called in (2, 3, 4) and ihc is IHC.TWO_PLUS and not reasons else ()
    controls = RejectionReason.CONTROLS.value not in reasons
    assessment, adjudication = _assessed(tally, ihc, recount, reasons, controls, reader, second)
    steps = _steps(opened, called, ihc, rng)
    return Story(
        number=number,
        details=_details(number, opened, lot, ihc, controls, rng),
        opened=opened,
        analysed=steps[0],
        reviewed=steps[1],
        signed=steps[2],
        reader=reader,
        second=second,
        flags=_flags(clusters and rng.random() < 0.9, rng),
        rejected=str(rng.choice(_UNSUITABLE)) if rng.random() < 0.06 else "",
        quality=_quality(place, planted, weak_lot, rng),
        models=MODELS[int(place >= 0.5)],
        nuclei=found,
        corrected=corrected,
        recount=recount,
        adjudication=adjudication,
        reasons=reasons,
        assessment=assessment,
        amended=str(rng.choice(_AMENDED)) if rng.random() < 0.01 else "",
    )


def _working(moment: datetime, end: date, rng: np.random.Generator) -> datetime:
    """The same day, or the Monday after it (the Friday before it where that is beyond `end`), in working hours."""
    weekend = max(0, moment.weekday() - 4)
    day = moment + timedelta(days=(3 - weekend) if weekend else 0)
    if day.date() > end:
        day = moment - timedelta(days=weekend)
    return day.replace(hour=8, minute=0, second=0, microsecond=0) + timedelta(minutes=float(rng.integers(0, 480)))


def _steps(opened: datetime, called: int | None, ihc: IHC, rng: np.random.Generator) -> list[datetime]:
    """When it was analysed, reviewed and signed."""
    hours = [float(rng.lognormal(-0.7, 0.6)), float(rng.lognormal(1.2, 0.8)), float(rng.lognormal(1.5, 0.8))]
    if called in (2, 3, 4):
        hours[2] += 30 + float(rng.exponential(30)) + (24 if ihc is IHC.TWO_PLUS else 0)
    found, at = [], opened
    for step in hours:
        at = at + timedelta(hours=step)
        found.append(at)
    return found


def _nuclei(
    wanted: int, *, clusters: bool, missed: bool, weak_lot: bool, rng: np.random.Generator
) -> tuple[tuple[Nucleus, ...], list[tuple[int, int]]]:
    """Nuclei as the models saw them, and the true counts."""
    mean_her2, mean_cep17, width = _MEANS[wanted]
    n = int(rng.integers(22, 29))
    her2 = 1 + rng.poisson(max(0.3, mean_her2 + width * rng.standard_normal() - 1), n)
    cep17 = 1 + rng.poisson(max(0.2, mean_cep17 + 0.12 * rng.standard_normal() - 1), n)
    seen_her2 = np.maximum(0, her2 + rng.choice([-1, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 1], n))
    seen_cep17 = np.maximum(0, cep17 + rng.choice([-1, *([0] * 16), 1], n))
    if missed:
        seen_her2 = np.minimum(seen_her2, 1 + rng.poisson(1.2, n))
    elif clusters:
        seen_her2 = np.maximum(1, np.rint(seen_her2 * rng.normal(0.95, 0.1, n)).astype(int))
    if weak_lot:
        seen_cep17 = np.where(rng.random(n) < 0.12, 0, seen_cep17)
    nuclei = []
    for i in range(n):
        x, y = 40.0 + 90 * (i % 12), 40.0 + 90 * (i // 12)
        box = (x, y, x + 64.0, y + 64.0)
        h, c = int(seen_her2[i]), int(seen_cep17[i])
        reason = judge(h, c, box, SIDE_PX, SIDE_PX, 0.0)
        nuclei.append(
            Nucleus(i + 1, box, 0.95, h, c, float(h), float(c), bool(clusters and h > 7), reason is None, reason)
        )
    return tuple(nuclei), [(int(h), int(c)) for h, c in zip(her2, cep17, strict=True)]


def _corrected(
    found: tuple[Nucleus, ...], truth: list[tuple[int, int]], thoroughness: float, rng: np.random.Generator
) -> tuple[tuple[int, int, int], ...]:
    """What a reader puts right: of the wrong nuclei a share."""
    return tuple(
        (nucleus.id, her2, cep17)
        for nucleus, (her2, cep17) in zip(found, truth, strict=True)
        if (nucleus.her2, nucleus.cep17) != (her2, cep17) and rng.random() < thoroughness
    )


def _recorded(found: tuple[Nucleus, ...], corrected: tuple[tuple[int, int, int], ...]) -> list[tuple[int, int]]:
    """The scored counts after the corrections."""
    put_right = {nucleus_id: (her2, cep17) for nucleus_id, her2, cep17 in corrected}
    counts = [put_right.get(nucleus.id, (nucleus.her2 or 0, nucleus.cep17 or 0)) for nucleus in found]
    return [(her2, cep17) for her2, cep17 in counts if her2 and cep17]


def _ihc(called: int, discordant: bool, rng: np.random.Generator) -> IHC:
    shares = _DISCORDANT_IHC.get(called, _IHC_SHARES[called]) if discordant else _IHC_SHARES[called]
    return _SCORES[int(rng.choice(4, p=shares))]


def _recount(truth: list[tuple[int, int]], rng: np.random.Generator) -> tuple[tuple[int, int, int], ...]:
    """(nucleus id, HER2, CEP17) of the second reader: near the truth."""
    read = ((i + 1, h + int(rng.choice((-1, 0, 0, 0, 1))), c) for i, (h, c) in enumerate(truth))
    return tuple((i, h, c) for i, h, c in read if h > 0)


def _assessed(
    tally: Tally,
    ihc: IHC,
    recount: tuple[tuple[int, int, int], ...],
    reasons: tuple[str, ...],
    controls: bool,
    reader: int,
    second: int,
) -> tuple[CaseAssessment, Adjudication | None]:
    """What the rules make of it, and the adjudication where the two counts need one."""
    other = None
    if recount:
        counted = Tally(len(recount), sum(h for _, h, _ in recount), sum(c for _, _, c in recount))
        other = Recount(second, True, counted)
    population = PopulationInputs("A", tally, recount=other)
    inputs = WorkUpInputs(
        controls_ok=controls,
        ihc=ihc,
        ihc_same_sample=True,
        first_observer_ids=frozenset({reader}),
        indeterminate_reasons=reasons,
        no_discordance_attested=True,
    )
    assessment = assess_case((population,), inputs)
    if assessment.outcome is not Outcome.PENDING_ADJUDICATION or other is None:
        return assessment, None
    decided = group(other.tally) or 5
    category = Outcome.POSITIVE if decided in (1, 3) else Outcome.NEGATIVE
    adjudication = Adjudication(reader, category, decided, "The second count is of the better area.")
    return assess_case((replace(population, adjudication=adjudication),), inputs), adjudication


def _details(
    number: int, opened: datetime, lot: int, ihc: IHC, controls: bool, rng: np.random.Generator
) -> CaseDetails:
    received = (opened - timedelta(days=float(rng.integers(0, 4)))).date()
    return CaseDetails(
        accession=f"S{opened.year % 100}-{number:06d}",
        patient_name=f"Invented, Person {number}",
        patient_id=f"INV-{number:06d}",
        date_of_birth=date(1930 + number % 60, 1 + number % 12, 1 + number % 28),
        specimen="core biopsy" if number % 3 else "excision",
        block=f"A{1 + number % 4}",
        received_on=received,
        probe_kit="Dual-colour HER2/CEP17",
        probe_lot=f"LOT-{lot + 1:02d}",
        controls_ok=controls,
        ihc=ihc,
        ihc_same_sample=True,
    )


def _flags(clusters: bool, rng: np.random.Generator) -> RegionFlags:
    weak = SignalIntensity.WEAK if rng.random() < 0.08 else SignalIntensity.GOOD
    overlap = Overlap.MODERATE if rng.random() < 0.1 else Overlap.LITTLE
    return RegionFlags(rng.random() < 0.02, "A", bool(clusters), weak, overlap, True)


def _quality(place: float, planted: Planted, weak_lot: bool, rng: np.random.Generator) -> dict[str, float | None]:
    values = {name: mean + sd * float(rng.standard_normal()) for name, (mean, sd) in _QUALITY.items()}
    if planted.drift and place > _DRIFT_FROM:
        values["her2_signal_to_noise"] -= _DRIFT_FALL * (place - _DRIFT_FROM) / (1 - _DRIFT_FROM)
    if weak_lot:
        values["cep17_signal_to_noise"] -= _BAD_LOT_FALL
    return {name: round(max(0.01, value), 3) for name, value in values.items()}
