"""Results of a batch as research cases: the same nuclei, once, marked as what they are, and never signed."""

# ruff: noqa: F811 (fixtures are imported, and named again where they are used)

from __future__ import annotations

from pathlib import Path

import pytest

from her2core import workflow
from her2core.batch import read_results, run
from her2core.caselog.lookup import Query
from her2core.errors import CaseLogError, ExchangeError, PermissionDeniedError
from her2core.imaging import DEFAULT_LIMITS, ImageLimits
from her2core.records import CaseState
from her2core.workflow import research
from her2core.workflow.research import RESEARCH, Imported, import_batch
from tests.batch.recipes import Quick, expected, png
from tests.pages.conftest import lab, no_waiting_for_the_disk, template  # noqa: F401 (fixtures)
from tests.pages.lab import TestLaboratory


@pytest.fixture
def results(tmp_path: Path) -> tuple[Path, Path]:
    """Four images and a broken one, analysed."""
    for number in range(4):
        png(tmp_path / "source" / f"{number}.png", number)
    (tmp_path / "source" / "broken.png").write_bytes(b"\x89PNG\r\n\x1a\n")
    run(tmp_path / "source", tmp_path / "out", Quick(), engine="processes")
    return tmp_path / "source", tmp_path / "out"


def test_each_analysed_image_is_a_research_case_with_its_nuclei(
    lab: TestLaboratory, results: tuple[Path, Path]
) -> None:
    source, out = results
    assert import_batch(lab.log, out, source, lab.person("berg"), DEFAULT_LIMITS) == Imported(4, 0, ())
    cases = lab.log.look_up(Query(RESEARCH))
    assert len(cases) == 4
    images, nuclei = read_results(out)
    for summary in cases:
        (region,) = lab.log.regions(summary.id)
        analysis = lab.log.analysis(region.id)
        assert analysis is not None
        number = int(Path(region.filename).stem)
        assert (len(analysis.nuclei), sum(n.her2 or 0 for n in analysis.nuclei)) == expected(number)
        sha256 = images.set_index("image")["sha256"][region.filename]
        assert summary.accession == f"{RESEARCH}-{sha256[:16]}"
        assert [n.score for n in analysis.nuclei] == nuclei[nuclei["sha256"] == sha256]["score"].tolist()
        assert summary.state is CaseState.ANALYSED
    assert lab.log.check() == []


def test_a_second_import_adds_nothing_and_a_half_made_case_is_completed(
    lab: TestLaboratory, results: tuple[Path, Path], monkeypatch: pytest.MonkeyPatch
) -> None:
    source, out = results
    berg, saves = lab.person("berg"), []

    def full(*args: object, **kwargs: object) -> None:
        saves.append(args)
        raise CaseLogError("The disk is full.")

    with monkeypatch.context() as patched:
        patched.setattr(research, "set_flags", full)
        first = import_batch(lab.log, out, source, berg, DEFAULT_LIMITS)
    assert (first.new, len(first.failed), len(saves)) == (0, 4, 4)
    assert import_batch(lab.log, out, source, berg, DEFAULT_LIMITS) == Imported(4, 0, ())
    assert import_batch(lab.log, out, source, berg, DEFAULT_LIMITS) == Imported(0, 4, ())
    assert len(lab.log.look_up(Query(RESEARCH))) == 4


def test_a_file_that_is_another_one_now_is_not_imported(lab: TestLaboratory, results: tuple[Path, Path]) -> None:
    source, out = results
    png(source / "2.png", 99)
    (source / "3.png").unlink()
    imported = import_batch(lab.log, out, source, lab.person("berg"), DEFAULT_LIMITS)
    assert imported.new == 2
    assert sorted(name for name, _ in imported.failed) == ["2.png", "3.png"]
    assert "not the one that was analysed" in dict(imported.failed)["2.png"]


def test_an_image_of_a_patients_case_stays_there(lab: TestLaboratory, results: tuple[Path, Path]) -> None:
    source, out = results
    case = lab.open_case()
    data = (source / "1.png").read_bytes()
    workflow.add_region(lab.log, case.id, data, "1.png", lab.person("berg"), DEFAULT_LIMITS)
    imported = import_batch(lab.log, out, source, lab.person("berg"), DEFAULT_LIMITS)
    assert (imported.new, imported.present, imported.failed) == (3, 1, ())
    cases = lab.log.look_up(Query(RESEARCH))
    assert [(case.state, case.regions) for case in cases] == [(CaseState.ANALYSED, 1)] * 3  # none is left empty


def test_an_image_that_cannot_be_a_region_leaves_no_case(lab: TestLaboratory, results: tuple[Path, Path]) -> None:
    """As a field of a whole slide, which a batch takes window by window."""
    source, out = results
    imported = import_batch(lab.log, out, source, lab.person("berg"), ImageLimits(max_pixels=4000))
    assert (imported.new, imported.present, len(imported.failed)) == (0, 0, 4)
    assert lab.log.look_up(Query(RESEARCH)) == []


def test_no_result_can_be_signed_for_a_research_case(lab: TestLaboratory, results: tuple[Path, Path]) -> None:
    import_batch(lab.log, results[1], results[0], lab.person("berg"), DEFAULT_LIMITS)
    case = lab.log.look_up(Query(RESEARCH))[0]
    assert workflow.assess(lab.log, case.id).case.details.controls_ok is None
    workflow.confirm_review(lab.log, case.id, lab.log.case(case.id).version, lab.person("berg"))
    assert lab.log.case(case.id).state is not CaseState.READY


def test_only_a_pathologist_imports_and_only_results(lab: TestLaboratory, results: tuple[Path, Path]) -> None:
    source, out = results
    with pytest.raises(PermissionDeniedError):
        import_batch(lab.log, out, source, lab.person("lind"), DEFAULT_LIMITS)
    with pytest.raises(ExchangeError, match="no results"):
        import_batch(lab.log, source, source, lab.person("berg"), DEFAULT_LIMITS)
