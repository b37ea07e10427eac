"""Promotion and roll-back: compared, permitted, with a reason; a worse model only by force; old results untouched."""

# ruff: noqa: F811 (fixtures are imported, and named again where they are used)

from __future__ import annotations

import json
from collections.abc import Callable
from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest
import torch

from her2core import workflow
from her2core.errors import (
    CaseLogError,
    PermissionDeniedError,
    TrainingError,
    WeightsMismatchError,
    WrongStateError,
)
from her2core.jobs import AnalysisJobs
from her2core.laboratory import promotion
from her2core.laboratory.candidates import Measured, compare
from her2core.laboratory.promotion import candidates, compare_candidate, promote, read_candidate, roll_back
from her2core.laboratory.validating import Run
from her2core.models import card_of, fingerprint, save_weights
from tests.pages.conftest import lab, no_waiting_for_the_disk, template  # noqa: F401 (fixtures)
from tests.pages.lab import POSITIVE, TestLaboratory


def weights(folder: Path, stage: str, number: int) -> None:
    card = {"name": stage, "version": str(number), "config": {}}
    save_weights(folder / f"{stage}.safetensors", {"w": torch.full((2,), float(number))}, card)


@pytest.fixture
def shipped(tmp_path: Path) -> Path:
    folder = tmp_path / "shipped"
    for stage in promotion.STAGES:
        weights(folder, stage, 1)
    return folder


def measured(right: int, off: float) -> list[Measured]:
    return [Measured(f"{i}.png", f"P{i}", i < right, off, 0.0, off, 20, 1.0) for i in range(10)]


def candidate(lab: TestLaboratory, shipped: Path, number: int, *, own: int = 9, rendered: int = 8) -> Path:
    """A compared candidate: of ten regions the models in use have eight right, it has `own` and `rendered`."""
    folder = lab.log.data_dir / promotion.CANDIDATES / f"candidate-{number}"
    for stage in promotion.STAGES:
        weights(folder, stage, number)
    current = workflow.models_dir(lab.log, shipped)
    document = {
        "schema": "her2core.comparison/1",
        "candidate": {s: fingerprint(card_of(folder / f"{s}.safetensors")) for s in promotion.STAGES},
        "current": {s: fingerprint(card_of(current / f"{s}.safetensors")) for s in promotion.STAGES},
        "data": {},
        "forgetting": 0.05,
        "own": compare("own", measured(8, 0.2), measured(own, 0.1)).to_dict(),
        "rendered": compare("rendered", measured(8, 0.1), measured(rendered, 0.1)).to_dict(),
    }
    (folder / promotion.COMPARISON).write_text(json.dumps(document))
    return folder


def test_a_better_candidate_is_promoted_with_its_reason_and_counts_from_then_on(
    lab: TestLaboratory, shipped: Path
) -> None:
    folder = candidate(lab, shipped, 2)
    record = promote(lab.log, shipped, folder, "better on our slides", lab.person("lind"))
    used = workflow.models_dir(lab.log, shipped)
    assert card_of(used / "counter.safetensors")["version"] == "2"
    assert (record.forced, record.reason) == (False, "better on our slides")
    assert record.comparison["own"]["candidate"]["accuracy"] == 0.9
    entry = lab.log.audit(limit=1)[0]
    assert (entry.action, entry.by_username) == ("models promoted", "lind")
    assert lab.log.check() == []


def test_a_promotion_leaves_stored_results_with_the_models_that_made_them(lab: TestLaboratory, shipped: Path) -> None:
    case = lab.ready(POSITIVE, "S26-OLD")
    lab.sign(case)
    before = lab.log.case_rows(case.id)
    promote(lab.log, shipped, candidate(lab, shipped, 2), "better", lab.person("lind"))
    after = lab.log.case_rows(case.id)
    assert {t: r for t, r in after.items() if t != "users"} == {t: r for t, r in before.items() if t != "users"}


@pytest.mark.parametrize(("own", "rendered", "word"), [(7, 8, "less often"), (9, 7, "forgot")])
def test_a_worse_candidate_is_refused_unless_forced_with_a_reason(
    lab: TestLaboratory, shipped: Path, own: int, rendered: int, word: str
) -> None:
    folder = candidate(lab, shipped, 2, own=own, rendered=rendered)
    with pytest.raises(WrongStateError, match=word):
        promote(lab.log, shipped, folder, "try it", lab.person("lind"))
    assert lab.log.promotions() == []
    with pytest.raises(CaseLogError, match="reason"):
        promote(lab.log, shipped, folder, " ", lab.person("lind"), force=True)
    record = promote(lab.log, shipped, folder, "the old camera is gone", lab.person("lind"), force=True)
    assert record.forced
    assert word in record.comparison["against"][0]


def test_forcing_what_needs_no_force_is_no_forced_promotion(lab: TestLaboratory, shipped: Path) -> None:
    record = promote(lab.log, shipped, candidate(lab, shipped, 2), "better", lab.person("lind"), force=True)
    assert not record.forced


def test_only_a_lab_manager_promotes_and_rolls_back(lab: TestLaboratory, shipped: Path) -> None:
    folder = candidate(lab, shipped, 2)
    forged = replace(lab.person("berg"), role=lab.person("lind").role)  # the role stored now counts
    for user in (lab.person("berg"), forged):
        with pytest.raises(PermissionDeniedError):
            promote(lab.log, shipped, folder, "better", user)
    promote(lab.log, shipped, folder, "better", lab.person("lind"))
    with pytest.raises(PermissionDeniedError):
        roll_back(lab.log, shipped, "", "worse", lab.person("berg"))


