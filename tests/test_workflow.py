"""The steps of a case where case log, scoring and reporting meet."""

# ruff: noqa: F811 (fixtures are imported, and named again where they are used)

from __future__ import annotations

import csv
import io
import re
from dataclasses import replace
from datetime import UTC, datetime
from typing import Any

import pypdfium2
import pytest
from PIL import Image

from her2core import workflow
from her2core.caselog import RecountedNucleus
from her2core.caselog.lookup import Query
from her2core.errors import (
    ConflictError,
    DuplicateError,
    NotFluorescenceError,
    PasswordError,
    PermissionDeniedError,
    ScoringError,
    SignInError,
    SigningError,
    UnreadableImageError,
    WrongStateError,
)
from her2core.imaging import DEFAULT_LIMITS, read_region
from her2core.records import IHC, Case, CaseState, CorrectionKind, Exclusion, Population, SystematicError
from her2core.reporting.keys import Keyring
from her2core.scoring import Outcome
from her2core.settings import load_settings
from her2core.workflow import signing
from tests.pages.conftest import lab, no_waiting_for_the_disk, template  # noqa: F401 (fixtures)
from tests.pages.lab import (
    CA_PASSPHRASE,
    FLAGS,
    GROUP_3,
    GROUP_4,
    IHC_SAME,
    NEGATIVE,
    PASSWORDS,
    POSITIVE,
    TestLaboratory,
    count_drawn,
    draw_region,
)

# --- intake ---------------------------------------------------------------------------------------------------------


def test_a_text_file_named_jpg_is_refused_and_nothing_is_stored(lab: TestLaboratory) -> None:
    case = lab.open_case()
    with pytest.raises(UnreadableImageError):
        workflow.add_region(lab.log, case.id, b"not an image", "region.jpg", lab.person("berg"), DEFAULT_LIMITS)
    assert lab.log.regions(case.id) == []


def test_an_image_of_another_patient_is_refused(lab: TestLaboratory) -> None:
    lab.add_region(lab.open_case("S26-001"), POSITIVE)
    other = lab.open_case("S26-002")
    with pytest.raises(DuplicateError, match="another case"):
        lab.add_region(other, POSITIVE)


def test_what_is_missing_before_analysis_is_said_until_it_is_given(lab: TestLaboratory) -> None:
    case = lab.open_case()
    assert workflow.assess(lab.log, case.id).missing == ("Add at least one region image.",)
    region = lab.add_region(case, POSITIVE)
    assert workflow.assess(lab.log, case.id).missing == ("Give the flags of region-120.png.",)
    workflow.set_flags(lab.log, region.id, FLAGS, lab.person("berg"))
    review = workflow.assess(lab.log, case.id)
    assert review.missing == ()
    assert [r.id for r in review.to_analyse] == [region.id]


def test_a_population_without_share_or_region_is_missing(lab: TestLaboratory) -> None:
    case = lab.open_case()
    lab.analyse(lab.add_region(case, POSITIVE))
    version = lab.log.case(case.id).version
    workflow.set_populations(
        lab.log, case.id, [Population("A", 85.0), Population("B", None)], version, lab.person("berg")
    )
    assert workflow.assess(lab.log, case.id).missing == (
        "Give the share of population B in the tumour.",
        "No suitable region shows population B.",
    )


def test_a_population_that_a_region_is_flagged_for_cannot_go(lab: TestLaboratory) -> None:
    case = lab.analysed(POSITIVE)
    with pytest.raises(WrongStateError, match="flag them anew"):
        workflow.set_populations(lab.log, case.id, [Population("B", 100.0)], case.version, lab.person("berg"))


# --- review ---------------------------------------------------------------------------------------------------------


def test_a_correction_changes_the_tally_and_leaves_the_ai_beside_it(lab: TestLaboratory) -> None:
    case = lab.analysed(NEGATIVE)
    region = lab.log.regions(case.id)[0]
    workflow.correct(
        lab.log, region.id, 1, CorrectionKind.COUNTS, {"her2": 9, "cep17": 2}, lab.person("berg"), "seen at 100x"
    )
    review = workflow.assess(lab.log, case.id)
    assert review.assessment is not None
    assert review.assessment.populations[0].tally.her2 == 47
    assert review.ai["A"].tally.her2 == 40
    assert review.regions[0].nuclei[0].ai is not None
    assert review.regions[0].corrections[0].old == {"her2": 2, "cep17": 2}


