"""Validation: cases pooled, measures, limits and verdicts, sample size."""

from __future__ import annotations

import math
from pathlib import Path

import pytest

from her2core.errors import SettingsError, TrainingError
from her2core.laboratory.agreement import bland_altman, kappa
from her2core.laboratory.validation import (
    Criterion,
    Limits,
    NucleusCounts,
    Sample,
    Verdict,
    advice,
    cases_needed,
    clustered_interval,
    criteria,
    group_shares,
    overall,
    parts,
    pooled,
    read_limits,
    validate,
)
from her2core.records import Tally
from her2core.training.measures import count_errors, group_agreement, wilson

AMPLIFIED, NEGATIVE = Tally(25, 200, 50), Tally(25, 50, 50)
NUCLEI = NucleusCounts(100, 100, 99, count_errors([2, 2], [2, 2]), count_errors([2, 2], [2, 2]))


def image(case: str, true: Tally, found: Tally, **conditions: float) -> tuple[str, Sample]:
    return case, Sample(f"{case}.jpg", case, 1, true, found, conditions)


def test_images_of_a_case_are_pooled_and_their_conditions_averaged() -> None:
    small = Tally(12, 24, 24)
    made = pooled([image("A", small, small, noise=1.0), image("B", small, small), image("A", small, small, noise=3.0)])
    assert [(s.name, s.images, s.true, dict(s.conditions)) for s in made] == [
        ("A", 2, Tally(24, 48, 48), {"noise": 2.0}),
        ("B", 1, small, {}),
    ]


def test_a_case_whose_truth_has_too_few_nuclei_is_left_out_and_named() -> None:
    v = validate([image("few", Tally(19, 38, 38), NEGATIVE), image("enough", NEGATIVE, NEGATIVE)], NUCLEI)
    assert v.left_out == ("few",)
    assert [s.name for s in v.cases] == ["enough"]


def test_without_any_case_of_enough_nuclei_nothing_can_be_judged() -> None:
    with pytest.raises(TrainingError, match="No case has 20"):
        validate([image("few", Tally(19, 38, 38), NEGATIVE)], NUCLEI)


def test_a_case_of_which_too_few_nuclei_were_found_has_no_call_and_counts_as_wrong() -> None:
    v = validate([image("A", AMPLIFIED, Tally(19, 190, 38)), image("B", NEGATIVE, NEGATIVE)], NUCLEI)
    assert v.agreement.undefined == 1
    assert v.agreement.accuracy == 0.5
    assert v.by_group[0].sensitivity == 0.0
    assert v.by_group[0].specificity == 1.0


@pytest.mark.parametrize(
    ("pairs", "number", "of_it", "called", "sensitivity", "specificity"),
    [
        ([(1, 1), (1, 5), (5, 5), (5, 1)], 1, 2, 2, 0.5, 0.5),
        ([(1, 1), (1, None), (2, 2)], 1, 2, 1, 0.5, 1.0),
        ([(5, 5)], 1, 0, 0, None, 1.0),
        ([(1, 1)], 1, 1, 1, 1.0, None),
    ],
)
def test_sensitivity_and_specificity_of_a_group(
    pairs: list[tuple[int, int | None]],
    number: int,
    of_it: int,
    called: int,
    sensitivity: float | None,
    specificity: float | None,
) -> None:
    shares = group_shares(pairs, number)
    found = (shares.of_it, shares.called, shares.sensitivity, shares.specificity)
    assert found == (of_it, called, sensitivity, specificity)


def test_images_of_one_patient_are_not_taken_for_independent() -> None:
    alone = clustered_interval([[1.0], [0.0]] * 20)
    together = clustered_interval([[1.0] * 4, [0.0] * 4] * 5)
    assert alone[1] - alone[0] < together[1] - together[0]
    assert clustered_interval([]) == (0.0, 1.0)
    assert clustered_interval([[1.0, 1.0]]) == (1.0, 1.0)


