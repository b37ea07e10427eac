"""Records that are more than their fields."""

from __future__ import annotations

import json
from dataclasses import asdict, replace

import pytest

from her2core.records import ModelUsed, SystematicError, models_dict

DIGEST = "0123456789abcdef" * 4
USED = (
    ModelUsed("detector", "detector", "1.0", DIGEST),
    ModelUsed("counter", "counter", "3.1 tuned", DIGEST[::-1], "regression"),
)


def test_models_come_back_from_json_whole_and_in_the_order_of_the_stages() -> None:
    stored = models_dict(USED)
    assert stored["counter"] == {
        "name": "counter",
        "version": "3.1 tuned",
        "sha256": DIGEST[::-1],
        "reading": "regression",
    }
    assert ModelUsed.all_of(dict(sorted(stored.items()))) == USED


@pytest.mark.parametrize(
    ("said", "model"),
    [
        ("detector 1.0 3f2a9c81d0e4", ("detector", "1.0", "3f2a9c81d0e4", "")),
        ("counter 3.1 tuned 90ab12cd34ef", ("counter", "3.1 tuned", "90ab12cd34ef", "")),
        ("counter 1 90ab12cd34ef by regression", ("counter", "1", "90ab12cd34ef", "regression")),
        ("yolo 0123456789ab", ("yolo", "", "0123456789ab", "")),
    ],
)
def test_what_the_first_releases_stored_of_a_model_is_read(said: str, model: tuple[str, ...]) -> None:
    (found,) = ModelUsed.all_of({"counter": said})
    assert found == ModelUsed("counter", *model)
    assert str(found) == said, "lists and charts call it as before"
    assert found.digest == f"{model[2]}… (first 12 digits recorded)"


def test_what_a_counters_card_said_of_its_error_travels_with_it() -> None:
    error = SystematicError(0.041, 0.032, 0.217)
    models = (USED[0], replace(USED[1], systematic_error=error))
    stored = json.loads(json.dumps(models_dict(models)))
    assert stored["counter"]["systematic_error"] == {"her2": 0.041, "cep17": 0.032, "her2_clustered": 0.217}
    assert "systematic_error" not in stored["detector"]
    assert ModelUsed.all_of(stored) == models
    assert tuple(ModelUsed.from_dict(asdict(model)) for model in models) == models
    assert str(models[1]) == str(USED[1]), "lists and charts call it as before"


def test_a_whole_digest_is_shown_as_it_is() -> None:
    assert [model.digest for model in USED] == [DIGEST, DIGEST[::-1]]
    assert [str(model) for model in USED] == [
        "detector 1.0 0123456789ab",
        "counter 3.1 tuned fedcba987654 by regression",
    ]
