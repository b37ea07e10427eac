"""Region images, flags, analyses and corrections."""

import os
import time
from dataclasses import replace
from typing import Any

import pytest

from her2core.errors import (
    CaseLogError,
    ConflictError,
    DuplicateError,
    IntegrityError,
    NotFoundError,
    PermissionDeniedError,
    ScoringError,
    WrongStateError,
)
from her2core.records import (
    CaseState,
    CorrectionKind,
    Nucleus,
    Overlap,
    RegionAnalysis,
    RegionFlags,
    SignalIntensity,
)
from tests.caselog.lab import FLAGS, Lab, analysis, nuclei, sha

FULL_FLAGS = RegionFlags(True, "A", True, SignalIntensity.WEAK, Overlap.SEVERE, False, "autofluorescence")


def test_an_image_comes_back_byte_for_byte(lab: Lab) -> None:
    case = lab.draft()
    region = lab.region(case, b"\x00\xffimage")
    assert lab.log.regions(case.id) == [region]
    assert lab.log.region(region.id) == region
    assert lab.log.image_bytes(region) == b"\x00\xffimage"
    assert (region.width_px, region.height_px, region.um_per_px, region.flags) == (640, 480, 0.1, None)


def test_an_image_lies_under_its_sha256_readable_by_its_owner_only(lab: Lab) -> None:
    region = lab.region(lab.draft())
    files = list((lab.log.data_dir / "images").iterdir())
    assert [file.name for file in files] == [sha(b"an image")] == [region.image_sha256]
    assert files[0].stat().st_mode & 0o777 == 0o600
    assert lab.log.path.stat().st_mode & 0o777 == 0o600


@pytest.mark.parametrize(
    ("uploaded", "kept"),
    [("../../etc/passwd", "passwd"), ("C:\\Users\\x\\a.png", "a.png"), ("", "image"), ("..", "image"), ("/", "image")],
)
def test_a_file_name_is_kept_without_its_folders(lab: Lab, uploaded: str, kept: str) -> None:
    region = lab.log.add_region(lab.draft().id, b"x", uploaded, 1, 1, None, sha(b"x"), lab.anna)
    assert region.filename == kept


def test_the_same_image_is_one_region_of_a_case(lab: Lab) -> None:
    case = lab.draft()
    lab.region(case)
    with pytest.raises(DuplicateError, match="region of the case already"):
        lab.region(case)
    assert len(lab.log.regions(case.id)) == 1


def test_the_same_image_in_two_cases_is_kept_once_and_told(lab: Lab) -> None:
    first, second = lab.draft("26-1"), lab.draft("26-2")
    lab.region(first)
    lab.region(second)
    assert len(list((lab.log.data_dir / "images").iterdir())) == 1
    assert lab.log.cases_with_image(sha(b"an image")) == [first.id, second.id]


def test_other_bytes_than_those_examined_are_refused(lab: Lab) -> None:
    case = lab.draft()
    with pytest.raises(IntegrityError, match="Upload it again"):
        lab.log.add_region(case.id, b"swapped", "a.png", 1, 1, None, sha(b"examined"), lab.anna)
    with pytest.raises(IntegrityError):
        lab.log.add_region(case.id, b"", "a.png", 1, 1, None, sha(b""), lab.anna)
    assert not (lab.log.data_dir / "images").exists()


@pytest.mark.parametrize(("width", "height", "scale"), [(0, 1, None), (1, -1, None), (1, 1, 0.0), (1, 1, float("nan"))])
def test_sizes_that_cannot_be_are_refused(lab: Lab, width: int, height: int, scale: float | None) -> None:
    with pytest.raises(CaseLogError):
        lab.log.add_region(lab.draft().id, b"x", "a.png", width, height, scale, sha(b"x"), lab.anna)


def test_a_damaged_image_is_never_given_out(lab: Lab) -> None:
    region = lab.region(lab.draft())
    file = lab.log.data_dir / "images" / region.image_sha256
    file.write_bytes(b"an imagf")
    with pytest.raises(IntegrityError, match="changed or damaged"):
        lab.log.image_bytes(region)
    file.unlink()
    with pytest.raises(IntegrityError, match="missing"):
        lab.log.image_bytes(region)