def test_what_the_counters_card_says_of_its_error_widens_the_interval_until_a_person_has_counted(
    lab: TestLaboratory,
) -> None:
    case = lab.analysed(GROUP_4)
    region, by = lab.log.regions(case.id)[0], lab.person("berg")
    before = workflow.assess(lab.log, case.id)
    analysis = before.regions[0].analysis
    assert analysis is not None
    error = SystematicError(her2=0.2, cep17=0.05, her2_clustered=0.3)
    models = tuple(replace(m, systematic_error=error if m.stage == "counter" else None) for m in analysis.models)
    lab.log.save_analysis(region.id, replace(analysis, models=models), by)

    def interval() -> float:
        review = workflow.assess(lab.log, case.id)
        assert review.assessment is not None
        confidence = review.assessment.populations[0].confidence
        assert confidence is not None
        assert confidence.copy_number_95 is not None
        return confidence.copy_number_95[1] - confidence.copy_number_95[0]

    assert before.assessment is not None
    unaware = before.assessment.populations[0].confidence
    assert unaware is not None
    assert unaware.copy_number_95 is not None
    assert not unaware.systematic
    assert interval() > unaware.copy_number_95[1] - unaware.copy_number_95[0] + 0.5
    laboratory = workflow.laboratory_of(load_settings())
    confirmed = workflow.confirm_review(lab.log, case.id, lab.log.case(case.id).version, by)  # but no nucleus by itself
    content = workflow.build_content(lab.log, confirmed, laboratory, None, "", datetime.now(UTC))
    assert "HER2 20 %, HER2 in clusters 30 %, CEP17 5 %" in content.intervals
    assert "counter's own error included" in content.populations[0].certainty[0]
    for n in analysis.nuclei:
        workflow.correct(lab.log, region.id, n.id, CorrectionKind.COUNTS, {"her2": n.her2, "cep17": n.cep17}, by)
    assert interval() == pytest.approx(unaware.copy_number_95[1] - unaware.copy_number_95[0])


def test_undo_takes_the_last_correction_back_and_redo_brings_it_again(lab: TestLaboratory) -> None:
    case = lab.analysed(NEGATIVE)
    region, by = lab.log.regions(case.id)[0], lab.person("berg")
    reason = {"reason": Exclusion.NOT_TUMOUR.value}
    workflow.correct(lab.log, region.id, 1, CorrectionKind.EXCLUDE, reason, by)

    def scored() -> int:
        assessment = workflow.assess(lab.log, case.id).assessment
        assert assessment is not None
        return assessment.populations[0].tally.n

    assert scored() == 19
    workflow.undo_last(lab.log, region.id, by)
    assert scored() == 20
    workflow.redo_last(lab.log, region.id, by)
    assert scored() == 19
    assert workflow.redo_last(lab.log, region.id, by) is None


def test_including_a_nucleus_without_cep17_is_refused_with_a_reason(lab: TestLaboratory) -> None:
    case = lab.analysed([*NEGATIVE, (3, 0)])
    region = lab.log.regions(case.id)[0]
    with pytest.raises(ScoringError, match="no CEP17 signal"):
        workflow.correct(lab.log, region.id, 21, CorrectionKind.INCLUDE, {}, lab.person("berg"))


def test_a_missed_nucleus_is_counted_in_the_drawn_box(lab: TestLaboratory) -> None:
    case = lab.analysed(NEGATIVE)
    region, by = lab.log.regions(case.id)[0], lab.person("berg")
    pixels = read_region(lab.log.image_bytes(region), region.filename).pixels_rgb
    with pytest.raises(ScoringError, match="Nucleus 1 is there already"):
        workflow.add_nucleus(lab.log, region.id, pixels, (16.0, 16.0, 64.0, 64.0), by, count_drawn)
    added = workflow.add_nucleus(lab.log, region.id, pixels, (300.0, 150.0, 340.0, 190.0), by, count_drawn)
    assert added.id == 21
    assert workflow.assess(lab.log, case.id).regions[0].nuclei[-1].ai is None


def test_a_correction_after_the_review_asks_for_another_review(lab: TestLaboratory) -> None:
    case = lab.reviewed(POSITIVE)
    assert workflow.assess(lab.log, case.id).reviewed
    region = lab.log.regions(case.id)[0]
    workflow.correct(lab.log, region.id, 1, CorrectionKind.COUNTS, {"her2": 5, "cep17": 2}, lab.person("berg"))
    review = workflow.assess(lab.log, case.id)
    assert not review.reviewed
    assert lab.log.case(case.id).state is CaseState.ANALYSED


def test_the_review_cannot_be_confirmed_for_a_case_that_changed_meanwhile(lab: TestLaboratory) -> None:
    case = lab.analysed(POSITIVE)
    region = lab.log.regions(case.id)[0]
    workflow.correct(lab.log, region.id, 1, CorrectionKind.COUNTS, {"her2": 5, "cep17": 2}, lab.person("okafor"))
    with pytest.raises(ConflictError, match="Samuel Okafor changed this case"):
        workflow.confirm_review(lab.log, case.id, case.version, lab.person("berg"))


