"""Reports to test with: real assessments of `scoring`, invented patients."""

from __future__ import annotations

import io
from dataclasses import replace
from datetime import UTC, date, datetime, timedelta, timezone

from PIL import Image, ImageDraw

from her2core.records import IHC, CaseDetails, Exclusion, ModelUsed, Role, Tally, User
from her2core.reporting.content import (
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
from her2core.scoring.confidence import bootstrap
from her2core.scoring.inputs import Adjudication, Outcome, PopulationInputs, Recount, WorkUpInputs
from her2core.scoring.workup import assess_case

ZONE = timezone(timedelta(hours=1))
SIGNED_AT = datetime(2026, 11, 24, 10, 3, 5, tzinfo=ZONE)
LONG_AGO = datetime(2026, 1, 5, tzinfo=UTC)

ANNA = User(1, "anna", "Dr. Anna Lindqvist", "MD, FRCPath", Role.PATHOLOGIST)
BORIS = User(2, "boris", "Dr. Борис Петров", "MD", Role.PATHOLOGIST)

DETAILS = CaseDetails(
    accession="S26-004512",
    patient_name="Marta Kowalczyk-Łęcka",
    patient_id="MRN 8840127",
    date_of_birth=date(1961, 3, 9),
    sex="female",
    requester="Breast Clinic, Dr. J. Ferreira",
    specimen="core biopsy",
    site="breast, upper outer quadrant",
    laterality="left",
    block="A2",
    fixative="10 % neutral buffered formalin",
    fixation_hours=18,
    cold_ischaemia_min=25,
    collected_on=date(2026, 11, 18),
    received_on=date(2026, 11, 18),
    probe_kit="HER2/CEP17 dual-colour FISH kit",
    probe_lot="L-20931",
    probe_expiry=date(2027, 6, 30),
    controls_ok=True,
    ihc=IHC.TWO_PLUS,
    ihc_same_sample=True,
)

LABORATORY = Laboratory(
    "Northbank Molecular Pathology",
    "12 Harbour Street, 4021 Northbank",
    "ISO 15189 no. 4711",
    "Prof. Ines Duarte",
)

COUNTS: dict[int, tuple[int, int, int]] = {  # group -> N, H, C
    1: (42, 389, 96),
    2: (30, 111, 52),
    3: (34, 231, 128),
    4: (36, 166, 101),
    5: (47, 113, 98),
}


def spread(n: int, total: int) -> list[int]:
    """`total` signals over `n` nuclei, unevenly, at least one each."""
    counts = [1] * n
    for i in range(total - n):
        counts[(i * i + i // 3) % n] += 1
    return counts


def nuclei_of(n: int, her2: int, cep17: int) -> list[tuple[int, int]]:
    return list(zip(spread(n, her2), spread(n, cep17), strict=True))


def picture() -> bytes:
    image = Image.new("RGB", (600, 440), (6, 6, 28))
    draw = ImageDraw.Draw(image)
    for i in range(9):
        x, y = 30 + 190 * (i % 3), 20 + 140 * (i // 3)
        draw.ellipse((x, y, x + 130, y + 110), fill=(30, 40, 150))
        draw.ellipse((x + 40, y + 40, x + 50, y + 50), fill=(255, 60, 50))
        draw.ellipse((x + 80, y + 60, x + 90, y + 70), fill=(60, 255, 80))
    buffer = io.BytesIO()
    image.save(buffer, "PNG")
    return buffer.getvalue()


def inputs_of(
    group: int, label: str = "A", share: float | None = None, recount: Recount | None = None, **more: object
) -> PopulationInputs:
    n, her2, cep17 = COUNTS[group]
    base = PopulationInputs(
        label=label,
        tally=Tally(n, her2, cep17),
        share_percent=share,
        recount=recount,
        exclusions={Exclusion.NO_CEP17: 3, Exclusion.OVERLAP: 5, Exclusion.EDGE: 4},
        clustered=6 if group == 1 else 0,
        confidence=bootstrap(nuclei_of(n, her2, cep17)),
    )
    return replace(base, **more)  # type: ignore[arg-type]


def rows_of(n: int, her2: int, cep17: int, region: str = "A1") -> tuple[NucleusRow, ...]:
    rows = []
    for i, (h, c) in enumerate(nuclei_of(n, her2, cep17), 1):
        edited = i % 11 == 0
        rows.append(NucleusRow(region, i, "A", h - edited, c, h, c, True, clustered=h > 12, edited=edited))
    rows.append(NucleusRow(region, n + 1, "A", 2, 0, 2, 0, False, Exclusion.NO_CEP17))
    rows.append(NucleusRow(region, n + 2, "A", None, None, None, None, False, Exclusion.OVERLAP))
    rows.append(NucleusRow(region, n + 3, "A", None, None, 3, 2, True, added=True))
    return tuple(rows)


def content_of(
    populations: list[PopulationInputs], work_up: WorkUpInputs | None = None, **more: object
) -> ReportContent:
    """A final report of the case that these populations make."""
    work_up = work_up or WorkUpInputs(
        controls_ok=True,
        ihc=DETAILS.ihc,
        ihc_same_sample=True,
        first_observer_ids=frozenset({ANNA.id}),
        no_discordance_attested=True,
    )
    case = assess_case(populations, work_up)
    several = len(populations) > 1
    results: list[PopulationResult] = []
    for assessed in case.populations:
        first = ObserverCount(ANNA.full_name, "first reader, AI-assisted", assessed.tally, group=assessed.group)
        observers = [first]
        if assessed.recount is not None:
            second = assessed.recount.tally
            observers.append(
                ObserverCount(BORIS.full_name, "second reader, blinded", second, group=assessed.recount_group)
            )
        results.append(result_of(assessed, tuple(observers), 2))
    t = populations[0].tally
    content = ReportContent(
        number="26-00412",
        version=1,
        kind=ReportKind.FINAL,
        laboratory=LABORATORY,
        details=DETAILS,
        headline=case.headline,
        outcome=case.outcome.value,
        populations=tuple(results),
        ai=AiDisclosure(
            (
                ModelUsed("detector", "detector", "3", "3f" * 32),
                ModelUsed("counter", "counter", "3.1 tuned", "a9" * 32, "density"),
            ),
            found=t.n + 11,
            counts_edited=4,
            added=1,
            excluded_by_reader=2,
            included_by_reader=1,
            software="her2core 0.1.0",
        ),
        audit_head="c4" * 32,
        reported_at=SIGNED_AT,
        signatories=(
            Signatory(
                ANNA.full_name,
                ANNA.credentials,
                "Pathologist",
                "I have reviewed the images and counts and am responsible for this report.",
                SIGNED_AT,
            ),
        ),
        heterogeneous=case.heterogeneous,
        heterogeneity=(
            "Two distinct populations above 10 % of the tumour cells; counted and reported separately."
            if several
            else "No second distinct population above 10 % of the tumour cells."
        ),
        single_cells="" if several else "Taken one by one, 14 % of the cells count as amplified.",
        clusters="6 of the scored nuclei have clustered HER2 signals; their counts are estimates.",
        suitability="2 regions, signal intensity good, little overlap; suitable. No histopathologic discordance.",
        cross_check="Over all signals (dots over dots) the HER2/CEP17 ratio is 4.02 (443/110 in 58 nuclei).",
        alerts=case.alerts,
        indeterminate_reasons=case.reasons,
        exclusions=((Exclusion.NO_CEP17, 3), (Exclusion.OVERLAP, 5), (Exclusion.EDGE, 4)),
        thumbnails=(
            Thumbnail(picture(), "Region A1, population A: 21 of 25 nuclei scored. HER2 red, CEP17 green, DAPI blue."),
            Thumbnail(picture(), "Region A2, population A: 21 of 24 nuclei scored."),
        ),
        nuclei=rows_of(t.n, t.her2, t.cep17),
        assay_type="laboratory-developed test",
        section_thickness_um=4,
    )
    return replace(content, **more)  # type: ignore[arg-type]


def group_report(group: int) -> ReportContent:
    """A final report of each group, Groups 2 to 4 with IHC 2+ and a blinded recount that confirms the group."""
    n, her2, cep17 = COUNTS[group]
    recount = Recount(BORIS.id, True, Tally(n - 2, her2 - 9, cep17 - 6)) if group in (2, 3, 4) else None
    return content_of([inputs_of(group, recount=recount)])


def heterogeneous_report() -> ReportContent:
    return content_of([inputs_of(1, "A", 35), inputs_of(5, "B", 65)])


def indeterminate_report() -> ReportContent:
    few = inputs_of(5, tally=Tally(14, 31, 27))
    return content_of([few], thumbnails=())


def adjudicated_report() -> ReportContent:
    recount = Recount(BORIS.id, True, Tally(30, 126, 62))
    decision = Adjudication(7, Outcome.NEGATIVE, 4, "Reviewed by a third pathologist on the same areas.")
    return content_of([inputs_of(4, recount=recount, adjudication=decision)])


def amended_report() -> ReportContent:
    return replace(
        group_report(1),
        version=2,
        kind=ReportKind.AMENDED,
        replaces=Replaced("26-00412", 1, "7b" * 32, SIGNED_AT - timedelta(days=2), "HER2 negative: ISH Group 5"),
        reason="The first report rested on regions of another block.",
        changes=("regions A1 and A2 replaced", "Group 5 → Group 1", "outcome negative → positive"),
    )


def preliminary_report() -> ReportContent:
    work_up = WorkUpInputs(controls_ok=True, first_observer_ids=frozenset({ANNA.id}))
    return content_of(
        [inputs_of(2)],
        work_up,
        kind=ReportKind.PRELIMINARY,
        signatories=(),
        details=replace(DETAILS, ihc=None, ihc_same_sample=None),
    )
