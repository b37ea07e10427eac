"""The server is killed at any moment of any act, while others work: nothing that was acknowledged is lost."""

from __future__ import annotations

import json
import random
import shutil
import time
from pathlib import Path

import pytest
from click.testing import CliRunner

from her2core import workflow
from her2core.cli import main
from her2core.records import CorrectionKind
from tests.faults.worker import ACTS, Worker, facts
from tests.pages.lab import CA_PASSPHRASE, FLAGS, TestLaboratory
from tests.proof import Proof, Record, times

KILLS = times(2, 50)  # of each act
WHAT = {
    "upload": "`kill -9` while an image is uploaded",
    "analysis": "`kill -9` while a region is analysed and stored (the models are a stand-in)",
    "edit": "`kill -9` while a count is corrected",
    "signing": "`kill -9` while a report is rendered, signed and filed",
}
SECONDS = {"upload": 0.6, "analysis": 1.5, "edit": 0.4, "signing": 4.0}  # as long as some acts take


def assert_holds(lab: TestLaboratory, told: list[dict[str, object]]) -> None:
    """That every act which was acknowledged is in the case log, with its content."""
    for act in told:
        match act:
            case {"begins": _} | {"ends": _}:
                pass
            case {"case": int(number)}:
                lab.log.case(number)
            case {"correction": number, "region": int(region), "nucleus": nucleus, "new": new}:
                (kept,) = [c for c in lab.log.corrections(region) if c.id == number]
                assert (kept.nucleus_id, kept.new) == (nucleus, new)
            case {"region": int(number), "sha256": digest}:
                region_row = lab.log.region(number)
                assert region_row.image_sha256 == digest
                lab.log.image_bytes(region_row)
            case {"flags": int(number)}:
                assert lab.log.region(number).flags == FLAGS
            case {"analysed": int(number)}:
                analysis = lab.log.analysis(number)
                assert analysis is not None
                assert len(analysis.nuclei) == 24
            case {"report": int(number), "sha256": digest}:
                assert lab.log.report(number).sha256 == digest
                assert workflow.verify(lab.log, lab.keyring, lab.log.report_pdf(number)).ok
            case _:
                raise AssertionError(f"not understood: {act}")


def assert_is_sound(folder: Path, told: list[dict[str, object]], monkeypatch: pytest.MonkeyPatch) -> None:
    """That `check` finds nothing, everything acknowledged is there, and work goes on."""
    monkeypatch.setenv("HER2CORE_DATA", str(folder))
    checked = CliRunner().invoke(main, ["check"])
    assert checked.exit_code == 0, checked.output
    lab = TestLaboratory.reopen(folder)
    assert_holds(lab, told)
    region = lab.log.regions(lab.log.case_by_accession("edit").id)[0]
    workflow.correct(lab.log, region.id, 1, CorrectionKind.CLUSTER, {"clustered": True}, lab.person("berg"))
    lab.log.close()


@pytest.mark.timeout(3600)
@pytest.mark.parametrize("act", ACTS)
def test_killed_at_any_moment_of_an_act_all_that_was_acknowledged_is_there_and_check_is_clean(
    record_property: Record, template: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, act: str
) -> None:
    proof = Proof(record_property, "Faults", WHAT[act])
    chance = random.Random(act)
    monkeypatch.setenv("HER2CORE_CA_PASSPHRASE", CA_PASSPHRASE)
    amid = acknowledged = 0
    for number in range(KILLS):
        folder = tmp_path / str(number)
        shutil.copytree(template, folder)
        worker, after_s = Worker.start(folder, act, number), chance.uniform(0, SECONDS[act])
        raw = b""
        try:
            raw = worker.until_begun()
            time.sleep(after_s)
            raw += worker.kill()
            told = [json.loads(line) for line in raw.split(b"\n")[:-1]]
            assert_is_sound(folder, told, monkeypatch)
        except Exception as error:
            known = facts(folder, worker.log, raw)
            pytest.fail(f"kill {number}, {after_s:.3f} s into “{act}”: {type(error).__name__}: {error}\n{known}")
        steps = [step for step in told if "begins" in step or "ends" in step]
        amid += "begins" in steps[-1]
        acknowledged += len(told) - len(steps)
        shutil.rmtree(folder)
        proof.tries += 1
    assert amid > KILLS // 4  # the moments do lie within the act
    proof.holds(
        f"`check` clean after each, work went on; all {acknowledged:,} acknowledged steps there; "
        f"{amid} of the kills fell into the act itself, the others just after it, with two other users at work in each"
    )
