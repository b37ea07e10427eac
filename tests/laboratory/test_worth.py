"""What would teach the models most: doubt, disagreement, novelty, and a list that is not ten times the same."""

# ruff: noqa: F811 (fixtures are imported, and named again where they are used)

from __future__ import annotations

import csv
import io
from typing import Any

import pytest

from her2core import workflow
from her2core.errors import PermissionDeniedError
from her2core.laboratory.worth import COLUMNS, Looked, annotation_csv, disagreement, look, novelty, worth
from her2core.records import CorrectionKind, Exclusion, Nucleus
from tests.pages.conftest import lab, no_waiting_for_the_disk, template  # noqa: F401 (fixtures)
from tests.pages.lab import POSITIVE, TestLaboratory


def nucleus(number: int = 1, her2: int | None = 4, regressed: float = 4.0, **more: Any) -> Nucleus:
    values: dict[str, Any] = {"clustered": False, "scored": True, "cep17": 2, "cep17_regressed": 2.0} | more
    return Nucleus(id=number, box=(0.0, 0.0, 9.0, 9.0), score=0.9, her2=her2, her2_regressed=regressed, **values)


def region(number: int, *nuclei: Nucleus, accession: str = "S26-1", **quality: float | None) -> Looked:
    return Looked(1, accession, number, f"{number}.png", nuclei, quality)


@pytest.mark.parametrize(
    ("her2", "regressed", "cep17_regressed", "off"),
    [
        (4, 4.0, 2.0, 0.0),
        (4, 6.0, 2.0, 0.5),
        (4, 2.0, 2.0, 0.5),
        (4, 20.0, 2.0, 1.0),
        (0, 1.0, 2.0, 0.5),
        (25, 30.0, 2.0, 0.5),
        (4, 4.0, 2.0 + 2**0.5, 0.5),
        (4, float("nan"), 2.0, 1.0),
    ],
)
def test_disagreement_is_in_spreads_of_the_count(
    her2: int, regressed: float, cep17_regressed: float, off: float
) -> None:
    assert disagreement(nucleus(her2=her2, regressed=regressed, cep17_regressed=cep17_regressed)) == pytest.approx(off)


def test_what_was_not_counted_disagrees_wholly() -> None:
    assert disagreement(nucleus(her2=None, scored=False, reason=Exclusion.UNCOUNTABLE)) == 1.0


def test_a_region_unlike_the_others_is_new_and_one_in_the_middle_is_not() -> None:
    focus = [1.0, 1.1, 0.9, 1.05, 0.95, 3.0]
    new = novelty([{"focus": value, "constant": 2.0} for value in focus])
    assert new[5] == 1.0
    assert max(new[:5]) < 0.5


@pytest.mark.parametrize("regions", [[], [{"focus": 1.0}], [{"focus": None}] * 9, [{"focus": 1.0}] * 9])
def test_measures_that_say_nothing_make_nothing_new(regions: list[dict[str, float | None]]) -> None:
    assert novelty(regions) == [0.0] * len(regions)


def test_doubt_disagreement_and_novelty_add_up_and_the_first_reason_is_named() -> None:
    regions = [region(i, nucleus(uncertainty=0.1), focus=1.0 + i / 100) for i in range(6)]
    regions.append(region(9, nucleus(uncertainty=0.9), nucleus(2, regressed=8.0, uncertainty=0.0), focus=9.0))
    first, second, *rest = worth(regions, 10)
    assert (first.region.region_id, first.nucleus.id, first.why) == (9, 1, "a count is doubtful")
    assert first.worth == pytest.approx(0.5 * 0.9 + 0.2)
    assert (second.nucleus.id, second.why) == (2, "ways of counting disagree")
    assert all(w.worth < second.worth for w in rest)


def test_a_nucleus_without_a_stated_chance_is_doubted_by_its_mark() -> None:
    marked, plain = worth([region(1, nucleus(1), nucleus(2, uncertain=True))], 2)
    assert (marked.nucleus.id, marked.doubt, plain.doubt) == (2, 0.5, 0.1)


def test_no_region_fills_the_list_alone_and_what_is_not_scored_is_not_in_it() -> None:
    full = region(1, *(nucleus(i, uncertainty=0.9) for i in range(20)))
    other = region(2, nucleus(uncertainty=0.2), nucleus(2, scored=False, reason=Exclusion.EDGE, uncertainty=1.0))
    listed = worth([full, other], 10, most_a_region=3)
    assert [w.region.region_id for w in listed] == [1, 1, 1, 2]
    with pytest.raises(ValueError, match="at least one"):
        worth([full], 0)


def test_the_list_is_a_table_that_no_spreadsheet_takes_for_formulas() -> None:
    rows = list(csv.reader(io.StringIO(annotation_csv(worth([region(1, nucleus(), accession="=1+1")], 1))[1:])))
    assert rows[0] == list(COLUMNS)
    assert rows[1][0] == "'=1+1"


def test_nuclei_that_a_person_corrected_need_no_look_and_only_a_lab_manager_sees_the_list(lab: TestLaboratory) -> None:
    case = lab.analysed(POSITIVE, "S26-WORTH")
    region_id = lab.log.regions(case.id)[0].id
    counts = {"her2": 9, "cep17": 2}
    workflow.correct(lab.log, region_id, 1, CorrectionKind.COUNTS, counts, lab.person("berg"))
    (found,) = look(lab.log, lab.person("lind"))
    assert (found.accession, found.region_id) == ("S26-WORTH", region_id)
    assert sorted(n.id for n in found.nuclei) == list(range(2, 21))
    with pytest.raises(PermissionDeniedError):
        look(lab.log, lab.person("berg"))
