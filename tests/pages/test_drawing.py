"""What pages draw: the overlay, pictures of nuclei, the result card, words."""

from __future__ import annotations

import base64
import io
from collections.abc import Sequence
from dataclasses import replace
from datetime import UTC, datetime, timedelta
from typing import Any

import numpy as np
import pytest
from PIL import Image

from her2core.records import Channel, Correction, CorrectionKind, Exclusion, Nucleus, Signal, Tally
from her2core.scoring import (
    CrossCheck,
    DotsOverDots,
    ReviewedNucleus,
    SharedError,
    cross_check,
    group,
    population_inputs,
    tally,
)
from her2core.scoring.workup import WorkUpInputs, assess_case
from her2core.ui.imagery import CHANNELS, compose, data_url, nucleus_montage, thumbnail
from her2core.ui.nuclei import doubt
from her2core.ui.overlay import blinded_figure, clicked_nucleus
from her2core.ui.result import result_html
from her2core.ui.words import age, plain
from her2core.workflow import AiResult

BOX = (10.0, 10.0, 40.0, 40.0)


def _nucleus(number: int = 1, **changes: Any) -> Nucleus:
    signals = (Signal(Channel.HER2, 20, 20), Signal(Channel.CEP17, 30, 30))
    return replace(Nucleus(number, BOX, 0.9, 4, 2, 4.1, 2.0, False, True, None, signals), **changes)


def _reviewed(number: int = 1, *, edited: bool = False, ai: bool = True, **changes: Any) -> ReviewedNucleus:
    nucleus = _nucleus(number, **changes)
    correction = Correction(1, 1, number, CorrectionKind.COUNTS, {}, {}, "", 1, datetime.now(UTC))
    return ReviewedNucleus(nucleus, _nucleus(number) if ai else None, (correction,) if edited else ())


def _trace(figure: Any, name: str) -> Any:
    return next(trace for trace in figure.data if trace.name.startswith(name))


def test_the_blinded_figure_holds_no_count_and_no_signal() -> None:
    figure = blinded_figure("data:,", 100, 80, {1: BOX, 2: (50.0, 50.0, 70.0, 70.0)}, {2})
    text = figure.to_json()
    assert "HER2" not in text
    assert "CEP17" not in text
    assert _trace(figure, "✓ counted by you (1)").showlegend
    assert list(_trace(figure, "nuclei").text) == ["Nucleus 1", "Nucleus 2"]


@pytest.mark.parametrize(
    ("event", "clicked"),
    [
        (None, None),
        ({}, None),
        ({"selection": {"points": []}}, None),
        ({"selection": {"points": [{"x": 3}]}}, None),
        ({"selection": {"points": [{"customdata": 7}]}}, 7),
        ({"selection": {"points": [{"customdata": [7]}]}}, 7),
        ({"selection": {"points": [{"customdata": "7; DROP"}]}}, None),
    ],
)
def test_a_click_names_a_nucleus_or_nothing(event: Any, clicked: int | None) -> None:
    assert clicked_nucleus(event) == clicked


def test_channels_are_switched_off_and_one_alone_is_grey() -> None:
    pixels = np.zeros((4, 4, 3), dtype=np.uint8)
    pixels[..., 0], pixels[..., 1], pixels[..., 2] = 10, 20, 30
    assert compose(pixels, ("HER2", "DAPI")).reshape(-1, 3)[0].tolist() == [10, 0, 30]
    assert compose(pixels, ("CEP17",)).reshape(-1, 3)[0].tolist() == [20, 20, 20]
    assert compose(pixels, CHANNELS, gain=20.0).reshape(-1, 3)[0].tolist() == [200, 255, 255]
    assert pixels[0, 0].tolist() == [10, 20, 30]


def test_the_picture_for_plotly_is_a_jpeg_of_the_same_size() -> None:
    url = data_url(np.zeros((40, 60, 3), dtype=np.uint8))
    head, _, body = url.partition(",")
    assert head == "data:image/jpeg;base64"
    assert Image.open(io.BytesIO(base64.b64decode(body))).size == (60, 40)


def test_the_montage_of_a_nucleus_at_the_edge_is_black_beyond_it() -> None:
    pixels = np.full((50, 50, 3), 90, dtype=np.uint8)
    sheet = nucleus_montage(pixels, (-10.0, -10.0, 20.0, 20.0), (Signal(Channel.HER2, 5, 5),), height_px=90)
    assert sheet.shape[0] == 90
    assert sheet[1, 1].tolist() == [0, 0, 0]
    assert sheet[85, 85].tolist() == [90, 90, 90]


def test_a_thumbnail_keeps_proportions_and_a_small_image_its_size() -> None:
    assert thumbnail(np.zeros((600, 800, 3), dtype=np.uint8), 320).shape == (240, 320, 3)
    assert thumbnail(np.zeros((60, 80, 3), dtype=np.uint8), 320).shape == (60, 80, 3)


