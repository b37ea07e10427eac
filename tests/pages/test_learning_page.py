"""The page Models for a lab manager: cases given to training, candidates, promotion, roll-back, a list to annotate."""

from __future__ import annotations

import json
from pathlib import Path

import pytest
import torch
from streamlit.testing.v1 import AppTest

from her2core import workflow
from her2core.laboratory import promotion
from her2core.laboratory.candidates import Measured, compare
from her2core.models import card_of, fingerprint, save_weights
from tests.pages.app import page_alone, said
from tests.pages.lab import POSITIVE, TestLaboratory


def weights(folder: Path, number: int) -> None:
    for stage in promotion.STAGES:
        card = {"name": stage, "version": str(number), "architecture": "of the tests"}
        save_weights(folder / f"{stage}.safetensors", {"w": torch.full((2,), float(number))}, card)


@pytest.fixture
def shipped(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    folder = tmp_path / "shipped"
    weights(folder, 1)
    monkeypatch.setenv("HER2CORE_WEIGHTS_DIR", str(folder))
    return folder


def candidate(lab: TestLaboratory, shipped: Path, right: int) -> Path:
    folder = lab.log.data_dir / promotion.CANDIDATES / "lot-7"
    weights(folder, 2)

    def measured(good: int) -> list[Measured]:
        return [Measured(f"{i}.png", f"P{i}", i < good, 0.1, 0.0, 0.1, 20, 1.0) for i in range(10)]

    document = {
        "candidate": {s: fingerprint(card_of(folder / f"{s}.safetensors")) for s in promotion.STAGES},
        "current": {s: fingerprint(card_of(shipped / f"{s}.safetensors")) for s in promotion.STAGES},
        "forgetting": 0.05,
        "own": compare("own", measured(8), measured(right)).to_dict(),
        "rendered": compare("rendered", measured(8), measured(8)).to_dict(),
    }
    (folder / promotion.COMPARISON).write_text(json.dumps(document))
    return folder


def learning(lab: TestLaboratory, view: str = "Learning") -> AppTest:
    at = page_alone("models.py", lab.person("lind"))
    return at.segmented_control(key="models_view").set_value(view).run()


def test_a_pathologist_sees_cards_and_benchmark_only(lab: TestLaboratory, shipped: Path) -> None:
    at = page_alone("models.py", lab.person("berg"))
    assert at.segmented_control(key="models_view").options == ["Model cards", "Benchmark"]


def test_without_promotion_or_candidate_the_page_says_how_there_will_be_one(lab: TestLaboratory, shipped: Path) -> None:
    at = learning(lab)
    for text in ("Those of the release", "model compare", "No signed case matches"):
        assert said(at, text), text


def test_a_better_candidate_is_promoted_and_rolled_back_on_the_page(lab: TestLaboratory, shipped: Path) -> None:
    candidate(lab, shipped, 9)
    at = learning(lab)
    assert said(at, "80.0 → **90.0 %** of 10")
    at.text_input(key="promote_reason_lot-7").set_value("better on our slides").run()
    at.button(key="promote_lot-7").click().run()
    assert said(at, "In use from now on: detector 2")
    used = workflow.models_dir(lab.log, shipped)
    assert card_of(used / "counter.safetensors")["version"] == "2"
    at.text_input(key="roll_back_reason").set_value("lot 8 is read wrongly").run()
    at.button(key="roll_back").click().run()
    assert workflow.models_dir(lab.log, shipped) == shipped
    assert [p.reason for p in lab.log.promotions()] == ["lot 8 is read wrongly", "better on our slides"]


def test_a_worse_candidate_needs_a_tick_and_a_reason(lab: TestLaboratory, shipped: Path) -> None:
    candidate(lab, shipped, 7)
    at = learning(lab)
    assert said(at, "true group less often")
    at.text_input(key="promote_reason_lot-7").set_value("the old camera is gone").run()
    assert at.button(key="promote_lot-7").disabled
    at.checkbox(key="promote_force_lot-7").check().run()
    at.button(key="promote_lot-7").click().run()
    (record,) = lab.log.promotions()
    assert record.forced


def test_the_cards_are_those_of_the_models_in_use(lab: TestLaboratory, shipped: Path) -> None:
    folder = candidate(lab, shipped, 9)
    promotion.promote(lab.log, shipped, folder, "better", lab.person("lind"))
    assert said(page_alone("models.py", lab.person("lind")), "counter 2")


def test_signed_cases_are_listed_to_be_given_to_training(lab: TestLaboratory, shipped: Path) -> None:
    case = lab.ready(POSITIVE, "S26-TEACH")
    lab.sign(case)
    lab.log.state_consent([case.id], True, "on file", lab.person("lind"))
    assert said(learning(lab), "**1** signed case may teach")


def test_the_list_to_annotate_is_shown_and_downloaded(lab: TestLaboratory, shipped: Path) -> None:
    assert said(learning(lab, "What to annotate next"), "No region is analysed yet")
    lab.analysed(POSITIVE, "S26-ANNOTATE")
    at = learning(lab, "What to annotate next")
    assert list(at.dataframe[0].value["Case"]) == ["S26-ANNOTATE"] * 5