@pytest.mark.parametrize(
    ("value", "interval", "limit", "at_least", "verdict"),
    [
        (0.97, (0.96, 0.99), 0.95, True, Verdict.PROVEN),
        (0.97, (0.90, 0.99), 0.95, True, Verdict.MET),
        (0.95, (0.95, 0.99), 0.95, True, Verdict.PROVEN),
        (0.94, (0.90, 0.99), 0.95, True, Verdict.MISSED),
        (None, (0.0, 1.0), 0.95, True, Verdict.UNKNOWN),
        (0.9, None, 0.8, True, Verdict.MET),
        (-0.05, (-0.08, -0.02), 0.1, False, Verdict.PROVEN),
        (-0.05, (-0.12, 0.02), 0.1, False, Verdict.MET),
        (-0.2, (-0.3, -0.1), 0.1, False, Verdict.MISSED),
        (0.2, (0.1, 0.3), 0.1, False, Verdict.MISSED),
    ],
)
def test_a_measure_is_held_against_its_limit_with_its_interval(
    value: float | None, interval: tuple[float, float] | None, limit: float, at_least: bool, verdict: Verdict
) -> None:
    assert Criterion("x", "x", 10, value, interval, limit, at_least).verdict is verdict


@pytest.mark.parametrize(
    ("verdicts", "worst"),
    [
        ((Verdict.PROVEN, Verdict.MISSED, Verdict.UNKNOWN), Verdict.MISSED),
        ((Verdict.PROVEN, Verdict.UNKNOWN, Verdict.MET), Verdict.UNKNOWN),
        ((Verdict.PROVEN, Verdict.MET), Verdict.MET),
        ((Verdict.PROVEN,), Verdict.PROVEN),
    ],
)
def test_the_validation_is_as_good_as_its_worst_measure(verdicts: tuple[Verdict, ...], worst: Verdict) -> None:
    of = {
        Verdict.PROVEN: (1.0, (0.99, 1.0)), Verdict.MET: (0.96, (0.9, 1.0)),
        Verdict.MISSED: (0.5, (0.4, 0.6)), Verdict.UNKNOWN: (None, (0.0, 1.0)),
    }  # fmt: skip
    assert overall([Criterion("x", "x", 9, *of[v], 0.95, True) for v in verdicts]) is worst


@pytest.mark.parametrize(
    ("limit", "observed", "needed"),
    [(0.95, 1.0, 73), (0.9, 1.0, 35), (0.95, 0.95, None), (0.95, 0.9, None), (0.95, 0.950001, None)],
)
def test_how_many_cases_prove_a_limit(limit: float, observed: float, needed: int | None) -> None:
    assert cases_needed(limit, observed) == needed


@pytest.mark.parametrize(("limit", "observed"), [(0.95, 1.0), (0.9, 0.96), (0.8, 0.9), (0.99, 1.0)])
def test_the_number_needed_is_the_smallest_one(limit: float, observed: float) -> None:
    n = cases_needed(limit, observed)
    assert n is not None
    # With a share that n cases can have, Wilson's interval says the same.
    if observed == 1.0:
        assert wilson(n, n)[0] >= limit > wilson(n - 1, n - 1)[0]
    else:
        assert wilson(math.ceil(observed * n * 1.001), n)[0] >= limit - 0.01


@pytest.mark.parametrize(("limit", "observed"), [(1.0, 1.0), (0.0, 1.0), (0.95, 1.5)])
def test_limits_that_no_number_of_cases_proves_are_refused(limit: float, observed: float) -> None:
    with pytest.raises(ValueError, match="limit lies between"):
        cases_needed(limit, observed)


