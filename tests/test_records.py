"""Records that are more than their fields."""

from __future__ import annotations

import pytest

from her2core.records import ModelUsed, models_dict

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


def test_a_whole_digest_is_shown_as_it_is() -> None:
    assert [model.digest for model in USED] == [DIGEST, DIGEST[::-1]]
    assert [str(model) for model in USED] == [
        "detector 1.0 0123456789ab",
        "counter 3.1 tuned fedcba987654 by regression",
    ]
