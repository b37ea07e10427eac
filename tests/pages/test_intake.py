"""Intake: several files at once, flags of one or many regions saved as they are set, channels by hand, populations."""

from __future__ import annotations

import io
from dataclasses import replace
from functools import partial

import numpy as np
import tifffile
from PIL import Image
from streamlit.testing.v1 import AppTest

from her2core import workflow
from her2core.imaging import read_region
from her2core.records import CorrectionKind, Overlap, Population, RegionFlags, SignalIntensity
from her2core.ui.services import services
from tests.pages.app import on_case, said
from tests.pages.lab import FLAGS, NEGATIVE, POSITIVE, TestLaboratory, draw_region

_intake = partial(on_case, page="pages/intake.py")


def _drop(at: AppTest, case_id: int, files: dict[str, bytes], turn: int = 0) -> None:
    uploader = at.file_uploader(key=f"intake_upload_{case_id}_{turn}")
    for name, data in files.items():
        uploader.upload(name, data, "image/png")
    at.run()
    assert not at.exception


def _stack(names: list[str], shade: int = 120) -> bytes:
    """DAPI, HER2, CEP17 of a drawn region as an OME-TIFF with channels of these names, 16 bits."""
    pixels = np.asarray(Image.open(io.BytesIO(draw_region(POSITIVE, shade)))).astype(np.uint16) * 100
    buffer = io.BytesIO()
    tifffile.imwrite(
        buffer, pixels.transpose(2, 0, 1)[[2, 0, 1]], photometric="minisblack", ome=True,
        metadata={"axes": "CYX", "Channel": {"Name": names}},
    )  # fmt: skip
    return buffer.getvalue()


# --- files ------------------------------------------------------------------------------------------------------------


def test_good_files_are_kept_and_bad_ones_named_each_with_its_reason(lab: TestLaboratory) -> None:
    case = lab.open_case()
    at = _intake(case.id)
    files = {
        "one.png": draw_region(POSITIVE, 120),
        "notes.png": b"these are words",
        "two.png": draw_region(POSITIVE, 130),
        "again.png": draw_region(POSITIVE, 120),
    }
    _drop(at, case.id, files)
    assert [region.filename for region in lab.log.regions(case.id)] == ["one.png", "two.png"]
    assert said(at, "2 files were not added:")
    (message,) = [error.value.replace("\\", "") for error in at.error]
    assert "**notes.png**: The file is a text" in message
    assert "**again.png**: This image is a region of the case already" in message
    at.button(key="intake_dismiss").click().run()
    assert len(at.error) == 0


def test_the_reasons_stay_until_they_are_dismissed_or_other_files_come(lab: TestLaboratory) -> None:
    case = lab.open_case()
    at = _intake(case.id)
    _drop(at, case.id, {"notes.png": b"these are words"})
    at.run()
    assert len(at.error) == 1
    _drop(at, case.id, {"one.png": draw_region(POSITIVE)}, turn=1)
    assert len(at.error) == 0


def test_channels_without_names_are_chosen_by_hand(lab: TestLaboratory) -> None:
    case = lab.open_case()
    at = _intake(case.id)
    _drop(at, case.id, {"a.tif": _stack(["x", "y", "z"], 120), "b.tif": _stack(["x", "y", "z"], 130)})
    assert lab.log.regions(case.id) == []
    assert said(at, "a.tif** does not say which channel shows which probe")
    add = at.button(key="intake_channels_add")
    assert (add.label, add.disabled) == ("Add these 2 regions", True)
    for probe, channel in (("DAPI", 0), ("HER2", 1), ("CEP17", 1)):
        at.selectbox(key=f"intake_channel_{probe}_1_2").select(channel).run()
    assert said(at, "Each probe needs a channel of its own.")
    at.selectbox(key="intake_channel_CEP17_1_2").select(2).run()
    at.button(key="intake_channels_add").click().run()
    assert not at.exception
    first, second = lab.log.regions(case.id)
    assert (first.filename, second.filename) == ("a.tif", "b.tif")
    image = read_region(lab.log.image_bytes(first), first.filename)  # the stored file says it by itself
    drawn = np.asarray(Image.open(io.BytesIO(draw_region(POSITIVE))))
    assert np.array_equal(image.pixels_rgb > 100, drawn > 100)


