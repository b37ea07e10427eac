"""Readings against truth: what is compared, worked by hand; and a whole evaluation with the committed models."""

import json
from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch
from PIL import Image

from her2core.detection.metrics import ImageDetections
from her2core.errors import TrainingError
from her2core.pipeline import Models, analyse, load_models
from her2core.records import Box, Exclusion, Nucleus, SystematicError
from her2core.scoring import Compared, group
from her2core.training.evaluate import evaluate, match_nuclei
from her2core.training.readings import (
    LOW_SCORE,
    Reading,
    TrueNucleus,
    TrueRegion,
    nuclei_in,
    read_regions,
    read_with_models,
    recounted,
    regression_only,
    true_tally,
)
from her2core.training.render import render_region
from her2core.training.summary import Read, compared, summarise
from tests.training.drawn import drawn_region


@pytest.fixture(scope="module")
def models() -> Models:
    return load_models(Path("models"), "cpu")


@pytest.fixture(scope="module", autouse=True)
def one_thread() -> Any:
    before = torch.get_num_threads()
    torch.set_num_threads(1)
    yield
    torch.set_num_threads(before)


def nucleus(
    number: int, box: Box = (0, 0, 10, 10), score: float = 0.9, counts: tuple[int, int] = (2, 2), **more: Any
) -> Nucleus:
    return Nucleus(number, box, score, *counts, 2.0, 2.0, False, more.pop("reason", None) is None, **more)


# --- matching and recounting ------------------------------------------------------------------------------------------


def test_each_true_nucleus_is_matched_once_by_the_surest_box() -> None:
    found = [
        nucleus(1, (0, 0, 10, 10), 0.5),
        nucleus(2, (1, 0, 11, 10), 0.9),
        nucleus(3, (50, 50, 60, 60), 0.8),
    ]
    boxes: list[Box] = [(1, 0, 11, 10), (50, 52, 60, 62), (80, 80, 90, 90)]
    assert sorted(match_nuclei(found, boxes)) == [(1, 0), (2, 1)]
    assert match_nuclei(found, []) == []


@pytest.mark.parametrize(
    ("her2", "cep17", "counts", "reason"),
    [
        (2.4, 1.5, (2, 2), None),
        (0.4, 1.6, (0, 2), Exclusion.NO_HER2),
        (3.0, -0.2, (3, 0), Exclusion.NO_CEP17),
        (0.1, 0.2, (0, 0), Exclusion.NO_SIGNAL),
    ],
)
def test_other_counts_decide_anew_whether_a_nucleus_is_scored(
    her2: float, cep17: float, counts: tuple[int, int], reason: Exclusion | None
) -> None:
    for before in (nucleus(1), replace(nucleus(1), scored=False, reason=Exclusion.NO_CEP17, cep17=0)):
        after = recounted(before, her2, cep17)
        assert (after.her2, after.cep17) == counts
        assert after.reason is reason


def test_geometry_stays_whatever_the_counts() -> None:
    cut = replace(nucleus(1), scored=False, reason=Exclusion.EDGE)
    assert recounted(cut, 4, 2).reason is Exclusion.EDGE


def test_the_papers_pipeline_counts_by_regression_and_knows_no_doubt() -> None:
    seen = replace(nucleus(1, counts=(9, 3)), her2_regressed=5.5, cep17_regressed=2.4, uncertain=True, clustered=True)
    reading = regression_only(Reading(ImageDetections([seen.box], [0.9]), (seen,)))
    assert [(n.her2, n.cep17, n.uncertain, n.clustered) for n in reading.nuclei] == [(6, 2, False, False)]


# --- a small world, worked by hand ------------------------------------------------------------------------------------

BOXES: list[Box] = [(20.0 * i, 0.0, 20.0 * i + 10, 10.0) for i in range(4)]


