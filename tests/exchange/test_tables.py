"""CSV of cases and nuclei."""

from __future__ import annotations

import csv
import io
from dataclasses import replace
from datetime import UTC, date, datetime

import pytest

from her2core.exchange.tables import (
    CASE_COLUMNS,
    NUCLEUS_COLUMNS,
    CaseEntry,
    RegionEntry,
    Signed,
    cases_csv,
    nuclei_csv,
)
from her2core.records import (
    IHC,
    Case,
    CaseDetails,
    CaseState,
    Exclusion,
    ModelUsed,
    Nucleus,
    Overlap,
    Population,
    Region,
    RegionFlags,
    SignalIntensity,
    Tally,
)
from her2core.scoring import (
    STATE_WORDS,
    Adjudication,
    CaseAssessment,
    Outcome,
    PopulationInputs,
    Recount,
    ReviewedNucleus,
    WorkUpInputs,
    assess_case,
)

AT = datetime(2026, 11, 24, 9, 30, tzinfo=UTC)
DETAILS = CaseDetails("S26-1", "Example, Ada", "P-77", date_of_birth=date(1960, 2, 3), ihc=IHC.TWO_PLUS)
CASE = Case(1, DETAILS, CaseState.SIGNED, 7, 1, AT, AT, (Population("A", 100.0),))


def assessed(*tallies: Tally) -> CaseAssessment:
    share = 100.0 / len(tallies)
    populations = [PopulationInputs("AB"[i], tally, share_percent=share) for i, tally in enumerate(tallies)]
    return assess_case(populations, WorkUpInputs(controls_ok=True, ihc=IHC.TWO_PLUS, ihc_same_sample=True))


def read(text: str) -> list[dict[str, str]]:
    return list(csv.DictReader(io.StringIO(text, newline="")))


def nucleus(number: int, her2: int, reason: Exclusion | None = None) -> Nucleus:
    return Nucleus(number, (1.0, 2.0, 33.333, 44.0), 0.9, her2, 2, 4.0, 2.0, False, reason is None, reason)


def test_case_has_a_line_a_population_with_exact_numbers() -> None:
    signed = Signed("final", 1, "ab" * 32, "Dr Berg", AT)
    entry = CaseEntry(CASE, assessed(Tally(20, 160, 40), Tally(30, 60, 60)), True, signed)
    first, second = read(cases_csv([entry]))
    assert (first["population"], first["nuclei"], first["her2"], first["cep17"]) == ("A", "20", "160", "40")
    assert (first["ratio"], first["her2_per_nucleus"], first["group"]) == ("4.00", "8.00", "1")
    assert (first["counted_group"], first["recount_group"]) == ("1", "")
    assert (second["population"], second["group"], second["population_outcome"]) == ("B", "5", "negative")
    assert first["accession"] == second["accession"] == "S26-1"
    assert first["outcome"] == second["outcome"] == "positive"
    assert first["heterogeneous"] == second["heterogeneous"] == "yes"
    assert first["positive_populations"] == second["positive_populations"] == "A 50 %"
    assert (first["ihc"], first["date_of_birth"], first["state"]) == ("2+", "1960-02-03", "Signed")
    assert (first["report_sha256"], first["signed_at"]) == ("ab" * 32, "2026-11-24T09:30:00+00:00")


def test_positive_populations_are_those_signed_as_positive_whatever_their_group() -> None:
    populations = [
        PopulationInputs("A", Tally(20, 40, 40), share_percent=70.0, ihc=IHC.ZERO),
        PopulationInputs("B", Tally(20, 120, 80), share_percent=30.0, ihc=IHC.THREE_PLUS),
    ]
    found = assess_case(populations, WorkUpInputs(controls_ok=True, ihc_same_sample=True))
    assert [(p.group, p.outcome.value) for p in found.populations] == [(5, "negative"), (3, "positive")]
    signed = Signed("final", 1, "ab" * 32, "Dr Berg", AT)
    entry = CaseEntry(CASE, found, True, signed)
    assert [row["positive_populations"] for row in read(cases_csv([entry]))] == ["B 30 %", "B 30 %"]
    other_rules = replace(signed, populations={"A": (5, "negative"), "B": (3, "indeterminate")})
    assert {row["positive_populations"] for row in read(cases_csv([replace(entry, report=other_rules)]))} == {""}
    unsigned = replace(entry, case=replace(CASE, state=CaseState.READY), report=None)
    assert {row["positive_populations"] for row in read(cases_csv([unsigned]))} == {""}