def test_a_choice_of_channels_can_be_kept_from_files_that_are_arranged_alike(lab: TestLaboratory) -> None:
    case = lab.open_case()
    at = _intake(case.id)
    _drop(at, case.id, {"a.tif": _stack(["x", "y", "z"], 120), "b.tif": _stack(["x", "y", "z"], 130)})
    assert said(at, "**b.tif** are arranged alike")
    for probe, channel in (("DAPI", 0), ("HER2", 1), ("CEP17", 2)):
        at.selectbox(key=f"intake_channel_{probe}_1_2").select(channel).run()
    at.button(key="intake_channels_add_one").click().run()
    assert not at.exception
    assert [region.filename for region in lab.log.regions(case.id)] == ["a.tif"]
    assert said(at, "b.tif** does not say which channel shows which probe")
    assert at.button(key="intake_channels_add").disabled, "chosen anew for each"


def test_channels_named_by_probe_need_nobody(lab: TestLaboratory) -> None:
    case = lab.open_case()
    at = _intake(case.id)
    _drop(at, case.id, {"a.tif": _stack(["DAPI", "ERBB2", "CEN17"])})
    assert [region.filename for region in lab.log.regions(case.id)] == ["a.tif"]


def test_a_file_whose_channels_nobody_knows_can_be_left_out(lab: TestLaboratory) -> None:
    case = lab.open_case()
    at = _intake(case.id)
    _drop(at, case.id, {"a.tif": _stack(["x", "y", "z"])})
    at.button(key="intake_channels_leave").click().run()
    assert not at.exception
    assert not said(at, "does not say which channel")
    assert lab.log.regions(case.id) == []


def test_a_kit_with_green_her2_is_exchanged_as_it_comes_in(lab: TestLaboratory) -> None:
    case = lab.open_case()
    at = _intake(case.id)
    at.segmented_control(key=f"intake_kit_{case.id}").select("HER2 green, CEP17 red").run()
    drawn = np.asarray(Image.open(io.BytesIO(draw_region(POSITIVE))))
    buffer = io.BytesIO()
    Image.fromarray(np.ascontiguousarray(drawn[:, :, [1, 0, 2]])).save(buffer, "PNG")
    _drop(at, case.id, {"field.png": buffer.getvalue()})
    (region,) = lab.log.regions(case.id)
    assert region.filename == "field.tif"
    assert np.array_equal(read_region(lab.log.image_bytes(region), region.filename).pixels_rgb, drawn)
    # The same image as it is: its nuclei must not count twice.
    at.segmented_control(key=f"intake_kit_{case.id}").select("HER2 red, CEP17 green").run()
    _drop(at, case.id, {"field.png": buffer.getvalue()}, turn=1)
    assert "one nucleus must not count twice" in at.error[0].value
    assert lab.log.regions(case.id) == [region]


# --- flags ------------------------------------------------------------------------------------------------------------


def _key(name: str, *ids: int) -> str:
    return f"flag_{name}_{'_'.join(map(str, ids))}"


def test_a_flag_is_saved_as_it_is_set(lab: TestLaboratory) -> None:
    case = lab.open_case()
    region = lab.add_region(case, POSITIVE)
    at = _intake(case.id)
    assert at.segmented_control(key=_key("clusters", region.id)).disabled  # suitability comes first
    at.segmented_control(key=_key("suitable", region.id)).select("suitable").run()
    assert lab.log.region(region.id).flags is None  # nothing is judged by default
    at.button(key="flag_usual").click().run()
    assert lab.log.region(region.id).flags == FLAGS
    assert "flag_usual" not in [button.key for button in at.button]
    at.segmented_control(key=_key("clusters", region.id)).select("yes").run()
    at.segmented_control(key=_key("overlap", region.id)).select("moderate").run()
    assert not at.exception
    assert lab.log.region(region.id).flags == replace(FLAGS, clusters=True, overlap=Overlap.MODERATE)
    assert said(at, "1 region is ready for analysis.")


def test_flags_are_saved_with_the_last_answer(lab: TestLaboratory) -> None:
    case = lab.open_case()
    region = lab.add_region(case, POSITIVE)
    at = _intake(case.id)
    at.segmented_control(key=_key("suitable", region.id)).select("suitable").run()
    for name, answer in (("overlap", "severe"), ("clusters", "yes"), ("heterogeneous", "no")):
        at.segmented_control(key=_key(name, region.id)).select(answer).run()
        assert lab.log.region(region.id).flags is None
    assert at.segmented_control(key=_key("overlap", region.id)).value == "severe"
    assert said(at, "Still to say: signal intensity. Saved with the last answer.")
    at.segmented_control(key=_key("signal_intensity", region.id)).select("weak").run()
    assert not at.exception
    assert lab.log.region(region.id).flags == replace(
        FLAGS, overlap=Overlap.SEVERE, clusters=True, signal_intensity=SignalIntensity.WEAK
    )
    assert said(at, "1 region is ready for analysis.")