@pytest.mark.parametrize(
    ("more", "less"),
    [
        ({"uncertain": True}, {"clustered": True}),
        ({"uncertain": True, "uncertainty": 0.1}, {"uncertain": True, "scored": False, "reason": Exclusion.EDGE}),
        ({"clustered": True}, {"uncertain": True, "scored": False, "reason": Exclusion.NO_CEP17}),
        ({"scored": False, "reason": Exclusion.NO_CEP17}, {"uncertainty": 0.9}),
        ({}, {"uncertain": True, "scored": False, "reason": Exclusion.EDGE, "uncertainty": 0.99}),
        ({"uncertain": True, "uncertainty": 0.6}, {"uncertain": True, "uncertainty": 0.3}),
        ({"uncertainty": 0.2}, {"uncertainty": 0.1}),
        ({"her2_regressed": 9.0}, {"her2_regressed": 4.2}),
        ({}, {"uncertain": True, "uncertainty": 0.9, "edited": True}),
    ],
)
def test_what_asks_to_be_looked_at_comes_first(more: dict[str, Any], less: dict[str, Any]) -> None:
    assert doubt(_reviewed(1, **more)) > doubt(_reviewed(2, **less))


def _card(
    number: int, her2: int, cep17: int, shared: Sequence[SharedError] = (), check: CrossCheck | None = None
) -> str:
    nuclei = [_nucleus(index, her2=her2, cep17=cep17) for index in range(number)]
    assessment = assess_case([population_inputs("A", nuclei, shared=shared)], WorkUpInputs(controls_ok=True))
    counted = tally(nuclei)
    return result_html(assessment.populations[0], AiResult(counted, group(counted)), several=False, check=check)


def test_the_card_shows_exact_numbers_and_the_group() -> None:
    card = _card(20, 6, 2)
    assert "Group 1" in card
    assert "3.00" in card
    assert "20 · 120 · 40" in card


def test_the_card_says_what_its_interval_covers_and_what_would_settle_the_group() -> None:
    alone, shared = _card(20, 4, 2), _card(20, 4, 2, [SharedError(1, False, 0.05)] * 20)
    assert "is not in it" in alone
    assert "4.00 to 4.00" in alone
    assert "and had the counter been off" in shared
    assert "4.00 to 4.00" not in shared
    assert "More nuclei alone would not settle" not in alone
    far = _card(20, 5, 2, [SharedError(1, False, 0.3)] * 20)
    assert "if a person did so in every scored nucleus" in far


@pytest.mark.parametrize(
    ("n", "her2", "said"),
    [(20, 4, "score 20 more nuclei"), (40, 4, "even with 40 nuclei"), (20, 5, None), (19, 4, None)],
)
def test_the_card_asks_for_more_nuclei_where_the_ratio_is_near_the_cut_off(n: int, her2: int, said: str | None) -> None:
    card = _card(n, her2, 2)
    assert ("close to the cut-off" in card) == (said is not None)
    assert said is None or said in card


@pytest.mark.parametrize(("all_her2", "contradicts"), [(124, False), (190, True)])
def test_the_card_shows_the_ratio_over_all_signals_and_what_it_contradicts(all_her2: int, contradicts: bool) -> None:
    check = cross_check(DotsOverDots(30, all_her2, 40, 0), Tally(20, 120, 40))
    assert "of all signals" not in _card(20, 6, 2)
    card = _card(20, 6, 2, check=check)
    assert f"Ratio of all signals {'4.75: contradicts the scored nuclei' if contradicts else '3.10'}." in card
    assert ("depends on which nuclei are scored" in card) == contradicts


def test_the_card_has_no_ratio_over_all_signals_without_cep17() -> None:
    card = _card(20, 6, 2, check=cross_check(DotsOverDots(30, 120, 0, 0), Tally(20, 120, 40)))
    assert "of all signals" not in card


def test_the_card_says_how_many_nuclei_are_missing() -> None:
    card = _card(12, 6, 2)
    assert "Group 1 so far" in card
    assert "8 more nuclei" in card


def test_the_card_of_nothing_has_dashes() -> None:
    card = _card(0, 0, 0)
    assert "No group yet" in card
    assert "–" in card


def test_markdown_in_names_shows_as_it_was_typed() -> None:
    assert plain("[x](http://evil) *b*") == r"\[x\]\(http\://evil\) \*b\*"


@pytest.mark.parametrize(
    ("ago", "said"),
    [
        (timedelta(seconds=5), "just now"),
        (timedelta(minutes=1), "1 minute"),
        (timedelta(hours=5), "5 hours"),
        (timedelta(days=3), "3 days"),
        (timedelta(seconds=-30), "just now"),
    ],
)
def test_age_in_one_unit(ago: timedelta, said: str) -> None:
    now = datetime(2026, 11, 24, 12, tzinfo=UTC)
    assert age(now - ago, now) == said