def test_the_models_of_a_case_are_named_with_their_whole_sha256() -> None:
    models = (ModelUsed("detector", "detector", "2", "ab" * 32), ModelUsed("counter", "counter", "1", "0123456789ab"))
    (row,) = read(cases_csv([CaseEntry(CASE, assessed(Tally(20, 160, 40)), True, None, models)]))
    assert row["models"] == (
        f"detector 2, SHA-256 {'ab' * 32}; counter 1, SHA-256 0123456789ab… (first 12 digits recorded)"
    )


def test_shown_numbers_are_cut_off_not_rounded() -> None:
    (row,) = read(cases_csv([CaseEntry(CASE, assessed(Tally(100, 399, 200)), True, None)]))
    assert (row["ratio"], row["her2_per_nucleus"], row["group"]) == ("1.99", "3.99", "5")


@pytest.mark.parametrize(
    ("state", "reviewed", "amending", "status", "group", "outcome"),
    [
        (CaseState.ANALYSED, False, False, "counts not confirmed", "", ""),
        (CaseState.REVIEWED, True, False, "provisional, not signed", "1", ""),
        (CaseState.READY, True, False, "provisional, not signed", "1", ""),
        (CaseState.SIGNED, True, False, "signed", "1", "positive"),
        (CaseState.AMENDED, True, False, "signed", "1", "positive"),
        (CaseState.READY, True, True, "provisional, amendment open", "1", ""),
        (CaseState.ANALYSED, False, True, "provisional, amendment open", "", ""),
    ],
)
def test_group_needs_confirmed_counts_and_outcome_a_signature(
    state: CaseState, reviewed: bool, amending: bool, status: str, group: str, outcome: str
) -> None:
    entry = CaseEntry(replace(CASE, state=state), assessed(Tally(20, 160, 40)), reviewed, None, amending=amending)
    (row,) = read(cases_csv([entry]))
    assert (row["result_status"], row["group"]) == (status, group)
    assert row["outcome"] == row["population_outcome"] == outcome
    assert (row["nuclei"], row["her2"], row["heterogeneous"]) == ("20", "160", "no" if reviewed else "")


@pytest.mark.parametrize("state", CaseState)
def test_a_state_is_named_as_on_the_screen(state: CaseState) -> None:
    (row,) = read(cases_csv([CaseEntry(replace(CASE, state=state), None, False, None)]))
    assert row["state"] == STATE_WORDS[state]


def test_a_signed_result_is_the_one_that_was_signed_whatever_the_rules_say_now() -> None:
    signed = Signed("final", 1, "ab" * 32, "Dr Berg", AT, "negative", {"A": (5, "negative")})
    (row,) = read(cases_csv([CaseEntry(CASE, assessed(Tally(20, 160, 40)), True, signed)]))
    assert (row["outcome"], row["group"], row["population_outcome"]) == ("negative", "5", "negative")


@pytest.mark.parametrize(
    ("adjudication", "state", "groups"),
    [
        (Adjudication(9, Outcome.POSITIVE, 1, "the better area"), CaseState.SIGNED, ("1", "3", "1")),
        (Adjudication(9, Outcome.POSITIVE, None, "the better area"), CaseState.SIGNED, ("", "3", "1")),
        (None, CaseState.PENDING_ADJUDICATION, ("", "3", "1")),
    ],
)
def test_the_group_is_the_one_held_right_beside_the_two_that_were_counted(
    adjudication: Adjudication | None, state: CaseState, groups: tuple[str, str, str]
) -> None:
    recount = Recount(9, True, Tally(20, 160, 40))
    two_counts = PopulationInputs("A", Tally(20, 130, 80), recount=recount, adjudication=adjudication)
    of_case = WorkUpInputs(True, IHC.TWO_PLUS, True, first_observer_ids=frozenset({7}))
    found = assess_case([two_counts], of_case)
    entry = CaseEntry(replace(CASE, state=state), found, True, None)
    (row,) = read(cases_csv([entry]))
    assert (row["group"], row["counted_group"], row["recount_group"]) == groups
    (row,) = read(cases_csv([replace(entry, case=replace(CASE, state=CaseState.ANALYSED), reviewed=False)]))
    assert row["group"] == row["counted_group"] == row["recount_group"] == ""