def test_with_two_populations_a_region_says_which_it_shows(lab: TestLaboratory) -> None:
    case = lab.open_case()
    region = lab.add_region(case, POSITIVE)
    workflow.set_populations(
        lab.log, case.id, [Population("A", 80.0), Population("B", 20.0)], lab.log.case(case.id).version,
        lab.person("berg"),
    )  # fmt: skip
    at = _intake(case.id)
    at.segmented_control(key=_key("suitable", region.id)).select("suitable").run()
    at.button(key="flag_usual").click().run()
    assert lab.log.region(region.id).flags is None
    assert said(at, "Still to say: population. Saved with the last answer.")
    at.segmented_control(key=_key("population", region.id)).select("B").run()
    assert lab.log.region(region.id).flags == replace(FLAGS, population="B")


def test_many_regions_are_flagged_at_once_and_keep_what_differs(lab: TestLaboratory) -> None:
    case = lab.open_case()
    first, second, third = (lab.add_region(case, POSITIVE, shade) for shade in (120, 130, 140))
    weak = replace(FLAGS, signal_intensity=SignalIntensity.WEAK)
    workflow.set_flags(lab.log, first.id, weak, lab.person("berg"))
    at = _intake(case.id)
    # The ones without flags are chosen at first.
    at.segmented_control(key=_key("suitable", second.id, third.id)).select("suitable").run()
    at.button(key="intake_pick_All").click().run()
    # One of them is flagged: the usual answers must not take the place of what was said of it.
    assert "flag_usual" not in [button.key for button in at.button]
    at.button(key="intake_pick_Without flags").click().run()
    at.button(key="flag_usual").click().run()
    at.button(key="intake_pick_All").click().run()
    every = (first.id, second.id, third.id)
    assert at.segmented_control(key=_key("signal_intensity", *every)).value is None
    at.segmented_control(key=_key("heterogeneous", *every)).select("yes").run()
    assert not at.exception
    flags = [lab.log.region(region_id).flags for region_id in every]
    assert flags == [replace(weak, heterogeneous=True), *[replace(FLAGS, heterogeneous=True)] * 2]
    assert said(at, "add it under Populations")


def test_an_unsuitable_region_is_saved_with_its_reason_and_not_without(lab: TestLaboratory) -> None:
    case = lab.open_case()
    region = lab.add_region(case, POSITIVE)
    at = _intake(case.id)
    at.segmented_control(key=_key("suitable", region.id)).select("not suitable").run()
    assert lab.log.region(region.id).flags is None
    assert said(at, "Not saved yet")
    at.selectbox(key=_key("unsuitable_reason", region.id)).select("out of focus").run()
    flags = lab.log.region(region.id).flags
    assert isinstance(flags, RegionFlags)
    assert (flags.suitable, flags.unsuitable_reason) == (False, "out of focus")
    at.segmented_control(key=_key("suitable", region.id)).select("suitable").run()
    # Nobody has judged its signals yet: it stays as it is until somebody does.
    assert lab.log.region(region.id).flags == flags
    assert at.segmented_control(key=_key("clusters", region.id)).value is None
    at.button(key="flag_usual").click().run()
    assert lab.log.region(region.id).flags == FLAGS


def test_the_scale_is_typed_for_all_chosen_regions(lab: TestLaboratory) -> None:
    case = lab.open_case()
    ids = [lab.add_region(case, POSITIVE, shade).id for shade in (120, 130)]
    at = _intake(case.id)
    at.number_input(key=_key("um_per_px", *ids)).set_value(0.107).run()
    assert [lab.log.region(region_id).um_per_px for region_id in ids] == [0.107, 0.107]
    assert said(at, "0.107 µm/px")


def test_chosen_regions_are_removed_from_a_draft(lab: TestLaboratory) -> None:
    case = lab.open_case()
    lab.add_region(case, POSITIVE, 120)
    kept = lab.add_region(case, POSITIVE, 130)
    at = _intake(case.id)
    at.checkbox(key=f"intake_pick_{kept.id}").uncheck().run()
    at.button(key="intake_remove").click().run()
    assert not at.exception
    assert [region.id for region in lab.log.regions(case.id)] == [kept.id]