def test_uploading_a_damaged_image_again_repairs_it(lab: Lab) -> None:
    region = lab.region(lab.draft("26-1"))
    (lab.log.data_dir / "images" / region.image_sha256).write_bytes(b"broken")
    lab.region(lab.draft("26-2"))
    assert lab.log.image_bytes(region) == b"an image"


def test_a_path_is_no_name_of_an_image(lab: Lab) -> None:
    region = replace(lab.region(lab.draft()), image_sha256="../caselog.sqlite")
    with pytest.raises(ValueError, match="SHA-256"):
        lab.log.image_bytes(region)


def test_a_removed_region_is_out_of_the_case_but_not_gone(lab: Lab) -> None:
    case = lab.draft()
    region = lab.region(case)
    lab.log.remove_region(region.id, lab.anna, "wrong slide")
    assert lab.log.regions(case.id) == []
    assert lab.log.region(region.id) == region
    assert lab.log.image_bytes(region) == b"an image"
    for step in (
        lambda: lab.log.remove_region(region.id, lab.anna),
        lambda: lab.log.set_flags(region.id, FLAGS, lab.anna),
        lambda: lab.log.set_scale(region.id, 0.2, lab.anna),
        lambda: lab.log.save_analysis(region.id, analysis(), lab.anna),
    ):
        with pytest.raises(NotFoundError):
            step()
    assert lab.region(case).id != region.id


def test_a_region_leaves_a_draft_only(lab: Lab) -> None:
    _, region = lab.analysed()
    with pytest.raises(WrongStateError, match="not suitable"):
        lab.log.remove_region(region.id, lab.anna)


def test_flags_come_back_and_their_old_values_are_audited(lab: Lab) -> None:
    case = lab.draft()
    region = lab.region(case)
    lab.log.set_flags(region.id, FLAGS, lab.anna)
    assert lab.log.set_flags(region.id, FULL_FLAGS, lab.ben).flags == FULL_FLAGS
    changed = lab.log.audit(case.id, limit=1)[0].detail["changed"]
    assert changed["suitable"] == [1, 0]
    assert changed["signal_intensity"] == ["good", "weak"]
    assert "population" not in changed
    head = lab.log.audit_head()
    lab.log.set_flags(region.id, FULL_FLAGS, lab.ben)
    assert lab.log.audit_head() == head


def test_a_flag_names_a_population_of_the_case(lab: Lab) -> None:
    region = lab.region(lab.draft())
    with pytest.raises(CaseLogError, match="no population of this name"):
        lab.log.set_flags(region.id, replace(FLAGS, population="B"), lab.anna)


def test_a_scale_can_be_typed_later(lab: Lab) -> None:
    region = lab.region(lab.draft())
    assert lab.log.set_scale(region.id, 0.25, lab.anna).um_per_px == 0.25
    assert lab.log.set_scale(region.id, None, lab.anna).um_per_px is None
    with pytest.raises(CaseLogError):
        lab.log.set_scale(region.id, -1, lab.anna)


def test_only_flagged_suitable_regions_are_analysed(lab: Lab) -> None:
    region = lab.region(lab.draft())
    with pytest.raises(WrongStateError, match="flags"):
        lab.log.save_analysis(region.id, analysis(), lab.anna)
    lab.log.set_flags(region.id, FULL_FLAGS, lab.anna)
    with pytest.raises(WrongStateError, match="not suitable"):
        lab.log.save_analysis(region.id, analysis(), lab.anna)
    assert lab.log.analysis(region.id) is None


def test_an_analysis_comes_back_as_it_was_found(lab: Lab) -> None:
    _, region = lab.analysed()
    assert lab.log.analysis(region.id) == analysis()


def test_the_latest_analysis_counts_and_earlier_ones_are_kept(lab: Lab) -> None:
    _, region = lab.analysed()
    second = lab.log.save_analysis(region.id, analysis(5), lab.ben)
    assert lab.log.analysis(region.id) == analysis(5)
    kept = lab.log.analyses(region.id)
    assert [found for _, found in kept] == [analysis(), analysis(5)]
    assert kept[1][0] == second


