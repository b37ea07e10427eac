"""The tables of docs/security.md: written by runs, a line a test."""

from __future__ import annotations

from pathlib import Path

import pytest

from tests.outcomes import Outcome, latest, main, outcomes_in, table
from tests.proof import PARTS

SECURITY = Path(__file__).resolve().parents[1] / "docs" / "security.md"
RUN = """<testsuites><testsuite><testcase time="2.5"><properties><property name="part" value="Attacks"/>
<property name="what" value="{what}"/><property name="tries" value="1200"/>
<property name="outcome" value="refused | each time"/></properties></testcase></testsuite></testsuites>"""


def test_the_lines_of_the_document_are_read_as_they_were_written() -> None:
    document = SECURITY.read_text(encoding="utf-8")
    found = outcomes_in(document)
    assert len(found) > 60
    for part in PARTS:
        assert table(o for o in found if o.part == part) in document
    assert all(o.passed for o in found)


def test_a_run_of_some_tests_replaces_their_lines_and_keeps_the_others(tmp_path: Path) -> None:
    document, run = tmp_path / "security.md", tmp_path / "run.xml"
    document.write_text(SECURITY.read_text(encoding="utf-8"), encoding="utf-8")
    before = outcomes_in(document.read_text(encoding="utf-8"))
    again = next(o.what for o in before if o.part == "Attacks" and not set(o.what) & set("<>&`'"))
    run.write_text(RUN.format(what=again), encoding="utf-8")
    assert main(["--keep", str(run), str(document)]) == 0
    after = outcomes_in(document.read_text(encoding="utf-8"))
    new = Outcome("Attacks", again, 1200, "refused | each time", 2.5, True)
    assert after == latest([before, [new]])
    assert f"{len(before) - 1} lines are of earlier runs" in document.read_text(encoding="utf-8")


def test_a_run_that_is_not_complete_is_not_written(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    document, run = tmp_path / "security.md", tmp_path / "run.xml"
    document.write_text(SECURITY.read_text(encoding="utf-8"), encoding="utf-8")
    run.write_text(RUN.format(what="something"), encoding="utf-8")
    assert main([str(run), str(document)]) == 1
    assert "nothing of the part Faults" in capsys.readouterr().err
    assert document.read_text(encoding="utf-8") == SECURITY.read_text(encoding="utf-8")
