"""The `her2core.analysis/1` document."""

from __future__ import annotations

import json
import math
from dataclasses import replace
from typing import Any

import pytest

from her2core.exchange.analysis import NOT_A_RESULT, ImageResult, analysis_document, analysis_json, pooled_tally
from her2core.records import Channel, Exclusion, ModelUsed, Nucleus, RegionAnalysis, Signal, Tally


def nucleus(number: int, her2: int = 8, cep17: int = 4, reason: Exclusion | None = None) -> Nucleus:
    return Nucleus(
        id=number,
        box=(10.0 * number, 5.0, 10.0 * number + 40.5, 60.25),
        score=0.91234,
        her2=her2,
        cep17=cep17,
        her2_regressed=7.6,
        cep17_regressed=4.2,
        clustered=False,
        scored=reason is None,
        reason=reason,
        signals=(Signal(Channel.HER2, 12.345, 20.0), Signal(Channel.CEP17, 30.0, 21.5)),
    )


def result(name: str, *nuclei: Nucleus, quality: dict[str, float | None] | None = None) -> ImageResult:
    models = (
        ModelUsed("detector", "detector", "1.0", "a" * 64),
        ModelUsed("counter", "counter", "1", "b" * 64, "regression"),
    )
    return ImageResult(name, RegionAnalysis(640, 480, nuclei, models, quality or {}))


def test_document_has_the_contract_of_the_architecture() -> None:
    data = json.loads(analysis_json([result("a.jpg", nucleus(1), nucleus(2, 3, 0, Exclusion.NO_CEP17))]))
    assert data["schema"] == "her2core.analysis/1"
    assert data["models"] == {
        "detector": {"name": "detector", "version": "1.0", "sha256": "a" * 64},
        "counter": {"name": "counter", "version": "1", "sha256": "b" * 64, "reading": "regression"},
    }
    (image,) = data["images"]
    assert (image["image"], image["width"], image["height"]) == ("a.jpg", 640, 480)
    assert set(image["nuclei"][0]) >= {
        "id", "box", "score", "her2", "cep17", "her2_regressed", "cep17_regressed", "clustered", "scored", "reason",
        "signals",
    }  # fmt: skip
    assert image["nuclei"][0]["box"] == [10.0, 5.0, 50.5, 60.25]
    assert image["nuclei"][0]["signals"][0] == {"channel": "her2", "x": 12.35, "y": 20.0}
    assert [n["reason"] for n in image["nuclei"]] == [None, "no CEP17 signal"]
    assert image["excluded"] == {"no CEP17 signal": 1}
    assert image["tally"] == {
        "n": 1, "her2": 8, "cep17": 4, "her2_per_nucleus": 8.0, "cep17_per_nucleus": 4.0, "ratio": 2.0, "group": 1,
    }  # fmt: skip


def test_pooled_tally_is_total_over_total_not_a_mean_of_images() -> None:
    results = [result("a.jpg", nucleus(1, 2, 1)), result("b.jpg", nucleus(1, 2, 2))]
    assert pooled_tally(results) == Tally(2, 4, 3)
    assert analysis_document(results)["tally"]["ratio"] == pytest.approx(4 / 3)


def test_group_is_decided_on_whole_numbers() -> None:
    # 399/200 over 100 nuclei prints as 2.00 and 3.99 when rounded, but is Group 5 (domain.md 1.13).
    many = [nucleus(i, 3, 2) for i in range(1, 2)] + [nucleus(i, 4, 2) for i in range(2, 101)]
    assert analysis_document([result("a.jpg", *many)])["tally"]["group"] == 5


def test_failed_image_is_an_entry_with_its_error_and_is_not_pooled() -> None:
    data = analysis_document([ImageResult("bad.jpg", error="Export it again."), result("a.jpg", nucleus(1))])
    assert data["images"][0] == {"image": "bad.jpg", "error": "Export it again."}
    assert data["tally"]["n"] == 1


def test_document_says_that_its_groups_are_no_result_of_a_case() -> None:
    assert NOT_A_RESULT in analysis_document([result("a.jpg", nucleus(1))])["note"]


def test_undefined_numbers_are_null() -> None:
    tally = analysis_document([result("empty.jpg")])["tally"]
    assert (tally["n"], tally["her2_per_nucleus"], tally["ratio"], tally["group"]) == (0, None, None, None)


@pytest.mark.parametrize("bad", [math.nan, math.inf])
def test_json_stays_strict_where_a_measure_is_not_finite(bad: float) -> None:
    def refuse(constant: str) -> Any:
        raise AssertionError(constant)

    text = analysis_json([result("a.jpg", nucleus(1), quality={"focus": bad, "haze": 0.5})])
    assert json.loads(text, parse_constant=refuse)["images"][0]["quality"] == {"focus": None, "haze": 0.5}


def test_nuclei_survive_the_round_trip() -> None:
    given = nucleus(3, 0, 2, Exclusion.NO_HER2)
    (image,) = json.loads(analysis_json([result("a.jpg", given)]))["images"]
    back = Nucleus.from_dict(image["nuclei"][0])
    assert back == replace(given, score=0.9123, signals=(Signal(Channel.HER2, 12.35, 20.0), given.signals[1]))


def test_names_outside_ascii_are_kept() -> None:
    assert "Gewebe-µ-乳.jpg" in analysis_json([ImageResult("Gewebe-µ-乳.jpg", error="–")])


def test_image_with_both_or_neither_of_analysis_and_error_is_refused() -> None:
    with pytest.raises(ValueError, match="either"):
        ImageResult("a.jpg")
    with pytest.raises(ValueError, match="either"):
        replace(result("a.jpg"), error="both")