def test_a_whole_validation_by_hand() -> None:
    # 40 amplified and 40 negative cases; one amplified one is read as negative, counts are 5 % low otherwise.
    low = Tally(25, 190, 50)
    images = [image(f"P{i}", AMPLIFIED, low if i else NEGATIVE) for i in range(40)]
    images += [image(f"N{i}", NEGATIVE, NEGATIVE) for i in range(40)]
    v = validate(images, NUCLEI)
    assert v.agreement.accuracy == pytest.approx(79 / 80)
    assert v.agreement.matrix[0] == (39, 0, 0, 0, 1)
    assert v.kappa.value == pytest.approx(0.975, abs=0.001)
    assert [s.name for s in v.discordant] == ["P0"]
    assert v.her2.bias == pytest.approx((39 * -0.4 - 6) / 80)
    assert v.her2_share.bias == pytest.approx((39 * -0.05 - 0.75) / 80)
    assert {c.name: c.verdict for c in v.criteria} == {
        "cases": Verdict.PROVEN,
        "group_concordance": Verdict.MET,
        "group1_sensitivity": Verdict.MET,
        "group1_specificity": Verdict.MET,
        "kappa": Verdict.PROVEN,
        "her2_bias": Verdict.PROVEN,
        "ratio_bias": Verdict.PROVEN,
        "nuclei_found": Verdict.PROVEN,
    }
    assert overall(v.criteria) is Verdict.MET
    said = advice(v.criteria)
    assert any("Other groups not called Group 1: 73 without one error" in text for text in said)


def test_a_group_that_no_case_has_cannot_be_judged_and_advice_says_how_many_are_needed() -> None:
    v = validate([image(f"N{i}", NEGATIVE, NEGATIVE) for i in range(50)], NUCLEI)
    assert overall(v.criteria) is Verdict.UNKNOWN
    assert any("Group 1 called so: there is no such case" in text for text in advice(v.criteria))


def test_too_few_cases_are_told_with_the_number_that_is_missing() -> None:
    agreement = group_agreement([(1, 1)] * 30)
    made = criteria(
        agreement, kappa([(1, 1)] * 30), group_shares([(1, 1)] * 30, 1), bland_altman([1.0] * 30, [1.0] * 30),
        bland_altman([1.0] * 30, [1.0] * 30), NUCLEI, Limits(cases=40),
    )  # fmt: skip
    assert "Add 10 cases: 30 are fewer than the 40 asked for." in advice(made)


def test_conditions_are_cut_in_thirds_and_those_that_do_not_vary_are_left_out() -> None:
    images = [
        image(f"C{i}", NEGATIVE, AMPLIFIED if i >= 6 else NEGATIVE, noise=float(i), blur=1.0)[1] for i in range(9)
    ]
    found = parts(images)
    assert {p.condition for p in found} == {"noise"}
    assert [(p.n, p.right) for p in found] == [(3, 3), (3, 3), (3, 0)]
    assert [p.her2_off for p in found] == [0.0, 0.0, 3.0]
    assert parts([]) == ()


@pytest.mark.parametrize(
    ("text", "message"),
    [
        ("group_concordance = 95", "must lie above 0"),
        ("group_concordance = 0", "must lie above 0"),
        ("group_concordance = nan", "must lie above 0"),
        ("cases = 0", "whole number"),
        ("cases = 2.5", "whole number"),
        ("kappa = true", "must be a number"),
        ("kappa = 'high'", "must be a number"),
        ("concordance = 0.95", "unknown limit 'concordance'. Known are: group_concordance"),
        ("kappa = ", "not valid TOML"),
    ],
)
def test_limits_that_cannot_be_are_refused_in_words(tmp_path: Path, text: str, message: str) -> None:
    path = tmp_path / "acceptance.toml"
    path.write_text(text, encoding="utf-8")
    with pytest.raises(SettingsError, match=message):
        read_limits(path)


def test_limits_that_the_file_does_not_name_stay_at_the_defaults(tmp_path: Path) -> None:
    path = tmp_path / "acceptance.toml"
    path.write_text("group_concordance = 0.9\ncases = 60\n", encoding="utf-8")
    assert read_limits(path) == Limits(group_concordance=0.9, cases=60)


def test_a_file_of_limits_that_is_no_text_is_refused(tmp_path: Path) -> None:
    path = tmp_path / "acceptance.toml"
    path.write_bytes(b"\xff\xfe\x00")
    with pytest.raises(SettingsError, match="UTF-8"):
        read_limits(path)