def test_a_new_analysis_sets_no_corrections_aside(lab: Lab) -> None:
    _, region = lab.analysed()
    correction = lab.correct(region)
    with pytest.raises(WrongStateError, match="set aside"):
        lab.log.save_analysis(region.id, analysis(5), lab.anna)
    assert lab.log.analysis(region.id) == analysis()
    assert lab.log.corrections(region.id) == [correction]


def test_an_analysis_with_numbers_that_are_none_is_refused(lab: Lab) -> None:
    _, region = lab.analysed()
    broken = replace(nuclei()[0], her2_regressed=float("nan"))
    found = RegionAnalysis(640, 480, (broken,), (), {})
    with pytest.raises(CaseLogError, match="finite"):
        lab.log.save_analysis(region.id, found, lab.anna)
    with pytest.raises(CaseLogError, match="finite"):
        lab.log.save_analysis(region.id, replace(analysis(), quality={"focus": float("inf")}), lab.anna)


ADDED = Nucleus(9, (1.0, 2.0, 30.0, 40.0), 1.0, 3, 2, 3.0, 2.0, False, True)
GOOD: list[tuple[int, CorrectionKind, dict[str, Any]]] = [
    (0, CorrectionKind.COUNTS, {"her2": 0, "cep17": 12}),
    (0, CorrectionKind.EXCLUDE, {"reason": "out of focus"}),
    (3, CorrectionKind.INCLUDE, {}),
    (1, CorrectionKind.CLUSTER, {"clustered": True}),
    (9, CorrectionKind.ADD, ADDED.to_dict()),
    (1, CorrectionKind.SIGNALS, {"signals": [{"channel": "her2", "x": 1.0, "y": 2.0}]}),
    (1, CorrectionKind.BOX, {"box": [0.0, 0.0, 5.0, 5.5]}),
]
BAD: list[tuple[CorrectionKind, dict[str, Any]]] = [
    (CorrectionKind.COUNTS, {"her2": -1, "cep17": 2}),
    (CorrectionKind.COUNTS, {"her2": 1.5, "cep17": 2}),
    (CorrectionKind.COUNTS, {"her2": True, "cep17": 2}),
    (CorrectionKind.COUNTS, {"her2": 2}),
    (CorrectionKind.COUNTS, {"her2": 2, "cep17": 2, "extra": 1}),
    (CorrectionKind.EXCLUDE, {"reason": "I do not like it"}),
    (CorrectionKind.EXCLUDE, {}),
    (CorrectionKind.INCLUDE, {"reason": "other"}),
    (CorrectionKind.CLUSTER, {"clustered": 1}),
    (CorrectionKind.ADD, {"id": 0}),
    (CorrectionKind.ADD, ADDED.to_dict()),
    (CorrectionKind.ADD, {**ADDED.to_dict(), "id": 0, "box": [5, 5, 1, 1]}),
    (CorrectionKind.SIGNALS, {"signals": [{"channel": "dapi", "x": 1.0, "y": 2.0}]}),
    (CorrectionKind.SIGNALS, {"signals": [{"channel": "her2", "x": float("nan"), "y": 2.0}]}),
    (CorrectionKind.SIGNALS, {"signals": 3}),
    (CorrectionKind.BOX, {"box": [5, 5, 5, 9]}),
    (CorrectionKind.BOX, {"box": [0, 0, float("inf"), 9]}),
    (CorrectionKind.BOX, {"box": [1, 2, 3]}),
    (CorrectionKind.UNDO, {"correction_id": "1"}),
]


def test_corrections_of_every_kind_come_back_in_order(lab: Lab) -> None:
    _, region = lab.analysed()
    made = [
        lab.log.add_correction(region.id, nucleus_id, kind, {"her2": 4}, new, " seen twice ", lab.anna)
        for nucleus_id, kind, new in GOOD
    ]
    made.append(
        lab.log.add_correction(region.id, 0, CorrectionKind.UNDO, {}, {"correction_id": made[0].id}, "", lab.ben)
    )
    assert lab.log.corrections(region.id) == made
    assert [(c.nucleus_id, c.kind, c.new) for c in made[:-1]] == GOOD
    assert made[0].reason == "seen twice"
    assert made[0].at == lab.clock.time
    assert made[-1].by_user_id == lab.ben.id
    assert lab.log.analysis(region.id) == analysis()