def test_case_without_analysis_has_one_line_without_numbers() -> None:
    (row,) = read(cases_csv([CaseEntry(CASE, None, False, None)]))
    assert (row["accession"], row["reviewed"], row["nuclei"], row["report"]) == ("S26-1", "no", "", "")
    draft = replace(CASE, state=CaseState.DRAFT)
    (row,) = read(cases_csv([CaseEntry(draft, None, False, None)]))
    assert (row["result_status"], row["outcome"]) == ("not analysed", "")


def test_columns_are_those_that_are_promised_even_without_cases() -> None:
    assert tuple(next(csv.reader([cases_csv([])]))) == CASE_COLUMNS
    assert tuple(next(csv.reader([nuclei_csv([])]))) == NUCLEUS_COLUMNS


@pytest.mark.parametrize(
    "text", ["=cmd|'/C calc'!A0", "+1+1", "-2+3", "@SUM(A1)", "\t=1", "\r=1", "  =1", '=HYPERLINK("http://x")', "\n=1"]
)
def test_text_that_a_spreadsheet_would_run_is_made_harmless(text: str) -> None:
    case = replace(CASE, details=replace(DETAILS, patient_name=text, probe_lot=text))
    (row,) = read(cases_csv([CaseEntry(case, None, False, None)]))
    assert row["patient_name"] == row["probe_lot"] == f"'{text}"


@pytest.mark.parametrize("text", ["Example, Ada", 'says "x"', "two\nlines", "Łukasz 乳", "a=b", "S26-1"])
def test_any_other_text_survives_the_round_trip(text: str) -> None:
    case = replace(CASE, details=replace(DETAILS, patient_name=text))
    assert read(cases_csv([CaseEntry(case, None, False, None)]))[0]["patient_name"] == text


def test_nuclei_show_what_the_models_counted_beside_what_counts() -> None:
    flags = RegionFlags(False, "A", False, SignalIntensity.GOOD, Overlap.LITTLE, True)
    region = Region(4, 1, "f.png", "0" * 64, 640, 480, None, flags)
    ai, left_out = nucleus(1, 4), nucleus(2, 0, Exclusion.NO_HER2)
    added = ReviewedNucleus(nucleus(3, 5), None, ())
    entry = RegionEntry(
        "S26-1", "A1", region, [ReviewedNucleus(replace(ai, her2=6), ai), ReviewedNucleus(left_out, left_out), added]
    )
    first, second, third = read(nuclei_csv([entry]))
    assert (first["ai_her2"], first["her2"], first["scored"], first["x1"]) == ("4", "6", "yes", "33.3")
    assert first["region_used"] == "yes"
    assert (second["scored"], second["reason"], second["edited"]) == ("no", "no HER2 signal", "no")
    assert (third["ai_her2"], third["her2"], third["added"], third["population"]) == ("", "5", "yes", "A")


@pytest.mark.parametrize(
    ("flags", "reason"),
    [
        (RegionFlags(False, "A", False, SignalIntensity.GOOD, Overlap.LITTLE, False, "weak"), "region not used: weak"),
        (None, "region not used: not judged by a pathologist"),
    ],
)
def test_no_nucleus_of_a_region_that_is_not_used_is_scored(flags: RegionFlags | None, reason: str) -> None:
    region = Region(4, 1, "f.png", "0" * 64, 640, 480, None, flags)
    counted, left_out = nucleus(1, 4), nucleus(2, 0, Exclusion.NO_HER2)
    entry = RegionEntry("S26-1", "A1", region, [ReviewedNucleus(n, n, ()) for n in (counted, left_out)])
    first, second = read(nuclei_csv([entry]))
    assert (first["region_used"], first["scored"], first["reason"], first["her2"]) == ("no", "no", reason, "4")
    assert (second["scored"], second["reason"]) == ("no", "no HER2 signal")