@pytest.mark.parametrize("name", ["lind", "nair"])
def test_nobody_but_a_pathologist_corrects(lab: TestLaboratory, name: str) -> None:
    case = lab.analysed(POSITIVE)
    region = lab.log.regions(case.id)[0]
    with pytest.raises(PermissionDeniedError):
        workflow.correct(lab.log, region.id, 1, CorrectionKind.COUNTS, {"her2": 5, "cep17": 2}, lab.person(name))
    assert lab.log.corrections(region.id) == []


# --- work-up --------------------------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("counts", "details", "state"),
    [
        (POSITIVE, {}, CaseState.REVIEWED),
        (GROUP_4, {}, CaseState.PENDING_IHC),
        (GROUP_4, {"ihc": IHC.TWO_PLUS, "ihc_same_sample": False}, CaseState.PENDING_IHC),
        (GROUP_3, IHC_SAME, CaseState.PENDING_RECOUNT),
        (POSITIVE[:12], {}, CaseState.READY),  # indeterminate: signable with its reason
    ],
)
def test_the_state_after_review_follows_the_work_up(
    lab: TestLaboratory, counts: Any, details: dict[str, Any], state: CaseState
) -> None:
    case = lab.reviewed(counts, **details)
    assert workflow.assess(lab.log, case.id).state is state
    assert case.state is state


def test_the_group_of_a_first_count_is_not_stored_while_a_recount_is_due(lab: TestLaboratory) -> None:
    case = lab.reviewed(GROUP_3, **IHC_SAME)
    summary = lab.log.look_up(Query("S26-001"))[0]
    assert case.state is CaseState.PENDING_RECOUNT
    assert (summary.group, summary.outcome) == (None, "pending recount")


def test_a_warning_is_open_until_this_very_text_was_acknowledged(lab: TestLaboratory) -> None:
    case = lab.reviewed([*[(2, 1)] * 20, *[(2, 2)] * 2])  # ratio 1.83: near the cut-off
    warning = workflow.assess(lab.log, case.id).warnings[0]
    workflow.acknowledge(lab.log, case.id, warning, lab.person("berg"))
    assert workflow.assess(lab.log, case.id).warnings[0].acknowledged
    region = lab.log.regions(case.id)[0]
    workflow.correct(lab.log, region.id, 1, CorrectionKind.COUNTS, {"her2": 3, "cep17": 1}, lab.person("berg"))
    changed = workflow.assess(lab.log, case.id).warnings[0]
    assert changed.text != warning.text
    assert not changed.acknowledged


def test_two_populations_are_never_pooled(lab: TestLaboratory) -> None:
    case = lab.open_case()
    version, by = case.version, lab.person("berg")
    workflow.set_populations(lab.log, case.id, [Population("A", 85.0), Population("B", 15.0)], version, by)
    lab.analyse(lab.add_region(case, NEGATIVE, shade=120), replace(FLAGS, population="A"))
    lab.analyse(lab.add_region(case, POSITIVE, shade=130), replace(FLAGS, population="B"))
    review = workflow.assess(lab.log, case.id)
    assert review.assessment is not None
    assert [(p.label, p.group, p.tally.n) for p in review.assessment.populations] == [("A", 5, 20), ("B", 1, 20)]
    assert review.assessment.outcome is Outcome.POSITIVE
    assert review.assessment.heterogeneous


# --- blinded recount ------------------------------------------------------------------------------------------------


def _counted(lab: TestLaboratory, case_id: int, her2: int, cep17: int, name: str = "okafor") -> list[RecountedNucleus]:
    (region,) = workflow.blinded_regions(lab.log, case_id, lab.person(name))
    return [RecountedNucleus(region.region.id, nucleus_id, her2, cep17) for nucleus_id, _ in region.boxes]


def test_the_second_observer_is_given_boxes_and_no_count(lab: TestLaboratory) -> None:
    case = lab.reviewed(GROUP_3, **IHC_SAME)
    (region,) = workflow.blinded_regions(lab.log, case.id, lab.person("okafor"))
    assert len(region.boxes) == 20
    assert set(region.__slots__) == {"region", "name", "population", "boxes"}


def test_who_took_part_in_the_first_count_cannot_recount(lab: TestLaboratory) -> None:
    case = lab.reviewed(GROUP_3, **IHC_SAME)
    with pytest.raises(PermissionDeniedError, match="took part in the first count"):
        workflow.blinded_regions(lab.log, case.id, lab.person("berg"))


def test_who_has_seen_the_counts_cannot_recount(lab: TestLaboratory) -> None:
    case = lab.reviewed(GROUP_3, **IHC_SAME)
    workflow.note_counts_seen(lab.log, case.id, lab.person("okafor"))
    with pytest.raises(PermissionDeniedError, match="seen the first counts"):
        workflow.save_blinded_recount(lab.log, case.id, "A", (), lab.person("okafor"))