def world() -> list[Read]:
    """Two images of one patient.

    First, truth 4/2, 4/2 and a clustered 10/2; found 4/2, 3/2 and 8/2, and a false box with 9/1 that is scored.
    Second, truth 2/2 alone; found with 2/2, unsure and right.
    """
    truths = (
        TrueNucleus(BOXES[0], 4, 2, False, True),
        TrueNucleus(BOXES[1], 4, 2, False, True),
        TrueNucleus(BOXES[2], 10, 2, True, True),
    )
    first = TrueRegion("a.png", "P1", 1, truths, conditions={"nucleus_px": 50.0}, style="first")
    found = (
        nucleus(1, BOXES[0], 0.9, (4, 2), uncertainty=0.1),
        nucleus(2, BOXES[1], 0.8, (3, 2), uncertain=True, uncertainty=0.8),
        nucleus(3, BOXES[2], 0.7, (8, 2), uncertain=True, uncertainty=0.9),
        nucleus(4, BOXES[3], 0.6, (9, 1), uncertainty=0.2),
    )
    ways = tuple({"peaks": (1.0, 1.0), "integral": (4.4, 2.4), "regression": (4.0, 2.0)} for _ in found)
    reading = Reading(
        ImageDetections([*BOXES, (90, 90, 99, 99)], [0.9, 0.8, 0.7, 0.6, 0.1]), found, ways, ((4, 2), (3, 2), (10, 2))
    )
    second = TrueRegion("b.png", "P1", 5, (TrueNucleus(BOXES[0], 2, 2, False, True),), conditions={"nucleus_px": 120.0})
    sure = nucleus(1, BOXES[0], 0.9, (2, 2), uncertain=True, uncertainty=0.7)
    two = Reading(ImageDetections([BOXES[0]], [0.9]), (sure,), ways[:1], ((2, 2),))
    return [Read(first, reading), Read(second, two)]


@pytest.fixture(scope="module")
def report() -> dict[str, Any]:
    return summarise(world(), 0.5)[0]


def test_detection_by_hand(report: dict[str, Any]) -> None:
    # five boxes at 0.5, four of them nuclei; a sixth candidate below the threshold is a false alarm at full recall
    assert report["detection"]["AP@0.5"] == 1.0
    assert report["detection"]["AP@[.5:.95]"] == 1.0
    assert (report["detection"]["precision"], report["detection"]["recall"]) == (0.8, 1.0)
    assert report["detection"]["mean over images"]["precision"] == pytest.approx((3 / 4 + 1) / 2)


def test_counts_by_hand(report: dict[str, Any]) -> None:
    her2 = report["counts"]["final"]["her2"]
    assert (her2["not clustered"]["n"], her2["not clustered"]["mae"]) == (3, pytest.approx(1 / 3, abs=1e-4))
    assert (her2["clustered"]["n"], her2["clustered"]["bias"], her2["clustered"]["relative_bias"]) == (1, -2, -0.2)
    assert report["counts"]["final"]["cep17"]["all"]["mae"] == 0
    assert report["counts"]["peaks"]["cep17"]["all"]["bias"] == -1
    assert report["counts"]["mean over images"]["her2"]["mae"] == pytest.approx((3 / 3 + 0) / 2)
    assert report["counts"]["mean over patients"]["her2"]["mae"] == pytest.approx(3 / 4)


def test_groups_by_hand(report: dict[str, Any]) -> None:
    assert report["groups per image"]["matrix"][0][0] == 1
    assert report["groups per image"]["accuracy"] == 1.0
    # the patient: truth 20/8 of 4 nuclei, found 26/9 of 5
    assert report["groups per patient"]["total"] == 1
    # peaks: one signal of each colour in every nucleus is Group 5 throughout
    assert report["groups by way of counting"]["peaks"]["accuracy"] == 0.5
    assert report["groups by way of counting"]["regression"]["accuracy"] == 0.5


def test_errors_over_images_by_hand(report: dict[str, Any]) -> None:
    # first image: true 18/6 of 3, found 24/7 of 4: 6 against 6 and 1.75 against 2
    first = report["per image"][0]["relative error"]
    assert first == {"her2": 0.0, "cep17": -0.125, "ratio": pytest.approx(24 / 7 / 3 - 1, abs=1e-4)}
    assert report["error over images"]["cep17"]["mean"] == -0.0625
    assert report["error over patients"]["her2"]["mean"] == pytest.approx(26 / 5 / 5 - 1, abs=1e-4)


