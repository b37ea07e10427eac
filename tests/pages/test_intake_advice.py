"""Intake's suitability advice: what was measured, what it may amount to, and every value beside its limit."""

from __future__ import annotations

from functools import partial

import pytest

from her2core.imaging.quality import LIMITS
from her2core.scoring import RejectionReason
from her2core.ui import intake_regions
from her2core.ui.intake_regions import measured_rows
from tests.pages.app import on_case, said
from tests.pages.lab import POSITIVE, TestLaboratory

_intake = partial(on_case, page="pages/intake.py")

FEW = "The region shows fewer than 20 nuclei"
REJECT = "Reason to reject: too few areas or nuclei."


def test_advice_names_the_reason_to_reject_and_the_values_stand_beside_their_limits(lab: TestLaboratory) -> None:
    case = lab.open_case()
    region = lab.add_region(case, POSITIVE[:6])
    at = _intake(case.id)
    (advice,) = [m.value.replace("\\", "") for m in at.markdown if FEW in m.value.replace("\\", "")]
    assert f"*{REJECT}*" in advice
    assert any(caption.value == "About 6 nuclei in DAPI" for caption in at.caption)
    (panel,) = [e for e in at.expander if e.label.replace("\\", "") == f"Measured on {region.filename}"]
    assert not panel.proto.expanded
    (table,) = panel.table
    assert len(table.value) == len(LIMITS)
    (nuclei,) = [row for row in table.value.to_dict("records") if row["Measure"] == "Nuclei (estimate from DAPI)"]
    assert (nuclei["Value"], nuclei["Limit"]) == ("**6**", "at least 20")


def test_after_the_analysis_it_counts_what_can_be_scored(lab: TestLaboratory) -> None:
    case = lab.open_case()
    lab.analyse(lab.add_region(case, [*POSITIVE, *[(6, 0)] * 8]))
    at = _intake(case.id)
    assert any(c.value.startswith("20 of 28 nuclei can be scored") for c in at.caption)
    assert said(at, "Reason to reject: more than 25 % of signals too weak.")
    assert not said(at, FEW)


def test_several_chosen_regions_are_told_apart_by_name(lab: TestLaboratory) -> None:
    case = lab.open_case()
    lab.add_region(case, POSITIVE, shade=120)
    lab.add_region(case, POSITIVE[:6], shade=130)
    at = _intake(case.id)
    lines = [m.value.replace("\\", "") for m in at.markdown if m.value.startswith("- *region")]
    assert [FEW in line for line in lines] == [False, True]
    assert [line.split(":")[0] for line in lines] == ["- *region-120.png*", "- *region-130.png*"]
    labels = [e.label.replace("\\", "") for e in at.expander if e.label.startswith("Measured on")]
    assert labels == ["Measured on region-120.png", "Measured on region-130.png"]


def test_every_reason_to_reject_has_words_of_its_own() -> None:
    words = intake_regions._REJECTS
    assert set(words) == set(RejectionReason)
    assert len(set(words.values())) == len(words)
    assert all(text.startswith("Reason to reject: ") and text.endswith(".") for text in words.values())


@pytest.mark.parametrize(
    ("value", "shown"), [(1.31, "1.31"), (1.2962, "**1.3**"), (None, "not measurable"), (1.3, "1.3")]
)
def test_a_value_is_bold_only_where_it_breaks_its_limit(value: float | None, shown: str) -> None:
    (row,) = [r for r in measured_rows({"focus_ratio": value}) if r["Measure"].startswith("Focus")]
    assert (row["Value"], row["Limit"]) == (shown, "at least 1.3")


def test_upper_limits_are_said_as_such() -> None:
    (row,) = [r for r in measured_rows({"clumping": 2.5}) if r["Measure"].startswith("Clumping")]
    assert (row["Value"], row["Limit"]) == ("**2.5**", "at most 1.8")
