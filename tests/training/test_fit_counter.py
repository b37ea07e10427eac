"""Training of stage 2 on a handful of nuclei: targets, repeatability, resuming, and the error on a broken loss."""

import json
import math
from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest
import torch

from her2core.counting.clusters import FEATURES, ClusterEstimate, Light
from her2core.counting.crops import CropSize
from her2core.counting.network import CounterNet, CounterOutput
from her2core.counting.peaks import PeakMap
from her2core.counting.quick import in_use
from her2core.counting.reading import Reading
from her2core.eight_bits import RANGES
from her2core.errors import TrainingError
from her2core.models import load_weights, save_weights, short_name
from her2core.records import SystematicError
from her2core.training import calibration
from her2core.training import fit_counter as module
from her2core.training.calibration import Answers, answers, calibrate, cluster_weights, contributions, counted
from her2core.training.counter_data import Batch, augment, identity, load_crops
from her2core.training.fit_counter import (
    CounterRecipe,
    counter_loss,
    fit_counter,
    read_anew,
    split_images,
    validate,
)
from her2core.training.render import render_region

RECIPE = CounterRecipe(steps=4, batch=4, validate_every=2, validation_share=0.5)


@pytest.fixture(scope="module")
def folder(tmp_path_factory: pytest.TempPathFactory) -> Path:
    path = tmp_path_factory.mktemp("truth")
    entries = []
    for i in range(2):
        region = render_region((5, i), 5, nucleus_px=(40, 45))
        name = f"{i}{region.suffix}"
        (path / name).write_bytes(region.data)
        entries.append({"image": name, "patient": f"P{i}", **region.truth, "nuclei": region.truth["nuclei"][:8]})
    (path / "truth.json").write_text(json.dumps(entries))
    return path


def test_density_targets_sum_to_the_counts_also_when_turned(folder: Path) -> None:
    crops = load_crops(folder, CropSize())
    turned = augment(crops, torch.Generator().manual_seed(0))
    for batch in (identity(crops), turned):
        assert torch.allclose(batch.density.sum(dim=(2, 3)), batch.counts, atol=0.02)
    assert turned.pixels.min() >= 0
    assert turned.pixels.max() <= 255


def test_turned_signals_stay_on_their_pixels(folder: Path) -> None:
    """The probe channel is brighter under the density target than elsewhere, before and after augmentation."""
    crops = load_crops(folder, CropSize())
    for batch in (identity(crops), augment(crops, torch.Generator().manual_seed(3))):
        red = batch.pixels[:, 0]
        near = batch.density[:, 0] > 0.02
        assert red[near].mean() > red[~near].mean() + 3


def test_patients_are_on_one_side_of_the_split(folder: Path) -> None:
    training, held_out = split_images(folder, 0.5)
    assert len(training) == len(held_out) == 1
    assert not training & held_out


def test_one_patient_is_held_out_of_few_and_one_alone_is_refused(folder: Path, tmp_path: Path) -> None:
    training, held_out = split_images(folder, 0.08)
    assert (len(training), len(held_out)) == (1, 1)
    entries = json.loads((folder / "truth.json").read_text())
    (tmp_path / "truth.json").write_text(json.dumps(entries[:1]))
    with pytest.raises(TrainingError, match="two patients"):
        split_images(tmp_path, 0.08)


def test_a_region_is_recoloured_as_a_whole(folder: Path) -> None:
    """What its nuclei have in common has to stay common, or nothing could be learned from it."""
    crops = load_crops(folder, CropSize())
    one = crops.select(torch.zeros(6, dtype=torch.int64))  # six times the same nucleus …
    apart = replace(one, region=torch.tensor([0, 0, 0, 7, 7, 7]))  # … in two regions
    batch = augment(apart, torch.Generator().manual_seed(1))
    assert batch.region.tolist() == [0, 0, 0, 1, 1, 1]
    for first in (0, 3):
        assert torch.allclose(batch.unit[first], batch.unit[first + 2], rtol=0.02)
        assert torch.equal(batch.unmixing[first], batch.unmixing[first + 2])
    assert not torch.allclose(batch.unit[0], batch.unit[3], rtol=0.02)
    brightness = batch.pixels.flatten(2).quantile(0.9, dim=2)  # of each nucleus and channel
    within = (brightness[:3] - brightness[:3].mean(0)).abs().max()
    assert within < (brightness[:3].mean(0) - brightness[3:].mean(0)).abs().max()


