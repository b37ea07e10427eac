"""Fields of a whole slide at intake: found, shown in their order, chosen by hand, kept as regions of the case."""

from __future__ import annotations

import time
from functools import partial
from pathlib import Path

import numpy as np
import pytest

from her2core.errors import DuplicateError, NotFoundError, PermissionDeniedError
from her2core.imaging import DEFAULT_LIMITS, read_region
from her2core.imaging.fields import Field, Findings
from her2core.ui.intake_slides import field_words, marked_overview
from her2core.workflow.slides import SlideFile, SlideSearches, slide_files, take_fields
from tests.imaging.slides import PATCH_PX, patch, write_slide
from tests.pages.app import on_case, said
from tests.pages.lab import TestLaboratory

_intake = partial(on_case, page="pages/intake.py")


@pytest.fixture
def slide(lab: TestLaboratory) -> SlideFile:
    """A slide of two by two thousand pixels in the laboratory's folder."""
    (lab.data_dir / "slides").mkdir()
    write_slide(lab.data_dir / "slides" / "S26-1.tif", [["good", "empty"], ["weak", "sparse"]])
    (file,) = slide_files(lab.data_dir)
    return file


def test_without_slides_intake_does_not_speak_of_them(lab: TestLaboratory) -> None:
    at = _intake(lab.open_case().id)
    assert not [box for box in at.selectbox if box.label == "Slide"]


def test_a_field_is_found_chosen_and_becomes_a_region_with_the_slides_own_pixels(
    lab: TestLaboratory, slide: SlideFile
) -> None:
    case = lab.open_case()
    at = _intake(case.id)
    at.selectbox(key=f"slide_{case.id}").select(0).run()
    at.button(key="slide_find").click().run()
    patience = time.monotonic() + 120
    while not [b for b in at.button if b.key == "slide_take"] and time.monotonic() < patience:
        time.sleep(0.2)
        at.run()
    assert not at.exception
    boxes = [box for box in at.checkbox if str(box.key).startswith("slide_field_")]
    assert boxes[0].label == "Field 1"
    assert at.button(key="slide_take").disabled
    boxes[0].check().run()
    at.button(key="slide_take").click().run()
    assert not at.exception
    (region,) = lab.log.regions(case.id)
    assert region.filename == "S26-1_x0_y0.tif"
    assert region.um_per_px == pytest.approx(0.2)
    pixels = read_region(lab.log.image_bytes(region), region.filename).pixels_rgb
    assert np.array_equal(pixels[:PATCH_PX, :PATCH_PX], patch("good"))
    assert said(at, "Field 1 (in the case)") or [b for b in at.checkbox if b.label == "Field 1 (in the case)"]


def test_only_slides_are_offered(lab: TestLaboratory, slide: SlideFile, tmp_path: Path) -> None:
    folder = lab.data_dir / "slides"
    (folder / "notes.txt").write_text("no slide")
    (folder / ".hidden.tif").touch()
    (folder / "folder.tif").mkdir()
    outside = tmp_path / "outside.tif"
    outside.touch()
    (folder / "link.tif").symlink_to(outside)
    assert slide_files(lab.data_dir) == (slide,)


def test_a_slide_that_was_changed_and_a_field_that_is_there_already_are_refused(
    lab: TestLaboratory, slide: SlideFile
) -> None:
    case, berg, field = lab.open_case(), lab.person("berg"), Field(0, 0, 700, 600, 50, {}, 1.0)
    take_fields(lab.log, case.id, slide, [field], berg, DEFAULT_LIMITS)
    with pytest.raises(DuplicateError):
        take_fields(lab.log, case.id, slide, [field], berg, DEFAULT_LIMITS)
    for other in (SlideFile("../caselog.sqlite", 1, 1), SlideFile(slide.name, slide.size + 1, slide.mtime_ns)):
        with pytest.raises(NotFoundError):
            take_fields(lab.log, case.id, other, [field], berg, DEFAULT_LIMITS)
    with pytest.raises(PermissionDeniedError):
        take_fields(lab.log, case.id, slide, [Field(0, 0, 500, 500, 5, {}, 1.0)], lab.person("lind"), DEFAULT_LIMITS)


def test_what_goes_wrong_in_a_search_is_said_and_it_can_be_started_again(lab: TestLaboratory) -> None:
    (lab.data_dir / "slides").mkdir()
    (lab.data_dir / "slides" / "broken.tif").write_bytes(b"II*\0" + b"\xff" * 60)
    (slide,) = slide_files(lab.data_dir)
    searches = SlideSearches(lab.data_dir)
    with pytest.raises(PermissionDeniedError):
        searches.start(slide, lab.person("lind"))
    for _ in range(2):
        searches.start(slide, lab.person("berg"))
        patience = time.monotonic() + 30
        while (status := searches.status(slide)) is not None and status.active and time.monotonic() < patience:
            time.sleep(0.02)
        assert status is not None
        assert "incomplete or damaged" in (status.problem or "")
    searches.close()


def test_the_words_of_a_field_name_what_is_outside_its_limit() -> None:
    good = Field(0, 2048, 2048, 2048, 91, {"focus_ratio": 1.6, "estimated_nuclei": 3.0}, 1.0)
    assert field_words(good) == "91 countable nuclei · Signals within all limits · at 0, 2048"
    poor = Field(0, 0, 9, 9, 4, {"focus_ratio": 1.0}, 0.8)
    assert "Outside its limit: Focus (sharpness of nuclear borders)" in field_words(poor)
    worse = Field(0, 0, 9, 9, 4, {"focus_ratio": 1.0, "clumping": 9.0, "her2_signal_to_noise": 0.1}, 0.1)
    assert "and 1 more · at 0, 0" in field_words(worse)


def test_chosen_fields_are_framed_in_another_colour_than_taken_ones() -> None:
    fields = tuple(Field(left, 0, 100, 100, 9, {}, 1.0) for left in (0, 100, 200))
    blank = np.zeros((50, 150, 3), np.uint8)
    found = Findings(fields, (blank,) * 3, blank, 2.0, 3)
    marked = marked_overview(found, chosen=[0], taken=[1])
    colours = {tuple(int(v) for v in marked[49, x]) for x in (45, 95, 145)}
    assert len(colours) == 3
    assert not found.overview_rgb.any()