def test_sources_of_error_by_hand(report: dict[str, Any]) -> None:
    sources = report["where errors come from"]
    assert sources["share of scored nuclei that are none"] == pytest.approx(1 / 5)
    assert sources["share of scorable nuclei that were not scored"] == 0
    assert sources["counting alone (our counts in the true boxes)"]["accuracy"] == 1.0  # 17/6 of 3
    assert sources["without false nuclei"]["n"] == 2


def test_parts_are_named_by_their_cuts(report: dict[str, Any]) -> None:
    margins = report["by margin"]
    assert [(m["from"], m["below"], m["images"]) for m in margins] == [(0.1, None, 2)]
    sizes = report["by condition"]["nucleus_px"]
    assert [(s["from"], s["below"], s["images"]) for s in sizes] == [(None, 60.0, 1), (100.0, None, 1)]
    assert sizes[0]["her2 mae"] == 1.0
    assert set(report["by style"]) == {"first", "not stated"}


def test_each_part_has_every_measure_and_parts_of_all_images_are_the_whole(report: dict[str, Any]) -> None:
    (whole,) = report["by margin"]
    assert whole["detection"] == {k: report["detection"][k] for k in ("AP@0.5", "AP@[.5:.95]", "precision", "recall")}
    for channel in ("her2", "cep17"):
        for kind in ("not clustered", "clustered"):
            of_all = report["counts"]["final"][channel][kind]
            assert whole["counts"][channel][kind] == {key: of_all[key] for key in ("n", "mae", "bias")}
    agreement = report["groups per image"]
    for key in ("accuracy", "accuracy_95", "kappa", "group1_sensitivity", "group1_specificity"):
        assert whole[key] == agreement[key]
    assert whole["patients"]["accuracy"] == report["groups per patient"]["accuracy"]
    parts = report["by group"]
    assert {g: part["accuracy"] for g, part in parts.items()} == {"1": 1.0, "5": 1.0}
    assert sum(part["images"] for part in parts.values()) == 2
    assert parts["5"]["group1_sensitivity"] is None


def test_a_stated_systematic_error_widens_the_intervals_and_those_over_nuclei_alone_stay_beside() -> None:
    plain_report, _ = summarise(world(), 0.5)
    stated, _ = summarise(world(), 0.5, SystematicError(0.2, 0.1, 0.3))
    assert stated["intervals over nuclei alone"] == plain_report["intervals"]
    for name in ("copy number", "ratio"):
        assert stated["intervals"][name]["mean width"] > plain_report["intervals"][name]["mean width"]


def test_scored_nuclei_are_compared_with_the_truth_region_by_region() -> None:
    regions = compared(world())
    assert [len(region) for region in regions] == [sum(m.nucleus.scored for m in r.matched) for r in world()]
    first = world()[0].matched[0]
    assert regions[0][0] == Compared(
        (first.nucleus.her2 or 0, first.nucleus.cep17 or 0),
        (first.truth.her2, first.truth.cep17),
        first.nucleus.clustered,
    )


def test_uncertainty_by_hand(report: dict[str, Any]) -> None:
    table = report["uncertainty"]
    assert (table["certain nuclei"]["n"], table["certain nuclei"]["share with a wrong count"]) == (1, 0)
    assert table["uncertain nuclei"]["share with a wrong count"] == pytest.approx(2 / 3, abs=1e-4)
    assert table["AUROC of the chance that a count is wrong"] == 1.0
    assert [(b["low"], b["n"], b["mean error"]) for b in table["bins"]] == [
        (0.1, 1, 0),
        (0.7, 1, 0),
        (0.8, 1, 1),
        (0.9, 1, 2),
    ]


def test_scores_are_weighed_against_what_is_there(report: dict[str, Any]) -> None:
    bins = report["score reliability"]["bins"]
    assert [(b["low"], b["n"], b["observed"]) for b in bins] == [
        (0.1, 1, 0),
        (0.6, 1, 0),
        (0.7, 1, 1),
        (0.8, 1, 1),
        (0.9, 2, 1),
    ]


