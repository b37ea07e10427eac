"""The demonstration laboratory, filled with an analysis that sees the truth; the real models are tried at the end."""

from __future__ import annotations

import hashlib
import shutil
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from numpy.typing import NDArray

from her2core import demo, workflow
from her2core.accounts import Accounts, check_password
from her2core.caselog import CaseLog
from her2core.caselog.lookup import Query
from her2core.errors import SettingsError
from her2core.records import IHC, CaseState, Exclusion, ModelUsed, Nucleus, Population, RegionAnalysis, Role
from her2core.reporting.keys import Keyring
from her2core.reporting.verify import verify_report
from her2core.settings import Settings, load_settings

CASES = (
    demo.DemoCase("DEMO-1", "Abel, Demo", 5, demo.Goal.DRAFT, 1, regions=1),
    demo.DemoCase("DEMO-2", "Brook, Demo", 4, demo.Goal.REVIEWED, 4),
    demo.DemoCase("DEMO-3", "Cole, Demo", 5, demo.Goal.SIGNED, 8, ihc=IHC.ZERO),
    demo.DemoCase(
        "DEMO-4", "Dale, Demo", 5, demo.Goal.SIGNED, 10, ihc=IHC.TWO_PLUS,
        second=demo.Sample("B", 1, clusters=True, regions=2, seed=160, share_percent=30.0),
    ),
)  # fmt: skip
STATES = {
    "DEMO-1": CaseState.DRAFT,
    "DEMO-2": CaseState.PENDING_IHC,
    "DEMO-3": CaseState.SIGNED,
    "DEMO-4": CaseState.SIGNED,
}

Fill = Callable[[Path], bool]


class Seeing:
    """Stands in for the models: knows each rendered region again and sees all in it, but one signal too many."""

    def __init__(self, patch: pytest.MonkeyPatch) -> None:
        from her2core.training import render

        self.truths: dict[str, dict[str, Any]] = {}
        self.analysed = 0
        original = render.render_region

        def remembering(*arguments: Any, **options: Any) -> Any:
            region = original(*arguments, **options)
            self.truths[_digest(region.pixels_rgb)] = region.truth
            return region

        patch.setattr("her2core.training.render.render_region", remembering)
        patch.setattr("her2core.pipeline.load_models", lambda *_: None)
        patch.setattr("her2core.pipeline.analyse", self.analyse)

    def analyse(self, pixels_rgb: NDArray[np.uint8], models: None, *, clusters_expected: bool) -> RegionAnalysis:
        self.analysed += 1
        nuclei = []
        truths = self.truths[_digest(pixels_rgb)]["nuclei"]
        miscounted = next((number for number, true in enumerate(truths, start=1) if true["scorable"]), 0)
        for number, true in enumerate(truths, start=1):
            box = (true["box"][0], true["box"][1], true["box"][2], true["box"][3])
            reason = None if true["scorable"] else Exclusion.OVERLAP
            her2 = true["her2"] + (number == miscounted)
            nuclei.append(
                Nucleus(number, box, 0.9, her2, true["cep17"], 2.0, 2.0, true["cluster"], reason is None, reason)
            )
        used = (ModelUsed("detector", "detector", "1.0", "a" * 64), ModelUsed("counter", "counter", "1", "b" * 64))
        return RegionAnalysis(pixels_rgb.shape[1], pixels_rgb.shape[0], tuple(nuclei), used)


def _digest(pixels_rgb: NDArray[np.uint8]) -> str:
    return hashlib.sha256(np.ascontiguousarray(pixels_rgb).tobytes()).hexdigest()


@pytest.fixture(scope="module")
def made(tmp_path_factory: pytest.TempPathFactory) -> tuple[Path, list[str]]:
    """A small demonstration, filled once, and what its progress said."""
    folder = tmp_path_factory.mktemp("demo") / "data"
    said: list[str] = []
    with pytest.MonkeyPatch.context() as patch:
        Seeing(patch)
        assert demo.fill(Settings(data_dir=folder), said.append, CASES)
    return folder, said


@pytest.fixture
def filled(made: tuple[Path, list[str]], data_dir: Path) -> Path:
    """A small demonstration of this test's own; its folder."""
    shutil.copytree(made[0], data_dir)
    return data_dir


def test_cases_stand_where_they_should(filled: Path) -> None:
    with CaseLog(filled) as log:
        found = {summary.accession: summary.state for summary in log.look_up()}
        assert found == STATES
        signed = log.case_by_accession("DEMO-3")
        assert [summary.accession for summary in log.look_up(Query(group=5))] == ["DEMO-3"]
        assert [summary.accession for summary in log.look_up(Query(group=1))] == ["DEMO-4"]
        assert log.corrections(log.regions(signed.id)[0].id)


def test_second_population_has_its_own_regions_share_and_result(filled: Path) -> None:
    with CaseLog(filled) as log:
        case = log.case_by_accession("DEMO-4")
        assert case.populations == (Population("A", 70.0), Population("B", 30.0))
        flags = [region.flags for region in log.regions(case.id)]
        assert [(f.population, f.heterogeneous, f.clusters) for f in flags if f is not None] == [
            ("A", True, False), ("A", True, False), ("B", True, True), ("B", True, True),
        ]  # fmt: skip
        assessed = workflow.assess(log, case.id).assessment
        assert assessed is not None
        assert [(p.label, p.group) for p in assessed.populations] == [("A", 5), ("B", 1)]