def test_group_3_confirmed_by_the_recount_is_positive(lab: TestLaboratory) -> None:
    case = lab.reviewed(GROUP_3, **IHC_SAME)
    counts = _counted(lab, case.id, 6, 4)
    workflow.save_blinded_recount(lab.log, case.id, "A", counts, lab.person("okafor"))
    review = workflow.assess(lab.log, case.id)
    assert review.assessment is not None
    assert review.assessment.outcome is Outcome.POSITIVE


def test_another_group_at_the_recount_asks_for_adjudication(lab: TestLaboratory) -> None:
    case = lab.reviewed(GROUP_4, **IHC_SAME)
    counts = _counted(lab, case.id, 6, 2)
    workflow.save_blinded_recount(lab.log, case.id, "A", counts, lab.person("okafor"))
    assert lab.log.case(case.id).state is CaseState.PENDING_ADJUDICATION
    review = workflow.adjudicate(
        lab.log, case.id, "A", Outcome.POSITIVE, 1, "recounted together at the microscope", lab.person("berg")
    )
    assert review.assessment is not None
    assert review.assessment.outcome is Outcome.POSITIVE
    assert (review.assessment.group, review.assessment.final_group) == (4, 1)
    assert lab.log.look_up(Query("S26-001"))[0].group == 1  # not that of the count that was overruled


def test_a_recount_of_too_few_nuclei_is_refused(lab: TestLaboratory) -> None:
    case = lab.reviewed(GROUP_4, **IHC_SAME)
    counts = _counted(lab, case.id, 4, 3)[:19]
    with pytest.raises(ScoringError, match="at least 20"):
        workflow.save_blinded_recount(lab.log, case.id, "A", counts, lab.person("okafor"))
    assert lab.log.recounts(case.id) == []


def test_an_export_leaves_out_what_the_reader_could_still_recount(lab: TestLaboratory) -> None:
    case = lab.reviewed(GROUP_3, **IHC_SAME)
    assert "S26-001" not in workflow.export_csv(lab.log, [case.id], lab.person("okafor"))
    assert "S26-001" in workflow.export_csv(lab.log, [case.id], lab.person("berg"))


def test_scored_nuclei_of_the_export_sum_to_the_tally_without_the_rejected_regions(lab: TestLaboratory) -> None:
    case, by = lab.open_case(), lab.person("berg")
    lab.analyse(lab.add_region(case, NEGATIVE, shade=120), FLAGS)
    rejected = lab.add_region(case, POSITIVE, shade=130)
    lab.analyse(rejected, FLAGS)
    unfit = replace(FLAGS, suitable=False, unsuitable_reason="autofluorescence")
    workflow.set_flags(lab.log, rejected.id, unfit, by)
    (population,) = csv.DictReader(io.StringIO(workflow.csv_of(lab.log, [case.id], by).data.decode()))
    rows = list(csv.DictReader(io.StringIO(workflow.csv_of(lab.log, [case.id], by, nuclei=True).data.decode())))
    scored = [row for row in rows if row["scored"] == "yes"]
    assert len(scored) == int(population["nuclei"]) == len(NEGATIVE)
    for probe in ("her2", "cep17"):
        assert sum(int(row[probe]) for row in scored) == int(population[probe])
    unused = [row for row in rows if row["region_used"] == "no"]
    assert {(row["region"], row["reason"]) for row in unused} == {("A2", "region not used: autofluorescence")}
    assert len(unused) == len(POSITIVE)


# --- signature ------------------------------------------------------------------------------------------------------


def test_a_signed_report_is_verified_and_makes_the_case_signed(lab: TestLaboratory) -> None:
    report = lab.sign(lab.ready(POSITIVE))
    verdict = workflow.verify(lab.log, lab.keyring, lab.log.report_pdf(report.id))
    assert verdict.findings == ()
    assert verdict.signer == "Miriam Berg"
    assert lab.log.case(report.case_id).state is CaseState.SIGNED
    assert report.summary["headline"] == "HER2 positive: ISH Group 1"
    assert lab.log.look_up(Query("S26-001"))[0].group == 1


def test_a_double_click_signs_once(lab: TestLaboratory) -> None:
    case = lab.ready(POSITIVE)
    first, second = (
        workflow.sign_out(
            lab.log, lab.keyring, lab.accounts, case.id, case.version, lab.person("berg"), PASSWORDS["berg"]
        )
        for _ in range(2)
    )
    assert first.id == second.id
    assert len(lab.log.reports(case.id)) == 1


def test_the_second_click_signs_nothing_where_the_first_finished_in_the_middle_of_it(
    lab: TestLaboratory, monkeypatch: pytest.MonkeyPatch
) -> None:
    case, berg = lab.ready(POSITIVE), lab.person("berg")
    as_signed = (lab.log, lab.keyring, lab.accounts, case.id, case.version, berg, PASSWORDS["berg"])
    firsts = []

    def read_after_the_first_was_stored(*args: Any) -> workflow.CaseReview:
        monkeypatch.undo()
        firsts.append(workflow.sign_out(*as_signed))
        return workflow.assess(*args)

    monkeypatch.setattr(signing, "assess", read_after_the_first_was_stored)
    assert workflow.sign_out(*as_signed).id == firsts[0].id
    assert len(lab.log.reports(case.id)) == 1