def test_many_missing_flags_take_one_line(lab: TestLaboratory) -> None:
    case = lab.open_case()
    for shade in range(110, 160, 10):
        lab.add_region(case, NEGATIVE, shade)
    at = _intake(case.id)
    assert said(at, "Give the flags of 5 regions.")


def test_a_signed_case_changes_nothing_here(lab: TestLaboratory) -> None:
    case = lab.ready(POSITIVE)
    lab.sign(case)
    region = lab.log.regions(case.id)[0]
    at = _intake(case.id)
    assert said(at, "The case is signed.")
    assert at.segmented_control(key=_key("suitable", region.id)).disabled


# --- populations ------------------------------------------------------------------------------------------------------


def test_a_second_population_gets_its_share_and_the_first_the_rest(lab: TestLaboratory) -> None:
    case = lab.open_case()
    at = _intake(case.id)
    at.button(key="population_add").click().run()
    assert lab.log.case(case.id).populations == (Population("A", None), Population("B", None))
    at.number_input(key=f"share_{case.id}_B").set_value(15.0).run()
    assert not at.exception
    assert lab.log.case(case.id).populations == (Population("A", 85.0), Population("B", 15.0))
    at.button(key="population_remove_B").click().run()
    assert lab.log.case(case.id).populations == (Population("A", 100.0),)


def test_a_population_that_regions_show_is_not_removed(lab: TestLaboratory) -> None:
    case = lab.open_case()
    workflow.set_populations(
        lab.log, case.id, [Population("A", 90.0), Population("B", 10.0)], case.version, lab.person("berg")
    )
    region = lab.add_region(case, POSITIVE)
    workflow.set_flags(lab.log, region.id, replace(FLAGS, population="B"), lab.person("berg"))
    at = _intake(case.id)
    at.button(key="population_remove_B").click().run()
    assert "flag them anew" in at.error[0].value
    assert len(lab.log.case(case.id).populations) == 2
    at.segmented_control(key=_key("population", region.id)).select("A").run()
    assert lab.log.region(region.id).flags == FLAGS


# --- a flag that comes after the analysis -----------------------------------------------------------------------------


def test_who_flags_clusters_after_the_analysis_is_told_that_the_counts_stay_and_may_analyse_again(
    lab: TestLaboratory, stand_in_models: None
) -> None:
    case = lab.analysed(POSITIVE)
    region = lab.log.regions(case.id)[0]
    at = _intake(case.id)
    assert not said(at, "Analysed under another flag")
    at.segmented_control(key=f"flag_clusters_{region.id}").select("yes").run()
    assert not at.exception
    assert said(at, f"Analysed under another flag for clusters: {region.filename} with “no”. The counts stay")
    at.button(key="intake_again").click().run()
    services().jobs.wait(case.id)
    at.run()
    assert not at.exception
    assert len(lab.log.analyses(region.id)) == 2
    assert not said(at, "Analysed under another flag")


def test_no_new_analysis_is_offered_that_would_set_corrections_aside(lab: TestLaboratory) -> None:
    case, by = lab.analysed(POSITIVE), lab.person("berg")
    region = lab.log.regions(case.id)[0]
    workflow.correct(lab.log, region.id, 1, CorrectionKind.CLUSTER, {"clustered": True}, by)
    workflow.set_flags(lab.log, region.id, replace(FLAGS, clusters=True), by)
    at = _intake(case.id)
    assert said(at, "A new analysis would set corrections aside")
    assert "intake_again" not in [button.key for button in at.button]
    workflow.undo_last(lab.log, region.id, by)
    at = _intake(case.id)
    assert not said(at, "A new analysis would set corrections aside")
    assert at.button(key="intake_again").label == "Analyse again"


def test_of_several_regions_those_that_nobody_corrected_may_be_analysed_again(lab: TestLaboratory) -> None:
    case, by = lab.analysed(POSITIVE), lab.person("berg")
    lab.analyse(lab.add_region(case, POSITIVE, shade=90))
    first, second = lab.log.regions(case.id)
    workflow.correct(lab.log, first.id, 1, CorrectionKind.CLUSTER, {"clustered": True}, by)
    for region in (first, second):
        workflow.set_flags(lab.log, region.id, replace(FLAGS, clusters=True), by)
    at = _intake(case.id)
    at.button(key="intake_pick_All").click().run()
    assert said(at, f"A new analysis would set corrections of {first.filename} aside")
    assert at.button(key="intake_again").label == "Analyse the other 1 again"