def test_a_candidate_is_refused_that_was_not_compared_or_changed_since(lab: TestLaboratory, shipped: Path) -> None:
    folder = candidate(lab, shipped, 2)
    weights(folder, "counter", 3)
    with pytest.raises(WrongStateError, match="not those that were compared"):
        promote(lab.log, shipped, folder, "better", lab.person("lind"))
    (folder / promotion.COMPARISON).unlink()
    with pytest.raises(WrongStateError, match="not compared yet"):
        promote(lab.log, shipped, folder, "better", lab.person("lind"), force=True)
    (folder / promotion.COMPARISON).write_text("{")
    assert "cannot be read" in (read_candidate(folder, shipped).problem or "")


def test_a_candidate_is_refused_that_was_compared_with_other_models(lab: TestLaboratory, shipped: Path) -> None:
    second, third = candidate(lab, shipped, 2), candidate(lab, shipped, 3)
    promote(lab.log, shipped, second, "better", lab.person("lind"))
    with pytest.raises(WrongStateError, match="no longer in use"):
        promote(lab.log, shipped, third, "better still", lab.person("lind"))
    assert [c.problem for c in candidates(lab.log, shipped)] == [
        "These are the models in use.",
        "It was compared with models that are no longer in use. Run “model compare” again.",
    ]


def test_weights_that_are_not_those_of_their_card_are_not_put_into_use(lab: TestLaboratory, shipped: Path) -> None:
    folder = candidate(lab, shipped, 2)
    (folder / "counter.safetensors").write_bytes(b"something else")
    with pytest.raises(WeightsMismatchError):
        promote(lab.log, shipped, folder, "better", lab.person("lind"))
    assert lab.log.promotions() == []


def test_earlier_models_come_back_and_only_those_that_were_in_use(lab: TestLaboratory, shipped: Path) -> None:
    first = promote(lab.log, shipped, candidate(lab, shipped, 2), "better", lab.person("lind"))
    promote(lab.log, shipped, candidate(lab, shipped, 3), "better still", lab.person("lind"))
    roll_back(lab.log, shipped, first.folder, "lot 7 is read wrongly", lab.person("lind"))
    assert card_of(workflow.models_dir(lab.log, shipped) / "counter.safetensors")["version"] == "2"
    roll_back(lab.log, shipped, "", "back to the release", lab.person("lind"))
    assert workflow.models_dir(lab.log, shipped) == shipped
    assert [p.rolled_back for p in lab.log.promotions()] == [True, True, False, False]
    for folder, message in (("", "in use already"), ("00000000ffffffff", "never in use")):
        with pytest.raises(WrongStateError, match=message):
            roll_back(lab.log, shipped, folder, "why not", lab.person("lind"))
    assert lab.log.check() == []


def test_damaged_models_are_not_rolled_back_to(lab: TestLaboratory, shipped: Path) -> None:
    first = promote(lab.log, shipped, candidate(lab, shipped, 2), "better", lab.person("lind"))
    promote(lab.log, shipped, candidate(lab, shipped, 3), "better still", lab.person("lind"))
    (lab.log.data_dir / "models" / first.folder / "detector.safetensors").write_bytes(b"rot")
    with pytest.raises(WeightsMismatchError):
        roll_back(lab.log, shipped, first.folder, "lot 7", lab.person("lind"))


def test_promoted_models_are_in_the_backup_and_come_back_with_it(
    lab: TestLaboratory, shipped: Path, tmp_path: Path
) -> None:
    promote(lab.log, shipped, candidate(lab, shipped, 2), "better", lab.person("lind"))
    archive = lab.log.backup(tmp_path).path
    type(lab.log).restore(archive, tmp_path / "restored")
    with type(lab.log)(tmp_path / "restored") as log:
        assert card_of(workflow.models_dir(log, shipped) / "counter.safetensors")["version"] == "2"


def test_a_comparison_takes_the_missing_stage_from_the_models_in_use(
    lab: TestLaboratory, shipped: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    folder = tmp_path / "candidate"
    weights(folder, "counter", 2)
    for name in ("own", "rendered"):
        (tmp_path / name).mkdir()
        (tmp_path / name / "truth.json").write_text("[]")
    monkeypatch.setattr(promotion, "load_models", lambda path, *_: path)
    monkeypatch.setattr(promotion, "read_cases", lambda _, path, __: Run((path,), ()))
    monkeypatch.setattr(promotion, "measure", lambda reads: measured(9 if reads[0] == folder else 8, 0.1))
    found = compare_candidate(folder, shipped, tmp_path / "own", tmp_path / "rendered")
    assert card_of(folder / "detector.safetensors") == card_of(shipped / "detector.safetensors")
    assert found.own is not None
    assert (found.own.better, found.against, found.problem) == (1, (), None)
    assert found.models["counter"].startswith("counter 2 ")
    with pytest.raises(TrainingError, match="neither"):
        compare_candidate(tmp_path / "own", shipped, tmp_path / "own", tmp_path / "rendered")


def test_the_next_analysis_uses_what_was_promoted_without_a_restart(lab: TestLaboratory, shipped: Path) -> None:
    loaded: list[Path] = []

    def load() -> Any:
        loaded.append(workflow.models_dir(lab.log, shipped))
        return f"models {len(loaded)}"

    jobs = AnalysisJobs(lab.log, load, lambda *_, **__: pytest.fail("nothing is analysed here"))
    models: Callable[[], object] = jobs.models
    try:
        assert (models(), models()) == ("models 1", "models 1")
        promote(lab.log, shipped, candidate(lab, shipped, 2), "better", lab.person("lind"))
        assert (models(), models()) == ("models 2", "models 2")
        roll_back(lab.log, shipped, "", "worse", lab.person("lind"))
        assert models() == "models 3"
    finally:
        jobs.close()
    assert [path == shipped for path in loaded] == [True, False, True]