def test_an_attestation_said_again_changes_nothing_but_one_by_somebody_else_or_otherwise_does(
    lab: TestLaboratory,
) -> None:
    berg, okafor = lab.person("berg"), lab.person("okafor")
    case = lab.ready(POSITIVE)
    assert workflow.attest(lab.log, case.id, berg, True).case.version == case.version
    assert workflow.attest(lab.log, case.id, okafor, True).case.version == case.version + 1
    assert workflow.attest(lab.log, case.id, okafor, True).case.version == case.version + 1
    assert workflow.attest(lab.log, case.id, okafor, False).case.version == case.version + 2
    assert workflow.attest(lab.log, case.id, okafor, True).attested is True
    assert lab.log.case(case.id).version == case.version + 3


def test_a_wrong_password_signs_nothing(lab: TestLaboratory) -> None:
    case = lab.ready(POSITIVE)
    with pytest.raises(SignInError):
        workflow.sign_out(
            lab.log, lab.keyring, lab.accounts, case.id, case.version, lab.person("berg"), "not my password"
        )
    assert lab.log.reports(case.id) == []


def test_a_case_with_an_open_point_is_not_signed(lab: TestLaboratory) -> None:
    case = lab.reviewed(POSITIVE)
    with pytest.raises(WrongStateError, match="histolog"):
        lab.sign(case)


def test_a_case_that_changed_since_it_was_read_is_not_signed(lab: TestLaboratory) -> None:
    case = lab.ready(POSITIVE)
    workflow.attest(lab.log, case.id, lab.person("okafor"), True)
    with pytest.raises(ConflictError):
        workflow.sign_out(
            lab.log, lab.keyring, lab.accounts, case.id, case.version, lab.person("berg"), PASSWORDS["berg"]
        )


@pytest.mark.parametrize("name", ["lind", "nair"])
def test_nobody_but_a_pathologist_signs(lab: TestLaboratory, name: str) -> None:
    case = lab.ready(POSITIVE)
    with pytest.raises(PermissionDeniedError):
        lab.sign(case, name)
    assert lab.log.reports(case.id) == []


def test_an_indeterminate_case_is_signed_with_its_reason(lab: TestLaboratory) -> None:
    report = lab.sign(lab.ready(POSITIVE[:12]))
    assert report.summary["outcome"] == "indeterminate"


def test_a_preview_of_counts_that_nobody_confirmed_gives_no_result(lab: TestLaboratory) -> None:
    case, by = lab.analysed(POSITIVE), lab.person("berg")
    laboratory = workflow.laboratory_of(load_settings())
    content, pdf = workflow.draft_report(lab.log, case.id, laboratory, by)
    assert content.headline == "No HER2 result yet: no pathologist has confirmed the counts"
    (population,) = content.populations
    assert (population.group, population.comment) == (None, None)
    assert "they would make Group 1: ratio 2.0 or more" in population.path[-1]
    document = pypdfium2.PdfDocument(pdf)
    text = " ".join(document[0].get_textpage().get_text_bounded().split())
    document.close()
    assert "not final: pending confirmation of the counts" in text
    assert "HER2 positive" not in text
    workflow.confirm_review(lab.log, case.id, lab.log.case(case.id).version, by)
    content, _ = workflow.draft_report(lab.log, case.id, laboratory, by)
    assert (content.headline, content.populations[0].group) == ("HER2 positive: ISH Group 1", 1)


@pytest.mark.parametrize(
    ("counts", "ihc", "told"),
    [
        (POSITIVE, IHC.ZERO, "Discordance: ISH Group 1 (amplified) with IHC 0."),
        (NEGATIVE, IHC.THREE_PLUS, "Discordance: ISH Group 5 (not amplified) with IHC 3+."),
    ],
)
def test_a_preview_of_unconfirmed_counts_tells_their_group_once(
    lab: TestLaboratory, counts: list[tuple[int, int]], ihc: IHC, told: str
) -> None:
    """The alerts, how sure the group is and the notes on it wait for the confirmation as well."""
    case, by = lab.analysed(counts, ihc=ihc), lab.person("berg")
    laboratory = workflow.laboratory_of(load_settings())
    content, _ = workflow.draft_report(lab.log, case.id, laboratory, by)
    (population,) = content.populations
    assert (population.certainty, content.notes) == ((), ())
    assert "they would make Group" in population.path[-1]
    said = replace(content, populations=(replace(population, path=()),))
    assert not re.search(r"Group [1-5]", str(said.populations) + str(said.alerts))
    assert content.alerts  # those that are not about the group stay
    workflow.confirm_review(lab.log, case.id, lab.log.case(case.id).version, by)
    content, _ = workflow.draft_report(lab.log, case.id, laboratory, by)
    assert content.populations[0].certainty
    assert any(alert.startswith(told) for alert in content.alerts)