def test_a_batch_shows_several_nuclei_of_each_region(folder: Path) -> None:
    crops = load_crops(folder, CropSize())
    many = replace(crops, region=torch.arange(len(crops)) // 3)  # regions of three nuclei and a rest
    generator = torch.Generator().manual_seed(2)
    for _ in range(10):
        index = module._sample(many, 32, generator)
        assert len(index) == 32
        assert 0 <= int(index.min()) <= int(index.max()) < len(many)
        numbers = torch.unique(many.region[index], return_counts=True)[1]
        assert int(numbers.min()) >= 4  # as many as are taken together, or more
    reached = torch.cat([module._sample(many, 32, generator) for _ in range(40)])
    assert len(torch.unique(reached)) == len(many)


def test_errors_of_a_region_that_go_together_cost_more_than_those_that_cancel(folder: Path) -> None:
    batch = identity(load_crops(folder, CropSize()))
    off = torch.ones_like(batch.counts)
    off[::2] = -1
    together = module._region_error(batch.counts + 1, batch)
    cancelling = module._region_error(batch.counts + off, batch)
    assert float(module._region_error(batch.counts, batch)) == 0
    assert float(together) > 5 * float(cancelling)


def test_a_perfect_answer_has_no_loss_but_the_clusters(folder: Path) -> None:
    batch = identity(load_crops(folder, CropSize()))
    output = CounterOutput(batch.counts, batch.density, 20 * (batch.clustered - 0.5))
    losses = counter_loss(output, batch, RECIPE)
    assert float(losses["total"]) < 0.01
    worse = counter_loss(replace(output, density=batch.density * 2), batch, RECIPE)
    assert float(worse["density"]) > 0.1


def test_training_is_repeatable_and_writes_weights_with_a_card(folder: Path, tmp_path: Path) -> None:
    first = fit_counter(folder, tmp_path / "a.safetensors", RECIPE)
    second = fit_counter(folder, tmp_path / "b.safetensors", RECIPE)
    one, card = load_weights(first)
    two, _ = load_weights(second)
    assert all(torch.equal(one[name], two[name]) for name in one)
    assert card["recipe"]["seed"] == RECIPE.seed
    assert card["data"]["training_nuclei"] == card["data"]["validation_nuclei"] == 8
    CounterNet().load_state_dict(one)


def test_a_killed_training_goes_on_where_it_stopped(folder: Path, tmp_path: Path) -> None:
    class KilledError(Exception):
        pass

    def die(step: int, steps: int, numbers: dict[str, float]) -> None:
        if step == 4:
            raise KilledError

    whole = fit_counter(folder, tmp_path / "whole.safetensors", RECIPE)
    path = tmp_path / "killed.safetensors"
    with pytest.raises(KilledError):
        fit_counter(folder, path, RECIPE, progress=die)
    steps: list[int] = []
    fit_counter(folder, path, RECIPE, resume=True, progress=lambda step, *_: steps.append(step))
    assert steps == [4]
    one, two = load_weights(whole)[0], load_weights(path)[0]
    assert all(torch.allclose(one[name].float(), two[name].float(), atol=2e-3) for name in one)
    assert not path.with_suffix(".training.pt").exists()


def test_weights_that_know_fewer_input_planes_are_gone_on_from(folder: Path, tmp_path: Path) -> None:
    first = fit_counter(folder, tmp_path / "first.safetensors", RECIPE)
    state, card = load_weights(first)
    for name in ("backbone.conv1.weight", "fine.0.0.weight"):
        state[name] = state[name][:, :6].contiguous()
    older = tmp_path / "older.safetensors"
    save_weights(older, state, {key: value for key, value in card.items() if key != "sha256"})
    wide = module._widened(load_weights(older)[0], CounterNet())["backbone.conv1.weight"]
    assert torch.equal(wide[:, :6], state["backbone.conv1.weight"])
    assert float(wide[:, 6:].abs().max()) == 0
    later = fit_counter(folder, tmp_path / "later.safetensors", RECIPE, start_from=older)
    later_card = load_weights(later)[1]
    assert later_card["start_from"] == short_name(load_weights(older)[1])
    assert card["start_from"] is None


def test_what_is_killed_between_its_state_and_its_weights_is_read_as_it_is_stored(
    folder: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    whole = fit_counter(folder, tmp_path / "whole.safetensors", RECIPE)
    path, written = tmp_path / "killed.safetensors", []

    def die(*given: Any, **how: Any) -> None:
        written.append(given[0])
        if len(written) == 2:  # at the last validation
            raise KeyboardInterrupt
        save_weights(*given, **how)

    with monkeypatch.context() as patch:
        patch.setattr(module, "save_weights", die)
        with pytest.raises(KeyboardInterrupt):
            fit_counter(folder, path, RECIPE)
    (one, old), (two, new) = load_weights(whole), load_weights(fit_counter(folder, path, RECIPE, resume=True))
    assert all(torch.equal(one[name], two[name]) for name in one)
    assert new["config"] == old["config"]


def test_a_counter_is_read_anew_and_keeps_its_weights(folder: Path, tmp_path: Path) -> None:
    trained = fit_counter(folder, tmp_path / "counter.safetensors", RECIPE)
    again = read_anew(trained, folder, tmp_path / "again.safetensors")
    (before, old), (after, new) = load_weights(trained), load_weights(again)
    assert all(torch.equal(before[name], after[name]) for name in before)
    assert new["read"]["truth_sha256"] == old["data"]["truth_sha256"]
    held_out = load_crops(folder, CropSize(), split_images(folder, RECIPE.validation_share)[1])
    assert new["read"]["nuclei"] == len(held_out)
    net = CounterNet()
    net.load_state_dict(before)
    said = answers(in_use(net, new, torch.device("cpu")), held_out)
    reading = calibrate(said, held_out)
    assert new["config"] == old["config"] | reading.to_config()
    assert set(new["config"][RANGES]) > {"backbone.conv1", "up0.conv.0", "last", "backbone.layer4.0.downsample output"}
    assert new["contributes"] == contributions(said, held_out, reading)
    assert short_name(new) != short_name(old)
    twice = load_weights(read_anew(again, folder, tmp_path / "twice.safetensors"))[1]
    assert short_name(twice) == short_name(new)
    plain = load_weights(read_anew(trained, folder, tmp_path / "plain.safetensors", float32=True))[1]
    assert RANGES not in plain["config"]
    in_float32 = answers(in_use(net, plain, torch.device("cpu")), held_out)
    assert plain["config"] == plain["config"] | calibrate(in_float32, held_out).to_config()
    assert not torch.equal(in_float32.integral, said.integral)
    of_all = load_weights(read_anew(trained, folder, tmp_path / "all.safetensors", unseen=True))[1]
    assert of_all["read"]["nuclei"] == len(load_crops(folder, CropSize())) > len(held_out)


def test_a_loss_that_is_not_finite_stops_training(
    folder: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    def broken(output: CounterOutput, batch: Batch, recipe: CounterRecipe) -> dict[str, torch.Tensor]:
        return {"total": output.regressed.sum() * float("nan")}

    monkeypatch.setattr(module, "counter_loss", broken)
    with pytest.raises(TrainingError, match="finite"):
        fit_counter(folder, tmp_path / "x.safetensors", RECIPE)


def test_validation_tells_the_ways_of_counting_apart(folder: Path) -> None:
    torch.manual_seed(0)
    metrics = validate(CounterNet(), load_crops(folder, CropSize()))
    assert {"peaks her2 plain mae", "integral cep17 plain bias", "regressed her2 plain mae", "score"} <= set(metrics)


def test_a_folder_without_truth_is_refused(tmp_path: Path) -> None:
    with pytest.raises(TrainingError, match=r"truth\.json"):
        load_crops(tmp_path, CropSize())


def test_clusters_are_estimated_right_in_sum_from_ways_that_err_each_in_its_own_way() -> None:
    generator = torch.Generator().manual_seed(8)
    true = torch.randint(6, 40, (600,), generator=generator).float()
    noise = torch.randn(600, 2, generator=generator)
    ways = torch.stack([true * (1 + 0.3 * noise[:, 0]), 0.8 * true * (1 + 0.2 * noise[:, 1])], dim=1)
    estimate = ways @ torch.tensor(cluster_weights(ways, true))
    assert float(estimate.sum() / true.sum()) == pytest.approx(1.0, abs=0.005)
    alone = [float((ways[:, i] * true.sum() / ways[:, i].sum() - true).abs().mean()) for i in (0, 1)]
    assert float((estimate - true).abs().mean()) < min(alone)


def test_few_clusters_are_estimated_by_the_integral() -> None:
    assert cluster_weights(torch.rand(5, 2), torch.rand(5)) == (1.0, 0.0)


def test_the_card_says_what_nuclei_of_a_region_are_off_in_common(folder: Path) -> None:
    torch.manual_seed(0)
    crops = load_crops(folder, CropSize())
    assert calibrate(answers(CounterNet(), crops), crops).systematic_error is None  # two regions are too few
    known = replace(Reading(), systematic_error=SystematicError(0.04, 0.03, 0.2))
    assert Reading.from_config(known.to_config()).systematic_error == known.systematic_error


def test_only_nuclei_that_a_reader_would_score_tell_the_error_in_common(folder: Path) -> None:
    one = load_crops(folder, CropSize()).select(torch.zeros(96, dtype=torch.int64))
    region = torch.arange(96) // 8
    scorable = torch.arange(96) % 2 == 0
    crops = replace(one, region=region, counts=torch.full((96, 2), 4.0), scorable=scorable)
    clustered = torch.arange(96) % 8 < 4  # enough of both kinds in each region
    everywhere = crops.counts + 1
    found = calibration._in_common(replace(crops, scorable=torch.ones(96, dtype=torch.bool)), everywhere, clustered)
    assert found == SystematicError(0.25, 0.25, 0.25)
    wrong_elsewhere = torch.where(scorable[:, None], crops.counts, everywhere)
    assert calibration._in_common(crops, wrong_elsewhere, torch.zeros(96, dtype=torch.bool)) is None  # no cluster


def _said(her2_regressed: tuple[float, ...], cluster_logit: tuple[float, ...]) -> Answers:
    """Nuclei of one region, each: two clear HER2 signals and one CEP17 signal in its map."""
    density = torch.zeros(len(her2_regressed), 2, 80, 80)
    peak = 1 / (2 * torch.pi * 1.2**2)
    ys, xs = torch.meshgrid(torch.arange(80.0), torch.arange(80.0), indexing="ij")
    for channel, x in ((0, 20.0), (0, 60.0), (1, 40.0)):
        density[:, channel] += peak * torch.exp(-((xs - x) ** 2 + (ys - 40) ** 2) / (2 * 1.2**2))
    regressed = torch.tensor([[her2, 1.0] for her2 in her2_regressed])
    output = CounterOutput(regressed, density, torch.tensor(cluster_logit))
    her2, cep17 = (PeakMap.of(density[:, i]) for i in range(2))
    lit = torch.full((len(density),), 60.0)
    return Answers(output, (her2, cep17), Light(lit, lit, lit), torch.zeros(len(density), dtype=torch.int64))


def test_the_final_count_is_peaks_and_in_clusters_of_five_and_more_the_estimate_never_below_them() -> None:
    reading = Reading((0.6, 0.6), (1.5, 2.0), (0.5, 0.5))
    ways, clustered = counted(_said((9.0, 9.0, 0.4), (-4.0, 4.0, 4.0)), reading)
    assert clustered.tolist() == [False, True, False]  # of two signals none is a cluster: `pipeline.settle`
    assert ways["peaks"].tolist() == [[2, 1]] * 3
    assert ways["integral"].tolist() == [pytest.approx([3, 2], abs=0.02)] * 3
    assert ways["cluster estimate"].tolist() == [pytest.approx(pair, abs=0.02) for pair in ([5.5, 1], [5.5, 1], [2, 1])]
    assert ways["final"][0].tolist() == [2, 1]
    assert ways["final"][1].tolist() in ([5, 1], [6, 1])
    assert ways["final"][2].tolist() == [2, 1]


def test_estimates_of_clusters_make_up_for_those_that_are_missed(folder: Path) -> None:
    said = _said((9.0,) * 6, (4.0, 4.0, 4.0, -4.0, -4.0, -4.0))
    ten = ClusterEstimate((0.0,) * len(FEATURES), math.log(10))
    reading = replace(Reading((0.6, 0.6)), in_clusters=ten)
    taken = torch.tensor([True] * 3 + [False] * 3)
    few = load_crops(folder, CropSize()).select(torch.zeros(6, dtype=torch.int64))

    def factor(*true: float, scorable: int = 6) -> float:
        counts = torch.tensor([[her2, 1.0] for her2 in true])
        crops = replace(few, counts=counts, scorable=torch.arange(6) < scorable)
        return calibration._for_missed(said, crops, reading, taken)

    assert factor(10, 10, 10, 2, 2, 2) == pytest.approx(1.0)
    assert factor(10, 10, 10, 5, 2, 2) == pytest.approx(1.1)  # a cluster of five is read as two peaks
    assert factor(10, 10, 10, 5, 2, 2, scorable=3) == pytest.approx(1.0)  # nobody scores it
    assert factor(10, 10, 10, 30, 30, 30) == 1.2  # no further
    assert ten.times(1.1).signals(torch.zeros(1, len(FEATURES))).item() == pytest.approx(11.0)


def test_the_card_says_what_each_way_is_worth_as_it_is_read(folder: Path) -> None:
    two = load_crops(folder, CropSize()).select(torch.tensor([0, 1]))
    crops = replace(two, counts=torch.tensor([[3.0, 1.0], [5.0, 2.0]]), clustered=torch.tensor([0.0, 1.0]))
    said = contributions(_said((9.0, 9.0), (-4.0, 4.0)), crops, Reading((0.6, 0.6), (1.5, 2.0), (0.25, 0.5)))
    assert said["peaks"].endswith(
        "Error / bias on 2 held-out nuclei: HER2 not clustered 1.00 / -1.00, HER2 clustered 3.00 / -3.00, "
        "CEP17 0.50 / -0.50."
    )
    assert "HER2 not clustered 1.00 / -1.00, HER2 clustered 0.00 / +0.00, CEP17 0.50 / -0.50." in said["final"]
    assert said["cluster"].endswith("It finds 1 of 1; 0 of 1 are none.")
