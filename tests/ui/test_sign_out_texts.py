"""What the sign-out page draws: the steps, the text of the report and the differences from the AI, each escaped."""

from __future__ import annotations

import re
from dataclasses import replace
from typing import Any

import pytest

from her2core.records import Exclusion, Nucleus, Tally
from her2core.reporting.content import ReportKind
from her2core.scoring import PopulationInputs, ReviewedNucleus, WorkUpInputs, assess_population
from her2core.scoring.progress import Step, StepKind, StepState
from her2core.ui.ai_differences import nuclei_html, totals_html
from her2core.ui.report_text import report_html, report_rows
from her2core.ui.result import result_html
from her2core.ui.words import kept_together
from her2core.ui.work_up import step_html
from her2core.workflow import NucleusDifference, TotalsDifference, in_plain_words
from tests.reporting import samples

HOSTILE = "<script>alert('x')</script>"


def nucleus(her2: int | None = 4, cep17: int | None = 2, **more: object) -> Nucleus:
    made = Nucleus(7, (0.0, 0.0, 40.0, 40.0), 0.9, 4, 2, 4.2, 2.1, False, True)
    return replace(made, her2=her2, cep17=cep17, **more)  # type: ignore[arg-type]


# --- steps ------------------------------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("state", "css", "spoken"),
    [
        (StepState.DONE, "done", "done"),
        (StepState.NOW, "now", "now"),
        (StepState.AHEAD, "ahead", "ahead"),
        (StepState.NOT_NEEDED, "none", "not needed"),
        (StepState.FAILED, "failed", "not met"),
    ],
)
def test_each_state_has_its_mark_and_is_spoken(state: StepState, css: str, spoken: str) -> None:
    html = step_html(Step(StepKind.IHC, state, "2+", "Enter it.", "A pathologist", "A rule."))
    assert f'class="h2c-step {css}"' in html
    assert f'aria-label="{spoken}"' in html
    told = state in (StepState.NOW, StepState.FAILED)
    assert ("Enter it." in html, "A rule." in html) == (told, told)


def test_a_step_shows_text_of_people_as_text() -> None:
    assert HOSTILE not in step_html(Step(StepKind.RESULT, StepState.FAILED, HOSTILE, HOSTILE, HOSTILE, HOSTILE))


# --- the result card --------------------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("more", "n", "title", "meaning"),
    [
        ({}, 47, "Group 5<", "fewer than 4.0 HER2 signals per cell"),
        ({}, 14, "Group 5 so far<", "fewer than 4.0 HER2 signals per cell"),
        ({"indeterminate_reasons": ("Autofluorescence.",)}, 47, "Group 5<", "by the counts alone; the result is indet"),
    ],
)
def test_the_group_of_an_indeterminate_result_is_named_as_that_of_the_counts(
    more: dict[str, Any], n: int, title: str, meaning: str
) -> None:
    population = PopulationInputs("A", Tally(n, 2 * n, 2 * n), **more)
    html = result_html(assess_population(population, WorkUpInputs(controls_ok=True)), None, several=False)
    assert title in html
    assert meaning in html


# --- the report -------------------------------------------------------------------------------------------------------


def test_the_text_has_all_that_the_report_says() -> None:
    content = samples.group_report(4)
    said = " ".join(line for _, lines in report_rows(content) for line in lines)
    assert content.headline in said
    details = content.details
    for text in (details.patient_name, details.patient_id, details.accession, content.guideline, *content.limitations):
        assert text in said
    for population in content.populations:
        assert f"{population.tally.n} nuclei, {population.tally.her2} HER2, {population.tally.cep17} CEP17" in said
        assert (population.comment or "") in said
        assert all(step in said for step in population.path)
    for signatory in content.signatories:
        assert signatory.meaning in said


def test_what_the_report_leaves_out_has_no_line() -> None:
    content = replace(samples.group_report(1), notes=(), interpretation="", alerts=(), clusters="", cross_check="")
    names = [name for name, _ in report_rows(content)]
    assert not {"Notes", "Points to note", "Clusters", "All signals"} & set(names)
    assert all(lines for _, lines in report_rows(content))


def test_a_preliminary_report_says_so() -> None:
    content = replace(samples.group_report(1), kind=ReportKind.PRELIMINARY, signatories=())
    assert "preliminary: something is still open" in dict(report_rows(content))["Report"][0]


def test_text_of_people_is_escaped_in_the_report() -> None:
    content = samples.group_report(1)
    html = report_html(replace(content, details=replace(content.details, patient_name=HOSTILE)))
    assert HOSTILE not in html
    assert "&lt;script&gt;" in html


# --- what differs from the AI -----------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("ai", "now", "words"),
    [
        (nucleus(), nucleus(), ()),
        (nucleus(), nucleus(her2=9), ("HER2 4 → 9",)),
        (nucleus(), nucleus(cep17=3), ("CEP17 2 → 3",)),
        (nucleus(), nucleus(clustered=True), ("marked as cluster",)),
        (nucleus(clustered=True), nucleus(), ("no cluster",)),
        (nucleus(), nucleus(box=(1.0, 0.0, 40.0, 40.0)), ("box moved",)),
        (nucleus(), nucleus(scored=False, reason=Exclusion.OUT_OF_FOCUS), ("not scored: out of focus",)),
        (
            nucleus(None, None, scored=False, reason=Exclusion.UNCOUNTABLE),
            nucleus(3, 2),
            ("HER2 – → 3", "CEP17 – → 2", "scored (AI: could not be counted)"),
        ),
        (None, nucleus(), ("added by hand",)),
        (None, nucleus(scored=False, reason=Exclusion.DAMAGED), ("added by hand", f"not scored: {Exclusion.DAMAGED}")),
    ],
)
def test_differences_in_plain_words(ai: Nucleus | None, now: Nucleus, words: tuple[str, ...]) -> None:
    assert in_plain_words(ReviewedNucleus(now, ai)) == words


def test_nuclei_that_differ_are_listed_with_both_counts_and_who() -> None:
    d = NucleusDifference("A2", "A", nucleus(), nucleus(9), ("HER2 4 → 9",), (HOSTILE,), (5,))
    added = NucleusDifference(
        "A2", "A", None, nucleus(3, 0, scored=False, reason=Exclusion.NO_CEP17), ("added",), (), ()
    )
    html = nuclei_html([d, added], {5: "Miriam Berg"})
    assert "<td>A2 · 7</td><td>4 / 2</td><td>9 / 2</td>" in html
    assert "<td>–</td><td>(3 / 0)</td>" in html
    assert "Miriam Berg" in html
    assert HOSTILE not in html


def test_totals_mark_what_moved() -> None:
    line = TotalsDifference("A", Tally(20, 80, 40), 1, Tally(20, 79, 40), 5, 24, 1)
    html = totals_html([line])
    assert re.findall(r"<td class=moved>([^<]*)</td>", html) == ["79", "3.95", "1.97", "5"]
    assert "final: 1 of 24 nuclei differ" in html
    assert "Population" not in html
    assert "Population B" in totals_html([line, replace(line, population="B")])


@pytest.mark.parametrize(
    ("text", "expected"),
    [
        ("Group 4 over 99 %.", "Group 4 over 99\N{NO-BREAK SPACE}%."),
        ("85 % and 15 %", "85\N{NO-BREAK SPACE}% and 15\N{NO-BREAK SPACE}%"),
        ("ratio 2.0", "ratio 2.0"),
        ("in %", "in %"),
    ],
)
def test_a_number_and_its_per_cent_sign_stay_in_one_line(text: str, expected: str) -> None:
    assert kept_together(text) == expected