def test_a_preview_of_unconfirmed_counts_has_no_note_on_low_expression(lab: TestLaboratory) -> None:
    case, by = lab.analysed(NEGATIVE, ihc=IHC.ONE_PLUS), lab.person("berg")
    laboratory = workflow.laboratory_of(load_settings())
    assert workflow.draft_report(lab.log, case.id, laboratory, by)[0].notes == ()
    workflow.confirm_review(lab.log, case.id, lab.log.case(case.id).version, by)
    assert workflow.draft_report(lab.log, case.id, laboratory, by)[0].notes


def test_a_report_says_which_regions_it_shows_no_picture_of(lab: TestLaboratory) -> None:
    case = lab.open_case()
    for shade, nuclei in ((120, 8), (121, 20), (122, 12), (123, 16)):
        lab.analyse(lab.add_region(case, NEGATIVE[:nuclei], shade))
    by = lab.person("berg")
    content, _ = workflow.draft_report(lab.log, case.id, workflow.laboratory_of(load_settings()), by)
    assert [picture.caption.split(":")[0] for picture in content.thumbnails] == ["Region A2", "Region A3", "Region A4"]
    assert "Not pictured: 1 (A1)" in content.pictures_note


def test_what_was_asked_for_is_a_prompt_in_the_preview_and_a_fact_in_the_signed_report(lab: TestLaboratory) -> None:
    case, by = lab.analysed([(4, 2)] * 20), lab.person("berg")
    (region,) = lab.log.regions(case.id)
    analysis = lab.log.analysis(region.id)
    assert analysis is not None
    doubtful = tuple(replace(n, uncertain=n.id <= 3) for n in analysis.nuclei)
    lab.log.save_analysis(region.id, replace(analysis, nuclei=doubtful), by)

    def points() -> str:
        laboratory = workflow.laboratory_of(load_settings())
        return " ".join(workflow.draft_report(lab.log, case.id, laboratory, by)[0].alerts)

    for asked in ("score 20 more nuclei", "add a region from another area", "Look at them in Review"):
        assert asked in points()
    assert "unsure of 3 of 20 scored nuclei (15 %)" in points()
    workflow.confirm_review(lab.log, case.id, lab.log.case(case.id).version, by)
    workflow.attest(lab.log, case.id, by, True)
    for warning in workflow.assess(lab.log, case.id).warnings:
        workflow.acknowledge(lab.log, case.id, warning, by)
    for told in (
        "At least 40 nuclei were asked for, 20 were counted",
        "A region from another area was asked for, unless this one shows two; none was added.",
        "unsure of 3 of 20 scored nuclei (15 %)",
        "Their counts were confirmed together with all others",
    ):
        assert told in points()
    assert "score 20 more nuclei" not in points()


def test_an_indeterminate_report_names_no_group_of_any_reader(lab: TestLaboratory) -> None:
    case, by = lab.reviewed(NEGATIVE), lab.person("berg")
    workflow.set_indeterminate(lab.log, case.id, ["Autofluorescence is too strong."], by)
    content, pdf = workflow.draft_report(lab.log, case.id, workflow.laboratory_of(load_settings()), by)
    assert (content.outcome, [p.group for p in content.populations]) == ("indeterminate", [None])
    assert [count.group for p in content.populations for count in p.observers] == [None]
    document = pypdfium2.PdfDocument(pdf)
    text = "".join(page.get_textpage().get_text_bounded() for page in document)
    document.close()
    assert "Group" not in text


def test_an_amendment_is_a_new_version_that_names_the_old_one_and_what_changed(lab: TestLaboratory) -> None:
    first = lab.sign(lab.ready(POSITIVE))
    by = lab.person("berg")
    case = workflow.amend(lab.log, first.case_id, "IHC came later", lab.log.case(first.case_id).version, by)
    assert workflow.what_is_signed(lab.log, workflow.assess(lab.log, case.id)) == (
        f"Report {workflow.report_number(case.id)}, version 2: amended report, which replaces version 1.",
        "Reason for the amendment: IHC came later",
    )
    with pytest.raises(WrongStateError):
        lab.sign(case)  # the counts have to be confirmed anew
    region = lab.log.regions(case.id)[0]
    workflow.correct(lab.log, region.id, 1, CorrectionKind.COUNTS, {"her2": 5, "cep17": 2}, by)
    workflow.confirm_review(lab.log, case.id, lab.log.case(case.id).version, by)
    for warning in workflow.assess(lab.log, case.id).warnings:
        workflow.acknowledge(lab.log, case.id, warning, by)
    second = lab.sign(case)
    assert (second.version, second.kind.value, second.replaces_id) == (2, "amended", first.id)
    assert lab.log.case(case.id).state is CaseState.AMENDED
    assert workflow.verify(lab.log, lab.keyring, lab.log.report_pdf(first.id)).ok
    assert workflow.verify(lab.log, lab.keyring, lab.log.report_pdf(second.id)).ok


