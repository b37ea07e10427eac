"""Signed cases as a training set: who may teach, what is learned of a nucleus, and that nobody is named."""

# ruff: noqa: F811 (fixtures are imported, and named again where they are used)

from __future__ import annotations

import json
from dataclasses import replace
from pathlib import Path

import pytest

from her2core import workflow
from her2core.errors import PermissionDeniedError, TrainingError
from her2core.laboratory.teaching_set import HELD_OUT, TRAINING, entry_of, export_teaching_set, part_of
from her2core.records import IHC, Case, Channel, CorrectionKind, Exclusion, Nucleus, Signal
from her2core.scoring import ReviewedNucleus
from her2core.training.fine_tuning import mixed
from her2core.training.readings import read_regions
from tests.pages.conftest import lab, no_waiting_for_the_disk, template  # noqa: F401 (fixtures)
from tests.pages.lab import POSITIVE, TestLaboratory


def nucleus(number: int, her2: int, cep17: int, *, reason: Exclusion | None = None, dots: bool = True) -> Nucleus:
    signals = tuple(Signal(Channel.HER2, 1.0 + i, 2.0) for i in range(her2))
    signals += tuple(Signal(Channel.CEP17, 1.0 + i, 3.0) for i in range(cep17))
    return Nucleus(
        number, (0.0, 0.0, 9.0, 9.0), 0.9, her2, cep17, 0.0, 0.0, not dots, reason is None, reason,
        signals if dots else signals[:1],
    )  # fmt: skip


def test_what_nobody_could_count_is_neither_learned_nor_unlearned() -> None:
    nuclei = [
        ReviewedNucleus(nucleus(1, 2, 2), nucleus(1, 2, 2)),
        ReviewedNucleus(nucleus(2, 3, 2), nucleus(2, 2, 2)),
        ReviewedNucleus(nucleus(3, 0, 2, reason=Exclusion.NO_HER2), nucleus(3, 0, 2, reason=Exclusion.NO_HER2)),
        ReviewedNucleus(nucleus(4, 2, 2, reason=Exclusion.NOT_TUMOUR), nucleus(4, 2, 2)),
        ReviewedNucleus(nucleus(5, 2, 2, reason=Exclusion.EDGE), None),
    ]
    entry = entry_of("a.png", "p", "c", nuclei)
    learned = [(n["her2"], n["cep17"], n["scorable"], n["corrected"]) for n in entry["nuclei"]]
    assert learned == [(2, 2, True, False), (3, 2, True, True), (0, 2, False, False)]
    assert entry["ignore"] == [[0.0, 0.0, 9.0, 9.0]] * 2


def test_a_count_without_positions_teaches_the_number_only() -> None:
    (plain, estimated) = entry_of(
        "a.png", "p", "c",
        [ReviewedNucleus(nucleus(1, 4, 2), None), ReviewedNucleus(nucleus(2, 15, 2, dots=False), None)],
    )["nuclei"]  # fmt: skip
    assert len(plain["signals"]) == 6
    assert "signals" not in estimated
    assert (estimated["her2"], estimated["cluster"]) == (15, True)


def test_a_patient_is_on_the_same_side_for_ever_and_about_a_third_is_held_out() -> None:
    sides = [part_of(f"MRN-{number}") for number in range(600)]
    assert 150 < sides.count(HELD_OUT) < 250
    assert sides == [part_of(f" mrn-{number} ") for number in range(600)]


def of_patient(lab: TestLaboratory, case: Case, patient_id: str) -> Case:
    named = replace(case.details, patient_name="Zwetschge, Quirina", patient_id=patient_id)
    return workflow.set_details(lab.log, case.id, named, lab.log.case(case.id).version, lab.person("berg"))


def given(lab: TestLaboratory, number: int) -> int:
    """A signed case of a patient of its own, given to training."""
    case = lab.open_case(f"S26-TEACH-{number}", ihc=IHC.THREE_PLUS, ihc_same_sample=True)
    region = lab.add_region(case, POSITIVE, shade=121 + number)
    lab.analyse(region)
    case = of_patient(lab, case, f"MRN-{number}")
    counts = {"her2": 5, "cep17": 2}
    workflow.correct(lab.log, region.id, 1, CorrectionKind.COUNTS, counts, lab.person("berg"), "geheim")
    workflow.confirm_review(lab.log, case.id, lab.log.case(case.id).version, lab.person("berg"))
    for warning in workflow.assess(lab.log, case.id).warnings:
        workflow.acknowledge(lab.log, case.id, warning, lab.person("berg"))
    if workflow.assess(lab.log, case.id).attested is None:
        workflow.attest(lab.log, case.id, lab.person("berg"), True)
    lab.sign(case)
    lab.log.state_consent([case.id], True, "informed consent on file", lab.person("lind"))
    return case.id