def test_intervals_are_judged_where_there_are_two_nuclei(report: dict[str, Any]) -> None:
    intervals = report["intervals"]
    assert (intervals["ratio"]["n"], intervals["ratio"]["coverage"]) == (1, 1.0)
    assert 0 <= intervals["Brier score of group probabilities"] < 0.2
    assert report["reader"]["errors at random"]["mean"] > 0.9


def test_a_method_without_doubt_or_ways_is_judged_by_the_rest() -> None:
    silent = [
        Read(
            r.region,
            Reading(r.reading.candidates, tuple(replace(n, uncertainty=None) for n in r.reading.nuclei)),
        )
        for r in world()
    ]
    report, _ = summarise(silent, 0.5)
    assert set(report["groups by way of counting"]) == {"final"}
    assert "peaks" not in report["counts"]
    assert "bins" not in report["uncertainty"]
    assert report["where errors come from"]["counting alone (our counts in the true boxes)"] is None


def test_regions_without_groups_are_judged_by_nuclei_alone() -> None:
    report, _ = summarise([Read(replace(r.region, group=None), r.reading) for r in world()], 0.5)
    assert "groups per image" not in report
    assert report["counts"]["final"]["her2"]["all"]["n"] == 4


# --- truth files ------------------------------------------------------------------------------------------------------


def write_truth(folder: Path, *entries: dict[str, Any]) -> Path:
    folder.mkdir(exist_ok=True)
    (folder / "truth.json").write_text(json.dumps(entries))
    return folder


def test_truth_with_and_without_conditions(tmp_path: Path) -> None:
    box = [0, 0, 5, 5]
    new = {
        "image": "a",
        "nuclei": [{"box": box, "her2": 3, "cep17": 0}, {"box": box, "her2": 3, "cep17": 1, "cluster": True}],
        "group": 1,
        "style": "first",
        "conditions": {"blur": 0.5, "nucleus_px": 40},
    }
    old = {"image": "b", "patient": "P", "nuclei": [], "ignore": [box], "nucleus_px": 70.0}
    first, second = read_regions(write_truth(tmp_path, new, old))
    assert [n.scorable for n in first.nuclei] == [False, True]
    assert true_tally(first).her2 == 3
    assert (first.patient, first.style, first.conditions) == ("a", "first", {"blur": 0.5, "nucleus_px": 40.0})
    assert (second.patient, second.group, second.conditions) == ("P", None, {"nucleus_px": 70.0})
    assert len(second.ignored) == 1


@pytest.mark.parametrize(
    "broken",
    [
        {"nuclei": []},
        {"image": "a"},
        {"image": "a", "nuclei": [{"box": [0, 0, 5, 5]}]},
        {"image": "a", "nuclei": [{"box": [0, 0, 5], "her2": 1, "cep17": 1}]},
        {"image": "a", "nuclei": [{"box": [5, 0, 5, 5], "her2": 1, "cep17": 1}]},
        {"image": "a", "nuclei": [{"box": [0, 0, 5, 5], "her2": -1, "cep17": 1}]},
        {"image": "a", "nuclei": [{"box": [0, 0, 5, 5], "her2": None, "cep17": 1}]},
        {"image": "a", "nuclei": [7]},
        {"image": "a", "nuclei": [], "group": "first"},
        {"image": "a", "nuclei": [], "conditions": 3},
    ],
)
def test_a_broken_truth_is_refused_in_words(tmp_path: Path, broken: dict[str, Any]) -> None:
    with pytest.raises(TrainingError, match=r"truth\.json"):
        read_regions(write_truth(tmp_path, broken))


@pytest.mark.parametrize("content", [None, "{", "[]", "{}"])
def test_a_folder_without_truth_is_refused(tmp_path: Path, models: Models, content: str | None) -> None:
    if content is not None:
        (tmp_path / "truth.json").write_text(content)
    with pytest.raises(TrainingError, match="truth"):
        evaluate(tmp_path, tmp_path / "out", models)