def test_signed_reports_are_real(filled: Path) -> None:
    with CaseLog(filled) as log:
        (report,) = log.reports(log.case_by_accession("DEMO-3").id)
        verdict = verify_report(
            log.report_pdf(report.id), Keyring(filled).trust(), lambda digest: log.report_by_sha256(digest) is not None
        )
        assert verdict.ok, verdict.findings
        assert verdict.signer == demo.ACCOUNTS[0].full_name
        assert log.check() == []


def test_everybody_can_sign_in_with_what_is_printed(filled: Path) -> None:
    with CaseLog(filled) as log:
        accounts = Accounts(log)
        for account in demo.ACCOUNTS:
            user = accounts.sign_in(account.username, account.password)
            assert (user.role, user.full_name) == (account.role, account.full_name)
            assert Keyring(filled).has_key(user) == (account.role is Role.PATHOLOGIST)


def test_folder_says_for_ever_that_it_is_the_demonstration(filled: Path) -> None:
    settings = load_settings()
    assert settings.demo
    assert "Demonstration" in settings.laboratory_name


def test_progress_is_told_case_by_case(made: tuple[Path, list[str]]) -> None:
    said = made[1]
    assert [f"case {n} of 4" in text for n in (1, 2, 3, 4) for text in said].count(True) >= 4
    assert any("signing" in text for text in said)


def test_filling_again_changes_nothing_and_loads_no_models(filled: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("her2core.pipeline.load_models", lambda *_: pytest.fail("loaded models"))
    before = (filled / "caselog.sqlite").read_bytes()
    assert not demo.fill(load_settings(), lambda _: None, CASES)
    assert (filled / "caselog.sqlite").read_bytes() == before


def test_killed_filling_is_taken_up_where_it_stopped(
    tmp_path: Path, made: tuple[Path, list[str]], monkeypatch: pytest.MonkeyPatch
) -> None:
    settings = Settings(data_dir=tmp_path / "data")
    seeing = Seeing(monkeypatch)

    class KilledError(Exception):
        pass

    def until_signing(text: str) -> None:
        if "signing" in text and "case" in text:
            raise KilledError

    with pytest.raises(KilledError):
        demo.fill(settings, until_signing, CASES[2:3])
    assert not demo.is_filled(settings.data_dir)
    done = seeing.analysed
    assert demo.fill(settings, lambda _: None, CASES[2:3])
    assert seeing.analysed == done
    with CaseLog(settings.data_dir) as log:
        assert log.case_by_accession("DEMO-3").state is CaseState.SIGNED
        assert len(log.users()) == len(demo.ACCOUNTS)


def test_real_laboratory_is_left_alone(data_dir: Path) -> None:
    with CaseLog(data_dir) as log:
        Accounts(log).add_user("root", "Ada Root", "", Role.ADMINISTRATOR, "Winter-Cobalt-93", None)
    with pytest.raises(SettingsError, match="real laboratory"):
        demo.fill(load_settings(), lambda _: None, CASES)
    with CaseLog(data_dir) as log:
        assert [user.username for user in log.users()] == ["root"]


def test_a_case_log_without_any_account_is_no_laboratory_yet(data_dir: Path) -> None:
    with CaseLog(data_dir) as log:
        assert log.users() == []
    assert demo.fill(load_settings(), lambda _: None, ())
    with CaseLog(data_dir) as log:
        assert len(log.users()) == len(demo.ACCOUNTS)


def test_settings_of_a_laboratory_that_begins_are_left_alone(data_dir: Path) -> None:
    data_dir.mkdir()
    (data_dir / "settings.toml").write_text('laboratory_name = "Real"\n')
    with pytest.raises(SettingsError, match="real laboratory"):
        demo.fill(load_settings(), lambda _: None, CASES)
    assert (data_dir / "settings.toml").read_text() == 'laboratory_name = "Real"\n'


def test_passwords_keep_the_rules_of_real_ones_and_say_what_they_are() -> None:
    for account in demo.ACCOUNTS:
        check_password(account.password, account.username, account.full_name)
        assert account.password.startswith("demo-")
    assert {account.role for account in demo.ACCOUNTS} == set(Role)
    assert sum(account.role is Role.PATHOLOGIST for account in demo.ACCOUNTS) == 2  # one signs, one recounts


def test_planned_cases_cover_the_way_of_a_case() -> None:
    assert {case.goal for case in demo.CASES} == set(demo.Goal)
    assert len({case.accession for case in demo.CASES}) == len({case.seed for case in demo.CASES}) == len(demo.CASES)
    assert all("Demo" in case.patient and case.accession.startswith("DEMO") for case in demo.CASES)
    assert sum(case.goal is demo.Goal.SIGNED for case in demo.CASES) >= 2
    assert any(case.second is not None for case in demo.CASES)  # heterogeneity is what the work-flow is about
