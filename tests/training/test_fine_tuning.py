"""Fine-tuning of stage 2 on own and rendered regions: it goes on from a model, and its card says from which."""

from __future__ import annotations

import json
from dataclasses import replace
from pathlib import Path

import pytest

from her2core.counting.network import CounterNet
from her2core.models import card_of, load_weights, save_weights, short_name
from her2core.training.fine_tuning import COUNTER, mark_tuned, mixed
from her2core.training.fit_counter import fit_counter
from her2core.training.render import render_region


def regions(folder: Path, seed: int) -> Path:
    folder.mkdir()
    entries = []
    for i in range(2):
        region = render_region((seed, i), 5, nucleus_px=(40, 45))
        name = f"{i}{region.suffix}"
        (folder / name).write_bytes(region.data)
        entries.append({"image": name, "patient": f"P{i}", **region.truth, "nuclei": region.truth["nuclei"][:6]})
    (folder / "truth.json").write_text(json.dumps(entries))
    return folder


def test_a_model_is_fine_tuned_on_own_and_rendered_regions_and_named_after_where_it_comes_from(tmp_path: Path) -> None:
    start = tmp_path / "start" / "counter.safetensors"
    save_weights(start, CounterNet().state_dict(), {"name": "counter", "version": "3.1", "config": {}})
    before = load_weights(start)[0]
    together = mixed(regions(tmp_path / "own", 5), regions(tmp_path / "old", 6), tmp_path / "mixed")
    recipe = replace(COUNTER, steps=2, batch=4, validate_every=2)
    out = tmp_path / "out" / "counter.safetensors"
    weights = mark_tuned(fit_counter(together, out, recipe, start_from=start), start)
    card = card_of(weights)
    assert (card["version"], card["start_from"]) == ("3.1 tuned", short_name(card_of(start)))
    assert card["data"]["truth_sha256"] != ""
    after = load_weights(weights)[0]  # the card still is the one of the weights
    moved = [float((after[name] - before[name]).abs().max()) for name in before if before[name].is_floating_point()]
    assert max(moved) > 0


@pytest.mark.parametrize(("before", "after"), [("3.1", "3.1 tuned"), ("3.1 tuned", "3.1 tuned"), ("", " tuned")])
def test_a_name_says_once_that_a_model_was_tuned(tmp_path: Path, before: str, after: str) -> None:
    for name, version in (("start", before), ("tuned", "1")):
        save_weights(tmp_path / f"{name}.safetensors", {}, {"name": "counter", "version": version})
    mark_tuned(tmp_path / "tuned.safetensors", tmp_path / "start.safetensors")
    assert card_of(tmp_path / "tuned.safetensors")["version"] == after
