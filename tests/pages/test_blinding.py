"""Nothing of the first count reaches a person who has a blinded recount to make, whichever page is looked at.

Two laboratories differ only in what was counted. What is sent to the browser of the second observer is the same for
both, to the last character; times aside.
"""

from __future__ import annotations

import re
import shutil
from pathlib import Path

import pytest
from streamlit.testing.v1 import AppTest

from her2core import workflow
from her2core.caselog import CaseLog
from her2core.caselog.lookup import Query
from her2core.records import Case, CaseState
from her2core.scoring import Outcome
from her2core.ui.case_log import exported
from her2core.ui.services import services
from tests.pages.app import ROOT, SLOW, as_user
from tests.pages.lab import TestLaboratory
from tests.pages.test_second_read import sent, with_first_counts

# HER2 and CEP17 of all nuclei, and HER2 of one that was corrected: Group 3 and Group 4.
COUNTS = ((137, 91, 143), (5, 4, 8))
_PARTS = ("Result and reports", "Details", "Regions", "History")
VIEWS = (
    *((f"{page}.py", None) for page in ("worklist", "intake", "review", "sign_out", "second_read", "case_log")),
    *(("case_log.py", part) for part in _PARTS),
)
_TIMES = re.compile(r"\d{1,2}:\d\d|just now|\d+ (minute|hour)s?|seconds?: \d+|[0-9a-f]{32,}")

Two = tuple[tuple[TestLaboratory, Case], tuple[TestLaboratory, Case]]


@pytest.fixture
def two(template: Path, tmp_path: Path) -> Two:
    """The same case in two laboratories, waiting for a recount of Group 3 here and of Group 4 there."""
    made = []
    for name, counts in zip(("one", "other"), COUNTS, strict=True):
        shutil.copytree(template, tmp_path / name)
        lab = TestLaboratory.reopen(tmp_path / name)
        made.append((lab, with_first_counts(lab, *counts)))
    return made[0], made[1]


def seen_by(lab: TestLaboratory, case: Case, name: str, page: str, part: str | None) -> str:
    """All that a page sends to the browser of somebody who has this case open."""
    at = AppTest.from_file(str(ROOT / "pages" / page), default_timeout=SLOW)
    at.session_state["her2core_case_id"] = case.id
    if part is not None:
        at.session_state["case_log_case"] = case.id
        at.session_state["case_log_part"] = part
    as_user(at, lab.person(name)).run()
    assert not at.exception
    return _TIMES.sub("…", sent(at))


@pytest.mark.parametrize(("page", "part"), VIEWS)
def test_a_page_tells_the_second_observer_nothing_of_the_first_count(
    two: Two, monkeypatch: pytest.MonkeyPatch, page: str, part: str | None
) -> None:
    pages = []
    for lab, case in two:
        assert case.state is CaseState.PENDING_RECOUNT
        monkeypatch.setenv("HER2CORE_DATA", str(lab.data_dir))
        pages.append(seen_by(lab, case, "okafor", page, part))
        assert not workflow.saw_counts(lab.log, case.id, lab.person("okafor"))
        assert workflow.may_recount(lab.log, case.id, lab.person("okafor"))
        lab.log.close()
    assert len(pages[0]) > 100
    assert pages[0] == pages[1]


@pytest.mark.parametrize(("page", "part"), [("sign_out.py", None), ("case_log.py", "Result and reports")])
def test_the_same_comparison_finds_the_counts_where_they_are_shown(
    two: Two, monkeypatch: pytest.MonkeyPatch, page: str, part: str | None
) -> None:
    pages = []
    for lab, case in two:
        monkeypatch.setenv("HER2CORE_DATA", str(lab.data_dir))
        pages.append(seen_by(lab, case, "berg", page, part))
        lab.log.close()
    assert pages[0] != pages[1]
    assert "Group 3" in pages[0]
    assert "Group 4" in pages[1]


def found(log: CaseLog, **filters: object) -> list[int]:
    return [case.id for case in log.look_up(Query(**filters))]  # type: ignore[arg-type]


def test_no_search_finds_the_case_by_its_group_or_result(two: Two) -> None:
    for lab, case in two:
        assert found(lab.log) == [case.id]
        for group in range(1, 6):
            assert found(lab.log, group=group) == []
        for outcome in (Outcome.POSITIVE, Outcome.NEGATIVE, Outcome.INDETERMINATE):
            assert found(lab.log, outcome=outcome.value) == []
        lab.log.close()


@pytest.mark.parametrize("nuclei", [False, True])
def test_an_export_leaves_the_case_out(two: Two, monkeypatch: pytest.MonkeyPatch, nuclei: bool) -> None:
    for lab, case in two:
        monkeypatch.setenv("HER2CORE_DATA", str(lab.data_dir))
        text = exported(services(), lab.person("okafor"), Query(), nuclei=nuclei)
        assert case.details.accession not in text
        assert case.details.accession in exported(services(), lab.person("berg"), Query(), nuclei=nuclei)
        lab.log.close()
