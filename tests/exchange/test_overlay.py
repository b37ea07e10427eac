"""The overlay picture."""

from __future__ import annotations

import io
from dataclasses import replace

import numpy as np
import pytest
from numpy.typing import NDArray
from PIL import Image, ImageDraw

from her2core.exchange.overlay import overlay_png
from her2core.records import Box, Channel, Exclusion, Nucleus, Signal

BOX = (100.0, 80.0, 180.0, 170.0)


def nucleus(box: Box = BOX, *, scored: bool = True, clustered: bool = False, uncertain: bool = False) -> Nucleus:
    return Nucleus(
        id=1, box=box, score=0.9, her2=4, cep17=2, her2_regressed=4.0, cep17_regressed=2.0, clustered=clustered,
        scored=scored, reason=None if scored else Exclusion.EDGE, signals=(Signal(Channel.HER2, 140.0, 120.0),),
        uncertain=uncertain,
    )  # fmt: skip


def drawn(*nuclei: Nucleus, width: int = 320, height: int = 240) -> NDArray[np.uint8]:
    picture = Image.open(io.BytesIO(overlay_png(np.zeros((height, width, 3), np.uint8), nuclei)))
    assert picture.format == "PNG"
    return np.asarray(picture.convert("RGB"))


def test_overlay_has_the_size_of_the_image_and_leaves_it_as_it_was() -> None:
    pixels = np.zeros((240, 320, 3), np.uint8)
    pixels.setflags(write=False)
    assert Image.open(io.BytesIO(overlay_png(pixels, [nucleus()]))).size == (320, 240)
    assert not pixels.any()


def test_no_nuclei_give_the_plain_image() -> None:
    assert not drawn().any()


def test_frame_lies_on_the_box() -> None:
    picture = drawn(nucleus())
    assert picture[80, 100:180].any(axis=1).all()
    assert picture[169, 100:180].any(axis=1).all()
    assert picture[80:170, 100].any(axis=1).all()
    assert picture[80:170, 179].any(axis=1).all()
    assert not picture[200:].any()


def test_signal_is_marked_at_its_place() -> None:
    ring = drawn(nucleus())[112:129, 132:149]
    assert ring.any()
    assert not drawn(replace(nucleus(), signals=()))[112:129, 132:149].any()


def test_nuclei_that_are_not_scored_differ_in_shape_not_only_in_colour() -> None:
    whole, dashed = drawn(nucleus()), drawn(nucleus(scored=False))
    assert whole[169, 100:180].any(axis=1).all()
    assert 0.2 < dashed[169, 100:180].any(axis=1).mean() < 0.9


@pytest.mark.parametrize(
    ("found", "label"),
    [
        (nucleus(), "4/2"),
        (nucleus(clustered=True), "4✱/2"),
        (nucleus(uncertain=True), "4/2 ?"),
        (nucleus(clustered=True, uncertain=True), "4✱/2 ?"),
        (nucleus(scored=False), "×"),
    ],
)
def test_the_sign_of_a_cluster_stands_with_the_her2_count_once(
    found: Nucleus, label: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    written: list[str] = []
    monkeypatch.setattr(ImageDraw.ImageDraw, "text", lambda _, at, text, **more: written.append(text))
    drawn(found)
    assert written == [label]


def test_marks_for_clusters_and_doubt_are_drawn() -> None:
    plain = drawn(nucleus())
    for marked in (nucleus(clustered=True), nucleus(uncertain=True)):
        assert (drawn(marked) != plain).any()


@pytest.mark.parametrize("box", [(-5.0, -5.0, 30.0, 30.0), (300.0, 220.0, 340.0, 260.0), (10.0, 10.0, 10.4, 10.4)])
@pytest.mark.parametrize("scored", [True, False])
def test_boxes_at_and_over_the_edge_and_tiny_ones_are_drawn(box: Box, scored: bool) -> None:
    assert drawn(nucleus(box, scored=scored)).any()
