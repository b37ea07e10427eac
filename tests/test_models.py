"""Weights are what their card says, or are not used."""

import json
from pathlib import Path

import pytest
import torch

from her2core.errors import ModelError, WeightsMismatchError, WeightsMissingError
from her2core.models import (
    card_of,
    fingerprint,
    load_weights,
    pick_device,
    save_weights,
    short_name,
    used_models,
    write_atomically,
)
from her2core.records import SystematicError

MODELS = Path(__file__).parents[1] / "models"
CARD = {"name": "tiny", "version": "1"}


@pytest.fixture
def stored(tmp_path: Path) -> Path:
    path = tmp_path / "tiny.safetensors"
    save_weights(path, {"w": torch.tensor([1.0, 2.5]), "n": torch.tensor(3)}, CARD)
    return path


def test_weights_and_card_come_back(stored: Path) -> None:
    state, card = load_weights(stored)
    assert state["w"].tolist() == [1.0, 2.5]
    assert state["w"].dtype == torch.float32
    assert state["n"].dtype == torch.int64
    assert card["name"] == "tiny"
    assert short_name(card) == f"tiny 1 {card['sha256'][:12]}"


def test_missing_weights_are_named(stored: Path) -> None:
    stored.unlink()
    with pytest.raises(WeightsMissingError, match=r"tiny\.safetensors are missing"):
        load_weights(stored)


def test_a_missing_card_is_named(stored: Path) -> None:
    stored.with_suffix(".json").unlink()
    with pytest.raises(WeightsMissingError, match=r"tiny\.json is missing"):
        load_weights(stored)


def test_one_changed_byte_is_refused(stored: Path) -> None:
    data = bytearray(stored.read_bytes())
    data[-1] ^= 1
    stored.write_bytes(bytes(data))
    with pytest.raises(WeightsMismatchError, match="SHA-256"):
        load_weights(stored)


@pytest.mark.parametrize("text", ["", "{", "[]", "{}", '{"sha256": 5}'])
def test_a_card_that_cannot_be_read_is_refused(stored: Path, text: str) -> None:
    stored.with_suffix(".json").write_text(text)
    with pytest.raises(ModelError):
        load_weights(stored)


def test_bytes_that_are_no_weights_are_refused_even_with_a_fitting_card(stored: Path) -> None:
    import hashlib

    stored.write_bytes(b"nonsense")
    card = {**CARD, "sha256": hashlib.sha256(b"nonsense").hexdigest()}
    stored.with_suffix(".json").write_text(json.dumps(card))
    with pytest.raises(ModelError, match="cannot be read"):
        load_weights(stored)


def test_writing_leaves_no_temporary_file(tmp_path: Path) -> None:
    write_atomically(tmp_path / "deep" / "file", b"x")
    assert [p.name for p in (tmp_path / "deep").iterdir()] == ["file"]


def test_devices() -> None:
    assert pick_device("cpu").type == "cpu"
    assert pick_device("auto").type == ("cuda" if torch.cuda.is_available() else "cpu")
    with pytest.raises(ModelError, match="Unknown device"):
        pick_device("tpu")


@pytest.mark.skipif(torch.cuda.is_available(), reason="needs a machine without a GPU")
def test_a_gpu_that_is_not_there_is_an_error() -> None:
    with pytest.raises(ModelError, match="GPU"):
        pick_device("cuda")


@pytest.mark.parametrize("name", ["detector", "counter"])
def test_committed_weights_are_small_and_their_cards_say_how_they_came_about(name: str) -> None:
    card = card_of(MODELS / f"{name}.json")
    assert (MODELS / f"{name}.safetensors").stat().st_size < 50e6
    assert {"name", "version", "architecture", "config", "recipe", "data", "sha256", "regenerate", "fails"} <= set(card)


def test_a_fingerprint_tells_weights_and_their_use_and_nothing_else() -> None:
    card = {"sha256": "ab", "config": {"threshold": 0.7}, "version": "1"}
    assert fingerprint(card) == fingerprint({**card, "version": "2", "fails": []})
    assert fingerprint(card) != fingerprint({**card, "config": {"threshold": 0.8}})
    assert fingerprint(card) != fingerprint({**card, "sha256": "cd"})


def test_a_models_name_in_results_carries_what_its_card_says_of_its_error() -> None:
    card = {"name": "counter", "version": "4", "sha256": "ab" * 32}
    (plain,) = used_models({"counter": card}, "density")
    assert plain.systematic_error is None
    stated = {"her2": 0.041, "cep17": 0.032, "her2_clustered": 0.217}
    (counter,) = used_models({"counter": card | {"config": {"systematic_error": stated}}}, "density")
    assert counter.systematic_error == SystematicError(0.041, 0.032, 0.217)
    with pytest.raises(ModelError, match="systematic error"):
        used_models({"counter": card | {"config": {"systematic_error": {"her2": 7}}}}, "density")