@pytest.mark.parametrize(("kind", "new"), BAD)
def test_a_correction_that_cannot_be_is_refused(lab: Lab, kind: CorrectionKind, new: dict[str, Any]) -> None:
    _, region = lab.analysed()
    with pytest.raises(ScoringError):
        lab.log.add_correction(region.id, 0, kind, {}, new, "", lab.anna)
    assert lab.log.corrections(region.id) == []


def test_a_correction_is_about_a_nucleus_that_is_there(lab: Lab) -> None:
    _, region = lab.analysed()
    with pytest.raises(NotFoundError, match="no such nucleus"):
        lab.correct(region, nucleus_id=9)
    lab.log.add_correction(region.id, 9, CorrectionKind.ADD, {}, ADDED.to_dict(), "", lab.anna)
    assert lab.correct(region, nucleus_id=9).nucleus_id == 9


def test_two_people_do_not_add_a_nucleus_under_the_same_number(lab: Lab) -> None:
    _, region = lab.analysed()
    lab.log.add_correction(region.id, 9, CorrectionKind.ADD, {}, ADDED.to_dict(), "", lab.anna)
    with pytest.raises(ConflictError, match="same moment"):
        lab.log.add_correction(region.id, 9, CorrectionKind.ADD, {}, ADDED.to_dict(), "", lab.ben)
    found = {**ADDED.to_dict(), "id": 1}
    with pytest.raises(ConflictError):
        lab.log.add_correction(region.id, 1, CorrectionKind.ADD, {}, found, "", lab.ben)


def test_undo_is_about_a_correction_of_the_same_nucleus(lab: Lab) -> None:
    _, region = lab.analysed()
    correction = lab.correct(region)
    with pytest.raises(NotFoundError, match="no such correction"):
        lab.log.add_correction(region.id, 1, CorrectionKind.UNDO, {}, {"correction_id": correction.id}, "", lab.anna)


def test_there_is_nothing_to_correct_before_the_analysis(lab: Lab) -> None:
    region = lab.region(lab.draft())
    with pytest.raises(WrongStateError, match="not analysed"):
        lab.correct(region)


def test_wrong_roles_add_analyse_and_correct_nothing(lab: Lab) -> None:
    case, region = lab.analysed()
    for user in (lab.manager, lab.admin):
        for step in (
            lambda by=user: lab.region(case, b"more", by),
            lambda by=user: lab.log.remove_region(region.id, by),
            lambda by=user: lab.log.set_flags(region.id, FULL_FLAGS, by),
            lambda by=user: lab.log.set_scale(region.id, 1.0, by),
            lambda by=user: lab.log.save_analysis(region.id, analysis(), by),
            lambda by=user: lab.correct(region, by=by),
        ):
            with pytest.raises(PermissionDeniedError):
                step()
    assert lab.log.case(case.id) == case


def test_a_signed_case_takes_no_region_analysis_or_correction(lab: Lab) -> None:
    case, _ = lab.signed()
    region = lab.log.regions(case.id)[0]
    for step in (
        lambda: lab.region(case, b"more"),
        lambda: lab.log.set_flags(region.id, FULL_FLAGS, lab.anna),
        lambda: lab.log.save_analysis(region.id, analysis(), lab.anna),
        lambda: lab.correct(region),
    ):
        with pytest.raises(WrongStateError, match="signed"):
            step()
    assert lab.log.case(case.id).state is CaseState.SIGNED


def test_abandoned_parts_of_files_are_swept_away_after_a_day(lab: Lab) -> None:
    lab.region(lab.draft())
    folder = lab.log.data_dir / "images"
    old, young = folder / f"{'0' * 64}.aa.part", folder / f"{'1' * 64}.bb.part"
    for part in (old, young):
        part.write_bytes(b"half")
    os.utime(old, (time.time() - 90_000, time.time() - 90_000))
    lab.log.open()
    assert not old.exists()
    assert young.exists()
    assert lab.log.check() == []