def test_signed_cases_become_a_training_set_that_names_nobody(lab: TestLaboratory, tmp_path: Path) -> None:
    sides = {part_of(f"MRN-{number}"): number for number in range(5)}
    numbers = (sides[TRAINING], sides[HELD_OUT])
    cases = [given(lab, number) for number in numbers]
    signed_only = lab.ready(POSITIVE, "S26-NOT-GIVEN")
    lab.sign(signed_only)
    made = export_teaching_set(lab.log, tmp_path / "out", lab.person("lind"))
    assert made.cases == {TRAINING: 1, HELD_OUT: 1}
    assert made.corrected == 2
    everything = b"".join(
        path.name.encode() + path.read_bytes() for path in sorted((tmp_path / "out").rglob("*")) if path.is_file()
    )
    secrets = ("Zwetschge", "Quirina", "MRN-", "S26-", "geheim", "Berg", "2026-", "region-120")
    assert [secret for secret in secrets if secret.encode() in everything] == []
    (region,) = read_regions(tmp_path / "out" / TRAINING)
    assert (region.nuclei[0].her2, region.nuclei[0].cep17) == (5, 2)
    assert len(region.nuclei) == 20
    assert json.loads((tmp_path / "out" / TRAINING / "truth.json").read_text())[0]["nuclei"][0]["corrected"] is True
    for case_id in cases:
        entry = lab.log.audit(case_id, limit=1)[0]
        assert (entry.action, entry.detail["format"]) == ("exported", "training set")
    assert all(e.detail.get("format") != "training set" for e in lab.log.audit(signed_only.id, 200))


def test_without_a_case_that_may_teach_nothing_is_written(lab: TestLaboratory, tmp_path: Path) -> None:
    with pytest.raises(TrainingError, match="No signed case"):
        export_teaching_set(lab.log, tmp_path / "out", lab.person("lind"))
    assert not (tmp_path / "out").exists()


def test_a_pathologist_exports_no_training_set_and_nothing_is_overwritten(lab: TestLaboratory, tmp_path: Path) -> None:
    given(lab, 1)
    with pytest.raises(PermissionDeniedError):
        export_teaching_set(lab.log, tmp_path / "out", lab.person("berg"))
    (tmp_path / "full").mkdir()
    (tmp_path / "full" / "note.txt").write_text("keep")
    with pytest.raises(TrainingError, match="not empty"):
        export_teaching_set(lab.log, tmp_path / "full", lab.person("lind"))


# --- own and rendered regions together --------------------------------------------------------------------------------


def folder_of(path: Path, patients: int) -> Path:
    path.mkdir()
    entries = []
    for number in range(2 * patients):
        (path / f"{number}.png").write_bytes(f"{path.name} {number}".encode())
        nuclei = [{"box": [0, 0, 9, 9], "her2": 2, "cep17": 2}]
        entries.append({"image": f"{number}.png", "patient": f"P{number // 2}", "nuclei": nuclei})
    (path / "truth.json").write_text(json.dumps(entries))
    return path


def test_as_many_rendered_regions_are_rehearsed_as_there_are_own_ones(tmp_path: Path) -> None:
    own, rendered = folder_of(tmp_path / "own", 3), folder_of(tmp_path / "rendered", 20)
    regions = read_regions(mixed(own, rendered, tmp_path / "mixed"))
    kinds = [region.patient.partition("-")[0] for region in regions]
    assert (kinds.count("own"), kinds.count("rehearsal")) == (6, 6)
    for region in regions:
        kind, _, number = region.image.removesuffix(".png").partition("-")
        source = {"own": "own", "rehearsal": "rendered"}[kind]
        assert (tmp_path / "mixed" / region.image).read_bytes().startswith(source.encode())
        assert int(number) < 40


def test_few_rendered_regions_are_all_taken_and_one_patient_is_too_few(tmp_path: Path) -> None:
    rendered = folder_of(tmp_path / "rendered", 1)
    assert len(read_regions(mixed(folder_of(tmp_path / "own", 4), rendered, tmp_path / "mixed"))) == 10
    with pytest.raises(TrainingError, match="two patients"):
        mixed(folder_of(tmp_path / "single", 1), rendered, tmp_path / "other")
    with pytest.raises(ValueError, match="share"):
        mixed(tmp_path / "own", rendered, tmp_path / "other", share=1.0)


def test_an_image_outside_the_folder_or_missing_is_refused(tmp_path: Path) -> None:
    own, rendered = folder_of(tmp_path / "own", 2), folder_of(tmp_path / "rendered", 2)
    (own / "0.png").unlink()
    with pytest.raises(TrainingError, match=r"0\.png .* is missing"):
        mixed(own, rendered, tmp_path / "mixed")
    entries = json.loads((own / "truth.json").read_text())
    entries[0]["image"] = "../rendered/0.png"
    (own / "truth.json").write_text(json.dumps(entries))
    with pytest.raises(TrainingError, match="outside its folder"):
        mixed(own, rendered, tmp_path / "mixed")