def test_an_amendment_without_change_can_be_withdrawn(lab: TestLaboratory) -> None:
    report = lab.sign(lab.ready(POSITIVE))
    by = lab.person("berg")
    signed = lab.log.look_up(Query("S26-001"))[0]
    workflow.amend(lab.log, report.case_id, "by mistake", lab.log.case(report.case_id).version, by)
    assert lab.log.look_up(Query("S26-001"))[0].group is None
    assert workflow.withdraw_amendment(lab.log, report.case_id, by).state is CaseState.SIGNED
    after = lab.log.look_up(Query("S26-001"))[0]
    assert (after.group, after.outcome) == (signed.group, signed.outcome) == (1, "positive")
    assert workflow.assess(lab.log, report.case_id).reviewed
    assert list(lab.log.check()) == []


def test_a_case_without_a_suitable_region_is_signed_as_indeterminate_with_the_reasons(lab: TestLaboratory) -> None:
    case, by = lab.open_case(), lab.person("berg")
    region = lab.add_region(case, POSITIVE)
    rejected = replace(FLAGS, suitable=False, unsuitable_reason="autofluorescence")
    workflow.set_flags(lab.log, region.id, rejected, by)
    with pytest.raises(WrongStateError, match="say under Work-up and sign-out why"):
        lab.sign(case)
    workflow.set_indeterminate(lab.log, case.id, ["Autofluorescence is too strong."], by)
    assert lab.log.case(case.id).state is CaseState.READY
    workflow.set_indeterminate(lab.log, case.id, [], by)
    assert lab.log.case(case.id).state is CaseState.DRAFT
    workflow.set_indeterminate(lab.log, case.id, ["Autofluorescence is too strong."], by)
    report = lab.sign(case)
    assert report.summary["headline"] == "HER2 indeterminate: Autofluorescence is too strong."
    document = pypdfium2.PdfDocument(lab.log.report_pdf(report.id))
    text = document[0].get_textpage().get_text_bounded()
    document.close()
    assert "no model took part" in text
    assert "not used: A1 (autofluorescence)" in text


def test_a_report_names_the_regions_that_were_not_used_each_reason_once(lab: TestLaboratory) -> None:
    case, by = lab.open_case(), lab.person("berg")
    for shade, reason in enumerate(("", "autofluorescence", "weak", "autofluorescence"), start=120):
        region = lab.add_region(case, POSITIVE, shade=shade)
        lab.analyse(region, FLAGS)
        if reason:
            workflow.set_flags(lab.log, region.id, replace(FLAGS, suitable=False, unsuitable_reason=reason), by)
    review, laboratory = workflow.assess(lab.log, case.id), workflow.laboratory_of(load_settings())
    content = workflow.build_content(lab.log, review, laboratory, None, "", datetime.now(UTC))
    assert content.suitability == (
        "1 of 4 regions judged suitable by the pathologist; not used: A2, A4 (autofluorescence); A3 (weak)."
    )


def test_a_suitable_region_has_to_be_counted_whatever_was_stated_before(lab: TestLaboratory) -> None:
    case, by = lab.open_case(), lab.person("berg")
    lab.add_region(case, POSITIVE)
    workflow.set_indeterminate(lab.log, case.id, ["Autofluorescence is too strong."], by)
    assert lab.log.case(case.id).state is CaseState.DRAFT
    workflow.set_flags(lab.log, lab.log.regions(case.id)[0].id, FLAGS, by)
    assert lab.log.case(case.id).state is CaseState.DRAFT


def test_what_fits_the_histology_is_a_final_result_and_no_other(lab: TestLaboratory) -> None:
    case, by = lab.analysed(NEGATIVE), lab.person("berg")
    with pytest.raises(WrongStateError, match="no result yet"):
        workflow.attest(lab.log, case.id, by, True)
    waiting = lab.reviewed(GROUP_4, "S26-002")
    with pytest.raises(WrongStateError, match="no result yet"):
        workflow.attest(lab.log, waiting.id, by, True)
    # As an earlier version stored it: said of a count that nobody had confirmed.
    lab.log.attest_no_discordance(case.id, by, True)
    workflow.confirm_review(lab.log, case.id, lab.log.case(case.id).version, by)
    assert workflow.assess(lab.log, case.id).attested is None
    assert workflow.attest(lab.log, case.id, by, True).attested is True


