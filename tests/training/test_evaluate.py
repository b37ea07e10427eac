"""Agreement, count errors and matching against hand-worked examples; the paper's own matrix among them."""

import json
from pathlib import Path

import numpy as np
import pytest
from PIL import Image

from her2core.errors import TrainingError
from her2core.pipeline import load_models
from her2core.records import Nucleus
from her2core.training.evaluate import GROUPS, count_errors, evaluate, group_agreement, match_nuclei, wilson
from tests.training.drawn import drawn_region

# Xue et al. 2023, reconstructed in domain.md 7.2.
PAPER = [[38, 6, 0, 6, 6], [0, 0, 0, 0, 2], [0, 0, 0, 0, 1], [0, 0, 0, 2, 1], [0, 2, 0, 3, 117]]


def test_the_papers_figures_come_out_of_its_matrix() -> None:
    pairs = [
        (t, f) for t, row in zip(GROUPS, PAPER, strict=True) for f, n in zip(GROUPS, row, strict=True) for _ in range(n)
    ]
    agreement = group_agreement(pairs)
    assert agreement.total == 184
    assert agreement.accuracy == pytest.approx(157 / 184)
    assert agreement.accuracy_95 == pytest.approx((0.795, 0.897), abs=0.001)
    assert agreement.kappa == pytest.approx(0.693, abs=0.001)
    assert agreement.recall[1] == pytest.approx(0.6786, abs=1e-4)
    assert agreement.recall[5] == pytest.approx(0.9590, abs=1e-4)
    assert agreement.group1_sensitivity == pytest.approx(0.6786, abs=1e-4)
    assert agreement.group1_specificity == 1.0
    assert [list(row) for row in agreement.matrix] == PAPER


def test_an_image_without_a_call_is_wrong() -> None:
    agreement = group_agreement([(1, 1), (1, None)])
    assert agreement.accuracy == 0.5
    assert agreement.undefined == 1


def test_nothing_to_evaluate_is_an_error() -> None:
    with pytest.raises(TrainingError, match="no image"):
        group_agreement([])


@pytest.mark.parametrize(
    ("k", "n", "low", "high"), [(0, 0, 0, 1), (10, 10, 0.722, 1), (0, 10, 0, 0.278), (5, 10, 0.237, 0.763)]
)
def test_wilson(k: int, n: int, low: float, high: float) -> None:
    assert wilson(k, n) == pytest.approx((low, high), abs=0.001)


def test_count_errors_by_hand() -> None:
    errors = count_errors([2, 3, 5], [2, 2, 6])
    assert errors.n == 3
    assert errors.mae == pytest.approx(2 / 3)
    assert errors.bias == 0.0
    assert errors.relative_mae == pytest.approx(0.2)
    assert count_errors([], []).mae is None


def nucleus(number: int, box: tuple[float, float, float, float], score: float) -> Nucleus:
    return Nucleus(number, box, score, 2, 2, 2.0, 2.0, False, True)


def test_each_true_nucleus_is_matched_once_by_the_surest_box() -> None:
    found = [nucleus(1, (0, 0, 10, 10), 0.5), nucleus(2, (1, 0, 11, 10), 0.9), nucleus(3, (50, 50, 60, 60), 0.8)]
    boxes = np.array([[1.0, 0, 11, 10], [50, 52, 60, 62], [80, 80, 90, 90]])
    assert sorted(match_nuclei(found, boxes)) == [(1, 0), (2, 1)]
    assert match_nuclei(found, np.zeros((0, 4))) == []


def test_evaluate_writes_tables_and_figures_and_goes_on_after_a_broken_image(tmp_path: Path) -> None:
    pixels, box, signals = drawn_region(2, 2)
    truth = tmp_path / "truth"
    truth.mkdir()
    Image.fromarray(pixels).save(truth / "good.png")
    (truth / "broken.png").write_bytes(b"not an image")
    annotated = {"box": list(box), "her2": 2, "cep17": 2, "cluster": False}
    entries = [
        {"image": name, "patient": "P1", "group": 5, "nuclei": [annotated]} for name in ("good.png", "broken.png")
    ]
    (truth / "truth.json").write_text(json.dumps(entries))
    report = evaluate(truth, tmp_path / "out", load_models(Path("models"), "cpu"))
    assert report["images"] == 1
    assert [f["image"] for f in report["failures"]] == ["broken.png"]
    assert report["groups per image"]["total"] == 1
    assert json.loads((tmp_path / "out" / "evaluation.json").read_text()) == json.loads(json.dumps(report))
    for name in ("precision-recall.png", "confusion.png"):
        with Image.open(tmp_path / "out" / name) as figure:
            assert figure.width > 300
    assert len(signals) == 4


@pytest.mark.parametrize("content", [None, "{", "[]", "{}"])
def test_a_folder_without_truth_is_refused(tmp_path: Path, content: str | None) -> None:
    if content is not None:
        (tmp_path / "truth.json").write_text(content)
    with pytest.raises(TrainingError, match="truth"):
        evaluate(tmp_path, tmp_path / "out", load_models(Path("models"), "cpu"))
