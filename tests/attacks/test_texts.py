"""Hostile text in every field and file name: kept and shown as text, never a path, a query, a script, a formula."""

from __future__ import annotations

import csv
import io
import re
import sqlite3
from contextlib import closing
from dataclasses import fields, replace
from pathlib import Path
from typing import Any

import pytest

from her2core import workflow
from her2core.caselog.lookup import Query
from her2core.errors import Her2CoreError
from her2core.exchange.tables import CaseEntry, cases_csv
from her2core.imaging import DEFAULT_LIMITS
from her2core.records import CaseDetails
from her2core.settings import load_settings
from tests.caselog.lab import Lab, details, sha
from tests.pages.app import signed_in, words
from tests.pages.conftest import navigation_ran_before, no_waiting_for_the_disk
from tests.pages.lab import POSITIVE, TestLaboratory, draw_region
from tests.proof import Proof, Record

__all__ = ["SCRIPTS", "navigation_ran_before", "no_waiting_for_the_disk", "with_everywhere"]

PATHS = [
    "../../../etc/passwd",
    "..\\..\\boot.ini",
    "/etc/shadow",
    "C:\\Windows\\x",
    "a/../../b.png",
    "....//x",
    "file:///x",
]
SCRIPTS = [
    "<script>alert(1)</script>",
    "<img src=x onerror=alert(1)>",
    '"><svg onload=alert(1)>',
    "</div><iframe src=javascript:alert(1)>",
    "[x](javascript:alert(1))",
    "${{7*7}} {{7*7}} :material/home: $x^2$",
]
QUERIES = ["'; DROP TABLE cases; --", "' OR '1'='1", '" OR 1=1 --', "%' UNION SELECT * FROM users --", "%_\\", "a\\'b"]
FORMULAS = ["=1+1", "+1", "-1+cmd|' /C calc'!A0", "@SUM(A1)", "=1", '=HYPERLINK("http://x","y")', "x;=1+1", "＝1+1"]
TEXT_FIELDS = [f.name for f in fields(CaseDetails) if f.type in ("str", "str | None")]


def with_everywhere(text: str, number: int) -> CaseDetails:
    """Details with the text in each field that takes text; fields with a fixed choice of words stay empty."""
    hostile: dict[str, Any] = {name: text for name in TEXT_FIELDS if name not in ("sex", "laterality")}
    return replace(details(f"{text} {number}"), **{**hostile, "accession": f"{text} {number}"})


def test_no_text_or_file_name_becomes_a_path_or_a_query(record_property: Record, lab: Lab) -> None:
    proof = Proof(
        record_property, "Attacks", "Path traversal, script and SQL in every text field and file name, stored"
    )
    before = set(lab.log.data_dir.parent.rglob("*"))
    for number, text in enumerate([*PATHS, *SCRIPTS, *QUERIES, *FORMULAS]):
        given = with_everywhere(text, number)
        case = lab.log.create_case(given, lab.anna)
        assert lab.log.case(case.id).details == given  # kept as it was typed
        assert lab.log.case_by_accession(given.accession).id == case.id
        assert case.id in [found.id for found in lab.log.look_up(Query(text))]
        image = text.encode() * 3
        region = lab.log.add_region(case.id, image, text, 640, 480, None, sha(image), lab.anna)
        assert not set("/\\") & set(region.filename)
        assert lab.log.image_bytes(region) == image
        proof.tries += len(TEXT_FIELDS) + 1
    assert len(lab.log.look_up(Query("' OR '1'='1"))) == 1  # itself, not all
    assert lab.log.check() == []
    new = set(lab.log.data_dir.parent.rglob("*")) - before
    inside = [path for path in new if path.parent.name == "images" and len(path.name) == 64]
    assert {path for path in new if path.name != "images" and not path.name.startswith("caselog.")} == set(inside)
    with closing(sqlite3.connect(lab.log.path)) as conn:
        assert conn.execute("SELECT count(*) FROM cases").fetchone()[0] == len([*PATHS, *SCRIPTS, *QUERIES, *FORMULAS])
    proof.holds("kept and found as typed; files are named by their SHA-256 inside the data folder; no table suffered")


def test_names_at_sign_in_are_no_queries(record_property: Record, lab: Lab) -> None:
    proof = Proof(record_property, "Attacks", "SQL metacharacters as user name, search and id")
    for text in (*QUERIES, "anna'--", "anna\0", "anna' UNION SELECT 1--"):
        assert lab.log.user_by_name(text) is None
        assert lab.log.look_up(Query(text)) == []
        with pytest.raises(Her2CoreError):
            lab.log.case_by_accession(text)
        assert lab.log.report_by_sha256(text) is None
        proof.tries += 4
    proof.holds("nobody and nothing is found by them")


def test_no_cell_of_a_csv_file_is_a_formula(record_property: Record, lab: Lab) -> None:
    proof = Proof(
        record_property, "Attacks", "Formulas in every text of the CSV exports, read with comma, semicolon, tab"
    )
    for number, text in enumerate(FORMULAS):
        case = lab.log.create_case(with_everywhere(text, number), lab.anna)
        table = cases_csv([CaseEntry(case, None, False, None)])
        for delimiter in ",;\t":
            for row in csv.reader(io.StringIO(table), delimiter=delimiter):
                for cell in row:
                    assert not cell.lstrip(" ").startswith(("=", "+", "-", "@", "\t", "\r", "\n")), (delimiter, cell)
                    proof.tries += 1
    proof.holds("no cell begins with a sign that a spreadsheet would run")


@pytest.mark.long
@pytest.mark.timeout(1800)
def test_pages_and_report_show_hostile_text_as_text(
    record_property: Record, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    proof = Proof(
        record_property, "Attacks", "Script in every text field and file name, shown on pages and in the report"
    )
    monkeypatch.setenv("HER2CORE_DATA", str(tmp_path / "data"))
    lab = TestLaboratory.make(tmp_path / "data")
    for number, text in enumerate(SCRIPTS):
        case = lab.log.create_case(with_everywhere(text, number), lab.person("berg"))
        image = draw_region(POSITIVE, 100 + number)
        region, _ = workflow.add_region(lab.log, case.id, image, f"{text}.png", lab.person("berg"), DEFAULT_LIMITS)
        lab.analyse(region)
    for page in ("pages/worklist.py", "pages/case_log.py"):
        shown = words(signed_in("berg", page))
        for tag in ("<script>alert", "<img src=x", "<svg onload", "<iframe src", "](javascript:"):
            # Behind a backslash Markdown shows it as the text that it is.
            assert re.search(rf"(?<!\\){re.escape(tag)}", shown) is None, (page, tag)
        proof.tries += len(SCRIPTS)
    laboratory = workflow.laboratory_of(load_settings())
    for case_id in range(1, len(SCRIPTS) + 1):
        pdf = workflow.preview(lab.log, case_id, laboratory, lab.person("berg"))
        assert b"/JavaScript" not in pdf
        assert b"/JS" not in pdf
        proof.tries += 1
    lab.log.close()
    proof.holds("every sign is escaped; the PDF holds no script")