def test_a_state_derived_from_less_is_not_stored_over_one_derived_from_more(
    lab: TestLaboratory, monkeypatch: pytest.MonkeyPatch
) -> None:
    case, berg, okafor = lab.analysed(NEGATIVE), lab.person("berg"), lab.person("okafor")
    stored = type(lab.log).set_state

    def after_another_act(*args: Any, **options: Any) -> Case:
        monkeypatch.undo()
        workflow.confirm_review(lab.log, case.id, lab.log.case(case.id).version, okafor)
        return stored(*args, **options)

    monkeypatch.setattr(type(lab.log), "set_state", after_another_act)
    region = lab.log.regions(case.id)[0]
    workflow.correct(lab.log, region.id, 1, CorrectionKind.COUNTS, {"her2": 3, "cep17": 2}, berg)
    review = workflow.assess(lab.log, case.id)
    assert review.case.state is review.state is CaseState.REVIEWED


def test_the_preview_of_an_unfinished_case_is_preliminary(lab: TestLaboratory) -> None:
    case = lab.reviewed(GROUP_4)
    laboratory = workflow.laboratory_of(load_settings())
    pdf = workflow.preview(lab.log, case.id, laboratory, lab.person("berg"))
    document = pypdfium2.PdfDocument(pdf)
    text = document[0].get_textpage().get_text_bounded()
    document.close()
    assert "PRELIMINARY" in text
    assert "Muster, Erika" in text


# --- accounts -------------------------------------------------------------------------------------------------------


def test_a_changed_password_signs_and_the_old_one_does_not(lab: TestLaboratory) -> None:
    case, new = lab.ready(POSITIVE), "another long secret 99"
    workflow.change_password(lab.accounts, lab.keyring, lab.person("berg"), PASSWORDS["berg"], new)
    with pytest.raises(SignInError):
        lab.sign(case)
    report = workflow.sign_out(lab.log, lab.keyring, lab.accounts, case.id, case.version, lab.person("berg"), new)
    assert report.version == 1


def test_a_weak_new_password_changes_neither_account_nor_key(lab: TestLaboratory) -> None:
    case = lab.ready(POSITIVE)
    with pytest.raises(PasswordError):
        workflow.change_password(lab.accounts, lab.keyring, lab.person("berg"), PASSWORDS["berg"], "short")
    assert lab.sign(case).version == 1


def test_a_reset_password_comes_with_a_new_key(lab: TestLaboratory) -> None:
    before = lab.keyring.key_of(lab.person("berg"))
    nair = lab.person("nair")
    workflow.reset_password(
        lab.accounts, lab.keyring, "Laboratory", lab.person("berg"), "given by the administrator 1", nair
    )
    after = lab.keyring.key_of(lab.person("berg"))
    (noted,) = [e for e in lab.log.audit(actions=("signing key issued",)) if e.by_user_id == nair.id]
    assert noted.detail == {"user_id": lab.person("berg").id}
    assert before is not None
    assert after is not None
    assert before.serial != after.serial
    assert lab.accounts.must_change_password(lab.person("berg"))


@pytest.mark.parametrize(
    ("by", "password", "passphrase", "error"),
    [
        ("nair", "given by the administrator 1", None, SigningError),  # no key can be issued
        ("nair", "short", CA_PASSPHRASE, PasswordError),
        ("okafor", "given by the administrator 1", CA_PASSPHRASE, PermissionDeniedError),
    ],
)
def test_a_reset_that_cannot_be_completed_leaves_password_and_key(
    lab: TestLaboratory, by: str, password: str, passphrase: str | None, error: type[Exception]
) -> None:
    keyring = Keyring(lab.data_dir, passphrase)
    with pytest.raises(error):
        workflow.reset_password(lab.accounts, keyring, "Laboratory", lab.person("berg"), password, lab.person(by))
    assert lab.sign(lab.ready(POSITIVE)).version == 1


def test_an_issued_key_is_in_the_audit_trail_with_who_issued_it(lab: TestLaboratory) -> None:
    berg, nair = lab.person("berg"), lab.person("nair")
    workflow.issue_key(lab.accounts, lab.keyring, "Laboratory", berg, PASSWORDS["berg"], nair)
    last = lab.log.audit(limit=1, actions=("signing key issued",))[0]
    assert (last.by_user_id, last.detail) == (nair.id, {"user_id": berg.id})
    with pytest.raises(PermissionDeniedError):
        workflow.issue_key(lab.accounts, lab.keyring, "Laboratory", berg, PASSWORDS["berg"], lab.person("lind"))


def test_a_greyscale_image_is_refused(lab: TestLaboratory) -> None:
    buffer = io.BytesIO()
    Image.open(io.BytesIO(draw_region(POSITIVE))).convert("L").save(buffer, "PNG")
    with pytest.raises(NotFluorescenceError):
        workflow.add_region(
            lab.log, lab.open_case().id, buffer.getvalue(), "grey.png", lab.person("berg"), DEFAULT_LIMITS
        )