def test_images_without_any_nucleus_cannot_be_evaluated(tmp_path: Path, models: Models) -> None:
    write_truth(tmp_path, {"image": "missing.png", "nuclei": []})
    with pytest.raises(TrainingError, match="nothing to evaluate"):
        evaluate(tmp_path, tmp_path / "out", models)


# --- with the committed models ----------------------------------------------------------------------------------------


@pytest.fixture(scope="module")
def rendered(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Corners of two rendered regions with the nuclei that lie whole in them."""
    folder = tmp_path_factory.mktemp("rendered")
    entries = []
    for i, target in enumerate((5, 1)):
        region = render_region((77, i), target, nucleus_px=(40, 50))
        Image.fromarray(region.pixels_rgb[:300, :300]).save(folder / f"{i}.png")
        whole = [n for n in region.truth["nuclei"] if max(n["box"]) <= 300]
        cut = [n["box"] for n in region.truth["nuclei"] if max(n["box"]) > 300 and max(n["box"][:2]) < 300]
        ignore = [box for box in region.truth["ignore"] if max(box[:2]) < 300]
        entry = {"image": f"{i}.png", "patient": f"P{i}", "nuclei": whole, "ignore": ignore + cut}
        total = true_tally(read_regions(write_truth(folder, entry))[0])
        entries.append({**entry, "group": group(total)})
    return write_truth(folder, *entries)


def test_one_pass_at_a_low_score_shows_the_nuclei_of_analyse(rendered: Path, models: Models) -> None:
    for region in read_regions(rendered):
        pixels = np.asarray(Image.open(rendered / region.image).convert("RGB"))
        reading = read_with_models(pixels, models)
        assert reading.nuclei == analyse(pixels, models).nuclei
        scores = np.asarray(reading.candidates.scores)
        threshold = models.detector.config.least_stated
        assert int((scores >= threshold).sum()) == len(reading.nuclei)
        assert scores.min() >= models.detector.config.stated(LOW_SCORE)
        assert scores.min() < threshold
        assert [ways["regression"] for ways in reading.ways] == [
            (n.her2_regressed, n.cep17_regressed) for n in reading.nuclei
        ]


def test_given_boxes_come_back_counted_in_their_order(models: Models) -> None:
    pixels, box, _ = drawn_region(3, 2, neighbour=4)
    other: Box = (137, 80, 227, 160)
    pairs = nuclei_in(pixels, models, [other, box])
    assert [n.box for n, _ in pairs] == [other, box]
    assert nuclei_in(pixels, models, []) == []


def test_evaluate_writes_tables_and_figures_and_goes_on_after_a_broken_image(
    rendered: Path, tmp_path: Path, models: Models
) -> None:
    (rendered / "broken.png").write_bytes(b"not an image")
    entries = json.loads((rendered / "truth.json").read_text())
    unwanted, broken = ({**entries[0], "image": name} for name in ("unwanted.png", "broken.png"))
    write_truth(rendered, *entries, unwanted, broken)
    seen: list[str] = []
    report = evaluate(
        rendered,
        tmp_path / "out",
        models,
        observer=lambda region, pixels, data, reading: seen.append(region.image),
        choose=lambda regions: [r for r in regions if r.image != "unwanted.png"],
    )
    write_truth(rendered, *entries)
    assert report["images"] == 2
    assert [f["image"] for f in report["failures"]] == ["broken.png"]
    assert seen == [e["image"] for e in entries]
    assert report["groups per image"]["total"] == 2
    assert report["detection"]["AP@0.5"] > 0.8
    assert report["counts"]["final"]["cep17"]["not clustered"]["mae"] < 1.5
    assert json.loads((tmp_path / "out" / "evaluation.json").read_text()) == json.loads(json.dumps(report))
    names = {p.stem for p in (tmp_path / "out").glob("*.png")}
    assert names == {
        "precision-recall",
        "confusion",
        "score-reliability",
        "uncertainty",
        "group-probability",
        "counts-her2",
        "counts-cep17",
    }
    for name in names:
        with Image.open(tmp_path / "out" / f"{name}.png") as figure:
            assert figure.width > 300
            assert len(np.unique(np.asarray(figure.convert("L")))) > 20
